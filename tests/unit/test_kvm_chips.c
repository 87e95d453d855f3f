/*
 * The chips between the models and KVM (vmm/kvm_chips.h): the conversions
 * alone, and with the host's KVM where there is one, without ever running a guest.
 */
#include "tests/unit/io_machine.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "io/tick.h"
#include "vmm/kvm_chips.h"

enum { EOI = 0xb0, SVR = 0xf0, LVTT = 0x320, LINT0 = 0x350, TMICT = 0x380, TMCCT = 0x390, TDCR = 0x3e0 };
enum { PERIODIC = 0x20000, DEADLINE = 0x40000, MASKED = 0x10000, MSR_DEADLINE = 0x6e0 };

/* ---- a machine on the real clock, and KVM ---- */

static struct machine *one_cpu(bool real_clock)
{
	struct machine *m = machine_alloc();
	struct pc_config c = machine_config(m);

	if (real_clock)
		ck_assert_int_eq(clock_init(&m->clock, clock_sample()), 0);
	c.cpus = 1;
	return machine_new_from(m, &c);
}

static struct { int vm, cpu; } kvm;

/* False, with a line that says why, where this host cannot. */
static bool kvm_open(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), r;

	if (fd < 0) {
		printf("skip: /dev/kvm: %s\n", strerror(errno));
		return false;
	}
	kvm.vm = ioctl(fd, KVM_CREATE_VM, 0);
	r = kvm.vm < 0 ? -errno : kvm_chips_create(kvm.vm);
	if (r < 0) {
		printf("skip: KVM's interrupt controllers: %s\n", strerror(-r));
		close(fd);
		return false;
	}
	kvm.cpu = ioctl(kvm.vm, KVM_CREATE_VCPU, 0);
	ck_assert_int_ge(kvm.cpu, 0);
	/* Without CPUID's word for it, KVM does not take the timer's deadline mode. */
	struct { struct kvm_cpuid2 head; struct kvm_cpuid_entry2 e[2]; } id = {
		{ .nent = 2 }, { { .function = 0, .eax = 1 }, { .function = 1, .ecx = BIT(24), .edx = BIT(9) } },
	};
	ck_assert_int_eq(ioctl(kvm.cpu, KVM_SET_CPUID2, &id), 0);
	/* Guest TSC = host TSC. */
	const u64 offset = 0;
	const struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (u64)(uintptr_t)&offset,
	};
	if (ioctl(kvm.cpu, KVM_SET_DEVICE_ATTR, &attr))
		printf("no KVM_VCPU_TSC_OFFSET: %s\n", strerror(errno));
	close(fd);
	return true;
}

static void kvm_close(void)
{
	close(kvm.cpu);
	close(kvm.vm);
}

static void load(struct machine *m)
{
	ck_assert_int_eq(kvm_chips_load(m->pc, &m->clock, kvm.vm, kvm.cpu), 0);
	ck_assert(pc_chips_external(m->pc));
}

static void store(struct machine *m)
{
	ck_assert_int_eq(kvm_chips_store(m->pc, &m->clock, kvm.vm, kvm.cpu), 0);
	ck_assert(!pc_chips_external(m->pc));
}

static struct kvm_pic_state kvm_pic(u32 n)
{
	struct kvm_irqchip c = { .chip_id = n };

	ck_assert_int_eq(ioctl(kvm.vm, KVM_GET_IRQCHIP, &c), 0);
	return c.chip.pic;
}

static u32 kvm_lapic(u32 reg)
{
	struct kvm_lapic_state l;

	ck_assert_int_eq(ioctl(kvm.cpu, KVM_GET_LAPIC, &l), 0);
	return load32(l.regs + reg);
}

static void snapshot(struct machine *m, struct chips_state *s)
{
	pc_chips_release(m->pc, s, NULL, NULL);
	pc_chips_adopt(m->pc, s);
}

static void sleep_ns(u64 ns)
{
	const struct timespec t = { (time_t)(ns / SEC), (long)(ns % SEC) };

	nanosleep(&t, NULL);
}

/* ---- what has to be the same ---- */

#define SAME(field) ck_assert_msg(x->field == y->field, "seed %u: " #field ": %llx, not %llx", seed, \
				  (unsigned long long)x->field, (unsigned long long)y->field)

