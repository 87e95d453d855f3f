/*
 * Memory operands: where the window tricks happen.
 *
 *   kernel form   gs + address-size prefixes: effective address modulo 2^32, plus W
 *   user form     address-size prefix only
 *   checked form  linear address in r8, window base looked up in r9, [r8 + r9]
 *   callout form  co_mem_prepare brings the operand into the bounce buffer, the
 *                 instruction runs on that, co_mem_commit writes it back; this is also
 *                 how MMIO, segmented and 16-bit addresses work
 */
#include "base/check.h"
#include "bt/xlate.h"

enum site_form form_of(const struct xlat *t, unsigned slot)
{
	enum site_form def = (t->mode & MODE_CPL) == 3 && (t->mode & MODE_PG) ? FORM_USER : FORM_KERNEL;

	if ((t->flags & XLATE_BY_HAND) || !t->flat)
		return FORM_CALLOUT;
	return t->site && t->site->form[slot] ? (enum site_form)(t->site->form[slot] - 1) : def;
}

/* How the segment of an operand is reached: plain (base 0), base in a host register, or not inline at all. */
static bool segment_inline(const struct xlat *t, const struct ea *ea, unsigned size, unsigned *base_reg)
{
	enum seg_class c;

	*base_reg = H_NONE;
	if (ea->seg < SEG_FS)
		return true;
	c = (enum seg_class)(t->mode >> (ea->seg == SEG_FS ? MODE_FS_SHIFT : MODE_GS_SHIFT) & 3);
	if (c == SEGC_LIMITED) {
		/* A displacement alone can be checked now. */
		u32 limit = t->x->v.limited[ea->seg - SEG_FS];
		if (ea->base != H_NONE || ea->index != H_NONE || (u32)ea->disp > limit ||
		    limit - (u32)ea->disp < size - 1)
			return false;
	} else if (c != SEGC_FLAT4G) {
		return false;
	}
	*base_reg = ea->seg == SEG_FS ? H_R13 : H_R9;
	return true;
}

void emit_offset(struct xlat *t, const struct ea *ea)
{
	e_lea(&t->e, false, H_R8, ea->base, ea->index, ea->scale, ea->disp);
	if (ea->asize == 2)
		e_movzx16(&t->e, H_R8, H_R8);
}

/* The linear address of an inline-able operand as a host address; may use r8 and r9. */
static struct haddr resolve(struct xlat *t, const struct ea *ea, unsigned base_reg)
{
	struct emit *e = &t->e;

	if (base_reg == H_R9)
		e_load_x(e, H_R9, VF(seg[SEG_GS].base));
	if (ea->asize == 2) {
		emit_offset(t, ea);
		return (struct haddr){ H_R8, (u8)base_reg, 0, 0 };
	}
	if (base_reg == H_NONE)
		return (struct haddr){ ea->base, ea->index, ea->scale, ea->disp };
	if (ea->base == H_NONE)
		return (struct haddr){ (u8)base_reg, ea->index, ea->scale, ea->disp };
	if (ea->index == H_NONE)
		return (struct haddr){ ea->base, (u8)base_reg, 0, ea->disp };
	emit_offset(t, ea);
	return (struct haddr){ H_R8, (u8)base_reg, 0, 0 };
}

/*
 * r9 = base of the window that r8d's 64 KiB region belongs to.  Flags-free: the
 * region number is read back from memory as the upper half of the address.
 */
void emit_window_lookup(struct xlat *t)
{
	struct emit *e = &t->e;

	e_store_x(e, XF(ea), H_R8);
	/* movzx r9d, word [r15 + ea + 2] */
	e_rex(e, false, H_R9, 0, H_R15);
	e8(e, 0x0f); e8(e, 0xb7);
	e_mem(e, H_R9, H_R15, H_NONE, 0, (s32)XF(ea) + 2);
	/* movzx r9d, byte [r15 + r9 + window_of] */
	e_rex(e, false, H_R9, H_R9, H_R15);
	e8(e, 0x0f); e8(e, 0xb6);
	e_mem(e, H_R9, H_R15, H_R9, 0, (s32)XF(window_of));
	/* mov r9, [r15 + r9*8 + window_base] */
	e_rex(e, true, H_R9, H_R9, H_R15);
	e8(e, 0x8b);
	e_mem(e, H_R9, H_R15, H_R9, 3, (s32)XF(window_base));
}

static struct haddr checked_address(struct xlat *t, struct haddr a)
{
	/* Through a 32-bit LEA, so that the sum wraps. */
	e_lea(&t->e, false, H_R8, a.base, a.index, a.scale, a.disp);
	emit_window_lookup(t);
	return (struct haddr){ H_R8, H_R9, 0, 0 };
}

