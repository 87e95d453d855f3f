#define _GNU_SOURCE
/*
 * Floating point and vector state: bit-exact results and whole register files
 * kept across preemption, signals, page faults, system calls and fork.
 */
#include "check.h"

#include <cpuid.h>
#include <fenv.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>

enum { SSE = 1, AVX = 2, AVX512 = 4 };

/* The two features words decide what a program may use: CPUID, and XCR0 as the kernel set it. */
static int features(void)
{
	u32 a, b, c, d, xcr0 = 0, hi;
	int f = 0;

	__cpuid(1, a, b, c, d);
	if (d & (1u << 26))
		f |= SSE;
	if (c & (1u << 27))
		__asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(hi) : "c"(0));
	if ((c & (1u << 28)) && (xcr0 & 6) == 6)
		f |= AVX;
	if (__get_cpuid_max(0, NULL) >= 7) {
		__cpuid_count(7, 0, a, b, c, d);
		if ((b & (1u << 16)) && (xcr0 & 0xe6) == 0xe6)
			f |= AVX512;
	}
	return f;
}

TEST(features)
{
	u32 a, b, c, d, xcr0 = 0, hi = 0;
	int f = features();

	__cpuid(1, a, b, c, d);
	if (c & (1u << 27))
		__asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(hi) : "c"(0));
	check_info("cpuid.1 %08x %08x %08x, XCR0 0x%x%s%s%s", a, c, d, xcr0, f & SSE ? " sse2" : "", f & AVX ? " avx" : "",
		   f & AVX512 ? " avx512" : "");
	CHECK(f & SSE);
	if (xcr0) {
		u32 size, max;

		__cpuid_count(0xd, 0, a, size, max, d);
		CHECK((xcr0 & ~a) == 0);
		CHECK(size >= 576 && size <= max);
	}
}

/* Reference values, from the definition of the formats: no run of the same machine is needed. */
TEST(known_results)
{
	volatile double two = 2, three = 3, one = 1;
	volatile float third;
	double r;
	long double l;
	u64 bits, sig;

	__asm__("movsd %1, %%xmm0; sqrtsd %%xmm0, %%xmm0; movsd %%xmm0, %0" : "=m"(r) : "m"(two));
	memcpy(&bits, &r, 8);
	CHECK(bits == 0x3ff6a09e667f3bcdull);
	__asm__("movsd %1, %%xmm0; divsd %2, %%xmm0; movsd %%xmm0, %0" : "=m"(r) : "m"(one), "m"(three));
	memcpy(&bits, &r, 8);
	CHECK(bits == 0x3fd5555555555555ull);
	__asm__("fldl %1; fsqrt; fstpt %0" : "=m"(l) : "m"(two));
	memcpy(&sig, &l, 8);
	CHECK(sig == 0xb504f333f9de6484ull);
	__asm__("fldpi; fstpt %0" : "=m"(l));
	memcpy(&sig, &l, 8);
	CHECK(sig == 0xc90fdaa22168c235ull);
	third = 1.0f / (float)three;
	u32 f;

	memcpy(&f, (void *)&third, 4);
	CHECK_EQ(f, 0x3eaaaaab);
	/* Rounding upwards in both units. */
	fesetround(FE_UPWARD);
	__asm__("movsd %1, %%xmm0; divsd %2, %%xmm0; movsd %%xmm0, %0" : "=m"(r) : "m"(one), "m"(three));
	memcpy(&bits, &r, 8);
	CHECK(bits == 0x3fd5555555555556ull);
	__asm__("fldl %1; fsqrt; fstpt %0" : "=m"(l) : "m"(two));
	memcpy(&sig, &l, 8);
	CHECK(sig == 0xb504f333f9de6485ull);
	fesetround(FE_TONEAREST);
}

struct sums { u64 x87_lo; u16 x87_hi; u64 sse; u64 logistic; };

static struct sums compute(int seed, int n)
{
	struct sums s = { 0 };
	double x = 0.37 + seed * 1e-4, acc = 0, step = 1.0000001, y;
	long double big = 1;

