# Building: the web app first, because the binary carries it.

build_web() {
	if [ -f web/dist/index.html ] && [ -z "$(find web -path web/node_modules -prune -o -path web/dist -prune -o -newer web/dist/index.html -type f -print -quit)" ]; then
		return 0
	fi
	npm_install web
	say "building the web app"
	(cd web && npm run --silent build >&2) || die "the web app does not build"
}

# build_in FOLDER MESON-OPTION…
build_in() {
	folder=$1
	shift
	[ -f "$folder/build.ninja" ] || meson setup "$folder" "$@" >"$folder.log" 2>&1 || { cat "$folder.log" >&2; die "meson setup $folder failed"; }
	rm -f "$folder.log"
	ninja -C "$folder" --quiet ${build_targets-} >&2 || die "the build in $folder failed"
}

build_release() {
	build_web
	build_in build
}

# What packages and images carry, optimized over all files at once (scripts/build_shipped.sh); the benchmarks measure it.
build_shipped() {
	build_web
	scripts/build_shipped.sh build-shipped "ogent ogent-target services/auth/bench-hash services/auth/bench-verify services/agent/bench-knowledge-scan services/exec/bench-exec" ||
		die "the build in build-shipped failed"
}

# Tests run on a build with the sanitizers.
build_asan() {
	build_web
	build_in build-asan -Db_sanitize=address,undefined -Db_lundef=false
}
