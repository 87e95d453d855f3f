/* cpu/transfer.c: far jumps, calls, call gates, returns, IRET, SYSENTER, PUSHF and POPF. */
#include "vcpu_fixture.h"

#define CALL_GATE (SEG_P | SYS_CALL32)

static void push32(u32 val)
{
	v.regs[ESP] -= 4;
	store32(ram + v.seg[SEG_SS].base + v.regs[ESP], val);
}

static void push16(u16 val)
{
	v.regs[ESP] -= 2;
	store16(ram + v.seg[SEG_SS].base + v.regs[ESP], val);
}

static void iret_frame(u32 eip, u16 cs, u32 eflags) { push32(eflags); push32(cs); push32(eip); }

/* ---- JMP ---- */

START_TEST(jump_direct)
{
	fix_protected(0);
	put_gdt(FREE, 0x100, 0xffff, A_CODE & ~SEG_A);
	ck_assert(xfer_far_jmp(&v, FREE, 0x50));
	ck_assert_uint_eq(v.seg[SEG_CS].base, 0x100);
	ck_assert_uint_eq(v.eip, 0x50);
	ck_assert_uint_eq(ram[GDT + FREE + 5], 0x9b);
	ck_assert(!(v.mode & (MODE_FLAT | MODE_CODE32)));
}
END_TEST

static const struct { u8 cpl; u16 sel, attr; u32 off; u8 vector; u16 error; } jumps[] = {
	{ 0, 0, A_CODE, 0, EXC_GP, 0 },
	{ 0, 0x100, A_CODE, 0, EXC_GP, 0x100 },
	{ 0, FREE, A_DATA, 0, EXC_GP, FREE },
	{ 0, FREE, A_CODE | DPL(3), 0, EXC_GP, FREE },
	{ 3, FREE | 3, A_CODE, 0, EXC_GP, FREE },
	{ 0, FREE | 1, A_CODE, 0, EXC_GP, FREE },		/* RPL > CPL */
	{ 0, FREE, A_CODE & ~SEG_P, 0, EXC_NP, FREE },
	{ 0, FREE, A_CODE, 0x10000, EXC_GP, 0 },		/* limit 0xffff */
	{ 0, FREE, A_CODE | SEG_DC | DPL(1), 0, EXC_GP, FREE },	/* conforming, but DPL > CPL */
	{ 0, FREE, SEG_P | SYS_TSS32 | SYS_BUSY, 0, EXC_GP, FREE },
	{ 0, FREE, SEG_P | SYS_INT32, 0, EXC_GP, FREE },
	{ 0, FREE, SEG_P | SYS_LDT, 0, EXC_GP, FREE },
};

START_TEST(refused_jumps)
{
	fix_protected(jumps[_i].cpl);
	put_gdt(FREE, 0, 0xffff, jumps[_i].attr);
	assert_raises(xfer_far_jmp(&v, jumps[_i].sel, jumps[_i].off), jumps[_i].vector, jumps[_i].error);
	assert_raises(xfer_far_call(&v, jumps[_i].sel, jumps[_i].off, 4), jumps[_i].vector, jumps[_i].error);
}
END_TEST

START_TEST(jump_to_conforming_keeps_cpl)
{
	fix_protected(3);
	ck_assert(xfer_far_jmp(&v, CONF0, 0x10));
	ck_assert_uint_eq(v.cpl, 3);
	ck_assert_uint_eq(v.seg[SEG_CS].sel, CONF0 | 3);
}
END_TEST

