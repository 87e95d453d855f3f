/*
 * The shadow: guest page tables mirrored by host mappings of the RAM memfd.
 *
 * An executor process shows the guest's linear address space twice (see
 * docs/design.md): pages whose PTE chain has U=1 in the user window (host
 * address = linear address), the others in the kernel window (KERNEL_WINDOW +
 * linear address).  The host's own page tables do the translation; this module
 * decides what they say.
 *
 * There is no write-tracing of guest page tables.  Like a TLB, the shadow may
 * be stale until the guest executes INVLPG, loads CR3 or toggles CR4.PGE.  For
 * each 2 MiB region with shadow entries a snapshot of its PDE and PTEs is kept;
 * the flushing operations compare it with guest memory and drop what differs.
 *
 * Pages that hold translated code (phys_map.has_code) are never mapped
 * writable, in either window.
 *
 * One struct shadow describes one executor's address space.  It lives in the
 * arena; only that executor calls in here, because mmap acts on its own process.
 * One more struct shadow maps nothing and tracks through which linear pages code was
 * fetched (code_moved is set): any executor may call for that (cpu/space.c).
 */
#ifndef MMU_SHADOW_H
#define MMU_SHADOW_H

#include "base/counters.h"
#include "base/types.h"
#include "mmu/phys.h"
#include "mmu/walk.h"

/* The kernel window: 4 GiB-aligned, with 4 GiB of guard below and above. */
#define KERNEL_WINDOW 0x100000000000ull
#define WINDOW_SIZE   0x100000000ull

enum window { WIN_KERNEL, WIN_USER };

static inline u8 *window_base(enum window w) { return w == WIN_USER ? NULL : (u8 *)KERNEL_WINDOW; }

enum shadow_result {
	SHADOW_FILLED,		/* mapped: retry the access */
	SHADOW_TRUE_FAULT,	/* the guest's own page tables say no: #PF with *pf_error */
	SHADOW_MMIO,		/* the page is not RAM */
	SHADOW_WRONG_WINDOW,	/* mapped in the other window: the access used the wrong one */
	SHADOW_CODE_WRITE,	/* a write to a page with translated code */
	SHADOW_EMULATE,		/* right, but cannot be mapped so: perform this access by hand */
};

#define SHADOW_REGION_SHIFT 21
#define SHADOW_REGIONS (1u << (32 - SHADOW_REGION_SHIFT))
#define SHADOW_REGION_PAGES (1u << (SHADOW_REGION_SHIFT - PAGE_SHIFT))
#define SHADOW_SNAPS 4096u

/* Low bits of a shadow entry; the high 20 are the guest physical page. */
#define SP_MAPPED 0x001u	/* in a window */
#define SP_USER   0x002u	/* in the user window (else the kernel window) */
#define SP_WRITE  0x004u	/* host-writable */
#define SP_EXEC   0x008u	/* host-executable (user window only) */
#define SP_GLOBAL 0x010u	/* guest G bit: survives MOV CR3 */
#define SP_CODE   0x020u	/* translated code was fetched through this linear page (in the shadow that tracks it) */
#define SP_TRACKED (SP_MAPPED | SP_CODE)

#define SNAP_NONE 0u
#define PATCH_NONE 0xffffffffu

struct shadow_region {
	u32 tracked;		/* pages with SP_TRACKED */
	u32 nonglobal;		/* of these, without SP_GLOBAL */
	u64 pde;		/* snapshot (leaf if large) */
	const u8 *pt;		/* host pointer to this region's PTEs; NULL: large page or paging off */
	u32 snap;		/* index of the PTE snapshot, or SNAP_NONE */
	u32 active;		/* position in the active list */
	bool live;		/* on the active list: PDE and PTE snapshots are valid */
};

/* Pages waiting to be unmapped, merged into runs. */
struct shadow_run { u32 first, end; };

/* A guest page of which user windows show a patched copy, read-only, instead: page `off` of `fd`. */
struct patched_page {
	u32 gpage;		/* PATCH_NONE: none */
	u32 changes;		/* how often that was another one */
	int fd;
	u64 off;
};

struct shadow {
	const struct phys_map *phys;
	struct counters *count;
	/* The linear page's translations in bt's tables are void.  NULL: no engine. */
	void (*code_moved)(void *opaque, u32 lin_page, u32 gpage);
	void *opaque;
	lin_t min_addr;		/* lowest address the host lets us map (vm.mmap_min_addr) */
	u64 max_maps;		/* mapping budget */
	u64 maps;		/* upper estimate of the mappings there are */
	lin_t stub_page;	/* page of the user window that the VMM occupies, never mapped for the guest */

	const struct patched_page *patched;	/* NULL: there never is one */
	lin_t patch_lin;	/* where it was mapped last */

	u32 active_count;
	u32 snap_free;		/* head of the free list, threaded through snapshot's first word */
	struct shadow_run run[2];	/* per window: to be unmapped */
	struct shadow_run protect;	/* to lose write rights... */
	u32 protect_flags;		/* ...their entries' flags, alike for the run */
	u16 active_list[SHADOW_REGIONS];
	struct shadow_region region[SHADOW_REGIONS];
	u32 *entry;		/* [1 << 20], by linear page */
	u32 *rmap_next;		/* [1 << 20], by linear page: next linear page + 1 of the same guest page */
	u32 *rmap_head;		/* [RAM pages]: linear page + 1 */
	u8 (*snaps)[PAGE_SIZE];	/* [SHADOW_SNAPS] */
};

/* Bytes of arena that shadow_init needs beyond struct shadow. */
u64 shadow_tables_size(const struct phys_map *phys);
void shadow_init(struct shadow *s, const struct phys_map *phys, struct counters *count, void *tables,
		 lin_t min_addr, u64 max_maps);

/* Executor start: reserve the kernel window and its guards.  0 or negative errno. */
int shadow_attach(struct shadow *s);

/*
 * An access `acc` (ACC_*) at `lin` faulted in window `win`: fill the shadow or
 * say why not.  On SHADOW_TRUE_FAULT *pf_error is the #PF error code.
 */
enum shadow_result shadow_fault(struct shadow *s, const struct walk_ctx *w, enum window win,
				lin_t lin, unsigned acc, u32 *pf_error);

/* Map `lin`, in its window, or make it writable, if the guest's tables say that it has been accessed, or written, already (prefill). */
bool shadow_prefill(struct shadow *s, const struct walk_ctx *w, lin_t lin);

/* MOV CR3; `global` also compares entries with G set (CR4.PGE toggles). */
void shadow_compare(struct shadow *s, const struct walk_ctx *w, bool global);
void shadow_invlpg(struct shadow *s, const struct walk_ctx *w, lin_t lin);
/* Everything: the paging mode has changed, or the mapping budget is used up. */
void shadow_flush(struct shadow *s);

/* The page has got code (phys_map.has_code), if it still has: take write rights away. */
void shadow_protect(struct shadow *s, u32 gpage);
/* Code is being translated from guest page `gpa`, fetched at `lin`: track the mapping. */
void shadow_track_code(struct shadow *s, const struct walk_ctx *w, lin_t lin, gpa_t gpa);
/* The guest page out of the user window. */
void shadow_drop_user(struct shadow *s, u32 gpage);

static inline bool shadow_mapped(const struct shadow *s, lin_t lin)
{
	return s->entry[lin >> PAGE_SHIFT] & SP_MAPPED;
}

#endif
