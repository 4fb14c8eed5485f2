#include "agent/automation/schedule.h"

#include <errno.h>
#include <stdio.h>

#include "agent/agent_shares.h"
#include "agent/execution.h"
#include "agent/queue.h"
#include "base/clock.h"
#include "io/zone_file.h"

#define SECOND 1000000ll
#define MAX_TIMES 20000 /* looked at in one visit; a minute's schedule reaches that after two weeks */

/* ---- When ---- */

int schedule_times_init(struct schedule_times *t, const struct schedule *s, struct error *err)
{
	*t = (struct schedule_times){
		.every_us = s->every_us, .at_us = s->at_us, .starts_at = s->starts_at, .ends_at = s->ends_at};
	if (!s->cron)
		return 0;
	if (cron_parse(str_of(s->cron), &t->cron, err) < 0)
		return -EINVAL;
	t->zone = zone_load(s->timezone, err);
	return t->zone ? 0 : -EINVAL;
}

void schedule_times_deinit(struct schedule_times *t)
{
	zone_free(t->zone);
}

int64_t schedule_times_next(const struct schedule_times *t, int64_t after)
{
	int64_t next = INT64_MAX;

	after = MAX(after, t->starts_at - 1);
	if (t->zone) {
		int64_t s = cron_next(&t->cron, t->zone, after / SECOND);

		next = s == INT64_MAX ? INT64_MAX : s * SECOND;
	} else if (t->every_us) {
		next = t->starts_at + (after - t->starts_at + t->every_us) / t->every_us * t->every_us;
	} else if (t->at_us > after) {
		next = t->at_us;
	}
	return next == INT64_MAX || (t->ends_at && next > t->ends_at) ? 0 : next;
}

/* ---- The row ---- */

#define COLUMNS                                                                                             \
	"s.id, s.user_id, s.agent_id, a.name, s.name, s.message, s.cron, s.timezone, s.every_us, s.at_us, " \
	"s.starts_at, "                                                                                     \
	"s.ends_at, s.conversation, s.conversation_id, s.missed, s.missed_max, s.overlap, s.max_failures, " \
	"s.failures, "                                                                                      \
	"s.status, s.reason, s.next_at, s.active_execution_id, s.version, s.created_at, s.updated_at"
#define SELECT_ONE "select " COLUMNS " from schedules s left join agents a on a.id = s.agent_id where s.id = ?"

static void read_row(struct db_stmt *st, struct arena *a, struct schedule *ret)
{
	*ret = (struct schedule){
		.id = db_col_dup(st, 0, a),
		.user_id = db_col_dup(st, 1, a),
		.agent_id = db_col_dup(st, 2, a),
		.agent_name = db_col_dup(st, 3, a),
		.name = db_col_dup(st, 4, a),
		.message = db_col_dup(st, 5, a),
		.cron = db_col_dup(st, 6, a),
		.timezone = db_col_dup(st, 7, a),
		.every_us = db_col_int(st, 8),
		.at_us = db_col_int(st, 9),
		.starts_at = db_col_int(st, 10),
		.ends_at = db_col_int(st, 11),
		.conversation = db_col_dup(st, 12, a),
		.conversation_id = db_col_dup(st, 13, a),
		.missed = db_col_dup(st, 14, a),
		.missed_max = db_col_int(st, 15),
		.overlap = db_col_dup(st, 16, a),
		.max_failures = db_col_int(st, 17),
		.failures = db_col_int(st, 18),
		.status = db_col_dup(st, 19, a),
		.reason = db_col_dup(st, 20, a),
		.next_at = db_col_int(st, 21),
		.active_execution_id = db_col_dup(st, 22, a),
		.version = db_col_int(st, 23),
		.created_at = db_col_int(st, 24),
		.updated_at = db_col_int(st, 25),
	};
}

