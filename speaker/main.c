/*
 * The speaker: flags, the event loop, signals, and the wiring of what runs on it.
 */
#include <errno.h>
#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "metallb/kube_client.h"
#include "metallb/kube_config.h"
#include "metallb/log.h"
#include "metallb/table.h"
#include "metallb/xalloc.h"
#include "speaker/announcer.h"
#include "speaker/exclude.h"
#include "speaker/options.h"
#include "speaker/servers.h"

#define LEAVE_MAX_S 1.5 /* the pod's grace period is 2 s in MetalLB's manifests */
#define DRAIN_MAX_S 25. /* and 30 s in ours */

struct speaker {
	struct ev_loop *loop;
	struct options opt;
	struct kube_config *kube_config;
	struct kube_client *client;
	struct exclude *exclude;
	struct announcer *announcer;
	struct servers *servers;
	ev_signal term, interrupt;
	ev_timer leaving;
	ev_tstamp leave_began;
};

static bool client_start(struct speaker *s, struct err *err)
{
	struct kube_config_options options = {s->opt.kubeconfig, s->opt.context};

	s->kube_config = kube_config_load(&options, err);
	if (!s->kube_config)
		return false;
	if (!s->opt.ns[0])
		s->opt.ns = s->kube_config->ns;
	s->client = kube_client_new(s->loop, s->kube_config, "speaker", err);
	return s->client != NULL;
}

static bool speaker_start(struct speaker *s, struct err *err)
{
	s->exclude = exclude_load(s->opt.exclude_file, err);
	return s->exclude && client_start(s, err) &&
	       announcer_new(s->loop, s->client, &s->opt, s->exclude, &s->announcer, err) &&
	       servers_new(s->loop, s->client, &s->opt, s->announcer, &s->servers, err);
}

static void speaker_stop(struct speaker *s)
{
	servers_free(s->servers);
	announcer_free(s->announcer);
	kube_client_free(s->client);
	kube_config_free(s->kube_config);
	exclude_free(s->exclude);
}

/* Others take over meanwhile, until they can have heard of it; a drain is waited for longer. */
static void on_leaving(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct speaker *s = w->data;

	double max = announcer_is_draining(s->announcer) ? DRAIN_MAX_S : LEAVE_MAX_S;

	(void)revents;
	if (announcer_has_left(s->announcer) || ev_now(loop) - s->leave_began > max)
		ev_break(loop, EVBREAK_ALL);
}

static void on_signal(struct ev_loop *loop, ev_signal *w, int revents)
{
	struct speaker *s = w->data;

	(void)revents;
	log_info("stopping", "op", "shutdown", "signal", strsignal(w->signum), NULL);
	if (ev_is_active(&s->leaving)) { /* asked twice */
		ev_break(loop, EVBREAK_ALL);
		return;
	}
	announcer_leave(s->announcer);
	s->leave_began = ev_now(loop);
	ev_timer_start(loop, &s->leaving);
}

static const char *env_get(const char *name)
{
	return getenv(name);
}

static void process_prepare(const struct options *o)
{
	uint64_t seed;

	log_set_level(o->log_level);
	log_set_text(strcmp(o->log_format, "text") == 0);
	random_system.fill(random_system.user, &seed, sizeof(seed));
	table_seed(seed);
	signal(SIGPIPE, SIG_IGN);
	if (o->pprof_address[0])
		log_warn("--pprof-bind-address has no effect: there is no profiler", NULL);
}

int main(int argc, char **argv)
{
	struct speaker s = {0};
	struct err err = {0};

	if (!options_parse(&s.opt, argc, argv, env_get, &err)) {
		fprintf(stderr, "speaker: %s\n", err.msg);
		return 1;
	}
	if (s.opt.help) {
		options_print_help();
		return 0;
	}
	if (s.opt.version) {
		puts("speaker " METALLB_VERSION);
		return 0;
	}
	process_prepare(&s.opt);
	log_info("speaker starting", "version", METALLB_VERSION, "node", s.opt.node_name, NULL);
	s.loop = ev_default_loop(EVFLAG_AUTO);
	ev_timer_init(&s.leaving, on_leaving, .02, .02);
	ev_signal_init(&s.term, on_signal, SIGTERM);
	ev_signal_init(&s.interrupt, on_signal, SIGINT);
	s.term.data = s.interrupt.data = s.leaving.data = &s;
	ev_signal_start(s.loop, &s.term);
	ev_signal_start(s.loop, &s.interrupt);
	bool ok = speaker_start(&s, &err);

	if (ok)
		ev_run(s.loop, 0);
	else
		log_error("cannot start", "error", err.msg, NULL);
	speaker_stop(&s);
	ev_timer_stop(s.loop, &s.leaving);
	ev_signal_stop(s.loop, &s.term);
	ev_signal_stop(s.loop, &s.interrupt);
	ev_loop_destroy(s.loop);
	return ok ? 0 : 1;
}
