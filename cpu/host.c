/*
 * Questions to the host CPU.  Runs in the monitor, before any executor exists;
 * compiled normally, unlike the rest of this folder.
 */
#include <cpuid.h>
#include "base/bits.h"
#include "cpu/cpuid.h"

static void query(u32 leaf, u32 sub, struct cpuid_leaf *out)
{
	out->leaf = leaf;
	out->sub = sub;
	__cpuid_count(leaf, sub, out->eax, out->ebx, out->ecx, out->edx);
}

void cpuid_host_probe(struct cpuid_host *host)
{
	struct cpuid_leaf one;
	u32 lo = 0, hi = 0;

	host->query = query;
	query(1, 0, &one);
	if (bit_test(one.ecx, 27))	/* OSXSAVE: XGETBV may be executed */
		__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	host->xcr0 = (u64)hi << 32 | lo;
}

bool cpuid_host_is_tcg(void)
{
	struct cpuid_leaf l;

	query(1, 0, &l);
	if (!bit_test(l.ecx, 31))	/* no hypervisor */
		return false;
	query(0x40000000, 0, &l);
	return l.ebx == load32("TCGT") && l.ecx == load32("CGTC") && l.edx == load32("GTCG");
}
