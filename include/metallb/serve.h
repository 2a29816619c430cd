/*
 * HTTP servers on the event loop: HTTPS for webhooks and metrics, plain HTTP for health. The only
 * user of libwebsockets.
 *
 * One `struct serve` listens on one port and answers from a table of routes. A handler gets the
 * complete request and answers it with serve_reply(), at once or later, from the same thread; the
 * request is its own until then, even when the client has gone away meanwhile.
 *
 * Everything a client can use up is bounded: connections, header bytes, body bytes of one request
 * and of all together, and the time for each stage of a request. When all connections are taken, a
 * new one pushes out the oldest that has not yet sent a request.
 */
#ifndef METALLB_SERVE_H
#define METALLB_SERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metallb/buf.h"
#include "metallb/clock.h"
#include "metallb/err.h"

struct ev_loop;
struct serve;
struct serve_request;

#define SERVE_BODY_MAX        ((size_t)7 << 20)  /* an object and its old version, 3 MiB each */
#define SERVE_BODIES_MAX      ((size_t)64 << 20) /* all bodies held by one listener */
#define SERVE_HEADER_MAX      8192               /* all headers of one request */
#define SERVE_CONNECTIONS_MAX 256
#define SERVE_AUTH_MAX        4096 /* an Authorization header */
#define SERVE_CERT_MAX        ((size_t)256 << 10)

#define SERVE_HEAD_TIMEOUT  (10 * USEC_PER_SEC) /* from connecting, TLS included, to a request */
#define SERVE_BODY_TIMEOUT  (20 * USEC_PER_SEC) /* from the header to the last byte of the body */
#define SERVE_REPLY_TIMEOUT (40 * USEC_PER_SEC) /* from there until the answer is written */
/* Longer than the 90 s after which the API server closes an idle connection itself: a server that
 * closes first would race with the next request. */
#define SERVE_IDLE_TIMEOUT (150 * USEC_PER_SEC)

enum serve_method { SERVE_GET, SERVE_POST };

typedef void (*serve_handler_fn)(struct serve_request *r, void *user);

struct serve_route {
	enum serve_method method;
	const char *path;
	const char *content_type; /* that a body must have, "application/json"; NULL: any */
	serve_handler_fn handle;
	void *user;
};

/* What the TLS flags say; see serve_tls_parse(). */
struct serve_tls {
	int min_version; /* of OpenSSL: TLS1_2_VERSION, TLS1_3_VERSION */
	char *ciphers;   /* OpenSSL names for TLS 1.2, or NULL: the default */
	char *groups;    /* OpenSSL names of the curves, or NULL */
	bool http2;      /* offer HTTP/2 */
};

/*
 * From --tls-min-version ("", VersionTLS12, VersionTLS13), --tls-cipher-suites (IANA names by
 * comma, only with VersionTLS12) and --tls-curve-preferences (numbers of the TLS registry by
 * comma). Texts may be NULL.
 */
bool serve_tls_parse(struct serve_tls *tls, const char *min_version, const char *ciphers,
		     const char *curves, struct err *err);
void serve_tls_fini(struct serve_tls *tls);

struct serve_options {
	const char *name;                 /* for logs: "webhook", "metrics", "health" */
	const char *address;              /* to listen on; NULL: all, of both families */
	uint16_t port;                    /* 0: any free one, see serve_port() */
	const struct serve_route *routes; /* kept by reference */
	size_t n_routes;
	const struct serve_tls *tls; /* copied; NULL: plain HTTP */
	unsigned max_connections;    /* 0: SERVE_CONNECTIONS_MAX */
	/* 0: the values above */
	size_t max_body;
	usec_t head_timeout, body_timeout, reply_timeout, idle_timeout;
};

/* Listens at once. 0 or -errno (EADDRINUSE, ...); what went wrong inside libwebsockets is EIO. */
int serve_new(struct ev_loop *loop, const struct serve_options *options, struct serve **out);
/* Cuts all connections. Requests that handlers still hold stay valid until serve_reply(). Not from
 * inside a handler. */
struct serve *serve_free(struct serve *s);
uint16_t serve_port(const struct serve *s);
/*
 * The certificate (PEM, followed by its chain) and its key for connections from now on; those that
 * are open stay. Until the first one, TLS handshakes fail. Nothing changes when it is refused.
 */
bool serve_set_certificate(struct serve *s, const char *cert_pem, size_t cert_len,
			   const char *key_pem, size_t key_len, struct err *err);
bool serve_has_certificate(const struct serve *s);
/*
 * Before the end: answers tell the client to close its connection, new connections are still
 * taken. serve_busy() is then the number of requests being worked on.
 */
void serve_drain(struct serve *s);
size_t serve_busy(const struct serve *s);
size_t serve_connections(const struct serve *s);

/* The path without the query. */
const char *serve_request_path(const struct serve_request *r);
/* NUL-terminated; the length may be NULL. */
const char *serve_request_body(const struct serve_request *r, size_t *len);
/* The Authorization header; "" when there is none. */
const char *serve_request_authorization(const struct serve_request *r);
/* Answer and give the request up. The body is taken over and emptied; it may be NULL. */
void serve_reply(struct serve_request *r, int status, const char *content_type, struct buf *body);
void serve_reply_text(struct serve_request *r, int status, const char *text);

#endif
