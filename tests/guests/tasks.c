/*
 * tasks: hardware task switches by JMP, CALL, IRET (NT) and task gates: state
 * saved and loaded, busy bits, back link, NT, CR0.TS, CR3, LDT, and the #TS, #NP and #GP
 * that a bad TSS raises.  SDM vol. 3, ch. 8 (task management).
 */
#include "rt.h"

#define T2 0x90
#define TG 0x98		/* a task gate to T2 */
static struct tss32 t2;
static u8 t2_stack[4096] __attribute__((aligned(16)));
struct __attribute__((packed)) { u32 off; u16 sel; } far2;
SNIPPET(go_jmp, "", "ljmp *far2", "");
SNIPPET(go_call, "mov $0x1111, %ebx", "lcall *far2", "mov %ebx, %ecx");
SNIPPET(go_int, "mov $0x2222, %ebx", "int $0x60", "mov %ebx, %ecx");
SNIPPET(go_iret, "pushf; orl $0x4000, (%esp); popf", "iret", "");
USNIPPET(u_int, "mov $0x3333, %ebx", "int $0x60", "mov %ebx, %ecx");
/* The second task: note what it sees, go back by IRET; resumed, it goes on behind the IRET. */
SNIPPET(task2, "1: mov %eax, t2_seen; str t2_seen + 4; pushf; pop t2_seen + 8; mov %cr0, %eax; mov %eax, t2_seen + 12; mov %cr3, %eax; mov %eax, t2_seen + 16; mov %esp, t2_seen + 20; incl t2_seen + 24; mov t2_seen, %eax; add $5, %eax", "iret", "jmp 1b");
SNIPPET(task2_jmp, "incl t2_seen + 24; ljmp *back2", "nop", "");
struct __attribute__((packed)) { u32 off; u16 sel; } back2 = { 0, TSS_SEL };
volatile u32 t2_seen[8];

static u8 type_of(u16 sel) { return ((volatile u8 *)gdt)[sel + 5]; }

static void fresh(const u8 *eip)
{
	t2 = (struct tss32){ .cr3 = rcr3(), .eip = (u32)eip, .eflags = 2, .esp = (u32)t2_stack + 4000, .eax = 0x77,
			     .es = KDS, .cs = KCS, .ss = KDS, .ds = KDS, .fs = 0, .gs = 0, .iomap = 104 };
	gdt_set(T2, seg_desc((u32)&t2, 103, 0x89, 0));
	gdt_set(TG, gate_desc(T2, 0, 0xe5, 0));
	for (unsigned i = 0; i < 8; i++)
		t2_seen[i] = 0;
	far2.sel = T2;
}

static void run(const u8 *code)
{
	struct state s = kstate(code);
	s.esi = 0x51515151;
	trap_run(&s, &T);
}

static bool clear_ts(struct regs *r) { asm volatile("clts"); return true; }

