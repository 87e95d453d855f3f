/*
 * Interrupts and exceptions, from the vector to the first instruction of the
 * handler: real-mode vectors, interrupt and trap gates (same ring, inner ring,
 * out of VM86), task gates; then the story of faults on the way, which turn
 * into double and triple faults.
 *
 * Every gate is checked in full, then the frame is written (dead memory below
 * the stack pointer if something still fails), then the A bits, then the
 * registers: a delivery that faults leaves the interrupted state as it was.
 *
 * Sources: SDM vol. 3 ch. 6 (6.8.3 RF, 6.11-6.15), 20.1.4 (real mode), 20.3
 * (VM86); vol. 2 INT n pseudocode; APM vol. 2 ch. 8.
 */
#include "base/log.h"
#include "cpu/arch.h"
#include "cpu/stack.h"

/* Exceptions reported at the faulting instruction, whose pushed EFLAGS have RF set (SDM table 6-1, 17.3.1.1). */
#define FAULT_CLASS \
	(BIT(EXC_DE) | BIT(EXC_BR) | BIT(EXC_UD) | BIT(EXC_NM) | BIT(EXC_CSO) | BIT(EXC_TS) | BIT(EXC_NP) | \
	 BIT(EXC_SS) | BIT(EXC_GP) | BIT(EXC_PF) | BIT(EXC_MF) | BIT(EXC_AC) | BIT(EXC_XM))

#define CONTRIBUTORY (BIT(EXC_DE) | BIT(EXC_TS) | BIT(EXC_NP) | BIT(EXC_SS) | BIT(EXC_GP))

/* One event on its way. */
struct event {
	u8 vector;
	enum event_kind kind;
	bool has_error;
	u32 error;
	u32 eip;	/* to push */
};

static u32 pushed_flags(const struct vcpu *v, const struct event *e)
{
	u32 f = vcpu_eflags(v);

	return e->kind == EVENT_EXCEPTION && bit_test(FAULT_CLASS, e->vector) ? f | EFLAGS_RF : f;
}

static void flags_on_entry(struct vcpu *v, u32 also_clear)
{
	v->sysflags &= ~(EFLAGS_TF | EFLAGS_RF | also_clear);
	v->shadow_sti = v->shadow_ss = false;
}

static bool deliver_real(struct vcpu *v, const struct event *e)
{
	struct frame f;
	u32 entry, esp;

	if (e->vector * 4u + 3 > v->idt_limit)
		return exc_raise_error(v, EXC_GP, 0);
	if (!mem_read32(v, v->idt_base + e->vector * 4u, &entry, 0))
		return false;
	frame_begin(&f, &v->seg[SEG_SS], v->regs[ESP], 2);
	frame_push(&f, vcpu_eflags(v));
	frame_push(&f, v->seg[SEG_CS].sel);
	frame_push(&f, e->eip);
	if (!frame_write(v, &f, 0, 0, &esp))
		return false;

	v->regs[ESP] = esp;
	seg_load_real(v, SEG_CS, (u16)(entry >> 16));
	v->eip = entry & 0xffff;
	v->iff = 0;
	flags_on_entry(v, EFLAGS_AC);
	vcpu_update_mode(v);
	return true;
}

