#define _GNU_SOURCE
/*
 * Files and the kernel's own reports about the machine.
 */
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>

TEST(dev_zero)
{
	static u8 buf[65536];
	int fd = SYS(open("/dev/zero", O_RDONLY));

	for (int i = 0; i < 64; i++) {
		memset(buf, 0xff, sizeof buf);
		CHECK_EQ(read(fd, buf, sizeof buf - i * 7), sizeof buf - i * 7);
		for (unsigned k = 0; k < sizeof buf; k++)
			CHECK_EQ(buf[k], k < sizeof buf - i * 7 ? 0 : 0xff);
	}
}

TEST(random_bytes)
{
	static u8 buf[65536];
	int fd = SYS(open("/dev/urandom", O_RDONLY)), ones = 0;
	u32 count[256] = { 0 };

	CHECK_EQ(read(fd, buf, sizeof buf), sizeof buf);
	for (unsigned k = 0; k < sizeof buf; k++) {
		ones += __builtin_popcount(buf[k]);
		count[buf[k]]++;
	}
	CHECK_MSG(ones > 260000 && ones < 264288, "%d ones in %d bits", ones, (int)sizeof buf * 8);
	for (int i = 0; i < 256; i++)
		CHECK(count[i] > 130 && count[i] < 400);
	CHECK_EQ(getrandom(buf, 256, GRND_NONBLOCK), 256);
}

TEST(proc_cpuinfo)
{
	FILE *f = fopen("/proc/cpuinfo", "r");
	char line[8192], model[128] = "?";
	int cpus = 0;
	double mhz = 0;
	bool fpu = false;

	CHECK(f);
	while (fgets(line, sizeof line, f)) {
		cpus += strncmp(line, "processor", 9) == 0;
		if (strncmp(line, "flags", 5) == 0) {
			fpu = strstr(line, " fpu ") && strstr(line, " tsc ") && strstr(line, " cx8 ") && strstr(line, " cmov ");
			line[strcspn(line, "\n")] = 0;
			check_info("%.380s", strchr(line, ':') + 2);
		}
		sscanf(line, "cpu MHz : %lf", &mhz);
		sscanf(line, "model name : %127[^\n]", model);
		if (strncmp(line, "bogomips", 8) == 0)
			check_info("%.20s", strchr(line, ':') + 2);
	}
	check_info("%s, %.0f MHz, %d CPU", model, mhz, cpus);
	CHECK(cpus >= 1);
	CHECK(fpu);
	CHECK(mhz > 100 && mhz < 20000);
}

TEST(tree)
{
	char dir[] = "/tmp/ringer-tree-XXXXXX", path[128], again[128];
	u32 sum = 0, sum2 = 0, s = 11;
	static u8 buf[20000];
	int files = 0;
	DIR *d;
	struct dirent *e;

	CHECK(mkdtemp(dir));
	for (int i = 0; i < 120; i++) {
		int n = check_rand(&s) % sizeof buf, fd;

		for (int k = 0; k < n; k++)
			buf[k] = check_rand(&s);
		sum += check_hash(buf, n);
		snprintf(path, sizeof path, "%s/f%d", dir, i);
		fd = SYS(open(path, O_CREAT | O_RDWR | O_EXCL, 0644));
		for (int k = 0; k < n;) {
			int part = n - k < 3001 ? n - k : 3001;

			CHECK_EQ(write(fd, buf + k, part), part);
			k += part;
		}
		close(fd);
		if (i % 3 == 0) {
			snprintf(again, sizeof again, "%s/g%d", dir, i);
			SYS(rename(path, again));
		} else if (i % 3 == 1) {
			snprintf(again, sizeof again, "%s/link%d", dir, i);
			SYS(symlink(path, again));
		}
	}
	d = opendir(dir);
	CHECK(d);
	while ((e = readdir(d))) {
		struct stat st;
		int fd;

		snprintf(path, sizeof path, "%.60s/%.60s", dir, e->d_name);
		SYS(lstat(path, &st));
		if (S_ISREG(st.st_mode)) {
			fd = SYS(open(path, O_RDONLY));
			CHECK_EQ(read(fd, buf, sizeof buf), st.st_size);
			close(fd);
			sum2 += check_hash(buf, st.st_size);
			files++;
		}
		if (e->d_name[0] != '.')
			SYS(unlink(path));
	}
	CHECK_EQ(files, 120);
	CHECK_EQ(sum, sum2);
	SYS(rmdir(dir));
}

TEST(large_file)
{
	int fd = SYS(memfd_create("large", 0));
	u64 at = 5000000000ull, v = 0x1122334455667788ull, got = 0;

	SYS(syscall(SYS_ftruncate64, fd, (u32)(at + 8), (u32)((at + 8) >> 32)));
	CHECK_EQ(syscall(SYS_pwrite64, fd, &v, 8, (u32)at, (u32)(at >> 32)), 8);
	CHECK_EQ(syscall(SYS_pread64, fd, &got, 8, (u32)at, (u32)(at >> 32)), 8);
	CHECK(got == v);
}

TEST(sparse_and_append)
{
	char path[] = "/tmp/ringer-file-XXXXXX", buf[16];
	int fd = SYS(mkstemp(path)), a;

	a = SYS(open(path, O_WRONLY | O_APPEND));
	CHECK_EQ(pwrite(fd, "end", 3, 1000000), 3);
	CHECK_EQ(write(a, "tail", 4), 4);
	CHECK_EQ(pread(fd, buf, 8, 1000000 - 1), 8);
	CHECK(memcmp(buf, "\0endtail", 8) == 0);
	unlink(path);
}

TEST(meminfo)
{
	FILE *f = fopen("/proc/meminfo", "r");
	char line[200];
	long total = 0, mapped = 0;

	CHECK(f);
	while (fgets(line, sizeof line, f)) {
		sscanf(line, "MemTotal: %ld", &total);
		sscanf(line, "DirectMap4M: %ld", &mapped);
		sscanf(line, "DirectMap2M: %ld", &mapped);
	}
	check_info("%ld kB, %ld kB of it in large kernel pages", total, mapped);
	CHECK(total > 30000);
}
