/*
 * A whole PC for tests that see it as the guest does: through ports, memory
 * and interrupts, with a clock that stands still until it is told to move.
 *
 * The clock: guest time is derived from RDTSC, so it is scaled down to one
 * nanosecond in 2^20 ticks and set by moving tsc_start.  A test may take
 * milliseconds and still see guest time stop; its guest time ends at 2^44 ns,
 * after almost five hours.
 */
#ifndef TESTS_UNIT_IO_MACHINE_H
#define TESTS_UNIT_IO_MACHINE_H

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "io/pc.h"

#define UNUSED __attribute__((unused))
#define TICKS_PER_NS_SHIFT 20
#define US 1000ull
#define MS 1000000ull
#define SEC 1000000000ull
#define TEST_CPUS 4
#define TEST_RAM (4u << 20)
#define TEST_WALL 1700000000	/* 2023-11-14 22:13:20 UTC, a Tuesday */

struct machine {
	struct clock clock;
	struct phys_map phys;
	struct pc *pc;
	struct bus *bus;
	struct chardev serial[PC_SERIAL_MAX], debugcon;
	bool intr[8];
	unsigned intr_calls, nmi[8], init[8], sipi[8];
	u8 sipi_vector[8];
	unsigned events[4];
	int code;
};

static UNUSED void on_intr(void *opaque, unsigned cpu, bool asserted)
{
	struct machine *m = opaque;

	ck_assert_uint_lt(cpu, TEST_CPUS);
	m->intr[cpu] = asserted;
	m->intr_calls++;
}

static UNUSED void on_nmi(void *opaque, unsigned cpu) { ((struct machine *)opaque)->nmi[cpu]++; }
static UNUSED void on_init(void *opaque, unsigned cpu) { ((struct machine *)opaque)->init[cpu]++; }

static UNUSED void on_sipi(void *opaque, unsigned cpu, u8 vector)
{
	struct machine *m = opaque;

	m->sipi[cpu]++;
	m->sipi_vector[cpu] = vector;
}

static UNUSED void on_event(void *opaque, enum machine_event ev, int code)
{
	struct machine *m = opaque;

	m->events[ev]++;
	m->code = code;
}

/* ---- time ---- */

static UNUSED u64 now(struct machine *m) { return clock_ns(&m->clock); }

static UNUSED void set_time(struct machine *m, u64 ns)
{
	/* Half a nanosecond in: what the test itself takes does not reach the next one. */
	m->clock.tsc_start = rdtsc() - (ns << TICKS_PER_NS_SHIFT) - (1u << (TICKS_PER_NS_SHIFT - 4));
}

static UNUSED u64 tsc_of(struct machine *m, u64 ns) { return m->clock.tsc_start + (ns << TICKS_PER_NS_SHIFT); }

/* A stall: time jumps, and only then anybody looks at the timers. */
static UNUSED void jump(struct machine *m, u64 ns)
{
	set_time(m, now(m) + ns);
	bus_run_timers(m->bus);
}

/* An attentive host: every timer fires when it is due.  False if there were more than `most` of them. */
static UNUSED bool run_until(struct machine *m, u64 ns, unsigned most)
{
	u64 next;

	for (unsigned i = 0; i < most; i++) {
		next = m->bus->next_deadline;
		if (next > ns)
			break;
		if (next > now(m))
			set_time(m, next);
		bus_run_timers(m->bus);
	}
	if (m->bus->next_deadline <= ns)
		return false;
	set_time(m, ns);
	return true;
}

static UNUSED void run(struct machine *m, u64 ns)
{
	ck_assert(run_until(m, now(m) + ns, 1000000));
}

/* ---- accesses ---- */

static UNUSED u8 in8(struct machine *m, u16 port) { return (u8)bus_pio_read(m->bus, port, 1); }
static UNUSED u16 in16(struct machine *m, u16 port) { return (u16)bus_pio_read(m->bus, port, 2); }
static UNUSED u32 in32(struct machine *m, u16 port) { return bus_pio_read(m->bus, port, 4); }
static UNUSED void out8(struct machine *m, u16 port, u8 v) { bus_pio_write(m->bus, port, 1, v); }
static UNUSED void out16(struct machine *m, u16 port, u16 v) { bus_pio_write(m->bus, port, 2, v); }
static UNUSED void out32(struct machine *m, u16 port, u32 v) { bus_pio_write(m->bus, port, 4, v); }

static UNUSED u32 apic_read(struct machine *m, unsigned cpu, u32 reg)
{
	return (u32)bus_mmio_read(m->bus, cpu, PC_LAPIC_BASE + reg, 4);
}

static UNUSED void apic_write(struct machine *m, unsigned cpu, u32 reg, u32 v)
{
	bus_mmio_write(m->bus, cpu, PC_LAPIC_BASE + reg, 4, v);
}

