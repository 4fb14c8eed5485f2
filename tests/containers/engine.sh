# A container engine of its own for a test: in a network namespace, with all its files in one folder, and nothing of it left at the end.
#
#	engine_start FOLDER     dockerd on $DOCKER_HOST; builds reach the outside through this machine
#	engine_cut              from now on nothing gets outside
#	engine_stop             ends everything; safe to call at any time, also twice
#
# FOLDER/data keeps images and the build cache for the next time. The namespace's name, its veth pair and 198.18.0.0/30 are the test's.

engine_ns=ogent-deploy
engine_inside=198.18.0.2
engine_outside=198.18.0.1

engine_in() { nsenter --net=/run/netns/$engine_ns "$@"; }

engine_network() {
	ip netns add $engine_ns
	ip link add ogent-dep0 type veth peer name ogent-dep1
	# As large as packets to the outside may be: what says that one was too large does not always come back.
	engine_mtu=$(cat "/sys/class/net/$(ip -o route get 198.51.100.1 | sed 's/.* dev \([^ ]*\).*/\1/')/mtu")
	ip link set ogent-dep0 mtu "$engine_mtu"
	ip link set ogent-dep1 mtu "$engine_mtu" netns $engine_ns
	ip addr add $engine_outside/30 dev ogent-dep0
	ip link set ogent-dep0 up
	engine_in ip link set lo up
	engine_in ip addr add $engine_inside/30 dev ogent-dep1
	engine_in ip link set ogent-dep1 up
	engine_in ip route add default via $engine_outside
	engine_forward=$(cat /proc/sys/net/ipv4/ip_forward)
	echo 1 >/proc/sys/net/ipv4/ip_forward
	iptables -w -t nat -A POSTROUTING -s $engine_outside/30 -j MASQUERADE
	iptables -w -I FORWARD -i ogent-dep0 -j ACCEPT
	iptables -w -I FORWARD -o ogent-dep0 -j ACCEPT
}

# engine_dns ARGS…: what names mean inside.
engine_dns() {
	[ -z "${engine_dns_pid:-}" ] || { kill "$engine_dns_pid"; wait "$engine_dns_pid" 2>/dev/null; } || true
	engine_in dnsmasq --keep-in-foreground --conf-file=/dev/null --no-hosts --listen-address=$engine_inside --bind-interfaces --user=root --pid-file= "$@" >"$engine_dir/dns.log" 2>&1 &
	engine_dns_pid=$!
}

engine_start() {
	engine_dir=$1
	mkdir -p "$engine_dir/run" "$engine_dir/data" "$engine_dir/home"
	export DOCKER_HOST="unix://$engine_dir/run/docker.sock" DOCKER_CONFIG="$engine_dir/home" DOCKER_BUILDKIT=1 COMPOSE_DOCKER_CLI_BUILD=1
	engine_network
	engine_dns --resolv-file=/etc/resolv.conf
	setsid nsenter --net=/run/netns/$engine_ns dockerd --dns $engine_inside --mtu "$engine_mtu" --data-root "$engine_dir/data" --exec-root "$engine_dir/run/exec" \
		--pidfile "$engine_dir/run/docker.pid" -H "$DOCKER_HOST" >"$engine_dir/dockerd.log" 2>&1 &
	engine_pid=$!
	for _ in $(seq 300); do
		docker version >/dev/null 2>&1 && return 0
		kill -0 $engine_pid 2>/dev/null || break
		sleep 0.1
	done
	tail -n 20 "$engine_dir/dockerd.log" >&2
	die "the container engine does not start"
}

engine_cut() {
	engine_in iptables -w -I DOCKER-USER -o ogent-dep1 -j REJECT
	engine_dns --no-resolv --address=/#/
}

# The processes that were started in the namespace or by the engine, by their pids.
engine_left() {
	ip netns pids $engine_ns 2>/dev/null
	[ -z "${engine_dir:-}" ] || for p in /proc/[0-9]*; do
		{ tr '\0' ' ' <"$p/cmdline"; } 2>/dev/null | grep -qF -- "$engine_dir/run/" && echo "${p#/proc/}"
	done
	return 0
}

engine_end() { # engine_end SIGNAL SECONDS
	for _ in $(seq "$2"0); do
		pids=$(engine_left | grep -vx $$ || true)
		[ -n "$pids" ] || return 0
		# shellcheck disable=SC2086
		[ "$_" != 1 ] || kill "-$1" $pids 2>/dev/null || true
		sleep 0.1
	done
}

engine_stop() {
	[ -e /run/netns/$engine_ns ] || [ -n "${engine_dir:-}" ] || return 0
	engine_end TERM 15
	engine_end KILL 5
	for m in $(awk -v d="${engine_dir:-/nowhere}/" 'index($5, d) == 1 { print $5 }' /proc/self/mountinfo | sort -r); do umount -l "$m" || true; done
	while iptables -w -t nat -D POSTROUTING -s $engine_outside/30 -j MASQUERADE 2>/dev/null; do :; done
	while iptables -w -D FORWARD -i ogent-dep0 -j ACCEPT 2>/dev/null; do :; done
	while iptables -w -D FORWARD -o ogent-dep0 -j ACCEPT 2>/dev/null; do :; done
	ip link del ogent-dep0 2>/dev/null || true
	ip netns del $engine_ns 2>/dev/null || true
	[ -z "${engine_forward:-}" ] || echo "$engine_forward" >/proc/sys/net/ipv4/ip_forward
	rm -rf "${engine_dir:?}/run"
}
