# Running tests. Every suite prints what it did; the last line counts all of them: "N passed, N failed".

passed=0
failed=0
count() { # count PASSED FAILED NAME
	passed=$((passed + $1))
	failed=$((failed + $2))
	say "$3: $1 passed, $2 failed"
}

export ASAN_OPTIONS="${ASAN_OPTIONS:-abort_on_error=0:detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}"

run_unit() { run_unit_programs --suite unit; }

# run_unit_programs ARGS…: the programs that `meson test` takes by these. One that fails is run once more by itself; both are told.
run_unit_programs() {
	first=build-asan/unit.first.xml
	bad=$(unit_bad build-asan/unit.log "$@")
	cp build-asan/meson-logs/testlog.junit.xml "$first" || die "the unit tests left no result"
	if [ "$bad" -gt 0 ]; then
		say "unit: by themselves again: $(unit_failed | tr '\n' ',')"
		unit_failed >build-asan/unit.again
		set --
		while read -r name; do set -- "$@" "$name"; done <build-asan/unit.again
		bad=$(unit_bad build-asan/unit.second.log "$@")
		set -- "$first"
	else
		set --
	fi
	read -r p f <<X
$(python3 scripts/count_junit.py "$@" build-asan/meson-logs/testlog.junit.xml)
X
	[ -n "$f" ] || die "the unit tests left no result"
	[ "$f" -gt "$bad" ] || f=$bad
	count "$p" "$f" unit
}

