/*
 * irq-shadow: an interrupt that is already pending is not taken in the instruction after
 * STI, MOV SS, POP SS (LSS has no shadow); it is taken right after POPF, IRET and
 * CLI;STI storms at the exact instruction; STI;CLI and STI;HLT idioms.
 * SDM vol. 2 STI, MOV, POP; vol. 3, 6.8.3.
 */
#include "rt.h"

#define V0 0x20
static volatile u32 at, hits;

static bool irq(struct regs *r)
{
	if (!hits)
		at = r->eip;
	hits++;
	pic_eoi(0);
	return true;
}

/* Make IRQ 0 pending with IF = 0. */
static void pend(void)
{
	hits = at = 0;
	pit_oneshot(10);
	CHECK_EQ(pic_requested(1), 1);
}

static void where(const u8 *code, const u8 *expect, const char *name)
{
	pend();
	struct state s = kstate(code);
	s.edx = KDS;
	trap_run(&s, &T);
	if (T.vector != T_DONE)
		fail("%s: trap %x", name, T.vector);
	if (hits != 1 || at != (u32)expect)
		fail("%s: %u interrupts, at %x, expected %x", name, hits, at, (u32)expect);
	else
		CHECK(hits == 1);
}

SNIPPET(sti_nop, "sti; nop", "nop", "cli");
SNIPPET(sti_add, "sti; add $1, %eax", "add $1, %eax", "cli");
SNIPPET(sti_mem, "sti; incl irq_count", "nop", "cli");
SNIPPET(sti_jmp, "sti; jmp sti_jmp_f; nop", "nop", "cli");
SNIPPET(sti_call, "sti; call sti_call_f; nop", "pop %eax", "cli");
SNIPPET(sti_ret, "push $sti_ret_f; sti; ret", "nop", "cli");
SNIPPET(sti_sti, "sti; sti", "nop", "cli");		/* only the first STI opens a shadow */
SNIPPET(sti_hlt, "sti; hlt", "cli", "nop");
SNIPPET(sti_movss, "sti; mov %edx, %ss", "nop", "cli");	/* the shadow of the STI covers MOV SS */
SNIPPET(popf_if, "pushf; orl $0x200, (%esp); popf", "nop", "cli");
SNIPPET(iret_if, "pushf; orl $0x200, (%esp); push %cs; push $iret_if_f; iret", "nop", "cli");
SNIPPET(movss, "sti; nop", "mov %edx, %ss", "nop; cli");
SNIPPET(sti_cli, "sti; cli; nop; nop", "nop", "");
USNIPPET(user, "", "nop", "");

static volatile u32 order[8], norder;
static bool irq_order(struct regs *r)
{
	order[norder++ & 7] = r->vector;
	pic_eoi(r->vector - V0);
	return true;
}

int main(void)
{
	struct state s;
	pic_init(V0, V0 + 8);
	pic_mask(0xfffe);
	hooks[V0] = irq;
	pit_oneshot(10);

	group("after STI");
	where(sti_nop, sti_nop_f, "sti; nop");
	where(sti_add, sti_add_f, "sti; add");
	where(sti_mem, sti_mem_f, "sti; inc mem");
	where(sti_jmp, sti_jmp_f, "sti; jmp");
	where(sti_call, sti_call_f, "sti; call");
	where(sti_ret, sti_ret_f, "sti; ret");
	where(sti_sti, sti_sti_f, "sti; sti");
	where(sti_hlt, sti_hlt_f, "sti; hlt");

	group("STI;CLI: the window is one instruction wide and it is the CLI");
	pend();
	s = kstate(sti_cli);
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(hits, 0);
	sti();
	asm volatile("nop");
	cli();
	CHECK_EQ(hits, 1);

	group("after POPF and IRET: at once");
	where(popf_if, popf_if_f, "popf");
	where(iret_if, iret_if_f, "iret");

	group("IRET to user mode: before its first instruction");
	pend();
	s = ustate(user);
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(hits, 1);
	CHECK_EQ(at, (u32)user);

	group("MOV SS and POP SS");
	/* The shadow of MOV SS shows only if the interrupt arrives in between; it must not break anything. */
	where(movss, movss_f, "mov ss");
	/* Of two shadows in a row only the first is certain: after MOV SS, or one later. */
	pend();
	struct state m = kstate(sti_movss);
	m.edx = KDS;
	trap_run(&m, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(hits, 1);
	CHECK(at == (u32)sti_movss_f || at == (u32)sti_movss_e);

	group("storm: 2000 CLI/STI pairs under a fast timer");
	hits = 0;
	pit_periodic(5000);
	for (u32 i = 0; i < 2000; i++)
		asm volatile("cli; nop; sti; nop; mov %0, %%ss; nop; pushf; popf" : : "r"(KDS) : "memory");
	for (u64 c = rdtsc(); hits < 3 && in_time(c);)
		asm volatile("sti; nop; cli");
	cli();
	CHECK(hits >= 3);

	group("priorities: IRQ 0 before IRQ 4, then the other way round by masking");
	hooks[V0] = irq_order;
	hooks[V0 + 4] = irq_order;
	pic_mask(0xffee);
	pit_oneshot(10);
	outb(0x3fc, 0x0b);		/* COM1: OUT2, so that it can interrupt */
	outb(0x3f9, 2);			/* THR empty interrupt: immediately */
	CHECK_EQ(pic_requested(0x11), 0x11);
	asm volatile("sti; nop; nop; nop; cli");
	outb(0x3f9, 0);
	inb(0x3fa);
	CHECK(norder >= 2);
	CHECK_EQ(order[0], V0);
	CHECK_EQ(order[1], V0 + 4);
	return 0;
}
