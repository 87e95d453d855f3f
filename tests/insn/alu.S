/*
 * The eight two-operand arithmetic and logic instructions and TEST, in every
 * operand form and size.  SDM vol. 2: ADD ADC SUB SBB AND OR XOR CMP TEST.
 */
#include "insn.inc"
	.irp op, add, or, adc, sbb, and, sub, xor, cmp
	CASE \op\()_rr32; \op %ecx, %eax; END
	CASE \op\()_rr32b; \op %ebp, %edi; END
	CASE \op\()_rr16; \op %cx, %ax; END
	CASE \op\()_rr8; \op %cl, %al; END
	CASE \op\()_rr8h; \op %ch, %bh; END
	CASE \op\()_rr8x; \op %dh, %al; END
	CASE \op\()_rm32; \op (%esi), %eax; END
	CASE \op\()_rm16; \op 3(%esi), %bx; END
	CASE \op\()_rm8; \op (%esi), %cl; END
	CASE \op\()_rm8h; \op -7(%esi), %ah; END
	CASE \op\()_mr32; \op %eax, (%edi); END
	CASE \op\()_mr32x, di=X; \op %ebp, (%edi); END
	CASE \op\()_mr16; \op %dx, 4(%edi); END
	CASE \op\()_mr8; \op %dl, (%edi); END
	CASE \op\()_mr8h; \op %dh, (%edi); END
	CASE \op\()_ri8; \op $-5, %ebx; END
	CASE \op\()_ri8w; \op $0x7f, %bx; END
	CASE \op\()_ri8b; \op $0x80, %ch; END
	CASE \op\()_ri32; \op $0x80000001, %edx; END
	CASE \op\()_ri16; \op $0x8001, %dx; END
	CASE \op\()_eaxi; \op $0x12345678, %eax; END
	CASE \op\()_axi; \op $0x7fff, %ax; END
	CASE \op\()_ali; \op $0x7f, %al; END
	CASE \op\()_mi8; \op\()l $-1, (%esi); END
	CASE \op\()_mi32; \op\()l $0x7fffffff, 0x10(%esi); END
	CASE \op\()_mi16; \op\()w $0x1234, (%esi); END
	CASE \op\()_mi16s; \op\()w $-2, (%esi); END
	CASE \op\()_mib; \op\()b $0x55, (%esi); END
	.endr
	.irp op, add, or, adc, sbb, and, sub, xor
	CASE \op\()_lock32; lock \op\()l %eax, (%edi); END
	CASE \op\()_lock8; lock \op\()b $3, (%edi); END
	CASE \op\()_lock16; lock \op\()w $0x1001, 2(%edi); END
	.endr
	/* 0x82 is an alias of 0x80 in 32-bit mode only. */
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7
	CASE alias82_r\n; .byte 0x82, 0xc0 + \n * 8 + 7, 0x81; END
	CASE alias82_m\n; .byte 0x82, 0x06 + \n * 8, 0x7f; END
	/* The other encodings of register forms (opcode + 2), as compilers never write them. */
	CASE rev32_\n; .byte 0x03 + \n * 8, 0xc1; END
	CASE rev8_\n; .byte 0x02 + \n * 8, 0xe1; END
	.endr
	CASE test_rr32, undef=AF; test %ecx, %eax; END
	CASE test_rr16, undef=AF; test %cx, %ax; END
	CASE test_rr8, undef=AF; test %ch, %ah; END
	CASE test_mr32, undef=AF; test %ecx, (%esi); END
	CASE test_mr8, undef=AF; test %bh, (%esi); END
	CASE test_eaxi, undef=AF; test $0x80000000, %eax; END
	CASE test_axi, undef=AF; testw $0x8000, %ax; END
	CASE test_ali, undef=AF; test $0x80, %al; END
	CASE test_ri, undef=AF; test $0x00ff00ff, %ebp; END
	CASE test_mi32, undef=AF; testl $0x00ff00ff, (%edi); END
	CASE test_mi16, undef=AF; testw $0xff, (%edi); END
	CASE test_mib, undef=AF; testb $0xf, (%edi); END
	CASE test_f7_1, undef=AF, fl=F_NOQEMU; .byte 0xf7, 0xc8; .long 0x0f0f0f0f; END	/* F7 /1, undocumented TEST */
	CASE test_f6_1, undef=AF, fl=F_NOQEMU; .byte 0xf6, 0x0e, 0x3c; END
	/* Long dependent chains through the flags. */
	CASE chain1, n=200; add %ecx, %eax; adc %edx, %ebx; sbb $0, %ebp; adc (%esi), %eax; sbb %eax, (%edi); adc $0, %ecx; setc %dl; END
	CASE chain2, n=200; sub (%esi), %eax; sbb 4(%esi), %edx; jc 1f; add $1, %ecx; 1: adc %ecx, %ebx; cmp %ebx, %eax; sbb %ebp, %ebp; END
