/* io/lapic.c alone on a bus: priorities, the ICR, logical destinations, the three timer modes. */
#include "tests/unit/io_machine.h"

#include "io/lapic.h"

enum { ID = 0x20, VER = 0x30, TPR = 0x80, PPR = 0xa0, EOI = 0xb0, LDR = 0xd0, DFR = 0xe0, SVR = 0xf0,
       ISR = 0x100, TMR = 0x180, IRR = 0x200, ESR = 0x280, ICR = 0x300, ICR2 = 0x310, LVTT = 0x320,
       LVT0 = 0x350, LVT1 = 0x360, LVTERR = 0x370, TMICT = 0x380, TMCCT = 0x390, TDCR = 0x3e0 };

#define MASKED BIT(16)
#define PERIODIC BIT(17)
#define DEADLINE BIT(18)
#define MSR_BASE 0x1b
#define MSR_DEADLINE 0x6e0

static struct machine *m;
static struct lapic apics[2];
static unsigned updates, nmis, inits, sipis, eois, sends;
static u8 eoi_vector, sipi_vector;
static struct { unsigned src, mode, shorthand; u8 vector, dest; bool logical, level, asserted; } sent;

static void on_update(void *o, unsigned id) { updates++; }
static void hook_nmi(void *o, unsigned id) { nmis++; }
static void hook_init(void *o, unsigned id) { inits++; }
static void hook_sipi(void *o, unsigned id, u8 v) { sipis++; sipi_vector = v; }
static void hook_eoi(void *o, u8 v) { eois++; eoi_vector = v; }

static void hook_send(void *o, unsigned src, u8 vector, unsigned mode, bool logical, u8 dest,
		      unsigned shorthand, bool level, bool asserted)
{
	sends++;
	sent.src = src; sent.mode = mode; sent.shorthand = shorthand; sent.vector = vector;
	sent.dest = dest; sent.logical = logical; sent.level = level; sent.asserted = asserted;
}

static void setup(void)
{
	const struct lapic_hooks h = { NULL, on_update, hook_nmi, hook_init, hook_sipi, hook_eoi, hook_send };

	m = machine_alloc();
	m->bus = calloc(1, sizeof *m->bus);
	bus_init(m->bus, &m->clock, &m->phys);
	lapic_init(&apics[0], m->bus, 0, &h);
	lapic_init(&apics[1], m->bus, 1, &h);
	ck_assert_int_eq(lapic_bus_add(m->bus, apics, 2), 0);
	updates = nmis = inits = sipis = eois = sends = 0;
}

static void teardown(void)
{
	free(m->bus);
	m->bus = NULL;
	machine_free(m);
}

static u32 rd(u32 reg) { return apic_read(m, 0, reg); }
static void wr(u32 reg, u32 v) { apic_write(m, 0, reg, v); }
static void fixed(u8 v) { lapic_deliver(&apics[0], v, LAPIC_FIXED, false); }
static bool in_vector(u32 base, u8 v) { return rd(base + (v >> 5) * 16) >> (v & 31) & 1; }

START_TEST(power_on_state)
{
	u64 base;

	ck_assert_uint_eq(rd(VER), 0x50014);
	ck_assert_uint_eq(rd(SVR), 0x1ff);
	ck_assert_uint_eq(rd(LVT0), 0x700);
	ck_assert_uint_eq(rd(LVT1), 0x400);
	ck_assert_uint_eq(rd(LVTT), MASKED);
	ck_assert(lapic_accepts_extint(&apics[0]));
	/* The others as Intel leaves them: off, everything masked. */
	ck_assert_uint_eq(apic_read(m, 1, ID), 1u << 24);
	ck_assert_uint_eq(apic_read(m, 1, SVR), 0xff);
	ck_assert_uint_eq(apic_read(m, 1, LVT0), MASKED);
	ck_assert_uint_eq(apic_read(m, 1, DFR), ~0u);
	ck_assert(!lapic_accepts_extint(&apics[1]));
	ck_assert(lapic_msr_read(&apics[0], MSR_BASE, &base));
	ck_assert_uint_eq(base, 0xfee00900);
	ck_assert(lapic_msr_read(&apics[1], MSR_BASE, &base));
	ck_assert_uint_eq(base, 0xfee00800);
}
END_TEST

