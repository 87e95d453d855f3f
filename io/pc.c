/*
 * The PC: owns every device, knows how their interrupt lines, resets and
 * power buttons are wired, and nothing of how they work.
 *
 * An interrupt line of the ISA bus arrives at the 8259 pair and at the I/O
 * APIC; whichever the guest has unmasked answers.  Inputs are shared: each
 * source has a bit of its own in `sources`, the line is their OR.
 *
 * A CPU's INTR is (its local APIC has a vector) or (the 8259's INT reaches it
 * through LINT0 or as an ExtINT message from the I/O APIC's input 0).
 * `asserted` is what cpu_intr was last told.
 *
 * While the interrupt controllers and the PIT are released to an external chip
 * set (io/chips.h), `sources` goes on, its changes go to a hook, and everything
 * between the lines and the CPUs' INTR stands still.
 */
#include <errno.h>
#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"
#include "io/acpi_pm.h"
#include "io/chips.h"
#include "io/debug_exit.h"
#include "io/debugcon.h"
#include "io/fw_cfg.h"
#include "io/i8042.h"
#include "io/ioapic.h"
#include "io/lapic.h"
#include "io/pc.h"
#include "io/pci.h"
#include "io/pic.h"
#include "io/pit.h"
#include "io/pvpanic.h"
#include "io/reset.h"
#include "io/rtc.h"
#include "io/uart.h"

#define PC_CPUS_MAX 8u
#define GSI_COUNT   24u
#define ISA_IRQS    16u

/* Who may pull one input; a bit each. */
enum source { SRC_DEVICE = 0, SRC_SERIAL0 = 1, SRC_ACPI = 5, SRC_PCI = 6 };
#define LINE_SOURCE 8		/* an irq_line's n is GSI | source << LINE_SOURCE */

struct pc {
	struct bus bus;
	struct pc_config cfg;
	struct pc_stats stats;
	bool asserted[PC_CPUS_MAX];
	bool extint[PC_CPUS_MAX];	/* the I/O APIC announced the 8259's INT, which is still up */
	u8 sources[GSI_COUNT];
	struct {
		bool external;
		chips_gsi *gsi;
		void *opaque;
		struct chips_state released;
	} chips;
	struct pic pic;
	struct lapic lapic[PC_CPUS_MAX];
	struct ioapic ioapic;
	struct pit pit;
	struct rtc rtc;
	struct i8042 i8042;
	struct reset_ports reset_ports;
	struct acpi_pm acpi_pm;
	struct pci pci;
	struct fw_cfg fw_cfg;
	struct uart uart[PC_SERIAL_MAX];
	struct debugcon debugcon;
	struct debug_exit debug_exit;
	struct pvpanic pvpanic;
};

static const struct { u16 port; u8 irq; const char *name; } serial_at[PC_SERIAL_MAX] = {
	{ 0x3f8, 4, "com1" }, { 0x2f8, 3, "com2" }, { 0x3e8, 4, "com3" }, { 0x2e8, 3, "com4" },
};

/* ---- interrupts ---- */

static void gsi_set(void *chip, unsigned n, bool level)
{
	struct pc *pc = chip;
	unsigned gsi = n & (BIT(LINE_SOURCE) - 1);
	u8 bit = (u8)BIT(n >> LINE_SOURCE & 7), old;

	if (gsi >= GSI_COUNT)
		return;
	old = pc->sources[gsi];
	pc->sources[gsi] = level ? old | bit : old & ~bit;
	if (!old == !pc->sources[gsi])
		return;
	if (!old)
		pc->stats.irq[gsi]++;
	if (pc->chips.external) {
		if (pc->chips.gsi)
			pc->chips.gsi(pc->chips.opaque, gsi, level);
		return;
	}
	if (gsi < ISA_IRQS)
		pic_set(&pc->pic, gsi, level);
	/* IRQ 0 arrives at input 2, as vmm/acpi.c's interrupt source override says. */
	ioapic_set(&pc->ioapic, gsi ? gsi : 2, level);
}

static struct irq_line line(struct pc *pc, unsigned gsi, unsigned source)
{
	return (struct irq_line){ gsi_set, pc, gsi | source << LINE_SOURCE };
}

