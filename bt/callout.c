/*
 * Callouts: the C side of what is not translated inline.
 *
 * Each gets the vCPU in full (registers, arithmetic flags, v.eip = address of the
 * instruction, v.insn_len) and returns 0 to go on with the block, or an
 * exec_return to leave it.  After RET_DISPATCH the dispatcher goes on at v.eip;
 * after RET_EXCEPTION it delivers v.exc, raised by the instruction at v.eip.
 * An instruction that may have changed what its block's translation assumed
 * (mode, mappings) leaves.
 */
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "bt/xlate.h"
#include "cpu/access.h"
#include "cpu/arch.h"

static u64 fail(void) { return RET_EXCEPTION; }

/* Leave the block, the instruction being complete. */
static u64 leave_after(struct vcpu *v)
{
	v->eip += v->insn_len;
	return bt_go_on(v->engine);
}

static bool privileged(struct vcpu *v)
{
	if ((v->cr0 & CR0_PE) && v->cpl)
		return exc_raise_error(v, EXC_GP, 0);
	return true;
}

static u64 raise_ud(struct vcpu *v)
{
	exc_raise(v, EXC_UD);
	return RET_EXCEPTION;
}

/* ---- memory by hand ---- */

static enum seg cm_seg(u32 arg) { return (enum seg)(arg >> 14 & 7); }

static void count_access(struct exec *x, u32 arg)
{
	if (arg & CM_EMULATE)
		x->v.count->callout_emulate++;
	else
		x->v.count->callout_mmio++;
	site_by_hand(x);
}

u64 co_mem_prepare(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	u32 size = CM_SIZE(arg), off = x->ea;
	unsigned acc = acc_data(v);
	lin_t lin;

	CHECK(size <= BOUNCE_SIZE);
	if (arg & CM_BITS) {
		/* The bit offset is signed and may lie beyond the operand (SDM vol. 2, BT). */
		u32 reg = v->regs[arg >> 20 & 7];
		s32 bit = arg & CM_OP16 ? (s16)reg : (s32)reg;

		off += (u32)(arg & CM_OP16 ? (bit >> 4) * 2 : (bit >> 5) * 4);
		x->tmp = (u32)bit & (arg & CM_OP16 ? 15 : 31);
	}
	count_access(x, arg);
	if (!seg_linear(v, cm_seg(arg), off, size ? size : 1, arg & CM_WRITE, &lin))
		return fail();
	if ((arg & CM_ALIGN16) && (lin & 15)) {
		exc_raise_error(v, EXC_GP, 0);
		return fail();
	}
	x->ea = lin;		/* for the commit */
	if ((arg & CM_WRITE) && !mem_probe(v, lin, size, acc | ACC_WRITE))
		return fail();
	if ((arg & CM_READ) && !mem_read(v, lin, x->bounce, size, acc))
		return fail();
	return 0;
}

u64 co_mem_commit(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	u64 before = v->count->invalidated;

	if (!mem_write(v, x->ea, x->bounce, CM_SIZE(arg), acc_data(v)))
		return fail();
	/* The write may have hit code, even the instructions that follow. */
	return v->count->invalidated == before ? 0 : leave_after(v);
}

u64 co_load(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	lin_t lin;

	count_access(x, arg);
	x->tmp = 0;
	if (!seg_linear(v, cm_seg(arg), x->ea, CM_SIZE(arg), false, &lin) ||
	    !mem_read(v, lin, &x->tmp, CM_SIZE(arg), acc_data(v)))
		return fail();
	return 0;
}

u64 co_store(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	lin_t lin;

	count_access(x, arg);
	if (!seg_linear(v, cm_seg(arg), x->ea, CM_SIZE(arg), true, &lin) ||
	    !mem_write(v, lin, &x->tmp, CM_SIZE(arg), acc_data(v)))
		return fail();
	return 0;
}

/* ---- general stacks ---- */

static u32 stack_mask(const struct vcpu *v) { return v->mode & MODE_STACK32 ? ~0u : 0xffffu; }

static void set_esp(struct vcpu *v, u32 esp)
{
	u32 m = stack_mask(v);

	v->regs[ESP] = (v->regs[ESP] & ~m) | (esp & m);
}

