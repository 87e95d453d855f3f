#define _GNU_SOURCE
/*
 * steady's storms: what makes and drops address spaces, mappings, threads and
 * signals as fast as it can.  Not paced and not among the jobs of an ordinary
 * run: --storm adds them, or --only picks one.
 */
#include "steady.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

enum { WORDS = PAGE / 4 };

/* A page's content follows from its seed: 0 means never written, zeros. */
static void put_page(u32 *p, u32 seed)
{
	for (int i = 0; i < WORDS; i++)
		p[i] = seed ? seed + i * 2654435761u : 0;
}

static bool has_page(const u32 *p, u32 seed)
{
	for (int i = 0; i < WORDS; i++)
		if (p[i] != (seed ? seed + i * 2654435761u : 0))
			return false;
	return true;
}

/* ---- forks -------------------------------------------------------------- */

/*
 * A crowd of children, and of theirs, over one private region: each writes
 * pages of its own, finds what it wrote and nothing of what others did.
 */
static void fork_child(u32 *p, int pages, u32 seed, u32 me, u32 depth)
{
	for (;;) {
		u32 rnd = seed + me * 977 + depth, mine[8];
		int pid = -1;

		for (int k = 0; k < 8; k++) {
			mine[k] = check_rand(&rnd) % pages;
			put_page(p + mine[k] * WORDS, seed ^ me << 8 ^ mine[k]);
		}
		if (depth)
			pid = SYS(fork());
		if (pid == 0) {
			seed ^= me << 8;
			me++;
			depth--;
			continue;
		}
		if (pid > 0)
			check_wait(pid, me + 1);
		else if (me % 3 == 0)
			sched_yield();
		for (int k = 0; k < 8; k++)
			CHECK_MSG(has_page(p + mine[k] * WORDS, seed ^ me << 8 ^ mine[k]), "page %u of a child has changed", mine[k]);
		_exit(me);
	}
}

void job_forks(void)
{
	enum { PAGES = 96, CROWD = 16 };
	u32 *p = MAP(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), sum = 0;

	paced(false);
	do {
		u32 seed = pick(1, 1u << 30), n = pick(1, opt.light ? 3 : CROWD);
		int pid[CROWD], st;

		for (int i = 0; i < PAGES; i++)
			put_page(p + i * WORDS, seed + i);
		for (u32 i = 0; i < n; i++) {
			pid[i] = SYS(fork());
			if (pid[i] == 0)
				fork_child(p, PAGES, seed, i, i % 4 == 0 ? 2 : 0);
			/* The parent writes on, copying what the children still share. */
			put_page(p + i * WORDS, seed + i);
			if (inject("storm-cow"))
				p[pick(CROWD * WORDS, PAGES * WORDS - 1)] ^= 1u << pick(0, 31);	/* not to be written again */
		}
		for (u32 i = 0; i < n; i++) {
			CHECK_EQ(waitpid(pid[i], &st, 0), pid[i]);
			CHECK_MSG(st == (int)i << 8, "child %u of %u ended with wait status 0x%x", i, n, st);
		}
		for (int i = 0; i < PAGES; i++)
			CHECK_MSG(has_page(p + i * WORDS, seed + i), "page %d of %d has changed under forks", i, PAGES);
		sum += seed;
	} while (next_round(sum));
}

/* ---- programs ----------------------------------------------------------- */

