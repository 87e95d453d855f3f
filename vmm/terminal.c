/*
 * Raw mode with a guaranteed way back, and the escape keys (see
 * vmm/terminal.h).
 *
 * The guarantee is three things: atexit; handlers for the signals that end a
 * process (those the event loop takes by signalfd are blocked and never get
 * here, except before the loop runs); and the handlers' and atexit's check of
 * the process id, because executors are forks that must not touch the terminal
 * when they die.
 *
 * A process has one controlling terminal and signal handlers take no argument,
 * so this is one of the few places with process-wide state.
 */
#include "vmm/terminal.h"

#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "base/sys.h"

#define CTRL_A 0x01

static struct {
	int fd;
	long owner;			/* pid; 0: hooks not installed */
	volatile sig_atomic_t raw;	/* the terminal is not as we found it */
	struct termios found, ours;
} terminal = { .fd = -1 };

static const int fatal_signals[] = {
	SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP, SIGALRM,
	SIGXCPU, SIGXFSZ,
};

static bool is_owner(void)
{
	return sys3(SYS_getpid, 0, 0, 0) == terminal.owner;
}

void terminal_restore(void)
{
	if (!terminal.raw || !is_owner())
		return;
	terminal.raw = 0;
	tcsetattr(terminal.fd, TCSANOW, &terminal.found);
}

/* Restore, then die as the signal would have it (SA_RESETHAND has put the default back). */
static void on_fatal(int sig)
{
	terminal_restore();
	sys3(SYS_kill, sys3(SYS_getpid, 0, 0, 0), sig, 0);
}

static void install_hooks(void)
{
	struct sigaction sa = { .sa_handler = on_fatal, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER) };
	struct sigaction old;

	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < ARRAY_SIZE(fatal_signals); i++)
		if (sigaction(fatal_signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
			sigaction(fatal_signals[i], &sa, NULL);
	atexit(terminal_restore);
	terminal.owner = sys3(SYS_getpid, 0, 0, 0);
}

bool terminal_raw(int fd)
{
	struct termios t;

	/* In the background, changing it would be changing it under the shell's hands. */
	if (!isatty(fd) || tcgetpgrp(fd) != getpgrp() || tcgetattr(fd, &t))
		return false;
	if (!terminal.owner)
		install_hooks();
	if (!terminal.raw) {
		terminal.fd = fd;
		terminal.found = t;
		t.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
		/* Output processing stays: our own messages on the same terminal end in \n. */
		t.c_oflag |= OPOST;
		t.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN | ISIG);
		t.c_cflag = (t.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
		t.c_cc[VMIN] = 1;
		t.c_cc[VTIME] = 0;
		terminal.ours = t;
	}
	/* Already raw: whoever stopped us by SIGSTOP may have changed it since. */
	terminal.raw = 1;
	if (tcsetattr(terminal.fd, TCSANOW, &terminal.ours)) {
		terminal.raw = 0;
		return false;
	}
	return true;
}

/* ---- Escapes ---- */

static const struct { u8 key; enum escape_action action; const char *help; } escapes[] = {
#define ESCAPE(name, key, help) { key, ESCAPE_##name, help },
#include "vmm/escape.def"
#undef ESCAPE
};

enum escape_action escape_feed(struct escape *e, u8 byte)
{
	if (!e->pending) {
		e->pending = byte == CTRL_A;
		return e->pending ? ESCAPE_SWALLOW : ESCAPE_SEND;
	}
	e->pending = false;
	if (byte == CTRL_A)
		return ESCAPE_SEND;
	for (size_t i = 0; i < ARRAY_SIZE(escapes); i++)
		if (escapes[i].key == byte)
			return escapes[i].action;
	return ESCAPE_SWALLOW;
}

void escape_help(void (*print)(const char *fmt, ...))
{
	for (size_t i = 0; i < ARRAY_SIZE(escapes); i++)
		print("C-a %c    %s\n", escapes[i].key, escapes[i].help);
	print("C-a C-a  send C-a\n");
}
