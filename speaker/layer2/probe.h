/*
 * Does another station use an address that this node is about to use for the first time: probes as
 * in RFC 5227 §2.1.1 (ARP) and RFC 4862 §5.4 (neighbour solicitations from ::). Pure.
 *
 * Who answers a probe is not always in the way. A router that answers for everything (proxy ARP)
 * answers for addresses that nobody can have, too, and so it is asked for some. A node of this
 * cluster answers for its own address as well, and so the nodes are asked for theirs. Both are only
 * done when somebody answers.
 */
#ifndef METALLB_LAYER2_PROBE_H
#define METALLB_LAYER2_PROBE_H

#include "speaker/layer2/responder.h"

#define PROBE_ROUNDS   3
#define PROBE_INTERVAL (200 * USEC_PER_MSEC)
#define PROBE_LISTEN   (700 * USEC_PER_MSEC) /* since the first probe */
#define PROBE_JUDGE    (300 * USEC_PER_MSEC) /* to find out who it is that answers */

#define PROBE_STATION_KNOWN (60 * USEC_PER_SEC) /* ... which is believed for so long */
#define PROBE_NODES_MAX     1024                /* nodes that are asked */

struct probes;

struct probes *probes_new(const struct random_source *random);
struct probes *probes_free(struct probes *p);

/* Probe on these interfaces; nothing when that address is being probed. */
void probes_start(struct probes *p, const struct ip *ip, const unsigned *ifindexes, size_t n,
		  usec_t now);
/* The addresses of the cluster's nodes. */
void probes_set_nodes(struct probes *p, const struct ip *nodes, size_t n);
/* A frame said that the station has the address. */
void probes_heard(struct probes *p, const struct ip *ip, const struct mac *mac, unsigned ifindex,
		  usec_t now);

/* The next frame that is due; false when there is none now. */
bool probes_output(struct probes *p, const struct responder_link *links, size_t n_links, usec_t now,
		   struct l2_frame *out);
usec_t probes_deadline(const struct probes *p);
bool probes_next(struct probes *p, struct responder_probe *out);

#endif
