/*
 * The code cache: where blocks live, how they are found, chained, and thrown
 * away.
 *
 * Allocation only moves forward; an invalid block's host code stays in place
 * (it may be running) until the cache is full and emptied as a whole, which
 * happens only in the dispatcher.  So blocks are sorted by host address, and
 * a host address finds its block by bisection.
 *
 * What a block seldom executes is its cold part, in a region for those of all
 * blocks: between the others it would take a third of the CPU's cache for
 * instructions.  Either region is filled in the same order.
 *
 * W^X: all writes go through the view `rw`; the view `rx` is never writable.
 * Chaining is one aligned 4-byte store.
 */
#include "base/check.h"
#include "base/log.h"
#include "bt/bt.h"

#define HOST_MAX      32768u	/* bytes that the largest block may take (translate.c)... */
#define COLD_MAX      256u	/* ...and its cold part */
#define ONESHOT_BYTES 32768u
#define ONESHOT_COLD  8192u	/* of these */

static u32 hash_of(u32 lin, u32 mode)
{
	u32 h = lin * 0x9e3779b1u ^ mode * 0x85ebca6bu;

	return (h ^ h >> 15) & (HASH_SIZE - 1);
}

void cache_init(struct bt *bt)
{
	bt->oneshot = (u32)bt->cfg.cache_size - ONESHOT_BYTES;
	bt->cold = bt->oneshot / 3 * 2 & ~15u;
	bt->cold_next = bt->cold;
	bt->count->cache_size = bt->oneshot;
}

struct block *cache_lookup(struct bt *bt, u32 eip, u32 cs_base, u32 mode)
{
	u32 program = mode & MODE_HOT ? bt->hot_id : 0;

	for (u32 i = bt->hash[hash_of(cs_base + eip, mode)]; i; i = bt->blocks[i - 1].hash_next) {
		struct block *b = &bt->blocks[i - 1];
		if (b->eip == eip && b->cs_base == cs_base && b->mode == mode && b->program == program)
			return b;
	}
	return NULL;
}

struct block *cache_begin(struct bt *bt, bool oneshot)
{
	struct block *b;

	if (oneshot) {
		b = &bt->blocks[BLOCKS_MAX - 1];
		*b = (struct block){ .host = bt->oneshot, .cold = bt->oneshot + ONESHOT_BYTES - ONESHOT_COLD, .map = MAPS_MAX - 256,
				     .flags = BLOCK_ONESHOT };
		return b;
	}
	if (bt->next + HOST_MAX > bt->cold || bt->cold_next + COLD_MAX > bt->oneshot || bt->block_count >= BLOCKS_MAX - 1 ||
	    bt->map_count + 1024 > MAPS_MAX)
		return NULL;
	b = &bt->blocks[bt->block_count];
	*b = (struct block){ .host = bt->next, .cold = bt->cold_next, .map = bt->map_count };
	return b;
}

void cache_commit(struct bt *bt, struct block *b)
{
	u32 id = block_id(bt, b), *head;

	b->flags |= BLOCK_VALID;
	if (b->flags & BLOCK_ONESHOT)
		return;
	bt->block_count++;
	bt->map_count += b->map_count;
	bt->next = ALIGN_UP(b->host + b->host_len, 16u);
	bt->cold_next = b->cold + b->cold_len;
	head = &bt->hash[hash_of(b->cs_base + b->eip, b->mode)];
	b->hash_next = *head;
	*head = id + 1;
	for (unsigned i = 0; i < 2; i++)
		if (b->gpage[i] != NO_PAGE) {
			b->page_next[i] = bt->page_blocks[b->gpage[i]];
			bt->page_blocks[b->gpage[i]] = (id << 1 | i) + 1;
		}
}

static void patch32(struct bt *bt, u32 at, u32 value)
{
	__atomic_store_n((u32 *)(bt->rw + at), value, __ATOMIC_RELEASE);
}