int main(void)
{
	u32 *pd = pg_new(), *pd2 = pg_new();
	pg_on(pd);
	struct state s;
	tss.cr3 = (u32)pd;			/* never saved by a switch, always loaded */

	group("CALL and IRET");
	fresh(task2);
	run(go_call);
	CHECK_TRAP(&T, T_DONE, 0, go_call_e + 4);
	CHECK_EQ(T.s.ecx, 0x1111);
	CHECK_EQ(T.s.esi, 0x51515151);
	CHECK_EQ(t2_seen[6], 1);
	CHECK_EQ(t2_seen[0], 0x77);
	CHECK_EQ(t2_seen[1] & 0xffff, T2);
	CHECK_EQ(t2_seen[2] & FL_NT, FL_NT);
	CHECK_EQ(t2_seen[3] & CR0_TS, CR0_TS);
	CHECK_EQ(t2_seen[5], (u32)t2_stack + 4000);
	CHECK_EQ(t2.link, TSS_SEL);
	CHECK_EQ(t2.eax, 0x7c);
	CHECK_EQ(t2.eip, (u32)task2_e);		/* saved at the instruction after IRET */
	CHECK_EQ(t2.eflags & FL_NT, 0);
	CHECK_EQ(type_of(T2), 0x89);		/* available again */
	CHECK_EQ(type_of(TSS_SEL), 0x8b);
	CHECK_EQ(rcr0() & CR0_TS, CR0_TS);
	asm volatile("clts");

	group("resumed where it was");
	run(go_call);
	CHECK_EQ(t2_seen[6], 2);
	CHECK_EQ(t2_seen[0], 0x7c);
	asm volatile("clts");

	group("another address space");
	fresh(task2);
	t2.cr3 = (u32)pd2;
	run(go_call);
	CHECK_TRAP(&T, T_DONE, 0, go_call_e + 4);
	CHECK_EQ(t2_seen[4], (u32)pd2);
	CHECK_EQ(rcr3(), tss.cr3);
	asm volatile("clts");

	group("JMP there and back");
	fresh(task2_jmp);
	run(go_jmp);
	CHECK_TRAP(&T, T_DONE, 0, go_jmp_e + 2);
	CHECK_EQ(t2_seen[6], 1);
	CHECK_EQ(type_of(T2), 0x89);
	CHECK_EQ(type_of(TSS_SEL), 0x8b);
	CHECK_EQ(t2.link, 0);
	asm volatile("clts");

	group("task gate in the IDT");
	fresh(task2);
	idt[0x60] = gate_desc(T2, 0, 0xe5, 0);
	run(go_int);
	CHECK_TRAP(&T, T_DONE, 0, go_int_e + 4);
	CHECK_EQ(t2_seen[6], 1);
	CHECK_EQ(T.s.ecx, 0x2222);
	asm volatile("clts");

	group("task gate from CPL 3");
	hooks[7] = clear_ts;			/* CR0.TS is set on the way back: direct execution raises #NM at once */
	fresh(task2);
	s = ustate(u_int);
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_int_e + 4);
	CHECK_EQ(T.s.cs, UCS);
	CHECK_EQ(T.s.ecx, 0x3333);
	CHECK_EQ(t2_seen[6], 1);
	asm volatile("clts");

	group("task gate in the GDT");
	fresh(task2);
	far2.sel = TG;
	run(go_call);
	CHECK_TRAP(&T, T_DONE, 0, go_call_e + 4);
	CHECK_EQ(t2_seen[6], 1);
	asm volatile("clts");

	group("busy and absent tasks");
	fresh(task2);
	gdt_set(T2, seg_desc((u32)&t2, 103, 0x8b, 0));
	run(go_call);
	CHECK_TRAP(&T, 13, T2, go_call_f);
	gdt_set(T2, seg_desc((u32)&t2, 103, 0x09, 0));
	run(go_call);
	CHECK_TRAP(&T, 11, T2, go_call_f);
	gdt_set(T2, seg_desc((u32)&t2, 102, 0x89, 0));
	run(go_call);
	CHECK_TRAP(&T, 10, T2, go_call_f);	/* limit too small: #TS */
	CHECK_EQ(t2_seen[6], 0);

	group("bad selectors inside the new TSS");
	/* #TS is raised in the context of the new task; the handler runs on its stack. */
	fresh(task2);
	t2.ds = 0x1f8;
	run(go_jmp);
	CHECK_EQ(T.vector, 10);
	CHECK_EQ(T.error, 0x1f8);
	if (hw())				/* hw-only: TCG reports the old EIP */
		CHECK_EQ(T.s.eip, (u32)task2);
	CHECK_EQ(t2_seen[6], 0);
	gdt_set(TSS_SEL, seg_desc((u32)&tss, 0x2068, 0x89, 0));
	asm volatile("ltr %w0; clts" : : "r"(TSS_SEL));

	group("IRET with NT and a bad link");
	tss.link = 0x1f8;
	run(go_iret);
	CHECK_TRAP(&T, 10, 0x1f8, go_iret_f);
	tss.link = KDS;
	run(go_iret);
	CHECK_TRAP(&T, 10, KDS, go_iret_f);

	group("LTR");
	fresh(task2);
	asm volatile("ltr %w0" : : "r"(T2));
	CHECK_EQ(type_of(T2), 0x8b);
	u32 tr;
	asm volatile("str %0" : "=r"(tr));
	CHECK_EQ(tr & 0xffff, T2);
	return 0;
}
