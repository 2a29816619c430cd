/*
 * kubectl-metallb: what its commands share. Exit status of every command: 0 fine, 1 the answer is
 * "no" or something differs, 2 the command could not be carried out.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "metallb/config.h"
#include "operator/cli/input.h"

enum output { OUTPUT_TEXT, OUTPUT_JSON, OUTPUT_YAML };

struct cli_options {
	const char *ns;        /* MetalLB's namespace */
	const char *given_ns;  /* -n; NULL: not given */
	const char *system_ns; /* --system-namespace; NULL: not given */
	enum bgp_backend backend;
	enum output output;
	const char *before; /* plan: directory of the state to compare with; NULL: none */
	bool cluster;       /* plan: read from the API server */
	const char *kubeconfig, *context;
	const char *lb_class;
	bool group_shared; /* plan, why: Services that share an address are elected together */
	const char *fix;   /* doctor: what to mend; NULL: only look */
	char **paths;
	size_t n_paths;
};

int cli_validate(const struct cli_options *opt); /* validate.c */
int cli_convert(const struct cli_options *opt);  /* convert.c */
int cli_doctor(const struct cli_options *opt);   /* doctor.c */
int cli_plan(const struct cli_options *opt);     /* plan.c */
int cli_why(const struct cli_options *opt);      /* why.c */

/* Print a JSON value as JSON or YAML. */
void cli_print(json_object *v, enum output output); /* print.c */

#endif