START_TEST(jump_through_a_gate)
{
	fix_protected(3);
	put_gate(GDT + FREE, CODE3, 0x12345678, CALL_GATE | DPL(3), 0);
	ck_assert(xfer_far_jmp(&v, FREE | 3, 0xffffffff));	/* the offset is ignored */
	ck_assert_uint_eq(v.eip, 0x12345678);
	ck_assert_uint_eq(v.seg[SEG_CS].sel, CODE3);
	put_gate(GDT + FREE, CODE0, 0x10, CALL_GATE | DPL(3), 0);
	assert_raises(xfer_far_jmp(&v, FREE | 3, 0), EXC_GP, CODE0);	/* JMP cannot go inwards */
	put_gate(GDT + FREE, CODE3, 0x10, CALL_GATE, 0);
	assert_raises(xfer_far_jmp(&v, FREE | 3, 0), EXC_GP, FREE);
	put_gate(GDT + FREE, CODE3, 0x10, SYS_CALL32 | DPL(3), 0);
	assert_raises(xfer_far_jmp(&v, FREE | 3, 0), EXC_NP, FREE);
	fix_protected(0);
	put_gate(GDT + FREE, CODE0, 0x10, CALL_GATE, 0);
	assert_raises(xfer_far_jmp(&v, FREE | 3, 0), EXC_GP, FREE);	/* RPL > DPL of the gate */
}
END_TEST

START_TEST(real_mode_jump_and_call)
{
	fix_real();
	ck_assert(xfer_far_call(&v, 0x1000, 0x20, 2));
	ck_assert_uint_eq(v.seg[SEG_CS].base, 0x10000);
	ck_assert_uint_eq(v.eip, 0x20);
	ck_assert_uint_eq(v.regs[ESP], 0xfc);
	ck_assert_uint_eq(mem16(0x30fe), 0x200);
	ck_assert_uint_eq(mem16(0x30fc), 0x12);
	ck_assert(xfer_far_ret(&v, 2, 6));
	ck_assert_uint_eq(v.seg[SEG_CS].sel, 0x200);
	ck_assert_uint_eq(v.eip, 0x12);
	ck_assert_uint_eq(v.regs[ESP], 0x106);
	assert_raises(xfer_far_jmp(&v, 0x1000, 0x10000), EXC_GP, 0);
}
END_TEST

/* ---- CALL ---- */

START_TEST(call_and_return_same_ring)
{
	fix_protected(0);
	ck_assert(xfer_far_call(&v, CODE0, 0x5000, 4));
	ck_assert_uint_eq(mem32(STACK0 - 4), CODE0);
	ck_assert_uint_eq(mem32(STACK0 - 8), 0x4002);
	ck_assert_uint_eq(v.eip, 0x5000);
	ck_assert(xfer_far_ret(&v, 4, 8));
	ck_assert_uint_eq(v.eip, 0x4002);
	ck_assert_uint_eq(v.regs[ESP], STACK0 + 8);
}
END_TEST

START_TEST(call_gate_to_ring_0_copies_parameters)
{
	fix_protected(3);
	put_gate(GDT + FREE, CODE0, 0x5000, CALL_GATE | DPL(3), 2);
	push32(0x22222222);
	push32(0x11111111);
	ck_assert(xfer_far_call(&v, FREE | 3, 0, 4));
	ck_assert_uint_eq(v.cpl, 0);
	ck_assert_uint_eq(v.eip, 0x5000);
	ck_assert_uint_eq(v.regs[ESP], STACK0 - 24);
	ck_assert_uint_eq(mem32(STACK0 - 4), DATA3);
	ck_assert_uint_eq(mem32(STACK0 - 8), STACK3 - 8);
	ck_assert_uint_eq(mem32(STACK0 - 12), 0x22222222);
	ck_assert_uint_eq(mem32(STACK0 - 16), 0x11111111);
	ck_assert_uint_eq(mem32(STACK0 - 20), CODE3);
	ck_assert_uint_eq(mem32(STACK0 - 24), 0x4002);

	/* RET 8 releases the parameters on both stacks and nulls ring-0 data segments. */
	ck_assert(seg_load(&v, SEG_ES, DATA0));
	ck_assert(seg_load(&v, SEG_FS, CONF0));
	ck_assert(xfer_far_ret(&v, 4, 8));
	ck_assert_uint_eq(v.cpl, 3);
	ck_assert_uint_eq(v.eip, 0x4002);
	ck_assert_uint_eq(v.regs[ESP], STACK3);
	ck_assert_uint_eq(v.seg[SEG_SS].sel, DATA3);
	ck_assert_uint_eq(v.seg[SEG_ES].attr, SEG_NULL);
	ck_assert_uint_eq(v.seg[SEG_ES].sel, 0);
	ck_assert_uint_eq(v.seg[SEG_DS].sel, DATA3);
	ck_assert_uint_eq(v.seg[SEG_FS].sel, CONF0);	/* conforming code stays */
}
END_TEST