	for (int i = 0; i < n; i++) {
		big = big * 1.0000003L + 1.0L / (i + seed + 1);
		__asm__ volatile("movsd %0, %%xmm3\n\tmulsd %1, %%xmm3\n\tsqrtsd %%xmm3, %%xmm4\n\tmovsd %%xmm3, %0\n\t"
				 "movsd %%xmm4, %2" : "+m"(step), "+m"(x), "=m"(y));
		acc += y;
		x = 3.7 * x * (1 - x);
		step = 1 + x * 1e-9;
	}
	memcpy(&s.x87_lo, &big, 8);
	memcpy(&s.x87_hi, (char *)&big + 8, 2);
	memcpy(&s.sse, &acc, 8);
	memcpy(&s.logistic, &x, 8);
	return s;
}

static void compute_many(int seed)
{
	struct sums first = compute(seed, 3000);

	for (int round = 0; round < 40; round++) {
		struct sums now = compute(seed, 3000);

		CHECK_MSG(memcmp(&now, &first, sizeof now) == 0, "process %d, round %d: another result", seed, round);
		if (round % 4 == 0)
			sched_yield();
	}
}

TEST(sums_in_many_processes)
{
	int pids[6];

	for (int k = 0; k < 6; k++)
		pids[k] = check_fork(compute_many, k);
	for (int k = 0; k < 6; k++)
		check_wait(pids[k], 0);
}

/* The whole register file as one image, loaded and stored by one asm block around something. */
struct image {
	u8 vec[8][64] __attribute__((aligned(64)));
	u64 k[8];
	u8 st[8][10];
	u32 mxcsr;
	u16 cw;
};

static void fill(struct image *im, u32 seed)
{
	memset(im, 0, sizeof *im);
	for (int i = 0; i < 8; i++)
		for (int j = 0; j < 64; j++)
			im->vec[i][j] = check_rand(&seed);
	for (int i = 0; i < 8; i++) {
		for (int j = 0; j < 8; j++)
			im->st[i][j] = check_rand(&seed);
		im->st[i][7] |= 0x80;		/* a normal number */
		im->st[i][8] = check_rand(&seed);
		im->st[i][9] = 0x3f;
		im->k[i] = check_rand(&seed) & 0xffff;
	}
	im->mxcsr = 0x1f80 | (check_rand(&seed) & 0xe000);
	im->cw = 0x37f | (check_rand(&seed) & 0xc00);
}

static void load(const struct image *im, int f)
{
	__asm__ volatile("fninit; fldcw %0; ldmxcsr %1" :: "m"(im->cw), "m"(im->mxcsr));
	for (int i = 7; i >= 0; i--)
		__asm__ volatile("fldt %0" :: "m"(*(const u8(*)[10])im->st[i]));
	if (f & AVX512) {
#define LOAD(n) __asm__ volatile("vmovdqu64 %0, %%zmm" #n "\n\tkmovw %1, %%k" #n :: "m"(im->vec[n]), "m"(im->k[n]))
		LOAD(0); LOAD(1); LOAD(2); LOAD(3); LOAD(4); LOAD(5); LOAD(6); LOAD(7);
#undef LOAD
	} else if (f & AVX) {
#define LOAD(n) __asm__ volatile("vmovdqu %0, %%ymm" #n :: "m"(im->vec[n]))
		LOAD(0); LOAD(1); LOAD(2); LOAD(3); LOAD(4); LOAD(5); LOAD(6); LOAD(7);
#undef LOAD
	} else {
#define LOAD(n) __asm__ volatile("movdqu %0, %%xmm" #n :: "m"(im->vec[n]))
		LOAD(0); LOAD(1); LOAD(2); LOAD(3); LOAD(4); LOAD(5); LOAD(6); LOAD(7);
#undef LOAD
	}
}

