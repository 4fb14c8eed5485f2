# The sandbox's limits on a kernel with control groups of version 2 only, in a virtual machine that needs no rights of its host: Debian's cloud
# kernel, a root in memory made of this machine's programs, the suites as they were built.

qemu_packages="qemu-system-x86 busybox-static e2fsprogs"
qemu_programs="awk bash perl sh env cat chmod chown cp date dd echo false fallocate grep head id ip ln ls kill mkdir mkfifo mkfs.ext4 mount umount mv rm rmdir sed setsid sleep sort stat stty switch_root sync tail
	test timeout touch tr true truncate uname wc cut insmod git ps mktemp readlink printf"
qemu_tests="sandbox-cgroup limits shared supervisor"

# qemu_copy FILE ROOT: a program or library and what it needs, where it lies here.
qemu_copy() {
	[ -e "$2$1" ] && return 0
	install -D "$1" "$2$1" 2>/dev/null
	ldd "$1" 2>/dev/null | sed -n 's/^.*\(=> \|\t\)\(\/[^ ]*\) (.*$/\2/p' | while read -r lib; do
		mkdir -p "$2$(dirname "$(readlink -f "$lib")")"
		cp -Ln "$lib" "$2$(readlink -f "$(dirname "$lib")")/" 2>/dev/null || true
	done
}

qemu_root() {
	mkdir -p "$1/usr/bin" "$1/usr/sbin" "$1/usr/lib" "$1/usr/lib64" "$1/etc" "$1/opt/lib" "$1/opt/modules" "$1/proc" "$1/dev"
	for d in bin sbin lib lib64; do ln -s "usr/$d" "$1/$d"; done
	cp tests/qemu/init.sh "$1/init"
	chmod 755 "$1/init"
	cp "$(command -v busybox)" "$1/usr/bin/busybox"
	for p in $qemu_programs; do
		path=$(command -v "$p" 2>/dev/null || true)
		case $path in
		/*) qemu_copy "$(readlink -f "$path")" "$1"; [ -e "$1/usr/bin/$p" ] || ln -s "$(readlink -f "$path")" "$1/usr/bin/$p" ;;
		*) busybox --list | grep -qx "$p" && ln -sf busybox "$1/usr/bin/$p" ;;
		esac
	done
	printf 'root:x:0:0::/root:/bin/bash\nnobody:x:65534:65534::/:/bin/false\n' >"$1/etc/passwd"
	printf 'root:x:0:\nnogroup:x:65534:\n' >"$1/etc/group"
	for p in build/ogent build/services/exec/test-exec-probe $(printf 'build/services/exec/test-exec-%s ' $qemu_tests); do
		cp "$p" "$1/opt/"
		ldd "$p" | sed -n 's/^.*=> \(\/[^ ]*\) .*$/\1/p' | xargs cp -Ln -t "$1/opt/lib" 2>/dev/null || true
	done
	rm -f "$1"/opt/lib/libc.so.* "$1"/opt/lib/ld-linux*
}

# The kernel of Debian's own archive, without installing it.
qemu_kernel() {
	package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: //p' | head -n 1)
	[ -n "$package" ] || die "apt knows no linux-image-cloud-amd64: run apt-get update"
	(cd "$1" && apt-get -qq download "$package" 2>/dev/null) || die "the kernel $package cannot be downloaded"
	dpkg-deb -x "$1"/linux-image-*.deb "$1/kernel"
	cp "$1"/kernel/boot/vmlinuz-* "$1/vmlinuz"
	find "$1/kernel" -name quota_tree.ko -o -name quota_v2.ko -o -name loop.ko | xargs cp -t "$1/root/opt/modules"
}

test_qemu() {
	[ "$(dpkg --print-architecture)" = amd64 ] || die "qemu-test knows only the machines of amd64"
	work=$(mktemp -d "${TMPDIR:-/var/tmp}/ogent-qemu-test.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	say "making a machine"
	qemu_root "$work/root"
	qemu_kernel "$work"
	(cd "$work/root" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$work/initrd"
	say "starting it"
	timeout 1500 qemu-system-x86_64 -accel "${OGENT_TEST_ACCELERATOR:-tcg,thread=multi}" -cpu max -smp 2 -m 2048 -nographic -no-reboot -nic none \
		-kernel "$work/vmlinuz" -initrd "$work/initrd" -append "console=ttyS0 panic=-1 loglevel=3 sysrq_always_enabled=1 rdinit=/init${1:+ only=$1}" </dev/null | sed -u 's/\r$//' | tee "$work/log"
	passed=$(grep -c '^RESULT .* 0$' "$work/log" || true)
	failed=$(grep -c '^RESULT .* [1-9][0-9]*$' "$work/log" || true)
	echo "$passed suites passed, $failed failed"
	grep -qx DONE "$work/log" && [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}
