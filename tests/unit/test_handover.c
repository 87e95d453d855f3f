/*
 * Pausing, resuming and switching: the guest counts in a register and in memory,
 * and finds out itself if anything of it has been lost.
 *
 * The guest is an image made here: multiboot, a loop at 1 MiB that keeps a sum
 * in registers, the x87 stack and memory, checks that they agree, and leaves by the
 * debug-exit port when memory says so (0) or when they do not agree (1).
 *
 * Switching to hw runs where /dev/kvm makes a VM at all, software or not: these
 * few instructions every KVM can do.
 */
#define _GNU_SOURCE
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "cpu/kvm_host.h"
#include "vmm/vm.h"

#define LOAD  0x100000u
#define CODE  (LOAD + 32)
#define COUNT 0x200000u		/* the guest's count */
#define END   0x200004u		/* set by the test: leave */

static char path[64];
static struct vm *vm;
static char err[256];

static void write_image(void)
{
	static const u8 code[] = {
		0x31, 0xc0,				/* xor %eax, %eax */
		0x31, 0xdb,				/* xor %ebx, %ebx */
		0xbd, 0x78, 0x56, 0x34, 0x12,		/* mov $0x12345678, %ebp */
		/* 1: */
		0x40,					/* inc %eax */
		0x4b,					/* dec %ebx */
		0x89, 0x05, 0x00, 0x00, 0x20, 0x00,	/* mov %eax, COUNT */
		0x8b, 0x0d, 0x00, 0x00, 0x20, 0x00,	/* mov COUNT, %ecx */
		0x01, 0xd9,				/* add %ebx, %ecx */
		0x75, 0x18,				/* jnz bad */
		0x81, 0xfd, 0x78, 0x56, 0x34, 0x12,	/* cmp $0x12345678, %ebp */
		0x75, 0x10,				/* jnz bad */
		0x83, 0x3d, 0x04, 0x00, 0x20, 0x00, 0x00, /* cmpl $0, END */
		0x74, 0xdd,				/* je 1b */
		0x30, 0xc0,				/* xor %al, %al */
		0xe6, 0xf4,				/* out %al, $0xf4 */
		0xf4, 0xeb, 0xfd,			/* hlt; jmp . - 1 */
		/* bad: */
		0xb0, 0x01,				/* mov $1, %al */
		0xe6, 0xf4,				/* out %al, $0xf4 */
		0xf4, 0xeb, 0xfd,
	};
	u8 image[4096] = { 0 };
	const u32 head[] = { 0x1badb002, 0x10000, -(0x1badb002u + 0x10000u), LOAD, LOAD, 0, 0, CODE };
	FILE *f = fopen(path, "w");

	memcpy(image, head, sizeof head);
	memcpy(image + 32, code, sizeof code);
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(image, 1, sizeof image, f), sizeof image);
	ck_assert_int_eq(fclose(f), 0);
}

static void make(enum irqchip chip)
{
	struct config cfg = { .kernel = path, .mem = 16u << 20, .cpus = 1, .debug_exit = true, .hw_force = true,
			      .irqchip = chip, .cache_size = 4u << 20, .block_insns = BLOCK_INSNS_MAX };

	snprintf(path, sizeof path, "/tmp/ringer-test-handover.%d", (int)getpid());
	write_image();
	vm = vm_create(&cfg, err, sizeof err);
	ck_assert_msg(vm != NULL, "%s", err);
	ck_assert_msg(vm_boot(vm, err, sizeof err) == 0, "%s", err);
	ck_assert_msg(vm_start(vm, err, sizeof err) == 0, "%s", err);
}

static void setup(void) { make(IRQCHIP_USER); }

static void teardown(void)
{
	vm_destroy(vm);
	unlink(path);
}

static u32 count(void) { return __atomic_load_n((u32 *)(vm->phys.ram + COUNT), __ATOMIC_RELAXED); }

static u64 now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000 + (u64)t.tv_nsec / 1000000;
}

/* The guest counts on, within a time that is generous even for software. */
static void check_progress(void)
{
	u32 from = count();
	u64 end = now_ms() + 20000;

	while (count() - from < 1000 && now_ms() < end && vm_stopped(vm) == STOP_NONE)
		poll(NULL, 0, 1);
	ck_assert_int_eq(vm_stopped(vm), STOP_NONE);
	ck_assert_uint_ge(count() - from, 1000);
}

static void check_good_end(void)
{
	u64 end = now_ms() + 20000;

	store32(vm->phys.ram + END, 1);
	while (vm_stopped(vm) == STOP_NONE && now_ms() < end)
		poll(NULL, 0, 1);
	ck_assert_int_eq(vm_stopped(vm), STOP_DEBUG_EXIT);
	ck_assert_int_eq(stop_status(vm), 1);	/* 0 << 1 | 1 */
	vm_join(vm);
}

START_TEST(a_paused_machine_stands_still)
{
	for (unsigned i = 0; i < 20; i++) {
		u32 at;

		check_progress();
		ck_assert_msg(vm_pause(vm, err, sizeof err) == 0, "%s", err);
		ck_assert(vm->paused);
		ck_assert_int_eq(vm->executor_pid, 0);
		at = count();
		ck_assert_int_eq(vm_pause(vm, err, sizeof err), 0);
		poll(NULL, 0, 2);
		ck_assert_uint_eq(count(), at);
		ck_assert_msg(vm_resume(vm, err, sizeof err) == 0, "%s", err);
		ck_assert(!vm->paused);
		ck_assert_int_eq(vm_resume(vm, err, sizeof err), 0);
	}
	ck_assert_uint_eq(vm->shared->counters.pauses, 20);
	check_good_end();
}
END_TEST

