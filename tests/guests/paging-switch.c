/*
 * paging-switch: the same user addresses in several address spaces, user code run in
 * each, round robin; demand mapping from the page-fault handler; copy-on-write after a
 * fork-like copy; user and kernel seeing the same data.  What an OS does with CR3.
 * SDM vol. 3, 4.10.
 */
#include "rt.h"

#define N 6
#define UVA 0x08048000u
#define USTK 0xbffff000u
/* User code at a fixed address in every space: adds its data word to eax, stores, returns by INT. */
USNIPPET(prog, "", "1: mov 0x08049000, %eax; add %ebx, %eax; mov %eax, 0x08049004; push %eax; pop %ecx; incl 0x08049008", "nop");
USNIPPET(walk, "", "1: mov (%esi), %eax; add %eax, %ebx; add $4096, %esi; dec %ecx; jnz 1b", "");
USNIPPET(wwalk, "", "1: incl (%esi); add $4096, %esi; dec %ecx; jnz 1b", "");

static u32 *pds[N], *data[N];
static u32 faults;
static u32 *cur_pd;

static bool demand(struct regs *r)
{
	u32 a = rcr2() & ~0xfffu;
	if (a < 0x10000000 || a >= 0x10400000 || (r->error & 1))
		return false;
	u32 *p = page_alloc();
	p[0] = a >> 12;
	pg_map(cur_pd, a, (u32)p, PTE_P | PTE_W | PTE_U);	/* not present to present: no INVLPG */
	faults++;
	return true;
}

static bool cow(struct regs *r)
{
	u32 a = rcr2() & ~0xfffu;
	if (r->error != 7)
		return false;
	u32 *pte = pg_pte(cur_pd, a);
	u32 *p = page_alloc();
	memcpy(p, (void *)(*pte & ~0xfffu), 4096);
	*(volatile u32 *)pte = (u32)p | PTE_P | PTE_W | PTE_U;
	invlpg(a);
	faults++;
	return true;
}

int main(void)
{
	u32 *kernel = pg_new();
	struct state s;
	for (u32 i = 0; i < N; i++) {
		pds[i] = page_alloc();
		for (u32 j = 0; j < 1024; j++)
			pds[i][j] = kernel[j];
		pds[i][UVA >> 22] = 0;
		pds[i][0x10000000 >> 22] = 0;
		u32 *code = page_alloc();
		memcpy(code, prog, (size_t)(prog_e - prog) + 16);
		data[i] = page_alloc();
		data[i][0] = 100 * i;
		pg_map(pds[i], UVA, (u32)code, PTE_P | PTE_U);
		pg_map(pds[i], UVA + 0x1000, (u32)data[i], PTE_P | PTE_W | PTE_U);
		pg_map(pds[i], USTK, (u32)page_alloc(), PTE_P | PTE_W | PTE_U);
	}
	pg_on(kernel);

	group("user code at one address in six spaces, 120 turns");
	for (u32 n = 0; n < 120; n++) {
		u32 i = (n * 7) % N;
		wcr3((u32)pds[i]);
		s = ustate((void *)UVA);
		s.esp = USTK + 0xff0;
		s.ebx = n;
		trap_run(&s, &T);
		CHECK_EQ(T.vector, T_DONE);
		CHECK_EQ(T.s.ecx, 100 * i + n);
		CHECK_EQ(data[i][1], 100 * i + n);
	}
	for (u32 i = 0; i < N; i++)
		CHECK_EQ(data[i][2], 20);

	group("kernel and user write the same page");
	wcr3((u32)pds[2]);
	wr32(UVA + 0x1000, 5000);
	s = ustate((void *)UVA);
	s.esp = USTK + 0xff0;
	s.ebx = 1;
	trap_run(&s, &T);
	CHECK_EQ(T.s.ecx, 5001);
	CHECK_EQ(rd32(UVA + 0x1004), 5001);

	group("demand mapping from the fault handler");
	hooks[14] = demand;
	cur_pd = pds[0];
	wcr3((u32)pds[0]);
	s = ustate(walk);
	s.esi = 0x10000000, s.ecx = 64, s.ebx = 0;
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	u32 sum = 0;
	for (u32 i = 0; i < 64; i++)
		sum += 0x10000 + i;
	CHECK_EQ(T.s.ebx, sum);
	CHECK_EQ(faults, 64);
	trap_run(&s, &T);
	CHECK_EQ(T.s.ebx, sum);
	CHECK_EQ(faults, 64);
	/* By the kernel, too. */
	CHECK_EQ(rd32(0x10080000), 0x10080);
	CHECK_EQ(faults, 65);

	group("copy on write after a fork");
	hooks[14] = cow;
	faults = 0;
	u32 *child = pds[1];
	for (u32 a = 0x10000000; a < 0x10040000; a += 4096) {
		u32 *pte = pg_pte(pds[0], a);
		*(volatile u32 *)pte &= ~PTE_W;
		pg_map(child, a, *pte & ~0xfffu, PTE_P | PTE_U);
	}
	wcr3((u32)pds[0]);			/* the flush that fork does */
	cur_pd = pds[0];
	s = ustate(wwalk);
	s.esi = 0x10000000, s.ecx = 32;
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(faults, 32);
	CHECK_EQ(rd32(0x10005000), 0x10006);
	wcr3((u32)child);
	cur_pd = child;
	CHECK_EQ(rd32(0x10005000), 0x10005);
	s.ecx = 64;
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(faults, 32 + 64);
	CHECK_EQ(rd32(0x10005000), 0x10006);
	trap_run(&s, &T);
	CHECK_EQ(rd32(0x10005000), 0x10007);
	CHECK_EQ(faults, 96);
	wcr3((u32)pds[0]);
	CHECK_EQ(rd32(0x10005000), 0x10006);
	CHECK_EQ(rd32(0x10030000), 0x10030);

	group("munmap: user pages removed with INVLPG are gone for the user");
	hooks[14] = 0;
	*pg_pte(pds[0], 0x10005000) = 0;
	invlpg(0x10005000);
	s = ustate(walk);
	s.esi = 0x10004000, s.ecx = 3, s.ebx = 0;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 4, walk_f);
	CHECK_EQ(T.cr2, 0x10005000);
	CHECK_EQ(T.s.ecx, 2);

	group("mprotect: made supervisor, made read-only");
	s = ustate(wwalk);
	s.esi = 0x10002000, s.ecx = 1;
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	*pg_pte(pds[0], 0x10002000) &= ~PTE_W;
	invlpg(0x10002000);
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 7, wwalk_f);
	*pg_pte(pds[0], 0x10002000) &= ~PTE_U;
	invlpg(0x10002000);
	s = ustate(walk);
	s.esi = 0x10002000, s.ecx = 1;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 5, walk_f);
	CHECK_EQ(rd32(0x10002000), 0x10004);
	*pg_pte(pds[0], 0x10002000) |= PTE_U;
	invlpg(0x10002000);
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	return 0;
}
