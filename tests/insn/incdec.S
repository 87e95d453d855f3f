/*
 * INC, DEC, NEG, NOT in every form; INC and DEC leave CF alone.
 * SDM vol. 2.
 */
#include "insn.inc"
	.irp op, inc, dec, neg, not
	.irp r, eax, ecx, edx, ebx, ebp, esi, edi
	CASE \op\()_\r, si=R, di=R; \op %\r; END
	.endr
	.irp r, ax, cx, dx, bx, bp, si, di
	CASE \op\()_\r, si=R, di=R; \op %\r; END
	.endr
	.irp r, al, cl, dl, bl, ah, ch, dh, bh
	CASE \op\()_\r; \op %\r; END
	.endr
	CASE \op\()_m32; \op\()l (%esi); END
	CASE \op\()_m16; \op\()w 6(%esi); END
	CASE \op\()_m8; \op\()b (%edi); END
	CASE \op\()_m32x, si=X; \op\()l (%esi); END
	CASE \op\()_lock32; lock \op\()l (%esi); END
	CASE \op\()_lock8; lock \op\()b (%esi); END
	CASE \op\()_esp; \op %esp; END
	CASE \op\()_sp, sp=SP; \op %sp; END
	.endr
	/* FE/FF /0 /1 register forms (the 40+r forms are the assembler's choice). */
	.irp n, 0, 1, 2, 3, 5, 6, 7
	CASE ff_inc_\n, si=R, di=R; .byte 0xff, 0xc0 + \n; END
	CASE ff_dec_\n, si=R, di=R; .byte 0xff, 0xc8 + \n; END
	.endr
	CASE chain; add %ecx, %eax; inc %edx; adc %ebx, %edx; dec %ebx; sbb %eax, %ebp; neg %ecx; adc $0, %eax; not %edx; adc %edx, %edx; END
