/*
 * steady: a machine that checks itself for some seconds, so that nothing is lost on the way from one engine to
 * another.  Round after round: registers, flags, x87, SSE and AVX through long loops at CPL 0 and 3; hidden parts of
 * segments whose descriptors are gone; control, debug and model-specific registers; PIT, RTC and local APIC
 * timer (periodic, one-shot, TSC deadline) against the TSC; interrupts pending behind IF and TPR, a level-triggered
 * one in service, NMIs blocked by an NMI, the shadow of STI, HLT; single steps; SYSENTER; an LDT; code and page
 * tables that change.  SDM vol. 3.
 * The command line may say seconds=N (default 5); a `q' on COM1 ends it earlier.  A line a second.
 * extras=N: so many one-shots may expire twice.  For whoever moves the machine out of KVM's chips: they do not tell one
 * that has been delivered from one that is about to be (vmm/kvm_chips.h).
 */
#include "rt.h"

#define IOAPIC 0xfec00000u
#define PIT_V 0x60
#define RTC_V 0x61
#define TIMER_V 0x64
#define IPI_V 0x65
#define SHADOW_V 0x66
#define COM_V 0x74
#define IPI2_V 0x75
#define ARITHMETIC 0x8d5u
#define FL_ID 0x200000u

/* The first round that fails is the last one. */
static bool bad;
static void holds(bool ok, const char *what, int line)
{
	bad |= !ok;
	check_(ok, what, "steady.c", line);
}
static void same(u32 a, u32 b, const char *what, int line)
{
	bad |= a != b;
	check_eq_(a, b, what, line);
}
#define HOLDS(c) holds(!!(c), #c, __LINE__)
#define SAME(a, b) same((u32)(a), (u32)(b), #a " == " #b, __LINE__)

static u32 seed = 1;
static u32 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

/*
 * TCG 7.2 checks no limits.  Its SVM (lab) forgets STI's shadow over an exit; leaves armed breakpoints in force outside of
 * the guest, which can crash QEMU; and does not intercept XSETBV, so that a guest which begins under KVM must leave AVX
 * alone (`avx' on the command line: it does not).
 */
static bool limits, lab, avx;
static void look_at_cpu(void)
{
	u32 r[4];
	limits = hw();
	lab = on_tcg() && !is_qemu();
	cpuid(1, 0, r);
	if ((r[2] >> 26 & 1) && (r[2] >> 28 & 1) && (!lab || has_word(cmdline, "avx"))) {
		wcr4(rcr4() | CR4_OSXSAVE);
		asm volatile("xsetbv" : : "a"(7), "d"(0), "c"(0));
		avx = true;
	}
	out("note: %s, %s\n", avx ? "with AVX" : "without AVX", limits ? "with limits" : "limits need not hold");
}

/* ---- time ---- */

static u64 tsc_start, tsc_last;
static u32 tsc_per_ms, turns_per_ms, lapic_per_ms, max_gap_ms;

static u32 divide(u64 n, u32 by)
{
	u32 q, r;
	asm("divl %4" : "=a"(q), "=d"(r) : "a"((u32)n), "d"((u32)(n >> 32)), "r"(by));
	return q;
}

/* Never backwards, in handlers or out of them. */
static u64 tsc(void)
{
	u32 fl = eflags();
	cli();
	u64 now = rdtsc();
	HOLDS(now >= tsc_last);
	if (tsc_per_ms && now - tsc_last > (u64)max_gap_ms * tsc_per_ms)
		max_gap_ms = divide(now - tsc_last, tsc_per_ms);
	tsc_last = now;
	if (fl & FL_IF)
		sti();
	return now;
}
static u32 ms_since(u64 t) { return divide(tsc() - t, tsc_per_ms); }

/* ---- long loops: no memory, no flags ---- */

#define SPIN "1: lea 3(%eax), %eax; bswap %ebx; lea -1(%ecx), %ecx; not %edx; xchg %esi, %edi; lea -5(%ebp), %ebp; jecxz 2f; jmp 1b\n2:"
SNIPPET(k_spin, SPIN, "nop", "");
USNIPPET(u_spin, SPIN, "nop", "");

static u32 turns(u32 ms) { return ((ms * turns_per_ms) | 1) + 1; }	/* an even number */

asm("spin_turns: push %ebp\n" SPIN "\npop %ebp; ret");

/* Without the runtime, where there may be no descriptor tables. */
static void spin(u32 ms)
{
	u32 n = turns(ms);
	tsc();
	asm volatile("call spin_turns" : "+c"(n) : : "eax", "ebx", "edx", "esi", "edi", "memory");
}

