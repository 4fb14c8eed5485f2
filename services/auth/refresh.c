/* POST /api/auth/refresh, on session_rotate. */
#include "audit/audit.h"
#include "feed.h"
#include "handlers.h"
#include "sessions.h"

struct refresh {
	struct exchange_job job;
	struct client client;
	bool by_cookie;
	struct refresh_token token;
	enum refresh_outcome outcome;
	struct session_grant grant;
};

static int refresh_run(struct db_conn *c, struct exchange_job *job)
{
	struct refresh *f = (struct refresh *)job;

	return session_rotate(c, job->x->self, job->x->arena, &f->token, false, &f->outcome, &f->grant);
}

static void refuse(struct exchange *x, const struct client *client, bool by_cookie)
{
	if (by_cookie)
		client_set_cookie(x, client, NULL, 0);
	reply_header(x, "Cache-Control", "no-store");
	reply_problem(x, 401, "invalid_refresh_token", "The session has ended; sign in again.");
}

static void refresh_done(struct exchange_job *job)
{
	struct refresh *f = (struct refresh *)job;
	const struct auth *auth = job->x->self;

	metric_add(auth->metrics.refreshes[f->outcome], 1);
	if (f->outcome != REFRESH_GRANTED)
		feed_wake(job->x->self);
	if (f->outcome == REFRESH_GRANTED) {
		session_reply(job->x, 200, &f->client, &f->grant);
		return;
	}
	if (f->outcome == REFRESH_REUSED) {
		audit_act(job->x, "session.reused", AUDIT_DENIED, NULL, "session", f->token.session_id);
		log_event(LOG_WARN, "security event: a used refresh token came again, the session has ended", "event",
			  "refresh_reuse", "session_id", f->token.session_id, "address", f->client.address,
			  "request_id", job->x->request_id, NULL);
	}
	refuse(job->x, &f->client, f->by_cookie);
}

void auth_refresh(struct exchange *x)
{
	static const struct json_field fields[] = {{"refresh_token", JSON_STRING, .max = 1024}};
	const struct auth *auth = x->self;
	struct refresh *f = arena_new_of(x->arena, struct refresh);
	const char *text = NULL;
	struct error err = {0};

	if (x->body && json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (client_refuse_cross_site(x))
		return;
	client_read(x, &f->client);
	if (x->body)
		text = json_get_str(x->body, "refresh_token", NULL);
	if (!text) {
		text = client_cookie(x, &f->client);
		f->by_cookie = text != NULL;
	}
	if (f->by_cookie && !f->client.is_web) {
		reply_problem(x, 403, "cross_site", "With the cookie, the header X-Ogent-Client: web is needed.");
		return;
	}
	if (!text || refresh_token_parse(&auth->refresh_key, str_of(text), &f->token) < 0) {
		refuse(x, &f->client, f->by_cookie);
		return;
	}
	f->job.x = x;
	f->job.run = refresh_run;
	f->job.done_ok = refresh_done;
	exchange_write(auth->db, &f->job);
}
