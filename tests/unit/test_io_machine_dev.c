/*
 * The remaining devices as a guest sees them: serial ports, keyboard
 * controller, PCI configuration, ACPI, firmware configuration, the ways to
 * reset and to stop; and whatever a hostile guest may throw at all of them.
 */
#include "tests/unit/io_machine.h"

/* ---- serial port ---- */

enum { DATA = 0, IER = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };

static void host_types(struct machine *m, unsigned port, const char *text)
{
	struct chardev *c = &m->serial[port];

	while (*text)
		ck_assert(ring_put(&c->rx, (u8)*text++));
	lock_acquire(&m->bus->lock);
	c->rx_ready(c->dev);
	lock_release(&m->bus->lock);
}

static void host_drains(struct machine *m, unsigned port, char *buf, unsigned n)
{
	struct chardev *c = &m->serial[port];
	unsigned i = 0;
	int b;

	while (i + 1 < n && (b = ring_get(&c->tx)) >= 0)
		buf[i++] = (char)b;
	buf[i] = 0;
}

START_TEST(uart_transmits)
{
	static const u16 ports[] = { COM1, COM2, COM3, COM4 };
	struct machine *m = machine_new();
	char buf[64];

	for (unsigned i = 0; i < ARRAY_SIZE(ports); i++) {
		ck_assert_uint_eq(in8(m, ports[i] + LSR), 0x60);
		out8(m, ports[i], (u8)('a' + i));
		out8(m, ports[i], '\n');
		ck_assert_uint_eq(in8(m, ports[i] + LSR), 0x60);
		host_drains(m, i, buf, sizeof buf);
		ck_assert_msg(buf[0] == (char)('a' + i) && buf[1] == '\n' && !buf[2], "port %u sent '%s'", i, buf);
	}
	machine_free(m);
}
END_TEST

START_TEST(uart_is_a_16550a)
{
	struct machine *m = machine_new();

	/* As Linux's autoconfig() and autoconfig_16550a() look at it. */
	out8(m, COM1 + IER, 0);
	ck_assert_uint_eq(in8(m, COM1 + IER), 0);
	out8(m, COM1 + IER, 0xff);
	ck_assert_uint_eq(in8(m, COM1 + IER), 0x0f);
	out8(m, COM1 + IER, 0);
	out8(m, COM1 + MCR, 0x1a);
	ck_assert_uint_eq(in8(m, COM1 + MSR) & 0xf0, 0x90);
	out8(m, COM1 + MCR, 0);
	out8(m, COM1 + FCR, 1);
	ck_assert_uint_eq(in8(m, COM1 + IIR), 0xc1);
	out8(m, COM1 + FCR, 0);
	ck_assert_uint_eq(in8(m, COM1 + IIR), 0x01);
	out8(m, COM1 + SCR, 0x5a);
	ck_assert_uint_eq(in8(m, COM1 + SCR), 0x5a);
	out8(m, COM1 + LCR, 0x83);
	out8(m, COM1 + DATA, 0x0c);
	out8(m, COM1 + IER, 0x01);
	ck_assert_uint_eq(in16(m, COM1), 0x010c);	/* a word is two registers */
	out8(m, COM1 + LCR, 0x03);
	ck_assert_uint_eq(in8(m, COM1 + IER), 0);
	ck_assert_uint_eq(in8(m, COM1 + LCR), 0x03);
	/* THRE is told when it is enabled on an empty transmitter, each time (serial8250_THRE_test). */
	for (unsigned i = 0; i < 2; i++) {
		out8(m, COM1 + IER, 2);
		ck_assert_uint_eq(in8(m, COM1 + IIR) & 0x0f, 2);
		ck_assert_uint_eq(in8(m, COM1 + IIR) & 0x0f, 1);
		out8(m, COM1 + IER, 0);
	}
	machine_free(m);
}
END_TEST