/* In the runtime, with everything compared. */
static void spin_state(const u8 *code, struct state s, u32 ms)
{
	s.eax = rnd(), s.ebx = rnd(), s.edx = rnd(), s.esi = rnd(), s.edi = rnd(), s.ebp = rnd();
	s.ecx = turns(ms);
	tsc();
	s.eflags = (s.eflags & FL_IF) | 2 | (rnd() & (ARITHMETIC | FL_DF | FL_ID | FL_AC));
	trap_run(&s, &T);
	SAME(T.vector, T_DONE);
	SAME(T.s.eax, s.eax + 3 * s.ecx);
	SAME(T.s.ebx, s.ebx);
	SAME(T.s.ecx, 0);
	SAME(T.s.edx, s.edx);
	SAME(T.s.esi, s.esi);
	SAME(T.s.edi, s.edi);
	SAME(T.s.ebp, s.ebp - 5 * s.ecx);
	SAME(T.s.esp, s.esp);
	SAME(T.s.eflags & ~FL_RF, s.eflags);
	SAME(T.s.cs, s.cs);
	SAME(T.s.ss, s.ss);
	SAME(T.s.ds, s.ds);
	SAME(T.s.es, s.es);
	SAME(T.s.fs, s.fs);
	SAME(T.s.gs, s.gs);
}
static void spin_user(u32 ms) { spin_state(u_spin, ustate(u_spin), ms); }
static void spin_kernel(u32 ms, bool interruptible)
{
	struct state s = kstate(k_spin);
	s.eflags = interruptible ? 2 | FL_IF : 2;
	spin_state(k_spin, s, ms);
}

static void registers(void)
{
	spin_user(15);
	spin_kernel(10, false);
	spin_kernel(10, true);
}

/* ---- x87, SSE, AVX ---- */

static struct {
	u16 cw, sw;
	u8 tags, zero;
	u16 opcode;
	u32 ip[2], dp[2], mxcsr, mask;
	u8 st[8][16], xmm[8][16], rest[224];
} fx_in __attribute__((aligned(64))), fx_out __attribute__((aligned(64)));
static u8 ymm_in[8][32], ymm_out[8][32];

#define YMM(insn) insn(0) insn(1) insn(2) insn(3) insn(4) insn(5) insn(6) insn(7)
#define LOAD(n) "vmovups 32*" #n "(%0), %%ymm" #n ";"
#define STORE(n) "vmovups %%ymm" #n ", 32*" #n "(%0);"

static void fpu_load(void)
{
	memset(&fx_in, 0, sizeof(fx_in));
	fx_in.cw = 0x7f | (rnd() & 0xf00);
	fx_in.sw = rnd() & 0x7f7f & ~0x80u;
	fx_in.tags = (u8)rnd();
	fx_in.mxcsr = 0x1f80 | (rnd() & 0xe03f);
	for (u32 i = 0; i < 8; i++) {
		for (u32 k = 0; k < 10; k++)
			fx_in.st[i][k] = (u8)rnd();
		fx_in.st[i][7] |= 0x80;
		fx_in.st[i][9] = 0x3f;
		for (u32 k = 0; k < 32; k++)
			ymm_in[i][k] = (u8)rnd();
		memcpy(fx_in.xmm[i], ymm_in[i], 16);
	}
	asm volatile("fxrstor %0" : : "m"(fx_in));
	if (avx)
		asm volatile(YMM(LOAD) : : "r"(ymm_in) : "memory");
}

static void fpu_check(void)
{
	asm volatile("fxsave %0" : "=m"(fx_out));
	SAME(fx_out.cw, fx_in.cw);
	SAME(fx_out.sw, fx_in.sw);
	SAME(fx_out.tags, fx_in.tags);
	SAME(fx_out.mxcsr, fx_in.mxcsr);
	for (u32 i = 0; i < 8; i++) {
		HOLDS(memcmp(fx_out.st[i], fx_in.st[i], 10) == 0);
		HOLDS(memcmp(fx_out.xmm[i], fx_in.xmm[i], 16) == 0);
	}
	if (avx) {
		u32 a, d;
		asm volatile(YMM(STORE) : : "r"(ymm_out) : "memory");
		HOLDS(memcmp(ymm_out, ymm_in, sizeof(ymm_in)) == 0);
		asm volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
		SAME(a, 7);
	}
}

static void fpu(void)
{
	fpu_load();
	spin_user(10);
	fpu_check();
	fpu_load();
	spin_kernel(10, rnd() & 1);
	fpu_check();
}

/* ---- segments and tables ---- */

#define A 0x90
#define B 0x98
#define LIMIT 0x122u			/* odd ones out: nothing that a table of today has */
static u64 ldt[2][4], gdt_copy[32], idt_copy[256];
static struct tss32 no_tss;
SNIPPET(k_beyond, "mov %eax, %fs; mov %fs:(%ebx), %dl", "mov %fs:1(%ebx), %dl", "");

static u32 fs_word(u32 off) { u32 v; asm volatile("mov %%fs:(%1), %0" : "=r"(v) : "r"(off)); return v; }
static u32 gs_word(u32 off) { u32 v; asm volatile("mov %%gs:(%1), %0" : "=r"(v) : "r"(off)); return v; }

