/*
 * run [-j N] [NAME[/TEST]]...: runs the test programs beside it (t/NAME), or
 * those named, N at a time; passes their lines on, adds them up, and ends with
 *     RINGER-TESTS: N passed, N failed
 * A program that ends badly without a FAIL line of its own counts as a failure.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROGRAMS_MAX = 64, JOBS_MAX = 16 };

/* In a worker: its standard output is the runner's pipe, and lines are short enough to stay whole in it. */
static void run_program(const char *dir, char *spec)
{
	char path[512], line[1024], *argv[3] = { path };
	char *test = strchr(spec, '/');
	int fd[2], st, pid, fails = 0;
	FILE *f;

	if (test)
		*test++ = 0;
	argv[1] = test;
	snprintf(path, sizeof path, "%s/t/%s", dir, spec);
	if (pipe(fd) < 0 || (pid = fork()) < 0) {
		printf("FAIL %s: cannot be started\n", spec);
		fflush(stdout);
		return;
	}
	if (pid == 0) {
		dup2(fd[1], 1);
		close(fd[0]);
		close(fd[1]);
		execv(path, argv);
		printf("FAIL %s: cannot be executed\n", spec);
		exit(127);
	}
	close(fd[1]);
	f = fdopen(fd[0], "r");
	while (fgets(line, sizeof line, f)) {
		fputs(line, stdout);
		fflush(stdout);
		fails += strncmp(line, "FAIL ", 5) == 0;
	}
	fclose(f);
	waitpid(pid, &st, 0);
	if (st && !fails)
		printf("FAIL %s: ended with wait status 0x%x\n", spec, st);
	fflush(stdout);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int main(int argc, char **argv)
{
	char dir[256], path[300], line[1024], *names[PROGRAMS_MAX];
	int n = 0, jobs = 1, passed = 0, failed = 0, skipped = 0, fd[2];
	FILE *f;

	snprintf(dir, sizeof dir, "%s", argv[0]);
	if (strrchr(dir, '/'))
		*strrchr(dir, '/') = 0;
	else
		strcpy(dir, ".");
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-j") == 0 && i + 1 < argc)
			jobs = atoi(argv[++i]);
		else if (n < PROGRAMS_MAX)
			names[n++] = argv[i];
	}
	if (jobs < 1 || jobs > JOBS_MAX)
		return 2;
	if (n == 0) {
		struct dirent *e;
		DIR *d;

		snprintf(path, sizeof path, "%s/t", dir);
		d = opendir(path);
		while (d && (e = readdir(d)))
			if (e->d_name[0] != '.' && n < PROGRAMS_MAX)
				names[n++] = strdup(e->d_name);
		qsort(names, n, sizeof *names, by_name);
	}
	if (pipe(fd) < 0)
		return 2;
	for (int k = 0; k < jobs; k++) {
		if (fork() == 0) {
			dup2(fd[1], 1);
			close(fd[0]);
			close(fd[1]);
			for (int i = k; i < n; i += jobs)
				run_program(dir, names[i]);
			_exit(0);
		}
	}
	close(fd[1]);
	f = fdopen(fd[0], "r");
	while (fgets(line, sizeof line, f)) {
		fputs(line, stdout);
		fflush(stdout);
		passed += strncmp(line, "ok ", 3) == 0;
		skipped += strncmp(line, "skip ", 5) == 0;
		failed += strncmp(line, "FAIL ", 5) == 0;
	}
	while (wait(NULL) > 0)
		;
	if (skipped)
		printf("    %d skipped\n", skipped);
	printf("RINGER-TESTS: %d passed, %d failed\n", passed, failed);
	return failed != 0;
}
