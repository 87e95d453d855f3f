/*
 * The chips released to an external set and adopted again (io/chips.h): a
 * machine to which that happens all the time is compared with a twin to which
 * it never does, through what the guest can see and through the state itself.
 */
#include "tests/unit/io_machine.h"

#include "io/chips.h"

enum { EOI = 0xb0, SVR = 0xf0, LVT_TIMER_REG = 0x320, LVT_LINT0_REG = 0x350 };
enum { TMICT = 0x380, TMCCT = 0x390, TDCR = 0x3e0 };
enum { PERIODIC = 0x20000, DEADLINE = 0x40000, MSR_DEADLINE = 0x6e0 };

static struct { unsigned calls, gsi[256]; bool level[256]; void *opaque; } hook;

static void on_gsi(void *opaque, unsigned gsi, bool level)
{
	hook.opaque = opaque;
	hook.gsi[hook.calls % 256] = gsi;
	hook.level[hook.calls++ % 256] = level;
}

static struct machine *one_cpu(void)
{
	struct machine *m = machine_alloc();
	struct pc_config c = machine_config(m);

	c.cpus = 1;
	return machine_new_from(m, &c);
}

static void hand_over(struct machine *m)
{
	struct chips_state s;
	bool pin = m->intr[0];

	pc_chips_release(m->pc, &s, on_gsi, m);
	ck_assert(pc_chips_external(m->pc));
	ck_assert(!m->intr[0]);
	pc_chips_adopt(m->pc, &s);
	ck_assert(!pc_chips_external(m->pc));
	ck_assert_int_eq(m->intr[0], pin);
}

#define SAME(field) ck_assert_msg(x.field == y.field, "seed %u: " #field ": %llx, not %llx", seed, \
				  (unsigned long long)x.field, (unsigned long long)y.field)

static void same_state(struct machine *a, struct machine *b, unsigned seed)
{
	struct chips_state x, y;

	pc_chips_release(a->pc, &x, NULL, NULL);
	pc_chips_release(b->pc, &y, NULL, NULL);
	for (unsigned i = 0; i < 2; i++) {
		SAME(pic[i].lines); SAME(pic[i].irr); SAME(pic[i].imr); SAME(pic[i].isr); SAME(pic[i].elcr);
		SAME(pic[i].base); SAME(pic[i].lowest); SAME(pic[i].icw_next); SAME(pic[i].needs_icw4);
		SAME(pic[i].single); SAME(pic[i].level_all); SAME(pic[i].auto_eoi); SAME(pic[i].rotate_aeoi);
		SAME(pic[i].special_mask); SAME(pic[i].special_nested); SAME(pic[i].read_isr); SAME(pic[i].poll);
	}
	SAME(ioapic.id); SAME(ioapic.select); SAME(ioapic.inputs);
	for (unsigned i = 0; i < IOAPIC_INPUTS; i++)
		SAME(ioapic.rte[i]);
	SAME(lapic.apic_base); SAME(lapic.timer_due); SAME(lapic.esr_pending);
	for (unsigned i = 0; i < LAPIC_REGS; i++)
		SAME(lapic.reg[i]);
	for (unsigned i = 0; i < 3; i++) {
		SAME(pit.ch[i].start); SAME(pit.ch[i].paused); SAME(pit.ch[i].count); SAME(pit.ch[i].next_count);
		SAME(pit.ch[i].next_start); SAME(pit.ch[i].latch); SAME(pit.ch[i].write_low); SAME(pit.ch[i].status);
		SAME(pit.ch[i].mode); SAME(pit.ch[i].rw); SAME(pit.ch[i].bcd); SAME(pit.ch[i].gate);
		SAME(pit.ch[i].loaded); SAME(pit.ch[i].written); SAME(pit.ch[i].latched);
		SAME(pit.ch[i].status_latched); SAME(pit.ch[i].read_high); SAME(pit.ch[i].write_high);
		SAME(pit.ch[i].latch_high);
	}
	SAME(pit.edge); SAME(pit.due); SAME(pit.speaker); SAME(gsi);
	pc_chips_adopt(a->pc, &x);
	pc_chips_adopt(b->pc, &y);
}

