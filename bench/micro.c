#define _GNU_SOURCE
/*
 * The benchmark program: the same 32-bit static binary runs on the host, under
 * Ringer and under QEMU.  One line a row:
 *     ROW NAME MEDIAN UNIT MIN MAX ROUNDS
 * Arguments pick rows.  Rows that measure one operation calibrate their loop so
 * that a round takes a tenth of a second; CPU rows have a fixed amount of work.
 * Everything runs on one CPU, as the guest has only one.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <fcntl.h>
#include <ucontext.h>
#include <unistd.h>

enum { PAGE = 4096, ROUNDS = 5, ROUND_NS = 100000000 };

typedef uint64_t u64;
typedef uint32_t u32;
typedef uint8_t u8;

static u64 now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static volatile u32 sink;

/* ---- CPU loops: n is how much of the fixed work ---- */

static void int_loop(u32 n)
{
	u32 x = 12345, y = 0;

	for (u32 i = 0; i < n; i++) {
		x = x * 1664525 + 1013904223;
		y ^= x >> 7;
		__asm__ volatile("" : "+r"(x), "+r"(y));
	}
	sink = x ^ y;
}

static u8 *buffer;

static void hash_loop(u32 mb)
{
	u32 h = 2166136261u;

	while (mb--)
		for (u32 i = 0; i < 1 << 20; i++)
			h = (h ^ buffer[i]) * 16777619u;
	sink = h;
}

static void fp_loop(u32 n)
{
	double a = 1.0, b = 1.0000001;

	for (u32 i = 0; i < n; i++) {
		a = a / b + 0.5;
		__asm__ volatile("" : "+m"(a));
	}
	sink = (u32)a;
}

