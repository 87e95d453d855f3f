/*
 * x87: loads and stores of every format, arithmetic in register, memory and
 * popping forms, comparisons (also into EFLAGS), constants, control, environment and
 * state images, FXSAVE/FXRSTOR.  Exceptions masked, except in the #MF cases.
 * SDM vol. 1, ch. 8.  TCG is inexact: some cases are F_NOQEMU.
 */
#include "insn.inc"
	.set F, F_FPU
	.set FF, F_FPU + F_NOUNDER
	.set FN, F_FPU + F_NOQEMU
	.set FFN, F_FPU + F_NOUNDER + F_NOQEMU
	.irp op, fld, fadd, fmul, fsub, fsubr, fdiv, fdivr, fcom, fcomp
	CASE \op\()s, fl=FFN; \op\()s (%esi); END
	CASE \op\()l, fl=FFN; \op\()l (%esi); END
	CASE \op\()s_x, si=X, fl=FFN; \op\()s (%esi); END
	CASE \op\()l_esp, fl=FFN; \op\()l 4(%esp); END
	CASE \op\()l_abs, fl=FFN; \op\()l scratch + 0xffc; END
	.endr
	.irp op, fiadd, fimul, fisub, fisubr, fidiv, fidivr, ficom, ficomp
	CASE \op\()s, fl=FFN; \op\()s (%esi); END
	CASE \op\()l, fl=FFN; \op\()l (%esi); END
	.endr
	.irp op, fadd, fmul, fsub, fsubr, fdiv, fdivr
	CASE \op\()_st3, fl=FFN; \op %st(3), %st; END
	CASE \op\()_3st, fl=FFN; \op %st, %st(3); END
	CASE \op\()p, fl=FFN; \op\()p %st, %st(1); END
	CASE \op\()p5, fl=FN; \op\()p %st, %st(5); END
	.endr
	.irp op, fcom, fcomp, fucom, fucomp, fcomi, fcomip, fucomi, fucomip, fxch
	CASE \op, fl=FFN; \op %st(2); END
	CASE \op\()_e, fl=FN; \op %st(6); END
	.endr
	.irp op, fcompp, fucompp, ftst, fxam, fabs, fchs, fsqrt, frndint, fscale, fprem, fprem1, fxtract, fincstp, fdecstp, fld1, fldz, fldpi, fldl2e, fldl2t, fldlg2, fldln2, f2xm1, fyl2x, fyl2xp1, fpatan, fptan, fsin, fcos, fsincos, fnop, fninit, fnclex
	CASE \op, fl=FFN; \op; END
	CASE \op\()_r, n=20, fl=FN; \op; END
	.endr
	.irp c, b, e, be, u, nb, ne, nbe, nu
	CASE fcmov\c, fl=FF; fcmov\c %st(4), %st; END
	.endr
	CASE fldt, fl=FN; fldt (%esi); END
	CASE fldt_x, si=X, fl=FN; fldt (%esi); END
	CASE fld_st, fl=FFN; fld %st(2); END
	CASE fst_st, fl=FFN; fst %st(3); fstp %st(5); fstp %st(0); END
	CASE fild, fl=FN; filds (%esi); fildl (%esi); fildll (%edi); END
	CASE fist, fl=FFN; fists (%esi); fistl 4(%esi); fistps (%edi); fistpl 2(%edi); fistpll 8(%edi); END
	CASE fisttp, need=N_SSE3, fl=FFN; fisttps (%esi); fisttpl 4(%esi); fisttpll (%edi); END
	CASE fst, fl=FFN; fsts (%esi); fstl 4(%esi); fstps (%edi); fstpl 4(%edi); fstpt 12(%edi); END
	CASE fbld, fl=FN; movl $0x12345678, (%esi); movl $0x98765432, 4(%esi); movw $0x8012, 8(%esi); fbld (%esi); fbstp (%edi); END
	CASE fbstp, fl=FFN; fbstp (%esi); END
	CASE ffree, fl=FFN; ffree %st(3); fld1; END
	CASE fnstcw, fl=F; fnstcw (%esi); fnstsw 4(%esi); fnstsw %ax; END
	CASE fldcw, fl=F; movw $0x0c7f, (%esi); fldcw (%esi); fnstcw 4(%esi); END
	CASE fldcw_r, fl=FFN; andw $0x0f00, (%esi); orw $0x3f, (%esi); fldcw (%esi); fld %st(1); fdiv %st(2), %st; frndint; END
	CASE round, fl=FFN; movl $0x3f800001, (%esi); flds (%esi); fadd %st(0); fstpl (%edi); fildl (%esi); fstps 8(%edi); END
	/* Environment and state images: the instruction and operand pointers are not compared (blanked). */
	CASE fnstenv, fl=FFN; fnstenv scratch + 0xfc0; movl $0, scratch + 0xfc0 + 12; movl $0, scratch + 0xfc0 + 16; movl $0, scratch + 0xfc0 + 20; movl $0, scratch + 0xfc0 + 24; END
	CASE fldenv, fl=FFN; fnstenv scratch + 0xfc0; fninit; fldenv scratch + 0xfc0; movl $0, scratch + 0xfc0 + 12; movl $0, scratch + 0xfc0 + 16; movl $0, scratch + 0xfc0 + 20; movl $0, scratch + 0xfc0 + 24; END
	CASE fnsave, fl=FFN; fnsave scratch + 0xfc0; movl $0, scratch + 0xfc0 + 12; movl $0, scratch + 0xfc0 + 16; movl $0, scratch + 0xfc0 + 20; movl $0, scratch + 0xfc0 + 24; END
	CASE frstor, fl=FFN; fnsave scratch + 0xfc0; fldpi; frstor scratch + 0xfc0; movl $0, scratch + 0xfc0 + 12; movl $0, scratch + 0xfc0 + 16; movl $0, scratch + 0xfc0 + 20; movl $0, scratch + 0xfc0 + 24; END
	CASE fnsave16, fl=FFN; .byte 0x66; fnsave scratch + 0xfc0; .byte 0x66; frstor scratch + 0xfc0; movl $0, scratch + 0xfc0 + 6; movl $0, scratch + 0xfc0 + 10; END
	CASE fnstenv16, fl=FFN; .byte 0x66; fnstenv scratch + 0xfc0; .byte 0x66; fldenv scratch + 0xfc0; movl $0, scratch + 0xfc0 + 6; movl $0, scratch + 0xfc0 + 10; END
	/* The image is 512 bytes: the whole data area, so check by a round trip. */
	CASE fxsave, fl=FFN; fxsave scratch + 0x1000 - 0x100; fninit; xorps %xmm0, %xmm0; xorps %xmm5, %xmm5; fxrstor scratch + 0x1000 - 0x100; movl $0, scratch + 0xf04; movl $0, scratch + 0xf08; movl $0, scratch + 0xf0c; movl $0, scratch + 0xf10; movl $0, scratch + 0xf14; mov $scratch + 0xf20, %edi; mov $0x78, %ecx; xor %eax, %eax; rep stosl; END
	CASE fxsave_mis, fl=FFN; fxsave scratch + 0x1000 - 0xf8; END
	CASE fxrstor_bad, fl=FFN; fxsave scratch + 0xf00; orl $0x40000000, scratch + 0xf18; movl $0, scratch + 0xf08; movl $0, scratch + 0xf0c; movl $0, scratch + 0xf10; movl $0, scratch + 0xf14; fxrstor scratch + 0xf00; END
	/* Unmasked: the exception is pending and taken by the next waiting instruction. */
	CASE mf_div, n=10, fl=FFN; fninit; movl $0x0000037b, (%esi); fldcw (%esi); fldz; fld1; fdiv %st(1), %st; fnstsw %ax; inc %ecx; fnop; inc %edx; fwait; inc %ebx; END
	CASE mf_fwait, n=10, fl=FFN; fninit; movl $0x0000037e, (%esi); fldcw (%esi); fldz; fldz; fdivp; inc %ecx; fwait; inc %edx; END
	CASE mf_clear, n=10, fl=FFN; fninit; movl $0x0000037e, (%esi); fldcw (%esi); fldz; fldz; fdivp; fnclex; fwait; inc %edx; END
	CASE mf_unmask, n=10, fl=FFN; fninit; fldz; fld1; fdiv %st(1), %st; movl $0x0000037b, (%esi); fldcw (%esi); inc %ecx; fld1; inc %edx; END
	CASE mf_store, n=10, fl=FFN; fninit; movl $0x0000037b, (%esi); fldcw (%esi); fldz; fld1; fdiv %st(1), %st; fstps (%edi); inc %edx; END
	CASE overflow, n=20, fl=FN; fninit; fld1; fld1; fld1; fld1; fld1; fld1; fld1; fld1; fldpi; fnstsw %ax; END
	CASE underflow, n=20, fl=FN; fninit; fstps (%esi); fnstsw %ax; fadd %st(1), %st; END
	CASE dot, n=60, fl=FFN; fldl (%esi); fmull (%edi); fldl 8(%esi); fmull 8(%edi); faddp; fstpl 16(%edi); END
	CASE mmx_tags, fl=FFN; movd %eax, %mm0; movq %mm0, %mm3; emms; END
	CASE mmx_alias, fl=FFN; movq (%esi), %mm2; paddd %mm3, %mm2; movq %mm2, 8(%esi); END
