/*
 * The firmware tables, found as a guest finds them: by scanning low memory
 * for signatures and following pointers, with every checksum and length
 * verified on the way.
 */
#define _GNU_SOURCE	/* memmem */
#include "tests/unit/boot_fixture.h"

#include "io/pc.h"
#include "vmm/firmware.h"

static struct machine m;
static u32 rsdp_from_loader;

static void build(unsigned cpus, u64 ram)
{
	machine_init(&m, ram);
	ck_assert(bios_place(&m.phys, cpus, &rsdp_from_loader));
}

static u8 sum(u32 gpa, u32 len)
{
	u8 s = 0;

	ck_assert_uint_le((u64)gpa + len, m.phys.ram_size);
	for (u32 i = 0; i < len; i++)
		s = (u8)(s + m.phys.ram[gpa + i]);
	return s;
}

/* The one 16-byte aligned occurrence of a signature in the BIOS segment. */
static u32 scan(const char *signature)
{
	u32 found = 0;

	for (u32 a = 0xf0000; a < 0x100000; a += 16)
		if (!memcmp(m.phys.ram + a, signature, strlen(signature))) {
			ck_assert_uint_eq(found, 0);
			found = a;
		}
	ck_assert_uint_ne(found, 0);
	return found;
}

static void in_bios(u32 gpa, u32 len)
{
	ck_assert_uint_ge(gpa, 0xf0000);
	ck_assert_uint_le((u64)gpa + len, 0xffff0);
}

/* Checks a table's header and returns its length. */
static u32 table(u32 gpa, const char *signature)
{
	u32 len = guest32(&m, gpa + 4);

	ck_assert_mem_eq(m.phys.ram + gpa, signature, 4);
	in_bios(gpa, len);
	ck_assert_uint_ge(len, 36);
	ck_assert_uint_eq(sum(gpa, len), 0);
	return len;
}

static u32 find_table(const char *signature)
{
	u32 rsdt = guest32(&m, scan("RSD PTR ") + 16), len = table(rsdt, "RSDT");

	for (u32 at = rsdt + 36; at < rsdt + len; at += 4)
		if (!memcmp(m.phys.ram + guest32(&m, at), signature, 4))
			return guest32(&m, at);
	ck_abort_msg("no %s", signature);
	return 0;
}

START_TEST(root_tables_agree)
{
	u32 rsdp, rsdt, xsdt, n;

	build(1, 4 * MIB);
	rsdp = scan("RSD PTR ");
	ck_assert_uint_eq(rsdp, rsdp_from_loader);
	ck_assert_uint_eq(sum(rsdp, 20), 0);
	ck_assert_uint_eq(guest32(&m, rsdp + 20), 36);
	ck_assert_uint_eq(sum(rsdp, 36), 0);
	rsdt = guest32(&m, rsdp + 16);
	xsdt = guest32(&m, rsdp + 24);
	ck_assert_uint_eq(guest32(&m, rsdp + 28), 0);
	n = (table(rsdt, "RSDT") - 36) / 4;
	ck_assert_uint_eq(table(xsdt, "XSDT"), 36 + n * 8);
	ck_assert_uint_eq(n, 2);
	for (u32 i = 0; i < n; i++) {
		u32 t = guest32(&m, rsdt + 36 + i * 4);

		ck_assert_uint_eq(load64(m.phys.ram + xsdt + 36 + i * 8), t);
		table(t, (char *)m.phys.ram + t);
	}
	machine_free(&m);
}
END_TEST

