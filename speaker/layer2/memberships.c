/*
 * A socket can only hold so many memberships (its option memory is bounded by a sysctl), so they
 * are spread over as many sockets as needed.
 */
#include "speaker/layer2/memberships.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "metallb/table.h"
#include "metallb/xalloc.h"

#define PER_SOCKET  100u
#define SOCKETS_MAX 1024u

struct holder {
	int fd;
	unsigned n;
};

struct member {
	struct ipv6_mreq req;
	struct holder *holder;
};

struct memberships {
	struct table members; /* struct ipv6_mreq -> struct member */
	struct holder *holders[SOCKETS_MAX];
	size_t n_holders;
};

struct memberships *memberships_new(void)
{
	struct memberships *m = xcalloc(1, sizeof(*m));

	table_init(&m->members);
	return m;
}

struct memberships *memberships_free(struct memberships *m)
{
	if (!m)
		return NULL;
	for (size_t i = 0; i < m->n_holders; i++) {
		close(m->holders[i]->fd);
		free(m->holders[i]);
	}
	table_for_each (&m->members, e)
		free(e->value);
	table_fini(&m->members);
	free(m);
	return NULL;
}

static int holder_get(struct memberships *m, struct holder **out)
{
	for (size_t i = 0; i < m->n_holders; i++) {
		if (m->holders[i]->n < PER_SOCKET) {
			*out = m->holders[i];
			return 0;
		}
	}
	if (m->n_holders == SOCKETS_MAX)
		return -ENOBUFS;
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	struct holder *h = xcalloc(1, sizeof(*h));

	h->fd = fd;
	m->holders[m->n_holders++] = h;
	*out = h;
	return 0;
}

static struct ipv6_mreq request_of(unsigned ifindex, const struct ip *group)
{
	struct ipv6_mreq req = {.ipv6mr_interface = ifindex};

	memcpy(&req.ipv6mr_multiaddr, group->b, sizeof(req.ipv6mr_multiaddr));
	return req;
}

int memberships_join(struct memberships *m, unsigned ifindex, const struct ip *group)
{
	struct ipv6_mreq req = request_of(ifindex, group);
	struct holder *h = NULL;
	int r;

	if (table_find_n(&m->members, &req, sizeof(req)))
		return 0;
	r = holder_get(m, &h);
	if (r < 0)
		return r;
	assert(h);
	if (setsockopt(h->fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &req, sizeof(req)) < 0)
		return -errno;
	struct member *member = xcalloc(1, sizeof(*member));

	*member = (struct member){req, h};
	h->n++;
	table_set_n(&m->members, &req, sizeof(req), member);
	return 0;
}

void memberships_leave(struct memberships *m, unsigned ifindex, const struct ip *group)
{
	struct ipv6_mreq req = request_of(ifindex, group);
	struct member *member = table_del_n(&m->members, &req, sizeof(req));

	if (!member)
		return;
	/* Where the interface is gone, so is the membership, but the socket's record is not. */
	setsockopt(member->holder->fd, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &req, sizeof(req));
	member->holder->n--;
	free(member);
}
