/*
 * A 16550A serial port.
 */
#ifndef IO_UART_H
#define IO_UART_H

#include "io/bus.h"
#include "io/chardev.h"

#define UART_FIFO 16u

/* One character with the line errors it arrived with (LSR bits). */
struct uart_fifo {
	u8 data[UART_FIFO], err[UART_FIFO];
	u8 head, count;
};

struct uart {
	struct bus *bus;
	struct chardev *chr;
	struct irq_line irq;
	struct vtimer timeout;	/* characters wait below the trigger level */
	struct vtimer holdoff;	/* postpones a THRE interrupt, see thre_request */
	struct uart_fifo rx, tx;
	u16 divisor;
	u8 ier, fcr, lcr, mcr, scr;
	u8 lsr;			/* error bits only; the rest is derived */
	u8 msr_delta;
	bool thre_pending;	/* the THRE interrupt's latch */
	bool timed_out;
	u8 thre_streak;		/* THRE interrupts since the handler last found nothing to do */
};

MUST_USE int uart_init(struct uart *u, struct bus *b, u16 base, struct irq_line irq, struct chardev *chr,
		       const char *name);
void uart_reset(struct uart *u);

#endif
