/*
 * The executor: the child process that runs the guest; and from the monitor's
 * side, starting it, kicking it and seeing its end.
 *
 * The order of executor_main matters: what needs the whole of the host comes
 * first, then Syscall User Dispatch, then the cage, then the guest.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/check.h"
#include "base/log.h"
#include "base/sys.h"
#include "cpu/timer.h"
#include "vmm/confine.h"
#include "vmm/machine.h"

static void dump_current(void)
{
	if (executor_self)
		bt_dump(executor_self);
}

/* What the vCPU path needs of the host. */
static struct confine_needs needs_of(const struct machine *m)
{
	struct confine_needs n = {
		.ram_fd = m->ram_fd, .stub_fd = m->user_fd, .user_window = WINDOW_SIZE,
		.write_fd = { m->vm.event_fd, m->vm.shared->debugcon.doorbell_fd }, .write_count = 2,
		.library = trace_on(TRACE_translate),
	};

	for (unsigned i = 0; i < SERIAL_MAX; i++)
		n.write_fd[n.write_count++] = m->vm.shared->serial[i].doorbell_fd;
	return n;
}

/* Other machines of this process are none of an executor's business. */
static void forget_other_machines(const struct machine *m)
{
	u8 *end = SLOTS_BASE + SLOT_COUNT * SLOT_SIZE, *next = m->slot + SLOT_SIZE;

	if (m->slot > SLOTS_BASE)
		munmap(SLOTS_BASE, (size_t)(m->slot - SLOTS_BASE));
	if (next < end)
		munmap(next, (size_t)(end - next));
}

_Noreturn static void executor_main(struct machine *m, int monitor)
{
	struct exec *x = m->exec;
	struct confine_needs needs = needs_of(m);
	struct confinement cage = { 0 };
	u64 one = 1;
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != monitor)
		_exit(0);
	prctl(PR_SET_NAME, "ringer-exec");
	forget_other_machines(m);
	executor_self = x;
	check_dump = dump_current;
	x->tid = x->pid = (int)sys3(SYS_getpid, 0, 0, 0);
	bt_attach(m->bt, x);
	r = shadow_attach(m->shadow);
	if (!r)
		r = exec_signals_attach(x);
	if (!r)
		r = exec_timer_attach(x);
	if (!r)
		r = vdso_attach(x, m->user_pages, m->user_fd);
	if (!r)
		r = confine_prepare(&cage, &needs);
	if (!r)
		r = direct_attach(x);
	if (!r)
		r = confine_enter(&cage);
	if (r < 0) {
		log_error("cannot set up the executor: %s", strerror(-r));
		vm_stop(&m->vm, STOP_HOST_ERROR, 0);
	} else {
		bt_run(x);
	}
	sys_write(m->vm.event_fd, &one, sizeof(one));
	for (;;)
		sys3(SYS_exit_group, 0, 0, 0);
}

int vm_start(struct vm *vm)
{
	struct machine *m = machine_of(vm);
	int monitor = (int)getpid(), r = 0;
	sigset_t kick, old;
	pid_t pid;

	fflush(NULL);
	/* A kick may come before the executor has its handlers; exec_signals_attach lets it through. */
	sigemptyset(&kick);
	sigaddset(&kick, SIG_KICK);
	sigprocmask(SIG_BLOCK, &kick, &old);
	pid = fork();
	if (pid < 0)
		r = -errno;
	if (pid == 0)
		executor_main(m, monitor);
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (pid > 0)
		vm->executor_pid = pid;
	return r;
}

void vm_join(struct vm *vm)
{
	struct timespec pause = { 0, 2 * 1000 * 1000 };

	if (vm->executor_pid <= 0)
		return;
	for (int i = 0; i < 500; i++) {
		if (waitpid(vm->executor_pid, NULL, WNOHANG) != 0)
			goto gone;
		if (i % 50 == 49)
			vm_kick(vm);
		nanosleep(&pause, NULL);
	}
	log_warn("the executor does not stop; killing it");
	kill(vm->executor_pid, SIGKILL);
	waitpid(vm->executor_pid, NULL, 0);
gone:
	vm->executor_pid = 0;
}
