#include <sodium.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "socket.h"

#define SIGN_IN_MS 10000
#define DRAIN_MS 5000
#define DRAIN_EVERY_MS 100
#define BURST 200           /* requests at once */
#define REQUEST_EVERY_MS 20 /* and then one in this time */

/* Who he is and what he may: the strings of one token. */
struct grants {
	const char *user_id, *name, *session_id, *token_id;
	int64_t issued_at, expires_at, epoch; /* epoch: of his rights */
	unsigned n;
	bool is_scoped;            /* they are less than his: a change of his ends the connection */
	const char *permissions[]; /* and a NULL */
};

/* A token that waits for the keys to check it. */
struct sign_in {
	struct key_wait wait;
	struct client *client;
	char token[];
};

const char *client_user(const struct client *s)
{
	return s->grants ? s->grants->user_id : "";
}

const char *client_user_name(const struct client *s)
{
	return s->grants ? s->grants->name : "";
}

bool client_may(const struct client *s, const char *permission)
{
	return s->grants && permissions_allow(s->grants->permissions, permission);
}

void client_write_grants(const struct client *s, yyjson_mut_doc *doc, yyjson_mut_val *obj)
{
	const struct grants *g = s->grants;
	yyjson_mut_val *list;

	json_add_str(doc, obj, "u", g->user_id);
	json_add_str(doc, obj, "n", g->name);
	json_add_str(doc, obj, "s", g->session_id);
	json_add_str(doc, obj, "t", g->token_id);
	yyjson_mut_obj_add_int(doc, obj, "r", g->epoch);
	yyjson_mut_obj_add_int(doc, obj, "i", g->issued_at);
	yyjson_mut_obj_add_int(doc, obj, "e", g->expires_at);
	yyjson_mut_obj_add_bool(doc, obj, "l", g->is_scoped);
	list = yyjson_mut_obj_add_arr(doc, obj, "p");
	for (unsigned i = 0; i < g->n; i++)
		yyjson_mut_arr_add_strcpy(doc, list, g->permissions[i]);
}

/* ---- Out ---- */

yyjson_mut_val *client_message(struct client *s, const char *type, yyjson_mut_doc **ret_doc)
{
	yyjson_mut_val *obj = json_new_obj(s->socket->arena, ret_doc);

	json_add_str(*ret_doc, obj, "type", type);
	return obj;
}

void client_send(struct client *s, yyjson_mut_doc *doc, yyjson_val *id)
{
	if (s->state != CLIENT_ENDED)
		s->transport->send(s, doc, id);
}

void client_send_error(struct client *s, const char *code, const char *message, yyjson_val *id)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = client_message(s, "error", &doc);

	json_add_str(doc, obj, "code", code);
	json_add_str(doc, obj, "message", message);
	client_send(s, doc, id);
}

/* ---- Users ---- */

static void user_enter(struct client *s)
{
	struct socket_service *socket = s->socket;
	const char *id = s->grants->user_id;
	struct user *u;

	HASH_FIND_STR(socket->users, id, u);
	if (!u) {
		u = xcalloc(1, sizeof(*u) + strlen(id) + 1);
		strcpy(u->id, id);
		list_init(&u->clients);
		HASH_ADD_KEYPTR(hh, socket->users, u->id, strlen(u->id), u);
	}
	s->user = u;
	u->n_clients++;
	list_append(&u->clients, &s->of_user);
}

static void user_drop(struct socket_service *socket, struct user *u)
{
	if (--u->n_clients > 0)
		return;
	HASH_DEL(socket->users, u);
	free(u);
}

static void user_leave(struct client *s)
{
	struct user *u = s->user;

	if (!u)
		return;
	s->user = NULL;
	list_remove(&s->of_user);
	user_drop(s->socket, u);
}

/* ---- The token ---- */

static char *copy(char **at, const char *s)
{
	char *p = *at;

	*at = stpcpy(p, s) + 1;
	return p;
}

static struct grants *grants_new(const struct identity *who)
{
	const char *token_id = who->token_id ? who->token_id : "";
	size_t n = 0, size = strlen(who->user_id) + strlen(who->name) + strlen(who->session_id) + strlen(token_id) + 4;
	struct grants *g;
	char *at;

	for (; who->permissions && who->permissions[n]; n++)
		size += strlen(who->permissions[n]) + 1;
	g = xmalloc(sizeof(*g) + (n + 1) * sizeof(*g->permissions) + size);
	at = (char *)(g->permissions + n + 1);
	g->n = (unsigned)n;
	g->expires_at = who->expires_at;
	g->user_id = copy(&at, who->user_id);
	g->name = copy(&at, who->name);
	g->session_id = copy(&at, who->session_id);
	g->token_id = copy(&at, token_id);
	g->epoch = who->rights;
	g->issued_at = who->issued_at;
	for (size_t i = 0; i < n; i++)
		g->permissions[i] = copy(&at, who->permissions[i]);
	g->permissions[n] = NULL;
	g->is_scoped = who->is_scoped;
	return g;
}

