/* io/uart.c behind a whole PC: FIFOs, interrupt identification, loopback, back pressure. */
#include "tests/unit/io_machine.h"

enum { RBR = COM1, IER = COM1 + 1, IIR = COM1 + 2, LCR = COM1 + 3, MCR = COM1 + 4, LSR = COM1 + 5,
       MSR = COM1 + 6, SCR = COM1 + 7 };

static struct machine *m;

static void setup(void) { m = machine_new(); }
static void teardown(void) { machine_free(m); }

/* What the back end does with input. */
static void input(const char *s)
{
	struct chardev *c = &m->serial[0];

	while (*s)
		ck_assert(ring_put(&c->rx, (u8)*s++));
	c->rx_ready(c->dev);
}

static void fifos(u8 trigger)
{
	out8(m, IIR, 0x07 | trigger);
	out8(m, MCR, 0x0b);
}

/* The line to the 8259: its request register shows the level of an edge just raised. */
static bool irq4(void)
{
	bool up;

	pic_setup(m, 0x01, 0);
	out8(m, 0x4d0, 0x10);		/* level triggered: IRR follows the line */
	out8(m, 0x20, 0x0a);
	up = in8(m, 0x20) & 0x10;
	out8(m, 0x4d0, 0);
	return up;
}

START_TEST(registers_after_reset)
{
	ck_assert_uint_eq(in8(m, IIR), 0x01);
	ck_assert_uint_eq(in8(m, LSR), 0x60);
	ck_assert_uint_eq(in8(m, IER), 0);
	ck_assert_uint_eq(in8(m, MSR), 0xb0);
	out8(m, SCR, 0xa5);
	ck_assert_uint_eq(in8(m, SCR), 0xa5);
	out8(m, IER, 0xff);
	ck_assert_uint_eq(in8(m, IER), 0x0f);
	out8(m, MCR, 0xff);
	ck_assert_uint_eq(in8(m, MCR), 0x1f);
}
END_TEST

START_TEST(divisor_latch_hides_data_and_ier)
{
	out8(m, IER, 0x05);
	out8(m, LCR, 0x83);
	out8(m, RBR, 0x34);
	out8(m, IER, 0x12);
	ck_assert_uint_eq(in8(m, RBR), 0x34);
	ck_assert_uint_eq(in8(m, IER), 0x12);
	out8(m, LCR, 0x03);
	ck_assert_uint_eq(in8(m, IER), 0x05);
	ck_assert_uint_eq(ring_count(&m->serial[0].tx), 0);	/* none of it was sent */
}
END_TEST

START_TEST(output_reaches_the_ring_at_once)
{
	out8(m, RBR, 'h');
	out8(m, RBR, 'i');
	ck_assert_int_eq(ring_get(&m->serial[0].tx), 'h');
	ck_assert_int_eq(ring_get(&m->serial[0].tx), 'i');
	ck_assert_uint_eq(in8(m, LSR), 0x60);
}
END_TEST

START_TEST(input_without_fifo_comes_one_by_one)
{
	out8(m, MCR, 0x0b);
	out8(m, IER, 0x01);
	input("ab");
	ck_assert_uint_eq(in8(m, IIR), 0x04);
	ck_assert_uint_eq(in8(m, LSR) & 1, 1);
	ck_assert_uint_eq(in8(m, RBR), 'a');
	ck_assert_uint_eq(in8(m, IIR), 0x04);
	ck_assert_uint_eq(in8(m, RBR), 'b');
	ck_assert_uint_eq(in8(m, LSR) & 1, 0);
	ck_assert_uint_eq(in8(m, IIR), 0x01);
}
END_TEST

START_TEST(trigger_level_and_timeout)
{
	fifos(0x80);			/* 8 */
	out8(m, LCR, 0x83);
	out8(m, RBR, 1);		/* 115200: 4 characters are 347 us */
	out8(m, IER, 0);
	out8(m, LCR, 0x03);
	out8(m, IER, 0x01);
	input("1234567");
	ck_assert_uint_eq(in8(m, IIR), 0xcc);	/* from the host there is no more to wait for */
	ck_assert(irq4());
	ck_assert_uint_eq(in8(m, RBR), '1');	/* a read ends the timeout, and starts it anew */
	ck_assert_uint_eq(in8(m, IIR), 0xc1);
	ck_assert(!irq4());
	run(m, 300 * US);
	ck_assert_uint_eq(in8(m, IIR), 0xc1);
	run(m, 100 * US);
	ck_assert_uint_eq(in8(m, IIR), 0xcc);
	input("89");
	ck_assert_uint_eq(in8(m, IIR), 0xc4);
	ck_assert_uint_eq(in8(m, RBR), '2');
	ck_assert_uint_eq(in8(m, IIR), 0xc1);
}
END_TEST

