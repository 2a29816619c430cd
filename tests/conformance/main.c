/*
 * conformance {config|allocate|announce} FILE.jsonl [--verbose] [--id ID] [--exceptions FILE]
 *
 * Runs every case of the file through one part and prints each difference. A case that differs
 * only in ways that exceptions.json explains is counted apart. Exit status: 0 when none failed, 1
 * when some did, 2 when the run itself is impossible.
 */
#include <errno.h>
#include <getopt.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "metallb/xalloc.h"
#include "tests/conformance/conformance.h"

#define LINE_MAX_BYTES ((size_t)64 << 20)

struct options {
	const char *part, *file, *id, *exceptions;
	bool verbose;
};

struct counts {
	size_t passed, failed, excepted;
};

static const struct part {
	const char *name;
	int (*run)(json_object *test, struct conf_result *r);
} parts[] = {
	{"config", conformance_config},
#ifdef HAVE_ALLOCATE
	{"allocate", conformance_allocate},
#endif
#ifdef HAVE_ANNOUNCE
	{"announce", conformance_announce},
#endif
};

/* Does the pattern, when the class has one under this name, match the text? */
static bool class_matches(json_object *class, const char *name, const char *text)
{
	const char *pattern = conf_text(class, name);
	regex_t re;

	if (!*pattern)
		return true;
	if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
		fprintf(stderr, "conformance: bad pattern \"%s\"\n", pattern);
		exit(2);
	}
	bool ok = regexec(&re, text, 0, NULL, 0) == 0;

	regfree(&re);
	return ok;
}

/* The exception class that this difference falls under, or NULL. */
static json_object *class_find(json_object *classes, const char *part, json_object *test,
			       const struct conf_mismatch *m)
{
	for (size_t i = 0; i < json_object_array_length(classes); i++) {
		json_object *c = json_object_array_get_idx(classes, i);

		if (strcmp(conf_text(c, "part"), part) == 0 &&
		    class_matches(c, "rule", conf_text(test, "rule")) &&
		    class_matches(c, "mode", conf_text(test, "mode")) &&
		    class_matches(c, "aspect", m->aspect) &&
		    class_matches(c, "reason", m->reason) && class_matches(c, "text", m->text))
			return c;
	}
	return NULL;
}

/* A case counts for the class of its first difference. */
static void class_count(json_object *class)
{
	json_object *n = conf_get(class, "count");

	json_object_object_add(class, "count", json_object_new_int64(json_object_get_int64(n) + 1));
}

static void print_classes(json_object *classes, const struct counts *counts)
{
	size_t total = counts->passed + counts->failed + counts->excepted;

	for (size_t i = 0; i < json_object_array_length(classes); i++) {
		json_object *c = json_object_array_get_idx(classes, i);
		int64_t n = json_object_get_int64(conf_get(c, "count"));

		if (n > 0)
			printf("excepted %lld of %zu (%.1f %%): %s: %s\n", (long long)n, total,
			       100. * (double)n / (double)total, conf_text(c, "class"),
			       conf_text(c, "why"));
	}
}

static void print_case(json_object *test, const char *verdict)
{
	printf("%s %s [%s, %s] %s\n", verdict, conf_text(test, "id"), conf_text(test, "rule"),
	       conf_text(test, "mode"), conf_text(test, "note"));
}

static void judge(const struct options *opt, json_object *classes, json_object *test,
		  const struct conf_result *r, struct counts *counts)
{
	size_t explained = 0;

	for (size_t i = 0; i < r->n; i++)
		explained += class_find(classes, opt->part, test, &r->mismatches[i]) != NULL;
	if (r->n == 0) {
		counts->passed++;
		if (opt->verbose)
			print_case(test, "pass");
		return;
	}
	bool excepted = explained == r->n;

	if (excepted)
		class_count(class_find(classes, opt->part, test, &r->mismatches[0]));
	*(excepted ? &counts->excepted : &counts->failed) += 1;
	if (excepted && !opt->verbose)
		return;
	print_case(test, excepted ? "excepted" : "FAIL");
	for (size_t i = 0; i < r->n; i++) {
		const struct conf_mismatch *m = &r->mismatches[i];
		json_object *class = class_find(classes, opt->part, test, m);

		printf("  %s: %s\n", m->aspect, m->text);
		if (class)
			printf("    excepted: %s\n", conf_text(class, "why"));
	}
}

