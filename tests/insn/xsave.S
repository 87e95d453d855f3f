/*
 * XSAVE, XSAVEOPT, XSAVEC, XRSTOR, XGETBV: round trips of x87, SSE and AVX state, all of it and
 * by component; #GP on a misaligned area.  The image itself is not compared: XSTATE_BV and the
 * layout of unused parts depend on how the state got there.
 * SDM vol. 1, ch. 13.
 */
#include "insn.inc"
	.set V, F_AVX + F_NOQEMU + F_NOUNDER
	.set A, scratch + 0x9000	/* an area of its own, behind the stack's */
	.macro CLEAN
	push	%eax
	push	%ecx
	push	%edi
	mov	$A + 512, %edi
	mov	$16, %ecx
	xor	%eax, %eax
	rep stosl
	pop	%edi
	pop	%ecx
	pop	%eax
	.endm
	.macro CLOBBER
	fninit
	fldpi
	vpxor	%xmm0, %xmm0, %xmm0
	vmovups	%ymm1, %ymm3
	vpxor	%xmm7, %xmm7, %xmm7
	.endm
	CASE xsave, n=20, fl=V, need=N_XSAVE+N_AVX; CLEAN; mov $7, %eax; xor %edx, %edx; xsave A; CLOBBER; mov $7, %eax; xrstor A; END
	CASE xsave_avx, n=20, fl=V, need=N_XSAVE+N_AVX; CLEAN; mov $4, %eax; xor %edx, %edx; xsave A; CLOBBER; mov $4, %eax; xrstor A; END
	CASE xsave_sse, n=20, fl=V, need=N_XSAVE+N_AVX; CLEAN; mov $2, %eax; xor %edx, %edx; xsave A; CLOBBER; mov $2, %eax; xrstor A; END
	CASE xsave_x87, n=20, fl=V, need=N_XSAVE+N_AVX; CLEAN; mov $1, %eax; xor %edx, %edx; xsave A; CLOBBER; mov $1, %eax; xrstor A; END
	CASE xrstor_init, n=20, fl=V, need=N_XSAVE+N_AVX; CLEAN; mov $7, %eax; xor %edx, %edx; xsave A; movl $1, A + 512; mov $6, %eax; xrstor A; END
	CASE xsavec, n=20, fl=V, need=N_XSAVEC+N_AVX; CLEAN; mov $7, %eax; xor %edx, %edx; .byte 0x0f, 0xc7, 0x25; .long A; CLOBBER; mov $7, %eax; xrstor A; END
	CASE xsaveopt, n=20, fl=V, need=N_XSAVEOPT+N_AVX; CLEAN; mov $7, %eax; xor %edx, %edx; xsave A; xsaveopt A; CLOBBER; mov $7, %eax; xrstor A; END
	CASE xgetbv, n=4, need=N_XSAVE; xor %ecx, %ecx; xgetbv; and $7, %eax; END
	CASE xgetbv_bad, n=4, need=N_XSAVE; mov $0x1234, %ecx; xgetbv; END
	CASE xsave_mis, n=4, fl=V, need=N_XSAVE+N_AVX; mov $7, %eax; xor %edx, %edx; xsave A + 16; END
	CASE xrstor_bad, n=4, fl=V, need=N_XSAVE+N_AVX; CLEAN; mov $7, %eax; xor %edx, %edx; xsave A; movl $1, A + 512 + 16; xrstor A; END
	CASE vzero_xsave, n=8, fl=V, need=N_XSAVE+N_AVX; CLEAN; vzeroupper; mov $7, %eax; xor %edx, %edx; xsave A; vpcmpeqd %ymm2, %ymm2, %ymm2; mov $7, %eax; xrstor A; END
