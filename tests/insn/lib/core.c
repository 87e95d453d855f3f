/*
 * Runs the cases of one topic: see core.h and insn.inc.
 *
 * Output: one line a case, "NAME RUNS HASH", where HASH covers every register,
 * EFLAGS, the scratch data, the stack area, the fault if there was one, and the
 * x87/SSE/AVX state where the case asks for it.  With -v one line a run instead.
 *
 * Not covered, by decision: the x87 instruction and operand pointers (a
 * translator runs the instruction elsewhere), and the bit of #PF's error code
 * that tells the ring.
 */
#include "core.h"

enum { R, P, A, X, C, I, B, Z, W, G, K, T, N, O, AA, SP, SU, SN };
enum { F_DF = 1, F_FPU = 2, F_AVX = 4, F_NOQEMU = 8, F_KERNEL = 16, F_NOUNDER = 32, F_USER = 64, F_MMX = 128, F_UNDEF = 256 };

struct tcase {
	const char *name;
	void *code;
	u32 n, undef, need, fl;
	u8 kind[8];
};
extern const struct tcase __cases[], __cases_end[];

struct fault_info fault_info;
u16 flat_sel, seg_sel, seg_limit_sel, code16_sel, flat_cs_sel;
u32 in_regs[8], in_flags, in_eip, out_regs[8], out_flags, faulted;
void case_enter(void);

/* Page 0,1: data (cases use 256 bytes on each side of the boundary); 2: data below the hole at 3;
 * 4: data below the read-only page 5; 8: hole; 9,a: stack. */
__attribute__((section(".scratch"))) u8 scratch[0xb000];
#define DATA   (SCRATCH + 0x1000 - 256)
#define BELOW_HOLE (HOLE_PAGE - 256)
#define BELOW_RO (RO_PAGE - 256)
#define STACK  (SCRATCH + 0xa000 - 256)
#define ABOVE_HOLE2 (HOLE2_PAGE + 0x1000)

static const struct platform *plat;
static struct __attribute__((aligned(64))) { u8 b[512]; } fpu_in, fpu_out, fpu_clean;
static __attribute__((aligned(64))) u32 ymm_in[8][8], ymm_out[8][8];

static char line[512];
static u32 line_len;

static void flush(void)
{
	plat->write(line, line_len);
	line_len = 0;
}
static void put(char c)
{
	line[line_len++] = c;
	if (c == '\n' || line_len == sizeof(line))
		flush();
}
static void puts_(const char *s) { while (*s) put(*s++); }
static void hex(u32 v, int digits) { while (digits--) put("0123456789abcdef"[v >> 4 * digits & 15]); }
static void dec(u32 v) { char b[12]; int n = 0; do b[n++] = (char)('0' + v % 10); while (v /= 10); while (n) put(b[--n]); }

