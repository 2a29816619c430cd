/*
 * What a YAML scalar means, by the rules of the Go library behind kubectl: YAML 1.1 booleans, "~",
 * integers in base 2, 8, 10 and 16 with "_" between digits, floats; everything else, and everything
 * quoted, is text. Timestamps are text, base 60 is not known. A float without a fraction is an
 * integer, because that is how kubectl's way through JSON makes it. Pure.
 */
#include "lib/api/yaml_scalar.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metallb/xalloc.h"

#define TAG_PREFIX   "tag:yaml.org,2002:"
#define NUMBER_MAX   80                 /* longer text is no number that we could keep */
#define DOUBLE_EXACT 9007199254740992.0 /* 2^53: up to here every integer is a double */

enum kind { KIND_STR, KIND_NULL, KIND_BOOL, KIND_INT, KIND_UINT, KIND_FLOAT };

struct number {
	enum kind kind;
	int64_t i;
	uint64_t u;
	double d;
	bool b;
};

static bool is_one_of(const char *s, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(s, *words) == 0)
			return true;
	return false;
}

static bool resolve_word(const char *s, struct number *n)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
	static const char *const trues[] = {"y",    "Y",    "yes", "Yes", "YES", "true",
					    "True", "TRUE", "on",  "On",  "ON",  NULL};
	static const char *const falses[] = {"n",     "N",     "no",  "No",  "NO",  "false",
					     "False", "FALSE", "off", "Off", "OFF", NULL};
	static const char *const infs[] = {".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
					   "+.INF", "-.inf", "-.Inf", "-.INF", NULL};
	static const char *const nans[] = {".nan", ".NaN", ".NAN", NULL};

	if (is_one_of(s, nulls))
		n->kind = KIND_NULL;
	else if ((n->b = is_one_of(s, trues)) || is_one_of(s, falses))
		n->kind = KIND_BOOL;
	else if (is_one_of(s, infs))
		*n = (struct number){.kind = KIND_FLOAT, .d = s[0] == '-' ? -INFINITY : INFINITY};
	else if (is_one_of(s, nans))
		*n = (struct number){.kind = KIND_FLOAT, .d = (double)NAN};
	else
		return false;
	return true;
}

/* digits only, in the base that the prefix names; false when it is no integer or does not fit */
static bool parse_magnitude(const char *s, uint64_t *value)
{
	unsigned base = 10;

	if (s[0] == '0' && s[1] != '\0') {
		char c = (char)tolower((unsigned char)s[1]);

		base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
		s += c == 'x' || c == 'b' || c == 'o' ? 2 : 1;
	}
	if (*s == '\0')
		return false;
	*value = 0;
	for (; *s; s++) {
		unsigned digit = isdigit((unsigned char)*s)    ? (unsigned)(*s - '0')
				 : isxdigit((unsigned char)*s) ? (unsigned)((*s | 0x20) - 'a' + 10)
							       : 99;

		if (digit >= base || __builtin_mul_overflow(*value, base, value) ||
		    __builtin_add_overflow(*value, digit, value))
			return false;
	}
	return true;
}

static bool resolve_int(const char *s, struct number *n)
{
	bool negative = s[0] == '-', signed_ = negative || s[0] == '+';

	if (!parse_magnitude(s + (signed_ ? 1 : 0), &n->u))
		return false;
	if (n->u <= INT64_MAX || (negative && n->u == (uint64_t)INT64_MAX + 1)) {
		n->kind = KIND_INT;
		n->i = negative ? (int64_t)(0 - n->u) : (int64_t)n->u;
		return true;
	}
	n->kind = KIND_UINT;
	return !negative && s[0] != '+';
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool is_float(const char *s)
{
	size_t whole, fraction = 0;

	s += *s == '-' || *s == '+';
	whole = strspn(s, "0123456789");
	s += whole;
	if (*s == '.') {
		s++;
		fraction = strspn(s, "0123456789");
		s += fraction;
	}
	if (whole == 0 && fraction == 0)
		return false;
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '-' || *s == '+';
		if (!isdigit((unsigned char)*s))
			return false;
		s += strspn(s, "0123456789");
	}
	return *s == '\0';
}

