/*
 * Credential files that change under us. A kubelet replaces them by renaming, so the inode tells as
 * well as time and size.
 */
#include "lib/kube/credfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "metallb/xalloc.h"

void credfile_init(struct credfile *f, const char *path)
{
	*f = (struct credfile){.path = path ? xstrdup(path) : NULL};
}

void credfile_fini(struct credfile *f)
{
	free(f->path);
	*f = (struct credfile){0};
}

bool credfile_changed(struct credfile *f, usec_t now, bool force)
{
	struct stat st;

	if (!f->path || (f->known && !force && now - f->checked < CREDFILE_RECHECK))
		return false;
	f->checked = now;
	if (stat(f->path, &st) < 0)
		return false;
	if (f->known && st.st_size == f->size && st.st_ino == f->inode &&
	    st.st_mtim.tv_sec == f->mtime.tv_sec && st.st_mtim.tv_nsec == f->mtime.tv_nsec)
		return false;
	f->known = true;
	f->size = st.st_size;
	f->inode = st.st_ino;
	f->mtime = st.st_mtim;
	return true;
}

int credfile_read(const char *path, struct buf *out)
{
	char piece[4096];
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC), result = 0;

	if (fd < 0)
		return -errno;
	buf_clear(out);
	while ((n = read(fd, piece, sizeof(piece))) > 0 && result == 0) {
		buf_add(out, piece, (size_t)n);
		if (out->len > CREDFILE_MAX)
			result = -EFBIG;
	}
	if (n < 0)
		result = -errno;
	explicit_bzero(piece, sizeof(piece));
	close(fd);
	return result;
}
