/*
 * The detector on a UDP socket.
 */
#ifndef LIVENESS_IO_H
#define LIVENESS_IO_H

#include "metallb/err.h"
#include "speaker/liveness/liveness.h"

struct ev_loop;
struct liveness_io;

/* Called with every output but packets. The engine may be fed in it. */
typedef void (*liveness_output_fn)(void *user, const struct liveness_output *o);

/* Binds addr and port, which all nodes share. 0, or -errno with the reason in *err. */
int liveness_io_new(struct ev_loop *loop, const struct liveness_config *cfg, const struct ip *addr,
		    uint16_t port, liveness_output_fn on_output, void *user,
		    struct liveness_io **out, struct err *err);
struct liveness_io *liveness_io_free(struct liveness_io *io); /* returns NULL; NULL is fine */
struct liveness *liveness_io_engine(const struct liveness_io *io);
/* After any input to the engine: send, tell, arm the timer. */
void liveness_io_flush(struct liveness_io *io);

#endif
