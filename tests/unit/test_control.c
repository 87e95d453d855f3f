/*
 * The control protocol, the socket's server and the control console: what is
 * understood, what is refused how, and what a client can do to the monitor
 * (nothing).
 */
#define _GNU_SOURCE
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/console.h"
#include "vmm/control_server.h"

static struct loop loop;
static struct control_server *server;
static char err[512], path[64];

/* ---- An executor of commands that is none ---- */

static unsigned executed, quits;
static unsigned not_yet;		/* this many more tries of `stats' are too early */
static size_t answer_size;		/* of `stats' */

static json_t *execute(void *opaque, struct control_request *rq)
{
	const struct control_row *row = &control_table[rq->command];
	json_t *v;
	char *blob;

	ck_assert_ptr_eq(opaque, &executed);
	ck_assert_uint_lt(rq->command, CONTROL_COMMANDS);
	ck_assert((rq->argument != NULL) == (row->argument != NULL));
	if (rq->command == CONTROL_stats && not_yet) {
		not_yet--;
		rq->tried = true;
		rq->again_at = monotonic_ns() + 1000000;
		return NULL;
	}
	executed++;
	quits += rq->command == CONTROL_quit;
	if (rq->command == CONTROL_mode && strcmp(rq->argument, "bt") && strcmp(rq->argument, "hw"))
		return control_error(rq, "unknown engine '%s'", rq->argument);
	if (rq->command != CONTROL_stats || !answer_size)
		return control_return(rq, json_pack("{s:s, s:s?}", "command", row->name, "argument", rq->argument));
	blob = malloc(answer_size + 1);
	memset(blob, 'x', answer_size);
	blob[answer_size] = 0;
	v = json_pack("{s:s}", "blob", blob);
	free(blob);
	return control_return(rq, v);
}

static void open_server(void)
{
	server = control_server_open(&loop, path, execute, &executed, err, sizeof err);
	ck_assert_msg(server != NULL, "%s", err);
}

static void setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	executed = quits = not_yet = 0;
	answer_size = 0;
	err[0] = 0;
	snprintf(path, sizeof path, "/tmp/ringer-test-control.%d", (int)getpid());
	unlink(path);
	ck_assert_int_eq(loop_open(&loop), 0);
	open_server();
}

static void teardown(void)
{
	control_server_close(server);
	server = NULL;
	loop_close(&loop);
	unlink(path);
}

/* What the monitor does, for at least so long. */
static void turn(unsigned ms)
{
	u64 end = monotonic_ns() + ms * 1000000ull;

	do {
		loop_wait(&loop, min_u64(end, control_server_deadline(server)));
		control_server_tick(server);
	} while (monotonic_ns() < end || control_server_deadline(server) == 0);
}

/* ---- Clients ---- */

/* A client at the other end of a socket pair. */
static int adopted(void)
{
	int sv[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv), 0);
	if (control_server_adopt(server, sv[1]))
		return sv[0];
	close(sv[0]);
	close(sv[1]);
	return -1;
}

static void send_bytes(int fd, const void *bytes, size_t n)
{
	for (const char *p = bytes; n;) {
		ssize_t r = send(fd, p, n, MSG_NOSIGNAL);

		ck_assert(r > 0 || (r < 0 && errno == EAGAIN));
		if (r > 0) {
			p += r;
			n -= (size_t)r;
		}
		turn(0);
	}
}

static void send_text(int fd, const char *text) { send_bytes(fd, text, strlen(text)); }

/* The next reply; NULL: the connection has ended. */
static json_t *reply(int fd)
{
	static char line[1 << 20];
	size_t n = 0;
	u64 end = monotonic_ns() + 10000000000ull;
	json_error_t e;
	json_t *j;

	while (n < sizeof line) {
		ssize_t r = recv(fd, line + n, 1, 0);

		if (r == 0 || (r < 0 && errno == ECONNRESET))
			return NULL;
		if (r < 0) {
			ck_assert_int_eq(errno, EAGAIN);
			ck_assert_msg(monotonic_ns() < end, "no reply");
			turn(0);
			loop_wait(&loop, min_u64(control_server_deadline(server), monotonic_ns() + 1000000));
			control_server_tick(server);
			continue;
		}
		if (line[n++] == '\n')
			break;
	}
	j = json_loadb(line, n, 0, &e);
	ck_assert_msg(json_is_object(j), "%.*s: %s", (int)n, line, e.text);
	return j;
}

