#include "policy/judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
	struct policy *contained, *guarded, *minimal;
};

static struct policy *builtin(const char *name)
{
	struct error err = {0};

	for (const struct builtin_policy *b = builtin_policies; b->name; b++)
		if (strcmp(b->name, name) == 0) {
			struct policy *p = policy_load(name, str_of(b->json), &err);

			if (!p)
				fail_msg("%s: %s", name, err.message);
			return p;
		}
	fail();
	return NULL;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->contained = builtin("contained");
	f->guarded = builtin("guarded");
	f->minimal = builtin("minimal");
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	policy_free(f->contained);
	policy_free(f->guarded);
	policy_free(f->minimal);
	free(f);
	return 0;
}

/* Programs that this machine need not have. */
static bool use_names;

static void judge(struct arena *a, const struct policy *p, const char *script, struct verdict *ret)
{
	struct policy_request req = {.script = str_of(script), .cwd = "", .is_remote = use_names};

	policy_judge(a, &p, 1, &req, ret);
}

static void expect(const struct policy *p, const char *script, enum decision wanted)
{
	struct arena *a = arena_new();
	struct verdict v;

	judge(a, p, script, &v);
	if (v.decision != wanted)
		fail_msg("%s: \"%s\" is %s by %s (%s: %s), not %s", p->name, script, decision_name(v.decision),
			 v.decider->rule, v.decider->text, v.decider->reason, decision_name(wanted));
	arena_free(a);
}

static void expect_all(const struct policy *p, const char *const *scripts, size_t n, enum decision wanted)
{
	for (size_t i = 0; i < n; i++)
		expect(p, scripts[i], wanted);
}

#define EXPECT(p, wanted, ...)                                     \
	do {                                                       \
		static const char *const list[] = {__VA_ARGS__};   \
		expect_all((p), list, ARRAY_SIZE(list), (wanted)); \
	} while (0)

static void what_is_on_the_list_runs(void **state)
{
	struct fixture *f = *state;

	EXPECT(f->minimal, DECISION_ALLOW, "ls", "ls -la src", "/bin/ls", "/usr/bin/ls -l", "/usr/bin//ls", "cat a b",
	       "echo 'hello world'", "grep -rn 'a b' src", "find . -name '*.c'", "wc -l x", "head -n 5 x", "git log",
	       "git log --oneline -n 5", "ls | wc -l", "ls && echo yes || echo no", "cat x; ls", "echo x > out",
	       "echo x >> sub/out", "ls > /workspace/list", "cat < in", "ls 2>/dev/null", "ls > out 2>&1",
	       "timeout 5 ls", "nice -n 5 ls", "nohup ls", "env ls", "env LANG=C ls", "stdbuf -oL grep x y",
	       "timeout -k 1 5 nice ls", "echo rm x", "echo 'curl | sh'", "grep sudo x", "cd src && ls",
	       "echo \"a; rm x\"", "'ls'", "l's' -l", "git --no-pager log");
}

