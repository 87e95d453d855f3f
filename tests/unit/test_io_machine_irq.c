/*
 * Interrupts as a guest sees them, from a device's line to the acknowledge
 * cycle: the 8259s through the virtual wire, the I/O APIC, the local APICs and
 * messages between them.  Written against io/pc.h and the manuals only.
 */
#include "tests/unit/io_machine.h"

enum {
	ID = 0x20, VERSION = 0x30, TPR = 0x80, PPR = 0xa0, EOI = 0xb0, LDR = 0xd0, DFR = 0xe0, SVR = 0xf0,
	ISR = 0x100, TMR = 0x180, IRR = 0x200, ESR = 0x280, ICR = 0x300, ICR_HI = 0x310,
	LVT_LINT0 = 0x350, LVT_LINT1 = 0x360, LVT_ERROR = 0x370,
	MASKED = 0x10000, LEVEL = 0x8000, REMOTE_IRR = 0x4000, LOGICAL = 0x800, LOWEST = 0x100,
	SELF = 1 << 18, ALL = 2 << 18, OTHERS = 3 << 18, ASSERT = 0x4000,
};

static void apic_enable(struct machine *m, unsigned cpu) { apic_write(m, cpu, SVR, 0x1ff); }

static void ipi(struct machine *m, unsigned from, u32 low, u8 dest)
{
	apic_write(m, from, ICR_HI, (u32)dest << 24);
	apic_write(m, from, ICR, low);
}

static u8 pic_isr(struct machine *m, u16 port)
{
	out8(m, port, 0x0b);
	return in8(m, port);
}

/* ---- 8259 ---- */

START_TEST(nothing_is_pending_at_power_on)
{
	struct machine *m = machine_new();

	run(m, SEC);
	for (unsigned cpu = 0; cpu < TEST_CPUS; cpu++) {
		ck_assert(!pending(m, cpu));
		ck_assert_int_eq(ack(m, cpu), -1);
	}
	machine_free(m);
}
END_TEST

START_TEST(pic_edge_interrupt_and_eoi)
{
	struct machine *m = machine_new();

	pic_setup(m, 0x01, BIT(4));
	com_line(m, COM1, true);
	ck_assert(pending(m, 0) && !pending(m, 1));
	ck_assert_int_eq(ack(m, 0), 0x34);
	ck_assert(!pending(m, 0));
	ck_assert_int_eq(ack(m, 0), -1);
	ck_assert_uint_eq(pic_isr(m, 0x20), BIT(4));
	out8(m, 0x20, 0x20);
	ck_assert_uint_eq(pic_isr(m, 0x20), 0);
	ck_assert(!pending(m, 0));	/* the line is still high: no edge */
	com_line(m, COM1, false);
	com_line(m, COM1, true);
	ck_assert_int_eq(ack(m, 0), 0x34);
	machine_free(m);
}
END_TEST

START_TEST(pic_priorities_nest)
{
	struct machine *m = machine_new();

	pic_setup(m, 0x01, BIT(3) | BIT(4));
	com_line(m, COM1, true);
	ck_assert_int_eq(ack(m, 0), 0x34);
	com_line(m, COM2, true);		/* 3 is above 4 */
	ck_assert(pending(m, 0));
	ck_assert_int_eq(ack(m, 0), 0x33);
	com_line(m, COM1, false);
	com_line(m, COM1, true);
	ck_assert(!pending(m, 0));
	ck_assert_uint_eq(pic_isr(m, 0x20), BIT(3) | BIT(4));
	out8(m, 0x20, 0x20);			/* ends 3, the highest */
	ck_assert_uint_eq(pic_isr(m, 0x20), BIT(4));
	ck_assert(!pending(m, 0));		/* 4 waits for itself */
	out8(m, 0x20, 0x20);
	ck_assert_int_eq(ack(m, 0), 0x34);
	machine_free(m);
}
END_TEST

