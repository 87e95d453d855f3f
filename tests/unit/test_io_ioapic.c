/* io/ioapic.c alone on a bus: what each kind of entry sends, and when. */
#include "tests/unit/io_machine.h"

#include "io/ioapic.h"
#include "io/lapic.h"

#define LEVEL   BIT(15)
#define MASKED  BIT(16)
#define REMOTE  BIT(14)
#define LOGICAL BIT(11)

static struct machine *m;
static struct ioapic chip;
static unsigned sent;
static struct { u8 dest, vector; bool logical, level; unsigned mode; } last;

static void deliver(void *o, u8 dest, bool logical, unsigned mode, u8 vector, bool level)
{
	sent++;
	last.dest = dest; last.logical = logical; last.mode = mode;
	last.vector = vector; last.level = level;
}

static void setup(void)
{
	const struct ioapic_hooks h = { NULL, deliver };

	m = machine_alloc();
	m->bus = calloc(1, sizeof *m->bus);
	bus_init(m->bus, &m->clock, &m->phys);
	ioapic_init(&chip, m->bus, &h);
	sent = 0;
}

static void teardown(void)
{
	free(m->bus);
	m->bus = NULL;
	machine_free(m);
}

static void pulse(unsigned n)
{
	ioapic_set(&chip, n, true);
	ioapic_set(&chip, n, false);
}

START_TEST(power_on_state)
{
	ck_assert_uint_eq(ioapic_read(m, 1), 0x00170011);
	ck_assert_uint_eq(ioapic_read(m, 0), PC_IOAPIC_ID << 24);
	for (unsigned n = 0; n < IOAPIC_INPUTS; n++) {
		ck_assert_uint_eq(ioapic_read(m, (u8)(0x10 + 2 * n)), MASKED);
		pulse(n);
	}
	ck_assert_uint_eq(sent, 0);
	ioapic_write(m, 0, 0xff000000);
	ck_assert_uint_eq(ioapic_read(m, 0), 0x0f000000);	/* 4 bits */
	ck_assert_uint_eq(ioapic_read(m, 2), 0x0f000000);
}
END_TEST

START_TEST(an_edge_is_one_message)
{
	route(m, 4, 0x34 | LOGICAL | LAPIC_LOWEST << 8, 0x0c);
	ioapic_set(&chip, 4, true);
	ck_assert_uint_eq(sent, 1);
	ck_assert(last.dest == 0x0c && last.logical && last.mode == LAPIC_LOWEST && last.vector == 0x34 && !last.level);
	ioapic_set(&chip, 4, true);			/* still high: no edge */
	ioapic_eoi(&chip, 0x34);			/* none is awaited */
	ck_assert_uint_eq(sent, 1);
	ioapic_set(&chip, 4, false);
	ck_assert_uint_eq(sent, 1);
	pulse(4);
	ck_assert_uint_eq(sent, 2);
}
END_TEST

START_TEST(an_edge_while_masked_is_lost)
{
	route(m, 4, 0x34 | MASKED, 0);
	pulse(4);
	ioapic_set(&chip, 4, true);
	ioapic_write(m, 0x18, 0x34);
	ck_assert_uint_eq(sent, 0);
}
END_TEST

START_TEST(a_level_repeats_until_it_drops)
{
	route(m, 10, 0x5a | LEVEL, 1);
	ioapic_set(&chip, 10, true);
	ck_assert_uint_eq(sent, 1);
	ck_assert(last.level && last.dest == 1 && !last.logical);
	ck_assert_uint_eq(ioapic_read(m, 0x24), 0x5a | LEVEL | REMOTE);
	ioapic_set(&chip, 10, false);			/* being served: nothing is sent anew */
	ioapic_set(&chip, 10, true);
	ck_assert_uint_eq(sent, 1);
	ioapic_eoi(&chip, 0x5b);			/* another vector's */
	ck_assert_uint_eq(sent, 1);
	ioapic_eoi(&chip, 0x5a);			/* still asserted */
	ck_assert_uint_eq(sent, 2);
	ioapic_set(&chip, 10, false);
	ioapic_eoi(&chip, 0x5a);
	ck_assert_uint_eq(sent, 2);
	ck_assert_uint_eq(ioapic_read(m, 0x24), 0x5a | LEVEL);
}
END_TEST

