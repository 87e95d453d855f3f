/*
 * Sensitive instructions: what guest kernel code may not do to the host, or
 * would silently do differently.  CLI and STI are inline; the rest call out.
 */
#include "base/log.h"
#include "bt/xlate.h"

/* After a callout that may have changed what the rest of the block depends on, leave. */
static void callout_then_leave(struct xlat *t, callout_fn fn, u32 arg)
{
	emit_callout_end(t, fn, arg);
}

static void xlate_cli_sti(struct xlat *t, bool enable)
{
	struct emit *e = &t->e;
	u8 *idle;

	t->bt->count->class_flags++;
	if (!(t->mode & MODE_IOPL)) {
		emit_callout(t, co_cli_sti, enable);	/* #GP, or virtual interrupts */
		return;
	}
	if (!enable) {
		e_store_imm_x(e, VF(iff), 0);
		return;
	}
	e_load_x(e, H_R12, VF(iff));
	e_store_imm_x(e, VF(iff), EFLAGS_IF);
	e_mov64(e, H_R11, H_CX);
	e_load_x(e, H_CX, VF(intr_pending));
	e8(e, 0x67); e8(e, 0xe3);
	idle = e_rel8(e);
	e_mov64(e, H_CX, H_R11);
	e_store_x(e, XF(tmp), H_R12);
	emit_callout(t, co_sti_pending, 0);
	e8(e, 0x0f); e8(e, 0x0b);
	e_here8(e, idle);
	e_mov64(e, H_CX, H_R11);
	t->no_end = true;
}

/* r/m16 or r32 operand `n` as a value in tmp. */
static void operand_to_tmp(struct xlat *t, unsigned n, unsigned size)
{
	bool high;

	if (t->i.op[n].type == ZYDIS_OPERAND_TYPE_MEMORY) {
		emit_load(t, H_R8, size, &t->i.ea, 0);
		e_store_x(&t->e, XF(tmp), H_R8);
	} else {
		e_store_x(&t->e, XF(tmp), decode_reg(t->i.op[n].reg.value, &high));
	}
}

/* SLDT, STR, SMSW: a value in tmp to an r/m destination (memory: 16 bits). */
static void tmp_to_operand(struct xlat *t)
{
	bool high;

	e_load_x(&t->e, H_R10, XF(tmp));
	if (t->i.op[0].type == ZYDIS_OPERAND_TYPE_MEMORY) {
		emit_store(t, H_R10, 2, &t->i.ea, 0);
	} else {
		if (t->i.opsize == 2)
			e8(&t->e, 0x66);
		e_mov(&t->e, decode_reg(t->i.op[0].reg.value, &high), H_R10);
	}
}

static void offset_to_ea(struct xlat *t)
{
	emit_offset(t, &t->i.ea);
	e_store_x(&t->e, XF(ea), H_R8);
}

/* LDS, LES, LFS, LGS, LSS; BOUND; LGDT...: operand in memory, done by the callout. */
static u32 far_pointer_arg(const struct xlat *t, unsigned seg)
{
	bool high;

	return seg | (u32)decode_reg(t->i.op[0].reg.value, &high) << 4 | (u32)t->i.opsize << 8 | (u32)t->i.ea.seg << 12;
}

/*
 * XSAVE and its like with the component mask reduced to the guest's XCR0: EDX:EAX
 * are replaced for the one instruction; on a fault they are in r10 and r9.
 */
