/*
 * Event loop (see vmm/loop.h).  One event is fetched at a time: a callback may
 * remove any source, and there is then no second event in hand that points to
 * it.
 */
#define _GNU_SOURCE
#include "vmm/loop.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

u64 monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000ull + (u64)ts.tv_nsec;
}

int loop_open(struct loop *l)
{
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return l->epoll_fd < 0 ? -errno : 0;
}

void loop_close(struct loop *l)
{
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	l->epoll_fd = -1;
}

int loop_add(struct loop *l, struct source *s, int fd, u32 events,
	     void (*ready)(void *owner, u32 events), void *owner)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev))
		return -errno;
	*s = (struct source){ .fd = fd, .ready = ready, .owner = owner };
	return 0;
}

void loop_remove(struct loop *l, struct source *s)
{
	if (s->fd >= 0)
		epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
	s->fd = -1;
}

/* Milliseconds until `deadline`, rounded up; epoll's -1 for never. */
static int wait_ms(u64 deadline)
{
	u64 now, ms;

	if (deadline == LOOP_FOREVER)
		return -1;
	now = monotonic_ns();
	if (deadline <= now)
		return 0;
	ms = (deadline - now + 999999) / 1000000;
	return ms > 1000000 ? 1000000 : (int)ms;
}

void loop_wait(struct loop *l, u64 deadline)
{
	struct epoll_event ev;
	struct source *s;

	if (epoll_wait(l->epoll_fd, &ev, 1, wait_ms(deadline)) != 1)
		return;
	s = ev.data.ptr;
	s->ready(s->owner, ev.events);
}
