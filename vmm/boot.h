/*
 * Boot protocols: from image files to guest memory and an entry state.
 *
 * Files are read whole into host memory once (boot_read_files); boot_place puts
 * them into guest RAM, and can be repeated for a reset.  Everything in the
 * files is untrusted.
 */
#ifndef VMM_BOOT_H
#define VMM_BOOT_H

#include "base/types.h"
#include "mmu/phys.h"

struct blob { u8 *data; u64 len; };	/* malloc'ed / mmap'ed by boot_read_files */

enum image_kind { IMAGE_BZIMAGE, IMAGE_ELF, IMAGE_MULTIBOOT };

/* A multiboot module: its file, and the string "path args" that it is given. */
struct boot_module { struct blob file; char *string; };

struct boot_files {
	struct blob kernel, initrd;	/* initrd.data NULL: none */
	const char *append;		/* never NULL; borrowed */
	enum image_kind kind;
	char *kernel_name;		/* path, for messages and multiboot's command line */
	struct boot_module *modules;	/* multiboot: instead of initrd */
	unsigned module_count;
};

/*
 * The CPU at the first guest instruction: 32-bit protected mode, paging off,
 * interrupts off, CS/DS/ES/SS (FS/GS) flat 4 GiB from the GDT that boot_place
 * has put into guest memory.
 */
struct boot_state {
	u32 regs[8];		/* eax ecx edx ebx esp ebp esi edi */
	u32 eip;
	u16 cs, ds;		/* selectors */
	u32 gdt_base;
	u16 gdt_limit;
};

/*
 * Read the files and recognise the kernel's kind.  initrd may be NULL; for a
 * multiboot kernel it is a list "path args,path args" (a comma in it is
 * written twice), for Linux one path.  append may be NULL and otherwise must
 * outlive f.  0 or negative errno with one line for the user in err (no
 * prefix, no newline); after a failure f is empty.
 */
int boot_read_files(struct boot_files *f, const char *kernel, const char *initrd,
		    const char *append, char *err, size_t errlen);
void boot_free_files(struct boot_files *f);

/*
 * Put firmware tables, kernel, initrd and boot information into guest RAM and
 * fill in *out.  Writes every byte that it relies on, so it may be repeated on
 * a machine that has run.  cpus: 1..8.  0 or negative errno with one line in
 * err; guest memory is then undefined.
 */
int boot_place(const struct boot_files *f, const struct phys_map *phys, unsigned cpus,
	       struct boot_state *out, char *err, size_t errlen);

#endif
