/*
 * One block: fetch, decode, and hand each instruction to its handler, until
 * control leaves, the page ends, or the block is long enough.
 */
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "bt/xlate.h"
#include "cpu/access.h"
#include "cpu/arch.h"

void mark(struct xlat *t, unsigned slot, enum recover r)
{
	struct block *b = t->b;
	struct map_entry *m = &t->bt->maps[b->map + b->map_count];
	u32 host = e_off(&t->e) - b->host;

	CHECK(b->map_count < 1000 && host < 65536);
	if (b->map_count && m[-1].host == host)
		m--;			/* nothing was emitted under the previous one */
	else
		b->map_count++;
	*m = (struct map_entry){ .host = (u16)host, .guest = (u8)(t->eip - b->eip),
				 .slot = slot & 1, .recover = (u8)r & 0x7f };
}

void emit_callout(struct xlat *t, callout_fn fn, u32 arg)
{
	struct emit *e = &t->e;

	mark(t, 0, RECOVER_NONE);
	e_store_imm_x(e, VF(eip), t->eip);
	e_store_imm8_x(e, VF(insn_len), t->i.len);
	e_mov_imm64(e, H_R9, (u64)fn);
	e_mov_imm(e, H_R8, arg);
	/* lea r10, [rip + 7]: past the jump that follows */
	e8(e, 0x4c); e8(e, 0x8d); e8(e, 0x15);
	e32(e, 7);
	e_jmp_x(e, XF(thunk_callout));
	mark(t, 0, RECOVER_NONE);
}

_Static_assert(offsetof(struct exec, thunk_callout) > 127, "emit_callout relies on a 7-byte jmp [r15 + disp32]");

void emit_callout_end(struct xlat *t, callout_fn fn, u32 arg)
{
	emit_callout(t, fn, arg);
	/* A callout that ends a block always returns nonzero. */
	e8(&t->e, 0x0f);
	e8(&t->e, 0x0b);
	t->ended = true;
}

void emit_raise(struct xlat *t, unsigned vector)
{
	emit_callout_end(t, co_raise, vector);
}

/* Does the instruction use x87, MMX, SSE or AVX state? */
static bool uses_fpu(const struct insn *i)
{
	if (i->z.meta.isa_ext == ZYDIS_ISA_EXT_X87)
		return true;
	switch (i->z.mnemonic) {
	case ZYDIS_MNEMONIC_FXSAVE: case ZYDIS_MNEMONIC_FXRSTOR: case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_STMXCSR: case ZYDIS_MNEMONIC_EMMS: case ZYDIS_MNEMONIC_FEMMS:
	case ZYDIS_MNEMONIC_XSAVE: case ZYDIS_MNEMONIC_XRSTOR: case ZYDIS_MNEMONIC_XSAVEOPT:
	case ZYDIS_MNEMONIC_VZEROALL: case ZYDIS_MNEMONIC_VZEROUPPER:
		return true;
	default:
		break;
	}
	for (unsigned n = 0; n < i->z.operand_count; n++)
		if (i->op[n].type == ZYDIS_OPERAND_TYPE_REGISTER)
			switch (ZydisRegisterGetClass(i->op[n].reg.value)) {
			case ZYDIS_REGCLASS_X87: case ZYDIS_REGCLASS_MMX: case ZYDIS_REGCLASS_XMM:
			case ZYDIS_REGCLASS_YMM: case ZYDIS_REGCLASS_ZMM: case ZYDIS_REGCLASS_MASK:
				return true;
			default:
				break;
			}
	return false;
}

static void xlate_lea(struct xlat *t)
{
	struct emit *e = &t->e;
	bool high;
	u8 dst = decode_reg(t->i.op[0].reg.value, &high);
	const struct ea *ea = &t->i.ea;

	if (ea->asize == 4 && t->i.opsize == 4) {
		e_lea(e, false, dst, ea->base, ea->index, ea->scale, ea->disp);
	} else {
		emit_offset(t, ea);
		if (t->i.opsize == 2)
			e8(e, 0x66);
		e_mov(e, dst, H_R8);
	}
	t->bt->count->class_identical++;
}

