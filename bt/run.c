/*
 * The dispatcher: one vCPU's life between power-on and stop.
 *
 * Each turn looks at what is pending, then enters user code or a translated
 * block, and acts on the reason it came back for.  In steady state translated
 * blocks run into each other and come back only for interrupts, faults and
 * transfers to user mode.
 */
#include "base/check.h"
#include "base/log.h"
#include "base/sys.h"
#include "bt/bt.h"
#include "cpu/arch.h"
#include "cpu/engine.h"
#include "cpu/timer.h"
#include "cpu/vdso.h"

u64 bt_tables_size(const struct phys_map *phys)
{
	return (u64)BLOCKS_MAX * sizeof(struct block) + (u64)MAPS_MAX * sizeof(struct map_entry) +
	       HASH_SIZE * 4 + ALIGN_UP((phys->ram_size >> PAGE_SHIFT) * 4, 64u) + SITES_SIZE * sizeof(struct site) +
	       IBTC_WAYS * (u64)IBTC_WAY * sizeof(struct ibtc_entry) + 2 * RING_BYTES;
}

void bt_init(struct bt *bt, const struct bt_config *cfg, struct phys_map *phys, struct counters *count,
	     u8 *code_rw, u8 *code_rx, void *tables)
{
	u8 *t = tables;

	bt->cfg = *cfg;
	if (!bt->cfg.block_insns || bt->cfg.block_insns > BLOCK_INSNS_LIMIT)
		bt->cfg.block_insns = BLOCK_INSNS_LIMIT;
	bt->phys = phys;
	bt->count = count;
	bt->rw = code_rw;
	bt->rx = code_rx;
	cache_init(bt);
	bt->blocks = (struct block *)t;
	t += (u64)BLOCKS_MAX * sizeof(struct block);
	bt->maps = (struct map_entry *)t;
	t += (u64)MAPS_MAX * sizeof(struct map_entry);
	bt->hash = (u32 *)t;
	t += HASH_SIZE * 4;
	bt->page_blocks = (u32 *)t;
	t += ALIGN_UP((phys->ram_size >> PAGE_SHIFT) * 4, 64u);
	bt->sites = (struct site *)t;
	t += SITES_SIZE * sizeof(struct site);
	bt->ibtc = (struct ibtc_entry *)t;
	t += IBTC_WAYS * (u64)IBTC_WAY * sizeof(struct ibtc_entry);
	bt->ring = (struct ring_entry *)ALIGN_UP((u64)t, (u64)RING_BYTES);
}

static void code_moved(void *opaque, u32 lin_page, u32 gpage)
{
	struct exec *x = opaque;

	cache_forget_linear(x->bt, x, lin_page, gpage);
}

/* The page or bytes are changing: their blocks go, and so does the patched copy if it is theirs. */
static bool forget_code(struct exec *x, gpa_t gpa, u64 len)
{
	if (x->pool->patched.gpage - (gpa >> PAGE_SHIFT) <= ((gpa & PAGE_MASK) + len - 1) >> PAGE_SHIFT)
		vdso_forget(x);
	return cache_invalidate_range(x->bt, x, gpa, len);
}

static void code_written(void *opaque, gpa_t gpa, u64 len)
{
	struct exec *x = opaque;

	if (forget_code(x, gpa, len))
		x->v.count->dma_invalidations++;
}

static void code_page_written(struct exec *x, gpa_t gpa, u32 len)
{
	forget_code(x, gpa, len);
}

void bt_tie(struct bt *bt, struct exec *x)
{
	x->bt = bt;
	x->code_rx = bt->rx;
	x->code_size = (u32)bt->cfg.cache_size;
	x->thunk_chain = (u64)exec_thunk_chain;
	x->thunk_indirect = (u64)exec_thunk_indirect;
	x->ring = (u64)bt->ring;
	x->thunk_lookup = (u64)exec_thunk_lookup;
	x->thunk_callout = (u64)exec_thunk_callout;
	x->window_base[WIN_KERNEL] = KERNEL_WINDOW;
	x->window_base[WIN_USER] = 0;
	x->pool->code->code_moved = code_moved;
	x->pool->code->opaque = x;
	vdso_init(x);
	bt_tie_process(bt, x);
}

void bt_tie_process(struct bt *bt, struct exec *x)
{
	bt->phys->code_written = code_written;
	bt->phys->opaque = x;
	exec_hooks = (struct exec_hooks){ bt_fault, bt_kick, bt_indirect, bt_sysenter, bt_kick_at, code_page_written };
}