static void xlate_xsave(struct xlat *t)
{
	struct emit *e = &t->e;
	enum site_form form = form_of(t, 0);

	if (!t->flat || form == FORM_CALLOUT || t->i.ea.seg >= SEG_FS || t->i.ea.asize != 4) {
		/* Through the bounce buffer the mask is still wanted: rare enough to refuse. */
		trace(unimp, "XSAVE with a segmented operand at %08x", t->eip);
		emit_raise(t, EXC_UD);
		return;
	}
	emit_callout(t, co_xmask, 0);
	emit_offset(t, &t->i.ea);
	if (form == FORM_CHECKED) {
		emit_window_lookup(t);
		e_lea(e, true, H_R8, H_R8, H_R9, 0, 0);
	}
	e_mov(e, H_R9, H_AX);
	e_mov(e, H_R10, H_DX);
	mark(t, 0, RECOVER_AXDX);
	e_load_x(e, H_AX, XF(xmask_lo));
	e_load_x(e, H_DX, XF(xmask_hi));
	if (form == FORM_KERNEL)
		e8(e, 0x65);
	if (form != FORM_CHECKED)
		e8(e, 0x67);
	e8(e, 0x41);
	for (unsigned n = t->i.opcode_at; n < t->i.modrm_at; n++)
		e8(e, t->i.bytes[n]);
	e_mem(e, t->i.z.raw.modrm.reg, H_R8, H_NONE, 0, 0);
	e_mov(e, H_AX, H_R9);
	e_mov(e, H_DX, H_R10);
	mark(t, 0, RECOVER_NONE);
}

static bool is_control(ZydisRegister r) { return ZydisRegisterGetClass(r) == ZYDIS_REGCLASS_CONTROL; }
static bool is_debug(ZydisRegister r) { return ZydisRegisterGetClass(r) == ZYDIS_REGCLASS_DEBUG; }
static bool is_segment_reg(ZydisRegister r) { return r >= ZYDIS_REGISTER_ES && r <= ZYDIS_REGISTER_GS; }

/* Where the control registers are; CR1 does not exist. */
static const u32 cr_field[5] = { VF(cr0), 0, VF(cr2), VF(cr3), VF(cr4) };

/* MOV with a control, debug or segment register; false: an ordinary MOV. */
static bool xlate_special_mov(struct xlat *t)
{
	const ZydisDecodedOperand *d = &t->i.op[0], *s = &t->i.op[1];
	bool high;

	if (d->type == ZYDIS_OPERAND_TYPE_REGISTER && (is_control(d->reg.value) || is_debug(d->reg.value))) {
		bool cr = is_control(d->reg.value);
		u32 n = (u32)(d->reg.value - (cr ? ZYDIS_REGISTER_CR0 : ZYDIS_REGISTER_DR0));
		callout_then_leave(t, cr ? co_cr_write : co_dr_write, n | (u32)decode_reg(s->reg.value, &high) << 8);
		return true;
	}
	if (s->type == ZYDIS_OPERAND_TYPE_REGISTER && (is_control(s->reg.value) || is_debug(s->reg.value))) {
		bool cr = is_control(s->reg.value);
		u32 n = (u32)(s->reg.value - (cr ? ZYDIS_REGISTER_CR0 : ZYDIS_REGISTER_DR0));
		if (cr && !(t->mode & MODE_CPL) && n < ARRAY_SIZE(cr_field) && cr_field[n]) {
			e_load_x(&t->e, decode_reg(d->reg.value, &high), cr_field[n]);
			return true;
		}
		emit_callout(t, cr ? co_cr_read : co_dr_read, n | (u32)decode_reg(d->reg.value, &high) << 8);
		return true;
	}
	if (d->type == ZYDIS_OPERAND_TYPE_REGISTER && is_segment_reg(d->reg.value)) {
		xlate_mov_to_segment(t);
		return true;
	}
	if (s->type == ZYDIS_OPERAND_TYPE_REGISTER && is_segment_reg(s->reg.value)) {
		xlate_mov_from_segment(t);
		return true;
	}
	return false;
}

static void xlate_port(struct xlat *t, bool in)
{
	const ZydisDecodedOperand *port = &t->i.op[in ? 1 : 0], *data = &t->i.op[in ? 0 : 1];
	u32 size = data->size / 8u;

	/* size 3 bits, immediate port flag, port */
	emit_callout(t, in ? co_in : co_out, size | (port->type == ZYDIS_OPERAND_TYPE_IMMEDIATE ?
		     BIT(4) | ((u32)port->imm.value.u & 0xff) << 8 : 0));
}

