/*
 * ringer doctor (see vmm/doctor.h): one probe a row, each with what it found
 * and what follows.
 *
 * Probes that could kill or change this process — modify_ldt, Syscall User
 * Dispatch, far jumps — are made in a child.  `required` rows decide whether
 * bt can run; the others are advice.
 */
#define _GNU_SOURCE
#include "vmm/doctor.h"

#include <asm/ldt.h>
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpu/kvm_host.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_ON 1
#endif

#define HWCAP2_FSGSBASE_BIT 2u
#define MIN_MAP_COUNT 16384u

enum status { OK, WARN, FAIL };

struct finding {
	enum status status;
	char text[200];		/* what is there, or not */
};

static struct finding found(enum status s, const char *fmt, ...) PRINTF_LIKE(2, 3);
static struct finding found(enum status s, const char *fmt, ...)
{
	struct finding f = { .status = s };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f.text, sizeof f.text, fmt, ap);
	va_end(ap);
	return f;
}

/*
 * Run `probe` in a child.  Its return value, or 256 + the signal that it died
 * of, or -1 if there can be no child.
 */
static int in_child(int (*probe)(void))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return -1;
	if (!pid)
		_exit(probe());
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The number in a /proc/sys file; -1 if it cannot be read. */
static long proc_number(const char *path)
{
	FILE *f = fopen(path, "re");
	long n = -1;

	if (!f)
		return -1;
	if (fscanf(f, "%ld", &n) != 1)
		n = -1;
	fclose(f);
	return n;
}

/* Is `word` among the flags in /proc/cpuinfo? */
static bool cpu_flag(const char *word)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char *line = NULL;
	size_t size = 0, n = strlen(word);
	bool there = false;

	if (!f)
		return false;
	while (!there && getline(&line, &size, f) > 0) {
		if (strncmp(line, "flags", 5))
			continue;
		for (char *p = line; !there && (p = strstr(p, word)); p += n)
			there = p[-1] == ' ' && (p[n] == ' ' || p[n] == '\n');
		break;
	}
	free(line);
	fclose(f);
	return there;
}

/* ---- What bt cannot do without ---- */

static struct finding probe_linux(void)
{
	struct utsname u;

	if (uname(&u))
		return found(FAIL, "uname: %s", strerror(errno));
	if (strcmp(u.machine, "x86_64"))
		return found(FAIL, "the kernel is for %s", u.machine);
	return found(OK, "Linux %s", u.release);
}

static struct finding probe_fsgsbase(void)
{
	if (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT)
		return found(OK, "available to programs");
	return found(FAIL, cpu_flag("fsgsbase") ? "the CPU has it, the kernel does not allow it (Linux 5.9 or later)"
						: "the CPU lacks it");
}

static int try_dispatch(void)
{
	static char selector;	/* 0: allow */

	return prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &selector) ? errno : 0;
}

static struct finding probe_dispatch(void)
{
	int r = in_child(try_dispatch);

	if (r == 0)
		return found(OK, "works");
	return found(FAIL, "prctl(PR_SET_SYSCALL_USER_DISPATCH): %s (Linux 5.11 or later, CONFIG_GENERIC_ENTRY)",
		     r > 0 && r < 256 ? strerror(r) : "failed");
}

/* A 4 GiB data segment with a base, as guest TLS needs; then load it. */
static int try_ldt(void)
{
	struct user_desc d = {
		.entry_number = 6, .base_addr = 0xfff00000, .limit = 0xfffff, .seg_32bit = 1,
		.limit_in_pages = 1, .useable = 1,
	};

	if (syscall(SYS_modify_ldt, 1, &d, sizeof d))
		return errno;
	__asm__ volatile("mov %0, %%gs" : : "r"((6 << 3) | 7));
	return 0;
}

static struct finding probe_ldt(void)
{
	int r = in_child(try_ldt);

	if (r == 0)
		return found(OK, "works");
	return found(FAIL, "modify_ldt: %s (CONFIG_MODIFY_LDT_SYSCALL; some sandboxes forbid it)",
		     r > 0 && r < 256 ? strerror(r) : "failed");
}

/*
 * Far-jump to 32-bit code at a low address and back: 0x23 is Linux's 32-bit
 * code segment, 0x33 the 64-bit one.  The 32-bit code subtracts so that a CPU
 * that stayed in 64-bit mode gives another result (48 is DEC EAX or REX.W).
 */
