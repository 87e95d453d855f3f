/* The command line: every option, QEMU's spellings, and what is refused how. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "vmm/options.h"

static struct config cfg;
static char err[512];
static char out[65536];

/* Parse a line of words separated by single spaces. */
static enum options_verdict parse(const char *line)
{
	static char copy[1024];
	char *argv[64], *save = NULL;
	FILE *f = fmemopen(out, sizeof out, "w");
	enum options_verdict v;
	int argc = 0;

	snprintf(copy, sizeof copy, "%s", line);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	argv[argc] = NULL;
	err[0] = out[0] = 0;
	v = options_parse(&cfg, argc, argv, f, err, sizeof err);
	fclose(f);
	ck_assert_msg((v == OPTIONS_OK || v == OPTIONS_LISTED) == !err[0], "'%s': verdict %d, '%s'", line, v, err);
	ck_assert_ptr_null(strchr(err, '\n'));
	return v;
}

START_TEST(defaults)
{
	ck_assert_int_eq(parse("--kernel k"), OPTIONS_OK);
	ck_assert_str_eq(cfg.kernel, "k");
	ck_assert_str_eq(cfg.append, "");
	ck_assert_uint_eq(cfg.mem, 256u << 20);
	ck_assert_uint_eq(cfg.cpus, 1);
	ck_assert_int_eq(cfg.mode, MODE_BT);
	ck_assert_int_eq(cfg.serial[0].kind, SERIAL_STDIO);
	for (int i = 1; i < SERIAL_MAX; i++)
		ck_assert_int_eq(cfg.serial[i].kind, SERIAL_NONE);
	ck_assert_int_eq(cfg.debugcon.kind, SERIAL_NONE);
	ck_assert_uint_eq(cfg.cache_size, 32u << 20);
	ck_assert_uint_eq(cfg.block_insns, BLOCK_INSNS_MAX);
	ck_assert(cfg.bisect_lo == 0 && cfg.bisect_hi == 0 && cfg.max_maps == 0 && cfg.timeout_ns == 0);
	ck_assert(!cfg.stats && !cfg.no_reboot && !cfg.profile && !cfg.debug_exit && !cfg.no_chain && !cfg.translate_users);
}
END_TEST

START_TEST(every_option)
{
	trace_mask = 0;
	ck_assert_int_eq(parse("-k k -i i -a a=b -m 512M -c 1 --mode=bt --serial null --debugcon stdio --debug-exit "
			       "--no-reboot --nographic --timeout 1.5 --stats=s.json --profile --trace=irq,fault "
			       "--cache-size 256K --block-insns 1 --no-chain --no-user-patching --translate-users "
			       "--bisect c0100000-0xc0200000 --max-maps 2000 --symbols S -v"), OPTIONS_OK);
	ck_assert_str_eq(cfg.initrd, "i");
	ck_assert_str_eq(cfg.append, "a=b");
	ck_assert_uint_eq(cfg.mem, 512u << 20);
	ck_assert_int_eq(cfg.mode, MODE_BT);
	ck_assert_int_eq(cfg.serial[0].kind, SERIAL_NULL);
	ck_assert_int_eq(cfg.debugcon.kind, SERIAL_STDIO);
	ck_assert(cfg.debug_exit && cfg.no_reboot && cfg.stats && cfg.profile && cfg.verbose);
	ck_assert(cfg.no_chain && cfg.no_user_patching && cfg.translate_users);
	ck_assert_uint_eq(cfg.timeout_ns, 1500000000ull);
	ck_assert_str_eq(cfg.stats_file, "s.json");
	ck_assert_uint_eq(trace_mask, 1u << TRACE_irq | 1u << TRACE_fault);
	ck_assert_uint_eq(cfg.cache_size, 256u << 10);
	ck_assert_uint_eq(cfg.block_insns, 1);
	ck_assert_uint_eq(cfg.bisect_lo, 0xc0100000u);
	ck_assert_uint_eq(cfg.bisect_hi, 0xc0200000u);
	ck_assert_uint_eq(cfg.max_maps, 2000);
	ck_assert_str_eq(cfg.symbols, "S");
}
END_TEST

START_TEST(qemu_spellings)
{
	ck_assert_int_eq(parse("-kernel k -initrd i -append x -m 128 -smp 1 -serial mon:stdio -no-reboot -nographic "
			       "-device isa-debug-exit,iobase=0xf4,iosize=0x04"), OPTIONS_OK);
	ck_assert_str_eq(cfg.kernel, "k");
	ck_assert_str_eq(cfg.initrd, "i");
	ck_assert_uint_eq(cfg.mem, 128u << 20);
	ck_assert(cfg.no_reboot && cfg.debug_exit);
	ck_assert_int_eq(cfg.serial[0].kind, SERIAL_STDIO);
	ck_assert_int_eq(parse("-kernel k -m size=64M -smp cpus=1"), OPTIONS_OK);
	ck_assert_uint_eq(cfg.mem, 64u << 20);
	ck_assert_int_eq(parse("-kernel k -serial unix:/tmp/s,server,nowait"), OPTIONS_OK);
	ck_assert(cfg.serial[0].server && !cfg.serial[0].wait);
}
END_TEST

