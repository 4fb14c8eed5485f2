#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "files.h"
#include "tree.h"

struct place {
	char path[64];
	struct journal j;
	struct arena *arena;
};

static int open_place(void **state)
{
	struct place *p = xcalloc(1, sizeof(*p));

	strcpy(p->path, "/tmp/ogent-journal.XXXXXX");
	assert_non_null(mkdtemp(p->path));
	assert_int_equal(journal_open(p->path, false, &p->j), 0);
	p->arena = arena_new();
	*state = p;
	return 0;
}

static int close_place(void **state)
{
	struct place *p = *state;
	char *command = xasprintf("rm -rf '%s'", p->path);

	journal_close(&p->j);
	assert_int_equal(system(command), 0);
	free(command);
	arena_free(p->arena);
	free(p);
	return 0;
}

static struct spec new_spec(struct place *p, const char *user, const char *key)
{
	static char *none[] = {NULL};
	struct spec s = {.user_id = user,
			 .key = "",
			 .request_hash = "h",
			 .script = "true",
			 .cwd = "",
			 .env = none,
			 .target = "",
			 .workspace = "",
			 .uid = 1900000000,
			 .timeout_ms = 1000,
			 .memory_max = 1,
			 .output_max = 1024,
			 .pids_max = 1};
	char hash[65];

	id_new(s.id);
	if (key) {
		journal_key(user, key, hash);
		s.key = arena_strdup(p->arena, hash);
	}
	return s;
}

static void a_saved_command_is_there(void **state)
{
	struct place *p = *state;
	struct spec s = new_spec(p, "ann", NULL);
	struct journal_entry e;
	struct id_list running;
	char id[ID_SIZE];

	s.input = STR("in \"put\"\n");
	assert_int_equal(journal_save(&p->j, &s, id), JOURNAL_SAVED);
	assert_int_equal(journal_load(&p->j, s.id, p->arena, &e), 0);
	assert_string_equal(e.spec.script, "true");
	assert_true(str_eq(e.spec.input, s.input));
	assert_false(e.has_result);
	assert_false(e.has_started);
	assert_true(journal_is_accepted(&p->j, &e.spec));
	assert_int_equal(journal_list_running(&p->j, p->arena, &running), 0);
	assert_int_equal(running.n, 1);
	assert_int_equal(journal_load(&p->j, "../../../etc", p->arena, &e), -ENOENT);
}

static void a_key_stands_for_one_command(void **state)
{
	struct place *p = *state;
	struct spec first = new_spec(p, "ann", "k"), second = new_spec(p, "ann", "k"), other = new_spec(p, "bob", "k");
	struct journal_entry e;
	char id[ID_SIZE];

	assert_int_equal(journal_save(&p->j, &first, id), JOURNAL_SAVED);
	assert_int_equal(journal_save(&p->j, &second, id), JOURNAL_EXISTS);
	assert_string_equal(id, first.id);
	assert_int_equal(journal_load(&p->j, second.id, p->arena, &e), -ENOENT);
	assert_int_equal(journal_save(&p->j, &other, id), JOURNAL_SAVED);
}

/* As a kill between the two steps of saving leaves it. */
static void a_command_without_its_key_was_never_accepted(void **state)
{
	struct place *p = *state;
	struct spec first = new_spec(p, "ann", "k"), again = new_spec(p, "ann", "k");
	char id[ID_SIZE];

	assert_int_equal(journal_save(&p->j, &first, id), JOURNAL_SAVED);
	assert_int_equal(unlinkat(p->j.keys_fd, first.key, 0), 0);
	assert_false(journal_is_accepted(&p->j, &first));
	assert_int_equal(journal_save(&p->j, &again, id), JOURNAL_SAVED);
	assert_false(journal_is_accepted(&p->j, &first));
	assert_true(journal_is_accepted(&p->j, &again));
	/* Removing the one that was not accepted leaves the other's key. */
	journal_remove(&p->j, &first);
	assert_true(journal_is_accepted(&p->j, &again));
}