static void segments(void)
{
	u32 *w = (u32 *)udata;
	struct __attribute__((packed)) { u16 limit; u32 base; } table;
	for (u32 i = 0; i < 512; i++)
		w[i] = rnd();
	gdt_set(A, seg_desc((u32)udata, LIMIT, 0x93, 0x4));
	gdt_set(B, seg_desc((u32)udata + 0x400, 0, 0x93, 0xc));
	ldt[0][1] = seg_desc((u32)udata + 0x100, 0xfff, 0x93, 0x4);
	ldt[1][1] = seg_desc((u32)udata + 0x200, 0xfff, 0x93, 0x4);
	gdt_set(LDT_SEL, seg_desc((u32)ldt[0], sizeof(ldt[0]) - 1, 0x82, 0));
	asm volatile("lldt %w0; mov %1, %%fs; mov %2, %%gs" : : "r"(LDT_SEL), "r"(A), "r"(B));

	/* No table at all for a while: what is loaded goes on working. */
	memcpy(gdt_copy, gdt, sizeof(gdt));
	memcpy(idt_copy, idt, sizeof(idt));
	memset(gdt, 0, sizeof(gdt));
	memset(idt, 0, sizeof(idt));
	spin(15);
	u32 f = fs_word(LIMIT - 3), g = gs_word(0xffc);
	memcpy(idt, idt_copy, sizeof(idt));
	memcpy(gdt, gdt_copy, sizeof(gdt));
	SAME(f, *(u32 *)(udata + LIMIT - 3));
	SAME(g, w[0x400 / 4 + 0xffc / 4]);

	/* Another base in the table: only for those who load it. */
	gdt_set(A, seg_desc((u32)udata + 4, LIMIT, 0x93, 0x4));
	gdt_set(LDT_SEL, seg_desc((u32)ldt[1], sizeof(ldt[1]) - 1, 0x82, 0));
	spin(10);
	SAME(fs_word(0), w[0]);
	asm volatile("mov %0, %%fs; mov %1, %%gs" : : "r"(A), "r"(0x0c));
	SAME(fs_word(0), w[1]);
	SAME(gs_word(0), w[0x100 / 4]);
	u16 sel;
	asm volatile("sldt %0" : "=m"(sel));
	SAME(sel, LDT_SEL);
	struct state s = kstate(k_beyond);
	s.eax = A, s.ebx = LIMIT;
	trap_run(&s, &T);
	if (limits || T.vector == 13)
		CHECK_TRAP(&T, 13, 0, k_beyond_f);
	if (T.vector == 13)
		SAME(T.s.edx & 0xff, udata[4 + LIMIT]);
	asm volatile("lldt %w0; mov %0, %%fs; mov %0, %%gs" : : "r"(0));

	/* The stack for traps from CPL 3 comes from the TSS that TR was loaded with. */
	u64 tss_desc = gdt[TSS_SEL / 8];
	gdt_set(TSS_SEL, seg_desc((u32)&no_tss, sizeof(no_tss) - 1, 0x8b, 0));
	spin_user(10);
	gdt_set(TSS_SEL, tss_desc);
	asm volatile("str %0" : "=m"(sel));
	SAME(sel, TSS_SEL);

	/* Tables elsewhere, shorter than usual. */
	load_gdt((u32)gdt_copy, A - 1);
	load_idt((u32)idt_copy, sizeof(idt) - 1 - 8 * 5);
	spin_user(5);
	asm volatile("sgdt %0" : "=m"(table));
	SAME(table.base, (u32)gdt_copy);
	SAME(table.limit, A - 1);
	asm volatile("sidt %0" : "=m"(table));
	SAME(table.base, (u32)idt_copy);
	SAME(table.limit, sizeof(idt) - 1 - 8 * 5);
	load_idt((u32)idt, sizeof(idt) - 1);
	runtime_gdt();
}

/* User code in segments of an LDT, and a limit that ends it. */
USNIPPET(u_local, SPIN " mov %gs:0x11f, %eax", "mov %gs:0x120, %eax", "");
static void local_segments(void)
{
	ldt[0][1] = seg_desc(0, 0xfffff, 0xfb, 0xc);
	ldt[0][2] = seg_desc(0, 0xfffff, 0xf3, 0xc);
	ldt[0][3] = seg_desc((u32)udata + 8, LIMIT, 0xf3, 0x4);
	gdt_set(LDT_SEL, seg_desc((u32)ldt[0], sizeof(ldt[0]) - 1, 0x82, 0));
	asm volatile("lldt %w0" : : "r"(LDT_SEL));
	struct state s = ustate(u_spin);
	s.cs = 0x0f, s.ss = s.ds = s.es = 0x17, s.gs = 0x1f;
	spin_state(u_spin, s, 5);
	s.eip = (u32)u_local;
	s.ecx = turns(5);
	trap_run(&s, &T);
	if (limits || T.vector == 13)
		CHECK_TRAP(&T, 13, 0, u_local_f);
	if (T.vector == 13)
		SAME(T.s.eax, *(u32 *)(udata + 8 + 0x11f));
	asm volatile("lldt %w0" : : "r"(0));
}

