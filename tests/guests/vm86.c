/*
 * vm86: entry by IRET with VM set, 16-bit code under paging, exit by INT, exceptions and
 * interrupts with the nine-word frame, data segments nulled; IOPL-sensitive
 * instructions (#GP(0) with IOPL < 3, working with IOPL 3), I/O by the bitmap alone,
 * a monitor that emulates INT by reflecting it.  SDM vol. 3, ch. 20.
 */
#include "rt.h"

static struct state vstate(u16 cs, u16 ip)
{
	struct state s = ustate(0);
	s.eflags = FL_VM | FL_IF | 2;
	s.cs = cs;
	s.eip = ip;
	s.ss = 0x5000;
	s.esp = 0xfff0;
	s.ds = 0x4000;
	s.es = 0x4100;
	s.fs = 0x4200;
	s.gs = 0x4300;
	return s;
}
static void put(u32 at, const void *code, u32 n) { memcpy((void *)at, code, n); }
#define CODE(name, ...) static const u8 name[] = { __VA_ARGS__, 0xcd, 0x40 }
CODE(c_int, 0x90);
CODE(c_mem, 0xa1, 0x10, 0x00,		/* mov 0x10, %ax (ds) */
     0x26, 0x8b, 0x1e, 0x20, 0x00,	/* mov %es:0x20, %bx */
     0x64, 0x8b, 0x0e, 0x30, 0x00,	/* mov %fs:0x30, %cx */
     0x65, 0x8b, 0x16, 0x40, 0x00,	/* mov %gs:0x40, %dx */
     0x50, 0x8b, 0xec, 0x8b, 0x7e, 0x00,	/* push %ax; mov %sp,%bp; mov (%bp),%di */
     0x66, 0xa3, 0x50, 0x00);		/* mov %eax, 0x50 */
CODE(c_cli, 0xfa); CODE(c_sti, 0xfb); CODE(c_pushf, 0x9c, 0x58); CODE(c_popf, 0x9d); CODE(c_iret, 0xcf); CODE(c_int21, 0xb8, 0x34, 0x12, 0xcd, 0x21);
CODE(c_in, 0xe4, 0x21); CODE(c_hlt, 0xf4); CODE(c_ud, 0x0f, 0x0b); CODE(c_seg, 0xb8, 0x00, 0x45, 0x8e, 0xd8, 0x8b, 0x1e, 0x00, 0x00);
CODE(c_wrap, 0xbb, 0xff, 0xff, 0x8a, 0x07, 0xbe, 0x10, 0x00, 0xbb, 0xf8, 0xff, 0x8a, 0x20);	/* mov 0xffff,%al; mov (bx+si),%ah */
CODE(c_far, 0x9a, 0x00, 0x02, 0x00, 0x10, 0x89, 0xc3);	/* lcall 0x1000:0x200; mov %ax,%bx */
CODE(c_lgdt, 0x0f, 0x01, 0x16, 0, 0); CODE(c_cr, 0x0f, 0x20, 0xc0); CODE(c_rep, 0xfc, 0xb9, 0x20, 0, 0xbe, 0, 1, 0xbf, 0, 2, 0xf3, 0xa4);

/* A miniature VM86 monitor: reflects INT 0x21 through the table at 0. */
static u32 reflected;
static bool monitor(struct regs *r)
{
	if (!(r->eflags & FL_VM))
		return false;
	u8 *ip = (u8 *)((r->cs << 4) + (r->eip & 0xffff));
	if (ip[0] == 0xcd && ip[1] == 0x21) {
		u16 *sp;
		r->uesp = (r->uesp & ~0xffffu) | ((r->uesp - 6) & 0xffff);
		sp = (u16 *)((r->uss << 4) + (r->uesp & 0xffff));
		sp[0] = (u16)(r->eip + 2);
		sp[1] = (u16)r->cs;
		sp[2] = (u16)r->eflags;
		r->eip = *(volatile u16 *)(0x21 * 4);
		r->cs = *(volatile u16 *)(0x21 * 4 + 2);
		reflected++;
		return true;
	}
	if (ip[0] == 0xcf) {
		u16 *sp = (u16 *)((r->uss << 4) + (r->uesp & 0xffff));
		r->eip = sp[0];
		r->cs = sp[1];
		r->uesp += 6;
		return true;
	}
	return false;
}
static volatile u32 ticks;
static volatile u32 tick_vm;
static bool tick(struct regs *r)
{
	ticks++;
	if (r->eflags & FL_VM) {
		tick_vm++;
		if (ticks >= 3)
			*(volatile u8 *)0x40060 = 1;
	}
	pic_eoi(0);
	return true;
}

static void run(const u8 *code, u32 n, u32 iopl)
{
	put(0x10000, code, n);
	struct state s = vstate(0x1000, 0);
	s.eflags |= iopl << 12;
	trap_run(&s, &T);
}
#define RUN(c, iopl) run(c, sizeof(c), iopl)
#define VCHECK(v, err, ip) do { if (T.vector != (v) || T.error != (err) || T.s.eip != (ip) || !(T.s.eflags & FL_VM)) \
	fail("line %d: trap %x error %x eip %x flags %x, expected %x %x %x", __LINE__, T.vector, T.error, T.s.eip, T.s.eflags, v, err, ip); else CHECK(T.vector == (v)); } while (0)

