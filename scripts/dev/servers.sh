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

# MariaDB.
start_mysql() {
	[ -z "${OGENT_TEST_MYSQL:-}" ] || return 0
	command -v mariadbd >/dev/null || return 0
	make_servers_dir
	as=
	[ "$(id -u)" != 0 ] || as="setpriv --reuid=nobody --regid=nogroup --clear-groups"
	port=$(free_port)
	$as mariadb-install-db --no-defaults --datadir="$servers_dir/mysql" --auth-root-authentication-method=normal --skip-test-db >"$servers_dir/mysql.log" 2>&1 || die "mariadb-install-db failed: $(cat "$servers_dir/mysql.log")"
	$as mariadbd --no-defaults --datadir="$servers_dir/mysql" --socket="$servers_dir/mysql.sock" --pid-file="$servers_dir/mysql.pid" --bind-address=127.0.0.1 --port="$port" \
		--innodb-buffer-pool-size=64M --innodb-flush-method=nosync --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=0 >>"$servers_dir/mysql.log" 2>&1 &
	mysql_pid=$!
	wait_for_mysql "$port"
}

wait_for_mysql() {
	for _ in $(seq 1 300); do
		mariadb --no-defaults -h 127.0.0.1 -P "$1" -u root --skip-ssl -e 'select 1' >/dev/null 2>&1 && break
		sleep 0.1
	done
	export OGENT_TEST_MYSQL="mysql://root@127.0.0.1:$1"
}

start_servers() { start_postgres; start_mysql; }

make_servers_dir() {
	[ -z "$servers_dir" ] || return 0
	servers_dir=$(mktemp -d "${TMPDIR:-/tmp}/ogent-servers-XXXXXX")
	[ "$(id -u)" != 0 ] || chown nobody:nogroup "$servers_dir"
	trap stop_servers EXIT
}

stop_servers() {
	[ -z "${postgres_pid:-}" ] || { kill -INT "$postgres_pid"; wait "$postgres_pid" || true; }
	[ -z "${mysql_pid:-}" ] || { kill -KILL "$mysql_pid"; wait "$mysql_pid" 2>/dev/null || true; }
	[ -z "${mysql9_root:-}" ] || stop_mysql9
	rm -rf "$servers_dir"
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
