/* The report: every counter in both outputs, with its value; sums agree with their terms. */
#include <check.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/stats.h"

static struct vm vm;
static struct vm_shared shared;
static char text[1 << 17];
static size_t text_len;
static json_t *root;

static void collect(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	text_len += (size_t)vsnprintf(text + text_len, sizeof text - text_len, fmt, ap);
	va_end(ap);
	ck_assert_uint_lt(text_len, sizeof text);
}

static void report(void)
{
	FILE *f = tmpfile();
	json_error_t e;

	text_len = 0;
	stats_print(&vm, &vm.cfg, collect);
	ck_assert_int_eq(stats_write_json(&vm, &vm.cfg, f), 0);
	rewind(f);
	root = json_loadf(f, 0, &e);
	ck_assert_msg(root != NULL, "%s", e.text);
	fclose(f);
}

/* Each counter a value of its own. */
static void setup(void)
{
	u64 n = 0;

	memset(&vm, 0, sizeof vm);
	memset(&shared, 0, sizeof shared);
	vm.shared = &shared;
	vm.cfg = (struct config){ .kernel = "vmlinuz", .append = "a \"quoted\" word", .mem = 64u << 20, .cpus = 1 };
	vm.clock.tsc_hz = 1000000000;
	vm.clock.ns_per_tsc = 1ull << 32;
	vm.clock.tsc_start = rdtsc() - 5000000000ull;
	vm.stop_reason = STOP_POWEROFF;
#define SECTION(name, title)
#define COUNTER(name, unit, help) shared.counters.name = 1000 + ++n;
#include "base/counters.def"
#undef COUNTER
#undef SECTION
	report();
}

static void teardown(void)
{
	json_decref(root);
	stats_set_profile(NULL, 0);
}

static u64 json_counter(const char *section, const char *name)
{
	json_t *v = json_object_get(json_object_get(json_object_get(root, "counters"), section), name);

	ck_assert_msg(json_is_integer(v), "%s is not in the JSON", name);
	return (u64)json_integer_value(v);
}

START_TEST(every_counter_is_in_the_json)
{
	const char *section = "";

#define SECTION(name, title) section = #name;
#define COUNTER(name, unit, help) ck_assert_uint_eq(json_counter(section, #name), shared.counters.name);
#include "base/counters.def"
#undef COUNTER
#undef SECTION
}
END_TEST

/* "  name   value ..." with the value as people write it. */
static void in_text(const char *name, u64 value, const char *unit, const char *help)
{
	char line_start[40], expected[40] = "", *line, *eol;

	snprintf(line_start, sizeof line_start, "\n  %s ", name);
	line = strstr(text, line_start);
	ck_assert_msg(line != NULL, "%s is not in the text", name);
	eol = strchr(line + 1, '\n');
	*eol = 0;
	if (!strcmp(unit, "count") || !strcmp(unit, "insns"))
		snprintf(expected, sizeof expected, " %u,%03u ", (unsigned)(value / 1000), (unsigned)(value % 1000));
	else if (!strcmp(unit, "bytes"))
		snprintf(expected, sizeof expected, value < 1024 ? " %.0f B" : " %.2f KiB",
			 value < 1024 ? (double)value : (double)value / 1024);
	else
		snprintf(expected, sizeof expected, " %.2f us", (double)value / 1000);
	ck_assert_msg(strstr(line, expected) != NULL, "'%s' has no '%s'", line, expected);
	ck_assert_msg(strstr(line, help) != NULL, "'%s' has no '%s'", line, help);
	*eol = '\n';
}

START_TEST(every_counter_is_in_the_text)
{
#define SECTION(name, title) ck_assert_msg(strstr(text, "\n" title "\n") != NULL, title);
#define COUNTER(name, unit, help) in_text(#name, shared.counters.name, #unit, help);
#include "base/counters.def"
#undef COUNTER
#undef SECTION
}
END_TEST

static json_t *derived(const char *name)
{
	json_t *v = json_object_get(json_object_get(root, "derived"), name);

	ck_assert_msg(json_is_number(v), "%s is not in the JSON", name);
	return v;
}

