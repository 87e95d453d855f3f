/* io/pci.c: configuration accesses of every width, BARs, capabilities, shared interrupt pins. */
#include "tests/unit/io_machine.h"

#include "io/pci.h"
#include "vmm/firmware.h"

static struct machine *m;
static struct pci *pci;
static bool line_level[PCI_INTX_LINES];
static unsigned line_calls, written, resets;
static struct { unsigned calls, bar; u32 base; bool mapped; } bar_seen;

static void on_line(void *chip, unsigned n, bool level) { line_level[n & 1] = level; line_calls++; }
static void on_written(void *dev, u8 off, unsigned size) { written++; }
static void on_reset(void *dev) { resets++; }

static void on_bar(void *dev, unsigned bar, u32 base, bool mapped)
{
	bar_seen.calls++;
	bar_seen.bar = bar; bar_seen.base = base; bar_seen.mapped = mapped;
}

static const struct pci_device_info nic = {
	.vendor = 0x1af4, .device = 0x1000, .class = 0x020000, .revision = 1,
	.subsys_vendor = 0x1af4, .subsys_id = 1, .pin = 1,
	.bar = { [0] = { 32, true }, [1] = { 4096, false } },
	.bar_mapped = on_bar, .config_written = on_written, .reset = on_reset,
};

static void setup(void)
{
	const struct irq_line lines[PCI_INTX_LINES] = { { on_line, NULL, 0 }, { on_line, NULL, 1 } };

	m = machine_alloc();
	m->bus = calloc(1, sizeof *m->bus);
	bus_init(m->bus, &m->clock, &m->phys);
	pci = calloc(1, sizeof *pci);
	ck_assert_int_eq(pci_init(pci, m->bus), 0);
	pci_connect(pci, lines);
	ck_assert_int_eq(pci_add(pci, 3, &nic), 0);
	memset(&bar_seen, 0, sizeof bar_seen);
	line_calls = written = resets = 0;
}

static void teardown(void)
{
	free(pci);
	free(m->bus);
	m->bus = NULL;
	machine_free(m);
}

static void address(unsigned slot, unsigned fn, unsigned reg)
{
	out32(m, 0xcf8, 0x80000000u | slot << 11 | fn << 8 | (reg & 0xfc));
}

static u32 conf(unsigned slot, unsigned reg) { address(slot, 0, reg); return in32(m, 0xcfc); }
static void set32(unsigned slot, unsigned reg, u32 v) { address(slot, 0, reg); out32(m, 0xcfc, v); }
static void set16(unsigned slot, unsigned reg, u16 v) { address(slot, 0, reg); out16(m, (u16)(0xcfc + (reg & 2)), v); }

START_TEST(linux_finds_mechanism_1)
{
	out8(m, 0xcfb, 1);
	out32(m, 0xcf8, 0x80000000);
	ck_assert_uint_eq(in32(m, 0xcf8), 0x80000000);
	ck_assert_uint_eq(in32(m, 0xcfc), 0x12378086);
	ck_assert_uint_eq(conf(0, 0x08) >> 8, 0x060000);
	ck_assert_uint_eq(conf(1, 0x00), 0x70008086);
	ck_assert_uint_eq(conf(1, 0x08) >> 8, 0x060100);
	ck_assert_uint_eq(conf(1, 0x0c) >> 16 & 0xff, 0);	/* one function */
}
END_TEST

START_TEST(nobody_home)
{
	ck_assert_uint_eq(conf(2, 0), ~0u);
	address(3, 1, 0);
	ck_assert_uint_eq(in32(m, 0xcfc), ~0u);
	out32(m, 0xcf8, 0x80010000 | 3 << 11);		/* bus 1 */
	ck_assert_uint_eq(in32(m, 0xcfc), ~0u);
	out32(m, 0xcf8, 3 << 11);			/* not enabled */
	ck_assert_uint_eq(in32(m, 0xcfc), ~0u);
	out32(m, 0xcfc, 0);
}
END_TEST

START_TEST(the_address_register_takes_only_dwords)
{
	out32(m, 0xcf8, 0xffffffff);
	ck_assert_uint_eq(in32(m, 0xcf8), 0x80fffffc);
	out8(m, 0xcf8, 0);
	out16(m, 0xcf8, 0);
	ck_assert_uint_eq(in32(m, 0xcf8), 0x80fffffc);
	/* The reset register between the two is somebody else's. */
	ck_assert_uint_eq(m->bus->pio_index[0xcf9], 0);
}
END_TEST

