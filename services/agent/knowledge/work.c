#include "agent/knowledge/work.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "agent/knowledge/hashed.h"
#include "agent/knowledge/knowledge.h"
#include "agent/knowledge/split.h"
#include "agent/knowledge/vector.h"
#include "agent/runner.h"
#include "base/alloc.h"
#include "base/clock.h"

#define PIECES_MAX 50000
#define AGAIN_FIRST_MS 200
#define AGAIN_MAX_MS 5000
#define RETRY_FIRST_US 2000000ll
#define RETRY_MAX_US (10 * 60 * 1000000ll)

/* It is not ours any more, or it is gone. */
enum { WORK_LOST = 1 };

static void work_on_done(struct work *w, int err);

/* ---- Transactions ---- */

static void on_stored(struct db_job *job, int result)
{
	struct work *w = container_of(job, struct work, db);

	/* A database that is away or full comes back: nothing is lost by waiting for it. */
	if (result < 0 && !w->is_stopped) {
		if (w->failures++ == 0)
			log_warn("document %s waits, the database cannot be used: %s", w->id, strerror(-result));
		deadline_set(service_wheel(w->agent->service), &w->again,
			     MIN((uint64_t)AGAIN_FIRST_MS << MIN(w->failures, 6u), AGAIN_MAX_MS));
		return;
	}
	w->failures = 0;
	work_on_done(w, result);
}

static void on_again(struct deadline *d)
{
	struct work *w = container_of(d, struct work, again);

	db_write(w->agent->db, &w->db);
}

static void store(struct work *w, int (*run)(struct db_conn *c, struct db_job *job))
{
	w->db = (struct db_job){.run = run, .done = on_stored};
	db_write(w->agent->db, &w->db);
}

/* 0, WORK_LOST, or -errno; the row stays locked. */
static int check_mine(struct db_conn *c, const struct work *w)
{
	int64_t one;
	int r = db_get_int(c, &one,
			   "select 1 from knowledge_documents where id = ? and claim = ? and owner = ?" DB_FOR_UPDATE,
			   DB_TEXT(w->id), DB_INT(w->claim), DB_TEXT(runner_owner(w->agent->runner)));

	return r < 0 ? r : r == 1 ? 0 : WORK_LOST;
}

/* ---- Loading ---- */

static int load_row(struct db_conn *c, struct work *w)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(
		c,
		"select d.collection_id, c.owner_id, d.user_id, d.name, c.language, c.embedding, c.piece_tokens, "
		"c.overlap_tokens, d.media_type from knowledge_documents d join knowledge_collections c on c.id = "
		"d.collection_id where d.id = ?",
		DB_TEXT(w->id));
	int r = db_step(c, st);

	if (r < 1)
		return r < 0 ? r : WORK_LOST;
	w->collection_id = db_col_dup(st, 0, w->arena);
	w->owner_id = db_col_dup(st, 1, w->arena);
	w->user_id = db_col_dup(st, 2, w->arena);
	w->name = db_col_dup(st, 3, w->arena);
	w->language = db_col_dup(st, 4, w->arena);
	w->embedding = db_col_dup(st, 5, w->arena);
	w->piece_tokens = db_col_int(st, 6);
	w->overlap_tokens = db_col_int(st, 7);
	if (!media_of_type(db_col_dup(st, 8, w->arena), &w->media))
		w->media = MEDIA_TEXT;
	return 0;
}

static int load_bytes(struct db_conn *c, struct work *w)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select data from knowledge_contents where document_id = ? order by part", DB_TEXT(w->id));
	int r;

	while ((r = db_step(c, st)) == 1) {
		struct str part = db_col_str(st, 0);
		buf_add(&w->bytes, part.p, part.n);
	}
	return r;
}

/* What an earlier work on it has left goes. */
static int load(struct db_conn *c, struct db_job *job)
{
	struct work *w = container_of(job, struct work, db);
	int64_t live = 0;
	int r = check_mine(c, w);

	arena_reset(w->arena);
	buf_clear(&w->bytes);
	if (r == 0)
		r = db_get_int(c, &live, "select live from knowledge_documents where id = ?", DB_TEXT(w->id));
	if (r == 1)
		r = pieces_delete(c, w->id, live);
	if (r == 0)
		r = load_row(c, w);
	return r == 0 ? load_bytes(c, w) : r;
}

