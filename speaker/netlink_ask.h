/*
 * One question to the kernel by route netlink, answered at once. Blocks for a second at most.
 */
#ifndef METALLB_SPEAKER_NETLINK_ASK_H
#define METALLB_SPEAKER_NETLINK_ASK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define NETLINK_ASK_MAX 4096

/* buf holds a complete request, NETLINK_ASK_MAX bytes large; then the answer. Its length, -errno.
 */
ssize_t netlink_ask(uint8_t buf[NETLINK_ASK_MAX]);

#endif
