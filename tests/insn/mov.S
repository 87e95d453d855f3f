/*
 * MOV in every form incl. moffs, MOVZX, MOVSX, XCHG, XADD, CMPXCHG, CMPXCHG8B,
 * XLAT, LEA with 32-bit and 16-bit addressing.  SDM vol. 2.
 */
#include "insn.inc"
	CASE mov_rr32; mov %ecx, %eax; mov %eax, %ebp; END
	CASE mov_rr16; mov %cx, %ax; mov %ax, %bp; END
	CASE mov_rr8; mov %ch, %al; mov %al, %dh; mov %bl, %ah; END
	CASE mov_8b; .byte 0x8b, 0xc1; .byte 0x8a, 0xf9; END
	CASE mov_ri; mov $0x12345678, %eax; mov $0x1234, %cx; mov $0x56, %dh; END
	CASE mov_ri_c7; .byte 0xc7, 0xc2; .long 0x89abcdef; .byte 0xc6, 0xc5, 0x77; .byte 0x66, 0xc7, 0xc3, 0x34, 0x12; END
	CASE mov_mi; movl $0x12345678, (%esi); movw $0x4321, 9(%esi); movb $0x99, 13(%esi); END
	CASE mov_moffs_al; mov scratch + 0xff9, %al; END
	CASE mov_moffs_ax; mov scratch + 0xff9, %ax; END
	CASE mov_moffs_eax; mov scratch + 0xffe, %eax; END
	CASE mov_al_moffs; mov %al, scratch + 0xffb; END
	CASE mov_ax_moffs; mov %ax, scratch + 0xfff; END
	CASE mov_eax_moffs; mov %eax, scratch + 0xffd; END
	.irp op, movzx, movsx
	CASE \op\()_b32; \op %cl, %eax; END
	CASE \op\()_h32; \op %ch, %ecx; END
	CASE \op\()_h32b; \op %bh, %ebp; END
	CASE \op\()_b16; \op %dl, %ax; END
	CASE \op\()_h16; \op %ah, %ax; END
	CASE \op\()_w32; \op %dx, %eax; END
	CASE \op\()_w32b; \op %bp, %esi; END
	.endr
	CASE movzbl_m; movzbl (%esi), %eax; END
	CASE movzbw_m; movzbw (%esi), %cx; END
	CASE movzwl_m; movzwl 3(%esi), %ebp; END
	CASE movsbl_m; movsbl (%esi), %edx; END
	CASE movsbw_m; movsbw (%esi), %bx; END
	CASE movswl_m; movswl (%esi), %edi; END
	CASE movzww; .byte 0x66, 0x0f, 0xb7, 0xc1; .byte 0x66, 0x0f, 0xbf, 0x16; END
	CASE movzx_self; movzwl (%esi), %esi; END
	CASE load_self; mov (%esi), %esi; END
	CASE store_self; mov %esi, (%esi); END
	CASE xchg_rr; xchg %eax, %ecx; xchg %edx, %ebx; xchg %bp, %si; xchg %al, %ah; xchg %ch, %dl; END
	CASE xchg_ax; xchg %ax, %cx; xchg %ax, %di; END
	CASE xchg_m32; xchg %eax, (%esi); END
	CASE xchg_m16; xchg %cx, 5(%esi); END
	CASE xchg_m8; xchg %dh, (%esi); END
	CASE xchg_mx, si=X; xchg %ebp, (%esi); END
	CASE xchg_self; xchg %esi, (%esi); END
	CASE xadd_rr32; xadd %ecx, %eax; END
	CASE xadd_rr16; xadd %cx, %ax; END
	CASE xadd_rr8; xadd %ch, %al; END
	CASE xadd_same; xadd %ecx, %ecx; END
	CASE xadd_m32; xadd %eax, (%esi); END
	CASE xadd_m16; xadd %dx, (%esi); END
	CASE xadd_m8; xadd %bh, (%esi); END
	CASE xadd_lock; lock xadd %ebp, (%edi); END
	CASE cmpxchg_rr32; cmpxchg %ecx, %edx; END
	CASE cmpxchg_rr32eq; mov %eax, %edx; cmpxchg %ecx, %edx; END
	CASE cmpxchg_rr16; cmpxchg %cx, %dx; END
	CASE cmpxchg_rr8; cmpxchg %ch, %dl; END
	CASE cmpxchg_rr8eq; mov %al, %dh; cmpxchg %bl, %dh; END
	CASE cmpxchg_m32; cmpxchg %ecx, (%esi); END
	CASE cmpxchg_m32eq; mov %eax, (%esi); cmpxchg %ecx, (%esi); END
	CASE cmpxchg_m16eq; mov %ax, (%esi); cmpxchg %cx, (%esi); END
	CASE cmpxchg_m8; cmpxchg %ch, (%esi); END
	CASE cmpxchg_m8eq; mov %al, (%esi); cmpxchg %dh, (%esi); END
	CASE cmpxchg_lock; mov %eax, (%esi); lock cmpxchg %ebp, (%esi); END
	CASE cmpxchg_lockne; lock cmpxchg %ebp, (%esi); END
	CASE cmpxchg8b, need=N_CX8; cmpxchg8b (%esi); END
	CASE cmpxchg8b_eq, need=N_CX8; mov %eax, (%esi); mov %edx, 4(%esi); cmpxchg8b (%esi); END
	CASE cmpxchg8b_lock, need=N_CX8; mov %eax, (%esi); mov %edx, 4(%esi); lock cmpxchg8b (%esi); END
	CASE cmpxchg8b_x, si=X, need=N_CX8; mov %eax, (%esi); mov %edx, 4(%esi); lock cmpxchg8b (%esi); END
	CASE xlat, bx=P, ax=C; xlat; END
	CASE xlat_big, ax=R; mov $scratch + 0xf80, %ebx; xlat; END
	CASE lea; lea 5(%eax,%ecx,4), %edx; lea (%esi), %ebp; lea -7(%ebx,%ebx), %eax; END
	CASE lea16op; lea 5(%eax,%ecx,4), %dx; END
	CASE lea_noindex; lea 0x1234(,%ecx,8), %eax; lea 0x77777777, %edx; lea (,%ebp,2), %ebx; END
	CASE lea_esp; lea (%esp,%eax,2), %ecx; lea 4(%esp), %edx; END
	/* 16-bit addressing: the sum wraps at 2^16 and is zero-extended. */
	CASE lea_a16_1, si=R, di=R; lea (%bx,%si), %eax; lea (%bx,%di), %ecx; lea (%bp,%si), %edx; END
	CASE lea_a16_2, si=R, di=R; lea (%bp,%di), %eax; lea (%si), %ecx; lea (%di), %edx; lea (%bx), %ebx; END
	CASE lea_a16_3, si=R, di=R; lea 0x7f(%bx,%si), %eax; lea -0x80(%bp), %ecx; lea 0x1234(%di), %edx; lea -2(%bp,%di), %bp; END
	CASE lea_a16_4; addr16 lea 0x9abc, %eax; addr16 lea 0x7fff, %cx; END
	CASE salc; .byte 0xd6; END
	CASE salc2; add %ecx, %eax; .byte 0xd6; adc %al, %ah; END
	CASE cpuid_like; xor %eax, %eax; mov %eax, %ecx; END
	CASE movnti; movnti %eax, (%esi); sfence; END
	CASE fences; mfence; lfence; sfence; END
	CASE prefetch; prefetcht0 (%esi); prefetchnta 0x100(%esi); prefetcht1 scratch + 0x3000; prefetcht2 0; END
	CASE clflush; clflush (%esi); END
