/*
 * CALL, RET, JMP near in all forms (relative, register, memory, stack-based,
 * 16-bit operand size), Jcc on every condition, LOOP/LOOPE/LOOPNE, JECXZ/JCXZ, calls
 * that return elsewhere, jumps into the middle of instructions, computed jumps.
 * SDM vol. 2.  Return addresses are part of the result.
 */
#include "insn.inc"
	.irp cc, o, no, b, ae, e, ne, be, a, s, ns, p, np, l, ge, le, g
	CASE j\cc\()_short; j\cc 1f; inc %eax; 1: END
	CASE j\cc\()_near; j\cc 1f; .fill 200, 1, 0x40; 1: END
	CASE j\cc\()_back, cx=C; jmp 2f; 1: dec %edx; jmp 3f; 2: j\cc 1b; inc %ebx; 3: END
	CASE j\cc\()_cmp; cmp %ecx, %eax; j\cc 1f; xor %edx, %edx; 1: END
	CASE set\cc; set\cc %al; END
	CASE set\cc\()_h; set\cc %ch; END
	CASE set\cc\()_m; set\cc (%esi); END
	CASE cmov\cc; cmov\cc %ecx, %eax; END
	CASE cmov\cc\()_16; cmov\cc %cx, %ax; END
	CASE cmov\cc\()_m; cmov\cc (%esi), %ebp; END
	CASE cmov\cc\()_m16; cmov\cc (%esi), %dx; END
	.endr
	CASE call_ret; call 1f; jmp 2f; 1: inc %eax; ret; 2: END
	CASE call_ret_imm; push %eax; push %ecx; call 1f; jmp 2f; 1: inc %eax; ret $8; 2: END
	CASE call_ret_imm4; push %eax; push %ecx; call 1f; jmp 2f; 1: ret $4; 2: END
	CASE call_ret_big, fl=F_NOQEMU;	/* TCG 7.2 sign-extends the count */ push %eax; call 1f; jmp 2f; 1: ret $0xfffc; 2: add $0xffff, %esp; sub $3 + 0xfffc, %esp; END
	CASE call_reg; mov $1f, %eax; call *%eax; jmp 2f; 1: inc %ecx; ret; 2: END
	CASE call_mem; movl $1f, (%esi); call *(%esi); jmp 2f; 1: inc %ecx; ret; 2: END
	CASE call_memx, si=X; movl $1f, (%esi); call *(%esi); jmp 2f; 1: inc %ecx; ret; 2: END
	CASE call_esp_mem; movl $1f, 4(%esp); call *4(%esp); jmp 2f; 1: inc %ecx; ret; 2: END
	CASE call_esp_below; movl $1f, -4(%esp); call *-4(%esp); jmp 2f; 1: inc %ecx; ret; 2: END
	CASE call_sib, cx=I; movl $1f, (%esi,%ecx,4); call *(%esi,%ecx,4); jmp 2f; 1: inc %edx; ret; 2: END
	CASE call_espreg; push $0x00c3c3c3; push $0x90909090; mov %esp, %eax; nop; END
	CASE call_pop; call 1f; 1: pop %eax; END
	CASE call_next_ret; push $2f; call 1f; 1: ret; 2: add $4, %esp; END
	CASE call_change_ret; call 1f; inc %eax; jmp 2f; 1: movl $3f, (%esp); ret; 3: inc %ecx; 2: END
	CASE call_nested, cx=C
	and $7, %ecx; inc %ecx; xor %eax, %eax; call 1f; jmp 3f
1:	inc %eax; dec %ecx; jz 2f; call 1b; add %eax, %edx
2:	ret
3:	END
	CASE ret_jump; push $1f; ret; inc %eax; 1: END
	CASE ret_imm_jump; push %eax; push $1f; ret $4; inc %eax; 1: END
	CASE jmp_reg; mov $1f, %ebp; jmp *%ebp; inc %eax; 1: END
	CASE jmp_mem; movl $1f, 8(%esi); jmp *8(%esi); inc %eax; 1: END
	CASE jmp_esp; movl $1f, (%esp); jmp *(%esp); inc %eax; 1: END
	CASE jmp_table, n=60, ax=C
	and $3, %eax; jmp *1f(,%eax,4)
	.p2align 2
1:	.long 2f, 3f, 4f, 5f
2:	inc %ecx
3:	inc %edx
4:	inc %ebx
5:	END
	CASE call_table, n=60, ax=C
	and $3, %eax; call *1f(,%eax,4); jmp 9f