static void point_exit(struct bt *bt, struct block_exit *x, u32 to)
{
	patch32(bt, x->patch, to - (x->patch + 4));
}

static void unlink_edge(struct bt *bt, u32 edge)
{
	struct block *from = &bt->blocks[edge >> 1];
	struct block_exit *x = &from->exit[edge & 1];
	u32 *link;

	if (!x->to)
		return;
	for (link = &bt->blocks[x->to - 1].in; *link != edge + 1;
	     link = &bt->blocks[(*link - 1) >> 1].exit[(*link - 1) & 1].in_next)
		CHECK(*link);
	*link = x->in_next;
	x->to = 0;
	x->in_next = 0;
	point_exit(bt, x, x->stub);
	bt->count->unchained++;
}

void cache_link(struct bt *bt, struct block *from, unsigned slot, struct block *to)
{
	struct block_exit *x = &from->exit[slot];
	u32 edge = block_id(bt, from) << 1 | slot;

	if (!(from->flags & BLOCK_VALID) || !(to->flags & BLOCK_VALID) || (from->flags | to->flags) & BLOCK_ONESHOT)
		return;
	unlink_edge(bt, edge);
	x->to = block_id(bt, to) + 1;
	x->in_next = to->in;
	to->in = edge + 1;
	point_exit(bt, x, to->host);
	bt->count->chained++;
}

static void page_list_remove(struct bt *bt, struct block *b, unsigned which)
{
	u32 me = (block_id(bt, b) << 1 | which) + 1;
	u32 *link = &bt->page_blocks[b->gpage[which]];

	while (*link != me) {
		CHECK(*link);
		link = &bt->blocks[(*link - 1) >> 1].page_next[(*link - 1) & 1];
	}
	*link = b->page_next[which];
	if (!bt->page_blocks[b->gpage[which]])
		bt->phys->has_code[b->gpage[which]] &= ~PAGE_CODE;
}

void cache_invalidate(struct bt *bt, struct exec *x, struct block *b)
{
	u32 id = block_id(bt, b), *link;

	if (!(b->flags & BLOCK_VALID) || (b->flags & BLOCK_ONESHOT))
		return;
	while (b->in)
		unlink_edge(bt, b->in - 1);
	for (unsigned i = 0; i < 2; i++)
		if (b->exit[i].to)
			unlink_edge(bt, id << 1 | i);
	for (link = &bt->hash[hash_of(b->cs_base + b->eip, b->mode)]; *link != id + 1; link = &bt->blocks[*link - 1].hash_next)
		CHECK(*link);
	*link = b->hash_next;
	for (unsigned i = 0; i < 2; i++)
		if (b->gpage[i] != NO_PAGE)
			page_list_remove(bt, b, i);
	ibtc_remove(bt, b);
	b->flags &= ~BLOCK_VALID;
	bt->count->invalidated++;
}

/* Do the block's bytes in its `which`-th page overlap [lo, hi] (offsets in that page)? */
static bool overlaps(const struct block *b, unsigned which, u32 lo, u32 hi)
{
	u32 start = (b->cs_base + b->eip) & PAGE_MASK, end = start + b->guest_len;

	if (which)
		return lo < end - PAGE_SIZE;
	return lo < end && hi >= start;
}

bool cache_invalidate_range(struct bt *bt, struct exec *x, gpa_t gpa, u64 len)
{
	bool any = false;

	for (u64 page = gpa >> PAGE_SHIFT; page <= (gpa + len - 1) >> PAGE_SHIFT; page++) {
		u32 lo = page == gpa >> PAGE_SHIFT ? gpa & PAGE_MASK : 0;
		u32 hi = page == (gpa + len - 1) >> PAGE_SHIFT ? (gpa + len - 1) & PAGE_MASK : PAGE_MASK;
		u32 next;

		for (u32 i = bt->page_blocks[page]; i; i = next) {
			struct block *b = &bt->blocks[(i - 1) >> 1];

			next = b->page_next[(i - 1) & 1];
			if (overlaps(b, (i - 1) & 1, lo, hi)) {
				cache_invalidate(bt, x, b);
				next = bt->page_blocks[page];
				any = true;
			}
		}
	}
	return any;
}

