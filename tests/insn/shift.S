/*
 * Shifts and rotates: all eight encodings, all sizes, by 1, by an immediate and
 * by CL; SHLD and SHRD.  OF is defined for counts of 1 only; AF and, for counts over
 * the size, CF are undefined; a masked count of 0 changes no flag.
 * SDM vol. 2: SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD.
 */
#include "insn.inc"
	.irp op, rol, ror, rcl, rcr, shl, shr, sar
	CASE \op\()_1_32, undef=AF; \op %eax; END
	CASE \op\()_1_16, undef=AF; \op %dx; END
	CASE \op\()_1_8, undef=AF; \op %bh; END
	CASE \op\()_1_m32, undef=AF; \op\()l (%esi); END
	CASE \op\()_1_m16, undef=AF; \op\()w (%esi); END
	CASE \op\()_1_m8, undef=AF; \op\()b (%esi); END
	CASE \op\()_cl_32, n=120, undef=OF+AF; \op %cl, %eax; END
	CASE \op\()_cl_32c, n=80, cx=C, undef=OF+AF; \op %cl, %ebp; END
	CASE \op\()_cl_16, n=120, cx=C, undef=OF+AF+CF; \op %cl, %dx; END
	CASE \op\()_cl_8, n=120, cx=C, undef=OF+AF+CF; \op %cl, %al; END
	CASE \op\()_cl_8h, n=80, cx=C, undef=OF+AF+CF; \op %cl, %ah; END
	CASE \op\()_cl_cl, n=80, cx=C, undef=OF+AF+CF; \op %cl, %cl; END
	CASE \op\()_cl_ch, n=80, undef=OF+AF+CF; \op %cl, %ch; END
	CASE \op\()_cl_ecx, n=80, undef=OF+AF; \op %cl, %ecx; END
	CASE \op\()_cl_m32, n=80, undef=OF+AF; \op\()l %cl, (%esi); END
	CASE \op\()_cl_m16, n=80, cx=C, undef=OF+AF+CF; \op\()w %cl, (%esi); END
	CASE \op\()_cl_m8, n=80, cx=C, undef=OF+AF+CF; \op\()b %cl, (%esi); END
	.endr
	/* C1, C0 and 66 C1 /n ib; /6 is the undocumented alias of SHL. */
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7
	.irp i, 0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 255
	CASE i_\n\()_32_\i, n=12, undef=OF+AF; .byte 0xc1, 0xc0 + \n * 8 + 2, \i; END
	CASE i_\n\()_16_\i, n=12, undef=OF+AF+CF; .byte 0x66, 0xc1, 0xc0 + \n * 8 + 3, \i; END
	CASE i_\n\()_8_\i, n=12, undef=OF+AF+CF; .byte 0xc0, 0xc0 + \n * 8 + 5, \i; END
	CASE i_\n\()_m32_\i, n=8, undef=OF+AF; .byte 0xc1, 0x06 + \n * 8, \i; END
	CASE i_\n\()_m8_\i, n=8, undef=OF+AF+CF; .byte 0xc0, 0x07 + \n * 8, \i; END
	.endr
	CASE d1_\n\()_6, undef=AF; .byte 0xd1, 0xc0 + \n * 8 + 6; END
	CASE d3_\n\()_7, undef=OF+AF; .byte 0xd3, 0xc0 + \n * 8 + 7; END
	.endr
	.irp op, shld, shrd
	CASE \op\()_cl_32, n=120, undef=OF+AF; \op %cl, %edx, %eax; END
	CASE \op\()_cl_32c, n=80, cx=C, undef=OF+AF; \op %cl, %ebx, %ebp; END
	CASE \op\()_cl_m32, n=80, undef=OF+AF; \op %cl, %edx, (%esi); END
	CASE \op\()_cl_same, n=80, undef=OF+AF; \op %cl, %ecx, %ecx; END
	CASE \op\()_cl_16, n=80, cx=C, undef=OF+AF+CF, fl=F_NOQEMU; \op %cl, %dx, %ax; END
	CASE \op\()_cl_m16, n=80, cx=C, undef=OF+AF+CF, fl=F_NOQEMU; \op %cl, %bx, (%esi); END
	.irp i, 0, 1, 5, 16, 31, 32, 63
	CASE \op\()_32_i\i, n=16, undef=OF+AF; \op $\i, %esi, %edi; END
	CASE \op\()_m32_i\i, n=16, undef=OF+AF; \op $\i, %eax, 4(%edi); END
	.endr
	.irp i, 0, 1, 5, 15
	CASE \op\()_16_i\i, n=16, undef=OF+AF; \op $\i, %si, %di; END
	.endr
	.endr
	/* Zero counts keep the flags of whatever came before. */
	CASE zero_keep; add %edx, %eax; mov $0, %cl; shl %cl, %ebx; adc %ebx, %ebp; mov $32, %cl; rcr %cl, %eax; adc $0, %eax; END
	CASE rc_chain; add %ecx, %eax; rcl $1, %edx; rcr $1, %ebx; rcl $3, %ebp; adc $0, %eax; END
