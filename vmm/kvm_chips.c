/*
 * See vmm/kvm_chips.h.  Knows KVM's chips and the saved states of the models,
 * and nothing of how either works inside.
 *
 * Runs in executors, in their cage: the vCPU path's rules hold (no libc but
 * mem*, no floating point), and there is no call for the time.  KVM stamps what
 * it loads into the PIT's channels 1 and 2 with CLOCK_MONOTONIC, which is all
 * the time there is in its state; channel 1, which nobody uses since DRAM
 * refreshes itself, therefore tells when the chips were loaded.
 *
 * Source: the kernel's Documentation/virt/kvm/api.rst, and for what it does not
 * say arch/x86/kvm/{i8259,ioapic,i8254,lapic}.c of 6.1.
 */
#include "vmm/kvm_chips.h"

#include <errno.h>

#include "base/bits.h"
#include "base/log.h"
#include "base/sys.h"
#include "io/tick.h"

#pragma GCC target("general-regs-only")

_Static_assert(IOAPIC_INPUTS == KVM_IOAPIC_NUM_PINS, "the redirection tables are copied entry by entry");
_Static_assert(LAPIC_REGS * 16 == KVM_APIC_REG_SIZE, "the register pages are copied register by register");
_Static_assert(PC_LAPIC_TIMER_HZ == 1000000000, "KVM's APIC bus clock");

const struct kvm_chips_request kvm_chips_requests[KVM_CHIPS_REQUESTS] = {
	{ KVM_IRQ_LINE, false }, { KVM_GET_IRQCHIP, false }, { KVM_SET_IRQCHIP, false },
	{ KVM_GET_PIT2, false }, { KVM_SET_PIT2, false },
	{ KVM_GET_LAPIC, true }, { KVM_SET_LAPIC, true }, { KVM_GET_MSRS, true }, { KVM_SET_MSRS, true },
};

/* ---- 8259s ---- */

#define PIT_GSI BIT(0)
#define CASCADE BIT(2)

static void pic_encode(const struct pic_chip *c, u8 foreign, u8 elcr_mask, struct kvm_pic_state *k)
{
	*k = (struct kvm_pic_state){
		/* Inputs that KVM drives itself are low until it does. */
		.last_irr = c->lines & ~foreign, .irr = c->irr, .imr = c->imr, .isr = c->isr,
		.priority_add = (c->lowest + 1) & 7, .irq_base = c->base, .read_reg_select = c->read_isr,
		.poll = c->poll, .special_mask = c->special_mask, .init_state = c->icw_next, .auto_eoi = c->auto_eoi,
		.rotate_on_auto_eoi = c->rotate_aeoi, .special_fully_nested_mode = c->special_nested,
		.init4 = c->needs_icw4, .elcr = c->elcr, .elcr_mask = elcr_mask,
	};
}

/* `lines`, `single` and `level_all` stay: the devices know the first, KVM has not got the others. */
static void pic_decode(const struct kvm_pic_state *k, struct pic_chip *c)
{
	c->irr = k->irr;
	c->imr = k->imr;
	c->isr = k->isr;
	c->elcr = k->elcr;
	c->base = k->irq_base;
	c->lowest = (k->priority_add - 1) & 7;
	c->icw_next = k->init_state & 3;
	c->needs_icw4 = k->init4;
	c->auto_eoi = k->auto_eoi;
	c->rotate_aeoi = k->rotate_on_auto_eoi;
	c->special_mask = k->special_mask;
	c->special_nested = k->special_fully_nested_mode;
	c->read_isr = k->read_reg_select;
	c->poll = k->poll;
}

/* ---- I/O APIC ---- */

#define RTE_MODE   8
#define RTE_MASKED BIT64(16)

/* Does the entry lead into a local APIC's IRR? */
static bool is_vector(u64 rte)
{
	unsigned mode = (unsigned)bits_get(rte, RTE_MODE, 3);

	return mode == LAPIC_FIXED || mode == LAPIC_LOWEST;
}

/*
 * KVM takes `irr` for lines that have just risen.  Levels have to be in it, or
 * a later change of the trigger mode or mask would not see them; the edges that this makes
 * go to IRR, which KVM_SET_LAPIC overwrites afterwards, or would be NMIs, which nothing takes back.
 */
