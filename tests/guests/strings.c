/*
 * strings: REP MOVS and REP STOS of all sizes against a plain loop, where a VMM may have its own way
 * of doing them: in page 0, which a host does not map, over page ends, with operands that overlap
 * by every distance, downwards, and interrupted by a fault in the middle.  SDM vol. 2, REP, MOVS, STOS.
 */
#include "rt.h"

#define LEN 0x3000u		/* pages 0 to 2 */
#define FRAMES 0x300000u	/* what is behind them */

USNIPPET(u_movsb, "", "rep movsb", "");
USNIPPET(u_movsw, "", "rep movsw", "");
USNIPPET(u_movsl, "", "rep movsl", "");
USNIPPET(u_stosb, "", "rep stosb", "");
USNIPPET(u_stosw, "", "rep stosw", "");
USNIPPET(u_stosl, "", "rep stosl", "");
SNIPPET(k_movsb, "", "rep movsb", "");
SNIPPET(k_movsl, "", "rep movsl", "");
SNIPPET(k_stosl, "", "rep stosl", "");

static u8 want[LEN];

static void fill(u8 *p)
{
	for (u32 i = 0; i < LEN; i++)
		p[i] = (u8)(i * 7 + (i >> 8) * 13);
}

static void one(const u8 *code, bool user, bool movs, u32 size, u32 si, u32 di, u32 n, bool down)
{
	struct state s = user ? ustate(code) : kstate(code);
	s32 step = down ? -(s32)size : (s32)size;
	u32 a = 0x8badf00d, i = si, j = di, bad = 0;

	fill(want);
	fill((u8 *)FRAMES);
	for (u32 k = 0; k < n; k++, i += (u32)step, j += (u32)step) {
		u32 element = a;

		if (movs)
			memcpy(&element, want + i, size);
		memcpy(want + j, &element, size);
	}
	s.eax = a, s.ecx = n, s.esi = si, s.edi = di;
	if (down)
		s.eflags |= FL_DF;
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(T.s.ecx, 0);
	CHECK_EQ(T.s.edi, j);
	CHECK_EQ(T.s.esi, movs ? i : si);
	for (u32 k = 0; k < LEN; k++)
		bad += ((u8 *)FRAMES)[k] != want[k];
	CHECK_EQ(bad, 0);
	if (bad)
		out("  size %u, from %x to %x, %u times, %s\n", size, si, di, n, down ? "down" : "up");
}

int main(void)
{
	static const u32 from[] = { 0x10, 0x100, 0xff0, 0xffd, 0x1003 };
	static const s32 ahead[] = { 1, 2, 3, 4, 5, 7, 8, 16, 100, 0x7ff, 0x1000, 0x1001, 0x1004, -1, -4, -7 };
	static const u32 lengths[] = { 0, 1, 2, 5, 63, 700 };
	u32 *pd = pg_new();

	for (u32 i = 0; i < LEN; i += 4096)
		pg_map(pd, i, FRAMES + i, PTE_P | PTE_W | PTE_U);
	pg_on(pd);

	group("operands that overlap, or not, upwards");
	for (u32 f = 0; f < ARRAY_SIZE(from); f++)
		for (u32 d = 0; d < ARRAY_SIZE(ahead); d++)
			for (u32 l = 0; l < ARRAY_SIZE(lengths); l++) {
				u32 di = from[f] + (u32)ahead[d];

				one(u_movsb, true, true, 1, from[f], di, lengths[l], false);
				one(u_movsw, true, true, 2, from[f], di, lengths[l], false);
				one(u_movsl, true, true, 4, from[f], di, lengths[l], false);
				one(k_movsb, false, true, 1, from[f], di, lengths[l], false);
				one(k_movsl, false, true, 4, from[f], di, lengths[l], false);
			}

	group("downwards");
	for (u32 d = 0; d < ARRAY_SIZE(ahead); d++) {
		one(u_movsb, true, true, 1, 0x1500, 0x1500 + (u32)ahead[d], 0x1480, true);
		one(u_movsl, true, true, 4, 0x1500, 0x1500 + (u32)ahead[d], 0x520, true);
	}

	group("stores");
	for (u32 f = 0; f < ARRAY_SIZE(from); f++)
		for (u32 l = 0; l < ARRAY_SIZE(lengths); l++) {
			one(u_stosb, true, false, 1, 0, from[f], lengths[l], false);
			one(u_stosw, true, false, 2, 0, from[f], lengths[l], false);
			one(u_stosl, true, false, 4, 0, from[f], lengths[l], false);
			one(k_stosl, false, false, 4, 0, from[f], lengths[l], false);
		}

	group("a fault in the middle: the registers say how far");
	fill((u8 *)FRAMES);
	struct state s = ustate(u_movsl);
	*pg_pte(pd, 0x2000) &= ~PTE_P;
	invlpg(0x2000);
	s.esi = 0x10, s.edi = 0x1000 + 0x10, s.ecx = 0x800;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 6, u_movsl_f);
	CHECK_EQ(T.cr2, 0x2000);
	CHECK_EQ(T.s.edi, 0x2000);
	CHECK_EQ(T.s.esi, 0x1000);
	CHECK_EQ(T.s.ecx, 0x800 - 0xff0 / 4);
	s = ustate(u_movsb);
	s.esi = 0x1800, s.edi = 0x10, s.ecx = 0x1000;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 4, u_movsb_f);
	CHECK_EQ(T.s.esi, 0x2000);
	CHECK_EQ(T.s.edi, 0x810);
	CHECK_EQ(T.s.ecx, 0x800);
	s = ustate(u_stosl);
	s.edi = 0x1ffe, s.ecx = 2;		/* an element across the end: nothing of it is stored */
	((u8 *)FRAMES)[0x1ffe] = 0x5a;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 6, u_stosl_f);
	CHECK_EQ(((u8 *)FRAMES)[0x1ffe], 0x5a);
	CHECK_EQ(T.s.ecx, 2);
	return 0;
}
