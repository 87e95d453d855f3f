/*
 * Boot images: from paths to bytes, from bytes to a kind, from a kind to its
 * loader (see vmm/boot.h).
 *
 * What this file owns: reading files, and what every kernel finds alike — the
 * firmware tables, the GDT and the flat 32-bit entry state.  It must not know
 * what is inside an image beyond its magic numbers.
 */
#include "vmm/boot.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "vmm/boot_loaders.h"
#include "vmm/firmware.h"

#define FILE_SIZE_MAX  (4ull << 30)
#define RAM_SIZE_MIN   (2ull << 20)
#define LINUX_MAGIC_AT 0x202		/* "HdrS": boot.rst */
#define MODULES_MAX    64

/* Flat 4 GiB segments, already marked accessed so that loading them writes nothing. */
#define DESC_CODE 0x00cf9b000000ffffull
#define DESC_DATA 0x00cf93000000ffffull
static const u64 boot_gdt[] = {
	[BOOT_CS / 8] = DESC_CODE,
	[BOOT_DS / 8] = DESC_DATA,
};

_Static_assert(BOOT_GDT_BASE + sizeof boot_gdt <= BOOT_CMDLINE_BASE, "no overlap");

int boot_fail(char *err, size_t errlen, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, errlen, fmt, ap);
	va_end(ap);
	return -code;
}

int boot_write(struct boot_ctx *c, u64 gpa, const void *data, u64 len, const char *what)
{
	if (!e820_is_usable(&c->e820, gpa, len) || !phys_write(c->phys, gpa, data, len))
		return boot_ctx_fail(c, ENOMEM, "%s: the %s needs memory at 0x%llx-0x%llx, which this "
				     "machine (%llu MiB) does not have", c->f->kernel_name, what,
				     (unsigned long long)gpa, (unsigned long long)(gpa + len),
				     (unsigned long long)c->phys->ram_size >> 20);
	return 0;
}

int boot_zero(struct boot_ctx *c, u64 gpa, u64 len, const char *what)
{
	static const u8 zeroes[16 * PAGE_SIZE];

	if (!e820_is_usable(&c->e820, gpa, len))
		return boot_write(c, gpa, zeroes, len, what);	/* for its message */
	for (u64 n; len; gpa += n, len -= n) {
		int r;

		n = min_u64(len, sizeof zeroes);
		r = boot_write(c, gpa, zeroes, n, what);
		if (r < 0)
			return r;
	}
	return 0;
}

int boot_write_image(struct boot_ctx *c, u64 gpa, const void *data, u64 file_len, u64 mem_len)
{
	int r;

	if (mem_len && e820_is_usable(&c->e820, gpa, mem_len) &&
	    (gpa < BOOT_IMAGE_MIN || (gpa < E820_LOW_END && gpa + mem_len > BOOT_INFO_BASE)))
		return boot_ctx_fail(c, ENOEXEC, "%s: the image covers low memory that the boot "
				     "information needs (0x%llx-0x%llx)", c->f->kernel_name,
				     (unsigned long long)gpa, (unsigned long long)(gpa + mem_len));
	r = boot_write(c, gpa, data, file_len, "kernel");
	if (r < 0)
		return r;
	return boot_zero(c, gpa + file_len, mem_len - file_len, "kernel");
}

static void blob_free(struct blob *b)
{
	if (b->data)
		munmap(b->data, b->len);
	*b = (struct blob){ 0 };
}

/*
 * The whole file in anonymous memory.  Not a mapping of the file: one that is
 * truncated behind our back must not kill the monitor with SIGBUS.
 */
static int read_file(const char *path, struct blob *out, char *err, size_t errlen)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), r;
	struct stat st;
	u8 *data = MAP_FAILED;
	u64 got = 0;

	if (fd < 0 || fstat(fd, &st) < 0) {
		r = boot_fail(err, errlen, errno, "%s: %s", path, strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		r = boot_fail(err, errlen, S_ISDIR(st.st_mode) ? EISDIR : EINVAL,
			      "%s: not a regular file", path);
		goto out;
	}
	if (st.st_size == 0) {
		r = boot_fail(err, errlen, ENODATA, "%s: empty file", path);
		goto out;
	}
	if ((u64)st.st_size > FILE_SIZE_MAX) {
		r = boot_fail(err, errlen, EFBIG, "%s: larger than 4 GiB", path);
		goto out;
	}
	data = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (data == MAP_FAILED) {
		r = boot_fail(err, errlen, ENOMEM, "%s: no memory for %lld bytes", path,
			      (long long)st.st_size);
		goto out;
	}
	while (got < (u64)st.st_size) {
		ssize_t n = read(fd, data + got, (size_t)st.st_size - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			r = n < 0 ? boot_fail(err, errlen, errno, "%s: %s", path, strerror(errno))
				  : boot_fail(err, errlen, EIO, "%s: shrank while being read", path);
			goto out;
		}
		got += (u64)n;
	}
	*out = (struct blob){ data, (u64)st.st_size };
	data = MAP_FAILED;
	r = 0;
out:
	if (data != MAP_FAILED)
		munmap(data, (size_t)st.st_size);
	if (fd >= 0)
		close(fd);
	return r;
}

