/* See mmu/shadow.h.  (SDM vol. 3 section 4.10 on what a TLB may keep.) */
#include <errno.h>
#include <linux/mman.h>
#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"
#include "base/sys.h"
#include "mmu/shadow.h"

#define PROT_NONE_  0
#define PROT_R 1
#define PROT_W 2
#define PROT_X 4

#define LIN_PAGES (1u << 20)

/*
 * Most 4 KiB pages that one fault maps on either side of its own.  More save
 * faults where memory is contiguous, and cost page-table reads where it is not.
 */
#define RUN_MAX 64u

#define PTE_P   BIT64(0)
#define PTE_W   BIT64(1)
#define PTE_U   BIT64(2)
#define PTE_A   BIT64(5)
#define PTE_D   BIT64(6)
#define PTE_PS  BIT64(7)
#define PTE_G   BIT64(8)
#define PTE_AVL 0xe00ull
#define PTE_NX  BIT64(63)
#define PTE_ADDRESS 0xffffff000ull	/* with GUEST_PHYS_BITS */

u64 shadow_tables_size(const struct phys_map *phys)
{
	return (u64)LIN_PAGES * 4 * 2 + ALIGN_UP((phys->ram_size >> PAGE_SHIFT) * 4, PAGE_SIZE) +
	       (u64)SHADOW_SNAPS * PAGE_SIZE;
}

void shadow_init(struct shadow *s, const struct phys_map *phys, struct counters *count, void *tables,
		 lin_t min_addr, u64 max_maps)
{
	u8 *t = tables;

	s->phys = phys;
	s->count = count;
	s->min_addr = min_addr;
	s->max_maps = max_maps;
	s->entry = (u32 *)t;
	t += LIN_PAGES * 4;
	s->rmap_next = (u32 *)t;
	t += LIN_PAGES * 4;
	s->rmap_head = (u32 *)t;
	t += ALIGN_UP((phys->ram_size >> PAGE_SHIFT) * 4, PAGE_SIZE);
	s->snaps = (u8(*)[PAGE_SIZE])t;
	s->snap_free = 1;	/* a snapshot page of zeros means: the next free one follows */
}

