/*
 * Between vmm/boot.c and the loaders: where things lie in low memory, the
 * context one placement works in, and one function a protocol.
 */
#ifndef VMM_BOOT_LOADERS_H
#define VMM_BOOT_LOADERS_H

#include "base/types.h"
#include "vmm/boot.h"
#include "vmm/e820.h"

/*
 * Conventional memory as the loaders use it.  Linux before protocol 2.02 knows
 * its parameters to be at 0x90000 and a zImage is put at 0x1000-0x90000, so
 * everything of ours lies between 0x90000 and the EBDA for all protocols.
 */
#define BOOT_INFO_BASE    0x90000u	/* boot_params or multiboot information; the stack below */
#define BOOT_GDT_BASE     0x91000u
#define BOOT_CMDLINE_BASE 0x92000u	/* command line; for multiboot, all strings */
#define BOOT_CMDLINE_MAX  (E820_LOW_END - BOOT_CMDLINE_BASE)	/* bytes, with the NUL */

#define BOOT_IMAGE_MIN    0x500u	/* an image stays above the IVT and BIOS data area */

#define BOOT_CS 0x10
#define BOOT_DS 0x18

struct boot_ctx {
	const struct boot_files *f;
	const struct phys_map *phys;
	struct e820_map e820;
	u32 rsdp;		/* guest physical address of the ACPI root pointer */
	struct boot_state *out;
	char *err;
	size_t errlen;
};

/* Write the user's line into err; returns -code. */
int boot_fail(char *err, size_t errlen, int code, const char *fmt, ...) PRINTF_LIKE(4, 5);
#define boot_ctx_fail(c, ...) boot_fail((c)->err, (c)->errlen, __VA_ARGS__)

/*
 * Copy to / clear usable guest memory.  -ENOMEM with a line that names `what`
 * if part of the range is not usable RAM of this machine.
 */
int boot_write(struct boot_ctx *c, u64 gpa, const void *data, u64 len, const char *what);
int boot_zero(struct boot_ctx *c, u64 gpa, u64 len, const char *what);

/*
 * The same for a part of the kernel's image at an address that the image
 * chose: -ENOEXEC also if it covers the BIOS data area or our own boot
 * information.
 */
int boot_write_image(struct boot_ctx *c, u64 gpa, const void *data, u64 file_len, u64 mem_len);

/*
 * The kind of an image; refuses what no loader here can start.  `name` is for
 * messages.  0 or negative errno with a line in err.
 */
int boot_identify(const struct blob *kernel, const char *name, enum image_kind *kind,
		  char *err, size_t errlen);

/* One protocol each: kernel and its information into RAM, *c->out complete. */
int bzimage_place(struct boot_ctx *c);		/* vmm/boot_bzimage.c */
int elf_place(struct boot_ctx *c);		/* vmm/boot_elf.c */
int multiboot_place(struct boot_ctx *c);	/* vmm/boot_multiboot.c */

/* Refuse a bzImage that is corrupt or 64-bit, before anything is placed. */
int bzimage_check(const struct blob *kernel, const char *name, char *err, size_t errlen);
/* Refuse an ELF file that is not a 32-bit x86 executable. */
int elf_check(const struct blob *kernel, const char *name, char *err, size_t errlen);

/*
 * Load the PT_LOAD segments at their physical addresses.  [lo, hi): what they
 * cover, bss included; entry: physical.
 */
struct elf_image { u32 lo, hi, entry; };
int elf_load(struct boot_ctx *c, struct elf_image *image);

/* Offset of a valid multiboot 1 header in the image, or -1 (vmm/boot_multiboot.c). */
s64 multiboot_find_header(const struct blob *kernel);

/*
 * The part of the Linux protocol that does not depend on the image's format
 * (vmm/boot_linux.c): command line, initrd, memory map, ACPI root, boot_params
 * into memory, entry registers.
 */
struct boot_params;
struct linux_limits {
	u64 kernel_end;		/* first byte above 1 MiB that the kernel leaves alone */
	u64 initrd_max;		/* highest address an initrd's byte may have */
	u32 cmdline_max;	/* longest command line, without the NUL */
};
int linux_place(struct boot_ctx *c, struct boot_params *params, const struct linux_limits *limits);

#endif