static void expect_error(int fd, const char *class, const char *part)
{
	json_t *r = reply(fd), *e = json_object_get(r, "error");
	const char *desc = json_string_value(json_object_get(e, "desc"));

	ck_assert_msg(desc != NULL, "no error (%s)", part);
	ck_assert_str_eq(json_string_value(json_object_get(e, "class")), class);
	ck_assert_msg(strstr(desc, part) != NULL, "'%s' has no '%s'", desc, part);
	for (const char *p = desc; *p; p++)
		ck_assert(*p >= ' ' && *p <= '~');
	json_decref(r);
}

static void expect_return(int fd, const char *command, int id)
{
	json_t *r = reply(fd), *v = json_object_get(r, "return");

	ck_assert_ptr_nonnull(v);
	ck_assert_str_eq(json_string_value(json_object_get(v, "command")), command);
	ck_assert((json_object_get(r, "id") != NULL) == (id >= 0));
	if (id >= 0)
		ck_assert_int_eq(json_integer_value(json_object_get(r, "id")), id);
	json_decref(r);
}

static void expect_nothing(int fd)
{
	char c;

	turn(10);
	ck_assert_int_eq(recv(fd, &c, 1, 0), -1);
	ck_assert_int_eq(errno, EAGAIN);
}

/* ---- The protocol ---- */

static const struct { const char *line, *class, *part; } refused[] = {
	{ "x", "GenericError", "not JSON" },
	{ "{", "GenericError", "not JSON" },
	{ "{\"execute\":\"status\"", "GenericError", "not JSON" },
	{ "{\"execute\":\"status\"} x", "GenericError", "not JSON" },
	{ "{\"execute\":\"status\"}{\"execute\":\"status\"}", "GenericError", "not JSON" },
	{ "{\"execute\":\"status\",\"execute\":\"quit\"}", "GenericError", "not JSON" },
	{ "{\"execute\":\"\xff\xfe\"}", "GenericError", "not JSON" },
	{ "{\"execute\":\"a\\u0000b\"}", "GenericError", "not JSON" },
	{ "[]", "GenericError", "a request is an object" },
	{ "3", "GenericError", "a request is an object" },
	{ "null", "GenericError", "a request is an object" },
	{ "\"status\"", "GenericError", "a request is an object" },
	{ "{}", "GenericError", "no string \"execute\"" },
	{ "{\"execute\":1}", "GenericError", "no string \"execute\"" },
	{ "{\"execute\":null}", "GenericError", "no string \"execute\"" },
	{ "{\"exec\":\"status\"}", "GenericError", "unknown member 'exec'" },
	{ "{\"execute\":\"status\",\"control\":{}}", "GenericError", "unknown member 'control'" },
	{ "{\"execute\":\"\"}", "CommandNotFound", "unknown command ''" },
	{ "{\"execute\":\"Status\"}", "CommandNotFound", "unknown command 'Status'" },
	{ "{\"execute\":\"qmp_capabilities\"}", "CommandNotFound", "unknown command 'qmp_capabilities'" },
	{ "{\"execute\":\"\\u001b[31m\\n\xc3\xa4\"}", "CommandNotFound", "unknown command '?[31m??" },
	{ "{\"execute\":\"status\",\"arguments\":[]}", "GenericError", "\"arguments\" is not an object" },
	{ "{\"execute\":\"status\",\"arguments\":{\"engine\":\"bt\"}}", "GenericError",
	  "status has no argument 'engine'" },
	{ "{\"execute\":\"mode\"}", "GenericError", "mode needs the argument 'engine' (bt|hw)" },
	{ "{\"execute\":\"mode\",\"arguments\":{}}", "GenericError", "mode needs the argument 'engine'" },
	{ "{\"execute\":\"mode\",\"arguments\":{\"engine\":1}}", "GenericError", "mode: 'engine' is not a string" },
	{ "{\"execute\":\"mode\",\"arguments\":{\"engine\":\"bt\",\"x\":1}}", "GenericError",
	  "mode has no argument 'x'" },
	{ "{\"execute\":\"mode\",\"arguments\":{\"engine\":\"warp\"}}", "GenericError", "unknown engine 'warp'" },
};

