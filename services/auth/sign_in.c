#include "sign_in.h"
#include "audit/audit.h"

#include "feed.h"
#include "mail/outbox.h"

#define NOTICE_FAILURES 5 /* failed attempts before a good one of which the user is told */

/* Whether the user has signed in before, but never like this. */
static int check_device(struct db_conn *c, struct sign_in *s)
{
	const struct client *client = &s->guard->client;
	int64_t one;
	int r;

	s->is_new_device = false;
	if (s->guard->is_known)
		return 0;
	r = db_get_int(c, &one, "select 1 from sessions where user_id = ? and address = ? and user_agent = ? limit 1",
		       DB_TEXT(s->user_id), DB_TEXT(client->address), DB_TEXT(client->user_agent));
	if (r == 0)
		r = db_get_int(c, &one, "select 1 from sessions where user_id = ? limit 1", DB_TEXT(s->user_id));
	else
		return MIN(r, 0);
	s->is_new_device = r == 1;
	return MIN(r, 0);
}

static int tell(struct db_conn *c, struct arena *a, struct sign_in *s, const char *kind)
{
	const struct account *to = &s->grant.account;
	struct outbox_mail mail = {
		.kind = kind,
		.to = to->email,
		.user_id = to->id,
		.facts = {.name = to->name,
			  .address = s->guard->client.address,
			  .agent = s->guard->client.user_agent,
			  .other = arena_printf(a, "%lld", (long long)s->failures)},
	};

	return to->email ? outbox_add(c, a, &mail) : 0;
}

static int tell_user(struct db_conn *c, struct arena *a, struct sign_in *s)
{
	int r = 0;

	if (s->is_new_device)
		r = tell(c, a, s, MAIL_NEW_DEVICE);
	if (r == 0 && s->failures >= NOTICE_FAILURES)
		r = tell(c, a, s, MAIL_FAILURES);
	return r;
}

int sign_in_save(struct db_conn *c, struct exchange *x, struct sign_in *s)
{
	int r = check_device(c, s);

	if (r == 0)
		r = session_create(c, x->self, x->arena, s->user_id, &s->guard->client, &s->grant);
	if (r == 0 && s->replaced)
		r = session_revoke(c, s->replaced, "replaced");
	return r < 0 ? r : tell_user(c, x->arena, s);
}

static void log_it(struct exchange *x, const struct sign_in *s)
{
	const char *user = s->user_id, *address = s->guard->client.address;

	audit_act(x, "session.started", AUDIT_SUCCESS, user, "session", s->grant.token.session_id);
	if (s->is_new_device)
		audit_act(x, "session.new_device", AUDIT_SUCCESS, user, "session", s->grant.token.session_id);
	if (s->failures >= NOTICE_FAILURES)
		audit_act(x, "session.after_failures", AUDIT_SUCCESS, user, "session", s->grant.token.session_id);
	if (s->is_new_device)
		log_event(LOG_WARN, "security event: sign-in from a new device", "event", "login_new_device", "user_id",
			  user, "address", address, "request_id", x->request_id, NULL);
	if (s->failures >= NOTICE_FAILURES)
		log_event(LOG_WARN, "security event: sign-in after failed attempts", "event", "login_after_failures",
			  "user_id", user, "address", address, "request_id", x->request_id, NULL);
}

void sign_in_reply(struct exchange *x, struct sign_in *s)
{
	struct auth *auth = x->self;

	metric_add(auth->metrics.logins_granted, 1);
	log_it(x, s);
	if (s->is_new_device || s->failures >= NOTICE_FAILURES)
		outbox_wake(auth);
	if (s->replaced)
		feed_wake(auth);
	session_reply(x, 200, &s->guard->client, &s->grant);
}
