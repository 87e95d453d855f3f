/* cpu/cpuid.c, msr.c, control.c, backdoor.c: what the machine says it is, and that it keeps to it. */
#include "vcpu_fixture.h"

/* A host that has every feature bit there is. */
static const char *vendor;

static void everything(u32 leaf, u32 sub, struct cpuid_leaf *l)
{
	*l = (struct cpuid_leaf){ leaf, sub, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff };
	switch (leaf) {
	case 0: case 0x80000000:
		l->eax = leaf ? 0x80000028 : 0x20;
		memcpy(&l->ebx, vendor, 4);
		memcpy(&l->edx, vendor + 4, 4);
		memcpy(&l->ecx, vendor + 8, 4);
		break;
	case 4:
		l->eax = sub < 4 ? 0xfc000121 | (sub == 3 ? 0x60 : 0x20) : 0;
		break;
	case 0xd:
		l->eax = 64 << sub;
		l->ebx = 576 + (64 << sub);
		break;
	default:
		break;
	}
}

static struct cpuid_table t;

static void build(const char *who, u64 xcr0, unsigned cpus)
{
	struct cpuid_host h = { everything, xcr0, 2600000000ull, 1000000000, cpus };

	vendor = who;
	cpuid_init(&t, &h);
	v.cpuid = &t;
}

#define INTEL "GenuineIntel"
#define AMD   "AuthenticAMD"

static const struct cpuid_leaf *ask(u32 leaf, u32 sub)
{
	static struct cpuid_leaf out;

	v.regs[EAX] = leaf;
	v.regs[ECX] = sub;
	cpuid_execute(&v);
	out = (struct cpuid_leaf){ leaf, sub, v.regs[EAX], v.regs[EBX], v.regs[ECX], v.regs[EDX] };
	return &out;
}

START_TEST(hidden_features)
{
	build(_i ? AMD : INTEL, 0x602e7, 1);
	/* leaf 1 ECX: DTES64 MONITOR DS-CPL VMX SMX EST TM2 CNXT-ID SDBG xTPR PDCM PCID DCA x2APIC, OSXSAVE yet */
	ck_assert_uint_eq(ask(1, 0)->ecx & 0x0826cdfc, 0);
	/* VME, reserved, PSN, reserved, DS, ACPI, SS, HTT (one CPU), TM, IA64, PBE */
	ck_assert_uint_eq(ask(1, 0)->edx & 0xf8740402, 0);
	/* leaf 7 EBX: FSGSBASE TSC_ADJUST SGX HLE SMEP INVPCID RTM PQM MPX PQE SMAP PCOMMIT PT */
	ck_assert_uint_eq(ask(7, 0)->ebx & 0x0250dc97, 0);
	/* leaf 7 ECX: UMIP PKU OSPKE WAITPKG SHSTK LA57 RDPID KL ENQCMD PKS */
	ck_assert_uint_eq(ask(7, 0)->ecx & 0xe0c100bc, 0);
	/* leaf 7 EDX: MD_CLEAR, AMX, IBRS/IBPB, STIBP, L1D_FLUSH, SSBD, IBT, hybrid */
	ck_assert_uint_eq(ask(7, 0)->edx & 0xdf508400, 0);
	/* SVM, extended APIC space, OSVW, IBS, SKINIT, WDT, topology and performance extensions, MWAITX */
	ck_assert_uint_eq(ask(0x80000001, 0)->ecx & 0x3fc0161c, 0);
	/* SYSCALL, FFXSR, 1 GiB pages, RDTSCP, LM */
	ck_assert_uint_eq(ask(0x80000001, 0)->edx & 0x2e000800, 0);
	ck_assert_uint_eq(ask(0x80000008, 0)->ebx, 4);
	ck_assert_uint_eq(ask(0x8000000a, 0)->edx, 0);
	ck_assert_uint_eq(ask(0xa, 0)->eax, 0);
	ck_assert_uint_eq(ask(5, 0)->ecx, 0);
	ck_assert_uint_eq(ask(0x1f, 0)->ecx, 0);
}
END_TEST

