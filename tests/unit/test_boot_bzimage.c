/*
 * The Linux/x86 boot protocol: images of every kind of header, where their
 * parts end up, what the zero page says, and what is refused.
 */
#include "tests/unit/boot_fixture.h"

#include <asm/bootparam.h>

#define SETUP_SECTS 4u
#define SETUP_LEN   ((SETUP_SECTS + 1) * 512)

static u8 header_end(u16 version)
{
	if (version >= 0x20f) return 0x6c - 0x02;
	if (version >= 0x20b) return 0x68 - 0x02;
	if (version >= 0x20a) return 0x64 - 0x02;
	if (version >= 0x209) return 0x58 - 0x02;
	if (version >= 0x208) return 0x50 - 0x02;
	if (version >= 0x207) return 0x48 - 0x02;
	if (version >= 0x206) return 0x3c - 0x02;
	if (version >= 0x205) return 0x38 - 0x02;
	if (version >= 0x203) return 0x30 - 0x02;
	if (version >= 0x202) return 0x2c - 0x02;
	return 0x26 - 0x02;
}

/* As the kernel's own build would make it; pref 0x200000, 1.5 MiB to unpack into. */
static u8 *make_bzimage(u16 version, u32 payload, u64 *len)
{
	u8 *p;
	struct boot_params *bp;
	struct setup_header h = { 0 };

	*len = SETUP_LEN + payload;
	p = guarded_alloc(*len);
	memset(p, 0x90, SETUP_LEN);
	for (u32 i = 0; i < payload; i++)
		p[SETUP_LEN + i] = (u8)(i * 7 + 1);
	bp = (struct boot_params *)p;
	h.setup_sects = SETUP_SECTS;
	h.syssize = payload / 16;
	h.boot_flag = 0xaa55;
	h.jump = (u16)(0xeb | header_end(version) << 8);
	memcpy(&h.header, "HdrS", 4);
	h.version = version;
	h.loadflags = LOADED_HIGH;
	h.code32_start = 0x100000;
	h.initrd_addr_max = 0x37ffffff;
	h.kernel_alignment = 0x100000;
	h.relocatable_kernel = 1;
	h.cmdline_size = 2047;
	h.pref_address = 0x200000;
	h.init_size = 0x180000;
	memcpy(&bp->hdr, &h, header_end(version) + 0x11);	/* up to the jump's target */
	return p;
}

static struct boot_params *zero_page(struct machine *m)
{
	return (struct boot_params *)(m->phys.ram + m->state.regs[6]);
}

START_TEST(modern_image_goes_where_it_prefers)
{
	u64 len;
	u8 *k = make_bzimage(0x20f, 8192, &len);
	struct boot_files f = image_files(k, len, "console=ttyS0 quiet");
	struct boot_params *bp;
	struct machine m;

	machine_init(&m, 16 * MIB);
	ck_assert_int_eq(place(&m, &f), 0);
	ck_assert_int_eq(f.kind, IMAGE_BZIMAGE);
	check_entry_state(&m);
	ck_assert_uint_eq(m.state.eip, 0x200000);
	ck_assert_mem_eq(m.phys.ram + 0x200000, k + SETUP_LEN, 8192);
	for (int r = 0; r < 8; r++)
		ck_assert(r == 4 || r == 6 || m.state.regs[r] == 0);

	bp = zero_page(&m);
	ck_assert_uint_eq(bp->sentinel, 0);
	ck_assert_uint_eq(bp->hdr.type_of_loader, 0xff);
	ck_assert_uint_eq(bp->hdr.code32_start, 0x200000);
	ck_assert_uint_eq(bp->hdr.vid_mode, 0xffff);
	ck_assert_uint_eq(bp->hdr.ramdisk_image, 0);
	ck_assert_str_eq((char *)m.phys.ram + bp->hdr.cmd_line_ptr, "console=ttyS0 quiet");
	ck_assert_mem_eq(m.phys.ram + bp->acpi_rsdp_addr, "RSD PTR ", 8);
	ck_assert_uint_eq(bp->screen_info.orig_video_cols, 0);
	ck_assert_uint_eq(bp->alt_mem_k, 15 * 1024);
	ck_assert_uint_eq(bp->screen_info.ext_mem_k, 15 * 1024);
	machine_free(&m);
	guarded_free(k, len);
}
END_TEST

