#include "oauth/client.h"

#include <utf8proc.h>

#include "oauth/uri.h"

#define GRANTS "authorization_code and refresh_token"

static int invalid(struct error *err, const char *what)
{
	return error_set(err, "invalid_client_metadata", "%s", what);
}

/* Absent, or a text in its limit that is not empty. */
static bool read_string(yyjson_val *obj, const char *name, size_t max, const char **ret)
{
	yyjson_val *v = yyjson_obj_get(obj, name);

	*ret = yyjson_get_str(v);
	return !v || (yyjson_is_str(v) && yyjson_get_len(v) > 0 && yyjson_get_len(v) <= max);
}

/* The consent page shows it: no line breaks, nothing that turns or hides text. */
static bool name_is_fine(const char *name)
{
	size_t n = strlen(name), chars = 0;
	utf8proc_int32_t c;

	for (size_t at = 0; at < n; chars++) {
		at += (size_t)utf8proc_iterate((const utf8proc_uint8_t *)name + at, (utf8proc_ssize_t)(n - at), &c);
		switch (utf8proc_category(c)) {
		case UTF8PROC_CATEGORY_CC:
		case UTF8PROC_CATEGORY_CF:
		case UTF8PROC_CATEGORY_CO:
		case UTF8PROC_CATEGORY_CN:
		case UTF8PROC_CATEGORY_ZL:
		case UTF8PROC_CATEGORY_ZP: return false;
		default: break;
		}
	}
	return chars > 0 && chars <= CLIENT_NAME_CHARS;
}

static int read_redirects(struct arena *a, yyjson_val *obj, struct client_metadata *ret, struct error *err)
{
	yyjson_val *list = yyjson_obj_get(obj, "redirect_uris"), *item;
	size_t i, n;

	if (!yyjson_is_arr(list) || yyjson_arr_size(list) == 0 || yyjson_arr_size(list) > CLIENT_REDIRECTS_MAX)
		return error_set(err, "invalid_redirect_uri", "`redirect_uris` must name 1 to %d addresses.",
				 CLIENT_REDIRECTS_MAX);
	yyjson_arr_foreach(list, i, n, item)
	{
		const char *text = yyjson_get_str(item);

		if (redirect_uri_check((struct str){text, yyjson_get_len(item)}, err) < 0)
			return -EINVAL;
	}
	ret->redirect_uris = json_val_text(a, list).p;
	return 0;
}

/* Whether a list is absent or has nothing but what is there. */
static bool has_only(yyjson_val *obj, const char *name, const char *one, const char *other)
{
	yyjson_val *list = yyjson_obj_get(obj, name), *item;
	size_t i, n;

	if (!list)
		return true;
	if (!yyjson_is_arr(list) || yyjson_arr_size(list) == 0)
		return false;
	yyjson_arr_foreach(list, i, n, item)
	{
		if (!yyjson_equals_str(item, one) && !yyjson_equals_str(item, other))
			return false;
	}
	return true;
}

static bool uri_is_page(const char *uri)
{
	struct uri u;

	return uri_parse(str_of(uri), &u) == 0 && uri_is_web(&u);
}

static const char *default_name(struct arena *a, const struct client_metadata *m)
{
	struct uri u;

	return m->uri && uri_parse(str_of(m->uri), &u) == 0 ? arena_strndup(a, u.host.p, u.host.n) : "Unnamed program";
}

int client_metadata_read(struct arena *a, yyjson_val *obj, struct client_metadata *ret, struct error *err)
{
	struct client_metadata m = {0};

	if (!read_string(obj, "client_name", 400, &m.name) || (m.name && !name_is_fine(m.name)))
		return invalid(err, "`client_name` must be 1 to 100 characters of plain text.");
	if (!read_string(obj, "client_uri", URI_MAX, &m.uri) || (m.uri && !uri_is_page(m.uri)))
		return invalid(err, "`client_uri` must be an https address.");
	if (!read_string(obj, "token_endpoint_auth_method", 32, &m.auth_method))
		return invalid(err, "`token_endpoint_auth_method` must be a text.");
	if (m.auth_method && strcmp(m.auth_method, "none") && strcmp(m.auth_method, "client_secret_basic") &&
	    strcmp(m.auth_method, "client_secret_post"))
		return invalid(err, "`token_endpoint_auth_method` must be none, client_secret_basic or "
				    "client_secret_post.");
	if (!has_only(obj, "grant_types", "authorization_code", "refresh_token"))
		return invalid(err, "`grant_types` can be " GRANTS ".");
	if (!has_only(obj, "response_types", "code", "code"))
		return invalid(err, "`response_types` can be code.");
	if (read_redirects(a, obj, &m, err) < 0)
		return -EINVAL;
	if (!m.name)
		m.name = default_name(a, &m);
	*ret = m;
	return 0;
}

void client_metadata_add(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct client_metadata *m)
{
	yyjson_mut_val *grants;

	json_add_str(doc, obj, "client_name", m->name);
	if (m->uri)
		json_add_str(doc, obj, "client_uri", m->uri);
	json_add_str(doc, obj, "token_endpoint_auth_method", m->auth_method);
	json_add_raw(doc, obj, "redirect_uris", m->redirect_uris);
	grants = yyjson_mut_obj_add_arr(doc, obj, "grant_types");
	yyjson_mut_arr_add_str(doc, grants, "authorization_code");
	yyjson_mut_arr_add_str(doc, grants, "refresh_token");
	yyjson_mut_arr_add_str(doc, yyjson_mut_obj_add_arr(doc, obj, "response_types"), "code");
}
