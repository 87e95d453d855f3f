/*
 * Loader for zImage and bzImage: the Linux/x86 32-bit boot protocol, versions
 * 2.00 (Linux 1.3.73) to 2.15.
 *
 * The image is a real-mode setup part, which is skipped, and a protected-mode
 * part, which goes to 1 MiB (a zImage: to 0x1000, where its setup code would
 * have moved it) or, when relocatable, to the address it prefers.  Fields
 * younger than the image's protocol version are never read: old images have
 * code in their place.
 *
 * Every number in the header is untrusted; parse() turns it into a struct
 * image whose fields are within the file.
 *
 * Source: Documentation/arch/x86/boot.rst.
 */
#include "vmm/boot_loaders.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <string.h>

#include "base/bits.h"

#define SECTOR        512u
#define HEADER_START  offsetof(struct boot_params, hdr)
#define HEADER_LIMIT  offsetof(struct boot_params, edd_mbr_sig_buffer)	/* the field behind hdr */
#define HEADER_MAGIC  0x53726448u	/* "HdrS" */

_Static_assert(HEADER_START == 0x1f1, "boot.rst: the setup header starts at 0x1f1");
_Static_assert(offsetof(struct boot_params, hdr.header) == 0x202, "boot.rst");
_Static_assert(offsetof(struct boot_params, hdr.init_size) == 0x260, "boot.rst");

#define ZIMAGE_BASE      0x1000u
#define ZIMAGE_END       BOOT_INFO_BASE
#define BZIMAGE_BASE     0x100000u
#define OLD_CMDLINE_MAX  255u		/* before 2.06 */
#define OLD_INITRD_MAX   0x37ffffffu	/* before 2.03 */
/*
 * Before 2.10 the header does not say how much memory the kernel unpacks into.
 * Those kernels are gzip'ed, by a factor of less than three.
 */
#define OLD_UNPACK_FACTOR 3u

struct image {
	u16 version;
	u32 header_len;			/* bytes of setup header, from HEADER_START */
	u64 payload, payload_len;	/* the protected-mode part, in the file */
	u32 load;			/* where it goes */
	u32 entry;
	u64 end;			/* first byte it leaves alone, from 1 MiB up */
	u64 initrd_max;
	u32 cmdline_max;
};

static int choose_addresses(const struct setup_header *h, struct image *im, const char *name,
			    char *err, size_t errlen)
{
	u64 load = BZIMAGE_BASE, runtime = BZIMAGE_BASE, size = OLD_UNPACK_FACTOR * im->payload_len;
	u64 align = im->version >= 0x205 && h->kernel_alignment ? h->kernel_alignment : 1;
	bool relocatable = im->version >= 0x205 && h->relocatable_kernel;
	u32 code32 = h->code32_start, linked = BZIMAGE_BASE;

	if (align & (align - 1))
		return boot_fail(err, errlen, ENOEXEC, "%s: corrupt setup header (kernel_alignment 0x%llx)",
				 name, (unsigned long long)align);
	if (!(h->loadflags & LOADED_HIGH)) {
		if (im->payload_len > ZIMAGE_END - ZIMAGE_BASE)
			return boot_fail(err, errlen, EFBIG, "%s: a zImage of %llu bytes does not fit "
					 "below 0x%x", name, (unsigned long long)im->payload_len,
					 ZIMAGE_END);
		load = linked = ZIMAGE_BASE;
	} else if (im->version >= 0x20a) {
		if (h->pref_address > UINT32_MAX)
			return boot_fail(err, errlen, ENOEXEC, "%s: the kernel wants to run at 0x%llx, "
					 "above 4 GiB", name, (unsigned long long)h->pref_address);
		runtime = max_u64(h->pref_address, BZIMAGE_BASE);
		if (relocatable) {
			runtime = ALIGN_UP(runtime, align);
			load = runtime;
		}
		size = h->init_size;
	} else if (relocatable) {
		runtime = ALIGN_UP(runtime, align);
	}
	im->end = runtime + size;
	if (load >= BZIMAGE_BASE)
		im->end = max_u64(im->end, load + im->payload_len);
	if (im->end > UINT32_MAX)
		return boot_fail(err, errlen, ENOEXEC, "%s: the kernel wants memory above 4 GiB", name);
	im->load = (u32)load;

	/* code32_start is an address inside the image as it was linked. */
	if (code32 < linked || code32 - linked >= im->payload_len)
		return boot_fail(err, errlen, ENOEXEC, "%s: the entry point 0x%x is outside the image",
				 name, code32);
	im->entry = im->load + (code32 - linked);
	return 0;
}

