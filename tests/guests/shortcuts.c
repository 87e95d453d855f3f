/*
 * shortcuts: what a translator may have learnt about kernel code, and must unlearn at
 * once: loads of segment registers whose descriptor, table, limit or page changes
 * after many equal ones; POPF's flags, and IF with an interrupt pending; calls and
 * returns that do not pair, change the mode, the stack or the code returned to;
 * indirect branches to thousands of targets; control registers read back;
 * system calls by Linux's vDSO sequence with every flag that a program can set.
 * SDM vol. 2 MOV, POP, POPF, CALL, RET; vol. 3, 5.4, 6.8.1.
 */
#include "rt.h"

#define A 0x90
#define B 0x98
#define OFTEN 60		/* loads before anything is learnt, with a margin */

SNIPPET(mov_ds, "", "mov %eax, %ds", "mov %ss:kds, %ds");
SNIPPET(mov_es, "", "mov %eax, %es", "");
SNIPPET(mov_fs, "mov $0x12345678, %ecx", "mov %eax, %fs", "mov %fs:0, %edx");
SNIPPET(mov_gs, "mov %gs:0, %ebx", "mov %eax, %gs", "mov %gs:0, %edx");
SNIPPET(mem_fs, "mov %ax, udata + 64", "mov udata + 64, %fs", "mov %fs:0, %edx");
SNIPPET(pop_fs, "push %eax", "pop %fs", "mov %fs:0, %edx");
SNIPPET(pop_es, "push %eax", "pop %es", "");
SNIPPET(null_fs, "mov %eax, %fs; mov %fs:0, %edx", "mov %ecx, %fs", "");
u16 kds = KDS;

static struct state s;

static void load(const u8 *code, const u8 *f, u32 sel, u32 vector, u32 error, int line)
{
	s = kstate(code);
	s.eax = sel;
	s.fs = s.gs = KDS;
	trap_run(&s, &T);
	trap_check_(&T, vector, error, vector == T_DONE ? T.s.eip : (u32)f, line);
}
#define LOAD(n, sel, v, err) load(n, n##_f, sel, v, err, __LINE__)

static void often(const u8 *code, u32 sel)
{
	for (u32 i = 0; i < OFTEN; i++)
		load(code, code, sel, T_DONE, 0, __LINE__);
}

static u8 access_of(u16 sel) { return ((volatile u8 *)gdt)[(sel & ~7) + 5]; }

/* Everything that may change about a descriptor that was loaded often, for one form of the load. */
static void one_form(const u8 *code, const u8 *f, bool reads)
{
	u32 a = (u32)udata, b = (u32)udata + 256;
	static u64 other[32];

	wr32(a, 0xaaaa0001);
	wr32(b, 0xbbbb0002);
	gdt_set(A, seg_desc(a, 0xfffff, 0x92, 0xc));
	gdt_set(B, seg_desc(b, 0xfffff, 0x92, 0xc));
	often(code, A);
	if (reads)
		CHECK_EQ(T.s.edx, 0xaaaa0001);
	gdt_set(A, seg_desc(b, 0xfffff, 0x92, 0xc));		/* another base, not accessed */
	load(code, f, A, T_DONE, 0, __LINE__);
	CHECK_EQ(access_of(A), 0x93);
	if (reads)
		CHECK_EQ(T.s.edx, 0xbbbb0002);
	gdt_set(A, seg_desc(a, 0xfffff, 0x92, 0xc));
	load(code, f, A, T_DONE, 0, __LINE__);
	CHECK_EQ(access_of(A), 0x93);
	gdt_set(A, seg_desc(a, 0xfffff, 0x13, 0xc));		/* not present */
	load(code, f, A, 11, A, __LINE__);
	if (f == mov_fs_f)
		CHECK_EQ(T.s.ecx, 0x12345678);
	gdt_set(A, seg_desc(a, 0xfffff, 0x99, 0xc));		/* execute-only code */
	load(code, f, A, 13, A, __LINE__);
	gdt_set(A, seg_desc(a, 0xff, 0x93, 0x4));		/* a limit: another class of segment */
	load(code, f, A, T_DONE, 0, __LINE__);
	if (reads)
		CHECK_EQ(T.s.edx, 0xaaaa0001);
	gdt_set(A, seg_desc(a, 2, 0x93, 0x4));			/* ... too short for what follows */
	if (reads && hw()) {		/* hw-only: TCG has no limits */
		s = kstate(code);
		s.eax = A;
		s.fs = s.gs = KDS;
		trap_run(&s, &T);
		CHECK_EQ(T.vector, 13);
		CHECK(T.s.eip > (u32)f);
	}
	gdt_set(A, seg_desc(a, 0xfffff, 0x93, 0xc));
	load(code, f, A, T_DONE, 0, __LINE__);
	load(code, f, A | 3, 13, A, __LINE__);			/* RPL beyond DPL */
	load(code, f, B, T_DONE, 0, __LINE__);
	if (reads)
		CHECK_EQ(T.s.edx, 0xbbbb0002);
	load_gdt((u32)gdt, A + 6);				/* past the limit */
	load(code, f, A, 13, A, __LINE__);
	memcpy(other, gdt, sizeof(other));
	other[A / 8] = seg_desc(b, 0xfffff, 0x93, 0xc);
	load_gdt((u32)other, sizeof(other) - 1);		/* another table */
	load(code, f, A, T_DONE, 0, __LINE__);
	if (reads)
		CHECK_EQ(T.s.edx, 0xbbbb0002);
	load_gdt((u32)gdt, sizeof(u64) * 32 - 1);
	load(code, f, A, T_DONE, 0, __LINE__);
	if (reads)
		CHECK_EQ(T.s.edx, 0xaaaa0001);
}

