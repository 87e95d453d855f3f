/*
 * The isa-debug-exit port: a write ends the machine with an exit status.
 */
#ifndef IO_DEBUG_EXIT_H
#define IO_DEBUG_EXIT_H

#include "io/bus.h"

#define DEBUG_EXIT_PORT 0xf4

struct debug_exit {
	void (*exit)(void *opaque, int code);	/* code = value * 2 + 1 */
	void *opaque;
};

MUST_USE int debug_exit_init(struct debug_exit *d, struct bus *b, void (*exit)(void *, int), void *opaque);

#endif
