/*
 * Drives the API client from the command line, for the fault tests: prints one line for each thing
 * that happens, until SIGTERM or the end of stdin.
 *
 *	kube_probe KUBECONFIG watch PLURAL     add|update|delete KEY, synced N, state TEXT
 *	kube_probe KUBECONFIG get PATH	       status and body length, or the error
 *	kube_probe KUBECONFIG lease NS/NAME ID	started, stopped, leader ID
 *	kube_probe KUBECONFIG crowd NS/NAME ID	lease, behind a hundred other requests and an Event
 *	kube_probe KUBECONFIG event NS/NAME N	N Events about one Service, then as they are told
 */
#include <ev.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "metallb/kube_client.h"
#include "metallb/kube_event.h"
#include "metallb/kube_informer.h"
#include "metallb/kube_lease.h"
#include "metallb/log.h"
#include "metallb/xalloc.h"

static const struct kube_resource *const resources[] = {
	&kube_namespaces, &kube_nodes,          &kube_pods,           &kube_services,
	&kube_endpoints,  &kube_endpointslices, &kube_ipaddresspools, &kube_leases,
};

static struct ev_loop *loop;
static struct kube_client *client;

static void *decode(struct json_object *object, struct err *err)
{
	struct json_object *spec = kube_json_get(object, "spec");

	if (spec && !json_object_is_type(spec, json_type_object)) {
		(void)err_set(err, "spec: not an object");
		return NULL;
	}
	return xstrdup(kube_meta_str(object, "resourceVersion"));
}

static void on_change(void *user, const char *key, void *before, void *after)
{
	(void)user;
	printf("%s %s\n", !before ? "add" : after ? "update" : "delete", key);
}

static void on_synced(void *user)
{
	struct kube_informer **informer = user;

	printf("synced %zu\n", kube_store_count(kube_informer_store(*informer)));
}

static void on_state(void *user, const char *error)
{
	(void)user;
	printf("state %s\n", error ? error : "ok");
}

static int watch(const char *plural)
{
	static struct kube_informer *informer;
	struct kube_informer_spec spec = {
		.n_sources = 1,
		.free_value = free,
		.on_change = on_change,
		.on_synced = on_synced,
		.on_state = on_state,
		.user = &informer,
	};

	for (size_t i = 0; i < ARRAY_SIZE(resources); i++)
		if (strcmp(resources[i]->plural, plural) == 0)
			spec.sources[0] = (struct kube_source){resources[i], decode};
	if (strcmp(plural, "endpointslices") == 0) {
		spec.sources[1] = (struct kube_source){&kube_endpointslices_v1beta1, decode};
		spec.sources[2] = (struct kube_source){&kube_endpoints, decode};
		spec.n_sources = 3;
	}
	if (!spec.sources[0].resource)
		return 2;
	informer = kube_informer_new(client, &spec);
	ev_run(loop, 0);
	kube_informer_free(informer);
	return 0;
}

static void on_got(void *user, const struct kube_result *r)
{
	int *code = user;

	if (r->ok)
		printf("ok %d\n", r->status);
	else
		printf("failed %d %s\n", r->status, r->message);
	*code = r->ok ? 0 : 1;
	ev_break(loop, EVBREAK_ALL);
}

static int get(const char *path)
{
	int code = 1;

	kube_client_get_path(client, path, on_got, &code);
	ev_run(loop, 0);
	return code;
}

static void on_started(void *user)
{
	(void)user;
	puts("started");
}

static void on_stopped(void *user)
{
	(void)user;
	puts("stopped");
}

static void on_leader(void *user, const char *identity)
{
	(void)user;
	printf("leader %s\n", identity);
}

static void on_released(void *user)
{
	(void)user;
	*(bool *)user = true;
	puts("released");
	ev_break(loop, EVBREAK_ALL);
}

