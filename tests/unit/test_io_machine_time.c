/*
 * Time as a guest sees it: PIT, RTC, local APIC timer and ACPI timer on a
 * clock that moves only when told.  Written against io/pc.h and the manuals.
 */
#include "tests/unit/io_machine.h"

#define PIT_HZ 1193182ull
#define PM_HZ  3579545ull

enum { EOI = 0xb0, SVR = 0xf0, IRR = 0x200, LVT_TIMER = 0x320, LVT_LINT0 = 0x350, TMICT = 0x380, TMCCT = 0x390, TDCR = 0x3e0 };
enum { PERIODIC = 0x20000, DEADLINE = 0x40000, MASKED = 0x10000, MSR_DEADLINE = 0x6e0 };

/* ---- PIT ---- */

static void pit_program(struct machine *m, unsigned ch, u8 mode, u16 count)
{
	out8(m, 0x43, (u8)(ch << 6 | 0x30 | mode << 1));
	out8(m, (u16)(0x40 + ch), (u8)count);
	out8(m, (u16)(0x40 + ch), (u8)(count >> 8));
}

static u16 pit_read(struct machine *m, unsigned ch)
{
	u16 lo;

	out8(m, 0x43, (u8)(ch << 6));
	lo = in8(m, (u16)(0x40 + ch));
	return (u16)(lo | in8(m, (u16)(0x40 + ch)) << 8);
}

static u8 pit_status(struct machine *m, unsigned ch)
{
	out8(m, 0x43, (u8)(0xe0 | BIT(ch + 1)));
	return in8(m, (u16)(0x40 + ch));
}

/* Run to `end`, taking every IRQ 0; the number of them. */
static unsigned count_ticks(struct machine *m, u64 end)
{
	unsigned n = 0;

	while (now(m) < end) {
		u64 next = min_u64(m->bus->next_deadline, end);

		if (next > now(m))
			set_time(m, next);
		bus_run_timers(m->bus);
		while (ack(m, 0) == 0x30) {
			out8(m, 0x20, 0x20);
			n++;
		}
	}
	return n;
}

START_TEST(pit_does_not_drift)
{
	static const u16 counts[] = { 11932, 1193, 4773, 59659, 3 * 1193 + 1 };

	for (unsigned i = 0; i < ARRAY_SIZE(counts); i++)
		for (u8 mode = 2; mode <= 3; mode++) {
			struct machine *m = machine_new();
			u64 seconds = 20, start, want, got;

			pic_setup(m, 0x01, BIT(0));
			set_time(m, 123456789);
			pit_program(m, 0, mode, counts[i]);
			while (ack(m, 0) >= 0)
				out8(m, 0x20, 0x20);
			start = now(m);
			got = count_ticks(m, start + seconds * SEC);
			want = seconds * PIT_HZ / counts[i];
			ck_assert_msg(got == want || got + 1 == want, "count %u mode %u: %llu ticks, not %llu",
				      counts[i], mode, (unsigned long long)got, (unsigned long long)want);
			machine_free(m);
		}
}
END_TEST

START_TEST(pit_count_zero_is_65536)
{
	struct machine *m = machine_new();
	unsigned n;

	pic_setup(m, 0x01, BIT(0));
	pit_program(m, 0, 2, 0);
	n = count_ticks(m, now(m) + 100 * SEC);
	ck_assert_uint_ge(n, 1820);
	ck_assert_uint_le(n, 1822);
	machine_free(m);
}
END_TEST

START_TEST(pit_one_shot_fires_once)
{
	static const u8 modes[] = { 0, 4 };

	for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
		struct machine *m = machine_new();

		pic_setup(m, 0x01, BIT(0));
		out8(m, 0x43, (u8)(0x30 | modes[i] << 1));
		while (ack(m, 0) >= 0)
			out8(m, 0x20, 0x20);
		out8(m, 0x40, 0x9c);
		run(m, 20 * MS);
		ck_assert_int_eq(ack(m, 0), -1);	/* half a count does not count */
		out8(m, 0x40, 0x2e);			/* 11932 ticks: 10.0002 ms */
		run(m, 9990 * US);
		ck_assert_int_eq(ack(m, 0), -1);
		run(m, 20 * US);
		ck_assert_int_eq(ack(m, 0), 0x30);
		out8(m, 0x20, 0x20);
		ck_assert_uint_eq(count_ticks(m, now(m) + SEC), 0);
		machine_free(m);
	}
}
END_TEST