START_TEST(refused_requests)
{
	int fd = adopted();

	send_text(fd, refused[_i].line);
	send_text(fd, "\n{\"execute\":\"status\"}\n");
	expect_error(fd, refused[_i].class, refused[_i].part);
	expect_return(fd, "status", -1);
	close(fd);
}
END_TEST

START_TEST(every_command)
{
	int fd = adopted();

	for (size_t i = 0; i < CONTROL_COMMANDS; i++) {
		const struct control_row *row = &control_table[i];
		char line[200];

		if (row->argument)
			snprintf(line, sizeof line,
				 " { \"id\" : %zu, \"arguments\": {\"%s\": \"%.*s\"}, \"execute\": \"%s\" }\r\n", i,
				 row->argument, (int)strcspn(row->values, "|"), row->values, row->name);
		else
			snprintf(line, sizeof line, "{\"execute\":\"%s\",\"arguments\":{},\"id\":%zu}\n", row->name, i);
		send_text(fd, line);
		expect_return(fd, row->name, (int)i);
	}
	ck_assert_uint_eq(executed, CONTROL_COMMANDS);
	close(fd);
}
END_TEST

START_TEST(ids_come_back)
{
	static const char *const ids[] = {
		"null", "\"\"", "\"\\u00e4\\n\"", "-1", "9007199254740993", "[1,[2,{}]]", "true",
		"{\"a\":{\"b\":null}}",
	};
	int fd = adopted();

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		for (int bad = 0; bad < 2; bad++) {
			json_t *id = json_loads(ids[i], JSON_DECODE_ANY, NULL), *r;

			send_text(fd, bad ? "{\"execute\":\"no\",\"id\":" : "{\"execute\":\"pause\",\"id\":");
			send_text(fd, ids[i]);
			send_text(fd, "}\n");
			r = reply(fd);
			ck_assert_ptr_nonnull(json_object_get(r, bad ? "error" : "return"));
			ck_assert_int_eq(json_equal(json_object_get(r, "id"), id), 1);
			json_decref(r);
			json_decref(id);
		}
	close(fd);
}
END_TEST

START_TEST(deep_nesting)
{
	static char line[CONTROL_LINE_MAX];
	int fd = adopted();

	memset(line, '[', sizeof line - 1);
	send_bytes(fd, line, sizeof line - 1);
	send_text(fd, "\n");
	expect_error(fd, "GenericError", "not JSON");
	for (size_t i = 0; i + 6 < sizeof line; i += 5)
		memcpy(line + i, "{\"a\":", 5);
	send_bytes(fd, line, sizeof line - 8);
	send_text(fd, "\n");
	expect_error(fd, "GenericError", "not JSON");
	close(fd);
}
END_TEST

START_TEST(words)
{
	static const struct { const char *line, *json; } good[] = {
		{ "status", "{\"execute\":\"status\"}" },
		{ "  mode \t hw \r\n", "{\"execute\":\"mode\",\"arguments\":{\"engine\":\"hw\"}}" },
		{ "mode \"", "{\"execute\":\"mode\",\"arguments\":{\"engine\":\"\\\"\"}}" },
	};
	static const struct { const char *line, *part; } bad[] = {
		{ "fly", "unknown command 'fly'" }, { "status now", "status: unexpected argument 'now'" },
		{ "mode", "mode needs its engine: bt|hw" }, { "mode bt hw", "mode: unexpected argument 'hw'" },
		{ "mode bt hw x y", "mode: unexpected argument 'hw'" }, { "\x1b[A", "unknown command '?[A'" },
	};
	char line[1000];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		json_t *a = control_from_words(good[i].line, err, sizeof err), *b = json_loads(good[i].json, 0, NULL);
		struct control_request rq;

		ck_assert_int_eq(json_equal(a, b), 1);
		ck_assert_ptr_null(control_parse_json(&rq, a));
		control_release(&rq);
		json_decref(b);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ck_assert_ptr_null(control_from_words(bad[i].line, err, sizeof err));
		ck_assert_msg(strstr(err, bad[i].part) != NULL, "'%s'", err);
	}
	ck_assert_ptr_null(control_from_words(" \r\n", err, sizeof err));
	ck_assert_str_eq(err, "");
	memset(line, 'x', sizeof line - 1);
	line[sizeof line - 1] = 0;
	ck_assert_ptr_null(control_from_words(line, err, sizeof err));
	ck_assert_ptr_nonnull(strstr(err, "at most"));
}
END_TEST

