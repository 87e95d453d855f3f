/*
 * Decimal arithmetic: DAA DAS AAA AAS AAM AAD.  SDM vol. 2.
 * None of them exists in 64-bit mode, so a translator computes them: undefined flags are never compared.
 */
#include "insn.inc"
	CASE daa, n=200, undef=OF, fl=F_UNDEF; daa; END
	CASE das, n=200, undef=OF, fl=F_UNDEF; das; END
	CASE aaa, n=200, undef=OF+SF+ZF+PF, fl=F_UNDEF; aaa; END
	CASE aas, n=200, undef=OF+SF+ZF+PF, fl=F_UNDEF; aas; END
	CASE aam, n=100, undef=OF+AF+CF, fl=F_UNDEF; aam; END
	CASE aad, n=100, undef=OF+AF+CF, fl=F_UNDEF; aad; END
	.irp b, 1, 2, 7, 16, 100, 255
	CASE aam_\b, n=40, undef=OF+AF+CF, fl=F_UNDEF; aam $\b; END
	CASE aad_\b, n=40, undef=OF+AF+CF, fl=F_UNDEF; aad $\b; END
	.endr
	CASE aam_0, n=20, undef=ARITH, fl=F_UNDEF; aam $0; END
	CASE add_daa, n=200, undef=OF, fl=F_UNDEF; add %cl, %al; daa; adc %ah, %dl; END
	CASE sub_das, n=200, undef=OF, fl=F_UNDEF; sub %cl, %al; das; sbb %ah, %dl; END
	CASE add_aaa, n=100, undef=OF+SF+ZF+PF, fl=F_UNDEF; add %cl, %al; aaa; mov %eax, %edx; END
	CASE sub_aas, n=100, undef=OF+SF+ZF+PF, fl=F_UNDEF; sub %cl, %al; aas; mov %eax, %edx; END
