/*
 * The hypervisor port: how a guest that has seen "VMwareVMware" in CPUID
 * 0x40000000 learns the TSC frequency instead of measuring it.
 *
 * IN EAX, DX with DX = 0x5658, EAX = the magic number, ECX[15:0] = command.
 * Linux (arch/x86/kernel/cpu/vmware.c) asks for the version, the frequencies,
 * and then a few services (stolen time, x2APIC), whose "no" is all ones.
 */
#include "base/log.h"
#include "cpu/arch.h"

#define BACKDOOR_MAGIC 0x564d5868u	/* "VMXh" */

enum backdoor_command {
	BACKDOOR_GETVERSION = 10,
	BACKDOOR_GETHZ = 45,
};

bool backdoor_in(struct vcpu *v)
{
	u64 hz = v->platform->tsc_hz;

	if (v->regs[EAX] != BACKDOOR_MAGIC)
		return false;
	switch (v->regs[ECX] & 0xffff) {
	case BACKDOOR_GETVERSION:
		v->regs[EAX] = 6;
		v->regs[EBX] = BACKDOOR_MAGIC;
		v->regs[ECX] = 4;	/* product type: ESX-like, any */
		break;
	case BACKDOOR_GETHZ:
		v->regs[EAX] = (u32)hz;
		v->regs[EBX] = (u32)(hz >> 32);
		v->regs[ECX] = v->platform->lapic_hz;
		break;
	default:
		trace(unimp, "hypervisor port: command %u", v->regs[ECX] & 0xffff);
		v->regs[EAX] = 0xffffffff;
		v->regs[EBX] = 0xffffffff;
		break;
	}
	return true;
}
