/*
 * triple-fault-user: a page fault in user mode whose kernel stack is not mapped, with no
 * double-fault task: shutdown.  SDM vol. 3, 6.15.
 * Expect: 33
 * Qemu-expect: 0
 * Expect-output: ok about to crash
 */
#include "rt.h"

USNIPPET(u_pf, "", "mov 0x80000000, %eax", "");

int main(void)
{
	pg_on(pg_new());
	group("about to crash");
	CHECK(1);
	group("the machine is still running");
	out("going\n");
	/* trap_enter sets esp0: undo it from the user's first instruction on by an unmapped ss0:esp0 in the TSS. */
	asm volatile("mov $0x90000000, %%eax; mov %%eax, tss + 4; push %0; push %1; push $0x202; push %2; push %3; iret"
		     : : "i"(UDS), "r"((u32)ustack + 4000), "i"(UCS), "r"((u32)u_pf) : "eax", "memory");
	return 0;
}
