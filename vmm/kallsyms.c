/*
 * Symbols of a running 32-bit Linux, from the kallsyms tables in its memory
 * (see symbols_from_kallsyms in vmm/symbols.h).
 *
 * Nothing says where the tables are; one of them gives itself away.  Names are
 * stored as byte codes; a code that is itself a character used in names stands
 * for that character, so kallsyms_token_table contains "0\0" "1\0" ... "9\0".
 * kallsyms_token_index, right after it, holds the tokens' offsets and confirms
 * the find.  From there backwards:
 *
 *   up to 6.1   addresses[n] | (offsets[n], relative_base), num_syms, names, markers, token_table, token_index
 *   6.2, 6.3    the same with seqs_of_names before token_table
 *   from 6.4    num_syms, names, markers, token_table, token_index, offsets[n], relative_base
 *
 * (Linux scripts/kallsyms.c; the method is vmlinux-to-elf's.)  Everything is
 * the guest's and therefore hostile: all counts are bounded, every table is
 * checked against the others, and a failure means only that there are no names.
 *
 * Compiled for general registers and without libc, as vmm/symbols.c.
 */
#include "vmm/symbols.h"

#include <sys/mman.h>

#include "base/bits.h"
#include "base/sys.h"

#pragma GCC target("general-regs-only")

#define TOKENS        256u
#define TOKEN_MAX     64u		/* bytes of a token, generously */
#define NAME_MAX_LEN  512u		/* KSYM_NAME_LEN since 6.1 */
#define SYMS_MIN      16u
#define SYMS_MAX      (1u << 21)
#define NAMES_MAX     (64u << 20)	/* bytes of expanded names */
#define GROUP         256u		/* symbols between two markers */
#define GROUP_BYTES   (GROUP * 128)	/* most bytes of a group's compressed names, generously */
#define SEARCH_BACK   (2u << 20)	/* markers are at most this far before token_table */
#define IMAGE_MAX     (512u << 20)	/* of a 32-bit kernel */
#define DIGITS        "0\0" "1\0" "2\0" "3\0" "4\0" "5\0" "6\0" "7\0" "8\0" "9"	/* with its own NUL */

struct finder {
	bool (*read)(void *opaque, u32 lin, void *buf, u32 len);
	void *opaque;
	u32 lo;
	bool bad;			/* a byte that is not there was asked for */
	u32 cached[2];			/* linear pages in `page`; 1: none */
	unsigned recent;
	u8 page[2][PAGE_SIZE];

	u32 token_start, index_end;
	u16 token[TOKENS];		/* offsets from token_start */
	u8 token_len[TOKENS];
	u8 tokens[TOKENS * TOKEN_MAX];
	u32 markers, marker_count, names, count;
	u32 offsets, base;		/* address of symbol i is base + u32 at offsets + 4i */
};

/* ---- Reading ---- */

static u8 byte_at(struct finder *f, u32 lin)
{
	u32 page = lin & ~PAGE_MASK;

	if (f->cached[f->recent] != page) {
		f->recent ^= 1;
		if (f->cached[f->recent] != page) {
			f->cached[f->recent] = 1;
			if (!f->read(f->opaque, page, f->page[f->recent], PAGE_SIZE)) {
				f->bad = true;
				return 0;
			}
			f->cached[f->recent] = page;
		}
	}
	return f->page[f->recent][lin & PAGE_MASK];
}

/* Tables of words are aligned to words. */
static u32 word_at(struct finder *f, u32 lin)
{
	return byte_at(f, lin) | (u32)byte_at(f, lin + 1) << 8 | (u32)byte_at(f, lin + 2) << 16 |
	       (u32)byte_at(f, lin + 3) << 24;
}

/* ---- The token table ---- */

