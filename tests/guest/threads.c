#define _GNU_SOURCE
/*
 * Threads, futexes and thread-local storage.  Built statically, dynamically
 * and with musl: three ways to set up TLS.
 */
#include "check.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

/* With local-exec TLS on i386 these live at negative offsets from GS's base. */
static __thread u32 tls_zero;
static __thread u32 tls_init = 0xfeed1234;
static __thread char tls_big[3000];
static __thread u64 tls_aligned __attribute__((aligned(64))) = 77;

static void *start(pthread_t *t, void *(*fn)(void *), void *arg)
{
	int r = pthread_create(t, NULL, fn, arg);

	CHECK_MSG(r == 0, "pthread_create: %s", strerror(r));
	return NULL;
}

static void *join(pthread_t t)
{
	void *ret;

	CHECK_EQ(pthread_join(t, &ret), 0);
	return ret;
}

static u32 gs_selector(void)
{
	u16 gs;

	__asm__("mov %%gs, %0" : "=r"(gs));
	return gs;
}

static u32 gs_word(u32 offset)
{
	u32 v;

	__asm__ volatile("mov %%gs:(%1), %0" : "=r"(v) : "r"(offset));
	return v;
}

static void *plus_one(void *arg)
{
	return (char *)arg + 1;
}

TEST(create_join)
{
	for (int i = 0; i < 300; i++) {
		pthread_t t;

		start(&t, plus_one, (void *)(intptr_t)i);
		CHECK_EQ((intptr_t)join(t), i + 1);
	}
}

TEST(create_crowd)
{
	enum { N = 80 };
	pthread_t t[N];

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < N; i++)
			start(&t[i], plus_one, (void *)(intptr_t)i);
		for (int i = 0; i < N; i++)
			CHECK_EQ((intptr_t)join(t[i]), i + 1);
	}
}

static void *tls_user(void *arg)
{
	u32 me = (u32)(intptr_t)arg;

	CHECK_EQ(tls_zero, 0);
	CHECK_EQ(tls_init, 0xfeed1234);
	CHECK_EQ(tls_aligned, 77);
	CHECK_EQ((uintptr_t)&tls_aligned % 64, 0);
	memset(tls_big, (int)me, sizeof tls_big);
	for (int i = 0; i < 60; i++) {
		tls_zero += me;
		tls_init ^= me;
		errno = (int)me;
		if (i % 4 == 0)
			sched_yield();
		CHECK_EQ(errno, me);
		CHECK_EQ(tls_zero, me * (i + 1));
		CHECK_EQ(tls_big[i * 50], (char)me);
		/* gs:0 holds the thread pointer itself, on both C libraries. */
		CHECK_EQ(gs_word(0), gs_word(0));
		CHECK(gs_word(0) != 0);
		CHECK_EQ(*(u32 *)(uintptr_t)gs_word(0), gs_word(0));
		close(-1);
		CHECK_EQ(errno, EBADF);
	}
	return (void *)(uintptr_t)gs_word(0);
}

TEST(tls)
{
	enum { N = 32 };
	pthread_t t[N];
	void *base[N];

	check_info("gs selector 0x%x, thread pointer 0x%x", gs_selector(), gs_word(0));
	for (int i = 0; i < N; i++)
		start(&t[i], tls_user, (void *)(intptr_t)(i + 100));
	for (int i = 0; i < N; i++)
		base[i] = join(t[i]);
	(void)base;
	CHECK_EQ(tls_zero, 0);
	CHECK_EQ(tls_init, 0xfeed1234);
}

TEST(tls_across_fork)
{
	int pid;

	tls_zero = 5;
	pid = SYS(fork());
	if (pid == 0) {
		CHECK_EQ(tls_zero, 5);
		tls_zero = 6;
		errno = 0;
		close(-1);
		_exit(errno == EBADF && tls_zero == 6 ? 0 : 1);
	}
	check_wait(pid, 0);
	CHECK_EQ(tls_zero, 5);
}

