/*
 * A reply as text for people (see vmm/control.h).
 *
 * One printer for all replies: members in aligned columns, objects within as
 * indented groups.  A name's ending says its unit, as in the JSON: _ms, _ns,
 * _bytes; other whole numbers are grouped, but for process ids.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/control.h"
#include "vmm/units.h"

#define COLUMN 20
#define DELETE 0x7f
#define DEPTH_MAX 8		/* deeper than any reply */

static void line(void (*print)(const char *fmt, ...), const char *fmt, ...) PRINTF_LIKE(2, 3);
static void line(void (*print)(const char *fmt, ...), const char *fmt, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	print("%s\n", text);
}

/* The length of name without the ending, or 0: it has another. */
static size_t without(const char *name, const char *ending)
{
	size_t n = strlen(name), e = strlen(ending);

	return n > e && !strcmp(name + n - e, ending) ? n - e : 0;
}

/* A number with its name's unit.  Returns how much of the name is left to print. */
static size_t format_number(char *buf, size_t size, const char *name, const json_t *value)
{
	double real = json_number_value(value);
	u64 whole = json_is_integer(value) && json_integer_value(value) > 0 ? (u64)json_integer_value(value) : 0;
	size_t n;

	if ((n = without(name, "_ms"))) {
		format_ns(buf, size, real > 0 && real < 1e12 ? (u64)(real * 1e6) : 0);
		return n;
	}
	if ((n = without(name, "_ns"))) {
		format_ns(buf, size, whole);
		return n;
	}
	if ((n = without(name, "_bytes"))) {
		format_bytes(buf, size, whole);
		return n;
	}
	if (!json_is_integer(value))
		snprintf(buf, size, "%.3f", real);
	else if (json_integer_value(value) < 0 || without(name, "_pid"))
		snprintf(buf, size, "%lld", (long long)json_integer_value(value));
	else
		format_grouped(buf, size, whole);
	return strlen(name);
}

static void show_scalar(const char *name, const json_t *value, int indent, void (*print)(const char *fmt, ...))
{
	char text[400] = "none";
	size_t n = strlen(name);

	if (json_is_string(value))
		snprintf(text, sizeof text, "%s", json_string_value(value));
	else if (json_is_boolean(value))
		snprintf(text, sizeof text, "%s", json_is_true(value) ? "yes" : "no");
	else if (json_is_number(value))
		n = format_number(text, sizeof text, name, value);
	for (char *c = text; *c; c++)	/* a kernel's name or command line may hold anything */
		if ((u8)*c < ' ' || *c == DELETE)
			*c = '?';
	line(print, "%*s%-*.*s %s", indent, "", COLUMN, (int)n, name, text);
}

/* Numbers on one line; objects as JSON, one a line. */
static void show_array(const char *name, const json_t *array, int indent, void (*print)(const char *fmt, ...))
{
	char numbers[400] = "";
	size_t at = 0, i;
	json_t *item;

	json_array_foreach(array, i, item)
		if (json_is_integer(item) && at < sizeof numbers)
			at += (size_t)snprintf(numbers + at, sizeof numbers - at, "%s%lld", at ? " " : "",
					       (long long)json_integer_value(item));
	line(print, "%*s%-*s %s", indent, "", COLUMN, name, at ? numbers : json_array_size(array) ? "" : "none");
	json_array_foreach(array, i, item) {
		char *text = json_is_integer(item) ? NULL : json_dumps(item, JSON_COMPACT | JSON_ENCODE_ANY);

		if (text)
			line(print, "%*s%s", indent + 2, "", text);
		free(text);
	}
}

static void show_object(const json_t *object, int indent, void (*print)(const char *fmt, ...))
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)object, name, value) {
		if (json_is_object(value) && indent < 2 * DEPTH_MAX) {
			line(print, "%*s%s", indent, "", name);
			show_object(value, indent + 2, print);
		} else if (json_is_array(value)) {
			show_array(name, value, indent, print);
		} else {
			show_scalar(name, value, indent, print);
		}
	}
}

static const char *member(const json_t *object, const char *name)
{
	const char *s = json_string_value(json_object_get(object, name));

	return s ? s : "";
}

static void show_help(const json_t *value, void (*print)(const char *fmt, ...))
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(value, "commands"), i, item) {
		char left[80];

		snprintf(left, sizeof left, "%s %s", member(item, "name"), member(item, "values"));
		line(print, "%-*s %s", COLUMN, left, member(item, "help"));
	}
}

bool control_show(enum control_command command, const json_t *reply, void (*print)(const char *fmt, ...),
		  char *err, size_t errlen)
{
	const json_t *value = json_object_get(reply, "return");

	if (!value) {
		const char *desc = member(json_object_get(reply, "error"), "desc");

		snprintf(err, errlen, "%s", *desc ? desc : "neither a return nor an error in the reply");
		return false;
	}
	if (command == CONTROL_help)
		show_help(value, print);
	else
		show_object(value, 0, print);
	return true;
}
