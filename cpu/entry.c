/*
 * The way in and out of guest code: the only assembly on the hot path.
 *
 * Everything here runs between "host stack, C conventions" and "guest
 * registers live" (register conventions: cpu/exec.h).  A signal may arrive at
 * any instruction; the handler recognises the ranges [exec_enter_begin,
 * exec_enter_end) and [exec_user_begin, exec_user_end) and sends them to the
 * abort labels, so that an attention flag raised just before entry is never
 * lost.
 */
#include "cpu/exec.h"

#define O(field) "i"(offsetof(struct exec, field))
#define G(name, index) [name] "i"((index) * 8)

#define PUSH_CALLEE_SAVED \
	"push %%rbp\n push %%rbx\n push %%r12\n push %%r13\n push %%r14\n push %%r15\n sub $8, %%rsp\n"
#define POP_CALLEE_SAVED \
	"add $8, %%rsp\n pop %%r15\n pop %%r14\n pop %%r13\n pop %%r12\n pop %%rbx\n pop %%rbp\n"

/* Guest registers to and from v.regs (offset 0 of r15, in encoding order). */
#define SAVE_REGS \
	"mov %%eax, 0(%%r15)\n mov %%ecx, 4(%%r15)\n mov %%edx, 8(%%r15)\n mov %%ebx, 12(%%r15)\n" \
	"mov %%esp, 16(%%r15)\n mov %%ebp, 20(%%r15)\n mov %%esi, 24(%%r15)\n mov %%edi, 28(%%r15)\n"
#define LOAD_REGS_BUT_ESP \
	"mov 0(%%r15), %%eax\n mov 4(%%r15), %%ecx\n mov 8(%%r15), %%edx\n mov 12(%%r15), %%ebx\n" \
	"mov 20(%%r15), %%ebp\n mov 24(%%r15), %%esi\n mov 28(%%r15), %%edi\n"
#define LOAD_REGS LOAD_REGS_BUT_ESP "mov 16(%%r15), %%esp\n"
/* Onto the host stack; arithmetic flags to v.flags; the return ring's pointer; direction flag clear for C. */
#define TO_HOST \
	"mov %c[host_rsp](%%r15), %%rsp\n pushfq\n pop %%rax\n and %[arith], %%eax\n" \
	"mov %%eax, %c[flags](%%r15)\n mov %%r14, %c[ring](%%r15)\n cld\n"
/* The same, keeping all of user code's EFLAGS in landing_flags too. */
#define USER_TO_HOST \
	"mov %c[host_rsp](%%r15), %%rsp\n pushfq\n pop %%rax\n mov %%eax, %c[landing_flags](%%r15)\n" \
	"and %[arith], %%eax\n mov %%eax, %c[flags](%%r15)\n cld\n"
/*
 * The bases that C code and translated code expect.  Writing one takes ten times as
 * long as reading it, and FS's is mostly as it should be (load_segments).
 */
#define HOST_BASES \
	"mov %c[host_fsbase](%%r15), %%rax\n rdfsbase %%rcx\n cmp %%rax, %%rcx\n je 71f\n wrfsbase %%rax\n 71:\n" \
	"movabs %[window], %%rax\n rdgsbase %%rcx\n cmp %%rax, %%rcx\n je 72f\n wrgsbase %%rax\n 72:\n"
/* The guest's AC, NT and ID must not reach C code, IRETQ and translated PUSHF. */
#define HOST_FLAGS "push $2\n popfq\n"
/* DF is clear, as in C code, and nearly always in the guest's flags: then SAHF and ADC (7f + 1 overflows) are cheaper. */
#define FLAGS_FROM_VCPU \
	"mov %c[flags](%%r15), %%eax\n bt $10, %%eax\n jc 75f\n" \
	"mov %%eax, %%ecx\n shl $8, %%eax\n bt $11, %%ecx\n adc $0x7f, %%al\n sahf\n jmp 76f\n" \
	"75: push %%rax\n popfq\n 76:\n"

