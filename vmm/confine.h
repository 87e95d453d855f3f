/*
 * Confinement of an executor (docs/design.md, threat model): it keeps the few
 * descriptors that the vCPU path uses and may make only the system calls that
 * the vCPU path makes, with the arguments it makes them with.  Whoever takes
 * over an executor has the guest's memory, which the guest had before, and
 * nothing else of the host.
 *
 * Two steps, because Syscall User Dispatch (cpu/direct.c) comes between them:
 * it must be switched on from outside the confinement, and afterwards libc's
 * system calls no longer reach the kernel.  Dispatch comes before seccomp, so
 * guest code's own system calls never meet the filter.
 */
#ifndef VMM_CONFINE_H
#define VMM_CONFINE_H

#include "base/types.h"

#define CONFINE_FDS_MAX 8
#define CONFINE_IOCTLS_MAX 40

struct confine_needs {
	int ram_fd, stub_fd;		/* memfds: may be mapped; -1: no mapping at all */
	u64 user_window;		/* its size; it begins at 0 */
	int write_fd[CONFINE_FDS_MAX];	/* eventfds that may be written; -1: none there; stderr always may */
	unsigned write_count;
	int keep_fd[CONFINE_FDS_MAX];	/* kept for other uses */
	unsigned keep_count;
	int read_fd[CONFINE_FDS_MAX];	/* files that are read again and again; -1: none there */
	unsigned read_count;
	struct { int fd; u32 request; } ioctl[CONFINE_IOCTLS_MAX];
	unsigned ioctl_count;
	int close_fd;			/* may be closed; -1: none */
	bool library;	/* a library runs in here (listings by Capstone): libc's malloc must work */
};

struct confinement {
	void *filter;	/* struct sock_filter[len] */
	unsigned len;
};

/* Close every other descriptor, limit memory, and make the filter.  Negative errno. */
MUST_USE int confine_prepare(struct confinement *c, const struct confine_needs *n);
/* From here on, a system call that is not on the list kills the process (SIGSYS).  Negative errno. */
MUST_USE int confine_enter(const struct confinement *c);

#endif
