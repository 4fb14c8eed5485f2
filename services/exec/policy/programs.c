#include "policy/programs.h"

#include <ctype.h>
#include <stdlib.h>

/* ---- Classes ---- */

/* Sorted. */
/* clang-format off */
static const char *const code[] = {
	"7z", "7za", "R", "Rscript", "alien", "anacron", "ansible", "ansible-playbook", "ant", "apk", "apropos",
	"apt", "apt-get", "aptitude", "ar", "aria2c", "as", "ash", "at", "awk", "axel", "bash", "batch", "bazel",
	"bpython", "brew", "bun", "bundle", "busctl", "busybox", "bwrap", "byebug", "byobu", "bzdiff", "bzgrep",
	"bzmore", "c++", "c89", "c99", "capsh", "cargo", "catchsegv", "cc", "ccache", "cgexec", "chpst", "chroot",
	"chsh", "clang", "clang++", "clisp", "cmake", "composer", "conda", "corepack", "cpan", "cpp", "crontab",
	"crun", "csh", "ctags", "cu", "cvs", "dash", "dbus-run-session", "dc", "debconf", "debugfs", "deno",
	"dhclient", "dialog", "dmenu", "dnf", "doas", "docker", "dotnet", "dpkg", "dpkg-deb", "dpkg-reconfigure",
	"dumb-init", "dwm", "easy_install", "ed", "eject", "elinks", "elixir", "emacs", "emacsclient", "enscript",
	"entr", "envdir", "erl", "esh", "evince", "ex", "exim", "expect", "fakechroot", "fakeroot", "faketime",
	"find2perl", "firejail", "fish", "flatpak", "flex", "forever", "fsck", "fswatch", "ftp", "fzf", "g++", "gawk",
	"gcc", "gcov", "gdb", "gem", "ghc", "ghci", "gimp", "ginsh", "git", "git-receive-pack", "git-shell",
	"git-upload-pack", "gnuplot", "go", "gosu", "gpg", "gpg2", "gpgconf", "gpgv", "gradle", "groff", "groovy",
	"grunt", "gs", "guile", "gulp", "hexedit", "hg", "hping3", "hyperfine", "iex", "incrond", "inetd", "info",
	"inotifywait", "insmod", "ip", "iptables", "ipython", "irb", "java", "javac", "jconsole", "jjs", "joe",
	"jrunscript", "jshell", "julia", "just", "jython", "kmod", "kotlin", "ksh", "kubectl", "latex", "ld", "ldd",
	"less", "lesspipe", "lftp", "links", "linux32", "linux64", "lldb", "locate", "loginctl", "logrotate",
	"logsave", "losetup", "lp", "lpr", "ltrace", "lttng", "lua", "luajit", "lualatex", "luatex", "lynx", "m4",
	"mail", "mailx", "make", "man", "masscan", "mawk", "mc", "mcedit", "meson", "micro", "mkfs", "mksh",
	"modprobe", "mono", "more", "mosh", "most", "mount", "msfconsole", "mutt", "mvn", "mysql", "nano", "nasm",
	"nawk", "nc", "ncat", "neovim", "newgrp", "nft", "ninja", "nix", "nix-shell", "nmap", "node", "nodejs",
	"nodemon", "npm", "npx", "nroff", "nsenter", "nvim", "ocaml", "octave", "openssl", "openvpn", "parallel",
	"passwd", "pdb", "pdflatex", "perf", "perl", "pg", "php", "pic", "pico", "pip", "pip3", "pipenv", "pipx",
	"pkexec", "pkg", "pm2", "pnpm", "podman", "poetry", "posh", "postfix", "pry", "psftp", "psql", "ptpython",
	"puppet", "pwsh", "pypy", "pytest", "python", "qemu", "racket", "rake", "raku", "rbash", "rc", "rclone",
	"rebar3", "redis-cli", "restic", "rexec", "rksh", "rlogin", "rlwrap", "rpm", "rsh", "rsync", "ruby",
	"run-mailcap", "run-parts", "runc", "runcon", "runghc", "runit", "runsv", "runuser", "rust-gdb", "rustc",
	"rustup", "rview", "rvim", "s6-svscan", "sash", "sbcl", "scala", "scheme", "schroot", "scp", "screen",
	"script", "sdiff", "see", "sendmail", "service", "setuidgid", "sftp", "sg", "sh", "slapd", "slsh",
	"smbclient", "snap", "socat", "softlimit", "sqlite", "sqlite3", "ssh", "ssh-add", "ssh-agent", "ssh-copy-id",
	"ssh-keygen", "sshpass", "start-stop-daemon", "strace", "su", "sudo", "sudoedit", "supervisorctl",
	"supervisord", "sv", "svn", "swift", "systemctl", "systemd-run", "tailscale", "tar", "task", "tbl", "tcc",
	"tclsh", "tcpdump", "tcpserver", "tcsh", "telnet", "terraform", "tex", "tini", "tmux", "torify", "torsocks",
	"tox", "toybox", "troff", "ts-node", "tsh", "tshark", "tsx", "umount", "unbuffer", "unshare", "unzip",
	"updatedb", "useradd", "usermod", "uudecode", "uv", "uvx", "vagrant", "valgrind", "vi", "view", "vigr", "vim",
	"vimdiff", "vipw", "visudo", "w3m", "wall", "watch", "whatis", "whiptail", "wine", "wish", "write", "xargs",
	"xclip", "xdg-open", "xdotool", "xelatex", "xetex", "xinetd", "xonsh", "xterm", "xzgrep", "xzless", "yarn",
	"yash", "ydotool", "yum", "zcat", "zgrep", "zip", "zless", "zmore", "zsh", "zypper",
};
/* clang-format on */

