/*
 * Single requests to the API server: get, list, create, update, patch, delete. Asynchronous: the
 * answer comes by callback from the loop, exactly once, unless the call is cancelled or the client
 * freed. No request budget of our own: the server's priority and fairness answers.
 */
#ifndef METALLB_KUBE_CLIENT_H
#define METALLB_KUBE_CLIENT_H

#include "metallb/clock.h"
#include "metallb/err.h"
#include "metallb/kube.h"
#include "metallb/kube_config.h"

struct ev_loop;
struct http;
struct kube_client;
struct kube_call;

#define KUBE_REQUEST_TIMEOUT (30 * USEC_PER_SEC)

/* Everything is borrowed and ends with the callback; json_object_get(body) to keep it. */
struct kube_result {
	bool ok;    /* a 2xx answer that could be read */
	int status; /* HTTP; 0 when no answer came */
	/* When not ok: */
	const char *reason;  /* Status.reason: "NotFound", "Conflict", ...; "" when there is none */
	const char *message; /* never empty: for logs; names verb and resource */
	usec_t retry_after;  /* 0 when the server did not say */
	/* The object, the list or the Status; NULL when there is no readable body. */
	struct json_object *body;
	const char *warning; /* the server's Warning header, or NULL */
	int64_t date;        /* the server's clock, seconds since 1970; 0: it did not say */
};

typedef void (*kube_done_fn)(void *user, const struct kube_result *result);

/* Keeps no reference to config. program: its name, for User-Agent "program/version". */
struct kube_client *kube_client_new(struct ev_loop *loop, const struct kube_config *config,
				    const char *program, struct err *err);
/* Drops calls under way without their callbacks. Informers, recorders and leases go first. */
struct kube_client *kube_client_free(struct kube_client *c);
struct ev_loop *kube_client_loop(const struct kube_client *c);
struct http *kube_client_http(const struct kube_client *c);
const char *kube_client_server(const struct kube_client *c); /* base URL */

/* In all of these done may be NULL; a failure is then logged. Bodies are JSON text, copied. */
struct kube_call *kube_client_get(struct kube_client *c, const struct kube_ref *ref,
				  kube_done_fn done, void *user);
struct kube_list_options {
	const char *label_selector, *field_selector; /* or NULL */
	unsigned limit;                              /* 0 = all in one answer */
	const char *continue_token;                  /* or NULL */
};
struct kube_call *kube_client_list(struct kube_client *c, const struct kube_ref *ref,
				   const struct kube_list_options *options, kube_done_fn done,
				   void *user);
struct kube_call *kube_client_create(struct kube_client *c, const struct kube_ref *ref,
				     const char *body, kube_done_fn done, void *user);
/* The same with dryRun=All: what the server and its webhooks would say; nothing is stored. */
struct kube_call *kube_client_try(struct kube_client *c, const struct kube_ref *ref,
				  const char *body, kube_done_fn done, void *user);
/* PUT; body carries metadata.resourceVersion for optimistic concurrency (409 on a conflict). */
struct kube_call *kube_client_update(struct kube_client *c, const struct kube_ref *ref,
				     const char *body, kube_done_fn done, void *user);

enum kube_patch { KUBE_PATCH_MERGE, KUBE_PATCH_JSON, KUBE_PATCH_STRATEGIC, KUBE_PATCH_APPLY };
struct kube_patch_options {
	const char *field_manager; /* required for APPLY */
	bool force;                /* APPLY only */
};
/* options may be NULL. */
struct kube_call *kube_client_patch(struct kube_client *c, const struct kube_ref *ref,
				    enum kube_patch type, const char *body,
				    const struct kube_patch_options *options, kube_done_fn done,
				    void *user);
struct kube_delete_options {
	const char *uid, *resource_version; /* preconditions, or NULL */
	const char *propagation;            /* "Background", "Foreground", "Orphan" or NULL */
	int grace_s;                        /* -1 = the kind's default */
};
/* options may be NULL: no preconditions, the defaults. */
struct kube_call *kube_client_delete(struct kube_client *c, const struct kube_ref *ref,
				     const struct kube_delete_options *options, kube_done_fn done,
				     void *user);
/* Any path: "/version", "/readyz". A body that is not JSON leaves result->body NULL, ok true. */
struct kube_call *kube_client_get_path(struct kube_client *c, const char *path, kube_done_fn done,
				       void *user);
/* The callback does not run any more. A call that was sent may still take effect on the server. */
struct kube_call *kube_client_cancel(struct kube_call *call);
/* Calls under way. */
size_t kube_client_busy(const struct kube_client *c);

#endif
