/*
 * The 8254 programmable interval timer (Intel 231164-005, September 1993) and
 * port 0x61 of the PC/AT.
 *
 * Nothing counts: a channel remembers the tick at which it was loaded, and what
 * it would show follows from the time.  Ticks are those of one oscillator that
 * has run since guest time 0, so a period never drifts.
 *
 * Channel 0's rising edges are IRQ 0.  When the guest was not run for a while,
 * the missed edges are delivered late but spaced, so that a guest that counts
 * ticks keeps its clock; after a stall longer than TICK_BACKLOG_NS the rest is
 * forgotten.
 *
 * Deviations: a new count for a square wave (mode 3) takes effect at the end
 * of the period, not of the half period.
 */
#include "base/bits.h"
#include "base/log.h"
#include "io/pit.h"
#include "io/tick.h"

#define PIT_BASE     0x40
#define PIT_CONTROL  3u
#define PORT_B       0x61

enum { CTL_BCD = 0x01, RB_NOT_STATUS = 0x10, RB_NOT_COUNT = 0x20 };
enum { RW_LATCH = 0, RW_LOW = 1, RW_HIGH = 2, RW_BOTH = 3, SELECT_READBACK = 3 };
enum { STATUS_NULL = 0x40, STATUS_OUT = 0x80 };
enum { B_GATE2 = 0x01, B_SPEAKER = 0x02, B_REFRESH = 0x10, B_OUT2 = 0x20 };

#define REFRESH_TICKS 18u	/* the DRAM refresh request toggles every 15 us */

/* ---- what a channel shows at a tick ---- */

static bool is_periodic(const struct pit_channel *c) { return c->mode == 2 || c->mode == 3; }
static bool is_triggered(const struct pit_channel *c) { return c->mode == 1 || c->mode == 5; }

/* Bring a count that was waiting for the end of a period into effect. */
static void settle(struct pit_channel *c, u64 now)
{
	if (!c->next_count || now < c->next_start)
		return;
	c->start = c->next_start;
	c->count = c->next_count;
	c->next_count = 0;
}

/* Ticks counted since the load. */
static u64 elapsed(const struct pit_channel *c, u64 now)
{
	if (!c->gate && !is_triggered(c))
		return c->paused;
	return now > c->start ? now - c->start : 0;
}

static bool out_level(const struct pit_channel *c, u64 now)
{
	u64 d = elapsed(c, now), in_period = d % c->count;

	switch (c->mode) {
	case 0: return c->loaded && d >= c->count;
	case 1: return !c->loaded || d >= c->count || now < c->start;
	case 2: return !c->loaded || !c->gate || in_period != c->count - 1;
	case 3: return !c->loaded || !c->gate || in_period < (c->count + 1) / 2;
	}
	return !c->loaded || d != c->count;	/* 4, 5: a strobe of one tick */
}

static u16 to_bcd(u32 v)
{
	return (u16)(v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12);
}

static u32 from_bcd(u16 v)
{
	return (v & 15) + (v >> 4 & 15) * 10u + (v >> 8 & 15) * 100u + (v >> 12) * 1000u;
}

/* The counting element as the guest reads it. */
static u16 counter(const struct pit_channel *c, u64 now)
{
	u64 d = elapsed(c, now);
	u32 wrap = c->bcd ? 10000 : 65536, v = c->count;

	if (c->loaded && c->mode == 3) {
		u32 in_period = (u32)(d % c->count), high = (c->count + 1) / 2;

		v = (c->count & ~1u) - 2 * (in_period < high ? in_period : in_period - high);
	} else if (c->loaded && c->mode == 2) {
		v = c->count - (u32)(d % c->count);
	} else if (c->loaded) {
		v = (u32)((c->count + wrap - d % wrap) % wrap);
	}
	v %= wrap;
	return c->bcd ? to_bcd(v) : (u16)v;
}

/* ---- channel 0's interrupt ---- */

static u64 now_tick(const struct pit *p) { return tick_at(bus_now(p->bus), PIT_HZ); }

static void arm(struct pit *p)
{
	u64 now = bus_now(p->bus), due = tick_ns(p->edge, PIT_HZ), period = tick_ns(p->ch[0].count, PIT_HZ);

	if (due <= now)
		due = now + period / 4;
	if (is_periodic(&p->ch[0]))	/* whatever rate the guest asks for */
		due = max_u64(due, now + TICK_SPACING_NS);
	timer_arm(p->bus, &p->timer, due);
}