/* ---- Its text and pieces, on the lane's thread ---- */

static void on_piece(void *arg, const struct split_piece *p)
{
	struct work *w = arg;

	if (w->n == w->cap) {
		w->cap = w->cap ? w->cap * 2 : 64;
		w->pieces = xrealloc(w->pieces, w->cap * sizeof(*w->pieces));
	}
	w->pieces[w->n++] = (struct piece){
		.number = p->number,
		.page = p->page,
		.start = (int64_t)p->start,
		.end = (int64_t)p->end,
		.tokens = p->tokens,
		.heading = arena_strdup(w->arena, p->heading),
		.text = {w->text.text.p + p->start, p->end - p->start},
	};
	w->tokens += p->tokens;
}

static void split(struct job *job)
{
	struct work *w = container_of(job, struct work, job);
	bool is_pdf = w->media == MEDIA_PDF;
	size_t n;

	w->err = read_document(is_pdf ? MEDIA_PDF_TEXT : w->media, is_pdf ? buf_str(&w->pdf.text) : buf_str(&w->bytes),
			       &w->text, &w->error);
	buf_deinit(&w->bytes);
	pdf_clear(&w->pdf);
	if (w->err < 0)
		return;
	struct split_options o = {
		.max_tokens = w->piece_tokens,
		.overlap_tokens = w->overlap_tokens,
		.is_markdown = w->text.is_markdown,
		.pages = w->text.pages,
		.n_pages = w->text.n_pages,
		.max_pieces = PIECES_MAX,
	};
	n = split_text(buf_str(&w->text.text), &o, on_piece, w);
	if (n == 0)
		w->err = error_set(&w->error, "document_empty",
				   "There is no text in the document: send one with text in it.");
	else if (n > PIECES_MAX)
		w->err =
			error_set(&w->error, "document_too_large",
				  "The document has %zu pieces, more than %d: divide it, or give its collection larger "
				  "pieces.",
				  n, PIECES_MAX);
}

/* What a piece is embedded as: below its title and headings. */
static struct str embedded_text(struct work *w, const struct piece *p, struct arena *a)
{
	const char *title = w->text.title.n ? w->text.title.p : w->name;

	return str_of(arena_printf(a, "%s\n%s\n%.*s", title, p->heading, STR_ARG(p->text)));
}

static void pack(struct work *w, const float *vectors, size_t dimension)
{
	size_t stride = vector_stride(dimension);
	int8_t *row = xcalloc(1, stride);
	_cleanup_(buf_deinit) struct buf rows = BUF_INIT;

	buf_clear(&w->vectors);
	for (size_t i = 0; i < w->batch; i++) {
		float scale = vector_pack(vectors + i * dimension, dimension, row);
		buf_add(&w->vectors, &scale, sizeof(scale));
		buf_add(&rows, row, stride);
	}
	buf_add(&w->vectors, rows.p, rows.n);
	w->dimension = dimension;
	free(row);
}

static void embed_here(struct job *job)
{
	struct work *w = container_of(job, struct work, job);
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	float *vectors = xcalloc(w->batch * HASHED_DIMENSION, sizeof(*vectors));

	for (size_t i = 0; i < w->batch; i++)
		hashed_vector(embedded_text(w, &w->pieces[w->done + i], a), vectors + i * HASHED_DIMENSION);
	pack(w, vectors, HASHED_DIMENSION);
	free(vectors);
	w->err = 0;
}

static void on_job_done(struct job *job)
{
	struct work *w = container_of(job, struct work, job);

	work_on_done(w, w->err);
}

static void on_job_again(struct deadline *d);

