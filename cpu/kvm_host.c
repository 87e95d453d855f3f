/*
 * What /dev/kvm offers on this host.  Runs in the monitor; compiled normally.
 *
 * A KVM that opens is not yet hardware assist: there are kernels whose KVM
 * emulates the CPU in software (it shows neither VMX nor SVM), at about a
 * million instructions a second, with gaps that stop a stock kernel.
 */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "base/bits.h"
#include "cpu/kvm_host.h"

#define CPUID_ENTRIES_MAX 256u

/* What hw cannot do without, and the Linux that has it. */
static const struct { int cap; const char *name, *since; } needed[] = {
	{ KVM_CAP_USER_MEMORY, "memory slots", "2.6.25" },
	{ KVM_CAP_EXT_CPUID, "CPUID tables", "2.6.25" },
	{ KVM_CAP_SET_TSS_ADDR, "KVM_SET_TSS_ADDR", "2.6.24" },
	{ KVM_CAP_VCPU_EVENTS, "vCPU events", "2.6.33" },
	{ KVM_CAP_DEBUGREGS, "debug registers", "2.6.35" },
	{ KVM_CAP_XSAVE, "XSAVE state", "2.6.36" },
	{ KVM_CAP_XCRS, "extended control registers", "2.6.36" },
	{ KVM_CAP_IRQCHIP, "interrupt controllers", "2.6.24" },
	{ KVM_CAP_PIT2, "an interval timer", "2.6.31" },
	{ KVM_CAP_PIT_STATE2, "the interval timer's state", "2.6.33" },
	{ KVM_CAP_IRQ_ROUTING, "interrupt routing", "2.6.30" },
	{ KVM_CAP_IMMEDIATE_EXIT, "immediate exits", "4.13" },
	{ KVM_CAP_X86_USER_SPACE_MSR, "MSR exits", "5.10" },
	{ KVM_CAP_X86_MSR_FILTER, "an MSR filter", "5.10" },
};

static void say(struct kvm_host *h, enum kvm_verdict v, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void say(struct kvm_host *h, enum kvm_verdict v, const char *fmt, ...)
{
	va_list ap;

	h->verdict = v;
	va_start(ap, fmt);
	vsnprintf(h->text, sizeof h->text, fmt, ap);
	va_end(ap);
}

enum assist { ASSIST_NONE, ASSIST_VMX, ASSIST_SVM };

static enum assist cpu_assist(bool *nested)
{
	u32 a, b, c = 0, d;

	*nested = __get_cpuid(1, &a, &b, &c, &d) && bit_test(c, 31);
	if (bit_test(c, 5))
		return ASSIST_VMX;
	if (__get_cpuid(0x80000001, &a, &b, &c, &d) && bit_test(c, 2))
		return ASSIST_SVM;
	return ASSIST_NONE;
}

static bool get_supported(struct kvm_host *h, int kvm)
{
	h->supported = calloc(1, sizeof *h->supported + CPUID_ENTRIES_MAX * sizeof(struct kvm_cpuid_entry2));
	if (!h->supported)
		return false;
	h->supported->nent = CPUID_ENTRIES_MAX;
	return ioctl(kvm, KVM_GET_SUPPORTED_CPUID, h->supported) == 0;
}

static void probe(struct kvm_host *h, int kvm, bool try)
{
	enum assist assist = cpu_assist(&h->nested);
	int version = ioctl(kvm, KVM_GET_API_VERSION, 0), vm;

	if (version < 0) {
		say(h, KVM_MISSING, "/dev/kvm is not KVM: %s", strerror(errno));
		return;
	}
	if (version != KVM_API_VERSION) {
		say(h, KVM_TOO_OLD, "/dev/kvm has API version %d, not %d", version, KVM_API_VERSION);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (ioctl(kvm, KVM_CHECK_EXTENSION, needed[i].cap) <= 0) {
			say(h, KVM_TOO_OLD, "this KVM lacks %s (Linux %s has it)", needed[i].name, needed[i].since);
			return;
		}
	vm = try ? ioctl(kvm, KVM_CREATE_VM, 0) : 0;
	if (vm < 0) {
		say(h, KVM_DENIED, "/dev/kvm makes no virtual machine: %s", errno == EBUSY ?
		    "another hypervisor is using the CPU's virtualisation" : strerror(errno));
		return;
	}
	if (try)
		close(vm);
	if (!get_supported(h, kvm)) {
		say(h, KVM_DENIED, "/dev/kvm does not say what it supports: %s", strerror(errno));
		return;
	}
	if (assist == ASSIST_NONE)
		say(h, KVM_SOFTWARE, "/dev/kvm opens, but the CPU shows neither vmx nor svm: this KVM emulates the CPU "
		    "in software, far slower than bt");
	else
		say(h, KVM_USABLE, "/dev/kvm works, with %s%s", assist == ASSIST_VMX ? "vmx" : "svm",
		    h->nested ? ", nested in another hypervisor" : "");
}

void kvm_host_probe(struct kvm_host *h, bool try)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	*h = (struct kvm_host){ 0 };
	if (kvm < 0 && (errno == ENOENT || errno == ENXIO || errno == ENODEV)) {
		say(h, KVM_MISSING, "%s", errno == ENOENT ? "no /dev/kvm" : "/dev/kvm is there, and no KVM behind it");
	} else if (kvm < 0) {
		say(h, KVM_DENIED, "/dev/kvm cannot be opened: %s%s", strerror(errno),
		    errno == EACCES ? " (join the group kvm)" : "");
	} else {
		probe(h, kvm, try);
		close(kvm);
	}
}

void kvm_host_free(struct kvm_host *h)
{
	free(h->supported);
	h->supported = NULL;
}

void kvm_host_cpuid(const void *host, u32 leaf, u32 sub, struct cpuid_leaf *out)
{
	const struct kvm_host *h = host;

	*out = (struct cpuid_leaf){ .leaf = leaf, .sub = sub };
	for (u32 i = 0; h->supported && i < h->supported->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &h->supported->entries[i];

		if (e->function != leaf || ((e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) && e->index != sub))
			continue;
		out->eax = e->eax;
		out->ebx = e->ebx;
		out->ecx = e->ecx;
		out->edx = e->edx;
		return;
	}
}