START_TEST(fadt_names_the_machines_registers)
{
	u32 f, dsdt, facs;
	const u8 *p;

	build(1, 4 * MIB);
	f = find_table("FACP");
	p = m.phys.ram + f;
	ck_assert_uint_eq(table(f, "FACP"), 244);
	ck_assert_uint_eq(p[8], 3);
	facs = load32(p + 36);
	dsdt = load32(p + 40);
	ck_assert_uint_eq(load64(p + 132), facs);
	ck_assert_uint_eq(load64(p + 140), dsdt);
	ck_assert_mem_eq(m.phys.ram + facs, "FACS", 4);
	ck_assert_uint_eq(guest32(&m, facs + 4), 64);
	ck_assert_uint_eq(facs % 64, 0);
	table(dsdt, "DSDT");
	ck_assert_uint_eq(load16(p + 46), PC_ACPI_SCI_IRQ);
	ck_assert_uint_eq(load32(p + 48), 0);			/* no SMI port: always ACPI mode */
	ck_assert_uint_eq(load32(p + 56), PC_ACPI_PM1A_EVT);
	ck_assert_uint_eq(load64(p + 148 + 4), PC_ACPI_PM1A_EVT);
	ck_assert_uint_eq(load32(p + 64), PC_ACPI_PM1A_CNT);
	ck_assert_uint_eq(load64(p + 172 + 4), PC_ACPI_PM1A_CNT);
	ck_assert_uint_eq(load32(p + 76), PC_ACPI_PM_TMR);
	ck_assert_uint_eq(load64(p + 208 + 4), PC_ACPI_PM_TMR);
	ck_assert(load32(p + 112) & BIT(10));			/* reset register supported */
	ck_assert_uint_eq(p[116], 1);				/* ... in I/O space */
	ck_assert_uint_eq(load64(p + 120), PC_RESET_PORT);
	ck_assert_uint_eq(p[128], 0x06);
	machine_free(&m);
}
END_TEST

START_TEST(madt_describes_every_cpu)
{
	unsigned cpus = (unsigned)_i, lapics = 0, ioapics = 0, nmis = 0;
	u32 gsi_of[16], t, len;
	u16 flags_of[16] = { 0 };

	build(cpus, 4 * MIB);
	for (u32 i = 0; i < 16; i++)
		gsi_of[i] = i;
	t = find_table("APIC");
	len = table(t, "APIC");
	ck_assert_uint_eq(guest32(&m, t + 36), PC_LAPIC_BASE);
	ck_assert_uint_eq(guest32(&m, t + 40), 1);
	for (u32 at = t + 44; at < t + len; at += m.phys.ram[at + 1]) {
		const u8 *e = m.phys.ram + at;

		ck_assert_uint_ge(e[1], 2);
		ck_assert_uint_le(at + e[1], t + len);
		switch (e[0]) {
		case 0:
			ck_assert_uint_eq(e[2], lapics);
			ck_assert_uint_eq(e[3], lapics);
			ck_assert_uint_eq(load32(e + 4), 1);
			lapics++;
			break;
		case 1:
			ck_assert_uint_eq(e[2], PC_IOAPIC_ID);
			ck_assert_uint_eq(load32(e + 4), PC_IOAPIC_BASE);
			ck_assert_uint_eq(load32(e + 8), 0);
			ioapics++;
			break;
		case 2:
			ck_assert_uint_eq(e[2], 0);
			ck_assert_uint_lt(e[3], 16);
			gsi_of[e[3]] = load32(e + 4);
			flags_of[e[3]] = load16(e + 8);
			break;
		case 4:
			ck_assert_uint_eq(e[2], 0xff);
			ck_assert_uint_eq(e[5], 1);
			nmis++;
			break;
		default:
			ck_abort_msg("MADT entry type %u", e[0]);
		}
	}
	ck_assert_uint_eq(lapics, cpus);
	ck_assert_uint_eq(ioapics, 1);
	ck_assert_uint_eq(nmis, 1);
	for (u32 i = 0; i < 16; i++) {
		ck_assert_uint_eq(gsi_of[i], i == 0 ? 2 : i);
		ck_assert_uint_eq(flags_of[i], i == PC_ACPI_SCI_IRQ ? 0xd : 0);	/* high, level */
	}
	machine_free(&m);
}
END_TEST