START_TEST(pic_mask_holds_back_and_releases)
{
	struct machine *m = machine_new();

	pic_setup(m, 0x01, 0);
	com_line(m, COM1, true);
	ck_assert(!pending(m, 0));
	out8(m, 0x20, 0x0a);
	ck_assert_uint_eq(in8(m, 0x20) & BIT(4), BIT(4));	/* IRR shows it */
	out8(m, 0x21, (u8)~BIT(4));
	ck_assert_uint_eq(in8(m, 0x21), (u8)~BIT(4));
	ck_assert(pending(m, 0));
	out8(m, 0x21, 0xff);
	ck_assert(!pending(m, 0));
	ck_assert_int_eq(ack(m, 0), -1);
	out8(m, 0x21, (u8)~BIT(4));
	ck_assert_int_eq(ack(m, 0), 0x34);
	machine_free(m);
}
END_TEST

/* The RTC's line, on the slave: the update-ended interrupt of the next second. */
static void rtc_line_up(struct machine *m)
{
	out8(m, 0x70, 0x0b);
	out8(m, 0x71, 0x12);
	run(m, 2 * SEC);
}

static void rtc_line_down(struct machine *m)
{
	out8(m, 0x70, 0x0b);
	out8(m, 0x71, 0x02);
	out8(m, 0x70, 0x0c);
	in8(m, 0x71);
}

START_TEST(pic_cascade)
{
	struct machine *m = machine_new();

	pic_setup(m, 0x01, BIT(8) | BIT(3) | BIT(1));
	rtc_line_up(m);
	ck_assert_int_eq(ack(m, 0), 0x38);
	ck_assert_uint_eq(pic_isr(m, 0x20), BIT(2));
	ck_assert_uint_eq(pic_isr(m, 0xa0), BIT(0));
	rtc_line_down(m);
	com_line(m, COM2, true);		/* 3 is below the cascade's 2 */
	ck_assert(!pending(m, 0));
	out8(m, 0xa0, 0x20);
	ck_assert(!pending(m, 0));
	out8(m, 0x20, 0x20);
	ck_assert_int_eq(ack(m, 0), 0x33);
	machine_free(m);
}
END_TEST

START_TEST(pic_level_triggered_input_asks_again)
{
	struct machine *m = machine_new();

	out8(m, 0x4d0, 0xff);
	ck_assert_uint_eq(in8(m, 0x4d0), 0xf8);	/* 0, 1 and 2 stay edge */
	out8(m, 0x4d1, 0xff);
	ck_assert_uint_eq(in8(m, 0x4d1), 0xde);	/* 8 and 13 stay edge */
	out8(m, 0x4d0, BIT(4));
	pic_setup(m, 0x01, BIT(4));
	com_line(m, COM1, true);
	ck_assert_int_eq(ack(m, 0), 0x34);
	ck_assert(!pending(m, 0));
	out8(m, 0x20, 0x20);
	ck_assert_int_eq(ack(m, 0), 0x34);
	com_line(m, COM1, false);
	out8(m, 0x20, 0x20);
	ck_assert(!pending(m, 0));
	com_line(m, COM1, true);
	com_line(m, COM1, false);		/* gone before anyone looked */
	ck_assert(!pending(m, 0));
	ck_assert_int_eq(ack(m, 0), -1);
	machine_free(m);
}
END_TEST

START_TEST(pic_automatic_eoi)
{
	struct machine *m = machine_new();

	pic_setup(m, 0x03, BIT(3) | BIT(4));
	com_line(m, COM1, true);
	ck_assert_int_eq(ack(m, 0), 0x34);
	ck_assert_uint_eq(pic_isr(m, 0x20), 0);
	com_line(m, COM1, false);
	com_line(m, COM1, true);
	ck_assert_int_eq(ack(m, 0), 0x34);
	machine_free(m);
}
END_TEST

START_TEST(pic_rotation)
{
	struct machine *m = machine_new();

	pic_setup(m, 0x01, BIT(3) | BIT(4));
	out8(m, 0x20, 0xc3);			/* 3 becomes the lowest: 4 the highest */
	com_line(m, COM2, true);
	com_line(m, COM1, true);
	ck_assert_int_eq(ack(m, 0), 0x34);
	out8(m, 0x20, 0xa0);			/* rotate on EOI: 4 becomes the lowest */
	ck_assert_int_eq(ack(m, 0), 0x33);
	com_line(m, COM1, false);
	com_line(m, COM1, true);
	ck_assert(!pending(m, 0));
	out8(m, 0x20, 0x63);			/* specific EOI of 3 */
	ck_assert_uint_eq(pic_isr(m, 0x20), 0);
	ck_assert_int_eq(ack(m, 0), 0x34);
	machine_free(m);
}
END_TEST

