/*
 * Faults in translated code: from a host signal to the guest instruction it
 * belongs to, and from there to one of
 *   - the shadow was not filled yet: fill it and resume,
 *   - the guest's own page tables say no: #PF,
 *   - the instruction was translated in the wrong form: remember it (site.c),
 *     throw the block away, go on at the instruction,
 *   - an access that cannot be mapped: perform it by hand once,
 *   - another exception of the instruction itself (#DE, #MF, ...).
 */
#include "base/check.h"
#include "base/log.h"
#include "bt/bt.h"
#include "bt/emit.h"

#define SMC_LIMIT     2000	/* writes to code pages within SMC_PERIOD before the site gets the callout form: */
#define SMC_PERIOD    100	/* ms.  A kernel that patches itself with memcpy at boot stays below */
#define EMULATE_LIMIT 16
#define FLEETING_LIMIT 4
#define FLEETING_AGAIN 4
#define FLIP_LIMIT    200

static const struct map_entry *find_map(const struct bt *bt, const struct block *b, u32 off)
{
	const struct map_entry *m = &bt->maps[b->map];
	u32 lo = 0, hi = b->map_count;

	while (hi - lo > 1) {
		u32 mid = (lo + hi) / 2;
		if (m[mid].host <= off)
			lo = mid;
		else
			hi = mid;
	}
	return &m[lo];
}

static void recover_regs(struct vcpu *v, const struct map_entry *m, const s64 *g)
{
	if (m->recover == RECOVER_AXDX) {
		v->regs[EAX] = (u32)g[G_R9];
		v->regs[EDX] = (u32)g[G_R10];
	} else if (m->recover >= RECOVER_REG && m->recover < RECOVER_END) {
		v->regs[m->recover - RECOVER_REG] = (u32)g[G_R9];
	}
}

static u32 insn_gpa(const struct block *b, u32 eip)
{
	u32 lin = b->cs_base + eip;
	bool second = lin >> PAGE_SHIFT != (b->cs_base + b->eip) >> PAGE_SHIFT;

	return b->gpage[second ? 1 : 0] << PAGE_SHIFT | (lin & PAGE_MASK);
}

/* For a string instruction at host address `rip`: which operand faulted; `slot` for anything else. */
static unsigned string_slot(const u8 *rip, const struct sig_frame *f, unsigned slot)
{
	while (*rip == 0xf2 || *rip == 0xf3 || *rip == 0x66)
		rip++;
	switch (*rip & 0xfe) {
	case 0xa4:
		return f->error & PF_W ? 1 : 0;
	case 0xaa: case 0xae:
		return 1;
	case 0xac:
		return 0;
	case 0xa6:
		return f->addr - ((u64)f->gregs[G_RDI] & ~7ull) < 16 ? 1 : 0;
	default:
		return slot;
	}
}

static u64 again(struct bt *bt, struct exec *x, struct block *b)
{
	cache_invalidate(bt, x, b);
	return RET_DISPATCH;
}

static u64 wrong_window(struct bt *bt, struct exec *x, struct block *b, struct site *s, unsigned slot,
			enum window win, lin_t lin)
{
	enum site_form form = s->form[slot] ? (enum site_form)(s->form[slot] - 1) : FORM_KERNEL;
	u8 right = win == WIN_KERNEL ? WIN_USER : WIN_KERNEL;

	switch (form) {
	case FORM_KERNEL:
		if (win == WIN_KERNEL) {
			s->form[slot] = FORM_USER + 1;
			bt->count->adapt_user++;
		} else {
			s->form[slot] = FORM_CHECKED + 1;
			bt->count->adapt_checked++;
		}
		break;
	case FORM_USER:
		if (win == WIN_KERNEL)
			break;		/* an older translation of this site */
		s->form[slot] = FORM_CHECKED + 1;
		bt->count->adapt_checked++;
		break;
	case FORM_CHECKED:
		if (x->window_of[lin >> 16] == right)
			break;		/* an older translation of this site */
		x->window_of[lin >> 16] = right;
		if (++s->emulated[slot] < FLIP_LIMIT)
			return RET_DISPATCH;
		s->form[slot] = FORM_CALLOUT + 1;
		break;
	case FORM_CALLOUT:
		break;
	}
	trace(adapt, "site %08x slot %u at eip %08x: form %u", s->key, slot, x->v.eip, s->form[slot] - 1u);
	return again(bt, x, b);
}

