/*
 * tf-step: single-step traps (#DB, DR6.BS): every instruction of a snippet visited once, at
 * CPL 0 and CPL 3, entered by IRET and by POPF; branches, calls, string instructions (a trap after
 * every iteration), INT n (not stepped into), MOV SS (shadow), POPF clearing TF, faulting instructions.
 * SDM vol. 3, 17.3.2 (single-step), 6.8.3.
 */
#include "rt.h"

static volatile u32 n, eips[64], flags_bad, dr6;
static bool step(struct regs *r)
{
	if (n < ARRAY_SIZE(eips))
		eips[n] = r->eip;
	n++;
	u32 d;
	asm volatile("mov %%dr6, %0" : "=r"(d));
	dr6 = d;
	if (!(d & 0x4000))
		flags_bad++;
	asm volatile("mov %0, %%dr6" : : "r"(0xffff0ff0));
	return true;
}

#define CODE	"1: inc %eax; nop; jmp 2f; nop\n2: call 3f; add $1, %eax; jmp 4f\n3: ret\n4: mov $3, %ecx; mov $udata, %edi\n5: rep stosb"
SNIPPET(k_code, CODE, "nop", "nop");
USNIPPET(u_code, CODE, "nop", "nop");
SNIPPET(k_popf, "pushf; orl $0x100, (%esp); popf", "nop", "nop; pushf; andl $~0x100, (%esp); popf; nop; nop");
USNIPPET(u_popf, "pushf; orl $0x100, (%esp); popf", "nop", "nop; pushf; andl $~0x100, (%esp); popf; nop; nop");
SNIPPET(k_int, "nop", "int $0x60", "nop");
USNIPPET(u_int, "nop", "int $0x60", "nop");
SNIPPET(k_ss, "mov $0x68, %edx; nop; mov %edx, %ss", "nop", "nop");
SNIPPET(k_ud, "nop", "ud2", "");
SNIPPET(k_pushf, "nop", "pushf; pop %eax", "nop");
USNIPPET(u_pushf, "nop", "pushf; pop %eax", "nop");
USNIPPET(u_cpuid, "xor %eax, %eax", "cpuid", "nop");
SNIPPET(k_cpuid, "xor %eax, %eax", "cpuid", "nop");
static bool resume(struct regs *r) { return true; }

static void run(const u8 *code, bool user, bool tf)
{
	n = 0;
	struct state s = user ? ustate(code) : kstate(code);
	if (tf)
		s.eflags |= FL_TF;
	trap_run(&s, &T);
}
static void check(const u32 *list, u32 count, int line)
{
	if (n != count)
		fail("line %d: %u steps, expected %u", line, n, count);
	else
		CHECK(n == count);
	for (u32 i = 0; i < count && i < n; i++)
		if (eips[i] != list[i])
			fail("line %d: step %u at %x, expected %x", line, i, eips[i], list[i]);
}

int main(void)
{
	pg_on(pg_new());
	hooks[1] = step;
	hooks[0x60] = resume;
	idt[0x60] |= 3ull << 45;
	for (int user = 0; user < 2; user++) {
		u32 c = (u32)(user ? u_code : k_code), e = (u32)(user ? u_code_e : k_code_e);
		group(user ? "a walk, CPL 3" : "a walk, CPL 0");
		/* inc(1) nop(1) jmp(2) nop(1) | call(5) add(3) jmp(2) | ret(1) | mov(5) mov(5) rep(2) nop nop int */
		u32 walk[] = { c + 1, c + 2, c + 5, c + 15, c + 10, c + 13, c + 16, c + 21, c + 26, c + 26, c + 26, c + 28, c + 29, c + 30, 0 };
		run(user ? u_code : k_code, user, 1);
		CHECK_EQ(T.vector, T_DONE);
		CHECK_EQ(e, c + 29);
		check(walk, 14, __LINE__);
		CHECK_EQ(T.s.eax, 2);
		CHECK_EQ(flags_bad, 0);
		CHECK_EQ(T.s.eflags & FL_TF, FL_TF);

		group(user ? "TF by POPF, CPL 3" : "TF by POPF, CPL 0");
		u32 f = (u32)(user ? u_popf_f : k_popf_f);
		/* popf itself is not followed by a trap; nop is. popf that clears TF still traps. */
		u32 pf[] = { f + 1, f + 2, f + 3, f + 10, f + 11 };
		run(user ? u_popf : k_popf, user, 0);
		CHECK_EQ(T.vector, T_DONE);
		check(pf, 5, __LINE__);

		group(user ? "INT n, CPL 3" : "INT n, CPL 0");
		f = (u32)(user ? u_int_f : k_int_f);
		run(user ? u_int : k_int, user, 1);
		/* TF is clear in the handler; after its IRET the next instruction is stepped. */
		u32 in[] = { f, f + 3 };
		check(in, 2, __LINE__);

		group(user ? "PUSHF shows TF, CPL 3" : "PUSHF shows TF, CPL 0");
		run(user ? u_pushf : k_pushf, user, 1);
		CHECK_EQ(T.s.eax & FL_TF, FL_TF);
		CHECK_EQ(n, 4);

		group(user ? "CPUID, CPL 3" : "CPUID, CPL 0");
		run(user ? u_cpuid : k_cpuid, user, 1);
		CHECK_EQ(n, 3);
	}
	group("MOV SS hides one step");
	run(k_ss, 0, 1);
	u32 f = (u32)k_ss_f;
	u32 ss[] = { f - 3, f - 2, f + 1, f + 2 };
	KNOWN(n == 4, "no single-step shadow after MOV SS");
	if (n == 4)
		check(ss, 4, __LINE__);

	group("a fault is delivered, not stepped");
	run(k_ud, 0, 1);
	CHECK_TRAP(&T, 6, 0, k_ud_f);
	CHECK_EQ(n, 1);
	CHECK_EQ(T.s.eflags & FL_TF, FL_TF);

	group("no steps when TF is clear");
	run(k_code, 0, 0);
	CHECK_EQ(n, 0);
	return 0;
}
