/* io/pic.c by itself: what a whole machine rarely reaches. */
#include "tests/unit/io_machine.h"
#include "io/pic.h"

static struct machine *m;
static struct pic pic;
static bool out;
static unsigned changes;

static void on_out(void *opaque, bool level)
{
	ck_assert(level != out);
	out = level;
	changes++;
}

static void setup(void)
{
	m = machine_alloc();
	m->bus = calloc(1, sizeof(*m->bus));
	bus_init(m->bus, &m->clock, &m->phys);
	out = false;
	changes = 0;
	ck_assert_int_eq(pic_init(&pic, m->bus, on_out, NULL), 0);
}

static void teardown(void)
{
	free(m->bus);
	machine_free(m);
}

static void pulse(unsigned n)
{
	pic_set(&pic, n, true);
	pic_set(&pic, n, false);
}

static u8 isr(u16 port)
{
	out8(m, port, 0x0b);
	return in8(m, port);
}

START_TEST(nothing_happens_before_initialisation)
{
	for (unsigned n = 0; n < 16; n++)
		pulse(n);
	ck_assert(!out && !changes);
}
END_TEST

START_TEST(a_request_that_went_away_is_spurious)
{
	pic_setup(m, 0x01, 0xffff);
	ck_assert_uint_eq(pic_ack(&pic), 0x37);
	ck_assert_uint_eq(isr(0x20), 0);		/* not in service: no EOI is due */
	out8(m, 0x4d1, 0x02);				/* IRQ 9 by level */
	pic_set(&pic, 9, true);
	ck_assert(out);
	pic_set(&pic, 9, false);
	ck_assert(!out);
	ck_assert_uint_eq(pic_ack(&pic), 0x37);
}
END_TEST

START_TEST(a_pulse_is_remembered)
{
	pic_setup(m, 0x01, 0xffff);
	pulse(5);
	ck_assert(out);
	ck_assert_uint_eq(pic_ack(&pic), 0x35);
	ck_assert(!out);
	pulse(5);					/* while in service */
	ck_assert(!out);
	out8(m, 0x20, 0x65);
	ck_assert(out);
	ck_assert_uint_eq(pic_ack(&pic), 0x35);
}
END_TEST

START_TEST(the_cascade_input_is_nobodys)
{
	pic_setup(m, 0x01, 0xffff);
	pulse(2);
	ck_assert(!out);
}
END_TEST

START_TEST(edge_level_registers_have_fixed_bits)
{
	out16(m, 0x4d0, 0xffff);
	ck_assert_uint_eq(in16(m, 0x4d0), 0xdef8);
	out8(m, 0x4d0, 0);
	ck_assert_uint_eq(in16(m, 0x4d0), 0xde00);
}
END_TEST

START_TEST(level_is_sampled_when_the_mode_changes)
{
	pic_setup(m, 0x01, BIT(5));
	pic_set(&pic, 5, true);
	ck_assert_uint_eq(pic_ack(&pic), 0x35);
	out8(m, 0x20, 0x20);
	ck_assert(!out);
	out8(m, 0x4d0, BIT(5));
	ck_assert(out);					/* still high, and now that counts */
	out8(m, 0x4d0, 0);
	ck_assert(!out);
}
END_TEST

START_TEST(specially_fully_nested_slave_interrupts_itself)
{
	for (unsigned special = 0; special < 2; special++) {
		pic_setup(m, special ? 0x11 : 0x01, 0xffff);
		pulse(12);
		ck_assert_uint_eq(pic_ack(&pic), 0x3c);
		pulse(9);				/* above 12, but the master serves its cascade input */
		ck_assert_int_eq(out, special);
		if (special)
			ck_assert_uint_eq(pic_ack(&pic), 0x39);
		ck_assert_uint_eq(isr(0x20), 0x04);
	}
}
END_TEST

START_TEST(slave_needs_both_ends_of_interrupt)
{
	pic_setup(m, 0x01, 0xffff);
	pulse(8);
	ck_assert_uint_eq(pic_ack(&pic), 0x38);
	pulse(3);
	ck_assert(!out);
	out8(m, 0xa0, 0x20);
	ck_assert(!out);
	out8(m, 0x20, 0x62);
	ck_assert(out);
	ck_assert_uint_eq(pic_ack(&pic), 0x33);
}
END_TEST

START_TEST(set_priority_and_rotation)
{
	pic_setup(m, 0x01, 0x00ff & ~BIT(2));
	out8(m, 0x20, 0xc4);				/* 4 is lowest: 5 first */
	pulse(0);
	pulse(4);
	pulse(5);
	ck_assert_uint_eq(pic_ack(&pic), 0x35);
	out8(m, 0x20, 0xa0);				/* rotate on EOI: 6 first */
	ck_assert_uint_eq(pic_ack(&pic), 0x30);
	pulse(5);
	ck_assert(!out);				/* now the lowest */
	out8(m, 0x20, 0xe0 | 0);			/* end 0, which becomes the lowest: 1 first */
	ck_assert_uint_eq(pic_ack(&pic), 0x34);
}
END_TEST

START_TEST(poll_acknowledges)
{
	pic_setup(m, 0x01, 0xffff);
	out8(m, 0x20, 0x0c);
	ck_assert_uint_eq(in8(m, 0x20), 0);
	pulse(6);
	out8(m, 0x20, 0x0c);
	ck_assert_uint_eq(in8(m, 0x20), 0x86);
	ck_assert(!out);
	ck_assert_uint_eq(isr(0x20), BIT(6));
	ck_assert_uint_eq(in8(m, 0x21), 0);		/* one read only: this is the mask again */
}
END_TEST

START_TEST(reset_masks_and_keeps_lines)
{
	pic_setup(m, 0x01, 0xffff);
	pic_set(&pic, 3, true);
	pic_reset(&pic);
	ck_assert(!out);
	ck_assert_uint_eq(in8(m, 0x21), 0xff);
	pic_setup(m, 0x01, 0xffff);
	ck_assert(!out);				/* high all the time is no edge */
	pic_set(&pic, 3, false);
	pic_set(&pic, 3, true);
	ck_assert(out);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("io: 8259 pair");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, nothing_happens_before_initialisation);
	tcase_add_test(t, a_request_that_went_away_is_spurious);
	tcase_add_test(t, a_pulse_is_remembered);
	tcase_add_test(t, the_cascade_input_is_nobodys);
	tcase_add_test(t, edge_level_registers_have_fixed_bits);
	tcase_add_test(t, level_is_sampled_when_the_mode_changes);
	tcase_add_test(t, specially_fully_nested_slave_interrupts_itself);
	tcase_add_test(t, slave_needs_both_ends_of_interrupt);
	tcase_add_test(t, set_priority_and_rotation);
	tcase_add_test(t, poll_acknowledges);
	tcase_add_test(t, reset_masks_and_keeps_lines);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
