/*
 * A printf for places where libc's may not be called (see base/log.h).
 * Supports flags "0" and "-", width, "l"/"ll"/"z", and d i u x X c s p %.
 */
#ifndef BASE_FMT_H
#define BASE_FMT_H

#include <stdarg.h>
#include "base/types.h"

/* Like vsnprintf: returns the length it would have had; always terminates. */
size_t fmt_vsn(char *buf, size_t size, const char *fmt, va_list ap);
size_t fmt_sn(char *buf, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
