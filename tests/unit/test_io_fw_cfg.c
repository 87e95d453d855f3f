/* io/fw_cfg.c: items by port and by DMA, the directory, and what a hostile guest may try. */
#include "tests/unit/io_machine.h"

#include "io/fw_cfg.h"

#define AT 0x8000u			/* the DMA command in guest memory */
#define DATA 0x9000u

static struct machine *m;
static struct fw_cfg *fw;
static u8 bzimage[3000], initrd[5000];
static const char cmdline[] = "console=ttyS0";

static void make(const void *kernel, u32 len)
{
	struct pc_config c = { .cpus = 3, .clock = &m->clock, .phys = &m->phys };

	c.kernel = (struct pc_blob){ kernel, len };
	c.initrd = (struct pc_blob){ initrd, sizeof initrd };
	c.cmdline = (struct pc_blob){ cmdline, sizeof cmdline };
	bus_init(m->bus, &m->clock, &m->phys);
	ck_assert_int_eq(fw_cfg_init(fw, m->bus, &c), 0);
}

static void setup(void)
{
	m = machine_alloc();
	m->bus = calloc(1, sizeof *m->bus);
	fw = calloc(1, sizeof *fw);
	for (unsigned i = 0; i < sizeof bzimage; i++)
		bzimage[i] = (u8)(i * 3);
	for (unsigned i = 0; i < sizeof initrd; i++)
		initrd[i] = (u8)(i * 5 + 1);
	memcpy(bzimage + 0x202, "HdrS", 4);
	bzimage[0x1f1] = 2;
	make(bzimage, sizeof bzimage);
}

static void teardown(void)
{
	free(fw);
	free(m->bus);
	m->bus = NULL;
	machine_free(m);
}

static void get(u16 key, void *buf, u32 len)
{
	out16(m, 0x510, key);
	for (u32 i = 0; i < len; i++)
		((u8 *)buf)[i] = in8(m, 0x511);
}

static u32 number(u16 key)
{
	u8 b[4];

	get(key, b, 4);
	return load32(b);
}

/* As a guest: fill in the command, write its address to the two halves. */
static u32 dma(u32 control, u32 len, u64 address)
{
	store32(m->phys.ram + AT, __builtin_bswap32(control));
	store32(m->phys.ram + AT + 4, __builtin_bswap32(len));
	store64(m->phys.ram + AT + 8, __builtin_bswap64(address));
	out32(m, 0x514, 0);
	out32(m, 0x518, __builtin_bswap32(AT));
	return __builtin_bswap32(load32(m->phys.ram + AT));
}

START_TEST(signature_and_features)
{
	char sig[6];

	get(0, sig, 6);
	ck_assert_mem_eq(sig, "QEMU\0", 6);		/* and zeros after it */
	ck_assert_uint_eq(number(1), 3);
	ck_assert_uint_eq(in32(m, 0x514), 0x554d4551);	/* "QEMU" in memory order */
	ck_assert_uint_eq(in32(m, 0x518), 0x47464320);
}
END_TEST

START_TEST(nothing_selected_after_reset)
{
	out16(m, 0x510, 0);
	ck_assert_uint_eq(in8(m, 0x511), 'Q');
	fw_cfg_reset(fw);
	ck_assert_uint_eq(in8(m, 0x511), 0);
	out8(m, 0x510, 0);				/* a byte selects nothing */
	ck_assert_uint_eq(in8(m, 0x511), 0);
}
END_TEST

START_TEST(numbers)
{
	u64 ram;

	get(3, &ram, 8);
	ck_assert_uint_eq(ram, TEST_RAM);
	ck_assert_uint_eq(number(5), 3);
	ck_assert_uint_eq(number(0x0f), 3);
	ck_assert_uint_eq(number(0x7777), 0);
	ck_assert_uint_eq(number(0xffff), 0);
}
END_TEST

START_TEST(a_bzimage_is_split)
{
	u8 buf[5000];

	ck_assert_uint_eq(number(0x17), 1536);
	ck_assert_uint_eq(number(0x08), sizeof bzimage - 1536);
	ck_assert_uint_eq(number(0x07), 0x100000);
	get(0x18, buf, 1536);
	ck_assert_mem_eq(buf, bzimage, 1536);
	get(0x11, buf, sizeof bzimage - 1536);
	ck_assert_mem_eq(buf, bzimage + 1536, sizeof bzimage - 1536);
	ck_assert_uint_eq(in8(m, 0x511), 0);		/* the end */
	ck_assert_uint_eq(number(0x0b), sizeof initrd);
	get(0x12, buf, sizeof initrd);
	ck_assert_mem_eq(buf, initrd, sizeof initrd);
	ck_assert_uint_eq(number(0x0a), TEST_RAM - 8192);
	ck_assert_uint_eq(number(0x14), sizeof cmdline);
	get(0x15, buf, sizeof cmdline);
	ck_assert_str_eq((char *)buf, cmdline);
}
END_TEST

