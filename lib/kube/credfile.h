/*
 * Credential files that change under us: service account tokens, rotated certificates. Private to
 * lib/kube.
 */
#ifndef LIB_KUBE_CREDFILE_H
#define LIB_KUBE_CREDFILE_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "metallb/buf.h"
#include "metallb/clock.h"

#define CREDFILE_MAX     ((size_t)1 << 20)
#define CREDFILE_RECHECK (3 * USEC_PER_SEC)

struct credfile {
	char *path; /* NULL: no file, never changes */
	struct timespec mtime;
	off_t size;
	ino_t inode;
	usec_t checked;
	bool known; /* the three above are those of the last change reported */
};

void credfile_init(struct credfile *f, const char *path); /* copies; path may be NULL */
void credfile_fini(struct credfile *f);
/*
 * Has the file changed since this was last true? The first time it is true if the file is there.
 * Looks at most every CREDFILE_RECHECK, or at once with force.
 */
bool credfile_changed(struct credfile *f, usec_t now, bool force);
/* The whole file into out (cleared first): 0, or -errno; -EFBIG over CREDFILE_MAX. */
int credfile_read(const char *path, struct buf *out) __attribute__((warn_unused_result));

#endif