int main(void)
{
	u32 *pd = pg_new();
	for (u32 a = 0; a < 0xa0000; a += 4096)
		*pg_pte(pd, a) |= PTE_U;
	pg_on(pd);
	volatile u16 *w = (volatile u16 *)0x40000;
	w[0x10 / 2] = 0x1111;
	*(volatile u16 *)0x41020 = 0x2222;
	*(volatile u16 *)0x42030 = 0x3333;
	*(volatile u16 *)0x43040 = 0x4444;

	group("entry and exit by INT");
	idt[T_DONE] |= 3ull << 45;
	RUN(c_int, 3);
	VCHECK(T_DONE, 0, 3);
	CHECK_EQ(T.s.cs, 0x1000);
	CHECK_EQ(T.s.ss, 0x5000);
	CHECK_EQ(T.s.esp, 0xfff0);
	CHECK_EQ(T.s.ds, 0x4000);
	CHECK_EQ(T.s.es, 0x4100);
	CHECK_EQ(T.s.fs, 0x4200);
	CHECK_EQ(T.s.gs, 0x4300);
	CHECK_EQ(T.frame, tss.esp0);

	group("memory through four segments and the stack");
	RUN(c_mem, 3);
	VCHECK(T_DONE, 0, sizeof(c_mem));
	CHECK_EQ(T.s.eax & 0xffff, 0x1111);
	CHECK_EQ(T.s.ebx & 0xffff, 0x2222);
	CHECK_EQ(T.s.ecx & 0xffff, 0x3333);
	CHECK_EQ(T.s.edx & 0xffff, 0x4444);
	CHECK_EQ(T.s.edi & 0xffff, 0x1111);
	CHECK_EQ(*(volatile u16 *)0x5ffee, 0x1111);
	RUN(c_seg, 3);
	CHECK_EQ(T.s.ds, 0x4500);
	RUN(c_rep, 3);
	VCHECK(T_DONE, 0, sizeof(c_rep));
	CHECK_EQ(T.s.edi & 0xffff, 0x220);
	put(0x10200, "\xb8\xa4\x0f\xcb", 4);	/* mov $0xfa4, %ax; lret */
	RUN(c_far, 3);
	CHECK_EQ(T.s.ebx & 0xffff, 0xfa4);

	group("wrap at 64 KiB");
	*(volatile u8 *)0x4ffff = 0xaa;
	*(volatile u8 *)0x40008 = 0xbb;
	RUN(c_wrap, 3);
	CHECK_EQ(T.s.eax & 0xffff, 0xbbaa);

	group("IOPL 0: #GP(0)");
	RUN(c_cli, 0);
	VCHECK(13, 0, 0);
	RUN(c_sti, 0);
	VCHECK(13, 0, 0);
	RUN(c_pushf, 0);
	VCHECK(13, 0, 0);
	RUN(c_popf, 0);
	VCHECK(13, 0, 0);
	RUN(c_iret, 0);
	VCHECK(13, 0, 0);
	RUN(c_int21, 0);
	VCHECK(13, 0, 3);
	CHECK_EQ(T.s.eax & 0xffff, 0x1234);

	group("always privileged");
	RUN(c_hlt, 3);
	VCHECK(13, 0, 0);
	RUN(c_lgdt, 3);
	VCHECK(13, 0, 0);
	RUN(c_cr, 3);
	VCHECK(13, 0, 0);
	RUN(c_ud, 3);
	VCHECK(6, 0, 0);

	group("IOPL 3");
	RUN(c_pushf, 3);
	VCHECK(T_DONE, 0, 4);
	CHECK_EQ(T.s.eax & 0x3200, 0x3200);
	RUN(c_cli, 3);
	VCHECK(T_DONE, 0, 3);
	CHECK_EQ(T.s.eflags & FL_IF, 0);
	RUN(c_int21, 3);			/* gate DPL 0 */
	VCHECK(13, 0x21 * 8 + 2, 3);

	group("I/O by the bitmap, whatever IOPL says");
	RUN(c_in, 3);
	VCHECK(13, 0, 0);
	tss_iomap[0x21 / 8] &= ~2;
	RUN(c_in, 0);
	CHECK_EQ(T.vector, 13);			/* from the INT $0x40 behind it, with IOPL 0 */
	CHECK_EQ(T.s.eip, 2);
	CHECK_EQ(T.s.eax & 0xff, inb(0x21));

	group("page faults");
	*pg_pte(pd, 0x40000) &= ~PTE_P;
	invlpg(0x40000);
	RUN(c_mem, 3);
	VCHECK(14, 4, 0);
	CHECK_EQ(T.cr2, 0x40010);
	*pg_pte(pd, 0x40000) |= PTE_P;

	group("a monitor reflecting INT 0x21");
	hooks[13] = monitor;
	put(0x20000, "\x05\x11\x11\xcf", 4);	/* add $0x1111, %ax; iret */
	u32 ivt = *(volatile u32 *)(0x21 * 4);
	*(volatile u32 *)(0x21 * 4) = 0x20000000;
	static const u8 c_refl[] = { 0xb8, 0x34, 0x12, 0xcd, 0x21, 0xcd, 0x21, 0x0f, 0x0b };
	run(c_refl, sizeof(c_refl), 0);
	VCHECK(6, 0, 7);
	CHECK_EQ(T.s.eax & 0xffff, 0x3456);
	CHECK_EQ(reflected, 2);
	*(volatile u32 *)(0x21 * 4) = ivt;
	hooks[13] = 0;

	group("interrupts in VM86 code");
	pic_init(0x20, 0x28);
	hooks[0x20] = tick;
	*(volatile u8 *)0x40060 = 0;
	static const u8 c_loop[] = { 0x80, 0x3e, 0x60, 0x00, 0x00, 0x74, 0xf9, 0x0f, 0x0b };	/* 1: cmpb $0, 0x60; je 1b; ud2 */
	pit_periodic(1000);
	pic_mask(0xfffe);
	run(c_loop, sizeof(c_loop), 0);
	pic_mask(0xffff);
	VCHECK(6, 0, 7);
	CHECK(tick_vm >= 1);
	return 0;
}