static void a_key_of_a_removed_command_is_free_again(void **state)
{
	struct place *p = *state;
	struct spec first = new_spec(p, "ann", "k"), again = new_spec(p, "ann", "k");
	char id[ID_SIZE], path[64];

	assert_int_equal(journal_save(&p->j, &first, id), JOURNAL_SAVED);
	snprintf(path, sizeof(path), "%s/" SPEC_FILE, first.id);
	assert_int_equal(unlinkat(p->j.commands_fd, path, 0), 0);
	assert_int_equal(journal_save(&p->j, &again, id), JOURNAL_SAVED);
}

static void a_workspace_keeps_its_owner(void **state)
{
	struct place *p = *state;
	struct spec first = new_spec(p, "ann", NULL), second = new_spec(p, "ann", NULL);
	struct stat st;
	char id[ID_SIZE];

	first.workspace = second.workspace = "w";
	second.uid = first.uid + 1;
	assert_int_equal(journal_save(&p->j, &first, id), JOURNAL_SAVED);
	assert_int_equal(journal_save(&p->j, &second, id), JOURNAL_SAVED);
	assert_int_equal(fstatat(p->j.workspaces_fd, "w", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(second.uid, st.st_uid);
	if (geteuid() == 0) {
		assert_int_equal(st.st_uid, first.uid);
		assert_int_equal(journal_greatest_uid(&p->j), first.uid);
	}
}

#define CLAIMS 8

struct claim {
	struct place *p;
	const char *user;
	pthread_barrier_t *start;
	char workspace[16];
	int result;
};

static void *run_claim(void *arg)
{
	struct claim *c = arg;

	pthread_barrier_wait(c->start);
	c->result = journal_claim(&c->p->j, c->workspace, "", c->user);
	return NULL;
}

/* How many of `users` have claimed the new workspace when all of them do so at once. */
static unsigned count_claims(struct place *p, unsigned round, const char *const users[CLAIMS])
{
	struct claim claims[CLAIMS];
	pthread_barrier_t start;
	pthread_t threads[CLAIMS];
	unsigned has = 0;

	pthread_barrier_init(&start, NULL, CLAIMS);
	for (size_t i = 0; i < CLAIMS; i++) {
		claims[i] = (struct claim){.p = p, .user = users[i], .start = &start};
		snprintf(claims[i].workspace, sizeof(claims[i].workspace), "w%u", round);
		assert_int_equal(pthread_create(&threads[i], NULL, run_claim, &claims[i]), 0);
	}
	for (size_t i = 0; i < CLAIMS; i++) {
		pthread_join(threads[i], NULL);
		assert_true(claims[i].result >= 0 || claims[i].result == -EACCES);
		has += claims[i].result >= 0;
	}
	pthread_barrier_destroy(&start);
	return has;
}

static void a_new_workspace_that_many_claim_at_once_gets_one_owner(void **state)
{
	static const char *const same[CLAIMS] = {"ann", "ann", "ann", "ann", "ann", "ann", "ann", "ann"};
	static const char *const all[CLAIMS] = {"a", "b", "c", "d", "e", "f", "g", "h"};

	for (unsigned round = 0; round < 40; round += 2) {
		assert_int_equal(count_claims(*state, round, same), CLAIMS);
		assert_int_equal(count_claims(*state, round + 1, all), 1);
	}
}

static void an_owner_that_a_crash_left_empty_is_nobody(void **state)
{
	struct place *p = *state;

	assert_int_equal(file_create(p->j.owners_fd, "w", STR("")), 0);
	assert_int_equal(journal_claim(&p->j, "w", "", "ann"), 1);
	assert_int_equal(journal_claim(&p->j, "w", "", "ann"), 0);
	assert_int_equal(journal_claim(&p->j, "w", "", "bob"), -EACCES);
}

/* A target on another host has its own folders. */
static void a_workspace_on_another_target_is_not_made_here(void **state)
{
	struct place *p = *state;
	struct spec s = new_spec(p, "ann", NULL);
	char id[ID_SIZE];

	s.workspace = "far";
	s.target = "ssh";
	assert_int_equal(journal_save(&p->j, &s, id), JOURNAL_SAVED);
	assert_int_equal(faccessat(p->j.workspaces_fd, "far", F_OK, 0), -1);
}

static void a_workspace_that_is_a_link_is_refused(void **state)
{
	struct place *p = *state;
	struct spec s = new_spec(p, "ann", NULL);
	char id[ID_SIZE];

	s.workspace = "w";
	assert_int_equal(symlinkat("/etc", p->j.workspaces_fd, "w"), 0);
	assert_int_equal(journal_save(&p->j, &s, id), -EPERM);
}

static void workspace_names_are_words(void **state)
{
	assert_true(workspace_is_valid(STR("01a2-B_z")));
	assert_false(workspace_is_valid(STR("")));
	assert_false(workspace_is_valid(STR("..")));
	assert_false(workspace_is_valid(STR("a/b")));
	assert_false(workspace_is_valid(STR("a.b")));
	assert_false(workspace_is_valid(((struct str){"a\0b", 3})));
	assert_false(workspace_is_valid(STR("12345678901234567890123456789012345678901234567890123456789012345")));
}

static void lists_are_of_a_user_or_of_all_newest_first(void **state)
{
	struct place *p = *state;
	struct spec a = new_spec(p, "ann", NULL), b = new_spec(p, "bob/../x", NULL), c = new_spec(p, "ann", NULL);
	struct id_list list;
	char id[ID_SIZE];

	journal_save(&p->j, &a, id);
	journal_save(&p->j, &b, id);
	journal_save(&p->j, &c, id);
	assert_int_equal(journal_list(&p->j, "ann", p->arena, &list), 0);
	assert_int_equal(list.n, 2);
	assert_string_equal(list.ids[0], c.id);
	assert_string_equal(list.ids[1], a.id);
	assert_int_equal(journal_list(&p->j, "bob/../x", p->arena, &list), 0);
	assert_int_equal(list.n, 1);
	assert_int_equal(journal_list(&p->j, "nobody", p->arena, &list), 0);
	assert_int_equal(list.n, 0);
	assert_int_equal(journal_list(&p->j, NULL, p->arena, &list), 0);
	assert_int_equal(list.n, 3);
}

static void a_lost_command_gets_a_result(void **state)
{
	struct place *p = *state;
	struct spec s = new_spec(p, "ann", NULL);
	struct result r = {.status = COMMAND_LOST, .exit_code = -1, .reason = "gone"};
	struct journal_entry e;
	struct id_list running;
	char id[ID_SIZE];

	journal_save(&p->j, &s, id);
	assert_int_equal(journal_end(&p->j, s.id, &r), 0);
	assert_int_equal(journal_load(&p->j, s.id, p->arena, &e), 0);
	assert_true(e.has_result);
	assert_int_equal(e.result.status, COMMAND_LOST);
	assert_int_equal(e.result.exit_code, -1);
	assert_string_equal(e.result.reason, "gone");
	journal_list_running(&p->j, p->arena, &running);
	assert_int_equal(running.n, 0);
}

static void the_lock_tells_whether_a_supervisor_lives(void **state)
{
	struct place *p = *state;
	struct spec s = new_spec(p, "ann", NULL);
	char id[ID_SIZE];
	int fd;

	journal_save(&p->j, &s, id);
	fd = journal_lock(&p->j, s.id);
	assert_true(fd >= 0);
	assert_int_equal(journal_lock(&p->j, s.id), -EWOULDBLOCK);
	close(fd);
	fd = journal_lock(&p->j, s.id);
	assert_true(fd >= 0);
	close(fd);
}

static void only_what_ended_is_pruned(void **state)
{
	struct place *p = *state;
	struct spec ended = new_spec(p, "ann", "k"), running = new_spec(p, "ann", NULL),
		    again = new_spec(p, "ann", "k");
	struct result r = {.status = COMMAND_EXITED};
	struct id_list list;
	char id[ID_SIZE];

	journal_save(&p->j, &ended, id);
	journal_save(&p->j, &running, id);
	journal_end(&p->j, ended.id, &r);
	assert_int_equal(journal_prune(&p->j, clock_now_us() - 60000000), 0);
	assert_int_equal(journal_prune(&p->j, clock_now_us() + 60000000), 1);
	journal_list(&p->j, "ann", p->arena, &list);
	assert_int_equal(list.n, 1);
	assert_string_equal(list.ids[0], running.id);
	assert_int_equal(journal_save(&p->j, &again, id), JOURNAL_SAVED);
}

static void a_removed_command_leaves_nothing(void **state)
{
	static const char *const files[] = {"output", "session", NETWORK_FILE, STARTED_FILE, "ctl"};
	struct place *p = *state;
	struct spec s = new_spec(p, "ann", "k");
	struct result r = {.status = COMMAND_EXITED};
	char id[ID_SIZE];
	int fd;

	journal_save(&p->j, &s, id);
	fd = journal_folder(&p->j, s.id);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		assert_int_equal(file_mark(fd, files[i], STR("x")), 0);
	close(fd);
	assert_int_equal(journal_end(&p->j, s.id, &r), 0);
	journal_remove(&p->j, &s);
	assert_int_equal(journal_folder(&p->j, s.id), -ENOENT);
	assert_false(journal_has_key(&p->j, s.key));
	journal_forget_user(&p->j, "ann");
	assert_int_equal(faccessat(p->j.users_fd, "ann", F_OK, 0), -1);
}

/* However full the disk is by then: no file is made, none grows. */
static void a_result_takes_the_room_that_was_reserved_for_it(void **state)
{
	struct place *p = *state;
	struct spec s = new_spec(p, "ann", NULL);
	struct result r = {.status = COMMAND_EXITED, .exit_code = 7};
	struct journal_entry e;
	struct stat spec, written;
	char id[ID_SIZE];
	int fd;

	assert_int_equal(journal_save(&p->j, &s, id), JOURNAL_SAVED);
	fd = journal_folder(&p->j, s.id);
	assert_int_equal(fstatat(fd, SPEC_FILE, &spec, 0), 0);
	assert_int_equal(journal_load(&p->j, s.id, p->arena, &e), 0);
	assert_false(e.has_result);
	assert_int_equal(journal_end(&p->j, s.id, &r), 0);
	assert_int_equal(fstatat(fd, RESULT_FILE, &written, 0), 0);
	assert_int_equal(written.st_ino, spec.st_ino);
	assert_int_equal(written.st_size, spec.st_size);
	assert_int_equal(written.st_blocks, spec.st_blocks);
	assert_int_equal(journal_load(&p->j, s.id, p->arena, &e), 0);
	assert_true(e.has_result);
	assert_int_equal(e.result.exit_code, 7);
	assert_string_equal(e.spec.script, "true");
	close(fd);
}

/* Whose writer was killed, or whose folder was not on the disk yet when the power was lost. */
static void a_result_without_its_name_is_found_behind_the_spec(void **state)
{
	struct place *p = *state;
	struct spec s = new_spec(p, "ann", NULL);
	struct result first = {.status = COMMAND_EXITED, .exit_code = 3},
		      second = {.status = COMMAND_LOST, .reason = "gone"}, got;
	struct journal_entry e;
	char id[ID_SIZE];
	int fd;

	journal_save(&p->j, &s, id);
	assert_int_equal(journal_result(&p->j, s.id, &got), -ENOENT);
	fd = journal_folder(&p->j, s.id);
	assert_int_equal(journal_end(&p->j, s.id, &first), 0);
	assert_int_equal(renameat(fd, RESULT_FILE, fd, RESULT_FILE ".tmp"), 0);
	assert_int_equal(journal_load(&p->j, s.id, p->arena, &e), 0);
	assert_true(e.has_result);
	assert_int_equal(e.result.exit_code, 3);
	assert_int_equal(journal_result(&p->j, s.id, &got), 0);
	assert_int_equal(got.exit_code, 3);
	assert_int_equal(journal_end(&p->j, s.id, &second), 0);
	assert_int_equal(journal_load(&p->j, s.id, p->arena, &e), 0);
	assert_int_equal(e.result.status, COMMAND_LOST);
	assert_string_equal(e.result.reason, "gone");
	close(fd);
}

static void the_longest_result_has_room(void **state)
{
	struct place *p = *state;
	struct result r;

	memset(&r, 0xff, sizeof(r));
	r.status = COMMAND_CANCELLED;
	r.exit_code = r.signal = INT_MIN;
	r.started_us = r.ended_us = INT64_MIN;
	memset(r.reason, 1, sizeof(r.reason) - 1);
	memset(r.removed, 1, sizeof(r.removed) - 1);
	r.reason[sizeof(r.reason) - 1] = r.removed[sizeof(r.removed) - 1] = 0;
	assert_true(result_to_json(p->arena, &r).n <= FILE_ROOM);
}

/* As it was kept before results had room behind their specs, and where a file cannot have two names. */
static void a_result_may_be_a_file_of_its_own(void **state)
{
	struct place *p = *state;
	struct spec s = new_spec(p, "ann", NULL);
	struct result r = {.status = COMMAND_EXITED, .exit_code = 7};
	struct journal_entry e;
	struct stat spec, written;
	char id[ID_SIZE];
	int fd;

	journal_save(&p->j, &s, id);
	fd = journal_folder(&p->j, s.id);
	assert_int_equal(unlinkat(fd, RESULT_FILE ".tmp", 0), 0);
	assert_int_equal(file_mark(fd, RESULT_FILE ".tmp",
				   STR("what was reserved, longer than what comes to stand "
				       "here, and not blank: as much of it as is needed to "
				       "be seen behind the end of a result, which is long: "
				       "longer than this")),
			 0);
	assert_int_equal(journal_end(&p->j, s.id, &r), 0);
	assert_int_equal(fstatat(fd, SPEC_FILE, &spec, 0), 0);
	assert_int_equal(fstatat(fd, RESULT_FILE, &written, 0), 0);
	assert_int_not_equal(written.st_ino, spec.st_ino);
	assert_int_equal(journal_load(&p->j, s.id, p->arena, &e), 0);
	assert_true(e.has_result);
	assert_int_equal(e.result.exit_code, 7);
	close(fd);
}

/* The spec is not written over by what does not fit behind it. */
static void what_has_no_room_gets_a_file_of_its_own(void **state)
{
	struct place *p = *state;
	struct spec s = new_spec(p, "ann", NULL);
	char *text = arena_alloc(p->arena, FILE_ROOM + 2), id[ID_SIZE];
	struct journal_entry e;
	struct str got;
	int fd;

	memset(text, 'x', FILE_ROOM + 1);
	journal_save(&p->j, &s, id);
	fd = journal_folder(&p->j, s.id);
	assert_int_equal(file_replace(fd, RESULT_FILE, str_of(text)), 0);
	assert_int_equal(file_read_second(fd, RESULT_FILE, 65536, p->arena, &got), 0);
	assert_true(str_is(got, text));
	assert_int_equal(file_read_second(fd, RESULT_FILE, FILE_ROOM, p->arena, &got), -EFBIG);
	assert_int_equal(journal_load(&p->j, s.id, p->arena, &e), 0);
	assert_string_equal(e.spec.script, "true");
	close(fd);
}

static void damaged_files_are_told(void **state)
{
	struct place *p = *state;
	struct spec s = new_spec(p, "ann", NULL);
	struct journal_entry e;
	char id[ID_SIZE];
	int fd;

	journal_save(&p->j, &s, id);
	fd = journal_folder(&p->j, s.id);
	assert_int_equal(file_replace(fd, RESULT_FILE, STR("{\"status\":\"running\"}")), 0);
	assert_int_equal(journal_load(&p->j, s.id, p->arena, &e), 0);
	assert_false(e.has_result);
	assert_int_equal(file_replace(fd, SPEC_FILE, STR("{}")), 0);
	assert_int_equal(journal_load(&p->j, s.id, p->arena, &e), -EBADMSG);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_place, close_place)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_saved_command_is_there),
		TEST(a_key_stands_for_one_command),
		TEST(a_command_without_its_key_was_never_accepted),
		TEST(a_key_of_a_removed_command_is_free_again),
		TEST(a_workspace_keeps_its_owner),
		TEST(a_new_workspace_that_many_claim_at_once_gets_one_owner),
		TEST(an_owner_that_a_crash_left_empty_is_nobody),
		TEST(a_workspace_that_is_a_link_is_refused),
		TEST(a_workspace_on_another_target_is_not_made_here),
		TEST(workspace_names_are_words),
		TEST(lists_are_of_a_user_or_of_all_newest_first),
		TEST(a_lost_command_gets_a_result),
		TEST(the_lock_tells_whether_a_supervisor_lives),
		TEST(only_what_ended_is_pruned),
		TEST(a_removed_command_leaves_nothing),
		TEST(a_result_takes_the_room_that_was_reserved_for_it),
		TEST(a_result_without_its_name_is_found_behind_the_spec),
		TEST(the_longest_result_has_room),
		TEST(a_result_may_be_a_file_of_its_own),
		TEST(what_has_no_room_gets_a_file_of_its_own),
		TEST(damaged_files_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