static bool stack_write(struct vcpu *v, u32 esp, u32 value, unsigned size)
{
	lin_t lin;

	return seg_linear(v, SEG_SS, esp & stack_mask(v), size, true, &lin) &&
	       mem_write(v, lin, &value, size, acc_data(v));
}

static bool stack_read(struct vcpu *v, u32 esp, u32 *value, unsigned size)
{
	lin_t lin;

	*value = 0;
	return seg_linear(v, SEG_SS, esp & stack_mask(v), size, false, &lin) &&
	       mem_read(v, lin, value, size, acc_data(v));
}

static void set_reg(struct vcpu *v, unsigned r, u32 value, unsigned size)
{
	v->regs[r & 7] = size == 2 ? (v->regs[r & 7] & ~0xffffu) | (value & 0xffff) : value;
}

u64 co_push(struct exec *x, u32 size)
{
	struct vcpu *v = &x->v;

	if (!stack_write(v, v->regs[ESP] - size, x->tmp, size))
		return fail();
	set_esp(v, v->regs[ESP] - size);
	return 0;
}

u64 co_pop(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	unsigned size = arg & 0xff;
	u32 value;

	if (!stack_read(v, v->regs[ESP], &value, size))
		return fail();
	set_esp(v, v->regs[ESP] + size);
	set_reg(v, arg >> 8, value, size);
	return 0;
}

u64 co_pop_mem(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	unsigned size = CM_SIZE(arg);
	lin_t lin;
	u32 value;

	if (!stack_read(v, v->regs[ESP], &value, size) ||
	    !seg_linear(v, cm_seg(arg), x->ea, size, true, &lin) ||
	    !mem_write(v, lin, &value, size, acc_data(v)))
		return fail();
	set_esp(v, v->regs[ESP] + size);
	return 0;
}

u64 co_pusha(struct exec *x, u32 size)
{
	struct vcpu *v = &x->v;
	u32 esp = v->regs[ESP];

	for (unsigned r = 0; r < 8; r++)
		if (!stack_write(v, esp - size * (r + 1), v->regs[r], size))
			return fail();
	set_esp(v, esp - 8 * size);
	return 0;
}

u64 co_popa(struct exec *x, u32 size)
{
	struct vcpu *v = &x->v;
	u32 esp = v->regs[ESP], value[8];

	for (unsigned i = 0; i < 8; i++)
		if (!stack_read(v, esp + size * i, &value[7 - i], size))
			return fail();
	for (unsigned r = 0; r < 8; r++)
		if (r != ESP)
			set_reg(v, r, value[r], size);
	set_esp(v, esp + 8 * size);
	return 0;
}

u64 co_leave(struct exec *x, u32 size)
{
	struct vcpu *v = &x->v;
	u32 value;

	if (!stack_read(v, v->regs[EBP], &value, size))
		return fail();
	set_esp(v, v->regs[EBP] + size);
	set_reg(v, EBP, value, size);
	return 0;
}

/* SDM vol. 2, ENTER. */
u64 co_enter(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	u32 bytes = arg & 0xffff, level = arg >> 16 & 31, size = arg >> 24;
	u32 esp = v->regs[ESP] - size, frame = esp, ebp = v->regs[EBP], value;

	if (!stack_write(v, esp, ebp, size))
		return fail();
	for (u32 i = 1; i < level; i++) {
		ebp -= size;
		esp -= size;
		if (!stack_read(v, ebp, &value, size) || !stack_write(v, esp, value, size))
			return fail();
	}
	if (level) {
		esp -= size;
		if (!stack_write(v, esp, frame, size))
			return fail();
	}
	set_reg(v, EBP, v->mode & MODE_STACK32 ? frame : (v->regs[ESP] & 0xffff0000u) | (frame & 0xffff), size);
	set_esp(v, esp - bytes);
	return 0;
}

u64 co_ret_near(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	unsigned size = arg & 0xff;
	u32 value;

	if (!stack_read(v, v->regs[ESP], &value, size))
		return fail();
	if (value > v->seg[SEG_CS].limit) {
		exc_raise_error(v, EXC_GP, 0);
		return fail();
	}
	set_esp(v, v->regs[ESP] + size + (arg >> 8));
	v->eip = value;
	return bt_go_on(x);
}