static u32 seed;
static u32 rng(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

static const u32 corners[] = {
	0, 1, 2, 3, 7, 8, 0xf, 0x10, 0x1f, 0x20, 0x21, 0x3f, 0x40, 0x7f, 0x80, 0x81, 0xff, 0x100, 0x7fff, 0x8000, 0x8001, 0xffff, 0x10000,
	0x7f7f7f7f, 0x80808080, 0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff, 0xffff0000, 0xffffff80, 0xffff8000,
	0x55555555, 0xaaaaaaaa, 0x3f800000, 0xbf800000, 0x7f800000, 0x7fc00000, 0x00000099, 0x0000009a, 0x66, 0x9a9a9a9a,
};
static u32 value(void)
{
	u32 r = rng();
	switch (r >> 30) {
	case 0: return corners[(r & 0xffff) % (sizeof(corners) / 4)];
	case 1: return corners[(r & 0xffff) % (sizeof(corners) / 4)] + (rng() & 7) - 3;
	case 2: return rng();
	default: return rng() >> (r & 31);
	}
}

static u32 operand(u32 kind)
{
	u32 r = rng();
	switch (kind) {
	case R: return value();
	case P: return DATA + 256 - 64 + r % 129;
	case A: return DATA + 256 - 64 + (r % 8) * 16;
	case AA: return DATA + 256 - 64 + (r % 2) * 64;
	case X: return DATA + 256 - 1 - (r % 16);
	case C: return r & 0x300 ? r % 9 : r % 41;
	case T: return r % 4;
	case I: return r % 33 - 16;
	case B: return r % 2001 - 1000;
	case W: return DATA + 256 - 64 + r % 129 + 0x80000000;
	case G: return DATA + 256 - 64 + r % 129 - SEG_BASE;
	case K: return STACK + 256 + (r % 17 - 8) * 4;
	case N: return HOLE_PAGE - 1 - (r % 16);
	case O: return RO_PAGE - 1 - (r % 16);
	case SP: return STACK + 256 + (r % 17 - 8) * 4;
	case SU: return STACK + 256 + r % 65 - 32;
	case SN: return ABOVE_HOLE2 + (r % 9) * 4;
	default: return 0;
	}
}

static void fill(u32 at, u32 bytes)
{
	u32 *w = (u32 *)at;
	u32 s = rng();
	for (u32 i = 0; i < bytes / 4; i++) {
		s = s * 1664525 + 1013904223;
		w[i] = s ^ s >> 15;
	}
}

static u32 hash;
static void mix(u32 v)
{
	hash = (hash ^ v) * 0x01000193;
	hash ^= hash >> 15;
}
static u32 sum(u32 at, u32 bytes)
{
	u32 *w = (u32 *)at, h = 0x811c9dc5;
	for (u32 i = 0; i < bytes / 4; i++) {
		h = (h ^ w[i]) * 0x01000193;
		h ^= h >> 15;
	}
	return h;
}

static u32 features(void)
{
	u32 f = 0, a, b, c, d, a7, b7, c7, d7, ce, x;
	__asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0), "c"(0));
	u32 max = a;
	__asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(1), "c"(0));
	a7 = b7 = c7 = d7 = 0;
	if (max >= 7)
		__asm__ volatile("cpuid" : "=a"(a7), "=b"(b7), "=c"(c7), "=d"(d7) : "a"(7), "c"(0));
	__asm__ volatile("cpuid" : "=a"(x), "=b"(b), "=c"(ce), "=d"(a) : "a"(0x80000001), "c"(0));
#define HAVE(bit, reg, n) if (reg >> n & 1) f |= bit
	HAVE(0x1, c, 23);
	HAVE(0x2, ce, 5);
	HAVE(0x4, b7, 3);
	HAVE(0x8, b7, 8);
	HAVE(0x10, b7, 19);
	HAVE(0x20, c, 22);
	HAVE(0x40, c, 0);
	HAVE(0x80, c, 9);
	HAVE(0x100, c, 19);
	HAVE(0x200, c, 20);
	HAVE(0x8000, b7, 29);
	HAVE(0x2000, c, 25);
	HAVE(0x4000, c, 1);
	HAVE(0x20000, ce, 6);
	HAVE(0x80000, d, 8);
	HAVE(0x100000, c7, 8);
	if (c >> 27 & 1) {	/* OSXSAVE */
		u32 xa, xd;
		__asm__ volatile("xgetbv" : "=a"(xa), "=d"(xd) : "c"(0));
		f |= 0x40000;
		__asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(x), "=d"(xd) : "a"(13), "c"(1));
		HAVE(0x800000, a, 0);
		HAVE(0x1000000, a, 1);
		__asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(1), "c"(0));
		if ((xa & 6) == 6) {
			HAVE(0x400, c, 28);
			HAVE(0x800, b7, 5);
			HAVE(0x1000, c, 12);
			HAVE(0x10000, c, 29);
			HAVE(0x200000, c7, 9);
			if ((xa & 0xe0) == 0xe0)
				HAVE(0x400000, b7, 31);	/* AVX512VL */
		}
	}
	return f;
}

