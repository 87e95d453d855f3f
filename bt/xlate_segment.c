/*
 * Loads of segment registers.
 *
 * In general a callout (co_seg_load).  But each site of a kernel loads one
 * selector nearly always, and that selector's descriptor is what it was: so the
 * callout takes notes, and when a site has had one outcome for long enough its
 * block is translated anew, with the outcome as constants.  The inline load then
 *
 *   compares the selector,
 *   compares GDTR (base and limit: the descriptor is within it, and where it was),
 *   reads the descriptor through the window, as the CPU would, and compares all
 *   of it: the guest may rewrite its GDT at any time,
 *   stores the hidden part.
 *
 * What the checks of a load depend on besides is in the mode (CPL 0, protected) or
 * in the descriptor, whose A bit was set when it was noted.  Any difference leads
 * to the callout.
 *
 * A load of FS or GS may change the mode word, since that holds their classes.
 * Which mode comes after is part of the outcome; the block goes on in it.  The mode
 * that a block ends in, block.mode_end, may therefore differ from its key's.
 */
#include "base/check.h"
#include "bt/xlate.h"
#include "cpu/arch.h"

#define LEARN_LOADS  16u	/* loads with the same outcome before it is believed */
#define WRONG_LOADS  64u	/* wrong ones before it is given up */
#define LEARN_TRIES  4u
#define SEG_WAYS     8u	/* places a record may be in */

_Static_assert(offsetof(struct vcpu, gdt_limit) == offsetof(struct vcpu, gdt_base) + 4 &&
	       offsetof(struct vcpu, idt_limit) == offsetof(struct vcpu, gdt_base) + 6,
	       "GDTR (and the IDT's limit) is compared as eight bytes");
_Static_assert(sizeof(struct segment) == 16, "a hidden part is stored as two words of eight bytes");

/* The site's record, or NULL; `create`: in place of one that has learnt nothing. */
static struct seg_site *site_of(struct bt *bt, u32 gpa, u32 mode, bool create)
{
	struct seg_site *free = NULL;

	for (unsigned i = 0; i < SEG_WAYS; i++) {
		struct seg_site *s = &bt->seg_sites[(gpa * 7 + (gpa >> 12) + mode + i) % SEG_SITES];

		if (s->gpa == gpa && s->mode == mode)
			return s;
		if (!s->known && !s->tries && (!free || s->same < free->same))
			free = s;
	}
	if (!create || !free)
		return NULL;
	*free = (struct seg_site){ .gpa = gpa, .mode = mode };
	return free;
}

/* ---- taking notes ---- */

static bool same_outcome(const struct seg_outcome *a, const struct seg_outcome *b)
{
	return a->sel == b->sel && a->desc == b->desc && a->gdtr == b->gdtr && a->mode == b->mode &&
	       !__builtin_memcmp(&a->hidden, &b->hidden, sizeof(a->hidden));
}

/* What has just been loaded; false: nothing that an inline load could repeat. */
static bool outcome_now(struct vcpu *v, enum seg s, struct seg_outcome *o)
{
	u16 sel = v->seg[s].sel;
	u32 desc[2];

	*o = (struct seg_outcome){ .sel = sel, .mode = v->mode, .hidden = v->seg[s] };
	o->hidden.pad = 0;
	if (!(v->mode & MODE_FLAT))
		return false;
	if (!(sel & ~3u))
		return true;
	if ((sel & 4) || !desc_fetch(v, sel, desc, EXC_GP))
		return false;
	o->desc = desc[0] | (u64)desc[1] << 32;
	o->gdtr = load64((const u8 *)&v->gdt_base);
	return true;
}

