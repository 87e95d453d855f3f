/* cpu/deliver.c: frames, gate checks, error codes, double and triple faults. */
#include "vcpu_fixture.h"

#define HANDLER 0x4800u
#define INT_GATE  (SEG_P | SYS_INT32)
#define TRAP_GATE (SEG_P | SYS_TRAP32)

static void gate_for(unsigned vector) { put_idt(vector, CODE0, HANDLER, INT_GATE); }

START_TEST(same_ring)
{
	fix_protected(0);
	gate_for(0x20);
	v.sysflags |= EFLAGS_TF | EFLAGS_NT;
	v.flags = EFLAGS_CF;
	v.halted = true;
	deliver_hardware(&v, 0x20);
	ck_assert_uint_eq(v.eip, HANDLER);
	ck_assert_uint_eq(v.regs[ESP], STACK0 - 12);
	ck_assert_uint_eq(mem32(STACK0 - 4), EFLAGS_IF | EFLAGS_1 | EFLAGS_TF | EFLAGS_NT | EFLAGS_CF);
	ck_assert_uint_eq(mem32(STACK0 - 8), CODE0);
	ck_assert_uint_eq(mem32(STACK0 - 12), 0x4000);
	ck_assert_uint_eq(vcpu_eflags(&v), EFLAGS_1 | EFLAGS_CF);
	ck_assert(!v.halted);
}
END_TEST

START_TEST(trap_gate_keeps_if)
{
	fix_protected(0);
	put_idt(0x20, CODE0, HANDLER, TRAP_GATE);
	deliver_hardware(&v, 0x20);
	ck_assert_uint_eq(v.iff, EFLAGS_IF);
}
END_TEST

START_TEST(inner_ring_with_error_code)
{
	fix_protected(3);
	gate_for(EXC_PF);
	exc_raise_pf(&v, PF_W | PF_U, 0x1234);
	deliver_exception(&v);
	ck_assert_uint_eq(v.cpl, 0);
	ck_assert_uint_eq(v.seg[SEG_CS].sel, CODE0);
	ck_assert_uint_eq(v.seg[SEG_SS].sel, DATA0);
	ck_assert_uint_eq(v.cr2, 0x1234);
	ck_assert_uint_eq(v.regs[ESP], STACK0 - 24);
	ck_assert_uint_eq(mem32(STACK0 - 4), DATA3);
	ck_assert_uint_eq(mem32(STACK0 - 8), STACK3);
	ck_assert_uint_eq(mem32(STACK0 - 12), EFLAGS_IF | EFLAGS_1 | EFLAGS_RF);	/* fault: RF */
	ck_assert_uint_eq(mem32(STACK0 - 16), CODE3);
	ck_assert_uint_eq(mem32(STACK0 - 20), 0x4000);
	ck_assert_uint_eq(mem32(STACK0 - 24), PF_W | PF_U);
	ck_assert(v.mode & MODE_FLAT);
	ck_assert_uint_eq(v.seg[SEG_DS].sel, DATA3);	/* data segments stay */
}
END_TEST

START_TEST(rf_for_faults_only)
{
	fix_protected(0);
	gate_for(EXC_DB);
	gate_for(EXC_UD);
	exc_raise_db(&v, DR6_BS);
	deliver_exception(&v);
	ck_assert_uint_eq(mem32(STACK0 - 4) & EFLAGS_RF, 0);
	ck_assert_uint_eq(v.dr6, DR6_FIXED | DR6_BS);
	exc_raise(&v, EXC_UD);
	deliver_exception(&v);
	ck_assert_uint_eq(mem32(STACK0 - 16) & EFLAGS_RF, EFLAGS_RF);
	ck_assert_uint_eq(v.sysflags & EFLAGS_RF, 0);
}
END_TEST

START_TEST(sixteen_bit_gate)
{
	fix_protected(3);
	put_idt(0x20, CODE0, 0x12344800, SEG_P | SYS_INT16);
	deliver_hardware(&v, 0x20);
	ck_assert_uint_eq(v.eip, 0x4800);
	ck_assert_uint_eq(v.regs[ESP], STACK0 - 10);
	ck_assert_uint_eq(mem16(STACK0 - 2), DATA3);
	ck_assert_uint_eq(mem16(STACK0 - 4), STACK3);
	ck_assert_uint_eq(mem16(STACK0 - 6), EFLAGS_IF | EFLAGS_1);
	ck_assert_uint_eq(mem16(STACK0 - 8), CODE3);
	ck_assert_uint_eq(mem16(STACK0 - 10), 0x4000);
}
END_TEST

