#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# machine.sh ROOT FILES INSTALLED_USR SOCKETS
#
# Becomes Debian's systemd as process 1 of the namespaces in which it was
# started (harness/service.py does that), on a root file system of its own: the
# machine's /usr and the installed build over it, both read-only; FILES/etc;
# everything else empty and in memory. Nothing of the machine's other files can
# be seen after pivot_root, /proc/sys is read-only, and what could change the
# machine (clock, modules, reboot) is not among its rights.
set -eu
root=$1 files=$2 usr=$3 sockets=$4

mount --make-rprivate /
mount -t tmpfs -o mode=755,size=256m tmpfs "$root"
cd "$root"
mkdir -p usr etc var/log var/lib var/tmp run tmp dev proc sys root old
chmod 1777 tmp var/tmp
mount -t overlay -o "ro,lowerdir=$usr:/usr" overlay usr
for link in bin sbin lib lib32 lib64 libx32; do
	[ ! -L "/$link" ] || cp -a "/$link" "$link"
done
cp -a "$files/etc/." etc/
mount --bind "$files/log" var/log

mount -t tmpfs -o mode=755,size=16m tmpfs run
mkdir -p ".$sockets"
mount --bind "$sockets" ".$sockets"

mount -t tmpfs -o mode=755,size=1m tmpfs dev
for node in null:3 zero:5 full:7 random:8 urandom:9; do
	mknod -m 666 "dev/${node%:*}" c 1 "${node#*:}"
done
mknod -m 666 dev/tty c 5 0
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=1777,size=64m tmpfs dev/shm
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup

pivot_root . old
umount -l /old
rmdir /old
cd /
drop=-sys_time,-sys_module,-sys_boot,-sys_rawio,-syslog,-wake_alarm
drop=$drop,-mac_admin,-mac_override,-block_suspend,-audit_control
exec setpriv --bounding-set "$drop" --inh-caps "$drop" -- \
	env -i container=docker PATH=/usr/sbin:/usr/bin \
	/lib/systemd/systemd --system --log-target=null
