/*
 * Listeners and connections: accepting, deadlines, and libwebsockets as a guest on our loop. What
 * happens to a request is in request.c.
 *
 * We accept connections ourselves and hand them to libwebsockets, so that the limit, a lack of
 * descriptors and the address to listen on are ours. Each listener has a libwebsockets context of
 * its own, since one with several virtual hosts would choose among them by what the client calls
 * the host. Its own time-outs are not relied upon: on libev a timer of libwebsockets that is armed
 * outside its callbacks may not fire. Deadlines are looked at once a second here.
 *
 * libwebsockets 4.1.6 has these traps, each of them met in the code below or in request.c:
 *  - a request that was read completely is told as complete again when more bytes arrive before it
 *    has been answered, and a closed client makes the loop spin meanwhile: input is held back
 *    until the answer is there;
 *  - while input is held back nothing can be written either: release it first;
 *  - a POST without Content-Length is taken for one of 100 MiB;
 *  - closing a connection waits for unsent bytes without a limit: shut the socket down first.
 */
#include "https.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "metallb/ip.h"
#include "metallb/log.h"
#include "metallb/xalloc.h"

#define SWEEP_MAX_S    1.0 /* seconds between looks at the deadlines */
#define ACCEPT_ROUND   32  /* connections taken at a time */
#define ACCEPT_PAUSE   0.1 /* seconds, when there is no descriptor left */
#define LISTEN_BACKLOG 512
#define FDS_SPARE      16    /* descriptors of libwebsockets' own */
#define READ_MAX       16384 /* at a time: one TLS record */
/* Only a net under our own deadlines. */
#define LWS_TIMEOUT_S 300

/* What libwebsockets keeps for each request. */
struct slot {
	struct serve_request *request;
};

static struct log_limit lws_limit;

static void on_lws_log(int level, const char *line)
{
	unsigned suppressed;
	_cleanup_free_ char *text = NULL;

	(void)level;
	if (!log_limit_ok(&lws_limit, clock_now(), USEC_PER_SEC, 10, &suppressed))
		return;
	text = xstrndup(line, strcspn(line, "\n"));
	log_debug("serve: libwebsockets", "line", text, "suppressed", log_int(suppressed), NULL);
}

/* Close it now. When bytes are still waiting to be sent, libwebsockets may take another turn. */
static void conn_kill(struct conn *c)
{
	c->killed = true;
	shutdown(lws_get_socket_fd(c->wsi), SHUT_RDWR);
	lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC); /* c can be gone */
}

static void conn_free(struct conn *c)
{
	struct serve *s = c->serve;
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &s->requests) {
		struct serve_request *r = container_of(pos, struct serve_request, link);

		if (r->conn == c)
			request_detach(r);
	}
	if (s->adopting == c)
		s->adopting = NULL;
	list_del(&c->link);
	s->n_conns--;
	free(c);
	if (s->n_conns == 0)
		ev_timer_stop(s->loop, &s->sweep);
}

static int on_http(struct lws *wsi, struct slot *slot, const char *path, size_t len)
{
	struct conn *c = lws_get_opaque_user_data(lws_get_network_wsi(wsi));
	struct serve_request *r;

	if (!c || c->killed || !slot || slot->request)
		return -1;
	r = request_new(c, wsi, path, len);
	slot->request = r;
	(void)request_start(r);
	return 0;
}

/* The request of a slot that is given up, on whatever way. */
static void slot_detach(struct slot *slot)
{
	if (slot && slot->request) {
		request_detach(slot->request);
		slot->request = NULL;
	}
}

