/*
 * Go duration syntax. Arithmetic in 128 bits, so that no input overflows. Pure.
 */
#include "metallb/duration.h"

#include <stdio.h>
#include <string.h>

static const struct unit {
	const char *name;
	int64_t ns;
} units[] = {
	/* longer names first where one is a prefix of another */
	{"ns", 1},       {"us", 1000},      {"\xc2\xb5s", 1000}, {"\xce\xbcs", 1000},
	{"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000},  {"h", 3600000000000},
};

static const struct unit *unit_at(const char *s)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strncmp(s, units[i].name, strlen(units[i].name)) == 0)
			return &units[i];
	return NULL;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool duration_parse(const char *s, int64_t *ns)
{
	const __int128 limit = (__int128)INT64_MAX + 1;
	bool neg = *s == '-';
	__int128 sum = 0;

	if (*s == '-' || *s == '+')
		s++;
	if (strcmp(s, "0") == 0) {
		*ns = 0;
		return true;
	}
	if (!*s)
		return false;
	while (*s) {
		__int128 whole = 0, frac = 0, scale = 1;
		bool digits = false;

		for (; is_digit(*s); s++, digits = true)
			if ((whole = whole * 10 + (*s - '0')) > limit)
				return false;
		if (*s == '.')
			for (s++; is_digit(*s); s++, digits = true)
				if (scale < 1000000000000000000) {
					frac = frac * 10 + (*s - '0');
					scale *= 10;
				}
		const struct unit *u = digits ? unit_at(s) : NULL;
		if (!u)
			return false;
		s += strlen(u->name);
		sum += whole * u->ns + frac * u->ns / scale;
		if (sum > limit)
			return false;
	}
	if (!neg && sum == limit)
		return false;
	*ns = (int64_t)(neg ? -sum : sum);
	return true;
}

/* value/10^digits without trailing zeros */
static int format_fraction(char *out, size_t room, uint64_t value, uint64_t one, const char *unit)
{
	char frac[24] = "";
	int n = 0;

	for (uint64_t rest = value % one, d = one / 10; rest; rest %= d, d /= 10)
		frac[n++] = (char)('0' + rest / d);
	frac[n] = '\0';
	return snprintf(out, room, "%llu%s%s%s", (unsigned long long)(value / one), n ? "." : "",
			frac, unit);
}

char *duration_format(int64_t ns, char buf[40])
{
	uint64_t u = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	char *p = buf;
	size_t room = 40;

	if (ns == 0)
		return strcpy(buf, "0s");
	if (ns < 0) {
		*p++ = '-';
		room--;
	}
	if (u < 1000) {
		snprintf(p, room, "%lluns", (unsigned long long)u);
	} else if (u < 1000000) {
		format_fraction(p, room, u, 1000, "\xc2\xb5s");
	} else if (u < 1000000000) {
		format_fraction(p, room, u, 1000000, "ms");
	} else {
		uint64_t h = u / 3600000000000u, m = u / 60000000000u % 60, s = u % 60000000000u;
		int n = 0;

		if (h)
			n = snprintf(p, room, "%lluh%llum", (unsigned long long)h,
				     (unsigned long long)m);
		else if (m)
			n = snprintf(p, room, "%llum", (unsigned long long)m);
		format_fraction(p + n, room - (size_t)n, s, 1000000000, "s");
	}
	return buf;
}