START_TEST(uart_transmitter_interrupts)
{
	struct machine *m = machine_new();

	pic_setup(m, 0x01, BIT(4));
	out8(m, COM1 + MCR, 0x0b);
	out8(m, COM1 + IER, 2);
	ck_assert_int_eq(ack(m, 0), 0x34);
	ck_assert_uint_eq(in8(m, COM1 + IIR), 0x02);
	out8(m, 0x20, 0x20);
	ck_assert(!pending(m, 0));
	out8(m, COM1 + DATA, 'x');
	ck_assert_int_eq(ack(m, 0), 0x34);	/* empty again */
	out8(m, 0x20, 0x20);
	out8(m, COM1 + IER, 0);
	out8(m, COM1 + DATA, 'y');
	ck_assert(!pending(m, 0));
	/* xv6 never sets OUT2. */
	out8(m, COM1 + MCR, 0x00);
	out8(m, COM1 + IER, 2);
	ck_assert_int_eq(ack(m, 0), 0x34);
	machine_free(m);
}
END_TEST

START_TEST(uart_receives)
{
	struct machine *m = machine_new();
	char got[64] = { 0 };
	unsigned n = 0;

	pic_setup(m, 0x01, BIT(4));
	out8(m, COM1 + FCR, 0x87);		/* trigger at 8 */
	out8(m, COM1 + MCR, 0x0b);
	out8(m, COM1 + IER, 1);
	ck_assert(!pending(m, 0));
	host_types(m, 0, "hello, world: more than sixteen characters");
	ck_assert_int_eq(ack(m, 0), 0x34);
	ck_assert_uint_eq(in8(m, COM1 + IIR), 0xc4);
	while (in8(m, COM1 + LSR) & 1)
		got[n++] = (char)in8(m, COM1);
	ck_assert_str_eq(got, "hello, world: more than sixteen characters");
	ck_assert_uint_eq(in8(m, COM1 + IIR), 0xc1);
	ck_assert_uint_eq(in8(m, COM1 + LSR), 0x60);
	machine_free(m);
}
END_TEST

/*
 * A key pressed while the guest sleeps in HLT: the monitor calls rx_ready, and
 * the executor would not notice a timer that is armed there.
 */
START_TEST(uart_input_below_the_trigger_needs_no_timer)
{
	struct machine *m = machine_new();
	u64 deadline;

	pic_setup(m, 0x01, BIT(4));
	out8(m, COM1 + FCR, 0xc7);		/* trigger at 14 */
	out8(m, COM1 + MCR, 0x0b);
	out8(m, COM1 + IER, 1);
	run(m, SEC);
	deadline = m->bus->next_deadline;
	host_types(m, 0, "k");
	ck_assert_uint_ge(m->bus->next_deadline, deadline);
	ck_assert_int_eq(ack(m, 0), 0x34);
	ck_assert_uint_eq(in8(m, COM1 + IIR), 0xcc);
	ck_assert_uint_eq(in8(m, COM1), 'k');
	ck_assert_uint_eq(in8(m, COM1 + IIR), 0xc1);
	machine_free(m);
}
END_TEST

/* A driver that takes one character an interrupt still gets them all, where it would from the chip. */
START_TEST(uart_one_character_an_interrupt)
{
	static const struct { u8 fcr; const char *text; } cases[] = {
		{ 0x00, "twenty characters..." },	/* no FIFO: RDA falls with each read */
		{ 0xc1, "ten chars." },			/* below the trigger: the time-out starts anew */
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct machine *m = machine_new();
		char got[32] = { 0 };
		unsigned n = 0;

		pic_setup(m, 0x01, BIT(4));
		out8(m, COM1 + FCR, cases[i].fcr);
		out8(m, COM1 + MCR, 0x0b);
		out8(m, COM1 + IER, 1);
		host_types(m, 0, cases[i].text);
		for (unsigned t = 0; t < 100; t++) {
			run(m, 10 * MS);
			if (ack(m, 0) != 0x34)
				continue;
			ck_assert_uint_lt(n, sizeof got - 1);
			if (in8(m, COM1 + LSR) & 1)
				got[n++] = (char)in8(m, COM1);
			out8(m, 0x20, 0x20);
		}
		ck_assert_msg(!strcmp(got, cases[i].text), "FCR %02x: '%s'", cases[i].fcr, got);
		machine_free(m);
	}
}
END_TEST

