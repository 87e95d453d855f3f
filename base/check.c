/* See base/check.h. */
#include <signal.h>
#include "base/check.h"
#include "base/log.h"
#include "base/sys.h"

void (*check_dump)(void);

void check_failed(const char *expr, const char *file, int line)
{
	void (*dump)(void) = check_dump;

	log_error("internal error: %s:%d: %s", file, line, expr);
	check_dump = NULL;
	if (dump)
		dump();
	sys3(SYS_kill, sys3(SYS_getpid, 0, 0, 0), SIGABRT, 0);
	for (;;)
		sys3(SYS_exit_group, 1, 0, 0);
}