/* What may stand in front of the program that they run: options that take a value, and plain arguments. */
struct wrapper {
	const char *name;
	const char *letters;  /* short options with a value */
	const char *longs[8]; /* long options with a value of their own argument */
	unsigned positional;  /* arguments before the program */
	bool has_env;         /* NAME=VALUE before the program */
	const char *bad[5];   /* options that do something else */
};

/* Sorted. */
static const struct wrapper wrappers[] = {
	{.name = "chrt",
	 .letters = "DPT",
	 .longs = {"--sched-runtime", "--sched-period", "--sched-deadline"},
	 .positional = 1,
	 .bad = {"-p", "--pid"}},
	{.name = "choom", .letters = "n", .longs = {"--adjust"}, .bad = {"-p", "--pid"}},
	{.name = "command", .bad = {"-v", "-V"}},
	{.name = "env",
	 .letters = "uCa",
	 .longs = {"--unset", "--chdir", "--argv0"},
	 .has_env = true,
	 .bad = {"-S", "--split-string", "-C", "--chdir"}}, /* -a: coreutils 9.5 */
	{.name = "exec", .letters = "a"},
	{.name = "ionice", .letters = "cn", .longs = {"--class", "--classdata"}, .bad = {"-p", "--pid"}},
	{.name = "nice", .letters = "n", .longs = {"--adjustment"}},
	{.name = "nohup"},
	{.name = "numactl", .letters = "CNmpil", .longs = {"--physcpubind", "--cpunodebind", "--membind"}},
	{.name = "setsid"},
	{.name = "stdbuf", .letters = "ioe", .longs = {"--input", "--output", "--error"}},
	{.name = "taskset", .positional = 1, .bad = {"-p", "--pid"}},
	{.name = "time", .letters = "fo", .longs = {"--format", "--output"}, .bad = {"-o", "--output"}},
	{.name = "timeout", .letters = "ks", .longs = {"--kill-after", "--signal"}, .positional = 1},
};

/* Programs of class code that run the one in their arguments all the same: it is judged too. */
static const struct wrapper runners[] = {
	{.name = "bwrap"},
	{.name = "busybox"},
	{.name = "chroot", .longs = {"--userspec", "--groups"}, .positional = 1},
	{.name = "dbus-run-session"},
	{.name = "doas", .letters = "aCu", .has_env = true},
	{.name = "fakeroot"},
	{.name = "flock", .letters = "wE", .longs = {"--timeout", "--conflict-exit-code"}, .positional = 1},
	{.name = "gosu", .positional = 1},
	{.name = "ltrace", .letters = "aAeDFlnopsuw"},
	{.name = "nsenter", .letters = "tSG"},
	{.name = "pkexec", .letters = "u", .longs = {"--user"}},
	{.name = "prlimit"},
	{.name = "runuser", .letters = "ugG", .longs = {"--user", "--group"}},
	{.name = "setarch"},
	{.name = "setpriv"},
	{.name = "ssh", .letters = "BbcDEeFIiJLlmOopQRSWw", .positional = 1},
	{.name = "sshpass", .letters = "pfdP"},
	{.name = "strace", .letters = "aebIoOpPsSuUEX"},
	{.name = "sudo",
	 .letters = "CDghpRrTtUu",
	 .longs = {"--user", "--group", "--host", "--prompt", "--chdir"},
	 .has_env = true},
	{.name = "systemd-run", .letters = "pEuHM", .longs = {"--unit", "--property"}},
	{.name = "torify"},
	{.name = "torsocks"},
	{.name = "toybox"},
	{.name = "unshare", .letters = "SGRw"},
	{.name = "valgrind"},
	{.name = "watch", .letters = "nq", .longs = {"--interval"}},
	{.name = "xargs",
	 .letters = "adEILnPs",
	 .longs = {"--arg-file", "--delimiter", "--max-lines", "--max-args", "--max-procs", "--max-chars",
		   "--process-slot-var"}},
};

