/*
 * Into a case and out of it; and the way in and out of the whole image when it
 * runs natively in compatibility mode (see native.c for the other side).
 */
	.text
	.globl case_enter, case_exit, case_exit_seg, case_fault
case_enter:
	pusha
	mov	%esp, core_esp
	mov	in_regs + 0, %eax
	mov	in_regs + 4, %ecx
	mov	in_regs + 8, %edx
	mov	in_regs + 12, %ebx
	mov	in_regs + 20, %ebp
	mov	in_regs + 24, %esi
	mov	in_regs + 28, %edi
	pushl	in_flags
	popf
	mov	in_regs + 16, %esp
	jmp	*in_eip

	/* A fault comes here by way of IRET or sigreturn: registers are the faulting ones. */
case_fault:
	mov	%cs:flat_sel, %ds
	movl	$1, faulted
case_exit_seg:
	mov	%cs:flat_sel, %ds
	mov	flat_sel, %es
	mov	flat_sel, %ss
case_exit:
	mov	%esp, out_regs + 16
	mov	core_esp, %esp
	mov	%eax, out_regs + 0
	mov	%ecx, out_regs + 4
	mov	%edx, out_regs + 8
	mov	%ebx, out_regs + 12
	mov	%ebp, out_regs + 20
	mov	%esi, out_regs + 24
	mov	%edi, out_regs + 28
	pushf
	popl	out_flags
	cld
	popa
	ret

	/* ---- native: compatibility mode ---- */
	.section .native_header, "a"
	.align 16
	.ascii	"RINGERINSNTESTS1"
	.long	native_start, case_fault, fault_info, native_args
	.text
native_start:
	mov	$native_stack_end, %esp
	push	$0
	popf
	call	native_main
	ljmp	*native_args + 0		/* back to 64-bit code: m16:32 */

	.bss
	.align 16
	.globl core_esp
core_esp: .skip 4
	.align 16
	.skip	65536
native_stack_end:
	.section .note.GNU-stack, "", @progbits
