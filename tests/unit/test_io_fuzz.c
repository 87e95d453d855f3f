/*
 * Random accesses by a hostile guest to every device of a whole PC, with time
 * passing, interrupts taken and the host's ends of the rings moving.  Meant to
 * be run under the sanitizers too; without them it still catches hangs, broken
 * agreement between cpu_intr and pc_intr_pending, and a wrong next deadline.
 */
#include "tests/unit/io_machine.h"

#define ROUNDS   8u
#define ACCESSES 60000u

static u64 seed;

static u32 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (u32)(seed >> 16);
}

static const u16 hot[] = {
	0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40, 0x41, 0x42, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x92, 0xcf8,
	0xcf9, 0xcfc, 0xcfd, 0xcfe, 0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x2f8, 0x2f9, 0x2fa, 0x2fc,
	0x3e8, 0x2e8, 0x510, 0x511, 0x514, 0x518, 0x600, 0x602, 0x604, 0x608, 0xe9, 0xf4, 0x505,
};

static u16 port(void) { return rnd() & 15 ? hot[rnd() % ARRAY_SIZE(hot)] : (u16)rnd(); }

static gpa_t address(unsigned size)
{
	switch (rnd() & 3) {
	case 0: return PC_LAPIC_BASE + (rnd() & 0x3f0);
	case 1: return PC_IOAPIC_BASE + (rnd() & 0x10);
	case 2: return PC_LAPIC_BASE + (rnd() & 0xfff);
	}
	return PC_IOAPIC_BASE + (rnd() & 0xfff);
}

static void move_rings(struct machine *m)
{
	struct chardev *c = &m->serial[rnd() % PC_SERIAL_MAX];

	for (unsigned i = rnd() & 31; i; i--)
		ring_put(&c->rx, (u8)rnd());
	for (unsigned i = rnd() & 63; i; i--)
		ring_get(&c->tx);
	if (!(rnd() & 63))		/* the guest's side can be forged as well */
		c->rx.tail = rnd();
	lock_acquire(&m->bus->lock);
	c->rx_ready(c->dev);
	if (__atomic_exchange_n(&c->tx_blocked, 0, __ATOMIC_SEQ_CST))
		c->tx_space(c->dev);
	lock_release(&m->bus->lock);
}

static void step(struct machine *m)
{
	static const unsigned sizes[] = { 1, 1, 1, 2, 4, 8 };
	unsigned size = sizes[rnd() % 5], cpu = rnd() % TEST_CPUS;

	switch (rnd() % 12) {
	case 0 ... 4:
		bus_pio_write(m->bus, port(), size, rnd() & 1 ? rnd() : rnd() & 0xff);
		break;
	case 5 ... 6:
		ck_assert_uint_eq(bus_pio_read(m->bus, port(), size) & ~size_mask(size), 0);
		break;
	case 7:
		size = sizes[rnd() % 6];
		bus_mmio_write(m->bus, cpu, address(size), size, (u64)rnd() << 32 | rnd());
		break;
	case 8:
		bus_mmio_read(m->bus, cpu, address(size), size);
		break;
	case 9:
		set_time(m, now(m) + (rnd() & 7 ? rnd() % 100000 : rnd() % SEC));
		bus_run_timers(m->bus);
		break;
	case 10:
		pc_intr_ack(m->pc, cpu);
		break;
	case 11:
		move_rings(m);
		break;
	}
	for (unsigned i = 0; i < TEST_CPUS; i++)
		pending(m, i);
}

static void check_deadline(struct machine *m)
{
	u64 first = TIMER_NEVER;

	for (unsigned i = 0; i < m->bus->timer_count; i++)
		first = min_u64(first, m->bus->timer[i]->deadline);
	ck_assert_uint_eq(m->bus->next_deadline, first);
}

START_TEST(random_guest)
{
	struct machine *m = machine_new();

	seed = 0x9e3779b97f4a7c15ull * (u64)(_i + 1);
	for (unsigned i = 0; i < ACCESSES; i++) {
		step(m);
		check_deadline(m);
		if (!(rnd() & 0x3fff))
			pc_reset(m->pc);
		if (now(m) > 3600 * SEC)	/* the test clock's end is near */
			set_time(m, 3600 * SEC);
	}
	/* However it was left, a reset makes it usable: the timer ticks. */
	pc_reset(m->pc);
	pic_setup(m, 0x01, BIT(0));
	out8(m, 0x43, 0x34);
	out8(m, 0x40, 0x9c);
	out8(m, 0x40, 0x2e);
	run(m, 11 * MS);
	ck_assert_int_eq(ack(m, 0), 0x30);
	machine_free(m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("io: random accesses");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, random_guest, 0, ROUNDS);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
