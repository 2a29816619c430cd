/*
 * lib/serve against a client that speaks raw bytes, in a thread of its own, plain and over TLS.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "metallb/serve.h"
#include "metallb/xalloc.h"

#define BIG   ((size_t)1 << 20)
#define SHORT (200 * USEC_PER_MSEC)

/* ---- the server's side ---- */

static struct ev_loop *loop;
static struct ev_async client_done;
static struct ev_timer later;
static struct serve_request *waiting[512];
static size_t n_waiting;

static void on_echo(struct serve_request *r, void *user)
{
	struct buf body = {0};
	size_t len;
	const char *text = serve_request_body(r, &len);

	(void)user;
	buf_add(&body, text, len);
	serve_reply(r, 200, "application/json", &body);
}

static void on_who(struct serve_request *r, void *user)
{
	(void)user;
	serve_reply_text(r, 200, serve_request_authorization(r));
}

static void on_big(struct serve_request *r, void *user)
{
	struct buf body = {0};
	char line[1024];

	(void)user;
	memset(line, 'x', sizeof(line));
	for (size_t i = 0; i < BIG / sizeof(line); i++)
		buf_add(&body, line, sizeof(line));
	serve_reply(r, 200, "text/plain", &body);
}

static void on_later(struct serve_request *r, void *user)
{
	(void)user;
	assert_true(n_waiting < ARRAY_SIZE(waiting));
	waiting[n_waiting++] = r;
	ev_timer_again(loop, &later);
}

static void on_timer(struct ev_loop *l, struct ev_timer *t, int events)
{
	(void)events;
	ev_timer_stop(l, t);
	while (n_waiting > 0)
		serve_reply_text(waiting[--n_waiting], 200, "at last");
}

static void on_client_done(struct ev_loop *l, struct ev_async *a, int events)
{
	(void)a;
	(void)events;
	ev_break(l, EVBREAK_ALL);
}

static const struct serve_route routes[] = {
	{SERVE_POST, "/echo", "application/json", on_echo, NULL},
	{SERVE_POST, "/later", NULL, on_later, NULL},
	{SERVE_GET, "/later-get", NULL, on_later, NULL},
	{SERVE_GET, "/who", NULL, on_who, NULL},
	{SERVE_GET, "/big", NULL, on_big, NULL},
};

static char cert_pem[4096], key_pem[4096];

static void make_certificate(const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	BIO *out = BIO_new(BIO_s_mem());

	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	PEM_write_bio_X509(out, x);
	cert_pem[BIO_read(out, cert_pem, sizeof(cert_pem) - 1)] = '\0';
	PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
	key_pem[BIO_read(out, key_pem, sizeof(key_pem) - 1)] = '\0';
	BIO_free(out);
	X509_free(x);
	EVP_PKEY_free(key);
}

static void set_certificate(struct serve *s, const char *name)
{
	struct err err;

	make_certificate(name);
	assert_true(serve_set_certificate(s, cert_pem, strlen(cert_pem), key_pem, strlen(key_pem),
					  &err));
}

static struct serve *start(const struct serve_options *extra, const char *tls_version)
{
	struct serve_options o = *extra;
	struct serve_tls tls = {0};
	struct serve *s;
	struct err err;

	o.name = "test";
	o.address = "127.0.0.1";
	o.routes = routes;
	o.n_routes = ARRAY_SIZE(routes);
	if (tls_version) {
		assert_true(serve_tls_parse(&tls, tls_version, NULL, NULL, &err));
		o.tls = &tls;
	}
	assert_int_equal(serve_new(loop, &o, &s), 0);
	serve_tls_fini(&tls);
	if (tls_version)
		set_certificate(s, "one");
	return s;
}

/* ---- the client's side ---- */

struct link {
	int fd;
	SSL_CTX *ctx;
	SSL *ssl; /* NULL: plain */
};