/* An 80-bit value: mostly ordinary numbers of either sign, sometimes the odd ones. */
static void put_st(u8 *p)
{
	u32 r = rng(), e = 0x3fff + (rng() % 61) - 30, lo = rng(), hi = rng() | 0x80000000;
	switch (r & 15) {
	case 0: e = 0, lo = hi = 0; break;			/* zero */
	case 1: e = 0x7fff, lo = 0, hi = 0x80000000; break;	/* infinity */
	case 2: e = 0x7fff, hi |= 0xc0000000; break;		/* QNaN */
	case 3: e = 0, hi &= 0x7fffffff; break;			/* denormal */
	case 4: lo = 0, hi = 0x80000000, e = 0x3fff; break;	/* one */
	case 5: lo = 0; break;
	case 6: lo &= 0xfffff800; break;			/* a double */
	case 7: e = 0x3fff + rng() % 20, lo = 0, hi &= 0xfff00000; break;
	default: break;
	}
	((u32 *)p)[0] = lo;
	((u32 *)p)[1] = hi;
	((u32 *)p)[2] = e | (r & 0x8000);
}

static u32 fval(void)
{
	u32 r = rng();
	if (r & 1)
		return value();
	return (r & 0x80000000) | (127 + (r >> 8) % 40 - 20) << 23 | (rng() & (r & 2 ? 0x7fffff : 0x700000));
}

static void fpu_setup(u32 fl)
{
	u32 *w = (u32 *)fpu_in.b;
	for (u32 i = 0; i < 128; i++)
		w[i] = 0;
	u32 r = rng();
	w[0] = 0x37f | (r & 0x3000000 ? 0 : (r & 3) << 10) | (r & 0xc0000000 ? 0x300 : 0);	/* FCW: RC, PC */
	if (!(r & 0x30))
		w[0] &= ~0xf3u << 8 | 0xff;
	w[0] = (w[0] & 0xffff) | (fl & F_NOUNDER ? (r >> 8 & 7) << 27 : (r >> 8 & 3) ? (r >> 10 & 7) << 27 : 0);	/* FSW: TOP */
	w[1] = fl & F_NOUNDER ? 0xff : (r >> 14 & 3) == 0 ? 0 : (r >> 14 & 3) == 1 ? rng() & 0xff : 0xff;	/* FTW */
	w[6] = 0x1f80 | (r & 0x300000 ? 0 : (r >> 16 & 3) << 13);	/* MXCSR: RC */
	for (u32 i = 0; i < 8; i++)
		put_st(fpu_in.b + 32 + 16 * i);
	for (u32 i = 0; i < 32; i++) {
		u32 *x = (u32 *)(fpu_in.b + 160) + i;
		if ((rng() & 7) == 0 && (i & 1)) {	/* a double */
			x[-1] = rng();
			x[0] = (rng() & 0x800fffff) | (1023 + rng() % 40 - 20) << 20;
		} else {
			x[0] = fval();
		}
	}
}

/* loose: without the exception flags and C1, where TCG is known to be approximate. */
static u32 fpu_sum(int loose, u32 fl)
{
	u32 *w = (u32 *)fpu_out.b;
	u32 fsw = w[0] >> 16;
	u32 h = 0x811c9dc5;
#define H(v) h = (h ^ (v)) * 0x01000193, h ^= h >> 15
	H(loose ? w[0] & ~0x02bf0000u : w[0]);
	H(w[1] & 0xff);
	H(loose ? w[6] & ~0x3fu : w[6]);
	for (u32 i = 0; i < 8; i++) {
		if (!(w[1] & 1u << ((i + (fsw >> 11)) & 7)))
			continue;	/* empty: the content may depend on how state was saved and restored */
		H(w[8 + 4 * i]);
		H(w[9 + 4 * i]);
		if (!(loose && fl & F_MMX))	/* TCG does not set the exponent to all ones */
			H(w[10 + 4 * i] & 0xffff);
	}
	for (u32 i = 0; i < 32; i++)
		H(w[40 + i]);
	return h;
}

