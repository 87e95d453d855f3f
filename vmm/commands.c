/*
 * The control commands (see vmm/commands.h): one function a row of
 * vmm/control.def.
 *
 * Invariants: a command that cannot be done changes nothing and says why in
 * one line; commands run between turns of the monitor's loop only, so a machine
 * that is not powered on, or has stopped, is seen here and not raced with.
 */
#include "vmm/commands.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmm/loop.h"
#include "vmm/stats.h"

#define STATS_WAIT_NS 200000000ull
#define AGAIN_NS       10000000ull
#define GIVE_UP_NS   5000000000ull

static const char *const engines[] = { [MODE_BT] = "bt", [MODE_HW] = "hw" };
static const char *const irqchips[] = { [IRQCHIP_KERNEL] = "kernel", [IRQCHIP_USER] = "user" };

static double ms(u64 ns) { return (double)ns / 1e6; }

static const char *state(const struct commander *c)
{
	if (vm_stopped(c->vm) != STOP_NONE)
		return "stopping";
	if (!c->powered_on)
		return "waiting";
	return c->vm->paused ? "paused" : "running";
}

/* Ends, but the loop is yet to find out of what; or it has reset, and the loop is yet to start it again. */
static bool is_in_between(const struct commander *c)
{
	enum stop_reason why = vm_stopped(c->vm);

	return why == STOP_NONE || (why == STOP_RESET && !c->vm->cfg.no_reboot);
}

static json_t *try_again(struct control_request *rq)
{
	u64 now = monotonic_ns();

	if (!rq->tried)
		rq->give_up_at = now + GIVE_UP_NS;
	rq->tried = true;
	rq->again_at = now + AGAIN_NS;
	if (now < rq->give_up_at)
		return NULL;
	return control_error(rq, "%s: the guest resets all the time", control_table[rq->command].name);
}

static json_t *has_stopped(const struct commander *c, struct control_request *rq)
{
	if (is_in_between(c))
		return try_again(rq);
	return control_error(rq, "the machine has stopped: %s", stop_text(vm_stopped(c->vm)));
}

/* The guest cannot be paused, resumed or moved now: true, with the reply so far. */
static bool is_refused(const struct commander *c, struct control_request *rq, json_t **reply)
{
	bool stopped = vm_stopped(c->vm) != STOP_NONE;

	if (stopped)
		*reply = has_stopped(c, rq);
	else if (!c->powered_on)
		*reply = control_error(rq, "the guest has not started: a serial port waits for its client");
	return stopped || !c->powered_on;
}

/* r: of vm_pause, vm_resume or vm_switch. */
static json_t *failed(const struct commander *c, struct control_request *rq, int r, const char *err)
{
	if (r == -ESHUTDOWN)
		return has_stopped(c, rq);
	return control_error(rq, "%s: %s", control_table[rq->command].name, *err ? err : strerror(-r));
}

/* ---- Statistics ---- */

struct stats_wait command_ask_stats(struct commander *c)
{
	struct stats_wait w = { .number = ++c->asked };

	if (c->vm->executor_pid <= 0)
		return w;
	__atomic_store_n(&c->vm->shared->stats_request, w.number, __ATOMIC_SEQ_CST);
	w.deadline = monotonic_ns() + STATS_WAIT_NS;
	vm_notify(c->vm);
	return w;
}

bool command_stats_in(const struct commander *c, const struct stats_wait *w)
{
	u32 done = __atomic_load_n(&c->vm->shared->stats_done, __ATOMIC_ACQUIRE);

	return c->vm->executor_pid <= 0 || (s32)(done - w->number) >= 0 || monotonic_ns() >= w->deadline;
}

static json_t *run_stats(struct commander *c, struct control_request *rq)
{
	struct stats_wait w = { .number = rq->ticket, .deadline = rq->again_at };
	struct vm *vm = c->vm;

	if (!rq->tried) {
		w = command_ask_stats(c);
		rq->tried = true;
		rq->ticket = w.number;
		rq->again_at = w.deadline;
	}
	if (!command_stats_in(c, &w))
		return NULL;
	vm_measure_memory(vm);
	if (vm->cfg.profile && c->powered_on && vm->executor_pid <= 0) {
		struct profile_row rows[PROFILE_MAX];

		stats_set_profile(rows, vm_profile(vm, rows, PROFILE_MAX));
	}
	return control_return(rq, stats_json(vm, &vm->cfg));
}

