/*
 * Reasons of refusals: formatting and wrapping. Pure.
 */
#include "metallb/err.h"

#include <stdio.h>
#include <string.h>

static void err_vset(struct err *err, bool transient, const char *fmt, va_list ap)
{
	if (!err)
		return;
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	err->transient = transient;
}

bool err_set(struct err *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(err, false, fmt, ap);
	va_end(ap);
	return false;
}

bool err_set_transient(struct err *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(err, true, fmt, ap);
	va_end(ap);
	return false;
}

bool err_wrap(struct err *err, const char *fmt, ...)
{
	char head[ERR_MAX], tail[ERR_MAX];
	va_list ap;

	if (!err)
		return false;
	va_start(ap, fmt);
	vsnprintf(head, sizeof(head), fmt, ap);
	va_end(ap);
	memcpy(tail, err->msg, sizeof(tail));

	size_t n = strlen(head), m = strlen(tail);

	if (n > sizeof(err->msg) - 3)
		n = sizeof(err->msg) - 3;
	memcpy(err->msg, head, n);
	memcpy(err->msg + n, ": ", 2);
	n += 2;
	if (m > sizeof(err->msg) - 1 - n)
		m = sizeof(err->msg) - 1 - n;
	memcpy(err->msg + n, tail, m);
	err->msg[n + m] = '\0';
	return false;
}
