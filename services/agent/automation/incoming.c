/* POST /api/webhooks/incoming/{id}: begins a run with the request's body.
 *
 * The request is good by one of: the fields of Standard Webhooks, GitHub's X-Hub-Signature-256, or the secret itself in
 * X-Webhook-Secret for who cannot sign. A signed request begins one run, however often it comes. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#include "agent/agent_shares.h"
#include "agent/automation/automation.h"
#include "agent/automation/hooks.h"
#include "agent/automation/rights.h"
#include "agent/automation/template.h"
#include "agent/automation/triggers.h"
#include "agent/handlers.h"
#include "agent/post.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/utf8.h"

#define BODY_MAX (256 * 1024)
#define MINUTE_US (60 * 1000000ll)
#define KEEP_US (30 * 86400 * 1000000ll) /* how long a request is known */

struct incoming {
	struct answer answer;
	struct trigger trigger;
	struct str body, id, timestamp, signature, hub, plain;
	const char *call_key;
	enum rights rights;
	const struct identity *who;
	struct post post;
	const char *known; /* the run that the same request began before */
	bool is_over;      /* too many of them */
	yyjson_val *root;  /* of the body, or NULL */
};

/* ---- Whether it is good ---- */

static bool is_standard(const struct incoming *in, struct str secret, enum webhook_check *ret)
{
	struct webhook_secret key;

	if (!in->signature.n || webhook_secret_parse(secret, &key) < 0)
		return false;
	*ret = webhook_verify(&key, 1, in->id, in->timestamp, in->signature, in->body, clock_now_us() / 1000000);
	sodium_memzero(&key, sizeof(key));
	return true;
}

static const char *hash_of(struct arena *a, const char *kind, struct str text)
{
	char hex[SHA256_HEX_SIZE];

	sha256_hex(text.p, text.n, hex);
	return arena_printf(a, "%s %s", kind, hex);
}

/* Names the request in call_key. */
static bool is_good(struct incoming *in, struct str secret)
{
	struct arena *a = in->answer.job.x->arena;
	enum webhook_check check;
	char id[ID_SIZE];

	if (is_standard(in, secret, &check)) {
		in->call_key = hash_of(a, "id", in->id);
		return check == WEBHOOK_GOOD;
	}
	if (in->hub.n) {
		in->call_key = hash_of(a, "hub", in->hub);
		return webhook_verify_hub(secret, in->hub, in->body);
	}
	id_new(id);
	in->call_key = arena_printf(a, "plain %s", id);
	return in->plain.n == secret.n && secret.n > 0 && sodium_memcmp(in->plain.p, secret.p, secret.n) == 0;
}

/* ---- Its message ---- */

static void add_clean(struct buf *out, struct str text)
{
	struct utf8_carry carry = {0};

	utf8_clean(&carry, text.p, text.n, true, out);
}

/* "body", or a member of it: "body.pull_request.title". */
static bool look_up(void *arg, struct str name, struct buf *out)
{
	struct incoming *in = arg;
	struct arena *a = in->answer.job.x->arena;
	yyjson_val *v = in->root;
	struct str part = str_cut(&name, '.');

	if (!str_is(part, "body"))
		return false;
	if (!name.p) {
		add_clean(out, in->body);
		return true;
	}
	while (name.p && v) {
		part = str_cut(&name, '.');
		v = yyjson_obj_getn(v, part.p, part.n);
	}
	if (yyjson_is_str(v))
		buf_add(out, yyjson_get_str(v), yyjson_get_len(v));
	else if (v)
		buf_add_str(out, json_val_text(a, v).p);
	return true;
}

static int make_message(struct incoming *in, struct error *err)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	struct arena *a = in->answer.job.x->arena;
	yyjson_doc *doc = json_parse(a, in->body.p ? in->body.p : "", in->body.n, NULL);

	in->root = doc ? yyjson_doc_get_root(doc) : NULL;
	if (template_fill(str_of(in->trigger.message), look_up, in, POST_CONTENT_MAX, &out, err) < 0)
		return -EINVAL;
	in->post.content = arena_strndup(a, out.n ? out.p : "", out.n);
	return *in->post.content ? 0 : error_set(err, "message_empty", "The message that it makes is empty.");
}

/* ---- Beginning the run ---- */

