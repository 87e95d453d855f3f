/*
 * The 16550A serial port (National Semiconductor PC16550D, June 1995).
 *
 * The line is as fast as the host: a character written is gone at once, unless
 * the host takes no more; then it stays in the transmitter's FIFO and THRE
 * stays clear until the back end calls tx_space.  Nothing is ever lost between
 * guest and host in either direction, so only loopback can overrun.
 *
 * The modem lines are those of a cable with a terminal that is always ready.
 */
#include "base/bits.h"
#include "base/log.h"
#include "io/uart.h"

enum { RBR = 0, THR = 0, IER = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };

enum { IER_RDA = 0x01, IER_THRE = 0x02, IER_RLS = 0x04, IER_MSI = 0x08, IER_ALL = 0x0f };
enum { IIR_MSI = 0x00, IIR_NONE = 0x01, IIR_THRE = 0x02, IIR_RDA = 0x04, IIR_RLS = 0x06, IIR_TIMEOUT = 0x0c,
       IIR_FIFO = 0xc0 };
enum { FCR_ENABLE = 0x01, FCR_CLEAR_RX = 0x02, FCR_CLEAR_TX = 0x04, FCR_KEPT = 0xc9 };
enum { LCR_BREAK = 0x40, LCR_DLAB = 0x80 };
enum { MCR_DTR = 0x01, MCR_RTS = 0x02, MCR_OUT1 = 0x04, MCR_OUT2 = 0x08, MCR_LOOP = 0x10, MCR_ALL = 0x1f };
enum { LSR_DR = 0x01, LSR_OE = 0x02, LSR_PE = 0x04, LSR_FE = 0x08, LSR_BI = 0x10, LSR_THRE = 0x20,
       LSR_TEMT = 0x40, LSR_FIFO_ERR = 0x80, LSR_ERRORS = 0x1e };
enum { MSR_DCTS = 0x01, MSR_DDSR = 0x02, MSR_TERI = 0x04, MSR_DDCD = 0x08,
       MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80 };

#define UART_CLOCK      115200u		/* characters per second = clock / divisor / 10 */
#define TIMEOUT_MAX_NS  5000000u
/*
 * Linux gives up ("too much work for irq4") after 256 rounds of its handler
 * without a pause.  As our transmitter is never busy, it would come to that
 * with a full buffer; a pause of 10 us every 64 rounds costs nothing.
 */
#define THRE_STREAK     64
#define HOLDOFF_NS      10000

/* ---- FIFOs ---- */

static unsigned fifo_size(const struct uart *u) { return u->fcr & FCR_ENABLE ? UART_FIFO : 1; }

static void fifo_put(struct uart_fifo *f, u8 c, u8 err)
{
	unsigned i = (f->head + f->count) & (UART_FIFO - 1);

	f->data[i] = c;
	f->err[i] = err;
	f->count++;
}

static u8 fifo_get(struct uart_fifo *f)
{
	u8 c = f->data[f->head & (UART_FIFO - 1)];

	f->head = (f->head + 1) & (UART_FIFO - 1);
	f->count--;
	return c;
}

static void fifo_clear(struct uart_fifo *f) { f->head = f->count = 0; }

/* ---- interrupts ---- */

static unsigned trigger_level(const struct uart *u)
{
	static const u8 level[4] = { 1, 4, 8, 14 };

	return u->fcr & FCR_ENABLE ? level[u->fcr >> 6] : 1;
}

/* The source with the highest priority, as IIR names it. */
static u8 pending_source(const struct uart *u)
{
	if ((u->ier & IER_RLS) && (u->lsr & LSR_ERRORS))
		return IIR_RLS;
	if ((u->ier & IER_RDA) && u->rx.count >= trigger_level(u))
		return IIR_RDA;
	if ((u->ier & IER_RDA) && u->timed_out)
		return IIR_TIMEOUT;
	if ((u->ier & IER_THRE) && u->thre_pending)
		return IIR_THRE;
	if ((u->ier & IER_MSI) && u->msr_delta)
		return IIR_MSI;
	return IIR_NONE;
}

/*
 * On the PC's card OUT2 opens the buffer to the bus.  QEMU has no such buffer,
 * and kernels that grew up there (xv6) never set OUT2: so here neither.
 */
static void update_irq(struct uart *u)
{
	irq_set(&u->irq, pending_source(u) != IIR_NONE);
}

static void thre_request(struct uart *u)
{
	if (u->thre_streak < THRE_STREAK)
		u->thre_pending = true;
	else
		timer_arm(u->bus, &u->holdoff, bus_now(u->bus) + HOLDOFF_NS);
}