START_TEST(uart_back_pressure)
{
	struct machine *m = machine_new();
	struct chardev *c = &m->serial[0];
	unsigned sent = 0, got = 0;
	int b;

	pic_setup(m, 0x01, BIT(4));
	out8(m, COM1 + FCR, 0x01);
	out8(m, COM1 + MCR, 0x0b);
	while (in8(m, COM1 + LSR) & 0x20 && sent < 2 * CHAR_RING_SIZE)
		out8(m, COM1, (u8)sent++);
	ck_assert_uint_ge(sent, CHAR_RING_SIZE);
	ck_assert_uint_le(sent, CHAR_RING_SIZE + 1);
	ck_assert_uint_eq(c->tx_blocked, 1);
	out8(m, COM1 + IER, 2);
	ck_assert(!pending(m, 0));
	while ((b = ring_get(&c->tx)) >= 0)
		ck_assert_int_eq(b, (u8)got++);
	c->tx_blocked = 0;
	lock_acquire(&m->bus->lock);
	c->tx_space(c->dev);
	lock_release(&m->bus->lock);
	ck_assert(pending(m, 0));		/* and so the guest goes on */
	while ((b = ring_get(&c->tx)) >= 0)
		ck_assert_int_eq(b, (u8)got++);
	ck_assert_uint_eq(got, sent);
	ck_assert_uint_eq(in8(m, COM1 + LSR) & 0x60, 0x60);
	machine_free(m);
}
END_TEST

START_TEST(uart_without_a_peer_is_never_busy)
{
	struct machine *m = machine_new();

	m->serial[0].connected = 0;
	for (unsigned i = 0; i < 2 * CHAR_RING_SIZE; i++) {
		ck_assert_uint_eq(in8(m, COM1 + LSR) & 0x20, 0x20);
		out8(m, COM1, 'x');
	}
	machine_free(m);
}
END_TEST

START_TEST(uart_loopback)
{
	struct machine *m = machine_new();
	char buf[8];

	out8(m, COM1 + FCR, 0x07);
	in8(m, COM1 + MSR);
	out8(m, COM1 + MCR, 0x10);
	host_types(m, 0, "z");			/* not heard now */
	for (unsigned i = 0; i < 16; i++)
		out8(m, COM1, (u8)(0x40 + i));
	ck_assert_uint_eq(in8(m, COM1 + LSR) & 0x03, 0x01);
	out8(m, COM1, 0x99);			/* one too many */
	ck_assert_uint_eq(in8(m, COM1 + LSR) & 0x03, 0x03);
	ck_assert_uint_eq(in8(m, COM1 + LSR) & 0x03, 0x01);	/* told once */
	for (unsigned i = 0; i < 16; i++)
		ck_assert_uint_eq(in8(m, COM1), 0x40 + i);
	host_drains(m, 0, buf, sizeof buf);
	ck_assert_str_eq(buf, "");
	/* Modem lines: DTR-DSR, RTS-CTS, OUT1-RI, OUT2-DCD, and what changed. */
	in8(m, COM1 + MSR);
	for (unsigned i = 0; i < 16; i++) {
		u8 want = (u8)((i & 1 ? 0x20 : 0) | (i & 2 ? 0x10 : 0) | (i & 4 ? 0x40 : 0) | (i & 8 ? 0x80 : 0));

		out8(m, COM1 + MCR, (u8)(0x10 | i));
		ck_assert_uint_eq(in8(m, COM1 + MSR) & 0xf0, want);
		ck_assert_uint_eq(in8(m, COM1 + MSR) & 0x0f, 0);
	}
	out8(m, COM1 + MCR, 0x10);
	ck_assert_uint_eq(in8(m, COM1 + MSR), 0x0f);
	out8(m, COM1 + MCR, 0x00);
	ck_assert_uint_eq(in8(m, COM1 + LSR) & 1, 1);	/* the "z" has waited */
	ck_assert_uint_eq(in8(m, COM1), 'z');
	machine_free(m);
}
END_TEST

