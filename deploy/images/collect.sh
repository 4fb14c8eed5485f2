#!/bin/sh
# collect.sh PROGRAM: for each role a folder /out/ROLE that is the whole file system of its image: the program, the libraries it links and
# those that the role loads by itself, and the few files that these read.
set -eu
program=$1

find_library() { ldconfig -p | sed -n "s|.*[[:space:]]$1 .*=> ||p" | head -n 1; }

libs=/usr$(dirname "$(find_library libc.so.6)")

# with_needed FILE…: the files and all libraries behind them, the loader too.
with_needed() {
	for f in "$@"; do
		echo "$f"
		ldd "$f" | sed -n 's/^.*=> \(\/[^ ]*\) .*$/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (0x.*$/\1/p'
	done | sort -u
}

put() { # put FOLDER FILE…: under its own path, whatever links lead to it
	to=$1
	shift
	for f in "$@"; do
		mkdir -p "$to$(dirname "$f")"
		cp -L "$f" "$to$f"
	done
}

# role NAME UID LIBRARY-OR-FILE…
role() {
	to=/out/$1
	uid=$2
	name=$1
	shift 2
	mkdir -p "$to/etc" "$to/tmp" "$to/data/keys"
	chmod 1777 "$to/tmp" "$to/data/keys" # each role puts its public key into keys; nobody replaces another's
	chmod 700 "$to/data"
	chown "$uid:$uid" "$to/data"
	echo "ogent:x:$uid:$uid:$name:/data:/" >"$to/etc/passwd"
	echo "ogent:x:$uid:" >"$to/etc/group"
	echo "hosts: files dns" >"$to/etc/nsswitch.conf"
	more=
	for l in "$@"; do
		case $l in /*) f=$l ;; *) f=$(find_library "$l") ;; esac
		[ -n "$f" ] && [ -e "$f" ] || { echo "collect.sh: $l is not here" >&2; exit 1; }
		more="$more $f"
	done
	# shellcheck disable=SC2046,SC2086
	put "$to" $(with_needed "$program" $(echo $more | tr ' ' '\n' | grep '\.so') | grep -vx "$program") $more
	install -s -m 755 "$program" "$to/ogent"
}

authorities=/etc/ssl/certs/ca-certificates.crt
role gateway 10001 libcares.so.2 libcrypto.so.3 libhiredis.so.0.14
# The plugins are the ways to log in to MySQL 8 and MariaDB.
role auth 10002 libcrypto.so.3 libcurl.so.4 $authorities libmariadb.so.3 "$libs"/libmariadb3/plugin/caching_sha2_password.so "$libs"/libmariadb3/plugin/sha256_password.so
role agent 10003 libarchive.so.13 libcurl.so.4 libpq.so.5 libxml2.so.2 libpcre2-8.so.0 libyaml-0.so.2 $authorities
role exec 10004 libcares.so.2 libssh.so.4 libarchive.so.13
role socket 10005 libcrypto.so.3 libhiredis.so.0.14
role demo-model 10006
# The zones of schedules.
mkdir -p /out/agent/usr/share
cp -a /usr/share/zoneinfo /out/agent/usr/share/
rm -rf /out/agent/usr/share/zoneinfo/right /out/agent/usr/share/zoneinfo/posix
du -sh /out/*
