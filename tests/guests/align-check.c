/*
 * align-check: #AC(0) at CPL 3 with EFLAGS.AC and CR0.AM for misaligned words, doublewords and quadwords;
 * not at CPL 0, not without either bit.  SDM vol. 3, 6.15, interrupt 17.
 */
#include "rt.h"

USNIPPET(u4, "", "mov udata + 1, %eax", "");
USNIPPET(u2, "", "mov udata + 1, %ax", "");
USNIPPET(u1, "", "mov udata + 1, %al", "");
USNIPPET(uw, "", "mov %eax, udata + 2", "");
USNIPPET(upush, "sub $2, %esp", "push %eax", "add $6, %esp");
USNIPPET(uq, "", "fldl udata + 4", "fninit");
SNIPPET(k4, "", "mov udata + 1, %eax", "");
static struct state s;

int main(void)
{
	pg_on(pg_new());
	wcr0((rcr0() | CR0_AM | CR0_NE) & ~(CR0_EM | CR0_TS));
	group("without EFLAGS.AC");
	s = ustate(u4);
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);

	group("with EFLAGS.AC and CR0.AM");
	if (hw()) {			/* hw-only: TCG has no alignment checks on data */
#define AC(n, v) do { s = ustate(n); s.eflags |= FL_AC; trap_run(&s, &T); if (v) CHECK_TRAP(&T, 17, 0, n##_f); else CHECK_EQ(T.vector, T_DONE); } while (0)
		AC(u4, 1);
		CHECK_EQ(T.s.eflags & FL_AC, FL_AC);
		AC(u2, 1);
		AC(u1, 0);
		AC(uw, 1);
		AC(upush, 1);
		AC(uq, 1);
	} else {
		skip("hw-only");
	}

	group("CR0.AM clear");
	wcr0(rcr0() & ~CR0_AM);
	s = ustate(u4);
	s.eflags |= FL_AC;
	trap_run(&s, &T);
	KNOWN(T.vector == T_DONE, "the host has CR0.AM set, direct execution cannot clear it");
	wcr0(rcr0() | CR0_AM);

	group("never at CPL 0");
	s = kstate(k4);
	s.eflags |= FL_AC;
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	return 0;
}