/* ---- keyboard controller ---- */

static int kbd_read(struct machine *m)
{
	run(m, 10 * MS);
	return in8(m, 0x64) & 1 ? in8(m, 0x60) : -1;
}

START_TEST(i8042_as_linux_probes_it)
{
	struct machine *m = machine_new();

	ck_assert_uint_eq(in8(m, 0x64) & 3, 0);
	out8(m, 0x64, 0xaa);
	ck_assert_int_eq(kbd_read(m), 0x55);
	out8(m, 0x64, 0x20);
	ck_assert_int_ge(kbd_read(m), 0);
	out8(m, 0x64, 0x60);
	out8(m, 0x60, 0x74);
	out8(m, 0x64, 0x20);
	ck_assert_int_eq(kbd_read(m), 0x74);
	out8(m, 0x64, 0xab);
	ck_assert_int_eq(kbd_read(m), 0);
	/* i8042_check_aux(): no loop-back mark and a failing test say that there is no port. */
	out8(m, 0x64, 0xd3);
	out8(m, 0x60, 0x5a);
	ck_assert_uint_eq(in8(m, 0x64) & 0x20, 0);
	kbd_read(m);
	out8(m, 0x64, 0xa9);
	ck_assert_int_gt(kbd_read(m), 0);
	ck_assert_int_eq(kbd_read(m), -1);
	machine_free(m);
}
END_TEST

START_TEST(keyboard_answers_by_interrupt)
{
	static const struct { u8 command; int answer[4]; } cases[] = {
		{ 0xff, { 0xfa, 0xaa, -1 } },
		{ 0xf2, { 0xfa, 0xab, 0x83, -1 } },
		{ 0xed, { 0xfa, -1 } },
		{ 0x00, { 0xfa, -1 } },
		{ 0xf4, { 0xfa, -1 } },
		{ 0xee, { 0xee, -1 } },
	};
	struct machine *m = machine_new();

	pic_setup(m, 0x01, BIT(1));
	out8(m, 0x64, 0x60);
	out8(m, 0x60, 0x05);			/* interrupt on, no translation */
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		out8(m, 0x60, cases[i].command);
		for (unsigned k = 0; cases[i].answer[k] >= 0; k++) {
			run(m, 10 * MS);
			ck_assert_msg(ack(m, 0) == 0x31, "command %02x, byte %u: no interrupt", cases[i].command, k);
			ck_assert_int_eq(in8(m, 0x60), cases[i].answer[k]);
			out8(m, 0x20, 0x20);
		}
		run(m, 10 * MS);
		ck_assert(!pending(m, 0));
		ck_assert_uint_eq(in8(m, 0x64) & 1, 0);
	}
	machine_free(m);
}
END_TEST

/* ---- ways to end ---- */

START_TEST(resets_and_exits)
{
	struct machine *m = machine_new();

	out8(m, 0x64, 0xfe);
	ck_assert_uint_eq(m->events[MACHINE_RESET], 1);
	out8(m, 0x92, 0x02);
	ck_assert_uint_eq(m->events[MACHINE_RESET], 1);
	ck_assert_uint_eq(in8(m, 0x92) & 3, 2);
	out8(m, 0x92, 0x03);
	ck_assert_uint_eq(m->events[MACHINE_RESET], 2);
	out8(m, 0xcf9, 0x02);
	ck_assert_uint_eq(m->events[MACHINE_RESET], 2);
	out8(m, 0xcf9, 0x06);
	ck_assert_uint_eq(m->events[MACHINE_RESET], 3);
	out8(m, 0xf4, 0x10);
	ck_assert_uint_eq(m->events[MACHINE_DEBUG_EXIT], 1);
	ck_assert_int_eq(m->code, 0x21);
	out32(m, 0xf4, 0);
	ck_assert_int_eq(m->code, 1);
	ck_assert_uint_eq(m->events[MACHINE_POWEROFF], 0);
	ck_assert_uint_eq(in16(m, PC_ACPI_PM1A_CNT) & 1, 1);	/* ACPI mode, for there is no SMI port */
	out16(m, PC_ACPI_PM1A_CNT, PC_ACPI_S5_TYP << 10);
	ck_assert_uint_eq(m->events[MACHINE_POWEROFF], 0);
	out16(m, PC_ACPI_PM1A_CNT, 1 << 13 | 1 << 10);		/* another state */
	ck_assert_uint_eq(m->events[MACHINE_POWEROFF], 0);
	out16(m, PC_ACPI_PM1A_CNT, 1 << 13 | PC_ACPI_S5_TYP << 10);
	ck_assert_uint_eq(m->events[MACHINE_POWEROFF], 1);
	ck_assert_uint_eq(in16(m, PC_ACPI_PM1A_CNT) & 1 << 13, 0);
	machine_free(m);
}
END_TEST

