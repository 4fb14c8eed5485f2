# The web app's files, packed, and what puts them where nginx serves them.
FROM node:24-bookworm-slim AS build
RUN apt-get -qq update && apt-get -qq -y install --no-install-recommends busybox-static >/dev/null
WORKDIR /src/web
COPY web/package.json web/package-lock.json web/.npmrc ./
RUN npm ci --no-audit --no-fund --loglevel=error
# For the node that web/ brings along.
RUN apt-get -qq -y install --no-install-recommends libatomic1 >/dev/null
COPY docs/openapi.yaml /src/docs/
COPY web ./
RUN npm run --silent build && find dist -name '*.br' -delete
RUN mkdir -p /out/bin /out/srv/www && cp -r dist /out/app && cp /bin/busybox /out/bin/ && \
	for c in sh cp mv find mkdir rm sleep test; do ln -s busybox /out/bin/$c; done
COPY deploy/images/frontend.sh /out/bin/frontend

FROM scratch
COPY --from=build /out/bin /bin
COPY --from=build /out/app /app
COPY --from=build --chown=10007:10007 /out/srv/www /srv/www
USER 10007:10007
VOLUME /srv/www
ENTRYPOINT ["/bin/frontend"]
HEALTHCHECK CMD ["/bin/test", "-e", "/srv/www/index.html"]