static void emit_window_prefix(struct xlat *t, enum site_form form)
{
	if (form == FORM_KERNEL)
		e8(&t->e, 0x65);
	if (form != FORM_CHECKED)
		e8(&t->e, 0x67);
}

static u32 callout_arg(const struct xlat *t, const struct ea *ea, unsigned size)
{
	return CM_SIZE(size) | CM_SEG(ea->seg) | (t->flags & XLATE_BY_HAND ? CM_EMULATE : 0);
}

static void emit_high(struct xlat *t, unsigned reg, const struct haddr *a)
{
	e_rex(&t->e, false, reg, a->index == H_NONE ? 0 : a->index, a->base == H_NONE ? 0 : a->base);
}

void emit_load(struct xlat *t, unsigned dst, unsigned size, const struct ea *ea, unsigned slot)
{
	struct emit *e = &t->e;
	enum site_form form = form_of(t, slot);
	unsigned base_reg;
	struct haddr a;

	if (form == FORM_CALLOUT || !segment_inline(t, ea, size, &base_reg)) {
		emit_offset(t, ea);
		e_store_x(e, XF(ea), H_R8);
		emit_callout(t, co_load, callout_arg(t, ea, size) | CM_READ);
		e_load_x(e, dst, XF(tmp));
		return;
	}
	a = resolve(t, ea, base_reg);
	if (form == FORM_CHECKED)
		a = checked_address(t, a);
	mark(t, slot, RECOVER_NONE);
	emit_window_prefix(t, form);
	emit_high(t, dst, &a);
	if (size == 4) {
		e8(e, 0x8b);
	} else {
		e8(e, 0x0f);
		e8(e, size == 2 ? 0xb7 : 0xb6);
	}
	e_mem(e, dst, a.base, a.index, a.scale, a.disp);
}

/* src H_NONE: the immediate. */
static void store_any(struct xlat *t, unsigned src, u32 imm, unsigned size, const struct ea *ea, unsigned slot)
{
	struct emit *e = &t->e;
	enum site_form form = form_of(t, slot);
	unsigned base_reg;
	struct haddr a;

	CHECK(size == 2 || size == 4);
	if (form == FORM_CALLOUT || !segment_inline(t, ea, size, &base_reg)) {
		if (src == H_NONE)
			e_store_imm_x(e, XF(tmp), imm);
		else
			e_store_x(e, XF(tmp), src);
		emit_offset(t, ea);
		e_store_x(e, XF(ea), H_R8);
		emit_callout(t, co_store, callout_arg(t, ea, size) | CM_WRITE);
		return;
	}
	if ((src == H_R8 || src == H_R9) && (form == FORM_CHECKED || base_reg == H_R9 || ea->asize == 2 || base_reg != H_NONE)) {
		e_mov(e, H_R10, src);
		src = H_R10;
	}
	a = resolve(t, ea, base_reg);
	if (form == FORM_CHECKED)
		a = checked_address(t, a);
	mark(t, slot, RECOVER_NONE);
	emit_window_prefix(t, form);
	if (size == 2)
		e8(e, 0x66);
	if (src == H_NONE) {
		emit_high(t, 0, &a);
		e8(e, 0xc7);
		e_mem(e, 0, a.base, a.index, a.scale, a.disp);
		if (size == 2)
			e16(e, (u16)imm);
		else
			e32(e, imm);
	} else {
		emit_high(t, src, &a);
		e8(e, 0x89);
		e_mem(e, src, a.base, a.index, a.scale, a.disp);
	}
}

void emit_store(struct xlat *t, unsigned src, unsigned size, const struct ea *ea, unsigned slot)
{
	store_any(t, src, 0, size, ea, slot);
}

void emit_store_imm(struct xlat *t, u32 imm, unsigned size, const struct ea *ea, unsigned slot)
{
	store_any(t, H_NONE, imm, size, ea, slot);
}

static bool is_address_prefix(u8 b)
{
	return b == 0x26 || b == 0x2e || b == 0x36 || b == 0x3e || b == 0x64 || b == 0x65 || b == 0x67;
}

/* Does the instruction's operand size follow the 66 prefix (rather than 66 being part of its opcode, or nothing)? */
static bool has_operand_size(const struct insn *i)
{
	if (i->z.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
	    (i->z.opcode_map == ZYDIS_OPCODE_MAP_0F && i->z.opcode == 0xae))	/* FXSAVE, fences, ... */
		return false;
	for (unsigned n = 0; n < i->z.operand_count; n++)
		if (i->op[n].type == ZYDIS_OPERAND_TYPE_REGISTER)
			switch (ZydisRegisterGetClass(i->op[n].reg.value)) {
			case ZYDIS_REGCLASS_MMX: case ZYDIS_REGCLASS_XMM:
				return false;
			default:
				break;
			}
	return true;
}

