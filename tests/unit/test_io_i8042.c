/* io/i8042.c and io/reset.c behind a whole PC: what Linux and a BIOS ask of them. */
#include "tests/unit/io_machine.h"

enum { DATA = 0x60, CMD = 0x64, FULL = 0x01 };

static struct machine *m;

static void setup(void) { m = machine_new(); }
static void teardown(void) { machine_free(m); }

static bool full(void) { return in8(m, CMD) & FULL; }

static u8 get(void)
{
	ck_assert_msg(full(), "nothing in the output buffer");
	return in8(m, DATA);
}

static void command_byte(u8 v)
{
	out8(m, CMD, 0x60);
	out8(m, DATA, v);
}

/* A command to the keyboard that is answered by ACK. */
static void keyboard(u8 v)
{
	out8(m, DATA, v);
	ck_assert_uint_eq(get(), 0xfa);
}

START_TEST(self_tests)
{
	ck_assert(!full());
	out8(m, CMD, 0xaa);
	ck_assert_uint_eq(get(), 0x55);
	ck_assert_uint_eq(in8(m, CMD) & 0x04, 0x04);
	out8(m, CMD, 0xab);
	ck_assert_uint_eq(get(), 0);
	ck_assert(!full());
}
END_TEST

START_TEST(command_byte_and_ram)
{
	command_byte(0x25);
	out8(m, CMD, 0x20);
	ck_assert_uint_eq(get(), 0x25);
	out8(m, CMD, 0x7f);
	out8(m, DATA, 0x99);
	out8(m, CMD, 0x3f);
	ck_assert_uint_eq(get(), 0x99);
	out8(m, CMD, 0x20);
	ck_assert_uint_eq(get(), 0x25);
	out8(m, CMD, 0xad);
	out8(m, CMD, 0x20);
	ck_assert_uint_eq(get(), 0x35);
	out8(m, CMD, 0xae);
	out8(m, CMD, 0xa7);
	out8(m, CMD, 0x20);
	ck_assert_uint_eq(get(), 0x25);
	out8(m, CMD, 0xa8);
	out8(m, CMD, 0x20);
	ck_assert_uint_eq(get(), 0x05);
}
END_TEST

START_TEST(status_tells_command_from_data)
{
	out8(m, CMD, 0xae);
	ck_assert_uint_eq(in8(m, CMD) & 0x08, 0x08);
	command_byte(0x44);
	ck_assert_uint_eq(in8(m, CMD) & 0x0a, 0x00);
}
END_TEST

START_TEST(keyboard_identifies_itself)
{
	command_byte(0x00);
	keyboard(0xf2);
	ck_assert_uint_eq(get(), 0xab);
	ck_assert_uint_eq(get(), 0x83);
	command_byte(0x40);		/* translated */
	keyboard(0xf2);
	ck_assert_uint_eq(get(), 0xab);
	ck_assert_uint_eq(get(), 0x41);
	ck_assert(!full());
}
END_TEST

START_TEST(keyboard_reset_and_settings)
{
	command_byte(0x00);
	keyboard(0xff);
	ck_assert_uint_eq(get(), 0xaa);
	keyboard(0xed);
	keyboard(0x07);
	keyboard(0xf3);
	keyboard(0x00);
	keyboard(0xf4);
	keyboard(0xf0);
	keyboard(0x03);
	keyboard(0xf0);
	keyboard(0x00);
	ck_assert_uint_eq(get(), 3);
	keyboard(0xf0);
	out8(m, DATA, 0x09);
	ck_assert_uint_eq(get(), 0xfe);		/* no such set */
	out8(m, DATA, 0xee);
	ck_assert_uint_eq(get(), 0xee);
	out8(m, DATA, 0xfe);
	ck_assert_uint_eq(get(), 0xee);		/* once more */
	out8(m, DATA, 0x12);
	ck_assert_uint_eq(get(), 0xfe);		/* not a command */
	ck_assert(!full());
}
END_TEST

