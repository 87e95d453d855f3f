/*
 * pvpanic, the ISA device: one port that reads as the events it knows and is
 * written with the one that happened (QEMU, docs/specs/pvpanic).  Guests find
 * it in the DSDT, as QEMU0001.
 */
#include "base/bits.h"
#include "base/log.h"
#include "io/pc.h"
#include "io/pvpanic.h"

#define PANICKED     BIT(0)
#define CRASH_LOADED BIT(1)	/* panicked, but the guest will handle it itself (kdump) */

static u32 pvpanic_read(void *dev, u16 port, unsigned size)
{
	return PANICKED | CRASH_LOADED;
}

static void pvpanic_write(void *dev, u16 port, unsigned size, u32 value)
{
	struct pvpanic *p = dev;

	if (value & PANICKED)
		p->panicked(p->opaque);
	else
		trace(unimp, "pvpanic: event %#x%s", value, value & CRASH_LOADED ? " (crash kernel loaded)" : "");
}

static const struct pio_ops pvpanic_ops = { pvpanic_read, pvpanic_write, .bytes = true };

int pvpanic_init(struct pvpanic *p, struct bus *b, void (*panicked)(void *), void *opaque)
{
	*p = (struct pvpanic){ panicked, opaque };
	return bus_add_pio(b, PC_PVPANIC_PORT, 1, &pvpanic_ops, p, "pvpanic");
}