# unit_bad LOG ARGS…: runs them, and prints how many failed. One that crashed or left something out counts as one, whatever it reported.
unit_bad() {
	log=$1
	shift
	meson test -C build-asan --no-rebuild "$@" --print-errorlogs --num-processes 2 >"$log" 2>&1 && { echo 0; return 0; }
	grep -vE '^ *[0-9]+/[0-9]+ .* OK ' "$log" >&2
	n=$(sed -n 's/^\(Fail\|Timeout\|Unexpected Pass\): *\([0-9]*\) *$/\2/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
	[ "$n" -gt 0 ] || n=1
	echo "$n"
}

unit_failed() {
	sed -n '/^Summary of Failures:/,/^Ok:/s/^ *[0-9]*\/[0-9]* \(.*[^ ]\)  *\(ERROR\|FAIL\|TIMEOUT\|UNEXPECTEDPASS\) .*/\1/p' build-asan/unit.log
}

# run_node SUITE JOBS [FILE…]: all of tests/SUITE, and files of other suites; JOBS at once.
run_node() {
	ls tests/"$1"/*.test.mjs >/dev/null 2>&1 || return 0
	suite=$1
	jobs=$2
	shift 2
	run_files "$suite" "$jobs" $(cd tests && echo "$suite"/*.test.mjs) "$@"
}

# run_files NAME JOBS FILE…: files of tests/, against the real processes; see tests/run.mjs.
run_files() {
	npm_install tests
	suite=$1
	jobs=$2
	shift 2
	outcome=$(cd tests && OGENT_BIN="${OGENT_BIN:-$root/build-asan/ogent}" ./node_modules/.bin/node run.mjs --jobs "$jobs" --log "$root/build-asan/$suite.log" "$@") || true
	read -r p f <<X
$outcome
X
	[ -n "$f" ] || die "the suite $suite did not finish"
	count "$p" "$f" "$suite"
}

# What other suites run on SQLite, once more on a server, and what is true of servers only.
run_servers() {
	export OGENT_TEST_AUTH_DB=mysql OGENT_TEST_AGENT_DB=postgres
	run_node servers 2 api/auth.test.mjs api/auth-accounts.test.mjs api/auth-checklist.test.mjs api/auth-factors.test.mjs api/auth-gateway.test.mjs api/oauth.test.mjs api/sso.test.mjs api/agent.test.mjs api/agent_exec.test.mjs api/knowledge.test.mjs api/agent_fork.test.mjs api/agent_retention.test.mjs api/agent_manage.test.mjs api/agent_attachments.test.mjs api/events.test.mjs api/automation_webhooks.test.mjs api/automation_schedules.test.mjs api/batches.test.mjs api/evaluations.test.mjs api/apis.test.mjs api/account-data.test.mjs api/rbac.test.mjs api/tokens.test.mjs api/revocation.test.mjs api/act.test.mjs
	unset OGENT_TEST_AUTH_DB OGENT_TEST_AGENT_DB
}

run_web() {
	npm_install web
	(cd web && npm run --silent lint >&2 && npm run --silent size >&2) || { count 0 1 "web lint and size"; return; }
	(cd web && npx --no-install vitest run --reporter=json --outputFile=../build-asan/web.json >/dev/null 2>../build-asan/web.log) || cat build-asan/web.log >&2
	read -r p f <<X
$(python3 -c 'import json;r=json.load(open("build-asan/web.json"));print(r["numPassedTests"], r["numFailedTests"] + r["numFailedTestSuites"])')
X
	count "$p" "$f" web
}

run_tests() {
	build_asan
	suites=${*:-unit web api faults deploy servers e2e}
	case " $suites " in *' unit '* | *' api '* | *' servers '*) start_servers ;; esac
	for s in $suites; do
		case $s in
		unit) run_unit ;;
		web) run_web ;;
		servers) run_servers ;;
		api) run_node api 2 ;;
		*) [ -d "tests/$s" ] || die "there is no suite $s"; run_node "$s" 1 ;;
		esac
	done
	finish_tests
}

finish_tests() {
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}

# Descriptors, processes, mounts, cgroups: as many afterwards as before.
run_leak_test() {
	for how in "" --pool --as-user; do
		# shellcheck disable=SC2086
		OGENT_TEST_RUNS=${1:-10000} build/services/exec/test-exec-supervisor $how || die "something leaks (${how:-cold})"
	done
}

run_tsan() {
	build_in build-tsan -Db_sanitize=thread -Db_lundef=false
	# Exec's programs have one thread, and must have: the sanitizer's own one would keep them from making namespaces.
	meson test -C build-tsan --no-rebuild --suite unit --list 2>/dev/null | sed 's#^.* / ##' | grep -v '^exec ' | tr '\n' '\0' |
		xargs -0 meson test -C build-tsan --no-rebuild --suite unit --print-errorlogs --num-processes 2 || count 0 1 "unit tests under ThreadSanitizer"
	mkdir -p build-asan
	OGENT_BIN=$root/build-tsan/ogent
	run_files tsan 1 api/gateway.test.mjs api/gateway-clients.test.mjs api/gateway-framing.test.mjs api/gateway-upstreams.test.mjs api/limits.test.mjs \
		api/proxy_protocol.test.mjs api/revocation.test.mjs
	finish_tests
}

run_fuzz() {
	seconds=60
	case ${1:-} in [0-9]*) seconds=$1; shift ;; esac
	[ -f build-fuzz/build.ninja ] || CC=clang meson setup build-fuzz -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false >/dev/null
	targets=${*:-$(cd tests/fuzz && ls fuzz_*.c | sed 's/\.c$//')}
	# shellcheck disable=SC2046
	ninja -C build-fuzz --quiet $(for t in $targets; do echo "tests/fuzz/$t"; done) || die "the fuzz targets do not build"
	for t in $targets; do
		mkdir -p "build-fuzz/corpus/$t"
		seeds=$root/tests/fuzz/corpus/${t#fuzz_}
		[ -d "$seeds" ] || seeds=
		say "fuzzing $t for $seconds s"
		# shellcheck disable=SC2086
		if (cd build-fuzz && "tests/fuzz/$t" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 "corpus/$t" $seeds) >"build-fuzz/$t.log" 2>&1; then
			count 1 0 "$t ($(sed -n 's/^stat::number_of_executed_units: *//p' "build-fuzz/$t.log") inputs)"
		else
			tail -n 40 "build-fuzz/$t.log" >&2
			count 0 1 "$t"
		fi
	done
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ]
}

run_bench() {
	npm_install tests
	case " $* " in *" agent"* | "  ") npm_install tests/bench ;; esac
	case " $* " in *" auth"* | "  ") npm_install tests/bench/auth ;; esac
	case " $* " in *" knowledge"* | "  ") npm_install tests/bench/knowledge ;; esac
	OGENT_BIN="$root/build-shipped/ogent" exec tests/node_modules/.bin/node tests/bench/run.mjs "$@"
}

# kill -9 of the agent while N runs of every kind go on, on SQLite and, with two agents, on PostgreSQL.
run_kill_test() {
	start_servers
	npm_install tests
	OGENT_KILL_RUNS=${1:-1000} OGENT_BIN="$root/build/ogent" tests/node_modules/.bin/node --test --test-reporter=spec tests/faults/kill.test.mjs
}

# Runs without a pause; the memory must be flat.
run_soak() {
	npm_install tests
	[ "${1:-}" != agent ] || shift
	OGENT_BIN="$root/build/ogent" tests/node_modules/.bin/node tests/soak/agent.mjs "${1:-30}"
}
