/*
 * idt-gates: interrupt gates clear IF, trap gates do not; both clear TF, NT, RF, VM;
 * gate DPL against INT n (but not against exceptions or INT n at CPL 0);
 * not-present gates (#NP), entries beyond the limit, wrong types and bad code
 * selectors, each with the exact error code; 16-bit gates.
 * SDM vol. 3, 6.10–6.13.
 */
#include "rt.h"

SNIPPET(k_int, "", "int $0x60", "");
USNIPPET(u_int, "", "int $0x60", "");
USNIPPET(u_int3, "", "int3", "");
USNIPPET(u_cd3, "", "int $3", "");
USNIPPET(u_ud, "", "ud2", "");
SNIPPET(k_ud, "", "ud2", "");

static u32 seen_flags;
static bool keep(struct regs *r)
{
	seen_flags = eflags();
	return true;
}

extern const u8 trap_stubs[];
static u64 stub_gate(u8 v, u8 access) { return gate_desc(KCS, (u32)trap_stubs + 16 * v, access, 0); }

/* A handler for 16-bit gates: six bytes of frame (IP, CS, FLAGS). */
extern const u8 gate16[];
asm(".text\n.p2align 4\ngate16: movl (%esp), %ecx; movw 4(%esp), %dx; lea 6(%esp), %esp; mov $0x600d, %eax; int $0x40");

static void set(u8 v, u64 g) { idt[v] = g; }

int main(void)
{
	struct state s;
	hooks[0x60] = keep;

	group("interrupt gate clears IF, trap gate keeps it");
	set(0x60, stub_gate(0x60, 0xee));
	s = kstate(k_int);
	s.eflags = 2 | FL_IF | FL_DF | 0x8d5;
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, k_int_e + 2);
	CHECK_EQ(seen_flags & FL_IF, 0);
	CHECK_EQ(T.s.eflags & 0x3fffd5, FL_IF | FL_DF | 0x8d5);
	set(0x60, stub_gate(0x60, 0xef));
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, k_int_e + 2);
	CHECK_EQ(seen_flags & FL_IF, FL_IF);
	s = ustate(u_int);
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_int_e + 2);
	CHECK_EQ(seen_flags & FL_IF, FL_IF);

	group("NT is cleared on entry and restored");
	s = kstate(k_int);
	s.eflags = 2 | FL_NT;
	/* NT in the flags that IRET loads is harmless: it is NT set before the IRET that matters. */
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, k_int_e + 2);
	CHECK_EQ(seen_flags & (FL_NT | FL_TF | FL_RF | FL_VM), 0);
	CHECK_EQ(T.s.eflags & FL_NT, FL_NT);

	hooks[0x60] = 0;
	group("gate DPL");
	set(0x60, stub_gate(0x60, 0x8e));
	EXPECT_U(u_int, 13, 0x60 * 8 + 2);
	s = kstate(k_int);
	trap_run(&s, &T);
	CHECK_TRAP(&T, 0x60, 0, k_int_e);
	set(3, stub_gate(3, 0x8e));
	EXPECT_U(u_int3, 13, 3 * 8 + 2);	/* INT3 is a software interrupt too */
	EXPECT_U(u_cd3, 13, 3 * 8 + 2);
	idt_reset();
	s = ustate(u_cd3);
	trap_run(&s, &T);
	CHECK_TRAP(&T, 3, 0, u_cd3_e);
	EXPECT_U(u_ud, 6, 0);			/* an exception ignores DPL */

	group("not present");
	set(0x60, stub_gate(0x60, 0x6e));
	EXPECT_K(k_int, 11, 0x60 * 8 + 2);
	EXPECT_U(u_int, 11, 0x60 * 8 + 2);
	set(0x60, stub_gate(0x60, 0x0e));
	EXPECT_U(u_int, 13, 0x60 * 8 + 2);	/* DPL is checked before P */
	set(6, stub_gate(6, 0x0e));
	u32 ext = hw();			/* hw-only: TCG never sets EXT */
	EXPECT_K(k_ud, 11, 6 * 8 + 2 + ext);	/* EXT: the event was not the program's own INT */
	EXPECT_U(u_ud, 11, 6 * 8 + 2 + ext);
	idt_reset();

	group("wrong types");
	static const u8 types[] = { 0x80, 0x81, 0x82, 0x83, 0x84, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x92, 0x9a };
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		set(0x60, stub_gate(0x60, types[i] | 0x60));
		EXPECT_K(k_int, 13, 0x60 * 8 + 2);
	}

	group("beyond the limit");
	idt_reset();
	set(0x60, stub_gate(0x60, 0xee));
	load_idt((u32)idt, 0x60 * 8 + 7);
	s = kstate(k_int);
	trap_run(&s, &T);
	CHECK_TRAP(&T, 0x60, 0, k_int_e);
	load_idt((u32)idt, 0x60 * 8 + 6);
	EXPECT_K(k_int, 13, 0x60 * 8 + 2);
	load_idt((u32)idt, 0x60 * 8 - 1);
	EXPECT_K(k_int, 13, 0x60 * 8 + 2);
	load_idt((u32)idt, sizeof(u64) * 256 - 1);

	group("code selectors in gates");
	set(0x60, gate_desc(0, (u32)trap_stubs, 0xee, 0));
	EXPECT_K(k_int, 13, 0);
	set(0x60, gate_desc(0x1f8, (u32)trap_stubs, 0xee, 0));
	EXPECT_K(k_int, 13, 0x1f8);		/* beyond the GDT */
	set(0x60, gate_desc(KDS, (u32)trap_stubs, 0xee, 0));
	EXPECT_K(k_int, 13, KDS);		/* not code */
	set(0x60, gate_desc(UCS, (u32)trap_stubs, 0xee, 0));
	EXPECT_K(k_int, 13, UCS & ~3);		/* less privileged */
	gdt_set(0x90, seg_desc(0, 0xfffff, 0x1b, 0xc));
	set(0x60, gate_desc(0x90, (u32)trap_stubs, 0xee, 0));
	EXPECT_K(k_int, 11, 0x90);		/* not present */

	group("16-bit gates");
	idt_reset();
	set(0x60, gate_desc(KCS, (u32)gate16 & 0xffff, 0xe6, 0));
	if ((u32)gate16 >> 16) {
		/* The offset has 16 bits: reach it through a code segment with a base. */
		gdt_set(0x98, seg_desc((u32)gate16 & ~0xffffu, 0xfffff, 0x9b, 0xc));
		set(0x60, gate_desc(0x98, (u32)gate16 & 0xffff, 0xe6, 0));
	}
	s = kstate(k_int);
	s.eflags = 0x2 | 0x800 | FL_IF;
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(T.s.eax, 0x600d);
	CHECK_EQ(T.s.ecx & 0xffff, (u32)k_int_e & 0xffff);
	CHECK_EQ(T.s.ecx >> 16, KCS);
	CHECK_EQ(T.s.edx & 0xffff, 0xa02);
	CHECK_EQ(T.s.esp, s.esp);
	CHECK_EQ(T.s.eflags & FL_IF, 0);
	return 0;
}
