/*
 * BFD control packets on the wire (RFC 5880 section 4.1). Pure. No authentication section is ever
 * written; one that is received is recognised by its flag only.
 */
#ifndef BFD_PACKET_H
#define BFD_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BFD_VERSION      1
#define BFD_PACKET_LEN   24
#define BFD_AUTH_LEN_MIN 2 /* of an authentication section */

enum bfd_state { BFD_ADMIN_DOWN, BFD_DOWN, BFD_INIT, BFD_UP, BFD_STATE_COUNT };

enum bfd_diag {
	BFD_DIAG_NONE,
	BFD_DIAG_EXPIRED,
	BFD_DIAG_ECHO_FAILED,
	BFD_DIAG_NEIGHBOR_DOWN,
	BFD_DIAG_FORWARDING_RESET,
	BFD_DIAG_PATH_DOWN,
	BFD_DIAG_CONCATENATED_DOWN,
	BFD_DIAG_ADMIN_DOWN,
	BFD_DIAG_REVERSE_DOWN,
	BFD_DIAG_COUNT
};

struct bfd_packet {
	uint8_t diag; /* 5 bits */
	enum bfd_state state;
	bool poll, final, independent, auth, demand;
	uint8_t mult;
	uint32_t my_discr, your_discr;
	uint32_t min_tx, min_rx, min_echo_rx; /* microseconds */
};

/* NULL, or why the packet is to be discarded: the checks of RFC 5880 6.8.6 that need no session. */
const char *bfd_packet_decode(const void *data, size_t len, struct bfd_packet *pkt)
	__attribute__((warn_unused_result));
void bfd_packet_encode(const struct bfd_packet *pkt, uint8_t out[BFD_PACKET_LEN]);

const char *bfd_state_format(enum bfd_state state); /* "admin-down" "down" "init" "up" */
const char *bfd_diag_format(uint8_t diag);

#endif
