/*
 * The command line of `ringer run`: from argv to struct config.
 */
#ifndef VMM_OPTIONS_H
#define VMM_OPTIONS_H

#include <stdio.h>
#include "vmm/config.h"

enum options_verdict {
	OPTIONS_OK,
	OPTIONS_LISTED,		/* help or a list was asked for and printed: status 0 */
	OPTIONS_USAGE,		/* not understood: EXIT_USAGE */
	OPTIONS_IMPOSSIBLE,	/* understood, and cannot be had: EXIT_HOST */
};

enum option_argument { OPTION_NO, OPTION_YES, OPTION_MAYBE };

struct option_row {
	const char *name, *alias;	/* alias: NULL or another spelling */
	char letter;			/* 0: none */
	enum option_argument argument;
	const char *metavar, *help;
};

/*
 * Parse argv[0..argc), the words after `run`, over the defaults.  Lists go to
 * `out`.  Unless the verdict is OK or LISTED, err holds one line without
 * prefix or newline.  Strings in cfg are argv's or live as long as the process.
 * Sets trace_mask (base/log.h).
 */
enum options_verdict options_parse(struct config *cfg, int argc, char **argv, FILE *out,
				   char *err, size_t errlen);

void options_default(struct config *cfg);
void options_help(FILE *out);

/* The table, in the order of vmm/options.def. */
const struct option_row *options_table(size_t *n);

#endif
