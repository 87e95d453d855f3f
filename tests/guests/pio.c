/*
 * pio: IN and OUT of every size, immediate and DX ports, INS and OUTS with REP, both
 * directions, segment overrides, page faults at the memory side; reads from nowhere are all ones;
 * the debug console, PIC mask registers, CMOS, PCI configuration and fw_cfg as known answers.
 * SDM vol. 1, ch. 19; vol. 2 IN OUT INS OUTS.
 */
#include "rt.h"

#define VA 0x30000000u
SNIPPET(in_forms, "", "mov $0x11223344, %eax; in $0x21, %al; mov %eax, %ebx; mov $0x21, %dx; mov $0x55667788, %eax; in (%dx), %al; mov %eax, %ecx", "");
SNIPPET(rep_insb, "", "rep insb", "");
SNIPPET(rep_outsb, "", "rep outsb", "");
SNIPPET(insb, "std", "insb", "cld");
SNIPPET(insd, "", "insl", "");
SNIPPET(outs_fs, "mov %eax, %fs", "outsb %fs:(%esi), (%dx)", "");
SNIPPET(nowhere, "mov $0x5678, %dx; xor %eax, %eax", "in (%dx), %al; mov %eax, %ebx; xor %eax, %eax; in (%dx), %ax; mov %eax, %ecx; in (%dx), %eax", "");
static struct state s;
static u32 pci(u32 reg) { outl(0xcf8, 0x80000000 | reg); return inl(0xcfc); }

int main(void)
{
	u32 *pd = pg_new();
	pg_on(pd);

	group("sizes and forms");
	outb(0x21, 0xa5);
	s = kstate(in_forms);
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(T.s.ebx, 0x112233a5);
	CHECK_EQ(T.s.ecx, 0x556677a5);
	asm volatile("mov $0x5a, %%al; out %%al, $0x21" : : : "eax");
	CHECK_EQ(inb(0x21), 0x5a);
	outb(0x21, 0xff);

	group("nothing there: all ones");
	s = kstate(nowhere);
	trap_run(&s, &T);
	CHECK_EQ(T.s.ebx, 0xff);
	CHECK_EQ(T.s.ecx, 0xffff);
	CHECK_EQ(T.s.eax, 0xffffffff);

	group("debug console reads back 0xe9");
	CHECK_EQ(inb(0xe9), 0xe9);

	group("PCI configuration: 32-bit, byte and word accesses");
	u32 id = pci(0);
	CHECK(id != 0xffffffff && (id & 0xffff) != 0);
	outl(0xcf8, 0x80000000);
	CHECK_EQ(inl(0xcf8), 0x80000000);
	CHECK_EQ(inw(0xcfc), id & 0xffff);
	CHECK_EQ(inw(0xcfe), id >> 16);
	CHECK_EQ(inb(0xcfd), id >> 8 & 0xff);
	CHECK_EQ(pci(0x8) >> 24, 6);		/* a bridge */
	CHECK_EQ(pci(0x1f << 11 | 7 << 8), 0xffffffff);

	group("fw_cfg by REP INSB");
	u8 buf[64];
	outw(0x510, 0);
	s = kstate(rep_insb);
	s.edx = 0x511, s.edi = (u32)buf, s.ecx = 4;
	memset(buf, 0, sizeof(buf));
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(*(u32 *)buf, 0x554d4551);	/* QEMU */
	CHECK_EQ(T.s.ecx, 0);
	CHECK_EQ(T.s.edi, (u32)buf + 4);

	group("REP INSB into absent pages");
	u32 *frame = page_alloc(), *frame2 = page_alloc();
	pg_map(pd, VA, (u32)frame, PTE_P | PTE_W);
	outw(0x510, 0);
	s.edi = VA + 0xffe;
	s.ecx = 4;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 2, rep_insb_f);
	CHECK_EQ(T.cr2, VA + 0x1000);
	CHECK_EQ(T.s.edi, VA + 0x1000);
	CHECK_EQ(T.s.ecx, 2);
	CHECK_EQ(*(volatile u16 *)(VA + 0xffe), 0x4551);
	pg_map(pd, VA + 0x1000, (u32)frame2, PTE_P | PTE_W);
	s = T.s;				/* go on where it stopped */
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(*(volatile u16 *)(VA + 0x1000), 0x554d);	/* no byte was lost or read twice */

	group("INSB backwards, INSL");
	outw(0x510, 0);
	s = kstate(insb);
	s.edx = 0x511, s.edi = (u32)buf + 10;
	trap_run(&s, &T);
	CHECK_EQ(T.vector, T_DONE);
	CHECK_EQ(T.s.edi, (u32)buf + 9);
	CHECK_EQ(buf[10], 'Q');
	outl(0xcf8, 0x80000000);
	s = kstate(insd);
	s.edx = 0xcfc, s.edi = (u32)buf;
	trap_run(&s, &T);
	CHECK_EQ(*(u32 *)buf, id);
	CHECK_EQ(T.s.edi, (u32)buf + 4);

	group("REP OUTSB");
	s = kstate(rep_outsb);
	s.edx = 0x21, s.ecx = 3, s.esi = (u32)buf;
	buf[0] = 1, buf[1] = 2, buf[2] = 0x6b;
	trap_run(&s, &T);
	CHECK_EQ(inb(0x21), 0x6b);		/* the last one written */
	CHECK_EQ(T.s.esi, (u32)buf + 3);
	CHECK_EQ(T.s.ecx, 0);
	s.esi = VA + 0x1ffe;
	s.ecx = 4;
	trap_run(&s, &T);
	CHECK_TRAP(&T, 14, 0, rep_outsb_f);
	CHECK_EQ(T.cr2, VA + 0x2000);
	CHECK_EQ(T.s.ecx, 2);
	gdt_set(0x90, seg_desc(VA, 0xfffff, 0x93, 0xc));
	wr8(VA + 0x10, 0x3c);
	s = kstate(outs_fs);
	s.eax = 0x90, s.edx = 0x21, s.esi = 0x10;
	trap_run(&s, &T);
	CHECK_EQ(inb(0x21), 0x3c);
	outb(0x21, 0xff);

	group("CMOS");
	outb(0x70, 0x0d);
	CHECK_EQ(inb(0x71) & 0x80, 0x80);	/* VRT: the battery is good */
	outb(0x70, 0x0e);
	outb(0x70, 0x40);
	outb(0x71, 0x77);
	outb(0x70, 0x40);
	CHECK_EQ(inb(0x71), 0x77);

	group("i8042 self-test");
	outb(0x64, 0xaa);
	for (u32 i = 0; i < 100000 && !(inb(0x64) & 1); i++)
		;
	CHECK_EQ(inb(0x60), 0x55);
	return 0;
}
