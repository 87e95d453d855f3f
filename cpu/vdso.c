/*
 * System calls without the host kernel.
 *
 * i386 Linux gives user code one function to enter the kernel by,
 * __kernel_vsyscall in the vDSO.  Since 3.x it is
 *
 *	51 52 55 89 e5 0f 34 cd 80	push %ecx; push %edx; push %ebp; mov %esp,%ebp; sysenter; int $0x80
 *
 * and before that, from 2.6 on,
 *
 *	51 52 55 89 e5 0f 34 90 90 90	the same, then NOPs; a restart jumps back to the MOV
 *
 * SYSENTER in user code would enter the host kernel (or raise #UD), at several
 * microseconds.  So the first time it is seen the page is copied, and in the copy
 * seven bytes become a far jump to the stub: to 64-bit mode, without any
 * trap.  A far jump names an absolute address, so one copy serves at
 * whatever address a process has its vDSO.  In the first form the jump replaces
 * everything up to the `int $0x80`, whose bytes stay where restarts look for
 * them, and the landing does the pushes; in the second it replaces the MOV, the
 * SYSENTER and three NOPs.
 *
 * The guest's own page is untouched: its kernel reads and checksums what it
 * wrote.  If it writes the page the copy is dropped.
 */
#include <linux/mman.h>
#include "base/log.h"
#include "base/sys.h"
#include "cpu/access.h"
#include "cpu/vdso.h"

#define PROT_READ_  1
#define PROT_EXEC_  4

#define ENTRY_LEN 10u
#define PATCH_LEN 7u	/* ljmp ptr16:32 */

static const u8 entry_int80[] = { 0x51, 0x52, 0x55, 0x89, 0xe5, 0x0f, 0x34, 0xcd, 0x80 };
static const u8 entry_nops[] = { 0x51, 0x52, 0x55, 0x89, 0xe5, 0x0f, 0x34, 0x90, 0x90, 0x90 };

/* Offsets in the stub page of the two 64-bit entries. */
#define STUB_WITH_PUSHES 0u
#define STUB_PLAIN       24u
#define STUB_INT80       512u
#define STUB_INT80_STEP  40u
#define STUB_INT80_MAX   8u

/*
 * jmp *target, the target's 8 bytes aligned: user code may have AC set.
 * Takes up to 22 bytes.
 */
static void put_jump(u8 *p, const u8 *target)
{
	u32 pad = -(u32)(u64)(p + 6) & 7;

	p[0] = 0xff;
	p[1] = 0x25;
	store32(p + 2, pad);
	store64(p + 6 + pad, (u64)target);
}

/* The decimal instructions, each followed by a far jump back to 64-bit mode. */
static const u8 bcd_opcodes[] = { 0x27, 0x2f, 0x37, 0x3f, 0xd4, 0xd5 };
#define STUB_BCD      64u
#define STUB_BCD_STEP 16u
#define STUB_BCD_BACK 48u

static void put_bcd(u8 *rw)
{
	for (unsigned i = 0; i < ARRAY_SIZE(bcd_opcodes); i++) {
		u8 *p = rw + STUB_BCD + i * STUB_BCD_STEP;

		*p++ = bcd_opcodes[i];
		if (bcd_opcodes[i] >= 0xd4)
			*p++ = 10;
		*p = 0xea;			/* ljmp $HOST_CS64:STUB_BCD_BACK */
		store32(p + 1, STUB_ADDRESS + STUB_BCD_BACK);
		store16(p + 5, HOST_CS64);
	}
	/* jmp *%r11 */
	__builtin_memcpy(rw + STUB_BCD_BACK, "\x41\xff\xe3", 3);
}

void vdso_init(struct exec *x)
{
	u8 *rw = x->user_pages;

	x->pool->patched.fd = x->user_fd;
	x->pool->patched.off = PAGE_SIZE;
	put_bcd(rw);
	put_jump(rw + STUB_WITH_PUSHES, exec_vsyscall_landing);
	put_jump(rw + STUB_PLAIN, exec_sysenter_landing);
}

int vdso_attach(struct exec *x, struct space *s)
{
	long r;

	r = sys_mmap((void *)(u64)STUB_ADDRESS, PAGE_SIZE, PROT_READ_ | PROT_EXEC_,
		     MAP_SHARED | MAP_FIXED, x->user_fd, 0);
	if (r < 0)
		return (int)r;
	s->shadow->stub_page = STUB_ADDRESS;
	s->shadow->patched = &x->pool->patched;
	return 0;
}

void direct_bcd(u32 opcode, u64 *rax, u64 *flags)
{
	struct { u32 offset; u16 selector; } __attribute__((packed)) to = { 0, HOST_CS32 };

	for (unsigned i = 0; i < ARRAY_SIZE(bcd_opcodes); i++)
		if (bcd_opcodes[i] == opcode)
			to.offset = STUB_ADDRESS + STUB_BCD + i * STUB_BCD_STEP;
	/* Compatibility mode may clear the upper half of RSP (AMD does): keep it in r10. */
	__asm__ volatile("mov %%rsp, %%r10\n"
			 "lea 1f(%%rip), %%r11\n"
			 "push %1\n"
			 "popfq\n"
			 "ljmp *%2\n"
			 "1:\n"
			 "mov %%r10, %%rsp\n"
			 "pushfq\n"
			 "pop %1\n"
			 "cld\n"
			 : "+a"(*rax), "+b"(*flags) : "m"(to) : "r10", "r11", "rcx", "rdx", "cc", "memory");
}

