/*
 * Inside of the BFD shell: what io.c (loop, API), sock.c (UDP) and echo_io.c share.
 */
#ifndef BFD_IO_H
#define BFD_IO_H

#include <ev.h>

#include "metallb/log.h"
#include "speaker/bfd/engine.h"

#define BFD_PORT          3784
#define BFD_PORT_MULTIHOP 4784
#define BFD_READ_BUDGET   512 /* packets of one socket per turn: what a receive buffer holds */

enum { BFD_RX_V4, BFD_RX_V6, BFD_RX_V4_MULTIHOP, BFD_RX_V6_MULTIHOP, BFD_RX_COUNT };

struct bfd_rx {
	struct bfd_net *net;
	int fd; /* -1: could not be opened */
	uint16_t port;
	ev_io io;
};

/* The sockets of one VRF, "" for those of none. */
struct bfd_net {
	struct list link;
	struct bfd *bfd;
	char vrf[BFD_VRF_MAX];
	unsigned vrf_index; /* of the device when the sockets were bound to it */
	bool used;
	int tx[2]; /* IPv4, IPv6 */
	struct bfd_rx rx[BFD_RX_COUNT];
};

struct bfd {
	struct ev_loop *loop;
	struct bfd_engine engine;
	bfd_event_fn *on_event;
	void *user;
	ev_timer timer, retry;
	struct list nets;
	struct log_limit drop_log, send_log;
	struct bfd_echo_socket {
		struct bfd *bfd;
		int fd; /* -1: nobody wants echoes */
		ev_io io;
	} echo[2]; /* IPv4, IPv6 */
};

/* io.c: after packets were taken. */
void bfd_io_settle(struct bfd *b);

/* neighbor.c: the hardware address of a neighbour, as the kernel knows it. 0 or -errno. */
int bfd_neighbor(const struct ip *ip, unsigned ifindex, uint8_t mac[6]);

/* echo_io.c */
int bfd_echo_open(struct bfd *b, enum ip_family family);
void bfd_echo_close(struct bfd *b, enum ip_family family);
void bfd_echo_read(struct bfd *b, usec_t now);
int bfd_echo_send(const struct bfd *b, const struct bfd_send *out);

/* sock.c */
struct bfd_net *bfd_net_new(struct bfd *b, const char *vrf);
void bfd_net_free(struct bfd_net *n);
/* Opens what is not open; false when something still is not. */
bool bfd_net_open(struct bfd_net *n);
/* The device of the VRF is not the one that the sockets are bound to. */
bool bfd_net_is_stale(const struct bfd_net *n);
/* All packets that wait, within the budget. */
void bfd_net_read(struct bfd_net *n, usec_t now);
int bfd_net_send(const struct bfd_net *n, const struct bfd_send *out);

#endif