static void what_is_forbidden_is_denied_in_every_dress(void **state)
{
	struct fixture *f = *state;
	static const char *const scripts[] = {
		/* chaining */
		"rm x",
		"ls&&rm x",
		"ls || rm x",
		"ls; rm x",
		"ls;rm x",
		"ls | rm x",
		"ls|rm",
		"ls & rm x",
		"ls\nrm x",
		"ls &&rm x|| ls",
		"ls;ls;ls;ls;rm x;ls",
		"rm x;",
		"ls |& rm x",
		"true && ls || wget u",
		/* substitution */
		"echo $(curl u)",
		"echo `curl u`",
		"echo \"$(curl u)\"",
		"echo \"a`curl u`b\"",
		"echo $(echo $(curl u))",
		"cat <(curl u)",
		"ls >(curl u)",
		"echo ${x:-$(curl u)}",
		"ls $(rm x)",
		"echo \"${x:-`rm y`}\"",
		/* grouping, keywords, functions */
		"(rm x)",
		"{ rm x; }",
		"if true; then rm x; fi",
		"for i in a; do rm $i; done",
		"while rm x; do ls; done",
		"! rm x",
		"time rm x",
		"f() { rm x; }; f",
		"function f { rm x; }",
		"case a in a) rm x;; esac",
		"coproc rm x",
		"until rm x; do :; done",
		"if rm x; then :; elif ls; then :; fi",
		/* wrappers */
		"timeout 5 rm x",
		"timeout -s KILL 5 rm x",
		"timeout --signal=KILL 5 rm x",
		"timeout --sig KILL 5 rm x",
		"timeout -k5 5 rm x",
		"timeout -v 5 rm x",
		"timeout 5s -- rm x",
		"env -a ls rm x",
		"env -vS 'rm x'",
		"env --default-signal rm x",
		"prlimit --nofile=5 rm x",
		"choom -n 5 -- rm x",
		"linux32 rm x",
		"coreutils --coreutils-prog=rm x",
		"xargs --arg-file=f rm",
		"env rm x",
		"env -i rm x",
		"env - rm x",
		"env A=b rm x",
		"env -u A rm x",
		"env -uA rm x",
		"env --unset=A rm x",
		"env -S 'rm x'",
		"env -S'rm x'",
		"env --split-string='rm x'",
		"env -iS 'rm x'",
		"nice rm x",
		"nice -5 rm x",
		"nice -n 5 rm x",
		"nohup rm x",
		"setsid rm x",
		"stdbuf -o0 rm x",
		"stdbuf -o 0 rm x",
		"ionice -c 3 rm x",
		"ionice -c3 rm x",
		"taskset 1 rm x",
		"chrt 1 rm x",
		"xargs rm",
		"xargs -n 1 rm",
		"xargs -n1 -P 2 rm",
		"ls | xargs rm",
		"ls | xargs -0 -I X rm X",
		"sudo rm x",
		"sudo ls",
		"sudo -u root ls",
		"busybox rm x",
		"toybox rm x",
		"watch rm x",
		"watch 'rm x'",
		"watch -n 1 'rm x'",
		"strace rm x",
		"strace -o f rm x",
		"flock f rm x",
		"flock f -c 'rm x'",
		"unshare rm x",
		"chroot / rm x",
		"nsenter -t 1 rm x",
		"timeout 5 nice nohup env rm x",
		"command rm x",
		"builtin rm x",
		"exec rm x",
		"eval rm x",
		"exec -a y rm x",
		"setpriv rm x",
		"doas rm x",
		"ld-linux-x86-64.so.2 /bin/rm x",
		"/lib64/ld-linux-x86-64.so.2 /bin/rm x",
		"/usr/bin/env rm x",
		"/usr/bin/timeout 5 /bin/rm x",
		"script -c 'rm x'",
		"su -c 'rm x'",
		"su root -c 'rm x'",
		/* nested shells */
		"sh -c 'rm x'",
		"bash -c 'rm x'",
		"bash -c 'ls; rm x'",
		"bash -lc 'rm x'",
		"bash -x -c 'rm x'",
		"dash -c 'rm x'",
		"sh -c \"sh -c 'rm x'\"",
		"/bin/sh -c 'rm x'",
		"env bash -c 'rm x'",
		"timeout 5 sh -c 'rm x'",
		"zsh -c 'rm x'",
		"bash --norc -c 'rm x'",
		"sh -ec 'rm x'",
		"busybox sh -c 'rm x'",
		"sh -c 'ls && (rm x)'",
		/* spelling */
		"r\"\"m x",
		"r''m x",
		"'rm' x",
		"\"rm\" x",
		"\\rm x",
		"r\\m x",
		"r\\\nm x",
		"$'rm' x",
		"/bin/rm x",
		"/usr/bin/rm x",
		"//bin//rm x",
		"/bin/../bin/rm x",
		"./rm x",
		"../rm x",
		"/tmp/rm x",
		"/proc/self/root/bin/rm x",
		"A=b rm x",
		"A=b B=c rm x",
		">x rm y",
		"2>/dev/null rm x",
		"<x rm y",
		" \t rm x",
		/* find */
		"find . -exec rm {} ;",
		"find . -exec rm {} \\;",
		"find . -name x -execdir rm y ';'",
		"find . -exec rm {} +",
		"find . -ok rm {} ';'",
		"find . -exec ls ';' -exec rm x ';'",
		"find . -exec sh -c 'rm x' ';'",
		"find . -exec env rm x ';'",
		/* redirection */
		"echo x > ~/.bashrc",
		"echo x > /etc/passwd",
		"echo x > ../x",
		"echo x > /tmp/x",
		"echo x > .bashrc",
		"echo x >> .git/hooks/pre-commit",
		"echo x > .git/config",
		"echo x > sub/../../x",
		"echo x > $HOME/x",
		"echo x > /workspace/../etc/x",
		"echo x > /workspacex/y",
		"ls 2>/tmp/x",
		"ls &> /tmp/x",
		"ls >| /tmp/x",
		"cd /tmp && echo x > y",
		"cd .git && echo x > config",
		"cd ~ && echo x > y",
		"cd $x; ls > y",
		"echo x > .mcp.json",
		"echo x > .vscode/tasks.json",
		"echo x >/proc/self/mem",
		"echo x > /dev/sda",
		"echo x <>/tmp/y",
		"echo x >& /tmp/y",
		"ls > \"$x\"",
		"ls > `x`",
		"ls > sub/.hidden",
		"ls > *",
		"ls > /dev/tcp/1.2.3.4/80",
		/* invisible */
		"r\rm x",
		"ls\r",
		"ls\r\n",
		"l\xe2\x80\x8bs",
		"ls \xe2\x80\xaex",
		"ls\xc2\xa0x",
		"\xef\xbb\xbfls",
		"ls \x01",
		"ls \x1b[2J",
		"ls \x7f",
		"echo 'a\rb'",
		"ls\xe3\x80\x80x",
		"echo \xff",
		"ls \xc2\x85 x",
		"echo \xf3\xa0\x81\x81",
	};

	expect_all(f->minimal, scripts, ARRAY_SIZE(scripts), DECISION_DENY);
}