static void forms(void)
{
	group("a descriptor rewritten between two loads of it");
	one_form(mov_es, mov_es_f, false);
	one_form(pop_es, pop_es_f, false);
	one_form(mov_fs, mov_fs_f, true);
	one_form(mov_gs, mov_gs_f, true);
	one_form(mem_fs, mem_fs_f, true);
	one_form(pop_fs, pop_fs_f, true);
	gdt_set(A, seg_desc(0, 0xfffff, 0x92, 0xc));
	often(mov_ds, A);
	gdt_set(A, seg_desc(0, 0xfffff, 0x12, 0xc));
	LOAD(mov_ds, A, 11, A);
}

static void nulls(void)
{
	group("null and back, often");
	wr32((u32)udata, 0xaaaa0001);
	gdt_set(A, seg_desc((u32)udata, 0xfffff, 0x92, 0xc));
	for (u32 i = 0; i < 2 * OFTEN; i++) {
		s = kstate(null_fs);
		s.eax = A;
		s.ecx = i & 3;
		s.fs = i & 4 ? KDS : 0;
		trap_run(&s, &T);
		CHECK_EQ(T.vector, T_DONE);
		CHECK_EQ(T.s.edx, 0xaaaa0001);
		CHECK_EQ(T.s.fs, i & 3);
	}
	if (hw()) {			/* hw-only: TCG does not check null selectors on access */
		load(mov_fs, mov_fs_e, 0, 13, 0, __LINE__);
		CHECK_EQ(T.s.ecx, 0x12345678);
	}
}

/* A table across two pages, the selectors of the runtime in the first, A in the second, which goes away. */
static void absent(u32 *pd)
{
	u32 first = (u32)page_alloc(), second = (u32)page_alloc(), base = second - A;
	u32 *pte = pg_pte(pd, second), was = *pte;

	group("the descriptor's page is absent");
	CHECK_EQ(second, first + 4096);
	memcpy((void *)base, gdt, sizeof(gdt));
	wr32((u32)udata, 0xaaaa0001);
	*(u64 *)second = seg_desc((u32)udata, 0xfffff, 0x93, 0xc);
	load_gdt(base, sizeof(gdt) - 1);
	often(mov_fs, A);
	often(pop_fs, A);
	*pte = 0;
	invlpg(second);
	LOAD(mov_fs, A, 14, 0);
	CHECK_EQ(T.cr2, second);
	CHECK_EQ(T.s.ecx, 0x12345678);
	LOAD(pop_fs, A, 14, 0);
	CHECK_EQ(T.cr2, second);
	CHECK_EQ(T.s.esp, s.esp - 4);
	*pte = was;
	LOAD(mov_fs, A, T_DONE, 0);
	CHECK_EQ(T.s.edx, 0xaaaa0001);
}

