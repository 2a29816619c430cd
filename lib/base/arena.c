/*
 * Arena: a chain of blocks, each twice the last one up to a bound; large pieces get a block of
 * their own behind the current one. A block is filled from both ends: what needs alignment from the
 * front, strings from the back. Pure.
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
	size_t used, top; /* what lies between is free */
	_Alignas(max_align_t) uint8_t mem[];
};

struct arena {
	struct block *head;       /* the one being filled */
	size_t total, used, next; /* size of the next block */
};

/* The block that was asked for in arena_new_for() is of one piece with the arena. */
static struct block *first_block(struct arena *a)
{
	_Static_assert(sizeof(struct arena) % ALIGN == 0, "a block may follow it");
	return (struct block *)(void *)(a + 1);
}

static struct block *block_new(struct arena *a, size_t size)
{
	struct block *b = xcalloc(1, sizeof(*b) + size);

	b->top = size;
	a->total += sizeof(*b) + size;
	return b;
}

struct arena *arena_new(void)
{
	struct arena *a = xcalloc(1, sizeof(*a));

	a->next = BLOCK_MIN;
	return a;
}

struct arena *arena_new_for(size_t expected)
{
	size_t size = (expected + ALIGN - 1) & ~(ALIGN - 1);
	struct arena *a;

	if (expected == 0 || expected > BLOCK_MAX)
		return arena_new();
	a = xcalloc(1, sizeof(*a) + sizeof(struct block) + size);
	a->next = BLOCK_MIN;
	a->head = first_block(a);
	a->head->top = size;
	a->total = sizeof(struct block) + size;
	return a;
}

struct arena *arena_free(struct arena *a)
{
	if (!a)
		return NULL;
	for (struct block *b = a->head, *next; b; b = next) {
		next = b->next;
		if (b != first_block(a))
			free(b);
	}
	free(a);
	return NULL;
}

void arena_freep(struct arena **a)
{
	*a = arena_free(*a);
}

/* A block that has room for so many bytes. */
static struct block *block_for(struct arena *a, size_t size)
{
	struct block *b = a->head, *new;

	if (b && b->top - b->used >= size)
		return b;
	if (b && size > a->next / 2) { /* one of its own; the current one goes on being filled */
		new = block_new(a, size);
		new->next = b->next;
		b->next = new;
		return new;
	}
	new = block_new(a, size > a->next ? size : a->next);
	new->next = b;
	a->head = new;
	a->next = a->next < BLOCK_MAX ? a->next * 2 : BLOCK_MAX;
	return new;
}

void *arena_alloc(struct arena *a, size_t size)
{
	assert(size < SIZE_MAX / 2);
	size = (size + ALIGN - 1) & ~(ALIGN - 1);

	struct block *b = block_for(a, size);
	void *p = b->mem + b->used;

	b->used += size;
	a->used += size;
	return p;
}

/* For strings: without alignment. */
static char *string_alloc(struct arena *a, size_t size)
{
	assert(size < SIZE_MAX / 2);
	struct block *b = block_for(a, size);

	b->top -= size;
	a->used += size;
	return (char *)b->mem + b->top;
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
	char *d = string_alloc(a, len + 1);

	memcpy(d, s, len);
	return d;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return s ? arena_strndup(a, s, strlen(s)) : NULL;
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

size_t arena_used(const struct arena *a)
{
	return a->used;
}

size_t arena_size(const struct arena *a)
{
	return a->total;
}
