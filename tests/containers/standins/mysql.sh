#!/bin/sh
set -eu
options="--no-defaults --datadir=/var/lib/mysql --socket=/var/run/mysqld/mysqld.sock --pid-file=/var/run/mysqld/mysqld.pid --tmpdir=/tmp"
if [ ! -d /var/lib/mysql/mysql ]; then
	mariadb-install-db --no-defaults --datadir=/var/lib/mysql --auth-root-authentication-method=normal --skip-test-db >/dev/null
	# shellcheck disable=SC2086
	mariadbd $options --skip-networking &
	until mysqladmin --no-defaults -S /var/run/mysqld/mysqld.sock ping --silent; do sleep 0.2; done
	mysql --no-defaults -S /var/run/mysqld/mysqld.sock -u root <<SQL
create database \`$MYSQL_DATABASE\`;
create user '$MYSQL_USER'@'%' identified by '$(cat "$MYSQL_PASSWORD_FILE")';
grant all on \`$MYSQL_DATABASE\`.* to '$MYSQL_USER'@'%';
alter user root@localhost identified by '$(cat "$MYSQL_ROOT_PASSWORD_FILE")';
SQL
	kill $!
	wait $! || true
fi
# shellcheck disable=SC2086
exec mariadbd $options --bind-address=0.0.0.0
