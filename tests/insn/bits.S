/*
 * BT, BTS, BTR, BTC: register and memory forms, bit offsets far outside the
 * addressed operand (a memory operand with a register offset is a bit string of
 * 2^32 bits); BSF, BSR; BSWAP.  SDM vol. 2.
 */
#include "insn.inc"
	.set U, OF + SF + AF + PF
	.irp op, bt, bts, btr, btc
	CASE \op\()_rr32, undef=U; \op %ecx, %eax; END
	CASE \op\()_rr16, undef=U; \op %cx, %ax; END
	CASE \op\()_rr_same, undef=U; \op %ebx, %ebx; END
	CASE \op\()_i, undef=U; \op $17, %eax; END
	CASE \op\()_i63, undef=U; \op $63, %edx; END
	CASE \op\()_i16, undef=U; \op $31, %dx; END
	CASE \op\()_m32, n=100, ax=B, undef=U; \op %eax, (%esi); END
	CASE \op\()_m16, n=100, cx=B, undef=U; \op %cx, (%esi); END
	CASE \op\()_m32d, n=60, bp=B, undef=U; \op %ebp, 12(%edi); END
	CASE \op\()_m32sib, n=60, dx=B, cx=I, undef=U; \op %edx, -3(%esi,%ecx,4); END
	CASE \op\()_m32abs, n=60, dx=B, undef=U; \op %edx, scratch + 0x1000; END
	CASE \op\()_m16abs, n=60, dx=B, undef=U; \op %dx, scratch + 0x1002; END
	CASE \op\()_m32wrap, n=60, ax=B, si=W, undef=U; \op %eax, -0x80000000(%esi); END
	CASE \op\()_m32x, n=60, ax=B, si=X, undef=U; \op %eax, (%esi); END
	CASE \op\()_m32esp, n=60, ax=B, undef=U; \op %eax, (%esp); END
	CASE \op\()_m32self, n=60, ax=I, undef=U; \op %eax, scratch + 0x1000(%eax); END
	CASE \op\()_mi, n=40, undef=U; \op\()l $37, (%esi); END
	CASE \op\()_mi16, n=40, undef=U; \op\()w $29, (%esi); END
	CASE \op\()_far, n=40, undef=U; mov $0x7fffff00, %eax; sub $0x0fffffe0, %esi; \op %eax, (%esi); END
	.endr
	.irp op, bts, btr, btc
	CASE \op\()_lock, n=60, ax=B, undef=U; lock \op %eax, (%esi); END
	CASE \op\()_lock16, n=60, cx=B, undef=U; lock \op %cx, (%esi); END
	CASE \op\()_locki, n=40, undef=U; lock \op\()l $5, (%esi); END
	.endr
	.set V, OF + SF + AF + PF + CF
	.irp op, bsf, bsr
	CASE \op\()_rr32, undef=V; \op %ecx, %eax; END
	CASE \op\()_rr16, undef=V; \op %cx, %ax; END
	CASE \op\()_rr_same, undef=V; \op %ebx, %ebx; END
	CASE \op\()_m32, undef=V; \op (%esi), %ebp; END
	CASE \op\()_m16, undef=V; \op (%esi), %dx; END
	CASE \op\()_zero, undef=V; xor %ecx, %ecx; \op %ecx, %eax; END
	CASE \op\()_zero16, undef=V; xor %ecx, %ecx; \op %cx, %ax; END
	.endr
	.irp r, eax, ecx, edx, ebx, ebp, esi, edi
	CASE bswap_\r, si=R, di=R; bswap %\r; END
	.endr
	CASE bswap_esp; bswap %esp; bswap %esp; push %eax; END
