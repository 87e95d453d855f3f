/*
 * Control, debug and extended control registers.
 *
 * CR3 loads and mode changes tell three parties: the walk context, the software
 * TLB, and the engine (platform->paging_changed, after the context is new).
 *
 * Sources: SDM vol. 3 sections 2.5, 2.6, 4.1.1 (paging-mode changes), 4.4.1
 * (PDPTE registers), 17.2 (debug registers); vol. 2 MOV CR, MOV DR, LMSW,
 * XSETBV; APM vol. 2 sections 3.1, 5.2, 13.1.
 */
#include "base/log.h"
#include "cpu/arch.h"
#include "cpu/cpuid.h"

#define CR0_DEFINED (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | \
		     CR0_NW | CR0_CD | CR0_PG)
#define CR4_ALWAYS (CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | \
		    CR4_OSFXSR | CR4_OSXMMEXCPT)

#define PDPTE_P    BIT64(0)
#define PDPTE_RSVD (BIT64(1) | BIT64(2) | (bit_mask(9) & ~bit_mask(5)) | ~bit_mask(GUEST_PHYS_BITS))

void vcpu_update_paging(struct vcpu *v)
{
	struct walk_ctx *w = &v->walk;

	w->phys = v->phys;
	w->paging = v->cr0 & CR0_PG;
	w->wp = v->cr0 & CR0_WP;
	w->pae = v->cr4 & CR4_PAE;
	w->pse = v->cr4 & CR4_PSE;
	w->pge = v->cr4 & CR4_PGE;
	w->nxe = v->efer & EFER_NXE;
	w->cr3 = v->cr3;
	__builtin_memcpy(w->pdpte, v->pdpte, sizeof(w->pdpte));
}

/* The walk context is stale: renew it, and tell who caches translations. */
static void paging_changed(struct vcpu *v, enum paging_change what)
{
	vcpu_update_paging(v);
	mem_tlb_flush(v);
	if ((v->cr0 & CR0_PG) || what == PAGING_MODE)
		v->platform->paging_changed(v, what, 0);
}

/* Read the four PDPTEs that `cr3` points to; #GP(0) on a reserved bit. */
static bool read_pdptes(struct vcpu *v, u32 cr3, u64 pdpte[4])
{
	if (!phys_read(v->phys, cr3 & ~31u, pdpte, 32)) {
		trace(unimp, "CR3 %08x: PDPTEs outside RAM", cr3);
		__builtin_memset(pdpte, 0, 32);
	}
	for (unsigned i = 0; i < 4; i++)
		if ((pdpte[i] & PDPTE_P) && (pdpte[i] & PDPTE_RSVD))
			return exc_raise_error(v, EXC_GP, 0);
	return true;
}

bool cr3_load(struct vcpu *v, u32 value)
{
	u64 pdpte[4];

	if ((v->cr0 & CR0_PG) && (v->cr4 & CR4_PAE)) {
		if (!read_pdptes(v, value, pdpte))
			return false;
		__builtin_memcpy(v->pdpte, pdpte, sizeof(pdpte));
	}
	v->count->cr3_loads++;
	if (v->cr3 == value)
		v->count->cr3_same++;
	v->cr3 = value;
	paging_changed(v, PAGING_CR3);
	return true;
}

static bool cr0_write(struct vcpu *v, u32 value)
{
	u32 new = (value & CR0_DEFINED) | CR0_ET, changed = new ^ v->cr0;
	u64 pdpte[4];

	if (((new & CR0_PG) && !(new & CR0_PE)) || ((new & CR0_NW) && !(new & CR0_CD)))
		return exc_raise_error(v, EXC_GP, 0);
	if ((new & CR0_PG) && (v->cr4 & CR4_PAE) && (changed & (CR0_PG | CR0_CD | CR0_NW))) {
		if (!read_pdptes(v, v->cr3, pdpte))
			return false;
		__builtin_memcpy(v->pdpte, pdpte, sizeof(pdpte));
	}
	trace(cr, "CR0 %08x -> %08x", v->cr0, new);
	v->cr0 = new;
	if (changed & (CR0_PG | CR0_WP))
		paging_changed(v, PAGING_MODE);
	vcpu_update_mode(v);
	return true;
}