static const char *const shells[] = {"ash",   "bash", "dash", "ksh",  "mksh", "posh",
				     "rbash", "rksh", "sh",   "yash", "zsh"};

static int compare_name(const void *key, const void *item)
{
	return strcmp(key, *(const char *const *)item);
}

static bool is_in(const char *name, const char *const *list, size_t n)
{
	return bsearch(name, list, n, sizeof(*list), compare_name);
}

static const struct wrapper *wrapper_find(const struct wrapper *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].name, name) == 0)
			return &list[i];
	return NULL;
}

const char *program_class_name(enum program_class c)
{
	static const char *const names[] = {"plain", "code", "wrapper"};

	return names[c];
}

#define NAME_SIZE 64

/* The last part of the path, in small memory; "" for one that is too long to be known. */
static void base_name(struct str path, char ret[static NAME_SIZE])
{
	size_t from = path.n;

	while (from > 0 && path.p[from - 1] != '/')
		from--;
	path = (struct str){path.p + from, path.n - from};
	ret[0] = 0;
	if (path.n < NAME_SIZE) {
		memcpy(ret, path.p, path.n);
		ret[path.n] = 0;
	}
}

/* python3.11, gcc-12, perl5.36.0: without what comes after the name. */
static bool drop_version(char *name)
{
	size_t n = strlen(name), all = n;

	while (n > 1 && (isdigit((unsigned char)name[n - 1]) || name[n - 1] == '.' || name[n - 1] == '-'))
		n--;
	name[n] = 0;
	return n < all;
}

/* vim.tiny, mawk.1, git-log, x86_64-linux-gnu-gcc, qemu-arm, ld-linux-x86-64.so.2: of a family. */
static bool is_of_family(const char *name)
{
	static const char *const prefixes[] = {"ld-linux", "ld-musl", "ld.so", "git-",     "vim.", "qemu-",  "python",
					       "perl",     "ruby",    "php",   "lua",      "nc.",  "emacs-", "busybox",
					       "ssh-",     "mysql",   "apt-",  "dpkg-",    "pip",  "npm",    "java",
					       "clang",    "tclsh",   "mkfs",  "systemd-", "awk",  "podman", "docker"};
	static const char *const suffixes[] = {"-gcc", "-g++", "-ld", "-as", "-cc", "-clang", "-python", "-gdb"};

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (str_has_prefix(str_of(name), str_of(prefixes[i])))
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
		if (str_has_suffix(str_of(name), str_of(suffixes[i])))
			return true;
	return false;
}

enum program_class program_class_of(struct str path)
{
	char name[NAME_SIZE];

	base_name(path, name);
	for (;;) {
		if (wrapper_find(wrappers, ARRAY_SIZE(wrappers), name))
			return PROGRAM_WRAPPER;
		if (is_in(name, code, ARRAY_SIZE(code)) || wrapper_find(runners, ARRAY_SIZE(runners), name) ||
		    is_of_family(name))
			return PROGRAM_CODE;
		if (!drop_version(name))
			return PROGRAM_PLAIN;
	}
}

/* ---- Options ---- */

bool arg_is_option(struct str arg, const char *option)
{
	struct str wanted = str_of(option), name = arg;

	if (arg.n < 2 || arg.p[0] != '-')
		return false;
	if (wanted.n == 2 && wanted.p[1] != '-')
		return arg.p[1] != '-' && memchr(arg.p + 1, wanted.p[1], arg.n - 1);
	if (str_has_prefix(wanted, STR("--"))) {
		name = str_cut(&arg, '=');
		return name.n > 2 && str_has_prefix(wanted, name);
	}
	name = str_cut(&arg, '=');
	return str_eq(name, wanted);
}

