/*
 * SMBIOS 2.4 tables, as few as make a guest know what it runs on: BIOS,
 * system, chassis, processors, memory, boot status.
 *
 * The BIOS date matters: 32-bit Linux trusts the host bridge's _CRS and ACPI
 * itself only from BIOSes that are young enough (2008 and 2001).
 *
 * Source: DMTF DSP0134 2.4, clauses 2.1 and 3.
 */
#include "vmm/firmware.h"

#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "vmm/e820.h"

#define PACKED __attribute__((packed))

#define VENDOR  "Ringer"
#define PRODUCT "PC"
#define VERSION "0.1"
#define DATE    "01/01/2026"

struct smbios_entry {
	char anchor[4];
	u8 checksum, length, major, minor;
	u16 max_structure;
	u8 revision, formatted[5];
	char dmi_anchor[5];
	u8 dmi_checksum;
	u16 table_length;
	u32 table;
	u16 count;
	u8 bcd_revision;
} PACKED;
_Static_assert(sizeof(struct smbios_entry) == 0x1f, "DSP0134 2.4, 2.1");

struct smbios_head { u8 type, length; u16 handle; } PACKED;

struct smbios_bios {		/* type 0 */
	struct smbios_head h;
	u8 vendor, version;
	u16 segment;
	u8 date, rom_size;
	u64 characteristics;
	u8 extension[2], major, minor, ec_major, ec_minor;
} PACKED;

struct smbios_system {		/* type 1 */
	struct smbios_head h;
	u8 manufacturer, product, version, serial;
	u8 uuid[16];
	u8 wake_up, sku, family;
} PACKED;

struct smbios_chassis {		/* type 3 */
	struct smbios_head h;
	u8 manufacturer, type, version, serial, asset;
	u8 boot_state, power_state, thermal_state, security;
	u32 oem;
	u8 height, cords, elements, element_size;
} PACKED;

struct smbios_cpu {		/* type 4 */
	struct smbios_head h;
	u8 socket, type, family, manufacturer;
	u64 id;
	u8 version, voltage;
	u16 clock, max_speed, speed;
	u8 status, upgrade;
	u16 cache[3];
	u8 serial, asset, part;
} PACKED;

struct smbios_array {		/* type 16 */
	struct smbios_head h;
	u8 location, use, correction;
	u32 capacity_k;
	u16 error_handle, devices;
} PACKED;

struct smbios_memory {		/* type 17 */
	struct smbios_head h;
	u16 array, error_handle, total_width, data_width, size_mb;
	u8 form, set, locator, bank, type;
	u16 detail, speed;
	u8 manufacturer, serial, asset, part;
} PACKED;

struct smbios_mapped {		/* type 19 */
	struct smbios_head h;
	u32 start_k, end_k;
	u16 array;
	u8 width;
} PACKED;

struct smbios_boot {		/* type 32 */
	struct smbios_head h;
	u8 reserved[6], status[10];
} PACKED;

_Static_assert(sizeof(struct smbios_bios) == 0x18 && sizeof(struct smbios_system) == 0x1b &&
	       sizeof(struct smbios_chassis) == 0x15 && sizeof(struct smbios_cpu) == 0x23 &&
	       sizeof(struct smbios_array) == 0x0f && sizeof(struct smbios_memory) == 0x1b &&
	       sizeof(struct smbios_mapped) == 0x0f && sizeof(struct smbios_boot) == 0x14,
	       "DSP0134 2.4, clause 3.3: the lengths for version 2.4");

enum {
	HANDLE_BIOS = 0x000, HANDLE_SYSTEM = 0x100, HANDLE_CHASSIS = 0x300, HANDLE_CPU = 0x400,
	HANDLE_ARRAY = 0x1000, HANDLE_MEMORY = 0x1100, HANDLE_MAPPED = 0x1300,
	HANDLE_BOOT = 0x2000, HANDLE_END = 0x7f00,
};
#define NO_HANDLE 0xfffe		/* error information is not provided */
#define UNKNOWN   2			/* the value of most enumerations */

struct table {
	u8 bytes[4096];
	u16 len, count, longest;
};

/*
 * Append a structure and its strings (NULL-terminated list); field values are
 * the strings' numbers, from 1.
 */
static void add(struct table *t, void *structure, u8 type, u8 length, u16 handle,
		const char *const *strings)
{
	struct smbios_head *h = structure;
	u16 start = t->len;

	*h = (struct smbios_head){ type, length, handle };
	CHECK(length <= sizeof t->bytes - t->len);
	memcpy(t->bytes + t->len, structure, length);
	t->len = (u16)(t->len + length);
	for (unsigned i = 0; strings && strings[i]; i++) {
		size_t n = strlen(strings[i]) + 1;

		CHECK(n <= sizeof t->bytes - t->len);
		memcpy(t->bytes + t->len, strings[i], n);
		t->len = (u16)(t->len + n);
	}
	/* A second NUL ends the list; an empty list is two NULs. */
	t->len = (u16)(t->len + (strings && strings[0] ? 1 : 2));
	CHECK(t->len <= sizeof t->bytes);
	t->count++;
	if (t->len - start > t->longest)
		t->longest = (u16)(t->len - start);
}