/* ---- segments and descriptor tables ---- */

/*
 * Go on in the block only if its translation still fits the mode; else in the
 * block for the next instruction and the new mode, if the indirect-branch table
 * knows it.  (Linux changes FS's class twice in each system call.)
 */
static u64 after_mode_change(struct exec *x, u32 before)
{
	struct vcpu *v = &x->v;
	const u8 *host;

	if (v->mode == before)
		return 0;
	v->eip += v->insn_len;
	host = bt_here(x);
	if (!host)
		return RET_DISPATCH;
	x->jump_host = (u64)host;
	return RET_JUMP;
}

/*
 * Load a segment register.  At CPL 3 the value may be one of the host's own
 * selectors, which user code has read while it ran directly.
 */
static bool load_selector(struct exec *x, enum seg s, u16 sel)
{
	struct vcpu *v = &x->v;
	u16 meant;

	if (seg_load(v, s, sel))
		return true;
	meant = direct_guest_selector(x, sel);
	return v->cpl == 3 && !(v->sysflags & EFLAGS_VM) && meant != sel && seg_load(v, s, meant);
}

/* arg: segment | pop size << 8 (0: value in tmp) | SEG_LOAD_* */
u64 co_seg_load(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	enum seg s = (enum seg)(arg & 7);
	u32 size = arg >> 8 & 7, value = x->tmp, before = v->mode;
	u64 ret;

	v->count->callout_segment++;
	if (s == SEG_CS)
		return raise_ud(v);
	if (size && !stack_read(v, v->regs[ESP], &value, size))
		return fail();
	if (s == SEG_SS && size) {
		/* POP SS: the increment uses the old stack's width. */
		u32 m = stack_mask(v);
		if (!load_selector(x, s, (u16)value))
			return fail();
		v->regs[ESP] = (v->regs[ESP] & ~m) | ((v->regs[ESP] + size) & m);
	} else {
		if (!load_selector(x, s, (u16)value))
			return fail();
		if (size)
			set_esp(v, v->regs[ESP] + size);
	}
	if (arg & SEG_LOAD_LEARN)
		seg_learn(x, x->seg_gpa, before, s);
	ret = after_mode_change(x, arg & SEG_LOAD_LEARN ? x->seg_mode : before);
	if (s == SEG_SS && (ret || arg & SEG_LOAD_ALONE)) {
		v->shadow_ss = true;
		return ret ? RET_DISPATCH : 0;
	}
	return arg & SEG_LOAD_ALONE && ret ? RET_DISPATCH : ret;
}

/* arg: segment | register << 4 | opsize << 8 | operand segment << 12 */
u64 co_load_far(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	unsigned size = arg >> 8 & 15;
	u32 before = v->mode, off = 0;
	u8 raw[6];
	lin_t lin;
	u64 ret;

	v->count->callout_segment++;
	if (!seg_linear(v, (enum seg)(arg >> 12 & 7), x->ea, size + 2, false, &lin) ||
	    !mem_read(v, lin, raw, size + 2, acc_data(v)))
		return fail();
	__builtin_memcpy(&off, raw, size);
	if (!load_selector(x, (enum seg)(arg & 15), load16(raw + size)))
		return fail();
	set_reg(v, arg >> 4, off, size);
	ret = after_mode_change(x, before);
	if ((arg & 15) == SEG_SS && ret)
		v->shadow_ss = true;
	return ret ? RET_DISPATCH : 0;
}

/* LGDT, LIDT (CM_WRITE).  arg: operand segment, operand size. */
u64 co_lgdt(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	u8 raw[6];
	lin_t lin;
	u32 base;

	v->count->callout_segment++;
	if (!privileged(v) || !seg_linear(v, cm_seg(arg), x->ea, 6, false, &lin) || !mem_read(v, lin, raw, 6, acc_data(v)))
		return fail();
	base = load32(raw + 2) & ((arg & 15) == 2 ? 0xffffffu : ~0u);
	if (arg & CM_WRITE) {
		v->idt_limit = load16(raw);
		v->idt_base = base;
	} else {
		v->gdt_limit = load16(raw);
		v->gdt_base = base;
	}
	trace(cr, "%s base %08x limit %04x", arg & CM_WRITE ? "lidt" : "lgdt", base, load16(raw));
	return 0;
}

