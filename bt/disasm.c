/*
 * Listings: guest and host code of a block side by side, guest symbols where
 * known.  Capstone decodes both.  Not on the vCPU path: the caller has saved the
 * guest's FPU state and allowed library system calls.
 */
#include <capstone/capstone.h>
#include "base/fmt.h"
#include "base/log.h"
#include "bt/bt.h"

static void show_guest(csh guest, const struct block *b, const u8 *code, u32 off, u32 len)
{
	char line[96];
	cs_insn *in;
	size_t n = cs_disasm(guest, code + off, len, b->eip + off, 1, &in);

	if (n) {
		fmt_sn(line, sizeof(line), "%s %s", in->mnemonic, in->op_str);
		cs_free(in, n);
	} else {
		fmt_sn(line, sizeof(line), "(not an instruction)");
	}
	log_raw("  %08x  %-44s", b->eip + off, line);
}

static void show_host(csh host, const u8 *code, u32 len, bool first)
{
	cs_insn *in;
	size_t n = cs_disasm(host, code, len, (u64)code, 0, &in);

	for (size_t i = 0; i < n; i++) {
		if (!first || i)
			log_raw("  %8s  %-44s", "", "");
		log_raw("| %s %s\n", in[i].mnemonic, in[i].op_str);
	}
	if (n)
		cs_free(in, n);
	else
		log_raw("|\n");
}

void disasm_block(struct bt *bt, const struct block *b, const u8 *guest_code)
{
	bool code32 = b->mode & MODE_CODE32;
	csh guest, host;
	u32 off, prev = 0;
	const char *s = bt->symbol ? bt->symbol(bt->symbol_opaque, b->eip, &off) : NULL;

	if (cs_open(CS_ARCH_X86, code32 ? CS_MODE_32 : CS_MODE_16, &guest) != CS_ERR_OK)
		return;
	if (cs_open(CS_ARCH_X86, CS_MODE_64, &host) != CS_ERR_OK) {
		cs_close(&guest);
		return;
	}
	log_raw("block %u at %08x", block_id(bt, b), b->eip);
	if (s)
		log_raw(" <%s+0x%x>", s, off);
	log_raw(" mode %04x: %u instructions, %u bytes -> %u bytes and %u cold\n", b->mode, b->insns, b->guest_len, b->host_len,
		b->cold_len);
	for (u32 i = 0; i < b->map_count; i++) {
		const struct map_entry *m = &bt->maps[b->map + i];
		u32 end = i + 1 < b->map_count ? bt->maps[b->map + i + 1].host : b->host_len;
		bool fresh = i == 0 || m->guest != prev;

		if (m->host == end && !fresh)
			continue;
		if (fresh)
			show_guest(guest, b, guest_code, m->guest, b->guest_len - m->guest);
		show_host(host, bt->rx + b->host + m->host, end - m->host, fresh);
		prev = m->guest;
	}
	if (b->cold_len) {
		log_raw("  %8s  %-44s", "", "cold part");
		show_host(host, bt->rx + b->cold, b->cold_len, true);
	}
	cs_close(&host);
	cs_close(&guest);
}
