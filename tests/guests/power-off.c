/*
 * power-off: ACPI S5 (SLP_TYPa 5, SLP_EN) through PM1a_CNT ends the machine with status 0.
 * The port is the one Ringer's FADT names; QEMU's default machine has no ACPI port there without
 * firmware, so only the way out is tested for it.  ACPI 6.4, 4.8.3.2.
 * Expect: 0
 * Expect-output: ok about to power off
 * Engines: ringer
 */
#include "rt.h"

int main(void)
{
	group("about to power off");
	CHECK(1);
	group("the machine is still running");
	outw(0x604, 0x2000 | 5 << 10);
	for (u64 t = rdtsc(); in_time(t);)
		;
	fail("PM1a_CNT did nothing");
	return 0;
}
