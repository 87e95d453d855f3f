/*
 * code-big: more code than a small translation cache holds: 12,000 generated functions of many
 * blocks, called in order, at random and through a table, three times over, then
 * partly rewritten.  Sums tell whether every one did what it should.
 */
#include "rt.h"

#define N 12000
#define BASE 0x600000u		/* 64 bytes a function: 750 KiB */
static u32 seed = 12345;
static u32 rnd(void) { return seed = seed * 1664525 + 1013904223; }
typedef u32 (*fn)(u32) __attribute__((regparm(1)));
static u32 value[N];

/* f(x) = x + c, in five blocks: add $a; test; jz .+; add $b; jmp; sub $c; call helper; ret */
static void make(u32 i, u32 c)
{
	u8 *p = (u8 *)(BASE + 64 * i);
	u32 a = rnd(), n = 0;
	value[i] = c;
#define B(x) p[n++] = (u8)(x)
#define L(x) do { *(volatile u32 *)(p + n) = (x); n += 4; } while (0)
	B(0x05); L(a);			/* add $a, %eax */
	B(0xa8); B(0x01);		/* test $1, %al */
	B(0x74); B(0x07);		/* jz 1f */
	B(0x2d); L(a - 1);		/* sub $a-1, %eax */
	B(0xeb); B(0x05);		/* jmp 2f */
	B(0x2d); L(a - 1);		/* 1: sub $a-1, %eax */
	B(0xe8); L(3);			/* 2: call 3f */
	B(0xeb); B(0x07); B(0x90);	/* jmp 4f */
	B(0x05); L(c - 1);		/* 3: add $c-1, %eax */
	B(0xc3); B(0x90);
	B(0xc3);			/* 4: ret */
}
static u32 call(u32 i, u32 x) { return ((fn)(BASE + 64 * i))(x); }

int main(void)
{
	u32 sum = 0, expect = 0, bad = 0;
	pg_on(pg_new());
	for (u32 i = 0; i < N; i++)
		make(i, rnd());
	static const char *const names[] = { "in order", "again", "a third time" };
	for (u32 round = 0; round < 3; round++) {
		group(names[round]);
		for (u32 i = 0; i < N; i++) {
			sum = call(i, sum);
			expect += value[i];
			bad += sum != expect;
		}
		CHECK_EQ(sum, expect);
		CHECK_EQ(bad, 0);
	}
	group("at random");
	for (u32 k = 0; k < 30000; k++) {
		u32 i = rnd() % N;
		sum = call(i, sum);
		expect += value[i];
	}
	CHECK_EQ(sum, expect);
	group("rewritten here and there while they run");
	for (u32 k = 0; k < 4000; k++) {
		u32 i = rnd() % 500;
		if (k % 5 == 0)
			make(i, rnd());
		sum = call(i, sum);
		expect += value[i];
		bad += sum != expect;
	}
	CHECK_EQ(sum, expect);
	CHECK_EQ(bad, 0);
	group("a small hot loop afterwards");
	for (u32 k = 0; k < 20000; k++)
		sum = call(3, sum);
	expect += 20000 * value[3];
	CHECK_EQ(sum, expect);
	return 0;
}
