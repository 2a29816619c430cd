/*
 * One page of a list, parsed while it arrives. Private to lib/kube.
 */
#ifndef LIB_KUBE_PAGE_H
#define LIB_KUBE_PAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "metallb/buf.h"
#include "metallb/err.h"

struct json_object;
struct json_tokener;

#define KUBE_OBJECT_MAX     ((size_t)64 << 20) /* text of one item */
#define KUBE_LIST_META_MAX  ((size_t)1 << 20)  /* text of anything beside the items */
#define KUBE_JSON_DEPTH_MAX 128

/* Borrowed item; NULL is JSON's null. */
typedef void (*kube_item_fn)(void *user, struct json_object *item);

struct kube_page {
	struct json_tokener *tokener;
	int state;
	size_t value_len; /* of the value under way */
	size_t n_items;
	struct buf key;         /* of the member under way */
	char *continue_token;   /* "" at the last page; owned */
	char *resource_version; /* owned */
	bool has_items;
};

void kube_page_init(struct kube_page *p);
void kube_page_fini(struct kube_page *p);
void kube_page_reset(struct kube_page *p); /* for the next page */
bool kube_page_recv(struct kube_page *p, const void *data, size_t len, kube_item_fn on_item,
		    void *user, struct err *err);
/* The body has ended: was it a whole list? */
bool kube_page_end(const struct kube_page *p, struct err *err);

#endif
