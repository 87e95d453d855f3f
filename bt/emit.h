/*
 * The emitter: bytes into the writable view of the code cache.
 *
 * Only the encodings the translator uses, each named after the instruction.
 * None of them touches the flags.  `H_` registers are host registers by number.
 */
#ifndef BT_EMIT_H
#define BT_EMIT_H

#include "base/bits.h"
#include "base/types.h"

enum host_reg {
	H_AX, H_CX, H_DX, H_BX, H_SP, H_BP, H_SI, H_DI,
	H_R8, H_R9, H_R10, H_R11, H_R12, H_R13, H_R14, H_R15,
};

#define H_NONE 0xff

struct emit {
	u8 *p;		/* next byte */
	u8 *base;	/* start of the writable view */
	u8 *end;	/* limit; running past it is checked per instruction */
};

static inline void e8(struct emit *e, u8 b) { *e->p++ = b; }
static inline void e16(struct emit *e, u16 v) { store16(e->p, v); e->p += 2; }
static inline void e32(struct emit *e, u32 v) { store32(e->p, v); e->p += 4; }
static inline void e64(struct emit *e, u64 v) { store64(e->p, v); e->p += 8; }
static inline u32 e_off(const struct emit *e) { return (u32)(e->p - e->base); }

/* REX with W, and the high bits of reg, index, base; omitted when empty. */
static inline void e_rex(struct emit *e, bool w, unsigned reg, unsigned index, unsigned base)
{
	u8 rex = (u8)(0x40 | w << 3 | (reg >> 3 & 1) << 2 | (index >> 3 & 1) << 1 | (base >> 3 & 1));

	if (rex != 0x40)
		e8(e, rex);
}

/*
 * ModRM, SIB and displacement for [base + index * scale + disp]; base and/or
 * index may be H_NONE.  `scale` is the encoded one, 0..3.
 */
static inline void e_mem(struct emit *e, unsigned reg, unsigned base, unsigned index, unsigned scale, s32 disp)
{
	bool sib = index != H_NONE || base == H_NONE || (base & 7) == 4;
	unsigned mod;

	if (base == H_NONE)
		mod = 0;
	else if (disp == 0 && (base & 7) != 5)
		mod = 0;
	else
		mod = disp >= -128 && disp < 128 ? 1 : 2;
	e8(e, (u8)(mod << 6 | (reg & 7) << 3 | (sib ? 4 : base & 7)));
	if (sib)
		e8(e, (u8)(scale << 6 | (index == H_NONE ? 4 : index & 7) << 3 | (base == H_NONE ? 5 : base & 7)));
	if (mod == 1)
		e8(e, (u8)disp);
	else if (mod == 2 || base == H_NONE)
		e32(e, (u32)disp);
}

/* mov r32, r32 (zero-extends) and mov r64, r64 */
static inline void e_mov(struct emit *e, unsigned dst, unsigned src)
{
	e_rex(e, false, src, 0, dst);
	e8(e, 0x89);
	e8(e, (u8)(0xc0 | (src & 7) << 3 | (dst & 7)));
}

static inline void e_mov64(struct emit *e, unsigned dst, unsigned src)
{
	e_rex(e, true, src, 0, dst);
	e8(e, 0x89);
	e8(e, (u8)(0xc0 | (src & 7) << 3 | (dst & 7)));
}

static inline void e_mov_imm(struct emit *e, unsigned dst, u32 imm)
{
	e_rex(e, false, 0, 0, dst);
	e8(e, (u8)(0xb8 | (dst & 7)));
	e32(e, imm);
}

static inline void e_mov_imm64(struct emit *e, unsigned dst, u64 imm)
{
	e_rex(e, true, 0, 0, dst);
	e8(e, (u8)(0xb8 | (dst & 7)));
	e64(e, imm);
}

/* lea r32/r64, [base + index*scale + disp], 64-bit address arithmetic */
static inline void e_lea(struct emit *e, bool w, unsigned dst, unsigned base, unsigned index, unsigned scale, s32 disp)
{
	e_rex(e, w, dst, index == H_NONE ? 0 : index, base == H_NONE ? 0 : base);
	e8(e, 0x8d);
	e_mem(e, dst, base, index, scale, disp);
}

/* Loads and stores of the exec structure: [r15 + disp32] */
static inline void e_load_x(struct emit *e, unsigned dst, u32 field)
{
	e_rex(e, false, dst, 0, H_R15);
	e8(e, 0x8b);
	e_mem(e, dst, H_R15, H_NONE, 0, (s32)field);
}

static inline void e_store_x(struct emit *e, u32 field, unsigned src)
{
	e_rex(e, false, src, 0, H_R15);
	e8(e, 0x89);
	e_mem(e, src, H_R15, H_NONE, 0, (s32)field);
}

static inline void e_store_imm_x(struct emit *e, u32 field, u32 imm)
{
	e_rex(e, false, 0, 0, H_R15);
	e8(e, 0xc7);
	e_mem(e, 0, H_R15, H_NONE, 0, (s32)field);
	e32(e, imm);
}

static inline void e_store_imm8_x(struct emit *e, u32 field, u8 imm)
{
	e_rex(e, false, 0, 0, H_R15);
	e8(e, 0xc6);
	e_mem(e, 0, H_R15, H_NONE, 0, (s32)field);
	e8(e, imm);
}

/* jmp [r15 + field] */
static inline void e_jmp_x(struct emit *e, u32 field)
{
	e_rex(e, false, 0, 0, H_R15);
	e8(e, 0xff);
	e_mem(e, 4, H_R15, H_NONE, 0, (s32)field);
}

/* movzx r32, r16 */
static inline void e_movzx16(struct emit *e, unsigned dst, unsigned src)
{
	e_rex(e, false, dst, 0, src);
	e8(e, 0x0f);
	e8(e, 0xb7);
	e8(e, (u8)(0xc0 | (dst & 7) << 3 | (src & 7)));
}

static inline void e_bswap(struct emit *e, unsigned reg)
{
	e_rex(e, false, 0, 0, reg);
	e8(e, 0x0f);
	e8(e, (u8)(0xc8 | (reg & 7)));
}

/* Pad with a NOP so that a 4-byte field that starts `ahead` bytes from here is 4-aligned. */
static inline void e_align_field(struct emit *e, unsigned ahead)
{
	switch (-(e_off(e) + ahead) & 3) {
	case 1: e8(e, 0x90); break;
	case 2: e8(e, 0x66); e8(e, 0x90); break;
	case 3: e8(e, 0x0f); e8(e, 0x1f); e8(e, 0x00); break;
	}
}

/* A forward rel8 to be filled in by e_here8. */
static inline u8 *e_rel8(struct emit *e)
{
	e8(e, 0);
	return e->p - 1;
}

static inline void e_here8(struct emit *e, u8 *at) { *at = (u8)(e->p - at - 1); }

#endif
