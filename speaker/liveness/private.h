/*
 * Inside the detector: its state, shared by liveness.c (inputs, time), session.c (what comes from a
 * peer and goes to it) and verdict.c (the ring, who is dead).
 */
#ifndef LIVENESS_PRIVATE_H
#define LIVENESS_PRIVATE_H

#include "metallb/table.h"
#include "speaker/bfd/session.h"
#include "speaker/liveness/liveness.h"

#define HELLO_INTERVAL   (1 * USEC_PER_SEC)
#define HELLO_MIN        (50 * USEC_PER_MSEC) /* between two to one peer */
#define ASK_INTERVAL     (100 * USEC_PER_MSEC)
#define ASK_TRIES        3
#define ASK_MIN          (5 * USEC_PER_MSEC)   /* between two to one peer */
#define ASK_AGAIN        (200 * USEC_PER_MSEC) /* those in trouble */
#define LOOK_AGAIN       (1 * USEC_PER_SEC)    /* whether any are */
#define ANSWERS_MAX      500                   /* each second */
#define QUESTIONS_MAX    64                    /* about addresses, at once */
#define POKES            3
#define PAUSE_MIN        (10 * USEC_PER_MSEC) /* lateness that counts as not having run */
#define LOST_PEERS_ASKED 8                    /* that gossip has given up, at a time */
#define FORGET           (600 * USEC_PER_SEC)

struct peer {
	char name[LIVENESS_NAME_MAX + 1];
	uint64_t order; /* place on the ring */
	struct ip addr;
	bool listed, usable; /* by gossip */
	usec_t unusable_since;
	bool near;    /* a neighbour on the ring */
	size_t place; /* on the ring, while usable */

	/* The handshake: a token is good for one session, so nothing recorded can begin another. */
	uint64_t issued;           /* what the next session of this peer must carry */
	uint64_t session;          /* the peer's, 0: none */
	uint64_t token_in;         /* what it must carry in this session */
	uint64_t token_out;        /* what we must carry */
	uint64_t offered;          /* by the peer's last greeting */
	uint64_t newest;           /* the highest counter heard in this session */
	usec_t hello_due, replied; /* the next greeting; the last one that was an answer */
	struct bfd_session bfd;    /* with a session */
	bool expired;              /* was Up, is not heard any more */
	usec_t last_heard;

	struct liveness_state *state; /* NULL: it never said */
	uint32_t generation;
	usec_t answered; /* when it last proved to be there; 0: never */

	uint64_t nonce; /* of the question it has not answered yet; 0: none */
	unsigned tries;
	usec_t ask_due, ask_last; /* ask_due USEC_NEVER: no question */

	uint64_t spoke; /* the session of the process that said `state` */

	enum liveness_verdict verdict;
};

struct question {
	char name[LIVENESS_NAME_MAX + 1];
	struct ip ip;
	uint64_t nonce;
	unsigned tries;
	usec_t due;
};

struct liveness {
	struct liveness_config cfg;
	const struct random_source *random;
	uint64_t session, counter;
	struct liveness_state self;
	uint32_t generation;
	bool leaving;

	struct table names; /* -> struct peer */
	struct peer **ring; /* usable peers in ring order; `own` is this node's place among them */
	size_t n_ring, cap_ring, own;

	struct question questions[QUESTIONS_MAX];
	size_t n_questions;

	usec_t planned; /* when tick was to be called */
	usec_t missed;  /* how long this process has not run, all in all */
	usec_t trouble_due;
	usec_t poke_due;
	unsigned pokes_left;
	usec_t answers_since;
	unsigned n_answers;

	struct liveness_output *outputs;
	size_t n_outputs, cap_outputs, next_output;
};

/* Time as the sessions see it: without what was missed. */
static inline usec_t session_time(const struct liveness *l, usec_t now)
{
	return now - l->missed;
}

struct peer *peer_find(const struct liveness *l, const char *name);
struct liveness_output *output_add(struct liveness *l, enum liveness_output_type type);
void drop(struct liveness *l, const char *why);
void changed(struct liveness *l);
/* What this node says of itself is another: poke everybody. */
void self_changed(struct liveness *l, usec_t now);

/* session.c */
uint64_t random_token(struct liveness *l); /* never 0 */
void peer_recv(struct liveness *l, struct peer *p, const struct liveness_message *m, usec_t now);
void peer_ask(struct liveness *l, struct peer *p, usec_t now);
void peer_tick(struct liveness *l, struct peer *p, usec_t now);
usec_t peer_deadline(const struct liveness *l, const struct peer *p);
void peer_poke(struct liveness *l, struct peer *p);
void peer_session_end(struct peer *p);
void question_send(struct liveness *l, struct question *q);
void questions_answered(struct liveness *l, const struct liveness_message *m);

/* verdict.c */
void ring_rebuild(struct liveness *l, usec_t now);
void verdicts_update(struct liveness *l, usec_t now);
/* The nodes that this one does not hear any more, into self.down; true when the list changed. */
bool downs_update(struct liveness *l);
uint64_t ring_order(const char *name);

#endif
