#include "policy/programs.h"

#include <ctype.h>
#include <stdlib.h>

#include "policy/options.h"

/* ---- Classes ---- */

/* Sorted. */
/* clang-format off */
static const char *const code[] = {
	"7z", "7za", "R", "Rscript", "aa-exec", "ab", "ack", "act", "agetty", "airflow", "alien", "alpine",
	"ammonite", "anacron", "ansible", "ansible-playbook", "ant", "apk", "apropos", "apt", "apt-get",
	"aptitude", "ar", "aria2c", "as", "ascii-xfr", "ash", "aspell", "at", "autoconf", "autoheader",
	"autom4te", "automake", "autoreconf", "awk", "axel", "bandit", "bash", "bashdb", "bat", "batcat",
	"batch", "bazel", "bazelisk", "behave", "bison", "black", "bmake", "bpftrace", "bpython", "brew",
	"broot", "buildah", "bun", "bundle", "bundler", "busctl", "busybox", "bwrap", "byacc", "byebug",
	"byobu", "bzdiff", "bzgrep", "bzmore", "c++", "c89", "c99", "cabal", "capsh", "cargo", "cargo-clippy",
	"catatonit", "catchsegv", "cc", "ccache", "ccmake", "celery", "certbot", "cgcreate", "cgexec", "chez",
	"chezscheme", "chpst", "chronic", "chroot", "chsh", "clang", "clang++", "clisp", "clj", "clojure",
	"cmake", "cmus", "cobc", "code", "codium", "coffee", "colormake", "composer", "conda", "convert",
	"coqtop", "corepack", "cowsay", "cowthink", "cpack", "cpan", "cpio", "cpp", "cppcheck", "cpulimit",
	"cqlsh", "crash", "crontab", "crun", "crystal", "cscope", "csh", "csvsql", "csvtool", "ctags", "ctest",
	"ctr", "cu", "cupsfilter", "curlftpfs", "cvs", "daemon", "daemonize", "darcs", "dart", "dash",
	"dbus-run-session", "dc", "debconf", "debugfs", "delta", "deno", "dhclient", "dialog", "direnv",
	"distcc", "django-admin", "dmenu", "dmsetup", "dnf", "dnsmasq", "doas", "docker", "dosbox", "dotnet",
	"dpkg", "dpkg-buildpackage", "dpkg-deb", "dpkg-reconfigure", "duckdb", "dumb-init", "dune", "dvips",
	"dwarfdump", "dwm", "easy_install", "easyrsa", "ecl", "ed", "editor", "efibootmgr", "eject", "elinks",
	"elixir", "elvish", "emacs", "emacsclient", "enscript", "entr", "envdir", "eqn", "erl", "erlc",
	"esbuild", "escript", "esh", "eslint", "espeak", "ettercap", "evince", "ex", "exim", "expect", "fab",
	"facter", "fakechroot", "fakeroot", "faketime", "fastboot", "fennel", "ffmpeg", "ffplay", "ffprobe",
	"find2perl", "firejail", "fish", "flatpak", "flex", "forever", "fossil", "fpc", "fping", "frawk",
	"fsck", "fswatch", "ftp", "fusermount", "fzf", "g++", "gauche", "gawk", "gcc", "gcloud", "gcov", "gdb",
	"gdbserver", "gdbtui", "gem", "genie", "genisoimage", "gforth", "gfortran", "gh", "ghc", "ghci",
	"ghostscript", "gimp", "ginsh", "git", "git-lfs", "git-receive-pack", "git-shell", "git-upload-pack",
	"glab", "gmake", "gnat", "gnatmake", "gnuplot", "go", "goawk", "goreleaser", "gosh", "gosu", "gpg",
	"gpg2", "gpgconf", "gpgv", "gprolog", "gradle", "groff", "groovy", "grunt", "gs", "gsi", "gtester",
	"guile", "gulp", "gunicorn", "hadoop", "hatch", "helm", "hexchat", "hexedit", "hg", "hledger",
	"hping3", "http", "httpie", "httpx", "hugo", "hx", "hyperfine", "identify", "iex", "ifconfig",
	"ifdown", "ifne", "ifup", "igawk", "incrond", "incus", "inetd", "info", "inkscape", "inotifywait",
	"insmod", "install-info", "invoke", "ip", "iptables", "ipython", "irb", "irssi", "isort", "ispell",
	"janet", "java", "javac", "jbang", "jconsole", "jekyll", "jest", "jj", "jjs", "joe", "jrunscript",
	"jshell", "julia", "jupyter", "just", "jython", "k3s", "k9s", "kak", "kate", "kcov", "kind", "kmod",
	"knife", "kotlin", "kotlinc", "ksh", "ksu", "kubectl", "kustomize", "latex", "latexmk", "ld",
	"ldconfig", "ldd", "lein", "lerna", "less", "lessecho", "lesspipe", "lf", "lftp", "lftpget",
	"libreoffice", "libtool", "lima", "limactl", "links", "linux32", "linux64", "lldb", "locate", "locust",
	"loginctl", "logrotate", "logsave", "losetup", "lp", "lpr", "ltrace", "lttng", "lua", "luajit",
	"lualatex", "lualatexmk", "luatex", "lwp-download", "lwp-request", "lxc", "lxc-attach", "lxc-exec",
	"lxd", "lynx", "m4", "machinectl", "magick", "mail", "mailx", "make", "mamba", "man", "masscan",
	"matlab", "mawk", "mc", "mcedit", "mdadm", "mdbook", "meson", "micro", "micropython", "mill", "miller",
	"minijail0", "minikube", "mise", "mkfs", "mksh", "mlr", "mocha", "modprobe", "mogrify", "mongo",
	"mongod", "mongosh", "mono", "more", "mosh", "mosquitto_rr", "most", "mount", "mpg123", "mplayer",
	"mpv", "msbuild", "msfconsole", "msgexec", "msgfilter", "mtr", "mujs", "multipass", "multitime",
	"murex", "mutool", "mutt", "mvn", "mycli", "mypy", "mysql", "mysqldump", "nano", "nasm", "nawk", "nc",
	"ncat", "ncdu", "ncftp", "neofetch", "neovim", "nerdctl", "newgrp", "newuidmap", "nft", "nginx",
	"ngrep", "ngrok", "nim", "nimble", "ninja", "nix", "nix-shell", "nmap", "nnn", "node", "node-gyp",
	"nodejs", "nodemon", "nomad", "nox", "npm", "npm-check", "npx", "nq", "nroff", "nsenter", "nsjail",
	"nspawn", "nu", "nuget", "nvidia-smi", "nvim", "ocaml", "ocamlc", "ocamlopt", "ocamlrun", "octave",
	"oil", "opam", "open", "openssl", "openvpn", "opkg", "osascript", "osh", "pacman", "pandoc",
	"parallel", "parcel", "paru", "passwd", "patch", "pcmanfm", "pdb", "pdbpp", "pdflatex", "pdm", "pee",
	"perf", "perl", "perlbug", "perldoc", "pexec", "pg", "pgcli", "php", "phpunit", "pic", "pico",
	"pidstat", "pinentry", "pip", "pip3", "pipe-viewer", "pipenv", "pipx", "pixi", "pkcon", "pkexec",
	"pkg", "plenv", "pm2", "pnpm", "podman", "poetry", "polkit", "posh", "postfix", "pre-commit",
	"prettier", "procmail", "proot", "pry", "psad", "psftp", "psql", "psysh", "ptargrep", "ptksh",
	"ptpython", "pulumi", "puppet", "pv", "pwsh", "pydoc", "pyenv", "pyinstaller", "pylint", "pypy",
	"pyright", "pytest", "python", "qemu", "qjs", "qmake", "quickjs", "racket", "rake", "raku", "ranger",
	"rbash", "rc", "rclone", "rdmd", "rdoc", "rebar3", "red", "redis-cli", "redo", "remake", "rename",
	"restic", "rexec", "ri", "rksh", "rlogin", "rlwrap", "rofi", "rollup", "rpm", "rpmbuild", "rr", "rsh",
	"rspec", "rsync", "rubocop", "ruby", "ruff", "run-mailcap", "run-one", "run-parts", "runas", "runc",
	"runcon", "runghc", "runhaskell", "runit", "runsv", "runuser", "rust-gdb", "rust-lldb", "rustc",
	"rustup", "rview", "rvim", "rye", "s6-setuidgid", "s6-svc", "s6-svscan", "sage", "salt", "samu",
	"sash", "sbcl", "sbt", "scala", "scheme", "schroot", "scons", "scp", "screen", "script", "scrot",
	"sdiff", "sdkman", "see", "semgrep", "sendmail", "service", "setarch", "setfacl", "setlock",
	"setuidgid", "sftp", "sftp-server", "sg", "sh", "sk", "skopeo", "slapcat", "slapd", "slsh",
	"smbclient", "snap", "socat", "soffice", "softlimit", "spawn-fcgi", "sphinx-build", "sqlite",
	"sqlite3", "sqlplus", "ssh", "ssh-add", "ssh-agent", "ssh-copy-id", "ssh-keygen", "ssh-keyscan",
	"sshfs", "sshpass", "stack", "starship", "start-stop-daemon", "stow", "strace", "strace-graph", "su",
	"su-exec", "sudo", "sudoedit", "supervisorctl", "supervisord", "sux", "sv", "svn", "swc", "swift",
	"swiftc", "swipl", "syncthing", "sysctl", "systemctl", "systemd-run", "tailscale", "tar", "task",
	"tasksh", "tbl", "tcc", "tclkit", "tclsh", "tcpdump", "tcpserver", "tcsh", "tectonic", "telepresence",
	"telnet", "terraform", "tesseract", "tex", "tftp", "tic", "tig", "tilix", "tini", "tldr", "tmate",
	"tmux", "tnftp", "toolbox", "top", "tor", "torify", "torsocks", "tox", "toybox", "trickle", "trivy",
	"troff", "ts", "ts-node", "tsc", "tsh", "tshark", "tsx", "turbo", "twine", "ugrep", "umount",
	"unbuffer", "unshare", "unsquashfs", "unzip", "updatedb", "upx", "useradd", "usermod", "usql",
	"uudecode", "uv", "uvicorn", "uvx", "vagrant", "valgrind", "varnishd", "vault", "vbox", "vboxmanage",
	"vi", "vidir", "view", "vigr", "vim", "vimdiff", "vipe", "vipw", "virsh", "virtualenv", "visudo",
	"vite", "vitest", "vlc", "volta", "w3m", "waf", "wall", "wasmer", "wasmtime", "watch", "watchexec",
	"watchman", "webpack", "websocat", "wg-quick", "wget2", "whatis", "whiptail", "whois", "wine",
	"wireshark", "wish", "wkhtmltopdf", "wp", "wrangler", "write", "xargs", "xbuild", "xclip", "xdg-email",
	"xdg-mime", "xdg-open", "xdg-settings", "xdotool", "xelatex", "xetex", "xinetd", "xmake", "xmllint",
	"xonsh", "xpdf", "xsltproc", "xstata", "xterm", "xvfb-run", "xzgrep", "xzless", "yacc", "yap", "yarn",
	"yarnpkg", "yash", "ydotool", "yelp", "yosys", "youtube-dl", "yt-dlp", "yum", "zathura", "zcat",
	"zcmp", "zdiff", "zeek", "zegrep", "zellij", "zfgrep", "zgrep", "zig", "zip", "zipdetails", "zless",
	"zmore", "zrun", "zsh", "zsoelim", "zstdgrep", "zstdless", "zypper",
};
/* clang-format on */