/* What people try to boot that no loader here takes, by its first bytes. */
static const struct { const char *magic; u8 len; const char *is; } foreign[] = {
	{ "\x1f\x8b", 2, "gzip-compressed; uncompress it first" },
	{ "BZh", 3, "bzip2-compressed; uncompress it first" },
	{ "\xfd" "7zXZ", 5, "xz-compressed; uncompress it first" },
	{ "\x28\xb5\x2f\xfd", 4, "zstd-compressed; uncompress it first" },
	{ "070701", 6, "a cpio archive (an initrd?), not a kernel" },
	{ "\x27\x05\x19\x56", 4, "a U-Boot image, not an x86 kernel" },
};

int boot_identify(const struct blob *k, const char *name, enum image_kind *kind,
		  char *err, size_t errlen)
{
	bool elf = k->len >= SELFMAG && !memcmp(k->data, ELFMAG, SELFMAG);

	if (k->len >= LINUX_MAGIC_AT + 4 && !memcmp(k->data + LINUX_MAGIC_AT, "HdrS", 4)) {
		*kind = IMAGE_BZIMAGE;
		return bzimage_check(k, name, err, errlen);
	}
	if (elf) {
		int r = elf_check(k, name, err, errlen);

		if (r < 0)
			return r;
	}
	if (multiboot_find_header(k) >= 0) {
		*kind = IMAGE_MULTIBOOT;
		return 0;
	}
	if (elf) {
		*kind = IMAGE_ELF;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
		if (k->len >= foreign[i].len && !memcmp(k->data, foreign[i].magic, foreign[i].len))
			return boot_fail(err, errlen, ENOEXEC, "%s is %s", name, foreign[i].is);
	return boot_fail(err, errlen, ENOEXEC, "%s is not a kernel that Ringer can start "
			 "(Linux bzImage, 32-bit ELF, multiboot)", name);
}

/* One element of a module list: up to a single comma; ",," stands for a comma.  malloc'ed. */
static char *next_module(const char **list)
{
	const char *p = *list;
	char *s = malloc(strlen(p) + 1), *q = s;

	CHECK(s);
	for (; *p; *q++ = *p++)
		if (*p == ',' && *++p != ',')
			break;
	*q = 0;
	*list = p;
	return s;
}

static int read_modules(struct boot_files *f, const char *list, char *err, size_t errlen)
{
	f->modules = calloc(MODULES_MAX, sizeof *f->modules);
	CHECK(f->modules);
	while (*list) {
		char *string, *path;
		int r;

		if (f->module_count == MODULES_MAX)
			return boot_fail(err, errlen, E2BIG, "more than %d multiboot modules", MODULES_MAX);
		string = next_module(&list);
		f->modules[f->module_count].string = string;
		path = strndup(string, strcspn(string, " "));
		CHECK(path);
		r = read_file(path, &f->modules[f->module_count++].file, err, errlen);
		free(path);
		if (r < 0)
			return r;
	}
	return 0;
}

int boot_read_files(struct boot_files *f, const char *kernel, const char *initrd,
		    const char *append, char *err, size_t errlen)
{
	int r;

	*f = (struct boot_files){ .append = append ? append : "", .kernel_name = strdup(kernel) };
	CHECK(f->kernel_name);
	r = read_file(kernel, &f->kernel, err, errlen);
	if (r < 0)
		goto fail;
	r = boot_identify(&f->kernel, kernel, &f->kind, err, errlen);
	if (r < 0)
		goto fail;
	if (initrd && f->kind == IMAGE_MULTIBOOT)
		r = read_modules(f, initrd, err, errlen);
	else if (initrd)
		r = read_file(initrd, &f->initrd, err, errlen);
	if (r < 0)
		goto fail;
	return 0;
fail:
	boot_free_files(f);
	return r;
}

void boot_free_files(struct boot_files *f)
{
	blob_free(&f->kernel);
	blob_free(&f->initrd);
	for (unsigned i = 0; i < f->module_count; i++) {
		blob_free(&f->modules[i].file);
		free(f->modules[i].string);
	}
	free(f->modules);
	free(f->kernel_name);
	*f = (struct boot_files){ .append = "" };
}

int boot_place(const struct boot_files *f, const struct phys_map *phys, unsigned cpus,
	       struct boot_state *out, char *err, size_t errlen)
{
	struct boot_ctx c = { .f = f, .phys = phys, .out = out, .err = err, .errlen = errlen };
	int r;

	if (phys->ram_size < RAM_SIZE_MIN)
		return boot_fail(err, errlen, ENOMEM, "a machine needs at least %llu MiB of memory",
				 RAM_SIZE_MIN >> 20);
	e820_build(&c.e820, phys->ram_size);
	CHECK(bios_place(phys, cpus, &c.rsdp));
	r = boot_write(&c, BOOT_GDT_BASE, boot_gdt, sizeof boot_gdt, "GDT");
	if (r < 0)
		return r;
	*out = (struct boot_state){
		.regs[4] = BOOT_INFO_BASE,	/* esp: conventional memory below is free */
		.cs = BOOT_CS, .ds = BOOT_DS,
		.gdt_base = BOOT_GDT_BASE, .gdt_limit = sizeof boot_gdt - 1,
	};
	switch (f->kind) {
	case IMAGE_BZIMAGE:   return bzimage_place(&c);
	case IMAGE_ELF:       return elf_place(&c);
	case IMAGE_MULTIBOOT: return multiboot_place(&c);
	}
	CHECK(!"a kind that boot_identify gives");
	return -EINVAL;
}
