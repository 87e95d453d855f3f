#define _GNU_SOURCE
/*
 * steady's jobs about the CPU itself: registers of every kind kept through long
 * loops, threads with their own storage, known sums, code that changes, steps.
 *
 * Faults of the register file are injected where a machine would lose it: a
 * signal that arrives in the middle of the loop changes its frame.
 */
#include "steady.h"

#include <asm/ldt.h>
#include <cpuid.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>

int cpu_features(void)
{
	u32 a, b, c, d, xcr0 = 0, hi;
	int f = 0;

	__cpuid(1, a, b, c, d);
	if (c & (1u << 27))
		__asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(hi) : "c"(0));
	if ((c & (1u << 28)) && (xcr0 & 6) == 6)
		f |= AVX;
	if ((f & AVX) && __get_cpuid_max(0, NULL) >= 7) {
		__cpuid_count(7, 0, a, b, c, d);
		if ((b & (1u << 16)) && (xcr0 & 0xe6) == 0xe6)
			f |= AVX512;
	}
	return f;
}

/* ---- registers ---------------------------------------------------------- */

enum { CF = 1, DF = 0x400, ID = 0x200000, AC = 0x40000, ARITHMETIC = 0x8d5 };

/* In the order of spin_registers; esp is where it was, and where it is afterwards. */
struct registers { u32 eax, ebx, ecx, edx, esi, edi, ebp, eflags, esp; };
struct spin { struct registers in, out; };

/*
 * spin_registers(struct spin *): all registers and flags from ->in, ecx turns of
 * a loop, and all of them to ->out.  Nothing in the loop touches a flag or memory.
 */
void spin_registers(struct spin *s);
extern const char spin_loop[], spin_loop_end[];
__asm__(".text\n.globl spin_registers, spin_loop, spin_loop_end\n"
	"spin_registers:\n"
	"	pushal; pushfl\n"
	"	movl 40(%esp), %eax\n"
	"	movl %esp, 32(%eax)\n"
	"	movl 4(%eax), %ebx; movl 8(%eax), %ecx; movl 12(%eax), %edx\n"
	"	movl 16(%eax), %esi; movl 20(%eax), %edi; movl 24(%eax), %ebp\n"
	"	pushl 28(%eax)\n"
	"	movl (%eax), %eax\n"
	"	popfl\n"
	"	.p2align 4\n"
	"spin_loop:\n"
	"1:	leal 3(%eax), %eax\n"
	"	bswapl %ebx\n"
	"	leal -1(%ecx), %ecx\n"
	"	notl %edx\n"
	"	xchgl %esi, %edi\n"
	"	leal -5(%ebp), %ebp\n"
	"	jecxz 2f\n"
	"	jmp 1b\n"
	"spin_loop_end:\n"
	"2:	pushfl; pushal\n"		/* eflags; eax ecx edx ebx esp ebp esi edi */
	"	movl 76(%esp), %eax\n"
	"	movl (%esp), %ecx; movl %ecx, 36+20(%eax)\n"
	"	movl 4(%esp), %ecx; movl %ecx, 36+16(%eax)\n"
	"	movl 8(%esp), %ecx; movl %ecx, 36+24(%eax)\n"
	"	movl 12(%esp), %ecx; leal 4(%ecx), %ecx; movl %ecx, 36+32(%eax)\n"
	"	movl 16(%esp), %ecx; movl %ecx, 36+4(%eax)\n"
	"	movl 20(%esp), %ecx; movl %ecx, 36+12(%eax)\n"
	"	movl 24(%esp), %ecx; movl %ecx, 36+8(%eax)\n"
	"	movl 28(%esp), %ecx; movl %ecx, 36(%eax)\n"
	"	movl 32(%esp), %ecx; movl %ecx, 36+28(%eax)\n"
	"	addl $36, %esp\n"
	"	popfl; popal\n"
	"	ret\n");

