/*
 * Host signals in an executor: where faults, kicks and foreign system calls
 * arrive, and how they are sorted.
 *
 *   in translated code   bt's fault handler (exec_hooks.fault); a kick unlinks the block
 *   in user code         direct_signal(): becomes a guest exception or a shadow fill
 *   on the way in        sent to the abort labels
 *   in Ringer's own code kicks only set the attention flag; a fault is our bug
 *
 * Handlers run on the alternate stack, with no signal blocked (SA_NODEFER and
 * an empty mask), so that leaving one without sigreturn costs nothing.  The
 * kernel has saved the FPU state in the frame and given the handler a clean
 * one: leaving without sigreturn restores it from the frame with XRSTOR.
 */
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/ucontext.h>
#include "base/check.h"
#include "base/log.h"
#include "base/sys.h"
#include "base/bits.h"
#include "cpu/cpuid.h"
#include "cpu/exec.h"
#include "cpu/vdso.h"

extern const u8 __executable_start[];

struct exec_hooks exec_hooks;

static const u8 reg_order[8] = { G_RAX, G_RCX, G_RDX, G_RBX, G_RSP, G_RBP, G_RSI, G_RDI };

/* FP_XSTATE_MAGIC1 of <asm/sigcontext.h>: the frame holds an XSAVE image, not only FXSAVE. */
#define XSTATE_MAGIC1 0x46505853u

static void fpu_from_frame(const void *fp)
{
	const u8 *sw = (const u8 *)fp + 464;	/* struct _fpx_sw_bytes */

	if (load32(sw) == XSTATE_MAGIC1) {
		u64 features = load64(sw + 8);
		__asm__ volatile("xrstor64 (%0)" : : "r"(fp), "a"((u32)features), "d"((u32)(features >> 32)) : "memory");
	} else {
		__asm__ volatile("fxrstor64 (%0)" : : "r"(fp) : "memory");
	}
}

static void regs_from_frame(struct exec *x, const s64 *g)
{
	for (int i = 0; i < 8; i++)
		x->v.regs[i] = (u32)g[reg_order[i]];
	x->v.flags = (u32)g[G_EFL] & EFLAGS_ARITH;
}

/* What is at the low end of an alternate stack. */
struct stack_owner { struct exec *x; struct space *s; };

struct exec *exec_current(struct space **s)
{
	const struct stack_owner *o;
	u64 sp;

	__asm__("mov %%rsp, %0" : "=r"(sp));
	o = (const struct stack_owner *)(sp & ~(u64)(ALT_STACK_SIZE - 1));
	*s = o->s;
	return o->x;
}

static void count_signal(struct counters *c, int sig)
{
	switch (sig) {
	case SIGSEGV: c->sig_segv++; break;
	case SIGBUS: c->sig_bus++; break;
	case SIGFPE: c->sig_fpe++; break;
	case SIGILL: c->sig_ill++; break;
	case SIGTRAP: c->sig_trap++; break;
	case SIGSYS: c->sig_sys++; break;
	default: c->sig_kick++; break;
	}
}

static bool within(u64 rip, const u8 *begin, const u8 *end)
{
	return rip >= (u64)begin && rip < (u64)end;
}

/* A kick while translated code runs. */
static void kick(struct exec *x, struct sig_frame *f)
{
	/* With IF clear nothing can be delivered: STI and its like look at intr_pending. */
	if (x->v.iff || x->v.platform->leave(x->v.platform->opaque))
		exec_hooks.kick(x, f);
}

/* On with the translated code, whose context may have been changed, without a sigreturn. */
_Noreturn static void resume(struct exec *x, const struct ucontext_t *uc)
{
	const s64 *g = (const s64 *)uc->uc_mcontext.gregs;

	x->resume_rip = (u64)g[G_RIP];
	x->resume_rsp = (u64)g[G_RSP];
	fpu_from_frame(uc->uc_mcontext.fpregs);
	exec_resume(x, g);
}

