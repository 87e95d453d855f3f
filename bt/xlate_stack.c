/*
 * Stack instructions.  Inline on a flat 32-bit stack: the store comes before
 * ESP changes, so that a fault finds the guest's registers untouched.  Other
 * stacks (16-bit, segmented) go through callouts.
 */
#include "bt/xlate.h"

static void adjust_esp(struct xlat *t, s32 by)
{
	e_lea(&t->e, false, H_SP, H_SP, H_NONE, 0, by);
}

void emit_push_reg(struct xlat *t, unsigned src, unsigned size)
{
	struct ea top = stack_ea(-(s32)size);

	if (!flat_stack(t)) {
		e_store_x(&t->e, XF(tmp), src);
		emit_callout(t, co_push, size);
		return;
	}
	emit_store(t, src, size, &top, 1);
	adjust_esp(t, -(s32)size);
}

void emit_push_imm(struct xlat *t, u32 imm, unsigned size)
{
	struct ea top = stack_ea(-(s32)size);

	if (!flat_stack(t)) {
		e_store_imm_x(&t->e, XF(tmp), imm);
		emit_callout(t, co_push, size);
		return;
	}
	emit_store_imm(t, imm, size, &top, 1);
	adjust_esp(t, -(s32)size);
}

static bool is_segment(ZydisRegister r) { return r >= ZYDIS_REGISTER_ES && r <= ZYDIS_REGISTER_GS; }

void xlate_push(struct xlat *t)
{
	const ZydisDecodedOperand *o = &t->i.op[0];
	bool high;

	if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		emit_push_imm(t, (u32)o->imm.value.s, t->i.opsize);
	} else if (o->type == ZYDIS_OPERAND_TYPE_MEMORY) {
		emit_load(t, H_R8, t->i.opsize, &t->i.ea, 0);
		emit_push_reg(t, H_R8, t->i.opsize);
	} else if (is_segment(o->reg.value)) {
		unsigned s = (unsigned)(o->reg.value - ZYDIS_REGISTER_ES);
		/* The upper half of a 32-bit push of a selector is zero. */
		e_rex(&t->e, false, H_R8, 0, H_R15);
		e8(&t->e, 0x0f); e8(&t->e, 0xb7);
		e_mem(&t->e, H_R8, H_R15, H_NONE, 0, (s32)(VF(seg) + s * sizeof(struct segment) + offsetof(struct segment, sel)));
		emit_push_reg(t, H_R8, t->i.opsize);
	} else {
		emit_push_reg(t, decode_reg(o->reg.value, &high), t->i.opsize);
	}
}

void xlate_pop(struct xlat *t)
{
	const ZydisDecodedOperand *o = &t->i.op[0];
	unsigned size = t->i.opsize;
	struct ea top = stack_ea(0);
	struct emit *e = &t->e;
	bool high;

	if (o->type == ZYDIS_OPERAND_TYPE_REGISTER && is_segment(o->reg.value)) {
		xlate_pop_segment(t);
		return;
	}
	if (o->type == ZYDIS_OPERAND_TYPE_MEMORY) {
		struct ea ea = t->i.ea;

		/* An ESP-based destination is computed after the increment. */
		if (ea.base == ESP)
			ea.disp += (s32)size;
		if (!flat_stack(t) || form_of(t, 0) == FORM_CALLOUT || form_of(t, 1) == FORM_CALLOUT) {
			emit_offset(t, &ea);
			e_store_x(e, XF(ea), H_R8);
			emit_callout(t, co_pop_mem, CM_SIZE(size) | CM_SEG(ea.seg));
			return;
		}
		emit_load(t, H_R8, size, &top, 1);
		emit_store(t, H_R8, size, &ea, 0);
		adjust_esp(t, (s32)size);
		return;
	}
	if (!flat_stack(t)) {
		emit_callout(t, co_pop, size | (u32)decode_reg(o->reg.value, &high) << 8);
		return;
	}
	{
		unsigned dst = decode_reg(o->reg.value, &high);

		if (size == 4) {
			emit_load(t, dst, 4, &top, 1);
			if (dst != H_SP)
				adjust_esp(t, 4);
			return;
		}
		emit_load(t, H_R8, 2, &top, 1);
		if (dst != H_SP)
			adjust_esp(t, 2);
		e8(e, 0x66);
		e_mov(e, dst, H_R8);
	}
}

void xlate_pusha(struct xlat *t)
{
	unsigned size = t->i.opsize;

	if (!flat_stack(t) || form_of(t, 1) == FORM_CALLOUT) {
		emit_callout(t, co_pusha, size);
		return;
	}
	for (unsigned r = 0; r < 8; r++) {
		struct ea at = stack_ea(-(s32)(size * (r + 1)));
		emit_store(t, r, size, &at, 1);
	}
	adjust_esp(t, -(s32)(8 * size));
}

void xlate_popa(struct xlat *t)
{
	static const u8 order[8] = { EDI, ESI, EBP, ESP, EBX, EDX, ECX, EAX };
	struct ea last = stack_ea(28);

	if (!flat_stack(t) || t->i.opsize != 4 || form_of(t, 1) == FORM_CALLOUT) {
		emit_callout(t, co_popa, t->i.opsize);
		return;
	}
	/* Touch the far end first: after that and the first load nothing can fault any more. */
	emit_load(t, H_R8, 4, &last, 1);
	for (unsigned i = 0; i < 8; i++) {
		struct ea at = stack_ea((s32)(4 * i));
		if (order[i] != ESP)
			emit_load(t, order[i], 4, &at, 1);
	}
	adjust_esp(t, 32);
}

