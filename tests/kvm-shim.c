/*
 * A /dev/kvm of another host, by LD_PRELOAD: KVM_SHIM says which.
 *   old      API version 11
 *   lacking  no MSR filter
 *   busy     no virtual machine: another hypervisor has the CPU
 *   denied   no permission
 *   foreign  some other device
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static int shim_fd = -1;

static int is(const char *what)
{
	const char *mode = getenv("KVM_SHIM");

	return mode && !strcmp(mode, what);
}

int open(const char *path, int flags, ...)
{
	int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
	va_list ap;
	int mode;

	va_start(ap, flags);
	mode = va_arg(ap, int);
	va_end(ap);
	if (strcmp(path, "/dev/kvm"))
		return real(path, flags, mode);
	if (is("denied")) {
		errno = EACCES;
		return -1;
	}
	return shim_fd = real("/dev/null", flags);
}

int ioctl(int fd, unsigned long request, ...)
{
	int (*real)(int, unsigned long, ...) = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (fd != shim_fd || fd < 0 || is("foreign"))
		return real(fd, request, arg);
	switch (request) {
	case KVM_GET_API_VERSION:
		return is("old") ? 11 : KVM_API_VERSION;
	case KVM_CHECK_EXTENSION:
		return !(is("lacking") && (long)arg == KVM_CAP_X86_MSR_FILTER);
	case KVM_CREATE_VM:
		errno = is("busy") ? EBUSY : ENOMEM;
		return -1;
	default:
		errno = ENOTTY;
		return -1;
	}
}
