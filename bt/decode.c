/* See bt/decode.h.  Zydis does the work; this file only rearranges. */
#include "bt/decode.h"
#include "bt/emit.h"

u8 decode_reg(ZydisRegister r, bool *high)
{
	*high = false;
	if (r >= ZYDIS_REGISTER_AL && r <= ZYDIS_REGISTER_BL)
		return (u8)(r - ZYDIS_REGISTER_AL);
	if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH) {
		*high = true;
		return (u8)(r - ZYDIS_REGISTER_AH);
	}
	if (r >= ZYDIS_REGISTER_AX && r <= ZYDIS_REGISTER_DI)
		return (u8)(r - ZYDIS_REGISTER_AX);
	if (r >= ZYDIS_REGISTER_EAX && r <= ZYDIS_REGISTER_EDI)
		return (u8)(r - ZYDIS_REGISTER_EAX);
	return H_NONE;
}

bool decode_uses_high_byte(const struct insn *i)
{
	for (unsigned n = 0; n < i->z.operand_count; n++) {
		bool high;
		if (i->op[n].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    i->op[n].encoding != ZYDIS_OPERAND_ENCODING_NONE) {
			decode_reg(i->op[n].reg.value, &high);
			if (high)
				return true;
		}
	}
	return false;
}

u32 decode_regs(const struct insn *i)
{
	u32 mask = 0;
	bool high;

	for (unsigned n = 0; n < i->z.operand_count; n++) {
		u8 r;
		if (i->op[n].type == ZYDIS_OPERAND_TYPE_REGISTER) {
			r = decode_reg(i->op[n].reg.value, &high);
			if (r != H_NONE)
				mask |= BIT(r);
		} else if (i->op[n].type == ZYDIS_OPERAND_TYPE_MEMORY) {
			r = decode_reg(i->op[n].mem.base, &high);
			if (r != H_NONE)
				mask |= BIT(r);
			r = decode_reg(i->op[n].mem.index, &high);
			if (r != H_NONE)
				mask |= BIT(r);
		}
	}
	return mask;
}

static enum seg decode_segment(ZydisRegister r)
{
	switch (r) {
	case ZYDIS_REGISTER_ES: return SEG_ES;
	case ZYDIS_REGISTER_CS: return SEG_CS;
	case ZYDIS_REGISTER_SS: return SEG_SS;
	case ZYDIS_REGISTER_FS: return SEG_FS;
	case ZYDIS_REGISTER_GS: return SEG_GS;
	default: return SEG_DS;
	}
}

static void decode_mem(struct insn *i, const ZydisDecodedOperand *o)
{
	static const u8 scales[9] = { 0, 0, 1, 0, 2, 0, 0, 0, 3 };
	bool high;

	i->ea.base = decode_reg(o->mem.base, &high);
	i->ea.index = decode_reg(o->mem.index, &high);
	i->ea.scale = scales[o->mem.scale & 15 ? (o->mem.scale <= 8 ? o->mem.scale : 0) : 0];
	i->ea.disp = (s32)o->mem.disp.value;
	i->ea.asize = (u8)(i->z.address_width / 8);
	i->ea.seg = decode_segment(o->mem.segment);
	if (i->ea.asize == 2 && i->ea.base == H_NONE && i->ea.index == H_NONE)
		i->ea.disp = (u16)i->ea.disp;
	i->mem_size = o->size / 8u;
	i->mem_read = o->actions & ZYDIS_OPERAND_ACTION_MASK_READ;
	i->mem_write = o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
}

enum decode_result decode_insn(struct insn *i, const u8 *bytes, unsigned avail, u32 mode)
{
	ZydisDecoder d;
	ZyanStatus status;
	bool code32 = mode & MODE_CODE32;

	if (avail > 15)
		avail = 15;
	ZydisDecoderInit(&d, !(mode & MODE_PE) || (mode & MODE_VM) ?
				     (code32 ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_REAL_16) :
				     (code32 ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LEGACY_16),
			 code32 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16);
	status = ZydisDecoderDecodeFull(&d, bytes, avail, &i->z, i->op);
	if (status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG || (status == ZYDIS_STATUS_NO_MORE_DATA && avail == 15))
		return DECODE_TOO_LONG;
	if (status == ZYDIS_STATUS_NO_MORE_DATA)
		return DECODE_CUT_OFF;
	if (!ZYAN_SUCCESS(status))
		return DECODE_INVALID;
	i->len = i->z.length;
	__builtin_memcpy(i->bytes, bytes, i->len);
	i->opsize = (u8)(i->z.operand_width == 16 ? 2 : 4);
	i->mem = -1;
	i->mem_size = 0;
	i->mem_read = i->mem_write = false;
	i->lock = i->z.attributes & ZYDIS_ATTRIB_HAS_LOCK;
	i->rep = i->repne = false;
	for (unsigned n = 0; n < i->z.raw.prefix_count; n++) {
		/* With both, the last one counts. */
		if (i->z.raw.prefixes[n].value == 0xf3 || i->z.raw.prefixes[n].value == 0xf2) {
			i->rep = i->z.raw.prefixes[n].value == 0xf3;
			i->repne = !i->rep;
		}
	}
	i->opcode_at = i->z.raw.prefix_count;
	i->modrm_at = i->z.attributes & ZYDIS_ATTRIB_HAS_MODRM ? i->z.raw.modrm.offset : 0;
	i->tail_at = 0;
	if (i->modrm_at) {
		i->tail_at = (u8)(i->modrm_at + 1);
		if (i->z.attributes & ZYDIS_ATTRIB_HAS_SIB)
			i->tail_at = (u8)(i->z.raw.sib.offset + 1);
		if (i->z.raw.disp.size)
			i->tail_at = (u8)(i->z.raw.disp.offset + i->z.raw.disp.size / 8);
	}
	for (unsigned n = 0; n < i->z.operand_count; n++) {
		const ZydisDecodedOperand *o = &i->op[n];
		/* The memory operand proper is the one encoded in ModRM or as a moffs. */
		if (o->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM ||
		     o->encoding == ZYDIS_OPERAND_ENCODING_DISP16_32_64)) {
			i->mem = (s8)n;
			decode_mem(i, o);
			break;
		}
	}
	return DECODE_OK;
}
