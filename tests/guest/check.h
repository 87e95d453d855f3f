/*
 * The harness of the test programs that run inside a guest (and, to check the
 * tests themselves, natively on the host).
 *
 * A program is a list of TEST(name) { ... } blocks.  Each runs in a process of
 * its own, with a time limit; it passes if it returns.  Failure is CHECK: the
 * first one in the test's process, its threads or its children wins.  Output is
 * one line a test, "ok PROGRAM/NAME" or "FAIL PROGRAM/NAME: why"; INFO adds an
 * indented line.  Arguments of the program pick tests by name.
 */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

void check_register(const char *name, void (*fn)(void));
_Noreturn void check_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The test cannot run here (a missing CPU feature, another kernel): shown as "skip". */
_Noreturn void check_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void check_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A program that executes itself defines this; called for argv[1] == "--child". */
int check_child(int argc, char **argv);

/* Wait for pid and demand that it exits with this status. */
void check_wait(int pid, int status);
/* Fork; the child runs fn(arg) and exits 0. */
int check_fork(void (*fn)(int), int arg);

u64 check_now_ns(void);		/* CLOCK_MONOTONIC by system call */
u32 check_rand(u32 *state);	/* xorshift, for deterministic data */
u32 check_hash(const void *p, size_t n);	/* FNV-1a */
bool check_in_guest(void);	/* under our initramfs, not on somebody's host */

#define TEST(name) \
	static void test_##name(void); \
	__attribute__((constructor)) static void register_##name(void) { check_register(#name, test_##name); } \
	static void test_##name(void)

#define CHECK(cond) \
	do { if (!(cond)) check_fail(__FILE__, __LINE__, "%s", #cond); } while (0)
#define CHECK_MSG(cond, ...) \
	do { if (!(cond)) check_fail(__FILE__, __LINE__, __VA_ARGS__); } while (0)
#define CHECK_EQ(a, b) \
	do { \
		long long a_ = (long long)(a), b_ = (long long)(b); \
		if (a_ != b_) check_fail(__FILE__, __LINE__, "%s is %lld (0x%llx), not %lld (0x%llx)", #a, a_, a_, b_, b_); \
	} while (0)
/* A system call that must succeed. */
#define SYS(call) \
	({ long r_ = (long)(call); if (r_ == -1) check_fail(__FILE__, __LINE__, "%s: %s", #call, strerror(errno)); r_; })
#define MAP(...) \
	({ void *p_ = mmap(__VA_ARGS__); if (p_ == MAP_FAILED) check_fail(__FILE__, __LINE__, "mmap: %s", strerror(errno)); p_; })

#endif
