/*
 * From one executor to the next: starting, pausing, resuming, and moving a
 * running machine to the other engine.
 *
 * A switch makes the successor first, while the guest runs on; only when it is
 * ready is the old executor asked to park.  When that process is past its last
 * instruction, and nothing can touch the arena any more, the successor gets the word.  So whatever
 * fails before the park leaves the machine as it was; what fails after it (KVM
 * refuses a state) is answered by going on with the old engine.
 *
 * All of it waits, in the monitor: guest I/O rests meanwhile.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/log.h"
#include "vmm/machine.h"

#define PARK_STEP_NS    200000		/* how often to look, */
#define PARK_STEPS      100000		/* how many times, */
#define PARK_KICK_STEPS 500		/* and after how many to kick again */

static u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000u + (u64)ts.tv_nsec;
}

static int stopped_meanwhile(char *err, size_t errlen)
{
	snprintf(err, errlen, "the machine has stopped");
	return -ESHUTDOWN;
}

/* ---- parking ---- */

#define PF_EXITING 0x4u		/* of Linux's task flags: it is past its last instruction in user mode */
#define STAT_FLAGS 9u		/* fields of /proc/PID/stat, proc(5) */
#define STAT_EXIT_CODE 52u

/*
 * Has this process parked: will it never execute another instruction of its own, and
 * is the status it ends with the right one?  The rest of its end may take long: freeing a
 * KVM VM waits for the host's other CPUs.  The kernel's word, not the process's.
 *
 * What else the kernel shows there says nothing (a process that was stopped has the signal for its
 * exit code): any other end is seen by waiting for it.
 */
static bool is_parking(int pid)
{
	char path[40], line[1024], *p;
	unsigned long flags = 0;
	long code = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	f = fopen(path, "re");
	p = f && fgets(line, sizeof line, f) ? strrchr(line, ')') : NULL;
	if (f)
		fclose(f);
	for (unsigned field = 2; p && field < STAT_EXIT_CODE && (p = strchr(p, ' ')); field++) {
		p++;
		if (field + 1 == STAT_FLAGS)
			flags = strtoul(p, NULL, 10);
		if (field + 1 == STAT_EXIT_CODE)
			code = strtol(p, NULL, 10);
	}
	return (flags & PF_EXITING) && code == EXECUTOR_PARKED << 8;
}

/* Has it parked, and is it a zombie now? */
static bool has_parked(int pid)
{
	siginfo_t si = { 0 };

	return waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT) == 0 && si.si_code == CLD_EXITED &&
	       si.si_status == EXECUTOR_PARKED;
}

enum end { END_NONE, END_PARKED, END_OTHER };

/* Wait until the executor has ended for all that matters, kicking it now and then. */
static enum end await_end(struct vm *vm)
{
	struct pollfd p = { .fd = (int)syscall(SYS_pidfd_open, vm->executor_pid, 0), .events = POLLIN };
	struct timespec step = { 0, PARK_STEP_NS };
	enum end end = END_NONE;

	for (int i = 0; i < PARK_STEPS && end == END_NONE && p.fd >= 0; i++) {
		if (i % PARK_KICK_STEPS == 0)
			vm_kick(vm);
		if (is_parking(vm->executor_pid))
			end = END_PARKED;
		else if (ppoll(&p, 1, &step, NULL) > 0)
			end = has_parked(vm->executor_pid) ? END_PARKED : END_OTHER;
	}
	if (p.fd >= 0)
		close(p.fd);
	return end;
}

/* Reap an executor whose end was not waited for. */
static void reap_former(struct vm *vm, bool wait)
{
	if (vm->former_pid > 0 && waitpid(vm->former_pid, NULL, wait ? 0 : WNOHANG) != 0)
		vm->former_pid = 0;
}

/*
 * The running executor out of the machine.  An executor that has not parked has
 * stopped the machine or died: it is left for the monitor's loop to find.
 */
static int park(struct vm *vm, char *err, size_t errlen)
{
	enum end end;

	reap_former(vm, true);
	__atomic_store_n(&vm->shared->park, 1, __ATOMIC_SEQ_CST);
	end = await_end(vm);
	__atomic_store_n(&vm->shared->park, 0, __ATOMIC_SEQ_CST);
	if (end == END_NONE) {
		log_error("the executor does not leave the guest");
		kill(vm->executor_pid, SIGKILL);
	}
	if (end != END_PARKED)
		return stopped_meanwhile(err, errlen);
	pool_dismiss(vm);
	vm->former_pid = vm->executor_pid;
	vm->executor_pid = 0;
	reap_former(vm, false);
	return vm_stopped(vm) == STOP_NONE ? 0 : stopped_meanwhile(err, errlen);
}

/* The machine, which no executor has, to this one. */
static int hand_to(struct vm *vm, struct executor *e, char *err, size_t errlen)
{
	int r = executor_go(machine_of(vm), e, err, errlen);

	if (r < 0)
		return r;
	vm->executor_pid = e->pid;
	vm->paused = false;
	/* What came up while nobody was there to hear it. */
	vm_notify(vm);
	return 0;
}

static int start(struct vm *vm, enum engine_mode engine, char *err, size_t errlen)
{
	struct executor e;
	int r = executor_make(machine_of(vm), engine, 0, &e, err, errlen);

	return r < 0 ? r : hand_to(vm, &e, err, errlen);
}

