/*
 * The runtime's C part: output, verdict, descriptor tables, traps.
 * Output goes to the debug console (port 0xe9) and to COM1.
 */
#include "rt.h"

u32 mb_magic, mb_info;
const char *cmdline = "";

/* ---- memory and strings ---- */

void *memset(void *d, int c, size_t n)
{
	u8 *p = d;
	while (n--) {
		*p++ = (u8)c;
		barrier();
	}
	return d;
}

void *memcpy(void *d, const void *s, size_t n)
{
	u8 *p = d;
	const u8 *q = s;
	while (n--) {
		*p++ = *q++;
		barrier();
	}
	return d;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *p = a, *q = b;
	for (; n; n--, p++, q++)
		if (*p != *q)
			return *p - *q;
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;
	while (s[n])
		n++;
	return n;
}

bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);
	for (const char *p = list; *p; p++)
		if ((p == list || p[-1] == ' ') && memcmp(p, word, n) == 0 && (p[n] == 0 || p[n] == ' '))
			return true;
	return false;
}

/* ---- output ---- */

void out_char(char c)
{
	outb(0xe9, (u8)c);
	for (unsigned i = 0; i < 100000 && !(inb(0x3fd) & 0x20); i++)
		;
	outb(0x3f8, (u8)c);
}

static void out_num(u64 v, unsigned base, unsigned width, char pad)
{
	char buf[24];
	unsigned n = 0;
	do {
		/* no 64-bit division without libgcc: hexadecimal by shifts, decimal in 32 bits */
		unsigned d;
		if (base == 16) {
			d = v & 15;
			v >>= 4;
		} else {
			d = (u32)v % 10;
			v = (u32)v / 10;
		}
		buf[n++] = "0123456789abcdef"[d];
	} while (v);
	for (; width > n; width--)
		out_char(pad);
	while (n)
		out_char(buf[--n]);
}

static void vout(const char *fmt, __builtin_va_list ap)
{
	for (; *fmt; fmt++) {
		if (*fmt != '%') {
			out_char(*fmt);
			continue;
		}
		char pad = ' ';
		unsigned width = 0;
		int ll = 0;
		fmt++;
		if (*fmt == '0')
			pad = '0';
		for (; *fmt >= '0' && *fmt <= '9'; fmt++)
			width = width * 10 + (unsigned)(*fmt - '0');
		for (; *fmt == 'l'; fmt++)
			ll++;
		switch (*fmt) {
		case 's':
			for (const char *s = __builtin_va_arg(ap, const char *); *s; s++)
				out_char(*s);
			break;
		case 'c':
			out_char((char)__builtin_va_arg(ap, int));
			break;
		case 'd': {
			int v = __builtin_va_arg(ap, int);
			if (v < 0)
				out_char('-');
			out_num(v < 0 ? 0u - (u32)v : (u32)v, 10, width, pad);
			break;
		}
		case 'u':
			out_num(__builtin_va_arg(ap, u32), 10, width, pad);
			break;
		case 'x':
			out_num(ll == 2 ? __builtin_va_arg(ap, u64) : __builtin_va_arg(ap, u32), 16, width, pad);
			break;
		default:
			out_char(*fmt);
		}
	}
}

void out(const char *fmt, ...)
{
	__builtin_va_list ap;
	__builtin_va_start(ap, fmt);
	vout(fmt, ap);
	__builtin_va_end(ap);
}

/* ---- verdict ---- */

static u32 checks, failures, group_failures, group_checks;
static const char *group_name;

static void close_group(void)
{
	if (!group_name)
		return;
	if (!group_checks) {
		failures++;
		out("FAIL %s: nothing checked\n", group_name);
	} else {
		out("%s %s\n", group_failures ? "FAIL" : "ok", group_name);
	}
	group_name = NULL;
}

void group(const char *name)
{
	close_group();
	group_name = name;
	group_failures = group_checks = 0;
}

void skip(const char *why)
{
	if (!group_name)
		return;
	out("skip %s: %s\n", group_name, why);
	group_name = NULL;
}

static void count(bool ok)
{
	checks++;
	group_checks++;
	if (!ok) {
		failures++;
		group_failures++;
	}
}

void check_(bool ok, const char *what, const char *file, int line)
{
	count(ok);
	if (!ok)
		out("  %s:%d: %s\n", file, line, what);
}

void known_(bool ok, const char *what, const char *why, int line)
{
	if (ok || is_qemu()) {
		count(ok);
		if (!ok)
			out("  line %d: %s\n", line, what);
		return;
	}
	count(true);
	out("known: %s (line %d: %s)\n", why, line, what);
}

