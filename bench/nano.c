/*
 * The nanobenchmark: what one operation of a guest's kernel costs, by RDTSC, in
 * the manner of Adams and Agesen's comparison (ASPLOS 2006).  A bare-metal guest
 * on the runtime of tests/guests/lib; bench/nano runs it under every engine.
 *
 * Each row is a loop (nano.h) in ring 0 or 3, with handlers of a few
 * instructions, so that the figure is the operation's and not a kernel's.  A
 * sample is one run of the loop; the same number of iterations of an empty loop
 * is measured beside it and subtracted by bench/nano.  What an operation should
 * have done is checked in each sample: how often its handler ran, and the sum of
 * what it read.
 *
 * Command line: samples=N (default 51), rows=NAME,NAME, long=CYCLES (how long a
 * sample should last where the row allows it, default 200000).
 */
#include "rt.h"
#include "nano.h"

#define MAX_SAMPLES 255
#define PAGES 256			/* of the two regions */
#define KV 0x40000000u			/* PAGES pages with U=0 */
#define UV 0x48000000u			/* PAGES pages with U=1 */
#define PHYS_A 0x1000000u		/* whose first words are 1; PAGES of them, then */
#define PHYS_B (PHYS_A + PAGES * 4096)	/* those whose first words are 2 */
#define ANY 0xffffffffu

unsigned nano_sum;
u32 nano_count, nano_tick;		/* handlers run; when the last timer interrupt arrived */
static u32 *pd, *pd2;
u32 *nano_pte;				/* of the region that handlers fill... */
u32 nano_fill[PAGES];			/* ...with these */

/* ---- handlers: the shortest there can be ---- */

asm(".pushsection .text\n\t.balign 16\n"
    "h_iret: incl nano_count; iret\n\t.balign 16\n"
    "h_skip2: incl nano_count; addl $2, (%esp); iret\n\t.balign 16\n"
    "h_skip1: incl nano_count; add $4, %esp; incl (%esp); iret\n\t.balign 16\n"
    "h_page: push %eax; push %ecx; push %edx\n"
    "	incl nano_count\n"
    "	mov %cr2, %eax; shr $12, %eax; and $255, %eax\n"
    "	mov nano_fill(,%eax,4), %edx; mov nano_pte, %ecx; mov %edx, (%ecx,%eax,4)\n"
    "	pop %edx; pop %ecx; pop %eax; add $4, %esp; iret\n\t.balign 16\n"
    "h_timer: push %eax; push %edx; rdtsc; mov %eax, nano_tick; mov $0x20, %al; out %al, $0x20\n"
    "	incl nano_count; pop %edx; pop %eax; iret\n\t.balign 16\n"
    "h_vsyscall: incl nano_count; mov $kstack_snip + 4000, %esp; mov %ebp, %ecx; mov $u_landing, %edx; sti; sysexit\n\t.balign 16\n"
    "h_sysenter: incl nano_count; mov $kstack_snip + 4000, %esp; mov %ebp, %ecx; mov $u_back, %edx; sti; sysexit\n"
    "	.popsection\n"
    /* As in Linux's vDSO, on a page of its own, found by gs:0x10: the form that Ringer knows (docs/caveats.md). */
    "	.pushsection .utext, \"ax\", @progbits; .balign 4096\n"
    "u_vsyscall: push %ecx; push %edx; push %ebp; mov %esp, %ebp; sysenter; int $0x80\n"
    "u_landing: pop %ebp; pop %edx; pop %ecx; ret; .balign 4096\n"
    "	.popsection");
extern const u8 h_iret[], h_skip1[], h_skip2[], h_page[], h_timer[], h_vsyscall[], h_sysenter[], u_vsyscall[];

/* ---- operations ---- */

