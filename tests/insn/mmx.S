/*
 * MMX: every operation in register and memory form.  SDM vol. 1, ch. 9.
 */
#include "insn.inc"
	.set F, F_FPU + F_MMX
	.irp op, paddb, paddw, paddd, paddsb, paddsw, paddusb, paddusw, psubb, psubw, psubd, psubsb, psubsw, psubusb, psubusw, pand, pandn, por, pxor, pcmpeqb, pcmpeqw, pcmpeqd, pcmpgtb, pcmpgtw, pcmpgtd, pmullw, pmulhw, pmaddwd, packsswb, packssdw, packuswb, punpckhbw, punpckhwd, punpckhdq, punpcklbw, punpcklwd, punpckldq, psllw, pslld, psllq, psrlw, psrld, psrlq, psraw, psrad
	CASE \op, n=20, fl=F; \op %mm1, %mm0; END
	CASE \op\()_m, n=20, fl=F; \op (%esi), %mm3; END
	.endr
	.irp op, pavgb, pavgw, pmaxub, pmaxsw, pminub, pminsw, pmulhuw, psadbw, paddq, psubq, pmuludq
	CASE \op, n=20, fl=F; \op %mm5, %mm2; END
	CASE \op\()_m, n=20, fl=F; \op (%esi), %mm3; END
	.endr
	.irp op, psllw, pslld, psllq, psrlw, psrld, psrlq, psraw, psrad
	CASE \op\()_i, n=16, fl=F; \op $5, %mm0; \op $33, %mm1; END
	.endr
	.irp op, pshufb, phaddw, phaddd, phaddsw, phsubw, phsubd, phsubsw, pmaddubsw, pmulhrsw, psignb, psignw, psignd, pabsb, pabsw, pabsd
	CASE \op, n=20, fl=F, need=N_SSSE3; \op %mm1, %mm0; \op (%esi), %mm4; END
	.endr
	CASE palignr, fl=F, need=N_SSSE3; palignr $3, %mm1, %mm0; palignr $11, (%esi), %mm4; END
	CASE movd, fl=F; movd %eax, %mm0; movd %mm3, %ecx; movd (%esi), %mm4; movd %mm5, (%edi); END
	CASE movq, fl=F; movq %mm1, %mm0; movq (%esi), %mm4; movq %mm5, (%edi); .byte 0x0f, 0x7f, 0xc7; END
	CASE movq_x, si=X, fl=F; movq (%esi), %mm4; movq %mm5, (%esi); END
	CASE pshufw, fl=F; pshufw $0x1b, %mm1, %mm0; pshufw $0x72, (%esi), %mm4; END
	CASE pinsrw, fl=F; pinsrw $2, %eax, %mm0; pinsrw $3, (%esi), %mm1; pextrw $1, %mm2, %ecx; pmovmskb %mm3, %edx; END
	CASE movntq, fl=F; movntq %mm0, (%esi); sfence; END
	CASE maskmovq, fl=F; maskmovq %mm1, %mm0; END
	CASE movdq2q, fl=F; movdq2q %xmm1, %mm0; movq2dq %mm2, %xmm3; END
	CASE cvt, fl=F+F_NOQEMU; cvtpi2ps %mm0, %xmm0; cvtps2pi %xmm1, %mm1; cvttps2pi (%esi), %mm2; cvtpi2pd %mm3, %xmm2; cvtpd2pi %xmm3, %mm4; cvttpd2pi %xmm4, %mm5; cvtpi2ps (%esi), %xmm5; END
	CASE emms, fl=F+F_NOQEMU; emms; END
	CASE ud_mem, fl=F; .byte 0x0f, 0xd7, 0x06; END	/* pmovmskb with a memory operand: #UD */
