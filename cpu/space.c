/*
 * The pool of address spaces (see cpu/space.h).
 *
 * Who runs where: a futex wakes a process on whatever CPU the scheduler likes, and another
 * CPU than the waker's costs ten times as much.  So the process that gives the vCPU away pins
 * itself to the CPU it is on, and the one that gets it follows.  One that keeps the vCPU for
 * a while is unpinned again, so that the host can balance its load.
 */
#include <linux/futex.h>
#include <sys/rseq.h>
#include "base/check.h"
#include "base/log.h"
#include "base/sys.h"
#include "cpu/exec.h"
#include "cpu/space.h"

#define STAYS_NS 50000000u	/* an executor that has had the vCPU for so long is not about to hand it over */

void pool_init(struct pool *p, struct space *spaces, u32 max)
{
	p->space = spaces;
	p->max = max;
	p->host_cpu = -1;
	p->wanted = 1;
	p->patched.gpage = PATCH_NONE;
	for (u32 i = 0; i < max; i++) {
		spaces[i].index = i;
		spaces[i].cpu = -1;
	}
	spaces[0].ready = 1;
}

/* ---- host CPUs ---- */

/* The CPU this process is on, as the kernel keeps it for rseq(2); negative: unknown. */
static int host_cpu(void)
{
	const struct rseq *r = (const struct rseq *)((u8 *)__builtin_thread_pointer() + __rseq_offset);

	return __rseq_size ? (int)__atomic_load_n(&r->cpu_id, __ATOMIC_RELAXED) : -1;
}

int space_attach(struct space *s)
{
	long r = sys3(SYS_sched_getaffinity, 0, sizeof(s->affinity), (long)s->affinity);

	s->tid = (int)sys3(SYS_getpid, 0, 0, 0);
	s->cpu = -1;
	return r < 0 ? (int)r : 0;
}

static void pin(struct space *s, int cpu)
{
	u64 mask[AFFINITY_WORDS] = { 0 };

	if (cpu < 0 || cpu == s->cpu || (u32)cpu >= AFFINITY_WORDS * 64)
		return;
	mask[cpu / 64] = BIT64(cpu % 64);
	s->cpu = sys3(SYS_sched_setaffinity, 0, sizeof(mask), (long)mask) == 0 ? cpu : -1;
}

void space_tick(struct exec *x)
{
	struct space *s = x->space;

	if (s->cpu >= 0 && clock_tsc_to_ns(x->clock, rdtsc() - s->arrived) >= STAYS_NS &&
	    sys3(SYS_sched_setaffinity, 0, sizeof(s->affinity), (long)s->affinity) == 0)
		s->cpu = -1;
}

/* ---- learning what was missed ---- */

static struct paging_mode mode_of(const struct walk_ctx *w)
{
	return (struct paging_mode){ w->paging, w->pae, w->pse, w->nxe };
}

static bool same_mode(const struct paging_mode *a, const struct paging_mode *b)
{
	return a->paging == b->paging && a->pae == b->pae && a->pse == b->pse && a->nxe == b->nxe;
}

/* From now on the space shows this address space. */
static void key(struct space *s, const struct walk_ctx *w)
{
	s->keyed = w->paging;
	s->cr3 = w->cr3;
}

static void up_to_date(const struct pool *p, struct space *s)
{
	s->flushes_seen = p->flushes;
	s->protects_seen = p->protects;
	s->globals_seen = p->globals;
	s->patches_seen = p->patched.changes;
}

