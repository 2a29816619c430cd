/*
 * Points in time as RFC 3339 text. Pure.
 */
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "metallb/clock.h"

static size_t format_date(usec_t wall, char *buf, size_t room)
{
	time_t t = (time_t)(wall / USEC_PER_SEC);
	struct tm tm;

	gmtime_r(&t, &tm);
	return strftime(buf, room, "%Y-%m-%dT%H:%M:%S", &tm);
}

char *clock_format_rfc3339(usec_t wall, char buf[32])
{
	size_t n = format_date(wall, buf, 31);

	buf[n] = 'Z';
	buf[n + 1] = '\0';
	return buf;
}

char *clock_format_rfc3339_micro(usec_t wall, char buf[40])
{
	size_t n = format_date(wall, buf, 30);

	snprintf(buf + n, 40 - n, ".%06dZ", (int)(wall % USEC_PER_SEC));
	return buf;
}

/* Exactly n digits at *s. */
static bool digits(const char **s, int n, int *v)
{
	*v = 0;
	for (int i = 0; i < n; i++, (*s)++) {
		if (**s < '0' || **s > '9')
			return false;
		*v = *v * 10 + (**s - '0');
	}
	return true;
}

static bool literal(const char **s, char c)
{
	return *(*s)++ == c;
}

static bool parse_offset(const char **s, int *minutes)
{
	int h, m, sign;

	if (**s == 'Z' || **s == 'z') {
		(*s)++;
		*minutes = 0;
		return true;
	}
	if (**s != '+' && **s != '-')
		return false;
	sign = *(*s)++ == '-' ? -1 : 1;
	if (!digits(s, 2, &h) || !literal(s, ':') || !digits(s, 2, &m) || h > 23 || m > 59)
		return false;
	*minutes = sign * (h * 60 + m);
	return true;
}

_Bool clock_parse_rfc3339(const char *s, usec_t *wall)
{
	struct tm tm = {0};
	usec_t frac = 0;
	int offset;

	if (!digits(&s, 4, &tm.tm_year) || !literal(&s, '-') || !digits(&s, 2, &tm.tm_mon) ||
	    !literal(&s, '-') || !digits(&s, 2, &tm.tm_mday) || (*s != 'T' && *s != 't'))
		return false;
	s++;
	if (!digits(&s, 2, &tm.tm_hour) || !literal(&s, ':') || !digits(&s, 2, &tm.tm_min) ||
	    !literal(&s, ':') || !digits(&s, 2, &tm.tm_sec))
		return false;
	if (*s == '.') {
		usec_t unit = USEC_PER_SEC / 10;

		if (s[1] < '0' || s[1] > '9')
			return false;
		for (s++; *s >= '0' && *s <= '9'; s++, unit /= 10)
			frac += unit * (*s - '0');
	}
	if (!parse_offset(&s, &offset) || *s)
		return false;
	if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
	    tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	*wall = ((usec_t)timegm(&tm) - offset * 60) * USEC_PER_SEC + frac;
	return true;
}
