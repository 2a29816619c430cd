/*
 * Arena: a chain of blocks, each twice the last one up to a bound; large pieces get a block of
 * their own behind the current one. Pure.
 */
#include "metallb/arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "metallb/xalloc.h"

#define BLOCK_MIN 256u
#define BLOCK_MAX (64u << 10)
#define ALIGN     _Alignof(max_align_t)

struct block {
	struct block *next;
	size_t size, used;
	_Alignas(max_align_t) uint8_t mem[];
};

struct arena {
	struct block *head; /* the one being filled */
	size_t total;
};

static struct block *block_new(struct arena *a, size_t size)
{
	struct block *b = xcalloc(1, sizeof(*b) + size);

	b->size = size;
	a->total += sizeof(*b) + size;
	return b;
}

struct arena *arena_new(void)
{
	return xcalloc(1, sizeof(struct arena));
}

struct arena *arena_free(struct arena *a)
{
	if (!a)
		return NULL;
	for (struct block *b = a->head, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	free(a);
	return NULL;
}

void arena_freep(struct arena **a)
{
	*a = arena_free(*a);
}

void *arena_alloc(struct arena *a, size_t size)
{
	assert(size < SIZE_MAX / 2);
	size = (size + ALIGN - 1) & ~(ALIGN - 1);

	struct block *b = a->head;

	if (!b || b->size - b->used < size) {
		size_t grow = b ? b->size * 2 : BLOCK_MIN;

		if (grow > BLOCK_MAX)
			grow = BLOCK_MAX;
		if (size > grow / 2) {
			/* a block of its own; keep filling the current one */
			struct block *own = block_new(a, size);

			own->used = size;
			if (b) {
				own->next = b->next;
				b->next = own;
			} else {
				a->head = own;
			}
			return own->mem;
		}
		b = block_new(a, grow);
		b->next = a->head;
		a->head = b;
	}
	void *p = b->mem + b->used;

	b->used += size;
	return p;
}

void *arena_calloc(struct arena *a, size_t n, size_t size)
{
	if (size && n > SIZE_MAX / 2 / size)
		abort();
	return arena_alloc(a, n * size);
}

void *arena_memdup(struct arena *a, const void *p, size_t n)
{
	void *d = arena_alloc(a, n);

	if (n)
		memcpy(d, p, n);
	return d;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *d = arena_alloc(a, len + 1);

	memcpy(d, s, len);
	return d;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return s ? arena_memdup(a, s, strlen(s) + 1) : NULL;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	char *s = xvasprintf(fmt, ap);
	va_end(ap);
	char *d = arena_strdup(a, s);

	free(s);
	return d;
}

size_t arena_size(const struct arena *a)
{
	return a->total;
}