static void same(const struct chips_state *x, const struct chips_state *y, unsigned seed)
{
	for (unsigned i = 0; i < 2; i++) {
		SAME(pic[i].irr); SAME(pic[i].imr); SAME(pic[i].isr); SAME(pic[i].elcr); SAME(pic[i].base);
		SAME(pic[i].lowest); SAME(pic[i].icw_next); SAME(pic[i].needs_icw4); SAME(pic[i].single);
		SAME(pic[i].level_all); SAME(pic[i].auto_eoi); SAME(pic[i].rotate_aeoi); SAME(pic[i].special_mask);
		SAME(pic[i].special_nested); SAME(pic[i].read_isr); SAME(pic[i].poll);
	}
	SAME(ioapic.id); SAME(ioapic.select);
	for (unsigned i = 0; i < IOAPIC_INPUTS; i++)
		SAME(ioapic.rte[i]);
	SAME(lapic.apic_base); SAME(lapic.tsc_deadline);
	for (unsigned i = 0; i < LAPIC_REGS; i++)
		if (i != 0x90 / 16 && i != 0x280 / 16 && i != TMICT / 16 && i != TMCCT / 16)
			SAME(lapic.reg[i]);
	for (unsigned i = 0; i < 3; i++) {
		SAME(pit.ch[i].write_low); SAME(pit.ch[i].status_latched); SAME(pit.ch[i].mode); SAME(pit.ch[i].rw);
		SAME(pit.ch[i].bcd); SAME(pit.ch[i].gate); SAME(pit.ch[i].latched); SAME(pit.ch[i].read_high);
		SAME(pit.ch[i].write_high);
		if (x->pit.ch[i].latched) {
			SAME(pit.ch[i].latch); SAME(pit.ch[i].latch_high);
		}
		if (x->pit.ch[i].status_latched)
			SAME(pit.ch[i].status);
	}
	SAME(pit.speaker); SAME(gsi);
}

static u32 rnd(u32 *state, u32 below)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state % below;
}

/* Chips in some state that a guest can bring about, but for what KVM has not got (vmm/kvm_chips.h). */
static void scramble(struct machine *m, u32 *r)
{
	static const u16 com[] = { COM1, COM2 };
	static const u32 modes[] = { 0, 0x100, 0x8000, 0x8100 };

	pic_setup(m, rnd(r, 2) ? 0x01 : 0x03, 0xffff);
	for (unsigned i = 0; i < 60; i++) {
		u16 pic = rnd(r, 2) ? 0xa0 : 0x20;
		unsigned n;
		u8 v = (u8)rnd(r, 256);

		switch (rnd(r, 12)) {
		case 0: out8(m, pic, v & ~0x10); break;
		case 1: out8(m, pic + 1, v); break;
		case 2: out8(m, pic, 0x11); break;
		case 3: out8(m, 0x4d0 + rnd(r, 2), v); break;
		case 4: out8(m, 0x43, v & 0xfe); break;
		case 5: out8(m, 0x40 + rnd(r, 3), v); break;
		case 6: in8(m, 0x40 + rnd(r, 3)); break;
		case 7: out8(m, 0x61, v & 2); break;
		case 8: com_line(m, com[rnd(r, 2)], rnd(r, 2)); break;
		case 9:
			n = rnd(r, 8);
			ioapic_write(m, (u8)(0x11 + 2 * n), rnd(r, 2) ? 0 : 0xff000000);
			ioapic_write(m, (u8)(0x10 + 2 * n), modes[rnd(r, 4)] | (rnd(r, 2) ? MASKED : 0) | (0x20 + v % 0xe0));
			break;
		case 10: apic_write(m, 0, 0x300, 0x44000 | (0x20 + v % 0xe0)); break;
		case 11: ack(m, 0); break;
		}
	}
	apic_write(m, 0, 0x80, rnd(r, 256));
	apic_write(m, 0, 0xd0, rnd(r, 256) << 24);
	apic_write(m, 0, TDCR, rnd(r, 16));
	apic_write(m, 0, LVTT, rnd(r, 2) ? PERIODIC | MASKED | 0x40 : DEADLINE | 0x41);
	apic_write(m, 0, TMICT, 2000000000);
}

/* ---- conversions ---- */

/* By how much what was to take `planned` since `began` took longer: this process may be off the CPU at any point of it. */
static u64 late(struct machine *m, u64 began, u64 planned)
{
	u64 taken = now(m) - began;

	return taken > planned ? taken - planned : 0;
}

