/* io/rtc.c behind a whole PC: setting the time, and what a reset leaves; the rest is in test_io_machine_time.c. */
#include "tests/unit/io_machine.h"

static struct machine *m;

static void setup(void) { m = machine_new(); }
static void teardown(void) { machine_free(m); }

static u8 get(u8 i)
{
	out8(m, 0x70, i);
	return in8(m, 0x71);
}

static void put(u8 i, u8 v)
{
	out8(m, 0x70, i);
	out8(m, 0x71, v);
}

static void ck(u8 century, u8 year, u8 month, u8 day, u8 weekday, u8 h, u8 mi, u8 s)
{
	ck_assert_uint_eq(get(0x32), century);
	ck_assert_uint_eq(get(9), year);
	ck_assert_uint_eq(get(8), month);
	ck_assert_uint_eq(get(7), day);
	ck_assert_uint_eq(get(6), weekday);
	ck_assert_uint_eq(get(4), h);
	ck_assert_uint_eq(get(2), mi);
	ck_assert_uint_eq(get(0), s);
}

static void set(u8 century, u8 year, u8 month, u8 day, u8 h, u8 mi, u8 s)
{
	u8 b = get(0xb);

	put(0xb, b | 0x80);
	put(0x32, century);
	put(9, year);
	put(8, month);
	put(7, day);
	put(4, h);
	put(2, mi);
	put(0, s);
	put(0xb, b);
}

START_TEST(time_can_be_set)
{
	set(0x20, 0x24, 0x02, 0x28, 0x23, 0x59, 0x58);
	ck(0x20, 0x24, 0x02, 0x28, 4, 0x23, 0x59, 0x58);
	run(m, 2 * SEC);
	ck(0x20, 0x24, 0x02, 0x29, 5, 0x00, 0x00, 0x00);	/* a leap year */
	set(0x20, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59);
	run(m, SEC);
	ck(0x21, 0x00, 0x01, 0x01, 6, 0x00, 0x00, 0x00);
	set(0x19, 0x69, 0x12, 0x31, 0x12, 0x00, 0x00);		/* before 1970 */
	ck(0x19, 0x69, 0x12, 0x31, 4, 0x12, 0x00, 0x00);
}
END_TEST

START_TEST(nonsense_is_normalised)
{
	set(0x20, 0x23, 0x02, 0x31, 0x00, 0x00, 0x75);
	ck(0x20, 0x23, 0x03, 0x03, 6, 0x00, 0x01, 0x15);
	put(0xb, 0x86);
	for (u8 i = 0; i < 10; i++)
		put(i, 0xff);
	put(0xb, 0x06);
	for (u8 i = 0; i < 128; i++)
		get(i);
}
END_TEST

/* How operating systems start the clock on a second: hold the divider, let it go half a second early. */
START_TEST(divider_reset_starts_half_a_second_early)
{
	run(m, 700 * MS);
	put(0xb, 0x82);
	put(0xa, 0x76);
	set_time(m, now(m) + 5 * SEC);
	put(0xa, 0x26);
	put(0xb, 0x02);
	ck_assert_uint_eq(get(0), 0x20);
	run(m, 490 * MS);
	ck_assert_uint_eq(get(0), 0x20);
	run(m, 20 * MS);
	ck_assert_uint_eq(get(0), 0x21);
}
END_TEST

START_TEST(fields_can_be_set_while_it_runs)
{
	put(4, 0x05);
	ck(0x20, 0x23, 0x11, 0x14, 3, 0x05, 0x13, 0x20);
}
END_TEST

START_TEST(reset_keeps_time_and_memory)
{
	put(0x40, 0x5a);
	set(0x20, 0x30, 0x01, 0x01, 0x10, 0x00, 0x00);
	put(0xb, 0x72);
	pc_reset(m->pc);
	ck(0x20, 0x30, 0x01, 0x01, 3, 0x10, 0x00, 0x00);
	ck_assert_uint_eq(get(0x40), 0x5a);
	ck_assert_uint_eq(get(0xb), 0x02);
	ck_assert_uint_eq(get(0xd), 0x80);
}
END_TEST

