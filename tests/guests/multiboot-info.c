/*
 * multiboot-info: what the boot loader leaves: magic, flags, memory sizes, the memory map,
 * the command line; and the CPU's entry state as the runtime saw it.
 * Multiboot Specification 0.6.96, 3.3.
 * Append: alpha beta=1 "gamma delta"
 */
#include "rt.h"

int main(void)
{
	u32 *mb = (u32 *)mb_info;
	group("magic and flags");
	CHECK_EQ(mb_magic, 0x2badb002);
	CHECK(mb[0] & 1);
	CHECK(mb[0] & 4);
	CHECK(mb[0] & 0x40);
	group("command line");
	CHECK(has_word(cmdline, "alpha"));
	CHECK(has_word(cmdline, "beta=1"));
	CHECK(has_word(cmdline, "\"gamma"));
	group("memory");
	CHECK(mb[1] >= 600 && mb[1] <= 640);
	CHECK(mb[2] >= 64 * 1024 - 1024 && mb[2] < 4 * 1024 * 1024);
	u32 len = mb[11], at = mb[12], kib = 0, entries = 0;
	u64 last = 0;
	while (at < mb[12] + len) {
		u32 *e = (u32 *)at;
		u64 base = e[1] | (u64)e[2] << 32, size = e[3] | (u64)e[4] << 32;
		CHECK(e[0] >= 20);
		CHECK(base >= last);
		last = base + size;
		if (e[5] == 1 && base == 0x100000)
			kib = (u32)(size >> 10);
		entries++;
		at += e[0] + 4;
	}
	CHECK(entries >= 2);
	CHECK(kib >= mb[2] - 1024 && kib <= mb[2] + 1024);
	group("RAM is there to its end");
	u32 top = 0x100000 + kib * 1024 - 4;
	wr32(top, 0x12345678);
	wr32(top - 4096, 0x9abcdef0);
	CHECK_EQ(rd32(top), 0x12345678);
	CHECK_EQ(rd32(top - 4096), 0x9abcdef0);
	return 0;
}