START_TEST(there_and_back_is_the_same)
{
	for (unsigned seed = 1; seed <= 500; seed++) {
		struct machine *m = one_cpu(false);
		struct kvm_chips_image k;
		struct chips_state s, t;
		u32 r = seed * 2654435761u;

		set_time(m, SEC);
		scramble(m, &r);
		snapshot(m, &s);
		t = s;
		kvm_chips_encode(&s, now(m), &k);
		for (unsigned i = 0; i < 3; i++)
			k.pit.channels[i].count_load_time = 1000 * (s64)SEC;
		kvm_chips_decode(&k, now(m), 1000 * SEC, &t);
		same(&t, &s, seed);
		machine_free(m);
	}
}
END_TEST

START_TEST(kvm_s_words)
{
	struct machine *m = one_cpu(false);
	struct kvm_chips_image k;
	struct chips_state s;

	set_time(m, SEC);
	pic_setup(m, 0x01, 0xffff);
	out8(m, 0x20, 0xc0 | 3);		/* 3 has the lowest priority */
	com_line(m, COM1, true);
	out8(m, 0xa0, 0x11);
	out8(m, 0xa1, 0x70);			/* the slave waits for ICW3 */
	out8(m, 0x43, 0x34);
	out8(m, 0x40, 0);
	out8(m, 0x40, 0);
	route(m, 3, 0x400, 0);			/* NMI */
	com_line(m, COM2, true);
	apic_write(m, 0, TDCR, 0);		/* by 2 */
	apic_write(m, 0, LVTT, 0x55);
	apic_write(m, 0, TMICT, 1000);
	snapshot(m, &s);
	kvm_chips_encode(&s, now(m) + 500, &k);
	ck_assert_uint_eq(k.pic[0].priority_add, 4);
	ck_assert_uint_eq(k.pic[0].last_irr, BIT(4) | BIT(3));
	ck_assert_uint_eq(k.pic[0].elcr_mask, 0xf8);
	ck_assert_uint_eq(k.pic[1].elcr_mask, 0xde);
	ck_assert_uint_eq(k.pic[1].init_state, 2);
	ck_assert_uint_eq(k.pic[1].init4, 1);
	ck_assert_uint_eq(k.lines, BIT(4) | BIT(3));
	ck_assert_uint_eq(k.ioapic.irr, BIT(4));
	ck_assert_uint_eq(k.pit.channels[0].count, 65536);
	ck_assert_uint_eq(k.pit.channels[0].write_state, 3);
	ck_assert_uint_eq(load32(k.lapic.regs + TMICT), 1000);
	ck_assert_uint_eq(load32(k.lapic.regs + TMCCT), 750);
	/* Half of a one-shot is left. */
	out8(m, 0x43, 0x30);
	out8(m, 0x40, 0x10);
	out8(m, 0x40, 0x27);
	out8(m, 0x43, 0xd8);			/* latch channel 2: KVM counts which byte comes */
	out8(m, 0x43, 0x80);
	in8(m, 0x42);
	snapshot(m, &s);
	kvm_chips_encode(&s, now(m) + tick_ns(5000, PIT_HZ), &k);
	ck_assert_uint_ge(k.pit.channels[0].count, 5000);
	ck_assert_uint_le(k.pit.channels[0].count, 5001);
	ck_assert_uint_eq(k.pit.channels[2].count_latched, 2);
	ck_assert(!k.pit_ran_out);
	/* An APIC one-shot that is over must not begin again. */
	run(m, 20 * MS);
	snapshot(m, &s);
	kvm_chips_encode(&s, now(m), &k);
	ck_assert_uint_eq(load32(k.lapic.regs + TMICT), 0);
	ck_assert(k.pit_ran_out);
	machine_free(m);
}
END_TEST

START_TEST(an_expired_count_that_kvm_has_not_delivered)
{
	struct chips_state s = { 0 };
	struct kvm_chips_image k = { 0 };

	k.apic_base = PC_LAPIC_BASE | 0x900;
	store32(k.lapic.regs + LVTT, 0x55);
	store32(k.lapic.regs + TMICT, 1000);
	kvm_chips_decode(&k, SEC, SEC, &s);
	ck_assert_uint_eq(s.lapic.timer_due, SEC);
	store32(k.lapic.regs + 0x220, BIT(0x15));	/* in IRR: delivered */
	kvm_chips_decode(&k, SEC, SEC, &s);
	ck_assert_uint_eq(s.lapic.timer_due, 0);
	store32(k.lapic.regs + TMCCT, 10);
	kvm_chips_decode(&k, SEC, SEC, &s);
	ck_assert_uint_eq(s.lapic.timer_due, SEC + 11 * 2);
	store32(k.lapic.regs + LVTT, DEADLINE | 0x55);
	k.tsc_deadline = 12345;
	kvm_chips_decode(&k, SEC, SEC, &s);
	ck_assert_uint_eq(s.lapic.timer_due, 0);
	ck_assert_uint_eq(s.lapic.tsc_deadline, 12345);
}
END_TEST

