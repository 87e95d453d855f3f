/*
 * The one checked door to guest linear memory for the VMM acting as the CPU:
 * exception frames, descriptors, callouts, emulated accesses.
 *
 * All functions return true, or false with the exception recorded in v->exc
 * and nothing changed (a write that crosses pages checks both first).
 * `acc` is ACC_* of mmu/walk.h; ACC_WRITE is implied by the writing ones.
 * Addresses wrap at 4 GiB.  MMIO is dispatched to the platform.
 */
#ifndef CPU_ACCESS_H
#define CPU_ACCESS_H

#include "cpu/vcpu.h"

/* Privilege for data accesses of the current instruction: ACC_USER at CPL 3. */
static inline unsigned acc_data(const struct vcpu *v) { return v->cpl == 3 ? ACC_USER : 0; }

MUST_USE bool mem_read(struct vcpu *v, lin_t lin, void *buf, unsigned len, unsigned acc);
MUST_USE bool mem_write(struct vcpu *v, lin_t lin, const void *buf, unsigned len, unsigned acc);
MUST_USE bool mem_read8(struct vcpu *v, lin_t lin, u8 *val, unsigned acc);
MUST_USE bool mem_read16(struct vcpu *v, lin_t lin, u16 *val, unsigned acc);
MUST_USE bool mem_read32(struct vcpu *v, lin_t lin, u32 *val, unsigned acc);
MUST_USE bool mem_read64(struct vcpu *v, lin_t lin, u64 *val, unsigned acc);
MUST_USE bool mem_write8(struct vcpu *v, lin_t lin, u8 val, unsigned acc);
MUST_USE bool mem_write16(struct vcpu *v, lin_t lin, u16 val, unsigned acc);
MUST_USE bool mem_write32(struct vcpu *v, lin_t lin, u32 val, unsigned acc);

/* Would this access succeed?  Raises what it would raise; changes only A/D bits. */
MUST_USE bool mem_probe(struct vcpu *v, lin_t lin, unsigned len, unsigned acc);

/* Is the byte at `lin` in RAM?  False, too, if `acc` to it is not allowed; raises nothing. */
bool mem_is_ram(struct vcpu *v, lin_t lin, unsigned acc);

/* For debuggers and printers: never raises, sets no A/D bits; bytes read. */
unsigned mem_peek(struct vcpu *v, lin_t lin, void *buf, unsigned len);

/* The software TLB behind these functions must be dropped (any paging change). */
void mem_tlb_flush(struct vcpu *v);
/* One page of it (INVLPG). */
void mem_tlb_flush_page(struct vcpu *v, lin_t lin);

#endif