bool xlate_system(struct xlat *t)
{
	struct insn *i = &t->i;
	bool priv = (t->mode & MODE_CPL) != 0;
	bool high;

	switch (i->z.mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		if (!xlate_special_mov(t))
			return false;
		break;
	case ZYDIS_MNEMONIC_CLI: xlate_cli_sti(t, false); return true;
	case ZYDIS_MNEMONIC_STI: xlate_cli_sti(t, true); return true;
	case ZYDIS_MNEMONIC_HLT: callout_then_leave(t, co_hlt, 0); break;
	case ZYDIS_MNEMONIC_IN: xlate_port(t, true); break;
	case ZYDIS_MNEMONIC_OUT: xlate_port(t, false); break;
	case ZYDIS_MNEMONIC_INT:
		callout_then_leave(t, co_soft_int, (u32)i->op[0].imm.value.u & 0xff);
		break;
	case ZYDIS_MNEMONIC_INT3: callout_then_leave(t, co_soft_int, EXC_BP); break;
	case ZYDIS_MNEMONIC_INT1: emit_raise(t, EXC_DB); break;
	case ZYDIS_MNEMONIC_INTO: emit_callout(t, co_into, 0); break;
	case ZYDIS_MNEMONIC_BOUND:
		offset_to_ea(t);
		emit_callout(t, co_bound, far_pointer_arg(t, 0));
		break;
	case ZYDIS_MNEMONIC_IRET: case ZYDIS_MNEMONIC_IRETD:
		callout_then_leave(t, co_iret, i->opsize);
		break;
	case ZYDIS_MNEMONIC_SYSENTER: callout_then_leave(t, co_sysenter, 0); break;
	case ZYDIS_MNEMONIC_SYSEXIT: callout_then_leave(t, co_sysexit, 0); break;
	case ZYDIS_MNEMONIC_LDS: offset_to_ea(t); emit_callout(t, co_load_far, far_pointer_arg(t, SEG_DS)); break;
	case ZYDIS_MNEMONIC_LES: offset_to_ea(t); emit_callout(t, co_load_far, far_pointer_arg(t, SEG_ES)); break;
	case ZYDIS_MNEMONIC_LFS: offset_to_ea(t); emit_callout(t, co_load_far, far_pointer_arg(t, SEG_FS)); break;
	case ZYDIS_MNEMONIC_LGS: offset_to_ea(t); emit_callout(t, co_load_far, far_pointer_arg(t, SEG_GS)); break;
	case ZYDIS_MNEMONIC_LSS:
		offset_to_ea(t);
		emit_callout(t, co_load_far, far_pointer_arg(t, SEG_SS));
		t->no_end = true;
		break;
	case ZYDIS_MNEMONIC_CPUID: emit_callout(t, co_cpuid, 0); break;
	case ZYDIS_MNEMONIC_RDMSR: emit_callout(t, co_rdmsr, 0); break;
	case ZYDIS_MNEMONIC_WRMSR: callout_then_leave(t, co_wrmsr, 0); break;
	case ZYDIS_MNEMONIC_RDPMC: emit_callout(t, co_rdpmc, 0); break;
	case ZYDIS_MNEMONIC_RDTSC:
		if (!priv)
			return false;		/* the host's counter is the guest's */
		emit_callout(t, co_rdtsc, 0);
		break;
	case ZYDIS_MNEMONIC_CLTS: emit_callout(t, co_clts, 0); break;
	case ZYDIS_MNEMONIC_LMSW:
		operand_to_tmp(t, 0, 2);
		callout_then_leave(t, co_lmsw, 0);
		break;
	case ZYDIS_MNEMONIC_SMSW:
		emit_callout(t, co_store_selector, 2);
		tmp_to_operand(t);
		break;
	case ZYDIS_MNEMONIC_SLDT:
		emit_callout(t, co_store_selector, 0);
		tmp_to_operand(t);
		break;
	case ZYDIS_MNEMONIC_STR:
		emit_callout(t, co_store_selector, 1);
		tmp_to_operand(t);
		break;
	case ZYDIS_MNEMONIC_INVLPG:
		offset_to_ea(t);
		callout_then_leave(t, co_invlpg, CM_SEG(i->ea.seg));
		break;
	case ZYDIS_MNEMONIC_WBINVD: case ZYDIS_MNEMONIC_INVD:
		emit_callout(t, co_wbinvd, 0);
		break;
	case ZYDIS_MNEMONIC_LGDT: offset_to_ea(t); emit_callout(t, co_lgdt, CM_SEG(i->ea.seg) | (u32)i->opsize); break;
	case ZYDIS_MNEMONIC_LIDT: offset_to_ea(t); emit_callout(t, co_lgdt, CM_SEG(i->ea.seg) | (u32)i->opsize | CM_WRITE); break;
	case ZYDIS_MNEMONIC_SGDT: offset_to_ea(t); emit_callout(t, co_sgdt, CM_SEG(i->ea.seg) | (u32)i->opsize); break;
	case ZYDIS_MNEMONIC_SIDT: offset_to_ea(t); emit_callout(t, co_sgdt, CM_SEG(i->ea.seg) | (u32)i->opsize | CM_WRITE); break;
	case ZYDIS_MNEMONIC_LLDT: operand_to_tmp(t, 0, 2); emit_callout(t, co_system_segment, 0); break;
	case ZYDIS_MNEMONIC_LTR: operand_to_tmp(t, 0, 2); emit_callout(t, co_system_segment, 1); break;
	case ZYDIS_MNEMONIC_LAR: case ZYDIS_MNEMONIC_LSL:
		operand_to_tmp(t, 1, 2);
		emit_callout(t, co_lar_lsl, decode_reg(i->op[0].reg.value, &high) | (u32)i->opsize << 8 |
			     (i->z.mnemonic == ZYDIS_MNEMONIC_LSL ? BIT(16) : 0));
		break;
	case ZYDIS_MNEMONIC_VERR: operand_to_tmp(t, 0, 2); emit_callout(t, co_verify, 0); break;
	case ZYDIS_MNEMONIC_VERW: operand_to_tmp(t, 0, 2); emit_callout(t, co_verify, 1); break;
	case ZYDIS_MNEMONIC_ARPL:
		/* source register in the argument; destination r/m16 through tmp */
		operand_to_tmp(t, 0, 2);
		emit_callout(t, co_arpl, decode_reg(i->op[1].reg.value, &high));
		e_load_x(&t->e, H_R10, XF(tmp));
		if (i->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY) {
			emit_store(t, H_R10, 2, &i->ea, 0);
		} else {
			e8(&t->e, 0x66);
			e_mov(&t->e, decode_reg(i->op[0].reg.value, &high), H_R10);
		}
		break;
	case ZYDIS_MNEMONIC_AAA: emit_callout(t, co_bcd, 0x37); break;
	case ZYDIS_MNEMONIC_AAS: emit_callout(t, co_bcd, 0x3f); break;
	case ZYDIS_MNEMONIC_DAA: emit_callout(t, co_bcd, 0x27); break;
	case ZYDIS_MNEMONIC_DAS: emit_callout(t, co_bcd, 0x2f); break;
	case ZYDIS_MNEMONIC_AAM: emit_callout(t, co_bcd, 0xd4 | ((u32)i->op[0].imm.value.u & 0xff) << 8); break;
	case ZYDIS_MNEMONIC_AAD: emit_callout(t, co_bcd, 0xd5 | ((u32)i->op[0].imm.value.u & 0xff) << 8); break;
	case ZYDIS_MNEMONIC_SALC: emit_callout(t, co_salc, 0); break;
	case ZYDIS_MNEMONIC_XGETBV: emit_callout(t, co_xgetbv, 0); break;
	case ZYDIS_MNEMONIC_XSETBV: emit_callout(t, co_xsetbv, 0); break;
	case ZYDIS_MNEMONIC_XSAVE: case ZYDIS_MNEMONIC_XRSTOR:
		xlate_xsave(t);
		t->bt->count->class_memory++;
		return true;
	/* Not offered by the guest's CPUID, or of privileged meaning on the host. */
	case ZYDIS_MNEMONIC_XSAVEOPT: case ZYDIS_MNEMONIC_XSAVEC: case ZYDIS_MNEMONIC_XSAVES:
	case ZYDIS_MNEMONIC_XRSTORS: case ZYDIS_MNEMONIC_CLAC: case ZYDIS_MNEMONIC_STAC:
	case ZYDIS_MNEMONIC_MONITOR: case ZYDIS_MNEMONIC_MWAIT: case ZYDIS_MNEMONIC_MONITORX: case ZYDIS_MNEMONIC_MWAITX:
	case ZYDIS_MNEMONIC_INVPCID: case ZYDIS_MNEMONIC_SYSCALL: case ZYDIS_MNEMONIC_SYSRET:
	case ZYDIS_MNEMONIC_RDTSCP: case ZYDIS_MNEMONIC_RDPID: case ZYDIS_MNEMONIC_RDPKRU: case ZYDIS_MNEMONIC_WRPKRU:
	case ZYDIS_MNEMONIC_VMCALL: case ZYDIS_MNEMONIC_VMLAUNCH: case ZYDIS_MNEMONIC_VMRESUME: case ZYDIS_MNEMONIC_VMXOFF:
	case ZYDIS_MNEMONIC_VMXON: case ZYDIS_MNEMONIC_VMPTRLD: case ZYDIS_MNEMONIC_VMPTRST: case ZYDIS_MNEMONIC_VMCLEAR:
	case ZYDIS_MNEMONIC_VMREAD: case ZYDIS_MNEMONIC_VMWRITE: case ZYDIS_MNEMONIC_VMFUNC:
	case ZYDIS_MNEMONIC_INVEPT: case ZYDIS_MNEMONIC_INVVPID:
	case ZYDIS_MNEMONIC_VMMCALL: case ZYDIS_MNEMONIC_VMRUN: case ZYDIS_MNEMONIC_VMLOAD: case ZYDIS_MNEMONIC_VMSAVE:
	case ZYDIS_MNEMONIC_STGI: case ZYDIS_MNEMONIC_CLGI: case ZYDIS_MNEMONIC_SKINIT: case ZYDIS_MNEMONIC_INVLPGA:
	case ZYDIS_MNEMONIC_RSM: case ZYDIS_MNEMONIC_GETSEC: case ZYDIS_MNEMONIC_PCONFIG: case ZYDIS_MNEMONIC_ENCLS:
	case ZYDIS_MNEMONIC_ENCLU: case ZYDIS_MNEMONIC_ENCLV: case ZYDIS_MNEMONIC_SWAPGS:
	case ZYDIS_MNEMONIC_XBEGIN: case ZYDIS_MNEMONIC_XEND: case ZYDIS_MNEMONIC_XABORT: case ZYDIS_MNEMONIC_XTEST:
	case ZYDIS_MNEMONIC_UD0: case ZYDIS_MNEMONIC_UD1: case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_MOVDIR64B: case ZYDIS_MNEMONIC_ENQCMD: case ZYDIS_MNEMONIC_ENQCMDS:
	case ZYDIS_MNEMONIC_INCSSPD: case ZYDIS_MNEMONIC_RDSSPD: case ZYDIS_MNEMONIC_SETSSBSY: case ZYDIS_MNEMONIC_CLRSSBSY:
	case ZYDIS_MNEMONIC_RSTORSSP: case ZYDIS_MNEMONIC_SAVEPREVSSP: case ZYDIS_MNEMONIC_WRSSD: case ZYDIS_MNEMONIC_WRUSSD:
		emit_raise(t, EXC_UD);
		break;
	default:
		return false;
	}
	t->bt->count->class_callout++;
	return true;
}
