#define _GNU_SOURCE
/*
 * steady's jobs about what the kernel makes of the machine: clocks, timers,
 * sleeps, processes, pipes, signals, memory, futexes, files, its own log.
 */
#include "steady.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/rtc.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>

/* ---- clocks ------------------------------------------------------------- */

/* Spoilt on purpose, in this process. */
static int64_t clock_off, real_off, tsc_off;

static u64 read_clock(clockid_t c)
{
	struct timespec ts;

	SYS(clock_gettime(c, &ts));
	CHECK(ts.tv_nsec >= 0 && ts.tv_nsec < 1000000000);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static u64 read_tsc(void)
{
	u64 v;

	__asm__ volatile("lfence; rdtsc" : "=A"(v) :: "memory");
	return v + tsc_off;
}

/* By system call, in the vDSO's way and in the old one. */
static u64 read_monotonic(bool old)
{
	struct { long sec, nsec; } ts = { 0, 0 };

	if (old)
		CHECK_EQ(int80(265, CLOCK_MONOTONIC, (long)&ts, 0), 0);
	else
		SYS(syscall(265, CLOCK_MONOTONIC, &ts));
	return ts.sec * 1000000000ull + ts.nsec + clock_off;
}

struct sample { u64 before, after, value[CLOCKS]; };

/* All of them, between two readings of the monotonic clock. */
static struct sample read_all(void)
{
	struct sample s;

	s.before = read_clock(CLOCK_MONOTONIC) + clock_off;
	s.value[REALTIME] = read_clock(CLOCK_REALTIME) + real_off;
	s.value[RAW] = read_clock(CLOCK_MONOTONIC_RAW);
	s.value[BOOTTIME] = read_clock(CLOCK_BOOTTIME);
	s.value[TSC] = read_tsc();
	s.value[MONOTONIC] = s.after = read_clock(CLOCK_MONOTONIC) + clock_off;
	return s;
}

/* Where they were at the start: the reading that was the least disturbed. */
void clock_start(void)
{
	struct sample best = read_all(), s;

	for (int i = 0; i < 30; i++) {
		s = read_all();
		if (s.after - s.before < best.after - best.before)
			best = s;
	}
	memcpy(sh->base, best.value, sizeof sh->base);
	memcpy(sh->newest, s.value, sizeof sh->newest);
}

/*
 * Never backwards, whoever read them last; and since the start they have all
 * gone by the same time, as far as two readings of another clock around them can tell.
 */
void clock_sample(void)
{
	static const char *const names[CLOCKS] = { "CLOCK_MONOTONIC", "CLOCK_REALTIME", "CLOCK_MONOTONIC_RAW", "CLOCK_BOOTTIME", "the TSC" };
	u64 newest[CLOCKS], gap, of_day, after_calls[2], tsc_per_ms;
	struct sample s;
	struct timeval tv;
	struct { long sec, usec; } tv80 = { 0, 0 };

	pthread_mutex_lock(&sh->clock_lock);
	memcpy(newest, sh->newest, sizeof newest);
	s = read_all();
	after_calls[0] = read_monotonic(false);
	after_calls[1] = read_monotonic(true);
	gap = s.before > newest[MONOTONIC] ? s.before - newest[MONOTONIC] : 0;
	if (sh->stop || !sh->clock_read)	/* others may be finishing their last rounds */
		gap = 0;
	if (gap > sh->max_gap)
		sh->max_gap = gap;
	for (int c = 0; c < CLOCKS; c++)
		if (s.value[c] > newest[c])
			sh->newest[c] = s.value[c];
	/* A second gives the TSC's frequency well enough to see jumps. */
	if (!sh->tsc_per_ms && s.before - sh->base[MONOTONIC] > 1000ull * MS && s.after - s.before < MS)
		sh->tsc_per_ms = (s.value[TSC] - sh->base[TSC]) / ((s.after - sh->base[MONOTONIC]) / MS);
	tsc_per_ms = sh->tsc_per_ms;
	pthread_mutex_unlock(&sh->clock_lock);

	CHECK_MSG(gap <= opt.max_gap * (u64)MS, "nobody could read a clock for %llu ms", gap / MS);
	CHECK_MSG(s.before >= newest[MONOTONIC], "CLOCK_MONOTONIC went back by %llu ns", newest[MONOTONIC] - s.before);
	for (int c = 0; c < CLOCKS; c++)
		CHECK_MSG(s.value[c] >= newest[c], "%s went back by %llu", names[c], newest[c] - s.value[c]);
	CHECK_MSG(s.after <= after_calls[0] && after_calls[0] <= after_calls[1],
		  "CLOCK_MONOTONIC is %llu by the vDSO, then %llu and %llu by system calls", s.after, after_calls[0], after_calls[1]);
	for (int c = REALTIME; c <= BOOTTIME; c++) {
		u64 went = s.value[c] - sh->base[c], low = s.before - sh->base[MONOTONIC], high = s.after - sh->base[MONOTONIC];
		/* Of the clock's rate under NTP, and of the first reading. */
		u64 slack = MS + (c == RAW ? high / 1000 : 0);

		CHECK_MSG(went + slack >= low && went <= high + slack, "%s has gone %llu us since the start, CLOCK_MONOTONIC %llu to %llu", names[c],
			  went / 1000, low / 1000, high / 1000);
	}
	if (tsc_per_ms) {
		u64 ms = (s.value[TSC] - sh->base[TSC]) / tsc_per_ms;
		u64 low = (s.before - sh->base[MONOTONIC]) / MS, high = (s.after - sh->base[MONOTONIC]) / MS;

		CHECK_MSG(ms + 8 + ms / 200 >= low && ms <= high + 8 + high / 200, "the TSC says %llu ms since the start, CLOCK_MONOTONIC %llu to %llu",
			  ms, low, high);
	}
	/* The time of day, both ways: not before what was read, not after what is read. */
	SYS(gettimeofday(&tv, NULL));
	of_day = tv.tv_sec * 1000000ull + tv.tv_usec;
	CHECK_MSG(of_day >= s.value[REALTIME] / 1000 - real_off / 1000 - 1, "gettimeofday is behind CLOCK_REALTIME");
	CHECK_EQ(int80(SYS_gettimeofday, (long)&tv80, 0, 0), 0);
	CHECK_MSG(tv80.sec * 1000000ull + tv80.usec >= of_day, "gettimeofday by int $0x80 is behind the vDSO's");
	CHECK_MSG(tv80.sec * 1000000ull + tv80.usec <= read_clock(CLOCK_REALTIME) / 1000, "gettimeofday is ahead of CLOCK_REALTIME");
}

static void *clock_thread(void *arg)
{
	do {
		for (int i = 0; i < 20; i++) {
			u64 t = mono();

			clock_sample();
			t = (mono() - t) / MS * 3;	/* others want to work, too, however slow this is */
			nap(t < 2 ? 2 : t > 200 ? 200 : t);
			if (inject("clock-back"))
				clock_off = -5 * MS;
			if (inject("clock-gap"))
				clock_off = (opt.max_gap + 500) * (int64_t)MS;
			if (inject("realtime"))
				real_off = 5 * MS;
			if (inject("tsc-back"))
				tsc_off = -(int64_t)(u64)(1u << 30);
			/* Known only when the frequency is. */
			if (sh->tsc_per_ms && inject("tsc-jump"))
				tsc_off = sh->tsc_per_ms * 300;
		}
	} while (next_round(0));
	return NULL;
}

void job_clock(void)
{
	pthread_t t;

	paced(false);
	CHECK_EQ(pthread_create(&t, NULL, clock_thread, NULL), 0);
	clock_thread(NULL);
	pthread_join(t, NULL);
}

/* ---- timers ------------------------------------------------------------- */

enum { ITIMER_MS = 20, POSIX_MS = 50, TIMERFD_MS = 70 };
static volatile u32 itimer_events, posix_events;
static volatile u64 itimer_last, posix_last;
static timer_t posix_timer;

static void on_itimer(int sig)
{
	itimer_events++;
	itimer_last = read_clock(CLOCK_MONOTONIC);
}

static void on_posix_timer(int sig)
{
	posix_events += 1 + timer_getoverrun(posix_timer);
	posix_last = read_clock(CLOCK_MONOTONIC);
}

/*
 * None may die, none may fire too often.  Below half of what is due counts as dying; a tenth on slow machines, where
 * signals that come before the last was taken are one.  Nothing is due in time in which this process did not run.
 */
static void check_timer(const char *name, u32 events, u64 last, u64 began, u64 now, u64 starved, u32 period)
{
	u64 due = (now - began) / (period * (u64)MS), least = (now - began - starved) / (period * (u64)MS);

	CHECK_MSG(last + opt.window * (u64)MS >= now, "%s has not fired for %llu ms, after %u events", name, (now - last) / MS, events);
	CHECK_MSG(now - began < opt.window * (u64)MS || events >= least / (opt.light ? 10 : 2), "%s fired %u times, not %llu", name, events, least);
	CHECK_MSG(events <= due + 2, "%s fired %u times, not %llu", name, events, due);
}

void job_timer(void)
{
	struct sigaction itimer_action = { .sa_handler = on_itimer, .sa_flags = SA_RESTART };
	struct sigaction posix_action = { .sa_handler = on_posix_timer, .sa_flags = SA_RESTART };
	struct itimerval it = { { 0, ITIMER_MS * 1000 }, { 0, ITIMER_MS * 1000 } }, it_off = { { 0, 0 }, { 0, 0 } };
	struct itimerspec its = { { 0, POSIX_MS * MS }, { 0, POSIX_MS * MS } }, off = { { 0, 0 }, { 0, 0 } };
	struct itimerspec fds = { { 0, TIMERFD_MS * MS }, { 0, TIMERFD_MS * MS } };
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN };
	int fd = SYS(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
	u32 fd_events = 0;
	u64 began = read_clock(CLOCK_MONOTONIC), fd_last = began, before = began, starved = 0;

	paced(false);
	itimer_last = posix_last = began;
	SYS(sigaction(SIGALRM, &itimer_action, NULL));
	SYS(sigaction(SIGRTMIN, &posix_action, NULL));
	SYS(timer_create(CLOCK_MONOTONIC, &ev, &posix_timer));
	SYS(setitimer(ITIMER_REAL, &it, NULL));
	SYS(timer_settime(posix_timer, 0, &its, NULL));
	SYS(timerfd_settime(fd, 0, &fds, NULL));
	do {
		u64 end = read_clock(CLOCK_MONOTONIC) + 100 * MS, now;

		do {
			struct pollfd p = { fd, POLLIN, 0 };
			u64 n;

			poll(&p, 1, 50);
			if (read(fd, &n, sizeof n) == sizeof n) {
				fd_events += n;
				fd_last = read_clock(CLOCK_MONOTONIC);
			}
			now = read_clock(CLOCK_MONOTONIC);
			if (now - before > 200 * MS)
				starved += now - before;
			before = now;
		} while (now < end);
		/* What is counted first may not be later than the time it is compared with. */
		u32 by_itimer = itimer_events, by_posix = posix_events;
		u64 last_itimer = itimer_last, last_posix = posix_last;

		now = read_clock(CLOCK_MONOTONIC);
		check_timer("ITIMER_REAL", by_itimer, last_itimer, began, now, starved, ITIMER_MS);
		check_timer("the POSIX timer", by_posix, last_posix, began, now, starved, POSIX_MS);
		check_timer("the timerfd", fd_events, fd_last, began, now, starved, TIMERFD_MS);
		if (inject("itimer"))
			SYS(setitimer(ITIMER_REAL, &it_off, NULL));
		if (inject("posix-timer"))
			SYS(timer_settime(posix_timer, 0, &off, NULL));
		if (inject("timerfd"))
			SYS(timerfd_settime(fd, 0, &off, NULL));
	} while (next_round(0));
}

/* ---- sleeps ------------------------------------------------------------- */

static volatile int alarms;

static void on_alarm(int sig)
{
	alarms++;
}

static void check_slept(const char *how, u64 began, u32 ms)
{
	u64 took = read_clock(CLOCK_MONOTONIC) - began;

	CHECK_MSG(took >= ms * (u64)MS, "%s of %u ms took only %llu us", how, ms, took / 1000);
	CHECK_MSG(took <= (ms + opt.window + opt.max_gap) * (u64)MS, "%s of %u ms took %llu ms", how, ms, took / MS);
}

void job_sleep(void)
{
	sigset_t blocked, old;
	u32 round = 0;

	signal(SIGALRM, on_alarm);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGALRM);
	sigprocmask(SIG_BLOCK, &blocked, &old);
	paced(false);
	do {
		u32 ms = pick(1, 60);
		struct timespec ts = { 0, ms * MS };
		struct timeval tv = { 0, ms * 1000 };
		u64 t;

		t = read_clock(CLOCK_MONOTONIC);
		SYS(nanosleep(&ts, NULL));
		check_slept("nanosleep", t, ms);
		t = read_clock(CLOCK_MONOTONIC);
		CHECK_EQ(poll(NULL, 0, ms), 0);
		check_slept("poll", t, ms);
		t = read_clock(CLOCK_MONOTONIC);
		CHECK_EQ(select(0, NULL, NULL, NULL, &tv), 0);
		check_slept("select", t, ms);
		t = read_clock(CLOCK_MONOTONIC) + ms * (u64)MS;
		ts = (struct timespec){ t / 1000000000, t % 1000000000 };
		CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL), 0);
		check_slept("clock_nanosleep", t, 0);
		if (round++ % 4 == 0) {
			int before = alarms;

			t = read_clock(CLOCK_MONOTONIC);
			alarm(1);
			if (inject("alarm"))
				alarm(0);
			sigsuspend(&old);
			CHECK_EQ(alarms, before + 1);
			check_slept("alarm", t, 1000);
		}
	} while (next_round(0));
}

