/*
 * irq-ioapic: the I/O APIC: ID and version, redirection entries edge- and level-triggered, masks,
 * the PIT through it with the 8259s masked, EOI and remote IRR, IRQ 4 from the UART.
 * Intel 82093AA data sheet; SDM vol. 3, 10.
 */
#include "rt.h"

#define IOAPIC 0xfec00000u
static u32 rd(u32 r) { wr32(IOAPIC, r); return rd32(IOAPIC + 0x10); }
static void wr(u32 r, u32 v) { wr32(IOAPIC, r); wr32(IOAPIC + 0x10, v); }
static void redir(u32 n, u32 low) { wr(0x10 + 2 * n + 1, (lapic_rd(0x20) >> 24) << 24); wr(0x10 + 2 * n, low); }
static volatile u32 pit, com, remote;
static bool on_pit(struct regs *r) { pit++; lapic_wr(0xb0, 0); return true; }
static bool on_com(struct regs *r)
{
	com++;
	remote |= rd(0x10 + 2 * 4);
	inb(0x3fa);			/* reading IIR ends the THR-empty interrupt */
	lapic_wr(0xb0, 0);
	return true;
}

int main(void)
{
	pic_init(0x20, 0x28);
	pg_on(pg_new());
	lapic_on(0xff);
	group("registers");
	CHECK((rd(1) & 0xff) >= 0x11);
	CHECK((rd(1) >> 16 & 0xff) >= 23);
	for (u32 i = 0; i < 24; i++)
		CHECK_EQ(rd(0x10 + 2 * i) & 0x10000, 0x10000);
	wr(0x10 + 2 * 5, 0x1a9ff);
	CHECK_EQ(rd(0x10 + 2 * 5) & 0x1afff, 0x1a9ff & 0x1afff);
	wr(0x10 + 2 * 5, 0x10000);

	group("the PIT on input 2");
	hooks[0x60] = on_pit;
	redir(2, 0x60);
	pit_periodic(1000);
	for (u32 i = 0; i < 10; i++) {
		u32 t = pit;
		asm volatile("sti; hlt; cli");
		CHECK(pit != t);
	}

	group("masked");
	redir(2, 0x10060);
	sti();
	asm volatile("nop");
	cli();
	u32 t = pit;
	sti();
	for (u64 c = rdtsc(); rdtsc() - c < 20000000;)
		;
	cli();
	CHECK_EQ(pit, t);

	group("the UART on input 4");
	hooks[0x74] = on_com;
	outb(0x3fc, 0x0b);
	redir(4, 0x74);
	outb(0x3f9, 2);
	sti();
	for (u64 c = rdtsc(); !com && in_time(c);)
		;
	cli();
	CHECK(com >= 1);
	outb(0x3f9, 0);
	CHECK_EQ(rd(0x10 + 2 * 4) & 0x5000, 0);	/* nothing pending, no remote IRR */
	return 0;
}
