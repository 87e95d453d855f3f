/*
 * Loader for Multiboot 1 kernels, by their ELF headers or by the addresses in
 * the multiboot header (the "a.out kludge"), which win when both are there.
 *
 * Where the specification leaves a choice, this does what QEMU's -kernel does,
 * because that is what small kernels are tested with: modules follow the
 * kernel in memory, page-aligned; a request for a video mode is ignored.
 *
 * Source: Multiboot Specification 0.6.96, sections 3.1-3.3.
 */
#include "vmm/boot_loaders.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"

#define SEARCH_LIMIT 8192u		/* the header is within these first bytes, on a 4-byte boundary */
#define HEADER_MAGIC 0x1badb002u
#define LOADED_MAGIC 0x2badb002u	/* eax at entry */
#define BOOT_DEVICE  0x8000ffffu	/* first hard disk, no partition: QEMU's value */
#define LOADER_NAME  "Ringer"

/* Header flags.  The lower half are demands that a loader must understand. */
#define WANT_PAGE_ALIGN BIT(0)
#define WANT_MEMORY     BIT(1)
#define WANT_VIDEO      BIT(2)
#define HAS_ADDRESSES   BIT(16)
#define DEMANDS         0xffffu

struct mb_header {
	u32 magic, flags, checksum;
	u32 header_addr, load_addr, load_end, bss_end, entry;	/* with HAS_ADDRESSES */
};

/* The information structure up to boot_loader_name, all that is filled in. */
struct mb_info {
	u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
	u32 syms[4];
	u32 mmap_length, mmap_addr, drives_length, drives_addr, config_table;
	u32 boot_loader_name;
	u32 unused[12];			/* APM, VBE, frame buffer: flags say absent */
};
_Static_assert(offsetof(struct mb_info, mmap_length) == 44 &&
	       offsetof(struct mb_info, boot_loader_name) == 64, "section 3.3");

#define INFO_MEMORY      BIT(0)
#define INFO_BOOT_DEVICE BIT(1)
#define INFO_CMDLINE     BIT(2)
#define INFO_MODS        BIT(3)
#define INFO_MMAP        BIT(6)
#define INFO_LOADER_NAME BIT(9)

struct mb_mmap { u32 size; u64 base, len; u32 type; } __attribute__((packed));
struct mb_module { u32 start, end, string, reserved; };

/* The boot information page. */
struct mb_page {
	struct mb_info info;
	struct mb_mmap mmap[E820_ENTRIES];
	struct mb_module modules[];
};

struct strings { u32 used; };		/* bytes taken from BOOT_CMDLINE_BASE */

static bool read_header(const struct blob *k, u64 at, struct mb_header *h)
{
	const u8 *p = k->data + at;
	bool whole = k->len - at >= sizeof *h;

	memset(h, 0, sizeof *h);
	memcpy(h, p, whole ? sizeof *h : 12);
	return h->magic == HEADER_MAGIC && (u32)(h->magic + h->flags + h->checksum) == 0 &&
	       (whole || !(h->flags & HAS_ADDRESSES));
}

s64 multiboot_find_header(const struct blob *k)
{
	struct mb_header h;

	for (u64 at = 0; at + 12 <= SEARCH_LIMIT && at + 12 <= k->len; at += 4)
		if (load32(k->data + at) == HEADER_MAGIC && read_header(k, at, &h))
			return (s64)at;
	return -1;
}

static int corrupt(struct boot_ctx *c, const char *why)
{
	return boot_ctx_fail(c, ENOEXEC, "%s: corrupt multiboot header (%s)", c->f->kernel_name, why);
}

/* Load by the header's own addresses; `at` is the header's offset in the file. */
static int load_by_addresses(struct boot_ctx *c, const struct mb_header *h, u64 at,
			     struct elf_image *im)
{
	const struct blob *k = &c->f->kernel;
	u64 from, file_len, mem_len;
	int r;

	if (h->header_addr < h->load_addr || h->header_addr - h->load_addr > at)
		return corrupt(c, "load_addr");
	from = at - (h->header_addr - h->load_addr);
	file_len = k->len - from;
	if (h->load_end) {
		if (h->load_end < h->load_addr)
			return corrupt(c, "load_end_addr");
		if (h->load_end - h->load_addr > file_len)
			return boot_ctx_fail(c, ENOEXEC, "%s: truncated: the multiboot header promises "
					     "%u bytes, the file has %llu", c->f->kernel_name,
					     h->load_end - h->load_addr, (unsigned long long)file_len);
		file_len = h->load_end - h->load_addr;
	}
	mem_len = file_len;
	if (h->bss_end) {
		if (h->bss_end < h->load_addr || h->bss_end - h->load_addr < file_len)
			return corrupt(c, "bss_end_addr");
		mem_len = h->bss_end - h->load_addr;
	}
	r = boot_write_image(c, h->load_addr, k->data + from, file_len, mem_len);
	if (r < 0)
		return r;
	*im = (struct elf_image){ h->load_addr, (u32)(h->load_addr + mem_len), h->entry };
	if (im->entry < im->lo || im->entry >= im->hi)
		return corrupt(c, "entry_addr");
	return 0;
}