START_TEST(provided_features)
{
	build(INTEL, 7, 1);
	ck_assert_uint_eq(ask(0, 0)->eax, 0xd);
	ck_assert_uint_eq(ask(0, 0)->ebx, load32("Genu"));
	ck_assert_uint_eq(ask(0x80000000, 0)->eax, 0x80000008);
	ck_assert_uint_eq(ask(1, 0)->ecx & (BIT(31) | BIT(24) | BIT(26) | BIT(28)), BIT(31) | BIT(24) | BIT(26) | BIT(28));
	ck_assert_uint_eq(ask(1, 0)->edx & (BIT(9) | BIT(11) | BIT(12) | BIT(16)), BIT(9) | BIT(11) | BIT(12) | BIT(16));
	ck_assert_uint_eq(ask(0x80000001, 0)->edx & BIT(20), BIT(20));
	ck_assert_uint_eq(ask(0x80000007, 0)->edx, BIT(8));
	ck_assert_uint_eq(ask(0x80000008, 0)->eax, 0x3024);
	ck_assert_uint_eq(ask(6, 0)->eax, 4);
}
END_TEST

START_TEST(avx_follows_xcr0)
{
	build(INTEL, 0xe7, 1);
	ck_assert(ask(7, 0)->ebx & BIT(16));
	ck_assert_uint_eq(ask(0xd, 0)->eax, 0xe7);
	ck_assert_uint_eq(ask(0xd, 0)->ecx, 576 + (64 << 7) * 2);
	ck_assert_uint_eq(ask(0xd, 0)->ebx, 576);	/* XCR0 = 1 */
	v.xcr0 = 7;
	ck_assert_uint_eq(ask(0xd, 0)->ebx, 576 + (64 << 2) * 2);
	ck_assert_uint_eq(ask(0xd, 1)->eax, 0);
	ck_assert_uint_eq(ask(0xd, 2)->eax, 256);
	ck_assert_uint_eq(ask(0xd, 9)->eax, 0);
	build(INTEL, 7, 1);
	ck_assert(!(ask(7, 0)->ebx & BIT(16)) && (ask(7, 0)->ebx & BIT(5)));
	ck_assert_uint_eq(ask(0xd, 5)->eax, 0);
	build(INTEL, 3, 1);
	ck_assert_uint_eq(ask(1, 0)->ecx & (BIT(28) | BIT(12) | BIT(29)), 0);
	ck_assert_uint_eq(ask(7, 0)->ebx & BIT(5), 0);
	build(INTEL, 0, 1);
	ck_assert_uint_eq(ask(1, 0)->ecx & BIT(26), 0);
	ck_assert_uint_eq(ask(0xd, 0)->eax, 0);
	ck_assert_uint_eq(t.cr4 & CR4_OSXSAVE, 0);
}
END_TEST

START_TEST(topology)
{
	build(INTEL, 7, 4);
	v.index = 2;
	ck_assert_uint_eq(ask(1, 0)->ebx >> 16, 0x0204);
	ck_assert(ask(1, 0)->edx & BIT(28));
	ck_assert_uint_eq(ask(4, 0)->eax >> 26, 3);
	ck_assert_uint_eq((ask(4, 0)->eax >> 14) & 0xfff, 0);
	ck_assert_uint_eq((ask(4, 3)->eax >> 14) & 0xfff, 3);
	ck_assert_uint_eq(ask(4, 4)->eax, 0);
	ck_assert_uint_eq(ask(4, 9)->eax, 0);
	ck_assert_uint_eq(ask(0xb, 0)->ecx, 0x100);
	ck_assert_uint_eq(ask(0xb, 1)->eax, 2);
	ck_assert_uint_eq(ask(0xb, 1)->ebx, 4);
	ck_assert_uint_eq(ask(0xb, 1)->edx, 2);
	ck_assert_uint_eq(ask(0xb, 2)->ecx, 2);
	ck_assert_uint_eq(ask(0xb, 2)->ebx, 0);
	build(AMD, 7, 4);
	ck_assert(ask(0x80000001, 0)->ecx & BIT(1));
	ck_assert_uint_eq(ask(0x80000008, 0)->ecx, 0x2003);
}
END_TEST