START_TEST(pit_counts_down)
{
	struct machine *m = machine_new();
	u16 v;

	set_time(m, SEC);
	pit_program(m, 0, 2, 0xffff);
	set_time(m, SEC + 10 * MS);
	v = pit_read(m, 0);
	ck_assert_uint_ge(v, 0xffff - 11933);
	ck_assert_uint_le(v, 0xffff - 11929);
	pit_program(m, 2, 0, 0xffff);
	out8(m, 0x61, 1);
	set_time(m, SEC + 20 * MS);
	v = pit_read(m, 2);
	ck_assert_uint_ge(v, 0xffff - 11934);
	ck_assert_uint_le(v, 0xffff - 11929);
	machine_free(m);
}
END_TEST

START_TEST(pit_latch_holds_until_read)
{
	struct machine *m = machine_new();
	u16 first, second;

	pit_program(m, 0, 2, 0xffff);
	set_time(m, 5 * MS);
	out8(m, 0x43, 0x00);
	set_time(m, 9 * MS);
	out8(m, 0x43, 0x00);		/* ignored: one is waiting */
	first = in8(m, 0x40);
	first = (u16)(first | in8(m, 0x40) << 8);
	second = pit_read(m, 0);
	ck_assert_uint_ge(first, 0xffff - 5967);
	ck_assert_uint_le(first, 0xffff - 5963);
	ck_assert_uint_lt(second, first - 4000);
	machine_free(m);
}
END_TEST

START_TEST(pit_read_back)
{
	struct machine *m = machine_new();

	out8(m, 0x43, 0x34);
	ck_assert_uint_eq(pit_status(m, 0), 0xf4);	/* OUT high, no count yet, both bytes, mode 2 */
	pit_program(m, 0, 2, 11932);
	set_time(m, MS);
	ck_assert_uint_eq(pit_status(m, 0), 0xb4);
	out8(m, 0x61, 1);
	pit_program(m, 2, 0, 1193);
	set_time(m, MS + 100 * US);
	ck_assert_uint_eq(pit_status(m, 2), 0x30);
	set_time(m, 3 * MS);
	ck_assert_uint_eq(pit_status(m, 2), 0xb0);
	/* Status and count of one channel in one command: status first. */
	out8(m, 0x43, 0xc2);
	ck_assert_uint_eq(in8(m, 0x40), 0xb4);
	in8(m, 0x40);
	in8(m, 0x40);
	machine_free(m);
}
END_TEST

START_TEST(pit_bcd)
{
	struct machine *m = machine_new();
	unsigned n;
	u16 v;

	pic_setup(m, 0x01, BIT(0));
	set_time(m, SEC);
	out8(m, 0x43, 0x35);
	out8(m, 0x40, 0x00);
	out8(m, 0x40, 0x10);		/* 1000 */
	while (ack(m, 0) >= 0)
		out8(m, 0x20, 0x20);
	n = count_ticks(m, 2 * SEC);
	ck_assert_uint_ge(n, 1192);
	ck_assert_uint_le(n, 1193);
	for (unsigned i = 0; i < 100; i++) {
		set_time(m, now(m) + 12345);
		v = pit_read(m, 0);
		ck_assert_msg((v & 15) < 10 && (v >> 4 & 15) < 10 && (v >> 8 & 15) < 10 && v <= 0x1000, "%x", v);
	}
	machine_free(m);
}
END_TEST

START_TEST(pit_channel_2_through_port_61)
{
	struct machine *m = machine_new();

	out8(m, 0x61, 0);
	pit_program(m, 2, 0, 59659);		/* 50 ms */
	set_time(m, 200 * MS);
	ck_assert_uint_eq(in8(m, 0x61) & 0x21, 0);	/* gate low: does not count */
	out8(m, 0x61, 1);
	set_time(m, 240 * MS);
	ck_assert_uint_eq(in8(m, 0x61) & 0x21, 1);
	out8(m, 0x61, 0);			/* holds what it has */
	set_time(m, 300 * MS);
	out8(m, 0x61, 1);
	set_time(m, 309 * MS);
	ck_assert_uint_eq(in8(m, 0x61) & 0x20, 0);
	set_time(m, 311 * MS);
	ck_assert_uint_eq(in8(m, 0x61) & 0x20, 0x20);
	machine_free(m);
}
END_TEST

