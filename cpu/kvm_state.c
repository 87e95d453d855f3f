/*
 * The vCPU's architectural state into KVM, and back.
 *
 * Everything a guest can see is here: what is forgotten is lost when a running
 * machine changes engines.  The order of loading is KVM's: special registers
 * (which decide the mode) first, pending events last, because setting registers
 * clears them.
 *
 * Sources: Linux Documentation/virt/kvm/api.rst; Intel SDM vol. 3 section 25.4
 * (what a guest state consists of).
 */
#include <errno.h>
#include "base/bits.h"
#include "cpu/access.h"
#include "cpu/arch.h"
#include "cpu/cpuid.h"
#include "cpu/kvm_cpu.h"

#define MSR_TSC          0x10u
#define MSR_SYSENTER_CS  0x174u
#define MSR_SYSENTER_ESP 0x175u
#define MSR_SYSENTER_EIP 0x176u
#define MSR_PAT          0x277u

#define APIC_BASE_RESET  0xfee00900u	/* enabled, the boot processor */
#define MXCSR_RESET      0x1f80u

/* ---- registers ---- */

int kvm_regs_load(const struct kvm_cpu *k, const struct vcpu *v)
{
	struct kvm_regs r = {
		.rax = v->regs[EAX], .rcx = v->regs[ECX], .rdx = v->regs[EDX], .rbx = v->regs[EBX],
		.rsp = v->regs[ESP], .rbp = v->regs[EBP], .rsi = v->regs[ESI], .rdi = v->regs[EDI],
		.rip = v->eip, .rflags = vcpu_eflags(v),
	};

	return (int)kvm_ioctl(k->cpu_fd, KVM_SET_REGS, &r);
}

int kvm_regs_store(const struct kvm_cpu *k, struct vcpu *v)
{
	struct kvm_regs r;
	long e = kvm_ioctl(k->cpu_fd, KVM_GET_REGS, &r);

	if (e < 0)
		return (int)e;
	v->regs[EAX] = (u32)r.rax;
	v->regs[ECX] = (u32)r.rcx;
	v->regs[EDX] = (u32)r.rdx;
	v->regs[EBX] = (u32)r.rbx;
	v->regs[ESP] = (u32)r.rsp;
	v->regs[EBP] = (u32)r.rbp;
	v->regs[ESI] = (u32)r.rsi;
	v->regs[EDI] = (u32)r.rdi;
	v->eip = (u32)r.rip;
	vcpu_set_eflags(v, (u32)r.rflags);
	return 0;
}

/* ---- segments and control registers ---- */

static void segment_to_kvm(const struct segment *s, struct kvm_segment *k)
{
	*k = (struct kvm_segment){ .selector = s->sel, .base = s->base, .limit = s->limit };
	if (s->attr & SEG_NULL) {
		k->unusable = 1;
		return;
	}
	k->type = s->attr & SEG_TYPE;
	k->s = !!(s->attr & SEG_S);
	k->dpl = (u8)seg_dpl(s);
	k->present = !!(s->attr & SEG_P);
	k->avl = !!(s->attr & SEG_AVL);
	k->l = !!(s->attr & SEG_L);
	k->db = !!(s->attr & SEG_DB);
	k->g = !!(s->attr & SEG_G);
}

static void segment_from_kvm(const struct kvm_segment *k, struct segment *s)
{
	if (k->unusable || !k->present) {
		seg_set_null(s, k->selector);
		return;
	}
	*s = (struct segment){
		.sel = k->selector, .base = (u32)k->base, .limit = k->limit,
		.attr = (u16)((k->type & SEG_TYPE) | (k->s ? SEG_S : 0) | (k->dpl & 3) << SEG_DPL_SHIFT | SEG_P |
			      (k->avl ? SEG_AVL : 0) | (k->l ? SEG_L : 0) | (k->db ? SEG_DB : 0) | (k->g ? SEG_G : 0)),
	};
}

/* kvm_sregs2 begins like kvm_sregs up to the APIC base. */
#define COMMON_SREGS offsetof(struct kvm_sregs2, flags)
_Static_assert(offsetof(struct kvm_sregs, apic_base) + 8 == COMMON_SREGS &&
	       offsetof(struct kvm_sregs, efer) == offsetof(struct kvm_sregs2, efer), "one layout serves both");

static struct kvm_segment *sregs_segment(struct kvm_sregs2 *s, enum seg which)
{
	switch (which) {
	case SEG_ES: return &s->es;
	case SEG_CS: return &s->cs;
	case SEG_SS: return &s->ss;
	case SEG_DS: return &s->ds;
	case SEG_FS: return &s->fs;
	case SEG_GS: return &s->gs;
	case SEG_LDTR: return &s->ldt;
	default: return &s->tr;
	}
}

