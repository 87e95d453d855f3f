/*
 * Direct execution: guest user code on the host CPU, in compatibility mode.
 *
 * Owns the substitution of segments.  The host's GDT has flat 32-bit user
 * segments (0x23, 0x2b) but not the guest's selectors.  Thread-local storage
 * is reached through GS (or FS): three LDT entries with the guest's own TLS
 * indices 6-8 stand in, selected with TI=1, so that `gs >> 3` reads as the guest
 * expects; the base is set with WRGSBASE.  The LDT entries' own base is a
 * poison address: if user code reloads the selector, the first access faults and
 * the true base is put back (docs/design.md).
 *
 * System calls: the vDSO's SYSENTER is reached through a patched copy of its
 * page (vdso.c); anything else that enters the host kernel comes back as SIGSYS
 * (Syscall User Dispatch) and is turned into the guest's INT n or SYSENTER.
 */
#include <asm/ldt.h>
#include <linux/mman.h>
#include <linux/prctl.h>
#include <signal.h>
#include "base/check.h"
#include "base/log.h"
#include "base/sys.h"
#include "cpu/access.h"
#include "cpu/arch.h"
#include "cpu/exec.h"
#include "cpu/vdso.h"

/* System flags that user code may change with POPF. */
#define USER_FLAGS (EFLAGS_AC | EFLAGS_ID | EFLAGS_NT)

#define TLS_FIRST 6u
#define TLS_COUNT 3u
#define POISON_BASE 0xfe000000u

/* A flat data segment as seen by user code, or null. */
static bool flat_or_null(const struct segment *s)
{
	if (s->attr & SEG_NULL)
		return true;
	return s->base == 0 && s->limit == 0xffffffffu &&
	       (s->attr & (SEG_S | SEG_P | SEG_CODE | SEG_RW | SEG_DC)) == (SEG_S | SEG_P | SEG_RW);
}

static enum seg_class class_of(const struct vcpu *v, unsigned shift)
{
	return (enum seg_class)((v->mode >> shift) & 3);
}

bool direct_possible(const struct vcpu *v)
{
	const struct segment *cs = &v->seg[SEG_CS], *ss = &v->seg[SEG_SS];

	return v->cpl == 3 && (v->mode & (MODE_PE | MODE_VM | MODE_PG | MODE_CODE32 | MODE_STACK32)) ==
	       (MODE_PE | MODE_PG | MODE_CODE32 | MODE_STACK32) &&
	       cs->base == 0 && cs->limit == 0xffffffffu && !(ss->attr & SEG_NULL) &&
	       flat_or_null(ss) && flat_or_null(&v->seg[SEG_DS]) && flat_or_null(&v->seg[SEG_ES]) &&
	       class_of(v, MODE_FS_SHIFT) <= SEGC_FLAT4G && class_of(v, MODE_GS_SHIFT) <= SEGC_FLAT4G &&
	       !(v->cr0 & CR0_EM) && !(v->dr7 & 0xff);
}

/* The host selector that stands for a usable flat-4G FS or GS with any base. */
static u16 stand_in(u16 sel)
{
	unsigned index = sel >> 3;

	return index >= TLS_FIRST && index < TLS_FIRST + TLS_COUNT ? (u16)(index << 3 | 7) : HOST_DS;
}

#define READ_SEG(name) static u16 read_##name(void) { u16 s; __asm__ volatile("mov %%" #name ", %0" : "=r"(s)); return s; }
READ_SEG(ds)
READ_SEG(es)
READ_SEG(fs)
READ_SEG(gs)
#undef READ_SEG

/*
 * The selector value that user code has put into a segment register, as the
 * guest would name it.
 */
u16 direct_guest_selector(const struct exec *x, u16 host)
{
	unsigned index = host >> 3;

	if (host == HOST_DS)
		return x->flat_ss;
	if (host == HOST_CS32)
		return x->flat_cs;
	if ((host & 4) && index >= TLS_FIRST && index < TLS_FIRST + TLS_COUNT)
		return (u16)(host & ~4);
	return host;
}

static void sync_one(struct exec *x, enum seg s, u16 now, u16 *loaded)
{
	struct exception saved = x->v.exc;

	if (now == *loaded)
		return;
	*loaded = now;
	if (!seg_load(&x->v, s, direct_guest_selector(x, now))) {
		/* The guest's tables do not have what the host's had: unusable for the guest. */
		trace(unimp, "user code loaded selector %04x that the guest lacks", now);
		x->v.exc = saved;
	}
}

static bool segments_changed(const struct exec *x)
{
	return read_gs() != x->user_gs || read_fs() != x->user_fs || read_ds() != x->user_ds || read_es() != x->user_es;
}

