/*
 * Builds the memory map (see vmm/e820.h).
 *
 * What lies under 1 MiB: conventional memory up to the EBDA; the EBDA, which
 * the BIOS data area announces and old kernels keep away from; the legacy VGA
 * hole and the option-ROM area, which are not listed because nothing is
 * there; the BIOS segment, where Ringer's firmware tables live.
 */
#include "vmm/e820.h"

#include "base/check.h"
#include "mmu/phys.h"

void e820_build(struct e820_map *m, u64 ram_size)
{
	CHECK(ram_size > E820_HIGH_START);
	*m = (struct e820_map){ .n = E820_ENTRIES, .e = {
		{ 0, E820_LOW_END, E820_TYPE_RAM },
		{ E820_LOW_END, LEGACY_HOLE_START - E820_LOW_END, E820_TYPE_RESERVED },
		{ E820_BIOS_START, E820_HIGH_START - E820_BIOS_START, E820_TYPE_RESERVED },
		{ E820_HIGH_START, ram_size - E820_HIGH_START, E820_TYPE_RAM },
	} };
}

bool e820_is_usable(const struct e820_map *m, u64 base, u64 len)
{
	if (!len)
		return true;
	for (unsigned i = 0; i < m->n; i++) {
		const struct e820_entry *e = &m->e[i];

		if (e->type == E820_TYPE_RAM && base >= e->base && base - e->base < e->len &&
		    len <= e->len - (base - e->base))
			return true;
	}
	return false;
}

u64 e820_high_end(const struct e820_map *m)
{
	const struct e820_entry *high = &m->e[m->n - 1];

	return high->base + high->len;
}
