/*
 * Tables that describe the JSON of each kind: one row per field with its type, bounds and default,
 * and where its value goes in the decoded struct. The decoder (decode.c) and the structural check
 * (check.c) both walk these tables; a test holds them against the CRD files.
 */
#ifndef METALLB_API_SCHEMA_H
#define METALLB_API_SCHEMA_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metallb/api.h"
#include "metallb/buf.h"

enum field_type {
	FT_STRING,   /* const char * */
	FT_BOOL,     /* bool */
	FT_INT,      /* int64_t */
	FT_DURATION, /* text of Go's syntax; int64_t nanoseconds */
	FT_TIME,     /* RFC 3339 text; usec_t */
	FT_STRINGS,  /* struct strs */
	FT_MAP,      /* of strings; struct labels */
	FT_OBJECT,   /* its fields lie in the same struct, from offset on */
	FT_LIST,     /* of objects; a pointer to the elements, then their count */
	FT_INT_OR_STRING,
	FT_INT_OR_STRING_MAP, /* resource quantities */
	FT_CUSTOM,            /* field.decode() does it, given the struct that holds the field */
};

enum field_flags {
	FF_REQUIRED = 1 << 0,
	FF_MIN = 1 << 1,
	FF_MAX = 1 << 2,
	FF_INT32 = 1 << 3,      /* format int32 */
	FF_INT64 = 1 << 4,      /* format int64 */
	FF_UINT32 = 1 << 5,     /* the reader cannot hold more or less, whatever the schema says */
	FF_DEFAULT = 1 << 6,    /* the schema has a default: def or def_text */
	FF_NULL = 1 << 7,       /* an absent string is NULL, not "" */
	FF_SKIP = 1 << 8,       /* checked, but not kept in the struct */
	FF_ATOMIC = 1 << 9,     /* x-kubernetes-list-type or map-type: atomic */
	FF_LISTMAP = 1 << 10,   /* x-kubernetes-list-type: map, keyed by list_key */
	FF_MIN_ONE = 1 << 11,   /* minItems: 1 */
	FF_DATETIME = 1 << 12,  /* format date-time */
	FF_RAW = 1 << 13,       /* keep the JSON text of the value: const char *, "" when absent */
	FF_CUSTOM = 1 << 14,    /* checked as the type says, decoded by field.decode() */
	FF_IMMUTABLE = 1 << 15, /* may not change once it is set */
};

struct decoder;
struct shape;

struct field {
	const char *name;
	enum field_type type;
	unsigned flags;
	size_t offset;
	int64_t min, max;     /* of an integer; of a string its length */
	int64_t def;          /* value when absent (not only where FF_DEFAULT) */
	const char *def_text; /* same for a string */
	const char *pattern;  /* of a string */
	const char *list_key;
	const char *const *enums;  /* NULL-terminated */
	const struct shape *shape; /* of FT_OBJECT, FT_LIST */
	bool (*decode)(struct decoder *d, json_object *value, void *base);
	size_t present; /* offset of a bool to set when the object is there; 0: none */
};

struct shape {
	const struct field *fields;
	size_t n_fields;
	size_t size; /* of one list element or of the whole object */
	/* After all fields; may refuse. */
	bool (*finish)(struct decoder *d, void *base);
};

#define SHAPE(f, type, ...)                                                                        \
	{                                                                                          \
		.fields = (f), .n_fields = sizeof(f) / sizeof((f)[0]), .size = sizeof(type),       \
		##__VA_ARGS__                                                                      \
	}

struct decoder {
	struct arena *arena;
	struct buf path;
	struct err *err;
};

/* Refuse with "path: reason". */
bool decode_refuse(struct decoder *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Refuse because value is not of `wanted` type. */
bool decode_refuse_type(struct decoder *d, json_object *value, const char *wanted);
/* Path handling for FT_CUSTOM: returns the length to hand back to decode_leave(). */
size_t decode_enter(struct decoder *d, const char *name);
size_t decode_enter_index(struct decoder *d, size_t i);
void decode_leave(struct decoder *d, size_t mark);

/* json NULL: only the values of absent fields are filled in. */
bool decode_shape(struct decoder *d, const struct shape *shape, json_object *json, void *base);
/* A copy in the arena; NULL after a refusal. */
const char *decode_string(struct decoder *d, json_object *value);
bool decode_int(struct decoder *d, json_object *value, int64_t *out);
bool decode_bool(struct decoder *d, json_object *value, bool *out);
bool decode_map(struct decoder *d, json_object *value, struct labels *out);
bool decode_time(struct decoder *d, json_object *value, usec_t *out);
/* Refuses what is not a list or too long a one. */
bool decode_list_size(struct decoder *d, json_object *value, size_t *n);
/* Member of an object; NULL when absent, null, or obj is no object. */
json_object *decode_member(json_object *obj, const char *name);

/* An integer as JSON may write it (1, 1.0, 1e3); false when it has a fraction or is too large. */
bool json_integer(json_object *value, int64_t *out);

/* Shapes of the kinds; version picks among served versions, "" the default one. */
const struct shape *schema_core_shape(enum api_kind kind);
const struct shape *schema_metallb_shape(enum api_kind kind, const char *api_version);
extern const struct shape schema_metadata;
extern const struct shape schema_selector;

#endif