START_TEST(hypervisor)
{
	build(AMD, 7, 1);
	ck_assert_uint_eq(ask(0x40000000, 0)->eax, 0x40000010);
	ck_assert(!memcmp(&v.regs[EBX], "VMwa", 4) && !memcmp(&v.regs[ECX], "reVM", 4) && !memcmp(&v.regs[EDX], "ware", 4));
	ck_assert_uint_eq(ask(0x40000010, 0)->eax, 2600000);
	ck_assert_uint_eq(v.regs[EBX], 1000000);
	ck_assert_uint_eq(v.regs[ECX], 0);	/* the port, not VMMCALL */
}
END_TEST

START_TEST(backdoor)
{
	v.regs[EAX] = 1;
	v.regs[ECX] = 10;
	ck_assert(!backdoor_in(&v));
	v.regs[EAX] = 0x564d5868;
	v.regs[EBX] = 0xffffffff;
	ck_assert(backdoor_in(&v));
	ck_assert_uint_eq(v.regs[EBX], 0x564d5868);
	ck_assert_uint_ne(v.regs[EAX], 0xffffffff);
	v.regs[EAX] = 0x564d5868;
	v.regs[ECX] = 45;
	ck_assert(backdoor_in(&v));
	ck_assert_uint_eq(v.regs[EAX], (u32)2600000000ull);
	ck_assert_uint_eq(v.regs[EBX], 0);
	ck_assert_uint_eq(v.regs[ECX], 1000000000);
	v.regs[EAX] = 0x564d5868;
	v.regs[ECX] = 91;
	ck_assert(backdoor_in(&v));
	ck_assert_uint_eq(v.regs[EAX], 0xffffffff);
}
END_TEST

START_TEST(osxsave_and_xcr0)
{
	fix_protected(0);
	build(INTEL, 0xe7, 1);
	assert_raises(xcr_write(&v, 0, 7), EXC_UD, 0);
	ck_assert(!(ask(1, 0)->ecx & BIT(27)));
	ck_assert(cr_write(&v, 4, CR4_OSXSAVE));
	ck_assert(ask(1, 0)->ecx & BIT(27));
	ck_assert(xcr_write(&v, 0, 7) && v.xcr0 == 7);
	assert_raises(xcr_write(&v, 0, 6), EXC_GP, 0);
	assert_raises(xcr_write(&v, 0, 5), EXC_GP, 0);
	assert_raises(xcr_write(&v, 0, 0x27), EXC_GP, 0);
	assert_raises(xcr_write(&v, 0, 0xe3), EXC_GP, 0);
	assert_raises(xcr_write(&v, 0, 0x207), EXC_GP, 0);
	assert_raises(xcr_write(&v, 1, 7), EXC_GP, 0);
	ck_assert(xcr_write(&v, 0, 0xe7));
	v.cpl = 3;
	assert_raises(xcr_write(&v, 0, 7), EXC_GP, 0);
}
END_TEST

