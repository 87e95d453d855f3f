#define _GNU_SOURCE
/*
 * Debugging: single steps, breakpoints, system-call stops, and the registers
 * of a stopped process.
 */
#include "check.h"

#include <elf.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

static int stop_of(int pid)
{
	int st;

	CHECK_EQ(SYS(waitpid(pid, &st, 0)), pid);
	if (WIFEXITED(st))
		return -1 - WEXITSTATUS(st);
	CHECK_MSG(WIFSTOPPED(st), "wait status 0x%x", st);
	return WSTOPSIG(st);
}

static int traced(void (*fn)(void))
{
	int pid = SYS(fork());

	if (pid == 0) {
		SYS(ptrace(PTRACE_TRACEME, 0, 0, 0));
		raise(SIGSTOP);
		fn();
		_exit(7);
	}
	CHECK_EQ(stop_of(pid), SIGSTOP);
	return pid;
}

static struct user_regs_struct regs_of(int pid)
{
	struct user_regs_struct r;

	SYS(ptrace(PTRACE_GETREGS, pid, 0, &r));
	return r;
}

extern char stepped[], stepped_end[], stepped_rep[], break_here[];
__asm__(".text\n.globl stepped, stepped_end, stepped_rep, break_here\n"
	"stepped:\n"
	"	movl $3, %ecx\n"
	"1:	nop\n"
	"	decl %ecx\n"
	"	jnz 1b\n"
	"	pushfl\n"
	"	popl %eax\n"		/* Linux lets TF be seen here */
	"	movl %eax, step_flags\n"
	"	pushl %esi; pushl %edi\n"
	"	movl $step_src, %esi; movl $step_dst, %edi; movl $5, %ecx\n"
	"stepped_rep: rep movsb\n"	/* one step each time round */
	"	popl %edi; popl %esi\n"
	"	movl $20, %eax\n"
	"	int $0x80\n"
	"	movl %eax, step_pid\n"
	"	call 2f\n"
	"	ret\n"
	"2:	ret\n"
	"stepped_end:\n"
	"break_here: movl $0x1234, %eax; ret\n");
u32 step_flags, step_pid;
u8 step_src[5] = "abcd", step_dst[5];

static void run_stepped(void)
{
	((void (*)(void))stepped)();
	if (step_pid != (u32)getpid() || memcmp(step_src, step_dst, 5))
		_exit(2);
}

TEST(single_step)
{
	int pid = traced(run_stepped), in = 0, reps = 0, total = 0, sig;

	while (total++ < 20000) {
		struct user_regs_struct r = regs_of(pid);

		if ((uintptr_t)r.eip >= (uintptr_t)stepped && (uintptr_t)r.eip < (uintptr_t)stepped_end) {
			in++;
			reps += (uintptr_t)r.eip == (uintptr_t)stepped_rep;
		}
		SYS(ptrace(PTRACE_SINGLESTEP, pid, 0, 0));
		sig = stop_of(pid);
		if (sig < 0) {
			CHECK_EQ(sig, -8);	/* exit status 7 */
			break;
		}
		CHECK_EQ(sig, SIGTRAP);
		if (in && !((uintptr_t)r.eip >= (uintptr_t)stepped && (uintptr_t)r.eip < (uintptr_t)stepped_end) && total > 5000) {
			SYS(ptrace(PTRACE_CONT, pid, 0, 0));
			CHECK_EQ(stop_of(pid), -8);
			break;
		}
	}
	/* mov, 3*(nop dec jnz), pushf pop mov, 2 push, 3 mov, 5 rep, 2 pop, mov int mov, call ret ret */
	CHECK_EQ(reps, 5);
	CHECK_EQ(in, 1 + 9 + 3 + 2 + 3 + 5 + 2 + 3 + 3);
}

static void call_break(void)
{
	for (int i = 0; i < 10; i++)
		if (((u32 (*)(void))break_here)() != 0x1234)
			_exit(3);
}

TEST(breakpoint)
{
	int pid = traced(call_break);
	long word;

	errno = 0;
	word = ptrace(PTRACE_PEEKTEXT, pid, break_here, 0);
	CHECK_EQ(errno, 0);
	CHECK_EQ(word & 0xff, 0xb8);
	for (int i = 0; i < 10; i++) {
		struct user_regs_struct r;

		SYS(ptrace(PTRACE_POKETEXT, pid, break_here, (word & ~0xff) | 0xcc));
		SYS(ptrace(PTRACE_CONT, pid, 0, 0));
		CHECK_EQ(stop_of(pid), SIGTRAP);
		r = regs_of(pid);
		CHECK_EQ(r.eip, (uintptr_t)break_here + 1);
		r.eip--;
		SYS(ptrace(PTRACE_SETREGS, pid, 0, &r));
		SYS(ptrace(PTRACE_POKETEXT, pid, break_here, word));
		SYS(ptrace(PTRACE_SINGLESTEP, pid, 0, 0));
		CHECK_EQ(stop_of(pid), SIGTRAP);
		r = regs_of(pid);
		CHECK_EQ(r.eip, (uintptr_t)break_here + 5);
		CHECK_EQ(r.eax, 0x1234);
	}
	SYS(ptrace(PTRACE_CONT, pid, 0, 0));
	CHECK_EQ(stop_of(pid), -8);
	/* The tracer's own copy of the page was never touched. */
	CHECK_EQ(((u32 (*)(void))break_here)(), 0x1234);
}

static void some_syscalls(void)
{
	for (int i = 0; i < 20; i++) {
		long r;

		if (i % 2)
			r = syscall(SYS_getppid);
		else
			__asm__ volatile("int $0x80" : "=a"(r) : "a"(SYS_getppid) : "memory");
		if (r != 424242)
			_exit(4);
	}
}

