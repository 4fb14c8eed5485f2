/* What becomes of a request that was taken for every address alike. */
#include "auth/email.h"
#include "base/clock.h"
#include "outbox.h"

/* The user with this address who may sign in: 1, 0 or -errno. */
static int find_user(struct db_conn *c, struct arena *a, const char *email_key, const char **ret_id,
		     const char **ret_email)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c, "select id, email from users where email_key = ? and kind = 'user' and disabled = 0",
			 DB_TEXT(email_key));
	int r = db_step(c, st);

	if (r == 1) {
		*ret_id = db_col_dup(st, 0, a);
		*ret_email = db_col_dup(st, 1, a);
	}
	return r;
}

static int resolve_reset(struct db_conn *c, struct auth *auth, struct arena *a, struct outbox_item *item)
{
	struct link_row link = {.kind = LINK_RESET};
	char key[EMAIL_SIZE];
	int r;

	if (email_canonical(str_of(item->to), key) < 0)
		return 0;
	r = find_user(c, a, key, &item->user_id, &item->to);
	if (r <= 0)
		return r;
	link.user_id = item->user_id;
	link.email = item->to;
	link.email_key = key;
	r = link_add(c, a, &link, auth->mail.reset_us);
	item->link_id = link.id;
	return r < 0 ? r : 1;
}

/* A link to an address that has an account, or another one, is none; its owner hears of it instead. */
static int resolve_taken(struct db_conn *c, struct arena *a, struct outbox_item *item, const char *instead)
{
	const char *id = NULL, *email = NULL;
	struct link_row link;
	int r = link_find(c, a, item->link_id, NULL, &link);

	if (r <= 0)
		return r;
	r = find_user(c, a, link.email_key, &id, &email);
	if (r < 0 || (r == 1 && item->user_id && !strcmp(id, item->user_id)))
		return r;
	if (r == 0) {
		/* A disabled one keeps his address, and is told nothing. */
		r = db_get_int(c, &(int64_t){0}, "select 1 from users where email_key = ?", DB_TEXT(link.email_key));
		if (r != 0)
			return r < 0 ? r : error_only(link_withdraw(c, link.id));
		return 1;
	}
	item->kind = instead;
	item->to = email;
	item->user_id = id;
	item->link_id = NULL;
	r = link_withdraw(c, link.id);
	return r < 0 ? r : 1;
}

int outbox_resolve(struct db_conn *c, struct auth *auth, struct arena *a, struct outbox_item *item)
{
	struct link_row link;

	if (!strcmp(item->kind, MAIL_RESET) && !item->link_id)
		return resolve_reset(c, auth, a, item);
	if (!strcmp(item->kind, MAIL_SIGNUP))
		return resolve_taken(c, a, item, MAIL_SIGNUP_TAKEN);
	if (!strcmp(item->kind, MAIL_EMAIL))
		return resolve_taken(c, a, item, MAIL_EMAIL_TAKEN);
	return item->link_id ? link_find(c, a, item->link_id, NULL, &link) : 1;
}
