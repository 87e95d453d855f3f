/*
 * Parsing of --serial's and --debugcon's SPEC (see vmm/serial_spec.h):
 * KIND, KIND:PATH, or KIND,path=PATH,key=value,... as QEMU writes chardevs.
 */
#include "vmm/serial_spec.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static const struct spec {
	const char *name;
	enum serial_kind kind;
	bool path, socket;
	const char *synopsis, *help;
} specs[] = {
	{ "stdio", SERIAL_STDIO, false, false, "stdio", "this terminal, or stdin and stdout" },
	{ "mon:stdio", SERIAL_STDIO, false, false, "mon:stdio", "the same (QEMU's spelling)" },
	{ "none", SERIAL_NONE, false, false, "none", "no such port" },
	{ "null", SERIAL_NULL, false, false, "null", "a port that loses what it sends" },
	{ "pty", SERIAL_PTY, false, false, "pty", "a new pseudo-terminal; its name is printed" },
	{ "file", SERIAL_FILE, true, false, "file:PATH", "output to a file, emptied first" },
	{ "unix", SERIAL_UNIX, true, true, "unix:PATH[,server=on|off][,wait=on|off]",
	  "a Unix socket: listen there (default), or connect; wait: for a client, before the guest starts" },
};

static int bad(char *err, size_t errlen, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int bad(char *err, size_t errlen, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, errlen, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* "on", "off", or nothing (which is on); -1 otherwise. */
static int parse_switch(const char *v)
{
	if (!v || !strcmp(v, "on"))
		return 1;
	return !strcmp(v, "off") ? 0 : -1;
}

static int parse_setting(const struct spec *k, char *word, struct serial_config *sc,
			 char *err, size_t errlen)
{
	char *value = strchr(word, '=');
	bool is_server, is_wait;
	int on;

	if (value)
		*value++ = 0;
	if (!strcmp(word, "path") && value) {
		sc->path = value;
		return 0;
	}
	is_server = k->socket && !strcmp(word, "server");
	is_wait = k->socket && !strcmp(word, "wait");
	if (k->socket && !strcmp(word, "nowait") && !value) {	/* QEMU's older spelling */
		sc->wait = false;
		return 0;
	}
	if (!is_server && !is_wait)
		return bad(err, errlen, "%s has no setting '%s'", k->name, word);
	on = parse_switch(value);
	if (on < 0)
		return bad(err, errlen, "'%s=%s' is neither on nor off", word, value);
	if (is_server)
		sc->server = on;
	else
		sc->wait = on;
	return 0;
}

int serial_spec_parse(const char *spec, struct serial_config *sc, char *err, size_t errlen)
{
	const struct spec *k = NULL;
	size_t n = 0;
	char *rest, *save = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(specs) && !k; i++) {
		n = strlen(specs[i].name);
		if (!strncmp(spec, specs[i].name, n) && (!spec[n] || (specs[i].path && strchr(":,", spec[n]))))
			k = &specs[i];
	}
	if (!k)
		return bad(err, errlen, "unknown back end '%s' (`help' lists them)", spec);
	*sc = (struct serial_config){ .kind = k->kind, .server = true };
	if (!k->path)
		return 0;

	/* Lives as long as the configuration, which is as long as the process. */
	rest = strdup(spec + n + (spec[n] != 0));
	if (!rest)
		return bad(err, errlen, "out of memory");
	if (spec[n] == ':' && k->kind == SERIAL_FILE) {
		sc->path = rest;	/* all of it: a file's name may hold commas */
	} else {
		char *word = strtok_r(rest, ",", &save);

		if (spec[n] == ':') {
			sc->path = word;
			word = strtok_r(NULL, ",", &save);
		}
		for (; word; word = strtok_r(NULL, ",", &save))
			if (parse_setting(k, word, sc, err, errlen))
				return -EINVAL;
	}
	if (!sc->path || !*sc->path)
		return bad(err, errlen, "%s needs a path (%s)", k->name, k->synopsis);
	if (k->socket && strlen(sc->path) >= sizeof ((struct sockaddr_un *)0)->sun_path)
		return bad(err, errlen, "the path of a Unix socket has at most %zu bytes",
			   sizeof ((struct sockaddr_un *)0)->sun_path - 1);
	if (sc->wait && !sc->server)
		return bad(err, errlen, "wait=on is for server=on");
	return 0;
}

void serial_spec_list(FILE *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++)
		fprintf(out, "%-42s %s\n", specs[i].synopsis, specs[i].help);
}