START_TEST(other_kernels_are_whole)
{
	u8 *exact = malloc(0x205);			/* the sanitizer sees a read beyond it */

	memset(exact, 0, 0x205);
	make(exact, 0x205);
	ck_assert_uint_eq(number(0x17), 0);
	ck_assert_uint_eq(number(0x08), 0x205);
	make(NULL, 0);
	ck_assert_uint_eq(number(0x08), 0);
	ck_assert_uint_eq(number(0x11), 0);
	/* A header that claims more real-mode code than there is file. */
	bzimage[0x1f1] = 255;
	make(bzimage, sizeof bzimage);
	ck_assert_uint_eq(number(0x17), sizeof bzimage);
	ck_assert_uint_eq(number(0x08), 0);
	free(exact);
}
END_TEST

START_TEST(directory_and_e820)
{
	u8 dir[4 + 64], e820[20];

	get(0x19, dir, sizeof dir);
	ck_assert_uint_eq(__builtin_bswap32(load32(dir)), 1);
	ck_assert_str_eq((char *)dir + 12, "etc/e820");
	ck_assert_uint_eq(__builtin_bswap32(load32(dir + 4)), sizeof e820);
	ck_assert_uint_eq(__builtin_bswap16(load16(dir + 8)), 0x20);
	get(0x20, e820, sizeof e820);
	ck_assert_uint_eq(load64(e820), 0);
	ck_assert_uint_eq(load64(e820 + 8), TEST_RAM);
	ck_assert_uint_eq(load32(e820 + 16), 1);
}
END_TEST

START_TEST(dma_reads_skips_and_continues)
{
	ck_assert_uint_eq(dma(0x12u << 16 | 8 | 2, 100, DATA), 0);
	ck_assert_mem_eq(m->phys.ram + DATA, initrd, 100);
	ck_assert_uint_eq(dma(4, 50, 0), 0);		/* skip */
	ck_assert_uint_eq(dma(2, 10, DATA), 0);
	ck_assert_mem_eq(m->phys.ram + DATA, initrd + 150, 10);
	ck_assert_uint_eq(in8(m, 0x511), initrd[160]);	/* one position for both doors */
	ck_assert_uint_eq(dma(0x12u << 16 | 8, 0, 0), 0);
	ck_assert_uint_eq(in8(m, 0x511), initrd[0]);
}
END_TEST

START_TEST(dma_beyond_the_end_is_zeros)
{
	memset(m->phys.ram + DATA, 0xaa, 8192);
	ck_assert_uint_eq(dma(0x12u << 16 | 8 | 2, 6000, DATA), 0);
	ck_assert_mem_eq(m->phys.ram + DATA, initrd, sizeof initrd);
	for (u32 i = sizeof initrd; i < 6000; i++)
		ck_assert_uint_eq(m->phys.ram[DATA + i], 0);
	ck_assert_uint_eq(m->phys.ram[DATA + 6000], 0xaa);
	ck_assert_uint_eq(dma(4, ~0u, 0), 0);		/* positions do not wrap */
	ck_assert_uint_eq(dma(4, ~0u, 0), 0);
	ck_assert_uint_eq(dma(2, 1, DATA), 0);
	ck_assert_uint_eq(m->phys.ram[DATA], 0);
}
END_TEST

START_TEST(dma_is_refused_outside_ram)
{
	u8 before[256];

	memcpy(before, m->phys.ram + TEST_RAM - 256, 256);
	ck_assert_uint_eq(dma(0x12u << 16 | 8 | 2, 512, TEST_RAM - 256), 1);
	ck_assert_mem_eq(m->phys.ram + TEST_RAM - 256, before, 256);	/* nothing copied */
	ck_assert_uint_eq(dma(0x12u << 16 | 8 | 2, 16, ~0ull - 7), 1);
	ck_assert_uint_eq(dma(0x12u << 16 | 8 | 2, ~0u, 0x1000), 1);
	ck_assert_uint_eq(dma(0x12u << 16 | 8 | 2, 0x20000, 0x9f000), 1);	/* across the legacy hole */
	ck_assert_uint_eq(dma(0x12u << 16 | 8 | 16, 4, DATA), 1);	/* write */
	/* The command itself outside RAM: ignored. */
	out32(m, 0x514, ~0u);
	out32(m, 0x518, ~0u);
	out32(m, 0x518, __builtin_bswap32(TEST_RAM - 8));
	out16(m, 0x518, 0);
}
END_TEST

START_TEST(dma_onto_its_own_command)
{
	/* The answer overwrites what was read there; the copy must not confuse the device. */
	ck_assert_uint_eq(dma(0x12u << 16 | 8 | 2, 16, AT), 0);
	ck_assert_mem_eq(m->phys.ram + AT + 4, initrd + 4, 12);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fw_cfg");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, signature_and_features);
	tcase_add_test(t, nothing_selected_after_reset);
	tcase_add_test(t, numbers);
	tcase_add_test(t, a_bzimage_is_split);
	tcase_add_test(t, other_kernels_are_whole);
	tcase_add_test(t, directory_and_e820);
	tcase_add_test(t, dma_reads_skips_and_continues);
	tcase_add_test(t, dma_beyond_the_end_is_zeros);
	tcase_add_test(t, dma_is_refused_outside_ram);
	tcase_add_test(t, dma_onto_its_own_command);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
