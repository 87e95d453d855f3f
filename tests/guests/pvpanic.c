/*
 * pvpanic: the port offers both events; a crash kernel that is loaded ends nothing, a panic ends
 * Ringer with status 34.  QEMU, docs/specs/pvpanic.
 * Expect: 34
 * Expect-output: ok about to panic
 * Qemu-args: -device pvpanic
 * Qemu-expect: 0
 */
#include "rt.h"

int main(void)
{
	group("about to panic");
	CHECK(inb(0x505) == 3);
	outb(0x505, 0);
	outb(0x505, 2);
	CHECK(inb(0x505) == 3);
	group("the machine is still running");
	outb(0x505, 1);
	for (u64 t = rdtsc(); in_time(t);)
		;
	fail("the panic was not noticed");
	return 0;
}
