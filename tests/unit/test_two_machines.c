/*
 * Two machines in one process, side by side: each runs its own guest in its own
 * memory, and neither executor can see the other machine's.
 *
 * The guests are images made here: multiboot, a few instructions at 1 MiB that
 * fill memory with the machine's own byte, read it back after a while, add up,
 * and leave the sum's low byte by the debug-exit port.
 */
#define _GNU_SOURCE
#include <check.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "vmm/vm.h"

#define LOAD 0x100000u
#define CODE (LOAD + 32)
#define AREA 0x200000u

static char path[2][64];
static struct vm *vm[2];
static char err[256];

static u8 *put32(u8 *p, u32 v)
{
	store32(p, v);
	return p + 4;
}

/* A guest that fills AREA with `byte`, waits, sums eight words of it and exits with the sum's low seven bits. */
static void write_image(const char *file, u8 byte)
{
	static const u8 code[] = {
		0xbf, 0, 0, 0x20, 0,		/* mov $AREA, %edi */
		0xb8, 0, 0, 0, 0,		/* mov $byte * 0x01010101, %eax (patched) */
		0xb9, 0, 0x10, 0, 0,		/* mov $4096, %ecx */
		0xfc, 0xf3, 0xab,		/* cld; rep stosl */
		0xb9, 0, 0, 0, 0x04,		/* mov $0x4000000, %ecx */
		0x49, 0x75, 0xfd,		/* 1: dec %ecx; jnz 1b */
		0xbe, 0, 0, 0x20, 0,		/* mov $AREA, %esi */
		0xb9, 8, 0, 0, 0,		/* mov $8, %ecx */
		0x31, 0xdb,			/* xor %ebx, %ebx */
		0xad, 0x01, 0xc3, 0x49, 0x75, 0xfa,	/* 2: lodsl; add %eax, %ebx; dec %ecx; jnz 2b */
		0x89, 0xd8, 0x83, 0xe0, 0x7f,	/* mov %ebx, %eax; and $0x7f, %eax */
		0xe6, 0xf4,			/* out %al, $0xf4 */
		0xf4, 0xeb, 0xfd,		/* hlt; jmp . - 1 */
	};
	u8 image[4096] = { 0 }, *p = image;
	FILE *f = fopen(file, "w");

	p = put32(p, 0x1badb002);
	p = put32(p, 0x10000);
	p = put32(p, -(0x1badb002u + 0x10000u));
	p = put32(p, LOAD);		/* of the header */
	p = put32(p, LOAD);
	p = put32(p, 0);
	p = put32(p, 0);
	put32(p, CODE);
	memcpy(image + 32, code, sizeof code);
	store32(image + 32 + 6, byte * 0x01010101u);
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(image, 1, sizeof image, f), sizeof image);
	ck_assert_int_eq(fclose(f), 0);
}

static struct vm *create(unsigned i, u8 byte)
{
	struct config cfg = { .kernel = path[i], .mem = 16u << 20, .cpus = 1, .debug_exit = true,
			      .cache_size = 4u << 20, .block_insns = BLOCK_INSNS_MAX };
	struct vm *v;

	snprintf(path[i], sizeof path[i], "/tmp/ringer-test-two.%d.%u", (int)getpid(), i);
	write_image(path[i], byte);
	v = vm_create(&cfg, err, sizeof err);
	ck_assert_msg(v != NULL, "%s", err);
	ck_assert_msg(vm_boot(v, err, sizeof err) == 0, "%s", err);
	return v;
}

static void setup(void)
{
	vm[0] = create(0, 3);
	vm[1] = create(1, 5);
}

static void teardown(void)
{
	for (unsigned i = 0; i < 2; i++) {
		vm_destroy(vm[i]);
		unlink(path[i]);
	}
}

static u64 now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000 + (u64)t.tv_nsec / 1000000;
}

/* Wait for its end; false if it has not come. */
static bool wait_for(struct vm *v)
{
	u64 end = now_ms() + 20000;
	struct pollfd p = { .fd = v->event_fd, .events = POLLIN };

	while (vm_stopped(v) == STOP_NONE && now_ms() < end)
		poll(&p, 1, 10);
	return vm_stopped(v) != STOP_NONE;
}

static void check_end(struct vm *v, u8 byte)
{
	ck_assert(wait_for(v));
	ck_assert_int_eq(vm_stopped(v), STOP_DEBUG_EXIT);
	ck_assert_int_eq(stop_status(v), ((byte * 8) & 0x7f) << 1 | 1);
	vm_join(v);
	ck_assert_uint_eq(v->phys.ram[AREA], byte);
	ck_assert_uint_gt(v->shared->counters.dispatches, 0);
}