/* Would this CPU's acknowledge cycle reach the 8259? */
static bool takes_extint(const struct pc *pc, unsigned cpu)
{
	return pc->pic.out && (pc->extint[cpu] || lapic_accepts_extint(&pc->lapic[cpu]));
}

static bool deliverable(const struct pc *pc, unsigned cpu)
{
	const struct lapic *l = &pc->lapic[cpu];

	if (pc->chips.external)
		return false;
	return lapic_intr(l) >= 0 || takes_extint(pc, cpu);
}

static void update_cpu(void *opaque, unsigned cpu)
{
	struct pc *pc = opaque;
	bool now = deliverable(pc, cpu);

	if (now == pc->asserted[cpu])
		return;
	pc->asserted[cpu] = now;
	pc->cfg.cpu_intr(pc->cfg.opaque, cpu, now);
}

static void pic_out(void *opaque, bool level)
{
	struct pc *pc = opaque;

	ioapic_set(&pc->ioapic, 0, level);
	for (unsigned i = 0; i < pc->cfg.cpus; i++) {
		pc->extint[i] &= level;
		lapic_lint(&pc->lapic[i], 0, level);
		update_cpu(pc, i);	/* a LAPIC that is switched off tells nothing */
	}
}

int pc_intr_ack(struct pc *pc, unsigned cpu)
{
	struct lapic *l = &pc->lapic[cpu];
	int vector = -1;

	lock_acquire(&pc->bus.lock);
	if (!pc->chips.external) {
		vector = lapic_ack(l);
		if (vector < 0 && takes_extint(pc, cpu))
			vector = pic_ack(&pc->pic);
	}
	if (vector < 0)
		pc->stats.spurious++;
	/* Whoever listens may have dropped what it knew when it came to ask. */
	pc->asserted[cpu] = deliverable(pc, cpu);
	pc->cfg.cpu_intr(pc->cfg.opaque, cpu, pc->asserted[cpu]);
	lock_release(&pc->bus.lock);
	return vector;
}

bool pc_intr_pending(struct pc *pc, unsigned cpu)
{
	bool r;

	lock_acquire(&pc->bus.lock);
	r = deliverable(pc, cpu);
	lock_release(&pc->bus.lock);
	return r;
}

/* ---- messages between APICs ---- */

static void deliver(struct pc *pc, u32 targets, u8 vector, unsigned mode, bool level)
{
	unsigned best = PC_CPUS_MAX;

	for (unsigned i = 0; i < pc->cfg.cpus; i++) {
		if (!bit_test(targets, i))
			continue;
		if (mode != LAPIC_LOWEST)
			lapic_deliver(&pc->lapic[i], vector, mode, level);
		else if (best == PC_CPUS_MAX || lapic_ppr(&pc->lapic[i]) < lapic_ppr(&pc->lapic[best]))
			best = i;
	}
	if (best != PC_CPUS_MAX)
		lapic_deliver(&pc->lapic[best], vector, mode, level);
}

static u32 matching(const struct pc *pc, bool logical, u8 dest)
{
	u32 targets = 0;

	for (unsigned i = 0; i < pc->cfg.cpus; i++)
		if (lapic_matches(&pc->lapic[i], logical, dest))
			targets |= BIT(i);
	return targets;
}

static void ioapic_message(void *opaque, u8 dest, bool logical, unsigned mode, u8 vector, bool level)
{
	struct pc *pc = opaque;

	if (mode == LAPIC_EXTINT) {
		u32 targets = matching(pc, logical, dest);

		for (unsigned i = 0; i < pc->cfg.cpus; i++)
			if (bit_test(targets, i) && pc->pic.out) {
				pc->extint[i] = true;
				update_cpu(pc, i);
			}
		return;
	}
	deliver(pc, matching(pc, logical, dest), vector, mode, level);
}

