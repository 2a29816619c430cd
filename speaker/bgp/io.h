/*
 * Inside of the BGP shell: what io.c (loop, API), sock.c (TCP), sockopt.c and discover.c share.
 */
#ifndef BGP_IO_H
#define BGP_IO_H

#include <ev.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "metallb/list.h"
#include "metallb/log.h"
#include "speaker/bgp/ra.h"
#include "speaker/bgp/router.h"

#define BGP_READ_BUDGET  16384 /* octets of one peer per turn of the loop */
#define BGP_WRITE_BUDGET 262144
#define BGP_ACCEPTS      16 /* connections taken per turn and listener */
#define BGP_LINGER_MAX   64 /* closing sockets that wait for the peer's end of stream */
#define BGP_LINGER_TIME  2.0
#define BGP_BACKLOG      128

/* A TCP connection of a peer, or one that is closing (peer NULL). */
struct bgp_sock {
	struct list link; /* in bgp.lingering once closing */
	struct bgp *bgp;
	struct bgp_peer *peer;
	size_t conn;
	int fd;
	bool connecting;
	ev_io io;
	ev_timer timer; /* of the lingering */
};

/* One listening socket: a family in a VRF. */
struct bgp_listener {
	struct list link;
	struct bgp *bgp;
	char *vrf;
	int family, fd;
	ev_io io;
};

/* Discovery on one interface; serves all unnumbered peers there. */
struct bgp_discovery {
	struct list link;
	struct bgp *bgp;
	char *interface;
	unsigned ifindex;
	int fd; /* -1: the interface is not there (yet) */
	bool used;
	ev_io io;
	ev_timer timer;
	struct bgp_neighbor neighbor;
};

struct bgp {
	struct ev_loop *loop;
	struct bgp_router router;
	bgp_event_fn *on_event;
	void *user;
	ev_timer timer;
	uint16_t listen_port;
	char *listen_addr;
	struct list listeners, discoveries, lingering;
	size_t n_lingering;
	struct log_limit refused_log;
};

/* After anything happened to the router: sockets as it wants them, timer, events. */
void bgp_io_sync(struct bgp *b);

/* sock.c */
void bgp_sock_connect(struct bgp *b, struct bgp_peer *p, size_t conn);
void bgp_sock_flush(struct bgp_sock *s);
void bgp_sock_close(struct bgp_sock *s);   /* politely: sends the rest, waits for the peer */
void bgp_sock_destroy(struct bgp_sock *s); /* at once */
void bgp_listeners_update(struct bgp *b);
void bgp_listeners_free(struct bgp *b);

/* discover.c */
void bgp_discoveries_update(struct bgp *b);
void bgp_discoveries_free(struct bgp *b);

/* sockopt.c; 0 or -errno */
socklen_t bgp_sockaddr(const struct ip *ip, uint16_t port, unsigned scope,
		       struct sockaddr_storage *out);
struct ip bgp_sockaddr_ip(const struct sockaddr_storage *ss);
int bgp_sockopt_set(int fd, const struct bgp_peer_config *cfg, int family);
int bgp_sockopt_set_md5(int fd, const struct ip *peer, const char *password);
int bgp_sockopt_bind_device(int fd, const char *name);
/* Our address on a connected socket, and the others of its interface. */
int bgp_sock_local(int fd, const char *interface, struct bgp_local *out);

#endif
