/* Schedules as people see and change them. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/agent_shares.h"
#include "agent/automation/automation.h"
#include "agent/automation/schedule.h"
#include "agent/handlers.h"
#include "base/clock.h"

#define SECOND 1000000ll
#define PER_USER_MAX 200
#define MAX_PREVIEW 100

static const char *const trigger_names[] = {"cron", "every_seconds", "at"};
static const char *const conversation_words[] = {"new", "keep", NULL};
static const char *const missed_words[] = {"skip", "once", "all", NULL};
static const char *const overlap_words[] = {"skip", "queue", "cancel", NULL};
static const char *const status_words[] = {"active", "paused", NULL};

#define TIMES_FIELDS                                                                                     \
	{"cron", JSON_STRING_OR_NULL, false, 1, CRON_TEXT_MAX}, {"timezone", JSON_STRING, false, 1, 64}, \
		{"every_seconds", JSON_INT, false, 1, 366 * 86400},                                      \
	{                                                                                                \
		"at", JSON_STRING_OR_NULL, false, 1, 40                                                  \
	}

static const struct json_field fields[] = {
	TIMES_FIELDS,
	{"name", JSON_STRING, false, 1, 200},
	{"agent_id", JSON_STRING, false, 36, 36},
	{"message", JSON_STRING, false, 1, POST_CONTENT_MAX},
	{"ends_at", JSON_STRING_OR_NULL, false, 1, 40},
	{"conversation", JSON_STRING, false, 1, 8},
	{"missed", JSON_STRING, false, 1, 8},
	{"missed_max", JSON_INT, false, 1, SCHEDULE_MISSED_MAX},
	{"overlap", JSON_STRING, false, 1, 8},
	{"max_failures", JSON_INT, false, 0, 1000},
	{"status", JSON_STRING, false, 1, 16},
};

/* ---- Out ---- */

static void add_schedule(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct schedule *s)
{
	json_add_str(doc, obj, "id", s->id);
	json_add_str(doc, obj, "name", s->name);
	json_add_str(doc, obj, "user_id", s->user_id);
	json_add_str(doc, obj, "agent_id", s->agent_id);
	json_add_str(doc, obj, "agent_name", s->agent_name);
	json_add_str(doc, obj, "message", s->message);
	json_add_str(doc, obj, "cron", s->cron);
	json_add_str(doc, obj, "timezone", s->timezone);
	if (s->every_us)
		yyjson_mut_obj_add_int(doc, obj, "every_seconds", s->every_us / SECOND);
	else
		yyjson_mut_obj_add_null(doc, obj, "every_seconds");
	add_time(doc, obj, "at", s->at_us);
	add_time(doc, obj, "ends_at", s->ends_at);
	json_add_str(doc, obj, "conversation", s->conversation);
	json_add_str(doc, obj, "conversation_id", s->conversation_id);
	json_add_str(doc, obj, "missed", s->missed);
	yyjson_mut_obj_add_int(doc, obj, "missed_max", s->missed_max);
	json_add_str(doc, obj, "overlap", s->overlap);
	yyjson_mut_obj_add_int(doc, obj, "max_failures", s->max_failures);
	yyjson_mut_obj_add_int(doc, obj, "failures", s->failures);
	json_add_str(doc, obj, "status", s->status);
	json_add_str(doc, obj, "reason", s->reason);
	add_time(doc, obj, "next_at", s->next_at);
	json_add_str(doc, obj, "active_execution_id", s->active_execution_id);
	yyjson_mut_obj_add_int(doc, obj, "version", s->version);
	add_time(doc, obj, "created_at", s->created_at);
	add_time(doc, obj, "updated_at", s->updated_at);
}

static int answer_schedule(struct answer *a, int status, const struct schedule *s)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a->job.x->arena, &doc);

	add_schedule(doc, obj, s);
	a->etag = arena_printf(a->job.x->arena, "\"%lld\"", (long long)s->version);
	return answer_json(a, status, doc);
}

/* ---- In ---- */

static bool is_one_of(const char *word, const char *const *list)
{
	while (*list && strcmp(*list, word) != 0)
		list++;
	return *list;
}

static int read_time(yyjson_val *body, const char *key, int64_t *ret, struct error *err)
{
	yyjson_val *v = yyjson_obj_get(body, key);

	if (!v)
		return 0;
	*ret = 0;
	if (yyjson_is_null(v) || time_parse(str_of(yyjson_get_str(v)), ret) == 0)
		return 0;
	return error_set(err, "invalid_field", "\"%s\" is a time such as 2026-11-23T09:00:00Z.", key);
}

