/*
 * Hardware task switching, and the two things that everybody takes from the
 * TSS: the inner rings' stacks and the I/O permission bitmap.
 *
 * A switch has a point of no return.  Before it everything is checked, the new
 * TSS is read and the old one is known to be writable; what fails changes
 * nothing.  After it (SDM vol. 3 section 7.3: "the commit point") the new
 * task's segments are loaded, and what fails there is an exception in the new task.
 *
 * Sources: SDM vol. 3 ch. 7, section 19.5.2 of vol. 1 (I/O permission); APM
 * vol. 2 ch. 12.
 */
#include "base/log.h"
#include "cpu/arch.h"
#include "cpu/stack.h"

/* The parts of a TSS in memory, 16- and 32-bit (SDM figures 7-2 and 7-10). */
struct tss_layout {
	unsigned min_limit;
	unsigned word;		/* size of EIP, EFLAGS and the general registers */
	unsigned eip;		/* EIP, EFLAGS, eight registers follow one another */
	unsigned segs;		/* ES CS SS DS (FS GS) */
	unsigned seg_step, seg_count;
	unsigned ldt;
	unsigned stack;		/* of ring 0 */
};

static const struct tss_layout tss_layout[2] = {
	{ .min_limit = 0x2b, .word = 2, .eip = 14, .segs = 34, .seg_step = 2, .seg_count = 4, .ldt = 42, .stack = 2 },
	{ .min_limit = 0x67, .word = 4, .eip = 32, .segs = 72, .seg_step = 4, .seg_count = 6, .ldt = 96, .stack = 4 },
};

#define TSS_SIZE_MAX 104
#define TSS_CR3      28
#define TSS_TRAP     100
#define TSS_IOMAP    102

/* The segment registers in the order of the TSS. */
static const u8 tss_seg[6] = { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS };

static const struct tss_layout *layout_of(const struct segment *tss)
{
	return &tss_layout[(tss->attr & 8) != 0];
}

static u32 tss_get(const u8 *image, unsigned at, unsigned size)
{
	return size == 4 ? load32(image + at) : load16(image + at);
}

bool task_stack(struct vcpu *v, unsigned ring, u16 *ss, u32 *esp)
{
	const struct segment *tr = &v->seg[SEG_TR];
	const struct tss_layout *l = layout_of(tr);
	unsigned at = l->stack + ring * 2 * l->word;
	u8 image[6];

	/* ESP and the two bytes of SS; nothing is required of the padding after them. */
	if (at + l->word + 1 > tr->limit)
		return exc_raise_error(v, EXC_TS, tr->sel & ~3u);
	if (!mem_read(v, tr->base + at, image, l->word + 2, 0))
		return false;
	*esp = tss_get(image, 0, l->word);
	*ss = load16(image + l->word);
	return true;
}

bool task_io_allowed(struct vcpu *v, u16 port, unsigned size)
{
	const struct segment *tr = &v->seg[SEG_TR];
	u16 map, bits;
	u32 at;

	if (!(v->cr0 & CR0_PE) || (v->cpl <= vcpu_iopl(v) && !(v->sysflags & EFLAGS_VM)))
		return true;
	if ((tr->attr & SEG_NULL) || !(tr->attr & 8) || tr->limit < tss_layout[1].min_limit)
		return exc_raise_error(v, EXC_GP, 0);
	if (!mem_read16(v, tr->base + TSS_IOMAP, &map, 0))
		return false;
	/* Two bytes are always read, so that an access may straddle them. */
	at = map + port / 8u;
	if (at + 1 > tr->limit)
		return exc_raise_error(v, EXC_GP, 0);
	if (!mem_read16(v, tr->base + at, &bits, 0))
		return false;
	if ((bits >> (port & 7)) & bit_mask(size))
		return exc_raise_error(v, EXC_GP, 0);
	return true;
}

/* ---- the switch ---- */

/* The descriptor of the incoming task's TSS: #GP and #NP, or #TS for IRET. */
static bool check_new_tss(struct vcpu *v, u16 sel, enum task_cause cause, struct segment *tss)
{
	unsigned vector = cause == TASK_IRET ? EXC_TS : EXC_GP;
	u16 want = cause == TASK_IRET ? SYS_TSS16 | SYS_BUSY : SYS_TSS16;
	u32 desc[2];

	if ((sel & ~3) == 0 || (sel & 4))
		return exc_raise_error(v, vector, sel & ~3u);
	if (!desc_fetch(v, sel, desc, vector))
		return false;
	desc_to_segment(sel, desc, tss);
	if ((tss->attr & (SEG_S | SEG_TYPE) & ~8) != want)
		return exc_raise_error(v, vector, sel & ~3u);
	if (!(tss->attr & SEG_P))
		return exc_raise_error(v, EXC_NP, sel & ~3u);
	if (tss->limit < layout_of(tss)->min_limit)
		return exc_raise_error(v, EXC_TS, sel & ~3u);
	return true;
}

