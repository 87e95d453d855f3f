/*
 * See io/lapic.h.  Owns one CPU's interrupt state: requests (IRR), those in
 * service (ISR), their trigger modes (TMR), the local vector table and the
 * timer.  Must not know other CPUs, the I/O APIC or the 8259.
 *
 * Invariants: a software-disabled LAPIC has every LVT entry masked;
 * `tsc_deadline` is nonzero only in TSC-deadline mode, `running` only in the
 * other two; whatever may change the INTR pin ends in update().
 *
 * Source: Intel SDM volume 3A, chapter "Advanced Programmable Interrupt
 * Controller (APIC)"; the model is the xAPIC without directed EOI and x2APIC.
 */
#include "io/lapic.h"

#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"
#include "io/pc.h"

enum lapic_reg {
	REG_ID = 0x020, REG_VERSION = 0x030, REG_TPR = 0x080, REG_APR = 0x090, REG_PPR = 0x0a0,
	REG_EOI = 0x0b0, REG_RRD = 0x0c0, REG_LDR = 0x0d0, REG_DFR = 0x0e0, REG_SVR = 0x0f0,
	REG_ISR = 0x100, REG_TMR = 0x180, REG_IRR = 0x200, REG_ESR = 0x280,
	REG_ICR_LO = 0x300, REG_ICR_HI = 0x310, REG_LVT = 0x320,
	REG_INITIAL_COUNT = 0x380, REG_CURRENT_COUNT = 0x390, REG_DIVIDE = 0x3e0,
};

#define VERSION 0x00050014u		/* integrated, LVT_COUNT - 1 in bits 23:16 */
_Static_assert(VERSION >> 16 == LVT_COUNT - 1, "the version register counts the LVT entries");
_Static_assert(PC_LAPIC_TIMER_HZ == 1000000000, "the timer counts guest nanoseconds, undivided");

#define MSR_APIC_BASE    0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define BASE_BSP         BIT64(8)
#define BASE_ENABLE      BIT64(11)
#define BASE_ADDRESS     0xffffff000ull

#define SVR_ENABLE       BIT(8)
#define SVR_WRITABLE     0x3ffu
#define VECTOR_FIRST     16u		/* lower ones are illegal */

#define LVT_VECTOR       0x0ffu
#define LVT_MODE_SHIFT   8
#define LVT_LEVEL        BIT(15)
#define LVT_MASKED       BIT(16)
#define TIMER_MODE_SHIFT 17
enum { TIMER_ONESHOT, TIMER_PERIODIC, TIMER_DEADLINE, TIMER_RESERVED };

#define ICR_LOGICAL      BIT(11)
#define ICR_ASSERT       BIT(14)
#define ICR_LEVEL        BIT(15)
#define ICR_WRITABLE     0x000ccfffu	/* all but delivery status and what is reserved */

#define ESR_SEND_VECTOR  BIT(5)
#define ESR_RECV_VECTOR  BIT(6)
#define ESR_REGISTER     BIT(7)

/*
 * A period shorter than this is served at this interval: otherwise a guest that
 * asks for 1 ns keeps the host busy with timers and itself from running.
 */
#define PERIOD_MIN_NS    10000u

