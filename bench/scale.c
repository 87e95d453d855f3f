#define _GNU_SOURCE
/*
 * The scaling benchmark: how costs grow with processes, threads and memory.
 * The same 32-bit static binary runs on the host, under Ringer and under QEMU,
 * always on one CPU.  Arguments pick rows (bench/scale.rows); a row's number is
 * its size: processes, threads, or megabytes.  One line a row, as of micro.c:
 *     ROW NAME MEDIAN UNIT MIN MAX ROUNDS
 * The time of a row is bounded: few operations where they are slow.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, ROUNDS = 5, ROUND_NS = 60000000, PARTS_MAX = 64, TOUCHED = 64 };

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

/* ---- a ring of processes or threads that pass a token ---- */

static struct {
	int fd[PARTS_MAX][2];		/* part i reads from pipe i and writes to pipe i + 1 */
	int pid[PARTS_MAX];
	pthread_t thread[PARTS_MAX];
	u32 n;
	u32 pages;			/* of its own memory, which each part touches... */
	u8 *own;			/* ...some of, in each turn */
	u32 stride;
} ring;

static void touch_own(void)
{
	for (u32 i = 0, at = 0; i < TOUCHED && ring.pages; i++, at += ring.stride)
		ring.own[at % ring.pages * PAGE]++;
}

/* What is not the starter does, until its pipe is closed. */
static void *part(void *arg)
{
	u32 i = (u32)(uintptr_t)arg;
	char c;

	while (read(ring.fd[i][0], &c, 1) == 1 && c != 'q') {
		touch_own();
		if (write(ring.fd[(i + 1) % ring.n][1], &c, 1) != 1)
			break;
	}
	return NULL;
}

static void own_memory(u32 pages)
{
	ring.pages = pages;
	if (!pages)
		return;
	ring.own = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ring.own == MAP_FAILED)
		die("mmap");
	madvise(ring.own, pages * PAGE, MADV_NOHUGEPAGE);
	for (u32 i = 0; i < pages; i++)
		ring.own[i * PAGE] = 1;
	ring.stride = pages / TOUCHED ? pages / TOUCHED : 1;
}

static void ring_open(u32 n, u32 pages, int threads)
{
	ring.n = n;
	for (u32 i = 0; i < n; i++)
		if (pipe(ring.fd[i]))
			die("pipe");
	for (u32 i = 1; i < n; i++) {
		if (threads) {
			pthread_attr_t a;

			pthread_attr_init(&a);
			pthread_attr_setstacksize(&a, 65536);
			if (pthread_create(&ring.thread[i], &a, part, (void *)(uintptr_t)i))
				die("pthread_create");
			continue;
		}
		ring.pid[i] = fork();
		if (ring.pid[i] < 0)
			die("fork");
		if (ring.pid[i] == 0) {
			own_memory(pages);
			part((void *)(uintptr_t)i);
			_exit(0);
		}
	}
	own_memory(pages);
}

static void lap(void)
{
	char c = 0;

	touch_own();
	if (write(ring.fd[1 % ring.n][1], &c, 1) != 1 || read(ring.fd[0][0], &c, 1) != 1)
		die("ring");
}

static void ring_close(int threads)
{
	char c = 'q';

	for (u32 i = 1; i < ring.n; i++) {
		if (write(ring.fd[i][1], &c, 1) != 1)
			die("ring");
		if (threads)
			pthread_join(ring.thread[i], NULL);
		else
			waitpid(ring.pid[i], NULL, 0);
	}
	for (u32 i = 0; i < ring.n; i++)
		close(ring.fd[i][0]), close(ring.fd[i][1]);
	if (ring.pages)
		munmap(ring.own, ring.pages * PAGE);
	ring.pages = 0;
}

/* ---- a working set ---- */

static struct {
	u8 *at;
	u32 pages;
} set;