static int on_writable(struct lws *wsi, struct slot *slot)
{
	struct serve_request *r = slot ? slot->request : NULL;
	bool close;
	int done;

	if (!r || r->stage != STAGE_REPLY)
		return 0;
	done = request_write(r);
	if (done == 0)
		return 0;
	close = done < 0 || r->close;
	slot_detach(slot);
	if (close || lws_http_transaction_completed(wsi))
		return -1;
	return 0;
}

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		  size_t len)
{
	struct slot *slot = user;

	switch (reason) {
	case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS: {
		struct serve *s = lws_context_user(lws_get_context(wsi));

		/* here user is the SSL_CTX */
		return tls_setup(user, &s->tls, &s->identity) ? 0 : -1;
	}
	case LWS_CALLBACK_HTTP:
		return on_http(wsi, slot, in, len);
	case LWS_CALLBACK_HTTP_BODY:
		if (slot && slot->request)
			request_body(slot->request, in, len);
		return 0;
	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
		if (slot && slot->request)
			request_body_end(slot->request);
		return 0;
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return on_writable(wsi, slot);
	case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
	case LWS_CALLBACK_CLOSED_HTTP:
		slot_detach(slot);
		return 0;
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE: /* neither WebSocket nor h2c */
	case LWS_CALLBACK_RAW_ADOPT:            /* nor what follows a CONNECT */
		return -1;
	case LWS_CALLBACK_WSI_DESTROY: {
		struct conn *c = lws_get_opaque_user_data(wsi);

		if (c)
			conn_free(c);
		return 0;
	}
	default:
		return 0;
	}
}

static const struct lws_protocols protocols[] = {
	{.name = "http", .callback = on_lws, .per_session_data_size = sizeof(struct slot)},
	{0},
};

/* The connection that a new one pushes out: the oldest without any request, else the one that has
 * been idle for longest. NULL when all are at work. */
static struct conn *conn_find_idle(struct serve *s)
{
	struct conn *idle = NULL;
	struct list *pos;

	list_for_each (pos, &s->conns) {
		struct conn *c = container_of(pos, struct conn, link);

		if (c->killed || c->n_requests > 0)
			continue;
		if (c->n_total == 0)
			return c;
		if (!idle || c->deadline < idle->deadline)
			idle = c;
	}
	return idle;
}

static void serve_adopt(struct serve *s, int fd)
{
	struct conn *c = xcalloc(1, sizeof(*c));
	lws_adopt_desc_t adopt = {
		.vh = s->vhost,
		.type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP | LWS_ADOPT_ALLOW_SSL,
		.fd.sockfd = fd,
		.opaque = c,
	};
	int on = 1;

	/* small answers at once; a client that vanished is found out by the deadlines */
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		log_debug("serve: TCP_NODELAY", "error", strerror(errno), NULL);
	c->serve = s;
	c->deadline = clock_now() + s->head_timeout;
	list_add_tail(&s->conns, &c->link);
	if (s->n_conns++ == 0)
		ev_timer_again(s->loop, &s->sweep);
	s->adopting = c;
	struct lws *wsi = lws_adopt_descriptor_vhost_via_info(&adopt);
	/* adopting is NULL when libwebsockets has told us of its end already: c is gone */
	if (s->adopting && wsi)
		c->wsi = wsi;
	else if (s->adopting)
		conn_free(c);
	s->adopting = NULL;
}

static void accept_pause(struct serve *s)
{
	ev_io_stop(s->loop, &s->accept);
	ev_timer_again(s->loop, &s->retry);
}

static void on_retry(struct ev_loop *loop, struct ev_timer *t, int events)
{
	struct serve *s = t->data;

	(void)events;
	ev_timer_stop(loop, t);
	ev_io_start(loop, &s->accept);
}

static void on_accept(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct serve *s = io->data;

	(void)loop;
	(void)events;
	for (int i = 0; i < ACCEPT_ROUND; i++) {
		int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct conn *idle;

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			    errno == ENOMEM) {
				log_warn("serve: cannot accept", "listener", s->name, "error",
					 strerror(errno), NULL);
				accept_pause(s);
			}
			return;
		}
		if (s->n_conns >= s->max_connections && (idle = conn_find_idle(s)))
			conn_kill(idle);
		if (s->n_conns >= s->max_connections)
			close(fd);
		else
			serve_adopt(s, fd);
	}
}

