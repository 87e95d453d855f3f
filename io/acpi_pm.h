/*
 * ACPI fixed hardware: the PM1 event and control registers and the power
 * management timer, at io/pc.h's ports.
 *
 * All calls but construction with the bus lock held.
 */
#ifndef IO_ACPI_PM_H
#define IO_ACPI_PM_H

#include "io/bus.h"

#define ACPI_PM_TIMER_HZ 3579545u

struct acpi_pm {
	struct bus *bus;
	struct irq_line sci;		/* level triggered */
	void (*poweroff)(void *opaque);
	void *opaque;
	u16 status, enable, control;
	u64 carries;			/* toggles of the timer's top bit that TMR_STS has reported */
	struct vtimer timer;		/* the next toggle, while the guest wants to hear of it */
};

MUST_USE int acpi_pm_init(struct acpi_pm *p, struct bus *b, struct irq_line sci,
			  void (*poweroff)(void *opaque), void *opaque);
void acpi_pm_reset(struct acpi_pm *p);
void acpi_pm_power_button(struct acpi_pm *p);

#endif
