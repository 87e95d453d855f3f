/*
 * Looking at a machine from the monitor: its memory, its interrupts, its hottest
 * blocks.  The arena is only read as numbers; pointers are our own.
 */
#include <string.h>
#include <unistd.h>
#include "cpu/arch.h"
#include "vmm/machine.h"
#include "vmm/memory_use.h"

struct pc_stats vm_interrupts(const struct vm *vm)
{
	struct pc_stats s = pc_stats(vm->pc);

	for (size_t i = 0; i < ARRAY_SIZE(s.irq); i++)
		s.irq[i] += vm->past.irq[i];
	s.lapic_timer += vm->past.lapic_timer;
	s.ipi += vm->past.ipi;
	s.spurious += vm->past.spurious;
	s.timer_fires += vm->past.timer_fires;
	return s;
}

void vm_measure_processes(struct vm *vm)
{
	u64 bytes = memory_of_process((int)getpid()) +
		    (vm->executor_pid > 0 ? memory_of_process(vm->executor_pid) : 0);

	for (unsigned i = 1; i <= vm->members; i++)
		bytes += memory_of_process(vm->member[i]);
	vm->shared->counters.mem_process = max_u64(vm->shared->counters.mem_process, bytes);
}

void vm_measure_memory(struct vm *vm)
{
	struct machine *m = machine_of(vm);
	struct counters *c = &vm->shared->counters;

	vm_measure_processes(vm);
	c->mem_code = memory_of_file(m->code_fd);
	c->mem_blocks = memory_touched(m->bt_tables, m->bt_tables_size);
	c->mem_shadow = memory_touched(m->shadow_tables, m->shadow_tables_size * (vm->cfg.executors + 1));
	c->mem_machine = memory_touched(m->slot + IN_ARENA, m->arena_size) - c->mem_blocks - c->mem_shadow;
}

/* One row an address: an address has several blocks when it was translated more than once. */
static unsigned merge_profile(struct profile_block *b, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned j = 0;

		while (j < kept && b[j].eip != b[i].eip)
			j++;
		if (j < kept)
			b[j].runs += b[i].runs;
		else
			b[kept++] = b[i];
	}
	for (unsigned i = 1; i < kept; i++)
		for (unsigned j = i; j > 0 && b[j - 1].runs < b[j].runs; j--) {
			struct profile_block t = b[j];

			b[j] = b[j - 1];
			b[j - 1] = t;
		}
	return kept;
}

/* The CPU as the executor left it, but for its pointers: with it the guest's memory can be read. */
static struct vcpu *freeze(struct machine *m)
{
	struct vcpu *v = m->frozen;

	*v = (struct vcpu){ .cr0 = m->exec->v.cr0, .cr3 = m->exec->v.cr3, .cr4 = m->exec->v.cr4,
			    .efer = m->exec->v.efer, .phys = &m->vm.phys };
	memcpy(v->pdpte, m->exec->v.pdpte, sizeof(v->pdpte));
	vcpu_update_paging(v);
	return v;
}

unsigned vm_profile(struct vm *vm, struct profile_row *out, unsigned max)
{
	struct machine *m = machine_of(vm);
	struct profile_block blocks[4 * PROFILE_MAX];
	struct bt_config cfg = engine_config(&vm->cfg);
	struct counters unused;
	struct bt bt = { 0 };	/* with our own pointers to the tables */
	unsigned n;

	bt_init(&bt, &cfg, &vm->phys, &unused, m->code_rw, m->code_rx, m->bt_tables);
	bt.block_count = m->bt->block_count < BLOCKS_MAX ? m->bt->block_count : BLOCKS_MAX;
	n = merge_profile(blocks, bt_profile(&bt, blocks, ARRAY_SIZE(blocks)));
	n = n < max ? n : max;
	guest_symbols_look(m->names, freeze(m));
	for (unsigned i = 0; i < n; i++) {
		out[i] = (struct profile_row){ .guest_eip = blocks[i].eip, .count = blocks[i].runs };
		out[i].symbol = guest_symbols_find(m->names, blocks[i].eip, &out[i].offset);
	}
	return n;
}