START_TEST(value_forms)
{
	ck_assert_int_eq(parse("--kernel=a=b --append=root=/dev/sda"), OPTIONS_OK);
	ck_assert_str_eq(cfg.kernel, "a=b");
	ck_assert_str_eq(cfg.append, "root=/dev/sda");
	ck_assert_int_eq(parse("-k k --append --mode"), OPTIONS_OK);	/* a value may look like an option */
	ck_assert_str_eq(cfg.append, "--mode");
	ck_assert_int_eq(parse("-k k --stats -v"), OPTIONS_OK);		/* an optional value needs '=' */
	ck_assert(cfg.stats && !cfg.stats_file && cfg.verbose);
	ck_assert_int_eq(parse("-k k -m 1G -m 4M"), OPTIONS_OK);	/* the last one counts */
	ck_assert_uint_eq(cfg.mem, 4u << 20);
	ck_assert_int_eq(parse("-k k -m 3G --timeout .25"), OPTIONS_OK);
	ck_assert_uint_eq(cfg.mem, 3ull << 30);
	ck_assert_uint_eq(cfg.timeout_ns, 250000000u);
	ck_assert_int_eq(parse("-k k -m 262144K"), OPTIONS_OK);
	ck_assert_uint_eq(cfg.mem, 256u << 20);
}
END_TEST

START_TEST(serial_ports)
{
	ck_assert_int_eq(parse("-k k --serial file:/tmp/a,b --serial file,path=/tmp/c --serial pty --serial none"),
			 OPTIONS_OK);
	ck_assert_str_eq(cfg.serial[0].path, "/tmp/a,b");
	ck_assert_str_eq(cfg.serial[1].path, "/tmp/c");
	ck_assert_int_eq(cfg.serial[2].kind, SERIAL_PTY);
	ck_assert_int_eq(cfg.serial[3].kind, SERIAL_NONE);
	ck_assert_int_eq(parse("-k k --serial unix,path=/tmp/s,wait=on"), OPTIONS_OK);
	ck_assert(cfg.serial[0].server && cfg.serial[0].wait);
	ck_assert_int_eq(parse("-k k --serial unix:/tmp/s,server=off"), OPTIONS_OK);
	ck_assert(!cfg.serial[0].server && !cfg.serial[0].wait);
	/* COM1's default gives way to a debug console that was asked to be on stdio. */
	ck_assert_int_eq(parse("-k k --debugcon stdio"), OPTIONS_OK);
	ck_assert_int_eq(cfg.serial[0].kind, SERIAL_NULL);
}
END_TEST

static const char *const usage_errors[] = {
	"", "--kernel", "-k", "-k k extra", "-k k -", "-k k --nonsense", "-k k -kernal", "-kk", "--kernel=",
	"-k k --mem foo", "-k k --mem 5M5", "-k k --mem", "-k k -m 4X", "-k k --cpus two", "-k k --mode fast", "-k k --mode=",
	"-k k --timeout x", "-k k --timeout -1", "-k k --timeout nan", "-k k --timeout 1s", "-k k --trace none-such",
	"-k k --trace=irq,nope", "-k k --serial tcp:1", "-k k --serial file", "-k k --serial file:", "-k k --serial unix:",
	"-k k --serial unix:/a,server=maybe", "-k k --serial unix:/a,color=red", "-k k --serial stdiox",
	"-k k --serial file,mode=1", "-k k --serial unix:/a,server=off,wait=on", "-k k --debugcon x", "-k k --device e1000",
	"-k k --cpu max", "-k k --cpu host,avx", "-k k --cpu host,-nonsense", "-k k --cpu host,=off", "-k k --irqchip split",
	"-k k --device isa-debug-exit,speed=1", "-k k --no-chain=1", "-k k --block-insns many", "-k k --bisect 1000",
	"-k k --bisect x-y", "-k k --max-maps lots", "-k k --cache-size big", "-k k --stats=", "-k k --symbols=",
	"-k k --serial unix:/012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
	"012345678901234567890123456789",
};

START_TEST(usage)
{
	ck_assert_msg(parse(usage_errors[_i]) == OPTIONS_USAGE, "'%s': %s", usage_errors[_i], err);
}
END_TEST

static const char *const impossible[] = {
	"-k k --mem 0", "-k k --mem 1K", "-k k --mem 3M", "-k k --mem 4097K", "-k k --mem 3073M", "-k k --mem 64G",
	"-k k --mem 4T", "-k k --mem -1", "-k k --mem 99999999999999999999G", "-k k --mem 18446744073709551615",
	"-k k --cpus 0", "-k k --cpus 2", "-k k --serial stdio --serial stdio", "-k k --serial stdio --debugcon stdio",
	"-k k --serial null --serial null --serial null --serial null --serial null", "-k k --cache-size 4K",
	"-k k --cache-size 2G", "-k k --cache-size 129K", "-k k --block-insns 0", "-k k --block-insns 1000000", "-k k --max-maps 3",
	"-k k --bisect 2000-1000", "-k k --bisect 0-100000000", "-k k --timeout 1e300",
	"-k k --device isa-debug-exit,iobase=0x501",
};

