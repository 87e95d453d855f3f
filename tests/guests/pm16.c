/*
 * pm16: a 16-bit protected-mode program: code, data and stack segments of 64 KiB,
 * 16-bit interrupt gate into it, far calls between 16-bit and 32-bit code, INT from 16-bit code to a
 * 32-bit handler; at CPL 0 and CPL 3.  SDM vol. 3, ch. 22.
 */
#include "rt.h"

#define CS16 0x90
#define DS16 0x98
#define SS16 0xb0
#define CS16U 0xa0
#define DS16U 0xa8
/* Copied to the frame behind DS16/CS16 (base 0x1200000). */
asm(
"	.pushsection .rodata\n"
"	.globl p16, p16_end\n"
"	.code16\n"
"p16:	mov %ax, %ds\n"
"	mov %ax, %es\n"
"	mov $0x2000, %si\n"
"	mov $0x2100, %di\n"
"	mov $16, %cx\n"
"	cld\n"
"1:	mov %cx, (%si)\n"
"	add $2, %si\n"
"	loop 1b\n"
"	mov $0x2000, %si\n"
"	mov $32, %cx\n"
"	rep movsb\n"
"	xor %ax, %ax\n"
"	mov $0x2100, %bx\n"
"	mov $16, %cx\n"
"2:	add (%bx), %ax\n"
"	add $2, %bx\n"
"	loop 2b\n"
"	call f16\n"
"	push %ax\n"
"	mov %sp, %bp\n"
"	mov (%bp), %dx\n"
"	pop %ax\n"
"	shl $4, %dx\n"
"	movzwl %dx, %edx\n"
"	mov $0x12345678, %ebx\n"
"	mov %ebx, 0x2200\n"
"	addw $1, 0x2202\n"
"	mov 0x2200, %ebx\n"
"	int $0x61\n"
"	int $0x40\n"
"f16:	inc %ax\n"
"	ret\n"
"p16_end: .code32\n"
"	.popsection\n");
extern const u8 p16[], p16_end[];
static u32 hits;
static bool count(struct regs *r)
{
	hits++;
	r->ecx = 0xc0c0;
	return true;
}
struct __attribute__((packed)) { u32 off; u16 sel; } fp16;
SNIPPET(call16, "mov $5, %eax", "lcall *fp16", "mov %eax, %ecx");

int main(void)
{
	u32 *pd = pg_new();
	u32 base = 0x1200000;
	for (u32 a = base; a < base + 0x10000; a += 4096)
		*pg_pte(pd, a) |= PTE_U;
	pg_on(pd);
	memcpy((void *)(base + 0x100), p16, (size_t)(p16_end - p16));
	gdt_set(CS16, seg_desc(base, 0xffff, 0x9b, 0));
	gdt_set(DS16, seg_desc(base, 0xffff, 0x93, 0));
	gdt_set(SS16, seg_desc(0, 0xffff, 0x93, 0));
	gdt_set(CS16U, seg_desc(base, 0xffff, 0xfb, 0));
	gdt_set(DS16U, seg_desc(base, 0xffff, 0xf3, 0));
	idt[0x61] |= 3ull << 45;
	hooks[0x61] = count;
	for (int user = 0; user < 2; user++) {
		group(user ? "a 16-bit program at CPL 3" : "a 16-bit program at CPL 0");
		struct state s = user ? ustate(0) : kstate(0);
		s.eip = 0x100;
		s.cs = user ? CS16U | 3 : CS16;
		/* At CPL 0 the handler shares the stack: its segment has base 0. */
		s.ss = user ? DS16U | 3 : SS16;
		s.eax = user ? DS16U | 3 : DS16;
		s.esp = 0xf000;
		trap_run(&s, &T);
		CHECK_EQ(T.vector, T_DONE);
		CHECK_EQ(T.s.eax & 0xffff, 137);
		CHECK_EQ(T.s.edx, 137 * 16);
		CHECK_EQ(T.s.ebx, 0x12355678);
		CHECK_EQ(T.s.ecx, 0xc0c0);
		CHECK_EQ(T.s.esp & 0xffff, 0xf000);
		CHECK_EQ(T.s.cs, s.cs);
		CHECK_EQ(T.s.eip, 0x100 + (u32)(p16_end - p16) - 2);
		CHECK_EQ(rd32(base + 0x2100), 0x000f0010);
	}
	CHECK_EQ(hits, 2);

	group("32-bit code calls 16-bit code");
	/* mov $7,%ax (66 is not needed); add %ax,... ; o32 lret */
	static const u8 f[] = { 0x05, 0x07, 0x00, 0x66, 0xcb };
	memcpy((void *)(base + 0x800), f, sizeof(f));
	fp16.sel = CS16;
	fp16.off = 0x800;
	struct state s = kstate(call16);
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, call16_e + 4);
	CHECK_EQ(T.s.ecx, 12);
	CHECK_EQ(T.s.cs, KCS);
	CHECK_EQ(T.s.esp, s.esp);
	return 0;
}
