/*
 * paging-perm: every combination of U/S and R/W in the page directory entry and
 * the page table entry, read, write and fetch, at CPL 0 and CPL 3, with CR0.WP 0
 * and 1: error codes and results against a table computed from the rules.
 * SDM vol. 3, 4.6 and 4.7.
 */
#include "rt.h"

#define VA 0x50000000u
SNIPPET(k_rd, "", "mov (%esi), %eax", "");
SNIPPET(k_wr, "", "mov %eax, (%esi)", "");
SNIPPET(k_call, "", "call *%esi", "");
USNIPPET(u_rd, "", "mov (%esi), %eax", "");
USNIPPET(u_wr, "", "mov %eax, (%esi)", "");
USNIPPET(u_call, "", "call *%esi", "");

int main(void)
{
	u32 *pd = pg_new();
	u32 *page = page_alloc();
	pg_map(pd, VA, (u32)page, PTE_P);
	volatile u32 *pte = pg_pte(pd, VA), *pde = &pd[VA >> 22];
	pg_on(pd);
	static const char *const names[] = { "CR0.WP = 0", "CR0.WP = 1" };
	for (int wp = 0; wp < 2; wp++) {
		group(names[wp]);
		wcr0((rcr0() & ~CR0_WP) | (wp ? CR0_WP : 0));
		for (u32 combo = 0; combo < 64; combo++) {
			bool pde_p = combo & 1 ? true : false, pte_p = combo & 2 ? true : false;
			u32 pde_rw = combo & 4 ? PTE_W : 0, pde_us = combo & 8 ? PTE_U : 0;
			u32 pte_rw = combo & 16 ? PTE_W : 0, pte_us = combo & 32 ? PTE_U : 0;
			*pde = (*pde & ~7u) | (pde_p ? PTE_P : 0) | pde_rw | pde_us;
			*pte = (u32)page | (pte_p ? PTE_P : 0) | pte_rw | pte_us;
			wcr3((u32)pd);
			bool present = pde_p && pte_p, us = pde_us && pte_us, rw = pde_rw && pte_rw;
			for (int user = 0; user < 2; user++) {
				for (int kind = 0; kind < 3; kind++) {	/* read, write, fetch */
					const u8 *code = user ? (kind == 0 ? u_rd : kind == 1 ? u_wr : u_call)
							      : (kind == 0 ? k_rd : kind == 1 ? k_wr : k_call);
					const u8 *f = user ? (kind == 0 ? u_rd_f : u_wr_f) : (kind == 0 ? k_rd_f : k_wr_f);
					struct state s = user ? ustate(code) : kstate(code);
					page[0] = 0x40cd40cdu;
					s.esi = VA;
					s.eax = 0x40cd9090;
					trap_run(&s, &T);
					bool ok = present && (!user || us) && (kind != 1 || rw || (!user && !wp));
					u32 err = (present ? 1 : 0) | (kind == 1 ? 2 : 0) | (user ? 4 : 0);
					bool good;
					if (ok)
						good = T.vector == T_DONE && (kind == 0 ? T.s.eax == 0x40cd40cd : kind == 1 ? page[0] == 0x40cd9090 : T.s.eip == VA + 2);
					else
						good = T.vector == 14 && T.error == err && T.cr2 == VA && T.s.eip == (kind == 2 ? VA : (u32)f) && page[0] == 0x40cd40cd;
					if (!good)
						fail("PDE %s%s%s PTE %s%s%s, ring %d, %s: trap %x error %x cr2 %x eip %x", pde_p ? "P" : "-", pde_rw ? "W" : "-",
						     pde_us ? "U" : "-", pte_p ? "P" : "-", pte_rw ? "W" : "-", pte_us ? "U" : "-", user ? 3 : 0,
						     kind == 0 ? "read" : kind == 1 ? "write" : "fetch", T.vector, T.error, T.cr2, T.s.eip);
					else
						CHECK(good);
				}
			}
		}
	}
	return 0;
}
