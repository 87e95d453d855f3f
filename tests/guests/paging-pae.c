/*
 * paging-pae: three levels, 2 MiB pages, NX for kernel and user, the four PDPTEs
 * (loaded by MOV CR3 only), reserved bits, 64-bit entries written in halves, a frame
 * above 4 GiB is no RAM here.  SDM vol. 3, 4.4; 4.6.1 (NX); 4.7 (RSVD, I/D).
 */
#include "rt.h"

#define VA 0xc8000000u
SNIPPET(rd, "", "mov (%esi), %eax", "");
SNIPPET(wr, "", "mov %eax, (%esi)", "");
SNIPPET(k_call, "", "call *%esi", "");
USNIPPET(u_call, "", "call *%esi", "");
USNIPPET(u_rd, "", "mov (%esi), %eax", "");
SNIPPET(load_cr3, "", "mov %eax, %cr3", "");
static struct state s;
static void run(const u8 *code, u32 a, bool user)
{
	s = user ? ustate(code) : kstate(code);
	s.esi = a;
	s.eax = 0x600df00d;
	trap_run(&s, &T);
}

int main(void)
{
	u32 r[4];
	u64 *pdpt = pae_new();
	u32 *page = page_alloc(), *page2 = page_alloc();
	pae_map(pdpt, VA, (u32)page, PTE_P | PTE_W | PTE_U);
	volatile u64 *pte = pae_pte(pdpt, VA);
	volatile u64 *pde = (u64 *)((u32)pdpt[VA >> 30] & ~0xfffu) + ((VA >> 21) & 511);
	u64 pt = *pde;
	pae_on(pdpt);
	cpuid(0x80000001, 0, r);
	bool nx = r[3] >> 20 & 1;

	group("4 KiB pages");
	CHECK(rcr4() & CR4_PAE);
	page[0] = 0x1234;
	CHECK_EQ(rd32(VA), 0x1234);
	wr32(VA + 4, 0x5678);
	CHECK_EQ(page[1], 0x5678);
	CHECK_EQ((u32)*pte & (PTE_A | PTE_D), PTE_A | PTE_D);
	run(rd, VA + 0x1000, 0);
	CHECK_TRAP(&T, 14, 0, rd_f);
	run(wr, 0xbfff0000, 0);
	CHECK_TRAP(&T, 14, 2, wr_f);
	*pte = (u32)page2 | PTE_P | PTE_W | PTE_U;
	invlpg(VA);
	page2[0] = 0x2222;
	CHECK_EQ(rd32(VA), 0x2222);

	group("NX");
	CHECK(nx);
	page2[0] = 0x40cd;		/* int $0x40 */
	invlpg(VA);
	run(k_call, VA, 0);
	CHECK_TRAP(&T, T_DONE, 0, VA + 2);
	run(u_call, VA, 1);
	CHECK_TRAP(&T, T_DONE, 0, VA + 2);
	*pte = (u32)page2 | PTE_P | PTE_W | PTE_U | PTE_NX;
	invlpg(VA);
	run(k_call, VA, 0);
	CHECK_TRAP(&T, 14, 0x11, VA);
	CHECK_EQ(T.cr2, VA);
	run(u_call, VA, 1);
	CHECK_TRAP(&T, 14, 0x15, VA);
	CHECK_EQ(rd32(VA), 0x40cd);
	run(u_rd, VA, 1);
	CHECK_EQ(T.vector, T_DONE);
	*pte = 0;
	invlpg(VA);
	run(u_call, VA, 1);
	CHECK_TRAP(&T, 14, 0x14, VA);	/* I/D is reported for absent pages, too, while NXE is on */
	*pte = (u32)page2 | PTE_P | PTE_W | PTE_U;
	*pde = pt | PTE_NX;
	wcr3((u32)pdpt);
	run(k_call, VA, 0);
	CHECK_TRAP(&T, 14, 0x11, VA);
	*pde = pt;
	wcr3((u32)pdpt);
	run(k_call, VA, 0);
	CHECK_TRAP(&T, T_DONE, 0, VA + 2);

	group("an instruction across from X to NX");
	pae_map(pdpt, VA + 0x1000, (u32)page, PTE_P | PTE_W | PTE_U | PTE_NX);
	*(volatile u8 *)(VA + 0xfff) = 0xb8;	/* mov $imm32, %eax, its immediate on the next page */
	run(k_call, VA + 0xfff, 0);
	CHECK_TRAP(&T, 14, 0x11, VA + 0xfff);
	CHECK_EQ(T.cr2, VA + 0x1000);
	run(u_call, VA + 0xfff, 1);
	CHECK_TRAP(&T, 14, 0x15, VA + 0xfff);
	CHECK_EQ(T.cr2, VA + 0x1000);
	pae_map(pdpt, VA + 0x1000, (u32)page, PTE_P | PTE_W | PTE_U);
	invlpg(VA + 0x1000);
	page[0] = 0x11223344;
	page[1] = 0x40cd;
	run(k_call, VA + 0xfff, 0);
	CHECK_TRAP(&T, T_DONE, 0, VA + 0x1006);
	CHECK_EQ(T.s.eax, 0x11223344);
	run(u_call, VA + 0xfff, 1);
	CHECK_TRAP(&T, T_DONE, 0, VA + 0x1006);

	group("NXE off makes bit 63 reserved");
	*pte = (u32)page2 | PTE_P | PTE_W | PTE_NX;
	wrmsr(0xc0000080, rdmsr(0xc0000080) & ~0x800ull);
	wcr3((u32)pdpt);
	run(rd, VA, 0);
	CHECK_TRAP(&T, 14, 8 | hw(), rd_f);	/* hw-only: TCG leaves P clear with RSVD */
	wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x800);
	wcr3((u32)pdpt);
	run(rd, VA, 0);
	CHECK_EQ(T.vector, T_DONE);

	group("2 MiB pages");
	*pde = 0x01200000 | PTE_P | PTE_W | PTE_PS;
	wcr3((u32)pdpt);
	wr32(0x01212344, 0xfeed);
	CHECK_EQ(rd32(VA + 0x12344), 0xfeed);
	wr32(VA + 0x1ffffc, 0xbeef);
	CHECK_EQ(rd32(0x013ffffc), 0xbeef);
	CHECK_EQ((u32)*pde & (PTE_A | PTE_D), PTE_A | PTE_D);
	*pde = 0x01200000 | PTE_P | PTE_W | PTE_PS | PTE_NX;
	invlpg(VA);
	wr32(VA, 0x40cd);
	run(k_call, VA, 0);
	CHECK_TRAP(&T, 14, 0x11, VA);
	*pde = 0x01300000 | PTE_P | PTE_W | PTE_PS;	/* bit 20 is reserved */
	wcr3((u32)pdpt);
	run(rd, VA, 0);
	CHECK_TRAP(&T, 14, 8 | hw(), rd_f);	/* hw-only: TCG leaves P clear with RSVD */
	*pde = pt;
	wcr3((u32)pdpt);

	group("PDPTEs are loaded by MOV CR3");
	u64 *pdpt2 = page_alloc();
	for (u32 i = 0; i < 4; i++)
		pdpt2[i] = pdpt[i];
	u64 *pd3 = page_alloc();
	*(volatile u64 *)&pdpt2[2] = (u32)pd3 | PTE_P;
	wcr3((u32)pdpt2);
	pd3[0] = 0x01200000 | PTE_P | PTE_W | PTE_PS;
	CHECK_EQ(rd32(0x80012344), 0xfeed);
	wcr3((u32)pdpt);
	run(rd, 0x80012344, 0);
	CHECK_TRAP(&T, 14, 0, rd_f);
	*(volatile u64 *)&pdpt2[2] = 0;
	wcr3((u32)pdpt2);
	run(rd, 0x80012344, 0);
	CHECK_TRAP(&T, 14, 0, rd_f);

	group("reserved bits in a PDPTE");
	*(volatile u64 *)&pdpt2[2] = (u32)pd3 | PTE_P | PTE_W;	/* R/W is reserved in PAE PDPTEs */
	if (hw()) {			/* hw-only: TCG does not check at MOV CR3 */
		s = kstate(load_cr3);
		s.eax = (u32)pdpt2;
		trap_run(&s, &T);
		CHECK_TRAP(&T, 13, 0, load_cr3_f);
	} else {
		skip("hw-only");
	}
	*(volatile u64 *)&pdpt2[2] = 0;
	wcr3((u32)pdpt);

	group("CR3 need only be 32-byte aligned");
	u64 *small = (u64 *)((u8 *)page_alloc() + 0x7e0);
	for (u32 i = 0; i < 4; i++)
		small[i] = pdpt[i];
	wcr3((u32)small);
	CHECK_EQ(rcr3(), (u32)small);
	*pte = (u32)page2 | PTE_P | PTE_W;
	invlpg(VA);
	page2[3] = 0x3333;
	CHECK_EQ(rd32(VA + 12), 0x3333);
	wcr3((u32)pdpt);

	group("an entry written in halves");
	*(volatile u32 *)pte = 0;
	((volatile u32 *)pte)[1] = 0;
	invlpg(VA);
	run(rd, VA, 0);
	CHECK_TRAP(&T, 14, 0, rd_f);
	((volatile u32 *)pte)[1] = 0;
	*(volatile u32 *)pte = (u32)page | PTE_P;
	run(rd, VA + 4, 0);
	CHECK_EQ(T.s.eax, page[1]);

	group("paging off and on again, two-level");
	pg_off();
	u32 *pd = pg_new();
	pg_map(pd, VA, (u32)page, PTE_P | PTE_W);
	pg_on(pd);
	CHECK_EQ(rd32(VA + 4), page[1]);
	return 0;
}
