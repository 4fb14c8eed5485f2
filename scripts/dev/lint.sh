# Rules that are checks, not advice.

complain() { printf '%s\n' "$1"; lint_failed=1; }

# Versions of clang-format disagree: the sources are in the form of 14, Debian 12's.
lint_format() {
	clang-format --version | grep -q 'version 14\.' || { say "format: not checked, clang-format 14 is not here"; return 0; }
	git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror 2>"$root/.lint.$$" || { head -n 20 "$root/.lint.$$"; complain "format: run ./dev fmt"; }
	rm -f "$root/.lint.$$"
}

# A file includes only its own floor or one below; a service never another service.
lint_floors() {
	below() { git grep -nE "#include \"($2)/" -- "$1" && complain "floors: $1 must not include $2"; return 0; }
	below lib/base 'io|data|service|gateway|auth|agent|exec|socket|demo'
	below lib/io 'data|service|gateway|auth|agent|exec|socket|demo'
	below lib/data 'service|gateway|auth|agent|exec|socket|demo'
	below lib/service 'gateway|auth|agent|exec|socket|demo'
	for s in gateway auth agent exec socket demo; do
		others=$(printf '%s|' gateway auth agent exec socket demo | sed "s/$s|//; s/|\$//")
		below "services/$s" "$others"
	done
}

lint_sizes() {
	git ls-files '*.c' '*.h' '*.ts' '*.tsx' '*.mjs' | grep -v '\.d\.ts$' | xargs wc -l | awk '$2 != "total" && $1 > 1000 { print "  " $2 ": " $1 " lines"; bad = 1 } END { exit bad }' ||
		complain "sizes: a source file over 1,000 lines wants to be two"
	git ls-files '*.c' | grep -v _test.c | xargs ctags -x --_xformat='%{end} %{line} %N %F' --kinds-C=f 2>/dev/null |
		awk '$1 - $2 > 80 { print "  " $4 ":" $2 " " $3 ": " $1 - $2 " lines"; bad = 1 } END { exit bad }' || complain "sizes: a function over 80 lines wants to be several"
}

lint_words() {
	git grep -nE '\b(TODO|FIXME|XXX)\b' -- '*.[ch]' '*.ts' '*.tsx' '*.mjs' '*.sh' ':!scripts/dev/lint.sh' && complain "words: finish it or leave it out"
	return 0
}

lint_clang() {
	[ -f build-clang/build.ninja ] || CC=clang meson setup build-clang >/dev/null
	ninja -C build-clang --quiet || complain "clang: the build fails"
}

# Every option of the program stands in the manual, and the other way round.
lint_manual() {
	[ -x build-clang/ogent ] || { complain "manual: not checked, since the program was not built"; return 0; }
	python3 scripts/config_doc.py build-clang/ogent || complain "manual: run scripts/config_doc.py build/ogent --write"
}

run_lint() {
	lint_failed=
	lint_format
	lint_floors
	lint_sizes
	lint_words
	lint_clang
	lint_manual
	[ -z "$lint_failed" ] && say "lint: clean"
}