START_TEST(widths_and_lanes)
{
	address(3, 0, 0);
	ck_assert_uint_eq(in16(m, 0xcfc), 0x1af4);
	ck_assert_uint_eq(in16(m, 0xcfe), 0x1000);
	ck_assert_uint_eq(in8(m, 0xcfd), 0x1a);
	ck_assert_uint_eq(in8(m, 0xcff), 0x10);
	ck_assert_uint_eq(in32(m, 0xcfe), 0xffff1000);	/* nothing beyond the register */
	set32(3, 0x3c, 0);
	address(3, 0, 0x3c);
	out8(m, 0xcfc, 0x55);
	out8(m, 0xcfd, 0x66);				/* the pin is read-only */
	ck_assert_uint_eq(in32(m, 0xcfc), 0x00000155);
	address(3, 0, 0xfc);
	out32(m, 0xcff, ~0u);				/* must not wrap to register 0 */
	ck_assert_uint_eq(conf(3, 0), 0x10001af4);
}
END_TEST

START_TEST(identity_is_read_only)
{
	for (unsigned reg = 0; reg < 256; reg += 4)
		set32(3, reg, ~0u);
	ck_assert_uint_eq(conf(3, 0x00), 0x10001af4);
	ck_assert_uint_eq(conf(3, 0x08), 0x02000001);
	ck_assert_uint_eq(conf(3, 0x2c), 0x00011af4);
	ck_assert_uint_eq(conf(3, 0x34), 0);
	ck_assert_uint_eq(conf(3, 0x0c) >> 16, 0);
	ck_assert_uint_eq(conf(3, 0x18), 0);		/* a BAR that is not there */
	ck_assert_uint_eq(conf(3, 0x30), 0);		/* no ROM */
}
END_TEST

