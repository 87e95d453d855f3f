/*
 * Back ends against a front end that is only two rings: bytes arrive whole and
 * in order, a slow peer holds the guest back, a lost one does not, and forged
 * ring positions do no harm.
 */
#define _GNU_SOURCE
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/backend.h"

static struct chardev c;
static struct loop loop;
static struct backend *b;
static char err[256], path[64];
static unsigned rx_calls, space_calls;

/* What an executor does when it is kicked. */
static void notify(void *opaque)
{
	u32 events = c.events;

	ck_assert_ptr_eq(opaque, &c);
	ck_assert_uint_ne(events, 0);
	c.events = 0;
	rx_calls += events & CHAR_RX_READY ? 1 : 0;
	if (events & CHAR_TX_SPACE) {
		ck_assert_uint_eq(c.tx_blocked, 0);
		space_calls++;
	}
}

/* The front end's functions are not the back end's to call. */
static void never(void *dev) { ck_abort_msg("the monitor has called into a device"); }

static void setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	memset(&c, 0, sizeof c);
	c.rx_ready = c.tx_space = never;
	rx_calls = space_calls = 0;
	snprintf(path, sizeof path, "/tmp/ringer-test-backend.%d", (int)getpid());
	ck_assert_int_eq(loop_open(&loop), 0);
}

static void teardown(void)
{
	backend_close(b);
	b = NULL;
	loop_close(&loop);
	unlink(path);
}

static void open_with(struct serial_config sc)
{
	b = backend_open(&loop, &sc, "serial0", &c, notify, &c, err, sizeof err);
	ck_assert_msg(b != NULL, "%s", err);
	ck_assert_int_ge(c.doorbell_fd, 0);
}

/* Turn the loop for `ms`, as the monitor does. */
static void turn(unsigned ms)
{
	u64 end = monotonic_ns() + ms * 1000000ull;

	do {
		loop_wait(&loop, min_u64(end, backend_deadline(b)));
		backend_tick(b, monotonic_ns());
	} while (monotonic_ns() < end);
}

/* What a front end does: put, and ring the doorbell if tx was empty; false and tx_blocked if full. */
static bool guest_sends(u8 byte)
{
	u64 one = 1;
	bool was_empty;

	if (!c.connected)
		return true;
	was_empty = !ring_count(&c.tx);
	if (!ring_put(&c.tx, byte)) {
		c.tx_blocked = 1;
		return false;
	}
	return !was_empty || write(c.doorbell_fd, &one, sizeof one) == sizeof one;
}

static u8 pattern(u32 i) { return (u8)(i * 7 + i / 251); }

