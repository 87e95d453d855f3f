/*
 * See io/ioapic.h.  Owns the redirection table; knows neither who drives an
 * input nor which CPUs exist.
 *
 * Invariants: remote IRR (bit 14) is set only in level-triggered entries with
 * a mode that ends in an EOI, and while it is set the input sends nothing; the
 * two read-only bits of an entry are never taken from the guest.
 *
 * Edges that arrive while an entry is masked are lost, as in the chip: Linux
 * knows and checks the 8259 for the timer's.
 *
 * Source: Intel 82093AA data sheet (290566-001), section 3.
 */
#include "io/ioapic.h"

#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"
#include "io/pc.h"

#define MMIO_SELECT 0x00u
#define MMIO_WINDOW 0x10u

enum ioapic_reg { REG_ID = 0x00, REG_VERSION = 0x01, REG_ARBITRATION = 0x02, REG_RTE = 0x10 };

#define VERSION (0x11u | (IOAPIC_INPUTS - 1) << 16)

#define RTE_VECTOR      0xffull
#define RTE_MODE_SHIFT  8
#define RTE_LOGICAL     BIT64(11)
#define RTE_REMOTE_IRR  BIT64(14)
#define RTE_LEVEL       BIT64(15)
#define RTE_MASKED      BIT64(16)
#define RTE_DEST_SHIFT  56
#define RTE_WRITABLE    0xff0000000001afffull	/* without delivery status and remote IRR */

enum { MODE_FIXED = 0, MODE_LOWEST = 1 };	/* the others know no EOI */

/* Only these two are completed by an EOI. */
static bool wants_eoi(u64 rte)
{
	return (rte & RTE_LEVEL) && bits_get(rte, RTE_MODE_SHIFT, 3) <= MODE_LOWEST;
}

static void send(struct ioapic *a, unsigned n)
{
	u64 rte = a->rte[n];

	if (wants_eoi(rte))
		a->rte[n] |= RTE_REMOTE_IRR;
	trace(irq, "ioapic: input %u sends vector %#x", n, (unsigned)(rte & RTE_VECTOR));
	a->hooks.deliver(a->hooks.opaque, (u8)(rte >> RTE_DEST_SHIFT), rte & RTE_LOGICAL,
			 (unsigned)bits_get(rte, RTE_MODE_SHIFT, 3), (u8)(rte & RTE_VECTOR),
			 wants_eoi(rte));
}

/* A level input that is asserted and that nobody is serving yet. */
static void send_level(struct ioapic *a, unsigned n)
{
	if (bit_test(a->inputs, n) && wants_eoi(a->rte[n]) &&
	    !(a->rte[n] & (RTE_MASKED | RTE_REMOTE_IRR)))
		send(a, n);
}

void ioapic_set(void *ioapic, unsigned n, bool level)
{
	struct ioapic *a = ioapic;
	bool rising;

	if (n >= IOAPIC_INPUTS)
		return;
	rising = level && !bit_test(a->inputs, n);
	a->inputs = (a->inputs & ~BIT(n)) | (u32)level << n;
	if (wants_eoi(a->rte[n]))
		send_level(a, n);
	else if (rising && !(a->rte[n] & RTE_MASKED))
		send(a, n);
}

void ioapic_eoi(struct ioapic *a, u8 vector)
{
	for (unsigned n = 0; n < IOAPIC_INPUTS; n++) {
		if (!(a->rte[n] & RTE_REMOTE_IRR) || (a->rte[n] & RTE_VECTOR) != vector)
			continue;
		a->rte[n] &= ~RTE_REMOTE_IRR;
		send_level(a, n);
	}
}

static void write_rte(struct ioapic *a, unsigned n, bool high, u32 v)
{
	u64 old = a->rte[n];
	u64 new = high ? (old & 0xffffffff) | (u64)v << 32 : (old & ~0xffffffffull) | v;

	new = (new & RTE_WRITABLE) | (old & RTE_REMOTE_IRR);
	if (!wants_eoi(new))
		new &= ~RTE_REMOTE_IRR;	/* how Linux clears it without a directed EOI */
	a->rte[n] = new;
	trace(irq, "ioapic: entry %u is %#llx", n, (unsigned long long)new);
	send_level(a, n);
}