/* ---- POPF ---- */

SNIPPET(popf_, "push %eax; push %ecx; popf", "popf", "pushf; pop %edx; cld");
SNIPPET(popf_nop, "push %eax", "popf", "nop; nop");
SNIPPET(popf_twice, "push %eax; push %ecx; popf; nop; popf", "nop", "cli");

#define ARITH 0xcd5u		/* CF PF AF ZF SF DF OF */
#define OTHERS (0x3000u | FL_NT | FL_AC | 0x200000u)

static void popf_flags(void)
{
	group("POPF, every arithmetic flag over every other");
	for (u32 i = 0; i < 128; i++) {
		u32 f = (i & 1) | (i >> 1 & 1) << 2 | (i >> 2 & 1) << 4 | (i >> 3 & 3) << 6 | (i >> 5 & 3) << 10;

		s = kstate(popf_);
		s.eax = f | 0xff00802a;		/* bits that do not exist */
		s.ecx = ~f & ARITH;
		trap_run(&s, &T);
		CHECK_EQ(T.vector, T_DONE);
		CHECK_EQ(T.s.edx, f | 2);
	}
	group("POPF of system flags");
	for (u32 i = 0; i < 64; i++) {
		u32 f = (i & 3) << 12 | (i >> 2 & 1) << 14 | (i >> 3 & 1) << 18 | (i >> 4 & 1) << 21 | (i >> 5 & 1);

		s = kstate(popf_);
		s.eax = f;
		s.ecx = ~f & OTHERS;
		trap_run(&s, &T);
		CHECK_EQ(T.vector, T_DONE);
		CHECK_EQ(T.s.edx, f | 2);
		CHECK_EQ(T.s.esp, s.esp);
	}
	for (u32 i = 0; i < 3; i++) {
		s = kstate(popf_nop);
		s.eax = FL_TF;
		trap_run(&s, &T);
		CHECK_TRAP(&T, 1, 0, popf_nop_e + 1);	/* after the instruction that follows */
	}
}

#define V0 0x20
static volatile u32 at, hits;

static bool irq(struct regs *r)
{
	if (!hits++)
		at = r->eip;
	pic_eoi(0);
	return true;
}

static void popf_if(void)
{
	group("POPF of IF with an interrupt pending");
	pic_init(V0, V0 + 8);
	pic_mask(0xfffe);
	hooks[V0] = irq;
	for (u32 i = 0; i < 40; i++) {
		hits = at = 0;
		pit_oneshot(10);
		CHECK_EQ(pic_requested(1), 1);
		s = kstate(popf_twice);
		s.eax = FL_IF | (i & 1);
		s.ecx = i & 1;			/* with IF clear nothing happens */
		trap_run(&s, &T);
		CHECK_EQ(T.vector, T_DONE);
		CHECK_EQ(hits, 1);
		CHECK_EQ(at, (u32)popf_twice_f);
	}
	pic_mask(0xffff);
}

/* ---- calls and returns ---- */

/* On a stack of its own, 32 MiB down. */
u32 deep(u32 n);
asm("deep: mov 4(%esp), %eax; push %ebx; mov %esp, %ebx; mov $0x1f00000, %esp; push %eax; call deeper; mov %ebx, %esp; pop %ebx; ret\n"
    "deeper: mov 4(%esp), %eax; test %eax, %eax; jz 1f; dec %eax; push %eax; call deeper; add $4, %esp; inc %eax; 1: ret");

/* The callee returns three bytes further on. */
u32 skewed(void);
asm("skewed: xor %eax, %eax; call 1f; or $1, %al; nop; or $2, %al; ret; 1: addl $3, (%esp); ret");

/* Two stacks that call into each other: returns never pair with the calls before them. */
u32 coroutines(u32 n);
asm("coroutines: push %ebx; push %esi; push %edi; mov 16(%esp), %ecx; mov $co_stack + 4096 - 4, %edi\n"
    "	movl $co_other, (%edi); xor %eax, %eax; xor %edx, %edx\n"
    "1:	call co_switch; add %edx, %eax; dec %ecx; jnz 1b; pop %edi; pop %esi; pop %ebx; ret\n"
    "co_switch: xchg %esp, %edi; ret\n"
    "co_other: inc %edx; call 2f; jmp co_other\n"
    "2:	call co_switch; ret");
