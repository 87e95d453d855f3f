/*
 * 16-bit protected-mode code: a far jump into a 16-bit code segment (natively
 * through the LDT) and back, with the flat 32-bit stack.  Default operand and address sizes
 * reversed, IP of 16 bits, 66/67 prefixes back to 32 bits, 16-bit
 * addressing forms and their wrap at 2^16.
 * SDM vol. 3, ch. 22 (mixing 16-bit and 32-bit code); vol. 1, 3.6; vol. 2, table 2-1.
 */
#include "insn.inc"
	/*
	 * code16_sel has base 0x1000000 (where .snip is) and limit 0xffff.  FS and DS are seg_limit_sel (base
	 * SCRATCH, limit 0x1fff): 16-bit offsets 0xf00…0x10ff are the data.  M as a kind is a 16-bit offset
	 * of its middle, done here with lea from the ordinary pointers.
	 */
	.set S, 0x1400000
	.macro CASE16 name, n=30, ax=R, cx=R, dx=R, bx=R, bp=R, undef=0, fl=0
	CASE \name, n=\n, ax=\ax, cx=\cx, dx=\dx, bx=\bx, bp=\bp, undef=\undef, fl=\fl
	lea	-S(%esi), %esi
	lea	-S(%edi), %edi
	mov	%eax, save_eax
	movl	$881f - 0x1000000, far16
	movw	code16_sel, %ax
	movw	%ax, far16 + 4
	mov	flat_cs_sel, %ax
	mov	%ax, far32 + 4
	movl	$882f, far32
	mov	save_eax, %eax
	mov	seg_limit_sel, %fs
	ljmp	*far16
	.code16
	.p2align 4
881:
	.endm
	.macro END16
	.byte	0x66, 0x67, 0x2e, 0xff, 0x2d	/* ljmpl *%cs:disp32 */
	.long	far32 - 0x1000000
	.code32
882:	END
	.endm

	jmp	.
