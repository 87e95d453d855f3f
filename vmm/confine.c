/*
 * The executor's cage (see vmm/confine.h).
 *
 * The list of system calls is the list of users of base/sys.h on the vCPU path
 * after the set-up; who adds one there adds it here, and finds out at once,
 * because the default is to kill the process:
 *
 *   mmap, munmap, mprotect  the shadow; anonymous memory for symbols found in the guest
 *   futex                   the bus lock, HLT
 *   timer_settime           the thread's timer
 *   sched_setaffinity       its own: cpu/space.c
 *   write                   doorbells, the monitor's eventfd, stderr
 *   rt_sigreturn            signals that are resumed
 *   restart_syscall         what a futex wait becomes when the process was stopped and continued
 *   getpid, kill            check_failed's abort
 *   close                   the channel to the monitor, once the machine is taken over
 *   ioctl, pread64          hw: the requests of cpu/kvm_vm.c; KVM's statistics
 *   exit_group
 *
 * W^X: no call can ask for memory that is writable and executable at once,
 * except for the guest's RAM in the user window, where user code runs with the
 * rights that the guest gives it (without NX all its writable pages are
 * executable).  Files can be mapped only shared, and only the memfds that were
 * named; private memory is bounded by RLIMIT_DATA.
 */
#define _GNU_SOURCE
#include "vmm/confine.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"

#define PRIVATE_MEMORY         (64ull << 20)	/* symbols of the largest kernels take a few MiB */
#define PRIVATE_MEMORY_LIBRARY (512ull << 20)

#define ARG(n, mask, value) SCMP_CMP(n, SCMP_CMP_MASKED_EQ, mask, value)
#define FD(n, fd) ARG(n, 0xffffffffu, (u32)(fd))
#define ALLOW(ctx, call, ...) \
	allow(ctx, SCMP_SYS(call), sizeof((struct scmp_arg_cmp[]){ __VA_ARGS__ }) / sizeof(struct scmp_arg_cmp), \
	      (struct scmp_arg_cmp[]){ __VA_ARGS__ })

/* ---- descriptors ---- */

static int compare_fds(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

static int close_others(const struct confine_needs *n)
{
	int keep[3 * CONFINE_FDS_MAX + 3] = { STDERR_FILENO, n->ram_fd, n->stub_fd };
	unsigned count = 3, next = 0;

	for (unsigned i = 0; i < n->write_count; i++)
		keep[count++] = n->write_fd[i];
	for (unsigned i = 0; i < n->read_count; i++)
		keep[count++] = n->read_fd[i];
	for (unsigned i = 0; i < n->keep_count; i++)
		keep[count++] = n->keep_fd[i];
	qsort(keep, count, sizeof(keep[0]), compare_fds);
	for (unsigned i = 0; i < count; i++) {
		if (keep[i] < (int)next)
			continue;	/* absent, or the same again */
		if ((unsigned)keep[i] > next && close_range(next, (unsigned)keep[i] - 1, 0))
			return -errno;
		next = (unsigned)keep[i] + 1;
	}
	return close_range(next, ~0u, 0) ? -errno : 0;
}

/* ---- memory ---- */

static int limit_memory(bool library)
{
	u64 most = library ? PRIVATE_MEMORY_LIBRARY : PRIVATE_MEMORY;
	unsigned long long data_pages = 0;
	struct rlimit r;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f)
		return -errno;
	if (fscanf(f, "%*u %*u %*u %*u %*u %llu", &data_pages) != 1)
		data_pages = 0;
	fclose(f);
	if (getrlimit(RLIMIT_DATA, &r))
		return -errno;
	r.rlim_cur = r.rlim_max = min_u64(r.rlim_max, data_pages * PAGE_SIZE + most);
	return setrlimit(RLIMIT_DATA, &r) ? -errno : 0;
}

/* ---- the filter ---- */

static int allow(scmp_filter_ctx ctx, int call, unsigned n, const struct scmp_arg_cmp *args)
{
	return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, call, n, args);
}

static int allow_memory(scmp_filter_ctx ctx, const struct confine_needs *n)
{
	static const int prots[] = { 0, PROT_WRITE, PROT_EXEC };
	const u64 wx = PROT_WRITE | PROT_EXEC, kind = MAP_ANONYMOUS | MAP_TYPE;
	const struct scmp_arg_cmp in_user_window = SCMP_CMP(0, SCMP_CMP_LT, n->user_window);
	int r;

	if (n->ram_fd < 0)
		return 0;
	r = ALLOW(ctx, munmap);
	if (!r)
		r = ALLOW(ctx, mmap, in_user_window, ARG(3, kind, MAP_SHARED), FD(4, n->ram_fd));
	if (!r)
		r = ALLOW(ctx, mprotect, in_user_window);
	for (unsigned i = 0; i < ARRAY_SIZE(prots) && !r; i++) {
		r = ALLOW(ctx, mmap, ARG(2, wx, (u64)prots[i]), ARG(3, kind, MAP_SHARED), FD(4, n->ram_fd));
		if (!r)
			r = ALLOW(ctx, mmap, ARG(2, wx, (u64)prots[i]), ARG(3, kind, MAP_SHARED), FD(4, n->stub_fd));
		if (!r)
			r = ALLOW(ctx, mprotect, ARG(2, wx, (u64)prots[i]));
	}
	return r ? r : ALLOW(ctx, mmap, ARG(2, PROT_EXEC, 0), ARG(3, kind, MAP_ANONYMOUS | MAP_PRIVATE));
}