/* Through an interrupt or trap gate. */
static bool deliver_gate(struct vcpu *v, const struct event *e, const u32 gate[2])
{
	unsigned type = (gate[1] >> 8) & SEG_TYPE;
	bool gate32 = type == SYS_INT32 || type == SYS_TRAP32;
	bool vm = v->sysflags & EFLAGS_VM;
	u16 sel = (u16)(gate[0] >> 16);
	u32 offset = gate32 ? (gate[0] & 0xffff) | (gate[1] & 0xffff0000) : gate[0] & 0xffff;
	struct segment cs, ss = v->seg[SEG_SS];
	u32 cs_desc[2], ss_desc[2] = { 0, 0 };
	struct frame f;
	unsigned cpl = v->cpl;
	u32 esp;

	if ((sel & ~3) == 0)
		return exc_raise_error(v, EXC_GP, 0);
	if (!desc_fetch(v, sel, cs_desc, EXC_GP))
		return false;
	desc_to_segment(sel, cs_desc, &cs);
	if ((cs.attr & (SEG_S | SEG_CODE)) != (SEG_S | SEG_CODE) || seg_dpl(&cs) > v->cpl)
		return exc_raise_error(v, EXC_GP, sel & ~3u);
	if (!(cs.attr & SEG_P))
		return exc_raise_error(v, EXC_NP, sel & ~3u);
	if (!(cs.attr & SEG_DC))
		cpl = seg_dpl(&cs);
	if (vm && cpl != 0)
		return exc_raise_error(v, EXC_GP, sel & ~3u);

	frame_begin(&f, &ss, v->regs[ESP], gate32 ? 4 : 2);
	if (cpl < v->cpl) {
		if (!stack_of_ring(v, cpl, &ss, ss_desc, &f.esp))
			return false;
		if (vm) {
			frame_push(&f, v->seg[SEG_GS].sel);
			frame_push(&f, v->seg[SEG_FS].sel);
			frame_push(&f, v->seg[SEG_DS].sel);
			frame_push(&f, v->seg[SEG_ES].sel);
		}
		frame_push(&f, v->seg[SEG_SS].sel);
		frame_push(&f, v->regs[ESP]);
	}
	frame_push(&f, pushed_flags(v, e));
	frame_push(&f, v->seg[SEG_CS].sel);
	frame_push(&f, e->eip);
	if (e->has_error)
		frame_push(&f, e->error);
	if (offset > cs.limit)
		return exc_raise_error(v, EXC_GP, 0);
	if (!frame_write(v, &f, cpl == 3 ? ACC_USER : 0, cpl < v->cpl ? ss.sel & ~3u : 0, &esp) ||
	    !seg_mark_accessed(v, sel, cs_desc, &cs) ||
	    (cpl < v->cpl && !seg_mark_accessed(v, ss.sel, ss_desc, &ss)))
		return false;

	if (vm) {
		seg_set_null(&v->seg[SEG_GS], 0);
		seg_set_null(&v->seg[SEG_FS], 0);
		seg_set_null(&v->seg[SEG_DS], 0);
		seg_set_null(&v->seg[SEG_ES], 0);
	}
	v->regs[ESP] = esp;
	v->seg[SEG_SS] = ss;
	v->seg[SEG_CS] = cs;
	v->seg[SEG_CS].sel = (u16)((sel & ~3u) | cpl);
	v->cpl = cpl;
	v->eip = offset;
	if (type == SYS_INT16 || type == SYS_INT32)
		v->iff = 0;
	flags_on_entry(v, EFLAGS_NT | EFLAGS_VM);
	vcpu_update_mode(v);
	return true;
}

static bool deliver_task(struct vcpu *v, const struct event *e, u16 sel)
{
	u16 old = v->seg[SEG_TR].sel;
	u32 eip = v->eip;

	if ((sel & ~3) == 0 || (sel & 4))
		return exc_raise_error(v, EXC_GP, sel & ~3u);
	v->eip = e->eip;
	if (task_switch(v, sel, TASK_GATE, e->has_error, e->error)) {
		v->shadow_sti = v->shadow_ss = false;
		return true;
	}
	/* Refused before the switch (a task cannot switch to itself): still the old task's state. */
	if (v->seg[SEG_TR].sel == old)
		v->eip = eip;
	return false;
}

static bool deliver_protected(struct vcpu *v, const struct event *e)
{
	const u32 where = e->vector * 8u | 2;	/* error code: IDT */
	u32 gate[2];
	unsigned type;
	u64 d;

	if (e->vector * 8u + 7 > v->idt_limit)
		return exc_raise_error(v, EXC_GP, where);
	if (!mem_read64(v, v->idt_base + e->vector * 8u, &d, 0))
		return false;
	gate[0] = (u32)d;
	gate[1] = (u32)(d >> 32);
	type = (gate[1] >> 8) & (SEG_S | SEG_TYPE);
	if (type != SYS_TASK && type != SYS_INT16 && type != SYS_TRAP16 && type != SYS_INT32 && type != SYS_TRAP32)
		return exc_raise_error(v, EXC_GP, where);
	if (e->kind == EVENT_SOFT && ((gate[1] >> 13) & 3) < v->cpl)
		return exc_raise_error(v, EXC_GP, where);
	if (!(gate[1] & SEG_P << 8))
		return exc_raise_error(v, EXC_NP, where);
	if (type == SYS_TASK)
		return deliver_task(v, e, (u16)(gate[0] >> 16));
	return deliver_gate(v, e, gate);
}

