#define _GNU_SOURCE
/*
 * Hot INT 0x80s: a VMM may make them cheap by any means, if nobody can tell.
 *
 * Each test makes its site hot first, and then does to it what a program, its
 * debugger, another process or a signal can do.
 */
#include "check.h"

#include <cpuid.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>

#define PAGE 4096
#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)
#define RX  (PROT_READ | PROT_EXEC)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define HOT 400		/* calls that make a site hot, and more */

typedef u32 (*code)(void);

/* mov $n,%eax; int $0x80; ret */
static const u8 site_bytes[] = { 0xb8, SYS_getppid, 0, 0, 0, 0xcd, 0x80, 0xc3 };

static u8 *put_site(u8 *p, u32 nr)
{
	memcpy(p, site_bytes, sizeof site_bytes);
	memcpy(p + 1, &nr, 4);
	return p;
}

static void heat(const u8 *site, u32 want)
{
	for (int i = 0; i < HOT; i++)
		CHECK_EQ(((code)(uintptr_t)site)(), want);
}

extern u8 text_site[], text_site_end[], text_read[], text_sleep[];
__asm__(".text\n.balign 16\n"
	".globl text_site, text_site_end, text_read, text_sleep\n"
	"text_site: movl $64, %eax; int $0x80; ret\n"
	"text_site_end:\n"
	/* (fd, buf, n) on the stack */
	"text_read: pushl %ebx; movl 8(%esp), %ebx; movl 12(%esp), %ecx; movl 16(%esp), %edx\n"
	"	movl $3, %eax; int $0x80; popl %ebx; ret\n"
	/* (request, remainder) */
	"text_sleep: pushl %ebx; movl 8(%esp), %ebx; movl 12(%esp), %ecx\n"
	"	movl $162, %eax; int $0x80; popl %ebx; ret\n");

static long site_read(long fd, void *p, long n) { return ((long (*)(long, void *, long))(uintptr_t)text_read)(fd, p, n); }
static long site_sleep(const void *t, void *rem) { return ((long (*)(const void *, void *))(uintptr_t)text_sleep)(t, rem); }

/* ---- what the instruction itself does ---- */

TEST(registers_and_flags)
{
	for (int i = 0; i < HOT; i++) {
		u32 a, b = 0x11111111u + i, c = 0x22222222, d = 0x33333333, S = 0x44444444, D = 0x55555555, fl, sp0, sp1;

		__asm__ volatile("mov %%esp, %7; pushl $0xcd7; popfl; mov $64, %%eax; int $0x80; pushfl; cld; popl %6; mov %%esp, %8"
				 : "=&a"(a), "+b"(b), "+c"(c), "+d"(d), "+S"(S), "+D"(D), "=m"(fl), "=m"(sp0), "=m"(sp1)
				 :: "memory", "cc");
		CHECK_EQ(a, getppid());
		CHECK_EQ(b, 0x11111111u + i);
		CHECK_EQ(c, 0x22222222);
		CHECK_EQ(d, 0x33333333);
		CHECK_EQ(S, 0x44444444);
		CHECK_EQ(D, 0x55555555);
		CHECK_EQ(fl & 0xcd5, 0xcd5);	/* OF DF SF ZF AF PF CF: the kernel gives all of them back */
		CHECK_EQ(sp0, sp1);
	}
}

TEST(jump_to_the_int)
{
	u32 r;

	heat(text_site, getppid());
	for (int i = 0; i < HOT; i++) {
		__asm__ volatile("call *%1" : "=a"(r) : "r"(text_site + 5), "a"(i % 2 ? SYS_getpid : SYS_getppid) : "memory");
		CHECK_EQ(r, i % 2 ? getpid() : getppid());
	}
}

TEST(across_pages)
{
	u8 *p = MAP(NULL, 2 * PAGE, RWX, ANON, -1, 0);

	for (int before = 1; before < 8; before++) {
		heat(put_site(p + PAGE - before, SYS_getppid), getppid());
		SYS(mprotect(p + PAGE, PAGE, PROT_NONE));
		SYS(mprotect(p + PAGE, PAGE, RWX));
		heat(p + PAGE - before, getppid());
		put_site(p + PAGE - before, SYS_getpid);
		heat(p + PAGE - before, getpid());
	}
}

