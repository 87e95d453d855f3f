/*
 * struct exec: what one executor thread needs around its vCPU to run guest
 * code.  Generated code and the assembly below address it through r15; the vCPU
 * comes first, so that r15 is the vCPU too.
 *
 * The vCPU and the FPU image are the machine's and outlive an executor; the rest
 * is the executor's own and begins as zero (exec_renew).
 *
 * Register conventions inside translated code (bt/) and in the entry paths:
 *   rax..rdi  the guest's eax..edi, zero-extended (rsp = guest esp)
 *   r8-r11    scratch          r12  scratch, survives callouts
 *   r13       guest FS base    r14  KERNEL_WINDOW
 *   r15       struct exec *    GS base = KERNEL_WINDOW, FS base = the host's TLS
 * In user code: GS and FS bases are the guest's, r8-r14 zero, r15 kept (the
 * CPU preserves r8-r15 across compatibility mode, SDM vol. 1 section 3.4.1.1).
 */
#ifndef CPU_EXEC_H
#define CPU_EXEC_H

#include <signal.h>
#include "cpu/vcpu.h"
#include "base/clock.h"
#include "cpu/space.h"
#include "mmu/shadow.h"

#define HOST_CS32 0x23u
#define HOST_CS64 0x33u
#define HOST_DS   0x2bu

/* Why guest code returned to the dispatcher (low byte; the rest is in the high half). */
enum exec_return {
	RET_DISPATCH = 1,	/* (a callout returns 0 to go on) state is in the vCPU: carry on from v.eip */
	RET_CHAIN,	/* a direct exit that is not chained yet; high half: exit id */
	RET_INDIRECT,	/* an indirect branch missed the inline table; v.eip is the target */
	RET_EXCEPTION,	/* v.exc is to be delivered */
	RET_SOFT_INT,	/* INT n at v.eip in user code; high half: vector */
	RET_SYSENTER,	/* SYSENTER in user code; high half: 1 if by a signal */
	RET_INT80,	/* INT 0x80 in the patched vDSO page, at int80_offset */
	RET_SINGLE,	/* execute the one instruction at v.eip through the translator */
	RET_EMULATE,	/* the same, its memory accesses by hand */
	RET_JUMP,	/* callouts only: go on with the translated code at exec.jump_host */
	RET_ABORT,	/* not entered: attention was called for just before */
};

/* An entry of the inline indirect-branch table: tag = -(eip + mode) mod 2^32. */
struct ibtc_entry {
	u32 tag;
	u32 pad;
	u64 host;
};

#define IBTC_SIZE 65536u
#define BOUNCE_SIZE 8192u
#define FPU_AREA_SIZE 16384u

/* Offsets in an XSAVE area of the standard format (SDM vol. 1 section 13.4), and state components. */
#define XSAVE_MXCSR     24u
#define XSAVE_XMM       160u
#define XSAVE_BV        512u
#define XFEATURE_X87    BIT64(0)
#define XFEATURE_SSE    BIT64(1)

struct engine;
struct kvm_cpu;

struct exec {
	struct vcpu v;
	/* XSAVE, standard format: the guest's registers while no engine runs; while one does, its own place to put them. */
	_Alignas(64) u8 fpu[FPU_AREA_SIZE];

	const struct engine *engine;
	struct kvm_cpu *kvm;	/* hw: in the executor's private memory */
	u64 host_rsp;		/* stack to return to the dispatcher on */
	u64 host_fsbase;
	u32 attention;		/* leave guest code at the next block boundary */
	u32 timer_due;		/* the timer signal came: run_timers */

	/* Addresses of the entry points, for generated code. */
	u64 thunk_chain, thunk_indirect, thunk_callout;

	/* Callout arguments and results. */
	u32 ea, tmp, tmp_hi, jump_target;
	u32 xmask_lo, xmask_hi;
	u64 jump_host;
	u64 resume_rip, resume_rsp;	/* exec_resume */
	u64 flag_stack[4];	/* where translated code pushes EFLAGS to read them */

