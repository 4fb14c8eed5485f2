#include "mfa/passkey.h"

#include "base/clock.h"

int passkey_list(struct db_conn *c, struct arena *a, const char *user_id, struct passkey_ids *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select credential_id from passkeys where user_id = ? order by id", DB_TEXT(user_id));
	int r = 0;

	ret->n = 0;
	while (ret->n < PASSKEYS_MAX && (r = db_step(c, st)) == 1)
		ret->list[ret->n++] = db_col_dup(st, 0, a);
	return MIN(r, 0);
}

int passkey_find(struct db_conn *c, struct arena *a, const struct assertion *given, struct stored_passkey *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select id, user_id, public_key, counter from passkeys where credential_hash = ?",
			 DB_TEXT(given->credential_hash));
	int r = db_step(c, st);
	struct str text;
	void *key;

	if (r != 1)
		return r;
	text = db_col_str(st, 2);
	key = arena_alloc(a, text.n);
	*ret = (struct stored_passkey){
		.id = db_col_dup(st, 0, a),
		.user_id = db_col_dup(st, 1, a),
		.key = {key, (size_t)MAX(base64url_decode(text, key, text.n), 0)},
		.counter = db_col_int(st, 3),
	};
	return 1;
}

int passkey_check(struct db_conn *c, const struct webauthn_request *q, const struct stored_passkey *k,
		  const struct assertion *given, struct error *err)
{
	uint32_t counter;
	int64_t r;

	if (webauthn_check(q, k->key, (uint32_t)k->counter, given->client_data, given->auth_data, given->signature,
			   &counter, err) < 0)
		return 0;
	r = db_exec(c, "update passkeys set counter = ?, last_used_at = ? where id = ? and counter = ?",
		    DB_INT(counter), DB_INT(clock_now_us()), DB_TEXT(k->id), DB_INT(k->counter));
	return r < 0 ? (int)r : r == 1;
}

void passkey_reply_options(struct exchange *x, enum ticket_kind kind, const char *user_id,
			   const uint8_t challenge[static WEBAUTHN_CHALLENGE_SIZE], const struct passkey_ids *ids,
			   bool needs_verified_user)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);
	struct site site;

	site_of(x, &site);
	json_add_str(doc, obj, "ticket", ticket_new(x->self, x->arena, kind, user_id, challenge));
	yyjson_mut_obj_add_val(doc, obj, "public_key",
			       site_request_options(doc, &site, challenge, ids ? ids->list : NULL, ids ? ids->n : 0,
						    needs_verified_user));
	reply_header(x, "Cache-Control", "no-store");
	reply_json(x, 200, doc);
}