int schedule_find(struct db_conn *c, struct arena *a, const char *id, bool to_change, struct schedule *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		to_change ? db_query(c, SELECT_ONE " /*! for update of s */", DB_TEXT(id))
			  : db_query(c, SELECT_ONE, DB_TEXT(id));
	int r = db_step(c, st);

	if (r == 1)
		read_row(st, a, ret);
	return r;
}

/* ---- One visit ---- */

struct visit {
	struct schedule_visit *v;
	struct db_conn *c;
	struct schedule s;
	int64_t now;
	bool is_busy;   /* its last run is on */
	bool is_paused; /* … and waits for its budget */
};

static int64_t failed(int64_t r)
{
	return MIN(r, 0);
}

static struct db_value time_or_null(int64_t us)
{
	return us ? DB_INT(us) : DB_NULL();
}

static int add_firing(struct db_conn *c, const char *schedule_id, const char *key, int64_t planned_at, int64_t now,
		      const char *status, int64_t times, bool is_late, char id[static ID_SIZE])
{
	id_new(id);
	return (int)failed(db_exec(c,
				   "insert into schedule_firings (id, schedule_id, firing_key, planned_at, at, status, "
				   "times, is_late) values (?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
				   DB_TEXT(id), DB_TEXT(schedule_id), DB_TEXT(key), DB_INT(planned_at), DB_INT(now),
				   DB_TEXT(status), DB_INT(times), DB_INT(is_late)));
}

int schedule_add_firing(struct db_conn *c, const char *schedule_id, int64_t now, char ret_id[static ID_SIZE])
{
	char key[ID_SIZE];

	id_new(key);
	return add_firing(c, schedule_id, key, now, now, "waiting", 1, true, ret_id);
}

static int set_firing(struct visit *w, const char *id, const char *status, const char *reason)
{
	return (int)failed(db_exec(w->c, "update schedule_firings set status = ?, reason = ?, at = ? where id = ?",
				   DB_TEXT(status), DB_TEXT(reason), DB_INT(w->now), DB_TEXT(id)));
}

static void stop(struct visit *w, const char *reason)
{
	w->s.status = "stopped";
	w->s.reason = reason;
	w->v->stopped = reason;
}

static void count_failure(struct visit *w)
{
	if (++w->s.failures >= w->s.max_failures && w->s.max_failures > 0 && strcmp(w->s.status, "active") == 0)
		stop(w, "failures");
}

/* Whether the last run is on, and what became of it. */
static int settle(struct visit *w)
{
	const char *id = w->s.active_execution_id, *status = NULL;
	struct db_stmt *st;
	int r;

	if (!id)
		return 0;
	st = db_query(w->c, "select status, ended_at from executions where id = ?", DB_TEXT(id));
	r = db_step(w->c, st);
	if (r == 1) {
		status = db_col_dup(st, 0, w->v->arena);
		w->is_busy = db_col_is_null(st, 1);
		w->is_paused = strcmp(status, "paused") == 0;
	}
	db_done(st);
	if (r < 0 || w->is_busy)
		return MIN(r, 0);
	w->s.active_execution_id = NULL;
	if (r == 1 && strcmp(status, "failed") == 0)
		count_failure(w);
	else if (r == 1 && strcmp(status, "succeeded") == 0)
		w->s.failures = 0;
	return (int)failed(db_exec(w->c,
				   "update schedule_firings set status = ? where schedule_id = ? and execution_id = ? "
				   "and status = 'started'",
				   DB_TEXT(r == 1 ? status : "cancelled"), DB_TEXT(w->s.id), DB_TEXT(id)));
}

/* The times that are due: the last ones in `last`, a ring; all of them in *ret_n. */
static int64_t collect(const struct schedule_times *t, int64_t from, int64_t now, int64_t *last, size_t cap,
		       size_t *ret_n)
{
	size_t n = 0;

	while (from && from <= now && n < MAX_TIMES) {
		last[n++ % cap] = from;
		from = schedule_times_next(t, from);
	}
	*ret_n = n;
	return from && from <= now ? schedule_times_next(t, now) : from;
}

