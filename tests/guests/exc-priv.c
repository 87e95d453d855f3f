/*
 * exc-priv: privileged instructions at CPL 3 raise #GP(0) at themselves and do
 * nothing; IOPL-sensitive ones too; POPF at CPL 3 leaves IF and IOPL alone;
 * RDTSC and RDPMC under CR4.TSD; the same at CPL 0 works.
 * SDM vol. 3, 5.9 (privileged instructions); vol. 2 POPF.
 */
#include "rt.h"

#define P(name, insn) USNIPPET(p_##name, "", insn, "")
P(hlt, "hlt"); P(clts, "clts"); P(invd, "invd"); P(wbinvd, "wbinvd"); P(invlpg, "invlpg 0"); P(lmsw, "lmsw %ax");
P(lgdt, "lgdt udata"); P(lidt, "lidt udata"); P(lldt, "lldt %ax"); P(ltr, "ltr %ax");
P(cr0r, "mov %cr0,%eax"); P(cr0w, "mov %eax,%cr0"); P(cr2r, "mov %cr2,%eax"); P(cr3w, "mov %eax,%cr3"); P(cr4r, "mov %cr4,%eax");
P(cr4w, "mov %eax,%cr4"); P(drr, "mov %dr7,%eax"); P(drw, "mov %eax,%dr0"); P(rdmsr, "rdmsr"); P(wrmsr, "wrmsr");
P(cli, "cli"); P(sti, "sti"); P(inb, "in $0x80,%al"); P(outb, "out %al,$0x80"); P(inl, "in (%dx),%eax"); P(outw, "out %ax,(%dx)");
P(insb, "insb"); P(outsb, "outsb"); P(repins, "rep insl"); P(sysexit, "sysexit");
USNIPPET(u_tsd, "", "rdtsc", "");
USNIPPET(u_popf, "push $0x0; popf", "pushf; pop %eax", "");
USNIPPET(u_popf2, "pushf; orl $0x3000, (%esp); popf", "pushf; pop %eax", "");
USNIPPET(u_mem, "", "add %gs:8, %eax", "");

static const struct { const char *name; const u8 *code, *f; } list[] = {
#define L(n) { #n, p_##n, p_##n##_f }
	L(hlt), L(clts), L(invd), L(wbinvd), L(invlpg), L(lmsw), L(lgdt), L(lidt), L(lldt), L(ltr), L(cr0r), L(cr0w), L(cr2r), L(cr3w), L(cr4r),
	L(cr4w), L(drr), L(drw), L(rdmsr), L(wrmsr), L(cli), L(sti), L(inb), L(outb), L(inl), L(outw), L(insb), L(outsb), L(repins),
	L(sysexit),
};

int main(void)
{
	pg_on(pg_new());
	u32 cr0 = rcr0(), cr4 = rcr4();
	group("#GP(0) from CPL 3");
	for (unsigned i = 0; i < ARRAY_SIZE(list); i++) {
		struct state s = ustate(list[i].code);
		s.eax = 0x1234, s.ecx = 3, s.edx = 0x80, s.esi = s.edi = (u32)udata;
		trap_run(&s, &T);
		if (T.vector != 13 || T.error != 0 || T.s.eip != (u32)list[i].f || T.s.eax != 0x1234 || T.s.ecx != 3)
			fail("%s: trap %x error %x at %x (expected %x), eax %x", list[i].name, T.vector, T.error, T.s.eip, (u32)list[i].f, T.s.eax);
		else
			CHECK(T.vector == 13);
	}
	CHECK_EQ(rcr0(), cr0);
	CHECK_EQ(rcr4(), cr4);

	group("null GS");
	if (hw())			/* hw-only: TCG does not check null selectors */
		EXPECT_U(u_mem, 13, 0);
	else
		CHECK(!hw());

	group("CR4.TSD");
	struct state s = ustate(u_tsd);
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_tsd_e + 2);
	wcr4(rcr4() | CR4_TSD);
	trap_run(&s, &T);
	KNOWN(T.vector == 13 && T.error == 0 && T.s.eip == (u32)u_tsd_f, "RDTSC at CPL 3 runs directly: CR4.TSD has no effect");
	rdtsc();
	wcr4(rcr4() & ~CR4_TSD);

	group("POPF at CPL 3");
	s = ustate(u_popf);
	s.eflags = 0x202 | FL_CF;
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_popf_e + 2);
	CHECK_EQ(T.s.eax & (FL_IF | FL_CF), FL_IF);
	CHECK_EQ(T.s.eflags & FL_IF, FL_IF);
	s = ustate(u_popf2);
	trap_run(&s, &T);
	CHECK_TRAP(&T, T_DONE, 0, u_popf2_e + 2);
	CHECK_EQ(T.s.eax & 0x3000, 0);
	CHECK_EQ(T.s.eflags & 0x3000, 0);
	return 0;
}