START_TEST(highest_first_and_nested)
{
	fixed(0x31);
	fixed(0x62);
	fixed(0x41);
	ck_assert_int_eq(lapic_intr(&apics[0]), 0x62);
	ck_assert_int_eq(lapic_intr(&apics[0]), 0x62);	/* looking takes nothing */
	ck_assert_int_eq(lapic_ack(&apics[0]), 0x62);
	ck_assert(!in_vector(IRR, 0x62) && in_vector(ISR, 0x62));
	ck_assert_uint_eq(rd(PPR), 0x60);
	ck_assert_int_eq(lapic_ack(&apics[0]), -1);	/* lower ones wait */
	fixed(0x6f);					/* so does the same class */
	ck_assert_int_eq(lapic_intr(&apics[0]), -1);
	fixed(0x71);					/* a higher one nests */
	ck_assert_int_eq(lapic_ack(&apics[0]), 0x71);
	wr(EOI, 0);
	ck_assert(!in_vector(ISR, 0x71) && in_vector(ISR, 0x62));
	wr(EOI, 0);
	ck_assert_int_eq(lapic_ack(&apics[0]), 0x6f);
	wr(EOI, 0);
	ck_assert_int_eq(lapic_ack(&apics[0]), 0x41);
	wr(EOI, 0);
	ck_assert_int_eq(lapic_ack(&apics[0]), 0x31);
	wr(EOI, 0);
	ck_assert_int_eq(lapic_ack(&apics[0]), -1);
	wr(EOI, 0);					/* one too many does nothing */
	ck_assert_uint_eq(eois, 0);			/* none of them was level triggered */
}
END_TEST

START_TEST(tpr_holds_back_its_class)
{
	wr(TPR, 0x4f);
	ck_assert_uint_eq(rd(PPR), 0x4f);
	fixed(0x4f);
	ck_assert_int_eq(lapic_intr(&apics[0]), -1);
	updates = 0;
	wr(TPR, 0x3f);
	ck_assert_uint_gt(updates, 0);
	ck_assert_int_eq(lapic_ack(&apics[0]), 0x4f);
	/* PPR keeps TPR's low bits only when TPR's class wins. */
	wr(TPR, 0x23);
	ck_assert_uint_eq(rd(PPR), 0x40);
	wr(TPR, 0x45);
	ck_assert_uint_eq(rd(PPR), 0x45);
}
END_TEST

START_TEST(level_eoi_reaches_the_ioapic)
{
	lapic_deliver(&apics[0], 0x51, LAPIC_LOWEST, true);
	ck_assert(in_vector(TMR, 0x51));
	lapic_ack(&apics[0]);
	wr(EOI, 0);
	ck_assert_uint_eq(eois, 1);
	ck_assert_uint_eq(eoi_vector, 0x51);
	/* The same vector as an edge takes the mark away. */
	fixed(0x51);
	ck_assert(!in_vector(TMR, 0x51));
	lapic_ack(&apics[0]);
	wr(EOI, 0);
	ck_assert_uint_eq(eois, 1);
}
END_TEST

START_TEST(software_disable_masks_the_lvt)
{
	wr(LVTT, 0x40);
	fixed(0x55);
	wr(SVR, 0xff);
	ck_assert_uint_eq(rd(LVTT), MASKED | 0x40);
	ck_assert_uint_eq(rd(LVT0), MASKED | 0x700);
	ck_assert(!lapic_accepts_extint(&apics[0]));
	wr(LVT0, 0x700);				/* cannot be unmasked now */
	ck_assert_uint_eq(rd(LVT0), MASKED | 0x700);
	fixed(0x66);					/* not accepted */
	ck_assert_int_eq(lapic_ack(&apics[0]), 0x55);	/* what was accepted before is held */
	lapic_deliver(&apics[0], 0, LAPIC_NMI, false);
	lapic_deliver(&apics[0], 0x9a, LAPIC_SIPI, false);
	ck_assert_uint_eq(nmis, 1);
	ck_assert_uint_eq(sipis, 1);
	ck_assert_uint_eq(sipi_vector, 0x9a);
}
END_TEST

