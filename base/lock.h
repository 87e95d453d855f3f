/*
 * A lock that works between executors: a futex word in the shared arena.  Never
 * held across guest code, never taken by the monitor while an executor lives.
 * The uncontended path is one atomic exchange and no system call.  (Drepper,
 * "Futexes Are Tricky", mutex 2.)
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <linux/futex.h>
#include "base/sys.h"

struct lock { u32 word; };	/* 0 free, 1 held, 2 held with waiters */

static inline void lock_acquire(struct lock *l)
{
	u32 c = 0;

	if (__atomic_compare_exchange_n(&l->word, &c, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	while (__atomic_exchange_n(&l->word, 2, __ATOMIC_ACQUIRE) != 0)
		sys6(SYS_futex, (long)&l->word, FUTEX_WAIT, 2, 0, 0, 0);
}

static inline void lock_release(struct lock *l)
{
	if (__atomic_exchange_n(&l->word, 0, __ATOMIC_RELEASE) == 2)
		sys6(SYS_futex, (long)&l->word, FUTEX_WAKE, 1, 0, 0, 0);
}

#endif
