/*
 * selectors: what MOV/POP to a segment register and LDS/LES/LFS/LGS/LSS check,
 * with exact error codes; null selectors; the Accessed bit; LDT descriptors;
 * hidden parts survive a change of the table; LAR LSL VERR VERW ARPL.
 * SDM vol. 3, 5.4–5.7; vol. 2 MOV, LAR, LSL, VERR, ARPL.
 */
#include "rt.h"

SNIPPET(mov_ds, "", "mov %eax, %ds", "mov %ss:kds, %ds");
SNIPPET(mov_es, "", "mov %eax, %es", "");
SNIPPET(mov_fs, "", "mov %eax, %fs", "");
SNIPPET(mov_ss, "", "mov %eax, %ss", "mov %ds:kds, %ss");
SNIPPET(pop_es, "push %eax", "pop %es", "");
SNIPPET(pop_ss, "push %eax", "pop %ss", "mov kds, %ss");
SNIPPET(les, "movl $0x11223344, udata; mov %ax, udata + 4", "les udata, %ecx", "");
SNIPPET(lss, "mov %esp, udata; mov %ax, udata + 4", "lss udata, %esp", "mov kds, %ss");
SNIPPET(ld_gs, "mov %eax, %gs", "mov %gs:0, %ecx", "");
SNIPPET(st_gs, "mov %eax, %gs", "mov %ecx, %gs:0", "");
USNIPPET(u_gs, "mov %eax, %gs", "mov %gs:0, %ecx", "");
USNIPPET(u_movgs, "", "mov %eax, %gs", "");
USNIPPET(u_movss, "", "mov %eax, %ss", "");
SNIPPET(lar, "", "lar %ecx, %eax", "pushf; pop %edx");
SNIPPET(lsl, "", "lsl %ecx, %eax", "pushf; pop %edx");
SNIPPET(verr, "", "verr %cx", "pushf; pop %edx");
SNIPPET(verw, "", "verw %cx", "pushf; pop %edx");
USNIPPET(u_verr, "", "verr %cx", "pushf; pop %edx");
SNIPPET(arpl, "", "arpl %cx, %ax", "pushf; pop %edx");
u16 kds = KDS;

#define A 0x90		/* the selector under test */
static struct state s;

static void try(const u8 *code, const u8 *f, const u8 *e, u32 sel, u32 vector, u32 error, int line)
{
	s = kstate(code);
	s.eax = sel;
	trap_run(&s, &T);
	trap_check_(&T, vector, error, vector == T_DONE ? T.s.eip : (u32)f, line);
	if (vector == T_DONE)
		CHECK(T.s.eip >= (u32)e);
}
#define TRY(n, sel, v, err) try(n, n##_f, n##_e, sel, v, err, __LINE__)
static u32 access_of(u16 sel) { return ((volatile u8 *)gdt)[(sel & ~7) + 5]; }
static u32 query(const u8 *code, u32 sel)
{
	s = kstate(code);
	s.ecx = sel;
	s.eax = 0xdddddddd;
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	return T.s.edx >> 6 & 1;
}

