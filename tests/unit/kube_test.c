/*
 * Paths, keys and the reading of common fields.
 */
#include "metallb/kube.h"

#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/kube/status.h"
#include "metallb/xalloc.h"

static void test_paths(void **state)
{
	static const struct {
		struct kube_ref ref;
		const char *path;
	} cases[] = {
		{{.resource = &kube_nodes}, "/api/v1/nodes"},
		{{.resource = &kube_nodes, .ns = "x", .name = "n1"}, "/api/v1/nodes/n1"},
		{{.resource = &kube_services}, "/api/v1/services"},
		{{.resource = &kube_services, .ns = ""}, "/api/v1/services"},
		{{.resource = &kube_services, .ns = "a", .name = "b", .subresource = "status"},
		 "/api/v1/namespaces/a/services/b/status"},
		{{.resource = &kube_ipaddresspools, .ns = "metallb-system"},
		 "/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools"},
		{{.resource = &kube_nodes, .name = "a/b c?d%\xc3\xa9"},
		 "/api/v1/nodes/a%2Fb%20c%3Fd%25%C3%A9"},
		{{.resource = &kube_nodes, .name = ".."}, "/api/v1/nodes/%2E%2E"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf path = {0};

		kube_path(&cases[i].ref, &path);
		assert_string_equal(buf_str(&path), cases[i].path);
		buf_fini(&path);
	}
}

static void test_queries(void **state)
{
	struct buf path = {0};

	(void)state;
	buf_add_str(&path, "/x");
	kube_path_query(&path, "labelSelector", "a=b,c in (d)");
	kube_path_query(&path, "limit", "5");
	assert_string_equal(buf_str(&path), "/x?labelSelector=a%3Db%2Cc%20in%20%28d%29&limit=5");
	buf_fini(&path);
}

static void test_keys(void **state)
{
	char *key = kube_key("ns", "name"), *bare = kube_key("", "name");
	const char *ns, *name;

	(void)state;
	assert_string_equal(key, "ns/name");
	kube_key_split(key, &ns, &name);
	assert_string_equal(ns, "ns");
	assert_string_equal(name, "name");
	kube_key_split(bare, &ns, &name);
	assert_string_equal(ns, "");
	assert_string_equal(name, "name");
	free(key);
	free(bare);
}

static void test_fields_of_any_shape(void **state)
{
	static const char text[] =
		"{\"metadata\":{\"name\":\"n\",\"uid\":7},\"list\":[],\"s\":\"x\"}";
	struct json_object *o = kube_json_parse(text, strlen(text));

	(void)state;
	assert_string_equal(kube_meta_str(o, "name"), "n");
	assert_string_equal(kube_meta_str(o, "uid"), "");
	assert_string_equal(kube_meta_str(NULL, "name"), "");
	assert_string_equal(kube_json_str(o, "s"), "x");
	assert_string_equal(kube_json_str(kube_json_get(o, "list"), "s"), "");
	assert_null(kube_json_get(o, "absent"));
	json_object_put(o);
}

static void test_json_text(void **state)
{
	static const struct {
		const char *text;
		bool ok;
	} cases[] = {{"{}", true}, {" [1]\n", true}, {"7", true},     {"", false},
		     {"{", false}, {"{} x", false},  {"[1,]", false}, {"nul", false}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct json_object *o = kube_json_parse(cases[i].text, strlen(cases[i].text));

		if (!o != !cases[i].ok)
			fail_msg("%s", cases[i].text);
		json_object_put(o);
	}
}

static void test_failures(void **state)
{
	static const char body[] = "{\"message\":\"say\\nno\"}";
	static const struct {
		struct kube_failure f;
		const char *body, *text;
	} cases[] = {
		{{.verb = "get", .resource = &kube_nodes, .name = "n", .error = "no route"},
		 NULL,
		 "get nodes n: no route"},
		{{.verb = "list", .resource = &kube_ipaddresspools, .status = 403},
		 body,
		 "list ipaddresspools.metallb.io: 403 Forbidden: say no"},
		{{.verb = "patch",
		  .resource = &kube_services,
		  .ns = "a",
		  .name = "b",
		  .status = 599,
		  .text = "<html>",
		  .text_len = 6},
		 NULL,
		 "patch services a/b: 599: <html>"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kube_failure f = cases[i].f;
		struct buf out = {0};

		if (cases[i].body)
			f.body = kube_json_parse(cases[i].body, strlen(cases[i].body));
		kube_failure_format(&f, &out);
		assert_string_equal(buf_str(&out), cases[i].text);
		json_object_put(f.body);
		buf_fini(&out);
	}
}

static void test_long_message_is_cut(void **state)
{
	char text[KUBE_STATUS_TEXT_MAX + 10];
	struct kube_failure f = {.verb = "get", .status = 500, .text = text};
	struct buf out = {0};

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text + KUBE_STATUS_TEXT_MAX - 1, "\xc3\xa9", 2); /* across the cut */
	f.text_len = sizeof(text);
	kube_failure_format(&f, &out);
	assert_int_equal(out.len,
			 strlen("get: 500 Internal Error: ") + KUBE_STATUS_TEXT_MAX - 1 + 3);
	assert_string_equal(buf_str(&out) + out.len - 4, "a...");
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_queries),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_fields_of_any_shape),
		cmocka_unit_test(test_json_text),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_long_message_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
