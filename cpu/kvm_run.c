/*
 * The hw engine: KVM_RUN, and what it comes back for.
 *
 * Two forms, by whose interrupt controllers the machine has.  With the machine's
 * own (--irqchip=user) every HLT, interrupt window and APIC access comes here, and
 * this file acknowledges and injects as bt's dispatcher does.  With KVM's, only
 * devices do; the executor sleeps inside KVM.
 *
 * A kick (a signal) ends KVM_RUN; one that comes just before it sets
 * immediate_exit, which does the same.
 */
#include <errno.h>
#include "base/check.h"
#include "base/log.h"
#include "cpu/arch.h"
#include "cpu/kvm_cpu.h"
#include "cpu/timer.h"

/* ---- kicks ---- */

static void on_kick(int sig, siginfo_t *si, void *context)
{
	struct space *s;
	struct exec *x = exec_current(&s);

	x->v.count->sig_kick++;
	x->attention = 1;
	if (si->si_code == SI_TIMER) {
		s->armed_deadline = ~0ull;
		x->timer_due = 1;
	}
	x->v.intr_pending = 1;
	x->kvm->run->immediate_exit = 1;
}

/* ---- interrupts ---- */

/* With the machine's own controllers: inject what is deliverable, or ask for the moment when it is. */
static void take_interrupt(struct exec *x)
{
	struct vcpu *v = &x->v;
	const struct platform *p = v->platform;
	struct kvm_run *run = x->kvm->run;
	int vector;

	run->request_interrupt_window = 0;
	if (!p->intr_pending(p->opaque, v->index)) {
		v->intr_pending = 0;
		/* It may have come in between. */
		if (!p->intr_pending(p->opaque, v->index))
			return;
		v->intr_pending = 1;
	}
	/* What KVM said at the last exit holds: the guest has not run since. */
	if (!run->ready_for_interrupt_injection || !run->if_flag) {
		run->request_interrupt_window = 1;
		return;
	}
	vector = p->intr_ack(p->opaque, v->index);
	if (vector >= 0) {
		struct kvm_interrupt irq = { .irq = (u32)vector };
		long r = kvm_ioctl(x->kvm->cpu_fd, KVM_INTERRUPT, &irq);

		CHECK(r == 0);
		v->halted = false;
		v->count->interrupts++;
		run->ready_for_interrupt_injection = 0;	/* one at a time */
		if (v->intr_pending)
			run->request_interrupt_window = 1;
	}
}

static void take_events(struct exec *x)
{
	struct vcpu *v = &x->v;

	event_poll(x);
	if (x->kvm->has_chips) {
		v->intr_pending = 0;	/* an announcement at most: interrupts go by way of KVM */
		return;
	}
	if (v->nmi_pending) {
		v->nmi_pending = false;
		v->halted = false;
		kvm_ioctl(x->kvm->cpu_fd, KVM_NMI, NULL);
	}
	if (v->intr_pending)
		take_interrupt(x);
}

/* ---- exits ---- */

static void exit_pio(struct exec *x)
{
	struct kvm_run *run = x->kvm->run;
	const struct platform *p = x->v.platform;
	u8 *data = (u8 *)run + run->io.data_offset;
	bool in = run->io.direction == KVM_EXIT_IO_IN;

	x->v.count->hw_exit_pio++;
	for (u32 i = 0; i < run->io.count; i++, data += run->io.size) {
		u32 value = 0;

		if (!in) {
			__builtin_memcpy(&value, data, run->io.size);
			trace(pio, "out %04x size %u <- %x", run->io.port, run->io.size, value);
			p->pio_write(p->opaque, run->io.port, run->io.size, value);
			continue;
		}
		if (run->io.port == BACKDOOR_PORT && run->io.size == 4 && run->io.count == 1 &&
		    kvm_regs_store(x->kvm, &x->v) == 0 && backdoor_in(&x->v)) {
			/* It has answered in several registers; KVM itself stores EAX. */
			value = x->v.regs[EAX];
			if (kvm_regs_load(x->kvm, &x->v) < 0)
				trace(unimp, "backdoor: KVM takes no registers");
		} else {
			value = p->pio_read(p->opaque, run->io.port, run->io.size);
		}
		trace(pio, "in %04x size %u -> %x", run->io.port, run->io.size, value);
		__builtin_memcpy(data, &value, run->io.size);
	}
}

static void exit_mmio(struct exec *x)
{
	struct kvm_run *run = x->kvm->run;
	const struct platform *p = x->v.platform;
	u64 value = 0;

	x->v.count->hw_exit_mmio++;
	CHECK(run->mmio.len <= sizeof(value));
	if (run->mmio.is_write) {
		__builtin_memcpy(&value, run->mmio.data, run->mmio.len);
		p->mmio_write(p->opaque, x->v.index, run->mmio.phys_addr, run->mmio.len, value);
	} else {
		value = p->mmio_read(p->opaque, x->v.index, run->mmio.phys_addr, run->mmio.len);
		__builtin_memcpy(run->mmio.data, &value, run->mmio.len);
	}
}

/* KVM has checked the privilege. */
static void exit_msr(struct exec *x, bool write)
{
	struct kvm_run *run = x->kvm->run;
	struct vcpu *v = &x->v;
	u64 value = run->msr.data;
	bool ok;

	v->count->hw_exit_msr++;
	v->cpl = 0;
	ok = write ? msr_write(v, run->msr.index, value) : msr_read(v, run->msr.index, &value);
	run->msr.error = !ok;
	run->msr.data = value;
	v->exc = (struct exception){ 0 };
}

