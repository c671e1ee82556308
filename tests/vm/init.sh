#!/bin/sh
# First process of the machine of tests/machine.py: runs $MACHINE/command, and leaves its exit status in $MACHINE/status.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mkdir /dev/shm
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mkdir -p /run/tmp /run/lock /lib/modules
mount --bind /usr/lib/uml/modules /lib/modules
modprobe -a ipv6 ip_vs br_netfilter  # what a node has loaded before its agent starts
cp -a /etc/alternatives /run/alternatives
ln -sf /usr/sbin/iptables-legacy /run/alternatives/iptables  # its nf_tables has no IP
ln -sf /usr/sbin/ip6tables-legacy /run/alternatives/ip6tables
mount --bind /run/alternatives /etc/alternatives
ip link set lo up
sh "$MACHINE/command" > "$MACHINE/stdout" 2> "$MACHINE/stderr" < /dev/null
echo $? > "$MACHINE/status.new"
sync
mv "$MACHINE/status.new" "$MACHINE/status"
sleep infinity
