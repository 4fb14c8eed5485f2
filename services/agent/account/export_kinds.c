#include "agent/account/export_kinds.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/attachments/store.h"
#include "agent/event.h"

#define SOME 50
#define EVENT_ROWS 64

/* columns: what each column of `rows` is, in order: t text, i number, b truth, d time, j JSON. `parents` takes the
 * user, the last id and how many; `rows` the id of one of them, or, without parents, the user. No column has a secret.
 */
struct kind {
	const char *name, *columns, *parents, *rows;
	/* More of one parent: files, or lines that no column has. `rows` may be NULL then. */
	int (*add_more)(struct db_conn *c, struct export_file *f, struct arena *a, const char *parent);
};

#define OF_USER(table) "select id from " table " where user_id = ? and id > ? order by id limit ?"
#define OF_OWNER(table) "select id from " table " where owner_id = ? and id > ? order by id limit ?"

static int add_attachments(struct db_conn *c, struct export_file *f, struct arena *a, const char *conversation);
static int add_documents(struct db_conn *c, struct export_file *f, struct arena *a, const char *collection);
static int add_events(struct db_conn *c, struct export_file *f, struct arena *a, const char *execution);

static const struct kind kinds[] = {
	{"conversations", "t:id t:title t:agent_id j:variables b:kept t:forked_from d:created_at d:updated_at",
	 OF_USER("conversations"),
	 "select id, title, agent_id, variables, is_kept, forked_from, created_at, updated_at from conversations where "
	 "id = ?"},
	{"messages",
	 "t:conversation_id i:seq t:id t:execution_id t:role t:content j:tool_calls t:tool_call_id j:result j:parsed "
	 "j:citations d:created_at",
	 OF_USER("conversations"),
	 "select conversation_id, seq, id, execution_id, role, content, tool_calls, tool_call_id, result, parsed, "
	 "citations, created_at from messages where conversation_id = ? order by seq"},
	{"attachments", "t:conversation_id t:id t:name t:media_type i:size d:created_at", OF_USER("conversations"),
	 "select conversation_id, id, name, media_type, size, created_at from attachments where conversation_id = ? "
	 "order by id",
	 add_attachments},
	{"executions",
	 "t:id t:conversation_id t:agent_id t:agent_name i:agent_version t:status t:model t:provider i:steps "
	 "i:input_tokens i:output_tokens t:error_code t:error_message d:created_at d:ended_at",
	 OF_USER("executions"),
	 "select id, conversation_id, agent_id, agent_name, agent_version, status, model, provider, steps, "
	 "input_tokens, output_tokens, error_code, error_message, created_at, ended_at from executions where id = ?"},
	{"events", NULL, OF_USER("executions"), NULL, add_events},
	{"approvals",
	 "t:id t:execution_id t:conversation_id t:kind t:tool j:arguments t:summary t:status t:decided_by "
	 "d:decided_at t:decision_text d:created_at",
	 OF_USER("approvals"),
	 "select id, execution_id, conversation_id, kind, tool, arguments, summary, status, decided_by, decided_at, "
	 "decision_text, created_at from approvals where id = ?"},
	{"agents",
	 "t:id t:slug t:name t:description j:config i:version j:shares d:created_at d:updated_at d:archived_at",
	 OF_OWNER("agents"),
	 "select id, slug, name, description, config, version, shares, created_at, updated_at, archived_at from agents "
	 "where id = ?"},
	{"agent_versions", "t:agent_id i:version t:name t:description j:config d:created_at", OF_OWNER("agents"),
	 "select agent_id, version, name, description, config, created_at from agent_versions where agent_id = ? order "
	 "by version"},
	{"memories", "t:id t:scope t:agent_id t:name t:value d:created_at d:updated_at", OF_USER("memories"),
	 "select id, scope, agent_id, name, value, created_at, updated_at from memories where id = ?"},
	{"knowledge_collections", "t:id t:name t:description t:language b:shared d:created_at d:updated_at",
	 OF_OWNER("knowledge_collections"),
	 "select id, name, description, language, is_shared, created_at, updated_at from knowledge_collections where "
	 "id = ?"},
	{"knowledge_documents", "t:collection_id t:id t:name t:title t:media_type i:size t:status d:created_at",
	 OF_OWNER("knowledge_collections"),
	 "select collection_id, id, name, title, media_type, size, status, created_at from knowledge_documents where "
	 "collection_id = ? order by id",
	 add_documents},
	{"schedules",
	 "t:id t:agent_id t:name t:message t:cron t:timezone i:every_us d:at t:status d:created_at d:updated_at",
	 OF_USER("schedules"),
	 "select id, agent_id, name, message, cron, timezone, every_us, at_us, status, created_at, updated_at from "
	 "schedules where id = ?"},
	{"schedule_firings", "t:schedule_id t:id d:planned_at d:at t:status t:reason t:execution_id",
	 OF_USER("schedules"),
	 "select schedule_id, id, planned_at, at, status, reason, execution_id from schedule_firings where schedule_id "
	 "= ? order by id"},
	{"webhooks", "t:id t:agent_id t:name t:url j:events t:status d:created_at d:updated_at", OF_USER("webhooks"),
	 "select id, agent_id, name, url, events, status, created_at, updated_at from webhooks where id = ?"},
	{"webhook_deliveries",
	 "t:webhook_id t:id t:event t:execution_id t:status i:tries j:body d:created_at d:ended_at",
	 OF_USER("webhooks"),
	 "select webhook_id, id, event, execution_id, status, tries, body, created_at, ended_at from "
	 "webhook_deliveries where webhook_id = ? order by id"},
	{"triggers", "t:id t:agent_id t:name t:message t:status d:created_at d:updated_at", OF_USER("triggers"),
	 "select id, agent_id, name, message, status, created_at, updated_at from triggers where id = ?"},
	{"batches", "t:id t:agent_id t:name t:message j:columns t:status d:created_at d:ended_at", OF_USER("batches"),
	 "select id, agent_id, name, message, columns, status, created_at, ended_at from batches where id = ?"},
	{"batch_rows", "t:batch_id i:number j:data t:status t:execution_id", OF_USER("batches"),
	 "select batch_id, number, data, status, execution_id from batch_rows where batch_id = ? order by number"},
	{"evaluation_sets", "t:id t:name t:description j:graders d:created_at d:updated_at", OF_USER("evaluation_sets"),
	 "select id, name, description, graders, created_at, updated_at from evaluation_sets where id = ?"},
	{"evaluation_cases", "t:set_id i:number t:id t:input j:expected j:variables j:tags", OF_USER("evaluation_sets"),
	 "select set_id, number, id, input, expected, variables, tags from evaluation_cases where set_id = ? order by "
	 "number"},
	{"apis", "t:id t:slug t:name t:description t:url t:base_url j:shares d:created_at d:updated_at",
	 OF_OWNER("api_sources"),
	 "select id, slug, name, description, url, base_url, shares, created_at, updated_at from api_sources where id "
	 "= ?"},
	{"model_providers", "t:id t:slug t:name t:kind t:base_url d:created_at d:updated_at",
	 OF_OWNER("model_providers"),
	 "select id, slug, name, kind, base_url, created_at, updated_at from model_providers where id = ?"},
	{"usage", "i:day t:agent_id t:provider t:model i:calls i:input_tokens i:output_tokens i:cost_nano", NULL,
	 "select day, agent_id, provider, model, sum(calls), sum(input_tokens), sum(output_tokens), sum(cost_nano) "
	 "from "
	 "usage_days where user_id = ? group by day, agent_id, provider, model order by day"},
};

