/*
 * irq-stress: a long computation that keeps something in every register, in the flags, on the
 * stack and in string instructions, run in the kernel and in user code, first undisturbed, then under a fast
 * timer: the results must be equal.  The handler changes every register and flag it can.
 */
#include "rt.h"

#define WORK \
	"	mov $0x9e3779b9, %eax; xor %ebx, %ebx; mov $1, %edx; xor %ebp, %ebp\n"	\
	"1:	add %eax, %ebx; adc %edx, %ebp; sbb $3, %edx; rcl $1, %edx; jc 2f; xor $0x55, %bl\n" \
	"2:	push %ebx; push %ebp; push %ecx\n"					\
	"	mov $udata, %esi; mov $udata + 256, %edi; mov %ebx, (%esi); mov %ebp, 12(%esi)\n" \
	"	mov $16, %ecx; cld; rep movsl; lea -64(%edi), %esi; mov $16, %ecx; repe cmpsl; setz %al\n" \
	"	call 4f\n"								\
	"	pop %ecx; pop %ebp; pop %ebx\n"						\
	"	rol $5, %eax; sub %edx, %eax; pushf; pop %esi; and $0x8d5, %esi; add %esi, %ebp\n" \
	"	push %ecx; mov $5, %cl; shld %cl, %ebx, %edx; pop %ecx; bswap %eax; cmp %eax, %ebx; cmovb %ebx, %eax; sahf; lahf\n" \
	"	imul $1000003, %eax, %eax; mov %eax, %esi; and $60, %esi; lock addl %ebx, udata(%esi); xchg %edx, udata + 64(%esi)\n" \
	"	dec %ecx; jnz 1b; jmp 5f\n"						\
	"4:	add udata + 260, %eax; lea 7(%eax,%ebx,2), %eax; xor %edi, %eax; ret\n"	\
	"5:	cmp %ebp, %eax\n"
SNIPPET(k_work, WORK, "nop", "");
USNIPPET(u_work, WORK, "nop", "");

static volatile u32 ticks, in_user;
static bool tick(struct regs *r)
{
	ticks++;
	if ((r->cs & 3) == 3)
		in_user++;
	asm volatile("mov $-1, %%eax; mov %%eax, %%ecx; mov %%eax, %%edx; mov %%eax, %%esi; mov %%eax, %%edi; add %%eax, %%eax; std; cld; stc"
		     : : : "eax", "ecx", "edx", "esi", "edi", "cc");
	lapic_wr(0xb0, 0);
	return true;
}

static void run(bool user, bool disturb, u32 turns, struct trap *t)
{
	for (u32 i = 0; i < 1024; i++)
		((volatile u32 *)udata)[i] = i * 0x01234567;
	struct state s = user ? ustate(u_work) : kstate(k_work);
	s.ecx = turns;
	s.eflags = 2 | (disturb || user ? FL_IF : 0);
	trap_run(&s, t);
	/* the memory is part of the result */
	u32 h = 0;
	for (u32 i = 0; i < 1024; i++)
		h = (h ^ ((volatile u32 *)udata)[i]) * 0x01000193;
	t->s.esi = h;
}

int main(void)
{
	static struct trap a, b;
	pic_init(0x20, 0x28);
	pg_on(pg_new());
	lapic_on(0xff);
	hooks[0x50] = tick;
	for (int user = 0; user < 2; user++) {
		group(user ? "user code" : "kernel code");
		u32 turns = 200000;
		run(user, 0, turns, &a);
		CHECK_EQ(a.vector, T_DONE);
		CHECK_EQ(ticks * !user, 0);
		ticks = in_user = 0;
		lapic_wr(0x3e0, 0xb);			/* divide by 1 */
		lapic_wr(0x320, 0x50 | 0x20000);
		lapic_wr(0x380, is_qemu() ? 200000 : 100000);
		u32 rounds = 0;
		u64 t = rdtsc();
		/* On a busy host ticks may be late. */
		for (; ticks < 200 && (rounds < 40 || ((user ? in_user < 10 : ticks < 20) && in_time(t))); rounds++) {
			run(user, 1, turns, &b);
			if (memcmp(&a.s, &b.s, sizeof(a.s)) && ((a.s.eflags ^ b.s.eflags) & ~FL_IF || memcmp(&a.s, &b.s, 9 * 4)))
				fail("round %u after %u ticks: eax %x %x ebx %x %x ecx %x %x edx %x %x ebp %x %x edi %x %x mem %x %x fl %x %x", rounds, ticks,
				     a.s.eax, b.s.eax, a.s.ebx, b.s.ebx, a.s.ecx, b.s.ecx, a.s.edx, b.s.edx, a.s.ebp, b.s.ebp, a.s.edi, b.s.edi,
				     a.s.esi, b.s.esi, a.s.eflags, b.s.eflags);
			else
				CHECK(b.vector == T_DONE);
		}
		lapic_wr(0x320, 0x10000);
		CHECK(ticks >= 20);
		CHECK(!user || in_user >= 10);
		ticks = 0;
	}
	return 0;
}
