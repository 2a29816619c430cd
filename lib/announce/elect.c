/*
 * The election: which of several nodes answers for an address in layer 2. Stateless and the same on
 * every node, byte for byte what MetalLB computes.
 */
#include "metallb/announce.h"

#include <openssl/sha.h>
#include <string.h>

#include "metallb/xalloc.h"

static void hash_text(struct buf *scratch, const char *node, const char *ip,
		      uint8_t out[ANNOUNCE_HASH_SIZE])
{
	buf_clear(scratch);
	buf_add_str(scratch, node);
	buf_add_char(scratch, '#');
	buf_add_str(scratch, ip);
	SHA256((const uint8_t *)scratch->data, scratch->len, out);
}

void announce_elect_hash(const char *node, const struct ip *ip, uint8_t out[ANNOUNCE_HASH_SIZE])
{
	struct buf scratch = {0};
	char text[IP_STR_MAX];

	hash_text(&scratch, node, ip_format(ip, text), out);
	buf_fini(&scratch);
}

static int candidate_cmp(const void *pa, const void *pb)
{
	const struct announce_candidate *a = pa, *b = pb;

	if (a->score != b->score)
		return a->score > b->score ? -1 : 1;
	return memcmp(a->hash, b->hash, sizeof(a->hash));
}

void announce_elect_rank(struct announce_candidate *candidates, size_t n, const struct ip *ip)
{
	struct buf scratch = {0};
	char text[IP_STR_MAX];

	ip_format(ip, text);
	for (size_t i = 0; i < n; i++)
		hash_text(&scratch, candidates[i].node, text, candidates[i].hash);
	buf_fini(&scratch);
	if (n > 1)
		qsort(candidates, n, sizeof(*candidates), candidate_cmp);
}

bool announce_endpoint_serves(const struct endpoint *ep)
{
	return ep->ready != TRI_FALSE || ep->serving == TRI_TRUE;
}
