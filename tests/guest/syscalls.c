#define _GNU_SOURCE
/*
 * System-call entry in every form a 32-bit program may use, and what it must
 * leave alone.
 */
#include "check.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sched.h>
#include <signal.h>
#include <setjmp.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>

u32 call_in[8], call_out[9], call_esp;

/* eax ebx ecx edx esi edi ebp, flags: in and out, around one instruction. */
#define AROUND(insn) \
	__asm__ volatile( \
		"pushal\n\tmov %%esp, call_esp\n\t" \
		"mov call_in, %%eax; mov call_in+4, %%ebx; mov call_in+8, %%ecx; mov call_in+12, %%edx\n\t" \
		"mov call_in+16, %%esi; mov call_in+20, %%edi; mov call_in+24, %%ebp\n\t" \
		"pushl call_in+28; popfl\n\t" \
		insn "\n\t" \
		"mov %%eax, call_out; mov %%ebx, call_out+4; mov %%ecx, call_out+8; mov %%edx, call_out+12\n\t" \
		"mov %%esi, call_out+16; mov %%edi, call_out+20; mov %%ebp, call_out+24; mov %%esp, call_out+28\n\t" \
		"pushfl; popl call_out+32; cld\n\tpopal" ::: "memory", "cc")

u32 call_vdso;

static void check_around(int how, const char *what)
{
	u32 s = 17, me = getpid();

	for (int i = 0; i < 3000; i++) {
		for (int k = 1; k < 7; k++)
			call_in[k] = check_rand(&s);
		call_in[0] = 20;
		call_in[7] = (i & 1 ? 0x8d5 : 0) | (i & 2 ? 0x400 : 0);
		switch (how) {
		case 0: AROUND("int $0x80"); break;
		case 1: AROUND("call *call_vdso"); break;
		case 2: AROUND("movl $20, %%eax; int $0x80"); break;
		case 3: AROUND("call *%%gs:0x10"); break;
		}
		CHECK_EQ(call_out[0], me);
		for (int k = 1; k < 7; k++)
			CHECK_MSG(call_out[k] == call_in[k], "%s changed register %d: 0x%x, not 0x%x", what, k, call_out[k], call_in[k]);
		CHECK_EQ(call_out[7], call_esp);
		/* The vDSO's own code changes arithmetic flags. */
		if (how == 0 || how == 2)
			CHECK_MSG((call_out[8] & 0xcd5) == call_in[7], "%s changed the flags: 0x%x, not 0x%x", what,
				  call_out[8] & 0xcd5, call_in[7]);
	}
}

TEST(int80_preserves)
{
	check_around(0, "int $0x80");
}

TEST(int80_hot_site_preserves)
{
	check_around(2, "mov; int $0x80");
}

TEST(vdso_preserves)
{
	call_vdso = getauxval(AT_SYSINFO);
	check_info("AT_SYSINFO 0x%x, AT_SYSINFO_EHDR 0x%lx, AT_HWCAP 0x%lx, AT_PLATFORM %s", call_vdso,
		   getauxval(AT_SYSINFO_EHDR), getauxval(AT_HWCAP), (char *)getauxval(AT_PLATFORM));
	if (!call_vdso)
		check_skip("no AT_SYSINFO");
	check_around(1, "the vDSO");
}

TEST(libc_entry_preserves)
{
#ifdef __GLIBC__
	check_around(3, "gs:0x10");
#endif
}

/* Six arguments, the last in ebp, which the fast entries pass on the stack. */
static long six(bool vdso, long nr, long a, long b, long c, long d, long e, long f)
{
	call_in[0] = nr, call_in[1] = a, call_in[2] = b, call_in[3] = c, call_in[4] = d, call_in[5] = e, call_in[6] = f;
	call_in[7] = 0;
	if (vdso)
		AROUND("call *call_vdso");
	else
		AROUND("int $0x80");
	CHECK_EQ(call_out[6], f);
	return (long)call_out[0];
}

TEST(six_arguments)
{
	int fd = SYS(memfd_create("six", 0));

	call_vdso = getauxval(AT_SYSINFO);
	SYS(ftruncate(fd, 8 * 4096));
	for (u32 i = 0; i < 8; i++)
		CHECK_EQ(pwrite(fd, &i, 4, i * 4096), 4);
	for (int i = 0; i < 400; i++) {
		u32 *p = (u32 *)six(i % 2 && call_vdso, SYS_mmap2, 0, 4096, PROT_READ, MAP_PRIVATE, fd, i % 8);

		CHECK((uintptr_t)p < (uintptr_t)-4095);
		CHECK_EQ(*p, i % 8);
		SYS(munmap(p, 4096));
	}
}

