/*
 * The image as a multiboot kernel: paging on, and the cases run at CPL 0, or
 * with "user" on the command line at CPL 3 (output is then a system call).
 */
#include "../../guests/lib/rt.h"

struct fault_info { u32 vector, error, eip, cr2; };
struct platform { void (*write)(const char *s, u32 n); enum { NATIVE, GUEST_KERNEL, GUEST_USER } guest; };
int core_run(const struct platform *p, const char *cmdline);
extern struct fault_info fault_info;
extern u16 flat_sel, seg_sel, seg_limit_sel, code16_sel, flat_cs_sel;
extern const u8 insn_stubs[];
#define SCRATCH 0x1400000u

static void kernel_write(const char *s, u32 n)
{
	while (n--)
		outb(0xe9, (u8)*s++);
}

static void user_write(const char *s, u32 n)
{
	asm volatile("int $0x50" : : "S"(s), "c"(n) : "memory");
}

static bool write_call(struct regs *r)
{
	kernel_write((const char *)r->esi, r->ecx);
	return true;
}

/* Every exception of a case: leave a record, go to case_fault with the registers as they are. */
asm(	".text\n"
	"	.align 16\n"
	"insn_stubs:\n"
	"	.set v, 0\n"
	"	.rept 32\n"
	"	.align 16\n"
	"	.if v == 8 || (v >= 10 && v <= 14) || v == 17\n"
	"	.else\n"
	"	push $0\n"
	"	.endif\n"
	"	push $v\n"
	"	jmp insn_common\n"
	"	.set v, v + 1\n"
	"	.endr\n"
	"insn_common:\n"
	"	push %ds\n"
	"	push %eax\n"
	"	mov $0x68, %eax\n"
	"	mov %eax, %ds\n"
	"	mov 8(%esp), %eax\n"
	"	mov %eax, fault_info\n"
	"	mov 12(%esp), %eax\n"
	"	mov %eax, fault_info + 4\n"
	"	mov 16(%esp), %eax\n"
	"	mov %eax, fault_info + 8\n"
	"	movl $case_fault, 16(%esp)\n"
	"	movzwl flat_cs_sel, %eax\n"
	"	mov %eax, 20(%esp)\n"
	"	mov %cr2, %eax\n"
	"	mov %eax, fault_info + 12\n"
	"	pop %eax\n"
	"	pop %ds\n"
	"	lea 8(%esp), %esp\n"
	"	iret\n");

static u8 user_stack[65536] __attribute__((aligned(4096)));
static const struct platform kernel_platform = { kernel_write, GUEST_KERNEL }, user_platform = { user_write, GUEST_USER };

static void user_main(void)
{
	core_run(&user_platform, cmdline);
	asm volatile("int $0x40");
}

int main(void)
{
	bool user = has_word(cmdline, "user");
	u32 *pd = pg_new();
	for (u32 a = 0x100000; a < 0x2000000; a += 4096)
		if (a < 0x200000 || a >= 0x1000000)
			*pg_pte(pd, a) |= user ? PTE_U : 0;
	*pg_pte(pd, SCRATCH + 0x3000) = 0;
	*pg_pte(pd, SCRATCH + 0x8000) = 0;
	*pg_pte(pd, SCRATCH + 0x5000) &= ~PTE_W;
	/* The command line may be anywhere low: let user code read it. */
	static char line[1024];
	for (unsigned i = 0; i < sizeof(line) - 1 && cmdline[i]; i++)
		line[i] = cmdline[i];
	cmdline = line;
	u32 r[4];
	cpuid(1, 0, r);
	wcr4(rcr4() | CR4_OSFXSR | CR4_OSXMM);
	if (r[2] & 1u << 26) {
		wcr4(rcr4() | CR4_OSXSAVE);
		cpuid(13, 0, r);
		u32 want = 7 & r[0];
		if ((r[0] & 0xe7) == 0xe7)
			want = 0xe7;
		asm volatile("xsetbv" : : "a"(want), "d"(0), "c"(0));
	}
	wcr0((rcr0() & ~(CR0_EM | CR0_TS)) | CR0_MP | CR0_NE);
	for (u32 v = 0; v < 32; v++)
		if (v != 2 && v != 8)
			idt[v] = gate_desc(KCS, (u32)insn_stubs + 16 * v, v == 3 || v == 4 ? 0xee : 0x8e, 0);
	gdt_set(0x90, seg_desc(0x81234567, 0xfffff, user ? 0xf3 : 0x93, 0xc));
	gdt_set(0x98, seg_desc(SCRATCH, 0x1fff, user ? 0xf3 : 0x93, 0x4));
	gdt_set(0xa0, seg_desc(0x1000000, 0xffff, user ? 0xfb : 0x9b, 0x0));
	seg_sel = user ? 0x93 : 0x90;
	seg_limit_sel = user ? 0x9b : 0x98;
	code16_sel = user ? 0xa3 : 0xa0;
	flat_sel = user ? UDS : KDS;
	flat_cs_sel = user ? UCS : KCS;
	pg_on(pd);
	if (user) {
		idt[0x50] |= 3ull << 45;
		hooks[0x50] = write_call;
		struct state s = ustate(user_main);
		s.esp = (u32)user_stack + sizeof(user_stack) - 16;
		trap_run(&s, &T);
		if (T.vector != T_DONE) {
			out("user run ended by trap %x\n", T.vector);
			exit_code(0x2b);
		}
	} else {
		core_run(&kernel_platform, cmdline);
	}
	exit_code(0x2a);
}
