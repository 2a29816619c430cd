/*
 * The echo function of one session (RFC 5880 6.4, 6.8.8, 6.8.9; RFC 5881 section 4): packets from
 * us to us at UDP port 3785, handed to the peer, whose forwarding plane sends them back without
 * looking into them. Over a single hop only, and not between link-local addresses, which nobody
 * forwards. Pure; owned by the session's entry.
 *
 * What is counted is packets that did not come back, not time: a process that was held up has sent
 * none meanwhile and finds no failure. And only a peer that once sent one back can fail to; that
 * memory outlives the session's ups and downs.
 */
#ifndef BFD_ECHO_H
#define BFD_ECHO_H

#include "metallb/ip.h"
#include "speaker/bfd/session.h"

#define BFD_ECHO_PORT 3785
#define BFD_ECHO_MAX  72 /* IPv6 and UDP headers, and 24 octets that only we read */

struct bfd_echo {
	bool active, send, works;
	uint32_t sent, heard; /* numbers of the last one sent and the last one that came back */
	uint8_t nonce[8];     /* nobody off the path can make one up */
	usec_t tx_at;         /* USEC_NEVER: not active */
};

void bfd_echo_init(struct bfd_echo *e, const struct random_source *rnd);
/* Starts and stops with the session and what the peer promises. */
void bfd_echo_follow(struct bfd_echo *e, const struct bfd_session *s, usec_t now);
/* Returns true when too many did not come back. */
bool bfd_echo_tick(struct bfd_echo *e, const struct bfd_session *s, usec_t now,
		   const struct random_source *rnd) __attribute__((warn_unused_result));
/* The length of out, an IP packet of local's family that is to be sent now; 0: none is. */
size_t bfd_echo_output(struct bfd_echo *e, const struct bfd_session *s, const struct ip *local,
		       uint8_t out[BFD_ECHO_MAX]);

/* An echo packet of ours, from outside. */
struct bfd_echo_packet {
	struct ip from, to;
	uint32_t discr, number;
	uint8_t nonce[8];
};
/* NULL, or why it is none: data is an IP packet. */
const char *bfd_echo_decode(const void *data, size_t len, struct bfd_echo_packet *pkt)
	__attribute__((warn_unused_result));
/* NULL, or why it is not one that is still missed. */
const char *bfd_echo_recv(struct bfd_echo *e, const struct bfd_echo_packet *pkt)
	__attribute__((warn_unused_result));

#endif
