/*
 * The interrupt controllers and the interval timer as numbers, for an engine
 * that brings its own (KVM's in-kernel chips): the models hand their state over,
 * stand still, and take it back.
 *
 * While released, the models see no line change and no time, arm no timers and
 * tell the CPU nothing; whoever has the chips must not let guest accesses through
 * to them either.  Devices' interrupt lines are still tracked, and every change
 * goes to the `gsi` hook.
 *
 * Of several local APICs only CPU 0's takes part: hw mode has one CPU.
 */
#ifndef IO_CHIPS_H
#define IO_CHIPS_H

#include "io/ioapic.h"
#include "io/lapic.h"
#include "io/pc.h"
#include "io/pic.h"
#include "io/pit.h"

struct chips_state {
	struct pic_chip pic[2];		/* master, slave; `lines` are not needed to go on */
	struct ioapic_state ioapic;
	struct lapic_state lapic;
	struct pit_state pit;
	u32 gsi;			/* levels of the 24 inputs as the devices drive them; 0 is the PIT's */
};

typedef void chips_gsi(void *opaque, unsigned gsi, bool level);

/*
 * From now on an external chip set decides.  gsi(opaque, n, level) is told of each line
 * that changes, with the bus lock held.  Takes the lock; the machine must not be released already.
 */
void pc_chips_release(struct pc *pc, struct chips_state *out, chips_gsi *gsi, void *opaque);
/* What pc_chips_release handed out last: to go on from, or to fill in what another chip set does not know. */
const struct chips_state *pc_chips_released(const struct pc *pc);
/*
 * The models go on from `in`; in->gsi is ignored: the devices know their lines.  Requests that
 * were latched stay, present levels are no edges, and cpu_intr is told what is deliverable.  Takes the
 * lock; look at the bus's next deadline afterwards.
 */
void pc_chips_adopt(struct pc *pc, const struct chips_state *in);
bool pc_chips_external(const struct pc *pc);

#endif
