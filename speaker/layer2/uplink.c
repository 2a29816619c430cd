/*
 * Gateways and what they owe. See uplink.h.
 */
#include "speaker/layer2/uplink.h"

#include "metallb/xalloc.h"
#include "speaker/layer2/question.h"

#define ALONE_MAX 2 /* questions to the known station; then it may be another one (VRRP) */

struct gateway {
	struct responder_gateway cfg;
	usec_t next_at;
	bool works, alive; /* it has answered; it does */
	struct mac mac;    /* of one that works */
	unsigned asked;    /* since its last answer */
	unsigned returned; /* answers in a row of one that was dead */
};

struct uplinks {
	usec_t interval;
	const struct random_source *random;
	struct gateway *gateways;
	size_t n;
	bool changed;
};

struct uplinks *uplinks_new(usec_t timeout, const struct random_source *random)
{
	struct uplinks *u = xcalloc(1, sizeof(*u));

	u->interval = timeout / UPLINK_MISSES;
	u->random = random;
	return u;
}

struct uplinks *uplinks_free(struct uplinks *u)
{
	if (!u)
		return NULL;
	free(u->gateways);
	free(u);
	return NULL;
}

static struct gateway *gateway_find(const struct uplinks *u, unsigned ifindex, const struct ip *ip)
{
	for (size_t i = 0; i < u->n; i++)
		if (u->gateways[i].cfg.ifindex == ifindex && ip_eq(&u->gateways[i].cfg.ip, ip))
			return &u->gateways[i];
	return NULL;
}

void uplinks_set(struct uplinks *u, const struct responder_gateway *gateways, size_t n, usec_t now)
{
	struct gateway *fresh = xcalloc(n + 1, sizeof(*fresh));
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		const struct gateway *old = gateway_find(u, gateways[i].ifindex, &gateways[i].ip);

		fresh[i] = old ? *old : (struct gateway){.next_at = now, .alive = true};
		fresh[i].cfg = gateways[i];
		kept += old != NULL;
	}
	u->changed |= kept < u->n;
	free(u->gateways);
	u->gateways = fresh;
	u->n = n;
}

void uplinks_heard(struct uplinks *u, const struct ip *ip, const struct mac *mac, unsigned ifindex)
{
	struct gateway *g = u->n > 0 ? gateway_find(u, ifindex, ip) : NULL;

	if (!g || g->asked == 0) /* or once for each question only */
		return;
	u->changed |= !g->works;
	g->asked = 0;
	g->works = true;
	g->mac = *mac;
	if (g->alive || ++g->returned < UPLINK_RETURN)
		return;
	g->alive = u->changed = true;
}

/* It is to be asked again: what came of the last questions. */
static void gateway_judge(struct uplinks *u, struct gateway *g)
{
	if (g->asked > 0)
		g->returned = 0;
	if (!g->works || !g->alive || g->asked < UPLINK_MISSES)
		return;
	g->alive = false;
	u->changed = true;
}

bool uplinks_output(struct uplinks *u, const struct responder_link *links, size_t n_links,
		    usec_t now, struct l2_frame *out)
{
	for (size_t i = 0; i < u->n; i++) {
		struct gateway *g = &u->gateways[i];
		const struct responder_link *link;

		if (g->next_at > now)
			continue;
		gateway_judge(u, g);
		g->next_at = now + u->interval -
			     (usec_t)random_below(u->random, (uint32_t)(u->interval / 4) + 1);
		link = question_link(links, n_links, g->cfg.ifindex, &g->cfg.ip);
		if (!link)
			continue;
		g->asked += g->asked < UPLINK_MISSES;
		question_fill(link,
			      ip_is_link_local(&g->cfg.ip) && g->cfg.ip.family == IP_V6
				      ? &link->link_local
				      : &g->cfg.from,
			      &g->cfg.ip, g->works && g->asked <= ALONE_MAX ? &g->mac : NULL, out);
		return true;
	}
	return false;
}

usec_t uplinks_deadline(const struct uplinks *u)
{
	usec_t due = u->changed ? 0 : USEC_NEVER;

	for (size_t i = 0; i < u->n; i++)
		due = u->gateways[i].next_at < due ? u->gateways[i].next_at : due;
	return due;
}

enum responder_uplink uplinks_state(const struct uplinks *u, unsigned ifindex)
{
	enum responder_uplink state = RESPONDER_UPLINK_UNKNOWN;

	for (size_t i = 0; i < u->n; i++) {
		const struct gateway *g = &u->gateways[i];

		if (g->cfg.ifindex != ifindex || !g->works)
			continue;
		if (g->alive)
			return RESPONDER_UPLINK_ALIVE;
		state = RESPONDER_UPLINK_DEAD;
	}
	return state;
}

bool uplinks_take_change(struct uplinks *u)
{
	bool changed = u->changed;

	u->changed = false;
	return changed;
}
