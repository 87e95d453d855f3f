/*
 * Memory in use (see vmm/memory_use.h): mincore(2) for shared mappings — for
 * those it tells what the page cache holds, whichever process touched it —
 * st_blocks for memfds, /proc for processes
 * (proportional where the kernel says so: pages shared by fork count once).
 */
#define _GNU_SOURCE
#include "vmm/memory_use.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define CHUNK_PAGES 4096u

u64 memory_touched(void *p, u64 len)
{
	static unsigned char there[CHUNK_PAGES];
	u64 bytes = 0;

	for (u64 at = 0; at < len; at += CHUNK_PAGES * PAGE_SIZE) {
		u64 n = min_u64(len - at, CHUNK_PAGES * PAGE_SIZE);

		if (mincore((u8 *)p + at, n, there))
			return bytes;
		for (u64 i = 0; i < (n + PAGE_SIZE - 1) / PAGE_SIZE; i++)
			bytes += (there[i] & 1) * PAGE_SIZE;
	}
	return bytes;
}

u64 memory_of_file(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : (u64)st.st_blocks * 512;
}

/* The sum of these lines, "WORD: N kB", of a file in /proc/PID; false: there is no such file, or line. */
static bool add_lines(int pid, const char *file, const char *const *words, unsigned n, u64 *bytes)
{
	char path[40], line[128];
	unsigned found = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (fgets(line, sizeof line, f))
		for (unsigned i = 0; i < n; i++) {
			size_t len = strlen(words[i]);

			if (strncmp(line, words[i], len) == 0 && line[len] == ':') {
				*bytes += strtoull(line + len + 1, NULL, 10) << 10;
				found++;
			}
		}
	fclose(f);
	return found > 0;
}

u64 memory_of_process(int pid)
{
	static const char *const shared[] = { "Pss_Anon" }, *const own[] = { "VmPTE" }, *const all[] = { "RssAnon", "VmPTE" };
	u64 bytes = 0;

	/* Executors share most of what they have with the monitor that they were forked from: each its part of it. */
	if (add_lines(pid, "smaps_rollup", shared, ARRAY_SIZE(shared), &bytes))
		add_lines(pid, "status", own, ARRAY_SIZE(own), &bytes);
	else
		add_lines(pid, "status", all, ARRAY_SIZE(all), &bytes);
	return bytes;
}