void bt_paging_changed(struct vcpu *v, enum paging_change what, lin_t lin)
{
	struct exec *x = v->engine;

	switch (what) {
	case PAGING_CR3:
		hot_flushed(x->bt);
		space_load_cr3(x);
		break;
	case PAGING_INVLPG:
		hot_invlpg(x->bt, lin);
		space_invlpg(x, lin);
		break;
	case PAGING_MODE:
		hot_flushed(x->bt);
		space_change_mode(x);
		break;
	}
}

/* ---- events ---- */

/* Timers, then interrupts, if the CPU may take them now. */
static void take_events(struct exec *x)
{
	struct vcpu *v = &x->v;
	const struct platform *p = v->platform;

	event_poll(x);
	if (v->nmi_pending && !v->nmi_blocked && !v->shadow_ss && !v->shadow_sti) {
		v->nmi_pending = false;
		v->nmi_blocked = true;
		v->halted = false;
		deliver_hardware(v, EXC_NMI);
		return;
	}
	if (!v->intr_pending)
		return;
	if (!p->intr_pending(p->opaque, v->index)) {
		v->intr_pending = 0;
		/* It may have come in between. */
		if (p->intr_pending(p->opaque, v->index))
			v->intr_pending = 1;
		return;
	}
	if (v->iff && !v->shadow_sti && !v->shadow_ss) {
		int vector = p->intr_ack(p->opaque, v->index);

		if (vector >= 0) {
			v->halted = false;
			v->count->interrupts++;
			deliver_hardware(v, (u8)vector);
		}
	}
}

/* ---- blocks ---- */

static struct block *translate_now(struct bt *bt, struct exec *x, unsigned flags)
{
	struct block *b;

	exec_fpu_save(x);
	x->in_library = true;
	b = translate(bt, x, flags);
	x->in_library = false;
	exec_fpu_restore(x);
	return b;
}

static struct block *find_block(struct bt *bt, struct exec *x)
{
	struct vcpu *v = &x->v;
	struct block *b = cache_lookup(bt, v->eip, v->seg[SEG_CS].base, v->mode);

	if (b) {
		bt->count->lookup_hits++;
		return b;
	}
	bt->count->lookup_misses++;
	return translate_now(bt, x, 0);
}

/* The host code for the current state; the indirect-branch table is the first place to look. */
static const u8 *find_host(struct bt *bt, struct exec *x)
{
	const u8 *host = ibtc_find(bt, x->v.eip, x->v.mode);
	struct block *b;

	if (host) {
		bt->count->ind_hits++;
		return host;
	}
	b = find_block(bt, x);
	if (!b)
		return NULL;
	ibtc_insert(bt, b);
	return bt->rx + b->host;
}

static u64 enter(struct exec *x, const u8 *host)
{
	struct bt *bt = x->bt;

	x->v.sysflags &= ~EFLAGS_RF;
	if (trace_on(TRACE_exec))
		log_trace(TRACE_exec, "%08x mode %04x eax %08x ecx %08x edx %08x ebx %08x esp %08x ebp %08x esi %08x edi %08x fl %08x",
			  x->v.eip, x->v.mode, x->v.regs[0], x->v.regs[1], x->v.regs[2], x->v.regs[3], x->v.regs[4],
			  x->v.regs[5], x->v.regs[6], x->v.regs[7], vcpu_eflags(&x->v));
	bt->last[bt->last_next++ % ARRAY_SIZE(bt->last)] = x->v.eip;
	exec_account(x, &x->v.count->ns_monitor);
	x->in_user = false;
	x->translated_user = x->v.cpl == 3;
	return bt_left(x, exec_enter_translated(x, host));
}

/* One instruction alone; by_hand: all its memory accesses too. */
static u64 run_one(struct bt *bt, struct exec *x, unsigned flags)
{
	struct block *b = translate_now(bt, x, XLATE_ONE | XLATE_ONESHOT | flags);
	u64 ret;

	if (!b)
		return RET_EXCEPTION;
	x->single = true;
	ret = enter(x, bt->rx + b->host);
	x->single = false;
	return ret;
}

/* Under TF, or in the shadow of STI and MOV SS. */
static u64 run_single(struct bt *bt, struct exec *x)
{
	struct vcpu *v = &x->v;
	bool step = v->sysflags & EFLAGS_TF, sti = v->shadow_sti, ss = v->shadow_ss;
	u64 soft = v->count->soft_ints, ret;

	v->shadow_sti = v->shadow_ss = false;	/* ends with this instruction, which may begin a new one */
	ret = run_one(bt, x, 0);
	if (ret == RET_ABORT) {
		v->shadow_sti = sti;
		v->shadow_ss = ss;
		return ret;
	}
	if (ret == RET_EMULATE)
		ret = run_one(bt, x, XLATE_BY_HAND);
	if (step && !v->shadow_ss && (ret == RET_INDIRECT || ret == RET_DISPATCH) &&
	    v->count->soft_ints == soft) {
		exc_raise(v, EXC_DB);
		v->exc.dr6 = BIT(14);
		return RET_EXCEPTION;
	}
	return ret;
}

