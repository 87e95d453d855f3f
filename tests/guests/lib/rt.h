/*
 * The runtime of the bare-metal guests: a flat 32-bit kernel with a GDT laid
 * out as Linux/i386 lays it out, all 256 vectors caught, and one idea: a
 * *snippet* is a piece of code run with a given register state until it traps.
 *
 *   trap_run(&state, &trap)	enters at the ring that state.cs names, by IRET,
 *				and returns at the first trap, with all of it.
 *
 * A snippet that ends well ends with INT $0x40 (T_DONE).  Hooks, called from
 * the trap handler, may instead handle a trap and resume.
 *
 * Every expectation is a CHECK(); main() returns, and the runtime prints PASS
 * or FAIL and leaves by port 0xf4: 85 for PASS, 87 for FAIL.  A guest that
 * checked nothing fails.
 */
#ifndef RT_H
#define RT_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef signed short s16;
typedef int s32;
typedef _Bool bool;
typedef __SIZE_TYPE__ size_t;
#define true 1
#define false 0
#define NULL ((void *)0)
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* ---- output and verdict ---- */
void out_char(char c);
void out(const char *fmt, ...) __attribute__((format(printf, 1, 2)));	/* %s %c %d %u %x %08x-like widths, %llx */
void check_(bool ok, const char *what, const char *file, int line);
void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void group(const char *name);		/* ends the group before: "ok NAME" if all its checks held */
void skip(const char *why);		/* the group cannot run here, and says why */
__attribute__((noreturn)) void finish(void);
__attribute__((noreturn)) void exit_code(u8 v);
#define CHECK(c) check_(!!(c), #c, __FILE__, __LINE__)
/* Equality with both values shown. */
void check_eq_(u32 a, u32 b, const char *what, int line);
#define CHECK_EQ(a, b) check_eq_((u32)(a), (u32)(b), #a " == " #b, __LINE__)
extern const char *cmdline;		/* of the multiboot information, or "" */
extern u32 mb_magic, mb_info;
bool is_qemu(void);			/* the whole machine is QEMU's */
bool on_tcg(void);			/* the CPU is TCG: QEMU's, or hw mode's in the lab (scripts/svm-host) */
static inline bool hw(void) { return !on_tcg(); }	/* guards cases that are hw-only: TCG 7.2 is known to differ from CPUs */

/*
 * KNOWN(c, why): architecturally required, but a known limitation of direct execution or translation, named in
 * docs/: where it does not hold, a line "known: …" and no failure.  QEMU must pass.
 */
void known_(bool ok, const char *what, const char *why, int line);
#define KNOWN(c, why) known_(!!(c), #c, why, __LINE__)

int main(void);

/* ---- selectors ---- */
#define KCS 0x60
#define KDS 0x68
#define UCS 0x73
#define UDS 0x7b
#define TSS_SEL 0x80
#define LDT_SEL 0x88
#define FREE_SEL 0x90			/* 0x90 … 0xf0: for tests */
#define DF_TSS_SEL 0xf8

struct tss32 {
	u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags;
	u32 eax, ecx, edx, ebx, esp, ebp, esi, edi, es, cs, ss, ds, fs, gs, ldt;
	u16 trap, iomap;
};
extern struct tss32 tss;
extern u8 tss_iomap[8192 + 1];		/* right behind tss; all ones at start; tss.iomap points at it */
extern u64 gdt[32];
extern u64 idt[256];

/* Descriptor types: access byte; flags nibble (G=8, D/B=4). */
u64 seg_desc(u32 base, u32 limit, u8 access, u8 flags);
u64 gate_desc(u16 sel, u32 off, u8 access, u8 count);
void gdt_set(u16 sel, u64 desc);	/* and nothing else: the caller reloads */
void idt_reset(void);			/* all gates back to the runtime's */
void load_idt(u32 base, u16 limit);
void load_gdt(u32 base, u16 limit);
void runtime_gdt(void);			/* reload GDTR, CS and data segments of the runtime */

/* ---- snippets and traps ---- */
struct state {				/* order known to start.S */
	u32 eax, ecx, edx, ebx, esp, ebp, esi, edi, eip, eflags;
	u32 cs, ss, ds, es, fs, gs;
};
struct trap {
	u32 vector, error, cr2;
	struct state s;			/* at the trap; esp, ss of the interrupted ring */
	u32 frame;			/* address of the word after the frame: how far the handler's stack was used */
	u32 raw[9];			/* the words of the frame, EIP first (5 from an outer ring, 9 from VM86) */
};
#define T_DONE 0x40			/* INT $0x40 ends a snippet; DPL 3 */

