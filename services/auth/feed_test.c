#include "feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "data/db_for_tests.h"
#include "seed.h"
#include "service/revocation.h"
#include "start.h"

struct fixture {
	struct test_database database;
	uv_loop_t loop;
	struct db *db;
	int (*body)(struct db_conn *c);
	struct db_job job;
	bool is_done;
};

static int setup(void **state)
{
	const char *dialect = *state;
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err = {0};

	*state = NULL;
	if (!test_database_make(dialect, &f->database)) {
		free(f);
		return 0;
	}
	uv_loop_init(&f->loop);
	if (db_open(&f->loop, f->database.url, 1, &f->db, &err) < 0 ||
	    db_migrate(f->db, auth_migrations, auth_migrations_n, &err) < 0)
		fail_msg("%s", err.message);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (!f)
		return 0;
	db_close(f->db);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	test_database_drop(&f->database);
	free(f);
	return 0;
}

static int run_body(struct db_conn *c, struct db_job *job)
{
	return container_of(job, struct fixture, job)->body(c);
}

static void body_done(struct db_job *job, int result)
{
	container_of(job, struct fixture, job)->is_done = true;
	assert_int_equal(result, 0);
}

/* One transaction. */
static void run(struct fixture *f, int (*body)(struct db_conn *c))
{
	f->body = body;
	f->is_done = false;
	f->job = (struct db_job){.run = run_body, .done = body_done};
	db_write(f->db, &f->job);
	while (!f->is_done)
		uv_run(&f->loop, UV_RUN_ONCE);
}

static int make_people(struct db_conn *c)
{
	static const char *const ids[] = {"u1", "u2", "u3"};
	int64_t r = db_exec(c, "insert into roles (id, name, description, built_in, created_at) values "
			       "('r1', 'cook', '', 0, 1)");

	if (r >= 0)
		r = db_exec(c, "insert into role_permissions (role_id, permission) values ('r1', 'agents.read')");
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(ids); i++)
		r = db_exec(c,
			    "insert into users (id, kind, name, disabled, permission_epoch, created_at, updated_at) "
			    "values (?, 'user', 'x', 0, ?, 1, 1)",
			    DB_TEXT(ids[i]), DB_INT((int64_t)i + 10));
	for (size_t i = 0; r >= 0 && i < 2; i++)
		r = db_exec(c, "insert into user_roles (user_id, role_id, created_at) values (?, 'r1', 1)",
			    DB_TEXT(ids[i]));
	return (int)MIN(r, 0);
}

static int revoke_some(struct db_conn *c)
{
	int r = feed_add_session(c, "s1", "logout");

	if (r == 0)
		r = feed_add_token(c, "t1", "logout");
	if (r == 0)
		r = feed_add_user(c, "u3", "user_disabled");
	return r ? r : feed_add_user(c, "nobody", "user_deleted");
}

/* One row as text. */
static void row(struct db_conn *c, int64_t number, const char *wanted)
{
	struct db_stmt *st = db_query(c,
				      "select kind, subject, rights, permissions, reason from revocations where "
				      "number = ?",
				      DB_INT(number));
	struct buf text = BUF_INIT;

	assert_int_equal(db_step(c, st), 1);
	buf_printf(&text, "%.*s %.*s %lld %.*s %.*s", STR_ARG(db_col_str(st, 0)), STR_ARG(db_col_str(st, 1)),
		   (long long)db_col_int(st, 2), STR_ARG(db_col_str(st, 3)), STR_ARG(db_col_str(st, 4)));
	db_done(st);
	assert_string_equal(text.p, wanted);
	buf_deinit(&text);
}

static int check_some(struct db_conn *c)
{
	row(c, 1, "session s1 0  logout");
	row(c, 2, "token t1 0  logout");
	row(c, 3, "user u3 12  user_disabled");
	row(c, 4, "user nobody 4503599627370496  user_deleted");
	return 0;
}

static int revoke_another(struct db_conn *c)
{
	return feed_add_session(c, "s2", "logout");
}

static int change_role(struct db_conn *c)
{
	int64_t r = db_exec(c, "insert into role_permissions (role_id, permission) values ('r1', 'models.read')");

	return r < 0 ? (int)r : feed_add_role(c, "r1");
}

static int check_role(struct db_conn *c)
{
	int64_t n;
	bool is_first;

	assert_int_equal(db_get_int(c, &n, "select count(*) from revocations"), 1);
	assert_int_equal(n, 7);
	/* In whichever order. */
	assert_int_equal(db_get_int(c, &n, "select count(*) from revocations where number = 6 and subject = 'u1'"), 1);
	is_first = n;
	row(c, is_first ? 6 : 7, "user u1 11 [\"agents.read\",\"models.read\"] rights_changed");
	row(c, is_first ? 7 : 6, "user u2 12 [\"agents.read\",\"models.read\"] rights_changed");
	assert_int_equal(db_get_int(c, &n, "select permission_epoch from users where id = 'u3'"), 1);
	assert_int_equal(n, 12);
	return 0;
}

static void what_is_revoked_is_numbered_in_its_transaction(void **state)
{
	struct fixture *f = *state;

	if (!f)
		return;
	run(f, make_people);
	run(f, revoke_some);
	run(f, check_some);
}

static void a_role_that_changes_gives_its_members_the_rights_of_now(void **state)
{
	struct fixture *f = *state;

	if (!f)
		return;
	run(f, make_people);
	run(f, revoke_some);
	run(f, revoke_another);
	run(f, change_role);
	run(f, check_role);
}

#define ON(server, name)                                                   \
	{                                                                  \
		server ": " #name, name, setup, teardown, (char *)(server) \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON("sqlite", what_is_revoked_is_numbered_in_its_transaction),
		ON("sqlite", a_role_that_changes_gives_its_members_the_rights_of_now),
		ON("mysql", what_is_revoked_is_numbered_in_its_transaction),
		ON("mysql", a_role_that_changes_gives_its_members_the_rights_of_now),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
