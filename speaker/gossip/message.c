/*
 * memberlist's messages: one table per type drives both directions. Names and order of the fields
 * are those on the wire (keys ascending). Pure.
 */
#include "speaker/gossip/message.h"

#include <assert.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "speaker/gossip/lzw.h"
#include "speaker/gossip/msgpack.h"

enum kind { BYTES, TEXT, U8, U16, U32, INT, BOOL };

struct field {
	const char *name;
	enum kind kind;
	size_t off;
	bool omit_empty;
};

#define F(name, kind, member)                                                                      \
	{                                                                                          \
		name, kind, offsetof(struct gsp_msg, member), false                                \
	}
#define OMIT(name, kind, member)                                                                   \
	{                                                                                          \
		name, kind, offsetof(struct gsp_msg, member), true                                 \
	}

static const struct field ping_fields[] = {
	F("Node", TEXT, node),
	F("SeqNo", U32, seq_no),
	OMIT("SourceAddr", BYTES, source_addr),
	OMIT("SourceNode", TEXT, source_node),
	OMIT("SourcePort", U16, source_port),
};
static const struct field indirect_fields[] = {
	F("Nack", BOOL, nack),
	F("Node", TEXT, node),
	F("Port", U16, port),
	F("SeqNo", U32, seq_no),
	OMIT("SourceAddr", BYTES, source_addr),
	OMIT("SourceNode", TEXT, source_node),
	OMIT("SourcePort", U16, source_port),
	F("Target", BYTES, target),
};
static const struct field ack_fields[] = {
	F("Payload", BYTES, payload),
	F("SeqNo", U32, seq_no),
};
static const struct field nack_fields[] = {F("SeqNo", U32, seq_no)};
static const struct field verdict_fields[] = {
	/* suspect, dead */
	F("From", TEXT, from),
	F("Incarnation", U32, incarnation),
	F("Node", TEXT, node),
};
static const struct field alive_fields[] = {
	F("Addr", BYTES, addr), F("Incarnation", U32, incarnation),
	F("Meta", BYTES, meta), F("Node", TEXT, node),
	F("Port", U16, port),   F("Vsn", BYTES, vsn),
};
static const struct field push_pull_fields[] = {
	F("Join", BOOL, join),
	F("Nodes", INT, nodes),
	F("UserStateLen", INT, user_state_len),
};
static const struct field node_state_fields[] = {
	F("Addr", BYTES, addr), F("Incarnation", U32, incarnation),
	F("Meta", BYTES, meta), F("Name", TEXT, name),
	F("Port", U16, port),   F("State", INT, state),
	F("Vsn", BYTES, vsn),
};
static const struct field user_fields[] = {F("UserMsgLen", INT, user_msg_len)};
static const struct field compress_fields[] = {F("Algo", U8, algo), F("Buf", BYTES, buf)};
static const struct field error_fields[] = {F("Error", TEXT, error)};

/* Fields in the order in which Go declares them: only for messages that come as arrays. */
static const char *const ping_declared[] = {"SeqNo", "Node", "SourceAddr", "SourcePort",
					    "SourceNode"};
static const char *const indirect_declared[] = {"SeqNo", "Target",     "Port",       "Node",
						"Nack",  "SourceAddr", "SourcePort", "SourceNode"};
static const char *const ack_declared[] = {"SeqNo", "Payload"};
static const char *const verdict_declared[] = {"Incarnation", "Node", "From"};
static const char *const alive_declared[] = {"Incarnation", "Node", "Addr", "Port", "Meta", "Vsn"};
static const char *const push_pull_declared[] = {"Nodes", "UserStateLen", "Join"};
static const char *const node_state_declared[] = {"Name",        "Addr",  "Port", "Meta",
						  "Incarnation", "State", "Vsn"};

struct layout {
	const struct field *fields;
	size_t n;
	const char *const *declared; /* NULL: as in fields */
};

#define LAYOUT(f, d)                                                                               \
	{                                                                                          \
		f, ARRAY_SIZE(f), d                                                                \
	}