/* What may stand in front of the program that they run: options, and plain arguments. */
struct wrapper {
	struct option_set set;
	unsigned positional; /* arguments before the program */
	const char *shape;   /* … of which they are made; NULL = anything */
	bool has_env;        /* NAME=VALUE before the program */
	bool is_vague;       /* where the program stands is not known: any argument may be it */
	const char *bad[5];  /* options that do something else */
};

#define DIGITS "0123456789"

/* Whose options are known to change nothing about which program runs. Sorted. */
static const struct wrapper wrappers[] = {
	{.set = {"choom", "n:", " adjust= "}, .bad = {"-p", "--pid"}},
	{.set = {"chrt", "abdfiomrRvT:P:D:",
		 " all-tasks batch deadline fifo idle max other rr reset-on-fork verbose sched-runtime= sched-period= "
		 "sched-deadline= "},
	 .positional = 1,
	 .shape = DIGITS,
	 .bad = {"-p", "--pid"}},
	{.set = {"command", "pvV", " "}, .bad = {"-v", "-V"}},
	{.set = {"env", "i0vu:C:a:S:",
		 " ignore-environment null debug unset= chdir= argv0= split-string= default-signal? block-signal? "
		 "ignore-signal? list-signal-handling "},
	 .has_env = true,
	 .bad = {"-S", "--split-string", "-C", "--chdir"}}, /* -a: coreutils 9.5 */
	{.set = {"exec", "cla:", " "}},
	{.set = {"ionice", "tc:n:", " class= classdata= ignore "}, .bad = {"-p", "--pid"}},
	{.set = {"nice", "n:" DIGITS, " adjustment= "}},
	{.set = {"nohup", "", " "}},
	{.set = {"numactl", "aN:C:m:p:P:i:w:ltb",
		 " all interleave= weighted-interleave= preferred= preferred-many= membind= cpunodebind= physcpubind= "
		 "localalloc balancing "}},
	{.set = {"setsid", "cfw", " ctty fork wait "}},
	{.set = {"stdbuf", "i:o:e:", " input= output= error= "}},
	{.set = {"taskset", "ac", " all-tasks cpu-list "},
	 .positional = 1,
	 .shape = DIGITS "abcdefABCDEFxX,:-",
	 .bad = {"-p", "--pid"}},
	{.set = {"time", "apqvf:o:", " append portability quiet verbose format= output= "}, .bad = {"-o", "--output"}},
	{.set = {"timeout", "fpvk:s:", " foreground preserve-status verbose kill-after= signal= "},
	 .positional = 1,
	 .shape = DIGITS ".smhd"},
};

