/*
 * Putting the machine together: the shared arena, guest RAM, the code cache,
 * the devices, the CPU and its engine; forking the executor; reset and stop.
 *
 * struct machine is private memory; the arena and the other shared mappings lie
 * in one slot of the address space, the same in the monitor and its executors.
 * Pointers into the slot are kept here, where an executor cannot change them for
 * the monitor; what is in the arena is built by vm_boot, from zero, whenever no
 * executor runs that could interfere.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/check.h"
#include "base/log.h"
#include "base/sys.h"
#include "bt/bt.h"
#include "cpu/access.h"
#include "cpu/arch.h"
#include "cpu/cpuid.h"
#include "cpu/exec.h"
#include "cpu/timer.h"
#include "cpu/vdso.h"
#include "vmm/boot.h"
#include "vmm/confine.h"
#include "vmm/guest_symbols.h"
#include "vmm/memory_use.h"
#include "vmm/symbols.h"
#include "vmm/vm.h"

/*
 * Where a machine's shared memory is, far from anything the host puts anywhere:
 * one slot for each machine of a process.
 */
#define SLOTS_BASE   ((u8 *)0x200000000000ull)
#define SLOT_SIZE    0x10000000000ull
#define SLOT_COUNT   16u
#define IN_ARENA     0ull
#define IN_RAM       0x1000000000ull
#define IN_CODE_RW   0x2000000000ull
#define IN_CODE_RX   0x3000000000ull
#define IN_USER_PAGES 0x3800000000ull

_Static_assert(IN_RAM + RAM_SIZE_MAX <= IN_CODE_RW && IN_USER_PAGES + USER_PAGES_SIZE <= SLOT_SIZE, "they do not overlap");

struct machine {
	struct vm vm;		/* first: a struct vm * is a struct machine * */
	u8 *slot;
	u64 arena_size;
	/* In the arena. */
	struct exec *exec;
	struct shadow *shadow;
	u8 *shadow_tables;
	u64 shadow_tables_size;
	struct bt *bt;
	u8 *bt_tables;
	u64 bt_tables_size;
	/* Elsewhere in the slot. */
	u8 *code_rw, *code_rx;
	u8 *user_pages;
	int ram_fd, code_fd, user_fd;

	struct cpuid_table cpuid;
	struct platform platform;
	struct boot_files files;
	struct symbols *symbols;		/* --symbols FILE */
	struct guest_symbols *names;
	struct vcpu *frozen;			/* a dead executor's CPU, made fit to be looked at */
	s64 wall_clock;				/* UTC at guest time 0 */
	lin_t min_addr;
	u64 max_maps;
	bool built;				/* the arena holds a machine that may have run */
};

/* Which side of the fork this process is on.  Per process by nature. */
static struct exec *executor_self;

static struct machine *machine_of(struct vm *vm) { return (struct machine *)vm; }

/* ---- what the devices and the CPU need of each other ---- */

static void sync_timer(struct machine *m)
{
	if (executor_self)
		exec_timer_update(executor_self, __atomic_load_n(&pc_bus(m->vm.pc)->next_deadline, __ATOMIC_RELAXED));
}

static void plat_host_events(void *o);

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

static bool plat_stopped(void *o)
{
	return __atomic_load_n(&((struct machine *)o)->vm.shared->stop, __ATOMIC_RELAXED) != STOP_NONE;
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
		__atomic_store_n(&s->stats_done, s->stats_request, __ATOMIC_RELEASE);
		sys_write(m->vm.event_fd, &one, sizeof(one));
	}
}

static void plat_triple_fault(void *o, unsigned cpu)
{
	struct machine *m = o;

	log_error("triple fault; the CPU's state:");
	bt_dump(m->exec);
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
	}
}

/* ---- construction ---- */

static long read_sysctl(const char *path, long fallback)
{
	FILE *f = fopen(path, "re");
	long v = fallback;

	if (f) {
		if (fscanf(f, "%ld", &v) != 1)
			v = fallback;
		fclose(f);
	}
	return v;
}

static u64 host_xfeatures(void)
{
	u32 lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (u64)hi << 32 | lo;
}

/* Carve a piece of the arena. */
static void *carve(struct machine *m, u64 *used, u64 size, u64 align)
{
	u8 *p;

	*used = ALIGN_UP(*used, align);
	p = m->slot + IN_ARENA + *used;
	*used += size;
	return p;
}

