/*
 * Far transfers: JMP, CALL and RET far, call gates, IRET in all its forms,
 * SYSENTER and SYSEXIT; and PUSHF and POPF, which share IRET's rules about who
 * may change which flag.
 *
 * Sources: SDM vol. 2 (the pseudocode of each), vol. 3 sections 5.8, 5.12, 7.4,
 * 20.2-20.3; APM vol. 2 sections 4.12, 6.1.
 *
 * Deviation from the pseudocode, as the hardware has it: a return to an outer
 * ring whose stack segment is 16-bit loads SP only; the upper half of ESP keeps
 * the inner ring's value (the leak that Linux's espfix exists for).
 */
#include "cpu/arch.h"
#include "cpu/stack.h"

static bool is_protected(const struct vcpu *v)
{
	return (v->cr0 & CR0_PE) && !(v->sysflags & EFLAGS_VM);
}

static bool is_code(const struct segment *s)
{
	return (s->attr & (SEG_S | SEG_CODE)) == (SEG_S | SEG_CODE);
}

static bool fail(struct vcpu *v, unsigned vector, u16 sel)
{
	return exc_raise_error(v, vector, sel & ~3u);
}

static u32 next_eip(const struct vcpu *v)
{
	return v->eip + v->insn_len;
}

/* ---- far JMP and CALL ---- */

/* Where a far transfer in protected mode leads. */
struct target {
	struct segment seg;	/* code segment, or the system descriptor as it is */
	u32 desc[2];
};

static bool target_fetch(struct vcpu *v, u16 sel, struct target *t)
{
	if ((sel & ~3) == 0)
		return exc_raise_error(v, EXC_GP, 0);
	if (!desc_fetch(v, sel, t->desc, EXC_GP))
		return false;
	desc_to_segment(sel, t->desc, &t->seg);
	return true;
}

/* A code segment named directly. */
static bool check_direct(struct vcpu *v, const struct target *t, u32 off)
{
	const struct segment *s = &t->seg;
	bool ok = s->attr & SEG_DC ? seg_dpl(s) <= v->cpl
				   : (s->sel & 3u) <= v->cpl && seg_dpl(s) == v->cpl;

	if (!ok)
		return fail(v, EXC_GP, s->sel);
	if (!(s->attr & SEG_P))
		return fail(v, EXC_NP, s->sel);
	if (off > s->limit)
		return exc_raise_error(v, EXC_GP, 0);
	return true;
}

/* A gate or TSS may be used by this CPL and RPL, and is present. */
static bool check_gate(struct vcpu *v, const struct segment *gate)
{
	if (seg_dpl(gate) < v->cpl || seg_dpl(gate) < (gate->sel & 3u))
		return fail(v, EXC_GP, gate->sel);
	if (!(gate->attr & SEG_P))
		return fail(v, EXC_NP, gate->sel);
	return true;
}

/* The code segment and offset behind a call gate; `call`: may lead to an inner ring. */
static bool through_gate(struct vcpu *v, const struct target *gate, bool call, struct target *t, u32 *off)
{
	bool ok;

	if (!check_gate(v, &gate->seg) || !target_fetch(v, (u16)(gate->desc[0] >> 16), t))
		return false;
	ok = is_code(&t->seg) && seg_dpl(&t->seg) <= v->cpl &&
	     (call || (t->seg.attr & SEG_DC) || seg_dpl(&t->seg) == v->cpl);
	if (!ok)
		return fail(v, EXC_GP, t->seg.sel);
	if (!(t->seg.attr & SEG_P))
		return fail(v, EXC_NP, t->seg.sel);
	*off = gate->desc[0] & 0xffff;
	if ((gate->seg.attr & SEG_TYPE) == SYS_CALL32)
		*off |= gate->desc[1] & 0xffff0000;
	return true;
}

static void commit_code(struct vcpu *v, const struct segment *cs, unsigned cpl, u32 eip)
{
	v->seg[SEG_CS] = *cs;
	v->seg[SEG_CS].sel = (u16)((cs->sel & ~3u) | cpl);
	v->cpl = cpl;
	v->eip = eip;
	vcpu_update_mode(v);
}

