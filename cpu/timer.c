/* See cpu/timer.h. */
#include <signal.h>
#include <time.h>
#include "base/log.h"
#include "base/sys.h"
#include "cpu/timer.h"

#ifndef SIGEV_THREAD_ID
#define SIGEV_THREAD_ID 4
#endif

int exec_timer_attach(struct exec *x)
{
	struct { void *value; int signo, notify, tid; int pad[12]; } ev = {
		.signo = SIG_KICK, .notify = SIGEV_THREAD_ID, .tid = x->tid,
	};
	long r = sys3(SYS_timer_create, CLOCK_MONOTONIC, (long)&ev, (long)&x->timer_id);

	x->armed_deadline = ~0ull;
	return (int)r;
}

void exec_timer_update(struct exec *x, u64 deadline)
{
	struct { s64 interval_sec, interval_nsec, sec, nsec; } its = { 0 };
	u64 now, wait;

	if (deadline >= x->armed_deadline)
		return;
	now = clock_ns(x->clock);
	wait = deadline > now ? deadline - now : 1;
	its.sec = (s64)(wait / 1000000000u);
	its.nsec = (s64)(wait % 1000000000u);
	x->armed_deadline = deadline;
	trace(timer, "host timer set, due in %llu ns", (unsigned long long)wait);
	sys6(SYS_timer_settime, x->timer_id, 0, (long)&its, 0, 0, 0);
}
