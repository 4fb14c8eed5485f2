#!/bin/sh
# build_shipped.sh FOLDER "TARGETS" [OPTION…]: the program as packages and images carry it: optimized over all files at once and for what
# it does most, which it tells itself (scripts/train.py). A newer compiler's new warning must not keep anybody from building a package.
set -eu
cd "$(dirname "$0")/.."
folder=$1 targets=$2
shift 2

is_trained() {
	[ -f "$folder/trained" ] && [ -z "$(find lib services cli meson.build scripts/train.py -newer "$folder/trained" -type f -print -quit)" ]
}

if ! is_trained; then
	rm -rf "$folder"
	meson setup "$folder" -Dbuildtype=release -Db_lto=true -Dwerror=false "$@" >/dev/null
	if ${CC:-cc} --version | grep -q 'Free Software Foundation'; then # gcc: the options are its own
		meson configure "$folder" -Db_pgo=generate >/dev/null
		ninja -C "$folder" --quiet ogent >&2
		python3 scripts/train.py "$folder/ogent"
		meson configure "$folder" -Db_pgo=use >/dev/null
	fi
	touch "$folder/trained"
fi
# shellcheck disable=SC2086
exec ninja -C "$folder" --quiet $targets >&2