static int put_string(struct boot_ctx *c, struct strings *s, const char *text, u32 *gpa)
{
	u64 len = strlen(text) + 1;
	int r;

	if (len > BOOT_CMDLINE_MAX - s->used)
		return boot_ctx_fail(c, E2BIG, "the kernel and module command lines are longer than "
				     "%u bytes", BOOT_CMDLINE_MAX);
	*gpa = BOOT_CMDLINE_BASE + s->used;
	r = boot_write(c, *gpa, text, len, "command line");
	s->used += (u32)len;
	return r;
}

/* "path append": what a kernel sees when GRUB or QEMU starts it. */
static int put_cmdline(struct boot_ctx *c, struct strings *s, u32 *gpa)
{
	const char *gap = *c->f->append ? " " : "";
	size_t size = strlen(c->f->kernel_name) + strlen(c->f->append) + 2;
	char *text = malloc(size);
	int r;

	CHECK(text);
	snprintf(text, size, "%s%s%s", c->f->kernel_name, gap, c->f->append);
	r = put_string(c, s, text, gpa);
	free(text);
	return r;
}

static int put_modules(struct boot_ctx *c, struct strings *s, u64 base, struct mb_module *out)
{
	for (unsigned i = 0; i < c->f->module_count; i++) {
		const struct boot_module *m = &c->f->modules[i];
		int r;

		base = ALIGN_UP(base, (u64)PAGE_SIZE);
		r = boot_write(c, base, m->file.data, m->file.len, "multiboot module");
		if (r < 0)
			return r;
		out[i].start = (u32)base;
		base += m->file.len;
		out[i].end = (u32)base;
		r = put_string(c, s, m->string, &out[i].string);
		if (r < 0)
			return r;
	}
	return 0;
}

static int put_info(struct boot_ctx *c, u32 kernel_end)
{
	size_t size = sizeof(struct mb_page) + c->f->module_count * sizeof(struct mb_module);
	struct mb_page *page;
	struct mb_info *info;
	struct strings strings = { 0 };
	int r;

	CHECK(size <= BOOT_GDT_BASE - BOOT_INFO_BASE);
	page = calloc(1, size);
	CHECK(page);
	info = &page->info;
	info->flags = INFO_MEMORY | INFO_BOOT_DEVICE | INFO_CMDLINE | INFO_MODS | INFO_MMAP |
		      INFO_LOADER_NAME;
	info->mem_lower = E820_LOW_END >> 10;
	info->mem_upper = (u32)((e820_high_end(&c->e820) - E820_HIGH_START) >> 10);
	info->boot_device = BOOT_DEVICE;
	info->mmap_addr = BOOT_INFO_BASE + offsetof(struct mb_page, mmap);
	info->mmap_length = c->e820.n * sizeof page->mmap[0];
	for (unsigned i = 0; i < c->e820.n; i++)
		page->mmap[i] = (struct mb_mmap){ sizeof page->mmap[0] - sizeof page->mmap[0].size,
						  c->e820.e[i].base, c->e820.e[i].len,
						  c->e820.e[i].type };
	info->mods_count = c->f->module_count;
	info->mods_addr = BOOT_INFO_BASE + offsetof(struct mb_page, modules);

	r = put_string(c, &strings, LOADER_NAME, &info->boot_loader_name);
	if (r >= 0)
		r = put_cmdline(c, &strings, &info->cmdline);
	if (r >= 0)
		r = put_modules(c, &strings, max_u64(kernel_end, E820_HIGH_START), page->modules);
	if (r >= 0)
		r = boot_write(c, BOOT_INFO_BASE, page, size, "multiboot information");
	free(page);
	return r;
}

int multiboot_place(struct boot_ctx *c)
{
	const struct blob *k = &c->f->kernel;
	s64 at = multiboot_find_header(k);
	struct elf_image im;
	struct mb_header h;
	int r;

	if (at < 0 || !read_header(k, (u64)at, &h))
		return corrupt(c, "none found");
	if (h.flags & DEMANDS & ~(WANT_PAGE_ALIGN | WANT_MEMORY | WANT_VIDEO))
		return boot_ctx_fail(c, ENOEXEC, "%s: demands multiboot features that Ringer does not "
				     "have (flags 0x%x)", c->f->kernel_name, h.flags);
	if (h.flags & HAS_ADDRESSES)
		r = load_by_addresses(c, &h, (u64)at, &im);
	else if (k->len >= 4 && !memcmp(k->data, "\177ELF", 4))
		r = elf_load(c, &im);
	else
		r = corrupt(c, "neither an ELF file nor load addresses");
	if (r < 0)
		return r;
	r = put_info(c, im.hi);
	if (r < 0)
		return r;
	c->out->regs[0] = LOADED_MAGIC;
	c->out->regs[3] = BOOT_INFO_BASE;
	c->out->eip = im.entry;
	return 0;
}
