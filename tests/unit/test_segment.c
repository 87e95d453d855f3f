/* cpu/segment.c: loads with their checks, A bits, LDT, TR, LAR/LSL/VERR/VERW, limits; vcpu_update_mode. */
#include "vcpu_fixture.h"

START_TEST(load_data)
{
	fix_protected(0);
	put_gdt(FREE, 0x12345678, 0xabcde, SEG_P | SEG_S | SEG_RW | SEG_DB | DPL(3));
	ck_assert(seg_load(&v, SEG_FS, FREE | 3));
	ck_assert_uint_eq(v.seg[SEG_FS].base, 0x12345678);
	ck_assert_uint_eq(v.seg[SEG_FS].limit, 0xabcde);
	ck_assert_uint_eq(v.seg[SEG_FS].sel, FREE | 3);
	ck_assert(v.seg[SEG_FS].attr & SEG_A);
	ck_assert_uint_eq(ram[GDT + FREE + 5], 0xf3);	/* A set in memory */
}
END_TEST

/* Rows: segment, CPL, selector, attributes of FREE, vector, error. */
static const struct { u8 seg, cpl; u16 sel, attr; u8 vector; u16 error; } refusals[] = {
	{ SEG_DS, 0, 0x100, A_DATA, EXC_GP, 0x100 },			/* beyond the limit */
	{ SEG_DS, 0, FREE | 4, A_DATA, EXC_GP, FREE | 4 },		/* no LDT */
	{ SEG_DS, 0, FREE, SEG_P | SYS_TSS32, EXC_GP, FREE },		/* system */
	{ SEG_DS, 0, FREE, SEG_P | SEG_S | SEG_CODE, EXC_GP, FREE },	/* execute-only */
	{ SEG_DS, 3, FREE | 3, A_DATA, EXC_GP, FREE },			/* DPL < CPL */
	{ SEG_DS, 0, FREE | 3, A_DATA, EXC_GP, FREE },			/* DPL < RPL */
	{ SEG_DS, 0, FREE, A_DATA & ~SEG_P, EXC_NP, FREE },
	{ SEG_SS, 0, 0, A_DATA, EXC_GP, 0 },
	{ SEG_SS, 3, 3, A_DATA, EXC_GP, 0 },
	{ SEG_SS, 0, FREE | 3, A_DATA | DPL(3), EXC_GP, FREE },		/* RPL and DPL != CPL */
	{ SEG_SS, 0, FREE | 1, A_DATA, EXC_GP, FREE },			/* RPL != CPL */
	{ SEG_SS, 0, FREE, A_DATA | DPL(3), EXC_GP, FREE },		/* DPL != CPL */
	{ SEG_SS, 0, FREE, A_DATA & ~SEG_RW, EXC_GP, FREE },		/* read-only */
	{ SEG_SS, 0, FREE, A_CODE, EXC_GP, FREE },
	{ SEG_SS, 0, FREE, A_DATA & ~SEG_P, EXC_SS, FREE },
};

START_TEST(refused_loads)
{
	fix_protected(refusals[_i].cpl);
	put_gdt(FREE, 0, 0xffff, refusals[_i].attr);
	assert_raises(seg_load(&v, (enum seg)refusals[_i].seg, refusals[_i].sel),
		      refusals[_i].vector, refusals[_i].error);
}
END_TEST

START_TEST(the_whole_descriptor_must_be_within_the_limit)
{
	fix_protected(0);
	put_gdt(FREE, 0, 0xffff, A_DATA);
	v.gdt_limit = FREE + 6;
	assert_raises(seg_load(&v, SEG_ES, FREE), EXC_GP, FREE);
	v.gdt_limit = FREE + 7;
	ck_assert(seg_load(&v, SEG_ES, FREE));
}
END_TEST

START_TEST(conforming_code_is_readable_by_anyone)
{
	fix_protected(3);
	ck_assert(seg_load(&v, SEG_ES, CONF0 | 3));
}
END_TEST

START_TEST(null_is_unusable)
{
	lin_t lin;

	fix_protected(0);
	ck_assert(seg_load(&v, SEG_DS, 3));
	ck_assert_uint_eq(v.seg[SEG_DS].sel, 3);
	ck_assert(!(v.mode & MODE_FLAT));
	assert_raises(seg_linear(&v, SEG_DS, 0, 1, false, &lin), EXC_GP, 0);
}
END_TEST