/* x87, MMX and vector registers: FXSAVE's image, and what is wider than it. */
struct image {
	struct { u16 cw, sw; u8 tags, zero; u16 opcode; u32 ip[2], dp[2], mxcsr, mask; u8 st[8][16], xmm[8][16], rest[224]; }
		fx __attribute__((aligned(64)));
	u8 vec[8][64];
	u64 k[8];
	bool mmx;
};

static void fill(struct image *im, u32 *seed, int f)
{
	memset(im, 0, sizeof *im);
	im->mmx = injecting("mmx") || (!opt.inject && check_rand(seed) % 4 == 0);
	im->fx.cw = 0x7f | (check_rand(seed) & 0xf00);		/* rounding, precision; every exception masked */
	im->fx.sw = check_rand(seed) & 0x7f7f;			/* TOP, condition codes, flags of masked exceptions */
	im->fx.sw &= ~0x80;
	im->fx.tags = check_rand(seed);
	if (im->mmx)
		im->fx.sw &= ~0x3800, im->fx.tags = 0xff;
	im->fx.mxcsr = 0x1f80 | (check_rand(seed) & 0xe03f);	/* rounding, flush to zero, flags */
	for (int i = 0; i < 8; i++) {
		for (int j = 0; j < 64; j++)
			im->vec[i][j] = check_rand(seed);
		memcpy(im->fx.xmm[i], im->vec[i], 16);
		for (int j = 0; j < 10; j++)
			im->fx.st[i][j] = check_rand(seed);
		if (im->mmx)
			im->fx.st[i][8] = im->fx.st[i][9] = 0xff;
		else
			im->fx.st[i][7] |= 0x80, im->fx.st[i][9] = 0x3f;	/* a normal number, positive */
		im->k[i] = f & AVX512 ? check_rand(seed) & 0xffff : 0;
	}
}

#define EACH(what) what(0); what(1); what(2); what(3); what(4); what(5); what(6); what(7)

static __attribute__((noinline)) void load(const struct image *im, int f)
{
	__asm__ volatile("fxrstor %0" :: "m"(im->fx));
	if (f & AVX512) {
#define LOAD(n) __asm__ volatile("vmovdqu64 %0, %%zmm" #n "\n\tkmovw %1, %%k" #n :: "m"(im->vec[n]), "m"(im->k[n]))
		EACH(LOAD);
#undef LOAD
	} else if (f & AVX) {
#define LOAD(n) __asm__ volatile("vmovdqu %0, %%ymm" #n :: "m"(im->vec[n]))
		EACH(LOAD);
#undef LOAD
	}
	if (im->mmx) {
#define LOAD(n) __asm__ volatile("movq %0, %%mm" #n :: "m"(im->fx.st[n]))
		EACH(LOAD);
#undef LOAD
	}
}

static __attribute__((noinline)) void store(struct image *im, int f)
{
	static const u32 mxcsr = 0x1f80;

	memset(im, 0, sizeof *im);
	__asm__ volatile("fxsave %0" : "=m"(im->fx));
	if (f & AVX512) {
#define STORE(n) __asm__ volatile("vmovdqu64 %%zmm" #n ", %0\n\tkmovw %%k" #n ", %1" : "=m"(im->vec[n]), "=m"(im->k[n]))
		EACH(STORE);
#undef STORE
		__asm__ volatile("vzeroupper");
	} else if (f & AVX) {
#define STORE(n) __asm__ volatile("vmovdqu %%ymm" #n ", %0" : "=m"(im->vec[n]))
		EACH(STORE);
#undef STORE
		__asm__ volatile("vzeroupper");
	}
	__asm__ volatile("fninit; ldmxcsr %0" :: "m"(mxcsr));
}

