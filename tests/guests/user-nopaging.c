/*
 * user-nopaging: CPL 3 with paging off: no page protection, segments and privilege as ever.
 * SDM vol. 3, ch. 5.
 */
#include "rt.h"

USNIPPET(u_rw, "", "mov (%esi), %eax; add $1, %eax; mov %eax, (%esi); push %eax; pop %ecx; call 1f; jmp 2f\n1: ret\n2:", "");
USNIPPET(u_hlt, "", "hlt", "");
static volatile u32 word = 41;

int main(void)
{
	group("user code uses all memory");
	struct state s = ustate(u_rw);
	s.esi = (u32)&word;
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(T.s.cs, UCS);
	CHECK_EQ(T.s.ecx, 42);
	CHECK_EQ(word, 42);
	s.esi = 0x700;		/* page 0 */
	wr32(0x700, 7);
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(rd32(0x700), 8);

	group("and stays unprivileged");
	EXPECT_U(u_hlt, 13, 0);

	group("paging turned on, off and on again under it");
	u32 *pd = pg_new();
	for (u32 i = 0; i < 10; i++) {
		pg_on(pd);
		s = ustate(u_rw);
		s.esi = (u32)&word;
		trap_run(&s, &T);
		CHECK_EQ(T.vector, 14);
		CHECK_EQ(T.cr2, (u32)&word);
		pg_off();
		trap_run(&s, &T);
		CHECK_EQ(T.vector, T_DONE);
		CHECK_EQ(word, 43 + i);
	}
	return 0;
}