static void ioapic_encode(const struct chips_state *s, struct kvm_ioapic_state *k)
{
	*k = (struct kvm_ioapic_state){
		.base_address = PC_IOAPIC_BASE, .ioregsel = s->ioapic.select, .id = s->ioapic.id,
	};
	for (unsigned n = 0; n < IOAPIC_INPUTS; n++) {
		k->redirtbl[n].bits = s->ioapic.rte[n];
		if (is_vector(s->ioapic.rte[n]))
			k->irr |= s->gsi & ~PIT_GSI & BIT(n);
	}
}

static void ioapic_decode(const struct kvm_ioapic_state *k, struct ioapic_state *a)
{
	a->id = (u8)k->id;
	a->select = (u8)k->ioregsel;
	for (unsigned n = 0; n < IOAPIC_INPUTS; n++)
		a->rte[n] = k->redirtbl[n].bits;
}

/* ---- local APIC ---- */

enum lapic_reg {
	REG_IRR = 0x200, REG_ESR = 0x280, REG_LVTT = 0x320, REG_TMICT = 0x380, REG_TMCCT = 0x390, REG_TDCR = 0x3e0,
};
enum { LVTT_PERIODIC = 1, LVTT_DEADLINE = 2 };
#define LVT_MASKED BIT(16)

static unsigned timer_mode(const u32 *reg) { return (unsigned)bits_get(reg[REG_LVTT >> 4], 17, 2); }

static unsigned divide_shift(const u32 *reg)
{
	u32 v = reg[REG_TDCR >> 4];

	return (((v & 3) | (v & 8) >> 1) + 1) & 7;
}

static void lapic_encode(const struct lapic_state *l, u64 ns, struct kvm_chips_image *k)
{
	u32 reg[LAPIC_REGS];

	__builtin_memcpy(reg, l->reg, sizeof(reg));
	reg[REG_ESR >> 4] = 0;		/* KVM would show it for ever */
	reg[REG_TMCCT >> 4] = 0;
	if (timer_mode(reg) == LVTT_DEADLINE) {
		;			/* the MSR says it */
	} else if (!l->timer_due) {
		/* With a count in there, KVM would take "0 left" for "expires now". */
		reg[REG_TMICT >> 4] = 0;
	} else {
		unsigned shift = divide_shift(reg);
		u64 left = l->timer_due > ns ? (l->timer_due - ns + bit_mask(shift)) >> shift : 1;

		reg[REG_TMCCT >> 4] = (u32)min_u64(left, reg[REG_TMICT >> 4]);
	}
	__builtin_memset(k->lapic.regs, 0, sizeof(k->lapic.regs));
	for (unsigned i = 0; i < LAPIC_REGS; i++)
		store32(k->lapic.regs + 16 * i, reg[i]);
	k->apic_base = l->apic_base;
	k->tsc_deadline = timer_mode(reg) == LVTT_DEADLINE ? l->tsc_deadline : 0;
}

static void lapic_decode(const struct kvm_chips_image *k, u64 ns, struct lapic_state *l)
{
	u32 initial, left;
	u8 vector;

	for (unsigned i = 0; i < LAPIC_REGS; i++)
		l->reg[i] = load32(k->lapic.regs + 16 * i);
	l->apic_base = k->apic_base;
	l->tsc_deadline = 0;
	l->timer_due = 0;
	l->esr_pending = 0;
	initial = l->reg[REG_TMICT >> 4];
	left = l->reg[REG_TMCCT >> 4];
	vector = (u8)l->reg[REG_LVTT >> 4];
	if (timer_mode(l->reg) == LVTT_DEADLINE)
		l->tsc_deadline = k->tsc_deadline;
	else if (left || (initial && timer_mode(l->reg) == LVTT_PERIODIC))
		/* KVM rounds down, and a timer must not be early. */
		l->timer_due = ns + (min_u64(left + 1ull, initial) << divide_shift(l->reg));
	else if (initial && !(l->reg[REG_LVTT >> 4] & LVT_MASKED) &&
		 !bit_test(l->reg[(REG_IRR >> 4) + (vector >> 5)], vector & 31))
		/* It may have expired without having been delivered, and a kernel can do without the other, not without this. */
		l->timer_due = ns;
}

/* ---- 8254 ---- */

/* Bytes of a counter: KVM's read_state, write_state and count_latched; the first three are also the RW field. */
enum { RW_LOW = 1, RW_HIGH = 2, RW_BOTH = 3, RW_BOTH_HIGH = 4 };
enum { MODE_STOPS_TIMER = 5 };
enum { SPEAKER_GATE = 1, SPEAKER_DATA = 2 };