/* Somebody stops the executor, and lets it go on in the middle of the pause. */
START_TEST(a_stopped_executor_can_be_paused)
{
	for (unsigned i = 0; i < 60; i++) {
		struct timespec a_while = { 0, 1000000 + (i * 37 % 60) * 10000 };
		pid_t friend;

		check_progress();
		kill(vm->executor_pid, SIGSTOP);
		friend = fork();
		ck_assert_int_ge(friend, 0);
		if (friend == 0) {
			nanosleep(&a_while, NULL);
			kill(vm->executor_pid, SIGCONT);
			_exit(0);
		}
		ck_assert_msg(vm_pause(vm, err, sizeof err) == 0, "round %u: %s", i, err);
		waitpid(friend, NULL, 0);
		ck_assert_msg(vm_resume(vm, err, sizeof err) == 0, "%s", err);
	}
	check_good_end();
}
END_TEST

START_TEST(a_paused_machine_can_be_ended)
{
	check_progress();
	ck_assert_msg(vm_pause(vm, err, sizeof err) == 0, "%s", err);
	vm_stop(vm, STOP_QUIT, 0);
	vm_join(vm);
	ck_assert_int_eq(vm_stopped(vm), STOP_QUIT);
	ck_assert_int_eq(vm_resume(vm, err, sizeof err), -ESHUTDOWN);
}
END_TEST

START_TEST(a_stopped_machine_is_not_paused)
{
	check_good_end();
	ck_assert_int_eq(vm_pause(vm, err, sizeof err), -ESHUTDOWN);
	ck_assert_int_eq(vm_switch(vm, MODE_HW, err, sizeof err), -ESHUTDOWN);
}
END_TEST

/* An executor that dies is found, not waited for. */
START_TEST(a_dead_executor_is_no_hang)
{
	check_progress();
	kill(vm->executor_pid, SIGKILL);
	ck_assert_int_eq(vm_pause(vm, err, sizeof err), -ESHUTDOWN);
	ck_assert(!vm->paused);
	vm_stop(vm, STOP_EXECUTOR_DIED, 0);
	vm_join(vm);
}
END_TEST

/* Is there a KVM to switch to?  Says so if not. */
static bool has_kvm(void)
{
	struct kvm_host h;
	bool usable;

	kvm_host_probe(&h, true);
	usable = kvm_host_usable(&h, true);
	if (!usable)
		printf("skip: %s\n", h.text);
	kvm_host_free(&h);
	return usable;
}

static void switch_to(enum engine_mode to)
{
	ck_assert_msg(vm_switch(vm, to, err, sizeof err) == 0, "%s", err);
	ck_assert_int_eq((int)vm->engine, (int)to);
	check_progress();
}

static void to_and_fro(void)
{
	if (!has_kvm())
		return;
	for (unsigned i = 0; i < 10; i++) {
		u64 runs;

		switch_to(MODE_HW);
		runs = vm->shared->counters.dispatches;
		check_progress();
		ck_assert_uint_eq(vm->shared->counters.dispatches, runs);
		switch_to(MODE_BT);
		ck_assert_uint_gt(vm->shared->counters.dispatches, runs);
	}
	ck_assert_uint_eq(vm->switches, 20);
	check_good_end();
}

START_TEST(switching_loses_nothing) { to_and_fro(); }
END_TEST

START_TEST(switching_with_kvms_chips)
{
	teardown();
	make(IRQCHIP_KERNEL);
	to_and_fro();
}
END_TEST

START_TEST(switching_while_paused)
{
	if (!has_kvm())
		return;
	check_progress();
	ck_assert_msg(vm_pause(vm, err, sizeof err) == 0, "%s", err);
	ck_assert_msg(vm_switch(vm, MODE_HW, err, sizeof err) == 0, "%s", err);
	ck_assert(vm->paused);
	ck_assert_msg(vm_resume(vm, err, sizeof err) == 0, "%s", err);
	check_progress();
	ck_assert_msg(vm_pause(vm, err, sizeof err) == 0, "%s", err);
	ck_assert_msg(vm_resume(vm, err, sizeof err) == 0, "%s", err);
	check_progress();
	switch_to(MODE_BT);
	check_good_end();
}
END_TEST

/* A switch that cannot be: the machine goes on where it was. */
START_TEST(a_refused_switch_changes_nothing)
{
	int executor = vm->executor_pid;

	if (has_kvm())
		vm->cfg.hw_force = false;
	ck_assert_int_eq(vm_switch(vm, MODE_BT, err, sizeof err), 0);
	ck_assert_int_eq(vm->executor_pid, executor);
	if (vm_switch(vm, MODE_HW, err, sizeof err) < 0) {
		ck_assert_str_ne(err, "");
		ck_assert_int_eq(vm->executor_pid, executor);
		ck_assert_int_eq((int)vm->engine, MODE_BT);
	}
	check_progress();
	check_good_end();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("handover");
	TCase *t = tcase_create("handover");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_paused_machine_stands_still);
	tcase_add_test(t, a_stopped_executor_can_be_paused);
	tcase_add_test(t, a_paused_machine_can_be_ended);
	tcase_add_test(t, a_stopped_machine_is_not_paused);
	tcase_add_test(t, a_dead_executor_is_no_hang);
	tcase_add_test(t, switching_loses_nothing);
	tcase_add_test(t, switching_with_kvms_chips);
	tcase_add_test(t, switching_while_paused);
	tcase_add_test(t, a_refused_switch_changes_nothing);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
