/* Events from outside the CPU, the same for both engines (see cpu/engine.h). */
#include <linux/futex.h>
#include "base/sys.h"
#include "cpu/engine.h"
#include "cpu/timer.h"

void event_poll(struct exec *x)
{
	const struct platform *p = x->v.platform;

	p->host_events(p->opaque);
	if (x->timer_due || p->next_deadline(p->opaque) <= clock_ns(x->clock)) {
		x->timer_due = 0;
		x->space->armed_deadline = ~0ull;
		space_tick(x);
		exec_timer_update(x, p->run_timers(p->opaque));
	}
}

void event_idle(struct exec *x, void (*take)(struct exec *x))
{
	struct vcpu *v = &x->v;
	const struct platform *p = v->platform;

	exec_account(x, &v->count->ns_monitor);
	while (v->halted && !p->leave(p->opaque)) {
		u32 ticket = __atomic_load_n(&v->halt_futex, __ATOMIC_ACQUIRE);
		u64 now, deadline;

		x->attention = 0;
		exec_account(x, &v->count->ns_idle);
		take(x);
		if (!v->halted)
			break;
		now = clock_ns(x->clock);
		deadline = p->next_deadline(p->opaque);
		if (deadline > now && !x->timer_due) {
			u64 wait = deadline - now;
			struct { s64 sec, nsec; } ts = { (s64)(wait / 1000000000u), (s64)(wait % 1000000000u) };

			sys6(SYS_futex, (long)&v->halt_futex, FUTEX_WAIT, ticket,
			     deadline == ~0ull ? 0 : (long)&ts, 0, 0);
		}
	}
	exec_account(x, &v->count->ns_idle);
}