static int lease(char *key, const char *identity)
{
	struct kube_lease_spec spec = {
		.identity = identity,
		.duration = 4 * USEC_PER_SEC,
		.renew = 3 * USEC_PER_SEC,
		.retry = USEC_PER_SEC / 2,
		.on_started = on_started,
		.on_stopped = on_stopped,
		.on_leader = on_leader,
	};
	struct kube_lease *l;
	bool released = false;
	struct err err;

	kube_key_split(key, &spec.ns, &spec.name);
	l = kube_lease_new(client, &spec, &err);
	if (!l) {
		printf("refused %s\n", err.msg);
		return 2;
	}
	ev_run(loop, 0);
	kube_lease_release(l, on_released, &released);
	while (!released)
		ev_run(loop, 0);
	kube_lease_free(l);
	return 0;
}

/* More requests than go at once, an Event among them, then the lease. */
static int crowd(char *key, const char *identity)
{
	struct kube_ref ref = {.resource = &kube_services, .ns = "ns", .name = "s"};
	struct kube_ref event = {.resource = &kube_events, .ns = "ns", .name = "e"};

	kube_client_create(client, &event, "{}", NULL, NULL); /* the first may start */
	for (int i = 0; i < 100; i++)
		kube_client_create(client, &ref, "{}", NULL, NULL);
	kube_client_create(client, &event, "{}", NULL, NULL);
	return lease(key, identity);
}

static int event(char *key, int n)
{
	struct kube_recorder *r = kube_recorder_new(client, "kube-probe", NULL);
	struct kube_event_object object = {.resource = &kube_services, .uid = "0-1"};

	kube_key_split(key, &object.ns, &object.name);
	for (int i = 0; i < n; i++)
		kube_recorder_event(r, &object, "Normal", "Probed", "the same each time");
	ev_run(loop, 0);
	kube_recorder_free(r);
	return 0;
}

static void on_stdin(struct ev_loop *l, ev_io *io, int revents)
{
	char piece[64];

	(void)revents;
	if (read(io->fd, piece, sizeof(piece)) <= 0) {
		ev_io_stop(l, io);
		ev_break(l, EVBREAK_ALL);
	}
}

static void on_signal(struct ev_loop *l, ev_signal *s, int revents)
{
	(void)s;
	(void)revents;
	ev_break(l, EVBREAK_ALL);
}

static int run(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[2], "watch") == 0)
		return watch(argv[3]);
	if (argc == 4 && strcmp(argv[2], "get") == 0)
		return get(argv[3]);
	if (argc == 5 && strcmp(argv[2], "lease") == 0)
		return lease(argv[3], argv[4]);
	if (argc == 5 && strcmp(argv[2], "crowd") == 0)
		return crowd(argv[3], argv[4]);
	if (argc == 5 && strcmp(argv[2], "event") == 0)
		return event(argv[3], atoi(argv[4]));
	fputs("usage: kube_probe KUBECONFIG watch|get|lease|crowd|event ARGS\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	struct kube_config_options options = {.kubeconfig = argc > 1 ? argv[1] : NULL};
	struct kube_config *config;
	struct err err;
	ev_signal term;
	ev_io in;
	int code;

	setvbuf(stdout, NULL, _IOLBF, 0);
	log_set_level(getenv("KUBE_PROBE_LOG") ? LOG_WARN : LOG_NONE);
	config = kube_config_load(&options, &err);
	loop = ev_default_loop(0);
	client = config ? kube_client_new(loop, config, "kube-probe", &err) : NULL;
	kube_config_free(config);
	if (!client) {
		printf("refused %s\n", err.msg);
		return 2;
	}
	ev_signal_init(&term, on_signal, SIGTERM);
	ev_signal_start(loop, &term);
	ev_io_init(&in, on_stdin, STDIN_FILENO, EV_READ);
	ev_io_start(loop, &in);
	code = run(argc, argv);
	kube_client_free(client);
	ev_loop_destroy(loop);
	return code;
}
