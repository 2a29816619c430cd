/*
 * Datagrams between speakers: any bytes are refused or decode to something that encodes to the
 * same; an engine that is fed with what decodes, as if a member had sent it, asks for no past and
 * sends no more than a few datagrams for each. The first octet is a delay in 10 ms.
 */
#include <stdlib.h>
#include <string.h>

#include "speaker/liveness/liveness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fill(void *user, void *buf, size_t n)
{
	(void)user;
	memset(buf, 0x55, n);
}

static const struct random_source rnd = {fill, NULL};

static bool yes(void *user, const struct ip *ip)
{
	(void)user;
	return ip->family != IP_NONE;
}

static int outputs_take(struct liveness *l)
{
	struct liveness_output o;
	int n = 0;

	while (liveness_next_output(l, &o)) {
		n += o.type == LIVENESS_OUT_PACKET;
		buf_fini(&o.data);
	}
	return n;
}

static void feed(struct liveness *l, struct liveness_message *m, const struct gsp_keyring *ring,
		 usec_t now)
{
	struct buf sealed = {0};

	strcpy(m->from, "a");
	strcpy(m->to, "b");
	if (!liveness_encode(m, ring, &rnd, &sealed))
		abort();
	liveness_recv(l, sealed.data, sealed.len, now);
	if (outputs_take(l) > 40) /* three rounds of pokes, answers, questions, heartbeats */
		abort();
	buf_fini(&sealed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct liveness_config cfg = {
		.name = "b", .interval = 100000, .timeout = 600000, .announces = yes};
	struct liveness_member member = {"a", {IP_V4, {10, 0, 0, 1}}, true};
	struct liveness_message m, again;
	usec_t now = USEC_PER_SEC;
	struct buf sealed = {0};

	if (len == 0 || gsp_keyring_add(&cfg.keyring, "0123456789abcdef", 16))
		return 0;
	struct liveness *l = liveness_new(&cfg, &rnd, now);

	liveness_set_members(l, &member, 1, now);
	liveness_recv(l, data, len, now); /* no key: refused */
	now += data[0] * 10 * USEC_PER_MSEC;
	if (!liveness_decode_plain(data + 1, len - 1, &m)) {
		if (!liveness_encode(&m, &cfg.keyring, &rnd, &sealed) ||
		    liveness_decode(sealed.data, sealed.len, &cfg.keyring, &again) ||
		    memcmp(&m, &again, sizeof(m)) != 0)
			abort();
		for (int i = 0; i < 3; i++, now += 300 * USEC_PER_MSEC) {
			feed(l, &m, &cfg.keyring, now);
			m.counter++;
			liveness_tick(l, now);
			outputs_take(l);
			if (liveness_deadline(l) < now)
				abort();
		}
	}
	buf_fini(&sealed);
	liveness_free(l);
	return 0;
}
