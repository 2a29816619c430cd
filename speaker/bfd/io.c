/*
 * BFD on the event loop: the calls of bfd.h and one timer for all sessions. Part of the shell.
 */
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "metallb/xalloc.h"
#include "speaker/bfd/io.h"

#define RETRY 1.0 /* s, while a socket cannot be opened */

static struct bfd_net *net_find(const struct bfd *b, const char *vrf)
{
	struct list *pos;

	list_for_each (pos, &b->nets) {
		struct bfd_net *n = container_of(pos, struct bfd_net, link);

		if (strcmp(n->vrf, vrf) == 0)
			return n;
	}
	return NULL;
}

/* ---- out ---- */

static void packet_send(struct bfd *b, const struct bfd_send *out, usec_t now)
{
	const struct bfd_net *net = net_find(b, out->path->vrf);
	int r = out->echo ? bfd_echo_send(b, out) : net ? bfd_net_send(net, out) : -ENODEV;
	char to[IP_STR_MAX];
	unsigned held;

	if (r < 0 && log_limit_ok(&b->send_log, now, 10 * USEC_PER_SEC, 3, &held))
		log_debug("bfd: cannot send", "peer", ip_format(&out->path->remote, to), "error",
			  strerror(-r), "suppressed", log_int(held), NULL);
}

static void timer_arm(struct bfd *b)
{
	usec_t due = b->engine.n_events ? 0 : bfd_engine_deadline(&b->engine), now = clock_now();

	ev_timer_stop(b->loop, &b->timer);
	if (due == USEC_NEVER)
		return;
	/* the loop's idea of now may be older than ours */
	ev_now_update(b->loop);
	ev_timer_set(&b->timer, due > now ? (double)(due - now) / 1e6 : 0., 0.);
	ev_timer_start(b->loop, &b->timer);
}

void bfd_io_settle(struct bfd *b)
{
	usec_t now = clock_now();
	struct bfd_send out;

	while (bfd_engine_output(&b->engine, now, &out))
		packet_send(b, &out, now);
	timer_arm(b);
}

/* ---- sockets ---- */

/* One packet socket for each family in which any session sends echoes. */
static bool echo_update(struct bfd *b, enum ip_family family)
{
	bool wanted = false;

	for (size_t i = 0; i < b->engine.n_wanted && !wanted; i++)
		wanted = b->engine.wanted[i]->cfg.params.echo != 0 &&
			 b->engine.wanted[i]->cfg.path.remote.family == family;
	if (!wanted)
		bfd_echo_close(b, family);
	return !wanted || bfd_echo_open(b, family) == 0;
}

static void nets_open(struct bfd *b)
{
	struct list *pos;
	bool complete = true;

	list_for_each (pos, &b->nets)
		if (!bfd_net_open(container_of(pos, struct bfd_net, link)))
			complete = false;
	complete &= echo_update(b, IP_V4);
	complete &= echo_update(b, IP_V6);
	if (!complete && !ev_is_active(&b->retry)) {
		ev_timer_set(&b->retry, RETRY, 0.);
		ev_timer_start(b->loop, &b->retry);
	}
}

static void on_retry(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)revents;
	nets_open(container_of(w, struct bfd, retry));
}

static void net_use(struct bfd *b, const char *vrf)
{
	struct bfd_net *n = net_find(b, vrf);

	if (!n)
		n = bfd_net_new(b, vrf);
	n->used = true;
}

/* A set of sockets for each VRF that has a session, one that is ending, too. */
static void nets_update(struct bfd *b)
{
	struct list *pos, *tmp;

	list_for_each (pos, &b->nets)
		container_of(pos, struct bfd_net, link)->used = false;
	for (size_t i = 0; i < b->engine.n_wanted; i++)
		net_use(b, b->engine.wanted[i]->cfg.path.vrf);
	for (size_t i = 0; i < b->engine.n_leaving; i++)
		net_use(b, b->engine.leaving[i]->cfg.path.vrf);
	list_for_each_safe (pos, tmp, &b->nets) {
		struct bfd_net *n = container_of(pos, struct bfd_net, link);

		if (!n->used)
			bfd_net_free(n);
	}
	nets_open(b);
}

void bfd_links_changed(struct bfd *b)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &b->nets) {
		struct bfd_net *n = container_of(pos, struct bfd_net, link);

		if (bfd_net_is_stale(n))
			bfd_net_free(n);
	}
	nets_update(b);
}