/* After anything was done to channel 0. */
static void restart(struct pit *p, u64 now)
{
	struct pit_channel *c = &p->ch[0];

	irq_set(&p->irq, out_level(c, now));
	if (!c->loaded || is_triggered(c)) {
		timer_arm(p->bus, &p->timer, TIMER_NEVER);
		return;
	}
	p->edge = c->start + c->count + (c->mode == 4 ? 1 : 0);
	timer_arm(p->bus, &p->timer, tick_ns(p->edge, PIT_HZ));
}

static void edge_due(void *dev, u64 ns)
{
	struct pit *p = dev;
	struct pit_channel *c = &p->ch[0];
	u64 now = tick_at(ns, PIT_HZ);

	irq_set(&p->irq, false);
	irq_set(&p->irq, true);
	settle(c, p->edge);
	if (!is_periodic(c))
		return;
	p->edge = tick_after(p->edge, c->count, now, tick_at(TICK_BACKLOG_NS, PIT_HZ));
	arm(p);
}

/* An edge that is due has happened, even if the host has not come to fire it. */
static void fire_overdue(struct pit *p)
{
	u64 now = bus_now(p->bus);

	if (p->timer.deadline > now)
		return;
	timer_arm(p->bus, &p->timer, TIMER_NEVER);
	edge_due(p, now);
}

/* ---- loading ---- */

static void load(struct pit *p, struct pit_channel *c, u16 value)
{
	u64 now = now_tick(p);
	u32 count = c->bcd ? from_bcd(value) : value;

	if (!count)
		count = c->bcd ? 10000 : 65536;
	settle(c, now);
	c->written = true;
	if (is_periodic(c) && c->loaded && c->gate) {
		/* The running period ends as it began. */
		c->next_count = count;
		c->next_start = c->start + (elapsed(c, now) / c->count + 1) * c->count;
		return;
	}
	c->count = count;
	c->next_count = 0;
	if (is_triggered(c))
		return;			/* the gate's edge starts it */
	c->loaded = true;
	c->start = now + 1;		/* the next clock moves it into the counting element */
	c->paused = 0;
	if (c == &p->ch[0])
		restart(p, now);
}

static void write_counter(struct pit *p, struct pit_channel *c, u8 v)
{
	switch (c->rw) {
	case RW_LOW: load(p, c, v); break;
	case RW_HIGH: load(p, c, (u16)(v << 8)); break;
	case RW_BOTH:
		if (c->write_high) {
			c->write_high = false;
			load(p, c, (u16)(v << 8 | c->write_low));
			break;
		}
		c->write_low = v;
		c->write_high = true;
		if (c->mode == 0) {	/* the first byte stops a count under way */
			c->loaded = false;
			if (c == &p->ch[0])
				restart(p, now_tick(p));
		}
		break;
	}
}

static void set_gate(struct pit *p, struct pit_channel *c, bool gate)
{
	u64 now = now_tick(p);

	if (gate == c->gate)
		return;
	settle(c, now);
	if (!gate) {
		c->paused = elapsed(c, now);
		c->gate = false;
		return;
	}
	c->gate = true;
	if (is_triggered(c) || is_periodic(c)) {
		if (c->next_count)
			c->count = c->next_count;
		c->next_count = 0;
		c->loaded = c->written;
		c->start = now + 1;
	} else {
		c->start = now - min_u64(now, c->paused);
	}
}

/* ---- latches and reads ---- */

static void latch_count(struct pit_channel *c, u64 now)
{
	if (c->latched)
		return;
	c->latch = counter(c, now);
	c->latched = true;
	c->latch_high = c->rw == RW_HIGH;
}

static void latch_status(struct pit_channel *c, u64 now)
{
	bool null = !c->loaded || c->next_count || now < c->start;

	if (c->status_latched)
		return;
	c->status = (u8)((out_level(c, now) ? STATUS_OUT : 0) | (null ? STATUS_NULL : 0) |
			 c->rw << 4 | c->mode << 1 | (c->bcd ? CTL_BCD : 0));
	c->status_latched = true;
}

