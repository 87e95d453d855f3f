/* cpu/task.c: task switches, ring stacks, the I/O bitmap. */
#include "vcpu_fixture.h"

/* A second task: ring 0, flat, at 0x4400. */
static void second_task(void)
{
	store32(ram + TSS2 + 28, TABLES);
	store32(ram + TSS2 + 32, 0x4400);
	store32(ram + TSS2 + 36, EFLAGS_1 | EFLAGS_CF);
	for (unsigned r = 0; r < 8; r++)
		store32(ram + TSS2 + 40 + r * 4, 0x1000 * (r + 1));
	store32(ram + TSS2 + 72, DATA0);
	store32(ram + TSS2 + 76, CODE0);
	store32(ram + TSS2 + 80, DATA0);
	store32(ram + TSS2 + 84, DATA0);
	store32(ram + TSS2 + 88, 0);
	store32(ram + TSS2 + 92, 0);
	store32(ram + TSS2 + 96, 0);
}

static unsigned type_of(u16 sel) { return ram[GDT + (sel & ~7) + 5] & 15; }

START_TEST(jump_to_a_tss)
{
	fix_protected(0);
	second_task();
	v.regs[EBX] = 0xb0b0b0b0;
	ck_assert(xfer_far_jmp(&v, TSS2_SEL, 0));
	ck_assert_uint_eq(v.seg[SEG_TR].sel, TSS2_SEL);
	ck_assert_uint_eq(v.seg[SEG_TR].attr & SEG_TYPE, SYS_TSS32 | SYS_BUSY);
	ck_assert_uint_eq(type_of(TSS2_SEL), SYS_TSS32 | SYS_BUSY);
	ck_assert_uint_eq(type_of(TSS_SEL), SYS_TSS32);
	ck_assert_uint_eq(v.eip, 0x4400);
	ck_assert_uint_eq(v.regs[EDI], 0x8000);
	ck_assert_uint_eq(vcpu_eflags(&v), EFLAGS_1 | EFLAGS_CF);
	ck_assert(v.cr0 & CR0_TS);
	ck_assert_uint_eq(v.seg[SEG_FS].attr, SEG_NULL);
	ck_assert_uint_eq(mem32(TSS + 32), 0x4002);		/* after the jump */
	ck_assert_uint_eq(mem32(TSS + 36), EFLAGS_IF | EFLAGS_1);
	ck_assert_uint_eq(mem32(TSS + 40 + EBX * 4), 0xb0b0b0b0);
	ck_assert_uint_eq(mem16(TSS + 76), CODE0);
	ck_assert_uint_eq(mem16(TSS2), 0);			/* no link */
}
END_TEST

START_TEST(call_and_iret_nest)
{
	fix_protected(0);
	second_task();
	ck_assert(xfer_far_call(&v, TSS2_SEL, 0, 4));
	ck_assert_uint_eq(mem16(TSS2), TSS_SEL);
	ck_assert(v.sysflags & EFLAGS_NT);
	ck_assert_uint_eq(type_of(TSS_SEL), SYS_TSS32 | SYS_BUSY);
	v.eip = 0x4500;
	v.insn_len = 1;
	ck_assert(xfer_iret(&v, 4));
	ck_assert_uint_eq(v.seg[SEG_TR].sel, TSS_SEL);
	ck_assert_uint_eq(v.eip, 0x4002);
	ck_assert_uint_eq(type_of(TSS2_SEL), SYS_TSS32);
	ck_assert_uint_eq(mem32(TSS2 + 32), 0x4501);
	ck_assert_uint_eq(mem32(TSS2 + 36) & EFLAGS_NT, 0);
}
END_TEST

START_TEST(exception_through_a_task_gate)
{
	fix_protected(3);
	second_task();
	put_idt(EXC_DF, TSS2_SEL, 0, SEG_P | SYS_TASK);
	exc_raise(&v, EXC_DF);
	deliver_exception(&v);
	ck_assert_uint_eq(v.seg[SEG_TR].sel, TSS2_SEL);
	ck_assert_uint_eq(v.cpl, 0);
	ck_assert_uint_eq(v.regs[ESP], 0x5000 - 4);
	ck_assert_uint_eq(mem32(0x5000 - 4), 0);		/* the error code */
	ck_assert_uint_eq(mem32(TSS + 32), 0x4000);
	ck_assert_uint_eq(mem16(TSS + 80), DATA3);
	ck_assert(v.sysflags & EFLAGS_NT);
}
END_TEST

START_TEST(soft_int_through_a_task_gate_returns_after_itself)
{
	fix_protected(0);
	second_task();
	put_idt(0x30, TSS2_SEL, 0, SEG_P | SYS_TASK);
	ck_assert(deliver_soft(&v, 0x30));
	ck_assert_uint_eq(mem32(TSS + 32), 0x4002);
	fix_protected(0);
	put_gdt(TSS2_SEL, TSS2, 0x67, SEG_P | SYS_TSS32 | SYS_BUSY);
	assert_raises(deliver_soft(&v, 0x30), EXC_GP, TSS2_SEL);
}
END_TEST