/* The CPU answers these, whichever way the program runs. */
TEST(one_cpu)
{
	u32 gs0, ds0, cs0, a0, b0, c0, d0;

	__asm__("mov %%gs, %0; mov %%ds, %1; mov %%cs, %2" : "=r"(gs0), "=r"(ds0), "=r"(cs0));
	__cpuid(1, a0, b0, c0, d0);
	for (int i = 0; i < HOT; i++) {
		u32 gs, ds, cs, a, b, c, d;

		heat(text_site, getppid());
		__asm__ volatile("mov %%gs, %0; mov %%ds, %1; mov %%cs, %2" : "=r"(gs), "=r"(ds), "=r"(cs));
		CHECK_EQ(gs, gs0);
		CHECK_EQ(ds, ds0);
		CHECK_EQ(cs, cs0);
		if (i % 16)
			continue;
		heat(text_site, getppid());
		__cpuid(1, a, b, c, d);
		CHECK_EQ(a, a0);
		CHECK_EQ(c, c0);
		CHECK_EQ(d, d0);
		a = SYS_getppid;
		__asm__ volatile("mov %%gs, %0; int $0x80; mov %0, %%gs" : "=&r"(gs), "+a"(a) :: "memory");
		errno = i;			/* reaches through GS */
		CHECK_EQ(errno, i);
	}
}

/* ---- who reads the code ---- */

TEST(reads_its_own_bytes)
{
	u8 before[16], after[16];
	int n = text_site_end - text_site, fd[2], mem;

	memcpy(before, text_site, n);
	CHECK_EQ(before[0], 0xb8);
	SYS(pipe(fd));
	mem = SYS(open("/proc/self/mem", O_RDONLY));
	for (int i = 0; i < 20; i++) {
		heat(text_site, getppid());
		CHECK_EQ(memcmp(text_site, before, n), 0);
		/* The kernel reads it for us: by our address, and by its own. */
		CHECK_EQ(write(fd[1], text_site, n), n);
		CHECK_EQ(read(fd[0], after, n), n);
		CHECK_EQ(memcmp(after, before, n), 0);
		CHECK_EQ(pread(mem, after, n, (uintptr_t)text_site), n);
		CHECK_EQ(memcmp(after, before, n), 0);
	}
}

/* ---- who writes it ---- */

TEST(number_changed)
{
	u8 *p = put_site(MAP(NULL, PAGE, RWX, ANON, -1, 0), SYS_getppid);

	for (int i = 0; i < 40; i++) {
		heat(p, getppid());
		p[1] = SYS_getpid;
		CHECK_EQ(((code)(uintptr_t)p)(), getpid());
		heat(p, getpid());
		p[1] = SYS_getppid;
		CHECK_EQ(((code)(uintptr_t)p)(), getppid());
	}
}

TEST(written_by_the_kernel)
{
	u8 *p = put_site(MAP(NULL, PAGE, RWX, ANON, -1, 0), SYS_getppid), nr[2] = { SYS_getpid, SYS_getppid };
	int fd[2];

	SYS(pipe(fd));
	for (int i = 0; i < 40; i++) {
		heat(p, i % 2 ? getpid() : getppid());
		CHECK_EQ(write(fd[1], nr + i % 2, 1), 1);
		CHECK_EQ(read(fd[0], p + 1, 1), 1);
		CHECK_EQ(((code)(uintptr_t)p)(), i % 2 ? getppid() : getpid());
	}
}

/* One page of a file at two addresses: both run, and one is written through the other. */
TEST(two_addresses)
{
	int fd = SYS(memfd_create("code", 0));
	u8 *rw, *rx;

	SYS(ftruncate(fd, PAGE));
	rw = MAP(NULL, PAGE, RWX, MAP_SHARED, fd, 0);
	rx = MAP(NULL, PAGE, RX, MAP_SHARED, fd, 0);
	put_site(rw + 100, SYS_getppid);
	for (int i = 0; i < 40; i++) {
		heat(rx + 100, i % 2 ? getpid() : getppid());
		heat(rw + 100, i % 2 ? getpid() : getppid());
		rw[101] = i % 2 ? SYS_getppid : SYS_getpid;
		CHECK_EQ(((code)(uintptr_t)(rx + 100))(), i % 2 ? getppid() : getpid());
		CHECK_EQ(((code)(uintptr_t)(rw + 100))(), i % 2 ? getppid() : getpid());
	}
}

/* ---- the page goes away ---- */

static sigjmp_buf back;
static volatile uintptr_t fault_at;

static void on_segv(int sig, siginfo_t *si, void *ctx)
{
	fault_at = (uintptr_t)si->si_addr;
	siglongjmp(back, 1);
}