/* ---- Lines and bytes ---- */

START_TEST(chunks_do_not_matter)
{
	static const char text[] = "{\"execute\":\"status\",\"id\":0}\n\n  \r\n{\"execute\":\"mode\",\"arguments\":"
				   "{\"engine\":\"hw\"},\"id\":1}\n{\"execute\":\"pause\",\"id\":2}\n";

	for (size_t chunk = 1; chunk < sizeof text; chunk++) {
		int fd = adopted();

		for (size_t i = 0; i < sizeof text - 1; i += chunk)
			send_bytes(fd, text + i, min_u64(chunk, sizeof text - 1 - i));
		expect_return(fd, "status", 0);
		expect_return(fd, "mode", 1);
		expect_return(fd, "pause", 2);
		expect_nothing(fd);
		close(fd);
		turn(1);
	}
}
END_TEST

START_TEST(last_line_without_a_newline)
{
	int fd = adopted();

	send_text(fd, "{\"execute\":\"status\"}\n{\"execute\":\"pause\"}");
	shutdown(fd, SHUT_WR);
	expect_return(fd, "status", -1);
	expect_return(fd, "pause", -1);
	ck_assert_ptr_null(reply(fd));
	close(fd);
}
END_TEST

START_TEST(long_lines)
{
	static char line[CONTROL_LINE_MAX + 100];
	int fd = adopted();

	/* The longest that is taken, one more, and much more. */
	memset(line, ' ', sizeof line);
	memcpy(line, "{\"execute\":\"status\"}", 20);
	line[CONTROL_LINE_MAX - 1] = '\n';
	send_bytes(fd, line, CONTROL_LINE_MAX);
	expect_return(fd, "status", -1);
	line[CONTROL_LINE_MAX - 1] = ' ';
	line[CONTROL_LINE_MAX] = '\n';
	send_bytes(fd, line, CONTROL_LINE_MAX + 1);
	expect_error(fd, "GenericError", "at most 65535 bytes");
	send_text(fd, "{\"execute\":\"pause\"}\n");
	expect_return(fd, "pause", -1);
	memset(line, 'x', sizeof line);
	for (int i = 0; i < 50; i++)
		send_bytes(fd, line, sizeof line);
	expect_error(fd, "GenericError", "at most 65535 bytes");
	expect_nothing(fd);
	send_text(fd, "\"}\n{\"execute\":\"resume\"}\n");
	expect_return(fd, "resume", -1);
	close(fd);
}
END_TEST

/* Replies come in order although one takes its time; others are served meanwhile. */
START_TEST(a_slow_command_keeps_the_order)
{
	int fd = adopted(), other = adopted();

	not_yet = 5;
	send_text(fd, "{\"execute\":\"stats\",\"id\":1}\n{\"execute\":\"pause\",\"id\":2}\n");
	not_yet = 1000000;
	send_text(other, "{\"execute\":\"status\",\"id\":3}\n");
	expect_return(other, "status", 3);
	expect_nothing(fd);
	not_yet = 3;
	expect_return(fd, "stats", 1);
	expect_return(fd, "pause", 2);
	close(fd);
	close(other);
}
END_TEST

START_TEST(clients_take_turns)
{
	enum { N = 1000 };
	static char lines[N * 20 + 1];
	int busy = adopted(), other = adopted();
	unsigned before;

	for (int i = 0; i < N; i++)
		memcpy(lines + 20 * i, "{\"execute\":\"pause\"}\n", 20);
	ck_assert_int_eq(send(busy, lines, 20 * N, 0), 20 * N);
	loop_wait(&loop, 0);
	ck_assert_int_eq(send(other, "{\"execute\":\"status\",\"id\":7}\n", 28, 0), 28);
	before = executed;
	for (int i = 0; i < 10; i++) {
		loop_wait(&loop, control_server_deadline(server));
		control_server_tick(server);
	}
	ck_assert_uint_le(executed - before, 20);	/* a turn of the loop is a request each */
	expect_return(other, "status", 7);
	for (int i = 0; i < N; i++)
		expect_return(busy, "pause", -1);
	close(busy);
	close(other);
}
END_TEST

