/*
 * Control flow: direct exits that can be chained, and the inline lookup for
 * indirect ones.  Branches keep the flags.
 */
#include "base/check.h"
#include "bt/xlate.h"

static u32 mask_eip(const struct xlat *t, u32 eip)
{
	return t->i.opsize == 2 ? eip & 0xffff : eip;
}

static u32 relative_target(const struct xlat *t)
{
	return mask_eip(t, t->next + (u32)t->i.op[0].imm.value.s);
}

/* The rel32 of the exit `slot` is at patch_at. */
static void add_exit(struct xlat *t, unsigned slot, u32 target)
{
	struct block_exit *x = &t->b->exit[slot];

	x->target = target;
	x->patch = e_off(&t->e);
	e32(&t->e, 0);
}

void emit_goto(struct xlat *t, unsigned slot, u32 target)
{
	e_align_field(&t->e, 1);
	e8(&t->e, 0xe9);
	add_exit(t, slot, target);
	t->ended = true;
}

void emit_stubs(struct xlat *t)
{
	struct emit *e = &t->cold;
	u32 id = block_id(t->bt, t->b);

	for (unsigned s = 0; s < 2; s++) {
		struct block_exit *x = &t->b->exit[s];

		if (!x->patch)
			continue;
		x->stub = e_off(e);
		store32(e->base + x->patch, x->stub - (x->patch + 4));
		if (t->flags & (XLATE_ONE | XLATE_ONESHOT)) {
			e_mov_imm(e, H_R8, x->target);
			e_jmp_x(e, XF(thunk_indirect));
		} else {
			e_mov_imm(e, H_R8, id << 1 | s);
			e_jmp_x(e, XF(thunk_chain));
		}
	}
}

/* The next entry of the return ring, r9 clobbered; the rel32 to the landing, to be filled in by emit_landing. */
static u8 *emit_ring_push(struct xlat *t)
{
	struct emit *e = &t->e;

	e_mov_imm64(e, H_R9, 0 - ((u64)t->mode << 32 | t->next));
	e8(e, 0x66); e8(e, 0x45); e8(e, 0x8d); e8(e, 0x76); e8(e, 0x10);	/* lea r14w, [r14 + 16] */
	e8(e, 0x4d); e8(e, 0x89); e8(e, 0x0e);				/* mov [r14], r9 */
	e8(e, 0x4c); e8(e, 0x8d); e8(e, 0x0d);				/* lea r9, [rip + landing] */
	e32(e, 0);
	e8(e, 0x4d); e8(e, 0x89); e8(e, 0x4e); e8(e, 0x08);		/* mov [r14 + 8], r9 */
	return e->p - 8;
}

/* Where the CALL's return leads: a direct exit like another. */
static void emit_landing(struct xlat *t, u8 *rel32)
{
	store32(rel32, (u32)(t->e.p - rel32 - 4));
	emit_goto(t, 1, t->next);
}

/*
 * A return's first look: pop the ring, and on to the landing if the entry is for r8d.  If not, the
 * cold part begins with what to do then.  The guest's rcx is in r10.
 */
static void emit_ring_goto(struct xlat *t)
{
	struct emit *e = &t->e;
	struct block *b = t->b;
	u8 *hit;

	e8(e, 0x49); e8(e, 0x8b); e8(e, 0x0e);				/* mov rcx, [r14] */
	e8(e, 0x4d); e8(e, 0x8b); e8(e, 0x5e); e8(e, 0x08);		/* mov r11, [r14 + 8] */
	e8(e, 0x66); e8(e, 0x45); e8(e, 0x8d); e8(e, 0x76); e8(e, 0xf0);	/* lea r14w, [r14 - 16] */
	e_mov_imm64(e, H_R9, (u64)t->mode << 32);
	e_lea(e, true, H_CX, H_CX, H_R8, 0, 0);
	e_lea(e, true, H_CX, H_CX, H_R9, 0, 0);
	e8(e, 0xe3);							/* jrcxz hit */
	hit = e_rel8(e);
	b->ring_patch = e_off(e) - 1;
	e8(e, 0xe9);							/* jmp cold part */
	e32(e, e_off(&t->cold) - (e_off(e) + 4));
	e_here8(e, hit);
	b->ring_rel = *hit;
	b->ring_hit = e_off(e);
	e_mov64(e, H_CX, H_R10);
	e8(e, 0x41); e8(e, 0xff); e8(e, 0xe3);				/* jmp r11 */
}

