/* See base/log.h. */
#include "base/fmt.h"
#include "base/log.h"
#include "base/sys.h"

u32 trace_mask;

static void write_stderr(const char *text, size_t len)
{
	while (len) {
		long n = sys_write(2, text, len);
		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

void (*log_sink)(const char *, size_t) = write_stderr;

static void emit_line(const char *prefix, const char *f, va_list ap)
{
	char buf[512];
	size_t n = fmt_sn(buf, sizeof(buf) - 1, "%s", prefix);

	n += fmt_vsn(buf + n, sizeof(buf) - 1 - n, f, ap);
	if (n > sizeof(buf) - 2)
		n = sizeof(buf) - 2;
	buf[n++] = '\n';
	log_sink(buf, n);
}

#define LINE(name, prefix)			\
	void name(const char *f, ...)		\
	{					\
		va_list ap;			\
		va_start(ap, f);		\
		emit_line(prefix, f, ap);	\
		va_end(ap);			\
	}
LINE(log_error, "ringer: ")
LINE(log_warn, "ringer: warning: ")
LINE(log_info, "ringer: ")
#undef LINE

void log_vraw(const char *f, va_list ap)
{
	char buf[1024];
	size_t n = fmt_vsn(buf, sizeof(buf), f, ap);

	log_sink(buf, n < sizeof(buf) ? n : sizeof(buf) - 1);
}

void log_raw(const char *f, ...)
{
	va_list ap;

	va_start(ap, f);
	log_vraw(f, ap);
	va_end(ap);
}

static const struct { const char *name, *help; } categories[] = {
#define TRACE(name, help) { #name, help },
#include "base/trace.def"
#undef TRACE
};

void log_trace(enum trace_category c, const char *f, ...)
{
	char prefix[32];
	va_list ap;

	fmt_sn(prefix, sizeof(prefix), "[%s] ", categories[c].name);
	va_start(ap, f);
	emit_line(prefix, f, ap);
	va_end(ap);
}

static bool token_is(const char *s, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] != name[i])
			return false;
	return name[n] == 0;
}

int trace_parse(const char *list)
{
	const char *s = list;

	while (*s) {
		size_t n = 0;
		unsigned i;

		while (s[n] && s[n] != ',')
			n++;
		for (i = 0; i < TRACE_COUNT; i++)
			if (token_is(s, n, categories[i].name))
				break;
		if (i < TRACE_COUNT)
			trace_mask |= 1u << i;
		else if (token_is(s, n, "all"))
			trace_mask = ~0u;
		else
			return (int)(s - list);
		s += n + (s[n] == ',');
	}
	return -1;
}

void trace_list(void (*print)(const char *name, const char *help))
{
	for (unsigned i = 0; i < TRACE_COUNT; i++)
		print(categories[i].name, categories[i].help);
}