START_TEST(impossible_values)
{
	ck_assert_msg(parse(impossible[_i]) == OPTIONS_IMPOSSIBLE, "'%s': %s", impossible[_i], err);
}
END_TEST

START_TEST(lists)
{
	ck_assert_int_eq(parse("--mode help"), OPTIONS_LISTED);
	ck_assert(strstr(out, "bt") && strstr(out, "hw") && strstr(out, "auto"));
	ck_assert_int_eq(parse("--serial=help"), OPTIONS_LISTED);
	ck_assert(strstr(out, "stdio") && strstr(out, "unix:PATH"));
	ck_assert_int_eq(parse("--debugcon help"), OPTIONS_LISTED);
	ck_assert_int_eq(parse("--device help"), OPTIONS_LISTED);
	ck_assert_int_eq(parse("--cpu help"), OPTIONS_LISTED);
	ck_assert_int_eq(parse("--irqchip help"), OPTIONS_LISTED);
	ck_assert_int_eq(parse("--trace=help"), OPTIONS_LISTED);
#define TRACE(name, help) ck_assert_ptr_nonnull(strstr(out, #name)); ck_assert_ptr_nonnull(strstr(out, help));
#include "base/trace.def"
#undef TRACE
}
END_TEST

/* One spelling means one option. */
START_TEST(spellings_are_unique)
{
	size_t n;
	const struct option_row *r = options_table(&n);

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++) {
			ck_assert(i == j || strcmp(r[i].name, r[j].name));
			ck_assert(!r[i].alias || strcmp(r[i].alias, r[j].name));
			ck_assert(i == j || !r[i].letter || r[i].letter != r[j].letter);
			ck_assert_int_eq(r[i].argument != OPTION_NO, r[i].metavar != NULL);
		}
}
END_TEST

static char page[1 << 20];

static void read_man_page(void)
{
	FILE *f = fopen(RINGER_SOURCE_DIR "/docs/ringer.1", "r");

	ck_assert_ptr_nonnull(f);
	page[fread(page, 1, sizeof page - 1, f)] = 0;
	fclose(f);
}

/* An option's name as troff wants it: \-\-no\-chain. */
static const char *troff_name(const char *name)
{
	static char word[80];
	size_t n = (size_t)snprintf(word, sizeof word, "\\-\\-");

	for (; *name; name++)
		n += (size_t)snprintf(word + n, sizeof word - n, *name == '-' ? "\\-" : "%c", *name);
	return word;
}

/* Is there an item (.TP) whose heading line has this word, whole? */
static bool has_item(const char *word)
{
	for (const char *p = page; (p = strstr(p, "\n.TP\n")); p++) {
		const char *line = p + 5, *eol = strchr(line, '\n'), *at = strstr(line, word);

		if (at && at < eol && !strchr("abcdefghijklmnopqrstuvwxyz\\-", at[strlen(word)]))
			return true;
	}
	return false;
}

START_TEST(options_are_documented)
{
	size_t n;
	const struct option_row *r = options_table(&n);
	char word[64];

	read_man_page();
	ck_assert_int_eq(parse("--help"), OPTIONS_LISTED);
	for (size_t i = 0; i < n; i++) {
		snprintf(word, sizeof word, "--%s", r[i].name);
		ck_assert_msg(strstr(out, word) != NULL, "%s is not in --help", word);
		ck_assert_msg(has_item(troff_name(r[i].name)), "%s has no item in docs/ringer.1", word);
	}
}
END_TEST

/* No item describes an option that does not exist. */
START_TEST(documented_options_exist)
{
	size_t n;
	const struct option_row *r = options_table(&n);

	read_man_page();
	for (const char *p = page; (p = strstr(p, "\n.TP\n")); p++) {
		const char *line = p + 5, *at = strstr(line, "\\-\\-");
		bool known = false;

		if (!at || at > strchr(line, '\n'))
			continue;
		for (size_t i = 0; i < n && !known; i++)
			known = !strncmp(at, troff_name(r[i].name), strlen(troff_name(r[i].name)));
		ck_assert_msg(known, "docs/ringer.1: unknown option '%.30s'", at);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("options");
	TCase *t = tcase_create("options");
	SRunner *r;
	int failed;

	tcase_add_test(t, defaults);
	tcase_add_test(t, every_option);
	tcase_add_test(t, qemu_spellings);
	tcase_add_test(t, value_forms);
	tcase_add_test(t, serial_ports);
	tcase_add_loop_test(t, usage, 0, (int)ARRAY_SIZE(usage_errors));
	tcase_add_loop_test(t, impossible_values, 0, (int)ARRAY_SIZE(impossible));
	tcase_add_test(t, lists);
	tcase_add_test(t, spellings_are_unique);
	tcase_add_test(t, options_are_documented);
	tcase_add_test(t, documented_options_exist);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
