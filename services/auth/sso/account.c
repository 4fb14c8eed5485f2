/* Rules of linking: the key is issuer and subject; an e-mail address never finds an account. An account that exists is
 * linked from a session of its own only. A new one is made where the provider's settings say so, for an address that
 * the provider has verified and that nobody here has. */
#include "sso/account.h"

#include <errno.h>
#include <sodium.h>

#include "base/clock.h"
#include "email.h"
#include "mfa/notice.h"
#include "new_user.h"
#include "settings.h"
#include "sso/handlers.h"

#define FRESH_S (5 * 60)

static int outcome(struct arrival *v, enum arrival_outcome what)
{
	v->outcome = what;
	return 1;
}

/* ---- A new account ---- */

static bool domain_is_let_in(struct arena *a, const struct provider *p, const char *email_key)
{
	yyjson_doc *doc = json_parse(a, p->domains, strlen(p->domains), NULL);
	yyjson_val *list = doc ? yyjson_doc_get_root(doc) : NULL, *item;
	const char *at = strrchr(email_key, '@');
	size_t i, n;

	if (yyjson_arr_size(list) == 0)
		return yyjson_is_arr(list);
	yyjson_arr_foreach(list, i, n, item) if (at && yyjson_equals_str(item, at + 1)) return true;
	return false;
}

/* What the provider calls him, or the address without its domain. */
static const char *name_for(struct arena *a, const struct id_token *t)
{
	const char *name = t->name ? account_name_check(a, t->name, NULL) : NULL;
	const char *at = strchr(t->email, '@');

	if (!name && at)
		name = account_name_check(a, arena_strndup(a, t->email, (size_t)(at - t->email)), NULL);
	return name ? name : "User";
}

static int make_user(struct db_conn *c, struct exchange *x, struct arrival *v)
{
	const char *roles[] = {v->provider->default_role, NULL};
	const struct id_token *t = v->token;
	char *id = arena_alloc(x->arena, ID_SIZE);
	struct new_user user = {0};
	int64_t one;
	int r = registration_get(c);

	if (r < 0)
		return r;
	if (!v->provider->may_sign_up || r == REGISTRATION_CLOSED)
		return outcome(v, ARRIVAL_NO_ACCOUNT);
	if (!t->email || !t->is_email_verified || email_canonical(str_of(t->email), user.email_key) < 0)
		return outcome(v, ARRIVAL_NOT_VERIFIED);
	if (!domain_is_let_in(x->arena, v->provider, user.email_key))
		return outcome(v, ARRIVAL_OTHER_DOMAIN);
	r = db_get_int(c, &one, "select 1 from users where email_key = ?", DB_TEXT(user.email_key));
	if (r != 0)
		return r < 0 ? r : outcome(v, ARRIVAL_EMAIL_TAKEN);
	user.email = t->email;
	user.name = name_for(x->arena, t);
	r = new_user_insert(c, &user, NULL, roles, id);
	if (r == -ENOENT)
		return outcome(v, ARRIVAL_NO_ACCOUNT); /* the role is gone */
	if (r == 0)
		r = user_email_verified(c, id);
	if (r == 0)
		r = identity_add(c, v->provider, id, t->subject, t->email);
	v->is_new_user = true;
	v->sign_in.user_id = id;
	return r;
}

/* ---- Signing in ---- */

static int load_user(struct db_conn *c, struct exchange *x, struct arrival *v)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(
		c, "select password_hash, email_key, failed_logins, disabled from users where id = ?" DB_FOR_UPDATE,
		DB_TEXT(v->sign_in.user_id));
	int r = db_step(c, st);

	if (r <= 0)
		return r < 0 ? r : outcome(v, ARRIVAL_NO_ACCOUNT);
	v->stored = db_col_is_null(st, 0) ? "" : db_col_dup(st, 0, x->arena);
	snprintf(v->guard.email_key, sizeof(v->guard.email_key), "%.*s", STR_ARG(db_col_str(st, 1)));
	v->sign_in.failures = db_col_int(st, 2);
	return db_col_int(st, 3) ? outcome(v, ARRIVAL_DISABLED) : 0;
}

/* A second factor of this account is asked for, unless the provider is trusted to have done that and says so. */
static int look_for_factors(struct db_conn *c, struct exchange *x, struct arrival *v)
{
	int r = factors_load(c, x->self, v->sign_in.user_id, &v->factors);

	sodium_memzero(v->factors.secret, sizeof(v->factors.secret));
	if (r < 0 || !factors_are_on(&v->factors) || (v->provider->trusts_second_factor && v->token->has_second_factor))
		return r;
	v->outcome = ARRIVAL_SECOND;
	return 0;
}

