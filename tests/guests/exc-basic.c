/*
 * exc-basic: contributory and benign exceptions that need no special machine
 * state, at CPL 0 and CPL 3 with paging off: vector, error code, saved EIP
 * (faults at the instruction, traps after it), registers untouched.
 * SDM vol. 3, 6.15.
 */
#include "rt.h"

USNIPPET(s_div0, "mov $7, %eax; xor %edx, %edx; xor %ecx, %ecx", "div %ecx", "");
USNIPPET(s_divmem, "mov $7, %eax; xor %edx, %edx; movl $0, udata", "divl udata", "");
USNIPPET(s_divov, "mov $7, %edx; mov $7, %ecx", "div %ecx", "");
USNIPPET(s_idivov, "mov $0x80000000, %eax; cdq; mov $-1, %ecx", "idiv %ecx", "");
USNIPPET(s_aam0, "mov $0x1234, %eax", "aam $0", "");
USNIPPET(s_int3, "", "int3", "");
USNIPPET(s_into, "mov $0x7fffffff, %eax; inc %eax", "into", "");
USNIPPET(s_into_no, "xor %eax, %eax; into", "mov $1, %eax", "");
USNIPPET(s_ud2, "", "ud2", "");
USNIPPET(s_udlock, "", ".byte 0xf0; mov %eax, %ecx", "");
USNIPPET(s_udlea, "", ".byte 0x8d, 0xc0", "");
USNIPPET(s_udmovcs, "xor %eax, %eax", ".byte 0x8e, 0xc8", "");
USNIPPET(s_bound, "movl $10, udata; movl $20, udata + 4; mov $21, %eax", "bound %eax, udata", "");
USNIPPET(s_bound_ok, "movl $-10, udata; movl $20, udata + 4; mov $-10, %eax; bound %eax, udata; mov $20, %eax", "bound %eax, udata", "");
USNIPPET(s_long, "", ".fill 15, 1, 0x66; nop", "");
USNIPPET(s_int41, "", "int $0x41", "");
SNIPPET(s_hltuser, "", "hlt", "");

int main(void)
{
	for (int user = 0; user < 2; user++) {
		struct state (*st)(const void *) = user ? ustate : kstate;
#define RUN(name, vec, err, at) do { struct state s_ = st(name); s_.ebx = 0x1234; s_.ebp = 0x89abcdef; trap_run(&s_, &T); \
		CHECK_TRAP(&T, vec, err, at); CHECK_EQ(T.s.ebx, 0x1234); CHECK_EQ(T.s.ebp, 0x89abcdef);	\
		CHECK_EQ(T.s.esp, s_.esp); CHECK_EQ(T.s.cs, s_.cs); CHECK_EQ(T.s.ss & 0xffff, s_.ss); } while (0)
		group(user ? "#DE at CPL 3" : "#DE at CPL 0");
		RUN(s_div0, 0, 0, s_div0_f);
		CHECK_EQ(T.s.eax, 7);
		CHECK_EQ(T.s.ecx, 0);
		RUN(s_divmem, 0, 0, s_divmem_f);
		RUN(s_divov, 0, 0, s_divov_f);
		CHECK_EQ(T.s.edx, 7);
		RUN(s_idivov, 0, 0, s_idivov_f);
		CHECK_EQ(T.s.edx, -1);
		RUN(s_aam0, 0, 0, s_aam0_f);
		CHECK_EQ(T.s.eax, 0x1234);
		group(user ? "#BP #OF at CPL 3" : "#BP #OF at CPL 0");
		RUN(s_int3, 3, 0, s_int3_e);
		RUN(s_into, 4, 0, s_into_e);
		CHECK_EQ(T.s.eax, 0x80000000);
		RUN(s_into_no, T_DONE, 0, s_into_no_e + 2);
		CHECK_EQ(T.s.eax, 1);
		group(user ? "#UD at CPL 3" : "#UD at CPL 0");
		RUN(s_ud2, 6, 0, s_ud2_f);
		if (hw())		/* hw-only: TCG 7.2 ignores LOCK before MOV */
			RUN(s_udlock, 6, 0, s_udlock_f);
		RUN(s_udlea, 6, 0, s_udlea_f);
		RUN(s_udmovcs, 6, 0, s_udmovcs_f);
		group(user ? "#BR at CPL 3" : "#BR at CPL 0");
		RUN(s_bound, 5, 0, s_bound_f);
		RUN(s_bound_ok, T_DONE, 0, s_bound_ok_e + 2);
		group(user ? "#GP at CPL 3" : "#GP at CPL 0");
		RUN(s_long, 13, 0, s_long_f);		/* longer than 15 bytes */
		if (user) {
			RUN(s_int41, 13, 0x41 * 8 + 2, s_int41_f);	/* gate DPL 0 */
			RUN(s_hltuser, 13, 0, s_hltuser_f);
		} else {
			RUN(s_int41, 0x41, 0, s_int41_e);
		}
	}
	return 0;
}
