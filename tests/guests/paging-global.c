/*
 * paging-global: global pages and what flushes them.  An architecture may always forget, so
 * staleness is never required; that changes become visible after the flush that
 * the manual names is: INVLPG always, CR4.PGE toggling, and CR3 loads for entries that
 * are not global.  Also: CR3 loads with many address spaces around a global kernel.
 * SDM vol. 3, 4.10.
 */
#include "rt.h"

#define VA 0xe0000000u
#define LOCAL 0x20000000u

int main(void)
{
	u32 *pd = pg_new();
	u32 *a = page_alloc(), *b = page_alloc();
	a[0] = 0xaaaa, b[0] = 0xbbbb;
	pg_map(pd, VA, (u32)a, PTE_P | PTE_W | PTE_G);
	volatile u32 *pte = pg_pte(pd, VA);
	pg_on(pd);
	wcr4(rcr4() | CR4_PGE);
	CHECK(rcr4() & CR4_PGE);

	group("INVLPG drops a global entry");
	CHECK_EQ(rd32(VA), 0xaaaa);
	*pte = (u32)b | PTE_P | PTE_W | PTE_G;
	invlpg(VA);
	CHECK_EQ(rd32(VA), 0xbbbb);

	group("CR4.PGE toggled drops all");
	*pte = (u32)a | PTE_P | PTE_W | PTE_G;
	wcr4(rcr4() & ~CR4_PGE);
	wcr4(rcr4() | CR4_PGE);
	CHECK_EQ(rd32(VA), 0xaaaa);
	*pte = 0;
	wcr4(rcr4() & ~CR4_PGE);
	CHECK_EQ(*pte, 0);
	*pte = (u32)b | PTE_P | PTE_W | PTE_G;
	wcr4(rcr4() | CR4_PGE);
	CHECK_EQ(rd32(VA), 0xbbbb);

	group("a global entry made non-global");
	*pte = (u32)b | PTE_P | PTE_W;
	invlpg(VA);
	CHECK_EQ(rd32(VA), 0xbbbb);
	*pte = (u32)a | PTE_P | PTE_W;
	wcr3((u32)pd);
	CHECK_EQ(rd32(VA), 0xaaaa);

	group("CR4.PSE and CR0.PG toggles flush, too");
	*pte = (u32)b | PTE_P | PTE_W | PTE_G;
	invlpg(VA);
	CHECK_EQ(rd32(VA), 0xbbbb);
	*pte = (u32)a | PTE_P | PTE_W | PTE_G;
	wcr0(rcr0() & ~CR0_PG);
	wcr0(rcr0() | CR0_PG);
	CHECK_EQ(rd32(VA), 0xaaaa);

	group("eight address spaces, a shared global kernel page, 400 switches");
	u32 *pds[8], *own[8];
	*pte = (u32)a | PTE_P | PTE_W | PTE_G;
	wcr4(rcr4() & ~CR4_PGE);
	for (u32 i = 0; i < 8; i++) {
		pds[i] = page_alloc();
		for (u32 j = 0; j < 1024; j++)
			pds[i][j] = pd[j];
		pds[i][LOCAL >> 22] = 0;
		own[i] = page_alloc();
		own[i][0] = 0x1000 + i;
		pg_map(pds[i], LOCAL, (u32)own[i], PTE_P | PTE_W | PTE_U);
	}
	wcr4(rcr4() | CR4_PGE);
	u32 bad = 0;
	for (u32 n = 0; n < 400; n++) {
		u32 i = (n * 5 + n / 8) % 8;
		wcr3((u32)pds[i]);
		if (rd32(LOCAL) != 0x1000 + i || rd32(VA) != 0xaaaa + n)
			bad++;
		wr32(VA, 0xaaaa + n + 1);
		wr32(LOCAL + 4, n);
		if (own[i][1] != n)
			bad++;
	}
	CHECK_EQ(bad, 0);

	group("a global page changed in one space is changed in all");
	b[0] = 0xb0b0;
	*pte = (u32)b | PTE_P | PTE_W | PTE_G;
	invlpg(VA);
	for (u32 i = 0; i < 8; i++) {
		wcr3((u32)pds[i]);
		CHECK_EQ(rd32(VA), 0xb0b0);
	}

	group("unmapped in one space while another is current");
	wcr3((u32)pds[1]);
	CHECK_EQ(rd32(LOCAL), 0x1001);
	wcr3((u32)pds[2]);
	*pg_pte(pds[1], LOCAL) = (u32)own[7] | PTE_P | PTE_W;	/* no INVLPG: the CR3 load does it */
	wcr3((u32)pds[1]);
	CHECK_EQ(rd32(LOCAL), 0x1007);
	wr32(LOCAL + 8, 0x77);
	CHECK_EQ(own[7][2], 0x77);
	wcr3((u32)pds[2]);
	CHECK_EQ(rd32(LOCAL), 0x1002);

	group("a page directory reused for another address space");
	for (u32 i = 0; i < 20; i++) {
		wcr3((u32)pd);
		u32 *pt = (u32 *)(pds[3][LOCAL >> 22] & ~0xfffu);
		pt[0] = (u32)own[i % 8] | PTE_P | PTE_W;
		wcr3((u32)pds[3]);
		CHECK_EQ(rd32(LOCAL), 0x1000 + i % 8);
	}
	return 0;
}
