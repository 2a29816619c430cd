/*
 * operator/admit against the table of the end-to-end test: each bad object is refused with the
 * message that the table expects, its good twin is not.
 */
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "metallb/schema.h"
#include "metallb/xalloc.h"
#include "metallb/yaml.h"
#include "operator/admit.h"

#define NS   "metallb-system"
#define PATH SOURCE_DIR "/tests/e2e/webhook_cases.yaml"

static const struct {
	const char *kind, *api_version;
	enum api_kind which;
} kinds[] = {
	{"IPAddressPool", "metallb.io/v1beta1", API_IPADDRESSPOOL},
	{"L2Advertisement", "metallb.io/v1beta1", API_L2ADVERTISEMENT},
	{"BGPAdvertisement", "metallb.io/v1beta1", API_BGPADVERTISEMENT},
	{"BGPPeer", "metallb.io/v1beta2", API_BGPPEER},
	{"BFDProfile", "metallb.io/v1beta1", API_BFDPROFILE},
	{"Community", "metallb.io/v1beta1", API_COMMUNITY},
	{"MetalLB", "metallb.io/v1beta1", API_METALLB},
	{"Secret", "v1", API_SECRET},
};

static json_object *get(json_object *o, const char *name)
{
	json_object *v = NULL;

	json_object_object_get_ex(o, name, &v);
	return v;
}

static const char *text(json_object *o, const char *name)
{
	return get(o, name) ? json_object_get_string(get(o, name)) : "";
}

static size_t kind_of(json_object *row)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i].kind, text(row, "kind")) == 0)
			return i;
	fail_msg("%s: unknown kind", text(row, "id"));
	return 0;
}

/* The object as the API server would have it. */
static json_object *make_object(json_object *row, const char *name, json_object *spec,
				json_object *more_meta)
{
	size_t k = kind_of(row);
	json_object *o = json_object_new_object(), *meta = json_object_new_object();
	const char *version = text(row, "version");
	_cleanup_free_ char *api =
		*version ? xasprintf("metallb.io/%s", version) : xstrdup(kinds[k].api_version);

	json_object_object_add(o, "apiVersion", json_object_new_string(api));
	json_object_object_add(o, "kind", json_object_new_string(kinds[k].kind));
	json_object_object_add(meta, "name", json_object_new_string(name));
	json_object_object_add(meta, "namespace", json_object_new_string(NS));
	if (more_meta) {
		json_object_object_foreach(more_meta, key, value)
			json_object_object_add(meta, key, json_object_get(value));
	}
	json_object_object_add(o, "metadata", meta);
	if (spec)
		json_object_object_add(o, "spec", json_object_get(spec));
	return o;
}

/* The objects that are there. */
struct world {
	struct api_object *owned[16];
	const void *lists[ARRAY_SIZE(kinds)][16];
	size_t n_owned, n[ARRAY_SIZE(kinds)];
	struct node node;
	const struct node *nodes[1];
	struct admit_snapshot snapshot;
};

static void world_add(struct world *w, json_object *given)
{
	size_t k = kind_of(given);
	json_object *o = make_object(given, text(given, "name"), get(given, "spec"), NULL);
	struct err err;

	json_object_object_foreach(given, key,
				   value) if (strcmp(key, "type") == 0 || strcmp(key, "data") == 0)
		json_object_object_add(o, key, json_object_get(value));
	struct api_object *object = api_decode(kinds[k].which, o, &err);

	if (!object)
		fail_msg("given: %s", err.msg);
	json_object_put(o);
	w->owned[w->n_owned++] = object;
	w->lists[k][w->n[k]++] = object;
}

static void world_init(struct world *w, json_object *given)
{
	*w = (struct world){0};
	w->node.obj.meta = (struct meta){.name = "node", .namespace = "", .uid = ""};
	w->nodes[0] = &w->node;
	for (size_t i = 0; given && i < json_object_array_length(given); i++)
		world_add(w, json_object_array_get_idx(given, i));
	w->snapshot = (struct admit_snapshot){
		.ns = NS,
		.backend = BACKEND_FRR,
		.objs =
			{
				.pools = (void *)w->lists[0],
				.n_pools = w->n[0],
				.l2advs = (void *)w->lists[1],
				.n_l2advs = w->n[1],
				.bgpadvs = (void *)w->lists[2],
				.n_bgpadvs = w->n[2],
				.peers = (void *)w->lists[3],
				.n_peers = w->n[3],
				.bfds = (void *)w->lists[4],
				.n_bfds = w->n[4],
				.communities = (void *)w->lists[5],
				.n_communities = w->n[5],
				.secrets = (void *)w->lists[7],
				.n_secrets = w->n[7],
				.nodes = w->nodes,
				.n_nodes = 1,
				.bgp_extras = "",
			},
	};
}

static void world_fini(struct world *w)
{
	for (size_t i = 0; i < w->n_owned; i++)
		api_object_free(w->owned[i]);
}