/* ---- registers of the system ---- */

static u32 rdr6(void) { u32 v; asm volatile("mov %%dr6, %0" : "=r"(v)); return v; }
static u32 rdr7(void) { u32 v; asm volatile("mov %%dr7, %0" : "=r"(v)); return v; }

static void system_registers(void)
{
	static const struct { u32 n; u64 v; } msrs[] = {
		{ 0x174, KCS }, { 0x175, 0xdead1000 }, { 0x176, 0xbeef2000 }, { 0x277, 0x0007010600070106ull },
		{ 0x200, 0x80000006 }, { 0x201, 0xf80000800ull },
	};
	u64 was[ARRAY_SIZE(msrs)];
	u32 cr0 = rcr0(), cr4 = rcr4(), cr3 = rcr3(), d[4], v;
	for (u32 i = 0; i < ARRAY_SIZE(msrs); i++) {
		was[i] = rdmsr(msrs[i].n);
		wrmsr(msrs[i].n, msrs[i].v);
	}
	u64 apic_base = rdmsr(0x1b), efer = rdmsr(0xc0000080);
	wcr0(cr0 ^ CR0_AM);
	wcr4(cr4 | CR4_DE | CR4_PGE);
	for (u32 i = 0; i < 4; i++)
		d[i] = (u32)no_tss.cr3 + 0x1234560 + (rnd() & 0xfff0);
	asm volatile("mov %0, %%dr0; mov %1, %%dr1; mov %2, %%dr2; mov %3, %%dr3" : : "r"(d[0]), "r"(d[1]), "r"(d[2]), "r"(d[3]));
	u32 dr7 = lab ? 0xdddd0700 : 0xdddd0755;	/* armed, on memory that nobody writes */
	asm volatile("mov %0, %%dr6; mov %1, %%dr7" : : "r"(0xffff4ff5), "r"(dr7));
	wcr2(0xc0ffee00);
	spin_kernel(10, false);
	spin_user(10);
	SAME(rcr2(), 0xc0ffee00);
	SAME(rdr6(), 0xffff4ff5);
	SAME(rdr7(), dr7);
	asm volatile("mov %0, %%dr7" : : "r"(0x400));
#define DR(i) asm volatile("mov %%dr" #i ", %0" : "=r"(v)); SAME(v, d[i])
	DR(0); DR(1); DR(2); DR(3);
	SAME(rcr0(), cr0 ^ CR0_AM);
	SAME(rcr3(), cr3);
	SAME(rcr4(), cr4 | CR4_DE | CR4_PGE);
	HOLDS(rdmsr(0x1b) == apic_base && rdmsr(0xc0000080) == efer);
	wcr0(cr0);
	wcr4(cr4);
	for (u32 i = 0; i < ARRAY_SIZE(msrs); i++) {
		HOLDS(rdmsr(msrs[i].n) == msrs[i].v);
		wrmsr(msrs[i].n, was[i]);
	}
}

/* ---- interrupts ---- */

static volatile u32 pit, rtc, timer, ipi, ipi2, com, nmi, shadow, shadow_wrong, order, reload, remote, in_service;
static u64 deadline_step;
static u32 io_rd(u32 r) { wr32(IOAPIC, r); return rd32(IOAPIC + 0x10); }
static void io_wr(u32 r, u32 v) { wr32(IOAPIC, r); wr32(IOAPIC + 0x10, v); }
static void redirect(u32 pin, u32 low) { io_wr(0x10 + 2 * pin + 1, (lapic_rd(0x20) >> 24) << 24); io_wr(0x10 + 2 * pin, low); }
static void self(u32 v) { lapic_wr(0x300, 0x00040000 | v); }
static u32 bit_of(u32 base, u32 v) { return lapic_rd(base + 0x10 * (v / 32)) >> (v & 31) & 1; }
static u8 cmos(u8 r) { outb(0x70, r); return inb(0x71); }
static void cmos_wr(u8 r, u8 v) { outb(0x70, r); outb(0x71, v); }
static void eoi(void) { lapic_wr(0xb0, 0); }