static int try_compat(void)
{
	u8 *page = mmap((void *)0x10000000ul, 4096, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	u32 result = 0;
	struct { u32 off; u16 sel; } __attribute__((packed)) *there;
	u8 *p;

	if (page != (void *)0x10000000ul)
		return errno ? errno : EEXIST;
	p = page;
	there = (void *)(page + 64);
	there->off = 0x10000020;
	there->sel = 0x23;
	p = page + 32;			/* 32-bit: dec eax; ljmp 0x33:0x10000030 */
	*p++ = 0x48;
	*p++ = 0xea;
	memcpy(p, &(u32){ 0x10000030 }, 4);
	memcpy(p + 4, &(u16){ 0x33 }, 2);
	p = page + 48;			/* 64-bit: jmp *%r8 */
	*p++ = 0x41;
	*p++ = 0xff;
	*p++ = 0xe0;
	if (mprotect(page, 4096, PROT_READ | PROT_EXEC))
		return errno;
	/* Some CPUs clear the upper half of RSP in compatibility mode. */
	__asm__ volatile("lea 1f(%%rip), %%r8\n\t"
			 "mov %%rsp, %%r9\n\t"
			 "mov $42, %%eax\n\t"
			 "ljmpl *(%1)\n"
			 "1:\n\t"
			 "mov %%r9, %%rsp"
			 : "=&a"(result) : "r"(there) : "r8", "r9", "r10", "r11", "memory", "cc");
	return result == 41 ? 0 : EPROTO;
}

static struct finding probe_compat(void)
{
	int r = in_child(try_compat);

	if (r == 0)
		return found(OK, "a far jump to 0x23 and back works");
	if (r >= 256)
		return found(FAIL, "a far jump to 0x23 ends in %s", strsignal(r - 256));
	return found(FAIL, "%s", r > 0 ? strerror(r) : "no child process");
}

static struct finding probe_memfd(void)
{
	int fd = memfd_create("ringer-doctor", MFD_CLOEXEC);
	void *p;

	if (fd < 0)
		return found(FAIL, "memfd_create: %s", strerror(errno));
	p = ftruncate(fd, 4096) ? MAP_FAILED
				: mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return found(FAIL, "an executable mapping of a memfd: %s (vm.memfd_noexec, SELinux)", strerror(errno));
	munmap(p, 4096);
	return found(OK, "memfd_create, executable mappings");
}

static struct finding probe_max_maps(void)
{
	long n = proc_number("/proc/sys/vm/max_map_count");

	if (n < 0)
		return found(WARN, "cannot be read");
	if (n < (long)MIN_MAP_COUNT)
		return found(WARN, "%ld: the shadow will be flushed often (sysctl vm.max_map_count=65530)", n);
	return found(OK, "%ld", n);
}

static struct finding probe_min_addr(void)
{
	long n = proc_number("/proc/sys/vm/mmap_min_addr");

	if (n < 0)
		return found(WARN, "cannot be read");
	if (n > 65536)
		return found(WARN, "%ld: programs that map low memory will be slow there", n);
	return found(OK, "%ld: guest accesses below it are emulated", n);
}

static struct finding probe_tsc(void)
{
	u32 a, b, c, d;

	if (!__get_cpuid(0x80000007, &a, &b, &c, &d) || !(d & 1u << 8))
		return found(WARN, "not invariant: guest time will drift with the CPU's frequency");
	return found(OK, "invariant");
}

static struct finding probe_xsave(void)
{
	static const struct { unsigned bit; const char *name; } components[] = {
		{ 0, "x87" }, { 1, "SSE" }, { 2, "AVX" }, { 5, "AVX-512" }, { 9, "PKRU" }, { 17, "AMX" },
	};
	char list[100] = "";
	u32 a, b, c, d, lo, hi;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 27))
		return found(WARN, "no XSAVE: x87 and SSE state only");
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	for (size_t i = 0; i < ARRAY_SIZE(components); i++)
		if (lo >> components[i].bit & 1)
			snprintf(list + strlen(list), sizeof list - strlen(list), " %s", components[i].name);
	return found(OK, "components:%s", list);
}

static struct finding probe_bmi2(void)
{
	return cpu_flag("bmi2") ? found(OK, "available") : found(WARN, "the CPU lacks it: some sequences are slower");
}

