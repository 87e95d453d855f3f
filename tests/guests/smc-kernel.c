/*
 * smc-kernel: kernel code that changes under its feet with paging on: through the
 * mapping it runs from, through an alias, from another page, by user code, by
 * REP MOVS over code, by remapping the page to another frame; code mixed with
 * data that is written in a hot loop; a module loaded, unloaded, and its memory reused.
 * SDM vol. 3, 11.6.
 */
#include "rt.h"

#define CODE 0x90000000u	/* the code frame, supervisor */
#define ALIAS 0x91000000u	/* the same frame again */
#define UALIAS 0x50000000u	/* and again, for the user */
SNIPPET(k_call, "", "call *%esi", "");
USNIPPET(u_call, "", "call *%esi", "");
USNIPPET(u_wr, "", "mov %eax, (%esi)", "");
USNIPPET(u_wrcall, "", "mov %eax, (%esi); call *%esi", "");
typedef u32 (*fn)(u32);
/* mov $imm, %eax; ret */
static void put_ret(u32 at, u32 v)
{
	wr8(at, 0xb8);
	*(volatile u32 *)(at + 1) = v;
	wr8(at + 5, 0xc3);
}
static u32 call(u32 at) { return ((fn)at)(0); }

int main(void)
{
	u32 *pd = pg_new();
	u32 *frame = page_alloc(), *frame2 = page_alloc();
	pg_map(pd, CODE, (u32)frame, PTE_P | PTE_W);
	pg_map(pd, CODE + 0x1000, (u32)frame2, PTE_P | PTE_W);
	pg_map(pd, ALIAS, (u32)frame, PTE_P | PTE_W);
	pg_map(pd, UALIAS, (u32)frame, PTE_P | PTE_W | PTE_U);
	pg_on(pd);
	struct state s;

	group("the same mapping, 100 times");
	for (u32 i = 0; i < 100; i++) {
		put_ret(CODE, i);
		CHECK_EQ(call(CODE), i);
	}

	group("through an alias, 100 times");
	for (u32 i = 0; i < 100; i++) {
		*(volatile u32 *)(ALIAS + 1) = i + 1000;
		CHECK_EQ(call(CODE), i + 1000);
	}

	group("through the identity mapping");
	for (u32 i = 0; i < 50; i++) {
		((volatile u8 *)frame)[1] = (u8)i;
		CHECK_EQ(call(CODE) & 0xff, i);
		CHECK_EQ(call(ALIAS) & 0xff, i);
	}

	group("run by the user, changed by the kernel");
	for (u32 i = 0; i < 50; i++) {
		put_ret(CODE, i * 3);
		s = ustate(u_call);
		s.esi = UALIAS;
		trap_run(&s, &T);
		CHECK_TRAP(&T, T_DONE, 0, u_call_e + 2);
		CHECK_EQ(T.s.eax, i * 3);
	}

	group("run by the kernel, changed by the user");
	for (u32 i = 0; i < 50; i++) {
		s = ustate(u_wr);
		s.esi = UALIAS + 1;
		s.eax = i * 7;
		trap_run(&s, &T);
		CHECK_EQ(T.vector, T_DONE);
		CHECK_EQ(call(CODE), i * 7);
	}

	group("run and changed by the user");
	for (u32 i = 0; i < 20; i++) {
		s = ustate(u_wrcall);
		s.esi = UALIAS + 0x100;
		s.eax = 0xc3404040 + 8 * (i & 1);	/* inc or dec eax */
		trap_run(&s, &T);
		CHECK_EQ(T.vector, T_DONE);
		CHECK_EQ(T.s.eax, s.eax + (i & 1 ? 1 : 3));
	}

	group("REP MOVS over code that runs next");
	static u8 versions[4][16];
	for (u32 v = 0; v < 4; v++)
		put_ret((u32)versions[v], v + 0x40);
	for (u32 i = 0; i < 40; i++) {
		void *d = (void *)CODE, *src = versions[i & 3];
		u32 c = 6;
		asm volatile("rep movsb" : "+D"(d), "+S"(src), "+c"(c) : : "memory");
		CHECK_EQ(call(CODE), 0x40 + (i & 3));
	}

	group("a function across two pages, either half changed");
	u32 at = CODE + 0xffd;
	put_ret(at, 0x11223344);
	CHECK_EQ(call(at), 0x11223344);
	wr8(CODE + 0x1001, 0x55);	/* in the second page */
	CHECK_EQ(call(at), 0x55223344);
	wr8(CODE + 0xffe, 0x66);	/* in the first */
	CHECK_EQ(call(at), 0x55223366);
	((volatile u8 *)frame2)[0] = 0x77;	/* by the alias of the second */
	CHECK_EQ(call(at), 0x55773366);

	group("the page remapped to another frame");
	put_ret((u32)frame, 1);
	put_ret((u32)frame2, 2);
	for (u32 i = 0; i < 40; i++) {
		*pg_pte(pd, CODE) = (u32)(i & 1 ? frame2 : frame) | PTE_P | PTE_W;
		invlpg(CODE);
		CHECK_EQ(call(CODE), 1 + (i & 1));
	}
	group("the frame remapped elsewhere, old address unmapped");
	*pg_pte(pd, CODE) = 0;
	invlpg(CODE);
	s = kstate(k_call);
	s.esi = CODE;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 0, CODE);
	*pg_pte(pd, CODE) = (u32)frame | PTE_P | PTE_W;
	CHECK_EQ(call(CODE), 1);

	group("code and data on one page, 5000 writes");
	volatile u32 *counter = (volatile u32 *)(CODE + 0x800);
	*counter = 0;
	static const u8 loop[] = { 0xb9, 0x88, 0x13, 0, 0,	/* mov $5000, %ecx */
				   0xff, 0x05, 0, 8, 0, 0x90,	/* 1: incl 0x90000800 */
				   0x49, 0x75, 0xf7,		/* dec %ecx; jnz 1b */
				   0xa1, 0, 8, 0, 0x90, 0xc3 };	/* mov 0x90000800, %eax; ret */
	for (u32 i = 0; i < sizeof(loop); i++)
		wr8(CODE + 0x100 + i, loop[i]);
	CHECK_EQ(call(CODE + 0x100), 5000);
	CHECK_EQ(call(CODE + 0x100), 10000);

	group("read-only code page (text protected), changed through a writable alias");
	*pg_pte(pd, CODE) = (u32)frame | PTE_P;
	invlpg(CODE);
	for (u32 i = 0; i < 30; i++) {
		put_ret(ALIAS, 0x9000 + i);
		CHECK_EQ(call(CODE), 0x9000 + i);
	}
	/* A write through the read-only mapping is still a fault. */
	s = kstate(k_call);
	asm volatile("" : : : "memory");
	static const u8 wr_self[] = { 0xc6, 0x05, 0, 0, 0, 0x90, 0xc3, 0xc3 };	/* movb $0xc3, 0x90000000; ret */
	for (u32 i = 0; i < sizeof(wr_self); i++)
		wr8(ALIAS + 0x200 + i, wr_self[i]);
	s.esi = CODE + 0x200;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 3, CODE + 0x200);
	CHECK_EQ(T.cr2, CODE);
	CHECK_EQ(call(CODE), 0x901d);

	group("text patching as kernels do it: INT3 first, tail, then head");
	*pg_pte(pd, CODE) = (u32)frame | PTE_P | PTE_W;
	invlpg(CODE);
	for (u32 i = 0; i < 30; i++) {
		u32 v = 0xabc000 + i;
		wr8(CODE, 0xcc);
		s = kstate(k_call);
		s.esi = CODE;
		trap_run(&s, &T);
		CHECK_TRAP(&T, 3, 0, CODE + 1);
		*(volatile u32 *)(CODE + 1) = v;
		wr8(CODE, 0xb8);
		CHECK_EQ(call(CODE), v);
	}

	group("CR3 loads in between (another space maps another frame there)");
	u32 *pd2 = page_alloc();
	for (u32 i = 0; i < 1024; i++)
		pd2[i] = pd[i];
	pd2[CODE >> 22] = 0;
	pg_map(pd2, CODE, (u32)frame2, PTE_P | PTE_W);
	for (u32 i = 0; i < 40; i++) {
		put_ret((u32)(i & 1 ? frame2 : frame), i);
		wcr3((u32)(i & 1 ? pd2 : pd));
		CHECK_EQ(call(CODE), i);
	}
	return 0;
}
