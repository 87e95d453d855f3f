/*
 * Page tables to start from: identity mappings that a test then bends.
 * SDM vol. 3, 4.3 (32-bit paging) and 4.4 (PAE).
 */
#include "rt.h"

extern u8 __user_start[], __user_end[];

void *page_alloc(void)
{
	static u32 next = 0x200000;
	u32 p = next;
	next += 4096;
	if (next > 0x1000000) {
		fail("out of pages");
		finish();
	}
	u32 *w = (u32 *)p;
	for (unsigned i = 0; i < 1024; i++)
		w[i] = 0;
	return w;
}

static bool in_user_area(u32 a)
{
	return a >= (u32)__user_start && a < (u32)__user_end;
}

u32 *pg_pte(u32 *pd, u32 va)
{
	volatile u32 *pde = &pd[va >> 22];
	if (!(*pde & PTE_P))
		*pde = (u32)page_alloc() | PTE_P | PTE_W | PTE_U;
	return (u32 *)(*pde & ~0xfffu) + ((va >> 12) & 1023);
}

void pg_map(u32 *pd, u32 va, u32 pa, u32 flags)
{
	*(volatile u32 *)pg_pte(pd, va) = pa | flags;
}

u32 *pg_new(void)
{
	u32 *pd = page_alloc();
	for (u32 a = 0; a < 32u << 20; a += 4096)
		pg_map(pd, a, a, PTE_P | PTE_W | (in_user_area(a) ? PTE_U : 0));
	pg_map(pd, LAPIC, LAPIC, PTE_P | PTE_W | 0x10);
	pg_map(pd, 0xfec00000, 0xfec00000, PTE_P | PTE_W | 0x10);
	return pd;
}

void pg_on(u32 *pd)
{
	wcr3((u32)pd);
	wcr0(rcr0() | CR0_PG | CR0_WP);
}

void pg_off(void)
{
	wcr0(rcr0() & ~CR0_PG);
	wcr4(rcr4() & ~(CR4_PAE | CR4_PGE | CR4_PSE));
	wcr3(0);
}

u64 *pae_pte(u64 *pdpt, u32 va)
{
	volatile u64 *pdpte = &pdpt[va >> 30];
	if (!(*pdpte & PTE_P))
		*pdpte = (u32)page_alloc() | PTE_P;
	volatile u64 *pde = (u64 *)((u32)*pdpte & ~0xfffu) + ((va >> 21) & 511);
	if (!(*pde & PTE_P))
		*pde = (u32)page_alloc() | PTE_P | PTE_W | PTE_U;
	return (u64 *)((u32)*pde & ~0xfffu) + ((va >> 12) & 511);
}

void pae_map(u64 *pdpt, u32 va, u64 pa, u64 flags)
{
	*(volatile u64 *)pae_pte(pdpt, va) = pa | flags;
}

u64 *pae_new(void)
{
	u64 *pdpt = page_alloc();
	for (unsigned i = 0; i < 4; i++)
		pdpt[i] = (u32)page_alloc() | PTE_P;	/* all four: PDPTEs are cached by the CPU */
	for (u32 a = 0; a < 32u << 20; a += 4096)
		pae_map(pdpt, a, a, PTE_P | PTE_W | (in_user_area(a) ? PTE_U : 0));
	pae_map(pdpt, LAPIC, LAPIC, PTE_P | PTE_W | 0x10);
	pae_map(pdpt, 0xfec00000, 0xfec00000, PTE_P | PTE_W | 0x10);
	return pdpt;
}

void pae_on(u64 *pdpt)
{
	u32 r[4];
	cpuid(0x80000001, 0, r);
	if (r[3] & 1u << 20)
		wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x800);
	wcr4(rcr4() | CR4_PAE);
	wcr3((u32)pdpt);
	wcr0(rcr0() | CR0_PG | CR0_WP);
}
