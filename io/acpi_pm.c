/*
 * See io/acpi_pm.h.  The machine is always in ACPI mode (there is no SMI
 * command port), so SCI_EN reads 1 whatever is written.
 *
 * The 12 ports are one array of bytes to the guest: PM1_STS, PM1_EN, PM1_CNT,
 * reserved, PM_TMR.  Any access of 1, 2 or 4 bytes is taken byte by byte.
 *
 * Invariant: the SCI is asserted exactly while an enabled status bit is set.
 *
 * Source: ACPI 2.0c, section 4.7.3 (fixed hardware registers).
 */
#include "io/acpi_pm.h"

#include "base/bits.h"
#include "base/log.h"
#include "io/pc.h"

enum { OFF_STS = 0, OFF_EN = 2, OFF_CNT = 4, OFF_TMR = 8, OFF_END = 12 };

_Static_assert(PC_ACPI_PM1A_CNT == PC_ACPI_PM1A_EVT + OFF_CNT &&
	       PC_ACPI_PM_TMR == PC_ACPI_PM1A_EVT + OFF_TMR, "one range of ports holds all three blocks");

/* Status and enable bits have the same numbers. */
#define PM1_TMR       BIT(0)
#define PM1_GBL       BIT(5)
#define PM1_PWRBTN    BIT(8)
#define PM1_RTC       BIT(10)	/* never happens, but Linux checks that it can be enabled */
#define PM1_EVENTS    (PM1_TMR | PM1_GBL | PM1_PWRBTN | PM1_RTC)

#define CNT_SCI_EN    BIT(0)
#define CNT_BM_RLD    BIT(1)
#define CNT_TYP_SHIFT 10
#define CNT_TYP       (7u << CNT_TYP_SHIFT)
#define CNT_SLP_EN    BIT(13)		/* write-only */

#define TMR_BITS      24
#define NS_PER_S      1000000000ull

/* Exact, and without 128-bit division: whole seconds and the rest apart. */
static u64 ticks_at(u64 ns)
{
	return ns / NS_PER_S * ACPI_PM_TIMER_HZ + ns % NS_PER_S * ACPI_PM_TIMER_HZ / NS_PER_S;
}

/* The first nanosecond at which ticks_at() is `ticks`. */
static u64 time_of(u64 ticks)
{
	return ticks / ACPI_PM_TIMER_HZ * NS_PER_S +
	       (ticks % ACPI_PM_TIMER_HZ * NS_PER_S + ACPI_PM_TIMER_HZ - 1) / ACPI_PM_TIMER_HZ;
}

/* How often has the timer's top bit toggled? */
static u64 carries_at(u64 ns) { return ticks_at(ns) >> (TMR_BITS - 1); }

static void update(struct acpi_pm *p)
{
	u64 carries = carries_at(bus_now(p->bus));

	if (carries != p->carries) {
		p->carries = carries;
		p->status |= PM1_TMR;
	}
	timer_arm(p->bus, &p->timer, (p->enable & PM1_TMR) && !(p->status & PM1_TMR) ?
		  time_of((carries + 1) << (TMR_BITS - 1)) : TIMER_NEVER);
	irq_set(&p->sci, p->status & p->enable & PM1_EVENTS);
}

static void timer_fire(void *dev, u64 now) { update(dev); }

void acpi_pm_power_button(struct acpi_pm *p)
{
	p->status |= PM1_PWRBTN;
	update(p);
}

static void enter_sleep(struct acpi_pm *p, unsigned type)
{
	if (type == PC_ACPI_S5_TYP)
		p->poweroff(p->opaque);
	else
		trace(unimp, "acpi: sleep type %u", type);
}

static u32 port_read(void *dev, u16 port, unsigned size)
{
	struct acpi_pm *p = dev;
	unsigned off = port - PC_ACPI_PM1A_EVT;
	u8 bytes[OFF_END + 4] = { 0 };	/* room for an access that starts at the last byte */
	u32 v;

	if (off >= OFF_END)
		return ~0u;
	update(p);			/* TMR_STS is computed when looked at */
	store16(bytes + OFF_STS, p->status);
	store16(bytes + OFF_EN, p->enable);
	store16(bytes + OFF_CNT, p->control | CNT_SCI_EN);
	store32(bytes + OFF_TMR, (u32)(ticks_at(bus_now(p->bus)) & bit_mask(TMR_BITS)));
	v = load32(bytes + off);
	return v & (u32)size_mask(size);
}

static void write_byte(struct acpi_pm *p, unsigned off, u8 v)
{
	unsigned shift = (off & 1) * 8;
	u16 lane = (u16)(0xff << shift), value = (u16)(v << shift);

	switch (off & ~1u) {
	case OFF_STS:			/* write 1 to clear */
		p->status &= (u16)~value;
		break;
	case OFF_EN:
		p->enable = (u16)((p->enable & ~lane) | (value & PM1_EVENTS));
		break;
	case OFF_CNT:
		p->control = (u16)((p->control & ~lane) | (value & (CNT_BM_RLD | CNT_TYP)));
		if (value & CNT_SLP_EN)
			enter_sleep(p, (p->control & CNT_TYP) >> CNT_TYP_SHIFT);
		break;
	default:			/* the timer is read-only */
		trace(unimp, "acpi: write of %#x to port %#x", v, PC_ACPI_PM1A_EVT + off);
	}
}

static void port_write(void *dev, u16 port, unsigned size, u32 value)
{
	struct acpi_pm *p = dev;
	unsigned off = port - PC_ACPI_PM1A_EVT;

	update(p);			/* a toggle so far is cleared by this write, a later one is not */
	for (unsigned i = 0; i < size && i < 4 && off + i < OFF_END; i++)
		write_byte(p, off + i, (u8)bits_get(value, i * 8, 8));
	update(p);
}

static const struct pio_ops acpi_pm_ops = { .read = port_read, .write = port_write };

void acpi_pm_reset(struct acpi_pm *p)
{
	p->status = 0;
	p->enable = 0;
	p->control = 0;
	p->carries = carries_at(bus_now(p->bus));
	update(p);
}

int acpi_pm_init(struct acpi_pm *p, struct bus *b, struct irq_line sci,
		 void (*poweroff)(void *opaque), void *opaque)
{
	int r;

	__builtin_memset(p, 0, sizeof *p);
	p->bus = b;
	p->sci = sci;
	p->poweroff = poweroff;
	p->opaque = opaque;
	r = bus_add_timer(b, &p->timer, timer_fire, p);
	if (r)
		return r;
	acpi_pm_reset(p);
	return bus_add_pio(b, PC_ACPI_PM1A_EVT, OFF_END, &acpi_pm_ops, p, "acpi-pm");
}
