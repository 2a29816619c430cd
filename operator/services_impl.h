/*
 * Inside of services.c and outcome.c: one pass over one Service.
 */
#ifndef OPERATOR_SERVICES_IMPL_H
#define OPERATOR_SERVICES_IMPL_H

#include "metallb/table.h"
#include "operator/services.h"

struct services {
	struct services_options opt;
	struct allocator *alloc;
	struct memory *memory;
	struct table waiting; /* key -> struct waiting */
	struct table broken;  /* names of invalid pools */
	bool recheck;
};

/* Events of a waiting Service's last pass, so that a repetition can be told from news. */
struct waiting {
	uint64_t said[SERVICES_EVENTS_MAX], next[SERVICES_EVENTS_MAX];
};

struct pass {
	struct services *s;
	const struct service *svc;
	struct services_result *out;
	usec_t wall;
	struct alloc_service who;
	struct alloc_want want;
	struct alloc_ips held; /* what it has, checked so far */
	struct alloc_ips request;
	bool request_ok, families_known, partial;
	bool by_pools; /* it is the pools that decided about the outcome */
	struct err why_request, why_families;
};

/* What was booked before the pass. */
struct pass_before {
	struct alloc_ips ips;
	const char *identity;
};

void pass_event(struct pass *p, bool warning, const char *reason, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
uint64_t pass_event_hash(const struct services_event *e);
void pass_event_allocated(struct pass *p);
/* The status names an address of a pool that exists but is invalid now. */
bool pass_is_on_hold(const struct pass *p);
/* Sharing identity of a booking as one text, in the result's arena. */
const char *pass_identity(const struct pass *p, const struct alloc_booking *b);
/* Addresses that are asked for by name are listed in the order of their text. */
void pass_sort_as_text(struct alloc_ips *ips);
/* Get the addresses that the Service asks for, or any. */
bool pass_get_addresses(struct pass *p, struct err *err);
void pass_explain_failure(struct pass *p, const struct err *err);
void pass_explain_allocated(struct pass *p, const struct alloc_booking *b);

#endif
