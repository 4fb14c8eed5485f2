/* Ways around a policy, program by program, under the profile of the reference: ls cat echo grep find wc head and git
 * log are allowed, rm curl wget ssh sudo denied, everything else is asked; and under one that allows more programs by
 * name, whose options then matter. Machines need not have the programs. */
#include "policy/judge.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "files.h"
#include "policy/options.h"

#define REDIRECT \
	"\"redirect\":{\"workspace\":\"allow\",\"hidden\":\"deny\",\"outside\":\"deny\"},\"invisible\":\"deny\","
#define NEVER "{\"id\":\"never\",\"verdict\":\"deny\",\"programs\":[\"rm\",\"curl\",\"wget\",\"ssh\",\"sudo\"]}"
#define LOG "{\"id\":\"log\",\"verdict\":\"allow\",\"programs\":[\"git\"],\"subcommands\":[\"log\"]},"

static const char example[] = "{\"default\":\"ask\"," REDIRECT
			      "\"rules\":[{\"id\":\"read\",\"verdict\":\"allow\",\"programs\":[\"ls\",\"cat\","
			      "\"echo\",\"grep\",\"find\",\"wc\",\"head\"]}," LOG NEVER "]}";
static const char wide[] =
	"{\"default\":\"ask\"," REDIRECT
	"\"rules\":[{\"id\":\"read\",\"verdict\":\"allow\",\"programs\":[\"ls\",\"cat\","
	"\"echo\",\"grep\",\"find\",\"wc\",\"head\",\"tail\",\"sort\",\"uniq\",\"cut\",\"diff\",\"file\",\"stat\","
	"\"sed\","
	"\"jq\",\"rg\",\"fd\",\"tree\",\"date\",\"split\",\"shuf\",\"xxd\",\"cp\",\"install\",\"yq\",\"hostname\","
	"\"od\","
	"\"du\",\"df\",\"csplit\",\"tac\",\"column\",\"cmp\",\"comm\"]},"
	"{\"id\":\"git\",\"verdict\":\"allow\",\"programs\":[\"git\"],\"subcommands\":[\"log\",\"status\",\"ls-files\","
	"\"describe\",\"rev-parse\",\"rev-list\",\"shortlog\"]}," NEVER "]}";
/* Everything but what is forbidden: only what is found in the arguments stands in the way. */
static const char open_one[] = "{\"default\":\"allow\",\"rules\":[" NEVER "]}";

static struct policy *load(const char *json)
{
	struct error err = {0};
	struct policy *p = policy_load("example", str_of(json), &err);

	if (!p)
		fail_msg("%s", err.message);
	return p;
}

static const char *built_in(const char *name)
{
	for (const struct builtin_policy *b = builtin_policies; b->name; b++)
		if (strcmp(b->name, name) == 0)
			return b->json;
	return NULL;
}

static unsigned n_cases;

static void expect_all(const char *json, enum decision wanted, bool or_stricter, const char *const *scripts, size_t n)
{
	struct policy *p = load(json);
	const struct policy *list[] = {p};
	unsigned n_wrong = 0;

	for (size_t i = 0; i < n; i++) {
		struct policy_request req = {.script = str_of(scripts[i]), .cwd = "", .is_remote = true};
		struct arena *a = arena_new();
		struct verdict v;

		policy_judge(a, list, 1, &req, &v);
		if (or_stricter ? v.decision >= wanted : v.decision == wanted) {
			arena_free(a);
			continue;
		}
		n_wrong++;
		print_error("\"%s\" is %s by %s (%s), not %s\n", scripts[i], decision_name(v.decision), v.decider->rule,
			    v.decider->text, decision_name(wanted));
		arena_free(a);
	}
	n_cases += (unsigned)n;
	policy_free(p);
	assert_int_equal(n_wrong, 0);
}

#define EXPECT(json, wanted, ...)                                            \
	do {                                                                 \
		static const char *const list[] = {__VA_ARGS__};             \
		expect_all((json), (wanted), false, list, ARRAY_SIZE(list)); \
	} while (0)
#define REFUSED(json, ...)                                                      \
	do {                                                                    \
		static const char *const list[] = {__VA_ARGS__};                \
		expect_all((json), DECISION_ASK, true, list, ARRAY_SIZE(list)); \
	} while (0)

static void work_that_reads_is_allowed(void **state)
{
	EXPECT(example, DECISION_ALLOW, "ls -lAhtr --color=never src", "ls --group-directories-first -1 -I '*.o'",
	       "cat -An a", "head -n -5 a b", "head -20 a", "head -c 1k a", "wc -lwc a", "wc --max-line-length a",
	       "grep -rnIE --include='*.c' -e 'a|b' -A3 -B 2 src", "grep -e -x -f words a", "grep -- -exec a",
	       "grep -P '(?<=a)b' a", "grep -c --exclude-dir=.git x -r .", "grep --colour=always x y",
	       "find src -type f -newermt 2024-01-01 -size +1k -printf '%p\\n'", "find . -maxdepth 2 -name '-delete*'",
	       "find . '(' -name a -o -iname b ')' -prune -o -print0", "find -L . -perm -u+x -not -path './x/*'",
	       "find . -regextype posix-extended -regex '.*[.]c' -ls", "git log --since=1.week --author=x -n5",
	       "git log --oneline --graph --decorate --all -- src/a.c", "git log --format='%h %an %s' --no-merges",
	       "git log --stat --summary --follow a", "timeout -s KILL --preserve-status 5m ls", "nice -n 19 cat a",
	       "nice -19 ls", "ionice -c2 -n 7 -t ls", "taskset -c 0-3,5 ls", "taskset 0xff ls", "chrt -b 0 ls",
	       "numactl -N 0 -m 0 ls", "numactl -l ls", "env -u HOME LANG=C ls", "env -i ls", "setsid -w ls",
	       "stdbuf -o0 --input=L cat a", "nohup -- ls", "choom -n 500 -- ls", "/usr/bin/time -p ls");
	EXPECT(wide, DECISION_ALLOW, "sort -t: -k2,2n -k1 a", "sort -nru --parallel=2 a", "uniq -cf2 a", "tail -n +5 a",
	       "tail -fn0 --pid=7 a", "cut -d: -f1,3- a", "diff -U5 -rN -x '*.o' a b", "stat -c '%s %n' a",
	       "file -bi --mime-type a", "jq -rc --arg a b '.x[]|select(.y)' a", "jq --slurpfile z y . x",
	       "rg -tc --no-heading -g '!x' 'a b' src", "rg --files --hidden", "tree -aL 2 -I node_modules",
	       "date -u -d @0 +%s", "du -sh --exclude=x .", "df -hT .", "od -An -tx1 -N16 a", "git status -sb",
	       "git describe --tags --always", "git ls-files -o --exclude-standard", "column -t -s, a",
	       "sed -n '5,10p' a", "comm -12 a b", "cmp -s a b");
}