#define ULOOP(name, body) LOOP_IN(".utext, \"ax\", @progbits", name, "int $0x40", body)
ULOOP(uop_loop, "");
ULOOP(uop_int80, "mov $20, %eax; int $0x80");
ULOOP(uop_int, "int $0x41");
ULOOP(uop_vsyscall, "call *%gs:0x10");
ULOOP(uop_sysenter, "mov %ecx, %esi; mov %esp, %ebp; sysenter; u_back: mov %esi, %ecx");
ULOOP(uop_divide, "xor %edx, %edx; div %ebx");
ULOOP(uop_gp, "cli");
ULOOP(uop_touch, "add (%esi), %ebp; add $4096, %esi");
ULOOP(uop_call_ret, "call 2f; jmp 3f; 2: ret; 3:");
LOOP(op_int, "int $0x41");
LOOP(op_divide, "xor %edx, %edx; div %ebx");
LOOP(op_touch, "add (%esi), %ebp; add $4096, %esi");
LOOP(op_cli_sti, REPT(8, "cli; sti"));
LOOP(op_load_ss, REPT(16, "mov %ebx, %ss"));
LOOP(op_load_fs, REPT(16, "mov %ebx, %fs"));
LOOP(op_lgdt, REPT(4, "lgdt (%esi)"));
LOOP(op_lidt, REPT(4, "lidt (%esi)"));
LOOP(op_lldt, REPT(4, "lldt %bx"));
LOOP(op_read_cr0, REPT(16, "mov %cr0, %eax"));
LOOP(op_clts, REPT(4, "clts"));
LOOP(op_read_cr2, REPT(16, "mov %cr2, %eax"));
LOOP(op_rdmsr, "mov %ecx, %esi; mov $0x174, %ecx; rdmsr; mov %esi, %ecx");
LOOP(op_wrmsr, "mov %ecx, %esi; mov $0x174, %ecx; mov $0x60, %eax; xor %edx, %edx; wrmsr; mov %esi, %ecx");
LOOP(op_in, "mov %ebx, %edx; in (%dx), %al");
LOOP(op_out, "mov %ebx, %edx; mov $0xff, %al; out %al, (%dx)");
LOOP(op_mmio_read, "mov (%esi), %eax");
LOOP(op_mmio_write, "movl $0, (%esi)");
LOOP(op_cr3, "mov %ebx, %cr3");
LOOP(op_cr3_pair, "mov %edi, %cr3; mov %ebx, %cr3");
LOOP(op_cr3_touch, "mov %edi, %cr3; add (%esi), %ebp; mov %ebx, %cr3; add (%esi), %ebp");
#define TOUCH16 ".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15; add 4096 * \\i(%esi), %ebp; .endr"
LOOP(op_cr3_touch16, "mov %edi, %cr3;" TOUCH16 "; mov %ebx, %cr3;" TOUCH16);
LOOP(op_invlpg, "invlpg (%esi)");
LOOP(op_pte_write, REPT(8, "lea 4096(%ebx), %eax; mov %eax, (%edi); mov %ebx, (%edi)"));
LOOP(op_pte_invlpg, "lea 4096(%ebx), %eax; mov %eax, (%edi); invlpg (%esi); mov %ebx, (%edi); invlpg (%esi)");
LOOP(op_pte_touch, "lea 4096(%ebx), %eax; mov %eax, (%edi); invlpg (%esi); add (%esi), %ebp;"
	"mov %ebx, (%edi); invlpg (%esi); add (%esi), %ebp");
LOOP(op_pte_protect, "lea -2(%ebx), %eax; mov %eax, (%edi); invlpg (%esi); mov %ebx, (%edi); invlpg (%esi); movl $1, (%esi)");

/* ---- what they need beforehand ---- */

struct regs_in { u32 esi, edi, ebx; };
static struct { u16 limit; u32 base; } __attribute__((packed)) gdtr, idtr;
static u32 tcb[8] UDATA;

static void gate(u8 vector, const void *handler)
{
	idt[vector] = gate_desc(KCS, (u32)handler, 0xee, 0);
}

