/* Which programs run others. */
#include <ctype.h>
#include <stdlib.h>

#include "policy/wrappers.h"

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

static int compare_name(const void *key, const void *item)
{
	return strcmp(key, *(const char *const *)item);
}

static bool is_in(const char *name, const char *const *list, size_t n)
{
	return bsearch(name, list, n, sizeof(*list), compare_name);
}

const char *program_class_name(enum program_class c)
{
	static const char *const names[] = {"plain", "code", "wrapper"};

	return names[c];
}

void program_base_name(struct str path, char ret[static PROGRAM_NAME_SIZE])
{
	size_t from = path.n;

	while (from > 0 && path.p[from - 1] != '/')
		from--;
	path = (struct str){path.p + from, path.n - from};
	ret[0] = 0;
	if (path.n < PROGRAM_NAME_SIZE) {
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
	char name[PROGRAM_NAME_SIZE];

	program_base_name(path, name);
	for (;;) {
		if (wrapper_of(name))
			return PROGRAM_WRAPPER;
		if (is_in(name, code, ARRAY_SIZE(code)) || runner_of(name) || is_of_family(name))
			return PROGRAM_CODE;
		if (!drop_version(name))
			return PROGRAM_PLAIN;
	}
}