static bool pae_paging(const struct vcpu *v) { return (v->cr0 & CR0_PG) && (v->cr4 & CR4_PAE); }

static u64 apic_base(const struct vcpu *v)
{
	u64 base;

	return v->platform->msr_read(v->platform->opaque, v->index, 0x1b, &base) ? base : APIC_BASE_RESET;
}

static int sregs_load(const struct kvm_cpu *k, const struct vcpu *v)
{
	struct kvm_sregs2 s = {
		.gdt = { .base = v->gdt_base, .limit = v->gdt_limit }, .idt = { .base = v->idt_base, .limit = v->idt_limit },
		.cr0 = v->cr0, .cr2 = v->cr2, .cr3 = v->cr3, .cr4 = v->cr4, .efer = v->efer, .apic_base = apic_base(v),
	};
	struct kvm_sregs old = { 0 };

	for (enum seg i = SEG_ES; i < SEG_COUNT; i++)
		segment_to_kvm(&v->seg[i], sregs_segment(&s, i));
	/* SS.DPL is the CPL to KVM, whatever the mode keeps in the descriptor. */
	s.ss.dpl = (u8)v->cpl;
	/* QEMU's TCG (7.2) ends itself over a busy TSS that VMRUN has loaded; other CPUs want it busy. */
	if (k->host_is_tcg)
		s.tr.type &= (u8)~SYS_BUSY;
	if (k->has_sregs2) {
		if (pae_paging(v)) {
			s.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
			__builtin_memcpy(s.pdptrs, v->pdpte, sizeof(s.pdptrs));
		}
		return (int)kvm_ioctl(k->cpu_fd, KVM_SET_SREGS2, &s);
	}
	__builtin_memcpy(&old, &s, COMMON_SREGS);
	return (int)kvm_ioctl(k->cpu_fd, KVM_SET_SREGS, &old);
}

static u32 cpl_of(const struct vcpu *v)
{
	if (!(v->cr0 & CR0_PE))
		return 0;
	return v->sysflags & EFLAGS_VM ? 3 : seg_dpl(&v->seg[SEG_SS]);
}

/* The PDPTE registers: KVM's where it has some, else what memory holds (AMD's reload from there). */
static void pdptes_store(struct vcpu *v, const struct kvm_sregs2 *s)
{
	if (!pae_paging(v))
		return;
	if (s->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID)
		__builtin_memcpy(v->pdpte, s->pdptrs, sizeof(v->pdpte));
	else if (!phys_read(v->phys, v->cr3 & ~31u, v->pdpte, sizeof(v->pdpte)))
		__builtin_memset(v->pdpte, 0, sizeof(v->pdpte));
}

/* Needs the flags (kvm_regs_store). */
int kvm_sregs_store(const struct kvm_cpu *k, struct vcpu *v)
{
	struct kvm_sregs2 s = { 0 };
	struct kvm_sregs old;
	long r;

	if (k->has_sregs2) {
		r = kvm_ioctl(k->cpu_fd, KVM_GET_SREGS2, &s);
	} else {
		r = kvm_ioctl(k->cpu_fd, KVM_GET_SREGS, &old);
		__builtin_memcpy(&s, &old, COMMON_SREGS);
	}
	if (r < 0)
		return (int)r;
	for (enum seg i = SEG_ES; i < SEG_COUNT; i++)
		segment_from_kvm(sregs_segment(&s, i), &v->seg[i]);
	if (!(v->seg[SEG_TR].attr & SEG_NULL))
		v->seg[SEG_TR].attr |= SYS_BUSY;
	v->gdt_base = (u32)s.gdt.base;
	v->gdt_limit = s.gdt.limit;
	v->idt_base = (u32)s.idt.base;
	v->idt_limit = s.idt.limit;
	v->cr0 = (u32)s.cr0;
	v->cr2 = (u32)s.cr2;
	v->cr3 = (u32)s.cr3;
	v->cr4 = (u32)s.cr4;
	v->efer = s.efer;
	v->cpl = cpl_of(v);
	pdptes_store(v, &s);
	vcpu_update_paging(v);
	vcpu_update_mode(v);
	mem_tlb_flush(v);
	return 0;
}

/* ---- x87, SSE, AVX ---- */

_Static_assert(sizeof(struct kvm_xsave) <= FPU_AREA_SIZE, "KVM's image fits");

static u64 components(const struct exec *x)
{
	u64 xcr0 = x->v.cpuid ? x->v.cpuid->xcr0 : 0;

	return xcr0 ? xcr0 : XFEATURE_X87 | XFEATURE_SSE;
}

