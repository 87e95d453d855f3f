/*
 * The monitor's event loop: file descriptors with callbacks, over epoll.
 */
#ifndef VMM_LOOP_H
#define VMM_LOOP_H

#include <sys/epoll.h>
#include "base/types.h"

struct loop { int epoll_fd; };

/* One registered file descriptor.  The owner keeps the memory; fd -1: not registered. */
struct source {
	int fd;
	void (*ready)(void *owner, u32 events);
	void *owner;
};

#define SOURCE_INIT { .fd = -1 }
#define LOOP_FOREVER (~0ull)

int loop_open(struct loop *l);		/* negative errno */
void loop_close(struct loop *l);

/*
 * Register.  -EPERM: the kind of file that is always ready (regular files,
 * /dev/null), which epoll does not take; anything else is a host failure.
 */
int loop_add(struct loop *l, struct source *s, int fd, u32 events,
	     void (*ready)(void *owner, u32 events), void *owner);
/*
 * Unregister; the fd stays open.  Safe from within a callback.  A source whose
 * owner cannot take its events now is removed, not masked: hang-ups cannot be
 * masked.
 */
void loop_remove(struct loop *l, struct source *s);

/* Wait until something is ready or `deadline` (monotonic ns), then call back once for each. */
void loop_wait(struct loop *l, u64 deadline);

u64 monotonic_ns(void);

#endif
