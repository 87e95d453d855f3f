/*
 * Command line of `ringer run` (see vmm/options.h).
 *
 * What this file owns: spellings, numbers, and the checks that need nothing but
 * the command line.  It takes no host resource and opens no file.
 *
 * Two kinds of refusal: what cannot be understood is a usage error (status 2);
 * what is understood and cannot be had — 64 GiB of RAM, two users of the
 * terminal — is a configuration error (status 1).
 */
#include "vmm/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cpu/space.h"
#include "vmm/serial_spec.h"

#define MEM_MIN		(4ull << 20)
#define MEM_MAX		(3ull << 30)
#define CACHE_MIN	(128ull << 10)
#define CACHE_MAX	(1ull << 30)
#define TIMEOUT_MAX_S	(10.0 * 366 * 86400)
#define EXECUTORS_DEFAULT 16u
#define MAX_MAPS_MIN	1024u
#define MAX_MAPS_MAX	(1u << 30)

struct parser {
	struct config *cfg;
	const char *spelling;	/* the option as the user wrote it, for messages */
	FILE *out;
	char *err;
	size_t errlen;
	unsigned serials;	/* --serial options seen */
};

static enum options_verdict refuse(struct parser *p, enum options_verdict v, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
static enum options_verdict refuse(struct parser *p, enum options_verdict v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->err, p->errlen, fmt, ap);
	va_end(ap);
	return v;
}

/* ---- Values ---- */

/*
 * A size: digits and K, M, G or T.  -EINVAL if it is not one; *bytes saturates,
 * and is 0 for a negative size, so that the caller's range check refuses both.
 */
static int parse_size(const char *s, u64 plain_unit, u64 *bytes)
{
	bool negative = *s == '-';
	u64 unit = plain_unit, n;
	char *end;

	s += negative;
	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	n = strtoull(s, &end, 10);
	if (errno == ERANGE)
		n = ~0ull;
	switch (toupper((unsigned char)*end)) {
	case 0:   break;
	case 'K': unit = 1ull << 10; end++; break;
	case 'M': unit = 1ull << 20; end++; break;
	case 'G': unit = 1ull << 30; end++; break;
	case 'T': unit = 1ull << 40; end++; break;
	default:  return -EINVAL;
	}
	if (*end)
		return -EINVAL;
	if (__builtin_mul_overflow(n, unit, bytes))
		*bytes = ~0ull;
	if (negative)
		*bytes = 0;
	return 0;
}

