/*
 * struct vm: one virtual machine, as a process sees it.
 *
 * The monitor's struct vm is in its own memory; an executor has the copy that
 * the fork made.  What both touch is in the arena, shared memory mapped at the
 * same address before the fork: struct vm_shared, the devices, the vCPUs, the
 * engine's tables.  An executor may be hostile, so the monitor treats
 * everything in the arena as input: it follows no pointer from it, calls nothing
 * through it, takes no descriptor or process id from it, and builds it anew for
 * every power cycle.
 *
 * Host resources other than the machine's own (the terminal, back ends) are in
 * struct monitor (vmm/monitor.h).
 */
#ifndef VMM_VM_H
#define VMM_VM_H

#include <signal.h>
#include "base/clock.h"
#include "base/counters.h"
#include "base/types.h"
#include "cpu/space.h"
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

/* In the arena. */
struct vm_shared {
	struct counters counters;
	struct chardev serial[SERIAL_MAX];
	struct chardev debugcon;
	u64 stop;		/* enum stop_reason | code << 32; set once by vm_stop */
	u32 stats_request;	/* monitor asks the executor to bring counters up to date */
	u32 stats_done;
	u32 host_events;	/* monitor: look at the chardevs' events and at stats_request */
	u32 park;		/* monitor: leave, with the machine in the arena */
};

struct vm {
	struct config cfg;
	struct clock clock;
	struct phys_map phys;	/* `has_code` and the RAM are shared, the hooks each process's own */
	struct vm_shared *shared;
	struct pc *pc;		/* in the arena, as the vCPUs */
	struct vcpu *vcpu[VM_CPUS_MAX];

	/* Monitor: latched by vm_stopped, so that nobody takes it back. */
	enum stop_reason stop_reason;
	int stop_code;		/* for DEBUG_EXIT: the process's exit status */
	int event_fd;		/* eventfd: an executor wakes the monitor */
	int executor_pid;	/* 0: none now */
	int member[SPACES_MAX];	/* the pool's other executors, from [1] (vmm/pool.c) */
	unsigned members;	/* how many of those */
	bool pool_is_full;
	bool broken;		/* an executor has died: the others are not to be waited for */
	int former_pid;		/* the one before: parked, and perhaps not reaped yet; or 0 */
	enum engine_mode engine;	/* MODE_BT or MODE_HW: the one that runs, or will when resumed */
	bool paused;
	u64 switches;		/* engine switches since power-on */
	u64 last_switch_ns;	/* for how long the last one kept the guest from running */
	struct pc_stats past;	/* interrupts before the last reset */
};

/*
 * Building (machine.c), running (executor.c, handover.c), stopping (stop.c), looking (inspect.c).
 */
/* The whole machine: arena, RAM, devices, CPU, engine.  NULL with one line in err. */
struct vm *vm_create(const struct config *cfg, char *err, size_t errlen);
/*
 * Build the machine in the arena, load the boot image and set the CPU to its
 * entry state: power-on, and after a reset.  No executor may be running.  Back
 * ends have to be attached again (backend_resync).
 */
int vm_boot(struct vm *vm, char *err, size_t errlen);
/* Fork the executor; it starts running the guest at once.  Negative errno with one line in err. */
int vm_start(struct vm *vm, char *err, size_t errlen);
/*
 * Take the machine out of its executor at an instruction boundary, put it back,
 * or move it to another engine (vmm/handover.c).  Each waits for the executors, a
 * few milliseconds; guest time goes on meanwhile.  A paused machine has no
 * executor: all of it is in the arena, and it uses no CPU.  Switching a paused
 * machine leaves it paused.  0, or negative errno with one line in err; when a
 * switch is refused or its new executor cannot be made, the machine goes on as it was.
 * -ESHUTDOWN: it stopped meanwhile (vm_stopped).
 */
int vm_pause(struct vm *vm, char *err, size_t errlen);
int vm_resume(struct vm *vm, char *err, size_t errlen);
int vm_switch(struct vm *vm, enum engine_mode to, char *err, size_t errlen);
/* The monitor's view of why the machine stopped; STOP_NONE: it runs. */
enum stop_reason vm_stopped(struct vm *vm);
/* From any process: stop with this reason unless already stopped.  Wakes everyone. */
void vm_stop(struct vm *vm, enum stop_reason reason, int code);
/* Monitor: reap the executor after a stop (kills it after a grace period). */
void vm_join(struct vm *vm);
/* Monitor, whenever an executor has rung: make those that the pool of address spaces asks for. */
void vm_tend(struct vm *vm);
/* Monitor: a signal to all of the machine's executors. */
void vm_signal(const struct vm *vm, int sig);
/* Monitor: has one of them ended, and how?  It is not reaped: that is vm_join's. */
bool vm_executor_ended(const struct vm *vm, siginfo_t *si);
/* Monitor: have an executor look at what back ends have announced and at stats_request. */
void vm_notify(struct vm *vm);
void vm_destroy(struct vm *vm);

/* Interrupts raised since power-on, resets included. */
struct pc_stats vm_interrupts(const struct vm *vm);

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