static void on_deadline(struct deadline *d)
{
	struct client *s = container_of(d, struct client, deadline);

	client_end(s, CLOSE_UNAUTHORIZED, s->state == CLIENT_NEW ? "no token came in time" : "the token expired");
}

static bool is_his(const struct client *s, const struct identity *who)
{
	return !who->service[0] && who->user_id[0] && (!s->grants || strcmp(s->grants->user_id, who->user_id) == 0);
}

static void open_client(struct client *s)
{
	user_enter(s);
	if (s->user->n_clients > s->socket->user_clients) {
		client_end(s, CLOSE_POLICY, "too many connections of this user");
		return;
	}
	s->state = CLIENT_OPEN;
	s->transport->signed_in(s, true);
}

void client_accept(struct client *s, const struct identity *who)
{
	int64_t left_ms = who->expires_at * 1000 - clock_now_us() / 1000;
	bool is_first = s->state == CLIENT_NEW;
	struct grants *g;

	if (s->state == CLIENT_ENDED)
		return;
	if (!is_his(s, who)) {
		client_end(s, CLOSE_UNAUTHORIZED, "the token is somebody else's");
		return;
	}
	g = grants_new(who);
	free(s->grants);
	s->grants = g;
	deadline_set(service_wheel(s->socket->service), &s->deadline, (uint64_t)MAX(left_ms, 0));
	if (is_first) {
		open_client(s);
		return;
	}
	s->transport->signed_in(s, false);
	client_check_places(s);
}

/* ---- What is revoked while he is here ---- */

static void take_rights(struct client *s, const struct revocation *what)
{
	struct grants *old = s->grants;
	struct identity now = {.user_id = old->user_id,
			       .name = old->name,
			       .session_id = old->session_id,
			       .token_id = old->token_id,
			       .issued_at = old->issued_at,
			       .expires_at = old->expires_at,
			       .rights = what->rights,
			       .permissions = what->permissions};

	s->grants = grants_new(&now);
	free(old);
	if (s->state == CLIENT_OPEN)
		client_check_places(s);
}

static void revoke_user(struct socket_service *socket, const struct revocation *what)
{
	struct client *s;
	struct user *u;

	HASH_FIND_STR(socket->users, what->subject, u);
	if (!u)
		return;
	u->n_clients++; /* it stays while its clients go */
	list_foreach (s, &u->clients, struct client, of_user) {
		if (s->grants->epoch >= what->rights)
			continue;
		if (what->permissions && s->grants->is_scoped)
			client_end(s, CLOSE_UNAUTHORIZED, "the rights have changed: sign in again");
		else if (what->permissions)
			take_rights(s, what);
		else
			client_end(s, CLOSE_UNAUTHORIZED, "the account is disabled");
	}
	user_drop(socket, u);
}

void clients_revoke(void *arg, const struct revocation *what)
{
	struct socket_service *socket = arg;
	struct client *s;

	arena_reset(socket->arena);
	if (what->kind == REVOKED_USER) {
		revoke_user(socket, what);
		return;
	}
	list_foreach (s, &socket->clients, struct client, link) {
		const struct grants *g = s->grants;

		if (g && strcmp(what->kind == REVOKED_SESSION ? g->session_id : g->token_id, what->subject) == 0)
			client_end(s, CLOSE_UNAUTHORIZED, "signed out");
	}
}

/* ---- Checking a token ---- */

static void on_keys(struct key_wait *w);

static void wait_for_keys(struct client *s, struct str token)
{
	struct sign_in *wait = xcalloc(1, sizeof(*wait) + token.n + 1);

	memcpy(wait->token, token.p, token.n);
	wait->client = s;
	wait->wait.done = on_keys;
	list_init(&wait->wait.link);
	s->sign_in = wait;
}

/* By the cached verdict or the keys that are here; may_wait: auth is asked for a key that is not. */
static void check_token(struct client *s, struct str token, bool may_wait)
{
	struct keyring *keyring = service_keyring(s->socket->service);
	struct identity who;
	enum token_result r = keyring_check(keyring, token, s->socket->arena, &who);

	if (r == TOKEN_OK) {
		client_accept(s, &who);
		return;
	}
	if (r == TOKEN_UNKNOWN_KEY && may_wait) {
		wait_for_keys(s, token);
		if (keyring_wait(keyring, token, &s->sign_in->wait))
			return;
		free(s->sign_in);
		s->sign_in = NULL;
	}
	if (r == TOKEN_UNKNOWN_KEY && keyring_cannot_tell(keyring))
		client_end(s, CLOSE_TRY_AGAIN, "the auth service does not answer");
	else
		client_end(s, CLOSE_UNAUTHORIZED, r == TOKEN_EXPIRED ? "the token expired" : "the token is not valid");
}

static void on_keys(struct key_wait *w)
{
	struct sign_in *wait = container_of(w, struct sign_in, wait);
	struct client *s = wait->client;

	s->sign_in = NULL;
	arena_reset(s->socket->arena);
	check_token(s, str_of(wait->token), false);
	free(wait);
}

static void sign_in_cancel(struct client *s)
{
	if (s->sign_in)
		key_wait_cancel(&s->sign_in->wait);
	free(s->sign_in);
	s->sign_in = NULL;
}