	/* The checked form: which window each 64 KiB of linear space is in. */
	u64 window_base[2];
	u8 window_of[65536];

	/* Host segment selectors loaded for user code. */
	u16 user_ds, user_es, user_fs, user_gs;
	u64 user_fsbase, user_gsbase;
	u32 user_flags;		/* EFLAGS to enter user code with */
	u16 flat_cs, flat_ss;	/* guest selectors that the host's stand for */

	struct pool *pool;
	struct space *space;	/* the process that has the vCPU */
	struct shadow *shadow;	/* its shadow */
	u8 *code_rx;		/* executable view of the code cache */
	u32 code_size;
	void *bt;		/* struct bt */
	u64 xfeatures;		/* XCR0 of the host */
	const struct clock *clock;
	u64 t_enter;		/* TSC at the last transition, for the time split */
	/* Fast system calls (vdso.c). */
	bool no_user_patching;
	bool translate_users;	/* bt/hot.c */
	u32 vdso_tries;
	u8 *user_pages;		/* writable view of the memfd user_fd */
	int user_fd;
	u32 vsyscall_offset;	/* of the patched entry in its page; the page is at shadow->patch_lin */
	u32 landing_flags;	/* EFLAGS of user code at the last fast system call */
	u32 int80_offset;	/* of the INT 0x80 that the last RET_INT80 stands for */
	u32 by_hand;		/* accesses by hand since the last INVLPG */
	bool in_library;	/* library code runs here: its own system calls are allowed */

	_Alignas(64) u8 bounce[BOUNCE_SIZE];
	struct ibtc_entry ibtc[IBTC_SIZE];
};

_Static_assert(offsetof(struct exec, v) == 0, "r15 must be both the exec and the vCPU");

/* Enter translated code at `host`.  (entry.c) */
u64 exec_enter_translated(struct exec *x, const void *host);
/* Enter user code; segments and bases as prepared by direct_run().  (entry.c) */
u64 exec_enter_user(struct exec *x);
/* From a signal handler: give up the interrupted context, return `ret` to the dispatcher. */
_Noreturn void exec_leave(struct exec *x, u64 ret);
/*
 * From a signal handler: go on with the interrupted translated code, whose registers are in
 * `gregs` but for RIP and RSP, which are in resume_rip and resume_rsp.  What
 * sigreturn does, without the host kernel: no signal is blocked in a handler.
 */
_Noreturn void exec_resume(struct exec *x, const s64 *gregs);
/* Code addresses between which a signal means "not entered yet". */
extern const u8 exec_enter_begin[], exec_enter_end[], exec_user_begin[], exec_user_end[];
extern const u8 exec_resume_begin[], exec_resume_end[];
extern const u8 exec_abort[], exec_abort_user[];
/* Where the user-window stub jumps to, in 64-bit mode. */
extern const u8 exec_int80_landing[], exec_sysenter_landing[], exec_vsyscall_landing[];
extern const u8 exec_push_begin[], exec_push_end[];
extern const u8 exec_thunk_chain[], exec_thunk_indirect[], exec_thunk_callout[], exec_sigreturn[];

/* A callout: 0 = go on, else an exec_return to leave with. */
typedef u64 (*callout_fn)(struct exec *x, u32 arg);

/* Save and restore the guest's FPU state around code that may use it (libraries). */
void exec_fpu_save(struct exec *x);
void exec_fpu_restore(struct exec *x);
/* The guest's registers out of x->fpu, the host's own components (protection keys) left alone. */
void exec_fpu_load(struct exec *x);
/* x->fpu as after FNINIT and a reset of MXCSR. */
void exec_fpu_init(struct exec *x);
/* Forget the last executor: everything but the vCPU and the FPU image is zero. */
void exec_renew(struct exec *x);

