/*
 * struct vcpu: the architectural state of one virtual CPU, the same for both
 * engines.  What an engine needs beyond it (host stack, caches, generated-code
 * tables) is in that engine's own structure.
 *
 * EFLAGS is kept in three parts, because translated code keeps the arithmetic
 * flags in the host's EFLAGS and must switch IF with one flags-free store:
 *   flags     CF PF AF ZF SF DF OF (valid whenever the CPU is not inside
 *             translated or user code), other bits zero
 *   sysflags  TF IOPL NT RF VM AC VIF VIP ID
 *   iff       0 or EFLAGS_IF
 * Use vcpu_eflags() / vcpu_set_eflags().
 *
 * Sources: Intel SDM vol. 1 ch. 3, vol. 3 ch. 2, 3, 6; AMD APM vol. 2 ch. 3-8.
 */
#ifndef CPU_VCPU_H
#define CPU_VCPU_H

#include "base/bits.h"
#include "base/counters.h"
#include "base/types.h"
#include "mmu/phys.h"
#include "mmu/walk.h"

/* General registers, in the order of their instruction encoding. */
enum reg { EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI };

/* Segment registers, in the order of their instruction encoding; then the system ones. */
enum seg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_COUNT };

/* A segment register with its hidden part. */
struct segment {
	u32 base;
	u32 limit;	/* in bytes, granularity applied */
	u16 sel;
	u16 attr;	/* descriptor bits 40..55 with the limit nibble zero; SEG_NULL when unusable */
	u32 pad;
};

/* struct segment's attr: descriptor bytes 5 and 6. */
#define SEG_TYPE    0x000f	/* type field */
#define SEG_A       0x0001	/* accessed (code/data) */
#define SEG_RW      0x0002	/* writable data / readable code */
#define SEG_DC      0x0004	/* expand-down data / conforming code */
#define SEG_CODE    0x0008	/* code segment */
#define SEG_S       0x0010	/* code or data (not system) */
#define SEG_DPL_SHIFT 5
#define SEG_DPL     0x0060
#define SEG_P       0x0080	/* present */
#define SEG_NULL    0x0100	/* our own: loaded with a null selector, unusable */
#define SEG_AVL     0x1000
#define SEG_L       0x2000
#define SEG_DB      0x4000	/* D (code), B (stack, expand-down) */
#define SEG_G       0x8000

#define EFLAGS_CF BIT(0)
#define EFLAGS_1  BIT(1)	/* always one */
#define EFLAGS_PF BIT(2)
#define EFLAGS_AF BIT(4)
#define EFLAGS_ZF BIT(6)
#define EFLAGS_SF BIT(7)
#define EFLAGS_TF BIT(8)
#define EFLAGS_IF BIT(9)
#define EFLAGS_DF BIT(10)
#define EFLAGS_OF BIT(11)
#define EFLAGS_IOPL (3u << 12)
#define EFLAGS_NT BIT(14)
#define EFLAGS_RF BIT(16)
#define EFLAGS_VM BIT(17)
#define EFLAGS_AC BIT(18)
#define EFLAGS_VIF BIT(19)
#define EFLAGS_VIP BIT(20)
#define EFLAGS_ID BIT(21)
#define EFLAGS_ARITH (EFLAGS_CF | EFLAGS_PF | EFLAGS_AF | EFLAGS_ZF | EFLAGS_SF | EFLAGS_DF | EFLAGS_OF)
#define EFLAGS_SYS (EFLAGS_TF | EFLAGS_IOPL | EFLAGS_NT | EFLAGS_RF | EFLAGS_VM | EFLAGS_AC | \
		    EFLAGS_VIF | EFLAGS_VIP | EFLAGS_ID)

#define CR0_PE BIT(0)
#define CR0_MP BIT(1)
#define CR0_EM BIT(2)
#define CR0_TS BIT(3)
#define CR0_ET BIT(4)
#define CR0_NE BIT(5)
#define CR0_WP BIT(16)
#define CR0_AM BIT(18)
#define CR0_NW BIT(29)
#define CR0_CD BIT(30)
#define CR0_PG BIT(31)

#define CR4_VME BIT(0)
#define CR4_PVI BIT(1)
#define CR4_TSD BIT(2)
#define CR4_DE BIT(3)
#define CR4_PSE BIT(4)
#define CR4_PAE BIT(5)
#define CR4_MCE BIT(6)
#define CR4_PGE BIT(7)
#define CR4_PCE BIT(8)
#define CR4_OSFXSR BIT(9)
#define CR4_OSXMMEXCPT BIT(10)
#define CR4_UMIP BIT(11)
#define CR4_FSGSBASE BIT(16)
#define CR4_OSXSAVE BIT(18)

