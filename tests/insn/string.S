/*
 * String instructions: every one, every size, with and without REP/REPE/REPNE,
 * both directions, zero and small counts, overlapping and page-crossing runs,
 * 16-bit addresses' registers left alone.  SDM vol. 2: MOVS STOS LODS SCAS CMPS REP.
 */
#include "insn.inc"
	.irp s, b, w, l
	CASE movs\s, fl=F_DF; movs\s; END
	CASE stos\s, fl=F_DF; stos\s; END
	CASE lods\s, fl=F_DF; lods\s; END
	CASE scas\s, fl=F_DF; scas\s; END
	CASE cmps\s, fl=F_DF; cmps\s; END
	CASE movs\s\()_x, si=X, di=P, fl=F_DF; movs\s; END
	CASE stos\s\()_x, di=X, fl=F_DF; stos\s; END
	.irp p, rep, repne
	CASE movs\s\()_\p, n=60, cx=C, fl=F_DF; \p; movs\s; END
	CASE stos\s\()_\p, n=60, cx=C, fl=F_DF; \p; stos\s; END
	CASE lods\s\()_\p, n=60, cx=C, fl=F_DF; \p; lods\s; END
	.endr
	CASE rep_movs\s\()_0, cx=Z, fl=F_DF; rep movs\s; END
	CASE rep_stos\s\()_0, cx=Z, fl=F_DF; rep stos\s; END
	CASE rep_movs\s\()_overlap, cx=C, n=60, fl=F_DF; lea 1(%esi), %edi; rep movs\s; END
	CASE rep_movs\s\()_overlap2, cx=C, n=60, fl=F_DF; lea -3(%esi), %edi; rep movs\s; END
	CASE rep_movs\s\()_same, cx=C, fl=F_DF; mov %esi, %edi; rep movs\s; END
	.irp p, repe, repne
	CASE scas\s\()_\p, n=60, cx=C, fl=F_DF; \p scas\s; END
	CASE cmps\s\()_\p, n=60, cx=C, fl=F_DF; \p cmps\s; END
	CASE scas\s\()_0_\p, cx=Z, fl=F_DF; \p scas\s; END
	CASE cmps\s\()_0_\p, cx=Z, fl=F_DF; \p cmps\s; END
	/* A long run of equal elements ends it somewhere in the middle. */
	CASE scas\s\()_run_\p, n=60, cx=C
	push %edi; push %ecx; mov $40, %ecx; rep stosl; pop %ecx; pop %edi; movb $0x77, 21(%edi); lea (%edi), %edi; \p scas\s
	END
	CASE cmps\s\()_run_\p, n=60, cx=C
	push %edi; push %esi; push %ecx; mov %esi, %edi; mov $20, %ecx; lea 4(%esi), %edi; rep movsl; pop %ecx; pop %esi; pop %edi
	movb $0x77, 22(%esi); lea 4(%esi), %edi; \p cmps\s
	END
	.endr
	.endr
	/* Address-size prefix: SI, DI, CX only, and their upper halves stay.  With 16-bit addresses there is no memory there: zero counts. */
	CASE a16_rep_movsb_0, cx=Z, fl=F_DF; .byte 0x67; rep movsb; END
	CASE a16_rep_movsb_hi0; mov $0x12340000, %ecx; .byte 0x67; rep movsb; END
	CASE a16_rep_stosl_hi0; mov $0x56780000, %ecx; .byte 0x67; rep stosl; END
	CASE a16_repe_scas_hi0; mov $0x56780000, %ecx; .byte 0x67; repe scasb; END
	/* memcpy and strlen as kernels write them. */
	CASE memcpy, cx=C; mov %ecx, %edx; shr $2, %ecx; rep movsl; mov %edx, %ecx; and $3, %ecx; rep movsb; END
	CASE strlen, n=60; movb $0, 30(%edi); xor %eax, %eax; mov $-1, %ecx; repne scasb; not %ecx; dec %ecx; END
	CASE loops, cx=C; 1: lodsb; add %al, %ah; stosb; sub $1, %ecx; ja 1b; END
	CASE back; std; mov $10, %ecx; rep movsl; cld; mov $5, %ecx; rep movsw; END
	/* LOCK is not allowed, an operand-size prefix on a byte form is ignored, the last prefix wins. */
	CASE o16_movsb; .byte 0x66; movsb; END
	CASE rep_repne, cx=C; .byte 0xf3, 0xf2, 0xae; END
	CASE repne_rep, cx=C; .byte 0xf2, 0xf3, 0xae; END
