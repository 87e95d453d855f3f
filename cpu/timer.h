/*
 * The executor's own alarm: a POSIX timer that signals this thread when the
 * earliest device timer is due while guest code runs.  (Idle vCPUs use the
 * futex's time-out instead.)
 */
#ifndef CPU_TIMER_H
#define CPU_TIMER_H

#include "cpu/exec.h"

/* Create the timer for the calling thread.  Negative errno. */
int exec_timer_attach(struct space *s);

/*
 * The earliest deadline is now `deadline` (guest ns, ~0: none).  Sets the host
 * timer only if it would otherwise fire too late: an early signal is harmless.
 */
void exec_timer_update(struct exec *x, u64 deadline);

#endif
