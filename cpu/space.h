/*
 * The pool of address spaces.
 *
 * A process has one address space, so an executor can show one of the guest's at a
 * time in its windows.  The pool is a set of executor processes, each of which keeps the
 * one that it showed last: a *space* is such a process, with its shadow.  All of
 * them run the same vCPU, one at a time: a MOV CR3 to an address space that
 * another space shows hands the vCPU over to it, by a futex, instead of unmapping one
 * program and refilling another.  What a space missed while it slept it learns
 * on arrival: pages flushed from two logs, the rest by comparing its snapshots.
 *
 * Everything here is in the arena, and belongs to whichever process has the vCPU; the
 * others touch nothing but their `turn` and, in a signal handler, `armed_deadline`.
 *
 * Under hw there is one space, for what a process needs besides its shadow.
 */
#ifndef CPU_SPACE_H
#define CPU_SPACE_H

#include "base/types.h"
#include "mmu/shadow.h"

#define SPACES_MAX 64u
#define ALT_STACK_SIZE 65536u
#define AFFINITY_WORDS 16u

struct exec;

/* What other spaces have to do when the vCPU comes to them; a power of two of entries. */
#define LOG_FLUSHES  256u	/* linear pages of INVLPG */
#define LOG_PROTECTS 4096u	/* guest pages that code was found in */

/* The paging mode that a shadow was filled under. */
struct paging_mode { bool paging, pae, pse, nxe; };

struct space {
	struct shadow *shadow;
	u32 index;
	u32 ready;		/* its process waits for a turn, or has one */
	u32 turn;		/* futex: how often the vCPU came here */
	bool keyed;
	u32 cr3;		/* the address space shown, if keyed */
	u64 used;		/* pool.arrivals when the vCPU was here last */
	struct paging_mode mode;
	u32 flushes_seen, protects_seen, globals_seen, patches_seen;

	int tid;
	int timer_id;
	u64 armed_deadline;	/* what its timer is set to, guest ns */
	int cpu;		/* the host CPU it is pinned to; -1: none */
	u64 arrived;		/* TSC */
	u64 affinity[AFFINITY_WORDS];	/* as it was at the start */

	/* First words: the struct exec and this, for signal handlers. */
	_Alignas(ALT_STACK_SIZE) u8 alt_stack[ALT_STACK_SIZE];
};

struct pool {
	struct space *space;	/* [max] */
	u32 max;		/* at most so many executors */
	u32 current;		/* index of the one that has the vCPU */
	u32 next;		/* ...and of the one that CR3 belongs to */
	u32 wanted;		/* so many executors would be of use: the monitor makes them */
	u64 arrivals;
	int host_cpu;		/* where the vCPU was handed over last; -1: nobody knows */
	struct shadow *code;	/* maps nothing: tracks the linear pages that code was fetched through */
	struct patched_page patched;
	u32 flushes, protects, globals;		/* how many there have been */
	u32 flushed[LOG_FLUSHES], protect[LOG_PROTECTS];
	u8 fleeting[1u << 20];	/* by linear page: how often INVLPG took it out of the kernel window, up to FLEETING */
};

/* A page of the kernel window that comes and goes so often is not mapped for a single access (Linux: kmap). */
#define FLEETING 8

/* Zeroed memory becomes a pool of `max` spaces, of which `space[0]` starts with the vCPU. */
void pool_init(struct pool *p, struct space *spaces, u32 max);

/* In the process that is to be `s`, outside the cage: remember where it may run.  Negative errno. */
int space_attach(struct space *s);
/* First word of the process's life as a space: sleep until the vCPU comes here. */
void space_await(struct exec *x, struct space *s);
/*
 * Between two instructions: if CR3 is another space's, hand the vCPU to it, and return
 * true when it has come back to this process.
 */
bool space_settle(struct exec *x, struct space *self);
/* The guest is being left: the vCPU to space 0.  Returns there only. */
void space_go_home(struct exec *x, struct space *self);
/* The vCPU's timer has come while it was here: an executor that nobody hands over from may run anywhere. */
void space_tick(struct exec *x);

/* ---- what the guest does to its page tables and code; in the space that has the vCPU ---- */

void space_load_cr3(struct exec *x);
void space_invlpg(struct exec *x, lin_t lin);
/* Has `lin` been mapped in the kernel window for a short while only, again and again? */
bool space_fleeting(const struct exec *x, lin_t lin);
void space_change_mode(struct exec *x);		/* CR0.PG/WP, CR4.PAE/PSE/PGE, EFER.NXE */
/* Code is being translated from this guest page: writes to it are to be noticed. */
void space_protect_code(struct exec *x, u32 gpage);
/* The same, and what `lin`, where it was fetched, leads to. */
void space_track_code(struct exec *x, lin_t lin, gpa_t gpa);

/* User code sees the page's patched copy (pool.patched) from now on, at `lin` first; or no longer. */
void space_patch(struct exec *x, lin_t lin, u32 gpage);
void space_unpatch(struct exec *x);

#endif
