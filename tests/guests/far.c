/*
 * far: direct far JMP, CALL and RET, same ring and to an outer ring; call gates to the
 * same and to an inner ring with parameters copied from stack to stack; conforming code;
 * IRET to an outer ring and what it does to DS/ES/FS/GS; every check with its error code.
 * SDM vol. 3, 5.8; vol. 2 CALL, JMP, RET, IRET.
 */
#include "rt.h"

#define A 0x90
#define B 0x98
#define GATE 0xa0
#define PATCH16 "\n\t"

/* Far transfers through memory: far_ptr is set by the test. */
struct __attribute__((packed)) { u32 off; u16 sel; } far_ptr UDATA;
SNIPPET(k_jmp, "", "ljmp *far_ptr", "");
SNIPPET(k_call, "", "lcall *far_ptr", "");
USNIPPET(u_jmp, "", "ljmp *far_ptr", "");
USNIPPET(u_call, "push $0x111; push $0x222; push $0x333", "lcall *far_ptr", "");
SNIPPET(k_retf, "push %eax; push %ecx", "lret", "");
SNIPPET(k_retf8, "push $0x77; push $0x88; push %eax; push %ecx", "lret $8", "");
SNIPPET(k_retf_out, "push %edx; push %ebx; push %eax; push %ecx", "lret", "");
SNIPPET(k_retf_out8, "push %edx; push %ebx; push $1; push $2; push %eax; push %ecx", "lret $8", "");
SNIPPET(k_iret, "pushf; push %eax; push %ecx", "iret", "");
SNIPPET(k_iret_out, "push %edx; push %ebx; pushf; push %eax; push %ecx", "iret", "");
USNIPPET(u_iret, "push $0x7b; push %esp; pushf; push %eax; push %ecx", "iret", "");
USNIPPET(u_end, "", "nop", "");
SNIPPET(k_end, "", "nop", "");
/* What the gates lead to: show the stack, return. */
SNIPPET(callee, "", "mov %cs, %eax; mov (%esp), %ebx; mov 4(%esp), %ecx; mov %ss, %edx", "");
SNIPPET(callee_ret, "mov 8(%esp), %eax; mov 12(%esp), %ebx; mov 16(%esp), %ecx; mov %cs, %edx; movl $0x5a5a, udata", "lret $12", "");
SNIPPET(callee_lret, "mov %cs, %edx", "lret", "");

static struct state s;
static void k(const u8 *code, u32 sel, const void *off)
{
	s = kstate(code);
	far_ptr.off = (u32)off;
	far_ptr.sel = (u16)sel;
	s.eax = sel;
	s.ecx = (u32)off;
	trap_run(&s, &T);
}
static void u(const u8 *code, u32 sel, const void *off)
{
	s = ustate(code);
	far_ptr.off = (u32)off;
	far_ptr.sel = (u16)sel;
	s.eax = sel;
	s.ecx = (u32)off;
	trap_run(&s, &T);
}