/* The arena is the monitor's alone now; later, an executor may have written there. */
static void note_doorbells(struct machine *m)
{
	for (unsigned i = 0; i < SERIAL_MAX; i++)
		m->doorbell[i] = m->vm.shared->serial[i].doorbell_fd;
	m->doorbell[SERIAL_MAX] = m->vm.shared->debugcon.doorbell_fd;
}

int vm_start(struct vm *vm, char *err, size_t errlen)
{
	note_doorbells(machine_of(vm));
	return start(vm, vm->engine, err, errlen);
}

/* Before a new executor; the machine is lost if this fails. */
static int renew(struct vm *vm, enum engine_mode engine, char *err, size_t errlen)
{
	int r = machine_renew_engine(machine_of(vm), engine);

	if (r < 0) {
		snprintf(err, errlen, "cannot renew the engine's memory: %s", strerror(-r));
		vm_stop(vm, STOP_HOST_ERROR, 0);
	}
	return r;
}

int vm_pause(struct vm *vm, char *err, size_t errlen)
{
	int r;

	if (vm->paused)
		return 0;
	if (vm->executor_pid <= 0 || vm_stopped(vm) != STOP_NONE)
		return stopped_meanwhile(err, errlen);
	r = park(vm, err, errlen);
	if (r < 0)
		return r;
	vm->paused = true;
	vm->shared->counters.pauses++;
	return 0;
}

int vm_resume(struct vm *vm, char *err, size_t errlen)
{
	int r;

	if (!vm->paused)
		return 0;
	if (vm_stopped(vm) != STOP_NONE)
		return stopped_meanwhile(err, errlen);
	r = renew(vm, vm->engine, err, errlen);
	return r < 0 ? r : start(vm, vm->engine, err, errlen);
}

/* Is there such an engine here? */
static int check_engine(struct vm *vm, enum engine_mode to, char *err, size_t errlen)
{
	const struct machine *m = machine_of(vm);

	if (to != MODE_HW || kvm_host_usable(&m->hw, vm->cfg.hw_force))
		return 0;
	snprintf(err, errlen, "no hardware assist: %s", m->hw.text);
	return -ENOTSUP;
}

/* When a switch began, had parked the old executor, and had renewed the engine's memory. */
struct times { u64 began, parked, renewed; };

static void note_switch(struct vm *vm, enum engine_mode to, const struct times *t)
{
	struct counters *c = &vm->shared->counters;
	u64 now = now_ns();

	vm->last_switch_ns = now - t->began;
	vm->switches++;
	c->ns_switching += vm->last_switch_ns;
	if (to == MODE_HW)
		c->switches_hw++;
	else
		c->switches_bt++;
	trace(engine, "switched to %s in %llu us: parking %llu, renewing %llu, taking over %llu", to == MODE_HW ? "hw" : "bt",
	      (unsigned long long)vm->last_switch_ns / 1000, (unsigned long long)(t->parked - t->began) / 1000,
	      (unsigned long long)(t->renewed - t->parked) / 1000, (unsigned long long)(now - t->renewed) / 1000);
}

/* The new engine does not take the machine: the old one had it a moment ago. */
static int go_back(struct vm *vm, enum engine_mode from, char *err, size_t errlen)
{
	char why[256];

	vm->engine = from;
	if (renew(vm, from, why, sizeof why) < 0 || start(vm, from, why, sizeof why) < 0) {
		log_error("%s", why);
		vm_stop(vm, STOP_HOST_ERROR, 0);
	}
	return -EIO;	/* with the first reason in err */
}

int vm_switch(struct vm *vm, enum engine_mode to, char *err, size_t errlen)
{
	struct machine *m = machine_of(vm);
	enum engine_mode from = vm->engine;
	struct executor next;
	struct times t;
	int r;

	if (to == from)
		return 0;
	if (vm_stopped(vm) != STOP_NONE || (!vm->paused && vm->executor_pid <= 0))
		return stopped_meanwhile(err, errlen);
	if ((r = check_engine(vm, to, err, errlen)) < 0 || (r = executor_make(m, to, 0, &next, err, errlen)) < 0)
		return r;
	if (vm->paused) {
		/* It could be made: that is all that can be known before the resume. */
		executor_discard(&next);
		vm->engine = to;
		vm->last_switch_ns = 0;
		vm->switches++;
		return 0;
	}
	t.began = now_ns();
	r = park(vm, err, errlen);
	t.parked = now_ns();
	if (r == 0)
		r = renew(vm, to, err, errlen);
	t.renewed = now_ns();
	if (r < 0) {
		executor_discard(&next);
		return r;
	}
	vm->engine = to;
	if (hand_to(vm, &next, err, errlen) < 0)
		return go_back(vm, from, err, errlen);
	note_switch(vm, to, &t);
	if (to == MODE_HW && machine_drop_engine(m) < 0)
		log_warn("the translator's memory cannot be given back to the host");
	return 0;
}

void vm_join(struct vm *vm)
{
	struct timespec pause = { 0, 2 * 1000 * 1000 };

	reap_former(vm, true);
	if (vm->executor_pid <= 0)
		return;
	for (int i = 0; i < 500 && !vm->broken; i++) {
		if (waitpid(vm->executor_pid, NULL, WNOHANG) != 0)
			goto gone;
		if (i % 50 == 49)
			vm_kick(vm);
		nanosleep(&pause, NULL);
	}
	if (!vm->broken)
		log_warn("the executor does not stop; killing it");
	kill(vm->executor_pid, SIGKILL);
	waitpid(vm->executor_pid, NULL, 0);
gone:
	pool_dismiss(vm);
	vm->executor_pid = 0;
	vm->broken = false;
}