/* Mode 1 on channel 2: the gate's rising edge starts a pulse, each time anew. */
START_TEST(pit_hardware_triggered_one_shot)
{
	struct machine *m = machine_new();

	out8(m, 0x61, 0);
	pit_program(m, 2, 1, 11932);
	set_time(m, 100 * MS);
	ck_assert_uint_eq(in8(m, 0x61) & 0x20, 0x20);
	out8(m, 0x61, 1);
	set_time(m, 105 * MS);
	ck_assert_uint_eq(in8(m, 0x61) & 0x20, 0);
	out8(m, 0x61, 0);
	set_time(m, 106 * MS);
	ck_assert_uint_eq(in8(m, 0x61) & 0x20, 0);
	out8(m, 0x61, 1);			/* retriggered */
	set_time(m, 115 * MS);
	ck_assert_uint_eq(in8(m, 0x61) & 0x20, 0);
	set_time(m, 117 * MS);
	ck_assert_uint_eq(in8(m, 0x61) & 0x20, 0x20);
	machine_free(m);
}
END_TEST

START_TEST(pit_square_wave)
{
	struct machine *m = machine_new();
	unsigned high = 0;

	out8(m, 0x61, 1);
	pit_program(m, 2, 3, 11932);
	for (unsigned i = 0; i < 1000; i++) {
		set_time(m, i * 99991);
		high += in8(m, 0x61) >> 5 & 1;
	}
	ck_assert_uint_ge(high, 480);
	ck_assert_uint_le(high, 520);
	machine_free(m);
}
END_TEST

START_TEST(refresh_bit_toggles)
{
	struct machine *m = machine_new();
	unsigned changes = 0;
	u8 last = in8(m, 0x61);

	for (unsigned i = 0; i < 1000; i++) {
		u8 v;

		set_time(m, i * US);
		v = in8(m, 0x61);
		changes += (v ^ last) >> 4 & 1;
		last = v;
	}
	ck_assert_uint_ge(changes, 60);		/* every 15 us */
	ck_assert_uint_le(changes, 70);
	machine_free(m);
}
END_TEST

START_TEST(pit_makes_up_for_a_short_stall)
{
	struct machine *m = machine_new();
	u64 start;
	unsigned n;

	pic_setup(m, 0x01, BIT(0));
	pit_program(m, 0, 2, 11932);
	while (ack(m, 0) >= 0)
		out8(m, 0x20, 0x20);
	start = now(m);
	n = count_ticks(m, start + 500 * MS);
	set_time(m, start + 600 * MS);		/* not run for 100 ms */
	n += count_ticks(m, start + SEC);
	ck_assert_uint_ge(n, 98);
	ck_assert_uint_le(n, 100);
	machine_free(m);
}
END_TEST

START_TEST(pit_does_not_flood_after_a_long_stall)
{
	struct machine *m = machine_new();
	u64 start;
	unsigned n;

	pic_setup(m, 0x01, BIT(0));
	pit_program(m, 0, 2, 1193);
	count_ticks(m, 100 * MS);
	set_time(m, 3600 * SEC);
	start = now(m);
	n = count_ticks(m, start + 10 * SEC);
	ck_assert_uint_ge(n, 10000);
	ck_assert_uint_le(n, 11000);		/* ten seconds' worth, and at most one more */
	machine_free(m);
}
END_TEST

START_TEST(absurd_periods_do_not_bury_the_host)
{
	static const u16 counts[] = { 1, 2, 3, 10 };

	for (unsigned i = 0; i < ARRAY_SIZE(counts); i++) {
		struct machine *m = machine_new();

		pic_setup(m, 0x01, BIT(0));
		pit_program(m, 0, 2, counts[i]);
		ck_assert_msg(run_until(m, now(m) + 100 * MS, 11000), "PIT count %u: more than 110 kHz", counts[i]);
		machine_free(m);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(counts); i++) {
		struct machine *m = machine_new();

		apic_write(m, 0, LVT_TIMER, PERIODIC | 0x40);
		apic_write(m, 0, TDCR, 0xb);
		apic_write(m, 0, TMICT, counts[i]);
		ck_assert_msg(run_until(m, now(m) + 100 * MS, 11000), "APIC count %u: more than 110 kHz", counts[i]);
		machine_free(m);
	}
}
END_TEST