START_TEST(nothing_is_shared)
{
	ck_assert_ptr_ne(vm[0]->shared, vm[1]->shared);
	ck_assert_ptr_ne(vm[0]->phys.ram, vm[1]->phys.ram);
	ck_assert_ptr_ne(vm[0]->pc, vm[1]->pc);
	ck_assert_int_ne(vm[0]->phys.ram_fd, vm[1]->phys.ram_fd);
	vm[0]->phys.ram[AREA] = 1;
	ck_assert_uint_eq(vm[1]->phys.ram[AREA], 0);
}
END_TEST

START_TEST(both_run_at_once)
{
	ck_assert_int_eq(vm_start(vm[0], err, sizeof err), 0);
	ck_assert_int_eq(vm_start(vm[1], err, sizeof err), 0);
	check_end(vm[0], 3);
	check_end(vm[1], 5);
}
END_TEST

/* The slot of one that is gone is free again; the other runs on. */
START_TEST(they_come_and_go)
{
	void *ram = vm[0]->phys.ram;

	for (unsigned i = 0; i < 3; i++) {
		vm_destroy(vm[0]);
		vm[0] = create(0, 3);
		ck_assert_ptr_eq(vm[0]->phys.ram, ram);
	}
	ck_assert_int_eq(vm_start(vm[1], err, sizeof err), 0);
	vm_destroy(vm[0]);
	vm[0] = create(0, 9);
	ck_assert_int_eq(vm_start(vm[0], err, sizeof err), 0);
	check_end(vm[1], 5);
	check_end(vm[0], 9);
}
END_TEST

START_TEST(reset_builds_anew)
{
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(vm_start(vm[0], err, sizeof err), 0);
		check_end(vm[0], 3);
		ck_assert_msg(vm_boot(vm[0], err, sizeof err) == 0, "%s", err);
		ck_assert_int_eq(vm_stopped(vm[0]), STOP_NONE);
	}
}
END_TEST

/* What a hostile executor leaves in the arena hurts nobody. */
START_TEST(a_forged_arena_is_only_numbers)
{
	struct profile_row rows[PROFILE_MAX];

	ck_assert_int_eq(vm_start(vm[0], err, sizeof err), 0);
	check_end(vm[0], 3);
	memset(vm[0]->shared, 0xa5, sizeof *vm[0]->shared);
	memset(vm[0]->pc, 0xa5, pc_size());
	memset(vm[0]->vcpu[0], 0xa5, 1 << 20);
	ck_assert_int_eq(vm_stopped(vm[0]), STOP_DEBUG_EXIT);
	vm_measure_memory(vm[0]);
	vm_interrupts(vm[0]);
	ck_assert_uint_le(vm_profile(vm[0], rows, PROFILE_MAX), PROFILE_MAX);
	ck_assert_msg(vm_boot(vm[0], err, sizeof err) == 0, "%s", err);
	ck_assert_int_eq(vm_start(vm[0], err, sizeof err), 0);
	check_end(vm[0], 3);
}
END_TEST

/* An executor's memory map has its own machine only. */
START_TEST(an_executor_has_forgotten_the_other)
{
	char file[64], line[512], other[32];
	bool own = false;
	FILE *f;

	/* Early in the guest's loop: the executor has done so before its guest runs. */
	ck_assert_int_eq(vm_start(vm[1], err, sizeof err), 0);
	while (!vm[1]->phys.ram[AREA] && vm_stopped(vm[1]) == STOP_NONE)
		poll(NULL, 0, 1);
	kill(vm[1]->executor_pid, SIGSTOP);
	snprintf(file, sizeof file, "/proc/%d/maps", vm[1]->executor_pid);
	snprintf(other, sizeof other, "%llx-", (unsigned long long)(uintptr_t)vm[0]->phys.ram);
	f = fopen(file, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof line, f)) {
		unsigned long long from = strtoull(line, NULL, 16);

		own |= from == (uintptr_t)vm[1]->phys.ram;
		ck_assert_msg(from != (uintptr_t)vm[0]->phys.ram && from != (uintptr_t)vm[0]->shared,
			      "the other machine's memory: %s", line);
	}
	fclose(f);
	ck_assert(own);
	kill(vm[1]->executor_pid, SIGCONT);
	check_end(vm[1], 5);
}
END_TEST

START_TEST(stopped_from_outside)
{
	ck_assert_int_eq(vm_start(vm[0], err, sizeof err), 0);
	vm_stop(vm[0], STOP_TIMEOUT, 0);
	vm_join(vm[0]);
	ck_assert_int_eq(vm_stopped(vm[0]), STOP_TIMEOUT);
	ck_assert_int_eq(stop_status(vm[0]), EXIT_TIMEOUT);
	ck_assert_int_eq(vm[0]->executor_pid, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("two machines");
	TCase *t = tcase_create("two machines");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, nothing_is_shared);
	tcase_add_test(t, both_run_at_once);
	tcase_add_test(t, they_come_and_go);
	tcase_add_test(t, reset_builds_anew);
	tcase_add_test(t, a_forged_arena_is_only_numbers);
	tcase_add_test(t, an_executor_has_forgotten_the_other);
	tcase_add_test(t, stopped_from_outside);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