START_TEST(call_gate_16)
{
	fix_protected(3);
	put_gate(GDT + FREE, CODE0, 0x5000, SEG_P | SYS_CALL16 | DPL(3), 1);
	push16(0x1111);
	ck_assert(xfer_far_call(&v, FREE | 3, 0, 4));
	ck_assert_uint_eq(v.regs[ESP], STACK0 - 10);
	ck_assert_uint_eq(mem16(STACK0 - 6), 0x1111);
	ck_assert_uint_eq(mem16(STACK0 - 8), CODE3);
}
END_TEST

START_TEST(call_gate_faults)
{
	fix_protected(3);
	put_gate(GDT + FREE, CODE0, 0x5000, CALL_GATE | DPL(3), 0);
	store16(ram + TSS + 8, DATA3);
	assert_raises(xfer_far_call(&v, FREE | 3, 0, 4), EXC_TS, DATA3 & ~3);
	store16(ram + TSS + 8, DATA0);
	put_gate(GDT + FREE, 0, 0x5000, CALL_GATE | DPL(3), 0);
	assert_raises(xfer_far_call(&v, FREE | 3, 0, 4), EXC_GP, 0);
	put_gate(GDT + FREE, DATA0, 0x5000, CALL_GATE | DPL(3), 0);
	assert_raises(xfer_far_call(&v, FREE | 3, 0, 4), EXC_GP, DATA0);
	put_gate(GDT + FREE, CODE0, 0x5000, CALL_GATE | DPL(2), 0);
	assert_raises(xfer_far_call(&v, FREE | 3, 0, 4), EXC_GP, FREE);
}
END_TEST

START_TEST(call_checks_the_stack)
{
	fix_protected(0);
	v.seg[SEG_SS].limit = STACK0 - 5;
	assert_raises(xfer_far_call(&v, CODE0, 0x5000, 4), EXC_SS, 0);
}
END_TEST

/* ---- RET ---- */

START_TEST(bad_returns)
{
	fix_protected(0);
	push32(0);
	push32(0x5000);
	assert_raises(xfer_far_ret(&v, 4, 0), EXC_GP, 0);	/* null CS */
	store32(ram + v.regs[ESP] + 4, DATA0);
	assert_raises(xfer_far_ret(&v, 4, 0), EXC_GP, DATA0);
	store32(ram + v.regs[ESP] + 4, CODE3 & ~3);		/* DPL != RPL */
	assert_raises(xfer_far_ret(&v, 4, 0), EXC_GP, CODE3 & ~3);
	v.seg[SEG_SS].limit = STACK0 - 6;
	assert_raises(xfer_far_ret(&v, 4, 0), EXC_SS, 0);
	fix_protected(3);
	push32(CODE0);
	push32(0x5000);
	assert_raises(xfer_far_ret(&v, 4, 0), EXC_GP, CODE0);	/* inwards */
}
END_TEST

