#include "audit/chain.h"

#include <errno.h>
#include <inttypes.h>

#include "base/utf8.h"

const char *const audit_outcomes[] = {"success", "failure", "denied"};

#define DETAIL_MAX 4000

/* The columns' sizes, in characters of the schema; bytes here, which are never fewer. */
static const uint16_t text_max[AUDIT_TEXTS] = {64, 16, 16, 64, 200, 160, 64, 64, 64, DETAIL_MAX};

/* ---- Hashes ---- */

static void mac_add(crypto_auth_hmacsha256_state *st, struct str text)
{
	char length[24];

	/* Lengths first: no two rows have the same bytes. */
	snprintf(length, sizeof(length), "%zu:", text.n);
	crypto_auth_hmacsha256_update(st, (const uint8_t *)length, strlen(length));
	crypto_auth_hmacsha256_update(st, (const uint8_t *)text.p, text.n);
}

static void mac_add_int(crypto_auth_hmacsha256_state *st, int64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, n);
	mac_add(st, str_of(text));
}

static void mac_end(crypto_auth_hmacsha256_state *st, char ret[static SHA256_HEX_SIZE])
{
	uint8_t mac[crypto_auth_hmacsha256_BYTES];

	crypto_auth_hmacsha256_final(st, mac);
	hex_encode(mac, sizeof(mac), ret);
}

void audit_row_hash(const struct audit_key *key, struct str previous, const struct audit_row *row,
		    char ret[static SHA256_HEX_SIZE])
{
	crypto_auth_hmacsha256_state st;

	crypto_auth_hmacsha256_init(&st, key->bytes, sizeof(key->bytes));
	mac_add(&st, previous);
	mac_add_int(&st, row->seq);
	mac_add_int(&st, row->at);
	for (size_t i = 0; i < AUDIT_TEXTS; i++)
		mac_add(&st, row->text[i]);
	mac_end(&st, ret);
}

void audit_head_mac(const struct audit_key *key, int64_t newest, struct str hash, char ret[static SHA256_HEX_SIZE])
{
	crypto_auth_hmacsha256_state st;

	crypto_auth_hmacsha256_init(&st, key->bytes, sizeof(key->bytes));
	mac_add(&st, STR("head"));
	mac_add_int(&st, newest);
	mac_add(&st, hash);
	mac_end(&st, ret);
}

/* ---- Rows ---- */

void audit_row_of(struct db_stmt *st, struct audit_row *ret, struct str *ret_hash)
{
	ret->seq = db_col_int(st, 0);
	ret->at = db_col_int(st, 1);
	for (int i = 0; i < AUDIT_TEXTS; i++)
		ret->text[i] = db_col_str(st, 2 + i);
	*ret_hash = db_col_str(st, 2 + AUDIT_TEXTS);
}

/* The end of a text of at most `max` bytes that does not cut a character. */
static size_t cut(const char *p, size_t n, size_t max)
{
	if (n <= max)
		return n;
	while (max && (p[max] & 0xc0) == 0x80)
		max--;
	return max;
}

/* Valid UTF-8 of at most `max` bytes, added to `out` with its NUL; returns where it begins. */
static size_t put_clean(struct buf *out, const char *text, size_t max)
{
	struct utf8_carry carry = {0};
	size_t start = out->n;

	text = text ? text : "";
	utf8_clean(&carry, text, cut(text, strlen(text), max), true, out);
	out->n = start + cut(out->p + start, out->n - start, max); /* U+FFFD is longer than what it stands for */
	buf_add_char(out, '\0');
	return start;
}

static void fill_row(struct buf *texts, const struct audit_event *e, struct audit_row *ret)
{
	const char *given[AUDIT_TEXTS] = {e->event,      audit_outcomes[e->outcome],
					  e->actor_kind, e->actor_id,
					  e->actor_name, e->target,
					  e->address,    e->session_id,
					  e->request_id, e->detail};
	size_t at[AUDIT_TEXTS];

	if (!e->detail || strlen(e->detail) > DETAIL_MAX)
		given[AUDIT_DETAIL] = e->detail ? "{\"cut\":true}" : "{}";
	for (size_t i = 0; i < AUDIT_TEXTS; i++)
		at[i] = put_clean(texts, given[i], text_max[i]);
	for (size_t i = 0; i < AUDIT_TEXTS; i++)
		ret->text[i] = str_of(texts->p + at[i]);
}

static int read_head(struct db_conn *c, int64_t *ret_newest, char ret_hash[static SHA256_HEX_SIZE])
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select newest, hash from audit_head where id = 1" DB_FOR_UPDATE);
	int r = db_step(c, st);

	if (r == 1) {
		*ret_newest = db_col_int(st, 0);
		snprintf(ret_hash, SHA256_HEX_SIZE, "%.*s", STR_ARG(db_col_str(st, 1)));
	}
	return r < 0 ? r : r == 1 ? 0 : -ENOENT;
}

static int insert(struct db_conn *c, const struct audit_row *row, const char *hash)
{
	struct db_value values[3 + AUDIT_TEXTS] = {DB_INT(row->seq), DB_INT(row->at)};

	for (size_t i = 0; i < AUDIT_TEXTS; i++)
		values[2 + i] = DB_STR(row->text[i]);
	values[2 + AUDIT_TEXTS] = DB_TEXT(hash);
	return error_only(
		db_exec_v(c, "insert into audit_log (" AUDIT_COLUMNS ") values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			  values, ARRAY_SIZE(values)));
}

int audit_append(struct db_conn *c, const struct audit_key *key, const struct audit_event *e, int64_t at)
{
	_cleanup_(buf_deinit) struct buf texts = BUF_INIT;
	char previous[SHA256_HEX_SIZE], hash[SHA256_HEX_SIZE], mac[SHA256_HEX_SIZE];
	struct audit_row row = {.at = at};
	int64_t newest;
	int r = read_head(c, &newest, previous);

	if (r < 0)
		return r;
	row.seq = newest + 1;
	fill_row(&texts, e, &row);
	audit_row_hash(key, str_of(previous), &row, hash);
	audit_head_mac(key, row.seq, str_of(hash), mac);
	r = insert(c, &row, hash);
	if (r < 0)
		return r;
	return error_only(db_exec(c, "update audit_head set newest = ?, hash = ?, mac = ? where id = 1",
				  DB_INT(row.seq), DB_TEXT(hash), DB_TEXT(mac)));
}