_Static_assert(sizeof(struct ring_entry) == 16 && RING_BYTES == 65536, "the ring's pointer is stepped by 16, in 16 bits");

/* The table's tag for r8d into ecx, plus r8d: zero on a match.  The entry's offset stays in r9. */
static void emit_table_tag(struct emit *e, s32 table)
{
	/* The index: 16 bits of a hash (ibtc.c). */
	e_lea(e, false, H_R9, H_R8, H_R8, 3, 0);
	e_bswap(e, H_R9);
	e_lea(e, false, H_R9, H_R9, H_R8, 0, 0);
	e_movzx16(e, H_R9, H_R9);
	e_rex(e, false, H_CX, H_R9, H_R15);
	e8(e, 0x8b);
	e_mem(e, H_CX, H_R15, H_R9, 3, table + (s32)offsetof(struct ibtc_entry, tag));
	e_lea(e, false, H_CX, H_CX, H_R8, 0, 0);
}

/* To the host code of the entry at r9. */
static void emit_table_jump(struct emit *e, s32 table)
{
	e_rex(e, false, H_R9, H_R9, H_R15);
	e8(e, 0x8b);
	e_mem(e, H_R9, H_R15, H_R9, 3, table + (s32)offsetof(struct ibtc_entry, host));
	/* lea r11, [rip + distance to the cache's beginning]; lea r9, [r9 + r11]; jmp r9 */
	e8(e, 0x4c); e8(e, 0x8d); e8(e, 0x1d);
	e32(e, 0u - (e_off(e) + 4));
	e_lea(e, true, H_R9, H_R9, H_R11, 0, 0);
	e8(e, 0x41); e8(e, 0xff); e8(e, 0xe1);
}

/* No block may be entered but through the dispatcher, or this code will not stay in place. */
static bool unchained(const struct xlat *t)
{
	return (t->flags & (XLATE_ONE | XLATE_ONESHOT)) || t->bt->cfg.no_chain;
}

/* Returns look at the ring first, and have the table's code in the cold part. */
static void goto_r8(struct xlat *t, bool is_return)
{
	struct emit *e = &t->e;
	struct block *b = t->b;
	u8 *hit = NULL;
	s64 table = 0;
	int way;

	t->ended = true;
	if (unchained(t)) {
		e_jmp_x(e, XF(thunk_indirect));
		return;
	}
	if (!t->flat) {
		e_jmp_x(e, XF(thunk_lookup));
		return;
	}
	way = ibtc_way(t->bt, t->mode);
	e_mov64(e, H_R10, H_CX);
	if (is_return) {
		emit_ring_goto(t);
		e = &t->cold;
	}
	if (way >= 0) {
		table = (s64)((u64)(t->bt->ibtc + way * (size_t)IBTC_WAY) - (u64)t->x);
		CHECK(table == (s32)table);
		emit_table_tag(e, (s32)table);
		e8(e, 0x67); e8(e, 0xe3);
		hit = e_rel8(e);
		b->ind_patch = e_off(e) - 1;
	}
	b->ind_miss = e_off(e);
	e_mov64(e, H_CX, H_R10);
	e_jmp_x(e, XF(thunk_lookup));
	b->ind_hit = e_off(e);
	if (hit) {
		e_here8(e, hit);
		b->ind_rel = *hit;
		e_mov64(e, H_CX, H_R10);
		emit_table_jump(e, (s32)table);
	}
	b->ind_end = e_off(e);
}