static void holdoff_over(void *dev, u64 now)
{
	struct uart *u = dev;

	u->thre_streak = 0;
	if (!u->tx.count)
		u->thre_pending = true;
	update_irq(u);
}

/* ---- receiver ---- */

/* Four character times, counted from the last arrival or read. */
static void restart_timeout(struct uart *u)
{
	u64 ns = 4ull * 10 * 1000000000 / UART_CLOCK * (u->divisor ? u->divisor : 1);

	u->timed_out = false;
	timer_arm(u->bus, &u->timeout, (u->fcr & FCR_ENABLE) && u->rx.count && u->rx.count < trigger_level(u) ?
		  bus_now(u->bus) + min_u64(ns, TIMEOUT_MAX_NS) : TIMER_NEVER);
}

static void timeout_over(void *dev, u64 now)
{
	struct uart *u = dev;

	u->timed_out = u->rx.count != 0;
	update_irq(u);
}

/* LSR shows the errors of the character at the FIFO's top. */
static void show_errors(struct uart *u)
{
	if (u->rx.count)
		u->lsr |= u->rx.err[u->rx.head & (UART_FIFO - 1)];
}

static void receive(struct uart *u, u8 c, u8 err)
{
	if (u->rx.count >= fifo_size(u)) {
		u->lsr |= LSR_OE;
		if (u->fcr & FCR_ENABLE)
			return;		/* the shift register is overwritten, the FIFO is kept */
		fifo_clear(&u->rx);
	}
	fifo_put(&u->rx, c, err);
	show_errors(u);
	restart_timeout(u);
}

static void pull(struct uart *u)
{
	int c;

	if (u->mcr & MCR_LOOP)
		return;
	while (u->rx.count < fifo_size(u) && (c = ring_get(&u->chr->rx)) >= 0)
		receive(u, (u8)c, 0);
}

static void rx_ready(void *dev)
{
	struct uart *u = dev;

	pull(u);
	/* The host has no more for now: the four character times pass at once. */
	timer_arm(u->bus, &u->timeout, TIMER_NEVER);
	u->timed_out = (u->fcr & FCR_ENABLE) && u->rx.count;
	update_irq(u);
}

static u8 read_rbr(struct uart *u)
{
	u8 c = 0;

	if (u->rx.count)
		c = fifo_get(&u->rx);
	show_errors(u);
	restart_timeout(u);
	update_irq(u);		/* without the FIFO, the line falls before the next character raises it */
	pull(u);
	return c;
}

/* ---- transmitter ---- */

static void drain(struct uart *u)
{
	while (u->tx.count) {
		if (!chardev_tx(u->chr, u->tx.data[u->tx.head & (UART_FIFO - 1)]))
			return;
		fifo_get(&u->tx);
	}
	thre_request(u);
}

static void tx_space(void *dev)
{
	struct uart *u = dev;

	if (!u->tx.count)
		return;
	u->thre_streak = 0;	/* the wait was a pause */
	drain(u);
	update_irq(u);
}

static void write_thr(struct uart *u, u8 c)
{
	/* The line falls before it rises again: an edge-triggered input must see each emptying. */
	u->thre_pending = false;
	update_irq(u);
	if (u->mcr & MCR_LOOP) {
		receive(u, c, 0);
		thre_request(u);
		return;
	}
	if (u->tx.count >= fifo_size(u))
		return;			/* written against THRE: lost, as on the chip */
	fifo_put(&u->tx, c, 0);
	drain(u);
}

/* ---- modem lines ---- */

