/*
 * Putting the machine together: the shared arena, guest RAM, the code cache,
 * the devices, the CPU and its engine; forking the executor; reset and stop.
 *
 * Everything that both processes touch is in the arena, mapped at the same
 * address before the fork.
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

/* Where things are in every process of a machine; far from anything the host puts anywhere. */
#define ARENA_BASE   ((u8 *)0x200000000000ull)
#define RAM_BASE     ((u8 *)0x300000000000ull)
#define CODE_RW_BASE ((u8 *)0x400000000000ull)
#define CODE_RX_BASE ((u8 *)0x410000000000ull)
#define USER_PAGES_BASE ((u8 *)0x420000000000ull)
#define VM_SPACING   0x10000000000ull	/* a second machine in the same process is this much higher */

struct machine {
	struct vm vm;		/* first: a struct vm * is a struct machine * */
	struct exec *exec;
	struct shadow *shadow;
	u8 *shadow_tables;
	u64 shadow_tables_size;
	struct bt *bt;
	u8 *bt_tables;
	u64 bt_tables_size;
	u8 *code_rw, *code_rx;
	struct cpuid_table cpuid;
	struct platform platform;
	struct boot_files files;
	struct symbols *symbols;		/* --symbols FILE */
	struct guest_symbols *names;
	u64 arena_size;
	int ram_fd, code_fd, user_fd;
	u8 *user_pages;
	lin_t min_addr;
	u64 max_maps;
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

static u32 plat_pio_read(void *o, u16 port, unsigned size)
{
	struct machine *m = o;
	u32 v = bus_pio_read(pc_bus(m->vm.pc), port, size);

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
	return __atomic_load_n(&((struct machine *)o)->vm.stop_reason, __ATOMIC_RELAXED) != STOP_NONE;
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
	else
		vm_kick(&m->vm, cpu);
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
static void *carve(u64 *used, u64 size, u64 align)
{
	u8 *p;

	*used = ALIGN_UP(*used, align);
	p = ARENA_BASE + *used;
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
		.run_timers = plat_run_timers, .next_deadline = plat_next_deadline,
		.triple_fault = plat_triple_fault, .stopped = plat_stopped,
		.tsc_hz = m->vm.clock.tsc_hz, .lapic_hz = PC_LAPIC_TIMER_HZ, .cpus = m->vm.cfg.cpus,
		.paging_changed = bt_paging_changed,
	};
}

static int build_devices(struct machine *m)
{
	struct vm *vm = &m->vm;
	struct pc_config pc = {
		.cpus = vm->cfg.cpus, .clock = &vm->clock, .phys = &vm->phys, .cpu_intr = cpu_intr,
		.cpu_nmi = cpu_nmi, .cpu_init = cpu_init, .cpu_sipi = cpu_sipi, .event = machine_event,
		.opaque = m, .debug_exit = vm->cfg.debug_exit, .rtc_offset = (s64)time(NULL),
		.kernel = { m->files.kernel.data, (u32)m->files.kernel.len },
		.initrd = { m->files.initrd.data, (u32)m->files.initrd.len },
		.cmdline = { m->files.append, (u32)strlen(m->files.append) + 1 },
	};

	for (unsigned i = 0; i < SERIAL_MAX && i < PC_SERIAL_MAX; i++) {
		vm->serial[i].doorbell_fd = -1;
		if (vm->cfg.serial[i].kind != SERIAL_NONE)
			pc.serial[i] = &vm->serial[i];
	}
	vm->debugcon.doorbell_fd = -1;
	if (vm->cfg.debugcon.kind != SERIAL_NONE)
		pc.debugcon = &vm->debugcon;
	return pc_init(vm->pc, &pc);
}

/* The engine's state, as at power-on.  The tables' pages go back to the host. */
static void reset_engine(struct machine *m)
{
	struct vm *vm = &m->vm;
	struct bt_config cfg = {
		.cache_size = vm->cfg.cache_size, .block_insns = vm->cfg.block_insns, .no_chain = vm->cfg.no_chain,
		.profile = vm->cfg.profile, .bisect_lo = vm->cfg.bisect_lo, .bisect_hi = vm->cfg.bisect_hi,
	};

	madvise(m->shadow_tables, ALIGN_UP(m->shadow_tables_size, PAGE_SIZE), MADV_REMOVE);
	madvise(m->bt_tables, ALIGN_UP(m->bt_tables_size, PAGE_SIZE), MADV_REMOVE);
	memset(m->shadow, 0, sizeof(*m->shadow));
	memset(m->bt, 0, sizeof(*m->bt));
	memset(vm->phys.has_code, 0, vm->phys.ram_size >> PAGE_SHIFT);
	shadow_init(m->shadow, &vm->phys, &vm->counters, m->shadow_tables, m->min_addr, m->max_maps);
	bt_init(m->bt, &cfg, &vm->phys, m->shadow, &vm->counters, m->code_rw, m->code_rx, m->bt_tables);
	guest_symbols_forget(m->names);
	m->bt->symbol = guest_symbols_find;
	m->bt->symbol_opaque = m->names;
}

struct vm *vm_create(const struct config *cfg, char *err, size_t errlen)
{
	struct machine *m;
	struct phys_map sizing = { .ram_size = cfg->mem };
	u64 used = 0, pages = cfg->mem >> PAGE_SHIFT;
	u64 total = (64ull << 20) + pc_size() + sizeof(struct exec) + shadow_tables_size(&sizing) +
		    bt_tables_size(&sizing) + pages;
	struct cpuid_host host = { 0 };
	const char *what;
	int r;

