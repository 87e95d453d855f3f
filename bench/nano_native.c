/*
 * The part of the nanobenchmark that ring 3 can run on the host itself, by the
 * same loops (nano.h), as a 32-bit program.  System calls are the host kernel's
 * getpid, which does more than the guest's handler of three instructions.
 * Arguments: the number of samples, and rows (none: all).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "nano.h"

enum { MAX_SAMPLES = 255, LENGTH = 200000 };

unsigned nano_sum;

LOOP(op_int80, "mov $20, %eax; int $0x80");
LOOP(op_vsyscall, "mov $20, %eax; call *%gs:0x10");

static const struct row {
	const char *name;
	const unsigned char *loop;
	unsigned per;
} rows[] = {
	{ "call_ret", op_call_ret, 16 },
	{ "call_mem", op_call_mem, 16 },
	{ "call_many", op_call_many, 1 },
	{ "call_clash", op_call_clash, 16 },
	{ "pushf_popf", op_pushf_popf, 16 },
	{ "load_ds", op_load_ds, 16 },
	{ "rdtsc", op_rdtsc, 16 },
	{ "cpuid", op_cpuid, 1 },
	{ "vsyscall", op_vsyscall, 1 },
	{ "int80", op_int80, 1 },
};

int main(int argc, char **argv)
{
	static unsigned v[MAX_SAMPLES], loop[MAX_SAMPLES];
	unsigned samples = argc > 1 ? strtoul(argv[1], NULL, 10) : 51, ds;

	samples = samples < 3 ? 3 : samples > MAX_SAMPLES ? MAX_SAMPLES : samples;
	__asm__("mov %%ds, %0" : "=r"(ds));
	for (unsigned k = 0; k < sizeof rows / sizeof *rows; k++) {
		unsigned n = 16, wanted = argc < 3;

		for (int a = 2; a < argc; a++)
			wanted |= strcmp(argv[a], rows[k].name) == 0;
		if (!wanted)
			continue;
		while (n < 1u << 20 && nano_call(rows[k].loop, n, 0, 0, ds) < LENGTH)
			n *= 2;
		for (unsigned i = 0; i < samples; i++) {
			v[i] = nano_call(rows[k].loop, n, 0, 0, ds);
			loop[i] = nano_call(op_loop, n, 0, 0, 0);
		}
		nano_sort(v, samples);
		nano_sort(loop, samples);
		printf("NANO %s %u %u %u %u %u %u ok\n", rows[k].name, samples, n * rows[k].per,
		       v[samples / 2], v[samples / 10], v[samples - 1 - samples / 10], loop[samples / 2]);
	}
	puts("NANO-END");
	return 0;
}
