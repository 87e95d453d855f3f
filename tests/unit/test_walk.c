/* mmu/walk.c: rights, large pages, PAE, reserved bits, A and D. */
#include "vcpu_fixture.h"

static struct walk_ctx c;
static struct walk_result r;

#define PD (TABLES)
#define PT (TABLES + 0x1000)

static void legacy(void)
{
	c = (struct walk_ctx){ .phys = &phys, .paging = true, .wp = true, .cr3 = PD };
	store32(ram + PD, PT | 7);
}

START_TEST(no_paging_is_identity)
{
	c = (struct walk_ctx){ .phys = &phys };
	ck_assert_uint_eq(walk(&c, 0xdeadbeef, ACC_WRITE | ACC_USER, &r), 0);
	ck_assert_uint_eq(r.gpa, 0xdeadbeef);
	ck_assert(r.writable && r.user && r.dirty && !r.nx);
	ck_assert_uint_eq(r.page_size, 0xffffffff);
}
END_TEST

START_TEST(two_levels)
{
	legacy();
	store32(ram + PT + 5 * 4, 0x42007);
	ck_assert_uint_eq(walk(&c, 0x5123, ACC_USER, &r), 0);
	ck_assert_uint_eq(r.gpa, 0x42123);
	ck_assert_uint_eq(r.pte_gpa, PT + 20);
	ck_assert_uint_eq(r.pde_gpa, PD);
	ck_assert_uint_eq(r.pte, 0x42027);
	ck_assert(r.writable && r.user && !r.dirty);
	ck_assert_uint_eq(mem32(PD), PT | 0x27);
	ck_assert_uint_eq(mem32(PT + 20), 0x42027);
	ck_assert_uint_eq(walk(&c, 0x5123, ACC_USER | ACC_WRITE, &r), 0);
	ck_assert_uint_eq(mem32(PT + 20), 0x42067);
	ck_assert(r.dirty);
}
END_TEST

START_TEST(peek_changes_nothing)
{
	legacy();
	store32(ram + PT + 20, 0x42007);
	ck_assert_uint_eq(walk(&c, 0x5123, ACC_WRITE | ACC_PEEK, &r), 0);
	ck_assert_uint_eq(mem32(PD), PT | 7);
	ck_assert_uint_eq(mem32(PT + 20), 0x42007);
}
END_TEST

START_TEST(a_fault_sets_no_accessed_bits)
{
	legacy();
	store32(ram + PT + 20, 0x42005);
	ck_assert_uint_eq(walk(&c, 0x5000, ACC_WRITE | ACC_USER, &r), PF_FAULT | PF_P | PF_W | PF_U);
	ck_assert_uint_eq(mem32(PD), PT | 7);
	ck_assert_uint_eq(mem32(PT + 20), 0x42005);
}
END_TEST

/* Rights are the AND of both levels; rows: PDE, PTE, access, WP, error. */
static const struct { u32 pde, pte, acc; bool wp; u32 error; } rights[] = {
	{ 7, 7, ACC_WRITE | ACC_USER, true, 0 },
	{ 7, 5, ACC_WRITE | ACC_USER, true, PF_FAULT | 7 },
	{ 5, 7, ACC_WRITE | ACC_USER, false, PF_FAULT | 7 },
	{ 7, 3, ACC_USER, true, PF_FAULT | 5 },
	{ 3, 7, ACC_USER, true, PF_FAULT | 5 },
	{ 3, 3, ACC_WRITE, true, 0 },
	{ 3, 1, ACC_WRITE, true, PF_FAULT | 3 },
	{ 3, 1, ACC_WRITE, false, 0 },
	{ 5, 7, ACC_WRITE, true, PF_FAULT | 3 },
	{ 5, 7, ACC_READ, true, 0 },
	{ 7, 0, ACC_READ, true, PF_FAULT },
	{ 7, 6, ACC_WRITE, true, PF_FAULT | 2 },
	{ 6, 7, ACC_USER, true, PF_FAULT | 4 },
	{ 7, 0, ACC_USER | ACC_FETCH, true, PF_FAULT | 4 },	/* no I/D bit without NX */
};

