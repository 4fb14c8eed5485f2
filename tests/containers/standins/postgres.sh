#!/bin/sh
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
	initdb -U "$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" -A scram-sha-256 --auth-local=trust -E UTF8 --locale=C.UTF-8
	echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
	pg_ctl -w -o "-c listen_addresses=''" start
	createdb -h /var/run/postgresql -U "$POSTGRES_USER" "$POSTGRES_DB"
	pg_ctl -w -m fast stop
fi
exec "$@" -c listen_addresses='*'
