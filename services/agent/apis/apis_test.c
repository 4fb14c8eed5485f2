#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/apis/document.h"
#include "agent/apis/request.h"
#include "io/json_schema.h"

#define HEAD "openapi: 3.1.0\ninfo: {title: Test, version: '1'}\n"

struct world {
	struct arena *arena;
	struct api_document doc;
};

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->arena = arena_new();
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	arena_free(w->arena);
	free(w);
	return 0;
}

static void read_text(struct world *w, const char *text)
{
	struct error err = {0};

	if (api_document_read(w->arena, str_of(text), &w->doc, &err) < 0)
		fail_msg("%s: %s", err.code, err.message);
}

static void refuses(struct world *w, const char *text, const char *code)
{
	struct error err = {0};

	assert_int_equal(api_document_read(w->arena, str_of(text), &w->doc, &err), -22);
	if (strcmp(err.code, code) != 0)
		fail_msg("%s: %s", err.code, err.message);
}

static yyjson_val *json(struct world *w, const char *text)
{
	struct error err = {0};
	yyjson_doc *doc = json_parse(w->arena, text, strlen(text), &err);

	if (!doc)
		fail_msg("%s: %s", err.message, text);
	return yyjson_doc_get_root(doc);
}

static yyjson_val *spec_of(struct world *w, size_t i)
{
	assert_true(i < w->doc.n_operations);
	if (w->doc.operations[i].problem)
		fail_msg("%s", w->doc.operations[i].problem);
	return json(w, w->doc.operations[i].spec.p);
}

static yyjson_val *parameters_of(struct world *w, size_t i)
{
	return json_get_obj(spec_of(w, i), "parameters");
}

static const char *header_of(const struct api_request *r, const char *name)
{
	for (const char *const *h = r->headers; *h; h++)
		if (strncmp(*h, name, strlen(name)) == 0 && (*h)[strlen(name)] == ':')
			return *h + strlen(name) + 2;
	return NULL;
}

static void make(struct world *w, const char *arguments, struct api_request *ret)
{
	struct error err = {0};

	if (api_request_make(w->arena, spec_of(w, 0), "https://h/v1", json(w, arguments), NULL, NULL, "k", ret, &err) <
	    0)
		fail_msg("%s", err.message);
}

/* ---- The document ---- */

static void an_operation_becomes_one_schema_of_all_its_arguments(void **state)
{
	struct world *w = *state;

	read_text(w, HEAD "paths:\n"
			  "  /pets/{id}:\n"
			  "    parameters: [{$ref: '#/components/parameters/Id'}]\n"
			  "    post:\n"
			  "      operationId: pets/update one\n"
			  "      summary: Changes a pet\n"
			  "      parameters: [{name: dry, in: query, schema: {type: boolean}}]\n"
			  "      requestBody: {required: true, content: {application/json: {schema: {$ref: "
			  "'#/components/schemas/Pet'}}}}\n"
			  "components:\n"
			  "  parameters: {Id: {name: id, in: path, required: true, schema: {type: integer}, "
			  "description: which}}\n"
			  "  schemas:\n"
			  "    Pet: {allOf: [{$ref: '#/components/schemas/New'}, {type: object, properties: {age: "
			  "{type: integer, minimum: 0}}}]}\n"
			  "    New: {type: object, required: [name, made], properties: {name: {type: string, nullable: "
			  "true}, made: {type: string, readOnly: true}}}\n");
	assert_int_equal(w->doc.n_operations, 1);
	assert_string_equal(w->doc.operations[0].name, "pets_update_one");
	assert_string_equal(
		json_val_text(w->arena, parameters_of(w, 0)).p,
		"{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"integer\",\"description\":\"which\"},\"dry\":"
		"{\"type\":\"boolean\"},\"name\":{\"type\":[\"string\",\"null\"]},\"age\":{\"type\":\"integer\","
		"\"minimum\":0}},\"required\":[\"id\",\"name\"],\"additionalProperties\":false}");
	assert_string_equal(json_get_str(spec_of(w, 0), "description", ""), "Changes a pet\nPOST /pets/{id}");
	assert_true(json_schema_fits(parameters_of(w, 0), json(w, "{\"id\":1,\"name\":null}"), NULL));
	assert_false(json_schema_fits(parameters_of(w, 0), json(w, "{\"id\":1}"), NULL));
}

