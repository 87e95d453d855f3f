/*
 * A vCPU with 1 MiB of memory and a platform that records what it is asked:
 * the stage for the tests of mmu/walk.c and cpu/.
 *
 * Memory map: GDT 0x1000, LDT 0x1800, IDT 0x2000, TSS 0x3000, second TSS
 * 0x3800, ring-0 stack below 0x6000, ring-1 stack below 0x6800, user stack
 * below 0x8000, page tables from 0x10000.
 */
#ifndef TESTS_VCPU_FIXTURE_H
#define TESTS_VCPU_FIXTURE_H

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "cpu/arch.h"
#include "cpu/cpuid.h"

#define GDT    0x1000u
#define LDT    0x1800u
#define IDT    0x2000u
#define TSS    0x3000u
#define TSS2   0x3800u
#define STACK0 0x6000u
#define STACK1 0x6800u
#define STACK3 0x8000u
#define TABLES 0x10000u
#define RAM    0x100000u

/* Selectors of the standard GDT. */
#define CODE0 0x08
#define DATA0 0x10
#define CODE3 0x1b
#define DATA3 0x23
#define TSS_SEL 0x28
#define LDT_SEL 0x30
#define CODE1 0x39
#define DATA1 0x41
#define TSS2_SEL 0x48
#define CONF0 0x50	/* conforming code, DPL 0 */
#define FREE 0x58	/* from here on the test's own */

#define A_CODE (SEG_P | SEG_S | SEG_CODE | SEG_RW | SEG_A)
#define A_DATA (SEG_P | SEG_S | SEG_RW | SEG_A)
#define A_32   (SEG_DB | SEG_G)
#define DPL(n) ((n) << SEG_DPL_SHIFT)

static struct vcpu v;
static u8 *ram;
static struct phys_map phys;
static struct counters counters;
static u8 has_code[RAM / PAGE_SIZE];

/* What the platform was asked. */
static struct {
	unsigned triple_faults, paging_changes, code_writes, mmio_reads, mmio_writes;
	enum paging_change last_change;
	gpa_t last_gpa;
	u64 last_value, mmio_value;
	unsigned sizes;		/* of MMIO accesses, one hexadecimal digit each */
} seen;

static inline u64 fix_mmio_read(void *o, unsigned cpu, gpa_t gpa, unsigned size)
{
	seen.mmio_reads++;
	seen.last_gpa = gpa;
	seen.sizes = seen.sizes << 4 | size;
	return seen.mmio_value;
}

static inline void fix_mmio_write(void *o, unsigned cpu, gpa_t gpa, unsigned size, u64 value)
{
	seen.mmio_writes++;
	seen.last_gpa = gpa;
	seen.last_value = value;
	seen.sizes = seen.sizes << 4 | size;
}

static inline bool fix_msr_read(void *o, unsigned cpu, u32 msr, u64 *value)
{
	*value = msr;
	return msr == 0x1b;
}

static inline bool fix_msr_write(void *o, unsigned cpu, u32 msr, u64 value)
{
	seen.last_value = value;
	return msr == 0x1b;
}

static inline void fix_triple(void *o, unsigned cpu) { seen.triple_faults++; }

static inline void fix_paging(struct vcpu *cpu, enum paging_change what, lin_t lin)
{
	seen.paging_changes++;
	seen.last_change = what;
}

static inline void fix_code_written(void *o, gpa_t gpa, u64 len)
{
	seen.code_writes++;
	seen.last_gpa = gpa;
}

static const struct platform fix_platform = {
	.mmio_read = fix_mmio_read, .mmio_write = fix_mmio_write,
	.msr_read = fix_msr_read, .msr_write = fix_msr_write,
	.triple_fault = fix_triple, .paging_changed = fix_paging,
	.tsc_hz = 2600000000ull, .lapic_hz = 1000000000, .cpus = 1,
};