/* A new mapping, not yet touched. */
static void set_new(u32 mb)
{
	set.pages = mb << 8;
	set.at = mmap(NULL, set.pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (set.at == MAP_FAILED)
		die("mmap");
	madvise(set.at, set.pages * PAGE, MADV_NOHUGEPAGE);
}

static void set_fill(void)
{
	for (u32 i = 0; i < set.pages; i++)
		set.at[i * PAGE] = 1;
}

static void set_drop(void)
{
	munmap(set.at, set.pages * PAGE);
}

static u32 seed = 1;
static volatile u32 sink;

/* n pages, in order or not; the sizes are powers of two. */
static void set_sweep(u32 n)
{
	u32 sum = 0;

	for (u32 i = 0; i < n; i++)
		sum += set.at[(i & (set.pages - 1)) * PAGE + (i & 63) * 64];
	sink = sum;
}

static void set_random(u32 n)
{
	u32 sum = 0;

	while (n--) {
		seed = seed * 1664525 + 1013904223;
		sum += set.at[((seed >> 8) & (set.pages - 1)) * PAGE + (seed >> 24 & 63) * 64];
	}
	sink = sum;
}

/* ---- rows: the time of one operation, in nanoseconds ---- */

static double per_lap(u32 n, u32 pages, int threads)
{
	u32 laps = 0;
	u64 t0, t;

	ring_open(n, pages, threads);
	for (int i = 0; i < 2; i++)
		lap();
	t0 = now();
	do {
		lap();
		laps++;
	} while ((t = now() - t0) < ROUND_NS || laps < 3);
	ring_close(threads);
	return (double)t / laps / n;
}

static double processes(u32 n) { return per_lap(n, 0, 0); }
static double threads(u32 n) { return per_lap(n, 0, 1); }

/* Four processes, each with a working set of its own, of which it touches some pages in each turn. */
static double switch_set(u32 mb) { return per_lap(4, mb << 8, 0); }

static double fill(u32 mb)
{
	u64 t0;

	set_new(mb);
	t0 = now();
	set_fill();
	t0 = now() - t0;
	set_drop();
	return (double)t0 / set.pages;
}

static double touch(u32 mb, void (*how)(u32))
{
	u32 n = 0;
	u64 t0, t;

	set_new(mb);
	set_fill();
	how(set.pages);
	t0 = now();
	do {
		how(set.pages);
		n++;
	} while ((t = now() - t0) < ROUND_NS);
	set_drop();
	return (double)t / n / set.pages;
}

static double sweep(u32 mb) { return touch(mb, set_sweep); }
static double scattered(u32 mb) { return touch(mb, set_random); }

/* fork, exit, wait: and then the pages are written again, as copy-on-write made them read-only; that is not counted. */
static double fork_wait(u32 mb)
{
	u64 t = 0;
	u32 n = 0;

	set_new(mb);
	set_fill();
	do {
		u64 t0 = now();
		int pid = fork();

		if (pid == 0)
			_exit(0);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			die("fork");
		t += now() - t0;
		n++;
		set_fill();
	} while (t < ROUND_NS && n < 50);
	set_drop();
	return (double)t / n;
}

/* The same with that writing: what a fork costs in the end. */
static double fork_write(u32 mb)
{
	u64 t0;
	u32 n = 0;

	set_new(mb);
	set_fill();
	t0 = now();
	do {
		int pid = fork();

		if (pid == 0)
			_exit(0);
		set_fill();		/* the child has it, too: each page is copied, or given back */
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			die("fork");
		n++;
	} while (now() - t0 < ROUND_NS);
	t0 = now() - t0;
	set_drop();
	return (double)t0 / n;
}

static const struct row {
	const char *name;		/* followed by the size */
	double (*fn)(u32 size);
	const char *unit;
	double unit_ns;
} rows[] = {
	{ "processes_", processes, "us", 1e3 },
	{ "threads_", threads, "us", 1e3 },
	{ "switch_", switch_set, "us", 1e3 },
	{ "fill_", fill, "ns", 1 },
	{ "sweep_", sweep, "ns", 1 },
	{ "random_", scattered, "ns", 1 },
	{ "fork_", fork_wait, "us", 1e3 },
	{ "cow_", fork_write, "us", 1e3 },
};

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void run(const char *name)
{
	for (unsigned k = 0; k < sizeof rows / sizeof *rows; k++) {
		size_t len = strlen(rows[k].name);
		u32 size = strncmp(name, rows[k].name, len) == 0 ? strtoul(name + len, NULL, 10) : 0;
		u64 t0 = now();
		double v[ROUNDS];
		int n = 0;

		if (size == 0)
			continue;
		/* Three rounds at least, if they take long. */
		while (n < ROUNDS && (n < 3 || now() - t0 < 3000000000ull))
			v[n++] = rows[k].fn(size) / rows[k].unit_ns;
		qsort(v, n, sizeof *v, ascending);
		printf("ROW %s %.4g %s %.4g %.4g %d\n", name, v[n / 2], rows[k].unit, v[0], v[n - 1], n);
		fflush(stdout);
		return;
	}
	fprintf(stderr, "scale: no row %s\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu() > 0 ? sched_getcpu() : 0, &one);
	sched_setaffinity(0, sizeof one, &one);
	for (int a = 1; a < argc; a++)
		run(argv[a]);
	return 0;
}
