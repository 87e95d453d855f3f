/*
 * The statistics report (see vmm/stats.h).
 *
 * Everything that is counted is a row of base/counters.def, everything that is
 * computed from it a row of vmm/derived.def; this file knows how to print rows
 * and no row in particular.  Both outputs are made from one snapshot of the
 * counters, so that sums agree with their terms although the guest runs on.
 */
#define _GNU_SOURCE
#include "vmm/stats.h"

#include <cpuid.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "vmm/units.h"

enum unit { UNIT_count, UNIT_bytes, UNIT_ns, UNIT_insns };
enum form { FORM_PERCENT, FORM_TIMES };

enum section_id {
#define SECTION(name, title) SECTION_##name,
#define COUNTER(name, unit, help)
#include "base/counters.def"
#undef COUNTER
#undef SECTION
	SECTION_COUNT
};

static const struct { const char *name, *title; } sections[SECTION_COUNT] = {
#define SECTION(name, title) { #name, title },
#define COUNTER(name, unit, help)
#include "base/counters.def"
#undef COUNTER
#undef SECTION
};

/* A section row has no name; it opens its section. */
static const struct row { const char *name, *help; size_t offset; enum unit unit; } rows[] = {
#define SECTION(name, title) { NULL },
#define COUNTER(name, unit, help) { #name, help, offsetof(struct counters, name), UNIT_##unit },
#include "base/counters.def"
#undef COUNTER
#undef SECTION
};

#define C(counter) c->counter
#define SUM(name, unit, terms, help) \
	static u64 sum_##name(const struct counters *c) { return terms; }
#define RATIO(name, form, part, whole, help) \
	static double ratio_##name(const struct counters *c) \
	{ u64 of = whole; return of ? (double)(part) / (double)of : 0; }
#include "vmm/derived.def"
#undef SUM
#undef RATIO
#undef C

static const struct sum { const char *name, *help; enum unit unit; u64 (*get)(const struct counters *); } sums[] = {
#define SUM(name, unit, terms, help) { #name, help, UNIT_##unit, sum_##name },
#define RATIO(name, form, part, whole, help)
#include "vmm/derived.def"
#undef SUM
#undef RATIO
};

static const struct ratio { const char *name, *help; enum form form; double (*get)(const struct counters *); } ratios[] = {
#define SUM(name, unit, terms, help)
#define RATIO(name, form, part, whole, help) { #name, help, FORM_##form, ratio_##name },
#include "vmm/derived.def"
#undef SUM
#undef RATIO
};

static struct profile { struct profile_row *rows; size_t n; } profile;

void stats_set_profile(const struct profile_row *from, size_t n)
{
	free(profile.rows);
	profile.rows = calloc(n ? n : 1, sizeof *profile.rows);
	profile.n = profile.rows ? n : 0;
	for (size_t i = 0; i < profile.n; i++)
		profile.rows[i] = from[i];
}

/* ---- Values ---- */

static void format_value(char *buf, size_t size, u64 v, enum unit unit)
{
	switch (unit) {
	case UNIT_bytes:
		format_bytes(buf, size, v);
		break;
	case UNIT_ns:
		format_ns(buf, size, v);
		break;
	case UNIT_count:
	case UNIT_insns:
		format_grouped(buf, size, v);
		break;
	}
}

static u64 row_value(const struct row *r, const struct counters *c)
{
	u64 v;

	memcpy(&v, (const u8 *)c + r->offset, sizeof v);
	return v;
}

/* ---- Text ---- */

static void line(void (*print)(const char *fmt, ...), const char *fmt, ...) PRINTF_LIKE(2, 3);
static void line(void (*print)(const char *fmt, ...), const char *fmt, ...)
{
	char text[300];		/* print's own formatter knows no floating point */
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	print("%s\n", text);
}

/* Has a section, whose rows begin at `first`, counted anything?  What the other engine would count need not fill the screen. */
static bool counted(const struct counters *c, size_t first)
{
	for (size_t i = first; i < ARRAY_SIZE(rows) && rows[i].name; i++)
		if (row_value(&rows[i], c))
			return true;
	return false;
}