/* ---- with KVM ---- */

START_TEST(through_kvm_and_back_is_the_same)
{
	if (!kvm_open())
		return;
	for (unsigned seed = 1; seed <= 30; seed++) {
		struct machine *m = one_cpu(true);
		struct chips_state s, t;
		u32 r = seed * 2654435761u;

		scramble(m, &r);
		/* Channel 0 quiet: its tick would be a difference. */
		out8(m, 0x43, 0x38);
		out8(m, 0x40, 0xff);
		out8(m, 0x40, 0xff);
		for (unsigned i = 0; i < 3; i++) {
			snapshot(m, &s);
			load(m);
			store(m);
			snapshot(m, &t);
			same(&t, &s, seed);
		}
		machine_free(m);
	}
	kvm_close();
}
END_TEST

START_TEST(lines_reach_kvm)
{
	struct machine *m = one_cpu(true);

	if (kvm_open()) {
		pic_setup(m, 0x01, BIT(3));
		route(m, 4, 0x8000 | 0x61, 0);
		com_line(m, COM2, true);
		ck_assert_int_eq(ack(m, 0), 0x33);
		load(m);
		ck_assert_uint_eq(kvm_pic(0).irr & ~1u, 0);	/* the line is up, and no edge */
		com_line(m, COM2, false);
		com_line(m, COM2, true);
		com_line(m, COM1, true);
		ck_assert_uint_eq(kvm_pic(0).irr & ~1u, BIT(3) | BIT(4));
		ck_assert_uint_eq(kvm_lapic(0x230), BIT(1));
		store(m);
		ck_assert(ioapic_read(m, 0x18) & BIT(14));
		ck_assert_int_eq(ack(m, 0), 0x61);
		com_line(m, COM1, false);
		apic_write(m, 0, EOI, 0);
		ck_assert(!(ioapic_read(m, 0x18) & BIT(14)));
		out8(m, 0x20, 0x20);
		ck_assert_int_eq(ack(m, 0), 0x33);
		kvm_close();
	}
	machine_free(m);
}
END_TEST

/*
 * An edge-triggered input of the I/O APIC that has been up for long is no edge, but KVM
 * knows that it is up: telling it again changes nothing.
 */
START_TEST(kvm_knows_what_is_up)
{
	struct machine *m = one_cpu(true);
	const struct kvm_irq_level up = { .irq = 4, .level = 1 };

	if (kvm_open()) {
		route(m, 4, 0x61, 0);
		com_line(m, COM1, true);
		ck_assert_int_eq(ack(m, 0), 0x61);
		apic_write(m, 0, EOI, 0);
		load(m);
		ck_assert_uint_eq(kvm_lapic(0x230), 0);
		ck_assert_int_eq(ioctl(kvm.vm, KVM_IRQ_LINE, &up), 0);
		ck_assert_uint_eq(kvm_lapic(0x230), 0);
		com_line(m, COM1, false);
		com_line(m, COM1, true);
		ck_assert_uint_eq(kvm_lapic(0x230), BIT(1));
		kvm_close();
	}
	machine_free(m);
}
END_TEST

START_TEST(pit_phase_comes_back)
{
	struct machine *m = one_cpu(true);
	struct chips_state s;

	if (kvm_open()) {
		out8(m, 0x43, 0x34);
		out8(m, 0x40, 0x00);
		out8(m, 0x40, 0x80);			/* 32768 ticks: 27.46 ms */
		load(m);
		u64 began = now(m), period = tick_ns(32768, PIT_HZ), to_go;
		sleep_ns(40 * MS);
		ck_assert(kvm_pic(0).irr & 1);
		store(m);
		to_go = period - (now(m) - began) % period;
		snapshot(m, &s);
		ck_assert_uint_eq(s.pit.ch[0].count, 32768);
		ck_assert_uint_ge(s.pit.due + MS + late(m, began, 40 * MS), now(m) + to_go);
		ck_assert_uint_le(s.pit.due, now(m) + to_go + MS + late(m, began, 40 * MS));
		/* Stopped over there. */
		struct kvm_pic_state p = kvm_pic(0), none = { .imr = 0xff };
		struct kvm_irqchip c = { .chip_id = 0, .chip.pic = none };
		ck_assert(p.irr & 1);
		ck_assert_int_eq(ioctl(kvm.vm, KVM_SET_IRQCHIP, &c), 0);
		sleep_ns(60 * MS);
		ck_assert_uint_eq(kvm_pic(0).irr, 0);
		kvm_close();
	}
	machine_free(m);
}
END_TEST