/* Static and dynamic programs of several C libraries, what they say last and how they end; on the host those that are there. */
static const struct { const char *said; int status; const char *argv[6]; } programs[] = {
	{ "ok threads-dynamic/tls\n", 0, { "/tests/t/threads-dynamic", "tls" } },
	{ "ok threads-dynamic/create_join\n", 0, { "/tests/t/threads-dynamic", "create_join" } },
	{ "ok threads-musl/tls\n", 0, { "/tests/t/threads-musl", "tls" } },
	{ "ok threads/tls_across_fork\n", 0, { "/tests/t/threads", "tls_across_fork" } },
	{ "ok memory/brk\n", 0, { "/tests/t/memory", "brk" } },
	{ "hello storm\n", 0, { "/bin/echo", "hello", "storm" } },
	{ "5050\n", 0, { "/bin/sh", "-c", "i=0 s=0; while [ $i -lt 100 ]; do i=$((i+1)); s=$((s+i)); done; echo $s" } },
	{ "42\n", 0, { "/bin/sh", "-c", "seq 1 42 | sort -n | tail -n 1 | cat" } },
	{ "seven\n", 7, { "/bin/sh", "-c", "echo seven; exit 7" } },
};
enum { PROGRAMS = sizeof programs / sizeof *programs };

static void run_program(u32 k)
{
	const char *expected = programs[k].said;
	char said[200];
	int fd[2], pid, r;
	volatile int n = 0;

	SYS(pipe(fd));
	pid = pick(0, 1) ? vfork() : fork();
	if (pid == 0) {
		dup2(fd[1], 1);
		close(fd[0]);
		close(fd[1]);
		execv(programs[k].argv[0], (char **)programs[k].argv);
		_exit(126);
	}
	CHECK(pid > 0);
	close(fd[1]);
	while ((r = read(fd[0], said + n, sizeof said - 1 - n)) > 0)
		n += r;
	said[n] = 0;
	close(fd[0]);
	check_wait(pid, programs[k].status);
	if (inject("storm-exec"))
		strcpy(said, "-");
	r = strlen(said) < strlen(expected) || strcmp(said + strlen(said) - strlen(expected), expected);
	for (char *nl; (nl = strchr(said, '\n')); )
		*nl = ' ';
	CHECK_MSG(r == 0, "%s %s said '%s'", programs[k].argv[0], programs[k].argv[1] ? programs[k].argv[1] : "", said);
}

void job_programs(void)
{
	u32 k = 0, sum = 0;

	paced(false);
	do {
		do
			k = (k + 1) % PROGRAMS;
		while (access(programs[k].argv[0], X_OK));
		run_program(k);
	} while (next_round(sum += k));
}

/* ---- mappings ----------------------------------------------------------- */

enum { MAPS = 48, MAP_PAGES = 64, FILE_PAGES = 256 };
static struct region {
	u32 *p;
	u32 pages, seed[MAP_PAGES], file;	/* file: page of the file that it begins at, + 1 */
	int prot;
	bool shared;
} regions[MAPS];

static sigjmp_buf no_access;

static void on_no_access(int sig, siginfo_t *si, void *uc)
{
	siglongjmp(no_access, 1);
}

/* Is the access refused? */
static bool refused(volatile u32 *p, bool write)
{
	if (sigsetjmp(no_access, 0))
		return true;
	if (write)
		*p = *p + 1;
	else
		(void)*p;
	return false;
}

static void check_region(struct region *r)
{
	if (!(r->prot & PROT_READ))
		return;
	for (u32 i = 0; i < r->pages; i++)
		CHECK_MSG(has_page(r->p + i * WORDS, r->seed[i]), "page %u of %u of a mapping has changed (%s, rights %d)", i, r->pages,
			  r->file ? "file" : "anonymous", r->prot);
}

static void map_region(struct region *r, int fd, const u32 *file_seed)
{
	bool file = pick(0, 3) == 0;

	r->pages = pick(0, 3) ? pick(1, 8) : pick(1, MAP_PAGES);
	r->file = file ? pick(1, FILE_PAGES - r->pages) : 0;
	r->shared = !file && pick(0, 3) == 0;
	r->prot = PROT_READ | PROT_WRITE;
	r->p = MAP(NULL, r->pages * PAGE, r->prot, (r->shared ? MAP_SHARED : MAP_PRIVATE) | (file ? 0 : MAP_ANONYMOUS), file ? fd : -1,
		   file ? (r->file - 1) * PAGE : 0);
	for (u32 i = 0; i < r->pages; i++)
		r->seed[i] = file ? file_seed[r->file - 1 + i] : 0;
}