/* The vCPU has come to this process: its windows as CR3 wants them. */
static void catch_up(struct exec *x, struct space *s)
{
	struct pool *p = x->pool;
	const struct walk_ctx *w = &x->v.walk;
	struct paging_mode mode = mode_of(w);
	bool global = s->globals_seen != p->globals || p->flushes - s->flushes_seen > LOG_FLUSHES;

	key(s, w);
	if (!same_mode(&mode, &s->mode)) {
		s->mode = mode;
		shadow_flush(s->shadow);
	} else if (p->protects - s->protects_seen > LOG_PROTECTS || s->patches_seen != p->patched.changes) {
		x->v.count->space_restarts++;
		shadow_flush(s->shadow);
	} else {
		for (u32 i = s->protects_seen; i != p->protects; i++)
			shadow_protect(s->shadow, p->protect[i % LOG_PROTECTS]);
		if (!global)
			for (u32 i = s->flushes_seen; i != p->flushes; i++)
				shadow_invlpg(s->shadow, w, p->flushed[i % LOG_FLUSHES] << PAGE_SHIFT);
		shadow_compare(s->shadow, w, global);
	}
	up_to_date(p, s);
}

/* ---- handing over ---- */

/* The vCPU is here: what is the process's own goes into the exec. */
static void take(struct exec *x, struct space *s)
{
	struct pool *p = x->pool;

	CHECK(p->current == s->index);
	x->space = s;
	x->shadow = s->shadow;
	direct_arrive(x);
	exec_fpu_restore(x);
	s->used = ++p->arrivals;
	s->arrived = rdtsc();
	pin(s, p->host_cpu);
}

static void await_turn(struct space *s, u32 turn)
{
	while (__atomic_load_n(&s->turn, __ATOMIC_ACQUIRE) == turn)
		sys6(SYS_futex, (long)&s->turn, FUTEX_WAIT, turn, 0, 0, 0);
}

void space_await(struct exec *x, struct space *s)
{
	await_turn(s, 0);
	take(x, s);
	catch_up(x, s);
}

static void hand_over(struct exec *x, struct space *self, struct space *to)
{
	struct pool *p = x->pool;
	u32 turn = self->turn;

	x->v.count->space_switches++;
	exec_fpu_save(x);
	p->host_cpu = host_cpu();
	pin(self, p->host_cpu);
	/* From here on the monitor kicks the other; what it has said before is seen there (vm_kick). */
	__atomic_store_n(&p->current, to->index, __ATOMIC_SEQ_CST);
	__atomic_store_n(&to->turn, to->turn + 1, __ATOMIC_SEQ_CST);
	sys6(SYS_futex, (long)&to->turn, FUTEX_WAKE, 1, 0, 0, 0);
	await_turn(self, turn);
	take(x, self);
}

bool space_settle(struct exec *x, struct space *self)
{
	struct pool *p = x->pool;

	if (p->next == self->index)
		return false;
	trace(space, "from space %u to %u, CR3 %08x", self->index, p->next, x->v.cr3);
	hand_over(x, self, &p->space[p->next]);
	catch_up(x, self);
	return true;
}

void space_go_home(struct exec *x, struct space *self)
{
	if (self->index)
		hand_over(x, self, &x->pool->space[0]);
}

/* ---- which space ---- */

/* The space that shows this address space, or else the one to show it. */
static struct space *choose(struct exec *x, u32 cr3)
{
	struct pool *p = x->pool;
	struct space *oldest = NULL;
	u32 ready = 0;

	for (u32 i = 0; i < p->max; i++) {
		struct space *s = &p->space[i];

		if (!__atomic_load_n(&s->ready, __ATOMIC_ACQUIRE))
			continue;
		ready++;
		if (s->keyed && s->cr3 == cr3) {
			x->v.count->space_hits++;
			return s;
		}
		/* One that shows nothing yet, then the one used longest ago, but not the one in use. */
		if (s->index != p->current && (!oldest || s->used < oldest->used))
			oldest = s;
	}
	if ((!oldest || oldest->keyed) && ready < p->max && p->wanted == ready) {
		p->wanted = ready + 1;
		x->v.platform->want_space(x->v.platform->opaque);
	}
	if (!oldest)
		oldest = x->space;
	if (oldest->keyed)
		x->v.count->space_recycled++;
	else
		x->v.count->spaces++;
	return oldest;
}

