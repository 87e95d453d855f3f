/*
 * The monitor (see vmm/monitor.h): one loop over back ends, doorbells, signals
 * and the machine's events, from power-on to the end.
 *
 * A power cycle is vm_start, the loop until vm_stopped has a reason (from the
 * executor, or here: a signal, the time limit, the user), then vm_join.  A
 * guest reset starts the next cycle with a fresh executor on the same host
 * resources.
 *
 * Invariants: signals are taken by signalfd, so nothing here races with a
 * handler; what executors can write (struct vm_shared, the rings) is only looked
 * at as numbers; the terminal is raw only inside monitor_run.
 */
#define _GNU_SOURCE
#include "vmm/monitor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "vmm/backend.h"
#include "vmm/commands.h"
#include "vmm/console.h"
#include "vmm/control_server.h"
#include "vmm/loop.h"
#include "vmm/stats.h"
#include "vmm/terminal.h"

#define FLUSH_PATIENCE_NS      2000000000ull
#define FLUSH_PATIENCE_QUIT_NS  200000000ull
/* Of the processes' memory: 2 ms for each of a pool's executors, so ever more seldom. */
#define MEASURE_FIRST_NS         50000000ull
#define MEASURE_EVERY_NS      10000000000ull
#define BACKENDS (SERIAL_MAX + 1)

struct monitor {
	struct vm *vm;
	struct loop loop;
	struct backend *backend[BACKENDS];	/* serial ports, then the debug console */
	struct source events, signals;
	int signal_fd;
	struct escape escape;
	struct commander commander;
	struct console console;
	struct control_server *control;	/* NULL: no --control */
	FILE *stats_file;	/* opened before the machine runs: a bad path is known then */
	bool uses_terminal;
	char death[64];		/* how the executor ended, if it was not asked to */
	int quit_signal;	/* ended by this signal; 0: not */
	u64 time_limit;		/* monotonic ns */
	u64 next_measure, measure_after;	/* of the processes' memory, if it will be reported */
	bool printing_stats;	/* as soon as they are in */
	struct stats_wait stats_wait;
};

static const int handled_signals[] = {
	SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGCHLD, SIGTSTP, SIGCONT,
};

/* Of these, what a terminal sends to its whole foreground group. */
static const int left_to_monitor[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGTSTP };

static enum stop_reason stop_reason(const struct monitor *m) { return vm_stopped(m->vm); }

/* ---- Statistics on demand ---- */

static void print_stats(struct monitor *m)
{
	vm_measure_memory(m->vm);
	stats_print(m->vm, &m->vm->cfg, log_raw);
	console_redraw(&m->console);
}

/* The executor brings its counters up to date; the loop prints when it has, or soon. */
static void request_stats(struct monitor *m)
{
	if (m->printing_stats)
		return;
	m->stats_wait = command_ask_stats(&m->commander);
	m->printing_stats = true;
}

static void check_stats(struct monitor *m)
{
	if (!m->printing_stats || !command_stats_in(&m->commander, &m->stats_wait))
		return;
	m->printing_stats = false;
	print_stats(m);
}

/* In the control console, the report with its explanations. */
static bool show_in_console(void *opaque, enum control_command command)
{
	const struct commander *c = opaque;

	if (command != CONTROL_stats)
		return false;
	stats_print(c->vm, &c->vm->cfg, log_raw);
	return true;
}

/* ---- The console's keys ---- */

static bool console_filter(void *opaque, u8 byte)
{
	struct monitor *m = opaque;

	switch (escape_feed(&m->escape, byte)) {
	case ESCAPE_SEND:
		if (m->console.active)
			console_key(&m->console, byte);
		return !m->console.active;
	case ESCAPE_SWALLOW:
		break;
	case ESCAPE_HELP:
		log_raw("\n");
		escape_help(log_raw);
		console_redraw(&m->console);
		break;
	case ESCAPE_QUIT:
		vm_stop(m->vm, STOP_QUIT, 0);
		break;
	case ESCAPE_STATS:
		request_stats(m);
		break;
	case ESCAPE_CONSOLE:
		console_toggle(&m->console);
		break;
	case ESCAPE_BREAK:
		log_info("break ignored");
		break;
	}
	return false;
}

