/*
 * Inside the translator: the state of one block's translation and the pieces
 * that the handlers (xlate_*.c) are made of.
 */
#ifndef BT_XLATE_H
#define BT_XLATE_H

#include "bt/bt.h"
#include "bt/decode.h"
#include "bt/emit.h"

#define XF(field) ((u32)offsetof(struct exec, field))
#define VF(field) ((u32)offsetof(struct exec, v.field))

struct xlat {
	struct emit e;
	struct emit cold;	/* the block's cold part */
	struct bt *bt;
	struct exec *x;
	struct block *b;
	unsigned flags;		/* XLATE_* */
	u32 mode;
	bool flat;		/* 32-bit flat: the fast path */
	u32 eip, next;		/* current and next instruction */
	u32 gpa;		/* of the current instruction */
	struct site *site;	/* may be NULL */
	struct insn i;
	const u8 *code;		/* the current instruction's bytes, and what follows it in its page: */
	unsigned avail;
	bool ended;		/* the block's last instruction has been emitted */
	bool no_end;		/* the block must not end after this instruction (MOV SS, STI shadow) */
};

/* A host address: [base + index << scale + disp]. */
struct haddr { u8 base, index, scale; s32 disp; };

/* ---- translate.c ---- */

/* From here on, faults belong to the current instruction's access `slot`. */
void mark(struct xlat *t, unsigned slot, enum recover r);
/* Call fn(exec, arg) with the guest's state in the vCPU.  Clobbers r8-r12; flags and guest registers survive. */
void emit_callout(struct xlat *t, callout_fn fn, u32 arg);
/* The block ends here; the callout's return value leaves to the dispatcher. */
void emit_callout_end(struct xlat *t, callout_fn fn, u32 arg);
/* Raise an exception without error code, or #GP(0), at the current instruction.  Ends the block. */
void emit_raise(struct xlat *t, unsigned vector);

/* ---- xlate_mem.c ---- */

enum site_form form_of(const struct xlat *t, unsigned slot);
/* Effective address (offset) of `ea` into r8d, wrapped to its address size. */
void emit_offset(struct xlat *t, const struct ea *ea);
/* Loads and stores between a host register and guest memory; r8, r9 clobbered in the slower forms. */
void emit_load(struct xlat *t, unsigned dst, unsigned size, const struct ea *ea, unsigned slot);
void emit_store(struct xlat *t, unsigned src, unsigned size, const struct ea *ea, unsigned slot);
void emit_store_imm(struct xlat *t, u32 imm, unsigned size, const struct ea *ea, unsigned slot);
/* The current instruction with its memory operand redirected. */
void emit_mem_insn(struct xlat *t);
/* The window base for the linear address in r8d into r9 (checked form). */
void emit_window_lookup(struct xlat *t);
/* The current instruction without memory operand, as it is. */
void emit_identical(struct xlat *t);

/* ---- handlers ---- */

void xlate_push(struct xlat *t);
void xlate_pop(struct xlat *t);
void xlate_pusha(struct xlat *t);
void xlate_popa(struct xlat *t);
void xlate_leave(struct xlat *t);
void xlate_enter(struct xlat *t);
void xlate_pushf(struct xlat *t);
void xlate_popf(struct xlat *t);
/* Push host register src (or an immediate) of t->i.opsize bytes. */
void emit_push_reg(struct xlat *t, unsigned src, unsigned size);
void emit_push_imm(struct xlat *t, u32 imm, unsigned size);

void xlate_string(struct xlat *t);

void xlate_mov_to_segment(struct xlat *t);
void xlate_mov_from_segment(struct xlat *t);
void xlate_pop_segment(struct xlat *t);

void xlate_jmp(struct xlat *t);
void xlate_jcc(struct xlat *t);
void xlate_loop(struct xlat *t);
void xlate_call(struct xlat *t);
void xlate_ret(struct xlat *t);
/* End the block with a direct exit. */
void emit_goto(struct xlat *t, unsigned slot, u32 target);
/* End the block by going to the guest EIP in r8d. */
void emit_goto_r8(struct xlat *t);
void emit_stubs(struct xlat *t);

/* Hot programs: what is not as in other code; true if handled.  (hot.c) */
bool xlate_hot(struct xlat *t, enum decode_result got);
/* System instructions: true if handled. */
bool xlate_system(struct xlat *t);

static inline struct ea stack_ea(s32 disp)
{
	return (struct ea){ .base = ESP, .index = H_NONE, .asize = 4, .seg = SEG_SS, .disp = disp };
}

/* 32-bit flat stack: the inline forms apply. */
static inline bool flat_stack(const struct xlat *t)
{
	return t->flat && (t->mode & MODE_STACK32);
}

/* ---- callout.c: the C side.  Arguments are documented there. ---- */

#define CALLOUTS(X) \
	X(mem_prepare) X(mem_commit) X(load) X(store) X(push) X(pop) X(pop_mem) X(pusha) X(popa) X(enter) X(leave) \
	X(ret_near) \
	X(string) X(seg_load) X(load_far) X(raise) X(sti_pending) X(cli_sti) X(popf) X(popf_image) X(pushf) X(soft_int) X(into) X(bound) \
	X(iret) X(far_jmp) X(far_call) X(far_ret) X(far_mem) X(sysenter) X(sysexit) X(hlt) X(in) X(out) X(cpuid) \
	X(rdmsr) X(wrmsr) X(cr_read) X(cr_write) X(dr_read) X(dr_write) X(clts) X(lmsw) X(invlpg) X(wbinvd) \
	X(lgdt) X(sgdt) X(system_segment) X(lar_lsl) X(verify) X(arpl) X(bcd) X(salc) X(xgetbv) X(xsetbv) X(rdpmc) X(rdtsc) \
	X(xmask) X(nofpu) X(store_selector)

#define X(name) u64 co_##name(struct exec *x, u32 arg);
CALLOUTS(X)
#undef X

/* co_seg_load argument, beside segment and pop size << 8. */
#define SEG_LOAD_LEARN BIT(30)	/* exec.seg_gpa, seg_mode are set */
#define SEG_LOAD_ALONE BIT(31)	/* its block's only instruction */

/* co_mem_prepare / co_mem_commit / co_load / co_store argument. */
#define CM_SIZE(n)  ((u32)(n) & 0x3fff)
#define CM_SEG(s)   ((u32)(s) << 14)		/* 3 bits */
#define CM_READ     BIT(17)
#define CM_WRITE    BIT(18)
#define CM_BITS     BIT(19)			/* bit string: offset register in bits 20-22, operand size 4 or 2 (bit 23) */
#define CM_REG(r)   ((u32)(r) << 20)
#define CM_OP16     BIT(23)
#define CM_ALIGN16  BIT(25)			/* #GP(0) if the linear address is not 16-aligned */
#define CM_EMULATE  BIT(24)			/* counts as emulation, not MMIO */

#endif
