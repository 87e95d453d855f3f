/*
 * clock-marks SECONDS: twenty lines "CLOCK-A NANOSECONDS" of the monotonic
 * clock, a sleep of SECONDS, twenty lines "CLOCK-B NANOSECONDS".  The host
 * stamps them with its own clock (tests/run-boot).
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void marks(char which)
{
	for (int i = 0; i < 20; i++) {
		struct timespec ts;

		clock_gettime(CLOCK_MONOTONIC, &ts);
		printf("CLOCK-%c %lld\n", which, ts.tv_sec * 1000000000LL + ts.tv_nsec);
		fflush(stdout);
		usleep(20000);
	}
}

int main(int argc, char **argv)
{
	marks('A');
	sleep(argc > 1 ? atoi(argv[1]) : 20);
	marks('B');
	return 0;
}
