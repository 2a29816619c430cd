/*
 * HTTP requests on the event loop, by libcurl's multi interface with its sockets and timers watched
 * by libev. This is the only file that knows libcurl.
 *
 * Owned: two pools of connections (curl multi handles) take the new requests: one for requests,
 * which share an HTTP/2 connection, one for streams, each on an HTTP/1.1 connection of its own. A
 * stream that shared a connection could starve behind others: libcurl 7.88 leaves what it has read
 * for another transfer in its buffer until that socket is readable again. When a connection hangs
 * or a certificate file changes the pools are retired: what is on them ends there, new
 * requests get pools of their own, and so fresh connections. curl forbids to start or end
 * transfers from inside its callbacks; `inside` counts how deep we are, and what is asked for
 * meanwhile waits for settle().
 *
 * Left out: redirects (an API server has none), response decompression, cookies.
 */
#include "metallb/http.h"

#include <assert.h>
#include <curl/curl.h>
#include <ev.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/kube/credfile.h"
#include "metallb/buf.h"
#include "metallb/list.h"
#include "metallb/log.h"
#include "metallb/xalloc.h"

#define KEEPALIVE_S      15
#define USER_TIMEOUT_MS  30000 /* sent bytes not acknowledged for so long: the peer is gone */
#define CONNECTIONS_KEPT (2 * HTTP_BUSY_MAX) /* as many as HTTP/1.1 needs at once, and streams */
#define SPARE_HANDLES    32
/*
 * libcurl 7.88 copies a whole HTTP/2 frame, up to 16 KB, into this buffer without looking at its
 * size. A handle serves both kinds of requests in turn, so all get one that is large enough.
 */
#define RECV_BUFFER (32 << 10)

enum pool_kind { POOL_REQUESTS, POOL_STREAMS, POOL_KINDS };

struct pool {
	struct list in_http; /* in http.pools */
	struct http *http;
	enum pool_kind kind;
	CURLM *multi;
	ev_timer timer;
	size_t n_calls;
};

struct sock {
	ev_io io;
	struct pool *pool;
};

enum place { CALL_QUEUED, CALL_STARTED, CALL_DONE };

struct http_call {
	struct list in_http; /* in http.queued, .patient, .started or .done */
	struct http *http;
	struct pool *pool;       /* while STARTED */
	struct http_request req; /* its strings are copies */
	CURL *easy;              /* while STARTED */
	struct curl_slist *headers, *connect_to;
	struct buf body;
	char *warning;
	char error[CURL_ERROR_SIZE];
	const char *refusal; /* our own reason to end it */
	usec_t retry_after;
	int64_t date; /* of the server, seconds since 1970; 0: it did not say */
	int status;
	enum place place;
	bool cancelled; /* inside a callback: to be dropped by settle() */
};

struct http {
	struct ev_loop *loop;
	struct list pools, queued, patient, started, done;
	struct pool *current[POOL_KINDS]; /* these take new requests */
	size_t n_busy;                    /* started, not streaming */
	int inside;
	ev_timer work; /* to settle() from the loop */
	CURL *spare[SPARE_HANDLES];
	size_t n_spare;

	char *user_agent, *tls_server_name, *proxy_url, *username, *password;
	char *ca_data, *cert_data, *key_data;
	struct credfile ca_file, cert_file, key_file, token_file;
	struct buf token;
	bool insecure, token_refused;
};

static void settle(struct http *h);

/* --- the loop: sockets and timers of a pool ------------------------------------------------- */

static void on_socket(struct ev_loop *loop, ev_io *io, int revents)
{
	struct pool *p = ((struct sock *)io->data)->pool;
	struct http *h = p->http;
	int running;

	(void)loop;
	h->inside++;
	curl_multi_socket_action(p->multi, io->fd,
				 (revents & EV_READ ? CURL_CSELECT_IN : 0) |
					 (revents & EV_WRITE ? CURL_CSELECT_OUT : 0),
				 &running);
	h->inside--;
	settle(h);
}