u64 co_sgdt(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	u8 raw[6];
	lin_t lin;

	v->count->callout_segment++;
	store16(raw, arg & CM_WRITE ? v->idt_limit : v->gdt_limit);
	store32(raw + 2, arg & CM_WRITE ? v->idt_base : v->gdt_base);
	if (!seg_linear(v, cm_seg(arg), x->ea, 6, true, &lin) || !mem_write(v, lin, raw, 6, acc_data(v)))
		return fail();
	return 0;
}

/* LLDT (0), LTR (1): selector in tmp. */
u64 co_system_segment(struct exec *x, u32 which)
{
	struct vcpu *v = &x->v;

	v->count->callout_segment++;
	if (!(v->cr0 & CR0_PE) || (v->sysflags & EFLAGS_VM))
		return raise_ud(v);
	if (!privileged(v) || !(which ? seg_ltr(v, (u16)x->tmp) : seg_lldt(v, (u16)x->tmp)))
		return fail();
	return 0;
}

/* SLDT (0), STR (1), SMSW (2) -> tmp. */
u64 co_store_selector(struct exec *x, u32 which)
{
	struct vcpu *v = &x->v;

	v->count->callout_segment++;
	if (which != 2 && (!(v->cr0 & CR0_PE) || (v->sysflags & EFLAGS_VM)))
		return raise_ud(v);
	x->tmp = which == 0 ? v->seg[SEG_LDTR].sel : which == 1 ? v->seg[SEG_TR].sel : v->cr0;
	return 0;
}

/* arg: destination register | opsize << 8 | LSL << 16; selector in tmp. */
u64 co_lar_lsl(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	bool ok;
	u32 value;

	v->count->callout_segment++;
	if (!(v->cr0 & CR0_PE) || (v->sysflags & EFLAGS_VM))
		return raise_ud(v);
	if (!(arg & BIT(16) ? seg_lsl(v, (u16)x->tmp, &ok, &value) : seg_lar(v, (u16)x->tmp, &ok, &value)))
		return fail();
	v->flags = (v->flags & ~EFLAGS_ZF) | (ok ? EFLAGS_ZF : 0);
	if (ok)
		set_reg(v, arg & 7, value, arg >> 8 & 15);
	return 0;
}

u64 co_verify(struct exec *x, u32 write)
{
	struct vcpu *v = &x->v;
	bool ok;

	v->count->callout_segment++;
	if (!(v->cr0 & CR0_PE) || (v->sysflags & EFLAGS_VM))
		return raise_ud(v);
	if (!seg_verify(v, (u16)x->tmp, write, &ok))
		return fail();
	v->flags = (v->flags & ~EFLAGS_ZF) | (ok ? EFLAGS_ZF : 0);
	return 0;
}

/* Destination in tmp, source register number in arg. */
u64 co_arpl(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	u32 rpl = v->regs[arg & 7] & 3;

	if (!(v->cr0 & CR0_PE) || (v->sysflags & EFLAGS_VM))
		return raise_ud(v);
	v->flags &= ~EFLAGS_ZF;
	if ((x->tmp & 3) < rpl) {
		x->tmp = (x->tmp & ~3u) | rpl;
		v->flags |= EFLAGS_ZF;
	}
	return 0;
}

/* ---- exceptions, interrupts, far transfers ---- */

u64 co_raise(struct exec *x, u32 vector)
{
	if (vector == EXC_GP)
		exc_raise_error(&x->v, vector, 0);
	else
		exc_raise(&x->v, vector);
	return RET_EXCEPTION;
}

/* kind 0: x87, 1: MMX/SSE/AVX, 2: WAIT */
u64 co_nofpu(struct exec *x, u32 kind)
{
	struct vcpu *v = &x->v;

	if (kind == 2) {
		if ((v->cr0 & (CR0_MP | CR0_TS)) != (CR0_MP | CR0_TS))
			return 0;
	} else if (kind == 1 && (v->cr0 & CR0_EM)) {
		return raise_ud(v);
	}
	exc_raise(v, EXC_NM);
	return RET_EXCEPTION;
}