static void p_nothing(struct regs_in *r, u32 n) { r->esi = r->edi = r->ebx = 0; }
static void p_data(struct regs_in *r, u32 n) { r->ebx = KDS; }
static void p_gdt(struct regs_in *r, u32 n) { gdtr.limit = sizeof gdt - 1, gdtr.base = (u32)gdt, r->esi = (u32)&gdtr; }
static void p_idt(struct regs_in *r, u32 n) { idtr.limit = sizeof idt - 1, idtr.base = (u32)idt, r->esi = (u32)&idtr; }
static void p_no_port(struct regs_in *r, u32 n) { r->ebx = 0x2f0; }
static void p_pit(struct regs_in *r, u32 n) { r->ebx = 0x40; }
static void p_uart(struct regs_in *r, u32 n) { r->ebx = 0x3fd; }
static void p_delay(struct regs_in *r, u32 n) { r->ebx = 0x80; }
static void p_pic(struct regs_in *r, u32 n) { r->ebx = 0x21; }
static void p_tpr(struct regs_in *r, u32 n) { r->esi = LAPIC + 0x80; }
static void p_cr3(struct regs_in *r, u32 n) { r->ebx = (u32)pd, r->edi = (u32)pd2, r->esi = UV; }
static void p_int80(struct regs_in *r, u32 n) { gate(0x80, h_iret); }
static void p_int(struct regs_in *r, u32 n) { gate(0x41, h_iret); }
static void p_divide(struct regs_in *r, u32 n) { gate(0, h_skip2); }
static void p_gp(struct regs_in *r, u32 n) { gate(13, h_skip1); }

static void sysenter_to(const void *handler)
{
	wrmsr(0x174, KCS);
	wrmsr(0x175, (u32)kstack_snip + 4000);
	wrmsr(0x176, (u32)handler);
	tcb[4] = (u32)u_vsyscall;
	gdt_set(0x30, seg_desc((u32)tcb, 0xfffff, 0xf3, 0xc));
}
static void p_vsyscall(struct regs_in *r, u32 n) { sysenter_to(h_vsyscall); }
static void p_sysenter(struct regs_in *r, u32 n) { sysenter_to(h_sysenter); }

/*
 * n pages at `va` as good as never seen: the entries gone, and flushed.  Then
 * they are there again, or the handler will put them there.  Neighbours are apart
 * in memory, unless `run`.
 */
static void fresh(u32 va, u32 n, u32 flags, bool run, bool present)
{
	nano_pte = pg_pte(pd, va);
	for (u32 i = 0; i < n; i++) {
		((volatile u32 *)nano_pte)[i] = 0;
		invlpg(va + i * 4096);
		nano_fill[i] = (PHYS_A + (run ? i : i * 37 % PAGES) * 4096) | flags | PTE_P | PTE_W | PTE_A | PTE_D;
	}
	for (u32 i = 0; present && i < n; i++)
		((volatile u32 *)nano_pte)[i] = nano_fill[i];
}
static void p_hidden_user(struct regs_in *r, u32 n) { fresh(UV, n, PTE_U, false, true); r->esi = UV; }
static void p_hidden(struct regs_in *r, u32 n) { fresh(KV, n, 0, false, true); r->esi = KV; }
static void p_hidden_run(struct regs_in *r, u32 n) { fresh(KV, n, 0, true, true); r->esi = KV; }
static void p_true_user(struct regs_in *r, u32 n) { fresh(UV, n, PTE_U, false, false); r->esi = UV; gate(14, h_page); }
static void p_true(struct regs_in *r, u32 n) { fresh(KV, n, 0, false, false); r->esi = KV; gate(14, h_page); }

static void p_pte(struct regs_in *r, u32 n)
{
	r->esi = KV;
	r->edi = (u32)pg_pte(pd, KV);
	r->ebx = (PHYS_B - 4096) | PTE_P | PTE_W | PTE_A | PTE_D;	/* the last that says 1; the next says 2 */
	wr32(r->edi, r->ebx);
	invlpg(KV);
}

/* ---- rows ---- */

struct row {
	const char *name;
	bool user;
	const u8 *loop;
	u32 per;			/* operations in an iteration */
	u32 max;			/* iterations at most; 0: as many as fill the time */
	u32 handled, sum;		/* handlers run and sum of what is read, by iteration; ANY */
	void (*prepare)(struct regs_in *r, u32 n);
};