static int connect_client(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(a.sun_path, path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	return fd;
}

START_TEST(file_takes_everything)
{
	enum { N = 100000 };
	static u8 got[N + 1];
	int fd;

	open_with((struct serial_config){ .kind = SERIAL_FILE, .path = path });
	ck_assert(backend_connected(b));
	for (u32 i = 0; i < N;)
		if (guest_sends(pattern(i)))
			i++;
		else
			turn(1);
	backend_flush(b, 1000000000);
	fd = open(path, O_RDONLY);
	ck_assert_int_eq(read(fd, got, sizeof got), N);
	for (u32 i = 0; i < N; i++)
		ck_assert_uint_eq(got[i], pattern(i));
	ck_assert_uint_gt(space_calls, 0);
	close(fd);
}
END_TEST

START_TEST(file_that_cannot_be)
{
	struct serial_config sc = { .kind = SERIAL_FILE, .path = "/nonexistent/dir/file" };

	ck_assert_ptr_null(backend_open(&loop, &sc, "serial2", &c, notify, &c, err, sizeof err));
	ck_assert_ptr_nonnull(strstr(err, "serial2: /nonexistent/dir/file: "));
}
END_TEST

START_TEST(full_device_does_not_stop_the_guest)
{
	open_with((struct serial_config){ .kind = SERIAL_FILE, .path = "/dev/full" });
	for (u32 i = 0; i < 3 * CHAR_RING_SIZE; i++)
		while (!guest_sends('x'))
			turn(1);
	turn(10);
	ck_assert_uint_eq(ring_count(&c.tx), 0);
	ck_assert_uint_eq(c.connected, 0);
}
END_TEST

START_TEST(null_discards)
{
	open_with((struct serial_config){ .kind = SERIAL_NULL });
	ck_assert_uint_eq(c.connected, 0);
	ck_assert(backend_deadline(b) == LOOP_FOREVER);
}
END_TEST

START_TEST(slow_socket_reader_holds_the_guest_back)
{
	enum { N = 600000 };
	u32 sent = 0, got = 0;
	bool was_blocked = false;
	int fd;
	u8 buf[1000];

	open_with((struct serial_config){ .kind = SERIAL_UNIX, .path = path, .server = true });
	ck_assert_uint_eq(c.connected, 0);
	fd = connect_client();
	turn(20);
	ck_assert_uint_eq(c.connected, 1);

	/* Nobody reads: the guest gets stuck with the ring full. */
	for (int idle = 0; idle < 10;) {
		if (sent < N && guest_sends(pattern(sent))) {
			sent++;
			idle = 0;
		} else {
			was_blocked |= c.tx_blocked;
			turn(1);
			idle++;
		}
	}
	ck_assert(was_blocked);
	ck_assert_uint_lt(sent, N);
	ck_assert_uint_eq(ring_space(&c.tx), 0);
	space_calls = 0;
	while (got < N) {
		ssize_t n = recv(fd, buf, sizeof buf, 0);

		for (ssize_t i = 0; i < n; i++)
			ck_assert_uint_eq(buf[i], pattern(got++));
		if (n < 0)
			ck_assert_int_eq(errno, EAGAIN);
		turn(0);
		while (sent < N && guest_sends(pattern(sent)))
			sent++;
	}
	ck_assert_uint_gt(space_calls, 0);
	close(fd);
}
END_TEST

START_TEST(input_waits_for_room)
{
	enum { N = 3 * CHAR_RING_SIZE };
	u32 sent = 0, got = 0;
	int fd;

	open_with((struct serial_config){ .kind = SERIAL_UNIX, .path = path, .server = true });
	fd = connect_client();
	turn(20);
	while (got < N) {
		u8 buf[512];
		u32 n = sent < N ? min_u64(sizeof buf, N - sent) : 0;
		ssize_t r;
		int byte;

		for (u32 i = 0; i < n; i++)
			buf[i] = pattern(sent + i);
		r = n ? send(fd, buf, n, 0) : 0;
		sent += r > 0 ? (u32)r : 0;
		turn(0);
		if (sent < N && r > 0)
			continue;	/* let the ring fill first */
		ck_assert_uint_gt(rx_calls, 0);
		turn(15);
		while ((byte = ring_get(&c.rx)) >= 0)
			ck_assert_int_eq(byte, pattern(got++));
	}
	close(fd);
}
END_TEST

START_TEST(clients_come_and_go)
{
	char buf[16];
	int fd;

	open_with((struct serial_config){ .kind = SERIAL_UNIX, .path = path, .server = true, .wait = true });
	for (int i = 0; i < 3; i++) {
		fd = connect_client();
		turn(20);
		ck_assert(backend_connected(b));
		ck_assert(guest_sends('A'));
		turn(5);
		ck_assert_int_eq(recv(fd, buf, sizeof buf, 0), 1);
		close(fd);
		turn(20);
		ck_assert(!backend_connected(b));
		ck_assert(guest_sends('B'));	/* goes nowhere */
	}
	/* A second user of the path is refused, and does not take the file away. */
	{
		struct serial_config sc = { .kind = SERIAL_UNIX, .path = path, .server = true };
		struct chardev other = { 0 };
		struct stat st;

		ck_assert_ptr_null(backend_open(&loop, &sc, "serial1", &other, notify, &other, err, sizeof err));
		ck_assert_ptr_nonnull(strstr(err, "in use"));
		ck_assert_int_eq(stat(path, &st), 0);
	}
	backend_close(b);
	b = NULL;
	ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(stale_socket_file_is_replaced)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(a.sun_path, path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	close(fd);
	open_with((struct serial_config){ .kind = SERIAL_UNIX, .path = path, .server = true });
	close(connect_client());
}
END_TEST

START_TEST(ordinary_file_is_not_replaced_by_a_socket)
{
	struct serial_config sc = { .kind = SERIAL_UNIX, .path = path, .server = true };
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	ck_assert_int_eq(write(fd, "x", 1), 1);
	close(fd);
	ck_assert_ptr_null(backend_open(&loop, &sc, "serial0", &c, notify, &c, err, sizeof err));
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(client_connects_again)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), fd;

	strcpy(a.sun_path, path);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&a, sizeof a), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	open_with((struct serial_config){ .kind = SERIAL_UNIX, .path = path });
	ck_assert(backend_connected(b));
	fd = accept(listener, NULL, NULL);
	close(fd);
	turn(20);
	ck_assert(!backend_connected(b));
	turn(700);
	ck_assert(backend_connected(b));
	fd = accept(listener, NULL, NULL);
	ck_assert_int_ge(fd, 0);
	close(fd);
	close(listener);
}
END_TEST

