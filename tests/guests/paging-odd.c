/*
 * paging-odd: user and supervisor pages where an OS does not usually put them: supervisor
 * pages low, user pages at 0xffffe000 and between supervisor pages; the kernel using user
 * pages with every kind of access, alternating at one instruction between user and
 * supervisor pages; accesses across the border between pages of different kinds.
 * SDM vol. 3, 4.6.
 */
#include "rt.h"

#define LOWK 0x08000000u	/* supervisor, low */
#define HIGHU 0xffffe000u	/* user, high */
#define MIX 0x70000000u		/* alternating: user, supervisor, user, absent, user (read-only), supervisor */
SNIPPET(k_forms, "", "mov (%esi), %eax; mov %ax, 4(%esi); mov %al, 9(%esi); addl $0x10, 0x10(%esi); xchg %ecx, 0x20(%esi); lock incl 0x30(%esi); movzbl 1(%esi), %ebx; pushl (%esi); popl 0x40(%esi); cmpl $0x11223344, (%esi); setz 0x50(%esi); bts %edx, 0x54(%esi); incb 0x58(%esi); lock cmpxchg %ecx, 0x5c(%esi); movups (%esi), %xmm0; movups %xmm0, 0x60(%esi); fildl (%esi); fistpl 0x70(%esi); sarl %cl, 0x74(%esi); call *0x78(%esi)", "");
asm(".text\nret_only: ret");
extern const u8 ret_only[];
SNIPPET(k_rd, "", "mov (%esi), %eax", "");
SNIPPET(k_wr, "", "mov %eax, (%esi)", "");
SNIPPET(k_add, "", "add %eax, (%esi)", "");
USNIPPET(u_rd, "", "mov (%esi), %eax", "");
USNIPPET(u_wr, "", "mov %eax, (%esi)", "");
USNIPPET(u_add, "", "add %eax, (%esi)", "");
SNIPPET(k_movs, "mov $16, %ecx", "rep movsl", "");
SNIPPET(k_stack, "mov %esp, %ebp; mov %esi, %esp; push $0x1234; pushf; pop %eax; call 1f\n1: pop %ecx", "pop %edx", "mov %ebp, %esp");

static u32 frames[8];
static void forms(u32 at, u32 frame)
{
	volatile u32 *m = (volatile u32 *)frame;
	for (u32 i = 0; i < 64; i++)
		m[i] = 0;
	m[0] = 0x11223344;
	m[0x78 / 4] = (u32)ret_only;
	m[0x74 / 4] = 0x80;
	struct state s = kstate(k_forms);
	s.esi = at;
	s.ecx = 0x4444;
	s.edx = 5;
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(T.s.eax, 0);			/* from cmpxchg: the old value */
	CHECK_EQ(m[1], 0x3344);
	CHECK_EQ(m[2], 0x4400);
	CHECK_EQ(m[4], 0x10);
	CHECK_EQ(m[8], 0x4444);
	CHECK_EQ(m[12], 1);
	CHECK_EQ(T.s.ebx, 0x33);
	CHECK_EQ(m[16], 0x11223344);
	CHECK_EQ(m[0x50 / 4], 1);
	CHECK_EQ(m[0x54 / 4], 32);
	CHECK_EQ(m[0x58 / 4], 1);
	CHECK_EQ(m[0x60 / 4], 0x11223344);
	CHECK_EQ(m[0x70 / 4], 0x11223344);
	CHECK_EQ(m[0x74 / 4], 0x80);
}