static inline void put_desc(u32 at, u32 base, u32 limit, u16 attr)
{
	store32(ram + at, (limit & 0xffff) | base << 16);
	store32(ram + at + 4, (base >> 16 & 0xff) | (u32)attr << 8 | (limit & 0xf0000) | (base & 0xff000000));
}

static inline void put_gdt(u16 sel, u32 base, u32 limit, u16 attr) { put_desc(GDT + (sel & ~7u), base, limit, attr); }

/* An interrupt, trap, task or call gate; `attr` is type, DPL and P. */
static inline void put_gate(u32 at, u16 sel, u32 off, u16 attr, unsigned params)
{
	store32(ram + at, (off & 0xffff) | (u32)sel << 16);
	store32(ram + at + 4, (off & 0xffff0000) | (u32)attr << 8 | params);
}

static inline void put_idt(unsigned vector, u16 sel, u32 off, u16 attr) { put_gate(IDT + vector * 8, sel, off, attr, 0); }

static inline u32 mem32(u32 at) { return load32(ram + at); }
static inline u16 mem16(u32 at) { return load16(ram + at); }

static inline void fix_setup(void)
{
	memset(&v, 0, sizeof(v));
	memset(&seen, 0, sizeof(seen));
	memset(&counters, 0, sizeof(counters));
	memset(has_code, 0, sizeof(has_code));
	ram = calloc(1, RAM);
	phys = (struct phys_map){ .ram = ram, .ram_size = RAM, .ram_fd = -1, .has_code = has_code,
				  .code_written = fix_code_written };
	v.phys = &phys;
	v.count = &counters;
	v.platform = &fix_platform;
	vcpu_reset(&v);
}

static inline void fix_teardown(void) { free(ram); }

static inline void set_seg(enum seg s, u16 sel)
{
	u32 d[2] = { mem32(GDT + (sel & ~7u)), mem32(GDT + (sel & ~7u) + 4) };

	desc_to_segment(sel, d, &v.seg[s]);
}

/* Flat 32-bit protected mode at `cpl` (0 or 3) with the standard tables; no paging. */
static inline void fix_protected(unsigned cpl)
{
	put_gdt(CODE0, 0, 0xfffff, A_CODE | A_32);
	put_gdt(DATA0, 0, 0xfffff, A_DATA | A_32);
	put_gdt(CODE3, 0, 0xfffff, A_CODE | A_32 | DPL(3));
	put_gdt(DATA3, 0, 0xfffff, A_DATA | A_32 | DPL(3));
	put_gdt(TSS_SEL, TSS, 0x87, SEG_P | SYS_TSS32 | SYS_BUSY);
	put_gdt(LDT_SEL, LDT, 0x7f, SEG_P | SYS_LDT);
	put_gdt(CODE1, 0, 0xfffff, A_CODE | A_32 | DPL(1));
	put_gdt(DATA1, 0, 0xfffff, A_DATA | A_32 | DPL(1));
	put_gdt(TSS2_SEL, TSS2, 0x67, SEG_P | SYS_TSS32);
	put_gdt(CONF0, 0, 0xfffff, A_CODE | A_32 | SEG_DC);
	store32(ram + TSS + 4, STACK0);
	store16(ram + TSS + 8, DATA0);
	store32(ram + TSS + 12, STACK1);
	store16(ram + TSS + 16, DATA1);
	store16(ram + TSS + 102, 0x68);		/* I/O bitmap: 32 bytes */
	v.gdt_base = GDT;
	v.gdt_limit = 0xff;
	v.idt_base = IDT;
	v.idt_limit = 0x7ff;
	v.cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_WP;
	set_seg(SEG_CS, cpl ? CODE3 : CODE0);
	for (unsigned s = SEG_ES; s <= SEG_GS; s++)
		if (s != SEG_CS)
			set_seg((enum seg)s, cpl ? DATA3 : DATA0);
	set_seg(SEG_TR, TSS_SEL);
	seg_set_null(&v.seg[SEG_LDTR], 0);
	v.cpl = cpl;
	v.eip = 0x4000;
	v.insn_len = 2;
	v.regs[ESP] = cpl ? STACK3 : STACK0;
	vcpu_set_eflags(&v, EFLAGS_IF);
	vcpu_update_paging(&v);
	vcpu_update_mode(&v);
}

