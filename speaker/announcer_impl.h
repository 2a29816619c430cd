/*
 * Inside the reconciler: its state, shared by announcer.c (inputs and turns), apply.c (a decision
 * becomes fact), sessions.c (BGP) and status.c (status objects).
 */
#ifndef METALLB_SPEAKER_ANNOUNCER_IMPL_H
#define METALLB_SPEAKER_ANNOUNCER_IMPL_H

#include <ev.h>

#include "metallb/config.h"
#include "metallb/kube_event.h"
#include "metallb/kube_queue.h"
#include "metallb/share.h"
#include "speaker/announcer.h"
#include "speaker/gather.h"
#include "speaker/layer2/conflict.h"
#include "speaker/layer2/io.h"
#include "speaker/links.h"
#include "speaker/members.h"
#include "speaker/netlink.h"
#include "speaker/record.h"
#include "speaker/watches.h"

struct bfd;
struct bgp;
struct config_state;
struct firstuse;
struct linger;
struct status_writer;
struct sessions;
struct uplink;

#define ANNOUNCER_CLAIMS 64

struct announcer {
	struct ev_loop *loop;
	struct kube_client *client;
	const struct options *opt;
	struct announce_options policy;

	struct watches *watches;
	struct kube_recorder *recorder;
	struct owned_index slices; /* by service */
	struct links *links;
	struct netlink *netlink;
	struct responder *responder;
	struct l2_io *l2;
	struct members *members;
	struct linger *linger;
	struct conflicts *conflicts;
	struct firstuse *firstuse;
	struct uplink *uplink; /* NULL: gateways are not asked */
	struct sessions *sessions;
	struct status_writer *status;
	struct config_state *state;
	char *state_name; /* of that object */

	struct config *cfg; /* NULL until the first is built */
	struct announce_view *view;
	char *findings; /* what was last said about the configuration */
	bool pods_dirty, config_dirty, view_dirty, all_dirty;
	bool withdraw;    /* the mark is on the speakers' DaemonSet */
	bool ready;       /* everything has been looked at once */
	bool settled;     /* and what was decided was in force once: for /readyz, for good */
	usec_t settle_by; /* or so much time has passed */
	bool able;        /* decides now what it is elected for; the other speakers are told */

	unsigned holders_waits; /* looks at whether the status objects are known, that are left */

	size_t n_won; /* services that this turn of the loop has won in layer 2 */
	struct responder_claim claims[ANNOUNCER_CLAIMS]; /* of speakers that are being asked */
	size_t next_claim;

	struct share_index *shares;  /* NULL: every service is elected alone */
	struct kube_queue *services; /* keys to decide anew */
	struct table records;        /* service -> struct record */
	ev_timer work;               /* runs at once when armed */
};

/* Look again at a service, or at everything, in this or the next turn of the loop. */
void announcer_touch(struct announcer *an, const char *service);
void announcer_wake(struct announcer *an);
/* On which interfaces this node can be heard has changed: for the other speakers and ourselves. */
void links_tell(struct announcer *an);

/* findings.c: the log and the ConfigurationState follow what each build of the configuration found.
 */
void findings_init(struct announcer *an);
void findings_tell(struct announcer *an, const struct config_report *report);
void findings_fini(struct announcer *an);

/* apply.c: make a decision fact. svc is NULL when the service is gone. */
void apply_decision(struct announcer *an, const char *key, const struct service *svc,
		    const struct announce_decision *d);
void apply_gone(struct announcer *an, const char *key);

/* apply.c: a warning on the service, if it is still there. */
void service_warn(struct announcer *an, const char *key, const char *reason, const char *text);
/* apply.c: a station claims an address that services announce here. */
void conflict_tell(struct announcer *an, const struct responder_claim *claim);

/* linger.c: answer on for a service that another node has won, until that node is heard. */
struct linger *linger_new(struct announcer *an);
struct linger *linger_free(struct linger *l);
void linger_start(struct linger *l, const char *service, const struct record *r);
void linger_cancel(struct linger *l, const char *service); /* announced again, or withdrawn */
bool linger_is_idle(const struct linger *l);               /* nothing is being given up */
bool linger_has_ip(const struct linger *l, const struct ip *ip);
void linger_claimed(struct linger *l, const struct responder_claim *claim);

/* firstuse.c: is an address in use by another station before it is announced for the first time. */
struct firstuse *firstuse_new(struct announcer *an);
struct firstuse *firstuse_free(struct firstuse *f);
/* Leave out of a decision what must not be announced, or not yet. */
void firstuse_judge(struct firstuse *f, const char *service, struct arena *a,
		    struct announce_decision *d);
