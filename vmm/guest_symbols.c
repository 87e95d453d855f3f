/*
 * Names for a guest's addresses (see vmm/guest_symbols.h).
 *
 * The kernel's kallsyms can only be found once it has unpacked and relocated
 * itself and turned paging on, and not every guest is a Linux: so the search is
 * made when a kernel address is asked for, and after a failure again only when
 * twice as many have been asked for.
 */
#include "vmm/guest_symbols.h"

#include <sys/mman.h>

#include "base/sys.h"
#include "cpu/access.h"
#include "cpu/vcpu.h"

#pragma GCC target("general-regs-only")

#define LOWMEM_MAX 0x40000000u	/* a kernel maps its image in the first GiB of its half */

struct guest_symbols {
	struct vcpu *v;
	const struct symbols *given;
	struct symbols *found;
	u64 asked, next_try;
};

struct guest_symbols *guest_symbols_new(struct vcpu *v, const struct symbols *given)
{
	long p = sys_mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct guest_symbols *g = (struct guest_symbols *)p;

	if (p < 0 && p > -4096)
		return NULL;
	*g = (struct guest_symbols){ .v = v, .given = given, .next_try = 1 };
	return g;
}

void guest_symbols_free(struct guest_symbols *g)
{
	if (!g)
		return;
	symbols_free(g->found);
	sys_munmap(g, PAGE_SIZE);
}

void guest_symbols_look(struct guest_symbols *g, struct vcpu *v) { g->v = v; }

void guest_symbols_forget(struct guest_symbols *g)
{
	symbols_free(g->found);
	g->found = NULL;
	g->asked = 0;
	g->next_try = 1;
}

static bool read_guest(void *opaque, u32 lin, void *buf, u32 len)
{
	return mem_peek(opaque, lin, buf, len) == len;
}

/* The beginning of the kernel's half: wherever the user left it (3G/1G, 2G/2G, 1G/3G splits). */
static u32 kernel_half(u32 addr)
{
	return addr & 0xc0000000u;
}

const char *guest_symbols_find(void *opaque, u32 addr, u32 *offset)
{
	struct guest_symbols *g = opaque;

	if (g->given)
		return symbols_find(g->given, addr, offset);
	if (!g->found && kernel_half(addr) && (g->v->cr0 & CR0_PG) && ++g->asked >= g->next_try) {
		u32 lo = kernel_half(addr);

		g->next_try = 2 * g->asked;
		g->found = symbols_from_kallsyms(read_guest, g->v, lo, lo + (LOWMEM_MAX - 1));
	}
	return symbols_find(g->found, addr, offset);
}