/* Here an ask would be shown as a denial, so that it is tried with a policy that asks. */
static void what_is_not_on_the_list_is_not_allowed(void **state)
{
	struct fixture *f = *state;
	static const char *const scripts[] = {"find . -exec id ;",
					      "find . -delete",
					      "find . -fprint x",
					      "find . -fprintf x %p",
					      "find . -fls x",
					      "find . -exec ls ';'",
					      "sort -o x y",
					      "sort --output=x y",
					      "sort --out x y",
					      "sort -uo x y",
					      "sort --compress-program=sh x",
					      "sort --comp=sh x",
					      "sed -i s/a/b/ x",
					      "sed -i.bak s/a/b/ x",
					      "sed --in-place s/a/b/ x",
					      "sed -ni p x",
					      "sed 's/a/b/e' x",
					      "sed 's/a/b/w out' x",
					      "sed '1e id' x",
					      "sed 'w out' x",
					      "sed 'r /etc/passwd' x",
					      "sed -n '1w x' y",
					      "sed -f x y",
					      "sed -e p -e '1e id' x",
					      "sed '/a/e id' x",
					      "sed 's/a/b/;e id' x",
					      "sed -e 'e' x",
					      "sed --expression='e id' x",
					      "sed -E -i p x",
					      "sed 's|a|b|e' x",
					      "sed '1{e id}' x",
					      "sed 'a\\' x",
					      "sed '$!{w x}' y",
					      "sed 's/[/]/x/;e;s/x/y/' z",
					      "uniq a b",
					      "date -s 2020-01-01",
					      "date --set=x",
					      "rg --pre sh x",
					      "rg --pre=sh x",
					      "tree -o x",
					      "diff -l a b",
					      "file -C x",
					      "git -c core.fsmonitor=x log",
					      "git -c alias.x=!id x",
					      "git -C /tmp log",
					      "git --git-dir=x log",
					      "git --exec-path=. log",
					      "git --config-env=a=b log",
					      "git -p log",
					      "git log --output=x",
					      "git log --ext-diff",
					      "git log --textconv",
					      "git log -p",
					      "git log --show-signature",
					      "git log --format=%G?",
					      "git log -Sx",
					      "git log --dd",
					      "git log --binary",
					      "git log --check",
					      "git log -L1,2:x",
					      "git log --remerge-diff",
					      "git status -v",
					      "git status -sv",
					      "git status --verb",
					      "git status --ignore-submodules=none",
					      "git status --ignore-sub=dirty",
					      "git ls-files --recurse-submodules",
					      "date 010101012020",
					      "date -u 01010101",
					      "date -d now 01010101",
					      "env -a ls make x",
					      "env -aecho make x",
					      "env -ia ls make",
					      "env --argv0 ls make",
					      "env LANGUAGE=../../x ls",
					      "env LANG=/tmp/x ls",
					      "env LC_ALL=../x ls",
					      "env LC_MESSAGES=a/b ls",
					      "env TZ=/workspace/x date",
					      "env TZ=:/workspace/x date",
					      "TZ=../x date",
					      "env TZDIR=x date",
					      "env MAGIC=x file y",
					      "env TMPDIR=/x sort y",
					      "env TZ=UTC LD_DEBUG=all LD_DEBUG_OUTPUT=x ls",
					      "env GIT_TRACE=/workspace/x git log",
					      "env GIT_TRACE2_EVENT=/x git log",
					      "env MALLOC_TRACE=x ls",
					      "sed 'W x' f",
					      "sed '0~3e' f",
					      "sed '\\xaxe id' f",
					      "sed 's/a/b/2e' f",
					      "sed ':a;e id' f",
					      "sed 's/[/]e/x/e' f",
					      "sed '/a/{p;e id\n}' f",
					      "sort -nro y x",
					      "sort x -o/workspace/y",
					      "tree -Ro x",
					      "rg --hostname-bin=sh x",
					      "file -zm x y",
					      "find . '(' -exec id ';' ')'",
					      "find . -ex'ec' id ';'",
					      "mkdir --mo=777 x",
					      "touch -ram x y",
					      "touch sub/../../x",
					      "uniq -- a b",
					      "git log --outp=x",
					      "git push",
					      "git blame x",
					      "git show",
					      "env --chdir=/tmp touch x",
					      "env -C /tmp touch x",
					      "git log --help",
					      "git commit -m x",
					      "git diff",
					      "git x",
					      "git",
					      "git --version -c x=y log",
					      "awk 'BEGIN{system(\"id\")}'",
					      "awk '{print}' x",
					      "gawk x",
					      "mawk x",
					      "perl -e 1",
					      "python3 -c 1",
					      "python3.11 x",
					      "python x.py",
					      "node x.js",
					      "nodejs x",
					      "ruby x",
					      "php x",
					      "lua x",
					      "make",
					      "cmake .",
					      "ninja",
					      "npm test",
					      "npx x",
					      "pip install x",
					      "cargo run",
					      "go run x",
					      "gcc x.c",
					      "cc x.c",
					      "tar xf x",
					      "tar cf x --checkpoint=1 --checkpoint-action=exec=sh x",
					      "tar -I sh -cf x y",
					      "zip x y -TT sh",
					      "unzip x",
					      "less x",
					      "more x",
					      "man ls",
					      "vi x",
					      "vim -c '!id' x",
					      "nano x",
					      "ed x",
					      "emacs x",
					      "sqlite3 x",
					      "gdb x",
					      "xargs ls",
					      "ls | xargs cat",
					      "parallel ls",
					      "sh x.sh",
					      "bash x.sh",
					      "bash",
					      "sh",
					      "./x.sh",
					      "./ls",
					      "x/ls",
					      "bin/ls",
					      "/workspace/ls",
					      "/tmp/ls",
					      "../bin/ls",
					      "/bin/../bin/ls",
					      "/proc/self/root/bin/ls",
					      "/proc/1/exe",
					      "no-such-program",
					      "ls\\ ",
					      "l\\s",
					      "LD_PRELOAD=./x.so ls",
					      "PATH=. ls",
					      "env LD_PRELOAD=./x.so ls",
					      "env PATH=. ls",
					      "env -i PATH=/tmp ls",
					      "env GIT_DIR=x git log",
					      "GIT_EXTERNAL_DIFF=x git log",
					      "BASH_ENV=x ls",
					      "env BASH_ENV=x ls",
					      "env PYTHONPATH=x ls",
					      "env NODE_OPTIONS=x ls",
					      "env PAGER=x ls",
					      "env LESSOPEN=x ls",
					      "env 'BASH_FUNC_ls%%=() { id; }' ls",
					      "env GCONV_PATH=. ls",
					      "env RIPGREP_CONFIG_PATH=x rg y",
					      "env IFS=x ls",
					      "IFS=/ ls",
					      "env -S ls",
					      "env --split-string=ls",
					      "env -u PATH -S ls",
					      "chrt -p 1 ls",
					      "ls *",
					      "ls $x",
					      "ls ~",
					      "ls {a,b}",
					      "cp a b",
					      "mv a b",
					      "ln -s a b",
					      "chmod +x a",
					      "dd if=a of=b",
					      "tee x",
					      "truncate -s 0 x",
					      "touch /tmp/x",
					      "mkdir ../x",
					      "touch .bashrc",
					      "mkdir .git/hooks",
					      "mkdir -m 777 x",
					      "split --filter=sh x",
					      "openssl enc",
					      "gpg x",
					      "crontab -l",
					      "at now",
					      "systemctl x",
					      "docker ps",
					      "kubectl get x",
					      "run-parts x",
					      "expect x",
					      "screen",
					      "tmux",
					      "busybox ls"};

	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		struct arena *a = arena_new();
		struct verdict v;

		judge(a, f->guarded, scripts[i], &v);
		if (v.decision == DECISION_ALLOW)
			fail_msg("allowed: \"%s\"", scripts[i]);
		judge(a, f->minimal, scripts[i], &v);
		if (v.decision != DECISION_DENY)
			fail_msg("minimal: \"%s\" is %s", scripts[i], decision_name(v.decision));
		arena_free(a);
	}
}

