#include "agent/attachments/store.h"

#include <errno.h>

#define PART_BYTES (512 * 1024)
#define PATHS_MAX 1000

int attachment_prepare(struct arena *a, struct str bytes, const char *name, struct attachment *ret, struct error *err)
{
	char *hash = arena_alloc(a, SHA256_HEX_SIZE);

	*ret = (struct attachment){.name = attachment_clean_name(a, name), .hash = hash, .bytes = bytes};
	if (attachment_sniff(bytes, ret->name, &ret->type, err) < 0)
		return -EINVAL;
	id_new(ret->id);
	sha256_hex(bytes.p, bytes.n, hash);
	ret->size = (int64_t)bytes.n;
	ret->created_at = clock_now_us();
	return 0;
}

/* ---- Rows ---- */

#define COLUMNS "a.id, a.hash, a.name, a.media_type, a.is_image, a.size, a.width, a.height, a.created_at"

static void read_row(struct db_stmt *st, int at, struct arena *a, struct attachment *ret)
{
	*ret = (struct attachment){
		.hash = db_col_dup(st, at + 1, a),
		.name = db_col_dup(st, at + 2, a),
		.type = {.media_type = db_col_dup(st, at + 3, a),
			 .is_image = db_col_int(st, at + 4) != 0,
			 .width = (uint32_t)db_col_int(st, at + 6),
			 .height = (uint32_t)db_col_int(st, at + 7)},
		.size = db_col_int(st, at + 5),
		.created_at = db_col_int(st, at + 8),
	};
	snprintf(ret->id, ID_SIZE, "%.*s", STR_ARG(db_col_str(st, at)));
}

static void add_side(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, uint32_t n)
{
	if (n)
		yyjson_mut_obj_add_uint(doc, obj, key, n);
	else
		yyjson_mut_obj_add_null(doc, obj, key);
}

void attachment_add_json(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct attachment *file)
{
	json_add_str(doc, obj, "id", file->id);
	json_add_str(doc, obj, "name", file->name);
	json_add_str(doc, obj, "media_type", file->type.media_type);
	json_add_str(doc, obj, "kind", file->type.is_image ? "image" : "text");
	yyjson_mut_obj_add_int(doc, obj, "size", file->size);
	add_side(doc, obj, "width", file->type.width);
	add_side(doc, obj, "height", file->type.height);
	json_add_str(doc, obj, "hash", file->hash);
	json_add_time(doc, obj, "created_at", file->created_at);
}

int attachment_find(struct db_conn *c, struct arena *a, const char *conversation_id, const char *id,
		    struct attachment *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select " COLUMNS " from attachments a where a.conversation_id = ? and a.id = ?",
			 DB_TEXT(conversation_id), DB_TEXT(id));
	int r = db_step(c, st);

	if (r == 1)
		read_row(st, 0, a, ret);
	return r;
}

int attachment_read_bytes(struct db_conn *c, const char *hash, struct buf *out)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select data from attachment_parts where hash = ? order by part", DB_TEXT(hash));
	int r, n = 0;

	while ((r = db_step(c, st)) == 1) {
		struct str part = db_col_str(st, 0);
		buf_add(out, part.p, part.n);
		n++;
	}
	return r < 0 ? r : n ? 0 : -ENOENT;
}

/* ---- Storing ---- */

static int find_same(struct db_conn *c, struct arena *a, const char *conversation_id, struct attachment *file)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c,
			 "select " COLUMNS " from attachments a where a.conversation_id = ? and a.hash = ? "
			 "and a.name = ?",
			 DB_TEXT(conversation_id), DB_TEXT(file->hash), DB_TEXT(file->name));
	int r = db_step(c, st);

	if (r == 1)
		read_row(st, 0, a, file);
	return r;
}

static int insert_parts(struct db_conn *c, const struct attachment *file)
{
	int64_t r = 0;

	for (size_t at = 0, part = 0; r >= 0 && at < file->bytes.n; at += PART_BYTES, part++)
		r = db_exec(c, "insert into attachment_parts (hash, part, data) values (?, ?, ?)", DB_TEXT(file->hash),
			    DB_INT((int64_t)part),
			    DB_BLOB(file->bytes.p + at, MIN(file->bytes.n - at, (size_t)PART_BYTES)));
	return (int)MIN(r, 0);
}

/* Whoever counts it first brings the bytes; the row's lock keeps the last one that goes from taking them away. */
static int insert_blob(struct db_conn *c, const struct attachment *file)
{
	int64_t refs, n = db_exec(c,
				  "insert into attachment_blobs (hash, size, refs) values (?, ?, 1) on conflict (hash) "
				  "do update set refs = attachment_blobs.refs + 1",
				  DB_TEXT(file->hash), DB_INT(file->size));
	int r = n < 0 ? (int)n
		      : db_get_int(c, &refs, "select refs from attachment_blobs where hash = ?", DB_TEXT(file->hash));

	return r < 0 ? r : refs == 1 ? insert_parts(c, file) : 0;
}