#define VAGUE(program)                              \
	{                                           \
		.set = {program}, .is_vague = true, \
	}

/* Programs of class code that run the one in their arguments all the same: it is judged too. */
static const struct wrapper runners[] = {
	VAGUE("aa-exec"),
	VAGUE("bwrap"),
	VAGUE("busybox"),
	VAGUE("catatonit"),
	VAGUE("cgexec"),
	{.set = {"chroot", "", " userspec= groups= skip-chdir "}, .positional = 1},
	VAGUE("chpst"),
	VAGUE("chronic"),
	VAGUE("cpulimit"),
	VAGUE("daemonize"),
	{.set = {"dbus-run-session", "", " config-file= dbus-daemon= "}},
	{.set = {"doas", "nsLa:C:u:", " "}, .has_env = true},
	VAGUE("dumb-init"),
	VAGUE("entr"),
	{.set = {"fakeroot", "i:s:l:b:f:u", " lib= faked= unknown-is-real "}},
	VAGUE("faketime"),
	VAGUE("firejail"),
	{.set = {"flock", "sxenouFvw:E:",
		 " shared exclusive unlock nonblock nb timeout= conflict-exit-code= close no-fork verbose fcntl "},
	 .positional = 1},
	VAGUE("gdbserver"),
	VAGUE("gosu"),
	VAGUE("hyperfine"),
	VAGUE("ifne"),
	VAGUE("linux32"),
	VAGUE("linux64"),
	{.set = {"ltrace", "bcCfhiLrStTVa:A:e:D:F:l:n:o:p:s:u:w:x:", " "}},
	VAGUE("multitime"),
	{.set = {"nsenter", "m;u;i;n;p;C;U;T;r;w;W;t:S:G:aFeZ", " all target= setuid= setgid= no-fork "}},
	VAGUE("parallel"),
	{.set = {"pkexec", "u:", " user= disable-internal-agent keep-cwd "}},
	VAGUE("prlimit"),
	VAGUE("proot"),
	VAGUE("rlwrap"),
	VAGUE("run-one"),
	{.set = {"runuser", "mplPu:g:G:w:s:", " user= group= supp-group= login preserve-environment shell= pty "}},
	VAGUE("setarch"),
	VAGUE("setlock"),
	{.set = {"setpriv", "d",
		 " reuid= regid= ruid= euid= rgid= egid= groups= inh-caps= ambient-caps= bounding-set= securebits= "
		 "pdeathsig= selinux-label= apparmor-profile= clear-groups keep-groups init-groups no-new-privs nnp "
		 "reset-env "}},
	VAGUE("setuidgid"),
	VAGUE("softlimit"),
	{.set = {"ssh", "46AaCfGgKkMNnqsTtVvXxYyB:b:c:D:E:e:F:I:i:J:L:l:m:O:o:p:Q:R:S:W:w:", " "}, .positional = 1},
	VAGUE("ssh-agent"),
	{.set = {"sshpass", "ep:f:d:P:", " "}},
	VAGUE("start-stop-daemon"),
	{.set = {"strace", "a:b:e:I:o:O:p:P:s:S:u:U:E:X:AcCdDfFikNnqrtTvwxyYzZ", " "}},
	VAGUE("su-exec"),
	{.set = {"sudo", "AbBEHiKklNnPSsVvC:D:g:h:p:R:r:T:t:U:u:",
		 " user= group= host= prompt= chdir= non-interactive login shell preserve-env? set-home stdin "},
	 .has_env = true},
	VAGUE("systemd-inhibit"),
	{.set = {"systemd-run", "p:E:u:H:M:tPqGrdS",
		 " unit= property= setenv= uid= gid= nice= working-directory= slice= description= user system scope "
		 "pty "
		 "pipe quiet wait collect no-block remain-after-exit same-dir service-type= "}},
	VAGUE("tini"),
	{.set = {"torify", "", " "}},
	{.set = {"torsocks", "", " "}},
	VAGUE("toybox"),
	VAGUE("trickle"),
	VAGUE("unbuffer"),
	{.set = {"unshare", "m;u;i;n;p;U;C;T;rcfS:G:R:w:",
		 " mount? uts? ipc? net? pid? user? cgroup? time? fork map-root-user map-current-user root= wd= "
		 "setuid= "
		 "setgid= mount-proc? kill-child? "}},
	VAGUE("valgrind"),
	{.set = {"watch", "n:q:bcdegprtxw",
		 " interval= beep color differences? errexit exec no-title precise no-wrap chgexit equexit= "}},
	{.set = {"xargs", "0a:d:E:e;I:i;L:l;n:P:prs:txo",
		 " null arg-file= delimiter= eof? replace? max-lines? max-args= max-procs= interactive "
		 "process-slot-var= max-chars= no-run-if-empty verbose show-limits exit open-tty "}},
	/* What the dynamic linker is called as; it runs the program in its arguments. */
	{.set = {"ld.so", "",
		 " library-path= preload= argv0= audit= inhibit-cache inhibit-rpath= glibc-hwcaps-prepend= "
		 "glibc-hwcaps-mask= "}},
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
		if (strcmp(list[i].set.name, name) == 0)
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

/* Of a program whose options are known. */
static void look_for_unknown(const struct option_set *set, const struct arg *args, unsigned n,
			     struct program_inside *ret)
{
	unsigned end, at = set ? options_find_unknown(set, args, n, true, &end) : 0;

	if (!at)
		return;
	ret->hazard = "an option that is not known";
	ret->hazard_arg = args[at].text;
}

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
	if (!ret->hazard)
		look_for_unknown(options_of(name), args, n, ret);
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

/* Behind an option of find: how many arguments it takes; -1 = it is not known. */
static int find_takes(struct str a)
{
	static const char *const alone =
		" -H -L -P -O0 -O1 -O2 -O3 -a -and -o -or -not -true -false -print -print0 -ls -prune -quit -depth -d "
		"-daystart -follow -ignore_readdir_race -noignore_readdir_race -mount -xdev -noleaf -nowarn -warn "
		"-empty "
		"-executable -readable -writable -nogroup -nouser -help --help -version --version ";
	static const char *const with_value =
		" -D -printf -maxdepth -mindepth -regextype -amin -anewer -atime -cmin -cnewer -ctime -fstype -gid "
		"-group "
		"-ilname -iname -inum -ipath -iwholename -iregex -links -lname -mmin -mtime -name -newer -path "
		"-wholename -perm -regex -samefile -size -type -uid -used -user -xtype -context -files0-from ";
	char word[32];

	if (a.n + 3 > sizeof(word) || memchr(a.p, ' ', a.n))
		return -1;
	word[0] = ' ';
	memcpy(word + 1, a.p, a.n);
	memcpy(word + 1 + a.n, " ", 2);
	if (strstr(alone, word))
		return 0;
	return strstr(with_value, word) || (str_has_prefix(a, STR("-newer")) && a.n == 8) ? 1 : -1;
}

static void look_for_unknown_of_find(const struct arg *args, unsigned n, struct program_inside *ret)
{
	for (unsigned i = 1; i < n && !ret->hazard; i++) {
		struct str a = args[i].text;
		int takes = a.n < 2 || a.p[0] != '-' || str_is(a, "--") ? 0 : find_takes(a);

		if (takes < 0) {
			ret->hazard = "an expression that is not known";
			ret->hazard_arg = a;
		}
		i += takes > 0;
	}
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
	if (from == 0)
		look_for_unknown_of_find(args, n, ret);
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
					  "--recurse-submodules", "--ignore-submodules",
					  /* What compares files with the index reads them through filters. */
					  "--dirty", "--broken", "--modified", "--alternate-refs", NULL};
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
		if (str_has_prefix(args[i].text, STR("-O")) || str_has_prefix(args[i].text, STR("--format=%G")) ||
		    memmem(args[i].text.p, args[i].text.n, "%G", 2)) {
			ret->hazard = "an option that runs a helper";
			ret->hazard_arg = args[i].text;
		}
}

