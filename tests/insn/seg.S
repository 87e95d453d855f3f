/*
 * Segments with a base: FS, GS, and DS/ES/SS loaded with a descriptor whose base
 * is 0x81234567, so that base + offset wraps at 2^32; every class of instruction.
 * And a segment with a limit: accesses beyond it raise #GP(0), or #SS(0) through SS.
 * (TCG checks no limits: F_NOQEMU.)  Natively through the LDT.  SDM vol. 3, 5.3; vol. 1, 3.4.
 */
#include "insn.inc"
	.irp s, fs, gs
	CASE load32_\s, si=G; mov seg_sel, %\s; mov %\s:(%esi), %eax; END
	CASE load8_\s, si=G; mov seg_sel, %\s; mov %\s:(%esi), %ah; mov %\s:1(%esi), %bl; mov %\s:-3(%esi), %ch; END
	CASE store32_\s, si=G; mov seg_sel, %\s; mov %eax, %\s:(%esi); END
	CASE store8_\s, si=G; mov seg_sel, %\s; mov %bh, %\s:(%esi); mov %dh, %\s:5(%esi); mov %al, %\s:9(%esi); END
	CASE storei_\s, si=G; mov seg_sel, %\s; movl $0x12345678, %\s:(%esi); movb $3, %\s:4(%esi); END
	CASE abs_\s; mov seg_sel, %\s; mov %\s:scratch + 0x1000 - SEG_BASE, %ecx; mov %ah, %\s:scratch + 0x1007 - SEG_BASE; add %edx, %\s:scratch + 0xffe - SEG_BASE; END
	CASE sib_\s, si=G, cx=I; mov seg_sel, %\s; mov %\s:(%esi,%ecx,4), %edx; add %edx, %\s:8(%esi,%ecx,2); END
	CASE alu_\s, si=G; mov seg_sel, %\s; add %\s:(%esi), %eax; sbb %ecx, %\s:(%esi); cmpl $7, %\s:(%esi); xorb $0x55, %\s:3(%esi); testb $1, %\s:(%esi); END
	CASE inc_\s, si=G, undef=SF+ZF+AF+PF+OF; mov seg_sel, %\s; incl %\s:(%esi); decb %\s:6(%esi); negw %\s:8(%esi); shll $2, %\s:(%esi); END
	CASE lock_\s, si=G; mov seg_sel, %\s; lock incl %\s:(%esi); lock xadd %eax, %\s:(%esi); mov %\s:(%esi), %eax; lock cmpxchg %ecx, %\s:(%esi); xchg %edx, %\s:4(%esi); END
	CASE push_\s, si=G; mov seg_sel, %\s; pushl %\s:(%esi); pushw %\s:4(%esi); popw %\s:(%esi); popl %\s:8(%esi); END
	CASE call_\s, si=G; mov seg_sel, %\s; movl $1f, %\s:(%esi); call *%\s:(%esi); jmp 2f; 1: inc %eax; ret; 2: movl $3f, %\s:(%esi); jmp *%\s:(%esi); 3: END
	CASE bts_\s, si=G, ax=B; mov seg_sel, %\s; bts %eax, %\s:(%esi); btcl $9, %\s:(%esi); bt %ax, %\s:(%esi); END
	CASE movs_\s, si=G, cx=C; mov seg_sel, %\s; rep movsl %\s:(%esi), %es:(%edi); END
	CASE movsb_\s, si=G, fl=F_DF; mov seg_sel, %\s; movsb %\s:(%esi), %es:(%edi); lodsw %\s:(%esi); cmpsb %es:(%edi), %\s:(%esi); END
	CASE cmps_\s, si=G, cx=C; mov seg_sel, %\s; repe cmpsb %es:(%edi), %\s:(%esi); END
	CASE lods_\s, si=G, cx=C, fl=F_DF; mov seg_sel, %\s; rep lodsl %\s:(%esi); END
	CASE xlat_\s, bx=G, ax=C; mov seg_sel, %\s; xlat %\s:(%ebx); END
	CASE cmpxchg8b_\s, si=G; mov seg_sel, %\s; mov %eax, %\s:(%esi); mov %edx, %\s:4(%esi); lock cmpxchg8b %\s:(%esi); END
	CASE movzx_\s, si=G, undef=SF+ZF+AF+PF+OF; mov seg_sel, %\s; movzbl %\s:(%esi), %eax; movswl %\s:1(%esi), %ecx; setc %\s:(%esi); cmovs %\s:(%esi), %edx; imul %\s:(%esi), %ebx; END
	CASE sse_\s, si=G, fl=F_FPU; mov seg_sel, %\s; movups %\s:(%esi), %xmm0; paddd %xmm1, %xmm0; movups %xmm0, %\s:(%esi); END
	CASE x87_\s, si=G, fl=F_FPU+F_NOQEMU; mov seg_sel, %\s; fildl %\s:(%esi); fldt %\s:4(%esi); fstpl %\s:(%esi); END
	CASE lea_\s, si=G; mov seg_sel, %\s; lea %\s:5(%esi), %eax; END
	CASE limit_\s, si=R, fl=F_NOQEMU; mov seg_limit_sel, %\s; mov %\s:(%esi), %eax; END
	CASE limit_in_\s, si=C, fl=F_NOQEMU; mov seg_limit_sel, %\s; mov %\s:0x1000(%esi), %eax; mov %eax, %\s:0xf80(%esi); END
	CASE limit_edge_\s, si=C, fl=F_NOQEMU; mov seg_limit_sel, %\s; mov %\s:0x2000 - 24(%esi), %eax; END
	CASE limit_edgew_\s, si=C, fl=F_NOQEMU; mov seg_limit_sel, %\s; movw %ax, %\s:0x2000 - 24(%esi); END
	CASE limit_edgeb_\s, si=C, fl=F_NOQEMU; mov seg_limit_sel, %\s; incb %\s:0x2000 - 24(%esi); END
	CASE null_\s, fl=F_NOQEMU; xor %eax, %eax; mov %eax, %\s; mov %\s:(%esi), %ecx; END
	CASE null_ok_\s, fl=F_NOQEMU; xor %eax, %eax; mov %eax, %\s; mov $3, %eax; mov %eax, %\s; mov %\s, %ecx; END
	CASE save_\s; mov %\s, %ebx; mov seg_sel, %\s; push %\s; mov %ebx, %\s; pop %\s; mov %\s:scratch + 0x1000 - SEG_BASE, %ecx; mov %ebx, %\s; movl $0, -4(%esp); xor %ebx, %ebx; END
	CASE pushw_\s; mov seg_sel, %\s; pushw %\s; mov flat_sel, %\s; popw %\s; mov %\s:scratch + 0x1000 - SEG_BASE, %ecx; movl $0, -4(%esp); END
	.endr
	CASE moffs_fs8; mov seg_sel, %fs; .byte 0x64, 0xa0; .long scratch + 0x1003 - SEG_BASE; .byte 0x64, 0xa2; .long scratch + 0x1013 - SEG_BASE; END
	CASE moffs_gs32; mov seg_sel, %gs; .byte 0x65, 0xa1; .long scratch + 0xffe - SEG_BASE; rol $1, %eax; .byte 0x65, 0xa3; .long scratch + 0xfee - SEG_BASE; END
	CASE ldlfs; mov seg_sel, %ax; mov %ax, 4(%esi); movl $0x5555, (%esi); lfs (%esi), %ecx; mov %fs:scratch + 0x1080 - SEG_BASE, %edx; movl $0, 4(%esi); xor %eax, %eax; END
	CASE ldlgs; mov seg_sel, %ax; mov %ax, 4(%esi); lgs (%esi), %ecx; mov %gs:scratch + 0x1080 - SEG_BASE, %edx; movl $0, 4(%esi); xor %eax, %eax; END
	/* DS, ES, SS with a base.  The case's own variables are then behind CS or FS. */
	CASE ds_load, si=G; mov seg_sel, %ds; mov (%esi), %eax; mov 4(%esi), %bh; add 8(%esi), %ecx; END_SEG
	CASE ds_store, si=G; mov seg_sel, %ds; mov %eax, (%esi); mov %ch, 5(%esi); sub %edx, 9(%esi); incl (%esi); END_SEG
	CASE ds_push, si=G; mov seg_sel, %ds; pushl (%esi); popl 4(%esi); mov (%esp), %edx; END_SEG
	CASE ds_ss, si=G; mov seg_sel, %ds; mov %esp, %ebp; mov (%ebp), %eax; mov %ss:(%edi), %ecx; mov %eax, %es:(%edi); END_SEG
	CASE ds_movs, si=G, cx=C; mov seg_sel, %ds; rep movsb; END_SEG
	CASE ds_lods, si=G, cx=C; mov seg_sel, %ds; rep lodsl; lodsb; END_SEG
	CASE ds_lock, si=G; mov seg_sel, %ds; lock addl $3, (%esi); xchg %eax, 4(%esi); lock cmpxchg %ecx, (%esi); END_SEG
	CASE ds_sse, si=G, fl=F_FPU; mov seg_sel, %ds; movups (%esi), %xmm0; addps %xmm0, %xmm1; movups %xmm1, (%esi); END_SEG
	CASE ds_x87, si=G, fl=F_FPU+F_NOQEMU; mov seg_sel, %ds; flds (%esi); fadds 4(%esi); fstps 8(%esi); fnstcw 12(%esi); fldcw 12(%esi); END_SEG
	CASE ds_jmp, si=G; mov seg_sel, %ds; movl $1f, (%esi); jmp *(%esi); inc %ecx; 1: END_SEG
	CASE es_stos, di=G, cx=C; mov seg_sel, %es; rep stosl; stosb; END_SEG
	CASE es_movs, di=G, cx=C, fl=F_DF; mov seg_sel, %es; rep movsw; END_SEG
	CASE es_scas, di=G, cx=C; mov seg_sel, %es; repne scasb; END_SEG
	CASE es_cmps, di=G, cx=C; mov seg_sel, %es; repe cmpsb; END_SEG
	CASE es_over, di=G; mov seg_sel, %es; mov %es:(%edi), %eax; add %eax, %es:4(%edi); END_SEG
	CASE limit_ds, si=C, fl=F_NOQEMU; mov seg_limit_sel, %ds; mov 0x2000 - 24(%esi), %eax; mov %eax, 0x1fd0(%esi); END_SEG
	CASE limit_ds_rep, si=C, cx=C, fl=F_NOQEMU; mov seg_limit_sel, %ds; add $0x1000 + 256 - 64, %esi; rep movsl; END_SEG
	CASE limit_es_stos, di=C, cx=C, fl=F_NOQEMU; mov seg_limit_sel, %es; add $0x1000 + 128, %edi; rep stosl; END_SEG
	CASE limit_es_edge, di=C, cx=C, fl=F_NOQEMU; mov seg_limit_sel, %es; add $0x2000 - 64, %edi; rep stosb; END_SEG
	/* SS with a base: push, pop, call, EBP and ESP addressing all go through it.  (CPL 0: an exception would, too.) */
	CASE ss_push, sp=SP; mov seg_sel, %ss; sub $SEG_BASE, %esp; push %eax; push %ecx; pop %edx; pushw %bx; popw %si; mov (%esp), %edi; add $SEG_BASE, %esp; END_SEG
	CASE ss_call, sp=SP; mov seg_sel, %ss; sub $SEG_BASE, %esp; call 1f; jmp 2f; 1: push %eax; mov 4(%esp), %ecx; add $4, %esp; ret; 2: add $SEG_BASE, %esp; END_SEG
	CASE ss_call2, sp=SP; mov seg_sel, %ss; sub $SEG_BASE, %esp; call 1f; jmp 2f; 1: mov (%esp), %ecx; inc %eax; ret; 2: pusha; popa; pushf; popf; movl $0, -4(%esp); add $SEG_BASE, %esp; END_SEG
	CASE ss_ebp, bp=G; mov seg_sel, %ss; sub $SEG_BASE, %esp; mov (%ebp), %eax; add %eax, 4(%ebp); mov %ds:(%edi), %ecx; lea 4(%ebp), %edx; add $SEG_BASE, %esp; END_SEG
	CASE ss_enter, bp=K; mov seg_sel, %ss; sub $SEG_BASE, %esp; sub $SEG_BASE, %ebp; enter $16, $2; mov %eax, -12(%ebp); leave; add $SEG_BASE, %ebp; add $SEG_BASE, %esp; END_SEG
	CASE mov_sreg, fl=F_KERNEL;	/* user code run directly sees host selectors */
	 mov flat_sel, %ax; mov %ax, %es; mov %es, %ecx; sub %eax, %ecx; mov %ds, (%esi); mov flat_sel, %dx; sub %dx, (%esi); mov flat_sel, %ds; xor %edx, %edx; xor %eax, %eax; END
	CASE push_sreg, fl=F_KERNEL; push %ds; push %es; pop %ds; pop %es; push %ss; pop %eax; sub flat_sel, %ax; movl $0, -4(%esp); movl $0, -8(%esp); xor %eax, %eax; END
	CASE bad_sel; mov $0xfff8, %eax; mov %eax, %fs; END
	CASE null_ss, fl=F_USER; xor %eax, %eax; mov %eax, %ss; END
	CASE null_ds, fl=F_NOQEMU; xor %eax, %eax; mov %eax, %ds; mov (%esi), %ecx; END_SEG