START_TEST(disabled_keyboard_waits)
{
	command_byte(0x00);
	out8(m, DATA, 0xf2);			/* three bytes */
	ck_assert_uint_eq(get(), 0xfa);
	out8(m, CMD, 0xad);
	ck_assert_uint_eq(get(), 0xab);		/* was in the buffer already */
	ck_assert(!full());
	out8(m, CMD, 0xae);
	ck_assert_uint_eq(get(), 0x83);
}
END_TEST

START_TEST(controller_answers_before_the_keyboard)
{
	command_byte(0x00);
	out8(m, DATA, 0xf2);
	out8(m, CMD, 0x20);
	ck_assert_uint_eq(get(), 0xfa);
	ck_assert_uint_eq(get(), 0x00);
	ck_assert_uint_eq(get(), 0xab);
}
END_TEST

START_TEST(each_byte_is_an_interrupt)
{
	pic_setup(m, 0x01, BIT(1));
	command_byte(0x01);
	out8(m, DATA, 0xf2);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(ack(m, 0), 0x31);
		ck_assert(full());
		in8(m, DATA);
		out8(m, 0x20, 0x20);
	}
	ck_assert_int_eq(ack(m, 0), -1);
	command_byte(0x00);
	out8(m, DATA, 0xee);
	ck_assert_int_eq(ack(m, 0), -1);
	ck_assert_uint_eq(get(), 0xee);
}
END_TEST

START_TEST(there_is_no_mouse_and_it_says_so_at_once)
{
	out8(m, CMD, 0xd3);
	out8(m, DATA, 0x5a);
	ck_assert_uint_eq(in8(m, CMD) & 0x21, 0x01);	/* an answer, without the mouse's mark */
	in8(m, DATA);
	out8(m, CMD, 0xa9);
	ck_assert_uint_ne(get(), 0);
	out8(m, CMD, 0xd4);
	out8(m, DATA, 0xff);
	ck_assert(!full());
}
END_TEST

START_TEST(queue_overflow_is_harmless)
{
	command_byte(0x00);
	for (unsigned i = 0; i < 100; i++)
		out8(m, DATA, 0xf2);
	for (unsigned i = 0; i < 100 && full(); i++)
		in8(m, DATA);
	ck_assert(!full());
	keyboard(0xf4);
}
END_TEST

START_TEST(resets)
{
	out8(m, CMD, 0xfe);
	ck_assert_uint_eq(m->events[MACHINE_RESET], 1);
	out8(m, CMD, 0xff);			/* pulses nothing */
	ck_assert_uint_eq(m->events[MACHINE_RESET], 1);
	out8(m, CMD, 0xd1);
	out8(m, DATA, 0xfe);
	ck_assert_uint_eq(m->events[MACHINE_RESET], 2);
	ck_assert_uint_eq(in8(m, 0x92) & 0x02, 0x02);
	out8(m, 0x92, 0x02);
	ck_assert_uint_eq(m->events[MACHINE_RESET], 2);
	out8(m, 0x92, 0x03);
	out8(m, 0x92, 0x03);			/* an edge */
	ck_assert_uint_eq(m->events[MACHINE_RESET], 3);
	out8(m, 0xcf9, 0x02);
	ck_assert_uint_eq(m->events[MACHINE_RESET], 3);
	out8(m, 0xcf9, 0x06);
	ck_assert_uint_eq(m->events[MACHINE_RESET], 4);
	out32(m, 0xcf8, 0x80000600);		/* a PCI address is not a reset */
	ck_assert_uint_eq(m->events[MACHINE_RESET], 4);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("io: i8042 and reset");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, self_tests);
	tcase_add_test(t, command_byte_and_ram);
	tcase_add_test(t, status_tells_command_from_data);
	tcase_add_test(t, keyboard_identifies_itself);
	tcase_add_test(t, keyboard_reset_and_settings);
	tcase_add_test(t, disabled_keyboard_waits);
	tcase_add_test(t, controller_answers_before_the_keyboard);
	tcase_add_test(t, each_byte_is_an_interrupt);
	tcase_add_test(t, there_is_no_mouse_and_it_says_so_at_once);
	tcase_add_test(t, queue_overflow_is_harmless);
	tcase_add_test(t, resets);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