	total = ALIGN_UP(total, 1ull << 21);
	what = "memory for the machine";
	m = mmap(ARENA_BASE, total, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (m == MAP_FAILED)
		goto fail_errno;
	carve(&used, sizeof(*m), 4096);
	m->arena_size = total;
	m->vm.cfg = *cfg;
	m->vm.event_fd = m->ram_fd = m->code_fd = m->user_fd = -1;
	m->vm.pc = carve(&used, pc_size(), 4096);
	m->exec = carve(&used, sizeof(struct exec), 65536);
	m->shadow = carve(&used, sizeof(struct shadow), 4096);
	m->bt = carve(&used, sizeof(struct bt), 4096);
	m->vm.phys.has_code = carve(&used, pages, 4096);
	m->shadow_tables_size = shadow_tables_size(&sizing);
	m->shadow_tables = carve(&used, m->shadow_tables_size, 4096);
	m->bt_tables_size = bt_tables_size(&sizing);
	m->bt_tables = carve(&used, m->bt_tables_size, 4096);
	CHECK(used <= total);

	r = boot_read_files(&m->files, cfg->kernel, cfg->initrd, cfg->append ? cfg->append : "", err, errlen);
	if (r < 0)
		goto fail;
	if (cfg->symbols) {
		m->symbols = symbols_load(cfg->symbols, err, errlen);
		if (!m->symbols)
			goto fail;
	}

	what = "guest RAM";
	m->ram_fd = memfd_create("guest-ram", MFD_CLOEXEC);
	if (m->ram_fd < 0 || ftruncate(m->ram_fd, (off_t)cfg->mem) < 0)
		goto fail_errno;
	m->vm.phys.ram = map_fd(RAM_BASE, cfg->mem, PROT_READ | PROT_WRITE, m->ram_fd);
	if (!m->vm.phys.ram)
		goto fail_errno;
	m->vm.phys.ram_size = cfg->mem;
	m->vm.phys.ram_fd = m->ram_fd;

	what = "the code cache";
	m->code_fd = memfd_create("code-cache", MFD_CLOEXEC);
	if (m->code_fd < 0 || ftruncate(m->code_fd, (off_t)cfg->cache_size) < 0)
		goto fail_errno;
	m->code_rw = map_fd(CODE_RW_BASE, cfg->cache_size, PROT_READ | PROT_WRITE, m->code_fd);
	m->code_rx = m->code_rw ? map_fd(CODE_RX_BASE, cfg->cache_size, PROT_READ | PROT_EXEC, m->code_fd) : NULL;
	if (!m->code_rx)
		goto fail_errno;

	what = "the user stub pages";
	m->user_fd = memfd_create("user-stub", MFD_CLOEXEC);
	if (m->user_fd < 0 || ftruncate(m->user_fd, USER_PAGES_SIZE) < 0)
		goto fail_errno;
	m->user_pages = map_fd(USER_PAGES_BASE, USER_PAGES_SIZE, PROT_READ | PROT_WRITE, m->user_fd);
	if (!m->user_pages)
		goto fail_errno;

	what = "an eventfd";
	m->vm.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->vm.event_fd < 0)
		goto fail_errno;
	if (clock_init(&m->vm.clock) < 0) {
		snprintf(err, errlen, "the host's time-stamp counter does not run");
		goto fail;
	}
	m->min_addr = (lin_t)ALIGN_UP((u64)read_sysctl("/proc/sys/vm/mmap_min_addr", 65536), (u64)PAGE_SIZE);
	m->max_maps = cfg->max_maps ? cfg->max_maps : (u64)read_sysctl("/proc/sys/vm/max_map_count", 65530) * 3 / 4;
	build_platform(m);
	r = build_devices(m);
	if (r < 0) {
		snprintf(err, errlen, "cannot build the devices: %s", strerror(-r));
		goto fail;
	}
	cpuid_host_probe(&host);
	host.tsc_hz = m->vm.clock.tsc_hz;
	host.lapic_hz = PC_LAPIC_TIMER_HZ;
	host.cpus = cfg->cpus;
	cpuid_init(&m->cpuid, &host);
	m->vm.vcpu[0] = &m->exec->v;
	m->exec->v.phys = &m->vm.phys;
	m->exec->v.count = &m->vm.counters;
	m->exec->v.platform = &m->platform;
	m->exec->v.cpuid = &m->cpuid;
	m->exec->v.engine = m->exec;
	m->exec->clock = &m->vm.clock;
	m->exec->no_user_patching = cfg->no_user_patching;
	m->exec->xfeatures = host_xfeatures();
	what = "memory for symbols";
	m->names = guest_symbols_new(&m->exec->v, m->symbols);
	if (!m->names)
		goto fail_errno;
	return &m->vm;

fail_errno:
	snprintf(err, errlen, "cannot get %s: %s", what, strerror(errno));
	if (m == MAP_FAILED)
		return NULL;
fail:
	vm_destroy(&m->vm);
	return NULL;
}

void vm_destroy(struct vm *vm)
{
	struct machine *m = machine_of(vm);

	boot_free_files(&m->files);
	guest_symbols_free(m->names);
	symbols_free(m->symbols);
	if (m->vm.phys.ram)
		munmap(m->vm.phys.ram, m->vm.phys.ram_size);
	if (m->code_rw)
		munmap(m->code_rw, m->vm.cfg.cache_size);
	if (m->code_rx)
		munmap(m->code_rx, m->vm.cfg.cache_size);
	if (m->user_pages)
		munmap(m->user_pages, USER_PAGES_SIZE);
	if (m->user_fd >= 0)
		close(m->user_fd);
	if (m->ram_fd >= 0)
		close(m->ram_fd);
	if (m->code_fd >= 0)
		close(m->code_fd);
	if (m->vm.event_fd >= 0)
		close(m->vm.event_fd);
	munmap(m, m->arena_size);
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
	pc_reset(vm->pc);
	reset_engine(m);
	vcpu_reset(v);
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
		.write_fd = { m->vm.event_fd, m->vm.debugcon.doorbell_fd }, .write_count = 2,
		.library = trace_on(TRACE_translate),
	};

