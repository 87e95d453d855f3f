/*
 * SSE to SSE4.2, SSE4A, AES, PCLMUL, SHA, GFNI on 128-bit registers: register and
 * memory forms, alignment #GP, scalar loads and stores, comparisons into EFLAGS,
 * conversions with general registers, MXCSR, #XM.  SDM vol. 1, ch. 10–12.
 */
#include "insn.inc"
	.set F, F_FPU
	.set FN, F_FPU + F_NOQEMU
	.irp op, addps, mulps, subps, divps, minps, maxps, sqrtps, rcpps, rsqrtps, addpd, mulpd, subpd, divpd, minpd, maxpd, sqrtpd
	CASE \op, fl=FN; \op %xmm1, %xmm0; END
	CASE \op\()_m, si=A, fl=FN; \op (%esi), %xmm3; END
	CASE \op\()_mis, n=10, fl=FN; \op 1(%esi), %xmm3; END
	.endr
	.irp op, addss, mulss, subss, divss, minss, maxss, sqrtss, rcpss, rsqrtss, addsd, mulsd, subsd, divsd, minsd, maxsd, sqrtsd, cvtss2sd, cvtsd2ss, comiss, ucomiss, comisd, ucomisd
	CASE \op, fl=FN; \op %xmm1, %xmm0; END
	CASE \op\()_m, fl=FN; \op (%esi), %xmm3; END
	CASE \op\()_x, n=10, si=X, fl=FN; \op (%esi), %xmm3; END
	.endr
	.irp op, andps, andnps, orps, xorps, unpcklps, unpckhps, andpd, andnpd, orpd, xorpd, unpcklpd, unpckhpd, paddb, paddw, paddd, paddq, paddsb, paddsw, paddusb, paddusw, psubb, psubw, psubd, psubq, psubsb, psubsw, psubusb, psubusw, pand, pandn, por, pxor, pcmpeqb, pcmpeqw, pcmpeqd, pcmpgtb, pcmpgtw, pcmpgtd, pmullw, pmulhw, pmulhuw, pmuludq, pmaddwd, packsswb, packssdw, packuswb, punpckhbw, punpckhwd, punpckhdq, punpckhqdq, punpcklbw, punpcklwd, punpckldq, punpcklqdq, psllw, pslld, psllq, psrlw, psrld, psrlq, psraw, psrad, pavgb, pavgw, pmaxub, pmaxsw, pminub, pminsw, psadbw
	CASE \op, n=16, fl=F; \op %xmm1, %xmm0; END
	CASE \op\()_m, n=16, si=A, fl=F; \op (%esi), %xmm6; END
	.endr
	.irp op, pshufb, phaddw, phaddd, phaddsw, phsubw, phsubd, phsubsw, pmaddubsw, pmulhrsw, psignb, psignw, psignd, pabsb, pabsw, pabsd
	CASE \op, n=16, fl=F, need=N_SSSE3; \op %xmm1, %xmm0; \op 16(%esi), %xmm4; END
	.endr
	.irp op, pmaxsb, pmaxsd, pmaxuw, pmaxud, pminsb, pminsd, pminuw, pminud, pmulld, pmuldq, pcmpeqq, packusdw, phminposuw, ptest, pmovsxbw, pmovsxbd, pmovsxbq, pmovsxwd, pmovsxwq, pmovsxdq, pmovzxbw, pmovzxbd, pmovzxbq, pmovzxwd, pmovzxwq, pmovzxdq
	CASE \op, n=16, fl=F, need=N_SSE41; \op %xmm1, %xmm0; END
	CASE \op\()_m, n=16, si=A, fl=F, need=N_SSE41; \op (%esi), %xmm5; END
	.endr
	.irp op, pblendvb, blendvps, blendvpd
	CASE \op, n=16, si=A, fl=F, need=N_SSE41; \op %xmm0, %xmm1, %xmm2; \op %xmm0, (%esi), %xmm3; END
	.endr
	.irp op, blendps, blendpd, pblendw, insertps, mpsadbw, shufps, shufpd, pshufd, pshufhw, pshuflw, palignr, roundps, roundpd, dpps, dppd, cmpps, cmppd
	CASE \op, n=16, si=A, fl=FN, need=N_SSE41; \op $0x1, %xmm1, %xmm0; \op $6, (%esi), %xmm4; END
	.endr
	CASE roundss, n=16, fl=FN, need=N_SSE41; roundss $1, %xmm1, %xmm0; roundsd $11, (%esi), %xmm4; END
	CASE cmpss, n=16, fl=FN; cmpss $2, %xmm1, %xmm0; cmpsd $5, (%esi), %xmm4; END
	.irp op, haddps, hsubps, addsubps, haddpd, hsubpd, addsubpd, movshdup, movsldup
	CASE \op, n=16, si=A, fl=FN, need=N_SSE3; \op %xmm1, %xmm0; \op (%esi), %xmm4; END
	.endr
	CASE movddup, fl=F, need=N_SSE3; movddup %xmm1, %xmm0; movddup (%esi), %xmm4; lddqu 3(%edi), %xmm5; END
	CASE movups, fl=F; movups (%esi), %xmm0; movups %xmm1, (%edi); movupd %xmm2, %xmm3; END
	CASE movups_x, si=X, fl=F; movups (%esi), %xmm0; movups %xmm1, (%esi); END
	CASE movaps, si=A, di=A, fl=F; movaps (%esi), %xmm0; movaps %xmm1, (%edi); movapd %xmm2, %xmm3; movdqa (%edi), %xmm4; END
	CASE movaps_mis, n=20, fl=F; movaps 1(%esi), %xmm0; END
	CASE movaps_mis_st, n=20, fl=FN; movaps %xmm0, 1(%esi); END
	CASE movdqu, fl=F; movdqu (%esi), %xmm0; movdqu %xmm1, (%edi); END
	CASE movss, fl=F; movss %xmm1, %xmm0; movss (%esi), %xmm2; movss %xmm3, (%edi); movsd %xmm4, %xmm5; movsd 8(%esi), %xmm6; movsd %xmm7, 8(%edi); END
	CASE movlps, fl=F; movlps (%esi), %xmm0; movhps 4(%esi), %xmm1; movlps %xmm2, (%edi); movhps %xmm3, 9(%edi); movhlps %xmm4, %xmm5; movlhps %xmm6, %xmm7; movlpd 1(%esi), %xmm7; movhpd %xmm0, 20(%edi); END
	CASE movd, fl=F; movd %eax, %xmm0; movd %xmm1, %ecx; movd (%esi), %xmm2; movd %xmm3, (%edi); movq (%esi), %xmm4; movq %xmm5, 5(%edi); movq %xmm6, %xmm7; END
	CASE movmsk, fl=F; movmskps %xmm0, %eax; movmskpd %xmm1, %ecx; pmovmskb %xmm2, %edx; END
	CASE pinsr, fl=F; pinsrw $5, %eax, %xmm0; pinsrw $1, (%esi), %xmm1; pextrw $6, %xmm2, %ecx; END
	CASE pinsr41, fl=F, need=N_SSE41; pinsrb $5, %eax, %xmm0; pinsrd $1, (%esi), %xmm1; pextrb $6, %xmm2, %ecx; pextrd $3, %xmm3, (%edi); extractps $2, %xmm4, %edx; pextrw $1, %xmm5, 8(%edi); pinsrb $0, 3(%esi), %xmm6; pextrb $9, %xmm7, 12(%edi); END
	CASE movnt, si=A, fl=F; movntps %xmm0, (%esi); movntdq %xmm1, 16(%esi); movntpd %xmm2, 32(%esi); sfence; END
	CASE movntdqa, si=A, fl=F, need=N_SSE41; movntdqa (%esi), %xmm0; END
	CASE maskmovdqu, fl=F; maskmovdqu %xmm1, %xmm0; END
	CASE shifts_i, fl=F; psllw $3, %xmm0; pslld $7, %xmm1; psllq $40, %xmm2; psrlw $15, %xmm3; psrld $1, %xmm4; psraw $2, %xmm5; psrad $31, %xmm6; pslldq $5, %xmm7; psrldq $3, %xmm0; END
	CASE cvt_r, fl=FN; cvtsi2ss %eax, %xmm0; cvtsi2sd %ecx, %xmm1; cvtss2si %xmm2, %eax; cvttss2si %xmm3, %ecx; cvtsd2si %xmm4, %edx; cvttsd2si %xmm5, %ebx; END
	CASE cvt_m, fl=FN; cvtsi2ssl (%esi), %xmm0; cvtsi2sdl 4(%esi), %xmm1; cvtss2si (%edi), %eax; cvttsd2si (%edi), %ecx; END
	.irp op, cvtdq2ps, cvtps2dq, cvttps2dq, cvtdq2pd, cvtpd2dq, cvttpd2dq, cvtps2pd, cvtpd2ps
	CASE \op, fl=FN; \op %xmm1, %xmm0; END
	CASE \op\()_m, si=A, fl=FN; \op (%esi), %xmm2; END
	.endr
	CASE ldmxcsr, fl=F; movl $0x7fbf, (%esi); ldmxcsr (%esi); stmxcsr 4(%esi); mov 4(%esi), %eax; END
	CASE ldmxcsr_bad, n=10, fl=FN; movl $0x80001f80, (%esi); ldmxcsr (%esi); END
	CASE ldmxcsr_rc, fl=FN; movl $0x3f80, (%esi); ldmxcsr (%esi); divps %xmm1, %xmm0; cvtss2si %xmm2, %eax; END
	CASE daz_ftz, fl=FN; movl $0x9fc0, (%esi); ldmxcsr (%esi); mulps %xmm1, %xmm0; addpd %xmm2, %xmm3; END
	CASE xm_div, n=20, fl=FN; movl $0x1d80, (%esi); ldmxcsr (%esi); xorps %xmm1, %xmm1; divss %xmm1, %xmm0; inc %eax; END
	CASE xm_inv, n=20, si=A, fl=FN; movl $0x1f00, (%esi); ldmxcsr (%esi); movl $0x7fa00000, (%esi); addps (%esi), %xmm0; inc %eax; END
	CASE pcmpgtq, fl=F, need=N_SSE42; pcmpgtq %xmm1, %xmm0; pcmpgtq 16(%edi), %xmm2; END
	.irp i, 0x00, 0x0c, 0x18, 0x41, 0x6d, 0x3a
	CASE pcmpestri_\i, n=20, ax=C, dx=C, fl=F, need=N_SSE42; pcmpestri $\i, %xmm1, %xmm0; END
	CASE pcmpestrm_\i, n=20, ax=C, dx=C, fl=F, need=N_SSE42; pcmpestrm $\i, (%esi), %xmm2; END
	CASE pcmpistri_\i, n=20, fl=F, need=N_SSE42; pcmpistri $\i, (%esi), %xmm2; END
	CASE pcmpistrm_\i, n=20, fl=F, need=N_SSE42; pcmpistrm $\i, %xmm3, %xmm2; END
	.endr
	.irp op, aesenc, aesenclast, aesdec, aesdeclast, aesimc
	CASE \op, n=16, si=A, fl=F, need=N_AES; \op %xmm1, %xmm0; \op (%esi), %xmm3; END
	.endr
	CASE aeskeygen, n=16, si=A, fl=F, need=N_AES; aeskeygenassist $1, %xmm1, %xmm0; aeskeygenassist $0x36, (%esi), %xmm3; END
	CASE pclmul, n=16, si=A, fl=F, need=N_PCLMUL; pclmulqdq $0, %xmm1, %xmm0; pclmulqdq $0x11, (%esi), %xmm3; END
	.irp op, sha1msg1, sha1msg2, sha1nexte, sha256msg1, sha256msg2
	CASE \op, n=16, si=A, fl=F, need=N_SHA; \op %xmm1, %xmm0; \op (%esi), %xmm3; END
	.endr
	CASE sha1rnds4, n=16, fl=F, need=N_SHA; sha1rnds4 $2, %xmm1, %xmm0; END
	CASE sha256rnds2, n=16, fl=F, need=N_SHA; sha256rnds2 %xmm0, %xmm1, %xmm2; END
	CASE gfni, n=16, si=A, fl=F, need=N_GFNI; gf2p8mulb %xmm1, %xmm0; gf2p8affineqb $3, (%esi), %xmm3; END
	CASE sse4a, n=16, fl=FN, need=N_SSE4A; extrq $8, $16, %xmm0; insertq $4, $12, %xmm1, %xmm2; movntss %xmm3, (%esi); movntsd %xmm4, (%edi); END
	CASE xorps_zero, n=16, fl=F; xorps %xmm0, %xmm0; pxor %xmm1, %xmm1; pcmpeqd %xmm2, %xmm2; END
	CASE absaddr, n=20, fl=F; movups scratch + 0xff9, %xmm0; movd scratch + 0x1003, %xmm1; movups %xmm2, scratch + 0x1011; movlps scratch + 0xff1, %xmm3; END
	CASE sib, n=20, cx=I, fl=F; movups (%esi,%ecx,4), %xmm0; movups %xmm1, scratch + 0x1000(,%ecx,4); movups -4(%esp,%ecx), %xmm4; END
