/*
 * KVM's own counters, and where the time went.
 *
 * KVM_GET_STATS_FD (Linux 5.14) gives a file: a header, descriptors with names,
 * and the values, which are read again and again.  How much of KVM_RUN was guest
 * code only the host's scheduler knows: guest_time in /proc/thread-self/stat, as
 * its tick has sampled it.  Where either is missing, its rows stay zero.
 *
 * Source: Linux Documentation/virt/kvm/api.rst, section 4.133; proc(5).
 */
#include <fcntl.h>
#include "cpu/kvm_cpu.h"

#define NS_PER_TICK 10000000ull		/* of USER_HZ, 100 */
#define STAT_GUEST_TIME 43u		/* field of /proc/.../stat, counted from 1 */
#define NO_COUNTER 0xffffu		/* halt time: goes into the sum, not to a row */

static const struct { const char *name; u16 counter; } followed[] = {
	{ "exits", offsetof(struct counters, kvm_exits) },
	{ "io_exits", offsetof(struct counters, kvm_io) },
	{ "mmio_exits", offsetof(struct counters, kvm_mmio) },
	{ "halt_exits", offsetof(struct counters, kvm_halt) },
	{ "irq_exits", offsetof(struct counters, kvm_host_irq) },
	{ "irq_window_exits", offsetof(struct counters, kvm_irq_window) },
	{ "pf_taken", offsetof(struct counters, kvm_page_faults) },
	{ "pf_fixed", offsetof(struct counters, kvm_page_fixed) },
	{ "insn_emulation", offsetof(struct counters, kvm_emulated) },
	{ "invlpg", offsetof(struct counters, kvm_invlpg) },
	{ "tlb_flush", offsetof(struct counters, kvm_tlb_flushes) },
	{ "irq_injections", offsetof(struct counters, kvm_injections) },
	{ "halt_wait_ns", NO_COUNTER },
	{ "halt_poll_success_ns", NO_COUNTER },
	{ "halt_poll_fail_ns", NO_COUNTER },
};

_Static_assert(ARRAY_SIZE(followed) <= KVM_STATS_MAX, "every row has a place");

static bool equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static bool read_at(int fd, void *buf, size_t n, u64 offset)
{
	return sys6(SYS_pread64, fd, (long)buf, (long)n, (long)offset, 0, 0) == (long)n;
}

void kvm_stats_open(struct kvm_cpu *k)
{
	struct { struct kvm_stats_desc d; char name[128]; } desc;
	struct kvm_stats_header h;

	k->task_fd = (int)sys6(SYS_openat, AT_FDCWD, (long)"/proc/thread-self/stat", O_RDONLY | O_CLOEXEC, 0, 0, 0);
	k->stats_fd = (int)kvm_ioctl(k->cpu_fd, KVM_GET_STATS_FD, NULL);
	if (k->stats_fd < 0 || !read_at(k->stats_fd, &h, sizeof(h), 0) || h.name_size > sizeof(desc.name))
		return;
	for (u32 i = 0; i < h.num_desc; i++) {
		u64 at = h.desc_offset + (u64)i * (sizeof(desc.d) + h.name_size);

		if (!read_at(k->stats_fd, &desc, sizeof(desc.d) + h.name_size, at))
			return;
		desc.name[sizeof(desc.name) - 1] = 0;
		for (unsigned f = 0; f < ARRAY_SIZE(followed); f++)
			if (desc.d.size == 1 && equal(desc.name, followed[f].name) && k->stat_count < KVM_STATS_MAX)
				k->stat[k->stat_count++] = (struct kvm_stat){
					.offset = h.data_offset + desc.d.offset, .counter = followed[f].counter,
				};
	}
}

/* Time in guest code so far, of this thread. */
static u64 guest_ns(const struct kvm_cpu *k)
{
	char line[1024];
	unsigned field = 2;
	u64 ticks = 0;
	long n = k->task_fd < 0 ? 0 : sys6(SYS_pread64, k->task_fd, (long)line, sizeof(line) - 1, 0, 0, 0), i = 0;

	if (n <= 0)
		return 0;
	line[n] = 0;
	/* The second field is the name in parentheses, with anything in it. */
	for (long j = 0; j < n; j++)
		if (line[j] == ')')
			i = j;
	for (; line[i] && field < STAT_GUEST_TIME; i++)
		field += line[i] == ' ';
	for (; line[i] >= '0' && line[i] <= '9'; i++)
		ticks = ticks * 10 + (u64)(line[i] - '0');
	return ticks * NS_PER_TICK;
}

/* Counters that only grow: what is new since the last look. */
static u64 advance(u64 now, u64 *last)
{
	u64 new = now > *last ? now - *last : 0;

	*last += new;
	return new;
}

void kvm_stats_count(struct kvm_cpu *k, struct counters *c)
{
	u64 halt = 0, run, guest;

	for (unsigned i = 0; i < k->stat_count; i++) {
		struct kvm_stat *s = &k->stat[i];
		u64 value, new;

		if (!read_at(k->stats_fd, &value, sizeof(value), s->offset))
			continue;
		new = advance(value, &s->last);
		if (s->counter == NO_COUNTER)
			halt += new;
		else
			*(u64 *)((u8 *)c + s->counter) += new;
	}
	/* Three parts of the same time, measured by three clocks: the sum is that of the finest. */
	run = advance(k->ns_run, &k->ns_run_counted);
	guest = advance(guest_ns(k), &k->ns_guest_counted);
	halt = min_u64(halt, run);
	guest = min_u64(guest, run - halt);
	c->ns_idle += halt;
	c->ns_hw_guest += guest;
	c->ns_hw_kernel += run - halt - guest;
}