/*
 * Legacy prefixes that stay: REP, LOCK, and operand size, which means the
 * opposite in a 16-bit code segment.
 */
static void emit_prefixes(struct xlat *t)
{
	bool code16 = !(t->mode & MODE_CODE32) && has_operand_size(&t->i);

	if (code16 && t->i.z.operand_width == 16)
		e8(&t->e, 0x66);
	for (unsigned n = 0; n < t->i.opcode_at; n++)
		if (!is_address_prefix(t->i.bytes[n]) && !(code16 && t->i.bytes[n] == 0x66))
			e8(&t->e, t->i.bytes[n]);
}

/* VEX.W is ignored for general registers outside 64-bit mode. */
static u8 vex_byte(const struct insn *i, unsigned n)
{
	bool vex3 = i->z.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX && i->bytes[i->opcode_at] == 0xc4;

	if (vex3 && n == i->opcode_at + 2u)
		for (unsigned o = 0; o < i->z.operand_count; o++)
			if (i->op[o].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			    ZydisRegisterGetClass(i->op[o].reg.value) == ZYDIS_REGCLASS_GPR32)
				return i->bytes[n] & 0x7f;
	return i->bytes[n];
}

/* An opcode byte; 82 is an alias of 80 that 64-bit mode lacks. */
static u8 opcode_byte(const struct insn *i, unsigned n)
{
	return i->bytes[n] == 0x82 && n == i->opcode_at && i->z.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY ? 0x80 : i->bytes[n];
}

void emit_identical(struct xlat *t)
{
	const struct insn *i = &t->i;
	struct emit *e = &t->e;
	u8 op = i->bytes[i->opcode_at];

	if (i->z.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY) {
		if (op >= 0x40 && op <= 0x4f) {
			/* inc/dec r: the short form is REX in 64-bit mode */
			emit_prefixes(t);
			e8(e, 0xff);
			e8(e, (u8)(0xc0 | (op & 8) | (op & 7)));
			return;
		}
		emit_prefixes(t);
		for (unsigned n = i->opcode_at; n < i->len; n++)
			e8(e, opcode_byte(i, n));
		return;
	}
	emit_prefixes(t);
	for (unsigned n = i->opcode_at; n < i->len; n++)
		e8(e, vex_byte(i, n));
}

/* The instruction's bytes with the memory operand replaced by `a`. */
static void emit_with_address(struct xlat *t, const struct haddr *a)
{
	const struct insn *i = &t->i;
	struct emit *e = &t->e;
	u8 op = i->bytes[i->opcode_at];

	emit_prefixes(t);
	if (!i->modrm_at) {
		/* mov al/eax, moffs and back: as 8a/8b/88/89 */
		static const u8 as[4] = { 0x8a, 0x8b, 0x88, 0x89 };
		CHECK(op >= 0xa0 && op <= 0xa3);
		emit_high(t, 0, a);
		e8(e, as[op - 0xa0]);
		e_mem(e, H_AX, a->base, a->index, a->scale, a->disp);
		return;
	}
	emit_high(t, 0, a);
	for (unsigned n = i->opcode_at; n < i->modrm_at; n++)
		e8(e, opcode_byte(i, n));
	e_mem(e, i->z.raw.modrm.reg, a->base, a->index, a->scale, a->disp);
	for (unsigned n = i->tail_at; n < i->len; n++)
		e8(e, i->bytes[n]);
}

/* VEX, EVEX, XOP: the operand keeps its own encoding (EVEX scales displacements). */
static void emit_vex_in_place(struct xlat *t)
{
	const struct insn *i = &t->i;
	struct emit *e = &t->e;

	emit_prefixes(t);
	for (unsigned n = i->opcode_at; n < i->modrm_at; n++)
		e8(e, vex_byte(i, n));
	if (i->z.raw.modrm.mod == 0 && i->z.raw.modrm.rm == 5) {
		/* disp32 alone is RIP-relative in 64-bit mode: spell it with a SIB byte */
		e8(e, (u8)(i->z.raw.modrm.reg << 3 | 4));
		e8(e, 0x25);
		e32(e, (u32)i->ea.disp);
	} else {
		for (unsigned n = i->modrm_at; n < i->tail_at; n++)
			e8(e, i->bytes[n]);
	}
	for (unsigned n = i->tail_at; n < i->len; n++)
		e8(e, i->bytes[n]);
}

/* As above, but at [reg]. */
static void emit_vex_at(struct xlat *t, unsigned reg)
{
	const struct insn *i = &t->i;
	struct emit *e = &t->e;

	emit_prefixes(t);
	for (unsigned n = i->opcode_at; n < i->modrm_at; n++)
		e8(e, vex_byte(i, n));
	e8(e, (u8)(i->z.raw.modrm.reg << 3 | reg));
	for (unsigned n = i->tail_at; n < i->len; n++)
		e8(e, i->bytes[n]);
}

