/*
 * spin-timeout: a guest that spins with interrupts off cannot keep --timeout from ending it.
 * Args: --timeout 2
 * Expect: 124
 * Expect-output: ok about to spin
 * Engines: ringer
 */
#include "rt.h"

int main(void)
{
	group("about to spin");
	CHECK(1);
	group("still there");
	asm volatile("cli; jmp .");
	return 0;
}
