/*
 * A byte channel on the host, never blocking: the standard streams, a
 * pseudo-terminal, a file, a Unix socket, or nothing.  Knows no rings and no
 * guest; vmm/backend.c pumps bytes between it and a character device.
 */
#ifndef VMM_CHANNEL_H
#define VMM_CHANNEL_H

#include <sys/types.h>
#include "vmm/config.h"
#include "vmm/unix_socket.h"

struct channel {
	enum serial_kind kind;
	const char *path;	/* of the file or socket; a pty's slave */
	bool server;		/* unix: listens */
	int in, out;		/* -1: no peer, or nothing in that direction; two descriptors, even of one file */
	int listen;		/* unix server; else -1 */
	struct unix_file file;	/* the server's */
	int master;		/* pty; else -1 */
	bool in_socket, out_socket, out_may_block;
	char pty_name[64];
};

#define CHANNEL_CLOSED { .in = -1, .out = -1, .listen = -1, .master = -1 }

/* 0, or negative errno with one line in err.  The peer may come later (channel_connect). */
int channel_open(struct channel *ch, const struct serial_config *sc, char *err, size_t errlen);
void channel_close(struct channel *ch);

static inline bool channel_connected(const struct channel *ch) { return ch->in >= 0 || ch->out >= 0; }

/* Without a peer: is there one now?  Accepts, connects, or looks. */
bool channel_connect(struct channel *ch);
/* Drop the peer. */
void channel_disconnect(struct channel *ch);
/* Drop the output direction alone. */
void channel_close_out(struct channel *ch);
/* How often channel_connect is to be tried, ns; 0: never, or when `listen` is ready. */
u64 channel_retry_ns(const struct channel *ch);

/* Bytes moved; -EAGAIN: not now; 0 (read: end) or another negative errno: the peer is gone. */
ssize_t channel_read(struct channel *ch, void *buf, size_t n);
ssize_t channel_write(struct channel *ch, const void *buf, size_t n);

#endif