static u32 reg_read(struct ioapic *a, u8 reg)
{
	unsigned n = (reg - REG_RTE) >> 1;

	switch (reg) {
	case REG_ID:
	case REG_ARBITRATION:		/* a write to the ID loads it */
		return (u32)a->id << 24;
	case REG_VERSION:
		return VERSION;
	}
	if (reg >= REG_RTE && n < IOAPIC_INPUTS)
		return (u32)(a->rte[n] >> (reg & 1 ? 32 : 0));
	trace(unimp, "ioapic: read of register %#x", reg);
	return ~0u;			/* kernels probe versions by reading beyond the end */
}

static void reg_write(struct ioapic *a, u8 reg, u32 v)
{
	unsigned n = (reg - REG_RTE) >> 1;

	if (reg == REG_ID)
		a->id = (u8)bits_get(v, 24, 4);
	else if (reg >= REG_RTE && n < IOAPIC_INPUTS)
		write_rte(a, n, reg & 1, v);
	else if (reg != REG_VERSION && reg != REG_ARBITRATION)
		trace(unimp, "ioapic: write of %#x to register %#x", v, reg);
}

static u64 mmio_read(void *dev, unsigned cpu, u64 off, unsigned size)
{
	struct ioapic *a = dev;

	switch (off) {
	case MMIO_SELECT:
		return a->select;
	case MMIO_WINDOW:
		return reg_read(a, a->select) & size_mask(size);
	}
	trace(unimp, "ioapic: read at %#llx", (unsigned long long)off);
	return size_mask(size);
}

static void mmio_write(void *dev, unsigned cpu, u64 off, unsigned size, u64 value)
{
	struct ioapic *a = dev;

	if (off == MMIO_SELECT)
		a->select = (u8)value;
	else if (off == MMIO_WINDOW && size >= 4)
		reg_write(a, a->select, (u32)value);
	else
		trace(unimp, "ioapic: write of %u bytes at %#llx", size, (unsigned long long)off);
}

static const struct mmio_ops ioapic_ops = { mmio_read, mmio_write };

void ioapic_save(const struct ioapic *a, struct ioapic_state *out)
{
	*out = (struct ioapic_state){ .id = a->id, .select = a->select, .inputs = a->inputs };
	for (unsigned n = 0; n < IOAPIC_INPUTS; n++)
		out->rte[n] = a->rte[n];
}

void ioapic_load(struct ioapic *a, const struct ioapic_state *in, u32 inputs)
{
	a->id = in->id & 15;
	a->select = in->select;
	a->inputs = inputs & (u32)bit_mask(IOAPIC_INPUTS);
	for (unsigned n = 0; n < IOAPIC_INPUTS; n++) {
		u64 rte = in->rte[n] & (RTE_WRITABLE | RTE_REMOTE_IRR);

		a->rte[n] = wants_eoi(rte) ? rte : rte & ~RTE_REMOTE_IRR;
	}
	for (unsigned n = 0; n < IOAPIC_INPUTS; n++)
		send_level(a, n);
}

void ioapic_reset(struct ioapic *a)
{
	a->id = PC_IOAPIC_ID;
	a->select = 0;
	for (unsigned n = 0; n < IOAPIC_INPUTS; n++)
		a->rte[n] = RTE_MASKED;
}

void ioapic_init(struct ioapic *a, struct bus *b, const struct ioapic_hooks *h)
{
	int r;

	__builtin_memset(a, 0, sizeof *a);
	a->bus = b;
	a->hooks = *h;
	ioapic_reset(a);
	r = bus_add_mmio(b, PC_IOAPIC_BASE, PAGE_SIZE, &ioapic_ops, a, "ioapic");
	CHECK(r == 0);			/* the address is ours, and BUS_MMIO_MAX too */
}