static void ymm_load(void)
{
	__asm__ volatile("vmovups (%0),%%ymm0\n vmovups 32(%0),%%ymm1\n vmovups 64(%0),%%ymm2\n vmovups 96(%0),%%ymm3\n"
		"vmovups 128(%0),%%ymm4\n vmovups 160(%0),%%ymm5\n vmovups 192(%0),%%ymm6\n vmovups 224(%0),%%ymm7" : : "r"(ymm_in) : "memory");
}
static void ymm_save(void)
{
	__asm__ volatile("vmovups %%ymm0,(%0)\n vmovups %%ymm1,32(%0)\n vmovups %%ymm2,64(%0)\n vmovups %%ymm3,96(%0)\n"
		"vmovups %%ymm4,128(%0)\n vmovups %%ymm5,160(%0)\n vmovups %%ymm6,192(%0)\n vmovups %%ymm7,224(%0)\n vzeroupper" : : "r"(ymm_out) : "memory");
}

static const char *word_after(const char *cmdline, const char *key)
{
	for (const char *p = cmdline; *p; p++) {
		if (p != cmdline && p[-1] != ' ')
			continue;
		const char *a = p, *k = key;
		while (*k && *a == *k)
			a++, k++;
		if (!*k)
			return a;
	}
	return 0;
}

static int prefix(const char *name, const char *want)
{
	while (*want && *want != ' ')
		if (*name++ != *want++)
			return 0;
	return 1;
}

