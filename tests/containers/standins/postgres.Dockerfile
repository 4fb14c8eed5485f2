# Debian's PostgreSQL with what the deployment uses of the public image postgres: user 999, POSTGRES_USER, _DB and _PASSWORD_FILE, the data's place.
FROM debian:bookworm-slim
RUN groupadd -r -g 999 postgres && useradd -r -u 999 -g postgres -d /var/lib/postgresql postgres && apt-get -qq update && \
	DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends postgresql-15 >/dev/null && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/* && \
	install -d -o postgres -g postgres -m 1777 /var/lib/postgresql/data
ENV PATH=/usr/lib/postgresql/15/bin:$PATH PGDATA=/var/lib/postgresql/data
COPY postgres.sh /usr/local/bin/docker-entrypoint.sh
VOLUME /var/lib/postgresql/data
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
