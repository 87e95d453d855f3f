/*
 * CPUID: the table's construction from the host's (cpuid.def) and its execution.
 *
 * The guest's machine has one package of `cpus` cores without SMT; APIC id =
 * CPU index.  Sources: SDM vol. 2 CPUID, vol. 1 section 13.2 (XSAVE
 * enumeration), vol. 3 section 9.9.3 (APIC ids and topology); APM vol. 3 appendix E.
 */
#include "cpu/arch.h"
#include "cpu/cpuid.h"

#define XCR0_OFFERED 0xe7u	/* x87, SSE, AVX, AVX-512; not MPX, PKRU, AMX, APX */
#define XCR0_AVX     0x07u
#define XCR0_AVX512  0xe7u
#define XSAVE_HEADER 576u	/* legacy region and header */

enum leaf_kind { LEAF_HOST, LEAF_FEATURES, LEAF_BUILT, LEAF_ZERO };
enum policy { ON_HOST, ON_ALWAYS, ON_XSAVE, ON_AVX, ON_AVX512, ON_SMP, ON_AMDSMP, ON_BT };

struct leaf_row { u32 leaf; u8 sub; u8 kind; };
struct feature_row { u32 leaf; u8 sub, reg, bit, policy; const char *name; };

static const struct leaf_row leaf_rows[] = {
#define CPUID_LEAF(leaf, sub, kind) { leaf, sub, LEAF_##kind },
#define CPUID_FEATURE(leaf, sub, reg, bit, policy, name)
#include "cpu/cpuid.def"
#undef CPUID_LEAF
#undef CPUID_FEATURE
};

static const struct feature_row feature_rows[] = {
#define CPUID_LEAF(leaf, sub, kind)
#define CPUID_FEATURE(leaf, sub, reg, bit, policy, name) { leaf, sub, reg, bit, ON_##policy, #name },
#include "cpu/cpuid.def"
#undef CPUID_LEAF
#undef CPUID_FEATURE
};

_Static_assert(ARRAY_SIZE(feature_rows) <= 64 * CPUID_FEATURE_WORDS, "every feature has a bit in cpuid_host.hide");
_Static_assert(ARRAY_SIZE(leaf_rows) <= CPUID_LEAVES_MAX, "every row of cpuid.def needs a place in the table");

/* The register of a row, named as enum reg does. */
static u32 *leaf_reg(struct cpuid_leaf *l, unsigned reg)
{
	switch (reg) {
	case EAX: return &l->eax;
	case EBX: return &l->ebx;
	case ECX: return &l->ecx;
	case EDX: default: return &l->edx;	/* EDX: cpuid.def names no other */
	}
}

static bool hidden(const struct cpuid_host *h, unsigned row) { return h->hide[row / 64] >> row % 64 & 1; }

static bool feature_on(const struct cpuid_table *t, const struct cpuid_host *h, unsigned policy, bool on_host)
{
	switch (policy) {
	case ON_HOST:   return on_host;
	case ON_ALWAYS: return true;
	case ON_XSAVE:  return on_host && t->xcr0;
	case ON_AVX:    return on_host && (t->xcr0 & XCR0_AVX) == XCR0_AVX;
	case ON_AVX512: return on_host && (t->xcr0 & XCR0_AVX512) == XCR0_AVX512;
	case ON_SMP:    return h->cpus > 1;
	case ON_AMDSMP: return h->cpus > 1 && t->amd;
	case ON_BT:     return !h->limit;
	default:        return false;	/* no other policy exists */
	}
}

/* Of row `l` (the host's) keep what the guest gets, in the registers that hold feature bits. */
static void mask_features(const struct cpuid_table *t, const struct cpuid_host *h, struct cpuid_leaf *l)
{
	struct cpuid_leaf host = *l, limit;

	if (h->limit) {
		h->limit(h->limit_opaque, l->leaf, l->sub, &limit);
		host.eax &= limit.eax;
		host.ebx &= limit.ebx;
		host.ecx &= limit.ecx;
		host.edx &= limit.edx;
	}
	l->eax = l->ebx = l->ecx = l->edx = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(feature_rows); i++) {
		const struct feature_row *f = &feature_rows[i];

		if (f->leaf == l->leaf && f->sub == l->sub && !hidden(h, i) &&
		    feature_on(t, h, f->policy, bit_test(*leaf_reg(&host, f->reg), f->bit)))
			*leaf_reg(l, f->reg) |= BIT(f->bit);
	}
}