/* The next connection to end because of its own or its requests' deadline. */
static struct conn *conn_find_late(struct serve *s, usec_t now)
{
	struct list *pos;

	list_for_each (pos, &s->conns) {
		struct conn *c = container_of(pos, struct conn, link);

		if (!c->killed && c->n_requests == 0 && c->deadline <= now)
			return c;
	}
	list_for_each (pos, &s->requests) {
		struct serve_request *r = container_of(pos, struct serve_request, link);

		if (!r->conn->killed && r->stage != STAGE_BODY && r->deadline <= now)
			return r->conn;
	}
	return NULL;
}

static void on_sweep(struct ev_loop *loop, struct ev_timer *t, int events)
{
	struct serve *s = t->data;
	usec_t now = clock_now();
	struct conn *late;
	struct list *pos;

	(void)loop;
	(void)events;
	list_for_each (pos, &s->requests) {
		struct serve_request *r = container_of(pos, struct serve_request, link);

		if (r->stage == STAGE_BODY && r->deadline <= now)
			request_refuse(r, 408, true);
	}
	while ((late = conn_find_late(s, now)))
		conn_kill(late);
}

static int listen_socket(const struct ip *ip, uint16_t port, bool both)
{
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	bool v6 = ip->family == IP_V6;
	int fd, on = 1, only = !both, e;

	memcpy(&a6.sin6_addr, ip->b, 16);
	memcpy(&a4.sin_addr, ip->b, 4);
	fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    (!v6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) == 0) &&
	    bind(fd, v6 ? (struct sockaddr *)&a6 : (struct sockaddr *)&a4,
		 v6 ? sizeof(a6) : sizeof(a4)) == 0 &&
	    listen(fd, LISTEN_BACKLOG) == 0)
		return fd;
	e = errno;
	close(fd);
	return -e;
}

static uint16_t socket_port(int fd)
{
	struct sockaddr_in6 a = {0};
	socklen_t len = sizeof(a);

	if (getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		return 0;
	return ntohs(a.sin6_port); /* at the same place in both families */
}

/* All addresses: one socket for both families, or IPv4 alone where the kernel has no IPv6. */
static int serve_listen(struct serve *s, const struct serve_options *o)
{
	struct ip any6 = {.family = IP_V6}, any4 = {.family = IP_V4}, ip = any6;
	int fd;

	if (o->address && !ip_parse(o->address, &ip))
		return -EINVAL;
	fd = listen_socket(&ip, o->port, !o->address);
	if (!o->address && (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL))
		fd = listen_socket(&any4, o->port, false);
	if (fd < 0)
		return fd;
	s->fd = fd;
	s->port = socket_port(fd);
	ev_io_init(&s->accept, on_accept, fd, EV_READ);
	s->accept.data = s;
	ev_io_start(s->loop, &s->accept);
	return 0;
}

static int serve_start_lws(struct serve *s)
{
	void *loops[] = {s->loop};
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN_SERVER,
		.protocols = protocols,
		.options = LWS_SERVER_OPTION_LIBEV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
			   LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS |
			   (s->is_tls ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT |
						LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX
				      : 0),
		.foreign_loops = loops,
		.fd_limit_per_thread = s->max_connections + FDS_SPARE,
		.pt_serv_buf_size = READ_MAX,
		.max_http_header_data = SERVE_HEADER_MAX,
		.max_http_header_pool = (unsigned short)s->max_connections,
		.timeout_secs = LWS_TIMEOUT_S,
		.timeout_secs_ah_idle = LWS_TIMEOUT_S,
		.keepalive_timeout = LWS_TIMEOUT_S,
		.alpn = s->tls.http2 ? "h2,http/1.1" : "http/1.1",
		.vhost_name = s->name,
		.gid = -1,
		.uid = -1,
		.user = s,
	};

	lws_set_log_level(LLL_ERR | LLL_WARN, on_lws_log);
	s->lws = lws_create_context(&info);
	if (!s->lws)
		return -EIO;
	s->vhost = lws_create_vhost(s->lws, &info);
	return s->vhost ? 0 : -EIO;
}