static void reading_is_allowed_where_it_is_guarded(void **state)
{
	struct fixture *f = *state;

	use_names = true;
	EXPECT(f->guarded, DECISION_ALLOW, "ls -la", "sort x", "sort -u -k2 x", "sed -n 1,5p x", "sed s/a/b/g x",
	       "sed -e s/a/b/ -e '3d' x", "sed -n '/a/p' x", "sed '$d' x", "sed 's|a|b|' x", "uniq -c", "uniq -c x",
	       "git status -s", "git log --stat", "git log --pretty=oneline --since=yesterday", "rg x src", "jq .a x",
	       "date -u", "date +%F", "date -d yesterday +%s", "env TZ=Europe/Berlin date", "env LC_ALL=C.UTF-8 ls",
	       "git status -uno", "mkdir -p a/b", "touch a b", "mkdir /workspace/x", "diff -u a b", "tree src",
	       "tail -f x", "find . -type f", "cut -d, -f1 x", "tr a-z A-Z", "sha256sum x", "test -f x",
	       "printf '%s\\n' a", "which ls", "sleep 1");
	EXPECT(f->guarded, DECISION_DENY, "curl x", "wget x", "ssh h", "sudo ls", "env curl x", "ls | nc h 1", "ls\r",
	       "echo x > /x");
	EXPECT(f->guarded, DECISION_ASK, "make", "rm x", "echo $x", "python3 x", "echo x > .bashrc", "./x",
	       "find . -delete");
	use_names = false;
}

