/*
 * The control socket (see vmm/control_server.h).
 *
 * A client is in one of three states: its reply is being written; its request
 * is being executed; or it is read from.  It is polled for the one thing that
 * can happen next, so a client that does not read its replies is not read from
 * either, and memory is bounded by the buffers here.
 *
 * Executors inherit the descriptors and close them a little later, so a
 * connection ends by shutdown(2), and a source is removed from the loop before
 * its descriptor is closed.
 */
#include "vmm/control_server.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/unix_socket.h"

#define ACCEPT_RETRY_NS     1000000000ull	/* out of descriptors */
#define LAST_PATIENCE_MS    200			/* for the last reply, in all */

struct client {
	struct control_server *server;
	int fd;
	struct source io;
	u32 polled;			/* what io is registered for; 0: it is not */
	bool ended;			/* it sends no more */
	bool skipping;			/* the rest of a line that was too long */
	bool executing;
	struct control_request rq;
	char *out;			/* the reply being written, or NULL */
	size_t out_len, out_sent;
	u64 out_deadline;
	size_t start, end;		/* in `in`: read, and not looked at yet */
	char in[CONTROL_LINE_MAX];
};

struct control_server {
	struct loop *loop;
	const char *path;
	struct unix_file file;
	int listener;
	struct source listening;
	u64 accept_at;
	control_execute *execute;
	void *opaque;
	struct client *client[CONTROL_CLIENTS_MAX];
};

static void on_connection(void *opaque, u32 events);

/* ---- A client's end ---- */

static void hang_up(int fd)
{
	shutdown(fd, SHUT_RDWR);
	close(fd);
}

static void drop(struct client *c)
{
	struct control_server *s = c->server;

	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (s->client[i] == c)
			s->client[i] = NULL;
	loop_remove(s->loop, &c->io);
	hang_up(c->fd);
	control_release(&c->rq);
	free(c->out);
	free(c);
}

/* ---- Replies ---- */

/* False: the client is gone. */
static bool write_reply(struct client *c)
{
	while (c->out) {
		ssize_t n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN && monotonic_ns() < c->out_deadline;
		c->out_deadline = monotonic_ns() + CONTROL_PATIENCE_NS;
		c->out_sent += (size_t)n;
		if (c->out_sent == c->out_len) {
			free(c->out);
			c->out = NULL;
		}
	}
	return true;
}

/* A reply as a line; NULL: out of memory. */
static char *reply_line(json_t *reply, size_t *len)
{
	char *text = json_dumps(reply, JSON_COMPACT | JSON_REAL_PRECISION(15)), *with_newline;

	json_decref(reply);
	if (!text)
		return NULL;
	*len = strlen(text) + 1;
	with_newline = realloc(text, *len + 1);
	if (!with_newline) {
		free(text);
		return NULL;
	}
	memcpy(with_newline + *len - 1, "\n", 2);
	return with_newline;
}

static bool answer(struct client *c, json_t *reply)
{
	c->executing = false;
	control_release(&c->rq);
	c->out = reply_line(reply, &c->out_len);
	c->out_sent = 0;
	c->out_deadline = monotonic_ns() + CONTROL_PATIENCE_NS;
	return c->out && write_reply(c);
}

/* ---- Requests ---- */

/* The next line, without its newline; NULL: not all of it is here. */
static char *next_line(const struct client *c, size_t *n)
{
	const char *from = c->in + c->start, *newline = memchr(from, '\n', c->end - c->start);

	if (!newline && (!c->ended || c->start == c->end))
		return NULL;
	*n = newline ? (size_t)(newline - from) : c->end - c->start;
	return (char *)from;
}

static bool is_full(const struct client *c)
{
	return c->start == 0 && c->end == sizeof c->in;
}

static bool is_blank(const char *line, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strchr(" \t\r", line[i]) || !line[i])
			return false;
	return true;
}

/* Is there something to do for this client before anything happens on its socket? */
static bool has_work(const struct client *c)
{
	size_t n;

	return !c->out && !c->executing && (next_line(c, &n) || is_full(c) || c->ended);
}

/* Take a line of the buffer and begin with it.  False: the client is gone. */
static bool begin(struct client *c)
{
	struct control_server *s = c->server;
	static const struct control_request nobody;
	size_t n;
	char *line = next_line(c, &n);
	json_t *reply;

	if (!line && is_full(c)) {
		bool told = c->skipping;

		c->start = c->end = 0;
		c->skipping = true;
		return told || answer(c, control_error(&nobody, "a request has at most %u bytes",
						       CONTROL_LINE_MAX - 1));
	}
	if (!line)
		return !c->ended;
	c->start = min_u64(c->start + n + 1, c->end);
	if (c->skipping || is_blank(line, n)) {
		c->skipping = false;
		return true;
	}
	reply = control_parse(&c->rq, line, n);
	if (reply)
		return answer(c, reply);
	c->executing = true;
	reply = s->execute(s->opaque, &c->rq);
	return !reply || answer(c, reply);
}

