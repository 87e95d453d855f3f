/*
 * Unix stream sockets by path: connecting, listening, and the rules for the
 * file.  A socket file that nobody listens on is left over from a crash and is
 * replaced; any other file is in use; only a file that is still ours is removed.
 */
#ifndef VMM_UNIX_SOCKET_H
#define VMM_UNIX_SOCKET_H

#include <sys/types.h>
#include "base/types.h"

/* Which file bind(2) made. */
struct unix_file { dev_t dev; ino_t ino; };

/* Modes of a socket's file: whoever the umask lets, or the owner alone. */
enum unix_access { UNIX_UMASK, UNIX_OWNER };

/* Both give descriptors that do not block and are closed by exec, or negative errno. */
int unix_connect(const char *path);
/* ... with one line in err; *file is for unix_remove. */
int unix_listen(const char *path, int backlog, enum unix_access access, struct unix_file *file,
		char *err, size_t errlen);
int unix_accept(int listener);

/* Remove the file, unless another has taken its place. */
void unix_remove(const char *path, const struct unix_file *file);

#endif
