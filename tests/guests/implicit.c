/*
 * implicit: supervisor accesses that user code causes without making them: descriptor
 * table reads and Accessed-bit writes, the TSS stack fields, the I/O bitmap, the IDT, in supervisor, read-only and
 * absent pages: they work at CPL 3 on U=0 pages, and fault with U/S = 0 in the error code.
 * SDM vol. 3, 4.6 (implicit supervisor-mode accesses), 4.7.
 */
#include "rt.h"

#define G 0xc0000000u		/* the GDT through its own page pair */
USNIPPET(u_gs, "", "mov %eax, %gs", "mov %gs:0, %ecx");
USNIPPET(u_in, "", "in $0x21, %al", "");
USNIPPET(u_int, "", "int $0x60", "");
USNIPPET(u_ud, "", "ud2", "");
SNIPPET(k_gs, "", "mov %eax, %gs", "xor %eax, %eax; mov %eax, %gs");
static u32 *pd;
static struct state s;
static u8 copy[8192] __attribute__((aligned(4096)));
static bool done(struct regs *r) { return true; }
static void run(const u8 *code, u32 eax)
{
	s = ustate(code);
	s.eax = eax;
	trap_run(&s, &T);
}

int main(void)
{
	pd = pg_new();
	pg_on(pd);
	/* A GDT that ends in its second page: selectors 0x1000… are there. */
	memcpy(copy, gdt, sizeof(gdt));
	for (u32 i = 0; i < 2; i++)
		pg_map(pd, G + i * 4096, (u32)copy + i * 4096, PTE_P | PTE_W);
	u64 *g = (u64 *)copy;
	volatile u32 *pte = pg_pte(pd, G + 0x1000);
	g[0x1000 / 8] = seg_desc((u32)udata, 0xfffff, 0xf2, 0xc);
	g[0x1008 / 8] = seg_desc((u32)udata, 0xfffff, 0xf3, 0xc);
	wr32((u32)udata, 0x77);
	load_gdt(G, 8191);
	asm volatile("ltr %w0" : : "r"(({ g[TSS_SEL / 8] = seg_desc((u32)&tss, 0x2068, 0x89, 0); TSS_SEL; })));

	group("descriptors in supervisor pages");
	run(u_gs, 0x1003);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(T.s.ecx, 0x77);
	CHECK_EQ(copy[0x1005], 0xf3);		/* Accessed */
	CHECK_EQ(*pte & (PTE_A | PTE_D), PTE_A | PTE_D);

	group("an absent page of the GDT");
	*pte &= ~PTE_P;
	invlpg(G + 0x1000);
	run(u_gs, 0x1003);
	CHECK_TRAP(&T, 14, 0, u_gs_f);		/* a supervisor read */
	CHECK_EQ(T.cr2 & ~7u, G + 0x1000);
	s = kstate(k_gs);
	s.eax = 0x1000;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 0, k_gs_f);
	*pte |= PTE_P;
	run(u_gs, 0x1003);
	CHECK_EQ(T.vector, T_DONE);

	group("a read-only page of the GDT");
	*pte &= ~(PTE_W | PTE_D);
	invlpg(G + 0x1000);
	run(u_gs, 0x100b);			/* Accessed already: no write */
	CHECK_EQ(T.vector, T_DONE);
	copy[0x1005] = 0xf2;
	if (hw()) {			/* hw-only: TCG writes the bit without looking at WP */
		run(u_gs, 0x1003);
		CHECK_TRAP(&T, 14, 3, u_gs_f);
		CHECK_EQ(T.cr2 & ~7u, G + 0x1000);
	}
	*pte |= PTE_W;
	invlpg(G + 0x1000);
	runtime_gdt();
	gdt_set(TSS_SEL, seg_desc((u32)&tss, 0x2068, 0x89, 0));
	asm volatile("ltr %w0" : : "r"(TSS_SEL));

	group("the IDT in supervisor pages at an odd place");
	memcpy(copy, idt, 2048);
	load_idt(G + 0x800, 2047);
	memcpy(copy + 0x800, idt, 2048);
	run(u_ud, 0);
	CHECK_TRAP(&T, 6, 0, u_ud_f);
	hooks[0x60] = done;
	((u64 *)(copy + 0x800))[0x60] |= 3ull << 45;
	run(u_int, 0);
	CHECK_EQ(T.vector, T_DONE);

	group("the entry of a vector in an absent page");
	/* Entries up to 0x1f in the first page, the others in the second. */
	memcpy(copy + 0xf00, idt, 2048);
	((u64 *)(copy + 0xf00))[0x60] |= 3ull << 45;
	load_idt(G + 0xf00, 2047);
	*pte &= ~PTE_P;
	invlpg(G + 0x1000);
	run(u_int, 0);
	CHECK_TRAP(&T, 14, 0, u_int_f);
	CHECK_EQ(T.cr2 & ~7u, G + 0xf00 + 0x60 * 8);
	*pte |= PTE_P;
	/* T_DONE (0x40) lies in the second page, too. */
	run(u_int, 0);
	CHECK_EQ(T.vector, T_DONE);
	idt_reset();

	group("the I/O bitmap in an absent page");
	volatile u32 *tpte = pg_pte(pd, (u32)tss_iomap);
	tss_iomap[0x21 / 8] &= ~2;
	run(u_in, 0);
	CHECK_EQ(T.vector, T_DONE);
	CHECK(!(*tpte & PTE_U));
	/* Moved: the base leads into a page of its own. */
	pg_map(pd, 0xc8000000, (u32)page_alloc(), PTE_P | PTE_W);
	pg_map(pd, 0xc8001000, 0, 0);
	memcpy((void *)0xc8000f00, &tss, 104);
	*(volatile u16 *)(0xc8000f00 + 102) = 0x100 - 4;	/* bitmap at 0xc8000ffc: ports 0…31 here, 32… in the next page */
	gdt_set(0x90, seg_desc(0xc8000f00, 0x10ff, 0x89, 0));
	asm volatile("ltr %w0" : : "r"(0x90));
	*(volatile u32 *)(0xc8000f00 + 4) = (u32)kstack_snip + 8192;
	run(u_in, 0);
	CHECK_TRAP(&T, 14, 0, u_in_f);
	CHECK_EQ(T.cr2, 0xc8001000);
	asm volatile("" : : : "memory");
	gdt_set(TSS_SEL, seg_desc((u32)&tss, 0x2068, 0x89, 0));
	asm volatile("ltr %w0" : : "r"(TSS_SEL));

	group("a kernel stack across two pages, one of them new at every entry");
	for (u32 i = 0; i < 10; i++) {
		run(u_ud, 0);
		CHECK_TRAP(&T, 6, 0, u_ud_f);
	}
	return 0;
}