/* Far JMP or CALL to a task gate or TSS. */
static bool to_task(struct vcpu *v, const struct target *t, enum task_cause cause)
{
	u16 sel = t->seg.sel;

	if (!check_gate(v, &t->seg))
		return false;
	if ((t->seg.attr & SEG_TYPE) == SYS_TASK) {
		sel = (u16)(t->desc[0] >> 16);
		if ((sel & ~3) == 0)
			return exc_raise_error(v, EXC_GP, 0);
	}
	return task_switch(v, sel, cause, false, 0);
}

static bool real_jump(struct vcpu *v, u16 sel, u32 off)
{
	if (off > v->seg[SEG_CS].limit)
		return exc_raise_error(v, EXC_GP, 0);
	seg_load_real(v, SEG_CS, sel);
	v->eip = off;
	vcpu_update_mode(v);
	return true;
}

bool xfer_far_jmp(struct vcpu *v, u16 sel, u32 off)
{
	struct target t, code;

	if (!is_protected(v))
		return real_jump(v, sel, off);
	if (!target_fetch(v, sel, &t))
		return false;
	if (is_code(&t.seg)) {
		if (!check_direct(v, &t, off) || !seg_mark_accessed(v, sel, t.desc, &t.seg))
			return false;
		commit_code(v, &t.seg, v->cpl, off);
		return true;
	}
	switch (t.seg.attr & (SEG_S | SEG_TYPE)) {
	case SYS_CALL16: case SYS_CALL32:
		if (!through_gate(v, &t, false, &code, &off))
			return false;
		if (off > code.seg.limit)
			return exc_raise_error(v, EXC_GP, 0);
		if (!seg_mark_accessed(v, code.seg.sel, code.desc, &code.seg))
			return false;
		commit_code(v, &code.seg, v->cpl, off);
		return true;
	case SYS_TASK: case SYS_TSS16: case SYS_TSS32:
		return to_task(v, &t, TASK_JMP);
	default:	/* data, busy TSS, LDT, interrupt gates, reserved types */
		return fail(v, EXC_GP, sel);
	}
}

/* CALL that stays in its ring: push the return address and go. */
static bool call_same(struct vcpu *v, struct target *t, u32 off, unsigned size)
{
	struct frame f;
	u32 esp;

	frame_begin(&f, &v->seg[SEG_SS], v->regs[ESP], size);
	frame_push(&f, v->seg[SEG_CS].sel);
	frame_push(&f, next_eip(v));
	if (off > t->seg.limit)
		return exc_raise_error(v, EXC_GP, 0);
	if (!frame_write(v, &f, acc_data(v), 0, &esp) ||
	    !seg_mark_accessed(v, t->seg.sel, t->desc, &t->seg))
		return false;
	v->regs[ESP] = esp;
	commit_code(v, &t->seg, v->cpl, off);
	return true;
}

/* CALL through a gate to an inner ring: new stack, parameters copied. */
static bool call_inner(struct vcpu *v, struct target *t, u32 off, unsigned size, unsigned params)
{
	unsigned cpl = seg_dpl(&t->seg);
	u32 ss_desc[2], param[31], esp;
	struct segment ss;
	struct frame f;

	if (!stack_of_ring(v, cpl, &ss, ss_desc, &esp))
		return false;
	frame_begin(&f, &ss, esp, size);
	if (params && !stack_read(v, 0, size, params, param))
		return false;
	frame_push(&f, v->seg[SEG_SS].sel);
	frame_push(&f, v->regs[ESP]);
	for (unsigned i = params; i-- > 0; )
		frame_push(&f, param[i]);
	frame_push(&f, v->seg[SEG_CS].sel);
	frame_push(&f, next_eip(v));
	if (off > t->seg.limit)
		return exc_raise_error(v, EXC_GP, 0);
	if (!frame_write(v, &f, 0, ss.sel & ~3u, &esp) ||
	    !seg_mark_accessed(v, t->seg.sel, t->desc, &t->seg) ||
	    !seg_mark_accessed(v, ss.sel, ss_desc, &ss))
		return false;
	v->seg[SEG_SS] = ss;
	v->regs[ESP] = esp;
	commit_code(v, &t->seg, cpl, off);
	return true;
}

static bool real_call(struct vcpu *v, u16 sel, u32 off, unsigned size)
{
	struct frame f;
	u32 esp;

	frame_begin(&f, &v->seg[SEG_SS], v->regs[ESP], size);
	frame_push(&f, v->seg[SEG_CS].sel);
	frame_push(&f, next_eip(v));
	if (off > v->seg[SEG_CS].limit)
		return exc_raise_error(v, EXC_GP, 0);
	if (!frame_write(v, &f, acc_data(v), 0, &esp))
		return false;
	v->regs[ESP] = esp;
	return real_jump(v, sel, off);
}

