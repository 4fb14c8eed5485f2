#include "service/internal.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"

#define KEEP_US (24 * 3600 * INT64_C(1000000))
#define SWEEP_EVERY 256 /* new keys, on average, for one removal of old ones */

static const char *user_of(const struct exchange *x)
{
	return x->who.user_id ? x->who.user_id : "";
}

/* Old keys go now and then, in the transaction of a new one. */
static int sweep(struct db_conn *c, int64_t now)
{
	if (randombytes_uniform(SWEEP_EVERY))
		return 0;
	int64_t n = db_exec(c, "delete from idempotency_keys where created_at < ?", DB_INT(now - KEEP_US));
	return n < 0 ? (int)n : 0;
}

/* Takes the key before anything is done, so that of two requests at the same time the later one waits for the first. */
static int reserve(struct db_conn *c, struct exchange *x, int64_t now)
{
	struct exchange_full *f = exchange_full(x);
	int64_t n = sweep(c, now);

	if (n >= 0)
		n = db_exec(c, "delete from idempotency_keys where user_id = ? and idem_key = ? and created_at < ?",
			    DB_TEXT(user_of(x)), DB_TEXT(f->idempotency_key), DB_INT(now - KEEP_US));
	if (n >= 0)
		n = db_exec(
			c,
			"insert into idempotency_keys (user_id, idem_key, request_hash, status, response, created_at) "
			"values (?, ?, ?, 0, '', ?)",
			DB_TEXT(user_of(x)), DB_TEXT(f->idempotency_key), DB_TEXT(f->request_hash), DB_INT(now));
	/* The other request has committed meanwhile: the job is repeated and finds its answer. */
	if (n == -EEXIST)
		return -EDEADLK;
	return n < 0 ? (int)n : IDEM_NEW;
}

int idempotency_begin(struct db_conn *c, struct exchange *x, int *ret_status, struct str *ret_response)
{
	struct exchange_full *f = exchange_full(x);
	int64_t now = clock_now_us();

	if (!f->idempotency_key)
		return IDEM_NONE;

	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c,
			 "select request_hash, status, response from idempotency_keys "
			 "where user_id = ? and idem_key = ? and created_at >= ?" DB_FOR_UPDATE,
			 DB_TEXT(user_of(x)), DB_TEXT(f->idempotency_key), DB_INT(now - KEEP_US));
	int result = db_step(c, st);
	if (result < 0)
		return result;
	if (!result)
		return reserve(c, x, now);
	if (!str_is(db_col_str(st, 0), f->request_hash))
		return IDEM_MISMATCH;
	*ret_status = (int)db_col_int(st, 1);
	*ret_response = arena_str(x->arena, db_col_str(st, 2));
	/* Taken by a request that ended without an answer to keep. */
	return *ret_status ? IDEM_REPLAY : IDEM_NEW;
}

int idempotency_store(struct db_conn *c, struct exchange *x, int status, struct str response)
{
	struct exchange_full *f = exchange_full(x);

	if (!f->idempotency_key)
		return 0;
	int64_t n =
		db_exec(c, "update idempotency_keys set status = ?, response = ? where user_id = ? and idem_key = ?",
			DB_INT(status), DB_STR(response), DB_TEXT(user_of(x)), DB_TEXT(f->idempotency_key));
	return n < 0 ? (int)n : 0;
}