START_TEST(pty_users_come_and_go)
{
	char buf[16];
	int fd;

	open_with((struct serial_config){ .kind = SERIAL_PTY });
	for (int i = 0; i < 2; i++) {
		ck_assert(!backend_connected(b));
		for (int j = 0; j < 100000; j++)	/* nobody there: the guest is not held back */
			ck_assert(guest_sends('x'));
		fd = open(backend_path(b), O_RDWR | O_NOCTTY | O_NONBLOCK);
		ck_assert_int_ge(fd, 0);
		turn(150);
		ck_assert(backend_connected(b));
		ck_assert(guest_sends('\n'));
		ck_assert(guest_sends(3));
		turn(5);
		ck_assert_int_eq(read(fd, buf, sizeof buf), 2);	/* raw: no \r, no signal */
		ck_assert(buf[0] == '\n' && buf[1] == 3);
		ck_assert_int_eq(write(fd, "\x03\r", 2), 2);
		turn(5);
		ck_assert_int_eq(ring_get(&c.rx), 3);
		ck_assert_int_eq(ring_get(&c.rx), '\r');
		close(fd);
		turn(20);
	}
}
END_TEST

/* Replace stdin or stdout by one end of a pipe; the other end. */
static int pipe_over(int fd)
{
	int p[2];

	ck_assert_int_eq(pipe(p), 0);
	fcntl(p[fd != 0 ? 0 : 1], F_SETFL, O_NONBLOCK);
	ck_assert_int_eq(dup2(p[fd != 0], fd), fd);
	close(p[fd != 0]);
	return p[fd == 0];
}

static bool no_x(void *opaque, u8 byte)
{
	return byte != 'x';
}

