/*
 * debug-regs: hardware breakpoints: execution (fault, before the instruction, RF), data
 * write and read/write watchpoints (trap), lengths, DR6/DR7, general detect (DR7.GD),
 * DR4/DR5 under CR4.DE.  SDM vol. 3, 17.2–17.3.
 *
 * Hits of DR0–DR3 may be a known limitation; the registers themselves, GD and DE are not.
 */
#include "rt.h"

static volatile u32 n, at, dr6;
static bool db(struct regs *r)
{
	n++;
	at = r->eip;
	asm volatile("mov %%dr6, %0" : "=r"(*(u32 *)&dr6));
	asm volatile("mov %0, %%dr6" : : "r"(0xffff0ff0));
	r->eflags |= FL_RF;
	return true;
}
static void set(u32 i, u32 addr, u32 rw, u32 len)
{
	u32 v = 0x400 | 2u << (2 * i) | rw << (16 + 4 * i) | len << (18 + 4 * i);
	switch (i) {
	case 0: asm volatile("mov %0, %%dr0" : : "r"(addr)); break;
	case 1: asm volatile("mov %0, %%dr1" : : "r"(addr)); break;
	case 2: asm volatile("mov %0, %%dr2" : : "r"(addr)); break;
	default: asm volatile("mov %0, %%dr3" : : "r"(addr)); break;
	}
	asm volatile("mov %0, %%dr7" : : "r"(v));
}
static void off(void) { asm volatile("mov %0, %%dr7" : : "r"(0x400)); }

SNIPPET(k_ex, "nop; inc %eax", "inc %eax", "inc %eax");
USNIPPET(u_ex, "nop; inc %eax", "inc %eax", "inc %eax");
SNIPPET(k_wr, "nop", "movl $5, udata", "nop");
USNIPPET(u_wr, "nop", "movl $5, udata", "nop");
SNIPPET(k_rd, "nop", "mov udata, %ebx", "nop");
SNIPPET(k_gd, "nop", "mov %dr0, %eax", "nop");
SNIPPET(k_dr4, "nop", "mov %dr4, %eax", "nop");

static void run(const u8 *code, bool user)
{
	n = 0;
	struct state s = user ? ustate(code) : kstate(code);
	trap_run(&s, &T);
}

#define HIT(c) KNOWN(c, "hardware breakpoints do not fire")

int main(void)
{
	pg_on(pg_new());
	hooks[1] = db;

	group("registers read back");
	set(0, 0x12345678, 0, 0);
	set(1, 0x23456789, 1, 3);
	u32 v;
	asm volatile("mov %%dr0, %0" : "=r"(v));
	CHECK_EQ(v, 0x12345678);
	asm volatile("mov %%dr1, %0" : "=r"(v));
	CHECK_EQ(v, 0x23456789);
	asm volatile("mov %%dr7, %0" : "=r"(v));
	CHECK_EQ(v, 0x00d00408);
	asm volatile("mov %0, %%dr6" : : "r"(0xffff0ff0));
	asm volatile("mov %%dr6, %0" : "=r"(v));
	CHECK_EQ(v, 0xffff0ff0);
	off();

	group("execution breakpoint at CPL 0");
	set(0, (u32)k_ex_f, 0, 0);
	run(k_ex, 0);
	off();
	HIT(n == 1 && (at) == (u32)k_ex_f && (dr6 & 0xf) == 1);
	CHECK_EQ(T.s.eax, 3);

	group("execution breakpoint at CPL 3");
	set(2, (u32)u_ex_f, 0, 0);
	run(u_ex, 1);
	off();
	HIT(n == 1 && (at) == (u32)u_ex_f && (dr6 & 0xf) == 4);
	CHECK_EQ(T.s.eax, 3);

	group("data write");
	set(1, (u32)udata, 1, 3);
	run(k_wr, 0);
	HIT(n == 1 && (at) == (u32)k_wr_e && (dr6 & 0xf) == 2);
	run(u_wr, 1);
	HIT(n == 1 && (at) == (u32)u_wr_e);
	run(k_rd, 0);
	CHECK_EQ(n, 0);
	off();

	group("data read or write");
	set(3, (u32)udata + 2, 3, 0);
	run(k_rd, 0);
	HIT(n == 1 && (at) == (u32)k_rd_e);
	run(k_wr, 0);
	HIT(n == 1);
	off();
	run(k_wr, 0);
	CHECK_EQ(n, 0);

	group("general detect");
	hooks[1] = 0;
	asm volatile("mov %0, %%dr7" : : "r"(0x2400));
	if (hw()) {			/* hw-only: TCG has no general detect */
		EXPECT_K(k_gd, 1, 0);
		asm volatile("mov %%dr6, %0" : "=r"(v));
		CHECK_EQ(v & 0x2000, 0x2000);
	} else {
		asm volatile("mov %0, %%dr7" : : "r"(0x400));
	}
	asm volatile("mov %%dr7, %0" : "=r"(v));
	CHECK_EQ(v & 0x2000, 0);		/* cleared on entry to the handler */

	group("DR4 with CR4.DE is #UD");
	wcr4(rcr4() | CR4_DE);
	EXPECT_K(k_dr4, 6, 0);
	wcr4(rcr4() & ~CR4_DE);
	struct state s = kstate(k_dr4);
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	return 0;
}
