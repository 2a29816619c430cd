/*
 * Lines of a watch stream. Private to lib/kube.
 */
#ifndef LIB_KUBE_FRAME_H
#define LIB_KUBE_FRAME_H

#include <stdbool.h>
#include <stddef.h>

#include "metallb/buf.h"
#include "metallb/err.h"

#define KUBE_LINE_MAX ((size_t)64 << 20)

struct kube_frame {
	struct buf rest; /* the start of a line whose end has not come */
	size_t max;      /* KUBE_LINE_MAX, or less in tests */
};

void kube_frame_init(struct kube_frame *f);
void kube_frame_fini(struct kube_frame *f);
/* Forget what is left of an earlier stream. */
void kube_frame_clear(struct kube_frame *f);
/*
 * Cut the next bytes of the stream into lines, in any pieces. on_line gets each line that is not
 * blank, without its end; it returns false to stop. False when it did, or with a reason when a
 * line is longer than the maximum.
 */
typedef bool (*kube_line_fn)(void *user, const char *line, size_t len, struct err *err);
bool kube_frame_recv(struct kube_frame *f, const void *data, size_t len, kube_line_fn on_line,
		     void *user, struct err *err);

#endif