START_TEST(control_registers)
{
	u32 val;

	fix_protected(0);
	build(INTEL, 7, 1);
	ck_assert(cr_read(&v, 0, &val) && val == v.cr0);
	assert_raises(cr_write(&v, 0, CR0_PG), EXC_GP, 0);
	assert_raises(cr_write(&v, 0, CR0_PE | CR0_NW), EXC_GP, 0);
	assert_raises(cr_write(&v, 1, 0), EXC_UD, 0);
	assert_raises(cr_write(&v, 8, 0), EXC_UD, 0);
	assert_raises(cr_write(&v, 4, CR4_VME), EXC_GP, 0);
	assert_raises(cr_write(&v, 4, CR4_UMIP), EXC_GP, 0);
	assert_raises(cr_write(&v, 4, BIT(20)), EXC_GP, 0);
	ck_assert(cr_write(&v, 4, CR4_PSE | CR4_PGE | CR4_OSFXSR));
	ck_assert(v.walk.pse && v.walk.pge && !v.walk.pae);
	ck_assert_uint_eq(seen.last_change, PAGING_MODE);
	ck_assert(cr_write(&v, 3, 0x10018));
	ck_assert_uint_eq(seen.paging_changes, 1);	/* no paging yet: nothing to tell */
	ck_assert(cr_write(&v, 0, CR0_PE | CR0_PG | CR0_TS | BIT(10)));
	ck_assert_uint_eq(v.cr0, CR0_PE | CR0_PG | CR0_TS | CR0_ET);
	ck_assert(v.walk.paging && !v.walk.wp && v.walk.cr3 == 0x10018);
	ck_assert(v.mode & MODE_PG && v.mode & MODE_NOFPU);
	ck_assert_uint_eq(seen.paging_changes, 2);
	cr_clts(&v);
	ck_assert(!(v.mode & MODE_NOFPU));
	ck_assert(cr_write(&v, 3, 0x10018));
	ck_assert_uint_eq(seen.last_change, PAGING_CR3);
	ck_assert_uint_eq(counters.cr3_loads, 2);
	ck_assert_uint_eq(counters.cr3_same, 1);
	ck_assert(cr_lmsw(&v, 0x8));
	ck_assert_uint_eq(v.cr0, CR0_PE | CR0_PG | CR0_TS | CR0_ET);	/* PE stays */
	v.cpl = 3;
	assert_raises(cr_write(&v, 3, 0), EXC_GP, 0);
	assert_raises(cr_read(&v, 0, &val), EXC_GP, 0);
}
END_TEST

START_TEST(pae_pointers)
{
	fix_protected(0);
	build(INTEL, 7, 1);
	store64(ram + TABLES + 0x20, (TABLES + 0x1000) | 1);
	store64(ram + TABLES + 0x28, 2);		/* not present: reserved bits do not matter */
	ck_assert(cr_write(&v, 3, TABLES + 0x20));
	ck_assert(cr_write(&v, 4, CR4_PAE));
	ck_assert_uint_eq(v.pdpte[0], 0);		/* loaded with paging */
	ck_assert(cr_write(&v, 0, v.cr0 | CR0_PG));
	ck_assert_uint_eq(v.walk.pdpte[0], (TABLES + 0x1000) | 1);
	store64(ram + TABLES + 0x20, (TABLES + 0x2000) | 1);
	ck_assert_uint_eq(v.walk.pdpte[0], (TABLES + 0x1000) | 1);	/* registers, not memory */
	ck_assert(cr_write(&v, 3, TABLES + 0x20));
	ck_assert_uint_eq(v.walk.pdpte[0], (TABLES + 0x2000) | 1);
	store64(ram + TABLES + 0x20, (TABLES + 0x2000) | 3);
	assert_raises(cr_write(&v, 3, TABLES + 0x20), EXC_GP, 0);
	store64(ram + TABLES + 0x20, (TABLES + 0x2000) | 1 | BIT64(36));
	assert_raises(cr_write(&v, 3, TABLES + 0x20), EXC_GP, 0);
	assert_raises(cr_write(&v, 4, CR4_PAE | CR4_PGE), EXC_GP, 0);
	assert_raises(cr_write(&v, 0, v.cr0 | CR0_CD), EXC_GP, 0);
}
END_TEST