/* ---- Signals ---- */

/*
 * Stop as the shell's job control asks, with the terminal as it was, and come
 * back.  Guest time goes on meanwhile, as on a machine whose lid is closed.
 */
static void suspend(struct monitor *m)
{
	terminal_restore();
	vm_signal(m->vm, SIGSTOP);
	raise(SIGSTOP);
	vm_signal(m->vm, SIGCONT);
}

static void resume(struct monitor *m)
{
	if (m->uses_terminal)
		terminal_raw(STDIN_FILENO);
	for (size_t i = 0; i < BACKENDS; i++)
		if (m->backend[i])
			backend_resume(m->backend[i]);
}

/* Look without reaping: that is vm_join's. */
static void check_executor(struct monitor *m)
{
	siginfo_t si = { 0 };

	if (m->vm->executor_pid <= 0 || stop_reason(m) != STOP_NONE || !vm_executor_ended(m->vm, &si))
		return;
	/* It may have stopped the machine and ended between our two looks. */
	if (stop_reason(m) != STOP_NONE)
		return;
	if (si.si_code == CLD_EXITED)
		snprintf(m->death, sizeof m->death, ": status %d", si.si_status);
	else
		snprintf(m->death, sizeof m->death, ": signal %d (%s)", si.si_status, strsignal(si.si_status));
	m->vm->broken = true;
	vm_stop(m->vm, STOP_EXECUTOR_DIED, 0);
}

static void on_signal(void *opaque, u32 events)
{
	struct monitor *m = opaque;
	struct signalfd_siginfo si;

	if (read(m->signal_fd, &si, sizeof si) != sizeof si)
		return;
	switch (si.ssi_signo) {
	case SIGUSR1:
		request_stats(m);
		break;
	case SIGCHLD:
		check_executor(m);
		break;
	case SIGTSTP:
		suspend(m);
		break;
	case SIGCONT:
		resume(m);
		break;
	default:
		m->quit_signal = (int)si.ssi_signo;
		vm_stop(m->vm, STOP_QUIT, 0);
		break;
	}
}