START_TEST(stdio_over_pipes)
{
	int in = pipe_over(0), out = pipe_over(1);
	char buf[16];

	open_with((struct serial_config){ .kind = SERIAL_STDIO });
	backend_set_filter(b, no_x, NULL);
	ck_assert_int_eq(write(in, "axb", 3), 3);
	turn(5);
	ck_assert_int_eq(ring_get(&c.rx), 'a');
	ck_assert_int_eq(ring_get(&c.rx), 'b');
	ck_assert_int_eq(ring_get(&c.rx), -1);
	/* The shell's own descriptors stay blocking. */
	ck_assert_int_eq(fcntl(0, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(1, F_GETFL) & O_NONBLOCK, 0);
	/* The end of the input is not the end of the output, and costs no time. */
	close(in);
	turn(5);
	ck_assert_uint_eq(c.connected, 1);
	ck_assert(backend_deadline(b) == LOOP_FOREVER);
	ck_assert(guest_sends('z'));
	turn(5);
	ck_assert_int_eq(read(out, buf, sizeof buf), 1);
	/* A reader that has gone does not stop the guest. */
	close(out);
	for (u32 i = 0; i < 2 * CHAR_RING_SIZE; i++)
		while (!guest_sends('y'))
			turn(1);
	turn(5);
	ck_assert_uint_eq(ring_count(&c.tx), 0);
}
END_TEST

START_TEST(stdio_over_files_and_null)
{
	int fd = open(path, O_CREAT | O_RDWR, 0600), null = open("/dev/null", O_RDWR);
	char buf[16];

	ck_assert_int_eq(write(fd, "input", 5), 5);
	lseek(fd, 0, SEEK_SET);
	dup2(fd, 0);
	dup2(null, 1);
	open_with((struct serial_config){ .kind = SERIAL_STDIO });
	turn(5);
	for (const char *p = "input"; *p; p++)
		ck_assert_int_eq(ring_get(&c.rx), *p);
	ck_assert(backend_deadline(b) == LOOP_FOREVER);
	ck_assert(guest_sends('q'));
	turn(5);
	ck_assert_uint_eq(ring_count(&c.tx), 0);
	backend_close(b);
	b = NULL;

	memset(&c.tx, 0, sizeof c.tx);
	lseek(fd, 5, SEEK_SET);
	dup2(fd, 1);
	dup2(null, 0);
	open_with((struct serial_config){ .kind = SERIAL_STDIO });
	ck_assert(guest_sends('!'));
	turn(5);
	ck_assert_int_eq(pread(fd, buf, sizeof buf, 0), 6);	/* appended at the shared position */
	ck_assert(!memcmp(buf, "input!", 6));
	close(fd);
	close(null);
}
END_TEST

START_TEST(forged_positions_do_no_harm)
{
	static const u32 forged[] = { 0x80000000u, 0xffffffffu, CHAR_RING_SIZE + 1, 1, 0x7fffffff };
	u64 one = 1;
	int fd;

	open_with((struct serial_config){ .kind = SERIAL_UNIX, .path = path, .server = true });
	fd = connect_client();
	turn(20);
	for (size_t i = 0; i < ARRAY_SIZE(forged); i++) {
		c.tx.head = forged[i];
		c.tx.tail = ~forged[i];
		c.rx.head = forged[i];
		c.rx.tail = forged[i] * 3;
		c.rx_ready = c.tx_space = (void (*)(void *))(uintptr_t)0x1234;
		c.tx_blocked = forged[i];
		ck_assert_int_eq(write(c.doorbell_fd, &one, sizeof one), sizeof one);
		ck_assert_int_eq(send(fd, "data", 4, 0), 4);
		turn(15);
		backend_resync(b);
	}
	close(fd);
}
END_TEST

/* A reset builds the machine anew around the back end. */
START_TEST(attaches_to_a_new_machine)
{
	int fd;

	open_with((struct serial_config){ .kind = SERIAL_UNIX, .path = path, .server = true });
	fd = connect_client();
	turn(20);
	ck_assert(guest_sends('1'));
	turn(5);
	memset(&c, 0, sizeof c);
	c.doorbell_fd = -1;
	backend_resync(b);
	ck_assert_uint_eq(c.connected, 1);
	ck_assert_int_ge(c.doorbell_fd, 0);
	ck_assert(guest_sends('2'));
	ck_assert_int_eq(send(fd, "k", 1, 0), 1);
	turn(20);
	ck_assert_int_eq(ring_get(&c.rx), 'k');
	ck_assert_uint_eq(ring_count(&c.tx), 0);
	close(fd);
}
END_TEST

START_TEST(flush_is_patient_only_so_long)
{
	u64 t;
	int fd;

	open_with((struct serial_config){ .kind = SERIAL_UNIX, .path = path, .server = true });
	fd = connect_client();
	turn(20);
	for (int i = 0; i < 20; i++) {
		while (guest_sends('f'))
			;
		turn(1);
	}
	t = monotonic_ns();
	backend_flush(b, 100000000);
	t = monotonic_ns() - t;
	ck_assert(t > 90000000 && t < 1000000000);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("backend");
	TCase *t = tcase_create("backend");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, file_takes_everything);
	tcase_add_test(t, file_that_cannot_be);
	tcase_add_test(t, full_device_does_not_stop_the_guest);
	tcase_add_test(t, null_discards);
	tcase_add_test(t, slow_socket_reader_holds_the_guest_back);
	tcase_add_test(t, input_waits_for_room);
	tcase_add_test(t, clients_come_and_go);
	tcase_add_test(t, stale_socket_file_is_replaced);
	tcase_add_test(t, ordinary_file_is_not_replaced_by_a_socket);
	tcase_add_test(t, client_connects_again);
	tcase_add_test(t, pty_users_come_and_go);
	tcase_add_test(t, stdio_over_pipes);
	tcase_add_test(t, stdio_over_files_and_null);
	tcase_add_test(t, forged_positions_do_no_harm);
	tcase_add_test(t, attaches_to_a_new_machine);
	tcase_add_test(t, flush_is_patient_only_so_long);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
