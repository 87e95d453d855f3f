/*
 * Symbol tables from files: an ELF image's .symtab, or System.map as nm and
 * the kernel's build write it (see symbols_load in vmm/symbols.h).  The files
 * are the user's, and may be anything.
 */
#define _GNU_SOURCE
#include "vmm/symbols.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1ull << 30)

static struct symbols *fail(char *err, size_t errlen, const char *fmt, ...) PRINTF_LIKE(3, 4);
static struct symbols *fail(char *err, size_t errlen, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, errlen, fmt, ap);
	va_end(ap);
	return NULL;
}

/* ---- ELF ---- */

static bool is_code_or_data(const GElf_Sym *sym)
{
	unsigned type = GELF_ST_TYPE(sym->st_info);

	return sym->st_shndx != SHN_UNDEF && sym->st_shndx != SHN_ABS &&
	       (type == STT_FUNC || type == STT_OBJECT || type == STT_NOTYPE);
}

/* First address past the highest allocated section. */
static u32 image_end(Elf *elf)
{
	Elf_Scn *scn = NULL;
	u64 end = 0;

	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr sh;

		if (gelf_getshdr(scn, &sh) && (sh.sh_flags & SHF_ALLOC))
			end = max_u64(end, sh.sh_addr + sh.sh_size);
	}
	return (u32)min_u64(end, ~0u);
}

static struct symbols *from_symtab(Elf *elf, Elf_Scn *scn, const GElf_Shdr *sh, Elf_Data *data)
{
	u32 n = (u32)min_u64(sh->sh_size / sh->sh_entsize, 1u << 24), bytes = 1;
	struct symbols *s;
	GElf_Sym sym;

	for (u32 i = 0; i < n; i++) {
		const char *name = gelf_getsym(data, (int)i, &sym) ? elf_strptr(elf, sh->sh_link, sym.st_name) : NULL;

		if (name && bytes < FILE_MAX)
			bytes += (u32)strnlen(name, 4096) + 1;
	}
	s = symbols_new(n, bytes);
	for (u32 i = 0; s && i < n; i++) {
		const char *name = gelf_getsym(data, (int)i, &sym) ? elf_strptr(elf, sh->sh_link, sym.st_name) : NULL;

		/* $a, .L1: marks of assemblers, not names. */
		if (name && *name && *name != '$' && strncmp(name, ".L", 2) && is_code_or_data(&sym) &&
		    sym.st_value <= 0xffffffffu)
			symbols_add(s, (u32)sym.st_value, name, (u32)strnlen(name, 4096));
	}
	if (s)
		symbols_seal(s, image_end(elf));
	return s;
}

static struct symbols *load_elf(u8 *image, size_t size, const char *path, char *err, size_t errlen)
{
	struct symbols *s = NULL;
	Elf_Scn *scn = NULL;
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_memory((char *)image, size);
	if (!elf || elf_kind(elf) != ELF_K_ELF) {
		fail(err, errlen, "%s: a broken ELF file", path);
		elf_end(elf);
		return NULL;
	}
	while (!s && (scn = elf_nextscn(elf, scn))) {
		GElf_Shdr sh;
		Elf_Data *data;

		if (gelf_getshdr(scn, &sh) && sh.sh_type == SHT_SYMTAB && sh.sh_entsize &&
		    (data = elf_getdata(scn, NULL)))
			s = from_symtab(elf, scn, &sh, data);
	}
	elf_end(elf);
	if (!s || !symbols_count(s)) {
		symbols_free(s);
		return fail(err, errlen, "%s: no symbol table (stripped?)", path);
	}
	return s;
}

/* ---- System.map: lines "c1000000 T startup_32" ---- */

/* The next line's symbol; *at moves past the line.  False: not such a line. */
static bool map_line(const char **at, const char *end, u32 *addr, char *type, const char **name, u32 *len)
{
	const char *line = *at, *eol = memchr(line, '\n', (size_t)(end - line)), *p;
	u64 v = 0;

	if (!eol)
		eol = end;
	*at = eol < end ? eol + 1 : end;
	for (p = line; p < eol && *p != ' '; p++) {
		int digit = *p >= '0' && *p <= '9' ? *p - '0' : *p >= 'a' && *p <= 'f' ? *p - 'a' + 10 : -1;

		if (digit < 0 || v >> 60)
			return false;
		v = v << 4 | (u64)digit;
	}
	if (p == line || eol - p < 4 || p[2] != ' ' || v > 0xffffffffu)
		return false;
	*addr = (u32)v;
	*type = p[1];
	*name = p + 3;
	*len = (u32)strcspn(p + 3, " \t\n");
	if (*len > (u32)(eol - (p + 3)))
		*len = (u32)(eol - (p + 3));
	return *len > 0;
}

static struct symbols *load_map(const char *text, size_t size, const char *path, char *err, size_t errlen)
{
	const char *at, *end = text + size, *name;
	u32 lines = 0, bad = 0, addr, len;
	struct symbols *s;
	char type;

	for (at = text; at < end; lines++)
		bad += !map_line(&at, end, &addr, &type, &name, &len);
	if (lines == 0 || bad > lines / 10)
		return fail(err, errlen, "%s: neither an ELF file nor a System.map", path);
	s = symbols_new(lines, (u32)size + 1);
	if (!s)
		return fail(err, errlen, "%s: out of memory", path);
	for (at = text; at < end;)
		if (map_line(&at, end, &addr, &type, &name, &len) && type != 'A' && type != 'a' && type != 'U')
			symbols_add(s, addr, name, len);
	symbols_seal(s, 0);
	return s;
}

/* ---- Either ---- */

struct symbols *symbols_load(const char *path, char *err, size_t errlen)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct symbols *s;
	struct stat st;
	u8 *p;

	if (fd < 0)
		return fail(err, errlen, "%s: %s", path, strerror(errno));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size < 4 || (u64)st.st_size > FILE_MAX) {
		close(fd);
		return fail(err, errlen, "%s: not a symbol file", path);
	}
	/* One byte more than the file, so that text ends in a NUL; private: libelf may write. */
	p = mmap(NULL, (size_t)st.st_size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || pread(fd, p, (size_t)st.st_size, 0) != st.st_size) {
		int code = errno;

		if (p != MAP_FAILED)
			munmap(p, (size_t)st.st_size + 1);
		close(fd);
		return fail(err, errlen, "%s: %s", path, strerror(code));
	}
	close(fd);
	s = memcmp(p, ELFMAG, SELFMAG) ? load_map((char *)p, (size_t)st.st_size, path, err, errlen)
				       : load_elf(p, (size_t)st.st_size, path, err, errlen);
	munmap(p, (size_t)st.st_size + 1);
	return s;
}
