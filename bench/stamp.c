#define _GNU_SOURCE
/*
 * stamp COMMAND...: run a machine and measure it from outside.
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
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

int main(int argc, char **argv)
{
	int fd[2], pid, st, idle = 0, measured = 0;
	double t0, idle_t = 0, idle_cpu = 0;
	char line[4096];
	size_t len = 0;

	if (argc < 2 || pipe(fd))
		return 2;
	t0 = now_ms();
	pid = fork();
	if (pid == 0) {
		dup2(fd[1], 1);
		close(fd[0]);
		close(fd[1]);
		execvp(argv[1], argv + 1);
		perror(argv[1]);
		_exit(127);
	}
	close(fd[1]);
	for (;;) {
		struct pollfd p = { fd[0], POLLIN, 0 };
		ssize_t n;
		char *nl;

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
			if (strstr(line, "RINGER-USER"))
				printf("STAMP boot_ms %.0f\n", now_ms() - t0);
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