/* ---- twins ---- */

static u32 rnd(u32 *state, u32 below)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state % below;
}

struct twins { struct machine *m[2]; unsigned seed, op; u64 ns; };

/*
 * The twins' clocks stand stiller than those of other tests, because two have to agree to the
 * nanosecond: one takes some 0.1 s, and guest time ends after a minute.
 */
#define SLOW_SHIFT 28

static void set_slow_time(struct machine *m, u64 ns)
{
	m->clock = (struct clock){
		.tsc_hz = SEC << SLOW_SHIFT, .ns_per_tsc = 1ull << (32 - SLOW_SHIFT), .tsc_per_ns = 1ull << (32 + SLOW_SHIFT),
		.tsc_start = rdtsc() - (ns << SLOW_SHIFT) - (1u << (SLOW_SHIFT - 4)),
	};
}

static void run_slowly(struct machine *m, u64 ns)
{
	for (u64 next; (next = m->bus->next_deadline) <= ns;) {
		if (next > now(m))
			set_slow_time(m, next);
		bus_run_timers(m->bus);
	}
	set_slow_time(m, ns);
}

/* The test was kept from running for so long that the twins' clocks have moved on, and not at the same place. */
static bool slipped(struct twins *t) { return now(t->m[0]) != t->ns || now(t->m[1]) != t->ns; }

#define AGREE(t, cond, ...) ck_assert_msg((cond) || slipped(t), __VA_ARGS__)

static void both_out(struct twins *t, u16 port, u8 v)
{
	out8(t->m[0], port, v);
	out8(t->m[1], port, v);
}

static void both_in(struct twins *t, u16 port)
{
	u8 a = in8(t->m[0], port), b = in8(t->m[1], port);

	AGREE(t, a == b, "seed %u op %u: port %x reads %02x, not %02x", t->seed, t->op, port, a, b);
}

static void both_apic(struct twins *t, u32 reg, u32 v)
{
	apic_write(t->m[0], 0, reg, v);
	apic_write(t->m[1], 0, reg, v);
}

static void both_ioapic(struct twins *t, u8 reg, u32 v)
{
	ioapic_write(t->m[0], reg, v);
	ioapic_write(t->m[1], reg, v);
}

/* The acknowledge cycle, if the pin asks for it, and perhaps the end of the interrupt. */
static void both_ack(struct twins *t, u32 *r)
{
	bool pa = pending(t->m[0], 0), pb = pending(t->m[1], 0);
	int a, b;

	AGREE(t, pa == pb, "seed %u op %u: INTR %d, not %d", t->seed, t->op, pa, pb);
	if (!pa || slipped(t))
		return;
	a = ack(t->m[0], 0);
	b = ack(t->m[1], 0);
	AGREE(t, a == b, "seed %u op %u: vector %x, not %x", t->seed, t->op, a, b);
	if (rnd(r, 4))
		both_apic(t, EOI, 0);
	if (rnd(r, 4)) {
		both_out(t, 0xa0, 0x20);
		both_out(t, 0x20, 0x20);
	}
}

static void random_apic(struct twins *t, u32 *r)
{
	static const u32 lvt_mode[] = { 0, 0, 0x400, 0x700, 0x10000, 0x10700 };

	switch (rnd(r, 9)) {
	case 0: both_apic(t, SVR, 0xff | (rnd(r, 8) ? 0x100 : 0)); break;
	case 1: both_apic(t, 0x80, rnd(r, 256)); break;
	case 2: both_apic(t, EOI, 0); break;
	case 3:
		both_apic(t, LVT_TIMER_REG, (rnd(r, 2) ? PERIODIC : 0) | (rnd(r, 5) ? 0 : 0x10000) | (0x30 + rnd(r, 0xc0)));
		break;
	case 4: both_apic(t, TMICT, rnd(r, 3) ? rnd(r, 3000000) : rnd(r, 200)); break;
	case 5: both_apic(t, TDCR, rnd(r, 16)); break;
	case 6: both_apic(t, LVT_LINT0_REG, lvt_mode[rnd(r, ARRAY_SIZE(lvt_mode))] | rnd(r, 256)); break;
	case 7: both_apic(t, 0x300, 0x44000 | rnd(r, 256)); break;	/* to itself; illegal vectors too */
	case 8: both_apic(t, rnd(r, 2) ? 0x280 : rnd(r, 2) ? 0xd0 : 0x310, rnd(r, ~0u)); break;
	}
}

