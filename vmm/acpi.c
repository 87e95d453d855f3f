/*
 * ACPI tables: RSDP, RSDT, XSDT, FADT, FACS, MADT and the DSDT that iasl
 * compiled from vmm/dsdt.asl.
 *
 * The registers these tables name are io/'s; the numbers come from io/pc.h.
 * The machine has no SMI command port: ACPI mode is always on.  There are no
 * general-purpose events.
 *
 * Sources: ACPI 2.0c (1.0 for the RSDP's first part); revisions were chosen
 * to be as old as possible, so that kernels from 2.4 on read them: FADT 3
 * (the first with a reset register), MADT 1.
 */
#include "vmm/firmware.h"

#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "dsdt.h"	/* generated; this is the only file that includes it */
#include "io/pc.h"

#define PACKED __attribute__((packed))

struct acpi_header {
	char signature[4];
	u32 length;
	u8 revision, checksum;
	char oem_id[6], oem_table_id[8];
	u32 oem_revision;
	char creator_id[4];
	u32 creator_revision;
} PACKED;

struct acpi_rsdp {
	char signature[8];
	u8 checksum;		/* of the first 20 bytes, all that ACPI 1.0 knows */
	char oem_id[6];
	u8 revision;
	u32 rsdt;
	u32 length;
	u64 xsdt;
	u8 extended_checksum;	/* of all of it */
	u8 reserved[3];
} PACKED;

struct acpi_gas {		/* generic address structure */
	u8 space, bits, offset, access;
	u64 address;
} PACKED;

struct acpi_fadt {
	struct acpi_header h;
	u32 facs, dsdt;
	u8 int_model, pm_profile;
	u16 sci_int;
	u32 smi_cmd;
	u8 acpi_enable, acpi_disable, s4bios_req, pstate_cnt;
	u32 pm1a_evt_blk, pm1b_evt_blk, pm1a_cnt_blk, pm1b_cnt_blk;
	u32 pm2_cnt_blk, pm_tmr_blk, gpe0_blk, gpe1_blk;
	u8 pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len;
	u8 gpe0_blk_len, gpe1_blk_len, gpe1_base, cst_cnt;
	u16 p_lvl2_lat, p_lvl3_lat, flush_size, flush_stride;
	u8 duty_offset, duty_width, day_alrm, mon_alrm, century;
	u16 iapc_boot_arch;
	u8 reserved;
	u32 flags;
	struct acpi_gas reset_reg;
	u8 reset_value, reserved2[3];
	u64 x_facs, x_dsdt;
	struct acpi_gas x_pm1a_evt, x_pm1b_evt, x_pm1a_cnt, x_pm1b_cnt;
	struct acpi_gas x_pm2_cnt, x_pm_tmr, x_gpe0, x_gpe1;
} PACKED;

struct acpi_facs {
	char signature[4];
	u32 length, hardware_signature, waking_vector, global_lock, flags;
	u64 x_waking_vector;
	u8 version, reserved[31];
} PACKED;

struct acpi_madt { struct acpi_header h; u32 lapic_base, flags; } PACKED;
struct madt_lapic { u8 type, len, acpi_id, apic_id; u32 flags; } PACKED;
struct madt_ioapic { u8 type, len, id, reserved; u32 base, gsi_base; } PACKED;
struct madt_override { u8 type, len, bus, irq; u32 gsi; u16 flags; } PACKED;
struct madt_lapic_nmi { u8 type, len, acpi_id; u16 flags; u8 lint; } PACKED;

_Static_assert(sizeof(struct acpi_header) == 36, "ACPI 2.0c, 5.2.5");
_Static_assert(sizeof(struct acpi_rsdp) == 36, "ACPI 2.0c, 5.2.4.3");
_Static_assert(sizeof(struct acpi_fadt) == 244, "ACPI 2.0c, 5.2.8: the length of FADT revision 3");
_Static_assert(sizeof(struct acpi_facs) == 64, "ACPI 2.0c, 5.2.9");
_Static_assert(sizeof(struct madt_lapic) == 8 && sizeof(struct madt_ioapic) == 12 &&
	       sizeof(struct madt_override) == 10 && sizeof(struct madt_lapic_nmi) == 6,
	       "ACPI 2.0c, 5.2.10: the lengths written into the entries");

#define OEM_ID       "RINGER"
#define OEM_TABLE_ID "RINGERPC"