static void resolve(const struct yaml_scalar *s, struct number *n)
{
	char text[NUMBER_MAX + 1];
	size_t len = 0;

	*n = (struct number){.kind = KIND_STR};
	if (s->len > NUMBER_MAX || strlen(s->text) != s->len || resolve_word(s->text, n))
		return;
	if (!strchr("+-.0123456789", s->text[0]))
		return;
	for (size_t i = 0; i < s->len; i++)
		if (s->text[i] != '_')
			text[len++] = s->text[i];
	text[len] = '\0';
	if (resolve_int(text, n))
		return;
	n->kind = KIND_STR;
	if (!is_float(text))
		return;
	n->d = strtod(text, NULL);
	n->kind = isfinite(n->d) ? KIND_FLOAT : KIND_STR;
}

/* The shortest text that reads back as the same double. */
static struct json_object *json_double(double d)
{
	char text[32];

	if (fabs(d) < DOUBLE_EXACT && d == floor(d))
		return json_object_new_int64((int64_t)d);
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, d);
		if (strtod(text, NULL) == d)
			break;
	}
	return json_object_new_double_s(d, text);
}

static bool number_json(const struct number *n, const struct yaml_scalar *s,
			struct json_object **out, struct err *err)
{
	switch (n->kind) {
	case KIND_STR:
		*out = json_object_new_string_len(s->text, (int)s->len);
		return true;
	case KIND_NULL:
		*out = NULL;
		return true;
	case KIND_BOOL:
		*out = json_object_new_boolean(n->b);
		return true;
	case KIND_INT:
		*out = json_object_new_int64(n->i);
		return true;
	case KIND_UINT:
		*out = json_object_new_uint64(n->u);
		return true;
	case KIND_FLOAT:
		if (!isfinite(n->d))
			return err_set(err, "%s is not a number that JSON has", s->text);
		*out = json_double(n->d);
		return true;
	}
	return err_set(err, "unknown scalar kind");
}

static int base64_digit(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *p = c ? strchr(digits, c) : NULL;

	return p ? (int)(p - digits) : -1;
}

static bool decode_binary(const struct yaml_scalar *s, struct json_object **out, struct err *err)
{
	_cleanup_free_ char *data = xmalloc(s->len + 1);
	size_t len = 0, n_digits = 0, padding = 0;
	uint32_t bits = 0;

	for (size_t i = 0; i < s->len; i++) {
		int digit = base64_digit(s->text[i]);

		if (isspace((unsigned char)s->text[i]))
			continue;
		if (s->text[i] == '=') {
			padding++;
			continue;
		}
		if (digit < 0 || padding > 0)
			return err_set(err, "!!binary value contains invalid base64 data");
		bits = bits << 6 | (uint32_t)digit;
		if (n_digits++ % 4 != 0)
			data[len++] = (char)(bits >> (6 - 2 * ((n_digits - 1) % 4)));
	}
	if ((n_digits + padding) % 4 != 0 || padding > 2)
		return err_set(err, "!!binary value contains invalid base64 data");
	*out = json_object_new_string_len(data, (int)len);
	return true;
}

static bool decode_tagged(const struct yaml_scalar *s, const char *type, struct json_object **out,
			  struct err *err)
{
	static const struct {
		const char *type;
		enum kind kinds[3];
	} types[] = {
		{"null", {KIND_NULL, KIND_NULL, KIND_NULL}},
		{"bool", {KIND_BOOL, KIND_BOOL, KIND_BOOL}},
		{"int", {KIND_INT, KIND_UINT, KIND_INT}},
		{"float", {KIND_FLOAT, KIND_INT, KIND_UINT}},
	};
	struct number n;

	if (strcmp(type, "binary") == 0)
		return decode_binary(s, out, err);
	resolve(s, &n);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strcmp(type, types[i].type) != 0)
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(types[i].kinds); k++)
			if (n.kind == types[i].kinds[k])
				return number_json(&n, s, out, err);
		return err_set(err, "cannot read \"%.60s\" as !!%s", s->text, type);
	}
	*out = json_object_new_string_len(s->text, (int)s->len);
	return true;
}

bool yaml_scalar_is_merge(const struct yaml_scalar *s)
{
	if (s->tag)
		return strcmp(s->tag, TAG_PREFIX "merge") == 0;
	return s->plain && strcmp(s->text, "<<") == 0;
}

bool yaml_scalar_decode(const struct yaml_scalar *s, struct json_object **out, struct err *err)
{
	struct number n = {.kind = KIND_STR};

	if (s->tag) {
		size_t prefix = strlen(TAG_PREFIX);
		bool core = strncmp(s->tag, TAG_PREFIX, prefix) == 0;

		return decode_tagged(s, core ? s->tag + prefix : "str", out, err);
	}
	if (s->plain)
		resolve(s, &n);
	return number_json(&n, s, out, err);
}