/* ---- Clients that misbehave ---- */

START_TEST(a_client_that_does_not_read)
{
	static char line[] = "{\"execute\":\"stats\"}\n";
	int fd = adopted(), other = adopted();
	u64 begin;
	unsigned sent = 0;
	char c;

	answer_size = 300000;
	for (int idle = 0; idle < 50;) {
		if (send(fd, line, sizeof line - 1, MSG_NOSIGNAL) > 0) {
			sent++;
			idle = 0;
		} else {
			idle++;
		}
		turn(0);
	}
	ck_assert_uint_lt(executed, 10);	/* of so many; the rest waits in the socket */
	ck_assert_uint_gt(sent, 100);
	send_text(other, "{\"execute\":\"status\"}\n");
	expect_return(other, "status", -1);
	begin = monotonic_ns();
	while (send(fd, line, 1, MSG_NOSIGNAL) > 0 || errno == EAGAIN) {
		turn(50);
		ck_assert(monotonic_ns() - begin < 2 * CONTROL_PATIENCE_NS);
	}
	ck_assert(monotonic_ns() - begin > CONTROL_PATIENCE_NS / 2);
	while (recv(fd, &c, 1, 0) > 0)
		;
	send_text(other, "{\"execute\":\"status\"}\n");
	expect_return(other, "status", -1);
	close(fd);
	close(other);
}
END_TEST

START_TEST(a_slow_reader_gets_it_all)
{
	int fd = adopted();
	json_t *r;

	answer_size = 900000;
	send_text(fd, "{\"execute\":\"stats\"}\n");
	turn(20);
	r = reply(fd);
	ck_assert_uint_eq(json_string_length(json_object_get(json_object_get(r, "return"), "blob")), answer_size);
	json_decref(r);
	close(fd);
}
END_TEST

START_TEST(clients_vanish)
{
	static const char *const said[] = {
		"", "{\"exec", "{\"execute\":\"status\"}\n", "{\"execute\":\"stats\"}\n",
		"{\"execute\":\"stats\"}\n{\"execute\":\"quit\"}\n", "\n\n\n", "x\n",
	};

	not_yet = 1000000;
	answer_size = 300000;
	for (size_t i = 0; i < 20 * ARRAY_SIZE(said); i++) {
		int fd = adopted();

		ck_assert_int_ge(fd, 0);	/* a place is free again */
		send_text(fd, said[i % ARRAY_SIZE(said)]);
		if (i & 1)
			turn(1);
		close(fd);
		if (i == 60)
			not_yet = 0;
		not_yet = not_yet ? 3 : 0;
		turn(8);
	}
}
END_TEST

START_TEST(too_many_clients)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd[CONTROL_CLIENTS_MAX + 2];

	strcpy(a.sun_path, path);
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++) {
		fd[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		ck_assert_int_eq(connect(fd[i], (struct sockaddr *)&a, sizeof a), 0);
		turn(5);
		if (i < CONTROL_CLIENTS_MAX) {
			send_text(fd[i], "{\"execute\":\"status\",\"id\":4}\n");
			expect_return(fd[i], "status", 4);
		} else {
			expect_error(fd[i], "GenericError", "8 clients already");
			ck_assert_ptr_null(reply(fd[i]));
		}
	}
	close(fd[3]);
	turn(5);
	close(fd[CONTROL_CLIENTS_MAX]);
	fd[3] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(connect(fd[3], (struct sockaddr *)&a, sizeof a), 0);
	turn(5);
	send_text(fd[3], "{\"execute\":\"status\"}\n");
	expect_return(fd[3], "status", -1);
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		close(fd[i]);
}
END_TEST

static u64 seed = 88172645463325252ull;

static u32 random32(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (u32)(seed >> 16);
}

