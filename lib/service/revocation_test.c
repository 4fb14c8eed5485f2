#include "service/revocation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "service/token_cache.h"

#define SECOND INT64_C(1000000)
#define NOW (1700000000 * SECOND)

static struct revocations *set;

static int setup(void **state)
{
	set = revocations_new();
	return 0;
}

static int teardown(void **state)
{
	revocations_free(set);
	return 0;
}

static struct identity person(const char *user, const char *session, int64_t rights)
{
	static const char *const nothing[] = {NULL};

	return (struct identity){.user_id = user,
				 .session_id = session,
				 .name = "",
				 .token_id = "jti",
				 .service = "",
				 .client_id = "",
				 .audience = TOKEN_AUDIENCE,
				 .rights = rights,
				 .permissions = nothing,
				 .issued_at = NOW / SECOND,
				 .expires_at = NOW / SECOND + 600};
}

static bool covers(struct identity id)
{
	return revocations_cover(set, &id);
}

static void add(enum revocation_kind kind, const char *subject, int64_t rights, int64_t at)
{
	struct revocation r = {.number = 1, .kind = kind, .subject = subject, .rights = rights, .at_us = at};

	revocations_add(set, &r, 1, 600);
}

static void a_session_and_a_token_are_revoked_by_their_names(void **state)
{
	assert_false(covers(person("u", "s", 1)));
	add(REVOKED_SESSION, "s", 0, NOW);
	assert_true(covers(person("u", "s", 1)));
	assert_false(covers(person("s", "u", 1)));
	assert_false(covers(person("u", "", 1)));
	add(REVOKED_TOKEN, "jti", 0, NOW);
	assert_true(covers(person("u", "", 1)));
}

static void a_user_is_revoked_up_to_his_present_rights(void **state)
{
	add(REVOKED_USER, "u", 3, NOW);
	assert_true(covers(person("u", "s", 0)));
	assert_true(covers(person("u", "s", 2)));
	assert_false(covers(person("u", "s", 3)));
	add(REVOKED_USER, "u", 2, NOW); /* older news that come again take nothing back */
	assert_true(covers(person("u", "s", 2)));
	add(REVOKED_USER, "u", RIGHTS_GONE, NOW);
	assert_true(covers(person("u", "s", 1000)));
}

static void grant(int64_t rights, const char *const *permissions)
{
	struct revocation r = {
		.kind = REVOKED_USER, .subject = "u", .rights = rights, .permissions = permissions, .at_us = NOW};

	revocations_add(set, &r, 1, 600);
}

static void changed_rights_are_those_of_now(void **state)
{
	static const char *const two[] = {"agents.read", "models.*", NULL}, *const none[] = {NULL};
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct identity id = person("u", "s", 1), newer = person("u", "s", 2);

	grant(2, two);
	assert_false(covers(id));
	assert_true(revocations_concern(set, &id));
	assert_false(revocations_concern(set, &newer));
	assert_true(revocations_apply(set, &newer, a));
	assert_false(identity_may(&newer, "agents.read")); /* as its token says */
	assert_true(revocations_apply(set, &id, a));
	assert_true(identity_may(&id, "agents.read") && identity_may(&id, "models.read"));
	assert_false(identity_may(&id, "agents.write"));
	assert_false(revocations_concern(set, &id)); /* from now on */
	grant(3, none);
	assert_true(revocations_apply(set, &id, a));
	assert_false(identity_may(&id, "agents.read"));
}

static void who_was_disabled_in_between_stays_out(void **state)
{
	static const char *const all[] = {"*", NULL};
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct identity before = person("u", "s", 1), after = person("u", "s", 3);

	grant(2, NULL);
	grant(3, all); /* enabled again */
	grant(4, all);
	assert_false(revocations_apply(set, &before, a));
	assert_true(revocations_apply(set, &after, a));
	assert_true(identity_may(&after, "agents.read"));
}

static void a_client_that_acts_for_a_user_never_gets_more_than_it_was_granted(void **state)
{
	static const char *const granted[] = {"agents.read", "commands.run", NULL}, *const now[] = {"agents.*",
												    "!agents.read.x",
												    NULL};
	struct revocation r = {
		.number = 1, .kind = REVOKED_USER, .subject = "u", .rights = 2, .permissions = now, .at_us = NOW};
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct identity id = person("u", "s", 1);

	id.client_id = "client";
	id.permissions = granted;
	revocations_add(set, &r, 1, 600);
	assert_true(revocations_apply(set, &id, a));
	assert_true(identity_may(&id, "agents.read"));
	assert_false(identity_may(&id, "agents.read.x"));
	assert_false(identity_may(&id, "agents.write"));
	assert_false(identity_may(&id, "commands.run"));
}

