/* See cpu/stack.h. */
#include "cpu/arch.h"
#include "cpu/stack.h"

/* Item by item, for a frame that wraps around the end of its segment. */
static bool frame_write_wrapped(struct vcpu *v, const struct frame *f, unsigned acc, u32 error)
{
	u32 mask = stack_mask(f->ss);

	for (unsigned i = 0; i < f->n; i++) {
		u32 off = (f->esp - (i + 1) * f->size) & mask;

		if (!seg_range_ok(f->ss, off, f->size))
			return exc_raise_error(v, EXC_SS, error);
		if (!mem_probe(v, f->ss->base + off, f->size, acc | ACC_WRITE))
			return false;
	}
	for (unsigned i = 0; i < f->n; i++) {
		u32 off = (f->esp - (i + 1) * f->size) & mask;

		if (!mem_write(v, f->ss->base + off, &f->slot[i], f->size, acc))
			return false;
	}
	return true;
}

/*
 * The frame as it lies in memory, last push first.  Built in the eight-byte
 * units in which it will be copied, so that the copy does not wait for
 * narrower stores.
 */
static void frame_image(const struct frame *f, u8 *image)
{
	unsigned i = f->n;

	if (f->size == 2) {
		while (i--) {
			store16(image, (u16)f->slot[i]);
			image += 2;
		}
		return;
	}
	for (; i >= 2; i -= 2) {
		store64(image, f->slot[i - 1] | (u64)f->slot[i - 2] << 32);
		image += 8;
	}
	if (i)
		store32(image, f->slot[0]);
}

bool frame_write(struct vcpu *v, const struct frame *f, unsigned acc, u32 error, u32 *esp)
{
	u32 total = f->n * f->size;
	u32 mask = stack_mask(f->ss);
	u32 bottom = (f->esp - total) & mask;
	u8 image[FRAME_MAX * 4];

	if ((u64)bottom + total > (u64)mask + 1) {
		if (!frame_write_wrapped(v, f, acc, error))
			return false;
	} else {
		if (!seg_range_ok(f->ss, bottom, total))
			return exc_raise_error(v, EXC_SS, error);
		frame_image(f, image);
		if (!mem_write(v, f->ss->base + bottom, image, total, acc))
			return false;
	}
	*esp = stack_add(f->ss, f->esp, -total);
	return true;
}

bool stack_read(struct vcpu *v, u32 skip, unsigned size, unsigned n, u32 *out)
{
	const struct segment *ss = &v->seg[SEG_SS];
	u32 mask = stack_mask(ss);
	u32 off = (v->regs[ESP] + skip) & mask;
	u8 image[FRAME_MAX * 4];

	if ((u64)off + n * size > (u64)mask + 1) {
		for (unsigned i = 0; i < n; i++) {
			u32 at = (off + i * size) & mask;

			out[i] = 0;
			if (!seg_range_ok(ss, at, size))
				return exc_raise_error(v, EXC_SS, 0);
			if (!mem_read(v, ss->base + at, &out[i], size, acc_data(v)))
				return false;
		}
		return true;
	}
	if (!seg_range_ok(ss, off, n * size))
		return exc_raise_error(v, EXC_SS, 0);
	if (!mem_read(v, ss->base + off, image, n * size, acc_data(v)))
		return false;
	for (unsigned i = 0; i < n; i++)
		out[i] = size == 4 ? load32(image + i * 4) : load16(image + i * 2);
	return true;
}

bool stack_of_ring(struct vcpu *v, unsigned ring, struct segment *ss, u32 desc[2], u32 *esp)
{
	u16 sel;

	if (!task_stack(v, ring, &sel, esp))
		return false;
	if ((sel & ~3) == 0)
		return exc_raise_error(v, EXC_TS, 0);
	if (!desc_fetch(v, sel, desc, EXC_TS))
		return false;
	desc_to_segment(sel, desc, ss);
	if ((sel & 3) != ring || seg_dpl(ss) != ring ||
	    (ss->attr & (SEG_S | SEG_CODE | SEG_RW)) != (SEG_S | SEG_RW))
		return exc_raise_error(v, EXC_TS, sel & ~3u);
	if (!(ss->attr & SEG_P))
		return exc_raise_error(v, EXC_SS, sel & ~3u);
	return true;
}