static void compare_image(const struct image *want, const struct image *got, int f, u32 turns)
{
	int width = f & AVX512 ? 64 : f & AVX ? 32 : 0;

	CHECK_MSG(want->fx.cw == got->fx.cw, "x87 control word %04x, not %04x, after %u turns", got->fx.cw, want->fx.cw, turns);
	CHECK_MSG(want->fx.sw == got->fx.sw, "x87 status word %04x, not %04x, after %u turns", got->fx.sw, want->fx.sw, turns);
	CHECK_MSG(want->fx.tags == got->fx.tags, "x87 tags %02x, not %02x, after %u turns", got->fx.tags, want->fx.tags, turns);
	CHECK_MSG(want->fx.mxcsr == got->fx.mxcsr, "mxcsr %04x, not %04x, after %u turns", got->fx.mxcsr, want->fx.mxcsr, turns);
	for (int i = 0; i < 8; i++) {
		CHECK_MSG(memcmp(want->fx.st[i], got->fx.st[i], 10) == 0, "%s%d changed in %u turns", want->mmx ? "mm" : "st", i, turns);
		CHECK_MSG(memcmp(want->fx.xmm[i], got->fx.xmm[i], 16) == 0, "xmm%d changed in %u turns", i, turns);
		CHECK_MSG(memcmp(want->vec[i], got->vec[i], width) == 0, "%cmm%d changed in %u turns", f & AVX512 ? 'z' : 'y', i, turns);
		CHECK_MSG(want->k[i] == got->k[i], "k%d is %llx, not %llx, after %u turns", i, got->k[i], want->k[i], turns);
	}
}

static void compare_registers(const struct spin *s, u32 flags)
{
	const struct registers *in = &s->in, *out = &s->out;
	u32 n = in->ecx;

#define SAME(r, value) CHECK_MSG(out->r == (u32)(value), #r " is %08x, not %08x, after %u turns", out->r, (u32)(value), n)
	SAME(eax, in->eax + 3 * n);
	SAME(ebx, in->ebx);		/* an even number of turns */
	SAME(ecx, 0);
	SAME(edx, in->edx);
	SAME(esi, in->esi);
	SAME(edi, in->edi);
	SAME(ebp, in->ebp - 5 * n);
	SAME(esp, in->esp);
#undef SAME
	CHECK_MSG((out->eflags & flags) == (in->eflags & flags), "eflags %08x, not %08x, after %u turns", out->eflags, in->eflags, n);
}

static u32 turns_per_ms;

static u64 cpu_time(void)
{
	struct timespec ts;

	SYS(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts));
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void calibrate(void)
{
	static struct spin s;
	u64 best = ~0ull;

	for (u32 n = 10000;; n *= 2) {
		best = ~0ull;
		for (int i = 0; i < 3; i++) {
			u64 t = cpu_time();

			s.in = (struct registers){ .ecx = n };
			spin_registers(&s);
			t = cpu_time() - t;
			best = t < best ? t : best;
		}
		if (best >= 3 * MS || n >= 1u << 28) {
			turns_per_ms = n / (best / 1000 + 1) * 1000;
			break;
		}
	}
	if (turns_per_ms < 100)
		turns_per_ms = 100;
}

/* A data segment of this thread's own, by the local descriptor table. */
static u32 local_words[8][16];

static void load_fs(int me)
{
	struct user_desc d = { .entry_number = me, .base_addr = (uintptr_t)local_words[me], .limit = 63, .seg_32bit = 1, .useable = 1 };

	for (int i = 0; i < 16; i++)
		local_words[me][i] = me * 1000 + i;
	SYS(syscall(SYS_modify_ldt, 1, &d, sizeof d));
	__asm__ volatile("movl %0, %%fs" :: "r"(me * 8 + 7));
}