#define ADD(t, s, type, handle, ...) \
	add(t, &(s), type, sizeof(s), (u16)(handle), (const char *const []){ __VA_ARGS__, NULL })

static void add_identity(struct table *t)
{
	struct smbios_bios bios = {
		.vendor = 1, .version = 2, .segment = BIOS_BASE >> 4, .date = 3,
		.rom_size = BIOS_SIZE / 0x10000 - 1,
		.characteristics = BIT(7),			/* PCI is supported */
		.extension = { BIT(0), BIT(2) | BIT(4) },	/* ACPI; targeted content, a virtual machine */
		.major = 0xff, .minor = 0xff, .ec_major = 0xff, .ec_minor = 0xff,
	};
	struct smbios_system sys = {
		.manufacturer = 1, .product = 2, .version = 3, .wake_up = 6 /* power switch */,
		.family = 4,
	};
	struct smbios_chassis chassis = {
		.manufacturer = 1, .type = 1 /* other */, .boot_state = 3 /* safe */,
		.power_state = 3, .thermal_state = 3, .security = UNKNOWN,
	};

	ADD(t, bios, 0, HANDLE_BIOS, VENDOR, VERSION, DATE);
	ADD(t, sys, 1, HANDLE_SYSTEM, VENDOR, PRODUCT, VERSION, "Virtual Machine");
	ADD(t, chassis, 3, HANDLE_CHASSIS, VENDOR);
}

static void add_cpus(struct table *t, unsigned cpus)
{
	for (unsigned i = 0; i < cpus; i++) {
		struct smbios_cpu cpu = {
			.socket = 1, .type = 3 /* central */, .family = 1 /* other */,
			.manufacturer = 2, .status = 0x41 /* populated, enabled */, .upgrade = 1,
			.cache = { 0xffff, 0xffff, 0xffff },
		};
		char socket[16];

		snprintf(socket, sizeof socket, "CPU %u", i);
		ADD(t, cpu, 4, HANDLE_CPU + i, socket, VENDOR);
	}
}

static void add_memory(struct table *t, u64 ram_size)
{
	struct smbios_array array = {
		.location = 1 /* other */, .use = 3 /* system memory */, .correction = 3 /* none */,
		.capacity_k = (u32)(ram_size >> 10), .error_handle = NO_HANDLE, .devices = 1,
	};
	struct smbios_memory device = {
		.array = HANDLE_ARRAY, .error_handle = NO_HANDLE,
		.total_width = 0xffff, .data_width = 0xffff,
		.size_mb = (u16)(ram_size >> 20), .form = 9 /* DIMM */, .locator = 1,
		.type = 7 /* RAM */, .detail = BIT(1) /* other */,
	};
	struct smbios_mapped mapped = {
		.start_k = 0, .end_k = (u32)(ram_size >> 10) - 1, .array = HANDLE_ARRAY, .width = 1,
	};

	add(t, &array, 16, sizeof array, HANDLE_ARRAY, NULL);
	ADD(t, device, 17, HANDLE_MEMORY, "DIMM 0");
	add(t, &mapped, 19, sizeof mapped, HANDLE_MAPPED, NULL);
}

void smbios_build(struct bios_area *a, unsigned cpus, u64 ram_size)
{
	struct table t = { .len = 0 };
	struct smbios_boot boot = { .status = { 0 } };	/* no errors */
	struct smbios_head end;
	struct smbios_entry *e;
	u32 gpa = bios_alloc(a, sizeof *e, 16), table;

	add_identity(&t);
	add_cpus(&t, cpus);
	add_memory(&t, ram_size);
	add(&t, &boot, 32, sizeof boot, HANDLE_BOOT, NULL);
	add(&t, &end, 127, sizeof end, HANDLE_END, NULL);
	table = bios_alloc(a, t.len, 16);
	memcpy(bios_at(a, table), t.bytes, t.len);

	e = bios_at(a, gpa);
	memcpy(e->anchor, "_SM_", 4);
	e->length = sizeof *e;
	e->major = 2;
	e->minor = 4;
	e->max_structure = t.longest;
	memcpy(e->dmi_anchor, "_DMI_", 5);
	e->table_length = t.len;
	e->table = table;
	e->count = t.count;
	e->bcd_revision = 0x24;
	e->dmi_checksum = bios_checksum(e->dmi_anchor, sizeof *e - offsetof(struct smbios_entry, dmi_anchor));
	e->checksum = bios_checksum(e, sizeof *e);
}
