/* See mmu/phys.h. */
#include "mmu/phys.h"

bool phys_range_is_ram(const struct phys_map *p, gpa_t gpa, u64 len)
{
	gpa_t end = gpa + len;

	if (end < gpa || end > p->ram_size)
		return false;
	return end <= LEGACY_HOLE_START || gpa >= LEGACY_HOLE_END;
}

const void *phys_ptr(const struct phys_map *p, gpa_t gpa, u64 len)
{
	return phys_range_is_ram(p, gpa, len) ? p->ram + gpa : NULL;
}

bool phys_read(const struct phys_map *p, gpa_t gpa, void *buf, u64 len)
{
	if (!phys_range_is_ram(p, gpa, len))
		return false;
	__builtin_memcpy(buf, p->ram + gpa, len);
	return true;
}

bool phys_write(const struct phys_map *p, gpa_t gpa, const void *buf, u64 len)
{
	if (!phys_range_is_ram(p, gpa, len))
		return false;
	__builtin_memcpy(p->ram + gpa, buf, len);
	phys_dirty(p, gpa, len);
	return true;
}

void phys_dirty(const struct phys_map *p, gpa_t gpa, u64 len)
{
	if (!p->code_written || !len)
		return;
	for (gpa_t page = gpa >> PAGE_SHIFT; page <= (gpa + len - 1) >> PAGE_SHIFT; page++)
		if (p->has_code[page]) {
			p->code_written(p->opaque, gpa, len);
			return;
		}
}
