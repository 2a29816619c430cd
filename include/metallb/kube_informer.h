/*
 * Keeps a store equal to what the API server has of one kind: lists in pages, watches, resumes,
 * backs off, lists again after 410 without forgetting, and tells of every change. What it knows
 * stays known through every failure.
 *
 * All callbacks run from the loop. An informer may be freed inside none of its own callbacks.
 */
#ifndef METALLB_KUBE_INFORMER_H
#define METALLB_KUBE_INFORMER_H

#include "metallb/err.h"
#include "metallb/kube.h"
#include "metallb/kube_store.h"

struct kube_client;
struct kube_informer;

/*
 * Make the caller's struct of a JSON object (freed right after). NULL with a reason in err: the
 * object is malformed; it is logged with its key, and what was known of it stays. NULL without a
 * reason (err->msg empty): not of interest; it is treated as absent.
 */
typedef void *(*kube_decode_fn)(struct json_object *object, struct err *err);

/* One way to get the objects. */
struct kube_source {
	const struct kube_resource *resource;
	kube_decode_fn decode;
};

#define KUBE_SOURCES_MAX 4

struct kube_informer_spec {
	/* The first source that the server serves is used (EndpointSlice v1, v1beta1, Endpoints);
	 * none served: reported as an error, tried again, soon at first, then every 30 s. */
	struct kube_source sources[KUBE_SOURCES_MAX];
	size_t n_sources;
	const char *ns;                              /* NULL = all */
	const char *label_selector, *field_selector; /* or NULL */
	void (*free_value)(void *value);
	/*
	 * One change: before NULL = new, after NULL = gone. The store is already changed; before is
	 * freed afterwards. An object that was deleted and made again while we could not see it
	 * comes as an update. Objects that did not change between two lists cause no call.
	 */
	void (*on_change)(void *user, const char *key, void *before, void *after);
	/* Once, after the first complete list (its changes have been told before). May be NULL. */
	void (*on_synced)(void *user);
	/* The state of the connection changed: error is NULL when all is well again, else the
	 * reason (it has been logged). May be NULL. */
	void (*on_state)(void *user, const char *error);
	void *user;
};

/* Starts at once. Strings and resources are borrowed for the informer's life. */
struct kube_informer *kube_informer_new(struct kube_client *c,
					const struct kube_informer_spec *spec);
struct kube_informer *kube_informer_free(struct kube_informer *i); /* frees the values silently */
const struct kube_store *kube_informer_store(const struct kube_informer *i);
bool kube_informer_is_synced(const struct kube_informer *i);
/* Why it is not up to date now, or NULL. */
const char *kube_informer_error(const struct kube_informer *i);
/* The server has none of the sources' kinds: a CRD is missing. */
bool kube_informer_is_not_served(const struct kube_informer *i);
/* The index in spec->sources now in use. */
size_t kube_informer_source(const struct kube_informer *i);

#endif
