/*
 * The PS/2 keyboard controller (IBM PS/2 Hardware Interface Technical
 * Reference, "Keyboard and Auxiliary Device Controller"; Intel UPI-42) and an
 * MF2 keyboard that answers commands and never sends a key.
 *
 * There is no auxiliary device: its tests fail at once instead of not
 * answering, which saves the guest a second of waiting.  A20 is always on.
 */
#include "base/bits.h"
#include "base/log.h"
#include "io/i8042.h"

#define PORT_DATA    0x60
#define PORT_COMMAND 0x64

enum { STAT_FULL = 0x01, STAT_SYSTEM = 0x04, STAT_COMMAND = 0x08, STAT_UNLOCKED = 0x10 };
enum { CMD_KBD_INT = 0x01, CMD_SYSTEM = 0x04, CMD_KBD_OFF = 0x10, CMD_AUX_OFF = 0x20, CMD_TRANSLATE = 0x40 };
enum { OUTPUT_NO_RESET = 0x01, OUTPUT_A20 = 0x02, OUTPUT_KBD_FULL = 0x10 };

/* Controller commands. */
enum { READ_RAM = 0x20, WRITE_RAM = 0x60, RAM_END = 0x7f, TEST_PASSWORD = 0xa4, AUX_DISABLE = 0xa7,
       AUX_ENABLE = 0xa8, AUX_TEST = 0xa9, SELF_TEST = 0xaa, KBD_TEST = 0xab, KBD_DISABLE = 0xad,
       KBD_ENABLE = 0xae, READ_INPUT = 0xc0, READ_OUTPUT = 0xd0, WRITE_OUTPUT = 0xd1, WRITE_KBD_OUT = 0xd2,
       WRITE_AUX_OUT = 0xd3, WRITE_AUX = 0xd4, A20_OFF = 0xdd, A20_ON = 0xdf, READ_TEST = 0xe0, PULSE = 0xf0 };
enum { SELF_TEST_OK = 0x55, KBD_TEST_OK = 0x00, AUX_CLOCK_STUCK = 0x02, NO_PASSWORD = 0xf1 };

/* Keyboard commands and answers. */
enum { KBD_LEDS = 0xed, KBD_ECHO = 0xee, KBD_SCAN_SET = 0xf0, KBD_IDENTIFY = 0xf2, KBD_TYPEMATIC = 0xf3,
       KBD_SCAN_ON = 0xf4, KBD_SCAN_OFF = 0xf5, KBD_DEFAULTS = 0xf6, KBD_ALL_FIRST = 0xf7, KBD_ALL_LAST = 0xfa,
       KBD_KEY_FIRST = 0xfb, KBD_KEY_LAST = 0xfd, KBD_RESEND = 0xfe, KBD_RESET = 0xff };
enum { KBD_ACK = 0xfa, KBD_PASSED = 0xaa, KBD_AGAIN = 0xfe };

/* ---- output buffer and interrupt ---- */

static void update_irq(struct i8042 *k)
{
	irq_set(&k->irq, k->full && (k->ram[0] & CMD_KBD_INT));
}

/* Set 2 to set 1: of what this keyboard can send, only these change. */
static u8 translate(const struct i8042 *k, u8 c)
{
	if (!(k->ram[0] & CMD_TRANSLATE))
		return c;
	switch (c) {
	case 0x01: return 0x43;
	case 0x02: return 0x41;
	case 0x03: return 0x3f;
	case 0x83: return 0x41;
	}
	return c;
}

/* Move what waits into the empty output buffer: the controller's answers first. */
static void fill(struct i8042 *k)
{
	if (k->full)
		return;
	if (k->reply_waiting) {
		k->out = k->reply;
		k->reply_waiting = false;
		k->full = true;
	} else if (k->queue_count && !(k->ram[0] & CMD_KBD_OFF)) {
		k->out = translate(k, k->queue[k->queue_head & (I8042_QUEUE - 1)]);
		k->queue_head = (k->queue_head + 1) & (I8042_QUEUE - 1);
		k->queue_count--;
		k->full = true;
	}
	update_irq(k);
}

