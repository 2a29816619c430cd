/*
 * What the programs that host one engine for tests have in common: commands are JSON objects, one a
 * line on stdin, each answered by a line on stdout. In a header, since each has one source file.
 */
#ifndef TESTS_PROBE_H
#define TESTS_PROBE_H

#include <json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "metallb/buf.h"
#include "metallb/ip.h"

#define LINE_MAX_LEN (64u << 20)

static inline const char *str(struct json_object *o, const char *key)
{
	struct json_object *v = json_object_object_get(o, key);

	return v ? json_object_get_string(v) : "";
}

static inline int64_t num(struct json_object *o, const char *key, int64_t absent)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_int64(v) : absent;
}

static inline bool flag(struct json_object *o, const char *key)
{
	return json_object_get_boolean(json_object_object_get(o, key));
}

static inline void say(struct json_object *o)
{
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	fflush(stdout);
	json_object_put(o);
}

static inline void reply(const char *cmd, bool ok, const char *error)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "reply", json_object_new_string(cmd));
	json_object_object_add(o, "ok", json_object_new_boolean(ok));
	json_object_object_add(o, "error", json_object_new_string(error));
	say(o);
}

static inline bool get_ip(struct json_object *o, const char *key, struct ip *ip)
{
	const char *s = str(o, key);

	*ip = (struct ip){0};
	return !*s || ip_parse(s, ip);
}

static inline void put_num(struct json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_int64((int64_t)v));
}

/* What the program has cost so far. */
static inline void put_usage(struct json_object *o)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	put_num(o, "max_rss_kb", (uint64_t)ru.ru_maxrss);
	put_num(o, "cpu_us",
		(uint64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000u +
			(uint64_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec));
}

/* false: the end of stdin. */
static inline bool lines_read(struct buf *in)
{
	char chunk[65536];
	ssize_t n = read(STDIN_FILENO, chunk, sizeof(chunk));

	if (n <= 0 || in->len > LINE_MAX_LEN)
		return false;
	buf_add(in, chunk, (size_t)n);
	return true;
}

/* The next complete line as an object; one that is none is answered and comes as NULL. */
static inline bool lines_next(struct buf *in, struct json_object **o)
{
	char *nl = in->len ? memchr(in->data, '\n', in->len) : NULL;

	if (!nl)
		return false;
	*nl = '\0';
	*o = json_tokener_parse(in->data);
	if (!*o)
		reply("", false, "no JSON");
	buf_consume(in, (size_t)(nl - in->data) + 1);
	return true;
}

#endif
