/*
 * The guest page walk: two-level tables with PSE and PSE-36, and PAE with its
 * four PDPTE registers.  A pure function of struct walk_ctx and guest memory,
 * but for the A and D bits, which it sets as the CPU would: by compare and
 * exchange, so that a concurrent change of the entry by another CPU restarts
 * the walk instead of being lost.
 *
 * Invariant: a walk that faults has changed nothing.  (The CPU may set A in the
 * upper levels of a failing walk; nobody relies on it.)
 *
 * Sources: SDM vol. 3 sections 4.3, 4.4, 4.6-4.8; APM vol. 2 sections 5.2-5.6.
 */
#include "base/bits.h"
#include "base/log.h"
#include "mmu/walk.h"

#define PTE_P   BIT64(0)
#define PTE_RW  BIT64(1)
#define PTE_US  BIT64(2)
#define PTE_A   BIT64(5)
#define PTE_D   BIT64(6)
#define PTE_PS  BIT64(7)
#define PTE_G   BIT64(8)
#define PTE_XD  BIT64(63)

#define PAE_ADDR      (bit_mask(GUEST_PHYS_BITS) & ~(u64)PAGE_MASK)
#define PAE_RSVD      (bit_mask(63) & ~bit_mask(GUEST_PHYS_BITS))
#define PAE_RSVD_2M   (bit_mask(21) & ~bit_mask(13))
/* PSE-36: PDE bits 13.. are address bits 32..MAXPHYADDR-1; up to bit 21 the rest is reserved. */
#define PSE36_SHIFT   13
#define PSE36_WIDTH   (GUEST_PHYS_BITS - 32)
#define PSE_RSVD_4M   (bit_mask(22) & ~bit_mask(PSE36_SHIFT + PSE36_WIDTH))

/* Internal result: an entry changed under us; start again. */
#define WALK_RETRY 0x40000000u

static bool entry_read(const struct walk_ctx *c, gpa_t gpa, u64 *val)
{
	const void *p = phys_ptr(c->phys, gpa, c->pae ? 8 : 4);

	if (!p) {
		trace(unimp, "page table entry outside RAM at %llx", (unsigned long long)gpa);
		return false;
	}
	*val = c->pae ? __atomic_load_n((const u64 *)p, __ATOMIC_RELAXED)
		      : __atomic_load_n((const u32 *)p, __ATOMIC_RELAXED);
	return true;
}

/* Set `bits` in the entry at gpa, which entry_read found to be *val.  False: it has changed since. */
static bool entry_set(const struct walk_ctx *c, gpa_t gpa, u64 *val, u64 bits)
{
	u8 *p = c->phys->ram + gpa;
	bool done;

	if ((*val & bits) == bits)
		return true;
	if (c->pae) {
		u64 old = *val;
		done = __atomic_compare_exchange_n((u64 *)p, &old, old | bits, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	} else {
		u32 old = (u32)*val;
		done = __atomic_compare_exchange_n((u32 *)p, &old, old | (u32)bits, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	}
	if (!done)
		return false;
	*val |= bits;
	phys_dirty(c->phys, gpa, c->pae ? 8 : 4);
	return true;
}

static u32 fault(const struct walk_ctx *c, unsigned access, u32 why)
{
	u32 e = PF_FAULT | why;

	if (access & ACC_WRITE)
		e |= PF_W;
	if (access & ACC_USER)
		e |= PF_U;
	if ((access & ACC_FETCH) && c->pae && c->nxe)
		e |= PF_I;
	return e;
}

static u32 walk_once(const struct walk_ctx *c, lin_t lin, unsigned access, struct walk_result *r)
{
	u64 rsvd = c->pae ? PAE_RSVD | (c->nxe ? 0 : PTE_XD) : 0;
	u64 pde, leaf, rights, need;
	gpa_t pde_gpa, pte_gpa = ~0ull;
	bool large, nx;

	if (c->pae) {
		u64 pdpte = c->pdpte[lin >> 30];

		if (!(pdpte & PTE_P))
			return fault(c, access, 0);
		pde_gpa = (pdpte & PAE_ADDR) | (u64)((lin >> 21) & 511) * 8;
	} else {
		pde_gpa = (c->cr3 & ~PAGE_MASK) | (lin >> 22) * 4;
	}

	if (!entry_read(c, pde_gpa, &pde) || !(pde & PTE_P))
		return fault(c, access, 0);
	large = (pde & PTE_PS) && (c->pae || c->pse);
	if (pde & (rsvd | (large ? (c->pae ? PAE_RSVD_2M : PSE_RSVD_4M) : 0)))
		return fault(c, access, PF_P | PF_RSVD);

	if (large) {
		leaf = pde;
		rights = pde;
		nx = pde >> 63;
	} else {
		pte_gpa = c->pae ? (pde & PAE_ADDR) | (u64)((lin >> 12) & 511) * 8
				 : (pde & ~(u64)PAGE_MASK) | (u64)((lin >> 12) & 1023) * 4;
		if (!entry_read(c, pte_gpa, &leaf) || !(leaf & PTE_P))
			return fault(c, access, 0);
		if (leaf & rsvd)
			return fault(c, access, PF_P | PF_RSVD);
		rights = pde & leaf;
		nx = (pde | leaf) >> 63;
	}
	nx = nx && c->nxe;	/* with NXE clear the bit is reserved and has faulted above */

	if (((access & ACC_USER) && !(rights & PTE_US)) ||
	    ((access & ACC_WRITE) && !(rights & PTE_RW) && ((access & ACC_USER) || c->wp)) ||
	    ((access & ACC_FETCH) && nx))
		return fault(c, access, PF_P);

	if (!(access & ACC_PEEK)) {
		need = PTE_A | (access & ACC_WRITE ? PTE_D : 0);
		if (large) {
			if (!entry_set(c, pde_gpa, &pde, need))
				return WALK_RETRY;
			leaf = pde;
		} else if (!entry_set(c, pde_gpa, &pde, PTE_A) || !entry_set(c, pte_gpa, &leaf, need)) {
			return WALK_RETRY;
		}
	}

	if (!large) {
		r->page_size = PAGE_SIZE;
		r->gpa = (c->pae ? leaf & PAE_ADDR : leaf & ~(u64)PAGE_MASK) | (lin & PAGE_MASK);
	} else if (c->pae) {
		r->page_size = 2u << 20;
		r->gpa = (leaf & PAE_ADDR & ~bit_mask(21)) | (lin & (u32)bit_mask(21));
	} else {
		r->page_size = 4u << 20;
		r->gpa = (leaf & ~bit_mask(22)) | bits_get(leaf, PSE36_SHIFT, PSE36_WIDTH) << 32 |
			 (lin & (u32)bit_mask(22));
	}
	r->pte = leaf;
	r->pde = pde;
	r->pde_gpa = pde_gpa;
	r->pte_gpa = pte_gpa;
	r->writable = (rights & PTE_RW) != 0;
	r->user = (rights & PTE_US) != 0;
	r->nx = nx;
	r->dirty = (leaf & PTE_D) != 0;
	r->global = c->pge && (leaf & PTE_G);
	return 0;
}

u32 walk(const struct walk_ctx *c, lin_t lin, unsigned access, struct walk_result *r)
{
	u32 e;

	if (!c->paging) {
		*r = (struct walk_result){
			.gpa = lin, .pde_gpa = ~0ull, .pte_gpa = ~0ull, .page_size = 0xffffffffu,
			.writable = true, .user = true, .dirty = true,
		};
		return 0;
	}
	do
		e = walk_once(c, lin, access, r);
	while (e == WALK_RETRY);
	return e;
}