/* ---- A row as a line ---- */

static void add_column(yyjson_mut_doc *doc, yyjson_mut_val *obj, struct db_stmt *st, int i, char type, const char *name,
		       struct arena *a)
{
	char time[TIME_TEXT_SIZE];
	const char *text = db_col_dup(st, i, a);

	if (!text)
		yyjson_mut_obj_add_null(doc, obj, name);
	else if (type == 'i') /* sums of a server come as decimals */
		yyjson_mut_obj_add_int(doc, obj, name, strtoll(text, NULL, 10));
	else if (type == 'b')
		yyjson_mut_obj_add_bool(doc, obj, name, db_col_int(st, i) != 0);
	else if (type == 'd')
		yyjson_mut_obj_add_strcpy(doc, obj, name, (time_format(db_col_int(st, i), time), time));
	else if (type == 'j')
		json_add_raw(doc, obj, name, text);
	else
		json_add_str(doc, obj, name, text);
}

static int write_row(struct export_file *f, const struct kind *kind, struct db_stmt *st, struct arena *a)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);
	char *save = NULL, *columns = arena_strdup(a, kind->columns);
	int i = 0;

	for (char *column = strtok_r(columns, " ", &save); column; column = strtok_r(NULL, " ", &save))
		add_column(doc, obj, st, i++, column[0], column + 2, a);
	return export_file_line(f, json_text(a, doc));
}