/* ---- Wrappers ---- */

/* From `at` on any argument may be the program; they are given one by one. */
static void guess(const struct arg *args, unsigned n, unsigned at, struct program_inside *ret)
{
	while (at < n && args[at].text.n && args[at].text.p[0] == '-')
		at++;
	if (at >= n)
		return;
	ret->inner = args + at;
	ret->n_inner = n - at;
	ret->is_guess = true;
	ret->at = at + 1 < n ? at + 1 : 0;
}

static void doubt(struct program_inside *ret, struct str arg, const char *why)
{
	if (ret->hazard)
		return;
	ret->hazard = why;
	ret->hazard_arg = arg;
}

static bool has_shape(const struct wrapper *w, struct str arg)
{
	for (size_t i = 0; w->shape && i < arg.n; i++)
		if (!strchr(w->shape, arg.p[i]))
			return false;
	return arg.n > 0;
}

static void look_into_wrapper(const struct wrapper *w, const struct arg *args, unsigned n, unsigned from,
			      struct program_inside *ret)
{
	unsigned end = 1, unknown = 0, first;

	if (from || w->is_vague) {
		guess(args, n, MAX(from, 1u), ret);
		return;
	}
	unknown = options_find_unknown(&w->set, args, n, false, &end);
	ret->hazard = find_option(args, unknown ? n : end, w->bad, &ret->hazard_arg);
	if (unknown) {
		doubt(ret, args[unknown].text, "an option that is not known");
		guess(args, n, unknown + 1, ret);
		return;
	}
	while (w->has_env && end < n && str_is(args[end].text, "-"))
		end++;
	first = end;
	while (w->has_env && end < n && memchr(args[end].text.p, '=', args[end].text.n))
		end++;
	ret->env = args + MIN(first, n);
	ret->n_env = end - first;
	for (unsigned i = 0; i < w->positional && end < n; i++, end++)
		if (!has_shape(w, args[end].text)) {
			doubt(ret, args[end].text, "an argument that is not understood");
			guess(args, n, end, ret);
			return;
		}
	if (end >= n)
		return;
	ret->inner = args + end;
	ret->n_inner = n - end;
	/* watch and ssh hand it to a shell. */
	if (memchr(args[end].text.p, ' ', args[end].text.n))
		ret->inner_script = args[end].text;
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

/* How many of the following arguments a shell's option takes: -o and -O a name each. */
static unsigned shell_option_takes(struct str a)
{
	unsigned n = 0;

	if (a.p[1] == '-')
		return arg_is_option(a, "--rcfile") || arg_is_option(a, "--init-file") ? 1 : 0;
	for (size_t i = 1; i < a.n; i++)
		n += a.p[i] == 'o' || a.p[i] == 'O';
	return n;
}

/* sh -c TEXT: the first argument behind the options. */
static void look_into_shell(const struct arg *args, unsigned n, struct program_inside *ret)
{
	unsigned values = 0;
	bool is_text = false;

	for (unsigned i = 1; i < n; i++) {
		struct str a = args[i].text;

		if (str_is(a, "--") || str_is(a, "-")) {
			values = 0;
		} else if (a.n > 1 && (a.p[0] == '-' || a.p[0] == '+')) {
			is_text |= arg_is_option(a, "-c") || arg_is_option(a, "--command");
			values += shell_option_takes(a);
		} else if (values > 0) {
			values--;
		} else {
			if (is_text)
				ret->inner_script = a;
			return;
		}
	}
}

/* Of su and the like -c TEXT may stand anywhere. */
static void look_for_text(const struct arg *args, unsigned n, struct program_inside *ret)
{
	for (unsigned i = 1; i < n; i++) {
		struct str a = args[i].text;

		if (str_has_prefix(a, STR("--command="))) {
			str_cut(&a, '=');
			ret->inner_script = a;
			return;
		}
		if (!arg_is_option(a, "-c") && !arg_is_option(a, "--command"))
			continue;
		if (a.p[1] != '-' && a.p[1] == 'c' && a.n > 2) { /* -cTEXT */
			ret->inner_script = (struct str){a.p + 2, a.n - 2};
			return;
		}
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
		look_into_shell(args, n, ret);
	else
		look_at_options(name, args, n, ret);
	if (strcmp(name, "date") == 0)
		look_into_date(args, n, ret);
	w = wrapper_find(wrappers, ARRAY_SIZE(wrappers), name);
	if (!w)
		w = wrapper_find(runners, ARRAY_SIZE(runners), name);
	if (!w && (str_has_prefix(str_of(name), STR("ld-")) || str_has_prefix(str_of(name), STR("ld.so"))))
		w = wrapper_find(runners, ARRAY_SIZE(runners), "ld.so");
	if (w)
		look_into_wrapper(w, args, n, from, ret);
	if (from)
		return;
	if (strcmp(name, "eval") == 0 || strcmp(name, "builtin") == 0) {
		ret->inner = args + 1;
		ret->n_inner = n - 1;
	}
	if (takes_option_script(name) && !ret->inner_script.p)
		look_for_text(args, n, ret);
	if (strcmp(name, "env") == 0)
		look_into_split(args, n, ret);
}
