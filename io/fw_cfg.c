/*
 * See io/fw_cfg.h.  Owns the numbering of items and their serialisation; the
 * bytes of kernel, initrd and command line are the configuration's and only
 * pointed to.
 *
 * A bzImage is split as QEMU splits it: SETUP_* is the real-mode part, KERNEL_*
 * the rest.  Writing items is not offered (QEMU dropped it for the port
 * interface, and no item here is writable).
 *
 * Invariant: an item is read only through its table entry's length; beyond its
 * end every item is zeros.
 *
 * Source: QEMU's docs/specs/fw_cfg.rst; the keys' values from its
 * standard-headers/linux/qemu_fw_cfg.h and hw/nvram/fw_cfg.h.
 */
#include "io/fw_cfg.h"

#include <errno.h>
#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"
#include "io/pc.h"

#define PORT_SELECT   0x510u		/* 16 bits */
#define PORT_DATA     0x511u		/* 8 bits */
#define PORT_DMA_HIGH 0x514u		/* 32 bits each, big-endian */
#define PORT_DMA_LOW  0x518u

enum fw_cfg_key {
	KEY_SIGNATURE = 0x00, KEY_ID = 0x01, KEY_RAM_SIZE = 0x03, KEY_NOGRAPHIC = 0x04,
	KEY_NB_CPUS = 0x05, KEY_KERNEL_ADDR = 0x07, KEY_KERNEL_SIZE = 0x08,
	KEY_INITRD_ADDR = 0x0a, KEY_INITRD_SIZE = 0x0b,
	KEY_MAX_CPUS = 0x0f, KEY_KERNEL_DATA = 0x11, KEY_INITRD_DATA = 0x12,
	KEY_CMDLINE_ADDR = 0x13, KEY_CMDLINE_SIZE = 0x14, KEY_CMDLINE_DATA = 0x15,
	KEY_SETUP_ADDR = 0x16, KEY_SETUP_SIZE = 0x17, KEY_SETUP_DATA = 0x18,
	KEY_FILE_DIR = 0x19, KEY_FILE_FIRST = 0x20,
	KEY_INVALID = 0xffff,
};

#define ID_TRADITIONAL  BIT(0)
#define ID_DMA          BIT(1)

/* What a boot loader is told to use; QEMU's choices. */
#define SETUP_ADDR      0x10000u
#define CMDLINE_ADDR    0x20000u
#define KERNEL_ADDR     0x100000u
#define INITRD_MAX      0x38000000u

#define DMA_ERROR       BIT(0)
#define DMA_READ        BIT(1)
#define DMA_SKIP        BIT(2)
#define DMA_SELECT      BIT(3)
#define DMA_WRITE       BIT(4)
#define DMA_SIGNATURE   0x51454d5520434647ull	/* "QEMU CFG" */

struct dma_command { u32 control, length; u64 address; };	/* all big-endian */

#define E820_RAM        1u
#define NAME_SIZE       56u		/* in a directory entry */

static u32 swap32(u32 v) { return __builtin_bswap32(v); }

/* --- Reading --------------------------------------------------------------------- */

static void select(struct fw_cfg *f, u16 key)
{
	f->key = key;
	f->offset = 0;
}

static const struct fw_cfg_item *current(const struct fw_cfg *f)
{
	for (unsigned i = 0; i < f->items; i++)
		if (f->item[i].key == f->key)
			return &f->item[i];
	return NULL;
}

/* What is left of the selected item from the current offset. */
static u32 rest(const struct fw_cfg *f, const u8 **data)
{
	const struct fw_cfg_item *it = current(f);

	if (!it || f->offset >= it->len)
		return 0;
	*data = (const u8 *)it->data + f->offset;
	return it->len - f->offset;
}

static void advance(struct fw_cfg *f, u32 n)
{
	f->offset = n > ~0u - f->offset ? ~0u : f->offset + n;
}

static u8 next_byte(struct fw_cfg *f)
{
	const u8 *data;
	u8 v = rest(f, &data) ? *data : 0;

	advance(f, 1);
	return v;
}

/* --- DMA ------------------------------------------------------------------------- */

