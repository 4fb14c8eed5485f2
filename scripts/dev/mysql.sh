# Oracle's MySQL 9, for `./dev test-mysql`: Debian has it in unstable only, so it runs in a chroot of its own, made from the
# mirror that this machine uses.

mysql9_packages="mmdebstrap debian-archive-keyring mariadb-client-core"

make_mysql9() {
	mysql9_root=$root/.dev/mysql9
	[ -x "$mysql9_root/usr/sbin/mysqld" ] && return 0
	apt_install "$mysql9_packages"
	mirror=$(debian_mirror)
	[ -n "$mirror" ] || die "no Debian mirror found in /etc/apt"
	say "making a chroot with MySQL 9 in .dev/mysql9"
	as_root rm -rf "$mysql9_root"
	mkdir -p .dev
	list=$(mktemp)
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >"$list"
	as_root mmdebstrap --quiet --mode=root --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' \
		--include=mysql-server-core sid "$mysql9_root" "$list" >&2 || die "mmdebstrap could not make $mysql9_root"
	rm -f "$list"
	as_root chroot "$mysql9_root" sh -c 'id mysql 2>/dev/null || useradd --system --no-create-home mysql
		mkdir -p /d /var/lib/mysql-files /run/mysqld && chown mysql /d /var/lib/mysql-files /run/mysqld'
}

# Like start_mysql, with the other server.
start_mysql9() {
	make_mysql9
	make_servers_dir
	port=$(free_port)
	as_root rm -rf "$mysql9_root/d/data"
	as_root chroot "$mysql9_root" mysqld --no-defaults --initialize-insecure --user=mysql --datadir=/d/data >"$servers_dir/mysql9.log" 2>&1 || die "mysqld --initialize failed: $(cat "$servers_dir/mysql9.log")"
	as_root chroot "$mysql9_root" mysqld --no-defaults --user=mysql --datadir=/d/data --socket=/d/s --pid-file=/d/pid --port="$port" \
		--bind-address=127.0.0.1 --mysqlx=0 --secure-file-priv=NULL --innodb-flush-method=nosync --innodb-flush-log-at-trx-commit=0 --skip-log-bin >>"$servers_dir/mysql9.log" 2>&1 &
	wait_for_mysql "$port"
}

stop_mysql9() { [ ! -s "$mysql9_root/d/pid" ] || as_root kill -KILL "$(cat "$mysql9_root/d/pid")" || true; }

# Everything that runs on MariaDB in ./dev test, on this server.
run_mysql9_tests() {
	npm_install tests
	build_asan
	start_mysql9
	say "MySQL $(mariadb --no-defaults -h 127.0.0.1 -P "$port" -u root --skip-ssl -N -B -e 'select version()')"
	run_unit_programs 'data server' 'auth migrations'
	OGENT_TEST_AUTH_DB=mysql
	export OGENT_TEST_AUTH_DB
	run_files mysql9 1 servers/mysql.test.mjs api/auth.test.mjs api/auth-gateway.test.mjs
	finish_tests
}