static int write_rows(struct db_conn *c, struct export_file *f, const struct kind *kind, const char *parent)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	_cleanup_(db_done_p) struct db_stmt *st = db_query(c, kind->rows, DB_TEXT(parent));
	int r, failed = 0;

	while (!failed && (r = db_step(c, st)) == 1) {
		arena_reset(a);
		failed = write_row(f, kind, st, a);
	}
	return failed ? failed : MIN(r, 0);
}

/* ---- Files ---- */

struct named {
	struct named *next;
	const char *id, *name, *hash;
};

static int list_files(struct db_conn *c, const char *sql, const char *parent, struct arena *a, struct named **ret)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(c, sql, DB_TEXT(parent));
	int r;

	*ret = NULL;
	while ((r = db_step(c, st)) == 1) {
		struct named *n = arena_new_of(a, struct named);

		*n = (struct named){*ret, db_col_dup(st, 0, a), db_col_dup(st, 1, a), db_col_dup(st, 2, a)};
		*ret = n;
	}
	return r;
}

/* Names come from outside: no separators, no control characters. */
static const char *file_path(struct arena *a, const char *folder, const struct named *n)
{
	char *name = arena_strdup(a, n->name);

	for (char *p = name; *p; p++)
		if (*p == '/' || *p == '\\' || (unsigned char)*p < 0x20)
			*p = '_';
	return arena_printf(a, "%s/%s-%.150s", folder, n->id, name);
}

static int add_attachments(struct db_conn *c, struct export_file *f, struct arena *a, const char *conversation)
{
	_cleanup_(buf_deinit) struct buf bytes = BUF_INIT;
	struct named *files;
	int r = list_files(c, "select id, name, hash from attachments where conversation_id = ?", conversation, a,
			   &files);

	for (struct named *n = files; r >= 0 && n; n = n->next) {
		buf_clear(&bytes);
		r = attachment_read_bytes(c, n->hash, &bytes);
		if (r == 0)
			r = export_file_add(f, file_path(a, "attachments", n), buf_str(&bytes));
	}
	return MIN(r, 0);
}

static int read_document(struct db_conn *c, const char *id, struct buf *out)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select data from knowledge_contents where document_id = ? order by part", DB_TEXT(id));
	int r;

	while ((r = db_step(c, st)) == 1)
		buf_add(out, db_col_str(st, 0).p, db_col_str(st, 0).n);
	return r;
}

