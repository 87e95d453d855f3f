/*
 * The binary translator: guest kernel code (32-bit, and every other mode) into
 * 64-bit host code in a code cache.
 *
 * Reading order of this folder:
 *   bt.h          the data structures (this file)
 *   decode.c      bytes to instructions (Zydis)
 *   translate.c   one block: the loop over instructions and the table of handlers
 *   xlate_*.c     handlers by class: memory, stack, string, branch, system
 *   emit.h        the emitter
 *   ibtc.c        the table behind indirect branches
 *   cache.c       blocks: allocation, lookup, chaining, invalidation, eviction
 *   site.c        what each memory instruction has taught us (adaptive translation)
 *   fault.c       from a host fault in translated code to a guest exception or another try
 *   callout.c     the C side of instructions that are not translated inline
 *   callout_string.c  ...and of string instructions
 *   run.c         the dispatcher
 *   express.c     transfers between kernel and user code that need no dispatcher
 *   hot.c         programs that are translated for their INT 0x80s
 *   disasm.c      listings for people (Capstone)
 *
 * A block's host code contains no absolute addresses but those of the monitor's
 * own functions; blocks refer to one another by displacement.
 */
#ifndef BT_BT_H
#define BT_BT_H

#include "base/counters.h"
#include "base/types.h"
#include "cpu/exec.h"

/* An entry of the indirect-branch table (ibtc.c). */
struct ibtc_entry {
	u32 tag;	/* the negated target */
	u32 host;	/* code-cache offset */
};

#define IBTC_WAY   65536u	/* entries of one mode */
#define IBTC_WAYS  16u
/* A predicted return: what CALL leaves for RET. */
struct ring_entry {
	u64 tag;	/* -(mode << 32 | return address) */
	u64 host;	/* the landing in the caller's block, a direct exit */
};

#define RING_BYTES 65536u	/* the ring's pointer wraps in its low 16 bits */

#define MODE_COUNT 32768u	/* values of vcpu.mode */

#define BLOCK_BYTES_MAX 240u	/* guest bytes in a block: guest offsets fit 8 bits */
#define BLOCK_INSNS_LIMIT 64u
#define BLOCKS_MAX      (384u * 1024u)
#define MAPS_MAX        (4u * 1024u * 1024u)
#define HASH_SIZE       131072u
#define SITES_SIZE      65536u
#define NO_PAGE         0xffffffffu

/* How a memory access is translated; learnt by fault (site.c). */
enum site_form {
	FORM_KERNEL,	/* through the kernel window */
	FORM_USER,	/* through the user window */
	FORM_CHECKED,	/* window chosen at run time */
	FORM_CALLOUT,	/* by hand: MMIO, code pages, segmented addresses */
};

/* A direct exit of a block. */
struct block_exit {
	u32 target;	/* guest EIP */
	u32 patch;	/* code-cache offset of the jump's rel32; 0: no such exit */
	u32 stub;	/* code-cache offset of the stub that leads to the dispatcher */
	u32 to;		/* linked block + 1, 0: not chained */
	u32 in_next;	/* next edge into the same target: edge id + 1 */
};

/* An edge id is block << 1 | slot. */

#define BLOCK_VALID   1u
#define BLOCK_ONESHOT 2u	/* not in any table */

struct block {
	u32 eip, cs_base, mode;
	u32 mode_end;		/* at its exits (xlate_segment.c) */
	u32 gpage[2];		/* guest physical pages of its bytes; [1] NO_PAGE if one */
	u32 host, host_len;	/* code-cache offset and length */
	u32 cold, cold_len;	/* the same of what is seldom executed: exit stubs, a return's table lookup */
	u32 map;		/* first entry of its fault map */
	u16 map_count;
	u16 guest_len;
	u16 insns;
	u16 flags;
	u32 hash_next;		/* index + 1 */
	u32 page_next[2];	/* per guest page: index + 1 << 1 | which, see cache.c */
	u32 in;			/* first incoming edge id + 1 */
	u32 ind_patch;		/* offset of the indirect lookup's JECXZ displacement; 0: none */
	u32 ind_end;		/* offset past the lookup's final jump */
	u32 ind_miss;		/* offset of the miss path */
	u32 ind_hit;		/* offset past it; 0: no indirect exit */
	u32 ring_patch;		/* the same for the look at the return ring; 0: none */
	u32 ring_hit;		/* offset past that; 0: none */
	u8 ind_rel, ring_rel;	/* the displacements when in service */
	u8 program;		/* whose it is, with MODE_HOT: bt.hot_id */
	u64 runs;		/* --profile: entries through the dispatcher plus counted executions */
	struct block_exit exit[2];
};

