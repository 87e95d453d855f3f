/* A CPU's registers for people (see cpu/engine.h). */
#include "base/log.h"
#include "cpu/access.h"
#include "cpu/engine.h"

void vcpu_dump(struct vcpu *v)
{
	static const char *const names[] = { "ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR" };
	u8 code[16];
	unsigned n;

	log_raw("EAX=%08x EBX=%08x ECX=%08x EDX=%08x\nESI=%08x EDI=%08x EBP=%08x ESP=%08x\n",
		v->regs[EAX], v->regs[EBX], v->regs[ECX], v->regs[EDX], v->regs[ESI], v->regs[EDI],
		v->regs[EBP], v->regs[ESP]);
	log_raw("EIP=%08x EFL=%08x CPL=%u HLT=%u mode %04x\n", v->eip, vcpu_eflags(v), v->cpl, v->halted, v->mode);
	for (unsigned i = 0; i < SEG_COUNT; i++)
		log_raw("%-4s=%04x base %08x limit %08x attr %04x\n", names[i], v->seg[i].sel, v->seg[i].base,
			v->seg[i].limit, v->seg[i].attr);
	log_raw("GDT= base %08x limit %04x   IDT= base %08x limit %04x\n", v->gdt_base, v->gdt_limit, v->idt_base, v->idt_limit);
	log_raw("CR0=%08x CR2=%08x CR3=%08x CR4=%08x EFER=%llx DR6=%08x DR7=%08x\n", v->cr0, v->cr2, v->cr3, v->cr4,
		(unsigned long long)v->efer, v->dr6, v->dr7);
	n = mem_peek(v, v->seg[SEG_CS].base + v->eip, code, sizeof(code));
	log_raw("code at EIP:");
	for (unsigned i = 0; i < n; i++)
		log_raw(" %02x", code[i]);
	log_raw("\n");
}
