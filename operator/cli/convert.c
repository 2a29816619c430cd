/*
 * kubectl metallb convert: the ConfigMap that configured MetalLB v0.9 to v0.12 as resources. Reads
 * every ConfigMap that has the key `config`, alone or among other objects, and writes manifests to
 * standard output, notes for a person to standard error.
 */
#include <stdio.h>
#include <string.h>

#include "operator/cli/cli.h"
#include "operator/cli/old_config.h"

struct convert {
	const struct cli_options *opt;
	json_object *items, *notes;
	size_t n_found;
};

static bool convert_text(struct convert *c, json_object *text, struct err *err)
{
	c->n_found++;
	return old_config_convert(json_object_get_string(text),
				  (size_t)json_object_get_string_len(text), c->opt->ns, c->items,
				  c->notes, err);
}

/* A document without a kind is taken for the configuration itself. */
static bool is_bare(const struct doc *doc)
{
	return !*doc->kind_name && (json_object_object_get_ex(doc->json, "address-pools", NULL) ||
				    json_object_object_get_ex(doc->json, "peers", NULL));
}

static bool convert_doc(struct convert *c, const struct doc *doc, struct err *err)
{
	json_object *data, *text;

	if (!json_object_is_type(doc->json, json_type_object))
		return true;
	if (is_bare(doc))
		return err_set(err,
			       "%s:%zu: this is the configuration itself; put it under the key "
			       "config of a ConfigMap",
			       doc->file, doc->line);
	if (strcmp(doc->kind_name, "ConfigMap") != 0 ||
	    !json_object_object_get_ex(doc->json, "data", &data) ||
	    !json_object_is_type(data, json_type_object) ||
	    !json_object_object_get_ex(data, "config", &text) ||
	    !json_object_is_type(text, json_type_string))
		return true;
	return convert_text(c, text, err) ||
	       err_wrap(err, "%s:%zu: ConfigMap %s: key config", doc->file, doc->line, doc->name);
}

static void print(const struct convert *c)
{
	size_t n = json_object_array_length(c->items);

	for (size_t i = 0; i < json_object_array_length(c->notes); i++)
		fprintf(stderr, "note: %s\n",
			json_object_get_string(json_object_array_get_idx(c->notes, i)));
	if (c->opt->output == OUTPUT_JSON) {
		json_object *list = json_object_new_object();

		json_object_object_add(list, "apiVersion", json_object_new_string("v1"));
		json_object_object_add(list, "kind", json_object_new_string("List"));
		json_object_object_add(list, "items", json_object_get(c->items));
		cli_print(list, OUTPUT_JSON);
		json_object_put(list);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			puts("---");
		cli_print(json_object_array_get_idx(c->items, i), OUTPUT_YAML);
	}
}

int cli_convert(const struct cli_options *opt)
{
	struct convert c = {
		.opt = opt, .items = json_object_new_array(), .notes = json_object_new_array()};
	struct docs docs;
	struct err err;
	bool read = true, ok = true;

	docs_init(&docs, opt->ns);
	for (size_t i = 0; i < opt->n_paths && read; i++)
		read = docs_load(&docs, opt->paths[i], &err);
	for (size_t i = 0; read && i < docs.n && ok; i++)
		ok = convert_doc(&c, &docs.items[i], &err);
	if (read && ok && c.n_found == 0)
		read = err_set(&err, "no ConfigMap with the key config in it");
	if (read && ok)
		print(&c);
	else
		fprintf(stderr, "kubectl-metallb: %s\n", err.msg);
	docs_fini(&docs);
	json_object_put(c.items);
	json_object_put(c.notes);
	return !read ? 2 : !ok;
}
