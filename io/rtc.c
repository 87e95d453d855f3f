/*
 * The real-time clock (Motorola MC146818, 1984) as it sits in a PC/AT.
 *
 * The time is not kept, it is computed from guest time.  While the clock
 * stands (register B's SET, or a divider chain held in reset) the time
 * registers are plain memory; when it goes on they say what time it is.
 * Flags in register C are brought up to date when somebody looks; the timer
 * runs only for enabled interrupts.
 *
 * Not modelled: the square wave output and daylight saving.
 */
#include "base/bits.h"
#include "base/log.h"
#include "io/rtc.h"
#include "io/tick.h"

#define RTC_INDEX 0x70
#define RTC_DATA  0x71

enum { SECONDS = 0, SECONDS_ALARM = 1, MINUTES = 2, MINUTES_ALARM = 3, HOURS = 4, HOURS_ALARM = 5,
       WEEKDAY = 6, DAY = 7, MONTH = 8, YEAR = 9, REG_A = 10, REG_B = 11, REG_C = 12, REG_D = 13,
       BASE_MEM = 0x15, EXT_MEM = 0x17, EXT_MEM2 = 0x30, CENTURY = 0x32, HIGH_MEM = 0x34, EQUIPMENT = 0x14 };

enum { A_RATE = 0x0f, A_DIVIDER = 0x70, A_DIVIDER_RUN = 0x20, A_DIVIDER_RESET = 0x60, A_UIP = 0x80 };
enum { B_24H = 0x02, B_BINARY = 0x04, B_UIE = 0x10, B_AIE = 0x20, B_PIE = 0x40, B_SET = 0x80 };
enum { C_UF = 0x10, C_AF = 0x20, C_PF = 0x40, C_IRQF = 0x80, C_FLAGS = 0x70 };
enum { D_VALID = 0x80 };
enum { HOUR_PM = 0x80, ALARM_ANY = 0xc0 };

#define CRYSTAL_HZ   32768u
#define UPDATE_NS    2228000u	/* UIP: 244 us of warning, 1984 us of updating */
#define DAY_SECONDS  86400

/* ---- the calendar (proleptic Gregorian, days since 1970-01-01) ---- */

static s64 floor_div(s64 a, s64 b) { return a / b - (a % b < 0); }
static s64 floor_mod(s64 a, s64 b) { return a - floor_div(a, b) * b; }

