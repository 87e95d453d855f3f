/*
 * Multiboot 1: both ways of saying where the image goes, the information
 * structure, modules, and headers that lie.
 */
#include "tests/unit/boot_fixture.h"

#include <elf.h>

#define IMAGE_LEN 0x2000u
#define HEADER_AT 0x40u
#define LOAD      0x100000u
#define FLAG_ADDRESSES 0x10000u

static void put_header(u8 *p, u32 flags)
{
	u32 h[] = { 0x1badb002, flags, -(0x1badb002u + flags),
		    LOAD + HEADER_AT, LOAD, LOAD + 0x1800, LOAD + 0x4000, LOAD + 0x60 };

	memcpy(p + HEADER_AT, h, flags & FLAG_ADDRESSES ? sizeof h : 12);
}

/* A flat image whose first byte goes to LOAD. */
static u8 *make_flat(u32 flags)
{
	u8 *p = guarded_alloc(IMAGE_LEN);

	for (u32 i = 0; i < IMAGE_LEN; i++)
		p[i] = (u8)(i * 11 + 3);
	put_header(p, flags | FLAG_ADDRESSES);
	return p;
}

/* An ELF file with the multiboot header at the start of its only segment. */
static u8 *make_elf(u32 flags)
{
	u8 *p = guarded_alloc(IMAGE_LEN);
	Elf32_Ehdr eh = {
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC, .e_machine = EM_386, .e_version = EV_CURRENT,
		.e_entry = 0x80200010, .e_phoff = sizeof eh, .e_ehsize = sizeof eh,
		.e_phentsize = sizeof(Elf32_Phdr), .e_phnum = 1,
	};
	Elf32_Phdr ph = { PT_LOAD, 0x1000, 0x80200000, 0x200000, 0x1000, 0x2000, 7, 0x1000 };
	u32 h[] = { 0x1badb002, flags, -(0x1badb002u + flags) };

	for (u32 i = 0; i < IMAGE_LEN; i++)
		p[i] = (u8)(i * 11 + 3);
	memcpy(p, &eh, sizeof eh);
	memcpy(p + sizeof eh, &ph, sizeof ph);
	memcpy(p + 0x1000, h, sizeof h);
	return p;
}

static void set_field(u8 *k, unsigned field, u32 value)
{
	store32(k + HEADER_AT + 4 * field, value);
}

START_TEST(flat_image_by_its_addresses)
{
	u8 *k = make_flat(3);
	struct boot_files f = image_files(k, IMAGE_LEN, "one two");
	struct machine m;

	machine_init(&m, 8 * MIB);
	memset(m.phys.ram, 0xcc, 8 * MIB);
	ck_assert_int_eq(place(&m, &f), 0);
	ck_assert_int_eq(f.kind, IMAGE_MULTIBOOT);
	check_entry_state(&m);
	ck_assert_uint_eq(m.state.eip, LOAD + 0x60);
	ck_assert_uint_eq(m.state.regs[0], 0x2badb002);
	ck_assert_mem_eq(m.phys.ram + LOAD, k, 0x1800);
	for (u32 a = LOAD + 0x1800; a < LOAD + 0x4000; a++)
		ck_assert_uint_eq(m.phys.ram[a], 0);
	ck_assert_uint_eq(m.phys.ram[LOAD + 0x4000], 0xcc);
	machine_free(&m);
	guarded_free(k, IMAGE_LEN);
}
END_TEST

START_TEST(zero_end_addresses_mean_the_whole_file)
{
	u8 *k = make_flat(0);
	struct boot_files f = image_files(k, IMAGE_LEN, "");
	struct machine m;

	set_field(k, 4, LOAD + HEADER_AT);	/* loading starts at the header itself */
	set_field(k, 5, 0);
	set_field(k, 6, 0);
	machine_init(&m, 8 * MIB);
	ck_assert_int_eq(place(&m, &f), 0);
	ck_assert_mem_eq(m.phys.ram + LOAD + HEADER_AT, k + HEADER_AT, IMAGE_LEN - HEADER_AT);
	machine_free(&m);
	guarded_free(k, IMAGE_LEN);
}
END_TEST

START_TEST(elf_image_by_its_segments)
{
	u8 *k = make_elf(3);
	struct boot_files f = image_files(k, IMAGE_LEN, "");
	struct machine m;

	machine_init(&m, 8 * MIB);
	ck_assert_int_eq(place(&m, &f), 0);
	ck_assert_int_eq(f.kind, IMAGE_MULTIBOOT);
	ck_assert_uint_eq(m.state.eip, 0x200010);
	ck_assert_mem_eq(m.phys.ram + 0x200000, k + 0x1000, 0x1000);
	machine_free(&m);
	guarded_free(k, IMAGE_LEN);
}
END_TEST