#define EFER_SCE BIT(0)
#define EFER_NXE BIT(11)

enum vector {
	EXC_DE, EXC_DB, EXC_NMI, EXC_BP, EXC_OF, EXC_BR, EXC_UD, EXC_NM, EXC_DF, EXC_CSO,
	EXC_TS, EXC_NP, EXC_SS, EXC_GP, EXC_PF, EXC_15, EXC_MF, EXC_AC, EXC_MC, EXC_XM,
};

/*
 * The exception that an access or instruction raised; filled by exc_raise() and
 * friends, consumed by exc_deliver().  Functions that can raise return false
 * then ("guest faults are must-use values"), with no architectural state changed.
 */
struct exception {
	u8 vector;
	bool has_error;
	u32 error;
	u32 cr2;	/* #PF only */
	u32 dr6;	/* #DB only: bits to set */
};

/*
 * An event whose delivery has begun: the interrupt controller has been
 * acknowledged, or the exception's cause is gone.  Only hardware stops in the
 * middle of one (a nested page fault on the way), so only hw leaves one behind.
 */
struct injected {
	enum { INJECTED_NONE, INJECTED_INTERRUPT, INJECTED_EXCEPTION, INJECTED_NMI } kind;
	u8 vector;
	bool has_error;
	u32 error;
};

/* Translation mode: everything outside the code bytes that a translation depends on. */
#define MODE_CPL      0x0003
#define MODE_PE       0x0004	/* protected mode */
#define MODE_VM       0x0008	/* virtual-8086 */
#define MODE_CODE32   0x0010	/* CS.D */
#define MODE_STACK32  0x0020	/* SS.B */
#define MODE_FLAT     0x0040	/* CS, DS, ES, SS usable, base 0, limit 4 GiB, DS/ES/SS writable data */
#define MODE_FS_SHIFT 7		/* two bits: enum seg_class of FS */
#define MODE_GS_SHIFT 9		/* two bits: enum seg_class of GS */
#define MODE_NOFPU    0x0800	/* CR0.EM or CR0.TS: x87/MMX/SSE instructions raise #NM or #UD */
#define MODE_IOPL     0x1000	/* CPL <= IOPL: cli/sti/in/out allowed (IOPL part) */
#define MODE_PG       0x2000	/* paging on */
#define MODE_HOT      0x4000	/* set by bt's dispatcher only: a program that could run directly (bt/hot.c) */

enum seg_class {
	SEGC_UNUSABLE,	/* null */
	SEGC_FLAT4G,	/* any base, limit 4 GiB, writable data */
	SEGC_LIMITED,	/* base any, limit equal to vcpu.limited[FS/GS], writable data, expand-up */
	SEGC_OTHER,	/* general path with full checks */
};

struct platform;
struct shadow;
struct cpuid_table;

/*
 * The software TLB behind cpu/access.c: direct-mapped by linear page, RAM pages
 * only.  `tag` is the linear page with, in its low byte, one bit for each
 * combination of ACC_WRITE/USER/FETCH that the walk has allowed (bit number =
 * acc & 7); a write bit also promises that D is set.  An entry of another
 * generation is empty, so that a flush is one increment.
 */
#define SOFT_TLB_ENTRIES 256u

struct soft_tlb_entry {
	u32 tag;
	u32 gen;
	u8 *host;	/* of the page */
};

struct soft_tlb {
	u32 gen;
	struct soft_tlb_entry entry[SOFT_TLB_ENTRIES];
};

struct vcpu {
	u32 regs[8];
	u32 eip;
	u32 flags, sysflags, iff;
	struct segment seg[SEG_COUNT];
	u32 cpl;		/* = SS.DPL in protected mode; 3 in VM86; 0 in real mode */
	u32 mode;		/* MODE_* of the current state; vcpu_update_mode() */
	u32 limited[2];		/* limit that SEGC_LIMITED means for FS, GS; 0: not fixed yet */

	u32 gdt_base, idt_base;
	u16 gdt_limit, idt_limit;

	u32 cr0, cr2, cr3, cr4;
	u64 efer;
	u64 pdpte[4];		/* PAE: loaded by MOV CR3 (SDM 4.4.1) */
	u32 dr[4], dr6, dr7;
	u64 xcr0;

	u32 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 pat, mtrr_def_type, misc_enable, mcg_status;
	u64 mtrr_fixed[11], mtrr_var[16];
	u64 tsc_aux;