static bool dma_copy(struct fw_cfg *f, gpa_t to, u32 len)
{
	static const u8 zeros[256];
	const u8 *data = NULL;
	u32 n = (u32)min_u64(rest(f, &data), len);

	if (!phys_range_is_ram(f->bus->phys, to, len) || (n && !phys_write(f->bus->phys, to, data, n)))
		return false;
	for (u32 at = n, step; at < len; at += step) {
		step = (u32)min_u64(len - at, sizeof zeros);
		if (!phys_write(f->bus->phys, to + at, zeros, step))
			return false;
	}
	return true;
}

static void dma_run(struct fw_cfg *f, gpa_t at)
{
	struct dma_command c;
	u32 control, len, result = 0;

	if (!phys_read(f->bus->phys, at, &c, sizeof c)) {
		trace(unimp, "fw_cfg: DMA command at %#llx is not in RAM", (unsigned long long)at);
		return;
	}
	control = swap32(c.control);
	len = swap32(c.length);
	if (control & DMA_SELECT)
		select(f, (u16)(control >> 16));
	if (control & DMA_READ) {
		if (!dma_copy(f, __builtin_bswap64(c.address), len))
			result = DMA_ERROR;
		advance(f, len);
	} else if (control & DMA_WRITE) {
		trace(unimp, "fw_cfg: DMA write to item %#x", f->key);
		result = DMA_ERROR;
	} else if (control & DMA_SKIP) {
		advance(f, len);
	}
	/* Zero, or the error bit alone, says that it is done. */
	result = swap32(result);
	if (!phys_write(f->bus->phys, at, &result, sizeof result))
		trace(unimp, "fw_cfg: DMA command has vanished");
}

/* --- Ports ------------------------------------------------------------------------ */

static u32 select_read(void *dev, u16 port, unsigned size)
{
	struct fw_cfg *f = dev;

	/* A word or more at the selector reaches the data port with its second byte. */
	return port == PORT_DATA ? next_byte(f) : ~0u;
}

static void select_write(void *dev, u16 port, unsigned size, u32 value)
{
	if (port == PORT_SELECT && size == 2)
		select(dev, (u16)value);
	else
		trace(unimp, "fw_cfg: write of %u bytes to port %#x", size, port);
}

static u32 dma_read(void *dev, u16 port, unsigned size)
{
	u8 bytes[8 + 4] = { 0 };
	u64 signature = __builtin_bswap64(DMA_SIGNATURE);

	store64(bytes, signature);
	return load32(bytes + ((port - PORT_DMA_HIGH) & 7)) & (u32)size_mask(size);
}

static void dma_write(void *dev, u16 port, unsigned size, u32 value)
{
	struct fw_cfg *f = dev;

	if (size != 4) {
		trace(unimp, "fw_cfg: write of %u bytes to port %#x", size, port);
	} else if (port == PORT_DMA_HIGH) {
		f->dma_high = swap32(value);
	} else if (port == PORT_DMA_LOW) {
		gpa_t at = (u64)f->dma_high << 32 | swap32(value);

		f->dma_high = 0;
		dma_run(f, at);
	}
}

static const struct pio_ops select_ops = { .read = select_read, .write = select_write };
static const struct pio_ops dma_ops = { .read = dma_read, .write = dma_write };

/* --- Construction ------------------------------------------------------------------ */

static void add_bytes(struct fw_cfg *f, u16 key, const void *data, u32 len)
{
	CHECK(f->items < FW_CFG_ITEMS_MAX);
	f->item[f->items++] = (struct fw_cfg_item){ key, data ? len : 0, data };
}

static void add_number(struct fw_cfg *f, u16 key, u64 value, u32 len)
{
	CHECK(f->numbers < FW_CFG_NUMBERS);
	f->number[f->numbers] = value;	/* little-endian, like the host */
	add_bytes(f, key, &f->number[f->numbers++], len);
}

