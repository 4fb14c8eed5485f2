#include "agent/knowledge/store.h"

#include <errno.h>

#include "agent/knowledge/knowledge.h"
#include "agent/knowledge/words.h"

static bool is_sqlite(const struct db_conn *c)
{
	return strcmp(db_dialect(c), "sqlite") == 0;
}

int pieces_delete(struct db_conn *c, const char *document_id, int64_t but_claim)
{
	int64_t n = 0;

	if (is_sqlite(c))
		n = db_exec(c,
			    "delete from knowledge_words where rowid in (select id from knowledge_pieces where "
			    "document_id = ? and claim <> ?)",
			    DB_TEXT(document_id), DB_INT(but_claim));
	if (n >= 0 && is_sqlite(c))
		n = db_exec(c,
			    "delete from knowledge_words_english where rowid in (select id from knowledge_pieces where "
			    "document_id = ? and claim <> ?)",
			    DB_TEXT(document_id), DB_INT(but_claim));
	if (n >= 0)
		n = db_exec(c, "delete from knowledge_pieces where document_id = ? and claim <> ?",
			    DB_TEXT(document_id), DB_INT(but_claim));
	if (n >= 0)
		n = db_exec(c, "delete from knowledge_vectors where document_id = ? and claim <> ?",
			    DB_TEXT(document_id), DB_INT(but_claim));
	return (int)MIN(n, 0);
}

#define COLUMNS "document_id, claim, number, page, heading, start_at, end_at, tokens, text"
#define VALUES(p)                                                                                                   \
	DB_TEXT(of->document_id), DB_INT(of->claim), DB_INT((p)->number), DB_INT((p)->page), DB_TEXT((p)->heading), \
		DB_INT((p)->start), DB_INT((p)->end), DB_INT((p)->tokens), DB_STR((p)->text)

static int insert_sqlite(struct db_conn *c, const struct piece_context *of, const struct piece *p, struct str words)
{
	struct db_stmt *st = db_query(
		c, "insert into knowledge_pieces (" COLUMNS ") values (?, ?, ?, ?, ?, ?, ?, ?, ?) returning id",
		VALUES(p));
	int r = db_step(c, st);
	int64_t id = r == 1 ? db_col_int(st, 0) : 0;

	db_done(st);
	if (r < 1)
		return MIN(r, -EIO);
	if (strcmp(of->language, "english") == 0)
		return error_only(db_exec(c, "insert into knowledge_words_english (rowid, words) values (?, ?)",
					  DB_INT(id), DB_STR(words)));
	return error_only(
		db_exec(c, "insert into knowledge_words (rowid, words) values (?, ?)", DB_INT(id), DB_STR(words)));
}

static int insert_server(struct db_conn *c, const struct piece_context *of, const struct piece *p, struct str words)
{
	return error_only(db_exec(c,
				  "insert into knowledge_pieces (" COLUMNS
				  ", words) values (?, ?, ?, ?, ?, ?, ?, ?, ?, "
				  "to_tsvector(cast(cast(? as text) as regconfig), ?))",
				  VALUES(p), DB_TEXT(of->language), DB_STR(words)));
}

/* A piece is found by its document's title and its headings too. */
int pieces_insert(struct db_conn *c, const struct piece_context *of, const struct piece *pieces, size_t n)
{
	_cleanup_(buf_deinit) struct buf words = BUF_INIT;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		buf_clear(&words);
		words_write(str_of(of->title), &words);
		buf_add_char(&words, ' ');
		words_write(str_of(pieces[i].heading), &words);
		buf_add_char(&words, ' ');
		words_write(pieces[i].text, &words);
		r = is_sqlite(c) ? insert_sqlite(c, of, &pieces[i], buf_str(&words))
				 : insert_server(c, of, &pieces[i], buf_str(&words));
	}
	return r;
}

int vectors_insert(struct db_conn *c, const struct piece_context *of, int64_t first, size_t n, size_t dimension,
		   struct str data)
{
	return error_only(
		db_exec(c,
			"insert into knowledge_vectors (document_id, claim, first, n, dimension, data) values (?, ?, "
			"?, ?, ?, ?)",
			DB_TEXT(of->document_id), DB_INT(of->claim), DB_INT(first), DB_INT((int64_t)n),
			DB_INT((int64_t)dimension), DB_BLOB(data.p, data.n)));
}