u64 co_soft_int(struct exec *x, u32 vector)
{
	x->v.count->callout_int++;
	return deliver_soft(&x->v, (u8)vector) ? bt_go_on(x) : fail();
}

u64 co_into(struct exec *x, u32 arg)
{
	if (!(x->v.flags & EFLAGS_OF))
		return 0;
	return co_soft_int(x, EXC_OF);
}

u64 co_bound(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	unsigned size = arg >> 8 & 15;
	u8 raw[8];
	lin_t lin;
	s32 index, lo, hi;

	v->count->callout_other++;
	if (!seg_linear(v, (enum seg)(arg >> 12 & 7), x->ea, 2 * size, false, &lin) || !mem_read(v, lin, raw, 2 * size, acc_data(v)))
		return fail();
	index = (s32)v->regs[arg >> 4 & 7];
	if (size == 2) {
		index = (s16)index;
		lo = (s16)load16(raw);
		hi = (s16)load16(raw + 2);
	} else {
		lo = (s32)load32(raw);
		hi = (s32)load32(raw + 4);
	}
	if (index >= lo && index <= hi)
		return 0;
	exc_raise(v, EXC_BR);
	return fail();
}

static u64 transferred(struct exec *x, bool ok)
{
	x->v.count->callout_iret++;
	return ok ? bt_go_on(x) : fail();
}

u64 co_iret(struct exec *x, u32 size)
{
	bool done = xfer_iret(&x->v, size);

	if (done && x->v.cpl == 0)
		bt_prefill(x);
	return transferred(x, done);
}

u64 co_sysenter(struct exec *x, u32 arg) { return transferred(x, xfer_sysenter(&x->v)); }
u64 co_sysexit(struct exec *x, u32 arg) { return transferred(x, xfer_sysexit(&x->v)); }

/* arg: selector | opsize << 16; offset in tmp */
u64 co_far_jmp(struct exec *x, u32 arg) { return transferred(x, xfer_far_jmp(&x->v, (u16)arg, x->tmp)); }
u64 co_far_call(struct exec *x, u32 arg) { return transferred(x, xfer_far_call(&x->v, (u16)arg, x->tmp, arg >> 16)); }
u64 co_far_ret(struct exec *x, u32 arg) { return transferred(x, xfer_far_ret(&x->v, arg & 0xff, (u16)(arg >> 8))); }

/* JMP/CALL m16:16/32; CM_WRITE: a call. */
u64 co_far_mem(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	unsigned size = CM_SIZE(arg);
	u32 off = 0;
	u8 raw[6];
	lin_t lin;

	if (!seg_linear(v, cm_seg(arg), x->ea, size + 2, false, &lin) || !mem_read(v, lin, raw, size + 2, acc_data(v)))
		return fail();
	__builtin_memcpy(&off, raw, size);
	return transferred(x, arg & CM_WRITE ? xfer_far_call(v, load16(raw + size), off, size)
					     : xfer_far_jmp(v, load16(raw + size), off));
}

/* ---- flags ---- */

/* tmp: IF before the instruction; only a change from 0 to 1 casts a shadow. */
u64 co_sti_pending(struct exec *x, u32 arg)
{
	x->v.count->callout_other++;
	x->v.shadow_sti = !x->tmp;
	return leave_after(&x->v);
}

/* CLI (0) and STI (1) where CPL > IOPL: no VME, no PVI. */
u64 co_cli_sti(struct exec *x, u32 sti)
{
	exc_raise_error(&x->v, EXC_GP, 0);
	return fail();
}

/* Flags and EIP are new: does the block go on by itself? */
static u64 after_popf(struct exec *x, u32 before, u32 eip)
{
	struct vcpu *v = &x->v;

	if (v->mode != before || (v->sysflags & EFLAGS_TF) || (v->iff && v->intr_pending))
		return bt_go_on(x);
	v->eip = eip;
	return 0;
}

u64 co_popf(struct exec *x, u32 size)
{
	struct vcpu *v = &x->v;
	u32 before = v->mode, eip = v->eip;

	v->count->callout_other++;
	return xfer_popf(v, size) ? after_popf(x, before, eip) : fail();
}