/* ---- processes ---------------------------------------------------------- */

static u32 child_status(u32 value, u32 depth)
{
	while (depth--)
		value = value * 2654435761u + 1;
	return value >> 24 & 0x7f;
}

/* --child VALUE DEPTH: a chain of programs that start one another; the status comes all the way back. */
int process_child(int argc, char **argv)
{
	u32 value = argc > 3 ? strtoul(argv[2], NULL, 0) : 0, depth = argc > 3 ? atoi(argv[3]) : 0, mxcsr;
	char next[16], left[16];
	u16 cw;
	int pid, st;

	__asm__ volatile("fnstcw %0; stmxcsr %1" : "=m"(cw), "=m"(mxcsr));
	if (cw != 0x37f || (mxcsr & ~0x3fu) != 0x1f80)
		return 200;		/* not the state a program starts with */
	if (depth == 0)
		return child_status(value, 0);
	snprintf(next, sizeof next, "%u", value * 2654435761u + 1);
	snprintf(left, sizeof left, "%u", depth - 1);
	pid = depth & 1 ? vfork() : fork();
	if (pid == 0) {
		execl("/proc/self/exe", "steady", "--child", next, left, NULL);
		_exit(201);
	}
	if (pid < 0 || waitpid(pid, &st, 0) != pid || !WIFEXITED(st))
		return 202;
	return WEXITSTATUS(st);
}