save_eax: .long 0
far16:	.long 0, 0
far32:	.long 0, 0

	CASE16 alu; add %ecx, %eax; adc %cx, %dx; sub %bl, %ah; xor $0x1234, %bx; and $0x12345678, %ebp; END16
	CASE16 imm; mov $0x1234, %ax; mov $0x12345678, %ecx; addw $-3, %bx; addl $-3, %edx; END16
	CASE16 incdec, undef=OF+AF; inc %ax; dec %ecx; inc %bx; neg %dx; not %ebp; shl $3, %ax; rcr $1, %ecx; END16
	CASE16 shift, undef=OF+AF+CF; shl %cl, %ax; sar %cl, %edx; rol $5, %bx; END16
	CASE16 mem_si; mov %fs:(%si), %ax; add %eax, %fs:4(%di); mov %fs:-2(%si), %cl; END16
	CASE16 mem_bxsi, bx=C; mov %fs:(%bx,%si), %ax; mov %eax, %fs:3(%bx,%di); mov %ah, %fs:0x80(%bx,%si); END16
	CASE16 mem_bpdi, bp=C; mov %fs:(%bp,%si), %dx; mov %edx, %fs:(%bp,%di); incw %fs:-20(%bp,%di); END16
	CASE16 mem_disp; mov %fs:0x1000, %eax; mov %al, %fs:0x1003; addl $7, %fs:0xff8; movw $0x77, %fs:0xff2; END16
	CASE16 mem_wrap; or $0x10000, %esi; lea -0x1000(%edi), %edi; mov %fs:(%si), %eax; mov %fs:0x1000(%di), %bx; END16
	CASE16 mem_neg; mov $0xff00, %bx; mov %fs:0x100(%bx,%si), %eax; END16
	CASE16 mem_a32; mov %fs:(%esi), %eax; mov %cx, %fs:4(%edi); mov %fs:-0x1000(%esi,%edi,1), %dl; END16
	CASE16 mem_a32s, dx=I; mov %fs:(%esi,%edx,4), %ebx; add %bx, %fs:0x1000(,%edx,4); END16
	CASE16 lea16; lea 5(%bx,%si), %ax; lea -1(%bp), %cx; lea 0x1234(%bp,%di), %edx; lea 7(%eax,%ecx,4), %ebx; lea (%edi,%edi,8), %bp; END16
	CASE16 moffs; mov %fs:0xff9, %ax; .byte 0x64; mov %al, 0x1001; mov %fs:0xffb, %eax; END16
	CASE16 stack; push %ax; push %ecx; push $0x1234; pushl $0x12345678; pop %edx; pop %bx; pop %ebp; pop %ax; END16
	CASE16 pusha; pusha; pushal; popal; popa; END16
	CASE16 enter, bp=K; enter $8, $1; nop; .byte 0x66; leave; END16
	CASE16 call; call 1f; jmp 2f; 1: inc %ax; ret; 2: END16
	CASE16 calll; calll 1f; jmp 2f; 1: inc %eax; retl; 2: END16
	CASE16 call_reg; mov $(1f - 0x1000000), %ebx; call *%bx; jmp 2f; 1: inc %ax; ret $2; 2: lea -2(%esp), %esp; END16
	CASE16 jcc; cmp %ax, %cx; ja 1f; inc %dx; 1: jz 2f; .byte 0x0f, 0x82; .word 2f - . - 2; dec %ebx; 2: END16
	CASE16 jmpl; .byte 0x66, 0xe9; .long 1f - . - 4; inc %ax; 1: END16
	CASE16 loop, cx=C; inc %cx; or $0x30000, %ecx; 1: add %cx, %ax; loop 1b; END16
	CASE16 loopl, cx=C; inc %ecx; 1: add %cx, %ax; addr32 loop 1b; END16
	CASE16 jcxz, cx=T; or $0x10000, %ecx; jcxz 1f; inc %ax; 1: END16
	CASE16 jecxz, cx=T; jecxz 1f; inc %ax; 1: END16
	CASE16 lodsb, cx=C; fs lodsb; fs lodsw; .byte 0x64; lodsl; END16
	CASE16 lods_a32; .byte 0x67, 0x64; lodsb; .byte 0x66, 0x67, 0x64; lodsw; END16
	CASE16 rep_lods, cx=C; or $0x50000, %ecx; .byte 0x64; rep lodsw; END16
	CASE16 movzx; movzx %cl, %ax; movsx %ch, %edx; movzx %ax, %ebx; movsxb %fs:(%si), %bp; movzxw %fs:(%di), %ecx; END16
	CASE16 mul, undef=SF+ZF+AF+PF; mul %cx; imul %bx, %dx; imul $7, %ecx, %eax; imul $300, %ax, %bp; END16
	CASE16 div, undef=ARITH; xor %dx, %dx; or $1, %cl; div %cx; END16
	CASE16 cwd; cbw; cwd; cwde; cdq; END16
	CASE16 xchg; xchg %ax, %bx; xchg %ecx, %eax; xchg %dl, %fs:(%si); lock xaddw %ax, %fs:(%di); END16
	CASE16 bt, ax=B, undef=OF+SF+AF+PF; bts %ax, %fs:(%si); btr %eax, %fs:(%esi); btc $3, %bx; END16
	CASE16 setcc; setc %al; cmovs %cx, %dx; cmovo %ecx, %ebx; setz %fs:(%si); END16
	CASE16 pushf; pushf; andw $0xcd5, (%esp); pushfl; andl $0xcd5, (%esp); popfl; popf; END16
	CASE16 xlat, ax=C; mov $0xfe0, %bx; fs xlat; END16
	CASE16 bcd, undef=OF+SF+ZF+PF+CF+AF, fl=F_UNDEF; daa; aaa; aam; END16
	CASE16 sse, fl=F_FPU; movups %fs:(%si), %xmm0; paddd %xmm1, %xmm0; movd %eax, %xmm2; movups %xmm0, %fs:4(%di); END16
	CASE16 x87, fl=F_FPU+F_NOQEMU; fildl %fs:(%si); fld1; faddp; fistpll %fs:8(%di); END16
	CASE16 ud2; ud2; END16
	CASE16 limit, fl=F_NOQEMU; or $0x8000, %si; mov %fs:(%si), %ax; END16
	CASE16 fault, fl=F_NOQEMU; mov %fs:0x1ffe, %eax; END16