static int let_in(struct db_conn *c, struct exchange *x, struct arrival *v)
{
	int64_t r = db_exec(c, "update users set last_login_at = ?, failed_logins = 0 where id = ?",
			    DB_INT(clock_now_us()), DB_TEXT(v->sign_in.user_id));

	if (r >= 0)
		r = sign_in_save(c, x, &v->sign_in);
	if (r < 0 || !v->is_new_user)
		return (int)MIN(r, 0);
	v->made.actor_kind = "user";
	v->made.actor_id = v->sign_in.user_id;
	v->made.actor_name = v->sign_in.grant.account.name;
	v->made.target = arena_printf(x->arena, "user:%s", v->sign_in.user_id);
	return audit_add(c, x->self, &v->made);
}

static int note_use(struct db_conn *c, const char *identity_id)
{
	return error_only(db_exec(c, "update identities set last_used_at = ? where id = ?", DB_INT(clock_now_us()),
				  DB_TEXT(identity_id)));
}

static int sign_in(struct db_conn *c, struct exchange *x, struct arrival *v, const struct identity_at *at)
{
	int r = at->id ? note_use(c, at->id) : 0;

	v->sign_in.user_id = at->user_id;
	if (r == 0 && !at->id)
		r = make_user(c, x, v);
	if (r == 0)
		r = load_user(c, x, v);
	if (r == 0 && v->flow->kind == FLOW_SIGN_IN)
		r = look_for_factors(c, x, v);
	return r == 0 && v->outcome == ARRIVAL_SIGNED_IN ? let_in(c, x, v) : r;
}

/* ---- Linking, and showing oneself again ---- */

/* Whether the request comes from the session that began. */
static int check_session(struct db_conn *c, struct exchange *x, struct arrival *v, struct account *ret)
{
	int state;

	if (!x->who.user_id || strcmp(x->who.user_id, v->flow->user_id) != 0 || !x->who.session_id ||
	    strcmp(x->who.session_id, v->flow->session_id) != 0)
		return outcome(v, ARRIVAL_NOT_SIGNED_IN);
	state = actor_check(c, x, ret);
	return state < 0 ? state : state == ACTOR_OK ? 0 : outcome(v, ARRIVAL_NOT_SIGNED_IN);
}

static int link_it(struct db_conn *c, struct exchange *x, struct arrival *v, const struct identity_at *at)
{
	struct account account;
	int r = check_session(c, x, v, &account);

	if (r != 0)
		return r;
	v->outcome = ARRIVAL_LINKED;
	if (at->id)
		return strcmp(at->user_id, account.id) == 0 ? 0 : outcome(v, ARRIVAL_OTHER_USER);
	r = identity_add(c, v->provider, account.id, v->token->subject, v->token->email);
	v->is_new_identity = true;
	if (r == 0)
		r = factor_notice(c, x->arena, &account, &v->guard.client, v->linked.event);
	return r < 0 ? r : audit_add(c, x->self, &v->linked);
}

static int show_again(struct db_conn *c, struct exchange *x, struct arrival *v, const struct identity_at *at)
{
	int64_t now_s = clock_now_us() / 1000000;
	struct account account;
	int r = check_session(c, x, v, &account);

	if (r != 0)
		return r;
	if (!at->id || strcmp(at->user_id, account.id) != 0)
		return outcome(v, ARRIVAL_OTHER_USER);
	if (v->token->auth_time < v->flow->started_at / 1000000 - ID_TOKEN_SKEW_S ||
	    v->token->auth_time < now_s - FRESH_S)
		return outcome(v, ARRIVAL_NOT_FRESH);
	v->sign_in.replaced = v->flow->session_id;
	return sign_in(c, x, v, at);
}

/* ---- All ---- */

/* An answer is good once. */
static int use(struct db_conn *c, struct arrival *v)
{
	struct ticket ticket = {.expires_at = v->flow->started_at + FLOW_US};
	int r;

	memcpy(ticket.hash, v->flow->hash, sizeof(ticket.hash));
	r = ticket_use(c, &ticket);
	return r < 0 ? r : r == 1 ? 0 : outcome(v, ARRIVAL_USED);
}

int arrival_save(struct db_conn *c, struct exchange *x, struct arrival *v)
{
	struct identity_at at = {0};
	struct provider now;
	int r = use(c, v);

	v->outcome = r == 1 ? ARRIVAL_USED : ARRIVAL_SIGNED_IN;
	v->is_new_user = v->is_new_identity = false;
	v->sign_in.user_id = NULL;
	if (r != 0)
		return r;
	r = provider_load(c, x->arena, v->provider->name, &now);
	if (r < 0 || (r == 0 || !now.is_enabled || strcmp(now.id, v->flow->provider_id) != 0))
		return r < 0 ? r : outcome(v, ARRIVAL_OFF);
	r = identity_find(c, x->arena, v->provider->issuer, v->token->subject, &at);
	if (r < 0)
		return r;
	switch (v->flow->kind) {
	case FLOW_SIGN_IN: return sign_in(c, x, v, &at);
	case FLOW_LINK: return link_it(c, x, v, &at);
	case FLOW_REAUTH: return show_again(c, x, v, &at);
	}
	return outcome(v, ARRIVAL_OFF);
}
