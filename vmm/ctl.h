/*
 * `ringer ctl`: the client of a machine's control socket.
 */
#ifndef VMM_CTL_H
#define VMM_CTL_H

/* The words after `ctl'.  The process's exit status. */
int ctl(int argc, char **argv);

#endif
