/*
 * The control console: what the console's keyboard talks to after C-a c.  A line
 * editor over the control commands.  Runs in the monitor only.
 */
#ifndef VMM_CONSOLE_H
#define VMM_CONSOLE_H

#include "vmm/control.h"

#define CONSOLE_LINE_MAX 200u

struct console {
	control_execute *execute;
	void *opaque;
	/* Text as it is; nothing is added. */
	void (*print)(const char *fmt, ...) PRINTF_LIKE(1, 2);
	/* Prints a command's reply in its own way, or returns false. */
	bool (*show)(void *opaque, enum control_command command);

	bool active;			/* has the keyboard */
	bool executing;
	struct control_request rq;
	unsigned escape;		/* of a terminal's key, how far */
	unsigned len, ahead_len;
	char line[CONSOLE_LINE_MAX + 1], last[CONSOLE_LINE_MAX + 1];
	char ahead[CONSOLE_LINE_MAX];	/* typed while a command runs */
};

void console_toggle(struct console *c);
void console_key(struct console *c, u8 byte);
/* Something else has been printed: the prompt again, and what is typed so far. */
void console_redraw(struct console *c);

/* After every turn of the loop. */
void console_tick(struct console *c);
u64 console_deadline(const struct console *c);	/* monotonic ns or LOOP_FOREVER */
void console_close(struct console *c);

#endif