static void *map_fd(u8 *at, u64 size, int prot, int fd)
{
	void *p = mmap(at, size, prot, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void build_platform(struct machine *m)
{
	m->platform = (struct platform){
		.opaque = m, .pio_read = plat_pio_read, .pio_write = plat_pio_write,
		.mmio_read = plat_mmio_read, .mmio_write = plat_mmio_write,
		.intr_ack = plat_intr_ack, .intr_pending = plat_intr_pending,
		.msr_read = plat_msr_read, .msr_write = plat_msr_write,
		.host_events = plat_host_events, .run_timers = plat_run_timers, .next_deadline = plat_next_deadline,
		.triple_fault = plat_triple_fault, .stopped = plat_stopped,
		.tsc_hz = m->vm.clock.tsc_hz, .lapic_hz = PC_LAPIC_TIMER_HZ, .cpus = m->vm.cfg.cpus,
		.paging_changed = bt_paging_changed,
	};
}

static int build_devices(struct machine *m, const struct rtc_battery *battery)
{
	struct vm *vm = &m->vm;
	struct vm_shared *s = vm->shared;
	struct pc_config pc = {
		.cpus = vm->cfg.cpus, .clock = &vm->clock, .phys = &vm->phys, .cpu_intr = cpu_intr,
		.cpu_nmi = cpu_nmi, .cpu_init = cpu_init, .cpu_sipi = cpu_sipi, .event = machine_event,
		.opaque = m, .debug_exit = vm->cfg.debug_exit, .rtc_offset = m->wall_clock, .battery = battery,
		.kernel = { m->files.kernel.data, (u32)m->files.kernel.len },
		.initrd = { m->files.initrd.data, (u32)m->files.initrd.len },
		.cmdline = { m->files.append, (u32)strlen(m->files.append) + 1 },
	};

	for (unsigned i = 0; i < SERIAL_MAX && i < PC_SERIAL_MAX; i++) {
		s->serial[i].doorbell_fd = -1;
		if (vm->cfg.serial[i].kind != SERIAL_NONE)
			pc.serial[i] = &s->serial[i];
	}
	s->debugcon.doorbell_fd = -1;
	if (vm->cfg.debugcon.kind != SERIAL_NONE)
		pc.debugcon = &s->debugcon;
	return pc_init(vm->pc, &pc);
}

static struct bt_config engine_config(const struct config *cfg)
{
	return (struct bt_config){
		.cache_size = cfg->cache_size, .block_insns = cfg->block_insns, .no_chain = cfg->no_chain,
		.profile = cfg->profile, .bisect_lo = cfg->bisect_lo, .bisect_hi = cfg->bisect_hi,
	};
}

static void build_engine(struct machine *m)
{
	struct vm *vm = &m->vm;
	struct bt_config cfg = engine_config(&vm->cfg);
	struct counters *count = &vm->shared->counters;

	shadow_init(m->shadow, &vm->phys, count, m->shadow_tables, m->min_addr, m->max_maps);
	bt_init(m->bt, &cfg, &vm->phys, m->shadow, count, m->code_rw, m->code_rx, m->bt_tables);
	guest_symbols_forget(m->names);
	guest_symbols_look(m->names, &m->exec->v);
	m->bt->symbol = guest_symbols_find;
	m->bt->symbol_opaque = m->names;
}

static void build_cpu(struct machine *m)
{
	struct exec *x = m->exec;

	x->v.phys = &m->vm.phys;
	x->v.count = &m->vm.shared->counters;
	x->v.platform = &m->platform;
	x->v.cpuid = &m->cpuid;
	x->v.engine = x;
	x->clock = &m->vm.clock;
	x->no_user_patching = m->vm.cfg.no_user_patching;
	x->xfeatures = host_xfeatures();
	vcpu_reset(&x->v);
}

/*
 * Everything in the arena, as at power-on: what an executor has left there is
 * wiped, but for numbers.  The pages go back to the host.
 */
static int build_machine(struct machine *m)
{
	struct vm *vm = &m->vm;
	struct counters counters = vm->shared->counters;
	struct rtc_battery battery;

	if (m->built) {
		vm->past = vm_interrupts(vm);
		pc_save(vm->pc, &battery);
	}
	if (madvise(m->slot + IN_ARENA, m->arena_size, MADV_REMOVE))
		return -errno;
	vm->shared->counters = counters;
	build_engine(m);
	build_cpu(m);
	return build_devices(m, m->built ? &battery : NULL);
}

/* The first free slot, with the arena in it.  NULL: none, see errno. */
static u8 *take_slot(u64 arena_size)
{
	for (unsigned i = 0; i < SLOT_COUNT; i++) {
		u8 *slot = SLOTS_BASE + i * SLOT_SIZE;
		void *p = mmap(slot + IN_ARENA, arena_size, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

		if (p != MAP_FAILED)
			return slot;
		if (errno != EEXIST)
			return NULL;
	}
	return NULL;
}

static bool make_arena(struct machine *m)
{
	const struct config *cfg = &m->vm.cfg;
	struct phys_map sizing = { .ram_size = cfg->mem };
	u64 used = 0, pages = cfg->mem >> PAGE_SHIFT;

	m->shadow_tables_size = shadow_tables_size(&sizing);
	m->bt_tables_size = bt_tables_size(&sizing);
	m->arena_size = ALIGN_UP((64ull << 20) + pc_size() + sizeof(struct exec) + m->shadow_tables_size +
				 m->bt_tables_size + pages, 1ull << 21);
	m->slot = take_slot(m->arena_size);
	if (!m->slot)
		return false;
	m->vm.shared = carve(m, &used, sizeof(*m->vm.shared), 4096);
	m->vm.pc = carve(m, &used, pc_size(), 4096);
	m->exec = carve(m, &used, sizeof(struct exec), 65536);
	m->shadow = carve(m, &used, sizeof(struct shadow), 4096);
	m->bt = carve(m, &used, sizeof(struct bt), 4096);
	m->vm.phys.has_code = carve(m, &used, pages, 4096);
	m->shadow_tables = carve(m, &used, m->shadow_tables_size, 4096);
	m->bt_tables = carve(m, &used, m->bt_tables_size, 4096);
	CHECK(used <= m->arena_size);
	m->vm.vcpu[0] = &m->exec->v;
	return true;
}

/* A memfd of a size that nobody can change.  -1: see errno. */
static int make_memfd(const char *name, u64 size)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && (ftruncate(fd, (off_t)size) < 0 ||
			fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)) {
		int code = errno;

		close(fd);
		errno = code;
		return -1;
	}
	return fd;
}

/* True, or what could not be had, with errno. */
static bool make_memory(struct machine *m, const char **what)
{
	const struct config *cfg = &m->vm.cfg;

	*what = "memory for the machine";
	if (!make_arena(m))
		return false;

	*what = "guest RAM";
	m->ram_fd = make_memfd("guest-ram", cfg->mem);
	if (m->ram_fd < 0)
		return false;
	m->vm.phys.ram = map_fd(m->slot + IN_RAM, cfg->mem, PROT_READ | PROT_WRITE, m->ram_fd);
	if (!m->vm.phys.ram)
		return false;
	m->vm.phys.ram_size = cfg->mem;
	m->vm.phys.ram_fd = m->ram_fd;

	*what = "the code cache";
	m->code_fd = make_memfd("code-cache", cfg->cache_size);
	if (m->code_fd < 0)
		return false;
	m->code_rw = map_fd(m->slot + IN_CODE_RW, cfg->cache_size, PROT_READ | PROT_WRITE, m->code_fd);
	m->code_rx = map_fd(m->slot + IN_CODE_RX, cfg->cache_size, PROT_READ | PROT_EXEC, m->code_fd);
	if (!m->code_rw || !m->code_rx)
		return false;

	*what = "the user stub pages";
	m->user_fd = make_memfd("user-stub", USER_PAGES_SIZE);
	if (m->user_fd < 0)
		return false;
	m->user_pages = map_fd(m->slot + IN_USER_PAGES, USER_PAGES_SIZE, PROT_READ | PROT_WRITE, m->user_fd);
	if (!m->user_pages)
		return false;

	*what = "an eventfd";
	m->vm.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return m->vm.event_fd >= 0;
}

static void probe_host(struct machine *m)
{
	struct cpuid_host host = { 0 };

	cpuid_host_probe(&host);
	host.tsc_hz = m->vm.clock.tsc_hz;
	host.lapic_hz = PC_LAPIC_TIMER_HZ;
	host.cpus = m->vm.cfg.cpus;
	cpuid_init(&m->cpuid, &host);
	m->min_addr = (lin_t)ALIGN_UP((u64)read_sysctl("/proc/sys/vm/mmap_min_addr", 65536), (u64)PAGE_SIZE);
	m->max_maps = m->vm.cfg.max_maps;
	if (!m->max_maps)
		m->max_maps = (u64)read_sysctl("/proc/sys/vm/max_map_count", 65530) * 3 / 4;
}

struct vm *vm_create(const struct config *cfg, char *err, size_t errlen)
{
	struct machine *m = calloc(1, sizeof(*m));
	const char *what = "memory for the machine";

	if (!m)
		goto fail_errno;
	m->vm.cfg = *cfg;
	m->vm.event_fd = m->ram_fd = m->code_fd = m->user_fd = -1;
	if (boot_read_files(&m->files, cfg->kernel, cfg->initrd, cfg->append ? cfg->append : "", err, errlen) < 0)
		goto fail;
	if (cfg->symbols) {
		m->symbols = symbols_load(cfg->symbols, err, errlen);
		if (!m->symbols)
			goto fail;
	}
	if (!make_memory(m, &what))
		goto fail_errno;
	if (clock_init(&m->vm.clock) < 0) {
		snprintf(err, errlen, "the host's time-stamp counter does not run");
		goto fail;
	}
	m->wall_clock = (s64)time(NULL);
	probe_host(m);
	build_platform(m);
	what = "memory for symbols";
	m->frozen = calloc(1, sizeof(*m->frozen));
	m->names = guest_symbols_new(&m->exec->v, m->symbols);
	if (!m->names || !m->frozen)
		goto fail_errno;
	return &m->vm;

fail_errno:
	snprintf(err, errlen, "cannot get %s: %s", what, strerror(errno));
fail:
	vm_destroy(m ? &m->vm : NULL);
	return NULL;
}

void vm_destroy(struct vm *vm)
{
	struct machine *m = machine_of(vm);

	if (!vm)
		return;
	if (vm->executor_pid > 0) {
		vm_stop(vm, STOP_QUIT, 0);
		vm_join(vm);
	}
	boot_free_files(&m->files);
	guest_symbols_free(m->names);
	symbols_free(m->symbols);
	if (m->slot)
		munmap(m->slot, SLOT_SIZE);
	if (m->user_fd >= 0)
		close(m->user_fd);
	if (m->ram_fd >= 0)
		close(m->ram_fd);
	if (m->code_fd >= 0)
		close(m->code_fd);
	if (vm->event_fd >= 0)
		close(vm->event_fd);
	free(m->frozen);
	free(m);
}

/* A segment register as the boot protocols want it: loaded from the GDT that boot_place left. */
static bool load_boot_segment(struct vcpu *v, enum seg s, u16 sel)
{
	u32 desc[2];

	if (!desc_fetch(v, sel, desc, EXC_GP))
		return false;
	desc_to_segment(sel, desc, &v->seg[s]);
	return true;
}

int vm_boot(struct vm *vm, char *err, size_t errlen)
{
	struct machine *m = machine_of(vm);
	struct vcpu *v = vm->vcpu[0];
	struct boot_state b;
	int r;

	vm->stop_reason = STOP_NONE;
	vm->stop_code = 0;
	r = build_machine(m);
	if (r < 0) {
		snprintf(err, errlen, "cannot build the machine: %s", strerror(-r));
		return r;
	}
	m->built = true;
	r = boot_place(&m->files, &vm->phys, vm->cfg.cpus, &b, err, errlen);
	if (r < 0)
		return r;
	memcpy(v->regs, b.regs, sizeof(v->regs));
	v->eip = b.eip;
	v->cr0 = CR0_PE | CR0_ET;
	v->gdt_base = b.gdt_base;
	v->gdt_limit = b.gdt_limit;
	vcpu_update_paging(v);
	for (enum seg s = SEG_ES; s <= SEG_GS; s++)
		if (!load_boot_segment(v, s, s == SEG_CS ? b.cs : b.ds)) {
			snprintf(err, errlen, "boot: bad segment descriptors");
			return -EINVAL;
		}
	v->cpl = 0;
	vcpu_update_mode(v);
	return 0;
}

/* ---- running ---- */

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

enum stop_reason vm_stopped(struct vm *vm)
{
	u64 stop = __atomic_load_n(&vm->shared->stop, __ATOMIC_ACQUIRE);

	if (vm->stop_reason == STOP_NONE && stop) {
		vm->stop_reason = (u32)stop < STOP_COUNT ? (enum stop_reason)(u32)stop : STOP_INTERNAL;
		vm->stop_code = (int)(stop >> 32);
	}
	return vm->stop_reason;
}

/* Out of guest code, or out of HLT.  The executor has one thread, so its ids are the same. */
static void kick(struct vm *vm)
{
	struct vcpu *v = vm->vcpu[0];

	__atomic_store_n(&v->intr_pending, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&v->halt_futex, 1, __ATOMIC_SEQ_CST);
	sys6(SYS_futex, (long)&v->halt_futex, FUTEX_WAKE, 1, 0, 0, 0);
	if (vm->executor_pid > 0)
		sys3(SYS_tgkill, vm->executor_pid, vm->executor_pid, SIG_KICK);
}

void vm_stop(struct vm *vm, enum stop_reason reason, int code)
{
	u64 none = STOP_NONE, stop = (u64)(u32)code << 32 | reason, one = 1;

	__atomic_compare_exchange_n(&vm->shared->stop, &none, stop, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	if (executor_self) {
		sys_write(vm->event_fd, &one, sizeof(one));
		executor_self->attention = 1;
	} else {
		/* What an executor does to `stop` now changes nothing. */
		if (vm_stopped(vm) == STOP_NONE) {
			vm->stop_reason = reason;
			vm->stop_code = code;
		}
		kick(vm);
	}
}

void vm_notify(struct vm *vm)
{
	__atomic_store_n(&vm->shared->host_events, 1, __ATOMIC_SEQ_CST);
	kick(vm);
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
			kick(vm);
		nanosleep(&pause, NULL);
	}
	log_warn("the executor does not stop; killing it");
	kill(vm->executor_pid, SIGKILL);
	waitpid(vm->executor_pid, NULL, 0);
gone:
	vm->executor_pid = 0;
}

/* ---- looking at it ---- */

struct pc_stats vm_interrupts(const struct vm *vm)
{
	struct pc_stats s = pc_stats(vm->pc);

	for (size_t i = 0; i < ARRAY_SIZE(s.irq); i++)
		s.irq[i] += vm->past.irq[i];
	s.lapic_timer += vm->past.lapic_timer;
	s.ipi += vm->past.ipi;
	s.spurious += vm->past.spurious;
	s.timer_fires += vm->past.timer_fires;
	return s;
}

void vm_measure_processes(struct vm *vm)
{
	u64 bytes = memory_of_process((int)getpid()) +
		    (vm->executor_pid > 0 ? memory_of_process(vm->executor_pid) : 0);

	vm->shared->counters.mem_process = max_u64(vm->shared->counters.mem_process, bytes);
}

void vm_measure_memory(struct vm *vm)
{
	struct machine *m = machine_of(vm);
	struct counters *c = &vm->shared->counters;

	vm_measure_processes(vm);
	c->mem_code = memory_of_file(m->code_fd);
	c->mem_blocks = memory_touched(m->bt_tables, m->bt_tables_size);
	c->mem_shadow = memory_touched(m->shadow_tables, m->shadow_tables_size);
	c->mem_machine = memory_touched(m->slot + IN_ARENA, m->arena_size) - c->mem_blocks - c->mem_shadow;
}

/* One row an address: an address has several blocks when it was translated more than once. */
static unsigned merge_profile(struct profile_block *b, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned j = 0;

		while (j < kept && b[j].eip != b[i].eip)
			j++;
		if (j < kept)
			b[j].runs += b[i].runs;
		else
			b[kept++] = b[i];
	}
	for (unsigned i = 1; i < kept; i++)
		for (unsigned j = i; j > 0 && b[j - 1].runs < b[j].runs; j--) {
			struct profile_block t = b[j];

			b[j] = b[j - 1];
			b[j - 1] = t;
		}
	return kept;
}

