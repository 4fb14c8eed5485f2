#include "base/clock.h"
#include "link.h"

#define KEEP_US (30 * 24 * 3600 * INT64_C(1000000)) /* after its end, so that a late use is told what happened */
#define SWEEP_EVERY 64                              /* new links, on average */

static int sweep(struct db_conn *c, int64_t now)
{
	int64_t r = 0;

	if (!randombytes_uniform(SWEEP_EVERY))
		r = db_exec(c, "delete from links where expires_at < ?", DB_INT(now - KEEP_US));
	return (int)MIN(r, 0);
}

int link_add(struct db_conn *c, struct arena *a, struct link_row *link, int64_t life_us)
{
	char id[ID_SIZE];
	int64_t r;

	id_new(id);
	link->id = arena_strdup(a, id);
	link->created_at = clock_now_us();
	link->expires_at = link->created_at + life_us;
	r = db_exec(c,
		    "insert into links (id, kind, user_id, email, email_key, name, password_hash, roles, created_by, "
		    "created_at, expires_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		    DB_TEXT(link->id), DB_TEXT(link->kind), DB_TEXT(link->user_id), DB_TEXT(link->email),
		    DB_TEXT(link->email_key), DB_TEXT(link->name), DB_TEXT(link->password_hash), DB_TEXT(link->roles),
		    DB_TEXT(link->created_by), DB_INT(link->created_at), DB_INT(link->expires_at));
	return r < 0 ? (int)r : sweep(c, link->created_at);
}

int link_find(struct db_conn *c, struct arena *a, const char *id, const char *kind, struct link_row *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(
		c,
		"select id, kind, user_id, email, email_key, name, password_hash, roles, created_by, created_at, "
		"expires_at from links where id = ? and used_at is null and withdrawn_at is null and "
		"expires_at > ?",
		DB_TEXT(id), DB_INT(clock_now_us()));
	int r = db_step(c, st);

	if (r != 1)
		return r;
	*ret = (struct link_row){
		.id = db_col_dup(st, 0, a),
		.kind = db_col_dup(st, 1, a),
		.user_id = db_col_dup(st, 2, a),
		.email = db_col_dup(st, 3, a),
		.email_key = db_col_dup(st, 4, a),
		.name = db_col_dup(st, 5, a),
		.password_hash = db_col_dup(st, 6, a),
		.roles = db_col_dup(st, 7, a),
		.created_by = db_col_dup(st, 8, a),
		.created_at = db_col_int(st, 9),
		.expires_at = db_col_int(st, 10),
	};
	return !kind || !strcmp(kind, ret->kind);
}

int link_use(struct db_conn *c, const char *id)
{
	int64_t now = clock_now_us();

	return (int)db_exec(c,
			    "update links set used_at = ?, password_hash = null where id = ? and used_at is null and "
			    "withdrawn_at is null and expires_at > ?",
			    DB_INT(now), DB_TEXT(id), DB_INT(now));
}

int links_withdraw(struct db_conn *c, const char *kind, const char *user_id)
{
	int64_t r =
		db_exec(c,
			"update links set withdrawn_at = ?, password_hash = null where kind = ? and user_id = ? and "
			"used_at is null and withdrawn_at is null",
			DB_INT(clock_now_us()), DB_TEXT(kind), DB_TEXT(user_id));

	return (int)MIN(r, 0);
}

int link_withdraw(struct db_conn *c, const char *id)
{
	int64_t r = db_exec(c,
			    "update links set withdrawn_at = ?, password_hash = null where id = ? and used_at is null "
			    "and withdrawn_at is null",
			    DB_INT(clock_now_us()), DB_TEXT(id));

	return (int)r;
}