/*
 * The fault map: for each group of host instructions, which guest instruction
 * they belong to and how to find the guest's registers there.
 *   host (16)  offset in the block's host code from which this entry holds
 *   guest (8)  offset of the guest instruction in the block
 *   slot (1)   which memory access of the instruction (0 operand, 1 implicit stack / string destination)
 *   recover (7)  enum recover
 */
struct map_entry {
	u16 host;
	u8 guest;
	u8 slot : 1, recover : 7;
};

enum recover {
	RECOVER_NONE,
	RECOVER_AXDX,		/* guest eax is in r9, edx in r10 */
	RECOVER_REG,		/* RECOVER_REG + n: guest register n is in r9 */
	RECOVER_END = RECOVER_REG + 8,
};

struct site {
	u32 key;	/* guest physical address of the instruction */
	u8 form[2];	/* enum site_form, by slot */
	u8 emulated[2];	/* times performed by hand */
	bool fleeting;	/* by hand because of fleeting pages (cpu/space.h) */
	u8 loops;	/* how often it was no longer, for too many accesses at a time */
	u16 mapped;	/* fleeting pages mapped for it since */
	u16 smc;	/* times it wrote to a code page lately */
	u32 smc_since;	/* guest time (ms) at which this count began */
};

/* What a load of a segment register came to (xlate_segment.c). */
struct seg_outcome {
	u64 desc, gdtr;		/* the descriptor; GDT base, limit, IDT limit as they lie in the vCPU */
	struct segment hidden;
	u32 mode;		/* after it */
	u16 sel;
};

struct seg_site {
	u32 gpa, mode;		/* of the instruction; before it */
	struct seg_outcome outcome;
	u8 same, wrong, tries;
	bool known;
};

#define SEG_SITES 512u

/* A program that uses INT 0x80 (hot.c): an address space. */
#define HOT_PROGRAMS 64u
#define HOT_PAGES    128u
#define HOT_LOOKUPS  1024u

struct hot_page { u32 lin, gpage; };	/* page numbers */

struct hot_program {
	u32 cr3;
	bool hot;	/* translated... */
	bool away;	/* ...but on the CPU until its next INT 0x80 */
	u32 heat;	/* INT 0x80s through SIGSYS in close succession */
	u32 slow_sysenters;
	u32 limit;	/* so many of them make it hot; 0: free entry */
	u64 last;	/* guest time of the last one, ns */
	u64 ran;	/* ns in translated code since the last INT 0x80 */
	s64 credit;	/* ns saved by translating, less what it cost */
	u32 pages;
	struct hot_page page[HOT_PAGES];	/* that its blocks were fetched through */
};

struct profile_block { u32 eip; u64 runs; };

struct bt_config {
	u64 cache_size;
	unsigned block_insns;
	bool no_chain;
	bool profile;
	u32 bisect_lo, bisect_hi;
	bool host_is_tcg;	/* the host CPU is QEMU's emulation: avoid its errata */
};

