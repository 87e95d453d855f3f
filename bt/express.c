/*
 * From world to world without the dispatcher.
 *
 * A system call and its return are the hottest transfers there are, and the
 * dispatcher's turn (two time stamps, a look at everything that might wait) costs
 * as much as the rest of them.  When nothing waits and the goal is known, a
 * callout goes on with translated code (RET_JUMP) or straight to user code
 * (RET_USER), and the landing of the fast system call with translated code.  So
 * what exec_enter_translated() or exec_enter_user() returns from need not be the
 * world that it entered: exec.in_user says which it was, and bt_left() does what
 * is due after it.
 *
 * "Nothing waits" is exact only for what this thread does itself.  A kick that
 * comes later finds its mark: the ways into guest code begin with a look at the
 * attention flag, and are begun anew (translated code) or aborted (user code)
 * when a signal arrives in them.
 */
#include "base/log.h"
#include "bt/bt.h"
#include "cpu/arch.h"
#include "cpu/space.h"
#include "cpu/vdso.h"

/* Is this a moment for the dispatcher, whatever the state is? */
static bool dispatcher_wanted(const struct exec *x)
{
	const struct vcpu *v = &x->v;
	const struct bt *bt = x->bt;

	/* (A CR3 load may have made another process's turn.) */
	return x->attention || x->timer_due || x->single || x->translated_user || x->pool->next != x->pool->current || v->halted || v->nmi_pending ||
	       (v->intr_pending && v->iff) || v->shadow_sti || v->shadow_ss || (v->sysflags & EFLAGS_TF) ||
	       bt->cfg.no_chain || trace_on(TRACE_exec);
}

static u64 to_user(struct exec *x)
{
	struct vcpu *v = &x->v;

	/* CR0.TS is an exception, programs that are translated are the dispatcher's. */
	if ((v->cr0 & CR0_TS) || !direct_possible(v) || vdso_wants_original(x) || hot_now(x->bt, x))
		return RET_DISPATCH;
	exec_account(x, &v->count->ns_kernel);
	bt_prefill(x);
	direct_prepare(x);
	return RET_USER;
}

u64 bt_go_on(struct exec *x)
{
	const u8 *host;

	if (dispatcher_wanted(x))
		return RET_DISPATCH;
	if (x->v.cpl == 3)
		return to_user(x);
	host = bt_here(x);
	if (!host)
		return RET_DISPATCH;
	x->jump_host = (u64)host;
	return RET_JUMP;
}

u64 bt_sysenter(struct exec *x)
{
	struct vcpu *v = &x->v;

	if (dispatcher_wanted(x) || (v->sysenter_cs & 0xfffc) == 0)
		return RET_SYSENTER;
	direct_left(x, RET_SYSENTER);
	v->insn_len = 2;
	if (!xfer_sysenter(v))
		return RET_EXCEPTION;
	return bt_go_on(x);
}

u64 bt_left(struct exec *x, u64 ret)
{
	struct vcpu *v = &x->v;

	if (!x->in_user) {
		exec_account(x, x->translated_user ? &v->count->ns_user : &v->count->ns_kernel);
		return ret;
	}
	direct_left(x, ret);
	switch ((enum exec_return)(ret & 0xff)) {
	case RET_EXCEPTION:
		(*(v->exc.vector == EXC_PF ? &v->count->exit_page_fault : &v->count->exit_exception))++;
		break;
	case RET_SOFT_INT:
		v->count->exit_exception += (u32)(ret >> 32) != 0x80;	/* INT3, INTO */
		break;
	case RET_SINGLE:
	case RET_EMULATE:
		v->count->exit_emulated++;
		break;
	case RET_DISPATCH:
		(*(v->intr_pending ? &v->count->exit_interrupt : &v->count->exit_hidden))++;
		break;
	default:
		break;
	}
	return ret;
}
