/*
 * Raw host system calls for the vCPU path.
 *
 * An executor runs with Syscall User Dispatch on: the only system calls that
 * reach the host kernel are those issued from Ringer's own text, so they must
 * be inlined `syscall` instructions here and not calls into libc.  Results
 * are the kernel's: negative errno on failure.
 */
#ifndef BASE_SYS_H
#define BASE_SYS_H

#include <sys/syscall.h>
#include "base/types.h"

static inline long sys6(long n, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long r;

	__asm__ volatile("syscall" : "=a"(r)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return r;
}

static inline long sys3(long n, long a, long b, long c)
{
	long r;

	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return r;
}

static inline long sys_write(int fd, const void *p, size_t n)
{
	return sys3(SYS_write, fd, (long)p, (long)n);
}

static inline long sys_mmap(void *addr, size_t len, int prot, int flags, int fd, u64 off)
{
	return sys6(SYS_mmap, (long)addr, (long)len, prot, flags, fd, (long)off);
}

static inline long sys_munmap(void *addr, size_t len)
{
	return sys3(SYS_munmap, (long)addr, (long)len, 0);
}

static inline long sys_mprotect(void *addr, size_t len, int prot)
{
	return sys3(SYS_mprotect, (long)addr, (long)len, prot);
}

#endif
