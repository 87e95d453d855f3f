/*
 * The monitor's side of the pool of address spaces (cpu/space.h): more executors when
 * the guest has use for them, and all of them away when the machine is to be one's own.
 *
 * Space 0's executor is the machine's (vmm/handover.c): the others sleep until the vCPU is
 * handed to them, and give it back to space 0 before the guest is left.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/log.h"
#include "vmm/machine.h"

/* One more.  False: there will be no more. */
static bool grow(struct vm *vm)
{
	struct executor e;
	char err[256];
	unsigned index = vm->members + 1;
	u64 began = rdtsc();

	if (executor_make(machine_of(vm), MODE_BT, index, &e, err, sizeof err) < 0 ||
	    executor_go(machine_of(vm), &e, err, sizeof err) < 0) {
		log_warn("the pool stays at %u executors: %s", index, err);
		return false;
	}
	vm->member[index] = e.pid;
	vm->members = index;
	trace(engine, "executor %u of the pool is process %d, made in %llu us", index, e.pid,
	      (unsigned long long)clock_tsc_to_ns(&vm->clock, rdtsc() - began) / 1000);
	return true;
}

void vm_tend(struct vm *vm)
{
	u32 wanted = __atomic_load_n(&machine_of(vm)->pool->wanted, __ATOMIC_RELAXED);

	while (vm->engine == MODE_BT && vm->executor_pid > 0 && !vm->pool_is_full && vm->members + 1 < wanted &&
	       vm_stopped(vm) == STOP_NONE)
		if (vm->members + 1 >= vm->cfg.executors || !grow(vm))
			vm->pool_is_full = true;
}

void pool_dismiss(struct vm *vm)
{
	for (unsigned i = 1; i <= vm->members; i++)
		kill(vm->member[i], SIGKILL);
	for (unsigned i = 1; i <= vm->members; i++)
		waitpid(vm->member[i], NULL, 0);
	vm->members = 0;
	vm->pool_is_full = false;
}

int pool_running(const struct vm *vm)
{
	/* An executor may have written anything there. */
	u32 current = __atomic_load_n(&machine_of((struct vm *)vm)->pool->current, __ATOMIC_SEQ_CST);

	return current && current <= vm->members ? vm->member[current] : vm->executor_pid;
}

void vm_signal(const struct vm *vm, int sig)
{
	if (vm->executor_pid > 0)
		kill(vm->executor_pid, sig);
	for (unsigned i = 1; i <= vm->members; i++)
		kill(vm->member[i], sig);
}

static bool has_ended(int pid, siginfo_t *si)
{
	si->si_pid = 0;
	return waitid(P_PID, (id_t)pid, si, WEXITED | WNOHANG | WNOWAIT) == 0 && si->si_pid;
}

bool vm_executor_ended(const struct vm *vm, siginfo_t *si)
{
	if (vm->executor_pid > 0 && has_ended(vm->executor_pid, si))
		return true;
	for (unsigned i = 1; i <= vm->members; i++)
		if (has_ended(vm->member[i], si))
			return true;
	return false;
}
