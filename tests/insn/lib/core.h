/*
 * The instruction-test core: operands, running, recording.  Knows nothing of
 * where it runs: natively in compatibility mode (native.c, native32.c) or as a
 * multiboot kernel or its user code (guest.c).
 */
#ifndef CORE_H
#define CORE_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

struct fault_info { u32 vector, error, eip, cr2; };
extern struct fault_info fault_info;

struct platform {
	void (*write)(const char *s, u32 n);
	enum { NATIVE, GUEST_KERNEL, GUEST_USER } guest;
};
/* Words of the command line: -v (every case), mask (hide undefined flags), only=PREFIX. */
int core_run(const struct platform *p, const char *cmdline);

extern u16 flat_sel, seg_sel, seg_limit_sel, code16_sel, flat_cs_sel;	/* set by the platform */

#define SCRATCH 0x1400000u		/* data page, data page, hole, stack pages… see core.c */
#define HOLE_PAGE  (SCRATCH + 0x3000)	/* never mapped */
#define RO_PAGE    (SCRATCH + 0x5000)	/* never writable */
#define HOLE2_PAGE (SCRATCH + 0x8000)	/* below the stack pages */
#define SEG_BASE 0x81234567u
#define SEG_LIMIT_BASE SCRATCH		/* seg_limit_sel: base SCRATCH, limit 0x1fff: up to the end of the data */

#endif