static int stop_trigger(struct db_conn *c, struct incoming *in, const char *reason)
{
	int64_t n = db_exec(c, "update triggers set status = 'stopped', reason = ? where id = ?", DB_TEXT(reason),
			    DB_TEXT(in->trigger.id));

	in->answer.code = "trigger_stopped";
	in->answer.status = 409;
	in->answer.detail = "This trigger has stopped: its owner sees why.";
	return (int)MIN(n, 0);
}

static int find_known(struct db_conn *c, struct incoming *in)
{
	struct db_stmt *st = db_query(c, "select execution_id from trigger_calls where trigger_id = ? and call_key = ?",
				      DB_TEXT(in->trigger.id), DB_TEXT(in->call_key));
	int r = db_step(c, st);

	in->known = r == 1 ? db_col_dup(st, 0, in->answer.job.x->arena) : NULL;
	db_done(st);
	return r;
}

static int check_rate(struct db_conn *c, struct incoming *in)
{
	int64_t n = 0, gone;
	int r = db_get_int(c, &n, "select count(*) from trigger_calls where trigger_id = ? and at > ?",
			   DB_TEXT(in->trigger.id), DB_INT(in->post.now - MINUTE_US));

	in->is_over = r == 1 && n >= in->trigger.per_minute;
	gone = db_exec(c, "delete from trigger_calls where trigger_id = ? and at < ?", DB_TEXT(in->trigger.id),
		       DB_INT(in->post.now - KEEP_US));
	return r < 0 ? r : (int)MIN(gone, 0);
}

static int find_conversation(struct db_conn *c, struct incoming *in)
{
	struct arena *a = in->answer.job.x->arena;
	char *id = arena_alloc(a, ID_SIZE);
	struct conversation_row row = {.id = id,
				       .user_id = in->trigger.user_id,
				       .agent_id = in->trigger.agent_id,
				       .title = in->trigger.name,
				       .created_at = in->post.now,
				       .updated_at = in->post.now};
	bool is_kept = strcmp(in->trigger.conversation, "keep") == 0;
	int64_t n;
	int r = 0;

	if (is_kept && in->trigger.conversation_id)
		r = conversation_load_to_change(c, a, in->trigger.conversation_id, &in->post.conversation);
	if (r != 0)
		return r;
	id_new(id);
	r = conversation_insert(c, &row);
	if (r == 0)
		r = conversation_load_to_change(c, a, id, &in->post.conversation);
	if (r < 0 || !is_kept)
		return r;
	n = db_exec(c, "update triggers set conversation_id = ? where id = ?", DB_TEXT(id), DB_TEXT(in->trigger.id));
	return n < 0 ? (int)n : r;
}

static int answer_run(struct incoming *in, const char *execution_id, bool is_new)
{
	struct arena *a = in->answer.job.x->arena;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);

	json_add_str(doc, obj, "execution_id", arena_strdup(a, execution_id));
	yyjson_mut_obj_add_bool(doc, obj, "repeated", !is_new);
	return answer_json(&in->answer, is_new ? 202 : 200, doc);
}

static int begin(struct db_conn *c, struct incoming *in)
{
	struct post *p = &in->post;
	int64_t n;
	int r = find_conversation(c, in);

	if (r < 0)
		return r;
	if (r == 0 || p->conversation.is_archived)
		return stop_trigger(c, in, "agent_archived");
	if (!agent_rights(in->who, p->conversation.agent_owner_id, p->conversation.agent_shares))
		return stop_trigger(c, in, "right_lost");
	p->when_busy = BUSY_QUEUE;
	r = post_store(c, p);
	if (r > 0)
		return answer_problem(&in->answer, 409, "queue_full", "Too many messages wait there: send it later.");
	if (r < 0)
		return r;
	n = db_exec(c, "insert into trigger_calls (trigger_id, call_key, at, execution_id) values (?, ?, ?, ?)",
		    DB_TEXT(in->trigger.id), DB_TEXT(in->call_key), DB_INT(p->now), DB_TEXT(p->execution_id));
	return n < 0 ? (int)n : answer_run(in, p->execution_id, true);
}