static void act(struct bt *bt, struct exec *x, u64 ret)
{
	struct vcpu *v = &x->v;

	switch ((enum exec_return)(ret & 0xff)) {
	case RET_DISPATCH:
	case RET_JUMP:
	case RET_USER:
	case RET_ABORT:
		break;
	case RET_CHAIN: {
		u32 id = (u32)(ret >> 32), epoch = bt->epoch;
		struct block *from = &bt->blocks[id >> 1], *to;

		v->eip = from->exit[id & 1].target;
		if (v->intr_pending || bt->cfg.no_chain)
			break;
		to = find_block(bt, x);
		if (!to) {
			deliver_exception(v);
			break;
		}
		/* Translating may have emptied the cache. */
		if (bt->epoch == epoch && from->mode_end == to->mode && !x->v.halted)
			cache_link(bt, from, id & 1, to);
		break;
	}
	case RET_INDIRECT:
		bt->count->ind_misses++;
		break;
	case RET_EXCEPTION:
		deliver_exception(v);
		break;
	case RET_SOFT_INT:
		if ((u32)(ret >> 32) == 0x80) {
			v->count->exit_syscall_slow++;
			hot_slow_call(bt, x, false);
		}
		if (!deliver_soft(v, (u8)(ret >> 32)))
			deliver_exception(v);
		break;
	case RET_INT80:
		v->eip = x->shadow->patch_lin + x->int80_offset;
		v->insn_len = 2;
		if (!deliver_soft(v, 0x80))
			deliver_exception(v);
		break;
	case RET_SYSENTER:
		if (ret >> 32)
			hot_slow_call(bt, x, true);
		v->insn_len = 2;
		if (!xfer_sysenter(v))
			deliver_exception(v);
		break;
	case RET_SINGLE:
		if (v->cpl == 3)
			v->count->user_insns++;
		ret = run_one(bt, x, 0);
		CHECK((ret & 0xff) != RET_SINGLE);
		act(bt, x, ret);
		break;
	case RET_EMULATE:
		ret = run_one(bt, x, XLATE_BY_HAND);
		if (v->cpl == 3)
			v->count->user_insns++;
		CHECK((ret & 0xff) != RET_EMULATE);
		act(bt, x, ret);
		break;
	}
}

void bt_prefill(struct exec *x)
{
	struct vcpu *v = &x->v;
	bool filled;

	if (!v->faulted_page)
		return;
	filled = !space_fleeting(x, v->cr2) && shadow_prefill(x->shadow, &v->walk, v->cr2);
	v->count->faults_prefilled += filled;
	/* Kernel code at CPL 0 may be another handler's return, inside the one that is to set the PTE. */
	v->faulted_page = v->cpl == 0 && !filled;
}

/* A program that could run directly, from translations. */
static u64 run_hot(struct bt *bt, struct exec *x)
{
	struct vcpu *v = &x->v;
	const u8 *host;
	u64 ret;

	bt_prefill(x);
	v->mode |= MODE_HOT;
	host = find_host(bt, x);
	if (!host)
		return RET_EXCEPTION;
	bt->hot_since = x->t_enter;
	ret = enter(x, host);
	if (v->mode & MODE_HOT) {
		/* Not by a system call. */
		hot_ran(bt, clock_tsc_to_ns(x->clock, x->t_enter - bt->hot_since));
	}
	return ret;
}

static u64 run_user(struct exec *x)
{
	struct vcpu *v = &x->v;

	if (v->cr0 & CR0_TS) {
		/* Lazy FPU: the CPU cannot trap on CR0.TS for us, so the trap comes before the code. */
		exc_raise(v, EXC_NM);
		return RET_EXCEPTION;
	}
	bt_prefill(x);
	v->mode &= ~MODE_HOT;
	exec_account(x, &v->count->ns_monitor);
	direct_prepare(x);
	return bt_left(x, exec_enter_user(x));
}

/* What hardware had begun to deliver when it handed the machine over. */
static void deliver_injected(struct vcpu *v)
{
	struct injected in = v->injected;

	v->injected = (struct injected){ 0 };
	switch (in.kind) {
	case INJECTED_NONE:
		break;
	case INJECTED_INTERRUPT:
		v->count->interrupts++;
		deliver_hardware(v, in.vector);
		break;
	case INJECTED_NMI:
		v->nmi_blocked = true;
		deliver_hardware(v, EXC_NMI);
		break;
	case INJECTED_EXCEPTION:
		v->exc = (struct exception){ .vector = in.vector, .has_error = in.has_error, .error = in.error,
					     .cr2 = v->cr2 };
		deliver_exception(v);
		break;
	}
}

