/*
 * Programs whose system calls are INT 0x80.
 *
 * User code runs on the CPU, where an INT 0x80 costs a trap into the host's
 * kernel and a SIGSYS: 8 to 10 us.  A program that makes many of them is
 * therefore translated like a kernel, as long as it does; its INT is a callout
 * then.  (And so it is with a SYSENTER that vdso.c has not patched.)  Its own code
 * pages are only read for that, so whoever looks sees the program's own bytes; a
 * restart or a jump to the INT is just another EIP.
 *
 * What a program might notice is left to the CPU, so that a program sees one CPU
 * whichever way it runs: selectors, CPUID and the like, instructions that the
 * guest's kernel is not offered.  A block ends before such an instruction, the
 * program goes on directly, and comes back with its next INT 0x80.
 *
 * A program is an address space, named by CR3.  Its blocks are its own (block.program):
 * no other finds them, and they stay while others run.  They are not tracked by a
 * shadow: the pages they were fetched through are listed here, and walked anew when
 * the program comes back after a flush of the TLB; until then the guest cannot expect
 * a change of its tables to be noticed.  Writes to the pages are what they are for all
 * translated code (has_code).
 *
 * Whether it pays is kept in nanoseconds.  Every INT 0x80 earns what it would have
 * cost on the CPU; translating, and writes to code pages, are paid from it.  Whoever
 * cannot pay runs directly again, and needs more INTs to come back.  So does, for
 * free, whoever computes for long without a system call.
 */
#include "base/log.h"
#include "bt/xlate.h"
#include "cpu/arch.h"

#define NEAR_NS     100000u	/* INTs no further apart than this are in close succession... */
#define HEAT_FIRST  16u		/* ...and so many of them make a program hot */
#define HEAT_MAX    1024u
#define EARN_NS     7000	/* SIGSYS, and the rest of what an INT costs on the CPU */
#define CREDIT_NEW  500000	/* what a program may spend at first: 200 blocks */
#define CREDIT_MAX  4000000
#define CHARGE_MAX  20000
#define AWAY_NS     2000	/* to the CPU and back */
#define COLD_NS     300000u	/* so long without an INT, and it is computing */
#define STINT_MAX   100000u

/* ---- the pages of a program's blocks ---- */

static u32 id_of(const struct bt *bt, const struct hot_program *p) { return (u32)(p - bt->hot_programs) + 1; }

/* Inline lookups must find the current program's blocks only. */
static void drop_lookups(struct bt *bt)
{
	for (u32 i = 0; i < bt->hot_lookups; i++)
		ibtc_remove(bt, &bt->blocks[bt->hot_lookup[i]]);
	bt->hot_lookups = 0;
}

void hot_lookup_added(struct bt *bt, const struct block *b)
{
	if (bt->hot_lookups == HOT_LOOKUPS)
		drop_lookups(bt);
	bt->hot_lookup[bt->hot_lookups++] = block_id(bt, b);
}

static void forget_page(struct bt *bt, struct exec *x, struct hot_program *p, u32 i)
{
	cache_forget_program(bt, x, id_of(bt, p), p->page[i].lin, p->page[i].gpage);
	p->page[i] = p->page[--p->pages];
}

static void forget_pages(struct bt *bt, struct exec *x, struct hot_program *p)
{
	while (p->pages)
		forget_page(bt, x, p, p->pages - 1);
}

void hot_cache_emptied(struct bt *bt)
{
	for (u32 i = 0; i < HOT_PROGRAMS; i++)
		bt->hot_programs[i].pages = 0;
	bt->hot_lookups = 0;
}

static void track(struct bt *bt, struct exec *x, struct hot_program *p, u32 page, u32 gpage)
{
	u32 i = 0;

	space_protect_code(x, gpage);
	while (i < p->pages && p->page[i].lin != page)
		i++;
	if (i < p->pages && p->page[i].gpage == gpage)
		return;
	if (i < p->pages)
		forget_page(bt, x, p, i);	/* the tables have changed, legitimately unnoticed: the new translation wins */
	p->page[p->pages++] = (struct hot_page){ page, gpage };
}

void hot_track(struct bt *bt, struct exec *x, const struct block *b)
{
	struct hot_program *p = bt->hot;
	u32 page = b->eip >> PAGE_SHIFT;

	if (p->pages + 2 > HOT_PAGES)
		forget_pages(bt, x, p);
	track(bt, x, p, page, b->gpage[0]);
	if (b->gpage[1] != NO_PAGE)
		track(bt, x, p, (page + 1) & 0xfffff, b->gpage[1]);
}

/* Walk the pages as a fetch would, after a flush. */
static void check_pages(struct bt *bt, struct exec *x, struct hot_program *p)
{
	struct walk_result r;

	for (u32 i = p->pages; i-- > 0;)
		if (walk(&x->v.walk, p->page[i].lin << PAGE_SHIFT, ACC_USER | ACC_FETCH, &r) ||
		    r.gpa >> PAGE_SHIFT != p->page[i].gpage)
			forget_page(bt, x, p, i);
	bt->hot_checked = true;
}

void hot_flushed(struct bt *bt) { bt->hot_checked = false; }