/* Change the busy bit of a TSS descriptor in the GDT. */
static bool set_busy(struct vcpu *v, u16 sel, bool busy)
{
	lin_t at = desc_address(v, sel) + 5;
	u8 b;

	if (!mem_read8(v, at, &b, 0))
		return false;
	return mem_write8(v, at, busy ? b | SYS_BUSY : b & ~SYS_BUSY, 0);
}

/* Save the outgoing task: EIP, EFLAGS, general and segment registers. */
static bool save_old(struct vcpu *v, u32 eip, u32 eflags)
{
	const struct segment *tr = &v->seg[SEG_TR];
	const struct tss_layout *l = layout_of(tr);
	u8 image[TSS_SIZE_MAX] = { 0 };
	unsigned end = l->segs + l->seg_count * l->seg_step;

	store32(image + l->eip, eip);
	store32(image + l->eip + l->word, eflags);
	for (unsigned r = EAX; r <= EDI; r++) {
		if (l->word == 4)
			store32(image + l->eip + (2 + r) * 4, v->regs[r]);
		else
			store16(image + l->eip + (2 + r) * 2, (u16)v->regs[r]);
	}
	for (unsigned i = 0; i < l->seg_count; i++)
		store16(image + l->segs + i * l->seg_step, v->seg[tss_seg[i]].sel);
	return mem_write(v, tr->base + l->eip, image + l->eip, end - l->eip, 0);
}

static bool fail(struct vcpu *v, unsigned vector, u16 sel)
{
	return exc_raise_error(v, vector, sel & ~3u);
}

static bool load_ldt(struct vcpu *v, u16 sel)
{
	struct segment s;
	u32 desc[2];

	if ((sel & ~3) == 0)
		return true;
	if (sel & 4)
		return fail(v, EXC_TS, sel);
	if (!desc_fetch(v, sel, desc, EXC_TS))
		return false;
	desc_to_segment(sel, desc, &s);
	if ((s.attr & (SEG_S | SEG_TYPE)) != SYS_LDT || !(s.attr & SEG_P))
		return fail(v, EXC_TS, sel);
	v->seg[SEG_LDTR] = s;
	return true;
}

/* One segment register of the new task; v->cpl is CS's RPL. */
static bool load_seg(struct vcpu *v, enum seg which, u16 sel)
{
	struct segment s;
	u32 desc[2];
	bool ok, present_first;

	if ((sel & ~3) == 0)
		return which == SEG_CS || which == SEG_SS ? fail(v, EXC_TS, sel) : true;
	if (!desc_fetch(v, sel, desc, EXC_TS))
		return false;
	desc_to_segment(sel, desc, &s);
	present_first = s.attr & SEG_P;
	switch (which) {
	case SEG_CS:
		ok = (s.attr & (SEG_S | SEG_CODE)) == (SEG_S | SEG_CODE) &&
		     (s.attr & SEG_DC ? seg_dpl(&s) <= v->cpl : seg_dpl(&s) == v->cpl);
		break;
	case SEG_SS:
		ok = (s.attr & (SEG_S | SEG_CODE | SEG_RW)) == (SEG_S | SEG_RW) &&
		     seg_dpl(&s) == v->cpl && (sel & 3u) == v->cpl;
		break;
	case SEG_DS: case SEG_ES: case SEG_FS: case SEG_GS:
		ok = (s.attr & SEG_S) && (s.attr & (SEG_CODE | SEG_RW)) != SEG_CODE &&
		     ((s.attr & (SEG_CODE | SEG_DC)) == (SEG_CODE | SEG_DC) ||
		      (seg_dpl(&s) >= v->cpl && seg_dpl(&s) >= (sel & 3u)));
		break;
	case SEG_LDTR: case SEG_TR: case SEG_COUNT: default:
		ok = false;
		break;
	}
	if (!ok)
		return fail(v, EXC_TS, sel);
	if (!present_first)
		return fail(v, which == SEG_SS ? EXC_SS : EXC_NP, sel);
	if (!seg_mark_accessed(v, sel, desc, &s))
		return false;
	v->seg[which] = s;
	return true;
}