/* Some long options begin alike: "--o" is taken for --output though it may mean another. */
static const char *find_option(const struct arg *args, unsigned n, const char *const *options, struct str *ret_arg)
{
	for (unsigned i = 1; i < n; i++) {
		if (str_is(args[i].text, "--"))
			return NULL;
		for (const char *const *o = options; *o; o++)
			if (arg_is_option(args[i].text, *o)) {
				*ret_arg = args[i].text;
				return *o;
			}
	}
	return NULL;
}

static unsigned count_positional(const struct arg *args, unsigned n)
{
	unsigned count = 0;
	bool is_over = false;

	for (unsigned i = 1; i < n; i++) {
		if (!is_over && str_is(args[i].text, "--"))
			is_over = true;
		else if (is_over || args[i].text.n < 2 || args[i].text.p[0] != '-')
			count++;
	}
	return count;
}

/* ---- Options of plain programs that run or write ---- */

struct hazard {
	const char *name;
	const char *options[10];
	unsigned positional_max; /* one more is a file that it writes; 0 = any number */
};

static const struct hazard hazards[] = {
	{"cp", {"-S", "--suffix"}, 0},
	{"csplit", {"-f", "--prefix"}, 0},
	{"curl", {"-K", "--config", "-o", "-O", "--output", "--remote-name", "-T", "--upload-file"}, 0},
	{"date", {"-s", "--set"}, 0},
	{"diff", {"-l", "--paginate"}, 0},
	{"fd", {"-x", "-X", "--exec", "--exec-batch"}, 0},
	{"fdfind", {"-x", "-X", "--exec", "--exec-batch"}, 0},
	{"file", {"-C", "--compile", "-z", "-Z", "--uncompress", "--uncompress-noreport"}, 0},
	{"hostname", {"-F", "--file", "-b", "--boot"}, 1},
	{"install", {"--strip-program", "-s", "--strip"}, 0},
	{"jq", {"-i", "--in-place"}, 0},
	{"rg", {"--pre", "--hostname-bin", "-z", "--search-zip"}, 0},
	{"shuf", {"-o", "--output"}, 0},
	{"sort", {"-o", "--output", "--compress-program"}, 0},
	{"split", {"--filter"}, 0},
	{"tree", {"-o", "-R"}, 0},
	{"uniq", {NULL}, 1},
	{"wget", {"-O", "--output-document", "--use-askpass", "--execute", "-e"}, 0},
	{"xxd", {"-r", "-revert"}, 1},
	{"yq", {"-i", "--inplace", "--in-place", "-s", "--split-exp"}, 0},
};

static void look_at_options(const char *name, const struct arg *args, unsigned n, struct program_inside *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(hazards); i++) {
		if (strcmp(hazards[i].name, name) != 0)
			continue;
		ret->hazard = find_option(args, n, hazards[i].options, &ret->hazard_arg);
		if (!ret->hazard && hazards[i].positional_max &&
		    count_positional(args, n) > hazards[i].positional_max) {
			ret->hazard = "a file that it writes";
			ret->hazard_arg = args[n - 1].text;
		}
	}
}

/* An argument that is no format sets the clock. */
static void look_into_date(const struct arg *args, unsigned n, struct program_inside *ret)
{
	static const char *const with_value[] = {"-d", "-f", "-r", "--date", "--file", "--reference"};

	for (unsigned i = 1; i < n && !ret->hazard; i++) {
		struct str a = args[i].text;
		bool takes = false;

		for (size_t k = 0; k < ARRAY_SIZE(with_value); k++)
			takes |= str_is(a, with_value[k]);
		i += takes;
		if (takes || a.n == 0 || a.p[0] == '-' || a.p[0] == '+')
			continue;
		ret->hazard = "a time to set";
		ret->hazard_arg = a;
	}
}

/* ---- find ---- */

static unsigned find_end(const struct arg *args, unsigned n, unsigned i)
{
	while (i < n && !str_is(args[i].text, ";") && !(str_is(args[i].text, "+") && str_is(args[i - 1].text, "{}")))
		i++;
	return i;
}