static void on_timer(struct ev_loop *loop, ev_timer *t, int revents)
{
	struct pool *p = t->data;
	struct http *h = p->http;
	int running;

	(void)loop;
	(void)revents;
	h->inside++;
	curl_multi_socket_action(p->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	h->inside--;
	settle(h);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *assigned)
{
	struct pool *p = user;
	struct sock *s = assigned;

	(void)easy;
	/* curl may close the descriptor as soon as this returns: stop watching now. */
	if (s)
		ev_io_stop(p->http->loop, &s->io);
	if (what == CURL_POLL_REMOVE) {
		free(s);
		curl_multi_assign(p->multi, fd, NULL);
		return 0;
	}
	if (!s) {
		s = xcalloc(1, sizeof(*s));
		s->pool = p;
		curl_multi_assign(p->multi, fd, s);
	}
	ev_io_init(&s->io, on_socket, fd,
		   (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
	s->io.data = s;
	ev_io_start(p->http->loop, &s->io);
	return 0;
}

static int on_curl_timer(CURLM *multi, long ms, void *user)
{
	struct pool *p = user;

	(void)multi;
	ev_timer_stop(p->http->loop, &p->timer);
	if (ms < 0)
		return 0;
	ev_timer_set(&p->timer, (double)ms / 1000., 0.);
	ev_timer_start(p->http->loop, &p->timer);
	return 0;
}

static void pool_new(struct http *h, enum pool_kind kind)
{
	struct pool *p = xcalloc(1, sizeof(*p));

	p->http = h;
	p->kind = kind;
	p->multi = curl_multi_init();
	if (!p->multi)
		abort();
	ev_timer_init(&p->timer, on_timer, 0., 0.);
	p->timer.data = p;
	curl_multi_setopt(p->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
	curl_multi_setopt(p->multi, CURLMOPT_SOCKETDATA, p);
	curl_multi_setopt(p->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
	curl_multi_setopt(p->multi, CURLMOPT_TIMERDATA, p);
	curl_multi_setopt(p->multi, CURLMOPT_PIPELINING,
			  kind == POOL_STREAMS ? CURLPIPE_NOTHING : CURLPIPE_MULTIPLEX);
	curl_multi_setopt(p->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
	list_add_head(&h->pools, &p->in_http);
	h->current[kind] = p;
}

static void pool_free(struct pool *p)
{
	list_del(&p->in_http);
	curl_multi_cleanup(p->multi);
	ev_timer_stop(p->http->loop, &p->timer);
	free(p);
}

static bool pool_is_current(const struct pool *p)
{
	return p == p->http->current[p->kind];
}

/* New requests get new connections; old pools go when their last call has ended. */
static void pools_renew(struct http *h)
{
	for (int kind = 0; kind < POOL_KINDS; kind++)
		pool_new(h, (enum pool_kind)kind);
}

static void pools_sweep(struct http *h)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &h->pools) {
		struct pool *p = container_of(pos, struct pool, in_http);

		if (p->n_calls == 0 && !pool_is_current(p))
			pool_free(p);
	}
}

/* --- one call ------------------------------------------------------------------------------- */

/* Warning: 299 - "text" (RFC 7234, 5.5) */
static void keep_warning(struct http_call *c, const char *line, size_t len)
{
	const char *start = memchr(line, '"', len);
	const char *end = start ? memchr(start + 1, '"', (size_t)(line + len - start - 1)) : NULL;

	if (end && !c->warning)
		c->warning = xstrndup(start + 1, (size_t)(end - start - 1));
}

static void keep_date(struct http_call *c, const char *text, size_t len)
{
	_cleanup_free_ char *date = xstrndup(text, len);
	time_t t = curl_getdate(date, NULL);

	c->date = t > 0 ? t : 0;
}

static size_t on_header(char *line, size_t size, size_t n, void *user)
{
	struct http_call *c = user;
	size_t len = size * n;
	long status = 0;
	curl_off_t retry_after = 0;

	if (c->cancelled)
		return 0;
	if (len >= 8 && strncasecmp(line, "warning:", 8) == 0)
		keep_warning(c, line, len);
	if (len >= 5 && strncasecmp(line, "date:", 5) == 0)
		keep_date(c, line + 5, len - 5);
	if (len > 2 || (len > 0 && line[0] != '\r' && line[0] != '\n'))
		return len;
	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(c->easy, CURLINFO_RETRY_AFTER, &retry_after);
	if (status < 200 || c->status != 0)
		return len;
	c->status = (int)status;
	if (retry_after > 0 && retry_after < INT32_MAX)
		c->retry_after = retry_after * USEC_PER_SEC;
	if (c->req.on_head)
		c->req.on_head(c->req.user, &(struct http_head){
						    .status = c->status,
						    .retry_after = c->retry_after,
						    .warning = c->warning,
					    });
	return len;
}

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
	struct http_call *c = user;
	size_t len = size * n;

	if (c->cancelled)
		return CURL_WRITEFUNC_ERROR;
	if (c->req.on_data) {
		if (c->req.on_data(c->req.user, data, len))
			return len;
		c->refusal = "refused by the reader";
		return CURL_WRITEFUNC_ERROR;
	}
	if (c->body.len + len > HTTP_BODY_MAX) {
		c->refusal = "the response is larger than 64 MiB";
		return CURL_WRITEFUNC_ERROR;
	}
	buf_add(&c->body, data, len);
	return len;
}

static int on_new_socket(void *user, curl_socket_t fd, curlsocktype purpose)
{
	unsigned int ms = USER_TIMEOUT_MS;

	(void)user;
	(void)purpose;
	if (setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms)) < 0)
		log_debug("http: cannot set TCP_USER_TIMEOUT", NULL);
	return CURL_SOCKOPT_OK;
}

static void set_blob(CURL *easy, CURLoption option, const char *data)
{
	struct curl_blob blob = {
		.data = (void *)(uintptr_t)data, .len = strlen(data), .flags = CURL_BLOB_NOCOPY};

	curl_easy_setopt(easy, option, &blob);
}

static void set_tls(const struct http *h, CURL *easy)
{
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, h->insecure ? 0L : 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, h->insecure ? 0L : 2L);
	/* With a CA of its own the cluster trusts that CA, not the system's as well. */
	if (h->ca_file.path || h->ca_data)
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	if (h->ca_file.path)
		curl_easy_setopt(easy, CURLOPT_CAINFO, h->ca_file.path);
	else if (h->ca_data)
		set_blob(easy, CURLOPT_CAINFO_BLOB, h->ca_data);
	if (h->cert_file.path)
		curl_easy_setopt(easy, CURLOPT_SSLCERT, h->cert_file.path);
	else if (h->cert_data)
		set_blob(easy, CURLOPT_SSLCERT_BLOB, h->cert_data);
	if (h->key_file.path)
		curl_easy_setopt(easy, CURLOPT_SSLKEY, h->key_file.path);
	else if (h->key_data)
		set_blob(easy, CURLOPT_SSLKEY_BLOB, h->key_data);
}

