/*
 * From the multiboot loader to main(): own GDT, own stack, TSS, IDT.
 * And traps: 256 entry stubs that build struct regs and call trap_entry();
 * trap_enter() is the way into a snippet, trap_leave() the way out of one.
 *
 * Multiboot Specification 0.6.96; SDM vol. 3, 6.12 (stack frames of handlers).
 */
	.section .multiboot, "ax"
	.align 4
	.long 0x1badb002, 0x00000003, -(0x1badb002 + 0x00000003)

	.text
	.globl _start
_start:
	cli
	cld
	mov	$boot_stack_end, %esp
	mov	%eax, mb_magic
	mov	%ebx, mb_info
	lgdt	gdt_ptr
	mov	$0x68, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	ljmp	$0x60, $1f
1:	push	$0
	popf
	call	rt_start
	jmp	.

	/* One stub a vector, 16 bytes apart: vectors that push an error code do not get a zero. */
	.align 16
	.globl trap_stubs
trap_stubs:
	.set vec, 0
	.rept 256
	.align 16
	.if vec == 8 || (vec >= 10 && vec <= 14) || vec == 17 || vec == 21 || vec == 29 || vec == 30
	.else
	push	$0
	.endif
	push	$vec
	jmp	trap_common
	.set vec, vec + 1
	.endr

trap_common:
	pusha
	push	%ds
	push	%es
	push	%fs
	push	%gs
	mov	$0x68, %eax
	mov	%eax, %ds
	mov	%eax, %es
	cld
	mov	%esp, %eax
	push	%eax
	call	trap_entry
	add	$4, %esp
	pop	%gs
	pop	%fs
	pop	%es
	pop	%ds
	popa
	add	$8, %esp
	iret

	/*
	 * void trap_enter(void): run enter_state until something traps.  Returns
	 * when trap_leave() is called (by trap_entry, on whatever stack).
	 */
	.globl trap_enter
trap_enter:
	push	%ebp
	push	%ebx
	push	%esi
	push	%edi
	pushf
	push	recover_esp
	mov	%esp, recover_esp
	mov	%esp, tss + 4			/* esp0: a trap from user mode lands below us */
	mov	enter_state + 9*4, %eax		/* eflags */
	test	$0x20000, %eax			/* VM86: a nine-word frame */
	jnz	2f
	testb	$3, enter_state + 10*4		/* cs.rpl */
	jnz	1f
	/* Same ring: the frame goes onto the snippet's own stack (12 bytes below its esp). */
	mov	enter_state + 11*4, %ss
	mov	enter_state + 4*4, %esp
	jmp	3f
2:	push	enter_state + 15*4		/* gs */
	push	enter_state + 14*4		/* fs */
	push	enter_state + 12*4		/* ds */
	push	enter_state + 13*4		/* es */
1:	push	enter_state + 11*4
	push	enter_state + 4*4
3:	push	enter_state + 9*4
	push	enter_state + 10*4
	push	enter_state + 8*4
	mov	enter_state + 1*4, %ecx
	mov	enter_state + 2*4, %edx
	mov	enter_state + 3*4, %ebx
	mov	enter_state + 5*4, %ebp
	mov	enter_state + 6*4, %esi
	mov	enter_state + 7*4, %edi
	test	$0x20000, %eax
	jnz	4f
	mov	enter_state + 13*4, %es
	mov	enter_state + 14*4, %fs
	mov	enter_state + 15*4, %gs
	mov	enter_state + 0*4, %eax
	mov	enter_state + 12*4, %ds
	iret
4:	mov	enter_state + 0*4, %eax
	iret

	.globl trap_leave
trap_leave:
	cli
	mov	$0x68, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	recover_esp, %esp
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	pop	recover_esp
	popf
	pop	%edi
	pop	%esi
	pop	%ebx
	pop	%ebp
	ret

	.bss
	.align 16
	.globl boot_stack_end
	.skip 16384
boot_stack_end:

	.section .note.GNU-stack, "", @progbits