START_TEST(global_disable)
{
	u64 v;

	ck_assert(lapic_msr_write(&apics[1], MSR_BASE, 0xfee00000));
	ck_assert(lapic_accepts_extint(&apics[1]));
	ck_assert_uint_eq(apic_read(m, 1, VER), ~0u);
	ck_assert(!lapic_matches(&apics[1], false, 1));
	ck_assert(!lapic_msr_write(&apics[1], MSR_BASE, 0xfed00800));	/* moved */
	ck_assert(!lapic_msr_write(&apics[1], MSR_BASE, 0xfee00c00));	/* x2APIC */
	ck_assert(!lapic_msr_write(&apics[1], MSR_BASE, 0xfee00801));	/* reserved */
	ck_assert(lapic_msr_read(&apics[1], MSR_BASE, &v) && v == 0xfee00000);
	ck_assert(lapic_msr_write(&apics[1], MSR_BASE, 0xfee00800));
	ck_assert_uint_eq(apic_read(m, 1, VER), 0x50014);
	ck_assert(!lapic_msr_read(&apics[1], 0x1c, &v));
}
END_TEST

START_TEST(icr)
{
	wr(ICR2, 0x05000000);
	wr(ICR, 0x000040fd | BIT(11) | BIT(12));	/* delivery status is not ours to write */
	ck_assert_uint_eq(sends, 1);
	ck_assert(sent.vector == 0xfd && sent.dest == 5 && sent.logical && sent.asserted && !sent.shorthand);
	ck_assert(!(rd(ICR) & BIT(12)));
	wr(ICR, 0x000c4500);				/* INIT to all others */
	ck_assert(sends == 2 && sent.mode == LAPIC_INIT && sent.shorthand == LAPIC_TO_OTHERS);
	wr(ICR, 0x000c8500);				/* de-assert: nothing leaves */
	ck_assert_uint_eq(sends, 2);
	apic_write(m, 1, ICR2, 0);
	apic_write(m, 1, ICR, 0x0000469f);
	ck_assert(sends == 3 && sent.src == 1 && sent.mode == LAPIC_SIPI && sent.vector == 0x9f);
	wr(ICR, 0x00044077);				/* self */
	ck_assert_uint_eq(sends, 3);
	ck_assert_int_eq(lapic_ack(&apics[0]), 0x77);
}
END_TEST

START_TEST(errors_are_latched_and_reported)
{
	wr(LVTERR, 0xfe);
	wr(ICR, 0x0000400f);				/* illegal vector */
	ck_assert_uint_eq(sends, 0);
	ck_assert_uint_eq(rd(ESR), 0);			/* not before it is written */
	wr(ESR, 0);
	ck_assert_uint_eq(rd(ESR), 0x20);
	ck_assert_int_eq(lapic_ack(&apics[0]), 0xfe);
	wr(EOI, 0);
	fixed(3);
	wr(ESR, 0);
	ck_assert_uint_eq(rd(ESR), 0x40);
	rd(0x50);					/* a register that is not there */
	wr(ESR, 0);
	ck_assert_uint_eq(rd(ESR), 0x80);
	wr(ESR, 0);
	ck_assert_uint_eq(rd(ESR), 0);
	/* An illegal vector in the error entry must not recurse. */
	wr(LVTERR, 0x01);
	fixed(3);
	wr(ESR, 0);
	ck_assert_uint_eq(rd(ESR), 0x40);
}
END_TEST

