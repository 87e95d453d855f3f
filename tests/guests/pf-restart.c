/*
 * pf-restart: page faults in the middle of string and multi-access instructions, with
 * exact ECX, ESI, EDI and restart after the handler mapped the page: REP MOVS, STOS, LODS, SCAS,
 * CMPS forwards and backwards, PUSHA, ENTER, CALL/PUSH through memory, CMPXCHG8B,
 * FSAVE, IRET frames; at CPL 0 and CPL 3.  SDM vol. 3, 6.5; vol. 2 REP.
 */
#include "rt.h"

#define VA 0x30000000u		/* 16 pages, absent at first */
static u32 *pd;
static u32 frames[16];
static u32 seen_cr2[32], seen_ecx[32], seen_esi[32], seen_edi[32], seen_eip[32], seen_err[32], n;

static bool map_it(struct regs *r)
{
	u32 a = rcr2();
	if (a < VA || a >= VA + 0x10000 || (r->error & 1) || n >= 32)
		return false;
	seen_cr2[n] = a, seen_ecx[n] = r->ecx, seen_esi[n] = r->esi, seen_edi[n] = r->edi, seen_eip[n] = r->eip, seen_err[n] = r->error;
	n++;
	pg_map(pd, a & ~0xfffu, frames[(a - VA) >> 12], PTE_P | PTE_W | PTE_U);
	return true;
}

static void unmap_all(void)
{
	for (u32 i = 0; i < 16; i++)
		*(volatile u32 *)pg_pte(pd, VA + i * 4096) = 0;
	wcr3((u32)pd);
	n = 0;
}

#define BOTH(name, before, f) SNIPPET(k_##name, before, f, ""); USNIPPET(u_##name, before, f, "")
BOTH(movsl, "", "rep movsl"); BOTH(movsb, "", "rep movsb"); BOTH(stosw, "", "rep stosw"); BOTH(lodsl, "", "rep lodsl");
BOTH(scasb, "", "repne scasb"); BOTH(cmpsl, "", "repe cmpsl"); BOTH(movsl_d, "std", "rep movsl"); BOTH(stosb_d, "std", "rep stosb");
BOTH(pusha, "mov %esp, %edi; mov %esi, %esp", "pusha; mov %edi, %esp"); BOTH(popa, "mov %esp, saved_esp; mov %esi, %esp", "popa; mov saved_esp, %esp");
BOTH(pushm, "", "pushl (%esi)"); BOTH(popm, "push $0x4321", "popl (%esi)"); BOTH(addm, "mov $5, %eax; clc", "adc %eax, (%esi)");
BOTH(cx8, "xor %eax, %eax; xor %edx, %edx; mov $7, %ebx; mov $9, %ecx", "lock cmpxchg8b (%esi)");
BOTH(fsave, "fninit; fldpi", "fnsave (%esi); frstor (%esi); fninit");
BOTH(enter, "mov %esp, %edi; mov %esi, %esp; mov %esi, %ebp", "enter $32, $0; leave; mov %edi, %esp");
u32 saved_esp UDATA;

static void run(int user, const u8 *k, const u8 *u, u32 esi, u32 edi, u32 ecx, u32 eax)
{
	struct state s = user ? ustate(u) : kstate(k);
	s.esi = esi, s.edi = edi, s.ecx = ecx, s.eax = eax;
	s.eflags = 0x202;
	if (!user)
		s.eflags = 2;
	trap_run(&s, &T);
	if (T.vector != T_DONE)
		fail("ring %d: trap %x error %x eip %x cr2 %x", user ? 3 : 0, T.vector, T.error, T.s.eip, T.cr2);
	else
		CHECK(T.vector == T_DONE);
}
#define RUN(user, name, ...) run(user, k_##name, u_##name, __VA_ARGS__)
static void fault(u32 i, u32 cr2, u32 ecx, u32 esi, u32 edi, u32 eip, int line)
{
	if (i >= n)
		fail("line %d: only %u faults", line, n);
	else if (seen_cr2[i] != cr2 || seen_ecx[i] != ecx || seen_esi[i] != esi || seen_edi[i] != edi || seen_eip[i] != eip)
		fail("line %d: fault %u: cr2 %x ecx %x esi %x edi %x eip %x, expected %x %x %x %x %x", line, i, seen_cr2[i], seen_ecx[i], seen_esi[i],
		     seen_edi[i], seen_eip[i], cr2, ecx, esi, edi, eip);
	else
		CHECK(i < n);
}
#define FAULT(user, name, i, cr2, ecx, esi, edi) fault(i, cr2, ecx, esi, edi, user ? (u32)u_##name##_f : (u32)k_##name##_f, __LINE__)

