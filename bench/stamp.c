#define _GNU_SOURCE
/*
 * stamp [-m] [-c SOCKET] COMMAND...: run a machine and measure it from outside.
 *
 * Passes the console (the command's standard output) through, and adds lines:
 *     STAMP boot_ms MILLISECONDS       from the start of the command to the guest's first user line
 *     STAMP idle_percent PERCENT       of one CPU, between the guest's idle marks
 *     STAMP memory_mb MEGABYTES        beyond guest RAM, in the middle of the idle time
 *     STAMP pagetables_mb MEGABYTES    of the host, for all of the command's processes
 *     STAMP exit STATUS
 * "The command" is its whole process tree.  Guest RAM is told apart as the
 * mappings of a memfd whose name holds "ram", and as any single mapping of
 * exactly $GUEST_RAM_MB megabytes or more.
 *
 * -m: the guest says "RINGER-BEGIN NAME" and "RINGER-END NAME" around each of
 * its workloads, and waits after each for an empty line, which stamp sends.
 * -c SOCKET: the command is Ringer with --control=SOCKET; while the guest waits,
 * its counters are read there, and what they did in between is printed:
 *     STAT NAME COUNTER DIFFERENCE      (those that are not 0, and uptime_ns)
 *     STAMP no_stats NAME               the machine did not answer
 * NAME boot_ms is from power-on to the first user line.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TREE_MAX = 256 };

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e3 + ts.tv_nsec / 1e6;
}

static int tree(int root, int *pids)
{
	int n = 1;

	pids[0] = root;
	for (int again = 1; again;) {		/* until no new child of a known process turns up */
		DIR *d = opendir("/proc");
		struct dirent *e;

		again = 0;
		while (d && (e = readdir(d))) {
			char path[300], line[512];
			int pid = atoi(e->d_name), ppid, known = 0, child = 0;
			FILE *f;

			if (pid <= 0)
				continue;
			snprintf(path, sizeof path, "/proc/%d/stat", pid);
			f = fopen(path, "r");
			if (!f)
				continue;
			if (fgets(line, sizeof line, f) && strrchr(line, ')') && sscanf(strrchr(line, ')') + 1, " %*c %d", &ppid) == 1)
				for (int i = 0; i < n; i++) {
					known |= pids[i] == pid;
					child |= pids[i] == ppid;
				}
			fclose(f);
			if (child && !known && n < TREE_MAX) {
				pids[n++] = pid;
				again = 1;
			}
		}
		if (d)
			closedir(d);
	}
	return n;
}

/* CPU time used so far by all threads of all processes, in ms. */
static double cpu_ms(int root)
{
	int pids[TREE_MAX], n = tree(root, pids);
	double sum = 0;

	for (int i = 0; i < n; i++) {
		char path[300];
		struct dirent *e;
		DIR *d;

		snprintf(path, sizeof path, "/proc/%d/task", pids[i]);
		d = opendir(path);
		while (d && (e = readdir(d))) {
			unsigned long long ns;
			FILE *f;

			snprintf(path, sizeof path, "/proc/%d/task/%.20s/schedstat", pids[i], e->d_name);
			f = fopen(path, "r");
			if (f && fscanf(f, "%llu", &ns) == 1)
				sum += ns / 1e6;
			if (f)
				fclose(f);
		}
		if (d)
			closedir(d);
	}
	return sum;
}

static void memory(int root)
{
	int pids[TREE_MAX], n = tree(root, pids);
	unsigned long ram = strtoul(getenv("GUEST_RAM_MB") ? getenv("GUEST_RAM_MB") : "256", NULL, 10) << 20;
	double pss = 0, tables = 0;

	for (int i = 0; i < n; i++) {
		char path[64], line[512];
		int counts = 0;
		FILE *f;

		snprintf(path, sizeof path, "/proc/%d/smaps", pids[i]);
		f = fopen(path, "r");
		while (f && fgets(line, sizeof line, f)) {
			unsigned long lo, hi, kb;
			char name[256] = "";

			if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %255[^\n]", &lo, &hi, name) >= 2) {
				int is_ram = strstr(name, "memfd") && strstr(name, "ram");

				counts = !is_ram && hi - lo < ram;
			} else if (counts && sscanf(line, "Pss: %lu", &kb) == 1) {
				pss += kb / 1024.0;
			}
		}
		if (f)
			fclose(f);
		snprintf(path, sizeof path, "/proc/%d/status", pids[i]);
		f = fopen(path, "r");
		while (f && fgets(line, sizeof line, f)) {
			unsigned long kb;

			if (sscanf(line, "VmPTE: %lu", &kb) == 1)
				tables += kb / 1024.0;
		}
		if (f)
			fclose(f);
	}
	printf("STAMP memory_mb %.1f\nSTAMP pagetables_mb %.1f\n", pss, tables);
}

/* ---- Ringer's counters, through its control socket ---- */

enum { COUNTERS_MAX = 400, REPLY_MAX = 1 << 18, REPLY_MS = 20000 };

struct snapshot {
	int n;
	struct counter { char name[40]; long long value; } counter[COUNTERS_MAX];
};