START_TEST(refused_switches)
{
	fix_protected(0);
	second_task();
	put_gdt(TSS2_SEL, TSS2, 0x66, SEG_P | SYS_TSS32);
	assert_raises(xfer_far_jmp(&v, TSS2_SEL, 0), EXC_TS, TSS2_SEL);
	put_gdt(TSS2_SEL, TSS2, 0x67, SYS_TSS32);
	assert_raises(xfer_far_jmp(&v, TSS2_SEL, 0), EXC_NP, TSS2_SEL);
	put_gdt(TSS2_SEL, TSS2, 0x67, SEG_P | SYS_TSS32);
	put_gate(GDT + FREE, TSS2_SEL | 4, 0, SEG_P | SYS_TASK, 0);
	assert_raises(xfer_far_jmp(&v, FREE, 0), EXC_GP, TSS2_SEL | 4);
	put_gate(GDT + FREE, 0, 0, SEG_P | SYS_TASK, 0);
	assert_raises(xfer_far_jmp(&v, FREE, 0), EXC_GP, 0);
	v.sysflags |= EFLAGS_NT;
	store16(ram + TSS, TSS2_SEL);
	assert_raises(xfer_iret(&v, 4), EXC_TS, TSS2_SEL);	/* not busy */
	fix_protected(3);
	assert_raises(xfer_far_jmp(&v, TSS2_SEL, 0), EXC_GP, TSS2_SEL);
}
END_TEST

START_TEST(unwritable_old_tss_is_precise)
{
	fix_protected(0);
	second_task();
	fix_paging_on(7);
	put_pte(TSS, TSS | 5);
	assert_raises(xfer_far_jmp(&v, TSS2_SEL, 0), EXC_PF, PF_P | PF_W);
	ck_assert_uint_eq(type_of(TSS2_SEL), SYS_TSS32);
	ck_assert_uint_eq(type_of(TSS_SEL), SYS_TSS32 | SYS_BUSY);
}
END_TEST

START_TEST(cr3_changes_with_paging)
{
	fix_protected(0);
	second_task();
	fix_paging_on(7);
	memcpy(ram + TABLES + 0x4000, ram + TABLES, 4096);
	store32(ram + TSS2 + 28, TABLES + 0x4000);
	ck_assert(xfer_far_jmp(&v, TSS2_SEL, 0));
	ck_assert_uint_eq(v.cr3, TABLES + 0x4000);
	ck_assert_uint_eq(seen.paging_changes, 1);
	ck_assert_uint_eq(seen.last_change, PAGING_CR3);
}
END_TEST

/* Bad segments in the new TSS: the exception is the new task's. */
static const struct { u16 field, sel, attr; u8 vector; u16 error; } after[] = {
	{ 76, DATA0, A_DATA, EXC_TS, DATA0 },
	{ 76, 0, A_DATA, EXC_TS, 0 },
	{ 76, FREE, A_CODE & ~SEG_P, EXC_NP, FREE },
	{ 80, CODE0, A_DATA, EXC_TS, CODE0 },
	{ 80, FREE, A_DATA & ~SEG_P, EXC_SS, FREE },
	{ 84, FREE, A_DATA & ~SEG_P, EXC_NP, FREE },
	{ 88, 0x200, A_DATA, EXC_TS, 0x200 },
	{ 96, DATA0, A_DATA, EXC_TS, DATA0 },
	{ 96, FREE, SYS_LDT, EXC_TS, FREE },
};

START_TEST(faults_after_the_commit_point)
{
	fix_protected(0);
	second_task();
	put_gdt(FREE, 0, 0xffff, after[_i].attr);
	store16(ram + TSS2 + after[_i].field, after[_i].sel);
	ck_assert(!xfer_far_jmp(&v, TSS2_SEL, 0));
	ck_assert_uint_eq(v.exc.vector, after[_i].vector);
	ck_assert_uint_eq(v.exc.error, after[_i].error);
	ck_assert_uint_eq(v.seg[SEG_TR].sel, TSS2_SEL);
	ck_assert_uint_eq(v.eip, 0x4400);
}
END_TEST

START_TEST(trap_bit)
{
	fix_protected(0);
	second_task();
	ram[TSS2 + 100] = 1;
	ck_assert(!xfer_far_jmp(&v, TSS2_SEL, 0));
	ck_assert_uint_eq(v.exc.vector, EXC_DB);
	ck_assert_uint_eq(v.exc.dr6, DR6_BT);
	ck_assert_uint_eq(v.eip, 0x4400);
}
END_TEST