static void print_counters(const struct counters *c, double seconds, void (*print)(const char *fmt, ...))
{
	unsigned section = 0;
	bool shown = false;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char value[40], rate[40] = "";
		u64 v;

		if (!rows[i].name) {
			shown = counted(c, i + 1);
			line(print, "%s", "");
			line(print, shown ? "%s" : "%s: nothing", sections[section++].title);
			continue;
		}
		if (!shown)
			continue;
		v = row_value(&rows[i], c);
		format_value(value, sizeof value, v, rows[i].unit);
		if (rows[i].unit == UNIT_count && seconds > 0)
			snprintf(rate, sizeof rate, "%.0f/s", (double)v / seconds);
		line(print, "  %-18s %16s %12s  %s", rows[i].name, value, rate, rows[i].help);
	}
}

static void print_derived(const struct counters *c, void (*print)(const char *fmt, ...))
{
	char value[40];

	line(print, "%s", "");
	line(print, "Sums and ratios");
	for (size_t i = 0; i < ARRAY_SIZE(sums); i++) {
		format_value(value, sizeof value, sums[i].get(c), sums[i].unit);
		line(print, "  %-18s %16s %12s  %s", sums[i].name, value, "", sums[i].help);
	}
	for (size_t i = 0; i < ARRAY_SIZE(ratios); i++) {
		double r = ratios[i].get(c);

		if (ratios[i].form == FORM_PERCENT)
			snprintf(value, sizeof value, "%.1f %%", r * 100);
		else
			snprintf(value, sizeof value, "%.2f", r);
		line(print, "  %-18s %16s %12s  %s", ratios[i].name, value, "", ratios[i].help);
	}
}

static void print_interrupts(const struct pc_stats *s, void (*print)(const char *fmt, ...))
{
	line(print, "%s", "");
	line(print, "Interrupts raised");
	for (size_t i = 0; i < ARRAY_SIZE(s->irq); i++)
		if (s->irq[i])
			line(print, "  irq%-15zu %16llu", i, (unsigned long long)s->irq[i]);
	line(print, "  %-18s %16llu", "lapic_timer", (unsigned long long)s->lapic_timer);
	line(print, "  %-18s %16llu", "ipi", (unsigned long long)s->ipi);
	line(print, "  %-18s %16llu", "spurious", (unsigned long long)s->spurious);
	line(print, "  %-18s %16llu", "timer_fires", (unsigned long long)s->timer_fires);
}

static void print_profile(void (*print)(const char *fmt, ...))
{
	line(print, "%s", "");
	line(print, "Hottest blocks");
	for (size_t i = 0; i < profile.n; i++) {
		const struct profile_row *r = &profile.rows[i];
		char count[40], ns[40] = "", where[200] = "";

		if (r->symbol)
			snprintf(where, sizeof where, "%s+0x%x", r->symbol, r->offset);
		format_value(count, sizeof count, r->count, UNIT_count);
		if (r->ns)
			format_value(ns, sizeof ns, r->ns, UNIT_ns);
		line(print, "  %08x           %16s %12s  %s", r->guest_eip, count, ns, where);
	}
}

void stats_print(const struct vm *vm, const struct config *cfg, void (*print)(const char *fmt, ...))
{
	struct counters c = vm->shared->counters;
	u64 up = clock_ns(&vm->clock);
	char text[40];

	format_value(text, sizeof text, up, UNIT_ns);
	line(print, "ringer: statistics after %s (%s)", text, stop_text(vm->stop_reason));
	print_counters(&c, (double)up / 1e9, print);
	print_derived(&c, print);
	if (vm->pc) {
		struct pc_stats s = vm_interrupts(vm);

		print_interrupts(&s, print);
	}
	if (cfg->profile)
		print_profile(print);
}

/* ---- JSON ---- */

static json_t *json_counters(const struct counters *c)
{
	json_t *all = json_object(), *group = NULL;
	unsigned section = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!rows[i].name) {
			group = json_object();
			json_object_set_new(all, sections[section++].name, group);
		} else {
			json_object_set_new(group, rows[i].name, json_integer((json_int_t)row_value(&rows[i], c)));
		}
	}
	return all;
}

static json_t *json_derived(const struct counters *c)
{
	json_t *all = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(sums); i++)
		json_object_set_new(all, sums[i].name, json_integer((json_int_t)sums[i].get(c)));
	for (size_t i = 0; i < ARRAY_SIZE(ratios); i++)
		json_object_set_new(all, ratios[i].name, json_real(ratios[i].get(c)));
	return all;
}

