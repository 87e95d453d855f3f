/* See base/fmt.h. */
#include "base/fmt.h"

struct out { char *buf; size_t size, len; };

static void put(struct out *o, char c)
{
	if (o->len + 1 < o->size)
		o->buf[o->len] = c;
	o->len++;
}

static void put_padded(struct out *o, const char *s, size_t n, unsigned width, bool left, char pad)
{
	size_t fill = width > n ? width - n : 0;

	if (!left)
		while (fill) { put(o, pad); fill--; }
	for (size_t i = 0; i < n; i++)
		put(o, s[i]);
	while (fill) { put(o, ' '); fill--; }
}

static void put_number(struct out *o, u64 v, unsigned base, bool negative, bool upper,
		       unsigned width, bool left, bool zero)
{
	const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char tmp[24];
	size_t n = sizeof(tmp);

	do { tmp[--n] = digits[v % base]; v /= base; } while (v);
	if (negative && zero && width) {
		put(o, '-');
		width--;
	} else if (negative) {
		tmp[--n] = '-';
	}
	put_padded(o, tmp + n, sizeof(tmp) - n, width, left, zero ? '0' : ' ');
}

size_t fmt_vsn(char *buf, size_t size, const char *f, va_list ap)
{
	struct out o = { buf, size, 0 };

	for (; *f; f++) {
		bool left = false, zero = false;
		unsigned width = 0, longs = 0;
		int precision = -1;

		if (*f != '%') {
			put(&o, *f);
			continue;
		}
		for (f++; *f == '-' || *f == '0' || *f == '#' || *f == '+'; f++) {
			left |= *f == '-';
			zero |= *f == '0';
		}
		if (*f == '*') {
			width = va_arg(ap, int);
			f++;
		} else {
			for (; *f >= '0' && *f <= '9'; f++)
				width = width * 10 + (unsigned)(*f - '0');
		}
		if (*f == '.') {
			precision = 0;
			f++;
			if (*f == '*') {
				precision = va_arg(ap, int);
				f++;
			} else {
				for (; *f >= '0' && *f <= '9'; f++)
					precision = precision * 10 + (*f - '0');
			}
		}
		for (; *f == 'l' || *f == 'z' || *f == 'h'; f++)
			longs += *f != 'h';
		switch (*f) {
		case 'd': case 'i': {
			s64 v = longs ? va_arg(ap, s64) : va_arg(ap, int);
			put_number(&o, v < 0 ? 0 - (u64)v : (u64)v, 10, v < 0, false, width, left, zero);
			break;
		}
		case 'u': case 'x': case 'X': {
			u64 v = longs ? va_arg(ap, u64) : va_arg(ap, unsigned);
			put_number(&o, v, *f == 'u' ? 10 : 16, false, *f == 'X', width, left, zero);
			break;
		}
		case 'p':
			put(&o, '0'); put(&o, 'x');
			put_number(&o, (uintptr_t)va_arg(ap, void *), 16, false, false, 0, false, false);
			break;
		case 'c': {
			char c = (char)va_arg(ap, int);
			put_padded(&o, &c, 1, width, left, ' ');
			break;
		}
		case 's': {
			const char *s = va_arg(ap, const char *);
			size_t n = 0;
			if (!s)
				s = "(null)";
			while (s[n] && (precision < 0 || n < (size_t)precision))
				n++;
			put_padded(&o, s, n, width, left, ' ');
			break;
		}
		case '%':
			put(&o, '%');
			break;
		case 0:
			f--;
			break;
		default:
			put(&o, '%');
			put(&o, *f);
		}
	}
	if (size)
		buf[o.len < size ? o.len : size - 1] = 0;
	return o.len;
}

size_t fmt_sn(char *buf, size_t size, const char *f, ...)
{
	va_list ap;
	size_t n;

	va_start(ap, f);
	n = fmt_vsn(buf, size, f, ap);
	va_end(ap);
	return n;
}