START_TEST(debug_console)
{
	struct machine *m = machine_new();

	ck_assert_uint_eq(in8(m, 0xe9), 0xe9);
	out8(m, 0xe9, '!');
	ck_assert_int_eq(ring_get(&m->debugcon.tx), '!');
	ck_assert_int_eq(ring_get(&m->debugcon.tx), -1);
	machine_free(m);
}
END_TEST

START_TEST(what_is_not_configured_is_not_there)
{
	struct machine *m = machine_alloc();
	struct pc_config c = machine_config(m);

	c.debugcon = NULL;
	c.debug_exit = false;
	for (unsigned i = 0; i < PC_SERIAL_MAX; i++)
		c.serial[i] = NULL;
	machine_new_from(m, &c);
	ck_assert_uint_eq(in8(m, COM1 + LSR), 0xff);
	ck_assert_uint_eq(in8(m, 0xe9), 0xff);
	ck_assert_uint_eq(in32(m, 0xf4), 0xffffffff);
	out8(m, 0xf4, 1);
	ck_assert_uint_eq(m->events[MACHINE_DEBUG_EXIT], 0);
	machine_free(m);
}
END_TEST

START_TEST(impossible_machines_are_refused)
{
	struct machine *m = machine_alloc();
	struct pc_config c = machine_config(m);

	m->pc = calloc(1, pc_size());
	c.cpus = 0;
	ck_assert_int_lt(pc_init(m->pc, &c), 0);
	c.cpus = 9;
	ck_assert_int_lt(pc_init(m->pc, &c), 0);
	c.cpus = 8;
	ck_assert_int_eq(pc_init(m->pc, &c), 0);
	machine_free(m);
}
END_TEST

/* ---- PCI, firmware configuration ---- */

static u32 config_read(struct machine *m, unsigned slot, u8 reg)
{
	out32(m, 0xcf8, 0x80000000 | slot << 11 | (reg & 0xfc));
	return in32(m, 0xcfc);
}

START_TEST(pci_bridges)
{
	struct machine *m = machine_new();

	out32(m, 0xcf8, 0x80000000);
	ck_assert_uint_eq(in32(m, 0xcf8), 0x80000000);
	ck_assert_uint_eq(config_read(m, 0, 0), 0x12378086);
	ck_assert_uint_eq(config_read(m, 0, 8) >> 16, 0x0600);
	ck_assert_uint_eq(config_read(m, 1, 0), 0x70008086);
	ck_assert_uint_eq(config_read(m, 1, 8) >> 16, 0x0601);
	for (unsigned slot = 2; slot < 32; slot++)
		ck_assert_uint_eq(config_read(m, slot, 0), 0xffffffff);
	config_read(m, 0, 0);
	ck_assert_uint_eq(in8(m, 0xcfd), 0x80);
	ck_assert_uint_eq(in16(m, 0xcfe), 0x1237);
	out32(m, 0xcfc, 0);
	ck_assert_uint_eq(in32(m, 0xcfc), 0x12378086);	/* read-only */
	out32(m, 0xcf8, 0);				/* not enabled */
	ck_assert_uint_eq(in32(m, 0xcfc), 0xffffffff);
	out32(m, 0xcf8, 0x80010000);			/* another bus */
	ck_assert_uint_eq(in32(m, 0xcfc), 0xffffffff);
	ck_assert_uint_eq(m->events[MACHINE_RESET], 0);
	machine_free(m);
}
END_TEST

