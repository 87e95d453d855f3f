/*
 * ELF kernels: segments, bss, the entry's translation, Linux's registers, and
 * files that are damaged or for other machines.
 */
#include "tests/unit/boot_fixture.h"

#include <asm/bootparam.h>
#include <elf.h>

#define IMAGE_LEN 0x3000u

/* Text at 1 MiB, data with bss at 1.25 MiB, linked at 3 GiB more, as vmlinux is. */
static u8 *make_elf(void)
{
	u8 *p = guarded_alloc(IMAGE_LEN);
	Elf32_Ehdr eh = {
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC, .e_machine = EM_386, .e_version = EV_CURRENT,
		.e_entry = 0x100010, .e_phoff = sizeof eh, .e_ehsize = sizeof eh,
		.e_phentsize = sizeof(Elf32_Phdr), .e_phnum = 3,
	};
	Elf32_Phdr ph[3] = {
		{ PT_LOAD, 0x1000, 0xc0100000, 0x100000, 0x1000, 0x1000, PF_R | PF_X, 0x1000 },
		{ PT_LOAD, 0x2000, 0xc0140000, 0x140000, 0x800, 0x5000, PF_R | PF_W, 0x1000 },
		{ PT_NOTE, 0x2800, 0xc0100800, 0x100800, 0x40, 0x40, PF_R, 4 },
	};

	for (u32 i = 0; i < IMAGE_LEN; i++)
		p[i] = (u8)(i * 13 + 5);
	memcpy(p, &eh, sizeof eh);
	memcpy(p + sizeof eh, ph, sizeof ph);
	return p;
}

static Elf32_Ehdr *header(u8 *p) { return (Elf32_Ehdr *)p; }
static Elf32_Phdr *segment(u8 *p, int i) { return (Elf32_Phdr *)(p + sizeof(Elf32_Ehdr)) + i; }

START_TEST(segments_bss_and_registers)
{
	u8 *k = make_elf(), initrd[5000];
	struct boot_files f = image_files(k, IMAGE_LEN, "ro");
	struct boot_params *bp;
	struct machine m;

	memset(initrd, 0x77, sizeof initrd);
	f.initrd = (struct blob){ initrd, sizeof initrd };
	machine_init(&m, 8 * MIB);
	memset(m.phys.ram, 0xcc, 8 * MIB);
	ck_assert_int_eq(place(&m, &f), 0);
	ck_assert_int_eq(f.kind, IMAGE_ELF);
	check_entry_state(&m);
	ck_assert_uint_eq(m.state.eip, 0x100010);
	ck_assert_mem_eq(m.phys.ram + 0x100000, k + 0x1000, 0x1000);
	ck_assert_mem_eq(m.phys.ram + 0x140000, k + 0x2000, 0x800);
	for (u32 a = 0x140800; a < 0x145000; a++)
		ck_assert_uint_eq(m.phys.ram[a], 0);
	ck_assert_uint_eq(m.phys.ram[0x145000], 0xcc);

	bp = (struct boot_params *)(m.phys.ram + m.state.regs[6]);
	ck_assert_mem_eq(&bp->hdr.header, "HdrS", 4);
	ck_assert_uint_eq(bp->hdr.version, 0x20f);
	ck_assert_uint_eq(bp->e820_entries, 4);
	ck_assert_str_eq((char *)m.phys.ram + bp->hdr.cmd_line_ptr, "ro");
	ck_assert_uint_eq(bp->hdr.ramdisk_image, 8 * MIB - 2 * PAGE_SIZE);
	ck_assert_mem_eq(m.phys.ram + bp->hdr.ramdisk_image, initrd, sizeof initrd);
	ck_assert_mem_eq(m.phys.ram + bp->acpi_rsdp_addr, "RSD PTR ", 8);
	machine_free(&m);
	guarded_free(k, IMAGE_LEN);
}
END_TEST

START_TEST(virtual_entry_is_translated)
{
	u8 *k = make_elf();
	struct boot_files f = image_files(k, IMAGE_LEN, "");
	struct machine m;

	header(k)->e_entry = 0xc0100020;
	machine_init(&m, 8 * MIB);
	ck_assert_int_eq(place(&m, &f), 0);
	ck_assert_uint_eq(m.state.eip, 0x100020);
	machine_free(&m);
	guarded_free(k, IMAGE_LEN);
}
END_TEST

/* Linux 2.4: p_paddr is p_vaddr. */
START_TEST(image_without_load_addresses)
{
	u8 *k = make_elf();
	struct boot_files f = image_files(k, IMAGE_LEN, "");
	struct machine m;

	header(k)->e_entry = 0xc0100020;
	segment(k, 0)->p_paddr = segment(k, 0)->p_vaddr;
	segment(k, 1)->p_paddr = segment(k, 1)->p_vaddr;
	machine_init(&m, 8 * MIB);
	ck_assert_int_eq(place(&m, &f), 0);
	ck_assert_uint_eq(m.state.eip, 0x100020);
	ck_assert_mem_eq(m.phys.ram + 0x100000, k + 0x1000, 0x1000);
	machine_free(&m);
	guarded_free(k, IMAGE_LEN);
}
END_TEST

