/*
 * The statistics' counters.  One row in counters.def is one u64 in the shared
 * arena, one line in the report and one JSON key.
 */
#ifndef BASE_COUNTERS_H
#define BASE_COUNTERS_H

#include "base/types.h"

struct counters {
#define SECTION(name, title)
#define COUNTER(name, unit, help) u64 name;
#include "base/counters.def"
#undef COUNTER
#undef SECTION
};

#endif
