/*
 * QEMU's firmware configuration device: named and numbered items of bytes that
 * the guest reads by port or by DMA.  Read-only.
 */
#ifndef IO_FW_CFG_H
#define IO_FW_CFG_H

#include "io/bus.h"

struct pc_config;

#define FW_CFG_ITEMS_MAX 24u
#define FW_CFG_FILES_MAX 4u
#define FW_CFG_NUMBERS   16u

struct fw_cfg_item { u16 key; u32 len; const void *data; };

struct fw_cfg {
	struct bus *bus;
	u16 key;			/* selected */
	u32 offset;
	u32 dma_high;
	unsigned items, numbers, files;
	struct fw_cfg_item item[FW_CFG_ITEMS_MAX];
	u64 number[FW_CFG_NUMBERS];	/* where integer items live */
	u8 e820[20];
	u8 dir[4 + FW_CFG_FILES_MAX * 64];
};

MUST_USE int fw_cfg_init(struct fw_cfg *f, struct bus *b, const struct pc_config *cfg);
void fw_cfg_reset(struct fw_cfg *f);

#endif
