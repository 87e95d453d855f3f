/*
 * MUL, IMUL (one, two, three operands), DIV, IDIV with their #DE, and the
 * sign-extension family that feeds them.  SDM vol. 2.
 */
#include "insn.inc"
	.set U, SF + ZF + AF + PF
	CASE mul_32, n=100, undef=U; mul %ecx; END
	CASE mul_16, n=100, undef=U; mul %bx; END
	CASE mul_8, n=100, undef=U; mul %cl; END
	CASE mul_8h, undef=U; mul %ah; END
	CASE mul_m32, undef=U; mull (%esi); END
	CASE mul_m16, undef=U; mulw (%esi); END
	CASE mul_m8, undef=U; mulb (%esi); END
	CASE mul_edx, undef=U; mul %edx; END
	CASE imul1_32, n=100, undef=U; imul %ecx; END
	CASE imul1_16, n=100, undef=U; imul %bx; END
	CASE imul1_8, n=100, undef=U; imul %dh; END
	CASE imul1_m32, undef=U; imull (%esi); END
	CASE imul1_m16, undef=U; imulw (%esi); END
	CASE imul1_m8, undef=U; imulb (%esi); END
	CASE imul2_32, n=100, undef=U; imul %ecx, %eax; END
	CASE imul2_16, n=100, undef=U; imul %cx, %ax; END
	CASE imul2_m32, undef=U; imul (%esi), %ebp; END
	CASE imul2_m16, undef=U; imul (%esi), %bx; END
	CASE imul3_i8, undef=U; imul $-7, %ecx, %eax; END
	CASE imul3_i32, undef=U; imul $0x12345, %ebp, %edi; END
	CASE imul3_i16, undef=U; imul $0x1234, %cx, %ax; END
	CASE imul3_i8w, undef=U; imul $-3, %cx, %ax; END
	CASE imul3_m32, undef=U; imul $0x76543210, (%esi), %edx; END
	CASE imul3_m8i, undef=U; imul $100, 4(%esi), %edx; END
	CASE imul3_m16, undef=U; imul $-1000, (%esi), %dx; END
	/* Division: random operands mostly overflow (#DE), so also with a small or zero upper half. */
	CASE div_32, n=100, undef=ARITH; div %ecx; END
	CASE div_32z, n=100, dx=Z, undef=ARITH; div %ecx; END
	CASE div_32t, n=60, dx=T, undef=ARITH; div %ebx; END
	CASE div_16, n=100, undef=ARITH; div %cx; END
	CASE div_16z, n=60, dx=Z, undef=ARITH; div %bp; END
	CASE div_8, n=100, undef=ARITH; div %cl; END
	CASE div_8t, n=60, ax=C, undef=ARITH; div %bh; END
	CASE div_m32, n=60, dx=T, undef=ARITH; divl (%esi); END
	CASE div_m16, n=60, dx=T, undef=ARITH; divw (%esi); END
	CASE div_m8, n=60, undef=ARITH; movzx %al, %eax; divb (%esi); END
	CASE idiv_32, n=100, undef=ARITH; cltd; idiv %ecx; END
	CASE idiv_32r, n=60, undef=ARITH; idiv %ecx; END
	CASE idiv_16, n=100, undef=ARITH; cwtd; idiv %cx; END
	CASE idiv_8, n=100, undef=ARITH; cbtw; idiv %cl; END
	CASE idiv_8h, n=60, undef=ARITH; cbtw; idiv %dh; END
	CASE idiv_m32, n=60, undef=ARITH; cltd; idivl (%esi); END
	CASE idiv_m16, n=60, undef=ARITH; cwtd; idivw (%esi); END
	CASE idiv_m8, n=60, undef=ARITH; cbtw; idivb (%esi); END
	CASE div_edx, n=40, undef=ARITH; div %edx; END
	CASE div_self, n=40, dx=Z, undef=ARITH; div %eax; END
	CASE div_ah, n=40, undef=ARITH; div %ah; END
	CASE div_flags, n=40, dx=Z, undef=ARITH, fl=F_NOQEMU; add %ebx, %ebp; div %ecx; adc %eax, %ebp; END
	CASE cbtw; cbtw; END
	CASE cwtl; cwtl; END
	CASE cwtd; cwtd; END
	CASE cltd; cltd; END