static void programs_that_run_others_are_not_allowed(void **state)
{
	REFUSED(example, "git -c core.pager='id;' -p log", "git -ccore.editor=id log",
		"git --config-env=core.pager=X log", "git -c protocol.ext.allow=always fetch 'ext::sh -c id'",
		"git fetch ext::id", "git ls-remote --upload-pack=id .", "git clone -u id . x",
		"git -c core.hooksPath=. commit", "git diff --ext-diff", "git grep -Oid x", "git bisect run id",
		"git rebase -x id HEAD", "git rebase --exec=id", "git submodule foreach id",
		"git filter-branch --tree-filter id", "git difftool -x id", "git mergetool", "git archive --exec=id .",
		"git config alias.log '!id'", "git log --alternate-refs", "git log --alt", "git log --output=/tmp/x",
		"git log --outpu=x", "git log -p", "git log -u", "git log -p1", "git log --patch-with-stat",
		"git log -cc", "git log --color-words=x", "git log --word-diff=plain", "git log --ext-d",
		"git log --textc", "git log --pretty='%GG'", "git log --format=%h%G?", "git log --show-sig",
		"git log -Ox", "git log -L :f:a.c", "git log --diff-merges=1 -m", "git --paginate log",
		"git --exec-path=/tmp log", "git --work-tree=/ log", "git --bare log", "git --attr-source=x log",
		"git -C sub log", "git --namespace=x log", "git help log", "git var -l", "git maintenance start",
		"git send-email x", "git svn log", "git gui", "git web--browse x", "tar -xf a --to-command=id",
		"tar cf - --use-compress-program=id .", "tar -cF id -f x .", "tar --info-script=id",
		"tar xf a -I 'sh -c id'", "tar --rsh-command=id -xf h:a", "tar c --checkpoint-action exec=id .",
		"rsync -e 'sh -c id' a b:", "rsync --rsync-path=id a b:", "scp -S id a b:",
		"scp -oProxyCommand=id a b:", "sftp -D id", "make -f x", "make SHELL=/tmp/x",
		"make --eval='$(shell id)'", "gmake", "ninja -t x", "just x", "python3 -c 'import os'",
		"python3.12 -m http.server", "pypy3 x", "node -e 1", "node --require ./x", "deno run x", "bun x",
		"perl -ne 'system 1'", "ruby -e 1", "php -r 1", "lua5.4 -e 1", "tclsh8.6 x", "Rscript -e 1",
		"awk 'BEGIN{system(1)}'", "gawk -f x", "mawk -f x", "busybox awk x", "goawk x", "mlr -n put x",
		"sqlite3 x .shell", "duckdb x", "psql -c '\\! id'", "mysql -e '\\! id'", "vim -c ':!id'",
		"nvim --headless +x", "ex -s x", "view x", "emacs --batch --eval x", "ed x", "nano -s id x",
		"less +!id x", "more x", "most x", "man -P id ls", "man -H id x", "info --exec x", "pg x",
		"bat --pager=id x", "zip -TT id x y", "zip --unzip-command=id -T x y", "7z a x y", "unzip -p x",
		"gzip x", "zcat x", "xzless x", "ffmpeg -i x y", "convert x y", "gs -sDEVICE=x", "pandoc -F id x",
		"gdb -ex '!id'", "gdb -batch -x a", "lldb -o x", "strace -o '|id' ls", "strace ls", "ltrace ls",
		"perf stat ls", "docker run x", "podman run x", "kubectl exec x", "nsenter -a id", "unshare -r id",
		"systemd-run id", "systemd-nspawn x", "machinectl shell", "at now -f x", "batch", "crontab x",
		"openssl engine x", "openssl s_client", "busybox nc h 1", "toybox id", "ld.so /bin/id",
		"/lib64/ld-linux-x86-64.so.2 ./x", "ip netns exec x id", "ip -b x", "script -qc id",
		"expect -c 'spawn id'", "unbuffer id", "socat - EXEC:id", "nc -e id h 1", "ncat -c id h 1",
		"tcpdump -z id", "tmux new id", "screen -dm id", "watch id", "entr id", "xargs -a x id", "parallel id",
		"fzf --preview id", "find . -execdir id {} +", "env -S 'id x'", "env --split-string 'id x'", "nice id",
		"timeout 5 make", "setsid python3 x", "stdbuf -oL awk x", "time make", "nohup sh x", "npm install",
		"npm run x", "yarn add x", "pnpm dlx x", "npx -y x", "pip install .", "pipx run x", "uvx x",
		"cargo install x", "go generate", "gem install x", "composer install", "mvn x", "gradle x",
		"bundle exec x", "gcc -wrapper id x.c", "cc @x", "as x", "ld -plugin x", "cmake -P x", "meson setup x",
		"ctest", "bazel run x", "xmllint --shell x", "xsltproc x y", "patch -i x", "logrotate -f x",
		"run-parts x", "start-stop-daemon -S id", "sshpass -p x id", "sysctl -w x=y", "dmesg -H", "mount x",
		"capsh -- -c id", "setpriv id", "prlimit id", "cpulimit -l 5 id", "firejail id", "mail -s x y",
		"sendmail -C x", "msgfilter -i x id", "ispell x", "aspell x", "pidstat -e id", "hyperfine id",
		"cowsay -f x y", "watchexec id", "direnv exec . id", "ssh-keygen -D ./x.so", "ssh-agent id",
		"ssh-add -s x", "gpg --photo-viewer id", "w3m x", "lynx x", "elinks x", "lftp -c '!id'",
		"aria2c --on-download-complete=id x", "yt-dlp --exec id x", "tic x", "pv x", "sponge x", "chronic id",
		"ifne id", "vipe", "ugrep --filter='*:id' x", "ack --pager=id x", "zgrep x y", "bzgrep x y",
		"xzgrep x y", "pdfgrep x y", "agrep x y");
}

