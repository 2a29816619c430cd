/*
 * Inside of the doctor's checks: doctor_checks.c (what we installed), doctor_around.c (what is
 * around it).
 */
#ifndef CLI_DOCTOR_IMPL_H
#define CLI_DOCTOR_IMPL_H

#include <json-c/json.h>
#include <stddef.h>

#include "operator/cli/doctor.h"

enum verdict { OK, BAD, NOTE, UNKNOWN };

struct doctor {
	const struct doctor_facts *f;
	json_object *findings;
	const char *check; /* name of the one at work */
	size_t n_bad;
};

/* fix: what to do, or NULL. */
void doctor_say(struct doctor *d, enum verdict verdict, const char *fix, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* The fact, or NULL after having said that it is not known. */
json_object *doctor_need(struct doctor *d, enum doctor_fact fact);

/* Lists: the items of a fact, or of a plain array. */
size_t doctor_count(json_object *list);
json_object *doctor_item(json_object *list, size_t i);
/* A member's member as text, "" when absent: doctor_text(o, "status", "phase"). */
const char *doctor_text(json_object *o, const char *outer, const char *inner);
int64_t doctor_int(json_object *o, const char *outer, const char *inner);
/* The argument --NAME=VALUE of the operator's container, "" when it has none. */
const char *doctor_operator_arg(const struct doctor *d, const char *name);

/* doctor_around.c */
void doctor_check_kube_proxy(struct doctor *d);
void doctor_check_metallb(struct doctor *d);
void doctor_check_others(struct doctor *d);
void doctor_check_gossip(struct doctor *d);
void doctor_check_nodes(struct doctor *d);
void doctor_check_clocks(struct doctor *d);

#endif
