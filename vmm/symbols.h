/*
 * Names of guest addresses, for listings, profiles and crash dumps.
 *
 * A table is one read-only mapping made before or without the executor's
 * help; symbols_find and symbols_from_kallsyms obey the vCPU path's rules
 * (general registers, raw system calls), so that an executor may use them.
 */
#ifndef VMM_SYMBOLS_H
#define VMM_SYMBOLS_H

#include "base/types.h"

struct symbols;

/*
 * From an ELF file's symbol table or from System.map text.  NULL with one line
 * in err.  Monitor only (libelf, stdio).
 */
struct symbols *symbols_load(const char *path, char *err, size_t errlen);

/*
 * From a running 32-bit Linux: find the kallsyms tables in linear [lo, hi) and
 * decode them.  `read` copies guest memory and says whether all of it was
 * there; it is asked for single pages or less at a time.  NULL: no kallsyms.
 */
struct symbols *symbols_from_kallsyms(bool (*read)(void *opaque, u32 lin, void *buf, u32 len), void *opaque,
				      u32 lo, u32 hi);

void symbols_free(struct symbols *s);

/*
 * The symbol at or before addr; *offset (may be NULL) is the distance.  NULL:
 * addr is before the first symbol or past the end of the image.
 */
const char *symbols_find(const struct symbols *s, u32 addr, u32 *offset);
/* The address of a name; false if there is none. */
bool symbols_address(const struct symbols *s, const char *name, u32 *addr);
u32 symbols_count(const struct symbols *s);

/*
 * Building a table (vmm/symbols.c, vmm/kallsyms.c): room for `count` symbols
 * and `bytes` of names; add; seal sorts it, drops duplicates of an address,
 * and makes it read-only.  NULL/false: out of memory or room.
 */
struct symbols *symbols_new(u32 count, u32 bytes);
bool symbols_add(struct symbols *s, u32 addr, const char *name, u32 len);
void symbols_seal(struct symbols *s, u32 end);	/* end: first address past the image, 0: 64 KiB past the last symbol */

#endif
