/* Files of a workspace that commands cannot write, whether they are there or not, and that nothing is left of it. */
#include "sandbox/protect.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "testing.h"

static bool as_user;
static struct bench *bench;

/* As systemd has it, which a machine for tests may not: what is mounted inside must not appear here. */
static void share_mounts(void)
{
	if (geteuid() != 0)
		return;
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL), 0);
}

static int open_bench(void **state)
{
	share_mounts();
	bench = bench_new_with(as_user, true, as_user ? 0 : 2);
	return 0;
}

static int close_bench(void **state)
{
	bench_free(bench);
	return 0;
}

static void run(struct trial *t)
{
	trial_start(t);
	trial_wait(t);
}

static struct trial again(const struct trial *first, const char *script)
{
	struct trial t = trial_script(bench, script);

	t.spec.workspace = first->spec.workspace;
	t.spec.uid = first->spec.uid;
	return t;
}

static const char *output_of(const struct trial *t)
{
	return t->output.p ? t->output.p : "";
}

static char *host_path(const struct trial *t, const char *name)
{
	return arena_printf(bench->arena, "%s/workspaces/%s/%s", bench->dir, t->spec.workspace, name);
}

static bool is_on_host(const struct trial *t, const char *name)
{
	struct stat st;

	return lstat(host_path(t, name), &st) == 0;
}

/* Everything in the workspace, names with blanks between. */
static char *list_host(const struct trial *t)
{
	char *text = arena_strdup(bench->arena, "");
	DIR *d = opendir(host_path(t, ""));
	struct dirent *e;

	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			text = arena_printf(bench->arena, "%s%s ", text, e->d_name);
	closedir(d);
	return text;
}

static void on_host(const struct trial *t, const char *script)
{
	char *command = arena_printf(bench->arena, "cd '%s' && { %s; } && chown -R %u:%u .", host_path(t, ""), script,
				     as_user ? geteuid() : t->spec.uid, as_user ? getegid() : t->spec.uid);

	bench_workspace(bench, t->spec.workspace, t->spec.uid);
	assert_int_equal(system(command), 0);
}

static void what_is_not_there_cannot_be_made_and_leaves_nothing(void **state)
{
	static const char *const names[] = {".bashrc",
					    ".profile",
					    ".zshrc",
					    ".bash_profile",
					    ".gitconfig",
					    ".mcp.json",
					    ".git/hooks/pre-commit",
					    ".vscode/tasks.json",
					    ".idea/x",
					    ".ogent/policy.json",
					    ".config/git/config",
					    ".config/fish/config.fish"};
	char *script = arena_strdup(bench->arena, "");
	struct trial t;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		script = arena_printf(bench->arena,
				      "%smkdir -p $(dirname %s) 2>/dev/null; echo x > %s && echo made %s; ", script,
				      names[i], names[i], names[i]);
	script = arena_printf(bench->arena, "{ %s } 2>/dev/null; echo done", script);
	t = trial_script(bench, script);
	run(&t);
	assert_string_equal(output_of(&t), "done\n");
	assert_string_equal(list_host(&t), "");
}

static void a_failure_is_told_to_the_program(void **state)
{
	struct trial t = trial_script(bench, "echo x > .bashrc");

	run(&t);
	assert_int_equal(t.result.exit_code, 1);
	assert_non_null(strstr(output_of(&t), "Read-only file system"));
}

/* Other ways to a name than opening it. */
static void no_other_way_makes_or_changes_one(void **state)
{
	static const char script[] =
		"{ echo evil > e; mkdir evil; echo evil > evil/pre-commit\n"
		"mv -fT e .bashrc; ln -f e .bashrc; ln -sf e .bashrc; cp -f e .bashrc; rm -f .bashrc; truncate -s0 "
		".profile\n"
		"mv -fT evil .git/hooks; rm -rf .git/hooks; mv .git g; mv .git/hooks h; ln -sfT /workspace/evil "
		".git/hooks\n"
		"mkfifo .zshrc; mv .config c; mv .vscode v; rmdir .vscode; chmod 777 .bashrc .git/hooks; touch "
		".bashrc\n"
		"ln .bashrc link; exec 3<>.bashrc; sed -i s/a/b/ .profile; tee .mcp.json < e\n"
		"python3 -c 'import os; os.replace(\"e\", \".bashrc\")'; setfattr -n user.x -v y .bashrc\n"
		"cd /proc/self/root/workspace && cp /workspace/e .bashrc; cd /proc/self/cwd/ && cp e .zshenv; } "
		">/dev/null 2>&1\n"
		"cat .bashrc .profile .mcp.json .zshenv; stat -c %s:%F .bashrc; test -f .git/hooks/pre-commit && echo "
		"hook\n"
		"for d in .git .config .vscode; do test -e $d || echo moved $d; done; rm -rf g h c v";
	struct trial t = trial_script(bench, script);

	run(&t);
	assert_string_equal(output_of(&t), "0:regular empty file\n");
	assert_false(is_on_host(&t, ".bashrc"));
	assert_false(is_on_host(&t, ".git"));
	assert_true(is_on_host(&t, "e") && is_on_host(&t, "evil/pre-commit"));
}