struct regs {				/* on the handler's stack */
	u32 gs, fs, es, ds, edi, esi, ebp, ksp, ebx, edx, ecx, eax, vector, error;
	u32 eip, cs, eflags;
	u32 uesp, uss;			/* only from an outer ring */
	u32 ves, vds, vfs, vgs;		/* only from VM86 */
};
/* Return true to resume after the trap, false to treat it as if there were no hook. */
typedef bool (*trap_hook)(struct regs *r);
extern trap_hook hooks[256];
extern volatile u32 irq_count[256];	/* traps that hooks handled */

void trap_run(const struct state *in, struct trap *out);
struct state kstate(const void *eip);	/* CPL 0, flat, own stack, other registers zero */
struct state ustate(const void *eip);	/* CPL 3, flat, stack in the user area */
void trap_check_(const struct trap *t, u32 vector, u32 error, u32 eip, int line);
#define CHECK_TRAP(t, vector, error, eip) trap_check_(t, vector, error, (u32)(eip), __LINE__)
/* Run a snippet at CPL 0 / CPL 3 with zero registers and check vector, error and the EIP of its _f label. */
#define EXPECT_K(name, vector, error) do { struct state s_ = kstate(name); trap_run(&s_, &T); CHECK_TRAP(&T, vector, error, name##_f); } while (0)
#define EXPECT_U(name, vector, error) do { struct state s_ = ustate(name); trap_run(&s_, &T); CHECK_TRAP(&T, vector, error, name##_f); } while (0)
extern struct trap T;
#define STACK_TOP 0xfc0			/* of the 4 KiB snippet stacks: room above for tests */
extern u8 kstack_snip[8192];
extern u8 ustack[4096];			/* user area */
extern u8 udata[8192];			/* user area, page-aligned */

/*
 * SNIPPET(name, before, faulting, after): labels name, name_f (the instruction
 * of interest) and name_e (what follows it); ends with INT $0x40.  USNIPPET is in
 * the user area; both can be run at any ring while paging is off.
 */
#define SNIPPET_IN(section, name, before, f, after)					\
	asm(".pushsection " section "\n\t.globl " #name "," #name "_f," #name "_e\n"	\
	    #name ":\n\t" before "\n" #name "_f:\n\t" f "\n" #name "_e:\n\t" after "\n\tint $0x40\n\t.popsection"); \
	extern const u8 name[], name##_f[], name##_e[]
#define SNIPPET(name, before, f, after)  SNIPPET_IN(".text", name, before, f, after)
#define USNIPPET(name, before, f, after) SNIPPET_IN(".utext,\"ax\",@progbits", name, before, f, after)
#define UDATA __attribute__((section(".udata")))

/* ---- the machine ---- */
static inline void outb(u16 p, u8 v) { asm volatile("outb %0,%1" : : "a"(v), "Nd"(p) : "memory"); }
static inline void outw(u16 p, u16 v) { asm volatile("outw %0,%1" : : "a"(v), "Nd"(p) : "memory"); }
static inline void outl(u16 p, u32 v) { asm volatile("outl %0,%1" : : "a"(v), "Nd"(p) : "memory"); }
static inline u8 inb(u16 p) { u8 v; asm volatile("inb %1,%0" : "=a"(v) : "Nd"(p) : "memory"); return v; }
static inline u16 inw(u16 p) { u16 v; asm volatile("inw %1,%0" : "=a"(v) : "Nd"(p) : "memory"); return v; }
static inline u32 inl(u16 p) { u32 v; asm volatile("inl %1,%0" : "=a"(v) : "Nd"(p) : "memory"); return v; }
static inline u64 rdtsc(void) { u64 v; asm volatile("rdtsc" : "=A"(v)); return v; }
/* Waiting since then for what must come: go on?  On a busy host it may be late by seconds. */
static inline bool in_time(u64 since) { return rdtsc() - since < 50000000000ull; }
static inline u64 rdmsr(u32 n) { u64 v; asm volatile("rdmsr" : "=A"(v) : "c"(n)); return v; }
static inline void wrmsr(u32 n, u64 v) { asm volatile("wrmsr" : : "c"(n), "A"(v) : "memory"); }
static inline void cpuid(u32 l, u32 s, u32 r[4]) { asm volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(l), "c"(s)); }
#define CR(n)											\
static inline u32 rcr##n(void) { u32 v; asm volatile("mov %%cr" #n ",%0" : "=r"(v) : : "memory"); return v; }	\
static inline void wcr##n(u32 v) { asm volatile("mov %0,%%cr" #n : : "r"(v) : "memory"); }
CR(0) CR(2) CR(3) CR(4)
static inline u32 eflags(void) { u32 v; asm volatile("pushf\n\tpop %0" : "=r"(v) : : "memory"); return v; }
static inline void invlpg(u32 a) { asm volatile("invlpg (%0)" : : "r"(a) : "memory"); }
static inline void sti(void) { asm volatile("sti" : : : "memory"); }
static inline void cli(void) { asm volatile("cli" : : : "memory"); }
#define barrier() asm volatile("" : : : "memory")
static inline u32 rd32(u32 a) { return *(volatile u32 *)a; }
static inline void wr32(u32 a, u32 v) { *(volatile u32 *)a = v; }
static inline u8 rd8(u32 a) { return *(volatile u8 *)a; }
static inline void wr8(u32 a, u8 v) { *(volatile u8 *)a = v; }

