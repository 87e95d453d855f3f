/*
 * paging-page0: page 0 (and the pages up to 64 KiB) mapped and used, by the kernel
 * and by user code, with every kind of access.  A host forbids mapping them, so a VMM must emulate;
 * and a null pointer must fault when the page is absent.  SDM vol. 3, 4.
 */
#include "rt.h"

SNIPPET(k_forms, "xor %esi, %esi; movl $0x11223344, 0", "mov (%esi), %eax; mov %ax, 4(%esi); mov 0, %dl; mov %dl, 0x9(%esi); addl $0x10, 0x10; xchg %ecx, 0x20; lock incl 0x30; movzbl 1, %ebx; pushl 0; popl 0x40; cmpl $0x11223344, 0; setz 0x50; movsbl 3, %ebp", "");
USNIPPET(u_forms, "xor %esi, %esi; movl $0x11223344, 0", "mov (%esi), %eax; mov %ax, 4(%esi); mov 0, %dl; mov %dl, 0x9(%esi); addl $0x10, 0x10; xchg %ecx, 0x20; lock incl 0x30; movzbl 1, %ebx; pushl 0; popl 0x40; cmpl $0x11223344, 0; setz 0x50; movsbl 3, %ebp", "");
SNIPPET(k_str, "", "mov $0x100, %edi; mov $16, %ecx; rep stosl; xor %esi, %esi; mov $0x200, %edi; mov $64, %ecx; rep movsb; xor %edi, %edi; mov $300, %ecx; repne scasb", "");
USNIPPET(u_str, "", "mov $0x100, %edi; mov $16, %ecx; rep stosl; xor %esi, %esi; mov $0x200, %edi; mov $64, %ecx; rep movsb; xor %edi, %edi; mov $300, %ecx; repne scasb", "");
SNIPPET(k_sse, "", "movups 0, %xmm0; movups %xmm0, 0x80; fildl 0; fistpl 0x90", "");
SNIPPET(k_stack, "mov %esp, %ebx; mov $0x800, %esp; push $0x77; push %eax; call 1f\n1: pop %edx; pop %ecx", "pop %esi", "mov %ebx, %esp");
USNIPPET(u_stack, "mov %esp, %ebx; mov $0x800, %esp; push $0x77; push %eax; call 1f\n1: pop %edx; pop %ecx", "pop %esi", "mov %ebx, %esp");
SNIPPET(k_rd, "", "mov 0x24(%esi), %eax", "");
SNIPPET(k_wr, "", "mov %eax, (%esi)", "");
SNIPPET(k_cross, "", "mov 0xffe, %eax", "");
SNIPPET(k_wrap, "", "mov 0xfffffffe, %eax", "");
SNIPPET(k_call0, "", "call *%esi", "");
USNIPPET(u_call0, "", "call *%esi", "");
USNIPPET(u_rd, "", "mov 0x24(%esi), %eax", "");
USNIPPET(u_loop, "mov $2000, %ecx\n1:", "incl 0x60; dec %ecx; jnz 1b", "");

static void forms(const u8 *code, bool user)
{
	volatile u32 *m = (volatile u32 *)0x300000;	/* the frame behind page 0 here */
	for (u32 i = 0; i < 1024; i++)
		m[i] = 0;
	struct state s = user ? ustate(code) : kstate(code);
	s.ecx = 0x5555;
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(T.s.eax, 0x11223344);
	CHECK_EQ(m[1], 0x3344);
	CHECK_EQ(m[2], 0x4400);
	CHECK_EQ(m[4], 0x10);
	CHECK_EQ(m[8], 0x5555);
	CHECK_EQ(T.s.ecx, 0);
	CHECK_EQ(m[12], 1);
	CHECK_EQ(T.s.ebx, 0x33);
	CHECK_EQ(m[16], 0x11223344);
	CHECK_EQ(m[20], 1);
	CHECK_EQ(T.s.ebp, 0x11);
}

static void strings(const u8 *code, bool user)
{
	volatile u8 *m = (volatile u8 *)0x300000;
	for (u32 i = 0; i < 64; i++)
		m[i] = (u8)(i + 1);
	struct state s = user ? ustate(code) : kstate(code);
	s.eax = 0x61626300;
	m[200] = 0;
	for (u32 i = 64; i < 200; i++)
		m[i] = 9;
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(*(volatile u32 *)(m + 0x13c), 0x61626300);
	CHECK_EQ(m[0x23f], 64);
	CHECK_EQ(T.s.edi, 201);
	CHECK_EQ(T.s.ecx, 300 - 201);
}

