/*
 * String instructions by hand: those with segments or 16-bit addresses, and those whose
 * operands are devices, code pages or pages that are not worth mapping.  One element at a time, as
 * the CPU does, but for long runs of REP MOVS and REP STOS in RAM.
 */
#include "base/check.h"
#include "bt/xlate.h"
#include "cpu/access.h"
#include "cpu/arch.h"

enum { STR_INS = 0x6c, STR_OUTS = 0x6e, STR_MOVS = 0xa4, STR_CMPS = 0xa6, STR_STOS = 0xaa, STR_LODS = 0xac, STR_SCAS = 0xae };

/* Flags of `a - b` in `size` bytes, from the host CPU itself. */
static u32 flags_of_compare(u32 a, u32 b, unsigned size)
{
	u64 f;

	switch (size) {
	case 1: __asm__("cmpb %b2, %b1\n pushfq\n pop %0" : "=r"(f) : "q"(a), "q"(b) : "cc"); break;
	case 2: __asm__("cmpw %w2, %w1\n pushfq\n pop %0" : "=r"(f) : "r"(a), "r"(b) : "cc"); break;
	default: __asm__("cmpl %2, %1\n pushfq\n pop %0" : "=r"(f) : "r"(a), "r"(b) : "cc"); break;
	}
	return (u32)f & EFLAGS_ARITH & ~EFLAGS_DF;
}

static bool string_step(struct exec *x, unsigned op, unsigned size, enum seg seg, u32 mask)
{
	struct vcpu *v = &x->v;
	u32 step = v->flags & EFLAGS_DF ? 0u - size : size;
	u32 si = v->regs[ESI] & mask, di = v->regs[EDI] & mask, a = 0, b = 0;
	unsigned acc = acc_data(v);
	lin_t lin;
	bool src = op == STR_MOVS || op == STR_CMPS || op == STR_LODS || op == STR_OUTS;
	bool dst = op != STR_LODS && op != STR_OUTS;
	bool write = op == STR_MOVS || op == STR_STOS || op == STR_INS;
	const struct platform *p = v->platform;

	if ((op == STR_INS || op == STR_OUTS) && !task_io_allowed(v, (u16)v->regs[EDX], size))
		return false;
	if (src && (!seg_linear(v, seg, si, size, false, &lin) || !mem_read(v, lin, &a, size, acc)))
		return false;
	if (dst && !seg_linear(v, SEG_ES, di, size, write, &lin))
		return false;
	switch (op) {
	case STR_MOVS:
		if (!mem_write(v, lin, &a, size, acc))
			return false;
		break;
	case STR_STOS:
		if (!mem_write(v, lin, &v->regs[EAX], size, acc))
			return false;
		break;
	case STR_LODS:
		__builtin_memcpy(&v->regs[EAX], &a, size);	/* AL, AX or EAX */
		break;
	case STR_CMPS: case STR_SCAS:
		if (!mem_read(v, lin, &b, size, acc))
			return false;
		v->flags = (v->flags & EFLAGS_DF) | flags_of_compare(op == STR_CMPS ? a : v->regs[EAX], b, size);
		break;
	case STR_INS:
		if (!mem_probe(v, lin, size, acc | ACC_WRITE))
			return false;
		v->count->callout_pio++;
		a = p->pio_read(p->opaque, (u16)v->regs[EDX], size);
		if (!mem_write(v, lin, &a, size, acc))
			return false;
		break;
	case STR_OUTS:
		v->count->callout_pio++;
		p->pio_write(p->opaque, (u16)v->regs[EDX], size, a);
		break;
	default:
		CHECK(!"string_step: unknown operation");
	}
	if (src)
		v->regs[ESI] = (v->regs[ESI] & ~mask) | ((si + step) & mask);
	if (dst)
		v->regs[EDI] = (v->regs[EDI] & ~mask) | ((di + step) & mask);
	return true;
}

static unsigned to_page_end(u32 lin) { return PAGE_SIZE - (lin & PAGE_MASK); }

/*
 * REP MOVS and REP STOS upwards in flat segments, from RAM to RAM: all elements up to the end of a
 * page at once.  Elements done; 0: this is not such a case.  MOVS goes no further than the distance
 * of the two operands, modulo pages, so that overlapping ones repeat a pattern as they do on the CPU.
 */
static u32 string_run(struct exec *x, unsigned op, unsigned size, enum seg seg)
{
	struct vcpu *v = &x->v;
	u32 si = v->regs[ESI], di = v->regs[EDI], n = to_page_end(di), ahead = (di - si) & PAGE_MASK;
	unsigned acc = acc_data(v);

	if ((op != STR_MOVS && op != STR_STOS) || (v->flags & EFLAGS_DF) || !(v->mode & MODE_FLAT) ||
	    seg == SEG_FS || seg == SEG_GS || !mem_is_ram(v, di, acc | ACC_WRITE))
		return 0;
	if (op == STR_MOVS) {
		n = n < to_page_end(si) ? n : to_page_end(si);
		n = ahead && ahead < n ? ahead : n;
		if (!mem_is_ram(v, si, acc))
			return 0;
	}
	n = n / size < v->regs[ECX] ? n / size : v->regs[ECX];
	if (!n)
		return 0;
	if (op == STR_MOVS) {
		if (!mem_read(v, si, x->bounce, n * size, acc))
			return 0;
	} else {
		for (u32 i = 0; i < n; i++)
			__builtin_memcpy(x->bounce + i * size, &v->regs[EAX], size);
	}
	if (!mem_write(v, di, x->bounce, n * size, acc))
		return 0;
	if (op == STR_MOVS)
		v->regs[ESI] += n * size;
	v->regs[EDI] += n * size;
	v->regs[ECX] -= n;
	return n;
}

u64 co_string(struct exec *x, u32 arg)
{
	struct vcpu *v = &x->v;
	unsigned op = arg & 0xfe, size = arg >> 8 & 7, rep = arg >> 11 & 3;
	u32 mask = arg & BIT(13) ? ~0u : 0xffffu;
	enum seg seg = (enum seg)(arg >> 14 & 7);

	v->count->callout_string++;
	site_by_hand(x);
	if (!rep)
		return string_step(x, op, size, seg, mask) ? 0 : RET_EXCEPTION;
	for (unsigned n = 0; v->regs[ECX] & mask; n++) {
		/* Interruptible, and stepped iteration by iteration: eip still names this instruction. */
		if (n == 1024 || (n && (x->attention || (v->sysflags & EFLAGS_TF))))
			return RET_DISPATCH;
		if (mask == ~0u && !(v->sysflags & EFLAGS_TF) && string_run(x, op, size, seg))
			continue;
		if (!string_step(x, op, size, seg, mask))
			return RET_EXCEPTION;
		v->regs[ECX] = (v->regs[ECX] & ~mask) | ((v->regs[ECX] - 1) & mask);
		if ((op == STR_CMPS || op == STR_SCAS) && !(v->flags & EFLAGS_ZF) == (rep == 1))
			break;
	}
	return 0;
}