static const struct row rows[] = {
	{ "call_ret", false, op_call_ret, 16, 0, 0, ANY, p_nothing },
	{ "call_mem", false, op_call_mem, 16, 0, 0, ANY, p_nothing },
	{ "call_many", false, op_call_many, 1, 0, 0, ANY, p_nothing },
	{ "call_clash", false, op_call_clash, 16, 0, 0, ANY, p_nothing },
	{ "ucall_ret", true, uop_call_ret, 1, 0, 0, ANY, p_nothing },
	{ "cli_sti", false, op_cli_sti, 8, 0, 0, ANY, p_nothing },
	{ "pushf_popf", false, op_pushf_popf, 16, 0, 0, ANY, p_nothing },
	{ "load_ds", false, op_load_ds, 16, 0, 0, ANY, p_data },
	{ "load_fs", false, op_load_fs, 16, 0, 0, ANY, p_data },
	{ "load_ss", false, op_load_ss, 16, 0, 0, ANY, p_data },
	{ "read_cr0", false, op_read_cr0, 16, 0, 0, ANY, p_nothing },
	{ "read_cr2", false, op_read_cr2, 16, 0, 0, ANY, p_nothing },
	{ "clts", false, op_clts, 4, 0, 0, ANY, p_nothing },
	{ "lgdt", false, op_lgdt, 4, 0, 0, ANY, p_gdt },
	{ "lidt", false, op_lidt, 4, 0, 0, ANY, p_idt },
	{ "lldt", false, op_lldt, 4, 0, 0, ANY, p_nothing },
	{ "rdtsc", false, op_rdtsc, 16, 0, 0, ANY, p_nothing },
	{ "rdmsr", false, op_rdmsr, 1, 0, 0, ANY, p_nothing },
	{ "wrmsr", false, op_wrmsr, 1, 0, 0, ANY, p_nothing },
	{ "cpuid", false, op_cpuid, 1, 0, 0, ANY, p_nothing },
	{ "in_none", false, op_in, 1, 0, 0, ANY, p_no_port },
	{ "in_uart", false, op_in, 1, 0, 0, ANY, p_uart },
	{ "in_pit", false, op_in, 1, 0, 0, ANY, p_pit },
	{ "out_delay", false, op_out, 1, 0, 0, ANY, p_delay },
	{ "out_pic", false, op_out, 1, 0, 0, ANY, p_pic },
	{ "mmio_read", false, op_mmio_read, 1, 0, 0, ANY, p_tpr },
	{ "mmio_write", false, op_mmio_write, 1, 0, 0, ANY, p_tpr },
	{ "int_kernel", false, op_int, 1, 0, 1, ANY, p_int },
	{ "vsyscall", true, uop_vsyscall, 1, 0, 1, ANY, p_vsyscall },
	{ "sysenter", true, uop_sysenter, 1, 0, 1, ANY, p_sysenter },
	{ "int80", true, uop_int80, 1, 0, 1, ANY, p_int80 },
	{ "int_user", true, uop_int, 1, 0, 1, ANY, p_int },
	{ "divide_user", true, uop_divide, 1, 0, 1, ANY, p_divide },
	{ "divide", false, op_divide, 1, 0, 1, ANY, p_divide },
	{ "gp_user", true, uop_gp, 1, 0, 1, ANY, p_gp },
	{ "pf_user", true, uop_touch, 1, PAGES, 1, 1, p_true_user },
	{ "pf_kernel", false, op_touch, 1, PAGES, 1, 1, p_true },
	{ "hidden_user", true, uop_touch, 1, PAGES, 0, 1, p_hidden_user },
	{ "hidden_kernel", false, op_touch, 1, PAGES, 0, 1, p_hidden },
	{ "hidden_run", false, op_touch, 1, PAGES, 0, 1, p_hidden_run },
	{ "pte_write", false, op_pte_write, 16, 0, 0, ANY, p_pte },
	{ "invlpg", false, op_invlpg, 1, 0, 0, ANY, p_pte },
	{ "pte_invlpg", false, op_pte_invlpg, 2, 0, 0, ANY, p_pte },
	{ "pte_touch", false, op_pte_touch, 2, 0, 0, 3, p_pte },
	{ "pte_protect", false, op_pte_protect, 1, 0, 0, ANY, p_pte },
	{ "cr3_same", false, op_cr3, 1, 0, 0, ANY, p_cr3 },
	{ "cr3_pair", false, op_cr3_pair, 2, 0, 0, ANY, p_cr3 },
	{ "cr3_touch", false, op_cr3_touch, 2, 0, 0, 3, p_cr3 },
	{ "cr3_touch16", false, op_cr3_touch16, 2, 0, 0, 48, p_cr3 },
};