static void store(struct image *im, int f)
{
	memset(im, 0, sizeof *im);
	if (f & AVX512) {
#define STORE(n) __asm__ volatile("vmovdqu64 %%zmm" #n ", %0\n\tkmovw %%k" #n ", %1" : "=m"(im->vec[n]), "=m"(im->k[n]))
		STORE(0); STORE(1); STORE(2); STORE(3); STORE(4); STORE(5); STORE(6); STORE(7);
#undef STORE
	} else if (f & AVX) {
#define STORE(n) __asm__ volatile("vmovdqu %%ymm" #n ", %0" : "=m"(im->vec[n]))
		STORE(0); STORE(1); STORE(2); STORE(3); STORE(4); STORE(5); STORE(6); STORE(7);
#undef STORE
	} else {
#define STORE(n) __asm__ volatile("movdqu %%xmm" #n ", %0" : "=m"(im->vec[n]))
		STORE(0); STORE(1); STORE(2); STORE(3); STORE(4); STORE(5); STORE(6); STORE(7);
#undef STORE
	}
	__asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(im->mxcsr), "=m"(im->cw));
	for (int i = 0; i < 8; i++)
		__asm__ volatile("fstpt %0" : "=m"(*(u8(*)[10])im->st[i]));
	__asm__ volatile("fninit");
}

static void compare(const struct image *want, const struct image *got, int f, const char *when)
{
	int width = f & AVX512 ? 64 : f & AVX ? 32 : 16;

	for (int i = 0; i < 8; i++) {
		CHECK_MSG(memcmp(want->vec[i], got->vec[i], width) == 0, "vector register %d changed by %s", i, when);
		CHECK_MSG(memcmp(want->st[i], got->st[i], 10) == 0, "st(%d) changed by %s", i, when);
		if (f & AVX512)
			CHECK_MSG(want->k[i] == got->k[i], "k%d changed by %s", i, when);
	}
	CHECK_MSG(want->mxcsr == (got->mxcsr & ~0x3fu), "mxcsr 0x%x, not 0x%x, after %s", got->mxcsr, want->mxcsr, when);
	CHECK_MSG(want->cw == got->cw, "control word 0x%x, not 0x%x, after %s", got->cw, want->cw, when);
}

/* What happens in between must not use floating point itself, in this process. */
static void spin(u32 n)
{
	__asm__ volatile("1: dec %0; jnz 1b" : "+r"(n) :: "cc");
}

static long raw_syscall(long nr, long a, long b, long c)
{
	__asm__ volatile("int $0x80" : "+a"(nr) : "b"(a), "c"(b), "d"(c) : "memory");
	return nr;
}

static void keep_registers(int seed)
{
	static struct image want, got;
	int f = features();

	fill(&want, seed * 7919 + 1);
	for (int round = 0; round < 60; round++) {
		load(&want, f);
		if (round % 3 == 0)
			raw_syscall(158 /* sched_yield */, 0, 0, 0);
		else
			spin(200000);
		store(&got, f);
		compare(&want, &got, f, round % 3 == 0 ? "sched_yield" : "preemption");
	}
}

TEST(registers_under_preemption)
{
	int pids[8];

	for (int k = 0; k < 8; k++)
		pids[k] = check_fork(keep_registers, k);
	for (int k = 0; k < 8; k++)
		check_wait(pids[k], 0);
}

TEST(registers_across_system_calls)
{
	static struct image want, got;
	static char buf[4096];
	int f = features(), fd[2];
	static const u16 nrs[] = { 20 /* getpid */, 24 /* getuid */, 158 /* sched_yield */, 4096 /* none */ };

	SYS(pipe(fd));
	for (unsigned i = 0; i < 80; i++) {
		fill(&want, i + 5);
		load(&want, f);
		if (i % 5 == 4) {
			raw_syscall(4 /* write */, fd[1], (long)buf, 4096);
			raw_syscall(3 /* read */, fd[0], (long)buf, 4096);
		} else {
			raw_syscall(nrs[i % 5], 0, 0, 0);
		}
		store(&got, f);
		compare(&want, &got, f, "a system call");
	}
}