static void what_is_forbidden_is_found_in_arguments(void **state)
{
	EXPECT(example, DECISION_DENY, "xargs -n1 -P4 -I{} rm {}", "xargs -rt0 rm", "xargs -i rm {}",
	       "xargs --no-such rm x", "timeout --no-such 5 rm x", "nice --no-such rm", "env --no-such rm x",
	       "numactl -l rm ls", "numactl --no-such x rm ls", "chrt --no-such rm ls", "chrt -o rm ls",
	       "taskset rm ls", "timeout x rm ls", "prlimit --nofile=1 --pid 5 rm x", "prlimit -n5 rm",
	       "cpulimit -l 50 rm x", "setpriv --reuid 1000 rm x", "setpriv --reuid=1000 --clear-groups rm x",
	       "setarch x86_64 -R rm x", "setarch -R rm x", "linux64 rm x", "sudo -nu root rm", "doas -u x rm y",
	       "unshare -Urm rm x", "unshare --map-root-user --no-such x rm", "nsenter -t 1 -m rm x",
	       "nsenter --target 1 --all rm x", "chroot --userspec=x:y / rm z", "flock -n f rm x", "flock -w 5 f rm x",
	       "flock f sh -c 'rm x'", "strace -f -e trace=file -o f rm x", "strace --no-such f rm x", "ltrace -S rm x",
	       "valgrind --tool=x rm y", "systemd-run --user --scope rm x", "systemd-run -p A=b --unit x rm y",
	       "systemd-inhibit --what=x rm y", "torsocks rm x", "proot -r / rm x", "bwrap --bind / / rm x",
	       "firejail --quiet rm x", "chpst -u x rm y", "setuidgid x rm y", "softlimit -m 5 rm x", "su-exec x rm y",
	       "gosu x rm y", "tini -- rm x", "dumb-init rm x", "dbus-run-session -- rm x", "fakeroot -- rm x",
	       "ssh-agent rm x", "faketime now rm x", "rlwrap -a rm x", "hyperfine rm", "chronic rm x", "ifne rm x",
	       "entr -r rm /_", "parallel rm ::: x", "watch -n 1 -d rm x", "start-stop-daemon -S -x /bin/rm -- x",
	       "start-stop-daemon -S --exec rm", "run-one rm x", "trickle -s rm x", "aa-exec -p x rm y",
	       "gdbserver :1 rm x", "multitime -n 2 rm x", "busybox timeout 5 rm x", "busybox sh -c 'rm x'",
	       "toybox nice rm x", "ld.so --library-path /x /bin/rm y",
	       "ld-linux-x86-64.so.2 --preload ./x.so --argv0 ls /bin/rm y", "find . -type f -ok rm {} ';'",
	       "find . -name a -exec nice -n 5 rm {} +", "find . -exec sh -c 'x && rm y' ';'",
	       "bash -euxo pipefail -c 'rm x'", "sh -c -- 'rm x'", "sh +e -c 'rm x'", "ksh -c 'rm x'",
	       "busybox ash -c 'rm x'", "env -iS 'rm x'", "env -vS'rm x'", "env -u A B=c nice -n1 timeout -k1 5 rm x",
	       "sg x -c 'rm y'", "runuser -u x -- rm y", "runuser -c 'rm y' x", "script -qec 'rm x' /dev/null",
	       "su - x -c 'rm y'", "exec -c rm x", "command -p rm x", "/usr/bin/time -f %e rm x",
	       "bash -oc pipefail 'rm x'", "bash --rcfile x -c 'rm x'", "su -c'rm y' x", "su --command='rm y'");
	/* Also where everything else is allowed. */
	EXPECT(open_one, DECISION_DENY, "numactl -l rm x", "prlimit --nofile 5 rm x", "setpriv --reuid 1000 rm x",
	       "cpulimit -l 50 sh -c 'rm x'", "timeout --no-such x rm y", "systemd-run --no-such x rm y",
	       "valgrind --log-file x rm y", "xargs --process-slot-var X rm", "unshare --no-such x rm y",
	       "bwrap --bind / / rm x", "strace --no-such x timeout 5 rm y", "busybox xargs rm", "sudo --no-such x rm",
	       "env --no-such x rm y", "cat a | xargs -L 1 rm", "(cd x; exec rm y)", "if true; then setsid rm x; fi",
	       "x=$(rm y)", "cat <(rm y)");
	EXPECT(open_one, DECISION_ALLOW, "prlimit --nofile 5 ls", "valgrind ls", "xargs ls", "busybox ls",
	       "env --no-such ls");
}

static void what_the_shell_would_make_of_it_is_not_allowed(void **state)
{
	EXPECT(example, DECISION_DENY, "echo a[$(rm x)]", "coproc rm x", "trap 'rm x' EXIT", "exec -a ls rm x",
	       "alias ls=rm", "cat <(rm x)", "cat >(rm x)", "ls &>> .bashrc", "{ rm x; }", "/\?\?\?/rm x", "$'rm' x",
	       "$\"rm\" x", "'r'm x", "r''m x", "\\rm x", "r\\m x", "\"r\"m x", "`rm x`", "ls `rm x`", "ls $(rm x)",
	       "ls ${x:-$(rm x)}", "ls \"$(rm x)\"", "ls \"${x/$(rm)/}\"", "if rm x; then ls; fi",
	       "while rm x; do ls; done", "for i in 1; do rm x; done", "case x in x) rm x;; esac", "ls() { rm x; }; ls",
	       "ls(){ rm x;};ls", "select x in a; do rm x; done", "time rm x", "! rm x", "(rm x)", "ls & rm x",
	       "ls;rm x", "ls|rm x", "ls||rm x", "ls&&rm x", "xargs rm", "ls > .git/config",
	       "ls > a/.git/hooks/pre-commit", "ls > ./.bashrc", "ls > ../x", "ls > /tmp/x", "ls > /workspace/../etc/x",
	       "ls > /workspace/.bashrc", "ls > \"/workspace/./.bashrc\"", "ls > /proc/self/fd/1",
	       "ls > /dev/tcp/1.1.1.1/80", "ls > $HOME/x", "ls > ~/x", "ls > a*b", "ls 2>.bashrc", "ls 1>.bashrc",
	       "cd .git && echo x > config", "cd .git; echo x > config", "cd / && echo x > x", "cd ..; ls > x",
	       "cd /tmp; ls > x", "find . -exec rm {} ;", "find . -execdir rm {} +", "find . -ok rm {} ;",
	       "find . -okdir rm {} ;", "find . \"-exec\" rm {} +", "timeout 5 rm x", "timeout -s9 5 rm x", "nice rm x",
	       "nohup rm x", "stdbuf -o0 rm x", "setsid rm x", "ionice rm x", "chrt 1 rm x", "taskset 1 rm x",
	       "env rm x", "env A=b rm x", "env -S 'rm x'", "env -S'rm x'", "env --split-string='rm x'",
	       "env -vS 'rm x'", "FOO=$(rm x) ls", "eval rm x", "command rm x", "builtin eval rm", "exec rm x",
	       "busybox rm x", "toybox rm x", "/bin/busybox rm x", "/usr//bin/../../bin/rm x", "//bin/rm x",
	       "/bin/./rm x", "ls -la; curl x", "wget x", "sudo ls", "sudo -u x ls", "ssh h", "ssh h ls",
	       "su -c 'rm x'", "doas rm x", "pkexec rm x", "run0 rm x", "xargs -a x rm", "sem rm x", "eatmydata rm x",
	       "uclampset -m 1 rm x", "dtach -n x rm y", "abduco -n x rm y", "timelimit rm x", "nocache rm x",
	       "datefudge now rm x", "proxychains rm x", "proxychains4 -q rm x", "tsocks rm x", "mispipe rm ls",
	       "lckdo x rm y", "niceload rm x", "schedtool -e rm x", "please rm x", "sudo-rs rm x",
	       "coresched exec -- rm x", "dbclient h rm x", "autossh h rm x", "mosh h -- rm x", "rsh h rm x",
	       "x-terminal-emulator -e rm x", "catchsegv rm x", "ltrace rm x", "strace rm x", "gdb --args rm x",
	       "perf record rm x", "rr record rm x", "valgrind rm x", "script -c 'rm x'", "script -qc 'rm x' /dev/null",
	       "flock x rm y", "flock x -c 'rm y'", "flock -x x -c 'rm y'", "watch rm x", "watch -n1 'rm x'",
	       "screen -dm rm x", "systemd-run rm x", "unshare rm x", "nsenter rm x", "chroot / rm x", "bwrap rm x",
	       "firejail rm x", "runuser -u x rm y", "setpriv rm x", "start-stop-daemon --start --exec /bin/rm -- x",
	       "openvt rm x", "i386 rm x", "x86_64 rm x", "setarch x86_64 rm x", "ld.so /bin/rm x",
	       "/lib64/ld-linux-x86-64.so.2 /bin/rm x", "curl -o x y", "curl -K x", "wget --use-askpass=x y",
	       "ls\342\200\256x", "l\342\200\213s", "echo x > a\342\200\213b");
	REFUSED(example, "env -i git log", "env -u GIT_CONFIG_COUNT git log", "env - git log",
		"timeout 5 env -i nice git log", "env -iu X timeout 5 git log", "env --ignore-environment git log",
		"env --unset=GIT_PAGER git log", "test -v 'a[$(id)]'", "[ -v 'a[$(id)]' ]", "[[ 'a[$(id)]' -eq 0 ]]",
		"printf -v 'a[$(id)]' x", "printf \"%d\" 'a[$(id)]'", "read 'a[$(id)]'", "unset 'a[$(id)]'",
		"declare -n x='a[$(id)]'", "let 'a[$(id)]'", "((a[$(id)]))", "echo $((a[$(id)]))", "enable -f ./x.so x",
		"hash -p ./x ls", ". ./x", "source x", "!!", "!rm", "echo !$", "ls <<X", "ls <<<x", "ls >&rm",
		"ls &> x", "ls >& x", "ls 3>x", "ls >| x", "ls <> x", "{rm,x}", "r{m,}", "/bin/r? x", "/bin/r[m] x",
		"~/x", "~+/x", "~root/x", "LS", "Ls", "$'\\x72m' x", "$'\\162m' x", "rm\\\nx", "x", "ls ${x@P}",
		"ls ${!x}", "ls $[1+1]", "function ls { rm x; }; ls", "lsrm x", "cat x | sh",
		"cat x | xargs -I{} sh -c {}", "echo rm x | sh", "echo 'rm x' | bash -s", "ls | tee .bashrc",
		"ls | tee /etc/passwd", "ls < /dev/tcp/1.1.1.1/80", "cd -", "cd", "cd ~", "pushd /tmp",
		"find . -delete", "find . -fprint x", "find . -fprintf x y", "find . -fls x", "find . -exec",
		"grep --include=x -r --exec x", "grep -d x --filter", "head --foo", "wc --files0-from=x -Z", "ls --foo",
		"cat -z", "echo x > a; sh a", "git log --output=x", "git log --ext-diff", "git -c a.b=c log",
		"git --git-dir=x log", "git -C x log", "git log --textconv", "git log --show-signature", "git log -S x",
		"git log -G x", "git log --oneline -p1", "git log --pretty=format:%G?", "git log --format=%GS",
		"git log --pretty=%aN%GK", "git --no-pager -c x=y log", "git -p log", "git --config-env=a=b log",
		"git log --remerge-diff", "git log --submodule", "git log --no-ext-diff --ext-diff", "git log -L1,2:f",
		"git log --cc", "git log -m", "git log -c", "git loG", "git  \"lo\"g --output x",
		"git log --stat --out=x", "git log --o=x", "git diff", "git show", "git blame x", "git grep x",
		"git archive HEAD", "git bundle create x HEAD", "git branch x", "git tag x", "git config x y",
		"git stash", "git push", "git pull", "git fetch", "git-log", "/usr/lib/git-core/git-log",
		"/usr/bin/git -c x=y log", "./git log", "env -C / ls", "env --chdir=/ ls", "env LD_PRELOAD=x ls",
		"env -- LD_PRELOAD=x ls", "env PATH=. ls", "env BASH_ENV=x ls", "env 'BASH_FUNC_ls%%=() { rm x; }' ls",
		"env GCONV_PATH=. ls", "env LOCPATH=. ls", "env LC_ALL=../x ls", "env GIT_EXTERNAL_DIFF=x git log",
		"env GIT_PAGER=x git log", "env HOME=/tmp git log", "env XDG_CONFIG_HOME=x git log",
		"env PAGER=x git log", "env GREP_OPTIONS=x grep a", "env GREP_COLORS=x grep a", "LD_PRELOAD=x ls",
		"PATH=. ls", "A=b ls", "a[0]=b ls", "A+=b ls", "export PATH=.", "export A=b; ls", "set -- x",
		"set -x; ls", "shopt -s expand_aliases", "ulimit -c 0", "umask 0", "eval 'r''m x'", "python3 -c 1",
		"perl -e 1", "awk 'BEGIN{system(\"rm x\")}'", "sed 's/x/rm/e'", "sed -i s/a/b/ x",
		"tar cf x --checkpoint-action=exec=rm x", "./ls", "/tmp/ls", "/workspace/ls", "/proc/self/root/bin/ls",
		"/proc/self/exe", "/usr/bin/../bin/ls", "gtimeout 5 rm x", "genv rm x", "gnice rm x",
		"gstdbuf -o0 rm x", "gnohup rm x", "sshfs x y", "pager x", "sensible-pager x", "sensible-editor x",
		"sensible-browser x", "select-editor", "gdb -ex 'shell rm x'", "scriptreplay x",
		"expect -c 'spawn rm x'", "tmux new 'rm x'", "at now", "capsh -- -c 'rm x'", "make", "vim -c ':!rm x'",
		"less x", "man x", "ex x", "emacs -batch x", "tee x", "cp a b", "mv a b", "ln -s a b", "dd if=a of=b",
		"truncate -s0 x", "chmod +x x", "touch x", "mkdir x", "jq -n env", "jq -n 'input_filename'",
		"psql -c '\\!'", "zip -TT id", "rsync -e id a b", "dpkg -i x", "apt-get -o x=y update", "l\321\225",
		"\357\275\214\357\275\223", "catx");
}

