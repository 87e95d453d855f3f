/*
 * Guest time: nanoseconds since power-on, derived from the host's TSC, so
 * that reading it needs no system call and agrees with what the guest
 * computes from RDTSC.  Lives in the shared arena.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/types.h"

struct clock {
	u64 tsc_hz;		/* host TSC frequency, measured at start */
	u64 tsc_start;		/* TSC at power-on */
	u64 ns_per_tsc;		/* 2^32-scaled nanoseconds per TSC tick */
	u64 tsc_per_ns;		/* 2^32-scaled TSC ticks per nanosecond */
};

static inline u64 rdtsc(void)
{
	u32 lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (u64)hi << 32 | lo;
}

static inline u64 mul_shift32(u64 a, u64 b) { return (u64)(((unsigned __int128)a * b) >> 32); }

static inline u64 clock_tsc_to_ns(const struct clock *c, u64 ticks)
{
	return mul_shift32(ticks, c->ns_per_tsc);
}

static inline u64 clock_ns(const struct clock *c)
{
	return clock_tsc_to_ns(c, rdtsc() - c->tsc_start);
}

/* The TSC and CLOCK_MONOTONIC at one moment. */
struct clock_sample { u64 tsc, ns; };

/* Monitor only: they use libc. */
struct clock_sample clock_sample(void);
/*
 * Measure the TSC against CLOCK_MONOTONIC since `first`, for at least 20 ms, and start guest time at
 * zero.  Returns 0, or -ENOTSUP when the TSC does not advance.
 */
int clock_init(struct clock *c, struct clock_sample first);

#endif
