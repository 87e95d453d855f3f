/*
 * The architecture in C: everything about a 32-bit x86 CPU that is not plain
 * computation.  Callouts from translated code, and the dispatcher, call these.
 *
 * Convention for the instruction-like functions: on entry v->eip is the address
 * (CS offset) of the current instruction and v->insn_len its length; registers
 * are in v->regs.  They return true with the state advanced (v->eip = next
 * instruction), or false with the exception in v->exc and no state changed.
 * Whatever changes CS, SS, DS, ES, FS, GS, CPL, CR0 or VM/IOPL ends with
 * vcpu_update_mode().
 *
 * Who moves eip: xfer_*, deliver_* and task_switch, which set it to where execution
 * goes on.  The functions of segment.c and control.c leave it alone (they are the
 * inner part of MOV, POP, LDS, CPUID...); their caller adds insn_len.
 */
#ifndef CPU_ARCH_H
#define CPU_ARCH_H

#include "cpu/access.h"
#include "cpu/vcpu.h"

/* System descriptor types (attr & SEG_TYPE with SEG_S clear); the 32-bit ones are the 16-bit ones + 8. */
enum system_type {
	SYS_TSS16 = 1, SYS_LDT = 2, SYS_BUSY = 2 /* or'ed to a TSS type */, SYS_CALL16 = 4, SYS_TASK = 5,
	SYS_INT16 = 6, SYS_TRAP16 = 7, SYS_TSS32 = 9, SYS_CALL32 = 12, SYS_INT32 = 14, SYS_TRAP32 = 15,
};

static inline unsigned seg_dpl(const struct segment *s) { return (s->attr & SEG_DPL) >> SEG_DPL_SHIFT; }

/* ---- segment.c: segment registers and descriptors (SDM vol. 3 ch. 3, 5) ---- */

/* Load ES, SS, DS, FS or GS as MOV/POP/LDS would (protected, real or VM86 rules).  Does not touch eip. */
MUST_USE bool seg_load(struct vcpu *v, enum seg s, u16 sel);
/* Real-mode/VM86 style load: base = sel << 4. */
void seg_load_real(struct vcpu *v, enum seg s, u16 sel);
/* Fetch the 8 bytes of a descriptor from GDT or LDT; raises `vector`(sel) if outside the table. */
MUST_USE bool desc_fetch(struct vcpu *v, u16 sel, u32 desc[2], unsigned vector);
/* The hidden part that the descriptor stands for. */
void desc_to_segment(u16 sel, const u32 desc[2], struct segment *out);
/* Where the descriptor of `sel` is; sel has been through desc_fetch. */
lin_t desc_address(const struct vcpu *v, u16 sel);
/* Set A in the descriptor in memory, and in s, unless set already. */
MUST_USE bool seg_mark_accessed(struct vcpu *v, u16 sel, const u32 desc[2], struct segment *s);
void seg_set_null(struct segment *s, u16 sel);
MUST_USE bool seg_lldt(struct vcpu *v, u16 sel);
MUST_USE bool seg_ltr(struct vcpu *v, u16 sel);
/* LAR, LSL, VERR, VERW: no exceptions but #PF; result through *ok (ZF) and *value. */
MUST_USE bool seg_lar(struct vcpu *v, u16 sel, bool *ok, u32 *value);
MUST_USE bool seg_lsl(struct vcpu *v, u16 sel, bool *ok, u32 *value);
MUST_USE bool seg_verify(struct vcpu *v, u16 sel, bool write, bool *ok);

/*
 * Segmented address to linear: checks usability, type and limit of an access of
 * `size` bytes at `off`; raises #GP(0) or #SS(0).
 */
MUST_USE bool seg_linear(struct vcpu *v, enum seg s, u32 off, unsigned size, bool write, lin_t *lin);

/* ---- deliver.c: interrupts and exceptions (SDM vol. 3 ch. 6) ---- */

enum event_kind { EVENT_HARDWARE, EVENT_EXCEPTION, EVENT_SOFT /* INT n, INT3, INTO */ };

/*
 * Deliver through the IDT (or the real-mode IVT).  `next_eip`: the return address for
 * EVENT_SOFT and hardware interrupts is v->eip as it stands (set it before);
 * for exceptions likewise (v->eip = faulting instruction, or the following one
 * for traps).  Nested faults become #DF, then a triple fault, which stops the
 * machine through platform->triple_fault.  Never fails.
 */
