/*
 * Decimal arithmetic: DAA DAS AAA AAS AAM AAD.  SDM vol. 2.
 * None of them exists in 64-bit mode.
 */
#include "insn.inc"
	CASE daa, n=200, undef=OF; daa; END
	CASE das, n=200, undef=OF; das; END
	CASE aaa, n=200, undef=OF+SF+ZF+PF; aaa; END
	CASE aas, n=200, undef=OF+SF+ZF+PF; aas; END
	CASE aam, n=100, undef=OF+AF+CF; aam; END
	CASE aad, n=100, undef=OF+AF+CF; aad; END
	.irp b, 1, 2, 7, 16, 100, 255
	CASE aam_\b, n=40, undef=OF+AF+CF; aam $\b; END
	CASE aad_\b, n=40, undef=OF+AF+CF; aad $\b; END
	.endr
	CASE aam_0, n=20, undef=ARITH; aam $0; END
	CASE add_daa, n=200, undef=OF; add %cl, %al; daa; adc %ah, %dl; END
	CASE sub_das, n=200, undef=OF; sub %cl, %al; das; sbb %ah, %dl; END
	CASE add_aaa, n=100, undef=OF+SF+ZF+PF; add %cl, %al; aaa; mov %eax, %edx; END
	CASE sub_aas, n=100, undef=OF+SF+ZF+PF; sub %cl, %al; aas; mov %eax, %edx; END
