/*
 * AVX, AVX2, FMA, F16C, VAES: VEX prefixes of two and three bytes with register
 * and memory operands in every addressing form, upper halves zeroed by 128-bit
 * forms, gathers, masked moves, VZEROUPPER; EVEX where the CPU has AVX-512VL.
 * SDM vol. 2, 2.3 (VEX); in 32-bit mode C4 and C5 with mod != 3 are LES and LDS.
 */
#include "insn.inc"
	.set V, F_AVX
	.set VN, F_AVX + F_NOQEMU
	.irp op, vaddps, vmulps, vsubps, vdivps, vminps, vmaxps, vaddpd, vmulpd, vsubpd, vdivpd, vandps, vandnps, vorps, vxorpd, vunpcklps, vunpckhpd, vhaddps, vaddsubpd
	CASE \op\()_x, n=16, fl=VN, need=N_AVX; \op %xmm1, %xmm2, %xmm0; END
	CASE \op\()_y, n=16, fl=VN, need=N_AVX; \op %ymm1, %ymm2, %ymm0; END
	CASE \op\()_m, n=16, fl=VN, need=N_AVX; \op (%esi), %ymm2, %ymm0; END
	CASE \op\()_msib, n=16, cx=I, fl=VN, need=N_AVX; \op 4(%esi,%ecx,4), %xmm2, %xmm0; END
	.endr
	.irp op, vsqrtps, vrcpps, vmovups, vmovshdup, vcvtdq2ps, vcvtps2dq, vmovddup
	CASE \op, n=16, fl=VN, need=N_AVX; \op %ymm1, %ymm0; \op (%esi), %ymm3; \op 8(%edi), %xmm4; END
	.endr
	.irp op, vaddss, vaddsd, vmulss, vdivsd, vsqrtss, vminsd
	CASE \op, n=16, fl=VN, need=N_AVX; \op %xmm1, %xmm2, %xmm0; \op (%esi), %xmm3, %xmm4; END
	.endr
	.irp op, vpaddb, vpaddd, vpsubw, vpand, vpor, vpxor, vpcmpeqb, vpcmpgtd, vpmulld, vpmuludq, vpshufb, vpackssdw, vpunpckhbw, vpmaxsd, vpminub, vpavgw, vpsadbw, vpsignd, vphaddd, vpmaddwd
	CASE \op\()_x, n=16, fl=V, need=N_AVX; \op %xmm1, %xmm2, %xmm0; \op (%esi), %xmm3, %xmm4; END
	CASE \op\()_y, n=16, fl=V, need=N_AVX2; \op %ymm1, %ymm2, %ymm0; \op (%esi), %ymm3, %ymm4; \op scratch + 0xff1, %ymm5, %ymm6; END
	.endr
	CASE vmovaps, n=16, si=AA, di=AA, fl=V, need=N_AVX; vmovaps (%esi), %ymm0; vmovaps %ymm1, (%edi); vmovdqa %ymm2, %ymm3; vmovapd 16(%esi), %xmm4; END
	CASE vmovaps_mis, n=16, fl=V, need=N_AVX; vmovaps 1(%esi), %ymm0; END
	CASE vmovups_x, n=16, si=X, fl=V, need=N_AVX; vmovups (%esi), %ymm0; vmovups %ymm1, 5(%esi); vmovdqu %xmm2, -3(%edi); END
	CASE vmovss, n=16, fl=V, need=N_AVX; vmovss (%esi), %xmm0; vmovss %xmm1, %xmm2, %xmm3; vmovss %xmm4, (%edi); vmovsd 8(%esi), %xmm5; vmovsd %xmm6, 8(%edi); vmovlps (%esi), %xmm1, %xmm2; vmovhps %xmm3, 16(%edi); END
	CASE vmovd, n=16, fl=V, need=N_AVX; vmovd %eax, %xmm0; vmovd %xmm1, %ecx; vmovd (%esi), %xmm2; vmovd %xmm3, (%edi); vmovq (%esi), %xmm4; vmovq %xmm5, 8(%edi); vpextrd $2, %xmm6, %edx; vpinsrb $3, %eax, %xmm1, %xmm7; END
	CASE vbroadcast, n=16, fl=V, need=N_AVX; vbroadcastss (%esi), %ymm0; vbroadcastsd (%edi), %ymm1; vbroadcastf128 4(%esi), %ymm2; END
	CASE vbroadcast2, n=16, fl=V, need=N_AVX2; vpbroadcastb (%esi), %ymm0; vpbroadcastd %xmm1, %ymm2; vpbroadcastq 3(%esi), %xmm3; vbroadcasti128 (%edi), %ymm4; END
	CASE vinsert, n=16, fl=V, need=N_AVX; vinsertf128 $1, (%esi), %ymm1, %ymm0; vextractf128 $1, %ymm2, (%edi); vextractf128 $1, %ymm3, %xmm4; vperm2f128 $0x13, (%esi), %ymm5, %ymm6; END
	CASE vpermil, n=16, fl=V, need=N_AVX; vpermilps $0x1b, %ymm1, %ymm0; vpermilpd %ymm2, %ymm3, %ymm4; vshufps $0x4e, (%esi), %ymm5, %ymm6; vblendvps %ymm1, (%esi), %ymm2, %ymm7; END
	CASE vperm2, n=16, fl=V, need=N_AVX2; vpermd %ymm1, %ymm2, %ymm0; vpermq $0x1b, (%esi), %ymm3; vinserti128 $1, (%edi), %ymm4, %ymm5; vextracti128 $1, %ymm6, 32(%edi); END
	CASE vmaskmov, n=16, fl=V, need=N_AVX; vmaskmovps (%esi), %ymm1, %ymm0; vmaskmovpd %ymm2, %ymm3, (%edi); END
	CASE vpmaskmov, n=16, fl=V, need=N_AVX2; vpmaskmovd (%esi), %ymm1, %ymm0; vpmaskmovq %xmm2, %xmm3, (%edi); END
	CASE vmaskmov_hole, n=20, si=N, fl=VN, need=N_AVX; vmaskmovps (%esi), %xmm1, %xmm0; vmaskmovps %xmm2, %xmm3, 3(%esi); END
	CASE vgather, n=16, fl=V, need=N_AVX2; vpand scratch + 0xf80, %ymm0, %ymm0; vpsrld $27, %ymm1, %ymm1; vpcmpeqd %ymm2, %ymm2, %ymm2; vgatherdps %ymm2, -60(%esi,%ymm1,4), %ymm0; vpcmpeqd %xmm3, %xmm3, %xmm3; vpgatherdq %xmm3, (%esi,%xmm1,2), %xmm4; END
	CASE vgather_m, n=16, fl=V, need=N_AVX2; vpsrld $26, %ymm1, %ymm1; vpgatherdd %ymm2, scratch + 0xf80(,%ymm1,4), %ymm0; END
	CASE vshift, n=16, fl=V, need=N_AVX2; vpsllvd %ymm1, %ymm2, %ymm0; vpsrlvq (%esi), %ymm3, %ymm4; vpsravd %xmm5, %xmm6, %xmm7; vpslld $5, %ymm1, %ymm3; vpsrldq $3, %ymm2, %ymm5; vpsrad %xmm1, %ymm6, %ymm6; END
	CASE vpmovx, n=16, fl=V, need=N_AVX2; vpmovzxbd (%esi), %ymm0; vpmovsxwq %xmm1, %ymm2; vpmovzxdq 3(%esi), %xmm3; vpalignr $5, (%edi), %ymm4, %ymm5; vmpsadbw $3, %ymm6, %ymm7, %ymm1; END
	CASE vptest, n=16, fl=V, need=N_AVX; vptest %ymm0, %ymm1; setc %al; setz %ah; vptest (%esi), %ymm2; vtestps %ymm3, %ymm4; END
	CASE vmovmsk, n=16, fl=V, need=N_AVX2; vmovmskps %ymm0, %eax; vpmovmskb %ymm1, %ecx; vmovmskpd %xmm2, %edx; END
	CASE vcomi, n=16, fl=VN, need=N_AVX; vucomiss %xmm1, %xmm0; seta %al; vcomisd (%esi), %xmm2; END
	CASE vcmp, n=16, fl=VN, need=N_AVX; vcmpps $0x1d, (%esi), %ymm1, %ymm0; vcmpsd $2, %xmm2, %xmm3, %xmm4; vroundps $3, %ymm5, %ymm6; END
	CASE vcvt, n=16, fl=VN, need=N_AVX; vcvtsi2ss %eax, %xmm1, %xmm0; vcvttss2si (%esi), %ecx; vcvtps2pd (%esi), %ymm2; vcvtpd2ps %ymm3, %xmm4; vcvtsd2si %xmm5, %edx; END
	CASE vzeroupper, n=8, fl=V, need=N_AVX; vzeroupper; END
	CASE vzeroall, n=8, fl=V, need=N_AVX; vzeroall; END
	CASE legacy_keep, n=16, fl=V, need=N_AVX; paddd %xmm1, %xmm0; movups (%esi), %xmm2; vpaddd %xmm3, %xmm4, %xmm4; END
	CASE vmxcsr, n=16, fl=V, need=N_AVX; vstmxcsr (%esi); vldmxcsr (%esi); END
	CASE vmaskmovdqu, n=16, fl=V, need=N_AVX; vmaskmovdqu %xmm1, %xmm0; vlddqu (%esi), %ymm2; vmovntdq %xmm3, scratch + 0xfe0; END
	.irp op, 132, 213, 231
	CASE vfmadd\op, n=16, fl=VN, need=N_FMA; vfmadd\op\()ps %ymm1, %ymm2, %ymm0; vfmadd\op\()sd (%esi), %xmm3, %xmm4; END
	CASE vfnmsub\op, n=16, fl=VN, need=N_FMA; vfnmsub\op\()pd (%esi), %ymm2, %ymm0; vfmaddsub\op\()ps %xmm3, %xmm4, %xmm5; END
	.endr
	CASE f16c, n=16, fl=VN, need=N_F16C; vcvtph2ps (%esi), %ymm0; vcvtps2ph $0, %ymm1, (%edi); vcvtps2ph $3, %xmm2, %xmm3; END
	CASE vaes, n=16, fl=V, need=N_AES+N_AVX; vaesenc %xmm1, %xmm2, %xmm0; vaesdec (%esi), %xmm3, %xmm4; vpclmulqdq $1, %xmm5, %xmm6, %xmm7; vaeskeygenassist $7, (%esi), %xmm1; END
	CASE vaes_y, n=16, fl=VN, need=N_VAES; vaesenc %ymm1, %ymm2, %ymm0; vaesdeclast (%esi), %ymm3, %ymm4; END
	/* Segment override, absolute and ESP-based operands with both VEX lengths. */
	CASE addr, n=16, cx=I, fl=V, need=N_AVX; vmovups %ds:(%esi), %ymm0; vmovups %ymm1, %es:scratch + 0xff1; vmovups (%esp), %xmm2; vmovups %xmm3, 7(%esp,%ecx,1); vpshufd $0x1b, (%esi,%ecx,2), %xmm4; vinsertps $3, (%edi), %xmm5, %xmm6; END
	/* LES and LDS proper share the opcodes. */
	CASE les, n=16; mov flat_sel, %ax; movl $0x12345678, (%esi); mov %ax, 4(%esi); les (%esi), %ecx; lds (%esi), %edx; movw $0, 4(%esi); xor %eax, %eax; END
	CASE vex_lock_ud, n=8, fl=V, need=N_AVX; .byte 0xf0, 0xc5, 0xf8, 0x58, 0xc1; END
	CASE vex_66_ud, n=8, fl=V, need=N_AVX; .byte 0x66, 0xc5, 0xf8, 0x58, 0xc1; END
	/* EVEX: 62 with mod == 3 (BOUND otherwise); masks, broadcast, compressed displacement. */
	CASE evex, n=16, fl=V, need=N_AVX512; mov $0xa5, %eax; kmovw %eax, %k1; vpaddd %ymm1, %ymm2, %ymm0{%k1}; vpaddd (%esi){1to8}, %ymm3, %ymm4{%k1}{z}; vmovdqu32 32(%esi), %ymm5{%k1}; vmovdqu32 %ymm6, 32(%edi){%k1}; kmovw %k1, %ecx; vpternlogd $0x96, (%esi), %ymm2, %ymm7; vpcmpud $1, %ymm1, %ymm2, %k2; kmovb %k2, %edx; END
	CASE evex_z, n=16, fl=V, need=N_AVX512; vmovdqu32 scratch + 0xfc0, %zmm0; vpaddd scratch + 0xf80, %zmm0, %zmm1; vextracti32x8 $1, %zmm1, %ymm2; vpbroadcastd %eax, %zmm3; vmovdqu64 %zmm3, scratch + 0x1010; END