static int plan_all(struct visit *w, const int64_t *last, size_t cap, size_t n)
{
	bool is_on_time = w->now - last[(n - 1) % cap] <= SCHEDULE_GRACE_US;
	size_t keep = is_on_time, missed;
	char id[ID_SIZE], key[32];
	int r = 0;

	if (strcmp(w->s.missed, "once") == 0)
		keep = 1;
	else if (strcmp(w->s.missed, "all") == 0)
		keep = MIN((size_t)w->s.missed_max + is_on_time, n);
	missed = n - keep;
	if (missed > 0) {
		snprintf(key, sizeof(key), "missed %lld", (long long)w->s.next_at);
		r = add_firing(w->c, w->s.id, key, w->s.next_at, w->now, "missed", (int64_t)missed, true, id);
	}
	for (size_t i = missed; r == 0 && i < n; i++) {
		int64_t planned_at = last[i % cap];

		snprintf(key, sizeof(key), "%lld", (long long)planned_at);
		r = add_firing(w->c, w->s.id, key, planned_at, w->now, "waiting", 1, i + 1 < n || !is_on_time, id);
	}
	return r;
}

static int plan(struct visit *w)
{
	int64_t last[SCHEDULE_MISSED_MAX + 1];
	struct schedule_times t;
	struct error err = {0};
	size_t n;
	int r = 0;

	if (strcmp(w->s.status, "active") != 0 || !w->s.next_at || w->s.next_at > w->now)
		return 0;
	if (schedule_times_init(&t, &w->s, &err) == 0) {
		int64_t next = collect(&t, w->s.next_at, w->now, last, ARRAY_SIZE(last), &n);

		if (n > 0)
			r = plan_all(w, last, ARRAY_SIZE(last), n);
		w->s.next_at = next;
		if (!next)
			w->s.status = "ended";
	} else {
		stop(w, err.code[0] ? "zone_unknown" : "invalid");
	}
	schedule_times_deinit(&t);
	return r;
}

/* ---- Starting what waits ---- */

struct firing {
	const char *id;
	bool is_late;
};

static int find_waiting(struct visit *w, struct firing *ret, int64_t *ret_n)
{
	struct db_stmt *st = db_query(w->c,
				      "select id, is_late from schedule_firings where schedule_id = ? and status = "
				      "'waiting' order by planned_at, id limit 1",
				      DB_TEXT(w->s.id));
	int r = db_step(w->c, st), got;

	if (r == 1)
		*ret = (struct firing){db_col_dup(st, 0, w->v->arena), db_col_int(st, 1) != 0};
	db_done(st);
	if (r != 1)
		return r;
	got = db_get_int(w->c, ret_n,
			 "select count(*) from schedule_firings where schedule_id = ? and status = 'waiting'",
			 DB_TEXT(w->s.id));
	return got < 0 ? got : 1;
}

/* It waits for its turn, or is left out, by the policy; what was missed always waits. */
static int meet_busy(struct visit *w, const struct firing *f, int64_t n_waiting)
{
	const char *active = w->s.active_execution_id;

	if (strcmp(w->s.overlap, "cancel") == 0) {
		int r = execution_cancel(w->c, active, w->now);

		if (r > 0)
			w->v->cancelled = active;
		return MIN(r, 0);
	}
	if (strcmp(w->s.overlap, "queue") == 0 ? n_waiting <= SCHEDULE_WAITING_MAX : f->is_late && !w->is_paused)
		return 0;
	if (w->is_paused)
		count_failure(w);
	return set_firing(w, f->id, "skipped", w->is_paused ? "budget" : n_waiting > 1 ? "queue_full" : "overlap");
}

static int refuse_all(struct visit *w, const char *reason)
{
	stop(w, reason);
	return (int)failed(db_exec(w->c,
				   "update schedule_firings set status = 'refused', reason = ?, at = ? where "
				   "schedule_id = ? and status = 'waiting'",
				   DB_TEXT(reason), DB_INT(w->now), DB_TEXT(w->s.id)));
}

