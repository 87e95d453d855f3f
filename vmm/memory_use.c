/*
 * Memory in use (see vmm/memory_use.h): mincore(2) for shared mappings — for
 * those it tells what the page cache holds, whichever process touched it —
 * st_blocks for memfds, /proc for processes.
 */
#define _GNU_SOURCE
#include "vmm/memory_use.h"

#include <stdio.h>
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

u64 memory_of_process(int pid)
{
	char path[32], line[128];
	unsigned long long kib;
	u64 bytes = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "RssAnon: %llu", &kib) == 1 || sscanf(line, "VmPTE: %llu", &kib) == 1)
			bytes += kib << 10;
	fclose(f);
	return bytes;
}
