/* See vmm/units.h. */
#include "vmm/units.h"

#include <stdio.h>

void format_grouped(char *buf, size_t size, u64 n)
{
	char digits[24];
	int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
	size_t at = 0;

	for (int i = 0; i < len && at + 2 < size; i++) {
		if (i && (len - i) % 3 == 0)
			buf[at++] = ',';
		buf[at++] = digits[i];
	}
	buf[at] = 0;
}

static void format_scaled(char *buf, size_t size, double v, const char *const *units, unsigned n, double step)
{
	unsigned i = 0;

	while (i + 1 < n && v >= step) {
		v /= step;
		i++;
	}
	snprintf(buf, size, "%.*f %s", i ? 2 : 0, v, units[i]);
}

void format_bytes(char *buf, size_t size, u64 n)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };

	format_scaled(buf, size, (double)n, units, ARRAY_SIZE(units), 1024);
}

void format_ns(char *buf, size_t size, u64 n)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };

	format_scaled(buf, size, (double)n, units, ARRAY_SIZE(units), 1000);
}
