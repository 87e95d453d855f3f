/* cpu/access.c: the software TLB, page crossings, devices, code pages. */
#include "vcpu_fixture.h"

START_TEST(values_and_sizes)
{
	u8 b; u16 w; u32 d; u64 q;

	fix_protected(0);
	ck_assert(mem_write32(&v, 0x9000, 0x11223344, 0));
	ck_assert(mem_write16(&v, 0x9004, 0x5566, 0));
	ck_assert(mem_write8(&v, 0x9006, 0x77, 0));
	ck_assert(mem_read64(&v, 0x9000, &q, 0));
	ck_assert_uint_eq(q, 0x0077556611223344ull);
	ck_assert(mem_read32(&v, 0x9001, &d, 0));
	ck_assert_uint_eq(d, 0x66112233);
	ck_assert(mem_read16(&v, 0x9003, &w, 0));
	ck_assert_uint_eq(w, 0x6611);
	ck_assert(mem_read8(&v, 0x9006, &b, 0));
	ck_assert_uint_eq(b, 0x77);
}
END_TEST

START_TEST(a_read_gives_no_right_to_write)
{
	u32 d;

	fix_protected(0);
	fix_paging_on(1);		/* supervisor, read-only */
	ck_assert(mem_read32(&v, 0x9000, &d, 0));
	assert_raises(mem_write32(&v, 0x9000, 1, 0), EXC_PF, PF_P | PF_W);
	ck_assert_uint_eq(v.exc.cr2, 0x9000);
	assert_raises(mem_read32(&v, 0x9000, &d, ACC_USER), EXC_PF, PF_P | PF_U);
	put_pte(0x9000, 0x9003);	/* an upgrade needs no INVLPG */
	ck_assert(mem_write32(&v, 0x9000, 1, 0));
	ck_assert_uint_eq(mem32(TABLES + 0x1000 + 9 * 4), 0x9063);
}
END_TEST

START_TEST(dirty_is_set_by_the_write_not_the_read)
{
	u32 d;

	fix_protected(0);
	fix_paging_on(7);
	ck_assert(mem_read32(&v, 0x9000, &d, 0));
	ck_assert_uint_eq(mem32(TABLES + 0x1000 + 9 * 4), 0x9027);
	ck_assert(mem_write32(&v, 0x9000, 1, 0));
	ck_assert_uint_eq(mem32(TABLES + 0x1000 + 9 * 4), 0x9067);
}
END_TEST

START_TEST(stale_until_flushed)
{
	u32 d;

	fix_protected(0);
	fix_paging_on(7);
	store32(ram + 0x9000, 9);
	store32(ram + 0xa000, 10);
	ck_assert(mem_read32(&v, 0x9000, &d, 0) && d == 9);
	put_pte(0x9000, 0xa007);
	mem_tlb_flush_page(&v, 0x9000);
	ck_assert(mem_read32(&v, 0x9000, &d, 0) && d == 10);
	put_pte(0x9000, 0);
	mem_tlb_flush(&v);
	assert_raises(mem_read32(&v, 0x9000, &d, 0), EXC_PF, 0);
}
END_TEST

START_TEST(generation_wrap_revives_nothing)
{
	u32 d;

	fix_protected(0);
	fix_paging_on(7);
	v.tlb.gen = 1;
	ck_assert(mem_read32(&v, 0x9000, &d, 0));
	put_pte(0x9000, 0);
	v.tlb.gen = 0xffffffff;
	mem_tlb_flush(&v);
	ck_assert_uint_eq(v.tlb.gen, 1);
	ck_assert(!mem_read32(&v, 0x9000, &d, 0));
}
END_TEST

START_TEST(crossing_write_is_all_or_nothing)
{
	fix_protected(0);
	fix_paging_on(7);
	put_pte(0xa000, 0xa001);
	store32(ram + 0x9ffc, 0x55555555);
	assert_raises(mem_write32(&v, 0x9ffe, 0xaaaaaaaa, 0), EXC_PF, PF_P | PF_W);
	ck_assert_uint_eq(v.exc.cr2, 0xa000);
	ck_assert_uint_eq(mem32(0x9ffc), 0x55555555);
	put_pte(0xa000, 0xc007);	/* not contiguous */
	ck_assert(mem_write32(&v, 0x9ffe, 0xaabbccdd, 0));
	ck_assert_uint_eq(mem16(0x9ffe), 0xccdd);
	ck_assert_uint_eq(mem16(0xc000), 0xaabb);
}
END_TEST