static void *cpu_thread(void *arg)
{
	int who = (int)(intptr_t)arg, f = cpu_features();
	static struct { struct image want, got; struct spin s; } all[8];
	struct image *want = &all[who].want, *got = &all[who].got;
	struct spin *s = &all[who].s;
	u32 seed = pick(1, 1u << 30);

	load_fs(who);
	paced(false);
	do {
		u32 flags = ARITHMETIC | DF | ID | AC, ms = pick(10, opt.light ? 30 : 60), word;

		fill(want, &seed, f);
		for (u32 *r = &s->in.eax; r <= &s->in.ebp; r++)
			*r = check_rand(&seed);
		s->in.ecx = (turns_per_ms * ms | 1) + 1;
		s->in.eflags = 0x202 | (check_rand(&seed) & flags);
		load(want, f);
		spin_registers(s);
		store(got, f);
		compare_registers(s, flags);
		compare_image(want, got, f, s->in.ecx);
		for (u32 i = 0; i < 16; i += 5) {
			__asm__ volatile("movl %%fs:(%1), %0" : "=r"(word) : "r"(i * 4));
			CHECK_MSG(word == who * 1000 + i, "the word at fs:%u is %u, not %u", i * 4, word, who * 1000 + i);
		}
	} while (next_round(s->out.eax ^ s->out.ebp));
	return NULL;
}

/* ---- faults in registers: by the frame of a signal ---------------------- */

static void flip(void *bytes, u32 size)
{
	((u8 *)bytes)[pick(0, size - 1)] ^= 1u << pick(0, 7);
}

/* Where a component is in XSAVE's image, in its standard form. */
static u8 *component(u8 *fx, int n)
{
	u32 size, offset, c, d;

	__cpuid_count(0xd, n, size, offset, c, d);
	return fx + offset;
}

static void spoil(int sig, siginfo_t *si, void *uc)
{
	mcontext_t *m = &((ucontext_t *)uc)->uc_mcontext;
	u8 *env = (u8 *)m->fpregs, *fx = env + 112;	/* FSAVE's image, with eight bytes more, and FXSAVE's behind it */
	static const struct { const char *name; int reg; } general[] = {
		{ "eax", REG_EAX }, { "ebx", REG_EBX }, { "edx", REG_EDX }, { "esi", REG_ESI }, { "edi", REG_EDI }, { "ebp", REG_EBP },
	};

	/* It comes with the flags of the loop. */
	__asm__ volatile("pushfl; andl $~0x40000, (%%esp); popfl" ::: "cc", "memory");
	if ((u32)m->gregs[REG_EIP] < (u32)(uintptr_t)spin_loop || (u32)m->gregs[REG_EIP] >= (u32)(uintptr_t)spin_loop_end ||
	    (injecting("ecx") && (m->gregs[REG_ECX] & ~0x3fff) == 0)) {
		struct itimerval soon = { { 0, 0 }, { 0, 1000 } };

		setitimer(ITIMER_REAL, &soon, NULL);
		return;
	}
	for (unsigned i = 0; i < sizeof general / sizeof *general; i++)
		if (injecting(general[i].name))
			flip(&m->gregs[general[i].reg], 4);
	if (injecting("ecx"))
		m->gregs[REG_ECX] ^= 1 << pick(0, 13);	/* not a high one: that would be a very long loop */
	if (injecting("flags"))
		m->gregs[REG_EFL] ^= CF << 2 * pick(0, 3);
	if (injecting("df"))
		m->gregs[REG_EFL] ^= DF;
	if (injecting("ac"))
		m->gregs[REG_EFL] ^= AC;
	if (injecting("fs"))
		m->gregs[REG_FS] ^= 8;
	if (injecting("x87") || injecting("mmx"))
		flip(env + 28 + 10 * pick(0, 7), 8);
	if (injecting("x87-control"))
		env[1] ^= 4;
	if (injecting("x87-top"))
		env[5] ^= 8;
	if (injecting("xmm"))
		flip(fx + 160, 8 * 16);
	if (injecting("mxcsr"))
		fx[25] ^= 0x20;
	if (injecting("ymm"))
		flip(component(fx, 2), 8 * 16);
	if (injecting("opmask"))
		component(fx, 5)[8 * pick(0, 7) + pick(0, 1)] ^= 1;
	if (injecting("zmm"))
		flip(component(fx, 6), 8 * 32);
}

