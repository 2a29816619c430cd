/*
 * The config part: the objects of a case are applied one after the other, each checked by schema
 * and admission, then all are built at once.
 *
 * Where MetalLB and we both refuse, at whatever stage, the case agrees; so it does where MetalLB
 * refuses the whole set that contains an object which we refuse on its own already.
 */
#include <stdarg.h>
#include <string.h>

#include "metallb/schema.h"
#include "metallb/xalloc.h"
#include "operator/admit.h"
#include "tests/conformance/config_json.h"
#include "tests/conformance/conformance.h"

struct run {
	json_object *test;
	struct conf_result *r;
	struct conf_store *applied; /* what admission let pass */
	struct conf_store *all;     /* every object in its last form */
	const char *ns, *reason;    /* of the record */
	struct buf why;             /* our first refusal */
	bool diverged;              /* we refused an object that MetalLB took */
};

static void note(struct run *run, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void note(struct run *run, const char *fmt, ...)
{
	va_list ap;

	if (run->why.len > 0)
		return;
	va_start(ap, fmt);
	buf_vprintf(&run->why, fmt, ap);
	va_end(ap);
}

/* Is the object fine by its schema? Notes the unknown fields, too. */
static bool schema_ok(struct run *run, enum api_kind kind, json_object *obj, json_object *unknown)
{
	json_object *old = conf_store_find(run->applied, conf_text(obj, "kind"),
					   conf_text(obj, "metadata.namespace"),
					   conf_text(obj, "metadata.name"));
	struct schema_report report;

	api_schema_check(kind, obj, old, &report);
	for (size_t i = 0; i < report.unknown.n; i++)
		json_object_array_add(unknown, json_object_new_string(report.unknown.items[i]));
	if (report.n_issues > 0)
		note(run, "%s: %s", report.issues[0].field, report.issues[0].detail);
	bool ok = report.n_issues == 0;

	schema_report_fini(&report);
	return ok;
}

static bool admitted(struct run *run, enum api_kind kind, json_object *obj)
{
	bool update = conf_store_find(run->applied, conf_text(obj, "kind"),
				      conf_text(obj, "metadata.namespace"),
				      conf_text(obj, "metadata.name"));
	struct admit_snapshot s = {.ns = run->ns, .backend = conf_backend(run->test)};
	struct conf_objects objs;
	struct admit_verdict v;
	struct err err;
	struct api_object *decoded = api_decode(kind, obj, &err);

	if (!decoded) {
		note(run, "%s", err.msg);
		return false;
	}
	conf_objects_load(run->applied, &objs);
	s.objs = objs.list;
	/* the old object is only looked at for warnings about Services, of which there are none */
	admit_object(&s, update ? ADMIT_UPDATE : ADMIT_CREATE, decoded, update ? decoded : NULL,
		     &v);
	bool ok = v.allowed;

	if (!ok)
		note(run, "%s", buf_str(&v.message));
	admit_verdict_fini(&v);
	conf_objects_free(&objs);
	api_object_free(decoded);
	return ok;
}

static bool has_webhook(enum api_kind kind)
{
	return kind <= API_COMMUNITY;
}

/* One custom resource: ours against the record's entry. */
static void apply(struct run *run, enum api_kind kind, json_object *obj, json_object *want)
{
	json_object *unknown = json_object_new_array();
	json_object *want_unknown = conf_get(want, "unknownFields");
	const char *message = conf_text(want, "message");
	bool want_schema = strcmp(conf_text(want, "schema"), "ok") == 0;
	bool want_ok = want_schema && strcmp(conf_text(want, "admission"), "denied") != 0;
	bool schema = schema_ok(run, kind, obj, unknown);
	bool ok = schema && (!has_webhook(kind) || admitted(run, kind, obj));
	/* MetalLB refuses, but later: the whole set does not parse */
	bool later = want_ok && strcmp(conf_text(run->test, "expected.stage"), "parse") == 0;

	if (ok && !want_schema)
		conf_mismatch(run->r, "schema", run->reason, "%s: want reject, got ok",
			      conf_text(want, "ref"));
	else if (ok && !want_ok && !run->diverged)
		conf_mismatch(run->r, "admission", *message ? message : run->reason,
			      "%s: want denied (%s), got allowed", conf_text(want, "ref"), message);
	else if (!ok && want_ok && !later)
		conf_mismatch(run->r, schema ? "admission" : "schema", run->reason,
			      "%s: want allowed, got %s", conf_text(want, "ref"),
			      buf_str(&run->why));
	run->diverged |= !ok && want_ok;
	if (want_unknown || json_object_array_length(unknown) > 0) {
		json_object *none = json_object_new_array();

		conf_compare(run->r, "unknown-fields", conf_text(want, "ref"),
			     want_unknown ? want_unknown : none, unknown);
		json_object_put(none);
	}
	json_object_put(unknown);
	if (ok)
		conf_store_put(run->applied, obj);
}

static bool apply_all(struct run *run)
{
	json_object *objects = conf_get(run->test, "input.objects");
	json_object *expected = conf_get(run->test, "expected.objects");
	size_t next = 0;

	if (!json_object_is_type(objects, json_type_array) ||
	    !json_object_is_type(expected, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(objects); i++) {
		json_object *obj = json_object_array_get_idx(objects, i);
		enum api_kind kind;

		if (!api_kind_find(conf_text(obj, "apiVersion"), conf_text(obj, "kind"), &kind))
			return false;
		conf_store_put(run->all, obj);
		if (kind >= API_SERVICE)
			conf_store_put(run->applied, obj);
		else
			apply(run, kind, obj, json_object_array_get_idx(expected, next++));
	}
	return next == json_object_array_length(expected);
}

/* The component that gives out addresses sees these only. */
static struct objects controller_view(const struct objects *all)
{
	return (struct objects){
		.pools = all->pools,
		.n_pools = all->n_pools,
		.communities = all->communities,
		.n_communities = all->n_communities,
		.namespaces = all->namespaces,
		.n_namespaces = all->n_namespaces,
	};
}

/* The whole set at once, or the controller's part of it; notes its first error. */
static struct config *build(struct run *run, const char *node, bool controller, bool *errors)
{
	struct config_options opt = {.backend = conf_backend(run->test), .node = node};
	struct conf_objects objs;
	struct config *cfg;
	struct config_report *report;

	conf_objects_load(run->all, &objs);
	struct objects seen = controller ? controller_view(&objs.list) : objs.list;

	config_build(&seen, &opt, &cfg, &report);
	*errors = report->n_errors + report->n_transient > 0;
	for (size_t i = 0; *errors && i < report->n_findings; i++) {
		const struct config_finding *f = &report->findings[i];

		if (f->severity != FINDING_WARNING)
			note(run, "%s %s: %s: %s", api_kind_info(f->obj->kind)->kind,
			     f->obj->meta.name, f->field, f->message);
	}
	config_report_free(report);
	conf_objects_free(&objs);
	return cfg;
}

static void compare_verdict(struct run *run, const char *aspect, const char *what,
			    json_object *want, bool rejected)
{
	const char *verdict = conf_text(want, "verdict");
	_cleanup_free_ char *reason = xasprintf("%s: %s", run->reason, conf_text(want, "error"));

	if ((strcmp(verdict, "reject") == 0) != rejected)
		conf_mismatch(run->r, aspect, reason, "%s: want %s (%s), got %s (%s)", what,
			      verdict, reason, rejected ? "reject" : "accept",
			      rejected ? buf_str(&run->why) : "");
}

/* What the controller and each node's speaker make of it. */
static void compare_programs(struct run *run)
{
	json_object *speakers = conf_get(run->test, "expected.speakers");
	bool refused;

	buf_clear(&run->why);
	config_free(build(run, "", true, &refused));
	compare_verdict(run, "controller", "controller", conf_get(run->test, "expected.controller"),
			refused);
	if (!speakers)
		return;
	json_object_object_foreach(speakers, node, want)
	{
		bool errors;

		buf_clear(&run->why);
		config_free(build(run, node, false, &errors));
		compare_verdict(run, "speaker", node, want, errors);
	}
}

int conformance_config(json_object *test, struct conf_result *r)
{
	struct run run = {
		.test = test,
		.r = r,
		.ns = conf_text(test, "input.namespace"),
		.reason = conf_text(test, "expected.reason"),
	};
	json_object *want = conf_get(test, "expected.config");
	bool errors = false;

	run.applied = conf_store_new(run.ns);
	run.all = conf_store_new(run.ns);
	bool ok = apply_all(&run);
	struct config *cfg = build(&run, "", false, &errors);

	if (ok) {
		compare_verdict(&run, "verdict", "verdict", conf_get(test, "expected"),
				run.why.len > 0);
		if (want && run.why.len == 0) {
			json_object *got = config_to_json(cfg);

			conf_compare(r, "config", "configuration", want, got);
			json_object_put(got);
		}
		if (strcmp(conf_text(test, "expected.stage"), "schema") != 0)
			compare_programs(&run);
	}
	config_free(cfg);
	conf_store_free(run.applied);
	conf_store_free(run.all);
	buf_fini(&run.why);
	return ok ? 0 : -1;
}
