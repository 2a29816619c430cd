/*
 * Findings: reasons collected while the configuration is built.
 */
#include <stdarg.h>

#include "lib/config/build.h"
#include "metallb/xalloc.h"

static void add(struct build *b, const struct api_object *obj, const char *field,
		enum finding_severity severity, bool metallb, const char *fmt, va_list ap)
{
	_cleanup_free_ char *text = xvasprintf(fmt, ap);
	struct arena *a = b->report->arena;

	ARRAY_GROW(b->findings, b->report->n_findings, b->cap_findings);
	b->findings[b->report->n_findings++] = (struct config_finding){
		.obj = obj,
		.field = arena_strdup(a, field),
		.message = arena_strdup(a, text),
		.severity = severity,
		.metallb = metallb,
	};
	b->report->n_errors += severity == FINDING_ERROR;
	b->report->n_transient += severity == FINDING_TRANSIENT;
}

bool build_refuse(struct build *b, const struct api_object *obj, const char *field, const char *fmt,
		  ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(b, obj, field, FINDING_ERROR, true, fmt, ap);
	va_end(ap);
	return false;
}

bool build_refuse_ours(struct build *b, const struct api_object *obj, const char *field,
		       const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(b, obj, field, FINDING_ERROR, false, fmt, ap);
	va_end(ap);
	return false;
}

bool build_refuse_transient(struct build *b, const struct api_object *obj, const char *field,
			    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(b, obj, field, FINDING_TRANSIENT, true, fmt, ap);
	va_end(ap);
	return false;
}

void build_warn(struct build *b, const struct api_object *obj, const char *field, const char *fmt,
		...)
{
	va_list ap;

	va_start(ap, fmt);
	add(b, obj, field, FINDING_WARNING, false, fmt, ap);
	va_end(ap);
}

struct config_report *config_report_free(struct config_report *report)
{
	if (report)
		arena_free(report->arena);
	return NULL;
}