/* The CPU as the executor left it, but for its pointers: with it the guest's memory can be read. */
static struct vcpu *freeze(struct machine *m)
{
	struct vcpu *v = m->frozen;

	*v = (struct vcpu){ .cr0 = m->exec->v.cr0, .cr3 = m->exec->v.cr3, .cr4 = m->exec->v.cr4,
			    .efer = m->exec->v.efer, .phys = &m->vm.phys };
	memcpy(v->pdpte, m->exec->v.pdpte, sizeof(v->pdpte));
	vcpu_update_paging(v);
	return v;
}

unsigned vm_profile(struct vm *vm, struct profile_row *out, unsigned max)
{
	struct machine *m = machine_of(vm);
	struct profile_block blocks[4 * PROFILE_MAX];
	struct bt_config cfg = engine_config(&vm->cfg);
	struct counters unused;
	struct bt bt = { 0 };	/* with our own pointers to the tables */
	unsigned n;

	bt_init(&bt, &cfg, &vm->phys, m->shadow, &unused, m->code_rw, m->code_rx, m->bt_tables);
	bt.block_count = m->bt->block_count < BLOCKS_MAX ? m->bt->block_count : BLOCKS_MAX;
	n = merge_profile(blocks, bt_profile(&bt, blocks, ARRAY_SIZE(blocks)));
	n = n < max ? n : max;
	guest_symbols_look(m->names, freeze(m));
	for (unsigned i = 0; i < n; i++) {
		out[i] = (struct profile_row){ .guest_eip = blocks[i].eip, .count = blocks[i].runs };
		out[i].symbol = guest_symbols_find(m->names, blocks[i].eip, &out[i].offset);
	}
	return n;
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