START_TEST(rights_combine)
{
	legacy();
	c.wp = rights[_i].wp;
	store32(ram + PD, PT | rights[_i].pde);
	store32(ram + PT, 0x42000 | rights[_i].pte);
	ck_assert_uint_eq(walk(&c, 0, rights[_i].acc, &r), rights[_i].error);
}
END_TEST

START_TEST(four_mib_page)
{
	legacy();
	c.pse = true;
	c.pge = true;
	store32(ram + PD + 4, 0x0a800000 | 0x183);
	ck_assert_uint_eq(walk(&c, 0x412345, ACC_WRITE, &r), 0);
	ck_assert_uint_eq(r.gpa, 0x0a812345);
	ck_assert_uint_eq(r.page_size, 4 << 20);
	ck_assert_uint_eq(r.pte_gpa, ~0ull);
	ck_assert(r.global && r.dirty);
	ck_assert_uint_eq(mem32(PD + 4), 0x0a8001e3);
	ck_assert_uint_eq(r.pte, r.pde);
}
END_TEST

START_TEST(ps_means_nothing_without_pse)
{
	legacy();
	store32(ram + PD + 4, PT | 0x83);
	store32(ram + PT, 0x42003);
	ck_assert_uint_eq(walk(&c, 0x400123, ACC_READ, &r), 0);
	ck_assert_uint_eq(r.gpa, 0x42123);
}
END_TEST

START_TEST(pse36)
{
	legacy();
	c.pse = true;
	store32(ram + PD, 0x00400083 | 0xf << 13);
	ck_assert_uint_eq(walk(&c, 0x1000, ACC_READ, &r), 0);
	ck_assert_uint_eq(r.gpa, 0xf00401000ull);
	store32(ram + PD, 0x00400083 | 1 << 17);
	ck_assert_uint_eq(walk(&c, 0x1000, ACC_READ, &r), PF_FAULT | PF_P | PF_RSVD);
	store32(ram + PD, 0x00400083 | 1 << 21);
	ck_assert_uint_eq(walk(&c, 0x1000, ACC_USER, &r), PF_FAULT | PF_P | PF_RSVD | PF_U);
}
END_TEST

START_TEST(tables_outside_ram_are_not_present)
{
	legacy();
	store32(ram + PD, 0x7ffff007);
	ck_assert_uint_eq(walk(&c, 0, ACC_READ, &r), PF_FAULT);
	c.cr3 = 0x7ffff000;
	ck_assert_uint_eq(walk(&c, 0, ACC_WRITE, &r), PF_FAULT | PF_W);
}
END_TEST

static void pae(void)
{
	c = (struct walk_ctx){ .phys = &phys, .paging = true, .pae = true, .wp = true };
	c.pdpte[1] = PD | 1;
	store64(ram + PD, PT | 7);
}

START_TEST(pae_three_levels)
{
	pae();
	store64(ram + PT + 8, 0x800042007ull);
	ck_assert_uint_eq(walk(&c, 0x40001456, ACC_USER | ACC_WRITE, &r), 0);
	ck_assert_uint_eq(r.gpa, 0x800042456ull);
	ck_assert_uint_eq(load64(ram + PT + 8), 0x800042067ull);
	ck_assert_uint_eq(load64(ram + PD), PT | 0x27);
	ck_assert_uint_eq(walk(&c, 0x456, ACC_READ, &r), PF_FAULT);	/* PDPTE 0 is not present */
}
END_TEST

