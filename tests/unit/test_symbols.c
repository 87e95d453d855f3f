/*
 * Symbol tables: from ELF, from System.map, and from kallsyms tables in guest
 * memory — made here in each of their layouts, and real ones if Debian's
 * kernels have been fetched.
 */
#define _GNU_SOURCE
#include <check.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/symbols.h"

static char path[64], err[256];

static void write_file(const char *text)
{
	FILE *f;

	snprintf(path, sizeof path, "/tmp/ringer-test-symbols.%d", (int)getpid());
	f = fopen(path, "w");
	fputs(text, f);
	fclose(f);
}

static void assert_at(const struct symbols *s, u32 addr, const char *name, u32 offset)
{
	u32 got = ~0u;
	const char *found = symbols_find(s, addr, &got);

	ck_assert_msg(found != NULL, "nothing at %08x", addr);
	ck_assert_str_eq(found, name);
	ck_assert_uint_eq(got, offset);
}

START_TEST(system_map)
{
	struct symbols *s;

	write_file("00000000 A phys_startup\nc1000000 T _text\nc1000000 T startup_32\nc1000040 t helper\n"
		   "c1002000 T last\nc1001000 T unsorted\n");
	s = symbols_load(path, err, sizeof err);
	ck_assert_msg(s != NULL, "%s", err);
	ck_assert_uint_eq(symbols_count(s), 4);
	assert_at(s, 0xc1000000, "startup_32", 0);	/* rather than _text */
	assert_at(s, 0xc100003f, "startup_32", 0x3f);
	assert_at(s, 0xc1000040, "helper", 0);
	assert_at(s, 0xc1001800, "unsorted", 0x800);
	assert_at(s, 0xc1002010, "last", 0x10);
	ck_assert_ptr_null(symbols_find(s, 0xc0ffffff, NULL));
	ck_assert_ptr_null(symbols_find(s, 0, NULL));
	ck_assert_ptr_null(symbols_find(s, 0xffffffff, NULL));
	symbols_free(s);
	unlink(path);
}
END_TEST

/* This program is an ELF file with symbols; that it is a 64-bit one makes no difference. */
START_TEST(elf)
{
	struct symbols *s = symbols_load("/proc/self/exe", err, sizeof err);
	u32 a, off;

	ck_assert_msg(s != NULL, "%s", err);
	ck_assert(symbols_address(s, "main", &a));
	ck_assert_str_eq(symbols_find(s, a, &off), "main");
	ck_assert(!symbols_address(s, "no such name", &a));
	symbols_free(s);
}
END_TEST

START_TEST(not_symbols)
{
	static const char *const bad[] = {
		"", "x", "hello, world\nthis is text\n", "c1000000\nc1000001\n", "\x7f" "ELF", "\x7f" "ELF\1\1\1 broken beyond repair",
		"123456789012345678901 T toolong\n",
	};

	ck_assert_ptr_null(symbols_load("/nonexistent", err, sizeof err));
	ck_assert_ptr_nonnull(strstr(err, "/nonexistent: No such file"));
	ck_assert_ptr_null(symbols_load("/tmp", err, sizeof err));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		write_file(bad[i]);
		err[0] = 0;
		ck_assert_ptr_null(symbols_load(path, err, sizeof err));
		ck_assert_ptr_nonnull(strstr(err, path));
	}
	unlink(path);
}
END_TEST

/* ---- kallsyms ---- */

enum layout { ABSOLUTE, RELATIVE, SEQS, LATE };

#define LO       0xc0000000u
#define RODATA   0xc1400000u	/* where the tables go */
#define TEXT     0xc1000000u
#define SPACE    0x800000u	/* bytes of guest memory from LO + 0x1000000 */
#define BASE     (LO + 0x1000000)

static u8 *mem;
static u32 at;		/* where the next table goes */
static u32 holes;	/* pages that are not there: every one below TEXT, and this one */

static bool read_mem(void *opaque, u32 lin, void *buf, u32 len)
{
	ck_assert_uint_le((lin & PAGE_MASK) + len, PAGE_SIZE);
	if (lin < BASE || lin - BASE + len > SPACE || (lin & ~PAGE_MASK) == holes)
		return false;
	memcpy(buf, mem + (lin - BASE), len);
	return true;
}