START_TEST(bad_outer_stacks)
{
	fix_protected(0);
	push32(0);
	push32(STACK3);
	push32(CODE3);
	push32(0x5000);
	assert_raises(xfer_far_ret(&v, 4, 0), EXC_GP, 0);
	store32(ram + STACK0 - 4, DATA0 | 3);
	assert_raises(xfer_far_ret(&v, 4, 0), EXC_GP, DATA0);
	store32(ram + STACK0 - 4, DATA3 & ~3);
	assert_raises(xfer_far_ret(&v, 4, 0), EXC_GP, DATA3 & ~3);
	store32(ram + STACK0 - 4, FREE | 3);
	put_gdt(FREE, 0, 0xffff, (A_DATA & ~SEG_P) | DPL(3));
	assert_raises(xfer_far_ret(&v, 4, 0), EXC_SS, FREE);
}
END_TEST

/* ---- IRET ---- */

START_TEST(iret_same_ring)
{
	fix_protected(0);
	iret_frame(0x5000, CODE0, EFLAGS_CF | EFLAGS_IOPL | EFLAGS_TF | EFLAGS_AC | EFLAGS_ID | EFLAGS_RF);
	ck_assert(xfer_iret(&v, 4));
	ck_assert_uint_eq(v.eip, 0x5000);
	ck_assert_uint_eq(v.regs[ESP], STACK0);
	ck_assert_uint_eq(vcpu_eflags(&v), EFLAGS_1 | EFLAGS_CF | EFLAGS_IOPL | EFLAGS_TF | EFLAGS_AC |
						   EFLAGS_ID | EFLAGS_RF);
}
END_TEST

START_TEST(iret_to_user)
{
	fix_protected(0);
	push32(DATA3);
	push32(STACK3);
	iret_frame(0x5000, CODE3, EFLAGS_IF);
	ck_assert(xfer_iret(&v, 4));
	ck_assert_uint_eq(v.cpl, 3);
	ck_assert_uint_eq(v.regs[ESP], STACK3);
	ck_assert_uint_eq(v.seg[SEG_SS].sel, DATA3);
	ck_assert_uint_eq(v.seg[SEG_DS].attr, SEG_NULL);	/* was ring 0's */
	ck_assert_uint_eq(v.mode & MODE_CPL, 3);
	ck_assert_uint_eq(v.iff, EFLAGS_IF);
}
END_TEST

START_TEST(iret_at_cpl_3_cannot_change_if_and_iopl)
{
	fix_protected(3);
	iret_frame(0x5000, CODE3, EFLAGS_IOPL | EFLAGS_ZF | EFLAGS_VM);
	ck_assert(xfer_iret(&v, 4));
	ck_assert_uint_eq(vcpu_eflags(&v), EFLAGS_1 | EFLAGS_IF | EFLAGS_ZF);
	v.sysflags = EFLAGS_IOPL;
	iret_frame(0x5000, CODE3, 0);
	ck_assert(xfer_iret(&v, 4));
	ck_assert_uint_eq(vcpu_eflags(&v), EFLAGS_1 | EFLAGS_IOPL);
}
END_TEST

START_TEST(iret16)
{
	fix_protected(0);
	v.sysflags = EFLAGS_AC | EFLAGS_ID;
	push16(EFLAGS_CF);
	push16(CODE0);
	push16(0x5000);
	ck_assert(xfer_iret(&v, 2));
	ck_assert_uint_eq(v.eip, 0x5000);
	ck_assert_uint_eq(v.regs[ESP], STACK0);
	ck_assert_uint_eq(vcpu_eflags(&v), EFLAGS_1 | EFLAGS_CF | EFLAGS_AC | EFLAGS_ID);
}
END_TEST

START_TEST(iret_to_a_16_bit_stack_loads_sp_only)
{
	fix_protected(0);
	put_gdt(FREE, 0, 0xffff, A_DATA | DPL(3));
	push32(FREE | 3);
	push32(0x12345678);
	iret_frame(0x5000, CODE3, 0);
	v.seg[SEG_SS].base = 0;
	ck_assert(xfer_iret(&v, 4));
	ck_assert_uint_eq(v.regs[ESP], ((STACK0 - 20) & 0xffff0000) | 0x5678);
}
END_TEST

