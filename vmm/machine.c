/*
 * Putting the machine together: the shared arena, guest RAM, the code cache,
 * the devices, the CPU and its engine; power-on and reset.
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "base/check.h"
#include "base/log.h"
#include "cpu/access.h"
#include "cpu/arch.h"
#include "vmm/boot.h"
#include "vmm/machine.h"
#include "vmm/symbols.h"

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

static int build_devices(struct machine *m, const struct rtc_battery *battery)
{
	struct vm *vm = &m->vm;
	struct vm_shared *s = vm->shared;
	struct pc_config pc = {
		.cpus = vm->cfg.cpus, .clock = &vm->clock, .phys = &vm->phys,
		.debug_exit = vm->cfg.debug_exit, .rtc_offset = m->wall_clock, .battery = battery,
		.kernel = { m->files.kernel.data, (u32)m->files.kernel.len },
		.initrd = { m->files.initrd.data, (u32)m->files.initrd.len },
		.cmdline = { m->files.append, (u32)strlen(m->files.append) + 1 },
	};

	platform_connect(m, &pc);
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

struct bt_config engine_config(const struct config *cfg)
{
	return (struct bt_config){
		.cache_size = cfg->cache_size, .block_insns = cfg->block_insns, .no_chain = cfg->no_chain,
		.profile = cfg->profile, .bisect_lo = cfg->bisect_lo, .bisect_hi = cfg->bisect_hi,
		.host_is_tcg = cpuid_host_is_tcg(),
	};
}

static void build_engine(struct machine *m)
{
	struct vm *vm = &m->vm;
	struct bt_config cfg = engine_config(&vm->cfg);
	struct counters *count = &vm->shared->counters;

	m->engine_dropped = false;
	count->shadow_drops = count->shadow_pages;	/* what executors before these had mapped went with them */
	for (unsigned i = 0; i <= vm->cfg.executors; i++)
		shadow_init(&m->shadow[i], &vm->phys, count, m->shadow_tables + i * m->shadow_tables_size,
			    m->min_addr, m->max_maps);
	bt_init(m->bt, &cfg, &vm->phys, count, m->code_rw, m->code_rx, m->bt_tables);
	m->bt->symbol = guest_symbols_find;
	m->bt->symbol_opaque = m->names;
}

static int build_pool(struct machine *m)
{
	unsigned n = m->vm.cfg.executors;

	if (madvise(m->pool, (size_t)((u8 *)m->shadow - (u8 *)m->pool), MADV_REMOVE))
		return -errno;
	pool_init(m->pool, m->spaces, n);
	for (unsigned i = 0; i < n; i++)
		m->spaces[i].shadow = &m->shadow[i];
	m->pool->code = &m->shadow[n];
	return 0;
}

static int build_exec(struct machine *m)
{
	struct exec *x = m->exec;

	exec_renew(x);
	x->pool = m->pool;
	x->space = m->spaces;
	x->shadow = m->shadow;
	x->clock = &m->vm.clock;
	x->no_user_patching = m->vm.cfg.no_user_patching;
	x->translate_users = m->vm.cfg.translate_users;
	x->xfeatures = host_xfeatures();
	x->user_pages = m->user_pages;
	x->user_fd = m->user_fd;
	return build_pool(m);
}

/* The CPU's pointers: the monitor's word, whatever an executor has made of them. */
static void connect_cpu(struct machine *m)
{
	struct vcpu *v = &m->exec->v;

	v->phys = &m->vm.phys;
	v->count = &m->vm.shared->counters;
	v->platform = &m->platform;
	v->cpuid = &m->cpuid;
	v->engine = m->exec;
	v->index = 0;
}

static int build_cpu(struct machine *m)
{
	int r = build_exec(m);

	connect_cpu(m);
	vcpu_reset(&m->exec->v);
	exec_fpu_init(m->exec);
	return r;
}

int machine_drop_engine(struct machine *m)
{
	u8 *end = m->slot + IN_ARENA + m->arena_size;

	/* Shadow, translator, their tables: one stretch of the arena (make_arena). */
	if (madvise(m->shadow, (size_t)(end - (u8 *)m->shadow), MADV_REMOVE) ||
	    madvise(m->code_rw, m->vm.cfg.cache_size, MADV_REMOVE))
		return -errno;
	m->engine_dropped = true;
	return 0;
}