void job_process(void)
{
	u32 sum = 0;

	do {
		u32 value = pick(0, ~0u >> 1), depth = pick(0, opt.light ? 1 : 3), now[2];
		char first[16], left[16];
		int pid, fd[2];

		snprintf(first, sizeof first, "%u", value ^ (u32)inject("child") << 24);
		snprintf(left, sizeof left, "%u", depth);
		pid = helper();
		if (pid == 0) {
			execl("/proc/self/exe", "steady", "--child", first, left, NULL);
			_exit(203);
		}
		check_wait(pid, child_status(value, depth));
		/* And one that is only forked: what it gets is a copy. */
		SYS(pipe(fd));
		now[0] = now[1] = value;
		pid = helper();
		if (pid == 0) {
			now[0]++;
			_exit(write(fd[1], now, sizeof now) != sizeof now);
		}
		check_wait(pid, 0);
		CHECK_EQ(now[0], value);
		CHECK_EQ(read(fd[0], now, sizeof now), (int)sizeof now);
		CHECK(now[0] == value + 1 && now[1] == value);
		close(fd[0]);
		close(fd[1]);
		sum += value;
	} while (next_round(sum));
}

/* ---- pipes -------------------------------------------------------------- */

enum { BLOCK = 1024 };		/* words */

static void write_all(int fd, const void *data, int n)
{
	for (const u8 *p = data; n; ) {
		int r = SYS(write(fd, p, n));

		p += r, n -= r;
	}
}