/* An AML integer constant; advances *p. */
static u32 aml_integer(const u8 **p)
{
	const u8 *q = *p;

	switch (*q) {
	case 0x00: *p += 1; return 0;
	case 0x01: *p += 1; return 1;
	case 0x0a: *p += 2; return q[1];
	case 0x0b: *p += 3; return load16(q + 1);
	case 0x0c: *p += 5; return load32(q + 1);
	}
	ck_abort_msg("not an AML integer: %02x", *q);
	return 0;
}

START_TEST(dsdt_routes_as_the_code_does)
{
	bool seen[PCI_SLOTS][4] = { { false } };
	static const u8 panic_io[] = { 0x47, 1, PC_PVPANIC_PORT & 0xff, PC_PVPANIC_PORT >> 8,
				       PC_PVPANIC_PORT & 0xff, PC_PVPANIC_PORT >> 8, 1, 1 };
	const u8 *p, *end, *s5, *hid;
	u32 dsdt;

	build(1, 4 * MIB);
	dsdt = guest32(&m, find_table("FACP") + 40);
	p = m.phys.ram + dsdt;
	end = p + table(dsdt, "DSDT");
	s5 = memmem(p, (size_t)(end - p), "_S5_\x12", 5);
	ck_assert_ptr_nonnull(s5);
	s5 += 7;			/* name, package, its length, its count */
	ck_assert_uint_eq(aml_integer(&s5), PC_ACPI_S5_TYP);
	hid = memmem(p, (size_t)(end - p), "QEMU0001", 9);
	ck_assert_ptr_nonnull(hid);
	ck_assert_ptr_nonnull(memmem(hid, (size_t)(end - hid), panic_io, sizeof panic_io));

	/* _PRT entries: Package of four whose first is 0x....ffff */
	for (; p + 16 < end; p++) {
		const u8 *q = p + 3;
		u32 address, pin, source, gsi;

		if (p[0] != 0x12 || p[2] != 4 || p[3] != 0x0c || load16(p + 4) != 0xffff)
			continue;
		address = aml_integer(&q);
		pin = aml_integer(&q);
		source = aml_integer(&q);
		gsi = aml_integer(&q);
		ck_assert_uint_lt(address >> 16, PCI_SLOTS);
		ck_assert_uint_lt(pin, 4);
		ck_assert_uint_eq(source, 0);
		ck_assert_uint_eq(gsi, pci_slot_gsi(address >> 16, pin));
		ck_assert(!seen[address >> 16][pin]);
		seen[address >> 16][pin] = true;
	}
	for (unsigned slot = 1; slot < PCI_SLOTS; slot++)
		for (unsigned pin = 0; pin < 4; pin++)
			ck_assert_msg(seen[slot][pin], "slot %u pin %u", slot, pin);
	machine_free(&m);
}
END_TEST