static void submit(struct work *w, void (*run)(struct job *job))
{
	w->job = (struct job){.run = run, .done = on_job_done};
	deadline_init(&w->again, on_again);
	if (job_submit(w->lane, &w->job) == 0)
		return;
	deadline_init(&w->again, on_job_again);
	deadline_set(service_wheel(w->agent->service), &w->again, AGAIN_FIRST_MS);
}

static void on_job_again(struct deadline *d)
{
	struct work *w = container_of(d, struct work, again);

	submit(w, w->job.run);
}

/* ---- Steps ---- */

static void on_printed(struct pdf *p, int err)
{
	struct work *w = p->owner;

	w->error = p->error;
	w->may_retry = p->may_retry;
	work_on_done(w, err);
}

static enum work_state print(struct work *w)
{
	w->pdf = (struct pdf){
		.agent = w->agent,
		.document_id = w->id,
		.user_id = w->user_id,
		.claim = w->claim,
		.bytes = buf_str(&w->bytes),
		.owner = w,
		.on_done = on_printed,
	};
	pdf_start(&w->pdf);
	return WORK_PRINTING;
}

static enum work_state begin_split(struct work *w)
{
	submit(w, split);
	return WORK_SPLITTING;
}

static void on_embedded(struct embed *e, int err)
{
	struct work *w = e->owner;

	if (err == 0)
		pack(w, e->vectors, e->dimension);
	w->error = e->error;
	w->may_retry = e->may_retry;
	embed_clear(e);
	work_on_done(w, err);
}

static enum work_state embed_by_model(struct work *w)
{
	for (size_t i = 0; i < w->batch; i++)
		w->texts[i] = embedded_text(w, &w->pieces[w->done + i], w->arena);
	w->embed = (struct embed){
		.agent = w->agent,
		.model = w->embedding,
		.user_id = w->owner_id,
		.texts = w->texts,
		.n = w->batch,
		.owner = w,
		.on_done = on_embedded,
	};
	embed_start(&w->embed);
	return WORK_EMBEDDING;
}

static int finish(struct db_conn *c, struct db_job *job);

static enum work_state next_batch(struct work *w)
{
	w->batch = MIN(w->n - w->done, (size_t)WORK_BATCH);
	if (w->batch == 0) {
		store(w, finish);
		return WORK_FINISHING;
	}
	if (*w->embedding)
		return embed_by_model(w);
	submit(w, embed_here);
	return WORK_EMBEDDING;
}

static int store_batch(struct db_conn *c, struct db_job *job)
{
	struct work *w = container_of(job, struct work, db);
	struct piece_context of = {w->id, w->text.title.n ? w->text.title.p : w->name, w->language, w->claim};
	const struct piece *first = &w->pieces[w->done];
	int r = check_mine(c, w);

	if (r)
		return r;
	r = pieces_insert(c, &of, first, w->batch);
	if (r == 0)
		r = vectors_insert(c, &of, first->number, w->batch, w->dimension, buf_str(&w->vectors));
	if (r == 0)
		r = error_only(
			db_exec(c,
				"update knowledge_documents set status = 'embedding', done_pieces = ?, pieces = ?, "
				"updated_at = ? where id = ?",
				DB_INT((int64_t)(w->done + w->batch)), DB_INT((int64_t)w->n), DB_INT(clock_now_us()),
				DB_TEXT(w->id)));
	return r;
}

static enum work_state save_batch(struct work *w)
{
	deadline_init(&w->again, on_again);
	store(w, store_batch);
	return WORK_STORING;
}

static int finish(struct db_conn *c, struct db_job *job)
{
	struct work *w = container_of(job, struct work, db);
	int64_t now = clock_now_us();
	int r = check_mine(c, w);

	if (r)
		return r;
	r = error_only(
		db_exec(c,
			"update knowledge_documents set status = 'ready', live = claim, owner = null, attempts = 0, "
			"error_code = null, error_message = null, title = ?, pages = ?, pieces = ?, tokens = ?, "
			"done_pieces = "
			"?, embedding = ?, dimension = ?, updated_at = ?, indexed_at = ? where id = ?",
			DB_STR(buf_str(&w->text.title)), DB_INT((int64_t)w->text.n_pages), DB_INT((int64_t)w->n),
			DB_INT(w->tokens), DB_INT((int64_t)w->n), DB_TEXT(w->embedding), DB_INT((int64_t)w->dimension),
			DB_INT(now), DB_INT(now), DB_TEXT(w->id)));
	if (r == 0)
		r = pieces_delete(c, w->id, w->claim);
	return r < 0 ? r : collection_changed(c, w->collection_id);
}

