/* GET /api/commands, and one command: itself, its stream, its output, its cancel. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "follower.h"
#include "lookup.h"
#include "spool.h"
#include "wait.h"

static void reply_command(struct lookup *l, int status, const struct wait_query *q)
{
	struct journal_entry *entry = &l->entry;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;

	if (l->command) {
		wait_reply(l->x, l->command, q, status, status);
		return;
	}
	obj = json_new_obj(l->x->arena, &doc);
	command_add_json(doc, obj, &entry->spec, &entry->result, entry->started_us, entry->total);
	if (q->output)
		wait_add_output(l->x->self, doc, obj, entry->spec.id, q->output);
	reply_json(l->x, status, doc);
}

/* ---- One ---- */

static void get_found(struct lookup *l)
{
	struct wait_query q;

	if (wait_query_read(l->x, NULL, &q))
		reply_command(l, 200, &q);
}

void commands_get(struct exchange *x)
{
	lookup_command(x, get_found);
}

static void cancel_found(struct lookup *l)
{
	const struct wait_query none = {0};

	if (l->command)
		command_cancel(l->command);
	reply_command(l, 202, &none);
}

void commands_cancel(struct exchange *x)
{
	lookup_command(x, cancel_found);
}

/* Returns false after answering 400. */
static bool read_number(struct exchange *x, const char *name, uint64_t def, uint64_t *ret)
{
	const char *text = http_query_get(x->arena, x->req->query, name);

	*ret = def;
	if (!text || str_to_u64(str_of(text), INT64_MAX, ret) == 0)
		return true;
	reply_problem(x, 400, "bad_request", "%s is a number of bytes.", name);
	return false;
}

static void stream_found(struct lookup *l)
{
	uint64_t offset;

	if (!read_number(l->x, "offset", 0, &offset))
		return;
	if (l->command)
		follower_live(l->x, l->command, offset);
	else
		follower_ended(l->x, &l->entry.spec, &l->entry.result, offset, NULL);
}

void commands_stream(struct exchange *x)
{
	lookup_command(x, stream_found);
}

/* ---- Output ---- */

struct output {
	struct exchange *x;
	struct spool_reader spool;
	uint64_t offset, left;
};

static void output_leave(struct exchange *x)
{
	struct output *o = x->data;

	spool_reader_deinit(&o->spool);
	x->on_gone = NULL;
	if (x->req)
		x->req->on_drain = NULL;
}

/* One run of bytes that belong together: a gap ends it. */
static void output_pump(struct output *o)
{
	static char data[64 << 10];
	struct http_request *r = o->x->req;
	struct spool_piece piece;
	bool has_room = true;

	while (has_room && o->left > 0) {
		if (spool_read(&o->spool, o->offset, data, MIN(sizeof(data), o->left), &piece) < 0 || piece.n == 0 ||
		    piece.skipped > 0)
			o->left = 0;
		else {
			o->offset += piece.n;
			o->left -= piece.n;
			has_room = http_reply_write(r, data, piece.n);
		}
	}
	if (o->left == 0) {
		output_leave(o->x);
		http_reply_end(r);
	}
}

static void output_on_drain(struct http_request *r)
{
	struct exchange *x = r->owner;

	output_pump(x->data);
}

static void add_number_header(struct exchange *x, struct http_headers *h, const char *name, uint64_t n)
{
	http_header_set(h, name, arena_printf(x->arena, "%llu", (unsigned long long)n));
}

static void output_head(struct exchange *x, uint64_t start, uint64_t total)
{
	struct http_headers headers = {.arena = x->arena};

	http_header_set(&headers, "Content-Type", "application/octet-stream");
	http_header_set(&headers, "Cache-Control", "no-store");
	http_header_set(&headers, "X-Content-Type-Options", "nosniff");
	http_header_set(&headers, "X-Request-Id", x->request_id);
	add_number_header(x, &headers, "X-Ogent-Output-Bytes", total);
	add_number_header(x, &headers, "X-Ogent-Output-Offset", start);
	http_reply_head(x->req, 200, &headers, -1);
}

static void output_found(struct lookup *l)
{
	struct exchange *x = l->x;
	struct exec *e = x->self;
	struct output *o = arena_new_of(x->arena, struct output);
	const char *id = l->command ? l->command->spec.id : l->entry.spec.id;
	struct spool_piece first = {0};
	char byte;
	int dir, r;

	o->x = x;
	o->spool.fd = -1;
	if (!read_number(x, "offset", 0, &o->offset) || !read_number(x, "limit", INT64_MAX, &o->left))
		return;
	dir = journal_folder(&e->journal, id);
	r = dir < 0 ? dir : spool_reader_open(&o->spool, dir);
	if (dir >= 0)
		close(dir);
	if (r == 0)
		r = spool_read(&o->spool, o->offset, &byte, 1, &first);
	if (r < 0) {
		spool_reader_deinit(&o->spool);
		reply_problem(x, 500, "internal", "The output cannot be read; the log has the request id.");
		return;
	}
	o->offset = first.offset;
	x->data = o;
	x->on_gone = output_leave;
	x->req->on_drain = output_on_drain;
	output_head(x, o->offset, l->command ? spool_reader_total(&o->spool) : l->entry.result.output_bytes);
	output_pump(o);
}

