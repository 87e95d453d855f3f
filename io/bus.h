/*
 * Where devices hang: port and memory ranges, interrupt lines, timers, and the
 * one lock under which device state is touched.
 *
 * Device front ends are called in executors only: for guest accesses, due timers
 * and what back ends announce.  The monitor never calls them, because what they
 * stand on, function pointers included, is an executor's to forge; it
 * builds them before the first executor starts.  All of them run with `bus->lock`
 * held, on state in the shared arena, and must obey the vCPU path's rules: no libc
 * beyond mem*, no malloc, no floating point, no blocking.
 *
 * Ranges: an access is passed whole to the device that owns its first byte
 * (8-bit port devices get it in bytes); a device handles any size it is given
 * (1, 2, 4; 8 for MMIO) as its data sheet says, and ignores what it does not
 * implement after logging it with trace(unimp).  Unclaimed reads give all ones,
 * unclaimed writes vanish.
 */
#ifndef IO_BUS_H
#define IO_BUS_H

#include "base/clock.h"
#include "base/lock.h"
#include "base/types.h"
#include "mmu/phys.h"

#define BUS_PIO_MAX   64	/* port ranges */
#define BUS_MMIO_MAX  32	/* memory ranges */
#define BUS_TIMER_MAX 32
#define TIMER_NEVER   (~0ull)

struct pio_ops {
	u32 (*read)(void *dev, u16 port, unsigned size);
	void (*write)(void *dev, u16 port, unsigned size, u32 value);
	/* An 8-bit device: the bus splits wider accesses into bytes at successive ports, low byte first. */
	bool bytes;
};

struct mmio_ops {
	/* `off` is relative to the range's base; `cpu` is the accessing CPU's index. */
	u64 (*read)(void *dev, unsigned cpu, u64 off, unsigned size);
	void (*write)(void *dev, unsigned cpu, u64 off, unsigned size, u64 value);
};

/* An interrupt input of some controller.  Level semantics; edges are made by the caller. */
struct irq_line {
	void (*set)(void *chip, unsigned n, bool level);
	void *chip;
	unsigned n;
};

static inline void irq_set(const struct irq_line *l, bool level)
{
	if (l->set)
		l->set(l->chip, l->n, level);
}

/* A one-shot timer; `fire` is called with the lock held, may re-arm itself. */
struct vtimer {
	u64 deadline;		/* guest ns (clock_ns), TIMER_NEVER = idle */
	void (*fire)(void *dev, u64 now);
	void *dev;
};

struct pio_range { u16 base; u32 count; const struct pio_ops *ops; void *dev; const char *name; };
struct mmio_range { gpa_t base; u64 len; const struct mmio_ops *ops; void *dev; const char *name; };

struct bus {
	struct lock lock;
	const struct clock *clock;
	const struct phys_map *phys;	/* the DMA door */
	u64 next_deadline;		/* earliest armed timer; read without the lock as a hint */
	u64 fired;			/* timers fired, for the statistics */
	u8 pio_index[65536];		/* port -> range + 1, 0 = unclaimed */
	unsigned pio_count, mmio_count, timer_count;
	struct pio_range pio[BUS_PIO_MAX];
	struct mmio_range mmio[BUS_MMIO_MAX];
	struct vtimer *timer[BUS_TIMER_MAX];
};

void bus_init(struct bus *b, const struct clock *clock, const struct phys_map *phys);

/* Registration, at construction.  -EEXIST on overlap, -ENOSPC when full. */
MUST_USE int bus_add_pio(struct bus *b, u16 base, u32 count, const struct pio_ops *ops,
			 void *dev, const char *name);
MUST_USE int bus_add_mmio(struct bus *b, gpa_t base, u64 len, const struct mmio_ops *ops,
			  void *dev, const char *name);
MUST_USE int bus_add_timer(struct bus *b, struct vtimer *t, void (*fire)(void *, u64), void *dev);

/* Accesses from the guest.  These take the lock themselves. */
u32 bus_pio_read(struct bus *b, u16 port, unsigned size);
void bus_pio_write(struct bus *b, u16 port, unsigned size, u32 value);
u64 bus_mmio_read(struct bus *b, unsigned cpu, gpa_t gpa, unsigned size);
void bus_mmio_write(struct bus *b, unsigned cpu, gpa_t gpa, unsigned size, u64 value);

/* With the lock held (devices call these): arm at absolute guest ns, or TIMER_NEVER. */
void timer_arm(struct bus *b, struct vtimer *t, u64 deadline);

/* Takes the lock; fires everything due; returns the next deadline (ns) or TIMER_NEVER. */
u64 bus_run_timers(struct bus *b);

static inline u64 bus_now(const struct bus *b) { return clock_ns(b->clock); }

#endif
