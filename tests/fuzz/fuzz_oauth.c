/* services/auth/oauth: forms, redirect URIs, scopes and what clients say of themselves. What is taken is inside its
 * limits, and what was taken once is taken again. */
#include <stdlib.h>

#include "oauth/client_document.h"
#include "oauth/form.h"
#include "oauth/scope.h"
#include "oauth/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void try_form(struct arena *a, struct str text)
{
	struct form f;

	if (form_parse(a, text, &f) < 0)
		return;
	check(f.n <= FORM_MAX);
	for (size_t i = 0; i < f.n; i++) {
		check(form_is_repeated(&f, f.items[i].name) || form_get(&f, f.items[i].name) == f.items[i].value ||
		      !*f.items[i].value);
		scope_read(f.items[i].value, &(struct scope_list){0});
	}
}

static void try_uri(struct str text)
{
	struct uri u;

	if (redirect_uri_check(text, NULL) < 0)
		return;
	check(uri_parse(text, &u) == 0 && !u.userinfo.p && !u.has_fragment);
	check(redirect_uri_matches(text, text));
}

static void try_document(struct arena *a, struct str text)
{
	struct client_metadata m;

	if (client_document_parse(a, "https://a.example/c", text, &m, NULL) < 0)
		return;
	check(m.name && *m.name && m.redirect_uris && !strcmp(m.auth_method, "none"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena *a = arena_new();
	struct str text = {(const char *)data, n};

	try_form(a, text);
	try_uri(text);
	try_document(a, text);
	arena_free(a);
	return 0;
}