static void expect_fault(const u8 *site)
{
	struct sigaction sa = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO };

	SYS(sigaction(SIGSEGV, &sa, NULL));
	fault_at = 0;
	if (sigsetjmp(back, 1) == 0) {
		((code)(uintptr_t)site)();
		check_fail(__FILE__, __LINE__, "code ran that is not there");
	}
	CHECK_EQ(fault_at, (uintptr_t)site);
}

TEST(unmapped_and_back)
{
	u8 *p = MAP(NULL, PAGE, RWX, ANON, -1, 0);

	for (int i = 0; i < 20; i++) {
		u32 nr = i % 2 ? SYS_getpid : SYS_getppid;

		heat(put_site(p, nr), i % 2 ? getpid() : getppid());
		SYS(mprotect(p, PAGE, PROT_NONE));
		expect_fault(p);
		SYS(mprotect(p, PAGE, RX));
		heat(p, i % 2 ? getpid() : getppid());
		SYS(munmap(p, PAGE));
		expect_fault(p);
		CHECK(MAP(p, PAGE, RWX, ANON | MAP_FIXED, -1, 0) == p);
		memcpy(p, "\xb8\x39\x30\0\0\xc3", 6);		/* other code at the same address */
		CHECK_EQ(((code)(uintptr_t)p)(), 12345);
	}
}

TEST(not_executable)
{
	u8 *p = put_site(MAP(NULL, PAGE, PROT_READ | PROT_WRITE, ANON, -1, 0), SYS_getppid);
	struct sigaction sa = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO };

	SYS(sigaction(SIGSEGV, &sa, NULL));
	if (sigsetjmp(back, 1) == 0) {
		((code)(uintptr_t)p)();
		check_skip("no NX");
	}
	for (int i = 0; i < 20; i++) {
		SYS(mprotect(p, PAGE, RX));
		heat(p, getppid());
		SYS(mprotect(p, PAGE, PROT_READ));
		expect_fault(p);
	}
}

/* ---- other processes ---- */

static void call(const u8 *site, u32 want, int times)
{
	for (int i = 0; i < times; i++)
		CHECK_EQ(((code)(uintptr_t)site)(), want);
}

/* A page shared by fork, written by the child: copied for it, and only for it. */
TEST(copied_on_write)
{
	u8 *p = put_site(MAP(NULL, PAGE, RWX, ANON, -1, 0), SYS_getppid);
	u32 parent = getppid();

	heat(p, parent);
	for (int k = 0; k < 5; k++) {
		int pid = SYS(fork());

		if (pid == 0) {
			call(p, getppid(), HOT);
			p[1] = SYS_getpid;
			for (int i = 0; i < 10; i++) {
				call(p, getpid(), 100);
				usleep(1000);
			}
			_exit(0);
		}
		for (int i = 0; i < 10; i++) {
			call(p, parent, 100);
			usleep(1000);
		}
		check_wait(pid, 0);
		call(p, parent, 100);
	}
}

/* Several programs with different code at one address, turn by turn. */
TEST(same_address_elsewhere)
{
	enum { N = 4, ROUNDS = 60 };
	u8 *p = MAP(NULL, PAGE, RWX, ANON, -1, 0);
	int fd[N + 1][2], pid[N];
	char token = 0;

	for (int k = 0; k <= N; k++)
		SYS(pipe(fd[k]));
	for (int k = 0; k < N; k++) {
		pid[k] = SYS(fork());
		if (pid[k])
			continue;
		/* getppid, getpid, and 1000 + k without a system call */
		if (k < 2)
			put_site(p, k ? SYS_getpid : SYS_getppid);
		else
			memcpy(p, (u8[]){ 0xb8, (u8)(0xe8 + k), 3, 0, 0, 0xc3 }, 6);
		for (int i = 0; i < ROUNDS; i++) {
			CHECK_EQ(site_read(fd[k][0], &token, 1), 1);
			for (int j = 0; j < 40; j++) {
				CHECK_EQ(((code)(uintptr_t)text_site)(), getppid());
				CHECK_EQ(((code)(uintptr_t)p)(), k == 0 ? getppid() : k == 1 ? getpid() : 1000 + k);
			}
			CHECK_EQ(write(fd[k + 1][1], &token, 1), 1);
		}
		_exit(0);
	}
	for (int i = 0; i < ROUNDS; i++) {
		CHECK_EQ(write(fd[0][1], &token, 1), 1);
		CHECK_EQ(site_read(fd[N][0], &token, 1), 1);
	}
	for (int k = 0; k < N; k++)
		check_wait(pid[k], 0);
}

