/*
 * What CPUID says to the guest: a table made once from the host's CPUID, plus
 * the few values that change while the guest runs (OSXSAVE, APIC id, XSAVE area size),
 * which cpuid_execute computes.
 *
 * Guest user code executes CPUID natively and sees the host's; so whatever user
 * code can use without the kernel's help must be the same in both.
 */
#ifndef CPU_CPUID_H
#define CPU_CPUID_H

#include "base/types.h"

struct cpuid_leaf {
	u32 leaf, sub;
	u32 eax, ebx, ecx, edx;
};

#define CPUID_LEAVES_MAX 64
#define XSAVE_COMPONENTS 8	/* x87, SSE, AVX, (MPX x 2), AVX-512 x 3 */

struct cpuid_table {
	unsigned count;
	u32 max_basic, max_ext;
	bool amd;
	u64 xcr0;		/* XCR0 bits the guest may set; 0: no XSAVE */
	u32 cr4;		/* CR4 bits the guest may set */
	u32 xsave_end[XSAVE_COMPONENTS];	/* where the component ends in the standard format */
	struct cpuid_leaf leaf[CPUID_LEAVES_MAX];
};

#define CPUID_FEATURE_WORDS 2	/* 64 rows of CPUID_FEATURE each */

/* Where the table comes from; a function, so that tests can pretend to be another host. */
struct cpuid_host {
	void (*query)(u32 leaf, u32 sub, struct cpuid_leaf *out);
	u64 xcr0;		/* 0 when the host has no XSAVE */
	u64 tsc_hz;
	u32 lapic_hz;
	unsigned cpus;		/* the guest's */
	/* What an engine can virtualise, if it is less than the host has (KVM); NULL: no limit. */
	void (*limit)(const void *opaque, u32 leaf, u32 sub, struct cpuid_leaf *out);
	const void *limit_opaque;
	u64 hide[CPUID_FEATURE_WORDS];	/* features that the guest is not told of, by cpuid_feature_row */
};

/* ---- cpuid.c ---- */
void cpuid_init(struct cpuid_table *t, const struct cpuid_host *host);
/* The row of (leaf, sub); sub is ignored for leaves without subleaves.  NULL: all zero. */
const struct cpuid_leaf *cpuid_find(const struct cpuid_table *t, u32 leaf, u32 sub);
/*
 * The features by name: hide all rows called so (any case; '-' and '.' are '_').
 * False: there is none.
 */
bool cpuid_hide(u64 hide[CPUID_FEATURE_WORDS], const char *name);
/* The name of row n, or NULL after the last.  A name may have several rows. */
const char *cpuid_feature_name(unsigned n);
/* Bytes of an XSAVE area in the standard format that holds these components. */
u32 cpuid_xsave_size(const struct cpuid_table *t, u64 xcr0);

/* ---- host.c (monitor only) ---- */
/* This host's CPUID and XCR0; tsc_hz, lapic_hz and cpus are the caller's to fill in. */
void cpuid_host_probe(struct cpuid_host *host);
/* Is this CPU QEMU's TCG, whose errata some sequences have to avoid? */
bool cpuid_host_is_tcg(void);

#endif