static void what_is_there_can_be_read_and_not_changed(void **state)
{
	struct trial t = trial_script(
		bench, "cat .bashrc .vscode/s .git/config .git/hooks/h; { echo x >> .bashrc; rm -f .bashrc; "
		       "echo x > .vscode/s; touch .vscode/new; rm -rf .vscode .git; mv .git/config c; echo x "
		       "> .git/config; touch .git/hooks/new; mv .git .g; } 2>/dev/null; touch .git/index; ls -A");

	on_host(&t, "mkdir -p .vscode .git/hooks && echo rc > .bashrc && echo s > .vscode/s && echo c > .git/config && "
		    "echo h > .git/hooks/h");
	trial_start_in(&t);
	trial_wait(&t);
	assert_non_null(strstr(output_of(&t), "rc\ns\nc\nh\n"));
	t = again(&t, "cat .bashrc .vscode/s .git/config .git/hooks/h; ls .vscode .git .git/hooks | tr '\\n' ' '");
	trial_start_in(&t);
	trial_wait(&t);
	assert_string_equal(output_of(&t), "rc\ns\nc\nh\n.git: config hooks index  .git/hooks: h  .vscode: s ");
}

static void git_is_of_use(void **state)
{
	struct trial t = trial_script(
		bench, "git init -q . && git config user.email a@b && git config user.name a && echo x > f "
		       "&& git add -A && git commit -qm first && git branch more && git status --short");

	run(&t);
	assert_string_equal(output_of(&t), "");
	assert_int_equal(t.result.exit_code, 0);
	assert_true(is_on_host(&t, ".git/config"));
	assert_false(is_on_host(&t, ".git/hooks"));
	assert_string_equal(t.result.removed, "");
	t = again(&t, "echo y > f; git commit -qam second; git log --format=%s; git ls-files; git config core.pager x "
		      "2>/dev/null || echo no; git status --short; git -C . init -q sub && git -C sub config a.b c");
	trial_start_in(&t);
	trial_wait(&t);
	assert_string_equal(output_of(&t), "second\nfirst\nf\nno\n");
	assert_int_equal(t.result.exit_code, 0);
}

static void a_new_repository_has_no_settings_that_run_programs(void **state)
{
	static const char *const settings[] = {"git config core.fsmonitor /workspace/h",
					       "git config alias.x '!id'",
					       "printf '[core] hooksPath=/workspace\n' >> .git/config",
					       "printf '[CORE]\n hookspath = \\\n x\n' >> .git/config",
					       "git config include.path x",
					       "rm .git/config; ln -s ../c .git/config",
					       "git config remote.a.url ext::id",
					       "echo x > .git/commondir"};

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		struct trial t =
			trial_script(bench, arena_printf(bench->arena, "git init -q .; %s; exit 0", settings[i]));

		run(&t);
		assert_int_equal(t.result.exit_code, 0);
		if (t.result.removed[0] == 0 || is_on_host(&t, ".git/commondir") ||
		    (is_on_host(&t, ".git/config") && i + 1 < ARRAY_SIZE(settings)))
			fail_msg("kept: %s", settings[i]);
		assert_non_null(strstr(t.result.reason, t.result.removed));
		assert_true(is_on_host(&t, ".git/HEAD"));
	}
}

static void links_and_other_names_are_refused(void **state)
{
	struct trial t = trial_script(bench, "echo ran");

	on_host(&t, "ln -s f .bashrc");
	trial_start_in(&t);
	trial_wait(&t);
	assert_int_equal(t.result.status, COMMAND_ERROR);
	assert_non_null(strstr(t.result.reason, ".bashrc cannot be protected, because it is a link"));
	t = again(&t, "echo ran");
	on_host(&t, "rm .bashrc; echo x > a; ln a .profile");
	trial_start_in(&t);
	trial_wait(&t);
	assert_int_equal(t.result.status, COMMAND_ERROR);
	assert_true(is_on_host(&t, "a") && is_on_host(&t, ".profile") && !is_on_host(&t, ".zshrc"));
}

static void a_work_trees_folder_is_protected_too(void **state)
{
	struct trial t = trial_script(
		bench, "{ echo x >> main/.git/config; echo x > main/.git/hooks/pre-commit; echo x >> .git; "
		       "mv main m; mv main/.git m; rm -rf main; } 2>/dev/null; cat .git main/.git/config");

	on_host(&t, "mkdir -p main/.git/worktrees/w && echo c > main/.git/config && echo ../.. > "
		    "main/.git/worktrees/w/commondir && echo 'gitdir: main/.git/worktrees/w' > .git");
	trial_start_in(&t);
	trial_wait(&t);
	assert_string_equal(output_of(&t), "gitdir: main/.git/worktrees/w\nc\n");
	assert_false(is_on_host(&t, "main/.git/hooks"));
}

