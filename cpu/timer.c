/* See cpu/timer.h. */
#include <signal.h>
#include <time.h>
#include "base/log.h"
#include "base/sys.h"
#include "cpu/timer.h"

#ifndef SIGEV_THREAD_ID
#define SIGEV_THREAD_ID 4
#endif

int exec_timer_attach(struct space *s)
{
	struct { void *value; int signo, notify, tid; int pad[12]; } ev = {
		.signo = SIG_KICK, .notify = SIGEV_THREAD_ID, .tid = s->tid,
	};
	long r = sys3(SYS_timer_create, CLOCK_MONOTONIC, (long)&ev, (long)&s->timer_id);

	s->armed_deadline = ~0ull;
	return (int)r;
}

void exec_timer_update(struct exec *x, u64 deadline)
{
	struct { s64 interval_sec, interval_nsec, sec, nsec; } its = { 0 };
	struct space *s = x->space;
	u64 now, wait;

	if (deadline >= s->armed_deadline)
		return;
	now = clock_ns(x->clock);
	wait = deadline > now ? deadline - now : 1;
	its.sec = (s64)(wait / 1000000000u);
	its.nsec = (s64)(wait % 1000000000u);
	s->armed_deadline = deadline;
	trace(timer, "host timer set, due in %llu ns", (unsigned long long)wait);
	sys6(SYS_timer_settime, s->timer_id, 0, (long)&its, 0, 0, 0);
}