static enum pool_kind kind_of(const struct http_call *c)
{
	return c->req.on_data ? POOL_STREAMS : POOL_REQUESTS;
}

static void set_transport(struct http_call *c)
{
	CURL *easy = c->easy;
	const struct http *h = c->http;

	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	bool shares = kind_of(c) == POOL_REQUESTS;

	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
			 (long)(shares ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
	/* The TLS handshake tells whether one connection will do; without TLS it never does. */
	curl_easy_setopt(easy, CURLOPT_PIPEWAIT,
			 shares && strncmp(c->req.url, "https:", 6) == 0 ? 1L : 0L);
	curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
			 (long)(HTTP_CONNECT_TIMEOUT / USEC_PER_MSEC));
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_S);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_S);
	curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_new_socket);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)RECV_BUFFER);
	curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
	if (h->proxy_url)
		curl_easy_setopt(easy, CURLOPT_PROXY, h->proxy_url);
	if (h->user_agent)
		curl_easy_setopt(easy, CURLOPT_USERAGENT, h->user_agent);
	if (h->username && !h->token.len) {
		curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		curl_easy_setopt(easy, CURLOPT_USERNAME, h->username);
		curl_easy_setopt(easy, CURLOPT_PASSWORD, h->password ? h->password : "");
	}
	set_tls(h, easy);
}

static void add_header(struct http_call *c, const char *name, const char *value)
{
	char *line = xasprintf("%s: %s", name, value);
	struct curl_slist *l = curl_slist_append(c->headers, line);

	if (!l)
		abort();
	c->headers = l;
	explicit_bzero(line, strlen(line));
	free(line);
}

static void set_headers(struct http_call *c)
{
	const struct http_request *r = &c->req;

	add_header(c, "Accept", r->accept ? r->accept : "application/json");
	if (r->body)
		add_header(c, "Content-Type",
			   r->content_type ? r->content_type : "application/json");
	if (c->http->token.len) {
		_cleanup_free_ char *bearer = xasprintf("Bearer %s", buf_str(&c->http->token));

		add_header(c, "Authorization", bearer);
		explicit_bzero(bearer, strlen(bearer));
	}
	curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers);
}