static int store_run(struct db_conn *c, struct exchange_job *job)
{
	struct incoming *in = (struct incoming *)job;
	int r = trigger_find(c, job->x->arena, in->trigger.id, true, &in->trigger);

	in->answer.code = NULL;
	if (r <= 0)
		return r < 0 ? r : answer_not_found(&in->answer, "trigger");
	if (in->rights != RIGHTS_GIVEN)
		return stop_trigger(c, in, in->rights == RIGHTS_LOST ? "right_lost" : "user_disabled");
	r = find_known(c, in);
	if (r != 0)
		return r < 0 ? r : answer_run(in, in->known, false);
	r = check_rate(c, in);
	if (r < 0)
		return r;
	if (in->is_over)
		return answer_problem(&in->answer, 429, "rate_limited",
				      "More requests come than this trigger takes in a minute: send it later.");
	return begin(c, in);
}

static void on_stored(struct exchange_job *job, int result)
{
	struct incoming *in = (struct incoming *)job;
	struct agent *agent = job->x->self;
	bool is_new = result == 0 && !in->answer.code && !in->known;

	if (in->is_over)
		reply_header(job->x, "Retry-After", "60");
	answer_send(job, result);
	if (is_new)
		post_begin(agent, &in->post);
	else if (result == -ECONNRESET)
		post_begin_unsure(agent, &in->post);
}

/* ---- The steps before ---- */

static void on_rights(void *arg, enum rights rights, const struct identity *who)
{
	struct incoming *in = arg;
	struct exchange *x = in->answer.job.x;

	if (rights == RIGHTS_UNKNOWN) {
		reply_header(x, "Retry-After", "2");
		reply_problem(x, 503, "auth_unavailable",
			      "The rights of its owner cannot be asked for now: try again.");
	} else {
		in->rights = rights;
		in->who = who;
		in->post.arena = x->arena;
		in->post.traceparent = x->traceparent;
		in->post.request_id = x->request_id;
		post_prepare(&in->post, x->self);
		in->answer.job.done = on_stored;
		answer_write(x, &in->answer, store_run);
	}
	exchange_drop(x);
}

static int find_run(struct db_conn *c, struct exchange_job *job)
{
	struct incoming *in = (struct incoming *)job;
	int r = trigger_find(c, job->x->arena, path_id(job->x), false, &in->trigger);

	return r < 0 ? r : 0;
}

/* One that is not there looks like one with another secret. */
static void on_found(struct exchange_job *job, int result)
{
	struct incoming *in = (struct incoming *)job;
	struct exchange *x = job->x;
	struct agent *agent = x->self;
	struct error err = {0};
	const char *secret = NULL;

	if (result < 0) {
		reply_db_failure(x, result);
		return;
	}
	if (in->trigger.id)
		secret = hook_unseal(automation_key(agent->automation), x->arena, "triggers", in->trigger.id,
				     in->trigger.secret_sealed);
	if (!secret || !is_good(in, str_of(secret))) {
		reply_problem(x, 401, "signature_invalid",
			      "The request is not signed with the secret of this address, or is too old.");
		return;
	}
	if (strcmp(in->trigger.status, "active") != 0) {
		reply_problem(x, 409, "trigger_stopped", "This trigger is paused or has stopped: its owner sees why.");
		return;
	}
	if (make_message(in, &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	exchange_hold(x);
	rights_ask(agent, x->arena, in->trigger.user_id, "webhooks.use", "conversations.use", on_rights, in);
}

static void on_body(struct http_request *r, int err, struct str body)
{
	struct exchange *x = r->owner;
	struct incoming *in = x->data;
	struct http_headers *h = &r->headers;

	if (err < 0)
		return;
	in->body = arena_str(x->arena, body);
	in->id = arena_str(x->arena, http_header_get(h, "webhook-id"));
	in->timestamp = arena_str(x->arena, http_header_get(h, "webhook-timestamp"));
	in->signature = arena_str(x->arena, http_header_get(h, "webhook-signature"));
	in->hub = arena_str(x->arena, http_header_get(h, "x-hub-signature-256"));
	in->plain = arena_str(x->arena, http_header_get(h, "x-webhook-secret"));
	in->answer.job.done = on_found;
	answer_read(x, &in->answer, find_run);
}

void triggers_incoming(struct exchange *x)
{
	x->data = arena_new_of(x->arena, struct incoming);
	http_set_max_body(x->req, BODY_MAX);
	http_read_body(x->req, on_body);
}
