/* /api/conversations/{id}/attachments: files that are sent with messages. They come first, as they are, and a message
 * names them then; one that no message has goes after a day. */
#include "agent/attachments/store.h"
#include "agent/conversation.h"
#include "agent/knowledge/multipart.h"
#include "base/clock.h"

#define UNSENT_US (24 * 3600 * 1000000ll)
#define AROUND_BYTES 65536 /* what a multipart body has around the file */

struct upload {
	struct answer answer;
	struct attachment file;
	int64_t max_total;
};

/* The conversation whose files they are, if it is the user's own: 0, 1 after answering, or -errno. */
static int find_own(struct db_conn *c, struct answer *a, struct conversation_row *ret)
{
	struct exchange *x = a->job.x;
	int r = conversation_find_to_change(c, x, path_id(x), ret);

	if (r <= 0)
		return r < 0 ? r : answer_not_found(a, "conversation");
	if (strcmp(ret->user_id, x->who.user_id) != 0)
		return answer_problem(a, 403, "forbidden", "Only its user may attach files in this conversation.");
	return 0;
}

static int answer_file(struct answer *a, int status, const struct attachment *file)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a->job.x->arena, &doc);

	attachment_add_json(doc, obj, file);
	return answer_json(a, status, doc);
}

static int upload_run(struct db_conn *c, struct exchange_job *job)
{
	struct upload *u = (struct upload *)job;
	struct attachment file = u->file; /* a job may be run twice */
	struct conversation_row v;
	int r = find_own(c, &u->answer, &v);

	if (r == 0)
		r = error_only(attachments_drop_unsent(c, v.id, NULL, clock_now_us() - UNSENT_US));
	if (r)
		return r;
	r = attachment_store(c, job->x->arena, v.id, u->max_total, &file);
	if (r < 0)
		return r;
	if (r == ATTACHMENT_FULL)
		return answer_problem(&u->answer, 409, "attachments_full",
				      "The files of this conversation are as much as they may be (option "
				      "attachments_total): start another one.");
	u->answer.location = arena_printf(job->x->arena, "/api/conversations/%s/attachments/%s", v.id, file.id);
	return answer_file(&u->answer, r == ATTACHMENT_KNOWN ? 200 : 201, &file);
}

static void on_body(struct http_request *r, int err, struct str body)
{
	struct exchange *x = r->owner;
	struct agent *agent = x->self;
	struct upload *u = x->data;
	struct str type = http_header_get(&r->headers, "Content-Type");
	const char *name = http_query_get(x->arena, r->query, "name");
	struct multipart_file file = {.bytes = body, .name = "", .type = ""};
	struct error why = {0};

	if (err || http_reply_has_started(r))
		return;
	if (str_has_prefix(type, STR("multipart/form-data")) && multipart_read(x->arena, type, body, &file, &why) < 0) {
		reply_error(x, 400, &why);
		return;
	}
	/* The client may leave before it is stored. */
	if (attachment_prepare(x->arena, arena_str(x->arena, file.bytes), name && *name ? name : file.name, &u->file,
			       &why) < 0) {
		reply_error(x, strcmp(why.code, "attachment_type") == 0 ? 415 : 422, &why);
		return;
	}
	u->max_total = option_int(service_options(agent->service), "attachments_total");
	answer_write(x, &u->answer, upload_run);
}

void attachments_create(struct exchange *x)
{
	struct agent *agent = x->self;
	uint64_t max = (uint64_t)option_int(service_options(agent->service), "attachment_max");

	x->data = arena_new_of(x->arena, struct upload);
	if (x->req->content_length > 0 && (uint64_t)x->req->content_length > max + AROUND_BYTES) {
		reply_problem(x, 413, "body_too_large", "A file has at most %llu bytes here (option attachment_max).",
			      (unsigned long long)max);
		return;
	}
	http_set_max_body(x->req, max + AROUND_BYTES);
	http_read_body(x->req, on_body);
}

/* ---- Reading ---- */

struct content_answer {
	struct answer answer;
	struct attachment file;
	struct buf bytes;
};

static int content_run(struct db_conn *c, struct exchange_job *job)
{
	struct content_answer *d = (struct content_answer *)job;
	struct exchange *x = job->x;
	struct conversation_row v;
	int r = conversation_find(c, x, path_id(x), &v);

	buf_clear(&d->bytes);
	if (r == 1)
		r = attachment_find(c, x->arena, v.id, x->params[1].p, &d->file);
	if (r <= 0)
		return r < 0 ? r : answer_not_found(&d->answer, "attachment");
	return attachment_read_bytes(c, d->file.hash, &d->bytes);
}

/* Also an image is a download: the page shows it from the bytes. */
static void content_done(struct exchange_job *job, int result)
{
	struct content_answer *d = (struct content_answer *)job;
	struct exchange *x = job->x;

	if (result < 0 || d->answer.code)
		answer_send(job, result);
	else if (x->req)
		reply_download(x, d->file.type.is_image ? d->file.type.media_type : "text/plain; charset=utf-8",
			       d->file.name, buf_str(&d->bytes));
	buf_deinit(&d->bytes);
}

void attachments_content(struct exchange *x)
{
	struct content_answer *d;

	if (!conversation_may_read(x))
		return;
	d = arena_new_of(x->arena, struct content_answer);
	d->answer.job.done = content_done;
	answer_read(x, &d->answer, content_run);
}

/* ---- Removing ---- */

static int remove_run(struct db_conn *c, struct exchange_job *job)
{
	struct answer *a = (struct answer *)job;
	struct exchange *x = job->x;
	struct attachment file;
	struct conversation_row v;
	int r = find_own(c, a, &v);

	if (r)
		return r;
	r = attachment_find(c, x->arena, v.id, x->params[1].p, &file);
	if (r <= 0)
		return r < 0 ? r : answer_not_found(a, "attachment");
	r = attachments_drop_unsent(c, v.id, file.id, INT64_MAX);
	if (r == 0)
		return answer_problem(a, 409, "attachment_sent",
				      "A message has this file: it goes with the conversation.");
	a->status = 204;
	return MIN(r, 0);
}

void attachments_delete(struct exchange *x)
{
	answer_write(x, arena_new_of(x->arena, struct answer), remove_run);
}
