/* io/pit.c behind a whole PC: corners of the modes; the timing is in test_io_machine_time.c. */
#include "tests/unit/io_machine.h"

#define TICK 838ull		/* ns, rounded */

static struct machine *m;

static void setup(void)
{
	m = machine_new();
	pic_setup(m, 0x01, BIT(0));
	while (ack(m, 0) >= 0)
		out8(m, 0x20, 0x20);
}

static void teardown(void) { machine_free(m); }

static void program(unsigned ch, unsigned mode, u16 count)
{
	out8(m, 0x43, (u8)(ch << 6 | 0x30 | mode << 1));
	out8(m, (u16)(0x40 + ch), (u8)count);
	out8(m, (u16)(0x40 + ch), (u8)(count >> 8));
}

static u16 count(unsigned ch)
{
	u8 low;

	out8(m, 0x43, (u8)(ch << 6));
	low = in8(m, (u16)(0x40 + ch));
	return (u16)(low | in8(m, (u16)(0x40 + ch)) << 8);
}

static u8 status(unsigned ch)
{
	out8(m, 0x43, (u8)(0xe0 | 2 << ch));
	return in8(m, (u16)(0x40 + ch));
}

static bool tick(void)
{
	if (ack(m, 0) != 0x30)
		return false;
	out8(m, 0x20, 0x20);
	return true;
}

START_TEST(half_written_count_stops_mode_0)
{
	program(0, 0, 1000);
	out8(m, 0x40, 0x10);
	run(m, 2000 * TICK);
	ck_assert(!tick());
	out8(m, 0x40, 0x00);
	run(m, 10 * TICK);
	ck_assert(!tick());
	run(m, 10 * TICK);
	ck_assert(tick());
}
END_TEST

START_TEST(strobe_comes_one_tick_after_the_count)
{
	program(0, 4, 1000);
	run(m, 1000 * TICK);
	ck_assert(!tick());
	run(m, 4 * TICK);
	ck_assert(tick());
	run(m, SEC);
	ck_assert(!tick());
}
END_TEST

START_TEST(gate_high_for_ever_never_triggers_channel_0)
{
	program(0, 1, 10);
	run(m, SEC);
	ck_assert(!tick());
	program(0, 5, 10);
	run(m, SEC);
	ck_assert(!tick());
}
END_TEST

START_TEST(new_count_waits_for_the_period_to_end)
{
	program(0, 2, 10000);
	run(m, 5000 * TICK);
	out8(m, 0x40, 0xe8);
	out8(m, 0x40, 0x03);
	ck_assert_uint_eq(status(0) & 0x40, 0x40);	/* null count: not in effect yet */
	ck_assert_uint_gt(count(0), 4900);
	run(m, 4900 * TICK);
	ck_assert(!tick());
	run(m, 200 * TICK);
	ck_assert(tick());
	ck_assert_uint_eq(status(0) & 0x40, 0);
	ck_assert_uint_lt(count(0), 1000);
	run(m, 1000 * TICK);
	ck_assert(tick());
}
END_TEST

START_TEST(gate_stops_and_goes_on)
{
	out8(m, 0x61, 1);
	program(2, 0, 10000);
	run(m, 1000 * TICK);
	out8(m, 0x61, 0);
	run(m, 50000 * TICK);
	ck_assert_uint_ge(count(2), 8990);
	ck_assert_uint_le(count(2), 9010);
	ck_assert_uint_eq(in8(m, 0x61) & 0x20, 0);
	out8(m, 0x61, 1);
	run(m, 8900 * TICK);
	ck_assert_uint_eq(in8(m, 0x61) & 0x20, 0);
	run(m, 200 * TICK);
	ck_assert_uint_eq(in8(m, 0x61) & 0x20, 0x20);
}
END_TEST

START_TEST(low_byte_and_high_byte_only)
{
	out8(m, 0x43, 0x90);			/* channel 2, low byte, mode 0 */
	out8(m, 0x42, 0x80);
	ck_assert_uint_eq(in8(m, 0x42), 0x80);
	ck_assert_uint_eq(in8(m, 0x42), 0x80);	/* the gate is low: it stands */
	out8(m, 0x43, 0xa0);
	out8(m, 0x42, 0x12);
	ck_assert_uint_eq(in8(m, 0x42), 0x12);
	out8(m, 0x43, 0x80);
	ck_assert_uint_eq(in8(m, 0x42), 0x12);
}
END_TEST

/* The guest stops the timer late: what was due has happened. */
START_TEST(overdue_edge_survives_reprogramming)
{
	program(0, 4, 1000);
	set_time(m, now(m) + 2000 * TICK);
	out8(m, 0x43, 0x30);
	ck_assert(tick());
	ck_assert(!tick());
}
END_TEST

START_TEST(reset_stops_what_ran)
{
	program(0, 2, 1193);
	pc_reset(m->pc);
	pic_setup(m, 0x01, BIT(0));
	run(m, 50 * MS);			/* 18.2 Hz */
	ck_assert(!tick());
	run(m, 10 * MS);
	ck_assert(tick());
}
END_TEST

int main(void)
{
	Suite *s = suite_create("io: 8254");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, half_written_count_stops_mode_0);
	tcase_add_test(t, strobe_comes_one_tick_after_the_count);
	tcase_add_test(t, gate_high_for_ever_never_triggers_channel_0);
	tcase_add_test(t, new_count_waits_for_the_period_to_end);
	tcase_add_test(t, gate_stops_and_goes_on);
	tcase_add_test(t, low_byte_and_high_byte_only);
	tcase_add_test(t, overdue_edge_survives_reprogramming);
	tcase_add_test(t, reset_stops_what_ran);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