static int parse_unsigned(const char *s, int base, u64 *n)
{
	char *end;

	if (!isxdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	*n = strtoull(s, &end, base);
	if (errno == ERANGE)
		*n = ~0ull;
	return end == s || *end ? -EINVAL : 0;
}

/* ---- One function an option ---- */

static enum options_verdict set_path(struct parser *p, const char **field, const char *v)
{
	if (!*v)
		return refuse(p, OPTIONS_USAGE, "%s needs a file name", p->spelling);
	*field = v;
	return OPTIONS_OK;
}

static enum options_verdict set_kernel(struct parser *p, const char *v)
{
	return set_path(p, &p->cfg->kernel, v);
}

static enum options_verdict set_initrd(struct parser *p, const char *v)
{
	return set_path(p, &p->cfg->initrd, v);
}

static enum options_verdict set_symbols(struct parser *p, const char *v)
{
	return set_path(p, &p->cfg->symbols, v);
}

static enum options_verdict set_append(struct parser *p, const char *v)
{
	p->cfg->append = v;
	return OPTIONS_OK;
}

static enum options_verdict set_mem(struct parser *p, const char *v)
{
	const char *size = strncmp(v, "size=", 5) ? v : v + 5;	/* QEMU's long form */

	if (parse_size(size, 1ull << 20, &p->cfg->mem))
		return refuse(p, OPTIONS_USAGE, "%s: '%s' is not a size (as 256M)", p->spelling, v);
	if (p->cfg->mem < MEM_MIN || p->cfg->mem > MEM_MAX)
		return refuse(p, OPTIONS_IMPOSSIBLE, "%s %s: a machine has 4M to 3G of RAM", p->spelling, v);
	if (p->cfg->mem % PAGE_SIZE)
		return refuse(p, OPTIONS_IMPOSSIBLE, "%s %s: not a multiple of the page size (4K)", p->spelling, v);
	return OPTIONS_OK;
}

static enum options_verdict set_cpus(struct parser *p, const char *v)
{
	const char *count = strncmp(v, "cpus=", 5) ? v : v + 5;	/* QEMU's long form */
	u64 n;

	if (parse_unsigned(count, 10, &n))
		return refuse(p, OPTIONS_USAGE, "%s: '%s' is not a number of CPUs", p->spelling, v);
	if (n != 1)
		return refuse(p, OPTIONS_IMPOSSIBLE, "%s %s: only one CPU so far", p->spelling, v);
	p->cfg->cpus = 1;
	return OPTIONS_OK;
}

static void list_cpu(FILE *out)
{
	const char *name, *last = "";

	fprintf(out, "host   this machine's CPU, as far as Ringer virtualises it\nfeatures that can be hidden:\n");
	for (unsigned i = 0; (name = cpuid_feature_name(i)); last = name, i++)
		if (strcmp(name, last))
			fprintf(out, "  %s\n", name);
}

/* QEMU's spelling: host, then -feature or feature=off. */
static enum options_verdict set_cpu(struct parser *p, const char *v)
{
	char copy[1024], *save = NULL, *word;

	if (!strcmp(v, "help")) {
		list_cpu(p->out);
		return OPTIONS_LISTED;
	}
	snprintf(copy, sizeof copy, "%s", v);
	word = strtok_r(copy, ",", &save);
	if (!word || strcmp(word, "host"))
		return refuse(p, OPTIONS_USAGE, "%s: unknown CPU '%s' (host)", p->spelling, word ? word : v);
	while ((word = strtok_r(NULL, ",", &save))) {
		char *off = strstr(word, "=off");

		if (off && !off[4])
			*off = 0;
		else if (*word == '-')
			word++;
		else
			return refuse(p, OPTIONS_USAGE, "%s: '%s' is not -FEATURE: features can only be hidden", p->spelling, word);
		if (!cpuid_hide(p->cfg->hide, word))
			return refuse(p, OPTIONS_USAGE, "%s: unknown feature '%s' (%s help lists them)", p->spelling, word,
				      p->spelling);
	}
	return OPTIONS_OK;
}

static enum options_verdict set_mode(struct parser *p, const char *v)
{
	static const struct { const char *name; enum engine_mode mode; const char *help; } modes[] = {
		{ "bt", MODE_BT, "binary translation: needs no kernel module and no KVM" },
		{ "hw", MODE_HW, "hardware assist: KVM, through /dev/kvm" },
		{ "auto", MODE_AUTO, "hw where the CPU assists KVM, else bt" },
	};

	if (!strcmp(v, "help")) {
		for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
			fprintf(p->out, "%-6s %s\n", modes[i].name, modes[i].help);
		return OPTIONS_LISTED;
	}
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (!strcmp(v, modes[i].name)) {
			p->cfg->mode = modes[i].mode;
			return OPTIONS_OK;
		}
	return refuse(p, OPTIONS_USAGE, "%s: unknown mode '%s' (bt, hw, auto)", p->spelling, v);
}

static enum options_verdict set_irqchip(struct parser *p, const char *v)
{
	static const struct { const char *name; enum irqchip chip; const char *help; } chips[] = {
		{ "kernel", IRQCHIP_KERNEL, "KVM's: no exit for an interrupt" },
		{ "user", IRQCHIP_USER, "Ringer's, the same as under bt" },
	};

	if (!strcmp(v, "help")) {
		for (size_t i = 0; i < ARRAY_SIZE(chips); i++)
			fprintf(p->out, "%-6s %s\n", chips[i].name, chips[i].help);
		return OPTIONS_LISTED;
	}
	for (size_t i = 0; i < ARRAY_SIZE(chips); i++)
		if (!strcmp(v, chips[i].name)) {
			p->cfg->irqchip = chips[i].chip;
			return OPTIONS_OK;
		}
	return refuse(p, OPTIONS_USAGE, "%s: unknown place '%s' (kernel, user)", p->spelling, v);
}

static enum options_verdict set_hw_force(struct parser *p, const char *v)
{
	p->cfg->hw_force = true;
	return OPTIONS_OK;
}

static enum options_verdict set_control(struct parser *p, const char *v)
{
	return set_path(p, &p->cfg->control, v);
}

static enum options_verdict set_no_reboot(struct parser *p, const char *v)
{
	p->cfg->no_reboot = true;
	return OPTIONS_OK;
}

static enum options_verdict set_timeout(struct parser *p, const char *v)
{
	char *end;
	double s;

	s = isdigit((unsigned char)*v) || *v == '.' ? strtod(v, &end) : -1;
	if (s < 0 || *end)
		return refuse(p, OPTIONS_USAGE, "%s: '%s' is not a number of seconds", p->spelling, v);
	if (!(s <= TIMEOUT_MAX_S))
		return refuse(p, OPTIONS_IMPOSSIBLE, "%s %s: more than ten years", p->spelling, v);
	if (s > 0 && s < 1e-9)
		s = 1e-9;
	p->cfg->timeout_ns = (u64)(s * 1e9);
	return OPTIONS_OK;
}

static enum options_verdict set_char(struct parser *p, struct serial_config *sc, const char *v)
{
	if (!strcmp(v, "help")) {
		serial_spec_list(p->out);
		return OPTIONS_LISTED;
	}
	if (serial_spec_parse(v, sc, p->err, p->errlen) == 0)
		return OPTIONS_OK;
	{
		char why[200];

		snprintf(why, sizeof why, "%s", p->err);
		return refuse(p, OPTIONS_USAGE, "%s: %s", p->spelling, why);
	}
}

static enum options_verdict set_serial(struct parser *p, const char *v)
{
	struct serial_config sc = { .kind = SERIAL_NONE };
	enum options_verdict verdict = set_char(p, &sc, v);

	if (verdict != OPTIONS_OK)
		return verdict;
	if (p->serials == SERIAL_MAX)
		return refuse(p, OPTIONS_IMPOSSIBLE, "%s %s: a machine has at most %d serial ports",
			      p->spelling, v, SERIAL_MAX);
	p->cfg->serial[p->serials++] = sc;
	return OPTIONS_OK;
}

static enum options_verdict set_debugcon(struct parser *p, const char *v)
{
	return set_char(p, &p->cfg->debugcon, v);
}

static enum options_verdict set_debug_exit(struct parser *p, const char *v)
{
	p->cfg->debug_exit = true;
	return OPTIONS_OK;
}

/* isa-debug-exit[,iobase=0xf4][,iosize=4], as QEMU's users write it; other places are not wired. */
static enum options_verdict set_device(struct parser *p, const char *v)
{
	char copy[128], *save = NULL, *word;
	u64 n;

	if (!strcmp(v, "help")) {
		fprintf(p->out, "isa-debug-exit  a write of N to port 0xf4 ends the run, status 2N+1\n");
		return OPTIONS_LISTED;
	}
	snprintf(copy, sizeof copy, "%s", v);
	word = strtok_r(copy, ",", &save);
	if (!word || strcmp(word, "isa-debug-exit"))
		return refuse(p, OPTIONS_USAGE, "%s: unknown device '%s' (isa-debug-exit)", p->spelling, v);
	while ((word = strtok_r(NULL, ",", &save))) {
		bool base = !strncmp(word, "iobase=", 7), size = !strncmp(word, "iosize=", 7);

		if ((!base && !size) || parse_unsigned(word + 7, 0, &n))
			return refuse(p, OPTIONS_USAGE, "%s: isa-debug-exit has no '%s'", p->spelling, word);
		if (base ? n != 0xf4 : n == 0 || n > 4)
			return refuse(p, OPTIONS_IMPOSSIBLE, "%s: isa-debug-exit is at port 0xf4, 1 to 4 "
				      "bytes wide", p->spelling);
	}
	p->cfg->debug_exit = true;
	return OPTIONS_OK;
}

static enum options_verdict set_nographic(struct parser *p, const char *v)
{
	return OPTIONS_OK;
}

static enum options_verdict set_stats(struct parser *p, const char *v)
{
	p->cfg->stats = true;
	return v ? set_path(p, &p->cfg->stats_file, v) : OPTIONS_OK;
}

static enum options_verdict set_profile(struct parser *p, const char *v)
{
	p->cfg->profile = true;
	return OPTIONS_OK;
}

static FILE *trace_out;		/* trace_list's callback takes no argument */

static void print_trace(const char *name, const char *help)
{
	fprintf(trace_out, "%-10s %s\n", name, help);
}

static enum options_verdict set_trace(struct parser *p, const char *v)
{
	int bad;

	if (!strcmp(v, "help")) {
		trace_out = p->out;
		trace_list(print_trace);
		print_trace("all", "all of these");
		return OPTIONS_LISTED;
	}
	bad = trace_parse(v);
	if (bad >= 0 || !*v)
		return refuse(p, OPTIONS_USAGE, "%s: unknown category '%.*s' (%s=help lists them)", p->spelling,
			      *v ? (int)strcspn(v + bad, ",") : 0, *v ? v + bad : "", p->spelling);
	return OPTIONS_OK;
}

static enum options_verdict set_verbose(struct parser *p, const char *v)
{
	p->cfg->verbose = true;
	return OPTIONS_OK;
}

static enum options_verdict set_cache_size(struct parser *p, const char *v)
{
	if (parse_size(v, 1ull << 20, &p->cfg->cache_size))
		return refuse(p, OPTIONS_USAGE, "%s: '%s' is not a size (as 32M)", p->spelling, v);
	if (p->cfg->cache_size < CACHE_MIN || p->cfg->cache_size > CACHE_MAX)
		return refuse(p, OPTIONS_IMPOSSIBLE, "%s %s: the code cache has 128K to 1G", p->spelling, v);
	if (p->cfg->cache_size % PAGE_SIZE)
		return refuse(p, OPTIONS_IMPOSSIBLE, "%s %s: not a multiple of the page size (4K)", p->spelling, v);
	return OPTIONS_OK;
}

static enum options_verdict set_block_insns(struct parser *p, const char *v)
{
	u64 n;

	if (parse_unsigned(v, 10, &n))
		return refuse(p, OPTIONS_USAGE, "%s: '%s' is not a number of instructions", p->spelling, v);
	if (n < 1 || n > BLOCK_INSNS_MAX)
		return refuse(p, OPTIONS_IMPOSSIBLE, "%s %s: a block has 1 to %d instructions", p->spelling, v,
			      BLOCK_INSNS_MAX);
	p->cfg->block_insns = (unsigned)n;
	return OPTIONS_OK;
}

static enum options_verdict set_no_chain(struct parser *p, const char *v)
{
	p->cfg->no_chain = true;
	return OPTIONS_OK;
}

static enum options_verdict set_no_user_patching(struct parser *p, const char *v)
{
	p->cfg->no_user_patching = true;
	return OPTIONS_OK;
}

static enum options_verdict set_translate_users(struct parser *p, const char *v)
{
	p->cfg->translate_users = true;
	return OPTIONS_OK;
}

static enum options_verdict set_bisect(struct parser *p, const char *v)
{
	const char *dash = strchr(v, '-');
	char lo_text[32];
	u64 lo, hi;

	snprintf(lo_text, sizeof lo_text, "%.*s", dash ? (int)(dash - v) : 0, v);
	if (!dash || parse_unsigned(lo_text, 16, &lo) || parse_unsigned(dash + 1, 16, &hi))
		return refuse(p, OPTIONS_USAGE, "%s: '%s' is not LO-HI in hexadecimal", p->spelling, v);
	if (lo >= hi || hi > 0xffffffffu)
		return refuse(p, OPTIONS_IMPOSSIBLE, "%s %s: not a range of 32-bit addresses", p->spelling, v);
	p->cfg->bisect_lo = (u32)lo;
	p->cfg->bisect_hi = (u32)hi;
	return OPTIONS_OK;
}

static enum options_verdict set_executors(struct parser *p, const char *v)
{
	u64 n;

	if (parse_unsigned(v, 10, &n))
		return refuse(p, OPTIONS_USAGE, "%s: '%s' is not a number of executors", p->spelling, v);
	if (n < 1 || n > SPACES_MAX)
		return refuse(p, OPTIONS_IMPOSSIBLE, "%s %s: 1 to %u executors", p->spelling, v, SPACES_MAX);
	p->cfg->executors = (unsigned)n;
	return OPTIONS_OK;
}

static enum options_verdict set_max_maps(struct parser *p, const char *v)
{
	if (parse_unsigned(v, 10, &p->cfg->max_maps))
		return refuse(p, OPTIONS_USAGE, "%s: '%s' is not a number of mappings", p->spelling, v);
	if (p->cfg->max_maps < MAX_MAPS_MIN || p->cfg->max_maps > MAX_MAPS_MAX)
		return refuse(p, OPTIONS_IMPOSSIBLE, "%s %s: the budget is at least %u mappings", p->spelling, v,
			      MAX_MAPS_MIN);
	return OPTIONS_OK;
}

static enum options_verdict set_help(struct parser *p, const char *v)
{
	options_help(p->out);
	return OPTIONS_LISTED;
}

/* ---- The table ---- */

static const struct option_row rows[] = {
#define OPTION_GROUP(title)
#define OPTION(id, name, letter, alias, argument, metavar, help) \
	{ name, alias, letter, OPTION_##argument, metavar, help },
#include "vmm/options.def"
#undef OPTION
#undef OPTION_GROUP
};

static enum options_verdict (*const setters[])(struct parser *, const char *) = {
#define OPTION_GROUP(title)
#define OPTION(id, name, letter, alias, argument, metavar, help) set_##id,
#include "vmm/options.def"
#undef OPTION
#undef OPTION_GROUP
};

const struct option_row *options_table(size_t *n)
{
	*n = ARRAY_SIZE(rows);
	return rows;
}

static void print_wrapped(FILE *out, const char *text, unsigned indent, unsigned width)
{
	unsigned column = indent;

	while (*text) {
		unsigned n = (unsigned)strcspn(text, " ");

		if (column > indent && column + n + 1 > width) {
			fprintf(out, "\n%*s", (int)indent, "");
			column = indent;
		}
		column += (unsigned)fprintf(out, "%s%.*s", column > indent ? " " : "", (int)n, text);
		text += n;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

static void print_row(FILE *out, const struct option_row *r)
{
	enum { INDENT = 28, WIDTH = 79 };
	char left[64];
	int n;

	n = r->letter ? snprintf(left, sizeof left, "  -%c, --%s", r->letter, r->name)
		      : snprintf(left, sizeof left, "      --%s", r->name);
	if (r->argument == OPTION_YES)
		n += snprintf(left + n, sizeof left - (size_t)n, " %s", r->metavar);
	else if (r->argument == OPTION_MAYBE)
		n += snprintf(left + n, sizeof left - (size_t)n, "[=%s]", r->metavar);
	fprintf(out, "%-*s", INDENT, left);
	if (n >= INDENT - 1)
		fprintf(out, "\n%*s", INDENT, "");
	print_wrapped(out, r->help, INDENT, WIDTH);
}

void options_help(FILE *out)
{
	const struct option_row *r = rows;

	fprintf(out, "Usage: ringer run --kernel FILE [OPTION]...\n"
		"Run a 32-bit x86 operating system.  C-a h in the console lists its keys, C-a x ends the run.\n");
#define OPTION_GROUP(title) fprintf(out, "\n%s:\n", title);
#define OPTION(id, name, letter, alias, argument, metavar, help) print_row(out, r++);
#include "vmm/options.def"
#undef OPTION
#undef OPTION_GROUP
	fprintf(out, "\nExit status: 0 the guest powered off; 1 host or configuration failure; 2 usage;\n"
		"32 guest reset under --no-reboot; 33 guest crashed (triple fault); 34 guest panicked;\n"
		"124 --timeout; 128+N ended by signal N.\n");
}

/* ---- Words ---- */

/* The row that `word` of length n names; dashes: 1 or 2.  -1: none. */
static int find_option(const char *word, size_t n, int dashes)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct option_row *r = &rows[i];

		if (strlen(r->name) == n && !memcmp(r->name, word, n))
			return (int)i;
		if (r->alias && strlen(r->alias) == n && !memcmp(r->alias, word, n))
			return (int)i;
		if (dashes == 1 && n == 1 && r->letter == *word)
			return (int)i;
	}
	return -1;
}

/* Parse the option at argv[*at] and its value; *at moves past them. */
static enum options_verdict parse_option(struct parser *p, int argc, char **argv, int *at)
{
	static char spelling[64];	/* outlives the call: messages quote it */
	const char *arg = argv[(*at)++];
	int dashes = arg[1] == '-' ? 2 : 1;
	const char *word = arg + dashes, *value = strchr(word, '=');
	size_t n = value ? (size_t)(value - word) : strlen(word);
	int i = find_option(word, n, dashes);

	if (i < 0)
		return refuse(p, OPTIONS_USAGE, "unknown option '%.*s' (ringer run --help lists them)",
			      (int)(n + (size_t)dashes), arg);
	snprintf(spelling, sizeof spelling, "%.*s", (int)(n + (size_t)dashes), arg);
	p->spelling = spelling;
	if (value)
		value++;
	if (rows[i].argument == OPTION_NO && value)
		return refuse(p, OPTIONS_USAGE, "%s takes no value", spelling);
	if (rows[i].argument == OPTION_YES && !value) {
		if (*at == argc)
			return refuse(p, OPTIONS_USAGE, "%s needs a value (%s)", spelling, rows[i].metavar);
		value = argv[(*at)++];
	}
	return setters[i](p, value);
}

static unsigned stdio_users(const struct config *cfg)
{
	unsigned n = cfg->debugcon.kind == SERIAL_STDIO;

	for (unsigned i = 0; i < SERIAL_MAX; i++)
		n += cfg->serial[i].kind == SERIAL_STDIO;
	return n;
}

void options_default(struct config *cfg)
{
	*cfg = (struct config){
		.append = "",
		.mem = 256ull << 20,
		.cpus = 1,
		.mode = MODE_BT,
		.cache_size = 32ull << 20,
		.block_insns = BLOCK_INSNS_MAX, .executors = EXECUTORS_DEFAULT,
	};
}

enum options_verdict options_parse(struct config *cfg, int argc, char **argv, FILE *out,
				   char *err, size_t errlen)
{
	struct parser p = { .cfg = cfg, .out = out, .err = err, .errlen = errlen };

	options_default(cfg);
	for (int at = 0; at < argc;) {
		enum options_verdict v;

		if (argv[at][0] != '-' || !argv[at][1])
			return refuse(&p, OPTIONS_USAGE, "unexpected argument '%s' (the kernel is given by "
				      "--kernel)", argv[at]);
		v = parse_option(&p, argc, argv, &at);
		if (v != OPTIONS_OK)
			return v;
	}
	if (!cfg->kernel)
		return refuse(&p, OPTIONS_USAGE, "no kernel: give --kernel FILE (ringer run --help)");
	/* The default gives way to a debug console that was asked to be on the terminal. */
	if (!p.serials)
		cfg->serial[0].kind = stdio_users(cfg) ? SERIAL_NULL : SERIAL_STDIO;
	if (stdio_users(cfg) > 1)
		return refuse(&p, OPTIONS_IMPOSSIBLE, "only one serial port or debug console can use stdio");
	return OPTIONS_OK;
}
