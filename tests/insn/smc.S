/*
 * Self-modifying code: the next instruction, the same block, an earlier one, an
 * immediate in a hot loop, code on the stack-like scratch page, code and data
 * on one page.  SDM vol. 3, 11.6 and 8.1.3: a store is seen by later fetches after a jump (and on
 * every P6 and later CPU at once, as long as the linear address is the same).
 */
#include "insn.inc"
	.macro PAD
	.p2align 4
	.endm
	CASE imm_before; mov %eax, 1f + 1; jmp 1f; 1: mov $0, %ecx; END
	CASE imm_next; mov %eax, 1f + 1; 1: mov $0x11111111, %ecx; END
	CASE imm_loop, n=20; mov $50, %ecx; xor %edx, %edx; 1: mov $0, %ebx; add %ebx, %edx; mov %ecx, 1b + 1; dec %ecx; jnz 1b; END
	CASE op_next, n=20; movb $0x40, 1f; nop; nop; 1: .byte 0x48; movb $0x48, 1b; END	/* dec %eax becomes inc %eax */
	CASE op_toggle, n=20; mov $20, %ecx; 1: xorb $8, 2f; 2: .byte 0x40; dec %ecx; jnz 1b; END
	CASE jmp_target, n=20; mov $1f - (2f + 4), %edx; mov %edx, 2f; .byte 0xe9; 2: .long 0; inc %eax; inc %eax; 1: mov %ecx, %ebx; movl $0, 2b; END
	CASE call_made, n=20
	/* a function on the scratch page: mov $imm,%eax; ret */
	movb $0xb8, scratch + 0x1000; mov %ecx, scratch + 0x1001; movb $0xc3, scratch + 0x1005; call scratch + 0x1000
	mov %edx, scratch + 0x1001; mov %eax, %ebx; call scratch + 0x1000
	END
	CASE call_made_x, n=20
	/* the same, across a page boundary */
	movb $0xb8, scratch + 0xffe; mov %ecx, scratch + 0xfff; movb $0xc3, scratch + 0x1003; call scratch + 0xffe
	mov %edx, scratch + 0xfff; mov %eax, %ebx; call scratch + 0xffe
	movb $0x41, scratch + 0xffe; movl $0xc3414141, scratch + 0xfff; call scratch + 0xffe
	END
	CASE call_stack, n=20
	pushl $0x90c34140; mov %esp, %edx; call *%edx; movl $0x90c34840, (%esp); call *%edx; add $4, %esp
	END
	CASE rep_movs_code, n=20; mov $1f, %esi; mov $scratch + 0x1010, %edi; mov $2f - 1f, %ecx; rep movsb; call scratch + 0x1010; jmp 2f; 1: lea 3(%eax,%edx,2), %eax; not %eax; ret; 2: END
	CASE stos_code, n=20; mov $scratch + 0x1010, %edi; mov $0x40404040, %eax; mov $3, %ecx; rep stosl; movb $0xc3, (%edi); xor %eax, %eax; call scratch + 0x1010; movb $0xc3, scratch + 0x1015; call scratch + 0x1010; END
	CASE data_mixed, n=10; mov $200, %ecx; jmp 2f; PAD; 1: .long 0x12345678; 2: add %ecx, 1b; mov 1b, %eax; rol $3, %eax; add %eax, %edx; dec %ecx; jnz 2b; movl $0x12345678, 1b; END
	CASE data_mixed8, n=10; mov $200, %ecx; jmp 2f; 1: .byte 0, 0; 2: incb 1b; addb $3, 1b + 1; dec %ecx; jnz 2b; movzwl 1b, %eax; movw $0, 1b; END
	CASE two_versions, n=10
	mov $30, %ecx
1:	mov $0xc3c00348, %eax; test $1, %cl; jz 2f; mov $0xc3c00340, %eax
2:	mov %eax, scratch + 0x1020; mov %ecx, %eax; call scratch + 0x1020; add %eax, %edx; dec %ecx; jnz 1b
	END
	CASE xchg_code, n=20; mov $0x9090c8ff, %eax; xchg %eax, 1f; jmp 1f; 1: .byte 0xff, 0xc1, 0x90, 0x90; mov %ecx, %edx; movl $0x9090c1ff, 1b; END
	CASE lock_code, n=20; lock xorl $0x08, 1f; jmp 1f; 1: .byte 0x41, 0x90, 0x90, 0x90; lock xorl $8, 1b; END
	CASE push_code, n=20; mov %esp, %ebp; mov $1f + 4, %esp; mov %eax, %edx; push $0x90909047; mov %ebp, %esp; jmp 1f; 1: .long 0x9090904f; movl $0x9090904f, 1b; END
	CASE pop_code, n=20; push $0x90909047; popl 1f; jmp 1f; 1: .long 0x9090904f; movl $0x9090904f, 1b; END
	CASE call_code, n=20; mov %esp, %ebp; mov $3f + 4, %esp; call 1f; 2: nop; 1: mov 3f, %eax; mov %ebp, %esp; movl $0, 3f; jmp 4f; 3: .long 0; 4: END
	CASE bts_code, n=20; mov $3, %eax; btc %eax, 1f; jmp 1f; 1: .byte 0x41, 0x90, 0x90, 0x90; btcl $3, 1b; END
	CASE sse_code, n=10; movups 1f, %xmm0; movups %xmm0, scratch + 0x1040; call scratch + 0x1040; movups %xmm0, scratch + 0x1048; jmp 2f; 1: add %eax, %ecx; not %ecx; bswap %edx; ret; .fill 8, 1, 0x90; 2: END
	CASE prev_block, n=10; xor %edx, %edx; 1: inc %eax; inc %edx; cmp $5, %edx; jae 2f; cmp $2, %edx; jne 1b; movb $0x48, 1b; jmp 1b; 2: movb $0x40, 1b; END
	CASE cross_modify, n=10; mov $16, %ecx; 1: call 2f; call 3f; dec %ecx; jnz 1b; jmp 4f
2:	xorb $8, 3f; inc %eax; ret
3:	.byte 0x42; xorb $8, 5f; 5: .byte 0x43; ret
4:	END
