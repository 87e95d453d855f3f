/*
 * spaces: more address spaces than a monitor that keeps some of them can keep, and all that may
 * go stale in one that is not current: entries changed without a flush, global pages
 * flushed elsewhere, code at one address that differs, code written in another space
 * than it was run in.  After a warm-up of switches, in which such a monitor fills what it has.
 * SDM vol. 3, 4.10; 8.1.3 (self-modifying code).
 */
#include "rt.h"

#define N 40
#define OWN   0x20000000u	/* a page of each space's own */
#define CODE  0x24000000u	/* likewise: code */
#define ALIAS 0x28000000u	/* the code page of space 0, writable, in all of them */
#define GLOBAL 0xe0000000u	/* the same tables in all: 512 pages */
#define GLOBALS 512u
#define MANY  0x30000000u	/* 1,024 pages with a function each, the same in all */
#define MANIES 1024u

/* mov $n, %eax; ret */
static void put_function(void *at, u32 n)
{
	u8 *p = at;

	p[0] = 0xb8;
	memcpy(p + 1, &n, 4);
	p[5] = 0xc3;
}

static u32 call(u32 at) { return ((u32 (*)(void))at)(); }

USNIPPET(uread, "", "mov 0x20000000, %eax; incl 0x20000004; mov 0x20000008, %ebx", "");

SNIPPET(wr, "", "movl $5, 0x2000000c", "");

static u32 *pds[N], *own[N], *code[N];

static void switch_to(u32 i) { wcr3((u32)pds[i]); }

