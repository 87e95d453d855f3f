/*
 * seg-limits: limit and type checks of data, stack and code segments at CPL 0: byte-granular and
 * page-granular, expand-down with B 0 and 1, accesses that straddle the limit, #SS against #GP,
 * a limited code segment, a 16-bit stack segment, bases that wrap at 4 GiB; paging on.
 * SDM vol. 3, 5.3, 5.4.  hw-only for the most part: TCG checks no limits.
 */
#include "rt.h"

#define A 0x90
#define FORM(name, insn) SNIPPET(k_##name, "mov %eax, %fs", insn, "")
FORM(ld1, "mov %fs:(%esi), %cl"); FORM(ld2, "mov %fs:(%esi), %cx"); FORM(ld4, "mov %fs:(%esi), %ecx"); FORM(st1, "mov %cl, %fs:(%esi)");
FORM(st4, "mov %ecx, %fs:(%esi)"); FORM(rmw, "incl %fs:(%esi)"); FORM(sse, "movups %fs:(%esi), %xmm0"); FORM(x87, "fldt %fs:(%esi); fninit");
FORM(push, "pushl %fs:(%esi)"); FORM(lods, "lodsl %fs:(%esi)"); FORM(cx8, "cmpxchg8b %fs:(%esi)");
SNIPPET(k_ds, "mov %eax, %ds", "mov (%esi), %ecx", "");
SNIPPET(k_dsrep, "mov %eax, %ds; mov $8, %ecx; mov $udata, %edi", "rep movsl", "");
SNIPPET(k_ss, "mov %eax, %ss", "mov %ss:(%esi), %ecx", "mov %ds:kds, %ss");
SNIPPET(k_ebp, "mov %eax, %ss; mov %esi, %ebp", "mov (%ebp), %ecx", "mov kds, %ss");
SNIPPET(code, "", "ljmp *fp", "");
SNIPPET(in_code, "nop; nop", "nop", "");
struct __attribute__((packed)) { u32 off; u16 sel; } fp;
u16 kds = KDS;
/* 16-bit stack: SP wraps, upper ESP kept; results in registers. */
SNIPPET(stack16, "mov %esp, %ebp; mov %eax, %ss; mov $0x12340004, %esp; push $0x1111; push $0x2222", "mov %esp, %ebx; pop %ecx; pop %edx; mov %esp, %esi", "mov kds, %ss; mov %ebp, %esp");
SNIPPET(wrap, "mov %eax, %fs", "mov %fs:(%esi), %ecx; mov %edx, %fs:4(%esi)", "");

static struct state s;
static void run(const u8 *c, u32 sel, u32 off)
{
	s = kstate(c);
	s.eax = sel;
	s.esi = off;
	s.edx = 0x5151;
	trap_run(&s, &T);
}
#define OK(n, off) do { run(k_##n, A, off); CHECK_EQ(T.vector, T_DONE); } while (0)
#define BAD(n, off, v) do { run(k_##n, A, off); CHECK_TRAP(&T, v, 0, k_##n##_f); } while (0)

