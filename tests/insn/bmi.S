/*
 * POPCNT LZCNT TZCNT, BMI1, BMI2, ADX, MOVBE, CRC32, RDSEED-free: general-register
 * extensions, legacy and VEX encoded.  SDM vol. 2.
 */
#include "insn.inc"
	CASE popcnt, need=N_POPCNT; popcnt %ecx, %eax; END
	CASE popcnt16, need=N_POPCNT; popcnt %cx, %ax; END
	CASE popcnt_m, need=N_POPCNT; popcnt (%esi), %ebp; END
	CASE popcnt_m16, need=N_POPCNT; popcnt 3(%esi), %bx; END
	.set V, OF + SF + AF + PF
	CASE lzcnt, need=N_LZCNT, undef=V; lzcnt %ecx, %eax; END
	CASE lzcnt16, need=N_LZCNT, undef=V; lzcnt %cx, %ax; END
	CASE lzcnt_m, need=N_LZCNT, undef=V; lzcnt (%esi), %edx; END
	CASE lzcnt_0, need=N_LZCNT, undef=V; xor %ecx, %ecx; lzcnt %ecx, %eax; END
	CASE tzcnt, need=N_BMI1, undef=V; tzcnt %ecx, %eax; END
	CASE tzcnt16, need=N_BMI1, undef=V; tzcnt %cx, %ax; END
	CASE tzcnt_m, need=N_BMI1, undef=V; tzcnt (%esi), %edx; END
	CASE tzcnt_0, need=N_BMI1, undef=V; xor %ecx, %ecx; tzcnt %ecx, %eax; END
	CASE andn, need=N_BMI1, undef=AF+PF; andn %ecx, %edx, %eax; END
	CASE andn_m, need=N_BMI1, undef=AF+PF; andn (%esi), %edx, %eax; END
	CASE andn_abs, need=N_BMI1, undef=AF+PF; andn scratch + 0xffe, %ebp, %esi; END
	CASE andn_sib, cx=I, need=N_BMI1, undef=AF+PF; andn 4(%edi,%ecx,4), %ebp, %esi; END
	CASE bextr, cx=C, need=N_BMI1, undef=AF+SF+PF; bextr %ecx, %edx, %eax; END
	CASE bextr2, need=N_BMI1, undef=AF+SF+PF; mov $0x0a05, %ecx; bextr %ecx, (%esi), %ebx; END
	/* BLSI: TCG 7.2 gets CF wrong */
	CASE blsi, fl=F_NOQEMU, need=N_BMI1, undef=AF+PF; blsi %ecx, %eax; END
	CASE blsi_m, fl=F_NOQEMU, need=N_BMI1, undef=AF+PF; blsi (%esi), %eax; END
	CASE blsmsk, need=N_BMI1, undef=AF+PF; blsmsk %ecx, %eax; END
	CASE blsr, need=N_BMI1, undef=AF+PF; blsr %ecx, %eax; END
	CASE blsr_m, need=N_BMI1, undef=AF+PF; blsr 1(%edi), %edx; END
	CASE bzhi, cx=C, need=N_BMI2, undef=AF+PF; bzhi %ecx, %edx, %eax; END
	CASE bzhi_m, cx=C, need=N_BMI2, undef=AF+PF; bzhi %ecx, (%esi), %eax; END
	CASE mulx, need=N_BMI2; mulx %ecx, %ebx, %eax; END
	CASE mulx_m, need=N_BMI2; mulx (%esi), %ebx, %eax; END
	CASE mulx_same, need=N_BMI2; mulx %ecx, %ebx, %ebx; END
	CASE pdep, need=N_BMI2; pdep %ecx, %edx, %eax; END
	CASE pdep_m, need=N_BMI2; pdep (%esi), %edx, %eax; END
	CASE pext, need=N_BMI2; pext %ecx, %edx, %eax; END
	CASE pext_m, need=N_BMI2; pext (%esi), %edx, %eax; END
	CASE rorx, need=N_BMI2; rorx $7, %ecx, %eax; END
	CASE rorx_m, need=N_BMI2; rorx $25, (%esi), %eax; END
	CASE sarx, need=N_BMI2; sarx %ecx, %edx, %eax; END
	CASE sarx_m, need=N_BMI2; sarx %ecx, (%esi), %eax; END
	CASE shlx, need=N_BMI2; shlx %ecx, %edx, %eax; END
	CASE shlx_m, need=N_BMI2; shlx %ebp, 4(%esi), %eax; END
	CASE shrx, need=N_BMI2; shrx %ecx, %edx, %eax; END
	CASE shrx_m, need=N_BMI2; shrx %ecx, -4(%esi), %eax; END
	CASE adcx, need=N_ADX; adcx %ecx, %eax; adcx (%esi), %eax; END
	CASE adox, need=N_ADX; adox %ecx, %eax; adox (%esi), %edx; END
	CASE adcox, need=N_ADX; adcx %ecx, %eax; adox %edx, %eax; adcx %eax, %ebx; adox %ebx, %ebp; END
	CASE movbe, need=N_MOVBE; movbe (%esi), %eax; movbe %ecx, (%edi); END
	CASE movbe16, need=N_MOVBE; movbe (%esi), %ax; movbe %cx, (%edi); END
	CASE movbe_x, si=X, need=N_MOVBE; movbe (%esi), %eax; movbe %ecx, (%esi); END
	CASE crc32b, need=N_SSE42; crc32b %cl, %eax; crc32b %ch, %edx; END
	CASE crc32w, need=N_SSE42; crc32w %cx, %eax; END
	CASE crc32l, need=N_SSE42; crc32l %ecx, %eax; crc32l (%esi), %eax; crc32b (%esi), %eax; END
	/* LZCNT and TZCNT without the feature are BSR and BSF: tested by what the CPU says. */