static void link_open(struct link *l, uint16_t port, bool tls)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*l = (struct link){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	assert_int_equal(connect(l->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	if (!tls)
		return;
	l->ctx = SSL_CTX_new(TLS_client_method());
	l->ssl = SSL_new(l->ctx);
	SSL_set_fd(l->ssl, l->fd);
}

static void link_close(struct link *l)
{
	SSL_free(l->ssl);
	SSL_CTX_free(l->ctx);
	close(l->fd);
}

static bool link_connect(struct link *l)
{
	bool ok = !l->ssl || SSL_connect(l->ssl) == 1;

	ERR_clear_error();
	return ok;
}

/* false when the server does not take it */
static bool link_send(struct link *l, const void *data, size_t n)
{
	const char *p = data;

	while (n > 0) {
		ssize_t k = l->ssl ? SSL_write(l->ssl, p, (int)(n < 16384 ? n : 16384))
				   : send(l->fd, p, n, MSG_NOSIGNAL);

		if (k <= 0) {
			ERR_clear_error();
			return false;
		}
		p += k;
		n -= (size_t)k;
	}
	return true;
}

/* What came until the end of one answer, or of the connection. Returns the body's length. */
static ssize_t link_answer(struct link *l, struct buf *in)
{
	char chunk[16384];
	size_t head = 0, body = 0;

	buf_clear(in);
	for (;;) {
		ssize_t k;

		if (head == 0) {
			const char *end = strstr(buf_str(in), "\r\n\r\n");
			const char *length = strcasestr(buf_str(in), "content-length: ");

			if (end && length && length < end) {
				head = (size_t)(end + 4 - in->data);
				body = strtoul(length + 16, NULL, 10);
			}
		}
		if (head > 0 && in->len >= head + body)
			return (ssize_t)body;
		k = l->ssl ? SSL_read(l->ssl, chunk, sizeof(chunk))
			   : recv(l->fd, chunk, sizeof(chunk), 0);
		if (k <= 0) {
			ERR_clear_error();
			return -1;
		}
		buf_add(in, chunk, (size_t)k);
	}
}

static int answer_status(const struct buf *in)
{
	int status = 0;

	(void)sscanf(buf_str(in), "HTTP/1.%*d %d", &status);
	return status;
}

struct client {
	struct serve *s;
	bool tls;
	void (*run)(struct client *c);
	const char *failed; /* cmocka's checks are for the main thread only */
	int got, want;
	char text[256];
};

#define CHECK(c, cond)                                                                             \
	do {                                                                                       \
		if (!(cond) && !(c)->failed)                                                       \
			(c)->failed = #cond;                                                       \
	} while (0)

static void *client_main(void *user)
{
	struct client *c = user;

	c->run(c);
	ev_async_send(loop, &client_done);
	return NULL;
}

static void run(struct serve *s, bool tls, void (*f)(struct client *))
{
	struct client c = {.s = s, .tls = tls, .run = f};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, client_main, &c), 0);
	ev_run(loop, 0);
	pthread_join(thread, NULL);
	if (c.failed)
		fail_msg("%s (got %d, want %d: %s)", c.failed, c.got, c.want, c.text);
}

/* ---- cases ---- */

#define JSON "Content-Type: application/json\r\n"

