/*
 * A KVM virtual machine with one vCPU, made by the executor that will run it.
 *
 * Order matters: the interrupt controllers before the vCPU, CPUID before the
 * state (kvm_state.c).  Everything here is the executor's own; the arena is not
 * touched, so that a machine can go on elsewhere while this is made.
 */
#include <fcntl.h>
#include <linux/mman.h>
#include "cpu/cpuid.h"
#include "cpu/kvm_cpu.h"

/*
 * Places that Intel's KVM needs for itself, four pages; above all RAM, below
 * the firmware.  AMD's does not use them.
 */
#define IDENTITY_MAP 0xfffbc000u
#define TSS_ADDRESS  0xfffbd000u

/* ---- memory ---- */

static long add_slot(int vm, u32 slot, const struct phys_map *phys, u64 from, u64 to)
{
	struct kvm_userspace_memory_region r = {
		.slot = slot, .guest_phys_addr = from, .memory_size = to - from, .userspace_addr = (u64)(phys->ram + from),
	};

	return from < to ? kvm_ioctl(vm, KVM_SET_USER_MEMORY_REGION, &r) : 0;
}

static long add_memory(int vm, const struct phys_map *phys)
{
	long r = add_slot(vm, 0, phys, 0, min_u64(LEGACY_HOLE_START, phys->ram_size));

	return r < 0 ? r : add_slot(vm, 1, phys, LEGACY_HOLE_END, phys->ram_size);
}

/* ---- MSRs ---- */

/* What stays with KVM: it switches them with the guest, or computes them. */
struct msr_row { u32 base; u8 count; u8 access; bool chips; };

static const struct msr_row kvm_msrs[] = {
	{ 0x00000010, 1, KVM_MSR_FILTER_READ, false },				/* TSC; writes vanish, as under bt */
	{ 0x00000174, 3, KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, false },	/* SYSENTER_CS, _ESP, _EIP */
	{ 0x00000277, 1, KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, false },	/* PAT */
	{ 0xc0000080, 1, KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, false },	/* EFER */
	{ 0x0000001b, 1, KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, true },	/* APIC_BASE */
	{ 0x000006e0, 1, KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, true },	/* TSC_DEADLINE */
};

_Static_assert(ARRAY_SIZE(kvm_msrs) <= KVM_MSR_FILTER_MAX_RANGES, "KVM takes no more ranges");

/* All others come to us. */
static long filter_msrs(int vm, bool chips)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR,
		.args = { KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER },
	};
	struct kvm_msr_filter filter = { .flags = KVM_MSR_FILTER_DEFAULT_DENY };
	u64 all = ~0ull;
	unsigned n = 0;
	long r = kvm_ioctl(vm, KVM_ENABLE_CAP, &cap);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < ARRAY_SIZE(kvm_msrs); i++) {
		const struct msr_row *m = &kvm_msrs[i];

		if (m->chips && !chips)
			continue;
		filter.ranges[n++] = (struct kvm_msr_filter_range){
			.flags = m->access, .nmsrs = m->count, .base = m->base, .bitmap = (u8 *)&all,
		};
	}
	return kvm_ioctl(vm, KVM_X86_SET_MSR_FILTER, &filter);
}

/* ---- CPUID ---- */

static bool has_index(u32 leaf) { return leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd; }

/* The machine's table; KVM itself keeps OSXSAVE and the XSAVE size up to date. */
static long set_cpuid(int cpu, const struct cpuid_table *t, unsigned index)
{
	struct { struct kvm_cpuid2 head; struct kvm_cpuid_entry2 entry[CPUID_LEAVES_MAX]; } c = { .head.nent = t->count };

	for (unsigned i = 0; i < t->count; i++) {
		const struct cpuid_leaf *l = &t->leaf[i];

		c.entry[i] = (struct kvm_cpuid_entry2){
			.function = l->leaf, .index = l->sub, .eax = l->eax, .ebx = l->ebx, .ecx = l->ecx, .edx = l->edx,
			.flags = has_index(l->leaf) ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
		};
		if (l->leaf == 1)
			c.entry[i].ebx |= index << 24;
		if (l->leaf == 0xb)
			c.entry[i].edx = index;
	}
	return kvm_ioctl(cpu, KVM_SET_CPUID2, &c);
}

/* ---- the guest's TSC is the host's ---- */

static bool zero_tsc_offset(int cpu)
{
	u64 zero = 0;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (u64)&zero,
	};

	return kvm_ioctl(cpu, KVM_SET_DEVICE_ATTR, &attr) == 0;
}

/* ---- making it ---- */

