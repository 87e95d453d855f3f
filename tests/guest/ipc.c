#define _GNU_SOURCE
/*
 * Pipes, sockets, queues, and waiting for many of them at once.
 */
#include "check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>

static void read_all(int fd, void *buf, size_t n)
{
	for (u8 *p = buf; n;) {
		ssize_t r = read(fd, p, n);

		CHECK_MSG(r > 0, "read gave %zd: %s", r, strerror(errno));
		p += r, n -= r;
	}
}

static void write_all(int fd, const void *buf, size_t n)
{
	for (const u8 *p = buf; n;) {
		ssize_t r = write(fd, p, n);

		CHECK_MSG(r > 0, "write gave %zd: %s", r, strerror(errno));
		p += r, n -= r;
	}
}

TEST(pipe_ping_pong)
{
	int a[2], b[2], pid;
	u32 v;

	SYS(pipe(a));
	SYS(pipe(b));
	pid = SYS(fork());
	if (pid == 0) {
		for (u32 i = 0; i < 1000; i++) {
			read_all(a[0], &v, 4);
			v = v * 3 + 1;
			write_all(b[1], &v, 4);
		}
		_exit(0);
	}
	for (u32 i = 0; i < 1000; i++) {
		v = i;
		write_all(a[1], &v, 4);
		read_all(b[0], &v, 4);
		CHECK_EQ(v, i * 3 + 1);
	}
	check_wait(pid, 0);
}

static void stream(int in, int out, int wait_for)
{
	enum { TOTAL = 1 << 20 };
	static u8 buf[70000];
	u32 s = 7, t = 7;

	if (wait_for == 0) {
		for (u32 sent = 0, n; sent < TOTAL; sent += n) {
			n = 1 + (sent * 7 + 13) % 9000;
			if (n > TOTAL - sent)
				n = TOTAL - sent;
			for (u32 i = 0; i < n; i++)
				buf[i] = check_rand(&s);
			write_all(out, buf, n);
		}
		_exit(0);
	}
	close(out);
	for (u32 got = 0; got < TOTAL;) {
		ssize_t n = read(in, buf, 1 + got % sizeof buf);

		CHECK(n > 0);
		for (ssize_t i = 0; i < n; i++)
			CHECK_EQ(buf[i], (u8)check_rand(&t));
		got += n;
	}
	CHECK_EQ(read(in, buf, 1), 0);
	check_wait(wait_for, 0);
}

TEST(pipe_stream)
{
	int fd[2];

	SYS(pipe(fd));
	stream(fd[0], fd[1], SYS(fork()));
}

TEST(socketpair_stream)
{
	int fd[2];

	SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
	stream(fd[0], fd[1], SYS(fork()));
}

static void up_loopback(void)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	int s = SYS(socket(AF_INET, SOCK_DGRAM, 0));

	if (check_in_guest()) {
		SYS(ioctl(s, SIOCGIFFLAGS, &ifr));
		ifr.ifr_flags |= IFF_UP;
		SYS(ioctl(s, SIOCSIFFLAGS, &ifr));
	}
	close(s);
}

TEST(tcp_loopback)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof a;
	int l, pid, c;

	up_loopback();
	l = SYS(socket(AF_INET, SOCK_STREAM, 0));
	SYS(bind(l, (void *)&a, sizeof a));
	SYS(getsockname(l, (void *)&a, &len));
	SYS(listen(l, 5));
	pid = SYS(fork());
	c = SYS(socket(AF_INET, SOCK_STREAM, 0));
	if (pid == 0) {
		SYS(connect(c, (void *)&a, sizeof a));
		stream(-1, c, 0);
	}
	close(c);
	c = SYS(accept(l, NULL, NULL));
	stream(c, l, pid);
}

TEST(udp_loopback)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof a;
	int r, s;

	up_loopback();
	r = SYS(socket(AF_INET, SOCK_DGRAM, 0));
	s = SYS(socket(AF_INET, SOCK_DGRAM, 0));
	SYS(bind(r, (void *)&a, sizeof a));
	SYS(getsockname(r, (void *)&a, &len));
	for (u32 i = 0; i < 200; i++) {
		u32 v[100], got[100];

		for (int k = 0; k < 100; k++)
			v[k] = i * k;
		CHECK_EQ(sendto(s, v, sizeof v, 0, (void *)&a, sizeof a), sizeof v);
		CHECK_EQ(recv(r, got, sizeof got, 0), sizeof got);
		CHECK(memcmp(v, got, sizeof v) == 0);
	}
}

