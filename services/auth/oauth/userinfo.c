/* GET and POST /oauth/userinfo (OpenID Connect Core section 5.3). */
#include "account.h"
#include "oauth/handlers.h"
#include "oauth/issue.h"

struct userinfo {
	struct exchange_job job;
	struct account account;
	struct scope_list scopes;
	int actor;
	bool has_grant;
};

static int userinfo_run(struct db_conn *c, struct exchange_job *job)
{
	struct userinfo *u = (struct userinfo *)job;
	struct oauth_grant grant;
	int r;

	u->actor = actor_check(c, job->x, &u->account);
	if (u->actor != ACTOR_OK)
		return MIN(u->actor, 0);
	r = oauth_grant_load(c, job->x->arena, job->x->who.session_id, &grant);
	u->has_grant = r == 1;
	if (r == 1)
		scope_read(grant.scope, &u->scopes);
	return MIN(r, 0);
}

static void userinfo_done(struct exchange_job *job)
{
	struct userinfo *u = (struct userinfo *)job;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;

	if (u->actor != ACTOR_OK) {
		actor_refuse(job->x, u->actor);
		return;
	}
	if (!u->has_grant || !scope_has(&u->scopes, "openid")) {
		reply_header(job->x, "WWW-Authenticate", "Bearer error=\"insufficient_scope\", scope=\"openid\"");
		reply_problem(job->x, 403, "forbidden", "This needs the scope openid.");
		return;
	}
	obj = json_new_obj(job->x->arena, &doc);
	json_add_str(doc, obj, "sub", u->account.id);
	if (scope_has(&u->scopes, "profile"))
		json_add_str(doc, obj, "name", u->account.name);
	if (scope_has(&u->scopes, "email") && u->account.email)
		json_add_str(doc, obj, "email", u->account.email);
	reply_header(job->x, "Cache-Control", "no-store");
	reply_json(job->x, 200, doc);
}

void oauth_userinfo(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct userinfo *u = arena_new_of(x->arena, struct userinfo);

	u->job = (struct exchange_job){.x = x, .run = userinfo_run, .done_ok = userinfo_done};
	exchange_read(auth->db, &u->job);
}