static void lapic_send(void *opaque, unsigned src, u8 vector, unsigned mode, bool logical, u8 dest,
		       unsigned shorthand, bool level, bool assert_)
{
	struct pc *pc = opaque;
	u32 all = (u32)bit_mask(pc->cfg.cpus), targets;

	switch (shorthand) {
	case LAPIC_TO_ALL: targets = all; break;
	case LAPIC_TO_OTHERS: targets = all & ~BIT(src); break;
	default: targets = matching(pc, logical, dest); break;
	}
	deliver(pc, targets, vector, mode, level);
}

static void lapic_eoi(void *opaque, u8 vector) { ioapic_eoi(&((struct pc *)opaque)->ioapic, vector); }

static void lapic_nmi(void *opaque, unsigned id)
{
	struct pc *pc = opaque;

	pc->cfg.cpu_nmi(pc->cfg.opaque, id);
}

static void lapic_cpu_init(void *opaque, unsigned id)
{
	struct pc *pc = opaque;

	pc->cfg.cpu_init(pc->cfg.opaque, id);
}

static void lapic_sipi(void *opaque, unsigned id, u8 vector)
{
	struct pc *pc = opaque;

	pc->cfg.cpu_sipi(pc->cfg.opaque, id, vector);
}

bool pc_msr_read(struct pc *pc, unsigned cpu, u32 msr, u64 *value)
{
	bool ok;

	lock_acquire(&pc->bus.lock);
	ok = lapic_msr_read(&pc->lapic[cpu], msr, value);
	lock_release(&pc->bus.lock);
	return ok;
}

bool pc_msr_write(struct pc *pc, unsigned cpu, u32 msr, u64 value)
{
	bool ok;

	lock_acquire(&pc->bus.lock);
	ok = !pc->chips.external && lapic_msr_write(&pc->lapic[cpu], msr, value);
	lock_release(&pc->bus.lock);
	return ok;
}

/* ---- an external chip set (io/chips.h) ---- */

static u32 gsi_levels(const struct pc *pc)
{
	u32 levels = 0;

	for (unsigned i = 0; i < GSI_COUNT; i++)
		if (pc->sources[i])
			levels |= BIT(i);
	return levels;
}

/* The same at the I/O APIC's inputs; input 0 is the 8259's INT. */
static u32 ioapic_levels(const struct pc *pc)
{
	u32 levels = gsi_levels(pc);

	return (levels & ~BIT(0)) | (levels & BIT(0)) << 2 | pc->pic.out;
}

void pc_chips_release(struct pc *pc, struct chips_state *out, chips_gsi *gsi, void *opaque)
{
	lock_acquire(&pc->bus.lock);
	CHECK(!pc->chips.external);
	__builtin_memset(out, 0, sizeof(*out));
	/* The timers first: what is due still raises interrupts. */
	pit_save(&pc->pit, &out->pit);
	lapic_save(&pc->lapic[0], &out->lapic);
	pic_save(&pc->pic, out->pic);
	ioapic_save(&pc->ioapic, &out->ioapic);
	out->gsi = gsi_levels(pc);
	pc->chips.released = *out;
	pc->chips.gsi = gsi;
	pc->chips.opaque = opaque;
	pc->chips.external = true;
	for (unsigned i = 0; i < pc->cfg.cpus; i++)
		update_cpu(pc, i);
	lock_release(&pc->bus.lock);
}

const struct chips_state *pc_chips_released(const struct pc *pc) { return &pc->chips.released; }

void pc_chips_adopt(struct pc *pc, const struct chips_state *in)
{
	lock_acquire(&pc->bus.lock);
	pit_load(&pc->pit, &in->pit);
	lapic_load(&pc->lapic[0], &in->lapic);
	pc->chips.external = false;
	/* What these send and announce finds the local APIC in place. */
	ioapic_load(&pc->ioapic, &in->ioapic, ioapic_levels(pc));
	pic_load(&pc->pic, in->pic, (u16)gsi_levels(pc));
	for (unsigned i = 0; i < pc->cfg.cpus; i++) {
		pc->asserted[i] = deliverable(pc, i);
		pc->cfg.cpu_intr(pc->cfg.opaque, i, pc->asserted[i]);
	}
	lock_release(&pc->bus.lock);
}

bool pc_chips_external(const struct pc *pc) { return pc->chips.external; }

/* ---- events of the whole machine ---- */

