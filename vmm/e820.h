/*
 * The machine's memory map as a BIOS would report it (INT 15h, AX=E820h).
 * One description, read by every loader and by the SMBIOS table.
 */
#ifndef VMM_E820_H
#define VMM_E820_H

#include "base/types.h"

enum e820_type { E820_TYPE_RAM = 1, E820_TYPE_RESERVED = 2 };	/* ACPI 6.4, table 15-374 */

#define E820_LOW_END    0x9fc00u	/* end of conventional memory; the EBDA follows */
#define E820_BIOS_START 0xf0000u
#define E820_HIGH_START 0x100000u
#define E820_ENTRIES    4

struct e820_entry { u64 base, len; u32 type; };

struct e820_map {
	unsigned n;
	struct e820_entry e[E820_ENTRIES];
};

/* The map of a machine with guest physical [0, ram_size) behind it; ram_size in bytes, > 1 MiB. */
void e820_build(struct e820_map *m, u64 ram_size);

/* Is all of [base, base+len) inside one usable (RAM) entry?  Overflow-safe; len 0 is true. */
bool e820_is_usable(const struct e820_map *m, u64 base, u64 len);

/* End of the usable memory that starts at 1 MiB. */
u64 e820_high_end(const struct e820_map *m);

#endif
