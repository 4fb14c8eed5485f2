/* Coming back cheaply: a token that says who the client is and where it was, sealed with a key made of this service's
 * own, so that it is good after a restart and at every instance with the same secrets, and nobody has to be asked.
 *
 * base64url(JSON).base64url(HMAC-SHA-512/256 of that). {"u" user, "n" name, "s" session, "t" token, "r" epoch of the
 * rights, "e" expires at, "p" permissions, "c" marks of the channels}. */
#include <sodium.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/encode.h"
#include "socket.h"

#define RESUME_MAX 8192
#define MAX_PERMISSIONS 256

void resume_key(struct socket_service *s)
{
	static const char purpose[] = "ogent socket resume";
	const struct token_key *key = service_key(s->service);

	crypto_generichash(s->resume_key, sizeof(s->resume_key), (const uint8_t *)purpose, sizeof(purpose) - 1,
			   key->secret_key, crypto_sign_SEEDBYTES);
}

void client_resume_token(const struct client *s, struct buf *out)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	_cleanup_(buf_deinit) struct buf marks = BUF_INIT;
	uint8_t mac[crypto_auth_BYTES];
	struct str text;
	size_t start = out->n;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);

	client_write_grants(s, doc, obj);
	client_write_places(s, &marks);
	json_add_str(doc, obj, "c", marks.n ? marks.p : "");
	text = json_text(a, doc);
	base64url_encode(out, text.p, text.n);
	crypto_auth(mac, (const uint8_t *)out->p + start, out->n - start, s->socket->resume_key);
	buf_add_char(out, '.');
	base64url_encode(out, mac, sizeof(mac));
}

/* The JSON of a token that we sealed, in the arena; else NULL. */
static yyjson_val *unseal(struct socket_service *s, struct str token)
{
	struct str body = str_cut(&token, '.');
	uint8_t mac[crypto_auth_BYTES];
	char *text = arena_alloc(s->arena, RESUME_MAX);
	ssize_t n;

	if (body.n > RESUME_MAX || base64url_decode(token, mac, sizeof(mac)) != sizeof(mac) ||
	    crypto_auth_verify(mac, (const uint8_t *)body.p, body.n, s->resume_key) != 0)
		return NULL;
	n = base64url_decode(body, text, RESUME_MAX);
	return n < 0 ? NULL : yyjson_doc_get_root(json_parse(s->arena, text, (size_t)n, NULL));
}

static const char **read_permissions(struct arena *a, yyjson_val *list)
{
	const char **all = arena_alloc(a, (MAX_PERMISSIONS + 1) * sizeof(*all));
	size_t i, n;
	yyjson_val *one;

	yyjson_arr_foreach(list, i, n, one)
	{
		if (i < MAX_PERMISSIONS)
			all[i] = yyjson_get_str(one);
	}
	return all;
}

void client_resume(struct client *s, struct str token)
{
	yyjson_val *obj = s->state == CLIENT_NEW ? unseal(s->socket, token) : NULL;
	struct identity who;

	if (s->state == CLIENT_ENDED)
		return;
	if (!obj || json_get_int(obj, "e", 0) * 1000000 <= clock_now_us()) {
		client_send_error(s, "not_resumed", "Send an access token, as auth.", NULL);
		return;
	}
	who = (struct identity){.user_id = json_get_str(obj, "u", ""),
				.name = json_get_str(obj, "n", ""),
				.session_id = json_get_str(obj, "s", ""),
				.token_id = json_get_str(obj, "t", ""),
				.rights = json_get_int(obj, "r", 0),
				.issued_at = json_get_int(obj, "i", 0),
				.service = "",
				.is_scoped = json_get_bool(obj, "l", false),
				.expires_at = json_get_int(obj, "e", 0),
				.permissions = read_permissions(s->socket->arena, json_get_arr(obj, "p"))};
	if (!revocations_apply(service_revocations(s->socket->service), &who, s->socket->arena)) {
		client_send_error(s, "not_resumed", "This was revoked. Sign in again.", NULL);
		return;
	}
	client_remember_places(s, json_get_str(obj, "c", ""));
	client_accept(s, &who);
}