START_TEST(fw_cfg_items)
{
	static const char kernel[] = "a kernel of sorts", initrd[] = "initrd", cmdline[] = "console=ttyS0";
	struct machine *m = machine_alloc();
	struct pc_config c = machine_config(m);
	char buf[32] = { 0 };

	c.kernel = (struct pc_blob){ kernel, sizeof kernel };
	c.initrd = (struct pc_blob){ initrd, sizeof initrd };
	c.cmdline = (struct pc_blob){ cmdline, sizeof cmdline };
	machine_new_from(m, &c);
	out16(m, 0x510, 0);
	for (unsigned i = 0; i < 4; i++)
		buf[i] = (char)in8(m, 0x511);
	ck_assert_str_eq(buf, "QEMU");
	ck_assert_uint_eq(in8(m, 0x511), 0);	/* beyond the end */
	out16(m, 0x510, 5);
	ck_assert_uint_eq(in8(m, 0x511), TEST_CPUS);
	out16(m, 0x510, 0x14);
	ck_assert_uint_eq(in8(m, 0x511), sizeof cmdline);
	out16(m, 0x510, 0x15);
	for (unsigned i = 0; i < sizeof cmdline; i++)
		buf[i] = (char)in8(m, 0x511);
	ck_assert_str_eq(buf, cmdline);
	out16(m, 0x510, 0x7777);
	ck_assert_uint_eq(in8(m, 0x511), 0);
	/* DMA: select the kernel and read more than there is. */
	ck_assert_uint_eq(in32(m, 0x514), 0x554d4551);	/* "QEMU CFG", big-endian */
	memset(m->phys.ram + 0x2000, 0xee, 64);
	store32(m->phys.ram + 0x1000, __builtin_bswap32(0x11 << 16 | BIT(3) | BIT(1)));
	store32(m->phys.ram + 0x1004, __builtin_bswap32(32));
	store64(m->phys.ram + 0x1008, __builtin_bswap64(0x2000));
	out32(m, 0x514, 0);
	out32(m, 0x518, __builtin_bswap32(0x1000));
	ck_assert_uint_eq(load32(m->phys.ram + 0x1000), 0);
	ck_assert_mem_eq(m->phys.ram + 0x2000, kernel, sizeof kernel);
	ck_assert_uint_eq(m->phys.ram[0x2000 + 31], 0);
	ck_assert_uint_eq(m->phys.ram[0x2000 + 32], 0xee);
	/* Into nowhere: an error, and nothing else. */
	store32(m->phys.ram + 0x1000, __builtin_bswap32(0x11 << 16 | BIT(3) | BIT(1)));
	store64(m->phys.ram + 0x1008, __builtin_bswap64(TEST_RAM - 8));
	out32(m, 0x518, __builtin_bswap32(0x1000));
	ck_assert_uint_eq(load32(m->phys.ram + 0x1000), __builtin_bswap32(1));
	machine_free(m);
}
END_TEST

/* ---- the whole ---- */

static unsigned lines_described;
static void count_pieces(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void count_pieces(const char *fmt, ...) { lines_described++; }

START_TEST(description_and_statistics)
{
	struct machine *m = machine_new();

	pic_setup(m, 0x01, BIT(4));
	com_line(m, COM1, true);
	com_line(m, COM1, false);
	com_line(m, COM1, true);
	ck_assert_uint_eq(pc_stats(m->pc).irq[4], 2);
	pc_describe(m->pc, count_pieces);
	ck_assert_uint_gt(lines_described, 4);
	machine_free(m);
}
END_TEST

/* An executor that had to be killed in the middle of an access. */
START_TEST(reset_breaks_a_dead_executors_lock)
{
	struct machine *m = machine_new();

	lock_acquire(&m->bus->lock);
	pc_reset(m->pc);
	ck_assert_uint_eq(in8(m, COM1 + LSR), 0x60);
	machine_free(m);
}
END_TEST

START_TEST(two_machines_know_nothing_of_each_other)
{
	struct machine *a = machine_new(), *b = machine_new();

	pic_setup(a, 0x01, BIT(4));
	pic_setup(b, 0x01, BIT(4));
	com_line(a, COM1, true);
	ck_assert(pending(a, 0) && !pending(b, 0));
	out8(b, COM1, 'b');
	ck_assert_int_eq(ring_get(&a->serial[0].tx), -1);
	ck_assert_int_eq(ring_get(&b->serial[0].tx), 'b');
	apic_write(b, 0, 0x320, 0x40);
	apic_write(b, 0, 0x380, 1000);
	set_time(a, SEC);
	bus_run_timers(a->bus);
	ck_assert(!pending(b, 0));
	machine_free(a);
	ck_assert_uint_eq(in8(b, COM1 + LSR), 0x60);
	machine_free(b);
}
END_TEST

/* ---- a hostile guest ---- */

static u64 random_state;

static u32 rnd(void)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)(random_state >> 33);
}