/* ---- measuring ---- */

static u32 samples = 51, sample_length = 200000;

static u32 run_user(const void *loop, u32 n, const struct regs_in *r)
{
	struct state s = ustate(loop);

	s.gs = 0x33;
	s.ecx = n;
	s.esi = r->esi, s.edi = r->edi, s.ebx = r->ebx;
	trap_run(&s, &T);
	nano_sum = T.s.ebp;
	if (T.vector != T_DONE) {
		fail("%s: trap %x at %x", "user loop", T.vector, T.s.eip);
		finish();
	}
	return T.s.eax;
}

static u32 sample(const struct row *w, u32 n, const char **verdict)
{
	struct regs_in r = { 0, 0, 0 };
	u32 t;

	gdt_set(0x30, seg_desc(0, 0xfffff, 0xf3, 0xc));
	w->prepare(&r, n);
	nano_count = 0;
	t = w->user ? run_user(w->loop, n, &r) : nano_call(w->loop, n, r.esi, r.edi, r.ebx);
	cli();
	idt_reset();
	if (w->handled != ANY && nano_count != n * w->handled)
		*verdict = nano_count < n * w->handled ? "too-few-traps" : "too-many-traps";
	if (w->sum != ANY && nano_sum != n * w->sum)
		*verdict = "wrong-data";
	return t;
}

static u32 empty(const struct row *w, u32 n)
{
	struct regs_in r = { 0, 0, 0 };

	return w->user ? run_user(uop_loop, n, &r) : nano_call(op_loop, n, 0, 0, 0);
}

static void print(const char *name, u32 ops, u32 *v, u32 n, u32 loop, const char *verdict)
{
	nano_sort(v, n);
	if (v[n / 2] > 0x7fffffff)
		verdict = "time-wraps";
	out("NANO %s %u %u %u %u %u %u %s\n", name, n, ops, v[n / 2], v[n / 10], v[n - 1 - n / 10], loop, verdict);
}

static void measure(const struct row *w)
{
	static u32 v[MAX_SAMPLES], loop[MAX_SAMPLES];
	const char *verdict = "ok";
	u32 n = w->max ? w->max : 16;

	for (unsigned i = 0; i < 3; i++)
		sample(w, n, &verdict);		/* what adapts, adapts */
	while (!w->max && n < 1u << 20 && sample(w, n, &verdict) < sample_length)
		n *= 2;
	while (w->max && n > 16 && sample(w, n, &verdict) > 20 * sample_length)
		n /= 2;
	for (u32 i = 0; i < samples; i++) {
		v[i] = sample(w, n, &verdict);
		loop[i] = empty(w, n);
	}
	nano_sort(loop, samples);
	print(w->name, n * w->per, v, samples, loop[samples / 2], verdict);
}

static u32 muldiv(u32 a, u32 b, u32 c)
{
	u32 lo, hi;

	asm("mull %3\n\tdivl %4" : "=&a"(lo), "=&d"(hi) : "0"(a), "r"(b), "r"(c) : "cc");
	return lo;
}

/* TSC ticks in 50 ms, by channel 2 of the PIT; the least of three, as whatever disturbs makes it longer. */
#define PIT_50MS 59659u
static u32 tsc_50ms(void)
{
	u32 best = ~0u;

	for (unsigned i = 0; i < 3; i++) {
		u32 t0;

		outb(0x61, (inb(0x61) & ~2) | 1);
		outb(0x43, 0xb0);
		outb(0x42, PIT_50MS & 0xff);
		outb(0x42, PIT_50MS >> 8);
		t0 = (u32)rdtsc();
		while (!(inb(0x61) & 0x20))
			;
		t0 = (u32)rdtsc() - t0;
		best = t0 < best ? t0 : best;
	}
	return best;
}

