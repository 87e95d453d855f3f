/*
 * Runs the test programs beside it (t/NAME, or those named in its arguments;
 * NAME/TEST picks one test), passes their lines on, adds them up, and ends with
 *     RINGER-TESTS: N passed, N failed
 * A program that ends badly without a FAIL line of its own counts as a failure.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROGRAMS_MAX = 64 };

static int passed, failed, skipped;

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
		perror("run");
		failed++;
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
		passed += strncmp(line, "ok ", 3) == 0;
		skipped += strncmp(line, "skip ", 5) == 0;
		fails += strncmp(line, "FAIL ", 5) == 0;
	}
	fclose(f);
	waitpid(pid, &st, 0);
	if (st && !fails) {
		printf("FAIL %s: ended with wait status 0x%x\n", spec, st);
		fails = 1;
	}
	failed += fails;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int main(int argc, char **argv)
{
	char dir[256], *names[PROGRAMS_MAX];
	int n = 0;

	snprintf(dir, sizeof dir, "%s", argv[0]);
	if (strrchr(dir, '/'))
		*strrchr(dir, '/') = 0;
	else
		strcpy(dir, ".");
	setenv("TESTS_DIR", dir, 1);
	if (argc > 1) {
		for (int i = 1; i < argc; i++)
			run_program(dir, argv[i]);
	} else {
		char path[300];
		struct dirent *e;
		DIR *d;

		snprintf(path, sizeof path, "%s/t", dir);
		d = opendir(path);
		while (d && (e = readdir(d)))
			if (e->d_name[0] != '.' && n < PROGRAMS_MAX)
				names[n++] = strdup(e->d_name);
		qsort(names, n, sizeof *names, by_name);
		for (int i = 0; i < n; i++)
			run_program(dir, names[i]);
	}
	if (skipped)
		printf("    %d skipped\n", skipped);
	printf("RINGER-TESTS: %d passed, %d failed\n", passed, failed);
	return failed != 0;
}