void check_eq_(u32 a, u32 b, const char *what, int line)
{
	count(a == b);
	if (a != b)
		out("  line %d: %s: %x, expected %x\n", line, what, a, b);
}

void fail(const char *fmt, ...)
{
	__builtin_va_list ap;
	count(false);
	out("  ");
	__builtin_va_start(ap, fmt);
	vout(fmt, ap);
	__builtin_va_end(ap);
	out("\n");
}

void exit_code(u8 v)
{
	outb(0xf4, v);
	for (;;)
		asm volatile("cli; hlt");
}

void finish(void)
{
	close_group();
	if (!checks)
		failures++;
	out("%s: %u checks, %u failed\n", failures ? "FAIL" : "PASS", checks, failures);
	exit_code(failures ? 0x2b : 0x2a);
}

bool is_qemu(void)
{
	u32 r[4];
	cpuid(0x40000000, 0, r);
	return r[1] == 0x54474354;	/* "TCGT" */
}

/* In the lab the machine is Ringer's, and only the CPU's name tells. */
bool on_tcg(void)
{
	u32 r[12];
	if (is_qemu())
		return true;
	for (u32 i = 0; i < 3; i++)
		cpuid(0x80000002 + i, 0, r + 4 * i);
	for (u32 i = 0; i + 8 <= sizeof(r); i++)
		if (memcmp((u8 *)r + i, "QEMU TCG", 8) == 0)
			return true;
	return false;
}

/* ---- descriptor tables ---- */

struct __attribute__((packed)) dtr { u16 limit; u32 base; };

struct { struct tss32 t; u8 iomap[8192 + 1]; } tss_area __attribute__((aligned(4096)));
asm(".globl tss, tss_iomap\n\t.set tss, tss_area\n\t.set tss_iomap, tss_area + 104");
u64 gdt[32] __attribute__((aligned(16))) = {
	[KCS / 8] = 0x00cf9b000000ffffull,
	[KDS / 8] = 0x00cf93000000ffffull,
	[UCS / 8] = 0x00cffb000000ffffull,
	[UDS / 8] = 0x00cff3000000ffffull,
};
struct dtr gdt_ptr = { sizeof(gdt) - 1, (u32)gdt };
u64 idt[256] __attribute__((aligned(16)));
extern const u8 trap_stubs[];

u64 seg_desc(u32 base, u32 limit, u8 access, u8 flags)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)access << 40 |
	       (u64)((limit >> 16) & 15) << 48 | (u64)flags << 52 | (u64)(base >> 24) << 56;
}

u64 gate_desc(u16 sel, u32 off, u8 access, u8 n)
{
	return (off & 0xffff) | (u64)sel << 16 | (u64)n << 32 | (u64)access << 40 | (u64)(off >> 16) << 48;
}

void gdt_set(u16 sel, u64 desc)
{
	*(volatile u64 *)&gdt[sel >> 3] = desc;
}

void load_idt(u32 base, u16 limit)
{
	struct dtr d = { limit, base };
	asm volatile("lidt %0" : : "m"(d));
}

void load_gdt(u32 base, u16 limit)
{
	struct dtr d = { limit, base };
	asm volatile("lgdt %0" : : "m"(d));
}

void idt_reset(void)
{
	for (unsigned v = 0; v < 256; v++)
		idt[v] = gate_desc(KCS, (u32)trap_stubs + 16 * v, 0x8e, 0);
	/* As Linux has them: INT3, INTO, BOUND-free; and the end of a snippet. */
	idt[3] = gate_desc(KCS, (u32)trap_stubs + 16 * 3, 0xee, 0);
	idt[4] = gate_desc(KCS, (u32)trap_stubs + 16 * 4, 0xee, 0);
	idt[T_DONE] = gate_desc(KCS, (u32)trap_stubs + 16 * T_DONE, 0xee, 0);
	load_idt((u32)idt, sizeof(idt) - 1);
}

void runtime_gdt(void)
{
	load_gdt((u32)gdt, sizeof(gdt) - 1);
	asm volatile("ljmp %0,$1f\n1:\tmov %1,%%ds\n\tmov %1,%%es\n\tmov %1,%%ss\n\tmov %2,%%fs\n\tmov %2,%%gs"
		     : : "i"(KCS), "r"(KDS), "r"(0) : "memory");
}

/* ---- traps ---- */

