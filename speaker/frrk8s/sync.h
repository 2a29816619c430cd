/*
 * Keeps one object of the API server as it should be: what is wanted, what was seen, what was
 * written, and from these the next step. Pure.
 *
 * The server may add defaults to what we write or drop fields that its schema lacks. So what counts
 * as unchanged is not the text that we sent but what the server made of it.
 */
#ifndef METALLB_SPEAKER_FRRK8S_SYNC_H
#define METALLB_SPEAKER_FRRK8S_SYNC_H

#include <stdbool.h>

#include "metallb/clock.h"

struct json_object;

/* Who wrote the object: only such objects are removed when the backend is another one. */
#define FRR_WRITER_ANNOTATION "metallb.io/written-by"
#define FRR_WRITER            "metallb-c"

enum frr_step { FRR_NOTHING, FRR_CREATE, FRR_UPDATE, FRR_DELETE };

/* Zeroed: nothing is decided yet, thus nothing is done. */
struct frr_sync {
	const char *ns, *name;      /* borrowed */
	bool decided;               /* it is known what is wanted */
	struct json_object *wanted; /* spec; NULL: no object */
	struct json_object *seen;   /* the whole object; NULL: there is none */
	/* The last write: the spec that was sent, and what the server answered. */
	struct json_object *sent, *settled;
	/* The version that it made is not seen yet. "" after a deletion, NULL: nothing awaited. */
	char *awaited;
	usec_t awaited_until;
};

void frr_sync_fini(struct frr_sync *s);
/* false when that was wanted already. NULL: no object. */
bool frr_sync_want(struct frr_sync *s, struct json_object *spec);
/* The object as it is now, NULL when it is gone. */
void frr_sync_see(struct frr_sync *s, struct json_object *object);
/* What to do at `now`. *due: when to ask again without anything new, or USEC_NEVER. */
enum frr_step frr_sync_next(const struct frr_sync *s, usec_t now, usec_t *due);
/* The object to send for FRR_CREATE or FRR_UPDATE. The caller's to put. */
struct json_object *frr_sync_body(const struct frr_sync *s, enum frr_step step);
/* The server did it. sent: the spec that was sent; answer: its object; both NULL for FRR_DELETE. */
void frr_sync_done(struct frr_sync *s, struct json_object *sent, struct json_object *answer,
		   usec_t now);
/* Did one of ours write this object? */
bool frr_object_is_ours(struct json_object *object);

#endif
