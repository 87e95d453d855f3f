/*
 * double-fault: a contributory exception while delivering one is #DF(0); a page
 * fault while delivering a page fault too; a benign one is not.
 * Delivered through an interrupt gate here, and through a task gate when the stack
 * itself is gone.  SDM vol. 3, 6.15, interrupt 8.
 */
#include "rt.h"

SNIPPET(ud, "", "ud2", "");
SNIPPET(gp, "mov $0xfff8, %eax", "mov %eax, %es", "");
SNIPPET(de, "xor %ecx, %ecx", "div %ecx", "");
SNIPPET(pf, "", "mov 0x80000000, %eax", "");
SNIPPET(stack_gone, "mov $0x80001000, %esp", "push %eax", "");
USNIPPET(u_pf, "", "mov 0x80000000, %eax", "");

static struct tss32 df_tss;
static volatile u32 df_error, df_hits;
static u8 df_stack[4096] __attribute__((aligned(16)));

/* The double-fault task: count, and leave for good by the runtime's exit from a snippet. */
__attribute__((noreturn)) void trap_leave(void);
static void df_task(void)
{
	asm volatile("mov 4(%%ebp), %0" : "=r"(df_error));
	df_hits++;
	/* Back into the kernel's own task state by hand: TR is busy elsewhere. */
	gdt_set(TSS_SEL, seg_desc((u32)&tss, 0x2068, 0x89, 0));
	asm volatile("ltr %w0" : : "r"(TSS_SEL));
	asm volatile("clts; pushf; andl $~0x4000, (%esp); popf");
	T.vector = 8;
	trap_leave();
}

int main(void)
{
	u32 *pd = pg_new();
	pg_on(pd);

	group("#NP while delivering #GP");
	idt[13] &= ~(1ull << 47);
	EXPECT_K(gp, 8, 0);
	idt_reset();

	group("#GP while delivering #DE");
	idt[0] = gate_desc(0x1f8, 0, 0x8e, 0);
	EXPECT_K(de, 8, 0);
	idt_reset();

	group("#NP while delivering #UD is no double fault");
	idt[6] &= ~(1ull << 47);
	EXPECT_K(ud, 11, 6 * 8 + 2 + hw());	/* hw-only: TCG never sets EXT */
	idt_reset();

	group("#NP while delivering #PF");
	idt[14] &= ~(1ull << 47);
	EXPECT_K(pf, 8, 0);
	EXPECT_U(u_pf, 8, 0);
	idt_reset();

	group("a task gate when the stack is gone");
	tss.cr3 = (u32)pd;
	df_tss = (struct tss32){ .cr3 = (u32)pd, .eip = (u32)df_task, .eflags = 2, .esp = (u32)df_stack + sizeof(df_stack) - 64,
				 .ebp = (u32)df_stack + sizeof(df_stack) - 68, .es = KDS, .cs = KCS, .ss = KDS, .ds = KDS, .iomap = 104 };
	gdt_set(DF_TSS_SEL, seg_desc((u32)&df_tss, 103, 0x89, 0));
	idt[8] = gate_desc(DF_TSS_SEL, 0, 0x85, 0);
	struct state s = kstate(stack_gone);
	trap_run(&s, &T);
	CHECK_EQ(df_hits, 1);
	CHECK_EQ(df_error, 0);
	CHECK_EQ(df_tss.link, TSS_SEL);
	CHECK_EQ(tss.eip, (u32)stack_gone_f);
	CHECK_EQ(tss.esp, 0x80001000);
	CHECK_EQ(rcr2() & ~0xfffu, 0x80000000);
	return 0;
}
