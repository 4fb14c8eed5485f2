# Debian with npm's own packages of node and npm, for the public image node.
FROM debian:bookworm-slim
COPY node_modules /opt/node_modules
RUN ln -s /opt/node_modules/.bin/node /opt/node_modules/.bin/npm /opt/node_modules/.bin/npx /usr/local/bin/
