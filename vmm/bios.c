/*
 * What a BIOS would have left in the first megabyte: the interrupt vectors,
 * the BIOS data area, the extended BIOS data area and the BIOS segment with
 * the firmware tables.
 *
 * There are no BIOS services.  A guest that calls one anyway (an old kernel's
 * real-mode reboot, a driver asking the video BIOS) must not run off into
 * zeroes: every vector points to an IRET, and the reset vector at F000:FFF0
 * pulls the reset line.
 *
 * Invariant: a reset must find the same bytes again, so everything here is
 * written anew by bios_place and nothing depends on what was in memory.
 *
 * Sources: IBM PS/2 and PC BIOS Interface Technical Reference (data area);
 * Intel MultiProcessor Specification 1.4, chapter 4 (EBDA pointer at 40:0E).
 */
#include "vmm/firmware.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "io/pc.h"

#define IVT_VECTORS 256
#define BDA_BASE    0x400u
#define BDA_SIZE    0x100u

/* BIOS data area, offsets from 0x400. */
#define BDA_COM1        0x00	/* four words: I/O bases */
#define BDA_EBDA_SEG    0x0e
#define BDA_EQUIPMENT   0x10
#define BDA_BASE_MEM_K  0x13
#define BDA_KBD_HEAD    0x1a	/* keyboard ring: head, tail, and at 0x80 its bounds */
#define BDA_KBD_TAIL    0x1c
#define BDA_KBD_START   0x80
#define BDA_KBD_END     0x82
#define KBD_BUFFER      0x1e

#define EQUIP_FPU       BIT(1)
#define EQUIP_SERIAL(n) ((n) << 9)

/* The end of the segment is fixed by the PC: reset vector, date, model. */
#define RESET_VECTOR 0xfff0
#define BIOS_DATE    0xfff5
#define BIOS_MODEL   0xfffe
#define MODEL_AT     0xfc

static const u8 iret_stub[] = { 0xcf };

static const u8 reset_stub[] = {
	0xba, PC_RESET_PORT & 0xff, PC_RESET_PORT >> 8,	/* mov $PC_RESET_PORT, %dx */
	0xb0, 0x06,					/* mov $6, %al */
	0xee,						/* out %al, %dx */
	0xfa,						/* cli */
	0xf4,						/* hlt */
	0xeb, 0xfd,					/* jmp to the hlt */
};

u32 bios_alloc(struct bios_area *a, u32 len, u32 align)
{
	u32 at = ALIGN_UP(a->used, align);

	CHECK(len <= RESET_VECTOR && at <= RESET_VECTOR - len);
	a->used = at + len;
	return BIOS_BASE + at;
}

void *bios_at(struct bios_area *a, u32 gpa)
{
	CHECK(gpa >= BIOS_BASE && gpa - BIOS_BASE < BIOS_SIZE);
	return a->bytes + (gpa - BIOS_BASE);
}

u8 bios_checksum(const void *p, u32 len)
{
	u8 sum = 0;

	for (u32 i = 0; i < len; i++)
		sum = (u8)(sum + ((const u8 *)p)[i]);
	return (u8)-sum;
}

static u32 put_code(struct bios_area *a, const u8 *code, u32 len)
{
	u32 gpa = bios_alloc(a, len, 16);

	memcpy(bios_at(a, gpa), code, len);
	return gpa;
}

static void put_reset_vector(struct bios_area *a)
{
	u32 stub = put_code(a, reset_stub, sizeof reset_stub);
	u8 *jump = a->bytes + RESET_VECTOR;

	jump[0] = 0xea;		/* ljmp $0xf000, $stub */
	store16(jump + 1, (u16)(stub - BIOS_BASE));
	store16(jump + 3, BIOS_BASE >> 4);
	memcpy(a->bytes + BIOS_DATE, "01/01/26", 8);
	a->bytes[BIOS_MODEL] = MODEL_AT;
}

static void build_ivt(u8 *ivt, u32 handler)
{
	for (unsigned i = 0; i < IVT_VECTORS; i++) {
		store16(ivt + i * 4, (u16)(handler - BIOS_BASE));
		store16(ivt + i * 4 + 2, BIOS_BASE >> 4);
	}
}

static void build_bda(u8 *bda)
{
	store16(bda + BDA_COM1, 0x3f8);
	store16(bda + BDA_COM1 + 2, 0x2f8);
	store16(bda + BDA_EBDA_SEG, EBDA_BASE >> 4);
	store16(bda + BDA_EQUIPMENT, EQUIP_FPU | EQUIP_SERIAL(2));
	store16(bda + BDA_BASE_MEM_K, EBDA_BASE >> 10);
	store16(bda + BDA_KBD_HEAD, KBD_BUFFER);
	store16(bda + BDA_KBD_TAIL, KBD_BUFFER);
	store16(bda + BDA_KBD_START, KBD_BUFFER);
	store16(bda + BDA_KBD_END, KBD_BUFFER + 32);
}

bool bios_place(const struct phys_map *phys, unsigned cpus, u32 *rsdp)
{
	u8 low[BDA_BASE + BDA_SIZE] = { 0 }, ebda[EBDA_SIZE] = { EBDA_SIZE >> 10 };
	struct bios_area *a = calloc(1, sizeof *a);
	bool ok;

	CHECK(a);
	build_ivt(low, put_code(a, iret_stub, sizeof iret_stub));
	build_bda(low + BDA_BASE);
	put_reset_vector(a);
	*rsdp = acpi_build(a, cpus);
	mptable_build(a, cpus);
	smbios_build(a, cpus, phys->ram_size);

	ok = phys_write(phys, 0, low, sizeof low) &&
	     phys_write(phys, EBDA_BASE, ebda, sizeof ebda) &&
	     phys_write(phys, BIOS_BASE, a->bytes, sizeof a->bytes);
	free(a);
	return ok;
}
