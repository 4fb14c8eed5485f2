# Debian's nginx with what the deployment uses of the public image nginx: user 101, the scripts in /docker-entrypoint.d, curl.
FROM debian:bookworm-slim
RUN groupadd -g 101 nginx && useradd -u 101 -g nginx nginx && apt-get -qq update && \
	DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends nginx curl >/dev/null && rm -rf /var/lib/apt/lists/* && ln -sf /dev/stderr /var/log/nginx/error.log
COPY nginx.sh /docker-entrypoint.sh
ENTRYPOINT ["/docker-entrypoint.sh"]
CMD ["nginx", "-g", "daemon off;"]
STOPSIGNAL SIGQUIT
