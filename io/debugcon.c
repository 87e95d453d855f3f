/*
 * Port 0xe9: a byte written goes to the host; reading gives 0xe9, by which
 * software knows that the console is there (Bochs, "The port E9 hack").
 *
 * There is no status register, hence no back pressure: what does not fit the
 * ring is lost.
 */
#include "io/debugcon.h"

static u32 debugcon_read(void *dev, u16 port, unsigned size)
{
	return DEBUGCON_PORT;
}

static void debugcon_write(void *dev, u16 port, unsigned size, u32 value)
{
	struct debugcon *d = dev;

	for (unsigned i = 0; i < size; i++)
		chardev_tx(d->chr, (u8)(value >> (8 * (i & 3))));
}

static const struct pio_ops debugcon_ops = { debugcon_read, debugcon_write, .bytes = false };

int debugcon_init(struct debugcon *d, struct bus *b, struct chardev *chr)
{
	d->chr = chr;
	return bus_add_pio(b, DEBUGCON_PORT, 1, &debugcon_ops, d, "debugcon");
}