static void names_are_unique_and_valid(void **state)
{
	struct world *w = *state;

	read_text(w, HEAD "paths:\n"
			  "  /a/{b}: {get: {parameters: [{name: b, in: path, required: true}]}, head: {operationId: 'x "
			  "y'}, put: {operationId: x.y}}\n"
			  "  /long: {get: {operationId: aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeee}, put: "
			  "{operationId: aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeef}}\n");
	assert_string_equal(w->doc.operations[0].name, "get_a_b");
	assert_string_equal(w->doc.operations[1].name, "x_y");
	assert_string_equal(w->doc.operations[2].name, "x_y_2");
	assert_string_equal(w->doc.operations[3].name, "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeee");
	assert_string_equal(w->doc.operations[4].name, "aaaaaaaaaabbbbbbbbbbccccccccccddddddd_2");
}

static void arguments_of_one_name_stand_apart(void **state)
{
	struct world *w = *state;
	struct api_request r;

	read_text(w, HEAD "paths:\n"
			  "  /a/{id}:\n"
			  "    put:\n"
			  "      parameters: [{name: id, in: path, required: true, schema: {}}, {name: id, in: query, "
			  "schema: {}}, {name: 'filter[x]', in: query, schema: {}}]\n"
			  "      requestBody: {content: {application/json: {schema: {type: object, properties: {id: "
			  "{type: string}}}}}}\n");
	make(w, "{\"id\":1,\"query_id\":2,\"filter_x_\":3,\"body\":{\"id\":\"4\"}}", &r);
	assert_string_equal(r.url, "https://h/v1/a/1?id=2&filter%5Bx%5D=3");
	assert_string_equal(r.body.p, "{\"id\":\"4\"}");
}

static void circles_and_bad_references_do_no_harm(void **state)
{
	struct world *w = *state;

	read_text(
		w, HEAD
		"paths:\n"
		"  /tree: {post: {requestBody: {required: true, content: {application/json: {schema: {$ref: "
		"'#/components/schemas/Node'}}}}}}\n"
		"  /round: {get: {parameters: [{$ref: '#/components/parameters/A'}]}}\n"
		"  /gone: {get: {parameters: [{name: a, in: query, schema: {$ref: '#/components/schemas/Nothing'}}]}}\n"
		"  /far: {get: {parameters: [{name: a, in: query, schema: {$ref: 'http://evil/x.yaml'}}]}}\n"
		"  /style/{a}: {get: {parameters: [{name: a, in: path, required: true, style: matrix, schema: {}}]}}\n"
		"  /missing/{a}: {get: {}}\n"
		"  /multi: {post: {requestBody: {required: true, content: {multipart/form-data: {}}}}}\n"
		"  /safe: {get: {security: [{none: []}]}}\n"
		"components:\n"
		"  parameters: {A: {$ref: '#/components/parameters/B'}, B: {$ref: '#/components/parameters/A'}}\n"
		"  schemas: {Node: {type: object, properties: {value: {type: string}, children: {type: array, items: "
		"{$ref: '#/components/schemas/Node'}}}}}\n");
	assert_true(json_schema_fits(parameters_of(w, 0), json(w, "{\"value\":\"a\",\"children\":[{\"value\":\"b\"}]}"),
				     NULL));
	static const char *const why[] = {
		NULL,
		"It refers to \"#/components/parameters/A\", which leads round in a circle.",
		"It refers to \"#/components/schemas/Nothing\", which is not there.",
		"It refers to \"http://evil/x.yaml\", which is in another document.",
		"Its parameter \"a\" has the style \"matrix\" in the path, which is not supported.",
		"Its path names {a}, which is none of its parameters.",
		"Its body is of the type \"multipart/form-data\", which is not supported.",
		"It needs \"none\", a kind of security that is not supported."};
	for (size_t i = 1; i < ARRAY_SIZE(why); i++)
		assert_string_equal(w->doc.operations[i].problem, why[i]);
}

static void what_grows_without_end_is_cut(void **state)
{
	struct world *w = *state;
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	buf_add_str(&text, HEAD "paths:\n  /a: {post: {requestBody: {content: {application/json: {schema: {$ref: "
				"'#/components/schemas/S0'}}}}}}\ncomponents:\n  schemas:\n");
	for (int i = 0; i < 40; i++)
		buf_printf(&text,
			   "    S%d: {type: object, properties: {a: {$ref: '#/components/schemas/S%d'}, b: {$ref: "
			   "'#/components/schemas/S%d'}}}\n",
			   i, i + 1, i + 1);
	buf_add_str(&text, "    S40: {type: string}\n");
	read_text(w, text.p);
	assert_true(w->doc.operations[0].problem || w->doc.operations[0].spec.n < 100000);
}