START_TEST(reload_sees_a_changed_descriptor)
{
	fix_protected(0);
	put_gdt(FREE, 0x1000, 0xffff, A_DATA);
	ck_assert(seg_load(&v, SEG_GS, FREE));
	ck_assert(seg_load(&v, SEG_GS, FREE));
	put_gdt(FREE, 0x2000, 0xffff, A_DATA);
	ck_assert_uint_eq(v.seg[SEG_GS].base, 0x1000);	/* hidden until reloaded */
	ck_assert(seg_load(&v, SEG_GS, FREE));
	ck_assert_uint_eq(v.seg[SEG_GS].base, 0x2000);
}
END_TEST

START_TEST(a_bit_on_a_read_only_page_faults)
{
	fix_protected(0);
	put_gdt(FREE, 0, 0xffff, A_DATA & ~SEG_A);
	fix_paging_on(3);
	put_pte(GDT, GDT | 1);
	assert_raises(seg_load(&v, SEG_ES, FREE), EXC_PF, PF_P | PF_W);
	ck_assert_uint_eq(v.exc.cr2, GDT + FREE + 5);
}
END_TEST

START_TEST(tables_are_read_as_supervisor)
{
	fix_protected(3);
	fix_paging_on(3);		/* nothing is user-accessible */
	ck_assert(seg_load(&v, SEG_ES, DATA3));
}
END_TEST

START_TEST(ldt)
{
	fix_protected(0);
	put_desc(LDT + 8, 0x7000, 0xff, A_DATA | DPL(3));
	ck_assert(seg_lldt(&v, LDT_SEL));
	ck_assert_uint_eq(v.seg[SEG_LDTR].base, LDT);
	ck_assert(seg_load(&v, SEG_ES, 0x0f));
	ck_assert_uint_eq(v.seg[SEG_ES].base, 0x7000);
	assert_raises(seg_load(&v, SEG_ES, 0x84), EXC_GP, 0x84);
	assert_raises(seg_lldt(&v, DATA0), EXC_GP, DATA0);
	assert_raises(seg_lldt(&v, 0x0c), EXC_GP, 0x0c);
	put_gdt(LDT_SEL, LDT, 0x7f, SYS_LDT);
	assert_raises(seg_lldt(&v, LDT_SEL), EXC_NP, LDT_SEL);
	ck_assert(seg_lldt(&v, 0));
	assert_raises(seg_load(&v, SEG_ES, 0x0f), EXC_GP, 0x0c);
}
END_TEST

START_TEST(task_register)
{
	fix_protected(0);
	assert_raises(seg_ltr(&v, TSS_SEL), EXC_GP, TSS_SEL);	/* busy */
	assert_raises(seg_ltr(&v, 0), EXC_GP, 0);
	ck_assert(seg_ltr(&v, TSS2_SEL));
	ck_assert_uint_eq(v.seg[SEG_TR].attr & SEG_TYPE, SYS_TSS32 | SYS_BUSY);
	ck_assert_uint_eq(ram[GDT + TSS2_SEL + 5], 0x8b);
	v.cpl = 3;
	assert_raises(seg_ltr(&v, TSS2_SEL), EXC_GP, 0);
	fix_real();
	assert_raises(seg_ltr(&v, TSS2_SEL), EXC_UD, 0);
}
END_TEST

