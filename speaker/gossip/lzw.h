/*
 * LZW as memberlist uses it (compress message, algorithm 0): codes packed least significant bit
 * first, 8-bit literals, at most 12-bit codes, 256 clears the table, 257 ends. Pure.
 */
#ifndef GOSSIP_LZW_H
#define GOSSIP_LZW_H

#include <stdbool.h>
#include <stddef.h>

#include "metallb/buf.h"

/* Append the compressed form of data to out. */
void lzw_compress(const void *data, size_t len, struct buf *out);

/*
 * Append the plain form to out. NULL when good, else the reason: truncated, a code that is not in
 * the table, or more than `max` bytes (a bomb).
 */
const char *lzw_decompress(const void *data, size_t len, size_t max, struct buf *out);

#endif