START_TEST(pic_special_mask_lets_lower_ones_through)
{
	struct machine *m = machine_new();

	pic_setup(m, 0x01, BIT(3) | BIT(4));
	com_line(m, COM2, true);
	ck_assert_int_eq(ack(m, 0), 0x33);
	com_line(m, COM1, true);
	ck_assert(!pending(m, 0));
	out8(m, 0x20, 0x68);
	out8(m, 0x21, (u8)~BIT(4));		/* 3 masked while in service */
	ck_assert(pending(m, 0));
	ck_assert_int_eq(ack(m, 0), 0x34);
	machine_free(m);
}
END_TEST

START_TEST(pic_poll)
{
	struct machine *m = machine_new();

	pic_setup(m, 0x01, BIT(4));
	out8(m, 0x20, 0x0c);
	ck_assert_uint_eq(in8(m, 0x20) & 0x80, 0);
	com_line(m, COM1, true);
	out8(m, 0x20, 0x0c);
	ck_assert_uint_eq(in8(m, 0x20) & 0x87, 0x84);
	ck_assert_uint_eq(pic_isr(m, 0x20), BIT(4));
	ck_assert(!pending(m, 0));
	machine_free(m);
}
END_TEST

START_TEST(pic_initialisation_forgets)
{
	struct machine *m = machine_new();

	pic_setup(m, 0x01, BIT(4));
	com_line(m, COM1, true);
	ck_assert_int_eq(ack(m, 0), 0x34);
	com_line(m, COM1, false);
	com_line(m, COM1, true);
	pic_setup(m, 0x01, BIT(4));
	ck_assert_uint_eq(pic_isr(m, 0x20), 0);
	ck_assert(!pending(m, 0));		/* the latched edge is gone, too */
	com_line(m, COM1, false);
	com_line(m, COM1, true);
	ck_assert_int_eq(ack(m, 0), 0x34);
	machine_free(m);
}
END_TEST

START_TEST(shared_isa_line_is_an_or)
{
	struct machine *m = machine_new();

	out8(m, 0x4d0, BIT(4));
	pic_setup(m, 0x01, BIT(4));
	com_line(m, COM1, true);
	com_line(m, COM3, true);
	com_line(m, COM1, false);
	ck_assert(pending(m, 0));		/* COM3 still holds the line */
	com_line(m, COM3, false);
	ck_assert(!pending(m, 0));
	machine_free(m);
}
END_TEST

/* ---- virtual wire ---- */

START_TEST(lint0_is_the_8259s_way_to_the_cpu)
{
	struct machine *m = machine_new();
	u64 base;

	pic_setup(m, 0x01, BIT(4));
	ck_assert_uint_eq(apic_read(m, 0, LVT_LINT0) & (MASKED | 0x700), 0x700);
	ck_assert_uint_eq(apic_read(m, 0, SVR) & 0x100, 0x100);
	apic_write(m, 0, LVT_LINT0, MASKED | 0x700);
	com_line(m, COM1, true);
	ck_assert(!pending(m, 0));
	ck_assert_int_eq(ack(m, 0), -1);
	apic_write(m, 0, LVT_LINT0, 0x700);
	ck_assert(pending(m, 0));
	apic_write(m, 0, LVT_LINT0, MASKED | 0x700);
	ck_assert(!pending(m, 0));
	/* With the APIC switched off its pin is the CPU's INTR. */
	ck_assert(pc_msr_read(m->pc, 0, 0x1b, &base));
	ck_assert_uint_eq(base, PC_LAPIC_BASE | BIT(11) | BIT(8));
	ck_assert(pc_msr_write(m->pc, 0, 0x1b, base & ~(u64)BIT(11)));
	ck_assert(pending(m, 0) && !pending(m, 1));
	ck_assert_int_eq(ack(m, 0), 0x34);
	machine_free(m);
}
END_TEST