START_TEST(memory_map_is_in_the_zero_page)
{
	static const struct boot_e820_entry want[] = {
		{ 0, 0x9fc00, 1 }, { 0x9fc00, 0x400, 2 }, { 0xf0000, 0x10000, 2 },
		{ 0x100000, 15 * MIB, 1 },
	};
	u64 len;
	u8 *k = make_bzimage(0x20f, 8192, &len);
	struct boot_files f = image_files(k, len, "");
	struct machine m;

	machine_init(&m, 16 * MIB);
	ck_assert_int_eq(place(&m, &f), 0);
	ck_assert_uint_eq(zero_page(&m)->e820_entries, ARRAY_SIZE(want));
	ck_assert_mem_eq(zero_page(&m)->e820_table, want, sizeof want);
	machine_free(&m);
	guarded_free(k, len);
}
END_TEST

/* What changes from version to version: address, entry, RSDP, command line. */
static const struct { u16 version; u32 load; bool pointer, rsdp; } versions[] = {
	{ 0x200, 0x100000, false, false }, { 0x201, 0x100000, false, false },
	{ 0x202, 0x100000, true, false },  { 0x203, 0x100000, true, false },
	{ 0x204, 0x100000, true, false },  { 0x205, 0x100000, true, false },
	{ 0x206, 0x100000, true, false },  { 0x207, 0x100000, true, false },
	{ 0x208, 0x100000, true, false },  { 0x209, 0x100000, true, false },
	{ 0x20a, 0x200000, true, false },  { 0x20b, 0x200000, true, false },
	{ 0x20c, 0x200000, true, false },  { 0x20d, 0x200000, true, false },
	{ 0x20e, 0x200000, true, true },   { 0x20f, 0x200000, true, true },
};

START_TEST(every_protocol_version)
{
	u64 len;
	u16 v = versions[_i].version;
	u8 *k = make_bzimage(v, 8192, &len);
	struct boot_files f = image_files(k, len, "root=/dev/ram0");
	struct boot_params *bp;
	struct machine m;
	u32 cmdline;

	machine_init(&m, 16 * MIB);
	ck_assert_int_eq(place(&m, &f), 0);
	ck_assert_uint_eq(m.state.eip, versions[_i].load);
	ck_assert_mem_eq(m.phys.ram + versions[_i].load, k + SETUP_LEN, 8192);
	bp = zero_page(&m);
	ck_assert_uint_eq(m.state.regs[6], 0x90000);	/* old kernels look nowhere else */
	ck_assert_uint_eq(bp->hdr.version, v);
	ck_assert_uint_eq(bp->acpi_rsdp_addr != 0, versions[_i].rsdp);
	cmdline = bp->hdr.cmd_line_ptr;
	if (!versions[_i].pointer) {
		ck_assert_uint_eq(load16((u8 *)bp + 0x20), 0xa33f);
		cmdline = 0x90000 + load16((u8 *)bp + 0x22);
	}
	ck_assert_str_eq((char *)m.phys.ram + cmdline, "root=/dev/ram0");
	machine_free(&m);
	guarded_free(k, len);
}
END_TEST

/* Behind an old header there is code; none of it may be taken for a field. */
START_TEST(fields_beyond_the_header_are_not_read)
{
	u64 len;
	u8 *k = make_bzimage(0x202, 8192, &len);
	struct boot_files f = image_files(k, len, "");
	struct machine m;

	memset(k + 0x22c, 0xff, 0x290 - 0x22c);
	machine_init(&m, 16 * MIB);
	ck_assert_int_eq(place(&m, &f), 0);
	ck_assert_uint_eq(m.state.eip, 0x100000);
	ck_assert_uint_eq(zero_page(&m)->hdr.setup_data, 0);
	ck_assert_uint_eq(zero_page(&m)->hdr.pref_address, 0);
	machine_free(&m);
	guarded_free(k, len);
}
END_TEST

