/*
 * Adaptive translation's memory: what is known of each memory instruction,
 * by its guest physical address.  "Innocent until proven guilty": an
 * instruction without a record uses the default form.
 *
 * A direct-mapped table: a collision forgets the older record, which costs one
 * more fault and nothing else.
 */
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