START_TEST(information_structure)
{
	static const u64 map[][3] = {
		{ 0, 0x9fc00, 1 }, { 0x9fc00, 0x400, 2 }, { 0xf0000, 0x10000, 2 },
		{ 0x100000, 7 * MIB, 1 },
	};
	u8 *k = make_flat(3);
	struct boot_files f = image_files(k, IMAGE_LEN, "one two");
	struct machine m;
	u32 info, at, end;

	machine_init(&m, 8 * MIB);
	ck_assert_int_eq(place(&m, &f), 0);
	info = m.state.regs[3];
	ck_assert_uint_eq(guest32(&m, info), 0x24f);
	ck_assert_uint_eq(guest32(&m, info + 4), 639);
	ck_assert_uint_eq(guest32(&m, info + 8), 7 * 1024);
	ck_assert_str_eq((char *)m.phys.ram + guest32(&m, info + 16), "image one two");
	ck_assert_uint_eq(guest32(&m, info + 20), 0);
	ck_assert_str_eq((char *)m.phys.ram + guest32(&m, info + 64), "Ringer");
	at = guest32(&m, info + 48);
	end = at + guest32(&m, info + 44);
	for (unsigned i = 0; i < ARRAY_SIZE(map); i++) {
		ck_assert_uint_lt(at, end);
		ck_assert_uint_eq(guest32(&m, at), 20);
		ck_assert_uint_eq(load64(m.phys.ram + at + 4), map[i][0]);
		ck_assert_uint_eq(load64(m.phys.ram + at + 12), map[i][1]);
		ck_assert_uint_eq(guest32(&m, at + 20), map[i][2]);
		at += guest32(&m, at) + 4;
	}
	ck_assert_uint_eq(at, end);
	machine_free(&m);
	guarded_free(k, IMAGE_LEN);
}
END_TEST

START_TEST(modules_follow_the_kernel)
{
	u8 *k = make_flat(3), a[5000], b[10];
	struct boot_module modules[] = {
		{ { a, sizeof a }, (char *)"first with args" }, { { b, sizeof b }, (char *)"second" },
	};
	struct boot_files f = image_files(k, IMAGE_LEN, "");
	struct machine m;
	u32 list;

	memset(a, 0xa1, sizeof a);
	memset(b, 0xb2, sizeof b);
	f.modules = modules;
	f.module_count = 2;
	machine_init(&m, 8 * MIB);
	ck_assert_int_eq(place(&m, &f), 0);
	ck_assert_uint_eq(guest32(&m, m.state.regs[3] + 20), 2);
	list = guest32(&m, m.state.regs[3] + 24);
	ck_assert_uint_eq(guest32(&m, list), LOAD + 0x4000);
	ck_assert_uint_eq(guest32(&m, list + 4), LOAD + 0x4000 + sizeof a);
	ck_assert_str_eq((char *)m.phys.ram + guest32(&m, list + 8), "first with args");
	ck_assert_uint_eq(guest32(&m, list + 16), LOAD + 0x6000);
	ck_assert_mem_eq(m.phys.ram + LOAD + 0x4000, a, sizeof a);
	ck_assert_mem_eq(m.phys.ram + LOAD + 0x6000, b, sizeof b);
	ck_assert_str_eq((char *)m.phys.ram + guest32(&m, list + 24), "second");

	modules[1].file.len = 1ull << 33;	/* does not fit; must not wrap, is never read */
	ck_assert_int_eq(place(&m, &f), -ENOMEM);
	machine_free(&m);
	guarded_free(k, IMAGE_LEN);
}
END_TEST

START_TEST(long_command_line)
{
	u8 *k = make_flat(3);
	char *line = malloc(BOOT_CMDLINE_MAX + 1);
	struct boot_files f = image_files(k, IMAGE_LEN, line);
	struct machine m;

	memset(line, 'x', BOOT_CMDLINE_MAX);
	line[BOOT_CMDLINE_MAX] = 0;
	machine_init(&m, 8 * MIB);
	ck_assert_int_eq(place(&m, &f), -E2BIG);
	line[BOOT_CMDLINE_MAX - 20] = 0;	/* "Ringer" NUL "image " line NUL */
	ck_assert_int_eq(place(&m, &f), 0);
	machine_free(&m);
	guarded_free(k, IMAGE_LEN);
	free(line);
}
END_TEST

