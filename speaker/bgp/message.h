/*
 * BGP messages as bytes and structs: the codec. Pure: no session, no clock, no log.
 *
 * Decoders fill a struct bgp_error with the NOTIFICATION that the RFCs ask for and with a sentence
 * for a person. Encoders write into a struct wr and stick to BGP_MSG_MAX, which every peer takes.
 */
#ifndef BGP_MESSAGE_H
#define BGP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metallb/ip.h"
#include "metallb/wire.h"
#include "speaker/bgp/bgp.h"

#define BGP_MARKER_LEN      16
#define BGP_HEADER_LEN      19
#define BGP_MSG_MAX         4096
#define BGP_MSG_EXT_MAX     65535 /* RFC 8654 */
#define BGP_VERSION         4
#define BGP_AS_TRANS        23456u
#define BGP_ERROR_DATA_MAX  256
#define BGP_RESTART_MAX     4095 /* 12 bits */
#define BGP_GSHUT_COMMUNITY 0xFFFF0000u

enum bgp_msg_type {
	BGP_OPEN = 1,
	BGP_UPDATE = 2,
	BGP_NOTIFICATION = 3,
	BGP_KEEPALIVE = 4,
	BGP_ROUTE_REFRESH = 5,
};

enum bgp_error_code {
	BGP_ERR_HEADER = 1,
	BGP_ERR_OPEN = 2,
	BGP_ERR_UPDATE = 3,
	BGP_ERR_HOLD = 4,
	BGP_ERR_FSM = 5,
	BGP_ERR_CEASE = 6,
};

enum bgp_header_subcode { BGP_HDR_SYNC = 1, BGP_HDR_LENGTH = 2, BGP_HDR_TYPE = 3 };
enum bgp_open_subcode {
	BGP_OPEN_UNSPECIFIC = 0,
	BGP_OPEN_VERSION = 1,
	BGP_OPEN_PEER_AS = 2,
	BGP_OPEN_ID = 3,
	BGP_OPEN_PARAMETER = 4,
	BGP_OPEN_HOLD = 6,
	BGP_OPEN_CAPABILITY = 7,
};
enum bgp_update_subcode {
	BGP_UPD_ATTR_LIST = 1,
	BGP_UPD_WELL_KNOWN = 2,
	BGP_UPD_MISSING = 3,
	BGP_UPD_FLAGS = 4,
	BGP_UPD_LENGTH = 5,
	BGP_UPD_OPTIONAL = 9,
	BGP_UPD_NETWORK = 10,
	BGP_UPD_AS_PATH = 11,
};
enum bgp_cease_subcode {
	BGP_CEASE_MAX_PREFIXES = 1,
	BGP_CEASE_SHUTDOWN = 2,
	BGP_CEASE_DECONFIGURED = 3,
	BGP_CEASE_RESET = 4,
	BGP_CEASE_REJECTED = 5,
	BGP_CEASE_CONFIG = 6,
	BGP_CEASE_COLLISION = 7,
	BGP_CEASE_RESOURCES = 8,
	BGP_CEASE_HARD_RESET = 9, /* RFC 8538 */
	BGP_CEASE_BFD_DOWN = 10,  /* RFC 9384 */
};

/* A NOTIFICATION and what it means here. */
struct bgp_error {
	uint8_t code, subcode;
	uint16_t data_len;
	uint8_t data[BGP_ERROR_DATA_MAX];
	char why[BGP_TEXT_MAX];
};