#define COUNT_MAX    65536u
#define COUNT_ABSENT 65537u	/* the guest cannot write it: none was written since the control word */
#define SLACK_TICKS  8u		/* between KVM's stopping channel 0 and its reading of the clock */

static bool is_periodic(unsigned mode) { return mode == 2 || mode == 3; }
static bool counts_once(unsigned mode) { return mode == 0 || mode == 4; }
static bool is_triggered(unsigned mode) { return mode == 1 || mode == 5; }

/* What is loaded into KVM's channel at a tick, where it begins to count anew. */
static u32 kvm_count(const struct pit_channel *c, u64 now)
{
	u64 end = c->gate ? c->start + c->count : now + c->count - min_u64(c->paused, c->count);

	if (is_triggered(c->mode))
		return c->count;
	if (!c->loaded)
		return COUNT_ABSENT;
	if (is_periodic(c->mode))
		return c->next_count ? c->next_count : c->count;
	/* The rest of a one-shot shows the same numbers as the whole. */
	return end > now ? (u32)min_u64(end - now, COUNT_MAX) : 1;
}

static u8 byte_state(const struct pit_channel *c, bool high)
{
	return c->rw == RW_BOTH && high ? RW_BOTH_HIGH : c->rw;
}

static void channel_encode(const struct pit_channel *c, u64 now, struct kvm_pit_channel_state *k)
{
	*k = (struct kvm_pit_channel_state){
		.count = kvm_count(c, now), .latched_count = c->latch, .status_latched = c->status_latched,
		.count_latched = !c->latched ? 0 : c->rw == RW_BOTH && c->latch_high ? RW_HIGH : c->rw,
		.status = c->status, .read_state = byte_state(c, c->read_high),
		.write_state = byte_state(c, c->write_high), .write_latch = c->write_low,
		.rw_mode = c->rw, .mode = c->mode, .bcd = c->bcd, .gate = c->gate,
	};
}

static void channel_decode(const struct kvm_pit_channel_state *k, u64 now, u64 elapsed, struct pit_channel *c)
{
	u32 wrap = k->bcd ? 10000 : COUNT_MAX;

	elapsed = min_u64(elapsed, now);
	*c = (struct pit_channel){
		.start = now - elapsed, .count = k->count && k->count < wrap ? k->count : wrap,
		.latch = k->latched_count, .write_low = k->write_latch, .status = k->status,
		.mode = k->mode <= 5 ? k->mode : 0,	/* a new chip has mode 255 */
		.rw = k->rw_mode & 3 ? k->rw_mode & 3 : RW_BOTH, .bcd = k->bcd, .gate = k->gate,
		.latched = k->count_latched, .latch_high = k->count_latched == RW_HIGH,
		.status_latched = k->status_latched,
		.read_high = k->read_state == RW_BOTH_HIGH, .write_high = k->write_state == RW_BOTH_HIGH,
	};
	c->written = c->loaded = k->mode <= 5 && k->count != COUNT_ABSENT;
	if (is_triggered(c->mode))
		c->loaded &= k->gate;
	else if (!c->gate)
		c->paused = elapsed;
}

static void pit_encode(const struct chips_state *s, u64 ns, struct kvm_chips_image *k)
{
	const struct pit_channel *c = &s->pit.ch[0];
	u64 now = tick_at(ns, PIT_HZ), in_period = now > c->start ? (now - c->start) % c->count : 0;

	__builtin_memset(&k->pit, 0, sizeof(k->pit));
	for (unsigned i = 0; i < 3; i++)
		channel_encode(&s->pit.ch[i], now, &k->pit.channels[i]);
	if (s->pit.speaker & SPEAKER_DATA)
		k->pit.flags = KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	k->pit_tick = k->pit_ran_out = false;
	if (is_periodic(c->mode)) {
		k->pit_tick = c->loaded && (s->pit.edge <= now || in_period * 2 >= c->count);
	} else if (s->pit.due == TIMER_NEVER && c->mode != MODE_STOPS_TIMER) {
		/* KVM starts a timer for whatever count it is given, in mode 1 too. */
		k->pit_ran_out = true;
		k->pit.channels[0].count = 1;
	}
}