TEST(error_codes)
{
	call_vdso = getauxval(AT_SYSINFO);
	for (int v = 0; v < 2; v++) {
		if (v && !call_vdso)
			break;
		CHECK_EQ(six(v, 6 /* close */, -1, 0, 0, 0, 0, 0), -EBADF);
		CHECK_EQ(six(v, 9999, 1, 2, 3, 4, 5, 6), -ENOSYS);
		CHECK_EQ(six(v, -1, 1, 2, 3, 4, 5, 6), -ENOSYS);
		CHECK_EQ(six(v, 0x7fffffff, 1, 2, 3, 4, 5, 6), -ENOSYS);
		CHECK_EQ(six(v, 5 /* open */, 0x10, 0, 0, 0, 0, 0), -EFAULT);
		CHECK_EQ(six(v, 37 /* kill */, getpid(), 1000, 0, 0, 0, 0), -EINVAL);
	}
}

/* The vDSO that the kernel maps: an ELF image with the functions programs look up. */
TEST(vdso_image)
{
	const u8 *base = (const u8 *)getauxval(AT_SYSINFO_EHDR);
	const Elf32_Ehdr *eh = (const void *)base;
	const Elf32_Phdr *ph;
	const Elf32_Sym *sym = NULL;
	const char *str = NULL;
	u32 count = 0;
	bool clock = false, sigreturn = false;

	if (!base)
		check_skip("no vDSO");
	CHECK(memcmp(eh->e_ident, ELFMAG, 4) == 0);
	ph = (const void *)(base + eh->e_phoff);
	for (int i = 0; i < eh->e_phnum; i++)
		if (ph[i].p_type == PT_DYNAMIC)
			for (const Elf32_Dyn *d = (const void *)(base + ph[i].p_offset); d->d_tag; d++) {
				if (d->d_tag == DT_SYMTAB)
					sym = (const void *)(base + d->d_un.d_ptr);
				if (d->d_tag == DT_STRTAB)
					str = (const char *)base + d->d_un.d_ptr;
				if (d->d_tag == DT_HASH)
					count = ((const u32 *)(base + d->d_un.d_ptr))[1];
			}
	CHECK(sym && str && count > 3 && count < 100);
	for (u32 i = 1; i < count; i++) {
		clock |= strcmp(str + sym[i].st_name, "__vdso_clock_gettime") == 0;
		sigreturn |= strcmp(str + sym[i].st_name, "__kernel_sigreturn") == 0;
	}
	CHECK(clock && sigreturn);
}

static sigjmp_buf escape;

static void jump(int sig)
{
	siglongjmp(escape, sig);
}

/*
 * SYSENTER outside the vDSO: the kernel takes its arguments from the stack
 * that ebp points to and comes back inside the vDSO.  Only told, not asserted:
 * it depends on the CPU's maker.
 */
TEST(sysenter_seen)
{
	const u8 *vdso = (const u8 *)getauxval(AT_SYSINFO);
	int sig;

	if (!vdso)
		check_skip("no vDSO");
	for (int i = 0; i < 40; i++) {
		if (vdso[i] == 0x0f && vdso[i + 1] == 0x34)
			check_info("the vDSO uses sysenter");
		if (vdso[i] == 0x0f && vdso[i + 1] == 0x05)
			check_info("the vDSO uses syscall");
		if (vdso[i] == 0xcd && vdso[i + 1] == 0x80) {
			check_info("the vDSO has int $0x80 at +%d", i);
			break;
		}
	}
	signal(SIGILL, jump);
	signal(SIGSEGV, jump);
	sig = sigsetjmp(escape, 1);
	if (sig == 0) {
		/* What the vDSO does: ecx, edx and ebp are on the stack, which ebp points to. */
		u32 r;

		__asm__ volatile("push %%ebp; push %%ecx; push %%edx; push %%ebp\n\t"
				 "push $1f\n\t"		/* where the vDSO's landing pad returns to... */
				 "push %%ecx; push %%edx; push %%ebp; mov %%esp, %%ebp\n\t"
				 "sysenter\n"
				 "1: pop %%ebp; pop %%edx; pop %%ecx; pop %%ebp" : "=a"(r) : "a"(20) : "memory", "cc");
		check_info("sysenter in the program: %s", r == (u32)getpid() ? "works" : "a strange result");
	} else {
		check_info("sysenter in the program: %s", sig == SIGILL ? "SIGILL" : "SIGSEGV");
	}
}

TEST(hot_mixture)
{
	int zero = SYS(open("/dev/zero", O_RDONLY)), null = SYS(open("/dev/null", O_WRONLY));
	char buf[512];

	for (int i = 0; i < 4000; i++) {
		CHECK_EQ(syscall(SYS_getpid), getpid());
		CHECK_EQ(read(zero, buf, sizeof buf), sizeof buf);
		CHECK_EQ(buf[511], 0);
		buf[511] = 1;
		CHECK_EQ(write(null, buf, sizeof buf), sizeof buf);
		CHECK(lseek(zero, 0, SEEK_CUR) >= 0);
		if (i % 16 == 0)
			sched_yield();
	}
}

TEST(uname)
{
	struct utsname u;

	SYS(uname(&u));
	check_info("%s %s %s %s", u.sysname, u.release, u.version, u.machine);
	if (check_in_guest())
		CHECK(u.machine[0] == 'i' && strcmp(u.machine + 2, "86") == 0);
}