static const struct layout layouts[] = {
	[GSP_PING] = LAYOUT(ping_fields, ping_declared),
	[GSP_INDIRECT_PING] = LAYOUT(indirect_fields, indirect_declared),
	[GSP_ACK] = LAYOUT(ack_fields, ack_declared),
	[GSP_SUSPECT] = LAYOUT(verdict_fields, verdict_declared),
	[GSP_ALIVE] = LAYOUT(alive_fields, alive_declared),
	[GSP_DEAD] = LAYOUT(verdict_fields, verdict_declared),
	[GSP_PUSH_PULL] = LAYOUT(push_pull_fields, push_pull_declared),
	[GSP_USER] = LAYOUT(user_fields, NULL),
	[GSP_COMPRESS] = LAYOUT(compress_fields, NULL),
	[GSP_NACK] = LAYOUT(nack_fields, NULL),
	[GSP_ERROR] = LAYOUT(error_fields, NULL),
};
static const struct layout node_state_layout = LAYOUT(node_state_fields, node_state_declared);

static const struct layout *layout_of(enum gsp_type type)
{
	assert((size_t)type < ARRAY_SIZE(layouts) && layouts[type].fields);
	return &layouts[type];
}

static uint64_t get_uint(const struct gsp_msg *m, const struct field *f)
{
	const char *p = (const char *)m + f->off;
	uint32_t v32 = 0;
	uint16_t v16 = 0;

	switch (f->kind) {
	case U8:
		return *(const uint8_t *)p;
	case U16:
		memcpy(&v16, p, sizeof(v16));
		return v16;
	default:
		memcpy(&v32, p, sizeof(v32));
		return v32;
	}
}

static const struct gsp_bytes *get_bytes(const struct gsp_msg *m, const struct field *f)
{
	return (const struct gsp_bytes *)(const void *)((const char *)m + f->off);
}

static bool is_empty(const struct gsp_msg *m, const struct field *f)
{
	if (f->kind == BYTES || f->kind == TEXT)
		return get_bytes(m, f)->n == 0;
	return get_uint(m, f) == 0;
}

static void add_field(const struct gsp_msg *m, const struct field *f, struct buf *out)
{
	const struct gsp_bytes *b = get_bytes(m, f);
	int64_t i;

	switch (f->kind) {
	case BYTES:
	case TEXT:
		if (!b->p && f->kind == BYTES)
			mpack_add_nil(out);
		else
			mpack_add_bytes(out, b->p ? b->p : (const uint8_t *)"", b->n);
		break;
	case INT:
		memcpy(&i, (const char *)m + f->off, sizeof(i));
		mpack_add_int(out, i);
		break;
	case BOOL:
		mpack_add_bool(out, *((const char *)m + f->off) != 0);
		break;
	case U8:
	case U16:
	case U32:
		mpack_add_uint(out, get_uint(m, f));
		break;
	}
}

static void encode(const struct layout *l, const struct gsp_msg *m, struct buf *out)
{
	uint32_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += !(l->fields[i].omit_empty && is_empty(m, &l->fields[i]));
	mpack_add_map(out, n);
	for (size_t i = 0; i < l->n; i++) {
		if (l->fields[i].omit_empty && is_empty(m, &l->fields[i]))
			continue;
		mpack_add_bytes(out, l->fields[i].name, strlen(l->fields[i].name));
		add_field(m, &l->fields[i], out);
	}
}

void gsp_encode(enum gsp_type type, const struct gsp_msg *m, struct buf *out)
{
	buf_add_char(out, (char)type);
	encode(layout_of(type), m, out);
}

void gsp_encode_node_state(const struct gsp_msg *m, struct buf *out)
{
	encode(&node_state_layout, m, out);
}

struct decoding {
	const struct layout *layout;
	struct gsp_msg *m;
	const uint8_t *input, *end; /* where decoded byte strings must lie */
};

