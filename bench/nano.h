/*
 * What the nanobenchmark's two programs share: the guest (nano.c) and the
 * program for the host (nano_native.c).
 *
 * An operation is measured by a loop that begins and ends with RDTSC and leaves
 * the difference in EAX.  The loop's registers:
 *     ECX   iterations left: an operation that needs ECX puts it back
 *     ESI, EDI, EBX   as the row's preparation says
 *     EBP   zero at first: the sum of what an operation has read
 *     EAX, EDX   free
 * A line of output: NANO NAME SAMPLES OPERATIONS MEDIAN P10 P90 LOOP VERDICT, in
 * cycles of all operations of a sample together; LOOP is what the same loop
 * without the operation took.  VERDICT is ok, or what makes no sense.
 */
#ifndef NANO_H
#define NANO_H

#define LOOP_IN(section, name, end, body)						\
	asm(".pushsection " section "\n\t.balign 64\n\t.globl " #name "\n"		\
	    #name ":\n\trdtsc\n\tpush %eax\n\t.balign 16\n"				\
	    "1:\n\t" body "\n\tdec %ecx\n\tjnz 1b\n"					\
	    "\trdtsc\n\tpop %edx\n\tsub %edx, %eax\n\t" end "\n\t.popsection");		\
	extern const unsigned char name[]
#define LOOP(name, body) LOOP_IN(".text", name, "ret", body)
#define REPT(n, body) ".rept " #n "\n\t" body "\n\t.endr"

/* What ring 3 can do as well as ring 0. */
LOOP(op_loop, "");
LOOP(op_call_ret, REPT(16, "call nano_ret"));
LOOP(op_call_mem, REPT(16, "call *nano_targets"));
LOOP(op_call_many, "and $7, %edx; call *nano_targets(,%edx,4); inc %edx");
LOOP(op_call_clash, REPT(8, "call *nano_clash; call *nano_clash + 4"));
LOOP(op_pushf_popf, REPT(16, "pushf; popf"));
LOOP(op_load_ds, REPT(16, "mov %ebx, %ds"));
LOOP(op_cpuid, "mov %ecx, %esi; mov %edi, %ebp; xor %eax, %eax; cpuid; mov %ebp, %edi; mov %esi, %ecx; xor %ebp, %ebp");
LOOP(op_rdtsc, REPT(16, "rdtsc"));

/* Eight functions that return; nano_ret is the first. */
asm(".pushsection .text\n\t.balign 16\nnano_ret:\n\t"
    ".rept 8\n\tret\n\t.balign 16, 0x90\n\t.endr\n\t.popsection\n\t"
    /* Two whose addresses have the low 16 bits in common. */
    ".pushsection .text\n\t.balign 16\nnano_near: ret\n\t.skip 65535, 0x90\nnano_far: ret\n\t.popsection\n\t"
    ".pushsection .data\n\t.balign 64\nnano_clash: .long nano_near, nano_far\nnano_targets:\n\t"
    ".irp i, 0, 1, 2, 3, 4, 5, 6, 7\n\t.long nano_ret + 16 * \\i\n\t.endr\n\t.popsection");

/* unsigned nano_call(op, n, esi, edi, ebx): the time; *nano_sum is EBP in the end. */
asm(".pushsection .text\nnano_call:\n\t"
    "push %ebp; push %ebx; push %esi; push %edi\n\t"
    "mov 20(%esp), %eax; mov 24(%esp), %ecx; mov 28(%esp), %esi; mov 32(%esp), %edi; mov 36(%esp), %ebx\n\t"
    "xor %ebp, %ebp; xor %edx, %edx\n\t"
    "call *%eax\n\t"
    "mov %ebp, nano_sum\n\t"
    "pop %edi; pop %esi; pop %ebx; pop %ebp; ret\n\t.popsection");
unsigned nano_call(const void *op, unsigned n, unsigned esi, unsigned edi, unsigned ebx);
extern unsigned nano_sum;

static inline void nano_sort(unsigned *v, unsigned n)
{
	for (unsigned i = 1; i < n; i++)
		for (unsigned j = i; j && v[j] < v[j - 1]; j--) {
			unsigned t = v[j];

			v[j] = v[j - 1];
			v[j - 1] = t;
		}
}

#endif