static void random_ioapic(struct twins *t, u32 *r)
{
	static const u32 modes[] = { 0, 0, 0, 0x100, 0x700, 0x400, 0x8000, 0x8000, 0x8100 };
	unsigned n = rnd(r, 10);

	switch (rnd(r, 4)) {
	case 0: both_ioapic(t, (u8)(0x11 + 2 * n), rnd(r, 4) ? 0 : rnd(r, 2) << 24); break;
	case 1: both_ioapic(t, 0, rnd(r, 16) << 24); break;
	default:
		both_ioapic(t, (u8)(0x10 + 2 * n), modes[rnd(r, ARRAY_SIZE(modes))] | (rnd(r, 3) ? 0 : 0x10000) |
			    (0x20 + rnd(r, 0xe0)));
	}
}

static void random_op(struct twins *t, u32 *r)
{
	static const u16 com[] = { COM1, COM2, COM3, COM4 };
	u16 pic = rnd(r, 2) ? 0xa0 : 0x20;
	u32 v = rnd(r, 256);

	switch (rnd(r, 14)) {
	case 0: both_out(t, pic, (u8)v); break;
	case 1: both_out(t, pic + 1, (u8)v); break;
	case 2: both_out(t, pic, 0x11); break;
	case 3: both_in(t, pic + rnd(r, 2)); break;
	case 4: both_out(t, 0x4d0 + rnd(r, 2), (u8)v); break;
	case 5: both_out(t, 0x43, (u8)v); break;
	case 6: both_out(t, 0x40 + rnd(r, 3), (u8)v); break;
	case 7: both_in(t, 0x40 + rnd(r, 3)); break;
	case 8: both_out(t, 0x61, (u8)v); break;
	case 9: both_in(t, 0x61); break;
	case 10: random_apic(t, r); break;
	case 11: random_ioapic(t, r); break;
	case 12:
		v = rnd(r, 4);
		for (unsigned i = 0, up = rnd(r, 2); i < 2; i++)
			com_line(t->m[i], com[v], up);
		break;
	case 13:
		v = rnd(r, 3) ? rnd(r, 100 * US) : rnd(r, 20 * MS);
		t->ns += v;
		for (unsigned i = 0; i < 2; i++)
			run_slowly(t->m[i], t->ns);
		break;
	}
	both_ack(t, r);
	AGREE(t, t->m[0]->nmi[0] == t->m[1]->nmi[0], "seed %u op %u: NMIs", t->seed, t->op);
}

/* False: the twins have to try again. */
static bool live(unsigned seed)
{
	struct twins t = { { one_cpu(), one_cpu() }, seed, 0, MS };
	u32 r = seed * 2654435761u;
	bool done = true;

	for (t.op = 0; t.op < 300 && done; t.op++) {
		set_slow_time(t.m[0], t.ns);
		set_slow_time(t.m[1], t.ns);
		random_op(&t, &r);
		if (!rnd(&r, 3))
			hand_over(t.m[0]);
		done = !slipped(&t);
	}
	if (done)
		same_state(t.m[0], t.m[1], seed);
	machine_free(t.m[0]);
	machine_free(t.m[1]);
	return done;
}

START_TEST(a_machine_handed_over_is_as_its_twin)
{
	unsigned lived = 0;

	for (unsigned seed = 1; seed <= 150; seed++)
		for (unsigned i = 0; i < 5; i++)
			if (live(seed)) {
				lived++;
				break;
			}
	ck_assert_uint_gt(lived, 0);		/* all of them, but on a host that hardly runs us */
}
END_TEST

/* ---- while somebody else has the chips ---- */