static void read_all_of(int fd, void *data, int n)
{
	for (u8 *p = data; n; ) {
		int r = SYS(read(fd, p, n));

		CHECK_MSG(r > 0, "the other end is gone");
		p += r, n -= r;
	}
}

/* To the other process by a pipe, back by a socket, and checked at both ends. */
void job_pipe(void)
{
	static u32 block[BLOCK + 1];
	int to[2], back[2], pid;
	u32 seed = pick(1, 1u << 30), sum = 0;

	SYS(pipe(to));
	SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, back));
	pid = helper();
	if (pid == 0) {
		for (;;) {
			read_all_of(to[0], block, sizeof block);
			CHECK_MSG(block[BLOCK] == crc32(0, block, 4 * BLOCK), "a block arrived with another checksum");
			write_all(back[1], block, sizeof block);
		}
	}
	close(to[0]);
	close(back[1]);
	do {
		for (int k = 0; k < (opt.light ? 2 : 8); k++) {
			u32 crc;

			for (int i = 0; i < BLOCK; i++)
				block[i] = check_rand(&seed);
			crc = block[BLOCK] = crc32(0, block, 4 * BLOCK);
			if (inject("pipe"))
				block[pick(0, BLOCK - 1)] ^= 1u << pick(0, 31);
			write_all(to[1], block, sizeof block);
			memset(block, 0, sizeof block);
			read_all_of(back[0], block, sizeof block);
			CHECK_MSG(block[BLOCK] == crc && crc32(0, block, 4 * BLOCK) == crc, "a block came back with another checksum");
			sum += crc;
		}
	} while (next_round(sum));
	kill(pid, SIGKILL);
}