START_TEST(zimage_is_moved_down)
{
	u64 len;
	u8 *k = make_bzimage(0x200, 8192, &len);
	struct boot_files f = image_files(k, len, "");
	struct machine m;

	k[0x211] &= (u8)~LOADED_HIGH;
	store32(k + 0x214, 0x1000);
	machine_init(&m, 16 * MIB);
	ck_assert_int_eq(place(&m, &f), 0);
	ck_assert_uint_eq(m.state.eip, 0x1000);
	ck_assert_mem_eq(m.phys.ram + 0x1000, k + SETUP_LEN, 8192);
	check_entry_state(&m);
	machine_free(&m);
	guarded_free(k, len);
}
END_TEST

START_TEST(zimage_too_large_for_low_memory)
{
	u64 len;
	u8 *k = make_bzimage(0x200, 0x8f010, &len);
	struct boot_files f = image_files(k, len, "");
	struct machine m;

	k[0x211] &= (u8)~LOADED_HIGH;
	store32(k + 0x214, 0x1000);
	machine_init(&m, 16 * MIB);
	ck_assert_int_eq(place(&m, &f), -EFBIG);
	machine_free(&m);
	guarded_free(k, len);
}
END_TEST

START_TEST(fixed_kernel_keeps_room_at_its_address)
{
	u64 len;
	u8 *k = make_bzimage(0x20a, 8192, &len);
	struct boot_files f = image_files(k, len, "");
	struct machine m;

	k[0x234] = 0;			/* not relocatable: loaded at 1 MiB, unpacks at 2 MiB */
	machine_init(&m, 4 * MIB);
	ck_assert_int_eq(place(&m, &f), 0);
	ck_assert_uint_eq(m.state.eip, 0x100000);
	machine_free(&m);
	machine_init(&m, 3 * MIB);
	ck_assert_int_eq(place(&m, &f), -ENOMEM);
	ck_assert_ptr_nonnull(strstr(m.err, "needs memory up to 4 MiB"));
	machine_free(&m);
	guarded_free(k, len);
}
END_TEST

START_TEST(initrd_as_high_as_possible)
{
	u8 initrd[10000];
	u64 len;
	u8 *k = make_bzimage(0x20f, 8192, &len);
	struct boot_files f = image_files(k, len, "");
	struct boot_params *bp;
	struct machine m;
	u32 base;

	memset(initrd, 0x5a, sizeof initrd);
	f.initrd = (struct blob){ initrd, sizeof initrd };
	machine_init(&m, 16 * MIB);
	ck_assert_int_eq(place(&m, &f), 0);
	bp = zero_page(&m);
	base = bp->hdr.ramdisk_image;
	ck_assert_uint_eq(base, 16 * MIB - 3 * PAGE_SIZE);
	ck_assert_uint_eq(bp->hdr.ramdisk_size, sizeof initrd);
	ck_assert_mem_eq(m.phys.ram + base, initrd, sizeof initrd);

	/* Below the kernel's limit: bytes up to and including 0x5fffff. */
	store32(k + 0x22c, 0x5fffff);
	ck_assert_int_eq(place(&m, &f), 0);
	ck_assert_uint_eq(zero_page(&m)->hdr.ramdisk_image, 0x600000 - 3 * PAGE_SIZE);
	/* Below what the user leaves to the kernel; the last mem= counts. */
	f.append = "x mem=16M mem=5120k y memmap=1M";
	ck_assert_int_eq(place(&m, &f), 0);
	ck_assert_uint_eq(zero_page(&m)->hdr.ramdisk_image, 0x500000 - 3 * PAGE_SIZE);
	f.append = "mem=nopentium mem=0x500000 xmem=4M";
	ck_assert_int_eq(place(&m, &f), 0);
	ck_assert_uint_eq(zero_page(&m)->hdr.ramdisk_image, 0x500000 - 3 * PAGE_SIZE);
	/* More than there is, or nonsense, changes nothing. */
	f.append = "mem=99999999999999999999999G";
	ck_assert_int_eq(place(&m, &f), 0);
	ck_assert_uint_eq(zero_page(&m)->hdr.ramdisk_image, 0x600000 - 3 * PAGE_SIZE);
	machine_free(&m);
	guarded_free(k, len);
}
END_TEST