/* Bits needed to number n things. */
static unsigned width_of(unsigned n)
{
	unsigned w = 0;

	while ((1u << w) < n)
		w++;
	return w;
}

static void vendor_text(struct cpuid_leaf *l, const char text[12])
{
	l->ebx = load32(text);
	l->ecx = load32(text + 4);
	l->edx = load32(text + 8);
}

/* The rows that are neither the host's nor a mask of it; *l holds the host's. */
static void leaf_built(const struct cpuid_table *t, const struct cpuid_host *h, struct cpuid_leaf *l)
{
	struct cpuid_leaf host = *l;

	switch (l->leaf) {
	case 0x00000000:
		l->eax = t->max_basic;
		break;
	case 0x00000001:
		mask_features(t, h, l);
		l->eax = host.eax;
		/* CLFLUSH size, logical CPUs in the package; brand index 0 */
		l->ebx = (host.ebx & 0x0000ff00) | h->cpus << 16;
		break;
	case 0x00000004:
		if ((host.eax & 31) == 0) {
			l->eax = l->ebx = l->ecx = l->edx = 0;
			break;
		}
		/* Level 3 is shared by the package, the others are a core's own. */
		l->eax = (host.eax & 0x3ff) | (h->cpus - 1) << 26;
		if (((host.eax >> 5) & 7) >= 3)
			l->eax |= (h->cpus - 1) << 14;
		break;
	case 0x00000006:
		l->eax = BIT(2);	/* ARAT: our APIC timer never stops */
		l->ebx = l->ecx = l->edx = 0;
		break;
	case 0x0000000b:
		l->eax = l->sub ? width_of(h->cpus) : 0;
		l->ebx = l->sub ? h->cpus : 1;
		l->ecx = l->sub ? 0x0201 : 0x0100;	/* level type, level number */
		l->edx = 0;				/* APIC id: cpuid_execute */
		break;
	case 0x0000000d:
		if (l->sub == 0) {
			l->eax = (u32)t->xcr0;
			l->ebx = 0;			/* cpuid_execute */
			l->ecx = t->xcr0 ? cpuid_xsave_size(t, t->xcr0) : 0;
			l->edx = 0;
		} else if (!bit_test(t->xcr0, l->sub)) {
			l->eax = l->ebx = l->ecx = l->edx = 0;
		} else {
			l->ecx = l->edx = 0;		/* no compacted format: no alignment */
		}
		break;
	case 0x40000000:
		l->eax = 0x40000010;
		vendor_text(l, "VMwareVMware");
		break;
	case 0x40000010:
		l->eax = (u32)(h->tsc_hz / 1000);
		l->ebx = h->lapic_hz / 1000;
		l->ecx = l->edx = 0;	/* ECX: neither VMCALL nor VMMCALL, only the port */
		break;
	case 0x80000000:
		l->eax = t->max_ext;
		break;
	case 0x80000007:
		l->eax = l->ebx = l->ecx = 0;
		l->edx = BIT(8);	/* invariant TSC */
		break;
	case 0x80000008:
		mask_features(t, h, l);
		l->eax = GUEST_PHYS_BITS | 48 << 8;
		if (t->amd)
			l->ecx = (h->cpus - 1) | width_of(h->cpus) << 12;
		break;
	default:	/* cpuid.def has a BUILT row that is not made here: a zero one */
		l->eax = l->ebx = l->ecx = l->edx = 0;
		break;
	}
}