/* ---- signals ------------------------------------------------------------ */

static volatile u32 pings;

static void on_ping(int sig, siginfo_t *si, void *uc)
{
	pings++;
}

/* Back and forth by handlers, with a value in queued ones. */
void job_signal(void)
{
	struct sigaction sa = { .sa_sigaction = on_ping, .sa_flags = SA_SIGINFO };
	sigset_t set, old;
	siginfo_t si;
	int pid, rt = SIGRTMIN + 1;
	u32 value = 0;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, rt);
	sigprocmask(SIG_BLOCK, &set, &old);
	sigdelset(&old, SIGUSR1);
	SYS(sigaction(SIGUSR1, &sa, NULL));
	pid = helper();
	sigdelset(&set, SIGUSR1);
	for (u32 n = 0;;) {
		u32 before = pings;

		if (pid == 0) {
			sigsuspend(&old);
			CHECK_EQ(pings, before + 1);
			SYS(kill(getppid(), SIGUSR1));
			CHECK_EQ(sigwaitinfo(&set, &si), rt);
			SYS(sigqueue(getppid(), rt, (union sigval){ .sival_int = si.si_value.sival_int * 3 + 1 }));
			continue;
		}
		if (!inject("signal"))
			SYS(kill(pid, SIGUSR1));
		sigsuspend(&old);
		CHECK_EQ(pings, before + 1);
		value = value * 31 + ++n;
		SYS(sigqueue(pid, rt, (union sigval){ .sival_int = value }));
		CHECK_EQ(sigwaitinfo(&set, &si), rt);
		CHECK_EQ(si.si_value.sival_int, (int)(value * 3 + 1));
		CHECK_EQ(si.si_pid, pid);
		if (n % (opt.light ? 5 : 20) == 0 && !next_round(value))
			break;
	}
	kill(pid, SIGKILL);
}

