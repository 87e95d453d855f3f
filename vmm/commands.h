/*
 * What the control commands do to the machine, for the socket and the control
 * console alike.  Runs in the monitor only.
 */
#ifndef VMM_COMMANDS_H
#define VMM_COMMANDS_H

#include "vmm/control.h"
#include "vmm/vm.h"

struct commander {
	struct vm *vm;
	u64 since;		/* monotonic ns: the monitor's start */
	bool powered_on;	/* false: the guest is held back until a serial port's client has come */
	u32 asked;		/* statistics: number of the last request to the executor */
};

/* A control_execute; opaque is a struct commander. */
json_t *command_execute(void *opaque, struct control_request *rq);

/*
 * Statistics on demand: ask the executor to bring its counters up to date; look
 * whether it has, or will not in time, or there is none.
 */
struct stats_wait {
	u32 number;
	u64 deadline;		/* monotonic ns */
};
struct stats_wait command_ask_stats(struct commander *c);
bool command_stats_in(const struct commander *c, const struct stats_wait *w);

#endif
