/*
 * See io/pci.h.  Owns configuration space and the sharing of interrupt pins;
 * what is behind a BAR is the device's.
 *
 * The machine has a host bridge and an ISA bridge, which kernels look for, and
 * nothing else of the chipset: the PIIX4's power management function is left
 * out, because Linux's quirks would claim the ports that its registers name,
 * and ACPI's tables already say where they are.
 *
 * Invariant: `writable` bits are the only ones of `config` that the guest
 * changes, so a BAR's size and a capability's identity cannot be forged.
 *
 * Source: PCI Local Bus 3.0, section 3.2.2.3 (mechanism 1) and chapter 6;
 * identities from Intel 82440FX (290549) and 82371SB (290550).
 */
#include "io/pci.h"

#include <errno.h>
#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"

#define PORT_ADDRESS 0xcf8u
#define PORT_DATA    0xcfcu

/* CONFIG_ADDRESS: enable, bus, device, function, register. */
#define ADDRESS_ENABLE   BIT(31)
#define ADDRESS_WRITABLE 0x80fffffcu

#define COMMAND_WRITABLE (PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | \
			  0x0140u /* parity, SERR#: stored only */ | PCI_COMMAND_INTX_OFF)
#define CAPABILITIES_FIRST 0x40u

static void bars_update(struct pci_function *f)
{
	u16 command = load16(f->config + PCI_COMMAND);

	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct pci_bar_info *info = &f->info.bar[i];
		u32 base;
		bool mapped;

		if (!info->size)
			continue;
		base = load32(f->config + PCI_BAR0 + i * 4) & ~(info->size - 1);
		/* At address 0 it is being sized, or was never placed. */
		mapped = (command & (info->io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)) && base &&
			 base != (u32)-info->size;
		if (mapped == f->bar[i].mapped && (!mapped || base == f->bar[i].base))
			continue;
		if (f->bar[i].mapped && mapped && f->info.bar_mapped)
			f->info.bar_mapped(f->info.dev, i, f->bar[i].base, false);
		if (!mapped)
			base = f->bar[i].base;
		f->bar[i].mapped = mapped;
		f->bar[i].base = base;
		trace(pci, "%04x:%04x BAR %u %s at %#x", f->info.vendor, f->info.device, i,
		      mapped ? "decodes" : "off", base);
		if (f->info.bar_mapped)
			f->info.bar_mapped(f->info.dev, i, base, mapped);
	}
}

static void intx_update(struct pci *p, unsigned slot)
{
	struct pci_function *f = &p->slot[slot & (PCI_SLOT_COUNT - 1)];
	unsigned line = pci_intx_line(slot, f->info.pin - 1u);
	u16 status = load16(f->config + PCI_STATUS) & (u16)~PCI_STATUS_INTX;
	bool on = f->intx && !(load16(f->config + PCI_COMMAND) & PCI_COMMAND_INTX_OFF);
	u32 before = p->asserted[line];

	store16(f->config + PCI_STATUS, status | (f->intx ? PCI_STATUS_INTX : 0));
	p->asserted[line] = (before & ~BIT(slot)) | (u32)on << slot;
	if (!before != !p->asserted[line])
		irq_set(&p->line[line], p->asserted[line] != 0);
}

void pci_set_intx(void *pci, unsigned slot, bool level)
{
	struct pci *p = pci;

	if (slot >= PCI_SLOT_COUNT || !p->slot[slot].present || !p->slot[slot].info.pin)
		return;
	p->slot[slot].intx = level;
	intx_update(p, slot);
}

bool pci_is_master(const struct pci *p, unsigned slot)
{
	return slot < PCI_SLOT_COUNT &&
	       (load16(p->slot[slot].config + PCI_COMMAND) & PCI_COMMAND_MASTER);
}

/* --- Ports ----------------------------------------------------------------------- */

/* The function that CONFIG_ADDRESS names, or NULL. */
static struct pci_function *selected(struct pci *p)
{
	struct pci_function *f = &p->slot[bits_get(p->address, 11, 5)];

	/* Bus 0, function 0. */
	return (p->address & ADDRESS_ENABLE) && !bits_get(p->address, 16, 8) &&
	       !bits_get(p->address, 8, 3) && f->present ? f : NULL;
}

static u32 address_read(void *dev, u16 port, unsigned size)
{
	struct pci *p = dev;

	return size == 4 ? p->address : ~0u;	/* narrower accesses are not the register's */
}

static void address_write(void *dev, u16 port, unsigned size, u32 value)
{
	struct pci *p = dev;

	if (size == 4)
		p->address = value & ADDRESS_WRITABLE;
}

static u32 data_read(void *dev, u16 port, unsigned size)
{
	struct pci *p = dev;
	const struct pci_function *f = selected(p);
	unsigned lane = (port - PORT_DATA) & 3;
	u32 v = ~0u;

	if (f) {
		/* A register is 32 bits; lanes beyond it float high. */
		v = load32(f->config + (p->address & 0xfc)) >> (lane * 8);
		if (lane)
			v |= ~0u << (32 - lane * 8);
	}
	trace(pci, "config %#x+%u read %u: %#x", p->address, lane, size, v & (u32)size_mask(size));
	return v & (u32)size_mask(size);
}

