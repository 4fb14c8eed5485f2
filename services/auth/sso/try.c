/* POST /api/auth/providers/{name}/test: reads a provider's description and keys now and says what is wrong. */
#include <errno.h>

#include "oauth/oauth.h"
#include "sessions.h"
#include "sso/handlers.h"
#include "sso/site.h"

struct
try {
	struct exchange_job job;
	struct site_ask ask;
	struct exchange *x; /* held while the provider is asked */
	struct provider provider;
	int actor;
};

static int find_run(struct db_conn *c, struct exchange_job *job)
{
	struct try *t = container_of(job, struct try, job);
	int r;

	t->actor = actor_check(c, job->x, NULL);
	if (t->actor != ACTOR_OK)
		return MIN(t->actor, 0);
	r = provider_load(c, job->x->arena, job->x->params[0].p, &t->provider);
	return r < 0 ? r : r == 0 ? -ENOENT : 0;
}

static void asked(struct site_ask *ask)
{
	struct try *t = container_of(ask, struct try, ask);
	struct exchange *x = t->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	yyjson_mut_obj_add_bool(doc, obj, "ok", ask->site != NULL);
	json_add_str(doc, obj, "error", ask->site ? NULL : ask->err.message);
	yyjson_mut_obj_add_int(doc, obj, "keys", ask->site ? (int64_t)ask->site->keys.n : 0);
	json_add_str(doc, obj, "authorization_endpoint", ask->site ? ask->site->authorization_endpoint : NULL);
	reply_json(x, 200, doc);
	exchange_drop(x);
}

static void find_done(struct exchange_job *job)
{
	struct try *t = container_of(job, struct try, job);

	if (t->actor != ACTOR_OK) {
		actor_refuse(job->x, t->actor);
		return;
	}
	site_drop(job->x->self, t->provider.issuer);
	exchange_hold(job->x);
	t->ask = (struct site_ask){
		.auth = job->x->self,
		.arena = job->x->arena,
		.issuer = t->provider.issuer,
		.needs_keys = true,
		.done = asked,
	};
	site_ask(&t->ask);
}

void providers_test(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct try *t = arena_new_of(x->arena, struct try);

	t->x = x;
	t->job = (struct exchange_job){.x = x, .run = find_run, .done_ok = find_done};
	exchange_read(auth->db, &t->job);
}