/*
 * curl takes the name for SNI and verification from the URL. So the URL names the TLS server name,
 * CONNECT_TO leads to the real address, and the Host header says what it would have said.
 */
static bool set_url(struct http_call *c, const char *url)
{
	const char *name = c->http->tls_server_name;
	char *host = NULL, *port = NULL, *scheme = NULL, *renamed = NULL;
	CURLU *u;
	bool ok;

	if (!name)
		return curl_easy_setopt(c->easy, CURLOPT_URL, url) == CURLE_OK;
	u = curl_url();
	ok = u && !curl_url_set(u, CURLUPART_URL, url, 0) &&
	     !curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) &&
	     !curl_url_get(u, CURLUPART_HOST, &host, 0) &&
	     !curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) &&
	     !curl_url_set(u, CURLUPART_HOST, name, 0) &&
	     !curl_url_get(u, CURLUPART_URL, &renamed, 0);
	if (ok) {
		_cleanup_free_ char *to = xasprintf("::%s:%s", host, port);
		_cleanup_free_ char *authority = xasprintf("%s:%s", host, port);

		c->connect_to = curl_slist_append(NULL, to);
		curl_easy_setopt(c->easy, CURLOPT_CONNECT_TO, c->connect_to);
		add_header(c, "Host", authority);
		ok = curl_easy_setopt(c->easy, CURLOPT_URL, renamed) == CURLE_OK;
	}
	curl_free(host);
	curl_free(port);
	curl_free(scheme);
	curl_free(renamed);
	curl_url_cleanup(u);
	return ok;
}

static void set_request(struct http_call *c)
{
	const struct http_request *r = &c->req;
	CURL *easy = c->easy;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, c);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, c->error);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, c);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, c);
	if (r->body) {
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_len);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->body);
	}
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, r->method);
	if (r->total_timeout > 0)
		curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
				 (long)(r->total_timeout / USEC_PER_MSEC));
	if (r->idle_timeout > 0) {
		curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
				 (long)(r->idle_timeout / USEC_PER_SEC));
	}
}

static void copy_request(struct http_call *c, const struct http_request *r)
{
	c->req = *r;
	c->req.method = xstrdup(r->method);
	c->req.url = xstrdup(r->url);
	c->req.content_type = r->content_type ? xstrdup(r->content_type) : NULL;
	c->req.accept = r->accept ? xstrdup(r->accept) : NULL;
	c->req.body = r->body ? xmemdup(r->body, r->body_len) : NULL;
}

static void free_text(const char *s)
{
	free((void *)(uintptr_t)s);
}

static void easy_give_back(struct http *h, CURL *easy)
{
	if (h->n_spare == SPARE_HANDLES) {
		curl_easy_cleanup(easy);
		return;
	}
	curl_easy_reset(easy);
	h->spare[h->n_spare++] = easy;
}

/* Off the wire; the call itself stays. */
static void call_detach(struct http_call *c)
{
	if (!c->easy)
		return;
	if (c->pool) {
		curl_multi_remove_handle(c->pool->multi, c->easy);
		c->pool->n_calls--;
		c->http->n_busy -= !c->req.on_data;
		c->pool = NULL;
	}
	easy_give_back(c->http, c->easy);
	c->easy = NULL;
	curl_slist_free_all(c->headers);
	curl_slist_free_all(c->connect_to);
	c->headers = c->connect_to = NULL;
}

static void call_free(struct http_call *c)
{
	call_detach(c);
	list_del(&c->in_http);
	free_text(c->req.method);
	free_text(c->req.url);
	free_text(c->req.content_type);
	free_text(c->req.accept);
	free_text(c->req.body);
	buf_fini(&c->body);
	free(c->warning);
	free(c);
}

static void call_move(struct http_call *c, enum place place)
{
	struct http *h = c->http;

	list_del(&c->in_http);
	list_add_tail(place == CALL_STARTED ? &h->started : &h->done, &c->in_http);
	c->place = place;
}

/* --- credentials ---------------------------------------------------------------------------- */

static void read_token(struct http *h)
{
	int e = credfile_read(h->token_file.path, &h->token);

	if (e < 0) {
		buf_clear(&h->token);
		log_warn("http: cannot read the token file", "file", h->token_file.path, "error",
			 strerror(-e), NULL);
	}
	while (h->token.len > 0 && strchr(" \t\r\n", h->token.data[h->token.len - 1]))
		h->token.data[--h->token.len] = '\0';
}