static int read_word(yyjson_val *body, const char *key, const char *const *words, const char **ret, struct error *err)
{
	const char *word = json_get_str(body, key, NULL);

	if (!word)
		return 0;
	if (!is_one_of(word, words))
		return error_set(err, "invalid_field", "\"%s\" is one of: %s, %s%s%s.", key, words[0], words[1],
				 words[2] ? ", " : "", words[2] ? words[2] : "");
	*ret = word;
	return 0;
}

/* Setting one of the three unsets the others. */
static int read_trigger(yyjson_val *body, struct schedule *s, struct error *err)
{
	int n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(trigger_names); i++) {
		yyjson_val *v = yyjson_obj_get(body, trigger_names[i]);

		n += v && !yyjson_is_null(v);
	}
	s->timezone = json_get_str(body, "timezone", s->timezone);
	if (n > 1)
		return error_set(err, "invalid_field", "Give one of cron, every_seconds and at.");
	if (n == 0)
		return 0;
	s->cron = json_get_str(body, "cron", NULL);
	s->every_us = json_get_int(body, "every_seconds", 0) * SECOND;
	return read_time(body, "at", &s->at_us, err);
}

/* Takes what the body has; the rest stays as it is. */
static int take_body(struct schedule *s, yyjson_val *body, struct error *err)
{
	int r = json_check(body, fields, ARRAY_SIZE(fields), err);

	if (r == 0)
		r = read_trigger(body, s, err);
	if (r == 0)
		r = read_time(body, "ends_at", &s->ends_at, err);
	if (r == 0)
		r = read_word(body, "conversation", conversation_words, &s->conversation, err);
	if (r == 0)
		r = read_word(body, "missed", missed_words, &s->missed, err);
	if (r == 0)
		r = read_word(body, "overlap", overlap_words, &s->overlap, err);
	if (r == 0)
		r = read_word(body, "status", status_words, &s->status, err);
	s->name = json_get_str(body, "name", s->name);
	s->agent_id = json_get_str(body, "agent_id", s->agent_id);
	s->message = json_get_str(body, "message", s->message);
	s->missed_max = json_get_int(body, "missed_max", s->missed_max);
	s->max_failures = json_get_int(body, "max_failures", s->max_failures);
	return r;
}

/* When it is next due, from now on. */
static int find_next(struct schedule *s, int64_t now, struct error *err)
{
	struct schedule_times t;
	int r;

	if (!s->cron && !s->every_us && !s->at_us)
		return error_set(err, "invalid_field", "Say when: cron, every_seconds or at.");
	r = schedule_times_init(&t, s, err);
	if (r == 0) {
		s->next_at = schedule_times_next(&t, now);
		if (!s->next_at)
			r = error_set(err, "schedule_never",
				      "There is no such time any more: it is over, or does not come within 50 years.");
	}
	schedule_times_deinit(&t);
	return r;
}

/* ---- Whose ---- */

static bool sees_all(const struct exchange *x)
{
	return identity_may(&x->who, "schedules.use_any");
}

static int find_own(struct db_conn *c, struct answer *a, bool to_change, struct schedule *ret)
{
	struct exchange *x = a->job.x;
	int r = schedule_find(c, x->arena, path_id(x), to_change, ret);

	if (r < 0)
		return r;
	if (r == 0 || (strcmp(ret->user_id, x->who.user_id) != 0 && !sees_all(x)))
		return answer_not_found(a, "schedule");
	return 0;
}

static int check(struct answer *a, int r, const struct error *err)
{
	struct arena *arena = a->job.x->arena;

	return r == 0 ? 0 : answer_problem(a, 422, arena_strdup(arena, err->code), arena_strdup(arena, err->message));
}

/* ---- Making one ---- */

