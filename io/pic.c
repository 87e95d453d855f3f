/*
 * Two 8259A interrupt controllers (Intel 231468-003, December 1988), with the
 * edge/level registers of the 82371 (PIIX, 290562).
 *
 * A request in IRR is kept until it is acknowledged even if its line falls in
 * between (the data sheet would turn it into a spurious IRQ 7): devices of this
 * machine send pulses without width.  A level-triggered input's IRR follows
 * its line.
 *
 * The slave is wired to input 2 of the master, for both ICW3 are not looked at.
 */
#include "base/bits.h"
#include "base/log.h"
#include "io/pic.h"

#define PIC_MASTER 0x20
#define PIC_SLAVE  0xa0
#define PIC_ELCR   0x4d0
#define CASCADE    2

enum { ICW1 = 0x10, ICW1_ICW4 = 0x01, ICW1_SINGLE = 0x02, ICW1_LEVEL = 0x08 };
enum { ICW4_AEOI = 0x02, ICW4_SFNM = 0x10 };
enum { OCW3 = 0x08, OCW3_READ_ISR = 0x01, OCW3_READ = 0x02, OCW3_POLL = 0x04, OCW3_SMM = 0x20, OCW3_ESMM = 0x40 };
enum { OCW2_LEVEL = 0x07, OCW2_EOI = 0x20, OCW2_SPECIFIC = 0x40, OCW2_ROTATE = 0x80 };
enum { POLL_INT = 0x80 };
enum { READY = 0, WANT_ICW2, WANT_ICW3, WANT_ICW4 };

/* The system timer, the keyboard, the cascade; on the slave the RTC and the FPU: edges for ever. */
static const u8 elcr_writable[2] = { 0xf8, 0xde };

#define NONE 8u

/* ---- priorities ---- */

/* The input of `set` with the highest priority, or NONE. */
static unsigned first_of(const struct pic_chip *c, u8 set)
{
	for (unsigned i = 1; i <= 8; i++)
		if (bit_test(set, (c->lowest + i) & 7))
			return (c->lowest + i) & 7;
	return NONE;
}

/* Position of an input: 0 is served first; NONE comes last. */
static unsigned rank(const struct pic_chip *c, unsigned n)
{
	return n == NONE ? NONE : (n - c->lowest - 1) & 7;
}

/* The request that INT stands for, or NONE: what no equal or higher one in service holds back. */
static unsigned deliverable(const struct pic_chip *c)
{
	bool master = c == &c->pic->chip[0];
	unsigned want = first_of(c, c->irr & ~c->imr);
	u8 serving = c->isr;

	if (c->icw_next == WANT_ICW2)
		return NONE;
	if (c->special_mask) {
		/* Everything that is not itself in service or masked. */
		return first_of(c, c->irr & ~c->imr & ~c->isr);
	}
	/* Specially fully nested: the slave may interrupt its own service. */
	if (master && c->special_nested && !c->single)
		serving &= (u8)~BIT(CASCADE);
	return rank(c, want) < rank(c, first_of(c, serving)) ? want : NONE;
}

/* ---- outputs ---- */

/* The inputs that are level-triggered. */
static u8 level_inputs(const struct pic_chip *c) { return c->level_all ? 0xff : c->elcr; }

static void raise(struct pic_chip *c, unsigned n, bool level)
{
	u8 bit = (u8)BIT(n & 7);
	bool is_level = level_inputs(c) & bit;

	if (level && (is_level || !(c->lines & bit)))
		c->irr |= bit;
	else if (!level && is_level)
		c->irr &= (u8)~bit;
	c->lines = level ? c->lines | bit : c->lines & ~bit;
}

static void update(struct pic *p)
{
	struct pic_chip *m = &p->chip[0];
	bool slave = deliverable(&p->chip[1]) != NONE, out;

	/* The slave's INT is level-like for the master: a request that went away must not stay. */
	m->lines = slave ? m->lines | BIT(CASCADE) : m->lines & ~BIT(CASCADE);
	m->irr = slave ? m->irr | BIT(CASCADE) : m->irr & ~BIT(CASCADE);
	out = deliverable(m) != NONE;
	if (out == p->out)
		return;
	p->out = out;
	p->intr(p->opaque, out);
}