START_TEST(apic_base_refuses_reserved_bits)
{
	struct machine *m = machine_new();
	u64 base;

	ck_assert(pc_msr_read(m->pc, 1, 0x1b, &base));
	ck_assert_uint_eq(base, PC_LAPIC_BASE | BIT(11));	/* not the boot CPU */
	ck_assert(!pc_msr_write(m->pc, 1, 0x1b, base | BIT(10)));	/* no x2APIC */
	ck_assert(!pc_msr_write(m->pc, 1, 0x1b, base | 1));
	ck_assert(!pc_msr_write(m->pc, 1, 0x1b, base | 1ull << 60));
	ck_assert(!pc_msr_write(m->pc, 1, 0x12345, 0));
	ck_assert(!pc_msr_read(m->pc, 1, 0x12345, &base));
	ck_assert(pc_msr_read(m->pc, 1, 0x1b, &base));
	ck_assert_uint_eq(base, PC_LAPIC_BASE | BIT(11));
	machine_free(m);
}
END_TEST

/* ---- local APIC ---- */

START_TEST(apic_identity)
{
	struct machine *m = machine_new();

	for (unsigned cpu = 0; cpu < TEST_CPUS; cpu++) {
		ck_assert_uint_eq(apic_read(m, cpu, ID), cpu << 24);
		ck_assert_uint_eq(apic_read(m, cpu, VERSION) & 0xff, 0x14);
		ck_assert_uint_ge(apic_read(m, cpu, VERSION) >> 16 & 0xff, 3);
		ck_assert_uint_eq(apic_read(m, cpu, DFR), ~0u);
	}
	ck_assert_uint_eq(apic_read(m, 1, SVR), 0xff);		/* SDM 11.4.7.1: after a reset */
	ck_assert_uint_eq(apic_read(m, 1, LVT_LINT0), MASKED);
	machine_free(m);
}
END_TEST

START_TEST(apic_priorities)
{
	struct machine *m = machine_new();

	apic_enable(m, 0);
	ipi(m, 0, SELF | 0x45, 0);
	ipi(m, 0, SELF | 0x91, 0);
	ck_assert_uint_eq(apic_read(m, 0, IRR + 0x20), BIT(5));
	ck_assert_uint_eq(apic_read(m, 0, IRR + 0x40), BIT(17));
	ck_assert_int_eq(ack(m, 0), 0x91);
	ck_assert_uint_eq(apic_read(m, 0, PPR), 0x90);
	ck_assert_uint_eq(apic_read(m, 0, ISR + 0x40), BIT(17));
	ck_assert_uint_eq(apic_read(m, 0, IRR + 0x40), 0);
	ck_assert(!pending(m, 0));
	ipi(m, 0, SELF | 0x9f, 0);		/* same class: waits */
	ck_assert(!pending(m, 0));
	ipi(m, 0, SELF | 0xa0, 0);
	ck_assert_int_eq(ack(m, 0), 0xa0);
	apic_write(m, 0, EOI, 0);		/* ends a0 */
	ck_assert(!pending(m, 0));
	apic_write(m, 0, EOI, 0);		/* ends 91 */
	ck_assert_int_eq(ack(m, 0), 0x9f);
	apic_write(m, 0, EOI, 0);
	apic_write(m, 0, TPR, 0x50);
	ck_assert(!pending(m, 0));
	ck_assert_uint_eq(apic_read(m, 0, PPR), 0x50);
	apic_write(m, 0, TPR, 0x3f);
	ck_assert_int_eq(ack(m, 0), 0x45);
	apic_write(m, 0, EOI, 0);
	apic_write(m, 0, EOI, 0);		/* of nothing */
	ck_assert(!pending(m, 0));
	machine_free(m);
}
END_TEST

START_TEST(apic_beats_8259)
{
	struct machine *m = machine_new();

	pic_setup(m, 0x01, BIT(4));
	com_line(m, COM1, true);
	ipi(m, 0, SELF | 0x45, 0);
	ck_assert_int_eq(ack(m, 0), 0x45);
	ck_assert(pending(m, 0));
	ck_assert_int_eq(ack(m, 0), 0x34);	/* ExtINT knows no APIC priorities */
	ck_assert(!pending(m, 0));
	machine_free(m);
}
END_TEST