static int parse(const struct blob *k, const char *name, struct image *im, char *err, size_t errlen)
{
	struct boot_params page;	/* what of the header the image says it has, the rest zero */
	const struct setup_header *h = &page.hdr;
	u64 setup_len;

	if (k->len < 2 * SECTOR)
		return boot_fail(err, errlen, ENOEXEC, "%s: truncated: %llu bytes are no Linux kernel",
				 name, (unsigned long long)k->len);
	/* boot.rst: the header ends where the jump at its start leads. */
	im->header_len = offsetof(struct boot_params, hdr.header) + k->data[0x201] - HEADER_START;
	im->header_len = (u32)min_u64(im->header_len, HEADER_LIMIT - HEADER_START);
	memset(&page, 0, sizeof page);
	memcpy((u8 *)&page + HEADER_START, k->data + HEADER_START, im->header_len);
	im->version = h->version;
	if (load32(k->data + 0x202) != HEADER_MAGIC || im->version < 0x200)
		return boot_fail(err, errlen, ENOEXEC, "%s: Linux boot protocol older than 2.00", name);

	setup_len = ((h->setup_sects ? h->setup_sects : 4u) + 1u) * SECTOR;
	if (setup_len >= k->len)
		return boot_fail(err, errlen, ENOEXEC, "%s: truncated: its setup code alone has %llu bytes, "
				 "the file %llu", name, (unsigned long long)setup_len,
				 (unsigned long long)k->len);
	im->payload = setup_len;
	im->payload_len = k->len - setup_len;
	/* syssize counts paragraphs, the last one perhaps partly; trustworthy since 2.04. */
	if (im->version >= 0x204 && h->syssize && (u64)h->syssize * 16 > im->payload_len + 15)
		return boot_fail(err, errlen, ENOEXEC, "%s: truncated: %llu bytes of the kernel are missing",
				 name, (unsigned long long)h->syssize * 16 - im->payload_len);
	if (im->version >= 0x20c && (h->xloadflags & XLF_KERNEL_64))
		return boot_fail(err, errlen, ENOEXEC, "%s is a 64-bit (amd64) Linux kernel; "
				 "Ringer runs 32-bit guests", name);
	if (im->payload_len > RAM_SIZE_MAX)
		return boot_fail(err, errlen, EFBIG, "%s: the kernel is larger than a guest's memory can be",
				 name);
	im->initrd_max = im->version >= 0x203 ? h->initrd_addr_max : OLD_INITRD_MAX;
	im->cmdline_max = im->version >= 0x206 && h->cmdline_size ? h->cmdline_size : OLD_CMDLINE_MAX;
	return choose_addresses(h, im, name, err, errlen);
}

int bzimage_check(const struct blob *kernel, const char *name, char *err, size_t errlen)
{
	struct image im;

	return parse(kernel, name, &im, err, errlen);
}

int bzimage_place(struct boot_ctx *c)
{
	const struct blob *k = &c->f->kernel;
	struct boot_params params;
	struct linux_limits limits;
	struct image im;
	int r = parse(k, c->f->kernel_name, &im, c->err, c->errlen);

	if (r < 0)
		return r;
	if (im.end > e820_high_end(&c->e820))
		return boot_ctx_fail(c, ENOMEM, "%s needs memory up to %llu MiB to unpack; the machine has "
				     "%llu MiB", c->f->kernel_name,
				     (unsigned long long)(im.end + 0xfffff) >> 20,
				     (unsigned long long)e820_high_end(&c->e820) >> 20);
	r = boot_write(c, im.load, k->data + im.payload, im.payload_len, "kernel");
	if (r < 0)
		return r;

	memset(&params, 0, sizeof params);
	memcpy((u8 *)&params + HEADER_START, k->data + HEADER_START, im.header_len);
	params.hdr.code32_start = im.entry;
	params.hdr.setup_data = 0;
	limits = (struct linux_limits){ im.end, im.initrd_max, im.cmdline_max };
	r = linux_place(c, &params, &limits);
	if (r < 0)
		return r;
	c->out->eip = im.entry;
	return 0;
}