static u8 modem_lines(const struct uart *u)
{
	if (!(u->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (u->mcr & MCR_DTR ? MSR_DSR : 0) | (u->mcr & MCR_RTS ? MSR_CTS : 0) |
	       (u->mcr & MCR_OUT1 ? MSR_RI : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static void write_mcr(struct uart *u, u8 v)
{
	u8 before = modem_lines(u), changed;

	u->mcr = v & MCR_ALL;
	changed = before ^ modem_lines(u);
	/* CTS, DSR, DCD tell any change; RI only its end. */
	u->msr_delta |= (changed >> 4) & (MSR_DCTS | MSR_DDSR | MSR_DDCD);
	if (changed & before & MSR_RI)
		u->msr_delta |= MSR_TERI;
	pull(u);
}

/* ---- registers ---- */

static u8 read_iir(struct uart *u)
{
	u8 source = pending_source(u);

	if (source == IIR_THRE) {
		u->thre_pending = false;
		u->thre_streak++;
	} else if (source == IIR_NONE) {
		u->thre_streak = u->holdoff.deadline == TIMER_NEVER ? 0 : u->thre_streak;
	}
	return source | (u->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static u8 read_lsr(struct uart *u)
{
	u8 v = u->lsr;

	if (u->rx.count)
		v |= LSR_DR;
	if (!u->tx.count)
		v |= LSR_THRE | LSR_TEMT;
	if (u->fcr & FCR_ENABLE)
		for (unsigned i = 0; i < u->rx.count; i++)
			if (u->rx.err[(u->rx.head + i) & (UART_FIFO - 1)])
				v |= LSR_FIFO_ERR;
	u->lsr = 0;
	if (u->rx.count)
		u->rx.err[u->rx.head & (UART_FIFO - 1)] = 0;	/* told */
	return v;
}

static void write_ier(struct uart *u, u8 v)
{
	v &= IER_ALL;
	if ((v & ~u->ier & IER_THRE) && !u->tx.count)
		u->thre_pending = true;		/* enabling it tells that the transmitter is empty now */
	u->ier = v;
}

static void write_fcr(struct uart *u, u8 v)
{
	bool toggled = (v ^ u->fcr) & FCR_ENABLE;

	if (toggled || (v & FCR_CLEAR_RX)) {
		fifo_clear(&u->rx);
		u->timed_out = false;
	}
	if (toggled || (v & FCR_CLEAR_TX)) {
		if (u->tx.count)
			thre_request(u);
		fifo_clear(&u->tx);
	}
	u->fcr = v & FCR_ENABLE ? v & FCR_KEPT : 0;
	restart_timeout(u);
	pull(u);
}

static void write_lcr(struct uart *u, u8 v)
{
	if ((u->mcr & MCR_LOOP) && (v & ~u->lcr & LCR_BREAK))
		receive(u, 0, LSR_BI);
	u->lcr = v;
}

static u32 uart_read(void *dev, u16 port, unsigned size)
{
	struct uart *u = dev;
	u8 v = 0;

	switch (port & 7) {
	case RBR: v = u->lcr & LCR_DLAB ? (u8)u->divisor : read_rbr(u); break;
	case IER: v = u->lcr & LCR_DLAB ? (u8)(u->divisor >> 8) : u->ier; break;
	case IIR: v = read_iir(u); break;
	case LCR: v = u->lcr; break;
	case MCR: v = u->mcr; break;
	case LSR: v = read_lsr(u); break;
	case MSR:
		v = modem_lines(u) | u->msr_delta;
		u->msr_delta = 0;
		break;
	case SCR: v = u->scr; break;
	}
	update_irq(u);
	trace(serial, "read %x -> %02x", port, v);
	return v;
}

static void uart_write(void *dev, u16 port, unsigned size, u32 value)
{
	struct uart *u = dev;
	u8 v = (u8)value;

	trace(serial, "write %x <- %02x", port, v);
	switch (port & 7) {
	case THR:
		if (u->lcr & LCR_DLAB)
			u->divisor = (u->divisor & 0xff00) | v;
		else
			write_thr(u, v);
		break;
	case IER:
		if (u->lcr & LCR_DLAB)
			u->divisor = (u16)((u->divisor & 0xff) | v << 8);
		else
			write_ier(u, v);
		break;
	case FCR: write_fcr(u, v); break;
	case LCR: write_lcr(u, v); break;
	case MCR: write_mcr(u, v); break;
	case LSR: case MSR: break;	/* factory test only */
	case SCR: u->scr = v; break;
	}
	update_irq(u);
}

static const struct pio_ops uart_ops = { uart_read, uart_write, .bytes = true };

void uart_reset(struct uart *u)
{
	u->ier = u->fcr = u->lcr = u->mcr = u->scr = u->lsr = u->msr_delta = 0;
	u->divisor = 12;
	u->thre_pending = u->timed_out = false;
	u->thre_streak = 0;
	fifo_clear(&u->rx);
	fifo_clear(&u->tx);
	timer_arm(u->bus, &u->timeout, TIMER_NEVER);
	timer_arm(u->bus, &u->holdoff, TIMER_NEVER);
	update_irq(u);
}

int uart_init(struct uart *u, struct bus *b, u16 base, struct irq_line irq, struct chardev *chr, const char *name)
{
	int r;

	__builtin_memset(u, 0, sizeof(*u));
	u->bus = b;
	u->chr = chr;
	u->irq = irq;
	if ((r = bus_add_timer(b, &u->timeout, timeout_over, u)) < 0 ||
	    (r = bus_add_timer(b, &u->holdoff, holdoff_over, u)) < 0 ||
	    (r = bus_add_pio(b, base, 8, &uart_ops, u, name)) < 0)
		return r;
	chr->rx_ready = rx_ready;
	chr->tx_space = tx_space;
	chr->dev = u;
	uart_reset(u);
	return 0;
}