static void other_documents_are_refused_in_words(void **state)
{
	struct world *w = *state;
	_cleanup_(buf_deinit) struct buf deep = BUF_INIT;

	refuses(w, "{\"swagger\":\"2.0\"}", "document_version");
	refuses(w, "openapi: 4.0.0", "document_version");
	refuses(w, "hello", "document_invalid");
	refuses(w, "{\"openapi\":\"3.0.0\",\"paths\":{}}", "document_invalid");
	refuses(w, "{\"openapi\":", "json_invalid");
	refuses(w, "a: [", "yaml_invalid");
	for (int i = 0; i < 3000; i++)
		buf_add_str(&deep, "{\"a\":");
	refuses(w, deep.p, "json_too_deep");
}

/* ---- Requests ---- */

static void values_are_encoded_by_style_and_explode(void **state)
{
	static const struct {
		const char *param, *value, *url;
	} cases[] = {
		{"in: query", "\"a b&c=d\"", "?p=a%20b%26c%3Dd"},
		{"in: query", "[1,\"b,c\"]", "?p=1&p=b%2Cc"},
		{"in: query", "{\"x\":1,\"y\":true}", "?x=1&y=true"},
		{"in: query", "[]", ""},
		{"in: query", "\"\"", "?p="},
		{"in: query", "2.5", "?p=2.5"},
		{"in: query, explode: false", "[1,\"b,c\"]", "?p=1,b%2Cc"},
		{"in: query, explode: false", "{\"x\":1,\"y\":2}", "?p=x,1,y,2"},
		{"in: query, style: spaceDelimited, explode: false", "[1,2]", "?p=1%202"},
		{"in: query, style: pipeDelimited, explode: false", "[1,2]", "?p=1%7C2"},
		{"in: query, style: deepObject", "{\"x\":{\"y\":\"a]\"},\"z\":[1,2]}",
		 "?p[x][y]=a%5D&p[z][0]=1&p[z][1]=2"},
		{"in: query, style: deepObject", "{\"a&b\":1}", "?p[a%26b]=1"},
		{"in: query, allowReserved: true", "\"a/b?c&d=e#f\"", "?p=a/b?c%26d%3De%23f"},
		{"in: query, content: {application/json: {schema: {}}}, schema: null", "{\"a\":[1]}",
		 "?p=%7B%22a%22%3A%5B1%5D%7D"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct api_request r;
		bool has_content = strstr(cases[i].param, "content") != NULL;

		read_text(w, arena_printf(w->arena, HEAD "paths: {/x: {get: {parameters: [{name: p, %s%s}]}}}",
					  has_content ? "in: query, content: {application/json: {schema: {}}}"
						      : cases[i].param,
					  has_content ? "" : ", schema: {}"));
		make(w, arena_printf(w->arena, "{\"p\":%s}", cases[i].value), &r);
		assert_string_equal(r.url, arena_printf(w->arena, "https://h/v1/x%s", cases[i].url));
		assert_null(header_of(&r, "Idempotency-Key"));
		assert_true(r.is_repeatable);
	}
}

static void what_goes_into_the_path_stays_there(void **state)
{
	static const struct {
		const char *value, *url; /* NULL = refused */
	} cases[] = {
		{"\"a b\"", "https://h/v1/x/a%20b/y"},
		{"\"../admin\"", "https://h/v1/x/..%2Fadmin/y"},
		{"\"//evil.example\"", "https://h/v1/x/%2F%2Fevil.example/y"},
		{"\"@evil.example\"", "https://h/v1/x/%40evil.example/y"},
		{"\"a?b#c\"", "https://h/v1/x/a%3Fb%23c/y"},
		{"\"%2e%2e\"", "https://h/v1/x/%252e%252e/y"},
		{"[1,2]", "https://h/v1/x/1,2/y"},
		{"{\"a\":1}", "https://h/v1/x/a,1/y"},
		{"\"..\"", NULL},
		{"\".\"", NULL},
		{"\"\"", NULL},
		{"[]", NULL},
		{"null", NULL},
	};
	struct world *w = *state;

	read_text(w,
		  HEAD "paths: {'/x/{p}/y': {get: {parameters: [{name: p, in: path, required: true, schema: {}}]}}}");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		yyjson_val *arguments = json(w, arena_printf(w->arena, "{\"p\":%s}", cases[i].value));
		struct api_request r;
		struct error err = {0};
		int result =
			api_request_make(w->arena, spec_of(w, 0), "https://h/v1", arguments, NULL, NULL, "k", &r, &err);

		assert_int_equal(result, cases[i].url ? 0 : -22);
		if (cases[i].url)
			assert_string_equal(r.url, cases[i].url);
		else
			assert_string_equal(err.code, "argument_invalid");
	}
}

