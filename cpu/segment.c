/*
 * Segment registers and descriptors.
 *
 * Linux reloads DS, ES and FS on every entry to its kernel, so seg_load has a
 * quick path: a selector that is loaded already and whose descriptor still
 * reads the same changes nothing, not even the mode word.
 *
 * Descriptor tables are read with supervisor privilege whatever the CPL.  The
 * A bit of a descriptor is set after all checks and before the commit; if that
 * write faults, the load faults.
 *
 * Sources: SDM vol. 3 sections 3.4, 3.5, 5.2-5.10; vol. 2 MOV, LAR, LSL, VERR,
 * LLDT, LTR; APM vol. 2 sections 4.5-4.12.
 */
#include "cpu/arch.h"
#include "cpu/stack.h"

bool desc_fetch(struct vcpu *v, u16 sel, u32 desc[2], unsigned vector)
{
	lin_t base;
	u32 limit;
	u64 d;

	if (sel & 4) {
		const struct segment *ldt = &v->seg[SEG_LDTR];

		if (ldt->attr & SEG_NULL)
			return exc_raise_error(v, vector, sel & ~3u);
		base = ldt->base;
		limit = ldt->limit;
	} else {
		base = v->gdt_base;
		limit = v->gdt_limit;
	}
	if ((sel | 7u) > limit)
		return exc_raise_error(v, vector, sel & ~3u);
	if (!mem_read64(v, base + (sel & ~7u), &d, ACC_READ))
		return false;
	desc[0] = (u32)d;
	desc[1] = (u32)(d >> 32);
	return true;
}

_Static_assert(offsetof(struct segment, limit) == 4 && offsetof(struct segment, sel) == 8 &&
	       offsetof(struct segment, attr) == 10, "desc_to_segment writes base+limit and sel+attr+pad as words");

void desc_to_segment(u16 sel, const u32 desc[2], struct segment *out)
{
	u32 limit = (desc[0] & 0xffff) | (desc[1] & 0xf0000);

	u32 base = desc[0] >> 16 | (desc[1] & 0xff) << 16 | (desc[1] & 0xff000000);
	u32 attr = (desc[1] >> 8) & 0xf0ff;

	if (attr & SEG_G)
		limit = limit << 12 | 0xfff;
	/*
	 * Two stores instead of five: the copies of this structure that follow
	 * load eight bytes at a time and would wait for narrower stores to retire.
	 */
	store64(&out->base, base | (u64)limit << 32);
	store64(&out->sel, sel | attr << 16);
}

lin_t desc_address(const struct vcpu *v, u16 sel)
{
	return (sel & 4 ? v->seg[SEG_LDTR].base : v->gdt_base) + (sel & ~7u);
}

bool seg_mark_accessed(struct vcpu *v, u16 sel, const u32 desc[2], struct segment *s)
{
	if (!(s->attr & SEG_A)) {
		if (!mem_write8(v, desc_address(v, sel) + 5, (u8)(desc[1] >> 8) | SEG_A, 0))
			return false;
		s->attr |= SEG_A;
	}
	return true;
}

void seg_set_null(struct segment *s, u16 sel)
{
	*s = (struct segment){ .sel = sel, .attr = SEG_NULL };
}

void seg_load_real(struct vcpu *v, enum seg s, u16 sel)
{
	struct segment *g = &v->seg[s];

	g->sel = sel;
	g->base = (u32)sel << 4;
	if (v->sysflags & EFLAGS_VM) {
		g->limit = 0xffff;
		g->attr = SEG_P | SEG_DPL | SEG_S | SEG_RW | SEG_A;
		if (s == SEG_CS)
			g->attr |= SEG_CODE;
	} else if (g->attr & SEG_NULL) {
		/* Left null by protected mode; otherwise limit and attributes stay ("unreal mode"). */
		g->limit = 0xffff;
		g->attr = SEG_P | SEG_S | SEG_RW | SEG_A;
	}
}