void firstuse_forget(struct firstuse *f, const char *service); /* it is gone */
/* Claims of the cluster's nodes do not count. */
void firstuse_set_nodes(struct firstuse *f, const struct node *const *nodes, size_t n);
void firstuse_probed(struct firstuse *f, const struct responder_probe *p);
/* A status object of the service was seen, or is gone. */
void firstuse_status(struct firstuse *f, const char *service, bool gone);

/* rivals.c: another station claims an address; what a speaker that was asked said; does this node
 * announce it, and means to go on; others may have taken over while this process did not run. */
void rivals_claimed(struct announcer *an, const struct responder_claim *claim);
void rivals_answered(struct announcer *an, const char *node, const struct ip *ip, bool announces);
bool rivals_announces(const struct announcer *an, const struct ip *ip);
void rivals_paused(struct announcer *an);

/* uplink.c: do the gateways of this node answer. NULL is fine but for uplink_changed(). */
struct uplink *uplink_new(struct announcer *an);
struct uplink *uplink_free(struct uplink *u);
void uplink_look(struct uplink *u); /* interfaces have changed */
void uplink_changed(struct uplink *u);
/* Why this node hands addresses over; NULL: it has no reason to. */
const char *uplink_why(const struct uplink *u);

/* apply.c: the Services that share an address have no candidate in common. */
void group_split_tell(struct announcer *an, const struct service *svc);

/* sessions.c */
struct sessions *sessions_new(struct announcer *an);
struct sessions *sessions_free(struct sessions *s);
void sessions_set_config(struct sessions *s); /* after a->cfg or the node's labels changed */
void sessions_touch_routes(struct sessions *s);
enum sessions_mode {
	SESSIONS_ANNOUNCE,
	SESSIONS_WITHDRAW, /* no routes: drained, the sessions stay up */
	SESSIONS_END,      /* drained and ended */
};
/* Takes effect at once, before any change of the routes that belongs to it. */
void sessions_set_mode(struct sessions *s, enum sessions_mode mode);
/* Routes are on their way out. */
bool sessions_is_draining(const struct sessions *s);
/* Tell the sessions what changed. */
void sessions_flush(struct sessions *s);
/* Each session that should be up is, and its router has all of our routes. */
bool sessions_are_settled(const struct sessions *s);
void sessions_sync_metrics(const struct sessions *s);
/* NULL when there is none. */
const struct bgp *sessions_bgp(const struct sessions *s);
const struct bfd *sessions_bfd(const struct sessions *s);
/* Names of the peers that get a route of the record here, sorted. In `a`. */
struct strs sessions_peers_of(const struct sessions *s, const struct record *r, struct arena *a);

/* The interfaces or addresses of this node changed. */
void sessions_links_changed(struct sessions *s);
/* An event on the BGPPeer. */
void peer_event_send(const struct announcer *an, const char *peer, bool normal, const char *reason,
		     const char *text);

/* paths.c */
struct paths *paths_new(struct announcer *an, struct bgp *bgp);
struct paths *paths_free(struct paths *p);
/* The peers that run here; kept by reference until the next call. */
void paths_set_peers(struct paths *p, const struct config_peer *const *peers, size_t n);
void paths_update(struct paths *p); /* a peer was found, or has gone */
void paths_links_changed(struct paths *p);
void paths_sync_metrics(const struct paths *p);
const struct bfd *paths_bfd(const struct paths *p);

/* status.c */
struct status_writer *status_writer_new(struct announcer *an);
struct status_writer *status_writer_free(struct status_writer *w);
/* Some node announces, or announced, the service in layer 2; own_too: this one counts. */
bool status_shows_l2(const struct status_writer *w, const char *service, bool own_too);
/* The nodes that the service's layer 2 objects name. In `a`, until the next change of one. */
struct strs status_l2_nodes(const struct status_writer *w, const char *service, struct arena *a);
/* The record of a service changed; a status object changed. */
void status_touch(struct status_writer *w, const char *service);
/* The sessions are drained. */
void status_drained(struct status_writer *w);
void status_changed(struct status_writer *w, enum watch_kind kind,
		    const struct service_status *before, const struct service_status *after);

/* speaker_metrics.c */
void speaker_metrics_init(void);
void metric_announced_set(const char *service, const char *protocol, const char *node,
			  const struct ip *ip, bool on);
void metric_update_count(void);
void metric_error_count(void);
void metric_config_set(bool loaded, bool stale);
void metric_bgp_sync(const struct bgp *bgp); /* NULL: no sessions */
void metric_bfd_sync(const struct bfd *bfd);
void metric_failover(const char *stage, usec_t took);
void metric_conflict_count(const struct ip *ip);
void metric_refused_set(const struct ip *ip, bool on);
void speaker_metrics_sync(const struct responder *r, struct l2_io *l2, const struct links *links);

#endif
