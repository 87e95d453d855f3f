/*
 * The 8254 interval timer, and port 0x61, which gates and shows its channel 2.
 */
#ifndef IO_PIT_H
#define IO_PIT_H

#include "io/bus.h"

#define PIT_HZ 1193182u

struct pit_channel {
	u64 start;		/* tick at which `count` entered the counting element */
	u64 paused;		/* ticks counted when the gate fell */
	u32 count;		/* 1..65536 (10000 in BCD) */
	u32 next_count;		/* of a periodic mode, from tick `next_start`; 0 = none */
	u64 next_start;
	u16 latch;
	u8 write_low;
	u8 status;
	u8 mode, rw;
	bool bcd, gate;
	bool loaded;		/* counts (the one-shots with a hardware trigger: was triggered) */
	bool written;		/* a count was written since the control word */
	bool latched, status_latched;
	bool read_high, write_high, latch_high;	/* which byte of two comes next */
};

struct pit {
	struct bus *bus;
	struct irq_line irq;
	struct pit_channel ch[3];
	struct vtimer timer;	/* channel 0's next rising edge */
	u64 edge;		/* that edge's tick: runs behind while catching up */
	u8 speaker;		/* port 0x61, bits 0 and 1 */
};

/* What another engine needs to go on; ticks and ns count from guest time 0. */
struct pit_state {
	struct pit_channel ch[3];
	u64 edge;		/* tick of channel 0's next rising edge, if one is due */
	u64 due;		/* guest ns at which it is delivered; TIMER_NEVER: none is due */
	u8 speaker;
};

MUST_USE int pit_init(struct pit *p, struct bus *b, struct irq_line irq);
void pit_reset(struct pit *p);

/* Take the state out and stop the timer; an edge that is due has happened. */
void pit_save(struct pit *p, struct pit_state *out);
/* Go on from a state.  The line stays as it was left: with it, an edge is always a fall and a rise. */
void pit_load(struct pit *p, const struct pit_state *in);

#endif
