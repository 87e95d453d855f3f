/*
 * The monitor: the process that the user started.  Owns the terminal, the back
 * ends and the event loop, and supervises the executors.
 */
#ifndef VMM_MONITOR_H
#define VMM_MONITOR_H

#include "vmm/vm.h"

struct monitor;

/*
 * Take the host resources that vm->cfg asks for and attach them to the
 * machine's devices.  Before the first executor, so that it inherits the
 * doorbells.  NULL with one line in err and nothing left behind.
 */
struct monitor *monitor_create(struct vm *vm, char *err, size_t errlen);

/*
 * Run the machine, which vm_boot has prepared, through all its resets to its
 * end.  Returns the process's exit status; the terminal is as it was.
 */
int monitor_run(struct monitor *m);

void monitor_destroy(struct monitor *m);

#endif