static void xlate_xlat(struct xlat *t)
{
	struct emit *e = &t->e;
	struct ea ea = { .base = H_R8, .index = H_NONE, .asize = t->i.z.address_width == 16 ? 2 : 4, .seg = SEG_DS };

	for (unsigned n = 0; n < t->i.z.operand_count; n++)
		if (t->i.op[n].type == ZYDIS_OPERAND_TYPE_MEMORY)
			switch (t->i.op[n].mem.segment) {
			case ZYDIS_REGISTER_ES: ea.seg = SEG_ES; break;
			case ZYDIS_REGISTER_CS: ea.seg = SEG_CS; break;
			case ZYDIS_REGISTER_SS: ea.seg = SEG_SS; break;
			case ZYDIS_REGISTER_FS: ea.seg = SEG_FS; break;
			case ZYDIS_REGISTER_GS: ea.seg = SEG_GS; break;
			default: break;
			}
	/* movzx r8d, al */
	e8(e, 0x44); e8(e, 0x0f); e8(e, 0xb6); e8(e, 0xc0);
	e_lea(e, false, H_R8, H_BX, H_R8, 0, 0);
	emit_load(t, H_R8, 1, &ea, 0);
	/* mov al, r8b */
	e8(e, 0x44); e8(e, 0x88); e8(e, 0xc0);
	t->bt->count->class_memory++;
}

/* maskmovq / maskmovdqu: store through [edi]. */
static void xlate_maskmov(struct xlat *t)
{
	struct emit *e = &t->e;

	if (!t->flat || form_of(t, 0) == FORM_CALLOUT) {
		emit_raise(t, EXC_UD);
		return;
	}
	mark(t, 0, RECOVER_NONE);
	if (form_of(t, 0) == FORM_KERNEL)
		e8(e, 0x65);
	e8(e, 0x67);
	for (unsigned n = 0; n < t->i.len; n++)
		if (t->i.bytes[n] != 0x67)
			e8(e, t->i.bytes[n]);
}

/*
 * QEMU's TCG (7.2) computes the flags that CMPXCHG8B leaves alone from a state
 * that is stale unless the instruction begins a block of TCG's, and with them
 * all of EFLAGS: DF and TF may come out set.  A jump to the next instruction
 * begins one.
 */
static void settle_tcg_flags(struct xlat *t)
{
	e8(&t->e, 0xeb);	/* jmp .+2 */
	e8(&t->e, 0);
}

