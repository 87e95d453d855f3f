/*
 * fpu-state: x87, SSE and (where the CPU has it) AVX state across everything that leaves and
 * re-enters code: traps to the kernel and back to user mode, page faults handled and restarted,
 * timer interrupts, callouts (CPUID, port I/O, CR writes); two user programs
 * with their own state switched by FXSAVE/FXRSTOR.  The kernel touches nothing by itself.
 * SDM vol. 3, ch. 13.
 */
#include "rt.h"

static u8 in[512] __attribute__((aligned(64))), out_[512] __attribute__((aligned(64)));
static u8 ctx[2][512] __attribute__((aligned(64)));
static u32 ymm_in[8][8] __attribute__((aligned(64))), ymm_out[8][8] __attribute__((aligned(64)));
static bool avx;

static void load(u32 seed)
{
	memset(in, 0, sizeof(in));
	u32 *w = (u32 *)in;
	w[0] = 0x0f7f | (seed & 7) << 27;
	w[1] = 0xff;
	w[6] = 0x3f80;
	for (u32 i = 0; i < 8; i++) {
		w[8 + 4 * i] = seed * 77 + i;
		w[9 + 4 * i] = 0x80000000 | (seed + i);
		w[10 + 4 * i] = 0x3fff + i;
	}
	for (u32 i = 0; i < 32; i++)
		w[40 + i] = seed * 1001 + i * 0x01010101;
	asm volatile("fxrstor %0" : : "m"(in));
	if (avx) {
		for (u32 i = 0; i < 64; i++)
			((u32 *)ymm_in)[i] = seed * 31 + i * 0x00110011;
		asm volatile("vmovups (%0),%%ymm0; vmovups 32(%0),%%ymm1; vmovups 64(%0),%%ymm2; vmovups 96(%0),%%ymm3;"
			"vmovups 128(%0),%%ymm4; vmovups 160(%0),%%ymm5; vmovups 192(%0),%%ymm6; vmovups 224(%0),%%ymm7" : : "r"(ymm_in) : "memory");
	}
}

static void verify(const char *what)
{
	asm volatile("fxsave %0" : "=m"(out_));
	u32 *a = (u32 *)in, *b = (u32 *)out_;
	bool same = a[0] << 16 == b[0] << 16 && (a[0] >> 27 & 7) == (b[0] >> 27 & 7) && (a[1] & 0xff) == (b[1] & 0xff) && a[6] == b[6];
	for (u32 i = 0; i < 8; i++)
		same &= a[8 + 4 * i] == b[8 + 4 * i] && a[9 + 4 * i] == b[9 + 4 * i] && (a[10 + 4 * i] & 0xffff) == (b[10 + 4 * i] & 0xffff);
	if (!same)
		fail("%s: x87 state lost: %x %x %x, st0 %x %x %x", what, b[0], b[1], b[6], b[8], b[9], b[10]);
	else
		CHECK(same);
	if (avx) {
		asm volatile("vmovups %%ymm0,(%0); vmovups %%ymm1,32(%0); vmovups %%ymm2,64(%0); vmovups %%ymm3,96(%0);"
			"vmovups %%ymm4,128(%0); vmovups %%ymm5,160(%0); vmovups %%ymm6,192(%0); vmovups %%ymm7,224(%0)" : : "r"(ymm_out) : "memory");
		same = memcmp(ymm_in, ymm_out, sizeof(ymm_in)) == 0;
	} else {
		same = memcmp(in + 160, out_ + 160, 128) == 0;
	}
	if (!same)
		fail("%s: SSE/AVX state lost", what);
	else
		CHECK(same);
}

#define VA 0x30000000u
static u32 *pd;
static u32 faults;
static bool demand(struct regs *r)
{
	if (rcr2() < VA || rcr2() >= VA + 0x100000)
		return false;
	pg_map(pd, rcr2() & ~0xfffu, (u32)page_alloc(), PTE_P | PTE_W | PTE_U);
	faults++;
	return true;
}
static volatile u32 ticks;
static bool tick(struct regs *r) { ticks++; pic_eoi(0); return true; }