/* 60 KiB of short lines. */
static const char *here_document(void)
{
	static char text[61 << 10];

	strcpy(text, "cat > x <<'E'\n");
	for (size_t n = strlen(text); n < 60 << 10; n += 4)
		memcpy(text + n, "a b\n", 5);
	return strcat(text, "E\n");
}

static void in_the_sandbox_everything_runs(void **state)
{
	struct fixture *f = *state;

	EXPECT(f->contained, DECISION_ALLOW, "ls", "rm -rf /", "curl x | sh", "echo $(rm x)",
	       "for i in 1 2; do echo $i; done", "cat > x <<'E'\nrm y\nE", "echo x > /tmp/y", "PATH=. ls",
	       "ls \xe2\x80\x8b", "./configure && make", "python3 -c 'x'", "echo 'unclosed", "sudo ls");
	use_names = true;
	expect(f->contained, here_document(), DECISION_ALLOW);
	expect(f->contained, "cat > x <<'E'\n(((((((((((((((((((((((((a `b $(c\nE", DECISION_ALLOW);
	expect(f->guarded, "((((((((((((ls))))))))))))", DECISION_DENY);
	use_names = false;
}

static void judge_argv(struct arena *a, const struct policy *p, char *const *argv, char *const *env,
		       enum profile profile, struct verdict *ret)
{
	struct policy_request req = {.argv = argv, .cwd = "", .env = env, .profile = profile};

	policy_judge(a, &p, 1, &req, ret);
}

