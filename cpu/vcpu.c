/*
 * Housekeeping of the architectural state: reset, the translation mode word,
 * and the recording of exceptions.
 *
 * Sources: SDM vol. 3 section 10.1 (processor state after reset), table 6-1
 * (which vectors push an error code), section 6.13 (the EXT bit).
 */
#include "cpu/arch.h"
#include "cpu/cpuid.h"

#define VECTORS_WITH_ERROR \
	(BIT(EXC_DF) | BIT(EXC_TS) | BIT(EXC_NP) | BIT(EXC_SS) | BIT(EXC_GP) | BIT(EXC_PF) | BIT(EXC_AC))
/* Error codes that are a selector (or zero), whose bit 0 is EXT. */
#define VECTORS_WITH_EXT (BIT(EXC_TS) | BIT(EXC_NP) | BIT(EXC_SS) | BIT(EXC_GP))

bool exc_raise_error(struct vcpu *v, unsigned vector, u32 error)
{
	if (v->exc_ext && bit_test(VECTORS_WITH_EXT, vector))
		error |= 1;
	v->exc = (struct exception){
		.vector = (u8)vector,
		.has_error = bit_test(VECTORS_WITH_ERROR, vector),
		.error = error,
	};
	return false;
}

bool exc_raise(struct vcpu *v, unsigned vector)
{
	return exc_raise_error(v, vector, 0);
}

bool exc_raise_pf(struct vcpu *v, u32 error, u32 cr2)
{
	v->exc = (struct exception){ .vector = EXC_PF, .has_error = true, .error = error, .cr2 = cr2 };
	return false;
}

bool exc_raise_db(struct vcpu *v, u32 dr6)
{
	v->exc = (struct exception){ .vector = EXC_DB, .dr6 = dr6 };
	return false;
}

/* Usable, present, base 0, limit 4 GiB, and of the given kind among S/CODE/DC/RW. */
static bool flat_segment(const struct segment *s, u16 mask, u16 kind)
{
	return s->base == 0 && s->limit == 0xffffffffu &&
	       (s->attr & (SEG_NULL | SEG_P | mask)) == (SEG_P | kind);
}

#define WRITABLE_MASK (SEG_S | SEG_CODE | SEG_DC | SEG_RW)
#define WRITABLE_UP   (SEG_S | SEG_RW)

static bool flat_data(const struct segment *s)
{
	return flat_segment(s, WRITABLE_MASK, WRITABLE_UP);
}

static enum seg_class classify(const struct segment *s, u32 *limited)
{
	if (s->attr & SEG_NULL)
		return SEGC_UNUSABLE;
	if ((s->attr & (WRITABLE_MASK | SEG_P)) != (WRITABLE_UP | SEG_P))
		return SEGC_OTHER;
	if (s->limit == 0xffffffffu)
		return SEGC_FLAT4G;
	if (*limited == 0)
		*limited = s->limit;	/* a zero limit stays unfixed: it costs nothing */
	return s->limit == *limited && s->limit ? SEGC_LIMITED : SEGC_OTHER;
}

void vcpu_update_mode(struct vcpu *v)
{
	bool vm = v->sysflags & EFLAGS_VM;
	u32 m = v->cpl & MODE_CPL;
	enum seg_class fs = SEGC_OTHER, gs = SEGC_OTHER;

	if (v->seg[SEG_CS].attr & SEG_DB)
		m |= MODE_CODE32;
	if (v->seg[SEG_SS].attr & SEG_DB)
		m |= MODE_STACK32;
	if (v->cpl <= vcpu_iopl(v))
		m |= MODE_IOPL;
	if (v->cr0 & (CR0_EM | CR0_TS))
		m |= MODE_NOFPU;
	if (v->cr0 & CR0_PG)
		m |= MODE_PG;
	if (v->cr0 & CR0_PE) {
		m |= vm ? MODE_PE | MODE_VM : MODE_PE;
		if (!vm) {
			fs = classify(&v->seg[SEG_FS], &v->limited[0]);
			gs = classify(&v->seg[SEG_GS], &v->limited[1]);
			if (flat_segment(&v->seg[SEG_CS], SEG_S | SEG_CODE, SEG_S | SEG_CODE) &&
			    flat_data(&v->seg[SEG_SS]) && flat_data(&v->seg[SEG_DS]) &&
			    flat_data(&v->seg[SEG_ES]))
				m |= MODE_FLAT;
		}
	}
	v->mode = m | (u32)fs << MODE_FS_SHIFT | (u32)gs << MODE_GS_SHIFT;
}

