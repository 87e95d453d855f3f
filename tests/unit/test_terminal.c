/* The terminal comes back on every way out; the escape keys. */
#define _GNU_SOURCE
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/terminal.h"

static int master, slave = -1;
static char slave_name[64];
static struct termios before;

static void open_terminal(void)
{
	master = posix_openpt(O_RDWR | O_NOCTTY);
	ck_assert_int_ge(master, 0);
	ck_assert_int_eq(grantpt(master), 0);
	ck_assert_int_eq(unlockpt(master), 0);
	ck_assert_int_eq(ptsname_r(master, slave_name, sizeof slave_name), 0);
	slave = open(slave_name, O_RDWR | O_NOCTTY);
	ck_assert_int_ge(slave, 0);
	ck_assert_int_eq(tcgetattr(slave, &before), 0);
}

static void close_terminal(void)
{
	close(slave);
	close(master);
}

static bool is_as_before(void)
{
	struct termios now;

	ck_assert_int_eq(tcgetattr(slave, &now), 0);
	return now.c_iflag == before.c_iflag && now.c_oflag == before.c_oflag && now.c_cflag == before.c_cflag &&
	       now.c_lflag == before.c_lflag && !memcmp(now.c_cc, before.c_cc, sizeof now.c_cc);
}

/* In a child whose controlling terminal it is: raw mode, then `way_out`.  The child's wait status. */
static int leave_by(void (*way_out)(void))
{
	char c;
	int status, ready[2];
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		setsid();
		for (int sig = 1; sig < 32; sig++)	/* Check has its own handlers */
			signal(sig, SIG_DFL);
		if (ioctl(slave, TIOCSCTTY, 0) || !terminal_raw(slave) || is_as_before())
			_exit(99);
		if (write(ready[1], "r", 1) != 1)
			_exit(98);
		way_out();
		_exit(97);
	}
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &c, 1), 1);
	close(ready[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static void by_exit(void) { exit(7); }
static void by_restore(void) { terminal_restore(); _exit(7); }

static int signal_to_die_of;
static void by_signal(void)
{
	raise(signal_to_die_of);
}

static void by_null_pointer(void)
{
	*(volatile int *)0 = 1;
}

static const int fatal[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE };

START_TEST(restored_on_exit)
{
	int status = leave_by(by_exit);

	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	ck_assert(is_as_before());
	status = leave_by(by_restore);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	ck_assert(is_as_before());
}
END_TEST

START_TEST(restored_on_signals)
{
	int status;

	signal_to_die_of = fatal[_i];
	status = leave_by(by_signal);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == fatal[_i]);
	ck_assert(is_as_before());
}
END_TEST

START_TEST(restored_on_a_crash)
{
	int status = leave_by(by_null_pointer);

	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	ck_assert(is_as_before());
}
END_TEST

/* An executor's death is not the end of the session. */
static void by_child(void)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		raise(SIGABRT);
	waitpid(pid, &status, 0);
	_exit(!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT || is_as_before());
}

START_TEST(a_child_does_not_restore)
{
	ck_assert_int_eq(leave_by(by_child), 0);
	tcsetattr(slave, TCSANOW, &before);
}
END_TEST

/* Raw, restored, raw again: what SIGTSTP and SIGCONT do. */
static void by_job_control(void)
{
	terminal_restore();
	if (!is_as_before() || !terminal_raw(slave) || is_as_before())
		_exit(1);
	exit(0);
}

START_TEST(raw_again_after_a_stop)
{
	ck_assert_int_eq(leave_by(by_job_control), 0);
	ck_assert(is_as_before());
}
END_TEST

START_TEST(not_a_terminal)
{
	int null = open("/dev/null", O_RDWR);

	ck_assert(!terminal_raw(null));
	ck_assert(!terminal_raw(slave));	/* a terminal, but not ours to change */
	ck_assert(is_as_before());
	terminal_restore();
	close(null);
}
END_TEST

START_TEST(escapes)
{
	struct escape e = { 0 };

	ck_assert_int_eq(escape_feed(&e, 'x'), ESCAPE_SEND);
	ck_assert_int_eq(escape_feed(&e, 1), ESCAPE_SWALLOW);
	ck_assert_int_eq(escape_feed(&e, 'x'), ESCAPE_QUIT);
	ck_assert_int_eq(escape_feed(&e, 'x'), ESCAPE_SEND);
	ck_assert_int_eq(escape_feed(&e, 1), ESCAPE_SWALLOW);
	ck_assert_int_eq(escape_feed(&e, 1), ESCAPE_SEND);	/* C-a C-a is one C-a */
	ck_assert_int_eq(escape_feed(&e, 'h'), ESCAPE_SEND);
	ck_assert_int_eq(escape_feed(&e, 1), ESCAPE_SWALLOW);
	ck_assert_int_eq(escape_feed(&e, 'q'), ESCAPE_SWALLOW);	/* unknown */
	ck_assert_int_eq(escape_feed(&e, 'q'), ESCAPE_SEND);
#define ESCAPE(name, key, help) \
	ck_assert_int_eq(escape_feed(&e, 1), ESCAPE_SWALLOW); \
	ck_assert_int_eq(escape_feed(&e, key), ESCAPE_##name);
#include "vmm/escape.def"
#undef ESCAPE
	for (int c = 0; c < 256; c++)
		if (c != 1)
			ck_assert_int_eq(escape_feed(&e, (u8)c), ESCAPE_SEND);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("terminal");
	TCase *t = tcase_create("restore"), *k = tcase_create("keys");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, open_terminal, close_terminal);
	tcase_add_test(t, restored_on_exit);
	tcase_add_loop_test(t, restored_on_signals, 0, (int)ARRAY_SIZE(fatal));
	tcase_add_test(t, restored_on_a_crash);
	tcase_add_test(t, a_child_does_not_restore);
	tcase_add_test(t, raw_again_after_a_stop);
	tcase_add_test(t, not_a_terminal);
	tcase_add_test(k, escapes);
	suite_add_tcase(s, t);
	suite_add_tcase(s, k);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