START_TEST(every_derived_number_is_in_both)
{
	char word[64];

#define SUM(name, unit, terms, help) RATIO(name, 0, 0, 0, help)
#define RATIO(name, form, part, whole, help) \
	derived(#name); \
	snprintf(word, sizeof word, "\n  %s ", #name); \
	ck_assert_ptr_nonnull(strstr(text, word));
#include "vmm/derived.def"
#undef SUM
#undef RATIO
}
END_TEST

/* All counters of a group, but those named otherwise, are terms of its sum. */
START_TEST(sums_add_up)
{
	static const struct { const char *section, *sum, *leave_out; } groups[] = {
		{ "classes", "classes_total", "" },
		{ "callouts", "callouts_total", "" },
		{ "adapt", "adapt_total", "" },
		{ "switches", "user_exits", "user_entries" },
		{ "signals", "signals_total", "" },
		{ "time", "time_total", "" },
		{ "memory", "memory_total", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		json_t *group = json_object_get(json_object_get(root, "counters"), groups[i].section), *v;
		const char *name;
		json_int_t sum = 0;

		json_object_foreach(group, name, v)
			if (strcmp(name, groups[i].leave_out))
				sum += json_integer_value(v);
		ck_assert_msg(sum > 0 && sum == json_integer_value(derived(groups[i].sum)), "%s", groups[i].sum);
	}
}
END_TEST

START_TEST(ratios)
{
	double time = json_real_value(derived("time_user")) + json_real_value(derived("time_kernel")) +
		      json_real_value(derived("time_hw_guest")) + json_real_value(derived("time_hw_kernel")) +
		      json_real_value(derived("time_monitor")) + json_real_value(derived("time_idle"));

	ck_assert_double_eq_tol(time, 1, 1e-9);
	ck_assert_double_eq_tol(json_real_value(derived("expansion")),
				(double)shared.counters.host_bytes / (double)shared.counters.guest_bytes, 1e-9);
	memset(&shared.counters, 0, sizeof shared.counters);
	json_decref(root);
	report();	/* nothing counted: no division by zero */
	ck_assert_double_eq(json_real_value(derived("expansion")), 0);
}
END_TEST

START_TEST(configuration_and_host)
{
	json_t *cfg = json_object_get(root, "config"), *host = json_object_get(root, "host");

	ck_assert_str_eq(json_string_value(json_object_get(root, "stop")), "guest powered off");
	ck_assert_str_eq(json_string_value(json_object_get(cfg, "kernel")), "vmlinuz");
	ck_assert_str_eq(json_string_value(json_object_get(cfg, "append")), "a \"quoted\" word");
	ck_assert(json_is_null(json_object_get(cfg, "initrd")));
	ck_assert_int_eq(json_integer_value(json_object_get(cfg, "mem")), 64 << 20);
	ck_assert(json_integer_value(json_object_get(root, "uptime_ns")) >= 5000000000);
	ck_assert(json_is_string(json_object_get(host, "cpu")) && json_integer_value(json_object_get(host, "cpus")) > 0);
}
END_TEST

START_TEST(profile)
{
	struct profile_row rows[] = {
		{ 0xc1000040, 0x13, 123456, 0, "start_kernel" }, { 0xc1000080, 0, 77, 5000, NULL },
	};
	json_t *all;

	stats_set_profile(rows, ARRAY_SIZE(rows));
	rows[0].count = 0;	/* the report has its own copy */
	vm.cfg.profile = true;
	json_decref(root);
	report();
	all = json_object_get(root, "profile");
	ck_assert_uint_eq(json_array_size(all), 2);
	ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(all, 0), "count")), 123456);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(all, 0), "symbol")), "start_kernel");
	ck_assert(json_is_null(json_object_get(json_array_get(all, 1), "symbol")));
	ck_assert_ptr_nonnull(strstr(text, "c1000040"));
	ck_assert_ptr_nonnull(strstr(text, "start_kernel+0x13"));
	ck_assert_ptr_nonnull(strstr(text, "123,456"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stats");
	TCase *t = tcase_create("stats");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, every_counter_is_in_the_json);
	tcase_add_test(t, every_counter_is_in_the_text);
	tcase_add_test(t, every_derived_number_is_in_both);
	tcase_add_test(t, sums_add_up);
	tcase_add_test(t, ratios);
	tcase_add_test(t, configuration_and_host);
	tcase_add_test(t, profile);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
