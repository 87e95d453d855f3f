/*
 * The local APIC of one CPU.  Between interrupt sources and the CPU's INTR
 * pin; knows nothing of other CPUs: what leaves through the ICR goes to the
 * `send` hook, and the owner asks lapic_matches who is meant.
 *
 * All calls with the bus lock held.
 */
#ifndef IO_LAPIC_H
#define IO_LAPIC_H

#include "io/bus.h"

enum lapic_mode {		/* delivery modes, the same in ICR, LVT and I/O APIC */
	LAPIC_FIXED = 0, LAPIC_LOWEST = 1, LAPIC_SMI = 2, LAPIC_NMI = 4,
	LAPIC_INIT = 5, LAPIC_SIPI = 6, LAPIC_EXTINT = 7,
};

enum lapic_shorthand {
	LAPIC_TO_DEST = 0, LAPIC_TO_SELF = 1, LAPIC_TO_ALL = 2, LAPIC_TO_OTHERS = 3,
};

enum lapic_lvt {		/* in the order of the registers from 0x320 */
	LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT,
};

struct lapic_hooks {
	void *opaque;
	/* lapic_intr() or lapic_accepts_extint() may have changed. */
	void (*update)(void *opaque, unsigned id);
	void (*nmi)(void *opaque, unsigned id);
	void (*init)(void *opaque, unsigned id);
	void (*sipi)(void *opaque, unsigned id, u8 vector);
	/* A level-triggered vector was completed: for the I/O APIC. */
	void (*eoi)(void *opaque, u8 vector);
	/*
	 * An ICR write that is not for this CPU alone (the self shorthand never
	 * comes here, nor does an INIT level de-assert).  With shorthand
	 * LAPIC_TO_ALL, `src` is included.
	 */
	void (*send)(void *opaque, unsigned src, u8 vector, unsigned mode, bool logical, u8 dest,
		     unsigned shorthand, bool level, bool assert_);
};

struct lapic {
	struct bus *bus;
	struct lapic_hooks hooks;
	unsigned index;			/* which CPU: hooks' `id`, and the APIC ID after reset */
	unsigned count;			/* in element 0: the array's length, set by lapic_bus_add */
	u64 apic_base;			/* IA32_APIC_BASE */
	u8 id, tpr;
	bool lint_level[2];
	u32 ldr, dfr, svr, esr, esr_pending, icr_lo, icr_hi;
	u32 lvt[LVT_COUNT];
	u32 irr[8], isr[8], tmr[8];
	/* Timer: ticks of 1 << divide_shift ns since `start`; idle unless `running`. */
	u32 initial_count, divide;
	bool running;
	u64 start;			/* guest ns at which the count was initial_count */
	u64 tsc_deadline;		/* host TSC; 0 = disarmed */
	struct vtimer timer;
	u64 timer_irqs, ipis;		/* for the statistics */
};

#define LAPIC_REGS 64u			/* registers are 16 bytes apart */

/* What another engine needs to go on. */
struct lapic_state {
	u64 apic_base;			/* IA32_APIC_BASE */
	u64 tsc_deadline;		/* IA32_TSC_DEADLINE in host TSC; 0 = disarmed */
	u64 timer_due;			/* guest ns at which the running count expires next; 0 = none runs */
	u32 esr_pending;		/* errors that the next write to ESR shows */
	u32 reg[LAPIC_REGS];		/* as the guest reads them; loading takes CURRENT_COUNT from timer_due */
};

void lapic_init(struct lapic *l, struct bus *b, unsigned id, const struct lapic_hooks *h);
/* The MMIO page, dispatching to array[cpu].  The LAPICs must be neighbours. */
MUST_USE int lapic_bus_add(struct bus *b, struct lapic *array, unsigned n);
/*
 * Power-on state; on CPU 0 as a BIOS leaves it for a PC without an I/O APIC
 * driver: enabled, LINT0 passing the 8259's interrupts, LINT1 NMI.
 */
void lapic_reset(struct lapic *l);

/* Highest vector that the CPU may take now (above PPR), or -1.  Changes nothing. */
int lapic_intr(const struct lapic *l);
/* Take it: IRR to ISR.  The vector or -1. */
int lapic_ack(struct lapic *l);
/* Does the 8259's output reach the CPU through here?  Also when the LAPIC is off altogether. */
bool lapic_accepts_extint(const struct lapic *l);

/* A message from the I/O APIC or another LAPIC that is known to be for this one. */
void lapic_deliver(struct lapic *l, u8 vector, unsigned delivery_mode, bool level);
/* Local pins LINT0 (the 8259's output) and LINT1. */
void lapic_lint(struct lapic *l, unsigned pin, bool level);
bool lapic_matches(const struct lapic *l, bool logical, u8 dest);
/* Processor priority, for lowest-priority arbitration. */
u8 lapic_ppr(const struct lapic *l);

/* IA32_APIC_BASE, IA32_TSC_DEADLINE.  False: another MSR, or #GP. */
bool lapic_msr_read(struct lapic *l, u32 msr, u64 *value);
bool lapic_msr_write(struct lapic *l, u32 msr, u64 value);

/* Take the state out and stop the timer; an expiry that is due has happened. */
void lapic_save(struct lapic *l, struct lapic_state *out);
/* Go on from a state, timer included; a deadline that is past expires now. */
void lapic_load(struct lapic *l, const struct lapic_state *in);

#endif