static void put8(u8 v) { mem[at++ - BASE] = v; }
static void put16(u32 v) { put8((u8)v); put8((u8)(v >> 8)); }
static void put32(u32 v) { put16(v); put16(v >> 16); }
static void align4(void) { at = ALIGN_UP(at, 4u); }

static void name_of(u32 i, char *buf)
{
	sprintf(buf, "sym_%u_with_a_name", i * 7919 % 100003);
	if (i % 50 == 0) {	/* 6.1: longer than 127 codes */
		for (int j = 0; j < 120; j++)
			strcat(buf, "ab");
	}
	if (i == 10)
		strcpy(buf, "__start_rodata");
	if (i == 11)
		strcpy(buf, "__end_rodata");
	if (i == 12)
		strcpy(buf, "_end");
}

/* Ascending addresses; the three special names are where the image needs them. */
static u32 address_of(u32 i, u32 count)
{
	if (i < count - 3)
		return TEXT + i * 16;
	return i == count - 3 ? RODATA - 0x1000 : i == count - 2 ? RODATA + 0x200000 : RODATA + 0x300000;
}

static u32 name_index(u32 i, u32 count)
{
	/* The last three symbols carry the special names 10, 11, 12, whose places others take. */
	if (i >= count - 3)
		return 10 + i - (count - 3);
	return i >= 10 && i <= 12 ? count + i : i;
}

/* Tokens: characters that names use are themselves; some other codes are pieces. */
static const char *token(u32 code)
{
	static char one[2];

	switch (code) {
	case 1: return "sym_";
	case 2: return "_with_a_name";
	case 3: return "xyxy";
	}
	one[0] = (code >= '0' && code <= '9') || (code >= 'a' && code <= 'z') || code == '_' || code == 'T' ||
		 code == 'D' ? (char)code : '?';
	return one;
}

static void put_name(u32 i)
{
	char name[512] = "T";
	u8 codes[512];
	u32 n = 0;

	name_of(i, name + 1);
	for (const char *p = name; *p;) {
		u32 c;

		for (c = 3; c > 0; c--)
			if (!strncmp(p, token(c), strlen(token(c))))
				break;
		codes[n++] = c ? (u8)c : (u8)*p;
		p += c ? strlen(token(c)) : 1;
	}
	if (n >= 128) {
		put8((u8)((n & 0x7f) | 0x80));
		put8((u8)(n >> 7));
	} else {
		put8((u8)n);
	}
	for (u32 j = 0; j < n; j++)
		put8(codes[j]);
}

static void put_offsets(u32 count, u32 base)
{
	for (u32 i = 0; i < count; i++)
		put32(address_of(i, count) - base);
	align4();
	if (base)
		put32(base);
	align4();
}

static void make_kallsyms(enum layout layout, u32 where, u32 count)
{
	static u32 markers[4096], index[256];
	u32 names;

	at = where;
	for (int i = 0; i < 3000; i++)		/* what happens to be before */
		put8((u8)(i * 37));
	align4();
	if (layout == ABSOLUTE)
		put_offsets(count, 0);
	else if (layout != LATE)
		put_offsets(count, TEXT);
	put32(count);
	names = at;
	for (u32 i = 0; i < count; i++) {
		if (i % 256 == 0)
			markers[i / 256] = at - names;
		put_name(name_index(i, count));
	}
	align4();
	for (u32 i = 0; i < (count + 255) / 256; i++)
		put32(markers[i]);
	align4();
	if (layout == SEQS)
		for (u32 i = 0; i < count; i++) {
			put8((u8)(i >> 16));
			put8((u8)(i >> 8));
			put8((u8)i);
		}
	align4();
	names = at;
	for (u32 i = 0; i < 256; i++) {
		index[i] = at - names;
		for (const char *p = token(i); *p; p++)
			put8((u8)*p);
		put8(0);
	}
	align4();
	for (u32 i = 0; i < 256; i++)
		put16(index[i]);
	align4();
	if (layout == LATE)
		put_offsets(count, TEXT);
}