START_TEST(apic_illegal_vectors_are_errors)
{
	struct machine *m = machine_new();

	apic_enable(m, 0);
	apic_write(m, 0, LVT_ERROR, 0x77);
	ipi(m, 0, SELF | 0x05, 0);
	ck_assert_int_eq(ack(m, 0), 0x77);
	apic_write(m, 0, ESR, 0);
	ck_assert_uint_ne(apic_read(m, 0, ESR) & 0x60, 0);
	apic_write(m, 0, ESR, 0);
	ck_assert_uint_eq(apic_read(m, 0, ESR), 0);
	ck_assert_uint_eq(apic_read(m, 0, IRR), 0);
	/* An error interrupt with an illegal vector of its own must not go round in circles. */
	apic_write(m, 0, LVT_ERROR, 0x03);
	ipi(m, 0, SELF | 0x05, 0);
	apic_write(m, 0, EOI, 0);
	ck_assert(!pending(m, 0));
	machine_free(m);
}
END_TEST

START_TEST(apic_software_disable_masks)
{
	struct machine *m = machine_new();

	apic_enable(m, 1);
	apic_write(m, 1, LVT_ERROR, 0x77);
	apic_write(m, 1, SVR, 0xff);
	ck_assert_uint_eq(apic_read(m, 1, LVT_ERROR), MASKED | 0x77);
	apic_write(m, 1, LVT_ERROR, 0x77);
	ck_assert_uint_eq(apic_read(m, 1, LVT_ERROR), MASKED | 0x77);
	ipi(m, 0, 0x45, 1);
	ck_assert(!pending(m, 1));
	apic_enable(m, 1);
	ck_assert(!pending(m, 1));		/* it was not accepted */
	ck_assert_uint_eq(apic_read(m, 1, LVT_ERROR), MASKED | 0x77);
	machine_free(m);
}
END_TEST

START_TEST(apic_destinations)
{
	static const struct { u32 low; u8 dest, from, to; } cases[] = {
		{ 0x45, 2, 0, BIT(2) },
		{ 0x45, 0, 0, BIT(0) },
		{ 0x45, 0xff, 0, 0xf },
		{ 0x45, 9, 0, 0 },
		{ SELF | 0x45, 3, 1, BIT(1) },
		{ ALL | 0x45, 0, 1, 0xf },
		{ OTHERS | 0x45, 0, 1, 0xd },
		{ LOGICAL | 0x45, 0x01, 3, 0x1 },
		{ LOGICAL | 0x45, 0x0a, 3, 0xa },
		{ LOGICAL | 0x45, 0xff, 3, 0xf },
		{ LOGICAL | 0x45, 0x00, 3, 0 },
		{ LOGICAL | 0x45, 0xf0, 3, 0 },
	};
	struct machine *m = machine_new();

	for (unsigned cpu = 0; cpu < TEST_CPUS; cpu++) {
		apic_enable(m, cpu);
		apic_write(m, cpu, LDR, BIT(24 + cpu));
	}
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		ipi(m, cases[i].from, cases[i].low, cases[i].dest);
		for (unsigned cpu = 0; cpu < TEST_CPUS; cpu++) {
			bool want = bit_test(cases[i].to, cpu);

			ck_assert_msg(pending(m, cpu) == want, "case %u, cpu%u", i, cpu);
			ck_assert_int_eq(ack(m, cpu), want ? 0x45 : -1);
			apic_write(m, cpu, EOI, 0);
		}
	}
	machine_free(m);
}
END_TEST

START_TEST(apic_cluster_model)
{
	struct machine *m = machine_new();

	for (unsigned cpu = 0; cpu < TEST_CPUS; cpu++) {
		apic_enable(m, cpu);
		apic_write(m, cpu, DFR, 0x0fffffff);
		apic_write(m, cpu, LDR, (cpu / 2) << 28 | BIT(24 + cpu % 2));
	}
	ipi(m, 0, LOGICAL | 0x45, 0x13);	/* cluster 1: CPUs 2 and 3 */
	ck_assert(!pending(m, 0) && !pending(m, 1) && pending(m, 2) && pending(m, 3));
	ipi(m, 0, LOGICAL | 0x46, 0x02);
	ck_assert(!pending(m, 0) && pending(m, 1));
	machine_free(m);
}
END_TEST

START_TEST(apic_lowest_priority_reaches_one)
{
	struct machine *m = machine_new();
	unsigned n = 0;

	for (unsigned cpu = 0; cpu < TEST_CPUS; cpu++) {
		apic_enable(m, cpu);
		apic_write(m, cpu, LDR, BIT(24 + cpu));
		apic_write(m, cpu, TPR, cpu == 2 ? 0x10 : 0x40);
	}
	ipi(m, 0, LOGICAL | LOWEST | 0x65, 0x0f);
	for (unsigned cpu = 0; cpu < TEST_CPUS; cpu++)
		n += pending(m, cpu);
	ck_assert_uint_eq(n, 1);
	ck_assert(pending(m, 2));
	machine_free(m);
}
END_TEST

