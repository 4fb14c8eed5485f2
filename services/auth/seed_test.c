#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "seed.h"
#include "service/token.h"
#include "start.h"

struct fixture {
	uv_loop_t loop;
	struct db *db;
	char dir[64];
	int (*body)(struct db_conn *c);
	struct db_job job;
	bool is_done;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err = {0};
	char url[128];

	snprintf(f->dir, sizeof(f->dir), "/tmp/ogent-seed-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(url, sizeof(url), "sqlite:%s/auth.db", f->dir);
	uv_loop_init(&f->loop);
	assert_int_equal(db_open(&f->loop, url, 1, &f->db, &err), 0);
	assert_int_equal(db_migrate(f->db, auth_migrations, auth_migrations_n, &err), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	db_close(f->db);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	snprintf(command, sizeof(command), "rm -r %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static int run_body(struct db_conn *c, struct db_job *job)
{
	return container_of(job, struct fixture, job)->body(c);
}

static void body_done(struct db_job *job, int result)
{
	assert_int_equal(result, 0);
	container_of(job, struct fixture, job)->is_done = true;
}

/* Runs `body` as a write job. */
static void in_database(struct fixture *f, int (*body)(struct db_conn *c))
{
	f->body = body;
	f->is_done = false;
	f->job = (struct db_job){.run = run_body, .done = body_done};
	db_write(f->db, &f->job);
	while (!f->is_done)
		uv_run(&f->loop, UV_RUN_ONCE);
}

static int64_t count(struct db_conn *c, const char *sql)
{
	int64_t n = -1;

	db_get_int_v(c, &n, sql, NULL, 0);
	return n;
}

static int seed_twice_and_count(struct db_conn *c)
{
	char owner[ID_SIZE], again[ID_SIZE];

	for (int i = 0; i < 2; i++)
		if (seed_rights(c) < 0 || seed_owner(c, i ? again : owner) < 0)
			return -1;
	if (strcmp(owner, again) != 0)
		return -2;
	if (count(c, "select count(*) from permissions") != (int64_t)permission_seeds_n)
		return -3;
	if (count(c, "select count(*) from roles") != (int64_t)role_seeds_n)
		return -4;
	return count(c, "select count(*) from users u join user_roles ur on ur.user_id = u.id "
			"join roles r on r.id = ur.role_id where u.kind = 'local' and r.name = 'admin'") == 1
		       ? 0
		       : -5;
}

static void seeding_twice_changes_nothing(void **state)
{
	in_database(*state, seed_twice_and_count);
}

/* As a database of an earlier program has it: a permission less, and an administrator's change to a role. */
static int go_back(struct db_conn *c)
{
	static const char *const past[] = {
		"delete from permissions where name in ('executions.approve', 'models.connect')",
		"delete from role_permissions where permission in ('executions.approve', 'models.connect', 'models.*')",
		"delete from role_permissions where permission = 'commands.run'",
	};
	int64_t r = seed_rights(c);

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(past); i++)
		r = db_exec_v(c, past[i], NULL, 0);
	return r < 0 ? (int)r : seed_rights(c);
}

static int what_is_new_is_there(struct db_conn *c)
{
	if (count(c, "select count(*) from role_permissions p join roles r on r.id = p.role_id "
		     "where r.name = 'member' and p.permission in ('executions.approve', 'models.connect')") != 2)
		return -1;
	if (count(c, "select count(*) from role_permissions p join roles r on r.id = p.role_id "
		     "where r.name = 'operator' and p.permission = 'models.*'") != 1)
		return -2;
	return count(c, "select count(*) from role_permissions where permission = 'commands.run'") == 0 ? 0 : -3;
}

static void a_newer_program_gives_its_roles_what_is_new_and_nothing_else(void **state)
{
	in_database(*state, go_back);
	in_database(*state, what_is_new_is_there);
}

static bool covers_something(const char *pattern)
{
	for (size_t i = 0; i < permission_seeds_n; i++)
		if (permission_covers(pattern, permission_seeds[i].name))
			return true;
	return false;
}

static void every_right_of_a_role_is_a_known_permission(void **state)
{
	for (size_t i = 0; i < role_seeds_n; i++)
		for (const char *const *p = role_seeds[i].permissions; *p; p++)
			assert_true(covers_something(*p));
}

static void every_permission_says_what_it_is(void **state)
{
	for (size_t i = 0; i < permission_seeds_n; i++)
		assert_true(strlen(permission_seeds[i].description) > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(seeding_twice_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_newer_program_gives_its_roles_what_is_new_and_nothing_else, setup,
						teardown),
		cmocka_unit_test(every_right_of_a_role_is_a_known_permission),
		cmocka_unit_test(every_permission_says_what_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