void cache_forget_program(struct bt *bt, struct exec *x, u32 program, u32 lin_page, u32 gpage)
{
	u32 next;

	for (u32 i = bt->page_blocks[gpage]; i; i = next) {
		struct block *b = &bt->blocks[(i - 1) >> 1];
		u32 first = (b->cs_base + b->eip) >> PAGE_SHIFT;
		unsigned which = (i - 1) & 1;

		next = b->page_next[which];
		if (b->program == program && ((first + which) & 0xfffff) == lin_page) {
			cache_invalidate(bt, x, b);
			if (b->gpage[0] == b->gpage[1])
				next = bt->page_blocks[gpage];	/* the other half was on this list too */
		}
	}
}

void cache_forget_linear(struct bt *bt, struct exec *x, u32 lin_page, u32 gpage)
{
	cache_forget_program(bt, x, 0, lin_page, gpage);
}

void cache_empty(struct bt *bt, struct exec *x)
{
	for (u32 i = 0; i < bt->block_count; i++)
		for (unsigned j = 0; j < 2; j++)
			if (bt->blocks[i].gpage[j] != NO_PAGE) {
				bt->page_blocks[bt->blocks[i].gpage[j]] = 0;
				bt->phys->has_code[bt->blocks[i].gpage[j]] &= ~PAGE_CODE;
			}
	__builtin_memset(bt->hash, 0, HASH_SIZE * sizeof(u32));
	ibtc_clear(bt);
	__builtin_memset(bt->seg_sites, 0, sizeof(bt->seg_sites));
	hot_cache_emptied(bt);
	bt->block_count = 0;
	bt->map_count = 0;
	bt->next = 0;
	bt->cold_next = bt->cold;
	__builtin_memset(bt->unlinked, 0, sizeof(bt->unlinked));
	bt->epoch++;
}

struct block *cache_find_host(struct bt *bt, const u8 *host)
{
	u32 off = (u32)(host - bt->rx), lo = 0, hi = bt->block_count;
	bool cold = off >= bt->cold;

	if (off >= bt->oneshot)
		return &bt->blocks[BLOCKS_MAX - 1];
	while (lo < hi) {
		u32 mid = (lo + hi) / 2;
		struct block *b = &bt->blocks[mid];
		u32 begin = cold ? b->cold : b->host;
		if (off < begin)
			hi = mid;
		else if (off >= begin + (cold ? b->cold_len : b->host_len))
			lo = mid + 1;
		else
			return b;
	}
	return NULL;
}

void cache_unlink_exits(struct bt *bt, struct block *b)
{
	u32 id = block_id(bt, b);

	if (b->flags & BLOCK_ONESHOT)
		return;		/* always returns to the dispatcher */
	for (unsigned i = 0; i < 2; i++)
		unlink_edge(bt, id << 1 | i);
	if (b->ind_patch)
		bt->rw[b->ind_patch] = 0;
	if (b->ring_patch)
		bt->rw[b->ring_patch] = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(bt->unlinked); i++)
		if (bt->unlinked[i] == id + 1 || !bt->unlinked[i]) {
			bt->unlinked[i] = id + 1;
			return;
		}
	/* Full: the lookup stays out of service until the block is translated anew; slow but right. */
}

void cache_restore_exits(struct bt *bt)
{
	for (unsigned i = 0; i < ARRAY_SIZE(bt->unlinked) && bt->unlinked[i]; i++) {
		struct block *b = &bt->blocks[bt->unlinked[i] - 1];

		if (b->ind_patch)
			bt->rw[b->ind_patch] = b->ind_rel;
		if (b->ring_patch)
			bt->rw[b->ring_patch] = b->ring_rel;
		bt->unlinked[i] = 0;
	}
}
