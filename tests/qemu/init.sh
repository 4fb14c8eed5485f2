#!/bin/bash
# The first process of the machine of ./dev qemu-test: its root in memory, control groups of version 2 only, then the suites, each with a line
# "RESULT name code". only=WORD in the kernel's line chooses those with the word in their names.
export PATH=/usr/bin:/usr/sbin HOME=/root
if [ ! -e /moved ]; then
	# A root that can be left (pivot_root cannot leave the one that the kernel unpacks).
	mkdir -p /new
	mount -t tmpfs -o size=90% tmpfs /new
	cp -a /usr /etc /bin /sbin /lib /lib64 /init /opt /new/
	mkdir -p /new/{proc,sys,dev,tmp,run,root,var}
	umount /sys /run 2>/dev/null
	chmod 1777 /new/tmp
	touch /new/moved
	exec switch_root /new /init
fi
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up 2>/dev/null
for m in quota_tree quota_v2 loop; do insmod /opt/modules/$m.ko 2>/dev/null; done
ulimit -n 4096
export OGENT_TEST_SLOW=1
echo "KERNEL $(uname -r)"
echo "CONTROLLERS $(cat /sys/fs/cgroup/cgroup.controllers)"

# A group of its own for each suite; an ordinary user's is delegated to him.
groups() {
	echo '+memory +pids +cpu' >/sys/fs/cgroup/cgroup.subtree_control
	mkdir -p /sys/fs/cgroup/user/main /sys/fs/cgroup/root
	echo '+memory +pids +cpu' >/sys/fs/cgroup/user/cgroup.subtree_control
	chown -R 65534:65534 /sys/fs/cgroup/user
}

only=$(sed -n 's/.*only=\([^ ]*\).*/\1/p' /proc/cmdline)
run() {
	name=$1 group=$2
	shift 2
	case $name in *$only*) ;; *) return 0 ;; esac
	(
		echo $BASHPID >"/sys/fs/cgroup/$group/cgroup.procs" || exit 99
		cd /tmp && LD_LIBRARY_PATH=/opt/lib timeout -k 10 400 "$@"
	) 2>&1 | sed -u 's/^/  /'
	echo "RESULT $name ${PIPESTATUS[0]}"
}

groups
run 'doctor, root' root /opt/ogent doctor --json --data /tmp/doctor
run 'cgroups, root' root /opt/test-exec-sandbox-cgroup
run 'limits, root' root /opt/test-exec-limits
run 'shared sandboxes, root' root /opt/test-exec-shared
run 'supervisors and their pool, root' root /opt/test-exec-supervisor --pool
run 'limits, an ordinary user with a delegated group' user/main /opt/test-exec-limits --as-user
truncate -s 600M /root/image && mkfs.ext4 -q -O quota,project -E quotatype=prjquota /root/image && mkdir -p /root/held &&
	mount -o loop,prjquota /root/image /root/held && chmod 1777 /root/held && mount --bind /root/held /tmp
export OGENT_TEST_PROJECT_QUOTA=1
run 'project quotas on ext4' root /opt/test-exec-limits
echo DONE
sync
echo o >/proc/sysrq-trigger
sleep 30
