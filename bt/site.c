/*
 * Adaptive translation's memory: what is known of each memory instruction,
 * by its guest physical address.  "Innocent until proven guilty": an
 * instruction without a record uses the default form.
 *
 * A direct-mapped table: a collision forgets the older record, which costs one
 * more fault and nothing else.
 */
#include "base/log.h"
#include "bt/bt.h"

static struct site *slot_of(struct bt *bt, u32 gpa)
{
	return &bt->sites[(gpa ^ gpa >> 16) & (SITES_SIZE - 1)];
}

struct site *site_find(struct bt *bt, u32 gpa)
{
	struct site *s = slot_of(bt, gpa);

	return s->key == gpa ? s : NULL;
}

struct site *site_get(struct bt *bt, u32 gpa)
{
	struct site *s = slot_of(bt, gpa);

	if (s->key != gpa)
		*s = (struct site){ .key = gpa };
	return s;
}

void site_loops(struct exec *x)
{
	struct vcpu *v = &x->v;
	lin_t lin = v->seg[SEG_CS].base + v->eip;
	struct walk_result w;
	struct site *s;

	x->by_hand = 0;
	if (walk(&v->walk, lin, ACC_PEEK, &w))
		return;
	s = site_find(x->bt, (u32)w.gpa);
	if (!s || !s->fleeting)
		return;
	*s = (struct site){ .key = s->key, .loops = (u8)(s->loops + (s->loops < LOOPS_MAX)) };
	/* Its blocks are translated anew. */
	cache_invalidate_range(x->bt, x, w.gpa, 1);
	trace(adapt, "site %08x at eip %08x loops: mapped again", s->key, v->eip);
}
