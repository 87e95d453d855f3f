/*
 * The executor: the child process that runs the guest.
 *
 * Its life: make what is its own (a KVM VM, the cage's filter) while another
 * executor may still be running the guest; report; wait for the word; enter the
 * cage; take the machine over from the arena; report again; run.  It ends with the
 * machine stopped, or parked: all of it back in the arena for the next executor.
 *
 * The order of become() matters: what needs the whole of the host comes first, then
 * Syscall User Dispatch, then the cage, then the machine.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/check.h"
#include "base/log.h"
#include "base/sys.h"
#include "vmm/confine.h"
#include "vmm/kvm_chips.h"
#include "vmm/machine.h"

#define PATIENCE_MS 20000	/* for a report; software that emulates a CPU is slow */

/* What an executor tells of a step: 0 or negative errno, and what failed. */
struct report { int result; char what[60]; };

/* ---- in the executor ---- */

static void dump_current(void)
{
	if (!executor_self)
		return;
	executor_self->engine->sync(executor_self);
	vcpu_dump(&executor_self->v);
	if (executor_self->engine->dump)
		executor_self->engine->dump(executor_self);
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

static int chips_load(void *m, int vm_fd, int cpu_fd)
{
	const struct vm *vm = m;

	return kvm_chips_load(vm->pc, &vm->clock, vm_fd, cpu_fd);
}

static int chips_store(void *m, int vm_fd, int cpu_fd)
{
	const struct vm *vm = m;

	return kvm_chips_store(vm->pc, &vm->clock, vm_fd, cpu_fd);
}

static int make_kvm(struct machine *m, struct kvm_cpu **k, const char **what)
{
	struct kvm_setup s = { .phys = &m->vm.phys, .cpuid = &m->cpuid, .host_is_tcg = cpuid_host_is_tcg() };

	if (m->vm.cfg.irqchip == IRQCHIP_KERNEL)
		s.chips = (struct kvm_chips){ kvm_chips_create, chips_load, chips_store, m };
	return kvm_make(k, &s, what);
}

/* What the vCPU path needs of the host. */
static void add_needs(struct confine_needs *n, const struct machine *m, const struct kvm_cpu *k, int report_fd)
{
	*n = (struct confine_needs){
		.ram_fd = -1, .stub_fd = -1, .library = trace_on(TRACE_translate),
		.write_fd = { m->vm.event_fd, report_fd }, .write_count = 2,
		.close_fd = report_fd,
	};
	for (unsigned i = 0; i < ARRAY_SIZE(m->doorbell); i++)
		n->write_fd[n->write_count++] = m->doorbell[i];
	if (k) {
		struct kvm_request requests[KVM_REQUESTS_MAX];
		unsigned count = kvm_requests(k, requests);

		for (unsigned i = 0; i < count; i++) {
			n->ioctl[i].fd = requests[i].fd;
			n->ioctl[i].request = requests[i].request;
		}
		n->ioctl_count = count;
		kvm_read_fds(k, n->read_fd);
		n->read_count = 2;
		kvm_keep_fds(k, n->keep_fd);
		n->keep_count = 2;
	} else {
		n->ram_fd = m->ram_fd;
		n->stub_fd = m->user_fd;
		n->user_window = WINDOW_SIZE;
	}
}

/* Raw system calls: after Syscall User Dispatch, libc's do not arrive. */
static void report(int fd, int result, const char *what)
{
	struct report r = { .result = result };

	for (size_t i = 0; what[i] && i + 1 < sizeof(r.what); i++)
		r.what[i] = what[i];
	sys_write(fd, &r, sizeof(r));
	if (result < 0)
		sys3(SYS_exit_group, 0, 0, 0);
}

/* All that can be done while the machine is another executor's. */
static void prepare(struct machine *m, enum engine_mode engine, struct kvm_cpu **k, struct confinement *cage, int fd)
{
	struct confine_needs needs;
	const char *what = "";
	int r = engine == MODE_HW ? make_kvm(m, k, &what) : 0;

	if (!r) {
		what = "its cage";
		add_needs(&needs, m, *k, fd);
		r = confine_prepare(cage, &needs);
	}
	report(fd, r, what);
}

/*
 * The machine is ours.  What the last executor left in the arena is looked at in
 * the cage only: it may have been in the guest's hands.  (What `attach` uses, the
 * monitor has just renewed.)
 */
static void become(struct machine *m, enum engine_mode engine, struct kvm_cpu *k, const struct confinement *cage, int fd)
{
	struct exec *x = m->exec;
	int r;

	executor_self = x;
	check_dump = dump_current;
	x->kvm = k;
	x->engine = engine == MODE_HW ? &engine_hw : &engine_bt;
	if (engine == MODE_BT)
		bt_tie(m->bt, x);
	r = x->engine->attach(x, m->spaces);
	if (!r)
		r = confine_enter(cage);
	if (!r)
		r = x->engine->load(x);
	report(fd, r, "taking the machine over");
	sys3(SYS_close, fd, 0, 0);
}

/* The machine is another executor's: be a space of its pool. */
_Noreturn static void join(struct machine *m, unsigned index, const struct confinement *cage, int fd)
{
	struct exec *x = m->exec;
	struct space *s = &m->spaces[index];
	int r;

	executor_self = x;
	check_dump = dump_current;
	bt_tie_process(m->bt, x);
	r = engine_bt.attach(x, s);
	if (!r)
		r = confine_enter(cage);
	if (!r)
		__atomic_store_n(&s->ready, 1, __ATOMIC_RELEASE);
	report(fd, r, "joining the pool");
	sys3(SYS_close, fd, 0, 0);
	engine_bt.serve(x, s);
	__builtin_unreachable();
}

/* Why the engine has left, and with what status the process ends. */
static int leave(struct machine *m)
{
	struct exec *x = m->exec;
	int r;

	if (__atomic_load_n(&m->vm.shared->stop, __ATOMIC_ACQUIRE) == STOP_NONE) {
		r = x->engine->detach(x);
		if (r == 0)
			return EXECUTOR_PARKED;
		log_error("the machine's state cannot be had from %s: error %d", x->engine->name, -r);
		vm_stop(&m->vm, STOP_HOST_ERROR, 0);
	}
	x->engine->count(x);
	return 0;
}

_Noreturn static void executor_main(struct machine *m, enum engine_mode engine, unsigned space, int monitor, int fd)
{
	struct confinement cage = { 0 };
	struct kvm_cpu *k = NULL;
	int status;
	char go;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != monitor)
		_exit(0);
	prctl(PR_SET_NAME, "ringer-exec");
	forget_other_machines(m);
	prepare(m, engine, &k, &cage, fd);
	if (sys3(SYS_read, fd, (long)&go, 1) != 1)
		_exit(0);
	if (space)
		join(m, space, &cage, fd);
	become(m, engine, k, &cage, fd);
	m->exec->engine->run(m->exec);
	status = leave(m);
	vm_ring(&m->vm);
	for (;;)
		sys3(SYS_exit_group, status, 0, 0);
}