START_TEST(inspection)
{
	bool ok;
	u32 val;

	fix_protected(3);
	ck_assert(seg_lar(&v, DATA3, &ok, &val) && ok);
	ck_assert_uint_eq(val, 0x00cff300);
	ck_assert(seg_lsl(&v, DATA3, &ok, &val) && ok);
	ck_assert_uint_eq(val, 0xffffffff);
	ck_assert(seg_lar(&v, DATA0, &ok, &val) && !ok);	/* privilege */
	ck_assert(seg_lar(&v, CONF0, &ok, &val) && ok);		/* conforming: anyone */
	ck_assert(seg_lar(&v, 0, &ok, &val) && !ok);
	ck_assert(seg_lar(&v, 0x200, &ok, &val) && !ok);
	v.cpl = 0;
	ck_assert(seg_lar(&v, TSS_SEL, &ok, &val) && ok);
	ck_assert(seg_lsl(&v, TSS_SEL, &ok, &val) && ok && val == 0x87);
	put_gate(GDT + FREE, CODE0, 0, SEG_P | SYS_CALL32, 0);
	ck_assert(seg_lar(&v, FREE, &ok, &val) && ok);
	ck_assert(seg_lsl(&v, FREE, &ok, &val) && !ok);
	put_gate(GDT + FREE, CODE0, 0, SEG_P | SYS_INT32, 0);
	ck_assert(seg_lar(&v, FREE, &ok, &val) && !ok);
	ck_assert(seg_verify(&v, DATA0, true, &ok) && ok);
	ck_assert(seg_verify(&v, CODE0, true, &ok) && !ok);
	ck_assert(seg_verify(&v, CODE0, false, &ok) && ok);
	ck_assert(seg_verify(&v, TSS_SEL, false, &ok) && !ok);
	put_gdt(FREE, 0, 0, SEG_P | SEG_S | SEG_CODE);
	ck_assert(seg_verify(&v, FREE, false, &ok) && !ok);
}
END_TEST

/* Rows: base, limit (raw), attributes, offset, size, write, expected vector (0: fine). */
static const struct { u32 limit; u16 attr; u32 off; u8 size; bool write; u8 vector; } linear[] = {
	{ 0xffff, A_DATA, 0xfffc, 4, true, 0 },
	{ 0xffff, A_DATA, 0xfffd, 4, true, EXC_GP },
	{ 0xfffff, A_DATA | A_32, 0xfffffffc, 4, true, 0 },
	{ 0xffff, A_DATA & ~SEG_RW, 0, 1, true, EXC_GP },
	{ 0xffff, A_DATA & ~SEG_RW, 0, 1, false, 0 },
	{ 0xffff, A_CODE, 0, 1, true, EXC_GP },
	{ 0xffff, A_CODE & ~SEG_RW, 0, 1, false, EXC_GP },
	{ 0x0fff, A_DATA | SEG_DC, 0x0fff, 1, true, EXC_GP },	/* expand-down */
	{ 0x0fff, A_DATA | SEG_DC, 0x1000, 4, true, 0 },
	{ 0x0fff, A_DATA | SEG_DC, 0xfffd, 4, true, EXC_GP },
	{ 0x0fff, A_DATA | SEG_DC | SEG_DB, 0x10000, 4, true, 0 },
};

START_TEST(limits_and_types)
{
	lin_t lin = 0;

	fix_protected(0);
	put_gdt(FREE, 0x1000, linear[_i].limit, linear[_i].attr);
	set_seg(SEG_ES, FREE);
	if (linear[_i].vector) {
		assert_raises(seg_linear(&v, SEG_ES, linear[_i].off, linear[_i].size, linear[_i].write, &lin),
			      linear[_i].vector, 0);
	} else {
		ck_assert(seg_linear(&v, SEG_ES, linear[_i].off, linear[_i].size, linear[_i].write, &lin));
		ck_assert_uint_eq(lin, 0x1000 + linear[_i].off);
	}
}
END_TEST

START_TEST(stack_limit_is_ss_fault)
{
	lin_t lin;

	fix_protected(0);
	v.seg[SEG_SS].limit = 0xfff;
	assert_raises(seg_linear(&v, SEG_SS, 0x1000, 1, true, &lin), EXC_SS, 0);
}
END_TEST

START_TEST(real_mode)
{
	lin_t lin;

	fix_real();
	v.seg[SEG_DS].limit = 0xffffffff;	/* unreal */
	ck_assert(seg_load(&v, SEG_DS, 0x1234));
	ck_assert_uint_eq(v.seg[SEG_DS].base, 0x12340);
	ck_assert_uint_eq(v.seg[SEG_DS].limit, 0xffffffff);
	ck_assert(seg_linear(&v, SEG_CS, 0x10, 2, true, &lin));	/* CS is writable here */
	assert_raises(seg_linear(&v, SEG_ES, 0xffff, 2, true, &lin), EXC_GP, 0);
	assert_raises(seg_linear(&v, SEG_SS, 0xffff, 2, true, &lin), EXC_SS, 0);
}
END_TEST

