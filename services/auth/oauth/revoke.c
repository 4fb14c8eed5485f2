/* POST /oauth/revoke (RFC 7009). A client gives back what is its own; for anything else the answer is the same and
 * nothing happens. A refresh token goes with all that came of it. */
#include "base/clock.h"
#include "feed.h"
#include "oauth/client.h"
#include "oauth/handlers.h"
#include "oauth/issue.h"
#include "oauth/own_token.h"

struct revocation_request {
	struct exchange_job job;
	struct client_claim claim;
	struct own_token token;
	bool is_client;
};

static int revoke_run(struct db_conn *c, struct exchange_job *job)
{
	struct revocation_request *q = (struct revocation_request *)job;
	struct oauth_client client;
	struct oauth_grant grant;
	int r = client_claim_check(c, job->x->arena, &q->claim, &client);

	q->is_client = r == 1;
	if (r <= 0 || !*q->token.session_id)
		return MIN(r, 0);
	r = oauth_grant_load(c, job->x->arena, q->token.session_id, &grant);
	if (r <= 0 || strcmp(grant.client_id, client.id))
		return MIN(r, 0);
	return q->token.is_refresh ? session_revoke(c, grant.session_id, "client")
				   : feed_add_token(c, q->token.who.token_id, "client");
}

static void revoke_done(struct exchange_job *job)
{
	struct revocation_request *q = (struct revocation_request *)job;

	feed_wake(job->x->self);
	if (!q->is_client) {
		client_refuse(job->x);
		return;
	}
	reply_header(job->x, "Cache-Control", "no-store");
	reply_empty(job->x, 200);
}

static void read_token(struct exchange *x, const struct form *form)
{
	const struct auth *auth = x->self;
	struct revocation_request *q = arena_new_of(x->arena, struct revocation_request);
	const char *token = form_get(form, "token");

	if (!client_claim_read(x, form, &q->claim))
		return;
	if (!token) {
		oauth_error(x, 400, "invalid_request", "token is missing.");
		return;
	}
	own_token_read(x, token, &q->token);
	q->job = (struct exchange_job){.x = x, .run = revoke_run, .done_ok = revoke_done};
	exchange_write(auth->db, &q->job);
}

void oauth_revoke(struct exchange *x)
{
	reply_header(x, "Access-Control-Allow-Origin", "*");
	oauth_read_form(x, read_token);
}