void emit_goto_r8(struct xlat *t) { goto_r8(t, false); }

_Static_assert(sizeof(struct ibtc_entry) == 8, "the inline lookup scales by 8");
_Static_assert(IBTC_WAY == 65536, "the inline lookup keeps 16 bits of the hash");

/* The branch target held by the explicit operand, in r8d. */
static void load_target(struct xlat *t)
{
	const ZydisDecodedOperand *o = &t->i.op[0];
	bool high;

	if (o->type == ZYDIS_OPERAND_TYPE_MEMORY) {
		emit_load(t, H_R8, t->i.opsize, &t->i.ea, 0);
		return;
	}
	if (t->i.opsize == 2)
		e_movzx16(&t->e, H_R8, decode_reg(o->reg.value, &high));
	else
		e_mov(&t->e, H_R8, decode_reg(o->reg.value, &high));
}

static bool far_operand(const struct xlat *t)
{
	return t->i.z.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
}

static void far_through_memory(struct xlat *t, callout_fn fn)
{
	emit_offset(t, &t->i.ea);
	e_store_x(&t->e, XF(ea), H_R8);
	emit_callout_end(t, fn, CM_SEG(t->i.ea.seg) | CM_SIZE(t->i.opsize) | (fn == co_far_mem && t->i.z.mnemonic == ZYDIS_MNEMONIC_CALL ? CM_WRITE : 0));
}

static void far_immediate(struct xlat *t, callout_fn fn)
{
	e_store_imm_x(&t->e, XF(tmp), t->i.opsize == 2 ? t->i.op[0].ptr.offset & 0xffff : t->i.op[0].ptr.offset);
	emit_callout_end(t, fn, t->i.op[0].ptr.segment | (u32)t->i.opsize << 16);
}

void xlate_jmp(struct xlat *t)
{
	switch (t->i.op[0].type) {
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		emit_goto(t, 0, relative_target(t));
		break;
	case ZYDIS_OPERAND_TYPE_POINTER:
		far_immediate(t, co_far_jmp);
		break;
	default:
		if (far_operand(t)) {
			far_through_memory(t, co_far_mem);
			break;
		}
		load_target(t);
		emit_goto_r8(t);
		break;
	}
}

/*
 * A retpoline: an indirect jump written so that no host predicts it, which costs the
 * guest a misprediction each time and Ringer nothing but the detour.
 *
 *	call 1f; 2: pause; lfence; jmp 2b; 1: mov %reg, (%esp); ret
 *
 * What remains of it for others to see is the word below the stack.  A jump into
 * the middle finds blocks of its own; a step sees the instructions.
 */
static bool retpoline(struct xlat *t)
{
	static const u8 before[] = { 0xe8, 7, 0, 0, 0, 0xf3, 0x90, 0x0f, 0xae, 0xe8, 0xeb, 0xf9, 0x89 };
	struct ea below = stack_ea(-4);
	const u8 *p = t->code;
	unsigned reg;

	if ((t->flags & (XLATE_ONE | XLATE_BY_HAND)) || !flat_stack(t) || t->avail < 16 || t->bt->cfg.block_insns == 1 ||
	    t->i.len != 5 || t->next + 11 < t->next || __builtin_memcmp(p, before, sizeof(before)) ||
	    (p[13] & 0xc7) != 0x04 || p[14] != 0x24 || p[15] != 0xc3)
		return false;
	reg = p[13] >> 3 & 7;
	if (reg == H_SP)
		return false;
	t->i.len += 11;
	t->next += 11;
	emit_store(t, reg, 4, &below, 1);
	e_mov(&t->e, H_R8, reg);
	emit_goto_r8(t);
	return true;
}

