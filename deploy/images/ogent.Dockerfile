# The roles' images: one build, one small image for each role, with the program, the libraries that this role loads, and no shell. The web app is
# in ogent-frontend.
#
#	docker build -f deploy/images/ogent.Dockerfile --target agent -t ogent/agent .
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
RUN scripts/build_shipped.sh build "ogent ogent-target" -Dweb_dist=none -Dtests=false
COPY deploy/images/collect.sh deploy/images/
RUN deploy/images/collect.sh build/ogent

FROM scratch AS gateway
COPY --from=build /out/gateway /
ENV OGENT_DATA=/data OGENT_LISTEN=0.0.0.0:8420 OGENT_GATEWAY_LISTEN=0.0.0.0:8000 OGENT_LOG_FORMAT=json
USER 10001:10001
VOLUME /data
ENTRYPOINT ["/ogent"]
CMD ["gateway"]
HEALTHCHECK CMD ["/ogent", "healthcheck", "gateway"]

FROM scratch AS auth
COPY --from=build /out/auth /
ENV OGENT_DATA=/data OGENT_AUTH_LISTEN=0.0.0.0:8000 OGENT_LOG_FORMAT=json
USER 10002:10002
VOLUME /data
ENTRYPOINT ["/ogent"]
CMD ["auth"]
HEALTHCHECK CMD ["/ogent", "healthcheck", "auth"]

FROM scratch AS agent
COPY --from=build /out/agent /
ENV OGENT_DATA=/data OGENT_AGENT_LISTEN=0.0.0.0:8000 OGENT_LOG_FORMAT=json SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 10003:10003
VOLUME /data
ENTRYPOINT ["/ogent"]
CMD ["agent"]
HEALTHCHECK CMD ["/ogent", "healthcheck", "agent"]

FROM scratch AS exec
COPY --from=build /out/exec /
ENV OGENT_DATA=/data OGENT_EXEC_LISTEN=0.0.0.0:8000 OGENT_LOG_FORMAT=json
USER 10004:10004
VOLUME /data
ENTRYPOINT ["/ogent"]
CMD ["exec"]
HEALTHCHECK CMD ["/ogent", "healthcheck", "exec"]

FROM scratch AS socket
COPY --from=build /out/socket /
ENV OGENT_DATA=/data OGENT_SOCKET_LISTEN=0.0.0.0:8000 OGENT_LOG_FORMAT=json
USER 10005:10005
VOLUME /data
ENTRYPOINT ["/ogent"]
CMD ["socket"]
HEALTHCHECK CMD ["/ogent", "healthcheck", "socket"]

FROM scratch AS demo-model
COPY --from=build /out/demo-model /
ENV OGENT_DATA=/data OGENT_DEMO_LISTEN=0.0.0.0:8000 OGENT_LOG_FORMAT=json
USER 10006:10006
VOLUME /data
ENTRYPOINT ["/ogent"]
CMD ["demo-model"]
HEALTHCHECK CMD ["/ogent", "healthcheck", "demo-model"]