/* What the monitor does at a reset: the PC is built anew around the battery. */
START_TEST(battery_outlives_the_pc)
{
	struct rtc_battery battery;
	struct pc_config c = machine_config(m);

	put(0x40, 0x5a);
	set(0x20, 0x30, 0x01, 0x01, 0x10, 0x00, 0x00);
	put(0xb, 0x72);
	run(m, 2 * SEC);
	pc_save(m->pc, &battery);
	memset(m->pc, 0x55, pc_size());
	c.battery = &battery;
	ck_assert_int_eq(pc_init(m->pc, &c), 0);
	ck(0x20, 0x30, 0x01, 0x01, 3, 0x10, 0x00, 0x02);
	ck_assert_uint_eq(get(0x40), 0x5a);
	ck_assert_uint_eq(get(0xb), 0x02);
	/* A forged one is no battery. */
	battery.sec = INT64_MAX;
	ck_assert_int_eq(pc_init(m->pc, &c), 0);
	ck_assert_uint_eq(get(9), 0x23);
}
END_TEST

START_TEST(memory_sizes)
{
	ck_assert_uint_eq(get(0x15) | get(0x16) << 8, 640);
	ck_assert_uint_eq(get(0x17) | get(0x18) << 8, (TEST_RAM >> 10) - 1024);
	ck_assert_uint_eq(get(0x30) | get(0x31) << 8, (TEST_RAM >> 10) - 1024);
	ck_assert_uint_eq(get(0x34) | get(0x35) << 8, 0);
}
END_TEST

START_TEST(flags_are_set_without_interrupts)
{
	get(0xc);
	ck_assert_uint_eq(get(0xc) & 0x10, 0);
	set_time(m, now(m) + 3 * SEC);
	ck_assert_uint_eq(get(0xc) & 0xd0, 0x50);	/* update ended and periodic, no request */
	ck_assert_uint_eq(get(0xc) & 0x10, 0);
	put(5, 0x22);
	put(3, 0x13);
	put(1, 0x30);
	set_time(m, now(m) + 5 * SEC);
	ck_assert_uint_eq(get(0xc) & 0x20, 0);
	set_time(m, now(m) + 5 * SEC);
	ck_assert_uint_eq(get(0xc) & 0x20, 0x20);
}
END_TEST

START_TEST(no_old_ticks_for_new_interrupts)
{
	put(0xa, 0x2a);			/* 64 Hz */
	set_time(m, 30 * SEC + SEC / 1000);	/* just after a tick */
	put(0xb, 0x42);			/* periodic interrupts from now on */
	get(0xc);
	set_time(m, now(m) + SEC / 200);
	bus_run_timers(m->bus);
	ck_assert_uint_eq(get(0xc) & 0x40, 0);
	set_time(m, now(m) + SEC / 64);
	bus_run_timers(m->bus);
	ck_assert_uint_eq(get(0xc) & 0x40, 0x40);
}
END_TEST

START_TEST(index_is_masked)
{
	put(0xc0, 0x77);		/* bit 7 is the NMI mask */
	ck_assert_uint_eq(get(0x40), 0x77);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("io: rtc");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, time_can_be_set);
	tcase_add_test(t, nonsense_is_normalised);
	tcase_add_test(t, divider_reset_starts_half_a_second_early);
	tcase_add_test(t, fields_can_be_set_while_it_runs);
	tcase_add_test(t, reset_keeps_time_and_memory);
	tcase_add_test(t, battery_outlives_the_pc);
	tcase_add_test(t, memory_sizes);
	tcase_add_test(t, flags_are_set_without_interrupts);
	tcase_add_test(t, no_old_ticks_for_new_interrupts);
	tcase_add_test(t, index_is_masked);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
