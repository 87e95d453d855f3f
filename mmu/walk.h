/*
 * The guest page walk: a pure function of (CR0, CR3, CR4, EFER, CPL) and guest
 * memory, as the manual describes it, including the accessed and dirty bits.
 * Knows nothing of shadow mappings.  (SDM vol. 3 ch. 4; APM vol. 2 ch. 5.)
 */
#ifndef MMU_WALK_H
#define MMU_WALK_H

#include "base/types.h"
#include "mmu/phys.h"

/*
 * MAXPHYADDR of the guest: what CPUID 0x80000008 says and what entries are
 * checked against.  36 is what every PAE system was written for.
 */
#define GUEST_PHYS_BITS 36

struct walk_ctx {
	const struct phys_map *phys;
	bool paging, pae, pse, wp, nxe, pge;
	u32 cr3;
	u64 pdpte[4];
};

/* Access kinds, combined. */
#define ACC_READ  0u
#define ACC_WRITE 1u
#define ACC_USER  2u	/* with user privilege (CPL 3) */
#define ACC_FETCH 4u
#define ACC_PEEK  8u	/* set no A/D bits (debugger, prefetch decisions) */

/* #PF error code. */
#define PF_P    1u
#define PF_W    2u
#define PF_U    4u
#define PF_RSVD 8u
#define PF_I    16u

struct walk_result {
	gpa_t gpa;		/* of the byte at `lin` */
	u64 pte;		/* leaf entry, after the A/D update */
	u64 pde;		/* PDE (leaf itself for a large page) */
	gpa_t pde_gpa, pte_gpa;	/* where they are; pte_gpa = ~0 for a large page */
	u32 page_size;		/* 4096, 2 MiB or 4 MiB; 4 GiB-1 stands for "no paging" */
	bool writable;		/* R/W along the whole chain */
	bool user;		/* U/S along the whole chain */
	bool nx;		/* any XD along the chain */
	bool dirty;		/* leaf D is set */
	bool global;		/* leaf G is set and CR4.PGE */
};

/* 0 on success; otherwise the #PF error code with PF_FAULT set. */
#define PF_FAULT 0x80000000u
MUST_USE u32 walk(const struct walk_ctx *c, lin_t lin, unsigned access, struct walk_result *r);

enum paging_change {
	PAGING_CR3,		/* MOV CR3: non-global entries may have changed */
	PAGING_INVLPG,		/* one page */
	PAGING_MODE,		/* CR0.PG/WP, CR4.PAE/PSE/PGE, EFER.NXE: everything */
};

#endif
