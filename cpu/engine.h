/*
 * The engine interface: what turns an architectural state (struct vcpu, and the
 * FPU image in struct exec) into a running guest.  Two implementations: bt
 * (binary translation, bt/) and hw (KVM, cpu/kvm*.c).
 *
 * An engine lives in an executor.  Between two executors, whatever their
 * engines, the machine is in the arena and nowhere else: that is what makes a
 * pause or a switch possible.
 */
#ifndef CPU_ENGINE_H
#define CPU_ENGINE_H

#include "cpu/exec.h"

struct engine {
	const char *name;
	/* Set up the host: signals, timer, address space.  Outside the cage, so it trusts nothing the last executor left.  Negative errno. */
	int (*attach)(struct exec *x, struct space *s);
	/* In the cage: take the machine's state over from the arena.  Negative errno, with the arena as it was. */
	int (*load)(struct exec *x);
	/* Run the guest until platform->leave. */
	void (*run)(struct exec *x);
	/* Be another space of the pool: run the guest whenever the vCPU comes here.  Does not return.  NULL: the engine has one space. */
	void (*serve)(struct exec *x, struct space *s);
	/* Put all of the CPU's state back into the arena, at an instruction boundary.  Negative errno. */
	int (*detach)(struct exec *x);
	/* The vCPU's registers as they are now, for a dump; best effort, from anywhere. */
	void (*sync)(struct exec *x);
	/* Bring the counters up to date that the engine keeps elsewhere. */
	void (*count)(struct exec *x);
	/* What the engine knows for a crash dump, after the registers; may be NULL. */
	void (*dump)(struct exec *x);
};

/* ---- event.c: what both engines do with the world outside the CPU ---- */

/* The monitor's announcements, and the timers that are due. */
void event_poll(struct exec *x);
/* HLT: sleep until `take`, which is called for whatever happens, has ended it; or the platform wants the engine to leave. */
void event_idle(struct exec *x, void (*take)(struct exec *x));

/* ---- dump.c ---- */

/* The registers, and the code at EIP, to the log. */
void vcpu_dump(struct vcpu *v);

#endif