START_TEST(vm86_loads)
{
	fix_vm86(0);
	ck_assert(seg_load(&v, SEG_DS, 0xffff));
	ck_assert_uint_eq(v.seg[SEG_DS].base, 0xffff0);
	ck_assert_uint_eq(v.seg[SEG_DS].limit, 0xffff);
	ck_assert_uint_eq(seg_dpl(&v.seg[SEG_DS]), 3);
}
END_TEST

static unsigned fs_class(void) { return (v.mode >> MODE_FS_SHIFT) & 3; }

START_TEST(modes)
{
	ck_assert_uint_eq(v.mode, MODE_IOPL | SEGC_OTHER << MODE_FS_SHIFT | SEGC_OTHER << MODE_GS_SHIFT);
	fix_protected(0);
	ck_assert_uint_eq(v.mode, MODE_PE | MODE_CODE32 | MODE_STACK32 | MODE_FLAT | MODE_IOPL |
				  SEGC_FLAT4G << MODE_FS_SHIFT | SEGC_FLAT4G << MODE_GS_SHIFT);
	v.cr0 |= CR0_TS | CR0_PG;
	vcpu_update_mode(&v);
	ck_assert((v.mode & MODE_NOFPU) && (v.mode & MODE_PG));

	put_gdt(FREE, 0x5000, 0xfffff, A_DATA | A_32);
	ck_assert(seg_load(&v, SEG_FS, FREE) && fs_class() == SEGC_FLAT4G);
	put_gdt(FREE, 0x5000, 0x17, A_DATA);
	ck_assert(seg_load(&v, SEG_FS, FREE) && fs_class() == SEGC_LIMITED && v.limited[0] == 0x17);
	put_gdt(FREE, 0x5000, 0x18, A_DATA);
	ck_assert(seg_load(&v, SEG_FS, FREE) && fs_class() == SEGC_OTHER && v.limited[0] == 0x17);
	put_gdt(FREE, 0x6000, 0x17, A_DATA);
	ck_assert(seg_load(&v, SEG_FS, FREE) && fs_class() == SEGC_LIMITED);
	put_gdt(FREE, 0, 0xfffff, (A_DATA | A_32) & ~SEG_RW);
	ck_assert(seg_load(&v, SEG_FS, FREE) && fs_class() == SEGC_OTHER);
	ck_assert(seg_load(&v, SEG_FS, 0) && fs_class() == SEGC_UNUSABLE);
	ck_assert(v.mode & MODE_FLAT);
	put_gdt(FREE, 1, 0xfffff, A_DATA | A_32);
	ck_assert(seg_load(&v, SEG_DS, FREE) && !(v.mode & MODE_FLAT));

	fix_vm86(3);
	ck_assert_uint_eq(v.mode, 3 | MODE_PE | MODE_VM | MODE_IOPL | SEGC_OTHER << MODE_FS_SHIFT |
				  SEGC_OTHER << MODE_GS_SHIFT);
}
END_TEST

static void part(TCase *t)
{
	tcase_add_test(t, load_data);
	tcase_add_loop_test(t, refused_loads, 0, ARRAY_SIZE(refusals));
	tcase_add_test(t, the_whole_descriptor_must_be_within_the_limit);
	tcase_add_test(t, conforming_code_is_readable_by_anyone);
	tcase_add_test(t, null_is_unusable);
	tcase_add_test(t, reload_sees_a_changed_descriptor);
	tcase_add_test(t, a_bit_on_a_read_only_page_faults);
	tcase_add_test(t, tables_are_read_as_supervisor);
	tcase_add_test(t, ldt);
	tcase_add_test(t, task_register);
	tcase_add_test(t, inspection);
	tcase_add_loop_test(t, limits_and_types, 0, ARRAY_SIZE(linear));
	tcase_add_test(t, stack_limit_is_ss_fault);
	tcase_add_test(t, real_mode);
	tcase_add_test(t, vm86_loads);
	tcase_add_test(t, modes);
}

FIXTURE_MAIN("segment", part)