static bool starts_with(struct vcpu *v, lin_t lin, const u8 *want, unsigned n)
{
	u8 have[ENTRY_LEN];

	return mem_peek(v, lin, have, n) == n && __builtin_memcmp(have, want, n) == 0;
}

/*
 * `mov $n, %eax; int $0x80` in the vDSO is sigreturn and rt_sigreturn: never
 * restarted, so both instructions may go.  Each site gets a stub that loads
 * EAX and says where in the page the INT was.
 */
static void patch_int80_sites(struct exec *x, u8 *copy)
{
	u32 n = 0;

	for (u32 off = 0; off + 7 <= PAGE_SIZE && n < STUB_INT80_MAX; off++) {
		u8 *at = copy + off, *stub = x->user_pages + STUB_INT80 + n * STUB_INT80_STEP;

		if (at[0] != 0xb8 || at[5] != 0xcd || at[6] != 0x80)
			continue;
		stub[0] = 0xb8;				/* mov $n, %eax */
		store32(stub + 1, load32(at + 1));
		store16(stub + 5, 0xbb41);		/* mov $off, %r11d */
		store32(stub + 7, off + 5);
		put_jump(stub + 11, exec_int80_landing);
		at[0] = 0xea;				/* ljmp $HOST_CS64:stub */
		store32(at + 1, STUB_ADDRESS + STUB_INT80 + n * STUB_INT80_STEP);
		store16(at + 5, HOST_CS64);
		n++;
	}
}

/* Copy the page, put the jump at `lin`, and have the shadow show the copy. */
static void patch(struct exec *x, lin_t lin, u32 stub)
{
	struct vcpu *v = &x->v;
	u8 *copy = x->user_pages + PAGE_SIZE, *at = copy + (lin & PAGE_MASK);
	struct walk_result w;

	if ((lin & PAGE_MASK) > PAGE_SIZE - ENTRY_LEN || walk(&v->walk, lin, ACC_PEEK | ACC_USER, &w) ||
	    !phys_is_ram(v->phys, w.gpa) || w.page_size != PAGE_SIZE)
		return;
	vdso_forget(x);
	__builtin_memcpy(copy, v->phys->ram + (w.gpa & ~(gpa_t)PAGE_MASK), PAGE_SIZE);
	at[0] = 0xea;				/* ljmp $HOST_CS64:stub */
	store32(at + 1, STUB_ADDRESS + stub);
	store16(at + 5, HOST_CS64);
	x->vsyscall_offset = lin & PAGE_MASK;
	patch_int80_sites(x, copy);
	space_patch(x, lin, (u32)(w.gpa >> PAGE_SHIFT));
	trace(adapt, "vDSO at %08x patched (physical page %08x)", lin, (u32)w.gpa & ~PAGE_MASK);
}

void vdso_learn(struct exec *x)
{
	struct vcpu *v = &x->v;
	lin_t candidate[2] = { v->eip - 5, 0 };
	u32 sysinfo;

	if (x->no_user_patching || ++x->vdso_tries > 1000)
		return;
	/* Intel: the host kernel does not report where SYSENTER was; glibc's TCB has it at gs:0x10. */
	if (mem_peek(v, v->seg[SEG_GS].base + 0x10, &sysinfo, 4) == 4)
		candidate[1] = sysinfo;
	for (unsigned i = 0; i < 2; i++) {
		if (starts_with(v, candidate[i], entry_int80, sizeof(entry_int80))) {
			patch(x, candidate[i], STUB_WITH_PUSHES);
			return;
		}
		if (starts_with(v, candidate[i], entry_nops, sizeof(entry_nops))) {
			patch(x, candidate[i] + 3, STUB_PLAIN);
			return;
		}
	}
}

void vdso_forget(struct exec *x)
{
	if (x->pool->patched.gpage != PATCH_NONE)
		trace(adapt, "vDSO patch dropped");
	space_unpatch(x);
}

lin_t vdso_site(const struct exec *x, u32 stub_offset)
{
	const u8 *stub = x->user_pages + STUB_INT80;

	if (stub_offset >= STUB_INT80) {
		u32 n = (stub_offset - STUB_INT80) / STUB_INT80_STEP % STUB_INT80_MAX;
		return x->shadow->patch_lin + load32(stub + n * STUB_INT80_STEP + 7) - 5;	/* r11d: past the MOV */
	}
	return x->shadow->patch_lin + x->vsyscall_offset;
}

bool vdso_wants_original(const struct exec *x)
{
	const struct vcpu *v = &x->v;
	const u8 *copy = x->user_pages + PAGE_SIZE;
	u32 off = v->eip & PAGE_MASK;

	if (x->pool->patched.gpage == PATCH_NONE || (v->eip & ~PAGE_MASK) != x->shadow->patch_lin)
		return false;
	if (v->sysflags & EFLAGS_TF)
		return true;
	/* Past the first byte of a far jump to the stub? */
	for (u32 back = 1; back < PATCH_LEN && back <= off; back++)
		if (copy[off - back] == 0xea && off - back + PATCH_LEN <= PAGE_SIZE &&
		    load16(copy + off - back + 5) == HOST_CS64 &&
		    (load32(copy + off - back + 1) & ~PAGE_MASK) == STUB_ADDRESS)
			return true;
	return false;
}
