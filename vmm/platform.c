/*
 * Between the CPU and the devices: struct platform for the one, the hooks of
 * struct pc_config for the others.
 *
 * All of it runs in executors, with the guest's FPU state live in the registers:
 * the vCPU path's rules hold (no libc, no floating point).
 */
#include "base/log.h"
#include "base/sys.h"
#include "cpu/timer.h"
#include "vmm/machine.h"

#pragma GCC target("general-regs-only")

struct exec *executor_self;

static void sync_timer(struct machine *m)
{
	if (executor_self)
		exec_timer_update(executor_self, __atomic_load_n(&pc_bus(m->vm.pc)->next_deadline, __ATOMIC_RELAXED));
}

/* What the monitor has announced: bytes and room in the character devices, a question for the counters. */
static void plat_host_events(void *o)
{
	struct machine *m = o;
	struct vm_shared *s = m->vm.shared;
	u64 one = 1;

	if (!__atomic_load_n(&s->host_events, __ATOMIC_RELAXED))
		return;
	__atomic_exchange_n(&s->host_events, 0, __ATOMIC_SEQ_CST);
	lock_acquire(&pc_bus(m->vm.pc)->lock);
	for (unsigned i = 0; i < SERIAL_MAX; i++)
		chardev_take_events(&s->serial[i]);
	chardev_take_events(&s->debugcon);
	lock_release(&pc_bus(m->vm.pc)->lock);
	sync_timer(m);
	if (s->stats_done != s->stats_request) {
		if (executor_self)
			executor_self->engine->count(executor_self);
		__atomic_store_n(&s->stats_done, s->stats_request, __ATOMIC_RELEASE);
		sys_write(m->vm.event_fd, &one, sizeof(one));
	}
}

static u32 plat_pio_read(void *o, u16 port, unsigned size)
{
	struct machine *m = o;
	u32 v;

	/* A guest that polls with interrupts off is not kicked: it learns here what has come. */
	plat_host_events(m);
	v = bus_pio_read(pc_bus(m->vm.pc), port, size);
	sync_timer(m);
	return v;
}

static void plat_pio_write(void *o, u16 port, unsigned size, u32 value)
{
	struct machine *m = o;

	bus_pio_write(pc_bus(m->vm.pc), port, size, value);
	sync_timer(m);
}

static u64 plat_mmio_read(void *o, unsigned cpu, gpa_t gpa, unsigned size)
{
	struct machine *m = o;
	u64 v = bus_mmio_read(pc_bus(m->vm.pc), cpu, gpa, size);

	sync_timer(m);
	trace(mmio, "read %08x size %u -> %llx", (u32)gpa, size, (unsigned long long)v);
	return v;
}

static void plat_mmio_write(void *o, unsigned cpu, gpa_t gpa, unsigned size, u64 value)
{
	struct machine *m = o;

	trace(mmio, "write %08x size %u <- %llx", (u32)gpa, size, (unsigned long long)value);
	bus_mmio_write(pc_bus(m->vm.pc), cpu, gpa, size, value);
	sync_timer(m);
}

static int plat_intr_ack(void *o, unsigned cpu) { return pc_intr_ack(((struct machine *)o)->vm.pc, cpu); }
static bool plat_intr_pending(void *o, unsigned cpu) { return pc_intr_pending(((struct machine *)o)->vm.pc, cpu); }

static bool plat_msr_read(void *o, unsigned cpu, u32 msr, u64 *value)
{
	return pc_msr_read(((struct machine *)o)->vm.pc, cpu, msr, value);
}

static bool plat_msr_write(void *o, unsigned cpu, u32 msr, u64 value)
{
	struct machine *m = o;
	bool ok = pc_msr_write(m->vm.pc, cpu, msr, value);

	sync_timer(m);
	return ok;
}

static u64 plat_run_timers(void *o) { return bus_run_timers(pc_bus(((struct machine *)o)->vm.pc)); }

