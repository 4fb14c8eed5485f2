# Debian's MariaDB with what the deployment uses of the public image mysql: user 999, MYSQL_DATABASE, _USER, _PASSWORD_FILE, _ROOT_PASSWORD_FILE, the data's place.
FROM debian:bookworm-slim
RUN groupadd -r -g 999 mysql && useradd -r -u 999 -g mysql mysql && apt-get -qq update && \
	DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends mariadb-server >/dev/null && rm -rf /var/lib/apt/lists/* /var/lib/mysql && \
	install -d -o mysql -g mysql -m 1777 /var/lib/mysql /var/lib/mysql-files
COPY mysql.sh /usr/local/bin/docker-entrypoint.sh
VOLUME /var/lib/mysql
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["mysqld"]
