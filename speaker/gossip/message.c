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
	/* the polynomial 0xedb88320 (reflected) applied to each byte */
	static const uint32_t table[256] = {
		0x00000000, 0x77073096, 0xee0e612c, 0x990951ba, 0x076dc419, 0x706af48f, 0xe963a535,
		0x9e6495a3, 0x0edb8832, 0x79dcb8a4, 0xe0d5e91e, 0x97d2d988, 0x09b64c2b, 0x7eb17cbd,
		0xe7b82d07, 0x90bf1d91, 0x1db71064, 0x6ab020f2, 0xf3b97148, 0x84be41de, 0x1adad47d,
		0x6ddde4eb, 0xf4d4b551, 0x83d385c7, 0x136c9856, 0x646ba8c0, 0xfd62f97a, 0x8a65c9ec,
		0x14015c4f, 0x63066cd9, 0xfa0f3d63, 0x8d080df5, 0x3b6e20c8, 0x4c69105e, 0xd56041e4,
		0xa2677172, 0x3c03e4d1, 0x4b04d447, 0xd20d85fd, 0xa50ab56b, 0x35b5a8fa, 0x42b2986c,
		0xdbbbc9d6, 0xacbcf940, 0x32d86ce3, 0x45df5c75, 0xdcd60dcf, 0xabd13d59, 0x26d930ac,
		0x51de003a, 0xc8d75180, 0xbfd06116, 0x21b4f4b5, 0x56b3c423, 0xcfba9599, 0xb8bda50f,
		0x2802b89e, 0x5f058808, 0xc60cd9b2, 0xb10be924, 0x2f6f7c87, 0x58684c11, 0xc1611dab,
		0xb6662d3d, 0x76dc4190, 0x01db7106, 0x98d220bc, 0xefd5102a, 0x71b18589, 0x06b6b51f,
		0x9fbfe4a5, 0xe8b8d433, 0x7807c9a2, 0x0f00f934, 0x9609a88e, 0xe10e9818, 0x7f6a0dbb,
		0x086d3d2d, 0x91646c97, 0xe6635c01, 0x6b6b51f4, 0x1c6c6162, 0x856530d8, 0xf262004e,
		0x6c0695ed, 0x1b01a57b, 0x8208f4c1, 0xf50fc457, 0x65b0d9c6, 0x12b7e950, 0x8bbeb8ea,
		0xfcb9887c, 0x62dd1ddf, 0x15da2d49, 0x8cd37cf3, 0xfbd44c65, 0x4db26158, 0x3ab551ce,
		0xa3bc0074, 0xd4bb30e2, 0x4adfa541, 0x3dd895d7, 0xa4d1c46d, 0xd3d6f4fb, 0x4369e96a,
		0x346ed9fc, 0xad678846, 0xda60b8d0, 0x44042d73, 0x33031de5, 0xaa0a4c5f, 0xdd0d7cc9,
		0x5005713c, 0x270241aa, 0xbe0b1010, 0xc90c2086, 0x5768b525, 0x206f85b3, 0xb966d409,
		0xce61e49f, 0x5edef90e, 0x29d9c998, 0xb0d09822, 0xc7d7a8b4, 0x59b33d17, 0x2eb40d81,
		0xb7bd5c3b, 0xc0ba6cad, 0xedb88320, 0x9abfb3b6, 0x03b6e20c, 0x74b1d29a, 0xead54739,
		0x9dd277af, 0x04db2615, 0x73dc1683, 0xe3630b12, 0x94643b84, 0x0d6d6a3e, 0x7a6a5aa8,
		0xe40ecf0b, 0x9309ff9d, 0x0a00ae27, 0x7d079eb1, 0xf00f9344, 0x8708a3d2, 0x1e01f268,
		0x6906c2fe, 0xf762575d, 0x806567cb, 0x196c3671, 0x6e6b06e7, 0xfed41b76, 0x89d32be0,
		0x10da7a5a, 0x67dd4acc, 0xf9b9df6f, 0x8ebeeff9, 0x17b7be43, 0x60b08ed5, 0xd6d6a3e8,
		0xa1d1937e, 0x38d8c2c4, 0x4fdff252, 0xd1bb67f1, 0xa6bc5767, 0x3fb506dd, 0x48b2364b,
		0xd80d2bda, 0xaf0a1b4c, 0x36034af6, 0x41047a60, 0xdf60efc3, 0xa867df55, 0x316e8eef,
		0x4669be79, 0xcb61b38c, 0xbc66831a, 0x256fd2a0, 0x5268e236, 0xcc0c7795, 0xbb0b4703,
		0x220216b9, 0x5505262f, 0xc5ba3bbe, 0xb2bd0b28, 0x2bb45a92, 0x5cb36a04, 0xc2d7ffa7,
		0xb5d0cf31, 0x2cd99e8b, 0x5bdeae1d, 0x9b64c2b0, 0xec63f226, 0x756aa39c, 0x026d930a,
		0x9c0906a9, 0xeb0e363f, 0x72076785, 0x05005713, 0x95bf4a82, 0xe2b87a14, 0x7bb12bae,
		0x0cb61b38, 0x92d28e9b, 0xe5d5be0d, 0x7cdcefb7, 0x0bdbdf21, 0x86d3d2d4, 0xf1d4e242,
		0x68ddb3f8, 0x1fda836e, 0x81be16cd, 0xf6b9265b, 0x6fb077e1, 0x18b74777, 0x88085ae6,
		0xff0f6a70, 0x66063bca, 0x11010b5c, 0x8f659eff, 0xf862ae69, 0x616bffd3, 0x166ccf45,
		0xa00ae278, 0xd70dd2ee, 0x4e048354, 0x3903b3c2, 0xa7672661, 0xd06016f7, 0x4969474d,
		0x3e6e77db, 0xaed16a4a, 0xd9d65adc, 0x40df0b66, 0x37d83bf0, 0xa9bcae53, 0xdebb9ec5,
		0x47b2cf7f, 0x30b5ffe9, 0xbdbdf21c, 0xcabac28a, 0x53b39330, 0x24b4a3a6, 0xbad03605,
		0xcdd70693, 0x54de5729, 0x23d967bf, 0xb3667a2e, 0xc4614ab8, 0x5d681b02, 0x2a6f2b94,
		0xb40bbe37, 0xc30c8ea1, 0x5a05df1b, 0x2d02ef8d,
	};
	const uint8_t *p = data;
	uint32_t crc = ~0u;

	for (size_t i = 0; i < len; i++)
		crc = crc >> 8 ^ table[(crc ^ p[i]) & 0xff];
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