/* The same at CPL 0, the image read from the stack already: in tmp.  The arithmetic flags are anything. */
u64 co_popf_image(struct exec *x, u32 size)
{
	struct vcpu *v = &x->v;
	u32 before = v->mode, eip = v->eip;

	v->count->callout_other++;
	xfer_popf_image(v, x->tmp, size);
	return after_popf(x, before, eip);
}

u64 co_pushf(struct exec *x, u32 size)
{
	x->v.count->callout_other++;
	return xfer_pushf(&x->v, size) ? 0 : fail();
}

/* ---- control ---- */

u64 co_hlt(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;

	if (!privileged(v))
		return fail();
	v->count->callout_hlt++;
	v->halted = true;
	return leave_after(v);
}

/* in/out argument: size | immediate << 4 | port << 8 */
static u16 port_of(const struct vcpu *v, u32 arg) { return arg & BIT(4) ? (u16)(arg >> 8 & 0xff) : (u16)v->regs[EDX]; }

u64 co_in(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	const struct platform *p = v->platform;
	u16 port = port_of(v, arg);
	unsigned size = arg & 7;
	u32 value;

	if (!task_io_allowed(v, port, size))
		return fail();
	v->count->callout_pio++;
	if (port == 0x5658 && size == 4 && backdoor_in(v))
		return 0;
	value = p->pio_read(p->opaque, port, size);
	trace(pio, "in %04x size %u -> %x", port, size, value);
	if (size == 1)
		v->regs[EAX] = (v->regs[EAX] & ~0xffu) | (value & 0xff);
	else
		set_reg(v, EAX, value, size);
	return 0;
}

u64 co_out(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	const struct platform *p = v->platform;
	u16 port = port_of(v, arg);
	unsigned size = arg & 7;

	if (!task_io_allowed(v, port, size))
		return fail();
	v->count->callout_pio++;
	trace(pio, "out %04x size %u <- %x", port, size, v->regs[EAX]);
	p->pio_write(p->opaque, port, size, v->regs[EAX] & (u32)size_mask(size));
	return p->leave(p->opaque) ? leave_after(v) : 0;
}

u64 co_cpuid(struct exec *x, u32 arg)
{
	x->v.count->callout_cpuid++;
	cpuid_execute(&x->v);
	return 0;
}

u64 co_rdmsr(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	u64 value;

	v->count->callout_msr++;
	if (!privileged(v) || !msr_read(v, v->regs[ECX], &value))
		return fail();
	v->regs[EAX] = (u32)value;
	v->regs[EDX] = (u32)(value >> 32);
	return 0;
}

u64 co_wrmsr(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;

	v->count->callout_msr++;
	if (!privileged(v) || !msr_write(v, v->regs[ECX], (u64)v->regs[EDX] << 32 | v->regs[EAX]))
		return fail();
	return leave_after(v);
}

u64 co_rdpmc(struct exec *x, u32 arg)
{
	exc_raise_error(&x->v, EXC_GP, 0);
	return fail();
}

u64 co_rdtsc(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	u64 t = rdtsc();

	v->count->callout_other++;
	if ((v->cr4 & CR4_TSD) && (v->cr0 & CR0_PE) && v->cpl) {
		exc_raise_error(v, EXC_GP, 0);
		return fail();
	}
	v->regs[EAX] = (u32)t;
	v->regs[EDX] = (u32)(t >> 32);
	return 0;
}

/* arg: control register | general register << 8 */
u64 co_cr_read(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	u32 value;

	v->count->callout_cr++;
	if (!privileged(v) || !cr_read(v, arg & 15, &value))
		return fail();
	v->regs[arg >> 8 & 7] = value;
	return 0;
}

u64 co_cr_write(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;

	v->count->callout_cr++;
	if (!privileged(v) || !cr_write(v, arg & 15, v->regs[arg >> 8 & 7]))
		return fail();
	trace(cr, "cr%u <- %08x at %08x", arg & 15, v->regs[arg >> 8 & 7], v->eip);
	return leave_after(v);
}

u64 co_dr_read(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	u32 value;

	v->count->callout_cr++;
	if (!privileged(v) || !dr_read(v, arg & 15, &value))
		return fail();
	v->regs[arg >> 8 & 7] = value;
	return 0;
}

