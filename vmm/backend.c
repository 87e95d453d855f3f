/*
 * The pump between a character device's rings and a host channel (see
 * vmm/backend.h).
 *
 *   tx  doorbell -> write what the ring holds; when the channel takes no more,
 *       wait for it to be writable and leave the ring full: the front end then
 *       sees no space, and the guest's UART stays busy.  Space made for a
 *       front end that waits is announced (CHAR_TX_SPACE).
 *   rx  channel readable and ring has room -> read, filter, put, announce
 *       (CHAR_RX_READY).
 *       With the ring full the channel is not polled at all; nothing tells us
 *       when the guest has read, so look again after RX_RETRY_NS.
 *
 * Invariants: no byte is read from the host that has no place in the ring; the
 * front end is never called and nothing here waits for an executor, which may
 * be dead.
 */
#define _GNU_SOURCE
#include "vmm/backend.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "vmm/channel.h"

#define RX_RETRY_NS   10000000ull
#define PUMP_CHUNK    4096u
#define PUMP_BURST    (4 * CHAR_RING_SIZE)	/* most bytes moved before other sources get a turn */

struct backend {
	struct loop *loop;
	struct chardev *c;
	void (*notify)(void *opaque);
	void *opaque;
	char name[16];
	struct channel ch;
	struct source in, out, listen, doorbell;
	int doorbell_fd;

	u32 tx_tail, rx_head;	/* our own copies of what an executor could forge */

	bool (*filter)(void *opaque, u8 byte);
	void *filter_opaque;

	bool in_ended;		/* end of input: stdin only; the channel stays up */
	bool in_always;		/* a file that epoll does not take: read without asking */
	u64 retry_connect, retry_rx, retry_tx;
};

static void on_in(void *opaque, u32 events);
static void on_out(void *opaque, u32 events);
static void on_listen(void *opaque, u32 events);

/* ---- Rings, from the untrusted side ---- */

static u32 tx_count(struct backend *b)
{
	u32 n = __atomic_load_n(&b->c->tx.head, __ATOMIC_ACQUIRE) - b->tx_tail;

	return n <= CHAR_RING_SIZE ? n : 0;
}