START_TEST(destinations)
{
	ck_assert(lapic_matches(&apics[1], false, 1));
	ck_assert(!lapic_matches(&apics[1], false, 0));
	ck_assert(lapic_matches(&apics[1], false, 0xff));
	apic_write(m, 1, LDR, 0x02ffffff);
	ck_assert_uint_eq(apic_read(m, 1, LDR), 0x02000000);
	ck_assert(lapic_matches(&apics[1], true, 0x03));
	ck_assert(!lapic_matches(&apics[1], true, 0x05));
	apic_write(m, 1, DFR, 0x00000000);		/* cluster 3, member 1 */
	ck_assert_uint_eq(apic_read(m, 1, DFR), 0x0fffffff);
	apic_write(m, 1, LDR, 0x32000000);
	ck_assert(lapic_matches(&apics[1], true, 0x33));
	ck_assert(!lapic_matches(&apics[1], true, 0x31));
	ck_assert(!lapic_matches(&apics[1], true, 0x23));
	ck_assert(lapic_matches(&apics[1], true, 0xff));
}
END_TEST

START_TEST(init_resets_registers_but_not_the_id)
{
	apic_write(m, 1, SVR, 0x1ef);
	apic_write(m, 1, LVTT, PERIODIC | 0x40);
	apic_write(m, 1, TMICT, 1000000);
	lapic_deliver(&apics[1], 0x80, LAPIC_FIXED, false);
	lapic_deliver(&apics[1], 0, LAPIC_INIT, false);
	ck_assert_uint_eq(inits, 1);
	ck_assert_int_eq(lapic_intr(&apics[1]), -1);
	ck_assert_uint_eq(apic_read(m, 1, SVR), 0xff);
	ck_assert_uint_eq(apic_read(m, 1, ID), 1u << 24);
	ck_assert_uint_eq(m->bus->next_deadline, TIMER_NEVER);
}
END_TEST

START_TEST(local_pins)
{
	wr(LVT0, 0x45);					/* LINT0 as an ordinary vector */
	ck_assert(!lapic_accepts_extint(&apics[0]));
	lapic_lint(&apics[0], 0, true);
	lapic_lint(&apics[0], 0, true);
	ck_assert_int_eq(lapic_ack(&apics[0]), 0x45);
	wr(EOI, 0);
	ck_assert_int_eq(lapic_ack(&apics[0]), -1);	/* one edge */
	lapic_lint(&apics[0], 1, true);
	ck_assert_uint_eq(nmis, 1);
	wr(LVT0, MASKED | 0x45);
	lapic_lint(&apics[0], 0, false);
	lapic_lint(&apics[0], 0, true);
	ck_assert_int_eq(lapic_intr(&apics[0]), -1);
}
END_TEST

/* --- Timer ------------------------------------------------------------------ */

START_TEST(one_shot_counts_down_once)
{
	wr(LVTT, 0x40);
	wr(TDCR, 0x3);					/* by 16 */
	wr(TMICT, 1000);				/* 16 us */
	ck_assert_uint_eq(rd(TMCCT), 1000);
	run(m, 8 * US);
	ck_assert_uint_eq(rd(TMCCT), 500);
	run(m, 7999);
	ck_assert_int_eq(lapic_intr(&apics[0]), -1);
	ck_assert_uint_eq(rd(TMCCT), 1);
	run(m, 1);
	ck_assert_int_eq(lapic_ack(&apics[0]), 0x40);
	wr(EOI, 0);
	ck_assert_uint_eq(rd(TMCCT), 0);
	run(m, SEC);
	ck_assert_int_eq(lapic_intr(&apics[0]), -1);
	ck_assert_uint_eq(rd(TMICT), 1000);
}
END_TEST

START_TEST(every_divider)
{
	static const u8 code[8] = { 0xb, 0x0, 0x1, 0x2, 0x3, 0x8, 0x9, 0xa };	/* 1, 2, ... 128 */

	wr(LVTT, MASKED);
	for (unsigned i = 0; i < 8; i++) {
		wr(TDCR, code[i]);
		ck_assert_uint_eq(rd(TDCR), code[i]);
		wr(TMICT, 1000000);
		run(m, 128000);
		ck_assert_uint_eq(rd(TMCCT), 1000000 - (128000u >> i));
	}
}
END_TEST