enum { GAS_IO = 1 };
enum { MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_OVERRIDE = 2, MADT_LAPIC_NMI = 4 };

#define MADT_PCAT_COMPAT   BIT(0)	/* there are 8259s as well */
#define MADT_LAPIC_ENABLED BIT(0)
#define MADT_ALL_CPUS      0xff
/* MPS INTI flags: polarity in bits 1:0, trigger mode in bits 3:2; 0 conforms to the bus. */
#define INTI_ACTIVE_HIGH   1u
#define INTI_LEVEL         (3u << 2)

#define FADT_WBINVD       BIT(0)
#define FADT_PROC_C1      BIT(2)
#define FADT_SLP_BUTTON   BIT(5)	/* no sleep button in the fixed registers */
#define FADT_FIX_RTC      BIT(6)	/* no RTC wake status in the fixed registers */
#define FADT_RESET_REG    BIT(10)

#define BOOT_LEGACY_DEVICES BIT(0)
#define BOOT_8042           BIT(1)
#define BOOT_NO_VGA         BIT(2)
#define BOOT_NO_ASPM        BIT(4)

#define NO_C_STATE 0xfff		/* a latency that says "not supported" */
#define PM_DESKTOP 1
#define RESET_VALUE 0x06		/* port 0xcf9: hard reset */
#define CMOS_CENTURY 0x32

static u32 table_alloc(struct bios_area *a, u32 len, const char *signature, u8 revision)
{
	u32 gpa = bios_alloc(a, len, 16);
	struct acpi_header *h = bios_at(a, gpa);

	memcpy(h->signature, signature, sizeof h->signature);
	h->length = len;
	h->revision = revision;
	memcpy(h->oem_id, OEM_ID, sizeof h->oem_id);
	memcpy(h->oem_table_id, OEM_TABLE_ID, sizeof h->oem_table_id);
	h->oem_revision = 1;
	memcpy(h->creator_id, "RNGR", sizeof h->creator_id);
	h->creator_revision = 1;
	return gpa;
}

static u32 table_seal(struct bios_area *a, u32 gpa)
{
	struct acpi_header *h = bios_at(a, gpa);

	h->checksum = 0;
	h->checksum = bios_checksum(h, h->length);
	return gpa;
}

static struct acpi_gas io_register(u16 port, u8 bytes)
{
	/* "access" 0 (undefined): ACPI 1.0 kernels size the access by the width. */
	return (struct acpi_gas){ .space = GAS_IO, .bits = (u8)(bytes * 8), .address = port };
}

static u32 build_facs(struct bios_area *a)
{
	u32 gpa = bios_alloc(a, sizeof(struct acpi_facs), 64);	/* alignment: 5.2.9 */
	struct acpi_facs *f = bios_at(a, gpa);

	memcpy(f->signature, "FACS", sizeof f->signature);
	f->length = sizeof *f;
	f->version = 1;
	return gpa;
}

static u32 build_dsdt(struct bios_area *a)
{
	u32 gpa = bios_alloc(a, sizeof dsdt_aml_code, 16);

	memcpy(bios_at(a, gpa), dsdt_aml_code, sizeof dsdt_aml_code);
	return gpa;		/* iasl has filled in the header and the checksum */
}

static u32 build_fadt(struct bios_area *a, u32 facs, u32 dsdt)
{
	u32 gpa = table_alloc(a, sizeof(struct acpi_fadt), "FACP", 3);
	struct acpi_fadt *f = bios_at(a, gpa);

	f->facs = facs;
	f->x_facs = facs;
	f->dsdt = dsdt;
	f->x_dsdt = dsdt;
	f->int_model = 0;		/* dual 8259 (ACPI 1.0 field) */
	f->pm_profile = PM_DESKTOP;
	f->sci_int = PC_ACPI_SCI_IRQ;
	f->smi_cmd = 0;			/* ACPI mode cannot be left */
	f->pm1a_evt_blk = PC_ACPI_PM1A_EVT;
	f->pm1_evt_len = 4;
	f->x_pm1a_evt = io_register(PC_ACPI_PM1A_EVT, 4);
	f->pm1a_cnt_blk = PC_ACPI_PM1A_CNT;
	f->pm1_cnt_len = 2;
	f->x_pm1a_cnt = io_register(PC_ACPI_PM1A_CNT, 2);
	f->pm_tmr_blk = PC_ACPI_PM_TMR;
	f->pm_tmr_len = 4;
	f->x_pm_tmr = io_register(PC_ACPI_PM_TMR, 4);
	f->p_lvl2_lat = NO_C_STATE;
	f->p_lvl3_lat = NO_C_STATE;
	f->century = CMOS_CENTURY;
	f->iapc_boot_arch = BOOT_LEGACY_DEVICES | BOOT_8042 | BOOT_NO_VGA | BOOT_NO_ASPM;
	/* TMR_VAL_EXT stays clear: reading a 32-bit timer as 24 bits is right too. */
	f->flags = FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_FIX_RTC | FADT_RESET_REG;
	f->reset_reg = io_register(PC_RESET_PORT, 1);
	f->reset_value = RESET_VALUE;
	return table_seal(a, gpa);
}