/* ---- memory ------------------------------------------------------------- */

static volatile u32 repairs;

static void make_writable(int sig, siginfo_t *si, void *uc)
{
	repairs++;
	if (mprotect((void *)((uintptr_t)si->si_addr & -PAGE), PAGE, PROT_READ | PROT_WRITE) < 0)
		_exit(90);
}

static void fill_page(u32 *p, u32 seed)
{
	for (int i = 0; i < PAGE / 4; i++)
		p[i] = check_rand(&seed);
}

static bool page_holds(const u32 *p, u32 seed)
{
	for (int i = 0; i < PAGE / 4; i++)
		if (p[i] != check_rand(&seed))
			return false;
	return true;
}

/* A region that lives long, with some pages rewritten each round; and one that comes and goes. */
void job_memory(void)
{
	enum { KEPT = 256, NEW = 24 };
	struct sigaction sa = { .sa_sigaction = make_writable, .sa_flags = SA_SIGINFO };
	u32 *kept = MAP(NULL, KEPT * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), seeds[KEPT], sum = 0, next = 0;
	int some = opt.light ? 8 : 32;

	SYS(sigaction(SIGSEGV, &sa, NULL));
	for (int i = 0; i < KEPT; i++)
		fill_page(kept + i * (PAGE / 4), seeds[i] = pick(1, 1u << 30));
	do {
		u32 *p = MAP(NULL, NEW * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), seed = pick(1, 1u << 30);
		int pid;

		if (inject("memory"))
			kept[pick(0, KEPT * (PAGE / 4) - 1)] ^= 1u << pick(0, 31);
		for (int i = 0; i < some; i++, next++) {
			u32 k = next % KEPT;

			CHECK_MSG(page_holds(kept + k * (PAGE / 4), seeds[k]), "page %u of %d has changed", k, KEPT);
			if (next % 3 == 0)
				fill_page(kept + k * (PAGE / 4), seeds[k] = pick(1, 1u << 30));
			sum += seeds[k];
		}
		/* New pages: zero, then ours; read-only, and repaired one by one as they are written. */
		for (int i = 0; i < NEW; i++) {
			if (i == 5)
				p[i * (PAGE / 4) + 9] = inject("zero-page");
			for (int k = 0; k < PAGE / 4; k += 3)
				CHECK_MSG(p[i * (PAGE / 4) + k] == 0, "a new page is not zero");
			fill_page(p + i * (PAGE / 4), seed + i);
		}
		SYS(mprotect(p, NEW * PAGE, PROT_READ));
		repairs = 0;
		pid = helper();
		for (int i = pid ? 0 : 1; i < NEW; i += 2)	/* each its own half, copied on writing */
			((volatile u32 *)p)[i * (PAGE / 4)] ^= 0x5555;
		CHECK_EQ(repairs, NEW / 2);
		for (int i = 0; i < NEW; i++) {
			if (i % 2 == !pid)
				p[i * (PAGE / 4)] ^= 0x5555;
			CHECK_MSG(page_holds(p + i * (PAGE / 4), seed + i), "page %d of %d has changed", i, NEW);
		}
		if (pid == 0)
			_exit(0);
		check_wait(pid, 0);
		SYS(mprotect(p, NEW * PAGE, PROT_READ | PROT_WRITE));
		SYS(madvise(p, NEW / 2 * PAGE, MADV_DONTNEED));
		for (int i = 0; i < NEW; i++)
			CHECK_MSG(i < NEW / 2 ? p[i * (PAGE / 4)] == 0 : page_holds(p + i * (PAGE / 4), seed + i),
				  "page %d of %d, after half of them were dropped", i, NEW);
		SYS(munmap(p, NEW * PAGE));
	} while (next_round(sum));
}

