#define _GNU_SOURCE
/*
 * What does the host charge for the forms that the translator gives its code?
 *
 * Loops of 16, 200 and 2000 short blocks, which fit the CPU's smallest caches and do
 * not: each form beside the one without.  Prints a table of cycles of the TSC a block, medians of 25.
 *
 *   jump      a conditional branch that is not taken, then a jump to the next block, past 24 bytes and more between them:
 *             how a chained block reaches the one that follows it, and what a superblock would save
 *   address   an address-size prefix on a load and a store, as for effective addresses that wrap at 4 GiB
 *   gs        a segment override on them, as for the kernel window
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <x86intrin.h>

#define TURNS 20000
#define STRING(x) #x
#define VALUE(x) STRING(x)

enum { SAMPLES = 25, SIZES = 3 };

#define LOOP(name, count, block) \
	void name(void);							\
	__asm__(".text; .balign 64\n" #name ":\n"				\
		"	mov $" VALUE(TURNS) ", %ecx; mov $1, %eax; mov $3, %edx; lea buffer(%rip), %r8\n" \
		".balign 64\n1:\n	.rept " #count "\n" block "	.endr\n"	\
		"	dec %ecx; jz 9f; jmp 1b\n9:	ret\n")
#define SIZES_OF(name, block) LOOP(name##_16, 16, block); LOOP(name##_200, 200, block); LOOP(name##_2000, 2000, block)

#define WORK   "	add %edx, %esi; lea 5(%rsi), %edi; xor %edi, %edx; test %eax, %eax\n"
#define BRANCH "	.byte 0x0f, 0x84; .long 9f - . - 4\n"		/* jz, in the form that can be patched */
#define GAP    ".skip 24; .balign 16\n"

SIZES_OF(fall_through, WORK BRANCH);
SIZES_OF(jump, WORK BRANCH "	.byte 0xe9; .long 2f - . - 4\n" GAP "2:\n");

#define ACCESS(prefix) "	add %eax, %edx; " prefix "mov 8(%r8), %edi; xor %edi, %edx; " prefix "mov %edx, 16(%r8); lea 1(%rax), %eax\n"

static char buffer[64] __attribute__((used, aligned(64)));	/* below 4 GiB: the program is linked there */

SIZES_OF(plain, ACCESS(""));
SIZES_OF(address, ACCESS(".byte 0x67; "));
SIZES_OF(gs, ACCESS(".byte 0x65; "));			/* whose base is 0 in a 64-bit program */
SIZES_OF(gs_address, ACCESS(".byte 0x65, 0x67; "));

static const unsigned blocks[SIZES] = { 16, 200, 2000 };
#define ROW(text, name) { text, { name##_16, name##_200, name##_2000 } }
static const struct { const char *text; void (*loop[SIZES])(void); } rows[] = {
	ROW("branch not taken, fall through", fall_through),
	ROW("branch not taken, jump to the next block", jump),
	ROW("load and store", plain),
	ROW("with an address-size prefix", address),
	ROW("with a GS prefix", gs),
	ROW("with both", gs_address),
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median_cycles(void (*loop)(void), unsigned count)
{
	double sample[SAMPLES];

	for (int i = 0; i < SAMPLES; i++) {
		uint64_t t = __rdtsc();

		__asm__ volatile("call *%0" : : "r"(loop) : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "memory", "cc");
		sample[i] = (double)(__rdtsc() - t) / TURNS / count;
	}
	qsort(sample, SAMPLES, sizeof *sample, compare);
	return sample[SAMPLES / 2];
}

int main(void)
{
	printf("| cycles of the TSC a block, with so many blocks in the loop |");
	for (int s = 0; s < SIZES; s++)
		printf(" %u |", blocks[s]);
	printf("\n| --- | --- | --- | --- |\n");
	for (unsigned r = 0; r < sizeof rows / sizeof *rows; r++) {
		printf("| %s |", rows[r].text);
		for (int s = 0; s < SIZES; s++)
			printf(" %.2f |", median_cycles(rows[r].loop[s], blocks[s]));
		printf("\n");
	}
	return 0;
}