struct bt {
	struct bt_config cfg;
	struct phys_map *phys;
	struct counters *count;
	u8 *rw, *rx;		/* the code cache's two views */
	u32 next, cold_next;	/* first free bytes, of blocks... */
	u32 cold;		/* ...and, from here on, of their cold parts */
	u32 oneshot;		/* bytes of it for both; the one-shot area follows */
	u32 block_count, map_count;
	struct block *blocks;	/* [BLOCKS_MAX]; the last one is the one-shot block */
	struct map_entry *maps;	/* [MAPS_MAX] */
	u32 *hash;		/* [HASH_SIZE] block + 1 */
	u32 *page_blocks;	/* [RAM pages] */
	struct site *sites;	/* [SITES_SIZE] */
	struct ibtc_entry *ibtc;	/* [IBTC_WAYS][IBTC_WAY] */
	struct seg_site seg_sites[SEG_SITES];
	struct ring_entry *ring;	/* [RING_BYTES], aligned to its size */
	u8 ibtc_way[MODE_COUNT];	/* a mode's way + 1; 0: none yet */
	unsigned ibtc_used;
	u32 unlinked[8];	/* blocks (+ 1) whose exits a kick has taken out of service */
	u32 last[64], last_next;	/* blocks entered from the dispatcher, for crash dumps */
	u32 epoch;		/* bumped when the cache is emptied */
	struct hot_program *hot;	/* the current one; NULL: not known to use INT 0x80 */
	u32 hot_cr3;
	u32 hot_id;			/* its number + 1: block.program */
	bool hot_checked;		/* its pages are where they were */
	u64 hot_since;			/* TSC when its translation was entered */
	u32 hot_lookups;
	u32 hot_lookup[HOT_LOOKUPS];	/* its blocks that are in the indirect-branch table */
	struct hot_program hot_programs[HOT_PROGRAMS];
	/* Name of a guest address for listings; may be NULL. */
	const char *(*symbol)(void *opaque, u32 addr, u32 *offset);
	void *symbol_opaque;
};

/* ---- run.c ---- */

u64 bt_tables_size(const struct phys_map *phys);
/* `code_rw`/`code_rx`: two mappings of one memfd of cfg->cache_size bytes. */
void bt_init(struct bt *bt, const struct bt_config *cfg, struct phys_map *phys, struct counters *count,
	     u8 *code_rw, u8 *code_rx, void *tables);
/* Tie the executors' context to the translator: before the first engine_bt.attach. */
void bt_tie(struct bt *bt, struct exec *x);
/* The hooks, which are each process's own. */
void bt_tie_process(struct bt *bt, struct exec *x);
extern const struct engine engine_bt;
/*
 * Back from the guest's page-fault handler: if it has set the PTE, map the page, and spare what faulted
 * the hidden fault.
 */
void bt_prefill(struct exec *x);
/* MOV CR3, INVLPG, mode changes (struct platform's paging_changed). */
void bt_paging_changed(struct vcpu *v, enum paging_change what, lin_t lin);
/* The hottest blocks, most executed first; returns how many. */
unsigned bt_profile(const struct bt *bt, struct profile_block *out, unsigned max);

/* ---- cache.c ---- */

/* Divide the code cache, cfg.cache_size bytes, up. */
void cache_init(struct bt *bt);
struct block *cache_lookup(struct bt *bt, u32 eip, u32 cs_base, u32 mode);
/* A block's memory: NULL when the cache is full (the caller empties it). */
struct block *cache_begin(struct bt *bt, bool oneshot);
void cache_commit(struct bt *bt, struct block *b);
void cache_link(struct bt *bt, struct block *from, unsigned slot, struct block *to);
void cache_invalidate(struct bt *bt, struct exec *x, struct block *b);
/* All blocks with bytes in [gpa, gpa+len); true if there were any. */
bool cache_invalidate_range(struct bt *bt, struct exec *x, gpa_t gpa, u64 len);
/* Blocks of a guest page reached through this linear page: the mapping has changed. */
void cache_forget_linear(struct bt *bt, struct exec *x, u32 lin_page, u32 gpage);
/* The same for the blocks of a hot program, which the above spares. */
void cache_forget_program(struct bt *bt, struct exec *x, u32 program, u32 lin_page, u32 gpage);
void cache_empty(struct bt *bt, struct exec *x);
/* The block whose host code contains this address, or NULL. */
struct block *cache_find_host(struct bt *bt, const u8 *host);
/* Take a block's exits out of service; the dispatcher puts all back with cache_restore_exits. */
void cache_unlink_exits(struct bt *bt, struct block *b);
void cache_restore_exits(struct bt *bt);
static inline u32 block_id(const struct bt *bt, const struct block *b) { return (u32)(b - bt->blocks); }

/* ---- ibtc.c ---- */

