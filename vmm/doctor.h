/*
 * What this host offers: `ringer doctor`, and the check that `ringer run` makes.
 */
#ifndef VMM_DOCTOR_H
#define VMM_DOCTOR_H

#include <stdio.h>
#include "base/types.h"

/* Print every finding and what follows from it.  Returns the exit status: 0 if bt can run here. */
int doctor(FILE *out);

/* 0 if this host can run the bt engine; else -ENOTSUP and one line in err that names what is missing. */
int doctor_require_bt(char *err, size_t errlen);

#endif
