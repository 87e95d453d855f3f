/*
 * irq-lapic: the local APIC: version and ID, spurious vector, timer one-shot and
 * periodic with divisors, TPR, self-IPI fixed and NMI, ICR, EOI, ISR/IRR/TMR, LVT masks,
 * error status; delivery at HLT, in loops, in user code; NMI ignores IF and is not nested until IRET.
 * And the register page by every kind of access that compilers produce.
 * SDM vol. 3, ch. 10; 6.7 (NMI).
 */
#include "rt.h"

#define TIMER_V 0x50
#define IPI_V 0x61
#define IPI2_V 0x72
static volatile u32 timer, ipi, ipi2, nmi, nmi_nested, order;
static volatile u32 last_eip;

static bool on_timer(struct regs *r) { timer++; last_eip = r->eip; lapic_wr(0xb0, 0); return true; }
static bool on_ipi(struct regs *r) { ipi++; order = order << 8 | IPI_V; lapic_wr(0xb0, 0); return true; }
static bool on_ipi2(struct regs *r) { ipi2++; order = order << 8 | IPI2_V; lapic_wr(0xb0, 0); return true; }
static bool on_nmi(struct regs *r)
{
	nmi++;
	last_eip = r->eip;
	if (nmi == 10) {			/* one more while in the handler: held until IRET */
		lapic_wr(0x300, 0x00040400);
		for (u32 i = 0; i < 1000; i++)
			barrier();
		nmi_nested = nmi;
	}
	return true;
}
static void self(u32 v) { lapic_wr(0x300, 0x00040000 | v); }
static void wait(u32 cycles) { for (u64 t = rdtsc(); rdtsc() - t < cycles;) ; }
bool raise_flag(struct regs *r);
USNIPPET(u_loop, "", "1: mov (%esi), %eax; test %eax, %eax; jz 1b", "");
SNIPPET(forms, "mov $0xfee00080, %esi", "movl $0x10, (%esi); mov (%esi), %eax; orl $0x20, (%esi); andl $0x30, (%esi); mov $0x77, %ecx; xchg %ecx, (%esi); push (%esi); pop %edx; addl $1, (%esi); cmpl $0x78, (%esi); setz %bl; testl $8, (%esi); setnz %bh; mov %esi, %edi; mov $0x20, %eax; stosl; mov (%esi), %ebp; xor %eax, %eax; pushl %eax; popl (%esi); mov 0xfee00080, %eax", "");