/* One a line of a file. */
static size_t read_cases(struct arena *a, const char *name, const char **ret, size_t max)
{
	struct str text, line;
	size_t n = 0;
	int fd = open(OGENT_SOURCE_ROOT "/tests/vectors", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(file_read(fd, name, 1 << 20, a, &text), 0);
	close(fd);
	while (text.p && n < max) {
		line = str_cut(&text, '\n');
		if (line.n && line.p[0] != '#')
			ret[n++] = arena_strndup(a, line.p, line.n);
	}
	return n;
}

static void more_ways_around_are_not_allowed(void **state)
{
	static const char *scripts[2000];
	struct arena *a = arena_new();
	size_t n = read_cases(a, "attacks.txt", scripts, ARRAY_SIZE(scripts));

	assert_true(n > 700);
	expect_all(built_in("guarded"), DECISION_ASK, true, scripts, n);
	expect_all(built_in("minimal"), DECISION_DENY, true, scripts, n);
	arena_free(a);
}

/* xxd takes no option behind the file that it reads: it writes that file. */
static void a_file_that_looks_like_an_option_is_one(void **state)
{
	REFUSED(built_in("guarded"), "xxd in -x", "xxd -p in -out", "xxd in -x/../.bashrc", "xxd -- -in -out",
		"xxd -l 16 in out", "xxd - -out", "xxd -c in out", "xxd -a in --out", "uniq in -- -x", "uniq -- -a -b",
		"mkdir ./-x && xxd in -x/../.bashrc");
	EXPECT(built_in("guarded"), DECISION_ALLOW, "xxd -l 16 in", "xxd -s -0x10 -c 8 -g 1 in", "xxd -p in",
	       "xxd -- -in", "cat a | xxd -p", "xxd -");
}

static void a_program_that_is_many_is_not_renamed(void **state)
{
	REFUSED(example, "env -a rm ls", "env --argv0=rm ls", "env --arg rm ls", "env -arm ls", "env -ia rm ls",
		"timeout 5 env -a rm ls x");
}

/* A bracket in which the separator stands is read in two ways. */
static void a_script_for_sed_is_understood_or_asked_about(void **state)
{
	const char *json = built_in("guarded");

	REFUSED(json, "sed '/[/s/]/e id;x/p'", "sed -n '1,/[/s/]/e id;x/p'", "sed '/[/s/]/w x;x/p' a",
		"sed 's/[/]/x/e'", "sed '/[[:x/]e id/p'", "sed 's^[^]^e id;^^p'", "sed 's:[[:x:]:e id;:p'",
		"sed '/[a/e id/]/p'", "sed '/x[/;e id'", "sed 's[x[y[e'", "sed 's]x]y]w z'", "sed -ne 'e id'",
		"sed -nEe p -e 'w x'", "sed -e p -ne '1e id'", "sed -nf x a", "sed -n -s -i p a", "sed p -i a",
		"sed -E -i.x p a", "sed -- 'e id'", "sed --expression='e id'", "sed '$!{e id\n}'", "sed '1~2e id'",
		"sed '\\cxce id'", "sed 'y/e/w/;w x'", "sed '0,/x/e id'", "sed 's/x/y/m;e id'", "sed 'r x'",
		"sed 'p;;;w x'", "sed '1,2!  e id'", "sed 's/a/b/gw x'", "sed 'v 1;e'", "sed ':a;e;ba'");
	EXPECT(json, DECISION_ALLOW, "sed 's/[^a-z]//g' f", "sed 's/[[:space:]]*$//' f", "sed -ne '5p' f",
	       "sed '/[0-9]/d' f", "sed -n '/^[A-Z]/,/[.]$/p' f", "sed 's/[]x]/y/' f", "sed 's|[a-z/]*|x|' f",
	       "sed -Ene 's/(a|b)+/x/gp' f", "sed 'n;d' f", "sed '$!N;P;D' f", "sed -n '$=' f", "sed G f");
}

static void everyday_commands_are_no_question(void **state)
{
	EXPECT(built_in("guarded"), DECISION_ALLOW, "ls -la", "ls -lah --color=auto src tests", "ls -R | head -50",
	       "cat README.md", "cat -n src/main.c | head -100", "cat package.json | jq .scripts",
	       "cat package.json | jq -r '.dependencies | keys[]'", "head -n 20 file", "tail -n 50 log.txt",
	       "tail -f log.txt", "grep -rn \"foo\" src", "grep -rn --include='*.ts' \"foo bar\" .",
	       "grep -E 'a|b' x | sort | uniq -c | sort -rn | head -20", "grep -v '^#' /etc/services | wc -l",
	       "rg -n \"FOO\" -g '!node_modules'", "rg --files | wc -l", "rg -l foo --type py",
	       "find . -name '*.py' -not -path './node_modules/*'", "find . -type f -name \"*.c\" | wc -l",
	       "find . -maxdepth 1 -type d", "find src -name '*.o' -newer Makefile", "find . -size +100M",
	       "wc -l src/main.c", "sort -u names.txt", "sort -k2 -n data.csv", "cut -d, -f1 data.csv | sort | uniq -c",
	       "diff -u a b", "diff -r dir1 dir2", "stat file", "file bin", "du -sh .", "df -h", "pwd", "echo hello",
	       "echo \"hello world\"", "echo \"a\" > out.txt", "echo \"a\" >> out.txt", "printf '%s\\n' a b",
	       "date +%Y-%m-%d", "date -u +%FT%TZ", "date -d yesterday", "uname -a", "whoami", "id", "which node",
	       "nproc", "free -m", "uptime", "tree -L 2", "basename a/b", "dirname a/b", "realpath .", "readlink -f x",
	       "md5sum file", "sha256sum file", "seq 1 10", "sleep 1", "test -f x && echo yes", "[ -d src ] && ls src",
	       "true", "false", "ls && pwd", "ls; pwd", "ls || true", "cd src && ls", "cd src && grep -n main main.c",
	       "ls 2>/dev/null", "ls > /dev/null 2>&1", "ls 2>&1 | head", "git status -s", "git log --oneline -10",
	       "git log --oneline --graph --all", "git log -n 5 --format='%h %s'",
	       "git log --since='2 weeks ago' -- src", "git log --stat -3", "git log -1", "git rev-parse HEAD",
	       "git rev-parse --abbrev-ref HEAD", "git ls-files", "git ls-files '*.c'", "git describe --tags",
	       "mkdir -p build/out", "mkdir build", "touch a.txt", "timeout 10 ls", "nice ls", "env LANG=C sort x",
	       "sed -n '1,20p' file", "sed 's/a/b/' file", "sed 's/a/b/g' file", "sed -E 's/(a+)/x/g' file",
	       "sed '/foo/d' file", "sed -n '/start/,/end/p' file", "sed -n '/foo/p' file", "sed 's#a#b#g' file",
	       "sed 's|/usr|/opt|g' file", "sed -e 's/a/b/' -e 's/c/d/' file", "sed 's/[^a-z]//g' file",
	       "sed '1d' file", "sed '$d' file", "sed 's/foo\\.bar/baz/' file", "tr a-z A-Z < file",
	       "cat file | tr -d '\\n'", "tr -s ' ' < file", "paste -sd, file", "column -t file", "nl file",
	       "od -c file | head", "xxd file | head", "hexdump -C file | head", "strings bin | grep foo", "cmp a b",
	       "tac file", "rev file", "fold -w 80 file", "expr 1 + 2", "jq . file.json", "jq -r '.a.b' file.json",
	       "jq '.[] | select(.x > 1)' file.json", "jq -c . < file.json", "ps aux", "printenv PATH",
	       "ls /usr/bin | wc -l", "cat /etc/os-release", "head -c 100 file | xxd", "ls -l --time-style=long-iso",
	       "ls --sort=time", "grep -c foo file", "grep -o 'x[0-9]*' file", "grep -A 3 -B 3 foo file", "[ -f x ]",
	       "[ -d src ] && ls", "[ a = b ] || echo no", "env -i ls", "env -u A cat x", "ps aux", "hexdump -C x");
}

/* Without these variables a repository's settings would name programs again. */
static void a_git_that_is_allowed_keeps_its_variables(void **state)
{
	REFUSED(example, "env -i git log", "env - git log", "env -u GIT_CONFIG_COUNT git log",
		"env -uGIT_PAGER git log", "env --unset=GIT_CONFIG_COUNT git log", "env --ignore-env git log",
		"timeout 5 env -i nice git log", "env -iu X timeout 5 git log", "nice env -i env A=b git log",
		"env -vi /usr/bin/git log", "env GIT_CONFIG_COUNT=0 git log", "env -i -- git log",
		"env A=b env -u B git log");
	EXPECT(example, DECISION_ALLOW, "env A=b git log", "env -i ls", "nice -n 5 git log", "env -u A cat b");
}

static void options_that_are_not_known_are_asked(void **state)
{
	REFUSED(example, "ls --no-such", "ls -!", "cat --no-such a", "cat -lx a", "head --no-such a", "wc -x a",
		"grep -K x y", "grep --filter=id x", "grep --decompress x", "grep --pager=id x",
		"grep --hidden --exec x y", "find . -rm", "find . -exclude x", "find . -no-such", "find . --delete",
		"find . -x", "find . -fprint0 x", "find . -fls /x", "find . -newerx", "find -E .",
		"find . -name a -fprintf x y", "timeout --no-such 5 ls", "timeout ls 5", "timeout 5x ls", "nice --5 ls",
		"nice -x ls", "env --no-such ls", "env -P /x ls", "env -L x ls", "setsid -x ls", "stdbuf --no-such ls",
		"ionice -p 1", "ionice -P 1 ls", "taskset -p 1 ls", "taskset ls x", "chrt ls", "chrt -x 1 ls",
		"numactl --file=x ls", "numactl --touch ls", "choom -p 1 -n 2", "time -o x ls", "time --out x ls",
		"time -ao x ls");
	REFUSED(wide, "sort -T /tmp a", "sort --temp=/x a", "sort --compress-prog=id a", "sort -mo a b",
		"sort --files a --out b", "uniq a b", "uniq -c -- a b", "uniq -f 1 a b", "tail --no-such a",
		"diff --paginate a b", "diff -rl a b", "diff -lU3 a b", "file -C -m x", "file -p a", "file -S a",
		"file --no-sandbox a", "file -m x a", "file -zb a", "stat --no-such a", "jq -i . a",
		"jq --in-place . a", "jq --run-tests x", "rg --pre=id x", "rg --pre id x", "rg --pre-glob x --pre id y",
		"rg -z x", "rg -iz x", "rg --search-zip x", "rg --hostname-bin id x", "rg --generate x", "fd -x id",
		"fd -tf -X id", "fd --exec id", "fd --exec-batch id", "fd --exec=id x", "tree -o x", "tree -aRo x",
		"tree --output x", "date -s x", "date --set=x", "date 0101", "date -us x", "split --filter=id a",
		"split --filt=id a", "shuf -o x a", "shuf --output=x", "xxd -r a b", "xxd a b", "install -s a b",
		"install --strip-program=id a b", "csplit -f /x a 1", "yq -i x y", "hostname -F x", "od --no-such a",
		"du --no-such", "df --no-such", "sed 's/x/id/e' a", "sed -n 'w /x' a", "sed --in-place=x p a",
		"sed -s -i p a", "sed 'R x' a", "sed --posix -f x a", "column --no-such a", "comm --no-such a b",
		"cmp --no-such a b", "tac --no-such a", "git status -vv", "git status --no-such=%G",
		"git describe --dirty", "git describe --dirty=x", "git describe --broken", "git ls-files -m",
		"git ls-files --modified", "git ls-files --recurse-sub", "git rev-parse --parseopt",
		"git rev-list --ext-diff x", "git shortlog --format=%G?", "git status --ignore-subm=x");
	/* One that a later version may have stands in the way of nothing where everything is allowed. */
	EXPECT(open_one, DECISION_ALLOW, "ls --no-such", "find . -no-such", "timeout --no-such 5 ls");
}

static void a_distrusted_repository_is_not_compared(void **state)
{
	static const struct {
		const char *script;
		enum decision trusted, distrusted;
	} cases[] = {{"git status", DECISION_ALLOW, DECISION_ASK},
		     {"git --no-pager status -s", DECISION_ALLOW, DECISION_ASK},
		     {"ls && git status", DECISION_ALLOW, DECISION_ASK},
		     {"git log", DECISION_ALLOW, DECISION_ALLOW}};
	struct policy *p = load(wide);
	const struct policy *list[] = {p};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (int distrusts = 0; distrusts < 2; distrusts++) {
			struct policy_request req = {.script = str_of(cases[i].script),
						     .cwd = "",
						     .is_remote = true,
						     .distrusts_git = distrusts};
			struct arena *a = arena_new();
			struct verdict v;

			policy_judge(a, list, 1, &req, &v);
			assert_int_equal(v.decision, distrusts ? cases[i].distrusted : cases[i].trusted);
			if (!distrusts)
				assert_int_equal(v.reads_tree, cases[i].distrusted == DECISION_ASK);
			arena_free(a);
		}
	policy_free(p);
}

static void settings_of_programs_are_not_set(void **state)
{
	static const char *const names[] = {"SSLKEYLOGFILE",
					    "HOSTALIASES",
					    "LOCALDOMAIN",
					    "TERMINFO_DIRS",
					    "TEXTDOMAINDIR",
					    "LLVM_PROFILE_FILE",
					    "GCOV_PREFIX",
					    "GMON_OUT_PREFIX",
					    "PCPROFILE_OUTPUT",
					    "SEGFAULT_SIGNALS",
					    "MEMUSAGE_OUTPUT",
					    "GNUPGHOME",
					    "PSQLRC",
					    "PGSERVICEFILE",
					    "SCREENRC",
					    "TMUX_TMPDIR",
					    "YARN_RC_FILENAME",
					    "DOTNET_STARTUP_HOOKS",
					    "COREPACK_HOME",
					    "ELECTRON_RUN_AS_NODE",
					    "TS_NODE_PROJECT",
					    "GUILE_LOAD_PATH",
					    "OCAMLRUNPARAM",
					    "OCTAVE_SITE_INITFILE",
					    "GST_PLUGIN_SCANNER",
					    "VK_ICD_FILENAMES",
					    "MAGICK_CODER",
					    "FONTCONFIG_FILE",
					    "MYSQL_HOME",
					    "LDAPRC",
					    "KRB5CCNAME",
					    "NSS_WRAPPER_PASSWD",
					    "P11_KIT_STRICT",
					    "LYNX_CFG",
					    "NVIM_LOG_FILE",
					    "EMACSLOADPATH",
					    "QUILT_PC",
					    "TAPE",
					    "RSH",
					    "ZIP",
					    "UNZIP",
					    "ACKRC",
					    "M4",
					    "YACC",
					    "NOTIFY_SOCKET",
					    "LISTEN_FDS",
					    "XAUTHORITY",
					    "FCEDIT",
					    "EXECIGNORE",
					    "PERL5DB",
					    "PYTHONINSPECT",
					    "NODE_REPL_EXTERNAL_MODULE",
					    "JDK_JAVA_OPTIONS",
					    "HTTPS_PROXY",
					    "all_proxy",
					    "npm_config_script_shell",
					    "CARGO_BUILD_RUSTC_WRAPPER",
					    "RUSTC_WRAPPER",
					    "GOFLAGS",
					    "CGO_CFLAGS",
					    "LD_BIND_NOW",
					    "MAKEFLAGS",
					    "GIT_EXEC_PATH",
					    "GIT_PROXY_COMMAND",
					    "GIT_ASKPASS",
					    "PSModulePath_CONFIG",
					    "LESSKEYIN",
					    "LESSEDIT",
					    "MANROFFOPT",
					    "BAT_PAGER",
					    "DELTA_PAGER",
					    "SYSTEMD_EDITOR"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!env_is_hazard(str_of(names[i])))
			fail_msg("%s", names[i]);
	n_cases += ARRAY_SIZE(names);
}

static void tables_of_options_are_sorted(void **state)
{
	static const char *const names[] = {"basename", "cat",  "cksum", "column", "date",   "diff", "du",
					    "grep",     "head", "jq",    "ls",     "md5sum", "od",   "rg",
					    "sort",     "stat", "tail",  "tree",   "uniq",   "wc",   "which"};
	const struct arg args[] = {
		{STR("ls"), true}, {STR("-I"), true}, {STR("--no-such"), true}, {STR("--"), true}, {STR("--no"), true}};
	unsigned end;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!options_of(names[i]))
			fail_msg("%s", names[i]);
	assert_null(options_of("no-such"));
	/* A value is none, nor what stands behind "--". */
	assert_int_equal(options_find_unknown(options_of("ls"), args, ARRAY_SIZE(args), true, &end), 0);
	assert_int_equal(end, 4);
	assert_int_equal(options_find_unknown(options_of("cat"), args, ARRAY_SIZE(args), true, &end), 1);
}

