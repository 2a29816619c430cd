/*
 * Admission by the configuration's own rules: all objects with the new one in the place of its
 * former self are built as they would be for real.
 *
 * It is built without a look at references first, since objects may come in any order; then the
 * references alone are looked at: what is there must fit, what is missing is told as a warning. The
 * new object gives way in every contradiction. An error of another object refuses only when it was
 * not there before: a mistake that is in the cluster already must not block what has nothing to do
 * with it.
 */
#include <assert.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "operator/admit_impl.h"

static void config_freep(struct config **c)
{
	*c = config_free(*c);
}

static void report_freep(struct config_report **r)
{
	*r = config_report_free(*r);
}

/* The list of a kind. */
struct list_of {
	const void *const **items;
	size_t *n;
};

static struct list_of list_of(struct objects *o, enum api_kind kind)
{
	switch (kind) {
	case API_IPADDRESSPOOL:
		return (struct list_of){(void *)&o->pools, &o->n_pools};
	case API_L2ADVERTISEMENT:
		return (struct list_of){(void *)&o->l2advs, &o->n_l2advs};
	case API_BGPADVERTISEMENT:
		return (struct list_of){(void *)&o->bgpadvs, &o->n_bgpadvs};
	case API_BGPPEER:
		return (struct list_of){(void *)&o->peers, &o->n_peers};
	case API_BFDPROFILE:
		return (struct list_of){(void *)&o->bfds, &o->n_bfds};
	case API_COMMUNITY:
		return (struct list_of){(void *)&o->communities, &o->n_communities};
	default:
		return (struct list_of){NULL, NULL};
	}
}

/* All objects with a new one among them. */
struct next {
	struct objects objs;
	const void **items; /* the list that is not the snapshot's */
};

static void next_init(struct next *next, const struct objects *now, const struct api_object *object)
{
	next->objs = *now;
	struct list_of list = list_of(&next->objs, object->kind);
	size_t n = 0;

	assert(list.n);

	next->items = xmalloc((*list.n + 1) * sizeof(*next->items));
	for (size_t i = 0; i < *list.n; i++) {
		const struct api_object *o = (*list.items)[i];

		if (strcmp(o->meta.name, object->meta.name) != 0 ||
		    strcmp(o->meta.namespace, object->meta.namespace) != 0)
			next->items[n++] = o;
	}
	next->items[n++] = object;
	*list.items = next->items;
	*list.n = n;
}

static void next_fini(struct next *next)
{
	free(next->items);
}

static struct config_report *build_report(const struct admit_snapshot *s,
					  const struct objects *objs,
					  const struct api_object *newest, bool ignore_references)
{
	struct config_options opt = {
		.backend = s->backend,
		.ignore_references = ignore_references,
		.newest = newest,
	};
	_cleanup_(config_freep) struct config *cfg = NULL;
	struct config_report *report;

	config_build(objs, &opt, &cfg, &report);
	return report;
}

static bool has_error(const struct config_report *r, const struct config_finding *f)
{
	for (size_t i = 0; i < r->n_findings; i++) {
		const struct config_finding *g = &r->findings[i];

		if (g->obj == f->obj && g->severity == FINDING_ERROR &&
		    strcmp(g->field, f->field) == 0)
			return true;
	}
	return false;
}

static void add_finding(struct admit_verdict *v, const char *prefix, const struct config_finding *f)
{
	verdict_refuse(v, 403, "%s%s %s/%s: %s%s%s", prefix, api_kind_info(f->obj->kind)->kind,
		       f->obj->meta.namespace, f->obj->meta.name, f->field, *f->field ? ": " : "",
		       f->message);
}

/* Errors of the object itself, and those that it causes elsewhere. */
static void check_errors(const struct admit_snapshot *s, const struct api_object *object,
			 const struct config_report *report, struct admit_verdict *v)
{
	_cleanup_(report_freep) struct config_report *before = NULL;
	size_t n = 0;

	for (size_t i = 0; i < report->n_findings && n < ADMIT_FINDINGS_MAX; i++) {
		const struct config_finding *f = &report->findings[i];

		if (f->severity != FINDING_ERROR)
			continue;
		if (f->obj == object) {
			add_finding(v, "", f);
			n++;
			continue;
		}
		if (!before)
			before = build_report(s, &s->objs, NULL, true);
		if (!has_error(before, f)) {
			add_finding(v, "would break ", f);
			n++;
		}
	}
}

static void add_warnings(const struct api_object *object, const struct config_report *report,
			 struct admit_verdict *v)
{
	for (size_t i = 0; i < report->n_findings; i++) {
		const struct config_finding *f = &report->findings[i];

		if (f->obj == object && f->severity != FINDING_ERROR)
			verdict_warn(v, "%s%s%s", f->field, *f->field ? ": " : "", f->message);
	}
}

static bool has_references(const struct api_object *o)
{
	const struct bgppeer *p = (const void *)o;

	if (o->kind == API_BGPPEER)
		return *p->bfd_profile || *p->password_secret_name || *p->password;
	return o->kind == API_BGPADVERTISEMENT &&
	       ((const struct bgpadvertisement *)(const void *)o)->communities.n > 0;
}

static bool ranges_meet(const struct config_pool *a, const struct config_pool *b)
{
	for (size_t i = 0; i < a->n_ranges; i++)
		for (size_t k = 0; k < b->n_ranges; k++) {
			const struct ip_range *x = &a->ranges[i].range, *y = &b->ranges[k].range;

			if (ip_cmp(&x->first, &y->last) <= 0 && ip_cmp(&y->first, &x->last) <= 0)
				return true;
		}
	return false;
}

/*
 * The usual case, without building a thousand other pools: pools touch each other only by
 * overlapping, and all else that a pool can break is seen with it as the only one. false: unknown.
 */
static bool pool_is_harmless(const struct admit_snapshot *s, const struct api_object *object)
{
	const struct ipaddresspool *pool = (const void *)object;
	struct config_options opt = {.backend = s->backend, .ignore_references = true};
	_cleanup_(report_freep) struct config_report *report = NULL;
	_cleanup_(config_freep) struct config *alone = NULL;
	struct objects objs = s->objs;

	if (!s->current)
		return false;
	objs.pools = &pool;
	objs.n_pools = 1;
	config_build(&objs, &opt, &alone, &report);
	if (report->n_errors > 0 || alone->n_pools != 1)
		return false;
	for (size_t i = 0; i < s->current->n_pools; i++)
		if (strcmp(s->current->pools[i].name, object->meta.name) != 0 &&
		    ranges_meet(&s->current->pools[i], &alone->pools[0]))
			return false;
	return true;
}

void admit_check_config(const struct admit_snapshot *s, const struct api_object *object,
			struct admit_verdict *v)
{
	_cleanup_(report_freep) struct config_report *report = NULL;
	_cleanup_(report_freep) struct config_report *references = NULL;
	_cleanup_(next_fini) struct next next = {0};

	if (object->kind == API_IPADDRESSPOOL && pool_is_harmless(s, object))
		return;
	next_init(&next, &s->objs, object);
	report = build_report(s, &next.objs, object, true);
	if (report->n_errors > 0)
		check_errors(s, object, report, v);
	if (!v->allowed)
		return;
	if (!has_references(object)) {
		add_warnings(object, report, v);
		return;
	}
	references = build_report(s, &next.objs, object, false);
	for (size_t i = 0; i < references->n_findings; i++)
		if (references->findings[i].obj == object &&
		    references->findings[i].severity == FINDING_ERROR)
			add_finding(v, "", &references->findings[i]);
	if (v->allowed)
		add_warnings(object, references, v);
}
