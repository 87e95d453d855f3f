/*
 * String instructions.  REP MOVS and its like run natively, with rsi and rdi
 * turned into host addresses by adding the window's base beforehand; the
 * guest's esi and edi are their low halves at every moment, so a fault in the
 * middle finds exact registers.
 *
 * ES cannot be overridden in 64-bit mode, hence the pointer arithmetic instead
 * of a GS prefix.
 */
#include "bt/xlate.h"

static void to_window(struct xlat *t, unsigned reg, unsigned slot)
{
	struct emit *e = &t->e;

	switch (form_of(t, slot)) {
	case FORM_KERNEL:
		/* mov r9, [window_base[WIN_KERNEL]] */
		e_rex(e, true, H_R9, 0, H_R15);
		e8(e, 0x8b);
		e_mem(e, H_R9, H_R15, H_NONE, 0, (s32)XF(window_base[WIN_KERNEL]));
		e_lea(e, true, reg, H_R9, reg, 0, 0);
		break;
	case FORM_CHECKED:
		e_mov(e, H_R8, reg);
		emit_window_lookup(t);
		e_lea(e, true, reg, H_R9, reg, 0, 0);
		break;
	case FORM_USER:
	case FORM_CALLOUT:
		break;
	}
}

void xlate_string(struct xlat *t)
{
	struct emit *e = &t->e;
	u8 op = t->i.bytes[t->i.opcode_at] & 0xfe;
	bool source = op == 0xa4 || op == 0xa6 || op == 0xac;	/* movs cmps lods */
	bool dest = op == 0xa4 || op == 0xa6 || op == 0xaa || op == 0xae;	/* movs cmps stos scas */
	bool by_element = op == 0x6c || op == 0x6e;	/* ins outs */
	unsigned size = t->i.bytes[t->i.opcode_at] & 1 ? t->i.opsize : 1;
	enum seg seg = SEG_DS;

	for (unsigned n = 0; n < t->i.opcode_at; n++)
		switch (t->i.bytes[n]) {
		case 0x26: seg = SEG_ES; break;
		case 0x2e: seg = SEG_CS; break;
		case 0x36: seg = SEG_SS; break;
		case 0x3e: seg = SEG_DS; break;
		case 0x64: seg = SEG_FS; break;
		case 0x65: seg = SEG_GS; break;
		default: break;
		}
	/* Stepped, each iteration traps. */
	if ((t->flags & XLATE_ONE) && (t->x->v.sysflags & EFLAGS_TF))
		by_element = true;
	if (by_element || !t->flat || t->i.z.address_width != 32 || (source && seg >= SEG_FS) ||
	    (source && form_of(t, 0) == FORM_CALLOUT) || (dest && form_of(t, 1) == FORM_CALLOUT)) {
		/* op 8 bits, size 3, rep 2, asize32 1, seg 3 */
		emit_callout(t, co_string, op | size << 8 | (u32)(t->i.rep ? 1 : t->i.repne ? 2 : 0) << 11 |
			     (u32)(t->i.z.address_width == 32) << 13 | (u32)seg << 14);
		return;
	}
	mark(t, 0, RECOVER_NONE);
	if (source)
		to_window(t, H_SI, 0);
	if (dest)
		to_window(t, H_DI, 1);
	if (t->i.rep)
		e8(e, 0xf3);
	if (t->i.repne)
		e8(e, 0xf2);
	if (size == 2)
		e8(e, 0x66);
	e8(e, t->i.bytes[t->i.opcode_at]);
	if (source)
		e_mov(e, H_SI, H_SI);
	if (dest)
		e_mov(e, H_DI, H_DI);
}
