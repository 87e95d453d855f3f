/*
 * Where a serial port or the debug console goes on the host: the SPEC of
 * --serial and --debugcon.
 */
#ifndef VMM_SERIAL_SPEC_H
#define VMM_SERIAL_SPEC_H

#include <stdio.h>
#include "vmm/config.h"

/* 0, or -EINVAL with one line in err. */
int serial_spec_parse(const char *spec, struct serial_config *sc, char *err, size_t errlen);
void serial_spec_list(FILE *out);

#endif
