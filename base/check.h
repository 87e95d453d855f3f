/*
 * CHECK: an invariant of our own; its failure is a bug in Ringer and ends the
 * process with a line that names it.  Never use it on guest-controlled data.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

_Noreturn void check_failed(const char *expr, const char *file, int line);

/* Called by check_failed before it aborts; prints the machine's state. */
extern void (*check_dump)(void);

#define CHECK(e) ((e) ? (void)0 : check_failed(#e, __FILE__, __LINE__))

#endif
