#define _GNU_SOURCE
/*
 * Programs that write code: just-in-time compilers, patchers, trampolines.
 * However the new bytes arrive, the next call must run them.
 */
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

enum { PAGE = 4096, RW = PROT_READ | PROT_WRITE, RX = PROT_READ | PROT_EXEC, RWX = RW | PROT_EXEC,
       ANON = MAP_PRIVATE | MAP_ANONYMOUS };

typedef u32 (*code)(void);

/* mov $value, %eax; ret */
static void emit(u8 *p, u32 value)
{
	p[0] = 0xb8;
	memcpy(p + 1, &value, 4);
	p[5] = 0xc3;
}

TEST(flip_write_execute)
{
	u8 *p = MAP(NULL, PAGE, RW, ANON, -1, 0);

	for (u32 i = 0; i < 400; i++) {
		SYS(mprotect(p, PAGE, RW));
		emit(p + i * 8 % 4000, i * 3);
		SYS(mprotect(p, PAGE, RX));
		CHECK_EQ(((code)(p + i * 8 % 4000))(), i * 3);
	}
}

TEST(flip_many_pages)
{
	enum { N = 64 };
	u8 *p = MAP(NULL, N * PAGE, RW, ANON, -1, 0);

	for (u32 round = 0; round < 20; round++) {
		SYS(mprotect(p, N * PAGE, RW));
		for (int i = 0; i < N; i++)
			emit(p + i * PAGE + 16, round * 1000 + i);
		SYS(mprotect(p, N * PAGE, RX));
		for (int i = 0; i < N; i++)
			CHECK_EQ(((code)(p + i * PAGE + 16))(), round * 1000 + i);
	}
}

TEST(patch_in_place)
{
	u8 *p = MAP(NULL, PAGE, RWX, ANON, -1, 0);

	emit(p, 0);
	for (u32 i = 0; i < 20000; i++) {
		memcpy(p + 1, &i, 4);
		CHECK_EQ(((code)p)(), i);
	}
}

/* Code that changes the very next instruction: allowed on x86 when it is the same address. */
TEST(patch_next_instruction)
{
	static const u8 body[] = {
		0x8b, 0x44, 0x24, 0x04,			/* mov 4(%esp), %eax */
		0xa3, 0, 0, 0, 0,			/* mov %eax, imm of the next */
		0xb8, 0, 0, 0, 0,			/* mov $?, %eax */
		0xc3,
	};
	u8 *p = MAP(NULL, PAGE, RWX, ANON, -1, 0);
	u32 at = (uintptr_t)p + 10;

	memcpy(p, body, sizeof body);
	memcpy(p + 5, &at, 4);
	for (u32 i = 0; i < 2000; i++)
		CHECK_EQ(((u32 (*)(u32))p)(i * 7), i * 7);
}

TEST(loop_patches_itself)
{
	/* mov $0,%ecx; 1: incl imm; mov $imm,%eax; inc %ecx; cmp $1000,%ecx; jne 1b; ret */
	u8 *p = MAP(NULL, PAGE, RWX, ANON, -1, 0), *q = p;
	u32 at;

	*q++ = 0xb9; memset(q, 0, 4); q += 4;
	u8 *loop = q;

	*q++ = 0xff; *q++ = 0x05; at = (uintptr_t)q + 5; memcpy(q, &at, 4); q += 4;
	*q++ = 0xb8; memset(q, 0, 4); q += 4;
	*q++ = 0x41;
	*q++ = 0x81; *q++ = 0xf9; at = 1000; memcpy(q, &at, 4); q += 4;
	*q++ = 0x75; *q = (u8)(loop - (q + 1)); q++;
	*q++ = 0xc3;
	CHECK_EQ(((code)p)(), 1000);
	CHECK_EQ(((code)p)(), 2000);
}