static bool on_pit(struct regs *r) { pit++; order = order << 8 | PIT_V; tsc(); eoi(); return true; }
static bool on_pic(struct regs *r) { pit++; tsc(); pic_eoi(0); return true; }
static bool on_rtc(struct regs *r) { rtc++; cmos(0x0c); eoi(); return true; }
static bool on_ipi(struct regs *r) { ipi++; order = order << 8 | IPI_V; eoi(); return true; }
static bool on_ipi2(struct regs *r) { ipi2++; order = order << 8 | IPI2_V; eoi(); return true; }
static bool on_timer(struct regs *r)
{
	timer++;
	u64 now = tsc();
	if (reload)
		lapic_wr(0x380, reload);
	if (deadline_step)
		wrmsr(0x6e0, now + deadline_step);
	eoi();
	return true;
}
extern const u8 shadow_end[];
static bool on_shadow(struct regs *r)
{
	shadow++;
	shadow_wrong += r->eip != (u32)shadow_end;
	eoi();
	return true;
}
/* A level-triggered interrupt stays in service through a long loop; the first time its source goes on asking. */
static bool on_com(struct regs *r)
{
	com++;
	spin(8);
	remote += io_rd(0x10 + 2 * 4) >> 14 & 1;
	in_service += bit_of(0x100, COM_V);
	if (com > 1)
		inb(0x3fa);
	eoi();
	return true;
}
/* Another NMI has to wait for the IRET of this one. */
static bool on_nmi(struct regs *r)
{
	u32 n = ++nmi;
	if (n == 1) {
		lapic_wr(0x300, 0x00040400);
		spin(10);
		SAME(nmi, n);
	}
	return true;
}

enum lapic_mode { PERIODIC, ONE_SHOT, DEADLINE, BY_PIC, MODES };

/* As many as make clear that it runs; a machine that is short of time itself loses some. */
static bool enough(u32 count, u32 ms, u32 hz) { return count >= 3 && count >= ms * hz / 1000 / 10; }
static void expect(const char *name, u32 count, u32 ms, u32 hz)
{
	u32 due = ms * hz / 1000;
	bool ok = enough(count, ms, hz) && count <= due + due / 4 + 3;
	if (!ok)
		fail("%s: %u interrupts in %u ms, expected %u", name, count, ms, due);
	bad |= !ok;
}

/* All timers at once, while the CPU computes, and while it sleeps. */
static void timers(enum lapic_mode mode)
{
	u32 r[4];
	cpuid(1, 0, r);
	if (mode == DEADLINE && !(r[2] >> 24 & 1))
		return;
	pit = rtc = timer = 0;
	reload = mode == ONE_SHOT ? lapic_per_ms * 10 : 0;
	deadline_step = mode == DEADLINE ? tsc_per_ms * 10 : 0;
	if (mode == BY_PIC) {		/* the 8259 by LINT0, and no local timer */
		lapic_wr(0x350, 0x700);
		pic_mask(0xfffe);
	} else {
		redirect(2, PIT_V);
	}
	redirect(8, RTC_V);
	cmos_wr(0x0a, 0x2a);		/* 64 Hz */
	cmos(0x0c);
	u64 t = tsc();			/* before the first of them runs: missed interrupts may be made up for */
	cmos_wr(0x0b, cmos(0x0b) | 0x40);
	pit_periodic(100);
	if (mode == PERIODIC || mode == ONE_SHOT) {
		lapic_wr(0x320, TIMER_V | (mode == PERIODIC ? 0x20000 : 0));
		lapic_wr(0x380, lapic_per_ms * 10);
	} else if (mode == DEADLINE) {
		lapic_wr(0x320, TIMER_V | 0x40000);
		wrmsr(0x6e0, t + deadline_step);
	}
	for (u32 i = 0; i < 6; i++) {
		spin_user(15);
		if (mode == PERIODIC || mode == ONE_SHOT)
			HOLDS(lapic_rd(0x390) <= lapic_per_ms * 10);
		spin_kernel(10, true);
		for (u32 k = 0; k < 2; k++)
			asm volatile("sti; hlt; cli");
	}
	/* More time for those that must have come. */
	u32 ms;
	do {
		asm volatile("sti; nop; nop; cli");
		ms = ms_since(t);
	} while (!(enough(pit, ms, 100) && enough(rtc, ms, 64) && (mode == BY_PIC || enough(timer, ms, 100))) && ms < 6000);
	expect("PIT", pit, ms, 100);
	expect("RTC", rtc, ms, 64);
	if (mode == BY_PIC)
		SAME(timer, 0);
	else
		expect(mode == PERIODIC ? "LAPIC timer, periodic" : mode == ONE_SHOT ? "LAPIC timer, one-shot" : "LAPIC timer, TSC deadline", timer, ms, 100);
	reload = 0;
	if (mode == DEADLINE)
		wrmsr(0x6e0, 0);
	deadline_step = 0;
	lapic_wr(0x380, 0);
	lapic_wr(0x320, 0x10000);
	cmos_wr(0x0b, cmos(0x0b) & ~0x40);
	cmos(0x0c);
	redirect(2, 0x10000);
	lapic_wr(0x350, 0x10000);
	pic_mask(0xffff);
	pit_oneshot(1);
	spin(1);
	asm volatile("sti; nop; nop; cli");	/* what came meanwhile */
	redirect(8, 0x10000);
}

static u32 extras, extras_allowed;