static void poweroff(void *opaque)
{
	struct pc *pc = opaque;

	pc->cfg.event(pc->cfg.opaque, MACHINE_POWEROFF, 0);
}

static void reset(void *opaque)
{
	struct pc *pc = opaque;

	pc->cfg.event(pc->cfg.opaque, MACHINE_RESET, 0);
}

static void debug_exit(void *opaque, int code)
{
	struct pc *pc = opaque;

	pc->cfg.event(pc->cfg.opaque, MACHINE_DEBUG_EXIT, code);
}

static void panicked(void *opaque)
{
	struct pc *pc = opaque;

	pc->cfg.event(pc->cfg.opaque, MACHINE_PANIC, 0);
}

/* ---- construction ---- */

size_t pc_size(void) { return sizeof(struct pc); }
struct bus *pc_bus(struct pc *pc) { return &pc->bus; }

static int init_interrupts(struct pc *pc)
{
	const struct lapic_hooks lapic_hooks = {
		.opaque = pc, .update = update_cpu, .nmi = lapic_nmi, .init = lapic_cpu_init,
		.sipi = lapic_sipi, .eoi = lapic_eoi, .send = lapic_send,
	};
	const struct ioapic_hooks ioapic_hooks = { pc, ioapic_message };
	int r;

	for (unsigned i = 0; i < pc->cfg.cpus; i++)
		lapic_init(&pc->lapic[i], &pc->bus, i, &lapic_hooks);
	if ((r = lapic_bus_add(&pc->bus, pc->lapic, pc->cfg.cpus)) < 0)
		return r;
	ioapic_init(&pc->ioapic, &pc->bus, &ioapic_hooks);
	return pic_init(&pc->pic, &pc->bus, pic_out, pc);
}

static int init_serial(struct pc *pc)
{
	int r;

	for (unsigned i = 0; i < PC_SERIAL_MAX; i++) {
		if (!pc->cfg.serial[i])
			continue;
		r = uart_init(&pc->uart[i], &pc->bus, serial_at[i].port,
			      line(pc, serial_at[i].irq, SRC_SERIAL0 + i), pc->cfg.serial[i], serial_at[i].name);
		if (r < 0)
			return r;
	}
	return 0;
}

int pc_init(struct pc *pc, const struct pc_config *cfg)
{
	const struct irq_line intx[PCI_INTX_LINES] = {
		line(pc, PCI_INTX_GSI, SRC_PCI), line(pc, PCI_INTX_GSI + 1, SRC_PCI),
	};
	int r;

	__builtin_memset(pc, 0, sizeof(*pc));
	if (!cfg->cpus || cfg->cpus > PC_CPUS_MAX)
		return -EINVAL;
	pc->cfg = *cfg;
	bus_init(&pc->bus, cfg->clock, cfg->phys);
	if ((r = init_interrupts(pc)) < 0 ||
	    (r = pit_init(&pc->pit, &pc->bus, line(pc, 0, SRC_DEVICE))) < 0 ||
	    (r = rtc_init(&pc->rtc, &pc->bus, line(pc, 8, SRC_DEVICE), cfg->rtc_offset)) < 0 ||
	    (r = i8042_init(&pc->i8042, &pc->bus, line(pc, 1, SRC_DEVICE), reset, pc)) < 0 ||
	    (r = reset_ports_init(&pc->reset_ports, &pc->bus, reset, pc)) < 0 ||
	    (r = acpi_pm_init(&pc->acpi_pm, &pc->bus, line(pc, PC_ACPI_SCI_IRQ, SRC_ACPI), poweroff, pc)) < 0 ||
	    (r = pvpanic_init(&pc->pvpanic, &pc->bus, panicked, pc)) < 0 ||
	    (r = pci_init(&pc->pci, &pc->bus)) < 0 ||
	    (r = fw_cfg_init(&pc->fw_cfg, &pc->bus, cfg)) < 0 ||
	    (r = init_serial(pc)) < 0)
		return r;
	pci_connect(&pc->pci, intx);
	if (cfg->battery)
		rtc_restore(&pc->rtc, cfg->battery);
	pc->cfg.battery = NULL;
	if (cfg->debugcon && (r = debugcon_init(&pc->debugcon, &pc->bus, cfg->debugcon)) < 0)
		return r;
	if (cfg->debug_exit && (r = debug_exit_init(&pc->debug_exit, &pc->bus, debug_exit, pc)) < 0)
		return r;
	return 0;
}