START_TEST(initrd_that_does_not_fit)
{
	u64 len, size = 640 << 10;
	u8 *k = make_bzimage(0x20f, 8192, &len), *initrd = guarded_alloc(size);
	struct boot_files f = image_files(k, len, "");
	struct machine m;

	f.initrd = (struct blob){ initrd, size };
	machine_init(&m, 4 * MIB);	/* the kernel ends at 3.5 MiB */
	ck_assert_int_eq(place(&m, &f), -ENOMEM);
	ck_assert_ptr_nonnull(strstr(m.err, "initrd (640 KiB) does not fit"));
	f.initrd.len = 512 << 10;
	ck_assert_int_eq(place(&m, &f), 0);
	f.initrd.len = 1ull << 40;	/* must not wrap; never read */
	ck_assert_int_eq(place(&m, &f), -ENOMEM);
	machine_free(&m);
	guarded_free(k, len);
	guarded_free(initrd, size);
}
END_TEST

START_TEST(command_line_limits)
{
	u64 len;
	char line[3000];
	u8 *k = make_bzimage(0x206, 8192, &len);
	struct boot_files f = image_files(k, len, line);
	struct machine m;

	machine_init(&m, 16 * MIB);
	memset(line, 'x', sizeof line);
	line[2047] = 0;
	ck_assert_int_eq(place(&m, &f), 0);
	line[2047] = 'x';
	line[2048] = 0;
	ck_assert_int_eq(place(&m, &f), -E2BIG);
	ck_assert_ptr_nonnull(strstr(m.err, "2048 characters; this kernel takes at most 2047"));
	guarded_free(k, len);

	k = make_bzimage(0x204, 8192, &len);	/* no cmdline_size yet */
	f = image_files(k, len, line);
	line[256] = 0;
	ck_assert_int_eq(place(&m, &f), -E2BIG);
	line[255] = 0;
	ck_assert_int_eq(place(&m, &f), 0);
	machine_free(&m);
	guarded_free(k, len);
}
END_TEST

/* One damaged field each: offset, width, value, and what the line must mention. */
static const struct { u16 at; u8 width; u64 value; int code; const char *text; } bad[] = {
	{ 0x206, 2, 0x1ff, -ENOEXEC, "older than 2.00" },
	{ 0x1f1, 1, 0xff, -ENOEXEC, "truncated" },
	{ 0x1f4, 4, 513, -ENOEXEC, "truncated: 16 bytes" },
	{ 0x1f4, 4, 0xffffffff, -ENOEXEC, "truncated" },
	{ 0x236, 2, XLF_KERNEL_64, -ENOEXEC, "64-bit" },
	{ 0x230, 4, 0x300000, -ENOEXEC, "kernel_alignment" },
	{ 0x214, 4, 0xfffff, -ENOEXEC, "entry point" },
	{ 0x214, 4, 0x102000, -ENOEXEC, "entry point" },
	{ 0x258, 8, 1ull << 32, -ENOEXEC, "above 4 GiB" },
	{ 0x258, 8, ~0ull, -ENOEXEC, "above 4 GiB" },
	{ 0x258, 8, 0xfff00000, -ENOEXEC, "above 4 GiB" },
	{ 0x258, 8, 0x40000000, -ENOMEM, "needs memory" },
	{ 0x260, 4, 0xffffffff, -ENOEXEC, "above 4 GiB" },
	{ 0x260, 4, 0x10000000, -ENOMEM, "needs memory" },
};

START_TEST(damaged_headers_are_refused)
{
	u64 len;
	u8 *k = make_bzimage(0x20f, 8192, &len);
	struct boot_files f = image_files(k, len, "");
	struct machine m;

	machine_init(&m, 16 * MIB);
	memcpy(k + bad[_i].at, &bad[_i].value, bad[_i].width);
	ck_assert_int_eq(place(&m, &f), bad[_i].code);
	ck_assert_msg(strstr(m.err, bad[_i].text) != NULL, "%s", m.err);
	machine_free(&m);
	guarded_free(k, len);
}
END_TEST