static void sync(struct exec *x)
{
	if (x->kvm && (kvm_regs_store(x->kvm, &x->v) < 0 || kvm_sregs_store(x->kvm, &x->v) < 0))
		log_warn("KVM does not tell the CPU's registers");
}

static void exit_failed(struct exec *x, const char *what, u64 detail)
{
	const struct platform *p = x->v.platform;

	x->v.count->hw_exit_other++;
	log_error("KVM cannot run the guest: %s (%#llx); the CPU's state:", what, (unsigned long long)detail);
	sync(x);
	vcpu_dump(&x->v);
	p->failed(p->opaque, x->v.index);
}

static void exit_internal_error(struct exec *x)
{
	switch (x->kvm->run->internal.suberror) {
	case KVM_INTERNAL_ERROR_EMULATION:
		exit_failed(x, "it does not emulate the instruction at EIP", x->kvm->run->internal.suberror);
		break;
	case KVM_INTERNAL_ERROR_DELIVERY_EV:
		exit_failed(x, "an exit while it delivered an event", x->kvm->run->internal.suberror);
		break;
	default:
		exit_failed(x, "internal error", x->kvm->run->internal.suberror);
		break;
	}
}

static void act(struct exec *x)
{
	struct kvm_run *run = x->kvm->run;
	struct vcpu *v = &x->v;
	const struct platform *p = v->platform;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		exit_pio(x);
		break;
	case KVM_EXIT_MMIO:
		exit_mmio(x);
		break;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		exit_msr(x, run->exit_reason == KVM_EXIT_X86_WRMSR);
		break;
	case KVM_EXIT_HLT:
		v->count->hw_exit_hlt++;
		v->halted = true;
		break;
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		v->count->hw_exit_window++;
		v->intr_pending = 1;
		break;
	case KVM_EXIT_INTR:
		v->count->hw_exit_signal++;
		break;
	case KVM_EXIT_SHUTDOWN:
		v->count->hw_exit_other++;
		sync(x);
		p->triple_fault(p->opaque, v->index);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		exit_failed(x, "the CPU refuses its state", run->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		exit_internal_error(x);
		break;
	default:
		exit_failed(x, "unknown exit reason", run->exit_reason);
		break;
	}
}

/* Into the guest and out again; what it came back for is in the run structure, if anything. */
static void enter(struct exec *x)
{
	struct kvm_cpu *k = x->kvm;
	u64 *bucket = &x->v.count->ns_monitor, t;
	long r;

	exec_account(x, bucket);
	r = kvm_ioctl(k->cpu_fd, KVM_RUN, NULL);
	t = rdtsc();
	k->ns_run += clock_tsc_to_ns(x->clock, t - x->t_enter);
	x->t_enter = t;
	if (r == -EINTR || r == -EAGAIN)
		x->v.count->hw_exit_signal++;
	else if (r < 0)
		exit_failed(x, "KVM_RUN fails", (u64)-r);
	else
		act(x);
}

/* ---- the engine ---- */

static int attach(struct exec *x, struct space *s)
{
	int r = space_attach(s);

	if (!r)
		r = exec_kicks_attach(x, s, on_kick);
	return r ? r : exec_timer_attach(s);
}

static int load(struct exec *x)
{
	struct kvm_run *run = x->kvm->run;
	struct vcpu *v = &x->v;
	int r = kvm_state_load(x);

	if (r)
		return r;
	/* As KVM will say itself after the first exit. */
	run->if_flag = v->iff != 0;
	run->ready_for_interrupt_injection = v->iff && !v->shadow_sti && !v->shadow_ss && v->injected.kind == INJECTED_NONE;
	/* These are with KVM now. */
	v->nmi_pending = false;
	v->injected = (struct injected){ 0 };
	return 0;
}

static void run(struct exec *x)
{
	struct vcpu *v = &x->v;
	const struct platform *p = v->platform;

	x->t_enter = rdtsc();
	exec_timer_update(x, p->next_deadline(p->opaque));
	v->intr_pending = 1;		/* look, once */
	while (!p->leave(p->opaque)) {
		__atomic_store_n(&x->attention, 0, __ATOMIC_RELAXED);
		x->kvm->run->immediate_exit = 0;
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		if (v->intr_pending || x->timer_due || v->nmi_pending)
			take_events(x);
		if (v->halted && !x->kvm->has_chips) {
			event_idle(x, take_events);
			continue;
		}
		enter(x);
	}
	exec_account(x, &v->count->ns_monitor);
}

/*
 * An exit is complete when KVM has stored its result and moved EIP, which it does
 * on the next entry; that entry need not reach the guest.  A large access may
 * come back for its next part.
 */
static int finish_exit(struct exec *x)
{
	struct kvm_run *run = x->kvm->run;

	for (unsigned i = 0; i < 64; i++) {
		long r;

		run->request_interrupt_window = 0;
		run->immediate_exit = 1;
		r = kvm_ioctl(x->kvm->cpu_fd, KVM_RUN, NULL);
		if (r == -EINTR || r == -EAGAIN)
			return 0;
		if (r < 0)
			return (int)r;
		act(x);
	}
	return -EBUSY;
}

static void count(struct exec *x) { kvm_stats_count(x->kvm, x->v.count); }

static int detach(struct exec *x)
{
	int r = finish_exit(x);

	if (r >= 0)
		r = kvm_state_store(x);
	count(x);
	return r;
}

const struct engine engine_hw = {
	.name = "hw", .attach = attach, .load = load, .run = run, .detach = detach, .sync = sync, .count = count,
};
