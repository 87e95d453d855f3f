/*
 * The I/O APIC: 24 inputs, each turned into a message by its redirection entry.
 * Inputs are logical ("asserted"): the polarity bit is stored and not applied.
 *
 * All calls with the bus lock held.
 */
#ifndef IO_IOAPIC_H
#define IO_IOAPIC_H

#include "io/bus.h"

#define IOAPIC_INPUTS 24u

struct ioapic_hooks {
	void *opaque;
	/* `mode` as enum lapic_mode; `level` as in the entry's trigger bit. */
	void (*deliver)(void *opaque, u8 dest, bool logical, unsigned mode, u8 vector, bool level);
};

struct ioapic {
	struct bus *bus;
	struct ioapic_hooks hooks;
	u8 id, select;
	u32 inputs;			/* levels; they belong to the devices and survive a reset */
	u64 rte[IOAPIC_INPUTS];
};

/* What another engine needs to go on. */
struct ioapic_state {
	u8 id, select;
	u32 inputs;
	u64 rte[IOAPIC_INPUTS];		/* remote IRR included */
};

void ioapic_init(struct ioapic *a, struct bus *b, const struct ioapic_hooks *h);
void ioapic_reset(struct ioapic *a);
/* An irq_line's `set`. */
void ioapic_set(void *ioapic, unsigned n, bool level);
/* A CPU completed a level-triggered vector. */
void ioapic_eoi(struct ioapic *a, u8 vector);

void ioapic_save(const struct ioapic *a, struct ioapic_state *out);
/*
 * `inputs` are the levels now, and are no edges; `in->inputs` is ignored.  A level-triggered input that is
 * asserted and that nobody serves yet is sent.
 */
void ioapic_load(struct ioapic *a, const struct ioapic_state *in, u32 inputs);

#endif