static void pit_decode(const struct kvm_pit_state2 *k, u64 ns, u64 mono, struct pit_state *p)
{
	const struct kvm_pit_channel_state *k0 = &k->channels[0];
	u64 age_ns = mono - (u64)k->channels[1].count_load_time, now = tick_at(ns, PIT_HZ);
	u32 was = p->due == TIMER_NEVER && counts_once(p->ch[0].mode) ? 1 :
		  kvm_count(&p->ch[0], tick_at(ns - min_u64(age_ns, ns), PIT_HZ));
	/* Where KVM took long to load, the rest of a count is not exactly what the time says. */
	bool untouched = k0->mode == p->ch[0].mode && age_ns <= ns && k0->count + SLACK_TICKS >= was &&
			 k0->count <= was + SLACK_TICKS;
	bool fired = untouched && p->due == TIMER_NEVER;
	struct pit_channel *c = &p->ch[0];

	for (unsigned i = 0; i < 3; i++) {
		u64 age = i ? mono - (u64)k->channels[i].count_load_time : untouched ? age_ns : 0;

		channel_decode(&k->channels[i], now, tick_at((s64)age > 0 ? age : 0, PIT_HZ), &p->ch[i]);
	}
	p->speaker = (k->channels[2].gate ? SPEAKER_GATE : 0) |
		     (k->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON ? SPEAKER_DATA : 0);
	p->edge = c->start + c->count;
	p->due = TIMER_NEVER;
	if (!c->loaded || is_triggered(c->mode))
		return;
	if (is_periodic(c->mode))
		p->edge = c->start + ((now - c->start) / c->count + 1) * c->count;
	else if (fired || p->edge + SLACK_TICKS < now)
		return;
	p->due = tick_ns(p->edge, PIT_HZ);
}

/* ---- all of them ---- */

void kvm_chips_encode(const struct chips_state *s, u64 ns, struct kvm_chips_image *k)
{
	pic_encode(&s->pic[0], PIT_GSI | CASCADE, 0xf8, &k->pic[0]);
	pic_encode(&s->pic[1], 0, 0xde, &k->pic[1]);
	ioapic_encode(s, &k->ioapic);
	lapic_encode(&s->lapic, ns, k);
	pit_encode(s, ns, k);
	k->lines = s->gsi & ~PIT_GSI;
}

void kvm_chips_decode(const struct kvm_chips_image *k, u64 ns, u64 mono, struct chips_state *s)
{
	for (unsigned i = 0; i < 2; i++)
		pic_decode(&k->pic[i], &s->pic[i]);
	ioapic_decode(&k->ioapic, &s->ioapic);
	lapic_decode(k, ns, &s->lapic);
	pit_decode(&k->pit, ns, mono, &s->pit);
}

/* ---- requests ---- */

static int ask(int fd, u32 request, const void *arg) { return (int)sys3(SYS_ioctl, fd, request, (long)arg); }

void kvm_chips_gsi(void *opaque, unsigned gsi, bool level)
{
	const struct kvm_irq_level line = { .irq = gsi, .level = level };
	int r;

	if (gsi == 0)
		return;			/* the model of the PIT, which stands still */
	r = ask((int)(long)opaque, KVM_IRQ_LINE, &line);
	if (r < 0)
		log_error("KVM_IRQ_LINE for input %u: error %d", gsi, -r);
}

/* Bytes of chip n's state; both ways the whole structure is the argument. */
static int set_chip(int vm_fd, u32 n, const void *state, size_t len)
{
	struct kvm_irqchip chip = { .chip_id = n };

	__builtin_memcpy(&chip.chip, state, len);
	return ask(vm_fd, KVM_SET_IRQCHIP, &chip);
}

static int get_chip(int vm_fd, u32 n, void *state, size_t len)
{
	struct kvm_irqchip chip = { .chip_id = n };
	int r = ask(vm_fd, KVM_GET_IRQCHIP, &chip);

	__builtin_memcpy(state, &chip.chip, len);
	return r;
}

struct one_msr { struct kvm_msrs head; struct kvm_msr_entry entry; };

/* KVM answers how many it has done, and stops at one that it refuses. */
static int set_msr(int cpu_fd, u32 index, u64 value)
{
	struct one_msr m = { { .nmsrs = 1 }, { .index = index, .data = value } };
	int r = ask(cpu_fd, KVM_SET_MSRS, &m);

	return r < 0 ? r : r == 1 ? 0 : -EINVAL;
}

