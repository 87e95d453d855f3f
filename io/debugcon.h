/*
 * The debug console of Bochs and QEMU: a port that prints what is written to it.
 */
#ifndef IO_DEBUGCON_H
#define IO_DEBUGCON_H

#include "io/bus.h"
#include "io/chardev.h"

#define DEBUGCON_PORT 0xe9

struct debugcon { struct chardev *chr; };

MUST_USE int debugcon_init(struct debugcon *d, struct bus *b, struct chardev *chr);

#endif