START_TEST(more_than_the_fifo_waits_in_the_ring)
{
	fifos(0xc0);
	input("0123456789abcdefghijklmnopqrstuvwxyz");
	ck_assert_uint_eq(ring_count(&m->serial[0].rx), 20);
	for (const char *p = "0123456789abcdefghijklmnopqrstuvwxyz"; *p; p++) {
		ck_assert_uint_eq(in8(m, LSR) & 0x9f, 1);
		ck_assert_uint_eq(in8(m, RBR), (u8)*p);
	}
	ck_assert_uint_eq(in8(m, LSR) & 1, 0);
}
END_TEST

START_TEST(thre_interrupt_is_cleared_by_iir_and_by_thr)
{
	out8(m, MCR, 0x0b);
	out8(m, IER, 0x02);
	ck_assert_uint_eq(in8(m, IIR), 0x02);
	ck_assert_uint_eq(in8(m, IIR), 0x01);
	out8(m, IER, 0x00);
	out8(m, IER, 0x02);			/* enabling tells again */
	ck_assert(irq4());
	ck_assert_uint_eq(in8(m, IIR), 0x02);
	ck_assert(!irq4());
	out8(m, RBR, 'x');			/* gone at once: empty again */
	ck_assert_uint_eq(in8(m, IIR), 0x02);
}
END_TEST

START_TEST(priorities)
{
	fifos(0x00);
	out8(m, MCR, 0x1b);			/* loopback changes the modem lines: delta bits */
	out8(m, IER, 0x0f);
	out8(m, LCR, 0x40);			/* a break comes back */
	out8(m, RBR, 'x');
	ck_assert_uint_eq(in8(m, IIR), 0xc6);
	ck_assert_uint_eq(in8(m, LSR) & 0x91, 0x91);
	ck_assert_uint_eq(in8(m, IIR), 0xc4);
	ck_assert_uint_eq(in8(m, RBR), 0);
	ck_assert_uint_eq(in8(m, RBR), 'x');
	ck_assert_uint_eq(in8(m, IIR), 0xc2);
	out8(m, MCR, 0x18);
	ck_assert_uint_eq(in8(m, IIR), 0xc0);
	ck_assert_uint_eq(in8(m, MSR) & 0x03, 0x03);
	ck_assert_uint_eq(in8(m, IIR), 0xc1);
}
END_TEST

START_TEST(loopback_lines_fifo_size_and_overrun)
{
	fifos(0x00);
	out8(m, MCR, 0x1a);
	ck_assert_uint_eq(in8(m, MSR) & 0xf0, 0x90);	/* Linux's presence test */
	out8(m, MCR, 0x14);
	ck_assert_uint_eq(in8(m, MSR) & 0xf0, 0x40);
	in8(m, MSR);
	out8(m, MCR, 0x10);
	ck_assert_uint_eq(in8(m, MSR) & 0x0f, 0x04);	/* the end of a ring */
	for (unsigned i = 0; i < 17; i++)
		out8(m, RBR, (u8)i);
	ck_assert_uint_eq(in8(m, LSR) & 0x03, 0x03);
	ck_assert_uint_eq(in8(m, LSR) & 0x03, 0x01);	/* told once */
	for (unsigned i = 0; i < 16; i++)
		ck_assert_uint_eq(in8(m, RBR), i);
	ck_assert_uint_eq(in8(m, LSR) & 0x01, 0);
	ck_assert_uint_eq(ring_count(&m->serial[0].tx), 0);
}
END_TEST

/* As in QEMU; xv6 never sets OUT2. */
START_TEST(modem_control_does_not_gate_the_interrupt)
{
	ck_assert(!irq4());
	out8(m, IER, 0x02);
	for (unsigned mcr = 0; mcr < 0x20; mcr++) {
		out8(m, MCR, (u8)mcr);
		ck_assert(irq4());
	}
}
END_TEST