static int get_msr(int cpu_fd, u32 index, u64 *value)
{
	struct one_msr m = { { .nmsrs = 1 }, { .index = index } };
	int r = ask(cpu_fd, KVM_GET_MSRS, &m);

	*value = m.entry.data;
	return r < 0 ? r : r == 1 ? 0 : -EINVAL;
}

enum { MSR_APIC_BASE = 0x1b, MSR_TSC_DEADLINE = 0x6e0 };

/* ---- creation ---- */

static struct kvm_irq_routing_entry route(u32 gsi, u32 chip, u32 pin)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

int kvm_chips_create(int vm_fd)
{
	const struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct { struct kvm_irq_routing head; struct kvm_irq_routing_entry entry[16 + IOAPIC_INPUTS]; } t = { { 0 } };
	u32 n = 0;
	int r;

	for (u32 gsi = 0; gsi < IOAPIC_INPUTS; gsi++) {
		if (gsi == 2)
			continue;	/* the slave's; the I/O APIC's input 2 is IRQ 0 */
		if (gsi < 16)
			t.entry[n++] = route(gsi, gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, gsi & 7);
		t.entry[n++] = route(gsi, KVM_IRQCHIP_IOAPIC, gsi ? gsi : 2);
	}
	t.head.nr = n;
	if ((r = ask(vm_fd, KVM_CREATE_IRQCHIP, NULL)) < 0 || (r = ask(vm_fd, KVM_CREATE_PIT2, &pit)) < 0)
		return r;
	return ask(vm_fd, KVM_SET_GSI_ROUTING, &t);
}

/* ---- from the models to KVM ---- */

/* Every line as it is, into controllers that pass nothing on. */
static int load_lines(int vm_fd, u32 lines)
{
	const struct kvm_pic_state pic = { .imr = 0xff };
	struct kvm_ioapic_state ioapic = { .base_address = PC_IOAPIC_BASE };
	int r;

	for (unsigned n = 0; n < IOAPIC_INPUTS; n++)
		ioapic.redirtbl[n].bits = RTE_MASKED;
	if ((r = set_chip(vm_fd, KVM_IRQCHIP_IOAPIC, &ioapic, sizeof(ioapic))) < 0 ||
	    (r = set_chip(vm_fd, KVM_IRQCHIP_PIC_MASTER, &pic, sizeof(pic))) < 0 ||
	    (r = set_chip(vm_fd, KVM_IRQCHIP_PIC_SLAVE, &pic, sizeof(pic))) < 0)
		return r;
	for (unsigned gsi = 1; gsi < IOAPIC_INPUTS; gsi++) {
		const struct kvm_irq_level line = { .irq = gsi, .level = bit_test(lines, gsi) };

		if (gsi != 2 && (r = ask(vm_fd, KVM_IRQ_LINE, &line)) < 0)
			return r;
	}
	return 0;
}

/*
 * The PIT, while the controllers still let nothing through.  A one-shot that has run out has
 * to do it again: KVM can be told no other way.  Its worker pulses the line;
 * that takes some 10 us, and if it takes longer than the guest's patience the guest sees one tick too many.
 */
static int load_pit(int vm_fd, const struct kvm_chips_image *k)
{
	struct kvm_pic_state pic;
	int r = ask(vm_fd, KVM_SET_PIT2, &k->pit);

	if (!k->pit_ran_out)
		return r;
	for (unsigned i = 0; i < 10000 && r >= 0; i++) {
		r = get_chip(vm_fd, KVM_IRQCHIP_PIC_MASTER, &pic, sizeof(pic));
		if ((pic.irr & PIT_GSI) && !(pic.last_irr & PIT_GSI))
			break;
	}
	return r;
}

/* The local APIC comes last: it replaces the IRR that loading the I/O APIC has filled. */
static int load_controllers(int vm_fd, int cpu_fd, const struct kvm_chips_image *k)
{
	int r;

	if ((r = set_chip(vm_fd, KVM_IRQCHIP_PIC_MASTER, &k->pic[0], sizeof(k->pic[0]))) < 0 ||
	    (r = set_chip(vm_fd, KVM_IRQCHIP_PIC_SLAVE, &k->pic[1], sizeof(k->pic[1]))) < 0 ||
	    (r = set_chip(vm_fd, KVM_IRQCHIP_IOAPIC, &k->ioapic, sizeof(k->ioapic))) < 0 ||
	    (r = set_msr(cpu_fd, MSR_APIC_BASE, k->apic_base)) < 0 ||
	    (r = ask(cpu_fd, KVM_SET_LAPIC, &k->lapic)) < 0)
		return r;
	/* A deadline of old must not come back; outside of the deadline mode KVM takes no notice. */
	return set_msr(cpu_fd, MSR_TSC_DEADLINE, k->tsc_deadline);
}