START_TEST(debug_registers)
{
	u32 val;

	fix_protected(0);
	build(INTEL, 7, 1);
	ck_assert(dr_write(&v, 6, 0xffffffff));
	ck_assert(dr_read(&v, 4, &val) && val == 0xffffefff);
	ck_assert(dr_write(&v, 7, 0));
	ck_assert(dr_read(&v, 5, &val) && val == DR7_FIXED);
	ck_assert(dr_write(&v, 2, 0x1234));
	ck_assert(dr_read(&v, 2, &val) && val == 0x1234);
	v.cr4 = CR4_DE;
	assert_raises(dr_read(&v, 4, &val), EXC_UD, 0);
	v.dr7 |= DR7_GD;
	assert_raises(dr_read(&v, 0, &val), EXC_DB, 0);
	ck_assert_uint_eq(v.exc.dr6, DR6_BD);
	v.cpl = 3;
	assert_raises(dr_read(&v, 0, &val), EXC_GP, 0);
}
END_TEST

START_TEST(model_specific_registers)
{
	u64 val;

	fix_protected(0);
	ck_assert(msr_write(&v, 0x174, 0x60) && v.sysenter_cs == 0x60);
	ck_assert(msr_write(&v, 0x176, 0xc0123456) && v.sysenter_eip == 0xc0123456);
	ck_assert(msr_write(&v, 0xc0000080, EFER_NXE));
	ck_assert(v.walk.nxe && seen.paging_changes == 1);
	assert_raises(msr_write(&v, 0xc0000080, BIT64(8)), EXC_GP, 0);	/* LME */
	ck_assert(msr_read(&v, 0x277, &val) && val == 0x0007040600070406ull);
	assert_raises(msr_write(&v, 0x277, 0x0007040600070402ull), EXC_GP, 0);
	assert_raises(msr_write(&v, 0x200, BIT64(36)), EXC_GP, 0);
	ck_assert(msr_write(&v, 0x20f, 0xfc0000800ull) && v.mtrr_var[15] == 0xfc0000800ull);
	ck_assert(msr_read(&v, 0xfe, &val) && val == 0x508);
	ck_assert(msr_read(&v, 0x2ff, &val) && val == 0xc06);
	ck_assert(msr_read(&v, 0x8b, &val) && val == 0);
	ck_assert(msr_write(&v, 0xc001001f, ~0ull) && msr_read(&v, 0xc001001f, &val) && val == 0);
	ck_assert(msr_read(&v, 0x1b, &val) && val == 0x1b);		/* the platform's */
	assert_raises(msr_read(&v, 0x6e0, &val), EXC_GP, 0);		/* the platform declines */
	assert_raises(msr_read(&v, 0x12345678, &val), EXC_GP, 0);
	assert_raises(msr_write(&v, 0x48, 1), EXC_GP, 0);
	ck_assert(msr_read(&v, 0x10, &val) && val != 0);
	v.cpl = 3;
	assert_raises(msr_read(&v, 0x10, &val), EXC_GP, 0);
}
END_TEST

START_TEST(reset)
{
	fix_protected(3);
	build(INTEL, 7, 1);
	v.limited[0] = 0x17;
	vcpu_reset(&v);
	ck_assert_uint_eq(v.seg[SEG_CS].base + v.eip, 0xfffffff0);
	ck_assert_uint_eq(v.regs[EDX], ask(1, 0)->eax);
	ck_assert_uint_eq(v.cr0, 0x60000010);
	ck_assert_uint_eq(vcpu_eflags(&v), EFLAGS_1);
	ck_assert_uint_eq(v.limited[0], 0x17);
	ck_assert(v.platform == &fix_platform && v.phys == &phys);
	ck_assert(!v.walk.paging);
}
END_TEST

START_TEST(this_host)
{
	struct cpuid_host h = { .tsc_hz = 1000000000, .lapic_hz = 1000000000, .cpus = 1 };

	cpuid_host_probe(&h);
	cpuid_init(&t, &h);
	v.cpuid = &t;
	ck_assert(ask(1, 0)->edx & BIT(26));		/* SSE2: any x86-64 */
	ck_assert(t.count > 20 && t.count <= CPUID_LEAVES_MAX);
	if (t.xcr0)
		ck_assert_uint_ge(ask(0xd, 0)->ecx, 576);
}
END_TEST