static int add_documents(struct db_conn *c, struct export_file *f, struct arena *a, const char *collection)
{
	_cleanup_(buf_deinit) struct buf bytes = BUF_INIT;
	struct named *files;
	int r = list_files(c, "select id, name, hash from knowledge_documents where collection_id = ?", collection, a,
			   &files);

	for (struct named *n = files; r >= 0 && n; n = n->next) {
		buf_clear(&bytes);
		r = read_document(c, n->id, &bytes);
		if (r == 0)
			r = export_file_add(f, file_path(a, "documents", n), buf_str(&bytes));
	}
	return MIN(r, 0);
}

/* ---- Events ---- */

struct event_lines {
	struct export_file *file;
	const char *execution_id, *conversation_id;
	struct buf line;
	int result;
};

static void add_event(void *arg, uint64_t seq, const char *type, int64_t at, struct str data)
{
	struct event_lines *l = arg;

	if (l->result < 0)
		return;
	buf_clear(&l->line);
	event_write(&l->line, l->execution_id, l->conversation_id, seq, type, at, data);
	l->result = export_file_line(l->file, buf_str(&l->line));
}

/* A page at a time; a row that only a newer program understands is left out, as it is when it is shown. */
static int write_events(struct db_conn *c, struct event_lines *l)
{
	uint64_t after = 0;
	int n;

	do {
		_cleanup_(arena_free_p) struct arena *a = arena_new();
		struct event_row *rows;

		n = event_rows_read(c, a, l->execution_id, l->conversation_id, after, EVENT_ROWS, &rows);
		for (int i = 0; i < n; i++)
			event_row_split(&rows[i], after, add_event, l);
		if (n > 0)
			after = rows[n - 1].last_seq;
	} while (n == EVENT_ROWS && l->result == 0);
	return n < 0 ? n : l->result;
}

static int add_events(struct db_conn *c, struct export_file *f, struct arena *a, const char *execution)
{
	struct db_stmt *st = db_query(c, "select conversation_id from executions where id = ?", DB_TEXT(execution));
	int r = db_step(c, st);
	struct event_lines l = {f, execution, r == 1 ? db_col_dup(st, 0, a) : NULL, BUF_INIT, 0};

	db_done(st);
	if (r == 1)
		r = write_events(c, &l);
	buf_deinit(&l.line);
	return r;
}

/* ---- Some of a kind ---- */

static int list_parents(struct db_conn *c, const struct kind *kind, const char *user_id, const char *after,
			char ret[static SOME][ID_SIZE])
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, kind->parents, DB_TEXT(user_id), DB_TEXT(after), DB_INT(SOME));
	int r, n = 0;

	while ((r = db_step(c, st)) == 1)
		snprintf(ret[n++], ID_SIZE, "%.*s", STR_ARG(db_col_str(st, 0)));
	return r < 0 ? r : n;
}

static int next_kind(struct export_file *f, struct export_place *place)
{
	char path[80];

	snprintf(path, sizeof(path), "%s.jsonl", kinds[place->kind].name);
	place->after[0] = '\0';
	place->has_ended = ++place->kind == ARRAY_SIZE(kinds);
	return export_file_end_lines(f, path);
}

/* Files are entries at once, lines when the kind ends. */
int export_rows(struct db_conn *c, struct export_file *f, const char *user_id, struct export_place *place)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	const struct kind *kind = &kinds[place->kind];
	char parents[SOME][ID_SIZE];
	int r, n = kind->parents ? list_parents(c, kind, user_id, place->after, parents) : 0;

	r = n < 0 ? n : kind->parents ? 0 : write_rows(c, f, kind, user_id);
	for (int i = 0; r == 0 && i < n; i++) {
		r = kind->rows ? write_rows(c, f, kind, parents[i]) : 0;
		if (r == 0 && kind->add_more)
			r = kind->add_more(c, f, a, parents[i]);
	}
	if (r < 0)
		return r;
	if (n < SOME)
		return next_kind(f, place);
	memcpy(place->after, parents[n - 1], ID_SIZE);
	return 0;
}

const char *export_kind_name(const struct export_place *place)
{
	return place->has_ended ? "" : kinds[place->kind].name;
}
