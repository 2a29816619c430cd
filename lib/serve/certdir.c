/*
 * Certificates in files, as a mounted Secret has them: looked at every ten seconds by content,
 * since a mount changes by exchanging a symbolic link several directories up.
 */
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "metallb/log.h"
#include "metallb/serve_metrics.h"
#include "metallb/xalloc.h"

#define LOOK_S 10.0

struct serve_certdir {
	struct ev_loop *loop;
	struct ev_timer timer;
	struct serve *serve;
	char *dir;
	void (*on_ca)(void *user, const char *pem);
	void *user;
	struct buf cert, key, ca; /* as last looked at */
	bool looked;
};

static void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* 0 or -errno */
static int read_file(const char *dir, const char *name, struct buf *out)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	char chunk[4096];
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, chunk, sizeof(chunk))) > 0) {
		if (out->len + (size_t)n > SERVE_CERT_MAX)
			return -EFBIG;
		buf_add(out, chunk, (size_t)n);
	}
	return n < 0 ? -errno : 0;
}

static bool same(const struct buf *a, const struct buf *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static void move(struct buf *to, struct buf *from)
{
	buf_fini(to);
	*to = *from;
	*from = (struct buf){0};
}

static void certdir_use(struct serve_certdir *d)
{
	struct err err;

	if (serve_set_certificate(d->serve, buf_str(&d->cert), d->cert.len, buf_str(&d->key),
				  d->key.len, &err))
		log_info("serve: certificate loaded", "dir", d->dir, NULL);
	else
		log_error("serve: certificate refused", "dir", d->dir, "error", err.msg, NULL);
}

static void certdir_look(struct serve_certdir *d)
{
	_cleanup_(buf_fini) struct buf cert = {0};
	_cleanup_(buf_fini) struct buf key = {0};
	_cleanup_(buf_fini) struct buf ca = {0};
	int r = read_file(d->dir, "tls.crt", &cert), k = read_file(d->dir, "tls.key", &key);
	bool first = !d->looked;

	d->looked = true;
	/* a missing CA is nothing unusual */
	if (read_file(d->dir, "ca.crt", &ca) < 0)
		buf_clear(&ca);
	if (r < 0 || k < 0) {
		if (first)
			log_warn("serve: waiting for a certificate", "dir", d->dir, "error",
				 strerror(r < 0 ? -r : -k), NULL);
		return;
	}
	if (!same(&cert, &d->cert) || !same(&key, &d->key)) {
		move(&d->cert, &cert);
		move(&d->key, &key);
		certdir_use(d);
	}
	if (first || !same(&ca, &d->ca)) {
		move(&d->ca, &ca);
		if (d->on_ca)
			d->on_ca(d->user, buf_str(&d->ca));
	}
}

static void on_timer(struct ev_loop *loop, struct ev_timer *t, int events)
{
	(void)loop;
	(void)events;
	certdir_look(t->data);
}

struct serve_certdir *serve_certdir_new(struct ev_loop *loop, struct serve *s, const char *dir,
					void (*on_ca)(void *user, const char *pem), void *user)
{
	struct serve_certdir *d = xcalloc(1, sizeof(*d));

	d->loop = loop;
	d->serve = s;
	d->dir = xstrdup(dir);
	d->on_ca = on_ca;
	d->user = user;
	ev_timer_init(&d->timer, on_timer, LOOK_S, LOOK_S);
	d->timer.data = d;
	ev_timer_start(loop, &d->timer);
	certdir_look(d);
	return d;
}

struct serve_certdir *serve_certdir_free(struct serve_certdir *d)
{
	if (!d)
		return NULL;
	ev_timer_stop(d->loop, &d->timer);
	buf_fini(&d->cert);
	buf_fini(&d->key);
	buf_fini(&d->ca);
	free(d->dir);
	free(d);
	return NULL;
}
