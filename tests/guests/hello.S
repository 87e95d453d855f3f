/*
 * hello: the smallest guest.  No runtime, no IDT, no paging: the multiboot
 * entry state (Multiboot 0.6.96, 3.2), a stack, serial output by polling, the
 * debug console, and the way out (0xf4).  It is what a new engine runs first.
 */
	.section .multiboot, "ax"
	.align 4
	.long 0x1badb002, 0, -0x1badb002

	.text
	.globl _start
_start:
	mov	$stack_end, %esp
	cmp	$0x2badb002, %eax
	jne	bad
	mov	$msg, %esi
1:	mov	(%esi), %al
	test	%al, %al
	jz	done
	call	put
	inc	%esi
	jmp	1b
done:
	mov	$0x2a, %al
	jmp	out
bad:	mov	$'F', %al
	call	put
	mov	$0x2b, %al
out:	out	%al, $0xf4
	cli
	hlt
	jmp	.

put:	push	%eax
	mov	$0x3fd, %dx
2:	in	(%dx), %al
	test	$0x20, %al
	jz	2b
	pop	%eax
	mov	$0x3f8, %dx
	out	%al, (%dx)
	out	%al, $0xe9
	ret

msg:	.asciz "ok hello\nPASS: 1 checks, 0 failed\n"
	.bss
	.skip 4096
stack_end:
	.section .note.GNU-stack, "", @progbits