START_TEST(conforming_handler_keeps_the_ring)
{
	fix_protected(3);
	put_idt(0x20, CONF0, HANDLER, INT_GATE);
	deliver_hardware(&v, 0x20);
	ck_assert_uint_eq(v.cpl, 3);
	ck_assert_uint_eq(v.seg[SEG_CS].sel, CONF0 | 3);
	ck_assert_uint_eq(v.regs[ESP], STACK3 - 12);
}
END_TEST

START_TEST(out_of_vm86)
{
	fix_vm86(0);
	gate_for(0x20);
	deliver_hardware(&v, 0x20);
	ck_assert_uint_eq(v.sysflags & EFLAGS_VM, 0);
	ck_assert_uint_eq(v.cpl, 0);
	ck_assert_uint_eq(v.regs[ESP], STACK0 - 36);
	ck_assert_uint_eq(mem32(STACK0 - 4), 0x304);	/* GS FS DS ES */
	ck_assert_uint_eq(mem32(STACK0 - 8), 0x303);
	ck_assert_uint_eq(mem32(STACK0 - 12), 0x301);
	ck_assert_uint_eq(mem32(STACK0 - 16), 0x302);
	ck_assert_uint_eq(mem32(STACK0 - 20), 0x300);
	ck_assert_uint_eq(mem32(STACK0 - 24), 0x100);
	ck_assert_uint_eq(mem32(STACK0 - 28), EFLAGS_VM | EFLAGS_IF | EFLAGS_1);
	ck_assert_uint_eq(mem32(STACK0 - 32), 0x200);
	ck_assert_uint_eq(mem32(STACK0 - 36), 0x10);
	for (unsigned s = SEG_DS; s <= SEG_GS; s++)
		ck_assert_uint_eq(v.seg[s].attr, SEG_NULL);
	ck_assert_uint_eq(v.seg[SEG_ES].attr, SEG_NULL);
}
END_TEST

START_TEST(soft_int_in_vm86)
{
	fix_vm86(0);
	put_idt(0x21, CODE0, HANDLER, INT_GATE | DPL(3));
	put_idt(EXC_BP, CODE0, HANDLER, INT_GATE | DPL(3));
	assert_raises(deliver_soft(&v, 0x21), EXC_GP, 0);
	v.insn_len = 1;			/* INT3 is not IOPL-sensitive */
	ck_assert(deliver_soft(&v, EXC_BP));
	ck_assert_uint_eq(mem32(STACK0 - 36), 0x11);
	fix_vm86(3);
	v.insn_len = 2;
	ck_assert(deliver_soft(&v, 0x21));
	ck_assert_uint_eq(mem32(STACK0 - 36), 0x12);
}
END_TEST

START_TEST(vm86_needs_a_ring_0_handler)
{
	fix_vm86(3);
	put_idt(0x21, CODE3, HANDLER, INT_GATE | DPL(3));
	assert_raises(deliver_soft(&v, 0x21), EXC_GP, CODE3 & ~3);
	put_idt(0x21, CONF0, HANDLER, INT_GATE | DPL(3));
	assert_raises(deliver_soft(&v, 0x21), EXC_GP, CONF0);
}
END_TEST

START_TEST(soft_int)
{
	fix_protected(3);
	put_idt(0x80, CODE0, HANDLER, TRAP_GATE | DPL(3));
	ck_assert(deliver_soft(&v, 0x80));
	ck_assert_uint_eq(mem32(STACK0 - 20), 0x4002);
	ck_assert_uint_eq(counters.soft_ints, 1);
}
END_TEST

START_TEST(refused_soft_ints)
{
	fix_protected(3);
	gate_for(0x21);			/* DPL 0 */
	assert_raises(deliver_soft(&v, 0x21), EXC_GP, 0x21 * 8 + 2);
	put_idt(0x22, CODE0, HANDLER, SYS_INT32 | DPL(3));
	assert_raises(deliver_soft(&v, 0x22), EXC_NP, 0x22 * 8 + 2);
	assert_raises(deliver_soft(&v, 0x23), EXC_GP, 0x23 * 8 + 2);	/* no gate */
	v.idt_limit = 0x80 * 8 + 6;
	assert_raises(deliver_soft(&v, 0x80), EXC_GP, 0x80 * 8 + 2);
	put_idt(0x22, 0, HANDLER, INT_GATE | DPL(3));
	assert_raises(deliver_soft(&v, 0x22), EXC_GP, 0);
	put_idt(0x22, 0x100, HANDLER, INT_GATE | DPL(3));
	assert_raises(deliver_soft(&v, 0x22), EXC_GP, 0x100);
	put_idt(0x22, DATA0, HANDLER, INT_GATE | DPL(3));
	assert_raises(deliver_soft(&v, 0x22), EXC_GP, DATA0);
	put_gdt(FREE, 0, 0xfffff, (A_CODE | A_32) & ~SEG_P);
	put_idt(0x22, FREE, HANDLER, INT_GATE | DPL(3));
	assert_raises(deliver_soft(&v, 0x22), EXC_NP, FREE);
	put_gdt(FREE, 0, 0x3f, A_CODE);
	assert_raises(deliver_soft(&v, 0x22), EXC_GP, 0);
}
END_TEST

