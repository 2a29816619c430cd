/*
 * One page of a list, parsed while it arrives: each item is built, handed over and freed before the
 * next, so a list of any length costs the memory of one object. What surrounds the items is walked
 * by a small machine; keys and values go through json-c's incremental tokener. Pure.
 */
#include "lib/kube/page.h"

#include <json-c/json.h>
#include <string.h>

#include "metallb/kube.h"
#include "metallb/xalloc.h"

enum state {
	ST_START,      /* '{' */
	ST_FIRST_KEY,  /* '"' or '}' */
	ST_KEY,        /* '"' */
	ST_IN_KEY,     /* inside a key */
	ST_COLON,      /* ':' */
	ST_VALUE,      /* the first byte of a value */
	ST_IN_VALUE,   /* inside a value */
	ST_COMMA,      /* ',' or '}' */
	ST_FIRST_ITEM, /* an item or ']' */
	ST_ITEM,       /* an item */
	ST_IN_ITEM,    /* inside an item */
	ST_ITEM_COMMA, /* ',' or ']' */
	ST_END,        /* nothing more */
};

void kube_page_init(struct kube_page *p)
{
	*p = (struct kube_page){.tokener = json_tokener_new_ex(KUBE_JSON_DEPTH_MAX)};
	if (!p->tokener)
		abort();
	json_tokener_set_flags(p->tokener, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
}

void kube_page_fini(struct kube_page *p)
{
	json_tokener_free(p->tokener);
	buf_fini(&p->key);
	free(p->continue_token);
	free(p->resource_version);
	*p = (struct kube_page){0};
}

void kube_page_reset(struct kube_page *p)
{
	json_tokener_reset(p->tokener);
	free(p->continue_token);
	free(p->resource_version);
	p->continue_token = p->resource_version = NULL;
	p->state = ST_START;
	p->n_items = 0;
	p->has_items = false;
}

static bool refuse(const struct kube_page *p, const char *what, struct err *err)
{
	if (p->state >= ST_FIRST_ITEM && p->state <= ST_ITEM_COMMA)
		return err_set(err, "item %zu of the list: %s", p->n_items, what);
	return err_set(err, "the list's \"%.60s\": %s", buf_str(&p->key), what);
}

static void keep_meta(struct kube_page *p, struct json_object *meta)
{
	free(p->continue_token);
	free(p->resource_version);
	p->continue_token = xstrdup(kube_json_str(meta, "continue"));
	p->resource_version = xstrdup(kube_json_str(meta, "resourceVersion"));
}

/* A key, a value or an item is complete. */
static bool finish(struct kube_page *p, struct json_object *value, kube_item_fn on_item, void *user,
		   struct err *err)
{
	switch (p->state) {
	case ST_IN_KEY:
		buf_clear(&p->key);
		buf_add_str(&p->key, json_object_get_string(value));
		p->state = ST_COLON;
		return true;
	case ST_IN_VALUE:
		p->state = ST_COMMA;
		if (strcmp(buf_str(&p->key), "metadata") == 0)
			keep_meta(p, value);
		else if (strcmp(buf_str(&p->key), "items") == 0 && value)
			return refuse(p, "not an array", err);
		else if (strcmp(buf_str(&p->key), "items") == 0)
			p->has_items = true; /* null: an empty list in Go's hand */
		return true;
	default:
		p->n_items++;
		p->state = ST_ITEM_COMMA;
		on_item(user, value);
		return true;
	}
}

/* Feed the tokener; returns how many bytes it took, 0 when it refused. */
static size_t recv_value(struct kube_page *p, const char *data, size_t len, kube_item_fn on_item,
			 void *user, struct err *err)
{
	size_t max = p->state == ST_IN_ITEM ? KUBE_OBJECT_MAX : KUBE_LIST_META_MAX;
	size_t n = len < max ? len : max, taken;
	struct json_object *value = json_tokener_parse_ex(p->tokener, data, (int)n);
	enum json_tokener_error e = json_tokener_get_error(p->tokener);
	bool ok;

	if (e == json_tokener_continue) {
		p->value_len += n;
		if (p->value_len <= max)
			return n;
		(void)refuse(p, "too large", err);
		return 0;
	}
	if (e != json_tokener_success) {
		(void)refuse(p, json_tokener_error_desc(e), err);
		return 0;
	}
	taken = json_tokener_get_parse_end(p->tokener);
	json_tokener_reset(p->tokener);
	p->value_len = 0;
	ok = finish(p, value, on_item, user, err);
	json_object_put(value);
	/* A number ends at the byte behind it, so nothing of this piece may have been taken. */
	return ok ? (taken ? taken : SIZE_MAX) : 0;
}

struct rule {
	char byte; /* '\0': any byte, not consumed */
	int next;
};

/* Between values: what may come in each state. */
static const struct rule rules[][2] = {
	[ST_START] = {{'{', ST_FIRST_KEY}},
	[ST_FIRST_KEY] = {{'}', ST_END}, {'\0', ST_KEY}},
	[ST_KEY] = {{'\0', ST_IN_KEY}},
	[ST_COLON] = {{':', ST_VALUE}},
	[ST_VALUE] = {{'\0', ST_IN_VALUE}},
	[ST_COMMA] = {{',', ST_KEY}, {'}', ST_END}},
	[ST_FIRST_ITEM] = {{']', ST_COMMA}, {'\0', ST_ITEM}},
	[ST_ITEM] = {{'\0', ST_IN_ITEM}},
	[ST_ITEM_COMMA] = {{',', ST_ITEM}, {']', ST_COMMA}},
	[ST_END] = {{0}},
};

/* One byte between values; *consumed tells whether it was used up. */
static bool step(struct kube_page *p, char c, bool *consumed, struct err *err)
{
	bool is_items = p->state == ST_VALUE && strcmp(buf_str(&p->key), "items") == 0;

	*consumed = true;
	if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
		return true;
	if (is_items && c == '[') {
		p->state = ST_FIRST_ITEM;
		p->has_items = true;
		return true;
	}
	if (p->state == ST_KEY && c != '"')
		return refuse(p, "no key follows", err);
	for (size_t i = 0; i < 2; i++) {
		const struct rule *r = &rules[p->state][i];

		if (r->next == 0 || (r->byte != '\0' && r->byte != c))
			continue;
		*consumed = r->byte != '\0';
		p->state = r->next;
		return true;
	}
	return refuse(p, "not the JSON of a list", err);
}

static bool is_in_value(const struct kube_page *p)
{
	return p->state == ST_IN_KEY || p->state == ST_IN_VALUE || p->state == ST_IN_ITEM;
}

bool kube_page_recv(struct kube_page *p, const void *data, size_t len, kube_item_fn on_item,
		    void *user, struct err *err)
{
	const char *d = data;
	size_t at = 0;

	while (at < len) {
		bool consumed;

		if (is_in_value(p)) {
			size_t n = recv_value(p, d + at, len - at, on_item, user, err);

			if (n == 0)
				return false;
			at += n == SIZE_MAX ? 0 : n;
			continue;
		}
		if (!step(p, d[at], &consumed, err))
			return false;
		at += consumed;
	}
	return true;
}

bool kube_page_end(const struct kube_page *p, struct err *err)
{
	if (p->state != ST_END)
		return err_set(err, "the list ends within its text, after %zu items", p->n_items);
	if (!p->has_items)
		return err_set(err, "the answer has no items: it is not a list");
	if (!p->resource_version || !p->resource_version[0])
		return err_set(err, "the list has no metadata.resourceVersion");
	return true;
}