static int insert(struct db_conn *c, const struct schedule *s)
{
	int64_t n = db_exec(
		c,
		"insert into schedules (id, user_id, agent_id, name, message, cron, timezone, every_us, at_us, "
		"starts_at, ends_at, conversation, missed, missed_max, overlap, max_failures, failures, status, "
		"next_at, version, created_at, updated_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, "
		"?, ?, 1, ?, ?)",
		DB_TEXT(s->id), DB_TEXT(s->user_id), DB_TEXT(s->agent_id), DB_TEXT(s->name), DB_TEXT(s->message),
		DB_TEXT(s->cron), DB_TEXT(s->timezone), DB_INT(s->every_us), DB_INT(s->at_us), DB_INT(s->starts_at),
		DB_INT(s->ends_at), DB_TEXT(s->conversation), DB_TEXT(s->missed), DB_INT(s->missed_max),
		DB_TEXT(s->overlap), DB_INT(s->max_failures), DB_TEXT(s->status), DB_INT(s->next_at),
		DB_INT(s->created_at), DB_INT(s->updated_at));

	return (int)MIN(n, 0);
}

static int create_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct exchange *x = job->x;
	char *id = arena_alloc(x->arena, ID_SIZE);
	int64_t now = clock_now_us(), n = 0;
	struct schedule s = {.id = id,
			     .user_id = x->who.user_id,
			     .timezone = "UTC",
			     .conversation = "new",
			     .missed = "once",
			     .missed_max = 10,
			     .overlap = "skip",
			     .max_failures = 5,
			     .status = "active",
			     .version = 1,
			     .starts_at = now,
			     .created_at = now,
			     .updated_at = now};
	struct error err = {0};
	int r = answer_known(c, a);

	if (r == 0)
		r = check(a, take_body(&s, x->body, &err), &err);
	if (r == 0)
		r = check(a, find_next(&s, now, &err), &err);
	if (r == 0)
		r = answer_find_agent(c, a, s.agent_id, &s.agent_name);
	if (r == 0)
		r = error_only(
			db_get_int(c, &n, "select count(*) from schedules where user_id = ?", DB_TEXT(s.user_id)));
	if (r == 0 && n >= PER_USER_MAX)
		return answer_problem(a, 409, "too_many_schedules",
				      "There are too many schedules already: remove some that are not needed.");
	id_new(id);
	if (r == 0)
		r = insert(c, &s);
	if (r)
		return r;
	a->location = arena_printf(x->arena, "/api/schedules/%s", id);
	answer_schedule(a, 201, &s);
	return answer_keep(c, a);
}

void schedules_create(struct exchange *x)
{
	static const char *const needed[] = {"name", "agent_id", "message"};

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		if (yyjson_obj_get(x->body, needed[i]))
			continue;
		reply_problem(x, 422, "invalid_field", "\"%s\" is missing.", needed[i]);
		return;
	}
	answer_write(x, arena_new_of(x->arena, struct answer), create_run);
}

/* ---- Reading ---- */

static int get_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct schedule s;
	int r = find_own(c, a, false, &s);

	return r ? r : answer_schedule(a, 200, &s);
}

void schedules_get(struct exchange *x)
{
	answer_read(x, arena_new_of(x->arena, struct answer), get_run);
}

static int list_run(struct db_conn *c, struct exchange_job *job)
{
	struct page_answer *l = (struct page_answer *)job;
	struct exchange *x = job->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	struct schedule s = {0};
	int64_t n = 0;
	const char *last = NULL;
	int r;
	struct db_stmt *st =
		db_query(c,
			 "select id from schedules where (user_id = ? or ? = 1) and id < ? order by id desc "
			 "limit ?",
			 DB_TEXT(x->who.user_id), DB_INT(sees_all(x)), DB_TEXT(l->page.after ? l->page.after : ID_LAST),
			 DB_INT(l->page.limit + 1));

	while ((r = db_step(c, st)) == 1 && n++ < l->page.limit) {
		last = db_col_dup(st, 0, x->arena);
		r = schedule_find(c, x->arena, last, false, &s);
		if (r == 1)
			add_schedule(doc, yyjson_mut_arr_add_obj(doc, items), &s);
	}
	db_done(st);
	json_add_str(doc, obj, "next", n > l->page.limit ? page_cursor(x->arena, last) : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, doc);
}

void schedules_list(struct exchange *x)
{
	answer_page(x, list_run);
}

static void add_firing(yyjson_mut_doc *doc, yyjson_mut_val *obj, struct db_stmt *st, struct arena *a)
{
	json_add_str(doc, obj, "id", db_col_dup(st, 0, a));
	add_time(doc, obj, "planned_at", db_col_int(st, 1));
	add_time(doc, obj, "at", db_col_int(st, 2));
	json_add_str(doc, obj, "status", db_col_dup(st, 3, a));
	json_add_str(doc, obj, "reason", db_col_dup(st, 4, a));
	yyjson_mut_obj_add_int(doc, obj, "times", db_col_int(st, 5));
	json_add_str(doc, obj, "execution_id", db_col_dup(st, 6, a));
	json_add_str(doc, obj, "conversation_id", db_col_dup(st, 7, a));
}

