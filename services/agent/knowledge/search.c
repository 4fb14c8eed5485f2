#include "agent/knowledge/search.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/handlers.h"
#include "agent/knowledge/blocks.h"
#include "agent/knowledge/hashed.h"
#include "agent/knowledge/vector.h"
#include "agent/knowledge/words.h"
#include "base/alloc.h"
#include "base/encode.h"

#define LIST_MAX 60 /* of each kind */
#define FUSION 60.0
#define TERMS_MAX 24
#define PREFIX_FROM 5 /* letters */
/* FTS5's best of all collections, of which those of the wanted ones are kept: more when they are too few. */
#define WORDS_FIRST 240
#define WORDS_MOST 60000

/* One piece that some list has. */
struct candidate {
	const char *document_id;
	int64_t claim, number;
	int word_rank, vector_rank;
	double score;
};

struct candidates {
	struct arena *arena;
	struct candidate *items;
	size_t n, cap;
};

void citation_id(const char *document_id, int64_t number, char ret[static CITATION_ID_SIZE])
{
	static const char letters[] = "0123456789abcdefghjkmnpqrstvwxyz";
	uint8_t hash[SHA256_SIZE];
	char text[ID_SIZE + 24];
	uint64_t bits = 0;

	snprintf(text, sizeof(text), "%s:%lld", document_id, (long long)number);
	sha256(text, strlen(text), hash);
	for (size_t i = 0; i < 5; i++)
		bits = bits << 8 | hash[i];
	memcpy(ret, "k-", 2);
	for (size_t i = 0; i < 8; i++)
		ret[2 + i] = letters[bits >> (35 - 5 * i) & 31];
	ret[CITATION_ID_SIZE - 1] = '\0';
}

/* ---- The lists ---- */

static struct candidate *candidate(struct candidates *all, const char *document_id, int64_t claim, int64_t number)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->items[i].number == number && strcmp(all->items[i].document_id, document_id) == 0)
			return &all->items[i];
	if (all->n == all->cap) {
		size_t cap = all->cap ? all->cap * 2 : 128;
		struct candidate *more = arena_alloc(all->arena, cap * sizeof(*more));
		if (all->n)
			memcpy(more, all->items, all->n * sizeof(*more));
		all->items = more;
		all->cap = cap;
	}
	struct candidate *c = &all->items[all->n++];
	*c = (struct candidate){arena_strdup(all->arena, document_id), claim, number};
	return c;
}

/* ---- Words ---- */

static bool has_word(const struct str *words, size_t n, struct str word)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(words[i], word))
			return true;
	return false;
}

/* The words of the question, each once; those that say little only when there are no others. */
static size_t read_terms(struct arena *a, const char *query, const char *language, struct str *ret)
{
	for (int pass = 0; pass < 2; pass++) {
		struct words w;
		struct str word;
		size_t n = 0;
		words_init(&w, str_of(query));
		while (n < TERMS_MAX && words_next(&w, &word))
			if ((pass || !word_is_common(word, language)) && !has_word(ret, n, word))
				ret[n++] = arena_str(a, word);
		if (n > 0)
			return n;
	}
	return 0;
}

/* Without a stemmer for the language, a longer word stands for all that begin with it. */
static bool is_prefix(struct str word, const char *language, bool is_sqlite)
{
	bool is_stemmed = strcmp(language, "english") == 0 || (!is_sqlite && strcmp(language, "simple") != 0);

	return !is_stemmed && word.n >= PREFIX_FROM && (unsigned char)*word.p < 0x80;
}

/* "one" OR "two"* for FTS5; 'one' | 'two':* for PostgreSQL. Words are letters and digits alone. */
static const char *write_match(struct arena *a, const char *query, const char *language, bool is_sqlite)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	struct str terms[TERMS_MAX];
	size_t n = read_terms(a, query, language, terms);
	char quote = is_sqlite ? '"' : '\'';

	for (size_t i = 0; i < n; i++) {
		buf_printf(&out, "%s%c%.*s%c", i ? is_sqlite ? " OR " : " | " : "", quote, STR_ARG(terms[i]), quote);
		if (is_prefix(terms[i], language, is_sqlite))
			buf_add_str(&out, is_sqlite ? "*" : ":*");
	}
	return n ? arena_strndup(a, out.p, out.n) : NULL;
}

