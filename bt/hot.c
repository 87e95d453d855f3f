/*
 * Programs whose system calls are INT 0x80.
 *
 * User code runs on the CPU, where an INT 0x80 costs a trap into the host's
 * kernel and a SIGSYS: 8 to 10 us.  A program that makes many of them is
 * therefore translated like a kernel, as long as it does; its INT is a callout
 * then.  Its own code pages are only read for that, so it sees its own bytes
 * whoever looks; writes, unmapping and restarts are what they are for all
 * translated code (has_code, code_moved; a restart is just another EIP).
 *
 * What a program might notice is left to the CPU, so that a program sees one CPU
 * whichever way it runs: selectors, CPUID and the like, instructions that the
 * guest's kernel is not offered.  A block ends before such an instruction, the
 * program goes on directly, and comes back with its next INT 0x80.
 *
 * Whether it pays is kept by address space (CR3), in nanoseconds of user time.
 * Every INT 0x80 earns what the SIGSYS would have cost beyond this; translating
 * and writes to code pages are paid from it.  Whoever cannot pay runs directly
 * again, and needs more INTs to come back.  So does, for free, whoever computes
 * for long without a system call.
 */
#include "base/log.h"
#include "bt/xlate.h"
#include "cpu/arch.h"

#define NEAR_NS     100000u	/* INTs no further apart than this are in close succession... */
#define HEAT_FIRST  16u		/* ...and so many of them make a program hot */
#define HEAT_MAX    4096u
#define EARN_NS     7000	/* SIGSYS, and the rest of what an INT costs on the CPU */
#define CREDIT_NEW  500000	/* what a program may spend at first: 200 blocks */
#define CREDIT_MAX  4000000
#define COLD_NS     300000u	/* so long without a system call, and it is computing */

static struct hot_space *space_of(struct bt *bt, u32 cr3)
{
	struct hot_space *s = bt->hot;

	if (s && s->cr3 == cr3)
		return s;
	/* Page directories are pages, PAE's pointer tables 32 bytes. */
	s = &bt->hot_spaces[(cr3 >> 12 ^ cr3 >> 5) % HOT_SPACES];
	if (s->cr3 != cr3 || !s->limit)
		*s = (struct hot_space){ .cr3 = cr3, .limit = HEAT_FIRST, .credit = CREDIT_NEW };
	bt->hot = s;
	return s;
}

static void cool(struct bt *bt, struct hot_space *s, const char *why)
{
	s->hot = false;
	s->heat = 0;
	s->credit = CREDIT_NEW;
	bt->count->hot_ends++;
	trace(adapt, "program of cr3 %08x runs directly again: %s", s->cr3, why);
}

bool hot_now(struct bt *bt, struct exec *x)
{
	struct vcpu *v = &x->v;
	struct hot_space *s = space_of(bt, v->cr3);

	if (!s->hot || s->away || (v->sysflags & (EFLAGS_TF | EFLAGS_AC)))
		return false;
	if (s->credit < 0) {
		s->limit = s->limit * 4 < HEAT_MAX ? s->limit * 4 : HEAT_MAX;
		cool(bt, s, "translating costs more than it saves");
		return false;
	}
	if (s->ran > COLD_NS) {
		cool(bt, s, "it computes");
		return false;
	}
	return true;
}

void hot_ran(struct bt *bt, u64 ns)
{
	if (bt->hot)
		bt->hot->ran += ns;
}

void hot_charge(struct bt *bt, u64 ns)
{
	if (bt->hot)
		bt->hot->credit -= (s64)ns;
}

void hot_slow_int(struct bt *bt, struct exec *x)
{
	struct hot_space *s;
	u64 now;

	if (x->no_user_patching)
		return;
	s = space_of(bt, x->v.cr3);
	now = clock_ns(x->clock);
	s->heat = now - s->last < NEAR_NS ? s->heat + 1 : s->heat / 2;
	s->last = now;
	s->away = false;
	s->ran = 0;
	if (s->hot || s->heat < s->limit)
		return;
	s->hot = true;
	bt->count->hot_begins++;
	trace(adapt, "program of cr3 %08x is translated: INT 0x80 at %08x is hot", s->cr3, x->v.eip);
}