void pic_set(void *pic, unsigned n, bool level)
{
	struct pic *p = pic;

	n &= 15;
	if (n == CASCADE)
		return;
	raise(&p->chip[n >> 3], n, level);
	update(p);
}

/* ---- acknowledge, end of interrupt ---- */

static void accept(struct pic_chip *c, unsigned n)
{
	u8 bit = (u8)BIT(n & 7);

	if (!(level_inputs(c) & bit))
		c->irr &= (u8)~bit;
	if (c->auto_eoi) {
		if (c->rotate_aeoi)
			c->lowest = n & 7;
	} else {
		c->isr |= bit;
	}
}

u8 pic_ack(struct pic *p)
{
	struct pic_chip *m = &p->chip[0], *s = &p->chip[1];
	unsigned n = deliverable(m), v;

	if (n == NONE) {
		v = m->base + 7u;	/* spurious: nothing goes into service */
	} else if (n == CASCADE) {
		unsigned k = deliverable(s);

		accept(m, n);
		v = s->base + (k == NONE ? 7u : k);
		if (k != NONE)
			accept(s, k);
	} else {
		accept(m, n);
		v = m->base + n;
	}
	update(p);
	trace(irq, "PIC acknowledges vector %02x", v & 0xff);
	return (u8)v;
}

static u8 poll(struct pic_chip *c)
{
	unsigned n = deliverable(c);

	c->poll = false;
	if (n == NONE)
		return 0;
	accept(c, n);
	update(c->pic);
	return (u8)(POLL_INT | n);
}

/* The service that a non-specific EOI ends.  Special mask mode does not see masked ones. */
static unsigned in_service(const struct pic_chip *c)
{
	return first_of(c, c->special_mask ? c->isr & ~c->imr : c->isr);
}

static void write_ocw2(struct pic_chip *c, u8 v)
{
	unsigned n = v & OCW2_SPECIFIC ? v & OCW2_LEVEL : in_service(c);

	switch (v & (OCW2_ROTATE | OCW2_SPECIFIC | OCW2_EOI)) {
	case 0:
		c->rotate_aeoi = false;
		break;
	case OCW2_ROTATE:
		c->rotate_aeoi = true;
		break;
	case OCW2_EOI:
	case OCW2_EOI | OCW2_SPECIFIC:
	case OCW2_EOI | OCW2_ROTATE:
	case OCW2_EOI | OCW2_SPECIFIC | OCW2_ROTATE:
		if (n == NONE)
			break;
		c->isr &= (u8)~BIT(n);
		if (v & OCW2_ROTATE)
			c->lowest = (u8)n;
		break;
	case OCW2_SPECIFIC | OCW2_ROTATE:
		c->lowest = (u8)n;
		break;
	case OCW2_SPECIFIC:
		break;			/* no operation */
	}
}

static void write_ocw3(struct pic_chip *c, u8 v)
{
	if (v & OCW3_ESMM)
		c->special_mask = v & OCW3_SMM;
	if (v & OCW3_POLL)
		c->poll = true;
	else if (v & OCW3_READ)
		c->read_isr = v & OCW3_READ_ISR;
}

/* ---- initialisation sequence ---- */

static void write_icw1(struct pic_chip *c, u8 v)
{
	c->level_all = v & ICW1_LEVEL;
	c->single = v & ICW1_SINGLE;
	c->needs_icw4 = v & ICW1_ICW4;
	/* The edge sense is cleared: an edge-triggered line that is high now must fall first. */
	c->irr = c->lines & level_inputs(c);
	c->imr = c->isr = 0;
	c->lowest = 7;
	c->special_mask = c->read_isr = c->poll = false;
	c->auto_eoi = c->rotate_aeoi = c->special_nested = false;
	c->icw_next = WANT_ICW2;
}

