#define _GNU_SOURCE
/*
 * steady [SECONDS] [OPTION]...: a program that checks itself all the time, so
 * that nothing a machine loses, repeats or corrupts on its way from one engine
 * to another goes unnoticed.  A dozen jobs, each a process or several, run side
 * by side for SECONDS (default 20): registers of every kind held through long
 * loops, threads, clocks, timers, processes, pipes, signals, memory, futexes,
 * changing code, single steps, and what the kernel says about itself.
 *   --storm         the storms of steady-storm.c too: forks, programs, mappings, signals, threads, pipes
 *   --every S       a line every S seconds instead of each
 *   --light         fewer threads, more pauses: for machines many times slower
 *   --only A,B      these jobs (--list: their names)
 *   --max-gap MS    the clock may stand still or jump this far, default 2000
 *   --window MS     a periodic timer must fire once in this time, default 3000
 *   --patience S    a job may take this long for a round, default 120
 *   --seed N        of everything random
 *   --no-modules    do not load kernel modules: others may be doing so
 *   --inject FAULT  spoil one bit at a random moment: the test must notice
 *   --self-test     try every fault, each in a run of its own
 *
 * A line a second, and one at the end:
 *	steady: 3 s, sums 0123abcd, max gap 4 ms, rounds cpu 12 threads 40 ...
 *	steady: ok, 20 s, ...	(status 0)	or	steady: FAIL JOB: why	(status 1)
 * A seed repeats what is random in the data, not the order of events.
 */
#include "steady.h"

#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

struct shared *sh;
struct options opt = { .seconds = 20, .max_gap = 2000, .window = 3000, .patience = 120, .every = 1 };

/* ---- jobs and what can go wrong with them ------------------------------- */

static const struct job {
	const char *name;
	void (*run)(void);
	int nice;
	bool storm;
} jobs[] = {
	{ "cpu", job_cpu, -6, false },
	{ "threads", job_threads, 0, false },
	{ "clock", job_clock, -15, false },
	{ "timer", job_timer, -20, false },
	{ "sleep", job_sleep, -15, false },
	{ "process", job_process, 0, false },
	{ "pipe", job_pipe, 0, false },
	{ "signal", job_signal, 0, false },
	{ "memory", job_memory, 0, false },
	{ "futex", job_futex, 0, false },
	{ "code", job_code, 0, false },
	{ "ptrace", job_ptrace, 0, false },
	{ "forks", job_forks, -6, true },
	{ "programs", job_programs, -6, true },
	{ "maps", job_maps, -6, true },
	{ "returns", job_returns, -6, true },
	{ "crowd", job_crowd, -6, true },
	{ "chain", job_chain, -6, true },
	{ "kernel", job_kernel, 0, false },		/* the last one */
};
enum { JOBS = sizeof jobs / sizeof *jobs };