void job_cpu(void)
{
	int threads = opt.light || opt.inject ? 1 : 3;
	struct sigaction sa = { .sa_sigaction = spoil, .sa_flags = SA_SIGINFO };
	struct itimerval first = { { 0, 0 }, { 0, pick(5000, 100000) } };
	pthread_t t[8];

	calibrate();
	if (opt.inject) {
		load_fs(1);		/* what a wrong selector finds */
		SYS(sigaction(SIGALRM, &sa, NULL));
		SYS(setitimer(ITIMER_REAL, &first, NULL));
	}
	for (int i = 1; i < threads; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, cpu_thread, (void *)(intptr_t)i), 0);
	cpu_thread((void *)0);
	for (int i = 1; i < threads; i++)
		pthread_join(t[i], NULL);
}

/* ---- threads ------------------------------------------------------------ */

static __thread u32 tls_word = 0xfeed1234;
static __thread u32 tls_block[700];

static u32 gs_word(void)
{
	u32 v;

	__asm__ volatile("movl %%gs:0, %0" : "=r"(v));
	return v;
}

/* The sum of 1/i for i up to 2000, from the smallest on, rounded to 64 bits at every step. */
static void long_double_sum(u32 words[3])
{
	long double sum = 0;

	for (int i = 2000; i >= 1; i--)
		sum += 1.0L / i;
	memset(words, 0, 12);
	memcpy(words, &sum, 10);
}

static void *tls_thread(void *arg)
{
	u32 who = (u32)(intptr_t)arg, thread_pointer = gs_word(), chain = 1, round = 0;
	const u32 harmonic[3] = { 0x3a7dc1e2, 0x82da9883, 0x4002 };
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	static u32 in_section;

	do {
		u32 sum[3], x = 1, crc;

		tls_word ^= who * 77;
		for (int i = 0; i < 700; i++)
			tls_block[i] = who << 24 ^ round * 700 ^ i;
		errno = who + 1000;
		for (int i = 0; i < 20000; i++)
			check_rand(&x);
		x ^= inject("sum");
		CHECK_MSG(x == 0xed7b854d, "20000 steps of xorshift lead to %08x", x);
		crc = crc32(0, "123456789", 9);
		CHECK_MSG(crc == 0xcbf43926, "the CRC of 123456789 is %08x", crc);
		long_double_sum(sum);
		sum[0] ^= inject("long-double");
		CHECK_MSG(memcmp(sum, harmonic, 12) == 0, "the harmonic sum is %04x %08x%08x", sum[2], sum[1], sum[0]);
		if (inject("errno"))
			errno ^= 1;
		CHECK_EQ(errno, who + 1000);
		if (inject("tls"))
			flip(tls_block, sizeof tls_block);
		for (int i = 0; i < 700; i++)
			CHECK_MSG(tls_block[i] == (who << 24 ^ round * 700 ^ i), "word %d of thread %u's storage is %08x", i, who, tls_block[i]);
		tls_word ^= who * 77;
		CHECK_EQ(tls_word, 0xfeed1234);
		CHECK_EQ(gs_word(), thread_pointer);
		CHECK_EQ(*(u32 *)(uintptr_t)thread_pointer, thread_pointer);
		pthread_mutex_lock(&mutex);
		CHECK_EQ(in_section, 0);
		in_section = who + 1;
		if (round % 8 == 0)
			sched_yield();
		CHECK_EQ(in_section, who + 1);
		in_section = 0;
		pthread_mutex_unlock(&mutex);
		chain = chain * 31 + x + crc + sum[0];
		round++;
	} while (next_round(chain));
	return NULL;
}

void job_threads(void)
{
	int n = opt.light ? 2 : 5;
	pthread_t t[5];

	for (int i = 0; i < n; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, tls_thread, (void *)(intptr_t)i), 0);
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

/* ---- code that changes -------------------------------------------------- */

/*
 * Thirty-two functions on eight pages: movl $A, %eax; addl $B, %eax; ret.  Some
 * are rewritten each round, in place or by another mapping of the same memory.
 * And a loop in a segment of its own.
 */
enum { FUNCTIONS = 32, FUNCTION_GAP = 8 * PAGE / FUNCTIONS };