static void an_argv_needs_no_parser(void **state)
{
	struct fixture *f = *state;
	struct arena *a = arena_new();
	struct verdict v;
	char *const *const allowed[] = {
		(char *[]){(char[]){"ls"}, (char[]){"$(rm x); *"}, NULL},
		(char *[]){(char[]){"echo"}, (char[]){"a\nb"}, NULL},
	};
	char *const *const denied[] = {
		(char *[]){(char[]){"rm"}, NULL},
		(char *[]){(char[]){"timeout"}, (char[]){"5"}, (char[]){"rm"}, NULL},
		(char *[]){(char[]){"sh"}, (char[]){"-c"}, (char[]){"ls; rm x"}, NULL},
		(char *[]){(char[]){"find"}, (char[]){"."}, (char[]){"-exec"}, (char[]){"rm"}, (char[]){";"}, NULL},
		(char *[]){(char[]){"ls"}, (char[]){"\xe2\x80\xae"}, NULL},
		(char *[]){(char[]){"l\rs"}, NULL},
		(char *[]){(char[]){"ls; rm x"}, NULL},
		(char *[]){(char[]){""}, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++) {
		judge_argv(a, f->minimal, allowed[i], NULL, PROFILE_SANDBOX, &v);
		assert_int_equal(v.decision, DECISION_ALLOW);
	}
	for (size_t i = 0; i < ARRAY_SIZE(denied); i++) {
		judge_argv(a, f->minimal, denied[i], NULL, PROFILE_SANDBOX, &v);
		assert_int_equal(v.decision, DECISION_DENY);
	}
	arena_free(a);
}

static void an_environment_that_changes_what_runs_is_not_allowed(void **state)
{
	static const char *const bad[] = {"LD_PRELOAD=x",
					  "LD_LIBRARY_PATH=x",
					  "LD_AUDIT=x",
					  "PATH=x",
					  "GIT_DIR=x",
					  "GIT_SSH_COMMAND=x",
					  "BASH_ENV=x",
					  "ENV=x",
					  "PYTHONPATH=x",
					  "PYTHONSTARTUP=x",
					  "NODE_OPTIONS=x",
					  "PAGER=x",
					  "GIT_PAGER=x",
					  "MANPAGER=x",
					  "EDITOR=x",
					  "VISUAL=x",
					  "IFS=x",
					  "PERL5OPT=x",
					  "PERL5LIB=x",
					  "RUBYOPT=x",
					  "HOME=x",
					  "XDG_CONFIG_HOME=x",
					  "LESSOPEN=x",
					  "GCONV_PATH=x",
					  "GLIBC_TUNABLES=x",
					  "TAR_OPTIONS=x",
					  "JAVA_TOOL_OPTIONS=x",
					  "MAKEFLAGS=x",
					  "CC=x",
					  "SSH_ASKPASS=x",
					  "http_proxy=x",
					  "PROMPT_COMMAND=x",
					  "PS4=x",
					  "SHELLOPTS=x",
					  "BASH_FUNC_ls=x",
					  "GREP_OPTIONS=x",
					  "RIPGREP_CONFIG_PATH=x",
					  "LOCPATH=x"};
	static const char *const good[] = {"LANG=C",     "LC_ALL=C",       "TZ=UTC", "TERM=dumb",
					   "NO_COLOR=1", "GREETING=hello", "CI=1"};
	struct fixture *f = *state;
	struct arena *a = arena_new();
	char *argv[] = {(char[]){"ls"}, NULL};
	struct verdict v;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char *env[] = {arena_strdup(a, bad[i]), NULL};

		judge_argv(a, f->minimal, argv, env, PROFILE_SANDBOX, &v);
		if (v.decision == DECISION_ALLOW)
			fail_msg("allowed: %s", bad[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		char *env[] = {arena_strdup(a, good[i]), NULL};

		judge_argv(a, f->minimal, argv, env, PROFILE_SANDBOX, &v);
		if (v.decision != DECISION_ALLOW)
			fail_msg("not allowed: %s", good[i]);
	}
	arena_free(a);
}

static void a_weaker_sandbox_is_a_persons_decision(void **state)
{
	struct fixture *f = *state;
	struct arena *a = arena_new();
	char *argv[] = {(char[]){"ls"}, NULL};
	struct verdict v;

	judge_argv(a, f->contained, argv, NULL, PROFILE_NETWORK, &v);
	assert_int_equal(v.decision, DECISION_ASK);
	assert_string_equal(v.decider->rule, "profile");
	judge_argv(a, f->contained, argv, NULL, PROFILE_NONE, &v);
	assert_int_equal(v.decision, DECISION_ASK);
	judge_argv(a, f->minimal, argv, NULL, PROFILE_NETWORK, &v);
	assert_int_equal(v.decision, DECISION_DENY);
	arena_free(a);
}

static void over_a_limit_it_is_denied_and_at_once(void **state)
{
	struct fixture *f = *state;
	struct arena *a = arena_new();
	char *text = arena_alloc(a, (1 << 20) + 1);
	struct verdict v;

	memset(text, 'a', 1 << 20);
	judge(a, f->contained, text, &v);
	assert_int_equal(v.decision, DECISION_DENY);
	assert_string_equal(v.decider->rule, "limits.bytes");
	text[0] = 0;
	for (int i = 0; i < 60; i++)
		strcat(text, "ls;");
	judge(a, f->guarded, text, &v);
	assert_int_equal(v.decision, DECISION_ALLOW);
	for (int i = 0; i < 10; i++)
		strcat(text, "ls;");
	strcat(text, "rm x");
	judge(a, f->minimal, text, &v);
	assert_int_equal(v.decision, DECISION_DENY);
	assert_string_equal(v.decider->rule, "limits.commands");
	text[0] = 0;
	for (int i = 0; i < 20; i++)
		strcat(text, "env ");
	strcat(text, "ls");
	judge(a, f->guarded, text, &v);
	assert_int_equal(v.decision, DECISION_DENY);
	assert_string_equal(v.decider->rule, "limits.depth");
	arena_free(a);
}

static void several_policies_are_as_strict_as_the_strictest(void **state)
{
	struct fixture *f = *state;
	const struct policy *all[] = {f->contained, f->guarded, f->minimal};
	struct policy_request req = {.script = STR("make"), .cwd = ""};
	struct arena *a = arena_new();
	struct verdict v;

	policy_judge(a, all, 2, &req, &v);
	assert_int_equal(v.decision, DECISION_ASK);
	assert_string_equal(v.decider->policy, "guarded");
	policy_judge(a, all, 3, &req, &v);
	assert_int_equal(v.decision, DECISION_DENY);
	assert_string_equal(v.decider->policy, "minimal");
	arena_free(a);
}

static void the_verdict_says_which_part_decided(void **state)
{
	struct fixture *f = *state;
	struct arena *a = arena_new();
	struct verdict v;

	judge(a, f->minimal, "ls | wc -l && timeout 5 rm 'a b'", &v);
	assert_string_equal(v.decider->kind, "command");
	assert_string_equal(v.decider->text, "rm a b");
	assert_string_equal(v.decider->rule, "never");
	assert_int_equal(v.decider->command, 2);
	assert_true(v.is_provable);
	assert_int_equal(v.n, 4);
	assert_non_null(strstr(v.parts[0].program, "/ls"));
	assert_string_equal(v.parts[2].class, "wrapper");
	arena_free(a);
}

static void a_folder_outside_makes_relative_names_outside(void **state)
{
	struct fixture *f = *state;
	struct policy_request req = {.script = STR("echo x > y"), .cwd = "/tmp"};
	const struct policy *p = f->minimal;
	struct arena *a = arena_new();
	static const struct {
		const char *cwd;
		enum decision wanted;
	} table[] = {{"", DECISION_ALLOW},
		     {"sub", DECISION_ALLOW},
		     {"/workspace/sub", DECISION_ALLOW},
		     {"/workspace", DECISION_ALLOW},
		     {"/tmp", DECISION_DENY},
		     {"..", DECISION_DENY},
		     {"/workspace/..", DECISION_DENY},
		     {"/", DECISION_DENY},
		     {".git/hooks", DECISION_DENY}};
	struct verdict v;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		req.cwd = table[i].cwd;
		policy_judge(a, &p, 1, &req, &v);
		if (v.decision != table[i].wanted)
			fail_msg("in %s: %s", table[i].cwd, decision_name(v.decision));
	}
	arena_free(a);
}

/* ---- Loading ---- */

static void refuses(const char *json, const char *code, const char *word)
{
	struct error err = {0};
	struct policy *p = policy_load("x", str_of(json), &err);

	if (p)
		fail_msg("loaded: %s", json);
	if (strcmp(err.code, code) != 0 || !strstr(err.message, word))
		fail_msg("%s: %s %s", json, err.code, err.message);
}

#define RULE(text) "{\"default\":\"ask\",\"rules\":[{\"id\":\"a\"," text "}]}"

static void broad_rules_are_refused_when_they_are_loaded(void **state)
{
	static const char *const names[] = {"bash",      "sh",         "env",
					    "sudo",      "git",        "python",
					    "python3",   "python3.11", "node",
					    "perl",      "ruby",       "awk",
					    "xargs",     "make",       "npm",
					    "vim",       "less",       "tar",
					    "busybox",   "timeout",    "/usr/bin/env",
					    "/bin/bash", "ssh",        "docker",
					    "gcc-12",    "nohup",      "ld-linux-x86-64.so.2",
					    "php8.2",    "mawk"};
	char json[400];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(json, sizeof(json), RULE("\"verdict\":\"allow\",\"programs\":[\"%s\"]"), names[i]);
		refuses(json, "policy_too_broad", names[i]);
	}
	refuses(RULE("\"verdict\":\"allow\",\"programs\":[\"*\"]"), "policy_too_broad", "*");
	refuses(RULE("\"verdict\":\"allow\",\"programs\":[\"git\"],\"subcommands\":[\"push\"]"), "policy_too_broad",
		"push");
	refuses(RULE("\"verdict\":\"allow\",\"programs\":[\"./ls\"]"), "invalid_policy", "./ls");
}

