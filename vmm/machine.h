/*
 * struct machine: what the files that make a virtual machine out of its parts
 * share.  Everybody else knows struct vm.
 */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

#include "bt/bt.h"
#include "cpu/cpuid.h"
#include "cpu/engine.h"
#include "cpu/kvm.h"
#include "cpu/kvm_host.h"
#include "cpu/vdso.h"
#include "vmm/boot.h"
#include "vmm/guest_symbols.h"
#include "vmm/vm.h"

/*
 * Where a machine's shared memory is, far from anything the host puts anywhere:
 * one slot for each machine of a process.
 */
#define SLOTS_BASE   ((u8 *)0x200000000000ull)
#define SLOT_SIZE    0x10000000000ull
#define SLOT_COUNT   16u
#define IN_ARENA     0ull
#define IN_RAM       0x1000000000ull
#define IN_CODE_RW   0x2000000000ull
#define IN_CODE_RX   0x3000000000ull
#define IN_USER_PAGES 0x3800000000ull

_Static_assert(IN_RAM + RAM_SIZE_MAX <= IN_CODE_RW && IN_USER_PAGES + USER_PAGES_SIZE <= SLOT_SIZE, "they do not overlap");

struct machine {
	struct vm vm;		/* first: a struct vm * is a struct machine * */
	u8 *slot;
	u64 arena_size;
	/* In the arena. */
	struct exec *exec;
	struct pool *pool;
	struct space *spaces;		/* [cfg.executors] */
	struct shadow *shadow;		/* [cfg.executors + 1], the last one tracks code */
	u8 *shadow_tables;		/* of all of them */
	u64 shadow_tables_size;		/* of each */
	struct bt *bt;
	u8 *bt_tables;
	u64 bt_tables_size;
	/* Elsewhere in the slot. */
	u8 *code_rw, *code_rx;
	u8 *user_pages;
	int ram_fd, code_fd, user_fd;

	struct cpuid_table cpuid;
	struct kvm_host hw;		/* what /dev/kvm offers */
	struct platform platform;
	struct boot_files files;
	struct symbols *symbols;		/* --symbols FILE */
	struct guest_symbols *names;
	int doorbell[SERIAL_MAX + 1];		/* eventfds of the back ends, the debug console's last; as at power-on */
	struct vcpu *frozen;			/* a dead executor's CPU, made fit to be looked at */
	s64 wall_clock;				/* UTC at guest time 0 */
	lin_t min_addr;
	u64 max_maps;
	bool engine_dropped;			/* bt's memory is zero */
	bool built;				/* the arena holds a machine that may have run */
};

static inline struct machine *machine_of(struct vm *vm) { return (struct machine *)vm; }

/* ---- machine.c ---- */

struct bt_config engine_config(const struct config *cfg);
/*
 * Between two executors.  Renew: the next one starts anew on the same machine, and
 * trusts nothing that the last has left.  Drop: what bt had made is gone, its
 * memory the host's again; takes long, and may be done while hw runs.  Negative errno.
 */
int machine_renew_engine(struct machine *m, enum engine_mode engine);
int machine_drop_engine(struct machine *m);

/* ---- executor.c ---- */

/* A new executor that is not the machine's yet. */
struct executor { int pid, fd; };

/*
 * Fork an executor for this engine, to be this space of the pool, and have it make
 * what it can of its own, while another may be running the guest.  0, or negative errno with one line in
 * err and nothing left.
 */
int executor_make(struct machine *m, enum engine_mode engine, unsigned space, struct executor *e, char *err, size_t errlen);
/*
 * Space 0: the machine is yours; it takes the state over from the arena and runs.  No other may
 * be running.  Other spaces: wait for the vCPU.  0, or negative errno with one line in err, and it is gone without a trace in the arena.
 */
int executor_go(struct machine *m, struct executor *e, char *err, size_t errlen);
/* Not needed after all. */
void executor_discard(struct executor *e);
/* An executor's exit status when the machine is in the arena, for the next one. */
#define EXECUTOR_PARKED 80

/* ---- pool.c ---- */

/* Kill all but space 0's; they are gone on return. */
void pool_dismiss(struct vm *vm);
/* The process that has the vCPU now, as far as is known; 0: none. */
int pool_running(const struct vm *vm);

/* ---- platform.c ---- */

/* In an executor, its own; NULL in the monitor.  Which side of the fork a process is on is per process by nature. */
extern struct exec *executor_self;

/* What the CPU needs of the devices, and the devices of the CPU. */
void platform_init(struct machine *m);
void platform_connect(struct machine *m, struct pc_config *pc);

/* ---- stop.c ---- */

/* Executor: the monitor is to look at what this one has left for it in the arena. */
void vm_ring(const struct vm *vm);
/* Monitor: out of guest code, or out of HLT. */
void vm_kick(struct vm *vm);

#endif
