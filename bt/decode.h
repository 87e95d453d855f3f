/*
 * Instructions as the translator sees them: Zydis's decoding plus the few
 * derived facts that every handler wants.
 */
#ifndef BT_DECODE_H
#define BT_DECODE_H

#include <Zydis/Zydis.h>
#include "cpu/vcpu.h"

/* Effective address of a memory operand: [base + index * 1<<scale + disp], in segment seg. */
struct ea {
	u8 base, index;		/* guest register numbers, H_NONE if absent */
	u8 scale;		/* encoded, 0..3 */
	u8 asize;		/* address size: 2 or 4 bytes */
	enum seg seg;
	s32 disp;
};

struct insn {
	ZydisDecodedInstruction z;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	u8 bytes[16];
	u8 len;
	u8 opsize;		/* operand size: 1 is not encoded here; 2 or 4 */
	s8 mem;			/* index of the explicit memory operand, -1: none */
	struct ea ea;		/* of that operand */
	u32 mem_size;		/* bytes of that operand */
	bool mem_read, mem_write;
	bool lock, rep, repne;
	u8 opcode_at, modrm_at;	/* offsets in bytes; modrm_at 0: none */
	u8 tail_at;		/* first byte after modrm, sib, displacement */
};

enum decode_result {
	DECODE_OK,
	DECODE_INVALID,		/* #UD */
	DECODE_TOO_LONG,	/* over 15 bytes: #GP(0) */
	DECODE_CUT_OFF,		/* goes on past `avail` */
};

/* Decode at `bytes` (up to `avail` of them) for the mode. */
enum decode_result decode_insn(struct insn *i, const u8 *bytes, unsigned avail, u32 mode);

/* Guest register number of a general register of any width (AH is 0 with *high set). */
u8 decode_reg(ZydisRegister r, bool *high);

/* Does the instruction name AH, CH, DH or BH?  (Not encodable together with a REX prefix.) */
bool decode_uses_high_byte(const struct insn *i);

/* Bit mask of the general registers that the instruction reads or writes in any way. */
u32 decode_regs(const struct insn *i);

#endif