static UNUSED u32 ioapic_read(struct machine *m, u8 reg)
{
	bus_mmio_write(m->bus, 0, PC_IOAPIC_BASE, 4, reg);
	return (u32)bus_mmio_read(m->bus, 0, PC_IOAPIC_BASE + 0x10, 4);
}

static UNUSED void ioapic_write(struct machine *m, u8 reg, u32 v)
{
	bus_mmio_write(m->bus, 0, PC_IOAPIC_BASE, 4, reg);
	bus_mmio_write(m->bus, 0, PC_IOAPIC_BASE + 0x10, 4, v);
}

/* A redirection entry, masked while it changes. */
static UNUSED void route(struct machine *m, unsigned input, u32 low, u8 dest)
{
	ioapic_write(m, (u8)(0x10 + 2 * input), BIT(16));
	ioapic_write(m, (u8)(0x11 + 2 * input), (u32)dest << 24);
	ioapic_write(m, (u8)(0x10 + 2 * input), low);
}

static UNUSED int ack(struct machine *m, unsigned cpu) { return pc_intr_ack(m->pc, cpu); }

/* The pin says what an acknowledge cycle would find. */
static UNUSED bool pending(struct machine *m, unsigned cpu)
{
	bool p = pc_intr_pending(m->pc, cpu);

	ck_assert_msg(m->intr[cpu] == p, "cpu%u: cpu_intr said %d, pc_intr_pending says %d", cpu, m->intr[cpu], p);
	return p;
}

/* ---- the machine ---- */

static UNUSED struct pc_config machine_config(struct machine *m)
{
	struct pc_config c = {
		.cpus = TEST_CPUS, .clock = &m->clock, .phys = &m->phys,
		.cpu_intr = on_intr, .cpu_nmi = on_nmi, .cpu_init = on_init, .cpu_sipi = on_sipi,
		.event = on_event, .opaque = m, .debugcon = &m->debugcon, .debug_exit = true,
		.rtc_offset = TEST_WALL,
	};

	for (unsigned i = 0; i < PC_SERIAL_MAX; i++)
		c.serial[i] = &m->serial[i];
	return c;
}

static UNUSED struct machine *machine_new_from(struct machine *m, const struct pc_config *c)
{
	m->pc = calloc(1, pc_size());
	ck_assert_ptr_nonnull(m->pc);
	ck_assert_int_eq(pc_init(m->pc, c), 0);
	m->bus = pc_bus(m->pc);
	return m;
}

static UNUSED struct machine *machine_alloc(void)
{
	struct machine *m = calloc(1, sizeof *m);

	ck_assert_ptr_nonnull(m);
	m->clock = (struct clock){
		.tsc_hz = SEC << TICKS_PER_NS_SHIFT,
		.ns_per_tsc = 1ull << (32 - TICKS_PER_NS_SHIFT),
		.tsc_per_ns = 1ull << (32 + TICKS_PER_NS_SHIFT),
	};
	set_time(m, 0);
	m->phys = (struct phys_map){ .ram = calloc(1, TEST_RAM), .ram_size = TEST_RAM,
				     .has_code = calloc(1, TEST_RAM / PAGE_SIZE), .ram_fd = -1 };
	ck_assert(m->phys.ram && m->phys.has_code);
	for (unsigned i = 0; i < PC_SERIAL_MAX; i++)
		m->serial[i] = (struct chardev){ .doorbell_fd = -1, .connected = 1 };
	m->debugcon = (struct chardev){ .doorbell_fd = -1, .connected = 1 };
	return m;
}

static UNUSED struct machine *machine_new(void)
{
	struct machine *m = machine_alloc();
	struct pc_config c = machine_config(m);

	return machine_new_from(m, &c);
}

static UNUSED void machine_free(struct machine *m)
{
	free(m->pc);
	free(m->phys.ram);
	free(m->phys.has_code);
	free(m);
}

/* ---- interrupt sources that a test can switch ---- */

enum { COM1 = 0x3f8, COM2 = 0x2f8, COM3 = 0x3e8, COM4 = 0x2e8 };

/* A serial port's interrupt line: up while the idle transmitter may say so. */
static UNUSED void com_line(struct machine *m, u16 com, bool up)
{
	out8(m, com + 4, 0x0b);
	out8(m, com + 1, up ? 0x02 : 0x00);
}

/* The usual initialisation of both 8259s; everything masked but `enabled`. */
static UNUSED void pic_setup(struct machine *m, u8 icw4, u16 enabled)
{
	out8(m, 0x20, 0x11);
	out8(m, 0x21, 0x30);
	out8(m, 0x21, 0x04);
	out8(m, 0x21, icw4);
	out8(m, 0xa0, 0x11);
	out8(m, 0xa1, 0x38);
	out8(m, 0xa1, 0x02);
	out8(m, 0xa1, icw4 & 1);
	out8(m, 0x21, (u8)~enabled & (u8)~((enabled >> 8) ? 4 : 0));
	out8(m, 0xa1, (u8)(~enabled >> 8));
}

#endif