/* Another round, by classes: each line is one of some spelling, program or place that those above do not have. */
static void the_same_in_other_dresses_is_not_allowed(void **state)
{
	/* Wrappers, and programs in front of others, with values and options in odd places. */
	EXPECT(example, DECISION_DENY, "setarch -R -- rm x", "setarch i386 --uname-2.6 rm x",
	       "prlimit --cpu=1:2 -- rm x", "prlimit -c -d -e rm x", "chrt --idle 0 rm x",
	       "chrt -T 1 -P 2 -D 3 -d 0 rm x", "ionice -c idle rm x", "ionice --classdata 1 rm x", "unshare -- rm x",
	       "unshare --mount=/x -r rm x", "setpriv --nnp rm x", "setpriv --inh-caps=-all rm x", "flock -x 9 rm x",
	       "flock --command 'rm x' f", "flock f -c 'ls; rm x'", "script -c 'rm x'", "script --command='rm x' f",
	       "script -qfc'rm x' f", "watch -x rm x", "watch --exec rm x", "watch --interval=1 'ls; rm x'",
	       "parallel rm", "parallel -j1 -- rm ::: a", "parallel 'rm {}' ::: a", "sem rm x", "busybox -- rm x",
	       "busybox sh -c 'ls;rm x'", "busybox env rm x", "busybox nice rm x", "busybox xargs rm",
	       "busybox find . -exec rm {} +", "busybox time rm x", "busybox setsid rm x", "busybox chrt 1 rm x",
	       "busybox start-stop-daemon -S -x rm", "env -S'rm x'", "env -S 'A=b rm x'", "env -S '-i rm x'",
	       "env -iS'-u A rm x'", "env --split-string 'nice rm x'", "env -S \"bash -c 'rm x'\"", "env -C /tmp rm x",
	       "env --chdir=/tmp rm x", "xargs -- rm", "xargs -a f rm", "xargs -E x rm", "xargs --max-args=1 rm",
	       "xargs -I% sh -c 'rm %'", "xargs -d '\\n' rm", "xargs -o rm", "xargs --arg-file f nice rm",
	       "nice --adjustment=5 rm x", "nice --adjustment 5 rm x", "nice -n-5 rm x", "nice --5 rm x",
	       "nice -n 5 -n 6 rm x", "timeout --signal 9 5 rm x", "timeout --signal=9 --kill-after=1 5 rm x",
	       "timeout -s9 -k1s 5m rm x", "timeout --foreground --preserve-status 5 rm x", "timeout .5 rm x",
	       "timeout 1e3 rm x", "timeout inf rm x", "command rm x", "command -- rm x", "command command rm x",
	       "builtin rm x", "builtin command rm x", "exec rm x", "exec -a ls rm x", "exec -l rm x",
	       "exec -cla ls rm x", "exec -- rm", "nohup -- rm x", "systemd-run -t -P rm x",
	       "systemd-run --pty -- rm x", "run0 rm x", "time -p rm x", "time -- rm x", "coproc X { rm x; }",
	       "stdbuf -i0 -o L rm x", "linux64 -B rm x", "i386 rm x", "uname26 rm x", "taskset --cpu-list 0 rm x",
	       "choom --adjust=1 rm x", "nsenter rm x", "ld.so --argv0 ls rm x", "/lib/ld-linux.so.2 /bin/rm x",
	       "/lib64/ld-linux-x86-64.so.2 /usr/bin/rm x", "find . -okdir rm {} ';'",
	       "find . -exec rm {} ';' -exec ls {} ';'", "find . -exec ls {} + -exec rm {} +",
	       "find -execdir sudo id ';'", "find . -name x -exec env A=b rm {} +", "eval rm x", "eval 'rm x'",
	       "eval \"ls; rm x\"", ". <(rm x)", "source <(curl u)", "trap 'rm x' 0", "trap -- 'rm x' DEBUG",
	       "mapfile -C 'rm x' -c 1 a", "complete -C 'rm x' ls", "sg g 'rm x'", "su x -c 'rm y'", "chroot . rm x",
	       "fakeroot rm x", "strace -o /dev/null rm x", "gdb --args rm x", "valgrind -q rm x", "ltrace rm x",
	       "perf record rm x", "dbus-launch rm x", "xvfb-run rm x", "ssh-agent -- rm x", "/usr/bin/env rm x",
	       "/usr//bin/../bin/rm x", "/bin/./rm x", "/proc/self/root/bin/rm x", "//bin/rm x", "rm5 x", "rm -rf /",
	       "r\"\"m x", "\"rm\" x", "'rm' x", "r'm' x", "\\r\\m x");
	/* Programs that run or write by their own options; none of them is on the list. */
	REFUSED(example, "tar --to-command=id -xf x", "tar -xf x --to-command id", "tar cf x --rmt-command=id h:y",
		"tar --index-file=.bashrc -tf x", "sed -n '1e id' x", "sed '1w .bashrc' x", "sed -i s/a/b/ x",
		"sort --compress-program=id x", "sort -o .bashrc x", "awk 'BEGIN{print > \"x\"}'", "git grep -Oid x",
		"git -c alias.log='!id' log", "git --exec-path=. log", "git -p log", "git log --output=x",
		"git log --output x", "git log --no-index a b", "git log -S x", "git log --show-signature",
		"git --git-dir=x log", "git -C x log", "git --config-env=a=b log", "git log --ext-diff -p",
		"git log '--format=%G?'", "git log --pretty=format:%GK", "git log --remerge-diff",
		"GIT_PAGER=id git log", "GIT_CONFIG_COUNT=1 git log", "GIT_SSH=id git log", "git log | less", "git-log",
		"git shell -c x", "git difftool", "git stash", "git fetch", "git archive x", "git show", "git diff",
		"git blame x", "git cat-file --textconv x", "git checkout .", "git ls-remote ext::id", "man -P id ls",
		"man --pager=id ls", "less x", "vim -c '!id' x", "vi x", "view x",
		"rsync -e id a b:", "rsync --rsh=id a b:", "cp a ~/.bashrc", "cp a /etc/x",
		"cp --target-directory=.git/hooks x", "mv a .git/hooks/x", "mv -t .vscode a", "ln -s /etc x",
		"ln a .bashrc", "tee .bashrc", "tee -a /etc/x", "dd of=.bashrc", "dd if=a of=/dev/sda",
		"install a .bashrc", "install -D a .git/hooks/x", "truncate -s0 .bashrc", "touch .git/hooks/x",
		"mkdir .vscode", "mkfifo x", "mknod x c 1 3", "chmod +x x", "chown x y", "patch x", "split x .bashrc",
		"csplit x 1", "printf x", "python3 -c x", "perl -e x", "busybox ls", "date", "cat x | sh",
		"echo x | bash", "ls | tee x", "ls | xargs", "ls | xargs ls -", "kill -9 1", "pkill x", "printenv",
		"export A=b", "set -o x", "PROMPT_COMMAND='rm x'", "alias x=y", "unset PATH", "hash -p /tmp/x ls",
		"enable -f x y", "ulimit -c 1", "umask 0", "read x", "history -w x", "fc -s", "bind -x x",
		"declare -x A", "type rm", "pushd /", "popd", "dirs", "shopt -s x", "exit 0 && ls", "logout", "disown",
		"fg", "jobs -x id", "wait", "times", "test -v 'a[$(id)]'", "[ -v 'a[$(id)]' ]", "[[ -v a[\\$(id)] ]]",
		"printf -v 'a[$(id)]' x", "let 'a[$(id)]=1'", "((a[$(id)]))", "unset 'a[$(id)]'", "read 'a[$(id)]'",
		"getopts x 'a[$(id)]'", "wait -p 'a[$(id)]' x");
	/* Options of the programs on the list. */
	REFUSED(example, "ls --hyper-link", "find . -fprintf x y", "find . -fls x", "find . -fprint x",
		"find . -delete", "wc --files0-from=x --output=y", "grep --output=x y", "head --output=x y",
		"cat --output=x", "find . -execute id", "find . -printf x -fprint0 y");
	/* Redirections of every form. */
	EXPECT(example, DECISION_DENY, "echo x >| ~/.bashrc", "echo x >| .bashrc", "echo x <> .bashrc",
	       "echo x 1<> .bashrc", "echo x &> .bashrc", "echo x &>> .bashrc", "echo x >& .bashrc", "echo x >& /tmp/y",
	       "echo x {fd}> .bashrc", "echo x {fd}>| .bashrc", "echo x 2>.bashrc", "echo x 99> .bashrc",
	       "echo x >.bashrc 2>&1", "> .bashrc", ">> .bashrc", "< in > .bashrc", "echo x > out > .bashrc",
	       "echo x > .bashrc > out", "> .bashrc echo x", "2> .bashrc ls", "ls > .git/hooks/x",
	       "ls > ./.git/../.bashrc", "ls > sub/../../x", "ls > '.bashrc'", "ls > \".bashrc\"", "ls > .bash\"\"rc",
	       "ls > .bash'rc'", "ls > /workspace/./.bashrc", "ls > //etc/x", "ls > /dev/sda", "ls > /dev/tcp/h/1",
	       "ls > /proc/sys/x", "ls > /dev/stdout/../x", "(ls) > .bashrc", "{ ls; } > .bashrc",
	       "if ls; then ls; fi > .bashrc", "for i in a; do ls; done > .bashrc", "while ls; do ls; done >> .bashrc",
	       "f() { ls; } > .bashrc; f", "ls | cat > .bashrc", "cat <<< x > .bashrc", "cat << E > .bashrc\nE",
	       "cat <<-'E' >> .bashrc\nE\n", "! ls > .bashrc", "ls \\\n> .bashrc", "ls >\\\n.bashrc",
	       "ls 2>&1 > .bashrc", "ls >&2 2> .bashrc", "ls <&- >.bashrc", "exec > .bashrc", "exec 3<> .bashrc",
	       "[[ a > .bashrc ]] > .bashrc", "((a > 1)) > .bashrc", "case x in x) ls;; esac > .bashrc");
	REFUSED(example, "echo x > $'.bashrc'", "echo x > $\".bashrc\"", "echo x > .bash{rc,rd}", "echo x > .ba?hrc",
		"echo x > $HOME/.bashrc", "echo x > ${HOME}", "echo x > `echo .bashrc`", "echo x > ~root/x",
		"echo x > ~+/x", "echo x > *", "echo x > \\.bashrc", "echo x > .bash\\\nrc", "echo x > a\\ b",
		"cat <(ls)", "ls >(cat)", "cat <<< $(id)", "cat << E\n$(id)\nE", "cat <<E\n`id`\nE\n", "cat 3<<<x",
		"echo {a,b}", "echo {1..3}", "cat ~/x", "cat ~root/.ssh/id", "echo ~+", "echo *", "cat [a-z]*", "cat ?",
		"l? x", "/bin/l?", "{ls,-l}", "$'ls'", "$'\\x6cs'", "$\"ls\"", "echo $'\\u0041'", "echo $((1+1))",
		"echo $[1+1]", "echo $x", "echo ${x}", "echo \"$x\"", "echo \"${x@P}\"", "echo ${!x}", "echo $-",
		"echo $$", "!ls", "ls #x", "a=b", "a=b ls", "a[0]=b ls", "a+=b ls", "ls &", "ls & ls", "ls;;ls",
		"ls &&& ls", "ls |& cat", "ls >", "ls <", "ls |", "| ls", "&& ls", "; ls", "(", ")", "{", "'", "\"",
		"ls '", "ls \"", "`", "ls (x)", "ls)(", "ls\\", "ls \\\n-l", "time", "!", "[[ a ]]", "((1))", "case",
		"esac", "fi", "do", "done", "function", "in");
	/* Blanks and marks that are none to the shell, or cannot be seen. */
	REFUSED(example, "ls\xc2\xa0-l", "ls\xe2\x80\xa8rm x", "ls\xe2\x80\xa9rm", "ls \xe2\x80\x8brm",
		"ls\xe3\x80\x80x", "\xef\xbb\xbfls", "ls\xe2\x81\xa0", "ls \xe2\x80\xaex", "ls\rrm x", "ls\r\n",
		"ls\vrm", "ls\frm", "ls \x7f", "ls \x1b[2J", "ls \x08", "ls \xc2\x85x", "ls \xe1\x9a\x80x",
		"ls \xcd\x8fx", "ls \xf3\xa0\x80\xa0x", "ls \xef\xb8\x8fx", "ls \xff", "ls \xc0\xaf", "ls \xed\xa0\x80",
		"ls \xf4\x90\x80\x80", "\xd1\x80m x", "ls \xe2\x81\xa6x", "ls \xd8\x9cx", "ls \xe2\x80\x8fx");
}

