/* struct kvm_cpu: what the files of hw share (see cpu/kvm.h). */
#ifndef CPU_KVM_CPU_H
#define CPU_KVM_CPU_H

#include <linux/kvm.h>
#include "base/sys.h"
#include "cpu/kvm.h"

#define KVM_STATS_MAX 24u

/* One counter of KVM's statistics file, and the one of ours that follows it. */
struct kvm_stat {
	u64 offset;		/* in the file */
	u16 counter;		/* offset in struct counters */
	u64 last;
};

/* In the executor's private memory. */
struct kvm_cpu {
	int vm_fd, cpu_fd;
	int stats_fd, task_fd;	/* KVM's statistics of the vCPU; /proc/.../stat of this thread; -1: not to be had */
	struct kvm_run *run;
	const struct cpuid_table *cpuid;
	struct kvm_chips chips;
	bool has_chips;		/* the kernel has the interrupt controllers */
	bool has_sregs2, has_tsc_offset;
	bool host_is_tcg;
	unsigned stat_count;
	struct kvm_stat stat[KVM_STATS_MAX];
	u64 ns_run;		/* in KVM_RUN since kvm_make */
	u64 ns_run_counted, ns_guest_counted;	/* already in the counters */
};

static inline long kvm_ioctl(int fd, unsigned long request, const void *arg)
{
	return sys3(SYS_ioctl, fd, (long)request, (long)arg);
}

/* ---- kvm_state.c ---- */

/* The vCPU (and x->fpu) into KVM; the other way round.  Negative errno. */
MUST_USE int kvm_state_load(struct exec *x);
MUST_USE int kvm_state_store(struct exec *x);
/* Registers alone. */
MUST_USE int kvm_regs_load(const struct kvm_cpu *k, const struct vcpu *v);
MUST_USE int kvm_regs_store(const struct kvm_cpu *k, struct vcpu *v);
MUST_USE int kvm_sregs_store(const struct kvm_cpu *k, struct vcpu *v);

/* ---- kvm_stats.c ---- */

/* Open what there is. */
void kvm_stats_open(struct kvm_cpu *k);
/* Add what has happened since the last time to the counters. */
void kvm_stats_count(struct kvm_cpu *k, struct counters *c);

#endif
