/*
 * The image's own end of the native run: results go into a buffer.
 */
#include "core.h"

struct {
	u32 back_off;		/* far pointer to 64-bit code: native_start returns through it */
	u32 back_sel;
	const char *cmdline;
	char *out;
	u32 out_size, out_len;
	u16 flat, seg, seg_limit, code16, flat_cs, pad;
} native_args;
void native_main(void);

static void native_write(const char *s, u32 n)
{
	for (; n && native_args.out_len < native_args.out_size; n--)
		native_args.out[native_args.out_len++] = *s++;
}

void native_main(void)
{
	static const struct platform p = { native_write, NATIVE };
	flat_sel = native_args.flat;
	flat_cs_sel = native_args.flat_cs;
	seg_sel = native_args.seg;
	seg_limit_sel = native_args.seg_limit;
	code16_sel = native_args.code16;
	core_run(&p, native_args.cmdline);
}
