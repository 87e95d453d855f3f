/*
 * `ringer ctl` (see vmm/ctl.h): words in, a request to the socket, the reply
 * out.
 *
 * A machine may be stopped, or dead, or no machine at all: every wait ends when
 * the time limit of the command does.
 */
#define _GNU_SOURCE
#include "vmm/ctl.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "vmm/config.h"
#include "vmm/control.h"
#include "vmm/loop.h"
#include "vmm/unix_socket.h"

#define REPLY_MAX	  (16u << 20)	/* bytes; more is no reply of ours */
#define TIMEOUT_DEFAULT_S 30.0
#define TIMEOUT_MAX_S	  1e9
#define CONNECT_RETRY_NS  20000000l

struct ctl {
	const char *path;
	bool json;		/* replies as they come */
	u64 timeout_ns;		/* of a command; 0: none */
	int fd;			/* -1: not connected */
	u64 deadline;		/* of this command */
	char *in;		/* received and not yet used */
	size_t in_len, in_size;
};

static void say(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
}

/* ---- The connection ---- */

/* Until fd is ready; false: time is up. */
static bool await(const struct ctl *c, short events)
{
	for (;;) {
		u64 now = monotonic_ns(), left = c->deadline > now ? c->deadline - now : 0;
		struct pollfd p = { .fd = c->fd, .events = events };
		int ms = c->deadline == LOOP_FOREVER ? -1 : (int)min_u64(left / 1000000 + 1, 1000000);

		if (poll(&p, 1, left ? ms : 0) > 0)
			return true;
		if (!left)
			return false;
	}
}

/* Messages are one line: 0, or EXIT_HOST after one. */
static int connect_to_machine(struct ctl *c)
{
	const struct timespec pause = { .tv_nsec = CONNECT_RETRY_NS };
	int fd;

	/* EAGAIN: others wait to be accepted before us. */
	while ((fd = unix_connect(c->path)) == -EAGAIN && monotonic_ns() < c->deadline)
		nanosleep(&pause, NULL);
	if (fd == -ECONNREFUSED)
		log_error("%s: no machine listens there", c->path);
	else if (fd == -EAGAIN)
		log_error("%s: the machine does not answer", c->path);
	else if (fd < 0)
		log_error("%s: %s", c->path, strerror(-fd));
	c->fd = fd < 0 ? -1 : fd;
	return fd < 0 ? EXIT_HOST : 0;
}

static void disconnect(struct ctl *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->in_len = 0;
}