int main(void)
{
	u32 r[4];
	cpuid(1, 0, r);
	group("CPUID.APIC and IA32_APIC_BASE");
	CHECK(r[3] >> 9 & 1);
	CHECK_EQ((u32)rdmsr(0x1b) & 0xfffff900, LAPIC | 0x900);
	pic_init(0x20, 0x28);
	u32 *pd = pg_new();
	pg_on(pd);
	lapic_on(0xff);
	CHECK_EQ(lapic_rd(0x20) >> 24, r[1] >> 24);
	CHECK((lapic_rd(0x30) & 0xff) >= 0x10 && (lapic_rd(0x30) & 0xff) <= 0x1f);
	CHECK_EQ(lapic_rd(0xf0) & 0x1ff, 0x1ff);

	group("access forms");
	struct state s = kstate(forms);
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(T.s.ecx, 0x30);
	CHECK_EQ(T.s.edx, 0x77);
	CHECK_EQ(T.s.ebx & 0xffff, 0x0101);
	CHECK_EQ(T.s.ebp, 0x20);
	CHECK_EQ(T.s.eax, 0);
	CHECK_EQ(T.s.esp, s.esp);
	CHECK_EQ(lapic_rd(0x80), 0);

	group("self-IPI");
	hooks[IPI_V] = on_ipi;
	hooks[IPI2_V] = on_ipi2;
	self(IPI_V);
	CHECK_EQ(ipi, 0);
	CHECK_EQ(lapic_rd(0x200 + 0x10 * (IPI_V / 32)) >> (IPI_V & 31) & 1, 1);	/* IRR */
	sti();
	asm volatile("nop");
	cli();
	CHECK_EQ(ipi, 1);
	CHECK_EQ(lapic_rd(0x100 + 0x10 * (IPI_V / 32)), 0);	/* ISR after EOI */
	CHECK_EQ(lapic_rd(0x300) & 0x1000, 0);			/* delivery status idle */

	group("priorities");
	self(IPI_V);
	self(IPI2_V);
	order = 0;
	sti();
	asm volatile("nop; nop");
	cli();
	CHECK_EQ(order, IPI2_V << 8 | IPI_V);

	group("TPR");
	lapic_wr(0x80, 0x70);
	self(IPI_V);
	self(IPI2_V);
	order = 0;
	sti();
	asm volatile("nop; nop");
	cli();
	CHECK_EQ(order, 0);
	lapic_wr(0x80, 0x60);
	sti();
	asm volatile("nop; nop");
	cli();
	CHECK_EQ(order, IPI2_V);
	lapic_wr(0x80, 0);
	sti();
	asm volatile("nop; nop");
	cli();
	CHECK_EQ(order, IPI2_V << 8 | IPI_V);

	group("a level of 100 self-IPIs in a row");
	u32 before = ipi;
	sti();
	for (u32 i = 0; i < 100; i++) {
		self(IPI_V);
		asm volatile("nop; nop; nop");
	}
	cli();
	CHECK_EQ(ipi - before, 100);

	group("timer, one-shot");
	hooks[TIMER_V] = on_timer;
	lapic_wr(0x3e0, 3);		/* divide by 16 */
	lapic_wr(0x320, TIMER_V);
	lapic_wr(0x380, 100000);
	CHECK(lapic_rd(0x390) <= 100000);
	asm volatile("sti; hlt; cli");
	CHECK_EQ(timer, 1);
	CHECK_EQ(lapic_rd(0x390), 0);
	sti();
	wait(50000000);
	cli();
	CHECK_EQ(timer, 1);

	group("timer, masked and periodic");
	lapic_wr(0x320, TIMER_V | 0x10000);
	lapic_wr(0x380, 1000);
	sti();
	wait(20000000);
	cli();
	CHECK_EQ(timer, 1);
	lapic_wr(0x320, TIMER_V | 0x20000);
	lapic_wr(0x380, 100000);
	timer = 0;
	while (timer < 10) {
		u32 t = timer;
		asm volatile("sti; hlt; cli");	/* the next may have come before the CLI */
		CHECK(timer != t);
	}

	group("timer in a spinning kernel and in user code");
	timer = 0;
	sti();
	for (u64 t = rdtsc(); timer < 3 && in_time(t);)
		;
	cli();
	CHECK(timer >= 3);
	static volatile u32 UDATA flag;
	s = ustate(u_loop);
	s.esi = (u32)&flag;
	/* The handler of the fifth tick raises the flag through this hook. */
	timer = 0;
	lapic_wr(0x320, TIMER_V | 0x20000);

	hooks[TIMER_V] = raise_flag;
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	lapic_wr(0x380, 0);
	lapic_wr(0x320, TIMER_V | 0x10000);

	group("NMI");
	hooks[2] = on_nmi;
	lapic_wr(0x300, 0x00040400);		/* self, delivery mode NMI, with IF = 0 */
	wait(1000000);
	CHECK_EQ(nmi, 1);
	for (u32 i = 0; i < 8; i++) {
		lapic_wr(0x300, 0x00040400);
		wait(100000);
	}
	CHECK_EQ(nmi, 9);

	group("NMI while an NMI is handled");
	lapic_wr(0x300, 0x00040400);
	wait(1000000);
	CHECK_EQ(nmi_nested, 10);
	CHECK_EQ(nmi, 11);

	group("error status: an illegal vector sent");
	lapic_wr(0x280, 0);
	lapic_wr(0x300, 0x00040005);
	wait(1000);
	lapic_wr(0x280, 0);
	if (!is_qemu())			/* 7.2 does not note it */
		CHECK_EQ(lapic_rd(0x280) & 0x20, 0x20);
	CHECK_EQ(nmi, 11);
	return 0;
}

bool raise_flag(struct regs *r)
{
	lapic_wr(0xb0, 0);
	if ((r->cs & 3) == 3 && ++timer == 5)
		*(volatile u32 *)r->esi = 1;
	return true;
}
