#include "agent/handlers.h"

#include "agent/agent_shares.h"
#include "base/encode.h"

int answer_problem(struct answer *a, int status, const char *code, const char *detail)
{
	a->status = status;
	a->code = code;
	a->detail = detail;
	return 1;
}

int answer_not_found(struct answer *a, const char *what)
{
	return answer_problem(a, 404, "not_found",
			      arena_printf(a->job.x->arena, "There is no such %s, or it is not yours.", what));
}

int answer_find_agent(struct db_conn *c, struct answer *a, const char *id, const char **ret_name)
{
	struct exchange *x = a->job.x;
	_cleanup_(db_done_p) struct db_stmt *st = db_query(
		c, "select name, owner_id, shares from agents where id = ? and archived_at is null", DB_TEXT(id));
	int r = db_step(c, st);

	if (r < 0)
		return r;
	if (r == 0 || !agent_rights(&x->who, db_col_dup(st, 1, x->arena), db_col_dup(st, 2, x->arena)))
		return answer_problem(a, 404, "agent_not_found", "There is no such agent: GET /api/agents lists them.");
	*ret_name = db_col_dup(st, 0, x->arena);
	return 0;
}

void reply_download(struct exchange *x, const char *type, const char *name, struct str bytes)
{
	_cleanup_(buf_deinit) struct buf disposition = BUF_INIT;
	struct http_headers headers = {.arena = x->arena};

	buf_add_str(&disposition, "attachment; filename*=UTF-8''");
	percent_encode(str_of(name), &disposition);
	http_header_set(&headers, "Content-Disposition", disposition.p);
	http_header_set(&headers, "Content-Security-Policy", "sandbox");
	http_header_set(&headers, "X-Content-Type-Options", "nosniff");
	http_reply(x->req, 200, type, &headers, bytes.p, bytes.n);
}

int answer_json(struct answer *a, int status, yyjson_mut_doc *doc)
{
	a->status = status;
	a->body = json_text(a->job.x->arena, doc);
	return 0;
}

int answer_known(struct db_conn *c, struct answer *a)
{
	int r = idempotency_begin(c, a->job.x, &a->status, &a->body);

	if (r == IDEM_MISMATCH)
		return answer_problem(a, 422, "idempotency_key_reused",
				      "This Idempotency-Key was used for another request: use a new one.");
	return r == IDEM_NONE || r == IDEM_NEW ? 0 : r < 0 ? r : 1;
}

int answer_keep(struct db_conn *c, struct answer *a)
{
	return idempotency_store(c, a->job.x, a->status, a->body);
}

void answer_send(struct exchange_job *job, int result)
{
	struct answer *a = (struct answer *)job;
	struct exchange *x = job->x;

	if (result < 0) {
		reply_db_failure(x, result);
		return;
	}
	if (a->code) {
		reply_problem(x, a->status, a->code, "%s", a->detail);
		return;
	}
	if (a->etag)
		reply_header(x, "ETag", a->etag);
	if (a->location)
		reply_header(x, "Location", a->location);
	if (a->body.p)
		reply_raw_json(x, a->status, a->body);
	else
		reply_empty(x, a->status);
}

static void start(struct exchange *x, struct answer *a, int (*run)(struct db_conn *c, struct exchange_job *job))
{
	a->job.x = x;
	a->job.run = run;
	if (!a->job.done)
		a->job.done = answer_send;
}

void answer_read(struct exchange *x, struct answer *a, int (*run)(struct db_conn *c, struct exchange_job *job))
{
	start(x, a, run);
	exchange_read(((struct agent *)x->self)->db, &a->job);
}

void answer_page(struct exchange *x, int (*run)(struct db_conn *c, struct exchange_job *job))
{
	struct page_answer *p = arena_new_of(x->arena, struct page_answer);

	if (page_read(x, &p->page))
		answer_read(x, &p->answer, run);
}

void answer_write(struct exchange *x, struct answer *a, int (*run)(struct db_conn *c, struct exchange_job *job))
{
	start(x, a, run);
	exchange_write(((struct agent *)x->self)->db, &a->job);
}

void add_time(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, int64_t us)
{
	char text[TIME_TEXT_SIZE];

	if (us)
		time_format(us, text);
	json_add_str(doc, obj, key, us ? text : NULL);
}

const char *path_id(const struct exchange *x)
{
	return id_is_valid(x->params[0]) ? x->params[0].p : "";
}

bool sees_all_conversations(const struct exchange *x)
{
	return identity_may(&x->who, "conversations.read_any");
}

bool sees_all_executions(const struct exchange *x)
{
	return identity_may(&x->who, "executions.read_any");
}