bool xfer_far_call(struct vcpu *v, u16 sel, u32 off, unsigned opsize)
{
	struct target t, code;
	unsigned size;

	if (!is_protected(v))
		return real_call(v, sel, off, opsize);
	if (!target_fetch(v, sel, &t))
		return false;
	if (is_code(&t.seg))
		return check_direct(v, &t, off) && call_same(v, &t, off, opsize);
	switch (t.seg.attr & (SEG_S | SEG_TYPE)) {
	case SYS_CALL16: case SYS_CALL32:
		if (!through_gate(v, &t, true, &code, &off))
			return false;
		size = (t.seg.attr & SEG_TYPE) == SYS_CALL32 ? 4 : 2;
		if (!(code.seg.attr & SEG_DC) && seg_dpl(&code.seg) < v->cpl)
			return call_inner(v, &code, off, size, t.desc[1] & 31);
		return call_same(v, &code, off, size);
	case SYS_TASK: case SYS_TSS16: case SYS_TSS32:
		return to_task(v, &t, TASK_CALL);
	default:	/* data, busy TSS, LDT, interrupt gates, reserved types */
		return fail(v, EXC_GP, sel);
	}
}

/* ---- returns ---- */

/* The code segment of a far return or IRET; its new CPL is the selector's RPL. */
static bool check_return_code(struct vcpu *v, u16 sel, u32 eip, struct target *t)
{
	unsigned rpl = sel & 3;

	if (!target_fetch(v, sel, t))
		return false;
	if (!is_code(&t->seg) || rpl < v->cpl ||
	    (t->seg.attr & SEG_DC ? seg_dpl(&t->seg) > rpl : seg_dpl(&t->seg) != rpl))
		return fail(v, EXC_GP, sel);
	if (!(t->seg.attr & SEG_P))
		return fail(v, EXC_NP, sel);
	if (eip > t->seg.limit)
		return exc_raise_error(v, EXC_GP, 0);
	return true;
}

static bool check_return_stack(struct vcpu *v, u16 sel, unsigned rpl, struct target *t)
{
	if (!target_fetch(v, sel, t))
		return false;
	if ((sel & 3u) != rpl || seg_dpl(&t->seg) != rpl ||
	    (t->seg.attr & (SEG_S | SEG_CODE | SEG_RW)) != (SEG_S | SEG_RW))
		return fail(v, EXC_GP, sel);
	if (!(t->seg.attr & SEG_P))
		return fail(v, EXC_SS, sel);
	return true;
}

/* After a return to an outer ring: segments that it may not use are nulled. */
static void drop_inner_segments(struct vcpu *v)
{
	static const u8 data_segs[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };

	for (unsigned i = 0; i < ARRAY_SIZE(data_segs); i++) {
		struct segment *s = &v->seg[data_segs[i]];

		if (!(s->attr & SEG_NULL) && seg_dpl(s) < v->cpl &&
		    (s->attr & (SEG_CODE | SEG_DC)) != (SEG_CODE | SEG_DC))
			seg_set_null(s, 0);
	}
}

/* Replace the flags in `mask` by those of the image. */
static void flags_merge(struct vcpu *v, u32 image, u32 mask)
{
	vcpu_set_eflags(v, (vcpu_eflags(v) & ~mask) | (image & mask));
}

/*
 * The protected-mode return that RET and IRET share.  `top` items (EIP, CS, and
 * IRET's EFLAGS) have been read; ESP and SS follow after `skip` more bytes,
 * which RET n also releases on the outer stack.  The flags in `mask` come from
 * item[2]; RET passes none.
 */
