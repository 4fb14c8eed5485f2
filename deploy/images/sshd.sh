#!/bin/sh
# ogent-sshd run: sshd with the host key and the one authorized key that are given as secrets. ogent-sshd check: whether it listens
# (a connection every few seconds would fill its log).
set -eu
case ${1:-} in
run)
	mkdir -p -m 755 /run/sshd /run/ogent
	install -m 600 /run/secrets/target_host_key /run/ogent/host_key
	printf 'command="/usr/local/bin/ogent-target",restrict %s\n' "$(cat /run/secrets/exec_ssh_key_pub)" >/run/ogent/authorized_keys
	exec /usr/sbin/sshd -D -e -f /etc/ssh/ogent_sshd_config
	;;
check) grep -qE '^ *[0-9]+: [0-9A-F]+:0016 [0-9A-F]+:0000 0A' /proc/net/tcp /proc/net/tcp6 ;;
*) echo "ogent-sshd run|check" >&2; exit 2 ;;
esac
