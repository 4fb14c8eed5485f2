#!/bin/sh
# Puts this version's files into the volume that nginx serves, the page that names them last, and stays. What earlier versions left under
# /assets is kept for 30 days: pages that are open still ask for it.
set -eu
cd /app
find . -type d ! -name . | while read -r d; do mkdir -p "/srv/www/$d"; done
publish() {
	while read -r f; do
		cp "$f" "/srv/www/$f.new"
		mv "/srv/www/$f.new" "/srv/www/$f"
	done
}
find . -type f ! -name 'index.html*' | publish
find . -type f -name 'index.html.*' | publish
echo ./index.html | publish
(cd /srv/www/assets && find . -type f -mtime +30 | while read -r f; do [ -e "/app/assets/$f" ] || rm -f "$f"; done)
echo "the web app is published"
trap 'exit 0' TERM INT
while :; do
	sleep 3600 &
	wait $!
done