START_TEST(sizing_and_mapping)
{
	ck_assert_uint_eq(conf(3, 0x10), 1);
	set32(3, 0x10, ~0u);
	ck_assert_uint_eq(conf(3, 0x10), ~31u | 1);
	set32(3, 0x14, ~0u);
	ck_assert_uint_eq(conf(3, 0x14), ~4095u);
	ck_assert_uint_eq(bar_seen.calls, 0);
	set32(3, 0x10, 0xc000);
	set32(3, 0x14, 0xfebf0000);
	ck_assert_uint_eq(bar_seen.calls, 0);		/* decoding is off */
	set16(3, 4, PCI_COMMAND_IO);
	ck_assert(bar_seen.calls == 1 && bar_seen.bar == 0 && bar_seen.base == 0xc000 && bar_seen.mapped);
	set16(3, 4, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	ck_assert(bar_seen.calls == 2 && bar_seen.bar == 1 && bar_seen.base == 0xfebf0000 && bar_seen.mapped);
	ck_assert(pci_is_master(pci, 3) && !pci_is_master(pci, 0) && !pci_is_master(pci, 99));
	/* Sized while decoding (Linux did): it goes away and comes back. */
	set32(3, 0x14, ~0u);
	ck_assert(bar_seen.calls == 3 && !bar_seen.mapped && bar_seen.base == 0xfebf0000);
	set32(3, 0x14, 0xfebf0000);
	ck_assert(bar_seen.calls == 4 && bar_seen.mapped);
	/* Moved: off at the old place, on at the new one. */
	set32(3, 0x10, 0xd000);
	ck_assert(bar_seen.calls == 6 && bar_seen.mapped && bar_seen.base == 0xd000);
	pci_reset(pci);
	ck_assert_uint_eq(bar_seen.calls, 8);
	ck_assert(!bar_seen.mapped);
	ck_assert_uint_eq(resets, 1);
	ck_assert_uint_eq(conf(3, 0x10), 1);
	ck_assert_uint_eq(in32(m, 0xcf8), 0x80000000 | 3 << 11 | 0x10);
}
END_TEST

START_TEST(pins_share_lines)
{
	for (unsigned slot = 0; slot < PCI_SLOT_COUNT; slot++)
		for (unsigned pin = 0; pin < 4; pin++)
			ck_assert_uint_eq(pci_intx_gsi(slot, pin), pci_slot_gsi(slot, pin));
	ck_assert_uint_eq(conf(3, 0x3c), 0x010b);	/* INTA of slot 3 is IRQ 11 */
	ck_assert_int_eq(pci_add(pci, 5, &nic), 0);
	ck_assert_int_eq(pci_add(pci, 6, &nic), 0);
	ck_assert_uint_eq(conf(6, 0x3c), 0x010a);
	pci_set_intx(pci, 3, true);
	ck_assert(line_level[1] && !line_level[0]);
	ck_assert_uint_eq(conf(3, 4) >> 16 & PCI_STATUS_INTX, PCI_STATUS_INTX);
	pci_set_intx(pci, 5, true);
	ck_assert_uint_eq(line_calls, 1);
	pci_set_intx(pci, 3, false);
	ck_assert(line_level[1]);			/* slot 5 still holds it */
	pci_set_intx(pci, 6, true);
	ck_assert(line_level[0]);
	pci_set_intx(pci, 5, false);
	ck_assert(!line_level[1]);
}
END_TEST

START_TEST(intx_disable)
{
	pci_set_intx(pci, 3, true);
	set16(3, 4, PCI_COMMAND_INTX_OFF);
	ck_assert(!line_level[1]);
	ck_assert_uint_eq(conf(3, 4) >> 16 & PCI_STATUS_INTX, PCI_STATUS_INTX);	/* still says so */
	set16(3, 4, 0);
	ck_assert(line_level[1]);
	pci_reset(pci);
	ck_assert(!line_level[1]);
	/* No pin, no device, no slot. */
	pci_set_intx(pci, 0, true);
	pci_set_intx(pci, 9, true);
	pci_set_intx(pci, 1000, true);
	ck_assert(!line_level[0] && !line_level[1]);
}
END_TEST

START_TEST(capabilities_are_chained)
{
	const u8 vendor[7] = { 0x09, 0xff, 7, 1, 2, 3, 4 }, msi[4] = { 0x05, 0, 0, 0 }, w[4] = { 0xff, 0xff, 1, 0 };
	u8 big[200] = { 0x09 };

	ck_assert_int_eq(pci_add_capability(pci, 3, vendor, NULL, 7), 0x40);
	ck_assert_int_eq(pci_add_capability(pci, 3, msi, w, 4), 0x48);
	ck_assert_int_eq(pci_add_capability(pci, 3, big, NULL, sizeof big), -ENOSPC);
	ck_assert_uint_eq(conf(3, 4) >> 16 & PCI_STATUS_CAPS, PCI_STATUS_CAPS);
	ck_assert_uint_eq(conf(3, 0x34), 0x40);
	ck_assert_uint_eq(conf(3, 0x40), 0x01074809);
	ck_assert_uint_eq(conf(3, 0x48), 0x00000005);
	written = 0;
	set32(3, 0x48, ~0u);
	ck_assert_uint_eq(conf(3, 0x48), 0x00010005);	/* id and link stay, one bit is writable */
	ck_assert_uint_eq(written, 1);
	pci_reset(pci);
	ck_assert_uint_eq(conf(3, 0x48), 0x00000005);
}
END_TEST

START_TEST(refused_devices)
{
	struct pci_device_info bad = nic;

	ck_assert_int_eq(pci_add(pci, 3, &nic), -EEXIST);
	ck_assert_int_eq(pci_add(pci, 32, &nic), -EINVAL);
	bad.bar[2].size = 24;
	ck_assert_int_eq(pci_add(pci, 7, &bad), -EINVAL);
	bad = nic;
	bad.pin = 5;
	ck_assert_int_eq(pci_add(pci, 7, &bad), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pci");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, linux_finds_mechanism_1);
	tcase_add_test(t, nobody_home);
	tcase_add_test(t, the_address_register_takes_only_dwords);
	tcase_add_test(t, widths_and_lanes);
	tcase_add_test(t, identity_is_read_only);
	tcase_add_test(t, sizing_and_mapping);
	tcase_add_test(t, pins_share_lines);
	tcase_add_test(t, intx_disable);
	tcase_add_test(t, capabilities_are_chained);
	tcase_add_test(t, refused_devices);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