static void submodules_are_protected_beside_the_rest(void **state)
{
	static const char script[] =
		"{ for d in .git .git/modules/a .git/modules/b; do echo x >> $d/config; echo x > $d/hooks/pre-commit; "
		"mv $d/config $d/c; done; mv .git/modules m; mv .git g; } 2>/dev/null; cat .git/config "
		".git/modules/a/config .git/modules/b/config; ls .git/hooks .git/modules/b/hooks; rm -rf m g";
	struct trial t = trial_script(bench, script);

	on_host(&t, "for d in .git .git/modules/a .git/modules/b; do mkdir -p $d/hooks && echo $d > $d/config; done");
	trial_start_in(&t);
	trial_wait(&t);
	assert_string_equal(output_of(&t),
			    ".git\n.git/modules/a\n.git/modules/b\n.git/hooks:\n\n.git/modules/b/hooks:\n");
	assert_string_equal(list_host(&t), ".git ");
}

static void the_last_command_of_a_workspace_tidies_up(void **state)
{
	struct trial first = trial_script(bench, "echo on; read x"), second;

	first.spec.has_input = true;
	trial_start(&first);
	assert_true(trial_until(&first, trial_has_output, 30000));
	assert_true(is_on_host(&first, ".bashrc"));
	second = again(&first, "cat .bashrc; echo x > .bashrc || echo no");
	trial_start_in(&second);
	trial_wait(&second);
	assert_non_null(strstr(output_of(&second), "no\n"));
	assert_true(is_on_host(&first, ".bashrc"));
	trial_cancel(&first);
	trial_wait(&first);
	assert_string_equal(list_host(&first), "");
}

static void what_a_killed_supervisor_left_is_not_taken_for_the_users(void **state)
{
	struct trial t = trial_script(bench, "git init -q .; git config core.fsmonitor x; echo on; read x"), next;
	pid_t pid;

	t.spec.has_input = true;
	trial_start(&t);
	assert_true(trial_until(&t, trial_has_output, 30000));
	pid = trial_supervisor(&t);
	assert_true(pid > 0);
	kill(pid, SIGKILL);
	for (int i = 0; i < 3000 && kill(pid, 0) == 0; i++)
		usleep(10000);
	next = again(&t, "git config core.fsmonitor; ls -d .git/HEAD");
	trial_start_in(&next);
	trial_wait(&next);
	assert_string_equal(output_of(&next), ".git/HEAD\n");
	assert_string_equal(list_host(&next), ".git ");
	close(t.control);
}

static void without_protection_everything_can_be_written(void **state)
{
	struct trial t = trial_script(
		bench, "ls -A; echo x > .bashrc; mkdir -p .git/hooks .vscode; touch .git/hooks/h .vscode/s");

	t.spec.protects = false;
	run(&t);
	assert_string_equal(output_of(&t), "");
	assert_true(is_on_host(&t, ".bashrc") && is_on_host(&t, ".git/hooks/h") && is_on_host(&t, ".vscode/s"));
}

static void names_are_known_with_what_is_above_and_below(void **state)
{
	assert_true(protect_covers(".bashrc") && protect_covers(".git") && protect_covers(".git/hooks/x") &&
		    protect_covers(".vscode/a/b") && protect_covers(".config"));
	assert_false(protect_covers(".bashrc2") || protect_covers("src/.bashrc") || protect_covers(".git/index") ||
		     protect_covers(".config/app"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_there_cannot_be_made_and_leaves_nothing),
		cmocka_unit_test(a_failure_is_told_to_the_program),
		cmocka_unit_test(no_other_way_makes_or_changes_one),
		cmocka_unit_test(what_is_there_can_be_read_and_not_changed),
		cmocka_unit_test(git_is_of_use),
		cmocka_unit_test(a_new_repository_has_no_settings_that_run_programs),
		cmocka_unit_test(links_and_other_names_are_refused),
		cmocka_unit_test(a_work_trees_folder_is_protected_too),
		cmocka_unit_test(submodules_are_protected_beside_the_rest),
		cmocka_unit_test(the_last_command_of_a_workspace_tidies_up),
		cmocka_unit_test(what_a_killed_supervisor_left_is_not_taken_for_the_users),
		cmocka_unit_test(without_protection_everything_can_be_written),
		cmocka_unit_test(names_are_known_with_what_is_above_and_below),
	};

	as_user = argc > 1;
	return cmocka_run_group_tests(tests, open_bench, close_bench);
}