/* Controllers last: the devices' resets still move the lines. */
void pc_reset(struct pc *pc)
{
	/* No executor runs: who still holds the lock has been killed with it. */
	__atomic_store_n(&pc->bus.lock.word, 0, __ATOMIC_SEQ_CST);
	lock_acquire(&pc->bus.lock);
	pc->chips.external = false;
	for (unsigned i = 0; i < PC_SERIAL_MAX; i++)
		if (pc->cfg.serial[i])
			uart_reset(&pc->uart[i]);
	rtc_reset(&pc->rtc);
	i8042_reset(&pc->i8042);
	reset_ports_reset(&pc->reset_ports);
	acpi_pm_reset(&pc->acpi_pm);
	pci_reset(&pc->pci);
	fw_cfg_reset(&pc->fw_cfg);
	pic_reset(&pc->pic);
	ioapic_reset(&pc->ioapic);
	for (unsigned i = 0; i < pc->cfg.cpus; i++)
		lapic_reset(&pc->lapic[i]);
	pit_reset(&pc->pit);
	lock_release(&pc->bus.lock);
}

/* ---- reports ---- */

void pc_describe(struct pc *pc, void (*print)(const char *fmt, ...))
{
	for (unsigned i = 0; i < 2; i++) {
		const struct pic_chip *c = &pc->pic.chip[i];

		print("pic%u: irr %02x imr %02x isr %02x base %02x elcr %02x\n", i, c->irr, c->imr, c->isr, c->base,
		      c->elcr);
	}
	for (unsigned i = 0; i < 3; i++) {
		const struct pit_channel *c = &pc->pit.ch[i];

		print("pit%u: mode %u count %u%s%s\n", i, c->mode, c->count, c->loaded ? "" : " stopped",
		      c->gate ? "" : " gated");
	}
	print("rtc: a %02x b %02x c %02x second %lld\n", pc->rtc.cmos[10], pc->rtc.cmos[11], pc->rtc.cmos[12],
	      (long long)pc->rtc.seen_sec);
	print("i8042: command byte %02x output %02x%s\n", pc->i8042.ram[0], pc->i8042.out,
	      pc->i8042.full ? " full" : "");
	for (unsigned i = 0; i < pc->cfg.cpus; i++) {
		const struct lapic *l = &pc->lapic[i];

		print("lapic%u: vector %d ppr %02x svr %x lint0 %x timer %x%s\n", i, lapic_intr(l), lapic_ppr(l),
		      l->svr, l->lvt[LVT_LINT0], l->lvt[LVT_TIMER], pc->asserted[i] ? " INTR" : "");
	}
	for (unsigned i = 0; i < IOAPIC_INPUTS; i++)
		if (!(pc->ioapic.rte[i] & BIT(16)))
			print("ioapic: input %u%s entry %llx\n", i, bit_test(pc->ioapic.inputs, i) ? " high" : "",
			      (unsigned long long)pc->ioapic.rte[i]);
	for (unsigned i = 0; i < PC_SERIAL_MAX; i++)
		if (pc->cfg.serial[i])
			print("%s: ier %x mcr %x lcr %x divisor %u rx %u tx %u\n", serial_at[i].name, pc->uart[i].ier,
			      pc->uart[i].mcr, pc->uart[i].lcr, pc->uart[i].divisor, pc->uart[i].rx.count,
			      pc->uart[i].tx.count);
}

struct pc_stats pc_stats(const struct pc *pc)
{
	struct pc_stats s = pc->stats;

	for (unsigned i = 0; i < PC_CPUS_MAX; i++) {
		s.lapic_timer += pc->lapic[i].timer_irqs;
		s.ipi += pc->lapic[i].ipis;
	}
	s.timer_fires = pc->bus.fired;
	return s;
}

void pc_save(const struct pc *pc, struct rtc_battery *battery) { rtc_save(&pc->rtc, battery); }