/* The way of a mode, a new one if need be; -1: it has none. */
int ibtc_way(struct bt *bt, u32 mode);
/* The code for (eip, mode), or NULL. */
const u8 *ibtc_find(const struct bt *bt, u32 eip, u32 mode);
void ibtc_insert(struct bt *bt, const struct block *b);
void ibtc_remove(struct bt *bt, const struct block *b);
void ibtc_clear(struct bt *bt);
/* The code for the vCPU's state, if there is any: from the table, else from the block hash. */
const u8 *bt_here(struct exec *x);
const u8 *bt_indirect(struct exec *x);

/* ---- express.c ---- */

/* The state is complete, at CPL 3 or another address or mode: RET_JUMP, RET_USER, or RET_DISPATCH if that is to look first. */
u64 bt_go_on(struct exec *x);
/* The fast system call has landed. */
u64 bt_sysenter(struct exec *x);
/* After every way out of guest code: accounts, and user code's state; `ret` again. */
u64 bt_left(struct exec *x, u64 ret);

/* ---- site.c ---- */

/* So many accesses by hand without an INVLPG between are a loop, for which a mapping pays. */
#define BY_HAND_LIMIT 128u
#define LOOPS_MAX     5u

struct site *site_find(struct bt *bt, u32 gpa);		/* NULL: default forms */
struct site *site_get(struct bt *bt, u32 gpa);		/* creates */
/* The instruction at v.eip has made BY_HAND_LIMIT accesses in a row: if fleeting pages are why it does, they no longer are. */
void site_loops(struct exec *x);
/* The instruction at v.eip makes an access by hand. */
static inline void site_by_hand(struct exec *x)
{
	if (++x->by_hand > BY_HAND_LIMIT)
		site_loops(x);
}

/* ---- xlate_segment.c ---- */

/* A load at the instruction's physical address is complete; `before`: the mode it began in. */
void seg_learn(struct exec *x, u32 gpa, u32 before, enum seg s);

/* ---- translate.c ---- */

#define XLATE_ONE     1u	/* one instruction only */
#define XLATE_BY_HAND 2u	/* all its memory accesses in callout form */
#define XLATE_ONESHOT 4u	/* into the one-shot area, in no table */

/*
 * Translate the block at the vCPU's current CS:EIP and mode.  NULL: the fetch
 * raised (v->exc is set).  The guest's FPU state must be saved (Zydis).
 */
struct block *translate(struct bt *bt, struct exec *x, unsigned flags);

/* ---- hot.c ---- */

#define HOT_WRITE_NS 2000	/* what a write to a page with translated code costs */

/* Is the program at hand, which could run directly, to be translated?  Makes it the current one. */
bool hot_now(struct bt *bt, struct exec *x);
/* INT 0x80 or SYSENTER has come as a signal. */
void hot_slow_call(struct bt *bt, struct exec *x, bool sysenter);
/* The current program has run for so long in its translation, to no system call; ... */
void hot_ran(struct bt *bt, u64 ns);
/* ...has cost so much on top of that. */
void hot_charge(struct bt *bt, u64 ns);
/* This block of the current program, not committed yet, is to go when its pages change; is in the indirect-branch table. */
void hot_track(struct bt *bt, struct exec *x, const struct block *b);
void hot_lookup_added(struct bt *bt, const struct block *b);
void hot_cache_emptied(struct bt *bt);
/* The guest has flushed its TLB; one page of it. */
void hot_flushed(struct bt *bt);
void hot_invlpg(struct bt *bt, lin_t lin);
/* Callouts of hot programs' translations: INT 0x80; SYSENTER; what the CPU itself is to execute. */
u64 hot_int80(struct exec *x, u32 arg);
u64 hot_sysenter(struct exec *x, u32 arg);
u64 hot_to_cpu(struct exec *x, u32 arg);

/* ---- fault.c ---- */

u64 bt_fault(struct exec *x, struct sig_frame *f);
void bt_kick(struct exec *x, struct sig_frame *f);
void bt_kick_at(struct exec *x, const u8 *host);

/* ---- disasm.c (uses Capstone and stdio-free formatting; guest FPU state saved) ---- */

void disasm_block(struct bt *bt, const struct block *b, const u8 *guest);

#endif