/* A text of many programs that run others, each in the arguments of the one before. */
static void doubt_about_doubt_ends(void **state)
{
	struct policy *p = load(open_one);
	const struct policy *list[] = {p};
	struct arena *a = arena_new();
	char *text = arena_alloc(a, 64 << 10);
	struct policy_request req = {.cwd = "", .is_remote = true};
	struct verdict v;

	text[0] = 0;
	for (int i = 0; i < 1500; i++)
		strcpy(text + strlen(text), "busybox valgrind ");
	req.script = str_of(strcat(text, "ls"));
	policy_judge(a, list, 1, &req, &v);
	assert_true(v.n <= VERDICT_PARTS_MAX);
	/* Each of them may hand the same text to a shell: what was not looked at is not allowed. */
	text[0] = 0;
	for (int i = 0; i < 200; i++)
		strcpy(text + strlen(text), "busybox ");
	strcat(text, "'");
	for (int i = 0; i < 10000; i++)
		strcpy(text + strlen(text), "x y;");
	req.script = str_of(strcat(text, "'"));
	policy_judge(a, list, 1, &req, &v);
	assert_int_equal(v.decision, DECISION_DENY);
	arena_free(a);
	policy_free(p);
}

static int tell(void **state)
{
	print_message("# %u cases\n", n_cases);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(work_that_reads_is_allowed),
		cmocka_unit_test(programs_that_run_others_are_not_allowed),
		cmocka_unit_test(what_is_forbidden_is_found_in_arguments),
		cmocka_unit_test(what_the_shell_would_make_of_it_is_not_allowed),
		cmocka_unit_test(more_ways_around_are_not_allowed),
		cmocka_unit_test(a_file_that_looks_like_an_option_is_one),
		cmocka_unit_test(a_program_that_is_many_is_not_renamed),
		cmocka_unit_test(a_script_for_sed_is_understood_or_asked_about),
		cmocka_unit_test(everyday_commands_are_no_question),
		cmocka_unit_test(a_git_that_is_allowed_keeps_its_variables),
		cmocka_unit_test(options_that_are_not_known_are_asked),
		cmocka_unit_test(a_distrusted_repository_is_not_compared),
		cmocka_unit_test(settings_of_programs_are_not_set),
		cmocka_unit_test(tables_of_options_are_sorted),
		cmocka_unit_test(the_same_in_other_dresses_is_not_allowed),
		cmocka_unit_test(doubt_about_doubt_ends),
	};

	return cmocka_run_group_tests(tests, NULL, tell);
}
