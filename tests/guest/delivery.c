#define _GNU_SOURCE
/*
 * Signals that come when they come: from timers under load, from other
 * processes, nested, queued, masked; and the system calls they interrupt.
 */
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

static void handle(int sig, void (*fn)(int, siginfo_t *, void *))
{
	struct sigaction sa = { .sa_sigaction = fn, .sa_flags = SA_SIGINFO };

	SYS(sigaction(sig, &sa, NULL));
}

static volatile int depth, deepest, raises_left;

static void nest(int sig)
{
	depth++;
	if (depth > deepest)
		deepest = depth;
	if (raises_left-- > 0)
		raise(sig);
	depth--;
}

TEST(nested)
{
	struct sigaction sa = { .sa_handler = nest, .sa_flags = SA_NODEFER };

	SYS(sigaction(SIGUSR1, &sa, NULL));
	raises_left = 19;
	raise(SIGUSR1);
	CHECK_EQ(deepest, 20);
	CHECK_EQ(depth, 0);
	/* Without SA_NODEFER the next one waits until the handler has returned. */
	sa.sa_flags = 0;
	deepest = 0;
	raises_left = 19;
	SYS(sigaction(SIGUSR2, &sa, NULL));
	raise(SIGUSR2);
	CHECK_EQ(deepest, 1);
	CHECK_EQ(raises_left, -1);
}

static volatile int ticks;

static void tick(int sig)
{
	ticks++;
}

/* Ticks while computing: they arrive, and they disturb nothing. */
TEST(itimer_under_load)
{
	static const int which[] = { ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF };
	static const int sigs[] = { SIGALRM, SIGVTALRM, SIGPROF };

	for (int k = 0; k < 3; k++) {
		struct itimerval it = { { 0, 8000 }, { 0, 8000 } }, off = { { 0, 0 }, { 0, 0 } };
		u64 t0 = check_now_ns();
		u32 first = 0;
		int round = 0;

		ticks = 0;
		signal(sigs[k], tick);
		SYS(setitimer(which[k], &it, NULL));
		do {
			u32 s = 1, sum = 0;

			for (int i = 0; i < 50000; i++)
				sum = (sum ^ check_rand(&s)) * 2654435761u;
			if (round++ == 0)
				first = sum;
			CHECK_EQ(sum, first);
		} while (ticks < 20 && check_now_ns() - t0 < 20000000000ull);
		SYS(setitimer(which[k], &off, NULL));
		CHECK_MSG(ticks >= 20, "timer %d ticked %d times in 20 s", k, ticks);
		CHECK_MSG(check_now_ns() - t0 >= (k == 0 ? 140000000 : 0), "timer %d is too fast", k);
	}
}

TEST(alarm)
{
	u64 t0 = check_now_ns();

	signal(SIGALRM, tick);
	ticks = 0;
	alarm(1);
	pause();
	CHECK_EQ(ticks, 1);
	CHECK(check_now_ns() - t0 > 900000000);
}

static long int80(long nr, long a, long b, long c)
{
	long r;

	__asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(a), "c"(b), "d"(c) : "memory");
	return r;
}

/* A hot site in the form that a VMM likes to patch: mov $n, %eax; int $0x80. */
static long int80_read(long fd, void *buf, long n)
{
	long r;

	__asm__ volatile("movl $3, %%eax; int $0x80" : "=a"(r) : "b"(fd), "c"(buf), "d"(n) : "memory");
	return r;
}

static long vdso_syscall(long nr, long a, long b, long c)
{
	return syscall(nr, a, b, c);
}

static void restart_test(long (*rd)(long, void *, long), bool restart)
{
	struct sigaction sa = { .sa_handler = tick, .sa_flags = restart ? SA_RESTART : 0 };
	int fd[2], pid;
	char c = 0;
	long r;

	SYS(pipe(fd));
	SYS(sigaction(SIGUSR1, &sa, NULL));
	ticks = 0;
	pid = SYS(fork());
	if (pid == 0) {
		for (int i = 0; i < 5; i++) {
			usleep(5000);
			kill(getppid(), SIGUSR1);
		}
		usleep(5000);
		_exit(write(fd[1], "x", 1) != 1);
	}
	if (restart) {
		r = rd(fd[0], &c, 1);
		CHECK_EQ(r, 1);
		CHECK_EQ(c, 'x');
		CHECK(ticks >= 1);
	} else {
		r = rd(fd[0], &c, 1);
		CHECK_EQ(r, -EINTR);
		do
			r = rd(fd[0], &c, 1);
		while (r == -EINTR);
		CHECK_EQ(r, 1);
	}
	check_wait(pid, 0);
	close(fd[0]);
	close(fd[1]);
}

static long read_int80(long fd, void *p, long n) { return int80(SYS_read, fd, (long)p, n); }
static long read_vdso(long fd, void *p, long n) { long r = vdso_syscall(SYS_read, fd, (long)p, n); return r < 0 ? -errno : r; }
static long read_libc(long fd, void *p, long n) { long r = read(fd, p, n); return r < 0 ? -errno : r; }