/* Host components that are not the guest's (protection keys) stay out of the image, and so does all else in its header. */
static void clean_header(struct exec *x)
{
	u64 bv = load64(x->fpu + XSAVE_BV) & components(x);

	/* XSAVE may leave SSE out when its registers are zero, and MXCSR would go with it. */
	if (!(bv & XFEATURE_SSE) && load32(x->fpu + XSAVE_MXCSR) != MXCSR_RESET) {
		__builtin_memset(x->fpu + XSAVE_XMM, 0, 256);
		bv |= XFEATURE_SSE;
	}
	__builtin_memset(x->fpu + XSAVE_BV, 0, 64);
	store64(x->fpu + XSAVE_BV, bv);
}

static int fpu_load(struct exec *x)
{
	clean_header(x);
	return (int)kvm_ioctl(x->kvm->cpu_fd, KVM_SET_XSAVE, x->fpu);
}

static int fpu_store(struct exec *x)
{
	long r = kvm_ioctl(x->kvm->cpu_fd, KVM_GET_XSAVE, x->fpu);

	clean_header(x);
	return (int)r;
}

static int xcr0_load(const struct kvm_cpu *k, const struct vcpu *v)
{
	struct kvm_xcrs x = { .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = v->xcr0 } } };

	return k->cpuid->xcr0 ? (int)kvm_ioctl(k->cpu_fd, KVM_SET_XCRS, &x) : 0;
}

static int xcr0_store(const struct kvm_cpu *k, struct vcpu *v)
{
	struct kvm_xcrs x = { 0 };
	long r = k->cpuid->xcr0 ? kvm_ioctl(k->cpu_fd, KVM_GET_XCRS, &x) : 0;

	for (u32 i = 0; r >= 0 && i < x.nr_xcrs && i < KVM_MAX_XCRS; i++)
		if (x.xcrs[i].xcr == 0)
			v->xcr0 = x.xcrs[i].value;
	return (int)r;
}

/* ---- debug registers ---- */

static int debug_load(const struct kvm_cpu *k, const struct vcpu *v)
{
	struct kvm_debugregs d = { .dr6 = v->dr6, .dr7 = v->dr7 };

	for (unsigned i = 0; i < 4; i++)
		d.db[i] = v->dr[i];
	return (int)kvm_ioctl(k->cpu_fd, KVM_SET_DEBUGREGS, &d);
}

static int debug_store(const struct kvm_cpu *k, struct vcpu *v)
{
	struct kvm_debugregs d;
	long r = kvm_ioctl(k->cpu_fd, KVM_GET_DEBUGREGS, &d);

	if (r < 0)
		return (int)r;
	for (unsigned i = 0; i < 4; i++)
		v->dr[i] = (u32)d.db[i];
	v->dr6 = (u32)d.dr6;
	v->dr7 = (u32)d.dr7;
	return 0;
}

/* ---- the MSRs that are KVM's (kvm_vm.c) ---- */

struct msrs { struct kvm_msrs head; struct kvm_msr_entry entry[4]; };

static int msrs_load(const struct kvm_cpu *k, const struct vcpu *v)
{
	struct msrs m = { .head.nmsrs = 4, .entry = {
		{ .index = MSR_SYSENTER_CS, .data = v->sysenter_cs }, { .index = MSR_SYSENTER_ESP, .data = v->sysenter_esp },
		{ .index = MSR_SYSENTER_EIP, .data = v->sysenter_eip }, { .index = MSR_PAT, .data = v->pat },
	} };
	struct msrs tsc = { .head.nmsrs = 1, .entry = { { .index = MSR_TSC } } };
	long r = kvm_ioctl(k->cpu_fd, KVM_SET_MSRS, &m);

	if (r != 4)
		return r < 0 ? (int)r : -EINVAL;
	if (k->has_tsc_offset)
		return 0;
	/*
	 * Before Linux 5.16: what is written is late by the way there, so the guest's
	 * TSC is about a microsecond behind the host's until the next switch, whose
	 * duration hides it.
	 */
	tsc.entry[0].data = rdtsc();
	r = kvm_ioctl(k->cpu_fd, KVM_SET_MSRS, &tsc);
	return r == 1 ? 0 : r < 0 ? (int)r : -EINVAL;
}

static int msrs_store(const struct kvm_cpu *k, struct vcpu *v)
{
	struct msrs m = { .head.nmsrs = 4, .entry = {
		{ .index = MSR_SYSENTER_CS }, { .index = MSR_SYSENTER_ESP }, { .index = MSR_SYSENTER_EIP }, { .index = MSR_PAT },
	} };
	long r = kvm_ioctl(k->cpu_fd, KVM_GET_MSRS, &m);

	if (r != 4)
		return r < 0 ? (int)r : -EINVAL;
	v->sysenter_cs = (u32)m.entry[0].data;
	v->sysenter_esp = (u32)m.entry[1].data;
	v->sysenter_eip = (u32)m.entry[2].data;
	v->pat = m.entry[3].data;
	return 0;
}