START_TEST(task_in_vm86)
{
	fix_protected(0);
	second_task();
	store32(ram + TSS2 + 36, EFLAGS_1 | EFLAGS_VM);
	store32(ram + TSS2 + 76, 0x440);
	store32(ram + TSS2 + 32, 0);
	ck_assert(xfer_far_jmp(&v, TSS2_SEL, 0));
	ck_assert_uint_eq(v.cpl, 3);
	ck_assert_uint_eq(v.seg[SEG_CS].base, 0x4400);
	ck_assert(v.mode & MODE_VM);
}
END_TEST

START_TEST(sixteen_bit_tss)
{
	fix_protected(0);
	put_gdt(TSS2_SEL, TSS2, 0x2b, SEG_P | SYS_TSS16);
	store16(ram + TSS2 + 14, 0x4400);
	store16(ram + TSS2 + 16, EFLAGS_1);
	store16(ram + TSS2 + 18 + ESP * 2, 0x5000);
	store16(ram + TSS2 + 34, DATA0);
	store16(ram + TSS2 + 36, CODE0);
	store16(ram + TSS2 + 38, DATA0);
	store16(ram + TSS2 + 40, DATA0);
	store16(ram + TSS2 + 2, 0x5678);
	store16(ram + TSS2 + 4, DATA1);
	ck_assert(xfer_far_call(&v, TSS2_SEL, 0, 4));
	ck_assert_uint_eq(v.eip, 0x4400);
	ck_assert_uint_eq(v.regs[ESP], 0xffff5000);
	ck_assert_uint_eq(v.seg[SEG_GS].attr, SEG_NULL);
	ck_assert_uint_eq(mem16(TSS2), TSS_SEL);
	u16 ss;
	u32 esp;
	ck_assert(task_stack(&v, 0, &ss, &esp));
	ck_assert_uint_eq(esp, 0x5678);
	ck_assert_uint_eq(ss, DATA1);
	ck_assert(xfer_iret(&v, 4));
	ck_assert_uint_eq(v.seg[SEG_TR].sel, TSS_SEL);
}
END_TEST

START_TEST(ring_stacks)
{
	u16 ss;
	u32 esp;

	fix_protected(3);
	ck_assert(task_stack(&v, 1, &ss, &esp));
	ck_assert_uint_eq(ss, DATA1);
	ck_assert_uint_eq(esp, STACK1);
	v.seg[SEG_TR].limit = 16;
	assert_raises(task_stack(&v, 1, &ss, &esp), EXC_TS, TSS_SEL);
	v.seg[SEG_TR].limit = 17;
	ck_assert(task_stack(&v, 1, &ss, &esp));
}
END_TEST

START_TEST(io_bitmap)
{
	fix_protected(3);	/* the bitmap covers ports 0..0xf7, all clear */
	ck_assert(task_io_allowed(&v, 0x40, 4));
	ram[TSS + 0x68 + 0x41 / 8] = 2;
	assert_raises(task_io_allowed(&v, 0x40, 4), EXC_GP, 0);
	ck_assert(task_io_allowed(&v, 0x40, 1));
	assert_raises(task_io_allowed(&v, 0x41, 1), EXC_GP, 0);
	ram[TSS + 0x68 + 0x48 / 8] = 1;
	assert_raises(task_io_allowed(&v, 0x47, 2), EXC_GP, 0);	/* straddles two bytes */
	assert_raises(task_io_allowed(&v, 0x3f8, 1), EXC_GP, 0);	/* beyond the limit */
	v.sysflags |= EFLAGS_IOPL;
	ck_assert(task_io_allowed(&v, 0x3f8, 1));
	fix_vm86(3);
	assert_raises(task_io_allowed(&v, 0x3f8, 1), EXC_GP, 0);	/* VM86 always asks the bitmap */
	fix_protected(0);
	ck_assert(task_io_allowed(&v, 0x3f8, 1));
}
END_TEST

static void part(TCase *t)
{
	tcase_add_test(t, jump_to_a_tss);
	tcase_add_test(t, call_and_iret_nest);
	tcase_add_test(t, exception_through_a_task_gate);
	tcase_add_test(t, soft_int_through_a_task_gate_returns_after_itself);
	tcase_add_test(t, refused_switches);
	tcase_add_test(t, unwritable_old_tss_is_precise);
	tcase_add_test(t, cr3_changes_with_paging);
	tcase_add_loop_test(t, faults_after_the_commit_point, 0, ARRAY_SIZE(after));
	tcase_add_test(t, trap_bit);
	tcase_add_test(t, task_in_vm86);
	tcase_add_test(t, sixteen_bit_tss);
	tcase_add_test(t, ring_stacks);
	tcase_add_test(t, io_bitmap);
}

FIXTURE_MAIN("task", part)