#define FROM_FTS(table)                                                                                          \
	"select p.document_id, p.claim, p.number from (select rowid as id, rank as score from " table            \
	" where words match ? order by rank limit ?) w join knowledge_pieces p on p.id = w.id join "             \
	"knowledge_documents d on d.id = p.document_id and d.live = p.claim where d.collection_id = ? order by " \
	"w.score, p.id limit ?"

static struct db_stmt *query_words(struct db_conn *c, const struct collection_row *row, const char *match,
				   int64_t depth, bool is_sqlite)
{
	if (!is_sqlite)
		return db_query(
			c,
			"select p.document_id, p.claim, p.number from knowledge_pieces p join knowledge_documents d on "
			"d.id = p.document_id and d.live = p.claim, to_tsquery(cast(cast(? as text) as regconfig), ?) "
			"q "
			"where p.words @@ q and d.collection_id = ? order by ts_rank(p.words, q, 1) desc, p.id limit ?",
			DB_TEXT(row->language), DB_TEXT(match), DB_TEXT(row->id), DB_INT(LIST_MAX));
	if (strcmp(row->language, "english") == 0)
		return db_query(c, FROM_FTS("knowledge_words_english"), DB_TEXT(match), DB_INT(depth), DB_TEXT(row->id),
				DB_INT(LIST_MAX));
	return db_query(c, FROM_FTS("knowledge_words"), DB_TEXT(match), DB_INT(depth), DB_TEXT(row->id),
			DB_INT(LIST_MAX));
}

/* Returns how many were found, or -errno. */
static int find_words_at(struct db_conn *c, const struct collection_row *row, const char *match, int64_t depth,
			 struct candidates *all)
{
	bool is_sqlite = strcmp(db_dialect(c), "sqlite") == 0;
	struct db_stmt *st = query_words(c, row, match, depth, is_sqlite);
	int rank = 0, r;

	while ((r = db_step(c, st)) == 1) {
		struct candidate *k =
			candidate(all, db_col_dup(st, 0, all->arena), db_col_int(st, 1), db_col_int(st, 2));
		k->word_rank = ++rank;
	}
	db_done(st);
	return r < 0 ? r : rank;
}

static int find_words(struct db_conn *c, const struct search *s, const struct collection_row *row,
		      struct candidates *all)
{
	bool is_sqlite = strcmp(db_dialect(c), "sqlite") == 0;
	const char *match = write_match(all->arena, s->query, row->language, is_sqlite);
	int r = 0;

	if (!match)
		return 0;
	for (int64_t depth = WORDS_FIRST; depth <= WORDS_MOST; depth *= 16) {
		r = find_words_at(c, row, match, depth, all);
		if (r < 0 || r >= LIST_MAX / 2 || !is_sqlite)
			break;
	}
	return MIN(r, 0);
}

/* ---- Vectors ---- */

struct document {
	const char *id;
	int64_t claim;
};

static int list_documents(struct db_conn *c, struct arena *a, const struct collection_row *row, struct document **ret,
			  size_t *ret_n)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(
		c, "select id, live from knowledge_documents where collection_id = ? and live > 0 and embedding = ?",
		DB_TEXT(row->id), DB_TEXT(row->embedding));
	struct document *list = NULL;
	size_t n = 0, cap = 0;
	int r;

	while ((r = db_step(c, st)) == 1) {
		if (n == cap) {
			struct document *more = arena_alloc(a, (cap = cap ? cap * 2 : 64) * sizeof(*more));
			if (n)
				memcpy(more, list, n * sizeof(*more));
			list = more;
		}
		list[n++] = (struct document){db_col_dup(st, 0, a), db_col_int(st, 1)};
	}
	*ret = list;
	*ret_n = n;
	return r;
}

static int scan(struct db_conn *c, const struct search *s, size_t nth, const struct document *d,
		struct vector_best *best)
{
	struct blocks *blocks = knowledge_blocks(s->agent->knowledge);
	const struct block *b;
	int r = blocks_get(blocks, c, d->id, d->claim, &b);

	if (r < 0)
		return r;
	if (b->dimension == s->questions[nth].dimension)
		vector_scan(s->questions[nth].row, s->questions[nth].scale, b->rows, b->scales, b->n,
			    vector_stride(b->dimension), d, best);
	blocks_release(blocks, b);
	return 0;
}