static bool is_ignored(int sig)
{
	struct sigaction sa;

	return sigaction(sig, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN;
}

static int take_signals(struct monitor *m)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(handled_signals); i++)
		if (handled_signals[i] != SIGHUP || !is_ignored(SIGHUP))	/* nohup(1) */
			sigaddset(&set, handled_signals[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	/*
	 * Blocked signals reach the signalfd even when ignored; executors, which
	 * inherit this, then leave the terminal's signals to us.
	 */
	for (size_t i = 0; i < ARRAY_SIZE(left_to_monitor); i++)
		signal(left_to_monitor[i], SIG_IGN);
	/* A vanished reader is an error of its write; a background read of the terminal, of its read. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTTIN, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
	m->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return m->signal_fd < 0 ? -errno : loop_add(&m->loop, &m->signals, m->signal_fd, EPOLLIN, on_signal, m);
}

/* ---- Construction ---- */

static void on_event(void *opaque, u32 events)
{
	struct monitor *m = opaque;
	u64 n;

	/* What it means is in struct vm; the loop looks there after every wait. */
	if (read(m->vm->event_fd, &n, sizeof n) < 0)
		return;
}

static void notify(void *opaque) { vm_notify(opaque); }

static int open_backend(struct monitor *m, unsigned slot, const struct serial_config *sc, struct chardev *c,
			const char *name, char *err, size_t errlen)
{
	struct backend *b;

	if (sc->kind == SERIAL_NONE)
		return 0;
	b = backend_open(&m->loop, sc, name, c, notify, m->vm, err, errlen);
	if (!b)
		return -EIO;
	m->backend[slot] = b;
	if (sc->kind == SERIAL_STDIO) {
		backend_set_filter(b, console_filter, m);
		m->uses_terminal = true;
	}
	if (sc->kind == SERIAL_PTY)
		log_info("%s is %s", name, backend_path(b));
	return 0;
}

struct monitor *monitor_create(struct vm *vm, char *err, size_t errlen)
{
	struct monitor *m = calloc(1, sizeof *m);
	int r;

	if (!m) {
		snprintf(err, errlen, "out of memory");
		return NULL;
	}
	m->vm = vm;
	m->signal_fd = -1;
	m->events = m->signals = (struct source)SOURCE_INIT;
	m->time_limit = m->next_measure = LOOP_FOREVER;
	m->commander = (struct commander){ .vm = vm, .since = monotonic_ns() };
	m->console = (struct console){
		.execute = command_execute, .opaque = &m->commander, .print = log_raw, .show = show_in_console,
	};
	r = loop_open(&m->loop);
	if (!r)
		r = take_signals(m);
	if (!r)
		r = loop_add(&m->loop, &m->events, vm->event_fd, EPOLLIN, on_event, m);
	if (r) {
		snprintf(err, errlen, "cannot make the event loop: %s", strerror(-r));
		goto fail;
	}
	for (unsigned i = 0; i < SERIAL_MAX; i++) {
		char name[16];

		snprintf(name, sizeof name, "serial%u", i);
		if (open_backend(m, i, &m->vm->cfg.serial[i], &vm->shared->serial[i], name, err, errlen))
			goto fail;
	}
	if (open_backend(m, SERIAL_MAX, &m->vm->cfg.debugcon, &vm->shared->debugcon, "debugcon", err, errlen))
		goto fail;
	if (vm->cfg.control) {
		m->control = control_server_open(&m->loop, vm->cfg.control, command_execute, &m->commander,
						 err, errlen);
		if (!m->control)
			goto fail;
	}
	if (m->vm->cfg.stats_file && !(m->stats_file = fopen(m->vm->cfg.stats_file, "we"))) {
		snprintf(err, errlen, "%s: %s", m->vm->cfg.stats_file, strerror(errno));
		goto fail;
	}
	return m;
fail:
	monitor_destroy(m);
	return NULL;
}

void monitor_destroy(struct monitor *m)
{
	if (!m)
		return;
	control_server_close(m->control);
	for (size_t i = 0; i < BACKENDS; i++)
		backend_close(m->backend[i]);
	if (m->signal_fd >= 0)
		close(m->signal_fd);
	if (m->stats_file)
		fclose(m->stats_file);
	loop_close(&m->loop);
	free(m);
}

/* ---- Running ---- */

static u64 next_deadline(const struct monitor *m)
{
	u64 at = min_u64(min_u64(m->time_limit, m->next_measure), console_deadline(&m->console));

	if (m->printing_stats)
		at = min_u64(at, m->stats_wait.deadline);
	if (m->control)
		at = min_u64(at, control_server_deadline(m->control));
	for (size_t i = 0; i < BACKENDS; i++)
		if (m->backend[i])
			at = min_u64(at, backend_deadline(m->backend[i]));
	return at;
}

static void turn(struct monitor *m)
{
	u64 now;

	loop_wait(&m->loop, next_deadline(m));
	vm_tend(m->vm);
	now = monotonic_ns();
	for (size_t i = 0; i < BACKENDS; i++)
		if (m->backend[i])
			backend_tick(m->backend[i], now);
	check_stats(m);
	console_tick(&m->console);
	if (m->control)
		control_server_tick(m->control);
	if (now >= m->next_measure) {
		vm_measure_processes(m->vm);
		m->measure_after = min_u64(2 * m->measure_after, MEASURE_EVERY_NS);
		m->next_measure = now + m->measure_after;
	}
	if (now >= m->time_limit)
		vm_stop(m->vm, STOP_TIMEOUT, 0);
}

static bool clients_missing(const struct monitor *m)
{
	for (size_t i = 0; i < BACKENDS; i++) {
		const struct serial_config *sc = i < SERIAL_MAX ? &m->vm->cfg.serial[i] : &m->vm->cfg.debugcon;

		if (m->backend[i] && sc->wait && !backend_connected(m->backend[i]))
			return true;
	}
	return false;
}

/* Everything that the guest has said must come out before the terminal is given back. */
static void flush(struct monitor *m)
{
	u64 patience = stop_reason(m) == STOP_QUIT ? FLUSH_PATIENCE_QUIT_NS : FLUSH_PATIENCE_NS;

	for (size_t i = 0; i < BACKENDS; i++)
		if (m->backend[i])
			backend_flush(m->backend[i], patience);
}

static void power_cycle(struct monitor *m)
{
	char err[256];

	if (vm_start(m->vm, err, sizeof err)) {
		log_error("%s", err);
		vm_stop(m->vm, STOP_HOST_ERROR, 0);
		return;
	}
	while (stop_reason(m) == STOP_NONE)
		turn(m);
	vm_join(m->vm);
	flush(m);
}

/* Make the machine as at power-on, on the same back ends. */
static bool reset(struct monitor *m)
{
	char err[256] = "";

	if (vm_boot(m->vm, err, sizeof err)) {
		log_error("%s", err);
		vm_stop(m->vm, STOP_HOST_ERROR, 0);
		return false;
	}
	for (size_t i = 0; i < BACKENDS; i++)
		if (m->backend[i])
			backend_resync(m->backend[i]);
	return true;
}

static int report(struct monitor *m)
{
	enum stop_reason why = stop_reason(m);
	int status = stop_status(m->vm);

	if (m->vm->cfg.stats)
		vm_measure_memory(m->vm);
	if (m->vm->cfg.profile) {
		struct profile_row rows[PROFILE_MAX];

		stats_set_profile(rows, vm_profile(m->vm, rows, PROFILE_MAX));
	}
	if ((m->vm->cfg.stats && !m->vm->cfg.stats_file) || m->vm->cfg.profile)
		stats_print(m->vm, &m->vm->cfg, log_raw);
	if (m->stats_file) {
		int r = stats_write_json(m->vm, &m->vm->cfg, m->stats_file);

		if (r) {
			log_error("%s: %s", m->vm->cfg.stats_file, strerror(-r));
			status = status ? status : EXIT_HOST;
		}
	}
	if (why == STOP_QUIT && m->quit_signal) {
		log_error("ended by signal %d (%s)", m->quit_signal, strsignal(m->quit_signal));
		return 128 + m->quit_signal;
	}
	if (why != STOP_POWEROFF && why != STOP_QUIT && why != STOP_DEBUG_EXIT)
		log_error("%s%s", stop_text(why), m->death);
	return status;
}

int monitor_run(struct monitor *m)
{
	if (m->vm->cfg.timeout_ns)
		m->time_limit = monotonic_ns() + m->vm->cfg.timeout_ns;
	while (clients_missing(m) && stop_reason(m) == STOP_NONE)
		turn(m);
	if (m->vm->cfg.stats) {
		m->measure_after = MEASURE_FIRST_NS;	/* soon: the run may be short */
		m->next_measure = monotonic_ns() + m->measure_after;
	}
	if (m->uses_terminal)
		terminal_raw(STDIN_FILENO);
	m->commander.powered_on = true;
	if (stop_reason(m) == STOP_NONE)
		do
			power_cycle(m);
		while (stop_reason(m) == STOP_RESET && !m->vm->cfg.no_reboot && reset(m));
	console_close(&m->console);
	terminal_restore();
	return report(m);
}
