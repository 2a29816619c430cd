/*
 * The layer 2 engine of one node: which addresses are answered for on which interfaces, the answers
 * to ARP requests and neighbour solicitations, and the unsolicited announcements. Pure: frames and
 * the time go in; frames, group memberships and a deadline come out.
 */
#ifndef METALLB_LAYER2_RESPONDER_H
#define METALLB_LAYER2_RESPONDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metallb/announce.h"
#include "metallb/clock.h"
#include "metallb/ip.h"
#include "speaker/layer2/frame.h"

struct responder;

#define LINK_NAME_MAX        16
#define RESPONDER_ROUNDS     5 /* unsolicited announcements of one burst */
#define RESPONDER_INTERVAL   (1100 * USEC_PER_MSEC)
#define RESPONDER_REFRESH    (180 * USEC_PER_SEC) /* default; +-25 % by chance */
#define RESPONDER_CLAIMS_MAX 64

#define RESPONDER_QUESTIONS_MAX 16

/* An interface that may be used; what it can do was decided before (links.h). */
struct responder_link {
	unsigned ifindex;
	char name[LINK_NAME_MAX];
	struct mac mac;
	bool arp, ndp;
	struct ip link_local; /* with ndp: source of what is sent */
};

struct responder_options {
	usec_t refresh; /* 0: never say it again unasked */
	usec_t uplink;  /* a gateway that does not answer for about so long is dead; 0: not asked */
	const struct random_source *random;
};

struct responder *responder_new(const struct responder_options *opt);
struct responder *responder_free(struct responder *r);

/* New or changed: what is announced on it is announced again when it could not have been heard. */
void responder_link_set(struct responder *r, const struct responder_link *link, usec_t now);
void responder_link_del(struct responder *r, unsigned ifindex);

/*
 * Answer for a service's addresses from now on, in place of what was answered for it before. A
 * burst of announcements starts for each address that is new here or has new interfaces.
 */
void responder_announce(struct responder *r, const char *service, const struct announce_l2_ip *ips,
			size_t n, usec_t now);
void responder_withdraw(struct responder *r, const char *service);
/* The service has nothing to say about one of its addresses any more. */
void responder_release(struct responder *r, const char *service, const struct ip *ip, usec_t now);
/* Go on answering for the service's addresses, but announce them no more unasked. */
void responder_hush(struct responder *r, const char *service);
bool responder_has_service(const struct responder *r, const char *service);
bool responder_has_ip(const struct responder *r, const struct ip *ip);
/* A burst for every address, spread over `spread`: another node may have said it was there. */
void responder_burst_all(struct responder *r, usec_t now, usec_t spread);

enum responder_verdict {
	RESPONDER_ANSWER,
	RESPONDER_MALFORMED,
	RESPONDER_NOT_A_QUESTION,
	RESPONDER_OTHER_DESTINATION,
	RESPONDER_OTHER_IP,
	RESPONDER_OTHER_INTERFACE,
	RESPONDER_NO_SENDER, /* a solicitation without its sender's address */
	RESPONDER_OWN,       /* sent by this node */
	RESPONDER_CLAIM,     /* somebody says one of our addresses is his */
	RESPONDER_VERDICT_COUNT
};

/* A frame came in on an interface; with RESPONDER_ANSWER *reply is to be sent. */
enum responder_verdict responder_recv_arp(struct responder *r, unsigned ifindex, const void *frame,
					  size_t len, usec_t now, struct l2_frame *reply);
enum responder_verdict responder_recv_ndp(struct responder *r, unsigned ifindex, const void *frame,
					  size_t len, usec_t now, struct l2_frame *reply);
/* Label of the metric: "malformed", ...; "" for an answer. */
const char *responder_verdict_text(enum responder_verdict v);
uint64_t responder_verdict_count(const struct responder *r, enum responder_verdict v);

/* The next unsolicited announcement that is due; false when there is none now. */
bool responder_output(struct responder *r, usec_t now, struct l2_frame *out);
usec_t responder_deadline(const struct responder *r);

/* Solicited-node groups to join or leave; false when all is as it should be. */
struct responder_group {
	unsigned ifindex;
	struct ip group;
	bool join;
};
bool responder_group_next(struct responder *r, struct responder_group *out);

/* A station that said an announced address is its own. At most RESPONDER_CLAIMS_MAX wait. */
struct responder_claim {
	struct ip ip;
	struct mac mac;
	unsigned ifindex;
	usec_t when;
};
bool responder_claim_next(struct responder *r, struct responder_claim *out);

/*
 * Find out whether another station uses an address before it is announced for the first time, on
 * the interfaces where it would be. The verdict comes within a second.
 */
void responder_probe(struct responder *r, const struct announce_l2_ip *where, usec_t now);
/* The addresses of the cluster's nodes, whose claims do not count. */
void responder_set_nodes(struct responder *r, const struct ip *nodes, size_t n);
struct responder_probe {
	struct ip ip;
	bool taken;
	struct mac mac; /* of the station that uses it */
	unsigned ifindex;
};
bool responder_probe_next(struct responder *r, struct responder_probe *out);

/*
 * A question to be sent soon, by ARP or neighbour solicitation: the stations' kernels learn from it
 * and its answer where both addresses are. At most RESPONDER_QUESTIONS_MAX wait.
 */
struct responder_question {
	unsigned ifindex;
	struct ip from, to;
};
void responder_ask(struct responder *r, const struct responder_question *q);

/* A way out of this node. */
struct responder_gateway {
	unsigned ifindex;
	struct ip from, ip; /* this node's address towards it, and the gateway's */
};
/* The default gateways of the interfaces that may be used; nothing without the option. */
void responder_set_gateways(struct responder *r, const struct responder_gateway *gateways, size_t n,
			    usec_t now);
enum responder_uplink {
	RESPONDER_UPLINK_UNKNOWN, /* no gateway, or none that ever answered */
	RESPONDER_UPLINK_ALIVE,
	RESPONDER_UPLINK_DEAD
};
enum responder_uplink responder_uplink(const struct responder *r, unsigned ifindex);
/* Whether any of them may be another since the last call. */
bool responder_take_uplink_change(struct responder *r);

/* Counters of one address; they outlive its announcement. NULL: never announced. */
struct responder_counts {
	struct ip ip;
	uint64_t requests, responses, gratuitous;
};
const struct responder_counts *responder_counts_next(const struct responder *r, size_t *pos);

#endif