u8 co_stack[4096];

/* The callee loads FS with a null selector: the code returned to has another mode than the call's. */
SNIPPET(ret_mode, "mov %eax, %fs; call load_ecx_fs", "mov %fs:0, %edx", "");
asm("load_ecx_fs: mov %ecx, %fs; ret");

/* The callee rewrites the instruction that it returns to: mov $imm32, %eax. */
u32 patched(u32 n);
asm("patched: mov 4(%esp), %eax; call 1f; .globl patch_site; patch_site: mov $0, %eax; ret\n"
    "1:	mov %eax, patch_site + 1; ret");

/* A thunk as compilers make them, and two that only look like one. */
u32 thunk_eax(u32 (*f)(void)), thunk_inc(u32 (*f)(void)), thunk_middle(u32 (*f)(void));
asm("thunk_eax: mov 4(%esp), %eax; call 9f; inc %eax; ret\n"
    "9:	call 1f; 2: pause; lfence; jmp 2b; 1: mov %eax, (%esp); ret\n"
    "thunk_inc: mov 4(%esp), %eax; call 9f; inc %eax; ret\n"
    "9:	call 1f; 2: pause; lfence; jmp 2b; 1: mov %eax, (%esp); 3: addl $0, (%esp); ret\n"
    "thunk_middle: mov 4(%esp), %eax; call 3f; inc %eax; ret\n"
    "9:	call 1f; 2: pause; lfence; jmp 2b; 1: mov %eax, (%esp); ret\n"
    "3:	push $0; jmp 1b\n");
static u32 forty(void) { return 40; }

/* The thunk stepped: every instruction of it is seen. */
SNIPPET(thunk_step, "pushf; orl $0x100, (%esp); mov $thunk_step_e, %eax; popf; nop",
	"call 1f; 2: pause; lfence; jmp 2b; 1: mov %eax, (%esp); ret", "nop; nop");
static u32 steps, step_eip[16];

static bool step(struct regs *r)
{
	if (steps < 16)
		step_eip[steps] = r->eip;
	if (++steps == 5)
		r->eflags &= ~FL_TF;
	return true;
}

static void calls(void)
{
	group("calls and returns");
	for (u32 i = 0; i < 4; i++)
		CHECK_EQ(deep(20000), 20000);		/* deeper than any ring of predictions */
	for (u32 i = 0; i < OFTEN; i++)
		CHECK_EQ(skewed(), 2);
	CHECK_EQ(coroutines(300), 300 * 301 / 2);
	for (u32 i = 0; i < OFTEN; i++)
		CHECK_EQ(patched(i), i);
	gdt_set(A, seg_desc((u32)udata, 0xfffff, 0x93, 0xc));
	wr32((u32)udata, 0xaaaa0001);
	for (u32 i = 0; i < OFTEN; i++) {
		s = kstate(ret_mode);
		s.eax = A;
		s.ecx = i % 7 == 6 ? 0 : A;
		trap_run(&s, &T);
		if (s.ecx || !hw())
			CHECK(T.vector == T_DONE && (!s.ecx || T.s.edx == 0xaaaa0001));
		else
			CHECK_TRAP(&T, 13, 0, ret_mode_f);
	}
	group("indirect thunks, and what looks like them");
	for (u32 i = 0; i < OFTEN; i++) {
		CHECK_EQ(thunk_eax(forty), 41);
		CHECK_EQ(thunk_inc(forty), 41);
		CHECK_EQ(thunk_middle(forty), 41);
	}
	hooks[1] = step;
	for (u32 i = 0; i < 3; i++) {
		steps = 0;
		s = kstate(thunk_step);
		trap_run(&s, &T);
		CHECK_EQ(T.vector, T_DONE);
		CHECK_EQ(steps, 5);
		CHECK_EQ(step_eip[0], (u32)thunk_step_f);	/* after the NOP that POPF shadows not */
		CHECK_EQ(step_eip[1], (u32)thunk_step_f + 5 + 7);	/* call */
		CHECK_EQ(step_eip[2], (u32)thunk_step_f + 5 + 7 + 3);	/* mov */
		CHECK_EQ(step_eip[3], (u32)thunk_step_e);		/* ret */
	}
	hooks[1] = NULL;
}