int shadow_attach(struct shadow *s)
{
	long r = sys_mmap((void *)(KERNEL_WINDOW - WINDOW_SIZE), 3 * WINDOW_SIZE, PROT_NONE_,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	return r < 0 ? (int)r : 0;
}

/* ---- snapshots ---- */

/* The free list's link is stored as index + 1 - own index - 1, so that untouched (zero) pages chain in order. */
static u32 snap_alloc(struct shadow *s)
{
	u32 i = s->snap_free;
	s32 delta;

	if (i >= SHADOW_SNAPS)
		return SNAP_NONE;
	delta = (s32)load32(s->snaps[i]);
	s->snap_free = i + 1 + (u32)delta;
	return i;
}

static void snap_release(struct shadow *s, u32 i)
{
	store32(s->snaps[i], s->snap_free - (i + 1));
	s->snap_free = i;
}

/* ---- reverse map ---- */

static void rmap_add(struct shadow *s, u32 page, u32 gpage)
{
	s->rmap_next[page] = s->rmap_head[gpage];
	s->rmap_head[gpage] = page + 1;
}

static void rmap_remove(struct shadow *s, u32 page, u32 gpage)
{
	u32 *link = &s->rmap_head[gpage];

	while (*link && *link != page + 1)
		link = &s->rmap_next[*link - 1];
	CHECK(*link);
	*link = s->rmap_next[page];
}

/* ---- unmapping, in runs ---- */

static void run_flush(struct shadow *s, enum window win)
{
	struct shadow_run *r = &s->run[win];

	if (r->first < r->end) {
		sys_munmap(window_base(win) + ((u64)r->first << PAGE_SHIFT),
			   (u64)(r->end - r->first) << PAGE_SHIFT);
		s->count->munmap_calls++;
		trace(shadow, "unmap %s %08x..%08x", win == WIN_USER ? "user" : "kernel",
		      r->first << PAGE_SHIFT, (r->end << PAGE_SHIFT) - 1);
	}
	r->first = r->end = 0;
}

/* May [from, to) be unmapped along with its neighbours: nothing live of this window in it? */
static bool gap_is_dead(const struct shadow *s, enum window win, u32 from, u32 to)
{
	u32 want = win == WIN_USER ? SP_MAPPED | SP_USER : SP_MAPPED;

	for (u32 p = from; p < to;) {
		if (s->stub_page && win == WIN_USER && p == s->stub_page >> PAGE_SHIFT)
			return false;
		if (!s->region[p >> 9].tracked && !(s->stub_page && p >> 9 == s->stub_page >> SHADOW_REGION_SHIFT)) {
			p = (p | (SHADOW_REGION_PAGES - 1)) + 1;
			continue;
		}
		if ((s->entry[p] & (SP_MAPPED | SP_USER)) == want)
			return false;
		p++;
	}
	return true;
}

static void run_add(struct shadow *s, enum window win, u32 page)
{
	struct shadow_run *r = &s->run[win];

	if (r->first < r->end) {
		if (page >= r->first && page < r->end)
			return;
		if (page >= r->end && gap_is_dead(s, win, r->end, page)) {
			r->end = page + 1;
			return;
		}
		run_flush(s, win);
	}
	r->first = page;
	r->end = page + 1;
}

static int host_prot(u32 flags)
{
	return PROT_R | (flags & SP_WRITE ? PROT_W : 0) | (flags & SP_EXEC ? PROT_X : 0);
}

static void host_protect(struct shadow *s, enum window win, u32 page, u32 n, int prot)
{
	sys_mprotect(window_base(win) + ((u64)page << PAGE_SHIFT), (u64)n << PAGE_SHIFT, prot);
	s->count->mmap_calls++;
	s->maps += 2;
}

/* The pages of the pending run get the rights in protect_flags. */
static void protect_flush(struct shadow *s)
{
	struct shadow_run *r = &s->protect;

	if (r->first < r->end)
		host_protect(s, s->protect_flags & SP_USER ? WIN_USER : WIN_KERNEL, r->first, r->end - r->first,
			     host_prot(s->protect_flags));
	r->first = r->end = 0;
}

/* This page's write right has just been taken from its entry: make it so, with its neighbours. */
static void protect_add(struct shadow *s, u32 page)
{
	struct shadow_run *r = &s->protect;

	if (r->first < r->end && page == r->end &&
	    !((s->entry[page] ^ s->protect_flags) & (SP_USER | SP_EXEC | SP_WRITE))) {
		r->end++;
		return;
	}
	protect_flush(s);
	r->first = page;
	r->end = page + 1;
	s->protect_flags = s->entry[page];
}

static void runs_flush(struct shadow *s)
{
	protect_flush(s);
	run_flush(s, WIN_KERNEL);
	run_flush(s, WIN_USER);
}

/* ---- regions ---- */

static void region_activate(struct shadow *s, u32 n)
{
	struct shadow_region *r = &s->region[n];

	r->live = true;
	r->active = s->active_count;
	s->active_list[s->active_count++] = (u16)n;
}

static void region_release(struct shadow *s, u32 n)
{
	struct shadow_region *r = &s->region[n];
	u16 last = s->active_list[--s->active_count];

	s->active_list[r->active] = last;
	s->region[last].active = r->active;
	if (r->snap != SNAP_NONE)
		snap_release(s, r->snap);
	r->snap = SNAP_NONE;
	r->pt = NULL;
	r->live = false;
}

/* The page is not tracked any more, and that is all. */
static void untrack(struct shadow *s, u32 page)
{
	struct shadow_region *r = &s->region[page >> 9];

	r->tracked--;
	if (!(s->entry[page] & SP_GLOBAL))
		r->nonglobal--;
	s->entry[page] = 0;
}

/* Forget a tracked page.  Does not release the region: the caller does when it is empty. */
static void drop_page(struct shadow *s, u32 page)
{
	u32 e = s->entry[page];

	if (!(e & SP_TRACKED))
		return;
	untrack(s, page);
	if (e & SP_MAPPED) {
		rmap_remove(s, page, e >> PAGE_SHIFT);
		run_add(s, e & SP_USER ? WIN_USER : WIN_KERNEL, page);
		s->count->shadow_drops++;
	}
	if ((e & SP_CODE) && s->code_moved)
		s->code_moved(s->opaque, page, e >> PAGE_SHIFT);
}

static void drop_region(struct shadow *s, u32 n)
{
	struct shadow_region *r = &s->region[n];

	for (u32 i = 0; i < SHADOW_REGION_PAGES && r->tracked; i++)
		drop_page(s, n << 9 | i);
	region_release(s, n);
}

/* The current PDE of a region and, if it points to a page table, the host address of the region's PTEs. */
static u64 region_pde(const struct walk_ctx *w, u32 n, const u8 **pt)
{
	lin_t lin = n << SHADOW_REGION_SHIFT;
	const u8 *p;
	gpa_t table;
	u64 pde;

	*pt = NULL;
	if (!w->paging)
		return 0;
	if (w->pae) {
		u64 pdpte = w->pdpte[lin >> 30];
		if (!(pdpte & PTE_P))
			return 0;
		p = phys_ptr(w->phys, (pdpte & PTE_ADDRESS) + ((lin >> 21) & 511) * 8, 8);
		if (!p)
			return 0;
		pde = load64(p);
		table = pde & PTE_ADDRESS;
	} else {
		p = phys_ptr(w->phys, (w->cr3 & ~PAGE_MASK) + (lin >> 22) * 4, 4);
		if (!p)
			return 0;
		pde = load32(p);
		table = (pde & 0xfffff000u) + ((lin >> 21) & 1) * 2048;
	}
	if ((pde & PTE_P) && !((pde & PTE_PS) && (w->pae || w->pse)))
		*pt = phys_ptr(w->phys, table, w->pae ? 4096 : 2048);
	return pde;
}

/* Bits of a PDE whose change matters: a pointer's D and AVL bits do not.  (A does: a guest that clears it wants it set again.)*/
static u64 pde_significant(u64 pde, bool leaf)
{
	return leaf ? pde & ~PTE_AVL : pde & ~(PTE_AVL | PTE_D);
}

static u64 pte_at(const u8 *pt, bool pae, u32 i)
{
	return pae ? load64(pt + i * 8) : load32(pt + i * 4);
}

static void snap_set(struct shadow *s, u32 snap, bool pae, u32 i, u64 pte)
{
	if (pae)
		store64(s->snaps[snap] + i * 8, pte);
	else
		store32(s->snaps[snap] + i * 4, (u32)pte);
}

/* Does code fetched through this linear page still come from the same guest page, with the same privilege? */
static bool code_stays(const struct shadow *s, const struct walk_ctx *w, u32 page)
{
	struct walk_result r;
	u32 e = s->entry[page];

	return walk(w, page << PAGE_SHIFT, ACC_FETCH | ACC_PEEK, &r) == 0 && r.gpa >> PAGE_SHIFT == e >> PAGE_SHIFT &&
	       r.user == !!(e & SP_USER);
}

/*
 * The PDE of a region has changed.  Mappings go.  Code only where it has moved: a kernel that
 * splits a large page to give its parts other rights keeps its translations.
 */
static void region_changed(struct shadow *s, const struct walk_ctx *w, u32 n)
{
	u32 entry[SHADOW_REGION_PAGES];

	if (!s->code_moved) {
		drop_region(s, n);
		return;
	}
	for (u32 i = 0; i < SHADOW_REGION_PAGES; i++) {
		u32 page = n << 9 | i, e = s->entry[page];

		entry[i] = (e & SP_TRACKED) && code_stays(s, w, page) ? e : 0;
		if (entry[i])
			untrack(s, page);
	}
	drop_region(s, n);
	for (u32 i = 0; i < SHADOW_REGION_PAGES; i++)
		if (entry[i])
			shadow_track_code(s, w, (n << 9 | i) << PAGE_SHIFT, entry[i] & ~PAGE_MASK);
}

/*
 * Make the region of `page` ready to track it: snapshot its PDE and, for 4 KiB
 * pages, the page's PTE.  False if no snapshot is to be had (caller flushes).
 */
static bool region_prepare(struct shadow *s, const struct walk_ctx *w, u32 page)
{
	u32 n = page >> 9;
	struct shadow_region *r = &s->region[n];
	const u8 *pt;
	u64 pde = region_pde(w, n, &pt);

	if (r->live && (pde_significant(pde, !pt) != pde_significant(r->pde, !r->pt) || pt != r->pt)) {
		/* The guest changed the PDE without a flush; the old entries may go now. */
		region_changed(s, w, n);
		runs_flush(s);
	}
	if (!r->live) {
		if (pt) {
			r->snap = snap_alloc(s);
			if (r->snap == SNAP_NONE)
				return false;
		}
		r->pde = pde;
		r->pt = pt;
		region_activate(s, n);
	}
	if (r->pt) {
		u64 cur = pte_at(r->pt, w->pae, page & 511);
		snap_set(s, r->snap, w->pae, page & 511, cur);
	}
	return true;
}

static void region_unused(struct shadow *s, u32 page)
{
	if (s->region[page >> 9].live && !s->region[page >> 9].tracked)
		region_release(s, page >> 9);
}

/* ---- filling ---- */

static void track(struct shadow *s, u32 page, u32 gpage, u32 flags)
{
	struct shadow_region *r = &s->region[page >> 9];
	u32 e = s->entry[page];

	if ((flags & SP_MAPPED) && !(e & SP_MAPPED))
		s->count->shadow_pages++;
	if (e & SP_TRACKED) {
		if ((e & SP_MAPPED) && (e >> PAGE_SHIFT) != gpage)
			rmap_remove(s, page, e >> PAGE_SHIFT);
		if ((flags & SP_MAPPED) && !((e & SP_MAPPED) && (e >> PAGE_SHIFT) == gpage))
			rmap_add(s, page, gpage);
		if ((e & SP_CODE) && (e >> PAGE_SHIFT) != gpage) {
			if (s->code_moved)
				s->code_moved(s->opaque, page, e >> PAGE_SHIFT);
		} else {
			flags |= e & SP_CODE;
		}
		if (!(e & SP_GLOBAL))
			r->nonglobal--;
	} else {
		r->tracked++;
		if (flags & SP_MAPPED)
			rmap_add(s, page, gpage);
	}
	if (!(flags & SP_GLOBAL))
		r->nonglobal++;
	s->entry[page] = gpage << PAGE_SHIFT | flags;
}

static bool host_map(struct shadow *s, enum window win, u32 page, u32 gpage, u32 n, int prot)
{
	int flags = MAP_SHARED | MAP_FIXED | (n > 1 && n <= 2 * RUN_MAX ? MAP_POPULATE : 0);
	bool patched = win == WIN_USER && n == 1 && s->patched && gpage == s->patched->gpage;
	long r = sys_mmap(window_base(win) + ((u64)page << PAGE_SHIFT), (u64)n << PAGE_SHIFT, prot, flags,
			  patched ? s->patched->fd : s->phys->ram_fd, patched ? s->patched->off : (u64)gpage << PAGE_SHIFT);

	if (patched)
		s->patch_lin = page << PAGE_SHIFT;
	s->count->mmap_calls++;
	s->maps += 2;
	if (r < 0)
		log_warn("shadow: host mmap failed (%d)", (int)r);
	return r >= 0;
}

/* What the guest allows for the run, as entry flags without SP_WRITE's code-page restriction. */
static u32 result_flags(const struct walk_result *r, bool user)
{
	u32 f = SP_MAPPED;

	if (user)
		f |= SP_USER | (r->nx ? 0 : SP_EXEC);
	if (r->writable && r->dirty)
		f |= SP_WRITE;
	if (r->global)
		f |= SP_GLOBAL;
	return f;
}

/* The extent [first, first+n) around `page` that one mapping can cover. */
static void large_extent(const struct shadow *s, const struct walk_ctx *w, u32 page,
			 const struct walk_result *r, u32 flags, u32 *first, u32 *n)
{
	u32 gpage = (u32)(r->gpa >> PAGE_SHIFT);
	u32 size = w->paging ? r->page_size >> PAGE_SHIFT : LIN_PAGES;
	u32 lo = page & ~(size - 1), hi = lo + size;	/* hi = 0x100000 at most */
	u32 lo_g = gpage - (page - lo);			/* may wrap below zero only with paging off: lo = 0 */
	u32 ram_lo = gpage < LEGACY_HOLE_START >> PAGE_SHIFT ? 0 : LEGACY_HOLE_END >> PAGE_SHIFT;
	u32 ram_hi = gpage < LEGACY_HOLE_START >> PAGE_SHIFT ? LEGACY_HOLE_START >> PAGE_SHIFT
							     : (u32)(s->phys->ram_size >> PAGE_SHIFT);

	/* Following and preceding large pages of the same kind, physically contiguous. */
	while (w->paging && hi < LIN_PAGES) {
		struct walk_result q;
		if (walk(w, hi << PAGE_SHIFT, ACC_PEEK, &q) || q.page_size != r->page_size || q.user != r->user ||
		    q.gpa >> PAGE_SHIFT != lo_g + (hi - lo) || result_flags(&q, flags & SP_USER) != flags ||
		    !(q.pde & PTE_A))
			break;
		hi += size;
	}
	while (w->paging && lo >= size) {
		struct walk_result q;
		if (walk(w, (lo - size) << PAGE_SHIFT, ACC_PEEK, &q) || q.page_size != r->page_size || q.user != r->user ||
		    (q.gpa >> PAGE_SHIFT) + size != lo_g || result_flags(&q, flags & SP_USER) != flags ||
		    !(q.pde & PTE_A))
			break;
		lo -= size;
		lo_g -= size;
	}
	/* Clip to this piece of RAM. */
	if (lo_g < ram_lo)
		lo += ram_lo - lo_g;
	if (page + (ram_hi - gpage) < hi)
		hi = page + (ram_hi - gpage);
	*first = lo;
	*n = hi - lo;
}

/* Must a page with these rights have a mapping of its own?  Code that nobody may write is like any page. */
static bool alone(const struct shadow *s, u32 gpage, u32 flags)
{
	return (s->phys->has_code[gpage] & PAGE_PATCH) || (s->phys->has_code[gpage] && (flags & SP_WRITE));
}

/* Can the 4 KiB page `page`, at guest page `gpage`, share a mapping with one that walked to `r`? */
static bool joins(const struct shadow *s, const struct walk_ctx *w, u32 page, u32 gpage,
		  const struct walk_result *r, u32 flags)
{
	struct walk_result q;

	return !(s->entry[page] & SP_MAPPED) && walk(w, page << PAGE_SHIFT, ACC_PEEK, &q) == 0 && (q.pte & PTE_A) &&
	       q.page_size == 4096 && q.user == r->user && q.gpa >> PAGE_SHIFT == gpage && phys_is_ram(s->phys, q.gpa) &&
	       result_flags(&q, flags & SP_USER) == flags && !alone(s, gpage, flags);
}

/*
 * The 4 KiB pages around `page` that one mapping can cover: present, accessed,
 * same rights, physically contiguous, in the same 2 MiB region.
 */
static void small_extent(const struct shadow *s, const struct walk_ctx *w, u32 page,
			 const struct walk_result *r, u32 flags, u32 *first, u32 *n)
{
	u32 gpage = (u32)(r->gpa >> PAGE_SHIFT), lo = page, hi = page + 1;

	while (hi - page < RUN_MAX && (hi & (SHADOW_REGION_PAGES - 1)) && joins(s, w, hi, gpage + (hi - page), r, flags))
		hi++;
	while (page - lo < RUN_MAX && (lo & (SHADOW_REGION_PAGES - 1)) && gpage > page - lo &&
	       joins(s, w, lo - 1, gpage - (page - lo) - 1, r, flags))
		lo--;
	*first = lo;
	*n = hi - lo;
}

/* What two PTEs must have in common for their pages to have the same rights. */
#define PTE_RIGHTS  (PTE_P | PTE_W | PTE_U | PTE_A | PTE_D | PTE_G | PTE_NX)

/* Is this mapped page one that can be made writable together with one whose PTE is `like`? */
static bool upgrades(const struct shadow *s, const u8 *pt, bool pae, u32 page, u64 like, u32 flags)
{
	u32 e = s->entry[page], gpage = e >> PAGE_SHIFT;
	u64 pte = pte_at(pt, pae, page & (SHADOW_REGION_PAGES - 1));

	return (e & (SP_MAPPED | SP_WRITE)) == SP_MAPPED && !((e ^ flags) & SP_USER) && !s->phys->has_code[gpage] &&
	       !((pte ^ like) & PTE_RIGHTS) && (pte & PTE_ADDRESS) >> PAGE_SHIFT == gpage;
}

/*
 * The page is mapped and its PTE now allows writing: change the protection of
 * it and of its neighbours in the same case, which mapping runs or not, are
 * one system call.
 */
static bool upgrade(struct shadow *s, const struct walk_ctx *w, enum window win, u32 page,
		    const struct walk_result *r, u32 flags)
{
	const struct shadow_region *region = &s->region[page >> 9];
	u32 lo = page, hi = page + 1;
	const u8 *pt;

	/* The PDE may have changed too: then the old mappings go. */
	if (!(s->entry[page] & SP_MAPPED) || !region_prepare(s, w, page) || !(pt = region->pt) ||
	    !upgrades(s, pt, w->pae, page, r->pte, flags))
		return false;
	while ((hi & (SHADOW_REGION_PAGES - 1)) && upgrades(s, pt, w->pae, hi, r->pte, flags))
		hi++;
	while ((lo & (SHADOW_REGION_PAGES - 1)) && upgrades(s, pt, w->pae, lo - 1, r->pte, flags))
		lo--;
	for (u32 p = lo; p < hi; p++) {
		snap_set(s, region->snap, w->pae, p & (SHADOW_REGION_PAGES - 1), pte_at(pt, w->pae, p & (SHADOW_REGION_PAGES - 1)));
		track(s, p, s->entry[p] >> PAGE_SHIFT, flags);
	}
	host_protect(s, win, lo, hi - lo, host_prot(flags));
	s->count->shadow_upgrades++;
	trace(shadow, "writable %s %08x+%x", win == WIN_USER ? "user" : "kernel", lo << PAGE_SHIFT, (hi - lo) << PAGE_SHIFT);
	return true;
}

/* No fewer than the host mappings there are: runs of pages that are mapped alike, and what is left of the window between. */
static u64 count_maps(const struct shadow *s)
{
	u64 n = 0;

	for (u32 i = 0; i < s->active_count; i++) {
		u32 first = (u32)s->active_list[i] << 9, last = 0;

		for (u32 page = first; page < first + SHADOW_REGION_PAGES; page++) {
			u32 e = s->entry[page] & ~(SP_GLOBAL | SP_CODE);

			n += (e & SP_MAPPED) && e != last + PAGE_SIZE;
			last = e;
		}
	}
	return 2 * n;
}

static bool fill(struct shadow *s, const struct walk_ctx *w, enum window win, lin_t lin,
		 const struct walk_result *r)
{
	u32 page = lin >> PAGE_SHIFT, gpage = (u32)(r->gpa >> PAGE_SHIFT);
	u32 flags = result_flags(r, win == WIN_USER);
	u32 first = page, n = 1;
	bool large = r->page_size != 4096;

	/* The estimate only grows: before all is unmapped, see whether it is true. */
	if (s->maps > s->max_maps) {
		s->maps = count_maps(s);
		if (s->maps > s->max_maps / 4 * 3) {
			s->count->shadow_flushes++;
			shadow_flush(s);
		}
	}
	if (!large && (flags & SP_WRITE) && upgrade(s, w, win, page, r, flags))
		return true;
	if ((s->entry[page] & SP_MAPPED) && s->entry[page] >> PAGE_SHIFT == gpage)
		;	/* only its rights change */
	else if (large)
		large_extent(s, w, page, r, flags, &first, &n);
	else if (!alone(s, gpage, flags))
		small_extent(s, w, page, r, flags, &first, &n);
	if (win == WIN_USER && first < s->min_addr >> PAGE_SHIFT) {
		n -= (s->min_addr >> PAGE_SHIFT) - first;
		first = s->min_addr >> PAGE_SHIFT;
	}
	if (win == WIN_USER && s->stub_page && s->stub_page >> PAGE_SHIFT >= first && s->stub_page >> PAGE_SHIFT < first + n) {
		first = page;
		n = 1;
	}
	gpage -= page - first;

	/* Any pages to be replaced that belong to other extents keep their accounting in track(). */
	for (u32 i = 0; i < n;) {
		u32 chunk_end = i + (SHADOW_REGION_PAGES - ((first + i) & 511));
		if (chunk_end > n)
			chunk_end = n;
		if (!region_prepare(s, w, first + i)) {
			s->count->shadow_flushes++;
			shadow_flush(s);
			return fill(s, w, win, lin, r);
		}
		if (!large)
			for (u32 j = i + 1; j < chunk_end; j++)
				if (!region_prepare(s, w, first + j))
					return false;	/* cannot be: the region has its snapshot */
		for (u32 j = i; j < chunk_end; j++) {
			u32 f = s->phys->has_code[gpage + j] ? flags & ~SP_WRITE : flags;
			u32 e = s->entry[first + j];
			if ((e & SP_MAPPED) && ((e ^ f) & SP_USER)) {
				/* Was in the other window. */
				drop_page(s, first + j);
				if (!s->region[(first + j) >> 9].tracked) {
					region_release(s, (first + j) >> 9);
					if (!region_prepare(s, w, first + j))
						return false;
				}
			}
			track(s, first + j, gpage + j, f);
		}
		i = chunk_end;
	}
	runs_flush(s);
	/* A lone code page is mapped read-only at once; in a large run code pages lose W afterwards. */
	if (n == 1) {
		if (!host_map(s, win, first, gpage, 1, host_prot(s->entry[first])))
			goto no_map;
	} else {
		if (!host_map(s, win, first, gpage, n, host_prot(flags)))
			goto no_map;
		if (flags & SP_WRITE)
			for (u32 i = 0; i < n; i++) {
				u32 j = i;
				while (j < n && s->phys->has_code[gpage + j])
					j++;
				if (j > i) {
					host_protect(s, win, first + i, j - i, host_prot(flags & ~SP_WRITE));
					i = j;
				}
			}
	}
	s->count->shadow_fills++;
	trace(shadow, "map %s %08x+%x -> %08x %s%s%s", win == WIN_USER ? "user" : "kernel", first << PAGE_SHIFT,
	      n << PAGE_SHIFT, gpage << PAGE_SHIFT, flags & SP_WRITE ? "w" : "r", flags & SP_EXEC ? "x" : "",
	      flags & SP_GLOBAL ? "g" : "");
	return true;

no_map:
	/* Out of mappings: start over with an empty shadow.  If that does not help the host is out of memory. */
	s->count->shadow_flushes++;
	shadow_flush(s);
	return false;
}

enum shadow_result shadow_fault(struct shadow *s, const struct walk_ctx *w, enum window win,
				lin_t lin, unsigned acc, u32 *pf_error)
{
	struct walk_result r;
	u32 err = walk(w, lin, acc, &r);
	bool user;

	if (err) {
		*pf_error = err & ~PF_FAULT;
		return SHADOW_TRUE_FAULT;
	}
	if (!phys_is_ram(s->phys, r.gpa))
		return SHADOW_MMIO;
	user = w->paging && r.user;
	if (user != (win == WIN_USER))
		return SHADOW_WRONG_WINDOW;
	if (win == WIN_USER && (lin < s->min_addr || (s->stub_page && lin >> PAGE_SHIFT == s->stub_page >> PAGE_SHIFT)))
		return SHADOW_EMULATE;
	if ((acc & ACC_WRITE) && s->phys->has_code[r.gpa >> PAGE_SHIFT])
		return SHADOW_CODE_WRITE;
	if ((acc & ACC_WRITE) && !r.writable)
		return SHADOW_EMULATE;		/* CR0.WP = 0: a supervisor write to a read-only page */
	return fill(s, w, win, lin, &r) ? SHADOW_FILLED : SHADOW_EMULATE;
}

bool shadow_prefill(struct shadow *s, const struct walk_ctx *w, lin_t lin)
{
	struct walk_result r;
	enum window win;
	u32 flags;

	if (!w->paging || walk(w, lin, ACC_PEEK, &r) || !(r.pte & PTE_A) || !phys_is_ram(s->phys, r.gpa))
		return false;
	win = r.user ? WIN_USER : WIN_KERNEL;
	if (win == WIN_USER && (lin < s->min_addr || (s->stub_page && lin >> PAGE_SHIFT == s->stub_page >> PAGE_SHIFT)))
		return false;
	flags = result_flags(&r, r.user);
	if (shadow_mapped(s, lin))	/* what faulted was a write, and the page may be written now (copy-on-write by the last owner) */
		return (flags & SP_WRITE) && r.page_size == 4096 && upgrade(s, w, win, lin >> PAGE_SHIFT, &r, flags);
	if (r.page_size == 4096 && alone(s, (u32)(r.gpa >> PAGE_SHIFT), flags))
		return false;
	return fill(s, w, win, lin, &r);
}

/* ---- flushing ---- */

/* PTE bits whose change leaves the translation and the other rights alone. */
#define PTE_RIGHTS_ONLY (PTE_W | PTE_D | PTE_AVL | 0x18)

/*
 * A tracked page's PTE has changed from `old` to `cur`.  If only write rights
 * differ the mapping stays: losing them is a protection change, gaining them
 * waits for the write.  False: the page has to go.
 */
static bool keep_page(struct shadow *s, u32 page, u64 old, u64 cur)
{
	u32 e = s->entry[page];

	if (((old ^ cur) & ~PTE_RIGHTS_ONLY) || !(cur & PTE_P))
		return false;
	if ((e & SP_MAPPED) && (e & SP_WRITE) && (cur & (PTE_W | PTE_D)) != (PTE_W | PTE_D)) {
		s->entry[page] = e & ~SP_WRITE;
		protect_add(s, page);
	}
	return true;
}

static void compare_region(struct shadow *s, const struct walk_ctx *w, u32 n, bool global)
{
	struct shadow_region *r = &s->region[n];
	const u8 *pt, *snap;
	u32 width = w->pae ? 8 : 4;
	u64 pde;

	if (!global && !r->nonglobal)
		return;
	pde = region_pde(w, n, &pt);
	if (pt != r->pt || pde_significant(pde, !pt) != pde_significant(r->pde, !pt)) {
		s->count->pt_changed++;
		region_changed(s, w, n);
		return;
	}
	if (!pt)
		return;
	snap = s->snaps[r->snap];
	s->count->pt_compares++;
	if (__builtin_memcmp(pt, snap, SHADOW_REGION_PAGES * width) == 0)
		return;
	s->count->pt_changed++;
	for (u32 i = 0; i < SHADOW_REGION_PAGES && r->tracked; i++) {
		u64 cur = pte_at(pt, w->pae, i);
		u32 e;

		if (cur == pte_at(snap, w->pae, i))
			continue;
		e = s->entry[n << 9 | i];
		if (!global && (e & SP_GLOBAL) && (e & SP_TRACKED))
			continue;	/* keeps its old snapshot, so that INVLPG still sees the difference */
		if (!(e & SP_TRACKED) || !keep_page(s, n << 9 | i, pte_at(snap, w->pae, i), cur))
			drop_page(s, n << 9 | i);
		snap_set(s, r->snap, w->pae, i, cur);
	}
	if (!r->tracked)
		region_release(s, n);
}

void shadow_compare(struct shadow *s, const struct walk_ctx *w, bool global)
{
	/* Backwards, because releasing a region moves the last one into its place. */
	for (u32 i = s->active_count; i-- > 0;)
		if (i < s->active_count)
			compare_region(s, w, s->active_list[i], global);
	runs_flush(s);
}

static void invlpg_region(struct shadow *s, const struct walk_ctx *w, u32 page)
{
	u32 n = page >> 9;
	struct shadow_region *r = &s->region[n];
	const u8 *pt;
	u64 pde;

	if (!r->live)
		return;
	pde = region_pde(w, n, &pt);
	if (pt != r->pt || pde_significant(pde, !pt) != pde_significant(r->pde, !r->pt)) {
		region_changed(s, w, n);
	} else if (pt && (s->entry[page] & SP_TRACKED)) {
		u64 old = pte_at(s->snaps[r->snap], w->pae, page & 511), cur = pte_at(pt, w->pae, page & 511);

		if (cur == old)
			return;
		if (keep_page(s, page, old, cur)) {
			snap_set(s, r->snap, w->pae, page & 511, cur);
			return;
		}
		drop_page(s, page);
		region_unused(s, page);
	}
}

void shadow_invlpg(struct shadow *s, const struct walk_ctx *w, lin_t lin)
{
	u32 page = lin >> PAGE_SHIFT;

	invlpg_region(s, w, page);
	if (!w->pae)
		invlpg_region(s, w, page ^ SHADOW_REGION_PAGES);	/* the other half of a 4 MiB page */
	runs_flush(s);
}

void shadow_flush(struct shadow *s)
{
	while (s->active_count)
		drop_region(s, s->active_list[s->active_count - 1]);
	runs_flush(s);
	s->maps = 0;
}

/* ---- translated code ---- */

void shadow_protect(struct shadow *s, u32 gpage)
{
	if (!s->phys->has_code[gpage])
		return;
	for (u32 link = s->rmap_head[gpage]; link; link = s->rmap_next[link - 1]) {
		u32 page = link - 1, e = s->entry[page];

		if (!(e & SP_WRITE))
			continue;
		s->entry[page] = e & ~SP_WRITE;
		host_protect(s, e & SP_USER ? WIN_USER : WIN_KERNEL, page, 1, host_prot(e & ~SP_WRITE));
		trace(shadow, "write-protect code page %08x at %08x", gpage << PAGE_SHIFT, page << PAGE_SHIFT);
	}
}

void shadow_track_code(struct shadow *s, const struct walk_ctx *w, lin_t lin, gpa_t gpa)
{
	u32 page = lin >> PAGE_SHIFT, gpage = (u32)(gpa >> PAGE_SHIFT);
	u32 e = s->entry[page];

	if ((e & SP_TRACKED) && e >> PAGE_SHIFT == gpage) {
		s->entry[page] = e | SP_CODE;
		return;
	}
	if (e & SP_TRACKED) {
		/* The shadow is stale here (legitimately); the new translation wins. */
		drop_page(s, page);
		region_unused(s, page);
		runs_flush(s);
	}
	if (!region_prepare(s, w, page)) {
		shadow_flush(s);
		if (!region_prepare(s, w, page))
			return;
	}
	{
		struct walk_result r;
		bool known = walk(w, lin, ACC_PEEK, &r) == 0;

		track(s, page, gpage, SP_CODE | (known && r.global ? SP_GLOBAL : 0) | (known && r.user ? SP_USER : 0));
	}
}

void shadow_drop_user(struct shadow *s, u32 gpage)
{
	u32 next;

	for (u32 link = s->rmap_head[gpage]; link; link = next) {
		u32 page = link - 1;

		next = s->rmap_next[page];
		if (s->entry[page] & SP_USER) {
			drop_page(s, page);
			region_unused(s, page);
		}
	}
	runs_flush(s);
}