/* After the commit point: everything that the new TSS image names. */
static bool load_new(struct vcpu *v, const u8 *image, const struct tss_layout *l)
{
	static const u8 order[] = { SEG_CS, SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS };
	bool vm = v->sysflags & EFLAGS_VM;
	u16 sel[SEG_COUNT] = { 0 };

	for (unsigned i = 0; i < l->seg_count; i++)
		sel[tss_seg[i]] = load16(image + l->segs + i * l->seg_step);

	/* Selectors first: what is not loaded below stays unusable under its name. */
	seg_set_null(&v->seg[SEG_LDTR], load16(image + l->ldt));
	for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
		seg_set_null(&v->seg[order[i]], sel[order[i]]);
	v->cpl = vm ? 3 : sel[SEG_CS] & 3;

	if (!load_ldt(v, load16(image + l->ldt)))
		return false;
	for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
		if (vm)
			seg_load_real(v, order[i], sel[order[i]]);
		else if (!load_seg(v, order[i], sel[order[i]]))
			return false;
	}
	if (v->eip > v->seg[SEG_CS].limit)
		return exc_raise_error(v, EXC_GP, 0);
	return true;
}

static bool push_error(struct vcpu *v, u32 error, unsigned size)
{
	struct frame f;
	u32 esp;

	frame_begin(&f, &v->seg[SEG_SS], v->regs[ESP], size);
	frame_push(&f, error);
	if (!frame_write(v, &f, acc_data(v), 0, &esp))
		return false;
	v->regs[ESP] = esp;
	return true;
}

bool task_switch(struct vcpu *v, u16 tss_sel, enum task_cause cause, bool has_error, u32 error)
{
	const struct tss_layout *l, *old_l = layout_of(&v->seg[SEG_TR]);
	bool nests = cause == TASK_CALL || cause == TASK_GATE;
	u16 old_sel = v->seg[SEG_TR].sel;
	u32 eflags = vcpu_eflags(v), eip = v->eip + (cause == TASK_GATE ? 0 : v->insn_len);
	unsigned old_end = old_l->segs + old_l->seg_count * old_l->seg_step;
	struct segment tss;
	u8 image[TSS_SIZE_MAX];
	bool ok;

	if (!check_new_tss(v, tss_sel, cause, &tss))
		return false;
	l = layout_of(&tss);
	if ((v->seg[SEG_TR].attr & SEG_NULL) || v->seg[SEG_TR].limit < old_l->min_limit)
		return exc_raise_error(v, EXC_TS, old_sel & ~3u);
	if (!mem_read(v, tss.base, image, l->min_limit + 1, 0))
		return false;
	/* Everything that will be written, before the first byte is. */
	if (!mem_probe(v, v->seg[SEG_TR].base + old_l->eip, old_end - old_l->eip, ACC_WRITE) ||
	    (nests && !mem_probe(v, tss.base, 2, ACC_WRITE)) ||
	    !mem_probe(v, desc_address(v, tss_sel) + 5, 1, ACC_WRITE) ||
	    !mem_probe(v, desc_address(v, old_sel) + 5, 1, ACC_WRITE))
		return false;

	if (cause == TASK_IRET)
		eflags &= ~EFLAGS_NT;
	if (!save_old(v, eip, eflags) ||
	    (!nests && !set_busy(v, old_sel, false)) ||
	    (nests && !mem_write16(v, tss.base, old_sel, 0)) ||
	    (cause != TASK_IRET && !set_busy(v, tss_sel, true)))
		return false;

	/* The point of no return. */
	trace(exception, "task switch %04x -> %04x", old_sel, tss_sel);
	tss.attr |= SYS_BUSY;
	v->seg[SEG_TR] = tss;
	v->cr0 |= CR0_TS;
	v->dr7 &= ~0x155u;	/* local breakpoints and LE */
	v->nmi_blocked = v->nmi_blocked && cause != TASK_IRET;
	v->eip = tss_get(image, l->eip, l->word);
	eflags = tss_get(image, l->eip + l->word, l->word) | (nests ? EFLAGS_NT : 0);
	vcpu_set_eflags(v, eflags);
	for (unsigned r = EAX; r <= EDI; r++) {
		u32 val = tss_get(image, l->eip + (2 + r) * l->word, l->word);

		v->regs[r] = l->word == 4 ? val : 0xffff0000 | val;
	}
	ok = l->word == 2 || !(v->cr0 & CR0_PG) || cr3_load(v, load32(image + TSS_CR3));
	ok = ok && load_new(v, image, l);
	vcpu_update_mode(v);
	if (!ok)
		return false;
	if (has_error && !push_error(v, error, l->word))
		return false;
	if (l->word == 4 && (image[TSS_TRAP] & 1))
		return exc_raise_db(v, DR6_BT);
	return true;
}