START_TEST(pae_two_mib_page)
{
	pae();
	store64(ram + PD + 8, 0x12600000 | 0x83);
	ck_assert_uint_eq(walk(&c, 0x40312345, ACC_READ, &r), 0);
	ck_assert_uint_eq(r.gpa, 0x12712345);
	ck_assert_uint_eq(r.page_size, 2 << 20);
	store64(ram + PD + 8, 0x12602000 | 0x83);	/* bit 13 */
	ck_assert_uint_eq(walk(&c, 0x40312345, ACC_READ, &r), PF_FAULT | PF_P | PF_RSVD);
	store64(ram + PD + 8, 0x12601000 | 0x83);	/* bit 12 is PAT */
	ck_assert_uint_eq(walk(&c, 0x40312345, ACC_READ, &r), 0);
}
END_TEST

START_TEST(pae_reserved_bits)
{
	pae();
	store64(ram + PT, 0x42007 | BIT64(36));
	ck_assert_uint_eq(walk(&c, 0x40000000, ACC_READ, &r), PF_FAULT | PF_P | PF_RSVD);
	store64(ram + PT, 0x42007 | BIT64(62));
	ck_assert_uint_eq(walk(&c, 0x40000000, ACC_READ, &r), PF_FAULT | PF_P | PF_RSVD);
	store64(ram + PT, 0x42007 | BIT64(63));		/* XD is reserved without NXE */
	ck_assert_uint_eq(walk(&c, 0x40000000, ACC_READ, &r), PF_FAULT | PF_P | PF_RSVD);
	store64(ram + PT, 0x42007);
	store64(ram + PD, PT | 7 | BIT64(40));
	ck_assert_uint_eq(walk(&c, 0x40000000, ACC_WRITE, &r), PF_FAULT | PF_P | PF_RSVD | PF_W);
}
END_TEST

START_TEST(no_execute)
{
	pae();
	c.nxe = true;
	store64(ram + PT, 0x42007 | BIT64(63));
	ck_assert_uint_eq(walk(&c, 0x40000000, ACC_READ, &r), 0);
	ck_assert(r.nx);
	ck_assert_uint_eq(walk(&c, 0x40000000, ACC_FETCH, &r), PF_FAULT | PF_P | PF_I);
	store64(ram + PT, 0x42007);
	store64(ram + PD, PT | 7 | BIT64(63));
	ck_assert_uint_eq(walk(&c, 0x40000000, ACC_FETCH | ACC_USER, &r), PF_FAULT | PF_P | PF_I | PF_U);
	store64(ram + PD, PT | 7);
	ck_assert_uint_eq(walk(&c, 0x40000000, ACC_FETCH | ACC_USER, &r), 0);
	ck_assert(!r.nx);
}
END_TEST

START_TEST(setting_a_on_a_code_page_is_announced)
{
	legacy();
	store32(ram + PT, 0x42007);
	has_code[PT / PAGE_SIZE] = 1;
	ck_assert_uint_eq(walk(&c, 0, ACC_READ, &r), 0);
	ck_assert_uint_eq(seen.code_writes, 1);
	ck_assert_uint_eq(walk(&c, 0, ACC_READ, &r), 0);	/* A is set: no write */
	ck_assert_uint_eq(seen.code_writes, 1);
}
END_TEST

static void part(TCase *t)
{
	tcase_add_test(t, no_paging_is_identity);
	tcase_add_test(t, two_levels);
	tcase_add_test(t, peek_changes_nothing);
	tcase_add_test(t, a_fault_sets_no_accessed_bits);
	tcase_add_loop_test(t, rights_combine, 0, ARRAY_SIZE(rights));
	tcase_add_test(t, four_mib_page);
	tcase_add_test(t, ps_means_nothing_without_pse);
	tcase_add_test(t, pse36);
	tcase_add_test(t, tables_outside_ram_are_not_present);
	tcase_add_test(t, pae_three_levels);
	tcase_add_test(t, pae_two_mib_page);
	tcase_add_test(t, pae_reserved_bits);
	tcase_add_test(t, no_execute);
	tcase_add_test(t, setting_a_on_a_code_page_is_announced);
}

FIXTURE_MAIN("walk", part)
