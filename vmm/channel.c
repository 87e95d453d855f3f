/*
 * Host byte channels (see vmm/channel.h).
 *
 * The standard streams are shared with the shell and with whoever else holds
 * them, so they are never made non-blocking themselves (O_NONBLOCK belongs to
 * the open file, not to the descriptor): they are opened anew through /proc,
 * or, where that cannot be, written in small pieces after poll(2).
 */
#define _GNU_SOURCE
#include "vmm/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define SMALL_WRITE   256u	/* what a terminal with POLLOUT takes without blocking */
#define PTY_RETRY_NS  100000000ull
#define UNIX_RETRY_NS 500000000ull

static int fail(char *err, size_t errlen, int code, const char *fmt, ...) PRINTF_LIKE(4, 5);
static int fail(char *err, size_t errlen, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, errlen, fmt, ap);
	va_end(ap);
	return -code;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- Standard streams ---- */

/*
 * A descriptor of our own for a standard stream; -1 if it is closed.
 * *socket: use recv/send.  *may_block: it is the shared one, take care.
 */
static int open_stream(int fd, int flags, bool *is_socket, bool *may_block)
{
	char path[32];
	struct stat st;
	int own;

	*is_socket = *may_block = false;
	if (fstat(fd, &st))
		return -1;
	*is_socket = S_ISSOCK(st.st_mode);
	if (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode)) {
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		own = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (own >= 0)
			return own;
		*may_block = true;
	}
	return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static void open_stdio(struct channel *ch)
{
	bool unused;

	ch->in = open_stream(STDIN_FILENO, O_RDONLY, &ch->in_socket, &unused);
	ch->out = open_stream(STDOUT_FILENO, O_WRONLY, &ch->out_socket, &ch->out_may_block);
}

/* ---- Pseudo-terminals ---- */

static int open_pty(struct channel *ch, char *err, size_t errlen)
{
	struct termios t;
	int slave;

	ch->master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (ch->master < 0 || grantpt(ch->master) || unlockpt(ch->master) ||
	    ptsname_r(ch->master, ch->pty_name, sizeof ch->pty_name))
		return fail(err, errlen, errno, "cannot make a pseudo-terminal: %s", strerror(errno));
	ch->path = ch->pty_name;
	/* Opening and closing the other side makes the master report a hang-up until someone comes. */
	slave = open(ch->pty_name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return fail(err, errlen, errno, "%s: %s", ch->pty_name, strerror(errno));
	tcgetattr(slave, &t);
	cfmakeraw(&t);
	tcsetattr(slave, TCSANOW, &t);
	close(slave);
	return 0;
}

static bool pty_has_peer(const struct channel *ch)
{
	struct pollfd p = { .fd = ch->master, .events = POLLOUT };

	return poll(&p, 1, 0) >= 0 && !(p.revents & (POLLHUP | POLLERR));
}

/* ---- Sockets ---- */

/* Both directions of one file, on two descriptors, so that each can be polled on its own. */
static bool set_peer(struct channel *ch, int fd, bool is_socket)
{
	ch->in = fd;
	ch->out = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	ch->in_socket = ch->out_socket = is_socket;
	if (ch->out < 0)
		close_fd(&ch->in);
	return ch->out >= 0;
}

/* ---- All kinds ---- */

int channel_open(struct channel *ch, const struct serial_config *sc, char *err, size_t errlen)
{
	int r = 0;

	*ch = (struct channel)CHANNEL_CLOSED;
	ch->kind = sc->kind;
	ch->path = sc->path;
	ch->server = sc->server;
	switch (sc->kind) {
	case SERIAL_NONE:
	case SERIAL_NULL:
		break;
	case SERIAL_STDIO:
		open_stdio(ch);
		break;
	case SERIAL_PTY:
		r = open_pty(ch, err, errlen);
		break;
	case SERIAL_FILE:
		/* O_NONBLOCK: a FIFO without a reader is an error now, and not a hang. */
		ch->out = open(sc->path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);
		if (ch->out < 0)
			r = fail(err, errlen, errno, "%s: %s", sc->path, strerror(errno));
		break;
	case SERIAL_UNIX:
		if (sc->server) {
			r = ch->listen = unix_listen(sc->path, 1, UNIX_UMASK, &ch->file, err, errlen);
		} else {
			r = unix_connect(sc->path);
			if (r < 0)
				fail(err, errlen, -r, "%s: %s", sc->path, strerror(-r));
			else if (!set_peer(ch, r, true))
				r = fail(err, errlen, EMFILE, "%s: %s", sc->path, strerror(EMFILE));
		}
		break;
	}
	if (r < 0) {
		channel_close(ch);
		return r;
	}
	return 0;
}

void channel_close(struct channel *ch)
{
	channel_disconnect(ch);
	if (ch->listen >= 0)
		unix_remove(ch->path, &ch->file);
	close_fd(&ch->listen);
	close_fd(&ch->master);
}

void channel_disconnect(struct channel *ch)
{
	/* Executors may hold copies of the descriptor: only a shutdown reaches the peer. */
	if (ch->kind == SERIAL_UNIX && ch->in >= 0)
		shutdown(ch->in, SHUT_RDWR);
	close_fd(&ch->in);
	close_fd(&ch->out);
}

void channel_close_out(struct channel *ch)
{
	close_fd(&ch->out);
}

bool channel_connect(struct channel *ch)
{
	int fd = -1;

	if (channel_connected(ch))
		return true;
	if (ch->listen >= 0)
		fd = unix_accept(ch->listen);
	else if (ch->kind == SERIAL_UNIX)
		fd = unix_connect(ch->path);
	else if (ch->kind == SERIAL_PTY && pty_has_peer(ch))
		fd = fcntl(ch->master, F_DUPFD_CLOEXEC, 3);
	return fd >= 0 && set_peer(ch, fd, ch->kind == SERIAL_UNIX);
}

u64 channel_retry_ns(const struct channel *ch)
{
	if (ch->kind == SERIAL_PTY)
		return PTY_RETRY_NS;
	return ch->kind == SERIAL_UNIX && !ch->server ? UNIX_RETRY_NS : 0;
}

ssize_t channel_read(struct channel *ch, void *buf, size_t n)
{
	ssize_t r;

	do
		r = ch->in_socket ? recv(ch->in, buf, n, MSG_DONTWAIT) : read(ch->in, buf, n);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

ssize_t channel_write(struct channel *ch, const void *buf, size_t n)
{
	ssize_t r;

	if (ch->out_may_block) {
		struct pollfd p = { .fd = ch->out, .events = POLLOUT };

		if (poll(&p, 1, 0) != 1)
			return -EAGAIN;
		n = n < SMALL_WRITE ? n : SMALL_WRITE;
	}
	do
		r = ch->out_socket ? send(ch->out, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL) : write(ch->out, buf, n);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}
