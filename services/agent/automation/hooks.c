#include "agent/automation/hooks.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#include "base/clock.h"
#include "service/secret_file.h"

#define OUTPUT_MAX (64 * 1024)

const char *const hook_events[] = {"execution.succeeded", "execution.failed", "execution.cancelled",
				   "execution.waiting",   "execution.paused", NULL};

struct target {
	struct target *next;
	const char *id;
};

/* ---- Telling ---- */

static bool wants(struct arena *a, const char *events, const char *event)
{
	yyjson_val *item;
	size_t i, n;

	yyjson_arr_foreach(yyjson_doc_get_root(json_parse(a, events, strlen(events), NULL)), i, n, item)
	{
		if (yyjson_equals_str(item, event))
			return true;
	}
	return false;
}

static int find_targets(struct db_conn *c, struct arena *a, const struct hook_news *news, struct target **ret)
{
	struct db_stmt *st = db_query(c,
				      "select id, events from webhooks where user_id = ? and status = 'active' and "
				      "(agent_id is null or agent_id = ?)",
				      DB_TEXT(news->user_id), DB_TEXT(news->agent_id));
	int r;

	*ret = NULL;
	while ((r = db_step(c, st)) == 1) {
		struct target *t;

		if (!wants(a, db_col_dup(st, 1, a), news->event))
			continue;
		t = arena_new_of(a, struct target);
		*t = (struct target){*ret, db_col_dup(st, 0, a)};
		*ret = t;
	}
	db_done(st);
	return r;
}

static yyjson_mut_val *begin_body(struct arena *a, const char *event, int64_t at, yyjson_mut_doc **ret_doc)
{
	yyjson_mut_val *obj = json_new_obj(a, ret_doc);

	json_add_str(*ret_doc, obj, "type", event);
	json_add_time(*ret_doc, obj, "timestamp", at);
	return yyjson_mut_obj_add_obj(*ret_doc, obj, "data");
}

/* Whole characters only. */
static const char *cut_output(struct arena *a, const char *text)
{
	size_t n = text ? strlen(text) : 0;

	if (n <= OUTPUT_MAX)
		return text;
	for (n = OUTPUT_MAX; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80;)
		n--;
	return arena_strndup(a, text, n);
}

static struct str news_body(struct arena *a, const struct hook_news *news)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *data = begin_body(a, news->event, news->at, &doc), *sub;
	const char *output = cut_output(a, news->output);

	json_add_str(doc, data, "execution_id", news->execution_id);
	json_add_str(doc, data, "conversation_id", news->conversation_id);
	json_add_str(doc, data, "agent_id", news->agent_id);
	json_add_str(doc, data, "agent_name", news->agent_name);
	json_add_str(doc, data, "user_id", news->user_id);
	json_add_str(doc, data, "status", news->status);
	json_add_str(doc, data, "output", output);
	yyjson_mut_obj_add_bool(doc, data, "output_is_cut", output != news->output);
	if (news->error_code) {
		sub = yyjson_mut_obj_add_obj(doc, data, "error");
		json_add_str(doc, sub, "code", news->error_code);
		json_add_str(doc, sub, "message", news->error_message);
	} else {
		yyjson_mut_obj_add_null(doc, data, "error");
	}
	yyjson_mut_obj_add_int(doc, data, "steps", news->steps);
	sub = yyjson_mut_obj_add_obj(doc, data, "usage");
	yyjson_mut_obj_add_int(doc, sub, "input_tokens", news->input_tokens);
	yyjson_mut_obj_add_int(doc, sub, "output_tokens", news->output_tokens);
	yyjson_mut_obj_add_real(doc, sub, "cost_usd", (double)news->cost_nano / 1e9);
	json_add_time(doc, data, "created_at", news->created_at);
	return json_text(a, doc);
}

struct str hooks_ping_body(struct arena *a, const char *webhook_id, int64_t now)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *data = begin_body(a, "ping", now, &doc);

	json_add_str(doc, data, "webhook_id", webhook_id);
	return json_text(a, doc);
}

int hooks_add(struct db_conn *c, const char *webhook_id, const char *event, const char *execution_id, struct str body,
	      int64_t now, char ret_id[static ID_SIZE])
{
	id_new(ret_id);
	return error_only(
		db_exec(c,
			"insert into webhook_deliveries (id, webhook_id, event, execution_id, body, status, "
			"tries, next_at, claimed_until, created_at) values (?, ?, ?, ?, ?, 'pending', 0, ?, 0, "
			"?)",
			DB_TEXT(ret_id), DB_TEXT(webhook_id), DB_TEXT(event), DB_TEXT(execution_id), DB_STR(body),
			DB_INT(now), DB_INT(now)));
}

int hooks_tell(struct db_conn *c, struct arena *a, const struct hook_news *news)
{
	struct target *list;
	struct str body;
	char id[ID_SIZE];
	int r = find_targets(c, a, news, &list);

	if (r < 0 || !list)
		return r;
	body = news_body(a, news);
	for (struct target *t = list; r == 0 && t; t = t->next)
		r = hooks_add(c, t->id, news->event, news->execution_id, body, news->at, id);
	return r;
}

/* ---- Secrets ---- */

int hook_key_load(struct agent *agent, struct seal_key *ret, struct error *err)
{
	char dir[4096];

	snprintf(dir, sizeof(dir), "%s/secrets", service_data_dir(agent->service));
	if (secret_dir_make(dir, err) < 0)
		return -EINVAL;
	return secret_file_key(dir, "agent-models.key", ret->bytes, sizeof(ret->bytes), err);
}

static struct str place_of(struct arena *a, const char *kind, const char *id)
{
	return str_of(arena_printf(a, "%s.secret.%s", kind, id));
}

const char *hook_seal(const struct seal_key *key, struct arena *a, const char *kind, const char *id, struct str secret)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;

	seal(key, place_of(a, kind, id), secret, &out);
	return arena_strndup(a, out.p, out.n);
}

static void wipe(void *p)
{
	sodium_memzero(p, strlen(p));
}

const char *hook_unseal(const struct seal_key *key, struct arena *a, const char *kind, const char *id,
			const char *sealed)
{
	struct buf out = BUF_INIT;
	char *text = NULL;

	if (sealed && unseal(key, place_of(a, kind, id), str_of(sealed), &out) == 0) {
		text = arena_strndup(a, out.p ? out.p : "", out.n);
		arena_defer(a, wipe, text);
	}
	buf_wipe(&out);
	return text;
}