static void sleeps(void)
{
	lapic_wr(0x320, TIMER_V);
	for (u32 i = 0; i < 15; i++) {
		timer = 0;
		lapic_wr(0x380, lapic_per_ms);
		for (u32 k = 0; !k || lapic_rd(0x390); k++) {
			asm volatile("sti; hlt; cli");
			HOLDS(timer > k);
		}
		extras += timer - 1;
	}
	lapic_wr(0x320, 0x10000);
	asm volatile("sti; nop; nop; cli");	/* the last one, if it was an extra one that came instead */
	HOLDS(extras <= extras_allowed);
}

/* Three interrupts wait, for IF and for the task priority; then they come, once, the highest first. */
static void pending(void)
{
	for (u32 by_tpr = 0; by_tpr < 2; by_tpr++) {
		ipi = ipi2 = pit = order = 0;
		redirect(2, PIT_V);
		if (by_tpr)
			lapic_wr(0x80, 0x90);
		self(IPI_V);
		self(IPI2_V);
		pit_oneshot(100);
		spin_kernel(10, by_tpr);
		for (u64 t = tsc(); !bit_of(0x200, PIT_V) && ms_since(t) < 5000;)
			;
		SAME(ipi + ipi2 + pit, 0);
		SAME(bit_of(0x200, IPI_V) + bit_of(0x200, IPI2_V) + bit_of(0x200, PIT_V), 3);
		if (by_tpr) {
			SAME(lapic_rd(0x80), 0x90);
			lapic_wr(0x80, 0);
		}
		asm volatile("sti; nop; nop; nop; nop; cli");
		SAME(order, IPI2_V << 16 | IPI_V << 8 | PIT_V);
		SAME(bit_of(0x200, IPI_V) + bit_of(0x200, IPI2_V) + bit_of(0x200, PIT_V), 0);
	}
	redirect(2, 0x10000);
}

static void level(void)
{
	com = remote = in_service = 0;
	while (!(inb(0x3fd) & 0x40))	/* the transmitter is idle */
		;
	inb(0x3fa);
	outb(0x3fc, 0x0b);
	redirect(4, COM_V | 0x8000);
	outb(0x3f9, 2);			/* the holding register is empty: at once */
	for (u64 t = tsc(); com < 2 && ms_since(t) < 5000;)
		asm volatile("sti; nop; nop; cli");
	asm volatile("sti; nop; nop; cli");
	SAME(com, 2);
	SAME(remote, 2);
	SAME(in_service, 2);
	SAME(io_rd(0x10 + 2 * 4) & 0x4000, 0);
	SAME(bit_of(0x100, COM_V), 0);
	outb(0x3f9, 0);
	redirect(4, 0x10000);
}

static void nmis(void)
{
	nmi = 0;
	lapic_wr(0x300, 0x00040400);
	spin(2);
	SAME(nmi, 2);
}

SNIPPET(k_shadow, "1: movl $0x00040066, 0xfee00300; sti; inc %eax\nshadow_end: nop; cli; dec %ecx; jnz 1b", "nop", "");
static void shadows(void)
{
	struct state s = kstate(k_shadow);
	s.ecx = 300;
	shadow = shadow_wrong = 0;
	trap_run(&s, &T);
	SAME(T.vector, T_DONE);
	SAME(T.s.eax, 300);
	SAME(shadow, 300);
	if (!lab)
		SAME(shadow_wrong, 0);
}

/* ---- traps, system calls ---- */

static volatile u32 steps;
static bool on_step(struct regs *r)
{
	steps += rdr6() >> 14 & 1;
	asm volatile("mov %0, %%dr6" : : "r"(0xffff0ff0));
	return true;
}
USNIPPET(u_steps, "mov $50, %ecx\n1: lea 3(%eax), %eax; dec %ecx; jnz 1b", "nop", "");
static void single_steps(void)
{
	struct state s = ustate(u_steps);
	s.eflags |= FL_TF;
	steps = 0;
	trap_run(&s, &T);
	SAME(T.vector, T_DONE);
	SAME(T.s.eax, 150);
	SAME(steps, 1 + 50 * 3 + 1);
}

/* As in Linux's vDSO, on a page of its own, found by gs:0x10: the form that Ringer knows on every host (docs/caveats.md). */
asm(".pushsection .utext, \"ax\", @progbits; .balign 4096\n"
    "u_vsyscall: push %ecx; push %edx; push %ebp; mov %esp, %ebp; sysenter; int $0x80\n"
    "u_landing: pop %ebp; pop %edx; pop %ecx; ret; .balign 4096; .popsection");