/* The numbers of "counters", and "uptime_ns": nothing else is looked at. */
static void parse(char *reply, struct snapshot *s)
{
	char *from = strstr(reply, "\"counters\""), *to = strstr(reply, "\"derived\""), *up = strstr(reply, "\"uptime_ns\"");

	s->n = 0;
	if (!from || !to || !up || to < from)
		return;
	*to = 0;
	if (sscanf(up, "\"%39[a-z_]\" : %lld", s->counter[0].name, &s->counter[0].value) == 2)
		s->n = 1;
	for (char *p = strchr(from, '"'); p && s->n < COUNTERS_MAX; p = strchr(p + 1, '"'))
		if (sscanf(p, "\"%39[a-z0-9_]\" : %lld", s->counter[s->n].name, &s->counter[s->n].value) == 2)
			s->n++;
}

/* Whether the machine answered. */
static int take(const char *path, struct snapshot *s)
{
	static const char ask[] = "{\"execute\": \"stats\"}\n";
	static char reply[REPLY_MAX];
	static int fd = -1;
	size_t n = 0;

	s->n = 0;
	if (fd < 0) {
		struct sockaddr_un to = { .sun_family = AF_UNIX };

		snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to))
			goto lost;
	}
	if (send(fd, ask, sizeof ask - 1, MSG_NOSIGNAL) != sizeof ask - 1)
		goto lost;
	do {
		struct pollfd p = { fd, POLLIN, 0 };
		ssize_t got = poll(&p, 1, REPLY_MS) > 0 ? read(fd, reply + n, sizeof reply - 1 - n) : 0;

		if (got <= 0)
			goto lost;
		n += got;
	} while (reply[n - 1] != '\n');
	reply[n] = 0;
	parse(reply, s);
	return s->n > 1;
lost:
	if (fd >= 0)
		close(fd);
	fd = -1;
	return 0;
}

static void print_difference(const char *name, const struct snapshot *from, const struct snapshot *to)
{
	for (int i = 0; i < to->n; i++) {
		long long before = from && i < from->n && strcmp(from->counter[i].name, to->counter[i].name) == 0 ? from->counter[i].value : 0;

		if (to->counter[i].value != before)
			printf("STAT %s %s %lld\n", name, to->counter[i].name, to->counter[i].value - before);
	}
}

/* A mark of the guest's: where is 'B'egin, 'E'nd or, at the first user line, 0. */
static void mark(const char *socket_path, char where, const char *rest)
{
	static struct snapshot begin, end;
	char name[64] = "boot_ms";

	if (where && sscanf(rest, " %63[a-z0-9_]", name) != 1)
		return;
	if (!socket_path)
		return;
	if (!take(socket_path, where == 'B' ? &begin : &end))
		printf("STAMP no_stats %s\n", name);
	else if (where != 'B' && (!where || begin.n))
		print_difference(name, where ? &begin : NULL, &end);
}

int main(int argc, char **argv)
{
	int fd[2], in[2] = { -1, -1 }, pid, st, opt, idle = 0, measured = 0, marks = 0;
	double t0, idle_t = 0, idle_cpu = 0;
	const char *socket_path = NULL;
	char line[4096];
	size_t len = 0;

	while ((opt = getopt(argc, argv, "+mc:")) != -1)
		switch (opt) {
		case 'm': marks = 1; break;
		case 'c': socket_path = optarg; break;
		default: return 2;
		}
	argv += optind - 1;
	argc -= optind - 1;
	if (argc < 2 || pipe(fd) || (marks && pipe(in)))
		return 2;
	signal(SIGPIPE, SIG_IGN);
	t0 = now_ms();
	pid = fork();
	if (pid == 0) {
		signal(SIGPIPE, SIG_DFL);
		if (marks) {
			dup2(in[0], 0);
			close(in[0]);
			close(in[1]);
		}
		dup2(fd[1], 1);
		close(fd[0]);
		close(fd[1]);
		execvp(argv[1], argv + 1);
		perror(argv[1]);
		_exit(127);
	}
	close(fd[1]);
	if (marks)
		close(in[0]);
	for (;;) {
		struct pollfd p = { fd[0], POLLIN, 0 };
		ssize_t n;
		char *nl, *at;

		if (poll(&p, 1, idle && !measured ? 500 : -1) == 0) {
			if (now_ms() - idle_t > 2000) {
				memory(pid);
				measured = 1;
			}
			continue;
		}
		n = read(fd[0], line + len, sizeof line - 1 - len);
		if (n <= 0)
			break;
		len += n;
		line[len] = 0;
		while ((nl = memchr(line, '\n', len))) {
			*nl = 0;
			if (nl > line && nl[-1] == '\r')
				nl[-1] = 0;
			if (strstr(line, "RINGER-USER")) {
				printf("STAMP boot_ms %.0f\n", now_ms() - t0);
				if (marks)
					mark(socket_path, 0, NULL);
			}
			if (marks && ((at = strstr(line, "RINGER-BEGIN ")) || (at = strstr(line, "RINGER-END ")))) {
				mark(socket_path, at[7], strchr(at, ' '));
				if (write(in[1], "\n", 1) < 0)
					marks = 0;
			}
			if (strstr(line, "RINGER-IDLE-BEGIN")) {
				idle = 1;
				idle_t = now_ms();
				idle_cpu = cpu_ms(pid);
			}
			if (strstr(line, "RINGER-IDLE-END"))
				printf("STAMP idle_percent %.2f\n", (cpu_ms(pid) - idle_cpu) / (now_ms() - idle_t) * 100);
			printf("%s\n", line);
			fflush(stdout);
			len -= nl + 1 - line;
			memmove(line, nl + 1, len + 1);
		}
		if (len == sizeof line - 1)
			len = 0;
	}
	waitpid(pid, &st, 0);
	printf("STAMP exit %d\n", WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st));
	return 0;
}