TEST(two_views)
{
	int fd = SYS(memfd_create("jit", 0));
	u8 *w, *x;

	SYS(ftruncate(fd, 2 * PAGE));
	w = MAP(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);
	x = MAP(NULL, 2 * PAGE, RX, MAP_SHARED, fd, 0);
	for (u32 i = 0; i < 2000; i++) {
		u32 off = i % 2 ? 64 : PAGE - 3;	/* the second across the page boundary */

		emit(w + off, i);
		CHECK_EQ(((code)(x + off))(), i);
	}
}

TEST(kernel_writes_code)
{
	u8 *p = MAP(NULL, PAGE, RWX, ANON, -1, 0), buf[6];
	int fd = SYS(memfd_create("code", 0)), pipe_fd[2];
	struct iovec from = { buf, sizeof buf }, to = { p, sizeof buf };

	SYS(pipe(pipe_fd));
	for (u32 i = 0; i < 300; i++) {
		emit(buf, i);
		switch (i % 3) {
		case 0:
			CHECK_EQ(pwrite(fd, buf, 6, 0), 6);
			CHECK_EQ(pread(fd, p, 6, 0), 6);
			break;
		case 1:
			CHECK_EQ(write(pipe_fd[1], buf, 6), 6);
			CHECK_EQ(read(pipe_fd[0], p, 6), 6);
			break;
		case 2:
			CHECK_EQ(process_vm_writev(getpid(), &from, 1, &to, 1, 0), 6);
			break;
		}
		CHECK_EQ(((code)p)(), i);
	}
}

TEST(remapped)
{
	int fd = SYS(memfd_create("pages", 0));
	u8 *w, *p = MAP(NULL, PAGE, RX, ANON, -1, 0);

	SYS(ftruncate(fd, 8 * PAGE));
	w = MAP(NULL, 8 * PAGE, RW, MAP_SHARED, fd, 0);
	for (int i = 0; i < 8; i++)
		emit(w + i * PAGE, 100 + i);
	for (int i = 0; i < 200; i++) {
		MAP(p, PAGE, RX, MAP_SHARED | MAP_FIXED, fd, (i % 8) * PAGE);
		CHECK_EQ(((code)p)(), 100 + i % 8);
	}
	for (int i = 0; i < 30; i++) {
		SYS(munmap(p, PAGE));
		CHECK(MAP(p, PAGE, RWX, ANON | MAP_FIXED, -1, 0) == p);
		emit(p, 5000 + i);
		CHECK_EQ(((code)p)(), 5000 + i);
	}
}

TEST(after_fork)
{
	u8 *p = MAP(NULL, PAGE, RWX, ANON, -1, 0);

	emit(p, 1);
	CHECK_EQ(((code)p)(), 1);
	for (int i = 0; i < 20; i++) {
		int pid = SYS(fork());

		if (pid == 0) {
			CHECK_EQ(((code)p)(), 1 + i);
			emit(p, 777);
			CHECK_EQ(((code)p)(), 777);
			_exit(0);
		}
		check_wait(pid, 0);
		CHECK_EQ(((code)p)(), 1 + i);
		emit(p, 2 + i);
		CHECK_EQ(((code)p)(), 2 + i);
	}
}

TEST(on_the_stack)
{
	u8 buf[32] __attribute__((aligned(32)));	/* within one page */

	SYS(mprotect((void *)((uintptr_t)buf & -PAGE), PAGE, RWX));
	for (u32 i = 0; i < 200; i++) {
		emit(buf, i);
		CHECK_EQ(((code)buf)(), i);
	}
}

/* Data beside code on one page: every store is to a page with running code. */
TEST(data_beside_code)
{
	u8 *p = MAP(NULL, PAGE, RWX, ANON, -1, 0);
	volatile u32 *data = (u32 *)(p + 2048);

	emit(p, 42);
	for (int i = 0; i < 20000; i++) {
		data[i % 512] += i;
		if (i % 10 == 0)
			CHECK_EQ(((code)p)(), 42);
	}
}

