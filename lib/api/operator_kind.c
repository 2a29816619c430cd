/*
 * Table of the MetalLB resource. What only passes through to a pod template (affinity, tolerations,
 * resources) is kept as JSON text.
 */
#include "lib/api/metallb_kinds.h"

#define MLB(member) offsetof(struct metallb, member)

static const char *const log_levels[] = {"all", "debug", "info", "warn", "error", "none", NULL};

static const struct field config_fields_controller[] = {
	{"affinity", FT_OBJECT, FF_RAW, MLB(controller.affinity), .shape = &schema_affinity},
	{"annotations", FT_MAP, 0, MLB(controller.annotations)},
	{"priorityClassName", FT_STRING, 0, MLB(controller.priority_class_name)},
	{"resources", FT_OBJECT, FF_RAW, MLB(controller.resources), .shape = &schema_resources},
	{"runtimeClassName", FT_STRING, 0, MLB(controller.runtime_class_name)},
};
static const struct shape controller_config = SHAPE(config_fields_controller, struct metallb);
static const struct field config_fields_speaker[] = {
	{"affinity", FT_OBJECT, FF_RAW, MLB(speaker.affinity), .shape = &schema_affinity},
	{"annotations", FT_MAP, 0, MLB(speaker.annotations)},
	{"priorityClassName", FT_STRING, 0, MLB(speaker.priority_class_name)},
	{"resources", FT_OBJECT, FF_RAW, MLB(speaker.resources), .shape = &schema_resources},
	{"runtimeClassName", FT_STRING, 0, MLB(speaker.runtime_class_name)},
};
static const struct shape speaker_config = SHAPE(config_fields_speaker, struct metallb);

static const struct field frrk8s_fields[] = {
	{"alwaysBlock", FT_STRINGS, 0, MLB(always_block)},
	{"namespace", FT_STRING, 0, MLB(frrk8s_namespace)},
	{"secretPassthrough", FT_BOOL, 0, MLB(secret_passthrough)},
};
static const struct shape frrk8s_shape = SHAPE(frrk8s_fields, struct metallb);

static const struct field spec_fields[] = {
	{"bgpBackend", FT_STRING, 0, MLB(bgp_backend)},
	{"controllerConfig", FT_OBJECT, .shape = &controller_config},
	{"controllerNodeSelector", FT_MAP, 0, MLB(controller_node_selector)},
	{"controllerTolerations", FT_LIST, FF_RAW, MLB(controller_tolerations),
	 .shape = &schema_toleration},
	{"frrk8sConfig", FT_OBJECT, .shape = &frrk8s_shape},
	{"image", FT_STRING, FF_SKIP},
	{"loadBalancerClass", FT_STRING, 0, MLB(load_balancer_class),
	 .pattern = "^([a-z0-9A-Z]([A-Za-z0-9_.-]*[a-z0-9A-Z])?/"
		    ")?[a-z0-9A-Z]([A-Za-z0-9_.-]*[a-z0-9A-Z])?$"},
	{"logLevel", FT_STRING, 0, MLB(log_level), .enums = log_levels},
	{"nodeSelector", FT_MAP, 0, MLB(node_selector)},
	{"speakerConfig", FT_OBJECT, .shape = &speaker_config},
	{"speakerTolerations", FT_LIST, FF_RAW, MLB(speaker_tolerations),
	 .shape = &schema_toleration},
};
static const struct shape spec_shape = SHAPE(spec_fields, struct metallb);

static const struct field status_fields[] = {
	{"conditions", FT_LIST, 0, MLB(conditions), .shape = &schema_condition},
};
static const struct shape status_shape = SHAPE(status_fields, struct metallb);

static const struct field fields[] = {
	{"spec", FT_OBJECT, .shape = &spec_shape},
	{"status", FT_OBJECT, .shape = &status_shape},
};
const struct shape metallb_shape = SHAPE(fields, struct metallb);