static void class64(u8 *k) { k[EI_CLASS] = ELFCLASS64; }
static void class_none(u8 *k) { k[EI_CLASS] = 0; }
static void big_endian(u8 *k) { k[EI_DATA] = ELFDATA2MSB; }
static void for_arm(u8 *k) { header(k)->e_machine = EM_ARM; }
static void relocatable(u8 *k) { header(k)->e_type = ET_REL; }
static void shared(u8 *k) { header(k)->e_type = ET_DYN; }
static void no_segments(u8 *k) { header(k)->e_phnum = 0; }
static void many_segments(u8 *k) { header(k)->e_phnum = 200; }
static void headers_outside(u8 *k) { header(k)->e_phoff = 0xfffffff0; }
static void nothing_to_load(u8 *k) { segment(k, 0)->p_type = segment(k, 1)->p_type = PT_NULL; }
static void entry_outside(u8 *k) { header(k)->e_entry = 0x200000; }
static void beyond_file(u8 *k) { segment(k, 1)->p_filesz = segment(k, 1)->p_memsz = 0x1001; }
static void offset_wraps(u8 *k) { segment(k, 1)->p_offset = 0xffffff00; }
static void memory_less_than_file(u8 *k) { segment(k, 0)->p_memsz = 0x800; }
static void above_ram(u8 *k) { segment(k, 1)->p_paddr = 0x7ff000; }
static void end_wraps(u8 *k) { segment(k, 1)->p_memsz = 0xffffffff; }
static void in_the_vga_hole(u8 *k) { segment(k, 1)->p_paddr = 0xa0000; }
static void in_the_bios(u8 *k) { segment(k, 1)->p_paddr = 0xf8000; }
static void over_the_boot_info(u8 *k) { segment(k, 1)->p_paddr = 0x8f000; }
static void over_the_ivt(u8 *k) { segment(k, 1)->p_paddr = 0x400; }

static const struct { void (*damage)(u8 *k); int code; const char *text; } bad[] = {
	{ class64, -ENOEXEC, "is a 64-bit image; Ringer runs 32-bit guests" },
	{ class_none, -ENOEXEC, "32-bit ELF" },
	{ big_endian, -ENOEXEC, "little-endian" },
	{ for_arm, -ENOEXEC, "another processor" },
	{ relocatable, -ENOEXEC, "not an executable" },
	{ shared, -ENOEXEC, "not an executable" },
	{ no_segments, -ENOEXEC, "program headers" },
	{ many_segments, -ENOEXEC, "" },
	{ headers_outside, -ENOEXEC, "program headers" },
	{ nothing_to_load, -ENOEXEC, "nothing to load" },
	{ entry_outside, -ENOEXEC, "entry point" },
	{ beyond_file, -ENOEXEC, "truncated" },
	{ offset_wraps, -ENOEXEC, "truncated" },
	{ memory_less_than_file, -ENOEXEC, "corrupt" },
	{ above_ram, -ENOMEM, "needs memory" },
	{ end_wraps, -ENOMEM, "needs memory" },
	{ in_the_vga_hole, -ENOMEM, "needs memory" },
	{ in_the_bios, -ENOMEM, "needs memory" },
	{ over_the_boot_info, -ENOEXEC, "boot information" },
	{ over_the_ivt, -ENOEXEC, "boot information" },
};

START_TEST(damaged_files_are_refused)
{
	u8 *k = make_elf();
	struct boot_files f = image_files(k, IMAGE_LEN, "");
	struct machine m;

	bad[_i].damage(k);
	machine_init(&m, 8 * MIB);
	ck_assert_int_eq(place(&m, &f), bad[_i].code);
	ck_assert_msg(strstr(m.err, bad[_i].text) != NULL, "%s", m.err);
	machine_free(&m);
	guarded_free(k, IMAGE_LEN);
}
END_TEST

START_TEST(short_files_are_refused)
{
	u8 *k = make_elf();
	struct machine m;

	machine_init(&m, 8 * MIB);
	for (u32 n = 1; n < 0x2800; n += n < 256 ? 1 : 61) {
		u8 *cut = guarded_alloc(n);
		struct boot_files f = image_files(cut, n, "");

		memcpy(cut, k, n);
		ck_assert_int_eq(place(&m, &f), -ENOEXEC);
		guarded_free(cut, n);
	}
	machine_free(&m);
	guarded_free(k, IMAGE_LEN);
}
END_TEST

START_TEST(mutated_files)
{
	u8 *k = make_elf();

	fuzz_loader(k, IMAGE_LEN, sizeof(Elf32_Ehdr) + 3 * sizeof(Elf32_Phdr), 4000);
	guarded_free(k, IMAGE_LEN);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("boot_elf");
	TCase *t = tcase_create("placement"), *fuzz = tcase_create("fuzz");

	tcase_add_test(t, segments_bss_and_registers);
	tcase_add_test(t, virtual_entry_is_translated);
	tcase_add_test(t, image_without_load_addresses);
	tcase_add_loop_test(t, damaged_files_are_refused, 0, ARRAY_SIZE(bad));
	tcase_add_test(t, short_files_are_refused);
	suite_add_tcase(s, t);
	tcase_add_test(fuzz, mutated_files);
	tcase_set_timeout(fuzz, 60);
	suite_add_tcase(s, fuzz);
	return run_suite(s);
}