static int insert_row(struct db_conn *c, const char *conversation_id, const struct attachment *file)
{
	int64_t n =
		db_exec(c,
			"insert into attachments (conversation_id, id, hash, name, media_type, is_image, size, width, "
			"height, created_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			DB_TEXT(conversation_id), DB_TEXT(file->id), DB_TEXT(file->hash), DB_TEXT(file->name),
			DB_TEXT(file->type.media_type), DB_INT(file->type.is_image), DB_INT(file->size),
			DB_INT(file->type.width), DB_INT(file->type.height), DB_INT(file->created_at));

	if (n >= 0)
		n = db_exec(c, "update conversations set attachments = attachments + 1 where id = ?",
			    DB_TEXT(conversation_id));
	return (int)MIN(n, 0);
}

int attachment_store(struct db_conn *c, struct arena *a, const char *conversation_id, int64_t max_total,
		     struct attachment *file)
{
	int64_t total;
	int r = find_same(c, a, conversation_id, file);

	if (r != 0)
		return r < 0 ? r : ATTACHMENT_KNOWN;
	r = db_get_int(c, &total, "select coalesce(sum(size), 0) from attachments where conversation_id = ?",
		       DB_TEXT(conversation_id));
	if (r >= 0 && total + file->size > max_total)
		return ATTACHMENT_FULL;
	if (r >= 0)
		r = insert_blob(c, file);
	return r < 0 ? r : insert_row(c, conversation_id, file);
}

int attachment_link(struct db_conn *c, const char *conversation_id, const char *message_id, int position,
		    const char *attachment_id)
{
	int64_t n = db_exec(c,
			    "insert into message_attachments (conversation_id, message_id, position, attachment_id) "
			    "select conversation_id, ?, ?, id from attachments where conversation_id = ? and id = ?",
			    DB_TEXT(message_id), DB_INT(position), DB_TEXT(conversation_id), DB_TEXT(attachment_id));

	return (int)n;
}

/* ---- Removing ---- */

static int drop(struct db_conn *c, const char *conversation_id, const char *id, const char *hash)
{
	int64_t n = db_exec(c, "delete from attachments where conversation_id = ? and id = ?", DB_TEXT(conversation_id),
			    DB_TEXT(id));

	if (n == 1)
		n = db_exec(c, "update conversations set attachments = attachments - 1 where id = ?",
			    DB_TEXT(conversation_id));
	if (n >= 0)
		n = db_exec(c, "update attachment_blobs set refs = refs - 1 where hash = ?", DB_TEXT(hash));
	if (n >= 0)
		n = db_exec(c,
			    "delete from attachment_parts where hash = ? and not exists (select 1 from "
			    "attachment_blobs b where b.hash = attachment_parts.hash and b.refs > 0)",
			    DB_TEXT(hash));
	if (n >= 0)
		n = db_exec(c, "delete from attachment_blobs where hash = ? and refs <= 0", DB_TEXT(hash));
	return (int)MIN(n, 0);
}

struct unsent {
	char id[ID_SIZE], hash[SHA256_HEX_SIZE];
};

#define UNSENT_MAX 50

int attachments_drop_unsent(struct db_conn *c, const char *conversation_id, const char *id, int64_t before)
{
	struct unsent list[UNSENT_MAX];
	struct db_stmt *st =
		db_query(c,
			 "select id, hash from attachments a where conversation_id = ? and created_at < ? and (id = ? "
			 "or ? = '') and not exists (select 1 from message_attachments m where m.conversation_id = "
			 "a.conversation_id and m.attachment_id = a.id) limit ?",
			 DB_TEXT(conversation_id), DB_INT(before), DB_TEXT(id ? id : ""), DB_TEXT(id ? id : ""),
			 DB_INT(UNSENT_MAX));
	int r, n = 0;

	while ((r = db_step(c, st)) == 1) {
		snprintf(list[n].id, ID_SIZE, "%.*s", STR_ARG(db_col_str(st, 0)));
		snprintf(list[n++].hash, SHA256_HEX_SIZE, "%.*s", STR_ARG(db_col_str(st, 1)));
	}
	db_done(st);
	for (int i = 0; r >= 0 && i < n; i++)
		r = drop(c, conversation_id, list[i].id, list[i].hash);
	return r < 0 ? r : n;
}

int attachments_unlink_execution(struct db_conn *c, const char *conversation_id, const char *execution_id)
{
	return error_only(db_exec(
		c,
		"delete from message_attachments where conversation_id = ? and (message_id in (select id from "
		"messages where conversation_id = ? and execution_id = ?) or message_id in (select id from "
		"queued_messages where execution_id = ?))",
		DB_TEXT(conversation_id), DB_TEXT(conversation_id), DB_TEXT(execution_id), DB_TEXT(execution_id)));
}

