/*
 * reset-p92: fast reset, port 0x92 bit 0
 * resets the machine: Ringer --no-reboot ends with status 32.
 * Expect: 32
 * Qemu-expect: 0
 * Expect-output: ok about to reset
 */
#include "rt.h"

int main(void)
{
	group("about to reset");
	CHECK(1);
	group("the machine is still running");
	outb(0x92, inb(0x92) | 1);
	for (u64 t = rdtsc(); in_time(t);)
		;
	fail("no reset");
	return 0;
}
