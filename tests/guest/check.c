#define _GNU_SOURCE
/*
 * The harness behind check.h: runs each test in a child with a time limit.
 */
#include "check.h"

#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

enum { TESTS_MAX = 96, TIME_LIMIT = 60 };

static struct { const char *name; void (*fn)(void); } tests[TESTS_MAX];
static int test_count;
static const char *program;

/* Shared by every process of a test. */
static struct result {
	int failed;	/* 1: message is why; 2: skipped */
	char message[600];
} *result;

void check_register(const char *name, void (*fn)(void))
{
	if (test_count == TESTS_MAX)
		abort();
	tests[test_count].name = name;
	tests[test_count++].fn = fn;
}

static _Noreturn void finish(int how, const char *where, const char *fmt, va_list ap)
{
	int none = 0;

	if (__atomic_compare_exchange_n(&result->failed, &none, how, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
		int n = snprintf(result->message, sizeof result->message, "%s", where);

		vsnprintf(result->message + n, sizeof result->message - n, fmt, ap);
	}
	_exit(how == 1 ? 99 : 98);
}

void check_fail(const char *file, int line, const char *fmt, ...)
{
	const char *base = strrchr(file, '/');
	char where[80];
	va_list ap;

	va_start(ap, fmt);
	snprintf(where, sizeof where, "%s:%d: ", base ? base + 1 : file, line);
	finish(1, where, fmt, ap);
}

void check_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	finish(2, "", fmt, ap);
}

void check_info(const char *fmt, ...)
{
	char line[400] = "    ";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line + 4, sizeof line - 5, fmt, ap);
	va_end(ap);
	strcat(line, "\n");
	if (write(1, line, strlen(line)) < 0)
		_exit(97);
}

void check_wait(int pid, int status)
{
	int st, r;

	do
		r = waitpid(pid, &st, 0);
	while (r < 0 && errno == EINTR);
	CHECK_EQ(r, pid);
	CHECK_MSG(WIFEXITED(st) && WEXITSTATUS(st) == status,
		  "child %d ended with wait status 0x%x, not exit status %d", pid, st, status);
}

int check_fork(void (*fn)(int), int arg)
{
	int pid = SYS(fork());

	if (pid == 0) {
		fn(arg);
		_exit(0);
	}
	return pid;
}

u64 check_now_ns(void)
{
	struct { long sec, nsec; } ts;

	syscall(265 /* clock_gettime with 32-bit seconds, under any C library */, CLOCK_MONOTONIC, &ts);
	return ts.sec * 1000000000ull + ts.nsec;
}

u32 check_rand(u32 *state)
{
	u32 x = *state;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *state = x;
}

u32 check_hash(const void *p, size_t n)
{
	u32 h = 2166136261u;

	for (const u8 *b = p; n--; b++)
		h = (h ^ *b) * 16777619u;
	return h;
}

bool check_in_guest(void)
{
	return access("/tests/run", X_OK) == 0;
}

__attribute__((weak)) int check_child(int argc, char **argv)
{
	(void)argc, (void)argv;
	return 96;
}

static bool run_test(int i)
{
	struct timespec limit = { .tv_sec = TIME_LIMIT };
	sigset_t chld, old;
	siginfo_t si;
	int pid, st = 0, r;
	char line[800];

	memset(result, 0, sizeof *result);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &old);
	pid = fork();
	if (pid < 0) {
		printf("FAIL %s/%s: fork: %s\n", program, tests[i].name, strerror(errno));
		return false;
	}
	if (pid == 0) {
		sigprocmask(SIG_SETMASK, &old, NULL);
		setpgid(0, 0);
		tests[i].fn();
		_exit(0);
	}
	do {
		r = waitpid(pid, &st, WNOHANG);
		if (r == 0 && sigtimedwait(&chld, &si, &limit) < 0 && errno == EAGAIN) {
			kill(-pid, SIGKILL);
			kill(pid, SIGKILL);
			waitpid(pid, &st, 0);
			if (!result->failed) {
				result->failed = 1;
				snprintf(result->message, sizeof result->message, "not finished after %d s", TIME_LIMIT);
			}
			break;
		}
	} while (r == 0);
	kill(-pid, SIGKILL);	/* whatever it left behind */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	sigprocmask(SIG_SETMASK, &old, NULL);

	if (result->failed == 2)
		snprintf(line, sizeof line, "skip %s/%s: %s\n", program, tests[i].name, result->message);
	else if (result->failed)
		snprintf(line, sizeof line, "FAIL %s/%s: %s\n", program, tests[i].name, result->message);
	else if (WIFSIGNALED(st))
		snprintf(line, sizeof line, "FAIL %s/%s: killed by signal %d (%s)\n", program, tests[i].name,
			 WTERMSIG(st), strsignal(WTERMSIG(st)));
	else if (WEXITSTATUS(st))
		snprintf(line, sizeof line, "FAIL %s/%s: exit status %d\n", program, tests[i].name, WEXITSTATUS(st));
	else
		snprintf(line, sizeof line, "ok %s/%s\n", program, tests[i].name);
	if (write(1, line, strlen(line)) < 0)
		return false;
	return line[0] != 'F';
}

int main(int argc, char **argv)
{
	int bad = 0;

	program = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	if (argc > 1 && strcmp(argv[1], "--child") == 0) {
		result = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		return check_child(argc, argv);
	}
	result = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (result == MAP_FAILED)
		return 95;
	for (int i = 0; i < test_count; i++) {
		bool wanted = argc == 1;

		for (int a = 1; a < argc; a++)
			wanted |= strcmp(argv[a], tests[i].name) == 0;
		if (wanted && !run_test(i))
			bad++;
	}
	return bad != 0;
}