/* field of the header, value, expected outcome */
static const struct { unsigned field; u32 value; int code; const char *text; } bad[] = {
	{ 3, LOAD - 4, -ENOEXEC, "load_addr" },		/* header_addr below load_addr */
	{ 3, LOAD + HEADER_AT + 4, -ENOEXEC, "load_addr" },	/* would start before the file */
	{ 4, LOAD + HEADER_AT + 4, -ENOEXEC, "load_addr" },
	{ 5, LOAD - 1, -ENOEXEC, "load_end" },
	{ 5, LOAD + IMAGE_LEN + 1, -ENOEXEC, "truncated" },
	{ 5, 0xffffffff, -ENOEXEC, "truncated" },
	{ 6, LOAD + 0x17ff, -ENOEXEC, "bss_end" },
	{ 6, LOAD - 1, -ENOEXEC, "bss_end" },
	{ 6, 0xffffffff, -ENOMEM, "needs memory" },
	{ 7, LOAD - 1, -ENOEXEC, "entry" },
	{ 7, LOAD + 0x4000, -ENOEXEC, "entry" },
};

START_TEST(lying_headers_are_refused)
{
	u8 *k = make_flat(3);
	struct boot_files f = image_files(k, IMAGE_LEN, "");
	struct machine m;

	set_field(k, bad[_i].field, bad[_i].value);
	machine_init(&m, 8 * MIB);
	ck_assert_int_eq(place(&m, &f), bad[_i].code);
	ck_assert_msg(strstr(m.err, bad[_i].text) != NULL, "%s", m.err);
	machine_free(&m);
	guarded_free(k, IMAGE_LEN);
}
END_TEST

START_TEST(demands_and_recognition)
{
	struct machine m;
	struct boot_files f;
	u8 *k = make_flat(8);		/* bit 3: nobody knows what it demands */

	machine_init(&m, 8 * MIB);
	f = image_files(k, IMAGE_LEN, "");
	ck_assert_int_eq(place(&m, &f), -ENOEXEC);
	ck_assert_ptr_nonnull(strstr(m.err, "demands"));
	put_header(k, FLAG_ADDRESSES | 7);	/* a video mode: ignored, as by QEMU */
	ck_assert_int_eq(place(&m, &f), 0);
	set_field(k, 2, 0);		/* a wrong checksum is no header at all */
	ck_assert_int_eq(place(&m, &f), -ENOEXEC);
	ck_assert_ptr_nonnull(strstr(m.err, "not a kernel"));
	guarded_free(k, IMAGE_LEN);

	k = guarded_alloc(9000);	/* the header must lie whole within 8192 bytes */
	memset(k, 0, 9000);
	f = image_files(k, 9000, "");
	store32(k + 8184, 0x1badb002);
	store32(k + 8192, -0x1badb002u);
	ck_assert_int_eq(place(&m, &f), -ENOEXEC);
	ck_assert_ptr_nonnull(strstr(m.err, "not a kernel"));
	memset(k, 0, 9000);
	store32(k + 8180, 0x1badb002);
	store32(k + 8188, -0x1badb002u);
	ck_assert_int_eq(place(&m, &f), -ENOEXEC);
	ck_assert_ptr_nonnull(strstr(m.err, "neither an ELF file nor load addresses"));
	guarded_free(k, 9000);

	k = make_elf(3);
	k[EI_CLASS] = ELFCLASS64;
	f = image_files(k, IMAGE_LEN, "");
	ck_assert_int_eq(place(&m, &f), -ENOEXEC);
	ck_assert_ptr_nonnull(strstr(m.err, "64-bit image"));
	guarded_free(k, IMAGE_LEN);
	machine_free(&m);
}
END_TEST

START_TEST(mutated_flat_images)
{
	u8 *k = make_flat(3);

	fuzz_loader(k, IMAGE_LEN, HEADER_AT + 32, 4000);
	guarded_free(k, IMAGE_LEN);
}
END_TEST

START_TEST(mutated_elf_images)
{
	u8 *k = make_elf(3);

	fuzz_loader(k, IMAGE_LEN, sizeof(Elf32_Ehdr) + sizeof(Elf32_Phdr), 4000);
	guarded_free(k, IMAGE_LEN);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("boot_multiboot");
	TCase *t = tcase_create("placement"), *fuzz = tcase_create("fuzz");

	tcase_add_test(t, flat_image_by_its_addresses);
	tcase_add_test(t, zero_end_addresses_mean_the_whole_file);
	tcase_add_test(t, elf_image_by_its_segments);
	tcase_add_test(t, information_structure);
	tcase_add_test(t, modules_follow_the_kernel);
	tcase_add_test(t, long_command_line);
	tcase_add_loop_test(t, lying_headers_are_refused, 0, ARRAY_SIZE(bad));
	tcase_add_test(t, demands_and_recognition);
	suite_add_tcase(s, t);
	tcase_add_test(fuzz, mutated_flat_images);
	tcase_add_test(fuzz, mutated_elf_images);
	tcase_set_timeout(fuzz, 60);
	suite_add_tcase(s, fuzz);
	return run_suite(s);
}
