#!/bin/sh
# Makes what the ten containers must not share with anybody: passwords of the databases, the SSH keys between exec and its target, and a
# first certificate that says nobody vouches for it. What is there already stays as it is. Needs openssl and ssh-keygen.
#
#	deploy/secrets.sh [FOLDER]        default deploy/secrets; names in the certificate: OGENT_NAMES (localhost)
#
# The folder is 0700: that is what keeps the files from others on this machine. Inside, files that a container reads under another user
# id are 0444. Your own certificate goes to tls/certificate.pem and tls/key.pem.
set -eu
dir=${1:-$(dirname "$0")/secrets}
names=${OGENT_NAMES:-localhost}
for program in openssl ssh-keygen; do
	command -v "$program" >/dev/null || { echo "secrets.sh: $program is missing: apt-get install openssl openssh-client" >&2; exit 1; }
done
umask 077
mkdir -p "$dir/tls"
chmod 700 "$dir"
chmod 755 "$dir/tls"

# put NAME MODE: from stdin, whole or not at all
put() {
	cat >"$dir/.new"
	chmod "$2" "$dir/.new"
	mv "$dir/.new" "$dir/$1"
}
lacks() { [ ! -e "$dir/$1" ]; }
password() { openssl rand -hex 24; }

for p in postgres_password mysql_password mysql_root_password; do
	lacks $p && password | put $p 444
done
lacks agent_db_url && printf 'postgres://ogent:%s@ogent-db:5432/langchain_agent\n' "$(cat "$dir/postgres_password")" | put agent_db_url 444
lacks auth_db_url && printf 'mysql://ogent:%s@ogent-auth-db:3306/ogent_auth?ssl=prefer\n' "$(cat "$dir/mysql_password")" | put auth_db_url 444
lacks openai_api_key && printf '%s' "${OPENAI_API_KEY:-}" | put openai_api_key 444

if lacks exec_ssh_key; then
	ssh-keygen -q -t ed25519 -N '' -C ogent-command-execution -f "$dir/exec_ssh_key"
	chmod 444 "$dir/exec_ssh_key" "$dir/exec_ssh_key.pub"
fi
if lacks target_host_key; then
	ssh-keygen -q -t ed25519 -N '' -C ogent-ubuntu-target -f "$dir/target_host_key"
	chmod 400 "$dir/target_host_key"
	rm -f "$dir/exec_ssh_known_hosts"
fi
lacks exec_ssh_known_hosts && printf 'ogent-ubuntu-target %s\n' "$(cut -d' ' -f1,2 "$dir/target_host_key.pub")" | put exec_ssh_known_hosts 444

if lacks tls/certificate.pem; then
	san=
	for n in $names; do
		case $n in *[!0-9.]*) san="$san,DNS:$n" ;; *) san="$san,IP:$n" ;; esac
	done
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj "/CN=${names%% *}" -addext "subjectAltName=${san#,}" \
		-keyout "$dir/tls/key.pem" -out "$dir/tls/certificate.pem" 2>/dev/null
	chmod 444 "$dir/tls/key.pem" "$dir/tls/certificate.pem"
fi
echo "secrets are in $dir"
