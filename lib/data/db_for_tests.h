/* Databases for unit tests. OGENT_TEST_MYSQL and OGENT_TEST_POSTGRES name servers, which ./dev test starts; without
 * them the tests that need one are not run. */
#pragma once

#include <stdbool.h>

#include "data/db.h"

struct test_database {
	char url[400], server[400], name[60];
};

/* An empty database of this dialect ("sqlite", "mysql", "postgres"). False: there is no such server. */
bool test_database_make(const char *dialect, struct test_database *ret);
void test_database_drop(struct test_database *d);
/* Runs SQL there, on a connection of its own. 0 or -errno. */
int test_database_run(const char *url, const char *sql);

/* For a cmocka test: from every earlier version, with rows in it, the migrations lead to the schema that a new database
 * has, and the rows are still there. samples[i]: statements that insert rows once version i + 1 is there, or NULL.
 * Does nothing when there is no such server. */
void migrations_check(const char *dialect, const struct migration *list, size_t n, const char *const *samples);