/* Real calls, all of them: no inlining of the function into itself. */
static __attribute__((noipa, optimize("no-inline,no-optimize-sibling-calls"))) u32 fib(u32 n)
{
	__asm__ volatile("" : "+r"(n));
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static void fib_loop(u32 n)
{
	sink = fib(n);
}

/* ---- operations: n times ---- */

static u32 vdso_entry;

static void getppid_vdso(u32 n)
{
	while (n--) {
		u32 r;

		__asm__ volatile("call *%1" : "=a"(r) : "r"(vdso_entry), "a"(SYS_getppid) : "memory", "cc");
	}
}

static void getppid_int80(u32 n)
{
	while (n--) {
		u32 r;

		__asm__ volatile("movl %1, %%eax; int $0x80" : "=a"(r) : "i"(SYS_getppid) : "memory");
	}
}

/* Both handlers step over the instruction that faulted: two bytes each. */
static void skip(int sig, siginfo_t *si, void *uc)
{
	((ucontext_t *)uc)->uc_mcontext.gregs[REG_EIP] += 2;
}

static void on(int sig)
{
	struct sigaction sa = { .sa_sigaction = skip, .sa_flags = SA_SIGINFO | SA_NODEFER };

	if (sigaction(sig, &sa, NULL) < 0)
		die("sigaction");
}

static void divzero(u32 n)
{
	on(SIGFPE);
	while (n--)
		__asm__ volatile("divl %%ecx" :: "a"(1), "d"(0), "c"(0) : "cc");
}

static void segv(u32 n)
{
	static u8 *page;

	if (!page)
		page = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	on(SIGSEGV);
	while (n--)
		__asm__ volatile("movl (%%ecx), %%eax" :: "c"(page) : "eax");
}

static volatile u32 yields_left;

static void *yielder(void *arg)
{
	while (yields_left)
		sched_yield();
	return NULL;
}

/* Every sched_yield switches to the other thread. */
static void thread_switch(u32 n)
{
	pthread_t t;

	yields_left = 1;
	if (pthread_create(&t, NULL, yielder, NULL))
		die("pthread_create");
	sched_yield();
	for (u32 i = 0; i < n / 2; i++)
		sched_yield();
	yields_left = 0;
	pthread_join(t, NULL);
}

static void pipe_switch(u32 n)
{
	int a[2], b[2], pid;
	char c = 0;

	if (pipe(a) || pipe(b))
		die("pipe");
	pid = fork();
	if (pid == 0) {
		close(a[1]);
		while (read(a[0], &c, 1) == 1)
			if (write(b[1], &c, 1) != 1)
				_exit(1);
		_exit(0);
	}
	for (u32 i = 0; i < n / 2; i++)
		if (write(a[1], &c, 1) != 1 || read(b[0], &c, 1) != 1)
			die("pipe");
	close(a[0]), close(a[1]), close(b[0]), close(b[1]);
	waitpid(pid, NULL, 0);
}

static void fork_wait(u32 n)
{
	while (n--) {
		int pid = fork();

		if (pid == 0)
			_exit(0);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			die("fork");
	}
}

static char self[256];

static void fork_exec(u32 n)
{
	while (n--) {
		int pid = fork();

		if (pid == 0) {
			execl(self, "micro", "--nothing", NULL);
			_exit(1);
		}
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			die("fork");
	}
}

/* Times itself: only the touching counts. */
static u64 touched_ns;

static void page_touch(u32 n)
{
	enum { CHUNK = 4096 };		/* 16 MB */

	touched_ns = 0;
	for (u32 done = 0; done < n;) {
		u32 k = n - done < CHUNK ? n - done : CHUNK;
		u8 *p = mmap(NULL, k * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		u64 t0;

		if (p == MAP_FAILED)
			die("mmap");
		madvise(p, k * PAGE, MADV_NOHUGEPAGE);
		t0 = now();
		for (u32 i = 0; i < k; i++)
			p[i * PAGE] = 1;
		touched_ns += now() - t0;
		munmap(p, k * PAGE);
		done += k;
	}
}

/* A megabyte made read-only and writable again, and written to. */
static void mprotect_1mb(u32 n)
{
	static u8 *p;

	if (!p) {
		p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		madvise(p, 1 << 20, MADV_NOHUGEPAGE);
		memset(p, 1, 1 << 20);
	}
	while (n--) {
		if (mprotect(p, 1 << 20, PROT_READ) || mprotect(p, 1 << 20, PROT_READ | PROT_WRITE))
			die("mprotect");
		for (u32 i = 0; i < 1 << 20; i += PAGE)
			p[i] = n;
	}
}

static void read_zero(u32 n)
{
	static int fd = -1;

	if (fd < 0)
		fd = open("/dev/zero", O_RDONLY);
	while (n--)
		if (read(fd, buffer, PAGE) != PAGE)
			die("/dev/zero");
}

/* ---- the rows ---- */

static const struct row {
	const char *name;
	void (*fn)(u32 n);
	u32 work;		/* fixed work; 0: calibrated, a time for each operation */
	const char *unit;
	double unit_ns;
	u32 least;		/* operations in the shortest round */
} rows[] = {
	{ "int_loop", int_loop, 80000000, "s", 1e9, 0 },
	{ "byte_hash", hash_loop, 200, "s", 1e9, 0 },
	{ "fp_divide", fp_loop, 10000000, "s", 1e9, 0 },
	{ "fib", fib_loop, 35, "s", 1e9, 0 },
	{ "getppid_vdso", getppid_vdso, 0, "ns", 1, 1000 },
	{ "getppid_int80", getppid_int80, 0, "ns", 1, 1000 },
	{ "divzero", divzero, 0, "us", 1e3, 100 },
	{ "segv", segv, 0, "us", 1e3, 100 },
	{ "thread_switch", thread_switch, 0, "us", 1e3, 200 },
	{ "pipe_switch", pipe_switch, 0, "us", 1e3, 200 },
	{ "fork_wait", fork_wait, 0, "us", 1e3, 10 },
	{ "fork_exec", fork_exec, 0, "us", 1e3, 5 },
	{ "page_touch", page_touch, 0, "us", 1e3, 1024 },
	{ "mprotect_1mb", mprotect_1mb, 0, "us", 1e3, 10 },
	{ "read_zero", read_zero, 0, "ns", 1, 200 },
};

static u64 timed(const struct row *r, u32 n)
{
	u64 t0 = now();

	r->fn(n);
	return r->fn == page_touch ? touched_ns : now() - t0;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void run(const struct row *r)
{
	double v[ROUNDS];
	u32 n = r->work;

	if (n == 0) {
		for (n = r->least; timed(r, n) < ROUND_NS / 2 && n < 1u << 28; n *= 2)
			;
	}
	for (int i = 0; i < ROUNDS; i++)
		v[i] = timed(r, n) / (r->work ? 1.0 : n) / r->unit_ns;
	qsort(v, ROUNDS, sizeof *v, ascending);
	printf("ROW %s %.4g %s %.4g %.4g %d\n", r->name, v[ROUNDS / 2], r->unit, v[0], v[ROUNDS - 1], ROUNDS);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	cpu_set_t one;

	if (argc > 1 && strcmp(argv[1], "--nothing") == 0)
		return 0;
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu() > 0 ? sched_getcpu() : 0, &one);
	sched_setaffinity(0, sizeof one, &one);
	if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
		strcpy(self, "/bench/micro");
	vdso_entry = getauxval(AT_SYSINFO);
	buffer = malloc(1 << 20);
	for (u32 i = 0; i < 1 << 20; i++)
		buffer[i] = i * 31;
	for (unsigned k = 0; k < sizeof rows / sizeof *rows; k++) {
		int wanted = argc == 1;

		for (int a = 1; a < argc; a++)
			wanted |= strcmp(argv[a], rows[k].name) == 0;
		if (wanted)
			run(&rows[k]);
	}
	return 0;
}
