/*
 * What the boot tests share: guest RAM and images between guard pages, so
 * that one byte too far is a fault in every build, and a deterministic
 * mutation loop for the loaders.
 */
#ifndef TESTS_UNIT_BOOT_FIXTURE_H
#define TESTS_UNIT_BOOT_FIXTURE_H

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "vmm/boot.h"
#include "vmm/boot_loaders.h"

#define MIB (1ull << 20)
#define UNUSED __attribute__((unused))

struct machine {
	struct phys_map phys;
	struct boot_state state;
	char err[256];
};

/* len bytes that end at an inaccessible page (and start behind one, up to alignment). */
static UNUSED u8 *guarded_alloc(u64 len)
{
	u64 pages = ALIGN_UP(len, (u64)PAGE_SIZE);
	u8 *p = mmap(NULL, pages + 2 * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	ck_assert_int_eq(mprotect(p + PAGE_SIZE, pages, PROT_READ | PROT_WRITE), 0);
	return p + PAGE_SIZE + (pages - len);
}

static UNUSED void guarded_free(u8 *p, u64 len)
{
	u64 pages = ALIGN_UP(len, (u64)PAGE_SIZE);

	munmap(p - (pages - len) - PAGE_SIZE, pages + 2 * PAGE_SIZE);
}

static UNUSED void machine_init(struct machine *m, u64 ram_size)
{
	memset(m, 0, sizeof *m);
	m->phys.ram = guarded_alloc(ram_size);
	m->phys.ram_size = ram_size;
}

static UNUSED void machine_free(struct machine *m)
{
	guarded_free(m->phys.ram, m->phys.ram_size);
}

static UNUSED struct boot_files image_files(u8 *kernel, u64 len, const char *append)
{
	return (struct boot_files){ .kernel = { kernel, len }, .append = append,
				    .kernel_name = (char *)"image" };
}

/* Identify and place.  The error line's form is checked on every failure. */
static UNUSED int place_cpus(struct machine *m, struct boot_files *f, unsigned cpus)
{
	int r;

	m->err[0] = 0;
	r = boot_identify(&f->kernel, f->kernel_name, &f->kind, m->err, sizeof m->err);
	if (r >= 0)
		r = boot_place(f, &m->phys, cpus, &m->state, m->err, sizeof m->err);
	if (r < 0) {
		ck_assert_msg(m->err[0] && !strchr(m->err, '\n'), "error %d without a line", r);
	} else {
		ck_assert_int_eq(r, 0);
		ck_assert_str_eq(m->err, "");
	}
	return r;
}

static UNUSED int place(struct machine *m, struct boot_files *f) { return place_cpus(m, f, 1); }

static UNUSED u32 guest32(const struct machine *m, u32 gpa)
{
	ck_assert_uint_le((u64)gpa + 4, m->phys.ram_size);
	return load32(m->phys.ram + gpa);
}

/* The flat segments are where the entry state says. */
static UNUSED void check_entry_state(const struct machine *m)
{
	const struct boot_state *s = &m->state;
	u64 code, data;

	ck_assert_uint_eq(s->cs, 0x10);
	ck_assert_uint_eq(s->ds, 0x18);
	ck_assert_uint_ge(s->gdt_limit, 0x1f);
	code = load64(m->phys.ram + s->gdt_base + s->cs);
	data = load64(m->phys.ram + s->gdt_base + s->ds);
	ck_assert_uint_eq(code, 0x00cf9b000000ffffull);
	ck_assert_uint_eq(data, 0x00cf93000000ffffull);
	ck_assert_uint_lt(s->eip, m->phys.ram_size);
}

static UNUSED u32 test_random(u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (u32)(*state >> 16);
}

static UNUSED void mutate(u8 *p, u64 len, u64 interesting, u64 *rng)
{
	static const u32 values[] = { 0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000,
				      0xffffffff, 0xfffffffe, 0x1000, 0x90000, 0x100000, 0xc0000000 };
	unsigned n = 1 + test_random(rng) % 6;

	while (n--) {
		/* Mostly in the headers. */
		u64 span = test_random(rng) % 8 ? min_u64(interesting, len) : len;
		u64 at = test_random(rng) % span;

		switch (test_random(rng) % 4) {
		case 0: p[at] = (u8)test_random(rng); break;
		case 1: p[at] ^= (u8)(1u << test_random(rng) % 8); break;
		case 2:
			if (at + 2 <= len)
				store16(p + at, (u16)values[test_random(rng) % ARRAY_SIZE(values)]);
			break;
		case 3:
			at &= ~3ull;
			if (at + 4 <= len)
				store32(p + at, values[test_random(rng) % ARRAY_SIZE(values)]);
			break;
		}
	}
}

/*
 * `rounds` mutated copies of an image through identification and placement.
 * Whatever happens must be an error with a line or a sound entry state, and
 * every access in bounds.  Both outcomes must occur, or the test tests nothing.
 */
static UNUSED void fuzz_loader(const u8 *image, u64 len, u64 interesting, unsigned rounds)
{
	u8 initrd[100] = { 0 };
	u64 rng = 0x9e3779b97f4a7c15ull;
	unsigned ok = 0, refused = 0;
	struct machine m;

	machine_init(&m, 4 * MIB);
	for (unsigned i = 0; i < rounds; i++) {
		u64 n = test_random(&rng) % 8 ? len : 1 + test_random(&rng) % len;
		u8 *copy = guarded_alloc(n);
		struct boot_files f = image_files(copy, n, "a=b");

		memcpy(copy, image, n);
		mutate(copy, n, interesting, &rng);
		f.initrd = (struct blob){ initrd, sizeof initrd };
		if (place(&m, &f) == 0) {
			check_entry_state(&m);
			ok++;
		} else {
			refused++;
		}
		guarded_free(copy, n);
	}
	machine_free(&m);
	ck_assert_uint_gt(ok, rounds / 100);
	ck_assert_uint_gt(refused, rounds / 100);
}

static UNUSED int run_suite(Suite *s)
{
	SRunner *r = srunner_create(s);
	int failed;

	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
