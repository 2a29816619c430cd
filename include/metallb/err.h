/*
 * A refusal's reason, for a human: it names the object and the field. Used by functions of the form
 * `bool f(..., struct err *err)`: false means refused and err->msg says why. err may be NULL.
 */
#ifndef METALLB_ERR_H
#define METALLB_ERR_H

#include <stdarg.h>
#include <stdbool.h>

#define ERR_MAX 1024

struct err {
	char msg[ERR_MAX]; /* UTF-8, cut to fit */
	bool transient;    /* a reference to something that may still come; not a mistake */
};

/* Always return false, so that refusing is one line: `return err_set(err, "...")`. */
bool err_set(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool err_set_transient(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Put context in front of the reason that is already there: "context: reason". */
bool err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
