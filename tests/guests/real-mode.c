/*
 * real-mode: from protected mode to real mode and back: 16-bit code, IVT interrupts (INT n, #DE,
 * hardware), segment arithmetic and wrap at 64 KiB, string instructions, 32-bit operands
 * and addresses with prefixes, "unreal" mode (a 4 GiB segment limit kept), far calls, stack wrap.
 * SDM vol. 3, 9.9 (switching), ch. 20 (8086 emulation).
 */
#include "rt.h"

/*
 * The real-mode part is copied to 0x8000 and runs with CS = 0x800 (offsets from rm_start).
 * Results go to rm_out at 0x7000:0 (linear 0x70000); the way back is a far jump to 32-bit code.
 */
asm(
"	.pushsection .rodata\n"
"	.globl rm_start, rm_end, rm_pm16\n"
"	.p2align 4\n"
"	.code16\n"
"rm_start:\n"
"	.set RM, rm_start\n"
/* entered in 16-bit protected mode (CS = 0x90: base 0x8000, limit 0xffff); DS..SS = 0x98 (base 0, limit 0xffff) */
"rm_pm16:\n"
"	mov %cr0, %eax\n"
"	and $0x7ffffffe, %eax\n"
"	mov %eax, %cr0\n"
"	ljmp $0x800, $(1f - RM)\n"
"1:	mov $0x7000, %ax\n"
"	mov %ax, %ds\n"
"	xor %bx, %bx\n"
"	mov %bx, %es\n"
"	mov %bx, %fs\n"
"	mov $0x6000, %ax\n"
"	mov %ax, %ss\n"
"	mov $0xfffe, %esp\n"
"	lidtl %cs:(idtr_rm - RM)\n"
/* 0: CR0, 4: CS */
"	mov %cr0, %eax\n"
"	mov %eax, 0\n"
"	mov %cs, 4\n"
/* INT 0x70 through the IVT */
"	movw $(int70 - RM), %es:0x70*4\n"
"	movw $0x800, %es:0x70*4+2\n"
"	movw $(de - RM), %es:0\n"
"	movw $0x800, %es:2\n"
"	movw $(ud - RM), %es:6*4\n"
"	movw $0x800, %es:6*4+2\n"
"	movw $(gp - RM), %es:13*4\n"
"	movw $0x800, %es:13*4+2\n"
"	movw $(irq0 - RM), %es:8*4\n"
"	movw $0x800, %es:8*4+2\n"
"	mov $0x1234, %ax\n"
"	stc\n"
"	int $0x70\n"
"	mov %ax, 8\n"
"	pushf\n"
"	popw 10\n"
"	mov %sp, 12\n"
/* #DE: the handler skips two bytes */
"	xor %cx, %cx\n"
"	mov $0xaaaa, %dx\n"
"	div %cx\n"
"	mov %dx, 14\n"
"	ud2\n"
/* segment wrap: [0xffff] word access wraps or faults? Use byte accesses on both sides; a word at 0xffff is #GP */
"	movb $0x5a, 0xffff\n"
"	mov $0xfff0, %bx\n"
"	mov 0xf(%bx), %al\n"
"	mov %al, 16\n"
"	mov $0x490, %si\n"
"	movb $0x77, 0x480\n"
"	mov -0x10(%si), %al\n"
"	mov %al, 17\n"
"	mov $0xfff8, %bx\n"
"	mov $0x0488, %si\n"
"	mov (%bx,%si), %al\n"
"	mov %al, 18\n"
/* 32-bit operands and addresses */
"	mov $0x12345678, %eax\n"
"	add $0x11111111, %eax\n"
"	mov %eax, 20\n"
"	mov $0x100, %edi\n"
"	mov %eax, 4(%edi,%edi,1)\n"
"	mov 0x204, %ecx\n"
"	mov %ecx, 24\n"
/* strings */
"	mov $0x300, %di\n"
"	mov $0x6162, %ax\n"
"	mov $8, %cx\n"
"	push %ds\n"
"	pop %es\n"
"	cld\n"
"	rep stosw\n"
"	mov $0x300, %si\n"
"	mov $0x320, %di\n"
"	mov $4, %cx\n"
"	rep movsl\n"
"	mov %di, 28\n"
"	mov 0x32c, %eax\n"
"	mov %eax, 32\n"
/* far call and ret, near call, loop */
"	lcall $0x801, $(farf - RM - 16)\n"
"	mov %ax, 36\n"
"	call nearf\n"
"	mov $5, %cx\n"
"	xor %dx, %dx\n"
"2:	add %cx, %dx\n"
"	loop 2b\n"
"	mov %dx, 38\n"
/* pusha, popa, enter, leave with a 16-bit stack */
"	mov $0x1111, %ax\n"
"	mov $0x2222, %bx\n"
"	pusha\n"
"	xor %ax, %ax\n"
"	xor %bx, %bx\n"
"	popa\n"
"	add %bx, %ax\n"
"	mov %ax, 40\n"
"	enter $16, $0\n"
"	mov %sp, %ax\n"
"	sub %bp, %ax\n"
"	leave\n"
"	mov %ax, 42\n"
/* les, lds; aliasing segments: 0x6fff:0x10 is 0x7000:0 */
"	movw $0x10, 0x400\n"
"	movw $0x6fff, 0x402\n"
"	les 0x400, %di\n"
"	mov %es:(%di), %eax\n"
"	mov %eax, 44\n"
/* stack wrap: SP 2 pushes once more to 0, then to 0xfffe */
"	mov %sp, %bp\n"
"	mov $2, %sp\n"
"	push $0x4241\n"
"	push $0x4443\n"
"	mov %sp, 48\n"
"	mov $0xfffe, %bx\n"
"	mov %ss:(%bx), %ax\n"
"	mov %ax, 50\n"
"	mov %bp, %sp\n"
/* beyond the limit: #GP(0) without an error code in real mode */
"	movw $0, 52\n"
"	mov $0x10000, %ebx\n"
"	mov (%ebx), %al\n"
"	nop\n"
"	mov 0xffff, %ax\n"
"	nop\n"
/* a hardware interrupt: IRQ 0 as INT 8 */
"	movw $0, 56\n"
"	mov $0xfe, %al\n"
"	out %al, $0x21\n"
"	mov $0x30, %al\n"
"	out %al, $0x43\n"
"	mov $0xff, %al\n"
"	out %al, $0x40\n"
"	out %al, $0x40\n"
"	sti\n"
"	hlt\n"
"	cli\n"
/* unreal: FS gets a 4 GiB limit in protected mode and keeps it */
"	mov $0x1000000, %ebx\n"
"	lgdtl %cs:(gdtr_rm - RM)\n"
"	mov %cr0, %eax\n"
"	or $1, %al\n"
"	mov %eax, %cr0\n"
"	jmp 3f\n"
"3:	mov $0x68, %cx\n"
"	mov %cx, %fs\n"
"	and $0xfe, %al\n"
"	mov %eax, %cr0\n"
"	ljmp $0x800, $(4f - RM)\n"
"4:	movl $0xcafe1234, %fs:(%ebx)\n"
"	mov %fs:(%ebx), %eax\n"
"	mov %eax, 60\n"
"	mov $0x7000, %ax\n"
"	mov %ax, %fs\n"
"	movl $0x0badf00d, %fs:64\n"
/* and back to 32-bit protected mode */
"	mov %cr0, %eax\n"
"	or $1, %al\n"
"	mov %eax, %cr0\n"
"	ljmpl $0x60, $rm_back\n"
"int70:\n"
"	movzwl %sp, %esp\n"
"	mov %sp, %bp\n"
"	mov 4(%bp), %cx\n"
"	mov %cx, 6\n"
"	add $0x1111, %ax\n"
"	orw $0x40, 4(%bp)\n"
"	iret\n"
"de:	mov %sp, %bp\n"
"	mov (%bp), %ax\n"
"	sub $(1f - RM), %ax\n"
"1:	addw $2, (%bp)\n"
"	incw 54\n"
"	mov $0xd1d1, %dx\n"
"	iret\n"
"ud:	mov %sp, %bp\n"
"	addw $2, (%bp)\n"
"	incw 54\n"
"	iret\n"
"gp:	mov %sp, %bp\n"
"	incw 52\n"
"5:	addw $3, (%bp)\n"	/* both faulting instructions are followed by NOP; the first has 3 bytes (67 8a 03), the second 3 (a1 ff ff) */
"	iret\n"
"irq0:	push %ax\n"
"	incw 56\n"
"	mov $0x20, %al\n"
"	out %al, $0x20\n"
"	pop %ax\n"
"	iret\n"
"farf:	mov $0xfa4, %ax\n"
"	lret\n"
"nearf:	ret\n"
"	.p2align 2\n"
"idtr_rm: .word 0x3ff\n	.long 0\n"
"	.p2align 2\n"
"gdtr_rm: .word 255\n	.long gdt\n"
"rm_end:\n"
"	.code32\n"
"	.popsection\n"
/* The bridge in the runtime's own code. */
"	.text\n"
"	.globl go_real\n"
"go_real: pusha\n"
"	mov %esp, rm_esp\n"
"	mov $0x98, %eax\n"
"	mov %eax, %ds\n"
"	mov %eax, %es\n"
"	mov %eax, %ss\n"
"	mov %eax, %fs\n"
"	mov %eax, %gs\n"
"	ljmp $0x90, $0\n"
"rm_back: mov $0x68, %eax\n"
"	mov %eax, %ds\n"
"	mov %eax, %es\n"
"	mov %eax, %ss\n"
"	xor %eax, %eax\n"
"	mov %eax, %fs\n"
"	mov %eax, %gs\n"
"	mov rm_esp, %esp\n"
"	popa\n"
"	ret\n");
extern const u8 rm_start[], rm_end[];
u32 rm_esp;
SNIPPET(t_ud, "", "ud2", "");
void go_real(void);