static int find_vectors(struct db_conn *c, const struct search *s, size_t nth, struct candidates *all)
{
	struct vector_hit hits[LIST_MAX];
	struct vector_best best = {hits, 0, LIST_MAX};
	struct document *list;
	size_t n;
	int r;

	if (!s->questions[nth].row)
		return 0;
	r = list_documents(c, all->arena, &s->rows[nth], &list, &n);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = scan(c, s, nth, &list[i], &best);
	vector_best_sort(&best);
	for (size_t i = 0; r == 0 && i < best.n; i++) {
		const struct document *d = best.hits[i].block;
		candidate(all, d->id, d->claim, best.hits[i].row)->vector_rank = (int)i + 1;
	}
	return r;
}

/* ---- Both ---- */

static int compare(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->score != y->score)
		return x->score < y->score ? 1 : -1;
	int r = strcmp(x->document_id, y->document_id);
	return r ? r : (x->number > y->number) - (x->number < y->number);
}

static double part(int rank)
{
	return rank ? 1 / (FUSION + rank) : 0;
}

static int read_passage(struct db_conn *c, struct search *s, const struct collection_row *row,
			const struct candidate *k, struct passage *ret)
{
	struct arena *a = s->arena;
	_cleanup_(db_done_p) struct db_stmt *st = db_query(
		c,
		"select d.name, d.title, p.heading, p.text, p.page, p.start_at, p.end_at from knowledge_pieces p join "
		"knowledge_documents d on d.id = p.document_id where p.document_id = ? and p.claim = ? and p.number = "
		"?",
		DB_TEXT(k->document_id), DB_INT(k->claim), DB_INT(k->number));
	int r = db_step(c, st);

	if (r < 1)
		return r;
	*ret = (struct passage){
		.document_id = k->document_id,
		.document = db_col_dup(st, 0, a),
		.title = db_col_dup(st, 1, a),
		.collection_id = row->id,
		.collection = row->name,
		.heading = db_col_dup(st, 2, a),
		.text = db_col_dup(st, 3, a),
		.number = k->number,
		.page = db_col_int(st, 4),
		.start = db_col_int(st, 5),
		.end = db_col_int(st, 6),
		.score = k->score,
		.word_rank = k->word_rank,
		.vector_rank = k->vector_rank,
	};
	citation_id(k->document_id, k->number, ret->id);
	return 1;
}

static int find_in(struct db_conn *c, struct search *s, size_t nth, struct passage *to, size_t *n)
{
	struct candidates all = {.arena = s->arena};
	int r = 0;

	if (s->mode != SEARCH_VECTORS)
		r = find_words(c, s, &s->rows[nth], &all);
	if (r == 0 && s->mode != SEARCH_WORDS)
		r = find_vectors(c, s, nth, &all);
	for (size_t i = 0; i < all.n; i++)
		all.items[i].score = part(all.items[i].word_rank) + part(all.items[i].vector_rank);
	if (all.n)
		qsort(all.items, all.n, sizeof(*all.items), compare);
	for (size_t i = 0; r >= 0 && i < MIN(all.n, (size_t)s->limit); i++) {
		r = read_passage(c, s, &s->rows[nth], &all.items[i], &to[*n]);
		*n += r == 1;
	}
	return MIN(r, 0);
}

static int by_score(const void *a, const void *b)
{
	const struct passage *x = a, *y = b;

	return x->score < y->score ? 1 : x->score > y->score ? -1 : strcmp(x->id, y->id);
}

static int find_all(struct db_conn *c, struct db_job *job)
{
	struct search *s = container_of(job, struct search, db);
	size_t n = 0;
	int r = 0;

	s->passages = arena_alloc(s->arena, (s->n_rows * (size_t)s->limit + 1) * sizeof(*s->passages));
	for (size_t i = 0; r == 0 && i < s->n_rows; i++)
		r = find_in(c, s, i, s->passages, &n);
	qsort(s->passages, n, sizeof(*s->passages), by_score);
	s->n = MIN(n, (size_t)s->limit);
	return r;
}

/* ---- The flow ---- */