static int allow_rest(scmp_filter_ctx ctx, const struct confine_needs *n)
{
	int r = ALLOW(ctx, write, FD(0, STDERR_FILENO));

	for (unsigned i = 0; i < n->write_count && !r; i++)
		if (n->write_fd[i] >= 0)
			r = ALLOW(ctx, write, FD(0, n->write_fd[i]));
	for (unsigned i = 0; i < n->read_count && !r; i++)
		if (n->read_fd[i] >= 0)
			r = ALLOW(ctx, pread64, FD(0, n->read_fd[i]));
	if (!r && n->close_fd >= 0)
		r = ALLOW(ctx, close, FD(0, n->close_fd));
	for (unsigned i = 0; i < n->ioctl_count && !r; i++)
		r = ALLOW(ctx, ioctl, FD(0, n->ioctl[i].fd), ARG(1, 0xffffffffu, n->ioctl[i].request));
	if (r ||
	    (r = ALLOW(ctx, futex, ARG(1, 0xffffffffu, FUTEX_WAIT))) ||
	    (r = ALLOW(ctx, futex, ARG(1, 0xffffffffu, FUTEX_WAKE))) ||
	    (r = ALLOW(ctx, kill, FD(0, getpid()), ARG(1, 0xffffffffu, SIGABRT))))
		return r;
	/* Where it runs itself. */
	if ((r = ALLOW(ctx, sched_setaffinity, FD(0, 0))))
		return r;
	if ((r = ALLOW(ctx, timer_settime)) || (r = ALLOW(ctx, rt_sigreturn)) ||
	    (r = ALLOW(ctx, restart_syscall)) || (r = ALLOW(ctx, getpid)))
		return r;
	return ALLOW(ctx, exit_group);
}

/* What glibc's malloc and qsort ask for. */
static int allow_library(scmp_filter_ctx ctx)
{
	int r;

	if ((r = ALLOW(ctx, brk)) || (r = ALLOW(ctx, mremap)) || (r = ALLOW(ctx, madvise)) ||
	    (r = ALLOW(ctx, getrandom)) || (r = ALLOW(ctx, sysinfo)))
		return r;
	return ALLOW(ctx, futex, ARG(1, 0xffffffffu, FUTEX_WAKE_PRIVATE));
}

static int build(scmp_filter_ctx ctx, const struct confine_needs *n)
{
	int r;

	if ((r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS)))
		return r;
	/* The calls on hot paths first. */
	for (unsigned i = 0; i < 4; i++) {
		static const int hot[] = { SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(timer_settime), SCMP_SYS(futex) };

		if ((r = seccomp_syscall_priority(ctx, hot[i], (u8)(255 - i))))
			return r;
	}
	if ((r = allow_memory(ctx, n)) || (r = allow_rest(ctx, n)))
		return r;
	return n->library ? allow_library(ctx) : 0;
}

/* libseccomp gives the program only by way of a file. */
static int export(scmp_filter_ctx ctx, struct confinement *c)
{
	int fd = memfd_create("filter", MFD_CLOEXEC), r = -errno;
	struct stat st;

	if (fd < 0)
		return r;
	r = seccomp_export_bpf(ctx, fd);
	if (!r && fstat(fd, &st))
		r = -errno;
	if (!r) {
		c->len = (unsigned)((u64)st.st_size / sizeof(struct sock_filter));
		c->filter = malloc((size_t)st.st_size);
		if (!c->filter || pread(fd, c->filter, (size_t)st.st_size, 0) != st.st_size)
			r = -ENOMEM;
	}
	close(fd);
	return r;
}

int confine_prepare(struct confinement *c, const struct confine_needs *n)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	if (!ctx)
		return -ENOMEM;
	r = build(ctx, n);
	if (!r)
		r = export(ctx, c);
	seccomp_release(ctx);
	if (!r)
		r = limit_memory(n->library);
	if (!r)
		r = close_others(n);
	return r;
}

int confine_enter(const struct confinement *c)
{
	struct sock_fprog prog = { .len = (unsigned short)c->len, .filter = c->filter };
	long r = sys6(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0);

	/*
	 * SPEC_ALLOW: without it older kernels switch speculative store bypass off
	 * for the process, at a tenth of its speed; there is no secret in here.
	 */
	if (!r)
		r = sys3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, (long)&prog);
	return (int)r;
}
