/*
 * Entries in a table by key and in a list by age.
 */
#include "operator/memory.h"

#include <assert.h>
#include <inttypes.h>

#include "metallb/list.h"
#include "metallb/table.h"
#include "metallb/xalloc.h"

#define LINE_MAX_BYTES 1024u /* far more than a key and two addresses can have */

struct entry {
	struct list link;
	char *key;
	struct alloc_ips ips;
	usec_t since;
	size_t text; /* bytes of its line */
};

struct memory {
	struct table by_key;
	struct list by_age; /* oldest first */
	size_t text;
};

struct memory *memory_new(void)
{
	struct memory *m = xcalloc(1, sizeof(*m));

	table_init(&m->by_key);
	list_init(&m->by_age);
	return m;
}

static void entry_del(struct memory *m, struct entry *e)
{
	list_del(&e->link);
	table_del(&m->by_key, e->key);
	m->text -= e->text;
	free(e->key);
	free(e);
}

static struct entry *oldest(const struct memory *m)
{
	return list_is_empty(&m->by_age) ? NULL : container_of(m->by_age.next, struct entry, link);
}

struct memory *memory_free(struct memory *m)
{
	if (!m)
		return NULL;
	for (struct entry *e; (e = oldest(m)) != NULL;)
		entry_del(m, e);
	table_fini(&m->by_key);
	free(m);
	return NULL;
}

static void format_entry(const struct entry *e, struct buf *out)
{
	char text[IP_STR_MAX];

	buf_printf(out, "%" PRId64 " %s", e->since / USEC_PER_SEC, e->key);
	for (size_t i = 0; i < e->ips.n; i++)
		buf_printf(out, " %s", ip_format(&e->ips.ip[i], text));
	buf_add_char(out, '\n');
}

void memory_add(struct memory *m, const char *key, const struct alloc_ips *ips, usec_t wall)
{
	_cleanup_(buf_fini) struct buf line = {0};
	struct entry *e = xcalloc(1, sizeof(*e));

	assert(ips->n > 0 && ips->n <= ALLOC_IPS_MAX);
	memory_del(m, key);
	struct list *at = m->by_age.prev;

	e->key = xstrdup(key);
	e->ips = *ips;
	e->since = wall;
	format_entry(e, &line);
	e->text = line.len;
	/* almost always the youngest; a clock that was set back must not break the order */
	while (at != &m->by_age && container_of(at, struct entry, link)->since > wall)
		at = at->prev;
	list_add_head(at, &e->link);
	table_set(&m->by_key, key, e);
	m->text += e->text;
	while (table_count(&m->by_key) > MEMORY_ENTRIES_MAX || m->text > MEMORY_TEXT_MAX)
		entry_del(m, oldest(m));
}

static bool is_recent(const struct entry *e, usec_t wall)
{
	return wall - e->since < MEMORY_AGE_MAX;
}

bool memory_find(const struct memory *m, const char *key, usec_t wall, struct alloc_ips *out)
{
	const struct entry *e = table_find(&m->by_key, key);

	if (!e || !is_recent(e, wall))
		return false;
	*out = e->ips;
	return true;
}

void memory_del(struct memory *m, const char *key)
{
	struct entry *e = table_find(&m->by_key, key);

	if (e)
		entry_del(m, e);
}

size_t memory_count(const struct memory *m)
{
	return table_count(&m->by_key);
}

void memory_format(struct memory *m, usec_t wall, struct buf *out)
{
	struct list *l;

	for (struct entry *e; (e = oldest(m)) != NULL && !is_recent(e, wall);)
		entry_del(m, e);
	/* the list is never NULL; the analyzer thinks otherwise: */
	list_for_each (l, &m->by_age) { // NOLINT(clang-analyzer-core.NullDereference)
		format_entry(container_of(l, struct entry, link), out);
	}
}

/* Cut the next word off *s; NULL at the end. */
static char *next_word(char **s)
{
	char *word = *s + strspn(*s, " ");
	size_t n = strcspn(word, " ");

	if (n == 0)
		return NULL;
	*s = word + n + (word[n] ? 1 : 0);
	word[n] = '\0';
	return word;
}

static bool parse_line(struct memory *m, char *line, usec_t wall)
{
	char *since = next_word(&line), *key = next_word(&line), *word, *end;
	struct alloc_ips ips = {0};

	if (!since || !key)
		return false;
	long long s = strtoll(since, &end, 10);

	if (*end || s < 0 || s > wall / USEC_PER_SEC)
		return false;
	while ((word = next_word(&line)) != NULL) {
		if (ips.n == ALLOC_IPS_MAX || !ip_parse(word, &ips.ip[ips.n]))
			return false;
		ips.n++;
	}
	if (ips.n == 0)
		return false;
	memory_add(m, key, &ips, (usec_t)s * USEC_PER_SEC);
	return true;
}

size_t memory_parse(struct memory *m, const char *text, usec_t wall)
{
	char line[LINE_MAX_BYTES];
	size_t bad = 0;

	while (*text) {
		size_t n = strcspn(text, "\n");

		if (n > 0 && n < sizeof(line)) {
			memcpy(line, text, n);
			line[n] = '\0';
			bad += !parse_line(m, line, wall);
		} else if (n > 0) {
			bad++;
		}
		text += n + (text[n] ? 1 : 0);
	}
	return bad;
}