/* The checks of a protected-mode load, SS apart from the data segments. */
static bool check_ss(struct vcpu *v, const struct segment *g)
{
	if ((g->sel & 3) != v->cpl || seg_dpl(g) != v->cpl ||
	    (g->attr & (SEG_S | SEG_CODE | SEG_RW)) != (SEG_S | SEG_RW))
		return exc_raise_error(v, EXC_GP, g->sel & ~3u);
	if (!(g->attr & SEG_P))
		return exc_raise_error(v, EXC_SS, g->sel & ~3u);
	return true;
}

static bool check_data(struct vcpu *v, const struct segment *g)
{
	bool readable = (g->attr & SEG_S) && (g->attr & (SEG_CODE | SEG_RW)) != SEG_CODE;
	bool conforming = (g->attr & (SEG_CODE | SEG_DC)) == (SEG_CODE | SEG_DC);

	if (!readable || (!conforming && ((g->sel & 3u) > seg_dpl(g) || v->cpl > seg_dpl(g))))
		return exc_raise_error(v, EXC_GP, g->sel & ~3u);
	if (!(g->attr & SEG_P))
		return exc_raise_error(v, EXC_NP, g->sel & ~3u);
	return true;
}

bool seg_load(struct vcpu *v, enum seg s, u16 sel)
{
	struct segment *g = &v->seg[s];
	struct segment new;
	u32 desc[2];

	if (!(v->cr0 & CR0_PE) || (v->sysflags & EFLAGS_VM)) {
		seg_load_real(v, s, sel);
		vcpu_update_mode(v);
		return true;
	}
	if ((sel & ~3) == 0) {
		if (s == SEG_SS)
			return exc_raise_error(v, EXC_GP, 0);
		seg_set_null(g, sel);
		vcpu_update_mode(v);
		return true;
	}
	if (!desc_fetch(v, sel, desc, EXC_GP))
		return false;
	desc_to_segment(sel, desc, &new);
	if (!(s == SEG_SS ? check_ss(v, &new) : check_data(v, &new)))
		return false;
	if (new.base == g->base && new.limit == g->limit && new.attr == g->attr) {
		g->sel = sel;
		return true;
	}
	if (!seg_mark_accessed(v, sel, desc, &new))
		return false;
	*g = new;
	vcpu_update_mode(v);
	return true;
}

/* The instructions of this group do not exist outside protected mode. */
static bool require_protected(struct vcpu *v)
{
	if (!(v->cr0 & CR0_PE) || (v->sysflags & EFLAGS_VM))
		return exc_raise(v, EXC_UD);
	return true;
}

bool seg_lldt(struct vcpu *v, u16 sel)
{
	struct segment new;
	u32 desc[2];

	if (!require_protected(v))
		return false;
	if (v->cpl != 0)
		return exc_raise_error(v, EXC_GP, 0);
	if ((sel & ~3) == 0) {
		seg_set_null(&v->seg[SEG_LDTR], sel);
		return true;
	}
	if (sel & 4)
		return exc_raise_error(v, EXC_GP, sel & ~3u);
	if (!desc_fetch(v, sel, desc, EXC_GP))
		return false;
	desc_to_segment(sel, desc, &new);
	if ((new.attr & (SEG_S | SEG_TYPE)) != SYS_LDT)
		return exc_raise_error(v, EXC_GP, sel & ~3u);
	if (!(new.attr & SEG_P))
		return exc_raise_error(v, EXC_NP, sel & ~3u);
	v->seg[SEG_LDTR] = new;
	return true;
}

bool seg_ltr(struct vcpu *v, u16 sel)
{
	struct segment new;
	u32 desc[2];

	if (!require_protected(v))
		return false;
	if (v->cpl != 0)
		return exc_raise_error(v, EXC_GP, 0);
	if ((sel & ~3) == 0)
		return exc_raise_error(v, EXC_GP, 0);
	if (sel & 4)
		return exc_raise_error(v, EXC_GP, sel & ~3u);
	if (!desc_fetch(v, sel, desc, EXC_GP))
		return false;
	desc_to_segment(sel, desc, &new);
	if ((new.attr & (SEG_S | SEG_TYPE)) != SYS_TSS16 && (new.attr & (SEG_S | SEG_TYPE)) != SYS_TSS32)
		return exc_raise_error(v, EXC_GP, sel & ~3u);
	if (!(new.attr & SEG_P))
		return exc_raise_error(v, EXC_NP, sel & ~3u);
	if (!mem_write8(v, desc_address(v, sel) + 5, (u8)(desc[1] >> 8) | SYS_BUSY, 0))
		return false;
	new.attr |= SYS_BUSY;
	v->seg[SEG_TR] = new;
	return true;
}

