/*
 * paging-basic: two-level paging turned on and off under a running kernel;
 * not-present, read-only, remapped, and unmapped pages; CR2 and error codes;
 * Accessed and Dirty.  SDM vol. 3, 4.3, 4.7, 4.8.
 */
#include "rt.h"

#define VA 0xd0000000u

SNIPPET(rd, "", "mov (%esi), %eax", "");
SNIPPET(wr, "", "mov %eax, (%esi)", "");
SNIPPET(rmw, "", "addl $1, (%esi)", "");
SNIPPET(jmp_to, "mov $9f, %ebx", "jmp *%esi", "9:");

static void run(const u8 *code, u32 esi, u32 eax)
{
	struct state s = kstate(code);
	s.esi = esi;
	s.eax = eax;
	trap_run(&s, &T);
}

int main(void)
{
	u32 *pd = pg_new();
	u32 *a = page_alloc(), *b = page_alloc();
	volatile u32 *pte = pg_pte(pd, VA);
	a[0] = 0x11111111;
	b[0] = 0x22222222;

	group("paging on, identity");
	pg_on(pd);
	CHECK_EQ(rcr3(), (u32)pd);
	CHECK(rcr0() & CR0_PG);
	CHECK_EQ(a[0], 0x11111111);

	group("not present");
	run(rd, VA + 4, 0);
	CHECK_TRAP(&T, 14, 0, rd_f);
	CHECK_EQ(T.cr2, VA + 4);
	run(wr, VA + 8, 5);
	CHECK_TRAP(&T, 14, 2, wr_f);
	CHECK_EQ(T.cr2, VA + 8);
	CHECK_EQ(T.s.eax, 5);
	CHECK_EQ(T.s.esi, VA + 8);
	run(rmw, VA + 12, 5);
	CHECK_TRAP(&T, 14, hw() ? 2 : 0, rmw_f);	/* hw-only: TCG reads first; CPUs want write permission at once */
	run(jmp_to, VA + 16, 0);
	CHECK_TRAP(&T, 14, 0, VA + 16);
	CHECK_EQ(T.cr2, VA + 16);

	group("absent page directory entry");
	run(rd, 0x80000000, 0);
	CHECK_TRAP(&T, 14, 0, rd_f);
	CHECK_EQ(T.cr2, 0x80000000);

	group("not present to present needs no INVLPG");
	*pte = (u32)a | PTE_P;
	run(rd, VA, 0);
	CHECK_TRAP(&T, T_DONE, 0, rd_e + 2);
	CHECK_EQ(T.s.eax, 0x11111111);
	CHECK_EQ(*pte & (PTE_A | PTE_D), PTE_A);

	group("read-only with CR0.WP");
	run(wr, VA, 0x33333333);
	CHECK_TRAP(&T, 14, 3, wr_f);
	CHECK_EQ(T.cr2, VA);
	CHECK_EQ(a[0], 0x11111111);

	group("read-write, Dirty");
	*pte |= PTE_W;
	invlpg(VA);
	run(wr, VA, 0x33333333);
	CHECK_TRAP(&T, T_DONE, 0, wr_e + 2);
	CHECK_EQ(a[0], 0x33333333);
	CHECK_EQ(*pte & (PTE_A | PTE_D), PTE_A | PTE_D);
	a[0] = 0x44444444;		/* the identity alias is the same memory */
	CHECK_EQ(rd32(VA), 0x44444444);

	group("remap with INVLPG");
	*pte = (u32)b | PTE_P | PTE_W;
	invlpg(VA);
	CHECK_EQ(rd32(VA), 0x22222222);
	wr32(VA, 0x55555555);
	CHECK_EQ(b[0], 0x55555555);
	CHECK_EQ(a[0], 0x44444444);

	group("unmap with a CR3 load");
	*pte = 0;
	wcr3(rcr3());
	run(rd, VA, 0);
	CHECK_TRAP(&T, 14, 0, rd_f);

	group("paging off");
	pg_off();
	CHECK_EQ(b[0], 0x55555555);
	CHECK(!(rcr0() & CR0_PG));
	return 0;
}