/* ---- The others ---- */

static json_t *run_status(struct commander *c, struct control_request *rq)
{
	struct vm *vm = c->vm;
	enum stop_reason why = vm_stopped(vm);
	const struct config *cfg = &vm->cfg;
	json_t *v;

	v = json_pack("{s:s, s:s?, s:s, s:s, s:f, s:f, s:I, s:f, s:I, s:i, s:i, s:o}",
		      "state", state(c), "reason", why == STOP_NONE ? NULL : stop_text(why),
		      "engine", engines[vm->engine],
		      /* Under bt there is nothing but Ringer's own. */
		      "irqchip", irqchips[vm->engine == MODE_HW ? cfg->irqchip : IRQCHIP_USER],
		      "uptime_ms", ms(monotonic_ns() - c->since), "guest_time_ms", ms(clock_ns(&vm->clock)),
		      "switches", (json_int_t)vm->switches, "last_switch_ms", ms(vm->last_switch_ns),
		      "memory_bytes", (json_int_t)cfg->mem, "cpus", (int)cfg->cpus,
		      "monitor_pid", (int)getpid(),
		      "executor_pid", vm->executor_pid > 0 ? json_integer(vm->executor_pid) : json_null());
	return control_return(rq, v);
}

static json_t *run_mode(struct commander *c, struct control_request *rq)
{
	enum engine_mode before = c->vm->engine, to = MODE_BT;
	json_t *reply;
	char err[256] = "";
	int r = 0;

	if (is_refused(c, rq, &reply))
		return reply;
	while (to < ARRAY_SIZE(engines) && strcmp(engines[to], rq->argument))
		to++;
	if (to == ARRAY_SIZE(engines))
		return control_error(rq, "unknown engine '%.40s' (%s)", rq->argument,
				     control_table[CONTROL_mode].values);
	if (to != before)
		r = vm_switch(c->vm, to, err, sizeof err);
	if (r)
		return failed(c, rq, r, err);
	return control_return(rq, json_pack("{s:s, s:s, s:b, s:f, s:s}", "engine", engines[c->vm->engine],
					    "previous", engines[before], "changed", to != before,
					    "switch_ms", to != before ? ms(c->vm->last_switch_ns) : 0.0,
					    "state", state(c)));
}

static json_t *set_paused(struct commander *c, struct control_request *rq, bool paused,
			  int (*change)(struct vm *vm, char *err, size_t errlen))
{
	bool changed = c->vm->paused != paused;
	json_t *reply;
	char err[256] = "";
	int r = 0;

	if (is_refused(c, rq, &reply))
		return reply;
	if (changed)
		r = change(c->vm, err, sizeof err);
	if (r)
		return failed(c, rq, r, err);
	return control_return(rq, json_pack("{s:s, s:b}", "state", state(c), "changed", changed));
}

static json_t *run_pause(struct commander *c, struct control_request *rq)
{
	return set_paused(c, rq, true, vm_pause);
}

static json_t *run_resume(struct commander *c, struct control_request *rq)
{
	return set_paused(c, rq, false, vm_resume);
}

static json_t *run_quit(struct commander *c, struct control_request *rq)
{
	vm_stop(c->vm, STOP_QUIT, 0);
	return control_return(rq, json_object());
}

static json_t *run_help(struct commander *c, struct control_request *rq)
{
	json_t *all = json_array();

	for (size_t i = 0; i < CONTROL_COMMANDS; i++) {
		const struct control_row *row = &control_table[i];

		json_array_append_new(all, json_pack("{s:s, s:s*, s:s*, s:s}", "name", row->name,
						     "argument", row->argument, "values", row->values,
						     "help", row->help));
	}
	return control_return(rq, json_pack("{s:o}", "commands", all));
}

json_t *command_execute(void *opaque, struct control_request *rq)
{
	static json_t *(*const run[CONTROL_COMMANDS])(struct commander *c, struct control_request *rq) = {
#define CONTROL(name, argument, values, help) run_##name,
#include "vmm/control.def"
#undef CONTROL
	};

	return run[rq->command](opaque, rq);
}