static struct finding probe_vendor(void)
{
	u32 a, b, c, d;
	char name[13] = "";

	if (!__get_cpuid(0, &a, &b, &c, &d))
		return found(WARN, "unknown");
	memcpy(name, &b, 4);
	memcpy(name + 4, &d, 4);
	memcpy(name + 8, &c, 4);
	if (!strcmp(name, "GenuineIntel"))
		return found(OK, "%s: SYSENTER in a guest program would enter the host kernel; the vDSO is "
			     "patched, the rest is dispatched", name);
	return found(OK, "%s: SYSENTER in a guest program is an #UD, which is emulated", name);
}

static struct finding probe_seccomp(void)
{
	if (prctl(PR_GET_SECCOMP) < 0)
		return found(WARN, "not in this kernel: executors run unconfined");
	return found(OK, "available");
}

/* getpid by INT 80h: what a native 32-bit program would do. */
static int try_int80(void)
{
	long r = 20;

	__asm__ volatile("int $0x80" : "+a"(r) : : "memory", "r8", "r9", "r10", "r11");
	return r == getpid() ? 0 : 1;
}

static struct finding probe_ia32(void)
{
	if (in_child(try_int80) == 0)
		return found(OK, "32-bit programs run natively (for comparisons only; not needed)");
	return found(OK, "absent: no native comparisons; machines do not need it");
}

static struct finding probe_kvm(void)
{
	struct kvm_host h;
	bool works;

	kvm_host_probe(&h, true);
	works = h.verdict == KVM_USABLE;
	kvm_host_free(&h);
	return found(works ? OK : WARN, "%s", h.text);
}

static const struct probe {
	const char *name;
	struct finding (*find)(void);
	bool required;		/* a failure means that bt cannot run */
	const char *need;	/* what it is for */
} probes[] = {
	{ "64-bit Linux", probe_linux, true, "guest kernels become 64-bit code" },
	{ "FSGSBASE", probe_fsgsbase, true, "sets guest segment bases without the host kernel" },
	{ "compatibility mode", probe_compat, true, "guest programs run in it directly" },
	{ "modify_ldt", probe_ldt, true, "thread-local storage of guest programs" },
	{ "Syscall User Dispatch", probe_dispatch, true, "keeps guest system calls from the host kernel" },
	{ "memfd", probe_memfd, true, "guest RAM and the code cache" },
	{ "vm.mmap_min_addr", probe_min_addr, false, "the lowest guest page that can be mapped" },
	{ "vm.max_map_count", probe_max_maps, false, "budget of shadow mappings" },
	{ "TSC", probe_tsc, false, "the guest's clock" },
	{ "XSAVE", probe_xsave, false, "register state that guest programs may use" },
	{ "BMI2", probe_bmi2, false, "arithmetic that leaves the flags alone" },
	{ "CPU vendor", probe_vendor, false, "fast system calls" },
	{ "seccomp", probe_seccomp, false, "confines executors" },
	{ "IA32 emulation", probe_ia32, false, "native comparisons" },
	{ "KVM", probe_kvm, false, "hardware mode (--mode=hw)" },
};

int doctor_require_bt(char *err, size_t errlen)
{
	for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
		struct finding f;

		if (!probes[i].required)
			continue;
		f = probes[i].find();
		if (f.status == FAIL) {
			snprintf(err, errlen, "this host cannot run binary translation: %s: %s", probes[i].name, f.text);
			return -ENOTSUP;
		}
	}
	return 0;
}

int doctor(FILE *out)
{
	static const char *const words[] = { [OK] = "ok", [WARN] = "warn", [FAIL] = "FAIL" };
	unsigned failed = 0;

	for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
		struct finding f = probes[i].find();

		fprintf(out, "%-4s  %-22s %s\n", words[f.status], probes[i].name, f.text);
		if (f.status != OK)
			fprintf(out, "      %-22s needed for: %s\n", "", probes[i].need);
		failed += probes[i].required && f.status == FAIL;
	}
	if (failed)
		fprintf(out, "\nMachines cannot run here: %u requirement%s missing.\n", failed, failed > 1 ? "s" : "");
	else
		fprintf(out, "\nMachines run here under binary translation (--mode=bt)%s.\n",
			probe_kvm().status == OK ? ", and with hardware assist (--mode=hw)" : "");
	return failed ? 1 : 0;
}