int main(void)
{
	memcpy((void *)0x8000, rm_start, (size_t)(rm_end - rm_start));
	memset((void *)0x60000, 0, 0x20000);
	gdt_set(0x90, seg_desc(0x8000, 0xffff, 0x9b, 0));
	gdt_set(0x98, seg_desc(0, 0xffff, 0x93, 0));
	pic_init(8, 0x70);
	volatile u8 *m = (volatile u8 *)0x70000;
#define W(o) (*(volatile u16 *)(m + (o)))
#define L(o) (*(volatile u32 *)(m + (o)))
	u8 ivt[1024];
	memcpy(ivt, (void *)0, 1024);
	for (u32 round = 0; round < 3; round++) {
		static const char *const names[] = { "first round", "second round", "third round" };
		group(names[round]);
		memset((void *)0x70000, 0, 0x600);
		go_real();
		idt_reset();
		runtime_gdt();
		CHECK_EQ(L(0) & 0x80000001, 0);
		CHECK_EQ(W(4), 0x800);
		CHECK_EQ(W(6) & 1, 1);			/* CF in the frame of INT 0x70 */
		CHECK_EQ(W(8), 0x2345);
		CHECK_EQ(W(10) & 0x41, 0x41);		/* ZF set by the handler in the frame, CF kept */
		CHECK_EQ(W(12), 0xfffe);
		CHECK_EQ(W(14), 0xd1d1);
		CHECK_EQ(W(54), 2);			/* #DE and #UD */
		CHECK_EQ(m[16], 0x5a);
		CHECK_EQ(m[17], 0x77);
		CHECK_EQ(m[18], 0x77);
		CHECK_EQ(L(20), 0x23456789);
		CHECK_EQ(L(24), 0x23456789);
		CHECK_EQ(W(28), 0x330);
		CHECK_EQ(L(32), 0x61626162);
		CHECK_EQ(W(36), 0xfa4);
		CHECK_EQ(W(38), 15);
		CHECK_EQ(W(40), 0x3333);
		CHECK_EQ(W(42), (u16)-16);
		CHECK_EQ(L(44), L(0));
		CHECK_EQ(W(48), 0xfffe);
		CHECK_EQ(W(50), 0x4443);
		if (hw())
			CHECK_EQ(W(52), 2);		/* hw-only: TCG checks no limits */
		CHECK_EQ(W(56), 1);
		CHECK_EQ(L(60), 0xcafe1234);
		CHECK_EQ(rd32(0x1000000), 0xcafe1234);
		CHECK_EQ(L(64), 0x0badf00d);
		wr32(0x1000000, 0);
	}
	memcpy((void *)0, ivt, 1024);

	group("protected mode is whole again");
	EXPECT_K(t_ud, 6, 0);
	u32 *pd = pg_new();
	pg_on(pd);
	EXPECT_K(t_ud, 6, 0);
	pg_off();
	return 0;
}
