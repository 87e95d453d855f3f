/*
 * RDMSR and WRMSR, by the table msr.def; the few registers that do something
 * have functions here.
 *
 * The TSC is the host's (user code reads it natively, so it can be neither
 * offset nor stopped): writes to it vanish.
 */
#include "base/clock.h"
#include "base/log.h"
#include "cpu/arch.h"

static bool gp(struct vcpu *v)
{
	return exc_raise_error(v, EXC_GP, 0);
}

static bool msr_read_tsc(struct vcpu *v, u64 *value)
{
	*value = rdtsc();
	return true;
}

static bool msr_write_tsc(struct vcpu *v, u64 value)
{
	trace(unimp, "write of the TSC (%llx) at %08x ignored", (unsigned long long)value, v->eip);
	return true;
}

static bool msr_read_efer(struct vcpu *v, u64 *value)
{
	*value = v->efer;
	return true;
}

static bool msr_write_efer(struct vcpu *v, u64 value)
{
	u64 changed = value ^ v->efer;

	if (value & ~(u64)(EFER_SCE | EFER_NXE))
		return gp(v);
	v->efer = value;
	if (changed & EFER_NXE) {
		vcpu_update_paging(v);
		mem_tlb_flush(v);
		v->platform->paging_changed(v, PAGING_MODE, 0);
	}
	return true;
}

static bool msr_read_pat(struct vcpu *v, u64 *value)
{
	*value = v->pat;
	return true;
}

static bool msr_write_pat(struct vcpu *v, u64 value)
{
	for (unsigned i = 0; i < 8; i++) {
		unsigned type = (unsigned)bits_get(value, i * 8, 8);

		if (type > 7 || type == 2 || type == 3)
			return gp(v);
	}
	v->pat = value;
	return true;
}

bool msr_read(struct vcpu *v, u32 msr, u64 *value)
{
	if (v->cpl != 0)
		return gp(v);
	switch (msr) {
#define MSR_FIELD(number, name, field, writable) case number: *value = v->field; return true;
#define MSR_CONST(number, name, val) case number: *value = (val); return true;
#define MSR_ZERO(number, name) case number: *value = 0; return true;
#define MSR_CALL(number, name) case number: return msr_read_##name(v, value);
#define MSR_DEVICE(number, name) case number: \
	return v->platform->msr_read(v->platform->opaque, v->index, msr, value) || gp(v);
#include "cpu/msr.def"
#undef MSR_FIELD
#undef MSR_CONST
#undef MSR_ZERO
#undef MSR_CALL
#undef MSR_DEVICE
	default:
		trace(unimp, "RDMSR %08x at %08x: #GP", msr, v->eip);
		return gp(v);
	}
}

bool msr_write(struct vcpu *v, u32 msr, u64 value)
{
	if (v->cpl != 0)
		return gp(v);
	trace(cr, "WRMSR %08x = %llx", msr, (unsigned long long)value);
	switch (msr) {
#define MSR_FIELD(number, name, field, writable) case number: \
	if (value & ~(u64)(writable)) \
		return gp(v); \
	v->field = value; \
	return true;
#define MSR_CONST(number, name, val) case number: return true;
#define MSR_ZERO(number, name) case number: return true;
#define MSR_CALL(number, name) case number: return msr_write_##name(v, value);
#define MSR_DEVICE(number, name) case number: \
	return v->platform->msr_write(v->platform->opaque, v->index, msr, value) || gp(v);
#include "cpu/msr.def"
#undef MSR_FIELD
#undef MSR_CONST
#undef MSR_ZERO
#undef MSR_CALL
#undef MSR_DEVICE
	default:
		trace(unimp, "WRMSR %08x = %llx at %08x: #GP", msr, (unsigned long long)value, v->eip);
		return gp(v);
	}
}
