/* POST /oauth/register (RFC 7591): a program makes itself known. What it says of itself is shown to users as its own
 * words; its number is limited. */
#include "audit/audit.h"
#include "base/clock.h"
#include "oauth/client_store.h"
#include "oauth/handlers.h"
#include "sessions.h"

#define UNUSED_US (24 * 3600 * INT64_C(1000000))

struct registration {
	struct exchange_job job;
	struct new_client client;
	struct audit_event event;
	bool is_full;
};

/* Makes room by what nobody uses. Returns 1 there is room, 0 not, or -errno. */
static int make_room(struct db_conn *c, int64_t max)
{
	static const char count[] = "select count(*) from oauth_clients where kind = 'registered'";
	int64_t n, now = clock_now_us(), r = db_get_int(c, &n, count);

	if (r < 0 || n < max)
		return r < 0 ? (int)r : 1;
	r = db_exec(c,
		    "delete from oauth_clients where kind = 'registered' and created_at < ? and "
		    "(used_at is null or used_at < ?) and not exists "
		    "(select 1 from oauth_grants g where g.client_id = oauth_clients.id and g.ends_at > ?)",
		    DB_INT(now - UNUSED_US), DB_INT(now - UNUSED_US), DB_INT(now));
	if (r >= 0)
		r = db_get_int(c, &n, count);
	return r < 0 ? (int)r : n < max;
}

static int register_run(struct db_conn *c, struct exchange_job *job)
{
	struct registration *g = (struct registration *)job;
	const struct auth *auth = job->x->self;
	int r = make_room(c, auth->oauth->clients_max);

	g->is_full = r == 0;
	if (r <= 0)
		return r;
	r = new_client_insert(c, &g->client);
	g->event.target = arena_printf(job->x->arena, "client:%s", g->client.id);
	return r < 0 ? r : audit_add(c, auth, &g->event);
}

static void register_done(struct exchange_job *job)
{
	struct registration *g = (struct registration *)job;

	if (g->is_full) {
		reply_header(job->x, "Retry-After", "3600");
		oauth_error(job->x, 503, "temporarily_unavailable",
			    "Too many programs have registered; an administrator can raise oauth_clients_max.");
		return;
	}
	new_client_reply(job->x, &g->client);
}

/* Answers and returns false when there have been too many from this address. */
static bool is_admitted(struct exchange *x, const struct client *from)
{
	const struct auth *auth = x->self;
	uint64_t now = clock_mono_ms(), wait = throttle_begin(auth->oauth->registrations, str_of(from->address), now);

	if (wait == 0) {
		throttle_end(auth->oauth->registrations, str_of(from->address), THROTTLE_FAILED, now);
		return true;
	}
	reply_header(x, "Retry-After", arena_printf(x->arena, "%u", (unsigned)((wait + 999) / 1000)));
	oauth_error(x, 429, "temporarily_unavailable", "Too many registrations come from this address; wait.");
	return false;
}

void oauth_register(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct registration *g = arena_new_of(x->arena, struct registration);
	struct error err = {0};
	struct client from;

	reply_header(x, "Access-Control-Allow-Origin", "*");
	if (!oauth_issuer(x))
		return;
	if (!auth->oauth->may_register) {
		oauth_error(x, 403, "access_denied",
			    "Programs cannot register themselves here: an administrator adds them.");
		return;
	}
	client_read(x, &from);
	if (client_metadata_read(x->arena, x->body, &g->client.metadata, &err) < 0) {
		oauth_error(x, 400, err.code, "%s", err.message);
		return;
	}
	if (!is_admitted(x, &from))
		return;
	new_client_init(&g->client, "registered", arena_strdup(x->arena, from.address), NULL);
	audit_event_of(x, "client.registered", &g->event);
	g->event.detail = audit_detail(x->arena, "name", g->client.metadata.name, NULL);
	g->job = (struct exchange_job){.x = x, .run = register_run, .done_ok = register_done};
	exchange_write(auth->db, &g->job);
}