trap_hook hooks[256];
volatile u32 irq_count[256];
struct trap T;
struct state enter_state;
u32 recover_esp;
u8 kstack_snip[8192] __attribute__((aligned(4096)));
u8 ustack[4096] UDATA __attribute__((aligned(4096)));
u8 udata[8192] UDATA __attribute__((aligned(4096)));
static struct trap *sink;
void trap_enter(void);
__attribute__((noreturn)) void trap_leave(void);
void trap_entry(struct regs *r);
void rt_start(void);

static void capture(const struct regs *r, struct trap *t)
{
	t->vector = r->vector;
	t->error = r->error;
	t->cr2 = rcr2();
	memcpy(t->raw, &r->eip, sizeof(t->raw));
	t->s = (struct state){ r->eax, r->ecx, r->edx, r->ebx, 0, r->ebp, r->esi, r->edi, r->eip, r->eflags,
			       r->cs, 0, r->ds, r->es, r->fs, r->gs };
	if (r->eflags & FL_VM) {
		t->s.esp = r->uesp;
		t->s.ss = r->uss;
		t->s.ds = r->vds;
		t->s.es = r->ves;
		t->s.fs = r->vfs;
		t->s.gs = r->vgs;
		t->frame = (u32)(&r->vgs + 1);
	} else if ((r->cs & 3) != 0) {
		t->s.esp = r->uesp;
		t->s.ss = r->uss;
		t->frame = (u32)(&r->uss + 1);
	} else {
		t->s.esp = (u32)(&r->eflags + 1);
		asm volatile("mov %%ss,%0" : "=r"(t->s.ss));
		t->frame = t->s.esp;
	}
}

static void dump(const struct trap *t)
{
	const struct state *s = &t->s;
	out("  trap %x error %x cr2 %08x at %x:%08x eflags %08x\n", t->vector, t->error, t->cr2, s->cs, s->eip, s->eflags);
	out("  eax %08x ecx %08x edx %08x ebx %08x esp %x:%08x ebp %08x esi %08x edi %08x\n",
	    s->eax, s->ecx, s->edx, s->ebx, s->ss, s->esp, s->ebp, s->esi, s->edi);
	out("  ds %x es %x fs %x gs %x\n", s->ds, s->es, s->fs, s->gs);
}

void trap_entry(struct regs *r)
{
	u32 v = r->vector & 0xff;
	if (hooks[v] && hooks[v](r)) {
		irq_count[v]++;
		return;
	}
	if (sink) {
		capture(r, sink);
		sink = NULL;
		trap_leave();
	}
	struct trap t;
	capture(r, &t);
	fail("unexpected trap");
	dump(&t);
	finish();
}

void trap_run(const struct state *in, struct trap *t)
{
	struct trap *saved = sink;
	enter_state = *in;
	memset(t, 0xee, sizeof(*t));
	sink = t;
	trap_enter();
	sink = saved;
}

struct state kstate(const void *eip)
{
	return (struct state){ .eip = (u32)eip, .eflags = 2, .cs = KCS, .ss = KDS, .ds = KDS, .es = KDS,
			       .esp = (u32)kstack_snip + 4096 + STACK_TOP };
}

struct state ustate(const void *eip)
{
	return (struct state){ .eip = (u32)eip, .eflags = 2 | FL_IF, .cs = UCS, .ss = UDS, .ds = UDS, .es = UDS,
			       .esp = (u32)ustack + STACK_TOP };
}

void trap_check_(const struct trap *t, u32 vector, u32 error, u32 eip, int line)
{
	bool ok = t->vector == vector && t->error == error && t->s.eip == eip;
	count(ok);
	if (!ok) {
		out("  line %d: expected trap %x error %x at %08x, got:\n", line, vector, error, eip);
		dump(t);
	}
}

/* Called by start.S. */
void rt_start(void)
{
	if (mb_magic == 0x2badb002 && (rd32(mb_info) & 4))
		cmdline = (const char *)rd32(mb_info + 16);
	outb(0x3f9, 0);			/* COM1: 115200 8n1, FIFO, polled */
	outb(0x3fb, 0x80);
	outb(0x3f8, 1);
	outb(0x3f9, 0);
	outb(0x3fb, 3);
	outb(0x3fa, 7);
	memset(tss_iomap, 0xff, sizeof(tss_area.iomap));
	tss.ss0 = KDS;
	tss.iomap = 104;
	gdt_set(TSS_SEL, seg_desc((u32)&tss, sizeof(tss_area) - 1, 0x89, 0));
	idt_reset();
	outb(0x21, 0xff);		/* whatever the loader left: no interrupts yet */
	outb(0xa1, 0xff);
	asm volatile("ltr %w0" : : "r"(TSS_SEL));
	main();
	finish();
}