/* As long as the vCPU is here: one turn. */
static void turn(struct exec *x)
{
	struct bt *bt = x->bt;
	struct vcpu *v = &x->v;
	bool direct;
	u64 ret;

	/* Only this thread and its own signal handlers touch it: no fence. */
	__atomic_store_n(&x->attention, 0, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	bt->count->dispatches++;
	if (bt->unlinked[0])
		cache_restore_exits(bt);
	if (v->intr_pending || x->timer_due || v->nmi_pending)
		take_events(x);
	if (x->pool->next != x->pool->current)
		return;			/* CR3 is another space's: not an instruction here */
	if (v->halted) {
		event_idle(x, take_events);
		return;
	}
	direct = v->cpl == 3 && direct_possible(v);
	if (direct && hot_now(bt, x)) {
		v->shadow_sti = v->shadow_ss = false;
		ret = run_hot(bt, x);
	} else if (direct && !vdso_wants_original(x)) {
		v->shadow_sti = v->shadow_ss = false;
		ret = run_user(x);
	} else if ((v->sysflags & EFLAGS_TF) || v->shadow_sti || v->shadow_ss) {
		ret = run_single(bt, x);
	} else if (direct) {
		ret = RET_SINGLE;	/* in the middle of a patched sequence */
	} else {
		const u8 *host = find_host(bt, x);

		ret = host ? enter(x, host) : RET_EXCEPTION;
	}
	act(bt, x, ret);
}

/* Until the guest is to be left; the vCPU may go to other spaces and come back meanwhile. */
static void loop(struct exec *x, struct space *self)
{
	const struct platform *p = x->v.platform;

	exec_timer_update(x, p->next_deadline(p->opaque));
	while (!p->leave(p->opaque)) {
		if (space_settle(x, self))
			exec_timer_update(x, p->next_deadline(p->opaque));
		else
			turn(x);
	}
	space_go_home(x, self);
}

static void run(struct exec *x)
{
	exec_fpu_load(x);
	x->t_enter = rdtsc();
	deliver_injected(&x->v);
	loop(x, x->space);
	exec_account(x, &x->v.count->ns_monitor);
	exec_fpu_save(x);
}

_Noreturn static void serve(struct exec *x, struct space *self)
{
	space_await(x, self);
	for (;;)
		loop(x, self);
}

/* ---- the engine ---- */

static int attach(struct exec *x, struct space *s)
{
	int r = space_attach(s);

	if (!r)
		r = shadow_attach(s->shadow);
	if (!r)
		r = exec_signals_attach(x, s);
	if (!r)
		r = exec_timer_attach(s);
	if (!r)
		r = vdso_attach(x, s);
	return r ? r : direct_attach(x);
}

/* Between two turns of the dispatcher everything is in the vCPU. */
static int load(struct exec *x)
{
	direct_arrive(x);
	return 0;
}

static int detach(struct exec *x) { return 0; }

/* What is not in the vCPU when a block is left by a fault of our own is lost; counters are always current. */
static void nothing(struct exec *x) {}

static void dump(struct exec *x)
{
	const struct bt *bt = x->bt;

	log_raw("last blocks entered from the dispatcher, newest first:\n");
	for (unsigned i = 0; i < ARRAY_SIZE(bt->last) && i < bt->last_next; i++) {
		u32 eip = bt->last[(bt->last_next - 1 - i) % ARRAY_SIZE(bt->last)], off;
		const char *s = bt->symbol ? bt->symbol(bt->symbol_opaque, eip, &off) : NULL;

		if (s)
			log_raw("  %08x %s+0x%x\n", eip, s, off);
		else
			log_raw("  %08x\n", eip);
	}
}

const struct engine engine_bt = {
	.name = "bt", .attach = attach, .load = load, .run = run, .serve = serve,
	.detach = detach, .sync = nothing, .count = nothing, .dump = dump,
};

/* ---- the profile ---- */

unsigned bt_profile(const struct bt *bt, struct profile_block *out, unsigned max)
{
	unsigned n = 0;

	for (u32 i = 0; i < bt->block_count; i++) {
		const struct block *b = &bt->blocks[i];
		unsigned at = n;

		if (!b->runs || (n == max && out[n - 1].runs >= b->runs))
			continue;
		if (n < max)
			n++;
		else
			at--;
		for (; at && out[at - 1].runs < b->runs; at--)
			out[at] = out[at - 1];
		out[at] = (struct profile_block){ b->eip, b->runs };
	}
	return n;
}
