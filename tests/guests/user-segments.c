/*
 * user-segments: user code whose segments are not Linux's: another GDT layout for CS and SS,
 * LDT code and data, a user code segment with a base, limited user data; selectors read back by user code
 * with MOV and PUSH; FS and GS saved and restored by user code.  SDM vol. 3, 3.4.
 */
#include "rt.h"

#define CS2 0x93	/* GDT 0x90 */
#define DS2 0x9b	/* GDT 0x98 */
USNIPPET(u_sel, "", "mov %cs, %eax; mov %ss, %ecx; mov %ds, %edx; mov %es, %ebx; push %ds; pop %esi; push %cs; pop %edi; mov %fs, %ebp", "");
USNIPPET(u_tls, "mov %eax, %gs; mov %gs:0, %ecx; mov %gs, %edx; mov %ebx, %fs; mov %fs:4, %esi; push %gs; mov %ebx, %gs; mov %gs:0, %edi; pop %gs", "mov %gs:4, %ebp", "");
USNIPPET(u_reload, "mov %ds, %eax; mov %eax, %ds; mov %eax, %es; push %ss; pop %ss; mov udata, %ecx", "push %ds; pop %es; movl $7, %es:udata + 4", "");
USNIPPET(u_rw, "", "mov (%esi), %eax; mov %eax, 4(%esi)", "");
USNIPPET(u_lim, "", "mov %ds:(%esi), %eax", "");
USNIPPET(u_gslim, "mov %eax, %gs", "mov %gs:(%esi), %ecx", "");
USNIPPET(u_based, "", "call 1f; jmp 2f\n1: mov (%esp), %eax; ret\n2: mov %cs:(%esi), %ecx", "");
static struct state s;
static u64 ldt[8] __attribute__((aligned(8)));

int main(void)
{
	pg_on(pg_new());
	wr32((u32)udata, 0x11110000);
	wr32((u32)udata + 4, 0x22220000);

	group("selectors as user code sees them");
	s = ustate(u_sel);
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_sel_e + 2);
	KNOWN((T.s.eax & 0xffff) == UCS && (T.s.edi & 0xffff) == UCS, "user code that reads CS sees the host's selector");
	KNOWN((T.s.ecx & 0xffff) == UDS && (T.s.edx & 0xffff) == UDS && (T.s.esi & 0xffff) == UDS, "user code that reads SS, DS sees the host's selectors");

	group("segment registers reloaded by user code");
	s = ustate(u_reload);
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_reload_e + 2);
	CHECK_EQ(T.s.ecx, 0x11110000);
	CHECK_EQ(rd32((u32)udata + 4), 7);
	CHECK_EQ(T.s.ds, UDS);
	CHECK_EQ(T.s.es, UDS);
	CHECK_EQ(T.s.ss, UDS);
	wr32((u32)udata + 4, 0x22220000);

	group("TLS through GS and FS, reloaded by user code");
	gdt_set(0x30, seg_desc((u32)udata, 0xfffff, 0xf2, 0xc));
	gdt_set(0x38, seg_desc((u32)udata + 0x100, 0xfffff, 0xf2, 0xc));
	wr32((u32)udata + 0x100, 0x33330000);
	wr32((u32)udata + 0x104, 0x44440000);
	s = ustate(u_tls);
	s.eax = 0x33;
	s.ebx = 0x3b;
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_tls_e + 2);
	CHECK_EQ(T.s.ecx, 0x11110000);
	KNOWN((T.s.edx & 0xffff) == 0x33, "user code that reads GS sees the LDT selector (same index)");
	CHECK_EQ((T.s.edx & 0xffff) >> 3, 6);
	CHECK_EQ(T.s.esi, 0x44440000);
	CHECK_EQ(T.s.edi, 0x33330000);
	CHECK_EQ(T.s.ebp, 0x22220000);
	CHECK_EQ(T.s.gs, 0x33);
	CHECK_EQ(T.s.fs, 0x3b);

	group("another GDT layout");
	gdt_set(CS2 & ~7, seg_desc(0, 0xfffff, 0xfa, 0xc));
	gdt_set(DS2 & ~7, seg_desc(0, 0xfffff, 0xf2, 0xc));
	s = ustate(u_rw);
	s.cs = CS2, s.ss = s.ds = s.es = DS2;
	s.esi = (u32)udata;
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_rw_e + 2);
	CHECK_EQ(rd32((u32)udata + 4), 0x11110000);
	CHECK_EQ(T.s.cs, CS2);
	CHECK_EQ(T.s.ss, DS2);
	CHECK_EQ(T.s.ds, DS2);
	CHECK_EQ(T.s.es, DS2);

	group("LDT segments for user code");
	ldt[1] = seg_desc(0, 0xfffff, 0xfa, 0xc);
	ldt[2] = seg_desc(0, 0xfffff, 0xf2, 0xc);
	ldt[3] = seg_desc((u32)udata, 0xfff, 0xf2, 0x4);
	gdt_set(LDT_SEL, seg_desc((u32)ldt, sizeof(ldt) - 1, 0x82, 0));
	asm volatile("lldt %w0" : : "r"(LDT_SEL));
	s = ustate(u_rw);
	s.cs = 0x0f, s.ss = s.ds = s.es = 0x17;
	s.esi = (u32)udata + 0x100;
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_rw_e + 2);
	CHECK_EQ(rd32((u32)udata + 0x104), 0x33330000);
	CHECK_EQ(T.s.cs, 0x0f);
	CHECK_EQ(T.s.ss, 0x17);

	group("a user code segment with a base");
	u32 base = 0x10000;
	gdt_set(CS2 & ~7, seg_desc(base, 0xfffff, 0xfa, 0xc));
	s = ustate(u_based);
	s.cs = CS2;
	s.eip = (u32)u_based - base;
	s.esi = (u32)udata - base;
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, (u32)u_based_e + 2 - base);
	CHECK_EQ(T.s.eax, (u32)u_based + 5 - base);
	CHECK_EQ(T.s.ecx, rd32((u32)udata));

	group("user data with a base");
	gdt_set(DS2 & ~7, seg_desc((u32)udata, 0xfffff, 0xf2, 0xc));
	s = ustate(u_rw);
	s.ds = DS2;
	s.esi = 0x10;
	wr32((u32)udata + 0x10, 0x5150);
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_rw_e + 2);
	CHECK_EQ(rd32((u32)udata + 0x14), 0x5150);

	group("user data with a limit");
	gdt_set(DS2 & ~7, seg_desc((u32)udata, 0xff, 0xf2, 0x4));
	s = ustate(u_lim);
	s.ds = DS2;
	s.esi = 0xfc;
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_lim_e + 2);
	if (hw()) {		/* hw-only: TCG checks no limits */
		s.esi = 0xfd;
		trap_run(&s, &T);
		CHECK_TRAP(&T, 13, 0, u_lim_f);
		s = ustate(u_gslim);
		s.eax = DS2;
		s.esi = 0x100;
		trap_run(&s, &T);
		CHECK_TRAP(&T, 13, 0, u_gslim_f);
	}
	return 0;
}
