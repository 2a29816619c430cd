/*
 * Socket filters (classic BPF): what of an interface's traffic wakes us.
 */
#ifndef METALLB_LAYER2_FILTER_H
#define METALLB_LAYER2_FILTER_H

/* 0 or -errno; on a packet socket that is not bound yet. */
int filter_attach_arp(int fd);
int filter_attach_ndp(int fd);

#endif