/* Years begin in March here, so that the leap day is the last of its year. */
static s64 days_from_date(s64 year, s64 month, s64 day)
{
	s64 y = year - (month <= 2), era = floor_div(y, 400), of_era = y - era * 400;
	s64 of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_from_days(s64 days, s64 *year, unsigned *month, unsigned *day)
{
	s64 z = days + 719468, era = floor_div(z, 146097), of_era = z - era * 146097;
	s64 y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	s64 of_year = of_era - (365 * y + y / 4 - y / 100), m = (5 * of_year + 2) / 153;

	*day = (unsigned)(of_year - (153 * m + 2) / 5 + 1);
	*month = (unsigned)(m < 10 ? m + 3 : m - 9);
	*year = y + era * 400 + (*month <= 2);
}

/* ---- register formats ---- */

static u8 encode(const struct rtc *r, unsigned v)
{
	return (u8)(r->cmos[REG_B] & B_BINARY ? v : v / 10 % 10 << 4 | v % 10);
}

static unsigned decode(const struct rtc *r, u8 v)
{
	return r->cmos[REG_B] & B_BINARY ? v : (v >> 4) * 10u + (v & 15);
}

static u8 encode_hour(const struct rtc *r, unsigned h)
{
	if (r->cmos[REG_B] & B_24H)
		return encode(r, h);
	return encode(r, h % 12 ? h % 12 : 12) | (h >= 12 ? HOUR_PM : 0);
}

static unsigned decode_hour(const struct rtc *r, u8 v)
{
	if (r->cmos[REG_B] & B_24H)
		return decode(r, v);
	return decode(r, v & (u8)~HOUR_PM) % 12 + (v & HOUR_PM ? 12 : 0);
}

static void registers_from_time(struct rtc *r, s64 t)
{
	unsigned of_day = (unsigned)floor_mod(t, DAY_SECONDS), month, day;
	s64 days = floor_div(t, DAY_SECONDS), year;

	date_from_days(days, &year, &month, &day);
	r->cmos[SECONDS] = encode(r, of_day % 60);
	r->cmos[MINUTES] = encode(r, of_day / 60 % 60);
	r->cmos[HOURS] = encode_hour(r, of_day / 3600);
	r->cmos[WEEKDAY] = encode(r, (unsigned)floor_mod(days + 4, 7) + 1);
	r->cmos[DAY] = encode(r, day);
	r->cmos[MONTH] = encode(r, month);
	r->cmos[YEAR] = encode(r, (unsigned)floor_mod(year, 100));
	r->cmos[CENTURY] = encode(r, (unsigned)floor_mod(floor_div(year, 100), 100));
}

static s64 time_from_registers(const struct rtc *r)
{
	s64 year = decode(r, r->cmos[YEAR]) + 100 * (s64)decode(r, r->cmos[CENTURY]);
	s64 months = year * 12 + decode(r, r->cmos[MONTH]) - 1;	/* whatever was written, normalised */
	s64 days = days_from_date(floor_div(months, 12), floor_mod(months, 12) + 1, 1) +
		   decode(r, r->cmos[DAY]) - 1;

	return days * DAY_SECONDS + decode_hour(r, r->cmos[HOURS]) * 3600 + decode(r, r->cmos[MINUTES]) * 60 +
	       decode(r, r->cmos[SECONDS]);
}

/* ---- time and flags ---- */

static bool runs(const struct rtc *r)
{
	return !(r->cmos[REG_B] & B_SET) && (r->cmos[REG_A] & A_DIVIDER) == A_DIVIDER_RUN;
}

static s64 seconds_at(const struct rtc *r, u64 ns)
{
	return r->base_sec + floor_div((s64)ns - r->base_ns, NS_PER_SEC);
}

static u64 ns_of_second(const struct rtc *r, s64 sec)
{
	return (u64)((sec - r->base_sec) * NS_PER_SEC + r->base_ns);
}

/* The first second in [from, to] at which the alarm rings, or to + 1.  It repeats daily at the latest. */
static s64 find_alarm(const struct rtc *r, s64 from, s64 to)
{
	const u8 *c = r->cmos;
	bool any_s = c[SECONDS_ALARM] >= ALARM_ANY, any_m = c[MINUTES_ALARM] >= ALARM_ANY;
	bool any_h = (c[HOURS_ALARM] & ALARM_ANY) == ALARM_ANY;
	unsigned s = decode(r, c[SECONDS_ALARM]), m = decode(r, c[MINUTES_ALARM]), h = decode_hour(r, c[HOURS_ALARM]);

	if ((!any_s && s > 59) || (!any_m && m > 59) || (!any_h && h > 23))
		return to + 1;
	for (s64 t = from; t <= to && t < from + DAY_SECONDS;) {
		unsigned of_day = (unsigned)floor_mod(t, DAY_SECONDS);

		/* By hours, then minutes, then seconds: some 150 steps, and not one for each second of the day. */
		if (!any_h && of_day / 3600 != h)
			t += 3600 - of_day % 3600;
		else if (!any_m && of_day / 60 % 60 != m)
			t += 60 - of_day % 60;
		else if (!any_s && of_day % 60 != s)
			t++;
		else
			return t;
	}
	return to + 1;
}

/* Periodic interrupt's period in crystal ticks, 0 = off. */
static u32 period(const struct rtc *r)
{
	unsigned rate = r->cmos[REG_A] & A_RATE;

	return rate == 0 ? 0 : BIT((rate < 3 ? rate + 7 : rate) - 1);
}

static void sync_seconds(struct rtc *r, u64 now)
{
	s64 sec;

	if (!runs(r) || (sec = seconds_at(r, now)) <= r->seen_sec)
		return;
	r->cmos[REG_C] |= C_UF;
	if (find_alarm(r, r->seen_sec + 1, sec) <= sec)
		r->cmos[REG_C] |= C_AF;
	r->seen_sec = sec;
}

static void sync_periodic(struct rtc *r, u64 now)
{
	u64 tick = tick_at(now, CRYSTAL_HZ);
	u32 p = period(r);

	if (!p || tick < r->edge)
		return;
	r->cmos[REG_C] |= C_PF;
	/* With interrupts, missed ones are made up for, spaced by arm(). */
	r->edge = tick_after(r->edge, p, tick, r->cmos[REG_B] & B_PIE ? tick_at(TICK_BACKLOG_NS, CRYSTAL_HZ) : 0);
}

static void update_irq(struct rtc *r)
{
	bool on = r->cmos[REG_C] & r->cmos[REG_B] & C_FLAGS;

	r->cmos[REG_C] = (r->cmos[REG_C] & C_FLAGS) | (on ? C_IRQF : 0);
	irq_set(&r->irq, on);
}

static void arm(struct rtc *r, u64 now)
{
	u8 b = r->cmos[REG_B];
	u64 next = TIMER_NEVER;

	if (runs(r) && (b & B_UIE))
		next = ns_of_second(r, r->seen_sec + 1);
	if (runs(r) && (b & B_AIE) && !(r->cmos[REG_C] & C_AF)) {
		s64 last = r->seen_sec + DAY_SECONDS, at = find_alarm(r, r->seen_sec + 1, last);

		if (at <= last)
			next = min_u64(next, ns_of_second(r, at));
	}
	if (period(r) && (b & B_PIE)) {
		u64 due = tick_ns(r->edge, CRYSTAL_HZ);

		if (due <= now)
			due = now + max_u64(tick_ns(period(r), CRYSTAL_HZ) / 4, TICK_SPACING_NS);
		next = min_u64(next, due);
	}
	timer_arm(r->bus, &r->timer, next);
}

static void fire(void *dev, u64 now)
{
	struct rtc *r = dev;

	sync_seconds(r, now);
	sync_periodic(r, now);
	update_irq(r);
	arm(r, now);
}

/* ---- registers ---- */

static u8 read_c(struct rtc *r, u64 now)
{
	u8 v;

	sync_seconds(r, now);
	if (!(r->cmos[REG_B] & B_PIE))	/* with interrupts one read must not swallow two */
		sync_periodic(r, now);
	update_irq(r);
	v = r->cmos[REG_C];
	r->cmos[REG_C] = 0;
	update_irq(r);
	arm(r, now);
	return v;
}

static u8 read_a(const struct rtc *r, u64 now)
{
	u64 in_second = (u64)floor_mod((s64)now - r->base_ns, NS_PER_SEC);

	return r->cmos[REG_A] | (runs(r) && in_second >= NS_PER_SEC - UPDATE_NS ? A_UIP : 0);
}

static bool is_time(unsigned i)
{
	return i == SECONDS || i == MINUTES || i == HOURS || (i >= WEEKDAY && i <= YEAR) || i == CENTURY;
}

static void set_time(struct rtc *r, u64 now, s64 sec)
{
	r->base_ns += floor_div((s64)now - r->base_ns, NS_PER_SEC) * NS_PER_SEC;
	r->base_sec = r->seen_sec = sec;
}

static void write_control(struct rtc *r, unsigned i, u8 v, u64 now)
{
	bool ran = runs(r);
	bool was_reset = (r->cmos[REG_A] & A_DIVIDER_RESET) == A_DIVIDER_RESET;
	u32 old_period = period(r);

	if (ran)
		registers_from_time(r, seconds_at(r, now));
	/* What was missed before somebody wanted interrupts is not made up for. */
	if (i == REG_B && !(r->cmos[REG_B] & B_PIE))
		sync_periodic(r, now);
	if (i == REG_A)
		r->cmos[i] = v & (u8)~A_UIP;
	else
		r->cmos[i] = v & B_SET ? v & (u8)~B_UIE : v;	/* SET clears UIE */
	/* A divider chain that comes out of reset counts the first second from its middle. */
	if (was_reset && (r->cmos[REG_A] & A_DIVIDER_RESET) != A_DIVIDER_RESET)
		r->base_ns = (s64)now - NS_PER_SEC / 2;
	if (!ran && runs(r))
		set_time(r, now, time_from_registers(r));
	if (period(r) && period(r) != old_period)
		r->edge = (tick_at(now, CRYSTAL_HZ) / period(r) + 1) * period(r);
}

static u32 rtc_read(void *dev, u16 port, unsigned size)
{
	struct rtc *r = dev;
	unsigned i = r->index & (CMOS_SIZE - 1);
	u64 now = bus_now(r->bus);

	if (port == RTC_INDEX)
		return 0xff;		/* write-only */
	if (i == REG_A)
		return read_a(r, now);
	if (i == REG_C)
		return read_c(r, now);
	if (is_time(i) && runs(r))
		registers_from_time(r, seconds_at(r, now));
	return r->cmos[i];
}

static void rtc_write(void *dev, u16 port, unsigned size, u32 value)
{
	struct rtc *r = dev;
	unsigned i;
	u64 now = bus_now(r->bus);

	if (port == RTC_INDEX) {
		r->index = value & (CMOS_SIZE - 1);	/* bit 7 masks NMI, of which there is none */
		return;
	}
	i = r->index & (CMOS_SIZE - 1);
	sync_seconds(r, now);
	switch (i) {
	case REG_A: case REG_B:
		write_control(r, i, (u8)value, now);
		break;
	case REG_C: case REG_D:
		break;			/* read-only */
	default:
		if (is_time(i) && runs(r)) {
			registers_from_time(r, seconds_at(r, now));
			r->cmos[i] = (u8)value;
			set_time(r, now, time_from_registers(r));
			break;
		}
		r->cmos[i] = (u8)value;
	}
	update_irq(r);
	arm(r, now);
}

static const struct pio_ops rtc_ops = { rtc_read, rtc_write, .bytes = true };

/* ---- construction ---- */

/* The RESET pin clears the interrupt enables and flags; time and memory stay. */
void rtc_reset(struct rtc *r)
{
	u64 now = bus_now(r->bus);

	sync_seconds(r, now);
	r->cmos[REG_B] &= (u8)~(B_PIE | B_AIE | B_UIE);
	r->cmos[REG_C] = 0;
	r->index = 0;
	update_irq(r);
	arm(r, now);
}

static void put16(struct rtc *r, unsigned i, u64 v)
{
	v = min_u64(v, 0xffff);
	r->cmos[i] = (u8)v;
	r->cmos[i + 1] = (u8)(v >> 8);
}

static u64 above(u64 size, u64 start) { return size > start ? size - start : 0; }

/* What a BIOS would have found and noted. */
static void describe_memory(struct rtc *r, u64 ram)
{
	put16(r, BASE_MEM, 640);
	put16(r, EXT_MEM, above(ram, 1 << 20) >> 10);
	put16(r, EXT_MEM2, above(ram, 1 << 20) >> 10);
	put16(r, HIGH_MEM, above(ram, 16 << 20) >> 16);
	r->cmos[EQUIPMENT] = 0x02;	/* an FPU; no floppy, no display */
}

int rtc_init(struct rtc *r, struct bus *b, struct irq_line irq, s64 offset)
{
	int err;

	__builtin_memset(r, 0, sizeof(*r));
	r->bus = b;
	r->irq = irq;
	r->base_sec = offset;
	r->seen_sec = seconds_at(r, bus_now(b));
	r->cmos[REG_A] = A_DIVIDER_RUN | 6;
	r->cmos[REG_B] = B_24H;
	r->cmos[REG_D] = D_VALID;
	registers_from_time(r, offset);
	describe_memory(r, b->phys->ram_size);
	if ((err = bus_add_timer(b, &r->timer, fire, r)) < 0)
		return err;
	rtc_reset(r);
	return bus_add_pio(b, RTC_INDEX, 2, &rtc_ops, r, "rtc");
}

void rtc_save(const struct rtc *r, struct rtc_battery *to)
{
	to->sec = r->base_sec;
	to->ns = r->base_ns;
	__builtin_memcpy(to->cmos, r->cmos, CMOS_SIZE);
}

#define SAVED_SEC_MAX (1ll << 40)	/* centuries have two digits */

void rtc_restore(struct rtc *r, const struct rtc_battery *from)
{
	u64 now = bus_now(r->bus);
	s64 second = NS_PER_SEC;

	if (from->ns > (s64)now + second || from->ns < -second || from->sec < -SAVED_SEC_MAX ||
	    from->sec > SAVED_SEC_MAX)
		return;
	r->base_sec = from->sec;
	r->base_ns = from->ns;
	r->seen_sec = seconds_at(r, now);
	__builtin_memcpy(r->cmos, from->cmos, CMOS_SIZE);
	rtc_reset(r);
}
