/*
 * The front end's half of a character device.
 *
 * The doorbell is rung only when the ring was empty.  The back end drains the
 * ring until it sees it empty after having read the doorbell, so no byte waits
 * for a wake-up; `tx_blocked` is set before the second look at the ring, so a
 * back end that drained in between either is seen here or sees the flag.
 */
#include "base/sys.h"
#include "io/chardev.h"

static void ring_doorbell(const struct chardev *c)
{
	u64 one = 1;

	if (c->doorbell_fd >= 0)
		sys_write(c->doorbell_fd, &one, sizeof(one));
}

bool chardev_tx(struct chardev *c, u8 byte)
{
	if (!__atomic_load_n(&c->connected, __ATOMIC_ACQUIRE))
		return true;
	if (!ring_put(&c->tx, byte)) {
		__atomic_store_n(&c->tx_blocked, 1, __ATOMIC_SEQ_CST);
		if (!ring_put(&c->tx, byte)) {
			ring_doorbell(c);
			return false;
		}
		__atomic_store_n(&c->tx_blocked, 0, __ATOMIC_SEQ_CST);
	}
	/* Full order, against tx_consume in vmm/backend.c: alone in the ring means that the back end saw it empty. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (ring_count(&c->tx) == 1)
		ring_doorbell(c);
	return true;
}

void chardev_take_events(struct chardev *c)
{
	u32 events;

	if (!__atomic_load_n(&c->events, __ATOMIC_RELAXED))
		return;
	events = __atomic_exchange_n(&c->events, 0, __ATOMIC_SEQ_CST);
	if ((events & CHAR_RX_READY) && c->rx_ready)
		c->rx_ready(c->dev);
	if ((events & CHAR_TX_SPACE) && c->tx_space)
		c->tx_space(c->dev);
}
