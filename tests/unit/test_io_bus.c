/* io/bus.c: who gets an access, and timers that fire in order and only once. */
#include "tests/unit/io_machine.h"

static struct machine *m;
static struct { u16 port; unsigned size; u32 value; u64 off; unsigned cpu, calls; } last;
static struct vtimer timers[BUS_TIMER_MAX + 1];
static unsigned order[64], fires;

static u32 pio_read(void *dev, u16 port, unsigned size)
{
	last.port = port;
	last.size = size;
	last.calls++;
	return 0x11223344u + (u32)(uintptr_t)dev;
}

static void pio_write(void *dev, u16 port, unsigned size, u32 value)
{
	last.port = port;
	last.size = size;
	last.value = value;
	last.calls++;
}

static u64 mmio_read(void *dev, unsigned cpu, u64 off, unsigned size)
{
	last.cpu = cpu;
	last.off = off;
	return 0x1122334455667788ull;
}

static void mmio_write(void *dev, unsigned cpu, u64 off, unsigned size, u64 value)
{
	last.off = off;
	last.value = (u32)value;
	last.calls++;
}

static const struct pio_ops whole = { pio_read, pio_write, .bytes = false };
static const struct pio_ops bytes = { pio_read, pio_write, .bytes = true };
static const struct mmio_ops memory = { mmio_read, mmio_write };

static void setup(void)
{
	m = machine_alloc();
	m->bus = calloc(1, sizeof(*m->bus));
	bus_init(m->bus, &m->clock, &m->phys);
	memset(&last, 0, sizeof(last));
	fires = 0;
}

static void teardown(void)
{
	free(m->bus);
	machine_free(m);
}

START_TEST(overlap_and_end_of_the_port_space_are_refused)
{
	ck_assert_int_eq(bus_add_pio(m->bus, 0x100, 8, &whole, NULL, "a"), 0);
	ck_assert_int_eq(bus_add_pio(m->bus, 0x107, 1, &whole, NULL, "b"), -EEXIST);
	ck_assert_int_eq(bus_add_pio(m->bus, 0x0ff, 2, &whole, NULL, "b"), -EEXIST);
	ck_assert_int_eq(bus_add_pio(m->bus, 0x108, 1, &whole, NULL, "b"), 0);
	ck_assert_int_lt(bus_add_pio(m->bus, 0xffff, 2, &whole, NULL, "c"), 0);
	ck_assert_int_eq(bus_add_pio(m->bus, 0xffff, 1, &whole, NULL, "c"), 0);
	ck_assert_int_eq(bus_add_mmio(m->bus, 0x1000, 0x1000, &memory, NULL, "a"), 0);
	ck_assert_int_eq(bus_add_mmio(m->bus, 0x1fff, 1, &memory, NULL, "b"), -EEXIST);
	ck_assert_int_eq(bus_add_mmio(m->bus, 0x800, 0x801, &memory, NULL, "b"), -EEXIST);
	ck_assert_int_eq(bus_add_mmio(m->bus, 0x2000, 1, &memory, NULL, "b"), 0);
}
END_TEST

START_TEST(tables_end)
{
	unsigned n;

	for (n = 0; n < BUS_PIO_MAX; n++)
		ck_assert_int_eq(bus_add_pio(m->bus, (u16)n, 1, &whole, NULL, "x"), 0);
	ck_assert_int_eq(bus_add_pio(m->bus, (u16)n, 1, &whole, NULL, "x"), -ENOSPC);
	for (n = 0; n < BUS_MMIO_MAX; n++)
		ck_assert_int_eq(bus_add_mmio(m->bus, n, 1, &memory, NULL, "x"), 0);
	ck_assert_int_eq(bus_add_mmio(m->bus, n, 1, &memory, NULL, "x"), -ENOSPC);
	for (n = 0; n < BUS_TIMER_MAX; n++)
		ck_assert_int_eq(bus_add_timer(m->bus, &timers[n], NULL, NULL), 0);
	ck_assert_int_eq(bus_add_timer(m->bus, &timers[n], NULL, NULL), -ENOSPC);
}
END_TEST

START_TEST(nobody_answers_with_ones)
{
	ck_assert_uint_eq(in8(m, 0x1234), 0xff);
	ck_assert_uint_eq(in16(m, 0x1234), 0xffff);
	ck_assert_uint_eq(in32(m, 0xffff), 0xffffffff);
	out32(m, 0xffff, 1);
	ck_assert_uint_eq(bus_mmio_read(m->bus, 0, 0xf0000000, 8), ~0ull);
	ck_assert_uint_eq(bus_mmio_read(m->bus, 0, ~0ull, 2), 0xffff);
	bus_mmio_write(m->bus, 0, 0xf0000000, 4, 1);
}
END_TEST

