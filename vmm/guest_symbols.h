/*
 * Names for the addresses of one machine's guest: from the file that the user
 * gave, else from the running kernel's own memory.
 */
#ifndef VMM_GUEST_SYMBOLS_H
#define VMM_GUEST_SYMBOLS_H

#include "vmm/symbols.h"

struct vcpu;
struct guest_symbols;

/*
 * `given` may be NULL and is borrowed.  Call before the fork: the object is in
 * private memory, so that each process has its own copy and finds for itself.
 * NULL: out of memory.
 */
struct guest_symbols *guest_symbols_new(struct vcpu *v, const struct symbols *given);
void guest_symbols_free(struct guest_symbols *g);

/*
 * Name of a linear address or NULL; takes the object as void *, for struct
 * bt's hook.  Obeys the vCPU path's rules.
 */
const char *guest_symbols_find(void *opaque, u32 addr, u32 *offset);

/* From now on read the guest's memory as this CPU sees it. */
void guest_symbols_look(struct guest_symbols *g, struct vcpu *v);

/* The machine starts anew: its kernel may be elsewhere. */
void guest_symbols_forget(struct guest_symbols *g);

#endif
