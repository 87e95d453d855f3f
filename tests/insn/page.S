/*
 * Page faults in the middle: operands that reach into an absent page, and
 * writes that reach into a read-only one, for every kind of memory
 * instruction.  Registers, flags, memory and CR2 at the fault are the result.
 * SDM vol. 3, 4.7; 6.5 (faults restart the instruction).
 */
#include "insn.inc"
	.irp k, N, O
	CASE load32_\k, si=\k; mov (%esi), %eax; END
	CASE load16_\k, si=\k; mov (%esi), %ax; END
	CASE load8_\k, si=\k; mov 8(%esi), %ah; END
	CASE store32_\k, si=\k; mov %eax, (%esi); END
	CASE store16_\k, si=\k; mov %cx, 7(%esi); END
	CASE store8_\k, si=\k; mov %bh, 8(%esi); END
	CASE storei_\k, si=\k; movl $0x12345678, 4(%esi); END
	CASE add_mr_\k, si=\k; add %eax, (%esi); END
	CASE add_rm_\k, si=\k; add (%esi), %eax; END
	CASE adc_mi_\k, si=\k; adcl $5, 2(%esi); END
	CASE cmp_mr_\k, si=\k; cmp %eax, (%esi); END
	CASE inc_\k, si=\k; incl (%esi); END
	CASE neg_\k, si=\k; negw 6(%esi); END
	CASE shl_\k, si=\k, undef=SF+ZF+AF+PF+OF+CF; shll %cl, (%esi); END
	CASE shld_\k, si=\k, undef=SF+ZF+AF+PF+OF+CF; shld $4, %edx, (%esi); END
	CASE bts_\k, si=\k; btsl $3, (%esi); END
	CASE btsr_\k, si=\k, ax=C; bts %eax, (%esi); END
	CASE xchg_\k, si=\k; xchg %eax, (%esi); END
	CASE xadd_\k, si=\k; xadd %eax, (%esi); END
	CASE xaddl_\k, si=\k; lock xadd %eax, 4(%esi); END
	CASE cmpxchg_\k, si=\k; cmpxchg %ecx, (%esi); END
	CASE cmpxchgeq_\k, si=\k; cmp %eax, (%edi); mov %eax, (%edi); cmpxchg %ecx, (%esi); END
	CASE cmpxchg8b_\k, si=\k, need=N_CX8; cmpxchg8b (%esi); END
	CASE mul_\k, si=\k, undef=SF+ZF+AF+PF+OF+CF; mull (%esi); END
	CASE div_\k, si=\k, undef=SF+ZF+AF+PF+OF+CF; divl (%esi); END
	CASE imul_\k, si=\k, undef=SF+ZF+AF+PF+OF+CF; imul (%esi), %edx; END
	CASE movzx_\k, si=\k; movzwl 8(%esi), %eax; END
	CASE cmov_\k, si=\k; cmovc (%esi), %eax; END	/* reads whether or not it moves */
	CASE setc_\k, si=\k; setc 8(%esi); END
	CASE push_\k, si=\k; pushl (%esi); END
	CASE pop_\k, si=\k; popl (%esi); END
	CASE popw_\k, si=\k; popw 5(%esi); END
	CASE pop_esp_\k, si=\k; popl (%esi); popl 4(%esp); END
		CASE jmp_\k, si=\k; movl $1f, -20(%esi); jmp *-20(%esi); 1: END
	CASE xlat_\k, bx=\k, ax=C; xlat; END
	CASE movs_\k, si=\k, fl=F_DF; movsl; END
	CASE movs_d_\k, di=\k, fl=F_DF; movsl; END
	CASE stos_\k, di=\k, fl=F_DF; stosl; END
	CASE lods_\k, si=\k, fl=F_DF; lodsw; END
	CASE scas_\k, di=\k, fl=F_DF; scasl; END
	CASE cmps_\k, si=\k, fl=F_DF; cmpsl; END
	CASE cmps_d_\k, di=\k, fl=F_DF; cmpsl; END
	.irp s, b, w, l
	CASE rep_movs_s_\k\s, si=\k, cx=C, n=60, fl=F_DF; rep movs\s; END
	CASE rep_movs_d_\k\s, di=\k, cx=C, n=60, fl=F_DF; rep movs\s; END
	CASE rep_stos_\k\s, di=\k, cx=C, n=60, fl=F_DF; rep stos\s; END
	CASE rep_lods_\k\s, si=\k, cx=C, n=60, fl=F_DF; rep lods\s; END
	CASE repne_scas_\k\s, di=\k, cx=C, n=60, fl=F_DF; repne scas\s; END
	CASE repe_cmps_\k\s, di=\k, cx=C, n=60; push %esi; push %edi; push %ecx; lea -40(%edi), %edi; mov %edi, %esi; xor %eax, %eax; mov $60, %ecx; 1: jmp 2f; 2: pop %ecx; pop %edi; pop %esi; repe cmps\s; END
	.endr
	CASE movups_\k, si=\k, fl=F_FPU; movups (%esi), %xmm1; END
	CASE movups_st_\k, si=\k, fl=F_FPU+F_NOQEMU; movups %xmm1, (%esi); END
	CASE movq_\k, si=\k, fl=F_FPU; movq (%esi), %xmm1; movq %xmm1, 1(%esi); END
	CASE fld_\k, si=\k, fl=F_FPU+F_NOQEMU; fldt (%esi); END
	CASE fldl_\k, si=\k, fl=F_FPU+F_NOQEMU; fldl (%esi); END
	CASE fstp_\k, si=\k, fl=F_FPU+F_NOQEMU+F_NOUNDER; fstpt 4(%esi); END
	CASE fstpl_\k, si=\k, fl=F_FPU+F_NOQEMU+F_NOUNDER; fstpl 3(%esi); END
	CASE fistp_\k, si=\k, fl=F_FPU+F_NOQEMU+F_NOUNDER; fistpll 3(%esi); END
	CASE fadd_\k, si=\k, fl=F_FPU+F_NOQEMU; faddl 3(%esi); END
	CASE bound_\k, si=\k; bound %eax, (%esi); END
	CASE two_\k, si=\k; mov -16(%esi), %eax; add %eax, %ecx; mov %ecx, 8(%esi); adc $3, %edx; END
	CASE leave_\k, bp=\k; lea (%ebp), %ebp; leave; mov %edi, %esp; mov $scratch + 0xa000, %esp; END
	.endr
	CASE call_N, si=N; call *13(%esi); END
	/* The stack runs into an absent page: natively and at CPL 3 only. */
	CASE sn_push, sp=SN, fl=F_USER; push %eax; push %ecx; push %edx; END
	CASE sn_pushm, sp=SN, fl=F_USER; pushl (%esi); pushl 4(%esi); END
	CASE sn_pusha, sp=SN, fl=F_USER+F_NOQEMU, n=20; pusha; END
	CASE sn_call, sp=SN, fl=F_USER; push %eax; call 1f; inc %ecx; 1: push %edx; END
	CASE sn_callm, sp=SN, fl=F_USER; movl $1f, (%esi); push %eax; call *(%esi); inc %ecx; 1: push %edx; END
	CASE sn_enter, sp=SN, fl=F_USER+F_NOQEMU; enter $8, $0; mov %eax, (%esp); END
	CASE sn_enter3, sp=SN, bp=K, fl=F_USER+F_NOQEMU; enter $8, $3; mov %eax, (%esp); END
	CASE sn_pushf, sp=SN, fl=F_USER, n=10; lea -32(%esp), %esp; pushf; END
	CASE sn_sub, sp=SN, fl=F_USER; sub $40, %esp; mov %eax, (%esp); END
	CASE sn_pop, sp=SN, fl=F_USER; lea -20(%esp), %esp; pop %eax; pop %ecx; END
	CASE sn_ret, sp=SN, fl=F_USER, n=10; lea -48(%esp), %esp; ret; END
	CASE sn_popa, sp=SN, fl=F_USER, n=10; lea -48(%esp), %esp; popa; END
	CASE sn_leave, sp=SN, fl=F_USER, n=10; lea -48(%esp), %ebp; leave; END
	CASE sn_pushw, sp=SN, fl=F_USER; pushw %ax; pushw %cx; push %edx; push %edx; push %edx; END