/* ---- RTC ---- */

static u8 cmos(struct machine *m, u8 reg)
{
	out8(m, 0x70, reg);
	return in8(m, 0x71);
}

static void cmos_set(struct machine *m, u8 reg, u8 v)
{
	out8(m, 0x70, reg);
	out8(m, 0x71, v);
}

static void ck_time(struct machine *m, u32 date, u32 time)
{
	u32 d = (u32)cmos(m, 0x32) << 24 | (u32)cmos(m, 9) << 16 | (u32)cmos(m, 8) << 8 | cmos(m, 7);
	u32 t = (u32)cmos(m, 4) << 16 | (u32)cmos(m, 2) << 8 | cmos(m, 0);

	ck_assert_msg(d == date && t == time, "%08x %06x instead of %08x %06x", d, t, date, time);
}

static void set_clock(struct machine *m, u32 date, u32 time)
{
	u8 b = cmos(m, 0xb);

	cmos_set(m, 0xb, b | 0x80);
	cmos_set(m, 0x32, (u8)(date >> 24));
	cmos_set(m, 9, (u8)(date >> 16));
	cmos_set(m, 8, (u8)(date >> 8));
	cmos_set(m, 7, (u8)date);
	cmos_set(m, 4, (u8)(time >> 16));
	cmos_set(m, 2, (u8)(time >> 8));
	cmos_set(m, 0, (u8)time);
	cmos_set(m, 0xb, b & 0x7f);
}

START_TEST(rtc_shows_the_wall_clock)
{
	struct machine *m = machine_new();

	ck_time(m, 0x20231114, 0x221320);
	ck_assert_uint_eq(cmos(m, 6), 3);	/* Tuesday; Sunday is 1 */
	ck_assert_uint_eq(cmos(m, 0xd) & 0x80, 0x80);
	ck_assert_uint_eq(cmos(m, 0xb) & 0x06, 0x02);	/* BCD, 24 hours */
	ck_assert_uint_eq(cmos(m, 0xa) & 0x7f, 0x26);
	set_time(m, 3 * 3600 * SEC + 500 * MS);
	ck_time(m, 0x20231115, 0x011320);
	ck_assert_uint_eq(cmos(m, 6), 4);
	machine_free(m);
}
END_TEST

START_TEST(rtc_calendar)
{
	static const struct { u32 date, time, next_date, next_time; } cases[] = {
		{ 0x20240228, 0x235959, 0x20240229, 0x000000 },
		{ 0x20240229, 0x235959, 0x20240301, 0x000000 },
		{ 0x20230228, 0x235959, 0x20230301, 0x000000 },
		{ 0x20001231, 0x235959, 0x20010101, 0x000000 },
		{ 0x20000228, 0x235959, 0x20000229, 0x000000 },
		{ 0x19991231, 0x235959, 0x20000101, 0x000000 },
		{ 0x19700101, 0x000000, 0x19700101, 0x000001 },
		{ 0x20380119, 0x031407, 0x20380119, 0x031408 },
	};
	struct machine *m = machine_new();

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		set_clock(m, cases[i].date, cases[i].time);
		ck_time(m, cases[i].date, cases[i].time);
		set_time(m, now(m) + SEC + 10 * MS);
		ck_time(m, cases[i].next_date, cases[i].next_time);
	}
	machine_free(m);
}
END_TEST

START_TEST(rtc_set_holds_the_clock)
{
	struct machine *m = machine_new();

	cmos_set(m, 0xb, 0x82);
	set_time(m, 10 * SEC);
	ck_time(m, 0x20231114, 0x221320);
	ck_assert_uint_eq(cmos(m, 0xa) & 0x80, 0);
	cmos_set(m, 0xb, 0x02);
	set_time(m, 12 * SEC + 500 * MS);
	ck_assert_uint_ge(cmos(m, 0), 0x22);
	ck_assert_uint_le(cmos(m, 0), 0x23);
	machine_free(m);
}
END_TEST