static void change_region(struct region *r)
{
	u32 i, n;
	void *p;

	switch (pick(0, 7)) {
	case 0: case 1: case 2:		/* write some pages */
		if (!(r->prot & PROT_WRITE))
			break;
		for (i = pick(0, r->pages - 1), n = 0; i < r->pages && n < 8; i++, n++)
			put_page(r->p + i * WORDS, r->seed[i] = pick(1, 1u << 30));
		break;
	case 3:				/* other rights; what they forbid is refused */
		r->prot = (int[]){ PROT_NONE, PROT_READ, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE }[pick(0, 4)];
		SYS(mprotect(r->p, r->pages * PAGE, r->prot));
		i = pick(0, r->pages - 1) * WORDS;
		if (!(r->prot & PROT_WRITE))
			CHECK_MSG(refused(r->p + i, r->prot & PROT_READ), "an access is not refused, rights %d", r->prot);
		break;
	case 4:				/* longer, shorter, or elsewhere */
		if (r->file || r->shared)
			break;
		n = pick(1, MAP_PAGES);
		p = mremap(r->p, r->pages * PAGE, n * PAGE, MREMAP_MAYMOVE);
		CHECK(p != MAP_FAILED);
		for (i = r->pages; i < n; i++)
			r->seed[i] = 0;
		r->p = p;
		r->pages = n;
		break;
	case 5:				/* the first pages away */
		if (r->pages < 3)
			break;
		n = pick(1, r->pages - 1);
		SYS(munmap(r->p, n * PAGE));
		r->p += n * WORDS;
		r->pages -= n;
		memmove(r->seed, r->seed + n, r->pages * sizeof *r->seed);
		r->file += r->file ? n : 0;
		break;
	case 6:				/* zeros again */
		if (r->file || r->shared)
			break;
		SYS(madvise(r->p, r->pages * PAGE, MADV_DONTNEED));
		memset(r->seed, 0, sizeof r->seed);
		break;
	case 7:				/* to where another was */
		if (r->file || r->shared)
			break;
		p = MAP(NULL, r->pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(mremap(r->p, r->pages * PAGE, r->pages * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p) == p);
		r->p = p;
		break;
	}
}

void job_maps(void)
{
	struct sigaction sa = { .sa_sigaction = on_no_access, .sa_flags = SA_SIGINFO | SA_NODEFER };
	int fd = SYS(memfd_create("storm", 0)), pid;
	static u32 file_seed[FILE_PAGES];
	u32 sum = 0;

	u32 *file = (SYS(ftruncate(fd, FILE_PAGES * PAGE)), MAP(NULL, FILE_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	paced(false);
	SYS(sigaction(SIGSEGV, &sa, NULL));
	for (int i = 0; i < FILE_PAGES; i++)
		put_page(file + i * WORDS, file_seed[i] = pick(1, 1u << 30));
	SYS(munmap(file, FILE_PAGES * PAGE));
	do {
		for (int k = 0; k < 60; k++) {
			struct region *r = &regions[pick(0, MAPS - 1)];

			if (!r->p) {
				map_region(r, fd, file_seed);
			} else if (pick(0, 5) == 0) {
				check_region(r);
				SYS(munmap(r->p, r->pages * PAGE));
				if (pick(0, 9) == 0)
					CHECK_MSG(refused(r->p, false), "a page is still there after munmap");
				r->p = NULL;
			} else {
				change_region(r);
				if ((r->prot & PROT_WRITE) && inject("storm-map"))
					r->p[pick(0, r->pages * WORDS - 1)] ^= 1u << pick(0, 31);
				if (pick(0, 2) == 0 || injecting("storm-map"))
					check_region(r);
			}
		}
		/* All of it in a copy too, with a few pages written there. */
		if (pick(0, 3) == 0) {
			pid = SYS(fork());
			for (int i = 0; i < MAPS; i++)
				if (regions[i].p) {
					struct region *r = &regions[i];

					if (pid == 0 && !r->shared && (r->prot & PROT_WRITE))
						put_page(r->p, r->seed[0] = i + 1);
					check_region(r);
				}
			if (pid == 0)
				_exit(0);
			check_wait(pid, 0);
		}
		sum += 1;
	} while (next_round(sum));
}

/* ---- signals ------------------------------------------------------------ */

static volatile u32 traps, ticks, calls;

/* Behind the two bytes of UD2, or to the next page's rights. */
static void on_trap(int sig, siginfo_t *si, void *context)
{
	ucontext_t *uc = context;

	traps++;
	if (sig == SIGILL)
		uc->uc_mcontext.gregs[14] += 2;		/* REG_EIP */
	else if (mprotect((void *)((uintptr_t)si->si_addr & -PAGE), PAGE, PROT_READ | PROT_WRITE) < 0)
		_exit(91);
}

static void on_tick(int sig) { ticks++; }
static void on_call(int sig) { calls++; }

/* Faults, raised signals and a timer every millisecond, on an alternate stack, with registers that must come through. */
void job_returns(void)
{
	enum { PAGES = 32, ROUND = 200 };
	struct sigaction trap = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };
	struct sigaction tick = { .sa_handler = on_tick, .sa_flags = SA_ONSTACK | SA_RESTART };
	struct sigaction call = { .sa_handler = on_call, .sa_flags = SA_RESTART };
	struct itimerval it = { { 0, 1000 }, { 0, 1000 } };
	stack_t ss = { .ss_sp = malloc(65536), .ss_size = 65536 };
	u32 *p = MAP(NULL, PAGES * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), sum = 0;

	paced(false);
	SYS(sigaltstack(&ss, NULL));
	SYS(sigaction(SIGSEGV, &trap, NULL));
	SYS(sigaction(SIGILL, &trap, NULL));
	SYS(sigaction(SIGALRM, &tick, NULL));
	SYS(sigaction(SIGUSR2, &call, NULL));
	SYS(setitimer(ITIMER_REAL, &it, NULL));
	do {
		traps = calls = 0;
		for (int i = 0; i < ROUND; i++) {
			u32 a = pick(1, ~0u), b = ~a, c = a * 3, d = a, m = b;

			/* The handler returns to the instruction behind, all registers as they were. */
			__asm__ volatile("movd %3, %%mm3; ud2; movd %%mm3, %3; emms" : "+b"(a), "+S"(b), "+D"(c), "+r"(m) : : "memory");
			CHECK_MSG(a == d && b == ~d && c == d * 3 && m == ~d, "registers are %08x %08x %08x %08x after sigreturn, from %08x", a, b, c, m, d);
			SYS(raise(SIGUSR2));
			if (inject("storm-signal"))
				calls++;
			((volatile u32 *)p)[i % PAGES * WORDS] = i;
			CHECK_EQ(((volatile u32 *)p)[i % PAGES * WORDS], (u32)i);
			if (i % PAGES == PAGES - 1)
				SYS(mprotect(p, PAGES * PAGE, PROT_READ));
		}
		CHECK_EQ(calls, ROUND);
		CHECK_EQ(traps, 2 * ROUND);
		SYS(mprotect(p, PAGES * PAGE, PROT_READ));
		sum += ROUND;
	} while (next_round(sum));
	it = (struct itimerval){ { 0, 0 }, { 0, 0 } };
	SYS(setitimer(ITIMER_REAL, &it, NULL));
	CHECK_MSG(ticks > 0, "the timer has never fired");
}

/* ---- threads ------------------------------------------------------------ */

static __thread u32 own[8];
static u32 meeting, total;
static pthread_mutex_t total_lock = PTHREAD_MUTEX_INITIALIZER;

/* Starts as a copy of nothing, writes its own, meets the others, adds to what is everybody's. */
static void *brief_thread(void *arg)
{
	u32 n = (uintptr_t)arg;

	for (int i = 0; i < 8; i++) {
		CHECK_MSG(own[i] == 0, "thread-local storage is not new");
		own[i] = n * 8 + i;
	}
	__atomic_sub_fetch(&meeting, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &meeting, FUTEX_WAKE, 1 << 30, NULL, NULL, 0);
	for (u32 m; (m = __atomic_load_n(&meeting, __ATOMIC_SEQ_CST)) != 0; )
		syscall(SYS_futex, &meeting, FUTEX_WAIT, m, NULL, NULL, 0);
	for (int i = 0; i < 20; i++) {
		pthread_mutex_lock(&total_lock);
		total++;
		pthread_mutex_unlock(&total_lock);
	}
	for (int i = 0; i < 8; i++)
		CHECK_MSG(own[i] == n * 8 + i + (u32)inject("storm-thread"), "thread-local storage has changed");
	return (void *)(uintptr_t)(n * 7);
}

void job_crowd(void)
{
	enum { CROWD = 24 };
	u32 sum = 0;

	paced(false);
	do {
		u32 n = pick(1, opt.light ? 4 : CROWD);
		pthread_t t[CROWD];
		void *r;

		meeting = n;
		total = 0;
		for (u32 i = 0; i < n; i++)
			CHECK_EQ(pthread_create(&t[i], NULL, brief_thread, (void *)(uintptr_t)(i + 1)), 0);
		for (u32 i = 0; i < n; i++) {
			CHECK_EQ(pthread_join(t[i], &r), 0);
			CHECK_EQ((uintptr_t)r, (i + 1) * 7);
		}
		CHECK_EQ(total, n * 20);
	} while (next_round(sum += total));
}

/* ---- chains of pipes ---------------------------------------------------- */

/* Processes in a row, each of which adds one to every word that passes. */
void job_chain(void)
{
	enum { ROW = 12, LENGTH = 512 };
	static u32 words[LENGTH];
	u32 sum = 0;

	paced(false);
	do {
		u32 n = pick(1, opt.light ? 3 : ROW), seed = pick(1, 1u << 30), got = 0;
		int pid[ROW], fd[2], in, first;

		SYS(pipe(fd));
		first = fd[1];
		in = fd[0];
		for (u32 i = 0; i < n; i++) {
			SYS(pipe(fd));
			pid[i] = SYS(fork());
			if (pid[i] == 0) {
				int r;

				close(first);
				close(fd[0]);
				while ((r = SYS(read(in, words, sizeof words))) > 0) {
					CHECK(r % 4 == 0);
					for (int k = 0; k < r / 4; k++)
						words[k]++;
					CHECK_EQ(write(fd[1], words, r), r);
				}
				_exit(i);
			}
			close(in);
			close(fd[1]);
			in = fd[0];
		}
		for (int i = 0; i < LENGTH; i++)
			words[i] = seed + i * 3 + inject("storm-pipe");
		CHECK_EQ(write(first, words, sizeof words), (int)sizeof words);
		close(first);
		while (got < sizeof words) {
			int r = SYS(read(in, (u8 *)words + got, sizeof words - got));

			CHECK_MSG(r > 0, "the row of pipes ended after %u bytes", got);
			got += r;
		}
		close(in);
		for (int i = 0; i < LENGTH; i++)
			CHECK_MSG(words[i] == seed + i * 3 + n, "word %d is %08x, not %08x, after %u pipes", i, words[i], seed + i * 3 + n, n);
		for (u32 i = 0; i < n; i++)
			check_wait(pid[i], i);
		sum += seed;
	} while (next_round(sum));
}
