/*
 * The keyboard controller, with a keyboard that nobody types on.
 */
#ifndef IO_I8042_H
#define IO_I8042_H

#include "io/bus.h"

#define I8042_QUEUE 16u
#define I8042_RAM   32u

struct i8042 {
	struct irq_line irq;		/* IRQ 1 */
	void (*reset)(void *opaque);
	void *opaque;
	u8 ram[I8042_RAM];		/* byte 0: the command byte */
	u8 status;			/* what is not derived: system flag, last write was a command */
	u8 command;			/* controller command whose parameter comes next, 0 = none */
	u8 out;				/* output buffer */
	bool full;
	u8 reply;			/* the controller's own answer, when the buffer was full */
	bool reply_waiting;
	u8 output_port;
	/* The keyboard behind it. */
	u8 kbd_command;			/* likewise for the keyboard */
	u8 kbd_set;			/* scan code set 1..3 */
	u8 kbd_last;			/* for "resend" */
	u8 queue[I8042_QUEUE], queue_head, queue_count;
};

MUST_USE int i8042_init(struct i8042 *k, struct bus *b, struct irq_line irq, void (*reset)(void *), void *opaque);
void i8042_reset(struct i8042 *k);

#endif
