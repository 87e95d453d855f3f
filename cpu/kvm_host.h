/*
 * What /dev/kvm offers on this host (see cpu/kvm.h for the engine).
 */
#ifndef CPU_KVM_HOST_H
#define CPU_KVM_HOST_H

#include "cpu/cpuid.h"

enum kvm_verdict {
	KVM_USABLE,
	KVM_MISSING,	/* no /dev/kvm */
	KVM_DENIED,	/* it cannot be opened, or makes no VM */
	KVM_TOO_OLD,	/* API version, or a capability is missing */
	KVM_SOFTWARE,	/* works, but nothing in the CPU assists it */
};

struct kvm_cpuid2;

struct kvm_host {
	enum kvm_verdict verdict;
	bool nested;		/* assisted, inside another hypervisor */
	char text[200];		/* one line: what was found */
	struct kvm_cpuid2 *supported;	/* KVM_USABLE, KVM_SOFTWARE; malloc'ed */
};

/* Look; try: also make a VM and throw it away, which takes milliseconds and finds a busy host. */
void kvm_host_probe(struct kvm_host *h, bool try);
/* May hw run here?  force: also where nothing assists it. */
static inline bool kvm_host_usable(const struct kvm_host *h, bool force)
{
	return h->verdict == KVM_USABLE || (h->verdict == KVM_SOFTWARE && force);
}

void kvm_host_free(struct kvm_host *h);
/* What KVM can virtualise of CPUID (leaf, sub); zero where it says nothing. */
void kvm_host_cpuid(const void *host, u32 leaf, u32 sub, struct cpuid_leaf *out);

#endif
