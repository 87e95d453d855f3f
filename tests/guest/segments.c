#define _GNU_SOURCE
/*
 * Segments as programs use them: thread-local storage descriptors, local
 * descriptor tables, far transfers, 16-bit code, virtual-8086 mode, I/O ports.
 */
#include "check.h"

#include <asm/ldt.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>

enum { PAGE = 4096 };

static sigjmp_buf escape;
static u32 err, trapno;

static void jump(int sig, siginfo_t *si, void *uc)
{
	err = ((ucontext_t *)uc)->uc_mcontext.gregs[REG_ERR];
	trapno = ((ucontext_t *)uc)->uc_mcontext.gregs[REG_TRAPNO];
	siglongjmp(escape, sig);
}

/* The signal that an expression raises, or 0. */
#define SIGNAL_OF(expr) \
	({ \
		struct sigaction sa_ = { .sa_sigaction = jump, .sa_flags = SA_SIGINFO }; \
		sigaction(SIGSEGV, &sa_, NULL); \
		sigaction(SIGBUS, &sa_, NULL); \
		int sig_ = sigsetjmp(escape, 1); \
		if (sig_ == 0) { expr; } \
		sig_; \
	})

#define SELECTOR(name) \
	static u16 name(void) { u16 v; __asm__ volatile("mov %%" #name ", %0" : "=r"(v)); return v; }
SELECTOR(cs) SELECTOR(ds) SELECTOR(es) SELECTOR(ss) SELECTOR(fs) SELECTOR(gs)

static void set_fs(u32 sel)
{
	__asm__ volatile("mov %0, %%fs" :: "r"(sel) : "memory");
}

static u32 fs_word(u32 off)
{
	u32 v;

	__asm__ volatile("mov %%fs:(%1), %0" : "=r"(v) : "r"(off) : "memory");
	return v;
}

static void fs_store(u32 off, u32 v)
{
	__asm__ volatile("mov %0, %%fs:(%1)" :: "r"(v), "r"(off) : "memory");
}

/* What the program sees; a VMM may use substitutes for the kernel's selectors. */
TEST(selectors_seen)
{
	check_info("cs %04x ss %04x ds %04x es %04x fs %04x gs %04x", cs(), ss(), ds(), es(), fs(), gs());
	CHECK_EQ(cs() & 3, 3);
	CHECK_EQ(ss() & 3, 3);
	CHECK_EQ(ds(), es());
	if (check_in_guest() && (cs() != 0x73 || ss() != 0x7b))
		check_info("Linux i386 has cs 0073 ss 007b");
}

static volatile u32 frame_cs, frame_ss, frame_gs;

static void see_frame(int sig, siginfo_t *si, void *uc)
{
	greg_t *g = ((ucontext_t *)uc)->uc_mcontext.gregs;

	frame_cs = g[REG_CS] & 0xffff, frame_ss = g[REG_SS] & 0xffff, frame_gs = g[REG_GS] & 0xffff;
}

/* The selectors in a signal frame are the kernel's view: those must be its own. */
TEST(selectors_through_kernel)
{
	struct sigaction sa = { .sa_sigaction = see_frame, .sa_flags = SA_SIGINFO };

	SYS(sigaction(SIGUSR1, &sa, NULL));
	raise(SIGUSR1);
	check_info("signal frame: cs %04x ss %04x gs %04x", frame_cs, frame_ss, frame_gs);
	if (check_in_guest()) {
		CHECK_EQ(frame_cs, 0x73);
		CHECK_EQ(frame_ss, 0x7b);
	}
}

/* Constants of the i386 ABI that some programs carry in their code. */
TEST(hardcoded_selectors)
{
	static volatile u32 word = 4711;
	u32 v;

	if (!check_in_guest())
		check_skip("only with a 32-bit kernel");
	for (int i = 0; i < 20; i++) {
		__asm__ volatile("push %%es; mov %1, %%es; mov %%es:%2, %0; pop %%es" : "=r"(v) : "r"(0x7b), "m"(word));
		CHECK_EQ(v, 4711);
		__asm__ volatile("push %%ds; mov %1, %%ds; mov %2, %0; pop %%ds" : "=r"(v) : "r"(0x7b), "m"(word));
		CHECK_EQ(v, 4711);
		__asm__ volatile("mov %1, %%gs; mov %%gs:0, %0" : "=r"(v) : "r"(0x33));
		CHECK_EQ(v, *(u32 *)(uintptr_t)v);
	}
}

static long set_thread_area(struct user_desc *d)
{
	return syscall(SYS_set_thread_area, d);
}

static struct user_desc flat(int entry, void *base)
{
	return (struct user_desc){ .entry_number = entry, .base_addr = (uintptr_t)base, .limit = 0xfffff, .seg_32bit = 1,
				   .limit_in_pages = 1, .useable = 1 };
}

TEST(tls_entries)
{
	static u32 area[3][64];
	struct user_desc d[3];
	u32 seen[3];

	/* The C library has one of the three; the others are free. */
	for (int k = 0; k < 2; k++) {
		for (int i = 0; i < 64; i++)
			area[k][i] = k * 1000 + i;
		d[k] = flat(-1, area[k]);
		SYS(set_thread_area(&d[k]));
		seen[k] = d[k].entry_number;
	}
	d[2] = flat(-1, area[2]);
	CHECK(set_thread_area(&d[2]) == -1 && errno == ESRCH);
	check_info("entries %u and %u, the C library has gs %04x", seen[0], seen[1], gs());
	CHECK(seen[0] != seen[1] && seen[0] != gs() >> 3 && seen[1] != gs() >> 3);
	for (int round = 0; round < 50; round++) {
		for (int k = 0; k < 2; k++) {
			u32 v;

			set_fs(seen[k] << 3 | 3);
			CHECK_EQ(fs_word(4 * round), k * 1000 + round);
			fs_store(4 * round, k * 1000 + round);
			sched_yield();
			CHECK_EQ(fs_word(4 * round), k * 1000 + round);
			__asm__ volatile("push %%es; mov %1, %%es; mov %%es:(%2), %0; pop %%es"
					 : "=r"(v) : "r"(seen[k] << 3 | 3), "r"(4 * round));
			CHECK_EQ(v, k * 1000 + round);
		}
	}
	/* Negative offsets wrap around at 4 GiB. */
	d[0] = flat(seen[0], &area[0][32]);
	SYS(set_thread_area(&d[0]));
	set_fs(seen[0] << 3 | 3);
	CHECK_EQ(fs_word(-4), 31);
	CHECK_EQ(fs_word(-128), 0);
	struct user_desc got = { .entry_number = seen[0] };

	SYS(syscall(SYS_get_thread_area, &got));
	CHECK_EQ(got.base_addr, (uintptr_t)&area[0][32]);
	CHECK_EQ(got.limit, 0xfffff);
	/* A child inherits them. */
	int pid = SYS(fork());

	if (pid == 0) {
		CHECK_EQ(fs_word(-4), 31);
		_exit(0);
	}
	check_wait(pid, 0);
}

static void own_tls(int me)
{
	u32 area[16] = { me };
	struct user_desc d = flat(-1, area);

	SYS(set_thread_area(&d));
	set_fs(d.entry_number << 3 | 3);
	for (u32 i = 0; i < 300; i++) {
		CHECK_EQ(fs_word(0), me + i);
		fs_store(0, me + i + 1);
		if (i % 3 == 0)
			sched_yield();
		else if (i % 10 == 1)
			for (volatile int k = 0; k < 100000; k++)
				;
	}
}

TEST(tls_in_many_processes)
{
	int pids[6];

	for (int k = 0; k < 6; k++)
		pids[k] = check_fork(own_tls, k * 100000);
	for (int k = 0; k < 6; k++)
		check_wait(pids[k], 0);
}

TEST(tls_limit)
{
	static u32 area[64];
	struct user_desc d = flat(-1, area);

	d.limit = 99;
	d.limit_in_pages = 0;
	SYS(set_thread_area(&d));
	CHECK_EQ(SIGNAL_OF(set_fs(d.entry_number << 3 | 3); fs_word(96)), 0);
	CHECK_EQ(SIGNAL_OF(set_fs(d.entry_number << 3 | 3); fs_word(97)), SIGSEGV);
	CHECK_EQ(trapno, 13);
	CHECK_EQ(SIGNAL_OF(set_fs(d.entry_number << 3 | 3); fs_word(0x1000000)), SIGSEGV);
	/* An entry taken away: the selector cannot be loaded any more. */
	struct user_desc empty = { .entry_number = d.entry_number, .read_exec_only = 1, .seg_not_present = 1 };
	static u32 sel;

	sel = d.entry_number << 3 | 3;
	set_fs(0);
	SYS(set_thread_area(&empty));
	CHECK_EQ(SIGNAL_OF(set_fs(sel)), SIGSEGV);
	CHECK_EQ(err, sel & 0xfff8);
}

static void ldt_entry(int n, u32 base, u32 limit, int contents, int is32, int pages, int ro, int absent)
{
	struct user_desc d = { .entry_number = n, .base_addr = base, .limit = limit, .seg_32bit = is32, .contents = contents,
			       .read_exec_only = ro, .limit_in_pages = pages, .seg_not_present = absent, .useable = 1 };

	CHECK_MSG(syscall(SYS_modify_ldt, 0x11, &d, sizeof d) == 0, "modify_ldt: %s", strerror(errno));
}

static u32 ldt_sel(int n)
{
	return n << 3 | 7;
}

TEST(ldt_data)
{
	static u32 area[8][16];

	for (int n = 0; n < 8; n++) {
		area[n][3] = n + 50;
		ldt_entry(n * 5, (uintptr_t)area[n], sizeof area[n] - 1, 0, 1, 0, 0, 0);
	}
	for (int round = 0; round < 20; round++) {
		for (int n = 0; n < 8; n++) {
			set_fs(ldt_sel(n * 5));
			CHECK_EQ(fs_word(12), n + 50);
			sched_yield();
			CHECK_EQ(fs_word(12), n + 50);
		}
	}
	CHECK_EQ(SIGNAL_OF(set_fs(ldt_sel(5)); fs_word(61)), SIGSEGV);	/* the last byte is outside */
	CHECK_EQ(trapno, 13);
	/* Read-only, not present, and gone. */
	ldt_entry(1, (uintptr_t)area[0], 63, 0, 1, 0, 1, 0);
	CHECK_EQ(SIGNAL_OF(set_fs(ldt_sel(1)); fs_word(0)), 0);
	CHECK_EQ(SIGNAL_OF(set_fs(ldt_sel(1)); fs_store(0, 1)), SIGSEGV);
	ldt_entry(2, (uintptr_t)area[0], 63, 0, 1, 0, 0, 1);
	CHECK_EQ(SIGNAL_OF(set_fs(ldt_sel(2))), SIGBUS);
	CHECK_EQ(trapno, 11);
	CHECK_EQ(err, ldt_sel(2) & 0xfffc);
	CHECK_EQ(SIGNAL_OF(set_fs(ldt_sel(3))), SIGSEGV);
	CHECK_EQ(err, ldt_sel(3) & 0xfffc);
	/* The limit of an expand-down segment is its lower end. */
	ldt_entry(4, (uintptr_t)area[0], 31, 1, 1, 0, 0, 0);
	CHECK_EQ(SIGNAL_OF(set_fs(ldt_sel(4)); fs_word(32)), 0);
	CHECK_EQ(SIGNAL_OF(set_fs(ldt_sel(4)); fs_word(28)), SIGSEGV);
	set_fs(0);
}

static void own_ldt(int me)
{
	static u32 word;

	word = me;
	for (int i = 0; i < 30; i++) {
		ldt_entry(me % 7, (uintptr_t)&word - i * 4, 0xfffff, 0, 1, 1, 0, 0);
		set_fs(ldt_sel(me % 7));
		sched_yield();
		CHECK_EQ(fs_word(i * 4), me);
	}
}

TEST(ldt_per_process)
{
	static u32 mine = 4242;
	int pids[5];

	ldt_entry(3, (uintptr_t)&mine, 3, 0, 1, 0, 0, 0);
	set_fs(ldt_sel(3));
	for (int k = 0; k < 5; k++)
		pids[k] = check_fork(own_ldt, 10 + k);
	for (int k = 0; k < 5; k++)
		check_wait(pids[k], 0);
	CHECK_EQ(fs_word(0), 4242);
	int pid = SYS(fork());

	if (pid == 0) {			/* the table is inherited, then its own */
		CHECK_EQ(fs_word(0), 4242);
		ldt_entry(3, (uintptr_t)&mine + 4, 3, 0, 1, 0, 0, 0);
		_exit(0);
	}
	check_wait(pid, 0);
	CHECK_EQ(fs_word(0), 4242);
}

static u32 far_call(u32 sel, u32 off)
{
	struct __attribute__((packed)) { u32 off; u16 sel; } p = { off, sel };
	u32 v;

	__asm__ volatile("lcall *%1" : "=a"(v) : "m"(p) : "ecx", "edx", "memory", "cc");
	return v;
}

TEST(far_calls_within_flat)
{
	u8 *p = MAP(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static const u8 body[] = { 0xb8, 0x39, 0x30, 0, 0, 0xcb };	/* mov $12345, %eax; lret */

	memcpy(p, body, sizeof body);
	for (int i = 0; i < 200; i++)
		CHECK_EQ(far_call(cs(), (uintptr_t)p), 12345);
	/* iret to the program's own level, and a far jump. */
	u32 v = 0;

	__asm__ volatile("pushfl; push %%cs; push $1f; iret\n1: mov $7, %0" : "=r"(v) :: "memory", "cc");
	CHECK_EQ(v, 7);
	CHECK_EQ(SIGNAL_OF(far_call(0x0b, (uintptr_t)p)), SIGSEGV);
	CHECK_EQ(trapno, 13);
}

TEST(ldt_code)
{
	u8 *p = MAP(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* mov %cs, %eax; lret, and at 32: call next; next: pop %eax; lret */
	static const u8 get_cs[] = { 0x8c, 0xc8, 0xcb }, get_ip[] = { 0xe8, 0, 0, 0, 0, 0x58, 0xcb };
	/* mov $20, %eax; int $0x80; lret: a system call from another code segment */
	static const u8 call[] = { 0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xcb };

	memcpy(p, get_cs, sizeof get_cs);
	memcpy(p + 32, get_ip, sizeof get_ip);
	memcpy(p + 64, call, sizeof call);
	ldt_entry(9, (uintptr_t)p, PAGE - 1, 2, 1, 0, 0, 0);
	for (int i = 0; i < 50; i++) {
		CHECK_EQ(far_call(ldt_sel(9), 0), ldt_sel(9));
		CHECK_EQ(far_call(ldt_sel(9), 32), 37);		/* offsets count from the segment's base */
		CHECK_EQ(far_call(ldt_sel(9), 64), getpid());
	}
	CHECK_EQ(SIGNAL_OF(far_call(ldt_sel(9), PAGE + 5)), SIGSEGV);
}

TEST(ldt_code_16_bit)
{
	u8 *p = MAP(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* xor eax,eax; mov ax,0x1234; add ax,0x1111; push ax; pop cx; lretd (66 cb) */
	static const u8 code[] = { 0x66, 0x31, 0xc0, 0xb8, 0x34, 0x12, 0x05, 0x11, 0x11, 0x50, 0x59, 0x66, 0xcb };

	memcpy(p, code, sizeof code);
	ldt_entry(11, (uintptr_t)p, PAGE - 1, 2, 0, 0, 0, 0);
	for (int i = 0; i < 50; i++)
		CHECK_EQ(far_call(ldt_sel(11), 0), 0x2345);
}

/* A 16-bit stack segment: the upper half of esp must survive interrupts and system calls. */
TEST(stack_16_bit)
{
	static u8 stack[4096] __attribute__((aligned(4096)));
	u32 bad = 0;

	ldt_entry(12, (uintptr_t)stack, 0xfff, 0, 0, 0, 0, 0);
	for (int i = 0; i < 200; i++) {
		u32 esp_after, pid;

		__asm__ volatile(
			"mov %%esp, %%esi; mov %%ss, %%edi\n\t"
			"mov %3, %%ss; mov $0x77770800, %%esp\n\t"
			"mov $20, %%eax; int $0x80\n\t"
			"mov $2000, %%ecx; 1: dec %%ecx; jnz 1b\n\t"
			"mov %%esp, %%edx\n\t"
			"mov %%edi, %%ss; mov %%esi, %%esp"
			: "=&a"(pid), "=&d"(esp_after), "=m"(bad) : "b"(ldt_sel(12)) : "ecx", "esi", "edi", "memory", "cc");
		CHECK_EQ(pid, getpid());
		CHECK_EQ(esp_after & 0xffff, 0x0800);
		bad += esp_after != 0x77770800;
	}
	CHECK_EQ(bad, 0);
}

TEST(access_rights)
{
	u32 ar = 0, limit = 0, ok = 0;

	__asm__ volatile("mov %%ss, %%ecx; lar %%ecx, %0; setz %b1" : "=r"(ar), "+q"(ok) :: "ecx", "cc");
	CHECK_EQ(ok & 1, 1);
	CHECK_EQ(ar & 0xf000, 0xf000);		/* present, DPL 3, not system */
	__asm__ volatile("mov %%ss, %%ecx; lsl %%ecx, %0; setz %b1" : "=r"(limit), "+q"(ok) :: "ecx", "cc");
	CHECK_EQ(ok & 1, 1);
	CHECK_EQ(limit, 0xffffffff);
	__asm__ volatile("mov %%cs, %%ecx; verr %%cx; setz %b0" : "+q"(ok) :: "ecx", "cc");
	CHECK_EQ(ok & 1, 1);
	__asm__ volatile("mov %%cs, %%ecx; verw %%cx; setz %b0" : "+q"(ok) :: "ecx", "cc");
	CHECK_EQ(ok & 1, 0);
	__asm__ volatile("mov $0xfff8, %%ecx; lar %%ecx, %1; setz %b0" : "+q"(ok), "+r"(ar) :: "ecx", "cc");
	CHECK_EQ(ok & 1, 0);
}

TEST(io_ports)
{
	u32 sec;

	if (geteuid() != 0)
		check_skip("not root");
	CHECK_EQ(SIGNAL_OF(outb(0, 0x80)), SIGSEGV);
	CHECK_EQ(trapno, 13);
	if (ioperm(0x80, 1, 1) < 0)
		check_skip("no ioperm: %s", strerror(errno));
	CHECK_EQ(SIGNAL_OF(outb(0x55, 0x80)), 0);
	CHECK_EQ(SIGNAL_OF(outb(0x55, 0x81)), SIGSEGV);
	CHECK_EQ(SIGNAL_OF(outw(0x55, 0x80)), SIGSEGV);		/* its second port is not ours */
	for (int i = 0; i < 300; i++) {
		outb(i, 0x80);
		if (i % 50 == 0)
			sched_yield();
	}
	SYS(ioperm(0x80, 1, 0));
	CHECK_EQ(SIGNAL_OF(outb(0x55, 0x80)), SIGSEGV);
	if (!check_in_guest())
		return;
	SYS(ioperm(0x70, 2, 1));
	outb(0, 0x70);
	sec = inb(0x71);
	CHECK_MSG((sec & 15) <= 9 && sec >> 4 <= 5, "the clock chip says second 0x%x", sec);
	SYS(ioperm(0x70, 2, 0));
	SYS(iopl(3));
	CHECK_EQ(SIGNAL_OF(outb(0, 0x70); sec = inb(0x71)), 0);
	/* A string of port reads into memory. */
	static u8 buf[16];

	outb(0x0d, 0x70);
	void *to = buf;
	u32 n = 16;

	__asm__ volatile("rep insb" : "+D"(to), "+c"(n) : "d"(0x71) : "memory");
	CHECK_EQ(n, 0);
	CHECK_EQ((uintptr_t)to, (uintptr_t)buf + 16);
	SYS(iopl(0));
	CHECK_EQ(SIGNAL_OF(inb(0x71)), SIGSEGV);
}

/* Virtual-8086 mode, as DOS emulators use it. */
struct vm86_regs { long bx, cx, dx, si, di, bp, ax, null_ds, null_es, null_fs, null_gs, orig_ax, ip; u16 cs, cs_hi; long flags, sp;
		   u16 ss, ss_hi, es, es_hi, ds, ds_hi, fs, fs_hi, gs, gs_hi; };
struct vm86_state { struct vm86_regs regs; unsigned long flags, screen_bitmap, cpu_type; u8 int_revectored[32], int21_revectored[32]; };

TEST(vm86)
{
	/* mov ax,1234; mov bx,ds; inc cx; loop...; push ax; pop dx; pushf; pop si; cli; sti; int 60 */
	static const u8 code[] = { 0xb8, 0x34, 0x12, 0x8c, 0xdb, 0xb9, 100, 0, 0x83, 0xc7, 2, 0xe2, 0xfb, 0x50, 0x5a,
				   0xa3, 0x00, 0x01, 0xfa, 0xfb, 0xcd, 0x60 };
	static struct vm86_state s;
	u8 *mem;
	long r;

	mem = mmap((void *)0x20000, 0x20000, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (mem == MAP_FAILED)
		check_skip("0x20000 cannot be mapped");
	memcpy(mem, code, sizeof code);
	memset(s.int_revectored, 0xff, sizeof s.int_revectored);
	s.cpu_type = 5;
	for (int i = 0; i < 10; i++) {
		s.regs = (struct vm86_regs){ .ip = 0, .cs = 0x2000, .ss = 0x3000, .sp = 0x8000, .ds = 0x3000, .es = 0x3000,
					     .flags = 0x200 };
		r = syscall(166 /* vm86 */, 1 /* VM86_ENTER */, &s);
		if (r == -1 && (errno == ENOSYS || errno == EPERM))
			check_skip("the kernel has no vm86");
		CHECK_EQ(r & 0xff, 2);			/* VM86_INTx */
		CHECK_EQ(r >> 8, 0x60);
		CHECK_EQ(s.regs.ax & 0xffff, 0x1234);
		CHECK_EQ(s.regs.dx & 0xffff, 0x1234);
		CHECK_EQ(s.regs.bx & 0xffff, 0x3000);
		CHECK_EQ(s.regs.di & 0xffff, 200);
		CHECK_EQ(s.regs.ip & 0xffff, sizeof code);
		CHECK_EQ(*(u16 *)(mem + 0x10100), 0x1234);
	}
}