static void refresh_credentials(struct http *h)
{
	usec_t now = clock_now();

	if (credfile_changed(&h->token_file, now, h->token_refused))
		read_token(h);
	h->token_refused = false;
	bool ca = credfile_changed(&h->ca_file, now, false);
	bool cert = credfile_changed(&h->cert_file, now, false);
	bool key = credfile_changed(&h->key_file, now, false);
	if (ca || cert || key)
		pools_renew(h);
}

/* --- starting and ending -------------------------------------------------------------------- */

static void call_fail(struct http_call *c, const char *why)
{
	call_detach(c);
	c->refusal = why;
	call_move(c, CALL_DONE);
	ev_timer_start(c->http->loop, &c->http->work);
}

static void call_launch(struct http_call *c)
{
	struct http *h = c->http;
	struct pool *p;

	refresh_credentials(h);
	p = h->current[kind_of(c)];
	c->easy = h->n_spare > 0 ? h->spare[--h->n_spare] : curl_easy_init();
	if (!c->easy)
		abort();
	set_transport(c);
	set_request(c);
	if (!set_url(c, c->req.url)) {
		call_fail(c, "not a URL that can be used");
		return;
	}
	set_headers(c);
	if (curl_multi_add_handle(p->multi, c->easy) != CURLM_OK) {
		call_fail(c, "libcurl does not take the request");
		return;
	}
	c->pool = p;
	p->n_calls++;
	h->n_busy += !c->req.on_data;
	call_move(c, CALL_STARTED);
}

static bool goes_first(const struct http_call *c)
{
	return c->req.on_data || c->req.urgent;
}

/* Those that go first stand at the head of the queue. */
static void launch_queued(struct http *h)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &h->queued) {
		struct http_call *c = container_of(pos, struct http_call, in_http);

		if (h->n_busy >= HTTP_BUSY_MAX && !goes_first(c))
			return;
		call_launch(c);
	}
	while (h->n_busy < HTTP_PATIENT_MAX && !list_is_empty(&h->patient))
		call_launch(container_of(h->patient.next, struct http_call, in_http));
}

/* Collect what curl has finished. */
static void reap(struct http *h, struct pool *p)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(p->multi, &left))) {
		CURLcode result = m->data.result;
		char *private = NULL;
		struct http_call *c;

		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
		c = (struct http_call *)(void *)private;
		if (result == CURLE_OPERATION_TIMEDOUT && pool_is_current(p))
			pools_renew(h);
		if (result != CURLE_OK && !c->refusal) {
			if (!c->error[0])
				snprintf(c->error, sizeof(c->error), "%s",
					 curl_easy_strerror(result));
			c->refusal = c->error;
		}
		if (result == CURLE_OK && c->status == 401)
			h->token_refused = true;
		call_detach(c);
		call_move(c, CALL_DONE);
	}
}

static void drop_cancelled(struct http *h)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &h->started) {
		struct http_call *c = container_of(pos, struct http_call, in_http);

		if (c->cancelled)
			call_free(c);
	}
}

static void call_tell(struct http_call *c)
{
	list_del(&c->in_http);
	if (!c->cancelled)
		c->req.on_done(c->req.user,
			       &(struct http_end){
				       .status = c->status,
				       .error = c->refusal,
				       .retry_after = c->retry_after,
				       .warning = c->warning,
				       .date = c->date,
				       .body = c->req.on_data ? NULL : buf_str(&c->body),
				       .body_len = c->body.len,
			       });
	call_free(c);
}

/* Outside of curl: start what waits, tell what has ended. Callbacks may start and cancel. */
static void settle(struct http *h)
{
	struct list *pos, *tmp;

	if (h->inside > 0)
		return;
	ev_timer_stop(h->loop, &h->work);
	list_for_each_safe (pos, tmp, &h->pools)
		reap(h, container_of(pos, struct pool, in_http));
	drop_cancelled(h);
	launch_queued(h);
	/* A callback may cancel any call, so there is no next one to remember. */
	while (!list_is_empty(&h->done))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): call_tell unlinks what it frees */
		call_tell(container_of(h->done.next, struct http_call, in_http));
	pools_sweep(h);
}

static void on_work(struct ev_loop *loop, ev_timer *t, int revents)
{
	(void)loop;
	(void)revents;
	settle(t->data);
}

struct http_call *http_start(struct http *h, const struct http_request *request)
{
	struct http_call *c = xcalloc(1, sizeof(*c));

