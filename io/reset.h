/*
 * The ways to reset the machine by port that are not the keyboard controller's:
 * port 0x92 and the chip set's reset control register.
 */
#ifndef IO_RESET_H
#define IO_RESET_H

#include "io/bus.h"

struct reset_ports {
	void (*reset)(void *opaque);
	void *opaque;
	u8 port92, control;
};

MUST_USE int reset_ports_init(struct reset_ports *r, struct bus *b, void (*reset)(void *), void *opaque);
void reset_ports_reset(struct reset_ports *r);

#endif