void xlate_call(struct xlat *t)
{
	bool keeps_r8 = flat_stack(t) && form_of(t, 1) <= FORM_USER;
	bool predicted = flat_stack(t) && !unchained(t) && t->i.opsize == 4 && !(t->mode & MODE_HOT);
	u8 *landing = NULL;

	switch (t->i.op[0].type) {
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		if (retpoline(t))
			return;
		emit_push_imm(t, t->next, t->i.opsize);
		if (predicted)
			landing = emit_ring_push(t);
		emit_goto(t, 0, relative_target(t));
		break;
	case ZYDIS_OPERAND_TYPE_POINTER:
		far_immediate(t, co_far_call);
		break;
	default:
		if (far_operand(t)) {
			far_through_memory(t, co_far_mem);
			break;
		}
		load_target(t);
		if (!keeps_r8)
			e_store_x(&t->e, XF(jump_target), H_R8);
		emit_push_imm(t, t->next, t->i.opsize);
		if (!keeps_r8)
			e_load_x(&t->e, H_R8, XF(jump_target));
		if (predicted)
			landing = emit_ring_push(t);
		emit_goto_r8(t);
		break;
	}
	if (landing)
		emit_landing(t, landing);
}

void xlate_ret(struct xlat *t)
{
	struct ea top = stack_ea(0);
	u32 extra = t->i.op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && t->i.z.operand_count_visible ?
		    (u32)t->i.op[0].imm.value.u & 0xffff : 0;

	if (far_operand(t)) {
		emit_callout_end(t, co_far_ret, t->i.opsize | extra << 8);
		return;
	}
	if (!flat_stack(t)) {
		emit_callout_end(t, co_ret_near, t->i.opsize | extra << 8);
		return;
	}
	emit_load(t, H_R8, t->i.opsize, &top, 1);
	e_lea(&t->e, false, H_SP, H_SP, H_NONE, 0, (s32)(t->i.opsize + extra));
	goto_r8(t, t->i.opsize == 4 && !(t->mode & MODE_HOT));
}

void xlate_jcc(struct xlat *t)
{
	u32 target = relative_target(t);

	e_align_field(&t->e, 2);
	e8(&t->e, 0x0f);
	e8(&t->e, (u8)(0x80 | (t->i.z.opcode & 15)));
	add_exit(t, 0, target);
	emit_goto(t, 1, mask_eip(t, t->next));
}

void xlate_loop(struct xlat *t)
{
	struct emit *e = &t->e;
	u32 target = relative_target(t);
	u8 op = t->i.bytes[t->i.opcode_at];	/* e0 loopne, e1 loope, e2 loop, e3 jcxz */
	u8 *taken, *not_taken = NULL;

	if (t->i.z.address_width == 32) {
		e8(e, 0x67);
		e8(e, op);
		taken = e_rel8(e);
		emit_goto(t, 1, mask_eip(t, t->next));
		e_here8(e, taken);
		emit_goto(t, 0, target);
		return;
	}
	/* The counter is CX. */
	if (op != 0xe3) {
		e_movzx16(e, H_R8, H_CX);
		e_lea(e, false, H_R8, H_R8, H_NONE, 0, -1);
		e8(e, 0x66);
		e_mov(e, H_CX, H_R8);
		if (op != 0xe2) {
			e8(e, op == 0xe1 ? 0x75 : 0x74);	/* loope leaves on NZ, loopne on Z */
			not_taken = e_rel8(e);
		}
	}
	e_mov64(e, H_R9, H_CX);
	e_movzx16(e, H_CX, H_CX);
	e8(e, 0x67); e8(e, 0xe3);
	taken = e_rel8(e);			/* CX is zero */
	e_mov64(e, H_CX, H_R9);
	if (op == 0xe3) {
		emit_goto(t, 1, mask_eip(t, t->next));
		e_here8(e, taken);
		e_mov64(e, H_CX, H_R9);
		emit_goto(t, 0, target);
	} else {
		emit_goto(t, 0, target);
		e_here8(e, taken);
		e_mov64(e, H_CX, H_R9);
		if (not_taken)
			e_here8(e, not_taken);
		emit_goto(t, 1, mask_eip(t, t->next));
	}
}