static void xlate_insn(struct xlat *t)
{
	struct counters *c = t->bt->count;

	if ((t->mode & MODE_NOFPU) && uses_fpu(&t->i)) {
		emit_callout(t, co_nofpu, t->i.z.mnemonic == ZYDIS_MNEMONIC_FWAIT ? 2 :
			     t->i.z.meta.isa_ext == ZYDIS_ISA_EXT_X87 ? 0 : 1);
		if (t->i.z.mnemonic != ZYDIS_MNEMONIC_FWAIT) {
			e8(&t->e, 0x0f);
			e8(&t->e, 0x0b);
			t->ended = true;
			c->class_callout++;
			return;
		}
	}
	switch (t->i.z.mnemonic) {
	case ZYDIS_MNEMONIC_NOP: c->class_identical++; return;
	case ZYDIS_MNEMONIC_LEA:
		xlate_lea(t);
		return;
	case ZYDIS_MNEMONIC_PUSH: xlate_push(t); break;
	case ZYDIS_MNEMONIC_POP: xlate_pop(t); break;
	case ZYDIS_MNEMONIC_PUSHA: case ZYDIS_MNEMONIC_PUSHAD: xlate_pusha(t); break;
	case ZYDIS_MNEMONIC_POPA: case ZYDIS_MNEMONIC_POPAD: xlate_popa(t); break;
	case ZYDIS_MNEMONIC_LEAVE: xlate_leave(t); break;
	case ZYDIS_MNEMONIC_ENTER: xlate_enter(t); break;
	case ZYDIS_MNEMONIC_PUSHF: case ZYDIS_MNEMONIC_PUSHFD: xlate_pushf(t); return;
	case ZYDIS_MNEMONIC_POPF: case ZYDIS_MNEMONIC_POPFD: xlate_popf(t); return;
	case ZYDIS_MNEMONIC_JMP: xlate_jmp(t); c->class_branch++; return;
	case ZYDIS_MNEMONIC_CALL: xlate_call(t); c->class_branch++; return;
	case ZYDIS_MNEMONIC_RET: xlate_ret(t); c->class_branch++; return;
	case ZYDIS_MNEMONIC_JCXZ: case ZYDIS_MNEMONIC_JECXZ:
	case ZYDIS_MNEMONIC_LOOP: case ZYDIS_MNEMONIC_LOOPE: case ZYDIS_MNEMONIC_LOOPNE:
		xlate_loop(t);
		c->class_branch++;
		return;
	case ZYDIS_MNEMONIC_XLAT: xlate_xlat(t); return;
	case ZYDIS_MNEMONIC_MASKMOVQ: case ZYDIS_MNEMONIC_MASKMOVDQU: case ZYDIS_MNEMONIC_VMASKMOVDQU:
		xlate_maskmov(t);
		c->class_memory++;
		return;
	case ZYDIS_MNEMONIC_MOVSB: case ZYDIS_MNEMONIC_MOVSW: case ZYDIS_MNEMONIC_MOVSD:
	case ZYDIS_MNEMONIC_CMPSB: case ZYDIS_MNEMONIC_CMPSW: case ZYDIS_MNEMONIC_CMPSD:
	case ZYDIS_MNEMONIC_STOSB: case ZYDIS_MNEMONIC_STOSW: case ZYDIS_MNEMONIC_STOSD:
	case ZYDIS_MNEMONIC_LODSB: case ZYDIS_MNEMONIC_LODSW: case ZYDIS_MNEMONIC_LODSD:
	case ZYDIS_MNEMONIC_SCASB: case ZYDIS_MNEMONIC_SCASW: case ZYDIS_MNEMONIC_SCASD:
	case ZYDIS_MNEMONIC_INSB: case ZYDIS_MNEMONIC_INSW: case ZYDIS_MNEMONIC_INSD:
	case ZYDIS_MNEMONIC_OUTSB: case ZYDIS_MNEMONIC_OUTSW: case ZYDIS_MNEMONIC_OUTSD:
		/* MOVSD and CMPSD are also the names of SSE2 instructions, which have a ModRM byte. */
		if (!t->i.modrm_at) {
			xlate_string(t);
			c->class_string++;
			return;
		}
		goto generic;
	default:
		if (t->i.z.meta.category == ZYDIS_CATEGORY_COND_BR) {
			xlate_jcc(t);
			c->class_branch++;
			return;
		}
		if (xlate_system(t))
			return;
	generic:
		if (t->i.mem >= 0) {
			if (t->bt->cfg.host_is_tcg && t->i.z.mnemonic == ZYDIS_MNEMONIC_CMPXCHG8B)
				settle_tcg_flags(t);
			emit_mem_insn(t);
			(*(t->flat ? &c->class_memory : &c->class_general))++;
		} else {
			emit_identical(t);
			c->class_identical++;
		}
		return;
	}
	c->class_stack++;
}

/* ---- fetching ---- */

struct fetch {
	const u8 *page[2];	/* host addresses of the (up to) two pages */
	u32 gpage[2];
};

static bool fetch_page(struct xlat *t, struct fetch *f, unsigned n, lin_t lin)
{
	struct vcpu *v = &t->x->v;
	struct walk_result r;
	u32 err = walk(&v->walk, lin, ACC_FETCH | (v->cpl == 3 ? ACC_USER : 0), &r);

	if (err) {
		exc_raise_pf(v, err & ~PF_FAULT, lin);
		return false;
	}
	if (!phys_is_ram(t->bt->phys, r.gpa)) {
		log_error("guest executes from %08x, where there is no memory (physical %08x)", lin, (u32)r.gpa);
		exc_raise_error(v, EXC_GP, 0);
		return false;
	}
	f->gpage[n] = (u32)(r.gpa >> PAGE_SHIFT);
	f->page[n] = t->bt->phys->ram + (r.gpa & ~(gpa_t)PAGE_MASK);
	return true;
}

