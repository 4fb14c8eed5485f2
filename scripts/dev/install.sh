# What each command needs from Debian 12 or 13. Nothing is asked of the network when all of it is there.

build_packages="gcc libc6-dev meson ninja-build pkg-config python3 python3-yaml ccache git ca-certificates
	libuv1-dev libc-ares-dev libcurl4-openssl-dev libsqlite3-dev libsodium-dev libseccomp-dev libutf8proc-dev libinih-dev libmd-dev
	libssl-dev libssh-dev libarchive-dev zlib1g-dev libzstd-dev uthash-dev libllhttp-dev libyyjson-dev libcmocka-dev libxml2-dev libpcre2-dev libyaml-dev libpq-dev libmariadb-dev libhiredis-dev tzdata"
# The compiler's own runtime for sanitizers and fuzzing is named for its version.
case $(. /etc/os-release && echo "${VERSION_CODENAME:-}") in
bookworm) clang_rt=libclang-rt-14-dev ;;
*) clang_rt=libclang-rt-19-dev ;;
esac
lint_packages="clang clang-format $clang_rt universal-ctags"
test_packages="chromium python3-aiosmtpd nginx-light openssh-server openssh-client procps iproute2 util-linux postgresql mariadb-server-core mariadb-client openssl sqlite3 curl dnsmasq-base redis-tools haproxy poppler-utils"
deb_packages="dpkg-dev debhelper lintian"
deb_test_packages="mmdebstrap qemu-system-x86 e2fsprogs debian-archive-keyring"
bench_packages="php-cli php-sqlite3 php-laravel-framework bubblewrap crun openssh-server openssh-client procps util-linux wrk nginx-light haproxy libnginx-mod-nchan"

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else
		die "this needs root once, to install Debian packages: run as root or install sudo ($*)"
	fi
}

is_installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing_of() {
	for p in $1; do is_installed "$p" || printf '%s ' "$p"; done
}

apt_install() {
	missing=$(missing_of "$1")
	[ -n "$missing" ] || return 0
	say "installing: $missing"
	case " $missing " in *llhttp* | *yyjson*) add_trixie ;; esac
	{
		as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update
		# shellcheck disable=SC2086
		as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends $missing
	} >/dev/null 2>"${TMPDIR:-/tmp}/ogent-apt.$$" || { cat "${TMPDIR:-/tmp}/ogent-apt.$$" >&2; die "apt-get could not install: $missing"; }
	rm -f "${TMPDIR:-/tmp}/ogent-apt.$$"
}

# The mirror that the machine already uses.
debian_mirror() {
	mirror=$(sed -n 's/^URIs: *\([^ ]*debian\/*\) *$/\1/p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1)
	[ -n "$mirror" ] || mirror=$(sed -n 's/^deb  *\(\[[^]]*\] *\)\{0,1\}\([^ ]*\/debian\/*\) .*/\2/p' /etc/apt/sources.list 2>/dev/null | head -n 1)
	printf '%s' "$mirror"
}

# llhttp 9 and yyjson are packages of Debian 13. On Debian 12 they install cleanly from there, pinned to exactly these; the mirror is
# the one that the machine already uses.
add_trixie() {
	[ "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" = bookworm ] || return 0
	[ -f /etc/apt/sources.list.d/ogent-trixie.sources ] && return 0
	mirror=$(debian_mirror)
	[ -n "$mirror" ] || die "no Debian mirror found in /etc/apt: cannot install libllhttp-dev and libyyjson-dev of Debian 13"
	printf 'Types: deb\nURIs: %s\nSuites: trixie\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' "$mirror" |
		as_root tee /etc/apt/sources.list.d/ogent-trixie.sources >/dev/null
	printf 'Package: *\nPin: release n=trixie\nPin-Priority: -1\n\nPackage: libllhttp-dev libllhttp9.2 libyyjson-dev libyyjson0\nPin: release n=trixie\nPin-Priority: 500\n' |
		as_root tee /etc/apt/preferences.d/ogent-trixie >/dev/null
}

# Any Node with npm will do to fetch the one that web/ and tests/ bring along. npm judges packages by the Node it runs on itself, and
# leaves out what does not fit: below 20 it would skip parts of the web build, so then npm too runs on a newer one.
install_node() {
	command -v npm >/dev/null && command -v node >/dev/null || apt_install "nodejs npm"
	[ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ] || return 0
	[ -x .dev/node_modules/.bin/npm ] || {
		say "installing a newer Node"
		npm install --prefix .dev --no-audit --no-fund --loglevel=error node@26.10.0 npm@11 >&2 || die "npm could not install node 26"
	}
	PATH=$root/.dev/node_modules/.bin:$PATH
}

install_build_packages() { apt_install "$build_packages"; install_node; }
install_lint_packages() { apt_install "$lint_packages"; }
# nginx without its service: only the program is wanted, and port 80 is not ours.
install_nginx() {
	command -v nginx >/dev/null && return 0
	export OGENT_NGINX=$root/.dev/nginx/usr/sbin/nginx
	[ ! -x "$OGENT_NGINX" ] || return 0
	say "fetching nginx"
	mkdir -p .dev/nginx
	(cd .dev/nginx && as_root apt-get -qq update && apt-get -qq download nginx && dpkg-deb -x nginx_*.deb .) >/dev/null || die "nginx could not be fetched"
	"$OGENT_NGINX" -v 2>/dev/null || die "nginx does not run here: apt-get install nginx"
}

install_test_packages() {
	# The tests start servers of their own: the package's is not wanted.
	if ! is_installed postgresql; then
		as_root mkdir -p /etc/postgresql-common/createcluster.d
		echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.d/ogent.conf >/dev/null
	fi
	apt_install "$test_packages"
	[ ! -f /etc/postgresql-common/createcluster.d/ogent.conf ] || as_root rm /etc/postgresql-common/createcluster.d/ogent.conf
	install_nginx
}
install_deb_packages() { apt_install "$deb_packages"; }
install_deb_test_packages() { apt_install "$deb_test_packages"; }
install_bench_packages() { apt_install "$bench_packages"; }

# npm ci in a folder, when its lock file is newer than what is installed.
npm_install() {
	[ "$1/node_modules/.package-lock.json" -nt "$1/package-lock.json" ] && return 0
	say "installing the packages of $1"
	(cd "$1" && npm ci --no-audit --no-fund --loglevel=error >&2) || die "npm ci failed in $1"
	touch "$1/node_modules/.package-lock.json"
}