/* ---- direct.c: user code on the CPU ---- */

/* May the vCPU's current state run directly?  (flat 32-bit CPL 3, paging on) */
bool direct_possible(const struct vcpu *v);
/* What a selector that user code has read from the CPU stands for in the guest. */
u16 direct_guest_selector(const struct exec *x, u16 host);
/* Enter user code and come back; the result is an exec_return. */
u64 direct_run(struct exec *x);
/* Execute DAA, DAS, AAA, AAS, AAM 10 or AAD 10 (by opcode) on the CPU, in compatibility mode.  (vdso.c) */
void direct_bcd(u32 opcode, u64 *rax, u64 *flags);
/* Per executor: LDT entries for TLS, Syscall User Dispatch.  Negative errno. */
int direct_attach(struct exec *x);
/* The vCPU has come to this process: what its segment registers hold. */
void direct_arrive(struct exec *x);
/* Signal came while user code ran: the exec_return to leave with. */
struct sig_frame;
u64 direct_signal(struct exec *x, const struct sig_frame *f);

/* Charge the time since the last transition to `bucket` (ns) and start anew. */
static inline void exec_account(struct exec *x, u64 *bucket)
{
	u64 now = rdtsc();

	*bucket += clock_tsc_to_ns(x->clock, now - x->t_enter);
	x->t_enter = now;
}

/* The indirect-branch table's code for the vCPU's state, or NULL.  Flat modes only: tags hold no CS base. */
static inline const u8 *exec_ibtc_find(const struct exec *x)
{
	const struct vcpu *v = &x->v;
	const struct ibtc_entry *e = &x->ibtc[v->eip & (IBTC_SIZE - 1)];

	/* An empty entry points to the miss path; its tag may match by accident. */
	if (e->tag + v->eip + v->mode != 0 || e->host == x->thunk_indirect || !(v->mode & MODE_FLAT))
		return NULL;
	return (const u8 *)e->host;
}

/* ---- signal.c ---- */

/* Indexes into a ucontext's gregs; <sys/ucontext.h> hides the names without _GNU_SOURCE. */
enum { G_R8, G_R9, G_R10, G_R11, G_R12, G_R13, G_R14, G_R15, G_RDI, G_RSI, G_RBP, G_RBX, G_RDX, G_RAX,
       G_RCX, G_RSP, G_RIP, G_EFL, G_CSGSFS, G_ERR, G_TRAPNO, G_OLDMASK, G_CR2 };

/* The interrupted context, as far as anyone looks at it. */
struct sig_frame {
	int sig;
	s64 *gregs;	/* of the ucontext, by G_* */
	u64 rip, addr;
	u32 trapno, error;
	bool user;	/* CS was the compatibility-mode one */
};

/* Hooks of the bt engine for faults in translated code; true: resume at the (changed) context. */
struct exec_hooks {
	/* Fault inside the code cache.  Returns an exec_return, or ~0 to resume the frame. */
	u64 (*fault)(struct exec *x, struct sig_frame *f);
	/* A kick while inside the code cache: make it come back soon. */
	void (*kick)(struct exec *x, struct sig_frame *f);
	/* The attention flag was seen set on return from a callout to `host`. */
	void (*kick_at)(struct exec *x, const u8 *host);
	/* A protected guest page (translated code, patched copy) is about to be written. */
	void (*code_written)(struct exec *x, gpa_t gpa, u32 len);
};
extern struct exec_hooks exec_hooks;

int exec_signals_attach(struct exec *x, struct space *s);
/* The same for hw, where only kicks are expected: `handler` on the alternate stack. */
int exec_kicks_attach(struct exec *x, struct space *s, void (*handler)(int, siginfo_t *, void *));
/* In a handler on the alternate stack: whose it is, and in which space. */
struct exec *exec_current(struct space **s);

#define SIG_KICK 34	/* first real-time signal left alone by libc (SIGRTMIN) */

#endif
