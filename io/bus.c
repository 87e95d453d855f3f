/*
 * The bus: who owns a port or an address, and which timer is due next.
 *
 * Ports are found through one byte a port, so that a device access costs one
 * load; memory ranges are few and searched in order.  Ranges are added at
 * construction only, hence an index read here is always a range we registered.
 *
 * Invariant: `next_deadline` is the minimum over all armed timers whenever the
 * lock is free.  The executor reads it without the lock to program its host
 * timer, and a hint that is late by one access is corrected after that access.
 */
#include <errno.h>
#include "base/bits.h"
#include "base/log.h"
#include "io/bus.h"

/* Due timers handled per call, times the table's size: a timer that re-arms into the past cannot hang us. */
#define FIRE_ROUNDS 8

void bus_init(struct bus *b, const struct clock *clock, const struct phys_map *phys)
{
	__builtin_memset(b, 0, sizeof(*b));
	b->clock = clock;
	b->phys = phys;
	b->next_deadline = TIMER_NEVER;
}

int bus_add_pio(struct bus *b, u16 base, u32 count, const struct pio_ops *ops, void *dev, const char *name)
{
	if (!count || base + count > ARRAY_SIZE(b->pio_index))
		return -EINVAL;
	if (b->pio_count == BUS_PIO_MAX)
		return -ENOSPC;
	for (u32 i = 0; i < count; i++)
		if (b->pio_index[base + i])
			return -EEXIST;
	b->pio[b->pio_count++] = (struct pio_range){ base, count, ops, dev, name };
	for (u32 i = 0; i < count; i++)
		b->pio_index[base + i] = (u8)b->pio_count;
	return 0;
}

int bus_add_mmio(struct bus *b, gpa_t base, u64 len, const struct mmio_ops *ops, void *dev, const char *name)
{
	if (!len || base + len < base)
		return -EINVAL;
	if (b->mmio_count == BUS_MMIO_MAX)
		return -ENOSPC;
	for (unsigned i = 0; i < b->mmio_count; i++)
		if (base < b->mmio[i].base + b->mmio[i].len && b->mmio[i].base < base + len)
			return -EEXIST;
	b->mmio[b->mmio_count++] = (struct mmio_range){ base, len, ops, dev, name };
	return 0;
}

int bus_add_timer(struct bus *b, struct vtimer *t, void (*fire)(void *, u64), void *dev)
{
	if (b->timer_count == BUS_TIMER_MAX)
		return -ENOSPC;
	*t = (struct vtimer){ TIMER_NEVER, fire, dev };
	b->timer[b->timer_count++] = t;
	return 0;
}

/* ---- accesses ---- */

static const struct pio_range *find_pio(const struct bus *b, u16 port)
{
	u8 i = b->pio_index[port];

	return i ? &b->pio[i - 1] : NULL;
}

static const struct mmio_range *find_mmio(const struct bus *b, gpa_t gpa)
{
	for (unsigned i = 0; i < b->mmio_count; i++)
		if (gpa - b->mmio[i].base < b->mmio[i].len)
			return &b->mmio[i];
	return NULL;
}

/* A wide access to an 8-bit device is as many bus cycles as it has bytes. */
static u32 read_bytes(struct bus *b, u16 port, unsigned size)
{
	u32 v = 0;

	for (unsigned i = 0; i < size; i++)
		v |= bus_pio_read(b, (u16)(port + i), 1) << (8 * i);
	return v;
}

static void write_bytes(struct bus *b, u16 port, unsigned size, u32 value)
{
	for (unsigned i = 0; i < size; i++)
		bus_pio_write(b, (u16)(port + i), 1, value >> (8 * i));
}

u32 bus_pio_read(struct bus *b, u16 port, unsigned size)
{
	const struct pio_range *r = find_pio(b, port);
	u32 v = ~0u;

	if (r && r->ops->bytes && size > 1)
		return read_bytes(b, port, size);
	if (r) {
		lock_acquire(&b->lock);
		v = r->ops->read(r->dev, port, size);
		lock_release(&b->lock);
	}
	v &= (u32)size_mask(size);
	trace(pio, "in %04x size %u -> %x (%s)", port, size, v, r ? r->name : "nobody");
	return v;
}

void bus_pio_write(struct bus *b, u16 port, unsigned size, u32 value)
{
	const struct pio_range *r = find_pio(b, port);

	if (r && r->ops->bytes && size > 1) {
		write_bytes(b, port, size, value);
		return;
	}
	value &= (u32)size_mask(size);
	trace(pio, "out %04x size %u <- %x (%s)", port, size, value, r ? r->name : "nobody");
	if (!r)
		return;
	lock_acquire(&b->lock);
	r->ops->write(r->dev, port, size, value);
	lock_release(&b->lock);
}

u64 bus_mmio_read(struct bus *b, unsigned cpu, gpa_t gpa, unsigned size)
{
	const struct mmio_range *r = find_mmio(b, gpa);
	u64 v = ~0ull;

	if (r) {
		lock_acquire(&b->lock);
		v = r->ops->read(r->dev, cpu, gpa - r->base, size);
		lock_release(&b->lock);
	}
	return v & size_mask(size);
}

void bus_mmio_write(struct bus *b, unsigned cpu, gpa_t gpa, unsigned size, u64 value)
{
	const struct mmio_range *r = find_mmio(b, gpa);

	if (!r)
		return;
	lock_acquire(&b->lock);
	r->ops->write(r->dev, cpu, gpa - r->base, size, value & size_mask(size));
	lock_release(&b->lock);
}

/* ---- timers ---- */

static void update_next(struct bus *b)
{
	u64 next = TIMER_NEVER;

	for (unsigned i = 0; i < b->timer_count; i++)
		next = min_u64(next, b->timer[i]->deadline);
	__atomic_store_n(&b->next_deadline, next, __ATOMIC_RELAXED);
}

void timer_arm(struct bus *b, struct vtimer *t, u64 deadline)
{
	if (t->deadline == deadline)
		return;
	t->deadline = deadline;
	update_next(b);
}

/* The armed timer that is most overdue, or NULL. */
static struct vtimer *find_due(const struct bus *b, u64 now)
{
	struct vtimer *first = NULL;

	for (unsigned i = 0; i < b->timer_count; i++) {
		struct vtimer *t = b->timer[i];

		if (t->deadline != TIMER_NEVER && t->deadline <= now && (!first || t->deadline < first->deadline))
			first = t;
	}
	return first;
}

u64 bus_run_timers(struct bus *b)
{
	u64 next;

	lock_acquire(&b->lock);
	if (b->next_deadline != TIMER_NEVER) {
		u64 now = bus_now(b);
		struct vtimer *t;

		for (unsigned n = 0; n < FIRE_ROUNDS * BUS_TIMER_MAX && (t = find_due(b, now)); n++) {
			t->deadline = TIMER_NEVER;
			b->fired++;
			t->fire(t->dev, now);
		}
		update_next(b);
	}
	next = b->next_deadline;
	lock_release(&b->lock);
	return next;
}