void commands_output(struct exchange *x)
{
	lookup_command(x, output_found);
}

/* ---- Many ---- */

struct listing {
	struct job job;
	struct exchange *x;
	struct page page;
	const char *tag, *status; /* NULL: all */
	bool any;
	struct journal_entry *entries; /* up to limit + 1: one more says that there is a next page */
	int64_t n;
	int result;
};

static bool is_running(const char *status)
{
	return status && strcmp(status, "running") == 0;
}

static bool has_tag(char *const *tags, const char *tag)
{
	for (; tags && *tags; tags++)
		if (strcmp(*tags, tag) == 0)
			return true;
	return false;
}

static bool is_wanted(const struct listing *l, const struct journal_entry *e)
{
	const char *status = command_status_name(e->has_result ? e->result.status : COMMAND_RUNNING);

	return (l->any || strcmp(e->spec.user_id, l->x->who.user_id) == 0) &&
	       (!l->status || strcmp(status, l->status) == 0) && (!l->tag || has_tag(e->spec.tags, l->tag));
}

static void list_run(struct job *job)
{
	struct listing *l = container_of(job, struct listing, job);
	struct exchange *x = l->x;
	_cleanup_(arena_free_p) struct arena *scratch = arena_new();
	struct exec *e = x->self;
	struct id_list ids;

	if (is_running(l->status))
		l->result = journal_list_running(&e->journal, x->arena, &ids);
	else
		l->result = journal_list(&e->journal, l->any ? NULL : x->who.user_id, x->arena, &ids);
	l->entries = arena_alloc(x->arena, (size_t)(l->page.limit + 1) * sizeof(*l->entries));
	for (size_t i = 0; l->result == 0 && i < ids.n && l->n <= l->page.limit; i++) {
		struct journal_entry *entry = &l->entries[l->n];

		if (l->page.after && strcmp(ids.ids[i], l->page.after) >= 0)
			continue;
		/* One that is being removed is not there. */
		arena_reset(scratch);
		if (journal_load(&e->journal, ids.ids[i], scratch, entry) == 0 && is_wanted(l, entry) &&
		    journal_load(&e->journal, ids.ids[i], x->arena, entry) == 0)
			l->n++;
	}
}

static void list_done(struct job *job)
{
	struct listing *l = container_of(job, struct listing, job);
	struct exchange *x = l->x;
	int64_t n = MIN(l->n, l->page.limit);
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");

	for (int64_t i = 0; i < n; i++) {
		const struct journal_entry *e = &l->entries[i];

		command_add_json(doc, yyjson_mut_arr_add_obj(doc, items), &e->spec, e->has_result ? &e->result : NULL,
				 e->started_us, e->total);
	}
	json_add_str(doc, obj, "next", l->n > l->page.limit ? page_cursor(x->arena, l->entries[n - 1].spec.id) : NULL);
	if (l->result < 0)
		reply_problem(x, 500, "internal", "The commands cannot be listed: %s.", strerror(-l->result));
	else
		reply_json(x, 200, doc);
	exchange_drop(x);
}

/* The one that runs under this Idempotency-Key of the caller, if any: for who wants to stop what he may have started. A
 * service on its own behalf names the user whose it is. */
static void list_by_key(struct exchange *x, const char *key)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	const char *user = x->who.user_id, *named = http_query_get(x->arena, x->req->query, "user");
	struct command *c;
	char name[65];

	if (x->who.service[0] && !*user && named)
		user = named;
	journal_key(user, key, name);
	c = command_by_key(x->self, name);
	if (c)
		command_add_live(doc, yyjson_mut_arr_add_obj(doc, items), c);
	yyjson_mut_obj_add_null(doc, obj, "next");
	reply_json(x, 200, doc);
}

void commands_list(struct exchange *x)
{
	struct exec *e = x->self;
	struct listing *l = arena_new_of(x->arena, struct listing);
	const char *key = http_query_get(x->arena, x->req->query, "key");

	if (key && *key) {
		list_by_key(x, key);
		return;
	}
	l->job = (struct job){.run = list_run, .done = list_done};
	l->x = x;
	l->any = identity_may(&x->who, "commands.read_any");
	l->tag = http_query_get(x->arena, x->req->query, "tag");
	l->status = http_query_get(x->arena, x->req->query, "status");
	if (!page_read(x, &l->page))
		return;
	if (l->status && command_status_of(l->status) < 0) {
		reply_problem(x, 400, "bad_request",
			      "status is running, exited, signalled, timeout, cancelled, oom, cpu, quota, lost or "
			      "error.");
		return;
	}
	if (job_submit(e->lane, &l->job) < 0) {
		reply_busy(x);
		return;
	}
	exchange_hold(x);
}