START_TEST(a_full_host_holds_thre_back_and_loses_nothing)
{
	struct chardev *c = &m->serial[0];

	fifos(0x00);
	for (unsigned i = 0; i < CHAR_RING_SIZE; i++)
		out8(m, RBR, (u8)i);
	ck_assert_uint_eq(in8(m, LSR), 0x60);
	for (unsigned i = 0; i < 16; i++)
		out8(m, RBR, (u8)('a' + i));
	ck_assert_uint_eq(in8(m, LSR), 0);
	ck_assert_uint_eq(c->tx_blocked, 1);
	out8(m, IER, 0x02);
	ck_assert_uint_eq(in8(m, IIR), 0xc1);
	for (unsigned i = 0; i < 10; i++)
		ck_assert_int_eq(ring_get(&c->tx), (u8)i);
	c->tx_blocked = 0;
	c->tx_space(c->dev);
	ck_assert_uint_eq(in8(m, LSR), 0);		/* six still wait */
	ck_assert_uint_eq(c->tx_blocked, 1);
	for (unsigned i = 10; i < CHAR_RING_SIZE; i++)
		ck_assert_int_eq(ring_get(&c->tx), (u8)i);
	c->tx_blocked = 0;
	c->tx_space(c->dev);
	ck_assert_uint_eq(in8(m, LSR), 0x60);
	ck_assert_uint_eq(in8(m, IIR), 0xc2);
	for (unsigned i = 0; i < 16; i++)
		ck_assert_int_eq(ring_get(&c->tx), 'a' + (int)i);
	ck_assert_int_eq(ring_get(&c->tx), -1);
}
END_TEST

/* Linux counts rounds of its handler without a pause and then complains. */
START_TEST(the_handler_gets_a_pause)
{
	unsigned rounds = 0;

	fifos(0x00);
	out8(m, IER, 0x02);
	while (!(in8(m, IIR) & 1) && rounds < 1000) {
		out8(m, RBR, 'x');
		rounds++;
	}
	ck_assert_uint_ge(rounds, 16);
	ck_assert_uint_lt(rounds, 200);
	run(m, 50 * US);
	ck_assert_uint_eq(in8(m, IIR), 0xc2);
}
END_TEST

START_TEST(clearing_the_fifos)
{
	fifos(0x00);
	input("abc");
	out8(m, IIR, 0x03);
	ck_assert_uint_eq(in8(m, LSR) & 1, 0);
	input("d");
	ck_assert_uint_eq(in8(m, IIR) & 0xc0, 0xc0);
	out8(m, IIR, 0x00);
	ck_assert_uint_eq(in8(m, IIR) & 0xc0, 0);
	ck_assert_uint_eq(in8(m, LSR) & 1, 0);
}
END_TEST

START_TEST(wide_access_is_two_registers)
{
	out16(m, COM1 + 6, 0x5a00);
	ck_assert_uint_eq(in8(m, SCR), 0x5a);
}
END_TEST

START_TEST(debug_console_and_exit)
{
	ck_assert_uint_eq(in8(m, 0xe9), 0xe9);
	out8(m, 0xe9, '!');
	ck_assert_int_eq(ring_get(&m->debugcon.tx), '!');
	out8(m, 0xf4, 0x21);
	ck_assert_uint_eq(m->events[MACHINE_DEBUG_EXIT], 1);
	ck_assert_int_eq(m->code, 0x43);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("io: uart");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, registers_after_reset);
	tcase_add_test(t, divisor_latch_hides_data_and_ier);
	tcase_add_test(t, output_reaches_the_ring_at_once);
	tcase_add_test(t, input_without_fifo_comes_one_by_one);
	tcase_add_test(t, trigger_level_and_timeout);
	tcase_add_test(t, more_than_the_fifo_waits_in_the_ring);
	tcase_add_test(t, thre_interrupt_is_cleared_by_iir_and_by_thr);
	tcase_add_test(t, priorities);
	tcase_add_test(t, loopback_lines_fifo_size_and_overrun);
	tcase_add_test(t, modem_control_does_not_gate_the_interrupt);
	tcase_add_test(t, a_full_host_holds_thre_back_and_loses_nothing);
	tcase_add_test(t, the_handler_gets_a_pause);
	tcase_add_test(t, clearing_the_fifos);
	tcase_add_test(t, wide_access_is_two_registers);
	tcase_add_test(t, debug_console_and_exit);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