static long make_vcpu(struct kvm_cpu *k, int kvm, const struct kvm_setup *s, const char **what)
{
	long r, size = kvm_ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL);

	*what = "the vCPU";
	if (size < (long)sizeof(struct kvm_run))
		return size < 0 ? size : -22;
	k->cpu_fd = (int)(r = sys3(SYS_ioctl, k->vm_fd, KVM_CREATE_VCPU, s->index));
	if (r < 0)
		return r;
	r = sys_mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, k->cpu_fd, 0);
	if (r < 0)
		return r;
	k->run = (struct kvm_run *)r;
	*what = "CPUID";
	if ((r = set_cpuid(k->cpu_fd, s->cpuid, s->index)) < 0)
		return r;
	k->has_tsc_offset = zero_tsc_offset(k->cpu_fd);
	return 0;
}

static long make_vm(struct kvm_cpu *k, int kvm, const struct kvm_setup *s, const char **what)
{
	u64 identity = IDENTITY_MAP;
	long r;

	*what = "the virtual machine";
	k->vm_fd = (int)(r = kvm_ioctl(kvm, KVM_CREATE_VM, NULL));
	if (r < 0)
		return r;
	*what = "memory";
	if ((r = add_memory(k->vm_fd, s->phys)) < 0 ||
	    (r = kvm_ioctl(k->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity)) < 0 ||
	    (r = sys3(SYS_ioctl, k->vm_fd, KVM_SET_TSS_ADDR, TSS_ADDRESS)) < 0)
		return r;
	*what = "the MSR filter";
	if ((r = filter_msrs(k->vm_fd, s->chips.create)) < 0)
		return r;
	if (s->chips.create) {
		*what = "the interrupt controllers";
		if ((r = s->chips.create(k->vm_fd)) < 0)
			return r;
	}
	k->has_sregs2 = sys3(SYS_ioctl, k->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SREGS2) > 0;
	return make_vcpu(k, kvm, s, what);
}

int kvm_make(struct kvm_cpu **out, const struct kvm_setup *s, const char **what)
{
	long r, kvm = sys6(SYS_openat, AT_FDCWD, (long)"/dev/kvm", O_RDWR | O_CLOEXEC, 0, 0, 0);
	struct kvm_cpu *k;

	*what = "/dev/kvm";
	if (kvm < 0)
		return (int)kvm;
	*what = "memory for the vCPU";
	r = sys_mmap(NULL, sizeof(*k), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (r < 0)
		goto out;
	k = (struct kvm_cpu *)r;
	*k = (struct kvm_cpu){ .vm_fd = -1, .cpu_fd = -1, .stats_fd = -1, .task_fd = -1, .cpuid = s->cpuid,
			       .chips = s->chips, .has_chips = s->chips.create, .host_is_tcg = s->host_is_tcg };
	*out = k;
	r = make_vm(k, (int)kvm, s, what);
	if (r >= 0)
		kvm_stats_open(k);
out:
	sys3(SYS_close, kvm, 0, 0);
	return r < 0 ? (int)r : 0;
}

/* ---- what the cage lets through ---- */

static const u32 cpu_requests[] = {
	KVM_RUN, KVM_INTERRUPT, KVM_NMI, KVM_GET_REGS, KVM_SET_REGS, KVM_GET_SREGS, KVM_SET_SREGS,
	(u32)KVM_GET_SREGS2, (u32)KVM_SET_SREGS2, KVM_GET_XSAVE, KVM_SET_XSAVE, KVM_GET_XCRS, KVM_SET_XCRS,
	KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, KVM_GET_MSRS, KVM_SET_MSRS, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS,
	KVM_GET_MP_STATE, KVM_SET_MP_STATE, KVM_GET_LAPIC, KVM_SET_LAPIC,
};
static const u32 vm_requests[] = {
	KVM_IRQ_LINE, KVM_GET_IRQCHIP, KVM_SET_IRQCHIP, KVM_GET_PIT2, KVM_SET_PIT2,
};

_Static_assert(ARRAY_SIZE(cpu_requests) + ARRAY_SIZE(vm_requests) <= KVM_REQUESTS_MAX, "callers have room for them all");

unsigned kvm_requests(const struct kvm_cpu *k, struct kvm_request out[KVM_REQUESTS_MAX])
{
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(cpu_requests); i++)
		out[n++] = (struct kvm_request){ k->cpu_fd, cpu_requests[i] };
	for (unsigned i = 0; k->has_chips && i < ARRAY_SIZE(vm_requests); i++)
		out[n++] = (struct kvm_request){ k->vm_fd, vm_requests[i] };
	return n;
}

void kvm_read_fds(const struct kvm_cpu *k, int fds[2])
{
	fds[0] = k->stats_fd;
	fds[1] = k->task_fd;
}

void kvm_irq_line(int vm_fd, unsigned gsi, bool level)
{
	struct kvm_irq_level l = { .irq = gsi, .level = level };

	kvm_ioctl(vm_fd, KVM_IRQ_LINE, &l);
}

void kvm_keep_fds(const struct kvm_cpu *k, int fds[2])
{
	fds[0] = k->vm_fd;
	fds[1] = k->cpu_fd;
}