START_TEST(mp_table_says_the_same)
{
	static const u8 sizes[] = { 20, 8, 8, 8, 8 };
	unsigned cpus = (unsigned)_i, count[5] = { 0 }, last = 0;
	bool isa[16] = { false }, pci[PCI_SLOTS][4] = { { false } };
	u32 mp, t, len, at;

	build(cpus, 4 * MIB);
	mp = scan("_MP_");
	ck_assert_uint_eq(m.phys.ram[mp + 8], 1);
	ck_assert_uint_eq(sum(mp, 16), 0);
	t = guest32(&m, mp + 4);
	len = load16(m.phys.ram + t + 4);
	in_bios(t, len);
	ck_assert_mem_eq(m.phys.ram + t, "PCMP", 4);
	ck_assert_uint_eq(sum(t, len), 0);
	ck_assert_uint_eq(m.phys.ram[t + 6], m.phys.ram[mp + 9]);
	ck_assert_uint_eq(guest32(&m, t + 36), PC_LAPIC_BASE);

	at = t + 44;
	for (unsigned n = load16(m.phys.ram + t + 34); n; n--) {
		const u8 *e = m.phys.ram + at;

		ck_assert_uint_lt(e[0], 5);
		ck_assert_uint_ge(e[0], last);	/* 4.3: sorted by type */
		last = e[0];
		if (e[0] == 0) {
			ck_assert_uint_eq(e[1], count[0]);
			ck_assert_uint_eq(e[3], count[0] ? 1 : 3);
		} else if (e[0] == 1) {
			ck_assert_mem_eq(e + 2, count[1] ? "ISA   " : "PCI   ", 6);
		} else if (e[0] == 2) {
			ck_assert_uint_eq(guest32(&m, at + 4), PC_IOAPIC_BASE);
		} else if (e[0] == 3 && e[1] == 0) {
			ck_assert_uint_eq(e[6], PC_IOAPIC_ID);
			if (e[4] == 1) {
				ck_assert_uint_lt(e[5], 16);
				isa[e[5]] = true;
				ck_assert_uint_eq(e[7], e[5] == 0 ? 2 : e[5]);
			} else {
				pci[e[5] >> 2][e[5] & 3] = true;
				ck_assert_uint_eq(e[7], pci_slot_gsi(e[5] >> 2, e[5] & 3));
				ck_assert_uint_eq(load16(e + 2), 0xf);
			}
		}
		count[e[0]]++;
		at += sizes[e[0]];
	}
	ck_assert_uint_eq(at, t + len);
	ck_assert_uint_eq(count[0], cpus);
	ck_assert_uint_eq(count[1], 2);
	ck_assert_uint_eq(count[2], 1);
	ck_assert_uint_eq(count[4], 2);
	for (unsigned i = 0; i < 16; i++)
		ck_assert(isa[i] == (i != 2 && i != 10 && i != 11));
	for (unsigned slot = 1; slot < PCI_SLOTS; slot++)
		for (unsigned pin = 0; pin < 4; pin++)
			ck_assert(pci[slot][pin]);
	machine_free(&m);
}
END_TEST

/* The n-th string (from 1) behind a structure of len bytes. */
static const char *dmi_string(const u8 *s, unsigned len, unsigned n)
{
	const char *p = (const char *)s + len;

	ck_assert_uint_gt(n, 0);
	while (--n)
		p += strlen(p) + 1;
	return p;
}

START_TEST(smbios_walk)
{
	unsigned cpus = (unsigned)_i, of_type[128] = { 0 };
	u64 ram = 64 * MIB;
	u32 e, t, len, at, longest = 0, n = 0;
	bool end = false;

	build(cpus, ram);
	e = scan("_SM_");
	ck_assert_uint_eq(m.phys.ram[e + 5], 0x1f);
	ck_assert_uint_eq(sum(e, 0x1f), 0);
	ck_assert_mem_eq(m.phys.ram + e + 0x10, "_DMI_", 5);
	ck_assert_uint_eq(sum(e + 0x10, 0xf), 0);
	len = load16(m.phys.ram + e + 0x16);
	t = guest32(&m, e + 0x18);
	in_bios(t, len);
	for (at = t; at < t + len && !end; n++) {
		const u8 *s = m.phys.ram + at;
		u32 next = at + s[1];

		ck_assert_uint_ge(s[1], 4);
		ck_assert_uint_lt(s[0], 128);
		of_type[s[0]]++;
		end = s[0] == 127;
		if (s[0] == 0)
			ck_assert_str_eq(dmi_string(s, s[1], s[8]), "01/01/2026");
		if (s[0] == 1) {
			ck_assert_str_eq(dmi_string(s, s[1], s[4]), "Ringer");
			ck_assert_str_eq(dmi_string(s, s[1], s[5]), "PC");
		}
		if (s[0] == 17)
			ck_assert_uint_eq(load16(s + 0xc), ram / MIB);
		if (s[0] == 19)
			ck_assert_uint_eq(load32(s + 8), ram / 1024 - 1);
		while (load16(m.phys.ram + next))
			next++;
		next += 2;
		if (next - at > longest)
			longest = next - at;
		at = next;
	}
	ck_assert_uint_eq(at, t + len);
	ck_assert(end);
	ck_assert_uint_eq(load16(m.phys.ram + e + 8), longest);
	ck_assert_uint_eq(load16(m.phys.ram + e + 0x1c), n);
	ck_assert_uint_eq(of_type[4], cpus);
	ck_assert_uint_eq(of_type[0] + of_type[1] + of_type[3] + of_type[16] + of_type[17] +
			  of_type[19] + of_type[32], 7);
	machine_free(&m);
}
END_TEST