START_TEST(rtc_binary_and_twelve_hours)
{
	struct machine *m = machine_new();

	cmos_set(m, 0xb, 0x06);
	ck_assert_uint_eq(cmos(m, 4), 22);
	ck_assert_uint_eq(cmos(m, 2), 13);
	ck_assert_uint_eq(cmos(m, 9), 23);
	cmos_set(m, 0xb, 0x00);
	ck_assert_uint_eq(cmos(m, 4), 0x90);	/* 10 pm */
	set_time(m, 2 * 3600 * SEC);
	ck_assert_uint_eq(cmos(m, 4), 0x12);	/* midnight is 12 am */
	set_clock(m, 0x20231115, 0x115959);
	ck_assert_uint_eq(cmos(m, 4), 0x11);
	set_time(m, now(m) + SEC + 10 * MS);
	ck_assert_uint_eq(cmos(m, 4), 0x92);	/* noon is 12 pm */
	machine_free(m);
}
END_TEST

START_TEST(rtc_update_in_progress)
{
	struct machine *m = machine_new();
	unsigned busy = 0;
	u8 before;

	/* Once a second, and no change of the time while it is clear for 244 us to come. */
	for (u64 t = 0; t < 2 * SEC; t += 100 * US) {
		set_time(m, t);
		busy += cmos(m, 0xa) >> 7;
	}
	ck_assert_uint_ge(busy, 4);
	ck_assert_uint_le(busy, 60);
	for (u64 t = 2 * SEC; t < 4 * SEC; t += 100 * US) {
		set_time(m, t);
		if (cmos(m, 0xa) & 0x80)
			continue;
		before = cmos(m, 0);
		set_time(m, t + 240 * US);
		ck_assert_uint_eq(cmos(m, 0), before);
	}
	machine_free(m);
}
END_TEST

static unsigned rtc_interrupts(struct machine *m, u64 ns, u8 *flags)
{
	u64 end = now(m) + ns;
	unsigned n = 0;

	*flags = 0;
	while (now(m) < end) {
		u64 next = min_u64(m->bus->next_deadline, end);

		if (next > now(m))
			set_time(m, next);
		bus_run_timers(m->bus);
		while (ack(m, 0) == 0x38) {
			*flags |= cmos(m, 0xc);
			out8(m, 0xa0, 0x20);
			out8(m, 0x20, 0x20);
			n++;
		}
	}
	return n;
}

START_TEST(rtc_periodic_interrupt)
{
	struct machine *m = machine_new();
	unsigned n;
	u8 flags;

	pic_setup(m, 0x01, BIT(8));
	cmos(m, 0xc);
	cmos_set(m, 0xb, 0x42);
	n = rtc_interrupts(m, 10 * SEC, &flags);
	ck_assert_uint_ge(n, 10239);
	ck_assert_uint_le(n, 10241);
	ck_assert_uint_eq(flags & 0xc0, 0xc0);
	cmos_set(m, 0xa, 0x2f);			/* 2 Hz */
	n = rtc_interrupts(m, 10 * SEC, &flags);
	ck_assert_uint_ge(n, 19);
	ck_assert_uint_le(n, 21);
	cmos_set(m, 0xa, 0x20);
	ck_assert_uint_le(rtc_interrupts(m, SEC, &flags), 1);
	machine_free(m);
}
END_TEST

START_TEST(rtc_needs_register_c_read)
{
	struct machine *m = machine_new();

	pic_setup(m, 0x01, BIT(8));
	cmos(m, 0xc);
	cmos_set(m, 0xb, 0x42);
	run(m, 100 * MS);
	ck_assert_int_eq(ack(m, 0), 0x38);
	out8(m, 0xa0, 0x20);
	out8(m, 0x20, 0x20);
	run(m, 100 * MS);
	ck_assert_int_eq(ack(m, 0), -1);	/* the line never fell */
	ck_assert_uint_eq(cmos(m, 0xc) & 0xc0, 0xc0);
	ck_assert_uint_eq(cmos(m, 0xc) & 0xc0, 0);
	run(m, 10 * MS);
	ck_assert_int_eq(ack(m, 0), 0x38);
	machine_free(m);
}
END_TEST

START_TEST(rtc_update_ended_interrupt)
{
	struct machine *m = machine_new();
	unsigned n;
	u8 flags;

	pic_setup(m, 0x01, BIT(8));
	cmos(m, 0xc);
	cmos_set(m, 0xb, 0x12);
	n = rtc_interrupts(m, 10 * SEC + 100 * MS, &flags);
	ck_assert_uint_eq(n, 10);
	ck_assert_uint_eq(flags & 0xd0, 0x90 | (flags & 0x40));
	machine_free(m);
}
END_TEST