/* ---- indirect branches ---- */

/* add $1, %eax; ret, thousands of times and in places that agree in many bits. */
static void targets(void)
{
	u8 *area = (u8 *)0x1000000;		/* 16 MiB up, not page_alloc's */
	u32 n = 0, sum = 0;

	group("indirect calls to 6,000 targets");
	for (u32 i = 0; i < 6000; i++)
		memcpy(area + i * 64 + (i % 4096 ? 0 : 4), "\x83\xc0\x01\xc3", 4);
	for (u32 i = 0; i < 64; i++)
		memcpy(area + 0x80000 + i * 0x10000 + 0x20, "\x83\xc0\x01\xc3", 4);
	for (u32 round = 0; round < 3; round++) {
		for (u32 i = 0; i < 6000; i++, n++)
			asm volatile("call *%1" : "+a"(sum) : "r"(area + i * 64 + (i % 4096 ? 0 : 4)) : "memory");
		for (u32 i = 0; i < 64 * 8; i++, n++)
			asm volatile("call *%1" : "+a"(sum) : "r"(area + 0x80000 + i % 64 * 0x10000 + 0x20) : "memory");
	}
	CHECK_EQ(sum, n);
}

/* ---- the fast system call ---- */

USNIPPET(vdso, "push %ecx; push %edx; push %ebp; mov %esp, %ebp; sysenter; int $0x80", "pop %ebp", "pop %edx; pop %ecx; ret");
USNIPPET(u_call, "mov $30, %esi; mov $1f, %edi; 1: push %ebx; popf; call vdso; pushf; pop %eax; mov %eax, %edx; xor %ebx, %edx; or %edx, %ecx; dec %esi; jnz 1b",
	 "nop", "");
SNIPPET(vdso_kernel, "mov $co_stack + 4000, %esp; pushf; pop call_flags; mov call_flags + 4, %eax; lea 1(%eax), %eax; mov %eax, call_flags + 4; mov %ebp, %ecx; mov $vdso_f, %edx; sti", "sysexit", "");
volatile u32 call_flags[2];

static void system_calls(void)
{
	group("the vDSO's system call, with every flag of the program's");
	wrmsr(0x174, KCS);
	wrmsr(0x175, (u32)co_stack + 2000);
	wrmsr(0x176, (u32)vdso_kernel);
	for (u32 i = 0; i < 32; i++) {
		u32 f = (i & 1) | (i >> 1 & 1) << 10 | (i >> 2 & 1) << 14 | (i >> 3 & 1) << 18 | (i >> 4 & 1) << 21 | FL_IF | 2;

		call_flags[1] = 0;
		s = ustate(u_call);
		s.ebx = f;
		trap_run(&s, &T);
		CHECK_EQ(T.vector, T_DONE);
		CHECK_EQ(T.s.ecx, 0);			/* the flags after each call were those before */
		CHECK_EQ(T.s.esp, s.esp);
		CHECK_EQ(call_flags[0], f & ~FL_IF);
		CHECK_EQ(call_flags[1], 30);
	}
}

int main(void)
{
	u32 *pd = pg_new();

	pg_on(pd);
	forms();
	nulls();
	absent(pd);
	load_gdt((u32)gdt, sizeof(gdt) - 1);
	popf_flags();
	popf_if();
	calls();
	targets();
	system_calls();
	group("control registers read back");
	for (u32 i = 0; i < 40; i++) {
		wcr2(i * 0x1001);
		CHECK_EQ(rcr2(), i * 0x1001);
		CHECK_EQ(rcr3(), (u32)pd);
		wcr0(i & 1 ? rcr0() | CR0_TS : rcr0() & ~CR0_TS);
		CHECK_EQ(rcr0() & CR0_TS, i & 1 ? CR0_TS : 0);
		asm volatile("clts");
		CHECK_EQ(rcr0() & (CR0_TS | CR0_PG | CR0_PE), CR0_PG | CR0_PE);
		wcr4(i & 1 ? rcr4() | CR4_DE : rcr4() & ~CR4_DE);
		CHECK_EQ(rcr4() & CR4_DE, i & 1 ? CR4_DE : 0);
	}
	return 0;
}