static void check_kallsyms(enum layout layout, u32 count)
{
	struct symbols *s;

	memset(mem, 0, SPACE);
	make_kallsyms(layout, RODATA, count);
	s = symbols_from_kallsyms(read_mem, NULL, LO, 0xffffffff);
	ck_assert_msg(s != NULL, "layout %d, %u symbols: not found", layout, count);
	ck_assert_uint_eq(symbols_count(s), count);
	for (u32 i = 0; i < count - 1; i++) {
		char name[512];

		name_of(name_index(i, count), name);
		assert_at(s, address_of(i, count), name, 0);
	}
	assert_at(s, TEXT + 16 + 5, "sym_7919_with_a_name", 5);
	ck_assert_ptr_null(symbols_find(s, RODATA + 0x300000, NULL));	/* _end is the end */
	symbols_free(s);
}

static void setup(void)
{
	mem = calloc(1, SPACE);
	holes = 0;
}

static void teardown(void)
{
	free(mem);
}

START_TEST(every_layout)
{
	static const u32 counts[] = { 300, 511, 512, 513, 20000 };

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		check_kallsyms((enum layout)_i, counts[i]);
}
END_TEST

START_TEST(stale_copy_is_passed_over)
{
	struct symbols *s;

	/* The same tables lower down, as the decompressor leaves them: found first, not the live ones. */
	make_kallsyms(RELATIVE, TEXT + 0x10000, 1000);
	s = symbols_from_kallsyms(read_mem, NULL, LO, 0xffffffff);
	ck_assert_ptr_null(s);
	make_kallsyms(RELATIVE, RODATA, 2000);
	s = symbols_from_kallsyms(read_mem, NULL, LO, 0xffffffff);
	ck_assert_ptr_nonnull(s);
	ck_assert_uint_eq(symbols_count(s), 2000);
	symbols_free(s);
}
END_TEST

START_TEST(nothing_there)
{
	ck_assert_ptr_null(symbols_from_kallsyms(read_mem, NULL, LO, 0xffffffff));
	ck_assert_ptr_null(symbols_from_kallsyms(read_mem, NULL, 0, 0));
	for (u32 i = 0; i < SPACE; i++)
		mem[i] = (u8)"0\0" "1\0" "2\0" "3\0" "4\0" "5\0" "6\0" "7\0" "8\0" "9"[i % 20];
	ck_assert_ptr_null(symbols_from_kallsyms(read_mem, NULL, LO, 0xffffffff));
}
END_TEST

/* Damage anywhere: found or not, but no crash and no endless search. */
START_TEST(damaged_tables)
{
	u32 end, seed = 12345;

	make_kallsyms((enum layout)(_i % 4), RODATA, 600);
	end = at;
	for (int round = 0; round < 60; round++) {
		struct symbols *s;
		u32 where, old;

		seed = seed * 1103515245 + 12345;
		where = RODATA - BASE + 3000 + (seed >> 8) % (end - RODATA - 3000);
		old = mem[where];
		mem[where] = (u8)(seed >> 3);
		holes = round % 10 == 9 ? (where + BASE) & ~PAGE_MASK : 0;
		s = symbols_from_kallsyms(read_mem, NULL, RODATA, RODATA + 0x200000);
		symbols_find(s, TEXT, NULL);
		symbols_free(s);
		mem[where] = (u8)old;
	}
}
END_TEST

/* ---- Debian's own kernels ---- */

static u8 image[64 << 20];

/* The vmlinux in a bzImage (boot.rst: setup_sects, payload_offset, payload_length), by xz(1).  False: skip. */
static bool unpack(const char *vmlinuz, const char *out)
{
	FILE *f = fopen(vmlinuz, "r");
	char cmd[300];
	size_t n;
	u32 payload, len;
	FILE *p;

	if (!f)
		return false;
	n = fread(image, 1, sizeof image, f);
	fclose(f);
	payload = (image[0x1f1] + 1u) * 512 + *(u32 *)(image + 0x248);
	len = *(u32 *)(image + 0x24c);
	if (n < 0x250 || payload + (u64)len > n || memcmp(image + payload, "\xfd" "7zXZ", 5))
		return false;
	snprintf(cmd, sizeof cmd, "xz -dc >%s 2>/dev/null", out);
	p = popen(cmd, "w");
	fwrite(image + payload, 1, len - 4, p);	/* the last word is the unpacked size */
	return pclose(p) == 0;
}