static void serve_copy_tls(struct serve *s, const struct serve_tls *tls)
{
	if (!tls)
		return;
	s->is_tls = true;
	s->tls = *tls;
	s->tls.ciphers = tls->ciphers ? xstrdup(tls->ciphers) : NULL;
	s->tls.groups = tls->groups ? xstrdup(tls->groups) : NULL;
}

/* Seconds; a quarter of the shortest deadline. */
static double sweep_interval(const struct serve *s)
{
	usec_t t = s->head_timeout;

	if (s->body_timeout < t)
		t = s->body_timeout;
	if (s->reply_timeout < t)
		t = s->reply_timeout;
	if (s->idle_timeout < t)
		t = s->idle_timeout;
	double seconds = (double)t / 4 / (double)USEC_PER_SEC;

	return seconds < SWEEP_MAX_S ? seconds : SWEEP_MAX_S;
}

static void serve_freep(struct serve **s)
{
	*s = serve_free(*s);
}

int serve_new(struct ev_loop *loop, const struct serve_options *o, struct serve **out)
{
	_cleanup_(serve_freep) struct serve *s = xcalloc(1, sizeof(*s));
	int r;

	s->loop = loop;
	s->name = xstrdup(o->name);
	s->routes = o->routes;
	s->n_routes = o->n_routes;
	s->max_connections = o->max_connections ? o->max_connections : SERVE_CONNECTIONS_MAX;
	s->max_body = o->max_body ? o->max_body : SERVE_BODY_MAX;
	s->head_timeout = o->head_timeout ? o->head_timeout : SERVE_HEAD_TIMEOUT;
	s->body_timeout = o->body_timeout ? o->body_timeout : SERVE_BODY_TIMEOUT;
	s->reply_timeout = o->reply_timeout ? o->reply_timeout : SERVE_REPLY_TIMEOUT;
	s->idle_timeout = o->idle_timeout ? o->idle_timeout : SERVE_IDLE_TIMEOUT;
	serve_copy_tls(s, o->tls);
	list_init(&s->conns);
	list_init(&s->requests);
	ev_timer_init(&s->sweep, on_sweep, 0., sweep_interval(s));
	ev_timer_init(&s->retry, on_retry, 0., ACCEPT_PAUSE);
	s->sweep.data = s->retry.data = s;
	s->fd = -1;
	r = serve_start_lws(s);
	if (r == 0)
		r = serve_listen(s, o);
	if (r < 0)
		return r;
	*out = s;
	s = NULL; /* ownership moved */
	return 0;
}

struct serve *serve_free(struct serve *s)
{
	if (!s)
		return NULL;
	ev_timer_stop(s->loop, &s->retry);
	if (s->fd >= 0) {
		ev_io_stop(s->loop, &s->accept);
		close(s->fd);
	}
	if (s->lws)
		lws_context_destroy(s->lws);
	ev_timer_stop(s->loop, &s->sweep);
	assert(s->n_conns == 0 && s->n_requests == 0 && s->body_bytes == 0);
	tls_identity_free(s->identity);
	serve_tls_fini(&s->tls);
	free(s->name);
	free(s);
	return NULL;
}

uint16_t serve_port(const struct serve *s)
{
	return s->port;
}

bool serve_set_certificate(struct serve *s, const char *cert_pem, size_t cert_len,
			   const char *key_pem, size_t key_len, struct err *err)
{
	struct tls_identity *id = tls_identity_new(cert_pem, cert_len, key_pem, key_len, err);

	if (!id)
		return false;
	tls_identity_free(s->identity);
	s->identity = id;
	return true;
}

bool serve_has_certificate(const struct serve *s)
{
	return s->identity != NULL;
}

void serve_drain(struct serve *s)
{
	s->draining = true;
}

size_t serve_busy(const struct serve *s)
{
	return s->n_requests;
}

size_t serve_connections(const struct serve *s)
{
	return s->n_conns;
}