static void fields_and_cookies_are_one_line(void **state)
{
	struct world *w = *state;
	struct api_request r;
	struct error err = {0};

	read_text(w, HEAD
		  "paths: {/x: {get: {parameters: [{name: X-A, in: header, schema: {}}, {name: Accept, in: header}, "
		  "{name: Host, in: header}, {name: c, in: cookie, schema: {}}]}}}");
	assert_int_equal(yyjson_obj_size(json_get_obj(parameters_of(w, 0), "properties")), 2);
	make(w, "{\"X-A\":[1,\"b\"],\"c\":\"x; admin=1\\r\\nHost: evil\"}", &r);
	assert_string_equal(header_of(&r, "X-A"), "1,b");
	assert_string_equal(header_of(&r, "Cookie"), "c=x%3B%20admin%3D1%0D%0AHost%3A%20evil");
	assert_int_equal(api_request_make(w->arena, spec_of(w, 0), "https://h",
					  json(w, "{\"X-A\":\"a\\r\\nHost: evil\"}"), NULL, NULL, "k", &r, &err),
			 -22);
	assert_string_equal(err.code, "argument_invalid");
}

static void a_form_is_encoded_by_its_encoding(void **state)
{
	struct world *w = *state;
	struct api_request r;

	read_text(w, HEAD
		  "paths: {/x: {post: {requestBody: {required: true, content: {application/x-www-form-urlencoded: "
		  "{schema: {type: object, "
		  "properties: {a: {}, b: {}, c: {}, d: {}}}, encoding: {c: {style: deepObject, explode: true}}}}}}}}");
	make(w, "{\"a\":\"x y&z\",\"b\":[1,2],\"c\":{\"k\":\"v\"},\"d\":{\"k\":\"v\"}}", &r);
	assert_string_equal(r.body.p, "a=x%20y%26z&b=1&b=2&c[k]=v&d=%7B%22k%22%3A%22v%22%7D");
	assert_string_equal(header_of(&r, "Content-Type"), "application/x-www-form-urlencoded");
	assert_string_equal(header_of(&r, "Idempotency-Key"), "k");
	assert_false(r.is_repeatable);
}

static void bodies_that_are_no_object_come_whole(void **state)
{
	struct world *w = *state;
	struct api_request r;

	read_text(w, HEAD
		  "paths: {/x: {put: {requestBody: {required: true, content: {application/json: {schema: {type: array, "
		  "items: {type: integer}}}}}}}}");
	make(w, "{\"body\":[1,2]}", &r);
	assert_string_equal(r.body.p, "[1,2]");
	read_text(w, HEAD "paths: {/x: {post: {requestBody: {content: {text/plain: {schema: {type: string}}}}}}}");
	make(w, "{\"body\":\"hello\"}", &r);
	assert_string_equal(r.body.p, "hello");
	assert_string_equal(header_of(&r, "Content-Type"), "text/plain");
	make(w, "{}", &r);
	assert_null(header_of(&r, "Content-Type"));
}

static void a_key_that_the_api_knows_makes_a_call_repeatable(void **state)
{
	struct world *w = *state;
	struct api_request r;

	read_text(
		w, HEAD
		"paths: {/x: {post: {parameters: [{name: Idempotency-Key, in: header, required: true, schema: {}}]}}}");
	assert_int_equal(yyjson_obj_size(json_get_obj(parameters_of(w, 0), "properties")), 0);
	make(w, "{}", &r);
	assert_string_equal(header_of(&r, "Idempotency-Key"), "k");
	assert_true(r.is_repeatable);
}

