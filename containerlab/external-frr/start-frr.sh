#!/bin/sh
# FRR's daemons with the configuration in /etc/frr/frr.conf.
set -eu
install -d -o frr -g frr /run/frr
for daemon in zebra bgpd; do
    /usr/lib/frr/$daemon -d -A 127.0.0.1 -f /dev/null --log file:/run/frr/$daemon.log 2> /dev/null
done
vtysh -b > /run/frr/vtysh.log 2>&1