static bool is_in_subnet(const struct ifaddrs *i, const struct ip *ip)
{
	struct ip ours, mask;

	if (!i->ifa_addr || !i->ifa_netmask)
		return false;
	if (i->ifa_addr->sa_family == AF_INET) {
		ours = ip_from_v4(&((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr);
		mask = ip_from_v4(&((struct sockaddr_in *)(void *)i->ifa_netmask)->sin_addr);
	} else if (i->ifa_addr->sa_family == AF_INET6) {
		ours = ip_from_v6(&((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_addr);
		mask = ip_from_v6(&((struct sockaddr_in6 *)(void *)i->ifa_netmask)->sin6_addr);
	} else {
		return false;
	}
	if (ours.family != ip->family)
		return false;
	for (size_t k = 0; k < sizeof(ip->b); k++)
		if ((ours.b[k] ^ ip->b[k]) & mask.b[k])
			return false;
	return true;
}

bool bfd_is_connected(const struct ip *ip)
{
	struct ifaddrs *list;
	bool found = false;

	if (getifaddrs(&list) < 0)
		return false;
	for (const struct ifaddrs *i = list; i && !found; i = i->ifa_next)
		found = is_in_subnet(i, ip);
	freeifaddrs(list);
	return found;
}

/* ---- time ---- */

/* A callback may call anything in bfd.h, so the queue is taken away first. */
static void deliver(struct bfd *b)
{
	struct bfd_event *events = b->engine.events;
	size_t n = b->engine.n_events;

	b->engine.events = NULL;
	b->engine.n_events = b->engine.cap_events = 0;
	for (size_t i = 0; i < n; i++)
		b->on_event(b->user, &events[i]);
	free(events);
}

/* What came in while the loop was busy counts before any deadline that passed meanwhile. */
static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct bfd *b = container_of(w, struct bfd, timer);
	size_t n_leaving = b->engine.n_leaving;
	struct list *pos;
	usec_t now = clock_now();

	(void)loop;
	(void)revents;
	list_for_each (pos, &b->nets)
		bfd_net_read(container_of(pos, struct bfd_net, link), now);
	bfd_echo_read(b, now);
	bfd_engine_tick(&b->engine, now);
	bfd_io_settle(b);
	deliver(b);
	bfd_io_settle(b);
	if (n_leaving > 0 && b->engine.n_leaving == 0)
		nets_update(b);
}

bool bfd_is_forwarding(enum ip_family family)
{
	FILE *f = fopen(family == IP_V6 ? "/proc/sys/net/ipv6/conf/all/forwarding"
					: "/proc/sys/net/ipv4/ip_forward",
			"re");
	bool yes = f && fgetc(f) == '1';

	if (f)
		fclose(f);
	return yes;
}

/* ---- from above ---- */

struct bfd *bfd_new(struct ev_loop *loop, bfd_event_fn *on_event, void *user)
{
	struct bfd *b = xcalloc(1, sizeof(*b));

	b->loop = loop;
	b->on_event = on_event;
	b->user = user;
	b->echo[0].fd = b->echo[1].fd = -1;
	list_init(&b->nets);
	bfd_engine_init(&b->engine, &random_system);
	ev_timer_init(&b->timer, on_timer, 0., 0.);
	ev_set_priority(&b->timer, EV_MAXPRI); /* lateness here is a false alarm at the peer */
	ev_timer_init(&b->retry, on_retry, 0., 0.);
	return b;
}

struct bfd *bfd_free(struct bfd *b)
{
	struct list *pos, *tmp;

	if (!b)
		return NULL;
	bfd_engine_set(&b->engine, NULL, 0, clock_now());
	bfd_io_settle(b);
	ev_timer_stop(b->loop, &b->timer);
	ev_timer_stop(b->loop, &b->retry);
	list_for_each_safe (pos, tmp, &b->nets)
		bfd_net_free(container_of(pos, struct bfd_net, link));
	bfd_echo_close(b, IP_V4);
	bfd_echo_close(b, IP_V6);
	bfd_engine_fini(&b->engine);
	free(b);
	return NULL;
}

void bfd_set_sessions(struct bfd *b, const struct bfd_session_config *cfgs, size_t n)
{
	bfd_engine_set(&b->engine, cfgs, n, clock_now());
	nets_update(b);
	bfd_io_settle(b);
}

size_t bfd_session_count(const struct bfd *b)
{
	return b->engine.n_wanted;
}

void bfd_session_status_at(const struct bfd *b, size_t i, struct bfd_session_status *out)
{
	const struct bfd_entry *s = b->engine.wanted[i];

	*out = (struct bfd_session_status){
		.path = &s->cfg.path,
		.state = s->session.state,
		.remote_state = s->session.remote_state,
		.since = s->since,
		.last_diag = s->last_diag,
		.detection_time = bfd_session_detection_time(&s->session),
		.tx_interval = bfd_session_tx_interval(&s->session),
		.counters = s->counters,
	};
}

const char *bfd_drops_at(const struct bfd *b, size_t i, uint64_t *n)
{
	*n = i < BFD_DROPS_MAX ? b->engine.drops[i].n : 0;
	return i < BFD_DROPS_MAX ? b->engine.drops[i].reason : NULL;
}