int kvm_chips_load(struct pc *pc, const struct clock *clock, int vm_fd, int cpu_fd)
{
	struct kvm_chips_image k;
	struct chips_state s;
	int r;

	pc_chips_release(pc, &s, kvm_chips_gsi, (void *)(long)vm_fd);
	if ((r = load_lines(vm_fd, s.gsi)) < 0)
		goto fail;
	kvm_chips_encode(&s, clock_ns(clock), &k);
	if ((r = load_pit(vm_fd, &k)) < 0 || (r = load_controllers(vm_fd, cpu_fd, &k)) < 0)
		goto fail;
	for (int level = 1; level >= 0 && k.pit_tick; level--) {
		const struct kvm_irq_level line = { .irq = 0, .level = (u32)level };

		if ((r = ask(vm_fd, KVM_IRQ_LINE, &line)) < 0)
			goto fail;
	}
	return 0;
fail:
	pc_chips_adopt(pc, &s);
	return r;
}

/* ---- and back ---- */

/* Stopping channel 0 also waits for KVM's worker: what had expired is in the controllers afterwards. */
static int store_pit(int vm_fd, struct kvm_pit_state2 *pit, u64 *mono)
{
	struct kvm_pit_state2 stopped;
	int r = ask(vm_fd, KVM_GET_PIT2, pit);

	if (r < 0)
		return r;
	stopped = *pit;
	stopped.channels[0].mode = MODE_STOPS_TIMER;
	if ((r = ask(vm_fd, KVM_SET_PIT2, &stopped)) < 0 || (r = ask(vm_fd, KVM_GET_PIT2, &stopped)) < 0)
		return r;
	*mono = (u64)stopped.channels[1].count_load_time;
	return 0;
}

static int store_controllers(int vm_fd, int cpu_fd, struct kvm_chips_image *k)
{
	int r;

	if ((r = get_chip(vm_fd, KVM_IRQCHIP_PIC_MASTER, &k->pic[0], sizeof(k->pic[0]))) < 0 ||
	    (r = get_chip(vm_fd, KVM_IRQCHIP_PIC_SLAVE, &k->pic[1], sizeof(k->pic[1]))) < 0 ||
	    (r = get_chip(vm_fd, KVM_IRQCHIP_IOAPIC, &k->ioapic, sizeof(k->ioapic))) < 0 ||
	    (r = get_msr(cpu_fd, MSR_APIC_BASE, &k->apic_base)) < 0 ||
	    /* Zero once the interrupt is in IRR, so it has to be read first. */
	    (r = get_msr(cpu_fd, MSR_TSC_DEADLINE, &k->tsc_deadline)) < 0)
		return r;
	return ask(cpu_fd, KVM_GET_LAPIC, &k->lapic);
}

/* For who keeps the machine: no timer of KVM's disturbs the host for it. */
static int stop_lapic_timer(int cpu_fd, const struct kvm_lapic_state *lapic)
{
	struct kvm_lapic_state stopped = *lapic;

	store32(stopped.regs + REG_LVTT, LVT_MASKED);
	store32(stopped.regs + REG_TMICT, 0);
	return ask(cpu_fd, KVM_SET_LAPIC, &stopped);
}

int kvm_chips_store(struct pc *pc, const struct clock *clock, int vm_fd, int cpu_fd)
{
	struct kvm_chips_image k;
	struct chips_state s = *pc_chips_released(pc);
	u64 mono, ns, pit_ns;
	int r;

	if ((r = store_pit(vm_fd, &k.pit, &mono)) < 0)
		return r;
	pit_ns = clock_ns(clock);
	if ((r = store_controllers(vm_fd, cpu_fd, &k)) < 0)
		return r;
	ns = clock_ns(clock);
	if ((r = stop_lapic_timer(cpu_fd, &k.lapic)) < 0)
		return r;
	kvm_chips_decode(&k, ns, mono + (ns - pit_ns), &s);
	pc_chips_adopt(pc, &s);
	return 0;
}
