/*
 * How much memory mappings and processes really take, for the statistics.
 */
#ifndef VMM_MEMORY_USE_H
#define VMM_MEMORY_USE_H

#include "base/types.h"

/* Bytes of a shared mapping that exist; p is page-aligned. */
u64 memory_touched(void *p, u64 len);
/* Bytes of a file (a memfd) that exist. */
u64 memory_of_file(int fd);
/* Anonymous memory of a process, its part of what forks share, and its page tables; 0 if it is gone. */
u64 memory_of_process(int pid);

#endif