static bool bisected(const struct bt *bt, u32 eip)
{
	return eip >= bt->cfg.bisect_lo && eip < bt->cfg.bisect_hi;
}

/* From now on a write to the block's pages is noticed, and a change of what their addresses lead to. */
static void track(struct bt *bt, struct exec *x, const struct block *b)
{
	lin_t lin = b->cs_base + b->eip;

	if (b->program) {
		hot_track(bt, x, b);
		return;
	}
	space_track_code(x, lin, (gpa_t)b->gpage[0] << PAGE_SHIFT);
	if (b->gpage[1] != NO_PAGE)
		space_track_code(x, (lin & ~PAGE_MASK) + PAGE_SIZE, (gpa_t)b->gpage[1] << PAGE_SHIFT);
}

struct block *translate(struct bt *bt, struct exec *x, unsigned flags)
{
	struct vcpu *v = &x->v;
	struct xlat t = { .bt = bt, .x = x, .flags = flags, .mode = v->mode };
	u32 cs_base = v->seg[SEG_CS].base, limit = v->seg[SEG_CS].limit;
	lin_t lin0 = cs_base + v->eip;
	struct fetch f = { .gpage = { NO_PAGE, NO_PAGE } };
	unsigned max = flags & XLATE_ONE ? 1 : bt->cfg.block_insns;
	bool hot = (t.mode & MODE_HOT) && !(flags & XLATE_ONESHOT);
	u64 start = rdtsc(), spent;
	struct block *b;
	u8 buf[16];

