/*
 * Unix stream sockets by path (see vmm/unix_socket.h).
 */
#define _GNU_SOURCE
#include "vmm/unix_socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int make_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

static int make_address(struct sockaddr_un *a, const char *path)
{
	size_t n = strlen(path);

	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!n || n >= sizeof(a->sun_path))
		return n ? -ENAMETOOLONG : -ENOENT;
	memcpy(a->sun_path, path, n);
	return 0;
}

int unix_connect(const char *path)
{
	struct sockaddr_un a;
	int r = make_address(&a, path), fd;

	if (r)
		return r;
	fd = make_socket();
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

static bool is_left_over(const char *path)
{
	struct stat st;
	int fd;

	if (lstat(path, &st) || !S_ISSOCK(st.st_mode))
		return false;
	fd = unix_connect(path);
	if (fd >= 0)
		close(fd);
	return fd == -ECONNREFUSED;
}

/* The file's mode comes from the umask; a chmod afterwards would leave it open for a moment. */
static int bind_file(int fd, const struct sockaddr_un *a, enum unix_access access)
{
	mode_t before = access == UNIX_OWNER ? umask(0177) : 0;
	int r = bind(fd, (const struct sockaddr *)a, sizeof(*a)) ? -errno : 0;

	if (access == UNIX_OWNER)
		umask(before);
	return r;
}

int unix_listen(const char *path, int backlog, enum unix_access access, struct unix_file *file,
		char *err, size_t errlen)
{
	struct sockaddr_un a;
	struct stat st;
	int r = make_address(&a, path), fd = -1;

	if (r == -ENAMETOOLONG) {
		snprintf(err, errlen, "the path of a Unix socket has at most %zu bytes", sizeof(a.sun_path) - 1);
		return r;
	}
	if (!r)
		r = fd = make_socket();
	if (r < 0) {
		snprintf(err, errlen, "cannot make a socket: %s", strerror(-r));
		return r;
	}
	r = bind_file(fd, &a, access);
	if (r == -EADDRINUSE && is_left_over(path) && unlink(path) == 0)
		r = bind_file(fd, &a, access);
	if (!r && (lstat(path, &st) || listen(fd, backlog))) {
		r = -errno;
		unlink(path);
	}
	if (r) {
		snprintf(err, errlen, "%s: %s", path, r == -EADDRINUSE ? "in use" : strerror(-r));
		close(fd);
		return r;
	}
	*file = (struct unix_file){ .dev = st.st_dev, .ino = st.st_ino };
	return fd;
}

int unix_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

void unix_remove(const char *path, const struct unix_file *file)
{
	struct stat st;

	if (lstat(path, &st) == 0 && st.st_dev == file->dev && st.st_ino == file->ino)
		unlink(path);
}
