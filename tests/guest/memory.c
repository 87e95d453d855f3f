#define _GNU_SOURCE
/*
 * Memory management as a program sees it: mmap and its relatives, copy on
 * write, sharing, stack growth, and bad pointers handed to the kernel.
 */
#include "check.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

enum { PAGE = 4096, RW = PROT_READ | PROT_WRITE, ANON = MAP_PRIVATE | MAP_ANONYMOUS, SHARED = MAP_SHARED | MAP_ANONYMOUS };

static sigjmp_buf escape;

static void jump(int sig)
{
	siglongjmp(escape, sig);
}

/* The signal that reading (or writing) this byte raises, or 0. */
static int probe(volatile u8 *p, bool write)
{
	int sig;

	signal(SIGSEGV, jump);
	signal(SIGBUS, jump);
	sig = sigsetjmp(escape, 1);
	if (sig == 0) {
		if (write)
			*p = *p;
		else
			(void)*p;
	}
	return sig;
}

TEST(anonymous)
{
	for (int round = 0; round < 20; round++) {
		u8 *p = MAP(NULL, 64 * PAGE, RW, ANON, -1, 0);

		for (int i = 0; i < 64 * PAGE; i += 512)
			CHECK_EQ(p[i], 0);
		memset(p, round + 1, 64 * PAGE);
		SYS(munmap(p, 64 * PAGE));
		CHECK_EQ(probe(p + 8 * PAGE, false), SIGSEGV);
	}
}

TEST(munmap_holes)
{
	u8 *p = MAP(NULL, 64 * PAGE, RW, ANON, -1, 0);

	memset(p, 1, 64 * PAGE);
	for (int i = 1; i < 64; i += 2)
		SYS(munmap(p + i * PAGE, PAGE));
	for (int i = 0; i < 64; i++)
		CHECK_EQ(probe(p + i * PAGE + 100, true), i % 2 ? SIGSEGV : 0);
	for (int i = 1; i < 64; i += 2)
		CHECK(MAP(p + i * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0) == p + i * PAGE);
	for (int i = 0; i < 64; i++)
		CHECK_EQ(p[i * PAGE], i % 2 ? 0 : 1);
}