START_TEST(rtc_alarm)
{
	struct machine *m = machine_new();
	u8 flags;

	pic_setup(m, 0x01, BIT(8));
	cmos_set(m, 5, 0x22);			/* 22:14:05 */
	cmos_set(m, 3, 0x14);
	cmos_set(m, 1, 0x05);
	cmos(m, 0xc);
	cmos_set(m, 0xb, 0x22);
	ck_assert_uint_eq(rtc_interrupts(m, 44 * SEC, &flags), 0);
	ck_assert_uint_eq(rtc_interrupts(m, 2 * SEC, &flags), 1);
	ck_assert_uint_eq(flags & 0xa0, 0xa0);
	ck_assert_uint_eq(rtc_interrupts(m, 3600 * SEC, &flags), 0);
	cmos_set(m, 5, 0xff);			/* every hour */
	ck_assert_uint_eq(rtc_interrupts(m, 3 * 3600 * SEC, &flags), 3);
	cmos_set(m, 3, 0xc0);			/* every minute */
	ck_assert_uint_eq(rtc_interrupts(m, 600 * SEC, &flags), 10);
	machine_free(m);
}
END_TEST

START_TEST(rtc_alarm_survives_a_stall)
{
	struct machine *m = machine_new();

	pic_setup(m, 0x01, BIT(8));
	cmos_set(m, 5, 0x22);
	cmos_set(m, 3, 0x14);
	cmos_set(m, 1, 0x05);
	cmos(m, 0xc);
	cmos_set(m, 0xb, 0x22);
	jump(m, 100 * SEC);
	ck_assert_int_eq(ack(m, 0), 0x38);
	ck_assert_uint_eq(cmos(m, 0xc) & 0xa0, 0xa0);
	machine_free(m);
}
END_TEST

START_TEST(cmos_is_memory)
{
	struct machine *m = machine_new();

	for (u8 i = 0x40; i < 0x80; i++)
		cmos_set(m, i, (u8)(i * 3));
	for (u8 i = 0x40; i < 0x80; i++)
		ck_assert_uint_eq(cmos(m, i | 0x80), (u8)(i * 3));	/* bit 7 is the NMI mask */
	machine_free(m);
}
END_TEST

/* ---- local APIC timer ---- */

static unsigned apic_ticks(struct machine *m, unsigned cpu, int vector, u64 ns)
{
	u64 end = now(m) + ns;
	unsigned n = 0;

	while (now(m) < end) {
		u64 next = min_u64(m->bus->next_deadline, end);

		if (next > now(m))
			set_time(m, next);
		bus_run_timers(m->bus);
		while (ack(m, cpu) == vector) {
			apic_write(m, cpu, EOI, 0);
			n++;
		}
	}
	return n;
}

START_TEST(apic_timer_one_shot_and_divider)
{
	static const struct { u8 code; unsigned by; } dividers[] = {
		{ 0, 2 }, { 1, 4 }, { 2, 8 }, { 3, 16 }, { 8, 32 }, { 9, 64 }, { 10, 128 }, { 11, 1 },
	};
	struct machine *m = machine_new();

	for (unsigned i = 0; i < ARRAY_SIZE(dividers); i++) {
		u32 count = 10 * MS / dividers[i].by, v;

		apic_write(m, 0, LVT_TIMER, 0x40);
		apic_write(m, 0, TDCR, dividers[i].code);
		apic_write(m, 0, TMICT, count);
		ck_assert_uint_eq(apic_read(m, 0, TMICT), count);
		run(m, 4 * MS);
		v = apic_read(m, 0, TMCCT);
		ck_assert_uint_ge(v, count * 6 / 10 - 2);
		ck_assert_uint_le(v, count * 6 / 10 + 2);
		ck_assert_uint_eq(apic_ticks(m, 0, 0x40, 5990 * US), 0);
		ck_assert_uint_eq(apic_ticks(m, 0, 0x40, 20 * US), 1);
		ck_assert_uint_eq(apic_read(m, 0, TMCCT), 0);
		ck_assert_uint_eq(apic_ticks(m, 0, 0x40, SEC), 0);
	}
	machine_free(m);
}
END_TEST