#define FIRING_COLUMNS "id, planned_at, at, status, reason, times, execution_id, conversation_id"

static int firings_run(struct db_conn *c, struct exchange_job *job)
{
	struct page_answer *l = (struct page_answer *)job;
	struct exchange *x = job->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	const char *last = NULL;
	struct schedule s;
	struct db_stmt *st;
	int64_t n = 0;
	int r = find_own(c, &l->answer, false, &s);

	if (r)
		return r;
	st = db_query(c,
		      "select " FIRING_COLUMNS " from schedule_firings where schedule_id = ? and id < ? order by id "
		      "desc limit ?",
		      DB_TEXT(s.id), DB_TEXT(l->page.after ? l->page.after : ID_LAST), DB_INT(l->page.limit + 1));
	while ((r = db_step(c, st)) == 1 && n++ < l->page.limit) {
		last = db_col_dup(st, 0, x->arena);
		add_firing(doc, yyjson_mut_arr_add_obj(doc, items), st, x->arena);
	}
	db_done(st);
	json_add_str(doc, obj, "next", n > l->page.limit ? page_cursor(x->arena, last) : NULL);
	return r < 0 ? r : answer_json(&l->answer, 200, doc);
}

void schedules_firings(struct exchange *x)
{
	answer_page(x, firings_run);
}

/* ---- Changing ---- */

static int update(struct db_conn *c, const struct schedule *s)
{
	int64_t n = db_exec(
		c,
		"update schedules set agent_id = ?, name = ?, message = ?, cron = ?, timezone = ?, every_us = ?, at_us "
		"= ?, ends_at = ?, conversation = ?, missed = ?, missed_max = ?, overlap = ?, max_failures = ?, "
		"failures = ?, status = ?, reason = ?, next_at = ?, version = ?, updated_at = ? where id = ?",
		DB_TEXT(s->agent_id), DB_TEXT(s->name), DB_TEXT(s->message), DB_TEXT(s->cron), DB_TEXT(s->timezone),
		DB_INT(s->every_us), DB_INT(s->at_us), DB_INT(s->ends_at), DB_TEXT(s->conversation), DB_TEXT(s->missed),
		DB_INT(s->missed_max), DB_TEXT(s->overlap), DB_INT(s->max_failures), DB_INT(s->failures),
		DB_TEXT(s->status), DB_TEXT(s->reason), s->next_at ? DB_INT(s->next_at) : DB_NULL(), DB_INT(s->version),
		DB_INT(s->updated_at), DB_TEXT(s->id));

	return (int)MIN(n, 0);
}

/* Whoever lets it go on begins anew: no failures, and no time before now. */
static int take_status(struct db_conn *c, struct schedule *s, int64_t now, struct error *err)
{
	s->next_at = 0;
	s->reason = NULL;
	if (strcmp(s->status, "active") == 0) {
		s->failures = 0;
		return find_next(s, now, err);
	}
	return error_only(
		db_exec(c,
			"update schedule_firings set status = 'skipped', reason = 'paused' where schedule_id = "
			"? and status = 'waiting'",
			DB_TEXT(s->id)));
}

struct patch {
	struct answer answer;
	struct str if_match;
};

static int patch_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct exchange *x = job->x;
	struct str if_match = ((struct patch *)job)->if_match;
	int64_t now = clock_now_us();
	struct error err = {0};
	struct schedule s;
	const char *agent_id;
	int r = find_own(c, a, true, &s);

	if (r)
		return r;
	if (if_match.n && !str_is(if_match, arena_printf(x->arena, "\"%lld\"", (long long)s.version)))
		return answer_problem(a, 412, "version_changed",
				      "It was changed meanwhile: read it again and repeat the change.");
	agent_id = s.agent_id;
	r = check(a, take_body(&s, x->body, &err), &err);
	if (r == 0 && strcmp(s.status, "active") != 0 && strcmp(s.status, "paused") != 0)
		r = answer_problem(a, 409, "schedule_over",
				   "It has stopped: say status \"active\" too, to let it go on.");
	if (r == 0)
		r = take_status(c, &s, now, &err);
	if (r == -EINVAL)
		r = check(a, r, &err);
	if (r == 0 && strcmp(agent_id, s.agent_id) != 0)
		r = answer_find_agent(c, a, s.agent_id, &s.agent_name);
	s.version++;
	s.updated_at = now;
	if (r == 0)
		r = update(c, &s);
	return r ? r : answer_schedule(a, 200, &s);
}

