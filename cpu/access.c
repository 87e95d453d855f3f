/*
 * Guest linear memory for the VMM acting as the CPU (see cpu/access.h).
 *
 * The fast path is a hit in the software TLB on an access that stays in its
 * page: a compare of tag, generation and right, then a plain load or store of
 * the RAM mapping.  It carries every descriptor load and exception frame.
 * Everything else takes the walk; only RAM enters the TLB, so a hit never
 * means a device.
 *
 * Invariant: a writing right in the TLB implies that D is set in the leaf
 * entry.  A missing right is never an answer, only a reason to walk again;
 * that gives the guest the upgrade of rights without INVLPG that the manual
 * promises after a fault.  (SDM vol. 3 sections 4.8, 4.10.)
 */
#include <assert.h>
#include "cpu/access.h"

static_assert(ACC_WRITE == 1 && ACC_USER == 2 && ACC_FETCH == 4, "the TLB's rights are indexed by acc & 7");

#define ACC_RIGHT(acc) BIT((acc) & 7)

static inline struct soft_tlb_entry *tlb_entry(struct vcpu *v, lin_t lin)
{
	return &v->tlb.entry[(lin >> PAGE_SHIFT) % SOFT_TLB_ENTRIES];
}

/* Host address of [lin, lin+len) if the TLB allows `acc` to it, else NULL. */
static inline u8 *tlb_hit(struct vcpu *v, lin_t lin, unsigned len, unsigned acc)
{
	const struct soft_tlb_entry *e = tlb_entry(v, lin);

	if (((e->tag ^ lin) & ~PAGE_MASK) || e->gen != v->tlb.gen || !(e->tag & ACC_RIGHT(acc)) ||
	    (lin & PAGE_MASK) + len > PAGE_SIZE)
		return NULL;
	return e->host + (lin & PAGE_MASK);
}

/*
 * Frames and descriptors are a few words: for those the compiler's REP MOVS for
 * a copy of unknown length costs more than everything else here together.
 */
static inline void copy(void *to, const void *from, unsigned len)
{
	u8 *d = to;
	const u8 *s = from;

	if (len > 128) {
		__builtin_memcpy(d, s, len);
		return;
	}
	for (; len >= 8; len -= 8, d += 8, s += 8)
		store64(d, load64(s));
	if (len & 4) {
		store32(d, load32(s));
		d += 4;
		s += 4;
	}
	if (len & 2) {
		store16(d, load16(s));
		d += 2;
		s += 2;
	}
	if (len & 1)
		*d = *s;
}

static u32 rights_of(const struct vcpu *v, const struct walk_result *r)
{
	u32 rights = ACC_RIGHT(ACC_READ);

	if (r->user)
		rights |= ACC_RIGHT(ACC_USER);
	if (r->dirty && (r->writable || !v->walk.wp))
		rights |= ACC_RIGHT(ACC_WRITE);
	if (r->dirty && r->writable && r->user)
		rights |= ACC_RIGHT(ACC_WRITE | ACC_USER);
	if (!r->nx)
		rights |= ACC_RIGHT(ACC_FETCH) | (r->user ? ACC_RIGHT(ACC_FETCH | ACC_USER) : 0);
	return rights;
}

/*
 * Translate one byte's address.  On success *host is its place in RAM, or NULL
 * for MMIO at *gpa.
 */
static bool translate(struct vcpu *v, lin_t lin, unsigned acc, u8 **host, gpa_t *gpa)
{
	struct walk_result r;
	struct soft_tlb_entry *e;
	u32 fault;
	u8 *p = tlb_hit(v, lin, 1, acc);

	if (p) {
		*host = p;
		*gpa = (gpa_t)(p - v->phys->ram);
		return true;
	}
	fault = walk(&v->walk, lin, acc, &r);
	if (fault)
		return exc_raise_pf(v, fault & ~PF_FAULT, lin);
	*gpa = r.gpa;
	if (!phys_is_ram(v->phys, r.gpa)) {
		*host = NULL;
		return true;
	}
	*host = v->phys->ram + r.gpa;
	e = tlb_entry(v, lin);
	e->tag = (lin & ~PAGE_MASK) | rights_of(v, &r);
	e->gen = v->tlb.gen;
	e->host = v->phys->ram + (r.gpa & ~(gpa_t)PAGE_MASK);
	return true;
}

static unsigned to_page_end(lin_t lin, unsigned len)
{
	unsigned room = PAGE_SIZE - (lin & PAGE_MASK);

	return len < room ? len : room;
}

/* The largest naturally aligned device access that starts at gpa. */
static unsigned mmio_chunk(gpa_t gpa, unsigned len)
{
	unsigned n = 8;

	while (n > len || (gpa & (n - 1)))
		n >>= 1;
	return n;
}

static void mmio_read(struct vcpu *v, gpa_t gpa, u8 *buf, unsigned len)
{
	while (len) {
		unsigned n = mmio_chunk(gpa, len);
		u64 val = v->platform->mmio_read(v->platform->opaque, v->index, gpa, n);

		__builtin_memcpy(buf, &val, n);
		buf += n;
		gpa += n;
		len -= n;
	}
}

static void mmio_write(struct vcpu *v, gpa_t gpa, const u8 *buf, unsigned len)
{
	while (len) {
		unsigned n = mmio_chunk(gpa, len);
		u64 val = 0;

		__builtin_memcpy(&val, buf, n);
		v->platform->mmio_write(v->platform->opaque, v->index, gpa, n, val);
		buf += n;
		gpa += n;
		len -= n;
	}
}

