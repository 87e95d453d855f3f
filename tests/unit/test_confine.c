/*
 * The cage: what the vCPU path needs works, everything else ends the process.
 * Each attempt is made by a child of its own.
 */
#define _GNU_SOURCE
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "vmm/confine.h"

#define USER_WINDOW 0x100000000ull
#define LOW ((void *)0x10000000)	/* in it */
#define HIGH ((void *)0x500000000000)
#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)

static int ram, stub, bell, other, bystander;

static void setup(void)
{
	ram = memfd_create("ram", 0);
	stub = memfd_create("stub", 0);
	other = memfd_create("other", 0);
	bell = eventfd(0, EFD_NONBLOCK);
	bystander = open("/dev/null", O_RDWR);
	ck_assert(ram >= 0 && stub >= 0 && other >= 0 && bell >= 0 && bystander >= 0);
	ck_assert(!ftruncate(ram, 65536) && !ftruncate(stub, 65536) && !ftruncate(other, 65536));
}

static void teardown(void)
{
	close(ram);
	close(stub);
	close(other);
	close(bell);
	close(bystander);
}

/* The wait status of a child that enters the cage and makes the attempt: its result is the exit status. */
static int attempt(int (*what)(void), bool library)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		struct confine_needs n = { .ram_fd = ram, .stub_fd = stub, .user_window = USER_WINDOW,
					   .write_fd = { bell, -1 }, .write_count = 2, .close_fd = -1, .library = library };
		struct confinement cage = { 0 };
		int r = confine_prepare(&cage, &n);

		if (!r)
			r = confine_enter(&cage);
		if (!r)
			r = what();
		sys3(SYS_exit_group, r ? 1 : 0, 0, 0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

#define WORKS(f) do { int s_ = attempt(f, false); \
	ck_assert_msg(WIFEXITED(s_) && WEXITSTATUS(s_) == 0, #f ": wait status %x", (unsigned)s_); } while (0)
#define KILLS(f) do { int s_ = attempt(f, false); \
	ck_assert_msg(WIFSIGNALED(s_) && WTERMSIG(s_) == SIGSYS, #f ": wait status %x", (unsigned)s_); } while (0)

static bool mapped(long r) { return r > 0 || r < -4095; }
static int map(void *at, int prot, int flags, int fd)
{
	return !mapped(sys_mmap(at, 4096, prot, flags, fd, 0));
}

static int rings(void) { u64 one = 1; return sys_write(bell, &one, 8) != 8; }
static int complains(void) { return sys_write(2, "", 0) != 0; }
static int maps_ram(void) { return map(LOW, RWX, MAP_SHARED | MAP_FIXED, ram); }
static int maps_ram_high(void) { return map(HIGH, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, ram); }
static int maps_stub(void) { return map(LOW, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, stub); }
static int reserves(void) { return map(HIGH, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1); }
static int protects(void)
{
	return maps_ram_high() || sys_mprotect(HIGH, 4096, PROT_READ | PROT_EXEC) || sys_munmap(HIGH, 4096);
}
static int wakes(void)
{
	static u32 word;
	struct { s64 sec, nsec; } t = { 0, 1000 };

	return sys6(SYS_futex, (long)&word, 1, 1, 0, 0, 0) || sys6(SYS_futex, (long)&word, 0, 0, (long)&t, 0, 0) != -ETIMEDOUT;
}

/* Memory of its own is possible and bounded. */
static int hoards(void)
{
	unsigned n = 0;

	while (n < 10000 && mapped(sys_mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)))
		n++;
	return n < 32 || n > 128;
}

START_TEST(what_the_vcpu_path_does_works)
{
	WORKS(rings);
	WORKS(complains);
	WORKS(maps_ram);
	WORKS(maps_ram_high);
	WORKS(maps_stub);
	WORKS(reserves);
	WORKS(protects);
	WORKS(wakes);
	WORKS(hoards);
}
END_TEST

static int opens(void) { return (int)sys3(SYS_open, (long)"/etc/passwd", 0, 0) < 0; }
static int forks(void) { return (int)sys3(SYS_fork, 0, 0, 0); }
static int executes(void) { return (int)sys3(SYS_execve, (long)"/bin/true", 0, 0); }
static int connects(void) { return (int)sys3(SYS_socket, 1, 1, 0) < 0; }
static int traces(void) { return (int)sys6(SYS_ptrace, 16, getppid(), 0, 0, 0, 0); }
static int reads_others(void) { return (int)sys6(SYS_process_vm_readv, getppid(), 0, 0, 0, 0, 0); }
static int signals_parent(void) { return (int)sys3(SYS_kill, 1, SIGABRT, 0); }
static int kills_itself_oddly(void) { return (int)sys3(SYS_kill, sys3(SYS_getpid, 0, 0, 0), SIGSTOP, 0); }
static int writes_elsewhere(void) { return sys_write(bystander, "x", 1) != 1; }
static int truncates(void) { return (int)sys3(SYS_ftruncate, ram, 0, 0); }
static int maps_other(void) { return map(HIGH, PROT_READ, MAP_SHARED | MAP_FIXED, other); }
static int maps_rwx_stub(void) { return map(LOW, RWX, MAP_SHARED | MAP_FIXED, stub); }
static int maps_rwx_high(void) { return map(HIGH, RWX, MAP_SHARED | MAP_FIXED, ram); }
static int maps_rwx_anonymous(void) { return map(LOW, RWX, MAP_PRIVATE | MAP_ANONYMOUS, -1); }
static int maps_shared_anonymous(void) { return map(NULL, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1); }
static int protects_rwx(void) { return maps_ram_high() || sys_mprotect(HIGH, 4096, RWX); }
static int unconfines(void) { return (int)sys6(SYS_prctl, 59, 0, 0, 0, 0, 0); }
static int grows(void) { return (int)sys3(SYS_brk, 0, 0, 0) < 0; }

START_TEST(everything_else_kills)
{
	KILLS(opens);
	KILLS(forks);
	KILLS(executes);
	KILLS(connects);
	KILLS(traces);
	KILLS(reads_others);
	KILLS(signals_parent);
	KILLS(kills_itself_oddly);
	KILLS(writes_elsewhere);
	KILLS(truncates);
	KILLS(maps_other);
	KILLS(maps_rwx_stub);
	KILLS(maps_rwx_high);
	KILLS(maps_rwx_anonymous);
	KILLS(maps_shared_anonymous);
	KILLS(protects_rwx);
	KILLS(unconfines);
	KILLS(grows);
}
END_TEST

/* int $0x80 in 64-bit code is the i386 table, where 20 is getpid: another architecture. */
static int calls_the_other_table(void)
{
	long r;

	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
	return r < 0;
}

START_TEST(other_architectures_kill)
{
	KILLS(calls_the_other_table);
}
END_TEST

static int aborts(void) { return (int)sys3(SYS_kill, sys3(SYS_getpid, 0, 0, 0), SIGABRT, 0); }

START_TEST(check_failed_can_abort)
{
	int s = attempt(aborts, false);

	ck_assert(WIFSIGNALED(s) && WTERMSIG(s) == SIGABRT);
}
END_TEST

static int allocates(void)
{
	void *p = malloc(300), *q = malloc(3 << 20);

	q = realloc(q, 9 << 20);
	free(p);
	free(q);
	return !q;
}

START_TEST(a_library_may_allocate)
{
	int s = attempt(allocates, true);

	ck_assert(WIFEXITED(s) && WEXITSTATUS(s) == 0);
}
END_TEST

/* Not even refused by the filter: gone. */
static int others_are_open(void)
{
	for (int fd = 0; fd < 100; fd++) {
		bool kept = fd == 2 || fd == ram || fd == stub || fd == bell;

		if (kept != (fcntl(fd, F_GETFD) >= 0))
			return 1;
	}
	return 0;
}

START_TEST(descriptors_are_closed)
{
	struct confine_needs n = { .ram_fd = ram, .stub_fd = stub, .user_window = USER_WINDOW,
				   .write_fd = { bell, -1, bell }, .write_count = 3, .close_fd = -1 };
	struct confinement cage = { 0 };
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(confine_prepare(&cage, &n) || others_are_open());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("confine");
	TCase *t = tcase_create("confine");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, what_the_vcpu_path_does_works);
	tcase_add_test(t, everything_else_kills);
	tcase_add_test(t, other_architectures_kill);
	tcase_add_test(t, check_failed_can_abort);
	tcase_add_test(t, a_library_may_allocate);
	tcase_add_test(t, descriptors_are_closed);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