static const char *set_uint(struct gsp_msg *m, const struct field *f, const struct mpack_value *v)
{
	static const uint64_t max[] = {[U8] = UINT8_MAX, [U16] = UINT16_MAX, [U32] = UINT32_MAX};
	char *p = (char *)m + f->off;
	uint64_t u = v->type == MPACK_NIL ? 0 : v->u;
	uint32_t v32 = (uint32_t)u;
	uint16_t v16 = (uint16_t)u;

	if (v->type != MPACK_UINT && v->type != MPACK_NIL)
		return "a field is not an unsigned integer";
	if (u > max[f->kind])
		return "an integer is too large for its field";
	if (f->kind == U8)
		*(uint8_t *)p = (uint8_t)u;
	else if (f->kind == U16)
		memcpy(p, &v16, sizeof(v16));
	else
		memcpy(p, &v32, sizeof(v32));
	return NULL;
}

static const char *set_int(struct gsp_msg *m, const struct field *f, const struct mpack_value *v)
{
	int64_t i = v->type == MPACK_NEGATIVE ? v->i : (int64_t)v->u;

	if (v->type == MPACK_NIL)
		i = 0;
	else if (v->type != MPACK_UINT && v->type != MPACK_NEGATIVE)
		return "a field is not an integer";
	memcpy((char *)m + f->off, &i, sizeof(i));
	return NULL;
}

static const char *set_bool(struct gsp_msg *m, const struct field *f, const struct mpack_value *v)
{
	bool b = v->u == 1;

	if (v->type == MPACK_NIL)
		b = false;
	else if ((v->type != MPACK_BOOL && v->type != MPACK_UINT) || v->u > 1)
		return "a field is not a boolean";
	memcpy((char *)m + f->off, &b, sizeof(b));
	return NULL;
}

/* Byte strings written as arrays of integers sit in scratch memory: only short ones are kept. */
static const char *set_bytes(struct gsp_msg *m, const struct field *f, const struct mpack_value *v,
			     const struct decoding *d)
{
	struct gsp_bytes b = {0};

	if (v->type == MPACK_BYTES)
		b = (struct gsp_bytes){v->p, v->n};
	else if (v->type == MPACK_ARRAY && f->kind == BYTES && v->p && v->n <= 16) {
		/* find the same bytes in the input: a fixint array is its elements' bytes */
		const uint8_t *at = memmem(d->input, (size_t)(d->end - d->input), v->p, v->n);

		if (v->n && !at)
			return "a byte string is an array of wide integers";
		b = (struct gsp_bytes){at ? at : d->input, v->n};
	} else if (v->type != MPACK_NIL)
		return "a field is not a byte string";
	memcpy((char *)m + f->off, &b, sizeof(b));
	return NULL;
}

static const struct field *find_field(const struct layout *l, const uint8_t *key, size_t len,
				      size_t index)
{
	if (!key) {
		if (index >= l->n)
			return NULL;
		key = (const uint8_t *)(l->declared ? l->declared[index] : l->fields[index].name);
		len = strlen((const char *)key);
	}
	for (size_t i = 0; i < l->n; i++)
		if (strlen(l->fields[i].name) == len && memcmp(l->fields[i].name, key, len) == 0)
			return &l->fields[i];
	return NULL;
}

static const char *on_pair(void *user, const uint8_t *key, size_t key_len, size_t index,
			   const struct mpack_value *v)
{
	struct decoding *d = user;
	const struct field *f = find_field(d->layout, key, key_len, index);

	if (!f)
		return NULL;
	switch (f->kind) {
	case BYTES:
	case TEXT:
		return set_bytes(d->m, f, v, d);
	case INT:
		return set_int(d->m, f, v);
	case BOOL:
		return set_bool(d->m, f, v);
	default:
		return set_uint(d->m, f, v);
	}
}

static const char *decode(const struct layout *l, struct rd *r, struct gsp_msg *m)
{
	struct decoding d = {.layout = l, .m = m, .input = r->p, .end = r->end};

	*m = (struct gsp_msg){0};
	return mpack_read_map(r, on_pair, &d);
}

const char *gsp_decode(enum gsp_type type, struct rd *r, struct gsp_msg *m)
{
	return decode(layout_of(type), r, m);
}

const char *gsp_decode_node_state(struct rd *r, struct gsp_msg *m)
{
	return decode(&node_state_layout, r, m);
}