static u64 plat_next_deadline(void *o)
{
	return __atomic_load_n(&pc_bus(((struct machine *)o)->vm.pc)->next_deadline, __ATOMIC_RELAXED);
}

static bool plat_leave(void *o)
{
	const struct vm_shared *s = ((struct machine *)o)->vm.shared;

	return __atomic_load_n(&s->stop, __ATOMIC_RELAXED) != STOP_NONE || __atomic_load_n(&s->park, __ATOMIC_RELAXED);
}

static void plat_failed(void *o, unsigned cpu) { vm_stop(&((struct machine *)o)->vm, STOP_HW_FAILED, 0); }

static void plat_triple_fault(void *o, unsigned cpu)
{
	struct machine *m = o;

	log_error("triple fault; the CPU's state:");
	vcpu_dump(m->vm.vcpu[cpu]);
	if (m->exec->engine->dump)
		m->exec->engine->dump(m->exec);
	vm_stop(&m->vm, STOP_TRIPLE_FAULT, 0);
}

static void cpu_intr(void *o, unsigned cpu, bool asserted)
{
	struct machine *m = o;
	struct vcpu *v = m->vm.vcpu[cpu];

	if (!asserted)
		return;
	__atomic_store_n(&v->intr_pending, 1, __ATOMIC_SEQ_CST);
	if (executor_self)
		executor_self->attention = 1;
}

static void cpu_nmi(void *o, unsigned cpu)
{
	struct machine *m = o;

	m->vm.vcpu[cpu]->nmi_pending = true;
	cpu_intr(o, cpu, true);
}

/* One CPU so far: INIT to itself is a reset of the machine, SIPI has nobody to start. */
static void cpu_init(void *o, unsigned cpu)
{
	log_info("guest sent INIT to CPU %u: resetting", cpu);
	vm_stop(&((struct machine *)o)->vm, STOP_RESET, 0);
}

static void cpu_sipi(void *o, unsigned cpu, u8 vector) { trace(unimp, "SIPI to CPU %u, vector %02x", cpu, vector); }

static void machine_event(void *o, enum machine_event ev, int code)
{
	struct machine *m = o;

	switch (ev) {
	case MACHINE_POWEROFF: vm_stop(&m->vm, STOP_POWEROFF, 0); break;
	case MACHINE_RESET: vm_stop(&m->vm, STOP_RESET, 0); break;
	case MACHINE_DEBUG_EXIT: vm_stop(&m->vm, STOP_DEBUG_EXIT, code); break;
	case MACHINE_PANIC: vm_stop(&m->vm, STOP_PANIC, 0); break;
	}
}

/* The monitor looks at pool.wanted when it is woken. */
static void plat_want_space(void *opaque)
{
	struct machine *m = opaque;

	vm_ring(&m->vm);
}

void platform_init(struct machine *m)
{
	m->platform = (struct platform){
		.opaque = m, .pio_read = plat_pio_read, .pio_write = plat_pio_write,
		.mmio_read = plat_mmio_read, .mmio_write = plat_mmio_write,
		.intr_ack = plat_intr_ack, .intr_pending = plat_intr_pending,
		.msr_read = plat_msr_read, .msr_write = plat_msr_write,
		.host_events = plat_host_events, .run_timers = plat_run_timers, .next_deadline = plat_next_deadline,
		.triple_fault = plat_triple_fault, .leave = plat_leave, .failed = plat_failed,
		.want_space = plat_want_space,
		.tsc_hz = m->vm.clock.tsc_hz, .lapic_hz = PC_LAPIC_TIMER_HZ, .cpus = m->vm.cfg.cpus,
		.paging_changed = bt_paging_changed,
	};
}

void platform_connect(struct machine *m, struct pc_config *pc)
{
	pc->opaque = m;
	pc->cpu_intr = cpu_intr;
	pc->cpu_nmi = cpu_nmi;
	pc->cpu_init = cpu_init;
	pc->cpu_sipi = cpu_sipi;
	pc->event = machine_event;
}
