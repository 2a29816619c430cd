/*
 * Inside lib/serve: what a listener, a connection and a request are made of.
 */
#ifndef SERVE_HTTPS_H
#define SERVE_HTTPS_H

#include <ev.h>
#include <libwebsockets.h>

#include "metallb/list.h"
#include "metallb/serve.h"
#include "tls.h"

struct serve {
	struct ev_loop *loop;
	struct lws_context *lws; /* with one virtual host */
	struct lws_vhost *vhost;
	char *name;
	const struct serve_route *routes;
	size_t n_routes;
	struct serve_tls tls;
	bool is_tls, draining;
	struct tls_identity *identity;
	unsigned max_connections;
	size_t max_body;
	usec_t head_timeout, body_timeout, reply_timeout, idle_timeout;

	int fd; /* -1: not listening */
	struct ev_io accept;
	struct ev_timer sweep, retry;
	uint16_t port;

	struct list conns; /* struct conn, oldest first */
	unsigned n_conns;
	struct conn *adopting; /* not yet known to be libwebsockets' */
	struct list requests;  /* struct serve_request that have a client */
	size_t n_requests;
	size_t body_bytes; /* of all requests */
};

/* One network connection. With HTTP/2 it carries several requests at a time. */
struct conn {
	struct list link;
	struct serve *serve;
	struct lws *wsi;
	usec_t deadline;     /* while it has no request */
	unsigned n_requests; /* being worked on */
	unsigned n_total;    /* so far */
	bool killed;         /* told to close; libwebsockets is still flushing */
};

enum stage {
	STAGE_BODY,    /* the body is coming; the server owns the request */
	STAGE_HANDLER, /* the handler owns it */
	STAGE_REPLY,   /* the answer is going out; the server owns it */
};

struct serve_request {
	struct list link;
	struct serve *serve; /* NULL once the server is gone */
	struct conn *conn;   /* NULL once the client is gone */
	struct lws *wsi;     /* likewise */
	const struct serve_route *route;
	enum stage stage;
	usec_t deadline;
	int status; /* of the answer; while the body comes: 0, or the refusal that waits for its end
		     */
	bool close; /* the connection with the answer */
	char *path, *authorization;
	struct buf body;

	const char *content_type;
	struct buf out;
	size_t sent;
	bool head_sent;
};

/* request.c: what happens to a request; none of these close a connection. */
struct serve_request *request_new(struct conn *conn, struct lws *wsi, const char *path, size_t len);
/* Look at the header. Returns whether a body follows (then its end is told by request_body_end). */
bool request_start(struct serve_request *r);
void request_body(struct serve_request *r, const void *data, size_t len);
void request_body_end(struct serve_request *r);
/* Answer a request that is still in STAGE_BODY with an error. */
void request_refuse(struct serve_request *r, int status, bool close);
/* The socket takes data. 0: go on, 1: the answer is complete, -1: the connection is of no use. */
int request_write(struct serve_request *r);
/* The client is gone. Frees it unless a handler has it. */
void request_detach(struct serve_request *r);

#endif
