/*
 * Pausing a machine, resuming it, and moving it from one engine to the other.
 */
#include <errno.h>
#include <stdio.h>
#include "vmm/vm.h"

int vm_pause(struct vm *vm, char *err, size_t errlen)
{
	snprintf(err, errlen, "pausing is being written");
	return -ENOSYS;
}

int vm_resume(struct vm *vm, char *err, size_t errlen)
{
	snprintf(err, errlen, "resuming is being written");
	return -ENOSYS;
}

int vm_switch(struct vm *vm, enum engine_mode to, char *err, size_t errlen)
{
	snprintf(err, errlen, "switching is being written");
	return -ENOSYS;
}
