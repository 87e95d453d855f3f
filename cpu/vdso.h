/*
 * The fast system call: a patched copy of the guest's vDSO page, shown only in
 * the user window.  See vdso.c.
 */
#ifndef CPU_VDSO_H
#define CPU_VDSO_H

#include "cpu/exec.h"

/* Host pages that user code may see: the stub, then one patched copy. */
#define USER_PAGES_SIZE (2 * PAGE_SIZE)

/* The default place of the stub in the user window; Linux has nothing of its users' up here. */
#define STUB_ADDRESS 0xf0000000u

/*
 * Executor start: show the stub at STUB_ADDRESS.  x->user_pages is a writable
 * view of the USER_PAGES_SIZE bytes behind x->user_fd.  Negative errno.
 */
int vdso_attach(struct exec *x, struct space *s);
/* Once for all executors: what the stub page holds. */
void vdso_init(struct exec *x);

/*
 * User code has just executed SYSENTER the slow way, at v.eip if the host CPU
 * tells (AMD), else wherever the thread's TCB says the vDSO is.  Patch the page
 * if it is the known sequence.
 */
void vdso_learn(struct exec *x);

/* The linear address of the patched site that leads to this offset of the stub page. */
lin_t vdso_site(const struct exec *x, u32 stub_offset);

/*
 * Is v.eip where user code must not run from the patched copy: inside a
 * replaced sequence, or anywhere in the page while single-stepping?
 */
bool vdso_wants_original(const struct exec *x);

/* The guest wrote to the page: forget the copy. */
void vdso_forget(struct exec *x);

#endif