static void credentials_go_where_the_schemes_say(void **state)
{
	struct world *w = *state;
	struct api_request r;
	struct error err = {0};
	static const char schemes[] = "components: {securitySchemes: {q: {type: apiKey, in: query, name: key}, h: "
				      "{type: apiKey, in: header, name: X-Key}, "
				      "c: {type: apiKey, in: cookie, name: sid}, b: {type: http, scheme: basic}, t: "
				      "{type: oauth2, flows: {}}, m: {type: mutualTLS}}}\n";
	static const struct {
		const char *security, *credentials, *url, *header, *value;
	} cases[] = {
		{"[{q: []}]", "{\"q\":{\"value\":\"se&cret\"}}", "https://h/x?key=se%26cret", NULL, NULL},
		{"[{h: []}]", "{\"h\":{\"value\":\"secret\"}}", "https://h/x", "X-Key", "secret"},
		{"[{c: []}]", "{\"c\":{\"value\":\"secret\"}}", "https://h/x", "Cookie", "sid=secret"},
		{"[{b: []}]", "{\"b\":{\"username\":\"u\",\"password\":\"secret\"}}", "https://h/x", "Authorization",
		 "Basic dTpzZWNyZXQ="},
		{"[{m: []}, {q: [], t: []}, {t: []}]", "{\"t\":{\"value\":\"secret\"}}", "https://h/x", "Authorization",
		 "Bearer secret"},
		{"[{}, {h: []}]", "{\"h\":{\"value\":\"secret\"}}", "https://h/x", "X-Key", "secret"},
		{"[{}, {h: []}]", "{}", "https://h/x", NULL, NULL},
		{"[{h: []}]", "{}", NULL, NULL, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int result;
		read_text(w, arena_printf(w->arena, HEAD "%spaths: {/x: {get: {security: %s}}}", schemes,
					  cases[i].security));
		result = api_request_make(w->arena, spec_of(w, 0), "https://h", json(w, "{}"), json(w, w->doc.schemes),
					  json(w, cases[i].credentials), "k", &r, &err);
		assert_int_equal(result, cases[i].url ? 0 : -22);
		if (!cases[i].url)
			continue;
		assert_string_equal(r.url, cases[i].url);
		if (cases[i].header)
			assert_string_equal(header_of(&r, cases[i].header), cases[i].value);
		assert_null(strstr(api_request_summary(w->arena, spec_of(w, 0), "https://h", json(w, "{}")), "secret"));
	}
	assert_string_equal(err.code, "credentials_missing");
}

static void a_secret_that_comes_back_is_taken_out(void **state)
{
	struct api_request r = {.secrets = {"secret-1", "dTpzZWNyZXQ=", NULL}};
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;

	api_request_redact(&r, STR("a secret-1 b secret-2 Basic dTpzZWNyZXQ="), &out);
	assert_string_equal(out.p, "a [secret] b secret-2 Basic [secret]");
}

static void a_server_is_an_address_with_variables(void **state)
{
	static const struct {
		const char *server, *values, *from, *url; /* NULL = refused */
	} cases[] = {
		{"{\"url\":\"https://a.example/v1/\"}", "{}", NULL, "https://a.example/v1"},
		{"{\"url\":\"/v1\"}", "{}", "https://docs.example:8443/x/openapi.json", "https://docs.example:8443/v1"},
		{"{\"url\":\"/\"}", "{}", "https://docs.example/x", "https://docs.example"},
		{"{\"url\":\"v1\"}", "{}", "https://docs.example/x", "https://docs.example/v1"},
		{"{\"url\":\"/v1\"}", "{}", NULL, NULL},
		{"{\"url\":\"https://"
		 "{r}.example\",\"variables\":{\"r\":{\"default\":\"eu\",\"enum\":[\"eu\",\"us\"]}}}",
		 "{}", NULL, "https://eu.example"},
		{"{\"url\":\"https://"
		 "{r}.example\",\"variables\":{\"r\":{\"default\":\"eu\",\"enum\":[\"eu\",\"us\"]}}}",
		 "{\"r\":\"us\"}", NULL, "https://us.example"},
		{"{\"url\":\"https://"
		 "{r}.example\",\"variables\":{\"r\":{\"default\":\"eu\",\"enum\":[\"eu\",\"us\"]}}}",
		 "{\"r\":\"evil.example/\"}", NULL, NULL},
		{"{\"url\":\"https://{r}.example\"}", "{}", NULL, NULL},
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = {0};
		const char *url = api_server_url(w->arena, json(w, cases[i].server), json(w, cases[i].values),
						 cases[i].from, &err);
		if (!cases[i].url)
			assert_null(url);
		else
			assert_string_equal(url, cases[i].url);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_operation_becomes_one_schema_of_all_its_arguments),
		cmocka_unit_test(names_are_unique_and_valid),
		cmocka_unit_test(arguments_of_one_name_stand_apart),
		cmocka_unit_test(circles_and_bad_references_do_no_harm),
		cmocka_unit_test(what_grows_without_end_is_cut),
		cmocka_unit_test(other_documents_are_refused_in_words),
		cmocka_unit_test(values_are_encoded_by_style_and_explode),
		cmocka_unit_test(what_goes_into_the_path_stays_there),
		cmocka_unit_test(fields_and_cookies_are_one_line),
		cmocka_unit_test(a_form_is_encoded_by_its_encoding),
		cmocka_unit_test(bodies_that_are_no_object_come_whole),
		cmocka_unit_test(a_key_that_the_api_knows_makes_a_call_repeatable),
		cmocka_unit_test(credentials_go_where_the_schemes_say),
		cmocka_unit_test(a_secret_that_comes_back_is_taken_out),
		cmocka_unit_test(a_server_is_an_address_with_variables),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