/* ---- signals ---- */

static volatile u32 ticks, strays;
static u8 *loop_begin, *loop_end;

static void on_tick(int sig, siginfo_t *si, void *ctx)
{
	const ucontext_t *uc = ctx;
	u32 off = (u32)uc->uc_mcontext.gregs[REG_EIP] - (u32)loop_begin;

	ticks++;
	/* Boundaries: mov at 0, int at 5, cmp at 7, jne at 9, dec at 11, jnz at 12, ret at 14. */
	if (off < (u32)(loop_end - loop_begin) && (off > 14 || !(0x5aa1u >> off & 1)))
		strays++;
	((code)(uintptr_t)text_site)();
}

TEST(interrupted_by_signals)
{
	/* mov $64,%eax; int $0x80; cmp %esi,%eax; jne out; dec %ecx; jnz loop; ret */
	static const u8 body[] = { 0xb8, 64, 0, 0, 0, 0xcd, 0x80, 0x39, 0xf0, 0x75, 3, 0x49, 0x75, 0xf2, 0xc3 };
	struct sigaction sa = { .sa_sigaction = on_tick, .sa_flags = SA_SIGINFO };
	struct itimerval it = { { 0, 1000 }, { 0, 1000 } }, off = { { 0, 0 }, { 0, 0 } };
	u32 a, c, me = getppid();

	loop_begin = MAP(NULL, PAGE, RWX, ANON, -1, 0);
	memcpy(loop_begin, body, sizeof body);
	loop_end = loop_begin + sizeof body;
	SYS(sigaction(SIGALRM, &sa, NULL));
	SYS(setitimer(ITIMER_REAL, &it, NULL));
	for (int i = 0; i < 3000 && ticks < 60; i++) {
		__asm__ volatile("call *%2" : "=a"(a), "=c"(c) : "r"(loop_begin), "S"(me), "1"(3000) : "memory", "cc");
		CHECK_EQ(a, me);
		CHECK_EQ(c, 0);
	}
	SYS(setitimer(ITIMER_REAL, &off, NULL));
	CHECK(ticks >= 60);
	CHECK_EQ(strays, 0);
}

static void on_usr1(int sig) { ticks++; }

TEST(restarted)
{
	struct sigaction sa = { .sa_handler = on_usr1, .sa_flags = SA_RESTART };
	int fd[2];
	char c = 0;

	SYS(pipe(fd));
	SYS(sigaction(SIGUSR1, &sa, NULL));
	for (int k = 0; k < 3; k++) {
		int pid;

		for (int i = 0; i < HOT; i++)
			CHECK_EQ(site_read(-1, &c, 1), -EBADF);
		ticks = 0;
		pid = SYS(fork());
		if (pid == 0) {
			for (int i = 0; i < 5; i++) {
				usleep(4000);
				kill(getppid(), SIGUSR1);
			}
			usleep(4000);
			_exit(write(fd[1], "x", 1) != 1);
		}
		CHECK_EQ(site_read(fd[0], &c, 1), 1);
		CHECK_EQ(c, 'x');
		CHECK(ticks >= 1);
		check_wait(pid, 0);
	}
}

/* A stopped sleep goes on by restart_syscall, whose number the kernel puts into EAX before it jumps to the INT. */
TEST(restart_syscall)
{
	struct { int sec, nsec; } zero = { 0, 0 }, t = { 0, 120000000 }, rem;
	u64 t0;
	int pid;

	for (int i = 0; i < HOT; i++)
		CHECK_EQ(site_sleep(&zero, &rem), 0);
	pid = SYS(fork());
	if (pid == 0) {
		for (int i = 0; i < 4; i++) {
			usleep(10000);
			kill(getppid(), SIGSTOP);
			usleep(5000);
			kill(getppid(), SIGCONT);
		}
		_exit(0);
	}
	t0 = check_now_ns();
	CHECK_EQ(site_sleep(&t, &rem), 0);
	CHECK(check_now_ns() - t0 >= 120000000);
	check_wait(pid, 0);
}

static volatile u32 steps;

static void on_trap(int sig, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;

	steps++;
	if (steps > 40)
		uc->uc_mcontext.gregs[REG_EFL] &= ~0x100;
}

