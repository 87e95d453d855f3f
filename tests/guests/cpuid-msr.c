/*
 * cpuid-msr: CPUID is self-consistent and deterministic, the same at CPL 0 and CPL 3 where
 * user code may rely on it; RDTSC is monotonic and moves; unknown MSRs raise #GP(0) and leave
 * registers alone; MSRs that every i686 kernel touches exist; reserved CR bits.
 * SDM vol. 2 CPUID; vol. 3, 2.5; vol. 4.
 */
#include "rt.h"

SNIPPET(k_rdmsr, "", "rdmsr", "");
SNIPPET(k_wrmsr, "", "wrmsr", "");
SNIPPET(k_cr4, "", "mov %eax, %cr4", "");
SNIPPET(k_cr0, "", "mov %eax, %cr0", "");
SNIPPET(k_xsetbv, "", "xsetbv", "");
SNIPPET(k_cpuid, "", "cpuid", "");
USNIPPET(u_cpuid, "", "cpuid", "");
USNIPPET(u_rdtsc, "", "rdtsc", "");
SNIPPET(k_cr8, "", ".byte 0x0f, 0x20, 0xc8", "");	/* mov %cr1, %eax */
static struct state s;

int main(void)
{
	u32 r[4], q[4];
	pg_on(pg_new());
	group("CPUID");
	cpuid(0, 0, r);
	CHECK(r[0] >= 1);
	u32 max = r[0];
	cpuid(1, 0, r);
	static const u8 need[] = { 0, 3, 4, 5, 6, 8, 9, 11, 13, 15, 23, 24, 25, 26 };	/* FPU PSE TSC MSR PAE CX8 APIC SEP PGE CMOV MMX FXSR SSE SSE2 */
	for (u32 i = 0; i < ARRAY_SIZE(need); i++)
		if (!(r[3] >> need[i] & 1))
			fail("CPUID.1:EDX bit %u is clear", need[i]);
	CHECK((r[0] >> 8 & 15) >= 6);
	for (u32 i = 0; i < 20; i++) {
		cpuid(1, 0, q);
		CHECK(q[0] == r[0] && q[2] == r[2] && q[3] == r[3]);
	}
	CHECK(r[2] >> 31);			/* a hypervisor is present */
	cpuid(0x40000000, 0, q);
	CHECK(q[1] || q[2] || q[3]);
	cpuid(0x80000000, 0, q);
	CHECK(q[0] >= 0x80000004);
	cpuid(0x80000001, 0, q);
	CHECK(q[3] >> 20 & 1);			/* NX */
	bool osxsave = r[2] >> 27 & 1;
	CHECK_EQ(osxsave, 0);
	if (r[2] >> 26 & 1) {
		wcr4(rcr4() | CR4_OSXSAVE);
		cpuid(1, 0, q);
		CHECK_EQ(q[2] >> 27 & 1, 1);	/* OSXSAVE follows CR4 */
		wcr4(rcr4() & ~CR4_OSXSAVE);
		cpuid(1, 0, q);
		CHECK_EQ(q[2] >> 27 & 1, 0);
	}
	CHECK(max >= 1);

	group("CPUID at CPL 3 agrees in what user code can use");
	s = ustate(u_cpuid);
	s.eax = 1;
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(T.s.edx & 0x07808111, r[3] & 0x07808111);	/* FPU TSC CX8 CMOV MMX FXSR SSE SSE2 */
	/* Everything the kernel is told about, user code can use. */
	CHECK_EQ(r[2] & 0x1ad83201 & ~T.s.ecx & ~0x18000000, 0);

	group("registers of CPUID");
	s = kstate(k_cpuid);
	s.eax = 0, s.esi = 1, s.edi = 2, s.ebp = 3;
	s.eflags = 0x8d7;
	trap_run(&s, &T);
	CHECK_EQ(T.s.esi, 1);
	CHECK_EQ(T.s.edi, 2);
	CHECK_EQ(T.s.ebp, 3);
	CHECK_EQ(T.s.eflags & 0x8d5, 0x8d5);

	group("RDTSC");
	u64 last = rdtsc();
	for (u32 i = 0; i < 1000; i++) {
		u64 now = rdtsc();
		if (now < last)
			fail("RDTSC went back");
		last = now;
	}
	s = ustate(u_rdtsc);
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	u64 user = (u64)T.s.edx << 32 | T.s.eax;
	CHECK(user > last);
	CHECK(rdtsc() > user);

	group("unknown MSRs");
	static const u32 bad[] = { 0xdeadbeef, 0x12345, 0x40001234, 0xc0001fff, 0xffffffff };
	for (u32 i = 0; i < ARRAY_SIZE(bad) && !is_qemu(); i++) {	/* QEMU ignores them */
		s = kstate(k_rdmsr);
		s.ecx = bad[i], s.eax = 0x11, s.edx = 0x22;
		trap_run(&s, &T);
		CHECK_TRAP(&T, 13, 0, k_rdmsr_f);
		CHECK_EQ(T.s.eax, 0x11);
		CHECK_EQ(T.s.edx, 0x22);
		s.eip = (u32)k_wrmsr;
		trap_run(&s, &T);
		CHECK_TRAP(&T, 13, 0, k_wrmsr_f);
	}
	if (is_qemu())
		skip("not under QEMU");

	group("MSRs that must exist");
	static const u32 good[] = { 0x10, 0x1b, 0x174, 0x175, 0x176, 0xc0000080, 0x277, 0x2ff, 0xfe };
	for (u32 i = 0; i < ARRAY_SIZE(good); i++) {
		s = kstate(k_rdmsr);
		s.ecx = good[i];
		trap_run(&s, &T);
		if (T.vector != T_DONE)
			fail("RDMSR %x: trap %x", good[i], T.vector);
		else
			CHECK(T.vector == T_DONE);
	}
	CHECK_EQ((u32)rdmsr(0x277), 0x00070406);	/* PAT at reset */

	group("MTRR, TSC and PAT writes stick");
	u64 pat = rdmsr(0x277);
	wrmsr(0x277, 0x0007010600070106ull);
	CHECK(rdmsr(0x277) == 0x0007010600070106ull);
	wrmsr(0x277, pat);

	group("reserved control bits");
	if (!is_qemu()) {		/* QEMU is lax */
		s = kstate(k_cr4);
		s.eax = rcr4() | 0x80000000;
		trap_run(&s, &T);
		CHECK_TRAP(&T, 13, 0, k_cr4_f);
		s = kstate(k_cr0);
		s.eax = rcr0() & ~CR0_PE;	/* PG without PE */
		trap_run(&s, &T);
		CHECK_TRAP(&T, 13, 0, k_cr0_f);
		s.eax = (rcr0() | 0x20000000) & ~0x40000000;	/* NW without CD */
		trap_run(&s, &T);
		CHECK_TRAP(&T, 13, 0, k_cr0_f);
	}
	s = kstate(k_cr8);
	trap_run(&s, &T);
	CHECK_TRAP(&T, 6, 0, k_cr8_f);
	u32 cr0 = rcr0();
	CHECK_EQ(cr0 & 0x10, 0x10);		/* ET is hard-wired */
	wcr0(cr0 & ~0x10u);
	CHECK_EQ(rcr0(), cr0);
	return 0;
}
