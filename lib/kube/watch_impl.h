/*
 * The inside of the list and watch machine, shared by watch.c and apply.c alone.
 */
#ifndef LIB_KUBE_WATCH_IMPL_H
#define LIB_KUBE_WATCH_IMPL_H

#include "lib/kube/watch.h"

struct json_object;
struct json_tokener;

struct kube_watch {
	struct kube_informer_spec spec;
	struct kube_watch_hooks hooks;
	struct kube_store *store;
	size_t source; /* index in spec.sources */
	enum kube_watch_state state;
	usec_t due;       /* WAIT: when to go on */
	usec_t last_byte; /* otherwise: when the request was sent or the last byte came */
	bool must_list;   /* the next request is a list */
	bool sent;        /* the request of this state has been handed out */
	bool must_stop;   /* the request handed out is to be dropped */
	bool synced;

	/* the request under way */
	int status;         /* 0 before the head came */
	usec_t retry_after; /* 0 = not said */
	usec_t began;       /* when the head came */
	struct err refusal; /* why we ended it, "" when we did not */
	bool resumable;     /* in spite of the refusal the watch may go on where it was */
	struct buf error_body;
	struct buf path;

	struct kube_page page;
	struct kube_frame frame;
	struct json_tokener *tokener; /* of events */
	char *resource_version;       /* to watch from */
	char *continue_token;         /* of the list under way; NULL at its start */

	unsigned failures; /* in a row */
	usec_t not_served; /* the last wait for the kind to be served; 0 = it is */
	char *error;       /* NULL when all is well */
};

/* apply.c */
void kube_watch_apply_item(struct kube_watch *w, struct json_object *item);
bool kube_watch_apply_line(struct kube_watch *w, const char *line, size_t len, struct err *err);
void kube_watch_apply_list_end(struct kube_watch *w);
void kube_watch_problem(struct kube_watch *w, enum kube_watch_level level, const char *key,
			const char *what);

#endif