static json_t *json_config(const struct config *cfg)
{
	static const char *const modes[] = { [MODE_BT] = "bt", [MODE_HW] = "hw", [MODE_AUTO] = "auto" };

	/* %s? is null for a NULL string. */
	return json_pack("{s:s?, s:s?, s:s?, s:s, s:I, s:i, s:I, s:i, s:b, s:b, s:b, s:I, s:i, s:b}",
			 "kernel", cfg->kernel, "initrd", cfg->initrd, "append", cfg->append, "mode", modes[cfg->mode],
			 "mem", (json_int_t)cfg->mem, "cpus", (int)cfg->cpus, "cache_size", (json_int_t)cfg->cache_size,
			 "block_insns", (int)cfg->block_insns, "no_chain", cfg->no_chain,
			 "no_user_patching", cfg->no_user_patching, "translate_users", cfg->translate_users, "max_maps", (json_int_t)cfg->max_maps,
			 "executors", (int)cfg->executors,
			 "profile", cfg->profile);
}

static json_t *json_host(const struct vm *vm)
{
	u32 brand[13] = { 0 }, max = __get_cpuid_max(0x80000000, NULL);
	struct utsname u = { 0 };
	const char *name = (const char *)brand;

	if (max >= 0x80000004)
		for (unsigned i = 0; i < 3; i++)
			__get_cpuid(0x80000002 + i, &brand[4 * i], &brand[4 * i + 1], &brand[4 * i + 2], &brand[4 * i + 3]);
	uname(&u);
	name += strspn(name, " ");
	return json_pack("{s:s, s:s, s:i, s:I}", "kernel", u.release, "cpu", name,
			 "cpus", (int)sysconf(_SC_NPROCESSORS_ONLN), "tsc_hz", (json_int_t)vm->clock.tsc_hz);
}

static json_t *json_interrupts(const struct pc_stats *s)
{
	json_t *irq = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(s->irq); i++)
		json_array_append_new(irq, json_integer((json_int_t)s->irq[i]));
	return json_pack("{s:o, s:I, s:I, s:I, s:I}", "irq", irq, "lapic_timer", (json_int_t)s->lapic_timer,
			 "ipi", (json_int_t)s->ipi, "spurious", (json_int_t)s->spurious,
			 "timer_fires", (json_int_t)s->timer_fires);
}

static json_t *json_profile(void)
{
	json_t *all = json_array();

	for (size_t i = 0; i < profile.n; i++) {
		const struct profile_row *r = &profile.rows[i];

		json_array_append_new(all, json_pack("{s:I, s:I, s:I, s:s?, s:I}", "eip", (json_int_t)r->guest_eip,
						     "count", (json_int_t)r->count, "ns", (json_int_t)r->ns,
						     "symbol", r->symbol, "offset", (json_int_t)r->offset));
	}
	return all;
}

json_t *stats_json(const struct vm *vm, const struct config *cfg)
{
	struct counters c = vm->shared->counters;
	json_t *root = json_object();

	json_object_set_new(root, "stop", json_string(stop_text(vm->stop_reason)));
	json_object_set_new(root, "status", json_integer(stop_status(vm)));
	json_object_set_new(root, "uptime_ns", json_integer((json_int_t)clock_ns(&vm->clock)));
	json_object_set_new(root, "config", json_config(cfg));
	json_object_set_new(root, "host", json_host(vm));
	json_object_set_new(root, "counters", json_counters(&c));
	json_object_set_new(root, "derived", json_derived(&c));
	if (vm->pc) {
		struct pc_stats s = vm_interrupts(vm);

		json_object_set_new(root, "interrupts", json_interrupts(&s));
	}
	json_object_set_new(root, "profile", json_profile());
	return root;
}

int stats_write_json(const struct vm *vm, const struct config *cfg, FILE *out)
{
	json_t *root = stats_json(vm, cfg);
	int r;

	errno = 0;
	r = json_dumpf(root, out, JSON_INDENT(2)) || fputc('\n', out) == EOF || fflush(out);
	json_decref(root);
	return r ? -(errno ? errno : EIO) : 0;
}
