/*
 * Unsolicited announcements: a burst of rounds when an address comes to this node or an interface,
 * and a single round now and then, because switches and neighbours forget. One round is, for each
 * interface, two ARP frames (a request and a reply, since hosts differ in which they believe) or
 * one neighbour advertisement to all nodes.
 */
#include <assert.h>

#include "speaker/layer2/arp.h"
#include "speaker/layer2/ndp.h"
#include "speaker/layer2/question.h"
#include "speaker/layer2/responder_impl.h"

void burst_start(struct responder *r, struct address *addr, usec_t at)
{
	addr->rounds_left = RESPONDER_ROUNDS;
	if (!addr->deadline.pos || addr->deadline.due > at)
		deadlines_set(&r->deadlines, &addr->deadline, at);
}

void burst_forget(struct responder *r, struct address *addr)
{
	deadlines_set(&r->deadlines, &addr->deadline, USEC_NEVER);
	if (r->sending == addr)
		r->sending = NULL;
}

void responder_burst_all(struct responder *r, usec_t now, usec_t spread)
{
	assert(spread >= 0 && spread <= 60 * USEC_PER_SEC);
	table_for_each (&r->addresses, e) {
		usec_t wait = spread ? random_below(r->opt.random, (uint32_t)spread) : 0;

		burst_start(r, e->value, now + wait);
	}
}

usec_t responder_deadline(const struct responder *r)
{
	const struct deadline *d = deadlines_first(&r->deadlines);
	usec_t due = probes_deadline(r->probes), uplinks = uplinks_deadline(r->uplinks);

	if (r->sending || r->n_questions > 0)
		return 0;
	due = uplinks < due ? uplinks : due;
	return d && d->due < due ? d->due : due;
}

/* A round is complete: when is the next. */
static void round_done(struct responder *r, struct address *addr, usec_t now)
{
	usec_t next = USEC_NEVER;

	if (addr->rounds_left > 0)
		addr->rounds_left--;
	if (addr->rounds_left > 0) {
		next = now + RESPONDER_INTERVAL;
	} else if (r->opt.refresh > 0) {
		uint32_t half = (uint32_t)(r->opt.refresh / 2 / USEC_PER_MSEC);

		next = now + r->opt.refresh * 3 / 4 +
		       (usec_t)random_below(r->opt.random, half + 1) * USEC_PER_MSEC;
	}
	deadlines_set(&r->deadlines, &addr->deadline, next);
	r->sending = NULL;
}

static void arp_fill(const struct responder_link *link, const struct ip *ip, uint16_t op,
		     struct l2_frame *out)
{
	static const struct mac broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
	struct arp_packet a = {
		.eth_dst = broadcast,
		.eth_src = link->mac,
		.op = op,
		.sender_mac = link->mac,
		.sender_ip = *ip,
		.target_mac = broadcast,
		.target_ip = *ip,
	};

	out->ethertype = ETHERTYPE_ARP_VALUE;
	out->len = ARP_FRAME_LEN;
	arp_encode(&a, out->data);
}

static void ndp_fill(const struct responder_link *link, const struct ip *ip, struct l2_frame *out)
{
	struct ip all = ndp_all_nodes();
	struct ndp_packet a = {
		.eth_dst = ndp_group_mac(&all),
		.eth_src = link->mac,
		.src = link->link_local,
		.dst = all,
		.type = NDP_ADVERTISE,
		.flags = NDP_FLAG_OVERRIDE,
		.target = *ip,
		.has_lla = true,
		.lla = link->mac,
	};
	size_t n;

	ndp_encode(&a, out->data, &n);
	out->ethertype = ETHERTYPE_IPV6_VALUE;
	out->len = (uint16_t)n;
}

/* The next frame of the running round; false when it is complete. */
static bool round_next(struct responder *r, struct l2_frame *out)
{
	struct address *addr = r->sending;
	bool v4 = addr->ip.family == IP_V4;

	for (; r->sending_link < r->n_links; r->sending_link++, r->sending_step = 0) {
		const struct responder_link *link = &r->links[r->sending_link];

		if (r->sending_step == (v4 ? 2 : 1) || !link_carries(link, addr->ip.family) ||
		    !address_allows(addr, link))
			continue;
		if (v4)
			arp_fill(link, &addr->ip,
				 r->sending_step == 0 ? ARP_OP_REQUEST : ARP_OP_REPLY, out);
		else
			ndp_fill(link, &addr->ip, out);
		out->ifindex = link->ifindex;
		r->sending_step++;
		addr->counts->gratuitous++;
		return true;
	}
	return false;
}

static bool question_next(struct responder *r, struct l2_frame *out)
{
	while (r->n_questions > 0) {
		const struct responder_question *q = &r->questions[--r->n_questions];
		const struct responder_link *link =
			question_link(r->links, r->n_links, q->ifindex, &q->to);

		if (!link)
			continue;
		question_fill(link, &q->from, &q->to, NULL, out);
		return true;
	}
	return false;
}

bool responder_output(struct responder *r, usec_t now, struct l2_frame *out)
{
	if (question_next(r, out) || uplinks_output(r->uplinks, r->links, r->n_links, now, out) ||
	    probes_output(r->probes, r->links, r->n_links, now, out))
		return true;
	for (;;) {
		if (!r->sending) {
			struct deadline *d = deadlines_first(&r->deadlines);

			if (!d || d->due > now)
				return false;
			r->sending = (struct address *)d; /* its first member */
			r->sending_link = 0;
			r->sending_step = 0;
		}
		if (round_next(r, out))
			return true;
		round_done(r, r->sending, now);
	}
}
