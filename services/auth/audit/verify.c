/* GET /api/audit/verify: each row's hash follows from the row before, the last one's stands in audit_head, and only who
 * has the key can make either. A row that was cut out leaves a hole in the numbers; one that was put in has no hash
 * that fits; rows cut off at the end are missed by the head. */
#include "audit/verify.h"

#include <errno.h>
#include <inttypes.h>

#include "account.h"
#include "auth.h"
#include "handlers.h"

#define ROWS_EACH 2000 /* in one job, so that others' jobs come in between */

static void broken(struct audit_check *check, const char *what, int64_t at)
{
	check->is_broken = check->is_done = true;
	check->what = what;
	check->broken_at = at;
}

static void look_at(const struct audit_key *key, struct db_stmt *st, struct audit_check *check)
{
	char hash[SHA256_HEX_SIZE];
	struct audit_row row;
	struct str stored;

	audit_row_of(st, &row, &stored);
	check->rows++;
	if (row.seq != check->newest + 1) {
		broken(check, row.seq <= 0 ? "inserted" : "removed", row.seq <= 0 ? row.seq : check->newest + 1);
		return;
	}
	audit_row_hash(key, str_of(check->hash), &row, hash);
	if (!str_is(stored, hash)) {
		broken(check, "changed", row.seq);
		return;
	}
	check->newest = row.seq;
	strcpy(check->hash, hash);
}

/* All rows that there were are good, and the head, as it was before they were read, is no further. */
static int look_at_head(struct db_conn *c, const struct audit_key *key, struct audit_check *check)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(c, "select newest, hash, mac from audit_head where id = 1");
	char mac[SHA256_HEX_SIZE];
	int64_t newest;
	int r = db_step(c, st);

	if (r < 0)
		return r;
	newest = r ? db_col_int(st, 0) : -1;
	if (newest > check->newest) { /* removed at the end, or added meanwhile: the next look says which */
		check->is_done = false;
		return 0;
	}
	check->is_done = true;
	if (newest < 0) {
		broken(check, "head", check->newest);
		return 0;
	}
	audit_head_mac(key, newest, db_col_str(st, 1), mac);
	if (newest > 0 && !str_is(db_col_str(st, 2), mac))
		broken(check, "head", newest);
	else if (newest < check->newest)
		broken(check, "inserted", newest + 1);
	else if (!str_is(db_col_str(st, 1), check->hash))
		broken(check, "head", newest);
	return 0;
}

static int count_head(struct db_conn *c, int64_t *ret)
{
	int r = db_get_int(c, ret, "select newest from audit_head where id = 1");

	if (r == 0)
		*ret = -1;
	return MIN(r, 0);
}

int audit_check_some(struct db_conn *c, const struct audit_key *key, int64_t max, struct audit_check *check)
{
	_cleanup_(db_done_p) struct db_stmt *st = NULL;
	int64_t head, n = 0;
	int r = count_head(c, &head);

	if (r < 0)
		return r;
	st = db_query(c, "select " AUDIT_COLUMNS " from audit_log where seq > ? or seq <= 0 order by seq limit ?",
		      DB_INT(check->newest), DB_INT(max));
	for (; !check->is_broken && (r = db_step(c, st)) == 1; n++)
		look_at(key, st, check);
	if (r < 0 || check->is_broken || n == max)
		return MIN(r, 0);
	db_done(st);
	st = NULL;
	/* What the head said before the rows were read must be among them. */
	if (head > check->newest) {
		broken(check, "removed", check->newest + 1);
		return 0;
	}
	return look_at_head(c, key, check);
}

/* ---- GET /api/audit/verify ---- */

struct verify {
	struct exchange_job job;
	int actor;
	struct audit_check check;
};

static int verify_run(struct db_conn *c, struct exchange_job *job)
{
	struct verify *v = (struct verify *)job;
	const struct auth *auth = job->x->self;
	struct audit_check check = v->check;
	int r;

	v->actor = actor_check(c, job->x, NULL);
	if (v->actor != ACTOR_OK)
		return MIN(v->actor, 0);
	r = audit_check_some(c, audit_key_of(auth), ROWS_EACH, &check);
	if (r == 0)
		v->check = check;
	return r;
}

static void verify_answer(struct verify *v)
{
	struct exchange *x = v->job.x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *problem;

	yyjson_mut_obj_add_bool(doc, obj, "ok", !v->check.is_broken);
	yyjson_mut_obj_add_int(doc, obj, "rows", v->check.rows);
	yyjson_mut_obj_add_int(doc, obj, "newest", v->check.newest);
	yyjson_mut_obj_add_str(doc, obj, "hash", v->check.hash);
	if (v->check.is_broken) {
		problem = yyjson_mut_obj_add_obj(doc, obj, "problem");
		yyjson_mut_obj_add_str(doc, problem, "kind", v->check.what);
		yyjson_mut_obj_add_int(doc, problem, "seq", v->check.broken_at);
	} else {
		yyjson_mut_obj_add_null(doc, obj, "problem");
	}
	reply_header(x, "Cache-Control", "no-store");
	reply_json(x, 200, doc);
}

static void verify_done(struct exchange_job *job)
{
	struct verify *v = (struct verify *)job;
	const struct auth *auth = job->x->self;

	if (v->actor != ACTOR_OK)
		actor_refuse(job->x, v->actor);
	else if (v->check.is_done)
		verify_answer(v);
	else if (job->x->req)
		exchange_read(auth->db, job);
}

void audit_verify(struct exchange *x)
{
	const struct auth *auth = x->self;
	struct verify *v = arena_new_of(x->arena, struct verify);

	v->job = (struct exchange_job){.x = x, .run = verify_run, .done_ok = verify_done};
	exchange_read(auth->db, &v->job);
}
