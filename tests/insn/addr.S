/*
 * Addressing: every ModRM/SIB form with every class of instruction; absolute,
 * ESP-based, without base, sums that wrap at 2^32, pages crossed; the high-byte
 * registers with every base (a REX prefix would turn them into SPL…DIL).
 * SDM vol. 2, 2.1.5, tables 2-2 and 2-3.
 */
#include "insn.inc"
	.set D, scratch + 0x1000	/* the middle of the data */
	/* M name, instruction with {M} written as the macro argument m: expanded over addressing forms. */
	.macro FORMS name, pre, post=
	CASE \name\()_base, undef=SF+ZF+AF+PF+OF; \pre (%esi) \post; END
	CASE \name\()_b8, undef=SF+ZF+AF+PF+OF; \pre -5(%edi) \post; END
	CASE \name\()_b32w, si=W, undef=SF+ZF+AF+PF+OF; \pre -0x80000000(%esi) \post; END
	CASE \name\()_abs, undef=SF+ZF+AF+PF+OF; \pre D - 3 \post; END
	CASE \name\()_absx, undef=SF+ZF+AF+PF+OF; \pre D - 1 \post; END
	CASE \name\()_sib, cx=I, undef=SF+ZF+AF+PF+OF; \pre (%esi,%ecx,4) \post; END
	CASE \name\()_sib8, bp=I, undef=SF+ZF+AF+PF+OF; \pre 7(%edi,%ebp,2) \post; END
	CASE \name\()_sib32, dx=I, undef=SF+ZF+AF+PF+OF; \pre D(,%edx,8) \post; END
	CASE \name\()_sib1, bx=I, undef=SF+ZF+AF+PF+OF; \pre D(%ebx) \post; END
	CASE \name\()_sibn, bx=I, undef=SF+ZF+AF+PF+OF; \pre D(,%ebx,1) \post; END
	CASE \name\()_esp, undef=SF+ZF+AF+PF+OF; \pre (%esp) \post; END
	CASE \name\()_esp8, undef=SF+ZF+AF+PF+OF; \pre 9(%esp) \post; END
	CASE \name\()_espi, cx=I, undef=SF+ZF+AF+PF+OF; \pre -2(%esp,%ecx,1) \post; END
	CASE \name\()_esp32, sp=SP, undef=SF+ZF+AF+PF+OF; \pre 0x100(%esp) \post; END
	CASE \name\()_ebp, bp=P, undef=SF+ZF+AF+PF+OF; \pre (%ebp) \post; END
	CASE \name\()_ebps, bp=P, dx=I, undef=SF+ZF+AF+PF+OF; \pre (%ebp,%edx,2) \post; END
	CASE \name\()_x, si=X, undef=SF+ZF+AF+PF+OF; \pre (%esi) \post; END
	CASE \name\()_wrap2, cx=I, si=W, undef=SF+ZF+AF+PF+OF; \pre -0x7ffffffc(%esi,%ecx,1) \post; END
	.endm
	FORMS load32, "mov", ", %eax"
	FORMS load16, "mov", ", %bx"
	FORMS load8, "mov", ", %al"
	FORMS load8ah, "mov", ", %ah"
	FORMS load8ch, "mov", ", %ch"
	FORMS load8dh, "mov", ", %dh"
	FORMS load8bh, "mov", ", %bh"
	FORMS store32, "mov %eax,"
	FORMS store8al, "mov %al,"
	FORMS store8ah, "mov %ah,"
	FORMS store8ch, "mov %ch,"
	FORMS store8dh, "mov %dh,"
	FORMS store8bh, "mov %bh,"
	FORMS storei, "movl $0x12345678,"
	FORMS storei8, "movb $0x5a,"
	FORMS storei16, "movw $0x5a5a,"
	FORMS addm, "add %eax,"
	FORMS addr, "add", ", %eax"
	FORMS addah, "add %ah,"
	FORMS addrah, "add", ", %ah"
	FORMS orbh, "or %bh,"
	FORMS cmprdh, "cmp", ", %dh"
	FORMS cmpi, "cmpb $0x40,"
	FORMS testi, "testl $0x80000001,"
	FORMS incm, "incl"
	FORMS negb, "negb"
	FORMS shlm, "shll $3,"
	FORMS xchgch, "xchg %ch,"
	FORMS xaddbh, "xadd %bh,"
	FORMS movzx, "movzbl", ", %eax"
	FORMS movsx, "movswl", ", %ebx"
	FORMS pushm, "pushl"
	FORMS lea, "lea", ", %eax"
	FORMS imul, "imul $77,", ", %eax"
	FORMS setc, "setc"
	FORMS cmovs, "cmovs", ", %eax"
	FORMS popm, "popl"
	FORMS sse, "movups", ", %xmm0"
	FORMS lock, "lock orl $0x100,"
	/* The same addresses by redundant encodings: SIB with no index, disp32 where disp8 would do, SIB disp32 without base or index. */
	CASE sib_noindex; .byte 0x8b, 0x04, 0x26; .byte 0x03, 0x44, 0x26, 0x04; END	/* (%esi,%eiz,1) */
	CASE sib_noindex8; .byte 0x8b, 0x04, 0xe6; END
	CASE sib_abs; .byte 0x8b, 0x04, 0x25; .long D - 4; .byte 0x89, 0x04, 0xe5; .long D + 8; END
	CASE disp32_0; .byte 0x8b, 0x86; .long 0; .byte 0x89, 0x87; .long 1; END
	CASE disp8_0; .byte 0x8b, 0x46, 0x00; .byte 0x8a, 0x67, 0x00; END
	CASE modrm_abs_store; .byte 0x88, 0x25; .long D + 2; .byte 0x88, 0x3d; .long D - 9; .byte 0x66, 0x89, 0x1d; .long D + 5; END
	/* 67: 16-bit addresses reach no scratch; only sums that need none. */
	CASE a16_nop; addr16 lea -1(%bx,%si), %eax; addr16 nop; END
	/* Segment overrides with flat segments. */
	CASE seg_cs; mov %cs:case_exit, %eax; mov %cs:(%esi), %ecx; END
	CASE seg_ds; mov %ds:(%esi), %ecx; mov %eax, %ds:(%edi); mov %ds:(%esp), %edx; mov %ds:4(%esp), %bl; END
	CASE seg_es; mov %es:(%esi), %ecx; mov %ah, %es:(%edi); END
	CASE seg_ss, bp=P; mov %ss:(%esi), %ecx; mov %bh, %ss:(%edi); mov (%ebp), %edx; mov %ds:4(%ebp), %al; END
	CASE seg_movs; .byte 0x26; movsl; .byte 0x36; lodsb; .byte 0x2e; cmpsw; END
	CASE seg_rep_movs, cx=C; .byte 0x26; rep movsl; END
	CASE seg_two; .byte 0x3e, 0x26, 0x8b, 0x06; .byte 0x36, 0x2e, 0x03, 0x07; END
	CASE prefixes; .byte 0x66, 0x66, 0x8b, 0x06; .byte 0x3e, 0x66, 0x3e, 0x89, 0x07; .byte 0xf3, 0x8b, 0x06; .byte 0xf2, 0x01, 0x07; .byte 0xf3, 0x66, 0x03, 0x06; END
	CASE bytes_all; mov %al, %ah; add %bh, %cl; sub %ch, %dh; xor %dl, %bh; and %ah, %ch; or %dh, %al; adc %bl, %bh; sbb %cl, %ah; cmp %ah, %dh; END
