/*
 * PUSH and POP in every form, with ESP as operand and as base, 16-bit operands,
 * PUSHA/POPA, ENTER with levels, LEAVE, PUSHF/POPF.  SDM vol. 2; vol. 1, 6.2.
 */
#include "insn.inc"
	.irp r, eax, ecx, edx, ebx, ebp, esi, edi, esp
	CASE push_\r, n=16; push %\r; END
	CASE ff6_\r, n=16; .byte 0xff; .ifc \r,eax; .byte 0xf0; .endif; .ifc \r,ecx; .byte 0xf1; .endif; .ifc \r,edx; .byte 0xf2; .endif; .ifc \r,ebx; .byte 0xf3; .endif; .ifc \r,esp; .byte 0xf4; .endif; .ifc \r,ebp; .byte 0xf5; .endif; .ifc \r,esi; .byte 0xf6; .endif; .ifc \r,edi; .byte 0xf7; .endif; END
	.endr
	.irp r, ax, cx, dx, bx, bp, si, di, sp
	CASE push_\r, n=16; pushw %\r; END
	.endr
	.irp r, eax, ecx, edx, ebx, ebp, esi, edi
	CASE pop_\r, n=16; pop %\r; END
	.endr
	.irp r, ax, cx, dx, bx, bp, si, di
	CASE pop_\r, n=16; popw %\r; END
	.endr
	CASE pop_esp; mov %edi, (%esp); pop %esp; END
	CASE pop_sp; mov %sp, %ax; add $12, %ax; mov %ax, (%esp); popw %sp; END
	CASE pop_8f_esp; mov %edi, (%esp); .byte 0x8f, 0xc4; END
	CASE pop_8f_ecx; .byte 0x8f, 0xc1; END
	CASE push_mis, sp=SU, n=60; push %eax; pushw %cx; push (%esi); pop %edx; popw %bx; END
	CASE push_i8; push $-3; END
	CASE push_i32; push $0x12345678; END
	CASE pushw_i8; pushw $-3; END
	CASE pushw_i16; pushw $0x1234; END
	CASE push_m; push (%esi); END
	CASE push_mx, si=X; push (%esi); END
	CASE push_mw; pushw 2(%esi); END
	CASE push_mesp; push (%esp); END
	CASE push_mesp8; push 8(%esp); END
	CASE push_mespn; push -4(%esp); END
	CASE push_mespw; pushw 6(%esp); END
	CASE push_mespi, cx=I; push (%esp,%ecx,4); END
	CASE push_mabs; push scratch + 0xff8; END
	CASE pop_m; pop (%esi); END
	CASE pop_mx, si=X; pop (%esi); END
	CASE pop_mw; popw 2(%esi); END
	CASE pop_mesp; popl (%esp); END
	CASE pop_mesp4; popl 4(%esp); END
	CASE pop_mespn; popl -8(%esp); END
	CASE pop_mespw; popw 4(%esp); END
	CASE pop_mespi, cx=I; popl 8(%esp,%ecx,4); END
	CASE pop_mabs; pop scratch + 0x1008; END
	CASE push_pop; push %eax; push %ecx; pop %eax; pop %ecx; END
	CASE pusha; pusha; END
	CASE pushaw; pushaw; END
	CASE pusha_mis, sp=SU; pusha; END
	CASE popa; popa; END
	CASE popaw; popaw; END
	CASE pusha_popa; pusha; xor %eax, %eax; mov %eax, %ebx; mov %eax, %esi; popa; END
	CASE pusha_edit; pusha; addl $5, 28(%esp); movl $0x55, 12(%esp); popa; END
	.irp l, 0, 1, 2, 3, 5, 31, 32
	CASE enter_\l, bp=K, n=24; enter $16, $\l; END
	CASE enterw_\l, bp=K, n=24; .byte 0x66; enter $8, $\l; END
	CASE enter_leave_\l, bp=K, n=24; enter $12, $\l; push %eax; leave; END
	.endr
	CASE enter_0_0, bp=K; enter $0, $0; mov %eax, -4(%ebp); END
	CASE leave, bp=K; leave; END
	CASE leavew, bp=K; .byte 0x66; leave; END
	CASE frame, bp=K; push %ebp; mov %esp, %ebp; sub $24, %esp; mov %eax, -8(%ebp); mov 8(%ebp), %ecx; leave; END
	CASE pushf; pushf; andl $0x0cd5, (%esp); END
	CASE pushfw; pushfw; andw $0x0cd5, (%esp); END
	CASE popf; andl $0x0cd5, (%esp); popf; END
	CASE popfw; andw $0x0cd5, (%esp); popfw; END
	CASE popf_id; pushf; xorl $0x200000, (%esp); popf; pushf; pop %eax; and $0x200000, %eax; pushf; andl $~0x200000, (%esp); popf; movl $0, -4(%esp); END
	CASE popf_ac; pushf; orl $0x40000, (%esp); popf; pushf; pop %eax; and $0x40000, %eax; pushf; andl $~0x40000, (%esp); popf; movl $0, -4(%esp); END
	CASE popf_df; pushf; orl $0x400, (%esp); popf; movl $0, -4(%esp); lodsl; cld; END
	CASE popf_rsvd; pushf; orl $0xffc0802a, (%esp); popf; pushf; pop %eax; and $0xffc0802a, %eax; movl $0, -4(%esp); END
	/* popf clears and sets arithmetic flags; the upper bits pushed by pushf (VM, RF) read as 0. */
	CASE popf_arith; push $0; popf; pushf; andl $0xcd5, (%esp); pop %eax; push $0x8d5; popf; pushf; pop %edx; and $0x308d5, %edx; movl $0, -4(%esp); END
	CASE lahf; lahf; END
	CASE sahf; sahf; END
	CASE lahf_sahf; lahf; xor $0xff, %ah; sahf; lahf; END
	CASE flagops; stc; adc %eax, %ebx; cmc; adc %ecx, %edx; clc; rcl %ebp; cmc; std; cld; END
	CASE mov_esp; mov %esp, %eax; mov %edi, %esp; END
	CASE add_esp; add $8, %esp; push %eax; sub $16, %esp; mov %ecx, 4(%esp); and $-8, %esp; END
	CASE xchg_esp, di=K; xchg %esp, %edi; push %eax; END
	CASE lea_esp; lea -12(%esp), %esp; pop %eax; lea 4(%esp), %ecx; END
	CASE sp16; mov %sp, %ax; add $4, %sp; movzx %sp, %ecx; END