	bool halted;
	bool nmi_pending, nmi_blocked;
	bool shadow_sti, shadow_ss;	/* interrupts held off until after the next instruction */
	u8 insn_len;			/* of the instruction that a callout executes */
	struct exception exc;
	u8 exc_depth;			/* deliveries in progress: 1 = nested fault -> #DF logic */
	bool exc_ext;			/* what is raised now gets the EXT bit in its error code */
	s16 last_vector;		/* vector being delivered, for double-fault classification; -1: none */
	bool faulted_page;		/* the last #PF delivered has not returned to user mode yet */
	struct injected injected;	/* half delivered when another engine had to leave: comes before anything else */

	u32 intr_pending;	/* set by anyone: look at interrupts, kicks and stops before the next block */
	u32 halt_futex;		/* bumped and woken to end HLT */
	unsigned index;

	struct walk_ctx walk;		/* kept in step with cr0/cr3/cr4/efer by vcpu_update_paging() */
	struct phys_map *phys;
	struct counters *count;
	const struct platform *platform;
	const struct cpuid_table *cpuid;	/* what CPUID says; also bounds CR4 and XCR0 (cpu/cpuid.h) */
	void *engine;			/* the executor's context (struct exec), for the engine that runs */
	struct soft_tlb tlb;
};

static inline u32 vcpu_eflags(const struct vcpu *v)
{
	return v->flags | v->sysflags | v->iff | EFLAGS_1;
}

static inline void vcpu_set_eflags(struct vcpu *v, u32 f)
{
	v->flags = f & EFLAGS_ARITH;
	v->sysflags = f & EFLAGS_SYS;
	v->iff = f & EFLAGS_IF;
}

static inline unsigned vcpu_iopl(const struct vcpu *v) { return (v->sysflags >> 12) & 3; }

/* Recompute v->mode after a change of CS/SS/DS/ES/FS/GS, CPL, CR0 or EFLAGS.VM/IOPL. */
void vcpu_update_mode(struct vcpu *v);

/*
 * Record an exception to be raised by the current instruction; always returns
 * false, so that `return exc_raise(...)` reads well.
 */
bool exc_raise(struct vcpu *v, unsigned vector);
bool exc_raise_error(struct vcpu *v, unsigned vector, u32 error);
bool exc_raise_pf(struct vcpu *v, u32 error, u32 cr2);
bool exc_raise_db(struct vcpu *v, u32 dr6);	/* dr6: the bits to set on delivery */

/*
 * Power-on / INIT state (SDM vol. 3 table 9-1).  Keeps what connects the CPU to
 * its machine (index, phys, count, platform, cpuid, engine) and `limited`; the
 * MTRRs get the values that firmware would leave.  Does not call the platform.
 */
void vcpu_reset(struct vcpu *v);

/*
 * What the CPU needs from the machine around it; filled in by vmm/.
 */
struct platform {
	void *opaque;
	u32 (*pio_read)(void *opaque, u16 port, unsigned size);
	void (*pio_write)(void *opaque, u16 port, unsigned size, u32 value);
	u64 (*mmio_read)(void *opaque, unsigned cpu, gpa_t gpa, unsigned size);
	void (*mmio_write)(void *opaque, unsigned cpu, gpa_t gpa, unsigned size, u64 value);
	int (*intr_ack)(void *opaque, unsigned cpu);		/* vector or -1 */
	bool (*intr_pending)(void *opaque, unsigned cpu);
	/* MSRs that belong to devices; false: not one of them, or #GP. */
	bool (*msr_read)(void *opaque, unsigned cpu, u32 msr, u64 *value);
	bool (*msr_write)(void *opaque, unsigned cpu, u32 msr, u64 value);
	void (*host_events)(void *opaque);	/* look at what the monitor has announced; cheap if nothing */
	u64 (*run_timers)(void *opaque);	/* fire what is due; next deadline in guest ns */
	u64 (*next_deadline)(void *opaque);	/* hint, cheap, no lock */
	void (*triple_fault)(void *opaque, unsigned cpu);	/* the machine stops */
	bool (*leave)(void *opaque);		/* the engine is to leave the guest: the machine stops, pauses or switches */
	void (*failed)(void *opaque, unsigned cpu);	/* the engine cannot go on; it has logged why.  The machine stops */
	void (*want_space)(void *opaque);	/* bt: one more executor would be of use (cpu/space.h) */
	u64 tsc_hz;
	u32 lapic_hz;
	unsigned cpus;
	/* Called before anything architectural that the engine caches changes: */
	void (*paging_changed)(struct vcpu *v, enum paging_change what, lin_t lin);
};

#endif