/* Garbage, and requests with a few bytes changed: always lines of JSON come back, and the next client is served. */
START_TEST(fuzz)
{
	static const char alphabet[] = "{}[]\":,\\ \n\"exuct0-e.\xc3\xa4";
	static const char *const texts[] = {
		"{\"execute\":\"status\",\"id\":{\"a\":[1,2.5e3,null,\"\\u00e4\"]}}\n",
		"{\"execute\":\"mode\",\"arguments\":{\"engine\":\"hw\"},\"id\":1}\n",
		"{\"execute\":\"stats\"}\n{\"execute\":\"quit\",\"arguments\":{}}\n",
	};

	for (int round = 0; round < 2000; round++) {
		char bytes[600];
		size_t n = 0;
		int fd = adopted();
		json_t *r;

		ck_assert_int_ge(fd, 0);
		not_yet = random32() % 3;
		if (round & 1) {
			n = random32() % sizeof bytes;
			for (size_t i = 0; i < n; i++)
				bytes[i] = (char)(random32() % 8 ? (u32)alphabet[random32() % (sizeof alphabet - 1)]
								 : random32());
		} else {
			for (int i = 0; i < 4; i++) {
				const char *t = texts[random32() % ARRAY_SIZE(texts)];

				memcpy(bytes + n, t, strlen(t));
				n += strlen(t);
			}
			for (u32 i = random32() % 6; i; i--)
				bytes[random32() % n] = (char)random32();
		}
		for (size_t i = 0; i < n;) {
			size_t chunk = min_u64(1 + random32() % 200, n - i);

			send_bytes(fd, bytes + i, chunk);
			i += chunk;
		}
		shutdown(fd, SHUT_WR);
		while ((r = reply(fd))) {
			ck_assert((json_object_get(r, "return") != NULL) != (json_object_get(r, "error") != NULL));
			json_decref(r);
		}
		close(fd);
	}
	ck_assert_uint_gt(executed, 500);
}
END_TEST

/* ---- The file, the beginning and the end ---- */

START_TEST(the_file_is_the_users_alone)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_uint_eq(umask(022), 022);
	/* In use: refused, and left alone. */
	ck_assert_ptr_null(control_server_open(&loop, path, execute, &executed, err, sizeof err));
	ck_assert_ptr_nonnull(strstr(err, "in use"));
	ck_assert_int_eq(access(path, F_OK), 0);
	control_server_close(server);
	server = NULL;
	ck_assert_int_ne(access(path, F_OK), 0);
	/* An ordinary file. */
	close(open(path, O_CREAT | O_WRONLY, 0600));
	ck_assert_ptr_null(control_server_open(&loop, path, execute, &executed, err, sizeof err));
	ck_assert_int_eq(access(path, F_OK), 0);
	unlink(path);
	ck_assert_ptr_null(control_server_open(&loop, "/nonexistent/dir/s", execute, &executed, err, sizeof err));
	ck_assert_str_eq(err, "/nonexistent/dir/s: No such file or directory");
}
END_TEST

START_TEST(a_stale_file_is_replaced)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct stat st;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	control_server_close(server);
	strcpy(a.sun_path, path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	close(fd);
	open_server();
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
}
END_TEST

START_TEST(another_ones_file_is_not_removed)
{
	unlink(path);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	control_server_close(server);
	server = NULL;
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(long_paths)
{
	char longest[200];

	memset(longest, 'x', sizeof longest);
	memcpy(longest, "/tmp/", 5);
	longest[sizeof longest - 1] = 0;
	ck_assert_ptr_null(control_server_open(&loop, longest, execute, &executed, err, sizeof err));
	ck_assert_ptr_nonnull(strstr(err, "at most 107 bytes"));
}
END_TEST

START_TEST(the_end_answers_what_waits)
{
	int fd = adopted(), quiet = adopted(), stuck = adopted();

	not_yet = 1000000;
	send_text(fd, "{\"execute\":\"stats\",\"id\":1}\n{\"execute\":\"pause\"}\n");
	send_text(stuck, "{\"execute\":\"stats\",\"id\":1}\n");
	turn(5);
	not_yet = 0;
	control_server_close(server);
	server = NULL;
	open_server();		/* for teardown, and reply() */
	expect_return(fd, "stats", 1);
	ck_assert_ptr_null(reply(fd));
	ck_assert_ptr_null(reply(quiet));
	close(fd);
	close(quiet);
	close(stuck);
}
END_TEST

/* ---- The control console ---- */

static struct console console;
static char printed[1 << 16];
static size_t printed_len;

static void collect(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void collect(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printed_len += (size_t)vsnprintf(printed + printed_len, sizeof printed - printed_len, fmt, ap);
	va_end(ap);
	ck_assert_uint_lt(printed_len, sizeof printed);
}

/* Type; what appears. */
static const char *type(const char *keys)
{
	printed_len = printed[0] = 0;
	for (; *keys; keys++)
		console_key(&console, (u8)*keys);
	return printed;
}

static void open_console(void)
{
	executed = quits = not_yet = 0;
	answer_size = 0;
	console = (struct console){ .execute = execute, .opaque = &executed, .print = collect };
	console_toggle(&console);
}

static void has(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) != NULL, "'%s' has no '%s'", text, part);
}