START_TEST(lines_go_to_the_hook)
{
	struct machine *m = one_cpu();
	struct chips_state s;

	pic_setup(m, 0x01, BIT(4) | BIT(3));
	hook.calls = 0;
	com_line(m, COM1, true);
	ck_assert_uint_eq(hook.calls, 0);
	pc_chips_release(m->pc, &s, on_gsi, m);
	ck_assert_uint_eq(s.gsi & ~1u, BIT(4));
	ck_assert_ptr_eq(pc_chips_released(m->pc), pc_chips_released(m->pc));
	ck_assert_uint_eq(pc_chips_released(m->pc)->gsi, s.gsi);
	ck_assert_int_eq(ack(m, 0), -1);
	com_line(m, COM3, true);		/* the same line: no change */
	com_line(m, COM1, false);
	ck_assert_uint_eq(hook.calls, 0);
	com_line(m, COM3, false);
	com_line(m, COM2, true);
	ck_assert_uint_eq(hook.calls, 2);
	ck_assert_ptr_eq(hook.opaque, m);
	ck_assert_uint_eq(hook.gsi[0], 4);
	ck_assert(!hook.level[0]);
	ck_assert_uint_eq(hook.gsi[1], 3);
	ck_assert(hook.level[1]);
	ck_assert(!m->intr[0]);
	ck_assert_uint_eq(pc_stats(m->pc).irq[3], 1);
	pc_chips_adopt(m->pc, &s);
	com_line(m, COM2, false);
	ck_assert_uint_eq(hook.calls, 2);
	machine_free(m);
}
END_TEST

START_TEST(no_timer_while_released)
{
	struct machine *m = one_cpu();
	struct chips_state s;
	u64 calls;

	pic_setup(m, 0x01, BIT(0));
	apic_write(m, 0, LVT_TIMER_REG, PERIODIC | 0x55);
	apic_write(m, 0, TMICT, 100000);
	run(m, MS);
	pc_chips_release(m->pc, &s, NULL, NULL);
	calls = m->intr_calls;
	ck_assert(!pc_msr_write(m->pc, 0, MSR_DEADLINE, 1));
	run(m, 200 * MS);
	ck_assert_uint_eq(m->intr_calls, calls);
	pc_chips_adopt(m->pc, &s);
	ck_assert(m->intr[0]);
	ck_assert_uint_le(m->bus->next_deadline, now(m));	/* both are late now */
	machine_free(m);
}
END_TEST

/* A line that is up is no edge again, and one that the other chips have taken is not lost. */
START_TEST(edges_are_neither_made_nor_lost)
{
	struct machine *m = one_cpu();
	struct chips_state s;

	pic_setup(m, 0x01, BIT(3) | BIT(4));
	com_line(m, COM1, true);
	ck_assert_int_eq(ack(m, 0), 0x34);
	out8(m, 0x20, 0x20);
	hand_over(m);
	ck_assert_int_eq(ack(m, 0), -1);
	pc_chips_release(m->pc, &s, on_gsi, m);
	com_line(m, COM2, true);
	pc_chips_adopt(m->pc, &s);		/* who did not listen has no request */
	ck_assert_int_eq(ack(m, 0), -1);
	com_line(m, COM2, false);
	pc_chips_release(m->pc, &s, on_gsi, m);
	com_line(m, COM2, true);
	s.pic[0].irr |= BIT(3);
	com_line(m, COM2, false);
	pc_chips_adopt(m->pc, &s);
	ck_assert_int_eq(ack(m, 0), 0x33);
	machine_free(m);
}
END_TEST