_Static_assert(offsetof(struct vcpu, regs) == 0, "SAVE_REGS and LOAD_REGS address regs from offset 0");
_Static_assert(ESP == 4 && EBP == 5 && EDI == 7, "SAVE_REGS and LOAD_REGS store in encoding order");

void exec_entry_code(void);

/* One naked function holds all of it; it is never called by this name. */
__attribute__((naked, used, noinline)) void exec_entry_code(void)
{
	__asm__ volatile(
	/* u64 exec_enter_translated(struct exec *rdi, const void *rsi) */
	".globl exec_enter_translated\n"
	"exec_enter_translated:\n"
	PUSH_CALLEE_SAVED
	"mov %%rdi, %%r15\n"
	"mov %%rsp, %c[host_rsp](%%r15)\n"
	".globl exec_enter_begin\n"
	"exec_enter_begin:\n"
	"cmpl $0, %c[attention](%%r15)\n"
	"jne exec_abort\n"
	"mov %%rsi, %%r8\n"
	"mov %c[ring](%%r15), %%r14\n"
	"mov %c[fs_base](%%r15), %%r13d\n"
	FLAGS_FROM_VCPU
	LOAD_REGS
	"jmp *%%r8\n"
	".globl exec_enter_end\n"
	"exec_enter_end:\n"

	".globl exec_abort\n"
	"exec_abort:\n"
	"mov %c[host_rsp](%%r15), %%rsp\n"
	"cld\n"
	"mov %[aborted], %%eax\n"
	"exec_return:\n"
	POP_CALLEE_SAVED
	"ret\n"

	/* A direct exit that is not chained: r8d = exit id. */
	".globl exec_thunk_chain\n"
	"exec_thunk_chain:\n"
	SAVE_REGS
	TO_HOST
	"mov %%r8, %%rax\n"
	"shl $32, %%rax\n"
	"or %[chain], %%rax\n"
	"jmp exec_return\n"

	/* An indirect branch to r8d missed the inline table. */
	".globl exec_thunk_indirect\n"
	"exec_thunk_indirect:\n"
	SAVE_REGS
	TO_HOST
	"mov %%r8d, %c[eip](%%r15)\n"
	"5:\n"
	"mov %[indirect], %%eax\n"
	"jmp exec_return\n"

	/* The same; but first ask whether there is a block. */
	".globl exec_thunk_lookup\n"
	"exec_thunk_lookup:\n"
	SAVE_REGS
	TO_HOST
	"mov %%r8d, %c[eip](%%r15)\n"
	"mov %%r15, %%rdi\n"
	"call *exec_hooks+%c[indirect_hook](%%rip)\n"
	"test %%rax, %%rax\n"
	"jz 5b\n"
	"mov %%rax, %%r12\n"
	"jmp exec_back_begin\n"

	/* Callout: r9 = function, r8d = argument, r10 = where to go on. */
	".globl exec_thunk_callout\n"
	"exec_thunk_callout:\n"
	SAVE_REGS
	TO_HOST
	"mov %%r10, %%r12\n"
	"mov %%r15, %%rdi\n"
	"mov %%r8d, %%esi\n"
	"call *%%r9\n"
	"test %%rax, %%rax\n"
	"jnz 4f\n"
	/* Into translated code at r12.  A kick in this range begins it anew. */
	".globl exec_back_begin\n"
	"exec_back_begin:\n"
	"cmpl $0, %c[attention](%%r15)\n"
	"jne 2f\n"
	"1:\n"
	"mov %c[fs_base](%%r15), %%r13d\n"
	"mov %c[ring](%%r15), %%r14\n"
	FLAGS_FROM_VCPU
	LOAD_REGS
	"jmp *%%r12\n"
	".globl exec_back_end\n"
	"exec_back_end:\n"
	"2:\n"
	"mov %c[host_rsp](%%r15), %%rsp\n"
	"cld\n"
	"mov %%r15, %%rdi\n"
	"mov %%r12, %%rsi\n"
	"call *exec_hooks+%c[kick_at](%%rip)\n"
	"jmp 1b\n"
	"4:\n"
	"cmp %[user], %%eax\n"
	"je exec_user_begin\n"
	"cmp %[jump], %%eax\n"
	"jne exec_return\n"
	"mov %c[jump_host](%%r15), %%r12\n"
	"jmp exec_back_begin\n"

	/* u64 exec_enter_user(struct exec *rdi) */
	".globl exec_enter_user\n"
	"exec_enter_user:\n"
	PUSH_CALLEE_SAVED
	"mov %%rdi, %%r15\n"
	"mov %%rsp, %c[host_rsp](%%r15)\n"
	".globl exec_user_begin\n"
	"exec_user_begin:\n"
	"cmpl $0, %c[attention](%%r15)\n"
	"jne exec_abort_user\n"
	"mov %c[user_fsbase](%%r15), %%rax\n"
	"cmp %c[host_fsbase](%%r15), %%rax\n"
	"je 73f\n"
	"wrfsbase %%rax\n"
	"73:\n"
	"mov %c[user_gsbase](%%r15), %%rax\n"
	"movabs %[window], %%rcx\n"
	"cmp %%rcx, %%rax\n"
	"je 74f\n"
	"wrgsbase %%rax\n"
	"74:\n"
	"push %[ds]\n"
	"mov 16(%%r15), %%eax\n"
	"push %%rax\n"
	"mov %c[user_flags](%%r15), %%eax\n"
	"push %%rax\n"
	"push %[cs32]\n"
	"mov %c[eip](%%r15), %%eax\n"
	"push %%rax\n"
	LOAD_REGS_BUT_ESP
	"xor %%r8d, %%r8d\n xor %%r9d, %%r9d\n xor %%r10d, %%r10d\n xor %%r11d, %%r11d\n"
	"xor %%r12d, %%r12d\n xor %%r13d, %%r13d\n xor %%r14d, %%r14d\n"
	"iretq\n"
	".globl exec_user_end\n"
	"exec_user_end:\n"

	".globl exec_abort_user\n"
	"exec_abort_user:\n"
	"mov %[aborted], %%r8d\n"
	"jmp exec_from_user\n"

	/*
	 * The fast system call: the stub in the user window has done what the vDSO
	 * does before SYSENTER and far-jumped here.
	 */
	".globl exec_int80_landing\n"
	"exec_int80_landing:\n"		/* r11d = offset of the INT in the vDSO page */
	SAVE_REGS
	"mov %%r11d, %c[int80_offset](%%r15)\n"
	USER_TO_HOST
	"mov %[int80], %%r8d\n"
	"jmp exec_from_user\n"
	".globl exec_vsyscall_landing\n"
	"exec_vsyscall_landing:\n"
	SAVE_REGS
	".globl exec_push_begin\n"
	"exec_push_begin:\n"		/* a fault here is the user code's, at the vDSO's entry */
	"mov %%ecx, -4(%%rsp)\n"
	"mov %%edx, -8(%%rsp)\n"
	"mov %%ebp, -12(%%rsp)\n"
	".globl exec_push_end\n"
	"exec_push_end:\n"
	"lea -12(%%rsp), %%eax\n"
	"mov %%eax, 16(%%r15)\n"
	"mov %%eax, 20(%%r15)\n"
	"jmp 3f\n"
	".globl exec_sysenter_landing\n"
	"exec_sysenter_landing:\n"
	SAVE_REGS
	"mov %%esp, 20(%%r15)\n"	/* the MOV %esp, %ebp that the jump replaced */
	"3:\n"
	USER_TO_HOST
	HOST_BASES
	"testl %[not_host], %c[landing_flags](%%r15)\n"
	"jz 6f\n"
	HOST_FLAGS
	"6:\n"
	"mov %%r15, %%rdi\n"
	"call *exec_hooks+%c[sysenter_hook](%%rip)\n"
	"jmp 4b\n"

	"exec_from_user:\n"		/* r8 = value to return */
	"mov %c[host_rsp](%%r15), %%rsp\n"
	HOST_BASES
	HOST_FLAGS
	"mov %%r8, %%rax\n"
	"jmp exec_return\n"

	/* void exec_leave(struct exec *rdi, u64 rsi): from a signal handler. */
	".globl exec_leave\n"
	"exec_leave:\n"
	"mov %%rdi, %%r15\n"
	"mov %%rsi, %%r8\n"
	"jmp exec_from_user\n"

	/* The signal restorer: SYS_rt_sigreturn from our own text, where system calls are allowed. */
	".globl exec_sigreturn\n"
	"exec_sigreturn:\n"
	"mov $15, %%eax\n"
	"syscall\n"
	"ud2\n"
	: : [host_rsp] O(host_rsp), [attention] O(attention),
	    [fs_base] "i"(offsetof(struct exec, v.seg[SEG_FS].base)),
	    [flags] "i"(offsetof(struct exec, v.flags)), [eip] "i"(offsetof(struct exec, v.eip)),
	    [user_fsbase] O(user_fsbase), [user_gsbase] O(user_gsbase), [user_flags] O(user_flags),
	    [host_fsbase] O(host_fsbase), [window] "i"(KERNEL_WINDOW), [arith] "i"(EFLAGS_ARITH),
	    [aborted] "i"(RET_ABORT), [chain] "i"(RET_CHAIN), [indirect] "i"(RET_INDIRECT),
	    [jump] "i"(RET_JUMP), [jump_host] O(jump_host),
	    [int80] "i"(RET_INT80), [int80_offset] O(int80_offset), [landing_flags] O(landing_flags), [ds] "i"(HOST_DS), [cs32] "i"(HOST_CS32),
	    [not_host] "i"(EFLAGS_AC | EFLAGS_NT | EFLAGS_ID), [ring] O(ring), [user] "i"(RET_USER), [sysenter_hook] "i"(offsetof(struct exec_hooks, sysenter)),
	    [indirect_hook] "i"(offsetof(struct exec_hooks, indirect)),
	    [kick_at] "i"(offsetof(struct exec_hooks, kick_at)));
}