TEST(registers_across_page_faults)
{
	static struct image want, got;
	volatile u8 *p = MAP(NULL, 256 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int f = features();

	fill(&want, 99);
	for (int i = 0; i < 256; i += 4) {
		load(&want, f);
		for (int k = 0; k < 4; k++)
			p[(i + k) * 4096] = k;
		store(&got, f);
		compare(&want, &got, f, "page faults");
	}
}

TEST(registers_across_fork)
{
	static struct image want, got;
	int f = features();

	for (int i = 0; i < 10; i++) {
		int pid;

		fill(&want, i + 31);
		load(&want, f);
		pid = raw_syscall(2 /* fork */, 0, 0, 0);
		store(&got, f);
		compare(&want, &got, f, pid ? "fork, in the parent" : "fork, in the child");
		if (pid == 0)
			_exit(0);
		check_wait(pid, 0);
	}
}

static volatile int ticks;
static int handler_features;

/* A handler that itself uses everything. */
static void disturb(int sig)
{
	static struct image other, back;

	fill(&other, ++ticks);
	load(&other, handler_features);
	spin(100);
	store(&back, handler_features);
	compare(&other, &back, handler_features, "a signal handler's own work");
}

TEST(registers_across_signals)
{
	static struct image want, got;
	struct itimerval it = { { 0, 3000 }, { 0, 3000 } }, off = { { 0, 0 }, { 0, 0 } };
	int f = handler_features = features();

	signal(SIGALRM, disturb);
	SYS(setitimer(ITIMER_REAL, &it, NULL));
	for (u32 i = 1; ticks < 60; i++) {
		fill(&want, i);
		load(&want, f);
		spin(300000);
		store(&got, f);
		compare(&want, &got, f, "a signal");
	}
	SYS(setitimer(ITIMER_REAL, &off, NULL));
}

/* The frame on the stack is what sigreturn loads: change it there. */
static void change_frame(int sig, siginfo_t *si, void *uc)
{
	ucontext_t *u = uc;
	u8 *fxsave = (u8 *)u->uc_mcontext.fpregs + 112;	/* struct _fpstate: the legacy part comes first */

	memset(fxsave + 160 + 2 * 16, 0xa5, 16);	/* xmm2 */
	u->uc_mcontext.gregs[REG_EIP] += 2;
}

TEST(state_changed_in_frame)
{
	struct sigaction sa = { .sa_sigaction = change_frame, .sa_flags = SA_SIGINFO };
	u8 got[16], want[16];

	memset(want, 0xa5, sizeof want);
	SYS(sigaction(SIGILL, &sa, NULL));
	for (int i = 0; i < 10; i++) {
		memset(got, 0, sizeof got);
		__asm__ volatile("pxor %%xmm2, %%xmm2; ud2; movdqu %%xmm2, %0" : "=m"(got) :: "memory");
		CHECK(memcmp(got, want, 16) == 0);
	}
}

TEST(mmx)
{
	static u64 want[8], got[8];
	u32 s = 8;

	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 8; i++)
			want[i] = (u64)check_rand(&s) << 32 | check_rand(&s);
		__asm__ volatile("movq %0, %%mm0; movq 8+%0, %%mm1; movq 16+%0, %%mm2; movq 24+%0, %%mm3\n\t"
				 "movq 32+%0, %%mm4; movq 40+%0, %%mm5; movq 48+%0, %%mm6; movq 56+%0, %%mm7" :: "m"(want));
		raw_syscall(158, 0, 0, 0);
		spin(10000);
		__asm__ volatile("movq %%mm0, %0; movq %%mm1, 8+%0; movq %%mm2, 16+%0; movq %%mm3, 24+%0\n\t"
				 "movq %%mm4, 32+%0; movq %%mm5, 40+%0; movq %%mm6, 48+%0; movq %%mm7, 56+%0; emms" : "=m"(got));
		CHECK(memcmp(want, got, sizeof want) == 0);
	}
}

/* A new program starts with the architecture's initial state, whatever its parent left. */
static void check_initial(void)
{
	u32 mxcsr;
	u16 cw, sw;

	__asm__ volatile("fnstcw %0; fnstsw %1; stmxcsr %2" : "=m"(cw), "=m"(sw), "=m"(mxcsr));
	CHECK_EQ(cw, 0x37f);
	CHECK_EQ(sw & 0x3800, 0);
	CHECK_EQ(mxcsr & ~0x3f, 0x1f80);
}

int check_child(int argc, char **argv)
{
	check_initial();
	return 33;
}

TEST(initial_state)
{
	static struct image im;
	int pid = SYS(fork());

	if (pid == 0) {
		char path[256];
		ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

		path[n > 0 ? n : 0] = 0;
		fill(&im, 3);
		load(&im, features());
		execl(path, "fpu", "--child", NULL);
		_exit(1);
	}
	int st;

	SYS(waitpid(pid, &st, 0));
	CHECK_MSG(WIFEXITED(st) && WEXITSTATUS(st) == 33, "wait status 0x%x", st);
}