void xlate_leave(struct xlat *t)
{
	struct ea saved = { .base = EBP, .index = H_NONE, .asize = 4, .seg = SEG_SS };

	if (!flat_stack(t) || t->i.opsize != 4) {
		emit_callout(t, co_leave, t->i.opsize);
		return;
	}
	emit_load(t, H_R8, 4, &saved, 1);
	e_lea(&t->e, false, H_SP, H_BP, H_NONE, 0, 4);
	e_mov(&t->e, H_BP, H_R8);
}

void xlate_enter(struct xlat *t)
{
	u32 size = (u32)t->i.op[0].imm.value.u & 0xffff, level = (u32)t->i.op[1].imm.value.u & 31;
	struct ea top = stack_ea(-4);

	if (!flat_stack(t) || t->i.opsize != 4 || level) {
		emit_callout(t, co_enter, size | level << 16 | (u32)t->i.opsize << 24);
		return;
	}
	emit_store(t, H_BP, 4, &top, 1);
	e_lea(&t->e, false, H_BP, H_SP, H_NONE, 0, -4);
	e_lea(&t->e, false, H_SP, H_SP, H_NONE, 0, -4 - (s32)size);
}

void xlate_pushf(struct xlat *t)
{
	struct emit *e = &t->e;

	t->bt->count->class_flags++;
	if (!flat_stack(t) || (t->mode & (MODE_CPL | MODE_VM))) {
		emit_callout(t, co_pushf, t->i.opsize);
		return;
	}
	/* The arithmetic flags from the host's EFLAGS (IF is set there, all system flags clear)... */
	e_mov64(e, H_R9, H_SP);
	e_lea(e, true, H_SP, H_R15, H_NONE, 0, (s32)XF(flag_stack[3]));
	e8(e, 0x9c);				/* pushfq */
	e8(e, 0x41); e8(e, 0x58);		/* pop r8 */
	e_mov64(e, H_SP, H_R9);
	/* ...plus the guest's IF and system flags, by LEA so that no flag changes. */
	e_load_x(e, H_R9, VF(iff));
	e_lea(e, false, H_R8, H_R8, H_R9, 0, -0x200);
	e_load_x(e, H_R9, VF(sysflags));
	e_lea(e, false, H_R8, H_R8, H_R9, 0, 0);
	emit_push_reg(t, H_R8, t->i.opsize);
}

/* System flags that an inline POPF leaves as they are; DF must be clear in the image, as it is in sysflags. */
#define POPF_SAME (EFLAGS_TF | EFLAGS_DF | EFLAGS_IOPL | EFLAGS_NT | EFLAGS_AC | EFLAGS_ID)

/*
 * Once the image is read the old arithmetic flags are dead, so this need not be
 * flags-free.  IF is stored before intr_pending is looked at: a kick in between
 * finds it set.
 */
void xlate_popf(struct xlat *t)
{
	struct ea top = stack_ea(0);
	struct emit *e = &t->e;
	u8 *slow[2], *done;

	t->bt->count->class_flags++;
	if (!flat_stack(t) || (t->mode & MODE_CPL) || t->i.opsize != 4) {
		emit_callout(t, co_popf, t->i.opsize);
		return;
	}
	emit_load(t, H_R8, 4, &top, 1);
	e_load_x(e, H_R9, VF(sysflags));
	e8(e, 0x45); e8(e, 0x31); e8(e, 0xc1);			/* xor r9d, r8d */
	e8(e, 0x41); e8(e, 0xf7); e8(e, 0xc1); e32(e, POPF_SAME);	/* test r9d, POPF_SAME */
	e8(e, 0x75);						/* jnz */
	slow[0] = e_rel8(e);
	e_mov(e, H_R9, H_R8);
	e8(e, 0x41); e8(e, 0x81); e8(e, 0xe1); e32(e, EFLAGS_IF);	/* and r9d, IF */
	e_store_x(e, VF(iff), H_R9);
	e8(e, 0x41); e8(e, 0x83);				/* cmp dword [intr_pending], 0 */
	e_mem(e, 7, H_R15, H_NONE, 0, (s32)VF(intr_pending));
	e8(e, 0);
	e8(e, 0x75);						/* jne */
	slow[1] = e_rel8(e);
	adjust_esp(t, 4);
	/* SAHF takes five of the flags from AH; OF is made by ADC: 7f + 1 overflows. */
	e_mov(e, H_R9, H_AX);
	e_mov(e, H_AX, H_R8);
	e8(e, 0xc1); e8(e, 0xe0); e8(e, 8);			/* shl eax, 8 */
	e8(e, 0x41); e8(e, 0x0f); e8(e, 0xba); e8(e, 0xe0); e8(e, 11);	/* bt r8d, 11 */
	e8(e, 0x14); e8(e, 0x7f);				/* adc al, 0x7f */
	e8(e, 0x9e);						/* sahf */
	e_mov(e, H_AX, H_R9);
	e8(e, 0xfc);						/* cld */
	e8(e, 0xeb);
	done = e_rel8(e);
	e_here8(e, slow[0]);
	e_here8(e, slow[1]);
	e_store_x(e, XF(tmp), H_R8);
	emit_callout(t, co_popf_image, 4);
	e_here8(e, done);
}