/* The program sets TF itself: every instruction traps, the INT with the one after it. */
TEST(steps_itself)
{
	struct sigaction sa = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };
	u32 a;

	SYS(sigaction(SIGTRAP, &sa, NULL));
	for (int i = 0; i < 20; i++) {
		heat(text_site, getppid());
		steps = 0;
		__asm__ volatile("pushfl; orl $0x100, (%%esp); popfl\n"
				 "mov $64, %%eax; int $0x80\n"
				 "pushfl; andl $~0x100, (%%esp); popfl\n" : "=a"(a) :: "memory", "cc");
		CHECK_EQ(a, getppid());
		CHECK_MSG(steps == 4, "%u steps", steps);	/* mov, int and pushf, and, popf */
	}
}

/* ---- debuggers ---- */

static int stop_of(int pid)
{
	int st;

	CHECK_EQ(SYS(waitpid(pid, &st, 0)), pid);
	return WIFSTOPPED(st) ? WSTOPSIG(st) : -1;
}

static void call_for_ever(void)
{
	for (;;)
		((code)(uintptr_t)text_site)();
}

TEST(traced)
{
	int pid = SYS(fork());
	struct user_regs_struct r;
	long word;

	if (pid == 0)
		call_for_ever();
	for (int k = 0; k < 10; k++) {
		int ints = 0;

		usleep(3000);		/* let it get hot */
		SYS(ptrace(PTRACE_ATTACH, pid, 0, 0));
		CHECK_EQ(stop_of(pid), SIGSTOP);
		errno = 0;
		word = ptrace(PTRACE_PEEKTEXT, pid, text_site, 0);
		CHECK_EQ(errno, 0);
		CHECK_EQ(word, 0x000040b8);
		/* On a busy machine it is still on its way there the first time. */
		for (int i = 0; i < 5000 && ints < 8; i++) {
			r = (struct user_regs_struct){ 0 };
			SYS(ptrace(PTRACE_GETREGS, pid, 0, &r));
			SYS(ptrace(PTRACE_SINGLESTEP, pid, 0, 0));
			CHECK_EQ(stop_of(pid), SIGTRAP);
			if ((uintptr_t)r.eip != (uintptr_t)text_site + 5)
				continue;
			SYS(ptrace(PTRACE_GETREGS, pid, 0, &r));
			CHECK_EQ(r.eip, (uintptr_t)text_site + 7);
			CHECK_EQ(r.eax, getpid());
			ints++;
		}
		CHECK_EQ(ints, 8);
		/* A breakpoint on the INT. */
		word = ptrace(PTRACE_PEEKTEXT, pid, text_site + 4, 0);
		SYS(ptrace(PTRACE_POKETEXT, pid, text_site + 4, (word & ~0xff00) | 0xcc00));
		for (int i = 0; i < 3; i++) {
			SYS(ptrace(PTRACE_CONT, pid, 0, 0));
			CHECK_EQ(stop_of(pid), SIGTRAP);
			SYS(ptrace(PTRACE_GETREGS, pid, 0, &r));
			CHECK_EQ(r.eip, (uintptr_t)text_site + 6);
			CHECK_EQ(r.eax, SYS_getppid);
			r.eip = (uintptr_t)text_site;		/* around again */
			SYS(ptrace(PTRACE_SETREGS, pid, 0, &r));
		}
		SYS(ptrace(PTRACE_POKETEXT, pid, text_site + 4, word));
		SYS(ptrace(PTRACE_DETACH, pid, 0, 0));
		heat(text_site, getppid());		/* the tracer's own page was never touched */
	}
	SYS(kill(pid, SIGKILL));
	SYS(waitpid(pid, NULL, 0));
}

/* ---- working set ---- */

/* More pages and more code than a VMM may want to remember of one program. */
TEST(many_pages)
{
	enum { N = 300 };
	u8 *p = MAP(NULL, N * PAGE, RWX, ANON, -1, 0);

	for (int k = 0; k < N; k++)
		put_site(p + k * PAGE + k * 8, k % 2 ? SYS_getpid : SYS_getppid);
	for (int round = 0; round < 10; round++)
		for (int k = 0; k < N; k++)
			call(p + k * PAGE + k * 8, k % 2 ? getpid() : getppid(), 3);
	for (int k = 0; k < N; k++)
		p[k * PAGE + k * 8 + 1] = SYS_getpid;
	for (int k = 0; k < N; k++)
		call(p + k * PAGE + k * 8, getpid(), 3);
}