/* User code may have loaded segment registers on its own: bring the vCPU in step. */
static void sync_segments(struct exec *x)
{
	sync_one(x, SEG_DS, read_ds(), &x->user_ds);
	sync_one(x, SEG_ES, read_es(), &x->user_es);
	sync_one(x, SEG_FS, read_fs(), &x->user_fs);
	sync_one(x, SEG_GS, read_gs(), &x->user_gs);
}

static void load_segments(struct exec *x)
{
	const struct vcpu *v = &x->v;
	u16 ds = v->seg[SEG_DS].attr & SEG_NULL ? 0 : HOST_DS;
	u16 es = v->seg[SEG_ES].attr & SEG_NULL ? 0 : HOST_DS;
	u16 fs = class_of(v, MODE_FS_SHIFT) == SEGC_UNUSABLE ? 0 : stand_in(v->seg[SEG_FS].sel);
	u16 gs = class_of(v, MODE_GS_SHIFT) == SEGC_UNUSABLE ? 0 : stand_in(v->seg[SEG_GS].sel);

	if (ds != x->user_ds)
		__asm__ volatile("mov %0, %%ds" : : "r"(x->user_ds = ds));
	if (es != x->user_es)
		__asm__ volatile("mov %0, %%es" : : "r"(x->user_es = es));
	if (fs != x->user_fs) {
		__asm__ volatile("mov %0, %%fs" : : "r"(x->user_fs = fs));
		__asm__ volatile("wrfsbase %0" : : "r"(x->host_fsbase));
	}
	if (gs != x->user_gs) {
		__asm__ volatile("mov %0, %%gs" : : "r"(x->user_gs = gs));
		__asm__ volatile("wrgsbase %0" : : "r"(KERNEL_WINDOW));
	}
	x->user_fsbase = fs ? v->seg[SEG_FS].base : 0;
	x->user_gsbase = gs ? v->seg[SEG_GS].base : 0;
}

u64 direct_run(struct exec *x)
{
	struct vcpu *v = &x->v;
	u64 ret, entered;

	if (v->cr0 & CR0_TS) {
		/* Lazy FPU: the CPU cannot trap on CR0.TS for us, so the trap comes before the code. */
		exc_raise(v, EXC_NM);
		return RET_EXCEPTION;
	}
	load_segments(x);
	x->flat_cs = v->seg[SEG_CS].sel;
	x->flat_ss = v->seg[SEG_SS].sel;
	x->user_flags = v->flags | (v->sysflags & (EFLAGS_TF | EFLAGS_AC | EFLAGS_ID)) | EFLAGS_IF | EFLAGS_1;
	trace(switch, "to user code at %08x, esp %08x", v->eip, v->regs[ESP]);
	exec_account(x, &v->count->ns_monitor);
	entered = x->t_enter;
	ret = exec_enter_user(x);
	v->count->user_entries += ret != RET_ABORT;
	if ((ret == RET_SYSENTER || ret == RET_INT80) && x->t_enter == entered) {
		/* No signal was taken, so no handler has kept the accounts. */
		v->count->exit_syscall_fast++;
		v->sysflags = (v->sysflags & ~USER_FLAGS) | (x->landing_flags & USER_FLAGS);
		exec_account(x, &v->count->ns_user);
	}
	sync_segments(x);
	trace(switch, "from user code at %08x: return %u", v->eip, (u32)ret & 0xff);
	return ret;
}

/* ---- what stopped user code ---- */

static u64 soft_int(struct exec *x, u32 length, u32 vector)
{
	x->v.eip -= length;
	x->v.insn_len = (u8)length;
	return RET_SOFT_INT | (u64)vector << 32;
}

static u64 exception(struct exec *x, unsigned vector)
{
	exc_raise(&x->v, vector);
	return RET_EXCEPTION;
}

static u64 slow_sysenter(struct exec *x)
{
	vdso_learn(x);
	x->v.count->exit_syscall_slow++;
	return RET_SYSENTER | 1ull << 32;
}

/*
 * SYSENTER where the CPU executes it (Intel; QEMU's TCG): by the time of the
 * signal the host's kernel has moved the registers to where its own vDSO wants
 * them: EIP behind a SYSENTER of that vDSO, ESP from EBP, EBP from the stack.  What
 * the guest's kernel is to see is the EBP before, which every caller of SYSENTER
 * gives as its stack.
 */
static u64 refused_sysenter(struct exec *x)
{
	x->v.regs[EBP] = x->v.regs[ESP];
	return slow_sysenter(x);
}

