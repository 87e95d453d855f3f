/*
 * The stack as far transfers and event delivery use it: a frame of pushes that
 * is checked as a whole before the first byte is written, and a read of several
 * items that moves nothing.  Both honour SS.B and the wrap of a 16-bit stack.
 */
#ifndef CPU_STACK_H
#define CPU_STACK_H

#include "cpu/vcpu.h"

/* The deepest frame: SS, ESP, 31 parameters, CS, EIP. */
#define FRAME_MAX 36

struct frame {
	const struct segment *ss;
	u32 esp;		/* before the first push */
	unsigned size;		/* of one item: 2 or 4 */
	unsigned n;
	u32 slot[FRAME_MAX];	/* in the order of the pushes */
};

/* Fields one by one: an initialiser would clear the slots too, by REP STOS, on every exception. */
static inline void frame_begin(struct frame *f, const struct segment *ss, u32 esp, unsigned size)
{
	f->ss = ss;
	f->esp = esp;
	f->size = size;
	f->n = 0;
}

static inline void frame_push(struct frame *f, u32 val)
{
	if (f->n < FRAME_MAX)
		f->slot[f->n++] = val;
}

static inline u32 stack_mask(const struct segment *ss)
{
	return ss->attr & SEG_DB ? 0xffffffffu : 0xffffu;
}

/* ESP after adding `delta` to a stack pointer in `ss`: only SP changes on a 16-bit stack. */
static inline u32 stack_add(const struct segment *ss, u32 esp, u32 delta)
{
	u32 mask = stack_mask(ss);

	return (esp & ~mask) | ((esp + delta) & mask);
}

/* Is [off, off+size) within the segment's limit? */
static inline bool seg_range_ok(const struct segment *s, u32 off, u32 size)
{
	u64 last = (u64)off + size - 1;

	if ((s->attr & (SEG_S | SEG_CODE | SEG_DC)) == (SEG_S | SEG_DC))
		return off > s->limit && last <= (s->attr & SEG_DB ? 0xffffffffu : 0xffffu);
	return last <= s->limit;
}

/*
 * Write the frame; *esp becomes the new stack pointer.  On a limit violation
 * raises #SS(error); `acc` is the privilege of the stack's ring.
 */
MUST_USE bool frame_write(struct vcpu *v, const struct frame *f, unsigned acc, u32 error, u32 *esp);

/* Read n items at SS:ESP+skip with the current privilege; #SS(0) on a limit violation. */
MUST_USE bool stack_read(struct vcpu *v, u32 skip, unsigned size, unsigned n, u32 *out);

/*
 * The stack that the TSS gives for an inner ring, checked as SDM vol. 3 section 6.12.1
 * and CALL/INT in vol. 2 say: #TS or #SS.  `desc` is SS's descriptor, for seg_mark_accessed.
 */
MUST_USE bool stack_of_ring(struct vcpu *v, unsigned ring, struct segment *ss, u32 desc[2], u32 *esp);

#endif