/* Always returns false, so that refusing is one line. data may be NULL. */
bool bgp_error_set(struct bgp_error *e, uint8_t code, uint8_t subcode, const void *data, size_t len,
		   const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* "Cease/Administrative Shutdown: text": code, subcode and what the data says. */
void bgp_error_format(const struct bgp_error *e, char out[BGP_TEXT_MAX]);
/* A Cease with a text for the peer's operator (RFC 9003), cut at a character's border. */
void bgp_error_set_cease(struct bgp_error *e, uint8_t subcode, const char *text);
/* Put a Cease inside a Hard Reset (RFC 8538 section 3). */
void bgp_error_wrap_hard(struct bgp_error *e);

enum bgp_frame { BGP_FRAME_MORE, BGP_FRAME_OK, BGP_FRAME_BAD };
/*
 * Looks at the head of a stream: *len gets the length of the first message (header included) as
 * soon as the header is there; OK when the message is complete. max: BGP_MSG_MAX or _EXT_MAX.
 */
enum bgp_frame bgp_frame_decode(const uint8_t *data, size_t n, size_t max, uint8_t *type,
				size_t *len, struct bgp_error *e);

/* What an OPEN's capabilities say (RFC 5492). Families are masks of BGP_FAMILY_*. */
struct bgp_caps {
	bool multiprotocol; /* any; without, it is IPv4 unicast alone */
	unsigned families;  /* RFC 4760 */
	bool v4_over_v6;    /* RFC 8950 */
	bool refresh, extended_message;
	bool as4;
	uint32_t asn4;
	bool gr, gr_restarting, gr_notification; /* RFC 4724, N bit of RFC 8538 */
	uint16_t gr_time_s;
	unsigned gr_families, gr_forwarding;
	bool llgr; /* RFC 9494 */
	uint32_t llgr_time_s;
	unsigned llgr_families;
};

struct bgp_open {
	uint32_t asn; /* four octets, wherever they stood */
	uint16_t hold_s;
	uint32_t id; /* host order */
	struct bgp_caps caps;
};

void bgp_open_encode(struct wr *w, const struct bgp_open *o);
/* body: what follows the header. Checks all that needs no configuration. */
bool bgp_open_decode(const uint8_t *body, size_t len, struct bgp_open *o, struct bgp_error *e)
	__attribute__((warn_unused_result));

void bgp_keepalive_encode(struct wr *w);
void bgp_notification_encode(struct wr *w, const struct bgp_error *e);
/* A body too short for code and subcode reads as 0/0. */
void bgp_notification_decode(const uint8_t *body, size_t len, struct bgp_error *e);
void bgp_refresh_encode(struct wr *w, unsigned family);
/* The family asked for; 0 for one that is not ours or a subtype of RFC 7313. */
unsigned bgp_refresh_decode(const uint8_t *body, size_t len);

/* ---- UPDATE ---- */

/* Attributes of a route, as wanted; what the session adds stands in struct bgp_encoding. */
struct bgp_attrs {
	struct ip next_hop;  /* IP_NONE: the session's */
	uint32_t local_pref; /* 0: the session's default */
	const struct community_value *communities;
	size_t n_communities;
};

/* How this session writes routes. */
struct bgp_encoding {
	bool ibgp, as4, gshut;
	uint32_t local_asn, default_local_pref;
	struct ip next_hop[2]; /* for IPv4 (may be IPv6: RFC 8950) and for IPv6; IP_NONE: none */
};

/*
 * One UPDATE that announces or withdraws prefixes of one family. Begin, add prefixes until false
 * (it did not fit: none of it was written), end. Returns false from begin when the family has no
 * next hop.
 */
struct bgp_update {
	struct wr w; /* starts at the header */
	uint8_t attrs[BGP_MSG_MAX];
	size_t attrs_len; /* to be appended behind the NLRI (MP) or already written (classic) */
	uint8_t *msg_len, *withdrawn_len, *attrs_at, *mp_len;
	bool withdraw, multiprotocol;
};
bool bgp_update_begin(struct bgp_update *u, uint8_t out[BGP_MSG_MAX],
		      const struct bgp_encoding *enc, const struct bgp_attrs *attrs,
		      enum ip_family family) __attribute__((warn_unused_result));
void bgp_update_begin_withdraw(struct bgp_update *u, uint8_t out[BGP_MSG_MAX],
			       enum ip_family family);
bool bgp_update_add(struct bgp_update *u, const struct prefix *p)
	__attribute__((warn_unused_result));
size_t bgp_update_end(struct bgp_update *u); /* length of the message */
/* End-of-RIB (RFC 4724 section 2): returns its length. */
size_t bgp_update_encode_eor(uint8_t out[BGP_MSG_MAX], enum ip_family family);

/* RFC 7606, from harmless to fatal. */
enum bgp_verdict { BGP_UPDATE_OK, BGP_UPDATE_DISCARD, BGP_UPDATE_WITHDRAW, BGP_UPDATE_RESET };

struct bgp_update_info {
	enum bgp_verdict verdict; /* the strongest found */
	struct bgp_error error;   /* of that verdict; error.why is the log's text */
	uint32_t n_reach, n_withdrawn;
	unsigned eor; /* BGP_FAMILY_* when it is an End-of-RIB */
};
/* Checks a whole UPDATE from a peer. as4, ibgp: as negotiated. */
void bgp_update_check(const uint8_t *body, size_t len, bool as4, bool ibgp,
		      struct bgp_update_info *info);

#endif