static void data_write(void *dev, u16 port, unsigned size, u32 value)
{
	struct pci *p = dev;
	struct pci_function *f = selected(p);
	unsigned lane = (port - PORT_DATA) & 3;
	u8 first = (u8)((p->address & 0xfc) + lane);

	trace(pci, "config %#x+%u write %u: %#x", p->address, lane, size, value);
	if (!f)
		return;
	if (size > 4 - lane)
		size = 4 - lane;
	for (unsigned i = 0; i < size; i++) {
		u8 off = (u8)(first + i), w = f->writable[off];

		f->config[off] = (u8)((f->config[off] & ~w) | (bits_get(value, i * 8, 8) & w));
	}
	bars_update(f);
	if (f->info.pin)
		intx_update(p, (unsigned)(f - p->slot));
	if (f->info.config_written)
		f->info.config_written(f->info.dev, first, size);
}

static const struct pio_ops address_ops = { .read = address_read, .write = address_write };
static const struct pio_ops data_ops = { .read = data_read, .write = data_write };

/* --- Construction ------------------------------------------------------------------ */

static bool bar_is_valid(const struct pci_bar_info *bar)
{
	return !bar->size ||
	       (!(bar->size & (bar->size - 1)) && bar->size >= (bar->io ? 4u : 16u) &&
		(!bar->io || bar->size <= 256));
}

int pci_add(struct pci *p, unsigned slot, const struct pci_device_info *info)
{
	struct pci_function *f;
	u8 *c, *w;

	if (slot >= PCI_SLOT_COUNT || info->pin > 4)
		return -EINVAL;
	for (unsigned i = 0; i < PCI_BARS; i++)
		if (!bar_is_valid(&info->bar[i]))
			return -EINVAL;
	f = &p->slot[slot];
	if (f->present)
		return -EEXIST;
	__builtin_memset(f, 0, sizeof *f);
	f->info = *info;
	f->present = true;
	f->next_capability = CAPABILITIES_FIRST;
	c = f->config;
	w = f->writable;
	store16(c + PCI_VENDOR, info->vendor);
	store16(c + PCI_DEVICE, info->device);
	c[PCI_REVISION] = info->revision;
	c[PCI_CLASS] = (u8)info->class;
	c[PCI_CLASS + 1] = (u8)(info->class >> 8);
	c[PCI_CLASS + 2] = (u8)(info->class >> 16);
	store16(c + PCI_SUBSYS_VENDOR, info->subsys_vendor);
	store16(c + PCI_SUBSYS_ID, info->subsys_id);
	store16(w + PCI_COMMAND, COMMAND_WRITABLE);
	w[PCI_CACHE_LINE] = w[PCI_LATENCY] = 0xff;
	if (info->pin) {
		c[PCI_INT_PIN] = info->pin;
		c[PCI_INT_LINE] = (u8)pci_intx_gsi(slot, info->pin - 1u);	/* as a BIOS would */
		w[PCI_INT_LINE] = 0xff;
	}
	for (unsigned i = 0; i < PCI_BARS; i++) {
		if (!info->bar[i].size)
			continue;
		store32(c + PCI_BAR0 + i * 4, info->bar[i].io ? 1 : 0);
		store32(w + PCI_BAR0 + i * 4, ~(info->bar[i].size - 1));
	}
	__builtin_memcpy(f->power_on, c, sizeof f->power_on);
	return 0;
}

int pci_add_capability(struct pci *p, unsigned slot, const u8 *bytes, const u8 *writable,
		       unsigned len)
{
	struct pci_function *f = &p->slot[slot & (PCI_SLOT_COUNT - 1)];
	unsigned at = f->next_capability, link = PCI_CAPABILITIES;

	CHECK(f->present && len >= 2);
	while (f->config[link]) {
		link = f->config[link] + 1u;
		CHECK(link < sizeof f->config);
	}
	if (at + len > sizeof f->config)
		return -ENOSPC;
	__builtin_memcpy(f->config + at, bytes, len);
	if (writable)
		__builtin_memcpy(f->writable + at, writable, len);
	f->config[at + 1] = 0;
	f->writable[at] = f->writable[at + 1] = 0;
	f->config[link] = (u8)at;
	f->config[PCI_STATUS] |= PCI_STATUS_CAPS;
	f->next_capability = (u16)ALIGN_UP(at + len, 4u);
	__builtin_memcpy(f->power_on, f->config, sizeof f->power_on);
	return (int)at;
}

void pci_connect(struct pci *p, const struct irq_line line[PCI_INTX_LINES])
{
	for (unsigned i = 0; i < PCI_INTX_LINES; i++)
		p->line[i] = line[i];
}

void pci_reset(struct pci *p)
{
	p->address = 0;
	for (unsigned i = 0; i < PCI_SLOT_COUNT; i++) {
		struct pci_function *f = &p->slot[i];

		if (!f->present)
			continue;
		__builtin_memcpy(f->config, f->power_on, sizeof f->config);
		bars_update(f);
		if (f->info.reset)
			f->info.reset(f->info.dev);
		pci_set_intx(p, i, false);
	}
}

int pci_init(struct pci *p, struct bus *b)
{
	static const struct pci_device_info host_bridge = {
		.vendor = 0x8086, .device = 0x1237, .class = 0x060000, .revision = 2,
	};
	static const struct pci_device_info isa_bridge = {
		.vendor = 0x8086, .device = 0x7000, .class = 0x060100,
	};
	int r;

	__builtin_memset(p, 0, sizeof *p);
	/* 0xcf9, between the two, is the reset control register and somebody else's. */
	if ((r = bus_add_pio(b, PORT_ADDRESS, 1, &address_ops, p, "pci-address")) ||
	    (r = bus_add_pio(b, PORT_DATA, 4, &data_ops, p, "pci-data")) ||
	    (r = pci_add(p, 0, &host_bridge)))
		return r;
	return pci_add(p, 1, &isa_bridge);
}
