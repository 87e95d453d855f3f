/*
 * Bit numbers and fields.  Every shift by a guest-controlled or computed
 * amount goes through these, so that an out-of-range bit number is a defined
 * zero instead of undefined behaviour.
 */
#ifndef BASE_BITS_H
#define BASE_BITS_H

#include "base/types.h"

#define BIT(n)   (1u << (n))
#define BIT64(n) (1ull << (n))

/* The bit `n` of `v`, 0 when n is out of range. */
static inline bool bit_test(u64 v, unsigned n)
{
	return n < 64 && ((v >> n) & 1);
}

static inline u64 bit_mask(unsigned n)
{
	return n >= 64 ? ~0ull : (1ull << n) - 1;
}

/* Bits [lo, lo+width) of v. */
static inline u64 bits_get(u64 v, unsigned lo, unsigned width)
{
	return lo < 64 ? (v >> lo) & bit_mask(width) : 0;
}

/* Unaligned little-endian loads and stores of host memory. */
static inline u16 load16(const void *p) { u16 v; __builtin_memcpy(&v, p, 2); return v; }
static inline u32 load32(const void *p) { u32 v; __builtin_memcpy(&v, p, 4); return v; }
static inline u64 load64(const void *p) { u64 v; __builtin_memcpy(&v, p, 8); return v; }
static inline void store16(void *p, u16 v) { __builtin_memcpy(p, &v, 2); }
static inline void store32(void *p, u32 v) { __builtin_memcpy(p, &v, 4); }
static inline void store64(void *p, u64 v) { __builtin_memcpy(p, &v, 8); }

/* Mask of an operand of `size` bytes (1, 2 or 4; 8 gives all ones). */
static inline u64 size_mask(unsigned size) { return bit_mask(size * 8); }

#endif