START_TEST(apic_start_up_messages)
{
	struct machine *m = machine_new();

	apic_enable(m, 1);
	apic_write(m, 1, TPR, 0x30);
	ipi(m, 0, 0x500 | LEVEL | ASSERT, 1);		/* INIT */
	ck_assert_uint_eq(m->init[1], 1);
	ipi(m, 0, 0x500 | LEVEL, 1);			/* INIT level de-assert: nothing */
	ck_assert_uint_eq(m->init[1], 1);
	ck_assert_uint_eq(apic_read(m, 1, SVR), 0xff);	/* INIT resets the APIC */
	ck_assert_uint_eq(apic_read(m, 1, TPR), 0);
	ck_assert_uint_eq(apic_read(m, 1, ID), 1u << 24);
	ipi(m, 0, 0x600 | 0x9a, 1);
	ck_assert_uint_eq(m->sipi[1], 1);
	ck_assert_uint_eq(m->sipi_vector[1], 0x9a);
	ipi(m, 0, 0x400, 1);
	ck_assert_uint_eq(m->nmi[1], 1);
	ipi(m, 0, OTHERS | 0x400, 0);
	ck_assert(m->nmi[0] == 0 && m->nmi[1] == 2 && m->nmi[2] == 1 && m->nmi[3] == 1);
	ck_assert_uint_eq(m->init[0] + m->init[2] + m->sipi[0] + m->sipi[2], 0);
	ck_assert_uint_eq(apic_read(m, 0, ICR) & 0x1000, 0);	/* delivered at once */
	machine_free(m);
}
END_TEST

START_TEST(apic_registers_of_any_offset_and_size)
{
	struct machine *m = machine_new();

	for (u32 off = 0; off < 0x1000; off++)
		for (unsigned size = 1; size <= 8; size *= 2) {
			bus_mmio_read(m->bus, 3, PC_LAPIC_BASE + off, size);
			bus_mmio_read(m->bus, 3, PC_IOAPIC_BASE + off, size);
		}
	ck_assert(!pending(m, 3));
	machine_free(m);
}
END_TEST

/* ---- I/O APIC ---- */

START_TEST(ioapic_identity)
{
	struct machine *m = machine_new();

	ck_assert_uint_eq(ioapic_read(m, 1) & 0x00ff00ff, 0x00170011);
	ck_assert_uint_eq(ioapic_read(m, 0) >> 24 & 15, PC_IOAPIC_ID);
	for (u8 i = 0; i < 24; i++)
		ck_assert_uint_eq(ioapic_read(m, (u8)(0x10 + 2 * i)) & MASKED, MASKED);
	ioapic_write(m, 0x10 + 2 * 5, 0xffffffff);
	ck_assert_uint_eq(ioapic_read(m, 0x10 + 2 * 5) & 0xfffe5000, 0);	/* reserved and read-only */
	ioapic_read(m, 0xff);
	ioapic_write(m, 0xff, ~0u);
	machine_free(m);
}
END_TEST

START_TEST(ioapic_edge)
{
	struct machine *m = machine_new();

	apic_enable(m, 0);
	apic_enable(m, 1);
	route(m, 4, 0x61, 1);
	com_line(m, COM1, true);
	ck_assert(!pending(m, 0) && pending(m, 1));
	ck_assert_int_eq(ack(m, 1), 0x61);
	ck_assert_uint_eq(apic_read(m, 1, TMR + 0x30) & BIT(1), 0);
	apic_write(m, 1, EOI, 0);
	ck_assert(!pending(m, 1));
	com_line(m, COM1, false);
	com_line(m, COM1, true);
	com_line(m, COM1, false);		/* an edge is an edge */
	ck_assert_int_eq(ack(m, 1), 0x61);
	apic_write(m, 1, EOI, 0);
	com_line(m, COM1, true);		/* another while in service: comes after EOI */
	ck_assert_int_eq(ack(m, 1), 0x61);
	com_line(m, COM1, false);
	com_line(m, COM1, true);
	ck_assert(!pending(m, 1));
	apic_write(m, 1, EOI, 0);
	ck_assert_int_eq(ack(m, 1), 0x61);
	machine_free(m);
}
END_TEST