void gsp_compound(const struct gsp_bytes *parts, size_t n, struct buf *out)
{
	assert(n > 0 && n <= GSP_COMPOUND_PARTS_MAX);
	buf_add_char(out, GSP_COMPOUND);
	buf_add_char(out, (char)n);
	for (size_t i = 0; i < n; i++) {
		char len[2] = {(char)(parts[i].n >> 8), (char)parts[i].n};

		assert(parts[i].n <= UINT16_MAX);
		buf_add(out, len, sizeof(len));
	}
	for (size_t i = 0; i < n; i++)
		buf_add(out, parts[i].p, parts[i].n);
}

void gsp_compress(const void *msg, size_t len, struct buf *out)
{
	struct buf packed = {0};
	struct gsp_msg m = {0};

	lzw_compress(msg, len, &packed);
	m.buf = (struct gsp_bytes){(const uint8_t *)packed.data, packed.len};
	gsp_encode(GSP_COMPRESS, &m, out);
	buf_fini(&packed);
}

const char *gsp_decompress(struct rd *r, struct buf *out)
{
	struct gsp_msg m;
	const char *why = gsp_decode(GSP_COMPRESS, r, &m);

	if (why)
		return why;
	if (m.algo != 0)
		return "unknown compression algorithm";
	return lzw_decompress(m.buf.p, m.buf.n, GSP_PLAIN_MAX, out);
}

uint32_t gsp_crc32(const void *data, size_t len)
{
	/* the polynomial 0xedb88320 (reflected) applied to each nibble */
	static const uint32_t nibble[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	const uint8_t *p = data;
	uint32_t crc = ~0u;

	for (size_t i = 0; i < len; i++) {
		crc = crc >> 4 ^ nibble[(crc ^ p[i]) & 0x0f];
		crc = crc >> 4 ^ nibble[(crc ^ (uint32_t)p[i] >> 4) & 0x0f];
	}
	return ~crc;
}

struct unpacking {
	gsp_on_message on_message;
	void *user;
	size_t budget; /* decompressed bytes still allowed for the whole packet */
};

static const char *unpack(struct unpacking *u, const uint8_t *msg, size_t len, unsigned depth);

static const char *unpack_compound(struct unpacking *u, struct rd *r, unsigned depth)
{
	uint8_t count = rd_u8(r);
	struct rd lengths = rd_sub(r, 2 * (size_t)count);
	const char *why;

	if (r->bad)
		return "compound is truncated";
	for (unsigned i = 0; i < count; i++) {
		uint16_t len = rd_u16(&lengths);
		const uint8_t *part = rd_take(r, len);

		if (!part)
			return "a part of a compound runs past its end";
		why = unpack(u, part, len, depth + 1);
		if (why)
			return why;
	}
	return NULL;
}

static const char *unpack(struct unpacking *u, const uint8_t *msg, size_t len, unsigned depth)
{
	struct rd r = rd_init(msg, len);
	struct buf plain = {0};
	const char *why;

	if (len == 0)
		return "empty message";
	if (depth > GSP_DEPTH_MAX)
		return "messages are nested too deeply";
	switch (rd_u8(&r)) {
	case GSP_COMPOUND:
		return unpack_compound(u, &r, depth);
	case GSP_COMPRESS:
		why = gsp_decompress(&r, &plain);
		if (!why && plain.len > u->budget)
			why = "decompressed packet is too large";
		if (!why) {
			u->budget -= plain.len;
			why = unpack(u, (const uint8_t *)plain.data, plain.len, depth + 1);
		}
		buf_fini(&plain);
		return why;
	default:
		u->on_message(u->user, msg, len);
		return NULL;
	}
}

const char *gsp_unpack(const uint8_t *packet, size_t len, gsp_on_message on_message, void *user)
{
	struct unpacking u = {on_message, user, GSP_PLAIN_MAX};

	if (len >= 5 && packet[0] == GSP_CRC) {
		struct rd r = rd_init(packet + 1, 4);

		if (rd_u32(&r) != gsp_crc32(packet + 5, len - 5))
			return "wrong CRC";
		packet += 5;
		len -= 5;
	}
	return unpack(&u, packet, len, 0);
}
