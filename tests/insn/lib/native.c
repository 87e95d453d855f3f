/*
 * insn-native IMAGE.elf [words…]: run an instruction-test image on this CPU, in
 * compatibility mode: the oracle.
 *
 * Maps the image's segments where they are linked (all below 4 GiB), makes LDT
 * entries for the segmented cases, enters 32-bit code with a far jump and gets
 * back the same way; faults become records by way of signals.
 * AMD APM vol. 2, 4.8 (compatibility mode); Linux modify_ldt(2).
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

struct header { char magic[16]; uint32_t start, case_fault, fault_info, args; };
struct args {
	uint32_t back_off, back_sel, cmdline, out, out_size, out_len;
	uint16_t flat, seg, seg_limit, code16, flat_cs, pad;
};

#define SCRATCH 0x1400000u
#define LOW 0x3000000u		/* trampoline, command line, saved stack pointer */
#define OUT 0x4000000u
#define OUT_SIZE (64u << 20)

static struct header *header;

static void on_fault(int sig, siginfo_t *si, void *ctx)
{
	(void)si;
	ucontext_t *u = ctx;
	greg_t *g = u->uc_mcontext.gregs;
	unsigned cs = g[REG_CSGSFS] & 0xffff;
	if (cs == 0x33 || (cs == 0x23 && g[REG_RIP] < 0x1000000)) {	/* not in a case: our own fault */
		static const char msg[] = "insn-native: fault outside a case\n";
		if (write(2, msg, sizeof(msg) - 1) < 0)
			_exit(4);
		_exit(3);
	}
	uint32_t *fi = (uint32_t *)(uintptr_t)header->fault_info;
	fi[0] = (uint32_t)g[REG_TRAPNO];
	fi[1] = (uint32_t)g[REG_ERR];
	fi[2] = (uint32_t)g[REG_RIP];
	fi[3] = (uint32_t)g[REG_CR2];
	g[REG_RIP] = header->case_fault;
	u->uc_mcontext.gregs[REG_CSGSFS] = (g[REG_CSGSFS] & ~0xffffull) | 0x23;	/* a 16-bit case, too */
	(void)sig;
}

static void fail(const char *what) { perror(what); exit(2); }

static unsigned short ldt_entry(unsigned n, uint32_t base, uint32_t limit, int pages, int bits32, int contents)
{
	struct user_desc d = { .entry_number = n, .base_addr = base, .limit = limit, .seg_32bit = bits32,
			       .contents = contents, .limit_in_pages = pages, .useable = 1 };
	if (syscall(SYS_modify_ldt, 1, &d, sizeof(d)))
		fail("modify_ldt");
	return (unsigned short)(n * 8 + 7);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: insn-native IMAGE.elf [words...]\n");
		return 2;
	}
	int fd = open(argv[1], O_RDONLY);
	struct stat st;
	if (fd < 0 || fstat(fd, &st))
		fail(argv[1]);
	uint8_t *f = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (f == MAP_FAILED)
		fail("mmap");
	Elf32_Ehdr *e = (void *)f;
	Elf32_Phdr *ph = (void *)(f + e->e_phoff);
	for (int i = 0; i < e->e_phnum; i++) {
		if (ph[i].p_type != PT_LOAD)
			continue;
		uintptr_t a = ph[i].p_vaddr & ~0xfffu, end = (ph[i].p_vaddr + ph[i].p_memsz + 0xfff) & ~0xfffu;
		if (mmap((void *)a, end - a, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (void *)a)
			fail("mmap image");
		memcpy((void *)(uintptr_t)ph[i].p_vaddr, f + ph[i].p_offset, ph[i].p_filesz);
	}
	for (uintptr_t a = 0x100000; a < 0x101000; a += 16)
		if (!memcmp((void *)a, "RINGERINSNTESTS1", 16))
			header = (void *)a;
	if (!header) {
		fprintf(stderr, "insn-native: %s is not an instruction-test image\n", argv[1]);
		return 2;
	}
	if (mprotect((void *)(uintptr_t)(SCRATCH + 0x3000), 4096, PROT_NONE) || mprotect((void *)(uintptr_t)(SCRATCH + 0x8000), 4096, PROT_NONE) ||
	    mprotect((void *)(uintptr_t)(SCRATCH + 0x5000), 4096, PROT_READ))
		fail("mprotect");
	uint8_t *low = mmap((void *)(uintptr_t)LOW, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	char *out = mmap((void *)(uintptr_t)OUT, OUT_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (low == MAP_FAILED || out == MAP_FAILED)
		fail("mmap low");

	char *cmd = (char *)low + 4096;
	cmd[0] = 0;
	for (int i = 2; i < argc; i++) {
		if (strlen(cmd) + strlen(argv[i]) > 4000)
			return 2;
		strcat(cmd, argv[i]);
		strcat(cmd, " ");
	}
	struct args *a = (void *)(uintptr_t)header->args;
	a->back_off = LOW;
	a->back_sel = 0x33;
	a->cmdline = LOW + 4096;
	a->out = OUT;
	a->out_size = OUT_SIZE;
	a->flat = 0x2b;
	a->flat_cs = 0x23;
	a->seg = ldt_entry(0, 0x81234567, 0xfffff, 1, 1, 0);
	a->seg_limit = ldt_entry(1, SCRATCH, 0x1fff, 0, 1, 0);
	a->code16 = ldt_entry(2, 0x1000000, 0xffff, 0, 0, 2);

	stack_t ss = { .ss_sp = malloc(1 << 16), .ss_size = 1 << 16 };
	sigaltstack(&ss, NULL);
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	int sigs[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
	for (unsigned i = 0; i < sizeof(sigs) / sizeof(*sigs); i++)
		sigaction(sigs[i], &sa, NULL);

	/* The way back, in 64-bit code at LOW: mov rsp,[LOW+0x100]; ret */
	static const uint8_t back[] = { 0x48, 0x8b, 0x24, 0x25, 0x00, 0x01, 0x00, 0x03, 0xc3 };
	memcpy(low, back, sizeof(back));
	struct { uint32_t off; uint16_t sel; } __attribute__((packed)) go = { header->start, 0x23 };
	unsigned long fsbase;
	syscall(SYS_arch_prctl, 0x1003, &fsbase);	/* ARCH_GET_FS */
	uint64_t *slot = (uint64_t *)(low + 0x100);
	__asm__ volatile(
		"push %%rbp; push %%rbx\n\t"
		"sub $128, %%rsp\n\t"
		"lea 1f(%%rip), %%rax; push %%rax\n\t"
		"mov %%rsp, (%0)\n\t"
		"mov $0x2b, %%eax; mov %%eax, %%ds; mov %%eax, %%es\n\t"
		"ljmp *(%1)\n"
		"1:\tadd $128, %%rsp\n\t"
		"xor %%eax, %%eax; mov %%eax, %%gs; mov %%eax, %%fs; cld\n\t"
		"pop %%rbx; pop %%rbp"
		: : "c"(slot), "d"(&go)
		: "rax", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
	long rc;
	__asm__ volatile("syscall" : "=a"(rc) : "a"(SYS_arch_prctl), "D"(0x1002), "S"(fsbase) : "rcx", "r11", "memory");	/* libc's TLS again */
	if (fwrite(out, 1, a->out_len, stdout) != a->out_len)
		return 2;
	return a->out_len == OUT_SIZE;
}
