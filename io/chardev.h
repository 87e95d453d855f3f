/*
 * The seam between a character device's front end (UART, debug console; in the
 * executor) and its back end (terminal, pty, file, socket; in the monitor): two
 * single-producer single-consumer byte rings in the shared arena.
 *
 * tx: guest to host; the front end puts, the back end gets.
 * rx: host to guest; the back end puts.
 * The back end never calls the front end: function pointers in shared memory
 * are an executor's to forge.  It sets `events` and kicks an executor, where
 * chardev_take_events calls `rx_ready` and `tx_space`.
 * The side that reads from shared memory trusts no index: they are masked.
 */
#ifndef IO_CHARDEV_H
#define IO_CHARDEV_H

#include "base/types.h"

#define CHAR_RING_SIZE 16384u	/* power of two */

struct char_ring {
	u32 head;		/* written by the producer */
	u32 tail;		/* written by the consumer */
	u8 data[CHAR_RING_SIZE];
};

static inline u32 ring_count(const struct char_ring *r)
{
	u32 n = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE) - __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
	return n > CHAR_RING_SIZE ? CHAR_RING_SIZE : n;
}

static inline u32 ring_space(const struct char_ring *r) { return CHAR_RING_SIZE - ring_count(r); }

static inline bool ring_put(struct char_ring *r, u8 c)
{
	if (!ring_space(r))
		return false;
	r->data[r->head & (CHAR_RING_SIZE - 1)] = c;
	__atomic_store_n(&r->head, r->head + 1, __ATOMIC_RELEASE);
	return true;
}

static inline int ring_get(struct char_ring *r)
{
	u8 c;

	if (!ring_count(r))
		return -1;
	c = r->data[r->tail & (CHAR_RING_SIZE - 1)];
	__atomic_store_n(&r->tail, r->tail + 1, __ATOMIC_RELEASE);
	return c;
}

/* chardev.events */
#define CHAR_RX_READY 1u	/* bytes have arrived in rx */
#define CHAR_TX_SPACE 2u	/* tx has space again */

struct chardev {
	struct char_ring tx, rx;
	u32 events;		/* set by the back end, taken by the front end */
	/* Set by the front end: bytes have arrived in rx.  Bus lock held. */
	void (*rx_ready)(void *dev);
	/* Set by the front end: tx has space again.  Bus lock held. */
	void (*tx_space)(void *dev);
	void *dev;
	int doorbell_fd;	/* eventfd; the front end writes 1 when it puts into an empty tx; -1: none */
	u32 connected;		/* back end present: without one, tx is discarded */
	u32 tx_blocked;		/* front end found tx full and waits for tx_space */
};

/* Front end: queue one byte for the host; rings the doorbell.  False if full (tx_blocked is set). */
bool chardev_tx(struct chardev *c, u8 byte);
/* Front end, in an executor: act on what the back end has announced.  Bus lock held. */
void chardev_take_events(struct chardev *c);

#endif