static bool go_on(struct client *c)
{
	struct control_server *s = c->server;
	json_t *reply;

	if (c->out)
		return write_reply(c);
	if (!c->executing)
		return !has_work(c) || begin(c);
	reply = s->execute(s->opaque, &c->rq);
	return !reply || answer(c, reply);
}

/* False: the client is gone. */
static bool read_more(struct client *c)
{
	ssize_t n;

	if (c->start) {
		memmove(c->in, c->in + c->start, c->end - c->start);
		c->end -= c->start;
		c->start = 0;
	}
	n = recv(c->fd, c->in + c->end, sizeof c->in - c->end, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	c->ended = n == 0;
	c->end += (size_t)n;
	return true;
}

/* ---- Polling ---- */

static void on_client(void *opaque, u32 events)
{
	struct client *c = opaque;

	if (c->polled == EPOLLIN ? !read_more(c) : !write_reply(c))
		drop(c);
}

static bool poll_client(struct client *c)
{
	u32 want = c->out ? EPOLLOUT : c->executing || has_work(c) ? 0 : EPOLLIN;

	if (want == c->polled)
		return true;
	loop_remove(c->server->loop, &c->io);
	c->polled = want;
	return !want || loop_add(c->server->loop, &c->io, c->fd, want, on_client, c) == 0;
}

void control_server_tick(struct control_server *s)
{
	if (s->listening.fd < 0 && monotonic_ns() >= s->accept_at)
		loop_add(s->loop, &s->listening, s->listener, EPOLLIN, on_connection, s);
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *c = s->client[i];

		if (c && (!go_on(c) || !poll_client(c)))
			drop(c);
	}
}

u64 control_server_deadline(const struct control_server *s)
{
	u64 at = s->listening.fd < 0 ? s->accept_at : LOOP_FOREVER;

	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		const struct client *c = s->client[i];

		if (c && c->out)
			at = min_u64(at, c->out_deadline);
		else if (c && c->executing)
			at = min_u64(at, c->rq.again_at);
		else if (c && has_work(c))
			at = 0;
	}
	return at;
}

/* ---- Connections ---- */

bool control_server_adopt(struct control_server *s, int fd)
{
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *c = s->client[i] ? NULL : malloc(sizeof *c);

		if (!c)
			continue;
		memset(c, 0, offsetof(struct client, in));
		c->server = s;
		c->fd = fd;
		c->io = (struct source)SOURCE_INIT;
		s->client[i] = c;
		if (!poll_client(c))
			drop(c);
		return true;
	}
	return false;
}

static void refuse(int fd)
{
	static const struct control_request nobody;
	size_t len;
	char *line = reply_line(control_error(&nobody, "there are %u clients already", CONTROL_CLIENTS_MAX), &len);

	/* A socket just made has room for it. */
	if (line && send(fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		errno = 0;
	free(line);
	hang_up(fd);
}

static void on_connection(void *opaque, u32 events)
{
	struct control_server *s = opaque;
	int fd = unix_accept(s->listener);

	if (fd >= 0) {
		if (!control_server_adopt(s, fd))
			refuse(fd);
	} else if (fd != -EAGAIN && fd != -EINTR && fd != -ECONNABORTED) {
		loop_remove(s->loop, &s->listening);
		s->accept_at = monotonic_ns() + ACCEPT_RETRY_NS;
	}
}

struct control_server *control_server_open(struct loop *loop, const char *path, control_execute *execute, void *opaque,
					   char *err, size_t errlen)
{
	struct control_server *s = calloc(1, sizeof *s);
	int r;

	if (!s) {
		snprintf(err, errlen, "out of memory");
		return NULL;
	}
	*s = (struct control_server){
		.loop = loop, .path = path, .listener = -1, .listening = SOURCE_INIT,
		.execute = execute, .opaque = opaque,
	};
	s->listener = unix_listen(path, CONTROL_CLIENTS_MAX, UNIX_OWNER, &s->file, err, errlen);
	if (s->listener < 0) {
		free(s);
		return NULL;
	}
	r = loop_add(loop, &s->listening, s->listener, EPOLLIN, on_connection, s);
	if (r) {
		snprintf(err, errlen, "%s: %s", path, strerror(-r));
		control_server_close(s);
		return NULL;
	}
	return s;
}

void control_server_close(struct control_server *s)
{
	u64 give_up = monotonic_ns() + LAST_PATIENCE_MS * 1000000ull;

	if (!s)
		return;
	/* First the file: who sees the connection end can be sure that the path is free. */
	unix_remove(s->path, &s->file);
	loop_remove(s->loop, &s->listening);
	close(s->listener);
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *c = s->client[i];
		bool alive = c;

		if (alive && c->executing)
			alive = go_on(c);
		while (alive && c->out && monotonic_ns() < give_up) {
			struct pollfd p = { .fd = c->fd, .events = POLLOUT };

			poll(&p, 1, LAST_PATIENCE_MS / 10);
			alive = write_reply(c);
		}
		if (c)
			drop(c);
	}
	free(s);
}
