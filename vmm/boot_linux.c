/*
 * The Linux/x86 boot protocol's common half: everything that a kernel is told
 * in boot_params (the "zero page"), whether it came as a bzImage or as an ELF
 * vmlinux.
 *
 * Source: Documentation/arch/x86/boot.rst and zero-page.rst.  The layouts are
 * the kernel's own user-space header <asm/bootparam.h>.
 */
#include "vmm/boot_loaders.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

_Static_assert(sizeof(struct boot_params) == PAGE_SIZE, "the zero page is one page");
_Static_assert(sizeof(struct boot_e820_entry) == 20, "written from struct e820_entry");
_Static_assert(BOOT_INFO_BASE + sizeof(struct boot_params) <= BOOT_GDT_BASE, "no overlap");

#define OLD_CL_MAGIC     0xa33f		/* protocols before 2.02: in screen_info */
#define VERSION_CMDLINE  0x0202		/* cmd_line_ptr exists */
#define VERSION_RSDP     0x020e		/* acpi_rsdp_addr exists */
#define LOADER_UNDEFINED 0xff
#define VID_MODE_NORMAL  0xffff
#define EXT_MEM_K_MAX    0xfc00		/* what INT 15h AH=88h can say: up to 64 MiB */

/*
 * The end of memory that the user gave with mem= on the command line, or
 * `end`.  The option is the kernel's and the boot loader's (boot.rst): an
 * initrd above it would be lost.  As in the kernel, the last one counts.
 */
static u64 memory_end(const char *cmdline, u64 end)
{
	u64 limit = end;

	for (const char *p = cmdline; (p = strstr(p, "mem=")); p += 4) {
		char *suffix;
		u64 v;
		unsigned shift = 0;

		if ((p != cmdline && p[-1] != ' ') || p[4] < '0' || p[4] > '9')
			continue;
		v = strtoull(p + 4, &suffix, 0);
		switch (*suffix | 0x20) {
		case 'k': shift = 10; break;
		case 'm': shift = 20; break;
		case 'g': shift = 30; break;
		}
		if (v && v <= end >> shift)
			limit = v << shift;
		else
			limit = end;
	}
	return limit;
}

static int place_cmdline(struct boot_ctx *c, struct boot_params *bp, u32 max)
{
	u64 len = strlen(c->f->append);
	int r;

	max = (u32)min_u64(max, BOOT_CMDLINE_MAX - 1);
	if (len > max)
		return boot_ctx_fail(c, E2BIG, "the kernel command line has %llu characters; "
				     "this kernel takes at most %u",
				     (unsigned long long)len, max);
	r = boot_write(c, BOOT_CMDLINE_BASE, c->f->append, len + 1, "command line");
	if (r < 0)
		return r;
	if (bp->hdr.version >= VERSION_CMDLINE) {
		bp->hdr.cmd_line_ptr = BOOT_CMDLINE_BASE;
	} else {
		bp->screen_info.cl_magic = OLD_CL_MAGIC;
		bp->screen_info.cl_offset = BOOT_CMDLINE_BASE - BOOT_INFO_BASE;
	}
	return 0;
}

/* As high as allowed: the kernel unpacks upwards from its own end. */
static int place_initrd(struct boot_ctx *c, struct boot_params *bp, const struct linux_limits *l)
{
	const struct blob *initrd = &c->f->initrd;
	u64 top, base;
	int r;

	if (!initrd->data)
		return 0;
	top = min_u64(memory_end(c->f->append, e820_high_end(&c->e820)), l->initrd_max + 1);
	base = initrd->len <= top ? ALIGN_DOWN(top - initrd->len, (u64)PAGE_SIZE) : 0;
	if (base < l->kernel_end)
		return boot_ctx_fail(c, ENOMEM, "the initrd (%llu KiB) does not fit between the kernel's "
				     "end at %llu KiB and %llu KiB; give the machine more memory",
				     (unsigned long long)(initrd->len + 1023) >> 10,
				     (unsigned long long)(l->kernel_end + 1023) >> 10,
				     (unsigned long long)top >> 10);
	r = boot_write(c, base, initrd->data, initrd->len, "initrd");
	if (r < 0)
		return r;
	bp->hdr.ramdisk_image = (u32)base;
	bp->hdr.ramdisk_size = (u32)initrd->len;
	return 0;
}

static void describe_memory(const struct boot_ctx *c, struct boot_params *bp)
{
	u64 high_k = (e820_high_end(&c->e820) - E820_HIGH_START) >> 10;

	for (unsigned i = 0; i < c->e820.n; i++)
		bp->e820_table[i] = (struct boot_e820_entry){
			c->e820.e[i].base, c->e820.e[i].len, c->e820.e[i].type };
	bp->e820_entries = (u8)c->e820.n;
	bp->alt_mem_k = (u32)high_k;
	bp->screen_info.ext_mem_k = (u16)min_u64(high_k, EXT_MEM_K_MAX);
}

int linux_place(struct boot_ctx *c, struct boot_params *bp, const struct linux_limits *limits)
{
	int r;

	/*
	 * screen_info stays zero but for the memory size: no columns and no lines
	 * is how a kernel knows that there is no VGA to write to.
	 */
	describe_memory(c, bp);
	bp->hdr.type_of_loader = LOADER_UNDEFINED;
	bp->hdr.vid_mode = VID_MODE_NORMAL;
	bp->hdr.ramdisk_image = 0;
	bp->hdr.ramdisk_size = 0;
	if (bp->hdr.version >= VERSION_RSDP)
		bp->acpi_rsdp_addr = c->rsdp;

	r = place_cmdline(c, bp, limits->cmdline_max);
	if (r < 0)
		return r;
	r = place_initrd(c, bp, limits);
	if (r < 0)
		return r;
	r = boot_write(c, BOOT_INFO_BASE, bp, sizeof *bp, "boot parameters");
	if (r < 0)
		return r;
	c->out->regs[6] = BOOT_INFO_BASE;	/* esi; ebp, edi, ebx are zero (boot.rst) */
	return 0;
}
