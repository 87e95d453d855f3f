/*
 * paging-kmap: pages of the kernel that come and go: entry set, a few accesses, entry cleared, INVLPG, hundreds
 * of times, as Linux's kmap does.  Whatever a VMM makes of that habit, accesses go to the page that the entry
 * names now, fault when it names none or forbids it, and set A and D; then the page stays, and is used for long.
 * SDM vol. 3, 4.8, 4.10.
 */
#include "rt.h"

#define SLOT 0xffbf0000u
#define PAGES 16

static u32 *pd, *page[PAGES];

static volatile u32 *pte(u32 slot) { return (volatile u32 *)pg_pte(pd, SLOT + slot * 4096); }
static void kmap(u32 slot, u32 n, u32 flags) { *pte(slot) = (u32)page[n] | flags; }
static void kunmap(u32 slot)
{
	*pte(slot) = 0;
	invlpg(SLOT + slot * 4096);
}

SNIPPET(rd, "", "mov (%esi), %eax", "");
SNIPPET(wr, "", "movl $1, (%esi)", "");
SNIPPET(rmw, "", "lock xaddl %eax, (%esi)", "");
SNIPPET(sse, "", "movups (%esi), %xmm0", "movups %xmm0, 16(%esi)");
SNIPPET(stos, "", "rep stosl", "");
SNIPPET(copy, "", "rep movsl", "");
SNIPPET(push, "mov %esp, %ebx; lea 64(%esi), %esp", "push %eax", "pop %edx; mov %ebx, %esp");

static void run(const u8 *code, u32 esi, u32 edi, u32 ecx, u32 eax)
{
	struct state s = kstate(code);

	s.esi = esi, s.edi = edi, s.ecx = ecx, s.eax = eax;
	trap_run(&s, &T);
}

int main(void)
{
	u32 bad = 0;

	pd = pg_new();
	for (u32 i = 0; i < PAGES; i++)
		page[i] = page_alloc();
	kmap(0, 0, 0), kmap(1, 0, 0), kmap(2, 0, 0);
	pg_on(pd);
	wcr4(rcr4() | CR4_PGE | CR4_OSFXSR);

	group("an access or two, by many kinds of instruction");
	for (u32 n = 0; n < 400; n++) {
		u32 i = n % PAGES, *p = page[i];

		p[0] = 0x1000 + n, p[1] = 2 * n;
		kmap(0, i, PTE_P | PTE_W | PTE_G);
		run(rd, SLOT, 0, 0, 0);
		bad += T.s.eax != 0x1000 + n || !(*pte(0) & PTE_A) || (*pte(0) & PTE_D);
		run(rmw, SLOT, 0, 0, 3);
		bad += T.s.eax != 0x1000 + n || p[0] != 0x1003 + n || !(*pte(0) & PTE_D);
		run(wr, SLOT + 8, 0, 0, 0);
		bad += p[2] != 1;
		run(sse, SLOT, 0, 0, 0);
		bad += p[4] != p[0] || p[5] != 2 * n;
		run(push, SLOT + 256, 0, 0, n);
		bad += T.s.edx != n || p[(256 + 60) / 4] != n;
		kunmap(0);
		run(rd, SLOT, 0, 0, 0);
		bad += T.vector != 14 || T.error != 0 || T.cr2 != SLOT;
	}
	CHECK_EQ(bad, 0);

	group("whole pages cleared and copied");
	for (u32 n = 0; n < 300; n++) {
		u32 a = n % PAGES, b = (n * 5 + 1) % PAGES, sum = 0;

		if (a == b)
			continue;
		kmap(0, a, PTE_P | PTE_W | PTE_G);
		run(stos, 0, SLOT, 1024, n);
		kmap(1, b, PTE_P | PTE_W | PTE_G);
		run(copy, SLOT, SLOT + 0x1000, 1024, 0);
		kunmap(0), kunmap(1);
		for (u32 j = 0; j < 1024; j++)
			sum += page[b][j] != n;
		bad += sum != 0;
	}
	CHECK_EQ(bad, 0);

	group("no right to write, and none to read");
	for (u32 n = 0; n < 60; n++) {
		kmap(0, 3, PTE_P | PTE_G);
		run(wr, SLOT, 0, 0, 0);
		bad += T.vector != 14 || T.error != 3;
		run(stos, 0, SLOT, 4, 0);
		bad += T.vector != 14 || T.error != 3 || T.s.ecx != 4;
		run(rd, SLOT, 0, 0, 0);
		bad += T.vector != T_DONE;
		kunmap(0);
		run(wr, SLOT, 0, 0, 0);
		bad += T.vector != 14 || T.error != 2;
	}
	CHECK_EQ(bad, 0);

	group("a loop over such a page, and a page that stays");
	for (u32 round = 0; round < 10; round++) {
		kmap(2, 5, PTE_P | PTE_W | PTE_G);
		for (u32 j = 0; j < 1024; j++)
			wr32(SLOT + 0x2000 + j * 4, j + round);
		for (u32 j = 0; j < 1024; j++)
			bad += page[5][j] != j + round;
		kunmap(2);
	}
	kmap(2, 6, PTE_P | PTE_W | PTE_G);
	for (u32 n = 0; n < 20000; n++) {
		run(rmw, SLOT + 0x2000, 0, 0, 1);
		if (n % 5000 == 0)
			run(copy, SLOT + 0x2000, (u32)page[7], 1024, 0);
	}
	CHECK_EQ(bad, 0);
	bad = page[6][0];
	run(rd, SLOT + 0x2000, 0, 0, 0);
	CHECK_EQ(T.s.eax, bad);

	group("a device where a page was");
	u32 version = 0;
	pg_map(pd, LAPIC, LAPIC, PTE_P | PTE_W);
	version = lapic_rd(0x30);
	for (u32 n = 0; n < 20; n++) {
		*pte(0) = LAPIC | PTE_P | PTE_W;
		run(rd, SLOT + 0x30, 0, 0, 0);
		CHECK_EQ(T.s.eax, version);
		kunmap(0);
		kmap(0, 1, PTE_P | PTE_W);
		page[1][12] = n;
		run(rd, SLOT + 0x30, 0, 0, 0);
		CHECK_EQ(T.s.eax, n);
		kunmap(0);
	}

	group("code in such a page");
	for (u32 n = 0; n < 40; n++) {
		static const u8 code[] = { 0xb8, 0, 0, 0, 0, 0xc3 };	/* mov $n, %eax; ret */

		memcpy(page[n % PAGES], code, sizeof(code));
		memcpy((u8 *)page[n % PAGES] + 1, &n, 4);
		kmap(0, n % PAGES, PTE_P | PTE_W | PTE_G);
		CHECK_EQ(((u32 (*)(void))SLOT)(), n);
		kunmap(0);
	}
	return 0;
}