int core_run(const struct platform *p, const char *cmdline)
{
	plat = p;
	int verbose = word_after(cmdline, "-v") != 0, mask = word_after(cmdline, "mask") != 0;
	const char *only = word_after(cmdline, "only=");
	u32 have = features(), total = 0;
	__asm__ volatile("fninit\n fxsave %0" : "=m"(fpu_clean));

	for (const struct tcase *t = __cases; t < __cases_end; t++) {
		if (only && !prefix(t->name, only))
			continue;
		if ((t->fl & F_KERNEL && plat->guest == GUEST_USER) || (t->fl & F_USER && plat->guest == GUEST_KERNEL) || (t->fl & F_NOQEMU && mask)) {
			puts_(t->name);
			puts_(" - omitted\n");
			continue;
		}
		if (t->need & ~have) {
			puts_(t->name);
			puts_(" - unsupported\n");
			continue;
		}
		u32 name_hash = 0x811c9dc5;
		for (const char *s = t->name; *s; s++)
			name_hash = (name_hash ^ (u8)*s) * 0x01000193;
		hash = 0x811c9dc5;
		for (u32 i = 0; i < t->n; i++) {
			seed = (name_hash ^ (i + 1) * 0x9e3779b9) | 1;
			rng();
			fill(DATA, 512);
			fill(STACK, 512);
			int holes = 0;
			for (u32 r = 0; r < 8; r++) {
				in_regs[r] = operand(t->kind[r]);
				u32 k = t->kind[r];
				if (k == N || k == O || k == SN)
					holes |= k == N ? 1 : k == O ? 2 : 4;
			}
			if (holes & 1)
				fill(BELOW_HOLE, 256);
			if (holes & 2)
				fill(BELOW_RO, 256);
			if (holes & 4)
				fill(ABOVE_HOLE2, 256);
			/* Half of the time a pointer points at a well-known value. */
			for (u32 r = 0; r < 8; r++) {
				u32 k = t->kind[r], at = in_regs[r];
				if (k == W)
					at -= 0x80000000;
				else if (k == G)
					at += SEG_BASE;
				else if (k != P && k != A && k != AA && k != X)
					continue;
				if (rng() & 1)
					*(volatile u32 __attribute__((aligned(1))) *)at = t->fl & (F_FPU | F_AVX) ? fval() : value();
			}
			in_flags = 2 | (rng() & (t->fl & F_DF ? 0xcd5 : 0x8d5));
			in_eip = (u32)t->code;
			if (t->fl & (F_FPU | F_AVX)) {
				fpu_setup(t->fl);
				__asm__ volatile("fxrstor %0" : : "m"(fpu_in));
				if (t->fl & F_AVX) {
					for (u32 y = 0; y < 64; y++)
						((u32 *)ymm_in)[y] = fval();
					ymm_load();
				}
			}
			faulted = 0;
			case_enter();
			if (t->fl & (F_FPU | F_AVX)) {
				if (t->fl & F_AVX)
					ymm_save();
				__asm__ volatile("fxsave %0" : "=m"(fpu_out));
				__asm__ volatile("fxrstor %0" : : "m"(fpu_clean));
			}
			total++;
			/* A fault at CPL 0 writes a frame below the case's stack pointer. */
			if (faulted && out_regs[4] >= SCRATCH + 64 && out_regs[4] <= SCRATCH + sizeof(scratch) && out_regs[4] - 32 >= ABOVE_HOLE2)
				for (u32 b = 1; b <= 28; b++)
					((u8 *)out_regs[4])[-(int)b] = 0;
			u32 flags = out_flags & 0x240cd5;	/* arithmetic, DF, AC, ID */
			if (mask || t->fl & F_UNDEF)
				flags &= ~t->undef;
			u32 mem = sum(DATA, 512), stack = sum(STACK, 512), fpu = 0;
			if (holes & 1)
				mem ^= sum(BELOW_HOLE, 256);
			if (holes & 2)
				mem ^= sum(BELOW_RO, 256) ^ sum(RO_PAGE, 64);
			if (holes & 4)
				stack ^= sum(ABOVE_HOLE2, 256);
			if (t->fl & (F_FPU | F_AVX))
				fpu = fpu_sum(mask, t->fl);
			if (t->fl & F_AVX)
				fpu ^= sum((u32)ymm_out, sizeof(ymm_out)) * 3;
			if (fault_info.vector == 14)
				fault_info.error &= ~0x14u;	/* the ring; I/D, which depends on NX being on */
			if (mask && fault_info.vector == 14)
				fault_info.error &= ~2u;	/* TCG reads first; CPUs want write permission at once */
			if (verbose) {
				static const char names[8][4] = { "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi" };
				puts_(t->name);
				put('#');
				dec(i);
				puts_(" in");
				for (u32 r = 0; r < 8; r++) {
					put(' ');
					puts_(names[r]);
					put(' ');
					hex(in_regs[r], 8);
				}
				puts_(" fl ");
				hex(in_flags, 4);
				puts_(" out");
				for (u32 r = 0; r < 8; r++) {
					put(' ');
					if (in_regs[r] == out_regs[r])
						puts_("=");
					else
						hex(out_regs[r], 8);
				}
				puts_(" fl ");
				hex(flags, 4);
				puts_(" mem ");
				hex(mem, 8);
				puts_(" stk ");
				hex(stack, 8);
				if (t->fl & (F_FPU | F_AVX)) {
					puts_(" fpu ");
					hex(fpu, 8);
				}
				if (faulted) {
					puts_(" trap ");
					hex(fault_info.vector, 2);
					puts_(" err ");
					hex(fault_info.error, 4);
					puts_(" eip ");
					hex(fault_info.eip, 8);
					if (fault_info.vector == 14) {
						puts_(" cr2 ");
						hex(fault_info.cr2, 8);
					}
				}
				put('\n');
				if (word_after(cmdline, "state") && t->fl & (F_FPU | F_AVX)) {
					for (u32 w = 0; w < 72; w++) {
						puts_(w % 8 ? " " : "\n  ");
						hex(((u32 *)fpu_out.b)[w], 8);
					}
					put('\n');
				}
			}
			for (u32 r = 0; r < 8; r++)
				mix(out_regs[r]);
			mix(flags);
			mix(mem);
			mix(stack);
			mix(fpu);
			if (faulted) {
				mix(fault_info.vector);
				mix(fault_info.error);
				mix(fault_info.eip);
				if (fault_info.vector == 14)
					mix(fault_info.cr2);
			}
		}
		if (!verbose) {
			puts_(t->name);
			put(' ');
			dec(t->n);
			put(' ');
			hex(hash, 8);
			put('\n');
		}
	}
	puts_("total ");
	dec(total);
	put('\n');
	return total != 0;
}
