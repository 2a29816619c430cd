/*
 * Log lines on stdout. One line is one write, so lines of several processes do not mix.
 */
#include "metallb/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "metallb/buf.h"

#define VALUE_MAX 4096 /* bytes of one value that are written */

static const char *const level_names[] = {
	[LOG_ALL] = "all",   [LOG_DEBUG] = "debug", [LOG_INFO] = "info",
	[LOG_WARN] = "warn", [LOG_ERROR] = "error", [LOG_NONE] = "none",
};

static enum log_level min_level = LOG_INFO;
static bool as_text;

bool log_parse_level(const char *s, enum log_level *level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++)
		if (strcmp(s, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return true;
		}
	return false;
}

void log_set_level(enum log_level level)
{
	min_level = level;
}

enum log_level log_get_level(void)
{
	return min_level;
}

void log_set_text(bool text)
{
	as_text = text;
}

static void add_value(struct buf *b, const char *s)
{
	size_t len = strnlen(s, VALUE_MAX);

	buf_add_json_str(b, s, len);
}

static void add_pair(struct buf *b, const char *key, const char *value)
{
	if (as_text) {
		buf_printf(b, " %s=", key);
	} else {
		buf_add_char(b, ',');
		add_value(b, key);
		buf_add_char(b, ':');
	}
	add_value(b, value);
}

/* All of it, or nothing more can be done: the log has no other place to complain. */
static void write_line(const char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(STDOUT_FILENO, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return;
		p += done;
		n -= (size_t)done;
	}
}

void log_write(enum log_level level, const char *file, int line, const char *msg, ...)
{
	static struct buf b; /* kept: one allocation for all lines */
	const char *base = strrchr(file, '/');
	char ts[32], caller[128];
	va_list ap;

	if (level < min_level || min_level == LOG_NONE)
		return;
	buf_clear(&b);
	snprintf(caller, sizeof(caller), "%s:%d", base ? base + 1 : file, line);
	clock_format_rfc3339(clock_wall(), ts);
	if (as_text) {
		buf_printf(&b, "%s %-5s %s", ts, level_names[level], msg);
	} else {
		buf_printf(&b, "{\"ts\":\"%s\",\"level\":\"%s\",\"caller\":\"%s\",\"msg\":", ts,
			   level_names[level], caller);
		add_value(&b, msg);
	}
	va_start(ap, msg);
	for (const char *key, *value;
	     (key = va_arg(ap, const char *)) && (value = va_arg(ap, const char *));)
		add_pair(&b, key, value);
	va_end(ap);
	buf_add_str(&b, as_text ? "\n" : "}\n");
	write_line(b.data, b.len);
}

bool log_limit_ok(struct log_limit *l, usec_t now, usec_t interval, unsigned burst,
		  unsigned *suppressed)
{
	*suppressed = 0;
	if (now >= l->next) {
		l->tokens = burst;
		l->next = now + interval;
	}
	if (l->tokens == 0) {
		l->suppressed++;
		return false;
	}
	l->tokens--;
	*suppressed = l->suppressed;
	l->suppressed = 0;
	return true;
}

const char *log_int(long long v)
{
	static char bufs[8][24];
	static unsigned next;
	char *b = bufs[next++ % 8];

	snprintf(b, sizeof(bufs[0]), "%lld", v);
	return b;
}