static const struct {
	const char *request;
	int status;
	const char *body;
} requests[] = {
	{"POST /echo HTTP/1.1\r\nHost: a\r\n" JSON "Content-Length: 5\r\n\r\nhello", 200, "hello"},
	{"POST /echo?timeout=10s HTTP/1.1\r\nHost: a\r\n" JSON "Content-Length: 2\r\n\r\n{}", 200,
	 "{}"},
	{"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json; charset=utf-8\r\n"
	 "Content-Length: 2\r\n\r\n{}",
	 200, "{}"},
	{"POST /echo HTTP/1.1\r\nHost: a\r\n" JSON "Content-Length: 0\r\n\r\n", 200, ""},
	{"POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", 200, "at last"},
	{"GET /later-get HTTP/1.1\r\nHost: a\r\n\r\n", 200, "at last"},
	{"GET /who HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer abc\r\n\r\n", 200, "Bearer abc"},
	{"GET /who HTTP/1.0\r\n\r\n", 200, ""},
	{"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404, "not found\n"},
	{"POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 404, "not found\n"},
	{"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method not allowed\n"},
	{"DELETE /echo HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method not allowed\n"},
	{"PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 405,
	 "method not allowed\n"},
	{"POST /who HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 405,
	 "method not allowed\n"},
	{"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: text/xml\r\nContent-Length: 2\r\n\r\n{}",
	 415, NULL},
	{"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", 415, NULL},
	{"POST /echo HTTP/1.1\r\nHost: a\r\n" JSON "\r\n", 411, NULL},
	{"POST /echo HTTP/1.1\r\nHost: a\r\n" JSON "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	 411, NULL},
	{"POST /echo HTTP/1.1\r\nHost: a\r\n" JSON
	 "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
	 411, NULL},
	{"POST /echo HTTP/1.1\r\nHost: a\r\n" JSON "Content-Length: -1\r\n\r\n", 400, NULL},
	{"POST /echo HTTP/1.1\r\nHost: a\r\n" JSON "Content-Length: 2x\r\n\r\n{}", 400, NULL},
	{"POST /echo HTTP/1.1\r\nHost: a\r\n" JSON "Content-Length: 99999999999999999999\r\n\r\n",
	 400, NULL},
	{"POST /echo HTTP/1.1\r\nHost: a\r\n" JSON "Content-Length: 999999999999\r\n\r\n", 413,
	 NULL},
	/* answers or a closed connection: 0 is the latter */
	{"\x16\x03\x01 garbage\r\n\r\n", 403, NULL},
	{"FOO / HTTP/1.1\r\n\r\n", 403, NULL},
	{"GET /who HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 0, NULL},
	{"CONNECT a:1 HTTP/1.1\r\n\r\n", 0, NULL},
};

/* Each on a connection of its own. */
static void client_table(struct client *c)
{
	_cleanup_(buf_fini) struct buf in = {0};

	for (size_t i = 0; i < ARRAY_SIZE(requests) && !c->failed; i++) {
		struct link l;
		ssize_t n;

		link_open(&l, serve_port(c->s), c->tls);
		CHECK(c, link_connect(&l));
		CHECK(c, link_send(&l, requests[i].request, strlen(requests[i].request)));
		n = link_answer(&l, &in);
		c->got = answer_status(&in);
		c->want = requests[i].status;
		snprintf(c->text, sizeof(c->text), "%s", requests[i].request);
		CHECK(c, c->got == c->want);
		if (requests[i].body)
			CHECK(c, n == (ssize_t)strlen(requests[i].body) &&
					 strcmp(in.data + in.len - n, requests[i].body) == 0);
		link_close(&l);
	}
}

/* All that leave the connection open, on one, and then all of them sent ahead at once. */
static void client_keepalive(struct client *c)
{
	_cleanup_(buf_fini) struct buf in = {0};
	struct link l;

	link_open(&l, serve_port(c->s), c->tls);
	CHECK(c, link_connect(&l));
	for (int round = 0; round < 3 && !c->failed; round++)
		for (size_t i = 0; i < 6 && !c->failed; i++) {
			CHECK(c, link_send(&l, requests[i].request, strlen(requests[i].request)));
			link_answer(&l, &in);
			CHECK(c, answer_status(&in) == 200);
		}
	link_close(&l);
}

/* Two requests in one segment while the first is still being worked on. */
static void client_pipeline(struct client *c)
{
	static const char two[] = "POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
				  "GET /who HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
	char all[4096];
	size_t n = 0;
	struct link l;

	link_open(&l, serve_port(c->s), c->tls);
	CHECK(c, link_connect(&l));
	CHECK(c, link_send(&l, two, strlen(two)));
	for (;;) {
		ssize_t k = l.ssl ? SSL_read(l.ssl, all + n, (int)(sizeof(all) - 1 - n))
				  : recv(l.fd, all + n, sizeof(all) - 1 - n, 0);

		if (k <= 0)
			break;
		n += (size_t)k;
	}
	ERR_clear_error();
	all[n] = '\0';
	snprintf(c->text, sizeof(c->text), "%.200s", all);
	char *first = strstr(all, "200 OK");
	CHECK(c, first && strstr(all, "at last"));
	CHECK(c, first && strstr(first + 1, "200 OK"));
	link_close(&l);
}

static void client_limits(struct client *c)
{
	static const struct {
		size_t length;
		int status;
	} sizes[] = {{SERVE_BODY_MAX, 200}, {SERVE_BODY_MAX + 1, 413}, {(size_t)12 << 20, 413}};
	_cleanup_free_ char *body = xmalloc((size_t)12 << 20);
	_cleanup_(buf_fini) struct buf in = {0};
	char head[256];

	memset(body, ' ', (size_t)12 << 20);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct link l;

		link_open(&l, serve_port(c->s), c->tls);
		CHECK(c, link_connect(&l));
		snprintf(head, sizeof(head),
			 "POST /echo HTTP/1.1\r\nHost: a\r\n" JSON "Content-Length: %zu\r\n\r\n",
			 sizes[i].length);
		CHECK(c, link_send(&l, head, strlen(head)));
		CHECK(c, link_send(&l, body, sizes[i].length));
		link_answer(&l, &in);
		c->got = answer_status(&in);
		c->want = sizes[i].status;
		CHECK(c, c->got == c->want);
		link_close(&l);
	}
}

static void client_big(struct client *c)
{
	static const char get[] = "GET /big HTTP/1.1\r\nHost: a\r\n\r\n";
	_cleanup_(buf_fini) struct buf in = {0};
	struct link l;

	link_open(&l, serve_port(c->s), c->tls);
	CHECK(c, link_connect(&l));
	CHECK(c, link_send(&l, get, strlen(get)));
	usleep(50000); /* let the server fill the socket and wait */
	CHECK(c, link_answer(&l, &in) == (ssize_t)BIG);
	link_close(&l);
}

/* Whether the server closes within two seconds. */
static bool link_is_closed(struct link *l)
{
	struct pollfd p = {.fd = l->fd, .events = POLLIN};
	char byte;

	while (poll(&p, 1, 2000) == 1)
		if (recv(l->fd, &byte, 1, 0) <= 0)
			return true;
	return false;
}

/* Bytes that come too slowly: the header, the TLS hello, a body (which gets a 408). */
static void client_slow(struct client *c)
{
	static const char head[] =
		"POST /echo HTTP/1.1\r\nHost: a\r\n" JSON "Content-Length: 99\r\n";
	_cleanup_(buf_fini) struct buf in = {0};
	struct link l;

	link_open(&l, serve_port(c->s), false);
	CHECK(c, link_is_closed(&l));
	link_close(&l);

	link_open(&l, serve_port(c->s), false);
	for (size_t i = 0; i < strlen(head); i++) {
		if (!link_send(&l, c->tls ? &"\x16\x03\x01\x01\x00\x01"[i % 6] : head + i, 1))
			break;
		usleep(10000);
	}
	CHECK(c, link_is_closed(&l));
	link_close(&l);

	link_open(&l, serve_port(c->s), c->tls);
	CHECK(c, link_connect(&l));
	CHECK(c, link_send(&l, head, strlen(head)));
	CHECK(c, link_send(&l, "\r\n{", 3));
	for (int i = 0; i < 40 && link_send(&l, " ", 1); i++)
		usleep(10000);
	link_answer(&l, &in);
	c->got = answer_status(&in);
	CHECK(c, c->got == 408);
	link_close(&l);
}

/* Takes an answer too slowly: never reads. */
static void client_no_read(struct client *c)
{
	static const char get[] = "GET /big HTTP/1.1\r\nHost: a\r\n\r\n";
	struct link l;
	int small = 4096;

	link_open(&l, serve_port(c->s), false);
	setsockopt(l.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	for (int i = 0; i < 8; i++)
		link_send(&l, get, strlen(get));
	for (int i = 0; i < 100 && serve_connections(c->s) > 0; i++)
		usleep(20000);
	CHECK(c, serve_connections(c->s) == 0);
	link_close(&l);
}

/* Connections that say nothing do not keep others out. */
static void client_flood(struct client *c)
{
	static const char get[] = "GET /who HTTP/1.1\r\nHost: a\r\n\r\n";
	_cleanup_(buf_fini) struct buf in = {0};
	struct link held[40], l;

	for (size_t i = 0; i < ARRAY_SIZE(held); i++)
		link_open(&held[i], serve_port(c->s), false);
	link_open(&l, serve_port(c->s), c->tls);
	CHECK(c, link_connect(&l));
	CHECK(c, link_send(&l, get, strlen(get)));
	link_answer(&l, &in);
	CHECK(c, answer_status(&in) == 200);
	CHECK(c, serve_connections(c->s) <= 8);
	link_close(&l);
	for (size_t i = 0; i < ARRAY_SIZE(held); i++)
		link_close(&held[i]);
}

/* Noise, ever different: the connection is closed or answered, and the next good request served. */
static void client_noise(struct client *c)
{
	static const char get[] = "GET /who HTTP/1.1\r\nHost: a\r\n\r\n";
	_cleanup_(buf_fini) struct buf in = {0};
	uint32_t state = 1;
	struct link l;

	for (int i = 0; i < 100; i++) {
		char noise[600];

		for (size_t k = 0; k < sizeof(noise); k++)
			noise[k] = (char)((state = state * 1664525 + 1013904223) >> 24);
		/* every other time inside of TLS, where there is TLS */
		link_open(&l, serve_port(c->s), c->tls && i % 2);
		CHECK(c, link_connect(&l));
		link_send(&l, noise, sizeof(noise));
		if (i % 4 < 2)
			shutdown(l.fd, SHUT_WR);
		link_close(&l);
	}
	link_open(&l, serve_port(c->s), c->tls);
	CHECK(c, link_connect(&l));
	CHECK(c, link_send(&l, get, strlen(get)));
	link_answer(&l, &in);
	CHECK(c, answer_status(&in) == 200);
	link_close(&l);
	for (int i = 0; i < 100 && serve_connections(c->s) > 0; i++)
		usleep(20000);
	CHECK(c, serve_connections(c->s) == 0);
}

/* Goes away while the handler is at work. */
static void client_impatient(struct client *c)
{
	static const char post[] = "POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";

	for (int i = 0; i < 20; i++) {
		struct link l;

		link_open(&l, serve_port(c->s), c->tls);
		CHECK(c, link_connect(&l));
		CHECK(c, link_send(&l, post, strlen(post)));
		usleep(2000);
		link_close(&l);
	}
	usleep(20000); /* until the last one has been accepted */
	for (int i = 0; i < 100 && serve_connections(c->s) > 0; i++)
		usleep(10000);
	CHECK(c, serve_connections(c->s) == 0);
}

static void peer_name(struct link *l, char name[64])
{
	X509 *x = SSL_get1_peer_certificate(l->ssl);

	name[0] = '\0';
	if (x)
		X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, name, 64);
	X509_free(x);
}

static struct link old_link;

static void client_before_reload(struct client *c)
{
	char name[64];

	link_open(&old_link, serve_port(c->s), true);
	CHECK(c, link_connect(&old_link));
	peer_name(&old_link, name);
	CHECK(c, strcmp(name, "one") == 0);
}

static void client_after_reload(struct client *c)
{
	static const char get[] = "GET /who HTTP/1.1\r\nHost: a\r\n\r\n";
	_cleanup_(buf_fini) struct buf in = {0};
	char name[64];
	struct link l;

	CHECK(c, link_send(&old_link, get, strlen(get)));
	link_answer(&old_link, &in);
	CHECK(c, answer_status(&in) == 200);
	link_close(&old_link);
	link_open(&l, serve_port(c->s), true);
	CHECK(c, link_connect(&l));
	peer_name(&l, name);
	CHECK(c, strcmp(name, "two") == 0);
	CHECK(c, SSL_version(l.ssl) == TLS1_3_VERSION);
	link_close(&l);
}

static void client_old_tls(struct client *c)
{
	struct link l;

	link_open(&l, serve_port(c->s), true);
	SSL_set_max_proto_version(l.ssl, TLS1_2_VERSION);
	c->got = link_connect(&l);
	link_close(&l);
}

static void client_drain(struct client *c)
{
	static const char get[] = "GET /who HTTP/1.1\r\nHost: a\r\n\r\n";
	_cleanup_(buf_fini) struct buf in = {0};
	struct link l;

	link_open(&l, serve_port(c->s), c->tls);
	CHECK(c, link_connect(&l));
	CHECK(c, link_send(&l, get, strlen(get)));
	link_answer(&l, &in);
	CHECK(c, answer_status(&in) == 200 && strcasestr(buf_str(&in), "connection: close"));
	CHECK(c, link_is_closed(&l));
	link_close(&l);
}

static const struct {
	const char *name;
	void (*run)(struct client *);
	struct serve_options options;
} scenarios[] = {
	{"table", client_table, {0}},
	{"keepalive", client_keepalive, {0}},
	{"pipeline", client_pipeline, {0}},
	{"limits", client_limits, {0}},
	{"big", client_big, {0}},
	{"slow", client_slow, {.head_timeout = SHORT, .body_timeout = SHORT}},
	{"flood", client_flood, {.max_connections = 8}},
	{"noise", client_noise, {.head_timeout = SHORT}},
	{"impatient", client_impatient, {0}},
};

static void run_scenarios(const char *tls)
{
	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++) {
		struct serve *s = start(&scenarios[i].options, tls);

		print_message("%s\n", scenarios[i].name);
		run(s, tls != NULL, scenarios[i].run);
		assert_int_equal(serve_busy(s), 0);
		serve_free(s);
	}
}

static void test_plain(void **state)
{
	(void)state;
	run_scenarios(NULL);
}

static void test_tls(void **state)
{
	(void)state;
	run_scenarios("");
}

static void test_no_read(void **state)
{
	struct serve_options o = {.reply_timeout = SHORT, .idle_timeout = SHORT};
	struct serve *s = start(&o, NULL);

	(void)state;
	run(s, false, client_no_read);
	serve_free(s);
}

static void test_drain(void **state)
{
	struct serve *s = start(&(struct serve_options){0}, "");

	(void)state;
	serve_drain(s);
	run(s, true, client_drain);
	serve_free(s);
}

static void test_reload(void **state)
{
	struct serve *s = start(&(struct serve_options){0}, "");
	struct err err;

	(void)state;
	run(s, true, client_before_reload);
	set_certificate(s, "two");
	run(s, true, client_after_reload);
	/* a refused one changes nothing */
	assert_false(serve_set_certificate(s, cert_pem, strlen(cert_pem), "nonsense", 8, &err));
	assert_string_equal(err.msg, "the key is not unencrypted PEM");
	assert_false(serve_set_certificate(s, "x", 1, key_pem, strlen(key_pem), &err));
	assert_string_equal(err.msg, "the certificate is not PEM: no start line");
	assert_true(serve_has_certificate(s));
	serve_free(s);
}

static void run_old_tls(struct serve *s, bool want)
{
	struct client c = {.s = s, .run = client_old_tls};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, client_main, &c), 0);
	ev_run(loop, 0);
	pthread_join(thread, NULL);
	assert_int_equal(c.got, want);
}

