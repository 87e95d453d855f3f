/*
 * The interrupt controllers and the interval timer as numbers, for an engine
 * that brings its own (KVM's in-kernel chips): the models hand their state over,
 * stand still, and take it back.
 *
 * While released, the models take no accesses and arm no timers; interrupt lines
 * of devices are still tracked, and every change goes to the `gsi` hook.
 */
#ifndef IO_CHIPS_H
#define IO_CHIPS_H

#include "io/ioapic.h"
#include "io/lapic.h"
#include "io/pc.h"

#define CHIPS_LAPIC_REGS 64u		/* registers are 16 bytes apart */

struct chips_state {
	struct {
		u8 lines, irr, imr, isr, elcr, base, lowest, icw_next;
		bool needs_icw4, single, level_all, auto_eoi, rotate_aeoi, special_mask, special_nested, read_isr, poll;
	} pic[2];			/* master, slave; as in struct pic_chip */
	struct {
		u8 id, select;
		u32 inputs;		/* levels */
		u64 rte[IOAPIC_INPUTS];
	} ioapic;
	struct {
		u64 apic_base, tsc_deadline;	/* MSRs; the deadline in host TSC, 0: disarmed */
		u32 reg[CHIPS_LAPIC_REGS];	/* the register page, CURRENT_COUNT included */
	} lapic;			/* of CPU 0: the machine has one */
	struct {
		struct {
			u32 count;	/* reload value, 1..65536 */
			u64 elapsed;	/* ticks of PIT_HZ since it was loaded */
			u16 latch;
			u8 status, write_low, mode, rw;
			bool bcd, gate, loaded, written, latched, status_latched, read_high, write_high, latch_high;
		} ch[3];
		u8 speaker;		/* port 0x61, bits 0 and 1 */
	} pit;
	u32 gsi;			/* levels of the 24 inputs as the devices drive them */
};

/* From now on an external chip set decides; gsi(opaque, n, level) is told of each line that changes.  Takes the lock. */
void pc_chips_release(struct pc *pc, struct chips_state *out,
		      void (*gsi)(void *opaque, unsigned gsi, bool level), void *opaque);
/* The models go on from `in`; `in->gsi` is ignored: the devices know their lines.  Takes the lock. */
void pc_chips_adopt(struct pc *pc, const struct chips_state *in);

#endif