/* Reload GS as a program may (and signal return and ptrace do): TLS must go on working. */
TEST(tls_reload_gs)
{
	for (int i = 0; i < 50; i++) {
		u32 before = gs_word(0);

		__asm__ volatile("mov %%gs, %%eax\n\tmov %%eax, %%gs" ::: "eax", "memory");
		CHECK_EQ(gs_word(0), before);
		__asm__ volatile("push %%gs\n\tpop %%gs" ::: "memory");
		tls_zero = i;
		CHECK_EQ(tls_zero, i);
		CHECK_EQ(gs_word(0), before);
		/* Null selector in between, as 16-bit code and debuggers do. */
		__asm__ volatile("mov %%gs, %%eax\n\txor %%ecx, %%ecx\n\tmov %%ecx, %%gs\n\tmov %%eax, %%gs"
				 ::: "eax", "ecx", "memory");
		CHECK_EQ(gs_word(0), before);
	}
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int counter;

static void *count_up(void *arg)
{
	for (int i = 0; i < 4000; i++) {
		pthread_mutex_lock(&mutex);
		counter++;
		if (i % 256 == 0)
			sched_yield();	/* with the lock held: contention by futex */
		pthread_mutex_unlock(&mutex);
	}
	return arg;
}

TEST(mutex_contention)
{
	pthread_t t[8];

	for (int i = 0; i < 8; i++)
		start(&t[i], count_up, NULL);
	for (int i = 0; i < 8; i++)
		join(t[i]);
	CHECK_EQ(counter, 8 * 4000);
}

static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int turn;

static void *ping_pong(void *arg)
{
	int me = (int)(intptr_t)arg;

	for (int i = 0; i < 1000; i++) {
		pthread_mutex_lock(&mutex);
		while (turn != me)
			pthread_cond_wait(&cond, &mutex);
		turn = !me;
		pthread_cond_broadcast(&cond);
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

TEST(condition_ping_pong)
{
	pthread_t a, b;

	start(&a, ping_pong, (void *)0);
	start(&b, ping_pong, (void *)1);
	join(a);
	join(b);
	CHECK_EQ(turn, 0);
}

static long futex(int *word, int op, int val, const void *timeout)
{
	return syscall(SYS_futex, word, op, val, timeout, NULL, 0);
}

static int futex_word;

static void *futex_waiter(void *arg)
{
	while (__atomic_load_n(&futex_word, __ATOMIC_SEQ_CST) == 0)
		futex(&futex_word, FUTEX_WAIT, 0, NULL);
	return arg;
}

TEST(futex)
{
	struct { long sec, nsec; } shortly = { 0, 20000000 };
	pthread_t t[10];
	u64 t0;

	for (int i = 0; i < 10; i++)
		start(&t[i], futex_waiter, NULL);
	usleep(10000);
	__atomic_store_n(&futex_word, 1, __ATOMIC_SEQ_CST);
	futex(&futex_word, FUTEX_WAKE, INT_MAX, NULL);
	for (int i = 0; i < 10; i++)
		join(t[i]);
	CHECK(futex(&futex_word, FUTEX_WAIT, 0, NULL) == -1 && errno == EAGAIN);
	t0 = check_now_ns();
	CHECK(futex(&futex_word, FUTEX_WAIT, 1, &shortly) == -1 && errno == ETIMEDOUT);
	CHECK(check_now_ns() - t0 >= 20000000);
	CHECK(futex((int *)8, FUTEX_WAIT, 1, NULL) == -1 && errno == EFAULT);
}

/* A futex in shared memory, between processes. */
TEST(futex_shared)
{
	int *w = MAP(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int pid = SYS(fork());

	for (int i = 0; i < 500; i++) {
		int mine = pid ? 0 : 1;

		while (__atomic_load_n(w, __ATOMIC_SEQ_CST) != mine)
			futex(w, FUTEX_WAIT, !mine, NULL);
		__atomic_store_n(w, !mine, __ATOMIC_SEQ_CST);
		futex(w, FUTEX_WAKE, 1, NULL);
	}
	if (pid == 0)
		_exit(0);
	check_wait(pid, 0);
}

static pthread_key_t key;
static int destroyed;

static void destroy(void *p)
{
	__atomic_add_fetch(&destroyed, (int)(intptr_t)p, __ATOMIC_SEQ_CST);
}

static void *use_key(void *arg)
{
	CHECK(pthread_getspecific(key) == NULL);
	pthread_setspecific(key, arg);
	sched_yield();
	CHECK(pthread_getspecific(key) == arg);
	return NULL;
}

TEST(keys)
{
	pthread_t t[20];

	CHECK_EQ(pthread_key_create(&key, destroy), 0);
	for (int i = 0; i < 20; i++)
		start(&t[i], use_key, (void *)(intptr_t)(i + 1));
	for (int i = 0; i < 20; i++)
		join(t[i]);
	CHECK_EQ(destroyed, 210);
}

static __thread volatile int signals_here;
static volatile int stop;

static void count_signal(int sig)
{
	signals_here++;
}

static void *receive_signals(void *arg)
{
	volatile u32 x = 1;

	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST))
		x = x * 3 + 1;
	*(int *)arg = signals_here;
	return NULL;
}

TEST(signals_to_threads)
{
	pthread_t t[4];
	int got[4];

	signal(SIGUSR1, count_signal);
	for (int i = 0; i < 4; i++)
		start(&t[i], receive_signals, &got[i]);
	for (int n = 0; n < 40; n++) {
		CHECK_EQ(pthread_kill(t[n % 4], SIGUSR1), 0);
		usleep(1000);
	}
	stop = 1;
	for (int i = 0; i < 4; i++)
		join(t[i]);
	for (int i = 0; i < 4; i++)
		CHECK_MSG(got[i] >= 1 && got[i] <= 10, "thread %d saw %d signals", i, got[i]);
	CHECK_EQ(signals_here, 0);
}

static sem_t *sems;

TEST(semaphores_between_processes)
{
	int pid;

	sems = MAP(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK_EQ(sem_init(&sems[0], 1, 0), 0);
	CHECK_EQ(sem_init(&sems[1], 1, 0), 0);
	pid = SYS(fork());
	for (int i = 0; i < 500; i++) {
		if (pid == 0) {
			sem_wait(&sems[0]);
			sem_post(&sems[1]);
		} else {
			sem_post(&sems[0]);
			sem_wait(&sems[1]);
		}
	}
	if (pid == 0)
		_exit(0);
	check_wait(pid, 0);
}

static pthread_barrier_t barrier;
static int arrived[6];

static void *barrier_user(void *arg)
{
	int me = (int)(intptr_t)arg;

	for (int i = 1; i <= 100; i++) {
		__atomic_store_n(&arrived[me], i, __ATOMIC_SEQ_CST);
		pthread_barrier_wait(&barrier);
		for (int k = 0; k < 6; k++)
			CHECK(__atomic_load_n(&arrived[k], __ATOMIC_SEQ_CST) >= i);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

TEST(barrier)
{
	pthread_t t[6];

	CHECK_EQ(pthread_barrier_init(&barrier, NULL, 6), 0);
	for (int i = 0; i < 6; i++)
		start(&t[i], barrier_user, (void *)(intptr_t)i);
	for (int i = 0; i < 6; i++)
		join(t[i]);
}

static void *block_forever(void *arg)
{
	pause();
	return arg;
}

TEST(exit_with_threads_running)
{
	for (int i = 0; i < 15; i++) {
		int pid = SYS(fork());

		if (pid == 0) {
			pthread_t t;

			for (int k = 0; k < 6; k++)
				start(&t, k % 2 ? block_forever : receive_signals, &t);
			_exit(13);
		}
		check_wait(pid, 13);
	}
}

static volatile u32 *lazily_mapped;

static void *touch_pages(void *arg)
{
	int me = (int)(intptr_t)arg;

	for (int i = 0; i < 500; i++) {
		__atomic_add_fetch(&lazily_mapped[i * 1024], me + 1, __ATOMIC_SEQ_CST);
		if (i % 50 == 0)
			sched_yield();
	}
	return NULL;
}

/* First touches of the same pages from several threads. */
TEST(page_faults_in_threads)
{
	pthread_t t[5];

	lazily_mapped = MAP(NULL, 500 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 5; i++)
		start(&t[i], touch_pages, (void *)(intptr_t)i);
	for (int i = 0; i < 5; i++)
		join(t[i]);
	for (int i = 0; i < 500; i++)
		CHECK_EQ(lazily_mapped[i * 1024], 15);
}

static void *exec_from_thread(void *arg)
{
	char path[256];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

	path[n > 0 ? n : 0] = 0;
	execl(path, "threads", "--child", "x", NULL);
	_exit(98);
}

int check_child(int argc, char **argv)
{
	return 42;
}

TEST(exec_in_thread)
{
	int pid = SYS(fork());

	if (pid == 0) {
		pthread_t t;

		start(&t, block_forever, NULL);
		start(&t, exec_from_thread, NULL);
		pause();
	}
	check_wait(pid, 42);
}

static int handler_saw, cancel_ready;

static void cancel_cleanup(void *arg)
{
	__atomic_add_fetch(&handler_saw, 1, __ATOMIC_SEQ_CST);
}

static void *cancel_me(void *arg)
{
	pthread_cleanup_push(cancel_cleanup, NULL);
	__atomic_store_n(&cancel_ready, 1, __ATOMIC_SEQ_CST);
	for (;;)
		pause();
	pthread_cleanup_pop(0);
	return NULL;
}

TEST(cancel)
{
#ifdef __GLIBC__
	/* A static or copied glibc unwinds with libgcc_s, which the guest has not got. */
	check_skip("needs libgcc_s");
#endif
	pthread_t t;

	start(&t, cancel_me, NULL);
	while (!__atomic_load_n(&cancel_ready, __ATOMIC_SEQ_CST))
		usleep(1000);
	CHECK_EQ(pthread_cancel(t), 0);
	CHECK(join(t) == PTHREAD_CANCELED);
	CHECK_EQ(handler_saw, 1);
}