START_TEST(accesses_arrive_whole_and_masked)
{
	ck_assert_int_eq(bus_add_pio(m->bus, 0x100, 4, &whole, NULL, "a"), 0);
	ck_assert_uint_eq(in16(m, 0x102), 0x3344);
	ck_assert(last.port == 0x102 && last.size == 2 && last.calls == 1);
	bus_pio_write(m->bus, 0x103, 1, 0xabcd);
	ck_assert_uint_eq(last.value, 0xcd);
	ck_assert_int_eq(bus_add_mmio(m->bus, 0xfee00000, 0x1000, &memory, NULL, "a"), 0);
	ck_assert_uint_eq(bus_mmio_read(m->bus, 3, 0xfee00fff, 1), 0x88);
	ck_assert(last.cpu == 3 && last.off == 0xfff);
}
END_TEST

START_TEST(wide_accesses_to_byte_devices_are_split)
{
	ck_assert_int_eq(bus_add_pio(m->bus, 0x100, 3, &bytes, NULL, "a"), 0);
	ck_assert_uint_eq(in32(m, 0x100), 0xff444444);	/* the fourth port is nobody's */
	ck_assert_uint_eq(last.calls, 3);
	out16(m, 0x101, 0xbeef);
	ck_assert(last.port == 0x102 && last.size == 1 && last.value == 0xbe);
}
END_TEST

static void note(void *dev, u64 ns) { order[fires++ & 63] = (unsigned)(uintptr_t)dev; }

static void again(void *dev, u64 ns)
{
	fires++;
	timer_arm(m->bus, dev, ns - 1);		/* always in the past */
}

static void add(unsigned i, u64 deadline)
{
	ck_assert_int_eq(bus_add_timer(m->bus, &timers[i], note, (void *)(uintptr_t)i), 0);
	timer_arm(m->bus, &timers[i], deadline);
}

START_TEST(timers_fire_once_in_order_of_their_deadlines)
{
	add(0, 300);
	add(1, 100);
	add(2, 200);
	add(3, 5000);
	ck_assert_uint_eq(m->bus->next_deadline, 100);
	set_time(m, 99);
	ck_assert_uint_eq(bus_run_timers(m->bus), 100);
	ck_assert_uint_eq(fires, 0);
	set_time(m, 1000);
	ck_assert_uint_eq(bus_run_timers(m->bus), 5000);
	ck_assert(fires == 3 && order[0] == 1 && order[1] == 2 && order[2] == 0);
	bus_run_timers(m->bus);
	ck_assert_uint_eq(fires, 3);
	timer_arm(m->bus, &timers[3], TIMER_NEVER);
	ck_assert_uint_eq(m->bus->next_deadline, TIMER_NEVER);
	set_time(m, 10000);
	ck_assert_uint_eq(bus_run_timers(m->bus), TIMER_NEVER);
	ck_assert_uint_eq(fires, 3);
}
END_TEST

START_TEST(a_timer_that_lives_in_the_past_does_not_hang)
{
	ck_assert_int_eq(bus_add_timer(m->bus, &timers[0], again, &timers[0]), 0);
	timer_arm(m->bus, &timers[0], 1);
	set_time(m, 1000);
	bus_run_timers(m->bus);
	ck_assert_uint_ge(fires, 1);
	ck_assert_uint_le(fires, 1000);
}
END_TEST

START_TEST(chardev_rings)
{
	struct chardev *c = &m->serial[0];
	unsigned n = 0;

	c->connected = 0;
	ck_assert(chardev_tx(c, 'x'));
	ck_assert_uint_eq(ring_count(&c->tx), 0);	/* nobody there: discarded */
	c->connected = 1;
	c->tx.head = c->tx.tail = 0xfffffff0u;		/* indices wrap */
	while (n <= CHAR_RING_SIZE && chardev_tx(c, (u8)n))
		n++;
	ck_assert_uint_eq(n, CHAR_RING_SIZE);
	ck_assert_uint_eq(c->tx_blocked, 1);
	for (n = 0; n < CHAR_RING_SIZE; n++)
		ck_assert_int_eq(ring_get(&c->tx), (u8)n);
	ck_assert_int_eq(ring_get(&c->tx), -1);
	c->tx.head = c->tx.tail + 0x80000000u;		/* nonsense from the other side */
	ck_assert_uint_le(ring_count(&c->tx), CHAR_RING_SIZE);
	ck_assert(!ring_put(&c->tx, 1));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("io: bus");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, overlap_and_end_of_the_port_space_are_refused);
	tcase_add_test(t, tables_end);
	tcase_add_test(t, nobody_answers_with_ones);
	tcase_add_test(t, accesses_arrive_whole_and_masked);
	tcase_add_test(t, wide_accesses_to_byte_devices_are_split);
	tcase_add_test(t, timers_fire_once_in_order_of_their_deadlines);
	tcase_add_test(t, a_timer_that_lives_in_the_past_does_not_hang);
	tcase_add_test(t, chardev_rings);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