static void write_odd(struct pic_chip *c, u8 v)
{
	switch (c->icw_next) {
	case READY:
		c->imr = v;
		break;
	case WANT_ICW2:
		c->base = v & 0xf8;
		c->icw_next = !c->single ? WANT_ICW3 : c->needs_icw4 ? WANT_ICW4 : READY;
		break;
	case WANT_ICW3:
		c->icw_next = c->needs_icw4 ? WANT_ICW4 : READY;
		break;
	case WANT_ICW4:
		c->auto_eoi = v & ICW4_AEOI;
		c->special_nested = v & ICW4_SFNM;
		c->icw_next = READY;
		break;
	}
}

/* ---- ports ---- */

static u32 pic_read(void *dev, u16 port, unsigned size)
{
	struct pic_chip *c = dev;

	if (c->poll)
		return poll(c);
	if (port & 1)
		return c->imr;
	return c->read_isr ? c->isr : c->irr;
}

static void pic_write(void *dev, u16 port, unsigned size, u32 value)
{
	struct pic_chip *c = dev;
	u8 v = (u8)value;

	if (port & 1)
		write_odd(c, v);
	else if (v & ICW1)
		write_icw1(c, v);
	else if (v & OCW3)
		write_ocw3(c, v);
	else
		write_ocw2(c, v);
	update(c->pic);
}

static u32 elcr_read(void *dev, u16 port, unsigned size)
{
	struct pic *p = dev;

	return p->chip[port & 1].elcr;
}

static void elcr_write(void *dev, u16 port, unsigned size, u32 value)
{
	struct pic *p = dev;
	struct pic_chip *c = &p->chip[port & 1];

	/* A level request is no edge afterwards; an edge that nobody took is no level. */
	c->irr &= (u8)~level_inputs(c);
	c->elcr = (u8)value & elcr_writable[port & 1];
	c->irr = (c->irr & ~level_inputs(c)) | (c->lines & level_inputs(c));
	update(p);
}

static const struct pio_ops pic_ops = { pic_read, pic_write, .bytes = true };
static const struct pio_ops elcr_ops = { elcr_read, elcr_write, .bytes = true };

/* ---- handing over ---- */

void pic_save(const struct pic *p, struct pic_chip out[2])
{
	for (unsigned i = 0; i < 2; i++) {
		out[i] = p->chip[i];
		out[i].pic = NULL;
	}
}

void pic_load(struct pic *p, const struct pic_chip in[2], u16 lines)
{
	for (unsigned i = 0; i < 2; i++) {
		struct pic_chip *c = &p->chip[i];
		*c = in[i];
		c->pic = p;
		c->elcr &= elcr_writable[i];
		c->lowest &= 7;
		c->icw_next &= 3;
		c->base &= 0xf8;
		c->lines = (u8)(lines >> 8 * i);
		c->irr = (c->irr & ~level_inputs(c)) | (c->lines & level_inputs(c));
	}
	update(p);			/* the master's input 2 follows the slave */
}

void pic_reset(struct pic *p)
{
	for (unsigned i = 0; i < 2; i++) {
		u8 lines = p->chip[i].lines;

		p->chip[i] = (struct pic_chip){ .pic = p, .lines = lines, .lowest = 7, .imr = 0xff,
						.base = i ? 0x70 : 0x08 };
	}
	update(p);
}

int pic_init(struct pic *p, struct bus *b, void (*intr)(void *, bool), void *opaque)
{
	int r;

	__builtin_memset(p, 0, sizeof(*p));
	p->intr = intr;
	p->opaque = opaque;
	pic_reset(p);
	if ((r = bus_add_pio(b, PIC_MASTER, 2, &pic_ops, &p->chip[0], "pic")) < 0 ||
	    (r = bus_add_pio(b, PIC_SLAVE, 2, &pic_ops, &p->chip[1], "pic-slave")) < 0)
		return r;
	return bus_add_pio(b, PIC_ELCR, 2, &elcr_ops, p, "elcr");
}