/*
 * First access to a page that has always gone soon after: by hand, for mapping and unmapping it costs
 * far more than an access or two.  0: map it all the same.  (site_loops() finds the loops.)
 */
static u64 fleeting(struct bt *bt, struct exec *x, struct block *b, unsigned slot)
{
	struct site *s = site_get(bt, insn_gpa(b, x->v.eip));

	if (++x->by_hand > BY_HAND_LIMIT)
		return 0;
	/* A loop has another chance when it has had many pages mapped, and each time it needs more of them. */
	if (s->loops && ++s->mapped < FLEETING_AGAIN << 2 * s->loops)
		return 0;
	if (!s->loops && (s->form[slot] == FORM_CALLOUT + 1 || ++s->emulated[slot] < FLEETING_LIMIT))
		return RET_EMULATE;
	s->mapped = 0;
	s->form[slot] = FORM_CALLOUT + 1;
	s->fleeting = true;
	bt->count->adapt_fleeting++;
	return again(bt, x, b);
}

static u64 page_fault(struct bt *bt, struct exec *x, struct sig_frame *f, struct block *b, const struct map_entry *m)
{
	struct vcpu *v = &x->v;
	enum window win = f->addr < WINDOW_SIZE ? WIN_USER : WIN_KERNEL;
	u64 off = f->addr - (win == WIN_KERNEL ? KERNEL_WINDOW : 0);
	unsigned acc = (f->error & PF_W ? ACC_WRITE : 0) | (v->cpl == 3 ? ACC_USER : 0);
	unsigned slot = string_slot((const u8 *)f->rip, f, m->slot);
	lin_t lin = (lin_t)off;
	enum shadow_result r;
	struct site *s;
	u32 err = 0;

	if (win == WIN_KERNEL && f->addr - (KERNEL_WINDOW - WINDOW_SIZE) >= 3 * WINDOW_SIZE) {
		log_error("translated code at guest eip %08x touched host address %p", v->eip, (void *)f->addr);
		CHECK(!"translated code left its window");
	}
	if (off >= WINDOW_SIZE)
		return RET_EMULATE;	/* past 4 GiB: the access wraps */
	if (win == WIN_KERNEL && space_fleeting(x, lin)) {
		u64 ret = fleeting(bt, x, b, slot);

		if (ret)
			return ret;
	}
	r = shadow_fault(x->shadow, &v->walk, win, lin, acc, &err);
	trace(fault, "kernel %c at eip %08x, %s window %08x: %d", f->error & PF_W ? 'w' : 'r', v->eip,
	      win == WIN_USER ? "user" : "kernel", lin, r);
	switch (r) {
	case SHADOW_FILLED:
		v->count->faults_hidden++;
		return ~0ull;
	case SHADOW_TRUE_FAULT:
		exc_raise_pf(v, err, lin);
		return RET_EXCEPTION;
	case SHADOW_WRONG_WINDOW:
		return wrong_window(bt, x, b, site_get(bt, insn_gpa(b, v->eip)), slot, win, lin);
	case SHADOW_MMIO:
		s = site_get(bt, insn_gpa(b, v->eip));
		s->form[slot] = FORM_CALLOUT + 1;
		bt->count->adapt_mmio++;
		return again(bt, x, b);
	case SHADOW_CODE_WRITE: {
		struct walk_result w;
		u32 gpage, now;

		v->count->smc_faults++;
		if (v->mode & MODE_HOT)
			hot_charge(bt, HOT_WRITE_NS);
		s = site_get(bt, insn_gpa(b, v->eip));
		now = (u32)(clock_ns(x->clock) / 1000000);
		if (now - s->smc_since >= SMC_PERIOD) {
			s->smc_since = now;
			s->smc = 0;
		}
		if (++s->smc == SMC_LIMIT) {
			s->form[slot] = FORM_CALLOUT + 1;
			bt->count->adapt_smc++;
			trace(adapt, "site %08x slot %u at eip %08x writes code pages: by hand", s->key, slot, v->eip);
			return again(bt, x, b);
		}
		if (walk(&v->walk, lin, acc | ACC_PEEK, &w))
			return RET_EMULATE;
		gpage = (u32)(w.gpa >> PAGE_SHIFT);
		trace(smc, "eip %08x writes code page %08x at %08x", v->eip, gpage << PAGE_SHIFT, lin);
		if (gpage == b->gpage[0] || gpage == b->gpage[1])
			return RET_EMULATE;	/* perhaps its own next instructions: by hand, then look up anew */
		exec_hooks.code_written(x, (gpa_t)gpage << PAGE_SHIFT, PAGE_SIZE);
		if (shadow_fault(x->shadow, &v->walk, win, lin, acc, &err) == SHADOW_FILLED) {
			v->count->faults_hidden++;
			return ~0ull;
		}
		return RET_EMULATE;
	}
	case SHADOW_EMULATE:
		s = site_get(bt, insn_gpa(b, v->eip));
		if (++s->emulated[slot] >= EMULATE_LIMIT) {
			s->form[slot] = FORM_CALLOUT + 1;
			return again(bt, x, b);
		}
		return RET_EMULATE;
	}
	return RET_EMULATE;
}