/* What firmware leaves in the MTRRs: everything WB, VGA memory and the PCI hole UC. */
static void reset_mtrrs(struct vcpu *v)
{
	const u64 wb = 0x0606060606060606ull;

	v->mtrr_def_type = 0xc06;	/* E, FE, WB */
	for (unsigned i = 0; i < ARRAY_SIZE(v->mtrr_fixed); i++)
		v->mtrr_fixed[i] = wb;
	v->mtrr_fixed[2] = 0;		/* 0xa0000-0xbffff */
	__builtin_memset(v->mtrr_var, 0, sizeof(v->mtrr_var));
	v->mtrr_var[0] = RAM_SIZE_MAX;	/* UC */
	v->mtrr_var[1] = (bit_mask(GUEST_PHYS_BITS) & ~bit_mask(30)) | BIT64(11);
}

void vcpu_reset(struct vcpu *v)
{
	const struct segment data = { .limit = 0xffff, .attr = SEG_P | SEG_S | SEG_RW | SEG_A };
	const struct cpuid_leaf *family = v->cpuid ? cpuid_find(v->cpuid, 1, 0) : NULL;

	__builtin_memset(v->regs, 0, sizeof(v->regs));
	v->regs[EDX] = family ? family->eax : 0;
	v->eip = 0xfff0;
	vcpu_set_eflags(v, EFLAGS_1);
	for (unsigned s = SEG_ES; s <= SEG_GS; s++)
		v->seg[s] = data;
	v->seg[SEG_CS].sel = 0xf000;
	v->seg[SEG_CS].base = 0xffff0000;
	v->seg[SEG_CS].attr |= SEG_CODE;
	v->seg[SEG_LDTR] = (struct segment){ .limit = 0xffff, .attr = SEG_P | 2 };
	v->seg[SEG_TR] = (struct segment){ .limit = 0xffff, .attr = SEG_P | 11 };
	v->cpl = 0;
	v->gdt_base = v->idt_base = 0;
	v->gdt_limit = v->idt_limit = 0xffff;

	v->cr0 = CR0_CD | CR0_NW | CR0_ET;
	v->cr2 = v->cr3 = v->cr4 = 0;
	v->efer = 0;
	__builtin_memset(v->pdpte, 0, sizeof(v->pdpte));
	__builtin_memset(v->dr, 0, sizeof(v->dr));
	v->dr6 = DR6_FIXED;
	v->dr7 = DR7_FIXED;
	v->xcr0 = 1;

	v->sysenter_cs = v->sysenter_esp = v->sysenter_eip = 0;
	v->pat = 0x0007040600070406ull;
	v->misc_enable = 1;		/* fast strings */
	v->mcg_status = 0;
	v->tsc_aux = 0;
	reset_mtrrs(v);

	v->halted = v->nmi_pending = v->nmi_blocked = false;
	v->shadow_sti = v->shadow_ss = false;
	v->insn_len = 0;
	v->exc = (struct exception){ 0 };
	v->exc_depth = 0;
	v->exc_ext = false;
	v->last_vector = -1;
	v->faulted_page = false;

	vcpu_update_paging(v);
	mem_tlb_flush(v);
	vcpu_update_mode(v);
}
