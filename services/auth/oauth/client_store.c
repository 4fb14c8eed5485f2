#include "oauth/client_store.h"

#include "base/clock.h"

void new_client_init(struct new_client *n, const char *kind, const char *address, const char *created_by)
{
	n->kind = kind;
	n->address = address;
	n->created_by = created_by;
	n->created_at = clock_now_us();
	id_new(n->id);
	if (!n->metadata.auth_method)
		n->metadata.auth_method = "client_secret_basic";
	if (!strcmp(n->metadata.auth_method, "none"))
		return;
	secret_new(n->secret, sizeof(n->secret), "ogs_", 32);
	sha256_hex(n->secret, strlen(n->secret), n->secret_hash);
}

int new_client_insert(struct db_conn *c, const struct new_client *n)
{
	const struct client_metadata *m = &n->metadata;
	int64_t r =
		db_exec(c,
			"insert into oauth_clients (id, kind, name, uri, auth_method, secret_hash, redirect_uris, "
			"address, created_by, created_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			DB_TEXT(n->id), DB_TEXT(n->kind), DB_TEXT(m->name), DB_TEXT(m->uri), DB_TEXT(m->auth_method),
			DB_TEXT(*n->secret ? n->secret_hash : NULL), DB_TEXT(m->redirect_uris), DB_TEXT(n->address),
			DB_TEXT(n->created_by), DB_INT(n->created_at));

	return (int)MIN(r, 0);
}

void new_client_reply(struct exchange *x, const struct new_client *n)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	json_add_str(doc, obj, "client_id", n->id);
	yyjson_mut_obj_add_int(doc, obj, "client_id_issued_at", n->created_at / 1000000);
	if (*n->secret) {
		json_add_str(doc, obj, "client_secret", n->secret);
		yyjson_mut_obj_add_int(doc, obj, "client_secret_expires_at", 0);
	}
	client_metadata_add(doc, obj, &n->metadata);
	reply_header(x, "Cache-Control", "no-store");
	reply_json(x, 201, doc);
}