static void system_call(struct exec *x)
{
	struct bt *bt = x->bt;
	struct hot_space *s = space_of(bt, x->v.cr3);

	x->v.count->exit_syscall_translated++;
	s->ran = 0;
	if (s->credit >= CREDIT_MAX)
		s->limit = HEAT_FIRST;
	else
		s->credit += EARN_NS;
}

u64 hot_int80(struct exec *x, u32 arg)
{
	system_call(x);
	return co_soft_int(x, 0x80);
}

u64 hot_sysenter(struct exec *x, u32 arg)
{
	system_call(x);
	return co_sysenter(x, arg);
}

u64 hot_to_cpu(struct exec *x, u32 arg)
{
	struct bt *bt = x->bt;

	space_of(bt, x->v.cr3)->away = true;
	bt->count->hot_aways++;
	return RET_DISPATCH;
}

/* ---- translating ---- */

static bool names_segment(const struct insn *i)
{
	for (unsigned n = 0; n < i->z.operand_count; n++)
		if (i->op[n].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(i->op[n].reg.value) == ZYDIS_REGCLASS_SEGMENT)
			return true;
	return false;
}

/* Does the CPU's answer differ from the translator's, or may it know better? */
static bool wants_cpu(const struct insn *i)
{
	if (i->z.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && i->z.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
		return true;
	if (i->z.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR || names_segment(i))
		return true;
	switch (i->z.mnemonic) {
	case ZYDIS_MNEMONIC_LDS: case ZYDIS_MNEMONIC_LES: case ZYDIS_MNEMONIC_LFS: case ZYDIS_MNEMONIC_LGS: case ZYDIS_MNEMONIC_LSS:
	case ZYDIS_MNEMONIC_IRET: case ZYDIS_MNEMONIC_IRETD:
	case ZYDIS_MNEMONIC_SMSW: case ZYDIS_MNEMONIC_SLDT: case ZYDIS_MNEMONIC_STR: case ZYDIS_MNEMONIC_SGDT: case ZYDIS_MNEMONIC_SIDT:
	case ZYDIS_MNEMONIC_LAR: case ZYDIS_MNEMONIC_LSL: case ZYDIS_MNEMONIC_VERR: case ZYDIS_MNEMONIC_VERW:
	case ZYDIS_MNEMONIC_CPUID: case ZYDIS_MNEMONIC_XGETBV: case ZYDIS_MNEMONIC_RDTSCP: case ZYDIS_MNEMONIC_RDPID:
	case ZYDIS_MNEMONIC_RDPKRU: case ZYDIS_MNEMONIC_WRPKRU:
	case ZYDIS_MNEMONIC_XSAVE: case ZYDIS_MNEMONIC_XRSTOR: case ZYDIS_MNEMONIC_XSAVEOPT: case ZYDIS_MNEMONIC_XSAVEC:
	case ZYDIS_MNEMONIC_XBEGIN: case ZYDIS_MNEMONIC_XEND: case ZYDIS_MNEMONIC_XABORT: case ZYDIS_MNEMONIC_XTEST:
	case ZYDIS_MNEMONIC_MONITORX: case ZYDIS_MNEMONIC_MWAITX: case ZYDIS_MNEMONIC_MOVDIR64B: case ZYDIS_MNEMONIC_ENQCMD:
	case ZYDIS_MNEMONIC_INCSSPD: case ZYDIS_MNEMONIC_RDSSPD: case ZYDIS_MNEMONIC_RSTORSSP: case ZYDIS_MNEMONIC_WRSSD:
		return true;
	default:
		return false;
	}
}

bool xlate_hot(struct xlat *t, enum decode_result got)
{
	if (got != DECODE_OK || wants_cpu(&t->i)) {
		emit_callout_end(t, hot_to_cpu, 0);
		return true;
	}
	if (t->i.z.mnemonic == ZYDIS_MNEMONIC_SYSENTER) {
		emit_callout_end(t, hot_sysenter, 0);
		return true;
	}
	if (t->i.z.mnemonic != ZYDIS_MNEMONIC_INT || (t->i.op[0].imm.value.u & 0xff) != 0x80)
		return false;
	emit_callout_end(t, hot_int80, 0);
	return true;
}
