/*
 * memcpy, memset, memmove and memcmp for the whole program.
 *
 * On the vCPU path the guest's SSE and AVX state is live in the registers, so
 * libc's vectorised routines must not run there, and the compiler inserts
 * calls to these four on its own.  Defining them in the executable makes every
 * such call, from any folder, a general-register one.  ERMS makes `rep movsb`
 * as fast as a vector loop from a few hundred bytes on; short copies take the
 * word loop.
 */
#include "base/types.h"

void *memcpy(void *restrict d, const void *restrict s, size_t n);
void *memmove(void *d, const void *s, size_t n);
void *memset(void *d, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);

__attribute__((optimize("no-tree-loop-distribute-patterns")))
void *memcpy(void *restrict d, const void *restrict s, size_t n)
{
	u8 *dst = d;
	const u8 *src = s;

	if (n < 128) {
		for (; n >= 8; n -= 8, dst += 8, src += 8) {
			u64 v;
			__builtin_memcpy(&v, src, 8);
			__builtin_memcpy(dst, &v, 8);
		}
		for (; n; n--)
			*dst++ = *src++;
		return d;
	}
	__asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
	return d;
}

void *memmove(void *d, const void *s, size_t n)
{
	u8 *dst = d;
	const u8 *src = s;

	if ((uintptr_t)dst - (uintptr_t)src >= n) {
		__asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
	} else if (n) {
		dst += n - 1;
		src += n - 1;
		__asm__ volatile("std; rep movsb; cld" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
	}
	return d;
}

void *memset(void *d, int c, size_t n)
{
	void *dst = d;

	__asm__ volatile("rep stosb" : "+D"(dst), "+c"(n) : "a"(c) : "memory");
	return d;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *x = a, *y = b;

	for (; n >= 8; n -= 8, x += 8, y += 8) {
		u64 v, w;
		__builtin_memcpy(&v, x, 8);
		__builtin_memcpy(&w, y, 8);
		if (v != w)
			break;
	}
	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}