static int fail(struct db_conn *c, struct db_job *job)
{
	struct work *w = container_of(job, struct work, db);
	bool again = w->may_retry && w->attempts < WORK_ATTEMPTS;
	int64_t now = 0, wait = MIN(RETRY_FIRST_US << MIN(w->attempts, 20), RETRY_MAX_US);
	int r = check_mine(c, w);

	if (r == 0)
		r = db_clock_us(c, &now);
	if (r)
		return r;
	return error_only(
		db_exec(c,
			"update knowledge_documents set status = ?, owner = null, run_after = ?, error_code = ?, "
			"error_message = ?, updated_at = ? where id = ?",
			DB_TEXT(again ? "queued" : "failed"), DB_INT(now + wait), DB_TEXT(w->error.code),
			DB_TEXT(w->error.message), DB_INT(clock_now_us()), DB_TEXT(w->id)));
}

static enum work_state begin_fail(struct work *w)
{
	if (!w->error.code[0])
		error_set(&w->error, "document_unreadable", "The document cannot be read: check it and send it again.");
	deadline_init(&w->again, on_again);
	store(w, fail);
	return WORK_FAILING;
}

/* It has been begun so often without an end that it is the document, and not the machine. */
static bool is_worn_out(const struct work *w)
{
	return w->attempts > WORK_ATTEMPTS;
}

/* The whole flow: given what just came, start what comes next. */
static enum work_state work_next(struct work *w)
{
	if (w->is_stopped || w->err == WORK_LOST || w->err == -ECANCELED || w->state == WORK_FAILING)
		return WORK_ENDED;
	if (w->err < 0)
		return begin_fail(w);
	switch (w->state) {
	case WORK_LOADING:
		if (is_worn_out(w)) {
			error_set(&w->error, "document_unreadable",
				  "The document was begun %d times and never read to its end: divide it, or save it "
				  "anew.",
				  WORK_ATTEMPTS);
			return begin_fail(w);
		}
		return w->media == MEDIA_PDF ? print(w) : begin_split(w);
	case WORK_PRINTING: return begin_split(w);
	case WORK_SPLITTING: return next_batch(w);
	case WORK_EMBEDDING: return save_batch(w);
	case WORK_STORING: w->done += w->batch; return next_batch(w);
	case WORK_FINISHING:
	case WORK_FAILING:
	case WORK_ENDED: return WORK_ENDED;
	}
	abort();
}

/* Every operation completes here: later, exactly once, on the loop's thread. */
static void work_on_done(struct work *w, int err)
{
	w->err = err;
	w->state = work_next(w);
	if (w->state == WORK_ENDED)
		w->on_ended(w);
}

void work_start(struct work *w)
{
	w->arena = arena_new();
	deadline_init(&w->again, on_again);
	w->state = WORK_LOADING;
	store(w, load);
}

void work_stop(struct work *w)
{
	if (w->is_stopped)
		return;
	w->is_stopped = true;
	if (w->state == WORK_PRINTING) {
		pdf_cancel(&w->pdf);
	} else if (w->state == WORK_EMBEDDING && *w->embedding) {
		embed_cancel(&w->embed);
	} else if (deadline_is_set(&w->again)) {
		deadline_clear(&w->again);
		work_on_done(w, -ECANCELED);
	}
}

void work_free(struct work *w)
{
	deadline_clear(&w->again);
	buf_deinit(&w->bytes);
	buf_deinit(&w->vectors);
	pdf_clear(&w->pdf);
	read_text_deinit(&w->text);
	free(w->pieces);
	arena_free(w->arena);
	free(w);
}