static void tx_consume(struct backend *b, u32 n)
{
	b->tx_tail += n;
	/* Full order: the front end looks at tail to decide whether to ring the doorbell. */
	__atomic_store_n(&b->c->tx.tail, b->tx_tail, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Copy up to n bytes out of tx without consuming them. */
static u32 tx_peek(struct backend *b, u8 *buf, u32 n)
{
	u32 have = tx_count(b);

	if (n > have)
		n = have;
	for (u32 i = 0; i < n; i++)
		buf[i] = b->c->tx.data[(b->tx_tail + i) & (CHAR_RING_SIZE - 1)];
	return n;
}

static u32 rx_space(struct backend *b)
{
	u32 used = b->rx_head - __atomic_load_n(&b->c->rx.tail, __ATOMIC_ACQUIRE);

	return used <= CHAR_RING_SIZE ? CHAR_RING_SIZE - used : 0;
}

static void rx_put(struct backend *b, u8 byte)
{
	b->c->rx.data[b->rx_head++ & (CHAR_RING_SIZE - 1)] = byte;
}

/* ---- Telling the front end ---- */

static void announce(struct backend *b, u32 event)
{
	__atomic_fetch_or(&b->c->events, event, __ATOMIC_SEQ_CST);
	b->notify(b->opaque);
}

static void announce_space(struct backend *b)
{
	if (__atomic_exchange_n(&b->c->tx_blocked, 0, __ATOMIC_SEQ_CST))
		announce(b, CHAR_TX_SPACE);
}

/* ---- Connection ---- */

static void disconnect(struct backend *b)
{
	loop_remove(b->loop, &b->in);
	loop_remove(b->loop, &b->out);
	channel_disconnect(&b->ch);
	__atomic_store_n(&b->c->connected, 0, __ATOMIC_SEQ_CST);
	b->in_always = false;
	b->retry_rx = b->retry_tx = LOOP_FOREVER;
	if (channel_retry_ns(&b->ch))
		b->retry_connect = monotonic_ns() + channel_retry_ns(&b->ch);
	if (b->ch.listen >= 0 && b->listen.fd < 0)
		loop_add(b->loop, &b->listen, b->ch.listen, EPOLLIN, on_listen, b);
	tx_consume(b, tx_count(b));
	announce_space(b);
}

static void poll_in(struct backend *b)
{
	if (b->ch.in < 0 || b->in.fd >= 0 || b->in_ended || b->in_always)
		return;
	if (loop_add(b->loop, &b->in, b->ch.in, EPOLLIN, on_in, b) == -EPERM) {
		b->in_always = true;
		b->retry_rx = 0;
	}
}

static void connected(struct backend *b)
{
	b->retry_connect = LOOP_FOREVER;
	loop_remove(b->loop, &b->listen);
	__atomic_store_n(&b->c->connected, 1, __ATOMIC_SEQ_CST);
	poll_in(b);
}

static void on_listen(void *opaque, u32 events)
{
	struct backend *b = opaque;

	if (channel_connect(&b->ch))
		connected(b);
}

/* ---- Guest to host ---- */

/* Write what the ring holds; true if the channel could take no more. */
static bool pump_tx(struct backend *b)
{
	u8 buf[PUMP_CHUNK];
	u32 moved = 0, n;

	b->retry_tx = LOOP_FOREVER;
	while ((n = tx_peek(b, buf, sizeof buf)) > 0) {
		ssize_t r;

		if (b->ch.out < 0) {
			tx_consume(b, n);
			continue;
		}
		r = channel_write(&b->ch, buf, n);
		if (r == -EAGAIN)
			break;
		if (r <= 0 && b->ch.kind == SERIAL_STDIO) {
			/* Nobody reads stdout any more; the keys on stdin still work. */
			loop_remove(b->loop, &b->out);
			channel_close_out(&b->ch);
			continue;
		}
		if (r <= 0) {
			if (b->ch.kind == SERIAL_FILE)
				log_error("%s: %s: %s; further output is lost", b->name, b->ch.path,
					  strerror((int)-r));
			disconnect(b);
			return false;
		}
		tx_consume(b, (u32)r);
		moved += (u32)r;
		if (moved >= PUMP_BURST) {
			b->retry_tx = 0;
			break;
		}
	}
	if (moved)
		announce_space(b);
	return n > 0 && b->retry_tx == LOOP_FOREVER;
}

static void service_tx(struct backend *b)
{
	bool stuck = pump_tx(b);

	if (!stuck)
		loop_remove(b->loop, &b->out);
	else if (b->out.fd < 0 && loop_add(b->loop, &b->out, b->ch.out, EPOLLOUT, on_out, b))
		b->retry_tx = monotonic_ns() + RX_RETRY_NS;	/* not pollable: look again */
}

static void on_out(void *opaque, u32 events)
{
	service_tx(opaque);
}

static void on_doorbell(void *opaque, u32 events)
{
	struct backend *b = opaque;
	u64 n;

	if (read(b->doorbell_fd, &n, sizeof n) < 0)
		return;
	if (b->out.fd < 0)	/* else the channel's readiness is what we wait for */
		service_tx(b);
}

/* ---- Host to guest ---- */

/* Stop asking for input; for stdin's end of file the output side lives on. */
static void input_ended(struct backend *b, ssize_t why)
{
	loop_remove(b->loop, &b->in);
	b->retry_rx = LOOP_FOREVER;
	b->in_always = false;
	/* EIO from a terminal: this process is in its background; backend_resume asks again. */
	b->in_ended = b->ch.kind == SERIAL_STDIO;
	if (!b->in_ended)
		disconnect(b);
}

static void service_rx(struct backend *b)
{
	u8 buf[PUMP_CHUNK];
	u32 space = rx_space(b), put = 0;
	ssize_t n;

	if (b->ch.in < 0 || b->in_ended)
		return;
	if (!space) {
		loop_remove(b->loop, &b->in);
		b->retry_rx = monotonic_ns() + RX_RETRY_NS;
		return;
	}
	b->retry_rx = b->in_always ? 0 : LOOP_FOREVER;
	n = channel_read(&b->ch, buf, min_u64(space, sizeof buf));
	if (n == -EAGAIN) {
		if (b->in_always)
			b->retry_rx = monotonic_ns() + RX_RETRY_NS;
		poll_in(b);
		return;
	}
	if (n <= 0) {
		input_ended(b, n);
		return;
	}
	for (ssize_t i = 0; i < n; i++)
		if (!b->filter || b->filter(b->filter_opaque, buf[i])) {
			rx_put(b, buf[i]);
			put++;
		}
	poll_in(b);
	if (!put)
		return;
	__atomic_store_n(&b->c->rx.head, b->rx_head, __ATOMIC_RELEASE);
	announce(b, CHAR_RX_READY);
}

static void on_in(void *opaque, u32 events)
{
	service_rx(opaque);
}

/* ---- The whole ---- */

struct backend *backend_open(struct loop *loop, const struct serial_config *sc, const char *name,
			     struct chardev *c, void (*notify)(void *opaque), void *opaque, char *err, size_t errlen)
{
	struct backend *b = calloc(1, sizeof *b);
	char why[256] = "";

	if (!b) {
		snprintf(err, errlen, "out of memory");
		return NULL;
	}
	*b = (struct backend){
		.loop = loop, .c = c, .notify = notify, .opaque = opaque, .doorbell_fd = -1,
		.in = SOURCE_INIT, .out = SOURCE_INIT, .listen = SOURCE_INIT, .doorbell = SOURCE_INIT,
		.retry_connect = LOOP_FOREVER, .retry_rx = LOOP_FOREVER, .retry_tx = LOOP_FOREVER,
	};
	snprintf(b->name, sizeof b->name, "%s", name);
	if (channel_open(&b->ch, sc, why, sizeof why) < 0) {
		snprintf(err, errlen, "%s: %s", name, why);
		free(b);
		return NULL;
	}
	b->doorbell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (b->doorbell_fd < 0 ||
	    loop_add(loop, &b->doorbell, b->doorbell_fd, EPOLLIN, on_doorbell, b)) {
		snprintf(err, errlen, "%s: cannot make an eventfd: %s", name, strerror(errno));
		backend_close(b);
		return NULL;
	}
	backend_resync(b);
	if (channel_connected(&b->ch) || channel_connect(&b->ch))
		connected(b);
	else
		disconnect(b);	/* arms the ways to get a peer */
	return b;
}

void backend_close(struct backend *b)
{
	if (!b)
		return;
	b->c->connected = 0;
	b->c->doorbell_fd = -1;	/* for whoever opens another; ours is b->doorbell_fd */
	loop_remove(b->loop, &b->in);
	loop_remove(b->loop, &b->out);
	loop_remove(b->loop, &b->listen);
	loop_remove(b->loop, &b->doorbell);
	if (b->doorbell_fd >= 0)
		close(b->doorbell_fd);
	channel_close(&b->ch);
	free(b);
}

void backend_set_filter(struct backend *b, bool (*filter)(void *opaque, u8 byte), void *opaque)
{
	b->filter = filter;
	b->filter_opaque = opaque;
}

bool backend_connected(const struct backend *b)
{
	return channel_connected(&b->ch);
}

u64 backend_deadline(const struct backend *b)
{
	return min_u64(min_u64(b->retry_connect, b->retry_rx), b->retry_tx);
}

void backend_tick(struct backend *b, u64 now)
{
	if (now >= b->retry_connect) {
		b->retry_connect = now + channel_retry_ns(&b->ch);
		if (channel_connect(&b->ch))
			connected(b);
	}
	if (now >= b->retry_rx)
		service_rx(b);
	if (now >= b->retry_tx)
		service_tx(b);
}

void backend_flush(struct backend *b, u64 patience)
{
	u64 give_up = monotonic_ns() + patience;

	loop_remove(b->loop, &b->out);
	while (tx_count(b) && b->ch.out >= 0) {
		struct pollfd p = { .fd = b->ch.out, .events = POLLOUT };
		u32 before = b->tx_tail;

		pump_tx(b);
		if (b->tx_tail != before)
			give_up = monotonic_ns() + patience;
		else if (monotonic_ns() >= give_up)
			break;
		if (tx_count(b) && b->ch.out >= 0)
			poll(&p, 1, 20);
	}
	b->retry_tx = LOOP_FOREVER;
}

void backend_resync(struct backend *b)
{
	b->tx_tail = __atomic_load_n(&b->c->tx.tail, __ATOMIC_ACQUIRE);
	b->rx_head = __atomic_load_n(&b->c->rx.head, __ATOMIC_ACQUIRE);
	b->c->doorbell_fd = b->doorbell_fd;
	__atomic_store_n(&b->c->connected, channel_connected(&b->ch), __ATOMIC_SEQ_CST);
}

void backend_resume(struct backend *b)
{
	b->in_ended = false;
	poll_in(b);
}

const char *backend_path(const struct backend *b)
{
	return b->ch.path;
}