	c->http = h;
	list_init(&c->in_http);
	copy_request(c, request);
	if (goes_first(c))
		list_add_head(&h->queued, &c->in_http);
	else
		list_add_tail(request->patient ? &h->patient : &h->queued, &c->in_http);
	if (h->inside == 0)
		launch_queued(h);
	return c;
}

struct http_call *http_cancel(struct http_call *c)
{
	if (!c)
		return NULL;
	if (c->place == CALL_STARTED && c->http->inside > 0) {
		c->cancelled = true;
		return NULL;
	}
	/* A place on the wire is free now; the loop hands it on. */
	if (!list_is_empty(&c->http->queued) || !list_is_empty(&c->http->patient))
		ev_timer_start(c->http->loop, &c->http->work);
	call_free(c);
	return NULL;
}

struct http_call *http_abandon(struct http_call *c)
{
	if (c && c->pool && pool_is_current(c->pool))
		pools_renew(c->http);
	return http_cancel(c);
}

size_t http_call_count(const struct http *h)
{
	const struct list *const lists[] = {&h->queued, &h->patient, &h->started, &h->done};
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		const struct list *pos;

		list_for_each (pos, lists[i])
			n++;
	}
	return n;
}

/* --- the client ----------------------------------------------------------------------------- */

static char *copy(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

static char *wipe(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
	free(s);
	return NULL;
}

static bool check_files(const struct http *h, struct err *err)
{
	const char *const paths[] = {h->ca_file.path, h->cert_file.path, h->key_file.path,
				     h->token_file.path};
	struct buf text = {0};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		int e = paths[i] ? credfile_read(paths[i], &text) : 0;

		if (text.data)
			explicit_bzero(text.data, text.len);
		buf_fini(&text);
		if (e < 0)
			return err_set(err, "cannot read %s: %s", paths[i], strerror(-e));
	}
	return true;
}

struct http *http_new(struct ev_loop *loop, const struct http_options *o, struct err *err)
{
	struct http *h;

	/* A connection that the server has closed must not end the process. */
	signal(SIGPIPE, SIG_IGN);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		(void)err_set(err, "libcurl cannot be set up");
		return NULL;
	}
	h = xcalloc(1, sizeof(*h));
	h->loop = loop;
	list_init(&h->pools);
	list_init(&h->queued);
	list_init(&h->patient);
	list_init(&h->started);
	list_init(&h->done);
	ev_timer_init(&h->work, on_work, 0., 0.);
	h->work.data = h;
	h->user_agent = copy(o->user_agent);
	h->tls_server_name = copy(o->tls_server_name);
	h->proxy_url = copy(o->proxy_url);
	h->username = copy(o->username);
	h->password = copy(o->password);
	h->ca_data = copy(o->ca_data);
	h->cert_data = copy(o->cert_data);
	h->key_data = copy(o->key_data);
	h->insecure = o->insecure;
	credfile_init(&h->ca_file, o->ca_file);
	credfile_init(&h->cert_file, o->cert_file);
	credfile_init(&h->key_file, o->key_file);
	credfile_init(&h->token_file, o->token_file);
	if (o->token)
		buf_add_str(&h->token, o->token);
	pools_renew(h);
	if (!check_files(h, err))
		return http_free(h);
	refresh_credentials(h);
	return h;
}

struct http *http_free(struct http *h)
{
	if (!h)
		return NULL;
	assert(h->inside == 0);
	struct list *const lists[] = {&h->queued, &h->patient, &h->started, &h->done};
	struct list *pos, *tmp;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		list_for_each_safe (pos, tmp, lists[i])
			call_free(container_of(pos, struct http_call, in_http));
	list_for_each_safe (pos, tmp, &h->pools)
		pool_free(container_of(pos, struct pool, in_http));
	while (h->n_spare > 0)
		curl_easy_cleanup(h->spare[--h->n_spare]);
	ev_timer_stop(h->loop, &h->work);
	free(h->user_agent);
	free(h->tls_server_name);
	free(h->proxy_url);
	free(h->username);
	free(h->ca_data);
	free(h->cert_data);
	wipe(h->password);
	wipe(h->key_data);
	credfile_fini(&h->ca_file);
	credfile_fini(&h->cert_file);
	credfile_fini(&h->key_file);
	credfile_fini(&h->token_file);
	if (h->token.data)
		explicit_bzero(h->token.data, h->token.len);
	buf_fini(&h->token);
	free(h);
	curl_global_cleanup();
	return NULL;
}
