/*
 * Lines of a watch stream: one JSON event each, of any length up to KUBE_LINE_MAX. A line that
 * arrives in one piece is never copied. Pure.
 */
#include "lib/kube/frame.h"

#include <string.h>

#define REST_KEEP ((size_t)64 << 10) /* memory kept between lines */
#define NAME_SCAN 2048               /* how far into a too long line we look for a name */

void kube_frame_init(struct kube_frame *f)
{
	*f = (struct kube_frame){.max = KUBE_LINE_MAX};
}

void kube_frame_fini(struct kube_frame *f)
{
	buf_fini(&f->rest);
}

void kube_frame_clear(struct kube_frame *f)
{
	if (f->rest.cap > REST_KEEP)
		buf_fini(&f->rest);
	else
		buf_clear(&f->rest);
}

static bool is_blank(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!strchr(" \t\r", line[i]))
			return false;
	return true;
}

/* Names the object by the first "name" in the text: servers write it near the start. */
static bool refuse_long(struct kube_frame *f, const char *more, size_t len, struct err *err)
{
	static const char key[] = "\"name\":\"";
	const char *name;
	size_t n, name_len = 0;

	if (f->rest.len < NAME_SCAN)
		buf_add(&f->rest, more, len < NAME_SCAN ? len : NAME_SCAN);
	n = f->rest.len < NAME_SCAN ? f->rest.len : NAME_SCAN;
	name = memmem(f->rest.data, n, key, strlen(key));
	if (name) {
		name += strlen(key);
		while (name + name_len < f->rest.data + n && name[name_len] != '"')
			name_len++;
	}
	return err_set(err, "an event of more than %zu bytes, for the object named \"%.*s\"",
		       f->max, (int)name_len, name ? name : "");
}

bool kube_frame_recv(struct kube_frame *f, const void *data, size_t len, kube_line_fn on_line,
		     void *user, struct err *err)
{
	const char *p = data, *end = p + len;

	while (p < end) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((newline ? newline : end) - p);
		const char *line = p;
		size_t line_len = n;

		if (f->rest.len + n > f->max)
			return refuse_long(f, p, n, err);
		if (!newline || f->rest.len > 0) {
			buf_add(&f->rest, p, n);
			line = f->rest.data;
			line_len = f->rest.len;
		}
		if (!newline)
			return true;
		p = newline + 1;
		if (!is_blank(line, line_len) && !on_line(user, line, line_len, err))
			return false;
		kube_frame_clear(f);
	}
	return true;
}
