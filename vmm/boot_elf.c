/*
 * Loader for 32-bit x86 ELF executables; the Linux vmlinux is started with the
 * 32-bit boot protocol's registers, exactly as its own decompressor would
 * start it (boot_params in esi).
 *
 * libelf checks the tables' bounds; the segments' are checked here, because
 * libelf does not look at them.
 *
 * Source: System V ABI, Intel386 supplement, chapter 5.
 */
#include "vmm/boot_loaders.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <gelf.h>
#include <string.h>

#include "base/bits.h"

#define SEGMENTS_MAX 64		/* a kernel has under ten; bounds what a crafted file can make us copy */
/*
 * Linux before 2.6 is linked without load addresses: p_paddr is the virtual
 * address.  RAM never reaches 3 GiB, so such an address can mean only this.
 */
#define LINUX_PAGE_OFFSET 0xc0000000u
#define COMMAND_LINE_MAX  2047u		/* COMMAND_LINE_SIZE of i386 since 2.6.22, without the NUL */
#define INITRD_MAX        0x37ffffffu	/* lowmem of a 3G/1G kernel; all of them accept this */

_Static_assert(RAM_SIZE_MAX <= LINUX_PAGE_OFFSET, "a physical address is never above PAGE_OFFSET");

static u32 to_physical(u32 paddr)
{
	return paddr >= LINUX_PAGE_OFFSET ? paddr - LINUX_PAGE_OFFSET : paddr;
}

int elf_check(const struct blob *k, const char *name, char *err, size_t errlen)
{
	const u8 *id = k->data;
	Elf32_Ehdr eh;

	if (k->len > EI_CLASS && id[EI_CLASS] == ELFCLASS64)
		return boot_fail(err, errlen, ENOEXEC, "%s is a 64-bit image; Ringer runs 32-bit guests",
				 name);
	if (k->len < sizeof eh)
		return boot_fail(err, errlen, ENOEXEC, "%s: truncated ELF file", name);
	memcpy(&eh, k->data, sizeof eh);
	if (id[EI_CLASS] != ELFCLASS32 || id[EI_DATA] != ELFDATA2LSB || id[EI_VERSION] != EV_CURRENT)
		return boot_fail(err, errlen, ENOEXEC, "%s: not a little-endian 32-bit ELF file", name);
	if (eh.e_machine != EM_386)
		return boot_fail(err, errlen, ENOEXEC, "%s: an ELF file for another processor (machine %u)",
				 name, eh.e_machine);
	if (eh.e_type != ET_EXEC)
		return boot_fail(err, errlen, ENOEXEC, "%s: an ELF file, but not an executable (type %u)",
				 name, eh.e_type);
	return 0;
}

/*
 * Headers are taken by the gelf calls, which copy: in the file they may lie at
 * any alignment.  All fields of a 32-bit file fit 32 bits.
 */

/* Where the guest finds virtual address `va` of this segment, if it lies in it. */
static bool translate(const GElf_Phdr *p, u32 va, u32 *pa)
{
	if (va < p->p_vaddr || va - p->p_vaddr >= p->p_memsz)
		return false;
	*pa = to_physical((u32)p->p_paddr) + (va - (u32)p->p_vaddr);
	return true;
}

static int load_segment(struct boot_ctx *c, const GElf_Phdr *p, struct elf_image *im)
{
	const struct blob *k = &c->f->kernel;
	u32 pa = to_physical((u32)p->p_paddr);
	int r;

	if (p->p_offset > k->len || p->p_filesz > k->len - p->p_offset)
		return boot_ctx_fail(c, ENOEXEC, "%s: truncated: a segment lies beyond the file's end",
				     c->f->kernel_name);
	if (p->p_filesz > p->p_memsz)
		return boot_ctx_fail(c, ENOEXEC, "%s: corrupt ELF segment (larger in the file than in "
				     "memory)", c->f->kernel_name);
	r = boot_write_image(c, pa, k->data + p->p_offset, p->p_filesz, p->p_memsz);
	if (r < 0)
		return r;
	if (pa < im->lo)
		im->lo = pa;
	if (pa + p->p_memsz > im->hi)
		im->hi = (u32)(pa + p->p_memsz);	/* inside RAM: no wrap */
	return 0;
}

static int load_all(struct boot_ctx *c, Elf *elf, struct elf_image *im)
{
	GElf_Ehdr eh;
	GElf_Phdr ph;
	size_t n;

	if (!gelf_getehdr(elf, &eh) || elf_getphdrnum(elf, &n) < 0 || !n)
		return boot_ctx_fail(c, ENOEXEC, "%s: no readable ELF program headers", c->f->kernel_name);
	if (n > SEGMENTS_MAX)
		return boot_ctx_fail(c, ENOEXEC, "%s: %zu ELF segments are too many", c->f->kernel_name, n);
	*im = (struct elf_image){ .lo = UINT32_MAX, .entry = (u32)eh.e_entry };
	for (size_t i = 0; i < n; i++) {
		int r;

		if (!gelf_getphdr(elf, (int)i, &ph))
			return boot_ctx_fail(c, ENOEXEC, "%s: no readable ELF program headers",
					     c->f->kernel_name);
		if (ph.p_type != PT_LOAD || !ph.p_memsz)
			continue;
		r = load_segment(c, &ph, im);
		if (r < 0)
			return r;
		/* The entry is virtual in old kernels, and where it is physical this finds nothing. */
		translate(&ph, (u32)eh.e_entry, &im->entry);
	}
	if (!im->hi)
		return boot_ctx_fail(c, ENOEXEC, "%s: an ELF file with nothing to load", c->f->kernel_name);
	if (im->entry < im->lo || im->entry >= im->hi)
		return boot_ctx_fail(c, ENOEXEC, "%s: the entry point 0x%x is outside the image",
				     c->f->kernel_name, im->entry);
	return 0;
}

int elf_load(struct boot_ctx *c, struct elf_image *im)
{
	const struct blob *k = &c->f->kernel;
	Elf *elf;
	int r;

	elf_version(EV_CURRENT);
	elf = elf_memory((char *)k->data, k->len);
	if (!elf || elf_kind(elf) != ELF_K_ELF)
		r = boot_ctx_fail(c, ENOEXEC, "%s: unreadable ELF file (%s)", c->f->kernel_name,
				  elf_errmsg(-1));
	else
		r = load_all(c, elf, im);
	elf_end(elf);
	return r;
}

int elf_place(struct boot_ctx *c)
{
	struct boot_params params;
	struct linux_limits limits;
	struct elf_image im;
	int r = elf_load(c, &im);

	if (r < 0)
		return r;
	memset(&params, 0, sizeof params);
	params.hdr.boot_flag = 0xaa55;
	memcpy(&params.hdr.header, "HdrS", 4);
	params.hdr.version = 0x20f;
	params.hdr.loadflags = LOADED_HIGH;
	params.hdr.code32_start = im.entry;
	params.hdr.cmdline_size = COMMAND_LINE_MAX;
	params.hdr.initrd_addr_max = INITRD_MAX;
	/* Old kernels grow their page tables right behind the image; leave them a megabyte. */
	limits = (struct linux_limits){ max_u64(im.hi, E820_HIGH_START) + (1 << 20), INITRD_MAX,
					COMMAND_LINE_MAX };
	r = linux_place(c, &params, &limits);
	if (r < 0)
		return r;
	c->out->eip = im.entry;
	return 0;
}