int main(void)
{
	static u64 ldt[4];
	pg_on(pg_new());

	asm volatile("lldt %w0" : : "r"(0));	/* at reset LDTR is valid, with limit 0xffff */
	group("null selectors");
	for (u32 n = 0; n < 4; n++) {
		TRY(mov_es, n, T_DONE, 0);
		CHECK_EQ(T.s.es, n);
		TRY(mov_fs, n, T_DONE, 0);
		TRY(mov_ss, n, 13, 0);
		TRY(lss, n, 13, 0);
	}
	if (hw()) {			/* hw-only: TCG checks neither null selectors nor the W and R bits on access */
		TRY(ld_gs, 0, 13, 0);
		TRY(st_gs, 3, 13, 0);
	}

	group("outside the tables");
	TRY(mov_es, 0x100, 13, 0x100);
	TRY(mov_ss, 0x100, 13, 0x100);
	TRY(pop_es, 0xfff8, 13, 0xfff8);
	TRY(pop_ss, 0x208, 13, 0x208);
	TRY(les, 0x100, 13, 0x100);
	TRY(mov_es, 0x0c, 13, 0x0c);		/* no LDT */
	load_gdt((u32)gdt, A + 7);
	gdt_set(A, seg_desc(0, 0xfffff, 0x92, 0xc));
	TRY(mov_es, A, T_DONE, 0);
	load_gdt((u32)gdt, A + 6);
	TRY(mov_es, A, 13, A);
	load_gdt((u32)gdt, sizeof(u64) * 32 - 1);

	group("types");
	TRY(mov_es, TSS_SEL, 13, TSS_SEL);
	gdt_set(A, seg_desc(0, 0xfffff, 0x98, 0xc));	/* execute-only code */
	TRY(mov_es, A, 13, A);
	TRY(mov_ss, A, 13, A);
	gdt_set(A, seg_desc(0, 0xfffff, 0x9a, 0xc));	/* readable code */
	TRY(ld_gs, A, T_DONE, 0);
	if (hw())
		TRY(st_gs, A, 13, 0);
	TRY(mov_ss, A, 13, A);
	gdt_set(A, seg_desc(0, 0xfffff, 0x90, 0xc));	/* read-only data */
	TRY(ld_gs, A, T_DONE, 0);
	if (hw())
		TRY(st_gs, A, 13, 0);
	TRY(mov_ss, A, 13, A);

	group("present");
	gdt_set(A, seg_desc(0, 0xfffff, 0x12, 0xc));
	TRY(mov_es, A, 11, A);
	TRY(mov_ds, A, 11, A);
	TRY(mov_ss, A, 12, A);			/* #SS */
	TRY(lss, A, 12, A);
	TRY(les, A, 11, A);
	CHECK_EQ(T.s.ecx, 0);			/* the register is loaded only if the selector is good */

	group("privilege");
	gdt_set(A, seg_desc(0, 0xfffff, 0xf2, 0xc));	/* DPL 3 */
	TRY(mov_es, A, T_DONE, 0);
	TRY(mov_es, A | 3, T_DONE, 0);
	TRY(mov_ss, A, 13, A);
	TRY(mov_ss, A | 3, 13, A);
	gdt_set(A, seg_desc(0, 0xfffff, 0x92, 0xc));	/* DPL 0 */
	TRY(mov_es, A | 3, 13, A);
	TRY(mov_ss, A | 1, 13, A);
	s = ustate(u_movgs);
	s.eax = A;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 13, A, u_movgs_f);
	s.eax = KDS;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 13, KDS, u_movgs_f);
	gdt_set(A, seg_desc(0, 0xfffff, 0x9e, 0xc));	/* conforming readable code: any privilege may read */
	TRY(mov_es, A | 3, T_DONE, 0);
	s = ustate(u_movgs);
	s.eax = A | 3;
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_movgs_e + 2);

	group("the Accessed bit");
	gdt_set(A, seg_desc(0, 0xfffff, 0x92, 0xc));
	TRY(mov_es, A, T_DONE, 0);
	CHECK_EQ(access_of(A), 0x93);
	gdt_set(A, seg_desc(0, 0xfffff, 0x12, 0xc));
	TRY(mov_es, A, 11, A);
	CHECK_EQ(access_of(A), 0x12);

	group("LES loads both");
	gdt_set(A, seg_desc(0, 0xfffff, 0x92, 0xc));
	TRY(les, A, T_DONE, 0);
	CHECK_EQ(T.s.ecx, 0x11223344);
	CHECK_EQ(T.s.es, A);
	TRY(lss, A, T_DONE, 0);

	group("LDT");
	ldt[1] = seg_desc((u32)udata, 0xfff, 0xf2, 0x4);
	gdt_set(LDT_SEL, seg_desc((u32)ldt, sizeof(ldt) - 1, 0x82, 0));
	asm volatile("lldt %w0" : : "r"(LDT_SEL));
	wr32((u32)udata, 0xfeedf00d);
	TRY(ld_gs, 0x0c, T_DONE, 0);
	CHECK_EQ(T.s.ecx, 0xfeedf00d);
	s = ustate(u_gs);
	s.eax = 0x0f;
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_gs_e + 2);
	CHECK_EQ(T.s.ecx, 0xfeedf00d);
	CHECK_EQ(T.s.gs, 0x0f);
	TRY(mov_es, 0x14, 13, 0x14);		/* an empty entry: type 0 is no data segment */
	TRY(mov_es, 0x24, 13, 0x24);		/* beyond */
	asm volatile("lldt %w0" : : "r"(0));
	TRY(mov_es, 0x0c, 13, 0x0c);
	s = kstate(mov_es);
	gdt_set(A, seg_desc((u32)ldt, sizeof(ldt) - 1, 0x02, 0));

	group("hidden parts outlive the table");
	gdt_set(A, seg_desc((u32)udata, 0xfff, 0x92, 0x4));
	asm volatile("mov %0, %%fs" : : "r"(A));
	gdt_set(A, seg_desc((u32)udata + 4, 0xfff, 0x92, 0x4));
	u32 v;
	wr32((u32)udata + 4, 0x0badcafe);
	asm volatile("mov %%fs:0, %0" : "=r"(v));
	CHECK_EQ(v, 0xfeedf00d);
	asm volatile("mov %1, %%fs; mov %%fs:0, %0" : "=&r"(v) : "r"(A));
	CHECK_EQ(v, 0x0badcafe);

	group("TLS: GS from the GDT at CPL 3, changed at every turn");
	for (u32 i = 0; i < 20; i++) {
		gdt_set(0x30, seg_desc((u32)udata + 8 * i, 0xfffff, 0xf2, 0xc));
		wr32((u32)udata + 8 * i, 0x1000 + i);
		s = ustate(u_gs);
		s.gs = 0x33;
		s.eax = 0x33;
		trap_run(&s, &T);
		CHECK_TRAP(&T, T_DONE, 0, u_gs_e + 2);
		CHECK_EQ(T.s.ecx, 0x1000 + i);
		CHECK_EQ(T.s.gs, 0x33);
	}

	group("LAR LSL VERR VERW ARPL");
	gdt_set(A, seg_desc(0, 0x12345, 0x92, 0xc));
	CHECK_EQ(query(lar, A), 1);
	CHECK_EQ(T.s.eax & 0xf0ff00, 0x00c09200);	/* bits 16-19 are undefined */
	CHECK_EQ(query(lsl, A), 1);
	CHECK_EQ(T.s.eax, 0x12345fff);
	gdt_set(A, seg_desc(0, 0x12345, 0x92, 0x4));
	CHECK_EQ(query(lsl, A), 1);
	CHECK_EQ(T.s.eax, 0x12345);
	CHECK_EQ(query(lsl, A | 3), 0);		/* RPL against DPL */
	CHECK_EQ(T.s.eax, 0xdddddddd);
	CHECK_EQ(query(lar, 0), 0);
	CHECK_EQ(query(lar, 0x100), 0);
	CHECK_EQ(query(lsl, TSS_SEL), 1);
	CHECK_EQ(query(verr, A), 1);
	CHECK_EQ(query(verw, A), 1);
	gdt_set(A, seg_desc(0, 0x12345, 0x90, 0x4));
	CHECK_EQ(query(verw, A), 0);
	gdt_set(A, seg_desc(0, 0x12345, 0x98, 0x4));
	CHECK_EQ(query(verr, A), 0);
	CHECK_EQ(query(lsl, A), 1);
	s = kstate(arpl);
	s.eax = 0x90, s.ecx = 3;
	trap_run(&s, &T);
	CHECK_EQ(T.s.eax, 0x93);
	CHECK_EQ(T.s.edx >> 6 & 1, 1);
	s.eax = 0x93, s.ecx = 1;
	trap_run(&s, &T);
	CHECK_EQ(T.s.eax, 0x93);
	CHECK_EQ(T.s.edx >> 6 & 1, 0);
	return 0;
}
