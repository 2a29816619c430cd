/*
 * kubectl metallb validate: what the admission webhook would say to each object of a stream, one
 * after the other as kubectl applies them, without a cluster. Also what the API server itself
 * checks by the CRDs' schemas, and references that nothing in the stream provides.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "metallb/schema.h"
#include "metallb/table.h"
#include "metallb/xalloc.h"
#include "operator/admit.h"
#include "operator/cli/cli.h"

struct validate {
	const struct cli_options *opt;
	struct docs docs;
	json_object *findings; /* list */
	size_t n_errors;
	bool at_once; /* one build judges all */
};

#define AT_ONCE 300 /* documents */

static void add(struct validate *v, const struct doc *doc, bool error, const char *field,
		const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static void add(struct validate *v, const struct doc *doc, bool error, const char *field,
		const char *fmt, ...)
{
	json_object *f = json_object_new_object();
	va_list ap;

	va_start(ap, fmt);
	_cleanup_free_ char *reason = xvasprintf(fmt, ap);

	va_end(ap);
	v->n_errors += error;
	json_object_object_add(f, "file", json_object_new_string(doc->file));
	json_object_object_add(f, "line", json_object_new_int64((int64_t)doc->line));
	json_object_object_add(f, "severity", json_object_new_string(error ? "error" : "warning"));
	json_object_object_add(f, "kind", json_object_new_string(doc->kind_name));
	json_object_object_add(f, "namespace", json_object_new_string(doc->ns));
	json_object_object_add(f, "name", json_object_new_string(doc->name));
	json_object_object_add(f, "field", json_object_new_string(field));
	json_object_object_add(f, "reason", json_object_new_string(reason));
	json_object_array_add(v->findings, f);
}

/*
 * A reason of the form "Kind namespace/name: field: reason" without what the finding says anyway.
 */
static void add_reason(struct validate *v, const struct doc *doc, bool error, const char *reason)
{
	_cleanup_free_ char *head =
		xasprintf("%s %s%s%s: ", doc->kind_name, doc->ns, *doc->ns ? "/" : "", doc->name);
	size_t n = strlen(head);

	if (strncmp(reason, head, n) == 0)
		reason += n;
	n = strcspn(reason, ": ");
	if (reason[n] != ':' || reason[n + 1] != ' ') {
		add(v, doc, error, "", "%s", reason);
		return;
	}
	_cleanup_free_ char *field = xstrndup(reason, n);

	add(v, doc, error, field, "%s", reason + n + 2);
}

/* The stored object that doc would replace: an earlier document that passed. */
static const struct doc *find_old(const struct validate *v, const struct doc *doc)
{
	for (const struct doc *d = doc; d-- > v->docs.items;)
		if (d->obj && d->kind == doc->kind && strcmp(d->name, doc->name) == 0 &&
		    strcmp(d->ns, doc->ns) == 0)
			return d;
	return NULL;
}

static bool check_schema(struct validate *v, const struct doc *doc, const struct doc *old)
{
	struct schema_report report;

	api_schema_check(doc->kind, doc->json, old ? old->json : NULL, &report);
	for (size_t i = 0; i < report.n_issues; i++)
		add(v, doc, true, report.issues[i].field, "%s", report.issues[i].detail);
	for (size_t i = 0; i < report.unknown.n; i++)
		add(v, doc, false, report.unknown.items[i], "unknown field, it is dropped");
	bool ok = report.n_issues == 0;

	schema_report_fini(&report);
	return ok;
}

/* The findings about this object one by one; how many of them refuse it. */
static size_t add_findings(struct validate *v, const struct doc *doc, const struct doc_lists *lists,
			   bool ignore_references)
{
	struct config_options opt = {
		.backend = v->opt->backend,
		.ignore_references = ignore_references,
		.newest = doc->obj,
	};
	struct config *cfg;
	struct config_report *report;
	size_t n = 0;

	config_build(&lists->objs, &opt, &cfg, &report);
	for (size_t i = 0; i < report->n_findings; i++) {
		const struct config_finding *f = &report->findings[i];

		if (f->obj != doc->obj || f->severity != FINDING_ERROR)
			continue;
		add(v, doc, true, f->field, "%s", f->message);
		n++;
	}
	config_report_free(report);
	config_free(cfg);
	return n;
}

/* doc is decoded and the last of the lists' documents. */
static bool check_admission(struct validate *v, const struct doc *doc, const struct doc *old)
{
	size_t place = (size_t)(doc - v->docs.items);
	struct doc_lists before, now;
	struct admit_verdict verdict;

	doc_lists_init(&before, &v->docs, place, NULL);
	struct admit_snapshot s = {.ns = v->opt->ns, .backend = v->opt->backend};

	s.objs = before.objs;
	admit_object(&s, old ? ADMIT_UPDATE : ADMIT_CREATE, doc->obj, old ? old->obj : NULL,
		     &verdict);
	if (!verdict.allowed) {
		size_t n = 0;

		if (strcmp(doc->ns, v->opt->ns) == 0) {
			doc_lists_init(&now, &v->docs, place + 1, NULL);
			n = add_findings(v, doc, &now, true);
			if (n == 0)
				n = add_findings(v, doc, &now, false);
			doc_lists_fini(&now);
		}
		if (n == 0)
			add_reason(v, doc, true, buf_str(&verdict.message));
	}
	bool ok = verdict.allowed;

	admit_verdict_fini(&verdict);
	doc_lists_fini(&before);
	return ok;
}

static void check_doc(struct validate *v, struct doc *doc)
{
	const struct doc *old = v->at_once ? NULL : find_old(v, doc);
	struct err err;

	if (!doc->known) {
		if (strncmp(doc->api_version, "metallb.io/", 11) == 0)
			add(v, doc, true, "", "there is no kind %s in %s", doc->kind_name,
			    doc->api_version);
		else if (!*doc->kind_name || !*doc->api_version)
			add(v, doc, true, "", "not a Kubernetes object: no %s",
			    *doc->kind_name ? "apiVersion" : "kind");
		return;
	}
	bool ours = doc->kind <= API_METALLB;

	if (ours && !check_schema(v, doc, old))
		return;
	doc->obj = api_decode(doc->kind, doc->json, &err);
	if (!doc->obj) {
		add_reason(v, doc, ours, err.msg);
		return;
	}
	bool judged = doc->kind <= API_COMMUNITY || doc->kind == API_METALLB;

	/* age decides who gives way: make it the order of the documents */
	doc->obj->meta.created = doc - v->docs.items + 1;
	if (judged && !v->at_once && !check_admission(v, doc, old))
		doc->obj = api_object_free(doc->obj);
	else if (judged && v->at_once && strcmp(doc->ns, v->opt->ns) != 0)
		add(v, doc, true, "metadata.namespace", "must be created in the namespace %s",
		    v->opt->ns);
}

/*
 * Admission of each object builds everything anew. For a great many objects one build of all takes
 * its place: with age by order it comes to the same, unless an object is given twice.
 */
static bool takes_one_build(const struct validate *v)
{
	struct table seen;
	bool twice = false;

	if (v->docs.n <= AT_ONCE)
		return false;
	table_init(&seen);
	for (size_t i = 0; i < v->docs.n && !twice; i++) {
		const struct doc *doc = &v->docs.items[i];
		_cleanup_free_ char *key =
			xasprintf("%s/%s/%s", doc->kind_name, doc->ns, doc->name);

		twice = table_set(&seen, key, (void *)(uintptr_t)doc);
	}
	table_fini(&seen);
	return !twice;
}

static const struct doc *doc_of(const struct validate *v, const struct api_object *obj)
{
	return &v->docs.items[obj->meta.created - 1];
}

/* References that nothing in the stream provides, and what else deserves a word. */
static void check_whole(struct validate *v)
{
	struct config_options opt = {.backend = v->opt->backend};
	struct doc_lists lists;
	struct config *cfg;
	struct config_report *report;

	doc_lists_init(&lists, &v->docs, v->docs.n, NULL);
	config_build(&lists.objs, &opt, &cfg, &report);
	for (size_t i = 0; i < report->n_findings; i++) {
		const struct config_finding *f = &report->findings[i];

		add(v, doc_of(v, f->obj), f->severity == FINDING_ERROR, f->field, "%s", f->message);
	}
	config_report_free(report);
	config_free(cfg);
	doc_lists_fini(&lists);
}

static void print_text(const struct validate *v)
{
	for (size_t i = 0; i < json_object_array_length(v->findings); i++) {
		json_object *f = json_object_array_get_idx(v->findings, i);
		const char *ns = json_object_get_string(json_object_object_get(f, "namespace"));
		const char *field = json_object_get_string(json_object_object_get(f, "field"));

		printf("%s:%lld: %s: %s %s%s%s: %s%s%s\n",
		       json_object_get_string(json_object_object_get(f, "file")),
		       (long long)json_object_get_int64(json_object_object_get(f, "line")),
		       json_object_get_string(json_object_object_get(f, "severity")),
		       json_object_get_string(json_object_object_get(f, "kind")), ns,
		       *ns ? "/" : "", json_object_get_string(json_object_object_get(f, "name")),
		       field, *field ? ": " : "",
		       json_object_get_string(json_object_object_get(f, "reason")));
	}
}

int cli_validate(const struct cli_options *opt)
{
	struct validate v = {.opt = opt, .findings = json_object_new_array()};
	struct err err;
	bool ok = true;

	docs_init(&v.docs, opt->ns);
	for (size_t i = 0; i < opt->n_paths && ok; i++)
		ok = docs_load(&v.docs, opt->paths[i], &err);
	if (ok) {
		v.at_once = takes_one_build(&v);
		for (size_t i = 0; i < v.docs.n; i++)
			check_doc(&v, &v.docs.items[i]);
		check_whole(&v);
		if (opt->output == OUTPUT_TEXT)
			print_text(&v);
		else
			cli_print(v.findings, opt->output);
	} else {
		fprintf(stderr, "kubectl-metallb: %s\n", err.msg);
	}
	docs_fini(&v.docs);
	json_object_put(v.findings);
	return !ok ? 2 : v.n_errors > 0;
}
