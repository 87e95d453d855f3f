/* vmm/memory_use: what is shared by fork counts once, what exists of a mapping or a file counts. */
#define _GNU_SOURCE
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/memory_use.h"

#define MIB (1ull << 20)

static u8 *touched(u64 bytes, int flags)
{
	u8 *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);

	ck_assert(p != MAP_FAILED);
	for (u64 at = 0; at < bytes; at += PAGE_SIZE)
		p[at] = 1;
	return p;
}

START_TEST(shared_by_fork_counts_once)
{
	enum { CHILDREN = 4 };
	u64 before = memory_of_process(getpid()), sum = 0;
	int pid[CHILDREN];

	touched(32 * MIB, MAP_PRIVATE);
	ck_assert_uint_ge(memory_of_process(getpid()), before + 32 * MIB);
	for (int i = 0; i < CHILDREN; i++) {
		pid[i] = fork();
		ck_assert_int_ge(pid[i], 0);
		if (pid[i] == 0) {
			pause();
			_exit(0);
		}
	}
	sum = memory_of_process(getpid());
	for (int i = 0; i < CHILDREN; i++)
		sum += memory_of_process(pid[i]);
	for (int i = 0; i < CHILDREN; i++) {
		kill(pid[i], SIGKILL);
		waitpid(pid[i], NULL, 0);
	}
	/* Page tables of each, and what they write. */
	ck_assert_uint_ge(sum, before + 31 * MIB);
	ck_assert_uint_le(sum, before + 32 * MIB + CHILDREN * 2 * MIB);
}
END_TEST

START_TEST(gone)
{
	int pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
	ck_assert_uint_eq(memory_of_process(pid), 0);
}
END_TEST

START_TEST(mappings_and_files)
{
	u8 *p = touched(3 * MIB, MAP_SHARED), *q;
	int fd = memfd_create("test", 0);

	ck_assert_uint_eq(memory_touched(p, 3 * MIB), 3 * MIB);
	ck_assert_int_eq(madvise(p, MIB, MADV_REMOVE), 0);
	ck_assert_uint_eq(memory_touched(p, 3 * MIB), 2 * MIB);
	ck_assert_int_eq(ftruncate(fd, 8 * MIB), 0);
	ck_assert_uint_eq(memory_of_file(fd), 0);
	q = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert(q != MAP_FAILED);
	q[5 * MIB] = 1;
	ck_assert_uint_ge(memory_of_file(fd), PAGE_SIZE);
	ck_assert_uint_le(memory_of_file(fd), 2 * MIB);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("memory_use");
	TCase *t = tcase_create("memory_use");
	SRunner *r;
	int failed;

	tcase_add_test(t, shared_by_fork_counts_once);
	tcase_add_test(t, gone);
	tcase_add_test(t, mappings_and_files);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