static void test_tls_versions(void **state)
{
	struct serve *s = start(&(struct serve_options){0}, "");

	(void)state;
	run_old_tls(s, false);
	serve_free(s);
	s = start(&(struct serve_options){0}, "VersionTLS12");
	run_old_tls(s, true);
	serve_free(s);
}

static void test_free_with_clients(void **state)
{
	struct serve *s = start(&(struct serve_options){0}, "");

	(void)state;
	run(s, true, client_before_reload); /* leaves a connection open */
	serve_free(s);
	link_close(&old_link);
}

static void test_port_taken(void **state)
{
	struct serve *s = start(&(struct serve_options){0}, NULL), *t;
	struct serve_options o = {.name = "test", .address = "127.0.0.1", .port = serve_port(s)};

	(void)state;
	assert_int_equal(serve_new(loop, &o, &t), -EADDRINUSE);
	o.address = "nowhere";
	assert_int_equal(serve_new(loop, &o, &t), -EINVAL);
	serve_free(s);
}

static void test_tls_parse(void **state)
{
	static const struct {
		const char *version, *ciphers, *curves, *want_ciphers, *want_groups, *error;
	} cases[] = {
		{"", "", "", NULL, NULL, NULL},
		{"VersionTLS13", NULL, "29,23", NULL, "X25519:P-256", NULL},
		{"VersionTLS12",
		 "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
		 "", "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384", NULL, NULL},
		{"VersionTLS12", "TLS_AES_128_GCM_SHA256", "", NULL, NULL, NULL},
		{"", "", "4588,24", NULL, "P-384", NULL},
		{"VersionTLS11", "", "", NULL, NULL,
		 "--tls-min-version: \"VersionTLS11\" is neither VersionTLS12 nor VersionTLS13"},
		{"", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "", NULL, NULL,
		 "--tls-cipher-suites needs --tls-min-version=VersionTLS12"},
		{"VersionTLS12", "ECDHE-ECDSA-AES128-GCM-SHA256", "", NULL, NULL,
		 "--tls-cipher-suites: unknown cipher suite \"ECDHE-ECDSA-AES128-GCM-SHA256\""},
		{"", "", "23,23", NULL, NULL, "--tls-curve-preferences: 23 is there twice"},
		{"", "", "7", NULL, NULL, "--tls-curve-preferences: unknown curve 7"},
		{"", "", "X25519", NULL, NULL,
		 "--tls-curve-preferences: \"X25519\" is not a number"},
		{"", "", "4588", NULL, NULL,
		 "--tls-curve-preferences: this build of OpenSSL has none of these curves"},
		{"", "", "23,", NULL, NULL, "--tls-curve-preferences: \"\" is not a number"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct serve_tls tls = {0};
		struct err err = {0};
		bool ok = serve_tls_parse(&tls, cases[i].version, cases[i].ciphers, cases[i].curves,
					  &err);

		if (cases[i].error) {
			assert_false(ok);
			assert_string_equal(err.msg, cases[i].error);
			continue;
		}
		assert_true(ok);
		assert_string_equal(tls.ciphers ? tls.ciphers : "",
				    cases[i].want_ciphers ? cases[i].want_ciphers : "");
		assert_string_equal(tls.groups ? tls.groups : "",
				    cases[i].want_groups ? cases[i].want_groups : "");
		serve_tls_fini(&tls);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_no_read),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_tls_versions),
		cmocka_unit_test(test_free_with_clients),
		cmocka_unit_test(test_port_taken),
		cmocka_unit_test(test_tls_parse),
	};
	int failed;

	loop = ev_loop_new(EVFLAG_AUTO);
	ev_async_init(&client_done, on_client_done);
	ev_async_start(loop, &client_done);
	ev_timer_init(&later, on_timer, 0., 0.02);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	ev_async_stop(loop, &client_done);
	ev_loop_destroy(loop);
	return failed;
}