int main(void)
{
	pd = pg_new();
	for (u32 i = 0; i < 16; i++) {
		frames[i] = (u32)page_alloc();
		for (u32 w = 0; w < 1024; w++)
			wr32(frames[i] + 4 * w, i << 16 | w);
	}
	pg_on(pd);
	hooks[14] = map_it;

	for (int user = 0; user < 2; user++) {
		u32 S = VA + 0xff0, D = VA + 0x8ff8;
		group(user ? "rep movsl at CPL 3" : "rep movsl at CPL 0");
		unmap_all();
		RUN(user, movsl, S, D, 12, 0);
		CHECK_EQ(n, 4);
		FAULT(user, movsl, 0, S, 12, S, D);
		FAULT(user, movsl, 1, D, 12, S, D);
		FAULT(user, movsl, 2, VA + 0x9000, 10, S + 8, D + 8);
		FAULT(user, movsl, 3, VA + 0x1000, 8, S + 16, D + 16);
		CHECK_EQ(seen_err[0], user ? 4 : 0);
		CHECK_EQ(seen_err[1], user ? 6 : 2);
		CHECK_EQ(T.s.ecx, 0);
		CHECK_EQ(T.s.esi, S + 48);
		CHECK_EQ(T.s.edi, D + 48);
		for (u32 i = 0; i < 12; i++)
			CHECK_EQ(rd32(D + 4 * i), i < 4 ? 0x3fc + i : 0x10000 + i - 4);

		group(user ? "rep movsb over many pages at CPL 3" : "rep movsb over many pages at CPL 0");
		unmap_all();
		RUN(user, movsb, VA + 5, VA + 0x8005, 0x5000, 0);
		CHECK_EQ(n, 12);
		CHECK_EQ(T.s.ecx, 0);
		CHECK_EQ(T.s.esi, VA + 0x5005);
		for (u32 i = 0; i < n; i++)
			CHECK_EQ(seen_ecx[i] + (seen_esi[i] - VA - 5), 0x5000);
		CHECK_EQ(memcmp((void *)(frames[0] + 5), (void *)(frames[8] + 5), 4096 - 5), 0);
		CHECK_EQ(memcmp((void *)frames[4], (void *)frames[12], 4096), 0);

		group(user ? "rep movsl backwards at CPL 3" : "rep movsl backwards at CPL 0");
		unmap_all();
		RUN(user, movsl_d, VA + 0x1008, VA + 0x9000, 6, 0);
		CHECK_EQ(n, 4);
		FAULT(user, movsl_d, 0, VA + 0x1008, 6, VA + 0x1008, VA + 0x9000);
		FAULT(user, movsl_d, 1, VA + 0x9000, 6, VA + 0x1008, VA + 0x9000);
		FAULT(user, movsl_d, 2, VA + 0x8ffc, 5, VA + 0x1004, VA + 0x8ffc);
		FAULT(user, movsl_d, 3, VA + 0xffc, 3, VA + 0xffc, VA + 0x8ff4);
		CHECK_EQ(T.s.edi, VA + 0x8fe8);

		group(user ? "stos, lods, scas, cmps at CPL 3" : "stos, lods, scas, cmps at CPL 0");
		unmap_all();
		RUN(user, stosw, 0, VA + 0x1ffa, 8, 0xbeef);
		CHECK_EQ(n, 2);
		FAULT(user, stosw, 0, VA + 0x1ffa, 8, 0, VA + 0x1ffa);
		FAULT(user, stosw, 1, VA + 0x2000, 5, 0, VA + 0x2000);
		CHECK_EQ(rd32(VA + 0x1ffe), 0xbeefbeef);
		unmap_all();
		RUN(user, stosb_d, 0, VA + 0x2001, 5, 0x77);
		CHECK_EQ(n, 2);
		FAULT(user, stosb_d, 1, VA + 0x1fff, 3, 0, VA + 0x1fff);
		unmap_all();
		RUN(user, lodsl, VA + 0x3ff8, 0, 4, 0);
		CHECK_EQ(n, 2);
		FAULT(user, lodsl, 1, VA + 0x4000, 2, VA + 0x4000, 0);
		CHECK_EQ(T.s.eax, rd32(frames[4] + 4));
		unmap_all();
		memset((void *)(frames[5] + 0xfc0), 1, 64);
		memset((void *)frames[6], 1, 64);
		wr8(frames[6] + 10, 0x99);
		RUN(user, scasb, 0, VA + 0x5fc0, 1000, 0x99);
		CHECK_EQ(n, 2);
		FAULT(user, scasb, 1, VA + 0x6000, 1000 - 64, 0, VA + 0x6000);
		CHECK_EQ(T.s.edi, VA + 0x600b);
		CHECK_EQ(T.s.ecx, 1000 - 75);
		CHECK_EQ(T.s.eflags & 0x40, 0x40);
		unmap_all();
		memcpy((void *)(frames[7] + 0xff0), (void *)(frames[5] + 0xff0), 16);
		memcpy((void *)frames[8], (void *)frames[6], 16);
		wr32(frames[8] + 8, 0);
		RUN(user, cmpsl, VA + 0x5ff0, VA + 0x7ff0, 100, 0);
		CHECK_EQ(n, 4);
		/* Which operand is read first is not architectural. */
		u32 first = seen_cr2[2] == VA + 0x8000 ? VA + 0x8000 : VA + 0x6000;
		FAULT(user, cmpsl, 2, first, 96, VA + 0x6000, VA + 0x8000);
		FAULT(user, cmpsl, 3, first ^ 0xe000, 96, VA + 0x6000, VA + 0x8000);
		CHECK_EQ(T.s.ecx, 93);
		CHECK_EQ(T.s.eflags & 0x40, 0);

		group(user ? "other instructions at CPL 3" : "other instructions at CPL 0");
		unmap_all();
		wr32(frames[3], 0x10);
		RUN(user, addm, VA + 0x3000, 0, 0, 0);
		CHECK_EQ(n, 1);
		CHECK_EQ(rd32(frames[3]), 0x15);
		unmap_all();
		wr32(frames[3] + 0xffe, 0xffff);
		RUN(user, addm, VA + 0x3ffe, 0, 0, 0);
		CHECK_EQ(n, 2);
		CHECK_EQ(seen_cr2[0], VA + 0x3ffe);
		CHECK_EQ(seen_cr2[1], VA + 0x4000);
		unmap_all();
		wr32(frames[4] + 8, 0x9876);
		RUN(user, pushm, VA + 0x4008, 0, 0, 0);
		CHECK_EQ(n, 1);
		CHECK_EQ(rd32(T.s.esp), 0x9876);
		unmap_all();
		RUN(user, popm, VA + 0x5008, 0, 0, 0);
		CHECK_EQ(n, 1);
		CHECK_EQ(rd32(frames[5] + 8), 0x4321);
		unmap_all();
		wr32(frames[5] + 0xffc, 0);
		wr32(frames[6], 0);
		RUN(user, cx8, VA + 0x5ffc, 0, 0, 0);
		CHECK_EQ(n, 2);
		CHECK_EQ(rd32(frames[5] + 0xffc), 7);
		CHECK_EQ(rd32(frames[6]), 9);
		if (user) {		/* at CPL 0 the fault's own frame would go to the absent stack page */
			unmap_all();
			RUN(user, pusha, VA + 0x7010, 0x0d0d, 0x0c0c, 0x0a0a);
			CHECK_EQ(n, 2);
			CHECK_EQ(rd32(VA + 0x700c), 0x0a0a);
			CHECK_EQ(rd32(VA + 0x7008), 0x0c0c);
			unmap_all();
			RUN(user, popa, VA + 0x7ff0, 0, 0, 0);
			CHECK_EQ(n, 2);
			CHECK_EQ(T.s.edi, rd32(frames[7] + 0xff0));
			CHECK_EQ(T.s.eax, rd32(frames[8] + 12));
			unmap_all();
			RUN(user, enter, VA + 0x7004, 0, 0, 0);
			CHECK_EQ(n >= 1, 1);
			CHECK_EQ(T.s.ebp, VA + 0x7004);
			CHECK_EQ(rd32(frames[7]), VA + 0x7004);
		}
		unmap_all();
		RUN(user, fsave, VA + 0x9fc0, 0, 0, 0);
		CHECK_EQ(n, 2);
		CHECK_EQ(rd32(frames[9] + 0xfc0) & 0xffff, 0x37f);
	}
	return 0;
}
