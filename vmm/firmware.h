/*
 * The tables a BIOS leaves in memory.  Ringer has no BIOS: the monitor builds
 * the BIOS segment (0xf0000-0xfffff) in host memory, each table's builder
 * taking room from it, and copies it to the guest in one write.
 *
 * struct bios_area and its doors are vmm/bios.c's; each builder is the file of
 * its name.
 */
#ifndef VMM_FIRMWARE_H
#define VMM_FIRMWARE_H

#include "base/types.h"
#include "mmu/phys.h"

#define BIOS_BASE 0xf0000u
#define BIOS_SIZE 0x10000u
#define EBDA_BASE 0x9fc00u
#define EBDA_SIZE 0x400u

/*
 * PCI interrupt routing: INTA..INTD (pin 0..3) of a slot on bus 0 arrive at
 * these two inputs, level triggered; the same numbers are the 8259 IRQs when
 * the I/O APIC is not used.  vmm/dsdt.asl's _PRT says the same.
 */
#define PCI_GSI_BASE 10u
#define PCI_SLOTS    32u
static inline unsigned pci_slot_gsi(unsigned slot, unsigned pin)
{
	return PCI_GSI_BASE + ((slot + pin) & 1);
}

struct bios_area {
	u8 bytes[BIOS_SIZE];
	u32 used;		/* bytes taken from the bottom */
};

/*
 * Room for len zeroed bytes at a multiple of align (a power of two).  Returns
 * the guest physical address.  Running out is a bug: all sizes are ours.
 */
u32 bios_alloc(struct bios_area *a, u32 len, u32 align);
/* The host bytes behind an address that bios_alloc returned. */
void *bios_at(struct bios_area *a, u32 gpa);
/* The value for a checksum byte (zero so far) that makes the bytes' sum 0 modulo 256. */
u8 bios_checksum(const void *p, u32 len);

/*
 * Write the IVT, BIOS data area, EBDA and BIOS segment into guest memory, for
 * `cpus` CPUs (1..8).  *rsdp: address of the ACPI root pointer.  False only
 * if RAM is smaller than 1 MiB.
 */
MUST_USE bool bios_place(const struct phys_map *phys, unsigned cpus, u32 *rsdp);

/* ACPI tables; returns the RSDP's address (vmm/acpi.c). */
u32 acpi_build(struct bios_area *a, unsigned cpus);
/* MultiProcessor specification tables (vmm/mptable.c). */
void mptable_build(struct bios_area *a, unsigned cpus);
/* SMBIOS tables; ram_size in bytes (vmm/smbios.c). */
void smbios_build(struct bios_area *a, unsigned cpus, u64 ram_size);

#endif
