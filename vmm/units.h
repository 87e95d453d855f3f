/*
 * Numbers for people: in groups, and scaled with a unit.
 */
#ifndef VMM_UNITS_H
#define VMM_UNITS_H

#include "base/types.h"

#define UNITS_MAX 40		/* bytes that any of these fits in */

void format_grouped(char *buf, size_t size, u64 n);	/* 1234567: "1,234,567" */
void format_bytes(char *buf, size_t size, u64 n);	/* 1536: "1.50 KiB" */
void format_ns(char *buf, size_t size, u64 n);		/* 1500000: "1.50 ms" */

#endif