	for (unsigned i = 0; i < SERIAL_MAX; i++)
		n.write_fd[n.write_count++] = m->vm.serial[i].doorbell_fd;
	return n;
}

_Noreturn static void executor_main(struct machine *m)
{
	struct exec *x = m->exec;
	struct confine_needs needs = needs_of(m);
	struct confinement cage = { 0 };
	u64 one = 1;
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "ringer-exec");
	executor_self = x;
	check_dump = dump_current;
	x->tid = x->pid = (int)sys3(SYS_getpid, 0, 0, 0);
	m->vm.executor_tid = x->tid;
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
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		executor_main(m);
	vm->executor_pid = pid;
	return 0;
}

void vm_stop(struct vm *vm, enum stop_reason reason, int code)
{
	u32 none = STOP_NONE;
	u64 one = 1;

	if (!__atomic_compare_exchange_n(&vm->stop_reason, &none, reason, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return;
	vm->stop_code = code;
	sys_write(vm->event_fd, &one, sizeof(one));
	if (executor_self)
		executor_self->attention = 1;
	else
		vm_kick(vm, 0);
}

void vm_kick(struct vm *vm, unsigned cpu)
{
	struct vcpu *v = vm->vcpu[cpu];

	__atomic_store_n(&v->intr_pending, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&v->halt_futex, 1, __ATOMIC_SEQ_CST);
	sys6(SYS_futex, (long)&v->halt_futex, FUTEX_WAKE, 1, 0, 0, 0);
	if (vm->executor_pid > 0 && vm->executor_tid > 0)
		sys3(SYS_tgkill, vm->executor_pid, vm->executor_tid, SIG_KICK);
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
			vm_kick(vm, 0);
		nanosleep(&pause, NULL);
	}
	log_warn("the executor does not stop; killing it");
	kill(vm->executor_pid, SIGKILL);
	waitpid(vm->executor_pid, NULL, 0);
gone:
	vm->executor_pid = vm->executor_tid = 0;
}

void vm_measure_processes(struct vm *vm)
{
	u64 bytes = memory_of_process((int)getpid()) +
		    (vm->executor_pid > 0 ? memory_of_process(vm->executor_pid) : 0);

	vm->counters.mem_process = max_u64(vm->counters.mem_process, bytes);
}

void vm_measure_memory(struct vm *vm)
{
	struct machine *m = machine_of(vm);
	struct counters *c = &vm->counters;

	vm_measure_processes(vm);
	c->mem_code = memory_of_file(m->code_fd);
	c->mem_blocks = memory_touched(m->bt_tables, m->bt_tables_size);
	c->mem_shadow = memory_touched(m->shadow_tables, m->shadow_tables_size);
	c->mem_machine = memory_touched(m, m->arena_size) - c->mem_blocks - c->mem_shadow;
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

unsigned vm_profile(struct vm *vm, struct profile_row *out, unsigned max)
{
	struct machine *m = machine_of(vm);
	struct profile_block blocks[4 * PROFILE_MAX];
	unsigned n = merge_profile(blocks, bt_profile(m->bt, blocks, ARRAY_SIZE(blocks)));

	n = n < max ? n : max;
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
	if (vm->stop_reason == STOP_DEBUG_EXIT)
		return vm->stop_code & 0xff;
	return vm->stop_reason < STOP_COUNT ? status[vm->stop_reason] : EXIT_HOST;
}