void client_sign_in(struct client *s, struct str token)
{
	if (s->sign_in)
		client_send_error(s, "busy", "Another token is being checked. Wait for the answer.", NULL);
	else if (s->state != CLIENT_ENDED)
		check_token(s, token, true);
}

/* ---- In ---- */

static void on_auth(struct client *s, yyjson_val *message, yyjson_val *id)
{
	client_sign_in(s, str_of(json_get_str(message, "token", "")));
}

static void on_resume(struct client *s, yyjson_val *message, yyjson_val *id)
{
	client_resume(s, str_of(json_get_str(message, "token", "")));
}

static void on_ping(struct client *s, yyjson_val *message, yyjson_val *id)
{
	yyjson_mut_doc *doc;

	client_message(s, "pong", &doc);
	client_send(s, doc, id);
}

static const struct request_type {
	const char *name;
	bool is_for_all; /* also before the token */
	void (*handle)(struct client *s, yyjson_val *message, yyjson_val *id);
} types[] = {
	{"auth", true, on_auth},
	{"ping", true, on_ping},
	{"resume", true, on_resume},
	{"join", false, client_join},
	{"leave", false, client_leave},
	{"ack", false, client_ack},
	{"publish", false, client_publish},
};

void client_request(struct client *s, const char *type, yyjson_val *message, yyjson_val *id)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strcmp(types[i].name, type) != 0)
			continue;
		if (types[i].is_for_all || s->state == CLIENT_OPEN)
			types[i].handle(s, message, id);
		else
			client_end(s, CLOSE_UNAUTHORIZED, "send a token first");
		return;
	}
	client_send_error(s, "unknown_type", "Types are auth, resume, join, leave, publish, ack and ping.", id);
}

/* One request in REQUEST_EVERY_MS, and BURST at once. */
bool client_may_request(struct client *s)
{
	uint64_t now = socket_now(s->socket), more = (now - s->allowance_ms) / REQUEST_EVERY_MS;

	s->allowance_ms += more * REQUEST_EVERY_MS;
	s->allowance = (uint16_t)MIN(s->allowance + more, BURST);
	if (s->allowance == 0)
		return false;
	s->allowance--;
	return true;
}

/* ---- Life ---- */

void client_init(struct client *s, struct socket_service *socket, const struct transport *transport)
{
	*s = (struct client){.socket = socket, .transport = transport};
	id_new(s->id);
	list_init(&s->of_user);
	list_init(&s->places);
	list_init(&s->joins);
	s->allowance = BURST;
	s->allowance_ms = socket_now(socket);
	deadline_init(&s->deadline, on_deadline);
	deadline_set(service_wheel(socket->service), &s->deadline, SIGN_IN_MS);
	list_append(&socket->clients, &s->link);
	socket->n_clients++;
}

static void let_go(struct client *s)
{
	s->state = CLIENT_ENDED;
	deadline_clear(&s->deadline);
	sign_in_cancel(s);
	joins_cancel(s);
	client_leave_all(s);
	user_leave(s);
}

void client_end(struct client *s, int code, const char *reason)
{
	if (s->state == CLIENT_ENDED)
		return;
	let_go(s);
	s->transport->close(s, code, reason);
}

void client_deinit(struct client *s)
{
	if (!s->socket)
		return;
	let_go(s);
	queue_free(s->queue);
	free(s->grants);
	free(s->known);
	list_remove(&s->link);
	s->socket->n_clients--;
	s->socket = NULL;
}

/* So that they do not all come back at once: within how long, for so many. */
unsigned clients_spread_ms(unsigned n)
{
	return (unsigned)MIN(MAX(n, 100u) * 10, 30000u);
}

static void tell_to_go(struct client *s)
{
	char reason[64];

	snprintf(reason, sizeof(reason), "the service restarts: come back in %u ms",
		 100 + randombytes_uniform(clients_spread_ms(s->socket->n_draining)));
	client_end(s, CLOSE_GOING, reason);
}

/* A share of them every 100 ms, so that all have gone when DRAIN_MS are over. */
static void on_drain_turn(struct deadline *d)
{
	struct socket_service *socket = container_of(d, struct socket_service, drain);
	unsigned n = MAX(socket->n_draining / (DRAIN_MS / DRAIN_EVERY_MS), 100u);
	struct client *s;

	list_foreach (s, &socket->clients, struct client, link) {
		if (s->state == CLIENT_ENDED)
			continue;
		if (n-- == 0) {
			deadline_set(service_wheel(socket->service), d, DRAIN_EVERY_MS);
			return;
		}
		tell_to_go(s);
	}
	service_drain_release(socket->service);
}

void clients_drain(struct socket_service *socket)
{
	service_drain_hold(socket->service);
	socket->n_draining = socket->n_clients;
	deadline_init(&socket->drain, on_drain_turn);
	on_drain_turn(&socket->drain);
}

void clients_cut(struct socket_service *socket)
{
	struct client *s;

	list_foreach (s, &socket->clients, struct client, link) {
		let_go(s);
		s->transport->cut(s);
	}
}