/* From the moment the PIT is due until its handler runs in a CPU that halts: half a millisecond's sleep each. */
static void hlt_wake(u32 cycles_50ms)
{
	static u32 v[MAX_SAMPLES];
	const u32 ticks = 600;
	u32 n = samples < 51 ? samples : 51;
	const char *verdict = "ok";

	pic_init(0x20, 0x28);
	pic_mask(0xfffe);
	for (u32 i = 0; i < n; i++) {
		u32 t0;

		gate(0x20, h_timer);
		nano_count = 0;
		outb(0x43, 0x30);
		outb(0x40, ticks & 0xff);
		outb(0x40, ticks >> 8);
		t0 = (u32)rdtsc();
		while (!nano_count)
			asm volatile("sti; hlt; cli" : : : "memory");
		v[i] = nano_tick - t0;
		if (nano_count != 1)
			verdict = "too-many-traps";
	}
	idt_reset();
	pic_mask(0xffff);
	print("hlt_wake", 1, v, n, muldiv(cycles_50ms, ticks, PIT_50MS), verdict);
}

static u32 number(const char *key, u32 otherwise)
{
	size_t n = strlen(key);

	for (const char *p = cmdline; *p; p++)
		if ((p == cmdline || p[-1] == ' ') && memcmp(p, key, n) == 0) {
			u32 v = 0;

			for (p += n; *p >= '0' && *p <= '9'; p++)
				v = v * 10 + (u32)(*p - '0');
			return v;
		}
	return otherwise;
}

/* rows=A,B picks rows; without it, all. */
static bool wanted(const char *name)
{
	size_t n = strlen(name);

	for (const char *p = cmdline; *p; p++)
		if ((p == cmdline || p[-1] == ' ') && memcmp(p, "rows=", 5) == 0) {
			for (p += 4; *p == '=' || *p == ','; ) {
				p++;
				if (memcmp(p, name, n) == 0 && (p[n] == ',' || p[n] == ' ' || p[n] == 0))
					return true;
				while (*p && *p != ',' && *p != ' ')
					p++;
			}
			return false;
		}
	return true;
}

static void make_memory(void)
{
	for (u32 i = 0; i < 2 * PAGES; i++)
		wr32(PHYS_A + i * 4096, i < PAGES ? 1 : 2);
	pd = pg_new();
	for (u32 i = 0; i < PAGES; i++) {
		pg_map(pd, KV + i * 4096, PHYS_A + i * 4096, PTE_P | PTE_W | PTE_A | PTE_D);
		pg_map(pd, UV + i * 4096, PHYS_A + i * 37 % PAGES * 4096, PTE_P | PTE_W | PTE_U | PTE_A | PTE_D);
	}
	/* Another address space: the kernel's part is the same, the programs' other memory. */
	pd2 = page_alloc();
	memcpy(pd2, pd, 4096);
	pd2[UV >> 22] = 0;
	for (u32 i = 0; i < PAGES; i++)
		pg_map(pd2, UV + i * 4096, PHYS_B + i * 37 % PAGES * 4096, PTE_P | PTE_W | PTE_U | PTE_A | PTE_D);
	pg_on(pd);
}

int main(void)
{
	u32 cycles_50ms, r[4];

	samples = number("samples=", samples);
	samples = samples < 3 ? 3 : samples > MAX_SAMPLES ? MAX_SAMPLES : samples;
	sample_length = number("long=", sample_length);
	make_memory();
	lapic_on(0xff);
	cycles_50ms = tsc_50ms();
	cpuid(0x40000000, 0, r);
	out("NANO-TSC %u\n", cycles_50ms / 50);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		if (wanted(rows[i].name))
			measure(&rows[i]);
	if (wanted("hlt_wake"))
		hlt_wake(cycles_50ms);
	CHECK(cycles_50ms > 0);
	out("NANO-END\n");
	return 0;
}