/*
 * The descriptor that LAR, LSL, VERR and VERW look at.  False in *ok: outside
 * the table, or not visible at this privilege, or (`system_types`) not a kind
 * that the instruction accepts.
 */
static bool inspect(struct vcpu *v, u16 sel, u32 system_types, bool *ok, struct segment *g, u32 desc[2])
{
	u32 limit = sel & 4 ? v->seg[SEG_LDTR].limit : v->gdt_limit;

	*ok = false;
	if (!require_protected(v))
		return false;
	if ((sel & ~3) == 0 || (sel | 7u) > limit || ((sel & 4) && (v->seg[SEG_LDTR].attr & SEG_NULL)))
		return true;
	if (!desc_fetch(v, sel, desc, EXC_GP))
		return false;
	desc_to_segment(sel, desc, g);
	if (!(g->attr & SEG_S) && !bit_test(system_types, g->attr & SEG_TYPE))
		return true;
	if ((g->attr & (SEG_S | SEG_CODE | SEG_DC)) != (SEG_S | SEG_CODE | SEG_DC) &&
	    (v->cpl > seg_dpl(g) || (sel & 3u) > seg_dpl(g)))
		return true;
	*ok = true;
	return true;
}

#define TSS_AND_LDT (BIT(SYS_TSS16) | BIT(SYS_TSS16 | SYS_BUSY) | BIT(SYS_LDT) | \
		     BIT(SYS_TSS32) | BIT(SYS_TSS32 | SYS_BUSY))

bool seg_lar(struct vcpu *v, u16 sel, bool *ok, u32 *value)
{
	struct segment g;
	u32 desc[2];

	if (!inspect(v, sel, TSS_AND_LDT | BIT(SYS_CALL16) | BIT(SYS_CALL32) | BIT(SYS_TASK), ok, &g, desc))
		return false;
	if (*ok)
		*value = desc[1] & 0x00ffff00;
	return true;
}

bool seg_lsl(struct vcpu *v, u16 sel, bool *ok, u32 *value)
{
	struct segment g;
	u32 desc[2];

	if (!inspect(v, sel, TSS_AND_LDT, ok, &g, desc))
		return false;
	if (*ok)
		*value = g.limit;
	return true;
}

bool seg_verify(struct vcpu *v, u16 sel, bool write, bool *ok)
{
	struct segment g;
	u32 desc[2];

	if (!inspect(v, sel, 0, ok, &g, desc))
		return false;
	if (*ok && write)
		*ok = (g.attr & (SEG_CODE | SEG_RW)) == SEG_RW;
	else if (*ok)
		*ok = (g.attr & (SEG_CODE | SEG_RW)) != SEG_CODE;
	return true;
}

bool seg_linear(struct vcpu *v, enum seg s, u32 off, unsigned size, bool write, lin_t *lin)
{
	const struct segment *g = &v->seg[s];
	bool ok = !(g->attr & SEG_NULL) && seg_range_ok(g, off, size);

	/* Types restrict accesses in protected mode only: real-mode code writes through CS. */
	if (ok && (v->cr0 & CR0_PE) && !(v->sysflags & EFLAGS_VM)) {
		if (write)
			ok = (g->attr & (SEG_CODE | SEG_RW)) == SEG_RW;
		else
			ok = (g->attr & (SEG_CODE | SEG_RW)) != SEG_CODE;
	}
	if (!ok)
		return exc_raise_error(v, s == SEG_SS ? EXC_SS : EXC_GP, 0);
	*lin = g->base + off;
	return true;
}