static u8 *loaded;
#define LOADED_SIZE 0x4000000u

static bool read_loaded(void *opaque, u32 lin, void *buf, u32 len)
{
	u32 base = *(u32 *)opaque;

	if (lin < base || lin - base + len > LOADED_SIZE)
		return false;
	memcpy(buf, loaded + (lin - base), len);
	return true;
}

START_TEST(debian_kernels)
{
	static const char *const names[] = { "linux-686", "linux-686-pae" };
	const char *cache = getenv("RINGER_CACHE"), *home = getenv("HOME");
	u32 base = 0xc1000000, off, a;
	char vmlinuz[256], vmlinux[64];
	struct symbols *s;
	Elf32_Ehdr *e;
	Elf32_Phdr *p;
	FILE *f;

	if (cache)
		snprintf(vmlinuz, sizeof vmlinuz, "%s/guests/%s/vmlinuz", cache, names[_i]);
	else
		snprintf(vmlinuz, sizeof vmlinuz, "%s/.cache/ringer/guests/%s/vmlinuz", home ? home : "", names[_i]);
	snprintf(vmlinux, sizeof vmlinux, "/tmp/ringer-test-vmlinux.%d", (int)getpid());
	if (!unpack(vmlinuz, vmlinux)) {
		fprintf(stderr, "debian_kernels: %s is not there or not xz: skipped\n", vmlinuz);
		unlink(vmlinux);
		return;
	}
	f = fopen(vmlinux, "r");
	ck_assert_uint_gt(fread(image, 1, sizeof image, f), 1 << 20);
	fclose(f);
	unlink(vmlinux);
	e = (Elf32_Ehdr *)image;
	p = (Elf32_Phdr *)(image + e->e_phoff);
	loaded = calloc(1, LOADED_SIZE);
	for (int i = 0; i < e->e_phnum; i++)
		if (p[i].p_type == PT_LOAD)
			memcpy(loaded + (p[i].p_vaddr - base), image + p[i].p_offset, p[i].p_filesz);
	s = symbols_from_kallsyms(read_loaded, &base, 0xc0000000, 0xffffffff);
	ck_assert_ptr_nonnull(s);
	ck_assert_uint_gt(symbols_count(s), 20000);
	/* The entry point says where startup_32 is (physically). */
	ck_assert(symbols_address(s, "startup_32", &a) || symbols_address(s, "_text", &a));
	ck_assert_uint_eq(a - 0xc0000000, e->e_entry);
	ck_assert(symbols_address(s, "start_kernel", &a));
	ck_assert_str_eq(symbols_find(s, a + 3, &off), "start_kernel");
	ck_assert_uint_eq(off, 3);
	ck_assert(symbols_address(s, "schedule", &a));
	ck_assert(symbols_address(s, "do_int80_syscall_32", &a));
	symbols_free(s);
	free(loaded);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("symbols");
	TCase *t = tcase_create("files"), *k = tcase_create("kallsyms"), *d = tcase_create("debian");
	SRunner *r;
	int failed;

	tcase_add_test(t, system_map);
	tcase_add_test(t, elf);
	tcase_add_test(t, not_symbols);
	tcase_add_checked_fixture(k, setup, teardown);
	tcase_set_timeout(k, 60);
	tcase_add_loop_test(k, every_layout, ABSOLUTE, LATE + 1);
	tcase_add_test(k, stale_copy_is_passed_over);
	tcase_add_test(k, nothing_there);
	tcase_add_loop_test(k, damaged_tables, 0, 4);
	tcase_set_timeout(d, 60);
	tcase_add_loop_test(d, debian_kernels, 0, 2);
	suite_add_tcase(s, t);
	suite_add_tcase(s, k);
	suite_add_tcase(s, d);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