/* ---- futexes ------------------------------------------------------------ */

static void hand_over(u32 *turn, u32 mine)
{
	while (__atomic_load_n(turn, __ATOMIC_SEQ_CST) % 2 != mine)
		syscall(SYS_futex, turn, FUTEX_WAIT, mine ^ 1, NULL, NULL, 0);
}

/* A turn that goes to and fro, and a sum that both add to without any other lock. */
void job_futex(void)
{
	struct { u32 turn, value; } *f = MAP(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	u32 expected = 0, n = 0;
	int pid = helper();

	for (;;) {
		hand_over(&f->turn, pid == 0);
		if (pid == 0) {
			f->value = f->value * 5 + 3;
		} else {
			CHECK_MSG(f->value == expected, "the shared value is %08x, not %08x, after %u turns", f->value, expected, n);
			f->value = f->value * 3 + 1;
			expected = (expected * 3 + 1) * 5 + 3;
			f->value ^= inject("futex");
			n++;
		}
		__atomic_store_n(&f->turn, pid ? 1 : 0, __ATOMIC_SEQ_CST);
		syscall(SYS_futex, &f->turn, FUTEX_WAKE, 1, NULL, NULL, 0);
		if (pid && n % (opt.light ? 10 : 100) == 0 && !next_round(expected))
			break;
	}
	kill(pid, SIGKILL);
}

/* ---- the kernel --------------------------------------------------------- */

enum { CHUNK = 16384, CHUNKS_MAX = 128 };

/* The checksum of a part of this program's file; 0 at its end. */
static u32 chunk_crc(u32 k)
{
	static u8 buf[CHUNK];
	int fd = SYS(open("/proc/self/exe", O_RDONLY | O_CLOEXEC)), n = SYS(pread(fd, buf, CHUNK, k * CHUNK));

	close(fd);
	return crc32(0, buf, n);
}

/* Timer interrupts, of the LAPIC and of the PIT, on all CPUs. */
static u64 timer_interrupts(void)
{
	FILE *f = fopen("/proc/interrupts", "re");
	char line[1024];
	u64 sum = 0;

	while (f && fgets(line, sizeof line, f)) {
		char *p = line + strspn(line, " "), *end;

		if (strncmp(p, "LOC:", 4) && strncmp(p, "0:", 2))
			continue;
		for (p = strchr(p, ':') + 1;; p = end) {
			u64 n = strtoull(p, &end, 10);

			if (end == p)
				break;
			sum += n;
		}
	}
	if (f)
		fclose(f);
	return sum;
}

/* Seconds by the CMOS clock; 0: none. */
static u64 rtc_seconds(void)
{
	struct rtc_time r;
	struct tm tm = { 0 };
	int fd = open("/dev/rtc0", O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && ioctl(fd, RTC_RD_TIME, &r) == 0;

	if (fd >= 0)
		close(fd);
	if (!ok)
		return 0;
	tm.tm_sec = r.tm_sec, tm.tm_min = r.tm_min, tm.tm_hour = r.tm_hour;
	tm.tm_mday = r.tm_mday, tm.tm_mon = r.tm_mon, tm.tm_year = r.tm_year;
	return timegm(&tm);
}

/*
 * The CMOS clock between two readings of CLOCK_REALTIME: this process may be off
 * the CPU for seconds anywhere in here.
 */
struct both_clocks { u64 before, rtc, after; };

static struct both_clocks read_both_clocks(void)
{
	struct both_clocks c;

	c.before = read_clock(CLOCK_REALTIME) / 1000000000;
	c.rtc = rtc_seconds();
	c.after = read_clock(CLOCK_REALTIME) / 1000000000;
	return c;
}

/* Have both gone alike from `a` to `b`?  A difference of two truncated seconds may be off by one, on either side. */
static bool clocks_agree(const struct both_clocks *a, const struct both_clocks *b)
{
	s64 rtc = (s64)(b->rtc - a->rtc), least = (s64)(b->before - a->after), most = (s64)(b->after - a->before);

	return rtc >= least - 2 && rtc <= most + 2;
}

static bool write_word(const char *path, const char *word)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, word, strlen(word)) == (int)strlen(word);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Run a program, quietly. */
static int run(const char *const argv[])
{
	int pid = helper(), st;

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 1);
		dup2(null, 2);
		execvp(argv[0], (char **)argv);
		_exit(127);
	}
	SYS(waitpid(pid, &st, 0));
	return st;
}