START_TEST(pit_one_shot_runs_on)
{
	struct machine *m = one_cpu(true);
	struct chips_state s;
	u64 began;

	if (kvm_open()) {
		pic_setup(m, 0x01, BIT(0));
		out8(m, 0x43, 0x38);			/* mode 4: its output is high already */
		ack(m, 0);
		out8(m, 0x20, 0x20);
		began = now(m);
		out8(m, 0x40, 0x00);
		out8(m, 0x40, 0xc0);			/* 49152 ticks: 41.2 ms */
		sleep_ns(10 * MS);
		load(m);
		sleep_ns(5 * MS);
		ck_assert(!(kvm_pic(0).irr & 1) || now(m) > began + 41 * MS);
		store(m);
		snapshot(m, &s);
		ck_assert_uint_ge(s.pit.due, began + 41 * MS);
		ck_assert_uint_le(s.pit.due, began + 45 * MS + late(m, began, 15 * MS));
		load(m);
		while (now(m) < began + 60 * MS)
			sleep_ns(5 * MS);
		ck_assert(kvm_pic(0).irr & 1);
		store(m);
		ck_assert_int_eq(ack(m, 0), 0x30);
		out8(m, 0x20, 0x20);
		/* It is over: neither here nor there a second one. */
		snapshot(m, &s);
		ck_assert_uint_eq(s.pit.due, TIMER_NEVER);
		load(m);
		sleep_ns(70 * MS);
		ck_assert_uint_eq(kvm_pic(0).irr & 1, 0);
		store(m);
		snapshot(m, &s);
		ck_assert_uint_eq(s.pit.due, TIMER_NEVER);
		ck_assert_int_eq(ack(m, 0), -1);
		kvm_close();
	}
	machine_free(m);
}
END_TEST

START_TEST(lapic_timers_run_on)
{
	struct machine *m = one_cpu(true);
	u64 began, deadline, t;

	if (kvm_open()) {
		began = now(m);
		apic_write(m, 0, TDCR, 0xb);		/* by 1 */
		apic_write(m, 0, LVTT, 0x55);
		apic_write(m, 0, TMICT, 2000 * MS);
		load(m);
		sleep_ns(20 * MS);
		ck_assert_uint_le(kvm_lapic(TMCCT), 1980 * MS);
		store(m);
		t = apic_read(m, 0, TMCCT);
		ck_assert_uint_ge(t + (now(m) - began), 2000 * MS);
		ck_assert_uint_le(t + (now(m) - began), 2010 * MS + late(m, began, 20 * MS));
		/* A deadline. */
		apic_write(m, 0, LVTT, DEADLINE | 0x56);
		deadline = rdtsc() + m->clock.tsc_hz * 100;
		ck_assert(pc_msr_write(m->pc, 0, MSR_DEADLINE, deadline));
		load(m);
		store(m);
		ck_assert(pc_msr_read(m->pc, 0, MSR_DEADLINE, &t));
		ck_assert_uint_eq(t, deadline);
		/* One that passes over there. */
		deadline = rdtsc() + m->clock.tsc_hz / 100;
		ck_assert(pc_msr_write(m->pc, 0, MSR_DEADLINE, deadline));
		load(m);
		sleep_ns(30 * MS);
		store(m);
		bus_run_timers(m->bus);
		ck_assert_int_eq(ack(m, 0), 0x56);
		kvm_close();
	}
	machine_free(m);
}
END_TEST

START_TEST(a_failure_leaves_the_models_going)
{
	struct machine *m = one_cpu(true);

	ck_assert_int_lt(kvm_chips_load(m->pc, &m->clock, -1, -1), 0);
	ck_assert(!pc_chips_external(m->pc));
	machine_free(m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("kvm_chips");
	TCase *t = tcase_create("kvm_chips");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, there_and_back_is_the_same);
	tcase_add_test(t, kvm_s_words);
	tcase_add_test(t, an_expired_count_that_kvm_has_not_delivered);
	tcase_add_test(t, through_kvm_and_back_is_the_same);
	tcase_add_test(t, lines_reach_kvm);
	tcase_add_test(t, kvm_knows_what_is_up);
	tcase_add_test(t, pit_phase_comes_back);
	tcase_add_test(t, pit_one_shot_runs_on);
	tcase_add_test(t, lapic_timers_run_on);
	tcase_add_test(t, a_failure_leaves_the_models_going);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