static void on_signal(int sig, siginfo_t *si, void *context)
{
	struct space *s;
	struct exec *x = exec_current(&s);
	struct ucontext_t *uc = context;
	s64 *g = (s64 *)uc->uc_mcontext.gregs;
	struct sig_frame f = {
		.sig = sig, .gregs = g, .rip = (u64)g[G_RIP], .addr = (u64)g[G_CR2],
		.trapno = (u32)g[G_TRAPNO], .error = (u32)g[G_ERR],
		.user = (g[G_CSGSFS] & 0xffff) == HOST_CS32,
	};
	bool stub = f.rip >> PAGE_SHIFT == x->shadow->stub_page >> PAGE_SHIFT && f.rip < WINDOW_SIZE;
	bool stepped = false;
	s64 rip = g[G_RIP];
	u64 ret;

	if (sig == SIG_KICK && si->si_code == SI_TIMER)
		s->armed_deadline = ~0ull;
	if (sig == SIG_KICK && x->space != s)
		return;			/* the vCPU is elsewhere, and knows (vm_kick) */
	count_signal(x->v.count, sig);
	if (sig == SIG_KICK) {
		x->attention = 1;
		if (si->si_code == SI_TIMER)
			x->timer_due = 1;
		x->v.intr_pending = 1;
	}
	if (sig == SIGSYS && !f.user && x->in_library) {
		/* libc on behalf of a library that the translator uses (listings): do it for it. */
		g[G_RAX] = sys6(si->si_syscall, g[G_RDI], g[G_RSI], g[G_RDX], g[G_R10], g[G_R8], g[G_R9]);
		return;
	}
	if (stub && f.user && sig == SIG_KICK)
		return;			/* direct_bcd() */
	if (sig == SIGTRAP && !f.user && stub) {
		/* Stepped into the fast system call: step through the guest's own instructions instead. */
		f.user = stepped = true;
		f.rip = vdso_site(x, (u32)f.rip & PAGE_MASK);
	}
	if (within(f.rip, exec_push_begin, exec_push_end)) {
		/* The vDSO's pushes, done by the landing: still user code, at the entry. */
		f.user = true;
		f.rip = x->shadow->patch_lin + x->vsyscall_offset;
	}
	if (f.user) {
		if (g[G_EFL] & EFLAGS_AC)
			__asm__ volatile("push $2; popfq" : : : "cc");
		x->v.flags = 0;
		regs_from_frame(x, g);
		x->v.eip = (u32)f.rip;
		x->v.sysflags = (x->v.sysflags & ~(EFLAGS_TF | EFLAGS_AC | EFLAGS_ID | EFLAGS_NT | EFLAGS_RF)) |
				((u32)g[G_EFL] & (EFLAGS_TF | EFLAGS_AC | EFLAGS_ID | EFLAGS_NT));
		exec_account(x, &x->v.count->ns_user);
		ret = sig == SIG_KICK || stepped ? RET_DISPATCH : direct_signal(x, &f);
		fpu_from_frame(uc->uc_mcontext.fpregs);
		exec_leave(x, ret);
	}
	if (within(f.rip, x->code_rx, x->code_rx + x->code_size)) {
		if (sig == SIG_KICK) {
			kick(x, &f);
			resume(x, uc);
		}
		exec_account(x, x->v.cpl == 3 ? &x->v.count->ns_user : &x->v.count->ns_kernel);
		regs_from_frame(x, g);
		ret = exec_hooks.fault(x, &f);
		exec_account(x, &x->v.count->ns_monitor);
		if (ret == ~0ull)
			resume(x, uc);
		fpu_from_frame(uc->uc_mcontext.fpregs);
		exec_leave(x, ret);
	}
	if (within(f.rip, exec_user_begin, exec_user_end)) {
		if (sig != SIG_KICK) {
			log_error("cannot enter user code: signal %d at entry, error %x, eip %08x", sig, f.error, x->v.eip);
			CHECK(!"fault while entering user code");
		}
		/* r15 is the exec; rsp is still the host stack until IRETQ. */
		g[G_RIP] = (s64)(u64)exec_abort_user;
		return;
	}
	if (within(f.rip, exec_resume_begin, exec_resume_end)) {
		/* As good as in the translated code; the registers may be half there: back by sigreturn. */
		CHECK(sig == SIG_KICK);
		f.rip = x->resume_rip;
		g[G_RIP] = (s64)f.rip;
		kick(x, &f);
		x->resume_rip = (u64)g[G_RIP];
		g[G_RIP] = rip;
		return;
	}
	if (within(f.rip, exec_enter_begin, exec_enter_end)) {
		CHECK(sig == SIG_KICK);
		g[G_RIP] = (s64)(u64)exec_abort;
		return;
	}
	if (sig != SIG_KICK) {
		log_error("signal %d in the monitor, cs %x, trap %u error %x, text offset 0x%llx, address %p, guest eip %08x", sig,
			  (u32)g[G_CSGSFS] & 0xffff, f.trapno, f.error,
			  (unsigned long long)(f.rip - (u64)__executable_start), (void *)f.addr, x->v.eip);
		CHECK(!"fault in Ringer's own code");
	}
}