/* The answer to a review; the caller puts it. object and old are given away. */
static json_object *review(const struct world *w, size_t k, const char *operation,
			   json_object *object, json_object *old)
{
	_cleanup_(buf_fini) struct buf out = {0};
	json_object *root = json_object_new_object(), *request = json_object_new_object();
	struct admit_outcome outcome;

	json_object_object_add(root, "apiVersion", json_object_new_string("admission.k8s.io/v1"));
	json_object_object_add(root, "kind", json_object_new_string("AdmissionReview"));
	json_object_object_add(request, "uid", json_object_new_string("u"));
	json_object_object_add(request, "operation", json_object_new_string(operation));
	json_object_object_add(request, "object", object);
	json_object_object_add(request, "oldObject", old);
	json_object_object_add(root, "request", request);
	const char *body = json_object_to_json_string(root);

	assert_int_equal(
		admit_review(&w->snapshot, kinds[k].which, body, strlen(body), &out, &outcome),
		200);
	json_object_put(root);
	json_object *answer = json_tokener_parse(buf_str(&out));

	assert_non_null(answer);
	assert_int_equal(outcome.allowed,
			 json_object_get_boolean(get(get(answer, "response"), "allowed")));
	return answer;
}

/* With the shortcut past building everything, or without: the verdict is the same. */
static json_object *try_one(json_object *row, bool bad, bool shortcut)
{
	struct config_options opt = {.backend = BACKEND_FRR, .ignore_references = true};
	struct config_report *report;
	struct config *current;

	size_t k = kind_of(row);
	const char *id = text(row, "id");
	json_object *spec = get(row, bad ? "bad" : "good"), *answer;
	json_object *meta = get(row, bad ? "badMeta" : "goodMeta"), *old = NULL, *object;
	bool deletes = json_object_get_boolean(get(row, "delete"));
	struct world w;

	world_init(&w, deletes && !bad ? NULL : get(row, "given"));
	object = make_object(row, id, spec, meta);
	if (get(row, "old")) {
		old = make_object(row, id, get(row, "old"), NULL);
		struct err err;
		struct api_object *before = api_decode(kinds[k].which, old, &err);

		assert_non_null(before);
		w.owned[w.n_owned++] = before;
		w.lists[k][w.n[k]] = before;
		w.n[k]++;
	}
	struct admit_snapshot *s = &w.snapshot;
	size_t *counts[] = {&s->objs.n_pools, &s->objs.n_l2advs, &s->objs.n_bgpadvs,
			    &s->objs.n_peers, &s->objs.n_bfds,   &s->objs.n_communities};
	if (k < ARRAY_SIZE(counts))
		*counts[k] = w.n[k];
	config_build(&s->objs, &opt, &current, &report);
	config_report_free(report);
	s->current = shortcut ? current : NULL;
	answer = deletes ? review(&w, k, "DELETE", NULL, object)
			 : review(&w, k, old ? "UPDATE" : "CREATE", object, old);
	config_free(current);
	world_fini(&w);
	return answer;
}

static size_t rows_failed;

static void row_fail(json_object *row, const char *what, const char *got)
{
	print_error("%s: %s: %s\n", text(row, "id"), what, got);
	rows_failed++;
}

/* Refused by the API server itself: an issue with the field that the table names. */
static void check_schema(json_object *row, bool bad)
{
	json_object *o = make_object(row, text(row, "id"), get(row, bad ? "bad" : "good"),
				     get(row, bad ? "badMeta" : "goodMeta"));
	struct schema_report report;
	bool found = false;

	api_schema_check(kinds[kind_of(row)].which, o, NULL, &report);
	for (size_t i = 0; i < report.n_issues; i++)
		found |= strcmp(report.issues[i].field, text(row, "message")) == 0;
	if (bad && !found)
		row_fail(row, "the schema does not refuse", text(row, "message"));
	if (!bad && report.n_issues > 0)
		row_fail(row, "the schema refuses the good twin", report.issues[0].field);
	schema_report_fini(&report);
	json_object_put(o);
}

static void check_row(json_object *row, bool shortcut)
{
	json_object *bad = try_one(row, true, shortcut), *good = try_one(row, false, shortcut);
	const char *why = text(get(get(bad, "response"), "status"), "message");
	bool schema = json_object_get_boolean(get(row, "schema"));

	if (schema)
		check_schema(row, true);
	else if (json_object_get_boolean(get(get(bad, "response"), "allowed")))
		row_fail(row, "allowed", "");
	else if (!strstr(why, text(row, "message")))
		row_fail(row, text(row, "message"), why);
	check_schema(row, false);
	if (!json_object_get_boolean(get(get(good, "response"), "allowed")))
		row_fail(row, "the good twin is refused",
			 text(get(get(good, "response"), "status"), "message"));
	json_object_put(bad);
	json_object_put(good);
}

static json_object *read_table(void)
{
	_cleanup_(buf_fini) struct buf all = {0};
	char chunk[4096];
	struct err err = {0};
	size_t n;
	FILE *f = fopen(PATH, "r");

	assert_non_null(f);
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_add(&all, chunk, n);
	fclose(f);
	json_object *table = yaml_parse_one(all.data, all.len, &err);

	if (!table)
		fail_msg("%s", err.msg);
	return table;
}

static void test_table(void **state)
{
	json_object *table = read_table();
	size_t n = json_object_array_length(table);

	(void)state;
	assert_true(n >= 120);
	for (size_t i = 0; i < n; i++)
		for (int shortcut = 0; shortcut < 2; shortcut++)
			check_row(json_object_array_get_idx(table, i), shortcut);
	json_object_put(table);
	assert_int_equal(rows_failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_table)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