void *memset(void *d, int c, size_t n);
void *memcpy(void *d, const void *s, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
bool has_word(const char *list, const char *word);	/* space-separated */

#define CR0_PE 1u
#define CR0_MP 2u
#define CR0_EM 4u
#define CR0_TS 8u
#define CR0_NE 0x20u
#define CR0_WP 0x10000u
#define CR0_AM 0x40000u
#define CR0_PG 0x80000000u
#define CR4_VME 1u
#define CR4_TSD 4u
#define CR4_DE 8u
#define CR4_PSE 0x10u
#define CR4_PAE 0x20u
#define CR4_PGE 0x80u
#define CR4_OSFXSR 0x200u
#define CR4_OSXMM 0x400u
#define CR4_OSXSAVE 0x40000u
#define FL_CF 1u
#define FL_TF 0x100u
#define FL_IF 0x200u
#define FL_DF 0x400u
#define FL_NT 0x4000u
#define FL_RF 0x10000u
#define FL_VM 0x20000u
#define FL_AC 0x40000u

/* ---- paging (paging.c): identity mappings to start from ---- */
#define PTE_P 1u
#define PTE_W 2u
#define PTE_U 4u
#define PTE_A 0x20u
#define PTE_D 0x40u
#define PTE_PS 0x80u
#define PTE_G 0x100u
#define PTE_NX (1ull << 63)
void *page_alloc(void);			/* 4 KiB, zero, from 2 MiB up to 16 MiB: never freed */
/* Two-level: identity for the first 32 MiB (user area U=1), LAPIC and I/O APIC; not yet loaded. */
u32 *pg_new(void);
u32 *pg_pte(u32 *pd, u32 va);		/* the PTE's address; makes the page table if needed (PDE P|W|U) */
void pg_map(u32 *pd, u32 va, u32 pa, u32 flags);
void pg_on(u32 *pd);			/* load CR3, set PG and WP */
void pg_off(void);
/* PAE: the same. */
u64 *pae_new(void);			/* the 4 PDPTEs */
u64 *pae_pte(u64 *pdpt, u32 va);
void pae_map(u64 *pdpt, u32 va, u64 pa, u64 flags);
void pae_on(u64 *pdpt);			/* also sets CR4.PAE, and EFER.NXE if the CPU has it */

/* ---- interrupts (irq.c) ---- */
void pic_init(u8 base0, u8 base1);	/* remapped, all masked */
void pic_mask(u16 mask);
void pic_eoi(unsigned irq);
u8 pic_requested(u8 lines);		/* waits, long, until the first 8259's IRR has all these; which of them it has */
void pit_periodic(u32 hz);
void pit_oneshot(u16 count);		/* mode 0, channel 0 */
#define LAPIC 0xfee00000u
#define PIT_HZ 1193182u
void lapic_on(u8 spurious_vector);
static inline u32 lapic_rd(u32 r) { return rd32(LAPIC + r); }
static inline void lapic_wr(u32 r, u32 v) { wr32(LAPIC + r, v); }

#endif
