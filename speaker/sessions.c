/*
 * BGP as the reconciler sees it: which of the configured peers have a session on this node.
 */
#include <string.h>

#include "metallb/xalloc.h"
#include "speaker/announcer_impl.h"

struct sessions {
	struct announcer *an;
	const struct config_peer **peers; /* that run here, in the order of their names */
	size_t n_peers;
};

struct sessions *sessions_new(struct announcer *an)
{
	struct sessions *s = xcalloc(1, sizeof(*s));

	s->an = an;
	return s;
}

struct sessions *sessions_free(struct sessions *s)
{
	if (!s)
		return NULL;
	free(s->peers);
	free(s);
	return NULL;
}

void sessions_set_config(struct sessions *s)
{
	const struct config *cfg = s->an->cfg;
	const struct node *me = gather_node(s->an->watches, s->an->opt->node_name);

	s->peers = xreallocarray(s->peers, cfg->n_peers + 1, sizeof(struct config_peer *));
	s->n_peers = 0;
	for (size_t i = 0; i < cfg->n_peers; i++)
		if (announce_peer_runs(&cfg->peers[i], me ? &me->obj.meta.labels : NULL))
			s->peers[s->n_peers++] = &cfg->peers[i];
}

struct strs sessions_peers_of(const struct sessions *s, const struct record *r, struct arena *a)
{
	const char **names = arena_calloc(a, s->n_peers, sizeof(*names));
	size_t n = 0;

	for (size_t i = 0; i < s->n_peers; i++) {
		for (size_t j = 0; j < r->d.bgp.n_routes; j++) {
			if (!announce_route_is_for(&r->d.bgp.routes[j], s->peers[i]->name))
				continue;
			names[n++] = s->peers[i]->name;
			break;
		}
	}
	return (struct strs){names, n};
}