#define FXSAVE_BYTES 288u	/* header, x87 and XMM0-7 (SDM vol. 1 table 10-2) */

static bool is_bit_string(const struct insn *i)
{
	switch (i->z.mnemonic) {
	case ZYDIS_MNEMONIC_BT: case ZYDIS_MNEMONIC_BTS: case ZYDIS_MNEMONIC_BTR: case ZYDIS_MNEMONIC_BTC:
		return i->op[1].type == ZYDIS_OPERAND_TYPE_REGISTER;
	default:
		return false;
	}
}

/*
 * By hand: bounce buffer, and a guest register that the instruction does not
 * use borrowed as the pointer, so that no REX prefix is needed (AH..BH, VEX).
 */
static void emit_bounced(struct xlat *t)
{
	struct emit *e = &t->e;
	const struct insn *i = &t->i;
	static const u8 candidates[] = { H_BX, H_SI, H_DI, H_CX, H_DX, H_AX };
	u32 used = decode_regs(i);
	u32 arg = callout_arg(t, &i->ea, i->mem_size) | (i->z.mnemonic == ZYDIS_MNEMONIC_FXSAVE ? CM_ALIGN16 : 0) | (i->mem_read ? CM_READ : 0) | (i->mem_write ? CM_WRITE : 0);
	bool bits = is_bit_string(i), high;
	unsigned g = 0;

	while (used & BIT(candidates[g]))
		CHECK(++g < ARRAY_SIZE(candidates));
	g = candidates[g];
	if (bits)
		arg |= CM_BITS | CM_REG(decode_reg(i->op[1].reg.value, &high)) | (i->opsize == 2 ? CM_OP16 : 0);
	emit_offset(t, &i->ea);
	e_store_x(e, XF(ea), H_R8);
	emit_callout(t, co_mem_prepare, arg);
	e_mov64(e, H_R9, g);
	e_lea(e, true, g, H_R15, H_NONE, 0, (s32)XF(bounce));
	mark(t, 0, (enum recover)(RECOVER_REG + g));
	if (bits) {
		/* The bit offset within the operand, prepared in tmp, in r10. */
		e_load_x(e, H_R10, XF(tmp));
		emit_prefixes(t);
		e8(e, 0x44);
		for (unsigned n = i->opcode_at; n < i->modrm_at; n++)
			e8(e, i->bytes[n]);
		e_mem(e, H_R10, g, H_NONE, 0, 0);
	} else if (i->z.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY || i->z.encoding == ZYDIS_INSTRUCTION_ENCODING_3DNOW) {
		struct haddr a = { (u8)g, H_NONE, 0, 0 };
		emit_with_address(t, &a);
	} else {
		emit_vex_at(t, g);
	}
	/* If the instruction wrote g after all, it is in `used`: so this restores an untouched register. */
	e_mov64(e, g, H_R9);
	mark(t, 0, RECOVER_NONE);
	if (i->z.mnemonic == ZYDIS_MNEMONIC_FXSAVE)
		arg = (arg & ~CM_SIZE(~0u)) | FXSAVE_BYTES;
	if (i->mem_write)
		emit_callout(t, co_mem_commit, arg);
}

void emit_mem_insn(struct xlat *t)
{
	const struct insn *i = &t->i;
	enum site_form form = form_of(t, 0);
	bool legacy = i->z.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY || i->z.encoding == ZYDIS_INSTRUCTION_ENCODING_3DNOW;
	unsigned base_reg;
	struct haddr a;
	bool extended;

	/* In 64-bit mode FXSAVE would also write XMM8-15, over what is reserved in 32-bit mode. */
	if (form == FORM_CALLOUT || i->z.mnemonic == ZYDIS_MNEMONIC_FXSAVE ||
	    !segment_inline(t, &i->ea, i->mem_size ? i->mem_size : 1, &base_reg)) {
		emit_bounced(t);
		return;
	}
	/* Host registers r8-r15 in the address need REX (or VEX.XB). */
	extended = form == FORM_CHECKED || base_reg != H_NONE || i->ea.asize == 2;
	if (extended && (!legacy || decode_uses_high_byte(i))) {
		emit_bounced(t);
		return;
	}
	if (!legacy) {
		mark(t, 0, RECOVER_NONE);
		emit_window_prefix(t, form);
		emit_vex_in_place(t);
		mark(t, 0, RECOVER_NONE);
		return;
	}
	a = resolve(t, &i->ea, base_reg);
	if (form == FORM_CHECKED)
		a = checked_address(t, a);
	mark(t, 0, RECOVER_NONE);
	emit_window_prefix(t, form);
	emit_with_address(t, &a);
}
