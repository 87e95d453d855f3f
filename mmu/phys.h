/*
 * The guest-physical address map: what is RAM, and the one door through which
 * anything but the guest's own CPU writes it.
 *
 * RAM is one memfd mapped linearly at `ram` in every process: guest physical
 * [0, ram_size), at most 3 GiB, except the legacy hole [0xa0000, 0xc0000).
 * Everything else is MMIO or nothing.
 *
 * Invariant: every write to guest memory that does not go through a guest
 * mapping (device DMA, image loading, the VMM's own accesses on the guest's
 * behalf) calls phys_write or phys_dirty, because pages may hold translated
 * code (`has_code`).  The bt engine installs `code_written`.
 */
#ifndef MMU_PHYS_H
#define MMU_PHYS_H

#include "base/types.h"

#define LEGACY_HOLE_START 0xa0000u
#define LEGACY_HOLE_END   0xc0000u
#define RAM_SIZE_MAX      (3ull << 30)

/* Reasons why a RAM page must not be written behind the VMM's back (phys_map.has_code). */
#define PAGE_CODE  1u	/* translated code came from it */
#define PAGE_PATCH 2u	/* user code is shown a patched copy of it */

struct phys_map {
	u8 *ram;		/* host address of guest physical 0 */
	u64 ram_size;		/* bytes, a multiple of PAGE_SIZE */
	int ram_fd;		/* the memfd; offset = guest physical address */
	u8 *has_code;		/* one byte a RAM page: PAGE_* */
	void (*code_written)(void *opaque, gpa_t gpa, u64 len);
	void *opaque;
};

static inline bool phys_is_ram(const struct phys_map *p, gpa_t gpa)
{
	return gpa < p->ram_size && (gpa < LEGACY_HOLE_START || gpa >= LEGACY_HOLE_END);
}

/* Is all of [gpa, gpa+len) RAM?  Overflow-safe. */
bool phys_range_is_ram(const struct phys_map *p, gpa_t gpa, u64 len);

/*
 * Host pointer to [gpa, gpa+len) for reading, or NULL if any byte of it is not
 * RAM.  The guest may change the bytes at any time: read each value once.
 */
const void *phys_ptr(const struct phys_map *p, gpa_t gpa, u64 len);

/* Copy from/to guest RAM.  False (and nothing copied) if any byte is not RAM. */
MUST_USE bool phys_read(const struct phys_map *p, gpa_t gpa, void *buf, u64 len);
MUST_USE bool phys_write(const struct phys_map *p, gpa_t gpa, const void *buf, u64 len);

/* To be called after storing through a pointer obtained by other means. */
void phys_dirty(const struct phys_map *p, gpa_t gpa, u64 len);

#endif
