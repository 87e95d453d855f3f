/* io/pvpanic.c: which events it offers, and which of them ends the machine. */
#include "tests/unit/io_machine.h"

#define PORT PC_PVPANIC_PORT

static struct machine *m;

static void setup(void) { m = machine_new(); }
static void teardown(void) { machine_free(m); }

START_TEST(offers_both_events)
{
	ck_assert_uint_eq(in8(m, PORT), 3);
	out8(m, PORT, 0);
	ck_assert_uint_eq(in8(m, PORT), 3);	/* nothing written is kept */
	ck_assert_uint_eq(m->events[MACHINE_PANIC], 0);
}
END_TEST

START_TEST(panicked_is_an_event)
{
	out8(m, PORT, 1);
	ck_assert_uint_eq(m->events[MACHINE_PANIC], 1);
	out8(m, PORT, 3);
	ck_assert_uint_eq(m->events[MACHINE_PANIC], 2);
	ck_assert_uint_eq(m->events[MACHINE_POWEROFF] + m->events[MACHINE_RESET] + m->events[MACHINE_DEBUG_EXIT], 0);
}
END_TEST

/* The guest's crash kernel has yet to run; unknown events mean nothing. */
START_TEST(others_are_ignored)
{
	for (unsigned v = 0; v < 256; v += 2)
		out8(m, PORT, (u8)v);
	ck_assert_uint_eq(m->events[MACHINE_PANIC], 0);
}
END_TEST

START_TEST(one_port_wide)
{
	ck_assert_uint_eq(in8(m, PORT - 1), 0xff);
	ck_assert_uint_eq(in8(m, PORT + 1), 0xff);
	ck_assert_uint_eq(in16(m, PORT), 0xff03);
	out8(m, PORT - 1, 1);
	out8(m, PORT + 1, 1);
	out16(m, PORT, 0x0100);
	ck_assert_uint_eq(m->events[MACHINE_PANIC], 0);
	out16(m, PORT - 1, 0x0100);
	ck_assert_uint_eq(m->events[MACHINE_PANIC], 0);	/* starts where nobody is */
	out32(m, PORT, 0xffffff01);
	ck_assert_uint_eq(m->events[MACHINE_PANIC], 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("io: pvpanic");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, offers_both_events);
	tcase_add_test(t, panicked_is_an_event);
	tcase_add_test(t, others_are_ignored);
	tcase_add_test(t, one_port_wide);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