void seg_learn(struct exec *x, u32 gpa, u32 before, enum seg s)
{
	struct bt *bt = x->bt;
	struct seg_site *site = site_of(bt, gpa, before, true);
	struct exception saved = x->v.exc;
	struct seg_outcome now;

	if (!site || site->tries >= LEARN_TRIES)
		return;		/* (without a record: so many other sites have one) */
	if (!outcome_now(&x->v, s, &now)) {
		x->v.exc = saved;
		site->same = 0;
		return;
	}
	if (site->known) {
		if (same_outcome(&site->outcome, &now) || ++site->wrong < WRONG_LOADS)
			return;
		site->known = false;
		site->tries++;
		site->same = 0;
		cache_invalidate_range(bt, x, gpa, 1);
	}
	if (!site->same || !same_outcome(&site->outcome, &now)) {
		site->outcome = now;
		site->same = 1;
		return;
	}
	if (++site->same < LEARN_LOADS)
		return;
	site->known = true;
	site->wrong = 0;
	/* The block that has called goes on to its end: it is dead, but in place. */
	cache_invalidate_range(bt, x, gpa, 1);
}

/* ---- translating ---- */

/* May this load ever be inline? */
static bool learnable(const struct xlat *t, enum seg s)
{
	return t->flat && !(t->mode & MODE_CPL) && !(t->flags & (XLATE_ONE | XLATE_BY_HAND)) &&
	       (s == SEG_DS || s == SEG_ES || s == SEG_FS || s == SEG_GS);
}

/* arg as for co_seg_load; the selector is in r8d, unless it is to be popped. */
static void load_by_callout(struct xlat *t, u32 arg, u32 mode_after)
{
	struct emit *e = &t->e;

	if (learnable(t, (enum seg)(arg & 7))) {
		e_store_imm_x(e, XF(seg_gpa), t->gpa);
		e_store_imm_x(e, XF(seg_mode), mode_after);
		arg |= SEG_LOAD_LEARN;
	}
	emit_callout(t, co_seg_load, arg | (t->flags & XLATE_ONE ? SEG_LOAD_ALONE : 0));
}

/* rcx is zero if things are as expected; else to the callout: the rel32 to be filled in. */
static u8 *emit_check(struct xlat *t)
{
	struct emit *e = &t->e;

	e8(e, 0xe3);		/* jrcxz past the jump */
	e8(e, 5);
	e8(e, 0xe9);
	e32(e, 0);
	return e->p - 4;
}

/* rcx += -value */
static void emit_less(struct xlat *t, u64 value)
{
	e_mov_imm64(&t->e, H_R11, 0 - value);
	e_lea(&t->e, true, H_CX, H_CX, H_R11, 0, 0);
}

static void emit_load_x64(struct xlat *t, unsigned dst, u32 field)
{
	e_rex(&t->e, true, dst, 0, H_R15);
	e8(&t->e, 0x8b);
	e_mem(&t->e, dst, H_R15, H_NONE, 0, (s32)field);
}

static void emit_store_x64(struct xlat *t, u32 field, u64 value)
{
	struct emit *e = &t->e;

	if (value >> 32)
		e_mov_imm64(e, H_R11, value);
	else
		e_mov_imm(e, H_R11, (u32)value);
	e_rex(e, true, H_R11, 0, H_R15);
	e8(e, 0x89);
	e_mem(e, H_R11, H_R15, H_NONE, 0, (s32)field);
}

/* mov rcx, [descriptor] through the window; the guest's ECX is in r9 meanwhile. */
static void emit_read_descriptor(struct xlat *t, lin_t lin, unsigned slot)
{
	struct emit *e = &t->e;

	mark(t, slot, (enum recover)(RECOVER_REG + ECX));
	if (form_of(t, slot) == FORM_KERNEL)
		e8(e, 0x65);
	e8(e, 0x67);
	e_rex(e, true, H_CX, 0, 0);
	e8(e, 0x8b);
	e_mem(e, H_CX, H_NONE, H_NONE, 0, (s32)lin);
}

/*
 * The load as noted: the selector is in r8d, zero-extended.  `slot` is the access
 * that the instruction itself does not use, `pop` the bytes to release.
 */