bool mem_probe(struct vcpu *v, lin_t lin, unsigned len, unsigned acc)
{
	while (len) {
		unsigned n = to_page_end(lin, len);
		u8 *host;
		gpa_t gpa;

		if (!translate(v, lin, acc, &host, &gpa))
			return false;
		lin += n;
		len -= n;
	}
	return true;
}

bool mem_is_ram(struct vcpu *v, lin_t lin, unsigned acc)
{
	struct exception saved = v->exc;
	u8 *host;
	gpa_t gpa;

	if (translate(v, lin, acc, &host, &gpa))
		return host;
	v->exc = saved;
	return false;
}

static bool read_slow(struct vcpu *v, lin_t lin, u8 *buf, unsigned len, unsigned acc)
{
	/* A read of a device may have side effects: none unless all of the access succeeds. */
	if ((lin & PAGE_MASK) + len > PAGE_SIZE && !mem_probe(v, lin, len, acc))
		return false;
	while (len) {
		unsigned n = to_page_end(lin, len);
		u8 *host;
		gpa_t gpa;

		if (!translate(v, lin, acc, &host, &gpa))
			return false;
		if (host)
			copy(buf, host, n);
		else
			mmio_read(v, gpa, buf, n);
		buf += n;
		lin += n;
		len -= n;
	}
	return true;
}

/*
 * After the probe the second pass can fail only if another CPU withdrew the
 * mapping in between, which that CPU's TLB shootdown protocol must expect.
 */
static bool write_slow(struct vcpu *v, lin_t lin, const u8 *buf, unsigned len, unsigned acc)
{
	if ((lin & PAGE_MASK) + len > PAGE_SIZE && !mem_probe(v, lin, len, acc))
		return false;
	while (len) {
		unsigned n = to_page_end(lin, len);
		u8 *host;
		gpa_t gpa;

		if (!translate(v, lin, acc, &host, &gpa))
			return false;
		if (host) {
			copy(host, buf, n);
			phys_dirty(v->phys, gpa, n);
		} else {
			mmio_write(v, gpa, buf, n);
		}
		buf += n;
		lin += n;
		len -= n;
	}
	return true;
}

bool mem_read(struct vcpu *v, lin_t lin, void *buf, unsigned len, unsigned acc)
{
	const u8 *p = tlb_hit(v, lin, len, acc);

	if (!p)
		return read_slow(v, lin, buf, len, acc);
	copy(buf, p, len);
	return true;
}

bool mem_write(struct vcpu *v, lin_t lin, const void *buf, unsigned len, unsigned acc)
{
	u8 *p = tlb_hit(v, lin, len, acc | ACC_WRITE);

	if (!p)
		return write_slow(v, lin, buf, len, acc | ACC_WRITE);
	copy(p, buf, len);
	phys_dirty(v->phys, (gpa_t)(p - v->phys->ram), len);
	return true;
}

/* The sized forms: an aligned one is a single host load or store, hence atomic as on the CPU. */
#define SIZED_READ(bits) \
bool mem_read##bits(struct vcpu *v, lin_t lin, u##bits *val, unsigned acc) \
{ \
	const u8 *p = tlb_hit(v, lin, bits / 8, acc); \
\
	if (!p) \
		return read_slow(v, lin, (u8 *)val, bits / 8, acc); \
	__builtin_memcpy(val, p, bits / 8); \
	return true; \
}

#define SIZED_WRITE(bits) \
bool mem_write##bits(struct vcpu *v, lin_t lin, u##bits val, unsigned acc) \
{ \
	u8 *p = tlb_hit(v, lin, bits / 8, acc | ACC_WRITE); \
\
	if (!p) \
		return write_slow(v, lin, (const u8 *)&val, bits / 8, acc | ACC_WRITE); \
	__builtin_memcpy(p, &val, bits / 8); \
	phys_dirty(v->phys, (gpa_t)(p - v->phys->ram), bits / 8); \
	return true; \
}

SIZED_READ(8)
SIZED_READ(16)
SIZED_READ(32)
SIZED_READ(64)
SIZED_WRITE(8)
SIZED_WRITE(16)
SIZED_WRITE(32)

unsigned mem_peek(struct vcpu *v, lin_t lin, void *buf, unsigned len)
{
	u8 *out = buf;
	unsigned done = 0;

	while (done < len) {
		unsigned n = to_page_end(lin, len - done);
		struct walk_result r;

		if (walk(&v->walk, lin, ACC_READ | ACC_PEEK, &r) || !phys_read(v->phys, r.gpa, out + done, n))
			break;
		done += n;
		lin += n;
	}
	return done;
}

void mem_tlb_flush(struct vcpu *v)
{
	if (++v->tlb.gen == 0) {	/* wrapped: entries of the first generations would come alive */
		__builtin_memset(v->tlb.entry, 0, sizeof(v->tlb.entry));
		v->tlb.gen = 1;
	}
}

void mem_tlb_flush_page(struct vcpu *v, lin_t lin)
{
	struct soft_tlb_entry *e = tlb_entry(v, lin);

	/* A large page may sit in any entry that it covers; INVLPG of one drops them all. */
	if (v->walk.pae || v->walk.pse)
		mem_tlb_flush(v);
	else if (((e->tag ^ lin) & ~PAGE_MASK) == 0)
		e->tag = 0;
}