void cpuid_init(struct cpuid_table *t, const struct cpuid_host *host)
{
	struct cpuid_leaf q;

	__builtin_memset(t, 0, sizeof(*t));
	host->query(0, 0, &q);
	t->max_basic = q.eax < 0xd ? q.eax : 0xd;
	t->amd = q.ebx == load32("Auth") || q.ebx == load32("Hygo");
	host->query(0x80000000, 0, &q);
	t->max_ext = q.eax < 0x80000008 ? 0x80000008 : min_u64(q.eax, 0x80000008);
	if (t->max_basic >= 0xd)
		t->xcr0 = host->xcr0 & XCR0_OFFERED;
	for (unsigned i = 0; i < ARRAY_SIZE(feature_rows); i++)
		if (feature_rows[i].policy == ON_XSAVE && hidden(host, i))
			t->xcr0 = 0;
	if (host->limit) {
		host->limit(host->limit_opaque, 0xd, 0, &q);
		t->xcr0 &= (u64)q.edx << 32 | q.eax;
	}
	if ((t->xcr0 & XCR0_AVX512) != XCR0_AVX512)
		t->xcr0 &= XCR0_AVX;
	if ((t->xcr0 & 3) != 3)
		t->xcr0 = 0;
	for (unsigned i = 2; i < XSAVE_COMPONENTS; i++) {
		if (!bit_test(t->xcr0, i))
			continue;
		host->query(0xd, i, &q);
		t->xsave_end[i] = q.ebx + q.eax;
	}
	t->cr4 = CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR |
		 CR4_OSXMMEXCPT | (t->xcr0 ? CR4_OSXSAVE : 0);

	for (unsigned i = 0; i < ARRAY_SIZE(leaf_rows); i++) {
		const struct leaf_row *r = &leaf_rows[i];
		struct cpuid_leaf *l = &t->leaf[t->count];

		if (r->leaf < 0x40000000 && r->leaf > t->max_basic)
			continue;
		host->query(r->leaf, r->sub, l);
		l->leaf = r->leaf;
		l->sub = r->sub;
		if (r->kind == LEAF_FEATURES) {
			mask_features(t, host, l);
			if (r->leaf == 7 && r->sub == 0)
				l->eax = 1;	/* subleaves 0 and 1 */
			if (r->leaf == 0x80000001) {
				host->query(r->leaf, 0, &q);
				l->eax = q.eax;	/* AMD: family again */
			}
		} else if (r->kind == LEAF_BUILT) {
			leaf_built(t, host, l);
		} else if (r->kind == LEAF_ZERO) {
			l->eax = l->ebx = l->ecx = l->edx = 0;
		}
		t->count++;
	}
}

/* ---- features by name ---- */

const char *cpuid_feature_name(unsigned n) { return n < ARRAY_SIZE(feature_rows) ? feature_rows[n].name : NULL; }

static char fold(char c)
{
	if (c >= 'a' && c <= 'z')
		return (char)(c - 'a' + 'A');
	return c == '-' || c == '.' ? '_' : c;
}

static bool same_name(const char *a, const char *b)
{
	while (*a && fold(*a) == fold(*b))
		a++, b++;
	return !*a && !*b;
}

bool cpuid_hide(u64 hide[CPUID_FEATURE_WORDS], const char *name)
{
	bool found = false;

	for (unsigned i = 0; i < ARRAY_SIZE(feature_rows); i++) {
		if (!same_name(feature_rows[i].name, name))
			continue;
		hide[i / 64] |= BIT64(i % 64);
		found = true;
	}
	return found;
}

u32 cpuid_xsave_size(const struct cpuid_table *t, u64 xcr0)
{
	u32 size = XSAVE_HEADER;

	for (unsigned i = 2; i < XSAVE_COMPONENTS; i++)
		if (bit_test(xcr0, i) && t->xsave_end[i] > size)
			size = t->xsave_end[i];
	return size;
}

static bool has_subleaves(u32 leaf)
{
	return leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd;
}

const struct cpuid_leaf *cpuid_find(const struct cpuid_table *t, u32 leaf, u32 sub)
{
	for (unsigned i = 0; i < t->count; i++)
		if (t->leaf[i].leaf == leaf && (t->leaf[i].sub == sub || !has_subleaves(leaf)))
			return &t->leaf[i];
	return NULL;
}

void cpuid_execute(struct vcpu *v)
{
	u32 leaf = v->regs[EAX], sub = v->regs[ECX];
	const struct cpuid_leaf *l = v->cpuid ? cpuid_find(v->cpuid, leaf, sub) : NULL;
	struct cpuid_leaf out = { 0 };

	if (l)
		out = *l;
	if (l && leaf == 1) {
		out.ebx |= v->index << 24;
		if (v->cr4 & CR4_OSXSAVE)
			out.ecx |= BIT(27);
	}
	if (leaf == 0xb && v->cpuid && v->cpuid->max_basic >= 0xb) {
		/* Beyond the last level only ECX[7:0] and EDX say something. */
		out.ecx = (out.ecx & ~0xffu) | (sub & 0xff);
		out.edx = v->index;
	}
	if (l && leaf == 0xd && sub == 0 && v->cpuid->xcr0)
		out.ebx = cpuid_xsave_size(v->cpuid, v->xcr0);
	v->regs[EAX] = out.eax;
	v->regs[EBX] = out.ebx;
	v->regs[ECX] = out.ecx;
	v->regs[EDX] = out.edx;
}
