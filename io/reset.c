/*
 * System control port A (0x92, PS/2 Hardware Technical Reference) and the
 * reset control register (0xcf9, Intel 82371SB, 290550, section 2.2.4).
 *
 * 0xcf9 lies within PCI's CONFIG_ADDRESS, which takes only 32-bit accesses at
 * 0xcf8, so that the two never meet.
 *
 * A20 is always on: the machine starts in protected mode from a loader that
 * needs it, and no guest since has wanted it off.  The bit is remembered.
 */
#include "base/bits.h"
#include "base/log.h"
#include "io/reset.h"

#define PORT_A        0x92
#define RESET_CONTROL 0xcf9

enum { A_RESET = 0x01, A_A20 = 0x02 };
enum { RC_HARD = 0x02, RC_RESET = 0x04 };

static u32 port_a_read(void *dev, u16 port, unsigned size)
{
	struct reset_ports *r = dev;

	return r->port92;
}

static void port_a_write(void *dev, u16 port, unsigned size, u32 value)
{
	struct reset_ports *r = dev;
	bool rises = value & ~r->port92 & A_RESET;

	if (!(value & A_A20) && (r->port92 & A_A20))
		trace(unimp, "port 0x92: A20 stays on");
	r->port92 = (u8)value;
	if (rises)
		r->reset(r->opaque);
}

static u32 control_read(void *dev, u16 port, unsigned size)
{
	struct reset_ports *r = dev;

	return r->control;
}

static void control_write(void *dev, u16 port, unsigned size, u32 value)
{
	struct reset_ports *r = dev;
	bool rises = value & ~r->control & RC_RESET;

	r->control = value & RC_HARD;	/* the reset bit does not survive the reset */
	if (rises)
		r->reset(r->opaque);
}

static const struct pio_ops port_a_ops = { port_a_read, port_a_write, .bytes = true };
static const struct pio_ops control_ops = { control_read, control_write, .bytes = false };

void reset_ports_reset(struct reset_ports *r)
{
	r->port92 = A_A20;
	r->control = 0;
}

int reset_ports_init(struct reset_ports *r, struct bus *b, void (*reset)(void *), void *opaque)
{
	int err;

	*r = (struct reset_ports){ reset, opaque, A_A20, 0 };
	if ((err = bus_add_pio(b, PORT_A, 1, &port_a_ops, r, "port92")) < 0)
		return err;
	return bus_add_pio(b, RESET_CONTROL, 1, &control_ops, r, "reset");
}
