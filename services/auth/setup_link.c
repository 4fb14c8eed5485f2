/* POST /api/auth/setup-link: a new set-up token for the owner's command line, when the printed one has expired. */
#include "account.h"
#include "base/clock.h"
#include "handlers.h"
#include "service/secret_file.h"
#include "setup.h"

struct setup_link {
	struct exchange_job job;
	char token[SETUP_TOKEN_SIZE];
	int64_t expires_at;
	bool is_needed;
	int actor;
};

static int link_run(struct db_conn *c, struct exchange_job *job)
{
	struct setup_link *l = (struct setup_link *)job;
	int r = setup_lock(c);

	if (r == 0)
		r = setup_is_needed(c);
	if (r < 0)
		return r;
	l->is_needed = r == 1;
	l->actor = actor_check(c, job->x, NULL);
	if (!l->is_needed || l->actor != ACTOR_OK)
		return MIN(l->actor, 0);
	return setup_token_store(c, l->token, l->expires_at);
}

static void reply_link(struct setup_link *l)
{
	struct exchange *x = l->job.x;
	char expires[TIME_TEXT_SIZE];
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	time_format(l->expires_at, expires);
	yyjson_mut_obj_add_str(doc, obj, "token", l->token);
	json_add_str(doc, obj, "path", arena_printf(x->arena, "/setup#token=%s", l->token));
	json_add_str(doc, obj, "expires_at", expires);
	reply_header(x, "Cache-Control", "no-store");
	reply_json(x, 201, doc);
}

static void link_done(struct exchange_job *job)
{
	struct setup_link *l = (struct setup_link *)job;
	const struct auth *auth = job->x->self;
	struct error err = {0};

	if (l->actor != ACTOR_OK)
		actor_refuse(job->x, l->actor);
	else if (!l->is_needed)
		reply_problem(job->x, 410, "setup_done", "This installation has an administrator already; sign in.");
	else if (secret_file_write(auth->secrets_dir, SETUP_TOKEN_FILE, str_of(l->token), &err) < 0)
		reply_error(job->x, 500, &err);
	else
		reply_link(l);
}

void auth_setup_link(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct setup_link *l = arena_new_of(x->arena, struct setup_link);

	setup_token_new(l->token);
	l->expires_at = clock_now_us() + SETUP_TOKEN_LIFE_US;
	l->job = (struct exchange_job){.x = x, .run = link_run, .done_ok = link_done};
	exchange_write(auth->db, &l->job);
}