START_TEST(ioapic_level)
{
	struct machine *m = machine_new();

	apic_enable(m, 0);
	route(m, 4, LEVEL | 0x61, 0);
	apic_write(m, 0, LVT_LINT0, MASKED);
	com_line(m, COM1, true);
	ck_assert_uint_eq(ioapic_read(m, 0x18) & REMOTE_IRR, REMOTE_IRR);
	ck_assert_int_eq(ack(m, 0), 0x61);
	ck_assert_uint_eq(apic_read(m, 0, TMR + 0x30) & BIT(1), BIT(1));
	com_line(m, COM1, false);
	com_line(m, COM1, true);
	ck_assert_uint_eq(apic_read(m, 0, IRR + 0x30), 0);	/* remote IRR holds it back */
	apic_write(m, 0, EOI, 0);		/* still asserted: again */
	ck_assert_int_eq(ack(m, 0), 0x61);
	com_line(m, COM1, false);
	apic_write(m, 0, EOI, 0);
	ck_assert(!pending(m, 0));
	ck_assert_uint_eq(ioapic_read(m, 0x18) & REMOTE_IRR, 0);
	machine_free(m);
}
END_TEST

/* Linux, io_apic.c: how to end a level interrupt without a directed EOI. */
START_TEST(ioapic_edge_and_back_clears_remote_irr)
{
	struct machine *m = machine_new();

	apic_enable(m, 0);
	route(m, 4, LEVEL | 0x61, 0);
	com_line(m, COM1, true);
	com_line(m, COM1, false);
	ck_assert_uint_eq(ioapic_read(m, 0x18) & REMOTE_IRR, REMOTE_IRR);
	ioapic_write(m, 0x18, MASKED | 0x61);
	ioapic_write(m, 0x18, LEVEL | MASKED | 0x61);
	ck_assert_uint_eq(ioapic_read(m, 0x18) & REMOTE_IRR, 0);
	machine_free(m);
}
END_TEST

START_TEST(ioapic_unmask_of_an_asserted_level)
{
	struct machine *m = machine_new();

	apic_enable(m, 0);
	route(m, 4, LEVEL | MASKED | 0x61, 0);
	com_line(m, COM1, true);
	ck_assert_uint_eq(apic_read(m, 0, IRR + 0x30), 0);
	ioapic_write(m, 0x18, LEVEL | 0x61);
	ck_assert_uint_eq(apic_read(m, 0, IRR + 0x30), BIT(1));
	machine_free(m);
}
END_TEST

START_TEST(ioapic_logical_and_lowest)
{
	struct machine *m = machine_new();
	unsigned n = 0;

	for (unsigned cpu = 0; cpu < TEST_CPUS; cpu++) {
		apic_enable(m, cpu);
		apic_write(m, cpu, LDR, BIT(24 + cpu));
	}
	apic_write(m, 0, LVT_LINT0, MASKED);
	route(m, 4, LOGICAL | LOWEST | 0x61, 0x0e);
	com_line(m, COM1, true);
	ck_assert(!pending(m, 0));
	for (unsigned cpu = 0; cpu < TEST_CPUS; cpu++)
		n += pending(m, cpu);
	ck_assert_uint_eq(n, 1);
	route(m, 3, LOGICAL | 0x62, 0x06);
	com_line(m, COM2, true);
	ck_assert_uint_eq(apic_read(m, 1, IRR + 0x30) & BIT(2), BIT(2));
	ck_assert_uint_eq(apic_read(m, 2, IRR + 0x30) & BIT(2), BIT(2));
	ck_assert_uint_eq(apic_read(m, 3, IRR + 0x30) & BIT(2), 0);
	machine_free(m);
}
END_TEST

/* MADT and MP table: the timer is input 2, and input 0 takes the 8259. */
START_TEST(ioapic_timer_input)
{
	struct machine *m = machine_new();

	apic_enable(m, 0);
	apic_write(m, 0, LVT_LINT0, MASKED);
	route(m, 2, 0x61, 0);
	out8(m, 0x43, 0x34);
	out8(m, 0x40, 0x9c);
	out8(m, 0x40, 0x2e);
	run(m, 11 * MS);
	ck_assert_int_eq(ack(m, 0), 0x61);
	machine_free(m);
}
END_TEST

