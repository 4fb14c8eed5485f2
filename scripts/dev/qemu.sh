# The sandbox in a machine whose kernel has all control groups in version 2, as root and as an ordinary user to whom systemd delegates some.
# The machine is the one of deb.sh.

qemu_programs="sandbox layers limits protect sandbox-cgroup supervisor"

# qemu_stage FOLDER: the test programs with the libraries that they need, as they lie in the machine. It has the same release of Debian.
qemu_stage() {
	mkdir -p "$1/opt/ogent/lib"
	cp build/ogent build/services/exec/test-exec-probe build/services/exec/test-exec-layers-probe "$1/opt/ogent/"
	for p in $qemu_programs; do cp "build/services/exec/test-exec-$p" "$1/opt/ogent/"; done
	for program in "$1"/opt/ogent/ogent "$1"/opt/ogent/test-exec-*; do ldd "$program"; done |
		sed -n 's/^.* => \(\/[^ ]*\) .*$/\1/p' | sort -u | grep -vE '/(libc|libm|ld-linux[^/]*)\.so' | xargs cp -Lt "$1/opt/ogent/lib"
}

test_qemu() {
	[ "$(id -u)" = 0 ] || die "qemu-test makes a file system for its machine: run it as root"
	[ "$(dpkg --print-architecture)" = amd64 ] || die "qemu-test knows only the machines of amd64"
	npm_install tests
	OGENT_TEST_MACHINE=$(mktemp -d "${TMPDIR:-/var/tmp}/ogent-qemu-test.XXXXXX")
	export OGENT_TEST_MACHINE
	trap 'rm -rf "$OGENT_TEST_MACHINE"' EXIT
	say "making a machine with Debian $(. /etc/os-release && echo "$VERSION_ID")"
	qemu_stage "$OGENT_TEST_MACHINE/stage"
	OGENT_IMAGE_PACKAGES=git,perl,procps,e2fsprogs tests/deb/image.sh "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$(debian_mirror)" \
		"$OGENT_TEST_MACHINE/stage" "$OGENT_TEST_MACHINE" || die "the machine cannot be made"
	mkdir -p build-asan
	run_node qemu
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}
