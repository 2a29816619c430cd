/*
 * Both filters let through only frames of the interface itself: none sent by this host, none for
 * another station, and none of a VLAN (where a VLAN has no interface of its own the kernel hands
 * its frames to the parent's sockets with the tag taken off; an answer would go out untagged).
 * For NDP the ICMPv6 type must be a solicitation or an advertisement, right behind the IPv6 header.
 */
#include "speaker/layer2/filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include "metallb/xalloc.h"
#include "speaker/layer2/ndp.h"

enum { ETH_HEADER = 14, NEXT_HEADER = ETH_HEADER + 6, ICMP6_TYPE = ETH_HEADER + 40, ICMP6 = 58 };

#define AD(x) ((unsigned)SKF_AD_OFF + (x))

#define OWN_FRAMES_ONLY                                                                            \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, AD(SKF_AD_PKTTYPE)),                                    \
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, PACKET_OTHERHOST, 0, 1),                       \
		BPF_STMT(BPF_RET | BPF_K, 0),                                                      \
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, AD(SKF_AD_VLAN_TAG)),                           \
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xfff),                                        \
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0), BPF_STMT(BPF_RET | BPF_K, 0)

#define ACCEPT BPF_STMT(BPF_RET | BPF_K, 0xffff)
#define DROP   BPF_STMT(BPF_RET | BPF_K, 0)

static int filter_attach(int fd, const struct sock_filter *code, size_t n)
{
	struct sock_fprog prog = {.len = (unsigned short)n, .filter = (struct sock_filter *)code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0 ? -errno : 0;
}

int filter_attach_arp(int fd)
{
	static const struct sock_filter code[] = {OWN_FRAMES_ONLY, ACCEPT};

	return filter_attach(fd, code, ARRAY_SIZE(code));
}

int filter_attach_ndp(int fd)
{
	static const struct sock_filter code[] = {
		OWN_FRAMES_ONLY,
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, NEXT_HEADER),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ICMP6, 0, 3),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, ICMP6_TYPE),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NDP_SOLICIT, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NDP_ADVERTISE, 1, 0),
		DROP,
		ACCEPT,
	};

	return filter_attach(fd, code, ARRAY_SIZE(code));
}
