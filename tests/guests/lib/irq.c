/*
 * The interrupt controllers and timers, as little of them as tests need.
 * 8259A and 8254 data sheets; SDM vol. 3, chapter 10 (APIC).
 */
#include "rt.h"

void pic_init(u8 base0, u8 base1)
{
	outb(0x20, 0x11);
	outb(0xa0, 0x11);
	outb(0x21, base0);
	outb(0xa1, base1);
	outb(0x21, 4);
	outb(0xa1, 2);
	outb(0x21, 1);
	outb(0xa1, 1);
	pic_mask(0xffff);
}

void pic_mask(u16 mask)
{
	outb(0x21, (u8)mask);
	outb(0xa1, (u8)(mask >> 8));
}

void pic_eoi(unsigned irq)
{
	if (irq >= 8)
		outb(0xa0, 0x20);
	outb(0x20, 0x20);
}

u8 pic_requested(u8 lines)
{
	outb(0x20, 0x0a);		/* OCW3: read IRR */
	for (u64 t = rdtsc(); (inb(0x20) & lines) != lines && in_time(t);)
		;
	return inb(0x20) & lines;
}

void pit_periodic(u32 hz)
{
	u32 d = PIT_HZ / hz;
	outb(0x43, 0x34);
	outb(0x40, (u8)d);
	outb(0x40, (u8)(d >> 8));
}

void pit_oneshot(u16 n)
{
	outb(0x43, 0x30);
	outb(0x40, (u8)n);
	outb(0x40, (u8)(n >> 8));
}

void lapic_on(u8 spurious_vector)
{
	wrmsr(0x1b, rdmsr(0x1b) | 0x800);
	lapic_wr(0x80, 0);
	lapic_wr(0xf0, 0x100 | spurious_vector);
}
