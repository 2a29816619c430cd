/*
 * Questions for the station that has an address: ARP requests (RFC 826, probes as RFC 5227 §2.1.1)
 * and neighbour solicitations (RFC 4861 §4.3, probes as RFC 4862 §5.4.2). Pure.
 */
#ifndef METALLB_LAYER2_QUESTION_H
#define METALLB_LAYER2_QUESTION_H

#include "speaker/layer2/responder.h"

/* The link with this number, if it can carry a question for the address; else NULL. */
const struct responder_link *question_link(const struct responder_link *links, size_t n,
					   unsigned ifindex, const struct ip *to);
/*
 * from: the asker's address, unspecified (of that family) in a probe. station: NULL asks all of
 * them, else only that one.
 */
void question_fill(const struct responder_link *link, const struct ip *from, const struct ip *to,
		   const struct mac *station, struct l2_frame *out);

#endif