TEST(restart_int80)
{
	restart_test(read_int80, true);
	restart_test(read_int80, false);
}

TEST(restart_vdso)
{
	restart_test(read_vdso, true);
	restart_test(read_vdso, false);
	restart_test(read_libc, true);
	restart_test(read_libc, false);
}

TEST(restart_hot_site)
{
	int fd = open("/dev/zero", 0);
	char c;

	for (int i = 0; i < 20000; i++)
		CHECK_EQ(int80_read(fd, &c, 1), 1);
	restart_test(int80_read, true);
	restart_test(int80_read, false);
	for (int i = 0; i < 1000; i++)
		CHECK_EQ(int80_read(fd, &c, 1), 1);
}

/* nanosleep over a stop: the kernel turns it into restart_syscall by itself. */
TEST(restart_block)
{
	u64 t0 = check_now_ns();
	int st, pid = SYS(fork());

	if (pid == 0) {
		struct timespec ts = { 0, 300000000 };

		for (int i = 0; i < 1; i++)
			CHECK_EQ(nanosleep(&ts, NULL), 0);
		CHECK(check_now_ns() - t0 >= 300000000);
		_exit(0);
	}
	for (int i = 0; i < 4; i++) {
		usleep(20000);
		SYS(kill(pid, SIGSTOP));
		CHECK_EQ(SYS(waitpid(pid, &st, WUNTRACED)), pid);
		if (!WIFSTOPPED(st)) {		/* on a busy host: too late */
			CHECK_EQ(st, 0);
			return;
		}
		SYS(kill(pid, SIGCONT));
	}
	check_wait(pid, 0);
}

static volatile int order[16], order_n;

static void note_order(int sig, siginfo_t *si, void *uc)
{
	order[order_n++ & 15] = si->si_value.sival_int;
}

TEST(queued_and_masked)
{
	int rt = SIGRTMIN + 1;
	sigset_t set, old, pend;
	struct timespec zero = { 0, 0 };
	siginfo_t si;

	handle(rt, note_order);
	handle(rt + 1, note_order);
	sigemptyset(&set);
	sigaddset(&set, rt);
	sigaddset(&set, rt + 1);
	sigprocmask(SIG_BLOCK, &set, &old);
	for (int i = 0; i < 5; i++)
		SYS(sigqueue(getpid(), i < 2 ? rt + 1 : rt, (union sigval){ .sival_int = i }));
	sigpending(&pend);
	CHECK(sigismember(&pend, rt) && sigismember(&pend, rt + 1));
	CHECK_EQ(order_n, 0);
	CHECK_EQ(sigtimedwait(&set, &si, &zero), rt);	/* lower number first, oldest first */
	CHECK_EQ(si.si_value.sival_int, 2);
	sigprocmask(SIG_SETMASK, &old, NULL);
	CHECK_EQ(order_n, 4);
	/* Delivered in order of number, each on top of the one before: the last pushed runs first. */
	sigprocmask(SIG_BLOCK, &set, &old);
	CHECK_EQ(sigtimedwait(&set, &si, &zero), -1);
	CHECK_EQ(errno, EAGAIN);
}

TEST(sigsuspend)
{
	sigset_t set, old;

	signal(SIGUSR1, tick);
	ticks = 0;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &old);
	raise(SIGUSR1);
	CHECK_EQ(ticks, 0);
	CHECK(sigsuspend(&old) == -1 && errno == EINTR);
	CHECK_EQ(ticks, 1);
}

TEST(between_processes)
{
	int pid;
	sigset_t set;
	siginfo_t si;
	enum { N = 300 };

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	pid = SYS(fork());
	for (int i = 0; i < N; i++) {
		if (pid == 0) {
			sigwaitinfo(&set, &si);
			kill(getppid(), SIGUSR1);
		} else {
			kill(pid, SIGUSR1);
			sigwaitinfo(&set, &si);
			CHECK_EQ(si.si_pid, pid);
		}
	}
	if (pid == 0)
		_exit(0);
	check_wait(pid, 0);
}

/* EFLAGS that a signal handler sees and returns: DF is cleared for the handler and comes back. */
static volatile u32 handler_flags;

static void see_flags(int sig)
{
	__asm__ volatile("pushfl; popl %0" : "=m"(handler_flags));
}

TEST(direction_flag)
{
	u32 after;

	signal(SIGUSR1, see_flags);
	__asm__ volatile(
		"std\n"
		"movl $37, %%eax; int $0x80\n"	/* kill(self, SIGUSR1) */
		"pushfl; popl %0; cld"
		: "=r"(after) : "b"(getpid()), "c"(SIGUSR1) : "eax", "memory", "cc");
	CHECK_EQ(handler_flags & 0x400, 0);
	CHECK_EQ(after & 0x400, 0x400);
}
