/* POST /api/auth/logout: ends the session of the access token, and that of the cookie. */
#include "feed.h"
#include "handlers.h"
#include "sessions.h"

struct logout {
	struct exchange_job job;
	struct client client;
	const char *sessions[2]; /* one may be NULL */
	const char *token;       /* one without a session; or NULL */
	bool by_cookie;
};

static int logout_run(struct db_conn *c, struct exchange_job *job)
{
	struct logout *l = (struct logout *)job;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(l->sessions); i++)
		if (l->sessions[i])
			r = session_revoke(c, l->sessions[i], "logout");
	if (r == 0 && l->token)
		r = feed_add_token(c, l->token, "logout");
	return r;
}

static void logout_done(struct exchange_job *job)
{
	struct logout *l = (struct logout *)job;

	feed_wake(job->x->self);
	if (l->by_cookie)
		client_set_cookie(job->x, &l->client, NULL, 0);
	reply_header(job->x, "Cache-Control", "no-store");
	reply_empty(job->x, 204);
}

void auth_logout(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct logout *l = arena_new_of(x->arena, struct logout);
	const char *cookie;

	if (client_refuse_cross_site(x))
		return;
	client_read(x, &l->client);
	cookie = client_cookie(x, &l->client);
	if (cookie && l->client.is_web) {
		l->by_cookie = true;
		l->sessions[1] = session_of_cookie(x, &l->client);
	}
	if (x->who.user_id && *x->who.session_id)
		l->sessions[0] = x->who.session_id;
	else if (x->who.user_id && *x->who.token_id)
		l->token = x->who.token_id;
	if (!x->who.user_id && cookie && !l->client.is_web) {
		reply_problem(x, 403, "cross_site", "With the cookie, the header X-Ogent-Client: web is needed.");
		return;
	}
	if (!x->who.user_id && !cookie) {
		actor_refuse(x, ACTOR_GONE);
		return;
	}
	l->job.x = x;
	l->job.run = logout_run;
	l->job.done_ok = logout_done;
	exchange_write(auth->db, &l->job);
}
