/*
 * The control socket: clients, their lines in and out.  Runs in the monitor
 * only.
 *
 * A client's requests are answered one after another, in order; clients take
 * turns, a request each.  Nothing a client does blocks the monitor or makes it
 * use more memory than a line and a reply for each of CONTROL_CLIENTS_MAX.
 */
#ifndef VMM_CONTROL_SERVER_H
#define VMM_CONTROL_SERVER_H

#include "vmm/control.h"
#include "vmm/loop.h"

#define CONTROL_CLIENTS_MAX 8u
#define CONTROL_PATIENCE_NS 5000000000ull	/* a client that takes nothing of a reply for so long is dropped */

struct control_server;

/* Listen at path, for this user alone.  NULL with one line in err. */
struct control_server *control_server_open(struct loop *loop, const char *path, control_execute *execute, void *opaque,
					   char *err, size_t errlen);
/* Serve a connection that is there already: the descriptor is taken.  False: too many. */
bool control_server_adopt(struct control_server *s, int fd);

/* After every turn of the loop: requests are executed here.  The deadline: when it is due without an event. */
void control_server_tick(struct control_server *s);
u64 control_server_deadline(const struct control_server *s);	/* monotonic ns or LOOP_FOREVER */

/* The machine has ended: requests that still wait are tried once more, then all connections end.  NULL is fine. */
void control_server_close(struct control_server *s);

#endif