static void faults_are_told_by_their_member(void **state)
{
	refuses("", "json_invalid", "");
	refuses("[]", "invalid_policy", "policy");
	refuses("{}", "invalid_policy", "default");
	refuses("{\"default\":\"maybe\"}", "invalid_policy", "default");
	refuses("{\"default\":\"ask\",\"defualt\":1}", "invalid_policy", "defualt");
	refuses("{\"default\":\"ask\",\"ask\":\"x\"}", "invalid_policy", "ask");
	refuses("{\"default\":\"ask\",\"limits\":{\"bytes\":0}}", "invalid_policy", "limits");
	refuses("{\"default\":\"ask\",\"redirect\":{\"x\":\"ask\"}}", "invalid_policy", "x");
	refuses("{\"default\":\"ask\",\"rules\":1}", "invalid_policy", "rules");
	refuses(RULE("\"programs\":[\"ls\"]"), "invalid_policy", "verdict");
	refuses(RULE("\"verdict\":\"allow\""), "invalid_policy", "programs");
	refuses(RULE("\"verdict\":\"deny\",\"programs\":[\"ls\"],\"args\":{\"lacks\":[\"-l\"]}"), "invalid_policy",
		"has");
}

static void examples_are_tried_when_they_are_loaded(void **state)
{
	struct error err = {0};
	struct policy *p;

	refuses(RULE("\"verdict\":\"allow\",\"programs\":[\"ls\"],\"examples\":{\"match\":[\"cat x\"]}"),
		"policy_example", "not matched");
	refuses(RULE("\"verdict\":\"allow\",\"programs\":[\"ls\"],\"examples\":{\"other\":[\"ls x\"]}"),
		"policy_example", "is matched");
	p = policy_load("x",
			STR(RULE("\"verdict\":\"allow\",\"programs\":[\"ls\"],\"examples\":{\"match\":[\"ls x\"],"
				 "\"other\":[\"./ls\"]}")),
			&err);
	assert_non_null(p);
	policy_free(p);
}

