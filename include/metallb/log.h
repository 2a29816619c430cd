/*
 * Log lines on stdout: one JSON object per line (ts, level, caller, msg, then the keys), as users
 * of MetalLB collect them; or text for a person. Values are strings; every byte is escaped, lines
 * are bounded. Shells only; cores return reasons instead.
 */
#ifndef METALLB_LOG_H
#define METALLB_LOG_H

#include <stdbool.h>

#include "metallb/clock.h"

enum log_level { LOG_ALL, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_NONE };

/* "all", "debug", "info", "warn", "error", "none"; false when unknown. */
bool log_parse_level(const char *s, enum log_level *level);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* JSON (default) or key=value text. */
void log_set_text(bool text);

/*
 * msg is a stable text; then pairs of key and value (const char *), ended by NULL:
 *   log_info("service assigned", "service", key, "ip", ip, NULL);
 * A NULL value ends the list early, so pass "" for absent text.
 */
void log_write(enum log_level level, const char *file, int line, const char *msg, ...)
	__attribute__((sentinel));

#define log_debug(...) log_write(LOG_DEBUG, __FILE__, __LINE__, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, __FILE__, __LINE__, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, __FILE__, __LINE__, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __FILE__, __LINE__, __VA_ARGS__)

/*
 * A limiter for lines that a packet can trigger: true when the line may be written now. `burst`
 * lines, then one each `interval`. *suppressed gets how many were held back since the last one.
 */
struct log_limit {
	usec_t next;
	unsigned tokens, suppressed;
};
bool log_limit_ok(struct log_limit *l, usec_t now, usec_t interval, unsigned burst,
		  unsigned *suppressed);

/* Numbers as text for log values: a small rotating set of buffers, valid for the next 8 calls. */
const char *log_int(long long v);

#endif
