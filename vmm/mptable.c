/*
 * The MultiProcessor configuration table, for kernels without ACPI (or with
 * acpi=off): the same CPUs, I/O APIC and interrupt routing as vmm/acpi.c's
 * MADT and vmm/dsdt.asl's _PRT.
 *
 * Source: Intel MultiProcessor Specification 1.4, chapter 4.
 */
#include "vmm/firmware.h"

#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "io/pc.h"

#define PACKED __attribute__((packed))

struct mp_floating {
	char signature[4];
	u32 table;
	u8 length16, revision, checksum, feature[5];
} PACKED;

struct mp_header {
	char signature[4];
	u16 length;
	u8 revision, checksum;
	char oem_id[8], product_id[12];
	u32 oem_table;
	u16 oem_table_size, entry_count;
	u32 lapic;
	u16 extended_length;
	u8 extended_checksum, reserved;
} PACKED;

struct mp_cpu { u8 type, apic_id, apic_version, flags; u32 signature, features, reserved[2]; } PACKED;
struct mp_bus { u8 type, id; char name[6]; } PACKED;
struct mp_ioapic { u8 type, id, version, flags; u32 base; } PACKED;
struct mp_interrupt { u8 type, kind; u16 flags; u8 bus, source, apic, input; } PACKED;

_Static_assert(sizeof(struct mp_floating) == 16 && sizeof(struct mp_header) == 44 &&
	       sizeof(struct mp_cpu) == 20 && sizeof(struct mp_bus) == 8 &&
	       sizeof(struct mp_ioapic) == 8 && sizeof(struct mp_interrupt) == 8,
	       "MP 1.4, tables 4-1 to 4-12");

enum { ENTRY_CPU, ENTRY_BUS, ENTRY_IOAPIC, ENTRY_IO_INT, ENTRY_LOCAL_INT };
enum { KIND_INT = 0, KIND_NMI = 1, KIND_EXTINT = 3 };
enum { BUS_PCI = 0, BUS_ISA = 1 };	/* Linux wants a PCI bus's MP id to be its bus number */

#define REVISION      4		/* MP 1.4 */
#define CPU_ENABLED   BIT(0)
#define CPU_BSP       BIT(1)
#define LAPIC_VERSION 0x14	/* integrated */
#define IOAPIC_VERSION 0x11
#define CPU_P6        0x600	/* family 6; kernels ask CPUID for more */
#define CPU_FPU_APIC  (BIT(0) | BIT(9))
#define CONFORMS      0		/* polarity and trigger as the bus has them: edge and high for ISA */
#define LEVEL_LOW     0xf
#define ALL_LAPICS    0xff
#define ISA_IRQS      16
#define ENTRIES_MAX   256

struct table {
	u8 bytes[sizeof(struct mp_header) + ENTRIES_MAX * sizeof(struct mp_cpu)];
	u16 len, entries;
};

static void add(struct table *t, const void *entry, u16 len)
{
	CHECK(len <= sizeof t->bytes - t->len);
	memcpy(t->bytes + t->len, entry, len);
	t->len = (u16)(t->len + len);
	t->entries++;
}

static void add_bus(struct table *t, u8 id, const char *name)
{
	struct mp_bus b = { .type = ENTRY_BUS, .id = id };

	memcpy(b.name, name, sizeof b.name);
	add(t, &b, sizeof b);
}

static void add_io_int(struct table *t, u8 kind, u16 flags, u8 bus, u8 source, u8 input)
{
	struct mp_interrupt i = { ENTRY_IO_INT, kind, flags, bus, source, PC_IOAPIC_ID, input };

	add(t, &i, sizeof i);
}

static void add_local_int(struct table *t, u8 kind, u8 lint)
{
	struct mp_interrupt i = { ENTRY_LOCAL_INT, kind, CONFORMS, BUS_ISA, 0, ALL_LAPICS, lint };

	add(t, &i, sizeof i);
}

static void add_cpus(struct table *t, unsigned cpus)
{
	for (unsigned i = 0; i < cpus; i++) {
		struct mp_cpu c = {
			.type = ENTRY_CPU, .apic_id = (u8)i, .apic_version = LAPIC_VERSION,
			.flags = (u8)(CPU_ENABLED | (i == 0 ? CPU_BSP : 0)),
			.signature = CPU_P6, .features = CPU_FPU_APIC,
		};
		add(t, &c, sizeof c);
	}
}

static bool is_pci_input(unsigned irq)
{
	return irq == pci_slot_gsi(0, 0) || irq == pci_slot_gsi(0, 1);
}

static void add_interrupts(struct table *t)
{
	add_io_int(t, KIND_EXTINT, CONFORMS, BUS_ISA, 0, 0);
	for (unsigned irq = 0; irq < ISA_IRQS; irq++) {
		if (irq == 2 || is_pci_input(irq))
			continue;	/* 2: the cascade, and the PIT's input */
		add_io_int(t, KIND_INT, CONFORMS, BUS_ISA, (u8)irq, irq == 0 ? 2 : (u8)irq);
	}
	for (unsigned slot = 1; slot < PCI_SLOTS; slot++)
		for (unsigned pin = 0; pin < 4; pin++)
			add_io_int(t, KIND_INT, LEVEL_LOW, BUS_PCI, (u8)(slot << 2 | pin),
				   (u8)pci_slot_gsi(slot, pin));
	add_local_int(t, KIND_EXTINT, 0);
	add_local_int(t, KIND_NMI, 1);
}

void mptable_build(struct bios_area *a, unsigned cpus)
{
	const struct mp_ioapic ioapic = {
		.type = ENTRY_IOAPIC, .id = PC_IOAPIC_ID, .version = IOAPIC_VERSION,
		.flags = 1, .base = PC_IOAPIC_BASE,
	};
	struct table t = { .len = sizeof(struct mp_header) };
	struct mp_header *h = (struct mp_header *)t.bytes;
	struct mp_floating *f;
	u32 gpa = bios_alloc(a, sizeof *f, 16), table;

	add_cpus(&t, cpus);		/* the specification's order of types */
	add_bus(&t, BUS_PCI, "PCI   ");
	add_bus(&t, BUS_ISA, "ISA   ");
	add(&t, &ioapic, sizeof ioapic);
	add_interrupts(&t);

	memcpy(h->signature, "PCMP", 4);
	h->length = t.len;
	h->revision = REVISION;
	memcpy(h->oem_id, "RINGER  ", sizeof h->oem_id);
	memcpy(h->product_id, "RINGER PC   ", sizeof h->product_id);
	h->entry_count = t.entries;
	h->lapic = PC_LAPIC_BASE;
	h->checksum = bios_checksum(t.bytes, t.len);
	table = bios_alloc(a, t.len, 16);
	memcpy(bios_at(a, table), t.bytes, t.len);

	f = bios_at(a, gpa);
	memcpy(f->signature, "_MP_", 4);
	f->table = table;
	f->length16 = 1;
	f->revision = REVISION;
	f->checksum = bios_checksum(f, sizeof *f);
}