/* `digits` is where "0\0" "1\0" ... was seen.  Fills in the tokens. */
static bool take_tokens(struct finder *f, u32 digits)
{
	u32 at = digits, index;

	f->bad = false;
	for (u32 i = '0'; i < TOKENS && !f->bad; i++) {
		u32 len = 0;

		while (byte_at(f, at++))
			if (++len == TOKEN_MAX)
				return false;
	}
	index = ALIGN_UP(at, 4u);
	for (u32 i = 0; i < TOKENS; i++)
		f->token[i] = (u16)(byte_at(f, index + 2 * i) | byte_at(f, index + 2 * i + 1) << 8);
	f->token_start = digits - f->token['0'];
	f->index_end = index + 2 * TOKENS;
	if (f->bad || f->token[0] != 0 || f->token_start % 4)
		return false;

	/* The index agrees with the table it claims to index. */
	at = f->token_start;
	for (u32 i = 0; i < TOKENS; i++) {
		u32 len = 0;
		u8 c;

		if (f->token[i] != at - f->token_start)
			return false;
		while ((c = byte_at(f, at++))) {
			if (len == TOKEN_MAX - 1 || f->bad)
				return false;
			f->tokens[i * TOKEN_MAX + len++] = c;
		}
		f->token_len[i] = (u8)len;
	}
	return !f->bad;
}

/* ---- Names ---- */

/* Length of the compressed name at *at, which moves to its first code (6.1: two bytes from 128 on). */
static u32 name_length(struct finder *f, u32 *at)
{
	u32 len = byte_at(f, (*at)++);

	if (len & 0x80)
		len = (len & 0x7f) | (u32)byte_at(f, (*at)++) << 7;
	return len;
}

/* Do count names at f->names have the markers' offsets, and end where the markers begin? */
static bool names_fit(struct finder *f)
{
	u32 at = f->names;

	for (u32 i = 0; i < f->count; i++) {
		u32 len;

		if (i % GROUP == 0 && word_at(f, f->markers + i / GROUP * 4) != at - f->names)
			return false;
		len = name_length(f, &at);
		if (!len || len > NAME_MAX_LEN || f->bad || at + len > f->markers)
			return false;
		at += len;
	}
	return f->markers - at < 64;
}

/* With the markers known: where do the names begin? */
static bool find_names(struct finder *f)
{
	u32 last = word_at(f, f->markers + 4 * (f->marker_count - 1));
	u32 from = ALIGN_DOWN(f->markers - last - 1, 4u);

	for (u32 names = from; names > f->lo && from - names < GROUP_BYTES; names -= 4) {
		u32 count = word_at(f, names - 4);

		if (f->bad)
			return false;
		if (count < SYMS_MIN || count > SYMS_MAX || (count + GROUP - 1) / GROUP != f->marker_count)
			continue;
		f->names = names;
		f->count = count;
		if (names_fit(f))
			return true;
		f->bad = false;
	}
	return false;
}

/* How many words at `at` can be markers: from 0, each a plausible group further on. */
static u32 count_markers(struct finder *f, u32 at)
{
	u32 n = 0, previous = 0;

	while (at + 4 * n < f->token_start) {
		u32 w = word_at(f, at + 4 * n);

		if (n ? w <= previous + GROUP || w - previous > GROUP_BYTES : w != 0)
			break;
		previous = w;
		n++;
	}
	return n;
}

static bool find_markers_and_names(struct finder *f)
{
	for (u32 at = f->token_start - 4; at > f->lo && f->token_start - at < SEARCH_BACK; at -= 4) {
		u32 n;

		if (word_at(f, at) != 0) {
			if (f->bad)
				return false;
			continue;
		}
		n = count_markers(f, at);
		f->markers = at;
		/* What follows the markers may look like one more; padding is zero and does not. */
		for (f->marker_count = n; f->marker_count > 0 && n - f->marker_count < 3; f->marker_count--)
			if (find_names(f))
				return true;
		f->bad = false;
	}
	return false;
}

/* ---- Addresses ---- */

/* Are these the addresses, sorted as kallsyms has them, of an image of this size? */
static bool addresses_fit(struct finder *f, u32 offsets, u32 base)
{
	u32 previous = 0, middle = word_at(f, offsets + f->count / 2 * 4), w = 0;

	f->offsets = offsets;
	f->base = base;
	if (base ? base < f->lo || base % PAGE_SIZE || middle >= IMAGE_MAX : middle < f->lo)
		return false;
	for (u32 i = 0; i < f->count; i++) {
		w = word_at(f, offsets + 4 * i);
		if (w < previous || f->bad)
			return false;
		previous = w;
	}
	return true;
}

