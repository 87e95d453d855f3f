#define _GNU_SOURCE
/*
 * Processes: fork, exec, wait, in quantity.
 */
#include "check.h"

#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

extern char **environ;

static const char *self(void)
{
	static char path[256];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

	CHECK(n > 0);
	path[n] = 0;
	return path;
}

/* argv[2] says what the executed program is to check. */
int check_child(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[2], "exit") == 0)
		return atoi(argv[3]);
	if (argc == 4 && strcmp(argv[2], "env") == 0)
		return getenv("RINGER_X") && strcmp(getenv("RINGER_X"), argv[3]) == 0 ? 0 : 1;
	if (argc == 4 && strcmp(argv[2], "chain") == 0) {
		char n[12];
		int left = atoi(argv[3]);

		if (left == 0)
			return 77;
		snprintf(n, sizeof n, "%d", left - 1);
		execl(self(), "process", "--child", "chain", n, NULL);
		return 1;
	}
	if (argc > 100 && strcmp(argv[2], "many") == 0) {
		u32 h = 0;

		for (int i = 3; i < argc; i++)
			h = h * 31 + check_hash(argv[i], strlen(argv[i]));
		return h == (u32)strtoul(getenv("RINGER_H"), NULL, 16) ? 0 : 1;
	}
	return 96;
}

TEST(fork_wait)
{
	volatile int local = 1;

	for (int i = 0; i < 150; i++) {
		int pid = SYS(fork());

		if (pid == 0) {
			local += i;
			_exit(local == 1 + i ? i & 63 : 98);
		}
		check_wait(pid, i & 63);
		CHECK_EQ(local, 1);
	}
}

static void tree(int depth)
{
	int kid[3];

	if (depth == 0)
		return;
	for (int i = 0; i < 3; i++)
		kid[i] = check_fork(tree, depth - 1);
	for (int i = 0; i < 3; i++)
		check_wait(kid[i], 0);
}

TEST(fork_tree)
{
	tree(4);
}

TEST(fork_crowd)
{
	int pids[64], seen = 0, st, fd[2];
	char c;

	SYS(pipe(fd));
	for (int i = 0; i < 64; i++) {
		pids[i] = SYS(fork());
		if (pids[i] == 0) {
			close(fd[1]);
			_exit(read(fd[0], &c, 1) == 0 ? i : 98);	/* all alive at once */
		}
	}
	close(fd[1]);
	while (seen < 64) {
		int pid = SYS(wait(&st)), i = 0;

		while (i < 64 && pids[i] != pid)
			i++;
		CHECK(i < 64);
		CHECK(WIFEXITED(st));
		CHECK_EQ(WEXITSTATUS(st), i);
		seen++;
	}
	CHECK(wait(&st) == -1 && errno == ECHILD);
}

TEST(exec_wait)
{
	const char *me = self();

	for (int i = 0; i < 30; i++) {
		char n[12];
		int pid;

		snprintf(n, sizeof n, "%d", i + 3);
		pid = SYS(fork());
		if (pid == 0) {
			execl(me, "process", "--child", "exit", n, NULL);
			_exit(98);
		}
		check_wait(pid, i + 3);
	}
}

TEST(exec_chain)
{
	int pid = SYS(fork());

	if (pid == 0) {
		execl(self(), "process", "--child", "chain", "20", NULL);
		_exit(98);
	}
	check_wait(pid, 77);
}

TEST(exec_arguments)
{
	enum { N = 600 };
	static char *argv[N + 4], text[N][160];
	char env[32], *envp[] = { env, NULL };
	u32 h = 0, rnd = 1;
	int pid;

	argv[0] = "process", argv[1] = "--child", argv[2] = "many";
	for (int i = 0; i < N; i++) {
		int len = check_rand(&rnd) % 150;

		for (int k = 0; k < len; k++)
			text[i][k] = 'a' + check_rand(&rnd) % 26;
		argv[3 + i] = text[i];
		h = h * 31 + check_hash(text[i], len);
	}
	snprintf(env, sizeof env, "RINGER_H=%x", h);
	pid = SYS(fork());
	if (pid == 0) {
		execve(self(), argv, envp);
		_exit(98);
	}
	check_wait(pid, 0);
}

TEST(vfork_exec)
{
	const char *me = self();

	for (int i = 0; i < 20; i++) {
		int pid = vfork();

		if (pid == 0) {
			execl(me, "process", "--child", "exit", "5", NULL);
			_exit(98);
		}
		CHECK(pid > 0);
		check_wait(pid, 5);
	}
}

TEST(posix_spawn)
{
	char *argv[] = { "process", "--child", "env", "hello", NULL }, *envp[] = { "RINGER_X=hello", NULL };
	int pid;

	for (int i = 0; i < 10; i++) {
		CHECK_EQ(posix_spawn(&pid, self(), NULL, NULL, argv, envp), 0);
		check_wait(pid, 0);
	}
}