static u64 page_fault(struct exec *x, const struct sig_frame *f)
{
	struct vcpu *v = &x->v;
	unsigned acc = ACC_USER | (f->error & PF_W ? ACC_WRITE : 0) | (f->error & PF_I ? ACC_FETCH : 0);
	enum shadow_result r;
	u32 err = 0;
	u64 base;

	/* Segment registers that user code has loaded itself: give them the guest's bases and retry. */
	if (segments_changed(x))
		return RET_DISPATCH;
	__asm__ volatile("rdgsbase %0" : "=r"(base));
	if (base != x->user_gsbase)
		return RET_DISPATCH;
	__asm__ volatile("rdfsbase %0" : "=r"(base));
	if (base != x->user_fsbase)
		return RET_DISPATCH;
	if (f->addr >= WINDOW_SIZE)
		return RET_EMULATE;
	for (int tries = 0; tries < 2; tries++) {
		gpa_t gpa;
		struct walk_result w;

		r = shadow_fault(x->shadow, &v->walk, WIN_USER, (lin_t)f->addr, acc, &err);
		trace(fault, "user %c at eip %08x, address %08x: %d", f->error & PF_W ? 'w' : 'r', v->eip, (u32)f->addr, r);
		switch (r) {
		case SHADOW_FILLED:
			v->count->faults_hidden++;
			return RET_DISPATCH;
		case SHADOW_TRUE_FAULT:
			exc_raise_pf(v, err, (u32)f->addr);
			return RET_EXCEPTION;
		case SHADOW_CODE_WRITE:
			v->count->smc_faults++;
			if (walk(&v->walk, (lin_t)f->addr, ACC_USER | ACC_PEEK, &w))
				return RET_EMULATE;
			gpa = w.gpa & ~(gpa_t)PAGE_MASK;
			exec_hooks.code_written(x, gpa, PAGE_SIZE);
			continue;
		case SHADOW_MMIO:
		case SHADOW_WRONG_WINDOW:
		case SHADOW_EMULATE:
			return RET_EMULATE;
		}
	}
	return RET_EMULATE;
}

u64 direct_signal(struct exec *x, const struct sig_frame *f)
{
	struct vcpu *v = &x->v;
	u8 b[2];

	if (f->sig == SIGSYS) {
		if (f->rip >= WINDOW_SIZE)
			return refused_sysenter(x);
		/* INT 0x80, SYSCALL or SYSENTER: the host kernel has moved past the instruction. */
		if (mem_peek(v, v->eip - 2, b, 2) == 2) {
			if (b[0] == 0xcd)
				return soft_int(x, 2, b[1]);
			if (b[0] == 0x0f && b[1] == 0x05) {
				v->eip -= 2;
				return exception(x, EXC_UD);
			}
		}
		return refused_sysenter(x);
	}
	switch (f->trapno) {
	case EXC_PF:
		return page_fault(x, f);
	case EXC_DE: case EXC_BR: case EXC_MF: case EXC_XM:
		return exception(x, f->trapno);
	case EXC_AC:
		exc_raise_error(v, EXC_AC, 0);
		return RET_EXCEPTION;
	case EXC_UD:
		if (mem_peek(v, v->eip, b, 2) == 2 && b[0] == 0x0f && b[1] == 0x34)
			return slow_sysenter(x);	/* AMD: SYSENTER is invalid in compatibility mode */
		return exception(x, EXC_UD);
	case EXC_BP:
		return soft_int(x, 1, EXC_BP);
	case EXC_OF:
		return soft_int(x, 1, EXC_OF);
	case EXC_DB:
		exc_raise(v, EXC_DB);
		v->exc.dr6 = v->sysflags & EFLAGS_TF ? BIT(14) : 0;
		return RET_EXCEPTION;
	case EXC_GP: case EXC_SS: case EXC_NP: case EXC_NM: case EXC_TS:
	default:
		if (segments_changed(x))
			return RET_DISPATCH;
		/* Privileged, segment-loading or I/O instructions: the translator knows their rules. */
		return RET_SINGLE;
	}
}

/* ---- set-up ---- */

int direct_attach(struct exec *x)
{
	extern const u8 __executable_start[], etext[];
	long r;

	for (unsigned i = 0; i < TLS_COUNT; i++) {
		struct user_desc d = {
			.entry_number = TLS_FIRST + i, .base_addr = POISON_BASE, .limit = 0xfffff,
			.seg_32bit = 1, .limit_in_pages = 1, .useable = 1,
		};
		r = sys3(SYS_modify_ldt, 0x11, (long)&d, sizeof(d));
		if ((s32)r < 0)
			return (s32)r;
	}
	/* No selector byte: every system call from outside our own text is dispatched as SIGSYS. */
	r = sys6(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, (long)__executable_start,
		 (long)(etext - __executable_start), 0, 0);
	if (r < 0)
		return (int)r;
	__asm__ volatile("rdfsbase %0" : "=r"(x->host_fsbase));
	__asm__ volatile("wrgsbase %0" : : "r"(KERNEL_WINDOW));
	return 0;
}

void direct_arrive(struct exec *x)
{
	x->user_ds = read_ds();
	x->user_es = read_es();
	x->user_fs = read_fs();
	x->user_gs = read_gs();
}