/* The kernel's struct sigaction: libc's has another layout and sets its own restorer. */
struct kernel_sigaction {
	void (*handler)(int, siginfo_t *, void *);
	unsigned long flags;
	void (*restorer)(void);
	u64 mask;
};

#define SA_RESTORER_ 0x04000000ul

static int install(struct exec *x, struct space *s, const int *signals, unsigned n, void (*handler)(int, siginfo_t *, void *))
{
	stack_t ss = { .ss_sp = s->alt_stack + 64, .ss_size = ALT_STACK_SIZE - 64 };
	u64 none = 0;
	long r;

	*(struct stack_owner *)s->alt_stack = (struct stack_owner){ x, s };
	r = sys3(SYS_sigaltstack, (long)&ss, 0, 0);
	if (r < 0)
		return (int)r;
	for (unsigned i = 0; i < n; i++) {
		struct kernel_sigaction sa = {
			.handler = handler,
			.flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTORER_,
			.restorer = (void (*)(void))exec_sigreturn,
		};
		r = sys6(SYS_rt_sigaction, signals[i], (long)&sa, 0, 8, 0, 0);
		if (r < 0)
			return (int)r;
	}
	return (int)sys6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, 8, 0, 0);
}

int exec_signals_attach(struct exec *x, struct space *s)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIG_KICK };

	return install(x, s, signals, ARRAY_SIZE(signals), on_signal);
}

int exec_kicks_attach(struct exec *x, struct space *s, void (*handler)(int, siginfo_t *, void *))
{
	static const int signals[] = { SIG_KICK };

	return install(x, s, signals, ARRAY_SIZE(signals), handler);
}

/* ---- FPU state ---- */

void exec_fpu_save(struct exec *x)
{
	__asm__ volatile("xsave64 (%0)" : : "r"(x->fpu), "a"((u32)x->xfeatures), "d"((u32)(x->xfeatures >> 32)) : "memory");
}

void exec_fpu_restore(struct exec *x)
{
	__asm__ volatile("xrstor64 (%0)" : : "r"(x->fpu), "a"((u32)x->xfeatures), "d"((u32)(x->xfeatures >> 32)) : "memory");
}

void exec_fpu_load(struct exec *x)
{
	u64 mask = x->v.cpuid && x->v.cpuid->xcr0 ? x->v.cpuid->xcr0 : XFEATURE_X87 | XFEATURE_SSE;

	__asm__ volatile("xrstor64 (%0)" : : "r"(x->fpu), "a"((u32)mask), "d"((u32)(mask >> 32)) : "memory");
}

void exec_fpu_init(struct exec *x)
{
	__builtin_memset(x->fpu, 0, sizeof(x->fpu));
	store32(x->fpu + XSAVE_MXCSR, 0x1f80);	/* the rest: no component is in the image, so all get their initial values */
}

void exec_renew(struct exec *x)
{
	size_t own = offsetof(struct exec, engine);

	__builtin_memset((u8 *)x + own, 0, sizeof(*x) - own);
}