static bool is_wanted(const struct search *s, const char *id)
{
	for (size_t i = 0; i < s->n_collections; i++)
		if (strcmp(s->collections[i], id) == 0)
			return true;
	return s->n_collections == 0;
}

static int look(struct db_conn *c, struct db_job *job)
{
	struct search *s = container_of(job, struct search, db);
	struct collection_row row;
	struct db_stmt *st;
	int r;

	s->n_rows = 0;
	s->rows = arena_alloc(s->arena, KNOWLEDGE_COLLECTIONS_MAX * sizeof(*s->rows));
	st = db_query(c,
		      "select " COLLECTION_COLUMNS
		      " from knowledge_collections c where c.owner_id = ? or c.is_shared = 1 "
		      "or ? = 1 order by c.id desc",
		      DB_TEXT(s->user_id), DB_INT(s->sees_all));
	while ((r = db_step(c, st)) == 1 && s->n_rows < KNOWLEDGE_COLLECTIONS_MAX) {
		collection_read_row(st, s->arena, &row);
		if (is_wanted(s, row.id))
			s->rows[s->n_rows++] = row;
	}
	db_done(st);
	return MIN(r, 0);
}

static void next(struct search *s, int err);

static void on_read(struct db_job *job, int result)
{
	next(container_of(job, struct search, db), result);
}

static void read_job(struct search *s, enum search_state state, int (*run)(struct db_conn *c, struct db_job *job))
{
	s->state = state;
	s->db = (struct db_job){.run = run, .done = on_read};
	db_read(s->agent->db, &s->db);
}

static void set_question(struct search *s, size_t nth, const float *vector, size_t dimension)
{
	s->questions[nth].row = arena_alloc(s->arena, vector_stride(dimension));
	s->questions[nth].scale = vector_pack(vector, dimension, s->questions[nth].row);
	s->questions[nth].dimension = dimension;
	if (s->questions[nth].scale <= 0)
		s->questions[nth].row = NULL;
}

static void on_embedded(struct embed *e, int err)
{
	struct search *s = e->owner;

	for (size_t i = s->nth; err == 0 && i < s->n_rows; i++)
		if (strcmp(s->rows[i].embedding, e->model) == 0)
			set_question(s, i, e->vectors, e->dimension);
	if (err == -EIO)
		s->warning = arena_printf(s->arena, "Only words were searched for in %s: %s", s->rows[s->nth].name,
					  e->error.message);
	embed_clear(e);
	s->nth++;
	next(s, err == -EIO ? 0 : err);
}

/* The next collection whose model has not been asked yet. Returns whether one is. */
static bool ask_model(struct search *s)
{
	float vector[HASHED_DIMENSION];

	for (; s->mode != SEARCH_WORDS && s->nth < s->n_rows; s->nth++) {
		const struct collection_row *row = &s->rows[s->nth];
		if (s->questions[s->nth].row)
			continue;
		if (!*row->embedding) {
			hashed_vector(s->text, vector);
			set_question(s, s->nth, vector, HASHED_DIMENSION);
			continue;
		}
		s->state = SEARCH_ASKING;
		s->embed = (struct embed){
			.agent = s->agent,
			.model = row->embedding,
			.user_id = row->owner_id,
			.texts = &s->text,
			.n = 1,
			.owner = s,
			.on_done = on_embedded,
		};
		embed_start(&s->embed);
		return true;
	}
	return false;
}

/* The whole flow. */
static void next(struct search *s, int err)
{
	if (err < 0 || s->is_cancelled || s->state == SEARCH_FINDING) {
		s->on_done(s, s->is_cancelled ? -ECANCELED : err);
		return;
	}
	if (!ask_model(s))
		read_job(s, SEARCH_FINDING, find_all);
}

void search_start(struct search *s)
{
	s->arena = arena_new();
	s->text = str_of(s->query);
	read_job(s, SEARCH_LOOKING, look);
}

void search_cancel(struct search *s)
{
	s->is_cancelled = true;
	if (s->state == SEARCH_ASKING)
		embed_cancel(&s->embed);
}

void search_clear(struct search *s)
{
	arena_free(s->arena);
	s->arena = NULL;
}

/* ---- POST /api/knowledge/search ---- */

static void add_rank(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, int64_t n)
{
	if (n > 0)
		yyjson_mut_obj_add_int(doc, obj, key, n);
	else
		yyjson_mut_obj_add_null(doc, obj, key);
}

