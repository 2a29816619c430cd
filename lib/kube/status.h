/*
 * What a failed request says. Private to lib/kube.
 */
#ifndef LIB_KUBE_STATUS_H
#define LIB_KUBE_STATUS_H

#include <stddef.h>

#include "metallb/kube.h"

#define KUBE_STATUS_TEXT_MAX 400 /* of a server's message that we repeat */

/* JSON text as an object; NULL when it is not exactly one value. */
struct json_object *kube_json_parse(const char *text, size_t len);
/*
 * Append "VERB PLURAL[.GROUP] [NS/NAME]: ..." and why it failed: `error` when no answer came, else
 * the status with the message of the server's Status object, or the start of its body.
 */
struct kube_failure {
	const char *verb;
	const struct kube_resource *resource;
	const char *ns, *name; /* or NULL */
	const char *error;     /* of the transport, or NULL */
	int status;
	struct json_object *body; /* or NULL */
	const char *text;         /* the body when it is no JSON; NULL = none */
	size_t text_len;
};
void kube_failure_format(const struct kube_failure *f, struct buf *out);

#endif
