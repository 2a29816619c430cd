/*
 * Inside admission: the parts of the verdict.
 */
#ifndef OPERATOR_ADMIT_IMPL_H
#define OPERATOR_ADMIT_IMPL_H

#include "operator/admit.h"

/* Refuse: returns false. Reasons are joined by "; ". */
bool verdict_refuse(struct admit_verdict *v, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void verdict_warn(struct admit_verdict *v, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* admit_config.c: the whole configuration with the object in the place of its former self. */
void admit_check_config(const struct admit_snapshot *s, const struct api_object *object,
			struct admit_verdict *v);
/* admit_use.c: Services whose addresses a pool would no longer have. object NULL: it is deleted. */
void admit_warn_pool_use(const struct admit_snapshot *s, const struct ipaddresspool *object,
			 const struct ipaddresspool *old, struct admit_verdict *v);
void admit_check_bfd_use(const struct admit_snapshot *s, const struct bfdprofile *old,
			 struct admit_verdict *v);
/* admit_metallb.c */
void admit_check_metallb(const struct admit_snapshot *s, const struct metallb *m, bool create,
			 struct admit_verdict *v);

#endif
