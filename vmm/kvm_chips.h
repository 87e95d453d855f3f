/*
 * The PC's interrupt controllers and interval timer in KVM's chips instead of
 * the models of io/, and back (io/chips.h).  For executors: after
 * kvm_chips_create, only the requests of kvm_chips_requests are made.
 *
 * Order for the caller.  Before the vCPU exists: kvm_chips_create.  Before
 * kvm_chips_load: CPUID (its TSC_DEADLINE bit makes KVM know that mode), the TSC
 * offset, and KVM_SET_SREGS, because sregs.cr8 overwrites the TPR and a changed enable bit in
 * sregs.apic_base the APIC ID; kvm_chips_load sets IA32_APIC_BASE itself.  After kvm_chips_load no
 * KVM_SET_SREGS with other values of these two: when registers are set again, take them from KVM first.
 *
 * Before kvm_chips_store: the vCPU is outside of KVM_RUN, at best thrown out by
 * a signal and not by `immediate_exit`, because KVM moves an expired APIC timer into IRR only on its
 * way past pending signals.  An interrupt that KVM has acknowledged and not delivered yet
 * (kvm_vcpu_events.interrupt.injected) is in service in the chips: the next engine has to deliver that
 * vector without acknowledging it again.
 *
 * What does not survive the way into KVM, because KVM does not have it:
 *   - the phase of the PIT's periodic channels: they begin a period.  Channel 0's tick is given at once
 *     if it was due within half a period, so that the ticks' number is right on average.  Ticks that were
 *     being caught up with are lost but for one.
 *   - a count of a PIT channel that has not been written yet after its control word: a periodic channel 0
 *     ticks every 55 ms until it is; BCD counts read as binary; a low gate does not stop modes 0 and 4
 *   - the 8259s' single mode and LTIM (they come back with the models), special mask mode's effect on
 *     priorities, the poll command's in-service bit
 *   - ExtINT through the I/O APIC's input 0, fixed and NMI modes of LINT0 for other than the PIT
 *   - the ESR's bits, INITIAL_COUNT of a one-shot that has expired (reads 0), the APR (reads 0)
 *   - edges' NMI, SMI and INIT entries of the I/O APIC forget that their line is high
 * and on the way back:
 *   - the phase of PIT channel 0 if the guest has programmed it since: it begins a period or a count
 *   - an APIC one-shot that has expired is indistinguishable from one that is about to be delivered, and expires
 *     once more.  (To look at the count first and then pass through KVM_RUN, which delivers what has expired, loses
 *     some: the count is 0 before KVM's own timer has fired, by milliseconds in the lab.)
 *   - a periodic tick of the APIC timer that fell between the last KVM_RUN and the store is lost
 *   - up to two ticks of the APIC timer each way, never early
 */
#ifndef VMM_KVM_CHIPS_H
#define VMM_KVM_CHIPS_H

#include <linux/kvm.h>

#include "base/clock.h"
#include "io/chips.h"

/* ---- the state in KVM's words; pure functions ---- */

struct kvm_chips_image {
	struct kvm_pic_state pic[2];
	struct kvm_ioapic_state ioapic;
	struct kvm_lapic_state lapic;
	struct kvm_pit_state2 pit;
	u64 apic_base, tsc_deadline;	/* MSRs */
	u32 lines;			/* for KVM_IRQ_LINE, without GSI 0, which is the PIT's */
	bool pit_ran_out;		/* channel 0 is a one-shot that has to expire unseen */
	bool pit_tick;			/* channel 0 is to tick at once */
};

/* `ns` is the guest time at which KVM is going to take it over. */
void kvm_chips_encode(const struct chips_state *s, u64 ns, struct kvm_chips_image *k);
/*
 * `s` holds what was released when KVM took over, for what KVM does not know.  KVM's clock was at `mono`
 * when it was guest time `ns`.
 */
void kvm_chips_decode(const struct kvm_chips_image *k, u64 ns, u64 mono, struct chips_state *s);

/* ---- KVM itself; negative errno ---- */

/* The chips of a new machine, wired as the PC is. */
MUST_USE int kvm_chips_create(int vm_fd);
/* From the models to KVM.  On failure the models go on. */
MUST_USE int kvm_chips_load(struct pc *pc, const struct clock *clock, int vm_fd, int cpu_fd);
/* And back; KVM's timers are stopped.  On failure the machine stays released. */
MUST_USE int kvm_chips_store(struct pc *pc, const struct clock *clock, int vm_fd, int cpu_fd);
/* An interrupt line, as the hook of pc_chips_release: `opaque` is the vm_fd as a number. */
void kvm_chips_gsi(void *opaque, unsigned gsi, bool level);

/* The requests that load, store and gsi make; `vcpu`: on cpu_fd, else on vm_fd. */
struct kvm_chips_request { u32 request; bool vcpu; };
#define KVM_CHIPS_REQUESTS 9
extern const struct kvm_chips_request kvm_chips_requests[KVM_CHIPS_REQUESTS];

#endif
