/*
 * hlt-timeout: HLT with IF = 0 sleeps for ever; --timeout ends the run with status 124.
 * Args: --timeout 2
 * Expect: 124
 * Expect-output: ok about to sleep
 * Engines: ringer
 */
#include "rt.h"

int main(void)
{
	group("about to sleep");
	CHECK(1);
	group("awake again");
	asm volatile("cli; hlt");
	fail("HLT with IF = 0 returned");
	return 0;
}