/* Mostly where something is; mostly numbers that mean something. */
static u16 random_port(void)
{
	static const u16 at[] = { 0x20, 0xa0, 0x40, 0x60, 0x64, 0x70, 0x92, 0x3f8, 0x2f8, 0x3e8, 0x2e8, 0x4d0, 0x510,
				  0x514, 0x600, 0x604, 0xcf8, 0xcfc, 0xe9, 0xf4, 0x61 };

	return rnd() % 16 ? (u16)(at[rnd() % ARRAY_SIZE(at)] + rnd() % 8) : (u16)rnd();
}

static gpa_t random_address(void)
{
	switch (rnd() % 8) {
	case 0: return PC_IOAPIC_BASE + (rnd() & 0xfff);
	case 1: case 2: return PC_IOAPIC_BASE + (rnd() & 0x10);
	case 3: return PC_LAPIC_BASE + (rnd() & 0xfff);
	default: return PC_LAPIC_BASE + (rnd() & 0x3f0);
	}
}

static u32 random_value(void)
{
	switch (rnd() % 4) {
	case 0: return rnd() & 0xff;
	case 1: return BIT(rnd() & 31);
	case 2: return rnd() << 16 ^ rnd();
	default: return rnd() % 2 ? ~0u : 0;
	}
}

static void check_invariants(struct machine *m)
{
	u64 due = TIMER_NEVER;

	for (unsigned cpu = 0; cpu < TEST_CPUS; cpu++)
		pending(m, cpu);		/* compares pin and state */
	ck_assert_uint_eq(m->bus->lock.word, 0);
	for (unsigned i = 0; i < m->bus->timer_count; i++)
		due = min_u64(due, m->bus->timer[i]->deadline);
	ck_assert_uint_eq(m->bus->next_deadline, due);
	for (unsigned i = 0; i < PC_SERIAL_MAX; i++)
		ck_assert_uint_le(m->serial[i].tx.head - m->serial[i].tx.tail, CHAR_RING_SIZE);
}

