/*
 * What the user asked for: the command line, parsed and checked, before any
 * host resource is taken.
 */
#ifndef VMM_CONFIG_H
#define VMM_CONFIG_H

#include "cpu/cpuid.h"

enum exit_status {
	EXIT_POWEROFF = 0,
	EXIT_HOST = 1,		/* host or configuration failure */
	EXIT_USAGE = 2,
	EXIT_REBOOT = 32,	/* guest reset under --no-reboot */
	EXIT_CRASH = 33,	/* triple fault */
	EXIT_PANIC = 34,	/* guest panicked (detected) */
	EXIT_TIMEOUT = 124,
};

enum engine_mode { MODE_BT, MODE_HW, MODE_AUTO };

enum irqchip { IRQCHIP_KERNEL, IRQCHIP_USER };

enum serial_kind { SERIAL_NONE, SERIAL_STDIO, SERIAL_PTY, SERIAL_FILE, SERIAL_UNIX, SERIAL_NULL };

struct serial_config {
	enum serial_kind kind;
	const char *path;	/* file, unix: path */
	bool server;		/* unix: listen instead of connect (default: listen, no wait) */
	bool wait;		/* unix server: wait for a client before the guest starts */
};

#define SERIAL_MAX 4
#define BLOCK_INSNS_MAX 64

struct config {
	const char *kernel, *initrd, *append;
	const char *symbols;		/* --symbols FILE: vmlinux or System.map, for listings and profiles */
	u64 mem;			/* bytes */
	unsigned cpus;
	u64 hide[CPUID_FEATURE_WORDS];	/* --cpu host,-FEATURE: not in CPUID (cpu/cpuid.h) */
	enum engine_mode mode;		/* the engine to start with */
	enum irqchip irqchip;		/* under hw: whose interrupt controllers and timer */
	bool hw_force;			/* --hw-force: hw although nothing assists it */
	const char *control;		/* --control PATH: the control socket; NULL: none */
	struct serial_config serial[SERIAL_MAX];
	struct serial_config debugcon;
	bool debug_exit;
	bool no_reboot;
	u64 timeout_ns;			/* 0: none */
	bool stats;			/* print the report at exit */
	const char *stats_file;		/* JSON */
	bool profile;
	bool verbose;			/* say which engine runs and why */

	/* Translator knobs; every one is also a test configuration. */
	u64 cache_size;			/* code cache bytes, default 32 MiB */
	unsigned block_insns;		/* most instructions in a block, 1..BLOCK_INSNS_MAX; 1 = one-instruction blocks */
	bool no_chain;			/* --no-chain: every exit goes to the dispatcher */
	bool no_user_patching;		/* --no-user-patching: system calls through SIGSYS */
	bool translate_users;		/* --translate-users: no direct execution that could be avoided */
	u32 bisect_lo, bisect_hi;	/* --bisect LO-HI: blocks at guest EIP in this range get one-instruction form: LO <= EIP < HI; both 0: none */
	unsigned executors;		/* --executors: most processes in the pool of address spaces, 1..SPACES_MAX; 0 counts as 1 */
	u64 max_maps;			/* --max-maps: shadow mapping budget, 0 = from vm.max_map_count */
};

#endif
