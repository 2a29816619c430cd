/*
 * kubectl-metallb, which kubectl finds as `kubectl metallb`: command line and commands.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operator/cli/cli.h"

static const char help[] =
	"usage: kubectl metallb COMMAND [OPTION...] [FILE|DIRECTORY|-]...\n"
	"\n"
	"commands:\n"
	"  validate FILE...       what admission would say to these manifests, offline\n"
	"  plan FILE...           which Service gets which address, who announces it, and why not\n"
	"  plan --cluster         the same for a running cluster\n"
	"  why SERVICE            of a cluster: its addresses, who announces it, why others do "
	"not\n"
	"  doctor                 what in a cluster is in our way, and what to do about it\n"
	"  doctor --fix strict-arp  set strictARP in kube-proxy's configuration\n"
	"  convert FILE...        the ConfigMap of MetalLB v0.9 to v0.12 as resources\n"
	"\n"
	"options:\n"
	"  -n, --namespace NAME   namespace of MetalLB (metallb-system); why: of the Service\n"
	"      --system-namespace NAME  namespace of MetalLB, for why\n"
	"      --backend NAME     native, frr or frr-k8s: whose limits hold ($METALLB_BGP_TYPE, "
	"native)\n"
	"  -o, --output FORMAT    json, or yaml; text for a person when not given\n"
	"      --before DIR       plan: show what changes against the manifests in DIR\n"
	"      --lb-class NAME    plan, why: the load balancer class that is served\n"
	"      --shared-address-election service|group  plan, why: as the speakers have it\n"
	"      --cluster          plan: read from the API server\n"
	"      --kubeconfig FILE  as kubectl has it\n"
	"      --context NAME\n"
	"      --version, --help\n"
	"\n"
	"exit status: 0 fine; 1 validate found errors, plan --before found changes, convert met\n"
	"something that MetalLB did not know, doctor found something bad; 2 trouble\n";

static int usage_error(const char *what, const char *arg)
{
	fprintf(stderr, "kubectl-metallb: %s%s%s\nTry kubectl metallb --help.\n", what,
		arg ? ": " : "", arg ? arg : "");
	return 2;
}

static bool parse_backend(const char *s, enum bgp_backend *out)
{
	static const char *const names[] = {
		[BACKEND_NATIVE] = "native",
		[BACKEND_FRR] = "frr",
		[BACKEND_FRR_K8S] = "frr-k8s",
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], s) == 0) {
			*out = (enum bgp_backend)i;
			return true;
		}
	return false;
}

static bool parse_output(const char *s, enum output *out)
{
	if (strcmp(s, "json") == 0)
		*out = OUTPUT_JSON;
	else if (strcmp(s, "yaml") == 0)
		*out = OUTPUT_YAML;
	else
		return false;
	return true;
}

enum {
	OPT_BACKEND = 256,
	OPT_BEFORE,
	OPT_CLASS,
	OPT_CLUSTER,
	OPT_KUBECONFIG,
	OPT_CONTEXT,
	OPT_FIX,
	OPT_SYSTEM_NAMESPACE,
	OPT_SHARED,
	OPT_VERSION
};

static const struct option longs[] = {
	{"namespace", required_argument, NULL, 'n'},
	{"backend", required_argument, NULL, OPT_BACKEND},
	{"output", required_argument, NULL, 'o'},
	{"before", required_argument, NULL, OPT_BEFORE},
	{"lb-class", required_argument, NULL, OPT_CLASS},
	{"cluster", no_argument, NULL, OPT_CLUSTER},
	{"kubeconfig", required_argument, NULL, OPT_KUBECONFIG},
	{"context", required_argument, NULL, OPT_CONTEXT},
	{"fix", required_argument, NULL, OPT_FIX},
	{"system-namespace", required_argument, NULL, OPT_SYSTEM_NAMESPACE},
	{"shared-address-election", required_argument, NULL, OPT_SHARED},
	{"version", no_argument, NULL, OPT_VERSION},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

/* -1: go on; else the exit status. */
static int parse_option(struct cli_options *opt, int c)
{
	switch (c) {
	case 'n':
		opt->given_ns = optarg;
		return -1;
	case OPT_SYSTEM_NAMESPACE:
		opt->system_ns = optarg;
		return -1;
	case OPT_SHARED:
		opt->group_shared = strcmp(optarg, "group") == 0;
		return opt->group_shared || strcmp(optarg, "service") == 0
			       ? -1
			       : usage_error("no such election", optarg);
	case 'o':
		return parse_output(optarg, &opt->output)
			       ? -1
			       : usage_error("no such output format", optarg);
	case OPT_BACKEND:
		return parse_backend(optarg, &opt->backend)
			       ? -1
			       : usage_error("no such backend", optarg);
	case OPT_BEFORE:
		opt->before = optarg;
		return -1;
	case OPT_CLASS:
		opt->lb_class = optarg;
		return -1;
	case OPT_CLUSTER:
		opt->cluster = true;
		return -1;
	case OPT_KUBECONFIG:
		opt->kubeconfig = optarg;
		return -1;
	case OPT_CONTEXT:
		opt->context = optarg;
		return -1;
	case OPT_FIX:
		opt->fix = optarg;
		return -1;
	case OPT_VERSION:
		puts("kubectl-metallb " METALLB_VERSION);
		return 0;
	case 'h':
		fputs(help, stdout);
		return 0;
	default:
		return usage_error("bad option", NULL);
	}
}

static int run(const struct cli_options *opt, const char *command)
{
	if (strcmp(command, "validate") == 0) {
		if (opt->cluster || opt->before)
			return usage_error("validate takes neither --cluster nor --before", NULL);
		if (opt->n_paths == 0)
			return usage_error("validate needs a file", NULL);
		return cli_validate(opt);
	}
	if (strcmp(command, "plan") == 0) {
		if (opt->n_paths == 0 && !opt->cluster)
			return usage_error("plan needs a file or --cluster", NULL);
		return cli_plan(opt);
	}
	if (strcmp(command, "convert") == 0) {
		if (opt->n_paths == 0)
			return usage_error("convert needs a file", NULL);
		return cli_convert(opt);
	}
	if (strcmp(command, "doctor") == 0) {
		if (opt->n_paths > 0)
			return usage_error("doctor takes no file", NULL);
		return cli_doctor(opt);
	}
	if (strcmp(command, "why") == 0) {
		if (opt->n_paths != 1)
			return usage_error("why needs the name of one Service", NULL);
		return cli_why(opt);
	}
	return usage_error("no such command", command);
}

int main(int argc, char **argv)
{
	struct cli_options opt = {.ns = "metallb-system", .lb_class = ""};
	const char *backend = getenv("METALLB_BGP_TYPE");

	if (backend && *backend && !parse_backend(backend, &opt.backend))
		return usage_error("no such backend in METALLB_BGP_TYPE", backend);
	for (int c; (c = getopt_long(argc, argv, "n:o:h", longs, NULL)) != -1;) {
		int rc = parse_option(&opt, c);

		if (rc >= 0)
			return rc;
	}
	if (optind == argc)
		return usage_error("no command given", NULL);
	opt.paths = argv + optind + 1;
	opt.n_paths = (size_t)(argc - optind - 1);
	if (opt.system_ns)
		opt.ns = opt.system_ns;
	else if (opt.given_ns && strcmp(argv[optind], "why") != 0)
		opt.ns = opt.given_ns;
	return run(&opt, argv[optind]);
}