/* VM86 at 0x200:0x10, stack 0x300:0x100. */
static inline void fix_vm86(unsigned iopl)
{
	fix_protected(3);
	vcpu_set_eflags(&v, EFLAGS_VM | EFLAGS_IF | iopl << 12);
	seg_load_real(&v, SEG_CS, 0x200);
	seg_load_real(&v, SEG_SS, 0x300);
	seg_load_real(&v, SEG_DS, 0x301);
	seg_load_real(&v, SEG_ES, 0x302);
	seg_load_real(&v, SEG_FS, 0x303);
	seg_load_real(&v, SEG_GS, 0x304);
	v.eip = 0x10;
	v.regs[ESP] = 0x100;
	vcpu_update_mode(&v);
}

static inline void fix_real(void)
{
	fix_teardown();
	fix_setup();
	seg_load_real(&v, SEG_CS, 0x200);
	seg_load_real(&v, SEG_SS, 0x300);
	v.eip = 0x10;
	v.insn_len = 2;
	v.regs[ESP] = 0x100;
	v.idt_limit = 0x3ff;
	vcpu_update_mode(&v);
}

/* Two-level tables at TABLES that map [0, 4 MiB) to itself with these flags, through one table at TABLES+0x1000. */
static inline void fix_paging_on(u32 flags)
{
	store32(ram + TABLES, (TABLES + 0x1000) | 7);
	for (unsigned i = 0; i < 1024; i++)
		store32(ram + TABLES + 0x1000 + i * 4, i << 12 | flags);
	v.cr3 = TABLES;
	v.cr0 |= CR0_PG;
	vcpu_update_paging(&v);
	mem_tlb_flush(&v);
	vcpu_update_mode(&v);
}

static inline void put_pte(lin_t lin, u32 pte) { store32(ram + TABLES + 0x1000 + (lin >> 12) * 4, pte); }

/* Everything architectural but the recorded exception. */
static inline bool same_state(const struct vcpu *before)
{
	static struct vcpu a, b;

	memcpy(&a, before, sizeof(a));
	memcpy(&b, &v, sizeof(b));
	memset(&a.exc, 0, sizeof(a.exc));
	memset(&b.exc, 0, sizeof(b.exc));
	memset(&a.tlb, 0, sizeof(a.tlb));
	memset(&b.tlb, 0, sizeof(b.tlb));
	return memcmp(&a, &b, sizeof(a)) == 0;
}

/* `call` must fail with this vector and error code, and have changed nothing. */
#define assert_raises(call, vec, err) do { \
	static struct vcpu before_; \
	memcpy(&before_, &v, sizeof(v)); \
	ck_assert_msg(!(call), "%s did not fault", #call); \
	ck_assert_int_eq(v.exc.vector, (vec)); \
	ck_assert_uint_eq(v.exc.error, (err)); \
	ck_assert_msg(same_state(&before_), "%s faulted and changed the state", #call); \
} while (0)

#define FIXTURE_MAIN(name, part) \
int main(void) \
{ \
	Suite *suite_ = suite_create(name); \
	TCase *case_ = tcase_create(name); \
	SRunner *runner_ = srunner_create(suite_); \
	int failed_; \
	tcase_add_checked_fixture(case_, fix_setup, fix_teardown); \
	part(case_); \
	suite_add_tcase(suite_, case_); \
	srunner_run_all(runner_, CK_NORMAL); \
	failed_ = srunner_ntests_failed(runner_); \
	srunner_free(runner_); \
	return failed_ != 0; \
}

#endif