START_TEST(apic_timer_periodic_does_not_drift)
{
	struct machine *m = machine_new();
	unsigned n;

	apic_write(m, 0, TDCR, 3);
	apic_write(m, 0, LVT_TIMER, PERIODIC | 0x40);
	apic_write(m, 0, TMICT, 62501);		/* 1000016 ns */
	n = apic_ticks(m, 0, 0x40, 20 * SEC);
	ck_assert_uint_ge(n, 19999);
	ck_assert_uint_le(n, 20000);
	jump(m, 100 * SEC);			/* a stall is not a flood */
	ck_assert_uint_le(apic_ticks(m, 0, 0x40, SEC), 1252);
	apic_write(m, 0, TMICT, 0);
	ck_assert_uint_le(apic_ticks(m, 0, 0x40, SEC), 1);
	machine_free(m);
}
END_TEST

START_TEST(apic_timer_masked_counts_silently)
{
	struct machine *m = machine_new();

	apic_write(m, 0, TDCR, 0xb);
	apic_write(m, 0, LVT_TIMER, MASKED | PERIODIC | 0x40);
	apic_write(m, 0, TMICT, MS);
	ck_assert_uint_eq(apic_ticks(m, 0, 0x40, 10 * MS + 300 * US), 0);
	ck_assert_uint_ge(apic_read(m, 0, TMCCT), 690 * US);
	ck_assert_uint_le(apic_read(m, 0, TMCCT), 710 * US);
	apic_write(m, 0, LVT_TIMER, PERIODIC | 0x40);
	ck_assert_uint_eq(apic_ticks(m, 0, 0x40, 10 * MS), 10);
	machine_free(m);
}
END_TEST

/* An expiry that is due when the guest touches the timer has happened already. */
START_TEST(apic_timer_expiry_is_not_lost_to_a_write)
{
	struct machine *m = machine_new();

	apic_write(m, 0, TDCR, 0xb);
	apic_write(m, 0, LVT_TIMER, 0x40);
	apic_write(m, 0, TMICT, MS);
	set_time(m, now(m) + 2 * MS);		/* the executor has not looked yet */
	apic_write(m, 0, LVT_TIMER, 0x40);
	bus_run_timers(m->bus);
	ck_assert_int_eq(ack(m, 0), 0x40);
	machine_free(m);
}
END_TEST

START_TEST(apic_timer_tsc_deadline)
{
	struct machine *m = machine_new();
	u64 v = 1, t;

	ck_assert(pc_msr_write(m->pc, 0, MSR_DEADLINE, tsc_of(m, MS)));
	ck_assert(pc_msr_read(m->pc, 0, MSR_DEADLINE, &v));
	ck_assert_uint_eq(v, 0);		/* not in this mode */
	apic_write(m, 0, LVT_TIMER, DEADLINE | 0x40);
	t = tsc_of(m, 5 * MS);
	ck_assert(pc_msr_write(m->pc, 0, MSR_DEADLINE, t));
	ck_assert(pc_msr_read(m->pc, 0, MSR_DEADLINE, &v));
	ck_assert_uint_eq(v, t);
	ck_assert_uint_eq(apic_read(m, 0, TMCCT), 0);
	ck_assert_uint_eq(apic_ticks(m, 0, 0x40, 4990 * US), 0);
	ck_assert_uint_eq(apic_ticks(m, 0, 0x40, 20 * US), 1);
	ck_assert(pc_msr_read(m->pc, 0, MSR_DEADLINE, &v));
	ck_assert_uint_eq(v, 0);
	/* In the past: at once.  Zero: disarms.  Far away: never. */
	ck_assert(pc_msr_write(m->pc, 0, MSR_DEADLINE, tsc_of(m, MS)));
	ck_assert_uint_eq(apic_ticks(m, 0, 0x40, US), 1);
	ck_assert(pc_msr_write(m->pc, 0, MSR_DEADLINE, tsc_of(m, now(m) + MS)));
	ck_assert(pc_msr_write(m->pc, 0, MSR_DEADLINE, 0));
	ck_assert_uint_eq(apic_ticks(m, 0, 0x40, 10 * MS), 0);
	ck_assert(pc_msr_write(m->pc, 0, MSR_DEADLINE, ~0ull));
	ck_assert_uint_eq(apic_ticks(m, 0, 0x40, 10 * SEC), 0);
	/* Leaving the mode disarms. */
	ck_assert(pc_msr_write(m->pc, 0, MSR_DEADLINE, tsc_of(m, now(m) + MS)));
	apic_write(m, 0, LVT_TIMER, 0x40);
	ck_assert_uint_eq(apic_ticks(m, 0, 0x40, 10 * MS), 0);
	machine_free(m);
}
END_TEST