u64 bt_fault(struct exec *x, struct sig_frame *f)
{
	struct bt *bt = x->bt;
	struct vcpu *v = &x->v;
	struct block *b = cache_find_host(bt, (const u8 *)f->rip);
	const struct map_entry *m;

	CHECK(b);
	m = find_map(bt, b, (u32)(f->rip - (u64)bt->rx) - b->host);
	v->eip = b->eip + m->guest;
	recover_regs(v, m, f->gregs);
	switch (f->trapno) {
	case EXC_PF:
		return page_fault(bt, x, f, b, m);
	case EXC_GP:
		/* Misaligned SSE operands and the like.  Privileged instructions are never emitted. */
		exc_raise_error(v, EXC_GP, 0);
		return RET_EXCEPTION;
	case EXC_DE: case EXC_UD: case EXC_MF: case EXC_XM:
		exc_raise(v, f->trapno);
		return RET_EXCEPTION;
	case EXC_AC:
		exc_raise_error(v, EXC_AC, 0);
		return RET_EXCEPTION;
	default:
		log_error("unexpected trap %u in translated code, guest eip %08x", f->trapno, v->eip);
		CHECK(!"unexpected trap in translated code");
	}
	return RET_EMULATE;
}

void bt_kick(struct exec *x, struct sig_frame *f)
{
	struct bt *bt = x->bt;
	struct block *b = cache_find_host(bt, (const u8 *)f->rip);
	u32 off = (u32)(f->rip - (u64)bt->rx);

	if (!b)
		return;
	cache_unlink_exits(bt, b);
	/* Past the decision already: send it down the miss path, which takes r8, and rcx from r10 as they still are. */
	if ((b->ind_hit && off >= b->ind_hit && off < b->ind_end) ||
	    (b->ring_hit && off >= b->ring_hit && off < b->host + b->host_len))
		f->gregs[G_RIP] = (s64)(u64)(bt->rx + b->ind_miss);
}

void bt_kick_at(struct exec *x, const u8 *host)
{
	struct block *b = cache_find_host(x->bt, host);

	if (b)
		cache_unlink_exits(x->bt, b);
}
