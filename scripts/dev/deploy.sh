# ./dev deploy-test: the ten containers, built and started by a real engine that is there for this alone.

deploy_packages="docker.io iptables mmdebstrap docker-compose dnsmasq-base iproute2 util-linux openssl openssh-client chromium"
deploy_dir=$root/build-deploy

# The public images need a registry. Stand-ins from Debian packages carry their names, with the same environment. Debian itself stands in
# for Ubuntu; where this machine's certificate authorities are others than Debian's, builds trust them too.
deploy_standins() {
	if ! docker image inspect debian:bookworm-slim >/dev/null 2>&1; then
		say "making the base image"
		sources=$(ls /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | head -n 1)
		mmdebstrap --quiet --mode=root --variant=minbase --include=ca-certificates --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
			--dpkgopt='path-exclude=/usr/share/locale/*' \
			--customize-hook='copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs' bookworm "$deploy_dir/base.tar" "$sources" || die "the base image cannot be made"
		docker import --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt NPM_CONFIG_CAFILE=/etc/ssl/certs/ca-certificates.crt' \
			"$deploy_dir/base.tar" debian:bookworm-slim >/dev/null
		rm "$deploy_dir/base.tar"
	fi
	docker tag debian:bookworm-slim ubuntu:24.04
	[ -x "$deploy_dir/node/node_modules/.bin/npm" ] || npm install --prefix "$deploy_dir/node" --no-audit --no-fund --loglevel=error node@24 npm@11 >&2 || die "npm could not install node 24"
	docker build --quiet -t node:24-bookworm-slim -f tests/containers/standins/node.Dockerfile "$deploy_dir/node" >/dev/null || die "the stand-in for node cannot be built"
	say "building the stand-ins for postgres:16, mysql:8 and nginx:1.28"
	for s in postgres:16 mysql:8 nginx:1.28; do
		docker build --quiet -t "$s" -f "tests/containers/standins/${s%:*}.Dockerfile" tests/containers/standins >/dev/null || die "the stand-in for $s cannot be built"
	done
}

deploy_compose() { docker-compose -p ogent-deploy-test -f deploy/compose.yaml -f deploy/compose.demo.yaml -f tests/containers/override.yaml "$@"; }

deploy_end() {
	status=$?
	trap - EXIT INT TERM HUP
	if [ "$status" != 0 ] && [ -n "${OGENT_SECRETS_DIR:-}" ]; then
		{ docker ps -a && deploy_compose logs --no-color --tail 200; } >"$deploy_dir/failed.log" 2>&1 || true
		say "what the containers said: build-deploy/failed.log"
	fi
	[ -z "${OGENT_SECRETS_DIR:-}" ] || deploy_compose down -v --remove-orphans --timeout 5 >/dev/null 2>&1 || true
	engine_stop
	[ -z "${OGENT_SECRETS_DIR:-}" ] || rm -rf "$OGENT_SECRETS_DIR"
	exit "$status"
}

run_deploy_test() {
	[ "$(id -u)" = 0 ] || die "deploy-test makes a network namespace and runs a container engine: run it as root"
	. tests/containers/engine.sh
	mkdir -p "$deploy_dir"
	trap deploy_end EXIT INT TERM HUP
	engine_start "$deploy_dir"
	deploy_standins
	say "building the images"
	export OGENT_SECRETS_DIR=$deploy_dir/secrets OGENT_TLS_DIR=$deploy_dir/secrets/tls
	rm -rf "$OGENT_SECRETS_DIR"
	deploy/secrets.sh "$OGENT_SECRETS_DIR"
	deploy_compose build >"$deploy_dir/build.log" 2>&1 || { tail -n 40 "$deploy_dir/build.log" >&2; die "the images do not build: build-deploy/build.log"; }
	engine_cut
	npm_install tests
	say "testing"
	log=$deploy_dir/test.log
	export DEPLOY_COMPOSE="-p ogent-deploy-test -f $root/deploy/compose.yaml -f $root/deploy/compose.demo.yaml -f $root/tests/containers/override.yaml"
	{
		engine_in tests/node_modules/.bin/node --test --test-reporter=spec --test-timeout=900000 --test-concurrency=1 tests/containers/ten.test.mjs tests/containers/restore.test.mjs || true
		engine_in tests/node_modules/.bin/node tests/containers/suites.mjs || true
	} 2>&1 | tee "$log" >&2
	p=$(sed -n 's/^ℹ pass \([0-9]*\)$/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
	f=$(sed -n 's/^ℹ \(fail\|cancelled\|skipped\) \([0-9]*\)$/\2/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
	[ "$(grep -c '^ℹ pass ' "$log")" = "$(sed -n 's/^ℹ suites of the deployment: //p' "$log")" ] || die "a suite did not finish"
	echo "$p passed, $f failed"
	[ "$f" = 0 ]
}
