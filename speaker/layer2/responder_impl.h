/*
 * Inside the layer 2 engine: its state, shared by responder.c (what is announced), answer.c
 * (questions), burst.c (unsolicited announcements) and groups.c (multicast groups).
 */
#ifndef METALLB_LAYER2_RESPONDER_IMPL_H
#define METALLB_LAYER2_RESPONDER_IMPL_H

#include "metallb/deadlines.h"
#include "metallb/table.h"
#include "speaker/layer2/probe.h"
#include "speaker/layer2/responder.h"
#include "speaker/layer2/uplink.h"

struct address {
	struct deadline deadline; /* of the next unsolicited announcement; first member */
	struct ip ip;
	/* what each service that uses the address says about it, in that service's arena */
	const struct announce_l2_ip **bindings;
	size_t n_bindings, cap_bindings;
	unsigned rounds_left; /* of the running burst */
	struct responder_counts *counts;
};

struct service_entry {
	struct arena *arena;
	const struct announce_l2_ip *ips;
	size_t n_ips;
};

struct group_member {
	unsigned ifindex;
	struct ip group;
	bool wanted;
};

struct responder {
	struct responder_options opt;
	struct responder_link *links;
	size_t n_links, cap_links;
	struct table services;  /* service -> struct service_entry */
	struct table addresses; /* struct ip -> struct address */
	struct table counts;    /* struct ip -> struct responder_counts, never removed */
	struct deadlines deadlines;
	uint64_t verdicts[RESPONDER_VERDICT_COUNT];

	/* the address whose round is being sent, and how far it is */
	struct address *sending;
	size_t sending_link;
	unsigned sending_step;

	struct table groups; /* ifindex and group -> struct group_member: joined, as told */
	bool groups_dirty;
	struct responder_group *group_ops;
	size_t n_group_ops, cap_group_ops, next_group_op;

	struct probes *probes;
	struct uplinks *uplinks;

	struct responder_question questions[RESPONDER_QUESTIONS_MAX];
	size_t n_questions;

	struct responder_claim claims[RESPONDER_CLAIMS_MAX];
	size_t n_claims;
};

struct address *responder_find_address(const struct responder *r, const struct ip *ip);
const struct responder_link *responder_find_link(const struct responder *r, unsigned ifindex);
bool address_allows(const struct address *addr, const struct responder_link *link);
/* Can the link carry announcements of this family at all. */
bool link_carries(const struct responder_link *link, enum ip_family family);
void burst_start(struct responder *r, struct address *addr, usec_t at);
void burst_forget(struct responder *r, struct address *addr);
void groups_fini(struct responder *r);

#endif