START_TEST(apic_timers_are_per_cpu)
{
	struct machine *m = machine_new();

	for (unsigned cpu = 0; cpu < TEST_CPUS; cpu++) {
		apic_write(m, cpu, SVR, 0x1ff);
		apic_write(m, cpu, TDCR, 0xb);
		apic_write(m, cpu, LVT_TIMER, 0x40 + cpu);
		apic_write(m, cpu, TMICT, (u32)((cpu + 1) * MS));
	}
	for (unsigned cpu = 0; cpu < TEST_CPUS; cpu++) {
		run(m, MS + (cpu ? 0 : 10 * US));
		for (unsigned i = 0; i < TEST_CPUS; i++)
			ck_assert(pending(m, i) == (i <= cpu));
	}
	machine_free(m);
}
END_TEST

/* ---- ACPI timer ---- */

START_TEST(pm_timer_rate)
{
	struct machine *m = machine_new();
	u32 a, b;

	set_time(m, SEC);
	a = in32(m, PC_ACPI_PM_TMR) & 0xffffff;
	set_time(m, 3 * SEC);
	b = in32(m, PC_ACPI_PM_TMR) & 0xffffff;
	a = (b - a) & 0xffffff;
	ck_assert_uint_ge(a, 2 * PM_HZ - 1);
	ck_assert_uint_le(a, 2 * PM_HZ + 1);
	machine_free(m);
}
END_TEST

START_TEST(pm_timer_never_goes_back)
{
	struct machine *m = machine_new();
	u32 last = in32(m, PC_ACPI_PM_TMR) & 0xffffff;

	for (u64 t = 0; t < 10 * SEC; t += 7777777) {
		u32 v;

		set_time(m, t);
		v = in32(m, PC_ACPI_PM_TMR) & 0xffffff;
		ck_assert_uint_lt((v - last) & 0xffffff, 0x800000);
		last = v;
	}
	machine_free(m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("io: time of a whole machine");
	TCase *t = tcase_create("8254");
	SRunner *r;
	int failed;

	tcase_add_test(t, pit_does_not_drift);
	tcase_add_test(t, pit_count_zero_is_65536);
	tcase_add_test(t, pit_one_shot_fires_once);
	tcase_add_test(t, pit_counts_down);
	tcase_add_test(t, pit_latch_holds_until_read);
	tcase_add_test(t, pit_read_back);
	tcase_add_test(t, pit_bcd);
	tcase_add_test(t, pit_channel_2_through_port_61);
	tcase_add_test(t, pit_hardware_triggered_one_shot);
	tcase_add_test(t, pit_square_wave);
	tcase_add_test(t, refresh_bit_toggles);
	tcase_add_test(t, pit_makes_up_for_a_short_stall);
	tcase_add_test(t, pit_does_not_flood_after_a_long_stall);
	tcase_add_test(t, absurd_periods_do_not_bury_the_host);
	suite_add_tcase(s, t);
	t = tcase_create("MC146818");
	tcase_add_test(t, rtc_shows_the_wall_clock);
	tcase_add_test(t, rtc_calendar);
	tcase_add_test(t, rtc_set_holds_the_clock);
	tcase_add_test(t, rtc_binary_and_twelve_hours);
	tcase_add_test(t, rtc_update_in_progress);
	tcase_add_test(t, rtc_periodic_interrupt);
	tcase_add_test(t, rtc_needs_register_c_read);
	tcase_add_test(t, rtc_update_ended_interrupt);
	tcase_add_test(t, rtc_alarm);
	tcase_add_test(t, rtc_alarm_survives_a_stall);
	tcase_add_test(t, cmos_is_memory);
	suite_add_tcase(s, t);
	t = tcase_create("timers of APIC and ACPI");
	tcase_add_test(t, apic_timer_one_shot_and_divider);
	tcase_add_test(t, apic_timer_periodic_does_not_drift);
	tcase_add_test(t, apic_timer_masked_counts_silently);
	tcase_add_test(t, apic_timer_expiry_is_not_lost_to_a_write);
	tcase_add_test(t, apic_timer_tsc_deadline);
	tcase_add_test(t, apic_timers_are_per_cpu);
	tcase_add_test(t, pm_timer_rate);
	tcase_add_test(t, pm_timer_never_goes_back);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
