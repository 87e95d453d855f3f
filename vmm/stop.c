/*
 * Stopping, and kicking: what the monitor and executors tell each other.  Runs
 * on both sides, so the vCPU path's rules hold here too.
 */
#include <linux/futex.h>
#include "base/sys.h"
#include "vmm/machine.h"

#pragma GCC target("general-regs-only")

void vm_ring(const struct vm *vm)
{
	u64 one = 1;

	sys_write(vm->event_fd, &one, sizeof(one));
}

void vm_stop(struct vm *vm, enum stop_reason reason, int code)
{
	u64 none = STOP_NONE, stop = (u64)(u32)code << 32 | reason;

	__atomic_compare_exchange_n(&vm->shared->stop, &none, stop, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	if (executor_self) {
		vm_ring(vm);
		executor_self->attention = 1;
	} else {
		/* What an executor does to `stop` now changes nothing. */
		if (vm_stopped(vm) == STOP_NONE) {
			vm->stop_reason = reason;
			vm->stop_code = code;
		}
		vm_kick(vm);
	}
}

enum stop_reason vm_stopped(struct vm *vm)
{
	u64 stop = __atomic_load_n(&vm->shared->stop, __ATOMIC_ACQUIRE);

	if (vm->stop_reason == STOP_NONE && stop) {
		vm->stop_reason = (u32)stop < STOP_COUNT ? (enum stop_reason)(u32)stop : STOP_INTERNAL;
		vm->stop_code = (int)(stop >> 32);
	}
	return vm->stop_reason;
}

/*
 * Out of guest code, or out of HLT.  An executor has one thread, so its ids are the same.
 * The vCPU may be handed over meanwhile: then the next one finds intr_pending set, for
 * that was stored before `current` was read (cpu/space.c).
 */
void vm_kick(struct vm *vm)
{
	struct vcpu *v = vm->vcpu[0];
	int pid;

	__atomic_store_n(&v->intr_pending, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&v->halt_futex, 1, __ATOMIC_SEQ_CST);
	sys6(SYS_futex, (long)&v->halt_futex, FUTEX_WAKE, 1, 0, 0, 0);
	pid = pool_running(vm);
	if (pid > 0)
		sys3(SYS_tgkill, pid, pid, SIG_KICK);
}

void vm_notify(struct vm *vm)
{
	__atomic_store_n(&vm->shared->host_events, 1, __ATOMIC_SEQ_CST);
	vm_kick(vm);
}

const char *stop_text(enum stop_reason r)
{
	static const char *const text[] = {
#define STOP(name, status, txt) txt,
#include "vmm/stop.def"
#undef STOP
	};
	return r < STOP_COUNT ? text[r] : "unknown";
}

int stop_status(const struct vm *vm)
{
	static const int status[] = {
#define STOP(name, st, text) st,
#include "vmm/stop.def"
#undef STOP
	};
	return vm->stop_reason == STOP_DEBUG_EXIT ? vm->stop_code & 0xff : status[vm->stop_reason];
}