TEST(map_fixed_over)
{
	u8 *p = MAP(NULL, 16 * PAGE, RW, ANON, -1, 0);

	for (int round = 1; round < 50; round++) {
		p[3 * PAGE] = round;
		MAP(p + 3 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
		CHECK_EQ(p[3 * PAGE], 0);
	}
}

TEST(mprotect_patterns)
{
	enum { N = 48 };
	static const int prots[] = { PROT_NONE, PROT_READ, RW, PROT_READ | PROT_EXEC };
	u8 *p = MAP(NULL, N * PAGE, RW, ANON, -1, 0);
	u32 s = 3;
	int prot[N];

	for (int i = 0; i < N; i++) {
		p[i * PAGE + 5] = i + 1;
		prot[i] = 2;
	}
	for (int round = 0; round < 60; round++) {
		int from = check_rand(&s) % N, n = 1 + check_rand(&s) % (N - from), k = check_rand(&s) % 4;

		SYS(mprotect(p + from * PAGE, n * PAGE, prots[k]));
		for (int i = from; i < from + n; i++)
			prot[i] = k;
		for (int i = check_rand(&s) % 3; i < N; i += 3) {
			CHECK_EQ(probe(p + i * PAGE + 5, false), prot[i] == 0 ? SIGSEGV : 0);
			CHECK_EQ(probe(p + i * PAGE + 5, true), prot[i] == 2 ? 0 : SIGSEGV);
			if (prot[i])
				CHECK_EQ(p[i * PAGE + 5], i + 1);
		}
	}
}

TEST(mprotect_megabyte)
{
	u8 *p = MAP(NULL, 1 << 20, RW, ANON, -1, 0);

	for (int round = 0; round < 30; round++) {
		for (int i = 0; i < 256; i++)
			p[i * PAGE] = round + i;
		SYS(mprotect(p, 1 << 20, PROT_READ));
		CHECK_EQ(probe(p + (round * 7 % 256) * PAGE, true), SIGSEGV);
		for (int i = 0; i < 256; i++)
			CHECK_EQ(p[i * PAGE], (u8)(round + i));
		SYS(mprotect(p, 1 << 20, RW));
	}
}

TEST(mremap)
{
	u32 *p = MAP(NULL, 8 * PAGE, RW, ANON, -1, 0), *q;

	for (int i = 0; i < 8; i++)
		p[i * 1024] = i;
	for (int round = 0; round < 20; round++) {
		u8 *blocker;

		q = mremap(p, 8 * PAGE, (16 + round) * PAGE, MREMAP_MAYMOVE);
		CHECK(q != MAP_FAILED);
		if (q != p)
			CHECK_EQ(probe((u8 *)p, false), SIGSEGV);
		for (int i = 0; i < 16 + round; i++)
			CHECK_EQ(q[i * 1024], i < 8 ? i : 0);
		p = mremap(q, (16 + round) * PAGE, 8 * PAGE, 0);
		CHECK(p == q);
		CHECK_EQ(probe((u8 *)(p + 9 * 1024), false), SIGSEGV);
		blocker = MAP((u8 *)p + 8 * PAGE, PAGE, PROT_READ, ANON | MAP_FIXED, -1, 0);
		q = mremap(p, 8 * PAGE, 9 * PAGE, MREMAP_MAYMOVE);
		CHECK(q != MAP_FAILED && q != p);
		SYS(munmap(blocker, PAGE));
		p = mremap(q, 9 * PAGE, 8 * PAGE, 0);
	}
}

TEST(madvise_dontneed)
{
	u8 *p = MAP(NULL, 32 * PAGE, RW, ANON, -1, 0);

	for (int round = 1; round < 30; round++) {
		for (int i = 0; i < 32; i++)
			p[i * PAGE] = round;
		SYS(madvise(p + 8 * PAGE, 8 * PAGE, MADV_DONTNEED));
		for (int i = 0; i < 32; i++)
			CHECK_EQ(p[i * PAGE], i >= 8 && i < 16 ? 0 : round);
	}
}

TEST(brk)
{
	u8 *start = sbrk(0);

	for (int round = 0; round < 10; round++) {
		CHECK(sbrk(40 * PAGE) == start);
		for (int i = 0; i < 40; i++) {
			CHECK_EQ(start[i * PAGE + 2048], 0);
			start[i * PAGE + 2048] = 9;
		}
		CHECK(sbrk(-40 * PAGE) == start + 40 * PAGE);
	}
}

TEST(zero_page_then_write)
{
	u8 *p = MAP(NULL, 200 * PAGE, RW, ANON, -1, 0);
	u32 sum = 0;

	for (int i = 0; i < 200; i++)
		sum += p[i * PAGE];		/* all the same page of zeroes so far */
	CHECK_EQ(sum, 0);
	for (int i = 0; i < 200; i += 2)
		p[i * PAGE] = 1;
	for (int i = 0; i < 200; i++)
		CHECK_EQ(p[i * PAGE], i % 2 == 0);
}

TEST(copy_on_write)
{
	enum { N = 300 };
	u32 *p = MAP(NULL, N * PAGE, RW, ANON, -1, 0);

	for (int i = 0; i < N; i++)
		p[i * 1024] = i;
	for (int round = 0; round < 8; round++) {
		int pid = SYS(fork());
		u32 add = pid ? 1 : 1000;

		/* Both sides write first to different halves, then to the other's. */
		for (int i = 0; i < N; i++) {
			int k = pid ? i : N - 1 - i;

			CHECK_EQ(p[k * 1024], k + round);
			p[k * 1024] += add;
			CHECK_EQ(p[k * 1024], k + round + add);
		}
		if (pid == 0)
			_exit(0);
		check_wait(pid, 0);
	}
}

/* The parent writes while the child only reads, and the other way round, in a chain of forks. */
static void cow_chain(u32 *p, int depth)
{
	int pid;

	if (depth == 0)
		return;
	p[depth * 1024] = depth;
	pid = SYS(fork());
	if (pid == 0) {
		cow_chain(p, depth - 1);
		for (int i = 1; i <= 12; i++)
			CHECK_EQ(p[i * 1024], i);
		_exit(0);
	}
	p[depth * 1024] = 5555;
	check_wait(pid, 0);
	CHECK_EQ(p[depth * 1024], 5555);
	p[depth * 1024] = depth;
}

TEST(copy_on_write_chain)
{
	u32 *p = MAP(NULL, 16 * PAGE, RW, ANON, -1, 0);

	for (int i = 0; i < 16; i++)
		p[i * 1024] = i;
	cow_chain(p, 12);
}

TEST(shared_between_processes)
{
	u32 *p = MAP(NULL, 64 * PAGE, RW, SHARED, -1, 0);
	int pids[4];

	for (int k = 0; k < 4; k++) {
		pids[k] = SYS(fork());
		if (pids[k] == 0) {
			for (int n = 0; n < 2000; n++)
				__atomic_add_fetch(&p[(n % 64) * 1024], 1, __ATOMIC_SEQ_CST);
			_exit(0);
		}
	}
	for (int k = 0; k < 4; k++)
		check_wait(pids[k], 0);
	for (int i = 0; i < 64; i++)
		CHECK_EQ(p[i * 1024], 4 * (2000 / 64 + (i < 2000 % 64)));
}

TEST(shm_sysv)
{
	int id = SYS(shmget(IPC_PRIVATE, 3 * PAGE, IPC_CREAT | 0600));
	u32 *a = shmat(id, NULL, 0), *b = shmat(id, NULL, SHM_RDONLY);
	int pid;

	CHECK(a != (void *)-1 && b != (void *)-1 && a != b);
	shmctl(id, IPC_RMID, NULL);
	for (int i = 0; i < 3; i++) {
		a[i * 1024] = i + 7;
		CHECK_EQ(b[i * 1024], i + 7);
	}
	CHECK_EQ(probe((u8 *)b, true), SIGSEGV);
	pid = SYS(fork());
	if (pid == 0) {
		a[1024] = 99;
		_exit(0);
	}
	check_wait(pid, 0);
	CHECK_EQ(b[1024], 99);
	SYS(shmdt(a));
	SYS(shmdt(b));
}

/* One page of a file at many addresses at once. */
TEST(aliases)
{
	int fd = SYS(memfd_create("alias", 0));
	volatile u32 *v[8];

	SYS(ftruncate(fd, 4 * PAGE));
	for (int k = 0; k < 8; k++)
		v[k] = MAP(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
	for (int n = 0; n < 400; n++) {
		v[n % 8][(n % 4) * 1024 + n] = n;
		for (int k = 0; k < 8; k++)
			CHECK_EQ(v[k][(n % 4) * 1024 + n], n);
	}
	SYS(ftruncate(fd, PAGE));
	CHECK_EQ(probe((u8 *)v[5] + 2 * PAGE, false), SIGBUS);
}

TEST(file_mappings)
{
	char path[] = "/tmp/ringer-map-XXXXXX";
	static u8 buf[8 * PAGE], back[8 * PAGE];
	int fd = SYS(mkstemp(path));
	u8 *priv, *shared;
	u32 s = 77;

	unlink(path);
	for (unsigned i = 0; i < sizeof buf; i++)
		buf[i] = check_rand(&s);
	CHECK_EQ(write(fd, buf, sizeof buf), sizeof buf);
	priv = MAP(NULL, sizeof buf, RW, MAP_PRIVATE, fd, 0);
	shared = MAP(NULL, sizeof buf, RW, MAP_SHARED, fd, 0);
	CHECK(memcmp(priv, buf, sizeof buf) == 0);
	for (int i = 0; i < 8; i++) {
		priv[i * PAGE + 10] ^= 0xff;
		CHECK_EQ(shared[i * PAGE + 10], buf[i * PAGE + 10]);
		shared[i * PAGE + 20] ^= 0xff;
	}
	SYS(msync(shared, sizeof buf, MS_SYNC));
	CHECK_EQ(pread(fd, back, sizeof back, 0), sizeof back);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(back[i * PAGE + 20], buf[i * PAGE + 20] ^ 0xff);
	/* The kernel writes to the page; the mapping sees it. */
	CHECK_EQ(pwrite(fd, "hello", 5, 3 * PAGE), 5);
	CHECK(memcmp(shared + 3 * PAGE, "hello", 5) == 0);
}

static u32 deep(volatile u8 *up, int left)
{
	volatile u8 frame[2000];

	frame[0] = left;
	frame[1999] = up[0];
	return left ? deep(frame, left - 1) + frame[0] : 0;
}

TEST(stack_growth)
{
	u8 c = 0;

	CHECK(deep(&c, 3000) > 0);	/* 6 MB */
	CHECK(deep(&c, 3000) > 0);
}

/* Many page tables: one page in every 4 MiB, then forks that must copy them all. */
TEST(scattered)
{
	u32 *p[300];
	int n = 0;

	for (u32 a = 0x20000000; a < 0x70000000 && n < 300; a += 0x400000) {
		p[n] = mmap((void *)a, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
		if (p[n] != MAP_FAILED) {
			*p[n] = n;
			n++;
		}
	}
	CHECK(n > 200);
	for (int round = 0; round < 3; round++) {
		int pid = SYS(fork());

		for (int i = 0; i < n; i++) {
			CHECK_EQ(*p[i], i + round);
			*p[i] += 1;
		}
		if (pid == 0)
			_exit(0);
		check_wait(pid, 0);
	}
	for (int i = 0; i < n; i++)
		SYS(munmap(p[i], PAGE));
}

TEST(large_sparse)
{
	enum { MB = 48 };
	u32 *p = MAP(NULL, MB << 20, RW, ANON | MAP_NORESERVE, -1, 0), sum = 0;

	for (u32 i = 0; i < MB << 8; i++)
		p[i * 1024 + (i & 1023)] = i;
	for (u32 i = 0; i < MB << 8; i++)
		sum += p[i * 1024 + (i & 1023)];
	CHECK_EQ(sum, (u32)((MB << 8) * ((MB << 8) - 1) / 2));
	SYS(munmap(p, MB << 20));
}

/* Transparent huge pages, where the kernel has them, made, split and merged. */
TEST(huge_pages)
{
	u32 size = 12 << 20, s = 5;
	u8 *p = MAP(NULL, size, RW, ANON, -1, 0);

	madvise(p, size, MADV_HUGEPAGE);
	for (u32 i = 0; i < size; i += 4)
		*(u32 *)(p + i) = i;
	for (int n = 0; n < 40; n++) {
		u32 page = check_rand(&s) % (size / PAGE);

		SYS(mprotect(p + page * PAGE, PAGE, PROT_READ));
		CHECK_EQ(probe(p + page * PAGE, true), SIGSEGV);
		CHECK_EQ(*(u32 *)(p + page * PAGE + 12), page * PAGE + 12);
		SYS(mprotect(p + page * PAGE, PAGE, RW));
		if (n % 4 == 0) {
			SYS(madvise(p + page * PAGE, PAGE, MADV_DONTNEED));
			CHECK_EQ(p[page * PAGE + 100], 0);
			for (u32 i = 0; i < PAGE; i += 4)
				*(u32 *)(p + page * PAGE + i) = page * PAGE + i;
		}
	}
	for (u32 i = 0; i < size; i += 4)
		CHECK_EQ(*(u32 *)(p + i), i);
}

TEST(mincore_and_mlock)
{
	u8 *p = MAP(NULL, 16 * PAGE, RW, ANON, -1, 0), vec[16];

	p[3 * PAGE] = 1;
	SYS(mincore(p, 16 * PAGE, vec));
	CHECK_EQ(vec[3] & 1, 1);
	CHECK_EQ(vec[9] & 1, 0);
	SYS(mlock(p, 16 * PAGE));
	SYS(mincore(p, 16 * PAGE, vec));
	for (int i = 0; i < 16; i++)
		CHECK_EQ(vec[i] & 1, 1);
	SYS(munlock(p, 16 * PAGE));
}

TEST(pagemap_of_other_process)
{
	static u32 theirs[3000], mine[3000];
	struct iovec local = { mine, sizeof mine }, remote = { theirs, sizeof theirs };
	int fd[2], pid, mem;
	char path[40], c;

	for (int i = 0; i < 3000; i++)
		theirs[i] = i;
	SYS(pipe(fd));
	pid = SYS(fork());
	if (pid == 0) {
		close(fd[1]);
		theirs[1500] = 424242;
		raise(SIGSTOP);
		CHECK_EQ(theirs[2500], 777);
		_exit(read(fd[0], &c, 1) != 0);
	}
	CHECK_EQ(SYS(waitpid(pid, NULL, WUNTRACED)), pid);
	CHECK_EQ(process_vm_readv(pid, &local, 1, &remote, 1, 0), sizeof mine);
	CHECK_EQ(mine[1500], 424242);
	CHECK_EQ(mine[2999], 2999);
	mine[0] = 777;
	local.iov_len = remote.iov_len = 4;
	remote.iov_base = &theirs[2500];
	CHECK_EQ(process_vm_writev(pid, &local, 1, &remote, 1, 0), 4);
	CHECK_EQ(theirs[2500], 2500);
	snprintf(path, sizeof path, "/proc/%d/mem", pid);
	mem = SYS(open(path, O_RDWR));
	CHECK_EQ(pread(mem, mine, 4, (off_t)(uintptr_t)&theirs[2500]), 4);
	CHECK_EQ(mine[0], 777);
	SYS(kill(pid, SIGCONT));
	close(fd[1]);
	check_wait(pid, 0);
}

/*
 * Pointers that the kernel must survive: its own exception tables, in every
 * direction and at every kind of bad address.
 */
TEST(bad_pointers)
{
	u8 *two = MAP(NULL, 2 * PAGE, RW, ANON, -1, 0), *ro = MAP(NULL, PAGE, PROT_READ, ANON, -1, 0);
	void *bad[] = { NULL, (void *)8, (void *)0xfff, (void *)0xc0000000, (void *)0xc1000000, (void *)0xffffe000,
			(void *)0xffffffff, (void *)0xfffffff0, two + PAGE, two + PAGE - 1 };
	int zero = SYS(open("/dev/zero", O_RDONLY)), null = SYS(open("/dev/null", O_WRONLY)), fd[2];

	SYS(munmap(two + PAGE, PAGE));
	SYS(pipe(fd));
	for (int round = 0; round < 10; round++) {
		for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
			bool host_mapped = !check_in_guest() && (uintptr_t)bad[i] >= 0xc0000000;
			char name[16];

			if (host_mapped)
				continue;
			errno = 0;
			CHECK(syscall(SYS_pipe, bad[i]) == -1 && errno == EFAULT);
			CHECK(syscall(SYS_uname, bad[i]) == -1 && errno == EFAULT);
			CHECK(syscall(SYS_write, fd[1], bad[i], 64) != 64);
			while (syscall(SYS_fcntl, fd[0], F_SETFL, O_NONBLOCK) == 0 && read(fd[0], name, sizeof name) > 0)
				;
			CHECK(syscall(SYS_read, zero, bad[i], 64) != 64);
			CHECK(syscall(SYS_stat64, bad[i], two) == -1 && errno == EFAULT);
			CHECK(syscall(SYS_stat64, "/", bad[i]) == -1 && errno == EFAULT);
			CHECK(i == 0 || (syscall(SYS_gettimeofday, bad[i], NULL) == -1 && errno == EFAULT));
			CHECK(i == 0 || (syscall(SYS_rt_sigaction, SIGUSR1, bad[i], NULL, 8) == -1 && errno == EFAULT));
			CHECK(syscall(SYS_nanosleep, bad[i], NULL) == -1 && errno == EFAULT);
			CHECK(syscall(SYS_getcwd, bad[i], 100) == -1 && errno == EFAULT);
		}
		CHECK(syscall(SYS_read, zero, ro, 64) == -1 && errno == EFAULT);
		CHECK_EQ(syscall(SYS_read, zero, two + PAGE - 10, 100) <= 10, 1);
		CHECK_EQ(syscall(SYS_write, null, (void *)16, 100), 100);	/* never looked at */
	}
}

/* The kernel's copy touches user pages that are not there yet, or must be copied first. */
TEST(kernel_copies_fault_in)
{
	enum { N = 64 };
	int zero = SYS(open("/dev/zero", O_RDONLY)), mem = SYS(memfd_create("x", 0));
	u8 *p = MAP(NULL, N * PAGE, RW, ANON, -1, 0), *file;

	SYS(ftruncate(mem, N * PAGE));
	CHECK_EQ(read(zero, p, N * PAGE), N * PAGE);
	memset(p, 0x5a, N * PAGE);
	for (int round = 0; round < 4; round++) {
		int pid = SYS(fork());

		if (pid == 0) {
			CHECK_EQ(read(zero, p + 100, N * PAGE - 200), N * PAGE - 200);	/* breaks the sharing */
			CHECK_EQ(p[99], 0x5a);
			CHECK_EQ(p[100], 0);
			CHECK_EQ(p[N * PAGE - 101], 0);
			CHECK_EQ(p[N * PAGE - 100], 0x5a);
			_exit(0);
		}
		check_wait(pid, 0);
		for (int i = 0; i < N * PAGE; i += 64)
			CHECK_EQ(p[i], 0x5a);
	}
	CHECK_EQ(pwrite(mem, p, N * PAGE, 0), N * PAGE);
	file = MAP(NULL, N * PAGE, RW, MAP_PRIVATE, mem, 0);
	SYS(madvise(p, N * PAGE, MADV_DONTNEED));
	CHECK_EQ(write(mem, file, N * PAGE), N * PAGE);		/* reads the mapping for the first time */
	CHECK_EQ(pread(mem, p, N * PAGE, N * PAGE / 2), N * PAGE / 2);
	CHECK_EQ(p[17 * PAGE], 0x5a);
}

TEST(iovecs)
{
	enum { N = 200 };
	struct iovec out[N], in[N];
	static u8 a[N * 37], b[N * 37];
	int fd = SYS(memfd_create("iov", 0));
	u32 s = 4;

	for (unsigned i = 0; i < sizeof a; i++)
		a[i] = check_rand(&s);
	for (int i = 0; i < N; i++) {
		out[i] = (struct iovec){ a + i * 37, 37 };
		in[i] = (struct iovec){ b + i * 37, 37 };
	}
	CHECK_EQ(writev(fd, out, N), sizeof a);
	CHECK_EQ(preadv(fd, in, N, 0), sizeof b);
	CHECK(memcmp(a, b, sizeof a) == 0);
}

TEST(limits)
{
	struct rlimit l, old;

	SYS(getrlimit(RLIMIT_AS, &old));
	l = old;
	l.rlim_cur = 64 << 20;
	SYS(setrlimit(RLIMIT_AS, &l));
	CHECK(mmap(NULL, 100 << 20, RW, ANON, -1, 0) == MAP_FAILED && errno == ENOMEM);
	SYS(setrlimit(RLIMIT_AS, &old));
}

/* Low addresses that a program may have, where the host underneath is more strict. */
TEST(low_addresses)
{
	u32 min = 65536;
	FILE *f = fopen("/proc/sys/vm/mmap_min_addr", "r");
	volatile u8 *p;

	if (f) {
		CHECK_EQ(fscanf(f, "%u", &min), 1);
		fclose(f);
	}
	p = MAP((void *)(uintptr_t)min, 4 * PAGE, RW | PROT_EXEC, ANON | MAP_FIXED_NOREPLACE, -1, 0);
	for (int i = 0; i < 4 * PAGE; i += 256)
		p[i] = i / 256;
	for (int i = 0; i < 4 * PAGE; i += 256)
		CHECK_EQ(p[i], (u8)(i / 256));
	p[8] = 0xc3;
	((void (*)(void))(uintptr_t)(min + 8))();
}

/* Page zero, which the superuser may map: for DOS programs, and old bugs. */
TEST(page_zero)
{
	volatile u8 *zero = mmap(NULL, 2 * PAGE, RW | PROT_EXEC, ANON | MAP_FIXED, -1, 0);
	int fd = SYS(memfd_create("zero", 0));

	if (zero == MAP_FAILED)
		check_skip("not allowed: %s", strerror(errno));
	__asm__ volatile("" : "+r"(zero));	/* the compiler must not know it is null */
	for (int i = 0; i < 2 * PAGE; i += 4)
		*(volatile u32 *)(zero + i) = i * 3;
	for (int i = 0; i < 2 * PAGE; i += 4)
		CHECK_EQ(*(volatile u32 *)(zero + i), i * 3);
	*(volatile u32 *)(zero + PAGE - 2) = 0x11223344;	/* across the end of it */
	CHECK_EQ(*(volatile u16 *)(zero + PAGE), 0x1122);
	*(volatile double *)(zero + 64) = 1.5;
	CHECK(*(volatile double *)(zero + 64) * 2 == 3);
	CHECK_EQ(pwrite(fd, (void *)(uintptr_t)(zero + 8), 8, 0), 8);
	CHECK_EQ(pread(fd, (void *)(uintptr_t)(zero + 16), 8, 0), 8);
	CHECK_EQ(*(volatile u32 *)(zero + 16), 8 * 3);
	zero[32] = 0xb8, *(volatile u32 *)(zero + 33) = 4321, zero[37] = 0xc3;
	CHECK_EQ(((u32 (*)(void))(uintptr_t)(zero + 32))(), 4321);
	SYS(munmap((void *)(uintptr_t)zero, PAGE));
	CHECK_EQ(probe(zero + 8, false), SIGSEGV);
	CHECK_EQ(probe(zero + PAGE + 8, false), 0);
}