static u32 write_function(u8 *at, u32 a, u32 b)
{
	at[0] = 0xb8;
	memcpy(at + 1, &a, 4);
	at[5] = 0x05;
	memcpy(at + 6, &b, 4);
	at[10] = 0xc3;
	return a + b;
}

/*
 * Code at offset 0 of a segment: ecx turns of eax = eax * 5 + 1, by lea, inc, dec,
 * jnz; then ljmp *(%edi).  No call: QEMU 7.2 pushes a far call's return address as if
 * the kernel did, which SMAP forbids.
 */
static const u8 far_loop[2][10] = {
	{ 0x8d, 0x04, 0x80, 0x40, 0x49, 0x75, 0xf9, 0xff, 0x2f, 0x90 },
	{ 0x8d, 0x44, 0x80, 0x00, 0x40, 0x49, 0x75, 0xf8, 0xff, 0x2f },	/* the same, a byte longer */
};

static u32 run_far(u32 selector, u32 turns)
{
	struct __attribute__((packed)) { u32 offset; u16 selector; } to = { 0, selector }, back = { 0, 0x73 };
	u32 result = 1;

	/* Linux/i386's code segment; what a program reads from CS may be the host's. */
	if (!check_in_guest())
		__asm__("movw %%cs, %0" : "=m"(back.selector));
	__asm__ volatile("movl $1f, (%%edi); ljmp *(%2); 1:" : "+a"(result), "+c"(turns) : "d"(&to), "D"(&back) : "cc", "memory");
	return result;
}