static void random_step(struct machine *m)
{
	static const unsigned sizes[] = { 1, 2, 4, 8 };
	unsigned cpu = rnd() % TEST_CPUS, port;
	u64 v;

	switch (rnd() % 32) {
	case 0 ... 11:
		bus_pio_write(m->bus, random_port(), sizes[rnd() % 3], random_value());
		break;
	case 12 ... 16:
		v = bus_pio_read(m->bus, random_port(), sizes[port = rnd() % 3]);
		ck_assert_uint_eq(v & ~size_mask(sizes[port]), 0);
		break;
	case 17 ... 23:
		bus_mmio_write(m->bus, cpu, random_address(), rnd() % 8 ? 4 : sizes[rnd() % 4],
			       (u64)random_value() << 32 | random_value());
		break;
	case 24 ... 25:
		v = bus_mmio_read(m->bus, cpu, random_address(), sizes[port = rnd() % 4]);
		ck_assert_uint_eq(v & ~size_mask(sizes[port]), 0);
		break;
	case 26:
		v = ack(m, cpu);
		ck_assert_int_ge((int)v, -1);
		ck_assert_int_le((int)v, 255);
		break;
	case 27:
		if (now(m) > 3600 * SEC)
			set_time(m, rnd());	/* backwards, too */
		set_time(m, now(m) + (rnd() % 4 ? rnd() % MS : rnd() % (10 * SEC)));
		break;
	case 28:
		run_until(m, now(m) + rnd() % (100 * US), 50);
		break;
	case 29:
		if (rnd() % 2)
			pc_msr_write(m->pc, cpu, rnd() % 2 ? 0x1b : 0x6e0,
				     rnd() % 2 ? PC_LAPIC_BASE | (rnd() & 0x900) : tsc_of(m, now(m) + rnd() % MS));
		else
			pc_msr_read(m->pc, cpu, rnd() % 2 ? 0x1b : 0x6e0, &v);
		break;
	case 30:
		port = rnd() % PC_SERIAL_MAX;
		if (rnd() % 2) {
			ring_put(&m->serial[port].rx, (u8)rnd());
			m->serial[port].rx_ready(m->serial[port].dev);
		} else {
			for (unsigned i = rnd() % 5000; i && ring_get(&m->serial[port].tx) >= 0; i--)
				;
			if (m->serial[port].tx_blocked) {
				m->serial[port].tx_blocked = 0;
				m->serial[port].tx_space(m->serial[port].dev);
			}
		}
		break;
	case 31:
		if (rnd() % 64 == 0)
			pc_reset(m->pc);
		break;
	}
}

START_TEST(hostile_guest)
{
	static const char kernel[] = "kernel";
	struct machine *m = machine_alloc();
	struct pc_config c = machine_config(m);

	random_state = (u64)_i * 0x9e3779b97f4a7c15ull + 1;
	c.kernel = (struct pc_blob){ kernel, sizeof kernel };
	machine_new_from(m, &c);
	for (unsigned i = 0; i < 60000; i++) {
		random_step(m);
		if (i % 8 == 0)
			check_invariants(m);
	}
	/* After all that a reset makes a machine that works. */
	for (unsigned i = 0; i < PC_SERIAL_MAX; i++)
		m->serial[i].tx.tail = m->serial[i].tx.head;
	pc_reset(m->pc);
	check_invariants(m);
	for (unsigned cpu = 0; cpu < TEST_CPUS; cpu++)
		ck_assert(!pending(m, cpu));
	pic_setup(m, 0x01, BIT(4));
	com_line(m, COM1, true);
	ck_assert_int_eq(ack(m, 0), 0x34);
	machine_free(m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("io: devices of a whole machine");
	TCase *t = tcase_create("serial port");
	SRunner *r;
	int failed;

	tcase_add_test(t, uart_transmits);
	tcase_add_test(t, uart_is_a_16550a);
	tcase_add_test(t, uart_transmitter_interrupts);
	tcase_add_test(t, uart_receives);
	tcase_add_test(t, uart_input_below_the_trigger_needs_no_timer);
	tcase_add_test(t, uart_one_character_an_interrupt);
	tcase_add_test(t, uart_back_pressure);
	tcase_add_test(t, uart_without_a_peer_is_never_busy);
	tcase_add_test(t, uart_loopback);
	suite_add_tcase(s, t);
	t = tcase_create("keyboard, resets, configuration");
	tcase_add_test(t, i8042_as_linux_probes_it);
	tcase_add_test(t, keyboard_answers_by_interrupt);
	tcase_add_test(t, resets_and_exits);
	tcase_add_test(t, debug_console);
	tcase_add_test(t, what_is_not_configured_is_not_there);
	tcase_add_test(t, impossible_machines_are_refused);
	tcase_add_test(t, pci_bridges);
	tcase_add_test(t, fw_cfg_items);
	suite_add_tcase(s, t);
	t = tcase_create("whole");
	tcase_set_timeout(t, 30);
	tcase_add_test(t, description_and_statistics);
	tcase_add_test(t, reset_breaks_a_dead_executors_lock);
	tcase_add_test(t, two_machines_know_nothing_of_each_other);
	tcase_add_loop_test(t, hostile_guest, 0, 8);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