/*
 * Files, interrupts, the CMOS clock; and code of the kernel that changes: static
 * keys patched to and fro, modules that come and go at the same addresses.
 */
void job_kernel(void)
{
	static const char *const modules[] = { "crc7", "crc_itu_t" };
	static const char key[] = "/proc/sys/kernel/sched_schedstats";
	u32 crc[CHUNKS_MAX], chunks = 0, round = 0, sum = 0;
	u64 interrupts = timer_interrupts(), since = mono();
	struct both_clocks first = read_both_clocks();
	bool can_load = check_in_guest() && !opt.no_modules && run((const char *const[]){ "modprobe", modules[0], NULL }) == 0;

	while (chunks < CHUNKS_MAX && (crc[chunks] = chunk_crc(chunks)) != 0)
		chunks++;
	do {
		u64 n, now;

		for (u32 i = 0; i < 6; i++) {
			u32 k = (round * 6 + i) % chunks, got = chunk_crc(k) ^ inject("file");

			CHECK_MSG(got == crc[k], "the CRC of part %u of this program's file is %08x, not %08x", k, got, crc[k]);
			sum = sum * 31 + got;
		}
		n = timer_interrupts();
		now = mono();
		if (injecting("interrupts"))
			n = interrupts;
		if (n > interrupts)
			interrupts = n, since = now;
		CHECK_MSG(now - since <= opt.window * (u64)MS, "no timer interrupt for %llu ms, after %llu", (now - since) / MS, interrupts);
		if (first.rtc && round % 4 == 0) {
			struct both_clocks c = read_both_clocks();

			CHECK_MSG(clocks_agree(&first, &c),
				  "since the start the CMOS clock has gone %lld s, CLOCK_REALTIME %lld to %lld s",
				  (long long)(c.rtc - first.rtc), (long long)(c.before - first.after),
				  (long long)(c.after - first.before));
		}
		if (check_in_guest())
			write_word(key, round % 2 ? "0" : "1");
		if (can_load && round % (opt.light ? 20 : 5) == 0) {
			const char *in = modules[(round / 5 + 1) % 2], *out = modules[round / 5 % 2];

			if (opt.light)
				in = out = modules[0];
			CHECK_EQ(run((const char *const[]){ "rmmod", out, NULL }), 0);
			CHECK_EQ(run((const char *const[]){ "modprobe", in, NULL }), 0);
		}
		if (inject("kernel-log"))
			write_word("/dev/kmsg", "<4>steady: not really a soft lockup\n");
		round++;
	} while (next_round(sum));
}

static int kernel_log = -1;

void kernel_log_start(void)
{
	if (!check_in_guest())
		return;
	kernel_log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kernel_log >= 0)
		lseek(kernel_log, 0, SEEK_END);
}

const char *kernel_log_check(void)
{
	static const char *const bad[] = { "BUG", "WARNING", "Oops", "soft lockup", "hung", "unstable", "Call Trace", "stall", "nobody cared",
					   "unchecked MSR" };
	static char record[4096];
	int n;

	if (kernel_log < 0)
		return NULL;
	for (;;) {
		char *text;

		n = read(kernel_log, record, sizeof record - 1);
		if (n < 0 && errno == EPIPE)		/* overwritten in the meantime */
			continue;
		if (n <= 0)
			return NULL;
		record[n] = 0;
		text = strchr(record, ';') ? strchr(record, ';') + 1 : record;
		text[strcspn(text, "\n")] = 0;
		for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
			if (strstr(text, bad[i]))
				return text;
	}
}