static volatile u8 *patched;
static volatile int stop;

static void *runner(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		u32 v = ((code)(uintptr_t)patched)();

		CHECK_MSG(v == 0x11111111 || v == 0x22222222, "torn code: 0x%x", v);
		sched_yield();
	}
	return arg;
}

TEST(patched_by_another_thread)
{
	pthread_t t;

	patched = MAP(NULL, PAGE, RWX, ANON, -1, 0);
	/* The immediate is aligned: the store is atomic. */
	emit((u8 *)(uintptr_t)patched + 3, 0x11111111);
	patched += 3;
	CHECK_EQ(pthread_create(&t, NULL, runner, NULL), 0);
	for (int i = 0; i < 2000; i++) {
		*(volatile u32 *)(patched + 1) = i % 2 ? 0x11111111 : 0x22222222;
		if (i % 50 == 0)
			sched_yield();
	}
	stop = 1;
	pthread_join(t, NULL);
}

/*
 * Code full of system calls, copied elsewhere, read as data and overwritten: a
 * VMM that patches hot system-call sites must not let it be noticed.
 */
TEST(system_call_sites_moved)
{
	/* mov $20,%eax; int $0x80; ret */
	static const u8 getpid_site[] = { 0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3 };
	u8 *p = MAP(NULL, 2 * PAGE, RWX, ANON, -1, 0);
	u32 me = getpid();

	for (int k = 0; k < 6; k++) {
		u8 *site = p + k * 700;

		memcpy(site, getpid_site, sizeof getpid_site);
		for (int i = 0; i < 3000; i++)
			CHECK_EQ(((code)site)(), me);
		/* Entered in the middle, with a number of one's own. */
		u32 r;

		__asm__ volatile("call *%1" : "=a"(r) : "r"(site + 5), "a"(64 /* getppid */) : "memory");
		CHECK_EQ(r, getppid());
		/* Moved while hot. */
		memcpy(p + PAGE + k * 64, site, sizeof getpid_site);
		CHECK_EQ(((code)(p + PAGE + k * 64))(), me);
		emit(site, 1234 + k);
		CHECK_EQ(((code)site)(), 1234 + k);
		memcpy(site, getpid_site, sizeof getpid_site);
		site[1] = 64;
		for (int i = 0; i < 100; i++)
			CHECK_EQ(((code)site)(), getppid());
	}
}

TEST(system_call_sites_read_back)
{
	extern u8 hot_site[], hot_site_end[];
	u8 before[16], after[16];
	u32 r;

	memcpy(before, hot_site, hot_site_end - hot_site);
	for (int i = 0; i < 20000; i++)
		__asm__ volatile("call hot_site" : "=a"(r) :: "memory");
	CHECK_EQ(r, getpid());
	memcpy(after, hot_site, hot_site_end - hot_site);
	CHECK_MSG(memcmp(before, after, hot_site_end - hot_site) == 0,
		  "the program's code reads %02x %02x %02x %02x %02x %02x %02x now", after[0], after[1], after[2], after[3],
		  after[4], after[5], after[6]);
}

__asm__(".text\n.balign 16\n.globl hot_site, hot_site_end\n"
	"hot_site: movl $20, %eax; int $0x80; ret\nhot_site_end:\n");

/* A site at the end of a page: five bytes of mov before the boundary, int after it; and split in its middle. */
TEST(system_call_site_across_pages)
{
	static const u8 getpid_site[] = { 0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3 };
	u8 *p = MAP(NULL, 2 * PAGE, RWX, ANON, -1, 0);
	u32 me = getpid();

	for (int before = 1; before < 8; before++) {
		memcpy(p + PAGE - before, getpid_site, sizeof getpid_site);
		for (int i = 0; i < 2000; i++)
			CHECK_EQ(((code)(p + PAGE - before))(), me);
		memset(p + PAGE - before, 0xcc, 8);
	}
}