void schedules_patch(struct exchange *x)
{
	struct patch *p = arena_new_of(x->arena, struct patch);

	p->if_match = arena_str(x->arena, http_header_get(&x->req->headers, "If-Match"));
	answer_write(x, &p->answer, patch_run);
}

static int delete_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct schedule s;
	int64_t n;
	int r = find_own(c, a, true, &s);

	if (r)
		return r;
	a->status = 204;
	n = db_exec(c, "delete from schedule_firings where schedule_id = ?", DB_TEXT(s.id));
	if (n >= 0)
		n = db_exec(c, "delete from schedules where id = ?", DB_TEXT(s.id));
	return (int)MIN(n, 0);
}

void schedules_delete(struct exchange *x)
{
	answer_write(x, arena_new_of(x->arena, struct answer), delete_run);
}

/* ---- Now, and ahead ---- */

static int run_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct arena *arena = job->x->arena;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(arena, &doc);
	char id[ID_SIZE];
	struct schedule s;
	struct db_stmt *st;
	int r = answer_known(c, a);

	if (r == 0)
		r = find_own(c, a, true, &s);
	if (r == 0)
		r = schedule_add_firing(c, s.id, clock_now_us(), id);
	if (r)
		return r;
	st = db_query(c, "select " FIRING_COLUMNS " from schedule_firings where id = ?", DB_TEXT(id));
	r = db_step(c, st);
	if (r == 1)
		add_firing(doc, obj, st, arena);
	db_done(st);
	if (r < 0)
		return r;
	answer_json(a, 202, doc);
	return answer_keep(c, a);
}

static void on_run(struct exchange_job *job, int result)
{
	answer_send(job, result);
	automation_wake(((struct agent *)job->x->self)->automation);
}

void schedules_run(struct exchange *x)
{
	struct answer *a = arena_new_of(x->arena, struct answer);

	a->job.done = on_run;
	answer_write(x, a, run_run);
}

static const struct json_field preview_fields[] = {
	TIMES_FIELDS,
	{"ends_at", JSON_STRING_OR_NULL, false, 1, 40},
	{"from", JSON_STRING, false, 1, 40},
	{"count", JSON_INT, false, 1, MAX_PREVIEW},
};

static void add_local(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct zone *z, int64_t us)
{
	int32_t offset = z ? zone_offset(z, us / SECOND) : 0;
	char text[TIME_TEXT_SIZE], local[TIME_TEXT_SIZE + 8];

	add_time(doc, obj, "at", us);
	time_format(us + offset * SECOND, text);
	snprintf(local, sizeof(local), "%.19s%c%02d:%02d", text, offset < 0 ? '-' : '+', abs(offset) / 3600,
		 abs(offset) / 60 % 60);
	json_add_str(doc, obj, "local", local);
}

/* The next times, as a form shows them before it is sent. */
void schedules_preview(struct exchange *x)
{
	struct schedule s = {.timezone = "UTC", .starts_at = clock_now_us()};
	int64_t at = s.starts_at, count = json_get_int(x->body, "count", 5);
	struct schedule_times t = {0};
	struct error err = {0};
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	int r = json_check(x->body, preview_fields, ARRAY_SIZE(preview_fields), &err);

	if (r == 0)
		r = read_trigger(x->body, &s, &err);
	if (r == 0)
		r = read_time(x->body, "ends_at", &s.ends_at, &err);
	if (r == 0)
		r = read_time(x->body, "from", &at, &err);
	if (r == 0) {
		s.starts_at = at;
		r = find_next(&s, at, &err);
	}
	if (r == 0)
		r = schedule_times_init(&t, &s, &err);
	if (r < 0) {
		reply_error(x, 422, &err);
		return;
	}
	for (int64_t n = 0; n < count && (at = schedule_times_next(&t, at)) != 0; n++)
		add_local(doc, yyjson_mut_arr_add_obj(doc, items), t.zone, at);
	schedule_times_deinit(&t);
	reply_json(x, 200, doc);
}