START_TEST(iret_into_vm86)
{
	fix_protected(0);
	push32(0x304);	/* GS */
	push32(0x303);
	push32(0x301);	/* DS */
	push32(0x302);	/* ES */
	push32(0x300);	/* SS */
	push32(0x1234);
	iret_frame(0x10, 0x200, EFLAGS_VM | EFLAGS_IF | EFLAGS_IOPL);
	ck_assert(xfer_iret(&v, 4));
	ck_assert_uint_eq(v.cpl, 3);
	ck_assert(v.mode & MODE_VM);
	ck_assert_uint_eq(v.seg[SEG_CS].base, 0x2000);
	ck_assert_uint_eq(v.seg[SEG_SS].base, 0x3000);
	ck_assert_uint_eq(v.seg[SEG_DS].sel, 0x301);
	ck_assert_uint_eq(v.seg[SEG_ES].sel, 0x302);
	ck_assert_uint_eq(v.seg[SEG_FS].sel, 0x303);
	ck_assert_uint_eq(v.seg[SEG_GS].sel, 0x304);
	ck_assert_uint_eq(v.regs[ESP], 0x1234);
	ck_assert_uint_eq(v.eip, 0x10);
	ck_assert_uint_eq(seg_dpl(&v.seg[SEG_SS]), 3);
	ck_assert_uint_eq(vcpu_eflags(&v), EFLAGS_1 | EFLAGS_VM | EFLAGS_IF | EFLAGS_IOPL);
}
END_TEST

START_TEST(iret_in_vm86)
{
	fix_vm86(0);
	assert_raises(xfer_iret(&v, 2), EXC_GP, 0);
	fix_vm86(3);
	push16(EFLAGS_CF);	/* IF and IOPL clear in the image */
	push16(0x250);
	push16(0x20);
	ck_assert(xfer_iret(&v, 2));
	ck_assert_uint_eq(v.seg[SEG_CS].base, 0x2500);
	ck_assert_uint_eq(v.eip, 0x20);
	ck_assert_uint_eq(vcpu_eflags(&v), EFLAGS_1 | EFLAGS_VM | EFLAGS_IOPL | EFLAGS_CF);
}
END_TEST

START_TEST(faulting_iret_unblocks_nmi_only)
{
	fix_protected(0);
	iret_frame(0x5000, 0, 0);
	v.nmi_blocked = true;
	ck_assert(!xfer_iret(&v, 4));
	ck_assert(!v.nmi_blocked);
	assert_raises(xfer_iret(&v, 4), EXC_GP, 0);
}
END_TEST

START_TEST(iret_to_unreadable_outer_stack_is_precise)
{
	fix_protected(0);
	push32(DATA0);	/* wrong DPL */
	push32(STACK3);
	iret_frame(0x5000, CODE3, EFLAGS_TF);
	assert_raises(xfer_iret(&v, 4), EXC_GP, DATA0);
}
END_TEST

/* ---- SYSENTER ---- */

START_TEST(sysenter_and_sysexit)
{
	fix_protected(3);
	assert_raises(xfer_sysenter(&v), EXC_GP, 0);
	v.sysenter_cs = CODE0;
	v.sysenter_esp = STACK0;
	v.sysenter_eip = 0x5000;
	ck_assert(xfer_sysenter(&v));
	ck_assert_uint_eq(v.cpl, 0);
	ck_assert_uint_eq(v.seg[SEG_CS].sel, CODE0);
	ck_assert_uint_eq(v.seg[SEG_SS].sel, DATA0);
	ck_assert_uint_eq(v.iff, 0);
	ck_assert_uint_eq(v.regs[ESP], STACK0);
	ck_assert_uint_eq(v.eip, 0x5000);
	ck_assert(v.mode & MODE_FLAT);
	v.regs[ECX] = STACK3;
	v.regs[EDX] = 0x4444;
	ck_assert(xfer_sysexit(&v));
	ck_assert_uint_eq(v.cpl, 3);
	ck_assert_uint_eq(v.seg[SEG_CS].sel, CODE3);
	ck_assert_uint_eq(v.seg[SEG_SS].sel, DATA3);
	ck_assert_uint_eq(v.seg[SEG_SS].attr, (u16)(A_DATA | A_32 | DPL(3)));
	ck_assert_uint_eq(v.regs[ESP], STACK3);
	ck_assert_uint_eq(v.eip, 0x4444);
	assert_raises(xfer_sysexit(&v), EXC_GP, 0);
}
END_TEST