START_TEST(ioapic_extint)
{
	struct machine *m = machine_new();

	pic_setup(m, 0x01, BIT(4));
	apic_enable(m, 0);
	apic_write(m, 0, LVT_LINT0, MASKED);
	route(m, 0, 0x700, 0);
	com_line(m, COM1, true);
	ck_assert(pending(m, 0));
	ck_assert_int_eq(ack(m, 0), 0x34);
	ck_assert(!pending(m, 0));
	machine_free(m);
}
END_TEST

START_TEST(ioapic_nmi)
{
	struct machine *m = machine_new();

	apic_enable(m, 0);
	route(m, 4, 0x400, 2);
	com_line(m, COM1, true);
	ck_assert_uint_eq(m->nmi[2], 1);
	ck_assert_uint_eq(m->nmi[0], 0);
	machine_free(m);
}
END_TEST

START_TEST(reset_restores_power_on)
{
	struct machine *m = machine_new();

	pic_setup(m, 0x01, BIT(4));
	route(m, 4, LEVEL | 0x61, 0);
	com_line(m, COM1, true);
	ipi(m, 0, OTHERS | 0x400, 0);
	apic_enable(m, 2);
	ipi(m, 0, 0x45, 2);
	ck_assert(pending(m, 0) && pending(m, 2));
	pc_reset(m->pc);
	for (unsigned cpu = 0; cpu < TEST_CPUS; cpu++)
		ck_assert(!pending(m, cpu));
	ck_assert_uint_eq(ioapic_read(m, 0x18) & (MASKED | REMOTE_IRR), MASKED);
	ck_assert_uint_eq(apic_read(m, 2, SVR), 0xff);
	ck_assert_uint_eq(apic_read(m, 0, LVT_LINT0) & (MASKED | 0x700), 0x700);
	machine_free(m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("io: interrupts of a whole machine");
	TCase *t = tcase_create("8259");
	SRunner *r;
	int failed;

	tcase_add_test(t, nothing_is_pending_at_power_on);
	tcase_add_test(t, pic_edge_interrupt_and_eoi);
	tcase_add_test(t, pic_priorities_nest);
	tcase_add_test(t, pic_mask_holds_back_and_releases);
	tcase_add_test(t, pic_cascade);
	tcase_add_test(t, pic_level_triggered_input_asks_again);
	tcase_add_test(t, pic_automatic_eoi);
	tcase_add_test(t, pic_rotation);
	tcase_add_test(t, pic_special_mask_lets_lower_ones_through);
	tcase_add_test(t, pic_poll);
	tcase_add_test(t, pic_initialisation_forgets);
	tcase_add_test(t, shared_isa_line_is_an_or);
	suite_add_tcase(s, t);
	t = tcase_create("local APIC");
	tcase_add_test(t, lint0_is_the_8259s_way_to_the_cpu);
	tcase_add_test(t, apic_base_refuses_reserved_bits);
	tcase_add_test(t, apic_identity);
	tcase_add_test(t, apic_priorities);
	tcase_add_test(t, apic_beats_8259);
	tcase_add_test(t, apic_illegal_vectors_are_errors);
	tcase_add_test(t, apic_software_disable_masks);
	tcase_add_test(t, apic_destinations);
	tcase_add_test(t, apic_cluster_model);
	tcase_add_test(t, apic_lowest_priority_reaches_one);
	tcase_add_test(t, apic_start_up_messages);
	tcase_add_test(t, apic_registers_of_any_offset_and_size);
	suite_add_tcase(s, t);
	t = tcase_create("I/O APIC");
	tcase_add_test(t, ioapic_identity);
	tcase_add_test(t, ioapic_edge);
	tcase_add_test(t, ioapic_level);
	tcase_add_test(t, ioapic_edge_and_back_clears_remote_irr);
	tcase_add_test(t, ioapic_unmask_of_an_asserted_level);
	tcase_add_test(t, ioapic_logical_and_lowest);
	tcase_add_test(t, ioapic_timer_input);
	tcase_add_test(t, ioapic_extint);
	tcase_add_test(t, ioapic_nmi);
	tcase_add_test(t, reset_restores_power_on);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
