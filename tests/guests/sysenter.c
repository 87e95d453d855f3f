/*
 * sysenter: SYSENTER from CPL 3 and SYSEXIT back, by the IA32_SYSENTER MSRs; the
 * fixed selectors; flags on entry; #GP(0) without a code segment; many round trips.
 * SDM vol. 2 SYSENTER, SYSEXIT; vol. 3, 5.8.7.  (In 32-bit legacy mode SYSENTER works on Intel and AMD.)
 */
#include "rt.h"

USNIPPET(u_se, "mov %esp, %ecx; mov $8f, %edx", "sysenter", "8: nop");
USNIPPET(u_loop, "mov $500, %esi; xor %edi, %edi\n1: mov %esp, %ecx; mov $2f, %edx; mov %esi, %eax", "sysenter", "2: add %eax, %edi; dec %esi; jnz 1b");
USNIPPET(u_sysexit, "", "sysexit", "");
SNIPPET(k_sysexit, "", "sysexit", "");
USNIPPET(u_target, "", "nop", "");
/* The entry: leave notes, double eax, go back. */
SNIPPET(entry, "mov %cs, sys_seen; mov %ss, sys_seen + 4; mov %esp, sys_seen + 8; mov $sys_stack + 4000, %esp; pushf; pop sys_seen + 12; add %eax, %eax; incl sys_seen + 16", "sysexit", "");
volatile u32 sys_seen[8];
u8 sys_stack[4096];

int main(void)
{
	u32 r[4];
	pg_on(pg_new());
	cpuid(1, 0, r);
	group("CPUID.SEP");
	CHECK(r[3] & 1u << 11);
	if (!(r[3] & 1u << 11))
		return 0;
	CHECK(UCS == KCS + 0x10 + 3 && UDS == KCS + 0x18 + 3);

	group("MSRs");
	wrmsr(0x174, KCS);
	wrmsr(0x175, (u32)sys_stack + 2000);
	wrmsr(0x176, (u32)entry);
	CHECK_EQ(rdmsr(0x174), KCS);
	CHECK_EQ(rdmsr(0x175), (u32)sys_stack + 2000);
	CHECK_EQ(rdmsr(0x176), (u32)entry);

	group("round trip");
	struct state s = ustate(u_se);
	s.eax = 21, s.ebx = 0x1b1b, s.ebp = 0x2b2b;
	s.eflags = 0x202 | FL_CF | 0x800;
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_se_e + 3);
	CHECK_EQ(T.s.eax, 42);
	CHECK_EQ(T.s.ebx, 0x1b1b);
	CHECK_EQ(T.s.ebp, 0x2b2b);
	CHECK_EQ(T.s.esp, s.esp);
	CHECK_EQ(T.s.cs, UCS);
	CHECK_EQ(T.s.ss, UDS);
	CHECK_EQ(sys_seen[0] & 0xffff, KCS);
	CHECK_EQ(sys_seen[1] & 0xffff, KDS);
	CHECK_EQ(sys_seen[2], (u32)sys_stack + 2000);
	CHECK_EQ(sys_seen[3] & (FL_IF | FL_VM), 0);
	CHECK_EQ(T.s.eflags & FL_IF, 0);	/* SYSEXIT does not restore IF */

	group("500 round trips");
	s = ustate(u_loop);
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(T.s.edi, 500 * 501);
	CHECK_EQ(sys_seen[4], 501);

	group("SYSEXIT");
	EXPECT_U(u_sysexit, 13, 0);
	s = kstate(k_sysexit);
	s.ecx = (u32)ustack + 0x700, s.edx = (u32)u_target;
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_target_e + 2);
	CHECK_EQ(T.s.esp, (u32)ustack + 0x700);
	CHECK_EQ(T.s.cs, UCS);

	group("no code segment");
	wrmsr(0x174, 0);
	EXPECT_U(u_se, 13, 0);
	EXPECT_K(k_sysexit, 13, 0);
	return 0;
}
