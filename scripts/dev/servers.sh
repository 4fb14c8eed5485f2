# Database servers for the tests: each is started once for a run, in a folder of its own, and ends with it. A test makes
# its own database there.

servers_dir=
start_postgres() {
	[ -z "${OGENT_TEST_POSTGRES:-}" ] || return 0
	bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
	[ -n "$bin" ] || return 0
	make_servers_dir
	as=
	[ "$(id -u)" != 0 ] || as="setpriv --reuid=nobody --regid=nogroup --clear-groups"
	port=$(free_port)
	$as "$bin/initdb" -D "$servers_dir/pg" -U ogent -A trust -E UTF8 --locale=C --no-sync >"$servers_dir/pg.log" 2>&1 || die "initdb failed: $(cat "$servers_dir/pg.log")"
	$as "$bin/postgres" -D "$servers_dir/pg" -k "$servers_dir" -h 127.0.0.1 -p "$port" -c fsync=off -c max_connections=200 >>"$servers_dir/pg.log" 2>&1 &
	postgres_pid=$!
	for _ in $(seq 1 300); do
		"$bin/pg_isready" -q -h 127.0.0.1 -p "$port" && break
		sleep 0.1
	done
	export OGENT_TEST_POSTGRES="postgres://ogent@127.0.0.1:$port/postgres"
}

make_servers_dir() {
	[ -z "$servers_dir" ] || return 0
	servers_dir=$(mktemp -d "${TMPDIR:-/tmp}/ogent-servers-XXXXXX")
	[ "$(id -u)" != 0 ] || chown nobody:nogroup "$servers_dir"
	trap stop_servers EXIT
}

stop_servers() {
	[ -z "${postgres_pid:-}" ] || { kill -INT "$postgres_pid"; wait "$postgres_pid" || true; }
	rm -rf "$servers_dir"
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