static bool find_addresses(struct finder *f)
{
	u32 bytes = 4 * f->count, late = ALIGN_UP(f->index_end, 4u), base;

	if (bytes > f->names)
		return false;
	f->bad = false;
	base = word_at(f, f->names - 8);
	if (base && addresses_fit(f, f->names - 8 - bytes, base))
		return true;
	f->bad = false;
	if (addresses_fit(f, f->names - 4 - bytes, 0))
		return true;
	f->bad = false;
	base = word_at(f, late + bytes);
	return base && addresses_fit(f, late, base);
}

/* ---- The result ---- */

/* Expand the name at *at into buf; its length, the type character included. */
static u32 expand(struct finder *f, u32 *at, char *buf)
{
	u32 codes = name_length(f, at), len = 0;

	for (u32 i = 0; i < codes; i++) {
		u8 code = byte_at(f, (*at)++);

		for (u32 j = 0; j < f->token_len[code] && len < NAME_MAX_LEN; j++)
			buf[len++] = (char)f->tokens[code * TOKEN_MAX + j];
	}
	return len;
}

static u64 expanded_bytes(struct finder *f)
{
	char buf[NAME_MAX_LEN];
	u32 at = f->names;
	u64 bytes = 1;

	for (u32 i = 0; i < f->count; i++)
		bytes += expand(f, &at, buf) + 1;
	return bytes;
}

/*
 * An image that was decompressed, moved and relocated may leave a copy behind;
 * only the live one's tables are where its own symbols say that read-only data is.
 */
static bool is_live(const struct finder *f, const struct symbols *s, u32 first, u32 last)
{
	u32 start, end;

	if (symbols_address(s, "__start_rodata", &start) && symbols_address(s, "__end_rodata", &end))
		return f->token_start >= start && f->token_start < end;
	return f->token_start >= first && f->token_start < last + IMAGE_MAX;
}

static struct symbols *decode(struct finder *f)
{
	u64 bytes = expanded_bytes(f);
	u32 at = f->names, first = 0, last = 0, end = 0;
	char buf[NAME_MAX_LEN];
	struct symbols *s;

	s = bytes <= NAMES_MAX ? symbols_new(f->count, (u32)bytes) : NULL;
	if (!s)
		return NULL;
	for (u32 i = 0; i < f->count; i++) {
		u32 len = expand(f, &at, buf), addr = f->base + word_at(f, f->offsets + 4 * i);

		/* The first character is nm's type; absolute symbols are numbers, not places. */
		if (len < 2 || buf[0] == 'A' || buf[0] == 'a' || addr < f->lo)
			continue;
		symbols_add(s, addr, buf + 1, len - 1);
		first = first ? first : addr;
		last = addr;
	}
	if (f->bad || !is_live(f, s, first, last)) {
		symbols_free(s);
		return NULL;
	}
	if (!symbols_address(s, "_end", &end))
		end = 0;
	symbols_seal(s, end);
	return s;
}

static struct symbols *try_tables(struct finder *f, u32 digits)
{
	if (!take_tokens(f, digits) || !find_markers_and_names(f) || !find_addresses(f))
		return NULL;
	return decode(f);
}

/* Does the pattern begin here?  It may cross into the next page. */
static bool digits_at(struct finder *f, u32 lin)
{
	static const char pattern[] = DIGITS;

	for (u32 i = 0; i < sizeof pattern; i++)
		if (byte_at(f, lin + i) != (u8)pattern[i])
			return false;
	return true;
}

struct symbols *symbols_from_kallsyms(bool (*read)(void *opaque, u32 lin, void *buf, u32 len), void *opaque,
				      u32 lo, u32 hi)
{
	u64 size = ALIGN_UP(sizeof(struct finder), (size_t)PAGE_SIZE);
	long p = sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct finder *f = (struct finder *)p;
	struct symbols *s = NULL;

	if (p < 0 && p > -4096)
		return NULL;
	f->read = read;
	f->opaque = opaque;
	f->lo = lo & ~PAGE_MASK;
	f->cached[0] = f->cached[1] = 1;
	for (u64 page = f->lo; page < hi && !s; page += PAGE_SIZE) {
		f->bad = false;
		byte_at(f, (u32)page);
		if (f->bad)
			continue;
		for (u32 i = 0; i < PAGE_SIZE && !s; i++) {
			u32 lin = (u32)page + i;

			if (byte_at(f, lin) == '0' && digits_at(f, lin))
				s = try_tables(f, lin);
			f->bad = false;
		}
	}
	sys_munmap(f, size);
	return s;
}
