/*
 * Exact conversion between guest nanoseconds and the ticks of an oscillator
 * that started at guest time 0.  A timer that counts in its own ticks and
 * converts only to arm itself cannot drift.
 */
#ifndef IO_TICK_H
#define IO_TICK_H

#include "base/types.h"

#define NS_PER_SEC 1000000000u

/* However fast a guest programs a periodic timer, it fires no more often than this. */
#define TICK_SPACING_NS 20000u
/* After a stall, periodic timers make up for at most this much lost time; the rest never happened. */
#define TICK_BACKLOG_NS 250000000u

/* a * b / c without overflow as long as the result fits; b and c below 2^32. */
static inline u64 mul_div(u64 a, u32 b, u32 c)
{
	return a / c * b + a % c * b / c;
}

/* Ticks completed at `ns`. */
static inline u64 tick_at(u64 ns, u32 hz) { return mul_div(ns, hz, NS_PER_SEC); }

/* The first nanosecond at which `tick` ticks are complete. */
static inline u64 tick_ns(u64 tick, u32 hz)
{
	return tick / hz * NS_PER_SEC + (tick % hz * NS_PER_SEC + hz - 1) / hz;
}

/*
 * When a periodic event follows one that was due at `last`: one period later,
 * and by whole periods later still if that is more than `backlog` in the past.
 */
static inline u64 tick_after(u64 last, u64 period, u64 now, u64 backlog)
{
	u64 next = last + period, late = now > next ? now - next : 0;

	if (late > backlog)
		next += (late - backlog + period - 1) / period * period;
	return next;
}

#endif
