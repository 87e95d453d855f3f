/*
 * paging-pse: 4 MiB pages: translation, mixed with 4 KiB pages, splitting and
 * joining, permissions, Accessed and Dirty in the directory entry, CR4.PSE off makes PS
 * meaningless, PSE-36 reserved bits not used.  SDM vol. 3, 4.3, table 4-4.
 */
#include "rt.h"

#define VA 0x40000000u
SNIPPET(rd, "", "mov (%esi), %eax", "");
SNIPPET(wr, "", "mov %eax, (%esi)", "");
USNIPPET(u_wr, "", "mov %eax, (%esi)", "");
static struct state s;
static void run(const u8 *code, u32 a, bool user)
{
	s = user ? ustate(code) : kstate(code);
	s.esi = a;
	s.eax = 0xabcd0000 + (a & 0xffff);
	trap_run(&s, &T);
}

int main(void)
{
	u32 *pd = pg_new();
	volatile u32 *pde = &pd[VA >> 22];
	wcr4(rcr4() | CR4_PSE);
	CHECK(rcr4() & CR4_PSE);
	pg_on(pd);

	group("4 MiB page");
	*pde = 0x01000000 | PTE_P | PTE_W | PTE_PS;
	wr32(0x01000000 + 0x123454, 0x87654321);
	CHECK_EQ(rd32(VA + 0x123454), 0x87654321);
	CHECK_EQ(*pde & (PTE_A | PTE_D), PTE_A);
	for (u32 o = 0; o < 4u << 20; o += 0x3f0ec)
		wr32(VA + (o & ~3u), o);
	for (u32 o = 0; o < 4u << 20; o += 0x3f0ec)
		CHECK_EQ(rd32(0x01000000 + (o & ~3u)), o);
	CHECK_EQ(*pde & (PTE_A | PTE_D), PTE_A | PTE_D);

	group("across the border between two");
	pde[1] = 0x01400000 | PTE_P | PTE_W | PTE_PS;
	wr32(VA + 0x3ffffe, 0xaabbccdd);
	CHECK_EQ(*(volatile u16 *)0x013ffffe, 0xccdd);
	CHECK_EQ(*(volatile u16 *)0x01400000, 0xaabb);

	group("permissions");
	*pde = 0x01000000 | PTE_P | PTE_PS;
	wcr3((u32)pd);
	run(wr, VA + 0x8000, 0);
	CHECK_TRAP(&T, 14, 3, wr_f);
	run(u_wr, VA + 0x8000, 1);
	CHECK_TRAP(&T, 14, 7, u_wr_f);
	*pde = 0x01000000 | PTE_P | PTE_PS | PTE_U | PTE_W;
	wcr3((u32)pd);
	run(u_wr, VA + 0x8000, 1);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(rd32(0x01008000), 0xabcd8000);
	run(wr, VA + 0x9000, 0);
	CHECK_EQ(rd32(0x01009000), 0xabcd9000);
	*pde = 0x01000000 | PTE_PS | PTE_W;
	wcr3((u32)pd);
	run(wr, VA + 0x200000, 0);
	CHECK_TRAP(&T, 14, 2, wr_f);
	CHECK_EQ(T.cr2, VA + 0x200000);

	group("split into 4 KiB pages, one remapped, and joined again");
	u32 *pt = page_alloc(), *other = page_alloc();
	for (u32 i = 0; i < 1024; i++)
		pt[i] = (0x01000000 + i * 4096) | PTE_P | PTE_W;
	*pde = 0x01000000 | PTE_P | PTE_W | PTE_PS;
	wcr3((u32)pd);
	wr32(VA + 0x5000, 0x5050);
	pt[5] = (u32)other | PTE_P | PTE_W;
	other[0] = 0x0707;
	*pde = (u32)pt | PTE_P | PTE_W;
	wcr3((u32)pd);
	CHECK_EQ(rd32(VA + 0x5000), 0x0707);
	CHECK_EQ(rd32(VA + 0x4000), rd32(0x01004000));
	wr32(VA + 0x6000, 0x6060);
	CHECK_EQ(rd32(0x01006000), 0x6060);
	*pde = 0x01000000 | PTE_P | PTE_W | PTE_PS;
	wcr3((u32)pd);
	CHECK_EQ(rd32(VA + 0x5000), 0x5050);
	CHECK_EQ(rd32(VA + 0x6000), 0x6060);

	group("INVLPG of any address in it drops the whole");
	*pde = 0x01400000 | PTE_P | PTE_W | PTE_PS;
	wr32(0x01400000 + 0x10, 0x1414);
	wr32(0x01000000 + 0x10, 0x1010);
	invlpg(VA + 0x3ff000);
	CHECK_EQ(rd32(VA + 0x10), 0x1414);

	group("the kernel itself in a 4 MiB page");
	volatile u32 *low = &pd[0];
	u32 save = *low;
	*low = 0 | PTE_P | PTE_W | PTE_PS | PTE_U;
	wcr3((u32)pd);
	run(wr, VA + 0x40, 0);
	CHECK_EQ(T.vector, T_DONE);
	run(u_wr, (u32)udata, 1);
	CHECK_EQ(T.vector, T_DONE);
	*low = save;
	wcr3((u32)pd);

	group("CR4.PSE off");
	/* PS is then ignored: the entry points to a page table. */
	*pde = (u32)pt | PTE_P | PTE_W | PTE_PS;
	wcr4(rcr4() & ~CR4_PSE);
	wcr3((u32)pd);
	CHECK_EQ(rd32(VA + 0x5000), 0x0707);
	return 0;
}
