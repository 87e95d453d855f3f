/*
 * Symbol tables (see vmm/symbols.h): a sorted array of addresses with offsets
 * into a block of names, all in one mapping that is read-only once sealed.
 *
 * Compiled for general registers and without libc: an executor looks names up
 * with the guest's SSE state live in the registers.
 */
#include "vmm/symbols.h"

#include <sys/mman.h>

#include "base/sys.h"

#pragma GCC target("general-regs-only")

#define END_SLACK 65536u

struct symbol { u32 addr, name; };

struct symbols {
	u64 size;		/* of the mapping */
	u32 count, max_count;
	u32 end;
	u32 name_bytes, max_name_bytes;
	char *names;
	struct symbol sym[];
};

struct symbols *symbols_new(u32 count, u32 bytes)
{
	u64 size = sizeof(struct symbols) + (u64)count * sizeof(struct symbol) + bytes;
	long p;

	size = ALIGN_UP(size, (u64)PAGE_SIZE);
	p = sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p < 0 && p > -4096)
		return NULL;
	{
		struct symbols *s = (struct symbols *)p;

		s->size = size;
		s->max_count = count;
		s->max_name_bytes = bytes;
		s->names = (char *)&s->sym[count];
		return s;
	}
}

void symbols_free(struct symbols *s)
{
	if (s)
		sys_munmap(s, s->size);
}

bool symbols_add(struct symbols *s, u32 addr, const char *name, u32 len)
{
	char *to;

	if (s->count == s->max_count || len >= s->max_name_bytes - s->name_bytes)
		return false;
	to = s->names + s->name_bytes;
	for (u32 i = 0; i < len; i++)
		to[i] = name[i];
	to[len] = 0;
	s->sym[s->count++] = (struct symbol){ addr, s->name_bytes };
	s->name_bytes += len + 1;
	return true;
}

/* Sift the element at `at` down in the heap of n. */
static void sift(struct symbol *a, u32 at, u32 n)
{
	struct symbol moving = a[at];

	for (;;) {
		u32 child = 2 * at + 1;

		if (child >= n)
			break;
		if (child + 1 < n && a[child + 1].addr > a[child].addr)
			child++;
		if (a[child].addr <= moving.addr)
			break;
		a[at] = a[child];
		at = child;
	}
	a[at] = moving;
}

/* Heapsort: in place, no recursion, no worst case; tables are hostile input. */
static void sort(struct symbol *a, u32 n)
{
	for (u32 i = n / 2; i-- > 0;)
		sift(a, i, n);
	for (u32 i = n; i-- > 1;) {
		struct symbol t = a[0];

		a[0] = a[i];
		a[i] = t;
		sift(a, 0, i);
	}
}

/* Of two names of one address: the one a reader expects (no leading underscores or dots; shorter). */
static bool better_name(const char *a, const char *b)
{
	bool plain_a = *a != '_' && *a != '.', plain_b = *b != '_' && *b != '.';

	if (plain_a != plain_b)
		return plain_a;
	while (*a && *b) {
		a++;
		b++;
	}
	return !*a && *b;
}

void symbols_seal(struct symbols *s, u32 end)
{
	u32 kept = 0;

	sort(s->sym, s->count);
	for (u32 i = 0; i < s->count; i++) {
		struct symbol *last = kept ? &s->sym[kept - 1] : NULL;

		if (!last || last->addr != s->sym[i].addr)
			s->sym[kept++] = s->sym[i];
		else if (better_name(s->names + s->sym[i].name, s->names + last->name))
			*last = s->sym[i];
	}
	s->count = kept;
	if (!end && kept)
		end = s->sym[kept - 1].addr > ~0u - END_SLACK ? ~0u : s->sym[kept - 1].addr + END_SLACK;
	s->end = end;
	sys_mprotect(s, s->size, PROT_READ);
}

const char *symbols_find(const struct symbols *s, u32 addr, u32 *offset)
{
	u32 lo = 0, hi;

	if (!s || !s->count || addr < s->sym[0].addr || addr >= s->end)
		return NULL;
	/* Invariant: sym[lo].addr <= addr < sym[hi].addr. */
	for (hi = s->count; hi - lo > 1;) {
		u32 mid = lo + (hi - lo) / 2;

		if (s->sym[mid].addr <= addr)
			lo = mid;
		else
			hi = mid;
	}
	if (offset)
		*offset = addr - s->sym[lo].addr;
	return s->names + s->sym[lo].name;
}

static bool same(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

bool symbols_address(const struct symbols *s, const char *name, u32 *addr)
{
	for (u32 i = 0; i < s->count; i++)
		if (same(s->names + s->sym[i].name, name)) {
			*addr = s->sym[i].addr;
			return true;
		}
	return false;
}

u32 symbols_count(const struct symbols *s)
{
	return s->count;
}