/* ---- events and activity ---- */

static int events_load(const struct kvm_cpu *k, const struct vcpu *v)
{
	const struct injected *in = &v->injected;
	struct kvm_vcpu_events e = {
		.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW,
		.nmi = { .masked = v->nmi_blocked, .pending = v->nmi_pending, .injected = in->kind == INJECTED_NMI },
		.interrupt = {
			.injected = in->kind == INJECTED_INTERRUPT, .nr = in->vector,
			.shadow = (v->shadow_sti ? KVM_X86_SHADOW_INT_STI : 0) | (v->shadow_ss ? KVM_X86_SHADOW_INT_MOV_SS : 0),
		},
	};

	if (in->kind == INJECTED_EXCEPTION) {
		e.exception.injected = 1;
		e.exception.nr = in->vector;
		e.exception.has_error_code = in->has_error;
		e.exception.error_code = in->error;
	}
	return (int)kvm_ioctl(k->cpu_fd, KVM_SET_VCPU_EVENTS, &e);
}

static int events_store(const struct kvm_cpu *k, struct vcpu *v)
{
	struct kvm_vcpu_events e = { 0 };
	long r = kvm_ioctl(k->cpu_fd, KVM_GET_VCPU_EVENTS, &e);

	if (r < 0)
		return (int)r;
	v->nmi_blocked = e.nmi.masked;
	v->nmi_pending = e.nmi.pending;
	v->shadow_sti = e.interrupt.shadow & KVM_X86_SHADOW_INT_STI;
	v->shadow_ss = e.interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS;
	v->injected = (struct injected){ 0 };
	if (e.exception.injected)
		v->injected = (struct injected){ INJECTED_EXCEPTION, e.exception.nr, e.exception.has_error_code, e.exception.error_code };
	else if (e.nmi.injected)
		v->injected = (struct injected){ .kind = INJECTED_NMI };
	else if (e.interrupt.injected && !e.interrupt.soft)
		v->injected = (struct injected){ .kind = INJECTED_INTERRUPT, .vector = e.interrupt.nr };
	return 0;
}

/* With KVM's interrupt controllers HLT waits inside KVM; else the executor does. */
static int activity_load(const struct kvm_cpu *k, const struct vcpu *v)
{
	struct kvm_mp_state m = { .mp_state = v->halted ? KVM_MP_STATE_HALTED : KVM_MP_STATE_RUNNABLE };

	return k->has_chips ? (int)kvm_ioctl(k->cpu_fd, KVM_SET_MP_STATE, &m) : 0;
}

static int activity_store(const struct kvm_cpu *k, struct vcpu *v)
{
	struct kvm_mp_state m = { 0 };
	long r = k->has_chips ? kvm_ioctl(k->cpu_fd, KVM_GET_MP_STATE, &m) : 0;

	if (k->has_chips)
		v->halted = r >= 0 && m.mp_state == KVM_MP_STATE_HALTED;
	return (int)r;
}

/* ---- all of it ---- */

int kvm_state_load(struct exec *x)
{
	const struct kvm_cpu *k = x->kvm;
	const struct vcpu *v = &x->v;
	int r;

	if ((r = sregs_load(k, v)) < 0 || (r = xcr0_load(k, v)) < 0 || (r = fpu_load(x)) < 0 ||
	    (r = debug_load(k, v)) < 0 || (r = msrs_load(k, v)) < 0)
		return r;
	if (k->has_chips && (r = k->chips.load(k->chips.opaque, k->vm_fd, k->cpu_fd)) < 0)
		return r;
	if ((r = activity_load(k, v)) < 0 || (r = kvm_regs_load(k, v)) < 0)
		return r;
	return events_load(k, v);
}

int kvm_state_store(struct exec *x)
{
	const struct kvm_cpu *k = x->kvm;
	struct vcpu *v = &x->v;
	int r;

	if ((r = events_store(k, v)) < 0 || (r = kvm_regs_store(k, v)) < 0 || (r = kvm_sregs_store(k, v)) < 0 ||
	    (r = xcr0_store(k, v)) < 0 || (r = fpu_store(x)) < 0 || (r = debug_store(k, v)) < 0 ||
	    (r = msrs_store(k, v)) < 0 || (r = activity_store(k, v)) < 0)
		return r;
	return k->has_chips ? k->chips.store(k->chips.opaque, k->vm_fd, k->cpu_fd) : 0;
}