void exec_resume_code(void);

/*
 * void exec_resume(struct exec *rdi, const s64 *rsi).  While the frame is read RSP stays on the
 * alternate stack, so that another signal's frame goes below it.
 */
__attribute__((naked, used, noinline)) void exec_resume_code(void)
{
	__asm__ volatile(
	".globl exec_resume\n"
	"exec_resume:\n"
	"mov %%rdi, %%r15\n"
	".globl exec_resume_begin\n"
	"exec_resume_begin:\n"
	"push %c[g_efl](%%rsi)\n"
	"popfq\n"
	"mov %c[g_r8](%%rsi), %%r8\n mov %c[g_r9](%%rsi), %%r9\n"
	"mov %c[g_r10](%%rsi), %%r10\n mov %c[g_r11](%%rsi), %%r11\n"
	"mov %c[g_r12](%%rsi), %%r12\n mov %c[g_r13](%%rsi), %%r13\n mov %c[g_r14](%%rsi), %%r14\n"
	"mov %c[g_rax](%%rsi), %%rax\n mov %c[g_rcx](%%rsi), %%rcx\n"
	"mov %c[g_rdx](%%rsi), %%rdx\n mov %c[g_rbx](%%rsi), %%rbx\n"
	"mov %c[g_rbp](%%rsi), %%rbp\n mov %c[g_rdi](%%rsi), %%rdi\n"
	"mov %c[g_rsi](%%rsi), %%rsi\n"
	"mov %c[resume_rsp](%%r15), %%rsp\n"
	"jmp *%c[resume_rip](%%r15)\n"
	".globl exec_resume_end\n"
	"exec_resume_end:\n"
	: : G(g_efl, G_EFL), G(g_r8, G_R8), G(g_r9, G_R9), G(g_r10, G_R10), G(g_r11, G_R11), G(g_r12, G_R12),
	    G(g_r13, G_R13), G(g_r14, G_R14), G(g_rax, G_RAX), G(g_rcx, G_RCX), G(g_rdx, G_RDX), G(g_rbx, G_RBX),
	    G(g_rbp, G_RBP), G(g_rdi, G_RDI), G(g_rsi, G_RSI), [resume_rip] O(resume_rip), [resume_rsp] O(resume_rsp));
}
