/*
 * steady: what its parts share.  steady.c conducts; steady-cpu.c has the jobs
 * about the CPU's registers and code, steady-system.c those about clocks and the kernel,
 * steady-storm.c those that only --storm adds.
 */
#ifndef STEADY_H
#define STEADY_H

#include "check.h"

#include <pthread.h>

enum { PAGE = 4096, JOBS_MAX = 24, MS = 1000000 };
enum clock { MONOTONIC, REALTIME, RAW, BOOTTIME, TSC, CLOCKS };

struct slot {			/* of a job */
	int pid;
	u32 rounds, sum;
	u64 last;		/* when it last finished a round */
};

struct shared {			/* between all processes */
	int stop, failed, quiet;	/* quiet: let the machine be idle for a while */
	int clock_read;			/* somebody does nothing else: gaps mean something */
	int countdown;			/* to the fault to be injected */
	char message[500];
	u64 start;
	struct slot slot[JOBS_MAX];
	pthread_mutex_t clock_lock;
	u64 base[CLOCKS], newest[CLOCKS], max_gap, tsc_per_ms;
};

struct options {
	u32 seconds, max_gap, window, patience, seed, every;
	bool light, no_modules, storm;
	const char *only, *inject;
};

extern struct shared *sh;
extern struct options opt;

/* A job works until next_round() says no.  It counts the round, checks the clocks, and leaves some time to others. */
bool next_round(u32 sum);
void paced(bool yes);		/* whether next_round() sleeps, in this process; default yes */
/* Is it time for this fault?  True once, at a random call, if it is the one that --inject names. */
bool inject(const char *fault);
bool injecting(const char *fault);	/* whether it is the one, at all */
int helper(void);		/* fork(); the child dies with its parent */
u32 pick(u32 low, u32 high);	/* a random number */
u64 mono(void);			/* CLOCK_MONOTONIC by the vDSO */
void nap(u32 ms);		/* sleep, whatever signals come */
u32 crc32(u32 crc, const void *data, size_t n);
long int80(long nr, long a, long b, long c);

/* steady-cpu.c */
void job_cpu(void);
void job_threads(void);
void job_code(void);
void job_ptrace(void);
/* CPU features: SSE2 is taken for granted. */
enum { AVX = 1, AVX512 = 2 };
int cpu_features(void);

/* steady-storm.c */
void job_forks(void);
void job_programs(void);
void job_maps(void);
void job_returns(void);
void job_crowd(void);
void job_chain(void);

/* steady-system.c */
void clock_start(void);
void clock_sample(void);
void job_clock(void);
void job_timer(void);
void job_sleep(void);
void job_process(void);
int process_child(int argc, char **argv);
void job_pipe(void);
void job_signal(void);
void job_memory(void);
void job_futex(void);
void job_kernel(void);
void kernel_log_start(void);
const char *kernel_log_check(void);	/* what it complains about since then, or NULL */

#endif
