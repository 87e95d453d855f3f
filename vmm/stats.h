/*
 * The statistics report: what base/counters.def counts, with ratios, for people
 * (stderr) and for programs (JSON).
 */
#ifndef VMM_STATS_H
#define VMM_STATS_H

#include <jansson.h>
#include <stdio.h>
#include "vmm/vm.h"

/* The hottest blocks, for the reports to come.  The rows are copied, the names are not. */
void stats_set_profile(const struct profile_row *rows, size_t n);

/*
 * The report as text, through print (log_raw in the monitor).
 */
void stats_print(const struct vm *vm, const struct config *cfg, void (*print)(const char *fmt, ...));
/* The report as JSON, the caller's to release; NULL: out of memory. */
json_t *stats_json(const struct vm *vm, const struct config *cfg);
/* ... into a file.  0, or negative errno. */
int stats_write_json(const struct vm *vm, const struct config *cfg, FILE *out);

#endif
