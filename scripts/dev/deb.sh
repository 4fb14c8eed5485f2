# The Debian package: dist/ogent_VERSION_ARCH.deb, built for the Debian release of this machine.

# The commit tells version and times, so that the same commit gives the same package. Before a release it is
# 0.1.0~gitN.HASH, which sorts below 0.1.0; the release of Debian stands behind it, since the libraries differ.
deb_version() {
	release=$(. /etc/os-release && echo "$ID${VERSION_ID:-}" | sed 's/^debian/deb/')
	version=$(sed -n "s/^  version: '\(.*\)',/\1/p" meson.build)
	git describe --exact-match --tags --match "v$version" >/dev/null 2>&1 || version=$version~git$(git rev-list --count HEAD).$(git rev-parse --short=8 HEAD)
	echo "$version+$release"
}

# Debian 12 has no llhttp 9 and no yyjson: there the package brings them along in a folder of its own.
deb_bundles() { [ "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" = bookworm ]; }

# deb_stage FOLDER: everything as it lies in the package.
deb_stage() {
	install -D -m 755 build-deb/ogent "$1/usr/bin/ogent"
	install -d "$1/usr/share/man/man1" "$1/usr/share/bash-completion/completions" "$1/etc/ogent" "$1/usr/lib/sysusers.d"
	python3 scripts/package_texts.py man build-deb/ogent "$SOURCE_DATE_EPOCH" >"$1/usr/share/man/man1/ogent.1"
	python3 scripts/package_texts.py completion build-deb/ogent "$SOURCE_DATE_EPOCH" >"$1/usr/share/bash-completion/completions/ogent"
	python3 scripts/package_texts.py conf build-deb/ogent "$SOURCE_DATE_EPOCH" >"$1/etc/ogent/ogent.conf"
	install -m 644 deploy/systemd/ogent.sysusers "$1/usr/lib/sysusers.d/ogent.conf"
	install -D -m 644 README.md "$1/usr/share/doc/ogent/README.md"
	install -m 644 docs/*.md "$1/usr/share/doc/ogent/"
	deb_bundles || return 0
	libraries=$(ldd build-deb/ogent | sed -n 's/.* => \([^ ]*lib\(llhttp\|yyjson\)[^ ]*\) .*/\1/p')
	[ -n "$libraries" ] || die "build-deb/ogent does not use llhttp and yyjson"
	install -d "$1/usr/lib/ogent"
	# shellcheck disable=SC2086
	install -m 644 $libraries "$1/usr/lib/ogent/"
}

deb_changelog() {
	printf 'ogent (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- %s  %s\n' "$1" \
		"$(sed -n 's/^Maintainer: //p' deploy/deb/debian/control)" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
}

build_deb() {
	SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
	export SOURCE_DATE_EPOCH
	build_web
	rpath=
	OGENT_BUNDLED=
	if deb_bundles; then
		rpath=/usr/lib/ogent
		OGENT_BUNDLED='-xlibllhttp9.2 -xlibyyjson0'
	fi
	export OGENT_BUNDLED
	scripts/build_shipped.sh build-deb "ogent ogent-target" -Ddebug=true -Drpath="$rpath" || die "the build in build-deb failed"
	work=$root/build-deb/package
	version=$(deb_version)
	rm -rf "$work"
	mkdir -p "$work/stage" dist
	cp -r deploy/deb/debian "$work/debian"
	for unit in deploy/systemd/*.service; do
		name=$(basename "$unit")
		[ "$name" = ogent.service ] || name=ogent.$name
		cp "$unit" "$work/debian/$name"
	done
	cp deploy/systemd/ogent.tmpfiles "$work/debian/ogent.tmpfiles"
	deb_stage "$work/stage"
	gzip -9n <CHANGELOG.md >"$work/stage/usr/share/doc/ogent/CHANGELOG.md.gz"
	deb_changelog "$version" >"$work/debian/changelog"
	(cd "$work" && dpkg-buildpackage --build=binary --no-sign --no-check-builddeps >"$root/build-deb/package.log" 2>&1) ||
		{ tail -n 40 build-deb/package.log >&2; die "the package cannot be built"; }
	deb=dist/ogent_${version}_$(dpkg --print-architecture).deb
	mv "$root/build-deb/$(basename "$deb")" "$deb"
	say "$deb: $(du -k "$deb" | cut -f1) KiB"
}

lint_deb() { lintian --fail-on error,warning --tag-display-limit 0 "$1"; }

# In a virtual machine, since only there are a systemd and control groups of its own.
test_deb() {
	[ "$(id -u)" = 0 ] || die "deb-test makes a file system for its machine: run it as root"
	[ "$(dpkg --print-architecture)" = amd64 ] || die "deb-test knows only the machines of amd64"
	npm_install tests
	OGENT_TEST_MACHINE=$(mktemp -d "${TMPDIR:-/var/tmp}/ogent-deb-test.XXXXXX")
	export OGENT_TEST_MACHINE
	trap 'rm -rf "$OGENT_TEST_MACHINE"' EXIT
	say "making a machine with Debian $(. /etc/os-release && echo "$VERSION_ID")"
	tests/deb/image.sh "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$(debian_mirror)" "$deb" "$OGENT_TEST_MACHINE" || die "the machine cannot be made"
	mkdir -p build-asan
	run_node deb 1
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}