/* The bytes of those that nobody else has go with them. */
int attachments_erase(struct db_conn *c, const char *conversation_id)
{
	static const char *const statements[] = {
		"update attachment_blobs set refs = refs - (select count(*) from attachments a where a.hash = "
		"attachment_blobs.hash and a.conversation_id = ?) where hash in (select hash from attachments where "
		"conversation_id = ?)",
		"delete from attachment_parts where hash in (select b.hash from attachment_blobs b where b.refs <= 0 "
		"and b.hash in (select hash from attachments where conversation_id = ? or conversation_id = ?))",
		"delete from attachment_blobs where refs <= 0 and hash in (select hash from attachments where "
		"conversation_id = ? or conversation_id = ?)",
		"delete from message_attachments where conversation_id = ? or conversation_id = ?",
		"delete from attachments where conversation_id = ? or conversation_id = ?",
	};
	int64_t n = 0, has;
	int r = db_get_int(c, &has, "select attachments from conversations where id = ?", DB_TEXT(conversation_id));

	if (r <= 0 || has == 0)
		return MIN(r, 0);
	for (size_t i = 0; n >= 0 && i < ARRAY_SIZE(statements); i++)
		n = db_exec(c, statements[i], DB_TEXT(conversation_id), DB_TEXT(conversation_id));
	return (int)MIN(n, 0);
}

/* ---- Forks ---- */

static int copy_rows(struct db_conn *c, const char *from, const char *to, const char *execution_id)
{
	int64_t n = db_exec(c,
			    "insert into message_attachments (conversation_id, message_id, position, attachment_id) "
			    "select ?, m.message_id, m.position, m.attachment_id from message_attachments m join "
			    "messages x on x.conversation_id = ? and x.id = m.message_id where m.conversation_id = ?",
			    DB_TEXT(to), DB_TEXT(to), DB_TEXT(from));

	if (n >= 0)
		n = db_exec(
			c,
			"insert into attachments (conversation_id, id, hash, name, media_type, is_image, size, width, "
			"height, created_at) select ?, id, hash, name, media_type, is_image, size, width, height, "
			"created_at from attachments where conversation_id = ? and id in (select attachment_id from "
			"message_attachments where conversation_id = ?) or (conversation_id = ? and id in (select "
			"m.attachment_id from message_attachments m join messages x on x.conversation_id = "
			"m.conversation_id and x.id = m.message_id where m.conversation_id = ? and x.execution_id = "
			"?))",
			DB_TEXT(to), DB_TEXT(from), DB_TEXT(to), DB_TEXT(from), DB_TEXT(from), DB_TEXT(execution_id));
	return (int)MIN(n, 0);
}

int attachments_fork(struct db_conn *c, const char *from, const char *to, const char *execution_id)
{
	int64_t has, n, counted;
	int r = db_get_int(c, &has, "select attachments from conversations where id = ?", DB_TEXT(from));

	if (r <= 0 || has == 0)
		return MIN(r, 0);
	r = copy_rows(c, from, to, execution_id);
	if (r < 0)
		return r;
	counted = db_exec(c,
			  "update attachment_blobs set refs = refs + (select count(*) from attachments a where a.hash "
			  "= attachment_blobs.hash and a.conversation_id = ?) where hash in (select hash from "
			  "attachments where conversation_id = ?)",
			  DB_TEXT(to), DB_TEXT(to));
	if (counted < 0)
		return (int)counted;
	r = db_get_int(c, &n, "select count(distinct hash) from attachments where conversation_id = ?", DB_TEXT(to));
	if (r < 0)
		return r;
	/* The conversation was deleted meanwhile. */
	if (n != counted)
		return -EDEADLK;
	return error_only(db_exec(c,
				  "update conversations set attachments = (select count(*) from attachments where "
				  "conversation_id = ?) where id = ?",
				  DB_TEXT(to), DB_TEXT(to)));
}

/* ---- Of messages ---- */

int attachments_list(struct db_conn *c, struct arena *a, const char *conversation_id, int64_t after, int64_t up_to,
		     int max, struct attachment_of **ret)
{
	struct attachment_of *list;
	int64_t has;
	int r = db_get_int(c, &has, "select attachments from conversations where id = ?", DB_TEXT(conversation_id)),
	    n = 0;

	if (r <= 0 || has == 0)
		return MIN(r, 0);
	list = *ret = arena_alloc(a, (size_t)max * sizeof(*list));
	struct db_stmt *st =
		db_query(c,
			 "select m.message_id, x.seq, " COLUMNS " from message_attachments m join messages x "
			 "on x.conversation_id = m.conversation_id and x.id = m.message_id join attachments a "
			 "on a.conversation_id = m.conversation_id and a.id = m.attachment_id where "
			 "m.conversation_id = ? and x.seq > ? and x.seq <= ? order by x.seq desc, m.position "
			 "limit ?",
			 DB_TEXT(conversation_id), DB_INT(after), DB_INT(up_to), DB_INT(max));
	while ((r = db_step(c, st)) == 1) {
		list[n].message_id = db_col_dup(st, 0, a);
		list[n].message_seq = db_col_int(st, 1);
		read_row(st, 2, a, &list[n++].file);
	}
	db_done(st);
	return r < 0 ? r : n;
}
