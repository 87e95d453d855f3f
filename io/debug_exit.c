/*
 * isa-debug-exit: how a bare-metal test tells its result.  QEMU's device of
 * that name (hw/misc/debugexit.c) is the only data sheet; four ports at 0xf4,
 * as its users configure it.
 */
#include "io/debug_exit.h"

#define DEBUG_EXIT_PORTS 4

static u32 debug_exit_read(void *dev, u16 port, unsigned size)
{
	return 0;
}

static void debug_exit_write(void *dev, u16 port, unsigned size, u32 value)
{
	struct debug_exit *d = dev;

	d->exit(d->opaque, (int)(value << 1 | 1));
}

static const struct pio_ops debug_exit_ops = { debug_exit_read, debug_exit_write, .bytes = false };

int debug_exit_init(struct debug_exit *d, struct bus *b, void (*exit)(void *, int), void *opaque)
{
	*d = (struct debug_exit){ exit, opaque };
	return bus_add_pio(b, DEBUG_EXIT_PORT, DEBUG_EXIT_PORTS, &debug_exit_ops, d, "debug-exit");
}
