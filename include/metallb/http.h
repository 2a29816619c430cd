/*
 * HTTP requests on the event loop: HTTP/2 with multiplexing where the server has it, kept-alive
 * connections, verified TLS. The only user of libcurl.
 *
 * Everything is asynchronous: a request's callbacks run from the loop, never from http_start() or
 * http_cancel(). After on_done or http_cancel() the call is gone.
 */
#ifndef METALLB_HTTP_H
#define METALLB_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metallb/clock.h"
#include "metallb/err.h"

struct ev_loop;
struct http;
struct http_call;

#define HTTP_BODY_MAX        ((size_t)64 << 20) /* of a response that is collected, not streamed */
#define HTTP_BUSY_MAX        32 /* requests on the wire beside the streams; others queue */
#define HTTP_PATIENT_MAX     8  /* no patient request starts while so many are on the wire */
#define HTTP_CONNECT_TIMEOUT (10 * USEC_PER_SEC)

/* Strings are copied; NULL = unset. Files are read again when they change. */
struct http_options {
	const char *user_agent;
	const char *tls_server_name; /* instead of the URL's host, for SNI and verification */
	const char *proxy_url; /* NULL: the environment (HTTPS_PROXY, NO_PROXY, ...) decides */
	const char *ca_file, *ca_data; /* neither: the system's */
	const char *cert_file, *cert_data;
	const char *key_file, *key_data;
	const char *token, *token_file;
	const char *username, *password;
	bool insecure; /* do not verify the server */
};

struct http_head {
	int status;
	usec_t retry_after;  /* 0 when absent */
	const char *warning; /* text of the first Warning header, or NULL */
};

struct http_end {
	int status;          /* 0 when no response came */
	const char *error;   /* NULL when the response is complete; else what went wrong */
	usec_t retry_after;  /* 0 when absent */
	const char *warning; /* or NULL */
	int64_t date;        /* the server's clock, seconds since 1970; 0: it did not say */
	const char *body;    /* collected body, NUL-terminated, borrowed; NULL when streamed */
	size_t body_len;
};

struct http_request {
	const char *method; /* "GET", "POST", ... */
	const char *url;
	const char *content_type; /* of body; NULL: application/json */
	const char *accept;       /* NULL: application/json */
	const char *body;         /* copied; NULL = none */
	size_t body_len;
	usec_t idle_timeout;  /* fail when no byte came for so long; 0 = none */
	usec_t total_timeout; /* 0 = none */
	bool urgent;          /* do not queue behind others (a lease's renewal) */
	bool patient;         /* let the others go first (an Event) */
	/* Streaming: called for each piece; the body is then not collected. false ends the call
	 * with the error "refused by the reader". */
	bool (*on_data)(void *user, const void *data, size_t len);
	/* With on_data: called once before the first piece. May be NULL. */
	void (*on_head)(void *user, const struct http_head *head);
	void (*on_done)(void *user, const struct http_end *end);
	void *user;
};

/*
 * NULL with the reason when libcurl or a certificate file cannot be set up. SIGPIPE is ignored from
 * then on.
 */
struct http *http_new(struct ev_loop *loop, const struct http_options *options, struct err *err);
/* Drops all calls without their callbacks. Not to be called from a callback. */
struct http *http_free(struct http *h);
/* Never NULL; what goes wrong is told by on_done. */
struct http_call *http_start(struct http *h, const struct http_request *request);
/* No callback of this call runs any more. NULL is fine; returns NULL. */
struct http_call *http_cancel(struct http_call *call);
/* As http_cancel, and its connection, which hangs, serves no new requests. */
struct http_call *http_abandon(struct http_call *call);
size_t http_call_count(const struct http *h);

#endif