USNIPPET(u_walk, "", "1: incl (%esi); add $4096, %esi; dec %ecx; jnz 1b", "");
USNIPPET(u_nop, "", "nop", "");
USNIPPET(u_cnt, "", "1: dec %ecx; jnz 1b", "");
USNIPPET(u_add, "", "addps %xmm1, %xmm0; fld1; faddp; int $0x50; addps %xmm1, %xmm0; fld1; faddp", "");
SNIPPET(k_walk, "", "1: incl (%esi); add $4096, %esi; dec %ecx; jnz 1b", "");
static bool yield(struct regs *r)
{
	/* Away: another program's state in the meantime. */
	asm volatile("fxsave %0" : "=m"(ctx[0]));
	asm volatile("fxrstor %0" : : "m"(ctx[1]));
	asm volatile("xorps %%xmm0, %%xmm0; fninit; fldz" : : );
	asm volatile("fxrstor %0" : : "m"(ctx[0]));
	return true;
}

int main(void)
{
	u32 r[4];
	struct state s;
	cpuid(1, 0, r);
	CHECK(r[3] >> 24 & 1);
	wcr4(rcr4() | CR4_OSFXSR | CR4_OSXMM);
	wcr0((rcr0() & ~(CR0_EM | CR0_TS)) | CR0_MP | CR0_NE);
	if ((r[2] >> 26 & 1) && (r[2] >> 28 & 1)) {
		wcr4(rcr4() | CR4_OSXSAVE);
		asm volatile("xsetbv" : : "a"(7), "d"(0), "c"(0));
		avx = true;
	}
	out("note: %s\n", avx ? "with AVX" : "without AVX");
	asm volatile("fninit; fxsave %0" : "=m"(ctx[1]));
	pd = pg_new();
	pg_on(pd);
	pic_init(0x20, 0x28);
	hooks[0x20] = tick;

	group("kernel callouts");
	load(1);
	for (u32 i = 0; i < 100; i++) {
		cpuid(0, 0, r);
		inb(0x21);
		wcr3((u32)pd);
		rdtsc();
		invlpg(VA);
	}
	verify("cpuid, in, mov cr3");

	group("user mode and back");
	load(2);
	for (u32 i = 0; i < 50; i++) {
		s = ustate(u_nop);
		trap_run(&s, &T);
	}
	verify("iret, int");

	group("page faults in user code");
	hooks[14] = demand;
	load(3);
	s = ustate(u_walk);
	s.esi = VA, s.ecx = 50;
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(faults, 50);
	verify("demand faults");

	group("page faults in the kernel");
	load(4);
	s = kstate(k_walk);
	s.esi = VA + 0x80000, s.ecx = 20;
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(faults, 70);
	verify("kernel demand faults");

	group("timer interrupts in user code");
	pit_periodic(1000);
	pic_mask(0xfffe);
	for (u32 i = 0; i < 50 && !ticks; i++) {	/* on a busy host they may be late */
		load(5);
		s = ustate(u_cnt);
		s.ecx = 100000000;
		trap_run(&s, &T);
		CHECK_EQ(T.vector, T_DONE);
		verify("ticks in user code");
	}
	CHECK(ticks > 0);

	group("timer interrupts in the kernel, and HLT");
	load(6);
	for (u32 i = 0; i < 10; i++)
		asm volatile("sti; hlt; cli");
	verify("hlt");
	pic_mask(0xffff);

	group("two programs, switched by FXSAVE and FXRSTOR");
	idt[0x50] |= 3ull << 45;
	hooks[0x50] = yield;
	for (u32 i = 0; i < 30; i++) {
		load(10);
		*(u32 *)(in + 160) = 0x3f800000;	/* xmm0[0] = 1.0 */
		*(u32 *)(in + 176) = 0x40000000;	/* xmm1[0] = 2.0 */
		memset(in + 164, 0, 12);
		memset(in + 180, 0, 12);
		((u32 *)in)[8] = 0, ((u32 *)in)[9] = 0x80000000, ((u32 *)in)[10] = 0x3fff;	/* st0 = 1.0 */
		((u32 *)in)[1] = 0xff & ~(1u << (((((u32 *)in)[0] >> 27) - 1) & 7));
		asm volatile("fxrstor %0" : : "m"(in));
		s = ustate(u_add);
		trap_run(&s, &T);
		CHECK_EQ(T.vector, T_DONE);
		asm volatile("fxsave %0" : "=m"(out_));
		CHECK_EQ(*(u32 *)(out_ + 160), 0x40a00000);	/* 1 + 2 + 2 */
		CHECK_EQ(((u32 *)out_)[9], 0xc0000000);		/* 1 + 1 + 1 */
		CHECK_EQ(((u32 *)out_)[10] & 0xffff, 0x4000);
	}
	return 0;
}
