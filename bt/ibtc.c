/*
 * The table behind indirect branches: from (target, mode) to host code without
 * leaving translated code.
 *
 * Flat modes only, so that EIP is the whole address.  Each mode has a way of its
 * own, found by index_of(): the mode is in the displacement of the lookup and costs
 * it nothing, and one address in two modes, which Linux has in every system call (FS
 * changes its class), does not clash with itself.  65,536 entries: fork and exec of
 * Linux have some thousand targets, and clash 300 times with 8,192 of them.
 *
 * The tag is the negated target, so that a match adds up to zero, which JECXZ
 * sees without touching flags.  A zero entry is empty: it would match target 0
 * only, whose entry is therefore never left zero.
 *
 * Modes are given ways as they come; all are taken back when the cache is
 * emptied.  A mode without one always takes the miss path, which knows the block
 * hash (bt_indirect).
 *
 * Returns.  A kernel returns to thousands of places, and a table entry for each is
 * a cache miss more often than not: that wait was a third of the time in translated
 * code of a fork and exec.  So a CALL leaves its return address, with the mode,
 * and the host address of a landing, a direct exit to the return address, in a
 * ring; RET pops an entry, and uses it if it is right.  r14 points to the newest;
 * it is stepped as a 16-bit register, which wraps it without flags.  Entries that
 * nobody pops (a switch of stacks) are overwritten in time, and wrong ones lead to
 * the table.  Programs that are translated (hot.c) leave none: tags do not say whose
 * they are.  A landing is valid as long as its block's code is in place, that is
 * until the cache is emptied: an invalidated block's exits lead to the dispatcher.
 */
#include "base/check.h"
#include "bt/bt.h"

/* What the inline lookup computes without flags (emit_goto_r8): BSWAP brings the upper half down. */
static u32 index_of(u32 eip) { return (eip + __builtin_bswap32(9 * eip)) & (IBTC_WAY - 1); }

static struct ibtc_entry *way_of(const struct bt *bt, unsigned way) { return bt->ibtc + way * (size_t)IBTC_WAY; }

static void set_empty(struct ibtc_entry *e, u32 index)
{
	*e = (struct ibtc_entry){ .tag = index == index_of(0) };
}

int ibtc_way(struct bt *bt, u32 mode)
{
	if (!(mode & MODE_FLAT) || mode >= MODE_COUNT)
		return -1;
	if (!bt->ibtc_way[mode]) {
		if (bt->ibtc_used == IBTC_WAYS)
			return -1;
		bt->ibtc_way[mode] = (u8)++bt->ibtc_used;
		set_empty(way_of(bt, bt->ibtc_used - 1) + index_of(0), index_of(0));
	}
	return bt->ibtc_way[mode] - 1;
}

/* The entry for a target; NULL: the mode has no way. */
static struct ibtc_entry *entry_of(const struct bt *bt, u32 eip, u32 mode)
{
	if (mode >= MODE_COUNT || !bt->ibtc_way[mode])
		return NULL;
	return way_of(bt, bt->ibtc_way[mode] - 1u) + index_of(eip);
}

const u8 *ibtc_find(const struct bt *bt, u32 eip, u32 mode)
{
	const struct ibtc_entry *e = entry_of(bt, eip, mode);

	return e && e->tag + eip == 0 ? bt->rx + e->host : NULL;
}

void ibtc_insert(struct bt *bt, const struct block *b)
{
	struct ibtc_entry *e;

	if (ibtc_way(bt, b->mode) < 0)
		return;
	CHECK(!b->cs_base);
	e = entry_of(bt, b->eip, b->mode);
	e->tag = 0u - b->eip;
	e->host = b->host;
	if (b->program)
		hot_lookup_added(bt, b);
}

void ibtc_remove(struct bt *bt, const struct block *b)
{
	struct ibtc_entry *e = entry_of(bt, b->eip, b->mode);

	if (e && e->tag + b->eip == 0 && e->host == b->host)
		set_empty(e, index_of(b->eip));
}

void ibtc_clear(struct bt *bt)
{
	__builtin_memset(bt->ibtc, 0, bt->ibtc_used * (IBTC_WAY * sizeof(struct ibtc_entry)));
	__builtin_memset(bt->ibtc_way, 0, sizeof(bt->ibtc_way));
	bt->ibtc_used = 0;
	__builtin_memset(bt->ring, 0, RING_BYTES);
}

const u8 *bt_here(struct exec *x)
{
	struct vcpu *v = &x->v;
	struct bt *bt = x->bt;
	const u8 *host = ibtc_find(bt, v->eip, v->mode);
	struct block *b;

	if (host)
		return host;
	b = cache_lookup(bt, v->eip, v->seg[SEG_CS].base, v->mode);
	if (!b)
		return NULL;
	bt->count->ind_relooked++;
	ibtc_insert(bt, b);
	return bt->rx + b->host;
}

/* An indirect branch to v.eip missed.  Called in place of a turn of the dispatcher, if nothing waits for that. */
const u8 *bt_indirect(struct exec *x)
{
	struct vcpu *v = &x->v;

	if (x->attention || x->timer_due || v->nmi_pending || (v->intr_pending && v->iff))
		return NULL;
	return bt_here(x);
}
