/*
 * Messages and traces.
 *
 * Everything here may be called from the vCPU path (an executor with the
 * guest's SSE state live in the registers): it formats with base/fmt.c and
 * writes with a raw system call.  No libc, no malloc, no floating point.
 *
 * Messages for the user go to stderr as one line "ringer: ...".  Traces are
 * by category (base/trace.def), switched by --trace=a,b.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>
#include "base/types.h"

enum trace_category {
#define TRACE(name, help) TRACE_##name,
#include "base/trace.def"
#undef TRACE
	TRACE_COUNT
};

/* Bit mask of enabled categories; set once before the executor is forked. */
extern u32 trace_mask;

static inline bool trace_on(enum trace_category c) { return (trace_mask >> c) & 1; }

/* One line on stderr, prefixed "ringer: ". */
void log_error(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_warn(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_info(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Raw text without prefix or newline (listings, dumps). */
void log_raw(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_vraw(const char *fmt, va_list ap);

#define trace(cat, ...) \
	do { if (trace_on(TRACE_##cat)) log_trace(TRACE_##cat, __VA_ARGS__); } while (0)
void log_trace(enum trace_category c, const char *fmt, ...) PRINTF_LIKE(2, 3);

/*
 * Parse "a,b,c" (or "all") into trace_mask.  On an unknown name returns the
 * offending token's offset in `list`, else -1.
 */
int trace_parse(const char *list);
void trace_list(void (*print)(const char *name, const char *help));

/* Where lines go: default is write(2) to fd 2. */
extern void (*log_sink)(const char *text, size_t len);

#endif