int machine_renew_engine(struct machine *m, enum engine_mode engine)
{
	int r = build_exec(m);

	connect_cpu(m);
	vcpu_update_paging(&m->exec->v);
	if (engine == MODE_BT) {
		if (!m->engine_dropped && !r)
			r = machine_drop_engine(m);
		build_engine(m);
	}
	return r;
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
	int r;

	if (m->built) {
		vm->past = vm_interrupts(vm);
		pc_save(vm->pc, &battery);
	}
	if (madvise(m->slot + IN_ARENA, m->arena_size, MADV_REMOVE))
		return -errno;
	vm->shared->counters = counters;
	build_engine(m);
	r = build_cpu(m);
	if (r < 0)
		return r;
	guest_symbols_forget(m->names);
	guest_symbols_look(m->names, &m->exec->v);
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

	m->shadow_tables_size = ALIGN_UP(shadow_tables_size(&sizing), (u64)PAGE_SIZE);
	m->bt_tables_size = bt_tables_size(&sizing);
	m->arena_size = ALIGN_UP((64ull << 20) + pc_size() + sizeof(struct exec) + sizeof(struct pool) +
				 cfg->executors * sizeof(struct space) +
				 (cfg->executors + 1) * (sizeof(struct shadow) + m->shadow_tables_size) +
				 m->bt_tables_size + pages, 1ull << 21);
	m->slot = take_slot(m->arena_size);
	if (!m->slot)
		return false;
	m->vm.shared = carve(m, &used, sizeof(*m->vm.shared), 4096);
	m->vm.pc = carve(m, &used, pc_size(), 4096);
	m->exec = carve(m, &used, sizeof(struct exec), 4096);
	/* build_pool */
	m->pool = carve(m, &used, sizeof(struct pool), 4096);
	m->spaces = carve(m, &used, cfg->executors * sizeof(struct space), ALT_STACK_SIZE);
	/* From here on what belongs to bt: machine_renew_engine. */
	m->shadow = carve(m, &used, (cfg->executors + 1) * sizeof(struct shadow), 4096);
	m->bt = carve(m, &used, sizeof(struct bt), 4096);
	m->vm.phys.has_code = carve(m, &used, pages, 4096);
	m->shadow_tables = carve(m, &used, (cfg->executors + 1) * m->shadow_tables_size, 4096);
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
	/* A machine that could be moved to KVM has only what KVM can virtualise. */
	kvm_host_probe(&m->hw, false);
	if (kvm_host_usable(&m->hw, m->vm.cfg.hw_force)) {
		host.limit = kvm_host_cpuid;
		host.limit_opaque = &m->hw;
	}
	host.tsc_hz = m->vm.clock.tsc_hz;
	host.lapic_hz = PC_LAPIC_TIMER_HZ;
	host.cpus = m->vm.cfg.cpus;
	memcpy(host.hide, m->vm.cfg.hide, sizeof(host.hide));
	cpuid_init(&m->cpuid, &host);
	m->min_addr = (lin_t)ALIGN_UP((u64)read_sysctl("/proc/sys/vm/mmap_min_addr", 65536), (u64)PAGE_SIZE);
	m->max_maps = m->vm.cfg.max_maps;
	if (!m->max_maps)
		m->max_maps = (u64)read_sysctl("/proc/sys/vm/max_map_count", 65530) * 3 / 4;
}

struct vm *vm_create(const struct config *cfg, char *err, size_t errlen)
{
	struct machine *m = calloc(1, sizeof(*m));
	struct clock_sample first = clock_sample();
	const char *what = "memory for the machine";

	if (!m)
		goto fail_errno;
	m->vm.cfg = *cfg;
	m->vm.engine = cfg->mode;
	if (!cfg->executors)
		m->vm.cfg.executors = 1;
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
	if (clock_init(&m->vm.clock, first) < 0) {
		snprintf(err, errlen, "the host's time-stamp counter does not run");
		goto fail;
	}
	m->wall_clock = (s64)time(NULL);
	probe_host(m);
	platform_init(m);
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
	if (vm->executor_pid > 0)
		vm_stop(vm, STOP_QUIT, 0);
	vm_join(vm);
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
	kvm_host_free(&m->hw);
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
	trace(boot, "%s: entry %08x, boot information at eax %08x ebx %08x esi %08x, GDT at %08x",
	      m->files.kernel_name ? m->files.kernel_name : "kernel", b.eip, b.regs[EAX], b.regs[EBX], b.regs[ESI], b.gdt_base);
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