/* ---- in the monitor ---- */

void executor_discard(struct executor *e)
{
	if (e->fd >= 0)
		close(e->fd);
	if (e->pid > 0) {
		kill(e->pid, SIGKILL);
		waitpid(e->pid, NULL, 0);
	}
	*e = (struct executor){ .fd = -1 };
}

/* Its next report.  What it says is not trusted further than a line of text can be. */
static int take_report(struct executor *e, const char *name, char *err, size_t errlen)
{
	struct pollfd p = { .fd = e->fd, .events = POLLIN };
	struct report r;
	int ready;

	do
		ready = poll(&p, 1, PATIENCE_MS);
	while (ready < 0 && errno == EINTR);
	if (ready <= 0) {
		snprintf(err, errlen, "the %s executor does not answer", name);
		return -ETIMEDOUT;
	}
	if (recv(e->fd, &r, sizeof r, 0) != sizeof r) {
		snprintf(err, errlen, "the %s executor ended before it was ready", name);
		return -ECHILD;
	}
	r.what[sizeof r.what - 1] = 0;
	if (r.result >= 0)
		return 0;
	snprintf(err, errlen, "cannot set up the %s executor: %s: %s", name, r.what, strerror(-r.result));
	return r.result;
}

static const char *engine_name(enum engine_mode engine) { return engine == MODE_HW ? "hw" : "bt"; }

int executor_make(struct machine *m, enum engine_mode engine, unsigned space, struct executor *e, char *err, size_t errlen)
{
	int monitor = (int)getpid(), pair[2], r;
	sigset_t kick, old;

	*e = (struct executor){ .fd = -1 };
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		snprintf(err, errlen, "cannot talk to an executor: %s", strerror(errno));
		return -errno;
	}
	fflush(NULL);
	/* A kick may come before the executor has its handlers; attaching lets it through. */
	sigemptyset(&kick);
	sigaddset(&kick, SIG_KICK);
	sigprocmask(SIG_BLOCK, &kick, &old);
	e->pid = fork();
	if (e->pid == 0)
		executor_main(m, engine, space, monitor, pair[1]);
	r = -errno;
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(pair[1]);
	e->fd = pair[0];
	if (e->pid < 0)
		snprintf(err, errlen, "cannot fork an executor: %s", strerror(-r));
	else
		r = take_report(e, engine_name(engine), err, errlen);
	if (r < 0)
		executor_discard(e);
	return r;
}

int executor_go(struct machine *m, struct executor *e, char *err, size_t errlen)
{
	int r = send(e->fd, "", 1, MSG_NOSIGNAL) == 1 ? 0 : -errno;

	if (r < 0)
		snprintf(err, errlen, "an executor has gone away: %s", strerror(-r));
	else
		r = take_report(e, engine_name(m->vm.engine), err, errlen);
	if (r < 0) {
		executor_discard(e);
		return r;
	}
	close(e->fd);
	e->fd = -1;
	return 0;
}