static u32 build_madt(struct bios_area *a, unsigned cpus)
{
	const struct madt_ioapic ioapic = {
		.type = MADT_IOAPIC, .len = sizeof ioapic, .id = PC_IOAPIC_ID,
		.base = PC_IOAPIC_BASE, .gsi_base = 0,
	};
	const struct madt_override overrides[] = {
		/* The PIT is wired to input 2; input 0 takes the 8259. */
		{ MADT_OVERRIDE, sizeof overrides[0], 0, 0, 2, 0 },
		{ MADT_OVERRIDE, sizeof overrides[0], 0, PC_ACPI_SCI_IRQ, PC_ACPI_SCI_IRQ,
		  INTI_ACTIVE_HIGH | INTI_LEVEL },
	};
	const struct madt_lapic_nmi nmi = {
		.type = MADT_LAPIC_NMI, .len = sizeof nmi, .acpi_id = MADT_ALL_CPUS,
		.flags = 0, .lint = 1,
	};
	u32 len = sizeof(struct acpi_madt) + cpus * sizeof(struct madt_lapic) + sizeof ioapic +
		  sizeof overrides + sizeof nmi;
	u32 gpa = table_alloc(a, len, "APIC", 1);
	struct acpi_madt *m = bios_at(a, gpa);
	u8 *at = (u8 *)(m + 1);

	m->lapic_base = PC_LAPIC_BASE;
	m->flags = MADT_PCAT_COMPAT;
	for (unsigned i = 0; i < cpus; i++) {
		struct madt_lapic l = {
			.type = MADT_LAPIC, .len = sizeof l, .acpi_id = (u8)i,
			.apic_id = (u8)i, .flags = MADT_LAPIC_ENABLED,
		};
		memcpy(at, &l, sizeof l);
		at += sizeof l;
	}
	memcpy(at, &ioapic, sizeof ioapic);
	at += sizeof ioapic;
	memcpy(at, overrides, sizeof overrides);
	at += sizeof overrides;
	memcpy(at, &nmi, sizeof nmi);
	at += sizeof nmi;
	CHECK(at == (u8 *)m + len);
	return table_seal(a, gpa);
}

/* RSDT and XSDT: the same list, with entries of 4 and of 8 bytes. */
static u32 build_root(struct bios_area *a, const char *signature, u32 entry_size,
		      const u32 *tables, u32 n)
{
	u32 gpa = table_alloc(a, sizeof(struct acpi_header) + n * entry_size, signature, 1);
	u8 *entry = (u8 *)bios_at(a, gpa) + sizeof(struct acpi_header);

	for (u32 i = 0; i < n; i++)
		store32(entry + i * entry_size, tables[i]);	/* below 4 GiB: upper half zero */
	return table_seal(a, gpa);
}

u32 acpi_build(struct bios_area *a, unsigned cpus)
{
	u32 gpa = bios_alloc(a, sizeof(struct acpi_rsdp), 16);
	struct acpi_rsdp *r = bios_at(a, gpa);
	u32 facs = build_facs(a), dsdt = build_dsdt(a);
	u32 tables[] = { build_fadt(a, facs, dsdt), build_madt(a, cpus) };

	memcpy(r->signature, "RSD PTR ", sizeof r->signature);
	memcpy(r->oem_id, OEM_ID, sizeof r->oem_id);
	r->revision = 2;
	r->rsdt = build_root(a, "RSDT", 4, tables, ARRAY_SIZE(tables));
	r->xsdt = build_root(a, "XSDT", 8, tables, ARRAY_SIZE(tables));
	r->length = sizeof *r;
	r->checksum = bios_checksum(r, offsetof(struct acpi_rsdp, length));
	r->extended_checksum = bios_checksum(r, sizeof *r);
	return gpa;
}