START_TEST(short_files_are_refused)
{
	u64 len;
	u8 *k = make_bzimage(0x20f, 8192, &len);
	struct machine m;

	machine_init(&m, 16 * MIB);
	for (u64 n = 1; n < len; n += 97) {
		u8 *cut = guarded_alloc(n);
		struct boot_files f = image_files(cut, n, "");

		memcpy(cut, k, n);
		ck_assert_int_eq(place(&m, &f), -ENOEXEC);
		guarded_free(cut, n);
	}
	machine_free(&m);
	guarded_free(k, len);
}
END_TEST

/* A reset places the image again over what the guest has left. */
START_TEST(placing_again_gives_the_same_memory)
{
	u64 len;
	u8 *k = make_bzimage(0x20f, 8192, &len), *first = malloc(4 * MIB);
	struct boot_files f = image_files(k, len, "abc");
	struct boot_state state;
	struct machine m;

	machine_init(&m, 4 * MIB);
	ck_assert_int_eq(place(&m, &f), 0);
	memcpy(first, m.phys.ram, 4 * MIB);
	state = m.state;
	memset(m.phys.ram, 0xcc, 4 * MIB);
	ck_assert_int_eq(place(&m, &f), 0);
	ck_assert_mem_eq(&state, &m.state, sizeof state);
	ck_assert_mem_eq(m.phys.ram, first, 0x500);
	ck_assert_mem_eq(m.phys.ram + 0x90000, first + 0x90000, PAGE_SIZE);
	ck_assert_mem_eq(m.phys.ram + 0x9fc00, first + 0x9fc00, 0x400);
	ck_assert_mem_eq(m.phys.ram + 0xf0000, first + 0xf0000, 0x10000);
	ck_assert_mem_eq(m.phys.ram + 0x200000, first + 0x200000, 8192);
	machine_free(&m);
	guarded_free(k, len);
	free(first);
}
END_TEST

static unsigned code_writes;
static void note_code(void *opaque, gpa_t gpa, u64 len) { code_writes++; }

/* Image loading goes through the door that knows about translated code. */
START_TEST(loading_invalidates_translated_code)
{
	u64 len;
	u8 *k = make_bzimage(0x20f, 8192, &len);
	struct boot_files f = image_files(k, len, "");
	struct machine m;

	machine_init(&m, 4 * MIB);
	m.phys.has_code = calloc(4 * MIB / PAGE_SIZE, 1);
	m.phys.has_code[0x201000 / PAGE_SIZE] = 1;
	m.phys.code_written = note_code;
	code_writes = 0;
	ck_assert_int_eq(place(&m, &f), 0);
	ck_assert_uint_gt(code_writes, 0);
	free(m.phys.has_code);
	machine_free(&m);
	guarded_free(k, len);
}
END_TEST

START_TEST(mutated_images)
{
	u64 len;
	u8 *k = make_bzimage(versions[_i].version, 4096, &len);

	fuzz_loader(k + 0, len, 0x290, 400);
	guarded_free(k, len);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("boot_bzimage");
	TCase *t = tcase_create("placement"), *fuzz = tcase_create("fuzz");

	tcase_add_test(t, modern_image_goes_where_it_prefers);
	tcase_add_test(t, memory_map_is_in_the_zero_page);
	tcase_add_loop_test(t, every_protocol_version, 0, ARRAY_SIZE(versions));
	tcase_add_test(t, fields_beyond_the_header_are_not_read);
	tcase_add_test(t, zimage_is_moved_down);
	tcase_add_test(t, zimage_too_large_for_low_memory);
	tcase_add_test(t, fixed_kernel_keeps_room_at_its_address);
	tcase_add_test(t, initrd_as_high_as_possible);
	tcase_add_test(t, initrd_that_does_not_fit);
	tcase_add_test(t, command_line_limits);
	tcase_add_loop_test(t, damaged_headers_are_refused, 0, ARRAY_SIZE(bad));
	tcase_add_test(t, short_files_are_refused);
	tcase_add_test(t, placing_again_gives_the_same_memory);
	tcase_add_test(t, loading_invalidates_translated_code);
	suite_add_tcase(s, t);
	tcase_add_loop_test(fuzz, mutated_images, 0, ARRAY_SIZE(versions));
	tcase_set_timeout(fuzz, 60);
	suite_add_tcase(s, fuzz);
	return run_suite(s);
}