START_TEST(console_commands)
{
	open_console();
	has(printed, "`help' lists");
	has(type("status\r"), "status\ncommand              status\nargument             none\n(ringer) ");
	has(type("  mode   hw \n"), "argument             hw");
	has(type("fly\r"), "\nunknown command 'fly' (help lists them)\n(ringer) ");
	has(type("mode\r"), "\nmode needs its engine: bt|hw\n(ringer) ");
	has(type("mode warp\r"), "\nunknown engine 'warp'\n(ringer) ");
	ck_assert_str_eq(type("\r"), "\n(ringer) ");
	/* The last word is the machine's, and no prompt for the shell's to follow. */
	ck_assert_ptr_null(strstr(type("quit\r"), "(ringer)"));
	ck_assert_uint_eq(quits, 1);
	console_close(&console);
}
END_TEST

START_TEST(console_editing)
{
	open_console();
	ck_assert_str_eq(type("x\x7f"), "x\b \b");
	ck_assert_str_eq(type("\x7f\b"), "");
	has(type("stax\x7ftus\r"), "command              status");
	has(type("quit\x15pause\r"), "command              pause");
	has(type("mode bt\x17hw\r"), "argument             hw");
	has(type("quit\x17\x17\x17resume\r"), "command              resume");
	has(type("quit\x03"), "^C\n(ringer) ");
	has(type("status\r"), "command              status");
	has(type("qu\x1b[A\r"), "command              status");	/* up */
	has(type("\x10\r"), "command              status");
	has(type("pa\x1b[C\x1b[1;5D\x1bOBuse\r"), "command              pause");	/* keys that do nothing */
	has(type("\x01\x02\x1f\xff\x80pause\r"), "command              pause");
	ck_assert_uint_eq(quits, 0);
	printed_len = 0;
	for (unsigned i = 0; i < 2 * CONSOLE_LINE_MAX; i++)
		console_key(&console, 'y');
	has(printed, "y\a\a");
	has(type("\r"), "unknown command 'yyy");
	/* Away and back: the line is a new one. */
	type("quit");
	console_toggle(&console);
	ck_assert(!console.active);
	console_toggle(&console);
	has(type("\r"), "\n(ringer) ");
	ck_assert_uint_eq(quits, 0);
	console_close(&console);
}
END_TEST

START_TEST(console_waits_for_a_slow_command)
{
	open_console();
	not_yet = 3;
	type("stats\rpause\rstats\r\rmode h");
	ck_assert_uint_eq(executed, 0);
	ck_assert(console_deadline(&console) < LOOP_FOREVER);
	printed_len = 0;
	for (int i = 0; i < 10; i++)
		console_tick(&console);
	has(printed, "command              stats");
	has(printed, "command              pause");
	ck_assert_uint_eq(executed, 3);
	ck_assert(console_deadline(&console) == LOOP_FOREVER);
	has(type("w\r"), "argument             hw");
	/* Closed in the middle. */
	not_yet = 3;
	type("stats\r");
	console_close(&console);
}
END_TEST

START_TEST(console_fuzz)
{
	static const char keys[] = "statsmode hw\r\n\x7f\x15\x17\x10\x1b[A";

	open_console();
	for (int i = 0; i < 200000; i++) {
		not_yet = random32() % 2;
		console_key(&console, (u8)(random32() % 4 ? (u32)keys[random32() % (sizeof keys - 1)] : random32()));
		if (random32() % 4 == 0)
			console_tick(&console);
		if (!console.active)
			console_toggle(&console);
		printed_len = 0;
	}
	console_close(&console);
}
END_TEST