TEST(pass_descriptors)
{
	char ctl[CMSG_SPACE(sizeof(int))], c = 'x';
	struct iovec iov = { &c, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof ctl };
	int sv[2], p[2], pid, fd;

	SYS(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv));
	pid = SYS(fork());
	if (pid == 0) {
		SYS(pipe(p));
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);

		h->cmsg_level = SOL_SOCKET, h->cmsg_type = SCM_RIGHTS, h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &p[0], sizeof(int));
		SYS(sendmsg(sv[1], &m, 0));
		write_all(p[1], "through", 7);
		_exit(0);
	}
	char buf[8] = "";

	CHECK_EQ(SYS(recvmsg(sv[0], &m, 0)), 1);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
	read_all(fd, buf, 7);
	CHECK(strcmp(buf, "through") == 0);
	check_wait(pid, 0);
}

TEST(epoll_many)
{
	enum { N = 50 };
	int ep = SYS(epoll_create1(0)), fd[N][2], pid, seen = 0;
	u32 got[N] = { 0 };

	for (int i = 0; i < N; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.u32 = i };

		SYS(pipe(fd[i]));
		SYS(epoll_ctl(ep, EPOLL_CTL_ADD, fd[i][0], &e));
	}
	pid = SYS(fork());
	if (pid == 0) {
		for (u32 n = 0; n < 500; n++) {
			u32 k = n * 37 % N;

			write_all(fd[k][1], &n, 4);
			if (n % 20 == 0)
				usleep(500);
		}
		_exit(0);
	}
	while (seen < 500) {
		struct epoll_event e[16];
		int n = epoll_wait(ep, e, 16, 20000);

		CHECK_MSG(n > 0, "epoll_wait gave %d after %d", n, seen);
		for (int i = 0; i < n; i++) {
			u32 v;

			read_all(fd[e[i].data.u32][0], &v, 4);
			CHECK_EQ(v * 37 % N, e[i].data.u32);
			got[e[i].data.u32]++;
			seen++;
		}
	}
	for (int i = 0; i < N; i++)
		CHECK_EQ(got[i], 10);
	check_wait(pid, 0);
	struct epoll_event e;

	CHECK_EQ(epoll_wait(ep, &e, 1, 20), 0);
}

TEST(poll_and_select)
{
	int fd[2], pid;
	struct pollfd p;
	fd_set set;
	struct timeval tv = { 0, 20000 };
	u64 t0;
	char c;

	SYS(pipe(fd));
	p = (struct pollfd){ fd[0], POLLIN, 0 };
	t0 = check_now_ns();
	CHECK_EQ(poll(&p, 1, 30), 0);
	CHECK(check_now_ns() - t0 >= 30000000);
	FD_ZERO(&set);
	FD_SET(fd[0], &set);
	CHECK_EQ(select(fd[0] + 1, &set, NULL, NULL, &tv), 0);
	pid = SYS(fork());
	if (pid == 0) {
		usleep(10000);
		write_all(fd[1], "z", 1);
		_exit(0);
	}
	CHECK_EQ(poll(&p, 1, 20000), 1);
	CHECK_EQ(p.revents, POLLIN);
	FD_SET(fd[0], &set);
	CHECK_EQ(select(fd[0] + 1, &set, NULL, NULL, NULL), 1);
	read_all(fd[0], &c, 1);
	check_wait(pid, 0);
	close(fd[1]);
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents & POLLHUP, POLLHUP);
}

TEST(eventfd)
{
	int a = SYS(eventfd(0, 0)), b = SYS(eventfd(0, EFD_SEMAPHORE)), pid;
	u64 v;

	pid = SYS(fork());
	for (u64 i = 1; i <= 300; i++) {
		if (pid == 0) {
			read_all(a, &v, 8);
			CHECK_EQ(v, i);
			v = 1;
			write_all(b, &v, 8);
		} else {
			write_all(a, &i, 8);
			read_all(b, &v, 8);
			CHECK_EQ(v, 1);
		}
	}
	if (pid == 0)
		_exit(0);
	check_wait(pid, 0);
}

