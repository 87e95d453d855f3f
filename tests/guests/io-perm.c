/*
 * io-perm: IN, OUT, INS, OUTS at CPL 3: IOPL, the I/O permission bitmap (every byte of
 * the port range must be clear, the bitmap may end early), CLI/STI under IOPL; POPF and IRET
 * that change IOPL.  SDM vol. 1, 19.5 (I/O protection).
 */
#include "rt.h"

USNIPPET(inb_, "", "in (%dx), %al", "");
USNIPPET(inw_, "", "in (%dx), %ax", "");
USNIPPET(inl_, "", "in (%dx), %eax", "");
USNIPPET(outb_, "", "out %al, (%dx)", "");
USNIPPET(insb_, "", "insb", "");
USNIPPET(outsl_, "", "outsl", "");
USNIPPET(cli_, "", "cli", "pushf; pop %eax; sti");
USNIPPET(popf_, "pushf; andl $~0x200, (%esp)", "popf", "pushf; pop %eax; sti");
USNIPPET(imm_, "", "in $0x21, %al", "");

static struct state s;
static void run(const u8 *code, u32 port, u32 iopl)
{
	s = ustate(code);
	s.edx = port;
	s.eax = 0xff;
	s.esi = s.edi = (u32)udata;
	s.eflags |= iopl << 12;
	trap_run(&s, &T);
}
#define DENIED(n, port, iopl) do { run(n, port, iopl); CHECK_TRAP(&T, 13, 0, n##_f); } while (0)
#define ALLOWED(n, port, iopl) do { run(n, port, iopl); CHECK_TRAP(&T, T_DONE, 0, n##_e + 2); } while (0)
static void allow(u32 port, u32 count)
{
	for (u32 i = port; i < port + count; i++)
		tss_iomap[i / 8] &= ~(1u << (i & 7));
}

int main(void)
{
	pg_on(pg_new());
	outb(0x21, 0xff);

	group("all bits set");
	DENIED(inb_, 0x21, 0);
	DENIED(inw_, 0x21, 0);
	DENIED(outb_, 0x80, 0);
	DENIED(insb_, 0x21, 0);
	DENIED(outsl_, 0x80, 0);
	DENIED(imm_, 0, 0);
	DENIED(inb_, 0x21, 2);

	group("IOPL 3");
	ALLOWED(inb_, 0x21, 3);
	CHECK_EQ(T.s.eax, 0xff);
	ALLOWED(insb_, 0x21, 3);
	CHECK_EQ(T.s.edi, s.edi + 1);
	ALLOWED(imm_, 0, 3);
	CHECK_EQ(T.s.eflags & 0x3000, 0x3000);

	group("one bit clear");
	allow(0x21, 1);
	ALLOWED(inb_, 0x21, 0);
	CHECK_EQ(T.s.eax, 0xff);
	ALLOWED(imm_, 0x21, 0);
	DENIED(inb_, 0x20, 0);
	DENIED(inw_, 0x21, 0);
	DENIED(inw_, 0x20, 0);
	DENIED(inl_, 0x1e, 0);

	group("wider accesses");
	allow(0x80, 4);
	allow(0x86, 4);			/* across a byte of the bitmap */
	ALLOWED(inl_, 0x80, 0);
	DENIED(inl_, 0x81, 0);
	ALLOWED(inw_, 0x82, 0);
	DENIED(inw_, 0x83, 0);
	ALLOWED(outsl_, 0x80, 0);
	ALLOWED(inl_, 0x86, 0);
	DENIED(inl_, 0x87, 0);

	group("the bitmap's end is the TSS limit");
	gdt_set(0x90, seg_desc((u32)&tss, 104 + 0x80 / 8 + 1 - 1, 0x89, 0));	/* bytes for ports below 0x88 */
	asm volatile("ltr %w0" : : "r"(0x90));
	ALLOWED(inb_, 0x21, 0);
	DENIED(inb_, 0x88, 0);
	DENIED(inb_, 0x3fe, 0);
	DENIED(inb_, 0x80, 0);			/* two bytes are read: the second is beyond the limit */
	gdt_set(0x90, seg_desc((u32)&tss, 104 - 1, 0x89, 0));
	asm volatile("ltr %w0" : : "r"(0x90));
	DENIED(inb_, 0x21, 0);
	tss.iomap = 0xffff;
	gdt_set(0x90, seg_desc((u32)&tss, 0x2000, 0x89, 0));
	asm volatile("ltr %w0" : : "r"(0x90));
	DENIED(inb_, 0x21, 0);
	tss.iomap = 104;
	ALLOWED(inb_, 0x21, 0);			/* the map base is read at every access */

	group("CLI, STI and POPF under IOPL");
	DENIED(cli_, 0, 0);
	DENIED(cli_, 0, 2);
	run(popf_, 0, 0);
	CHECK_TRAP(&T, 13, 0, popf__e + 2);	/* the POPF is silent, the STI behind it not */
	CHECK_EQ(T.s.eax & FL_IF, FL_IF);
	run(popf_, 0, 3);
	CHECK_TRAP(&T, T_DONE, 0, popf__e + 5);
	KNOWN(!(T.s.eax & FL_IF), "POPF at CPL 3 with IOPL 3 runs directly and leaves IF alone");
	run(cli_, 0, 3);
	CHECK_TRAP(&T, T_DONE, 0, cli__e + 5);
	KNOWN(!(T.s.eax & FL_IF), "PUSHF at CPL 3 with IOPL 3 runs directly and shows the host's IF");
	CHECK_EQ(T.s.eflags & FL_IF, FL_IF);
	return 0;
}
