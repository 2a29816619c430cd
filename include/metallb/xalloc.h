/*
 * Allocation that aborts on failure: a small allocation that fails has no useful way on. Sizes that
 * come from outside are checked against a named maximum before they get here.
 */
#ifndef METALLB_XALLOC_H
#define METALLB_XALLOC_H

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define _cleanup_(f)   __attribute__((cleanup(f)))
#define _cleanup_free_ _cleanup_(freep)
#define _must_check_   __attribute__((warn_unused_result))
#define ARRAY_SIZE(a)  (sizeof(a) / sizeof((a)[0]))

void *xmalloc(size_t size) _must_check_;
void *xcalloc(size_t n, size_t size) _must_check_;
void *xrealloc(void *p, size_t size) _must_check_;
/* Room for n elements of `size`, the product checked. */
void *xreallocarray(void *p, size_t n, size_t size) _must_check_;
char *xstrdup(const char *s) _must_check_;
char *xstrndup(const char *s, size_t n) _must_check_;
void *xmemdup(const void *p, size_t n) _must_check_;
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2))) _must_check_;
char *xvasprintf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0))) _must_check_;

/* For _cleanup_: frees what the pointer variable at p points to. */
static inline void freep(void *p)
{
	void *v;

	memcpy(&v, p, sizeof(v));
	free(v);
}

/*
 * Grow an array so that one more element fits: ARRAY_GROW(v->items, v->n, v->cap). Doubles; `arr`
 * may start as NULL with cap 0.
 */
#define ARRAY_GROW(arr, n, cap)                                                                    \
	do {                                                                                       \
		if ((n) == (cap)) {                                                                \
			(cap) = (cap) ? (cap)*2 : 8;                                               \
			(arr) = xreallocarray((arr), (cap), sizeof(*(arr)));                       \
		}                                                                                  \
	} while (0)

#endif
