/*
 * hw: the guest under KVM.
 *
 *   kvm_host.c   what /dev/kvm offers here (monitor)
 *   kvm_vm.c     a KVM virtual machine with one vCPU, made in a new executor
 *   kvm_state.c  the vCPU's state into KVM and back
 *   kvm_run.c    the engine: KVM_RUN and what it comes back for
 *   kvm_stats.c  KVM's own counters, and where the time went
 *
 * A KVM VM belongs to the process that makes it, so each executor makes its own,
 * on the same guest RAM; the machine's state moves through struct vcpu.
 *
 * The guest's TSC is the host's (offset 0), as under bt.  MSRs that KVM need not
 * own are kept out of its hands by a filter and answered by cpu/msr.c, so that a
 * guest finds the same ones under both engines.
 *
 * Source: Documentation/virt/kvm/api.rst of Linux.
 */
#ifndef CPU_KVM_H
#define CPU_KVM_H

#include "cpu/engine.h"

/* ---- kvm_vm.c ---- */

/* KVM's own interrupt controllers and timer, on behalf of the machine: NULL functions, the machine's are used. */
struct kvm_chips {
	int (*create)(int vm_fd);
	int (*load)(void *opaque, int vm_fd, int cpu_fd);
	int (*store)(void *opaque, int vm_fd, int cpu_fd);
	void *opaque;
};

struct kvm_setup {
	const struct phys_map *phys;
	const struct cpuid_table *cpuid;
	unsigned index;		/* of the vCPU */
	bool host_is_tcg;	/* the host CPU is QEMU's emulation (cpuid_host_is_tcg) */
	struct kvm_chips chips;
};

/*
 * In a new executor, before it is the machine's: make the VM.  Touches no
 * shared memory.  Negative errno with `*what` naming the step that failed.
 */
int kvm_make(struct kvm_cpu **out, const struct kvm_setup *s, const char **what);

/* What an executor's cage must let through (vmm/confine.c). */
#define KVM_REQUESTS_MAX 40u
struct kvm_request { int fd; u32 request; };
unsigned kvm_requests(const struct kvm_cpu *k, struct kvm_request out[KVM_REQUESTS_MAX]);
/* Descriptors that are read in the cage (pread64): up to two, -1 where there is none. */
void kvm_read_fds(const struct kvm_cpu *k, int fds[2]);
/* Those that ioctls go to. */
void kvm_keep_fds(const struct kvm_cpu *k, int fds[2]);
/* Raise or lower an input of KVM's interrupt controllers. */
void kvm_irq_line(int vm_fd, unsigned gsi, bool level);

/* ---- kvm_run.c ---- */

extern const struct engine engine_hw;

#endif