static void load_inline(struct xlat *t, enum seg s, const struct seg_outcome *o, unsigned slot, unsigned pop)
{
	struct emit *e = &t->e;
	u32 field = (u32)(VF(seg) + s * sizeof(struct segment));
	u8 *other[3], *done;
	unsigned n = 0;

	e_mov64(e, H_R9, H_CX);
	e_lea(e, false, H_CX, H_R8, H_NONE, 0, -(s32)o->sel);
	other[n++] = emit_check(t);
	if (o->sel & ~3u) {
		emit_load_x64(t, H_CX, VF(gdt_base));
		emit_less(t, o->gdtr);
		other[n++] = emit_check(t);
		emit_read_descriptor(t, (u32)o->gdtr + (o->sel & ~7u), slot);
		emit_less(t, o->desc);
		other[n++] = emit_check(t);
	}
	e_mov64(e, H_CX, H_R9);
	mark(t, 0, RECOVER_NONE);
	emit_store_x64(t, field, o->hidden.base | (u64)o->hidden.limit << 32);
	emit_store_x64(t, field + 8, o->hidden.sel | (u32)o->hidden.attr << 16);
	if (o->mode != t->mode)
		e_store_imm_x(e, VF(mode), o->mode);
	if (s == SEG_FS)
		e_mov_imm(e, H_R13, o->hidden.base);
	if (pop)
		e_lea(e, false, H_SP, H_SP, H_NONE, 0, (s32)pop);
	e8(e, 0xeb);
	done = e_rel8(e);
	for (unsigned i = 0; i < n; i++)
		store32(other[i], (u32)(e->p - other[i] - 4));
	e_mov64(e, H_CX, H_R9);
	if (!pop)
		e_store_x(e, XF(tmp), H_R8);
	load_by_callout(t, s | pop << 8, o->mode);
	CHECK(e->p - done - 1 < 128);
	e_here8(e, done);
	t->mode = o->mode;
}

/* Selector in r8d, to be popped (`pop` bytes) or loaded already from a register or memory. */
static void load_segment(struct xlat *t, enum seg s, unsigned slot, unsigned pop)
{
	const struct seg_site *site = site_of(t->bt, t->gpa, t->mode, false);

	if (learnable(t, s) && site && site->known && form_of(t, slot) <= FORM_USER) {
		if (pop) {
			struct ea top = stack_ea(0);
			emit_load(t, H_R8, pop, &top, 1);
			e_movzx16(&t->e, H_R8, H_R8);
		}
		load_inline(t, s, &site->outcome, slot, pop);
		return;
	}
	if (!pop)
		e_store_x(&t->e, XF(tmp), H_R8);
	load_by_callout(t, s | pop << 8, t->mode);
	t->no_end = s == SEG_SS;
}

void xlate_mov_to_segment(struct xlat *t)
{
	const ZydisDecodedOperand *d = &t->i.op[0], *s = &t->i.op[1];
	enum seg seg = (enum seg)(d->reg.value - ZYDIS_REGISTER_ES);
	bool memory = s->type == ZYDIS_OPERAND_TYPE_MEMORY, high;

	if (memory)
		emit_load(t, H_R8, 2, &t->i.ea, 0);
	else
		e_movzx16(&t->e, H_R8, decode_reg(s->reg.value, &high));
	load_segment(t, seg, memory ? 1 : 0, 0);
}

void xlate_pop_segment(struct xlat *t)
{
	enum seg s = (enum seg)(t->i.op[0].reg.value - ZYDIS_REGISTER_ES);

	load_segment(t, s, 0, t->i.opsize);
}

void xlate_mov_from_segment(struct xlat *t)
{
	const ZydisDecodedOperand *d = &t->i.op[0], *s = &t->i.op[1];
	unsigned seg = (unsigned)(s->reg.value - ZYDIS_REGISTER_ES);
	u32 field = (u32)(VF(seg) + seg * sizeof(struct segment) + offsetof(struct segment, sel));
	struct emit *e = &t->e;
	bool high;

	/* movzx r8d, word [selector] */
	e_rex(e, false, H_R8, 0, H_R15);
	e8(e, 0x0f); e8(e, 0xb7);
	e_mem(e, H_R8, H_R15, H_NONE, 0, (s32)field);
	if (d->type == ZYDIS_OPERAND_TYPE_MEMORY) {
		emit_store(t, H_R8, 2, &t->i.ea, 0);
		return;
	}
	if (t->i.opsize == 2)
		e8(e, 0x66);
	e_mov(e, decode_reg(d->reg.value, &high), H_R8);
}
