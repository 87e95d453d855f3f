/*
 * The MC146818 real-time clock and its 128 bytes of CMOS memory.
 */
#ifndef IO_RTC_H
#define IO_RTC_H

#include "io/bus.h"

#define CMOS_SIZE 128u

struct rtc {
	struct bus *bus;
	struct irq_line irq;
	struct vtimer timer;
	s64 base_sec;		/* time of day at base_ns, seconds since 1970 */
	s64 base_ns;		/* guest time of a second's beginning */
	s64 seen_sec;		/* up to here updates and alarms are in register C */
	u64 edge;		/* next periodic event, in ticks of the 32768 Hz crystal */
	u8 index;
	u8 cmos[CMOS_SIZE];	/* time registers are current only while the clock stands */
};

MUST_USE int rtc_init(struct rtc *r, struct bus *b, struct irq_line irq, s64 offset);

/* What the battery keeps while the machine is built anew. */
struct rtc_battery {
	s64 sec, ns;		/* time of day at a guest time */
	u8 cmos[CMOS_SIZE];
};
void rtc_save(const struct rtc *r, struct rtc_battery *to);
/* After rtc_init.  Of what is saved, anything may be forged. */
void rtc_restore(struct rtc *r, const struct rtc_battery *from);
/* The clock keeps its time, on its battery. */
void rtc_reset(struct rtc *r);

#endif