static void arguments_narrow_a_rule(void **state)
{
	struct error err = {0};
	struct policy *p = policy_load("x",
				       STR("{\"default\":\"ask\",\"rules\":["
					   "{\"id\":\"cp\",\"verdict\":\"allow\",\"programs\":[\"cp\"],\"args\":{"
					   "\"paths\":[\"/workspace/out\"],"
					   "\"lacks\":[\"-t\",\"--target-directory\"]}},"
					   "{\"id\":\"ps\",\"verdict\":\"allow\",\"programs\":[\"ps\"],\"args\":{"
					   "\"only\":[\"aux\",\"--sort*\"],\"max\":2}},"
					   "{\"id\":\"cat\",\"verdict\":\"allow\",\"programs\":[\"cat\"]},"
					   "{\"id\":\"cat-n\",\"verdict\":\"deny\",\"programs\":[\"cat\"],\"args\":{"
					   "\"has\":[\"-n\",\"--number\"]}}]}"),
				       &err);

	assert_non_null(p);
	EXPECT(p, DECISION_ALLOW, "cp out/a out/b", "ps aux", "ps aux --sort=x", "ps", "cat x");
	EXPECT(p, DECISION_ASK, "cp out/a b", "cp -t /tmp out/a", "cp --target=/tmp out/a", "cp out/a out/../b",
	       "cp out/.a out/b", "cp out/a outside/b", "cp -S/x out/a out/b", "cp --backup=../x out/a out/b",
	       "cp -- -x/y out/b", "cp -t.git out/a", "ps e", "ps aux aux aux", "cd .. && cp out/a out/b");
	EXPECT(p, DECISION_DENY, "cat -n x", "cat -An x", "cat --number x", "cat --num x");
	policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_on_the_list_runs),
		cmocka_unit_test(what_is_forbidden_is_denied_in_every_dress),
		cmocka_unit_test(what_is_not_on_the_list_is_not_allowed),
		cmocka_unit_test(reading_is_allowed_where_it_is_guarded),
		cmocka_unit_test(in_the_sandbox_everything_runs),
		cmocka_unit_test(an_argv_needs_no_parser),
		cmocka_unit_test(an_environment_that_changes_what_runs_is_not_allowed),
		cmocka_unit_test(a_weaker_sandbox_is_a_persons_decision),
		cmocka_unit_test(over_a_limit_it_is_denied_and_at_once),
		cmocka_unit_test(several_policies_are_as_strict_as_the_strictest),
		cmocka_unit_test(the_verdict_says_which_part_decided),
		cmocka_unit_test(a_folder_outside_makes_relative_names_outside),
		cmocka_unit_test(broad_rules_are_refused_when_they_are_loaded),
		cmocka_unit_test(faults_are_told_by_their_member),
		cmocka_unit_test(examples_are_tried_when_they_are_loaded),
		cmocka_unit_test(arguments_narrow_a_rule),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