1:	.long 2f, 3f, 4f, 5f
2:	inc %ecx
3:	inc %edx; ret
4:	inc %ebx
5:	ret
9:	END
	CASE loop, n=60, cx=C; inc %ecx; 1: add %ecx, %eax; loop 1b; END
	CASE loope, n=60, cx=C; inc %ecx; xor %eax, %eax; 1: lea 1(%eax), %eax; test $8, %al; loope 1b; END
	CASE loopne, n=60, cx=C; inc %ecx; 1: inc %eax; cmp $3, %al; loopne 1b; END
	CASE loop_flags, n=60, cx=C; inc %ecx; stc; 1: adc %eax, %ebx; loop 1b; adc $0, %edx; END
	CASE loopw, n=60, cx=C; inc %cx; or $0x50000, %ecx; 1: inc %eax; .byte 0x67; loop 1b; END
	CASE jecxz, n=40, cx=T; jecxz 1f; inc %eax; 1: END
	CASE jcxz, n=40, cx=T; or $0x10000, %ecx; jcxz 1f; inc %eax; 1: END
	CASE jecxz0, cx=Z; jecxz 1f; inc %eax; 1: END
	/* A jump into the immediate of an instruction; both readings run. */
	CASE mid_insn; jmp 1f + 1; 1: mov $0x90404090, %eax; END
	CASE mid_insn2; 2: .byte 0xb9, 0x41, 0x41, 0xeb, 0x04; inc %edx; test $1, %dl; jz 2b + 1; END
	CASE overlap, n=20; xor %edx, %edx; 1: inc %edx; cmp $3, %edx; ja 2f; test $1, %dl; jnz 1b; jmp 3f + 2; 3: .byte 0x66, 0xb8, 0x40, 0x41; jmp 1b; 2: END
	CASE nops; .byte 0x0f,0x1f,0x00; .byte 0x0f,0x1f,0x40,0; .byte 0x0f,0x1f,0x44,0,0; .byte 0x66,0x0f,0x1f,0x44,0,0; .byte 0x0f,0x1f,0x80,0,0,0,0; .byte 0x0f,0x1f,0x84,0,0,0,0,0; .byte 0x66,0x0f,0x1f,0x84,0,0,0,0,0; .byte 0x66,0x66,0x66,0x66,0x66,0x66,0x2e,0x0f,0x1f,0x84,0,0,0,0,0; pause; nop; .byte 0x66, 0x90; .byte 0xf2, 0x90; END
	CASE nop_hints; .byte 0x0f,0x18,0x06; .byte 0x0f,0x19,0xc0; .byte 0x0f,0x1c,0xc0; .byte 0x0f,0x1d,0x06; .byte 0x0f,0x0d,0x0e; .byte 0xf3,0x0f,0x1e,0xfb; .byte 0xf3,0x0f,0x1e,0xfa; END
	CASE nop_badaddr; .byte 0x0f,0x1f,0x05; .long 0xdeadbee0; .byte 0x0f,0x18,0x0d; .long 0x10; END
	CASE branch_hints; cmp %eax, %ecx; .byte 0x2e; jc 1f; inc %edx; 1: .byte 0x3e; jnz 1f; inc %ebx; 1: END
	CASE rep_ret; call 1f; jmp 2f; 1: .byte 0xf3; ret; 2: END
	CASE bnd_jmp; .byte 0xf2; jmp 1f; 1: .byte 0xf2; call 2f; jmp 3f; 2: .byte 0xf2; ret; 3: END
	CASE notrack; mov $1f, %eax; .byte 0x3e; jmp *%eax; inc %ecx; 1: END
	/* Hot loops: enough turns for chaining and for indirect lookups to settle. */
	CASE hot, n=4; mov $3000, %ecx; 1: test $1, %cl; jz 2f; add %ecx, %eax; jmp 3f; 2: sub %ecx, %edx; 3: dec %ecx; jnz 1b; END
	CASE hot_call, n=4; mov $2000, %ecx; 1: call 2f; call 3f; dec %ecx; jnz 1b; jmp 4f; 2: add $3, %eax; ret; 3: call 2b; ret; 4: END
	CASE hot_indirect, n=4; mov $2000, %ecx; 1: mov %ecx, %ebp; and $3, %ebp; call *9f(,%ebp,4); dec %ecx; jnz 1b; jmp 8f
2:	inc %eax; ret
3:	dec %edx; ret
4:	rol $1, %ebx; ret
5:	xor %eax, %edx; ret
9:	.long 2b, 3b, 4b, 5b
8:	END
	/* INT3, INTO, BOUND, UD2: faults and traps as seen by the handler. */
	CASE int3; add %ecx, %eax; int3; inc %eax; END
	CASE into, n=60; add %ecx, %eax; into; inc %edx; END
	CASE bound, n=60; bound %eax, (%esi); inc %edx; END
	CASE boundw, n=60; .byte 0x66; bound %eax, (%esi); inc %edx; END
	CASE ud2; inc %eax; ud2; END
	CASE jmp_hole; mov $scratch + 0x3004, %eax; jmp *%eax; END
	CASE call_hole; mov $scratch + 0x3004, %eax; call *%eax; END
	CASE ret_hole; push $scratch + 0x3008; ret; END
	CASE ret_hole_imm; push $scratch + 0x3008; ret $12; END