static bool cr4_write(struct vcpu *v, u32 value)
{
	u32 supported = v->cpuid ? v->cpuid->cr4 : CR4_ALWAYS, changed = value ^ v->cr4;
	const u32 paging = CR4_PAE | CR4_PSE | CR4_PGE;
	u64 pdpte[4];

	if (value & ~supported)
		return exc_raise_error(v, EXC_GP, 0);
	if ((v->cr0 & CR0_PG) && (value & CR4_PAE) && (changed & paging)) {
		if (!read_pdptes(v, v->cr3, pdpte))
			return false;
		__builtin_memcpy(v->pdpte, pdpte, sizeof(pdpte));
	}
	trace(cr, "CR4 %08x -> %08x", v->cr4, value);
	v->cr4 = value;
	if (changed & paging)
		paging_changed(v, PAGING_MODE);
	return true;
}

bool cr_write(struct vcpu *v, unsigned cr, u32 value)
{
	if (cr != 0 && cr != 2 && cr != 3 && cr != 4)
		return exc_raise(v, EXC_UD);	/* CR8 exists in 64-bit mode only */
	if (v->cpl != 0)
		return exc_raise_error(v, EXC_GP, 0);
	switch (cr) {
	case 0:
		return cr0_write(v, value);
	case 2:
		v->cr2 = value;
		return true;
	case 3:
		return cr3_load(v, value);
	default:
		return cr4_write(v, value);
	}
}

bool cr_read(struct vcpu *v, unsigned cr, u32 *value)
{
	if (cr != 0 && cr != 2 && cr != 3 && cr != 4)
		return exc_raise(v, EXC_UD);
	if (v->cpl != 0)
		return exc_raise_error(v, EXC_GP, 0);
	*value = cr == 0 ? v->cr0 : cr == 2 ? v->cr2 : cr == 3 ? v->cr3 : v->cr4;
	return true;
}

void cr_clts(struct vcpu *v)
{
	v->cr0 &= ~CR0_TS;
	vcpu_update_mode(v);
}

bool cr_lmsw(struct vcpu *v, u16 value)
{
	u32 low = CR0_MP | CR0_EM | CR0_TS;

	/* PE can be set this way, but not cleared. */
	return cr_write(v, 0, (v->cr0 & ~low) | (value & (low | CR0_PE)));
}

/* ---- debug registers ---- */

/* Which register `dr` names; or the exception. */
static bool dr_access(struct vcpu *v, unsigned *dr)
{
	if (*dr == 4 || *dr == 5) {
		if (v->cr4 & CR4_DE)
			return exc_raise(v, EXC_UD);
		*dr += 2;
	}
	if (*dr > 7)
		return exc_raise(v, EXC_UD);
	if (v->cpl != 0)
		return exc_raise_error(v, EXC_GP, 0);
	if (v->dr7 & DR7_GD)
		return exc_raise_db(v, DR6_BD);
	return true;
}

bool dr_write(struct vcpu *v, unsigned dr, u32 value)
{
	if (!dr_access(v, &dr))
		return false;
	trace(cr, "DR%u = %08x", dr, value);
	if (dr < 4) {
		v->dr[dr] = value;
	} else if (dr == 6) {
		v->dr6 = (value & 0x0000e00f) | DR6_FIXED;
	} else {
		v->dr7 = (value & 0xffff23ff) | DR7_FIXED;
		if (value & 0xff)
			trace(unimp, "hardware breakpoints (DR7 = %08x) at %08x", value, v->eip);
	}
	return true;
}

bool dr_read(struct vcpu *v, unsigned dr, u32 *value)
{
	if (!dr_access(v, &dr))
		return false;
	*value = dr < 4 ? v->dr[dr] : dr == 6 ? v->dr6 : v->dr7;
	return true;
}

/* ---- XCR0 ---- */

#define XCR0_X87    BIT64(0)
#define XCR0_SSE    BIT64(1)
#define XCR0_AVX    BIT64(2)
#define XCR0_AVX512 (BIT64(5) | BIT64(6) | BIT64(7))

bool xcr_write(struct vcpu *v, u32 index, u64 value)
{
	u64 supported = v->cpuid ? v->cpuid->xcr0 : XCR0_X87 | XCR0_SSE;

	if (!(v->cr4 & CR4_OSXSAVE))
		return exc_raise(v, EXC_UD);
	if (v->cpl != 0 || index != 0 || !(value & XCR0_X87) || (value & ~supported) ||
	    ((value & XCR0_AVX) && !(value & XCR0_SSE)) ||
	    ((value & XCR0_AVX512) && ((value & XCR0_AVX512) != XCR0_AVX512 || !(value & XCR0_AVX))))
		return exc_raise_error(v, EXC_GP, 0);
	trace(cr, "XCR0 = %llx", (unsigned long long)value);
	v->xcr0 = value;
	return true;
}
