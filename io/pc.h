/*
 * The PC: every device, wired together, behind the few calls that the rest of
 * Ringer needs.  The only header of io/ that vmm/ needs for the machine itself.
 */
#ifndef IO_PC_H
#define IO_PC_H

#include "io/bus.h"
#include "io/chardev.h"
#include "io/rtc.h"

enum machine_event {
	MACHINE_POWEROFF,	/* ACPI S5 */
	MACHINE_RESET,		/* i8042, port 0x92, 0xcf9, ACPI reset register */
	MACHINE_DEBUG_EXIT,	/* isa-debug-exit: code = (value << 1) | 1, as QEMU */
	MACHINE_PANIC,		/* pvpanic */
};

#define PC_SERIAL_MAX 4

struct pc_blob { const void *data; u32 len; };

struct pc_config {
	unsigned cpus;			/* 1..8 */
	const struct clock *clock;
	const struct phys_map *phys;
	/* The CPU's INTR pin / LAPIC output changed.  Called with the bus lock held. */
	void (*cpu_intr)(void *opaque, unsigned cpu, bool asserted);
	/* NMI, INIT, SIPI from an ICR write.  vector is meaningful for SIPI. */
	void (*cpu_nmi)(void *opaque, unsigned cpu);
	void (*cpu_init)(void *opaque, unsigned cpu);
	void (*cpu_sipi)(void *opaque, unsigned cpu, u8 vector);
	void (*event)(void *opaque, enum machine_event ev, int code);
	void *opaque;
	struct chardev *serial[PC_SERIAL_MAX];	/* NULL: port absent; COM1 0x3f8/4, COM2 0x2f8/3, COM3 0x3e8/4, COM4 0x2e8/3 */
	struct chardev *debugcon;		/* port 0xe9, NULL: absent */
	bool debug_exit;			/* isa-debug-exit at 0xf4 */
	struct pc_blob kernel, initrd, cmdline;	/* for fw_cfg; memory outlives the pc */
	s64 rtc_offset;				/* seconds: UTC wall clock at guest time 0 */
	const struct rtc_battery *battery;	/* NULL: a new one; else what pc_save kept */
	u32 irqchip_user;			/* reserved for hw mode: 1 = all chips modelled here */
};

struct pc;

size_t pc_size(void);				/* bytes to allocate in the arena */
struct bus *pc_bus(struct pc *pc);
MUST_USE int pc_init(struct pc *pc, const struct pc_config *cfg);	/* negative errno */
/* Power-on state of every device.  No executor may be running. */
void pc_reset(struct pc *pc);

/*
 * The CPU takes an interrupt (INTA cycle): the vector, with in-service state
 * set, or -1 if nothing is deliverable after all.  Takes the lock.
 */
int pc_intr_ack(struct pc *pc, unsigned cpu);
/* Is something deliverable to this CPU now?  Takes the lock. */
bool pc_intr_pending(struct pc *pc, unsigned cpu);

/* MSRs that belong to the local APIC: IA32_APIC_BASE (0x1b), IA32_TSC_DEADLINE (0x6e0).
 * False if the MSR is not one of them or the value is to raise #GP.  guest TSC = host TSC - clock->tsc_start... see cpu/msr.c */
bool pc_msr_read(struct pc *pc, unsigned cpu, u32 msr, u64 *value);
bool pc_msr_write(struct pc *pc, unsigned cpu, u32 msr, u64 value);

/* Text for the crash dump and for `info`: one line a device.  print is called with pieces. */
void pc_describe(struct pc *pc, void (*print)(const char *fmt, ...));

/* Interrupt counters for the statistics. */
struct pc_stats {
	u64 irq[24];		/* rising edges seen by input (ISA/GSI number) */
	u64 lapic_timer, ipi, spurious, timer_fires;
};
struct pc_stats pc_stats(const struct pc *pc);	/* gathered at the call; trusts nothing in *pc */
/* What outlives a reset that builds the PC anew.  Trusts nothing in *pc. */
void pc_save(const struct pc *pc, struct rtc_battery *battery);

/* ACPI: fixed places that vmm/acpi.c puts into the FADT/MADT and the devices decode. */
#define PC_ACPI_PM1A_EVT  0x600		/* 4 ports */
#define PC_ACPI_PM1A_CNT  0x604		/* 2 ports; SLP_TYPa for S5 is 5 */
#define PC_ACPI_PM_TMR    0x608		/* 4 ports, 3.579545 MHz, 24 or 32 bits */
#define PC_ACPI_S5_TYP    5
#define PC_ACPI_SCI_IRQ   9
#define PC_RESET_PORT     0xcf9		/* FADT reset register, value 0x06 */
#define PC_PVPANIC_PORT   0x505		/* in the DSDT */
#define PC_LAPIC_BASE     0xfee00000u
#define PC_LAPIC_TIMER_HZ 1000000000u	/* the bus clock that divides down to the APIC timer */
#define PC_IOAPIC_BASE    0xfec00000u
#define PC_IOAPIC_ID      0

#endif
