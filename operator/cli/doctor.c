/*
 * kubectl metallb doctor: what in a cluster keeps us from working, and what to do about it.
 */
#include <ev.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "metallb/kube_client.h"
#include "metallb/xalloc.h"
#include "operator/cli/cli.h"
#include "operator/cli/doctor_gather.h"
#include "operator/kube_proxy.h"

static const char *get(json_object *o, const char *key)
{
	return kube_json_str(o, key);
}

/* ---- printing ---- */

static const struct {
	const char *verdict, *shown, *colour;
} looks[] = {
	{"ok", "ok", "\033[32m"},
	{"bad", "BAD", "\033[31m"},
	{"note", "note", "\033[33m"},
	{"unknown", "?", "\033[33m"},
};

static void print_finding(json_object *f, bool coloured)
{
	for (size_t i = 0; i < ARRAY_SIZE(looks); i++)
		if (strcmp(looks[i].verdict, get(f, "verdict")) == 0)
			printf("%s%-4s%s  %-17s  %s\n", coloured ? looks[i].colour : "",
			       looks[i].shown, coloured ? "\033[0m" : "", get(f, "check"),
			       get(f, "message"));
	if (*get(f, "fix"))
		printf("%25s-> %s\n", "", get(f, "fix"));
}

static void print_text(json_object *findings)
{
	const char *no_colour = getenv("NO_COLOR");
	bool coloured = isatty(STDOUT_FILENO) && !(no_colour && *no_colour);

	for (size_t i = 0; i < json_object_array_length(findings); i++)
		print_finding(json_object_array_get_idx(findings, i), coloured);
}

static int examine(const struct cli_options *opt, struct kube_client *client)
{
	struct doctor_facts facts = {0};
	struct err err;

	if (!doctor_gather(client, opt->ns, &facts, &err)) {
		fprintf(stderr, "kubectl-metallb: %s\n", err.msg);
		doctor_facts_fini(&facts);
		return 2;
	}
	json_object *findings = json_object_new_array();
	bool well = doctor_check(&facts, findings);

	if (opt->output == OUTPUT_TEXT)
		print_text(findings);
	else
		cli_print(findings, opt->output);
	json_object_put(findings);
	doctor_facts_fini(&facts);
	return !well;
}

/* ---- mending ---- */

struct answer {
	struct ev_loop *loop;
	json_object *body;
	struct err *err;
	bool ok;
};

static void on_answer(void *user, const struct kube_result *r)
{
	struct answer *a = user;

	a->ok = r->ok;
	a->body = json_object_get(r->body);
	if (!r->ok)
		(void)err_set(a->err, "%s", r->message);
	ev_break(a->loop, EVBREAK_ALL);
}

static bool write_config(struct kube_client *client, json_object *map, const char *key,
			 const char *text, struct err *err)
{
	struct kube_ref ref = {&kube_configmaps, KUBE_PROXY_NS, KUBE_PROXY_CONFIG, NULL};
	struct answer a = {.loop = kube_client_loop(client), .err = err};
	json_object *patch = json_object_new_object(), *data = json_object_new_object();
	json_object *meta = json_object_new_object();

	json_object_object_add(data, key, json_object_new_string(text));
	json_object_object_add(patch, "data", data);
	/* not over what somebody else writes meanwhile */
	json_object_object_add(meta, "resourceVersion",
			       json_object_new_string(kube_meta_str(map, "resourceVersion")));
	json_object_object_add(patch, "metadata", meta);
	kube_client_patch(client, &ref, KUBE_PATCH_MERGE, json_object_to_json_string(patch), NULL,
			  on_answer, &a);
	ev_run(a.loop, 0);
	json_object_put(patch);
	json_object_put(a.body);
	return a.ok;
}

static bool fix_strict_arp(struct kube_client *client, struct err *err)
{
	struct kube_ref ref = {&kube_configmaps, KUBE_PROXY_NS, KUBE_PROXY_CONFIG, NULL};
	struct answer a = {.loop = kube_client_loop(client), .err = err};
	_cleanup_(buf_fini) struct buf mode = {0}, text = {0};
	const char *key;

	kube_client_get(client, &ref, on_answer, &a);
	ev_run(a.loop, 0);
	if (!a.ok) {
		json_object_put(a.body);
		return false;
	}
	bool loose = kube_proxy_check(a.body, &mode) == KUBE_PROXY_LOOSE;
	bool ok = !loose || (kube_proxy_set_strict_arp(a.body, &key, &text, err) &&
			     write_config(client, a.body, key, buf_str(&text), err));

	json_object_put(a.body);
	if (ok && loose)
		puts("strictARP is set. Now let kube-proxy read it:\n"
		     "  kubectl -n kube-system rollout restart daemonset kube-proxy");
	else if (ok)
		puts("nothing to do: kube-proxy is not in IPVS mode without strictARP");
	return ok;
}

static int fix(const struct cli_options *opt, struct kube_client *client)
{
	struct err err;

	if (strcmp(opt->fix, "strict-arp") != 0) {
		fprintf(stderr, "kubectl-metallb: nothing known to fix: %s (strict-arp)\n",
			opt->fix);
		return 2;
	}
	if (fix_strict_arp(client, &err))
		return 0;
	fprintf(stderr, "kubectl-metallb: %s\n", err.msg);
	return 2;
}

int cli_doctor(const struct cli_options *opt)
{
	struct kube_config_options where = {.kubeconfig = opt->kubeconfig, .context = opt->context};
	struct err err;
	struct kube_config *config = kube_config_load(&where, &err);
	struct kube_client *client =
		config ? kube_client_new(ev_default_loop(0), config, "kubectl-metallb", &err)
		       : NULL;
	int rc = 2;

	if (!client)
		fprintf(stderr, "kubectl-metallb: %s\n", err.msg);
	else
		rc = opt->fix ? fix(opt, client) : examine(opt, client);
	kube_client_free(client);
	kube_config_free(config);
	return rc;
}
