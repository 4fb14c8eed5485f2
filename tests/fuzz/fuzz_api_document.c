/* An OpenAPI document of anybody's: whatever comes in, it is refused with a sentence, or its operations have names of
 * their own, schemas that can be judged, and make requests that stay at their address. */
#include <ctype.h>
#include <stdlib.h>

#include "agent/apis/document.h"
#include "agent/apis/request.h"
#include "io/json_schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_name(const char *name)
{
	size_t n = strlen(name);

	check(n > 0 && n <= API_NAME_MAX);
	for (size_t i = 0; i < n; i++)
		check(isalnum((unsigned char)name[i]) || name[i] == '_' || name[i] == '-');
}

static void check_operation(struct arena *a, const struct api_document *doc, const struct api_operation *o)
{
	static const char base[] = "https://host.example/v1";
	yyjson_val *spec, *arguments, *schemes;
	struct error err = {0};
	struct api_request r;

	check_name(o->name);
	if (o->problem)
		return;
	spec = yyjson_doc_get_root(json_parse_depth(a, o->spec.p, o->spec.n, 200, NULL));
	schemes = yyjson_doc_get_root(json_parse(a, doc->schemes, strlen(doc->schemes), NULL));
	check(spec && json_schema_check(json_get_obj(spec, "parameters"), &err) == 0);
	/* Every argument is one that would like to be more. */
	yyjson_mut_doc *mut;
	yyjson_mut_val *made = json_new_obj(a, &mut);
	yyjson_val *key, *val;
	size_t i, max;
	yyjson_obj_foreach(json_get_obj(json_get_obj(spec, "parameters"), "properties"), i, max, key, val)
		yyjson_mut_obj_add(made, yyjson_val_mut_copy(mut, key), yyjson_mut_str(mut, "../x?y#z\r\nHost: evil"));
	struct str text = json_text(a, mut);
	arguments = yyjson_doc_get_root(json_parse(a, text.p, text.n, NULL));
	check(arguments != NULL);
	if (api_request_make(a, spec, base, arguments, schemes, NULL, "key", &r, &err) < 0) {
		check(*err.code && *err.message);
		return;
	}
	check(strncmp(r.url, base, sizeof(base) - 1) == 0 && r.url[sizeof(base) - 1] == '/');
	check(!strpbrk(r.url, "\r\n #") && !strstr(r.url, "/../"));
	for (const char *const *h = r.headers; *h; h++)
		check(!strpbrk(*h, "\r\n"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena *a = arena_new();
	struct api_document doc;
	struct error err = {0};

	if (api_document_read(a, (struct str){(const char *)data, n}, &doc, &err) < 0)
		check(*err.code && *err.message);
	else
		for (size_t i = 0; i < doc.n_operations; i++)
			check_operation(a, &doc, &doc.operations[i]);
	arena_free(a);
	return 0;
}