enum need { NEED_AVX = AVX, NEED_AVX512 = AVX512, NEED_GUEST = 8 };
static const struct fault {
	const char *name, *job;
	int needs;
} faults[] = {
	/* First those that show by nothing happening for a while. */
	{ "signal", "signal", 0 }, { "alarm", "sleep", 0 }, { "itimer", "timer", 0 }, { "posix-timer", "timer", 0 },
	{ "timerfd", "timer", 0 }, { "interrupts", "kernel", NEED_GUEST }, { "tsc-jump", "clock", 0 },
	{ "eax", "cpu", 0 }, { "ebx", "cpu", 0 }, { "ecx", "cpu", 0 }, { "edx", "cpu", 0 }, { "esi", "cpu", 0 }, { "edi", "cpu", 0 },
	{ "ebp", "cpu", 0 }, { "flags", "cpu", 0 }, { "df", "cpu", 0 }, { "ac", "cpu", 0 }, { "fs", "cpu", 0 },
	{ "x87", "cpu", 0 }, { "x87-control", "cpu", 0 }, { "x87-top", "cpu", 0 }, { "mmx", "cpu", 0 }, { "xmm", "cpu", 0 },
	{ "mxcsr", "cpu", 0 }, { "ymm", "cpu", NEED_AVX }, { "zmm", "cpu", NEED_AVX512 }, { "opmask", "cpu", NEED_AVX512 },
	{ "tls", "threads", 0 }, { "errno", "threads", 0 }, { "sum", "threads", 0 }, { "long-double", "threads", 0 },
	{ "clock-back", "clock", 0 }, { "clock-gap", "clock", 0 }, { "realtime", "clock", 0 }, { "tsc-back", "clock", 0 },
	{ "child", "process", 0 }, { "pipe", "pipe", 0 }, { "memory", "memory", 0 }, { "zero-page", "memory", 0 }, { "futex", "futex", 0 },
	{ "code", "code", 0 }, { "far-code", "code", 0 }, { "single-step", "ptrace", 0 }, { "ptrace-run", "ptrace", 0 },
	{ "storm-cow", "forks", 0 }, { "storm-exec", "programs", 0 }, { "storm-map", "maps", 0 }, { "storm-signal", "returns", 0 },
	{ "storm-thread", "crowd", 0 }, { "storm-pipe", "chain", 0 },
	{ "file", "kernel", 0 },
	/* Last, and alone: the log is everybody's. */
	{ "kernel-log", "kernel", NEED_GUEST },
};
enum { FAULTS = sizeof faults / sizeof *faults };

static int me = -1;		/* this process works for jobs[me] */
static bool pacing = true;

/* Is word in a list with commas? */
static bool listed(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; p; p = strchr(p, ',')) {
		p += *p == ',';
		if (strncmp(p, word, n) == 0 && (p[n] == 0 || p[n] == ','))
			return true;
	}
	return false;
}

/* ---- for the jobs ------------------------------------------------------- */