START_TEST(bad_inner_stacks)
{
	fix_protected(3);
	put_idt(0x22, CODE0, HANDLER, INT_GATE | DPL(3));
	store16(ram + TSS + 8, 0);
	assert_raises(deliver_soft(&v, 0x22), EXC_TS, 0);
	store16(ram + TSS + 8, DATA3);
	assert_raises(deliver_soft(&v, 0x22), EXC_TS, DATA3 & ~3);
	store16(ram + TSS + 8, DATA0 | 1);
	assert_raises(deliver_soft(&v, 0x22), EXC_TS, DATA0);
	store16(ram + TSS + 8, CODE0);
	assert_raises(deliver_soft(&v, 0x22), EXC_TS, CODE0);
	store16(ram + TSS + 8, 0x100);
	assert_raises(deliver_soft(&v, 0x22), EXC_TS, 0x100);
	store16(ram + TSS + 8, FREE);
	put_gdt(FREE, 0, 0xfffff, (A_DATA | A_32) & ~SEG_P);
	assert_raises(deliver_soft(&v, 0x22), EXC_SS, FREE);
	put_gdt(FREE, 0, 0x10, A_DATA | SEG_DB);
	assert_raises(deliver_soft(&v, 0x22), EXC_SS, FREE);	/* no room */
	v.seg[SEG_TR].limit = 8;
	assert_raises(deliver_soft(&v, 0x22), EXC_TS, TSS_SEL);
}
END_TEST

START_TEST(page_fault_on_the_frame_changes_nothing)
{
	fix_protected(3);
	put_idt(0x22, CODE0, HANDLER, INT_GATE | DPL(3));
	store32(ram + TSS + 4, 0x9008);		/* the frame crosses into page 8 */
	fix_paging_on(7);
	put_pte(0x8000, 0);
	store32(ram + 0x9000, 0x55555555);
	assert_raises(deliver_soft(&v, 0x22), EXC_PF, PF_W);
	ck_assert_uint_eq(v.exc.cr2, 0x8ff4);
	ck_assert_uint_eq(mem32(0x9000), 0x55555555);
}
END_TEST

START_TEST(ext_bit)
{
	fix_protected(0);
	gate_for(EXC_GP);
	put_idt(0x20, 0x100, HANDLER, INT_GATE);
	deliver_hardware(&v, 0x20);		/* its #GP is delivered in its place */
	ck_assert_uint_eq(v.eip, HANDLER);
	ck_assert_uint_eq(mem32(STACK0 - 16), 0x101);
	deliver_hardware(&v, 0x21);		/* no gate: IDT bit too */
	ck_assert_uint_eq(mem32(STACK0 - 32), 0x21 * 8 + 3);
	ck_assert_uint_eq(counters.exceptions, 2);
}
END_TEST

START_TEST(double_fault)
{
	fix_protected(0);
	gate_for(EXC_DF);
	gate_for(EXC_PF);
	exc_raise_error(&v, EXC_GP, 0x55);	/* no gate for #GP: contributory on contributory */
	deliver_exception(&v);
	ck_assert_uint_eq(v.eip, HANDLER);
	ck_assert_uint_eq(mem32(STACK0 - 16), 0);
	ck_assert_uint_eq(mem32(STACK0 - 12), 0x4000);
	ck_assert_uint_eq(seen.triple_faults, 0);
}
END_TEST

START_TEST(benign_then_fault_is_serial)
{
	fix_protected(0);
	gate_for(EXC_GP);
	exc_raise(&v, EXC_UD);			/* no gate for #UD */
	deliver_exception(&v);
	ck_assert_uint_eq(mem32(STACK0 - 16), EXC_UD * 8 + 3);
}
END_TEST

START_TEST(contributory_then_page_fault_is_serial)
{
	fix_protected(0);
	gate_for(EXC_PF);
	gate_for(EXC_DF);
	put_idt(EXC_GP, LDT_SEL, 0, INT_GATE);
	fix_paging_on(3);
	put_pte(GDT, 0);			/* every descriptor fetch faults */
	exc_raise_error(&v, EXC_GP, 0);
	deliver_exception(&v);			/* GP -> PF -> (PF again: double) -> PF on #DF: triple */
	ck_assert_uint_eq(seen.triple_faults, 1);
	ck_assert_uint_eq(v.cr2, GDT + CODE0);
}
END_TEST