	if (v->eip > limit) {
		exc_raise_error(v, EXC_GP, 0);
		return NULL;
	}
	if (!fetch_page(&t, &f, 0, lin0))
		return NULL;
	b = cache_begin(bt, flags & XLATE_ONESHOT);
	if (!b) {
		bt->count->evictions++;
		cache_empty(bt, x);
		b = cache_begin(bt, false);
		CHECK(b);
	}
	if (bisected(bt, v->eip))
		max = 1;
	b->eip = v->eip;
	b->cs_base = cs_base;
	b->mode = t.mode;
	b->program = hot ? (u8)bt->hot_id : 0;
	b->gpage[0] = f.gpage[0];
	b->gpage[1] = NO_PAGE;
	t.b = b;
	t.e = (struct emit){ .base = bt->rw, .p = bt->rw + b->host };
	t.cold = (struct emit){ .base = bt->rw, .p = bt->rw + b->cold };
	t.flat = (t.mode & (MODE_FLAT | MODE_CODE32 | MODE_PE | MODE_VM)) == (MODE_FLAT | MODE_CODE32 | MODE_PE);
	t.eip = v->eip;
	if (bt->cfg.profile && !(flags & XLATE_ONESHOT)) {
		e_mov_imm64(&t.e, H_R9, (u64)&b->runs);
		/* mov r8, [r9]; lea r8, [r8 + 1]; mov [r9], r8 */
		e8(&t.e, 0x4d); e8(&t.e, 0x8b); e8(&t.e, 0x01);
		e_lea(&t.e, true, H_R8, H_R8, H_NONE, 0, 1);
		e8(&t.e, 0x4d); e8(&t.e, 0x89); e8(&t.e, 0x01);
	}
	for (;;) {
		u32 off = cs_base + t.eip - (lin0 & ~PAGE_MASK);	/* from the start of the first page */
		unsigned avail = off < PAGE_SIZE ? PAGE_SIZE - off : 0;
		const u8 *bytes = f.page[0] + off;
		enum decode_result got;
		bool crosses = false;

		if (avail < 15) {
			/* The instruction may reach into the next page. */
			__builtin_memcpy(buf, bytes, avail);
			got = decode_insn(&t.i, buf, avail, t.mode);
			if (got == DECODE_CUT_OFF) {
				if (b->insns) {
					emit_goto(&t, 0, t.eip);	/* let it start its own block */
					break;
				}
				if (!fetch_page(&t, &f, 1, (lin0 & ~PAGE_MASK) + PAGE_SIZE))
					return NULL;
				__builtin_memcpy(buf + avail, f.page[1], 15 - avail);
				got = decode_insn(&t.i, buf, 15, t.mode);
				crosses = true;
			}
		} else {
			got = decode_insn(&t.i, bytes, avail, t.mode);
		}
		if (got != DECODE_OK)
			t.i.len = 1;
		if (crosses)
			b->gpage[1] = f.gpage[1];
		t.code = bytes;
		t.avail = crosses ? 0 : avail;
		t.next = t.eip + t.i.len;
		t.gpa = (off < PAGE_SIZE ? f.gpage[0] : f.gpage[1]) << PAGE_SHIFT | ((cs_base + t.eip) & PAGE_MASK);
		t.site = site_find(bt, t.gpa);
		t.no_end = false;
		if (got == DECODE_OK && (t.eip + t.i.len - 1 > limit || t.eip + t.i.len - 1 < t.eip)) {
			if (b->insns) {
				emit_goto(&t, 0, t.eip);
				break;
			}
			exc_raise_error(v, EXC_GP, 0);
			return NULL;
		}
		mark(&t, 0, RECOVER_NONE);
		if (hot && xlate_hot(&t, got)) {
			bt->count->class_callout++;	/* INT 0x80, or left to the CPU */
		} else if (got == DECODE_OK) {
			xlate_insn(&t);
		} else {
			emit_raise(&t, got == DECODE_TOO_LONG ? EXC_GP : EXC_UD);
			bt->count->class_callout++;
		}
		b->insns++;
		b->guest_len += t.i.len;
		t.eip = t.next;
		if (t.ended)
			break;
		off = cs_base + t.eip - (lin0 & ~PAGE_MASK);
		if ((b->insns >= max && !(t.no_end && !(flags & XLATE_ONE))) || b->guest_len + 15u > BLOCK_BYTES_MAX || off >= PAGE_SIZE ||
		    (bt->cfg.bisect_hi && bisected(bt, t.eip) != bisected(bt, b->eip))) {
			emit_goto(&t, 0, t.eip);
			break;
		}
	}
	b->mode_end = t.mode;
	emit_stubs(&t);
	b->host_len = e_off(&t.e) - b->host;
	b->cold_len = e_off(&t.cold) - b->cold;
	if (!(flags & XLATE_ONESHOT))
		track(bt, x, b);
	cache_commit(bt, b);
	if (flags & XLATE_ONESHOT) {
		bt->count->oneshot_blocks++;
	} else {
		bt->count->blocks++;
		bt->count->guest_insns += b->insns;
		bt->count->guest_bytes += b->guest_len;
		bt->count->host_bytes += b->host_len + b->cold_len;
		bt->count->cache_used = bt->next + (bt->cold_next - bt->cold);
		if (v->cpl == 3)
			bt->count->user_insns += b->insns;
	}
	spent = clock_tsc_to_ns(x->clock, rdtsc() - start);
	bt->count->translate_ns += spent;
	if (hot) {
		bt->count->hot_translate_ns += spent;
		hot_charge(bt, spent);
	}
	if (trace_on(TRACE_translate)) {
		u8 guest[BLOCK_BYTES_MAX + 16];
		unsigned first = PAGE_SIZE - (lin0 & PAGE_MASK), len = b->guest_len;

		__builtin_memcpy(guest, f.page[0] + (lin0 & PAGE_MASK), len < first ? len : first);
		if (len > first && f.page[1])
			__builtin_memcpy(guest + first, f.page[1], len - first);
		disasm_block(bt, b, guest);
	}
	return b;
}
