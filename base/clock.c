/* See base/clock.h. */
#include <errno.h>
#include <time.h>
#include "base/clock.h"

/* One (TSC, ns) pair, taken as the tightest of several bracketed readings. */
static void sample(u64 *tsc, u64 *ns)
{
	u64 best = ~0ull;

	for (int i = 0; i < 16; i++) {
		struct timespec ts;
		u64 a = rdtsc(), b;

		clock_gettime(CLOCK_MONOTONIC, &ts);
		b = rdtsc();
		if (b - a < best) {
			best = b - a;
			*tsc = a + (b - a) / 2;
			*ns = (u64)ts.tv_sec * 1000000000ull + (u64)ts.tv_nsec;
		}
	}
}

int clock_init(struct clock *c)
{
	struct timespec pause = { 0, 20 * 1000 * 1000 };
	u64 t0, n0, t1, n1;

	sample(&t0, &n0);
	nanosleep(&pause, NULL);
	sample(&t1, &n1);
	if (t1 <= t0 || n1 <= n0)
		return -ENOTSUP;
	c->tsc_hz = (u64)((unsigned __int128)(t1 - t0) * 1000000000ull / (n1 - n0));
	c->ns_per_tsc = (u64)(((unsigned __int128)(n1 - n0) << 32) / (t1 - t0));
	c->tsc_per_ns = (u64)(((unsigned __int128)(t1 - t0) << 32) / (n1 - n0));
	c->tsc_start = rdtsc();
	return 0;
}