START_TEST(triple_fault)
{
	fix_protected(0);
	v.idt_limit = 0;
	exc_raise(&v, EXC_UD);
	deliver_exception(&v);
	ck_assert_uint_eq(seen.triple_faults, 1);
	ck_assert_uint_eq(v.eip, 0x4000);
}
END_TEST

START_TEST(real_mode_vector)
{
	fix_real();
	store32(ram + 8 * 4, 0x12345678);
	v.iff = EFLAGS_IF;
	v.flags = EFLAGS_ZF;
	deliver_hardware(&v, 8);
	ck_assert_uint_eq(v.seg[SEG_CS].sel, 0x1234);
	ck_assert_uint_eq(v.seg[SEG_CS].base, 0x12340);
	ck_assert_uint_eq(v.eip, 0x5678);
	ck_assert_uint_eq(v.regs[ESP], 0xfa);
	ck_assert_uint_eq(mem16(0x30fe), EFLAGS_IF | EFLAGS_ZF | EFLAGS_1);
	ck_assert_uint_eq(mem16(0x30fc), 0x200);
	ck_assert_uint_eq(mem16(0x30fa), 0x10);
	ck_assert_uint_eq(v.iff, 0);
	ck_assert(deliver_soft(&v, 8));
	ck_assert_uint_eq(mem16(0x30f4), 0x567a);
}
END_TEST

START_TEST(real_mode_has_no_error_codes)
{
	fix_real();
	store32(ram + EXC_GP * 4, 0x00100020);
	exc_raise_error(&v, EXC_GP, 0);
	deliver_exception(&v);
	ck_assert_uint_eq(v.regs[ESP], 0xfa);
	ck_assert_uint_eq(v.eip, 0x20);
}
END_TEST

START_TEST(sixteen_bit_stack_wraps)
{
	fix_real();
	store32(ram + 8 * 4, 0x00100020);
	v.regs[ESP] = 0xabcd0002;
	deliver_hardware(&v, 8);
	ck_assert_uint_eq(v.regs[ESP], 0xabcdfffc);
	ck_assert_uint_eq(mem16(0x3000 + 0xfffc), 0x10);
	ck_assert_uint_eq(mem16(0x3000 + 0xfffe), 0x200);
	ck_assert_uint_eq(mem16(0x3000), EFLAGS_1);
}
END_TEST

START_TEST(real_mode_idt_limit)
{
	fix_real();
	v.idt_limit = 8 * 4 + 2;
	store32(ram + EXC_GP * 4, 0);
	deliver_hardware(&v, 8);	/* #GP, which is beyond the limit too, then #DF: triple */
	ck_assert_uint_eq(seen.triple_faults, 1);
}
END_TEST

START_TEST(nmi_blocks_until_iret)
{
	fix_protected(0);
	gate_for(EXC_NMI);
	v.nmi_pending = true;
	deliver_hardware(&v, EXC_NMI);
	ck_assert(v.nmi_blocked && !v.nmi_pending);
	ck_assert(xfer_iret(&v, 4));
	ck_assert(!v.nmi_blocked);
	ck_assert_uint_eq(v.eip, 0x4000);
	ck_assert_uint_eq(v.regs[ESP], STACK0);
}
END_TEST

static void part(TCase *t)
{
	tcase_add_test(t, same_ring);
	tcase_add_test(t, trap_gate_keeps_if);
	tcase_add_test(t, inner_ring_with_error_code);
	tcase_add_test(t, rf_for_faults_only);
	tcase_add_test(t, sixteen_bit_gate);
	tcase_add_test(t, conforming_handler_keeps_the_ring);
	tcase_add_test(t, out_of_vm86);
	tcase_add_test(t, soft_int_in_vm86);
	tcase_add_test(t, vm86_needs_a_ring_0_handler);
	tcase_add_test(t, soft_int);
	tcase_add_test(t, refused_soft_ints);
	tcase_add_test(t, bad_inner_stacks);
	tcase_add_test(t, page_fault_on_the_frame_changes_nothing);
	tcase_add_test(t, ext_bit);
	tcase_add_test(t, double_fault);
	tcase_add_test(t, benign_then_fault_is_serial);
	tcase_add_test(t, contributory_then_page_fault_is_serial);
	tcase_add_test(t, triple_fault);
	tcase_add_test(t, real_mode_vector);
	tcase_add_test(t, real_mode_has_no_error_codes);
	tcase_add_test(t, sixteen_bit_stack_wraps);
	tcase_add_test(t, real_mode_idt_limit);
	tcase_add_test(t, nmi_blocks_until_iret);
}

FIXTURE_MAIN("deliver", part)