int main(void)
{
	pg_on(pg_new());
	tss.ss0 = KDS;

	group("JMP and CALL to the same ring");
	gdt_set(A, seg_desc(0, 0xfffff, 0x9a, 0xc));
	k(k_jmp, A, callee);
	CHECK_TRAP(&T, T_DONE, 0, callee_e + 2);
	CHECK_EQ(T.s.cs, A);
	if (hw())				/* hw-only: TCG does not set Accessed on far transfers */
		CHECK_EQ(((volatile u8 *)gdt)[A + 5], 0x9b);
	k(k_call, A, callee);
	CHECK_TRAP(&T, T_DONE, 0, callee_e + 2);
	CHECK_EQ(T.s.eax, A);
	CHECK_EQ(T.s.ebx, (u32)k_call_e);
	CHECK_EQ(T.s.ecx & 0xffff, KCS);
	CHECK_EQ(T.s.esp, s.esp - 8);
	k(k_call, A, callee_lret);
	CHECK_TRAP(&T, T_DONE, 0, k_call_e + 2);
	CHECK_EQ(T.s.cs, KCS);
	CHECK_EQ(T.s.edx, A);
	CHECK_EQ(T.s.esp, s.esp);
	k(k_call, A | 2, callee);		/* RPL greater than CPL */
	CHECK_TRAP(&T, 13, A, k_call_f);
	u(u_jmp, UCS, u_end);
	CHECK_TRAP(&T, T_DONE, 0, u_end_e + 2);
	u(u_jmp, UCS & ~3, u_end);		/* RPL 0 will do, CS gets CPL */
	CHECK_TRAP(&T, T_DONE, 0, u_end_e + 2);
	CHECK_EQ(T.s.cs, UCS);

	group("a code segment with a base");
	gdt_set(A, seg_desc(0x10000, 0xfffff, 0x9a, 0xc));
	k(k_jmp, A, callee - 0x10000);
	CHECK_TRAP(&T, T_DONE, 0, callee_e + 2 - 0x10000);
	CHECK_EQ(T.s.cs, A);
	k(k_call, A, callee_lret - 0x10000);
	CHECK_TRAP(&T, T_DONE, 0, k_call_e + 2);

	group("bad targets");
	k(k_jmp, 0, callee);
	CHECK_TRAP(&T, 13, 0, k_jmp_f);
	k(k_jmp, 3, callee);
	CHECK_TRAP(&T, 13, 0, k_jmp_f);
	k(k_jmp, 0x200, callee);
	CHECK_TRAP(&T, 13, 0x200, k_jmp_f);
	k(k_jmp, KDS, callee);
	CHECK_TRAP(&T, 13, KDS, k_jmp_f);
	k(k_jmp, UCS, u_end);			/* outward */
	CHECK_TRAP(&T, 13, UCS & ~3, k_jmp_f);
	u(u_jmp, KCS, callee);			/* inward */
	CHECK_TRAP(&T, 13, KCS, u_jmp_f);
	u(u_call, KCS | 3, callee);
	CHECK_TRAP(&T, 13, KCS, u_call_f);
	gdt_set(A, seg_desc(0, 0xfffff, 0x1a, 0xc));
	k(k_jmp, A, callee);
	CHECK_TRAP(&T, 11, A, k_jmp_f);
	gdt_set(A, seg_desc(0, 0x0fffff, 0x9a, 0x4));	/* limit 1 MiB - 1: the target lies beyond */
	k(k_jmp, A, callee);
	CHECK_TRAP(&T, 13, 0, k_jmp_f);

	group("conforming code");
	gdt_set(A, seg_desc(0, 0xfffff, 0x9e, 0xc));
	u(u_jmp, A, u_end);
	CHECK_TRAP(&T, T_DONE, 0, u_end_e + 2);
	CHECK_EQ(T.s.cs, A | 3);		/* CPL stays 3 */
	CHECK_EQ(T.s.ss, UDS);
	u(u_jmp, A | 3, u_end);
	CHECK_EQ(T.s.cs, A | 3);
	k(k_jmp, A, callee);
	CHECK_EQ(T.s.cs, A);
	gdt_set(B, seg_desc(0, 0xfffff, 0xfe, 0xc));	/* conforming, DPL 3: not from CPL 0 */
	k(k_jmp, B, callee);
	CHECK_TRAP(&T, 13, B, k_jmp_f);

	group("RETF to the same ring");
	k(k_retf, KCS, k_end);
	CHECK_TRAP(&T, T_DONE, 0, k_end_e + 2);
	CHECK_EQ(T.s.esp, s.esp);
	k(k_retf8, KCS, k_end);
	CHECK_TRAP(&T, T_DONE, 0, k_end_e + 2);
	CHECK_EQ(T.s.esp, s.esp);
	k(k_retf, 0, k_end);
	CHECK_TRAP(&T, 13, 0, k_retf_f);
	k(k_retf, KDS, k_end);
	CHECK_TRAP(&T, 13, KDS, k_retf_f);
	CHECK_EQ(T.s.esp, s.esp - 8);

	group("RETF to an outer ring");
	s = kstate(k_retf_out);
	s.eax = UCS, s.ecx = (u32)u_end, s.edx = UDS, s.ebx = (u32)ustack + 0x800;
	s.es = UDS, s.fs = KDS, s.gs = UDS;
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_end_e + 2);
	CHECK_EQ(T.s.cs, UCS);
	CHECK_EQ(T.s.ss, UDS);
	CHECK_EQ(T.s.esp, (u32)ustack + 0x800);
	CHECK_EQ(T.s.ds, 0);			/* kernel selectors are nulled */
	CHECK_EQ(T.s.fs, 0);
	CHECK_EQ(T.s.es, UDS);
	CHECK_EQ(T.s.gs, UDS);
	s.eip = (u32)k_retf_out8;
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_end_e + 2);
	CHECK_EQ(T.s.esp, (u32)ustack + 0x808);	/* the outer stack is released, too */
	s.eip = (u32)k_retf_out;
	s.edx = KDS;				/* SS of the wrong ring */
	trap_run(&s, &T);
	CHECK_TRAP(&T, 13, KDS, k_retf_out_f);
	s.edx = 0;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 13, 0, k_retf_out_f);

	group("IRET");
	s = kstate(k_iret_out);
	s.eax = UCS, s.ecx = (u32)u_end, s.edx = UDS, s.ebx = (u32)ustack + 0x800;
	s.es = KDS, s.fs = UDS, s.gs = 3;
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_end_e + 2);
	CHECK_EQ(T.s.cs, UCS);
	CHECK_EQ(T.s.esp, (u32)ustack + 0x800);
	CHECK_EQ(T.s.ds, 0);
	CHECK_EQ(T.s.es, 0);
	CHECK_EQ(T.s.fs, UDS);
	s.edx = UDS & ~3;			/* RPL 0 */
	trap_run(&s, &T);
	CHECK_TRAP(&T, 13, UDS & ~3, k_iret_out_f);
	k(k_iret, 0, k_end);
	CHECK_TRAP(&T, 13, 0, k_iret_f);
	k(k_iret, 0x208, k_end);
	CHECK_TRAP(&T, 13, 0x208, k_iret_f);
	k(k_iret, KCS, k_end);
	CHECK_TRAP(&T, T_DONE, 0, k_end_e + 2);
	u(u_iret, UCS, u_end);
	CHECK_TRAP(&T, T_DONE, 0, u_end_e + 2);
	u(u_iret, KCS, callee);			/* inward */
	CHECK_TRAP(&T, 13, KCS, u_iret_f);
	gdt_set(A, seg_desc(0, 0xfffff, 0x7a, 0xc));	/* user code, not present */
	s = kstate(k_iret_out);
	s.eax = A | 3, s.ecx = (u32)u_end, s.edx = UDS, s.ebx = (u32)ustack + 0x800;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 11, A, k_iret_out_f);
	gdt_set(B, seg_desc(0, 0xfffff, 0x72, 0xc));	/* user data, not present */
	s.eax = UCS, s.edx = B | 3;
	trap_run(&s, &T);
	CHECK_TRAP(&T, hw() ? 12 : 11, B, k_iret_out_f);	/* hw-only: TCG raises #NP for SS */

	group("call gate, same ring");
	gdt_set(GATE, gate_desc(KCS, (u32)callee, 0x8c, 0));
	k(k_call, GATE, (void *)0xdeadbeef);	/* the offset is ignored */
	CHECK_TRAP(&T, T_DONE, 0, callee_e + 2);
	CHECK_EQ(T.s.ebx, (u32)k_call_e);
	CHECK_EQ(T.s.esp, s.esp - 8);
	k(k_jmp, GATE, 0);
	CHECK_TRAP(&T, T_DONE, 0, callee_e + 2);
	CHECK_EQ(T.s.esp, s.esp);
	u(u_call, GATE | 3, 0);
	CHECK_TRAP(&T, 13, GATE, u_call_f);	/* gate DPL */

	group("call gate to ring 0, three parameters");
	gdt_set(GATE, gate_desc(KCS, (u32)callee_ret, 0xec, 3));
	wr32((u32)udata, 0);
	u(u_call, GATE | 3, 0);
	CHECK_TRAP(&T, T_DONE, 0, u_call_e + 2);
	CHECK_EQ(rd32((u32)udata), 0x5a5a);
	CHECK_EQ(T.s.eax, 0x333);
	CHECK_EQ(T.s.ebx, 0x222);
	CHECK_EQ(T.s.ecx, 0x111);
	CHECK_EQ(T.s.edx & 0xffff, KCS);
	CHECK_EQ(T.s.cs, UCS);
	CHECK_EQ(T.s.ss, UDS);
	CHECK_EQ(T.s.esp, s.esp);		/* parameters released on both stacks */
	u(u_jmp, GATE | 3, 0);			/* JMP through a gate never changes rings */
	CHECK_TRAP(&T, 13, KCS, u_jmp_f);

	group("call gate: bad stacks and targets");
	gdt_set(GATE, gate_desc(KCS, (u32)callee_ret, 0x6c, 3));
	u(u_call, GATE | 3, 0);
	CHECK_TRAP(&T, 11, GATE, u_call_f);
	gdt_set(GATE, gate_desc(0, (u32)callee_ret, 0xec, 3));
	u(u_call, GATE | 3, 0);
	CHECK_TRAP(&T, 13, 0, u_call_f);
	gdt_set(GATE, gate_desc(KDS, (u32)callee_ret, 0xec, 3));
	u(u_call, GATE | 3, 0);
	CHECK_TRAP(&T, 13, KDS, u_call_f);
	/* A ring-1 target whose stack is bad: #TS with the selector; delivery of #TS itself needs only ss0. */
	gdt_set(B, seg_desc(0, 0xfffff, 0xba, 0xc));
	gdt_set(GATE, gate_desc(B, (u32)callee, 0xec, 0));
	tss.ss1 = 0;
	u(u_call, GATE | 3, 0);
	CHECK_TRAP(&T, 10, 0, u_call_f);
	tss.ss1 = KDS | 1;
	u(u_call, GATE | 3, 0);
	CHECK_TRAP(&T, 10, KDS, u_call_f);

	group("ring 1 by call gate, and interrupts from there");
	gdt_set(A, seg_desc(0, 0xfffff, 0xb2, 0xc));
	tss.ss1 = A | 1;
	tss.esp1 = (u32)kstack_snip + 0x800;
	u(u_call, GATE | 3, 0);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(T.s.cs, B | 1);
	CHECK_EQ(T.s.ss, A | 1);
	CHECK_EQ(T.s.esp, tss.esp1 - 16);	/* SS, ESP, CS, EIP */
	CHECK_EQ(rd32(tss.esp1 - 4), UDS);
	CHECK_EQ(T.s.ebx, (u32)u_call_e);
	return 0;
}