START_TEST(periodic_does_not_drift)
{
	unsigned taken = 0;
	u64 start = now(m);

	wr(LVTT, PERIODIC | 0x40);
	wr(TDCR, 0xb);
	wr(TMICT, 333333);
	for (unsigned k = 1; k <= 3000; k++) {
		/* The host is late by a changing part of a period. */
		set_time(m, start + k * 333333ull + k * 7919 % 300000);
		bus_run_timers(m->bus);
		if (lapic_ack(&apics[0]) == 0x40)
			taken++;
		wr(EOI, 0);
		ck_assert_uint_eq(m->bus->next_deadline, start + (k + 1) * 333333ull);
	}
	ck_assert_uint_eq(taken, 3000);
}
END_TEST

START_TEST(a_stall_is_one_interrupt_and_keeps_the_phase)
{
	u64 start = now(m);

	wr(LVTT, PERIODIC | 0x40);
	wr(TDCR, 0xb);
	wr(TMICT, 1000000);
	set_time(m, start + 3600 * SEC + 400000);	/* an hour */
	bus_run_timers(m->bus);
	ck_assert_uint_eq(apics[0].timer_irqs, 1);
	ck_assert_uint_eq(m->bus->next_deadline, start + 3600 * SEC + 1000000);
	ck_assert_uint_eq(rd(TMCCT), 600000);
}
END_TEST

START_TEST(a_tiny_period_does_not_storm)
{
	wr(LVTT, PERIODIC | 0x40);
	wr(TDCR, 0xb);
	wr(TMICT, 1);
	ck_assert(run_until(m, now(m) + MS, 200));
	ck_assert_int_eq(lapic_ack(&apics[0]), 0x40);
}
END_TEST

START_TEST(masked_timer_counts_silently)
{
	wr(LVTT, MASKED | 0x40);
	wr(TDCR, 0xb);
	wr(TMICT, 1000);
	run(m, 2000);
	ck_assert_int_eq(lapic_intr(&apics[0]), -1);
	ck_assert_uint_eq(apics[0].timer_irqs, 0);
	wr(LVTT, 0x40);					/* too late: it had expired */
	run(m, SEC);
	ck_assert_int_eq(lapic_intr(&apics[0]), -1);
	wr(TMICT, 1000);
	wr(TMICT, 0);					/* stopped */
	run(m, SEC);
	ck_assert_int_eq(lapic_intr(&apics[0]), -1);
}
END_TEST

START_TEST(divider_and_mode_may_change_while_counting)
{
	wr(LVTT, 0x40);
	wr(TDCR, 0xb);
	wr(TMICT, 100000);
	run(m, 40000);
	wr(TDCR, 0x0);					/* by 2: 60000 left take 120000 */
	ck_assert_uint_eq(rd(TMCCT), 60000);
	run(m, 119998);
	ck_assert_int_eq(lapic_intr(&apics[0]), -1);
	wr(LVTT, PERIODIC | 0x40);
	run(m, 2);
	ck_assert_int_eq(lapic_ack(&apics[0]), 0x40);
	wr(EOI, 0);
	run(m, 200000);
	ck_assert_int_eq(lapic_ack(&apics[0]), 0x40);
}
END_TEST