int main(void)
{
	wcr4(rcr4() | CR4_OSFXSR);
	pg_on(pg_new());
	u32 base = 0x1200000;
	if (hw()) {
		group("byte granularity: limit 0xfff");
		gdt_set(A, seg_desc(base, 0xfff, 0x93, 0x4));
		OK(ld1, 0xfff);
		BAD(ld1, 0x1000, 13);
		OK(ld2, 0xffe);
		BAD(ld2, 0xfff, 13);
		OK(ld4, 0xffc);
		BAD(ld4, 0xffd, 13);
		BAD(ld4, 0xffffffff, 13);
		BAD(ld4, 0x80000000, 13);
		OK(st1, 0xfff);
		BAD(st1, 0x1000, 13);
		OK(st4, 0xffc);
		BAD(st4, 0xffe, 13);
		BAD(rmw, 0xffd, 13);
		OK(rmw, 0xffc);
		BAD(sse, 0xff1, 13);
		OK(sse, 0xff0);
		BAD(x87, 0xff7, 13);
		OK(x87, 0xff6);
		BAD(push, 0xffd, 13);
		OK(push, 0xffc);
		BAD(lods, 0xffd, 13);
		OK(lods, 0xffc);
		CHECK_EQ(T.s.esi, 0x1000);
		BAD(cx8, 0xff9, 13);
		OK(cx8, 0xff8);
		BAD(ds, 0x1000, 13);

		group("through SS: #SS(0)");
		/* The handler uses this stack, too: base 0, up to 2 MiB. */
		gdt_set(A, seg_desc(0, 0x1ff, 0x93, 0xc));
		OK(ss, 0x1ffffc);
		BAD(ss, 0x1ffffd, 12);
		BAD(ss, 0x200000, 12);
		BAD(ebp, 0x1ffffd, 12);
		OK(ebp, 0x1ffff8);
		gdt_set(A, seg_desc(base, 0xfff, 0x93, 0x4));

		group("a limit reached in the middle of REP MOVS");
		run(k_dsrep, A, 0xff0);
		CHECK_TRAP(&T, 13, 0, k_dsrep_f);
		CHECK_EQ(T.s.ecx, 4);
		CHECK_EQ(T.s.esi, 0x1000);

		group("page granularity: limit 1 means 8 KiB");
		gdt_set(A, seg_desc(base, 1, 0x93, 0xc));
		OK(ld4, 0x1ffc);
		BAD(ld4, 0x1ffd, 13);
		gdt_set(A, seg_desc(base, 0, 0x93, 0xc));
		OK(ld4, 0xffc);
		BAD(ld4, 0xffd, 13);
		gdt_set(A, seg_desc(base, 0, 0x93, 0x4));	/* one byte */
		OK(ld1, 0);
		BAD(ld2, 0, 13);

		group("expand-down");
		gdt_set(A, seg_desc(base, 0xfff, 0x97, 0x4));
		BAD(ld1, 0xfff, 13);
		BAD(ld4, 0, 13);
		OK(ld1, 0x1000);
		OK(ld4, 0x1000);
		OK(st4, 0x20000);
		gdt_set(A, seg_desc(base, 0xfff, 0x97, 0x0));	/* B = 0: up to 0xffff */
		OK(ld4, 0xfffc);
		BAD(ld4, 0xfffd, 13);
		BAD(ld1, 0x10000, 13);
		BAD(ld1, 0xfff, 13);

		group("types");
		gdt_set(A, seg_desc(base, 0xfffff, 0x91, 0xc));
		OK(ld4, 0);
		BAD(st4, 0, 13);
		BAD(rmw, 0, 13);
		gdt_set(A, seg_desc(0, 0xfffff, 0x9b, 0xc));
		OK(ld4, base);
		BAD(st1, base, 13);
		run(k_ld1, 0, 0);
		CHECK_TRAP(&T, 13, 0, k_ld1_f);

		group("a limited code segment");
		gdt_set(A, seg_desc((u32)in_code - 16, 16 + 1, 0x9b, 0x4));
		fp.sel = A;
		fp.off = 16;
		run(code, 0, 0);
		CHECK_TRAP(&T, 13, 0, 16 + 2);		/* the third NOP lies beyond */
		CHECK_EQ(T.s.cs, A);
		fp.off = 16 + 2;
		run(code, 0, 0);
		CHECK_TRAP(&T, 13, 0, code_f);		/* a target beyond the limit faults in the JMP */
	}

	group("16-bit stack segment");
	gdt_set(A, seg_desc(base, 0xffff, 0x93, 0x0));
	run(stack16, A, 0);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(T.s.ebx, 0x1234fffc);
	CHECK_EQ(T.s.ecx, 0x2222);
	CHECK_EQ(T.s.edx, 0x1111);
	CHECK_EQ(T.s.esi, 0x12340004);
	CHECK_EQ(rd32(base + 0xfffc), 0x2222);

	group("base + offset wraps at 4 GiB");
	gdt_set(A, seg_desc(0xfff00000, 0xfffff, 0x93, 0xc));
	wr32(base + 0x10, 0x77777777);
	run(wrap, A, base + 0x10 + 0x100000);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(T.s.ecx, 0x77777777);
	CHECK_EQ(rd32(base + 0x14), 0x5151);

	group("per-CPU data: many bases through one instruction");
	for (u32 i = 0; i < 20; i++) {
		gdt_set(A, seg_desc(base + 0x100 * i - 0xc0000000, 0xfffff, 0x93, 0xc));
		wr32(base + 0x100 * i, i);
		run(wrap, A, 0xc0000000);
		CHECK_EQ(T.s.ecx, i);
	}
	return 0;
}