u64 co_dr_write(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;

	v->count->callout_cr++;
	if (!privileged(v) || !dr_write(v, arg & 15, v->regs[arg >> 8 & 7]))
		return fail();
	return leave_after(v);
}

u64 co_clts(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;

	v->count->callout_cr++;
	if (!privileged(v))
		return fail();
	if (!(v->cr0 & CR0_TS))
		return 0;
	cr_clts(v);
	return leave_after(v);
}

u64 co_lmsw(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;

	v->count->callout_cr++;
	if (!privileged(v) || !cr_lmsw(v, (u16)x->tmp))
		return fail();
	return leave_after(v);
}

u64 co_invlpg(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;

	if (!privileged(v))
		return fail();
	v->count->invlpgs++;
	mem_tlb_flush(v);
	v->platform->paging_changed(v, PAGING_INVLPG, v->seg[cm_seg(arg)].base + x->ea);
	return leave_after(v);
}

u64 co_wbinvd(struct exec *x, u32 arg) { return privileged(&x->v) ? 0 : fail(); }

u64 co_xgetbv(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;

	v->count->callout_other++;
	if (!(v->cr4 & CR4_OSXSAVE))
		return raise_ud(v);
	if (v->regs[ECX] != 0) {
		exc_raise_error(v, EXC_GP, 0);
		return fail();
	}
	v->regs[EAX] = (u32)v->xcr0;
	v->regs[EDX] = (u32)(v->xcr0 >> 32);
	return 0;
}

u64 co_xsetbv(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;

	v->count->callout_other++;
	if (!(v->cr4 & CR4_OSXSAVE))
		return raise_ud(v);
	if (!privileged(v) || !xcr_write(v, v->regs[ECX], (u64)v->regs[EDX] << 32 | v->regs[EAX]))
		return fail();
	return 0;
}

u64 co_xmask(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;

	v->count->callout_other++;
	if (!(v->cr4 & CR4_OSXSAVE))
		return raise_ud(v);
	x->xmask_lo = v->regs[EAX] & (u32)v->xcr0;
	x->xmask_hi = v->regs[EDX] & (u32)(v->xcr0 >> 32);
	return 0;
}

/* ---- decimal arithmetic ---- */

/*
 * These do not exist in 64-bit mode; the CPU itself executes them in
 * compatibility mode, in the stub page, so that even the flags the manual
 * leaves undefined are its own.
 */
static u64 bcd_native(struct exec *x, u32 opcode)
{
	struct vcpu *v = &x->v;
	u64 rax = v->regs[EAX], flags = v->flags | EFLAGS_1;

	direct_bcd(opcode, &rax, &flags);
	v->regs[EAX] = (u32)rax;
	v->flags = (u32)flags & EFLAGS_ARITH;
	return 0;
}

static u32 flags_of_result(u8 al)
{
	u64 f;

	__asm__("testb %1, %1\n pushfq\n pop %0" : "=r"(f) : "q"(al) : "cc");
	return (u32)f & (EFLAGS_SF | EFLAGS_ZF | EFLAGS_PF);
}

u64 co_bcd(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	u8 al = (u8)v->regs[EAX], ah = (u8)(v->regs[EAX] >> 8), imm = (u8)(arg >> 8);
	u32 f = v->flags & EFLAGS_DF;

	v->count->callout_other++;
	if (imm == 10 || (arg & 0xff) < 0x40)
		return bcd_native(x, arg & 0xff);
	switch (arg & 0xff) {
	case 0xd4:		/* AAM */
		if (!imm) {
			exc_raise(v, EXC_DE);
			return fail();
		}
		ah = (u8)(al / imm);
		al = (u8)(al % imm);
		f |= flags_of_result(al);
		break;
	case 0xd5:		/* AAD */
		al = (u8)(al + ah * imm);
		ah = 0;
		f |= flags_of_result(al);
		break;
	default:
		CHECK(!"co_bcd: unknown opcode");
	}
	v->regs[EAX] = (v->regs[EAX] & ~0xffffu) | (u32)ah << 8 | al;
	v->flags = f;
	return 0;
}

u64 co_salc(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;

	v->regs[EAX] = (v->regs[EAX] & ~0xffu) | (v->flags & EFLAGS_CF ? 0xff : 0);
	return 0;
}