static void services_are_not_people(void **state)
{
	struct identity id = person("u", "s", 0);

	add(REVOKED_USER, "u", RIGHTS_GONE, NOW);
	id.service = "agent";
	assert_true(revocations_cover(set, &id)); /* it acts for one who is gone */
	id.user_id = "";
	assert_false(revocations_cover(set, &id));
	id = (struct identity){0};
	assert_false(revocations_cover(set, &id));
}

static void what_is_older_than_any_token_is_forgotten(void **state)
{
	add(REVOKED_SESSION, "s", 0, NOW);
	revocations_sweep(set, NOW + 600 * SECOND);
	assert_true(covers(person("u", "s", 1)));
	revocations_sweep(set, NOW + 661 * SECOND);
	assert_int_equal(revocations_count(set), 0);
	assert_false(covers(person("u", "s", 1)));
}

static void beyond_its_bound_older_tokens_are_refused_altogether(void **state)
{
	char name[32];

	for (int i = 0; i <= REVOCATIONS_MAX; i++) {
		snprintf(name, sizeof(name), "session %d", i);
		add(REVOKED_SESSION, name, 0, NOW);
	}
	assert_int_equal(revocations_count(set), REVOCATIONS_MAX);
	assert_true(covers(person("u", "session 0", 1))); /* was dropped */
	assert_true(covers(person("u", "other", 1)));     /* issued before */
	struct identity later = person("u", "other", 1);
	later.issued_at = NOW / SECOND + 61;
	assert_false(revocations_cover(set, &later));
}

static void a_cached_verdict_dies_when_its_token_is_revoked(void **state)
{
	struct token_cache *c = token_cache_new();
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct identity id = person("u", "s", 1), ret;

	token_cache_set_revocations(c, set);
	token_cache_put(c, STR("token"), &id, id.expires_at);
	assert_true(token_cache_get(c, STR("token"), NOW / SECOND, a, &ret));
	assert_string_equal(ret.token_id, "jti");
	assert_int_equal(ret.rights, 1);
	assert_int_equal(ret.issued_at, NOW / SECOND);
	add(REVOKED_SESSION, "other", 0, NOW);
	assert_true(token_cache_get(c, STR("token"), NOW / SECOND, a, &ret));
	add(REVOKED_SESSION, "s", 0, NOW);
	assert_false(token_cache_get(c, STR("token"), NOW / SECOND, a, &ret));
	token_cache_free(c);
}

enum { THREADS = 3, ROUNDS = 20000 };

static void *look(void *arg)
{
	struct identity id = person("u", "s", 1);
	bool was_covered = false;

	for (unsigned i = 0; i < ROUNDS; i++) {
		bool is_covered = revocations_cover(set, &id);

		assert_true(is_covered || !was_covered);
		was_covered = is_covered;
		revocations_generation(set);
	}
	return NULL;
}

static void threads_look_while_it_changes(void **state)
{
	pthread_t threads[THREADS];
	char name[32];

	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, look, NULL);
	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "session %d", i);
		add(REVOKED_SESSION, i == 1000 ? "s" : name, 0, NOW + i * SECOND);
		if (i % 100 == 0 && i < 1000)
			revocations_sweep(set, NOW + (661 + i - 10) * SECOND);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_true(covers(person("u", "s", 1)));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_session_and_a_token_are_revoked_by_their_names),
		TEST(a_user_is_revoked_up_to_his_present_rights),
		TEST(changed_rights_are_those_of_now),
		TEST(who_was_disabled_in_between_stays_out),
		TEST(a_client_that_acts_for_a_user_never_gets_more_than_it_was_granted),
		TEST(services_are_not_people),
		TEST(what_is_older_than_any_token_is_forgotten),
		TEST(beyond_its_bound_older_tokens_are_refused_altogether),
		TEST(a_cached_verdict_dies_when_its_token_is_revoked),
		TEST(threads_look_while_it_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