/* What the machine has closed may still hold its reason: not an error here. */
static bool send_all(struct ctl *c, const char *text, size_t n)
{
	while (n) {
		ssize_t r = send(c->fd, text, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (r < 0 && errno == EAGAIN && await(c, POLLOUT))
			continue;
		if (r < 0)
			return errno != EAGAIN;
		text += r;
		n -= (size_t)r;
	}
	return true;
}

enum receipt { RECEIVED, RECEIVE_END, RECEIVE_TIMEOUT, RECEIVE_NOISE };

static enum receipt receive(struct ctl *c)
{
	ssize_t n;

	if (c->in_len == c->in_size) {
		size_t size = c->in_size ? 2 * c->in_size : 65536;
		char *in = size <= REPLY_MAX ? realloc(c->in, size) : NULL;

		if (!in)
			return RECEIVE_NOISE;
		c->in = in;
		c->in_size = size;
	}
	if (!await(c, POLLIN))
		return RECEIVE_TIMEOUT;
	n = recv(c->fd, c->in + c->in_len, c->in_size - c->in_len, 0);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return RECEIVED;
	if (n <= 0)
		return RECEIVE_END;
	c->in_len += (size_t)n;
	return RECEIVED;
}

/* A reply's line, without newline, into *line (the caller's to free). */
static enum receipt receive_line(struct ctl *c, char **line)
{
	char *newline = NULL;
	enum receipt r = RECEIVED;
	size_t n;

	*line = NULL;
	while (r == RECEIVED && !(c->in_len && (newline = memchr(c->in, '\n', c->in_len))))
		r = receive(c);
	if (!newline)
		return r;
	n = (size_t)(newline - c->in);
	*line = strndup(c->in, n);
	c->in_len -= n + 1;
	memmove(c->in, newline + 1, c->in_len);
	return *line ? RECEIVED : RECEIVE_NOISE;
}

/* ---- One command ---- */

static int show_reply(const struct ctl *c, enum control_command command, const char *line)
{
	json_t *reply = json_loads(line, 0, NULL);
	bool is_error = json_object_get(reply, "return") == NULL;
	char err[600];

	if (!json_is_object(reply)) {
		log_error("%s: what answers there is not Ringer", c->path);
	} else if (c->json) {
		puts(line);
	} else if (!control_show(command, reply, say, err, sizeof err)) {
		log_error("%s", err);
	}
	json_decref(reply);
	return is_error ? EXIT_HOST : 0;
}

/* The machine's end closes the connection. */
static void await_end(struct ctl *c)
{
	while (receive(c) == RECEIVED)
		c->in_len = 0;
}

/* Takes the request over. */
static int run_request(struct ctl *c, json_t *request)
{
	struct control_request rq;
	char *text, *line = NULL;
	enum receipt r;
	int status;

	c->deadline = c->timeout_ns ? monotonic_ns() + c->timeout_ns : LOOP_FOREVER;
	json_decref(control_parse_json(&rq, request));
	text = json_dumps(rq.json, JSON_COMPACT);
	status = c->fd < 0 ? connect_to_machine(c) : 0;
	if (!text || status)
		goto out;
	if (send_all(c, text, strlen(text)) && send_all(c, "\n", 1))
		r = receive_line(c, &line);
	else
		r = RECEIVE_TIMEOUT;
	switch (r) {
	case RECEIVED:
		status = show_reply(c, rq.command, line);
		break;
	case RECEIVE_END:
		log_error("%s: the connection has ended without a reply", c->path);
		break;
	case RECEIVE_TIMEOUT:
		log_error("%s: the machine does not answer", c->path);
		break;
	case RECEIVE_NOISE:
		log_error("%s: what answers there is not Ringer", c->path);
		break;
	}
	if (r != RECEIVED) {
		status = EXIT_HOST;
		disconnect(c);		/* an answer that comes late is none to the next command */
	} else if (rq.command == CONTROL_quit && !status) {
		await_end(c);
		disconnect(c);
	}
out:
	free(text);
	free(line);
	control_release(&rq);
	return text ? status : EXIT_HOST;
}

/* ---- Commands from stdin ---- */

static int run_stdin(struct ctl *c)
{
	bool interactive = isatty(STDIN_FILENO);
	int status = 0;
	char *line = NULL;
	size_t size = 0;

	c->deadline = c->timeout_ns ? monotonic_ns() + c->timeout_ns : LOOP_FOREVER;
	if (connect_to_machine(c))
		return EXIT_HOST;
	for (;;) {
		char err[256];
		json_t *request;

		if (interactive)
			say("%s", CONTROL_PROMPT);
		fflush(stdout);
		if (getline(&line, &size, stdin) < 0)
			break;
		request = control_from_words(line, err, sizeof err);
		if (request && run_request(c, request))
			status = EXIT_HOST;
		if (!request && *err) {
			log_error("%s", err);
			status = EXIT_HOST;
		}
		fflush(stdout);
		if (c->fd < 0)
			break;
	}
	if (interactive && c->fd >= 0)
		say("\n");
	free(line);
	return status;
}

/* ---- The command line ---- */

static void help(FILE *out)
{
	fprintf(out, "Usage: ringer ctl [OPTION]... PATH [COMMAND [ARGUMENT]]\n"
		"Control the machine that was started with --control PATH.  Without a command, read commands from the\n"
		"standard input, one a line.\n\nCommands:\n");
	for (size_t i = 0; i < CONTROL_COMMANDS; i++) {
		const struct control_row *row = &control_table[i];

		fprintf(out, "  %-6s %-6s  %s\n", row->name, row->values ? row->values : "", row->help);
	}
	fprintf(out, "\nOptions:\n"
		"  --json             print replies as they come, a JSON object a line\n"
		"  --timeout SECONDS  give up on a command after this time, default %.0f; 0: never\n"
		"  -h, --help         this text\n"
		"\nExit status: 0 done; 1 refused, or no machine answers; 2 usage.\n", TIMEOUT_DEFAULT_S);
}

static int usage_error(const char *fmt, ...) PRINTF_LIKE(1, 2);
static int usage_error(const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	log_error("ctl: %s", text);
	return EXIT_USAGE;
}

static bool parse_seconds(const char *s, u64 *ns)
{
	char *end;
	double seconds = strtod(s, &end);

	if (end == s || *end || isnan(seconds) || seconds < 0 || seconds > TIMEOUT_MAX_S)
		return false;
	*ns = (u64)(seconds * 1e9);
	return true;
}

/* Take the options out of argv.  0; EXIT_USAGE after a message; -1: help was asked for. */
static int take_options(struct ctl *c, int *argc, char **argv)
{
	int kept = 0;

	for (int i = 0; i < *argc; i++) {
		const char *word = argv[i], *seconds = NULL;

		if (word[0] != '-') {
			argv[kept++] = argv[i];
		} else if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
			return -1;
		} else if (!strcmp(word, "--json")) {
			c->json = true;
		} else if (!strncmp(word, "--timeout=", 10)) {
			seconds = word + 10;
		} else if (!strcmp(word, "--timeout")) {
			if (++i == *argc)
				return usage_error("--timeout needs a value (SECONDS)");
			seconds = argv[i];
		} else {
			return usage_error("unknown option '%.40s' (ringer ctl --help lists them)", word);
		}
		if (seconds && !parse_seconds(seconds, &c->timeout_ns))
			return usage_error("--timeout: '%.40s' is not a number of seconds", seconds);
	}
	*argc = kept;
	return 0;
}

/* The words after PATH as one line. */
static bool join_words(char *buf, size_t size, int argc, char **argv)
{
	size_t n = 0;

	for (int i = 0; i < argc && n < size; i++)
		n += (size_t)snprintf(buf + n, size - n, "%s%s", i ? " " : "", argv[i]);
	return n < size;
}

int ctl(int argc, char **argv)
{
	struct ctl c = { .fd = -1, .timeout_ns = (u64)(TIMEOUT_DEFAULT_S * 1e9) };
	char words[256] = "", err[256];
	json_t *request = NULL;
	int status = take_options(&c, &argc, argv);

	if (status < 0) {
		help(stdout);
		return 0;
	}
	if (status)
		return status;
	if (!argc)
		return usage_error("no path of a control socket (ringer ctl --help)");
	c.path = argv[0];
	if (argc > 1) {
		if (!join_words(words, sizeof words, argc - 1, argv + 1))
			return usage_error("a command is not so long");
		request = control_from_words(words, err, sizeof err);
		if (!request)
			return usage_error("%s", *err ? err : "no command");
		status = run_request(&c, request);
	} else {
		status = run_stdin(&c);
	}
	disconnect(&c);
	free(c.in);
	return status;
}