void job_code(void)
{
	int fd = SYS(memfd_create("steady", 0));
	u32 expected[FUNCTIONS], seed = pick(1, 1u << 30), sum = 0;
	u8 *code, *alias, *far;
	struct user_desc d = { .entry_number = 0, .limit = PAGE - 1, .seg_32bit = 1, .contents = 2, .useable = 1 };

	SYS(ftruncate(fd, 8 * PAGE));
	code = MAP(NULL, 8 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED, fd, 0);
	alias = MAP(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	far = MAP(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	d.base_addr = (uintptr_t)far;
	SYS(syscall(SYS_modify_ldt, 1, &d, sizeof d));
	for (int i = 0; i < FUNCTIONS; i++)
		expected[i] = write_function(code + i * FUNCTION_GAP, check_rand(&seed), i);
	do {
		u32 turns = opt.light ? 2000 : 20000, want = 1, got;

		for (int i = 0; i < FUNCTIONS; i++) {
			got = ((u32 (*)(void))(code + i * FUNCTION_GAP))();
			CHECK_MSG(got == expected[i], "function %d returned %08x, not %08x", i, got, expected[i]);
			sum = sum * 31 + got;
		}
		for (int k = 0; k < 6; k++) {
			u32 i = check_rand(&seed) % FUNCTIONS;

			expected[i] = write_function((k & 1 ? alias : code) + i * FUNCTION_GAP, check_rand(&seed), k);
		}
		if (inject("code"))
			flip(code + FUNCTION_GAP * pick(0, FUNCTIONS - 1) + 1, 4);
		memcpy(far, far_loop[check_rand(&seed) & 1], sizeof far_loop[0]);
		if (inject("far-code"))
			far[far[1] == 4 ? 3 : 4] = 0x48;	/* dec instead of inc */
		for (u32 i = 0; i < turns; i++)
			want = want * 5 + 1;
		got = run_far(7, turns);
		CHECK_MSG(got == want, "%u turns in a segment of its own: %08x, not %08x", turns, got, want);
	} while (next_round(sum));
}

/* ---- single steps ------------------------------------------------------- */

/*
 * The child goes round in a loop, stepped and in free run; between any two stops
 * its registers are in one relation.  Debug registers are armed all the while,
 * on memory that nobody touches.
 */
extern const char stepped_loop[], stepped_2[], stepped_3[], stepped_4[];
__asm__(".text\n.globl stepped_loop, stepped_2, stepped_3, stepped_4\n"
	"stepped_loop: leal 1(%eax), %eax\n"
	"stepped_2:	leal 3(%ebx), %ebx\n"
	"stepped_3:	leal -7(%ecx), %ecx\n"
	"stepped_4:	jmp stepped_loop\n");

static void stop_of(int pid, int sig)
{
	int st;

	CHECK_EQ(SYS(waitpid(pid, &st, __WALL)), pid);
	CHECK_MSG(WIFSTOPPED(st) && WSTOPSIG(st) == sig, "the traced child has wait status 0x%x", st);
}

/* Turns begun at the first instruction, by each of the three registers. */
static void check_relation(const struct user_regs_struct *was, const struct user_regs_struct *is, const char *how)
{
	const char *eip = (const char *)is->eip;
	u32 turns = is->eax - was->eax - (eip != stepped_loop);
	u32 b = was->ebx + 3 * (turns + (eip == stepped_3 || eip == stepped_4));
	u32 c = was->ecx - 7 * (turns + (eip == stepped_4));

	CHECK_MSG(eip == stepped_loop || eip == stepped_2 || eip == stepped_3 || eip == stepped_4, "eip %08lx after %s", is->eip, how);
	CHECK_MSG((u32)is->ebx == b && (u32)is->ecx == c, "eax %08lx ebx %08lx ecx %08lx, not %08x %08x, after %s", is->eax, is->ebx, is->ecx,
		  b, c, how);
	CHECK_MSG(is->edx == was->edx && is->esi == was->esi && is->edi == was->edi && is->ebp == was->ebp && is->esp == was->esp,
		  "a register changed in %s", how);
}

void job_ptrace(void)
{
	static u32 untouched[4] __attribute__((aligned(16)));
	static const char *const order[] = { stepped_loop, stepped_2, stepped_3, stepped_4 };
	struct user_regs_struct base, r;
	u32 seed = pick(1, 1u << 30), sum = 0;
	int pid = helper();

	if (pid == 0) {
		SYS(ptrace(PTRACE_TRACEME, 0, 0, 0));
		raise(SIGSTOP);
		__asm__ volatile("jmp stepped_loop");
	}
	stop_of(pid, SIGSTOP);
	for (int i = 0; i < 4; i++)
		SYS(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg) + i * sizeof(int), &untouched[i]));
	SYS(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg) + 7 * sizeof(int), 0xdddd0055));	/* writes, four bytes */
	SYS(ptrace(PTRACE_GETREGS, pid, 0, &base));
	do {
		base.eax = check_rand(&seed), base.ebx = check_rand(&seed), base.ecx = check_rand(&seed), base.edx = check_rand(&seed);
		base.esi = check_rand(&seed), base.edi = check_rand(&seed), base.ebp = check_rand(&seed);
		base.eip = (uintptr_t)stepped_loop;
		base.orig_eax = -1;
		SYS(ptrace(PTRACE_SETREGS, pid, 0, &base));
		for (int i = 1; i <= 10; i++) {
			SYS(ptrace(PTRACE_SINGLESTEP, pid, 0, 0));
			stop_of(pid, SIGTRAP);
			SYS(ptrace(PTRACE_GETREGS, pid, 0, &r));
			r.eip += inject("single-step");
			CHECK_MSG((const char *)r.eip == order[i % 4], "eip %08lx after step %d", r.eip, i);
			check_relation(&base, &r, "single steps");
		}
		SYS(ptrace(PTRACE_CONT, pid, 0, 0));
		nap(pick(1, 20));
		SYS(kill(pid, SIGSTOP));
		stop_of(pid, SIGSTOP);
		SYS(ptrace(PTRACE_GETREGS, pid, 0, &r));
		r.ebx ^= inject("ptrace-run");
		check_relation(&base, &r, "a free run");
		for (int i = 0; i < 4; i++)
			CHECK_EQ(ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, u_debugreg) + i * sizeof(int), 0), (long)&untouched[i]);
		sum += base.eax;
	} while (next_round(sum));
	kill(pid, SIGKILL);
}
