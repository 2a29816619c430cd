/*
 * LZW, least significant bit first, 8-bit literals, 12-bit codes. The exact points at which codes
 * get wider and the table is cleared follow the memberlist fact sheet, since both ends must agree
 * on them. Pure.
 */
#include "speaker/gossip/lzw.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "metallb/xalloc.h"

#define CLEAR     256u
#define END       257u
#define MAX_WIDTH 12u
#define MAX_CODE  ((1u << MAX_WIDTH) - 1)
#define NO_CODE   UINT16_MAX
#define HASH_SIZE 8192u /* twice the codes there can be, a power of two */

struct bit_writer {
	struct buf *out;
	uint32_t bits;
	unsigned n_bits;
};

static void write_code(struct bit_writer *w, uint32_t code, unsigned width)
{
	w->bits |= code << w->n_bits;
	w->n_bits += width;
	for (; w->n_bits >= 8; w->n_bits -= 8, w->bits >>= 8)
		buf_add_char(w->out, (char)(w->bits & 0xff));
}

/* The table of the compressor: (prefix code, next byte) -> code, open addressing. */
struct encoder {
	struct bit_writer w;
	unsigned width;
	uint32_t hi; /* the highest code in use */
	uint32_t keys[HASH_SIZE];
	uint16_t codes[HASH_SIZE]; /* NO_CODE: free */
};

static void encoder_reset(struct encoder *e)
{
	e->hi = END;
	e->width = 9;
	memset(e->codes, 0xff, sizeof(e->codes));
}

static size_t encoder_slot(const struct encoder *e, uint32_t key)
{
	size_t i = (key * 2654435761u) >> 19;

	while (e->codes[i] != NO_CODE && e->keys[i] != key)
		i = (i + 1) % HASH_SIZE;
	return i;
}

/* Count one more code; true when the table was full and has been cleared. */
static bool encoder_advance(struct encoder *e)
{
	e->hi++;
	if (e->hi == 1u << e->width)
		e->width++;
	if (e->hi != MAX_CODE)
		return false;
	write_code(&e->w, CLEAR, MAX_WIDTH);
	encoder_reset(e);
	return true;
}

void lzw_compress(const void *data, size_t len, struct buf *out)
{
	_cleanup_free_ struct encoder *e = xcalloc(1, sizeof(*e));
	const uint8_t *p = data;

	e->w.out = out;
	encoder_reset(e);
	write_code(&e->w, CLEAR, 9);
	if (len > 0) {
		uint32_t code = p[0];

		for (size_t i = 1; i < len; i++) {
			uint32_t key = code << 8 | p[i];
			size_t slot = encoder_slot(e, key);

			if (e->codes[slot] != NO_CODE) {
				code = e->codes[slot];
				continue;
			}
			write_code(&e->w, code, e->width);
			code = p[i];
			if (!encoder_advance(e)) {
				e->keys[slot] = key;
				e->codes[slot] = (uint16_t)e->hi;
			}
		}
		write_code(&e->w, code, e->width);
		encoder_advance(e);
	}
	write_code(&e->w, END, e->width);
	if (e->w.n_bits > 0)
		write_code(&e->w, 0, 8 - e->w.n_bits);
}

struct decoder {
	const uint8_t *p, *end;
	uint32_t bits;
	unsigned n_bits, width;
	uint32_t hi;                      /* the number of the next entry */
	bool full;                        /* no more entries until a clear */
	uint16_t prefix[1u << MAX_WIDTH]; /* entry = entry of prefix, then suffix */
	uint8_t suffix[1u << MAX_WIDTH];
	uint8_t scratch[1u << MAX_WIDTH];
};

static bool read_code(struct decoder *d, uint32_t *code)
{
	while (d->n_bits < d->width) {
		if (d->p == d->end)
			return false;
		d->bits |= (uint32_t)*d->p++ << d->n_bits;
		d->n_bits += 8;
	}
	*code = d->bits & ((1u << d->width) - 1);
	d->bits >>= d->width;
	d->n_bits -= d->width;
	return true;
}

/* The bytes of an entry, written to the end of scratch; returns where they start. */
static const uint8_t *expand(struct decoder *d, uint32_t code)
{
	uint8_t *p = d->scratch + sizeof(d->scratch);

	assert(code <= MAX_CODE);
	while (code > END) {
		*--p = d->suffix[code];
		code = d->prefix[code];
	}
	*--p = (uint8_t)code;
	return p;
}

static void decoder_reset(struct decoder *d)
{
	d->width = 9;
	d->hi = END;
	d->full = false;
}

/* Enter `last` + `first` as the next entry (not after a clear: there is no last then). */
static void decoder_advance(struct decoder *d, uint32_t last, uint8_t first)
{
	if (d->full)
		return;
	if (last != NO_CODE) {
		d->suffix[d->hi] = first;
		d->prefix[d->hi] = (uint16_t)last;
	}
	d->hi++;
	if (d->hi < 1u << d->width)
		return;
	if (d->width < MAX_WIDTH)
		d->width++;
	else
		d->full = true;
}

const char *lzw_decompress(const void *data, size_t len, size_t max, struct buf *out)
{
	_cleanup_free_ struct decoder *d = xcalloc(1, sizeof(*d));
	uint32_t code, last = NO_CODE;
	size_t start = out->len;

	d->p = data;
	d->end = len ? d->p + len : d->p;
	decoder_reset(d);
	for (;;) {
		if (!read_code(d, &code))
			return "compressed data is truncated";
		if (code == END)
			return NULL;
		if (code == CLEAR) {
			decoder_reset(d);
			last = NO_CODE;
			continue;
		}
		bool known = code < CLEAR || code < d->hi;
		bool self = !d->full && last != NO_CODE && code == d->hi;

		if (!known && !self) /* self: the last string and its own first byte */
			return "compressed data has a code that is not in the table";
		const uint8_t *p = expand(d, known ? code : last);
		size_t n = (size_t)(d->scratch + sizeof(d->scratch) - p);

		if (out->len - start + n + self > max)
			return "decompressed message is too large";
		buf_add(out, p, n);
		if (self)
			buf_add(out, p, 1);
		decoder_advance(d, last, p[0]);
		last = code;
	}
}