/* Every system call stops twice, and the tracer rewrites its result. */
TEST(system_call_stops)
{
	int pid = traced(some_syscalls), seen = 0, sig;

	SYS(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD));
	for (;;) {
		struct user_regs_struct r;

		SYS(ptrace(PTRACE_SYSCALL, pid, 0, 0));
		sig = stop_of(pid);
		if (sig < 0)
			break;
		CHECK_EQ(sig, SIGTRAP | 0x80);
		r = regs_of(pid);
		if (r.orig_eax != SYS_getppid)
			continue;
		if (r.eax == -ENOSYS)
			continue;	/* entry */
		CHECK_EQ(r.eax, getpid());
		r.eax = 424242;
		SYS(ptrace(PTRACE_SETREGS, pid, 0, &r));
		seen++;
	}
	CHECK_EQ(sig, -8);
	CHECK_EQ(seen, 20);
}

/* A step over a system-call instruction stops after it, whichever way it enters. */
static void looping(void)
{
	for (;;)
		getppid();
}

TEST(step_over_system_calls)
{
	int pid = traced(looping), calls = 0;

	for (int i = 0; i < 1500; i++) {
		struct user_regs_struct r = regs_of(pid), after;
		long word = ptrace(PTRACE_PEEKTEXT, pid, r.eip, 0);

		SYS(ptrace(PTRACE_SINGLESTEP, pid, 0, 0));
		CHECK_EQ(stop_of(pid), SIGTRAP);
		after = regs_of(pid);
		CHECK(after.eip != r.eip);
		if ((word & 0xffff) == 0x80cd || (word & 0xffff) == 0x340f || (word & 0xffff) == 0x050f) {
			CHECK_EQ(after.eax, getpid());
			calls++;
		}
		CHECK_EQ(after.eflags & 0x100, 0);
	}
	CHECK_MSG(calls > 20, "%d calls", calls);
	SYS(kill(pid, SIGKILL));
	SYS(waitpid(pid, NULL, 0));
}

static volatile double fp_value;

static void use_fp(void)
{
	__asm__ volatile("fninit; fldpi; int3; fstpl %0" : "=m"(fp_value));
	if (fp_value != 1.0)
		_exit(5);
}

TEST(floating_point_registers)
{
	int pid = traced(use_fp);
	struct user_fpregs_struct f;
	static u8 xstate[8192];
	struct iovec iov = { xstate, sizeof xstate };
	long double one = 1.0L;

	SYS(ptrace(PTRACE_CONT, pid, 0, 0));
	CHECK_EQ(stop_of(pid), SIGTRAP);
	SYS(ptrace(PTRACE_GETFPREGS, pid, 0, &f));
	CHECK_EQ(f.cwd & 0xffff, 0x37f);
	CHECK_EQ((f.swd >> 11) & 7, 7);
	u8 pi[10];

	memcpy(pi, f.st_space, 10);
	CHECK_EQ(pi[7], 0xc9);
	CHECK_EQ(pi[9], 0x40);
	memcpy(f.st_space, &one, 10);
	SYS(ptrace(PTRACE_SETFPREGS, pid, 0, &f));
	if (ptrace(PTRACE_GETREGSET, pid, NT_X86_XSTATE, &iov) == 0)
		check_info("xstate has %u bytes", (u32)iov.iov_len);
	SYS(ptrace(PTRACE_CONT, pid, 0, 0));
	CHECK_EQ(stop_of(pid), -8);
}

static void forever(void)
{
	for (;;)
		__asm__ volatile("" ::: "memory");
}

TEST(attach_and_registers)
{
	int pid = SYS(fork());

	if (pid == 0)
		forever();
	for (int i = 0; i < 20; i++) {
		struct user_regs_struct r;

		SYS(ptrace(PTRACE_ATTACH, pid, 0, 0));
		CHECK_EQ(stop_of(pid), SIGSTOP);
		r = regs_of(pid);
		CHECK_EQ(r.xcs & 3, 3);
		if (check_in_guest()) {
			CHECK_EQ(r.xcs & 0xffff, 0x73);
			CHECK_EQ(r.xss & 0xffff, 0x7b);
		}
		if (i == 0)
			check_info("cs %04x ds %04x ss %04x gs %04x", (u32)r.xcs & 0xffff, (u32)r.xds & 0xffff,
				   (u32)r.xss & 0xffff, (u32)r.xgs & 0xffff);
		SYS(ptrace(PTRACE_DETACH, pid, 0, 0));
		usleep(500);
	}
	SYS(kill(pid, SIGKILL));
	SYS(waitpid(pid, NULL, 0));
}

static volatile u32 watched;

static void write_watched(void)
{
	for (int i = 0; i < 5; i++)
		watched = i;
}

/* Debug registers.  A VMM that runs user code directly may not have them to give: told, and checked if they work. */
TEST(watchpoint)
{
	int pid = traced(write_watched), hits = 0, sig;
	long dr7 = 1 | 1 << 16 | 3 << 18;	/* L0, on writes, of 4 bytes */

	if (ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[0]), &watched) < 0 ||
	    ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[7]), dr7) < 0) {
		kill(pid, SIGKILL);
		check_skip("no debug registers: %s", strerror(errno));
	}
	for (;;) {
		SYS(ptrace(PTRACE_CONT, pid, 0, 0));
		sig = stop_of(pid);
		if (sig < 0)
			break;
		CHECK_EQ(sig, SIGTRAP);
		hits++;
	}
	CHECK_EQ(sig, -8);
	if (hits == 0)
		check_skip("watchpoints do not fire");
	CHECK_EQ(hits, 5);
}