static void look_into_find(const struct arg *args, unsigned n, unsigned from, struct program_inside *ret)
{
	static const char *const runs[] = {"-exec", "-execdir", "-ok", "-okdir"};
	static const char *const writes[] = {"-delete", "-fprint", "-fprint0", "-fprintf", "-fls"};

	for (unsigned i = MAX(from, 1u); i < n; i++) {
		for (size_t k = 0; k < ARRAY_SIZE(writes); k++)
			if (str_is(args[i].text, writes[k])) {
				ret->hazard = writes[k];
				ret->hazard_arg = args[i].text;
			}
		for (size_t k = 0; k < ARRAY_SIZE(runs); k++) {
			if (!str_is(args[i].text, runs[k]))
				continue;
			ret->hazard = runs[k];
			ret->hazard_arg = args[i].text;
			ret->inner = args + i + 1;
			ret->n_inner = find_end(args, n, i + 1) - i - 1;
			ret->at = i + 1 + ret->n_inner;
			return;
		}
	}
}

/* ---- sed ---- */

/* An address: a number, $, or /pattern/ without a backslash; or none. */
static size_t sed_address(struct str s, size_t i)
{
	if (i < s.n && s.p[i] == '$')
		return i + 1;
	if (i < s.n && s.p[i] == '/') {
		for (i++; i < s.n && s.p[i] != '/'; i++)
			if (s.p[i] == '\\' || s.p[i] == '\n')
				return SIZE_MAX;
		return i < s.n ? i + 1 : SIZE_MAX;
	}
	while (i < s.n && isdigit((unsigned char)s.p[i]))
		i++;
	return i;
}

/* Behind `s`: two parts and flags that only print. */
static size_t sed_substitution(struct str s, size_t i)
{
	char sep = i < s.n ? s.p[i] : 0;
	unsigned parts = 0;

	if (!sep || isalnum((unsigned char)sep) || sep == '\\' || sep == '\n' || sep == ' ')
		return SIZE_MAX;
	for (i++; i < s.n && parts < 2; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n && s.p[i + 1] != '\n')
			i++;
		else if (s.p[i] == sep)
			parts++;
		else if (s.p[i] == '[' || s.p[i] == '\n')
			return SIZE_MAX; /* in [ ] the separator may stand as it is */
	}
	while (i < s.n && (strchr("gpiI", s.p[i]) || isdigit((unsigned char)s.p[i])))
		i++;
	return parts == 2 ? i : SIZE_MAX;
}

/* Only printing, deleting lines, quitting, counting, and substituting: nothing that runs (e), reads or writes files. */
static bool sed_is_harmless(struct str s)
{
	size_t i = 0;

	for (;;) {
		while (i < s.n && (s.p[i] == ' ' || s.p[i] == ';'))
			i++;
		if (i == s.n)
			return true;
		i = sed_address(s, i);
		if (i < s.n && s.p[i] == ',')
			i = sed_address(s, i + 1);
		while (i < s.n && (s.p[i] == '!' || s.p[i] == ' '))
			i++;
		if (i >= s.n)
			return false;
		if (s.p[i] == 's')
			i = sed_substitution(s, i + 1);
		else if (strchr("pdq=Pn", s.p[i]))
			i++;
		else
			return false;
		if (i > s.n || (i < s.n && s.p[i] != ';' && s.p[i] != ' '))
			return false;
	}
}

/* Options are taken one by one: -n, -E, -r, -u, -z, -s and -e SCRIPT; another is a hazard. */
static void look_into_sed(const struct arg *args, unsigned n, struct program_inside *ret)
{
	bool has_script = false;
	unsigned i;

	for (i = 1; i < n && !ret->hazard; i++) {
		struct str a = args[i].text;
		size_t k = 1;

		if (a.n < 2 || a.p[0] != '-') {
			if (!has_script && !sed_is_harmless(a))
				ret->hazard = "a script that may run or write";
			has_script = true;
			continue;
		}
		while (k < a.n && strchr("nEruzs", a.p[k]))
			k++;
		if (k == a.n)
			continue;
		if (a.p[1] != 'e' || a.n != 2 || i + 1 == n || !sed_is_harmless(args[i + 1].text))
			ret->hazard = "an option that may run or write";
		/* A script that was first without -e is read as a file name then: harmless. */
		has_script = true;
		i++;
	}
	if (ret->hazard)
		ret->hazard_arg = args[MIN(i - 1, n - 1)].text;
}

/* ---- git ---- */