TEST(exec_errors)
{
	char *argv[] = { "x", NULL };
	const char *volatile nowhere = (char *)4;
	char path[] = "/tmp/ringer-exec-XXXXXX";
	int fd;

	CHECK(execve("/no/such/file", argv, environ) == -1 && errno == ENOENT);
	CHECK(execve("/", argv, environ) == -1 && errno == EACCES);
	CHECK(execve(nowhere, argv, environ) == -1 && errno == EFAULT);
	fd = SYS(mkstemp(path));
	CHECK_EQ(write(fd, "garbage that is no program", 26), 26);
	SYS(fchmod(fd, 0755));
	close(fd);
	CHECK(execve(path, argv, environ) == -1 && errno == ENOEXEC);
	unlink(path);
}

TEST(wait_statuses)
{
	int st, go[2], pid = SYS(fork());
	siginfo_t si;
	char c;

	if (pid == 0) {
		raise(SIGKILL);
		_exit(1);
	}
	CHECK_EQ(SYS(waitpid(pid, &st, 0)), pid);
	CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL);

	SYS(pipe(go));
	pid = SYS(fork());
	if (pid == 0) {
		raise(SIGSTOP);
		_exit(read(go[0], &c, 1) == 1 ? 9 : 1);	/* not before it was seen to go on */
	}
	CHECK_EQ(SYS(waitpid(pid, &st, WUNTRACED)), pid);
	CHECK(WIFSTOPPED(st) && WSTOPSIG(st) == SIGSTOP);
	SYS(kill(pid, SIGCONT));
	CHECK_EQ(SYS(waitpid(pid, &st, WCONTINUED)), pid);
	CHECK(WIFCONTINUED(st));
	CHECK_EQ(write(go[1], "", 1), 1);
	SYS(waitid(P_PID, pid, &si, WEXITED | WNOWAIT));
	CHECK_EQ(si.si_pid, pid);
	CHECK_EQ(si.si_status, 9);
	check_wait(pid, 9);
	close(go[0]);
	close(go[1]);
}

TEST(orphans)
{
	int fd[2], pid;
	int parent = 0;

	SYS(pipe(fd));
	pid = SYS(fork());
	if (pid == 0) {
		int mother = getpid();

		if (SYS(fork()) == 0) {
			while (getppid() == mother)
				sched_yield();
			parent = getppid();
			_exit(write(fd[1], &parent, sizeof parent) != sizeof parent);
		}
		_exit(0);
	}
	check_wait(pid, 0);
	CHECK_EQ(read(fd[0], &parent, sizeof parent), sizeof parent);
	CHECK(parent != getpid());
}

static char clone_stack[65536] __attribute__((aligned(16)));
static volatile int clone_seen;

static int clone_child(void *arg)
{
	clone_seen = (int)(intptr_t)arg;
	return 21;
}

TEST(clone_vm)
{
	for (int i = 1; i <= 40; i++) {
		int pid = SYS(clone(clone_child, clone_stack + sizeof clone_stack, CLONE_VM | CLONE_VFORK | SIGCHLD,
				    (void *)(intptr_t)i));

		CHECK_EQ(clone_seen, i);
		check_wait(pid, 21);
	}
}

/* Many pages differ between parent and child; both must keep their own. */
TEST(fork_private_pages)
{
	enum { PAGES = 400 };
	u32 *mem = MAP(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int pids[6];

	for (int i = 0; i < PAGES; i++)
		mem[i * 1024] = i;
	for (int k = 0; k < 6; k++) {
		pids[k] = SYS(fork());
		if (pids[k] == 0) {
			for (int i = k; i < PAGES; i += 2)
				mem[i * 1024] += 1000 * (k + 1);
			sched_yield();
			for (int i = 0; i < PAGES; i++) {
				u32 want = i + (i >= k && (i - k) % 2 == 0 ? 1000u * (k + 1) : 0);

				CHECK_EQ(mem[i * 1024], want);
			}
			_exit(0);
		}
	}
	for (int k = 0; k < 6; k++)
		check_wait(pids[k], 0);
	for (int i = 0; i < PAGES; i++)
		CHECK_EQ(mem[i * 1024], i);
}

/* Context switches between processes that compute: registers must be each one's own. */
TEST(many_computing)
{
	int pids[10];

	for (int k = 0; k < 10; k++) {
		pids[k] = SYS(fork());
		if (pids[k] == 0) {
			u32 first = 0;

			for (int round = 0; round < 20; round++) {
				u32 s = 12345 + k, sum = 0;

				for (int i = 0; i < 200000; i++)
					sum = sum * 33 + check_rand(&s);
				if (round == 0)
					first = sum;
				CHECK_EQ(sum, first);
				sched_yield();
			}
			_exit(0);
		}
	}
	for (int k = 0; k < 10; k++)
		check_wait(pids[k], 0);
}
