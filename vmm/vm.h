/*
 * struct vm: one virtual machine.  Lives at the start of the shared arena, so
 * that the monitor and its executors see the same machine; pointers in it are
 * valid in all of them because the arena is mapped before the fork.
 *
 * Host resources (file descriptors, the terminal) are the monitor's and are in
 * struct monitor (vmm/monitor.h), not here.
 */
#ifndef VMM_VM_H
#define VMM_VM_H

#include "base/clock.h"
#include "base/counters.h"
#include "base/types.h"
#include "io/chardev.h"
#include "io/pc.h"
#include "mmu/phys.h"
#include "vmm/config.h"

enum stop_reason {
#define STOP(name, status, text) STOP_##name,
#include "vmm/stop.def"
#undef STOP
	STOP_COUNT
};

struct vcpu;

#define VM_CPUS_MAX 8

struct vm {
	struct config cfg;
	struct clock clock;
	struct phys_map phys;
	struct counters counters;
	struct pc *pc;
	struct vcpu *vcpu[VM_CPUS_MAX];
	struct chardev serial[SERIAL_MAX];
	struct chardev debugcon;

	/* Set once (first reason wins) by vm_stop; the executor returns, the monitor acts. */
	u32 stop_reason;	/* enum stop_reason */
	s32 stop_code;		/* for DEBUG_EXIT: the process's exit status */
	u32 stats_request;	/* monitor asks the executor to bring counters up to date */
	u32 stats_done;
	int event_fd;		/* eventfd: an executor wakes the monitor */
	int executor_pid;
	int executor_tid;
};

/*
 * Building and running (vmm/machine.c).
 */
/* The whole machine: arena, RAM, devices, CPU, engine.  NULL with one line in err. */
struct vm *vm_create(const struct config *cfg, char *err, size_t errlen);
/* (Re)load the boot image and set the CPU to its entry state.  Power-on and after a reset. */
int vm_boot(struct vm *vm, char *err, size_t errlen);
/* Fork the executor; it starts running the guest at once.  Negative errno. */
int vm_start(struct vm *vm);
/* From any process: stop with this reason unless already stopped.  Wakes everyone. */
void vm_stop(struct vm *vm, enum stop_reason reason, int code);
/* Monitor: reap the executor after a stop (kills it after a grace period). */
void vm_join(struct vm *vm);
/* Monitor: kick the CPU out of guest code so that it looks at its interrupt state. */
void vm_kick(struct vm *vm, unsigned cpu);
void vm_destroy(struct vm *vm);

/*
 * Monitor: bring the counters of section `memory` up to date.  What processes
 * use is the most that was seen by the quick _processes, called now and then,
 * because an executor that has ended uses nothing.
 */
void vm_measure_memory(struct vm *vm);
void vm_measure_processes(struct vm *vm);

/*
 * Monitor, with the executor stopped: the blocks executed most, most first.
 * Returns how many; at most PROFILE_MAX.  Needs cfg.profile.
 */
#define PROFILE_MAX 40u
struct profile_row {
	u32 guest_eip, offset;
	u64 count;		/* executions */
	u64 ns;			/* 0: not measured */
	const char *symbol;	/* NULL: unknown; lives as long as the machine */
};
unsigned vm_profile(struct vm *vm, struct profile_row *out, unsigned max);

const char *stop_text(enum stop_reason r);
int stop_status(const struct vm *vm);	/* the process exit status for vm's stop reason and code */

#endif