/* Levels are what they are at the end. */
START_TEST(levels_are_evaluated_anew)
{
	struct machine *m = one_cpu();
	struct chips_state s;

	apic_write(m, 0, LVT_LINT0_REG, 0x10000);
	route(m, 4, 0x8000 | 0x61, 0);
	pc_chips_release(m->pc, &s, on_gsi, m);
	com_line(m, COM1, true);
	pc_chips_adopt(m->pc, &s);
	ck_assert(pending(m, 0));
	ck_assert_int_eq(ack(m, 0), 0x61);
	ck_assert(ioapic_read(m, 0x18) & BIT(14));
	/* In service, and the other chips see the line fall and the EOI. */
	pc_chips_release(m->pc, &s, on_gsi, m);
	com_line(m, COM1, false);
	s.ioapic.rte[4] &= ~BIT64(14);
	s.lapic.reg[0x100 / 16 + 3] = 0;
	pc_chips_adopt(m->pc, &s);
	ck_assert(!pending(m, 0));
	com_line(m, COM1, true);
	ck_assert_int_eq(ack(m, 0), 0x61);
	/* The same by the 8259. */
	route(m, 4, 0x10000, 0);
	com_line(m, COM1, false);
	apic_write(m, 0, EOI, 0);
	apic_write(m, 0, LVT_LINT0_REG, 0x700);
	out8(m, 0x4d0, BIT(4));
	pic_setup(m, 0x01, BIT(4));
	com_line(m, COM1, true);
	pc_chips_release(m->pc, &s, on_gsi, m);
	ck_assert_uint_eq(s.pic[0].irr, BIT(4));
	com_line(m, COM1, false);
	pc_chips_adopt(m->pc, &s);
	ck_assert(!pending(m, 0));
	machine_free(m);
}
END_TEST

START_TEST(tsc_deadline_survives)
{
	struct machine *m = one_cpu();

	set_time(m, MS);
	apic_write(m, 0, LVT_TIMER_REG, DEADLINE | 0x55);
	ck_assert(pc_msr_write(m->pc, 0, MSR_DEADLINE, tsc_of(m, 3 * MS)));
	hand_over(m);
	ck_assert_uint_ge(m->bus->next_deadline, 3 * MS - 100);
	run(m, 2 * MS - 200);
	ck_assert_int_eq(ack(m, 0), -1);
	run(m, 400);
	ck_assert_int_eq(ack(m, 0), 0x55);
	apic_write(m, 0, EOI, 0);
	hand_over(m);
	run(m, 100 * MS);
	ck_assert_int_eq(ack(m, 0), -1);
	machine_free(m);
}
END_TEST

START_TEST(a_deadline_that_passed_meanwhile_expires)
{
	struct machine *m = one_cpu();
	struct chips_state s;

	set_time(m, MS);
	apic_write(m, 0, LVT_TIMER_REG, DEADLINE | 0x55);
	pc_chips_release(m->pc, &s, NULL, NULL);
	s.lapic.tsc_deadline = rdtsc() - 1;
	pc_chips_adopt(m->pc, &s);
	ck_assert_int_eq(ack(m, 0), 0x55);
	apic_write(m, 0, EOI, 0);
	/* A count likewise, with the bus's timers. */
	apic_write(m, 0, LVT_TIMER_REG, 0x56);
	apic_write(m, 0, TMICT, 1000000);
	pc_chips_release(m->pc, &s, NULL, NULL);
	set_time(m, 4 * MS);
	pc_chips_adopt(m->pc, &s);
	bus_run_timers(m->bus);
	ck_assert_int_eq(ack(m, 0), 0x56);
	ck_assert_uint_eq(apic_read(m, 0, TMCCT), 0);
	machine_free(m);
}
END_TEST

START_TEST(a_reset_brings_the_models_back)
{
	struct machine *m = one_cpu();
	struct chips_state s;

	pc_chips_release(m->pc, &s, on_gsi, m);
	hook.calls = 0;
	pc_reset(m->pc);
	ck_assert(!pc_chips_external(m->pc));
	pic_setup(m, 0x01, BIT(4));
	com_line(m, COM1, true);
	ck_assert_uint_eq(hook.calls, 0);
	ck_assert_int_eq(ack(m, 0), 0x34);
	machine_free(m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("io_chips");
	TCase *t = tcase_create("chips");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_machine_handed_over_is_as_its_twin);
	tcase_add_test(t, lines_go_to_the_hook);
	tcase_add_test(t, no_timer_while_released);
	tcase_add_test(t, edges_are_neither_made_nor_lost);
	tcase_add_test(t, levels_are_evaluated_anew);
	tcase_add_test(t, tsc_deadline_survives);
	tcase_add_test(t, a_deadline_that_passed_meanwhile_expires);
	tcase_add_test(t, a_reset_brings_the_models_back);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