void deliver_hardware(struct vcpu *v, u8 vector);
/* Deliver the exception in v->exc. */
void deliver_exception(struct vcpu *v);
/*
 * INT n / INT3 / INTO executed at v->eip: DPL and VM86-IOPL checks; false with v->exc set when refused.
 * Pushes v->eip + v->insn_len.  A one-byte instruction (INT3, INTO) is not IOPL-sensitive in VM86.
 */
MUST_USE bool deliver_soft(struct vcpu *v, u8 vector);

/* ---- transfer.c: far transfers and returns (SDM vol. 2, vol. 3 ch. 5) ---- */

MUST_USE bool xfer_far_jmp(struct vcpu *v, u16 sel, u32 off);
MUST_USE bool xfer_far_call(struct vcpu *v, u16 sel, u32 off, unsigned opsize /* 2, 4 */);
MUST_USE bool xfer_far_ret(struct vcpu *v, unsigned opsize, u16 pop_bytes);
MUST_USE bool xfer_iret(struct vcpu *v, unsigned opsize);
MUST_USE bool xfer_sysenter(struct vcpu *v);
MUST_USE bool xfer_sysexit(struct vcpu *v);
/* POPF/PUSHF semantics of the current CPL/IOPL/VM (no VME). */
MUST_USE bool xfer_popf(struct vcpu *v, unsigned opsize);
/* The rest of POPF, its image having been read; no checks. */
void xfer_popf_image(struct vcpu *v, u32 image, unsigned opsize);
MUST_USE bool xfer_pushf(struct vcpu *v, unsigned opsize);

/* ---- task.c: hardware task switch (SDM vol. 3 ch. 7) ---- */

enum task_cause { TASK_JMP, TASK_CALL, TASK_IRET, TASK_GATE };
/*
 * `error` is pushed on the new stack when has_error (task gates for exceptions).
 * The outgoing task's EIP is v->eip + v->insn_len, but for TASK_GATE v->eip as it stands.
 * False before the switch: nothing changed.  False after it (a segment of the new
 * task is bad, or its T bit is set): v->exc is to be delivered in the new task.
 */
MUST_USE bool task_switch(struct vcpu *v, u16 tss_sel, enum task_cause cause, bool has_error, u32 error);
/* ESP and SS of the ring's stack from the current TSS; #TS when they are beyond its limit. */
MUST_USE bool task_stack(struct vcpu *v, unsigned ring, u16 *ss, u32 *esp);
/* I/O permission: raises #GP(0) when CPL > IOPL (or VM86) and the bitmap says no. */
MUST_USE bool task_io_allowed(struct vcpu *v, u16 port, unsigned size);

/* ---- control.c, cpuid.c, msr.c: CR, DR, XCR, CPUID, MSR ---- */

MUST_USE bool cr_write(struct vcpu *v, unsigned cr, u32 value);	/* 0, 2, 3, 4, 8 (#UD) */
MUST_USE bool cr_read(struct vcpu *v, unsigned cr, u32 *value);
MUST_USE bool dr_write(struct vcpu *v, unsigned dr, u32 value);
MUST_USE bool dr_read(struct vcpu *v, unsigned dr, u32 *value);
void cr_clts(struct vcpu *v);
MUST_USE bool cr_lmsw(struct vcpu *v, u16 value);
MUST_USE bool xcr_write(struct vcpu *v, u32 index, u64 value);
/* CPUID with EAX, ECX from regs; results to regs. */
void cpuid_execute(struct vcpu *v);
MUST_USE bool msr_read(struct vcpu *v, u32 msr, u64 *value);
MUST_USE bool msr_write(struct vcpu *v, u32 msr, u64 value);
/* CR3 and what hangs on it, without MOV's privilege check (task switches). */
MUST_USE bool cr3_load(struct vcpu *v, u32 value);
#define DR6_FIXED 0xffff0ff0u	/* bits that read as one */
#define DR7_FIXED 0x00000400u
#define DR6_BD BIT(13)		/* debug register access while GD */
#define DR6_BS BIT(14)		/* single step */
#define DR6_BT BIT(15)		/* task switch */
#define DR7_GD BIT(13)
/* Bring v->walk in step with CR0/CR3/CR4/EFER. */
void vcpu_update_paging(struct vcpu *v);

/* ---- backdoor.c: the hypervisor port ---- */

#define BACKDOOR_PORT 0x5658
/* IN EAX, DX of that port: true if EAX held the magic number and the command was executed. */
bool backdoor_in(struct vcpu *v);

#endif