static u32 limit_edx;
static void limit_to(const void *opaque, u32 leaf, u32 sub, struct cpuid_leaf *out)
{
	ck_assert_ptr_eq(opaque, &limit_edx);
	*out = (struct cpuid_leaf){ leaf, sub, 3, ~0u, ~0u, ~0u };	/* leaf 0xd: x87 and SSE */
	if (leaf == 1)
		out->edx = limit_edx;
	if (leaf == 0xd)
		out->edx = 0;
}

/* What the user hides and what KVM cannot virtualise is not there; what Ringer itself provides stays. */
START_TEST(less_than_the_host)
{
	struct cpuid_host h = { everything, 0xe7, 2600000000ull, 1000000000, 1 };

	vendor = INTEL;
	ck_assert(cpuid_hide(h.hide, "sse4.2"));
	ck_assert(cpuid_hide(h.hide, "TSC-deadline"));
	ck_assert(!cpuid_hide(h.hide, "sse4"));
	ck_assert(!cpuid_hide(h.hide, ""));
	cpuid_init(&t, &h);
	v.cpuid = &t;
	ck_assert_uint_eq(ask(1, 0)->ecx & (BIT(20) | BIT(24)), 0);
	ck_assert_uint_eq(ask(1, 0)->ecx & (BIT(19) | BIT(26) | BIT(28)), BIT(19) | BIT(26) | BIT(28));
	ck_assert_uint_eq(t.xcr0, 0xe7);
	ck_assert(cpuid_hide(h.hide, "xsave"));
	cpuid_init(&t, &h);
	ck_assert_uint_eq(t.xcr0, 0);
	ck_assert_uint_eq(ask(1, 0)->ecx & (BIT(26) | BIT(28)), 0);
	ck_assert_uint_eq(t.cr4 & CR4_OSXSAVE, 0);

	ck_assert(ask(7, 0)->edx & BIT(29));		/* ARCH_CAPABILITIES: bt's, */
	h = (struct cpuid_host){ everything, 0xe7, 2600000000ull, 1000000000, 1, .limit = limit_to, .limit_opaque = &limit_edx };
	limit_edx = ~BIT(26);
	cpuid_init(&t, &h);
	ck_assert_uint_eq(ask(1, 0)->edx & BIT(26), 0);		/* SSE2 */
	ck_assert_uint_eq(ask(1, 0)->edx & BIT(25), BIT(25));
	ck_assert_uint_eq(t.xcr0, 3);
	ck_assert_uint_eq(ask(1, 0)->ecx & BIT(28), 0);		/* AVX */
	ck_assert(!(ask(7, 0)->edx & BIT(29)));		/* and not where KVM could take over */
	limit_edx = 0;
	cpuid_init(&t, &h);
	ck_assert_uint_eq(ask(1, 0)->edx & BIT(9), BIT(9));	/* the APIC is ours */
	for (unsigned i = 0; cpuid_feature_name(i); i++)
		ck_assert(i < 64 * CPUID_FEATURE_WORDS);
}
END_TEST

static void part(TCase *c)
{
	tcase_add_loop_test(c, hidden_features, 0, 2);
	tcase_add_test(c, provided_features);
	tcase_add_test(c, avx_follows_xcr0);
	tcase_add_test(c, topology);
	tcase_add_test(c, hypervisor);
	tcase_add_test(c, backdoor);
	tcase_add_test(c, osxsave_and_xcr0);
	tcase_add_test(c, control_registers);
	tcase_add_test(c, pae_pointers);
	tcase_add_test(c, debug_registers);
	tcase_add_test(c, model_specific_registers);
	tcase_add_test(c, less_than_the_host);
	tcase_add_test(c, reset);
	tcase_add_test(c, this_host);
}

FIXTURE_MAIN("cpuid", part)