static void run_case(const struct options *opt, const struct part *part, json_object *classes,
		     json_object *test, struct counts *counts)
{
	struct conf_result r = {.verbose = opt->verbose};

	if (part->run(test, &r) < 0)
		conf_mismatch(&r, "case", NULL, "the case cannot be read");
	judge(opt, classes, test, &r, counts);
	for (size_t i = 0; i < r.n; i++) {
		free(r.mismatches[i].aspect);
		free(r.mismatches[i].reason);
		free(r.mismatches[i].text);
	}
	free(r.mismatches);
}

static json_object *parse_line(const char *line, size_t len)
{
	json_tokener *tok = json_tokener_new_ex(API_DEPTH_MAX);
	json_object *json = NULL;

	if (len <= INT32_MAX)
		json = json_tokener_parse_ex(tok, line, (int)len);
	json_tokener_free(tok);
	return json;
}

static int run_file(const struct options *opt, const struct part *part, json_object *classes,
		    struct counts *counts)
{
	FILE *f = fopen(opt->file, "r");
	_cleanup_free_ char *line = NULL;
	size_t room = 0, number = 0;
	ssize_t len;

	if (!f) {
		fprintf(stderr, "conformance: %s: %s\n", opt->file, strerror(errno));
		return 2;
	}
	while ((len = getline(&line, &room, f)) > 0) {
		number++;
		if (len == 1)
			continue;
		json_object *test =
			(size_t)len < LINE_MAX_BYTES ? parse_line(line, (size_t)len) : NULL;

		if (!test) {
			fprintf(stderr, "conformance: %s:%zu: not JSON\n", opt->file, number);
			fclose(f);
			return 2;
		}
		if (!opt->id || strcmp(opt->id, conf_text(test, "id")) == 0)
			run_case(opt, part, classes, test, counts);
		json_object_put(test);
	}
	fclose(f);
	return 0;
}

static int usage(FILE *out)
{
	fputs("usage: conformance {config|allocate|announce} FILE.jsonl [--verbose] [--id ID]\n"
	      "                   [--exceptions FILE]\n",
	      out);
	return out == stdout ? 0 : 2;
}

static const struct part *part_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (strcmp(parts[i].name, name) == 0)
			return &parts[i];
	fprintf(stderr, "conformance: there is no part \"%s\"\n", name);
	return NULL;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"verbose", no_argument, NULL, 'v'},
					      {"id", required_argument, NULL, 'i'},
					      {"exceptions", required_argument, NULL, 'e'},
					      {"help", no_argument, NULL, 'h'},
					      {NULL, 0, NULL, 0}};
	struct options opt = {.exceptions = CONFORMANCE_DIR "/exceptions.json"};
	struct counts counts = {0};

	for (int c; (c = getopt_long(argc, argv, "v", longs, NULL)) != -1;) {
		switch (c) {
		case 'v':
			opt.verbose = true;
			break;
		case 'i':
			opt.id = optarg;
			break;
		case 'e':
			opt.exceptions = optarg;
			break;
		case 'h':
			return usage(stdout);
		default:
			return usage(stderr);
		}
	}
	if (argc - optind != 2)
		return usage(stderr);
	opt.part = argv[optind];
	opt.file = argv[optind + 1];

	const struct part *part = part_find(opt.part);
	json_object *classes = json_object_from_file(opt.exceptions);

	if (!json_object_is_type(classes, json_type_array)) {
		fprintf(stderr, "conformance: %s: not a list of exceptions\n", opt.exceptions);
		return 2;
	}
	int rc = part ? run_file(&opt, part, classes, &counts) : 2;

	if (rc == 0)
		print_classes(classes, &counts);
	json_object_put(classes);
	if (rc)
		return rc;
	printf("%zu passed, %zu failed, %zu excepted\n", counts.passed, counts.failed,
	       counts.excepted);
	return counts.failed ? 1 : 0;
}