START_TEST(tsc_deadline)
{
	u64 v;

	/* Not in the mode: the write has no effect. */
	ck_assert(lapic_msr_write(&apics[0], MSR_DEADLINE, tsc_of(m, MS)));
	ck_assert(lapic_msr_read(&apics[0], MSR_DEADLINE, &v) && v == 0);
	wr(LVTT, DEADLINE | 0x40);
	wr(TMICT, 12345);				/* dead in this mode */
	ck_assert_uint_eq(rd(TMICT), 0);
	set_time(m, MS);
	u64 at = tsc_of(m, 2 * MS);
	ck_assert(lapic_msr_write(&apics[0], MSR_DEADLINE, at));
	ck_assert(lapic_msr_read(&apics[0], MSR_DEADLINE, &v) && v == at);
	ck_assert_uint_ge(m->bus->next_deadline, 2 * MS);	/* never early */
	ck_assert_uint_le(m->bus->next_deadline, 2 * MS + 1);
	run(m, MS - 1);
	ck_assert_int_eq(lapic_intr(&apics[0]), -1);
	run(m, 2);
	ck_assert_int_eq(lapic_ack(&apics[0]), 0x40);
	wr(EOI, 0);
	ck_assert(lapic_msr_read(&apics[0], MSR_DEADLINE, &v) && v == 0);
	/* The past: at once. */
	ck_assert(lapic_msr_write(&apics[0], MSR_DEADLINE, 1));
	ck_assert_int_eq(lapic_ack(&apics[0]), 0x40);
	wr(EOI, 0);
	/* One that is overdue is not lost to the next. */
	ck_assert(lapic_msr_write(&apics[0], MSR_DEADLINE, tsc_of(m, 3 * MS)));
	set_time(m, 4 * MS);
	ck_assert(lapic_msr_write(&apics[0], MSR_DEADLINE, tsc_of(m, 9 * MS)));
	ck_assert_int_eq(lapic_ack(&apics[0]), 0x40);
	wr(EOI, 0);
	/* Zero disarms, so does leaving the mode, and ~0 is never. */
	ck_assert(lapic_msr_write(&apics[0], MSR_DEADLINE, tsc_of(m, 10 * MS)));
	ck_assert(lapic_msr_write(&apics[0], MSR_DEADLINE, 0));
	run(m, 20 * MS);
	ck_assert_int_eq(lapic_intr(&apics[0]), -1);
	ck_assert(lapic_msr_write(&apics[0], MSR_DEADLINE, tsc_of(m, 100 * MS)));
	wr(LVTT, 0x40);
	ck_assert(lapic_msr_read(&apics[0], MSR_DEADLINE, &v) && v == 0);
	run(m, 200 * MS);
	ck_assert_int_eq(lapic_intr(&apics[0]), -1);
	wr(LVTT, DEADLINE | 0x40);
	ck_assert(lapic_msr_write(&apics[0], MSR_DEADLINE, ~0ull));
	ck_assert_int_eq(lapic_intr(&apics[0]), -1);
	ck_assert_uint_eq(m->bus->next_deadline, TIMER_NEVER);
}
END_TEST

START_TEST(odd_accesses_are_harmless)
{
	for (u64 off = 0; off < PAGE_SIZE; off++)
		for (unsigned size = 1; size <= 8; size *= 2) {
			bus_mmio_read(m->bus, 0, PC_LAPIC_BASE + off, size);
			if ((off & 15) || size < 4)
				bus_mmio_write(m->bus, 0, PC_LAPIC_BASE + off, size, ~0ull);
		}
	ck_assert_uint_eq(rd(SVR), 0x1ff);		/* no such write took effect */
	ck_assert_uint_eq(sends, 0);
	ck_assert_uint_eq(bus_mmio_read(m->bus, 0, PC_LAPIC_BASE + VER + 2, 1), 5);
	ck_assert_uint_eq(bus_mmio_read(m->bus, 7, PC_LAPIC_BASE + VER, 4), ~0u);	/* no such CPU */
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lapic");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, power_on_state);
	tcase_add_test(t, highest_first_and_nested);
	tcase_add_test(t, tpr_holds_back_its_class);
	tcase_add_test(t, level_eoi_reaches_the_ioapic);
	tcase_add_test(t, software_disable_masks_the_lvt);
	tcase_add_test(t, global_disable);
	tcase_add_test(t, icr);
	tcase_add_test(t, errors_are_latched_and_reported);
	tcase_add_test(t, destinations);
	tcase_add_test(t, init_resets_registers_but_not_the_id);
	tcase_add_test(t, local_pins);
	tcase_add_test(t, one_shot_counts_down_once);
	tcase_add_test(t, every_divider);
	tcase_add_test(t, periodic_does_not_drift);
	tcase_add_test(t, a_stall_is_one_interrupt_and_keeps_the_phase);
	tcase_add_test(t, a_tiny_period_does_not_storm);
	tcase_add_test(t, masked_timer_counts_silently);
	tcase_add_test(t, divider_and_mode_may_change_while_counting);
	tcase_add_test(t, tsc_deadline);
	tcase_add_test(t, odd_accesses_are_harmless);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