START_TEST(addresses_wrap)
{
	u32 d;

	fix_protected(0);
	fix_paging_on(7);
	store32(ram + TABLES + 1023 * 4, (TABLES + 0x2000) | 7);
	store32(ram + TABLES + 0x2000 + 1023 * 4, 0x9007);
	store16(ram + 0x9ffe, 0x1234);
	store16(ram + 0, 0x5678);
	ck_assert(mem_read32(&v, 0xfffffffe, &d, 0));
	ck_assert_uint_eq(d, 0x56781234);
}
END_TEST

START_TEST(devices_see_aligned_pieces)
{
	u32 d;
	u64 q;

	fix_protected(0);
	seen.mmio_value = 0x1122334455667788ull;
	ck_assert(mem_read64(&v, 0xfee00000, &q, 0));
	ck_assert_uint_eq(q, 0x1122334455667788ull);
	ck_assert_uint_eq(seen.sizes, 0x8);
	seen.sizes = 0;
	ck_assert(mem_read32(&v, 0xfee00001, &d, 0));
	ck_assert_uint_eq(seen.sizes, 0x121);
	seen.sizes = 0;
	ck_assert(mem_write32(&v, 0xfee00300, 0xc4500, 0));
	ck_assert_uint_eq(seen.sizes, 0x4);
	ck_assert_uint_eq(seen.last_gpa, 0xfee00300);
	ck_assert_uint_eq(seen.last_value, 0xc4500);
	ck_assert(mem_write8(&v, 0xa0000, 1, 0));	/* the legacy hole is no RAM */
	ck_assert_uint_eq(seen.last_gpa, 0xa0000);
}
END_TEST

START_TEST(no_device_read_if_the_rest_faults)
{
	u32 d;

	fix_protected(0);
	fix_paging_on(7);
	put_pte(0x9000, 0xa0007);
	put_pte(0xa000, 0);
	assert_raises(mem_read32(&v, 0x9ffe, &d, 0), EXC_PF, 0);
	ck_assert_uint_eq(seen.mmio_reads, 0);
}
END_TEST

START_TEST(code_pages_are_announced)
{
	fix_protected(0);
	has_code[9] = 1;
	ck_assert(mem_write32(&v, 0x9010, 1, 0));
	ck_assert(mem_write32(&v, 0x9010, 1, 0));	/* the second through the TLB */
	ck_assert_uint_eq(seen.code_writes, 2);
	ck_assert_uint_eq(seen.last_gpa, 0x9010);
	ck_assert(mem_write32(&v, 0x8ffe, 1, 0));
	ck_assert_uint_eq(seen.code_writes, 3);
	ck_assert(mem_write32(&v, 0xb000, 1, 0));
	ck_assert_uint_eq(seen.code_writes, 3);
}
END_TEST

START_TEST(probe_and_peek)
{
	u8 buf[16];

	fix_protected(0);
	fix_paging_on(3);
	put_pte(0xa000, 0);
	ck_assert(mem_probe(&v, 0x9000, 0x1000, ACC_WRITE));
	ck_assert_uint_eq(mem32(TABLES + 0x1000 + 9 * 4), 0x9063);
	assert_raises(mem_probe(&v, 0x9ff8, 16, ACC_WRITE), EXC_PF, PF_W);
	ck_assert_uint_eq(v.exc.cr2, 0xa000);
	memset(&v.exc, 0, sizeof(v.exc));
	put_pte(0x9000, 0x9001);
	ck_assert_uint_eq(mem_peek(&v, 0x9ff8, buf, 16), 8);
	ck_assert_uint_eq(v.exc.vector, 0);
	ck_assert_uint_eq(mem32(TABLES + 0x1000 + 9 * 4), 0x9001);
}
END_TEST

static void part(TCase *t)
{
	tcase_add_test(t, values_and_sizes);
	tcase_add_test(t, a_read_gives_no_right_to_write);
	tcase_add_test(t, dirty_is_set_by_the_write_not_the_read);
	tcase_add_test(t, stale_until_flushed);
	tcase_add_test(t, generation_wrap_revives_nothing);
	tcase_add_test(t, crossing_write_is_all_or_nothing);
	tcase_add_test(t, addresses_wrap);
	tcase_add_test(t, devices_see_aligned_pieces);
	tcase_add_test(t, no_device_read_if_the_rest_faults);
	tcase_add_test(t, code_pages_are_announced);
	tcase_add_test(t, probe_and_peek);
}

FIXTURE_MAIN("access", part)
