/*
 * Back ends of character devices: where a serial port's bytes go on the host.
 * Runs in the monitor only.
 *
 * The rings and everything else in struct chardev are shared with executors
 * and not trusted: this side keeps its own copy of its ring positions, and calls
 * nothing through it.  News for the front end are flags in it; `notify` has an
 * executor look.
 */
#ifndef VMM_BACKEND_H
#define VMM_BACKEND_H

#include "io/chardev.h"
#include "vmm/config.h"
#include "vmm/loop.h"

struct backend;

/*
 * Open the back end that `sc` asks for and attach it to c; `name` ("serial0")
 * is for messages.  Creates c's doorbell; notify(opaque) is called when c->events
 * has been set.  NULL with one line in err.
 * sc->kind must not be SERIAL_NONE.
 */
struct backend *backend_open(struct loop *loop, const struct serial_config *sc, const char *name,
			     struct chardev *c, void (*notify)(void *opaque), void *opaque,
			     char *err, size_t errlen);
/* Close; removes a socket's file.  NULL is fine. */
void backend_close(struct backend *b);

/*
 * What the host sends passes through `filter` first: it may take bytes out
 * (true: for the guest).  The console's escape keys live there.
 */
void backend_set_filter(struct backend *b, bool (*filter)(void *opaque, u8 byte), void *opaque);

/* Has a peer?  (A socket with wait=on holds the guest back until it has.) */
bool backend_connected(const struct backend *b);

/* Work that waits for time and not for a descriptor: when, and the doing of it. */
u64 backend_deadline(const struct backend *b);	/* monotonic ns or LOOP_FOREVER */
void backend_tick(struct backend *b, u64 now);

/*
 * The guest has stopped: write out what it has sent.  Gives up when the peer
 * has taken nothing for `patience` ns.  Blocks.
 */
void backend_flush(struct backend *b, u64 patience);

/* The machine has been built anew: attach to it as before, with empty rings. */
void backend_resync(struct backend *b);
/* After SIGCONT: input that the terminal refused to a background process is possible again. */
void backend_resume(struct backend *b);

/* The host's name for it: of the file, the socket, the pty's other side; NULL: it has none. */
const char *backend_path(const struct backend *b);

#endif
