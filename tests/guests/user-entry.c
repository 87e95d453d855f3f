/*
 * user-entry: IRET to CPL 3 with paging on, back by INT through the TSS stack;
 * registers both ways; user access to supervisor pages; privileged
 * instructions; system calls that the kernel resumes; arithmetic done in user
 * mode.  SDM vol. 3, 5.8, 6.12.1, 4.6.
 */
#include "rt.h"

USNIPPET(u_regs, "", "add $1, %eax; add $2, %ecx; add $3, %edx; add $4, %ebx; add $5, %ebp; add $6, %esi; add $7, %edi", "");
USNIPPET(u_read, "", "mov (%esi), %eax", "");
USNIPPET(u_write, "", "mov %eax, (%esi)", "");
USNIPPET(u_cli, "", "cli", "");
USNIPPET(u_cr3, "", "mov %cr3, %eax", "");
USNIPPET(u_in, "", "in $0x60, %al", "");
USNIPPET(u_stack, "push $0x1111; push $0x2222; pop %eax; pop %ecx", "nop", "");
USNIPPET(u_sys, "xor %ebx, %ebx; mov $1000, %ecx\n1:\tmov %ecx, %eax; int $0x50; add %eax, %ebx; dec %ecx; jnz 1b", "nop", "");
USNIPPET(u_loop, "xor %eax, %eax; mov $1000000, %ecx\n1:\tadd %ecx, %eax; dec %ecx; jnz 1b", "nop", "");
USNIPPET(u_jmp, "", "jmp *%esi", "");

static bool sys(struct regs *r)
{
	if ((r->cs & 3) != 3)
		return false;
	r->eax *= 2;
	return true;
}

int main(void)
{
	pg_on(pg_new());
	struct state s;
	u32 *kernel_page = page_alloc();
	kernel_page[0] = 0xabcdef;

	group("registers to user mode and back");
	s = ustate(u_regs);
	s.eax = 0x10000000, s.ecx = 0x20000000, s.edx = 0x30000000, s.ebx = 0x40000000;
	s.ebp = 0x50000000, s.esi = 0x60000000, s.edi = 0x70000000;
	s.eflags = 0x202;
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_regs_e + 2);
	CHECK_EQ(T.s.eax, 0x10000001);
	CHECK_EQ(T.s.ecx, 0x20000002);
	CHECK_EQ(T.s.edx, 0x30000003);
	CHECK_EQ(T.s.ebx, 0x40000004);
	CHECK_EQ(T.s.ebp, 0x50000005);
	CHECK_EQ(T.s.esi, 0x60000006);
	CHECK_EQ(T.s.edi, 0x70000007);
	CHECK_EQ(T.s.esp, s.esp);
	CHECK_EQ(T.s.cs, UCS);
	CHECK_EQ(T.s.ss, UDS);
	CHECK_EQ(T.s.ds, UDS);
	CHECK_EQ(T.s.es, UDS);
	CHECK_EQ(T.s.eflags & 0x3f200, FL_IF);
	CHECK_EQ(T.frame, tss.esp0);

	group("the TSS stack");
	CHECK_EQ(T.raw[4], UDS);
	CHECK_EQ(T.raw[3], s.esp);
	CHECK_EQ(T.raw[0], u_regs_e + 2);

	group("supervisor pages");
	s = ustate(u_read);
	s.esi = (u32)kernel_page;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 5, u_read_f);
	CHECK_EQ(T.cr2, kernel_page);
	s = ustate(u_write);
	s.esi = (u32)kernel_page + 4;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 7, u_write_f);
	CHECK_EQ(T.cr2, (u32)kernel_page + 4);
	s = ustate(u_read);
	s.esi = 0xbadc0de0;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 4, u_read_f);
	CHECK_EQ(T.cr2, 0xbadc0de0);
	s = ustate(u_jmp);
	s.esi = (u32)main;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 5, main);
	CHECK_EQ(T.cr2, (u32)main);

	group("user pages");
	s = ustate(u_write);
	s.esi = (u32)udata + 100;
	s.eax = 0x31415926;
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_write_e + 2);
	CHECK_EQ(*(u32 *)(udata + 100), 0x31415926);
	s = ustate(u_stack);
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_stack_e + 2);
	CHECK_EQ(T.s.eax, 0x2222);
	CHECK_EQ(T.s.ecx, 0x1111);
	CHECK_EQ(*(u32 *)(s.esp - 4), 0x1111);
	CHECK_EQ(*(u32 *)(s.esp - 8), 0x2222);

	group("privileged instructions");
	EXPECT_U(u_cli, 13, 0);
	EXPECT_U(u_cr3, 13, 0);
	EXPECT_U(u_in, 13, 0);

	group("system calls");
	idt[0x50] |= 3ull << 45;
	hooks[0x50] = sys;
	s = ustate(u_sys);
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_sys_e + 2);
	CHECK_EQ(T.s.ebx, 1001000);
	CHECK_EQ(irq_count[0x50], 1000);

	group("a loop in user mode");
	s = ustate(u_loop);
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_loop_e + 2);
	CHECK_EQ(T.s.eax, (u32)(1000000ull * 1000001 / 2));
	return 0;
}