static void answer(struct i8042 *k, u8 c)
{
	k->reply = c;
	k->reply_waiting = true;
	fill(k);
}

/* ---- the keyboard ---- */

static void kbd_send(struct i8042 *k, u8 c)
{
	if (k->queue_count == I8042_QUEUE)
		return;
	k->queue[(k->queue_head + k->queue_count) & (I8042_QUEUE - 1)] = c;
	k->queue_count++;
	k->kbd_last = c;
	fill(k);
}

static void kbd_parameter(struct i8042 *k, u8 v)
{
	u8 command = k->kbd_command;

	k->kbd_command = 0;
	if (command == KBD_SCAN_SET && v > 3) {
		kbd_send(k, KBD_AGAIN);
		return;
	}
	kbd_send(k, KBD_ACK);
	if (command == KBD_SCAN_SET && !v)
		kbd_send(k, k->kbd_set);
	else if (command == KBD_SCAN_SET)
		k->kbd_set = v;
	else if (command >= KBD_KEY_FIRST && command <= KBD_KEY_LAST)
		k->kbd_command = command;	/* a list, until the next command */
}

static void kbd_write(struct i8042 *k, u8 v)
{
	if (k->kbd_command && v < KBD_LEDS) {
		kbd_parameter(k, v);
		return;
	}
	k->kbd_command = 0;
	switch (v) {
	case KBD_LEDS: case KBD_SCAN_SET: case KBD_TYPEMATIC:
	case KBD_KEY_FIRST ... KBD_KEY_LAST:
		k->kbd_command = v;
		kbd_send(k, KBD_ACK);
		break;
	case KBD_ECHO:
		kbd_send(k, KBD_ECHO);
		break;
	case KBD_IDENTIFY:
		kbd_send(k, KBD_ACK);
		kbd_send(k, 0xab);
		kbd_send(k, 0x83);
		break;
	case KBD_SCAN_ON: case KBD_SCAN_OFF: case KBD_ALL_FIRST ... KBD_ALL_LAST:
		kbd_send(k, KBD_ACK);
		break;
	case KBD_DEFAULTS:
		k->kbd_set = 2;
		kbd_send(k, KBD_ACK);
		break;
	case KBD_RESEND:
		kbd_send(k, k->kbd_last);
		break;
	case KBD_RESET:
		k->kbd_set = 2;
		k->queue_count = 0;
		kbd_send(k, KBD_ACK);
		kbd_send(k, KBD_PASSED);
		break;
	default:
		trace(unimp, "i8042: keyboard command %02x", v);
		kbd_send(k, KBD_AGAIN);
	}
}

/* ---- the controller ---- */

static void write_output_port(struct i8042 *k, u8 v)
{
	if (!(v & OUTPUT_A20))
		trace(unimp, "i8042: A20 stays on");
	k->output_port = v;
	if (!(v & OUTPUT_NO_RESET))
		k->reset(k->opaque);
}

static void write_ram(struct i8042 *k, unsigned i, u8 v)
{
	k->ram[i & (I8042_RAM - 1)] = v;
	if (i)
		return;
	k->status = (k->status & (u8)~STAT_SYSTEM) | (v & CMD_SYSTEM ? STAT_SYSTEM : 0);
	fill(k);
	update_irq(k);
}

