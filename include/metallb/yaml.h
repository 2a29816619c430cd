/*
 * YAML text as JSON values, read as kubectl reads it (sigs.k8s.io/yaml): core scalars with YAML 1.1
 * booleans, 64-bit integers exact, quoted text stays text, merge keys. Duplicate keys, non-scalar
 * keys, alias bombs and absurd depth are refused. Pure.
 */
#ifndef METALLB_YAML_H
#define METALLB_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "metallb/err.h"

struct json_object;

#define YAML_TEXT_MAX  ((size_t)64 << 20) /* bytes of one input */
#define YAML_DEPTH_MAX 100
#define YAML_NODES_MAX ((size_t)1000000) /* values of one document, aliases expanded */

/*
 * The first document of text; the caller owns the value. NULL with a reason (it gives the line)
 * when it cannot be read, is empty or null, or when a second document follows.
 */
struct json_object *yaml_parse_one(const char *text, size_t len, struct err *err);

/*
 * Every document in turn: fn gets its value (borrowed; json_object_get() to keep it) and the line,
 * counted from 1, where its value starts. Empty and null documents are skipped. fn ends the walk by
 * returning false (it has set err). False when a document cannot be read.
 */
typedef bool (*yaml_document_fn)(void *user, struct json_object *value, size_t line,
				 struct err *err);
bool yaml_parse_stream(const char *text, size_t len, yaml_document_fn fn, void *user,
		       struct err *err);

/*
 * As yaml_parse_one(), but every scalar other than null stays the text that was written: what a
 * decoder into texts wants, where 0123 is not 83. *value gets JSON's null, NULL, for an empty text.
 */
bool yaml_parse_text(const char *text, size_t len, struct json_object **value, struct err *err);

/*
 * The line, counted from 1, of what path names in the first document: "peers[0].my-asn" is a key's,
 * "peers[0]" an item's. 0 when it is not there, or came by an alias or a merge key.
 */
size_t yaml_line_of(const char *text, size_t len, const char *path);

#endif
