/* io/acpi_pm.c: power off, the power button, the timer's exactness and its carry. */
#include "tests/unit/io_machine.h"

#include "io/acpi_pm.h"

#define STS PC_ACPI_PM1A_EVT
#define EN  (PC_ACPI_PM1A_EVT + 2)
#define CNT PC_ACPI_PM1A_CNT
#define TMR PC_ACPI_PM_TMR
#define PWRBTN 0x100
#define TMR_BIT 0x001

static struct machine *m;
static struct acpi_pm pm;
static bool sci;
static unsigned offs;

static void on_sci(void *chip, unsigned n, bool level) { sci = level; }
static void on_off(void *o) { offs++; }

static void setup(void)
{
	m = machine_alloc();
	m->bus = calloc(1, sizeof *m->bus);
	bus_init(m->bus, &m->clock, &m->phys);
	ck_assert_int_eq(acpi_pm_init(&pm, m->bus, (struct irq_line){ on_sci, NULL, 9 }, on_off, NULL), 0);
	sci = false;
	offs = 0;
}

static void teardown(void)
{
	free(m->bus);
	m->bus = NULL;
	machine_free(m);
}

START_TEST(acpi_mode_is_always_on)
{
	ck_assert_uint_eq(in16(m, CNT), 1);
	out16(m, CNT, 0);
	ck_assert_uint_eq(in16(m, CNT), 1);
	out16(m, CNT, 0x1400);				/* a type without the go-ahead */
	ck_assert_uint_eq(in16(m, CNT), 0x1401);
	ck_assert_uint_eq(offs, 0);
}
END_TEST

START_TEST(only_s5_powers_off)
{
	for (u16 type = 0; type < 8; type++) {
		out16(m, CNT, (u16)(type << 10 | 0x2000));
		ck_assert_uint_eq(offs, type >= 5 ? 1 : 0);
	}
	ck_assert_uint_eq(in16(m, CNT) & 0x2000, 0);	/* write-only */
	out8(m, CNT + 1, 0x34);				/* by bytes */
	ck_assert_uint_eq(offs, 2);
}
END_TEST

START_TEST(power_button)
{
	acpi_pm_power_button(&pm);
	ck_assert(!sci);				/* not enabled yet */
	ck_assert_uint_eq(in16(m, STS), PWRBTN);
	out16(m, EN, 0xffff);
	ck_assert_uint_eq(in16(m, EN), 0x521);		/* what exists */
	ck_assert(sci);
	out16(m, STS, 0x001);				/* another bit's clear */
	ck_assert(sci);
	out16(m, STS, PWRBTN);
	ck_assert(!sci);
	ck_assert_uint_eq(in16(m, STS), 0);
	acpi_pm_power_button(&pm);
	ck_assert(sci);
	out16(m, EN, 0);
	ck_assert(!sci);
	/* Both registers in one access, as a 32-bit write does it. */
	out32(m, STS, (u32)PWRBTN << 16);
	ck_assert(sci && in32(m, STS) == ((u32)PWRBTN << 16 | PWRBTN));
	acpi_pm_reset(&pm);
	ck_assert(!sci && in32(m, STS) == 0);
}
END_TEST

START_TEST(the_timer_is_exact)
{
	/* 3579545 ticks a second, wrapping at 24 bits, for as long as the test clock can tell. */
	static const u64 seconds[] = { 0, 1, 2, 4, 5, 100, 3600, 17000 };

	for (unsigned i = 0; i < ARRAY_SIZE(seconds); i++) {
		set_time(m, seconds[i] * SEC);
		ck_assert_uint_eq(in32(m, TMR), seconds[i] * 3579545 & 0xffffff);
		set_time(m, seconds[i] * SEC + SEC / 2);
		ck_assert_uint_eq(in32(m, TMR), (seconds[i] * 3579545 + 3579545 / 2) & 0xffffff);
	}
	set_time(m, 279);				/* a tick takes 279.4 ns */
	ck_assert_uint_eq(in32(m, TMR), 0);
	set_time(m, 280);
	ck_assert_uint_eq(in32(m, TMR), 1);
	out32(m, TMR, 0x123456);
	ck_assert_uint_eq(in32(m, TMR), 1);
}
END_TEST

START_TEST(the_carry_is_reported)
{
	u64 half = (0x800000ull * SEC + 3579544) / 3579545;	/* 2.34 s */

	set_time(m, half - 1);
	ck_assert_uint_eq(in16(m, STS), 0);
	ck_assert_uint_eq(in32(m, TMR), 0x7fffff);
	set_time(m, half);
	ck_assert_uint_eq(in32(m, TMR), 0x800000);
	ck_assert_uint_eq(in16(m, STS), TMR_BIT);
	out16(m, STS, TMR_BIT);
	ck_assert_uint_eq(in16(m, STS), 0);
	ck_assert_uint_eq(m->bus->next_deadline, TIMER_NEVER);	/* nobody asked to be interrupted */
	out16(m, EN, TMR_BIT);
	run(m, half - 2);
	ck_assert(!sci);
	run(m, 4);
	ck_assert(sci);
	ck_assert_uint_eq(in32(m, TMR), 0);
	out16(m, STS, TMR_BIT);
	ck_assert(!sci);
	run(m, half);
	ck_assert(sci);
}
END_TEST

START_TEST(odd_accesses)
{
	for (u16 port = STS; port < STS + 12; port++)
		for (unsigned size = 1; size <= 4; size *= 2) {
			bus_pio_read(m->bus, port, size);
			if (port >= TMR)
				bus_pio_write(m->bus, port, size, ~0u);
		}
	ck_assert_uint_eq(in8(m, CNT), 1);
	ck_assert_uint_eq(in8(m, CNT + 1), 0);
	ck_assert_uint_eq(in32(m, CNT), 1);
	ck_assert_uint_eq(in32(m, STS + 11), 0);
	ck_assert_uint_eq(offs, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("acpi_pm");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, acpi_mode_is_always_on);
	tcase_add_test(t, only_s5_powers_off);
	tcase_add_test(t, power_button);
	tcase_add_test(t, the_timer_is_exact);
	tcase_add_test(t, the_carry_is_reported);
	tcase_add_test(t, odd_accesses);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