/* Try once. */
static bool deliver(struct vcpu *v, const struct event *e)
{
	bool ok;

	v->exc_depth++;
	v->last_vector = e->vector;
	v->exc_ext = e->kind != EVENT_SOFT;
	ok = v->cr0 & CR0_PE ? deliver_protected(v, e) : deliver_real(v, e);
	v->exc_ext = false;
	v->last_vector = -1;
	v->exc_depth--;
	return ok;
}

/* Does `second`, raised while `first` was delivered, make a double fault?  (SDM table 6-5) */
static bool doubles(unsigned first, unsigned second)
{
	if (bit_test(CONTRIBUTORY, first))
		return bit_test(CONTRIBUTORY, second);
	if (first == EXC_PF)
		return second == EXC_PF || bit_test(CONTRIBUTORY, second);
	return false;
}

/* Deliver v->exc, which was raised while `first` was delivered (-1: nothing, or something benign). */
static void deliver_chain(struct vcpu *v, int first)
{
	for (;;) {
		struct exception x = v->exc;
		struct event e;

		if (first == EXC_DF) {
			trace(exception, "triple fault: vector %u error %x at %04x:%08x cr2 %08x",
			      x.vector, x.error, v->seg[SEG_CS].sel, v->eip, x.cr2);
			v->platform->triple_fault(v->platform->opaque, v->index);
			return;
		}
		if (x.vector == EXC_PF)
			v->cr2 = x.cr2;
		if (x.vector == EXC_DB) {
			v->dr6 |= x.dr6;
			v->dr7 &= ~DR7_GD;
		}
		if (first >= 0 && doubles((unsigned)first, x.vector)) {
			trace(exception, "vector %u error %x cr2 %08x while delivering vector %d: double fault",
			      x.vector, x.error, x.cr2, first);
			x = (struct exception){ .vector = EXC_DF, .has_error = true };
		}
		trace(exception, "exception %u error %x at %04x:%08x cpl %u cr2 %08x", x.vector, x.error,
		      v->seg[SEG_CS].sel, v->eip, v->cpl, v->cr2);
		v->count->exceptions++;
		if (x.vector == EXC_PF)
			v->count->faults_true++;
		e = (struct event){
			.vector = x.vector, .kind = EVENT_EXCEPTION, .eip = v->eip, .error = x.error,
			.has_error = x.has_error && (v->cr0 & CR0_PE),
		};
		if (deliver(v, &e)) {
			v->faulted_page |= x.vector == EXC_PF;
			return;
		}
		first = x.vector;
	}
}

void deliver_exception(struct vcpu *v)
{
	v->halted = false;
	deliver_chain(v, -1);
}

void deliver_hardware(struct vcpu *v, u8 vector)
{
	struct event e = { .vector = vector, .kind = EVENT_HARDWARE, .eip = v->eip };

	if (vector == EXC_NMI) {
		v->nmi_pending = false;
		v->nmi_blocked = true;
	}
	v->halted = false;
	trace(irq, "interrupt %02x delivered at %04x:%08x cpl %u", vector, v->seg[SEG_CS].sel, v->eip, v->cpl);
	if (!deliver(v, &e))
		deliver_chain(v, -1);
}

bool deliver_soft(struct vcpu *v, u8 vector)
{
	struct event e = { .vector = vector, .kind = EVENT_SOFT, .eip = v->eip + v->insn_len };

	if ((v->sysflags & EFLAGS_VM) && vcpu_iopl(v) < 3 && v->insn_len != 1)
		return exc_raise_error(v, EXC_GP, 0);
	if (!deliver(v, &e))
		return false;
	v->count->soft_ints++;
	trace(exception, "software interrupt %02x from %08x", vector, e.eip);
	return true;
}
