/*
 * The pair of 8259A interrupt controllers of the PC/AT.
 */
#ifndef IO_PIC_H
#define IO_PIC_H

#include "io/bus.h"

struct pic_chip {
	struct pic *pic;	/* NULL in a saved state */
	u8 lines;		/* input levels */
	u8 irr, imr, isr;
	u8 elcr;		/* 1 = level triggered */
	u8 base;		/* vector of input 0 */
	u8 lowest;		/* the input with the lowest priority; 7 unless rotated */
	u8 icw_next;		/* 0 operational, else the ICW expected at the odd port */
	bool needs_icw4, single, level_all;
	bool auto_eoi, rotate_aeoi, special_mask, special_nested;
	bool read_isr, poll;
};

struct pic {
	struct pic_chip chip[2];	/* master, slave (on the master's input 2) */
	bool out;			/* INT */
	void (*intr)(void *opaque, bool asserted);
	void *opaque;
};

MUST_USE int pic_init(struct pic *p, struct bus *b, void (*intr)(void *, bool), void *opaque);
void pic_reset(struct pic *p);

/* Input 0..15; an irq_line's set. */
void pic_set(void *pic, unsigned n, bool level);

/* The two INTA cycles.  Always a vector: that of input 7 (15) when the request has gone away. */
u8 pic_ack(struct pic *p);

/*
 * The state of both chips, and going on from one: `lines` are the levels of the 16
 * inputs now, and are no edges.  A request in IRR stays; that of a level-triggered
 * input follows its line.  Tells `intr` if the output is another than before.
 */
void pic_save(const struct pic *p, struct pic_chip out[2]);
void pic_load(struct pic *p, const struct pic_chip in[2], u16 lines);

#endif