TEST(signalfd)
{
	sigset_t set;
	struct signalfd_siginfo si;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = SYS(signalfd(-1, &set, 0));
	for (int i = 0; i < 50; i++) {
		SYS(sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = i }));
		read_all(fd, &si, sizeof si);
		CHECK_EQ(si.ssi_int, i);
	}
}

TEST(sysv_messages_and_semaphores)
{
	int q = msgget(IPC_PRIVATE, 0600), s = semget(IPC_PRIVATE, 2, 0600), pid;
	struct { long type; u32 v[20]; } m;
	struct sembuf down = { 0, -1, 0 }, up = { 1, 1, 0 };

	if (q < 0 || s < 0)
		check_skip("no System V IPC");
	pid = SYS(fork());
	for (u32 i = 0; i < 100; i++) {
		if (pid == 0) {
			CHECK_EQ(SYS(msgrcv(q, &m, sizeof m.v, 5, 0)), sizeof m.v);
			CHECK_EQ(m.v[19], i);
			down.sem_num = 0;
			SYS(semop(s, &down, 1));
			up.sem_num = 1;
			SYS(semop(s, &up, 1));
		} else {
			m.type = 5;
			m.v[19] = i;
			SYS(msgsnd(q, &m, sizeof m.v, 0));
			up.sem_num = 0;
			SYS(semop(s, &up, 1));
			down.sem_num = 1;
			SYS(semop(s, &down, 1));
		}
	}
	if (pid == 0)
		_exit(0);
	check_wait(pid, 0);
	msgctl(q, IPC_RMID, NULL);
	semctl(s, 0, IPC_RMID);
}

TEST(broken_pipe)
{
	int fd[2], st, pid;

	SYS(pipe(fd));
	pid = SYS(fork());
	if (pid == 0) {
		close(fd[0]);
		if (write(fd[1], "x", 1) != 1)
			_exit(1);
		_exit(0);
	}
	check_wait(pid, 0);
	close(fd[0]);
	pid = SYS(fork());
	if (pid == 0)
		_exit(write(fd[1], "x", 1) == 1);
	CHECK_EQ(SYS(waitpid(pid, &st, 0)), pid);
	CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGPIPE);
	signal(SIGPIPE, SIG_IGN);
	CHECK(write(fd[1], "x", 1) == -1 && errno == EPIPE);
}

TEST(splice_and_tee)
{
	static u8 a[40000], b[40000];
	int in = SYS(memfd_create("a", 0)), out = SYS(memfd_create("b", 0)), p[2];
	u32 s = 3, done = 0;

	for (unsigned i = 0; i < sizeof a; i++)
		a[i] = check_rand(&s);
	write_all(in, a, sizeof a);
	lseek(in, 0, SEEK_SET);
	SYS(pipe(p));
	while (done < sizeof a) {
		long n = SYS(splice(in, NULL, p[1], NULL, 16384, 0));

		CHECK_EQ(SYS(splice(p[0], NULL, out, NULL, n, 0)), n);
		done += n;
	}
	CHECK_EQ(pread(out, b, sizeof b, 0), sizeof b);
	CHECK(memcmp(a, b, sizeof a) == 0);
}

TEST(pseudo_terminal)
{
	int m = SYS(posix_openpt(O_RDWR | O_NOCTTY)), s;
	char buf[64] = "";

	SYS(grantpt(m));
	SYS(unlockpt(m));
	s = SYS(open(ptsname(m), O_RDWR | O_NOCTTY));
	write_all(m, "line one\n", 9);
	CHECK_EQ(read(s, buf, sizeof buf), 9);
	CHECK(memcmp(buf, "line one\n", 9) == 0);
	write_all(s, "out\n", 4);
	memset(buf, 0, sizeof buf);
	read_all(m, buf, 10 + 5);		/* the echo, then the output, both with CR */
	CHECK(memcmp(buf, "line one\r\nout\r\n", 15) == 0);
}