static void stack(const u8 *code, const u8 *f, bool user)
{
	struct state s = user ? ustate(code) : kstate(code);
	s.eax = 0xe0e0;
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(T.s.esi, 0x77);
	CHECK_EQ(T.s.ecx, 0xe0e0);
	CHECK_EQ(T.s.edx, (u32)f - 2);
}

int main(void)
{
	u32 *pd = pg_new();
	struct state s;
	wcr4(rcr4() | CR4_OSFXSR);
	volatile u32 *pte = pg_pte(pd, 0);
	*pte = 0x300000 | PTE_P | PTE_W;
	pg_on(pd);

	group("kernel, supervisor page");
	forms(k_forms, 0);
	strings(k_str, 0);
	stack(k_stack, k_stack_f, 0);
	wr32(0, 1234567);
	s = kstate(k_sse);
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(rd32(0x80), 1234567);
	CHECK_EQ(rd32(0x90), 1234567);
	CHECK_EQ(*pte & (PTE_A | PTE_D), PTE_A | PTE_D);

	group("user may not");
	EXPECT_U(u_rd, 14, 5);
	CHECK_EQ(T.cr2, 0x24);

	group("user page, user code");
	*pte = 0x300000 | PTE_P | PTE_W | PTE_U;
	invlpg(0);
	forms(u_forms, 1);
	strings(u_str, 1);
	stack(u_stack, u_stack_f, 1);
	s = ustate(u_loop);
	wr32(0x60, 0);
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(rd32(0x300060), 2000);

	group("user page, kernel code");
	forms(k_forms, 0);
	strings(k_str, 0);

	group("code in page 0");
	wr32(0x300, 0x40cd4040);	/* inc %eax twice, int $0x40 */
	s = kstate(k_call0);
	s.esi = 0x300;
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, 0x304);
	CHECK_EQ(T.s.eax, 2);
	s = ustate(u_call0);
	s.esi = 0x300;
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, 0x304);
	CHECK_EQ(T.s.eax, 2);
	wr32(0x300, 0x40cd4048);	/* changed */
	s.esi = 0x300;
	trap_run(&s, &T);
	CHECK_EQ(T.s.eax, 0);

	group("read-only");
	*pte = 0x300000 | PTE_P | PTE_U;
	invlpg(0);
	s = kstate(k_wr);
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 3, k_wr_f);
	CHECK_EQ(T.cr2, 0);
	s = kstate(k_rd);
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);

	group("absent: the null pointer");
	*pte = 0;
	invlpg(0);
	EXPECT_K(k_rd, 14, 0);
	CHECK_EQ(T.cr2, 0x24);
	EXPECT_U(u_rd, 14, 4);
	CHECK_EQ(T.cr2, 0x24);
	EXPECT_K(k_cross, 14, 0);
	CHECK_EQ(T.cr2, 0xffe);
	s = ustate(u_call0);
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 4, 0);
	s = kstate(k_call0);
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 0, 0);

	group("page 0 to page 1, and around the top of memory");
	*pte = 0x300000 | PTE_P | PTE_W;
	pg_map(pd, 0x1000, 0x305000, PTE_P | PTE_W);
	pg_map(pd, 0xfffff000, 0x307000, PTE_P | PTE_W);
	wcr3((u32)pd);
	*(volatile u16 *)0x300ffe = 0x1122;
	*(volatile u16 *)0x305000 = 0x3344;
	s = kstate(k_cross);
	trap_run(&s, &T);
	CHECK_EQ(T.s.eax, 0x33441122);
	*(volatile u16 *)0x307ffe = 0x5566;
	*(volatile u16 *)0x300000 = 0x7788;
	if (hw()) {
		/* hw-only: an access across 4 GiB wraps on CPUs (for a flat segment, implementation-specific between wrap and #GP). */
		s = kstate(k_wrap);
		trap_run(&s, &T);
		CHECK(T.vector == 13 || (T.vector == T_DONE && T.s.eax == 0x77885566));
	}
	CHECK_EQ(*(volatile u16 *)0xfffffffe, 0x5566);
	return 0;
}