int main(void)
{
	u32 *pd = pg_new(), bad;
	u64 end;

	for (u32 i = 0; i < GLOBALS; i++)
		pg_map(pd, GLOBAL + i * 4096, (u32)page_alloc(), PTE_P | PTE_W | PTE_G);
	for (u32 i = 0; i < MANIES; i++) {
		void *p = page_alloc();

		put_function(p, i);
		pg_map(pd, MANY + i * 4096, (u32)p, PTE_P | PTE_W);
	}
	for (u32 i = 0; i < N; i++) {
		pds[i] = page_alloc();
		for (u32 j = 0; j < 1024; j++)
			pds[i][j] = pd[j];
		own[i] = page_alloc();
		code[i] = page_alloc();
		own[i][0] = 0x1000 + i;
		put_function(code[i], 0x2000 + i);
		pg_map(pds[i], OWN, (u32)own[i], PTE_P | PTE_W | PTE_U);
		pg_map(pds[i], CODE, (u32)code[i], PTE_P | PTE_W);
		pg_map(pds[i], ALIAS, (u32)code[0], PTE_P | PTE_W);
	}
	pg_on(pds[0]);
	wcr4(rcr4() | CR4_PGE);

	group("forty spaces, round and round: data and code at one address");
	bad = 0;
	end = rdtsc() + 500000000;
	for (u32 n = 0; rdtsc() < end || n < 3 * N; n++) {
		u32 i = n % N;

		switch_to(i);
		bad += rd32(OWN) != 0x1000 + i || call(CODE) != 0x2000 + i;
	}
	CHECK_EQ(bad, 0);

	group("three spaces, each often");
	for (u32 n = 0; n < 3000; n++) {
		u32 i = n % 3;

		switch_to(i);
		bad += rd32(OWN) != 0x1000 + i || call(CODE) != 0x2000 + i;
		wr32(OWN + 4, n);
		bad += own[i][1] != n;
	}
	CHECK_EQ(bad, 0);

	group("user code sees its own");
	for (u32 n = 0; n < 200; n++) {
		u32 i = n % 5;
		struct state s = ustate(uread);

		switch_to(i);
		own[i][1] = 7, own[i][2] = n;
		trap_run(&s, &T);
		bad += T.vector != T_DONE || T.s.eax != 0x1000 + i || own[i][1] != 8 || T.s.ebx != n;
	}
	CHECK_EQ(bad, 0);

	group("an entry changed while its space is not current");
	for (u32 n = 0; n < 100; n++) {
		switch_to(1);
		bad += rd32(OWN) != (n % 2 ? 0x1003u : 0x1001u);
		switch_to(2);
		*(volatile u32 *)pg_pte(pds[1], OWN) = (u32)own[n % 2 ? 1 : 3] | PTE_P | PTE_W | PTE_U;
		bad += rd32(OWN) != 0x1002;
	}
	CHECK_EQ(bad, 0);

	group("write rights taken while its space is not current");
	switch_to(1);
	wr32(OWN + 12, 1);
	switch_to(2);
	*(volatile u32 *)pg_pte(pds[1], OWN) &= ~PTE_W;
	switch_to(1);
	EXPECT_K(wr, 14, 3);
	CHECK_EQ(own[1][3], 1);
	*(volatile u32 *)pg_pte(pds[1], OWN) |= PTE_W;
	invlpg(OWN);
	wr32(OWN + 12, 2);
	CHECK_EQ(own[1][3], 2);

	group("dirty bits cleared elsewhere are set again");
	for (u32 n = 0; n < 20; n++) {
		switch_to(1);
		wr32(OWN + 16, n);
		CHECK(*(volatile u32 *)pg_pte(pds[1], OWN) & PTE_D);
		switch_to(2 + n % 2);
		*(volatile u32 *)pg_pte(pds[1], OWN) &= ~(PTE_D | PTE_A);
	}

	group("a global page changed with INVLPG in one space is changed in all");
	for (u32 n = 0; n < 40; n++) {
		u32 a = GLOBAL + (n % 8) * 4096;
		u32 *p = page_alloc();

		for (u32 i = 0; i < 6; i++) {
			switch_to(i);
			rd32(a);
		}
		p[0] = 0x5000 + n;
		*(volatile u32 *)pg_pte(pd, a) = (u32)p | PTE_P | PTE_W | PTE_G;
		invlpg(a);
		for (u32 i = 0; i < 6; i++) {
			switch_to(i);
			bad += rd32(a) != 0x5000 + n;
		}
	}
	CHECK_EQ(bad, 0);

	group("more of them than anybody keeps a list of");
	for (u32 i = 0; i < 4; i++) {
		switch_to(i);
		for (u32 j = 0; j < GLOBALS; j++)
			rd32(GLOBAL + j * 4096);
	}
	for (u32 j = 0; j < GLOBALS; j++) {
		u32 *p = (u32 *)(*pg_pte(pd, GLOBAL + j * 4096) & ~0xfffu);

		*(volatile u32 *)pg_pte(pd, GLOBAL + j * 4096) = (u32)(j % 2 ? own[4] : own[5]) | PTE_P | PTE_W | PTE_G;
		invlpg(GLOBAL + j * 4096);
		p[0] = 0xdead;
	}
	for (u32 i = 0; i < 4; i++) {
		switch_to(i);
		for (u32 j = 0; j < GLOBALS; j++)
			bad += rd32(GLOBAL + j * 4096) != (j % 2 ? 0x1004u : 0x1005u);
	}
	CHECK_EQ(bad, 0);

	group("CR4.PGE toggled in one space: all global entries, in all");
	for (u32 j = 0; j < 64; j++)
		*(volatile u32 *)pg_pte(pd, GLOBAL + j * 4096) = (u32)own[6] | PTE_P | PTE_W | PTE_G;
	wcr4(rcr4() & ~CR4_PGE);
	wcr4(rcr4() | CR4_PGE);
	for (u32 i = 0; i < 4; i++) {
		switch_to(i);
		for (u32 j = 0; j < 64; j++)
			bad += rd32(GLOBAL + j * 4096) != 0x1006;
	}
	CHECK_EQ(bad, 0);

	group("code written in another space than it ran in");
	for (u32 n = 0; n < 60; n++) {
		u32 writer = 1 + n % 5;

		switch_to(writer);
		wr8(ALIAS + 0x800, (u8)n);		/* writable there, before there is code */
		switch_to(0);
		bad += call(CODE) != (n ? 0x7000 + n - 1 : 0x2000u);
		switch_to(writer);
		put_function((void *)ALIAS, 0x7000 + n);
		switch_to(0);
		bad += call(CODE) != 0x7000 + n;
	}
	CHECK_EQ(bad, 0);

	group("more pages of code than anybody keeps a list of");
	switch_to(1);
	for (u32 round = 0; round < 5; round++) {
		/* Run in one space, with the pages writable in the other; then written in the other, and run again. */
		switch_to(2);
		for (u32 i = 0; i < MANIES; i++)
			wr8(MANY + i * 4096 + 0x800, 1);
		switch_to(1);
		for (u32 i = 0; i < MANIES; i++)
			bad += call(MANY + i * 4096) != i + round * 0x10000;
		switch_to(2);
		for (u32 i = 0; i < MANIES; i++)
			put_function((void *)(MANY + i * 4096), i + (round + 1) * 0x10000);
	}
	CHECK_EQ(bad, 0);

	group("a page directory that moves, and one that is used anew");
	for (u32 n = 0; n < 30; n++) {
		u32 *copy = page_alloc();

		memcpy(copy, pds[7], 4096);
		wcr3((u32)copy);
		bad += rd32(OWN) != 0x1007 || call(CODE) != 0x2007;
		pg_map(pds[8], OWN + 0x400000, (u32)own[n % 7 + 8], PTE_P | PTE_W);
		switch_to(8);
		bad += rd32(OWN + 0x400000) != 0x1008 + n % 7;
		pds[8][(OWN + 0x400000) >> 22] = 0;
	}
	CHECK_EQ(bad, 0);
	return 0;
}
