/*
 * BFD for the BGP peers that name a profile: which paths are watched, and what follows when one
 * goes down or comes up (RFC 5882 section 4, RFC 9384). Two peers over one path share its session,
 * with the profile of the first. A router that never speaks BFD loses nothing by it.
 */
#include <net/if.h>
#include <string.h>

#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "speaker/announcer_impl.h"
#include "speaker/bfd/bfd.h"
#include "speaker/bgp/bgp.h"

/* A peer and the path to it. */
struct watched {
	const char *peer; /* of the configuration */
	struct bfd_path path;
};

struct paths {
	struct announcer *an;
	struct bgp *bgp;
	struct bfd *bfd;
	const struct config_peer *const *peers;
	size_t n_peers;
	struct watched *watched;
	size_t n_watched;
};

static const char *remote_text(const struct bfd_path *path, char buf[IP_STR_MAX])
{
	return ip_format(&path->remote, buf);
}

static void went_down(struct paths *p, const char *peer, const struct bfd_event *ev)
{
	const char *reason = bfd_reason_format(ev->reason), *diag = bfd_diag_format(ev->diag);
	char address[IP_STR_MAX];
	_cleanup_free_ char *text = xasprintf("BFD session with %s down: %s (diagnostic: %s)",
					      remote_text(&ev->path, address), reason, diag);

	log_error("BFD session down", "event", "bfdDown", "peer", peer, "address", address,
		  "reason", reason, "diagnostic", diag, NULL);
	peer_event_send(p->an, peer, false, "bfdDown", text);
	bgp_bfd_down(p->bgp, peer);
}

static void came_up(struct paths *p, const char *peer, const struct bfd_event *ev)
{
	char address[IP_STR_MAX];
	_cleanup_free_ char *text =
		xasprintf("BFD session with %s up", remote_text(&ev->path, address));

	log_info("BFD session up", "event", "bfdUp", "peer", peer, "address", address, NULL);
	peer_event_send(p->an, peer, true, "bfdUp", text);
	bgp_bfd_up(p->bgp, peer);
}

static void on_event(void *user, const struct bfd_event *ev)
{
	struct paths *p = user;

	for (size_t i = 0; i < p->n_watched; i++) {
		const char *peer = p->watched[i].peer;

		if (!bfd_path_eq(&p->watched[i].path, &ev->path))
			continue;
		if (ev->up)
			came_up(p, peer, ev);
		else if (ev->reason != BFD_REASON_NEIGHBOR_ADMIN_DOWN)
			went_down(p, peer, ev);
		else /* no failure: RFC 5882 section 3.2 */
			log_info("BFD was taken away by the peer", "event", "bfdDown", "peer", peer,
				 NULL);
	}
}

struct paths *paths_new(struct announcer *an, struct bgp *bgp)
{
	struct paths *p = xcalloc(1, sizeof(*p));

	p->an = an;
	p->bgp = bgp;
	p->bfd = bfd_new(an->loop, on_event, p);
	return p;
}

struct paths *paths_free(struct paths *p)
{
	if (!p)
		return NULL;
	bfd_free(p->bfd);
	free(p->watched);
	free(p);
	return NULL;
}

/* The session that a peer asks for; false: none, or its end is not known yet. */
static bool session_build(const struct paths *p, const struct config_peer *peer,
			  struct bfd_session_config *out)
{
	const struct config_bfd *profile = config_find_bfd(p->an->cfg, peer->bfd_profile);
	unsigned ifindex = *peer->interface ? if_nametoindex(peer->interface) : 0;
	struct bgp_peer_status st;

	if (!profile || (*peer->interface && ifindex == 0) ||
	    !bgp_peer_status(p->bgp, peer->name, &st) || st.address.family == IP_NONE)
		return false;
	struct bfd_where where = {
		.remote = st.address,
		.ifindex = ifindex,
		.connected = bfd_is_connected(&st.address),
		.forwards = bfd_is_forwarding(st.address.family),
	};

	bfd_session_config_build(peer, profile, &where, out);
	return true;
}

void paths_update(struct paths *p)
{
	_cleanup_free_ struct bfd_session_config *cfgs = xcalloc(p->n_peers + 1, sizeof(*cfgs));
	size_t n = 0;

	p->watched = xreallocarray(p->watched, p->n_peers + 1, sizeof(*p->watched));
	for (size_t i = 0; i < p->n_peers; i++) {
		const struct config_peer *peer = p->peers[i];

		if (!*peer->bfd_profile || !session_build(p, peer, &cfgs[n]))
			continue;
		p->watched[n] = (struct watched){.peer = peer->name, .path = cfgs[n].path};
		n++;
	}
	p->n_watched = n;
	bfd_set_sessions(p->bfd, cfgs, n);
}

void paths_set_peers(struct paths *p, const struct config_peer *const *peers, size_t n)
{
	p->peers = peers;
	p->n_peers = n;
	paths_update(p);
}

void paths_links_changed(struct paths *p)
{
	bfd_links_changed(p->bfd);
	paths_update(p);
}

void paths_sync_metrics(const struct paths *p)
{
	metric_bfd_sync(p->bfd);
}

const struct bfd *paths_bfd(const struct paths *p)
{
	return p->bfd;
}
