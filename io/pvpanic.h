/*
 * QEMU's pvpanic device: by it a guest tells that it has panicked.
 */
#ifndef IO_PVPANIC_H
#define IO_PVPANIC_H

#include "io/bus.h"

struct pvpanic {
	void (*panicked)(void *opaque);
	void *opaque;
};

MUST_USE int pvpanic_init(struct pvpanic *p, struct bus *b, void (*panicked)(void *), void *opaque);

#endif
