/*
 * fpu-trap: CR0.TS and #NM (lazy FPU switching) at CPL 0 and CPL 3 for x87, MMX, SSE, and WAIT under
 * CR0.MP; CLTS and LMSW; CR0.EM; CR4.OSFXSR and #UD; #MF with CR0.NE at the next waiting
 * instruction; #XM with CR4.OSXMMEXCPT and #UD without.
 * SDM vol. 3, 2.5, 13.1; vol. 1, 8.7, 11.6.
 */
#include "rt.h"

#define BOTH(name, before, f, after) SNIPPET(k_##name, before, f, after); USNIPPET(u_##name, before, f, after)
BOTH(fld, "", "fld1", ""); BOTH(fninit, "", "fninit", ""); BOTH(mmx, "", "paddd %mm0, %mm1", ""); BOTH(sse, "", "addps %xmm0, %xmm1", "");
BOTH(sse2, "", "movd %eax, %xmm0", ""); BOTH(wait, "", "fwait", ""); BOTH(fxsave, "", "fxsave udata + 64", ""); BOTH(int_, "", "add %eax, %ecx", "");
BOTH(ldmxcsr, "movl $0x1f80, udata", "ldmxcsr udata", ""); BOTH(fence, "", "sfence", ""); BOTH(prefetch, "", "prefetcht0 udata", ""); BOTH(movnti, "", "movnti %eax, udata", "");
BOTH(mf, "fninit; movl $0x37b, udata; fldcw udata; fldz; fld1; fdiv %st(1), %st; nop", "fld1", "");
BOTH(mfw, "fninit; movl $0x37b, udata; fldcw udata; fldz; fld1; fdiv %st(1), %st; mov $1, %eax", "fwait", "");
BOTH(mfn, "fninit; movl $0x37b, udata; fldcw udata; fldz; fld1; fdiv %st(1), %st; fnstsw %ax; fnclex; fwait", "nop", "");
BOTH(xm, "movl $0x1d80, udata; ldmxcsr udata; xorps %xmm1, %xmm1; mov $0x3f800000, %eax; movd %eax, %xmm0", "divss %xmm1, %xmm0", "");
/* At CPL 3 direct execution cannot trap on TS: #NM comes at once, before the first instruction. */
#define NM(user, name) do { struct state s_ = user ? ustate(u_##name) : kstate(k_##name); trap_run(&s_, &T);			\
	if (user) { CHECK_EQ(T.vector, 7); KNOWN(T.s.eip == (u32)u_##name##_f, "CR0.TS at CPL 3: #NM before the first instruction"); }	\
	else CHECK_TRAP(&T, 7, 0, k_##name##_f); } while (0)
#define UD(user, name) do { struct state s_ = user ? ustate(u_##name) : kstate(k_##name); trap_run(&s_, &T); CHECK_TRAP(&T, 6, 0, user ? u_##name##_f : k_##name##_f); } while (0)
#define OKTS(user, name) do { struct state s_ = user ? ustate(u_##name) : kstate(k_##name); trap_run(&s_, &T);		\
	if (user) KNOWN(T.vector == T_DONE, "CR0.TS at CPL 3: #NM also for code that uses no FPU"); else CHECK_EQ(T.vector, T_DONE); } while (0)
#define OK(user, name) do { struct state s_ = user ? ustate(u_##name) : kstate(k_##name); trap_run(&s_, &T); CHECK_EQ(T.vector, T_DONE); } while (0)

static u32 nms;
static bool lazy(struct regs *r)
{
	nms++;
	asm volatile("clts");
	return true;
}

int main(void)
{
	pg_on(pg_new());
	u32 cr0 = (rcr0() & ~(CR0_EM | CR0_TS)) | CR0_NE;
	for (int user = 0; user < 2; user++) {
		wcr4(rcr4() | CR4_OSFXSR | CR4_OSXMM);
		group(user ? "CR0.TS at CPL 3" : "CR0.TS at CPL 0");
		wcr0(cr0 | CR0_TS | CR0_MP);
		NM(user, fld);
		NM(user, fninit);
		NM(user, mmx);
		NM(user, sse);
		NM(user, sse2);
		NM(user, wait);
		NM(user, fxsave);
		NM(user, ldmxcsr);
		OKTS(user, int_);
		OKTS(user, fence);
		OKTS(user, prefetch);
		OKTS(user, movnti);
		CHECK(rcr0() & CR0_TS);
		wcr0((cr0 | CR0_TS) & ~CR0_MP);
		OKTS(user, wait);		/* WAIT needs MP and TS */
		NM(user, fld);

		group(user ? "CLTS in the #NM handler, CPL 3" : "CLTS in the #NM handler, CPL 0");
		hooks[7] = lazy;
		nms = 0;
		for (u32 i = 0; i < 20; i++) {
			wcr0(cr0 | CR0_TS | CR0_MP);
			OK(user, sse);
			OK(user, fld);
		}
		CHECK_EQ(nms, 20);
		asm volatile("smsw %%ax; or $8, %%ax; lmsw %%ax" : : : "eax");
		CHECK(rcr0() & CR0_TS);
		OK(user, fld);
		CHECK_EQ(nms, 21);
		hooks[7] = 0;

		group(user ? "CR0.EM at CPL 3" : "CR0.EM at CPL 0");
		/* Known limitation: direct execution cannot trap on EM; an OS sets it only without an FPU. */
		if (!user || is_qemu() || has_word(cmdline, "em")) {
			wcr0(cr0 | CR0_EM);
			NM(user, fld);
			UD(user, mmx);
			UD(user, sse);
			OK(user, wait);
			OK(user, int_);
		} else {
			skip("direct execution");
		}
		wcr0(cr0 | CR0_MP);
		OK(user, fninit);

		group(user ? "CR4.OSFXSR clear at CPL 3" : "CR4.OSFXSR clear at CPL 0");
		wcr4(rcr4() & ~CR4_OSFXSR);
		struct state x = user ? ustate(u_sse) : kstate(k_sse);
		trap_run(&x, &T);
		KNOWN(T.vector == 6 && T.s.eip == (u32)(user ? u_sse_f : k_sse_f), "CR4.OSFXSR clear does not disable SSE");
		OK(user, fld);
		OK(user, mmx);
		wcr4(rcr4() | CR4_OSFXSR);
		OK(user, sse);

		group(user ? "#MF at CPL 3" : "#MF at CPL 0");
		struct state s = user ? ustate(u_mf) : kstate(k_mf);
		trap_run(&s, &T);
		if (hw())		/* hw-only: in TCG only WAIT takes it */
			CHECK_TRAP(&T, 16, 0, user ? u_mf_f : k_mf_f);
		u16 sw;
		asm volatile("fnstsw %0; fnclex" : "=m"(sw));
		CHECK_EQ(sw & 0x84, 0x84);
		s = user ? ustate(u_mfw) : kstate(k_mfw);
		trap_run(&s, &T);
		CHECK_TRAP(&T, 16, 0, user ? u_mfw_f : k_mfw_f);
		CHECK_EQ(T.s.eax, 1);
		asm volatile("fnclex");
		OK(user, mfn);
		CHECK_EQ(T.s.eax & 0x84, 0x84);

		group(user ? "#XM at CPL 3" : "#XM at CPL 0");
		s = user ? ustate(u_xm) : kstate(k_xm);
		trap_run(&s, &T);
		if (hw())		/* hw-only: TCG never raises #XM */
			CHECK_TRAP(&T, 19, 0, user ? u_xm_f : k_xm_f);
		u32 csr;
		asm volatile("stmxcsr %0" : "=m"(csr));
		CHECK_EQ(csr & 4, 4);
		csr = 0x1f80;
		asm volatile("ldmxcsr %0" : : "m"(csr));
		if (!user || is_qemu()) {
			wcr4(rcr4() & ~CR4_OSXMM);
			s = user ? ustate(u_xm) : kstate(k_xm);
			trap_run(&s, &T);
			if (hw())
				KNOWN(T.vector == 6, "CR4.OSXMMEXCPT clear still gives #XM, not #UD");
			wcr4(rcr4() | CR4_OSXMM);
			asm volatile("ldmxcsr %0" : : "m"(csr));
		}
	}
	return 0;
}
