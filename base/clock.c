/* See base/clock.h. */
#include <errno.h>
#include <time.h>
#include "base/clock.h"

#define MEASURE_NS 20000000u

/* The tightest of several bracketed readings. */
struct clock_sample clock_sample(void)
{
	struct clock_sample s = { 0 };
	u64 best = ~0ull;

	for (int i = 0; i < 16; i++) {
		struct timespec ts;
		u64 a = rdtsc(), b;

		clock_gettime(CLOCK_MONOTONIC, &ts);
		b = rdtsc();
		if (b - a < best) {
			best = b - a;
			s.tsc = a + (b - a) / 2;
			s.ns = (u64)ts.tv_sec * 1000000000ull + (u64)ts.tv_nsec;
		}
	}
	return s;
}

int clock_init(struct clock *c, struct clock_sample first)
{
	struct clock_sample last = clock_sample();
	u64 tsc, ns;

	if (last.ns - first.ns < MEASURE_NS) {
		struct timespec pause = { 0, (long)(MEASURE_NS - (last.ns - first.ns)) };

		nanosleep(&pause, NULL);
		last = clock_sample();
	}
	tsc = last.tsc - first.tsc;
	ns = last.ns - first.ns;
	if (last.tsc <= first.tsc || last.ns <= first.ns)
		return -ENOTSUP;
	c->tsc_hz = (u64)((unsigned __int128)tsc * 1000000000ull / ns);
	c->ns_per_tsc = (u64)(((unsigned __int128)ns << 32) / tsc);
	c->tsc_per_ns = (u64)(((unsigned __int128)tsc << 32) / ns);
	c->tsc_start = rdtsc();
	return 0;
}