static bool return_protected(struct vcpu *v, unsigned size, const u32 *item, unsigned top, u16 skip, u32 mask)
{
	u16 cs_sel = (u16)item[1];
	unsigned rpl = cs_sel & 3;
	struct target cs, ss;
	u32 outer[2];

	if (!check_return_code(v, cs_sel, item[0], &cs))
		return false;
	if (rpl == v->cpl) {
		if (!seg_mark_accessed(v, cs_sel, cs.desc, &cs.seg))
			return false;
		v->regs[ESP] = stack_add(&v->seg[SEG_SS], v->regs[ESP], top * size + skip);
		if (mask)
			flags_merge(v, item[2], mask);
		commit_code(v, &cs.seg, rpl, item[0]);
		return true;
	}
	if (!stack_read(v, top * size + skip, size, 2, outer) ||
	    !check_return_stack(v, (u16)outer[1], rpl, &ss) ||
	    !seg_mark_accessed(v, cs_sel, cs.desc, &cs.seg) ||
	    !seg_mark_accessed(v, ss.seg.sel, ss.desc, &ss.seg))
		return false;
	v->seg[SEG_SS] = ss.seg;
	if (stack_mask(&ss.seg) == 0xffffffffu)
		v->regs[ESP] = outer[0] + skip;
	else
		v->regs[ESP] = (v->regs[ESP] & 0xffff0000) | ((outer[0] + skip) & 0xffff);
	v->cpl = rpl;
	drop_inner_segments(v);
	if (mask)
		flags_merge(v, item[2], mask);
	commit_code(v, &cs.seg, rpl, item[0]);
	return true;
}

bool xfer_far_ret(struct vcpu *v, unsigned opsize, u16 pop_bytes)
{
	u32 item[2];

	if (!stack_read(v, 0, opsize, 2, item))
		return false;
	if (is_protected(v))
		return return_protected(v, opsize, item, 2, pop_bytes, 0);
	if (!real_jump(v, (u16)item[1], item[0]))
		return false;
	v->regs[ESP] = stack_add(&v->seg[SEG_SS], v->regs[ESP], 2 * opsize + pop_bytes);
	return true;
}

/* The flags that IRET (from CPL `cpl`) or POPF may change; RF, VM, VIF, VIP apart. */
static u32 flags_allowed(const struct vcpu *v, unsigned cpl, unsigned size)
{
	u32 mask = EFLAGS_ARITH | EFLAGS_TF | EFLAGS_NT;

	if (size == 4)
		mask |= EFLAGS_AC | EFLAGS_ID;
	if (cpl <= vcpu_iopl(v))
		mask |= EFLAGS_IF;
	if (cpl == 0)
		mask |= EFLAGS_IOPL;
	return mask;
}

static bool iret_to_vm86(struct vcpu *v)
{
	u32 item[9];	/* EIP CS EFLAGS ESP SS ES DS FS GS */

	if (!stack_read(v, 0, 4, 9, item))
		return false;
	if (item[0] > 0xffff)
		return exc_raise_error(v, EXC_GP, 0);
	vcpu_set_eflags(v, item[2]);
	v->cpl = 3;
	v->eip = item[0];
	v->regs[ESP] = item[3];
	seg_load_real(v, SEG_CS, (u16)item[1]);
	seg_load_real(v, SEG_SS, (u16)item[4]);
	seg_load_real(v, SEG_ES, (u16)item[5]);
	seg_load_real(v, SEG_DS, (u16)item[6]);
	seg_load_real(v, SEG_FS, (u16)item[7]);
	seg_load_real(v, SEG_GS, (u16)item[8]);
	vcpu_update_mode(v);
	return true;
}

/* Real mode, and VM86 with IOPL 3. */
static bool iret_real(struct vcpu *v, unsigned size)
{
	bool vm = v->sysflags & EFLAGS_VM;
	u32 item[3], mask;

	if (vm && vcpu_iopl(v) < 3)
		return exc_raise_error(v, EXC_GP, 0);
	if (!stack_read(v, 0, size, 3, item))
		return false;
	mask = flags_allowed(v, vm ? 3 : 0, size) | EFLAGS_RF;
	if (size == 2)
		item[2] &= 0xffff;
	if (!real_jump(v, (u16)item[1], item[0]))
		return false;
	v->regs[ESP] = stack_add(&v->seg[SEG_SS], v->regs[ESP], 3 * size);
	flags_merge(v, item[2], mask);
	vcpu_update_mode(v);
	return true;
}

static bool iret_task(struct vcpu *v)
{
	u16 link;

	if (!mem_read16(v, v->seg[SEG_TR].base, &link, 0))
		return false;
	return task_switch(v, link, TASK_IRET, false, 0);
}

