/*
 * PCI bus 0: configuration mechanism 1 and single-function type-0 devices.
 *
 * All calls but construction with the bus lock held.
 */
#ifndef IO_PCI_H
#define IO_PCI_H

#include "io/bus.h"

#define PCI_SLOT_COUNT 32u
#define PCI_BARS       6u
#define PCI_INTX_LINES 2u
#define PCI_INTX_GSI   10u		/* of line 0 */

/* Configuration registers, PCI 3.0 section 6.1. */
enum pci_reg {
	PCI_VENDOR = 0x00, PCI_DEVICE = 0x02, PCI_COMMAND = 0x04, PCI_STATUS = 0x06,
	PCI_REVISION = 0x08, PCI_CLASS = 0x09, PCI_CACHE_LINE = 0x0c, PCI_LATENCY = 0x0d,
	PCI_HEADER_TYPE = 0x0e, PCI_BAR0 = 0x10, PCI_SUBSYS_VENDOR = 0x2c, PCI_SUBSYS_ID = 0x2e,
	PCI_CAPABILITIES = 0x34, PCI_INT_LINE = 0x3c, PCI_INT_PIN = 0x3d,
};

#define PCI_COMMAND_IO        0x0001u
#define PCI_COMMAND_MEMORY    0x0002u
#define PCI_COMMAND_MASTER    0x0004u
#define PCI_COMMAND_INTX_OFF  0x0400u
#define PCI_STATUS_INTX       0x0008u
#define PCI_STATUS_CAPS       0x0010u

/*
 * Where INTA..INTD (pin 0..3) of a slot arrive: I/O APIC input and 8259 IRQ.
 * vmm/firmware.h's tables promise the same; tests/unit/test_io_pci.c compares.
 */
static inline unsigned pci_intx_line(unsigned slot, unsigned pin) { return (slot + pin) & 1; }
static inline unsigned pci_intx_gsi(unsigned slot, unsigned pin)
{
	return PCI_INTX_GSI + pci_intx_line(slot, pin);
}

struct pci_bar_info { u32 size; bool io; };	/* size: a power of two, >= 4 (I/O) or 16; 0 = no BAR */

struct pci_device_info {
	u16 vendor, device;
	u32 class;			/* 24 bits: class, subclass, interface */
	u8 revision;
	u16 subsys_vendor, subsys_id;
	u8 pin;				/* 0: no interrupt; 1..4: INTA..INTD */
	struct pci_bar_info bar[PCI_BARS];
	void *dev;
	/* The guest placed a BAR, moved it, or switched its decoding off (mapped == false). */
	void (*bar_mapped)(void *dev, unsigned bar, u32 base, bool mapped);
	/* After a write that touched [off, off+size): for registers beyond the header. */
	void (*config_written)(void *dev, u8 off, unsigned size);
	void (*reset)(void *dev);
};

struct pci_function {
	struct pci_device_info info;
	bool present, intx;
	u16 next_capability;		/* where it will go */
	u8 config[256];
	u8 writable[256];		/* bits that the guest may change */
	u8 power_on[256];		/* config after a reset */
	struct { u32 base; bool mapped; } bar[PCI_BARS];
};

struct pci {
	u32 address;			/* CONFIG_ADDRESS */
	u32 asserted[PCI_INTX_LINES];	/* by slot */
	struct irq_line line[PCI_INTX_LINES];
	struct pci_function slot[PCI_SLOT_COUNT];
};

MUST_USE int pci_init(struct pci *p, struct bus *b);
void pci_reset(struct pci *p);

/* Construction: GSI 10 and 11 (each set both on the I/O APIC and on the 8259 by the owner). */
void pci_connect(struct pci *p, const struct irq_line line[PCI_INTX_LINES]);
/* -EEXIST: slot taken; -EINVAL: no such slot or a bad BAR size. */
MUST_USE int pci_add(struct pci *p, unsigned slot, const struct pci_device_info *info);
/*
 * Construction: a capability of len bytes, its id first, placed after the
 * others; writable may be NULL.  Its offset, or -ENOSPC.
 */
MUST_USE int pci_add_capability(struct pci *p, unsigned slot, const u8 *bytes, const u8 *writable,
				unsigned len);
/* A device's interrupt pin; an irq_line's `set` with n = slot. */
void pci_set_intx(void *pci, unsigned slot, bool level);
/* May the device master the bus (DMA)? */
bool pci_is_master(const struct pci *p, unsigned slot);

#endif