static bool git_takes_value(struct str a)
{
	static const char *const with_value[] = {"-C",          "-c",           "--git-dir",      "--work-tree",
						 "--namespace", "--config-env", "--super-prefix", "--attr-source",
						 "--exec-path", "--list-cmds"};

	for (size_t i = 0; i < ARRAY_SIZE(with_value); i++)
		if (str_is(a, with_value[i]))
			return true;
	return false;
}

static unsigned git_subcommand_at(const struct arg *args, unsigned n)
{
	unsigned i = 1;

	while (i < n && args[i].text.n > 1 && args[i].text.p[0] == '-')
		i += git_takes_value(args[i].text) ? 2 : 1;
	return i;
}

struct str program_subcommand(const struct arg *args, unsigned n)
{
	unsigned i = git_subcommand_at(args, n);

	return i < n ? args[i].text : STR("");
}

bool program_git_reads(struct str subcommand)
{
	static const char *const reads[] = {"log",      "status",   "rev-parse", "rev-list", "ls-files", "ls-tree",
					    "describe", "shortlog", "version",   "show-ref", "name-rev", "merge-base"};

	for (size_t i = 0; i < ARRAY_SIZE(reads); i++)
		if (str_is(subcommand, reads[i]))
			return true;
	return false;
}

/* Before the subcommand everything can redirect git to other settings; behind it a few options run or write. */
static void look_into_git(const struct arg *args, unsigned n, struct program_inside *ret)
{
	static const char *const bad[] = {"--output", "--ext-diff", "--textconv", "--show-signature", "--upload-pack",
					  "--receive-pack", "--exec", "--open-files-in-pager", "--parseopt", "--help",
					  "--submodule", "--no-index",
					  /* A submodule's own settings are not quietened. */
					  "--recurse-submodules", "--ignore-submodules", NULL};
	/* Patches are made by programs that the repository's settings name. */
	static const char *const patches[] = {"-p",
					      "-u",
					      "-c",
					      "-m",
					      "-S",
					      "-G",
					      "-L",
					      "-U",
					      "-W",
					      "--patch",
					      "--cc",
					      "--patch-with-stat",
					      "--patch-with-raw",
					      "--unified",
					      "--word-diff",
					      "--color-words",
					      "--function-context",
					      "--remerge-diff",
					      "--diff-merges",
					      "--dd",
					      "--binary",
					      "--check",
					      NULL};
	static const char *const of_status[] = {"-v", "--verbose", NULL}; /* a patch too */
	unsigned at = git_subcommand_at(args, n);

	if (at > 1 && n > 1) {
		for (unsigned i = 1; i < MIN(at, n) && !ret->hazard; i++)
			if (!str_is(args[i].text, "--no-pager") && !str_is(args[i].text, "--no-optional-locks") &&
			    !str_is(args[i].text, "--version")) {
				ret->hazard = "an option before the subcommand";
				ret->hazard_arg = args[i].text;
			}
	}
	if (!ret->hazard && at < n)
		ret->hazard = find_option(args + at, n - at, bad, &ret->hazard_arg);
	if (!ret->hazard && at < n && !str_is(args[at].text, "status"))
		ret->hazard = find_option(args + at, n - at, patches, &ret->hazard_arg);
	if (!ret->hazard && at < n && str_is(args[at].text, "status"))
		ret->hazard = find_option(args + at, n - at, of_status, &ret->hazard_arg);
	for (unsigned i = at + 1; i < n && !ret->hazard; i++)
		if (str_is(args[i].text, "-O") || str_has_prefix(args[i].text, STR("--format=%G")) ||
		    memmem(args[i].text.p, args[i].text.n, "%G", 2)) {
			ret->hazard = "an option that runs a helper";
			ret->hazard_arg = args[i].text;
		}
}

/* ---- Wrappers ---- */

static bool is_long_with_value(const struct wrapper *w, struct str arg)
{
	for (const char *const *l = w->longs; *l; l++)
		if (arg.n > 2 && !memchr(arg.p, '=', arg.n) && str_has_prefix(str_of(*l), arg))
			return true;
	return false;
}

/* A cluster whose last letter takes the next argument as its value. */
static bool is_short_with_value(const struct wrapper *w, struct str arg)
{
	for (size_t i = 1; w->letters && i < arg.n; i++)
		if (strchr(w->letters, arg.p[i]))
			return i + 1 == arg.n;
	return false;
}