static void add_file(struct fw_cfg *f, const char *name, const void *data, u32 len)
{
	u16 key = (u16)(KEY_FILE_FIRST + f->files);
	u8 *entry = f->dir + 4 + f->files * (8 + NAME_SIZE);

	CHECK(f->files < FW_CFG_FILES_MAX);
	store32(entry, swap32(len));
	store16(entry + 4, __builtin_bswap16(key));
	for (unsigned i = 0; name[i]; i++) {
		CHECK(i + 1 < NAME_SIZE);
		entry[8 + i] = (u8)name[i];
	}
	store32(f->dir, swap32(++f->files));
	add_bytes(f, key, data, len);
}

/* The length of a bzImage's real-mode part, 0 if it is something else. */
static u32 setup_len(const struct pc_blob *k)
{
	const u8 *p = k->data;
	u32 sectors;

	if (!p || k->len < 0x206 || load32(p + 0x202) != 0x53726448 /* "HdrS" */)
		return 0;
	sectors = p[0x1f1] ? p[0x1f1] : 4;
	return (u32)min_u64((sectors + 1) * 512, k->len);
}

static void add_kernel(struct fw_cfg *f, const struct pc_config *cfg)
{
	u32 setup = setup_len(&cfg->kernel);
	u64 initrd_end = min_u64(cfg->phys->ram_size, INITRD_MAX);

	add_number(f, KEY_KERNEL_ADDR, KERNEL_ADDR, 4);
	add_number(f, KEY_KERNEL_SIZE, cfg->kernel.len - setup, 4);
	add_bytes(f, KEY_KERNEL_DATA, cfg->kernel.data ? (const u8 *)cfg->kernel.data + setup : NULL,
		  cfg->kernel.len - setup);
	add_number(f, KEY_SETUP_ADDR, SETUP_ADDR, 4);
	add_number(f, KEY_SETUP_SIZE, setup, 4);
	add_bytes(f, KEY_SETUP_DATA, cfg->kernel.data, setup);
	add_number(f, KEY_INITRD_ADDR, cfg->initrd.len < initrd_end ?
		   ALIGN_DOWN(initrd_end - cfg->initrd.len, (u64)PAGE_SIZE) : 0, 4);
	add_number(f, KEY_INITRD_SIZE, cfg->initrd.len, 4);
	add_bytes(f, KEY_INITRD_DATA, cfg->initrd.data, cfg->initrd.len);
	add_number(f, KEY_CMDLINE_ADDR, CMDLINE_ADDR, 4);
	add_number(f, KEY_CMDLINE_SIZE, cfg->cmdline.len, 4);
	add_bytes(f, KEY_CMDLINE_DATA, cfg->cmdline.data, cfg->cmdline.len);
}

void fw_cfg_reset(struct fw_cfg *f)
{
	select(f, KEY_INVALID);
	f->dma_high = 0;
}

int fw_cfg_init(struct fw_cfg *f, struct bus *b, const struct pc_config *cfg)
{
	int r;

	__builtin_memset(f, 0, sizeof *f);
	f->bus = b;
	fw_cfg_reset(f);
	add_bytes(f, KEY_SIGNATURE, "QEMU", 4);
	add_number(f, KEY_ID, ID_TRADITIONAL | ID_DMA, 4);
	add_number(f, KEY_RAM_SIZE, cfg->phys->ram_size, 8);
	add_number(f, KEY_NOGRAPHIC, 1, 2);
	add_number(f, KEY_NB_CPUS, cfg->cpus, 2);
	add_number(f, KEY_MAX_CPUS, cfg->cpus, 2);
	add_kernel(f, cfg);
	/* All of RAM, as QEMU has it; firmware subtracts what it reserves below 1 MiB. */
	store64(f->e820, 0);
	store64(f->e820 + 8, cfg->phys->ram_size);
	store32(f->e820 + 16, E820_RAM);
	add_file(f, "etc/e820", f->e820, sizeof f->e820);
	add_bytes(f, KEY_FILE_DIR, f->dir, 4 + f->files * (8 + NAME_SIZE));

	r = bus_add_pio(b, PORT_SELECT, 2, &select_ops, f, "fw_cfg");
	if (!r)
		r = bus_add_pio(b, PORT_DMA_HIGH, 8, &dma_ops, f, "fw_cfg-dma");
	return r;
}