/* The first failure counts. */
static void vfail(const char *who, const char *where, const char *fmt, va_list ap)
{
	int none = 0, n;

	if (!__atomic_compare_exchange_n(&sh->failed, &none, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return;
	n = snprintf(sh->message, sizeof sh->message, "%s: %s", who, where);
	vsnprintf(sh->message + n, sizeof sh->message - n, fmt, ap);
	__atomic_store_n(&sh->failed, 2, __ATOMIC_SEQ_CST);
}

static void __attribute__((format(printf, 2, 3))) fail(const char *who, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfail(who, "", fmt, ap);
	va_end(ap);
}

void check_fail(const char *file, int line, const char *fmt, ...)
{
	const char *base = strrchr(file, '/');
	char where[80];
	va_list ap;

	snprintf(where, sizeof where, "%s:%d: ", base ? base + 1 : file, line);
	va_start(ap, fmt);
	vfail(me < 0 ? "steady" : jobs[me].name, where, fmt, ap);
	_exit(1);
}

void check_wait(int pid, int status)
{
	int st, r;

	do
		r = waitpid(pid, &st, 0);
	while (r < 0 && errno == EINTR);
	CHECK_EQ(r, pid);
	CHECK_MSG(WIFEXITED(st) && WEXITSTATUS(st) == status, "a child ended with wait status 0x%x, not exit status %d", st, status);
}

u32 check_rand(u32 *state)
{
	u32 x = *state ? *state : 1;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *state = x;
}

bool check_in_guest(void)
{
	return access("/tests/run", X_OK) == 0;
}

u32 pick(u32 low, u32 high)
{
	static __thread u32 state;

	if (!state)
		state = (opt.seed + 1) * 2654435761u ^ (u32)getpid() * 40503u ^ (u32)(uintptr_t)&state;
	return low + check_rand(&state) % (high - low + 1);
}

u32 crc32(u32 crc, const void *data, size_t n)
{
	static u32 table[256];
	const u8 *p = data;

	if (!table[128])		/* the last one to be filled in: another thread may be doing the same */
		for (u32 i = 1; i <= 256; i++) {
			u32 v = (i + 128) % 256, c = v;

			for (int k = 0; k < 8; k++)
				c = c >> 1 ^ (c & 1 ? 0xedb88320u : 0);
			__atomic_store_n(&table[v], c, __ATOMIC_RELEASE);
		}
	crc = ~crc;
	while (n--)
		crc = crc >> 8 ^ table[(crc ^ *p++) & 0xff];
	return ~crc;
}

long int80(long nr, long a, long b, long c)
{
	__asm__ volatile("int $0x80" : "+a"(nr) : "b"(a), "c"(b), "d"(c) : "memory");
	return nr;
}

u64 mono(void)
{
	struct timespec ts;

	SYS(clock_gettime(CLOCK_MONOTONIC, &ts));
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

void nap(u32 ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * MS };

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

int helper(void)
{
	int parent = getpid(), pid = SYS(fork());

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
	}
	return pid;
}

bool injecting(const char *fault)
{
	return opt.inject && strcmp(opt.inject, fault) == 0;
}

bool inject(const char *fault)
{
	return injecting(fault) && __atomic_sub_fetch(&sh->countdown, 1, __ATOMIC_SEQ_CST) == 0;
}

void paced(bool yes)
{
	pacing = yes;
}

bool next_round(u32 sum)
{
	static __thread u64 began;
	struct slot *s = &sh->slot[me];
	u64 now = mono(), took = began ? now - began : 0;

	clock_sample();
	__atomic_add_fetch(&s->rounds, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&s->sum, sum, __ATOMIC_SEQ_CST);
	s->last = now;
	/* What a round took says how slow the machine is. */
	if (pacing || sh->quiet) {
		u32 ms = took / MS * (opt.light ? 3 : 1);

		nap(ms < 5 ? 5 : ms > 400 ? 400 : ms);
	}
	began = mono();
	return !__atomic_load_n(&sh->stop, __ATOMIC_SEQ_CST) && !__atomic_load_n(&sh->failed, __ATOMIC_SEQ_CST);
}

/* ---- the conductor ------------------------------------------------------ */

static bool wanted(int i)
{
	return opt.only ? listed(opt.only, jobs[i].name) : opt.storm || !jobs[i].storm;
}

static void start_job(int i)
{
	int pid;

	sh->slot[i].last = mono();
	pid = SYS(fork());
	if (pid) {
		sh->slot[i].pid = pid;
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpgid(0, 0);
	signal(SIGINT, SIG_IGN);
	me = i;
	setpriority(PRIO_PROCESS, 0, jobs[i].nice);
	jobs[i].run();
	_exit(0);
}

/* The first job that died by itself, or takes too long. */
static void look_after_jobs(void)
{
	u64 now = mono();
	int st;

	for (int i = 0; i < JOBS; i++) {
		struct slot *s = &sh->slot[i];
		int r;

		if (!s->pid)
			continue;
		r = waitpid(s->pid, &st, WNOHANG);
		if (r == s->pid) {
			s->pid = 0;
			if (st || !(sh->stop || sh->failed))
				fail(jobs[i].name, "its process ended with wait status 0x%x", st);
		} else if (now > s->last && now - s->last > opt.patience * 1000ull * MS) {
			fail(jobs[i].name, "no progress for %u s after %u rounds", opt.patience, s->rounds);
		}
	}
}

static void kill_jobs(void)
{
	for (int i = 0; i < JOBS; i++)
		if (sh->slot[i].pid) {
			kill(-sh->slot[i].pid, SIGKILL);
			kill(sh->slot[i].pid, SIGKILL);
		}
	while (wait(NULL) > 0)
		;
}

static void heartbeat(const char *word)
{
	char line[600];
	u32 sum = 0;
	int n;

	for (int i = 0; i < JOBS; i++)
		sum = sum * 31 + sh->slot[i].sum;
	n = snprintf(line, sizeof line, "steady: %s%llu s, sums %08x, max gap %llu ms, rounds", word, (mono() - sh->start) / (1000ull * MS),
		     sum, sh->max_gap / MS);
	for (int i = 0; i < JOBS; i++)
		if (wanted(i))
			n += snprintf(line + n, sizeof line - n, " %s %u", jobs[i].name, sh->slot[i].rounds);
	strcpy(line + n, "\n");
	if (write(1, line, strlen(line)) < 0)
		_exit(97);
}

static bool all_done(void)
{
	for (int i = 0; i < JOBS; i++)
		if (sh->slot[i].pid)
			return false;
	return true;
}

/* What the guest's kernel has counted since it started: for whoever compares it with what the machine has counted. */
static void kernel_counts(void)
{
	static const struct { const char *file, *word; } counts[] = {
		{ "/proc/stat", "processes" }, { "/proc/stat", "ctxt" }, { "/proc/stat", "intr" }, { "/proc/vmstat", "pgfault" },
	};
	char line[8192], text[200] = "";
	int n = 0;

	for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
		size_t len = strlen(counts[i].word);
		FILE *f = fopen(counts[i].file, "re");

		while (f && fgets(line, sizeof line, f))
			if (strncmp(line, counts[i].word, len) == 0 && line[len] == ' ')
				n += snprintf(text + n, sizeof text - n, " %s %llu", counts[i].word, strtoull(line + len, NULL, 10));
		if (f)
			fclose(f);
	}
	printf("steady: the kernel counts%s\n", text);
}

/* What the kernel has to say, if it is one of the jobs. */
static void complain(void)
{
	const char *what = kernel_log_check();

	if (what && wanted(JOBS - 1))
		fail("kernel", "it says: %s", what);
}

static int conduct(void)
{
	struct timespec tenth = { 0, 100 * MS };
	sigset_t chld;
	u64 beat;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	setpriority(PRIO_PROCESS, 0, -16);	/* needs rights; does without */
	kernel_log_start();
	clock_start();
	sh->start = mono();
	sh->countdown = pick(2, 12);
	for (int i = 0; i < JOBS; i++)
		sh->clock_read |= wanted(i) && jobs[i].run == job_clock;
	for (int i = 0; i < JOBS; i++)
		if (wanted(i))
			start_job(i);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	beat = sh->start + opt.every * 1000ull * MS;
	while (!sh->failed && !all_done()) {
		u64 now;

		sigtimedwait(&chld, NULL, &tenth);
		look_after_jobs();
		now = mono();
		/* Three seconds busy, one with time for HLT. */
		sh->quiet = (now - sh->start) / (1000ull * MS) % 4 == 3;
		if (now >= beat) {
			complain();
			heartbeat("");
			while (beat <= now)
				beat += opt.every * 1000ull * MS;
		}
		if (now - sh->start >= opt.seconds * 1000ull * MS)
			sh->stop = 1;
	}
	for (int i = 0; i < 1000 && sh->failed == 1; i++)	/* its message is being written */
		nap(20);
	kill_jobs();
	complain();
	for (int i = 0; i < JOBS; i++)
		if (wanted(i) && sh->slot[i].rounds == 0)
			fail(jobs[i].name, "not a single round");
	if (sh->failed) {
		printf("steady: FAIL %s\n", sh->message);
		return 1;
	}
	if (opt.storm)
		kernel_counts();
	fflush(stdout);
	heartbeat("ok, ");
	return 0;
}

/* ---- the self-test ------------------------------------------------------ */

/* Run this program again; its last line, and its status. */
static int run_self(const char *job, const char *fault, char *last, size_t size)
{
	char seed[16], line[800];
	int fd[2], pid, st;
	FILE *f;

	SYS(pipe(fd));
	snprintf(seed, sizeof seed, "%u", pick(1, 1000000));
	pid = helper();
	if (pid == 0) {
		const char *with[] = { "steady", "30", "--seed", seed, "--only", job, "--window", "1500", "--patience", "4", "--no-modules",
				       "--inject", fault, NULL };
		const char *without[] = { "steady", "3", "--seed", seed, "--light", "--no-modules", NULL };

		dup2(fd[1], 1);
		close(fd[0]);
		close(fd[1]);
		execv("/proc/self/exe", (char **)(fault ? with : without));
		_exit(126);
	}
	close(fd[1]);
	*last = 0;
	f = fdopen(fd[0], "r");
	while (fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = 0;
		snprintf(last, size, "%s", line);
	}
	fclose(f);
	waitpid(pid, &st, 0);
	return WIFEXITED(st) ? WEXITSTATUS(st) : 1000 + st;
}

/* One line in the form of the other test programs. */
static int test_fault(const struct fault *f)
{
	char last[800], expected[64], line[1000];
	int status, have = cpu_features() | (check_in_guest() ? NEED_GUEST : 0), bad = 0;

	if (f->needs & ~have) {
		snprintf(line, sizeof line, "skip steady/inject-%s: not on this machine\n", f->name);
	} else {
		status = run_self(f->job, f->name, last, sizeof last);
		snprintf(expected, sizeof expected, "steady: FAIL %s: ", f->job);
		bad = status != 1 || strncmp(last, expected, strlen(expected)) != 0;
		snprintf(line, sizeof line, bad ? "FAIL steady/inject-%s: not noticed: status %d, \"%.300s\"\n" : "ok steady/inject-%s\n",
			 f->name, status, last);
	}
	if (write(1, line, strlen(line)) < 0)
		return 1;
	return bad;
}

/* Several at a time: some faults are noticed by nothing happening for seconds. */
static int self_test(void)
{
	enum { AT_A_TIME = 8 };
	char last[800];
	int next = 0, running = 0, bad = 0, st;

	while (next < FAULTS || running) {
		if (next < FAULTS && running < (next == FAULTS - 1 ? 1 : AT_A_TIME)) {
			if (fork() == 0)
				_exit(test_fault(&faults[next]));
			next++;
			running++;
		} else if (wait(&st) > 0) {
			running--;
			bad += st != 0;
		}
	}
	st = run_self(NULL, NULL, last, sizeof last);
	printf(st ? "FAIL steady/no-fault: status %d, \"%.300s\"\n" : "ok steady/no-fault\n", st, last);
	return bad + (st != 0) > 0;
}

static u32 number(const char *s)
{
	char *end;
	u32 v = s ? strtoul(s, &end, 0) : 0;

	if (!s || !*s || *end) {
		fprintf(stderr, "steady: not a number: %s\n", s ? s : "");
		exit(2);
	}
	return v;
}

int main(int argc, char **argv)
{
	pthread_mutexattr_t shared_lock;

	sh = mmap(NULL, sizeof *sh, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sh == MAP_FAILED)
		return 95;
	if (argc > 1 && strcmp(argv[1], "--child") == 0)
		return process_child(argc, argv);
	opt.seed = getpid() ^ time(NULL);
	for (int i = 1; i < argc; i++) {
		const char *a = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
		static const struct { const char *name; u32 *where; } numbers[] = {
			{ "--max-gap", &opt.max_gap }, { "--window", &opt.window }, { "--patience", &opt.patience }, { "--seed", &opt.seed },
			{ "--every", &opt.every },
		};
		bool found = false;

		for (unsigned k = 0; k < sizeof numbers / sizeof *numbers && !found; k++)
			if (strcmp(a, numbers[k].name) == 0) {
				*numbers[k].where = number(value);
				i++;
				found = true;
			}
		if (found)
			continue;
		if (strcmp(a, "--light") == 0) {
			opt.light = true;
		} else if (strcmp(a, "--storm") == 0) {
			opt.storm = true;
		} else if (strcmp(a, "--no-modules") == 0) {
			opt.no_modules = true;
		} else if (strcmp(a, "--only") == 0 && value) {
			opt.only = argv[++i];
		} else if (strcmp(a, "--inject") == 0 && value) {
			opt.inject = argv[++i];
		} else if (strcmp(a, "--self-test") == 0) {
			return self_test();
		} else if (strcmp(a, "--list") == 0) {
			for (int k = 0; k < JOBS; k++)
				printf("job %s\n", jobs[k].name);
			for (int k = 0; k < FAULTS; k++)
				printf("fault %s (%s)\n", faults[k].name, faults[k].job);
			return 0;
		} else {
			opt.seconds = number(a);
		}
	}
	opt.every += !opt.every;
	pthread_mutexattr_init(&shared_lock);
	pthread_mutexattr_setpshared(&shared_lock, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&sh->clock_lock, &shared_lock);
	return conduct();
}