static unsigned skip_options(const struct wrapper *w, const struct arg *args, unsigned n)
{
	unsigned i = 1;

	while (i < n && args[i].text.n > 1 && args[i].text.p[0] == '-') {
		struct str a = args[i++].text;

		if (str_is(a, "--"))
			break;
		if (a.p[1] == '-' ? is_long_with_value(w, a) : is_short_with_value(w, a))
			i++;
	}
	return i;
}

static void look_into_wrapper(const struct wrapper *w, const struct arg *args, unsigned n, struct program_inside *ret)
{
	unsigned i = skip_options(w, args, n), first;

	while (w->has_env && i < n && str_is(args[i].text, "-"))
		i++;
	ret->hazard = find_option(args, MIN(i, n), w->bad, &ret->hazard_arg);
	first = i;
	while (w->has_env && i < n && memchr(args[i].text.p, '=', args[i].text.n))
		i++;
	ret->env = args + MIN(first, n);
	ret->n_env = MIN(i, n) - MIN(first, n);
	i += w->positional;
	if (i >= n)
		return;
	ret->inner = args + i;
	ret->n_inner = n - i;
	/* watch and ssh hand it to a shell. */
	if (memchr(args[i].text.p, ' ', args[i].text.n))
		ret->inner_script = args[i].text;
}

/* env -S TEXT, with the text in the same argument or the next one. */
static void look_into_split(const struct arg *args, unsigned n, struct program_inside *ret)
{
	for (unsigned i = 1; i < n; i++) {
		struct str a = args[i].text, rest = a;
		const char *s = a.n > 1 && a.p[0] == '-' && a.p[1] != '-' ? memchr(a.p, 'S', a.n) : NULL;

		if (s)
			rest = (struct str){s + 1, (size_t)(a.p + a.n - s) - 1};
		else if (arg_is_option(a, "--split-string"))
			str_cut(&rest, '=');
		else
			continue;
		ret->inner_script = rest.n || i + 1 == n ? rest : args[i + 1].text;
		return;
	}
}

/* sh -c TEXT: the first argument behind the options. Of su and the like -c may stand anywhere. */
static void look_into_shell(const struct arg *args, unsigned n, bool anywhere, struct program_inside *ret)
{
	for (unsigned i = 1; i < n; i++) {
		bool is_option = args[i].text.n > 1 && (args[i].text.p[0] == '-' || args[i].text.p[0] == '+');

		if (!is_option && !anywhere)
			return;
		if (!arg_is_option(args[i].text, "-c") && !arg_is_option(args[i].text, "--command"))
			continue;
		for (i++; i < n && args[i].text.n > 1 && args[i].text.p[0] == '-'; i++)
			;
		if (i < n)
			ret->inner_script = args[i].text;
		return;
	}
}

/* Programs that hand the rest to a shell: the words as a text. */
static bool takes_option_script(const char *name)
{
	return strcmp(name, "flock") == 0 || strcmp(name, "su") == 0 || strcmp(name, "runuser") == 0 ||
	       strcmp(name, "script") == 0 || strcmp(name, "sg") == 0;
}

void program_look_inside(const struct arg *args, unsigned n, unsigned from, struct program_inside *ret)
{
	const struct wrapper *w;
	char name[NAME_SIZE];

	*ret = (struct program_inside){0};
	if (n == 0)
		return;
	base_name(args[0].text, name);
	if (strcmp(name, "find") == 0)
		look_into_find(args, n, from, ret);
	else if (strcmp(name, "sed") == 0)
		look_into_sed(args, n, ret);
	else if (strcmp(name, "git") == 0)
		look_into_git(args, n, ret);
	else if (is_in(name, shells, ARRAY_SIZE(shells)))
		look_into_shell(args, n, false, ret);
	else
		look_at_options(name, args, n, ret);
	if (strcmp(name, "date") == 0)
		look_into_date(args, n, ret);
	w = wrapper_find(wrappers, ARRAY_SIZE(wrappers), name);
	if (!w)
		w = wrapper_find(runners, ARRAY_SIZE(runners), name);
	/* The loader runs the program in its arguments. */
	if (!w && (str_has_prefix(str_of(name), STR("ld-")) || str_has_prefix(str_of(name), STR("ld.so"))))
		w = wrapper_find(runners, ARRAY_SIZE(runners), "setarch");
	if (w)
		look_into_wrapper(w, args, n, ret);
	if (strcmp(name, "eval") == 0 || strcmp(name, "builtin") == 0) {
		ret->inner = args + 1;
		ret->n_inner = n - 1;
	}
	if (takes_option_script(name) && !ret->inner_script.p)
		look_into_shell(args, n, true, ret);
	if (strcmp(name, "env") == 0)
		look_into_split(args, n, ret);
}