USNIPPET(u_calls, "1: mov %esi, %eax; call *%gs:0x10; add %eax, %edi; dec %esi; jnz 1b", "nop", "");
SNIPPET(k_entry, "mov $kstack_snip + 4000, %esp; lea 1(%eax,%eax), %eax; mov %ebp, %ecx; mov $u_landing, %edx; sti; sysexit", "nop", "");
extern const u8 u_vsyscall[];
static void system_calls(void)
{
	static u32 tcb[8] UDATA;
	u32 r[4];
	cpuid(1, 0, r);
	if (!(r[3] >> 11 & 1))
		return;
	tcb[4] = (u32)u_vsyscall;
	gdt_set(0x30, seg_desc((u32)tcb, 0xfffff, 0xf3, 0xc));
	wrmsr(0x174, KCS);
	wrmsr(0x175, (u32)kstack_snip + 4000);
	wrmsr(0x176, (u32)k_entry);
	struct state s = ustate(u_calls);
	s.gs = 0x33;
	s.esi = 200;
	s.ecx = 0x11, s.edx = 0x22, s.ebp = 0x33;
	trap_run(&s, &T);
	SAME(T.vector, T_DONE);
	SAME(T.s.edi, 200 * 201 + 200);
	SAME(T.s.ecx, 0x11);
	SAME(T.s.edx, 0x22);
	SAME(T.s.ebp, 0x33);
	SAME(T.s.esp, s.esp);
}

/* ---- code and memory ---- */

static u8 code[16][64] __attribute__((aligned(4096)));
static u32 results[16];
static void patch(u32 i)
{
	u8 *p = code[i];
	u32 a = rnd(), b = rnd();
	p[0] = 0xb8, p[5] = 0x05, p[10] = 0xc3;		/* mov $a, %eax; add $b, %eax; ret */
	memcpy(p + 1, &a, 4);
	memcpy(p + 6, &b, 4);
	results[i] = a + b;
}
static void changing_code(void)
{
	for (u32 i = 0; i < 16; i++) {
		SAME(((u32 (*)(void))code[i])(), results[i]);
		if (rnd() & 1)
			patch(i);
		SAME(((u32 (*)(void))code[i])(), results[i]);
	}
	for (u32 i = 0; i < 4; i++)
		patch(rnd() & 15);		/* to be run after whatever comes now */
}

/* Two address spaces with the same addresses; pages that come by faults, and go by INVLPG. */
#define VA 0x30000000u
#define PAGES 24u
static u32 *pd[2], *page[2][PAGES], faults, space;
static bool on_fault(struct regs *r)
{
	u32 k = (rcr2() - VA) >> 12;
	if (rcr2() < VA || k >= PAGES)
		return false;
	faults++;
	pg_map(pd[space], rcr2() & ~0xfffu, (u32)page[space][k], PTE_P | PTE_W | PTE_U);
	return true;
}
USNIPPET(u_walk, "", "1: incl (%esi); add $4096, %esi; dec %ecx; jnz 1b", "");
static u32 walks[2];
static void paging(void)
{
	for (space = 0; space < 2; space++) {
		wcr3((u32)pd[space]);
		faults = 0;
		struct state s = ustate(u_walk);
		s.esi = VA, s.ecx = PAGES;
		trap_run(&s, &T);
		SAME(T.vector, T_DONE);
		SAME(faults, PAGES);
		walks[space]++;
		spin_user(3);
		for (u32 k = 0; k < PAGES; k++) {
			SAME(rd32(VA + 4096 * k), walks[space] + 1000 * space);
			SAME(*pg_pte(pd[space], VA + 4096 * k) & 0x67, 0x67);	/* accessed and dirty */
			pg_map(pd[space], VA + 4096 * k, 0, 0);
			invlpg(VA + 4096 * k);
		}
	}
	wcr3((u32)pd[0]);
}

/* Strings with an end known beforehand. */
static void strings(void)
{
	static u32 a[4096], b[4096];
	u32 c = 4096, v = rnd(), rest, *p = a, *q = a, *r = b;
	asm volatile("rep stosl" : "+D"(p), "+c"(c) : "a"(v) : "memory");
	a[3000] ^= 1;
	c = 4096;
	sti();
	asm volatile("rep movsl" : "+S"(q), "+D"(r), "+c"(c) : : "memory");
	cli();
	SAME((u32)r, (u32)(b + 4096));
	r = b, rest = 4096;
	asm volatile("repe scasl" : "+D"(r), "+c"(rest) : "a"(v) : "memory", "cc");
	SAME(rest, 4095 - 3000);
}

/* ---- */

static u32 pit_count(void)
{
	outb(0x43, 0);
	u32 low = inb(0x40);
	return low | (u32)inb(0x40) << 8;
}
static u32 lapic_count(void) { return lapic_rd(0x390); }

/* A counter and the TSC at the same time: of several readings the one that nothing came between. */
static u64 together(u32 (*get)(void), u32 *value)
{
	u64 best = ~0ull, at = 0;
	for (u32 i = 0; i < 20; i++) {
		u64 t = rdtsc();
		u32 v = get();
		u64 took = rdtsc() - t;
		if (took < best) {
			best = took;
			at = t;
			*value = v;
		}
	}
	return at;
}

