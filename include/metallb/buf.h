/*
 * A growing byte string. Always NUL-terminated behind its end once something was added.
 */
#ifndef METALLB_BUF_H
#define METALLB_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	char *data; /* NULL while empty */
	size_t len, cap;
};

void buf_fini(struct buf *b);  /* free and reset to empty */
void buf_clear(struct buf *b); /* forget the content, keep the memory */
void buf_add(struct buf *b, const void *data, size_t n);
void buf_add_str(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* s as a JSON string with quotes; invalid UTF-8 becomes U+FFFD. */
void buf_add_json_str(struct buf *b, const char *s, size_t len);
/* Drop the first n bytes. */
void buf_consume(struct buf *b, size_t n);
const char *buf_str(const struct buf *b); /* "" when empty */
/* Hand the content over to the caller (never NULL); b is empty afterwards. */
char *buf_steal(struct buf *b);

#endif
