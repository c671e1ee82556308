#!/bin/sh
# First process of the machine that machine.py starts.
export PATH HOME=/root TMPDIR=/run TERM=dumb LAB
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
if grep -q "User Mode Linux" /proc/cpuinfo; then
    mount -t tmpfs tmpfs /lib/modules && mount --bind /usr/lib/uml/modules /lib/modules
    modprobe -a veth bridge br_netfilter dummy ip_vs
    cp -a /etc/alternatives /run/alternatives
    for family in iptables ip6tables; do
        ln -sf "/usr/sbin/$family-legacy" "/run/alternatives/$family"  # its nf_tables has no IP
    done
    mount --bind /run/alternatives /etc/alternatives
fi
ip link set lo up
cd "$WORK/../.."
echo "machine is up"
while sleep 0.1; do
    for request in "$WORK"/requests/*.sh; do
        if [ -e "$request" ]; then
            sh "$request" < /dev/null
            echo "request $(basename "$request") ended $?"
            rm "$request"
        fi
    done
done
