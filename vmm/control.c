/*
 * Requests and replies (see vmm/control.h).
 *
 * Bytes of a client are checked here and nowhere else: what control_parse lets
 * through is a command of the table with the argument it takes.  jansson bounds
 * the nesting; the length is bounded by who read the line.  Reasons are one line
 * of printable ASCII, whatever they quote.
 */
#include "vmm/control.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct control_row control_table[CONTROL_COMMANDS] = {
#define CONTROL(name, argument, values, help) { #name, argument, values, help },
#include "vmm/control.def"
#undef CONTROL
};

/* ---- Replies ---- */

/* Untrusted text within a message. */
static void make_printable(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || (unsigned char)*s > '~')
			*s = '?';
}

static json_t *with_id(const struct control_request *rq, json_t *reply)
{
	json_t *id = json_object_get(rq->json, "id");

	if (id)
		json_object_set(reply, "id", id);
	return reply;
}

json_t *control_return(const struct control_request *rq, json_t *value)
{
	return with_id(rq, json_pack("{s:o}", "return", value));
}

static json_t *make_error(const struct control_request *rq, const char *class, const char *fmt, va_list ap)
{
	char desc[512];

	vsnprintf(desc, sizeof desc, fmt, ap);
	make_printable(desc);
	return with_id(rq, json_pack("{s:{s:s, s:s}}", "error", "class", class, "desc", desc));
}

json_t *control_error(const struct control_request *rq, const char *fmt, ...)
{
	json_t *reply;
	va_list ap;

	va_start(ap, fmt);
	reply = make_error(rq, "GenericError", fmt, ap);
	va_end(ap);
	return reply;
}

static json_t *not_found(const struct control_request *rq, const char *fmt, ...) PRINTF_LIKE(2, 3);
static json_t *not_found(const struct control_request *rq, const char *fmt, ...)
{
	json_t *reply;
	va_list ap;

	va_start(ap, fmt);
	reply = make_error(rq, "CommandNotFound", fmt, ap);
	va_end(ap);
	return reply;
}

/* ---- Requests ---- */

static const struct control_row *find_command(const char *name)
{
	for (size_t i = 0; i < CONTROL_COMMANDS; i++)
		if (!strcmp(control_table[i].name, name))
			return &control_table[i];
	return NULL;
}

/* The first member that is not one of these; NULL: none. */
static const char *unknown_member(json_t *object, const char *const *known, size_t n)
{
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value) {
		size_t i = 0;

		while (i < n && (!known[i] || strcmp(key, known[i])))
			i++;
		if (i == n)
			return key;
	}
	return NULL;
}

static json_t *check_arguments(struct control_request *rq, const struct control_row *row)
{
	json_t *arguments = json_object_get(rq->json, "arguments"), *value;
	const char *bad;

	if (arguments && !json_is_object(arguments))
		return control_error(rq, "\"arguments\" is not an object");
	bad = unknown_member(arguments, &row->argument, 1);
	if (bad)
		return control_error(rq, "%s has no argument '%.40s'", row->name, bad);
	if (!row->argument)
		return NULL;
	value = json_object_get(arguments, row->argument);
	if (!value)
		return control_error(rq, "%s needs the argument '%s' (%s)", row->name, row->argument, row->values);
	rq->argument = json_string_value(value);
	return rq->argument ? NULL : control_error(rq, "%s: '%s' is not a string", row->name, row->argument);
}

static json_t *check_request(struct control_request *rq)
{
	static const char *const members[] = { "execute", "arguments", "id" };
	const struct control_row *row;
	const char *name, *bad;

	if (!json_is_object(rq->json))
		return control_error(rq, "a request is an object: {\"execute\": \"help\"}");
	bad = unknown_member(rq->json, members, ARRAY_SIZE(members));
	if (bad)
		return control_error(rq, "unknown member '%.40s'", bad);
	name = json_string_value(json_object_get(rq->json, "execute"));
	if (!name)
		return control_error(rq, "no string \"execute\": {\"execute\": \"help\"} lists the commands");
	row = find_command(name);
	if (!row)
		return not_found(rq, "unknown command '%.40s' (help lists them)", name);
	rq->command = (enum control_command)(row - control_table);
	return check_arguments(rq, row);
}

json_t *control_parse_json(struct control_request *rq, json_t *json)
{
	json_t *error;

	*rq = (struct control_request){ .json = json };
	error = check_request(rq);
	if (error)
		control_release(rq);
	return error;
}

json_t *control_parse(struct control_request *rq, const char *line, size_t n)
{
	static const struct control_request nobody;
	json_error_t e;
	json_t *json = json_loadb(line, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
	char *near;

	if (json)
		return control_parse_json(rq, json);
	*rq = nobody;
	near = strstr(e.text, " near ");
	if (near)
		*near = 0;
	return control_error(rq, "not JSON at byte %d: %s", e.position, e.text);
}

void control_release(struct control_request *rq)
{
	json_decref(rq->json);
	*rq = (struct control_request){ 0 };
}

json_t *control_from_words(const char *line, char *err, size_t errlen)
{
	char copy[256], *word[3] = { NULL }, *save = NULL;
	const struct control_row *row;
	size_t n = 0;

	*err = 0;
	if ((size_t)snprintf(copy, sizeof copy, "%s", line) >= sizeof copy) {
		snprintf(err, errlen, "a command has at most %zu characters", sizeof copy - 1);
		return NULL;
	}
	for (char *c = copy; (c = strpbrk(c, "\t\r\n"));)
		*c = ' ';
	make_printable(copy);
	for (char *w = strtok_r(copy, " ", &save); w && n < ARRAY_SIZE(word); w = strtok_r(NULL, " ", &save))
		word[n++] = w;
	if (!n)
		return NULL;
	row = find_command(word[0]);
	if (!row)
		snprintf(err, errlen, "unknown command '%.40s' (help lists them)", word[0]);
	else if (!row->argument && n > 1)
		snprintf(err, errlen, "%s: unexpected argument '%.40s'", row->name, word[1]);
	else if (row->argument && n == 1)
		snprintf(err, errlen, "%s needs its %s: %s", row->name, row->argument, row->values);
	else if (n > 2)
		snprintf(err, errlen, "%s: unexpected argument '%.40s'", row->name, word[2]);
	else if (row->argument)
		return json_pack("{s:s, s:{s:s}}", "execute", row->name, "arguments", row->argument, word[1]);
	else
		return json_pack("{s:s}", "execute", row->name);
	return NULL;
}