/* The bits of each LVT entry that software may write. */
static const u32 lvt_writable[LVT_COUNT] = {
	[LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff, [LVT_PERF] = 0x107ff,
	[LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff, [LVT_ERROR] = 0x100ff,
};

static void update(struct lapic *l)
{
	if (l->hooks.update)
		l->hooks.update(l->hooks.opaque, l->index);
}

/* --- IRR, ISR, TMR: 256 bits each --------------------------------------- */

static void vec_assign(u32 *v, u8 n, bool on)
{
	v[n >> 5] = (v[n >> 5] & ~BIT(n & 31)) | (u32)on << (n & 31);
}

static bool vec_test(const u32 *v, u8 n) { return v[n >> 5] & BIT(n & 31); }

static int vec_highest(const u32 *v)
{
	for (int i = 7; i >= 0; i--)
		if (v[i])
			return i * 32 + 31 - __builtin_clz(v[i]);
	return -1;
}

static u8 priority(int vector) { return vector < 0 ? 0 : (u8)(vector & 0xf0); }

u8 lapic_ppr(const struct lapic *l)
{
	u8 isr = priority(vec_highest(l->isr));

	return (l->tpr & 0xf0) >= isr ? l->tpr : isr;
}

/* Only P6 arbitrates by it, but kernels of its time read it. */
static u8 arbitration_priority(const struct lapic *l)
{
	u8 irr = priority(vec_highest(l->irr)), isr = priority(vec_highest(l->isr));
	u8 tpr = l->tpr & 0xf0;

	if (tpr >= irr && tpr > isr)
		return l->tpr;
	return (u8)max_u64(tpr & isr, irr);
}

static bool globally_on(const struct lapic *l) { return l->apic_base & BASE_ENABLE; }

int lapic_intr(const struct lapic *l)
{
	int v = vec_highest(l->irr);

	/* Software-disabled, it still holds and presents what it had accepted. */
	return globally_on(l) && v >= 0 && priority(v) > (lapic_ppr(l) & 0xf0) ? v : -1;
}

int lapic_ack(struct lapic *l)
{
	int v = lapic_intr(l);

	if (v < 0)
		return -1;
	vec_assign(l->irr, (u8)v, false);
	vec_assign(l->isr, (u8)v, true);
	trace(irq, "lapic %u: vector %#x acknowledged", l->index, (unsigned)v);
	update(l);
	return v;
}

static void eoi(struct lapic *l)
{
	int v = vec_highest(l->isr);

	if (v < 0)
		return;			/* after a spurious vector, harmless */
	vec_assign(l->isr, (u8)v, false);
	if (vec_test(l->tmr, (u8)v) && l->hooks.eoi)
		l->hooks.eoi(l->hooks.opaque, (u8)v);
	update(l);
}

/* --- Accepting messages ---------------------------------------------------- */

static void error(struct lapic *l, u32 bit);
static void reset_registers(struct lapic *l);

static void accept_fixed(struct lapic *l, u8 vector, bool level)
{
	if (!(l->svr & SVR_ENABLE))
		return;
	if (vector < VECTOR_FIRST) {
		error(l, ESR_RECV_VECTOR);
		return;
	}
	trace(irq, "lapic %u: vector %#x requested", l->index, vector);
	vec_assign(l->tmr, vector, level);
	vec_assign(l->irr, vector, true);
	update(l);
}

void lapic_deliver(struct lapic *l, u8 vector, unsigned delivery_mode, bool level)
{
	if (!globally_on(l))
		return;
	switch (delivery_mode) {
	case LAPIC_FIXED:
	case LAPIC_LOWEST:
		accept_fixed(l, vector, level);
		break;
	case LAPIC_NMI:
		if (l->hooks.nmi)
			l->hooks.nmi(l->hooks.opaque, l->index);
		break;
	case LAPIC_INIT:
		reset_registers(l);
		update(l);
		if (l->hooks.init)
			l->hooks.init(l->hooks.opaque, l->index);
		break;
	case LAPIC_SIPI:
		if (l->hooks.sipi)
			l->hooks.sipi(l->hooks.opaque, l->index, vector);
		break;
	default:
		trace(unimp, "lapic %u: delivery mode %u", l->index, delivery_mode);
	}
}

/* A local source has something to say: do what its LVT entry says. */
static void lvt_raise(struct lapic *l, enum lapic_lvt n)
{
	u32 e = l->lvt[n];

	if (e & LVT_MASKED)
		return;
	/* Neither has a delivery mode: the timer's bits are the mode of counting. */
	if (n == LVT_TIMER || n == LVT_ERROR)
		accept_fixed(l, e & LVT_VECTOR, false);
	else
		lapic_deliver(l, e & LVT_VECTOR, bits_get(e, LVT_MODE_SHIFT, 3), false);
}

static void error(struct lapic *l, u32 bit)
{
	bool fresh = !(l->esr_pending & bit);

	l->esr_pending |= bit;
	if (fresh)			/* also ends the recursion when LVT error's vector is illegal */
		lvt_raise(l, LVT_ERROR);
}

bool lapic_accepts_extint(const struct lapic *l)
{
	u32 e = l->lvt[LVT_LINT0];

	return !globally_on(l) ||	/* switched off, LINT0 is the INTR pin */
	       (!(e & LVT_MASKED) && bits_get(e, LVT_MODE_SHIFT, 3) == LAPIC_EXTINT);
}

void lapic_lint(struct lapic *l, unsigned pin, bool level)
{
	enum lapic_lvt n = LVT_LINT0 + (pin & 1);
	bool rising = level && !l->lint_level[pin & 1];

	l->lint_level[pin & 1] = level;
	if (bits_get(l->lvt[n], LVT_MODE_SHIFT, 3) == LAPIC_EXTINT)
		update(l);		/* the CPU's acknowledge goes to the 8259 */
	else if (rising && globally_on(l))
		lvt_raise(l, n);
}

bool lapic_matches(const struct lapic *l, bool logical, u8 dest)
{
	u8 mine = (u8)(l->ldr >> 24);

	if (!globally_on(l))
		return false;
	if (dest == 0xff)
		return true;
	if (!logical)
		return dest == l->id;
	if (l->dfr >> 28 == 0xf)	/* flat: one bit a CPU */
		return mine & dest;
	return mine >> 4 == dest >> 4 && (mine & dest & 0xf);	/* cluster, then one bit a CPU */
}

/* --- Sending -------------------------------------------------------------- */

static void icr_send(struct lapic *l)
{
	u8 vector = l->icr_lo & 0xff, dest = (u8)(l->icr_hi >> 24);
	unsigned mode = (unsigned)bits_get(l->icr_lo, 8, 3);
	unsigned shorthand = (unsigned)bits_get(l->icr_lo, 18, 2);
	bool level = l->icr_lo & ICR_LEVEL, asserted = l->icr_lo & ICR_ASSERT;

	if (mode == LAPIC_INIT && level && !asserted)
		return;			/* arbitration IDs: synchronises nothing any more */
	if ((mode == LAPIC_FIXED || mode == LAPIC_LOWEST) && vector < VECTOR_FIRST) {
		error(l, ESR_SEND_VECTOR);
		return;
	}
	l->ipis++;
	trace(irq, "lapic %u: sends vector %#x mode %u to %#x shorthand %u", l->index, vector,
	      mode, dest, shorthand);
	/* The trigger bit means something only for INIT: fixed IPIs are edges. */
	if (shorthand == LAPIC_TO_SELF)
		lapic_deliver(l, vector, mode, false);
	else if (l->hooks.send)
		l->hooks.send(l->hooks.opaque, l->index, vector, mode, l->icr_lo & ICR_LOGICAL, dest,
			      shorthand, mode == LAPIC_INIT && level, asserted);
}

/* --- Timer ------------------------------------------------------------------ */

static unsigned timer_mode(const struct lapic *l)
{
	return (unsigned)bits_get(l->lvt[LVT_TIMER], TIMER_MODE_SHIFT, 2);
}

static unsigned divide_shift(const struct lapic *l)
{
	/* Bits 3, 1, 0: 0 is divide by 2, ... 6 by 128, 7 by 1. */
	return (((l->divide & 3) | (l->divide & 8) >> 1) + 1) & 7;
}

static u64 timer_period(const struct lapic *l)
{
	return (u64)l->initial_count << divide_shift(l);
}

static u32 current_count(const struct lapic *l, u64 now)
{
	u64 elapsed = now - l->start, period = timer_period(l);

	if (!l->running)
		return 0;
	if (timer_mode(l) == TIMER_PERIODIC)
		elapsed %= period;
	return elapsed >= period ? 0 : l->initial_count - (u32)(elapsed >> divide_shift(l));
}

/* Arm for the next expiry that matters after `now`. */
static void timer_schedule(struct lapic *l, u64 now)
{
	u64 deadline = TIMER_NEVER;

	if (l->running && timer_mode(l) == TIMER_PERIODIC) {
		/*
		 * Expiries are at start + k * period, for ever: no drift.  Those that were
		 * missed are one interrupt (IRR could not hold more).
		 */
		u64 period = timer_period(l), from = max_u64(now + 1, l->start + period);

		if (period < PERIOD_MIN_NS)
			from = max_u64(from, now + PERIOD_MIN_NS);
		deadline = l->start + (from - l->start + period - 1) / period * period;
	} else if (l->running) {
		deadline = l->start + timer_period(l);
	}
	timer_arm(l->bus, &l->timer, deadline);
}

static void timer_expired(struct lapic *l)
{
	if (!(l->lvt[LVT_TIMER] & LVT_MASKED))
		l->timer_irqs++;
	lvt_raise(l, LVT_TIMER);
}

static void timer_fire(void *dev, u64 now)
{
	struct lapic *l = dev;

	if (timer_mode(l) == TIMER_DEADLINE) {
		if (!l->tsc_deadline)
			return;
		l->tsc_deadline = 0;
	} else {
		if (!l->running)
			return;
		if (timer_mode(l) != TIMER_PERIODIC)
			l->running = false;
		timer_schedule(l, now);
	}
	timer_expired(l);
}

/* An expiry that is due has happened, even if the host has not come to fire it. */
static void timer_settle(struct lapic *l, u64 now)
{
	if (l->timer.deadline > now)
		return;
	timer_arm(l->bus, &l->timer, TIMER_NEVER);
	timer_fire(l, now);
}

static void timer_stop(struct lapic *l)
{
	l->running = false;
	l->initial_count = 0;
	l->tsc_deadline = 0;
	timer_arm(l->bus, &l->timer, TIMER_NEVER);
}

static void timer_start(struct lapic *l, u32 count)
{
	u64 now = bus_now(l->bus);

	if (timer_mode(l) == TIMER_DEADLINE)
		return;			/* the register is dead in this mode */
	timer_settle(l, now);
	l->initial_count = count;
	l->running = count != 0;
	l->start = now;
	timer_schedule(l, now);
}

/*
 * Something that the count's progress depends on is about to change: express
 * what has been counted so far in a new `start`.
 */
static void timer_rebase(struct lapic *l, u32 *reg, u32 value)
{
	u64 now = bus_now(l->bus);
	u32 left;

	timer_settle(l, now);
	left = current_count(l, now);
	*reg = value;
	if (!l->running)
		return;
	l->running = left != 0;
	l->start = now - ((u64)(l->initial_count - left) << divide_shift(l));
	timer_schedule(l, now);
}

/* The deadline is a host TSC value, because the guest's RDTSC is the host's. */
static void timer_set_deadline(struct lapic *l, u64 tsc)
{
	u64 ahead = tsc - rdtsc();

	if (timer_mode(l) != TIMER_DEADLINE)
		return;
	timer_settle(l, bus_now(l->bus));
	l->tsc_deadline = tsc;
	if (!tsc) {
		timer_arm(l->bus, &l->timer, TIMER_NEVER);
	} else if ((s64)ahead <= 0 && tsc < BIT64(63)) {
		l->tsc_deadline = 0;
		timer_arm(l->bus, &l->timer, TIMER_NEVER);
		timer_expired(l);
	} else if (ahead >= BIT64(60)) {
		timer_arm(l->bus, &l->timer, TIMER_NEVER);	/* centuries */
	} else {
		/* Round up: the guest must not see a TSC below its deadline. */
		timer_arm(l->bus, &l->timer,
			  bus_now(l->bus) + clock_tsc_to_ns(l->bus->clock, ahead) + 1);
	}
}

/* --- Registers --------------------------------------------------------------- */

static void write_lvt(struct lapic *l, enum lapic_lvt n, u32 v)
{
	v &= lvt_writable[n];
	if (!(l->svr & SVR_ENABLE))
		v |= LVT_MASKED;
	if (n == LVT_TIMER) {
		unsigned old = timer_mode(l), new = (unsigned)bits_get(v, TIMER_MODE_SHIFT, 2);

		if (new == TIMER_RESERVED) {
			trace(unimp, "lapic %u: timer mode 3", l->index);
			v &= ~(3u << TIMER_MODE_SHIFT);
			new = TIMER_ONESHOT;
		}
		if (old != new && (old == TIMER_DEADLINE || new == TIMER_DEADLINE)) {
			timer_settle(l, bus_now(l->bus));
			timer_stop(l);
			l->lvt[n] = v;
		} else {
			timer_rebase(l, &l->lvt[n], v);
		}
	} else {
		l->lvt[n] = v;
	}
	update(l);			/* LINT0 may now pass, or stop passing, the 8259 */
}

static void write_svr(struct lapic *l, u32 v)
{
	l->svr = v & SVR_WRITABLE;
	if (!(l->svr & SVR_ENABLE))
		for (unsigned i = 0; i < LVT_COUNT; i++)
			l->lvt[i] |= LVT_MASKED;
	update(l);
}

/* The register as the guest reads it; false: there is none. */
static bool reg_get(const struct lapic *l, u32 reg, u32 *v)
{
	switch (reg) {
	case REG_ID:		*v = (u32)l->id << 24; break;
	case REG_VERSION:	*v = VERSION; break;
	case REG_TPR:		*v = l->tpr; break;
	case REG_APR:		*v = arbitration_priority(l); break;
	case REG_PPR:		*v = lapic_ppr(l); break;
	case REG_EOI:		*v = 0; break;
	case REG_RRD:		*v = 0; break;
	case REG_LDR:		*v = l->ldr; break;
	case REG_DFR:		*v = l->dfr; break;
	case REG_SVR:		*v = l->svr; break;
	case REG_ISR ... REG_ISR + 0x70: *v = l->isr[bits_get(reg, 4, 3)]; break;
	case REG_TMR ... REG_TMR + 0x70: *v = l->tmr[bits_get(reg, 4, 3)]; break;
	case REG_IRR ... REG_IRR + 0x70: *v = l->irr[bits_get(reg, 4, 3)]; break;
	case REG_ESR:		*v = l->esr; break;
	case REG_ICR_LO:	*v = l->icr_lo; break;
	case REG_ICR_HI:	*v = l->icr_hi; break;
	case REG_LVT ... REG_LVT + (LVT_COUNT - 1) * 0x10: *v = l->lvt[(reg - REG_LVT) / 0x10]; break;
	case REG_INITIAL_COUNT:	*v = l->initial_count; break;
	case REG_CURRENT_COUNT:	*v = current_count(l, bus_now(l->bus)); break;
	case REG_DIVIDE:	*v = l->divide; break;
	default: return false;
	}
	return true;
}

static u32 reg_read(struct lapic *l, u32 reg)
{
	u32 v;

	if (reg_get(l, reg, &v))
		return v;
	trace(unimp, "lapic %u: read of register %#x", l->index, reg);
	error(l, ESR_REGISTER);
	return 0;
}

static void reg_write(struct lapic *l, u32 reg, u32 v)
{
	switch (reg) {
	case REG_ID:
		l->id = (u8)(v >> 24);
		break;
	case REG_TPR:
		l->tpr = (u8)v;
		update(l);
		break;
	case REG_EOI:
		eoi(l);
		break;
	case REG_LDR:
		l->ldr = v & 0xff000000;
		break;
	case REG_DFR:
		l->dfr = v | 0x0fffffff;
		break;
	case REG_SVR:
		write_svr(l, v);
		break;
	case REG_ESR:			/* a write shows what was collected since the last one */
		l->esr = l->esr_pending;
		l->esr_pending = 0;
		break;
	case REG_ICR_LO:
		l->icr_lo = v & ICR_WRITABLE;
		icr_send(l);
		break;
	case REG_ICR_HI:
		l->icr_hi = v & 0xff000000;
		break;
	case REG_LVT ... REG_LVT + (LVT_COUNT - 1) * 0x10:
		write_lvt(l, (enum lapic_lvt)((reg - REG_LVT) / 0x10), v);
		break;
	case REG_INITIAL_COUNT:
		timer_start(l, v);
		break;
	case REG_DIVIDE:
		timer_rebase(l, &l->divide, v & 0xb);
		break;
	case REG_VERSION: case REG_APR: case REG_PPR: case REG_RRD: case REG_CURRENT_COUNT:
	case REG_ISR ... REG_ISR + 0x70:
	case REG_TMR ... REG_TMR + 0x70:
	case REG_IRR ... REG_IRR + 0x70:
		break;			/* read-only; kernels write the version to probe */
	default:
		trace(unimp, "lapic %u: write of %#x to register %#x", l->index, v, reg);
		error(l, ESR_REGISTER);
	}
}

/* Registers are 32 bits at multiples of 16; the rest of each 16 bytes is undefined. */
static u64 mmio_read(void *dev, unsigned cpu, u64 off, unsigned size)
{
	struct lapic *array = dev;
	u64 v;

	if (cpu >= array->count || !globally_on(&array[cpu]))
		return size_mask(size);
	if ((off & 15) + size > 4 && (off & 15) != 0) {
		trace(unimp, "lapic %u: read of %u bytes at %#llx", cpu, size, (unsigned long long)off);
		return 0;
	}
	v = reg_read(&array[cpu], off & 0xff0) >> ((off & 3) * 8);
	trace(mmio, "lapic %u: %#llx is %#llx", cpu, (unsigned long long)off, (unsigned long long)v);
	return v & size_mask(size);
}

static void mmio_write(void *dev, unsigned cpu, u64 off, unsigned size, u64 value)
{
	struct lapic *array = dev;

	if (cpu >= array->count || !globally_on(&array[cpu]))
		return;
	if ((off & 15) || size < 4) {
		trace(unimp, "lapic %u: write of %u bytes at %#llx", cpu, size, (unsigned long long)off);
		return;
	}
	trace(mmio, "lapic %u: %#llx := %#x", cpu, (unsigned long long)off, (u32)value);
	reg_write(&array[cpu], off & 0xff0, (u32)value);
}

static const struct mmio_ops lapic_ops = { mmio_read, mmio_write };

bool lapic_msr_read(struct lapic *l, u32 msr, u64 *value)
{
	switch (msr) {
	case MSR_APIC_BASE:
		*value = l->apic_base;
		return true;
	case MSR_TSC_DEADLINE:
		*value = l->tsc_deadline;
		return true;
	}
	return false;
}

/* What an INIT also does: registers, but neither the MSR nor the APIC ID. */
static void reset_registers(struct lapic *l)
{
	l->tpr = 0;
	l->ldr = 0;
	l->dfr = ~0u;
	l->svr = 0xff;
	l->esr = l->esr_pending = l->icr_lo = l->icr_hi = l->divide = 0;
	for (unsigned i = 0; i < LVT_COUNT; i++)
		l->lvt[i] = LVT_MASKED;
	for (unsigned i = 0; i < ARRAY_SIZE(l->irr); i++)
		l->irr[i] = l->isr[i] = l->tmr[i] = 0;
	timer_stop(l);
}

bool lapic_msr_write(struct lapic *l, u32 msr, u64 value)
{
	switch (msr) {
	case MSR_APIC_BASE:
		if ((value & ~(BASE_BSP | BASE_ENABLE | BASE_ADDRESS)) ||
		    (value & BASE_ADDRESS) != PC_LAPIC_BASE)
			return false;	/* reserved bits, x2APIC; one page serves all CPUs */
		if ((l->apic_base ^ value) & BASE_ENABLE)
			reset_registers(l);
		l->apic_base = value;
		update(l);
		return true;
	case MSR_TSC_DEADLINE:
		timer_set_deadline(l, value);
		return true;
	}
	return false;
}

void lapic_reset(struct lapic *l)
{
	l->id = (u8)l->index;
	l->apic_base = PC_LAPIC_BASE | BASE_ENABLE | (l->index == 0 ? BASE_BSP : 0);
	reset_registers(l);
	if (l->index == 0) {
		l->svr |= SVR_ENABLE;
		l->lvt[LVT_LINT0] = LAPIC_EXTINT << LVT_MODE_SHIFT;
		l->lvt[LVT_LINT1] = LAPIC_NMI << LVT_MODE_SHIFT;
	}
	update(l);
}

/* --- Handing over -------------------------------------------------------------- */

void lapic_save(struct lapic *l, struct lapic_state *out)
{
	timer_settle(l, bus_now(l->bus));
	*out = (struct lapic_state){
		.apic_base = l->apic_base, .tsc_deadline = l->tsc_deadline, .esr_pending = l->esr_pending,
		.timer_due = l->running ? l->timer.deadline : 0,
	};
	for (u32 i = 0; i < LAPIC_REGS; i++)
		if (!reg_get(l, i << 4, &out->reg[i]))
			out->reg[i] = 0;
	timer_arm(l->bus, &l->timer, TIMER_NEVER);
}

static void load_registers(struct lapic *l, const u32 *reg)
{
	l->id = (u8)(reg[REG_ID >> 4] >> 24);
	l->tpr = (u8)reg[REG_TPR >> 4];
	l->ldr = reg[REG_LDR >> 4] & 0xff000000;
	l->dfr = reg[REG_DFR >> 4] | 0x0fffffff;
	l->svr = reg[REG_SVR >> 4] & SVR_WRITABLE;
	l->esr = reg[REG_ESR >> 4];
	l->icr_lo = reg[REG_ICR_LO >> 4] & ICR_WRITABLE;
	l->icr_hi = reg[REG_ICR_HI >> 4] & 0xff000000;
	l->divide = reg[REG_DIVIDE >> 4] & 0xb;
	l->initial_count = reg[REG_INITIAL_COUNT >> 4];
	for (unsigned i = 0; i < LVT_COUNT; i++) {
		l->lvt[i] = reg[(REG_LVT >> 4) + i] & lvt_writable[i];
		if (!(l->svr & SVR_ENABLE))
			l->lvt[i] |= LVT_MASKED;
	}
	if (timer_mode(l) == TIMER_RESERVED)
		l->lvt[LVT_TIMER] &= ~(3u << TIMER_MODE_SHIFT);
	for (unsigned i = 0; i < ARRAY_SIZE(l->irr); i++) {
		u32 legal = i ? ~0u : ~(u32)bit_mask(VECTOR_FIRST);

		l->irr[i] = reg[(REG_IRR >> 4) + i] & legal;
		l->isr[i] = reg[(REG_ISR >> 4) + i] & legal;
		l->tmr[i] = reg[(REG_TMR >> 4) + i] & legal;
	}
}

void lapic_load(struct lapic *l, const struct lapic_state *in)
{
	u64 now = bus_now(l->bus), period, due = in->timer_due, periods = 1;

	l->apic_base = PC_LAPIC_BASE | (in->apic_base & (BASE_BSP | BASE_ENABLE));
	load_registers(l, in->reg);
	l->esr_pending = in->esr_pending;
	l->running = false;
	l->tsc_deadline = 0;
	timer_arm(l->bus, &l->timer, TIMER_NEVER);
	period = timer_period(l);
	if (timer_mode(l) == TIMER_DEADLINE) {
		if (in->tsc_deadline)
			timer_set_deadline(l, in->tsc_deadline);
	} else if (due && period) {
		/* Several periods ahead, if they are shorter than PERIOD_MIN_NS: the count has to have begun. */
		if (due > now)
			periods = (due - now + period - 1) / period;
		l->start = due - periods * period;
		l->running = true;
		timer_arm(l->bus, &l->timer, due);
	}
	update(l);
}

/* --- Construction -------------------------------------------------------------- */

void lapic_init(struct lapic *l, struct bus *b, unsigned id, const struct lapic_hooks *h)
{
	int r;

	__builtin_memset(l, 0, sizeof *l);
	l->bus = b;
	l->hooks = *h;
	l->index = id;
	r = bus_add_timer(b, &l->timer, timer_fire, l);
	CHECK(r == 0);			/* BUS_TIMER_MAX is ours */
	lapic_reset(l);
}

int lapic_bus_add(struct bus *b, struct lapic *array, unsigned n)
{
	array->count = n;
	return bus_add_mmio(b, PC_LAPIC_BASE, PAGE_SIZE, &lapic_ops, array, "lapic");
}