START_TEST(a_level_waits_behind_its_mask)
{
	route(m, 10, 0x5a | LEVEL | MASKED, 1);
	ioapic_set(&chip, 10, true);
	ck_assert_uint_eq(sent, 0);
	ioapic_write(m, 0x24, 0x5a | LEVEL);
	ck_assert_uint_eq(sent, 1);
	/* Masked while in service: the EOI is noted, the input held back. */
	ioapic_write(m, 0x24, 0x5a | LEVEL | MASKED);
	ck_assert_uint_eq(ioapic_read(m, 0x24), 0x5a | LEVEL | MASKED | REMOTE);
	ioapic_eoi(&chip, 0x5a);
	ck_assert_uint_eq(sent, 1);
	ioapic_write(m, 0x24, 0x5a | LEVEL);
	ck_assert_uint_eq(sent, 2);
}
END_TEST

START_TEST(remote_irr_is_read_only_but_edge_mode_clears_it)
{
	route(m, 10, 0x5a | LEVEL | REMOTE | BIT(12), 1);
	ck_assert_uint_eq(ioapic_read(m, 0x24), 0x5a | LEVEL);
	ioapic_set(&chip, 10, true);
	ioapic_write(m, 0x24, 0x5a | LEVEL);		/* without the bit: it stays */
	ck_assert_uint_eq(ioapic_read(m, 0x24), 0x5a | LEVEL | REMOTE);
	ck_assert_uint_eq(sent, 1);
	ioapic_write(m, 0x24, 0x5a | MASKED);		/* Linux: edge and back */
	ioapic_write(m, 0x24, 0x5a | LEVEL);
	ck_assert_uint_eq(sent, 2);
}
END_TEST

START_TEST(one_vector_two_inputs)
{
	route(m, 10, 0x5a | LEVEL, 1);
	route(m, 11, 0x5a | LEVEL, 1);
	ioapic_set(&chip, 10, true);
	ioapic_set(&chip, 11, true);
	ck_assert_uint_eq(sent, 2);
	ioapic_set(&chip, 10, false);
	ioapic_eoi(&chip, 0x5a);
	ck_assert_uint_eq(sent, 3);
}
END_TEST

START_TEST(polarity_is_only_stored)
{
	route(m, 10, 0x5a | LEVEL | BIT(13), 1);
	ck_assert_uint_eq(ioapic_read(m, 0x24), 0x5a | LEVEL | BIT(13));
	ck_assert_uint_eq(sent, 0);
	ioapic_set(&chip, 10, true);
	ck_assert_uint_eq(sent, 1);
}
END_TEST

START_TEST(nmi_ends_in_no_eoi)
{
	route(m, 2, 0x00 | LAPIC_NMI << 8 | LEVEL, 0xff);
	pulse(2);
	pulse(2);
	ck_assert_uint_eq(sent, 2);
	ck_assert(last.mode == LAPIC_NMI && !last.level);
	ck_assert(!(ioapic_read(m, 0x14) & REMOTE));
}
END_TEST

START_TEST(numbers_out_of_range)
{
	ioapic_set(&chip, 24, true);
	ioapic_set(&chip, ~0u, true);
	for (unsigned reg = 0; reg < 256; reg++) {
		ioapic_write(m, (u8)reg, MASKED);
		ioapic_read(m, (u8)reg);
	}
	for (u64 off = 0; off < PAGE_SIZE; off++) {
		bus_mmio_write(m->bus, 0, PC_IOAPIC_BASE + off, 2, 0xffff);
		bus_mmio_read(m->bus, 0, PC_IOAPIC_BASE + off, 8);
	}
	ck_assert_uint_eq(sent, 0);
	ck_assert_uint_eq(ioapic_read(m, 0x40), ~0u);	/* after the last entry */
	ck_assert_uint_eq(ioapic_read(m, 0x0f), ~0u);
}
END_TEST

START_TEST(reset_masks_but_inputs_are_the_devices)
{
	route(m, 10, 0x5a | LEVEL, 1);
	ioapic_set(&chip, 10, true);
	ioapic_reset(&chip);
	ck_assert_uint_eq(ioapic_read(m, 0x24), MASKED);
	route(m, 10, 0x5a | LEVEL, 1);
	ck_assert_uint_eq(sent, 2);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ioapic");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, power_on_state);
	tcase_add_test(t, an_edge_is_one_message);
	tcase_add_test(t, an_edge_while_masked_is_lost);
	tcase_add_test(t, a_level_repeats_until_it_drops);
	tcase_add_test(t, a_level_waits_behind_its_mask);
	tcase_add_test(t, remote_irr_is_read_only_but_edge_mode_clears_it);
	tcase_add_test(t, one_vector_two_inputs);
	tcase_add_test(t, polarity_is_only_stored);
	tcase_add_test(t, nmi_ends_in_no_eoi);
	tcase_add_test(t, numbers_out_of_range);
	tcase_add_test(t, reset_masks_but_inputs_are_the_devices);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