void passage_write(const struct passage *p, yyjson_mut_doc *doc, yyjson_mut_val *obj)
{
	json_add_str(doc, obj, "id", p->id);
	json_add_str(doc, obj, "document_id", p->document_id);
	json_add_str(doc, obj, "document", p->document);
	json_add_str(doc, obj, "title", p->title);
	json_add_str(doc, obj, "collection_id", p->collection_id);
	json_add_str(doc, obj, "collection", p->collection);
	yyjson_mut_obj_add_int(doc, obj, "piece", p->number);
	add_rank(doc, obj, "page", p->page);
	json_add_str(doc, obj, "heading", p->heading);
	yyjson_mut_obj_add_int(doc, obj, "start", p->start);
	yyjson_mut_obj_add_int(doc, obj, "end", p->end);
	json_add_str(doc, obj, "text", p->text);
}

struct asking {
	struct search search;
	struct background background;
	struct exchange *x;
};

static void reply(struct asking *k)
{
	struct exchange *x = k->x;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items"), *item;

	for (size_t i = 0; i < k->search.n; i++) {
		const struct passage *p = &k->search.passages[i];
		item = yyjson_mut_arr_add_obj(doc, items);
		passage_write(p, doc, item);
		yyjson_mut_obj_add_real(doc, item, "score", p->score);
		add_rank(doc, item, "word_rank", p->word_rank);
		add_rank(doc, item, "vector_rank", p->vector_rank);
	}
	json_add_str(doc, obj, "warning", k->search.warning);
	reply_json(x, 200, doc);
}

static void on_found(struct search *s, int err)
{
	struct asking *k = container_of(s, struct asking, search);

	if (err == 0 && k->x->req)
		reply(k);
	else if (err != -ECANCELED && err < 0)
		reply_db_failure(k->x, err);
	list_remove(&k->background.link);
	search_clear(s);
	exchange_drop(k->x);
	free(k);
}

static void leave(struct background *b)
{
	search_cancel(&container_of(b, struct asking, background)->search);
}

static const struct json_field fields[] = {
	{"query", JSON_STRING, true, 1, SEARCH_QUERY_MAX},
	{"collections", JSON_ARRAY, false, 0, KNOWLEDGE_COLLECTIONS_MAX},
	{"limit", JSON_INT, false, 1, SEARCH_LIMIT_MAX},
	{"mode", JSON_STRING, false, 1, 10},
};

static bool read_mode(const char *name, enum search_mode *ret)
{
	static const char *const names[] = {"hybrid", "words", "vectors"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i], name) == 0) {
			*ret = (enum search_mode)i;
			return true;
		}
	return false;
}

static const char *const *read_collections(struct exchange *x, size_t *n)
{
	yyjson_val *list = json_get_arr(x->body, "collections"), *item;
	const char **ret = arena_alloc(x->arena, (yyjson_arr_size(list) + 1) * sizeof(*ret));
	size_t i, max;

	*n = 0;
	yyjson_arr_foreach(list, i, max, item) ret[(*n)++] = yyjson_is_str(item) ? yyjson_get_str(item) : "";
	return ret;
}

void knowledge_search(struct exchange *x)
{
	struct agent *agent = x->self;
	struct error err = {0};
	enum search_mode mode = SEARCH_HYBRID;
	struct asking *k;

	if (json_check(x->body, fields, ARRAY_SIZE(fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	if (!read_mode(json_get_str(x->body, "mode", "hybrid"), &mode)) {
		reply_problem(x, 422, "invalid_field", "\"mode\" is hybrid, words or vectors.");
		return;
	}
	k = xcalloc(1, sizeof(*k));
	k->x = x;
	k->background.leave = leave;
	list_append(&agent->background, &k->background.link);
	exchange_hold(x);
	k->search = (struct search){
		.agent = agent,
		.user_id = x->who.user_id,
		.sees_all = identity_may(&x->who, "knowledge.manage"),
		.query = json_get_str(x->body, "query", ""),
		.limit = json_get_int(x->body, "limit", 8),
		.mode = mode,
		.on_done = on_found,
	};
	k->search.collections = read_collections(x, &k->search.n_collections);
	search_start(&k->search);
}