/* ---- PUSHF, POPF ---- */

START_TEST(popf_by_privilege)
{
	fix_protected(0);
	push32(0xffffffff);
	ck_assert(xfer_popf(&v, 4));
	ck_assert_uint_eq(vcpu_eflags(&v), EFLAGS_ARITH | EFLAGS_1 | EFLAGS_TF | EFLAGS_IF | EFLAGS_IOPL |
						   EFLAGS_NT | EFLAGS_AC | EFLAGS_ID);
	ck_assert_uint_eq(v.eip, 0x4002);
	fix_protected(3);
	push32(EFLAGS_IOPL);
	ck_assert(xfer_popf(&v, 4));
	ck_assert_uint_eq(vcpu_eflags(&v), EFLAGS_1 | EFLAGS_IF);	/* IF and IOPL unchanged, no fault */
	fix_vm86(0);
	assert_raises(xfer_popf(&v, 2), EXC_GP, 0);
	assert_raises(xfer_pushf(&v, 2), EXC_GP, 0);
	fix_vm86(3);
	push16(0);
	ck_assert(xfer_popf(&v, 2));
	ck_assert_uint_eq(vcpu_eflags(&v), EFLAGS_1 | EFLAGS_VM | EFLAGS_IOPL);
}
END_TEST

START_TEST(pushf_hides_vm_and_rf)
{
	fix_vm86(3);
	v.sysflags |= EFLAGS_RF | EFLAGS_AC;
	ck_assert(xfer_pushf(&v, 4));
	ck_assert_uint_eq(v.regs[ESP], 0xfc);
	ck_assert_uint_eq(mem32(0x30fc), EFLAGS_1 | EFLAGS_IF | EFLAGS_IOPL | EFLAGS_AC);
	ck_assert_uint_eq(v.eip, 0x12);
}
END_TEST

static void part(TCase *t)
{
	tcase_add_test(t, jump_direct);
	tcase_add_loop_test(t, refused_jumps, 0, ARRAY_SIZE(jumps));
	tcase_add_test(t, jump_to_conforming_keeps_cpl);
	tcase_add_test(t, jump_through_a_gate);
	tcase_add_test(t, real_mode_jump_and_call);
	tcase_add_test(t, call_and_return_same_ring);
	tcase_add_test(t, call_gate_to_ring_0_copies_parameters);
	tcase_add_test(t, call_gate_16);
	tcase_add_test(t, call_gate_faults);
	tcase_add_test(t, call_checks_the_stack);
	tcase_add_test(t, bad_returns);
	tcase_add_test(t, bad_outer_stacks);
	tcase_add_test(t, iret_same_ring);
	tcase_add_test(t, iret_to_user);
	tcase_add_test(t, iret_at_cpl_3_cannot_change_if_and_iopl);
	tcase_add_test(t, iret16);
	tcase_add_test(t, iret_to_a_16_bit_stack_loads_sp_only);
	tcase_add_test(t, iret_into_vm86);
	tcase_add_test(t, iret_in_vm86);
	tcase_add_test(t, faulting_iret_unblocks_nmi_only);
	tcase_add_test(t, iret_to_unreadable_outer_stack_is_precise);
	tcase_add_test(t, sysenter_and_sysexit);
	tcase_add_test(t, popf_by_privilege);
	tcase_add_test(t, pushf_hides_vm_and_rf);
}

FIXTURE_MAIN("transfer", part)