/*
 * The TSC by the PIT; the local timer, divided by 16; and the loop.  The PIT's sixteen bits come round within 55 ms, and
 * who was away for that long has measured too much: the least counts.
 */
static void calibrate(void)
{
	u32 from, to;
	u64 t, end;
	tsc_per_ms = ~0u;
	for (u32 i = 0; i < 10; i++) {
		pit_oneshot(0xffff);
		while (pit_count() > 0xff00)
			;
		t = together(pit_count, &from);
		while (pit_count() > 0xe000)
			;
		end = together(pit_count, &to);
		if (to < from && from - to >= 0x1000) {
			u32 k = divide((end - t) * (PIT_HZ / 1000), from - to);
			tsc_per_ms = k < tsc_per_ms ? k : tsc_per_ms;
		}
	}
	if (tsc_per_ms == ~0u)
		fail("the PIT does not count");
	lapic_wr(0x3e0, 3);
	lapic_wr(0x320, 0x10000);
	lapic_wr(0x380, 0xffffffff);
	t = together(lapic_count, &from);
	while (rdtsc() - t < 20ull * tsc_per_ms)
		;
	end = together(lapic_count, &to);
	lapic_per_ms = divide((u64)(from - to) * tsc_per_ms, (u32)(end - t));
	lapic_wr(0x380, 0);
	/* The first time it may have to be translated, and who was away has counted too few: the most counts. */
	u32 most = 0;
	for (u32 i = 0; i < 5; i++) {
		u32 ms, turns;
		turns_per_ms = 50;
		do {
			turns_per_ms *= 2;
			t = rdtsc();
			spin(10);
			ms = divide(rdtsc() - t, tsc_per_ms);
		} while (ms < 5 && turns_per_ms <= 50000000);
		turns = turns_per_ms / (ms + 1) * 10 + 1;
		most = turns > most ? turns : most;
	}
	turns_per_ms = most;
	/* There a loop that is fast under one engine may be a thousand times slower under the other. */
	if (lab && turns_per_ms > 20000)
		turns_per_ms = 20000;
	out("note: TSC %u kHz, local timer %u kHz, %u turns a ms\n", tsc_per_ms, lapic_per_ms, turns_per_ms);
}

/* The number behind this word on the command line; 0: none. */
static u32 number(const char *word, u32 len)
{
	u32 n = 0;
	for (const char *p = cmdline; *p; p++)
		if ((p == cmdline || p[-1] == ' ') && memcmp(p, word, len) == 0)
			for (p += len; *p >= '0' && *p <= '9'; p++)
				n = n * 10 + (u32)(*p - '0');
	return n;
}

int main(void)
{
	static void (*const parts[])(void) = { registers, fpu, segments, local_segments, system_registers, sleeps, pending, level, nmis,
					       shadows, single_steps, system_calls, changing_code, paging, strings };
	u32 round = 0, beat = 1, seconds = number("seconds=", 8), limit = (seconds ? seconds : 5) * 1000;
	bool quit = false;
	extras_allowed = number("extras=", 7);
	wcr4(rcr4() | CR4_OSFXSR | CR4_OSXMM);
	wcr0((rcr0() & ~(CR0_EM | CR0_TS)) | CR0_MP | CR0_NE);
	look_at_cpu();
	for (u32 i = 0; i < 2; i++) {
		pd[i] = pg_new();
		for (u32 k = 0; k < PAGES; k++) {
			page[i][k] = page_alloc();
			page[i][k][0] = 1000 * i;
		}
	}
	for (u32 i = 0; i < 16; i++)
		patch(i);
	pg_on(pd[0]);
	pic_init(0x20, 0x28);
	lapic_on(0xff);
	hooks[0x20] = on_pic;
	hooks[1] = on_step;
	hooks[2] = on_nmi;
	hooks[14] = on_fault;
	hooks[PIT_V] = on_pit;
	hooks[RTC_V] = on_rtc;
	hooks[TIMER_V] = on_timer;
	hooks[IPI_V] = on_ipi;
	hooks[IPI2_V] = on_ipi2;
	hooks[COM_V] = on_com;
	hooks[SHADOW_V] = on_shadow;
	group("steady");
	calibrate();
	seed ^= (u32)rdtsc() | 1;
	tsc_start = tsc();
	max_gap_ms = 0;
	for (; !bad && !quit && (round < 2 || ms_since(tsc_start) < limit); round++) {
		for (u32 i = 0; i < ARRAY_SIZE(parts); i++)
			parts[i]();
		timers(round % MODES);
		if (ms_since(tsc_start) >= beat * 1000) {
			beat = ms_since(tsc_start) / 1000 + 1;
			out("steady: %u s, round %u, max gap %u ms\n", beat - 1, round + 1, max_gap_ms);
		}
		if (inb(0x3fd) & 1)
			quit = inb(0x3f8) == 'q';
	}
	out("note: %u rounds in %u ms, max gap %u ms\n", round, ms_since(tsc_start), max_gap_ms);
	return 0;
}