void hot_invlpg(struct bt *bt, lin_t lin)
{
	const struct hot_program *p = bt->hot;

	for (u32 i = 0; p && bt->hot_checked && i < p->pages; i++)
		if ((p->page[i].lin << PAGE_SHIFT ^ lin) >> 22 == 0)	/* it may be one of 4 MiB */
			bt->hot_checked = false;
}

/* ---- which program, and does it pay ---- */

/* Page directories are pages, PAE's pointer tables 32 bytes. */
static struct hot_program *slot_of(struct bt *bt, u32 cr3) { return &bt->hot_programs[(cr3 >> 12 ^ cr3 >> 5) % HOT_PROGRAMS]; }

static void change_program(struct bt *bt, struct exec *x)
{
	struct hot_program *p = slot_of(bt, x->v.cr3);

	drop_lookups(bt);
	bt->hot = p->limit && p->cr3 == x->v.cr3 ? p : NULL;
	bt->hot_id = id_of(bt, p);
	bt->hot_cr3 = x->v.cr3;
	bt->hot_checked = false;
}

/* The current program, which is known from now on. */
static struct hot_program *know_program(struct bt *bt, struct exec *x)
{
	if (bt->hot_cr3 != x->v.cr3)
		change_program(bt, x);
	if (!bt->hot) {
		struct hot_program *p = slot_of(bt, x->v.cr3);

		forget_pages(bt, x, p);		/* another's */
		p->cr3 = x->v.cr3;
		p->limit = HEAT_FIRST;
		p->credit = CREDIT_NEW;
		p->hot = p->away = false;
		p->heat = p->slow_sysenters = 0;
		change_program(bt, x);
	}
	return bt->hot;
}

static void cool(struct bt *bt, struct hot_program *p, const char *why)
{
	p->hot = false;
	p->heat = 0;
	p->credit = CREDIT_NEW;
	bt->count->hot_ends++;
	trace(adapt, "program of cr3 %08x runs directly again: %s", p->cr3, why);
}

/* --translate-users: all that can be. */
static bool must_translate(struct bt *bt, struct exec *x)
{
	struct hot_program *p = know_program(bt, x);
	bool away = p->away;

	p->away = false;
	if (away || (x->v.sysflags & (EFLAGS_TF | EFLAGS_AC)))
		return false;
	if (!bt->hot_checked)
		check_pages(bt, x, p);
	return true;
}

bool hot_now(struct bt *bt, struct exec *x)
{
	struct hot_program *p;

	if (bt->hot_cr3 != x->v.cr3)
		change_program(bt, x);
	p = bt->hot;
	if (x->translate_users)
		return must_translate(bt, x);
	if (!p || !p->hot || p->away || (x->v.sysflags & (EFLAGS_TF | EFLAGS_AC)))
		return false;
	if (p->credit < 0) {
		p->limit = p->limit * 4 < HEAT_MAX ? p->limit * 4 : HEAT_MAX;
		cool(bt, p, "translating costs more than it saves");
		return false;
	}
	if (p->ran > COLD_NS) {
		cool(bt, p, "it computes");
		return false;
	}
	if (!bt->hot_checked)
		check_pages(bt, x, p);
	return true;
}

/* Much at once may be the host's scheduler as well. */
void hot_ran(struct bt *bt, u64 ns) { bt->hot->ran += ns < STINT_MAX ? ns : STINT_MAX; }

/* What surrounds it (FPU state, cold tables) is half as much again; what is far more is the host's scheduler. */
void hot_charge(struct bt *bt, u64 ns) { bt->hot->credit -= (s64)(ns + ns / 2 < CHARGE_MAX ? ns + ns / 2 : CHARGE_MAX); }

void hot_slow_call(struct bt *bt, struct exec *x, bool sysenter)
{
	struct hot_program *p;
	u64 now;

	if (x->no_user_patching)
		return;
	p = know_program(bt, x);
	p->slow_sysenters += sysenter;
	now = clock_ns(x->clock);
	p->heat = now - p->last < NEAR_NS ? p->heat + 1 : p->heat / 2;
	p->last = now;
	if (p->away)
		p->credit -= AWAY_NS;
	p->away = false;
	p->ran = 0;
	if (p->hot || p->heat < p->limit)
		return;
	p->hot = true;
	bt->count->hot_begins++;
	trace(adapt, "program of cr3 %08x is translated: %s at %08x is hot", p->cr3, sysenter ? "SYSENTER" : "INT 0x80", x->v.eip);
}

static void earn(struct hot_program *p)
{
	p->ran = 0;
	if (p->credit >= CREDIT_MAX)
		p->limit = HEAT_FIRST;
	else
		p->credit += EARN_NS;
}

u64 hot_int80(struct exec *x, u32 arg)
{
	struct bt *bt = x->bt;

	x->v.count->hot_syscalls++;
	earn(bt->hot);
	return co_soft_int(x, 0x80);
}

/* In the vDSO it would have been patched, and as cheap; so it has been if the program had few that were not. */
u64 hot_sysenter(struct exec *x, u32 arg)
{
	struct bt *bt = x->bt;

	x->v.count->hot_syscalls++;
	if (bt->hot->slow_sysenters >= HEAT_FIRST / 2)
		earn(bt->hot);
	return co_sysenter(x, arg);
}

u64 hot_to_cpu(struct exec *x, u32 arg)
{
	struct bt *bt = x->bt;

	bt->hot->away = true;
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
