/*
 * What is wrong with the configuration, as this node sees it: in the log and in the node's
 * ConfigurationState.
 */
#include <string.h>

#include "metallb/config_state.h"
#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "speaker/announcer_impl.h"

static const char *kind_of(const struct config_finding *f)
{
	return api_kind_info(f->obj->kind)->kind;
}

/* This node's ConfigurationState. */
void findings_init(struct announcer *an)
{
	struct config_state_spec spec = {
		.client = an->client,
		.ns = an->opt->ns,
		.pod_name = an->opt->pod_name,
		.component = "speaker",
		.node = an->opt->node_name,
		.field_manager = "metallb-speaker",
		.condition = "configReconcilerValid",
		.valid_text = "the whole configuration is in force",
	};

	spec.name = an->state_name = xasprintf("speaker-%s", an->opt->node_name);
	an->state = config_state_new(&spec);
}

/* A reference that may still come counts: what refers to it is not in force. */
static void state_tell(struct announcer *an, const struct config_report *report)
{
	_cleanup_(buf_fini) struct buf errors = {0};

	for (size_t i = 0; i < report->n_findings; i++) {
		const struct config_finding *f = &report->findings[i];

		if (f->severity != FINDING_WARNING)
			buf_printf(&errors, "%s%s %s: %s: %s", errors.len ? "\n" : "",
				   f->obj ? kind_of(f) : "", f->obj ? f->obj->meta.name : "",
				   f->field, f->message);
	}
	config_state_set(an->state, buf_str(&errors));
}

/* Say what is wrong, once per change of it. */
static void findings_log(struct announcer *an, const struct config_report *report)
{
	struct buf all = {0};

	for (size_t i = 0; i < report->n_findings; i++) {
		const struct config_finding *f = &report->findings[i];

		buf_printf(&all, "%s/%s: %s: %s\n", f->obj ? kind_of(f) : "",
			   f->obj ? f->obj->meta.name : "", f->field, f->message);
	}
	char *text = buf_steal(&all);

	if (an->findings && strcmp(an->findings, text) == 0) {
		free(text);
		return;
	}
	free(an->findings);
	an->findings = text;
	for (size_t i = 0; i < report->n_findings; i++) {
		const struct config_finding *f = &report->findings[i];

		log_write(f->severity == FINDING_ERROR ? LOG_ERROR : LOG_WARN, __FILE__, __LINE__,
			  "failed to parse the configuration", "kind", f->obj ? kind_of(f) : "",
			  "name", f->obj ? f->obj->meta.name : "", "field", f->field, "error",
			  f->message, NULL);
	}
}

void findings_tell(struct announcer *an, const struct config_report *report)
{
	findings_log(an, report);
	state_tell(an, report);
}

void findings_fini(struct announcer *an)
{
	an->state = config_state_free(an->state);
	free(an->state_name);
	free(an->findings);
}
