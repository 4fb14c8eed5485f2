#include "settings.h"
#include "audit/audit.h"

#include "account.h"
#include "base/clock.h"
#include "handlers.h"
#include "setup.h"

static const char *const registration_names[] = {"closed", "invite", "open"};

const char *registration_name(enum registration r)
{
	return registration_names[r];
}

int registration_get(struct db_conn *c)
{
	_cleanup_(db_done_p) struct db_stmt *st = NULL;
	int r = setup_is_needed(c);

	if (r != 0)
		return r < 0 ? r : REGISTRATION_CLOSED;
	st = db_query(c, "select value from settings where name = 'registration'");
	r = db_step(c, st);
	if (r <= 0)
		return r < 0 ? r : REGISTRATION_INVITE;
	for (size_t i = 0; i < ARRAY_SIZE(registration_names); i++)
		if (str_is(db_col_str(st, 0), registration_names[i]))
			return (int)i;
	return REGISTRATION_CLOSED;
}

int registration_is_open(struct db_conn *c)
{
	int r = registration_get(c);

	return r < 0 ? r : r == REGISTRATION_OPEN;
}

int invitations_are_open(struct db_conn *c)
{
	int r = registration_get(c);

	return r < 0 ? r : r != REGISTRATION_CLOSED;
}

struct settings_job {
	struct exchange_job job;
	struct audit_event event;
	const char *registration; /* to be set, or NULL */
	int now;                  /* enum registration */
	int actor;
};

static int save(struct db_conn *c, const char *name, const char *value)
{
	int64_t r = setup_lock(c);

	if (r >= 0)
		r = db_exec(c, "delete from settings where name = ?", DB_TEXT(name));

	if (r >= 0)
		r = db_exec(c, "insert into settings (name, value, updated_at) values (?, ?, ?)", DB_TEXT(name),
			    DB_TEXT(value), DB_INT(clock_now_us()));
	return MIN(r, 0);
}

static int settings_run(struct db_conn *c, struct exchange_job *job)
{
	struct settings_job *s = (struct settings_job *)job;
	int r = 0;

	s->actor = actor_check(c, job->x, NULL);
	if (s->actor != ACTOR_OK)
		return MIN(s->actor, 0);
	if (s->registration)
		r = save(c, "registration", s->registration);
	if (r < 0)
		return r;
	s->now = registration_get(c);
	return s->now < 0 || !s->registration ? MIN(s->now, 0) : audit_add(c, job->x->self, &s->event);
}

static void settings_done(struct exchange_job *job)
{
	struct settings_job *s = (struct settings_job *)job;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;

	if (s->actor != ACTOR_OK) {
		actor_refuse(job->x, s->actor);
		return;
	}
	obj = json_new_obj(job->x->arena, &doc);
	yyjson_mut_obj_add_str(doc, obj, "registration", registration_name(s->now));
	reply_json(job->x, 200, doc);
}

static struct settings_job *job_new(struct exchange *x)
{
	struct settings_job *s = arena_new_of(x->arena, struct settings_job);

	s->job = (struct exchange_job){.x = x, .run = settings_run, .done_ok = settings_done};
	return s;
}

void auth_settings_get(struct exchange *x)
{
	const struct auth *auth = x->self;

	exchange_read(auth->db, &job_new(x)->job);
}

void auth_settings_patch(struct exchange *x)
{
	static const struct json_field fields[] = {{"registration", JSON_STRING, .required = true, .max = 16}};
	const struct auth *auth = x->self;
	struct settings_job *s = job_new(x);
	struct error err = {0};

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) == 0) {
		s->registration = json_get_str(x->body, "registration", "");
		for (size_t i = 0; i < ARRAY_SIZE(registration_names); i++) {
			if (!strcmp(s->registration, registration_names[i])) {
				audit_event_of(x, "settings.changed", &s->event);
				s->event.detail = audit_detail(x->arena, "registration", s->registration, NULL);
				exchange_write(auth->db, &s->job);
				return;
			}
		}
		error_set(&err, "invalid_field", "`registration` must be \"open\", \"invite\" or \"closed\".");
	}
	reply_error(x, 422, &err);
}
