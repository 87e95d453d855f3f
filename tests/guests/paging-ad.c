/*
 * paging-ad: the Accessed and Dirty bits as the walker sets them: by reads, writes,
 * fetches, stack, string and locked instructions, at CPL 0 and 3; not by
 * faults; kept when software sets them; set again after software cleared them and flushed.
 * SDM vol. 3, 4.8.
 */
#include "rt.h"

#define VA 0x60000000u
SNIPPET(k_rd, "", "mov (%esi), %eax", "");
SNIPPET(k_wr, "", "mov %eax, (%esi)", "");
SNIPPET(k_rmw, "", "incl (%esi)", "");
SNIPPET(k_cmp, "", "cmp %eax, (%esi)", "");
SNIPPET(k_push, "mov %esp, %ebp; lea 8(%esi), %esp", "push %eax", "mov %ebp, %esp");
SNIPPET(k_pop, "mov %esp, %ebp; mov %esi, %esp", "pop %eax", "mov %ebp, %esp");
SNIPPET(k_stos, "mov %esi, %edi; mov $4, %ecx", "rep stosl", "");
SNIPPET(k_lods, "mov $4, %ecx", "rep lodsl", "");
SNIPPET(k_lock, "", "lock xadd %eax, (%esi)", "");
SNIPPET(k_cx, "mov $0x12345, %eax", "lock cmpxchg %ecx, (%esi)", "");	/* fails to compare, yet writes */
SNIPPET(k_fetch, "movb $0xc3, (%edi)", "call *%esi", "");
SNIPPET(k_bt, "mov $3, %eax", "bts %eax, (%esi)", "");
SNIPPET(k_lgdt, "", "mov (%esi), %fs", "xor %eax, %eax; mov %eax, %fs");
SNIPPET(k_st0, "xor %ecx, %ecx; mov %esi, %edi", "rep stosl", "");
USNIPPET(u_rd, "", "mov (%esi), %eax", "");
USNIPPET(u_wr, "", "mov %eax, (%esi)", "");

int main(void)
{
	u32 *pd = pg_new();
	u32 *page = page_alloc();
	pg_map(pd, VA, (u32)page, PTE_P | PTE_W | PTE_U);
	volatile u32 *pte = pg_pte(pd, VA), *pde = &pd[VA >> 22];
	pg_on(pd);
	static const struct { const char *name; const u8 *code; bool user, dirty, none; } t[] = {
		{ "read", k_rd, 0, 0, 0 }, { "write", k_wr, 0, 1, 0 }, { "inc", k_rmw, 0, 1, 0 }, { "cmp", k_cmp, 0, 0, 0 },
		{ "push", k_push, 0, 1, 0 }, { "pop", k_pop, 0, 0, 0 }, { "rep stos", k_stos, 0, 1, 0 }, { "rep lods", k_lods, 0, 0, 0 },
		{ "lock xadd", k_lock, 0, 1, 0 }, { "lock cmpxchg", k_cx, 0, 1, 0 }, { "fetch", k_fetch, 0, 0, 0 }, { "bts", k_bt, 0, 1, 0 },
		{ "segment load", k_lgdt, 0, 0, 0 }, { "rep stos of nothing", k_st0, 0, 0, 1 },
		{ "user read", u_rd, 1, 0, 0 }, { "user write", u_wr, 1, 1, 0 },
	};
	for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
		group(t[i].name);
		for (int preset = 0; preset < 4; preset++) {
			/* preset: 0 clean; 1 A set before; 2 A and D set before; 3 clean after having been used */
			u32 start = preset == 1 ? PTE_A : preset == 2 ? PTE_A | PTE_D : 0;
			if (preset == 3) {
				*pte = (u32)page | PTE_P | PTE_W | PTE_U;
				invlpg(VA);
				wr32(VA, 0);
			}
			*pte = (u32)page | PTE_P | PTE_W | PTE_U | start;
			*pde &= ~PTE_A;
			wcr3((u32)pd);
			memset(page, 0, 64);
			struct state s = t[i].user ? ustate(t[i].code) : kstate(t[i].code);
			s.esi = VA;
			s.edi = (u32)page;
			trap_run(&s, &T);
			CHECK_EQ(T.vector, T_DONE);
			if (t[i].none) {
				CHECK_EQ(*pte & (PTE_A | PTE_D), start);
				continue;
			}
			CHECK_EQ(*pte & (PTE_A | PTE_D), start | PTE_A | (t[i].dirty ? PTE_D : 0));
			CHECK_EQ(*pde & PTE_A, PTE_A);
		}
	}

	group("a fault sets no Dirty");
	*pte = (u32)page | PTE_P;
	wcr3((u32)pd);
	struct state s = kstate(k_wr);
	s.esi = VA;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 3, k_wr_f);
	CHECK_EQ(*pte & PTE_D, 0);

	group("read first, then write: D comes with the write");
	*pte = (u32)page | PTE_P | PTE_W;
	wcr3((u32)pd);
	CHECK_EQ(rd32(VA + 8), page[2]);
	CHECK_EQ(*pte & (PTE_A | PTE_D), PTE_A);
	CHECK_EQ(rd32(VA + 16), page[4]);
	CHECK_EQ(*pte & (PTE_A | PTE_D), PTE_A);
	wr32(VA + 8, 5);
	CHECK_EQ(*pte & (PTE_A | PTE_D), PTE_A | PTE_D);
	CHECK_EQ(page[2], 5);

	group("D cleared, INVLPG, written again (what a swapper does), 50 times");
	for (u32 i = 0; i < 50; i++) {
		*pte &= ~(PTE_D | PTE_A);
		invlpg(VA);
		CHECK_EQ(rd32(VA), page[0]);
		CHECK_EQ(*pte & (PTE_A | PTE_D), PTE_A);
		wr32(VA, i);
		CHECK_EQ(*pte & (PTE_A | PTE_D), PTE_A | PTE_D);
	}

	group("two mappings of one frame have their own bits");
	pg_map(pd, VA + 0x1000, (u32)page, PTE_P | PTE_W);
	*pte = (u32)page | PTE_P | PTE_W;
	wcr3((u32)pd);
	wr32(VA + 0x1000, 77);
	CHECK_EQ(pte[1] & PTE_D, PTE_D);
	CHECK_EQ(*pte & (PTE_A | PTE_D), 0);
	CHECK_EQ(rd32(VA), 77);
	CHECK_EQ(*pte & (PTE_A | PTE_D), PTE_A);

	group("an ordinary store to a page table entry keeps A and D as written");
	*pte = (u32)page | PTE_P | PTE_W | PTE_A | PTE_D;
	invlpg(VA);
	wr32(VA, 1);
	CHECK_EQ(*pte & (PTE_A | PTE_D), PTE_A | PTE_D);
	return 0;
}