START_TEST(bios_data_area)
{
	const u8 *p;

	build(1, 4 * MIB);
	p = m.phys.ram;
	ck_assert_uint_eq(load16(p + 0x400), 0x3f8);
	ck_assert_uint_eq(load16(p + 0x402), 0x2f8);
	ck_assert_uint_eq(load16(p + 0x40e), 0x9fc0);
	ck_assert_uint_eq(load16(p + 0x410), 0x0402);	/* FPU, two serial ports */
	ck_assert_uint_eq(load16(p + 0x413), 639);
	ck_assert_uint_eq(p[0x9fc00], 1);
	for (unsigned v = 0; v < 256; v++) {
		u32 handler = load16(p + v * 4) + load16(p + v * 4 + 2) * 16u;

		in_bios(handler, 1);
		ck_assert_uint_eq(p[handler], 0xcf);	/* iret */
	}
	ck_assert_uint_eq(p[0xffff0], 0xea);
	ck_assert_uint_eq(load16(p + 0xffff3), 0xf000);
	ck_assert_mem_eq(p + 0xf0000 + load16(p + 0xffff1), "\xba\xf9\x0c\xb0\x06\xee", 6);
	machine_free(&m);
}
END_TEST

START_TEST(e820_answers)
{
	struct e820_map map;

	e820_build(&map, 64 * MIB);
	ck_assert_uint_eq(e820_high_end(&map), 64 * MIB);
	for (unsigned i = 1; i < map.n; i++)
		ck_assert_uint_ge(map.e[i].base, map.e[i - 1].base + map.e[i - 1].len);
	ck_assert(e820_is_usable(&map, 0, 0x9fc00));
	ck_assert(!e820_is_usable(&map, 0, 0x9fc01));
	ck_assert(!e820_is_usable(&map, 0x9fbff, 2));
	ck_assert(!e820_is_usable(&map, 0xf0000, 1));
	ck_assert(!e820_is_usable(&map, 0xfffff, 2));
	ck_assert(e820_is_usable(&map, 0x100000, 63 * MIB));
	ck_assert(!e820_is_usable(&map, 0x100000, 63 * MIB + 1));
	ck_assert(!e820_is_usable(&map, 64 * MIB, 1));
	ck_assert(e820_is_usable(&map, 64 * MIB, 0));
	ck_assert(!e820_is_usable(&map, 0x100000, ~0ull));
	ck_assert(!e820_is_usable(&map, ~0ull, 2));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("boot_firmware");
	TCase *t = tcase_create("tables");

	tcase_add_test(t, root_tables_agree);
	tcase_add_test(t, fadt_names_the_machines_registers);
	tcase_add_loop_test(t, madt_describes_every_cpu, 1, 9);
	tcase_add_test(t, dsdt_routes_as_the_code_does);
	tcase_add_loop_test(t, mp_table_says_the_same, 1, 9);
	tcase_add_loop_test(t, smbios_walk, 1, 9);
	tcase_add_test(t, bios_data_area);
	tcase_add_test(t, e820_answers);
	suite_add_tcase(s, t);
	return run_suite(s);
}
