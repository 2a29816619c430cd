/*
 * Any bytes as a netlink datagram: the walk ends, and the table of links stays within its bounds.
 */
#include <stdlib.h>
#include <string.h>

#include "speaker/links.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct links *links = links_new(NULL, NULL);
	struct responder_link link;
	struct nl_event e;
	const char *reason;
	size_t left = len;

	links_dump_begin(links);
	while (netlink_parse(&data, &left, &e, &reason)) {
		if (left >= len)
			abort();
		len = left;
		links_apply(links, &e);
	}
	for (size_t pos = 0; links_usable_next(links, &pos, &link);)
		if (link.ifindex == 0 || strnlen(link.name, LINK_NAME_MAX) == LINK_NAME_MAX ||
		    !(link.arp || link.ndp))
			abort();
	links_dump_end(links);
	links_free(links);
	return 0;
}
