/*
 * triple-fault: an exception with an empty IDT shuts the CPU down: Ringer ends with status 33.
 * SDM vol. 3, 6.15, interrupt 8.
 * Expect: 33
 * Qemu-expect: 0
 * Expect-output: ok about to crash
 */
#include "rt.h"

int main(void)
{
	group("about to crash");
	CHECK(1);
	group("the machine is still running");
	load_idt(0, 0);
	asm volatile("ud2");
	return 0;
}