bool xfer_iret(struct vcpu *v, unsigned opsize)
{
	u32 item[3], mask;

	v->nmi_blocked = false;		/* even if the IRET faults (SDM 6.7.1, 27.2.3) */
	if (!is_protected(v))
		return iret_real(v, opsize);
	if (v->sysflags & EFLAGS_NT)
		return iret_task(v);
	if (!stack_read(v, 0, opsize, 3, item))
		return false;
	if (opsize == 4 && (item[2] & EFLAGS_VM) && v->cpl == 0)
		return iret_to_vm86(v);
	mask = flags_allowed(v, v->cpl, opsize) | EFLAGS_RF;
	if (v->cpl == 0 && opsize == 4)
		mask |= EFLAGS_VIF | EFLAGS_VIP;
	return return_protected(v, opsize, item, 3, 0, mask);
}

/* ---- SYSENTER and SYSEXIT: flat segments by decree, no descriptor is read ---- */

static void load_flat_pair(struct vcpu *v, u16 cs_sel, unsigned cpl)
{
	const u16 attr = (u16)(SEG_P | SEG_S | SEG_RW | SEG_A | SEG_DB | SEG_G | cpl << SEG_DPL_SHIFT);

	v->seg[SEG_CS] = (struct segment){
		.sel = (u16)((cs_sel & ~3u) | cpl), .limit = 0xffffffff, .attr = attr | SEG_CODE,
	};
	v->seg[SEG_SS] = (struct segment){
		.sel = (u16)(((cs_sel & ~3u) + 8) | cpl), .limit = 0xffffffff, .attr = attr,
	};
	v->cpl = cpl;
}

bool xfer_sysenter(struct vcpu *v)
{
	if (!(v->cr0 & CR0_PE) || (v->sysenter_cs & 0xfffc) == 0)
		return exc_raise_error(v, EXC_GP, 0);
	v->sysflags &= ~(EFLAGS_VM | EFLAGS_RF);
	v->iff = 0;
	load_flat_pair(v, (u16)v->sysenter_cs, 0);
	v->regs[ESP] = v->sysenter_esp;
	v->eip = v->sysenter_eip;
	vcpu_update_mode(v);
	return true;
}

bool xfer_sysexit(struct vcpu *v)
{
	if (!(v->cr0 & CR0_PE) || v->cpl != 0 || (v->sysenter_cs & 0xfffc) == 0)
		return exc_raise_error(v, EXC_GP, 0);
	load_flat_pair(v, (u16)((v->sysenter_cs & 0xfffc) + 16), 3);
	v->regs[ESP] = v->regs[ECX];
	v->eip = v->regs[EDX];
	vcpu_update_mode(v);
	return true;
}

/* ---- PUSHF and POPF ---- */

static bool flags_trap(struct vcpu *v)
{
	return (v->sysflags & EFLAGS_VM) && vcpu_iopl(v) < 3;
}

void xfer_popf_image(struct vcpu *v, u32 image, unsigned opsize)
{
	unsigned cpl = v->cr0 & CR0_PE ? v->cpl : 0;
	u32 iopl = v->sysflags & EFLAGS_IOPL;

	v->regs[ESP] = stack_add(&v->seg[SEG_SS], v->regs[ESP], opsize);
	flags_merge(v, image & ~EFLAGS_RF, flags_allowed(v, cpl, opsize) | EFLAGS_RF);
	v->eip = next_eip(v);
	if ((v->sysflags & EFLAGS_IOPL) != iopl)
		vcpu_update_mode(v);
}

bool xfer_popf(struct vcpu *v, unsigned opsize)
{
	u32 image;

	if (flags_trap(v))
		return exc_raise_error(v, EXC_GP, 0);
	if (!stack_read(v, 0, opsize, 1, &image))
		return false;
	xfer_popf_image(v, image, opsize);
	return true;
}

bool xfer_pushf(struct vcpu *v, unsigned opsize)
{
	struct frame f;
	u32 esp;

	if (flags_trap(v))
		return exc_raise_error(v, EXC_GP, 0);
	frame_begin(&f, &v->seg[SEG_SS], v->regs[ESP], opsize);
	frame_push(&f, vcpu_eflags(v) & ~(EFLAGS_VM | EFLAGS_RF));
	if (!frame_write(v, &f, acc_data(v), 0, &esp))
		return false;
	v->regs[ESP] = esp;
	v->eip = next_eip(v);
	return true;
}