void space_load_cr3(struct exec *x)
{
	struct pool *p = x->pool;
	const struct walk_ctx *w = &x->v.walk;
	struct space *s = x->space;

	shadow_compare(p->code, w, false);
	if (w->paging)
		s = choose(x, w->cr3);
	p->next = s->index;
	if (s == x->space) {
		key(s, w);
		shadow_compare(s->shadow, w, false);
	}
}

/* ---- the guest's flushes ---- */

void space_invlpg(struct exec *x, lin_t lin)
{
	struct pool *p = x->pool;
	const struct walk_ctx *w = &x->v.walk;
	bool kernel;

	shadow_invlpg(p->code, w, lin);
	kernel = (x->shadow->entry[lin >> PAGE_SHIFT] & (SP_MAPPED | SP_USER)) == SP_MAPPED;
	shadow_invlpg(x->shadow, w, lin);
	if (kernel && !shadow_mapped(x->shadow, lin) && p->fleeting[lin >> PAGE_SHIFT] < FLEETING)
		p->fleeting[lin >> PAGE_SHIFT]++;
	x->by_hand = 0;
	p->flushed[p->flushes++ % LOG_FLUSHES] = lin >> PAGE_SHIFT;
	x->space->flushes_seen++;
}

bool space_fleeting(const struct exec *x, lin_t lin)
{
	return x->pool->fleeting[lin >> PAGE_SHIFT] == FLEETING;
}

void space_change_mode(struct exec *x)
{
	struct pool *p = x->pool;
	struct space *s = x->space;
	const struct walk_ctx *w = &x->v.walk;
	struct paging_mode mode = mode_of(w);

	key(s, w);
	p->next = s->index;
	if (same_mode(&mode, &s->mode)) {
		/* CR0.WP, CR4.PGE */
		shadow_compare(p->code, w, true);
		shadow_compare(s->shadow, w, true);
		p->globals++;
		s->globals_seen++;
		return;
	}
	s->mode = mode;
	x->v.count->shadow_flushes++;
	shadow_flush(p->code);
	shadow_flush(s->shadow);
	up_to_date(p, s);
}

/* ---- translated code ---- */

/* Nobody is to write the page unseen: here now, in the other spaces when they come. */
static void protect(struct exec *x, u32 gpage)
{
	struct pool *p = x->pool;

	shadow_protect(x->shadow, gpage);
	p->protect[p->protects++ % LOG_PROTECTS] = gpage;
	x->space->protects_seen++;
}

void space_protect_code(struct exec *x, u32 gpage)
{
	u8 *has_code = &x->shadow->phys->has_code[gpage];
	bool first = !*has_code;

	*has_code |= PAGE_CODE;
	if (first)
		protect(x, gpage);
}

void space_track_code(struct exec *x, lin_t lin, gpa_t gpa)
{
	space_protect_code(x, (u32)(gpa >> PAGE_SHIFT));
	shadow_track_code(x->pool->code, &x->v.walk, lin, gpa);
}

/* ---- the patched page ---- */

static void show(struct exec *x, u32 gpage, u32 patched)
{
	struct patched_page *c = &x->pool->patched;

	c->gpage = patched;
	x->space->patches_seen = ++c->changes;
	shadow_drop_user(x->shadow, gpage);
}

void space_patch(struct exec *x, lin_t lin, u32 gpage)
{
	x->shadow->phys->has_code[gpage] |= PAGE_PATCH;
	show(x, gpage, gpage);
	protect(x, gpage);
	shadow_prefill(x->shadow, &x->v.walk, lin);
}

void space_unpatch(struct exec *x)
{
	u32 gpage = x->pool->patched.gpage;

	if (gpage == PATCH_NONE)
		return;
	x->shadow->phys->has_code[gpage] &= ~PAGE_PATCH;
	show(x, gpage, PATCH_NONE);
}