/* ---- Text ---- */

START_TEST(text_for_people)
{
	json_t *r = json_loads("{\"return\":{\"a_ms\":1500.5,\"b_ns\":2500,\"c_bytes\":268435456,"
			       "\"count\":1234567,\"x_pid\":4711,"
			       "\"ratio\":0.25,\"none\":null,\"yes\":true,\"neg\":-5,\"huge_ms\":1e300,"
			       "\"in\":{\"deep\":{\"n\":1}},\"irq\":[1,2,3],\"empty\":[],\"escape\":\"\\u001b[31m\","
			       "\"rows\":[{\"x\":1},{\"x\":\"\\u001b\"}]}}", 0, NULL);
	static const char *const lines[] = {
		"a                    1.50 s\n", "b                    2.50 us\n", "c                    256.00 MiB\n",
		"count                1,234,567\n", "x_pid                4711\n", "ratio                0.250\n",
		"none                 none\n", "yes                  yes\n", "neg                  -5\n",
		"\nin\n  deep\n    n                    1\n", "irq                  1 2 3\n",
		"empty                none\n",
		"escape               ?[31m\n", "rows                 \n  {\"x\":1}\n  {\"x\":\"\\u001B\"}\n",
	};

	printed_len = 0;
	ck_assert(control_show(CONTROL_status, r, collect, err, sizeof err));
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		has(printed, lines[i]);
	json_decref(r);
	r = json_loads("{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"}}", 0, NULL);
	ck_assert(!control_show(CONTROL_status, r, collect, err, sizeof err));
	ck_assert_str_eq(err, "no");
	json_decref(r);
	r = json_object();
	ck_assert(!control_show(CONTROL_status, r, collect, err, sizeof err));
	json_decref(r);
}
END_TEST

/* ---- docs/ringer.1 ---- */

START_TEST(commands_are_documented)
{
	static char page[1 << 18];
	FILE *f = fopen(RINGER_SOURCE_DIR "/docs/ringer.1", "r");
	const char *section;

	ck_assert_ptr_nonnull(f);
	page[fread(page, 1, sizeof page - 1, f)] = 0;
	fclose(f);
	section = strstr(page, "\n.SH CONTROL\n");
	ck_assert_ptr_nonnull(section);
	for (size_t i = 0; i < CONTROL_COMMANDS; i++) {
		const struct control_row *row = &control_table[i];
		char item[60];

		snprintf(item, sizeof item, row->argument ? "\n.TP\n.BI %s \"" : "\n.TP\n.B %s\n", row->name);
		ck_assert_msg(strstr(section, item) != NULL, "docs/ringer.1 has no item for %s", row->name);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("control");
	TCase *t = tcase_create("socket"), *k = tcase_create("console"), *d = tcase_create("documents");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, refused_requests, 0, (int)ARRAY_SIZE(refused));
	tcase_add_test(t, every_command);
	tcase_add_test(t, ids_come_back);
	tcase_add_test(t, deep_nesting);
	tcase_add_test(t, words);
	tcase_add_test(t, chunks_do_not_matter);
	tcase_add_test(t, last_line_without_a_newline);
	tcase_add_test(t, long_lines);
	tcase_add_test(t, a_slow_command_keeps_the_order);
	tcase_add_test(t, clients_take_turns);
	tcase_add_test(t, a_client_that_does_not_read);
	tcase_add_test(t, a_slow_reader_gets_it_all);
	tcase_add_test(t, clients_vanish);
	tcase_add_test(t, too_many_clients);
	tcase_add_test(t, fuzz);
	tcase_add_test(t, the_file_is_the_users_alone);
	tcase_add_test(t, a_stale_file_is_replaced);
	tcase_add_test(t, another_ones_file_is_not_removed);
	tcase_add_test(t, long_paths);
	tcase_add_test(t, the_end_answers_what_waits);
	tcase_add_test(k, console_commands);
	tcase_add_test(k, console_editing);
	tcase_add_test(k, console_waits_for_a_slow_command);
	tcase_add_test(k, console_fuzz);
	tcase_add_test(k, text_for_people);
	tcase_add_test(d, commands_are_documented);
	suite_add_tcase(s, t);
	suite_add_tcase(s, k);
	suite_add_tcase(s, d);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
