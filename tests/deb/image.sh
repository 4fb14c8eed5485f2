#!/bin/sh
# image.sh SUITE MIRROR DEB FOLDER: a fresh Debian with systemd and a kernel as FOLDER/disk.img, FOLDER/vmlinuz and FOLDER/initrd.img,
# with what DEB depends on, but not DEB itself: it is installed when the machine runs. Needs root.
set -eu
suite=$1 mirror=$2 deb=$3 folder=$4
root=$folder/root
mkdir -p "$folder"
mmdebstrap --mode=root --variant=minbase --quiet \
	--include="systemd-sysv,dbus,linux-image-cloud-amd64,initramfs-tools,apt,curl,python3-minimal,man-db" \
	--dpkgopt='path-include=/usr/share/man/*' --dpkgopt='path-include=/usr/share/doc/*' \
	"$suite" "$root" "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
cp "$deb" "$root/root/ogent.deb"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
# Its dependencies come with it from the archive, and stay when it goes. Nothing starts, as nothing runs in there.
chroot "$root" sh -ec '
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qq update
	apt-get -qq -y install --no-install-recommends /root/ogent.deb
	dpkg --purge ogent
	userdel ogent
	passwd -q -d root
	rm -f /etc/resolv.conf
	echo vm >/etc/hostname
	echo "/dev/vda / ext4 defaults 0 1" >/etc/fstab
' >"$folder/install.log" 2>&1 || { cat "$folder/install.log" >&2; exit 1; }
# Orders come in by the second serial port, one line of base64 each; the answer is the status and the output.
cat >"$root/etc/systemd/system/orders.service" <<'Y'
[Unit]
After=multi-user.target
[Service]
ExecStart=/usr/local/sbin/orders
Restart=always
StandardInput=null
[Install]
WantedBy=multi-user.target
Y
cat >"$root/usr/local/sbin/orders" <<'Y'
#!/bin/bash
export HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
exec 3<>/dev/ttyS1
stty -F /dev/ttyS1 raw -echo
echo ready >&3
while read -r order <&3; do
	output=$(base64 -d <<<"$order" | bash 2>&1 </dev/stdin | base64 -w0; exit "${PIPESTATUS[1]}")
	echo "$? $output" >&3
done
Y
chmod +x "$root/usr/local/sbin/orders"
chroot "$root" systemctl -q enable orders
cp "$root"/boot/vmlinuz-* "$folder/vmlinuz"
cp "$root"/boot/initrd.img-* "$folder/initrd.img"
rm -rf "$root"/boot/* "$root"/var/cache/apt/*.bin "$root"/var/lib/apt/lists/*
rm -f "$folder/disk.img"
mke2fs -q -t ext4 -d "$root" "$folder/disk.img" 3G
rm -rf "$root"