static void write_control(struct pit *p, u8 v)
{
	unsigned select = v >> 6, rw = v >> 4 & 3, mode = v >> 1 & 7;
	struct pit_channel *c;
	u64 now = now_tick(p);

	if (select == SELECT_READBACK) {
		for (unsigned i = 0; i < 3; i++) {
			if (!bit_test(v, i + 1))
				continue;
			settle(&p->ch[i], now);
			if (!(v & RB_NOT_COUNT))
				latch_count(&p->ch[i], now);
			if (!(v & RB_NOT_STATUS))
				latch_status(&p->ch[i], now);
		}
		return;
	}
	c = &p->ch[select];
	settle(c, now);
	if (rw == RW_LATCH) {
		latch_count(c, now);
		return;
	}
	c->rw = (u8)rw;
	c->mode = (u8)(mode > 5 ? mode & 3 : mode);	/* 6 and 7 are 2 and 3 */
	c->bcd = v & CTL_BCD;
	if (c->bcd && c->count > 10000)
		c->count = 10000;
	c->loaded = c->written = c->latched = c->status_latched = false;
	c->read_high = c->write_high = false;
	c->next_count = 0;
	if (c == &p->ch[0])
		restart(p, now);
}

static u8 read_counter(struct pit *p, struct pit_channel *c)
{
	u64 now = now_tick(p);
	u16 v;
	bool high;

	settle(c, now);
	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	if (c->latched) {
		high = c->latch_high;
		c->latched = c->rw == RW_BOTH && !high;
		c->latch_high = true;
		v = c->latch;
	} else {
		high = c->rw == RW_HIGH || (c->rw == RW_BOTH && c->read_high);
		c->read_high = c->rw == RW_BOTH && !c->read_high;
		v = counter(c, now);
	}
	return (u8)(high ? v >> 8 : v);
}

/* ---- ports ---- */

static u32 pit_read(void *dev, u16 port, unsigned size)
{
	struct pit *p = dev;
	unsigned n = port & 3;

	return n == PIT_CONTROL ? 0xff : read_counter(p, &p->ch[n]);
}

static void pit_write(void *dev, u16 port, unsigned size, u32 value)
{
	struct pit *p = dev;
	unsigned n = port & 3;

	fire_overdue(p);
	if (n == PIT_CONTROL)
		write_control(p, (u8)value);
	else
		write_counter(p, &p->ch[n], (u8)value);
}

static u32 port_b_read(void *dev, u16 port, unsigned size)
{
	struct pit *p = dev;
	u64 now = now_tick(p);

	settle(&p->ch[2], now);
	return p->speaker | (now / REFRESH_TICKS & 1 ? B_REFRESH : 0) | (out_level(&p->ch[2], now) ? B_OUT2 : 0);
}

static void port_b_write(void *dev, u16 port, unsigned size, u32 value)
{
	struct pit *p = dev;

	p->speaker = value & (B_GATE2 | B_SPEAKER);
	set_gate(p, &p->ch[2], value & B_GATE2);
}

static const struct pio_ops pit_ops = { pit_read, pit_write, .bytes = true };
static const struct pio_ops port_b_ops = { port_b_read, port_b_write, .bytes = true };

/* ---- handing over ---- */

void pit_save(struct pit *p, struct pit_state *out)
{
	fire_overdue(p);
	*out = (struct pit_state){ .edge = p->edge, .due = p->timer.deadline, .speaker = p->speaker };
	for (unsigned i = 0; i < 3; i++)
		out->ch[i] = p->ch[i];
	timer_arm(p->bus, &p->timer, TIMER_NEVER);
}

void pit_load(struct pit *p, const struct pit_state *in)
{
	for (unsigned i = 0; i < 3; i++)
		p->ch[i] = in->ch[i];
	p->edge = in->edge;
	p->speaker = in->speaker & (B_GATE2 | B_SPEAKER);
	timer_arm(p->bus, &p->timer, in->due);
}

/* As a BIOS leaves it: channel 0 ticks at 18.2 Hz. */
void pit_reset(struct pit *p)
{
	for (unsigned i = 0; i < 3; i++)
		p->ch[i] = (struct pit_channel){ .count = 65536, .mode = i ? 0 : 3, .rw = RW_BOTH, .gate = i != 2 };
	p->speaker = 0;
	load(p, &p->ch[0], 0);
}

int pit_init(struct pit *p, struct bus *b, struct irq_line irq)
{
	int r;

	__builtin_memset(p, 0, sizeof(*p));
	p->bus = b;
	p->irq = irq;
	if ((r = bus_add_timer(b, &p->timer, edge_due, p)) < 0 ||
	    (r = bus_add_pio(b, PIT_BASE, 4, &pit_ops, p, "pit")) < 0 ||
	    (r = bus_add_pio(b, PORT_B, 1, &port_b_ops, p, "port61")) < 0)
		return r;
	pit_reset(p);
	return 0;
}