static void write_command(struct i8042 *k, u8 v)
{
	k->command = 0;
	switch (v) {
	case READ_RAM ... READ_RAM + I8042_RAM - 1:
		answer(k, k->ram[v & (I8042_RAM - 1)]);
		break;
	case WRITE_RAM ... RAM_END:
	case WRITE_OUTPUT: case WRITE_KBD_OUT: case WRITE_AUX_OUT: case WRITE_AUX:
		k->command = v;
		break;
	case TEST_PASSWORD:
		answer(k, NO_PASSWORD);
		break;
	case AUX_DISABLE:
		k->ram[0] |= CMD_AUX_OFF;
		break;
	case AUX_ENABLE:
		k->ram[0] &= (u8)~CMD_AUX_OFF;
		break;
	case AUX_TEST:
		answer(k, AUX_CLOCK_STUCK);
		break;
	case SELF_TEST:
		k->status |= STAT_SYSTEM;
		k->ram[0] |= CMD_SYSTEM;
		k->full = false;		/* what was in the buffer is gone */
		answer(k, SELF_TEST_OK);
		break;
	case KBD_TEST:
		answer(k, KBD_TEST_OK);
		break;
	case KBD_DISABLE:
		k->ram[0] |= CMD_KBD_OFF;
		break;
	case KBD_ENABLE:
		k->ram[0] &= (u8)~CMD_KBD_OFF;
		fill(k);
		break;
	case READ_INPUT:
		answer(k, 0x80);		/* keyboard not locked */
		break;
	case READ_OUTPUT:
		answer(k, k->output_port | OUTPUT_A20 | (k->full ? OUTPUT_KBD_FULL : 0));
		break;
	case A20_OFF:
		write_output_port(k, k->output_port & (u8)~OUTPUT_A20);
		break;
	case A20_ON:
		write_output_port(k, k->output_port | OUTPUT_A20);
		break;
	case READ_TEST:
		answer(k, 0);
		break;
	case PULSE ... 0xff:			/* a 0 bit pulses its line of the output port */
		if (!(v & OUTPUT_NO_RESET))
			k->reset(k->opaque);
		break;
	default:
		trace(unimp, "i8042: command %02x", v);
	}
}

static void write_data(struct i8042 *k, u8 v)
{
	u8 command = k->command;

	k->command = 0;
	switch (command) {
	case 0:
		k->ram[0] &= (u8)~CMD_KBD_OFF;	/* talking to the keyboard switches it on */
		kbd_write(k, v);
		break;
	case WRITE_RAM ... RAM_END:
		write_ram(k, command & (I8042_RAM - 1), v);
		break;
	case WRITE_OUTPUT:
		write_output_port(k, v);
		break;
	case WRITE_KBD_OUT:
	case WRITE_AUX_OUT:			/* without the auxiliary mark: there is none */
		answer(k, v);
		break;
	case WRITE_AUX:
		break;				/* nobody there */
	}
}

/* ---- ports ---- */

static u32 i8042_read(void *dev, u16 port, unsigned size)
{
	struct i8042 *k = dev;
	u8 v;

	if (port == PORT_COMMAND)
		return k->status | STAT_UNLOCKED | (k->full ? STAT_FULL : 0);
	v = k->out;
	k->full = false;
	update_irq(k);				/* each byte is an edge of its own */
	fill(k);
	return v;
}

static void i8042_write(void *dev, u16 port, unsigned size, u32 value)
{
	struct i8042 *k = dev;

	if (port == PORT_COMMAND) {
		k->status |= STAT_COMMAND;
		write_command(k, (u8)value);
	} else {
		k->status &= (u8)~STAT_COMMAND;
		write_data(k, (u8)value);
	}
}

static const struct pio_ops i8042_ops = { i8042_read, i8042_write, .bytes = true };

/* As a BIOS leaves it after its self test. */
void i8042_reset(struct i8042 *k)
{
	__builtin_memset(k->ram, 0, sizeof(k->ram));
	k->ram[0] = CMD_KBD_INT | CMD_SYSTEM | CMD_AUX_OFF | CMD_TRANSLATE;
	k->status = STAT_SYSTEM;
	k->command = k->kbd_command = k->kbd_last = 0;
	k->kbd_set = 2;
	k->full = k->reply_waiting = false;
	k->output_port = OUTPUT_NO_RESET | OUTPUT_A20;
	k->queue_head = k->queue_count = 0;
	update_irq(k);
}

int i8042_init(struct i8042 *k, struct bus *b, struct irq_line irq, void (*reset)(void *), void *opaque)
{
	int r;

	__builtin_memset(k, 0, sizeof(*k));
	k->irq = irq;
	k->reset = reset;
	k->opaque = opaque;
	i8042_reset(k);
	if ((r = bus_add_pio(b, PORT_DATA, 1, &i8042_ops, k, "i8042")) < 0)
		return r;
	return bus_add_pio(b, PORT_COMMAND, 1, &i8042_ops, k, "i8042-command");
}
