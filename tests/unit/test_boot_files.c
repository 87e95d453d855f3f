/*
 * Reading boot files: what is accepted as a file, how kinds are told apart,
 * and the module list of multiboot kernels.
 */
#include "tests/unit/boot_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];
static char err[256];
static struct boot_files files;

static const char *path(const char *name)
{
	static char buf[8][128];
	static unsigned n;
	char *p = buf[n++ % 8];

	snprintf(p, sizeof buf[0], "%s/%s", dir, name);
	return p;
}

static const char *write_file(const char *name, const void *data, size_t len)
{
	const char *p = path(name);
	int fd = open(p, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
	close(fd);
	return p;
}

static const char *write_multiboot(void)
{
	u32 h[256] = { 0x1badb002, 0x10000, -(0x1badb002u + 0x10000), 0x100000, 0x100000, 0, 0,
		       0x100020 };

	return write_file("mb", h, sizeof h);
}

static const char *write_bzimage(void)
{
	u8 b[4096] = { [0x1f1] = 4, [0x201] = 0x6a, [0x202] = 'H', 'd', 'r', 'S', 0x0f, 0x02,
		       [0x211] = 1, [0x216] = 0x10, [0x25a] = 0x20, [0x262] = 0x10 };

	return write_file("bz", b, sizeof b);
}

static int read_files(const char *kernel, const char *initrd)
{
	int r;

	err[0] = 0;
	r = boot_read_files(&files, kernel, initrd, "append", err, sizeof err);
	ck_assert_int_le(r, 0);
	ck_assert_int_eq(r < 0, err[0] != 0);
	ck_assert_ptr_null(strchr(err, '\n'));
	if (r < 0) {
		ck_assert_ptr_null(files.kernel.data);
		ck_assert_ptr_null(files.initrd.data);
		ck_assert_ptr_null(files.modules);
	}
	return r;
}

static void setup(void)
{
	strcpy(dir, "/tmp/ringer-boot-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
	static const char *const names[] = { "mb", "bz", "a", "b", "c", "m1", "m,2", "r,d" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		unlink(path(names[i]));
	ck_assert_int_eq(rmdir(dir), 0);
}

START_TEST(things_that_are_no_boot_files)
{
	ck_assert_int_eq(read_files(path("none"), NULL), -ENOENT);
	ck_assert_int_eq(read_files(dir, NULL), -EISDIR);
	ck_assert_int_eq(read_files("/dev/null", NULL), -EINVAL);
	ck_assert_int_eq(mkfifo(path("a"), 0600), 0);
	ck_assert_int_eq(read_files(path("a"), NULL), -EINVAL);	/* and does not wait for a writer */
	ck_assert_int_eq(read_files(write_file("b", "", 0), NULL), -ENODATA);
	ck_assert_int_eq(truncate(write_file("b", "x", 1), (4ll << 30) + 1), 0);
	ck_assert_int_eq(read_files(path("b"), NULL), -EFBIG);
}
END_TEST

START_TEST(initrd_is_opaque)
{
	const char *kernel = write_bzimage();

	ck_assert_int_eq(read_files(kernel, NULL), 0);
	ck_assert_int_eq(files.kind, IMAGE_BZIMAGE);
	ck_assert_ptr_null(files.initrd.data);
	ck_assert_str_eq(files.append, "append");
	boot_free_files(&files);

	ck_assert_int_eq(read_files(kernel, write_file("r,d", "\x1f\x8b" "gz", 4)), 0);
	ck_assert_uint_eq(files.initrd.len, 4);
	ck_assert_mem_eq(files.initrd.data, "\x1f\x8b" "gz", 4);
	boot_free_files(&files);
	ck_assert_ptr_null(files.kernel.data);

	ck_assert_int_eq(read_files(kernel, path("none")), -ENOENT);
	ck_assert_int_eq(read_files(kernel, write_file("a", "", 0)), -ENODATA);
}
END_TEST

START_TEST(module_list)
{
	const char *kernel = write_multiboot();
	char list[256];

	write_file("m1", "one", 3);
	write_file("m,2", "three", 5);
	snprintf(list, sizeof list, "%s/m1 arg=1 x,%s/m,,2", dir, dir);
	ck_assert_int_eq(read_files(kernel, list), 0);
	ck_assert_int_eq(files.kind, IMAGE_MULTIBOOT);
	ck_assert_ptr_null(files.initrd.data);
	ck_assert_uint_eq(files.module_count, 2);
	ck_assert_mem_eq(files.modules[0].file.data, "one", 3);
	ck_assert_uint_eq(files.modules[1].file.len, 5);
	ck_assert_ptr_nonnull(strstr(files.modules[0].string, "/m1 arg=1 x"));
	ck_assert_ptr_nonnull(strstr(files.modules[1].string, "/m,2"));
	boot_free_files(&files);

	snprintf(list, sizeof list, "%s/m1,%s/none", dir, dir);
	ck_assert_int_eq(read_files(kernel, list), -ENOENT);
	ck_assert_int_eq(read_files(kernel, ","), -ENOENT);
	ck_assert_int_eq(read_files(kernel, ""), 0);
	ck_assert_uint_eq(files.module_count, 0);
	boot_free_files(&files);
}
END_TEST

START_TEST(too_many_modules)
{
	const char *kernel = write_multiboot(), *one = write_file("m1", "one", 3);
	char list[65 * 64];
	size_t n = 0;

	for (int i = 0; i < 64; i++)
		n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i ? "," : "", one);
	ck_assert_int_eq(read_files(kernel, list), 0);
	ck_assert_uint_eq(files.module_count, 64);
	boot_free_files(&files);
	snprintf(list + n, sizeof list - n, ",%s", one);
	ck_assert_int_eq(read_files(kernel, list), -E2BIG);
}
END_TEST

static const struct { const char *bytes; size_t len; const char *text; } foreign[] = {
	{ "\x1f\x8b\x08", 3, "gzip-compressed" },
	{ "\xfd" "7zXZ\0", 6, "xz-compressed" },
	{ "\x28\xb5\x2f\xfd", 4, "zstd-compressed" },
	{ "070701000", 9, "cpio" },
	{ "#!/bin/sh\n", 10, "not a kernel" },
	{ "x", 1, "not a kernel" },
	{ "\177ELF\2\1\1", 7, "64-bit image" },
	{ "\177ELF\1\1\1", 7, "truncated" },
	{ "\177ELF", 4, "truncated" },
};

START_TEST(foreign_files_are_named)
{
	ck_assert_int_eq(read_files(write_file("c", foreign[_i].bytes, foreign[_i].len), NULL), -ENOEXEC);
	ck_assert_msg(strstr(err, foreign[_i].text) != NULL, "%s", err);
	ck_assert_ptr_nonnull(strstr(err, "/c"));
}
END_TEST

START_TEST(a_long_error_is_cut_not_overrun)
{
	char small[16];

	memset(small, 0x55, sizeof small);
	ck_assert_int_lt(boot_read_files(&files, path("none"), NULL, NULL, small, 8), 0);
	ck_assert_uint_eq(strlen(small), 7);
	ck_assert_int_eq(small[8], 0x55);
}
END_TEST

START_TEST(machine_too_small_for_anything)
{
	struct machine m;

	ck_assert_int_eq(read_files(write_bzimage(), NULL), 0);
	machine_init(&m, MIB);
	ck_assert_int_eq(boot_place(&files, &m.phys, 1, &m.state, err, sizeof err), -ENOMEM);
	ck_assert_ptr_nonnull(strstr(err, "at least 2 MiB"));
	machine_free(&m);
	boot_free_files(&files);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("boot_files");
	TCase *t = tcase_create("files");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, things_that_are_no_boot_files);
	tcase_add_test(t, initrd_is_opaque);
	tcase_add_test(t, module_list);
	tcase_add_test(t, too_many_modules);
	tcase_add_loop_test(t, foreign_files_are_named, 0, ARRAY_SIZE(foreign));
	tcase_add_test(t, a_long_error_is_cut_not_overrun);
	tcase_add_test(t, machine_too_small_for_anything);
	suite_add_tcase(s, t);
	return run_suite(s);
}
