# The host in which commands run: sshd, ogent-target as the only thing that a login can start, and the tools that commands may use.
FROM debian:bookworm-slim AS build
WORKDIR /src
COPY dev ./
COPY scripts/dev/install.sh scripts/dev/
RUN ./dev packages
COPY meson.build meson_options.txt ./
COPY lib lib
COPY services services
COPY cli cli
COPY docs/openapi.yaml docs/
COPY scripts scripts
RUN meson setup build -Dweb_dist=none -Dtests=false -Dbuildtype=release -Db_lto=true -Dwerror=false >/dev/null && ninja -C build --quiet ogent ogent-target

FROM ubuntu:24.04
ARG PACKAGES="ca-certificates curl git jq less poppler-utils procps python3"
RUN apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends openssh-server $PACKAGES >/dev/null && \
	rm -rf /var/lib/apt/lists/* /var/cache/apt /etc/ssh/ssh_host_* && mkdir -p /var/lib/ogent-target
COPY --from=build /src/build/ogent-target /usr/local/bin/
COPY deploy/images/sshd.sh /usr/local/bin/ogent-sshd
COPY deploy/images/sshd_config /etc/ssh/ogent_sshd_config
VOLUME /var/lib/ogent-target
EXPOSE 22
CMD ["ogent-sshd", "run"]
HEALTHCHECK CMD ["ogent-sshd", "check"]