/* ---- Environment ---- */

/* A file somewhere else, of what takes the name of one below a folder of the system's. */
bool env_value_is_hazard(struct str name, struct str value)
{
	static const char *const places[] = {"LANG", "LANGUAGE", "TZ"};
	bool is_place = str_has_prefix(name, STR("LC_"));

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		is_place |= str_is(name, places[i]);
	if (!is_place || value.n == 0)
		return false;
	return value.p[0] == '/' || value.p[0] == ':' || memmem(value.p, value.n, "..", 2) ||
	       (!str_is(name, "TZ") && memchr(value.p, '/', value.n));
}

/* Of other programs' settings, which name what they run, read or write. */
/* clang-format off */
static const char *const env_hazards[] = {
	"PATH", "ENV", "IFS", "HOME", "SHELL", "PAGER", "EDITOR", "VISUAL", "BROWSER", "CDPATH", "GLOBIGNORE",
	"PS4", "PROMPT_COMMAND", "CC", "CXX", "CPP", "LD", "AR", "AS", "RANLIB", "TERMINFO", "TERMCAP", "LESS",
	"GZIP", "BZIP2", "XZ_OPT", "ZIPOPT", "POSIXLY_CORRECT", "LOCPATH", "GCONV_PATH", "NLSPATH", "MANPATH",
	"ZDOTDIR", "INPUTRC", "HISTFILE", "KUBECONFIG", "DOCKER_HOST", "PS1", "PS2", "PS0", "SHELLOPTS",
	"BASHOPTS", "FPATH", "TMUX", "STY", "RANDFILE", "WGETRC", "NETRC", "MORE", "MANROFFOPT", "MFLAGS",
	"EXINIT", "VIMINIT", "PWD", "OLDPWD", "TZDIR", "TMPDIR", "TEMP", "TMP", "MAGIC", "FAKEROOTKEY",
	"DEBUGINFOD_URLS", "OUTPUT_CHARSET",
};
/* clang-format on */

bool env_is_hazard(struct str name)
{
	static const char *const prefixes[] = {
		"LD_",      "DYLD_",     "GIT_",     "BASH_",   "PYTHON",   "NODE_",  "NPM_",    "npm_",
		"PERL",     "RUBY",      "GEM_",     "BUNDLE_", "LUA_",     "LESS",   "JAVA_",   "_JAVA",
		"JDK_",     "MAVEN_",    "GRADLE_",  "CARGO_",  "RUST",     "GO",     "PHP",     "MAKE",
		"AWK",      "GAWK",      "OPENSSL_", "SSL_",    "CURL_",    "SSH_",   "SUDO_",   "GREP_",
		"TAR_",     "RSYNC_",    "RIPGREP_", "FZF_",    "MALLOC_",  "GLIBC_", "XDG_",    "DBUS_",
		"SYSTEMD_", "DENO_",     "BUN_",     "PIP_",    "UV_",      "CMAKE_", "QT_",     "GTK_",
		"GIO_",     "G_",        "TCL",      "ERL_",    "ELIXIR_",  "R_",     "JULIA_",  "VIRTUAL_ENV",
		"CONDA",    "HOMEBREW_", "ASDF_",    "NVM_",    "PYENV_",   "RBENV_", "CCACHE_", "DISTCC_",
		"SVN_",     "HG",        "CVS",      "P4",      "ANSIBLE_", "TF_",    "AWS_",    "KUBE"};
	static const char *const parts[] = {"PATH",    "PRELOAD", "PAGER",  "EDITOR",  "_OPTIONS", "OPTS",
					    "FLAGS",   "SHELL",   "PROXY",  "proxy",   "CONFIG",   "ASKPASS",
					    "COMMAND", "PLUGIN",  "HOOK",   "STARTUP", "INITRC",   "_EXEC",
					    "_RC",     "MODULE",  "LOADER", "()"};

	for (size_t i = 0; i < ARRAY_SIZE(env_hazards); i++)
		if (str_is(name, env_hazards[i]))
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (str_has_prefix(name, str_of(prefixes[i])))
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (memmem(name.p, name.n, parts[i], strlen(parts[i])))
			return true;
	return false;
}
