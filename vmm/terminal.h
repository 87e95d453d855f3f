/*
 * The user's terminal: raw mode that is undone on every way out, and the
 * console's escape keys.
 */
#ifndef VMM_TERMINAL_H
#define VMM_TERMINAL_H

#include "base/types.h"

/*
 * Put the terminal on fd into raw mode, if fd is one and this process is in its
 * foreground.  From here on it is restored when the process ends, however it
 * ends short of SIGKILL.  Idempotent; call again after a SIGCONT.  Returns
 * whether the terminal is raw now.
 */
bool terminal_raw(int fd);
/* Undo it.  Idempotent, async-signal-safe. */
void terminal_restore(void);

/*
 * The escape machine: what QEMU's users have in their fingers.  C-a is a
 * prefix; the byte after it is a command.
 */
struct escape { bool pending; };

enum escape_action {
	ESCAPE_SEND,		/* the byte is for the guest (C-a C-a sends C-a) */
	ESCAPE_SWALLOW,		/* the prefix, or a byte after it that means nothing */
#define ESCAPE(name, key, help) ESCAPE_##name,
#include "vmm/escape.def"
#undef ESCAPE
};

enum escape_action escape_feed(struct escape *e, u8 byte);

/* Print the keys' help, one line each. */
void escape_help(void (*print)(const char *fmt, ...));

#endif
