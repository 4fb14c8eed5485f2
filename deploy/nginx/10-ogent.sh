#!/bin/sh
# Runs before nginx starts and writes the parts of its configuration that depend on the place; then keeps the list of gateways true.
#
#	OGENT_GATEWAYS       HOST:PORT with spaces between them; a name may have any number of addresses   (ogent-api-gateway:8420)
#	OGENT_REAL_IP_FROM   addresses or networks of load balancers in front, whose X-Forwarded-For is believed   (none)
#	OGENT_HSTS           value of Strict-Transport-Security, for a certificate that browsers trust, such as "max-age=31536000"   (none)
set -eu
gateways=${OGENT_GATEWAYS:-ogent-api-gateway:8420}
where=${OGENT_NGINX_TMP:-/tmp}
tls=${OGENT_NGINX_TLS:-/tls}

list_gateways() {
	for g in $gateways; do
		getent ahosts "${g%:*}" | while read -r address _; do
			case $address in *:*) address="[$address]" ;; esac
			echo "server $address:${g##*:} max_fails=1 fail_timeout=2s;"
		done
	done | sort -u
}

# While no name has an address the last list stays; nginx wants one line at least, and port 9 refuses at once.
write_gateways() {
	list=$(list_gateways)
	[ -n "$list" ] || [ ! -s "$where/gateways.conf" ] || return 0
	printf '%s\n' "${list:-server 127.0.0.1:9;}" >"$where/gateways.conf"
}

write_place() {
	for n in ${OGENT_REAL_IP_FROM:-}; do echo "set_real_ip_from $n;"; done
	[ -z "${OGENT_REAL_IP_FROM:-}" ] || printf 'real_ip_header X-Forwarded-For;\nreal_ip_recursive on;\n'
	printf 'map "" $hsts {\n\tdefault "%s";\n}\n' "${OGENT_HSTS:-}"
}

# What nginx has to read again: other gateways, another certificate.
seen() { cat "$where/gateways.conf"; cksum "$tls/certificate.pem" "$tls/key.pem"; }

watch() {
	before=$(seen)
	while sleep 2; do
		write_gateways
		now=$(seen)
		[ "$now" = "$before" ] || kill -HUP "$(cat "$where/nginx.pid")" 2>/dev/null || continue
		before=$now
	done
}

[ -r "$tls/certificate.pem" ] && [ -r "$tls/key.pem" ] || {
	echo "no certificate: $tls/certificate.pem and $tls/key.pem must be there and readable (deploy/secrets.sh makes a first one)" >&2
	exit 1
}
write_place >"$where/place.conf"
write_gateways
watch &