int main(void)
{
	u32 *pd = pg_new();
	struct state s;
	wcr4(rcr4() | CR4_OSFXSR);
	for (u32 i = 0; i < 8; i++)
		frames[i] = (u32)page_alloc();
	pg_map(pd, LOWK, frames[0], PTE_P | PTE_W);
	pg_map(pd, HIGHU, frames[1], PTE_P | PTE_W | PTE_U);
	pg_map(pd, MIX, frames[2], PTE_P | PTE_W | PTE_U);
	pg_map(pd, MIX + 0x1000, frames[3], PTE_P | PTE_W);
	pg_map(pd, MIX + 0x2000, frames[4], PTE_P | PTE_W | PTE_U);
	pg_map(pd, MIX + 0x4000, frames[5], PTE_P | PTE_U);
	pg_map(pd, MIX + 0x5000, frames[6], PTE_P | PTE_W);
	pg_on(pd);

	group("kernel: low supervisor page");
	forms(LOWK, frames[0]);
	s = ustate(u_rd);
	s.esi = LOWK;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 5, u_rd_f);

	group("user page at 0xffffe000");
	forms(HIGHU, frames[1]);
	s = ustate(u_wr);
	s.esi = HIGHU + 0xffc;
	s.eax = 0x1357;
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(rd32(frames[1] + 0xffc), 0x1357);
	wr32(frames[1] + 0x800, 0x40cd40);	/* inc %eax; int $0x40: a vDSO */
	s = ustate((void *)(HIGHU + 0x800));
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, HIGHU + 0x803);
	CHECK_EQ(T.s.eax, 1);

	group("one site, user and supervisor pages in turn, 60 times");
	for (u32 i = 0; i < 60; i++) {
		u32 page = i % 3 == 0 ? 0 : i % 3 == 1 ? 1 : 2;
		wr32(frames[2 + page] + 0x80, i);
		s = kstate(k_rd);
		s.esi = MIX + page * 0x1000 + 0x80;
		trap_run(&s, &T);
		CHECK_EQ(T.s.eax, i);
		s = kstate(k_add);
		s.esi = MIX + page * 0x1000 + 0x80;
		s.eax = 1000;
		trap_run(&s, &T);
		CHECK_EQ(rd32(frames[2 + page] + 0x80), i + 1000);
	}
	for (u32 i = 0; i < 3; i++)
		forms(MIX + i * 0x1000 + 0x100, frames[2 + i] + 0x100);

	group("string moves between user and supervisor");
	for (u32 i = 0; i < 4; i++) {
		u32 src = i & 1 ? 0 : 1, dst = i & 2 ? 1 : 2;
		for (u32 w = 0; w < 16; w++)
			wr32(frames[2 + src] + 0x400 + 4 * w, 0x100 * i + w);
		s = kstate(k_movs);
		s.esi = MIX + src * 0x1000 + 0x400;
		s.edi = MIX + dst * 0x1000 + 0x600;
		trap_run(&s, &T);
		CHECK_EQ(T.vector, T_DONE);
		for (u32 w = 0; w < 16; w++)
			CHECK_EQ(rd32(frames[2 + dst] + 0x600 + 4 * w), 0x100 * i + w);
		/* and one that crosses from user to supervisor in the middle */
		s = kstate(k_movs);
		s.esi = MIX + 0x1000 - 32;
		s.edi = MIX + 0x2000 - 24;
		for (u32 w = 0; w < 8; w++) {
			wr32(frames[2] + 0x1000 - 32 + 4 * w, w + i);
			wr32(frames[3] + 4 * w, w + i + 8);
		}
		trap_run(&s, &T);
		CHECK_EQ(T.vector, T_DONE);
		for (u32 w = 0; w < 6; w++)
			CHECK_EQ(rd32(frames[3] + 0x1000 - 24 + 4 * w), w + i);
		for (u32 w = 6; w < 16; w++)
			CHECK_EQ(rd32(frames[4] + 4 * (w - 6)), w + i);
	}

	group("the kernel's stack in a user page");
	s = kstate(k_stack);
	s.esi = MIX + 0xf00;
	s.eflags = 0x893;
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(T.s.edx, 0x1234);
	CHECK_EQ(T.s.ecx, (u32)k_stack_f - 1);
	CHECK_EQ(rd32(frames[2] + 0xefc), 0x1234);

	group("across user | supervisor");
	u32 at = MIX + 0xffe;
	*(volatile u16 *)(frames[2] + 0xffe) = 0x1122;
	*(volatile u16 *)frames[3] = 0x3344;
	s = kstate(k_rd);
	s.esi = at;
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(T.s.eax, 0x33441122);
	s = kstate(k_wr);
	s.esi = at;
	s.eax = 0x55667788;
	trap_run(&s, &T);
	CHECK_EQ(*(volatile u16 *)(frames[2] + 0xffe), 0x7788);
	CHECK_EQ(*(volatile u16 *)frames[3], 0x5566);
	s = kstate(k_add);
	s.esi = at;
	s.eax = 0x00010001;
	trap_run(&s, &T);
	CHECK_EQ(*(volatile u16 *)(frames[2] + 0xffe), 0x7789);
	CHECK_EQ(*(volatile u16 *)frames[3], 0x5567);
	s = ustate(u_rd);
	s.esi = at;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 5, u_rd_f);
	CHECK_EQ(T.cr2, MIX + 0x1000);
	s = ustate(u_wr);
	s.esi = at;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 7, u_wr_f);
	CHECK_EQ(T.cr2, MIX + 0x1000);
	CHECK_EQ(*(volatile u16 *)(frames[2] + 0xffe), 0x7789);

	group("across supervisor | user");
	at = MIX + 0x1ffd;
	s = kstate(k_wr);
	s.esi = at;
	s.eax = 0xa1a2a3a4;
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(rd8(frames[3] + 0xfff), 0xa2);
	CHECK_EQ(rd8(frames[4]), 0xa1);
	s = ustate(u_rd);
	s.esi = at;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 5, u_rd_f);
	CHECK_EQ(T.cr2, at);

	group("across user | absent");
	at = MIX + 0x2fff;
	wr8(frames[4] + 0xfff, 0x99);
	s = kstate(k_wr);
	s.esi = at;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 2, k_wr_f);
	CHECK_EQ(T.cr2, MIX + 0x3000);
	CHECK_EQ(rd8(frames[4] + 0xfff), 0x99);
	s = ustate(u_wr);
	s.esi = at;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 6, u_wr_f);
	CHECK_EQ(T.cr2, MIX + 0x3000);
	CHECK_EQ(rd8(frames[4] + 0xfff), 0x99);
	s = kstate(k_rd);
	s.esi = MIX + 0x3ffe;		/* absent | read-only: the first byte decides */
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 0, k_rd_f);
	CHECK_EQ(T.cr2, MIX + 0x3ffe);

	group("across read-only user | supervisor");
	at = MIX + 0x4ffe;
	s = kstate(k_wr);
	s.esi = at;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 3, k_wr_f);
	CHECK_EQ(T.cr2, at);
	wcr0(rcr0() & ~CR0_WP);
	s.eax = 0x12345678;
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(*(volatile u16 *)(frames[5] + 0xffe), 0x5678);
	CHECK_EQ(*(volatile u16 *)frames[6], 0x1234);
	wcr0(rcr0() | CR0_WP);
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 3, k_wr_f);

	group("WP 0: the kernel writes read-only pages, the user does not");
	wcr0(rcr0() & ~CR0_WP);
	forms(MIX + 0x4000, frames[5]);
	s = ustate(u_wr);
	s.esi = MIX + 0x4000;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 7, u_wr_f);
	wcr0(rcr0() | CR0_WP);
	s = kstate(k_add);
	s.esi = MIX + 0x4000;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 3, k_add_f);
	return 0;
}