/* The kept conversation if it is still there, otherwise a new one. 1 or -errno; 0: the agent is gone. */
static int find_conversation(struct visit *w, struct conversation_row *ret)
{
	bool is_kept = strcmp(w->s.conversation, "keep") == 0;
	char *id = arena_alloc(w->v->arena, ID_SIZE);
	struct conversation_row row = {.id = id,
				       .user_id = w->s.user_id,
				       .agent_id = w->s.agent_id,
				       .title = w->s.name,
				       .created_at = w->now,
				       .updated_at = w->now};
	int r = 0;

	if (is_kept && w->s.conversation_id)
		r = conversation_load_to_change(w->c, w->v->arena, w->s.conversation_id, ret);
	if (r != 0)
		return r;
	id_new(id);
	r = conversation_insert(w->c, &row);
	if (r == 0)
		r = conversation_load_to_change(w->c, w->v->arena, id, ret);
	if (is_kept)
		w->s.conversation_id = id;
	return r;
}

static int start(struct visit *w, const struct firing *f)
{
	struct post *p = &w->v->post;
	int r = find_conversation(w, &p->conversation);

	if (r < 0)
		return r;
	if (r == 0 || p->conversation.is_archived)
		return refuse_all(w, "agent_archived");
	if (!agent_rights(w->v->who, p->conversation.agent_owner_id, p->conversation.agent_shares))
		return refuse_all(w, "right_lost");
	p->content = w->s.message;
	p->when_busy = BUSY_QUEUE;
	r = post_store(w->c, p);
	if (r > 0)
		return set_firing(w, f->id, "skipped", r == POST_QUEUE_FULL ? "queue_full" : "refused");
	if (r < 0)
		return r;
	w->v->did_post = true;
	w->s.active_execution_id = p->execution_id;
	return (int)failed(db_exec(w->c,
				   "update schedule_firings set status = 'started', at = ?, execution_id = ?, "
				   "conversation_id = ? where id = ?",
				   DB_INT(w->now), DB_TEXT(p->execution_id), DB_TEXT(p->conversation.id),
				   DB_TEXT(f->id)));
}

static int start_next(struct visit *w)
{
	struct firing f = {0};
	int64_t n_waiting = 0;
	int r = find_waiting(w, &f, &n_waiting);

	if (r <= 0)
		return r;
	if (w->is_busy)
		return meet_busy(w, &f, n_waiting);
	switch (w->v->rights) {
	case RIGHTS_UNKNOWN: return 0;
	case RIGHTS_USER_GONE: return refuse_all(w, "user_disabled");
	case RIGHTS_LOST: return refuse_all(w, "right_lost");
	case RIGHTS_GIVEN: break;
	}
	return start(w, &f);
}

static int store(struct visit *w)
{
	const struct schedule *s = &w->s;

	return (int)failed(db_exec(w->c,
				   "update schedules set status = ?, reason = ?, next_at = ?, failures = ?, "
				   "active_execution_id = ?, conversation_id = ? where id = ?",
				   DB_TEXT(s->status), DB_TEXT(s->reason), time_or_null(s->next_at),
				   DB_INT(s->failures), DB_TEXT(s->active_execution_id), DB_TEXT(s->conversation_id),
				   DB_TEXT(s->id)));
}

int schedule_visit(struct db_conn *c, struct schedule_visit *v)
{
	struct visit w = {.v = v, .c = c, .now = clock_now_us()};
	int r = schedule_find(c, v->arena, v->id, true, &w.s);

	v->did_post = false;
	v->cancelled = v->stopped = NULL;
	if (r != 1)
		return MIN(r, 0);
	r = settle(&w);
	if (r == 0)
		r = plan(&w);
	if (r == 0)
		r = start_next(&w);
	return r < 0 ? r : store(&w);
}
